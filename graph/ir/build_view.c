/* build_view.c -- builders of views: what NumPy users write, brought to the
 * plain attributes of the rows.
 */
#include "ir.h"

static bool
ok(krs_place at, enum krsi_op op, krs_node x)
{
    return krsi_operands_ok(at, op, &x, 1);
}

/* an error recorded, and poison of x's graph */
#define REFUSE(at, x, OP, status, hint, ...)                           \
    (krsi_refuse_use((x).graph, at, krsi_ops[KRSI_##OP].name, &(x), 1, \
                     KRS_E_##status, hint, __VA_ARGS__),               \
     krsi_poison((x).graph))

krs_node
krs_reshape_at(krs_place at, krs_node x, krs_shape shape)
{
    krsi_words words = {.count = 0};
    if (!ok(at, KRSI_RESHAPE, x))
        return krsi_poison(x.graph);
    krs_shape from = krs_node_shape(x);
    int64_t elements, known = 1;
    int unknown = -1;
    if (shape.rank < 0 || shape.rank > KRS_MAX_RANK)
        return REFUSE(at, x, RESHAPE, SHAPE, NULL, "rank %d is outside 0..%d",
                      (int)shape.rank, KRS_MAX_RANK);
    krs_shape_elements(from, &elements);
    for (int a = 0; a < shape.rank; a++) {
        if (shape.dim[a] == -1 && unknown >= 0)
            return REFUSE(at, x, RESHAPE, SHAPE,
                          "only one size can be inferred",
                          "axes %d and %d are both -1", unknown, a);
        if (shape.dim[a] == -1)
            unknown = a;
        else if (__builtin_mul_overflow(known, shape.dim[a], &known))
            known = 0;
    }
    if (unknown >= 0) {
        if (known <= 0 || elements % known != 0)
            return REFUSE(at, x, RESHAPE, SHAPE, "say all sizes",
                          "the size -1 cannot be inferred: %lld elements, the "
                          "other sizes multiply to %lld",
                          (long long)elements, (long long)known);
        shape.dim[unknown] = elements / known;
    }
    bool same = shape.rank == from.rank;
    for (int a = 0; same && a < shape.rank; a++)
        same = shape.dim[a] == from.dim[a];
    if (same)
        return x;
    krsi_put_ints(&words, shape.dim, shape.rank);
    return krsi_build(at, NULL, KRSI_RESHAPE, &x, 1, &words);
}

krs_node
krs_permute_at(krs_place at, krs_node x, krs_axes axes)
{
    krsi_words words = {.count = 0};
    int64_t axis[KRS_MAX_RANK];
    bool identity = true;
    if (!ok(at, KRSI_PERMUTE, x))
        return krsi_poison(x.graph);
    int rank = krs_node_shape(x).rank;
    if (axes.count != rank)
        return REFUSE(at, x, PERMUTE, AXIS, "name each axis once",
                      "%d axes for a tensor of rank %d", (int)axes.count, rank);
    for (int a = 0; a < rank; a++) {
        axis[a] = axes.axis[a] < 0 ? axes.axis[a] + rank : axes.axis[a];
        identity &= axis[a] == a;
    }
    if (identity)
        return x;
    krsi_put_ints(&words, axis, rank);
    return krsi_build(at, NULL, KRSI_PERMUTE, &x, 1, &words);
}

krs_node
krs_transpose_at(krs_place at, krs_node x, int a, int b)
{
    if (!ok(at, KRSI_PERMUTE, x))
        return krsi_poison(x.graph);
    a = krsi_axis(at, x, KRSI_PERMUTE, a);
    b = krsi_axis(at, x, KRSI_PERMUTE, b);
    if (a < 0 || b < 0)
        return krsi_poison(x.graph);
    krs_axes axes = {krs_node_shape(x).rank, {0}};
    for (int i = 0; i < axes.count; i++)
        axes.axis[i] = i == a ? b : i == b ? a : i;
    return krs_permute_at(at, x, axes);
}

krs_node
krs_expand_at(krs_place at, krs_node x, krs_shape shape)
{
    if (!ok(at, KRSI_EXPAND, x))
        return krsi_poison(x.graph);
    krs_shape from = krs_node_shape(x);
    int lead = shape.rank - from.rank;
    if (shape.rank < 0 || shape.rank > KRS_MAX_RANK || lead < 0)
        return REFUSE(at, x, EXPAND, SHAPE, NULL,
                      "a tensor of rank %d cannot have rank %d", (int)from.rank,
                      (int)shape.rank);
    for (int a = lead; a < shape.rank; a++)
        if (shape.dim[a] == -1)
            shape.dim[a] = from.dim[a - lead];
    return krsi_expand_to(at, x, shape, NULL, 0);
}

krs_node
krs_squeeze_at(krs_place at, krs_node x, int axis)
{
    axis = ok(at, KRSI_RESHAPE, x) ? krsi_axis(at, x, KRSI_RESHAPE, axis) : -1;
    if (axis < 0)
        return krsi_poison(x.graph);
    krs_shape shape = krs_node_shape(x);
    if (shape.dim[axis] != 1)
        return REFUSE(
            at, x, RESHAPE, SHAPE, "only an axis of size 1 is squeezed",
            "axis %d has size %lld", axis, (long long)shape.dim[axis]);
    shape.rank--;
    for (int a = axis; a < shape.rank; a++)
        shape.dim[a] = shape.dim[a + 1];
    return krs_reshape_at(at, x, shape);
}

/* The new axis is made in front, where it cannot be taken for another of size
 * 1, and then moved: a reshape could not tell which of them is live. */
static krs_node
unsqueeze_in_front(krs_place at, krs_node x, int to)
{
    const krsi_node *n = krsi_get(x);
    krs_shape shape = {.rank = n->rank + 1, .dim = {1}};
    krs_axes order = {.count = shape.rank};
    for (int a = 0; a < n->rank; a++)
        shape.dim[a + 1] = n->dim[a];
    for (int a = 0; a < shape.rank; a++)
        order.axis[a] = a == to ? 0 : a < to ? a + 1 : a;
    return krs_permute_at(at, krs_expand_at(at, x, shape), order);
}

krs_node
krs_unsqueeze_at(krs_place at, krs_node x, int axis)
{
    if (!ok(at, KRSI_RESHAPE, x))
        return krsi_poison(x.graph);
    krs_shape shape = krs_node_shape(x);
    int to = axis < 0 ? axis + shape.rank + 1 : axis;
    if (to < 0 || to > shape.rank || shape.rank == KRS_MAX_RANK)
        return REFUSE(at, x, RESHAPE, AXIS, NULL,
                      "a tensor of rank %d cannot get a new axis %d",
                      (int)shape.rank, axis);
    const krsi_node *n = krsi_get(x);
    bool ambiguous = false;
    for (int a = 0; a < n->rank; a++)
        ambiguous = ambiguous || (n->live_axes >> a & 1 && n->dim[a] == 1);
    for (int a = shape.rank; a > to; a--)
        shape.dim[a] = shape.dim[a - 1];
    shape.dim[to] = 1;
    shape.rank++;
    return ambiguous ? unsqueeze_in_front(at, x, to)
                     : krs_reshape_at(at, x, shape);
}

/* ---- slices ---- */

krs_node
krsi_slice(krs_place at, krs_node x, const krs_index *starts,
           const int64_t *lengths, const int64_t *steps)
{
    krsi_words words = {.count = 0};
    if (!ok(at, KRSI_SLICE, x))
        return krsi_poison(x.graph);
    krs_shape shape = krs_node_shape(x);
    bool whole = true;
    for (int a = 0; a < shape.rank; a++) {
        if (starts[a].terms < 0)
            return REFUSE(
                at, x, SLICE, RANGE, NULL,
                "axis %d: the start overflows or has more than %d variables", a,
                KRS_INDEX_TERMS);
        whole &= starts[a].terms == 0 && starts[a].base == 0 &&
                 lengths[a] == shape.dim[a] && steps[a] == 1;
    }
    if (whole)
        return x;
    krsi_put_indices(&words, starts, shape.rank);
    krsi_put_ints(&words, lengths, shape.rank);
    krsi_put_ints(&words, steps, shape.rank);
    return krsi_build(at, NULL, KRSI_SLICE, &x, 1, &words);
}

krs_node
krsi_set_slice(krs_place at, krs_node x, krs_node v, const krs_index *starts,
               const int64_t *steps)
{
    krsi_words words = {.count = 0};
    const krs_node in[2] = {x, v};
    if (!krsi_operands_ok(at, KRSI_SET_SLICE, in, 2))
        return krsi_poison(x.graph ? x.graph : v.graph);
    int rank = krs_node_shape(x).rank;
    for (int a = 0; a < rank; a++)
        if (starts[a].terms < 0)
            return REFUSE(
                at, x, SET_SLICE, RANGE, NULL,
                "axis %d: the start overflows or has more than %d variables", a,
                KRS_INDEX_TERMS);
    krsi_put_indices(&words, starts, rank);
    krsi_put_ints(&words, steps, rank);
    return krsi_build(at, NULL, KRSI_SET_SLICE, in, 2, &words);
}

/* a slice that takes everything, to be narrowed on one axis */
typedef struct whole {
    krs_index start[KRS_MAX_RANK];
    int64_t length[KRS_MAX_RANK], step[KRS_MAX_RANK];
} whole;

static whole
whole_of(krs_node x)
{
    whole w;
    krs_shape shape = krs_node_shape(x);
    for (int a = 0; a < KRS_MAX_RANK; a++) {
        w.start[a] = KRS_INDEX(0);
        w.length[a] = a < shape.rank ? shape.dim[a] : 0;
        w.step[a] = 1;
    }
    return w;
}

/* Python's slice.indices: bounds of a slice clamped into the axis. */
static int64_t
clamp_bound(int64_t bound, int64_t size, int64_t step)
{
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
    if (bound < 0)
        bound += size;
    return bound < low ? low : bound > high ? high : bound;
}

krs_node
krs_slice_at(krs_place at, krs_node x, int axis, int64_t start, int64_t end,
             int64_t step)
{
    axis = ok(at, KRSI_SLICE, x) ? krsi_axis(at, x, KRSI_SLICE, axis) : -1;
    if (axis < 0)
        return krsi_poison(x.graph);
    if (step == 0 || step == INT64_MIN)
        return REFUSE(at, x, SLICE, RANGE, NULL, "step %lld along axis %d",
                      (long long)step, axis);
    whole w = whole_of(x);
    int64_t size = w.length[axis];
    int64_t first = start == KRS_END ? (step < 0 ? size - 1 : 0)
                                     : clamp_bound(start, size, step);
    int64_t last =
        end == KRS_END ? (step < 0 ? -1 : size) : clamp_bound(end, size, step);
    int64_t span = step < 0 ? first - last : last - first;
    int64_t stride = step < 0 ? -step : step;
    int64_t length = span > 0 ? (span - 1) / stride + 1 : 0;
    w.start[axis] = KRS_INDEX(length ? first : 0);
    w.length[axis] = length;
    w.step[axis] = length ? step : 1;
    return krsi_slice(at, x, w.start, w.length, w.step);
}

krs_node
krs_narrow_at(krs_place at, krs_node x, int axis, krs_index start,
              int64_t length)
{
    axis = ok(at, KRSI_SLICE, x) ? krsi_axis(at, x, KRSI_SLICE, axis) : -1;
    if (axis < 0)
        return krsi_poison(x.graph);
    whole w = whole_of(x);
    w.start[axis] = start;
    w.length[axis] = length;
    return krsi_slice(at, x, w.start, w.length, w.step);
}

krs_node
krs_flip_at(krs_place at, krs_node x, int axis)
{
    return krs_slice_at(at, x, axis, KRS_END, KRS_END, -1);
}

krs_node
krs_set_slice_at(krs_place at, krs_node x, krs_node v, const krs_index *starts)
{
    whole w = whole_of(x);
    if (!starts && ok(at, KRSI_SET_SLICE, x))
        return REFUSE(at, x, SET_SLICE, ARGUMENT, NULL,
                      "starts is NULL where an index for each axis is needed");
    return krsi_set_slice(at, x, v, starts, w.step);
}

/* ---- pad, concat, live ---- */

krs_node
krs_pad_at(krs_place at, krs_node x, const int64_t *before,
           const int64_t *after, double value)
{
    krsi_words words = {.count = 0};
    int64_t grow[2][KRS_MAX_RANK];
    if (!ok(at, KRSI_PAD, x))
        return krsi_poison(x.graph);
    if (!before || !after)
        return REFUSE(at, x, PAD, ARGUMENT, NULL,
                      "a margin is NULL where a count for each axis is needed");
    whole w = whole_of(x);
    int rank = krs_node_shape(x).rank;
    bool grows = false;
    for (int a = 0; a < rank; a++) { /* crop by a slice, then grow */
        int64_t low = before[a] < 0 ? before[a] : 0;
        int64_t high = after[a] < 0 ? after[a] : 0;
        if (low < -w.length[a] || high < -w.length[a] - low)
            return REFUSE(
                at, x, PAD, RANGE, NULL,
                "axis %d: margins %lld and %lld crop more than its size %lld",
                a, (long long)before[a], (long long)after[a],
                (long long)w.length[a]);
        w.start[a].base = -low;
        w.length[a] += low + high;
        grow[0][a] = before[a] > 0 ? before[a] : 0;
        grow[1][a] = after[a] > 0 ? after[a] : 0;
        grows |= grow[0][a] || grow[1][a];
        if (w.length[a] == 0)
            w.start[a].base = 0;
    }
    x = krsi_slice(at, x, w.start, w.length, w.step);
    if (!grows || !krsi_get(x))
        return x;
    krsi_put_ints(&words, grow[0], rank);
    krsi_put_ints(&words, grow[1], rank);
    krsi_put_float(&words, value);
    return krsi_build(at, NULL, KRSI_PAD, &x, 1, &words);
}

krs_node
krs_concat_at(krs_place at, const krs_node *parts, int count, int axis)
{
    krsi_words words = {.count = 0};
    if (count < 1 || !parts)
        return KRS_NONE;
    if (!krsi_operands_ok(at, KRSI_CONCAT, parts, count))
        return krsi_poison(parts[0].graph);
    axis = krsi_axis(at, parts[0], KRSI_CONCAT, axis);
    if (axis < 0)
        return krsi_poison(parts[0].graph);
    if (count == 1)
        return parts[0];
    krsi_put_int(&words, axis);
    return krsi_build(at, NULL, KRSI_CONCAT, parts, count, &words);
}

krs_node
krs_stack_at(krs_place at, const krs_node *parts, int count, int axis)
{
    enum { GROUP = 64 };
    krs_node grown[GROUP];
    if (count < 1 || !parts)
        return KRS_NONE;
    if (!krsi_operands_ok(at, KRSI_CONCAT, parts, count))
        return krsi_poison(parts[0].graph);
    int rank = krs_node_shape(parts[0]).rank;
    int to = axis < 0 ? axis + rank + 1 : axis;
    /* more parts than fit at once are stacked in groups */
    int group = 0;
    krs_node whole_stack = KRS_NONE;
    for (int i = 0; i < count; i++) {
        grown[group++] = krs_unsqueeze_at(at, parts[i], to);
        if (group < GROUP && i + 1 < count)
            continue;
        krs_node piece = krs_concat_at(at, grown, group, to);
        krs_node both[2] = {whole_stack, piece};
        whole_stack =
            whole_stack.graph ? krs_concat_at(at, both, 2, to) : piece;
        group = 0;
    }
    return whole_stack;
}

krs_node
krs_live_at(krs_place at, krs_node x, int axis, krs_index length)
{
    krsi_words words = {.count = 0};
    axis = ok(at, KRSI_LIVE, x) ? krsi_axis(at, x, KRSI_LIVE, axis) : -1;
    if (axis < 0)
        return krsi_poison(x.graph);
    if (length.terms < 0)
        return REFUSE(
            at, x, LIVE, RANGE, NULL,
            "axis %d: the length overflows or has more than %d variables", axis,
            KRS_INDEX_TERMS);
    if (length.terms == 0)
        return krs_narrow_at(at, x, axis, KRS_INDEX(0), length.base);
    krsi_put_int(&words, axis);
    krsi_put_indices(&words, &length, 1);
    return krsi_build(at, NULL, KRSI_LIVE, &x, 1, &words);
}
