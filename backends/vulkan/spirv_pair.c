/* spirv_pair.c -- i64 on devices without 64-bit integers: two words, the low one
 * first, in a vector.
 *
 * In: lanes of i64. Out: the bits that scalar.def states, by operations of words
 * alone, so that nothing is narrowed: sin and cos reduce large arguments in 64
 * bits, and positions, token ids and sums of users may be any i64. Where a device
 * has the integers (target->has_wide), the functions of spirv_emit.h that know
 * both forms give those.
 *
 * Division: Warren, Hacker's Delight (2nd ed., 2013), 9-3 (a word in digits of 16
 * bits) and 9-5 (64 bits of it). There is no loop in any of it.
 */
#include "spirv_emit.h"

#include <spirv/unified1/GLSL.std.450.h>

typedef uint32_t value;

/* ---- words ---- */

static value
word(krsi_spv_emit *e, SpvOp op, value a, value b)
{
    return krsi_spv_word_op(e, op, a, b);
}

static value
with(krsi_spv_emit *e, SpvOp op, value a, uint32_t number)
{
    return krsi_spv_word_number(e, op, a, number);
}

static value
pick(krsi_spv_emit *e, value condition, value yes, value no)
{
    return krsi_spv_select(e, krsi_spv_uint(e->m, 32), condition, yes, no);
}

static value
holds(krsi_spv_emit *e, SpvOp op, value a, uint32_t number)
{
    return krsi_spv_compare(e, op, a, krsi_spv_u32(e->m, number));
}

static value
both(krsi_spv_emit *e, SpvOp op, value a, value b)
{
    return krsi_spv_value(e->m, op, krsi_spv_bool(e->m), a, b);
}

/* The number of the highest bit that is set; there is one. */
static value
highest_bit(krsi_spv_emit *e, value a)
{
    return krsi_spv_value(e->m, SpvOpExtInst, krsi_spv_uint(e->m, 32),
                          e->m->glsl, GLSLstd450FindUMsb, a);
}

/* The word between two: a moved by n < 32 bits, and what b next to it loses then,
 * from the other side. */
static value
between(krsi_spv_emit *e, SpvOp op, value a, value b, value n)
{
    SpvOp other = op == SpvOpShiftLeftLogical ? SpvOpShiftRightLogical
                                              : SpvOpShiftLeftLogical;
    value rest = with(e, SpvOpBitwiseXor, n, 31);
    value from_b = word(e, other, with(e, other, b, 1), rest);
    return word(e, SpvOpBitwiseOr, word(e, op, a, n), from_b);
}

/* ---- pairs ---- */

typedef struct pair {
    value low, high;
} pair;

static uint32_t
pair_type(krsi_spv_emit *e)
{
    return krsi_spv_vector(e->m, krsi_spv_uint(e->m, 32), 2);
}

static pair
open(krsi_spv_emit *e, value a)
{
    uint32_t type = krsi_spv_uint(e->m, 32);
    return (pair){krsi_spv_value(e->m, SpvOpCompositeExtract, type, a, 0),
                  krsi_spv_value(e->m, SpvOpCompositeExtract, type, a, 1)};
}

static value
closed(krsi_spv_emit *e, pair a)
{
    return krsi_spv_value(e->m, SpvOpCompositeConstruct, pair_type(e), a.low,
                          a.high);
}

static pair
number(krsi_spv_emit *e, uint64_t bits)
{
    return (pair){krsi_spv_u32(e->m, (uint32_t)bits),
                  krsi_spv_u32(e->m, (uint32_t)(bits >> 32))};
}

static pair
either(krsi_spv_emit *e, value condition, pair yes, pair no)
{
    return (pair){pick(e, condition, yes.low, no.low),
                  pick(e, condition, yes.high, no.high)};
}

static pair
add(krsi_spv_emit *e, pair a, pair b)
{
    pair sum = {.low = word(e, SpvOpIAdd, a.low, b.low)};
    value carry = pick(e, krsi_spv_compare(e, SpvOpULessThan, sum.low, a.low),
                       krsi_spv_u32(e->m, 1), krsi_spv_u32(e->m, 0));
    sum.high = word(e, SpvOpIAdd, word(e, SpvOpIAdd, a.high, b.high), carry);
    return sum;
}

static pair
subtract(krsi_spv_emit *e, pair a, pair b)
{
    value borrow = pick(e, krsi_spv_compare(e, SpvOpULessThan, a.low, b.low),
                        krsi_spv_u32(e->m, 1), krsi_spv_u32(e->m, 0));
    return (pair){
        word(e, SpvOpISub, a.low, b.low),
        word(e, SpvOpISub, word(e, SpvOpISub, a.high, b.high), borrow)};
}

