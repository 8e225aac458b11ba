/* bench_graph.c -- kersey bench graph: any graph, whole.
 *
 * In: a file in the text form of krs_graph_print ("-": stdin), or a
 * model folder or preset, whose forward pass runs on --batch times --seq ids.
 * Inputs and states are drawn, integers so that they are indices of what they
 * index; runtime integers are as large as they may be. Out: seconds of a run,
 * elements of all outputs in a second, and what all kernels read and write, each
 * element once a launch, in a second; on a device without kernels there is no
 * such figure. Updates take effect.
 */
#include "bench.h"

#include "load_graph.h"

#include <krs/check.h>

#include <stdlib.h>

#define SECONDS 1.0

struct result {
    struct timing timing;
    double elements; /* of all outputs */
    double bytes;    /* of all launches */
    size_t launches;
};

static void
count_work(const krs_program *program, size_t outputs, struct result *r)
{
    krs_launch_info info = {.struct_size = sizeof info};
    krs_dtype dtype;
    krs_shape shape;
    for (size_t i = 0; i < outputs; i++) {
        int64_t count = 0;
        if (krs_program_output(program, i, &dtype, &shape, NULL) == KRS_OK &&
            krs_shape_elements(shape, &count))
            r->elements += (double)count;
    }
    while (krs_program_launch(program, r->launches, &info, NULL) == KRS_OK) {
        r->launches++;
        r->bytes += info.bytes;
    }
}

static krs_status
measure(const struct loaded_graph *g, krs_store *store, struct result *r,
        krs_error *err)
{
    krs_program *program;
    KRS_TRY(krs_program_new(store, g->outputs, g->count, &program, err));
    krs_status status =
        krs_check_fill(program, store, g->outputs, g->count, NULL, err);
    if (status == KRS_OK)
        status = bench_program(program, SECONDS, &r->timing, err);
    if (status == KRS_OK)
        count_work(program, g->count, r);
    krs_program_free(program);
    return status;
}

static int
print_result(const struct command_line *line, int threads,
             const struct result *r)
{
    const struct timing *t = &r->timing;
    const char *path = line->operands[1];
    double elements = 1e-9 * r->elements / t->median;
    double bytes = 1e-9 * r->bytes / t->median;
    if (line->flags.json)
        return print_json_line(
            json_pack("{s:s, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "graph",
                      path, "threads", threads, "launches",
                      (json_int_t)r->launches, "elements", r->elements, "bytes",
                      r->bytes, "seconds_min", t->min, "seconds_median",
                      t->median, "gelements_s", elements, "gbytes_s", bytes));
    printf("%s, %d thread%s: %.6f s, fastest %.6f of %d; %.3f G elements/s",
           path, threads, threads == 1 ? "" : "s", t->median, t->min, t->count,
           elements);
    if (r->launches)
        printf("; %.2f GB/s in %zu launch%s", bytes, r->launches,
               r->launches == 1 ? "" : "es");
    printf("\n");
    return EXIT_OK;
}

int
bench_graph(const struct command_line *line, krs_device *device)
{
    const struct flags *f = &line->flags;
    const struct graph_sizes sizes = {.batch = f->batch, .seq = f->seq};
    struct loaded_graph g;
    struct result r = {.launches = 0};
    krs_store *store = NULL;
    krs_error err;
    krs_status status = load_graph(line->operands[1], &sizes, &g, &err);
    if (status == KRS_OK && g.count == 0)
        status = krs_fail(&err, KRS_E_ARGUMENT, "%s returns nothing",
                          line->operands[1]);
    if (status == KRS_OK)
        status = krs_store_new(device, &store, &err);
    if (status == KRS_OK)
        status = measure(&g, store, &r, &err);
    krs_store_free(store);
    free_graph(&g);
    return status == KRS_OK ? print_result(line, bench_threads(device), &r)
                            : complain(&err);
}
