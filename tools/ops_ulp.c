/* ops_ulp.c -- kersey ops --ulp: how far the mathematical functions are from
 * the truth.
 *
 * In: the functions of the kernel language with their stated largest errors
 * (krs/kernel.h). Out: for each that is an operation, the largest error that
 * samples show when a program computes it on the device, in units in the last
 * place of the exact value, and where it is: all numbers of f16 and bf16, and
 * 2^20 of f32 or as many as --samples says, up to all of them (ulp_sweep.c).
 *
 * EXIT_SHORT if one is farther off than stated. The bounds are for one
 * rounding of a product and a sum where the device has that, else for two.
 */
#include "ops.h"
#include "ulp.h"

#include <krs/kernel.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A function as a program. */
struct run {
    krs_graph *graph;
    krs_store *store;
    krs_program *program;
};

static void
close_run(struct run *run)
{
    krs_program_free(run->program);
    krs_store_free(run->store);
    krs_graph_free(run->graph);
}

static krs_status
open_run(krs_device *device, const struct ulp_function *f, struct run *run,
         krs_error *err)
{
    krs_shape shape = KRS_SHAPE(ULP_BATCH);
    krs_graph *g = run->graph = krs_graph_new();
    if (!g)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    krs_node x = krs_input(g, "x", KRS_F32, shape);
    krs_node out = f->build ? f->build(KRS_HERE, x)
                            : krs_pow(x, krs_input(g, "y", KRS_F32, shape));
    KRS_TRY(krs_graph_check(g, err));
    KRS_TRY(krs_store_new(device, &run->store, err));
    return krs_program_new(run->store, &out, 1, &run->program, err);
}

/* The samples that were drawn, computed and compared. */
static krs_status
compare(const struct ulp_function *f, const struct run *run,
        const struct ulp_samples *s, struct ulp_worst *worst, krs_error *err)
{
    const size_t bytes = ULP_BATCH * sizeof(float);
    KRS_TRY(krs_program_set_input(run->program, "x", s->x, bytes, err));
    if (!f->build)
        KRS_TRY(krs_program_set_input(run->program, "y", s->y, bytes, err));
    KRS_TRY(krs_program_run(run->program, err));
    KRS_TRY(krs_program_read(run->program, 0, s->out, bytes, err));
    ulp_find_worst(f, s, worst);
    return KRS_OK;
}

static krs_status
sweep(krs_device *device, const struct ulp_function *f, int power,
      const struct ulp_samples *s, struct ulp_worst *worst, krs_error *err)
{
    struct run run = {NULL, NULL, NULL};
    *worst = (struct ulp_worst){.ulp = -1};
    krs_status status = open_run(device, f, &run, err);
    if (status == KRS_OK)
        status = ulp_draw_halves(s, err);
    if (status == KRS_OK)
        status = compare(f, &run, s, worst, err);
    for (uint64_t at = 0; status == KRS_OK && at >> power == 0;
         at += ULP_BATCH) {
        ulp_draw(f, power, at, s);
        status = compare(f, &run, s, worst, err);
    }
    close_run(&run);
    return status;
}

/* JSON has no infinities. */
static json_t *
number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *
describe(const struct ulp_function *f, const krs_kmath_info *info,
         double stated, const struct ulp_worst *w)
{
    json_t *row =
        json_pack("{s:s, s:s, s:f, s:o, s:o, s:o, s:o}", "name", info->name,
                  "definition", info->text, "stated_ulp", stated,
                  "measured_ulp", number(w->ulp), "x", number((double)w->x),
                  "got", number((double)w->got), "exact", number(w->exact));
    if (row && !f->build)
        json_object_set_new(row, "y", number((double)w->y));
    return row;
}

static void
print_row(const struct ulp_function *f, const krs_kmath_info *info,
          double stated, const struct ulp_worst *w)
{
    printf("%-8s %6.2f %9.3f  %s(%.9g", info->name, stated, w->ulp, info->name,
           (double)w->x);
    if (!f->build)
        printf(", %.9g", (double)w->y);
    printf(") = %.9g, exactly %.12g\n", (double)w->got, w->exact);
}

/* Every function, or the one of --only; rows of --json go into the list, unless
 * it is NULL. */
static krs_status
measure(krs_device *device, const char *only, int power,
        const struct ulp_samples *s, json_t *list, int *out_short,
        krs_error *err)
{
    krs_kmath_info info;
    krs_device_info about = {.struct_size = sizeof about};
    KRS_TRY(krs_device_describe(device, &about, err));
    if (!list)
        printf("%-8s %6s %9s  %s; the worst of 2^%d\n", "function", "stated",
               "measured", "units in the last place", power);
    for (int i = 0; krs_kmath_info_at(i, &info); i++) {
        const struct ulp_function *f = ulp_function_named(info.name);
        double stated = about.has_fma ? info.ulp : info.plain_ulp;
        struct ulp_worst worst;
        if (!f || (only && strcmp(only, info.name) != 0))
            continue; /* the first: no operation of its own */
        KRS_TRY(sweep(device, f, power, s, &worst, err));
        if (!(worst.ulp <= stated))
            ++*out_short;
        if (list)
            json_array_append_new(list, describe(f, &info, stated, &worst));
        else
            print_row(f, &info, stated, &worst);
        fflush(stdout); /* all floats take minutes */
    }
    return KRS_OK;
}

/* The power of two of --samples, -1 for none. */
static int
power_of(int64_t samples)
{
    for (int power = ULP_LEAST; power <= ULP_MOST; power++)
        if (samples == INT64_C(1) << power)
            return power;
    return -1;
}

int
print_ulps(const struct command_line *line)
{
    krs_device *device;
    krs_error err;
    const char *only = line->flags.only;
    int power = power_of(line->flags.samples), short_count = 0;
    if (power < 0)
        return complain_usage("--samples wants a power of two from 2^20 = "
                              "1048576 to 2^32 = 4294967296, not %lld",
                              (long long)line->flags.samples);
    if (only && !ulp_function_named(only))
        return complain_usage("--only %s: no function of that name; kersey ops "
                              "--ulp lists them",
                              only);
    int code = open_device(line, &device);
    if (code != EXIT_OK)
        return code;
    const size_t bytes = ULP_BATCH * sizeof(float);
    struct ulp_samples s = {malloc(bytes), malloc(bytes), malloc(bytes)};
    json_t *list = line->flags.json ? json_array() : NULL;
    krs_status status =
        s.x && s.y && s.out
            ? measure(device, only, power, &s, list, &short_count, &err)
            : krs_fail(&err, KRS_E_MEMORY, "no memory for 2^20 samples");
    if (status == KRS_OK && list)
        code = json_dumpf(list, stdout, JSON_INDENT(1)) || putchar('\n') < 0
                   ? EXIT_FAILED
                   : EXIT_OK;
    json_decref(list);
    free(s.x);
    free(s.y);
    free(s.out);
    krs_device_close(device);
    if (status != KRS_OK)
        return complain(&err);
    return code == EXIT_OK && short_count > 0 ? EXIT_SHORT : code;
}
