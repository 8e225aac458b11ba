/* emit_scalar.c -- the rows of scalar.def in LLVM IR.
 *
 * Invariant: no fast-math flag, no nsw or nuw, and nothing that is poison or
 * traps for any operand: divisors and shift counts are made harmless first,
 * and the stated result is selected afterwards.
 */
#include "emit.h"

typedef LLVMValueRef value;

static bool
is_float(value a)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind)
        type = LLVMGetElementType(type);
    return LLVMGetTypeKind(type) == LLVMFloatTypeKind;
}

static unsigned
bits_of(value a)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind)
        type = LLVMGetElementType(type);
    return LLVMGetIntTypeWidth(type);
}

static value
unary(krsi_emit *e, const char *name, value a)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    return krsi_emit_call(e, name, &type, 1, &a, 1);
}

static value
binary(krsi_emit *e, const char *name, value a, value b)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    return krsi_emit_call(e, name, &type, 1, (value[]){a, b}, 2);
}

/* Smallest / -1 becomes smallest / 1, x / 0 becomes x / 1. */
static value
divide(krsi_emit *e, value a, value b, bool remainder)
{
    LLVMBuilderRef at = e->builder;
    LLVMTypeRef type = LLVMTypeOf(a);
    value zero = krsi_emit_int(type, 0);
    value smallest = krsi_emit_int(type, (uint64_t)1 << (bits_of(a) - 1));
    value by_zero = LLVMBuildICmp(at, LLVMIntEQ, b, zero, "");
    value overflows = LLVMBuildAnd(
        at, LLVMBuildICmp(at, LLVMIntEQ, a, smallest, ""),
        LLVMBuildICmp(at, LLVMIntEQ, b, LLVMConstAllOnes(type), ""), "");
    value safe = LLVMBuildSelect(at, LLVMBuildOr(at, by_zero, overflows, ""),
                                 krsi_emit_int(type, 1), b, "");
    if (remainder)
        return LLVMBuildSelect(at, by_zero, a, LLVMBuildSRem(at, a, safe, ""),
                               "");
    return LLVMBuildSelect(at, by_zero, zero, LLVMBuildSDiv(at, a, safe, ""),
                           "");
}

static value
shift(krsi_emit *e, LLVMOpcode op, value a, value b)
{
    LLVMBuilderRef at = e->builder;
    LLVMTypeRef type = LLVMTypeOf(a);
    value last = krsi_emit_int(type, bits_of(a) - 1);
    value fits = LLVMBuildICmp(at, LLVMIntULE, b, last, "");
    value safe = LLVMBuildSelect(at, fits, b, last, "");
    value shifted = LLVMBuildBinOp(at, op, a, safe, "");
    /* a count too large leaves the sign, which a shift by `last` does */
    return op == LLVMAShr
               ? shifted
               : LLVMBuildSelect(at, fits, shifted, krsi_emit_int(type, 0), "");
}

/* a if a < b (a > b) or a is NaN, else b */
static value
extreme(krsi_emit *e, value a, value b, bool smallest)
{
    LLVMBuilderRef at = e->builder;
    value wins;
    if (is_float(a))
        wins = LLVMBuildOr(
            at,
            LLVMBuildFCmp(at, smallest ? LLVMRealOLT : LLVMRealOGT, a, b, ""),
            LLVMBuildFCmp(at, LLVMRealUNO, a, a, ""), "");
    else
        wins = LLVMBuildICmp(at, smallest ? LLVMIntSLT : LLVMIntSGT, a, b, "");
    return LLVMBuildSelect(at, wins, a, b, "");
}

static value
compare(krsi_emit *e, LLVMRealPredicate real, LLVMIntPredicate integer, value a,
        value b)
{
    return is_float(a) ? LLVMBuildFCmp(e->builder, real, a, b, "")
                       : LLVMBuildICmp(e->builder, integer, a, b, "");
}

static value
high_product(krsi_emit *e, value a, value b)
{
    LLVMBuilderRef at = e->builder;
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMTypeRef wide = krsi_emit_like(LLVMInt64TypeInContext(e->context), type);
    value product = LLVMBuildMul(at, LLVMBuildZExt(at, a, wide, ""),
                                 LLVMBuildZExt(at, b, wide, ""), "");
    return LLVMBuildTrunc(
        at, LLVMBuildLShr(at, product, krsi_emit_int(wide, 32), ""), type, "");
}

