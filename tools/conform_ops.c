/* conform_ops.c -- how each operation of the golden cases is asked of Kersey.
 *
 * A row of the table is an operation: its name in the cases and a builder of
 * one or two operands as ops.h has it, or a function that reads attributes.
 * The cases name attributes as torch and ONNX do; a function translates them,
 * and nothing else. To add an operation, add a row.
 */
#include "conform.h"

#include <krs/array.h>
#include <krs/conv.h>
#include <krs/loss.h>
#include <krs/recurrent.h>

#include <math.h>
#include <string.h>

static krs_node
build_pow(struct conform_case *c)
{
    if (has_attr(c, "exponent"))
        return krs_pow_scalar(input_at(c, 0), number_attr_or(c, "exponent", 0));
    return krs_pow(input_at(c, 0), input_at(c, 1));
}

static krs_node
build_gelu(struct conform_case *c)
{
    const char *kind = text_attr_or(c, "approximate", "none");
    if (!strcmp(kind, "tanh"))
        return krs_gelu_tanh(input_at(c, 0));
    if (!strcmp(kind, "none"))
        return krs_gelu(input_at(c, 0));
    return refuse_attr(c, "approximate", "none or tanh");
}

static krs_node
build_where(struct conform_case *c)
{
    return krs_where(input_at(c, 0), input_at(c, 1), input_at(c, 2));
}

static krs_node
build_clamp(struct conform_case *c)
{
    double low = number_attr_or(c, "min", -INFINITY);
    return krs_clamp(input_at(c, 0), low, number_attr_or(c, "max", INFINITY));
}

static krs_node
build_cast(struct conform_case *c)
{
    krs_dtype dtype;
    if (!krs_dtype_parse(text_attr_or(c, "to", ""), &dtype))
        return refuse_attr(c, "to", "an element type");
    return krs_cast(input_at(c, 0), dtype);
}

/* ---- views ---- */

static krs_shape
shape_attr(struct conform_case *c)
{
    int64_t sizes[KRS_MAX_RANK];
    krs_shape shape = KRS_SCALAR;
    shape.rank = ints_attr(c, "shape", sizes);
    if (shape.rank < 0)
        refuse_attr(c, "shape", "a list of sizes");
    for (int i = 0; i < shape.rank; i++)
        shape.dim[i] = sizes[i];
    return shape;
}

/* null or nothing: all axes */
static krs_axes
axes_attr(struct conform_case *c, const char *key)
{
    int64_t numbers[KRS_MAX_RANK];
    krs_axes axes = KRS_ALL_AXES;
    axes.count = ints_attr(c, key, numbers);
    for (int i = 0; i < axes.count; i++)
        axes.axis[i] = (int32_t)numbers[i];
    return axes;
}

static int
axis_attr(struct conform_case *c)
{
    return (int)int_attr(c, "axis");
}

static krs_node
build_reshape(struct conform_case *c)
{
    return krs_reshape(input_at(c, 0), shape_attr(c));
}

static krs_node
build_expand(struct conform_case *c)
{
    return krs_expand(input_at(c, 0), shape_attr(c));
}

static krs_node
build_permute(struct conform_case *c)
{
    return krs_permute(input_at(c, 0), axes_attr(c, "dims"));
}

static krs_node
build_slice(struct conform_case *c)
{
    int64_t axes[KRS_MAX_RANK], starts[KRS_MAX_RANK], ends[KRS_MAX_RANK],
        steps[KRS_MAX_RANK];
    int count = ints_attr(c, "axes", axes);
    if (ints_attr(c, "starts", starts) != count ||
        ints_attr(c, "ends", ends) != count ||
        ints_attr(c, "steps", steps) != count)
        return refuse_attr(c, "axes", "as many axes as starts, ends, steps");
    krs_node y = input_at(c, 0);
    for (int i = 0; i < count; i++)
        y = krs_slice(y, (int)axes[i], starts[i], ends[i], steps[i]);
    return y;
}

static krs_node
build_flip(struct conform_case *c)
{
    krs_axes axes = axes_attr(c, "dims");
    krs_node y = input_at(c, 0);
    for (int i = 0; i < axes.count; i++)
        y = krs_flip(y, axes.axis[i]);
    return y;
}

