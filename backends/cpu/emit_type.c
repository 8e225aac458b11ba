/* emit_type.c -- kernel types, constants and intrinsics in LLVM's terms. */
#include "emit.h"

#include <string.h>

LLVMTypeRef
krsi_emit_element(krsi_emit *e, krs_dtype dtype)
{
    size_t bytes = 0;
    if (dtype == KRS_F32)
        return LLVMFloatTypeInContext(e->context);
    if (dtype == KRS_BOOL)
        return LLVMInt1TypeInContext(e->context);
    if (!krs_dtype_bytes(dtype, 1, &bytes)) {
        e->failure = "a value of a block type";
        bytes = 1;
    }
    return LLVMIntTypeInContext(e->context, (unsigned)bytes * 8);
}

LLVMTypeRef
krsi_emit_stored(krsi_emit *e, krs_dtype dtype)
{
    return dtype == KRS_BOOL ? LLVMInt8TypeInContext(e->context)
                             : krsi_emit_element(e, dtype);
}

LLVMTypeRef
krsi_emit_wide(LLVMTypeRef element, unsigned lanes)
{
    return lanes > 1 ? LLVMVectorType(element, lanes) : element;
}

LLVMTypeRef
krsi_emit_type(krsi_emit *e, krs_ktype type)
{
    return krsi_emit_wide(krsi_emit_element(e, type.dtype), type.lanes);
}

unsigned
krsi_emit_lanes(LLVMTypeRef type)
{
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type)
                                                       : 1;
}

LLVMTypeRef
krsi_emit_like(LLVMTypeRef element, LLVMTypeRef like)
{
    return krsi_emit_wide(element, krsi_emit_lanes(like));
}

LLVMValueRef
krsi_emit_splat(LLVMValueRef constant, unsigned lanes)
{
    LLVMValueRef all[KRS_K_MAX_LANES];
    if (lanes == 1)
        return constant;
    for (unsigned i = 0; i < lanes; i++)
        all[i] = constant;
    return LLVMConstVector(all, lanes);
}

static LLVMTypeRef
element_of(LLVMTypeRef type)
{
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind
               ? LLVMGetElementType(type)
               : type;
}

LLVMValueRef
krsi_emit_int(LLVMTypeRef type, uint64_t value)
{
    return krsi_emit_splat(LLVMConstInt(element_of(type), value, false),
                           krsi_emit_lanes(type));
}

LLVMValueRef
krsi_emit_float(LLVMTypeRef type, double value)
{
    return krsi_emit_splat(LLVMConstReal(element_of(type), value),
                           krsi_emit_lanes(type));
}

LLVMValueRef
krsi_emit_broadcast(krsi_emit *e, LLVMValueRef scalar, unsigned lanes)
{
    if (lanes == 1)
        return scalar;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), lanes);
    LLVMTypeRef i32 = LLVMInt32TypeInContext(e->context);
    LLVMValueRef one =
        LLVMBuildInsertElement(e->builder, LLVMGetPoison(type), scalar,
                               LLVMConstInt(i32, 0, false), "");
    return LLVMBuildShuffleVector(e->builder, one, LLVMGetPoison(type),
                                  LLVMConstNull(LLVMVectorType(i32, lanes)),
                                  "");
}

/* A scalar as a vector of one. */
static LLVMValueRef
as_vector(krsi_emit *e, LLVMValueRef a)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind)
        return a;
    return LLVMBuildInsertElement(
        e->builder, LLVMGetPoison(LLVMVectorType(type, 1)), a,
        LLVMConstInt(LLVMInt32TypeInContext(e->context), 0, false), "");
}

LLVMValueRef
krsi_emit_shuffle(krsi_emit *e, LLVMValueRef a, LLVMValueRef b,
                  const uint8_t *indices, unsigned lanes)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(e->context);
    LLVMValueRef mask[KRS_K_MAX_LANES];
    a = as_vector(e, a);
    b = b ? as_vector(e, b) : LLVMGetPoison(LLVMTypeOf(a));
    if (lanes == 1) {
        unsigned of_a = LLVMGetVectorSize(LLVMTypeOf(a));
        bool first = indices[0] < of_a;
        return LLVMBuildExtractElement(
            e->builder, first ? a : b,
            LLVMConstInt(i32, first ? indices[0] : indices[0] - of_a, false),
            "");
    }
    for (unsigned i = 0; i < lanes; i++)
        mask[i] = LLVMConstInt(i32, indices[i], false);
    return LLVMBuildShuffleVector(e->builder, a, b,
                                  LLVMConstVector(mask, lanes), "");
}

LLVMValueRef
krsi_emit_call(krsi_emit *e, const char *name, const LLVMTypeRef *types,
               unsigned type_count, const LLVMValueRef *args,
               unsigned arg_count)
{
    LLVMTypeRef list[2] = {0};
    LLVMValueRef operands[6];
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (type_count > 0) /* types may be NULL then */
        memcpy(list, types, type_count * sizeof *list);
    memcpy(operands, args, arg_count * sizeof *operands);
    if (!id) {
        e->failure = name;
        return args[0];
    }
    LLVMValueRef callee =
        LLVMGetIntrinsicDeclaration(e->module, id, list, type_count);
    return LLVMBuildCall2(
        e->builder, LLVMIntrinsicGetType(e->context, id, list, type_count),
        callee, operands, arg_count, "");
}
