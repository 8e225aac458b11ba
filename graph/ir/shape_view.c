/* shape_view.c -- types and shapes of views: reshape, permute, expand, slice,
 * set_slice, pad, concat, live.
 */
#include "shape.h"

/* a b, or -1 when that does not fit: an empty tensor may have such sizes */
static int64_t
product(int64_t a, int64_t b)
{
    int64_t result;
    return a < 0 || __builtin_mul_overflow(a, b, &result) ? -1 : result;
}

/* Axes of size 1 from `axis` on. */
static int
ones(const int64_t *dim, int rank, int axis)
{
    int end = axis;
    while (end < rank && dim[end] == 1)
        end++;
    return end - axis;
}

/* The axis of the result that has the size of axis a and as many elements
 * before it; the rank if there is none. Axes of size 1 in a row all have: the
 * n-th stays the n-th, or the last where the result has fewer. */
static int
same_axis(const krsi_make *m, int a)
{
    const krsi_node *x = m->in[0];
    int64_t before = 1, sum = 1;
    int to = 0, first = a;
    for (int i = 0; i < a; i++)
        before = product(before, x->dim[i]);
    while (to < m->shape.rank &&
           (sum < 0 || sum != before || m->shape.dim[to] != x->dim[a]))
        sum = product(sum, m->shape.dim[to++]);
    if (to == m->shape.rank || x->dim[a] != 1)
        return to;
    while (first > 0 && x->dim[first - 1] == 1)
        first--;
    int nth = a - first, count = ones(m->shape.dim, m->shape.rank, to);
    return to + (nth < count ? nth : count - 1);
}

/* Live axes of a reshape survive if the same axis, with the same elements
 * before it, is in the result. */
static bool
reshape_live(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    for (int a = 0; a < x->rank; a++) {
        if (!(x->live_axes >> a & 1))
            continue;
        int to = same_axis(m, a);
        if (to == m->shape.rank || m->live_axes >> to & 1)
            return REFUSE(m, UNSUPPORTED, NULL,
                          "axis %d has a live length and would be split or "
                          "merged",
                          a);
        m->live[to] = x->live[a];
        m->live_axes |= (uint8_t)(1u << to);
    }
    return true;
}

bool
krsi_shape_reshape(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    const int64_t *dim;
    int64_t from = krsi_elements(x), to = 0;
    char type[KRSI_TYPE_TEXT];
    m->dtype = (krs_dtype)x->dtype;
    m->shape.rank = krsi_attr_ints(m->op, m->word, 0, &dim);
    for (int a = 0; a < m->shape.rank; a++)
        m->shape.dim[a] = dim[a];
    for (int a = 0; a < m->shape.rank; a++)
        if (dim[a] < 0)
            return REFUSE(m, SHAPE, NULL, "axis %d has size %lld: %s", a,
                          (long long)dim[a], krsi_type_text(type, x));
    if (!krs_shape_elements(m->shape, &to) || from != to)
        return REFUSE(m, SHAPE, NULL,
                      "%s has %lld elements, the new shape %lld",
                      krsi_type_text(type, x), (long long)from, (long long)to);
    bool block = krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK;
    if (block && (x->rank == 0 || m->shape.rank == 0 ||
                  x->dim[x->rank - 1] != dim[m->shape.rank - 1]))
        return REFUSE(m, DTYPE, NULL,
                      "%s: rows of a block-quantised tensor stay whole",
                      krsi_type_text(type, x));
    return reshape_live(m);
}

bool
krsi_shape_permute(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    const int64_t *axis;
    int count = krsi_attr_ints(m->op, m->word, 0, &axis);
    unsigned seen = 0;
    m->dtype = (krs_dtype)x->dtype;
    if (count != x->rank)
        return REFUSE(m, AXIS, NULL, "%d axes for a tensor of rank %d", count,
                      x->rank);
    for (int a = 0; a < count; a++) {
        if (axis[a] < 0 || axis[a] >= x->rank || seen >> axis[a] & 1)
            return REFUSE(m, AXIS, "each axis once",
                          "axis %lld is repeated or outside rank %d",
                          (long long)axis[a], x->rank);
        seen |= 1u << axis[a];
        push_axis(m, x, (int)axis[a]);
    }
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, NULL,
                      "a block-quantised tensor is not permuted");
    return true;
}