static krs_node
build_pad(struct conform_case *c)
{
    krs_node x = input_at(c, 0);
    int64_t pairs[KRS_MAX_RANK], before[KRS_MAX_RANK] = {0},
                                 after[KRS_MAX_RANK] = {0};
    int count = ints_attr(c, "pads_last_axis_first", pairs);
    int rank = krs_node_shape(x).rank;
    if (count < 0 || count % 2 || count / 2 > rank)
        return refuse_attr(c, "pads_last_axis_first", "pairs, one an axis");
    for (int i = 0; i < count / 2; i++) {
        before[rank - 1 - i] = pairs[2 * i];
        after[rank - 1 - i] = pairs[2 * i + 1];
    }
    return krs_pad(x, before, after, number_attr_or(c, "value", 0));
}

static krs_node
build_concat(struct conform_case *c)
{
    return krs_concat(c->inputs, c->input_count, axis_attr(c));
}

static krs_node
build_stack(struct conform_case *c)
{
    return krs_stack(c->inputs, c->input_count, axis_attr(c));
}

static krs_node
build_roll(struct conform_case *c)
{
    return krs_roll(input_at(c, 0), axis_attr(c), int_attr(c, "shifts"));
}

static krs_node
build_tril(struct conform_case *c)
{
    return krs_tril(input_at(c, 0), int_attr_or(c, "diagonal", 0));
}

/* ---- order ---- */

static krs_node
build_sort(struct conform_case *c)
{
    bool_attr_or(c, "stable", false); /* it always is */
    return krs_sort(input_at(c, 0), axis_attr(c),
                    bool_attr_or(c, "descending", false),
                    &c->extras[c->extra_count++]);
}

static krs_node
build_topk(struct conform_case *c)
{
    if (!bool_attr_or(c, "sorted", true))
        return refuse_attr(c, "sorted", "true");
    return krs_topk(input_at(c, 0), int_attr(c, "k"), axis_attr(c),
                    bool_attr_or(c, "largest", true),
                    &c->extras[c->extra_count++]);
}

/* ---- recurrences ---- */

/* w_ih, w_hh, b_ih, b_hh, from input `first` on */
static krs_recurrent_weights
recurrent_weights(struct conform_case *c, int first)
{
    return (krs_recurrent_weights){input_at(c, first), input_at(c, first + 1),
                                   input_at(c, first + 2),
                                   input_at(c, first + 3)};
}

static krs_scan_direction
direction_attr(struct conform_case *c)
{
    const char *direction = text_attr_or(c, "direction", "forward");
    return strcmp(direction, "reverse") ? KRS_SCAN_FORWARD : KRS_SCAN_REVERSE;
}

static krs_node
build_lstm_cell(struct conform_case *c)
{
    krs_recurrent_weights w = recurrent_weights(c, 3);
    return krs_lstm_cell(input_at(c, 0), input_at(c, 1), input_at(c, 2), &w,
                         &c->extras[c->extra_count++]);
}

static krs_node
build_lstm(struct conform_case *c)
{
    krs_recurrent_weights w = recurrent_weights(c, 3);
    if (!bool_attr_or(c, "batch_first", false))
        return refuse_attr(c, "batch_first", "true");
    c->extra_count = 2;
    return krs_lstm(input_at(c, 0), input_at(c, 1), input_at(c, 2), &w,
                    direction_attr(c), &c->extras[0], &c->extras[1]);
}

static krs_node
build_gru_cell(struct conform_case *c)
{
    krs_recurrent_weights w = recurrent_weights(c, 2);
    return krs_gru_cell(input_at(c, 0), input_at(c, 1), &w);
}

static krs_node
build_rnn(struct conform_case *c)
{
    krs_recurrent_weights w = recurrent_weights(c, 2);
    const char *kind = text_attr_or(c, "nonlinearity", "tanh");
    if (!bool_attr_or(c, "batch_first", false))
        return refuse_attr(c, "batch_first", "true");
    return krs_rnn(input_at(c, 0), input_at(c, 1), &w,
                   strcmp(kind, "relu") ? KRS_RNN_TANH : KRS_RNN_RELU,
                   direction_attr(c), &c->extras[c->extra_count++]);
}

