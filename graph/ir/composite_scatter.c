/* composite_scatter.c -- scatter, which replaces; the last of equal indices
 * wins.
 *
 * There is no memory to write twice in a graph of values, so who wins is found
 * first: a stable sort of the indices along the axis brings equal ones together
 * in their order, and the last of each run wins. Losers add -0, winners their
 * value, to an x that is -0 where anything arrives: -0 + v is v to the last bit
 * for every v, so the sum, which has kernels and a gradient, replaces.
 *
 * Cost: the sort, n log^2 n for n indices along the axis; the rest is linear.
 */
#include "ir.h"

#include <krs/array.h>

/* what changes nothing when it is added */
static krs_node
nothing(krs_place at, krs_node like)
{
    return krs_like_at(at, like,
                       krs_dtype_is_float(krs_node_dtype(like)) ? -0.0 : 0.0);
}

/* bool like index, which is sorted along the axis: no equal one follows */
static krs_node
is_last(krs_place at, krs_node index, int axis)
{
    krs_shape one = krs_node_shape(index);
    int64_t n = one.dim[axis];
    one.dim[axis] = 1;
    krs_node here = krs_slice_at(at, index, axis, 0, n - 1, 1);
    krs_node next = krs_slice_at(at, index, axis, 1, n, 1);
    krs_node parts[2] = {krs_ne_at(at, here, next),
                         krs_full_at(at, index.graph, KRS_BOOL, one, 1)};
    return krs_concat_at(at, parts, 2, axis);
}

/* f32 and integers, which have sums */
static krs_node
replace(krs_place at, krs_node x, krs_node index, krs_node src, int axis)
{
    krs_node order = krs_argsort_at(at, index, axis, false);
    krs_node to = krs_gather_at(at, index, order, axis);
    krs_node from = krs_gather_at(at, src, order, axis);
    krs_node ones = krs_full_at(at, x.graph, KRS_I32, krs_node_shape(to), 1);
    krs_node none = krs_full_at(at, x.graph, KRS_I32, krs_node_shape(x), 0);
    krs_node hit =
        krs_gt_at(at, krs_scatter_add_at(at, none, to, ones, axis), none);
    krs_node base = krs_where_at(at, hit, nothing(at, x), x);
    krs_node won =
        krs_where_at(at, is_last(at, to, axis), from, nothing(at, from));
    return krs_scatter_add_at(at, base, to, won, axis);
}

krs_node
krsi_expand_scatter(const krsi_use *u)
{
    krs_node x = u->in[0], index = u->in[1], src = u->in[2];
    krs_place at = u->at;
    krs_dtype dtype = krs_node_dtype(x);
    int axis = (int)krsi_int(u->node, 0);
    krs_dtype wide = dtype == KRS_BOOL           ? KRS_U8
                     : krs_dtype_is_float(dtype) ? KRS_F32
                                                 : dtype;
    if (krsi_elements(krsi_get(index)) == 0)
        return x;
    krs_node y = replace(at, krs_cast_at(at, x, wide), index,
                         krs_cast_at(at, src, wide), axis);
    return krs_cast_at(at, y, dtype);
}
