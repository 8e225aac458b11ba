/* composite_loss.c -- definitions of cross-entropy, of logits that there are and
 * of logits that are made some rows at a time.
 *
 * linear_cross_entropy is cross_entropy(x w^T, target) without a tensor of T x V
 * elements. The T rows of x are taken in blocks; for each block, once, logits
 * give the losses, then the gradient of their sum by the logits, and that the
 * gradients by x, row by row, and by w, which all blocks add to in order:
 *
 *      z = x_b w^T    l_b = cross_entropy(z)    d = dl_b / dz
 *      dx_b = d w     dw <- dw + d^T x_b
 *
 * The definitions of the loss and of its gradient (linear_cross_entropy_grad)
 * are results of one and the same scan, equal to the last node, so a program
 * that needs both makes the logits once, and one that needs the loss alone
 * computes nothing else. Rows that do not fill a block are a piece of their own.
 * Source: Wijmans et al. 2024, "Cut your losses in large-vocabulary language
 * models", for never keeping all logits; gradients in the forward pass as in
 * Hsu et al. 2024, "Liger kernel".
 */
#include "ir.h"

/* ---- one row at a time ---- */

static krs_node
sum_last(krs_place at, krs_node x)
{
    return krs_sum_at(at, x, KRS_AXES(-1));
}

/* Whether a row is counted (its target is not `ignore`), the id, or 0, and the
 * weight of its class, or 0; all [..]. */
typedef struct targets {
    krs_node counted, id, factor;
} targets;

static targets
read_targets(const krsi_ce *c)
{
    targets t;
    krs_place at = c->at;
    krs_graph *g = c->target.graph;
    krs_node ignore = krs_constant_at(at, g, KRS_I64, KRS_SCALAR,
                                      &c->ignore); /* exact, unlike a double */
    krs_node id = krs_cast_at(at, c->target, KRS_I64); /* [..] */
    t.counted = krs_ne_at(at, id, ignore);
    t.id = krs_where_at(at, t.counted, id, krs_like_at(at, id, 0));
    krs_node one = krs_full_at(at, g, KRS_F32, KRS_SCALAR, 1);
    krs_node factor = c->weight.graph
                          ? krs_take_at(at, c->weight, t.id, 0) /* [..] */
                          : krsi_expand_like(at, one, id);
    t.factor = krs_where_at(at, t.counted, factor, krs_like_at(at, factor, 0));
    return t;
}

krs_node
krsi_ce_count(const krsi_ce *c)
{
    return krs_sum_at(c->at, read_targets(c).factor, KRS_ALL_AXES);
}

/* With m = max x, s = sum e^(x-m) and target t the loss of a row is
 * ln s - (x_t - m), times the weight of t; smoothed, 1-e of it and e/V of
 * sum_c w_c (ln s - (x_c - m)). x - m is exact to the last place, where x - lse
 * is not for large x; and no row of [.., V] is kept. */
static krs_node
losses(const krsi_ce *c, krs_node x)
{
    krs_place at = c->at;
    krs_shape shape = krs_node_shape(x);
    double e = c->smoothing, classes = (double)shape.dim[shape.rank - 1];
    targets t = read_targets(c);
    krsi_exponentials of = krsi_shifted_exp(at, x);
    krs_node log_sum = krs_log_at(at, of.sum); /* [.., 1] */
    krs_node index = krs_unsqueeze_at(at, t.id, -1);
    krs_node picked = krs_sub_at(at, krs_gather_at(at, x, index, -1), of.max);
    krs_node loss = krs_squeeze_at(at, krs_sub_at(at, log_sum, picked), -1);
    loss = krs_where_at(at, t.counted, krs_mul_at(at, loss, t.factor),
                        krs_like_at(at, loss, 0));
    if (e == 0)
        return loss;
    krs_node all = krs_sub_at(at, krs_sub_at(at, x, of.max), log_sum);
    if (c->weight.graph)
        all = krs_mul_at(at, all, c->weight);
    krs_node uniform = krs_neg_at(at, sum_last(at, all));
    uniform = krs_where_at(at, t.counted, uniform, krs_like_at(at, uniform, 0));
    return krs_add_at(at, krs_scale_at(at, loss, 1 - e),
                      krs_scale_at(at, uniform, e / classes));
}

