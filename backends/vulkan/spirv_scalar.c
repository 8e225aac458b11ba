/* spirv_scalar.c -- the rows of scalar.def in SPIR-V, one lane at a time.
 *
 * Invariant: NoContraction on every operation of f32; nothing that SPIR-V
 * leaves undefined for any operand: divisors and shift counts are made
 * harmless first, and the stated result is selected afterwards. Signs and NaNs
 * are looked at in integers, where no compiler has an opinion on them.
 */
#include "spirv_emit.h"

#include <spirv/unified1/GLSL.std.450.h>

typedef uint32_t value;

/* ---- small steps ---- */

value
krsi_spv_lane_type(krsi_spv_emit *e, krs_dtype dtype)
{
    if (dtype == KRS_F32)
        return krsi_spv_float(e->m);
    if (dtype == KRS_BOOL)
        return krsi_spv_bool(e->m);
    return dtype == KRS_I64 ? krsi_spv_wide_type(e) : krsi_spv_uint(e->m, 32);
}

value
krsi_spv_float_op(krsi_spv_emit *e, SpvOp op, value a, value b)
{
    value id = krsi_spv_value(e->m, op, krsi_spv_float(e->m), a, b);
    krsi_spv_put(e->m, KRSI_SPV_NOTES, SpvOpDecorate, id,
                 SpvDecorationNoContraction);
    return id;
}

static value
library(krsi_spv_emit *e, enum GLSLstd450 function, value a)
{
    return krsi_spv_value(e->m, SpvOpExtInst, krsi_spv_float(e->m), e->m->glsl,
                          (uint32_t)function, a);
}

value
krsi_spv_as_bits(krsi_spv_emit *e, value f32)
{
    return krsi_spv_value(e->m, SpvOpBitcast, krsi_spv_uint(e->m, 32), f32);
}

value
krsi_spv_as_float(krsi_spv_emit *e, value bits)
{
    return krsi_spv_value(e->m, SpvOpBitcast, krsi_spv_float(e->m), bits);
}

value
krsi_spv_word_op(krsi_spv_emit *e, SpvOp op, value a, value b)
{
    return krsi_spv_value(e->m, op, krsi_spv_uint(e->m, 32), a, b);
}

value
krsi_spv_word_number(krsi_spv_emit *e, SpvOp op, value a, uint32_t number)
{
    return krsi_spv_word_op(e, op, a, krsi_spv_u32(e->m, number));
}

value
krsi_spv_compare(krsi_spv_emit *e, SpvOp op, value a, value b)
{
    return krsi_spv_value(e->m, op, krsi_spv_bool(e->m), a, b);
}

/* A vector is chosen by a condition a component, before SPIR-V 1.4. */
value
krsi_spv_select(krsi_spv_emit *e, uint32_t type, value condition, value yes,
                value no)
{
    if (!e->target->has_wide && type == krsi_spv_wide_type(e))
        condition =
            krsi_spv_value(e->m, SpvOpCompositeConstruct,
                           krsi_spv_vector(e->m, krsi_spv_bool(e->m), 2),
                           condition, condition);
    return krsi_spv_value(e->m, SpvOpSelect, type, condition, yes, no);
}

value
krsi_spv_is_nan(krsi_spv_emit *e, value f32)
{
    value size = krsi_spv_word_number(e, SpvOpBitwiseAnd,
                                      krsi_spv_as_bits(e, f32), 0x7fffffff);
    return krsi_spv_compare(e, SpvOpUGreaterThan, size,
                            krsi_spv_u32(e->m, 0x7f800000));
}

/* ---- rows ---- */

/* What the operands of a row are, and numbers of their width. */
typedef struct row {
    krsi_spv_emit *e;
    krs_dtype dtype; /* f32, i32, i64 or bool; a low word is an i32 */
    uint32_t type;
} row;

