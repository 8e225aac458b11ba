/* bench.h -- what the benchmarks share.
 *
 * A benchmark prints what it measured for people, or with --json as one
 * object on a line. Times are seconds of CLOCK_MONOTONIC. */
#ifndef KERSEY_BENCH_H
#define KERSEY_BENCH_H

#include "command.h"

#include "model_step.h"

#include <jansson.h>

/* bench.c */

double bench_clock(void);

/* Times of equal runs. */
struct timing {
    double min, median;
    int count;
};

/* One run; context is passed on. */
typedef krs_status timed_run(void *context, krs_error *err);

enum { MOST_RUNS = 100000 };

/* time_runs(run, context, least, seconds, &timing, err) -- run until both
 * `least` runs are made and that many seconds have gone by; at most MOST_RUNS.
 * Warming up is the caller's. */
krs_status time_runs(timed_run *run, void *context, int least, double seconds,
                     struct timing *out, krs_error *err);

/* bench_set_random(program, name, dtype, count, stream, err) -- an input of so
 * many elements full of normal random numbers. */
krs_status bench_set_random(krs_program *program, const char *name,
                            krs_dtype dtype, int64_t count, uint32_t stream,
                            krs_error *err);

/* bench_program(program, seconds, &timing, err) -- its runs, after three to
 * warm up: at least five, and so many seconds. */
krs_status bench_program(krs_program *program, double seconds,
                         struct timing *out, krs_error *err);

/* print_json_line(object) -- on stdout; takes the object, NULL if there was no
 * memory for it. The exit code. */
int print_json_line(json_t *object);

/* threads of the device */
int bench_threads(const krs_device *device);

/* bench_step.c */

/* A training step of a preset as a program. */
struct bench_step {
    krs_model_config config;
    krs_store *store;
    struct model_step graph;
    krs_program *program;
    double weights_s; /* to fill them */
    double graph_s;   /* forward, backward, optimizer as a graph */
    double program_s; /* of that graph, compiled and in memory */
};

/* open_step(device, flags, step, err) -- that of --preset, --batch, --seq; the
 * preset is known. close_step after it, whatever it gave. */
krs_status open_step(krs_device *device, const struct flags *flags,
                     struct bench_step *step, krs_error *err);
void close_step(struct bench_step *step);

/* bench_gemm.c, bench_attention.c, bench_train.c, bench_graph.c,
 * bench_compile.c; the flags are checked, the
 * device is open */

int bench_gemm(const struct command_line *line, krs_device *device);
int bench_attention(const struct command_line *line, krs_device *device);
int bench_train(const struct command_line *line, krs_device *device);
int bench_graph(const struct command_line *line, krs_device *device);
/* bench_decode.c */
int check_decode(const struct flags *flags);
int bench_decode(const struct command_line *line, krs_device *device);
/* opens devices of its own */
int bench_compile(const struct command_line *line);

/* bench_tokenize.c; needs no device */

int check_tokenize(const struct flags *flags);
int bench_tokenize(const struct command_line *line);

#endif