bool
krsi_shape_expand(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    const int64_t *dim;
    krs_index live = KRS_INDEX(0);
    char type[KRSI_TYPE_TEXT];
    int rank = krsi_attr_ints(m->op, m->word, 0, &dim);
    int lives = krsi_attr_index(m->op, m->word, 1, 0, &live);
    m->dtype = (krs_dtype)x->dtype;
    m->shape.rank = rank;
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, NULL,
                      "a block-quantised tensor is not expanded");
    if (rank < x->rank || (lives != 0 && lives != rank))
        return REFUSE(m, SHAPE, NULL, "%s to rank %d", krsi_type_text(type, x),
                      rank);
    for (int a = 0; a < rank; a++) {
        int from = a - (rank - x->rank);
        m->shape.dim[a] = dim[a];
        bool kept = from >= 0 && x->dim[from] == dim[a];
        if (!kept && from >= 0 && x->dim[from] != 1)
            return REFUSE(m, SHAPE, "only sizes of 1 are repeated",
                          "%s: axis %d has size %lld and cannot become %lld",
                          krsi_type_text(type, x), from,
                          (long long)x->dim[from], (long long)dim[a]);
        bool live_from = from >= 0 && x->live_axes >> from & 1;
        if (!kept && live_from)
            return REFUSE(m, UNSUPPORTED, NULL,
                          "axis %d has a live length and cannot be repeated",
                          from);
        if (live_from) {
            m->live[a] = x->live[from];
            m->live_axes |= (uint8_t)(1u << a);
        } else if ((!kept || dim[a] == 1) && lives) {
            krsi_attr_index(m->op, m->word, 1, a, &live);
            if (live.terms > 0) {
                m->live[a] = live;
                m->live_axes |= (uint8_t)(1u << a);
            }
        }
    }
    return true;
}

/* A block of `length` elements from `start` by `step` inside an axis of size
 * `size`. A constant start must fit; a runtime one must be able to. */
static bool
block_fits(krsi_make *m, int axis, krs_index start, int64_t length,
           int64_t step, int64_t size)
{
    int64_t low, high, span;
    char text[KRSI_INDEX_TEXT];
    krsi_index_text(text, m->graph, start);
    if (!krsi_index_bounds(m->graph, start, &low, &high))
        return REFUSE(m, RANGE, NULL,
                      "axis %d: the start overflows or has more than %d "
                      "variables",
                      axis, KRS_INDEX_TERMS);
    if (step == 0 || length < 0)
        return REFUSE(m, RANGE, NULL, "axis %d: length %lld, step %lld", axis,
                      (long long)length, (long long)step);
    if (length == 0)
        return true;
    if (__builtin_mul_overflow(length - 1, step, &span))
        span = step > 0 ? INT64_MAX : INT64_MIN;
    int64_t least = span < 0 ? (span == INT64_MIN ? INT64_MAX : -span) : 0;
    int64_t most = size - 1 - (span > 0 ? span : 0);
    if (least > most || high < least || low > most ||
        (start.terms == 0 && (low < least || low > most)))
        return REFUSE(m, RANGE, NULL,
                      "axis %d: %lld elements from %s by step %lld do not fit "
                      "in size %lld",
                      axis, (long long)length, text, (long long)step,
                      (long long)size);
    return true;
}

bool
krsi_shape_slice(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    const int64_t *length, *step;
    krs_index start = KRS_INDEX(0);
    int starts = krsi_attr_index(m->op, m->word, 0, 0, &start);
    int lengths = krsi_attr_ints(m->op, m->word, 1, &length);
    int steps = krsi_attr_ints(m->op, m->word, 2, &step);
    result_like(m, 0);
    if (starts != x->rank || lengths != x->rank || steps != x->rank)
        return REFUSE(m, ARGUMENT, NULL,
                      "%d starts, %d lengths, %d steps for rank %d", starts,
                      lengths, steps, x->rank);
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, NULL, "a block-quantised tensor is not sliced");
    for (int a = 0; a < x->rank; a++) {
        krsi_attr_index(m->op, m->word, 0, a, &start);
        bool whole = start.terms == 0 && start.base == 0 && step[a] == 1 &&
                     length[a] == x->dim[a];
        if (x->live_axes >> a & 1 && !whole)
            return REFUSE(m, UNSUPPORTED, NULL,
                          "axis %d has a live length and cannot be sliced", a);
        if (!block_fits(m, a, start, length[a], step[a], x->dim[a]))
            return false;
        m->shape.dim[a] = length[a];
    }
    return true;
}