static value
number(const row *r, uint64_t bits)
{
    return r->dtype == KRS_I64 ? krsi_spv_u64(r->e->m, bits)
                               : krsi_spv_u32(r->e->m, (uint32_t)bits);
}

static value
op2(const row *r, SpvOp op, value a, value b)
{
    return krsi_spv_value(r->e->m, op, r->type, a, b);
}

/* of floats without contraction, of integers */
static value
arithmetic(const row *r, SpvOp of_float, SpvOp of_int, value a, value b)
{
    return r->dtype == KRS_F32 ? krsi_spv_float_op(r->e, of_float, a, b)
                               : op2(r, of_int, a, b);
}

static value
bitwise(const row *r, SpvOp of_bool, SpvOp of_int, value a, value b)
{
    return op2(r, r->dtype == KRS_BOOL ? of_bool : of_int, a, b);
}

static value
compare(const row *r, SpvOp of_float, SpvOp of_int, value a, value b)
{
    return krsi_spv_compare(r->e, r->dtype == KRS_F32 ? of_float : of_int, a,
                            b);
}

static value
either(krsi_spv_emit *e, SpvOp op, value a, value b)
{
    return krsi_spv_value(e->m, op, krsi_spv_bool(e->m), a, b);
}

/* Smallest / -1 becomes smallest / 1, x / 0 becomes x / 1. */
static value
divide(const row *r, value a, value b, bool remainder)
{
    krsi_spv_emit *e = r->e;
    value zero = number(r, 0), one = number(r, 1);
    value smallest =
        number(r, r->dtype == KRS_I64 ? (uint64_t)1 << 63 : 0x80000000);
    value by_zero = krsi_spv_compare(e, SpvOpIEqual, b, zero);
    value overflows = either(
        e, SpvOpLogicalAnd, krsi_spv_compare(e, SpvOpIEqual, a, smallest),
        krsi_spv_compare(e, SpvOpIEqual, b, number(r, UINT64_MAX)));
    value safe = krsi_spv_select(
        e, r->type, either(e, SpvOpLogicalOr, by_zero, overflows), one, b);
    value quotient = op2(r, SpvOpSDiv, a, safe);
    if (!remainder)
        return krsi_spv_select(e, r->type, by_zero, zero, quotient);
    return krsi_spv_select(
        e, r->type, by_zero, a,
        op2(r, SpvOpISub, a, op2(r, SpvOpIMul, quotient, safe)));
}

static value
shift(const row *r, SpvOp op, value a, value b)
{
    krsi_spv_emit *e = r->e;
    value last = number(r, r->dtype == KRS_I64 ? 63 : 31);
    value fits = krsi_spv_compare(e, SpvOpULessThanEqual, b, last);
    value shifted = op2(r, op, a, krsi_spv_select(e, r->type, fits, b, last));
    /* a count too large leaves the sign, which a shift by `last` does */
    return op == SpvOpShiftRightArithmetic
               ? shifted
               : krsi_spv_select(e, r->type, fits, shifted, number(r, 0));
}

/* a if a < b (a > b) or a is NaN, else b */
static value
extreme(const row *r, SpvOp of_float, SpvOp of_int, value a, value b)
{
    krsi_spv_emit *e = r->e;
    value wins = compare(r, of_float, of_int, a, b);
    if (r->dtype == KRS_F32)
        wins = either(e, SpvOpLogicalOr, wins, krsi_spv_is_nan(e, a));
    return krsi_spv_select(e, r->type, wins, a, b);
}

/* The bits of an f32, `kept` of a and `taken` of b. */
static value
bits_of_two(krsi_spv_emit *e, value a, uint32_t kept, value b, uint32_t taken)
{
    value x =
        krsi_spv_word_number(e, SpvOpBitwiseAnd, krsi_spv_as_bits(e, a), kept);
    value y =
        krsi_spv_word_number(e, SpvOpBitwiseAnd, krsi_spv_as_bits(e, b), taken);
    return krsi_spv_as_float(e, krsi_spv_word_op(e, SpvOpBitwiseOr, x, y));
}

