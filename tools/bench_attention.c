/* bench_attention.c -- kersey bench attention: softmax(q k^T / sqrt(D)) v.
 *
 * In: --batch B, --heads H (8), --kv-heads K (H), --seq T (queries and keys),
 * --head-dim D, --dtype, --causal. Out: seconds of one forward run, and of one
 * run that computes the output and, from a cotangent, the gradients of q, k and
 * v; and the rate of products: 4 B H T T D forward, 10 B H T T D backward (five
 * products; half of all that if causal), whatever the kernels compute again.
 */
#include "bench.h"

#define SECONDS 1.0

struct attention {
    int64_t B, H, K, T, D;
    krs_dtype dtype;
    bool causal;
};

static struct attention
sizes_of(const struct flags *f)
{
    struct attention a = {.B = f->batch,
                          .H = f->given[FLAG_ID_heads] ? f->heads : 8,
                          .T = f->seq,
                          .D = f->head_dim,
                          .causal = f->causal};
    a.K = f->given[FLAG_ID_kv_heads] ? f->kv_heads : a.H;
    krs_dtype_parse(f->dtype, &a.dtype);
    return a;
}

/* The output, then the three gradients. */
static krs_status
build(const struct attention *a, krs_graph *g, krs_node outputs[4],
      krs_error *err)
{
    krs_shape rows = KRS_SHAPE(a->B, a->H, a->T, a->D);
    krs_shape keys = KRS_SHAPE(a->B, a->K, a->T, a->D);
    const krs_node in[3] = {krs_input(g, "q", a->dtype, rows),
                            krs_input(g, "k", a->dtype, keys),
                            krs_input(g, "v", a->dtype, keys)};
    krs_node cotangent = krs_input(g, "cotangent", KRS_F32, rows);
    krs_attention_options o = {.struct_size = sizeof o, .causal = a->causal};
    outputs[0] = krs_attention(in[0], in[1], in[2], KRS_NONE, &o);
    krs_node dot = krs_mul(krs_cast(outputs[0], KRS_F32), cotangent);
    if (krs_graph_check(g, err) == KRS_OK)
        krs_grad(krs_sum(dot, KRS_ALL_AXES), in, 3, outputs + 1);
    return krs_graph_check(g, err);
}

/* Times of a program with the first `count` of the outputs. */
static krs_status
measure(const struct attention *a, krs_store *store, const krs_node *outputs,
        size_t count, struct timing *out, krs_error *err)
{
    krs_program *program = NULL;
    int64_t rows = a->B * a->H * a->T * a->D, keys = a->B * a->K * a->T * a->D;
    KRS_TRY(krs_program_new(store, outputs, count, &program, err));
    krs_status status = bench_set_random(program, "q", a->dtype, rows, 1, err);
    if (status == KRS_OK)
        status = bench_set_random(program, "k", a->dtype, keys, 2, err);
    if (status == KRS_OK)
        status = bench_set_random(program, "v", a->dtype, keys, 3, err);
    if (status == KRS_OK)
        status = bench_set_random(program, "cotangent", KRS_F32, rows, 4, err);
    if (status == KRS_OK)
        status = bench_program(program, SECONDS, out, err);
    krs_program_free(program);
    return status;
}

static int
print_result(const struct flags *f, const struct attention *a, int threads,
             const struct timing *forward, const struct timing *both)
{
    double products = (double)a->B * (double)a->H * (double)a->T *
                      (double)a->T * (double)a->D * (a->causal ? 0.5 : 1);
    double forward_rate = 4e-9 * products / forward->median;
    double both_rate = 14e-9 * products / both->median;
    const char *dtype = krs_dtype_name(a->dtype);
    if (f->json)
        return print_json_line(json_pack(
            "{s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:i, s:f, s:f, s:f, s:f, "
            "s:f, s:f}",
            "batch", (json_int_t)a->B, "heads", (json_int_t)a->H, "kv_heads",
            (json_int_t)a->K, "seq", (json_int_t)a->T, "head_dim",
            (json_int_t)a->D, "dtype", dtype, "causal", a->causal, "threads",
            threads, "forward_s_min", forward->min, "forward_s_median",
            forward->median, "forward_gflops", forward_rate, "both_s_min",
            both->min, "both_s_median", both->median, "both_gflops",
            both_rate));
    printf("attention %s, B %lld, H %lld, K %lld, T %lld, D %lld%s, %d "
           "thread%s\n",
           dtype, (long long)a->B, (long long)a->H, (long long)a->K,
           (long long)a->T, (long long)a->D, a->causal ? ", causal" : "",
           threads, threads == 1 ? "" : "s");
    printf("%-22s %.6f s, fastest %.6f of %d; %.1f GFLOP/s\n", "forward",
           forward->median, forward->min, forward->count, forward_rate);
    printf("%-22s %.6f s, fastest %.6f of %d; %.1f GFLOP/s\n",
           "forward and backward", both->median, both->min, both->count,
           both_rate);
    return EXIT_OK;
}

int
bench_attention(const struct command_line *line, krs_device *device)
{
    const struct flags *f = &line->flags;
    const struct attention a = sizes_of(f);
    krs_store *store = NULL;
    struct timing forward, both;
    krs_node outputs[4];
    krs_error err;
    krs_graph *g = krs_graph_new();
    krs_status status =
        g ? krs_store_new(device, &store, &err)
          : krs_fail(&err, KRS_E_MEMORY, "no memory for a graph");
    if (status == KRS_OK)
        status = build(&a, g, outputs, &err);
    if (status == KRS_OK)
        status = measure(&a, store, outputs, 1, &forward, &err);
    if (status == KRS_OK)
        status = measure(&a, store, outputs, 4, &both, &err);
    krs_graph_free(g);
    krs_store_free(store);
    return status == KRS_OK
               ? print_result(f, &a, bench_threads(device), &forward, &both)
               : complain(&err);
}