LLVMValueRef
krsi_emit_mad(krsi_emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    if (e->target->has_fma)
        return krsi_emit_call(e, "llvm.fma", &type, 1, (value[]){a, b, c}, 3);
    return LLVMBuildFAdd(e->builder, LLVMBuildFMul(e->builder, a, b, ""), c,
                         "");
}

static value
magnitude(krsi_emit *e, value a)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef keep_smallest =
        LLVMConstNull(LLVMInt1TypeInContext(e->context));
    if (is_float(a))
        return unary(e, "llvm.fabs", a);
    return krsi_emit_call(e, "llvm.abs", &type, 1, (value[]){a, keep_smallest},
                          2);
}

LLVMValueRef
krsi_emit_scalar(krsi_emit *e, const krs_kinst *inst)
{
    LLVMBuilderRef at = e->builder;
    value a = e->values[inst->a], b = e->values[inst->b],
          c = e->values[inst->c];
    krs_dtype from = e->kernel->insts[inst->a].type.dtype;
    switch ((krs_kscalar)inst->scalar) {
    case KRS_KS_ADD:
        return is_float(a) ? LLVMBuildFAdd(at, a, b, "")
                           : LLVMBuildAdd(at, a, b, "");
    case KRS_KS_SUB:
        return is_float(a) ? LLVMBuildFSub(at, a, b, "")
                           : LLVMBuildSub(at, a, b, "");
    case KRS_KS_MUL:
        return is_float(a) ? LLVMBuildFMul(at, a, b, "")
                           : LLVMBuildMul(at, a, b, "");
    case KRS_KS_DIV:
        return is_float(a) ? LLVMBuildFDiv(at, a, b, "")
                           : divide(e, a, b, false);
    case KRS_KS_REM: return divide(e, a, b, true);
    case KRS_KS_NEG:
        return is_float(a) ? LLVMBuildFNeg(at, a, "") : LLVMBuildNeg(at, a, "");
    case KRS_KS_ABS: return magnitude(e, a);
    case KRS_KS_MAD: return krsi_emit_mad(e, a, b, c);
    case KRS_KS_MIN: return extreme(e, a, b, true);
    case KRS_KS_MAX: return extreme(e, a, b, false);
    case KRS_KS_SQRT: return unary(e, "llvm.sqrt", a);
    case KRS_KS_FLOOR: return unary(e, "llvm.floor", a);
    case KRS_KS_ROUND: return unary(e, "llvm.roundeven", a);
    case KRS_KS_COPYSIGN: return binary(e, "llvm.copysign", a, b);
    case KRS_KS_EQ: return compare(e, LLVMRealOEQ, LLVMIntEQ, a, b);
    case KRS_KS_NE: return compare(e, LLVMRealUNE, LLVMIntNE, a, b);
    case KRS_KS_LT: return compare(e, LLVMRealOLT, LLVMIntSLT, a, b);
    case KRS_KS_LE: return compare(e, LLVMRealOLE, LLVMIntSLE, a, b);
    case KRS_KS_GT: return compare(e, LLVMRealOGT, LLVMIntSGT, a, b);
    case KRS_KS_GE: return compare(e, LLVMRealOGE, LLVMIntSGE, a, b);
    case KRS_KS_SELECT: return LLVMBuildSelect(at, a, b, c, "");
    case KRS_KS_AND: return LLVMBuildAnd(at, a, b, "");
    case KRS_KS_OR: return LLVMBuildOr(at, a, b, "");
    case KRS_KS_XOR: return LLVMBuildXor(at, a, b, "");
    case KRS_KS_NOT: return LLVMBuildNot(at, a, "");
    case KRS_KS_SHL: return shift(e, LLVMShl, a, b);
    case KRS_KS_SHR: return shift(e, LLVMLShr, a, b);
    case KRS_KS_SAR: return shift(e, LLVMAShr, a, b);
    case KRS_KS_UMULH: return high_product(e, a, b);
    case KRS_KS_CONVERT: return krsi_emit_convert(e, inst->type.dtype, from, a);
    case KRS_KS_BITCAST:
        return LLVMBuildBitCast(at, a, krsi_emit_type(e, inst->type), "");
    case KRS_KS_DOT2_BF16: return krsi_emit_dot2(e, a, b, c);
    case KRS_KS_DOT4_I8: return krsi_emit_dot4(e, a, b, c);
    case KRS_KS_COUNT: break;
    }
    e->failure = krs_kscalar_name(inst->scalar);
    return a;
}