/* ---- gathers ---- */

static krs_node
build_index_select(struct conform_case *c)
{
    return krs_take(input_at(c, 0), input_at(c, 1), axis_attr(c));
}

static krs_node
build_gather(struct conform_case *c)
{
    return krs_gather(input_at(c, 0), input_at(c, 1), axis_attr(c));
}

static krs_node
build_scatter_add(struct conform_case *c)
{
    return krs_scatter_add(input_at(c, 0), input_at(c, 1), input_at(c, 2),
                           axis_attr(c));
}

static krs_node
build_index_add(struct conform_case *c)
{
    return krs_index_add(input_at(c, 0), input_at(c, 1), input_at(c, 2),
                         axis_attr(c));
}

static krs_node
build_embedding(struct conform_case *c)
{
    return krs_embedding(input_at(c, 0), input_at(c, 1),
                         int_attr_or(c, "padding_idx", -1));
}

static krs_node
build_one_hot(struct conform_case *c)
{
    return krs_one_hot(input_at(c, 0), int_attr(c, "num_classes"), KRS_I64);
}

/* ---- reductions and rows ---- */

#define BUILD_REDUCTION(op)                               \
    static krs_node build_##op(struct conform_case *c)    \
    {                                                     \
        krs_axes axes = axes_attr(c, "axes");             \
        if (bool_attr_or(c, "keepdim", false))            \
            return krs_##op##_keep(input_at(c, 0), axes); \
        return krs_##op(input_at(c, 0), axes);            \
    }
BUILD_REDUCTION(sum)
BUILD_REDUCTION(mean)
BUILD_REDUCTION(amax)
BUILD_REDUCTION(amin)
BUILD_REDUCTION(logsumexp)
BUILD_REDUCTION(prod)

static krs_node
build_var(struct conform_case *c)
{
    krs_axes axes = axes_attr(c, "axes");
    int64_t correction = int_attr_or(c, "correction", 1);
    if (bool_attr_or(c, "keepdim", false))
        return krs_variance_keep(input_at(c, 0), axes, correction);
    return krs_variance(input_at(c, 0), axes, correction);
}

static krs_node
build_max_with_index(struct conform_case *c)
{
    krs_axes axes = axes_attr(c, "axes");
    if (axes.count != 1)
        return refuse_attr(c, "axes", "one axis");
    return krs_max_with_index(input_at(c, 0), axes.axis[0],
                              &c->extras[c->extra_count++]);
}

#define BUILD_ALONG_AXIS(op)                           \
    static krs_node build_##op(struct conform_case *c) \
    {                                                  \
        return krs_##op(input_at(c, 0), axis_attr(c)); \
    }
BUILD_ALONG_AXIS(argmax)
BUILD_ALONG_AXIS(argmin)
BUILD_ALONG_AXIS(cumsum)
BUILD_ALONG_AXIS(softmax)
BUILD_ALONG_AXIS(log_softmax)

static krs_node
build_layer_norm(struct conform_case *c)
{
    krs_node weight = input_at(c, 1);
    krs_axes axes = axes_attr(c, "normalized_axes");
    if (axes.count != krs_node_shape(weight).rank)
        return refuse_attr(c, "normalized_axes", "the axes of the weight");
    for (int i = 0; i < axes.count; i++) {
        if (axes.axis[i] != i - axes.count)
            return refuse_attr(c, "normalized_axes", "the trailing axes");
    }
    return krs_layer_norm(input_at(c, 0), weight, input_at(c, 2),
                          number_attr_or(c, "eps", 1e-5));
}

static krs_node
build_rms_norm(struct conform_case *c)
{
    return krs_rms_norm(input_at(c, 0), input_at(c, 1),
                        number_attr_or(c, "eps", 1e-6));
}

static krs_node
build_group_norm(struct conform_case *c)
{
    return krs_group_norm(input_at(c, 0), int_attr(c, "num_groups"),
                          input_at(c, 1), input_at(c, 2),
                          number_attr_or(c, "eps", 1e-5));
}

