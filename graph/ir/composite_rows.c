/* composite_rows.c -- definitions of means, softmax, norms and embeddings.
 */
#include "ir.h"

#include <math.h>

static krs_axes
axes_of(const krsi_node *n, int k)
{
    const int64_t *axis;
    krs_axes axes = {krsi_ints(n, k, &axis), {0}};
    for (int i = 0; i < axes.count; i++)
        axes.axis[i] = (int32_t)axis[i];
    return axes;
}

krs_node
krsi_expand_mean(const krsi_use *u)
{
    const int64_t *axis;
    int count = krsi_ints(u->node, 0, &axis);
    krs_node sum = krsi_reduce(u->at, KRSI_SUM, u->in[0], axes_of(u->node, 0),
                               krsi_int(u->node, 1) != 0);
    return krs_div_at(u->at, sum,
                      krsi_axis_count(u->at, u->in[0], axis, count, KRS_F32));
}

/* Two passes, as in layer_norm. Fewer elements than the correction: a division
 * by 0 or less, inf or NaN, as in statistics it is not defined. */
krs_node
krsi_expand_variance(const krsi_use *u)
{
    krs_place at = u->at;
    const int64_t *axis;
    int count = krsi_ints(u->node, 0, &axis);
    krs_node x = u->in[0];
    krs_axes axes = axes_of(u->node, 0);
    krs_node d = krs_sub_at(at, x, krs_mean_keep_at(at, x, axes));
    krs_node sum = krsi_reduce(at, KRSI_SUM, krs_square_at(at, d), axes,
                               krsi_int(u->node, 1) != 0);
    krs_node n = krsi_axis_count(at, x, axis, count, KRS_F32);
    double correction = (double)krsi_int(u->node, 2);
    n = krs_maximum_at(at, krs_offset_at(at, n, -correction),
                       krs_like_at(at, n, 0));
    return krs_div_at(at, sum, n);
}

/* argmax of what lies the other way: -x, or for integers, whose least has no
 * negative, not x */
krs_node
krsi_expand_argmin(const krsi_use *u)
{
    krs_node x = u->in[0];
    bool is_float = krs_dtype_is_float(krs_node_dtype(x));
    krs_node turned = is_float ? krs_neg_at(u->at, x) : krs_not_at(u->at, x);
    return krs_argmax_at(u->at, turned, (int)krsi_int(u->node, 0));
}

/* m + ln sum e^(x-m); an infinite m is replaced by 0, so that rows of -inf give
 * -inf and rows with +inf give +inf, not NaN. m is a constant to the gradient:
 * its terms cancel. */
krs_node
krsi_expand_logsumexp(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0];
    krs_axes axes = axes_of(u->node, 0);
    krs_node max =
        krs_stop_gradient_at(at, krsi_reduce(at, KRSI_AMAX, x, axes, true));
    krs_node infinite = krs_eq_at(at, krs_abs_at(at, max),
                                  krs_like_at(at, max, (double)INFINITY));
    krs_node m = krs_where_at(at, infinite, krs_like_at(at, max, 0), max);
    krs_node sum = krsi_reduce(
        at, KRSI_SUM, krs_exp_at(at, krs_sub_at(at, x, m)), axes, true);
    krs_node y = krs_add_at(at, krs_log_at(at, sum), m);
    if (krsi_int(u->node, 1))
        return y;
    krs_shape shape = krs_node_shape(y), squeezed = KRS_SCALAR;
    unsigned gone = 0;
    for (int i = 0; i < axes.count; i++)
        gone |= 1u << axes.axis[i];
    for (int a = 0; a < shape.rank; a++)
        if (!(gone >> a & 1))
            squeezed.dim[squeezed.rank++] = shape.dim[a];
    return krs_reshape_at(at, y, squeezed);
}

/* x - max along the axis */
static krs_node
shifted(const krsi_use *u, krs_axes axis)
{
    krs_node max = krs_amax_keep_at(u->at, u->in[0], axis);
    return krs_sub_at(u->at, u->in[0], krs_stop_gradient_at(u->at, max));
}

