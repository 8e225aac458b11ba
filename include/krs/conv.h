/* conv.h -- convolutions and pooling over one or two axes.
 *
 * Tensors are [N, C, L] or [N, C, H, W]. Along each axis, of size n, with
 * padding p on both sides, a kernel of size k, dilation d and stride s the result has
 * floor((n + 2 p - d (k - 1) - 1) / s) + 1 places; there must be one at least,
 * or n is 0.
 *
 * Errors  SHAPE (sizes that do not fit; the text has all shapes), RANGE (a
 *         stride, dilation, kernel or padding out of bounds).
 */
#ifndef KRS_CONV_H
#define KRS_CONV_H

#include <krs/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/* krs_windows(x, axis, size, step, dilation) -- every window along an axis:
 *
 *      y[.., i, .., j] = x[.., i step + j dilation, ..]
 *
 *   x   any type, no live length along the axis
 *   ->  x's shape with the number of windows for the axis, and a new last axis
 *       of `size`
 *
 * A view: no cost, though windows overlap. Gradient: overlaps add up. */
KRS_API krs_node krs_windows_at(krs_place at, krs_node x, int axis,
                                int64_t size, int64_t step, int64_t dilation);
#define krs_windows(...) krs_windows_at(KRS_HERE, __VA_ARGS__)

/* One number an axis, the height first; 0 stands for what is usual: stride,
 * dilation and groups 1. */
typedef struct krs_conv_options {
    size_t struct_size; /* sizeof (krs_conv_options) */
    int64_t stride[2], padding[2], dilation[2];
    int64_t groups;
} krs_conv_options;

/* krs_conv1d(x, weight, bias, options) -- cross-correlation, as all frameworks
 * call a convolution:
 *
 *      y[n,o,i] = bias[o] + sum_c sum_j weight[o,c,j] x[n,c', i s + j d - p]
 *
 *   x        float [N, C, L]; 0 outside
 *   weight   [O, C/groups, K]; output channel o sees the channels c' of its
 *            group
 *   bias     [O] or KRS_NONE
 *   options  NULL: stride 1, no padding, dilation 1, one group
 *   ->       [N, O, places]
 *
 * krs_conv2d(x, weight, bias, options) -- the same over [N, C, H, W] with
 * weight [O, C/groups, KH, KW].
 *
 * Gradient x, weight, bias. Cost a copy of all windows and one matrix product
 * [N places, C K] [C K, O] for each group. Source Dumoulin & Visin 2016;
 * Chellapilla et al. 2006 for the product. */
KRS_API krs_node krs_conv1d_at(krs_place at, krs_node x, krs_node weight,
                               krs_node bias, const krs_conv_options *options);
KRS_API krs_node krs_conv2d_at(krs_place at, krs_node x, krs_node weight,
                               krs_node bias, const krs_conv_options *options);
#define krs_conv1d(...) krs_conv1d_at(KRS_HERE, __VA_ARGS__)
#define krs_conv2d(...) krs_conv2d_at(KRS_HERE, __VA_ARGS__)

/* One number an axis, the height first; a stride of 0 is that of the kernel. */
typedef struct krs_pool_options {
    size_t struct_size; /* sizeof (krs_pool_options) */
    int64_t kernel[2], stride[2], padding[2];
} krs_pool_options;

/* krs_max_pool1d, krs_max_pool2d(x, options) -- the maximum of each window;
 * padding never is it. The gradient is divided evenly among ties.
 * krs_avg_pool1d, krs_avg_pool2d(x, options) -- the mean of each window, with
 * the zeros of the padding in it.
 *
 *   x   float; the padding at most half of the kernel */
KRS_API krs_node krs_max_pool1d_at(krs_place at, krs_node x,
                                   const krs_pool_options *options);
KRS_API krs_node krs_max_pool2d_at(krs_place at, krs_node x,
                                   const krs_pool_options *options);
KRS_API krs_node krs_avg_pool1d_at(krs_place at, krs_node x,
                                   const krs_pool_options *options);
KRS_API krs_node krs_avg_pool2d_at(krs_place at, krs_node x,
                                   const krs_pool_options *options);
#define krs_max_pool1d(...) krs_max_pool1d_at(KRS_HERE, __VA_ARGS__)
#define krs_max_pool2d(...) krs_max_pool2d_at(KRS_HERE, __VA_ARGS__)
#define krs_avg_pool1d(...) krs_avg_pool1d_at(KRS_HERE, __VA_ARGS__)
#define krs_avg_pool2d(...) krs_avg_pool2d_at(KRS_HERE, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
