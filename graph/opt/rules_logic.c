/* rules_logic.c -- rules of comparisons, bits, choices and casts (rules.def).
 *
 * Floats are compared with NaN in mind: x = x is false for it, and neither
 * a < b nor a >= b need hold.
 */
#include "rewrite.h"

static krsi_verdict
constant(krsi_site *s, double value)
{
    return krsi_is(
        s, krsi_site_full(s, (krs_dtype)s->type->dtype, s->type, value));
}

krsi_verdict
krsi_rule_compare_self(krsi_site *s)
{
    if (s->in[0] != s->in[1])
        return KRSI_STAYS;
    if (s->op == KRSI_LT || s->op == KRSI_GT)
        return constant(s, 0);
    if (krsi_operand_is_float(s, 0))
        return KRSI_STAYS;
    return constant(s, s->op != KRSI_NE);
}

/* ---- bits ---- */

krsi_verdict
krsi_rule_not_not(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    return n->op == KRSI_NOT ? krsi_is(s, n->in[0]) : KRSI_STAYS;
}

/* the comparison that holds where this one does not; POISON: there is none */
static enum krsi_op
opposite(enum krsi_op op, bool of_floats)
{
    switch ((int)op) {
    case KRSI_EQ: return KRSI_NE;
    case KRSI_NE: return KRSI_EQ;
    case KRSI_LT: return of_floats ? KRSI_POISON : KRSI_GE;
    case KRSI_LE: return of_floats ? KRSI_POISON : KRSI_GT;
    case KRSI_GT: return of_floats ? KRSI_POISON : KRSI_LE;
    case KRSI_GE: return of_floats ? KRSI_POISON : KRSI_LT;
    default: return KRSI_POISON;
    }
}

krsi_verdict
krsi_rule_not_compare(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->count != 2)
        return KRSI_STAYS;
    krs_dtype dtype = (krs_dtype)s->g->node[n->in[0]]->dtype;
    enum krsi_op op = opposite((enum krsi_op)n->op, krs_dtype_is_float(dtype));
    return op == KRSI_POISON ? KRSI_STAYS
                             : krsi_becomes(s, op, 2, n->in[0], n->in[1]);
}

krsi_verdict
krsi_rule_logic_self(krsi_site *s)
{
    if (s->in[0] != s->in[1])
        return KRSI_STAYS;
    return s->op == KRSI_XOR ? constant(s, 0) : krsi_is(s, s->in[0]);
}

krsi_verdict
krsi_rule_logic_constant(krsi_site *s)
{
    krs_dtype dtype = (krs_dtype)s->type->dtype;
    double all_ones = dtype == KRS_BOOL ? 1 : dtype == KRS_U8 ? 255 : -1;
    bool ones = krsi_operand_equals(s, 1, all_ones);
    if (!ones && !krsi_operand_equals(s, 1, 0))
        return KRSI_STAYS;
    if (s->op == KRSI_XOR && ones)
        return krsi_becomes(s, KRSI_NOT, 1, s->in[0], 0);
    bool passes = s->op == KRSI_AND ? ones : !ones;
    return krsi_is(s, s->in[passes ? 0 : 1]);
}

/* ---- choices ---- */

krsi_verdict
krsi_rule_where_constant(krsi_site *s)
{
    double c;
    return krsi_operand_number(s, 0, &c) ? krsi_is(s, s->in[c != 0 ? 1 : 2])
                                         : KRSI_STAYS;
}

krsi_verdict
krsi_rule_where_same(krsi_site *s)
{
    return s->in[1] == s->in[2] ? krsi_is(s, s->in[1]) : KRSI_STAYS;
}

krsi_verdict
krsi_rule_where_not(krsi_site *s)
{
    const krsi_node *c = krsi_operand(s, 0);
    if (c->op != KRSI_NOT)
        return KRSI_STAYS;
    uint32_t a = s->in[1];
    s->in[0] = c->in[0];
    s->in[1] = s->in[2];
    s->in[2] = a;
    return KRSI_AGAIN;
}

krsi_verdict
krsi_rule_where_nested(krsi_site *s)
{
    for (int i = 1; i < 3; i++) {
        const krsi_node *n = krsi_operand(s, i);
        if (n->op != KRSI_WHERE || n->in[0] != s->in[0])
            continue;
        s->in[i] = n->in[i];
        return KRSI_AGAIN;
    }
    return KRSI_STAYS;
}

krsi_verdict
krsi_rule_where_bool(krsi_site *s)
{
    if (s->type->dtype != KRS_BOOL)
        return KRSI_STAYS;
    if (krsi_operand_equals(s, 1, 1) && krsi_operand_equals(s, 2, 0))
        return krsi_is(s, s->in[0]);
    if (krsi_operand_equals(s, 1, 0) && krsi_operand_equals(s, 2, 1))
        return krsi_becomes(s, KRSI_NOT, 1, s->in[0], 0);
    return KRSI_STAYS;
}

/* ---- casts ---- */

krsi_verdict
krsi_rule_cast_same(krsi_site *s)
{
    return krsi_operand(s, 0)->dtype == s->type->dtype ? krsi_is(s, s->in[0])
                                                       : KRSI_STAYS;
}

static bool
is_int(krs_dtype dtype)
{
    return krs_dtype_is_int(dtype);
}

/* bits of an integer type that say its range; a bool is an integer of one */
static int
bits_of(krs_dtype dtype)
{
    switch ((int)dtype) {
    case KRS_I64: return 64;
    case KRS_I32: return 32;
    case KRS_I8:
    case KRS_U8: return 8;
    case KRS_BOOL: return 1;
    default: return 0;
    }
}

/* does type b hold every value of type a? */
static bool
holds(krs_dtype b, krs_dtype a)
{
    if (a == b)
        return true;
    if (krs_dtype_is_float(a))
        return b == KRS_F32;   /* of a half */
    if (krs_dtype_is_float(b)) /* f16 has 11 bits, bf16 has 8: up to 256 */
        return bits_of(a) <= 8;
    return bits_of(a) < bits_of(b) && bits_of(b) > 1;
}

/* a -> b -> c as a -> c. If b holds a, only what the second cast does to a
 * value matters: it rounds and saturates floats, wraps integers, so a and b are
 * to be of one kind, or c to hold a. Integers wrapped twice are wrapped once to
 * the fewest bits. */
krsi_verdict
krsi_rule_cast_cast(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != KRSI_CAST)
        return KRSI_STAYS;
    krs_dtype a = (krs_dtype)s->g->node[n->in[0]]->dtype;
    krs_dtype b = (krs_dtype)n->dtype, c = (krs_dtype)s->type->dtype;
    if (krs_dtype_class_of(a) == KRS_CLASS_BLOCK)
        return KRSI_STAYS; /* blocks are cast to f32 alone */
    bool to_float = is_int(a) && krs_dtype_is_float(b);
    bool lossless = holds(b, a) && !(to_float && is_int(c) && !holds(c, a));
    bool narrower =
        is_int(a) && is_int(b) && is_int(c) && bits_of(c) <= bits_of(b);
    if (!lossless && !narrower)
        return KRSI_STAYS;
    s->in[0] = n->in[0];
    return KRSI_AGAIN;
}
