/* ops.h -- the operations of a graph.
 *
 * Rules that hold everywhere:
 *
 *   types        never promoted: operands must agree. f16 and bf16 are
 *                storage: operations other than views, gathers, casts,
 *                matmul and attention cast them to f32, and their result
 *                back once.
 *   broadcasting as NumPy, implicit, for the element-wise operations.
 *   axes         negative ones count from the end.
 *   empty        sizes of 0 are legal; the sum of nothing is 0, the product
 *                1, mean and variance are NaN; amax, amin, argmax and argmin
 *                of nothing are refused.
 *   NaN          propagates through every float operation, maximum, amax and
 *                clamp included; comparisons with it are false, ne is true.
 *   ties         maximum and minimum give half of the gradient to each
 *                operand, amax and amin divide it evenly, argmax names the
 *                first.
 *   integers     wrap around.
 *   errors       SHAPE, DTYPE, AXIS, RANGE, GRAPH (operand of another graph),
 *                as poison (graph.h). Run-time: RANGE for an index that is
 *                outside its axis.
 *
 * Each builder is a macro that adds the place in the caller's source to the
 * function krs_<op>_at; other languages call that. The macros are variadic so
 * that compound literals can be arguments.
 */
#ifndef KRS_OPS_H
#define KRS_OPS_H

#include <krs/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- element-wise, one operand: krs_node krs_<op>(krs_node x) ----
 * Cost 1 operation an element. Gradient stated as dy/dx.
 *
 *   neg          -x                          -1           any number
 *   abs          |x|                         sign(x)      any number
 *   sign         -1, 0, 1; sign(NaN) = NaN   0            float
 *   exp          e^x                         y            float
 *   exp2         2^x                         y ln 2       float
 *   log          ln x                        1/x          float
 *   log2         ln x / ln 2                 1/(x ln 2)   float
 *   sqrt         x^(1/2)                     1/(2y)       float
 *   rsqrt        x^(-1/2)                    -y/(2x)      float
 *   sin, cos                                 cos, -sin    float
 *   tanh                                     1-y^2        float
 *   sigmoid      1/(1+e^-x)                  y(1-y)       float
 *   erf, erfc                                +-2/sqrt(pi) e^(-x^2)
 *   floor        largest integer <= x        0            float
 *   relu         x if x > 0, else 0          0 at 0       float
 *   silu         x sigmoid(x)                             float
 *   gelu         x/2 erfc(-x/sqrt 2)                      float
 *   gelu_tanh    x/2 (1+tanh(sqrt(2/pi)(x+0.044715x^3)))  float
 *   log1p        ln(1+x), exact near 0       1/(1+x)      float
 *   expm1        e^x-1, exact near 0         e^x          float
 *   softplus     ln(1+e^x)                   sigmoid(x)   float
 *   square       x*x                         2x           any number
 *   not          logical not                 none         bool
 *                bit by bit                  none         integers
 *   stop_gradient x                          none         any
 *
 * Sources: gelu: Hendrycks & Gimpel 2016; silu: Elfwing et al. 2017. */
