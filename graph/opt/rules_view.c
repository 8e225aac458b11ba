/* rules_view.c -- rules of views, and of element-wise operations on them
 * (rules.def).
 *
 * A view of a view is one view; a view of a constant scalar is an expansion of
 * it; what all operands of an element-wise operation repeat is computed once
 * and then repeated. Live lengths are part of the type: where a view has them,
 * only rules that leave them alone apply.
 */
#include "rewrite.h"

krsi_verdict
krsi_rule_alias(krsi_site *s)
{
    return krsi_is(s, s->in[0]);
}

krsi_verdict
krsi_rule_update_self(krsi_site *s)
{
    return s->in[0] == s->in[1] ? krsi_is(s, s->in[0]) : KRSI_STAYS;
}

/* ---- one view ---- */

static bool
is_identity(const krsi_site *s)
{
    const int64_t *axis;
    int rank = krsi_attr_ints(s->op, s->words.word, 0, &axis);
    for (int a = 0; a < rank; a++)
        if (axis[a] != a)
            return false;
    return true;
}

/* does a slice as long as its operand begin at the front, and step on by 1? */
static bool
is_whole(const krsi_site *s)
{
    const krsi_node *x = krsi_operand(s, 0);
    const int64_t *step;
    krsi_attr_ints(s->op, s->words.word, 2, &step);
    for (int a = 0; a < x->rank; a++) {
        krs_index start = KRS_INDEX(0);
        krsi_attr_index(s->op, s->words.word, 0, a, &start);
        if (start.terms || (x->dim[a] > 0 && start.base) ||
            (x->dim[a] > 1 && step[a] != 1))
            return false;
    }
    return true;
}

krsi_verdict
krsi_rule_view_same(krsi_site *s)
{
    bool same = krsi_same_type(krsi_operand(s, 0), s->type);
    if (same && s->op == KRSI_PERMUTE)
        same = is_identity(s);
    if (same && s->op == KRSI_SLICE)
        same = is_whole(s);
    return same ? krsi_is(s, s->in[0]) : KRSI_STAYS;
}

/* the start of a slice is checked at each run, even of constants */
static bool
has_runtime_start(const krsi_site *s)
{
    krs_index start = KRS_INDEX(0);
    int count = s->op == KRSI_SLICE
                    ? krsi_attr_index(s->op, s->words.word, 0, 0, &start)
                    : 0;
    for (int a = 0; a < count; a++) {
        krsi_attr_index(s->op, s->words.word, 0, a, &start);
        if (start.terms)
            return true;
    }
    return false;
}

krsi_verdict
krsi_rule_view_constant(krsi_site *s)
{
    double c;
    if (!krsi_operand_number(s, 0, &c) || has_runtime_start(s))
        return KRSI_STAYS;
    return krsi_is(s, krsi_site_full(s, (krs_dtype)s->type->dtype, s->type, c));
}

/* ---- two views ---- */

krsi_verdict
krsi_rule_reshape_reshape(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != KRSI_RESHAPE || n->live_axes)
        return KRSI_STAYS;
    s->in[0] = n->in[0];
    return KRSI_AGAIN;
}

krsi_verdict
krsi_rule_permute_permute(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    const int64_t *outer, *inner;
    int64_t axis[KRS_MAX_RANK];
    if (n->op != KRSI_PERMUTE)
        return KRSI_STAYS;
    krsi_attr_ints(s->op, s->words.word, 0, &outer);
    krsi_ints(n, 0, &inner);
    for (int a = 0; a < n->rank; a++)
        axis[a] = inner[outer[a]];
    krsi_becomes(s, KRSI_PERMUTE, 1, n->in[0], 0);
    krsi_put_ints(&s->words, axis, n->rank);
    return KRSI_AGAIN;
}

static krsi_verdict
becomes_reshape(krsi_site *s)
{
    krsi_becomes(s, KRSI_RESHAPE, 1, s->in[0], 0);
    krsi_put_ints(&s->words, s->type->dim, s->type->rank);
    return KRSI_AGAIN;
}

