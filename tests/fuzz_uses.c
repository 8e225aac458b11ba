/* fuzz_uses.c -- random uses of the builders: one function a group of rows of
 * ops.def. Operands come from what there is so far, or are new leaves where
 * shapes have to fit.
 */
#include "fuzz_gen.h"

#include <krs/array.h>
#include <krs/conv.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- element-wise ---- */

#define H KRS_HERE

static krs_node
use_unary(fuzz_gen *g)
{
    typedef krs_node unary(krs_place at, krs_node x);
    static unary *const real[] = {
        krs_neg_at,   krs_abs_at,       krs_sign_at,     krs_exp_at,
        krs_log_at,   krs_sqrt_at,      krs_rsqrt_at,    krs_sin_at,
        krs_cos_at,   krs_tanh_at,      krs_sigmoid_at,  krs_erf_at,
        krs_erfc_at,  krs_floor_at,     krs_relu_at,     krs_silu_at,
        krs_gelu_at,  krs_gelu_tanh_at, krs_square_at,   krs_stop_gradient_at,
        krs_log1p_at, krs_expm1_at,     krs_softplus_at, krs_exp2_at,
        krs_log2_at};
    static unary *const whole[] = {krs_neg_at, krs_abs_at, krs_square_at};
    if (fuzz_chance(g, 8))
        return krs_not(fuzz_pick(g, fuzz_truths, 0));
    krs_node x = fuzz_pick(g, fuzz_numbers, 0);
    if (krs_dtype_is_float(krs_node_dtype(x)))
        return real[fuzz_below(g, (int)(sizeof real / sizeof *real))](H, x);
    return whole[fuzz_below(g, 3)](H, x);
}

static krs_node
use_binary(fuzz_gen *g)
{
    typedef krs_node binary(krs_place at, krs_node a, krs_node b);
    static binary *const real[] = {krs_add_at,     krs_sub_at, krs_mul_at,
                                   krs_div_at,     krs_add_at, krs_maximum_at,
                                   krs_minimum_at, krs_pow_at, krs_swiglu_at};
    static binary *const logic[] = {krs_and_at, krs_or_at, krs_xor_at};
    static binary *const whole[] = {krs_rem_at, krs_mod_at, krs_shl_at,
                                    krs_shr_at};
    static binary *const compare[] = {krs_eq_at, krs_ne_at, krs_lt_at,
                                      krs_le_at, krs_gt_at, krs_ge_at};
    int kind = fuzz_below(g, 10);
    krs_node a = fuzz_pick(g,
                           kind == 0  ? fuzz_bits
                           : kind < 3 ? fuzz_any
                                      : fuzz_numbers,
                           0);
    krs_dtype d = krs_node_dtype(a);
    krs_node b = fuzz_partner(g, a, d);
    if (fuzz_chance(g, 40)) {
        krs_node t = a;
        a = b;
        b = t;
    }
    if (kind == 0 && krs_dtype_is_int(d) && fuzz_chance(g, 60))
        return whole[fuzz_below(g, 4)](H, a, b);
    if (kind == 0)
        return logic[fuzz_below(g, 3)](H, a, b);
    if (kind < 3)
        return compare[fuzz_below(g, 6)](H, a, b);
    return real[fuzz_below(g, krs_dtype_is_float(d) ? 9 : 7)](H, a, b);
}

static krs_node
use_where(fuzz_gen *g)
{
    krs_node a = fuzz_pick(g, fuzz_any, 0);
    krs_node c = fuzz_partner(g, a, KRS_BOOL);
    krs_node b = fuzz_partner(g, fuzz_chance(g, 50) ? c : a, krs_node_dtype(a));
    return krs_where(c, a, b);
}

static krs_node
use_scalar(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_numbers, 0);
    switch (fuzz_below(g, 4)) {
    case 0:
        return krs_clamp(x, -fuzz_below(g, 3),
                         fuzz_chance(g, 30) ? INFINITY : 1.5);
    case 1: return krs_scale(x, fuzz_below(g, 4) - 1.5);
    case 2: return krs_offset(x, fuzz_below(g, 4) - 1);
    default:
        return krs_pow_scalar(fuzz_pick(g, fuzz_floats, 0),
                              fuzz_below(g, 5) * 0.5 - 1);
    }
}

