/* model_step.c -- a training step of a model as a graph.
 *
 * In: sizes of the model and of the batch. Out: loss, gradients and AdamW
 * updates, as the scripts of other systems do in one step; nothing is
 * allocated on a device. Bench runs it, plan counts its bytes.
 */
#include "model_step.h"

#include <krs/random.h>
#include <krs/train.h>

#include <stdlib.h>
#include <string.h>

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

/* The loss of a model that is no decoder alone, and its logits. */
static krs_status
add_outputs(struct model_step *s, const krs_model_config *config, int64_t batch,
            int64_t seq, krs_node *loss, krs_error *err)
{
    const krs_model_sizes sizes = {batch, seq, seq};
    krs_model_output *results;
    size_t count;
    KRS_TRY(krs_model_outputs(s->graph, config, &sizes, &results, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(results[i].name, "loss") == 0)
            *loss = results[i].node;
        if (strcmp(results[i].name, "logits") == 0 ||
            strcmp(results[i].name, "prediction_logits") == 0)
            s->logits = results[i].node;
    }
    free(results);
    if (loss->graph != NULL)
        return KRS_OK;
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "a model of class %s has no loss to train",
                    krs_architecture_class(config->architecture));
}

static krs_status
add_loss(struct model_step *s, const krs_model_config *config, int64_t batch,
         int64_t seq, krs_node *loss, krs_error *err)
{
    krs_shape shape = KRS_SHAPE(batch, seq);
    krs_error none;
    s->is_causal = krs_model_causal(config, &s->model, &none) == KRS_OK;
    if (!s->is_causal)
        return add_outputs(s, config, batch, seq, loss, err);
    krs_node ids = krs_input(s->graph, "ids", KRS_I64, shape);
    krs_node targets = krs_input(s->graph, "targets", KRS_I64, shape);
    *loss = krs_train_causal_loss(&s->model, s->graph, ids, targets);
    return KRS_OK;
}

krs_status
make_model_step(const krs_model_config *config, int64_t batch, int64_t seq,
                struct model_step *s, krs_error *err)
{
    krs_node *parameters, loss = KRS_NONE;
    size_t count;
    *s = (struct model_step){.graph = krs_graph_new()};
    if (!s->graph)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    KRS_TRY(add_loss(s, config, batch, seq, &loss, err));
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

/* ---- a batch ---- */

/* How an input is filled: below is 0, or ids are drawn below it. */
struct filling {
    const char *name;
    int64_t below, per_row;
    double scored; /* part of the labels that count */
};

static krs_status
fill_input(krs_program *program, const struct filling *f, int64_t batch,
           uint32_t stream, krs_error *err)
{
    size_t count = (size_t)(batch * f->per_row);
    int64_t *ids = malloc(count * sizeof *ids + 1);
    if (!ids)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu tokens", count);
    for (size_t i = 0; i < count; i++) {
        double u = (double)krs_random_u32(1, 1, stream, i) / 4294967296.0;
        int64_t id = (int64_t)krs_random_u32(1, 0, stream, i);
        ids[i] = f->below > 0 ? id % f->below : 0;
        if (u >= f->scored)
            ids[i] = -100;
    }
    krs_status status =
        krs_program_set_input(program, f->name, ids, count * sizeof *ids, err);
    free(ids);
    return status;
}

static krs_status
fill_mask(krs_program *program, int64_t count, krs_error *err)
{
    bool *mask = malloc((size_t)count + 1);
    if (!mask)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a mask");
    memset(mask, true, (size_t)count);
    krs_status status = krs_program_set_input(program, "attention_mask", mask,
                                              (size_t)count, err);
    free(mask);
    return status;
}

krs_status
set_model_batch(krs_program *program, const krs_model_config *c, int64_t batch,
                int64_t seq, krs_error *err)
{
    int64_t V = krs_model_vocabulary(c);
    const struct filling causal[] =
        {
            {"ids",     V, seq, 1},
            {"targets", V, seq, 1}
    },
                         bert[] = {{"input_ids", V, seq, 1},
                                   {"token_type_ids", 0, seq, 1},
                                   {"labels", V, seq, 0.15},
                                   {"next_sentence_label", 2, 1, 1}},
                         encdec[] = {{"input_ids", V, seq, 1},
                                     {"decoder_input_ids", V, seq, 1},
                                     {"labels", V, seq, 1}};
    const struct filling *list = causal;
    uint32_t count = 2;
    krs_family family = krs_architecture_family(c->architecture);
    if (family == KRS_FAMILY_BERT) {
        list = bert;
        count = 4;
    }
    if (family == KRS_FAMILY_ENCDEC) {
        list = encdec;
        count = 3;
    }
    for (uint32_t i = 0; i < count; i++)
        KRS_TRY(fill_input(program, &list[i], batch, i, err));
    return list == causal ? KRS_OK : fill_mask(program, batch * seq, err);
}

void
free_model_step(struct model_step *step)
{
    free(step->outputs);
    krs_graph_free(step->graph);
}
