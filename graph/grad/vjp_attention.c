/* vjp_attention.c -- the gradient of attention without a [B,H,T,S] tensor.
 *
 * In: out = attention(q, k, v, mask) and its cotangent. Out: cotangents of q,
 * k and v as slices of one attention_grad node, which computes the scores
 * again from the statistic of each row, attention_lse (composite_attention.c
 * has the derivation; Dao et al. 2022). Both are rows like any other, so the
 * result can be differentiated again.
 */
#include "grad.h"

/* Elements of flat, as many as x has, in x's shape and type. */
static krs_node
part_like(krsi_vjp *v, krs_node flat, int64_t from, krs_node x)
{
    int64_t end = from + krsi_elements(krsi_get(x));
    krs_node part = krs_slice_at(v->at, flat, 0, from, end, 1);
    return krs_cast_at(v->at, krs_reshape_at(v->at, part, krs_node_shape(x)),
                       krs_node_dtype(x));
}

/* Through the definition: the cotangent of an additive mask, which is of the
 * size of the scores anyway; runtime lengths, which one flat result cannot
 * have; and no keys, whose rows have no statistic. */
void
krsi_vjp_attention(krsi_vjp *v)
{
    krs_node mask = v->count > 3 ? v->in[3] : KRS_NONE;
    bool is_live = false;
    for (int i = 0; i < 3; i++)
        is_live |= krsi_get(v->in[i])->live_axes != 0;
    if (is_live || (v->count > 3 && v->need[3]) ||
        krs_node_shape(v->in[1]).dim[2] == 0) {
        krsi_vjp_through_expansion(v);
        return;
    }
    krs_node lse = krsi_attention_lse(v->at, v->node, v->in[0], v->in[1], mask);
    if (!krs_node_is_valid(lse))
        return;
    const krs_node in[6] = {v->in[0], v->in[1], v->in[2], v->y, lse, v->g};
    krs_node flat = krsi_attention_grad(v->at, v->node, in, mask);
    if (!krs_node_is_valid(flat))
        return;
    int64_t from = 0;
    for (int i = 0; i < 3; i++) {
        if (v->need[i])
            v->out[i] = part_like(v, flat, from, v->in[i]);
        from += krsi_elements(krsi_get(v->in[i]));
    }
}