static krs_node
use_cast(fuzz_gen *g)
{
    return krs_cast(fuzz_pick(g, fuzz_any, 0), fuzz_random_dtype(g));
}

/* ---- reductions and rows ---- */

static krs_node
use_reduce(fuzz_gen *g)
{
    typedef krs_node reduction(krs_place at, krs_node x, krs_axes axes);
    static reduction *const all[] = {
        krs_sum_at,       krs_amax_at,      krs_amin_at,
        krs_sum_keep_at,  krs_prod_at,      krs_amax_keep_at,
        krs_amin_keep_at, krs_mean_at,      krs_logsumexp_at,
        krs_prod_keep_at, krs_mean_keep_at, krs_logsumexp_keep_at};
    krs_node x = fuzz_pick(g, fuzz_numbers, 0);
    int axis = fuzz_some_axis(g, x);
    if (axis >= 0 && fuzz_chance(g, 15))
        return fuzz_chance(g, 70) ? krs_argmax(x, axis) : krs_argmin(x, axis);
    if (axis >= 0 && fuzz_chance(g, 15))
        return fuzz_chance(g, 70)
                   ? krsi_cumsum(H, x, axis, fuzz_chance(g, 50))
                   : krsi_cumprod(H, x, axis, fuzz_chance(g, 50));
    if (axis >= 0 && fuzz_chance(g, 6)) {
        krs_node order;
        return fuzz_chance(g, 50)
                   ? krs_argsort(x, axis, fuzz_chance(g, 50))
                   : krs_sort(x, axis, fuzz_chance(g, 50), &order);
    }
    bool is_float = krs_dtype_is_float(krs_node_dtype(x));
    krs_axes axes = fuzz_some_axes(g, krs_node_shape(x).rank);
    if (is_float && fuzz_chance(g, 8))
        return krs_variance(x, axes, fuzz_below(g, 2));
    return all[fuzz_below(g, is_float ? 12 : 7)](H, x, axes);
}

