/* model_step.c -- a training step of a LLaMA as a graph.
 *
 * In: sizes of the model and of the batch. Out: loss, gradients and AdamW
 * updates, as the scripts of other systems do in one step; nothing is
 * allocated on a device. Bench runs it, plan counts its bytes.
 */
#include "model_step.h"

#include <krs/train.h>

#include <stdlib.h>

static krs_optimizer
choose_optimizer(void)
{
    krs_optimizer o = krs_optimizer_default();
    o.learning_rate = 3e-4;
    o.max_grad_norm = 0;
    o.schedule.kind = KRS_SCHEDULE_CONSTANT;
    return o;
}

static krs_status
add_updates(struct model_step *s, krs_node loss, const krs_node *parameters,
            size_t count, krs_error *err)
{
    size_t capacity =
        KRS_STEP_UPDATES + 1 + count * (1 + KRS_OPTIMIZER_MOMENTS_MAX);
    const krs_optimizer optimizer = choose_optimizer();
    s->outputs = calloc(capacity, sizeof *s->outputs);
    if (!s->outputs)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu outputs",
                        capacity);
    krs_train_step(loss, parameters, count, &optimizer, s->outputs, capacity,
                   &s->count);
    return krs_graph_check(s->graph, err);
}

krs_status
make_model_step(const krs_llama_config *config, int64_t batch, int64_t seq,
                struct model_step *s, krs_error *err)
{
    krs_node *parameters;
    size_t count;
    krs_shape shape = KRS_SHAPE(batch, seq);
    *s = (struct model_step){.model = krs_llama_model(config),
                             .graph = krs_graph_new()};
    if (!s->graph)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    krs_node ids = krs_input(s->graph, "ids", KRS_I64, shape);
    krs_node targets = krs_input(s->graph, "targets", KRS_I64, shape);
    krs_node loss = krs_train_causal_loss(&s->model, s->graph, ids, targets);
    KRS_TRY(krs_nn_trainable(s->graph, &parameters, &count, err));
    for (size_t i = 0; i < count; i++) {
        int64_t elements = 0;
        size_t bytes = 0;
        krs_shape_elements(krs_node_shape(parameters[i]), &elements);
        krs_dtype_bytes(krs_node_dtype(parameters[i]), elements, &bytes);
        s->parameters += elements;
        s->parameter_bytes += bytes;
    }
    krs_status status = add_updates(s, loss, parameters, count, err);
    free(parameters);
    return status;
}

void
free_model_step(struct model_step *step)
{
    free(step->outputs);
    krs_graph_free(step->graph);
}
