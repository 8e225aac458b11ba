/* rules_reduce.c -- rules of reductions, products and gathers (rules.def).
 *
 * The order in which floats are added is part of the contract, so sums of
 * floats stay; integers wrap, and their sums may be taken in any order. Of
 * equal extrema of floats the order chooses between the zeros.
 */
#include "rewrite.h"

/* bit a: axis a of the operand is reduced */
static unsigned
reduced_axes(enum krsi_op op, const int64_t *word)
{
    const int64_t *axis;
    unsigned set = 0;
    for (int i = 0, count = krsi_attr_ints(op, word, 0, &axis); i < count; i++)
        set |= 1u << axis[i];
    return set;
}

static krsi_verdict
is_reshaped(krsi_site *s, uint32_t x)
{
    return krsi_is(s, krsi_site_reshape(s, x, s->type));
}

krsi_verdict
krsi_rule_reduce_ones(krsi_site *s)
{
    const krsi_node *x = krsi_operand(s, 0);
    unsigned gone = reduced_axes(s->op, s->words.word);
    if (x->live_axes || (s->op == KRSI_SUM && krsi_operand_is_float(s, 0)))
        return KRSI_STAYS;
    for (int a = 0; a < x->rank; a++)
        if (gone >> a & 1 && x->dim[a] != 1)
            return KRSI_STAYS;
    return is_reshaped(s, s->in[0]);
}

krsi_verdict
krsi_rule_reduce_reduce(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != s->op || n->live_axes || krsi_operand_is_float(s, 0))
        return KRSI_STAYS;
    const krsi_node *x = s->g->node[n->in[0]];
    int64_t axes[KRS_MAX_RANK], keep = krsi_int(n, 1);
    unsigned outer = reduced_axes(s->op, s->words.word);
    unsigned inner = reduced_axes((enum krsi_op)n->op, n->word);
    int count = 0, at = 0;
    if (x->live_axes || keep != krsi_attr_int(s->op, s->words.word, 1))
        return KRSI_STAYS;
    for (int a = 0; a < x->rank; a++) {
        bool gone = inner >> a & 1;
        bool is_axis = keep || !gone; /* axis `at` of what inner gives */
        if (gone || outer >> at & 1)
            axes[count++] = a;
        at += is_axis;
    }
    krsi_becomes(s, s->op, 1, n->in[0], 0);
    krsi_put_ints(&s->words, axes, count);
    krsi_put_int(&s->words, keep);
    return KRSI_AGAIN;
}

/* What was expanded, if the axes that are reduced are those that were repeated
 * (and others of size 1); else 0. *n: how often, 2 at least. */
static uint32_t
repeated(const krsi_site *s, int64_t *n)
{
    const krsi_node *y = krsi_operand(s, 0);
    if (y->op != KRSI_EXPAND || y->live_axes)
        return 0;
    const krsi_node *x = s->g->node[y->in[0]];
    unsigned gone = reduced_axes(s->op, s->words.word);
    int lead = y->rank - x->rank;
    *n = 1;
    for (int a = 0; a < y->rank; a++) {
        bool is_copy = a < lead || x->dim[a - lead] != y->dim[a];
        if (y->dim[a] == 1)
            continue;
        if (is_copy != (gone >> a & 1))
            return 0;
        if (is_copy)
            *n *= y->dim[a];
    }
    return *n > 1 ? y->in[0] : 0;
}

krsi_verdict
krsi_rule_sum_expand(krsi_site *s)
{
    int64_t n = 0;
    double factor;
    krs_dtype dtype = (krs_dtype)s->type->dtype;
    if (krsi_operand_is_float(s, 0))
        return KRSI_STAYS;
    uint32_t x = repeated(s, &n);
    if (!x || !krsi_whole_product(dtype, (double)n, 1, &factor))
        return KRSI_STAYS;
    uint32_t in[2] = {krsi_site_reshape(s, x, s->type),
                      krsi_site_full(s, dtype, s->type, factor)};
    return krsi_is(s, krsi_site_add(s, KRSI_MUL, in, 2, NULL));
}

