/* causal_pass.c -- what the forward passes of decoder-only models share
 * (causal_pass.h).
 *
 * Slots. The id in column t stands in slot position + t, wherever padding is.
 *
 * Cache. Keys and values live in one state each a layer, [B,K,S,D]. A call
 * writes its T slots in place and reads slots 0 .. position+T-1, the live
 * length, so a step costs what the text so far costs; the program is the same
 * for every position. Slots past the live length are never read before they
 * are written, so a last prefill chunk may be filled up with anything.
 */
#include "causal_pass.h"

#include <krs/loss.h>
#include <krs/ops.h>

struct krsi_causal
krsi_causal_begin(krs_graph *g, const krs_causal_call *call,
                  krs_causal_result *result)
{
    krs_shape shape = krs_node_shape(call->ids);
    int64_t T = shape.dim[1];
    return (struct krsi_causal){.g = g,
                                .call = call,
                                .result = result,
                                .B = shape.dim[0],
                                .T = T,
                                .S = call->cache_length > 0 ? call->cache_length
                                                            : T};
}

/* ---- places and mask ---- */

krs_node
krsi_causal_slots(const struct krsi_causal *p)
{
    krs_node column = krs_iota(p->g, KRS_I64, KRS_SHAPE(p->T), 0); /* [T] */
    return krs_add(column, krs_index_node(p->g, p->call->position));
}

krs_node
krsi_causal_places(const struct krsi_causal *p, int64_t most)
{
    krs_node place = krsi_causal_slots(p), mask = p->call->attention_mask;
    if (mask.graph != NULL) {
        krs_node so_far = krs_cumsum(krs_cast(mask, KRS_I64), 1); /* [B,S] */
        if (p->call->cache_length > 0)
            so_far = krs_narrow(so_far, 1, p->call->position, p->T);
        krs_node one = krs_like(so_far, 1.0);
        place = krs_sub(krs_maximum(so_far, one), one); /* [B,T] */
    }
    return krs_minimum(place, krs_like(place, (double)(most - 1)));
}

krs_index
krsi_causal_live(const struct krsi_causal *p)
{
    return krs_index_plus(p->call->position, KRS_INDEX(p->T));
}

/* Each place sees itself, so that the row of a place that is padding on the
 * left is not empty (softmax of nothing is NaN, which would reach the
 * gradients). */
krs_node
krsi_causal_mask(const struct krsi_causal *p)
{
    if (p->call->attention_mask.graph == NULL)
        return KRS_NONE;
    krs_node tokens = krs_reshape(p->call->attention_mask,
                                  KRS_SHAPE(p->B, 1, 1, p->S)); /* [B,1,1,S] */
    krs_node at = krsi_causal_slots(p);                         /* [T] */
    krs_node slot = krs_iota(p->g, KRS_I64, KRS_SHAPE(1, p->S), 1); /* [1,S] */
    krs_node itself = krs_eq(krs_unsqueeze(at, -1), slot);          /* [T,S] */
    krs_node mask = krs_or(tokens, itself); /* [B,1,T,S] */
    if (p->call->cache_length > 0)
        mask = krs_live(mask, 3, krsi_causal_live(p));
    return mask;
}

/* ---- heads and cache ---- */

krs_node
krsi_causal_split(const struct krsi_causal *p, krs_node x, int64_t heads,
                  int64_t head_dim)
{
    x = krs_reshape(x, KRS_SHAPE(p->B, p->T, heads, head_dim));
    return krs_transpose(x, 1, 2); /* [B,heads,T,D] */
}

krs_node
krsi_causal_merge(const struct krsi_causal *p, krs_node x)
{
    return krs_reshape(krs_transpose(x, 1, 2), KRS_SHAPE(p->B, p->T, -1));
}

/* The name carries the size: callers with other batches or lengths may share
 * the store. */
krs_node
krsi_causal_cached(const struct krsi_causal *p, krs_node x, const char *what)
{
    krs_causal_result *result = p->result;
    if (p->call->cache_length == 0 || !krs_node_is_valid(x))
        return x;
    krs_shape shape = krs_node_shape(x); /* [B,K,T,D] */
    krs_scope_push(p->g, "%s_cache_%lldx%lld", what, (long long)p->B,
                   (long long)p->S);
    krs_node cache =
        krs_state(p->g, "slots", KRS_F32,
                  KRS_SHAPE(p->B, shape.dim[1], p->S, shape.dim[3]));
    krs_scope_pop(p->g);

    krs_index starts[4] = {KRS_INDEX(0), KRS_INDEX(0), p->call->position,
                           KRS_INDEX(0)};
    krs_node filled = krs_set_slice(cache, x, starts); /* [B,K,S,D] */
    p->call->updates[result->update_count++] = krs_update(cache, filled);
    return krs_live(filled, 2, krsi_causal_live(p));
}

/* ---- the end ---- */

void
krsi_causal_keep(const struct krsi_causal *p, int64_t i, krs_node h)
{
    if (p->call->hidden != NULL)
        p->call->hidden[i] = h;
}

/* What is scored at t is labels[t+1]: the labels move one to the left, and the
 * last place, which has nothing to predict, is not counted. */
static krs_node
moved_labels(const struct krsi_causal *p)
{
    const int64_t before[2] = {0, 0}, after[2] = {0, 1};
    krs_node next = krs_slice(p->call->labels, 1, 1, KRS_END, 1); /* [B,T-1] */
    return krs_pad(next, before, after, -100.0);                  /* [B,T] */
}

krs_node
krsi_causal_finish(const struct krsi_causal *p, krs_node h, krs_node weight,
                   krs_node bias)
{
    krs_node targets =
        p->call->labels.graph != NULL ? moved_labels(p) : p->call->targets;
    if (targets.graph != NULL && bias.graph == NULL)
        p->result->loss =
            krs_linear_cross_entropy(h, weight, targets, KRS_NONE, NULL);
    else if (targets.graph != NULL)
        p->result->loss = krs_cross_entropy(krs_linear(h, weight, bias),
                                            targets, KRS_NONE, NULL);
    if (p->call->logits_once)
        h = krs_narrow(h, 1, p->call->logits_at, 1); /* [B,1,C] */
    return krs_linear(h, weight, bias);              /* [B,T,V] */
}
