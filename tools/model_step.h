/* model_step.h -- a training step of a model as a graph. */
#ifndef KERSEY_MODEL_STEP_H
#define KERSEY_MODEL_STEP_H

#include <krs/model.h>

struct model_step {
    krs_causal_model model; /* of a decoder-only one; borrows the config */
    bool is_causal;
    krs_graph *graph;
    krs_node logits;   /* of another */
    krs_node *outputs; /* KRS_STEP_LOSS, ..., the updates (krs/train.h) */
    size_t count;
    int64_t parameters;       /* elements */
    uint64_t parameter_bytes; /* of the states that are no moments */
};

/* make_model_step(config, batch, seq, step, err) -- the loss of batch x seq
 * tokens, gradients, AdamW on every parameter without clipping. Inputs: ids and
 * targets of a decoder-only model, else those of krs_model_outputs. The config outlives the step. free_model_step after it, whatever
 * it gave. */
krs_status make_model_step(const krs_model_config *config, int64_t batch,
                           int64_t seq, struct model_step *out, krs_error *err);
/* set_model_batch(program, config, batch, seq, err) -- random tokens as the
 * inputs of a program of the step; 15 of 100 are scored by an encoder. */
krs_status set_model_batch(krs_program *program, const krs_model_config *config,
                           int64_t batch, int64_t seq, krs_error *err);
void free_model_step(struct model_step *step);

#endif
