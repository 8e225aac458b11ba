/* model_step.h -- a training step of a LLaMA as a graph. */
#ifndef KERSEY_MODEL_STEP_H
#define KERSEY_MODEL_STEP_H

#include <krs/llama.h>

struct model_step {
    krs_causal_model model; /* borrows the config */
    krs_graph *graph;
    krs_node *outputs; /* KRS_STEP_LOSS, ..., the updates (krs/train.h) */
    size_t count;
    int64_t parameters;       /* elements */
    uint64_t parameter_bytes; /* of the states that are no moments */
};

/* make_model_step(config, batch, seq, step, err) -- the mean next-token loss
 * of batch x seq ids and targets, gradients, AdamW on every parameter without
 * clipping. The config outlives the step. free_model_step after it, whatever
 * it gave. */
krs_status make_model_step(const krs_llama_config *config, int64_t batch,
                           int64_t seq, struct model_step *out, krs_error *err);
void free_model_step(struct model_step *step);

#endif
