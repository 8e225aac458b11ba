/* fuzz_products.c -- random uses of products, convolutions, gathers, attention,
 * random numbers, rotations and leaves, as fuzz_uses.c.
 */
#include "fuzz_gen.h"

#include <krs/conv.h>

#define H KRS_HERE

krs_node
fuzz_use_conv(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_floats, 3);
    krs_shape s = krs_node_shape(x);
    krs_dtype d = krs_node_dtype(x);
    if (s.rank < 3)
        return KRS_NONE;
    if (s.rank > 4)
        x = krs_reshape(x, KRS_SHAPE(s.dim[0], s.dim[1], s.dim[2], -1));
    s = krs_node_shape(x);
    bool two = s.rank == 4;
    krs_pool_options p = {.struct_size = sizeof p};
    krs_conv_options c = {.struct_size = sizeof c,
                          .groups = s.dim[1] % 2 ? 1 : 2};
    for (int a = 0; a < 2; a++) {
        p.kernel[a] = 1 + fuzz_below(g, 3);
        p.stride[a] = c.stride[a] = fuzz_below(g, 3);
        p.padding[a] = c.padding[a] = p.kernel[a] / 2;
        c.dilation[a] = fuzz_below(g, 2);
    }
    if (fuzz_chance(g, 30))
        return two ? krs_max_pool2d(x, &p) : krs_max_pool1d(x, &p);
    if (fuzz_chance(g, 30))
        return two ? krs_avg_pool2d(x, &p) : krs_avg_pool1d(x, &p);
    int64_t outs = c.groups * (1 + fuzz_below(g, 3));
    krs_shape w = {
        s.rank, {outs, s.dim[1] / c.groups, p.kernel[0], p.kernel[1]}
    };
    krs_node weight = fuzz_leaf(g, d, w);
    krs_node bias =
        fuzz_chance(g, 50) ? fuzz_leaf(g, d, KRS_SHAPE(outs)) : KRS_NONE;
    return two ? krs_conv2d(x, weight, bias, &c)
               : krs_conv1d(x, weight, bias, &c);
}

krs_node
fuzz_use_matmul(fuzz_gen *g)
{
    krs_node a = fuzz_pick(g, fuzz_floats, 2);
    krs_shape s = krs_node_shape(a), t = s;
    bool ta = fuzz_chance(g, 33), tb = !ta && fuzz_chance(g, 50);
    int64_t k = s.dim[s.rank - (ta ? 2 : 1)];
    int64_t n = fuzz_random_size(g);
    int drop = fuzz_chance(g, 40) ? s.rank - 2 : 0;
    t.rank -= drop;
    for (int i = 0; i < t.rank - 2; i++)
        t.dim[i] = fuzz_chance(g, 30) ? 1 : s.dim[i + drop];
    t.dim[t.rank - (tb ? 1 : 2)] = k;
    t.dim[t.rank - (tb ? 2 : 1)] = n;
    krs_node b = KRS_NONE;
    for (int tries = 10; tries > 0 && !b.graph; tries--) {
        krs_node y = g->pool[fuzz_below(g, g->count)];
        krs_shape u = krs_node_shape(y);
        if (krs_node_dtype(y) == krs_node_dtype(a) && u.rank == 2 &&
            u.dim[tb ? 1 : 0] == k)
            b = y;
    }
    if (!b.graph)
        b = fuzz_leaf(g, krs_node_dtype(a), t);
    if (fuzz_chance(g, 10) && tb && krs_node_shape(b).rank == 2)
        return krs_linear(a, b, KRS_NONE);
    return krsi_matmul(H, a, b, ta, tb);
}

krs_node
fuzz_use_gather(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 1);
    krs_shape s = krs_node_shape(x), i = fuzz_random_shape(g);
    krs_dtype d = krs_node_dtype(x);
    int axis = fuzz_some_axis(g, x), kind = fuzz_below(g, 6);
    int64_t size = s.dim[axis];
    if (size == 0)
        return KRS_NONE;
    if (kind < 2) { /* whole slices */
        i.rank = i.rank > 2 ? 2 : i.rank;
        krs_node at = fuzz_index_of(g, i, true, size);
        i = krs_node_shape(at);
        if (kind == 0 || !fuzz_numbers(d))
            return krs_take(x, at, axis);
        krs_shape src = {s.rank - 1 + i.rank, {0}};
        if (src.rank > KRS_MAX_RANK)
            return KRS_NONE;
        for (int a = 0, to = 0; a < s.rank; a++) {
            if (a != axis) {
                src.dim[to++] = s.dim[a];
                continue;
            }
            for (int k = 0; k < i.rank; k++)
                src.dim[to++] = i.dim[k];
        }
        if (fuzz_elements_of(src) > g->room)
            return KRS_NONE;
        krs_node from = fuzz_leaf(g, d, src);
        if (fuzz_chance(g, 30) && src.rank > 1) { /* a permuted source */
            krs_axes axes = fuzz_random_order(g, src.rank);
            krs_shape turned = src;
            for (int a = 0; a < src.rank; a++)
                turned.dim[axes.axis[a]] = src.dim[a];
            from = krs_permute(fuzz_leaf(g, d, turned), axes);
        }
        return krs_index_add(x, at, from, axis);
    }
    if (kind < 4) {
        i = s;
        for (int a = 0; a < s.rank; a++)
            if (a == axis || fuzz_chance(g, 20))
                i.dim[a] = a == axis  ? 1 + fuzz_below(g, 6)
                           : s.dim[a] ? 1 + fuzz_below(g, (int)s.dim[a])
                                      : 0;
        krs_node at = fuzz_index_of(g, i, false, size);
        if (fuzz_chance(g, 20))
            return krs_scatter(x, at, fuzz_leaf(g, d, i), axis);
        if (kind == 2 || !fuzz_numbers(d))
            return krs_gather(x, at, axis);
        return krs_scatter_add(x, at, fuzz_leaf(g, d, i), axis);
    }
    if (kind == 4)
        return krs_one_hot(fuzz_index_of(g, i, true, 5), 1 + fuzz_below(g, 6),
                           d);
    if (s.rank != 2 || !krs_dtype_is_float(d))
        return KRS_NONE;
    return krs_embedding(x, fuzz_index_of(g, i, true, s.dim[0]),
                         fuzz_chance(g, 50) ? -1 : 0);
}

