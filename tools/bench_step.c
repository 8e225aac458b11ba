/* bench_step.c -- a training step of a preset (model_step.h), from nothing to
 * a program: fresh weights, random tokens. The batch stays the same.
 */
#include "bench.h"

#include "presets.h"

#include <stdlib.h>

static krs_status
build(struct bench_step *s, const struct flags *flags, krs_error *err)
{
    double start = bench_clock();
    KRS_TRY(
        make_model_step(&s->config, flags->batch, flags->seq, &s->graph, err));
    double middle = bench_clock();
    s->graph_s = middle - start;
    krs_status status = krs_program_new(s->store, s->graph.outputs,
                                        s->graph.count, &s->program, err);
    s->program_s = bench_clock() - middle;
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
    double start = bench_clock();
    KRS_TRY(krs_store_new(device, &s->store, err));
    KRS_TRY(krs_llama_init(s->store, &s->config, 1, err));
    s->weights_s = bench_clock() - start;
    KRS_TRY(build(s, flags, err));
    return set_tokens(s, shape, err);
}

void
close_step(struct bench_step *s)
{
    krs_program_free(s->program);
    free_model_step(&s->graph);
    krs_store_free(s->store);
}
