/* build_map.c -- builders of element-wise operations and reductions.
 *
 * Operands are broadcast (krsi_build_map); axes are counted from the front and
 * sorted. What these rows cannot say is refused by the rules of ops.def.
 */
#include "ir.h"

#include <krs/array.h>

#include <stdlib.h>
#include <string.h>

#define UNARY(name, ID)                                      \
    krs_node krs_##name##_at(krs_place at, krs_node x)       \
    {                                                        \
        return krsi_build(at, NULL, KRSI_##ID, &x, 1, NULL); \
    }
UNARY(neg, NEG)
UNARY(abs, ABS)
UNARY(sign, SIGN)
UNARY(exp, EXP)
UNARY(exp2, EXP2)
UNARY(log, LOG)
UNARY(log2, LOG2)
UNARY(sqrt, SQRT)
UNARY(rsqrt, RSQRT)
UNARY(sin, SIN)
UNARY(cos, COS)
UNARY(tanh, TANH)
UNARY(sigmoid, SIGMOID)
UNARY(erf, ERF)
UNARY(erfc, ERFC)
UNARY(floor, FLOOR)
UNARY(relu, RELU)
UNARY(silu, SILU)
UNARY(gelu, GELU)
UNARY(gelu_tanh, GELU_TANH)
UNARY(log1p, LOG1P)
UNARY(expm1, EXPM1)
UNARY(softplus, SOFTPLUS)
UNARY(not, NOT)
UNARY(stop_gradient, STOP_GRADIENT)

krs_node
krsi_recompute(krs_place at, krs_node x, int64_t k)
{
    krsi_words words = {.count = 0};
    krsi_put_int(&words, k);
    return krsi_build(at, NULL, KRSI_RECOMPUTE, &x, 1, &words);
}

/* The number of nodes so far is a k that no builder took; one that was read
 * from a text may have it. */
krs_node
krs_recompute_at(krs_place at, krs_node x)
{
    if (!krsi_operands_ok(at, KRSI_RECOMPUTE, &x, 1))
        return krsi_poison(x.graph);
    uint32_t size = krs_graph_size(x.graph);
    krs_node y = krsi_recompute(at, x, size);
    for (int64_t k = size; krs_node_is_valid(y) && y.id <= size;)
        y = krsi_recompute(at, x, ++k);
    return y;
}

krs_node
krs_checkpoint_at(krs_place at, krs_node y, const krs_node *inputs,
                  size_t count)
{
    krs_node few[8] = {y};
    krs_node *in = few;
    if (count == 0 || count > INT32_MAX - 1 || !inputs) {
        if (y.graph)
            krsi_refuse_use(y.graph, at, "checkpoint", &y, 1, KRS_E_ARGUMENT,
                            "name the values that are kept, to compute y from",
                            "%zu inputs", count);
        return krsi_poison(y.graph);
    }
    if (count >= 8 && !(in = malloc((count + 1) * sizeof *in))) {
        if (y.graph)
            krsi_refuse_memory(y.graph);
        return krsi_poison(y.graph);
    }
    in[0] = y;
    memcpy(in + 1, inputs, count * sizeof *in);
    krs_node c =
        krsi_build(at, NULL, KRSI_CHECKPOINT, in, (int)count + 1, NULL);
    if (in != few)
        free(in);
    return c;
}

#define BINARY(name, ID)                                           \
    krs_node krs_##name##_at(krs_place at, krs_node a, krs_node b) \
    {                                                              \
        const krs_node in[2] = {a, b};                             \
        return krsi_build_map(at, KRSI_##ID, in, 2, NULL);         \
    }
BINARY(add, ADD)
BINARY(sub, SUB)
BINARY(mul, MUL)
BINARY(div, DIV)
BINARY(pow, POW)
BINARY(maximum, MAXIMUM)
BINARY(minimum, MINIMUM)
BINARY(and, AND)
BINARY(or, OR)
BINARY(xor, XOR)
BINARY(rem, REM)
BINARY(shl, SHL)
BINARY(shr, SHR)
BINARY(eq, EQ)
BINARY(ne, NE)
BINARY(lt, LT)
BINARY(le, LE)
BINARY(gt, GT)
BINARY(ge, GE)
BINARY(swiglu, SWIGLU)

krs_node
krs_mod_at(krs_place at, krs_node a, krs_node b)
{
    krs_node r = krs_rem_at(at, a, b), zero = krs_like_at(at, r, 0);
    krs_node turns = krs_and_at(
        at, krs_ne_at(at, r, zero),
        krs_xor_at(at, krs_lt_at(at, r, zero), krs_lt_at(at, b, zero)));
    return krs_where_at(at, turns, krs_add_at(at, r, b), r);
}

krs_node
krs_square_at(krs_place at, krs_node x)
{
    return krs_mul_at(at, x, x);
}

krs_node
krs_scale_at(krs_place at, krs_node x, double factor)
{
    return krs_mul_at(at, x, krs_like_at(at, x, factor));
}

krs_node
krs_offset_at(krs_place at, krs_node x, double term)
{
    return krs_add_at(at, x, krs_like_at(at, x, term));
}

krs_node
krs_pow_scalar_at(krs_place at, krs_node x, double exponent)
{
    return krs_pow_at(at, x, krs_like_at(at, x, exponent));
}

krs_node
krs_where_at(krs_place at, krs_node condition, krs_node a, krs_node b)
{
    const krs_node in[3] = {condition, a, b};
    return krsi_build_map(at, KRSI_WHERE, in, 3, NULL);
}

krs_node
krs_clamp_at(krs_place at, krs_node x, double low, double high)
{
    krsi_words words = {.count = 0};
    if (!(low <= high) && x.graph) {
        krsi_refuse_use(x.graph, at, "clamp", &x, 1, KRS_E_RANGE, NULL,
                        "lower bound %g is above upper bound %g", low, high);
        return krsi_poison(x.graph);
    }
    krsi_put_float(&words, low);
    krsi_put_float(&words, high);
    return krsi_build(at, NULL, KRSI_CLAMP, &x, 1, &words);
}

krs_node
krs_cast_at(krs_place at, krs_node x, krs_dtype dtype)
{
    krsi_words words = {.count = 0};
    const krsi_node *n = krsi_get(x);
    if (n && n->dtype == dtype)
        return x;
    krsi_put_int(&words, dtype);
    return krsi_build(at, NULL, KRSI_CAST, &x, 1, &words);
}

/* ---- reductions ---- */

/* the axes from the front, sorted; false: refused */
static bool
put_axes(krs_place at, enum krsi_op op, krs_node x, krs_axes axes,
         krsi_words *words)
{
    int64_t sorted[KRS_MAX_RANK];
    int count = 0;
    int rank = krs_node_shape(x).rank;
    unsigned set = 0;
    if (!krsi_operands_ok(at, op, &x, 1))
        return false;
    if (axes.count > KRS_MAX_RANK)
        return krsi_refuse_use(
            x.graph, at, krsi_ops[op].name, &x, 1, KRS_E_AXIS, NULL,
            "%d axes are named, more than there can be", (int)axes.count);
    for (int i = 0; i < axes.count; i++) {
        int axis = krsi_axis(at, x, op, axes.axis[i]);
        if (axis < 0)
            return false;
        if (set >> axis & 1)
            return krsi_refuse_use(x.graph, at, krsi_ops[op].name, &x, 1,
                                   KRS_E_AXIS, NULL, "axis %d is named twice",
                                   axes.axis[i]);
        set |= 1u << axis;
    }
    for (int a = 0; a < rank; a++)
        if (axes.count < 0 || set >> a & 1)
            sorted[count++] = a;
    krsi_put_ints(words, sorted, count);
    return true;
}

/* Sums of more than LONG_SUM elements are made of sums of PART: a lane of one
 * row adds n / 64 elements one after the other, each with a rounding, so that
 * ten million of them would lose three digits. Rows of a large vocabulary stay
 * whole. */
enum { LONG_SUM = 1 << 18, PART = 4096 };

/* x summed in parts along an axis, which stays, shorter */
static krs_node
sum_parts(krs_place at, krs_node x, int axis)
{
    krs_shape shape = krs_node_shape(x), split = shape;
    int64_t size = shape.dim[axis], parts = size / PART;
    split.rank++;
    for (int a = shape.rank; a > axis + 1; a--)
        split.dim[a] = shape.dim[a - 1];
    split.dim[axis] = parts;
    split.dim[axis + 1] = PART;
    krs_node whole = krs_slice_at(at, x, axis, 0, parts * PART, 1);
    krs_node rest = krs_slice_at(at, x, axis, parts * PART, size, 1);
    krs_node sum[2] = {
        krs_sum_at(at, krs_reshape_at(at, whole, split), KRS_AXES(axis + 1)),
        krs_sum_keep_at(at, rest, KRS_AXES(axis))};
    return size % PART ? krs_concat_at(at, sum, 2, axis) : sum[0];
}

/* What has to be summed instead of x: x itself, unless there is much of it and
 * an axis to begin with. */
static krs_node
shorter_sum(krs_place at, krs_node x, krs_axes axes)
{
    const krsi_node *n = krsi_get(x);
    krs_shape shape = krs_node_shape(x);
    int64_t total = 1;
    int longest = -1, count = axes.count < 0 ? shape.rank : axes.count;
    for (int i = 0; i < count; i++) {
        int axis = axes.count < 0 ? i : axes.axis[i];
        axis += axis < 0 ? shape.rank : 0;
        total *= shape.dim[axis]; /* below 2^60, as that of every node */
        if (longest < 0 || shape.dim[axis] > shape.dim[longest])
            longest = axis;
    }
    if (total <= LONG_SUM || n->live_axes || shape.rank == KRS_MAX_RANK ||
        !krs_dtype_is_float((krs_dtype)n->dtype))
        return x;
    krs_node wide = krs_cast_at(at, x, KRS_F32);
    return shape.dim[longest] > LONG_SUM
               ? sum_parts(at, wide, longest)
               : krs_sum_keep_at(at, wide, KRS_AXES(longest));
}

krs_node
krsi_reduce(krs_place at, enum krsi_op op, krs_node x, krs_axes axes, bool keep)
{
    krsi_words words = {.count = 0};
    if (!put_axes(at, op, x, axes, &words))
        return krsi_poison(x.graph);
    if (op == KRSI_SUM) {
        krs_node y = shorter_sum(at, x, axes);
        if (y.id != x.id)
            return krs_cast_at(at, krsi_reduce(at, op, y, axes, keep),
                               krs_node_dtype(x));
    }
    krsi_put_int(&words, keep);
    return krsi_build(at, NULL, op, &x, 1, &words);
}

#define REDUCTION(name, ID)                                                \
    krs_node krs_##name##_at(krs_place at, krs_node x, krs_axes axes)      \
    {                                                                      \
        return krsi_reduce(at, KRSI_##ID, x, axes, false);                 \
    }                                                                      \
    krs_node krs_##name##_keep_at(krs_place at, krs_node x, krs_axes axes) \
    {                                                                      \
        return krsi_reduce(at, KRSI_##ID, x, axes, true);                  \
    }
REDUCTION(sum, SUM)
REDUCTION(mean, MEAN)
REDUCTION(amax, AMAX)
REDUCTION(amin, AMIN)
REDUCTION(prod, PROD)
REDUCTION(logsumexp, LOGSUMEXP)

static krs_node
variance(krs_place at, krs_node x, krs_axes axes, int64_t correction, bool keep)
{
    krsi_words words = {.count = 0};
    if (!put_axes(at, KRSI_VARIANCE, x, axes, &words))
        return krsi_poison(x.graph);
    krsi_put_int(&words, keep);
    krsi_put_int(&words, correction);
    return krsi_build(at, NULL, KRSI_VARIANCE, &x, 1, &words);
}

#define CORRECTED(name, keep, of)                                     \
    krs_node krs_##name##_at(krs_place at, krs_node x, krs_axes axes, \
                             int64_t correction)                      \
    {                                                                 \
        return of(variance(at, x, axes, correction, keep));           \
    }
#define ROOT(x) krs_sqrt_at(at, x)
CORRECTED(variance, false, )
CORRECTED(variance_keep, true, )
CORRECTED(std, false, ROOT)
CORRECTED(std_keep, true, ROOT)

/* operations with one axis and perhaps a flag */
static krs_node
along(krs_place at, enum krsi_op op, krs_node x, int axis, int flag)
{
    krsi_words words = {.count = 0};
    axis = krsi_axis(at, x, op, axis);
    if (krsi_get(x) && axis < 0)
        return krsi_poison(x.graph);
    krsi_put_int(&words, axis);
    if (flag >= 0)
        krsi_put_int(&words, flag);
    return krsi_build(at, NULL, op, &x, 1, &words);
}

/* comparing needs no arithmetic, but these rows compute on f32 */
static krs_node
places(krs_place at, enum krsi_op op, krs_node x, int axis, int flag)
{
    if (krs_dtype_class_of(krs_node_dtype(x)) == KRS_CLASS_HALF)
        x = krs_cast_at(at, x, KRS_F32);
    return along(at, op, x, axis, flag);
}

krs_node
krs_argmax_at(krs_place at, krs_node x, int axis)
{
    return places(at, KRSI_ARGMAX, x, axis, -1);
}

krs_node
krs_argmin_at(krs_place at, krs_node x, int axis)
{
    return places(at, KRSI_ARGMIN, x, axis, -1);
}

krs_node
krs_argsort_at(krs_place at, krs_node x, int axis, bool descending)
{
    return places(at, KRSI_ARGSORT, x, axis, descending);
}

/* the value at an index along an axis, which goes */
static krs_node
pick(krs_place at, krs_node x, krs_node index, int axis)
{
    int rank = krs_node_shape(x).rank;
    axis = axis < 0 ? axis + rank : axis;
    if (!krs_node_is_valid(index))
        return index;
    krs_node kept = krs_unsqueeze_at(at, index, axis);
    return krs_squeeze_at(at, krs_gather_at(at, x, kept, axis), axis);
}

krs_node
krs_max_with_index_at(krs_place at, krs_node x, int axis, krs_node *index)
{
    *index = krs_argmax_at(at, x, axis);
    return pick(at, x, *index, axis);
}

krs_node
krs_min_with_index_at(krs_place at, krs_node x, int axis, krs_node *index)
{
    *index = krs_argmin_at(at, x, axis);
    return pick(at, x, *index, axis);
}

krs_node
krsi_cumsum(krs_place at, krs_node x, int axis, bool reverse)
{
    return along(at, KRSI_CUMSUM, x, axis, reverse);
}

krs_node
krs_cumsum_at(krs_place at, krs_node x, int axis)
{
    return krsi_cumsum(at, x, axis, false);
}

krs_node
krsi_cumprod(krs_place at, krs_node x, int axis, bool reverse)
{
    return along(at, KRSI_CUMPROD, x, axis, reverse);
}

krs_node
krs_cumprod_at(krs_place at, krs_node x, int axis)
{
    return krsi_cumprod(at, x, axis, false);
}

krs_node
krs_softmax_at(krs_place at, krs_node x, int axis)
{
    return along(at, KRSI_SOFTMAX, x, axis, -1);
}

krs_node
krs_log_softmax_at(krs_place at, krs_node x, int axis)
{
    return along(at, KRSI_LOG_SOFTMAX, x, axis, -1);
}