static krs_node
use_rows(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_floats, 1);
    krs_shape s = krs_node_shape(x);
    krs_dtype d = krs_node_dtype(x);
    int axis = fuzz_some_axis(g, x),
        from = s.rank - 1 - (fuzz_chance(g, 20) ? axis : 0);
    krs_shape tail = {s.rank - from, {0}};
    for (int a = from; a < s.rank; a++)
        tail.dim[a - from] = s.dim[a];
    switch (fuzz_below(g, 11)) {
    case 9: {
        krs_node t = fuzz_leaf(g, d, s);
        krs_reduction r = (krs_reduction)fuzz_below(g, 3);
        switch (fuzz_below(g, 4)) {
        case 0: return krs_mse(x, t, r);
        case 1: return krs_smooth_l1(x, t, 0.5 * fuzz_below(g, 3), r);
        case 2: return krs_bce_with_logits(x, t, KRS_NONE, r);
        default: return krs_kl_div(x, t, fuzz_chance(g, 50), r);
        }
    }
    case 10: {
        krs_shape rows = s;
        rows.rank--;
        if (s.dim[rows.rank] == 0)
            return KRS_NONE;
        return krs_nll(x, fuzz_index_of(g, rows, false, s.dim[rows.rank]),
                       KRS_NONE, fuzz_chance(g, 50) ? -100 : 1,
                       (krs_reduction)fuzz_below(g, 3));
    }
    case 5: return krs_l2_normalize(x, axis, 1e-3);
    case 6: {
        krs_node other = fuzz_leaf(g, d, s);
        return krs_cosine_similarity(x, other, axis, 1e-3);
    }
    case 7:
        if (s.rank < 2)
            return KRS_NONE;
        return krs_group_norm(
            x, s.dim[1] % 2 ? 1 : 2, fuzz_leaf(g, d, KRS_SHAPE(s.dim[1])),
            fuzz_chance(g, 50) ? fuzz_leaf(g, d, KRS_SHAPE(s.dim[1]))
                               : KRS_NONE,
            1e-3);
    case 8: {
        krs_node by_channel[4], news[2];
        if (s.rank < 2)
            return KRS_NONE;
        for (int i = 0; i < 4; i++)
            by_channel[i] = fuzz_leaf(g, d, KRS_SHAPE(s.dim[1]));
        by_channel[3] = krs_square(by_channel[3]);
        if (fuzz_chance(g, 50))
            return krs_batch_norm(x, by_channel[0], by_channel[1],
                                  by_channel[2], by_channel[3], 1e-3);
        return krs_batch_norm_train(x, by_channel[0], by_channel[1],
                                    by_channel[2], by_channel[3], 0.1, 1e-3,
                                    news, news + 1);
    }
    case 0: return krs_softmax(x, axis);
    case 1: return krs_log_softmax(x, axis);
    case 2:
        return krs_layer_norm(
            x, fuzz_leaf(g, d, tail),
            fuzz_chance(g, 50) ? fuzz_leaf(g, d, tail) : KRS_NONE, 1e-3);
    case 3: return krs_rms_norm(x, fuzz_leaf(g, d, tail), 1e-3);
    default: break;
    }
    krs_shape lead = s;
    krs_shape classes = KRS_SHAPE(s.dim[s.rank - 1]);
    lead.rank--;
    krs_cross_entropy_options o = {sizeof o, (krs_reduction)fuzz_below(g, 3),
                                   fuzz_chance(g, 50) ? -100 : 1,
                                   fuzz_chance(g, 50) ? 0 : 0.25};
    if (classes.dim[0] == 0)
        return KRS_NONE;
    krs_node target = fuzz_chance(g, 25)
                          ? krs_abs(fuzz_leaf(g, KRS_F32, s))
                          : fuzz_index_of(g, lead, false, classes.dim[0]);
    return krs_cross_entropy(
        x, target,
        fuzz_chance(g, 40) ? fuzz_leaf(g, KRS_F32, classes) : KRS_NONE, &o);
}

/* ---- views ---- */

static krs_node
use_reshape(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 0);
    krs_shape from = krs_node_shape(x), s = {0, {0}};
    int64_t left = fuzz_elements_of(from);
    if (fuzz_chance(g, 20))
        return krs_unsqueeze(x, fuzz_below(g, from.rank + 1));
    if (left == 0 || fuzz_chance(g, 20)) { /* merge or split one axis */
        if (from.rank < 2)
            return KRS_NONE;
        int a = fuzz_below(g, from.rank - 1);
        s = from;
        s.dim[a] *= s.dim[a + 1];
        memmove(s.dim + a + 1, s.dim + a + 2,
                (size_t)(s.rank - a - 2) * sizeof *s.dim);
        s.rank--;
        return krs_reshape(x, s);
    }
    while (s.rank < 6 && (left > 1 || fuzz_chance(g, 20))) {
        int64_t by = 1 + fuzz_below(g, left > 12 ? 12 : (int)left);
        while (left % by)
            by--;
        if (s.rank == 5)
            by = left;
        s.dim[s.rank++] = by;
        left /= by;
    }
    return left == 1 ? krs_reshape(x, s) : KRS_NONE;
}

static krs_node
use_expand(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 0);
    krs_shape from = krs_node_shape(x), s = from;
    if (s.rank < KRS_MAX_RANK && fuzz_chance(g, 50)) {
        s.dim[0] = 1 + fuzz_below(g, 4);
        for (int a = 0; a < from.rank; a++)
            s.dim[a + 1] = from.dim[a];
        s.rank++;
    }
    int lead = s.rank - from.rank;
    for (int a = lead; a < s.rank; a++)
        if (s.dim[a] == 1)
            s.dim[a] = 1 + fuzz_below(g, 4);
    return krs_expand(x, s);
}

