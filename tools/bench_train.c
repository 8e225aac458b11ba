/* bench_train.c -- kersey bench train: a training step of a preset.
 *
 * In: --preset --batch --seq --steps. Out: seconds to build and compile, of
 * the first step, and of the --steps after it (else eight, and at least a
 * second); the largest memory of the process; the loss that the last step
 * found, which falls as the one batch is learnt.
 */
#include "bench.h"

#include <krs/train.h>

#include <sys/resource.h>

enum { STEPS = 8 };

struct result {
    double first_s;
    struct timing step;
    float loss;
    double rss_mb;
};

static krs_status
run_program(void *program, krs_error *err)
{
    return krs_program_run(program, err);
}

static krs_status
measure(const struct flags *f, krs_program *program, struct result *out,
        krs_error *err)
{
    bool is_given = f->given[FLAG_ID_steps];
    struct rusage usage;
    double start = bench_clock();
    KRS_TRY(krs_program_run(program, err));
    out->first_s = bench_clock() - start;
    KRS_TRY(time_runs(run_program, program, is_given ? (int)f->steps : STEPS,
                      is_given ? 0 : 1, &out->step, err));
    KRS_TRY(krs_program_read(program, KRS_STEP_LOSS, &out->loss,
                             sizeof out->loss, err));
    getrusage(RUSAGE_SELF, &usage);
    out->rss_mb = (double)usage.ru_maxrss / 1024;
    return KRS_OK;
}

static void
print_text(const struct flags *f, const struct bench_step *s,
           const struct result *r, const krs_device *device)
{
    int threads = bench_threads(device);
    printf("%s, %lld x %lld tokens, %s, %lld parameters, on %s, %d thread%s\n",
           f->preset, (long long)f->batch, (long long)f->seq, f->dtype,
           (long long)s->graph.parameters, krs_device_name(device), threads,
           threads == 1 ? "" : "s");
    printf("%-10s %9.3f s\n", "weights", s->weights_s);
    printf("%-10s %9.3f s  %u nodes\n", "graph", s->graph_s,
           (unsigned)krs_graph_size(s->graph.graph));
    printf("%-10s %9.3f s\n", "program", s->program_s);
    printf("%-10s %9.3f s\n", "first step", r->first_s);
    printf("%-10s %9.3f s  fastest %.3f of %d; %.0f tokens/s\n", "step",
           r->step.median, r->step.min, r->step.count,
           (double)(f->batch * f->seq) / r->step.median);
    printf("%-10s %9.0f MB at most\n", "memory", r->rss_mb);
    printf("%-10s %9.4f\n", "loss", (double)r->loss);
}

int
bench_train(const struct command_line *line, krs_device *device)
{
    const struct flags *f = &line->flags;
    struct bench_step step;
    struct result r;
    krs_error err;
    krs_status status = open_step(device, f, &step, &err);
    if (status == KRS_OK)
        status = measure(f, step.program, &r, &err);
    int code = EXIT_OK;
    if (status != KRS_OK)
        code = complain(&err);
    else if (!f->json)
        print_text(f, &step, &r, device);
    else
        code = print_json_line(json_pack(
            "{s:s, s:I, s:I, s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "preset",
            f->preset, "batch", (json_int_t)f->batch, "seq", (json_int_t)f->seq,
            "dtype", f->dtype, "threads", bench_threads(device), "compile_s",
            step.graph_s + step.program_s, "step_s_min", r.step.min,
            "step_s_median", r.step.median, "tok_s",
            (double)(f->batch * f->seq) / r.step.median, "peak_rss_mb",
            r.rss_mb, "loss", (double)r.loss));
    close_step(&step);
    return code;
}