static krs_node
build_batch_norm(struct conform_case *c)
{
    double eps = number_attr_or(c, "eps", 1e-5);
    krs_node x = input_at(c, 0), weight = input_at(c, 1), bias = input_at(c, 2),
             mean = input_at(c, 3), variance = input_at(c, 4);
    if (!bool_attr_or(c, "training", false))
        return krs_batch_norm(x, weight, bias, mean, variance, eps);
    c->extra_count = 2;
    return krs_batch_norm_train(x, weight, bias, mean, variance,
                                number_attr_or(c, "momentum", 0.1), eps,
                                &c->extras[0], &c->extras[1]);
}

static krs_node
build_l2_normalize(struct conform_case *c)
{
    return krs_l2_normalize(input_at(c, 0), axis_attr(c),
                            number_attr_or(c, "eps", 1e-12));
}

static krs_node
build_cosine_similarity(struct conform_case *c)
{
    return krs_cosine_similarity(input_at(c, 0), input_at(c, 1), axis_attr(c),
                                 number_attr_or(c, "eps", 1e-8));
}

/* with the mask that the case gives, true for kept */
static krs_node
build_dropout(struct conform_case *c)
{
    krs_node x = input_at(c, 0);
    double kept = 1 - number_attr_or(c, "p", 0.5);
    return krs_where(input_at(c, 1), krs_scale(x, 1 / kept), krs_like(x, 0));
}

/* false, refused: none of those */
static bool
reduction_attr(struct conform_case *c, krs_reduction *out)
{
    static const struct {
        const char *name;
        krs_reduction reduction;
    } reductions[] = {
        {"none",      KRS_REDUCE_NONE     },
        {"sum",       KRS_REDUCE_SUM      },
        {"mean",      KRS_REDUCE_MEAN     },
        {"batchmean", KRS_REDUCE_BATCHMEAN}
    };
    const char *name = text_attr_or(c, "reduction", "mean");
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (strcmp(reductions[i].name, name) == 0) {
            *out = reductions[i].reduction;
            return true;
        }
    refuse_attr(c, "reduction", "none, sum, mean or batchmean");
    return false;
}

static krs_node
build_cross_entropy(struct conform_case *c)
{
    const char *kind = text_attr_or(c, "target_kind", "ids");
    bool is_float = krs_dtype_is_float(krs_node_dtype(input_at(c, 1)));
    if (strcmp(kind, is_float ? "probabilities" : "ids") != 0)
        return refuse_attr(c, "target_kind",
                           "\"probabilities\" exactly for a float target");
    krs_cross_entropy_options options = {
        .struct_size = sizeof options,
        .ignore_index = int_attr_or(c, "ignore_index", -100),
        .label_smoothing = number_attr_or(c, "label_smoothing", 0)};
    if (!reduction_attr(c, &options.reduction))
        return KRS_NONE;
    return krs_cross_entropy(input_at(c, 0), input_at(c, 1), input_at(c, 2),
                             &options);
}

static krs_node
build_nll(struct conform_case *c)
{
    krs_reduction reduction;
    int64_t ignore = int_attr_or(c, "ignore_index", -100);
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_nll(input_at(c, 0), input_at(c, 1), input_at(c, 2), ignore,
                   reduction);
}

static krs_node
build_mse(struct conform_case *c)
{
    krs_reduction reduction;
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_mse(input_at(c, 0), input_at(c, 1), reduction);
}

static krs_node
build_smooth_l1(struct conform_case *c)
{
    krs_reduction reduction;
    double beta = number_attr_or(c, "beta", 1);
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_smooth_l1(input_at(c, 0), input_at(c, 1), beta, reduction);
}

static krs_node
build_bce_with_logits(struct conform_case *c)
{
    krs_reduction reduction;
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_bce_with_logits(input_at(c, 0), input_at(c, 1), input_at(c, 2),
                               reduction);
}

static krs_node
build_kl_div(struct conform_case *c)
{
    krs_reduction reduction;
    bool log_target = bool_attr_or(c, "log_target", false);
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_kl_div(input_at(c, 0), input_at(c, 1), log_target, reduction);
}

/* ---- products ---- */

/* torch's matmul takes vectors too: a row on the left, a column on the right,
 * and the axis goes again. */
