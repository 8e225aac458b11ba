/* bench_step.c -- a training step of a preset (model_step.h), from nothing to
 * a program: fresh weights, random tokens. The batch stays the same.
 */
#include "bench.h"

#include "presets.h"

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

krs_status
open_step(krs_device *device, const struct flags *flags, struct bench_step *s,
          krs_error *err)
{
    *s = (struct bench_step){.store = NULL};
    find_preset(flags->preset, flags->seq, &s->config);
    double start = bench_clock();
    KRS_TRY(krs_store_new(device, &s->store, err));
    KRS_TRY(krs_model_init(s->store, &s->config, 1, err));
    s->weights_s = bench_clock() - start;
    KRS_TRY(build(s, flags, err));
    return set_model_batch(s->program, &s->config, flags->batch, flags->seq,
                           err);
}

void
close_step(struct bench_step *s)
{
    krs_program_free(s->program);
    free_model_step(&s->graph);
    krs_store_free(s->store);
}