KRS_API krs_node krs_neg_at(krs_place at, krs_node x);
KRS_API krs_node krs_abs_at(krs_place at, krs_node x);
KRS_API krs_node krs_sign_at(krs_place at, krs_node x);
KRS_API krs_node krs_exp_at(krs_place at, krs_node x);
KRS_API krs_node krs_exp2_at(krs_place at, krs_node x);
KRS_API krs_node krs_log_at(krs_place at, krs_node x);
KRS_API krs_node krs_log2_at(krs_place at, krs_node x);
KRS_API krs_node krs_sqrt_at(krs_place at, krs_node x);
KRS_API krs_node krs_rsqrt_at(krs_place at, krs_node x);
KRS_API krs_node krs_sin_at(krs_place at, krs_node x);
KRS_API krs_node krs_cos_at(krs_place at, krs_node x);
KRS_API krs_node krs_tanh_at(krs_place at, krs_node x);
KRS_API krs_node krs_sigmoid_at(krs_place at, krs_node x);
KRS_API krs_node krs_erf_at(krs_place at, krs_node x);
KRS_API krs_node krs_erfc_at(krs_place at, krs_node x);
KRS_API krs_node krs_floor_at(krs_place at, krs_node x);
KRS_API krs_node krs_relu_at(krs_place at, krs_node x);
KRS_API krs_node krs_silu_at(krs_place at, krs_node x);
KRS_API krs_node krs_gelu_at(krs_place at, krs_node x);
KRS_API krs_node krs_gelu_tanh_at(krs_place at, krs_node x);
KRS_API krs_node krs_log1p_at(krs_place at, krs_node x);
KRS_API krs_node krs_expm1_at(krs_place at, krs_node x);
KRS_API krs_node krs_softplus_at(krs_place at, krs_node x);
KRS_API krs_node krs_square_at(krs_place at, krs_node x);
KRS_API krs_node krs_not_at(krs_place at, krs_node x);
KRS_API krs_node krs_stop_gradient_at(krs_place at, krs_node x);
#define krs_neg(...)           krs_neg_at(KRS_HERE, __VA_ARGS__)
#define krs_abs(...)           krs_abs_at(KRS_HERE, __VA_ARGS__)
#define krs_sign(...)          krs_sign_at(KRS_HERE, __VA_ARGS__)
#define krs_exp(...)           krs_exp_at(KRS_HERE, __VA_ARGS__)
#define krs_exp2(...)          krs_exp2_at(KRS_HERE, __VA_ARGS__)
#define krs_log(...)           krs_log_at(KRS_HERE, __VA_ARGS__)
#define krs_log2(...)          krs_log2_at(KRS_HERE, __VA_ARGS__)
#define krs_sqrt(...)          krs_sqrt_at(KRS_HERE, __VA_ARGS__)
#define krs_rsqrt(...)         krs_rsqrt_at(KRS_HERE, __VA_ARGS__)
#define krs_sin(...)           krs_sin_at(KRS_HERE, __VA_ARGS__)
#define krs_cos(...)           krs_cos_at(KRS_HERE, __VA_ARGS__)
#define krs_tanh(...)          krs_tanh_at(KRS_HERE, __VA_ARGS__)
#define krs_sigmoid(...)       krs_sigmoid_at(KRS_HERE, __VA_ARGS__)
#define krs_erf(...)           krs_erf_at(KRS_HERE, __VA_ARGS__)
#define krs_erfc(...)          krs_erfc_at(KRS_HERE, __VA_ARGS__)
#define krs_floor(...)         krs_floor_at(KRS_HERE, __VA_ARGS__)
#define krs_relu(...)          krs_relu_at(KRS_HERE, __VA_ARGS__)
#define krs_silu(...)          krs_silu_at(KRS_HERE, __VA_ARGS__)
#define krs_gelu(...)          krs_gelu_at(KRS_HERE, __VA_ARGS__)
#define krs_gelu_tanh(...)     krs_gelu_tanh_at(KRS_HERE, __VA_ARGS__)
#define krs_log1p(...)         krs_log1p_at(KRS_HERE, __VA_ARGS__)
#define krs_expm1(...)         krs_expm1_at(KRS_HERE, __VA_ARGS__)
#define krs_softplus(...)      krs_softplus_at(KRS_HERE, __VA_ARGS__)
#define krs_square(...)        krs_square_at(KRS_HERE, __VA_ARGS__)
#define krs_not(...)           krs_not_at(KRS_HERE, __VA_ARGS__)
#define krs_stop_gradient(...) krs_stop_gradient_at(KRS_HERE, __VA_ARGS__)

/* krs_recompute(x) -- x as another node.
 *
 *      y = x
 *
 *   x   any type, any shape
 *   ->  as x, live lengths too; a new node with each call
 *
 * Equal operations on equal operands are one node; what is built on y is not
 * the node that the same operation gives on x. So it is computed again, later,
 * instead of being kept for later. It costs nothing itself: no kernel, no
 * memory. krs_checkpoint (graph.h) uses it for whole layers.
 *
 * Errors     GRAPH if x is of no graph.
 * Gradient   x: g.
 * Cost       none.
 * Source     as krs_checkpoint. */
KRS_API krs_node krs_recompute_at(krs_place at, krs_node x);
#define krs_recompute(...) krs_recompute_at(KRS_HERE, __VA_ARGS__)

/* ---- element-wise, two operands: krs_node krs_<op>(krs_node a, krs_node b)
 *
 *   add sub mul div   any number; integer division truncates towards zero, by
 *                     0 gives 0, the smallest integer by -1 itself; nothing
 *                     traps; no gradient through integers
 *   pow               float: C's pow; d/da = b a^(b-1), 0 where b = 0;
 *                     d/db = y ln a, 0 where a = 0 and b >= 0
 *   maximum minimum   any number
 *   and or xor        bool: logical; integers: bit by bit
 *   rem mod           integers: what div leaves, a - (a / b) b, with the sign
 *                     of a; mod has the sign of b instead (Python's %). By 0
 *                     both give a; the smallest integer by -1 gives 0
 *   shl shr           integers: shifted left, zeros come in; shifted right, the
 *                     sign comes in (u8: zeros). By less than 0 or not less
 *                     than the bits of the type: 0, or all sign
 *   eq ne lt le gt ge any -> bool
 *   swiglu            silu(a) * b   (Shazeer 2020, eq. 5)
 *
 * krs_scale(x, s) is x * s; krs_offset(x, s) is x + s; krs_pow_scalar(x, e) is
 * x^e. Of integers x the scalar is whole, or refused with RANGE. */
