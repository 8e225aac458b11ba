/* bench_step.c -- a training step of a preset, from nothing to a program.
 *
 * Fresh weights, the mean next-token loss of B x T random tokens, gradients,
 * AdamW on every parameter without clipping: what the scripts of other
 * systems do in one step. The batch stays the same.
 */
#include "bench.h"

#include "presets.h"

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
make_program(struct bench_step *s, krs_node loss, const krs_node *parameters,
             size_t count, double start, krs_error *err)
{
    size_t made, capacity = KRS_STEP_UPDATES + 1 +
                            count * (1 + KRS_OPTIMIZER_MOMENTS_MAX);
    const krs_optimizer optimizer = choose_optimizer();
    krs_node *outputs = calloc(capacity, sizeof *outputs);
    if (!outputs)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu outputs",
                        capacity);
    krs_status status = krs_train_step(loss, parameters, count, &optimizer,
                                       outputs, capacity, &made);
    if (status != KRS_OK)
        krs_graph_check(s->graph, err);
    double middle = bench_clock();
    s->graph_s = middle - start;
    if (status == KRS_OK)
        status = krs_program_new(s->store, outputs, made, &s->program, err);
    s->program_s = bench_clock() - middle;
    free(outputs);
    return status;
}

static krs_status
build(struct bench_step *s, krs_shape shape, krs_error *err)
{
    krs_node *parameters;
    size_t count;
    double start = bench_clock();
    s->graph = krs_graph_new();
    if (!s->graph)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    krs_node ids = krs_input(s->graph, "ids", KRS_I64, shape);
    krs_node targets = krs_input(s->graph, "targets", KRS_I64, shape);
    krs_node loss = krs_train_causal_loss(&s->model, s->graph, ids, targets);
    KRS_TRY(krs_nn_parameters(s->graph, &parameters, &count, err));
    for (size_t i = 0; i < count; i++) {
        int64_t elements = 0;
        krs_shape_elements(krs_node_shape(parameters[i]), &elements);
        s->parameters += elements;
    }
    krs_status status = make_program(s, loss, parameters, count, start, err);
    free(parameters);
    return status;
}

static krs_status
set_tokens(struct bench_step *s, krs_shape shape, krs_error *err)
{
    static const char *const names[] = {"ids", "targets"};
    int64_t count = shape.dim[0] * shape.dim[1];
    int64_t *tokens = malloc((size_t)count * sizeof *tokens);
    krs_status status = KRS_OK;
    if (!tokens)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %lld tokens",
                        (long long)count);
    for (uint32_t stream = 0; status == KRS_OK && stream < 2; stream++) {
        for (int64_t i = 0; i < count; i++)
            tokens[i] = (int64_t)krs_random_u32(1, 0, stream, (uint64_t)i) %
                        s->config.vocab_size;
        status = krs_program_set_input(s->program, names[stream], tokens,
                                       (size_t)count * sizeof *tokens, err);
    }
    free(tokens);
    return status;
}

krs_status
open_step(krs_device *device, const struct flags *flags, struct bench_step *s,
          krs_error *err)
{
    krs_shape shape = KRS_SHAPE(flags->batch, flags->seq);
    *s = (struct bench_step){.store = NULL};
    find_preset(flags->preset, flags->seq, &s->config);
    s->model = krs_llama_model(&s->config);
    double start = bench_clock();
    KRS_TRY(krs_store_new(device, &s->store, err));
    KRS_TRY(krs_llama_init(s->store, &s->config, 1, err));
    s->weights_s = bench_clock() - start;
    KRS_TRY(build(s, shape, err));
    return set_tokens(s, shape, err);
}

void
close_step(struct bench_step *s)
{
    krs_program_free(s->program);
    krs_graph_free(s->graph);
    krs_store_free(s->store);
}
