/* spirv_convert.c -- the row CONVERT: any element type to any other.
 *
 * Halves go through f32 and are rounded in integers: conversions of SPIR-V may
 * round either way where no mode is offered, and may flush subnormals.
 */
#include "spirv_emit.h"

typedef uint32_t value;

static value
pick(krsi_spv_emit *e, value condition, value yes, value no)
{
    return krsi_spv_select(e, krsi_spv_uint(e->m, 32), condition, yes, no);
}

static value
above(krsi_spv_emit *e, value bits, uint32_t least)
{
    return krsi_spv_compare(e, SpvOpUGreaterThanEqual, bits,
                            krsi_spv_u32(e->m, least));
}

/* (x + 2^(dropped-1) - 1 + the last kept bit) >> dropped: nearest even */
static value
round_bits(krsi_spv_emit *e, value x, uint32_t dropped)
{
    value kept = krsi_spv_word_number(e, SpvOpShiftRightLogical, x, dropped);
    value odd = krsi_spv_word_number(e, SpvOpBitwiseAnd, kept, 1);
    value sum =
        krsi_spv_word_number(e, SpvOpIAdd, x, (1U << (dropped - 1)) - 1);
    return krsi_spv_word_number(e, SpvOpShiftRightLogical,
                                krsi_spv_word_op(e, SpvOpIAdd, sum, odd),
                                dropped);
}

static value
bf16_from_f32(krsi_spv_emit *e, value f32)
{
    value rounded = round_bits(e, krsi_spv_as_bits(e, f32), 16);
    return pick(e, krsi_spv_is_nan(e, f32), krsi_spv_u32(e->m, 0x7fc0),
                rounded);
}

/* By size of |x|: NaN; 65520 and more: infinity; at least 2^-14: move the
 * exponent and round; less: x + 1/2 has the last place of an f16 subnormal,
 * so the addition rounds. */
static value
f16_from_f32(krsi_spv_emit *e, value f32)
{
    krsi_spv *m = e->m;
    value bits = krsi_spv_as_bits(e, f32);
    value sign = krsi_spv_word_number(
        e, SpvOpBitwiseAnd,
        krsi_spv_word_number(e, SpvOpShiftRightLogical, bits, 16), 0x8000);
    value size = krsi_spv_word_number(e, SpvOpBitwiseAnd, bits, 0x7fffffff);
    value normal =
        round_bits(e, krsi_spv_word_number(e, SpvOpISub, size, 0x38000000), 13);
    value shifted = krsi_spv_float_op(e, SpvOpFAdd, krsi_spv_as_float(e, size),
                                      krsi_spv_f32(m, 0x3f000000));
    value small = krsi_spv_word_number(
        e, SpvOpISub, krsi_spv_as_bits(e, shifted), 0x3f000000);
    value half = pick(e, above(e, size, 0x38800000), normal, small);
    half = pick(e, above(e, size, 0x477ff000), krsi_spv_u32(m, 0x7c00), half);
    half = pick(e, above(e, size, 0x7f800001), krsi_spv_u32(m, 0x7e00), half);
    return krsi_spv_word_op(e, SpvOpBitwiseOr, half, sign);
}

/* Normal numbers, infinities and NaNs get another exponent; a subnormal is
 * its integer times 2^-24. */
static value
f32_from_f16(krsi_spv_emit *e, value half)
{
    krsi_spv *m = e->m;
    value sign = krsi_spv_word_number(
        e, SpvOpShiftLeftLogical,
        krsi_spv_word_number(e, SpvOpBitwiseAnd, half, 0x8000), 16);
    value size = krsi_spv_word_number(e, SpvOpBitwiseAnd, half, 0x7fff);
    value moved = krsi_spv_word_number(e, SpvOpShiftLeftLogical, size, 13);
    value normal = krsi_spv_word_number(e, SpvOpIAdd, moved, 0x38000000);
    value special = krsi_spv_word_number(e, SpvOpBitwiseOr, moved, 0x7f800000);
    value count = krsi_spv_value(m, SpvOpConvertUToF, krsi_spv_float(m), size);
    value small = krsi_spv_as_bits(
        e, krsi_spv_float_op(e, SpvOpFMul, count,
                             krsi_spv_f32(m, 0x33800000))); /* 2^-24 */
    value bits = pick(e, above(e, size, 0x0400), normal, small);
    bits = pick(e, above(e, size, 0x7c00), special, bits);
    return krsi_spv_as_float(e,
                             krsi_spv_word_op(e, SpvOpBitwiseOr, bits, sign));
}

static value
f32_from(krsi_spv_emit *e, krs_dtype from, value a)
{
    krsi_spv *m = e->m;
    if (from == KRS_F32)
        return a;
    if (from == KRS_BF16)
        return krsi_spv_as_float(
            e, krsi_spv_word_number(e, SpvOpShiftLeftLogical, a, 16));
    if (from == KRS_F16)
        return f32_from_f16(e, a);
    if (from == KRS_BOOL)
        return krsi_spv_select(e, krsi_spv_float(m), a,
                               krsi_spv_f32(m, 0x3f800000), e->zero_f32);
    if (from == KRS_I64 && !e->target->has_wide)
        return krsi_spv_pair_to_f32(e, a);
    return krsi_spv_value(m,
                          from == KRS_U8 ? SpvOpConvertUToF : SpvOpConvertSToF,
                          krsi_spv_float(m), a);
}

