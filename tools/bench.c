/* bench.c -- kersey bench: how fast it is.
 *
 *   gemm     one matrix product
 *   attention  one attention, forward, and forward and backward
 *   train    a whole training step of a preset
 *   decode   a preset that reads prompts and generates with its cache
 *   tokenize text to ids
 *   graph    any graph, whole
 *   compile  from a graph to a program that is ready, cold and with a cache
 *
 * In: sizes as flags. Out: the fastest and the median of runs that are equal
 * and warm, on stdout. Every run does all of the work again; nothing is
 * subtracted.
 */
#include "bench.h"

#include "presets.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double
bench_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int
compare_numbers(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

krs_status
time_runs(timed_run *run, void *context, int least, double seconds,
          struct timing *out, krs_error *err)
{
    double *times = malloc(MOST_RUNS * sizeof *times);
    if (!times)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %d times", MOST_RUNS);
    krs_status status = KRS_OK;
    double begin = bench_clock(), end = begin;
    int count = 0;
    while (status == KRS_OK && count < MOST_RUNS &&
           (count < least || end - begin < seconds)) {
        double start = bench_clock();
        status = run(context, err);
        end = bench_clock();
        times[count++] = end - start;
    }
    qsort(times, (size_t)count, sizeof *times, compare_numbers);
    *out = (struct timing){times[0], times[count / 2], count};
    free(times);
    return status;
}

static krs_status
run_program(void *program, krs_error *err)
{
    return krs_program_run(program, err);
}

krs_status
bench_set_random(krs_program *program, const char *name, krs_dtype dtype,
                 int64_t count, uint32_t stream, krs_error *err)
{
    size_t bytes, wide;
    float *values = NULL;
    void *data = NULL;
    if (krs_dtype_bytes(dtype, count, &bytes) &&
        krs_dtype_bytes(KRS_F32, count, &wide)) {
        values = malloc(wide);
        data = malloc(bytes);
    }
    krs_status status = KRS_OK;
    if (!values || !data)
        status = krs_fail(err, KRS_E_MEMORY, "no memory for %lld elements",
                          (long long)count);
    if (status == KRS_OK) {
        krs_random_fill_normal(values, (size_t)count, 1, 1, 0, stream);
        status = krs_convert(dtype, data, KRS_F32, values, (size_t)count, err);
    }
    if (status == KRS_OK)
        status = krs_program_set_input(program, name, data, bytes, err);
    free(values);
    free(data);
    return status;
}

krs_status
bench_program(krs_program *program, double seconds, struct timing *out,
              krs_error *err)
{
    for (int i = 0; i < 3; i++)
        KRS_TRY(krs_program_run(program, err));
    return time_runs(run_program, program, 5, seconds, out, err);
}

int
print_json_line(json_t *object)
{
    int written = object ? json_dumpf(object, stdout, JSON_COMPACT) : -1;
    json_decref(object);
    printf("\n");
    if (written == 0)
        return EXIT_OK;
    krs_error err;
    krs_fail(&err, KRS_E_IO, "cannot write the result as JSON");
    return complain(&err);
}

int
bench_threads(const krs_device *device)
{
    krs_device_info info = {.struct_size = sizeof info};
    return krs_device_describe(device, &info, NULL) == KRS_OK
               ? (int)info.threads
               : 1;
}

static int
check_float(const struct flags *f)
{
    krs_dtype dtype;
    if (!krs_dtype_parse(f->dtype, &dtype) || !krs_dtype_is_float(dtype))
        return complain_usage("--dtype %s: expected f32, bf16 or f16",
                              f->dtype);
    return EXIT_OK;
}

static int
check_step(const struct flags *f)
{
    krs_model_config config;
    if (!find_preset(f->preset, f->seq, &config))
        return refuse_preset(f->preset, "no preset");
    if (strcmp(f->dtype, "f32") != 0)
        return complain_usage("--dtype %s: training steps are f32 only",
                              f->dtype);
    if (f->given[FLAG_ID_steps] && (f->steps < 1 || f->steps > MOST_RUNS))
        return complain_usage("--steps %lld: expected 1 to %d",
                              (long long)f->steps, MOST_RUNS);
    return EXIT_OK;
}

static const struct {
    const char *name;
    int (*check)(const struct flags *flags); /* NULL: nothing to check */
    int (*run)(const struct command_line *line, krs_device *device);
    int (*run_alone)(const struct command_line *line); /* opens what it needs */
} benches[] = {
    {"gemm",      check_float,    bench_gemm,      NULL          },
    {"attention", check_float,    bench_attention, NULL          },
    {"train",     check_step,     bench_train,     NULL          },
    {"decode",    check_decode,   bench_decode,    NULL          },
    {"graph",     NULL,           bench_graph,     NULL          },
    {"compile",   check_step,     NULL,            bench_compile },
    {"tokenize",  check_tokenize, NULL,            bench_tokenize},
};
enum { BENCH_COUNT = sizeof benches / sizeof *benches };

static const char *
name_of_bench(int i, const void *context)
{
    (void)context;
    return benches[i].name;
}

int
command_bench(const struct command_line *line)
{
    const char *name = line->operands[0];
    int found = 0;
    while (found < BENCH_COUNT && strcmp(benches[found].name, name) != 0)
        found++;
    if (found == BENCH_COUNT) {
        int near = nearest(name, BENCH_COUNT, name_of_bench, NULL);
        return complain_usage("there is no benchmark \"%s\"; %s %s?", name,
                              near >= 0 ? "did you mean" : "how about",
                              benches[near >= 0 ? near : 0].name);
    }
    bool takes_file = benches[found].run == bench_graph;
    if (takes_file != (line->operand_count == 2))
        return takes_file
                   ? complain_usage("graph needs a FILE, a model or a preset")
                   : complain_usage("%s takes no \"%s\"", name,
                                    line->operands[1]);
    krs_device *device;
    int code =
        benches[found].check ? benches[found].check(&line->flags) : EXIT_OK;
    if (code != EXIT_OK)
        return code;
    if (benches[found].run_alone)
        return benches[found].run_alone(line);
    code = open_device(line, &device);
    if (code != EXIT_OK)
        return code;
    code = benches[found].run(line, device);
    krs_device_close(device);
    return code;
}
