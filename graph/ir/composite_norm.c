/* composite_norm.c -- definitions of norms over groups, batches and axes. */
#include "ir.h"

/* a vector of channels [C] as [1, C, 1, ..] of that rank */
static krs_node
channels(krs_place at, krs_node v, int rank)
{
    krs_shape shape = {rank, {0}};
    for (int a = 0; a < rank; a++)
        shape.dim[a] = a == 1 ? krs_node_shape(v).dim[0] : 1;
    return krs_reshape_at(at, v, shape);
}

/* x as [N, G, C/G ..]: statistics over all but the first two axes */
krs_node
krsi_expand_group_norm(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0];
    krs_shape shape = krs_node_shape(x);
    int64_t groups = krsi_int(u->node, 0), rest = shape.dim[1] / groups;
    for (int a = 2; a < shape.rank; a++)
        rest *= shape.dim[a];
    krs_node rows =
        krs_reshape_at(at, x, KRS_SHAPE(shape.dim[0], groups, rest));
    krs_node y = krs_reshape_at(
        at, krsi_normalized(at, rows, KRS_AXES(-1), krsi_float(u->node, 1)),
        shape);
    y = krs_mul_at(at, y, channels(at, u->in[1], shape.rank));
    return u->count > 2 ? krs_add_at(at, y, channels(at, u->in[2], shape.rank))
                        : y;
}

krs_node
krsi_expand_batch_norm(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0];
    int rank = krs_node_shape(x).rank;
    krs_node inverse =
        krs_rsqrt_at(at, krs_offset_at(at, u->in[2], krsi_float(u->node, 0)));
    krs_node d = krs_sub_at(at, x, channels(at, u->in[1], rank));
    krs_node y = krs_mul_at(
        at, d, channels(at, krs_mul_at(at, inverse, u->in[3]), rank));
    return krs_add_at(at, y, channels(at, u->in[4], rank));
}

/* 1 / max(|x|, eps), from the squares: the root of 0 has no slope */
static krs_node
inverse_length(krs_place at, krs_node x, krs_axes axis, double eps)
{
    krs_node square = krs_sum_keep_at(at, krs_square_at(at, x), axis);
    return krs_rsqrt_at(
        at, krs_maximum_at(at, square, krs_like_at(at, square, eps * eps)));
}

krs_node
krsi_expand_l2_normalize(const krsi_use *u)
{
    krs_axes axis = KRS_AXES((int32_t)krsi_int(u->node, 0));
    return krs_mul_at(
        u->at, u->in[0],
        inverse_length(u->at, u->in[0], axis, krsi_float(u->node, 1)));
}

krs_node
krsi_expand_cosine_similarity(const krsi_use *u)
{
    krs_place at = u->at;
    int32_t axis = (int32_t)krsi_int(u->node, 0);
    krs_axes axes = KRS_AXES(axis);
    double eps = krsi_float(u->node, 1);
    krs_node a = u->in[0], b = u->in[1];
    krs_node dot = krs_sum_keep_at(at, krs_mul_at(at, a, b), axes);
    krs_node y =
        krs_mul_at(at, krs_mul_at(at, dot, inverse_length(at, a, axes, eps)),
                   inverse_length(at, b, axes, eps));
    return krs_squeeze_at(at, y, axis);
}
