/* composite_attention.c -- definitions of attention, of what its gradient is
 * made of, and of rotary positions.
 *
 * Source: Vaswani et al. 2017, eq. 1; grouped heads: Ainslie et al. 2023;
 * rotary positions: Su et al. 2021, eq. 34. Letters: B batch, H heads, K key
 * heads, T queries, S keys, D and E head sizes of q k and of v.
 */
#include "ir.h"

#include <math.h>

/* positions along an axis of x, shaped to broadcast with x; live as x is */
static krs_node
positions(krs_place at, krs_node x, int axis)
{
    krsi_words words = {.count = 0};
    const krsi_node *n = krsi_get(x);
    if (!n)
        return krsi_poison(x.graph);
    krs_shape shape = {
        n->rank, {1, 1, 1, 1, 1, 1, 1, 1}
    };
    krs_index live[KRS_MAX_RANK] = {{0}};
    bool is_live = n->live_axes >> axis & 1;
    shape.dim[axis] = n->dim[axis];
    if (is_live)
        live[axis] = n->live[axis];
    krsi_put_int(&words, KRS_I64);
    krsi_put_ints(&words, shape.dim, shape.rank);
    krsi_put_int(&words, axis);
    krsi_put_indices(&words, live, is_live ? shape.rank : 0);
    return krsi_build(at, x.graph, KRSI_IOTA, NULL, 0, &words);
}

/* which keys a query may see: j <= i + offset, and j > i + offset - window */
static krs_node
causal_mask(krs_place at, krs_node scores, krs_index offset, int64_t window)
{
    krs_node i = positions(at, scores, 2); /* [1,1,T,1] */
    krs_node j = positions(at, scores, 3); /* [1,1,1,S] */
    krs_node last =
        krs_add_at(at, i, krs_index_node_at(at, scores.graph, offset));
    krs_node seen = krs_le_at(at, j, last);
    if (window == 0)
        return seen;
    krs_node first =
        krs_sub_at(at, last, krs_like_at(at, last, (double)window));
    return krs_and_at(at, seen, krs_gt_at(at, j, first));
}

/* x [B,K,S,D] beside the groups of q [B,K,G,T,D] */
static krs_node
grouped(krs_place at, krs_node x, bool is_grouped)
{
    return is_grouped ? krs_unsqueeze_at(at, x, 2) : x;
}

/* The scores [B,H,T,S] of q [B,H,T,D] and k [B,K,S,D], f32, with whatever mask
 * there is; *out_seen: which of them count, KRS_NONE for all. */
static krs_node
masked_scores(const krsi_use *u, krs_node q, krs_node k, krs_node mask,
              krs_node *out_seen)
{
    krs_place at = u->at;
    const krsi_node *n = u->node;
    krs_shape sq = krs_node_shape(q), sk = krs_node_shape(k);
    int64_t B = sq.dim[0], H = sq.dim[1], T = sq.dim[2], D = sq.dim[3];
    int64_t K = sk.dim[1], S = sk.dim[2];
    bool groups = K != H;

    if (groups)
        q = krs_reshape_at(at, q, KRS_SHAPE(B, K, H / K, T, D));
    krs_node scores = krs_matmul_nt_at(at, q, grouped(at, k, groups));
    scores = krs_reshape_at(at, scores, KRS_SHAPE(B, H, T, S));
    scores = krs_scale_at(at, scores, krsi_float(n, 0));

    krs_node seen = KRS_NONE;
    if (krsi_int(n, 1))
        seen = causal_mask(at, scores, krsi_index(n, 2, 0), krsi_int(n, 3));
    if (mask.graph && krs_node_dtype(mask) == KRS_BOOL)
        seen = seen.graph ? krs_and_at(at, seen, mask) : mask;
    else if (mask.graph)
        scores = krs_add_at(at, scores, mask);
    if (seen.graph)
        scores = krs_where_at(at, seen, scores,
                              krs_like_at(at, scores, (double)-INFINITY));
    *out_seen = seen;
    return scores;
}

krs_node
krsi_expand_attention(const krsi_use *u)
{
    krs_place at = u->at;
    krs_dtype dtype = krs_node_dtype(u->in[0]);
    krs_node q = krs_cast_at(at, u->in[0], KRS_F32); /* [B,H,T,D] */
    krs_node k = krs_cast_at(at, u->in[1], KRS_F32); /* [B,K,S,D] */
    krs_node v = krs_cast_at(at, u->in[2], KRS_F32); /* [B,K,S,E] */
    krs_shape sq = krs_node_shape(q), sv = krs_node_shape(v);
    int64_t B = sq.dim[0], H = sq.dim[1], T = sq.dim[2];
    int64_t K = sv.dim[1], S = sv.dim[2], E = sv.dim[3];
    bool groups = K != H;
    krs_node seen;

    krs_node scores = masked_scores(u, q, k, u->count > 3 ? u->in[3] : KRS_NONE,
                                    &seen); /* [B,H,T,S] */
    krs_node p = krs_softmax_at(at, scores, -1);
    if (groups)
        p = krs_reshape_at(at, p, KRS_SHAPE(B, K, H / K, T, S));
    krs_node out = krs_matmul_at(at, p, grouped(at, v, groups));
    out = krs_reshape_at(at, out, KRS_SHAPE(B, H, T, E));
    return krs_cast_at(at, out, dtype);
}

/* m + ln sum e^(scores - m), m the largest score of the row, a constant to the
 * gradient. NaN where that is infinite, as the softmax of such a row is. */