static pair
negative(krsi_spv_emit *e, pair a)
{
    return subtract(e, number(e, 0), a);
}

static pair
multiply(krsi_spv_emit *e, pair a, pair b)
{
    krsi_spv *m = e->m;
    uint32_t type = krsi_spv_uint(m, 32);
    value product = krsi_spv_wide_product(e, a.low, b.low);
    value high = krsi_spv_value(m, SpvOpCompositeExtract, type, product, 1);
    high = word(e, SpvOpIAdd, high, word(e, SpvOpIMul, a.low, b.high));
    high = word(e, SpvOpIAdd, high, word(e, SpvOpIMul, a.high, b.low));
    return (pair){krsi_spv_value(m, SpvOpCompositeExtract, type, product, 0),
                  high};
}

static value
is_equal(krsi_spv_emit *e, pair a, pair b)
{
    return holds(e, SpvOpIEqual,
                 word(e, SpvOpBitwiseOr, word(e, SpvOpBitwiseXor, a.low, b.low),
                      word(e, SpvOpBitwiseXor, a.high, b.high)),
                 0);
}

/* of_high: SLessThan, or ULessThan of unsigned numbers */
static value
is_less(krsi_spv_emit *e, SpvOp of_high, pair a, pair b)
{
    value low = krsi_spv_compare(e, SpvOpULessThan, a.low, b.low);
    value same = krsi_spv_compare(e, SpvOpIEqual, a.high, b.high);
    value high = krsi_spv_compare(e, of_high, a.high, b.high);
    return both(e, SpvOpLogicalOr, high, both(e, SpvOpLogicalAnd, same, low));
}

static value
is_below_zero(krsi_spv_emit *e, pair a)
{
    return holds(e, SpvOpSLessThan, a.high, 0);
}

static pair
magnitude(krsi_spv_emit *e, pair a)
{
    return either(e, is_below_zero(e, a), negative(e, a), a);
}

/* by n < 64 bits */
static pair
shift_left(krsi_spv_emit *e, pair a, value n)
{
    value zero = krsi_spv_u32(e->m, 0), rest = with(e, SpvOpBitwiseAnd, n, 31);
    value moves = holds(e, SpvOpUGreaterThanEqual, n, 32);
    value low = word(e, SpvOpShiftLeftLogical, a.low, rest);
    return (pair){pick(e, moves, zero, low),
                  pick(e, moves, low,
                       between(e, SpvOpShiftLeftLogical, a.high, a.low, rest))};
}

/* by n < 64 bits, of which `fill` are copies */
static pair
shift_right(krsi_spv_emit *e, SpvOp op, pair a, value n, value fill)
{
    value rest = with(e, SpvOpBitwiseAnd, n, 31);
    value moves = holds(e, SpvOpUGreaterThanEqual, n, 32);
    value high = word(e, op, a.high, rest);
    return (pair){pick(e, moves, high,
                       between(e, SpvOpShiftRightLogical, a.low, a.high, rest)),
                  pick(e, moves, fill, high)};
}

static pair
shift(krsi_spv_emit *e, SpvOp op, pair a, pair count)
{
    value zero = krsi_spv_u32(e->m, 0);
    value fill =
        op == SpvOpShiftRightArithmetic ? with(e, op, a.high, 31) : zero;
    value fits = both(e, SpvOpLogicalAnd, holds(e, SpvOpIEqual, count.high, 0),
                      holds(e, SpvOpULessThanEqual, count.low, 63));
    value n = with(e, SpvOpBitwiseAnd, count.low, 63);
    pair moved = op == SpvOpShiftLeftLogical ? shift_left(e, a, n)
                                             : shift_right(e, op, a, n, fill);
    return either(e, fits, moved, (pair){fill, fill});
}

/* ---- division ---- */

