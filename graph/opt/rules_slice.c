/* rules_slice.c -- rules of blocks: slice, set_slice, pad, concat (rules.def).
 *
 * A start that is a runtime integer is checked before each run, so a rule keeps
 * every such check: it moves it unchanged, or does not apply. Positions are
 * counted in 64 bits; what would overflow stays as it is.
 */
#include "rewrite.h"

/* ---- blocks ---- */

krsi_verdict
krsi_becomes_slice(krsi_site *s, uint32_t x, const krsi_block *b)
{
    krsi_becomes(s, KRSI_SLICE, 1, x, 0);
    krsi_put_indices(&s->words, b->start, b->rank);
    krsi_put_ints(&s->words, b->length, b->rank);
    krsi_put_ints(&s->words, b->step, b->rank);
    return KRSI_AGAIN;
}

static void
read_starts(krsi_block *b, enum krsi_op op, const int64_t *word, int rank)
{
    b->rank = rank;
    for (int a = 0; a < rank; a++) {
        b->start[a] = KRS_INDEX(0);
        krsi_attr_index(op, word, 0, a, &b->start[a]);
    }
}

/* what a slice reads */
static krsi_block
block_of_slice(enum krsi_op op, const int64_t *word)
{
    krsi_block b = {.rank = 0};
    const int64_t *length, *step;
    read_starts(&b, op, word, krsi_attr_ints(op, word, 1, &length));
    krsi_attr_ints(op, word, 2, &step);
    for (int a = 0; a < b.rank; a++) {
        b.length[a] = length[a];
        b.step[a] = step[a];
    }
    return b;
}

static krsi_block
block_of_site(const krsi_site *s)
{
    return block_of_slice(s->op, s->words.word);
}

/* where a set_slice writes v */
static krsi_block
block_written(const krs_graph *g, const krsi_node *n)
{
    krsi_block b = {.rank = 0};
    const krsi_node *v = g->node[n->in[1]];
    const int64_t *step;
    read_starts(&b, (enum krsi_op)n->op, n->word, v->rank);
    krsi_ints(n, 1, &step);
    for (int a = 0; a < b.rank; a++) {
        b.length[a] = v->dim[a];
        b.step[a] = step[a];
    }
    return b;
}

static bool
is_fixed(const krsi_block *b)
{
    for (int a = 0; a < b->rank; a++)
        if (b->start[a].terms)
            return false;
    return true;
}

/* everything along the axis, which has that size? */
static bool
is_whole_axis(const krsi_block *b, int a, int64_t size)
{
    return b->start[a].terms == 0 && b->start[a].base == 0 &&
           b->length[a] == size && (b->step[a] == 1 || size == 1);
}

/* least and greatest position along an axis with a fixed start; the length is
 * not 0 */
static void
range_of(const krsi_block *b, int a, int64_t *low, int64_t *high)
{
    int64_t first = b->start[a].base;
    int64_t last = first + (b->length[a] - 1) * b->step[a];
    *low = first < last ? first : last;
    *high = first < last ? last : first;
}

/* Axis a of `outer`, a block of what `inner` reads, counted in what inner reads
 * from; false if it cannot be said in one block with the same checks. */
static bool
compose(krsi_block *outer, const krsi_block *inner, int a)
{
    int64_t start, step;
    if (is_whole_axis(outer, a, inner->length[a])) {
        outer->start[a] = inner->start[a];
        outer->step[a] = inner->step[a];
        return true;
    }
    if (outer->start[a].terms || inner->start[a].terms ||
        __builtin_mul_overflow(outer->start[a].base, inner->step[a], &start) ||
        __builtin_add_overflow(start, inner->start[a].base, &start) ||
        __builtin_mul_overflow(outer->step[a], inner->step[a], &step))
        return false;
    outer->start[a].base = outer->length[a] ? start : 0;
    outer->step[a] = outer->length[a] ? step : 1;
    return true;
}

/* ---- slice ---- */