krs_node
fuzz_use_attention(fuzz_gen *g)
{
    int64_t b = 1 + fuzz_below(g, 2), k = 1 + fuzz_below(g, 2),
            h = k * (1 + fuzz_below(g, 2));
    int64_t t = 1 + fuzz_below(g, 6), s = 1 + fuzz_below(g, 9);
    int64_t d = 1 + fuzz_below(g, 5), e = 1 + fuzz_below(g, 4);
    krs_dtype type = fuzz_chance(g, 75) ? KRS_F32 : KRS_BF16;
    krs_attention_options o = {sizeof o, fuzz_chance(g, 50) ? 0 : 0.5,
                               fuzz_chance(g, 40), KRS_INDEX(0), 0};
    krs_node q = fuzz_leaf(g, type, KRS_SHAPE(b, h, t, d));
    krs_node keys = fuzz_leaf(g, type, KRS_SHAPE(b, k, s, d));
    krs_node values = fuzz_leaf(g, type, KRS_SHAPE(b, k, s, e)),
             mask = KRS_NONE;
    if (g->lives && fuzz_chance(g, 40)) {
        krs_index length = fuzz_variable(g, 1, s);
        keys = krs_live(keys, 2, length);
        values = krs_live(values, 2, length);
    } else if (fuzz_chance(g, 40)) {
        mask = fuzz_leaf(g, fuzz_chance(g, 50) ? KRS_BOOL : KRS_F32,
                         KRS_SHAPE(t, s));
    }
    if (o.causal && fuzz_chance(g, 50))
        o.offset = fuzz_variable(g, 0, s);
    if (o.causal && fuzz_chance(g, 40))
        o.window = 1 + fuzz_below(g, 4);
    return krs_attention(q, keys, values, mask, &o);
}

krs_node
fuzz_use_random(fuzz_gen *g)
{
    krs_node seed = krs_input(g->graph, "seed", KRS_I64, KRS_SCALAR);
    krs_node step = krs_input(g->graph, "step", KRS_I64, KRS_SCALAR);
    if (fuzz_chance(g, 40))
        return krs_random_uniform(seed, step, fuzz_random_shape(g),
                                  fuzz_below(g, 9));
    return krs_dropout(fuzz_pick(g, fuzz_floats, 0), 0.3, seed, step,
                       KRS_STREAM_AUTO);
}

krs_node
fuzz_use_rope(fuzz_gen *g)
{
    static const double frequency[] = {1, 0.3, 0.01, 2.5};
    krs_node x = fuzz_pick(g, fuzz_floats, 2);
    krs_shape s = krs_node_shape(x);
    int64_t d = s.dim[s.rank - 1];
    if (d < 2 || d > 8 || d % 2)
        return KRS_NONE;
    krs_node at = fuzz_leaf(g, KRS_I64, KRS_SHAPE(s.dim[s.rank - 2]));
    krs_node angles = krs_rope_angles(at, frequency, (int)(d / 2));
    return krs_rope(x, angles,
                    fuzz_chance(g, 50) ? KRS_ROPE_HALF : KRS_ROPE_INTERLEAVED,
                    fuzz_chance(g, 50) ? 1 : 1.25);
}

krs_node
fuzz_use_leaf(fuzz_gen *g)
{
    krs_shape s = fuzz_random_shape(g);
    krs_dtype d = fuzz_random_dtype(g);
    static const krs_dtype counted[] = {KRS_I64, KRS_I32, KRS_F32};
    switch (fuzz_below(g, 5)) {
    case 0: return krs_full(g->graph, d, s, fuzz_below(g, 2));
    case 1:
        return s.rank ? krs_iota(g->graph, counted[fuzz_below(g, 3)], s,
                                 fuzz_below(g, s.rank))
                      : KRS_NONE;
    case 2: return krs_index_node(g->graph, fuzz_variable(g, -3, 9));
    case 3: {
        float data[2 * 64];
        fuzz_case c = {.seed = g->state};
        if (fuzz_elements_of(s) > 64)
            return KRS_NONE;
        fuzz_data(&c, "constant", d, fuzz_elements_of(s), data);
        return krs_constant(g->graph, d, s, data);
    }
    default: return fuzz_leaf(g, d, s);
    }
}
