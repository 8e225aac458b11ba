/* emit.h -- a kernel while it becomes LLVM IR, one instruction at a time.
 *
 * f16 and bf16 values are held as i16, bool values as i1 (in memory: a byte),
 * so that no rounding happens but where convert says so.
 */
#ifndef KRSI_EMIT_H
#define KRSI_EMIT_H

#include "cpu.h"

#include <llvm-c/Core.h>

typedef struct krsi_emit {
    const krs_kernel *kernel;
    const krsi_cpu_target *target;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMValueRef function;
    LLVMValueRef *values;  /* of each instruction */
    LLVMValueRef *buffers; /* pointers */
    LLVMValueRef *args;
    LLVMValueRef axis[KRS_K_AXES];
    const char *failure; /* what cannot be translated, or NULL */
} krsi_emit;

/* emit.c -- a module with the function `symbol`; names the first instruction
 * that has no translation. */
krs_status krsi_emit_module(const krs_kernel *kernel,
                            const krsi_cpu_target *target,
                            LLVMContextRef context, const char *symbol,
                            LLVMModuleRef *out, krs_error *err);

/* emit_type.c -- types, constants, intrinsics */
LLVMTypeRef krsi_emit_element(krsi_emit *e, krs_dtype dtype);
/* of an element in memory: a byte for bool */
LLVMTypeRef krsi_emit_stored(krsi_emit *e, krs_dtype dtype);
/* element, or a vector of it if lanes > 1 */
LLVMTypeRef krsi_emit_wide(LLVMTypeRef element, unsigned lanes);
LLVMTypeRef krsi_emit_type(krsi_emit *e, krs_ktype type);
LLVMValueRef krsi_emit_splat(LLVMValueRef constant, unsigned lanes);
/* an integer constant of a type, in every lane */
LLVMValueRef krsi_emit_int(LLVMTypeRef type, uint64_t value);
LLVMValueRef krsi_emit_float(LLVMTypeRef type, double value);
LLVMValueRef krsi_emit_broadcast(krsi_emit *e, LLVMValueRef scalar,
                                 unsigned lanes);
/* lanes `indices` of a and, counted on, b (b may be NULL) */
LLVMValueRef krsi_emit_shuffle(krsi_emit *e, LLVMValueRef a, LLVMValueRef b,
                               const uint8_t *indices, unsigned lanes);
/* the lanes of type are those of `like`, its element is given */
LLVMTypeRef krsi_emit_like(LLVMTypeRef element, LLVMTypeRef like);
unsigned krsi_emit_lanes(LLVMTypeRef type);
/* name with the types it is overloaded on */
LLVMValueRef krsi_emit_call(krsi_emit *e, const char *name,
                            const LLVMTypeRef *types, unsigned type_count,
                            const LLVMValueRef *args, unsigned arg_count);

/* emit_scalar.c, emit_dot.c, emit_convert.c -- rows of scalar.def */
LLVMValueRef krsi_emit_scalar(krsi_emit *e, const krs_kinst *inst);
LLVMValueRef krsi_emit_mad(krsi_emit *e, LLVMValueRef a, LLVMValueRef b,
                           LLVMValueRef c);
LLVMValueRef krsi_emit_dot2(krsi_emit *e, LLVMValueRef a, LLVMValueRef b,
                            LLVMValueRef c);
LLVMValueRef krsi_emit_dot4(krsi_emit *e, LLVMValueRef a, LLVMValueRef b,
                            LLVMValueRef c);
LLVMValueRef krsi_emit_convert(krsi_emit *e, krs_dtype to, krs_dtype from,
                               LLVMValueRef a);

/* emit_memory.c -- loads, gathers, stores, scatters, prefetches */
LLVMValueRef krsi_emit_load(krsi_emit *e, const krs_kinst *inst);
void krsi_emit_store(krsi_emit *e, const krs_kinst *inst);
void krsi_emit_prefetch(krsi_emit *e, const krs_kinst *inst);

#endif