bool
krsi_shape_set_slice(krsi_make *m)
{
    const krsi_node *x = m->in[0], *v = m->in[1];
    const int64_t *step;
    krs_index start = KRS_INDEX(0);
    char a_text[KRSI_TYPE_TEXT], b_text[KRSI_TYPE_TEXT];
    int starts = krsi_attr_index(m->op, m->word, 0, 0, &start);
    int steps = krsi_attr_ints(m->op, m->word, 1, &step);
    result_like(m, 0);
    if (x->dtype != v->dtype || x->rank != v->rank || starts != x->rank ||
        steps != x->rank || krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, SHAPE, NULL, "%s cannot be a block of %s",
                      krsi_type_text(b_text, v), krsi_type_text(a_text, x));
    for (int a = 0; a < x->rank; a++) {
        krsi_attr_index(m->op, m->word, 0, a, &start);
        if (!block_fits(m, a, start, v->dim[a], step[a], x->dim[a]))
            return false;
    }
    return true;
}

bool
krsi_shape_pad(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    const int64_t *before, *after;
    int befores = krsi_attr_ints(m->op, m->word, 0, &before);
    int afters = krsi_attr_ints(m->op, m->word, 1, &after);
    result_like(m, 0);
    if (befores != x->rank || afters != x->rank)
        return REFUSE(m, ARGUMENT, NULL, "%d and %d margins for rank %d",
                      befores, afters, x->rank);
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, NULL, "a block-quantised tensor is not padded");
    for (int a = 0; a < x->rank; a++)
        if (before[a] < 0 || after[a] < 0 ||
            __builtin_add_overflow(m->shape.dim[a], before[a],
                                   &m->shape.dim[a]) ||
            __builtin_add_overflow(m->shape.dim[a], after[a], &m->shape.dim[a]))
            return REFUSE(m, RANGE, NULL,
                          "axis %d of size %lld with margins %lld and %lld", a,
                          (long long)x->dim[a], (long long)before[a],
                          (long long)after[a]);
    return true;
}

bool
krsi_shape_concat(krsi_make *m)
{
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    result_like(m, 0);
    int axis = krsi_rule_axis(m, 0, m->shape.rank);
    if (axis < 0)
        return false;
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, NULL,
                      "block-quantised tensors are not concatenated");
    for (int i = 1; i < m->count; i++) {
        const krsi_node *n = m->in[i];
        if (n->dtype != m->dtype)
            return REFUSE(m, DTYPE, "types are never promoted; use krs_cast",
                          "element types differ: %s and %s",
                          krsi_type_text(a, m->in[0]), krsi_type_text(b, n));
        bool fits = n->rank == m->shape.rank;
        for (int k = 0; fits && k < n->rank; k++)
            fits = k == axis || n->dim[k] == m->shape.dim[k];
        if (!fits || __builtin_add_overflow(m->shape.dim[axis], n->dim[axis],
                                            &m->shape.dim[axis]))
            return REFUSE(m, SHAPE, NULL,
                          "along axis %d: parts 0 and %d differ off the axis: "
                          "%s and %s",
                          axis, i, krsi_type_text(a, m->in[0]),
                          krsi_type_text(b, n));
    }
    return true;
}

bool
krsi_shape_live(krsi_make *m)
{
    krs_index length = KRS_INDEX(0);
    int64_t low, high;
    char text[KRSI_INDEX_TEXT];
    result_like(m, 0);
    int axis = krsi_rule_axis(m, 0, m->shape.rank);
    if (axis < 0)
        return false;
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, NULL,
                      "a block-quantised tensor has no live length");
    int count = krsi_attr_index(m->op, m->word, 1, 0, &length);
    if (count != 1 || !krsi_index_bounds(m->graph, length, &low, &high))
        return REFUSE(m, RANGE, NULL,
                      "the length overflows or has more than "
                      "%d variables",
                      KRS_INDEX_TERMS);
    if (low < 0 || high > m->shape.dim[axis])
        return REFUSE(m, RANGE, NULL,
                      "length %s reaches [%lld, %lld], axis %d has size %lld",
                      krsi_index_text(text, m->graph, length), (long long)low,
                      (long long)high, axis, (long long)m->shape.dim[axis]);
    if (m->live_axes >> axis & 1)
        return REFUSE(m, UNSUPPORTED, NULL, "axis %d has a live length already",
                      axis);
    if (length.terms == 0)
        return REFUSE(m, ARGUMENT, "use krs_slice", "length %lld is a constant",
                      (long long)low);
    m->live[axis] = length;
    m->live_axes |= (uint8_t)(1u << axis);
    return true;
}