krsi_exponentials
krsi_shifted_exp(krs_place at, krs_node x)
{
    krsi_exponentials e;
    e.max = krs_stop_gradient_at(at, krs_amax_keep_at(at, x, KRS_AXES(-1)));
    e.exp = krs_exp_at(at, krs_sub_at(at, x, e.max));
    e.sum = krs_sum_keep_at(at, e.exp, KRS_AXES(-1));
    return e;
}

krs_node
krsi_expand_softmax(const krsi_use *u)
{
    krs_axes axis = KRS_AXES((int32_t)krsi_int(u->node, 0));
    if (krs_node_shape(u->in[0]).dim[axis.axis[0]] == 0)
        return u->in[0];
    krs_node e = krs_exp_at(u->at, shifted(u, axis));
    return krs_div_at(u->at, e, krs_sum_keep_at(u->at, e, axis));
}

krs_node
krsi_expand_log_softmax(const krsi_use *u)
{
    krs_axes axis = KRS_AXES((int32_t)krsi_int(u->node, 0));
    if (krs_node_shape(u->in[0]).dim[axis.axis[0]] == 0)
        return u->in[0];
    krs_node d = shifted(u, axis);
    krs_node sum = krs_sum_keep_at(u->at, krs_exp_at(u->at, d), axis);
    return krs_sub_at(u->at, d, krs_log_at(u->at, sum));
}

/* the trailing axes that a weight covers */
static krs_axes
trailing(krs_node weight)
{
    krs_axes axes = {krs_node_shape(weight).rank, {0}};
    for (int i = 0; i < axes.count; i++)
        axes.axis[i] = i - axes.count;
    return axes;
}

/* Two passes: the variance of x - mean(x), never E[x^2] - E[x]^2. */
krs_node
krsi_normalized(krs_place at, krs_node x, krs_axes axes, double eps)
{
    krs_node d = krs_sub_at(at, x, krs_mean_keep_at(at, x, axes));
    krs_node var = krs_mean_keep_at(at, krs_square_at(at, d), axes);
    return krs_mul_at(at, d, krs_rsqrt_at(at, krs_offset_at(at, var, eps)));
}

krs_node
krsi_expand_layer_norm(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0], weight = u->in[1];
    krs_node y =
        krsi_normalized(at, x, trailing(weight), krsi_float(u->node, 0));
    y = krs_mul_at(at, y, weight);
    return u->count > 2 ? krs_add_at(at, y, u->in[2]) : y;
}

krs_node
krsi_expand_rms_norm(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0], weight = u->in[1];
    krs_node square =
        krs_mean_keep_at(at, krs_square_at(at, x), trailing(weight));
    krs_node inverse =
        krs_rsqrt_at(at, krs_offset_at(at, square, krsi_float(u->node, 0)));
    return krs_mul_at(at, krs_mul_at(at, x, inverse), weight);
}

/* ---- ids ---- */

krs_node
krsi_expand_one_hot(const krsi_use *u)
{
    krs_place at = u->at;
    int64_t classes = krsi_int(u->node, 0);
    krs_node ids = u->in[0];
    krs_node column =
        krs_iota_at(at, u->graph, krs_node_dtype(ids), KRS_SHAPE(classes), 0);
    krs_node hit = krs_eq_at(at, krs_unsqueeze_at(at, ids, -1), column);
    return krs_cast_at(at, hit, (krs_dtype)krsi_int(u->node, 1));
}

/* rows of the padding id are read, but give no gradient */
krs_node
krsi_expand_embedding(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node ids = u->in[1];
    krs_node rows = krs_take_at(at, u->in[0], ids, 0); /* [.., C] */
    int64_t padding = krsi_int(u->node, 0);
    if (padding < 0)
        return rows;
    krs_node is_padding =
        krs_eq_at(at, ids, krs_like_at(at, ids, (double)padding));
    return krs_where_at(at, krs_unsqueeze_at(at, is_padding, -1),
                        krs_stop_gradient_at(at, rows), rows);
}
