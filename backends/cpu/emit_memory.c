/* emit_memory.c -- loads, gathers, stores, scatters, prefetches.
 *
 * Masked accesses are llvm.masked.*: a lane that is off touches no memory and
 * loads zero. Scatters write in ascending order of lanes, as LLVM defines
 * them too. Pointers are never "inbounds": a masked access may begin outside
 * its buffer.
 */
#include "emit.h"

static LLVMTypeRef
i1(krsi_emit *e)
{
    return LLVMInt1TypeInContext(e->context);
}

/* Element a of the buffer. */
static LLVMValueRef
address(krsi_emit *e, const krs_kinst *inst, LLVMTypeRef element)
{
    LLVMValueRef index = e->values[inst->a];
    return LLVMBuildGEP2(e->builder, element, e->buffers[inst->slot], &index, 1,
                         "");
}

/* Elements a + b[i]: one pointer a lane. The base is a vector too: of a scalar
 * base LLVM 19 folds indices of zero to one pointer, and its LICM makes calls
 * of the wrong type. */
static LLVMValueRef
addresses(krsi_emit *e, const krs_kinst *inst, LLVMTypeRef element)
{
    LLVMValueRef base =
        krsi_emit_broadcast(e, address(e, inst, element), inst->type.lanes);
    return LLVMBuildGEP2(e->builder, element, base, &e->values[inst->b], 1, "");
}

static LLVMValueRef
alignment(krsi_emit *e, const krs_kinst *inst)
{
    return LLVMConstInt(LLVMInt32TypeInContext(e->context),
                        (uint64_t)1 << inst->align_log2, false);
}

/* A vector of one for masked accesses to a scalar, or the value itself. */
static LLVMTypeRef
masked_type(LLVMTypeRef element, unsigned lanes)
{
    return LLVMVectorType(element, lanes);
}

static LLVMValueRef
insert_first(krsi_emit *e, LLVMValueRef scalar)
{
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), 1);
    return LLVMBuildInsertElement(
        e->builder, LLVMGetPoison(type), scalar,
        LLVMConstInt(LLVMInt32TypeInContext(e->context), 0, false), "");
}

static LLVMValueRef
extract_first(krsi_emit *e, LLVMValueRef vector)
{
    return LLVMBuildExtractElement(
        e->builder, vector,
        LLVMConstInt(LLVMInt32TypeInContext(e->context), 0, false), "");
}

/* The mask c, all lanes on if there is none; always a vector. */
static LLVMValueRef
mask_of(krsi_emit *e, const krs_kinst *inst, unsigned lanes)
{
    if (!inst->c)
        return LLVMConstAllOnes(LLVMVectorType(i1(e), lanes));
    return lanes > 1 ? e->values[inst->c] : insert_first(e, e->values[inst->c]);
}

static LLVMValueRef
from_memory(krsi_emit *e, const krs_kinst *inst, LLVMValueRef value)
{
    if (inst->type.dtype != KRS_BOOL)
        return value;
    return LLVMBuildICmp(e->builder, LLVMIntNE, value,
                         LLVMConstNull(LLVMTypeOf(value)), "");
}

static LLVMValueRef
to_memory(krsi_emit *e, const krs_kinst *inst)
{
    LLVMValueRef value = e->values[inst->d];
    if (inst->type.dtype != KRS_BOOL)
        return value;
    return LLVMBuildZExt(
        e->builder, value,
        krsi_emit_wide(LLVMInt8TypeInContext(e->context), inst->type.lanes),
        "");
}

/* LOAD, and GATHER of one lane */
static LLVMValueRef
load_one_place(krsi_emit *e, const krs_kinst *inst, LLVMTypeRef element,
               LLVMValueRef pointer)
{
    unsigned lanes = inst->type.lanes;
    LLVMTypeRef type = krsi_emit_wide(element, lanes);
    if (!inst->c) {
        LLVMValueRef load = LLVMBuildLoad2(e->builder, type, pointer, "");
        LLVMSetAlignment(load, 1U << inst->align_log2);
        return load;
    }
    LLVMTypeRef vector = masked_type(element, lanes);
    LLVMTypeRef types[] = {vector, LLVMTypeOf(pointer)};
    LLVMValueRef args[] = {pointer, alignment(e, inst), mask_of(e, inst, lanes),
                           LLVMConstNull(vector)};
    LLVMValueRef load =
        krsi_emit_call(e, "llvm.masked.load", types, 2, args, 4);
    return lanes > 1 ? load : extract_first(e, load);
}