static krs_node
use_slice(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 1);
    int axis = fuzz_some_axis(g, x);
    int64_t size = krs_node_shape(x).dim[axis];
    int span = (int)size + 1;
    if (size > 0 && fuzz_chance(g, 30)) {
        int64_t length = 1 + fuzz_below(g, (int)size);
        /* one in twenty may be asked not to fit */
        int64_t over = fuzz_chance(g, 5) ? 1 : 0;
        return krs_narrow(x, axis, fuzz_variable(g, 0, size - length + over),
                          length);
    }
    if (fuzz_chance(g, 25))
        return krs_flip(x, axis);
    if (size > 0 && fuzz_chance(g, 20))
        return krs_windows(x, axis, 1 + fuzz_below(g, size > 4 ? 4 : (int)size),
                           1 + fuzz_below(g, 3), 1 + fuzz_below(g, 2));
    int64_t step = 1 + fuzz_below(g, 3);
    if (fuzz_chance(g, 50)) {
        int64_t start = fuzz_below(g, span);
        return krs_slice(x, axis, start, start + 1 + fuzz_below(g, span), step);
    }
    return krs_slice(
        x, axis, fuzz_chance(g, 50) ? KRS_END : fuzz_below(g, span),
        fuzz_chance(g, 50) ? KRS_END : fuzz_below(g, span) / 2, -step);
}

static krs_node
use_set_slice(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 0);
    krs_shape s = krs_node_shape(x), v = s;
    krs_index start[KRS_MAX_RANK];
    for (int a = 0; a < s.rank; a++) {
        v.dim[a] = s.dim[a] ? fuzz_below(g, (int)s.dim[a] + 1) : 0;
        int64_t room = s.dim[a] - v.dim[a];
        start[a] = fuzz_chance(g, 40) ? fuzz_variable(g, 0, room)
                                      : KRS_INDEX(fuzz_below(g, (int)room + 1));
    }
    return krs_set_slice(x, fuzz_leaf(g, krs_node_dtype(x), v), start);
}

static krs_node
use_join(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 0);
    krs_shape s = krs_node_shape(x);
    krs_dtype d = krs_node_dtype(x);
    int axis = fuzz_some_axis(g, x);
    if (fuzz_chance(g, 45) || axis < 0) {
        int64_t before[KRS_MAX_RANK], after[KRS_MAX_RANK];
        for (int a = 0; a < s.rank; a++) {
            before[a] = fuzz_below(g, 4) - 1;
            after[a] = fuzz_below(g, 4) - 1;
        }
        return krs_pad(x, before, after, d == KRS_BOOL ? 1 : fuzz_below(g, 3));
    }
    krs_node part[4];
    int count = 1 + fuzz_below(g, 4), at = fuzz_below(g, count);
    for (int i = 0; i < count; i++) {
        krs_shape p = s;
        p.dim[axis] = fuzz_below(g, 5);
        part[i] = i == at              ? x
                  : fuzz_chance(g, 30) ? krs_flip(x, axis)
                  : fuzz_chance(g, 20) ? krs_full(g->graph, d, p, 1)
                                       : fuzz_leaf(g, d, p);
    }
    if (fuzz_chance(g, 25)) {
        for (int i = 0; i < count; i++)
            part[i] = i % 2 ? x : krs_flip(x, axis);
        return krs_stack(part, count, fuzz_below(g, s.rank + 1));
    }
    return krs_concat(part, count, axis);
}

static krs_node
use_view(fuzz_gen *g)
{
    krs_node x;
    switch (fuzz_below(g, 7)) {
    case 0: return use_reshape(g);
    case 1: return use_expand(g);
    case 2: return use_slice(g);
    case 3: return use_set_slice(g);
    case 4: return use_join(g);
    case 5: x = fuzz_pick(g, fuzz_any, 2); break;
    default: x = fuzz_pick(g, fuzz_any, 1); break;
    }
    return krs_permute(x, fuzz_random_order(g, krs_node_shape(x).rank));
}

static krs_node
use_live(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 1);
    int axis = fuzz_some_axis(g, x);
    int64_t size = krs_node_shape(x).dim[axis];
    if (!g->lives || size == 0)
        return KRS_NONE;
    return krs_live(x, axis,
                    fuzz_variable(g, fuzz_chance(g, 80) ? 1 : 0, size));
}