krsi_verdict
krsi_rule_slice_slice(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != KRSI_SLICE)
        return KRSI_STAYS;
    const krsi_node *x = s->g->node[n->in[0]];
    krsi_block outer = block_of_site(s),
               inner = block_of_slice((enum krsi_op)n->op, n->word);
    for (int a = 0; a < outer.rank; a++)
        if (!is_whole_axis(&inner, a, x->dim[a]) && !compose(&outer, &inner, a))
            return KRSI_STAYS;
    return krsi_becomes_slice(s, n->in[0], &outer);
}

krsi_verdict
krsi_rule_slice_concat(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != KRSI_CONCAT || n->count > KRSI_FEW_PARTS)
        return KRSI_STAYS;
    krsi_block b = block_of_site(s);
    int axis = (int)krsi_int(n, 0);
    int64_t low, high, begin = 0;
    if (b.start[axis].terms || b.length[axis] == 0)
        return KRSI_STAYS;
    range_of(&b, axis, &low, &high);
    for (uint32_t i = 0; i < n->count; i++) {
        int64_t end = begin + s->g->node[n->in[i]]->dim[axis];
        if (low >= begin && high < end) {
            b.start[axis].base -= begin;
            return krsi_becomes_slice(s, n->in[i], &b);
        }
        begin = end;
    }
    return KRSI_STAYS;
}

/* the margin's value as a constant, if it is of its type */
static krsi_verdict
margin(krsi_site *s, const krsi_node *pad)
{
    krs_dtype dtype = (krs_dtype)pad->dtype;
    double value = krsi_float(pad, 2);
    uint64_t element = 0;
    krsi_store_double(dtype, &element, 0, value);
    if (krsi_load_double(dtype, &element, 0) != value)
        return KRSI_STAYS;
    return krsi_is(s, krsi_site_full(s, dtype, s->type, value));
}

krsi_verdict
krsi_rule_slice_pad(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != KRSI_PAD)
        return KRSI_STAYS;
    const krsi_node *x = s->g->node[n->in[0]];
    const int64_t *before;
    krsi_block b = block_of_site(s);
    bool fixed = is_fixed(&b), inside = true;
    krsi_ints(n, 0, &before);
    for (int a = 0; a < b.rank; a++) {
        int64_t low, high;
        if (n->dim[a] == x->dim[a])
            continue; /* no margin here */
        if (b.start[a].terms || b.length[a] == 0)
            return KRSI_STAYS;
        range_of(&b, a, &low, &high);
        if (fixed && (high < before[a] || low >= before[a] + x->dim[a]))
            return margin(s, n);
        inside &= low >= before[a] && high < before[a] + x->dim[a];
        b.start[a].base -= before[a];
    }
    return inside ? krsi_becomes_slice(s, n->in[0], &b) : KRSI_STAYS;
}

/* Is axis a of one block beside the other's, or between its elements? */
static bool
is_beside(const krsi_block *b, const krsi_block *other, int a)
{
    int64_t low, high, other_low, other_high, step = b->step[a];
    range_of(b, a, &low, &high);
    range_of(other, a, &other_low, &other_high);
    if (high < other_low || low > other_high)
        return true;
    bool same_step = b->length[a] > 1 && other->length[a] > 1 &&
                     (other->step[a] == step || other->step[a] == -step);
    return same_step && (low - other_low) % step != 0;
}

/* Axis a of b counted in the elements of `other`; false if it reads any that
 * other does not have. */
static bool
count_within(krsi_block *b, const krsi_block *other, int a)
{
    int64_t low, high, other_low, other_high, step = other->step[a];
    range_of(b, a, &low, &high);
    range_of(other, a, &other_low, &other_high);
    int64_t from = b->start[a].base - other->start[a].base;
    if (low < other_low || high > other_high || from % step ||
        (b->length[a] > 1 && b->step[a] % step))
        return false;
    b->start[a].base = from / step;
    b->step[a] = b->length[a] > 1 ? b->step[a] / step : 1;
    return true;
}