LLVMValueRef
krsi_emit_load(krsi_emit *e, const krs_kinst *inst)
{
    LLVMTypeRef element = krsi_emit_stored(e, inst->type.dtype);
    unsigned lanes = inst->type.lanes;
    if (inst->op == KRS_K_LOAD)
        return from_memory(
            e, inst,
            load_one_place(e, inst, element, address(e, inst, element)));
    LLVMValueRef pointers = addresses(e, inst, element);
    if (lanes == 1)
        return from_memory(e, inst, load_one_place(e, inst, element, pointers));
    LLVMTypeRef vector = LLVMVectorType(element, lanes);
    LLVMTypeRef types[] = {vector, LLVMTypeOf(pointers)};
    LLVMValueRef args[] = {pointers, alignment(e, inst),
                           mask_of(e, inst, lanes), LLVMConstNull(vector)};
    return from_memory(
        e, inst, krsi_emit_call(e, "llvm.masked.gather", types, 2, args, 4));
}

/* Non-temporal stores of vectors that are not aligned to their size become
 * many scalar ones, so the hint is taken only where it helps. */
static void
mark_stream(krsi_emit *e, const krs_kinst *inst, LLVMValueRef store)
{
    size_t bytes = 0;
    if (!(inst->flags & KRS_K_STREAM) ||
        !krs_dtype_bytes(inst->type.dtype, inst->type.lanes, &bytes) ||
        bytes < 16 || (size_t)1 << inst->align_log2 < bytes)
        return;
    LLVMMetadataRef one = LLVMValueAsMetadata(
        LLVMConstInt(LLVMInt32TypeInContext(e->context), 1, false));
    LLVMSetMetadata(store,
                    LLVMGetMDKindIDInContext(e->context, "nontemporal", 11),
                    LLVMMetadataAsValue(
                        e->context, LLVMMDNodeInContext2(e->context, &one, 1)));
}

static void
store_one_place(krsi_emit *e, const krs_kinst *inst, LLVMValueRef value,
                LLVMValueRef pointer)
{
    if (!inst->c) {
        LLVMValueRef store = LLVMBuildStore(e->builder, value, pointer);
        LLVMSetAlignment(store, 1U << inst->align_log2);
        mark_stream(e, inst, store);
        return;
    }
    unsigned lanes = inst->type.lanes;
    if (lanes == 1)
        value = insert_first(e, value);
    LLVMTypeRef types[] = {LLVMTypeOf(value), LLVMTypeOf(pointer)};
    LLVMValueRef args[] = {value, pointer, alignment(e, inst),
                           mask_of(e, inst, lanes)};
    krsi_emit_call(e, "llvm.masked.store", types, 2, args, 4);
}

void
krsi_emit_store(krsi_emit *e, const krs_kinst *inst)
{
    LLVMTypeRef element = krsi_emit_stored(e, inst->type.dtype);
    LLVMValueRef value = to_memory(e, inst);
    if (inst->op == KRS_K_STORE) {
        store_one_place(e, inst, value, address(e, inst, element));
        return;
    }
    LLVMValueRef pointers = addresses(e, inst, element);
    if (inst->type.lanes == 1) {
        store_one_place(e, inst, value, pointers);
        return;
    }
    LLVMTypeRef types[] = {LLVMTypeOf(value), LLVMTypeOf(pointers)};
    LLVMValueRef args[] = {value, pointers, alignment(e, inst),
                           mask_of(e, inst, inst->type.lanes)};
    krsi_emit_call(e, "llvm.masked.scatter", types, 2, args, 4);
}

void
krsi_emit_prefetch(krsi_emit *e, const krs_kinst *inst)
{
    enum { FOR_READ = 0, KEEP_IN_ALL = 3, DATA = 1 };
    LLVMTypeRef i32 = LLVMInt32TypeInContext(e->context);
    krs_dtype dtype = e->kernel->buffers[inst->slot].dtype;
    LLVMValueRef pointer = address(e, inst, krsi_emit_stored(e, dtype));
    LLVMTypeRef type = LLVMTypeOf(pointer);
    LLVMValueRef args[] = {pointer, LLVMConstInt(i32, FOR_READ, false),
                           LLVMConstInt(i32, KEEP_IN_ALL, false),
                           LLVMConstInt(i32, DATA, false)};
    krsi_emit_call(e, "llvm.prefetch", &type, 1, args, 4);
}