KRS_API krs_node krs_add_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_sub_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_mul_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_div_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_pow_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_maximum_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_minimum_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_and_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_or_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_xor_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_rem_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_mod_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_shl_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_shr_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_eq_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_ne_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_lt_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_le_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_gt_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_ge_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_swiglu_at(krs_place at, krs_node gate, krs_node up);
KRS_API krs_node krs_scale_at(krs_place at, krs_node x, double factor);
KRS_API krs_node krs_offset_at(krs_place at, krs_node x, double term);
KRS_API krs_node krs_pow_scalar_at(krs_place at, krs_node x, double exponent);
#define krs_add(...)        krs_add_at(KRS_HERE, __VA_ARGS__)
#define krs_sub(...)        krs_sub_at(KRS_HERE, __VA_ARGS__)
#define krs_mul(...)        krs_mul_at(KRS_HERE, __VA_ARGS__)
#define krs_div(...)        krs_div_at(KRS_HERE, __VA_ARGS__)
#define krs_pow(...)        krs_pow_at(KRS_HERE, __VA_ARGS__)
#define krs_maximum(...)    krs_maximum_at(KRS_HERE, __VA_ARGS__)
#define krs_minimum(...)    krs_minimum_at(KRS_HERE, __VA_ARGS__)
#define krs_and(...)        krs_and_at(KRS_HERE, __VA_ARGS__)
#define krs_or(...)         krs_or_at(KRS_HERE, __VA_ARGS__)
#define krs_xor(...)        krs_xor_at(KRS_HERE, __VA_ARGS__)
#define krs_rem(...)        krs_rem_at(KRS_HERE, __VA_ARGS__)
#define krs_mod(...)        krs_mod_at(KRS_HERE, __VA_ARGS__)
#define krs_shl(...)        krs_shl_at(KRS_HERE, __VA_ARGS__)
#define krs_shr(...)        krs_shr_at(KRS_HERE, __VA_ARGS__)
#define krs_eq(...)         krs_eq_at(KRS_HERE, __VA_ARGS__)
#define krs_ne(...)         krs_ne_at(KRS_HERE, __VA_ARGS__)
#define krs_lt(...)         krs_lt_at(KRS_HERE, __VA_ARGS__)
#define krs_le(...)         krs_le_at(KRS_HERE, __VA_ARGS__)
#define krs_gt(...)         krs_gt_at(KRS_HERE, __VA_ARGS__)
#define krs_ge(...)         krs_ge_at(KRS_HERE, __VA_ARGS__)
#define krs_swiglu(...)     krs_swiglu_at(KRS_HERE, __VA_ARGS__)
#define krs_scale(...)      krs_scale_at(KRS_HERE, __VA_ARGS__)
#define krs_offset(...)     krs_offset_at(KRS_HERE, __VA_ARGS__)
#define krs_pow_scalar(...) krs_pow_scalar_at(KRS_HERE, __VA_ARGS__)

/* krs_where(c, a, b) -- a where c holds, else b; broadcasts.
 *   c bool, a and b of one type. Gradient: where(c, g, 0) and where(c, 0, g),
 *   so nothing of the branch not taken passes. */
KRS_API krs_node krs_where_at(krs_place at, krs_node condition, krs_node a,
                              krs_node b);
#define krs_where(...) krs_where_at(KRS_HERE, __VA_ARGS__)

/* krs_clamp(x, low, high) -- low if x < low, high if x > high, else x; use
 * -INFINITY or INFINITY for no bound. Gradient passes at the bounds too. */
KRS_API krs_node krs_clamp_at(krs_place at, krs_node x, double low,
                              double high);
#define krs_clamp(...) krs_clamp_at(KRS_HERE, __VA_ARGS__)

/* krs_cast(x, dtype) -- conversion by the rules of krs_convert (dtype.h); of
 * block-quantised x, to f32 alone: its numbers (block.h).
 * Gradient: cast back, between float types. */
KRS_API krs_node krs_cast_at(krs_place at, krs_node x, krs_dtype dtype);
#define krs_cast(...) krs_cast_at(KRS_HERE, __VA_ARGS__)

/* ---- reductions ----
 * The axes named go, or stay as size 1 with the _keep form.
 *
 *   sum    any number      gradient g, expanded; of more than 2^18 floats in
 *                          parts of 4096, so that ten million lose no digit
 *   mean   float           sum / count
 *   amax, amin  any number gradient divided evenly among ties
 *   logsumexp   float      m + ln sum e^(x-m); gradient softmax(x) g
 *   prod   any number      gradient g times the product of all others, right
 *                          where some are 0; of nothing 1
 *   variance, std   float  two passes, divided by n - correction (0: of a
 *                          population, 1: of a sample); of fewer elements
 *                          than that inf or NaN. std has the gradient
 *                          inf or NaN where it is 0
 *   argmax, argmin -> i64  first extremum along one axis; NaN is both; no
 *                          gradient
 *   cumsum                 running sum along one axis, included; gradient is
 *                          the running sum from the end
 *   cumprod                running product likewise; gradient by a recurrence
 *                          (krs_scan), right where some are 0
 *   max_with_index, min_with_index   the first extremum along one axis, and
 *                          where it is (*index, as argmax); the gradient goes
 *                          there, whole */
