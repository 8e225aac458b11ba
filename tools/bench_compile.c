/* bench_compile.c -- kersey bench compile: from a graph to a program that is
 * ready, without and with compiled code on disk.
 *
 * In: --preset --batch --seq: its training step. Out: seconds to build the
 * graph, to make a program with an empty cache (cold) and with a full one on
 * a device opened anew (warm), launches and kernels. The cache is a temporary
 * folder.
 */
#include "bench.h"

struct result {
    double graph_s, cold_s, warm_s;
    size_t launches, kernels;
};

static void
count_launches(const krs_program *program, struct result *r)
{
    krs_launch_info info = {.struct_size = sizeof info};
    r->launches = r->kernels = 0;
    while (krs_program_launch(program, r->launches, &info, NULL) == KRS_OK) {
        r->launches++;
        if (info.kernel >= r->kernels)
            r->kernels = info.kernel + 1;
    }
}

static int
compile_once(const struct command_line *line, const char *cache,
             double *seconds, struct result *r)
{
    krs_device *device;
    struct bench_step step;
    krs_error err;
    int code = open_device_cached(line, cache, &device);
    if (code != EXIT_OK)
        return code;
    if (open_step(device, &line->flags, &step, &err) == KRS_OK) {
        r->graph_s = step.graph_s;
        *seconds = step.program_s;
        count_launches(step.program, r);
    } else {
        code = complain(&err);
    }
    close_step(&step);
    krs_device_close(device);
    return code;
}

int
bench_compile(const struct command_line *line)
{
    const struct flags *f = &line->flags;
    const char *cache;
    struct result r;
    krs_error err;
    if (make_temporary(&cache, &err))
        return complain(&err);
    int code = compile_once(line, cache, &r.cold_s, &r);
    if (code == EXIT_OK)
        code = compile_once(line, cache, &r.warm_s, &r);
    if (code != EXIT_OK)
        return code;
    if (f->json)
        return print_json_line(
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "preset",
                      f->preset, "batch", (json_int_t)f->batch, "seq",
                      (json_int_t)f->seq, "launches", (json_int_t)r.launches,
                      "kernels", (json_int_t)r.kernels, "graph_s", r.graph_s,
                      "cold_s", r.cold_s, "warm_s", r.warm_s));
    printf("%s, %lld x %lld tokens: graph %.3f s; program of %zu launches of "
           "%zu kernels %.3f s, from the cache %.3f s\n",
           f->preset, (long long)f->batch, (long long)f->seq, r.graph_s,
           r.launches, r.kernels, r.cold_s, r.warm_s);
    return EXIT_OK;
}