/* What an integer type can hold of f32. */
typedef struct range {
    krs_dtype dtype;
    uint32_t low, high; /* bits of f32: the smallest, and the largest below
                           the limit */
    uint64_t largest;
} range;

static const range ranges[] = {
    {KRS_I64, 0xdf000000, 0x5effffff, INT64_MAX },
    {KRS_I32, 0xcf000000, 0x4effffff, 0x7fffffff},
    {KRS_I8,  0xc3000000, 0x42fe0000, 127       },
    {KRS_U8,  0x00000000, 0x437f0000, 255       }
};

/* Towards zero, saturating, NaN gives 0: the operand is brought into range
 * first, since the conversion of what is out of it is undefined. */
static value
int_from_f32(krsi_spv_emit *e, krs_dtype to, value f32)
{
    krsi_spv *m = e->m;
    uint32_t type = krsi_spv_lane_type(e, to), real = krsi_spv_float(m);
    const range *r = ranges;
    while (r->dtype != to)
        r++;
    value low = r->low ? krsi_spv_f32(m, r->low) : e->zero_f32;
    value high = krsi_spv_f32(m, r->high);
    value is_low = krsi_spv_compare(e, SpvOpFOrdLessThan, f32, low);
    value is_high = krsi_spv_compare(e, SpvOpFOrdGreaterThan, f32, high);
    value x =
        krsi_spv_select(e, real, krsi_spv_is_nan(e, f32), e->zero_f32, f32);
    x = krsi_spv_select(e, real, is_low, low, x);
    x = krsi_spv_select(e, real, is_high, high, x);
    value i = to == KRS_I64 && !e->target->has_wide
                  ? krsi_spv_pair_from_f32(e, x)
                  : krsi_spv_value(m, SpvOpConvertFToS, type, x);
    value largest = to == KRS_I64 ? krsi_spv_wide_number(e, r->largest)
                                  : krsi_spv_u32(m, (uint32_t)r->largest);
    return krsi_spv_select(e, type, is_high, largest, i);
}

static value
field(krsi_spv_emit *e, SpvOp op, value a, uint32_t bits)
{
    krsi_spv *m = e->m;
    return krsi_spv_value(m, op, krsi_spv_uint(m, 32), a, krsi_spv_u32(m, 0),
                          krsi_spv_u32(m, bits));
}

/* Words hold i8 and u8 already extended. */
static value
int_from_int(krsi_spv_emit *e, krs_dtype to, krs_dtype from, value a)
{
    krsi_spv *m = e->m;
    uint32_t type = krsi_spv_lane_type(e, to);
    if (from == KRS_BOOL)
        return krsi_spv_select(
            e, type, a,
            to == KRS_I64 ? krsi_spv_wide_number(e, 1) : krsi_spv_u32(m, 1),
            to == KRS_I64 ? krsi_spv_wide_number(e, 0) : krsi_spv_u32(m, 0));
    if (to == KRS_I64)
        return krsi_spv_wide_of(e, a, from != KRS_U8);
    if (from == KRS_I64)
        a = krsi_spv_low_of(e, a);
    if (to == KRS_I8)
        return field(e, SpvOpBitFieldSExtract, a, 8);
    return to == KRS_U8 ? field(e, SpvOpBitFieldUExtract, a, 8) : a;
}

uint32_t
krsi_spv_convert(krsi_spv_emit *e, krs_dtype to, krs_dtype from, uint32_t a)
{
    krsi_spv *m = e->m;
    if (to == from)
        return a;
    bool from_float = krs_dtype_is_float(from);
    if (to == KRS_BOOL && from_float)
        return krsi_spv_compare(e, SpvOpFUnordNotEqual, f32_from(e, from, a),
                                e->zero_f32);
    if (to == KRS_BOOL && from == KRS_I64 && !e->target->has_wide)
        return krsi_spv_pair_scalar(e, KRS_KS_NE, a,
                                    krsi_spv_wide_number(e, 0));
    if (to == KRS_BOOL)
        return krsi_spv_compare(e, SpvOpINotEqual, a,
                                from == KRS_I64 ? krsi_spv_u64(m, 0)
                                                : krsi_spv_u32(m, 0));
    if (to == KRS_BF16)
        return bf16_from_f32(e, f32_from(e, from, a));
    if (to == KRS_F16)
        return f16_from_f32(e, f32_from(e, from, a));
    if (to == KRS_F32)
        return f32_from(e, from, a);
    return from_float ? int_from_f32(e, to, f32_from(e, from, a))
                      : int_from_int(e, to, from, a);
}
