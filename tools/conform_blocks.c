/* conform_blocks.c -- recurrences, gathers, windows and attention of the golden
 * cases.
 */
#include "conform_build.h"

#include <krs/conv.h>
#include <krs/recurrent.h>

#include <math.h>
#include <string.h>

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

krs_node
build_lstm_cell(struct conform_case *c)
{
    krs_recurrent_weights w = recurrent_weights(c, 3);
    return krs_lstm_cell(input_at(c, 0), input_at(c, 1), input_at(c, 2), &w,
                         &c->extras[c->extra_count++]);
}

krs_node
build_lstm(struct conform_case *c)
{
    krs_recurrent_weights w = recurrent_weights(c, 3);
    if (!bool_attr_or(c, "batch_first", false))
        return refuse_attr(c, "batch_first", "true");
    c->extra_count = 2;
    return krs_lstm(input_at(c, 0), input_at(c, 1), input_at(c, 2), &w,
                    direction_attr(c), &c->extras[0], &c->extras[1]);
}

krs_node
build_gru_cell(struct conform_case *c)
{
    krs_recurrent_weights w = recurrent_weights(c, 2);
    return krs_gru_cell(input_at(c, 0), input_at(c, 1), &w);
}

krs_node
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

krs_node
build_index_select(struct conform_case *c)
{
    return krs_take(input_at(c, 0), input_at(c, 1), axis_attr(c));
}

krs_node
build_gather(struct conform_case *c)
{
    return krs_gather(input_at(c, 0), input_at(c, 1), axis_attr(c));
}

krs_node
build_scatter_add(struct conform_case *c)
{
    return krs_scatter_add(input_at(c, 0), input_at(c, 1), input_at(c, 2),
                           axis_attr(c));
}

krs_node
build_index_add(struct conform_case *c)
{
    return krs_index_add(input_at(c, 0), input_at(c, 1), input_at(c, 2),
                         axis_attr(c));
}

krs_node
build_embedding(struct conform_case *c)
{
    return krs_embedding(input_at(c, 0), input_at(c, 1),
                         int_attr_or(c, "padding_idx", -1));
}

krs_node
build_one_hot(struct conform_case *c)
{
    return krs_one_hot(input_at(c, 0), int_attr(c, "num_classes"), KRS_I64);
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

krs_node
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

krs_node
build_max_pool2d(struct conform_case *c)
{
    krs_pool_options options;
    read_pool(c, &options);
    return krs_max_pool2d(input_at(c, 0), &options);
}

krs_node
build_avg_pool2d(struct conform_case *c)
{
    krs_pool_options options;
    read_pool(c, &options);
    return krs_avg_pool2d(input_at(c, 0), &options);
}

/* ---- attention and positions ---- */

krs_node
build_additive_attention(struct conform_case *c)
{
    return krs_additive_attention(input_at(c, 0), input_at(c, 1),
                                  input_at(c, 2), input_at(c, 3),
                                  input_at(c, 4), input_at(c, 5), KRS_NONE);
}

krs_node
build_sinusoidal_positions(struct conform_case *c)
{
    krs_node t =
        krs_iota(c->graph, KRS_I64, KRS_SHAPE(int_attr(c, "length")), 0);
    return krs_sinusoidal_positions(t, int_attr(c, "dim"),
                                    number_attr_or(c, "base", 10000));
}

krs_node
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

krs_node
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

krs_node
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