/* ---- products and gathers ---- */

static krs_node
use_conv(fuzz_gen *g)
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

static krs_node
use_matmul(fuzz_gen *g)
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

static krs_node
use_gather(fuzz_gen *g)
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

static krs_node
use_attention(fuzz_gen *g)
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

static krs_node
use_random(fuzz_gen *g)
{
    krs_node seed = krs_input(g->graph, "seed", KRS_I64, KRS_SCALAR);
    krs_node step = krs_input(g->graph, "step", KRS_I64, KRS_SCALAR);
    if (fuzz_chance(g, 40))
        return krs_random_uniform(seed, step, fuzz_random_shape(g),
                                  fuzz_below(g, 9));
    return krs_dropout(fuzz_pick(g, fuzz_floats, 0), 0.3, seed, step,
                       KRS_STREAM_AUTO);
}

static krs_node
use_rope(fuzz_gen *g)
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

static krs_node
use_leaf(fuzz_gen *g)
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

/* ---- what an optimiser simplifies ---- */

/* x and one of the constants that rules look for, on either side */
static krs_node
use_special_constant(fuzz_gen *g)
{
    typedef krs_node binary(krs_place at, krs_node a, krs_node b);
    static binary *const all[] = {krs_add_at, krs_sub_at,     krs_mul_at,
                                  krs_div_at, krs_maximum_at, krs_eq_at,
                                  krs_lt_at,  krs_mul_at,     krs_add_at};
    static const double special[] = {0, -0.0, 1, -1, 2, 4, 0.5, -8, 3, 1e38};
    binary *op = all[fuzz_below(g, 9)], *next = all[fuzz_below(g, 9)];
    krs_node x = fuzz_pick(g, fuzz_numbers, 0);
    krs_node c = krs_like(x, special[fuzz_below(g, 10)]);
    krs_node d = krs_like(x, special[fuzz_below(g, 10)]);
    krs_node y = fuzz_chance(g, 75) ? op(H, x, c) : op(H, c, x);
    if (krs_node_dtype(y) != krs_node_dtype(d))
        return krs_not(y);
    return fuzz_chance(g, 50) ? next(H, y, d) : y;
}

/* signs and choices of signs */
static krs_node
use_signs(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_numbers, 0);
    krs_node y = fuzz_partner(g, x, krs_node_dtype(x)), n = krs_neg(x);
    switch (fuzz_below(g, 8)) {
    case 0: return krs_add(y, n);
    case 1: return krs_sub(y, n);
    case 2: return krs_mul(n, krs_neg(y));
    case 3: return krs_div(n, krs_neg(y));
    case 4: return krs_abs(n);
    case 5: return krs_neg(krs_scale(x, -3));
    case 6: return krs_maximum(x, krs_maximum(x, y));
    default: return krs_minimum(krs_minimum(x, y), y);
    }
}

static krs_node
use_truths(fuzz_gen *g)
{
    krs_node c = fuzz_pick(g, fuzz_truths, 0);
    krs_node d = fuzz_partner(g, c, KRS_BOOL);
    krs_node x = fuzz_leaf(g, fuzz_random_dtype(g), krs_node_shape(c));
    krs_node y = fuzz_partner(g, x, krs_node_dtype(x));
    krs_node yes = krs_like(c, 1), no = krs_like(c, 0);
    switch (fuzz_below(g, 6)) {
    case 0: return krs_where(krs_not(c), x, y);
    case 1: return krs_where(c, krs_where(c, x, y), x);
    case 2: return krs_where(c, yes, no);
    case 3: return krs_or(krs_and(c, yes), no);
    case 4: return krs_not(krs_not(krs_xor(c, yes)));
    default: return krs_where(krs_and(d, no), x, y);
    }
}