/* A digit of 16 bits of a quotient: at most two too large at first. */
static value
digit(krsi_spv_emit *e, value above, value next, value high, value low,
      value *rest)
{
    value q = word(e, SpvOpUDiv, above, high), goes_on = 0;
    value r = word(e, SpvOpISub, above, word(e, SpvOpIMul, q, high));
    for (int i = 0; i < 2; i++) {
        value bound =
            word(e, SpvOpIAdd, with(e, SpvOpShiftLeftLogical, r, 16), next);
        value too_large = both(
            e, SpvOpLogicalOr, holds(e, SpvOpUGreaterThanEqual, q, 0x10000),
            krsi_spv_compare(e, SpvOpUGreaterThan, word(e, SpvOpIMul, q, low),
                             bound));
        if (goes_on)
            too_large = both(e, SpvOpLogicalAnd, too_large, goes_on);
        q = pick(e, too_large, with(e, SpvOpISub, q, 1), q);
        r = pick(e, too_large, word(e, SpvOpIAdd, r, high), r);
        goes_on = both(e, SpvOpLogicalAnd, too_large,
                       holds(e, SpvOpULessThan, r, 0x10000));
    }
    /* the remainder: (above, next) - q (high, low) */
    *rest = word(
        e, SpvOpISub,
        word(e, SpvOpIAdd, with(e, SpvOpShiftLeftLogical, above, 16), next),
        word(e, SpvOpIMul, q,
             word(e, SpvOpBitwiseOr, with(e, SpvOpShiftLeftLogical, high, 16),
                  low)));
    return q;
}

/* (high, low) / by, where high < by: the quotient is a word */
static value
divide_word(krsi_spv_emit *e, pair a, value by)
{
    value n = with(e, SpvOpBitwiseXor, highest_bit(e, by), 31), rest;
    by = word(e, SpvOpShiftLeftLogical, by, n);
    value high = with(e, SpvOpShiftRightLogical, by, 16);
    value low = with(e, SpvOpBitwiseAnd, by, 0xffff);
    value above = between(e, SpvOpShiftLeftLogical, a.high, a.low, n);
    value below = word(e, SpvOpShiftLeftLogical, a.low, n);
    value first = digit(e, above, with(e, SpvOpShiftRightLogical, below, 16),
                        high, low, &rest);
    value second = digit(e, rest, with(e, SpvOpBitwiseAnd, below, 0xffff), high,
                         low, &rest);
    return word(e, SpvOpIAdd, with(e, SpvOpShiftLeftLogical, first, 16),
                second);
}

/* a / b of unsigned numbers, b > 0. If b is a word: two digits of 32 bits. Else
 * the quotient is a word, which the high word of b gives one too large at most,
 * after half of a was taken for a. */
static pair
divide_unsigned(krsi_spv_emit *e, pair a, pair b)
{
    value zero = krsi_spv_u32(e->m, 0), one = krsi_spv_u32(e->m, 1);
    value is_word = holds(e, SpvOpIEqual, b.high, 0);
    value low = pick(e, is_word, b.low, one); /* not 0 */
    value first = word(e, SpvOpUDiv, a.high, low);
    value rest = word(e, SpvOpISub, a.high, word(e, SpvOpIMul, first, low));
    value n = with(e, SpvOpBitwiseXor,
                   highest_bit(e, pick(e, is_word, one, b.high)), 31);
    pair half = {between(e, SpvOpShiftRightLogical, a.low, a.high, one),
                 with(e, SpvOpShiftRightLogical, a.high, 1)};
    value by = pick(e, is_word, low,
                    between(e, SpvOpShiftLeftLogical, b.high, b.low, n));
    value q = divide_word(e, either(e, is_word, (pair){a.low, rest}, half), by);
    value guess =
        word(e, SpvOpShiftRightLogical, q, with(e, SpvOpBitwiseXor, n, 31));
    guess = pick(e, holds(e, SpvOpIEqual, guess, 0), guess,
                 with(e, SpvOpISub, guess, 1));
    pair left = subtract(e, a, multiply(e, (pair){guess, zero}, b));
    guess = pick(e, is_less(e, SpvOpULessThan, left, b), guess,
                 with(e, SpvOpIAdd, guess, 1));
    return either(e, is_word, (pair){q, first}, (pair){guess, zero});
}

/* The smallest number is its own magnitude, as an unsigned one: so its quotient
 * by -1 is itself without more ado. */
static pair
divide(krsi_spv_emit *e, pair a, pair b)
{
    pair zero = number(e, 0);
    value by_zero = is_equal(e, b, zero);
    pair q = divide_unsigned(e, magnitude(e, a),
                             either(e, by_zero, number(e, 1), magnitude(e, b)));
    value differ =
        holds(e, SpvOpSLessThan, word(e, SpvOpBitwiseXor, a.high, b.high), 0);
    return either(e, by_zero, zero, either(e, differ, negative(e, q), q));
}

/* ---- rows ---- */