static krs_node
build_matmul(struct conform_case *c)
{
    krs_node a = input_at(c, 0), b = input_at(c, 1);
    bool ta = bool_attr_or(c, "transpose_a", false);
    bool tb = bool_attr_or(c, "transpose_b", false);
    bool row = krs_node_shape(a).rank == 1,
         column = krs_node_shape(b).rank == 1;
    if (row)
        a = krs_unsqueeze(a, 0);
    if (column)
        b = krs_unsqueeze(b, 1);
    krs_node y;
    if (ta && tb)
        y = krs_matmul_tn(a, krs_transpose(b, -2, -1));
    else if (ta)
        y = krs_matmul_tn(a, b);
    else if (tb)
        y = krs_matmul_nt(a, b);
    else
        y = krs_matmul(a, b);
    if (column)
        y = krs_squeeze(y, -1);
    return row ? krs_squeeze(y, column ? -1 : -2) : y;
}

static krs_node
build_linear(struct conform_case *c)
{
    return krs_linear(input_at(c, 0), input_at(c, 1), input_at(c, 2));
}

static krs_node
build_einsum(struct conform_case *c)
{
    return krs_einsum(text_attr_or(c, "equation", ""), c->inputs,
                      c->input_count);
}

/* ---- windows ---- */

/* a number, or a pair of them, for both axes */
static void
pair_attr(struct conform_case *c, const char *key, int64_t usual,
          int64_t out[2])
{
    int64_t list[KRS_MAX_RANK];
    if (json_is_array(json_object_get(c->attrs, key))) {
        if (ints_attr(c, key, list) != 2)
            refuse_attr(c, key, "one number or two");
        out[0] = list[0];
        out[1] = list[1];
    } else {
        out[0] = out[1] = int_attr_or(c, key, usual);
    }
}

static krs_node
build_conv(struct conform_case *c)
{
    krs_conv_options options = {.struct_size = sizeof options,
                                .groups = int_attr_or(c, "groups", 1)};
    pair_attr(c, "stride", 1, options.stride);
    pair_attr(c, "padding", 0, options.padding);
    pair_attr(c, "dilation", 1, options.dilation);
    krs_node x = input_at(c, 0), w = input_at(c, 1), b = input_at(c, 2);
    return krs_node_shape(x).rank == 3 ? krs_conv1d(x, w, b, &options)
                                       : krs_conv2d(x, w, b, &options);
}

static void
read_pool(struct conform_case *c, krs_pool_options *options)
{
    *options = (krs_pool_options){.struct_size = sizeof *options};
    pair_attr(c, "kernel", 1, options->kernel);
    pair_attr(c, "stride", 0, options->stride);
    pair_attr(c, "padding", 0, options->padding);
}

static krs_node
build_max_pool2d(struct conform_case *c)
{
    krs_pool_options options;
    read_pool(c, &options);
    return krs_max_pool2d(input_at(c, 0), &options);
}

static krs_node
build_avg_pool2d(struct conform_case *c)
{
    krs_pool_options options;
    read_pool(c, &options);
    return krs_avg_pool2d(input_at(c, 0), &options);
}

/* ---- attention and positions ---- */

static krs_node
build_additive_attention(struct conform_case *c)
{
    return krs_additive_attention(input_at(c, 0), input_at(c, 1),
                                  input_at(c, 2), input_at(c, 3),
                                  input_at(c, 4), input_at(c, 5), KRS_NONE);
}

static krs_node
build_sinusoidal_positions(struct conform_case *c)
{
    krs_node t =
        krs_iota(c->graph, KRS_I64, KRS_SHAPE(int_attr(c, "length")), 0);
    return krs_sinusoidal_positions(t, int_attr(c, "dim"),
                                    number_attr_or(c, "base", 10000));
}

static krs_node
build_alibi_slopes(struct conform_case *c)
{
    return krs_alibi_slopes(c->graph, int_attr(c, "num_heads"));
}

/* slope_h (j - i) as f32 [H,T,S] */
static krs_node
alibi_mask(struct conform_case *c, int64_t heads, int64_t rows, int64_t keys)
{
    krs_graph *g = c->graph;
    krs_node slope =
        krs_reshape(krs_alibi_slopes(g, heads), KRS_SHAPE(heads, 1, 1));
    krs_shape square = KRS_SHAPE(rows, keys);
    krs_node from = krs_iota(g, KRS_F32, square, 0);
    krs_node to = krs_iota(g, KRS_F32, square, 1);
    return krs_mul(slope, krs_sub(to, from));
}