krsi_verdict
krsi_rule_extremum_expand(krsi_site *s)
{
    int64_t n = 0;
    uint32_t x = repeated(s, &n);
    return x ? is_reshaped(s, x) : KRSI_STAYS;
}

/* ---- products ---- */

/* x of a permute that exchanges the last two axes, else 0 */
static uint32_t
transposed(const krsi_site *s, int i)
{
    const krsi_node *n = krsi_operand(s, i);
    const int64_t *axis;
    if (n->op != KRSI_PERMUTE)
        return 0;
    krsi_ints(n, 0, &axis);
    for (int a = 0; a < n->rank; a++) {
        int to = a < n->rank - 2 ? a : 2 * n->rank - 3 - a;
        if (axis[a] != to)
            return 0;
    }
    return n->in[0];
}

/* The order of a product's sum does not depend on how its operands lie. */
krsi_verdict
krsi_rule_matmul_permute(krsi_site *s)
{
    for (int i = 0; i < 2; i++) {
        uint32_t x = transposed(s, i);
        if (!x)
            continue;
        s->in[i] = x;
        s->words.word[i] = !s->words.word[i]; /* ta, tb */
        return KRSI_AGAIN;
    }
    return KRSI_STAYS;
}

/* ---- gathers ---- */

/* start, start + step, ...: `count` of them, at least one */
typedef struct progression {
    int64_t start, step, count;
} progression;

static bool
progression_of(const krsi_site *s, const krsi_node *index, progression *out)
{
    if (index->op == KRSI_FULL) {
        *out = (progression){(int64_t)krsi_float(index, 1), 1, 1};
        return true;
    }
    if (index->rank > 1)
        return false;
    int64_t count = index->rank ? index->dim[0] : 1;
    if (index->op == KRSI_IOTA) {
        *out = (progression){0, 1, count};
        return count > 0 && !index->live_axes;
    }
    if (index->op != KRSI_CONSTANT || count == 0 || count > KRSI_FOLD_BYTES / 8)
        return false;
    krs_dtype dtype = (krs_dtype)index->dtype;
    const void *data = s->g->blob[krsi_int(index, 2)].data;
    int64_t first = krsi_load_int(dtype, data, 0), step = 1;
    if (count > 1 &&
        __builtin_sub_overflow(krsi_load_int(dtype, data, 1), first, &step))
        return false;
    for (int64_t i = 1; i < count; i++) {
        int64_t expected, offset;
        if (__builtin_mul_overflow(i, step, &offset) ||
            __builtin_add_overflow(first, offset, &expected) ||
            krsi_load_int(dtype, data, (size_t)i) != expected)
            return false;
    }
    *out = (progression){first, step, count};
    return true;
}

krsi_verdict
krsi_rule_take_slice(krsi_site *s)
{
    const krsi_node *x = krsi_operand(s, 0), *index = krsi_operand(s, 1);
    int axis = (int)krsi_attr_int(s->op, s->words.word, 0);
    progression p;
    if (x->live_axes || index->live_axes ||
        krs_dtype_class_of((krs_dtype)x->dtype) == KRS_CLASS_BLOCK ||
        !progression_of(s, index, &p) || p.step == 0)
        return KRSI_STAYS;
    int64_t size = x->dim[axis];
    int64_t last = p.start + (p.count - 1) * p.step;
    if (p.start < 0 || p.start >= size || last < 0 || last >= size)
        return KRSI_STAYS; /* an error at each run */
    krsi_block b = {.rank = x->rank};
    for (int a = 0; a < x->rank; a++) {
        b.start[a] = KRS_INDEX(a == axis ? p.start : 0);
        b.length[a] = a == axis ? p.count : x->dim[a];
        b.step[a] = a == axis ? p.step : 1;
    }
    if (index->rank == 1)
        return krsi_becomes_slice(s, s->in[0], &b);
    krsi_words words = {.count = 0};
    krsi_put_indices(&words, b.start, b.rank);
    krsi_put_ints(&words, b.length, b.rank);
    krsi_put_ints(&words, b.step, b.rank);
    return is_reshaped(s, krsi_site_add(s, KRSI_SLICE, s->in, 1, &words));
}