KRS_API krs_node krs_sum_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_mean_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_amax_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_amin_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_logsumexp_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_sum_keep_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_mean_keep_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_amax_keep_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_amin_keep_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_logsumexp_keep_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_prod_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_prod_keep_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_variance_at(krs_place at, krs_node x, krs_axes axes,
                                 int64_t correction);
KRS_API krs_node krs_variance_keep_at(krs_place at, krs_node x, krs_axes axes,
                                      int64_t correction);
KRS_API krs_node krs_std_at(krs_place at, krs_node x, krs_axes axes,
                            int64_t correction);
KRS_API krs_node krs_std_keep_at(krs_place at, krs_node x, krs_axes axes,
                                 int64_t correction);
KRS_API krs_node krs_argmax_at(krs_place at, krs_node x, int axis);
KRS_API krs_node krs_argmin_at(krs_place at, krs_node x, int axis);
KRS_API krs_node krs_cumsum_at(krs_place at, krs_node x, int axis);
KRS_API krs_node krs_cumprod_at(krs_place at, krs_node x, int axis);
KRS_API krs_node krs_max_with_index_at(krs_place at, krs_node x, int axis,
                                       krs_node *index);
KRS_API krs_node krs_min_with_index_at(krs_place at, krs_node x, int axis,
                                       krs_node *index);
#define krs_sum(...)            krs_sum_at(KRS_HERE, __VA_ARGS__)
#define krs_mean(...)           krs_mean_at(KRS_HERE, __VA_ARGS__)
#define krs_amax(...)           krs_amax_at(KRS_HERE, __VA_ARGS__)
#define krs_amin(...)           krs_amin_at(KRS_HERE, __VA_ARGS__)
#define krs_logsumexp(...)      krs_logsumexp_at(KRS_HERE, __VA_ARGS__)
#define krs_sum_keep(...)       krs_sum_keep_at(KRS_HERE, __VA_ARGS__)
#define krs_mean_keep(...)      krs_mean_keep_at(KRS_HERE, __VA_ARGS__)
#define krs_amax_keep(...)      krs_amax_keep_at(KRS_HERE, __VA_ARGS__)
#define krs_amin_keep(...)      krs_amin_keep_at(KRS_HERE, __VA_ARGS__)
#define krs_logsumexp_keep(...) krs_logsumexp_keep_at(KRS_HERE, __VA_ARGS__)
#define krs_prod(...)           krs_prod_at(KRS_HERE, __VA_ARGS__)
#define krs_prod_keep(...)      krs_prod_keep_at(KRS_HERE, __VA_ARGS__)
#define krs_variance(...)       krs_variance_at(KRS_HERE, __VA_ARGS__)
#define krs_variance_keep(...)  krs_variance_keep_at(KRS_HERE, __VA_ARGS__)
#define krs_std(...)            krs_std_at(KRS_HERE, __VA_ARGS__)
#define krs_std_keep(...)       krs_std_keep_at(KRS_HERE, __VA_ARGS__)
#define krs_argmax(...)         krs_argmax_at(KRS_HERE, __VA_ARGS__)
#define krs_argmin(...)         krs_argmin_at(KRS_HERE, __VA_ARGS__)
#define krs_cumsum(...)         krs_cumsum_at(KRS_HERE, __VA_ARGS__)
#define krs_cumprod(...)        krs_cumprod_at(KRS_HERE, __VA_ARGS__)
#define krs_max_with_index(...) krs_max_with_index_at(KRS_HERE, __VA_ARGS__)
#define krs_min_with_index(...) krs_min_with_index_at(KRS_HERE, __VA_ARGS__)

/* ---- views: no cost, any type (block types: only whole-row reshapes) ---- */

/* krs_reshape(x, shape) -- same elements in row-major order; one size may be
 * -1. krs_permute(x, axes) -- axis i of the result is axis axes[i] of x.
 * krs_transpose(x, a, b) -- two axes exchanged.
 * krs_expand(x, shape) -- sizes of 1 repeated, new axes in front; -1 keeps a
 * size. krs_squeeze / unsqueeze -- drop / add an axis of size 1. */
