/* fuzz_uses.c -- random uses of the builders: one function a group of rows of
 * ops.def. Operands come from what there is so far, or are new leaves where
 * shapes have to fit. Element-wise operations, rows and views are here, products
 * in fuzz_products.c, what people write with several in fuzz_idioms.c.
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

/* ---- all of them ---- */

/* more of what schedulers find hard */
static fuzz_user *const uses[] = {use_unary,
                                  use_unary,
                                  use_binary,
                                  use_binary,
                                  use_binary,
                                  use_where,
                                  use_scalar,
                                  use_cast,
                                  use_reduce,
                                  use_reduce,
                                  use_reduce,
                                  use_rows,
                                  use_view,
                                  use_view,
                                  use_view,
                                  use_view,
                                  use_live,
                                  fuzz_use_matmul,
                                  fuzz_use_matmul,
                                  fuzz_use_gather,
                                  fuzz_use_gather,
                                  fuzz_use_attention,
                                  fuzz_use_random,
                                  fuzz_use_rope,
                                  fuzz_use_leaf,
                                  fuzz_use_signs,
                                  fuzz_use_special_constant,
                                  fuzz_use_truths,
                                  fuzz_use_pieces,
                                  fuzz_use_repeated,
                                  fuzz_use_checkpoint,
                                  fuzz_use_scan,
                                  fuzz_use_linear_loss,
                                  fuzz_use_conv};

krs_node
fuzz_use(fuzz_gen *g)
{
    return uses[fuzz_below(g, (int)(sizeof uses / sizeof *uses))](g);
}
