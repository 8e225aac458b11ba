/* causal.h -- what every decoder-only language model of the library offers:
 * one function that writes its forward pass into a graph. The trainer, the
 * generator (generate.h) and the tools know models by this alone.
 *
 *     krs_causal_model model = krs_llama_model(&config);
 *     krs_causal_call call = {.struct_size = sizeof call, .ids = ids,
 *                             .labels = ids};
 *     krs_causal_result result = {.struct_size = sizeof result};
 *     krs_causal_forward(g, &model, &call, &result);
 *     // result.loss, result.logits
 */
#ifndef KRS_CAUSAL_H
#define KRS_CAUSAL_H

#include <krs/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to compute. Fields left 0 (KRS_NONE) mean "without". */
typedef struct krs_causal_call {
    size_t struct_size; /* sizeof (krs_causal_call) */
    krs_node ids;       /* i64 [B, T], 0 <= id < vocabulary */

    /* bool [B, S], true where there is a token: S is T, or cache_length with a
     * cache. Padding may be left or right; what comes out at padded positions
     * means nothing. KRS_NONE: tokens everywhere. */
    krs_node attention_mask;

    /* i64 [B, T], -100: not counted. One of the two, or none for no loss:
     * logits[t] is scored against labels[t+1], or against targets[t]; the loss
     * is the mean over what counts. */
    krs_node labels;
    krs_node targets;

    /* Slots of the key/value cache; 0: none, ids are the whole text. With one,
     * ids stand at slots position .. position+T-1, see the slots before
     * theirs, and are written into the cache by result.updates. */
    int64_t cache_length;
    krs_index position; /* within [0, cache_length - T] */

    /* logits for the one position logits_at in [0, T-1] instead of all */
    bool logits_once;
    krs_index logits_at;

    /* Where to put result.hidden and result.updates: room for `layers + 1`
     * and for `2 * layers` nodes; NULL: not wanted (updates: only without a
     * cache). */
    krs_node *hidden;
    krs_node *updates;
} krs_causal_call;

typedef struct krs_causal_result {
    size_t struct_size; /* sizeof (krs_causal_result) */
    krs_node logits;    /* f32 [B, T, V]; [B, 1, V] with logits_once */
    krs_node loss;      /* f32 scalar; KRS_NONE without labels and targets. It
                           does not need the logits: programs without them
                           never hold those of a large vocabulary at once */
    /* call.hidden[i], f32 [B, T, C]: 0 the embedding output, i the state after
     * layer i, the last one after the final norm.
     * call.updates[0 .. update_count): outputs a program with a cache needs. */
    size_t update_count;
} krs_causal_result;

/* A model: its settings and its forward pass. Plain value; config is borrowed
 * and must outlive it. */
typedef struct krs_causal_model {
    const void *config;
    krs_node (*forward)(krs_graph *g, const void *config,
                        const krs_causal_call *call, krs_causal_result *result);
    int64_t vocab_size;
    int64_t layers;
    int64_t max_position_embeddings;
} krs_causal_model;

/* krs_causal_forward(g, model, call, result) -- write the forward pass into g;
 * gives result.logits. Errors as poison (graph.h): ARGUMENT for a call whose
 * struct_size is unknown, that asks for a cache without updates or has both
 * labels and targets; SHAPE for ids, mask, labels or targets that do not fit. */
KRS_API krs_node krs_causal_forward(krs_graph *g, const krs_causal_model *model,
                                    const krs_causal_call *call,
                                    krs_causal_result *result);

/* krs_causal_parameters(model, &g, &parameters, &count, err) -- the parameters
 * of the model, as states of a small graph made for the purpose. Free both:
 * free(parameters), krs_graph_free(g). */
KRS_API krs_status krs_causal_parameters(const krs_causal_model *model,
                                         krs_graph **out_graph,
                                         krs_node **out_parameters,
                                         size_t *out_count, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