KRS_API krs_node krs_reshape_at(krs_place at, krs_node x, krs_shape shape);
KRS_API krs_node krs_permute_at(krs_place at, krs_node x, krs_axes axes);
KRS_API krs_node krs_transpose_at(krs_place at, krs_node x, int a, int b);
KRS_API krs_node krs_expand_at(krs_place at, krs_node x, krs_shape shape);
KRS_API krs_node krs_squeeze_at(krs_place at, krs_node x, int axis);
KRS_API krs_node krs_unsqueeze_at(krs_place at, krs_node x, int axis);
#define krs_reshape(...)   krs_reshape_at(KRS_HERE, __VA_ARGS__)
#define krs_permute(...)   krs_permute_at(KRS_HERE, __VA_ARGS__)
#define krs_transpose(...) krs_transpose_at(KRS_HERE, __VA_ARGS__)
#define krs_expand(...)    krs_expand_at(KRS_HERE, __VA_ARGS__)
#define krs_squeeze(...)   krs_squeeze_at(KRS_HERE, __VA_ARGS__)
#define krs_unsqueeze(...) krs_unsqueeze_at(KRS_HERE, __VA_ARGS__)

/* krs_slice(x, axis, start, end, step) -- elements start, start+step, ... before
 * end, as Python's x[start:end:step]: negative bounds count from the end,
 * bounds are clamped, a negative step runs backwards; KRS_END is the open end.
 * krs_narrow(x, axis, start, length) -- `length` elements from a runtime start
 * (checked at the run to fit).
 * Gradient: zero outside. */
#define KRS_END INT64_MIN
KRS_API krs_node krs_slice_at(krs_place at, krs_node x, int axis, int64_t start,
                              int64_t end, int64_t step);
KRS_API krs_node krs_narrow_at(krs_place at, krs_node x, int axis,
                               krs_index start, int64_t length);
#define krs_slice(...)  krs_slice_at(KRS_HERE, __VA_ARGS__)
#define krs_narrow(...) krs_narrow_at(KRS_HERE, __VA_ARGS__)

/* krs_flip(x, axis) -- backwards along an axis. */
KRS_API krs_node krs_flip_at(krs_place at, krs_node x, int axis);
#define krs_flip(...) krs_flip_at(KRS_HERE, __VA_ARGS__)

/* krs_set_slice(x, v, starts) -- x with the block at `starts` (one index an
 * axis, constant or runtime) replaced by v, which has x's rank. Writes in
 * place when x is a state that is updated with the result.
 * Gradient: x, zero in the block; v, the block. */
KRS_API krs_node krs_set_slice_at(krs_place at, krs_node x, krs_node v,
                                  const krs_index *starts);
#define krs_set_slice(...) krs_set_slice_at(KRS_HERE, __VA_ARGS__)

/* krs_pad(x, before, after, value) -- one count an axis; negative counts crop.
 * krs_concat(parts, count, axis), krs_stack(parts, count, axis): the latter
 * along a new axis. */
KRS_API krs_node krs_pad_at(krs_place at, krs_node x, const int64_t *before,
                            const int64_t *after, double value);
KRS_API krs_node krs_concat_at(krs_place at, const krs_node *parts, int count,
                               int axis);
KRS_API krs_node krs_stack_at(krs_place at, const krs_node *parts, int count,
                              int axis);
#define krs_pad(...)    krs_pad_at(KRS_HERE, __VA_ARGS__)
#define krs_concat(...) krs_concat_at(KRS_HERE, __VA_ARGS__)
#define krs_stack(...)  krs_stack_at(KRS_HERE, __VA_ARGS__)

/* ---- products ---- */

/* krs_matmul(a, b) -- matrix product over the last two axes.
 *
 *      y[.., m, n] = sum_k a[.., m, k] b[.., k, n]
 *
 *   a      f32|f16|bf16 [.., M, K]     b   as a [.., K, N]
 *   ->     as a [.., M, N]; leading axes broadcast
 *
 * krs_matmul_nt(a, b): b is [.., N, K].  krs_matmul_tn(a, b): a is [.., K, M].
 * b of krs_matmul_nt may be block-quantised where a is f32: kernels read the
 * blocks and multiply their numbers, the bits of krs_matmul_nt(a, cast of b).
 *
 * Errors     SHAPE if the inner sizes differ or a rank is below 2; DTYPE.
 * Gradient   a: g b^T, b: a^T g, summed over broadcast axes.
 * Cost       2*M*K*N flop a batch; accumulation in f32. */
KRS_API krs_node krs_matmul_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_matmul_nt_at(krs_place at, krs_node a, krs_node b);
KRS_API krs_node krs_matmul_tn_at(krs_place at, krs_node a, krs_node b);
#define krs_matmul(...)    krs_matmul_at(KRS_HERE, __VA_ARGS__)
#define krs_matmul_nt(...) krs_matmul_nt_at(KRS_HERE, __VA_ARGS__)
#define krs_matmul_tn(...) krs_matmul_tn_at(KRS_HERE, __VA_ARGS__)

/* krs_linear(x, weight, bias) -- x weight^T + bias.
 *   x [.., I], weight [O, I], bias [O] or KRS_NONE -> [.., O] */
