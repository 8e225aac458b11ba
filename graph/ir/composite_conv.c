/* composite_conv.c -- definitions of convolutions and pooling by windows.
 *
 * Windows are a view; a convolution copies them once, one a row, and is a
 * matrix product with the weights for each group.
 */
#include "ir.h"

#include <krs/conv.h>

#include <math.h>

/* `value` around the axes from 2 on */
static krs_node
padded(krs_place at, krs_node x, const int64_t *padding, int axes, double value)
{
    int64_t margin[KRS_MAX_RANK] = {0};
    bool any = false;
    for (int a = 0; a < axes; a++) {
        margin[2 + a] = padding[a];
        any |= padding[a] != 0;
    }
    return any ? krs_pad_at(at, x, margin, margin, value) : x;
}

/* [N, C, places.., kernel..] */
static krs_node
windows(krs_place at, krs_node x, const int64_t *kernel, const int64_t *stride,
        const int64_t *dilation, int axes)
{
    for (int a = 0; a < axes; a++)
        x = krs_windows_at(at, x, 2 + a, kernel[a], stride[a],
                           dilation ? dilation[a] : 1);
    return x;
}

krs_node
krsi_expand_conv(const krsi_use *u)
{
    krs_place at = u->at;
    const int64_t *stride, *padding, *dilation;
    int axes = krsi_ints(u->node, 0, &stride);
    krsi_ints(u->node, 1, &padding);
    krsi_ints(u->node, 2, &dilation);
    int64_t groups = krsi_int(u->node, 3);
    krs_shape weight = krs_node_shape(u->in[1]); /* [O, C/G, kernel..] */
    krs_node x = windows(at, padded(at, u->in[0], padding, axes, 0),
                         weight.dim + 2, stride, dilation, axes);
    krs_shape from = krs_node_shape(x); /* [N, C, places.., kernel..] */

    /* [N, G, C/G, places.., kernel..] to [G, N, places.., C/G, kernel..] */
    krs_shape split = {
        from.rank + 1, {from.dim[0], groups, weight.dim[1]}
    };
    krs_axes order = {
        split.rank, {1, 0}
    };
    int64_t places = from.dim[0], taps = weight.dim[1];
    for (int a = 0; a < axes; a++) {
        split.dim[3 + a] = from.dim[2 + a];
        split.dim[3 + axes + a] = weight.dim[2 + a];
        places *= from.dim[2 + a];
        taps *= weight.dim[2 + a];
        order.axis[2 + a] = 3 + a;
        order.axis[3 + axes + a] = 3 + axes + a;
    }
    order.axis[2 + axes] = 2;
    krs_node rows = krs_permute_at(at, krs_reshape_at(at, x, split), order);
    krs_shape outs = KRS_SHAPE(groups, weight.dim[0] / groups, taps);
    krs_node y = krs_matmul_nt_at(
        at, krs_reshape_at(at, rows, KRS_SHAPE(groups, places, taps)),
        krs_reshape_at(at, u->in[1], outs)); /* [G, N places, O/G] */

    /* [G, N, places.., O/G] to [N, O, places..] */
    krs_shape made = {
        3 + axes, {groups, from.dim[0]}
    };
    krs_shape result = {
        2 + axes, {from.dim[0], weight.dim[0]}
    };
    krs_axes back = {
        3 + axes, {1, 0, 2 + axes}
    };
    for (int a = 0; a < axes; a++) {
        made.dim[2 + a] = result.dim[2 + a] = from.dim[2 + a];
        back.axis[3 + a] = 2 + a;
    }
    made.dim[2 + axes] = weight.dim[0] / groups;
    y = krs_permute_at(at, krs_reshape_at(at, y, made), back);
    y = krs_reshape_at(at, y, result);
    if (u->count < 3)
        return y;
    for (int a = 0; a < result.rank; a++)
        result.dim[a] = a == 1 ? weight.dim[0] : 1;
    return krs_add_at(at, y, krs_reshape_at(at, u->in[2], result));
}

/* the windows of a pooling; the axes that are reduced */
static krs_node
pooled(const krsi_use *u, double value, krs_axes *over)
{
    const int64_t *kernel, *stride, *padding;
    int axes = krsi_ints(u->node, 0, &kernel);
    krsi_ints(u->node, 1, &stride);
    krsi_ints(u->node, 2, &padding);
    over->count = axes;
    for (int a = 0; a < axes; a++)
        over->axis[a] = a - axes;
    return windows(u->at, padded(u->at, u->in[0], padding, axes, value), kernel,
                   stride, NULL, axes);
}

krs_node
krsi_expand_max_pool(const krsi_use *u)
{
    krs_axes over;
    krs_node x = pooled(u, -(double)INFINITY, &over);
    return krs_amax_at(u->at, x, over);
}

krs_node
krsi_expand_avg_pool(const krsi_use *u)
{
    krs_axes over;
    krs_node x = pooled(u, 0, &over);
    return krs_mean_at(u->at, x, over);
}