krsi_verdict
krsi_rule_slice_set_slice(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != KRSI_SET_SLICE)
        return KRSI_STAYS;
    krsi_block b = block_of_site(s), written = block_written(s->g, n);
    bool beside = false, within = true;
    if (!is_fixed(&written))
        return KRSI_STAYS; /* its check would be lost */
    for (int a = 0; a < b.rank; a++)
        if (b.length[a] == 0 || written.length[a] == 0)
            return KRSI_STAYS;
    krsi_block inner = b;
    for (int a = 0; a < b.rank; a++) {
        if (b.start[a].terms) {
            within = false;
            continue;
        }
        beside |= is_beside(&b, &written, a);
        within = within && count_within(&inner, &written, a);
    }
    if (within)
        return krsi_becomes_slice(s, n->in[1], &inner);
    return beside ? krsi_becomes_slice(s, n->in[0], &b) : KRSI_STAYS;
}

/* Repeated axes only get another size; what is left of the slice goes below. */
krsi_verdict
krsi_rule_slice_expand(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != KRSI_EXPAND)
        return KRSI_STAYS;
    const krsi_node *x = s->g->node[n->in[0]];
    krsi_block b = block_of_site(s), below = {.rank = x->rank};
    int lead = n->rank - x->rank;
    for (int a = 0; a < n->rank; a++) {
        int from = a - lead;
        bool repeated = from < 0 || x->dim[from] != n->dim[a];
        if (repeated && b.start[a].terms)
            return KRSI_STAYS;
        if (from < 0)
            continue;
        below.start[from] = repeated ? KRS_INDEX(0) : b.start[a];
        below.length[from] = repeated ? x->dim[from] : b.length[a];
        below.step[from] = repeated ? 1 : b.step[a];
    }
    if (krsi_elements(n) <= krsi_elements(x))
        return KRSI_STAYS; /* nothing is repeated */
    krsi_words words = {.count = 0};
    krsi_put_indices(&words, below.start, below.rank);
    krsi_put_ints(&words, below.length, below.rank);
    krsi_put_ints(&words, below.step, below.rank);
    uint32_t y = krsi_site_add(s, KRSI_SLICE, n->in, 1, &words);
    return krsi_is(s, krsi_site_expand(s, y, s->type));
}

/* ---- set_slice ---- */

krsi_verdict
krsi_rule_set_slice_whole(krsi_site *s)
{
    const krsi_node *v = krsi_operand(s, 1);
    const int64_t *step;
    krsi_block b = {.rank = 0};
    if (!krsi_same_dims(v, s->type))
        return KRSI_STAYS;
    read_starts(&b, s->op, s->words.word, v->rank);
    krsi_attr_ints(s->op, s->words.word, 1, &step);
    for (int a = 0; a < v->rank; a++) {
        b.length[a] = v->dim[a];
        b.step[a] = step[a];
        if (!is_whole_axis(&b, a, v->dim[a]))
            return KRSI_STAYS;
    }
    return krsi_is(s, s->in[1]);
}

krsi_verdict
krsi_rule_set_slice_empty(krsi_site *s)
{
    krsi_block b = {.rank = 0};
    read_starts(&b, s->op, s->words.word, s->type->rank);
    if (krsi_elements(krsi_operand(s, 1)) > 0 || !is_fixed(&b))
        return KRSI_STAYS;
    return krsi_is(s, s->in[0]);
}

krsi_verdict
krsi_rule_set_slice_again(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != KRSI_SET_SLICE || n->words != s->words.count ||
        !krsi_same_dims(s->g->node[n->in[1]], krsi_operand(s, 1)))
        return KRSI_STAYS;
    for (int i = 0; i < n->words; i++)
        if (n->word[i] != s->words.word[i])
            return KRSI_STAYS;
    s->in[0] = n->in[0];
    return KRSI_AGAIN;
}

/* ---- pad ---- */

krsi_verdict
krsi_rule_pad_nothing(krsi_site *s)
{
    return krsi_same_dims(krsi_operand(s, 0), s->type) ? krsi_is(s, s->in[0])
                                                       : KRSI_STAYS;
}

