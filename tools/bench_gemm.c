/* bench_gemm.c -- kersey bench gemm: y[M,N] = a[M,K] b[K,N].
 *
 * In: --m --n --k, --dtype, --ta and --tb for operands that lie transposed;
 * --backward for the products of the gradient too, which a training step has
 * for every product: da = g b^T and db = a^T g of a cotangent g[M,N].
 * Out: of each, seconds of one run of the program, from its inputs in memory
 * to its output in memory, and 2 M N K over the median. Operands are normal
 * random numbers; after three runs to warm up it is run for a second, at least
 * five times.
 */
#include "bench.h"

#define SECONDS 1.0

/* y[m,n] = sum_k left[m,k] right[k,n] of operands that may lie transposed */
struct product {
    const char *name;
    int64_t m, n, k;
    bool ta, tb;
};

static krs_node
make_product(krs_graph *g, const struct product *p, krs_dtype dtype)
{
    krs_shape a = p->ta ? KRS_SHAPE(p->k, p->m) : KRS_SHAPE(p->m, p->k);
    krs_shape b = p->tb ? KRS_SHAPE(p->n, p->k) : KRS_SHAPE(p->k, p->n);
    krs_node x = krs_input(g, "a", dtype, a), w = krs_input(g, "b", dtype, b);
    if (p->ta && p->tb) /* a^T b^T, without a copy */
        return krs_matmul_tn(x, krs_transpose(w, 0, 1));
    return p->ta   ? krs_matmul_tn(x, w)
           : p->tb ? krs_matmul_nt(x, w)
                   : krs_matmul(x, w);
}

static krs_status
measure_in(krs_graph *g, const struct product *p, krs_dtype dtype,
           krs_store *store, struct timing *out, krs_error *err)
{
    krs_program *program = NULL;
    krs_node y = make_product(g, p, dtype);
    KRS_TRY(krs_graph_check(g, err)); /* bounds the products below */
    KRS_TRY(krs_program_new(store, &y, 1, &program, err));
    krs_status status =
        bench_set_random(program, "a", dtype, p->m * p->k, 1, err);
    if (status == KRS_OK)
        status = bench_set_random(program, "b", dtype, p->k * p->n, 2, err);
    if (status == KRS_OK)
        status = bench_program(program, SECONDS, out, err);
    krs_program_free(program);
    return status;
}

static krs_status
measure(const struct product *p, krs_dtype dtype, krs_store *store,
        struct timing *out, krs_error *err)
{
    krs_graph *g = krs_graph_new();
    if (!g)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    krs_status status = measure_in(g, p, dtype, store, out, err);
    krs_graph_free(g);
    return status;
}

static int
print_result(const struct flags *f, const struct product *p, int threads,
             const struct timing *timing)
{
    double gflops =
        2 * (double)p->m * (double)p->n * (double)p->k / timing->median * 1e-9;
    if (!f->json) {
        printf("%s = %s %lld x %lld x %lld%s%s, %d thread%s: %.6f s, fastest "
               "%.6f of %d; %.1f GFLOP/s\n",
               p->name, f->dtype, (long long)p->m, (long long)p->n,
               (long long)p->k, p->ta ? ", left transposed" : "",
               p->tb ? ", right transposed" : "", threads,
               threads == 1 ? "" : "s", timing->median, timing->min,
               timing->count, gflops);
        return EXIT_OK;
    }
    return print_json_line(json_pack(
        "{s:s, s:I, s:I, s:I, s:s, s:b, s:b, s:i, s:f, s:f, s:f}", "product",
        p->name, "m", (json_int_t)p->m, "n", (json_int_t)p->n, "k",
        (json_int_t)p->k, "dtype", f->dtype, "ta", p->ta, "tb", p->tb,
        "threads", threads, "seconds_min", timing->min, "seconds_median",
        timing->median, "gflops", gflops));
}

int
bench_gemm(const struct command_line *line, krs_device *device)
{
    const struct flags *f = &line->flags;
    bool ta = f->ta, tb = f->tb;
    /* a cotangent lies as y does; a gradient as its operand */
    const struct product products[] = {
        {"y",  f->m, f->n, f->k, ta,    tb   },
        ta ? (struct product){"da", f->k, f->m, f->n, tb,    true }
           : (struct product){"da", f->m, f->k, f->n, false, !tb  },
        tb ? (struct product){"db", f->n, f->k, f->m, true,  ta   }
           : (struct product){"db", f->k, f->n, f->m, !ta,   false},
    };
    krs_dtype dtype = KRS_F32;
    krs_store *store = NULL;
    struct timing timing;
    krs_error err;
    int code = EXIT_OK;
    krs_dtype_parse(f->dtype, &dtype);
    krs_status status = krs_store_new(device, &store, &err);
    for (int i = 0;
         status == KRS_OK && code == EXIT_OK && i < (f->backward ? 3 : 1);
         i++) {
        status = measure(&products[i], dtype, store, &timing, &err);
        if (status == KRS_OK)
            code =
                print_result(f, &products[i], bench_threads(device), &timing);
    }
    krs_store_free(store);
    return status == KRS_OK ? code : complain(&err);
}