krsi_verdict
krsi_rule_permute_ones(krsi_site *s)
{
    const krsi_node *x = krsi_operand(s, 0);
    const int64_t *axis;
    int64_t last = -1;
    if (x->live_axes)
        return KRSI_STAYS;
    int rank = krsi_attr_ints(s->op, s->words.word, 0, &axis);
    for (int a = 0; a < rank; a++) {
        if (x->dim[axis[a]] == 1)
            continue;
        if (axis[a] < last)
            return KRSI_STAYS;
        last = axis[a];
    }
    return becomes_reshape(s);
}

/* the site becomes x expanded to its own type */
static krsi_verdict
becomes_expand(krsi_site *s, uint32_t x)
{
    const krsi_node *to = s->type;
    krs_index live[KRS_MAX_RANK];
    for (int a = 0; a < to->rank; a++)
        live[a] = to->live_axes >> a & 1 ? to->live[a] : KRS_INDEX(0);
    krsi_becomes(s, KRSI_EXPAND, 1, x, 0);
    krsi_put_ints(&s->words, to->dim, to->rank);
    krsi_put_indices(&s->words, live, to->live_axes ? to->rank : 0);
    return KRSI_AGAIN;
}

krsi_verdict
krsi_rule_expand_expand(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    return n->op == KRSI_EXPAND ? becomes_expand(s, n->in[0]) : KRSI_STAYS;
}

/* a scalar stays expanded: that is the form of a constant */
krsi_verdict
krsi_rule_expand_ones(krsi_site *s)
{
    const krsi_node *x = krsi_operand(s, 0);
    if (x->op == KRSI_FULL || x->live_axes || s->type->live_axes ||
        krsi_elements(x) != krsi_elements(s->type))
        return KRSI_STAYS;
    for (int a = 0; a < x->rank; a++) /* an empty one may grow elsewhere */
        if (x->dim[a] != s->type->dim[s->type->rank - x->rank + a])
            return KRSI_STAYS;
    return becomes_reshape(s);
}

/* ---- element-wise operations on expansions ---- */

/* f of `source` instead of the operands, then expanded */
static krsi_verdict
apply_before(krsi_site *s, const uint32_t *source)
{
    uint32_t y = krsi_site_add(s, s->op, source, s->count, &s->words);
    return y ? becomes_expand(s, y) : krsi_is(s, 0);
}

krsi_verdict
krsi_rule_map_constants(krsi_site *s)
{
    uint32_t source[3];
    double c;
    if (s->type->rank == 0 || krsi_elements(s->type) == 0)
        return KRSI_STAYS;
    for (int i = 0; i < s->count; i++) {
        const krsi_node *n = krsi_operand(s, i);
        if (!krsi_operand_number(s, i, &c))
            return KRSI_STAYS;
        source[i] = n->op == KRSI_EXPAND ? n->in[0] : s->in[i];
    }
    return apply_before(s, source);
}

krsi_verdict
krsi_rule_map_expand(krsi_site *s)
{
    const krsi_node *from = NULL; /* what all operands repeat */
    uint32_t source[3];
    double c;
    for (int i = 0; i < s->count; i++) {
        const krsi_node *n = krsi_operand(s, i);
        if (krsi_operand_number(s, i, &c))
            continue;
        if (n->op != KRSI_EXPAND)
            return KRSI_STAYS;
        const krsi_node *x = s->g->node[n->in[0]];
        if (x->live_axes || (from && !krsi_same_dims(x, from)))
            return KRSI_STAYS;
        from = x;
    }
    if (!from || krsi_elements(from) >= krsi_elements(s->type))
        return KRSI_STAYS;
    for (int i = 0; i < s->count; i++) {
        const krsi_node *n = krsi_operand(s, i);
        if (krsi_operand_number(s, i, &c))
            source[i] = krsi_site_full(s, (krs_dtype)n->dtype, from, c);
        else
            source[i] = n->in[0];
        if (!source[i])
            return krsi_is(s, 0);
    }
    return apply_before(s, source);
}