static value
negative(const row *r, value a)
{
    krsi_spv_emit *e = r->e;
    if (r->dtype != KRS_F32)
        return krsi_spv_value(e->m, SpvOpSNegate, r->type, a);
    return krsi_spv_as_float(e, krsi_spv_word_number(e, SpvOpBitwiseXor,
                                                     krsi_spv_as_bits(e, a),
                                                     0x80000000));
}

static value
magnitude(const row *r, value a)
{
    krsi_spv_emit *e = r->e;
    if (r->dtype == KRS_F32)
        return krsi_spv_as_float(e, krsi_spv_word_number(e, SpvOpBitwiseAnd,
                                                         krsi_spv_as_bits(e, a),
                                                         0x7fffffff));
    value below = krsi_spv_compare(e, SpvOpSLessThan, a, number(r, 0));
    return krsi_spv_select(e, r->type, below, negative(r, a), a);
}

static value
multiply_add(krsi_spv_emit *e, value a, value b, value c)
{
    return krsi_spv_float_op(e, SpvOpFAdd,
                             krsi_spv_float_op(e, SpvOpFMul, a, b), c);
}

value
krsi_spv_wide_product(krsi_spv_emit *e, value a, value b)
{
    uint32_t word = krsi_spv_uint(e->m, 32);
    return krsi_spv_value(
        e->m, SpvOpUMulExtended,
        krsi_spv_once(e->m, SpvOpTypeStruct, false, word, word), a, b);
}

static value
high_product(krsi_spv_emit *e, value a, value b)
{
    return krsi_spv_value(e->m, SpvOpCompositeExtract, krsi_spv_uint(e->m, 32),
                          krsi_spv_wide_product(e, a, b), 1);
}

/* The low or the high bf16 of a word as f32. */
static value
half_of(krsi_spv_emit *e, value word, bool high)
{
    return krsi_spv_as_float(
        e, high ? krsi_spv_word_number(e, SpvOpBitwiseAnd, word, 0xffff0000)
                : krsi_spv_word_number(e, SpvOpShiftLeftLogical, word, 16));
}

static value
dot_bf16(krsi_spv_emit *e, value a, value b, value c)
{
    a = multiply_add(e, half_of(e, b, true), half_of(e, c, true), a);
    return multiply_add(e, half_of(e, b, false), half_of(e, c, false), a);
}

static value
dot_i8(krsi_spv_emit *e, value a, value b, value c)
{
    krsi_spv *m = e->m;
    uint32_t word = krsi_spv_uint(m, 32);
    value eight = krsi_spv_u32(m, 8);
    for (uint32_t bit = 0; bit < 32; bit += 8) {
        value at = krsi_spv_u32(m, bit);
        value left =
            krsi_spv_value(m, SpvOpBitFieldUExtract, word, b, at, eight);
        value right =
            krsi_spv_value(m, SpvOpBitFieldSExtract, word, c, at, eight);
        a = krsi_spv_word_op(e, SpvOpIAdd, a,
                             krsi_spv_word_op(e, SpvOpIMul, left, right));
    }
    return a;
}