/* The mask of a case; head counts, prefix length and the kind of bias are
 * stated by the case beside the tensors that hold them. */
static krs_node
attention_mask(struct conform_case *c)
{
    krs_shape q = krs_node_shape(input_at(c, 0));
    krs_shape k = krs_node_shape(input_at(c, 1));
    krs_node mask = input_at(c, 3);
    if (q.rank != 4 || k.rank != 4)
        return krs_graph_fail(c->graph, KRS_HERE, KRS_E_FORMAT,
                              "q and k must have rank 4");
    if (int_attr_or(c, "num_heads", q.dim[1]) != q.dim[1])
        return refuse_attr(c, "num_heads", "the heads of q");
    if (int_attr_or(c, "num_kv_heads", k.dim[1]) != k.dim[1])
        return refuse_attr(c, "num_kv_heads", "the heads of k");
    if (has_attr(c, "prefix_len") && !krs_node_is_valid(mask))
        return refuse_attr(c, "prefix_len", "a mask among the inputs");
    if (bool_attr_or(c, "additive_bias", false) &&
        krs_node_dtype(mask) != KRS_F32)
        return refuse_attr(c, "additive_bias", "a float bias as fourth input");
    if (bool_attr_or(c, "alibi", false))
        return alibi_mask(c, q.dim[1], q.dim[2], k.dim[2]);
    return mask;
}

static krs_node
build_attention(struct conform_case *c)
{
    krs_attention_options options = {
        .struct_size = sizeof options,
        .causal = bool_attr_or(c, "causal", false),
        .offset = KRS_INDEX(int_attr_or(c, "query_offset", 0)),
        .window = int_attr_or(c, "window", 0)};
    if (json_is_string(json_object_get(c->attrs, "scale"))) {
        if (strcmp(text_attr_or(c, "scale", ""), "1/sqrt(d)") != 0)
            return refuse_attr(c, "scale", "a number or 1/sqrt(d)");
    } else {
        options.scale = number_attr_or(c, "scale", 0);
    }
    return krs_attention(input_at(c, 0), input_at(c, 1), input_at(c, 2),
                         attention_mask(c), &options);
}

static krs_node
build_rope(struct conform_case *c)
{
    enum { MOST = 256 };
    double frequencies[MOST];
    krs_node x = input_at(c, 0);
    krs_shape shape = krs_node_shape(x);
    int64_t width = shape.rank > 0 ? shape.dim[shape.rank - 1] : 0;
    const char *layout = text_attr_or(c, "layout", "");
    bool half = !strcmp(layout, "half");
    if (!half && strcmp(layout, "interleaved") != 0)
        return refuse_attr(c, "layout", "interleaved or half");
    if (width < 2 || width % 2 || width / 2 > MOST)
        return krs_graph_fail(c->graph, KRS_HERE, KRS_E_FORMAT,
                              "x must have an even last size up to %d",
                              2 * MOST);
    double base = number_attr_or(c, "base", 10000);
    for (int64_t i = 0; i < width / 2; i++)
        frequencies[i] = pow(base, -2.0 * (double)i / (double)width);
    krs_node angles =
        krs_rope_angles(input_at(c, 1), frequencies, (int)(width / 2));
    return krs_rope(x, angles, half ? KRS_ROPE_HALF : KRS_ROPE_INTERLEAVED, 1);
}

static krs_node
build_graph(struct conform_case *c)
{
    conform_build *build = find_expression(text_attr_or(c, "graph", ""));
    if (!build)
        return refuse_attr(c, "graph", "an expression of conform_graphs.c");
    return build(c);
}

/* ---- the table ---- */

#define UNARY(op)                   \
    {                               \
#op, .unary = krs_##op##_at \
    }
#define BINARY(op)                   \
    {                                \
#op, .binary = krs_##op##_at \
    }
#define BUILD(op, fn)    \
    {                    \
#op, .build = fn \
    }