KRS_API krs_node krs_linear_at(krs_place at, krs_node x, krs_node weight,
                               krs_node bias);
#define krs_linear(...) krs_linear_at(KRS_HERE, __VA_ARGS__)

/* ---- gathers: indices are i64 or i32, from 0 ---- */

/* krs_take(x, index, axis) -- whole slices of x: the axis is replaced by the
 * axes of index. y[.., i.., ..] = x[.., index[i..], ..].
 *   Gradient x: index_add of g into zeros. Block types: rows (axis 0).
 * krs_index_add(x, index, src, axis) -- x with src's slices added at index
 * (any rank, as take); equal indices add up in order.
 * krs_gather(x, index, axis) -- element by element: y[i,j] = x[index[i,j], j]
 * for axis 0; index has x's rank and is no larger off the axis.
 * krs_scatter_add(x, index, src, axis) -- its adjoint; equal indices add up in
 * order. index and src have the same shape.
 * krs_scatter(x, index, src, axis) -- replaces instead: y[index[i,j], j] =
 * src[i,j] for axis 0; of equal indices the last along the axis wins. Any type
 * but blocks. Gradient x: zero where something arrives; src: g where it won.
 * Cost: a sort of the indices along the axis. */
KRS_API krs_node krs_take_at(krs_place at, krs_node x, krs_node index,
                             int axis);
KRS_API krs_node krs_index_add_at(krs_place at, krs_node x, krs_node index,
                                  krs_node src, int axis);
KRS_API krs_node krs_gather_at(krs_place at, krs_node x, krs_node index,
                               int axis);
KRS_API krs_node krs_scatter_add_at(krs_place at, krs_node x, krs_node index,
                                    krs_node src, int axis);
KRS_API krs_node krs_scatter_at(krs_place at, krs_node x, krs_node index,
                                krs_node src, int axis);
#define krs_scatter(...)     krs_scatter_at(KRS_HERE, __VA_ARGS__)
#define krs_take(...)        krs_take_at(KRS_HERE, __VA_ARGS__)
#define krs_index_add(...)   krs_index_add_at(KRS_HERE, __VA_ARGS__)
#define krs_gather(...)      krs_gather_at(KRS_HERE, __VA_ARGS__)
#define krs_scatter_add(...) krs_scatter_add_at(KRS_HERE, __VA_ARGS__)

/* krs_embedding(weight, ids, padding) -- rows of weight [V, C] at ids [..] ->
 * [.., C]. Positions whose id is `padding` (-1: none) give no gradient. */
KRS_API krs_node krs_embedding_at(krs_place at, krs_node weight, krs_node ids,
                                  int64_t padding);
#define krs_embedding(...) krs_embedding_at(KRS_HERE, __VA_ARGS__)

/* krs_one_hot(ids, classes, dtype) -- ids [..] -> [.., classes]; an id outside
 * gives a row of zeros. No gradient. */
KRS_API krs_node krs_one_hot_at(krs_place at, krs_node ids, int64_t classes,
                                krs_dtype dtype);
#define krs_one_hot(...) krs_one_hot_at(KRS_HERE, __VA_ARGS__)

/* ---- rows ---- */

/* krs_softmax(x, axis) -- e^(x-m) / sum e^(x-m), m = max along the axis. A row
 * of -inf alone gives NaN. krs_log_softmax(x, axis) -- x - logsumexp(x). */
KRS_API krs_node krs_softmax_at(krs_place at, krs_node x, int axis);
KRS_API krs_node krs_log_softmax_at(krs_place at, krs_node x, int axis);
#define krs_softmax(...)     krs_softmax_at(KRS_HERE, __VA_ARGS__)
#define krs_log_softmax(...) krs_log_softmax_at(KRS_HERE, __VA_ARGS__)

/* krs_layer_norm(x, weight, bias, eps) --
 *
 *      y = (x - mean) / sqrt(var + eps) * weight + bias
 *
 *   x       float [.., N..]; mean and biased variance (two passes) over the
 *           trailing axes that weight has
 *   weight  [N..]; bias [N..] or KRS_NONE
 *
 * Source Ba et al. 2016, eq. 3-4.
 * krs_rms_norm(x, weight, eps) -- x / sqrt(mean(x^2) + eps) * weight over the
 * trailing axes of weight. Source Zhang & Sennrich 2019, eq. 4. */
KRS_API krs_node krs_layer_norm_at(krs_place at, krs_node x, krs_node weight,
                                   krs_node bias, double eps);
KRS_API krs_node krs_rms_norm_at(krs_place at, krs_node x, krs_node weight,
                                 double eps);
#define krs_layer_norm(...) krs_layer_norm_at(KRS_HERE, __VA_ARGS__)
#define krs_rms_norm(...)   krs_rms_norm_at(KRS_HERE, __VA_ARGS__)