krs_node
krsi_expand_attention_lse(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node q = krs_cast_at(at, u->in[0], KRS_F32); /* [B,H,T,D] */
    krs_node k = krs_cast_at(at, u->in[1], KRS_F32); /* [B,K,S,D] */
    krs_node seen;
    krs_node scores = masked_scores(u, q, k, u->count > 2 ? u->in[2] : KRS_NONE,
                                    &seen); /* [B,H,T,S] */
    krs_node most =
        krs_stop_gradient_at(at, krs_amax_at(at, scores, KRS_AXES(-1)));
    krs_node shifted =
        krs_sub_at(at, scores, krs_unsqueeze_at(at, most, -1)); /* [B,H,T,S] */
    krs_node sum =
        krs_sum_at(at, krs_exp_at(at, shifted), KRS_AXES(-1)); /* [B,H,T] */
    return krs_add_at(at, krs_log_at(at, sum), most);
}

static krs_node
flat(krs_place at, krs_node x)
{
    const krsi_node *n = krsi_get(x);
    return n ? krs_reshape_at(at, x, KRS_SHAPE(krsi_elements(n))) : x;
}

/* With s = scale q k^T + mask, p = softmax(s) = e^(s - lse), out = p v, and g
 * the cotangent of out:
 *
 *      dv = p^T g          dp = g v^T
 *      ds = p (dp - delta), delta = sum_s p dp = sum_e g out   (by rows)
 *      dq = scale ds k     dk = scale ds^T q
 *
 * and ds is zero where the score does not count. Source: Dao et al. 2022,
 * appendix B.4. The heads of a group share k and v: their rows stand one
 * after the other, [B,K,G*T,*]. */
krs_node
krsi_expand_attention_grad(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node q = krs_cast_at(at, u->in[0], KRS_F32);   /* [B,H,T,D] */
    krs_node k = krs_cast_at(at, u->in[1], KRS_F32);   /* [B,K,S,D] */
    krs_node v = krs_cast_at(at, u->in[2], KRS_F32);   /* [B,K,S,E] */
    krs_node out = krs_cast_at(at, u->in[3], KRS_F32); /* [B,H,T,E] */
    krs_node lse = krs_unsqueeze_at(at, u->in[4], -1); /* [B,H,T,1] */
    krs_node g = krs_cast_at(at, u->in[5], KRS_F32);   /* [B,H,T,E] */
    krs_shape sq = krs_node_shape(q), sv = krs_node_shape(v);
    int64_t B = sq.dim[0], H = sq.dim[1], T = sq.dim[2], D = sq.dim[3];
    int64_t K = sv.dim[1], S = sv.dim[2], E = sv.dim[3], rows = H / K * T;
    krs_node seen;

    krs_node s = masked_scores(u, q, k, u->count > 6 ? u->in[6] : KRS_NONE,
                               &seen);                   /* [B,H,T,S] */
    krs_node p = krs_exp_at(at, krs_sub_at(at, s, lse)); /* [B,H,T,S] */
    krs_node delta = krs_sum_keep_at(at, krs_mul_at(at, g, out), KRS_AXES(-1));
    g = krs_reshape_at(at, g, KRS_SHAPE(B, K, rows, E));
    q = krs_reshape_at(at, q, KRS_SHAPE(B, K, rows, D));
    krs_node dp =
        krs_reshape_at(at, krs_matmul_nt_at(at, g, v), KRS_SHAPE(B, H, T, S));
    krs_node ds = krs_mul_at(at, p, krs_sub_at(at, dp, delta));
    if (seen.graph)
        ds = krs_where_at(at, seen, ds, krs_like_at(at, ds, 0));
    ds = krs_scale_at(at, ds, krsi_float(u->node, 0));
    ds = krs_reshape_at(at, ds, KRS_SHAPE(B, K, rows, S));
    p = krs_reshape_at(at, p, KRS_SHAPE(B, K, rows, S));
    krs_node parts[3] = {flat(at, krs_matmul_at(at, ds, k)),
                         flat(at, krs_matmul_tn_at(at, ds, q)),
                         flat(at, krs_matmul_tn_at(at, p, g))};
    return krs_concat_at(at, parts, 3, 0);
}

krs_node
krsi_expand_rope(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0], angles = u->in[1]; /* [.., T, D]; to [.., T, D/2] */
    double scale = krsi_float(u->node, 1);
    krs_node c = krs_cos_at(at, angles), s = krs_sin_at(at, angles);
    krs_shape shape = krs_node_shape(x);
    int last = shape.rank - 1;
    int64_t half = shape.dim[last] / 2;
    bool interleaved = krsi_int(u->node, 0) == KRS_ROPE_INTERLEAVED;
    krs_node a, b;
    if (scale != 1) {
        c = krs_scale_at(at, c, scale);
        s = krs_scale_at(at, s, scale);
    }
    if (interleaved) {
        a = krs_slice_at(at, x, -1, 0, KRS_END, 2);
        b = krs_slice_at(at, x, -1, 1, KRS_END, 2);
    } else {
        a = krs_slice_at(at, x, -1, 0, half, 1);
        b = krs_slice_at(at, x, -1, half, KRS_END, 1);
    }
    krs_node turned[2] = {
        krs_sub_at(at, krs_mul_at(at, a, c), krs_mul_at(at, b, s)),
        krs_add_at(at, krs_mul_at(at, a, s), krs_mul_at(at, b, c))};
    if (!interleaved)
        return krs_concat_at(at, turned, 2, -1);
    krs_index start[KRS_MAX_RANK];
    int64_t step[KRS_MAX_RANK];
    for (int i = 0; i < KRS_MAX_RANK; i++) {
        start[i] = KRS_INDEX(0);
        step[i] = i == last ? 2 : 1;
    }
    krs_node y =
        krsi_set_slice(at, krs_zeros_like_at(at, x), turned[0], start, step);
    start[last] = KRS_INDEX(1);
    return krsi_set_slice(at, y, turned[1], start, step);
}
