/* composite_sort.c -- the order of elements along an axis by a network of
 * comparisons, and its builders (array.h).
 *
 * The axis becomes the last one, of a power of two N, filled up with what comes
 * after everything. Element and place go together; a stage with distance d sees
 * the axis as [N/2d, 2, d], each element beside its partner in the flipped view,
 * and takes the partner where the two are in the wrong order: one kernel. In blocks of 2^s the order alternates until the last s. Places
 * make all elements different, so the network is stable. Source: Batcher 1968;
 * Knuth, The Art of Computer Programming 3, section 5.3.4.
 */
#include "ir.h"

#include <krs/array.h>

#include <math.h>

typedef struct pairs {
    krs_place at;
    bool descending, is_float;
    krs_node key, place; /* [R, N] each */
    int64_t rows, size;
} pairs;

/* does (a, i) come after (b, j)? */
static krs_node
comes_after(const pairs *p, krs_node a, krs_node i, krs_node b, krs_node j)
{
    krs_place at = p->at;
    krs_node later = p->descending ? krs_lt_at(at, a, b) : krs_gt_at(at, a, b);
    krs_node same = krs_eq_at(at, a, b);
    if (p->is_float) { /* a NaN is larger than all but a NaN */
        krs_node a_nan = krs_ne_at(at, a, a), b_nan = krs_ne_at(at, b, b);
        krs_node one = p->descending ? b_nan : a_nan;
        krs_node both = krs_and_at(at, a_nan, b_nan);
        later = krs_or_at(at, later,
                          krs_and_at(at, one, krs_xor_at(at, a_nan, b_nan)));
        same = krs_or_at(at, same, both);
    }
    return krs_or_at(at, later, krs_and_at(at, same, krs_gt_at(at, i, j)));
}

/* What is `distance` apart is exchanged where it is in the wrong order; in every
 * second block of `block` elements the order is the other way. */
static void
stage(pairs *p, int64_t block, int64_t distance)
{
    krs_place at = p->at;
    int64_t count = p->size / (2 * distance), in_block = block / (2 * distance);
    krs_shape whole = KRS_SHAPE(p->rows, p->size),
              split = KRS_SHAPE(p->rows, count, 2, distance);
    krs_node a = krs_reshape_at(at, p->key, split);
    krs_node i = krs_reshape_at(at, p->place, split);
    krs_node b = krs_flip_at(at, a, 2), j = krs_flip_at(at, i, 2);
    krs_node pair =
        krs_iota_at(at, a.graph, KRS_I64, KRS_SHAPE(count, 1, 1), 0);
    krs_node turned = krs_and_at(
        at, krs_div_at(at, pair, krs_like_at(at, pair, (double)in_block)),
        krs_like_at(at, pair, 1));
    krs_node upper = krs_iota_at(at, a.graph, KRS_I64, KRS_SHAPE(2, 1), 0);
    krs_node other_way =
        krs_ne_at(at, krs_xor_at(at, turned, upper), krs_like_at(at, upper, 0));
    krs_node exchange = krs_xor_at(at, comes_after(p, a, i, b, j), other_way);
    p->key = krs_reshape_at(at, krs_where_at(at, exchange, b, a), whole);
    p->place = krs_reshape_at(at, krs_where_at(at, exchange, j, i), whole);
}

/* what no element comes after, but NaN and by their places equals */
static double
last_of(krs_dtype dtype, bool descending)
{
    size_t bytes = 0;
    krs_dtype_bytes(dtype, 1, &bytes);
    switch ((int)krs_dtype_class_of(dtype)) {
    case KRS_CLASS_INT: {
        double end = ldexp(1, 8 * (int)bytes - 1);
        return descending ? -end : end - 1; /* 2^63 is i64's largest */
    }
    case KRS_CLASS_UINT: return descending ? 0 : ldexp(1, 8 * (int)bytes) - 1;
    default: return descending ? -(double)INFINITY : (double)NAN;
    }
}

krs_node
krsi_expand_argsort(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0];
    int axis = (int)krsi_int(u->node, 0);
    krs_shape shape = krs_node_shape(x);
    pairs p = {.at = at,
               .descending = krsi_int(u->node, 1) != 0,
               .is_float = krs_dtype_is_float(krs_node_dtype(x)),
               .rows = 1,
               .size = 1};
    int64_t n = shape.dim[axis];
    for (int a = 0; a < shape.rank; a++)
        p.rows *= a == axis ? 1 : shape.dim[a];
    while (p.size < n)
        p.size *= 2;
    krs_shape given = KRS_SHAPE(p.rows, n);
    krs_node moved = krs_transpose_at(at, x, axis, -1);
    krs_shape order = krs_node_shape(moved);
    if (p.rows == 0 || n == 0)
        return krs_full_at(at, u->graph, KRS_I64, shape, 0);
    int64_t none[2] = {0, 0}, after[2] = {0, p.size - n};
    p.key = krs_pad_at(at, krs_reshape_at(at, moved, given), none, after,
                       last_of(krs_node_dtype(x), p.descending));
    p.place = krs_iota_at(at, u->graph, KRS_I64, KRS_SHAPE(p.rows, p.size), 1);
    for (int64_t block = 2; block <= p.size; block *= 2)
        for (int64_t distance = block / 2; distance > 0; distance /= 2)
            stage(&p, block, distance);
    krs_node first = krs_slice_at(at, p.place, 1, 0, n, 1);
    return krs_transpose_at(at, krs_reshape_at(at, first, order), axis, -1);
}

/* ---- builders ---- */

krs_node
krs_sort_at(krs_place at, krs_node x, int axis, bool descending,
            krs_node *index)
{
    krs_node order = krs_argsort_at(at, x, axis, descending);
    if (index)
        *index = order;
    return krs_node_is_valid(order) ? krs_gather_at(at, x, order, axis) : order;
}

krs_node
krs_topk_at(krs_place at, krs_node x, int64_t k, int axis, bool largest,
            krs_node *index)
{
    krs_node order = krs_argsort_at(at, x, axis, largest);
    if (krs_node_is_valid(order)) {
        int rank = krs_node_shape(order).rank;
        int64_t size = krs_node_shape(order).dim[axis < 0 ? axis + rank : axis];
        if (k < 0 || k > size) {
            krsi_refuse_use(x.graph, at, "topk", &x, 1, KRS_E_RANGE, NULL,
                            "k %lld is outside [0, %lld], the size of axis %d",
                            (long long)k, (long long)size, axis);
            order = krsi_poison(x.graph);
        } else {
            order = krs_slice_at(at, order, axis, 0, k, 1);
        }
    }
    if (index)
        *index = order;
    return krs_node_is_valid(order) ? krs_gather_at(at, x, order, axis) : order;
}