/* Row i has the loss (1-e) w_t (ln s - x_t + m) + e/V sum_c w_c (ln s - x_c + m)
 * for target t, so with p = softmax(x), a = (1-e) w_t and the cotangent g of
 * that row
 *
 *     dx_c = g ((a + e/V sum w) p_c - a [c = t] - e/V w_c),
 *
 * or 0 where the row is not counted. Row by row, no more than x is read. */
krs_node
krsi_ce_gradient(const krsi_ce *c, krs_node x, krs_node g)
{
    krs_place at = c->at;
    krs_shape shape = krs_node_shape(x);
    int64_t V = shape.dim[shape.rank - 1];
    double e = c->smoothing;
    targets t = read_targets(c);
    /* [..], broadcast if g is a scalar */
    krs_node of_target = krs_mul_at(at, g, t.factor);
    krs_node a = krs_unsqueeze_at(at, krs_scale_at(at, of_target, 1 - e), -1);
    krs_node class = krs_iota_at(at, x.graph, KRS_I64, KRS_SHAPE(V), 0);
    krs_node hit = krs_eq_at(at, krs_unsqueeze_at(at, t.id, -1), class);
    krs_node zero = krs_like_at(at, a, 0);
    krsi_exponentials of = krsi_shifted_exp(at, x);
    krs_node p = krs_div_at(at, of.exp, of.sum); /* [.., V] */
    if (e == 0)
        return krs_sub_at(at, krs_mul_at(at, p, a),
                          krs_where_at(at, hit, a, zero));
    /* the smoothed part is not weighted by the target's class */
    krs_node b = krs_where_at(at, t.counted, krs_scale_at(at, g, e / (double)V),
                              krs_like_at(at, g, 0));
    b = krs_unsqueeze_at(at, b, -1); /* [.., 1] */
    bool weighted = c->weight.graph != NULL;
    krs_node weight = weighted ? c->weight : krs_like_at(at, x, 1);
    krs_node all = weighted ? krs_sum_at(at, weight, KRS_ALL_AXES)
                            : krs_like_at(at, x, (double)V);
    krs_node up = krs_mul_at(at, p, krs_add_at(at, a, krs_mul_at(at, b, all)));
    krs_node down = krs_add_at(at, krs_where_at(at, hit, a, zero),
                               krs_mul_at(at, b, weight));
    return krs_sub_at(at, up, down);
}

/* ---- cross_entropy ---- */

/* rows of losses [..] to the reduction asked for; count: what mean divides by */
static krs_node
reduced(const krsi_use *u, krs_node rows, krs_node count)
{
    int64_t reduction = krsi_int(u->node, 0);
    if (reduction == KRS_REDUCE_NONE)
        return rows;
    krs_node sum = krs_sum_at(u->at, rows, KRS_ALL_AXES);
    return reduction == KRS_REDUCE_SUM ? sum : krs_div_at(u->at, sum, count);
}