/* krs_group_norm(x, groups, weight, bias, eps) -- layer_norm over each of
 * `groups` groups of channels, with all that follows them.
 *
 *   x       float [N, C, ..], C a multiple of groups
 *   weight  [C]; bias [C] or KRS_NONE
 *
 * Source Wu & He 2018, eq. 1-7.
 * krs_batch_norm(x, weight, bias, mean, variance, eps) --
 *
 *      y = (x - mean_c) / sqrt(variance_c + eps) * weight_c + bias_c
 *
 *   x       float [N, C, ..]; all others [C]: the running statistics
 *
 * krs_batch_norm_train(x, weight, bias, running_mean, running_variance,
 * momentum, eps, &new_mean, &new_variance) -- the same with mean and biased
 * variance of the batch, over all axes but 1, through which the gradient
 * goes; and the running statistics after it, (1 - momentum) of the old ones and
 * momentum of the batch's, the unbiased variance there: update the states with
 * them (krs_update). They have no gradient of x.
 * Source Ioffe & Szegedy 2015, algorithm 1 and 2.
 * krs_l2_normalize(x, axis, eps) -- x / max(|x|, eps), lengths along an axis;
 * below eps the gradient is that of x / eps.
 * krs_cosine_similarity(a, b, axis, eps) -- a . b / (max(|a|, eps)
 * max(|b|, eps)) along an axis, which goes. Both: eps in [1e-18, 1e18). */
KRS_API krs_node krs_group_norm_at(krs_place at, krs_node x, int64_t groups,
                                   krs_node weight, krs_node bias, double eps);
KRS_API krs_node krs_batch_norm_at(krs_place at, krs_node x, krs_node weight,
                                   krs_node bias, krs_node mean,
                                   krs_node variance, double eps);
KRS_API krs_node krs_batch_norm_train_at(
    krs_place at, krs_node x, krs_node weight, krs_node bias,
    krs_node running_mean, krs_node running_variance, double momentum,
    double eps, krs_node *new_mean, krs_node *new_variance);
KRS_API krs_node krs_l2_normalize_at(krs_place at, krs_node x, int axis,
                                     double eps);
KRS_API krs_node krs_cosine_similarity_at(krs_place at, krs_node a, krs_node b,
                                          int axis, double eps);
#define krs_group_norm(...)       krs_group_norm_at(KRS_HERE, __VA_ARGS__)
#define krs_batch_norm(...)       krs_batch_norm_at(KRS_HERE, __VA_ARGS__)
#define krs_batch_norm_train(...) krs_batch_norm_train_at(KRS_HERE, __VA_ARGS__)
#define krs_l2_normalize(...)     krs_l2_normalize_at(KRS_HERE, __VA_ARGS__)
#define krs_cosine_similarity(...) \
    krs_cosine_similarity_at(KRS_HERE, __VA_ARGS__)

/* ---- attention and positions ---- */

/* krs_attention(q, k, v, mask, options) -- scaled dot-product attention.
 *
 *      out = softmax(scale * q k^T + mask) v
 *
 *   q      f16|bf16|f32 [B, H, T, D]   queries
 *   k      as q         [B, K, S, D]   keys; H is a multiple of K (grouped
 *                                      heads: query head h uses key head
 *                                      h / (H/K))
 *   v      as q         [B, K, S, E]   values
 *   mask   bool (true: may attend) or f32 (added to the scores), broadcasts
 *          to [B, H, T, S]; KRS_NONE for none
 *   ->     as q         [B, H, T, E]
 *
 * A query that may attend to nothing gives NaN.
 *
 * Errors     SHAPE if the sizes above disagree; DTYPE if q, k, v differ.
 * Gradient   q, k, v, an additive mask. Scores are computed again, not stored,
 *            but for the gradient of a mask and with live lengths.
 * Cost       2*B*H*T*S*(D+E) flop, of the keys that causal and window leave;
 *            softmax in f32 for every dtype; memory linear in T and S.
 * Source     Vaswani et al. 2017, eq. 1; Ainslie et al. 2023 for K < H; Dao et
 *            al. 2022 for the kernels. */
typedef struct krs_attention_options {
    size_t struct_size; /* sizeof (krs_attention_options) */
    double scale;       /* factor on the scores; 0 means 1/sqrt(D) */
    bool causal;        /* query i sees key j only if j <= i + offset */
    krs_index offset;   /* position of the first query among the keys */
    int64_t window;     /* with causal: and only if j > i + offset - window;
                           0: no limit (Beltagy et al. 2020) */
} krs_attention_options;
/* options NULL: neither causal nor scaled otherwise */
KRS_API krs_node krs_attention_at(krs_place at, krs_node q, krs_node k,
                                  krs_node v, krs_node mask,
                                  const krs_attention_options *options);
#define krs_attention(...) krs_attention_at(KRS_HERE, __VA_ARGS__)

