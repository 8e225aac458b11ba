/* rules_arith.c -- rules of sums, products and signs (rules.def).
 *
 * Floats follow IEEE 754, so each rule is either an identity of signs, or
 * removes an operation that does not round. Integers wrap, so their algebra is
 * that of a ring. A constant is the right operand when these rules see it
 * (constant_right).
 */
#include "rewrite.h"

#include <float.h>
#include <math.h>

static bool
is_float(const krsi_site *s)
{
    return krsi_operand_is_float(s, 0);
}

/* operand i becomes the constant, of the type that it has */
static krsi_verdict
with_constant(krsi_site *s, int i, double value)
{
    const krsi_node *like = krsi_operand(s, i);
    s->in[i] = krsi_site_full(s, (krs_dtype)like->dtype, like, value);
    return s->in[i] ? KRSI_AGAIN : krsi_is(s, 0);
}

static krsi_verdict
zeros(krsi_site *s)
{
    return krsi_is(s, krsi_site_full(s, (krs_dtype)s->type->dtype, s->type, 0));
}

/* -c in the type of operand i; false if a scalar cannot hold it */
static bool
negated(const krsi_site *s, int i, double c, double *out)
{
    if (is_float(s)) {
        *out = -c;
        return true;
    }
    return krsi_whole_product((krs_dtype)krsi_operand(s, i)->dtype, c, -1, out);
}

/* the operation with its operands exchanged */
static enum krsi_op
mirrored(enum krsi_op op)
{
    switch ((int)op) {
    case KRSI_LT: return KRSI_GT;
    case KRSI_LE: return KRSI_GE;
    case KRSI_GT: return KRSI_LT;
    case KRSI_GE: return KRSI_LE;
    default: return op;
    }
}

krsi_verdict
krsi_rule_constant_right(krsi_site *s)
{
    double c;
    if (!krsi_operand_number(s, 0, &c) || krsi_operand_number(s, 1, &c))
        return KRSI_STAYS;
    return krsi_becomes(s, mirrored(s->op), 2, s->in[1], s->in[0]);
}

/* ---- neutral operands ---- */

krsi_verdict
krsi_rule_add_zero(krsi_site *s)
{
    return krsi_operand_equals(s, 1, is_float(s) ? -0.0 : 0.0)
               ? krsi_is(s, s->in[0])
               : KRSI_STAYS;
}

krsi_verdict
krsi_rule_sub_zero(krsi_site *s)
{
    return krsi_operand_equals(s, 1, 0) ? krsi_is(s, s->in[0]) : KRSI_STAYS;
}

krsi_verdict
krsi_rule_mul_one(krsi_site *s)
{
    return krsi_operand_equals(s, 1, 1) ? krsi_is(s, s->in[0]) : KRSI_STAYS;
}

krsi_verdict
krsi_rule_div_one(krsi_site *s)
{
    return krsi_operand_equals(s, 1, 1) ? krsi_is(s, s->in[0]) : KRSI_STAYS;
}

krsi_verdict
krsi_rule_mul_zero(krsi_site *s)
{
    return !is_float(s) && krsi_operand_equals(s, 1, 0) ? zeros(s) : KRSI_STAYS;
}

krsi_verdict
krsi_rule_sub_self(krsi_site *s)
{
    return !is_float(s) && s->in[0] == s->in[1] ? zeros(s) : KRSI_STAYS;
}

krsi_verdict
krsi_rule_mul_minus_one(krsi_site *s)
{
    return krsi_operand_equals(s, 1, -1)
               ? krsi_becomes(s, KRSI_NEG, 1, s->in[0], 0)
               : KRSI_STAYS;
}

/* ---- constants ---- */

/* x - c is x + (-c) by definition, also of zeros */
krsi_verdict
krsi_rule_sub_constant(krsi_site *s)
{
    double c;
    if (!krsi_operand_number(s, 1, &c) || !negated(s, 1, c, &c))
        return KRSI_STAYS;
    s->op = KRSI_ADD;
    return with_constant(s, 1, c);
}

static bool
is_power_of_2(double c)
{
    int exponent;
    return isfinite(c) && fabs(frexp(c, &exponent)) == 0.5;
}

/* Both round the same number, x times a power of 2. A subnormal reciprocal
 * might be flushed by a device. */
krsi_verdict
krsi_rule_div_power(krsi_site *s)
{
    double c;
    if (!is_float(s) || !krsi_operand_number(s, 1, &c) || !is_power_of_2(c) ||
        fabs(c) < 1 / (double)FLT_MAX || fabs(c) > 1 / (double)FLT_MIN)
        return KRSI_STAYS;
    s->op = KRSI_MUL;
    return with_constant(s, 1, 1 / c);
}

/* Is operand 0 the operation `op` on some x and a constant? */
static bool
is_with_constant(const krsi_site *s, enum krsi_op op, uint32_t *x, double *c)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != op || !krsi_number(s->g, n->in[1], c))
        return false;
    *x = n->in[0];
    return true;
}