static krs_node
row_count(const krsi_use *u, krs_node rows)
{
    static const int64_t all[KRS_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    return krsi_axis_count(u->at, rows, all, krs_node_shape(rows).rank,
                           KRS_F32);
}

/* target probabilities q [.., V], smoothed to (1-e) q + e/V */
static krs_node
cross_entropy_of_probabilities(const krsi_use *u, krs_node logp)
{
    krs_place at = u->at;
    double e = krsi_float(u->node, 2);
    krs_shape shape = krs_node_shape(logp);
    krs_node q = u->in[1];
    if (e > 0)
        q = krs_offset_at(at, krs_scale_at(at, q, 1 - e),
                          e / (double)shape.dim[shape.rank - 1]);
    if (u->count > 2)
        q = krs_mul_at(at, q, u->in[2]);
    krs_node rows = krs_neg_at(at, sum_last(at, krs_mul_at(at, q, logp)));
    return reduced(u, rows, row_count(u, rows));
}

krsi_ce
krsi_ce_of(krs_place at, const krsi_node *n, const krs_node *in)
{
    /* a linear one has the operands x, w in place of the logits */
    bool linear = n->op == KRSI_LINEAR_CROSS_ENTROPY ||
                  n->op == KRSI_LINEAR_CROSS_ENTROPY_GRAD;
    uint32_t target = linear ? 2 : 1;
    return (krsi_ce){
        .at = at,
        .target = in[target],
        .weight = n->count > target + 1 ? in[target + 1] : KRS_NONE,
        .ignore = krsi_int(n, 1),
        .smoothing = n->op == KRSI_NLL ? 0 : krsi_float(n, 2),
    };
}

krs_node
krsi_expand_cross_entropy(const krsi_use *u)
{
    krs_node x = u->in[0];
    if (krs_dtype_is_float(krs_node_dtype(u->in[1])))
        return cross_entropy_of_probabilities(u,
                                              krs_log_softmax_at(u->at, x, -1));
    krsi_ce c = krsi_ce_of(u->at, u->node, u->in);
    return reduced(u, losses(&c, x), krsi_ce_count(&c));
}

/* ---- nll ---- */

krs_node
krsi_expand_nll(const krsi_use *u)
{
    krs_place at = u->at;
    krsi_ce c = krsi_ce_of(at, u->node, u->in);
    targets t = read_targets(&c);
    krs_node logp =
        krs_gather_at(at, u->in[0], krs_unsqueeze_at(at, t.id, -1), -1);
    krs_node loss =
        krs_neg_at(at, krs_mul_at(at, krs_squeeze_at(at, logp, -1), t.factor));
    loss = krs_where_at(at, t.counted, loss, krs_like_at(at, loss, 0));
    return reduced(u, loss, krsi_ce_count(&c));
}

/* ---- of two tensors of one shape ---- */

/* all losses to the reduction asked for */
static krs_node
of_elements(const krsi_use *u, krs_node all)
{
    if (krsi_int(u->node, 0) != KRS_REDUCE_BATCHMEAN)
        return reduced(u, all, row_count(u, all));
    krs_node sum = krs_sum_at(u->at, all, KRS_ALL_AXES);
    double batch = (double)krs_node_shape(u->in[0]).dim[0];
    return krs_div_at(u->at, sum, krs_like_at(u->at, sum, batch));
}

krs_node
krsi_expand_mse(const krsi_use *u)
{
    krs_node d = krs_sub_at(u->at, u->in[0], u->in[1]);
    return of_elements(u, krs_square_at(u->at, d));
}

krs_node
krsi_expand_smooth_l1(const krsi_use *u)
{
    krs_place at = u->at;
    double beta = krsi_float(u->node, 1);
    krs_node d = krs_abs_at(at, krs_sub_at(at, u->in[0], u->in[1]));
    if (beta == 0)
        return of_elements(u, d);
    krs_node near = krs_scale_at(at, krs_square_at(at, d), 0.5 / beta);
    krs_node is_near = krs_lt_at(at, d, krs_like_at(at, d, beta));
    krs_node far = krs_offset_at(at, d, -beta / 2);
    return of_elements(u, krs_where_at(at, is_near, near, far));
}

/* -(t ln p + (1-t) ln(1-p)) with ln p = x - softplus(x) and ln(1-p) =
 * -softplus(x) */
krs_node
krsi_expand_bce_with_logits(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0];
    krs_node loss =
        krs_sub_at(at, krs_softplus_at(at, x), krs_mul_at(at, x, u->in[1]));
    return of_elements(u, u->count > 2 ? krs_mul_at(at, loss, u->in[2]) : loss);
}

/* 0 ln 0 = 0, and no slope of ln at 0 */
krs_node
krsi_expand_kl_div(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node logq = u->in[0], t = u->in[1];
    if (krsi_int(u->node, 1))
        return of_elements(
            u, krs_mul_at(at, krs_exp_at(at, t), krs_sub_at(at, t, logq)));
    krs_node zero = krs_like_at(at, t, 0);
    krs_node some = krs_gt_at(at, t, zero);
    krs_node safe = krs_where_at(at, some, t, krs_like_at(at, t, 1));
    krs_node loss =
        krs_mul_at(at, t, krs_sub_at(at, krs_log_at(at, safe), logq));
    return of_elements(u, krs_where_at(at, some, loss, zero));
}

/* ---- linear_cross_entropy ---- */

/* What some rows give: their losses [n], and the gradients of the sum of these
 * by the rows, [n,D], and by the weight, [V,D]; f32. */
typedef struct part {
    krs_node losses, hidden, weight;
} part;

/* All at once; x [n,D], w [V,D]. Halves are multiplied as they are, and sums
 * over rows stay f32. */