krsi_verdict
krsi_rule_pad_pad(krsi_site *s)
{
    const krsi_node *n = krsi_operand(s, 0);
    int64_t margin_of[2][KRS_MAX_RANK];
    if (n->op != KRSI_PAD)
        return KRSI_STAYS;
    double value = krsi_float(n, 2),
           outer_value = krsi_attr_float(s->op, s->words.word, 2);
    krsi_words mine = {.count = 0}, other = {.count = 0}; /* bits */
    krsi_put_float(&mine, outer_value);
    krsi_put_float(&other, value);
    if (mine.word[0] != other.word[0])
        return KRSI_STAYS;
    for (int k = 0; k < 2; k++) {
        const int64_t *outer, *inner;
        krsi_attr_ints(s->op, s->words.word, k, &outer);
        krsi_ints(n, k, &inner);
        for (int a = 0; a < n->rank; a++) /* at most the size of the result */
            margin_of[k][a] = outer[a] + inner[a];
    }
    krsi_becomes(s, KRSI_PAD, 1, n->in[0], 0);
    krsi_put_ints(&s->words, margin_of[0], n->rank);
    krsi_put_ints(&s->words, margin_of[1], n->rank);
    krsi_put_float(&s->words, value);
    return KRSI_AGAIN;
}

/* ---- concat ---- */

krsi_verdict
krsi_rule_concat_one(krsi_site *s)
{
    return s->count == 1 ? krsi_is(s, s->in[0]) : KRSI_STAYS;
}

krsi_verdict
krsi_rule_concat_empty(krsi_site *s)
{
    int axis = (int)krsi_attr_int(s->op, s->words.word, 0), kept = 0;
    for (int i = 0; i < s->count; i++)
        kept += krsi_operand(s, i)->dim[axis] > 0;
    if (kept == s->count || s->count == 1)
        return KRSI_STAYS;
    int count = 0;
    for (int i = 0; i < s->count; i++)
        if (krsi_operand(s, i)->dim[axis] > 0 || (kept == 0 && i == 0))
            s->in[count++] = s->in[i];
    s->count = count;
    return KRSI_AGAIN;
}

krsi_verdict
krsi_rule_concat_concat(krsi_site *s)
{
    int64_t axis = krsi_attr_int(s->op, s->words.word, 0);
    uint32_t part[KRSI_FEW_PARTS];
    int count = 0;
    if (s->count > KRSI_FEW_PARTS)
        return KRSI_STAYS;
    for (int i = 0; i < s->count; i++) {
        const krsi_node *n = krsi_operand(s, i);
        bool joins = n->op == KRSI_CONCAT && krsi_int(n, 0) == axis;
        uint32_t parts = joins ? n->count : 1;
        if (parts > (uint32_t)(KRSI_FEW_PARTS - count))
            return KRSI_STAYS;
        for (uint32_t k = 0; k < parts; k++)
            part[count++] = joins ? n->in[k] : s->in[i];
    }
    if (count == s->count)
        return KRSI_STAYS;
    for (int i = 0; i < count; i++)
        s->in[i] = part[i];
    s->count = count;
    return KRSI_AGAIN;
}

/* does b begin where `first`, followed by `length` elements, ends? */
static bool
continues(const krsi_block *b, const krsi_block *first, int axis,
          int64_t length)
{
    for (int a = 0; a < b->rank; a++) {
        krs_index start = first->start[a];
        if (a == axis)
            start.base += length;
        if (b->step[a] != first->step[a] ||
            (a != axis && b->length[a] != first->length[a]) ||
            !krs_index_equal(b->start[a], start))
            return false;
    }
    return true;
}

krsi_verdict
krsi_rule_concat_slices(krsi_site *s)
{
    int axis = (int)krsi_attr_int(s->op, s->words.word, 0);
    const krsi_node *n = krsi_operand(s, 0);
    if (n->op != KRSI_SLICE)
        return KRSI_STAYS;
    uint32_t x = n->in[0];
    krsi_block all = block_of_slice((enum krsi_op)n->op, n->word);
    if (all.start[axis].terms || all.step[axis] != 1)
        return KRSI_STAYS;
    int64_t length = all.length[axis];
    for (int i = 1; i < s->count; i++) {
        n = krsi_operand(s, i);
        if (n->op != KRSI_SLICE || n->in[0] != x)
            return KRSI_STAYS;
        krsi_block b = block_of_slice((enum krsi_op)n->op, n->word);
        if (!continues(&b, &all, axis, length))
            return KRSI_STAYS;
        length += b.length[axis];
    }
    all.length[axis] = length;
    return krsi_becomes_slice(s, x, &all);
}