typedef enum krs_rope_layout {
    KRS_ROPE_INTERLEAVED, /* pairs (2i, 2i+1) */
    KRS_ROPE_HALF         /* pairs (i, i + D/2) */
} krs_rope_layout;

/* krs_rope(x, angles, layout, scale) -- rotate pairs of channels by an angle.
 *
 *      (a, b) -> scale * (a cos t - b sin t, a sin t + b cos t)
 *
 *   x       float [.., T, D], D even
 *   angles  f32, broadcasts to [.., T, D/2]
 *   scale   factor on the result (1; yarn's attention factor)
 *
 * krs_rope_angles(positions, frequencies, count) -- positions i64 [..] times
 * frequencies[count] (radians a position, |f| < pi) -> f32 [.., count], reduced
 * to [-pi, pi]. The product is taken in 64-bit fixed point as a fraction of a
 * turn, so it is exact to 2e-7 at every position up to 2^40.
 *
 * Source Su et al. 2021, eq. 34. Gradient x (and angles). */
KRS_API krs_node krs_rope_at(krs_place at, krs_node x, krs_node angles,
                             krs_rope_layout layout, double scale);
KRS_API krs_node krs_rope_angles_at(krs_place at, krs_node positions,
                                    const double *frequencies, int count);
#define krs_rope(...)        krs_rope_at(KRS_HERE, __VA_ARGS__)
#define krs_rope_angles(...) krs_rope_angles_at(KRS_HERE, __VA_ARGS__)

/* krs_sinusoidal_positions(positions, width, base) -- f32 [.., width]:
 *
 *      y[.., 2i] = sin(t base^(-2i/width)),  y[.., 2i+1] = cos(the same)
 *
 *   positions  t, i64|i32 [..]; width even, base > 1 (10000 in the paper)
 *
 * Angles as krs_rope_angles. Source Vaswani et al. 2017, section 3.5.
 * krs_alibi_slopes(g, heads) -- f32 [heads], the slope m of each head in the
 * bias m (j - i) of a score: 2^(-8 h / heads), h from 1, for a power of two;
 * else those of the power of two below, and then every other one of the next.
 * Source Press et al. 2022, section 3 and its reference code. */
KRS_API krs_node krs_sinusoidal_positions_at(krs_place at, krs_node positions,
                                             int64_t width, double base);
KRS_API krs_node krs_alibi_slopes_at(krs_place at, krs_graph *g, int64_t heads);
#define krs_sinusoidal_positions(...) \
    krs_sinusoidal_positions_at(KRS_HERE, __VA_ARGS__)
#define krs_alibi_slopes(...) krs_alibi_slopes_at(KRS_HERE, __VA_ARGS__)

/* krs_additive_attention(query, keys, values, wq, wk, v, mask) --
 *
 *      y = softmax(e) values,  e[t,s] = v . tanh(wq query_t + wk key_s)
 *
 *   query   float [B, T, Q]; keys [B, S, K]; values [B, S, E]
 *   wq      [A, Q]; wk [A, K]; v [A]
 *   mask    bool (true: seen) or f32 (added), broadcasting to [B, T, S], or
 *           KRS_NONE
 *   ->      [B, T, E]
 *
 * Cost B T S A. Source Bahdanau et al. 2015, appendix A.1.2. */
KRS_API krs_node krs_additive_attention_at(krs_place at, krs_node query,
                                           krs_node keys, krs_node values,
                                           krs_node wq, krs_node wk, krs_node v,
                                           krs_node mask);
#define krs_additive_attention(...) \
    krs_additive_attention_at(KRS_HERE, __VA_ARGS__)

/* ---- randomness ---- */

/* krs_random_uniform(seed, step, shape, stream) -- f32 in [0, 1), multiples of
 * 2^-24, by Philox4x32-10 (Salmon et al. 2011): a pure function of seed, step
 * (i64 scalar nodes), stream and the element's position, the same on every
 * device (random.h has it for the host).
 * In the body of a scan (scan.h) each iteration draws numbers of its own.
 *   stream  a number, or KRS_STREAM_AUTO: from the scope and the count of
 *           random operations in it so far */
#define KRS_STREAM_AUTO (-1)
KRS_API krs_node krs_random_uniform_at(krs_place at, krs_node seed,
                                       krs_node step, krs_shape shape,
                                       int64_t stream);
#define krs_random_uniform(...) krs_random_uniform_at(KRS_HERE, __VA_ARGS__)

/* krs_dropout(x, p, seed, step, stream) -- x / (1-p) with probability 1-p, else
 * 0; p in [0, 1). The backward pass uses the same mask. p = 0 gives x.
 * Source Srivastava et al. 2014. */
KRS_API krs_node krs_dropout_at(krs_place at, krs_node x, double p,
                                krs_node seed, krs_node step, int64_t stream);
#define krs_dropout(...) krs_dropout_at(KRS_HERE, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