static part
part_of(const krsi_ce *c, krs_node x, krs_node w)
{
    krs_place at = c->at;
    krs_node z = krs_matmul_nt_at(at, x, w); /* [n,V] */
    z = krs_cast_at(at, z, KRS_F32);
    krs_node one = krs_full_at(at, x.graph, KRS_F32, KRS_SCALAR, 1);
    krs_node d = krsi_ce_gradient(c, z, one); /* [n,V] */
    krs_node by_x = krs_matmul_at(at, krs_cast_at(at, d, krs_node_dtype(w)), w);
    return (part){
        .losses = losses(c, z),
        .hidden = krs_cast_at(at, by_x, KRS_F32),
        .weight = krs_matmul_tn_at(at, d, krs_cast_at(at, x, KRS_F32)),
    };
}

/* The first `blocks` blocks of n rows, as a scan. */
static part
blocks_of(const krsi_ce *c, krs_node x, krs_node w, int64_t blocks, int64_t n)
{
    krs_place at = c->at;
    int64_t D = krs_node_shape(x).dim[1], rows = blocks * n;
    krs_graph *g = x.graph;
    krs_node xs = krs_slice_at(at, x, 0, 0, rows, 1);
    krs_node ts = krs_slice_at(at, c->target, 0, 0, rows, 1);
    krs_node none = krs_full_at(at, g, KRS_F32, krs_node_shape(w), 0);
    krs_scan scan = krs_scan_begin_at(at, g, blocks, KRS_SCAN_FORWARD);
    krs_node sum = krs_scan_carry_at(at, scan, none); /* [V,D] */
    krs_node block = krs_scan_x_at(
        at, scan, krs_reshape_at(at, xs, KRS_SHAPE(blocks, n, D)));
    krsi_ce inside = *c;
    inside.target =
        krs_scan_x_at(at, scan, krs_reshape_at(at, ts, KRS_SHAPE(blocks, n)));
    part p = part_of(&inside, block, w);
    krs_scan_next_at(at, scan, sum, krs_add_at(at, sum, p.weight));
    krs_scan_keep_at(at, scan, p.losses);
    krs_scan_keep_at(at, scan, p.hidden);
    krs_scan_end_at(at, scan);
    return (part){
        .losses = krs_reshape_at(at, krs_scan_kept_at(at, scan, p.losses),
                                 KRS_SHAPE(rows)),
        .hidden = krs_reshape_at(at, krs_scan_kept_at(at, scan, p.hidden),
                                 KRS_SHAPE(rows, D)),
        .weight = krs_scan_last_at(at, scan, sum),
    };
}

static krs_node
joined(krs_place at, krs_node a, krs_node b)
{
    const krs_node both[] = {a, b};
    return krs_concat_at(at, both, 2, 0);
}

/* All rows, flattened to [T,D]; attribute 3 says how many rows a block has. */
static part
whole_of(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0], w = u->in[1];
    krsi_ce c = krsi_ce_of(at, u->node, u->in);
    krs_shape shape = krs_node_shape(c.target);
    int64_t T, n = krsi_int(u->node, 3);
    krs_shape_elements(shape, &T);
    int64_t blocks = T / n, rest = T % n;
    x = krs_reshape_at(at, x, KRS_SHAPE(T, krs_node_shape(w).dim[1]));
    c.target = krs_reshape_at(at, c.target, KRS_SHAPE(T));
    if (blocks == 0)
        return part_of(&c, x, w);
    part all = blocks_of(&c, x, w, blocks, n);
    if (rest == 0)
        return all;
    c.target = krs_slice_at(at, c.target, 0, T - rest, KRS_END, 1);
    part last = part_of(&c, krs_slice_at(at, x, 0, T - rest, KRS_END, 1), w);
    return (part){
        .losses = joined(at, all.losses, last.losses),
        .hidden = joined(at, all.hidden, last.hidden),
        .weight = krs_add_at(at, all.weight, last.weight),
    };
}

krs_node
krsi_expand_linear_cross_entropy(const krsi_use *u)
{
    krsi_ce c = krsi_ce_of(u->at, u->node, u->in);
    krs_node rows =
        krs_reshape_at(u->at, whole_of(u).losses, krs_node_shape(c.target));
    return reduced(u, rows, krsi_ce_count(&c));
}

krs_node
krsi_expand_linear_cross_entropy_grad(const krsi_use *u)
{
    bool of_hidden = krsi_int(u->node, 0) == KRSI_CE_HIDDEN;
    part p = whole_of(u);
    return krs_reshape_at(u->at, of_hidden ? p.hidden : p.weight,
                          krs_node_shape(u->in[of_hidden ? 0 : 1]));
}