/* a piece of what pieces were put together to */
static krs_node
use_pieces(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 1), y;
    krs_shape s = krs_node_shape(x);
    int axis = fuzz_some_axis(g, x);
    int64_t size = s.dim[axis], zero[KRS_MAX_RANK] = {0},
            some[KRS_MAX_RANK] = {0};
    some[axis] = fuzz_below(g, 4);
    krs_index start[KRS_MAX_RANK] = {{0}};
    krs_node part[3] = {krs_slice(x, axis, 0, size / 2, 1),
                        krs_slice(x, axis, size / 2, KRS_END, 1), x};
    switch (fuzz_below(g, 5)) {
    case 0: return krs_concat(part, 2, axis);
    case 1: y = krs_concat(part, 3, axis); break;
    case 2: y = krs_pad(krs_pad(x, some, zero, 1), zero, some, 1); break;
    case 3:
        start[axis] = KRS_INDEX(size / 2);
        y = krs_set_slice(krs_set_slice(x, part[1], start),
                          krs_slice(part[1], axis, 0, KRS_END, 1), start);
        break;
    default: y = krs_slice(x, axis, KRS_END, KRS_END, -1);
    }
    int64_t from = fuzz_below(g, (int)size + 1);
    return krs_slice(y, axis, from, from + 1 + fuzz_below(g, 4),
                     1 + fuzz_below(g, 2));
}

/* what is repeated, reduced again, or read at constant places */
static krs_node
use_repeated(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_numbers, 1);
    krs_shape s = krs_node_shape(x), more = s;
    int axis = fuzz_some_axis(g, x);
    const int64_t place[] = {2, 1, 0, 1};
    if (s.rank == KRS_MAX_RANK || krsi_get(x)->live_axes)
        return KRS_NONE;
    for (int a = 0; a < s.rank; a++)
        more.dim[a + 1] = s.dim[a];
    more.rank++;
    more.dim[0] = 1 + fuzz_below(g, 4);
    krs_node wide = krs_expand(x, more);
    switch (fuzz_below(g, 6)) {
    case 0: return krs_neg(krs_mul(wide, wide));
    case 1: return krs_sum(wide, KRS_AXES(0));
    case 2: return krs_amax_keep(wide, KRS_AXES(0));
    case 3: return krs_sum(krs_sum(wide, KRS_AXES(0)), KRS_AXES(axis));
    case 4: return krs_slice(wide, axis + 1, 0, 2, 1);
    default:
        if (s.dim[axis] < 3)
            return KRS_NONE;
        return krs_take(x,
                        krs_constant(g->graph, KRS_I64,
                                     KRS_SHAPE(1 + fuzz_below(g, 4)), place),
                        axis);
    }
}

/* ---- what a gradient computes again ---- */

static krs_node
use_checkpoint(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 0);
    if (fuzz_chance(g, 25))
        return krs_recompute(x);
    krs_node y = g->pool[g->count - 1];
    const krs_node inputs[2] = {x, g->pool[fuzz_below(g, g->count)]};
    return krs_checkpoint(y, inputs, 1 + (size_t)fuzz_below(g, 2));
}

/* ---- loops ---- */

/* a projection and its loss in blocks, or one of its gradients */
static krs_node
use_linear_loss(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_floats, 2);
    krs_shape s = krs_node_shape(x), lead = s;
    int64_t V = 1 + fuzz_below(g, 9);
    krs_cross_entropy_options o = {sizeof o, (krs_reduction)fuzz_below(g, 3),
                                   fuzz_chance(g, 50) ? -100 : 1,
                                   fuzz_chance(g, 50) ? 0 : 0.25};
    lead.rank--;
    if (krsi_get(x)->live_axes)
        return KRS_NONE;
    const krs_node in[4] = {
        x,
        fuzz_leaf(g, krs_node_dtype(x), KRS_SHAPE(V, s.dim[s.rank - 1])),
        fuzz_index_of(g, lead, false, V),
        fuzz_chance(g, 40) ? fuzz_leaf(g, KRS_F32, KRS_SHAPE(V)) : KRS_NONE,
    };
    krs_node y = krsi_linear_cross_entropy(H, in, &o, 1 + fuzz_below(g, 5));
    if (!krsi_get(y) || fuzz_chance(g, 60))
        return y;
    return krsi_linear_cross_entropy_grad(H, krsi_get(y), in, fuzz_below(g, 2));
}