static value
bitwise(krsi_spv_emit *e, SpvOp op, value a, value b)
{
    return krsi_spv_value(e->m, op, pair_type(e), a, b);
}

static value
negated(krsi_spv_emit *e, value truth)
{
    return krsi_spv_value(e->m, SpvOpLogicalNot, krsi_spv_bool(e->m), truth);
}

uint32_t
krsi_spv_pair_scalar(krsi_spv_emit *e, krs_kscalar row, uint32_t first,
                     uint32_t second)
{
    pair a = open(e, first), b = second ? open(e, second) : (pair){0};
    switch (row) {
    case KRS_KS_ADD: return closed(e, add(e, a, b));
    case KRS_KS_SUB: return closed(e, subtract(e, a, b));
    case KRS_KS_MUL: return closed(e, multiply(e, a, b));
    case KRS_KS_DIV: return closed(e, divide(e, a, b));
    case KRS_KS_REM:
        return closed(e, subtract(e, a, multiply(e, divide(e, a, b), b)));
    case KRS_KS_NEG: return closed(e, negative(e, a));
    case KRS_KS_ABS: return closed(e, magnitude(e, a));
    case KRS_KS_MIN:
        return closed(e, either(e, is_less(e, SpvOpSLessThan, a, b), a, b));
    case KRS_KS_MAX:
        return closed(e, either(e, is_less(e, SpvOpSLessThan, b, a), a, b));
    case KRS_KS_EQ: return is_equal(e, a, b);
    case KRS_KS_NE: return negated(e, is_equal(e, a, b));
    case KRS_KS_LT: return is_less(e, SpvOpSLessThan, a, b);
    case KRS_KS_LE: return negated(e, is_less(e, SpvOpSLessThan, b, a));
    case KRS_KS_GT: return is_less(e, SpvOpSLessThan, b, a);
    case KRS_KS_GE: return negated(e, is_less(e, SpvOpSLessThan, a, b));
    case KRS_KS_AND: return bitwise(e, SpvOpBitwiseAnd, first, second);
    case KRS_KS_OR: return bitwise(e, SpvOpBitwiseOr, first, second);
    case KRS_KS_XOR: return bitwise(e, SpvOpBitwiseXor, first, second);
    case KRS_KS_NOT: return krsi_spv_value(e->m, SpvOpNot, pair_type(e), first);
    case KRS_KS_SHL: return closed(e, shift(e, SpvOpShiftLeftLogical, a, b));
    case KRS_KS_SHR: return closed(e, shift(e, SpvOpShiftRightLogical, a, b));
    case KRS_KS_SAR:
        return closed(e, shift(e, SpvOpShiftRightArithmetic, a, b));
    case KRS_KS_MAD:
    case KRS_KS_SQRT:
    case KRS_KS_FLOOR:
    case KRS_KS_ROUND:
    case KRS_KS_COPYSIGN:
    case KRS_KS_SELECT: /* krsi_spv_select */
    case KRS_KS_UMULH:
    case KRS_KS_DOT2_BF16:
    case KRS_KS_DOT4_I8:
    case KRS_KS_CONVERT:
    case KRS_KS_BITCAST: /* spirv_kernel.c */
    case KRS_KS_COUNT: break;
    }
    e->failure = krs_kscalar_name(row);
    return first;
}

/* ---- conversions ---- */

/* The sign, and the magnitude with its highest bit moved to the top: 24 bits of
 * it are kept, nearest even, and a carry goes into the exponent. */
uint32_t
krsi_spv_pair_to_f32(krsi_spv_emit *e, uint32_t i64)
{
    krsi_spv *m = e->m;
    pair a = open(e, i64), size = magnitude(e, a);
    value zero = krsi_spv_u32(m, 0), one = krsi_spv_u32(m, 1);
    value sign = with(e, SpvOpBitwiseAnd, a.high, 0x80000000);
    value in_low = holds(e, SpvOpIEqual, size.high, 0);
    value top = pick(e, in_low, size.low, size.high);
    value is_zero = holds(e, SpvOpIEqual, top, 0);
    value at = highest_bit(e, pick(e, is_zero, one, top));
    at = pick(e, in_low, at, with(e, SpvOpIAdd, at, 32));
    pair up = shift_left(e, size, with(e, SpvOpBitwiseXor, at, 63));
    value lost = pick(e, holds(e, SpvOpIEqual, up.low, 0), zero, one);
    value kept = with(e, SpvOpShiftRightLogical, up.high, 8);
    value rest =
        word(e, SpvOpBitwiseOr, with(e, SpvOpBitwiseAnd, up.high, 0xff), lost);
    value odd = with(e, SpvOpBitwiseAnd, kept, 1);
    value carry = pick(
        e, holds(e, SpvOpUGreaterThan, word(e, SpvOpIAdd, rest, odd), 0x80),
        one, zero);
    /* kept has the bit that an f32 does not, which is 1 of the exponent */
    value exponent =
        with(e, SpvOpShiftLeftLogical, with(e, SpvOpIAdd, at, 126), 23);
    value bits = word(e, SpvOpIAdd, word(e, SpvOpIAdd, exponent, kept), carry);
    bits = pick(e, is_zero, zero, word(e, SpvOpBitwiseOr, bits, sign));
    return krsi_spv_as_float(e, bits);
}