static const struct {
    const char *name;
    krs_node (*unary)(krs_place at, krs_node x);
    krs_node (*binary)(krs_place at, krs_node a, krs_node b);
    conform_build *build;
} rows[] = {
    UNARY(abs),
    BINARY(add),
    BUILD(additive_attention, build_additive_attention),
    BUILD(alibi_slopes, build_alibi_slopes),
    BUILD(amax, build_amax),
    BUILD(amin, build_amin),
    BUILD(argmax, build_argmax),
    BUILD(argmin, build_argmin),
    BUILD(avg_pool2d, build_avg_pool2d),
    BUILD(batch_norm, build_batch_norm),
    BUILD(bce_with_logits, build_bce_with_logits),
    BUILD(cast, build_cast),
    BUILD(clamp, build_clamp),
    BUILD(concat, build_concat),
    BUILD(conv1d, build_conv),
    BUILD(conv2d, build_conv),
    UNARY(cos),
    BUILD(cosine_similarity, build_cosine_similarity),
    BUILD(cross_entropy, build_cross_entropy),
    BUILD(cumsum, build_cumsum),
    BINARY(div),
    BUILD(dropout, build_dropout),
    BUILD(einsum, build_einsum),
    BUILD(embedding, build_embedding),
    BINARY(eq),
    UNARY(erf),
    UNARY(exp),
    UNARY(exp2),
    BUILD(expand, build_expand),
    BUILD(flip, build_flip),
    UNARY(floor),
    BUILD(gather, build_gather),
    BINARY(ge),
    BUILD(gelu, build_gelu),
    BUILD(graph, build_graph),
    BUILD(group_norm, build_group_norm),
    BUILD(gru_cell, build_gru_cell),
    BINARY(gt),
    BUILD(index_add, build_index_add),
    BUILD(index_select, build_index_select),
    BUILD(kl_div, build_kl_div),
    BUILD(l2_normalize, build_l2_normalize),
    BUILD(layer_norm, build_layer_norm),
    BINARY(le),
    BUILD(linear, build_linear),
    UNARY(log),
    UNARY(log2),
    BUILD(log_softmax, build_log_softmax),
    BUILD(logsumexp, build_logsumexp),
    BUILD(lstm, build_lstm),
    BUILD(lstm_cell, build_lstm_cell),
    BINARY(lt),
    BUILD(matmul, build_matmul),
    BUILD(max_pool2d, build_max_pool2d),
    BUILD(max_with_index, build_max_with_index),
    BINARY(maximum),
    BUILD(mean, build_mean),
    BINARY(minimum),
    BUILD(mse_loss, build_mse),
    BINARY(mul),
    BINARY(ne),
    UNARY(neg),
    BUILD(nll_loss, build_nll),
    BUILD(one_hot, build_one_hot),
    BUILD(pad, build_pad),
    BUILD(permute, build_permute),
    BUILD(pow, build_pow),
    BUILD(prod, build_prod),
    UNARY(relu),
    BUILD(reshape, build_reshape),
    BUILD(rms_norm, build_rms_norm),
    BUILD(rnn, build_rnn),
    BUILD(roll, build_roll),
    BUILD(rope, build_rope),
    UNARY(rsqrt),
    BUILD(scaled_dot_product_attention, build_attention),
    BUILD(scatter_add, build_scatter_add),
    UNARY(sigmoid),
    UNARY(silu),
    UNARY(sin),
    BUILD(sinusoidal_positions, build_sinusoidal_positions),
    BUILD(slice, build_slice),
    BUILD(smooth_l1_loss, build_smooth_l1),
    BUILD(softmax, build_softmax),
    BUILD(sort, build_sort),
    UNARY(sqrt),
    BUILD(stack, build_stack),
    BINARY(sub),
    BUILD(sum, build_sum),
    BINARY(swiglu),
    UNARY(tanh),
    BUILD(topk, build_topk),
    BUILD(tril, build_tril),
    BUILD(var, build_var),
    BUILD(where, build_where),
};

bool
conform_build_case(struct conform_case *c, const char *op, krs_node *out)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, op) != 0)
            continue;
        if (rows[i].unary)
            *out = rows[i].unary(KRS_HERE, input_at(c, 0));
        else if (rows[i].binary)
            *out = rows[i].binary(KRS_HERE, input_at(c, 0), input_at(c, 1));
        else
            *out = rows[i].build(c);
        return true;
    }
    return false;
}