/* of two values of one type and shape another */
static krs_node
next_value(fuzz_gen *g, krs_node a, krs_node b)
{
    krs_dtype d = krs_node_dtype(a);
    int axis = fuzz_some_axis(g, a);
    if (d == KRS_BOOL)
        return fuzz_chance(g, 50) ? krs_xor(a, b) : krs_and(a, krs_not(b));
    switch (fuzz_below(g, krs_dtype_is_float(d) ? 8 : 5)) {
    case 0: return krs_maximum(krs_neg(a), b);
    case 1: return krs_where(krs_lt(a, b), a, krs_minimum(b, krs_abs(a)));
    case 2: return b;
    case 3: return krs_add(a, b);
    case 4: return axis < 0 ? a : krs_flip(a, axis);
    case 5: return krs_tanh(krs_mul(a, b));
    case 6: return axis < 0 ? krs_sin(b) : krs_softmax(krs_sub(a, b), axis);
    default:
        return krs_add(
            a, krs_mean_keep(b, fuzz_some_axes(g, krs_node_shape(b).rank)));
    }
}

/* Two carries, slices of a tensor, a value from outside, the iteration; now and
 * then a scan in the scan. */
static krs_node
use_scan(fuzz_gen *g)
{
    krs_node first = fuzz_pick(g, fuzz_any, 0);
    krs_shape s = krs_node_shape(first), all = {s.rank + 1, {0}};
    krs_dtype d = krs_node_dtype(first);
    if (krsi_get(first)->live_axes || s.rank == KRS_MAX_RANK)
        return KRS_NONE;
    all.dim[0] = fuzz_below(g, 5);
    for (int a = 0; a < s.rank; a++)
        all.dim[a + 1] = s.dim[a];
    krs_node xs = fuzz_leaf(g, d, all), other = fuzz_leaf(g, d, s);
    krs_scan scan = krs_scan_begin(g->graph, all.dim[0],
                                   fuzz_chance(g, 50) ? KRS_SCAN_FORWARD
                                                      : KRS_SCAN_REVERSE);
    krs_node h = krs_scan_carry(scan, first), k = krs_scan_carry(scan, other);
    krs_node x = krs_scan_x(scan, xs);
    krs_node y = next_value(g, h, fuzz_chance(g, 50) ? x : k);
    if (fuzz_chance(g, 25)) {
        krs_scan inner = krs_scan_begin(g->graph, 2, KRS_SCAN_FORWARD);
        krs_node m = krs_scan_carry(inner, y);
        krs_scan_next(inner, m, next_value(g, m, x));
        krs_scan_end(inner);
        y = krs_scan_last(inner, m);
    }
    if (fuzz_chance(g, 25) && d != KRS_BOOL)
        y = krs_add(y, krs_cast(krs_scan_iteration(scan), d));
    krs_node z = next_value(g, y, fuzz_chance(g, 30) ? other : k);
    krs_scan_next(scan, h, fuzz_chance(g, 50) ? y : z);
    krs_scan_next(scan, k, fuzz_chance(g, 50) ? h : z);
    krs_scan_keep(scan, z);
    krs_scan_end(scan);
    fuzz_keep(g, krs_scan_last(scan, k));
    fuzz_keep(g, krs_scan_last(scan, h));
    return krs_scan_kept(scan, z);
}

typedef krs_node use(fuzz_gen *g);

/* more of what schedulers find hard */
static use *const uses[] = {use_unary,      use_unary,  use_binary,
                            use_binary,     use_binary, use_where,
                            use_scalar,     use_cast,   use_reduce,
                            use_reduce,     use_reduce, use_rows,
                            use_view,       use_view,   use_view,
                            use_view,       use_live,   use_matmul,
                            use_matmul,     use_gather, use_gather,
                            use_attention,  use_random, use_rope,
                            use_leaf,       use_signs,  use_special_constant,
                            use_truths,     use_pieces, use_repeated,
                            use_checkpoint, use_scan,   use_linear_loss,
                            use_conv};

krs_node
fuzz_use(fuzz_gen *g)
{
    return uses[fuzz_below(g, (int)(sizeof uses / sizeof *uses))](g);
}