/* Towards zero, of what is in range: 24 bits, moved by the exponent. */
uint32_t
krsi_spv_pair_from_f32(krsi_spv_emit *e, uint32_t f32)
{
    krsi_spv *m = e->m;
    enum { WHOLE = 127 + 23, ONE = 127 }; /* exponents of 2^23 and 1 */
    value bits = krsi_spv_as_bits(e, f32), zero = krsi_spv_u32(m, 0);
    value exponent = with(e, SpvOpBitwiseAnd,
                          with(e, SpvOpShiftRightLogical, bits, 23), 0xff);
    value digits = with(e, SpvOpBitwiseOr,
                        with(e, SpvOpBitwiseAnd, bits, 0x7fffff), 0x800000);
    value is_whole = holds(e, SpvOpUGreaterThanEqual, exponent, WHOLE);
    value is_small = holds(e, SpvOpULessThan, exponent, ONE);
    value left = pick(e, is_whole, with(e, SpvOpISub, exponent, WHOLE), zero);
    value right = word(e, SpvOpISub, krsi_spv_u32(m, WHOLE), exponent);
    right = pick(e, both(e, SpvOpLogicalOr, is_whole, is_small), zero, right);
    value low = word(e, SpvOpShiftRightLogical, digits, right);
    pair size = shift_left(e, (pair){pick(e, is_small, zero, low), zero},
                           with(e, SpvOpBitwiseAnd, left, 63));
    value below = holds(e, SpvOpSLessThan, bits, 0);
    return closed(e, either(e, below, negative(e, size), size));
}

/* ---- both forms ---- */

uint32_t
krsi_spv_wide_type(krsi_spv_emit *e)
{
    return e->target->has_wide ? krsi_spv_uint(e->m, 64) : pair_type(e);
}

uint32_t
krsi_spv_wide_number(krsi_spv_emit *e, uint64_t bits)
{
    pair words;
    if (e->target->has_wide)
        return krsi_spv_u64(e->m, bits);
    words = number(e, bits);
    return krsi_spv_once(e->m, SpvOpConstantComposite, true, pair_type(e),
                         words.low, words.high);
}

uint32_t
krsi_spv_wide_of(krsi_spv_emit *e, uint32_t a, bool is_signed)
{
    if (e->target->has_wide)
        return krsi_spv_value(e->m, is_signed ? SpvOpSConvert : SpvOpUConvert,
                              krsi_spv_uint(e->m, 64), a);
    return closed(e, (pair){a, is_signed
                                   ? with(e, SpvOpShiftRightArithmetic, a, 31)
                                   : krsi_spv_u32(e->m, 0)});
}

uint32_t
krsi_spv_low_of(krsi_spv_emit *e, uint32_t wide)
{
    uint32_t type = krsi_spv_uint(e->m, 32);
    return e->target->has_wide
               ? krsi_spv_value(e->m, SpvOpUConvert, type, wide)
               : krsi_spv_value(e->m, SpvOpCompositeExtract, type, wide, 0);
}

uint32_t
krsi_spv_wide_add(krsi_spv_emit *e, uint32_t a, uint32_t b)
{
    return e->target->has_wide
               ? krsi_spv_value(e->m, SpvOpIAdd, krsi_spv_uint(e->m, 64), a, b)
               : krsi_spv_pair_scalar(e, KRS_KS_ADD, a, b);
}

uint32_t
krsi_spv_wide_is_less(krsi_spv_emit *e, uint32_t a, uint32_t b)
{
    return e->target->has_wide ? krsi_spv_compare(e, SpvOpSLessThan, a, b)
                               : krsi_spv_pair_scalar(e, KRS_KS_LT, a, b);
}