krsi_verdict
krsi_rule_add_constants(krsi_site *s)
{
    double c, d, sum;
    uint32_t x;
    if (is_float(s) || !krsi_operand_number(s, 1, &d) ||
        !is_with_constant(s, KRSI_ADD, &x, &c) ||
        !krsi_whole_sum((krs_dtype)s->type->dtype, c, d, &sum))
        return KRSI_STAYS;
    s->in[0] = x;
    return with_constant(s, 1, sum);
}

/* Powers of 2 from 1 on never round: a product is exact or overflows, and
 * once it overflows it stays infinite. Smaller ones may round twice. */
static bool
exact_product(double c, double d, double *out)
{
    *out = c * d;
    return is_power_of_2(c) && is_power_of_2(d) && fabs(c) >= 1 &&
           fabs(d) >= 1 && fabs(*out) <= (double)FLT_MAX;
}

krsi_verdict
krsi_rule_mul_constants(krsi_site *s)
{
    double c, d, product;
    uint32_t x;
    if (!krsi_operand_number(s, 1, &d) ||
        !is_with_constant(s, KRSI_MUL, &x, &c))
        return KRSI_STAYS;
    bool fits = is_float(s) ? exact_product(c, d, &product)
                            : krsi_whole_product((krs_dtype)s->type->dtype, c,
                                                 d, &product);
    if (!fits)
        return KRSI_STAYS;
    s->in[0] = x;
    return with_constant(s, 1, product);
}

/* ---- signs ---- */

/* x of operand i = -x, else 0 */
static uint32_t
negand(const krsi_site *s, int i)
{
    const krsi_node *n = krsi_operand(s, i);
    return n->op == KRSI_NEG ? n->in[0] : 0;
}

krsi_verdict
krsi_rule_neg_neg(krsi_site *s)
{
    uint32_t x = negand(s, 0);
    return x ? krsi_is(s, x) : KRSI_STAYS;
}

krsi_verdict
krsi_rule_neg_constant(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    double c;
    if ((n->op != KRSI_MUL && !(n->op == KRSI_DIV && is_float(s))) ||
        !krsi_number(s->g, n->in[1], &c) || !negated(s, 0, c, &c))
        return KRSI_STAYS;
    krsi_becomes(s, (enum krsi_op)n->op, 2, n->in[0], n->in[1]);
    return with_constant(s, 1, c);
}

krsi_verdict
krsi_rule_add_neg(krsi_site *s)
{
    for (int i = 1; i >= 0; i--) {
        uint32_t x = negand(s, i);
        if (x)
            return krsi_becomes(s, KRSI_SUB, 2, s->in[1 - i], x);
    }
    return KRSI_STAYS;
}

krsi_verdict
krsi_rule_sub_neg(krsi_site *s)
{
    uint32_t x = negand(s, 1);
    return x ? krsi_becomes(s, KRSI_ADD, 2, s->in[0], x) : KRSI_STAYS;
}

/* the quotient of integers is cut off, and the smallest has no negative */
krsi_verdict
krsi_rule_mul_negs(krsi_site *s)
{
    uint32_t a = negand(s, 0), b = negand(s, 1);
    if (!a || !b || (s->op == KRSI_DIV && !is_float(s)))
        return KRSI_STAYS;
    return krsi_becomes(s, s->op, 2, a, b);
}

krsi_verdict
krsi_rule_mul_neg(krsi_site *s)
{
    uint32_t x = negand(s, 0);
    double c;
    if (!x || !krsi_operand_number(s, 1, &c) || !negated(s, 1, c, &c) ||
        (s->op == KRSI_DIV && !is_float(s)))
        return KRSI_STAYS;
    s->in[0] = x;
    return with_constant(s, 1, c);
}

/* without a sign, -x is another number, and |x| is x */
krsi_verdict
krsi_rule_abs_sign(krsi_site *s)
{
    uint32_t x = negand(s, 0);
    if (x && s->type->dtype != KRS_U8)
        return krsi_becomes(s, KRSI_ABS, 1, x, 0);
    return krsi_operand_is(s, 0, KRSI_ABS) ? krsi_is(s, s->in[0]) : KRSI_STAYS;
}

/* ---- extrema ---- */

krsi_verdict
krsi_rule_extremum_self(krsi_site *s)
{
    return s->in[0] == s->in[1] ? krsi_is(s, s->in[0]) : KRSI_STAYS;
}

/* max(a, b) is a where a > b or a is NaN, else b. With m = max(a, b), m is not
 * above itself, so max(x, m) is m for both; max(m, b) is m, or b where m is b;
 * max(m, a) may be a where m is the other zero. */
krsi_verdict
krsi_rule_extremum_again(krsi_site *s)
{
    for (int i = 0; i < 2; i++) {
        const krsi_node *m = krsi_operand(s, i);
        uint32_t other = s->in[1 - i];
        if (m->op != s->op || (m->in[0] != other && m->in[1] != other))
            continue;
        if (i == 1 || m->in[1] == other || !is_float(s))
            return krsi_is(s, s->in[i]);
    }
    return KRSI_STAYS;
}
