/* bench_gemm.c -- kersey bench gemm: y[M,N] = a[M,K] b[K,N].
 *
 * In: --m --n --k, --dtype, --ta and --tb for operands that lie transposed.
 * Out: seconds of one run of the program, from its inputs in memory to its
 * output in memory, and 2 M N K over the median. Operands are normal random
 * numbers; after three runs to warm up it is run for a second, at least five
 * times.
 */
#include "bench.h"

#define SECONDS 1.0

static krs_node
make_product(krs_graph *g, const struct flags *f, krs_dtype dtype)
{
    krs_shape a = f->ta ? KRS_SHAPE(f->k, f->m) : KRS_SHAPE(f->m, f->k);
    krs_shape b = f->tb ? KRS_SHAPE(f->n, f->k) : KRS_SHAPE(f->k, f->n);
    krs_node x = krs_input(g, "a", dtype, a), w = krs_input(g, "b", dtype, b);
    if (f->ta && f->tb) /* a^T b^T, without a copy */
        return krs_matmul_tn(x, krs_transpose(w, 0, 1));
    return f->ta   ? krs_matmul_tn(x, w)
           : f->tb ? krs_matmul_nt(x, w)
                   : krs_matmul(x, w);
}

static krs_status
measure(const struct flags *f, krs_dtype dtype, krs_store *store, krs_graph *g,
        struct timing *out, krs_error *err)
{
    krs_program *program = NULL;
    krs_node y = make_product(g, f, dtype);
    KRS_TRY(krs_graph_check(g, err)); /* bounds the products below */
    KRS_TRY(krs_program_new(store, &y, 1, &program, err));
    krs_status status =
        bench_set_random(program, "a", dtype, f->m * f->k, 1, err);
    if (status == KRS_OK)
        status = bench_set_random(program, "b", dtype, f->k * f->n, 2, err);
    if (status == KRS_OK)
        status = bench_program(program, SECONDS, out, err);
    krs_program_free(program);
    return status;
}

static int
print_result(const struct flags *f, int threads, const struct timing *timing)
{
    double gflops =
        2 * (double)f->m * (double)f->n * (double)f->k / timing->median * 1e-9;
    if (!f->json) {
        printf("%s %lld x %lld x %lld%s%s, %d thread%s: %.6f s, fastest %.6f "
               "of %d; %.1f GFLOP/s\n",
               f->dtype, (long long)f->m, (long long)f->n, (long long)f->k,
               f->ta ? ", a transposed" : "", f->tb ? ", b transposed" : "",
               threads, threads == 1 ? "" : "s", timing->median, timing->min,
               timing->count, gflops);
        return EXIT_OK;
    }
    return print_json_line(json_pack(
        "{s:I, s:I, s:I, s:s, s:b, s:b, s:i, s:f, s:f, s:f}", "m",
        (json_int_t)f->m, "n", (json_int_t)f->n, "k", (json_int_t)f->k, "dtype",
        f->dtype, "ta", f->ta, "tb", f->tb, "threads", threads, "seconds_min",
        timing->min, "seconds_median", timing->median, "gflops", gflops));
}

int
bench_gemm(const struct command_line *line, krs_device *device)
{
    const struct flags *f = &line->flags;
    krs_dtype dtype = KRS_F32;
    krs_store *store = NULL;
    struct timing timing;
    krs_error err;
    krs_dtype_parse(f->dtype, &dtype);
    krs_graph *g = krs_graph_new();
    krs_status status =
        g ? krs_store_new(device, &store, &err)
          : krs_fail(&err, KRS_E_MEMORY, "no memory for a graph");
    if (status == KRS_OK)
        status = measure(f, dtype, store, g, &timing, &err);
    krs_graph_free(g);
    krs_store_free(store);
    return status == KRS_OK ? print_result(f, bench_threads(device), &timing)
                            : complain(&err);
}
