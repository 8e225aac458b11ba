/* causal_pass.h -- what the forward passes of decoder-only models share:
 * places of the ids, the mask of padding, the key/value cache, the loss.
 *
 * In: a call that krs_causal_forward has checked. Out: nodes of its graph.
 * Sizes: B batch, T ids, S keys, H heads, D head size, V vocabulary.
 *
 * A decoder that reads the states of an encoder is such a model too.
 */
#ifndef KRSI_CAUSAL_PASS_H
#define KRSI_CAUSAL_PASS_H

#include <krs/causal.h>

/* One forward pass. */
struct krsi_causal {
    krs_graph *g;
    const krs_causal_call *call;
    krs_causal_result *result;
    int64_t B, T, S;
    krs_node mask; /* bool [B,1,T,S], or none: what krsi_causal_mask gave */
};

struct krsi_causal krsi_causal_begin(krs_graph *g, const krs_causal_call *call,
                                     krs_causal_result *result);

/* krsi_causal_slots(p) -- i64 [T]: the slot of each id.
 * krsi_causal_places(p, most) -- i64 [B,T] or [T]: its place among the tokens of
 * its row, padding not counted, at most most - 1. */
krs_node krsi_causal_slots(const struct krsi_causal *p);
krs_node krsi_causal_places(const struct krsi_causal *p, int64_t most);

/* krsi_causal_mask(p) -- bool [B,1,T,S], keys that are tokens; none without
 * padding. Causality is the attention's own. */
krs_node krsi_causal_mask(const struct krsi_causal *p);

/* krsi_causal_live(p) -- slots that exist: position + T. */
krs_index krsi_causal_live(const struct krsi_causal *p);

/* krsi_causal_split(p, x, heads, D) -- [B,T,heads*D] to [B,heads,T,D].
 * krsi_causal_merge(p, x) -- back. */
krs_node krsi_causal_split(const struct krsi_causal *p, krs_node x,
                           int64_t heads, int64_t head_dim);
krs_node krsi_causal_merge(const struct krsi_causal *p, krs_node x);

/* krsi_causal_cached(p, x, what) -- x [B,K,T,D] written into the cache `what`
 * of the open scope at the slots of the call; gives the live part, [B,K,S,D].
 * x itself without a cache. */
krs_node krsi_causal_cached(const struct krsi_causal *p, krs_node x,
                            const char *what);

/* krsi_causal_keep(p, i, h) -- h [B,T,C] as hidden state i, if wanted.
 * krsi_causal_finish(p, h, weight, bias) -- logits h weight^T + bias
 * [B,T,V], and the loss if labels or targets are there; bias may be none. */
void krsi_causal_keep(const struct krsi_causal *p, int64_t i, krs_node h);
krs_node krsi_causal_finish(const struct krsi_causal *p, krs_node h,
                            krs_node weight, krs_node bias);

#endif