uint32_t
krsi_spv_scalar(krsi_spv_emit *e, const krs_kinst *inst, bool wide, uint32_t a,
                uint32_t b, uint32_t c)
{
    bool selects = inst->scalar == KRS_KS_SELECT;
    krs_dtype dtype = selects ? (krs_dtype)inst->type.dtype
                              : (krs_dtype)e->kernel->insts[inst->a].type.dtype;
    if (!wide && dtype == KRS_I64)
        dtype = KRS_I32;
    row r = {e, dtype, krsi_spv_lane_type(e, dtype)};
    if (dtype == KRS_I64 && !selects && !e->target->has_wide)
        return krsi_spv_pair_scalar(e, (krs_kscalar)inst->scalar, a, b);
    switch ((krs_kscalar)inst->scalar) {
    case KRS_KS_ADD: return arithmetic(&r, SpvOpFAdd, SpvOpIAdd, a, b);
    case KRS_KS_SUB: return arithmetic(&r, SpvOpFSub, SpvOpISub, a, b);
    case KRS_KS_MUL: return arithmetic(&r, SpvOpFMul, SpvOpIMul, a, b);
    case KRS_KS_DIV:
        return dtype == KRS_F32 ? krsi_spv_float_op(e, SpvOpFDiv, a, b)
                                : divide(&r, a, b, false);
    case KRS_KS_REM: return divide(&r, a, b, true);
    case KRS_KS_NEG: return negative(&r, a);
    case KRS_KS_ABS: return magnitude(&r, a);
    case KRS_KS_MAD: return multiply_add(e, a, b, c);
    case KRS_KS_MIN:
        return extreme(&r, SpvOpFOrdLessThan, SpvOpSLessThan, a, b);
    case KRS_KS_MAX:
        return extreme(&r, SpvOpFOrdGreaterThan, SpvOpSGreaterThan, a, b);
    case KRS_KS_SQRT: return library(e, GLSLstd450Sqrt, a);
    case KRS_KS_FLOOR: return library(e, GLSLstd450Floor, a);
    case KRS_KS_ROUND: return library(e, GLSLstd450RoundEven, a);
    case KRS_KS_COPYSIGN: return bits_of_two(e, a, 0x7fffffff, b, 0x80000000);
    case KRS_KS_EQ: return compare(&r, SpvOpFOrdEqual, SpvOpIEqual, a, b);
    case KRS_KS_NE:
        return compare(&r, SpvOpFUnordNotEqual, SpvOpINotEqual, a, b);
    case KRS_KS_LT: return compare(&r, SpvOpFOrdLessThan, SpvOpSLessThan, a, b);
    case KRS_KS_LE:
        return compare(&r, SpvOpFOrdLessThanEqual, SpvOpSLessThanEqual, a, b);
    case KRS_KS_GT:
        return compare(&r, SpvOpFOrdGreaterThan, SpvOpSGreaterThan, a, b);
    case KRS_KS_GE:
        return compare(&r, SpvOpFOrdGreaterThanEqual, SpvOpSGreaterThanEqual, a,
                       b);
    case KRS_KS_SELECT: return krsi_spv_select(e, r.type, a, b, c);
    case KRS_KS_AND: return bitwise(&r, SpvOpLogicalAnd, SpvOpBitwiseAnd, a, b);
    case KRS_KS_OR: return bitwise(&r, SpvOpLogicalOr, SpvOpBitwiseOr, a, b);
    case KRS_KS_XOR:
        return bitwise(&r, SpvOpLogicalNotEqual, SpvOpBitwiseXor, a, b);
    case KRS_KS_NOT:
        return krsi_spv_value(
            e->m, dtype == KRS_BOOL ? SpvOpLogicalNot : SpvOpNot, r.type, a);
    case KRS_KS_SHL: return shift(&r, SpvOpShiftLeftLogical, a, b);
    case KRS_KS_SHR: return shift(&r, SpvOpShiftRightLogical, a, b);
    case KRS_KS_SAR: return shift(&r, SpvOpShiftRightArithmetic, a, b);
    case KRS_KS_UMULH: return high_product(e, a, b);
    case KRS_KS_DOT2_BF16: return dot_bf16(e, a, b, c);
    case KRS_KS_DOT4_I8: return dot_i8(e, a, b, c);
    case KRS_KS_CONVERT:
    case KRS_KS_BITCAST: /* spirv_kernel.c */
    case KRS_KS_COUNT: break;
    }
    e->failure = krs_kscalar_name((krs_kscalar)inst->scalar);
    return a;
}
