/* test_composite_loss.c -- linear_cross_entropy: what all logits at once give,
 * without all logits.
 *
 * Losses have the same bits as cross_entropy of the whole product on interp and
 * cpu, whatever the blocks; gradients by x row by row, up to one rounding where
 * the factor of the mean comes later; gradients by the weight are added in
 * another order. On eval, which adds in f64, all agree when read as f32.
 * Gradients of the rows themselves, of both orders, are in test_grad_table.c.
 */
#include <krs/ops.h>
#include <krs/program.h>

#include "graph/ir/ir.h"
#include "graph/opt/opt.h"
#include "suite.h"
#include "temp_folder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define S(...) KRS_SHAPE(__VA_ARGS__)

enum { T = 14, D = 24, V = 37, OUTPUTS = 4, ELEMENTS = V * D };

static krs_error err;
#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)

/* ---- the same thing in both ways ---- */

typedef struct loss_case {
    const char *name;
    krs_dtype dtype;
    krs_reduction reduction;
    int64_t ignore;
    double smoothing;
    bool weighted, two_axes;
    int64_t block; /* of T rows */
} loss_case;

static const loss_case cases[] = {
    {"mean",               KRS_F32,  KRS_REDUCE_MEAN, -100, 0,   false, false, 7 },
    {"a rest of two",      KRS_F32,  KRS_REDUCE_MEAN, -100, 0,   false, true,  4 },
    {"sum",                KRS_F32,  KRS_REDUCE_SUM,  -100, 0,   true,  false, 2 },
    {"ignores a class",    KRS_F32,  KRS_REDUCE_MEAN, 3,    0,   true,  false, 5 },
    {"smooth",             KRS_F32,  KRS_REDUCE_MEAN, -100, 0.1, true,  true,  7 },
    {"smooth, no weights", KRS_F32,  KRS_REDUCE_SUM,  -100, 0.2, false, false, 3 },
    {"rows",               KRS_F32,  KRS_REDUCE_NONE, -100, 0.1, true,  true,  4 },
    {"one block",          KRS_F32,  KRS_REDUCE_MEAN, -100, 0,   false, false, 14},
    {"a block of more",    KRS_F32,  KRS_REDUCE_MEAN, -100, 0,   false, false, 99},
    {"single rows",        KRS_F32,  KRS_REDUCE_MEAN, -100, 0,   false, false, 1 },
    {"bf16",               KRS_BF16, KRS_REDUCE_MEAN, -100, 0,   false, false, 4 },
};
enum { CASES = sizeof cases / sizeof *cases };

/* loss, then its gradients by x, the weight and, if there are, class weights */
static size_t
build(krs_graph *g, const loss_case *c, bool in_blocks, krs_node *out)
{
    krs_cross_entropy_options o = {sizeof o, c->reduction, c->ignore,
                                   c->smoothing};
    krs_shape rows = c->two_axes ? S(2, T / 2) : S(T), shape = rows;
    shape.dim[shape.rank++] = D;
    krs_node x = krs_input(g, "x", KRS_F32, shape);
    krs_node w = krs_input(g, "w", KRS_F32, S(V, D)), loss;
    const krs_node in[4] = {krs_cast(x, c->dtype), krs_cast(w, c->dtype),
                            krs_input(g, "ids", KRS_I64, rows),
                            c->weighted ? krs_input(g, "classes", KRS_F32, S(V))
                                        : KRS_NONE};
    if (in_blocks)
        loss = krsi_linear_cross_entropy(KRS_HERE, in, &o, c->block);
    else
        loss = krs_cross_entropy(krs_linear(in[0], in[1], KRS_NONE), in[2],
                                 in[3], &o);
    const krs_node wrt[] = {x, w, in[3]};
    size_t count = c->weighted ? 3 : 2;
    krs_node y = krs_sum(krs_mul(loss, krs_cos(loss)), KRS_ALL_AXES);
    out[0] = loss;
    krs_grad(y, wrt, count, out + 1);
    return 1 + count;
}

typedef struct results {
    float value[OUTPUTS][ELEMENTS];
    size_t count[OUTPUTS], outputs;
} results;

static void
set_inputs(krs_program *p, krs_graph *g, int64_t ignored)
{
    for (size_t i = 0; i < g->leaves; i++) {
        krs_node x = krs_graph_node(g, g->leaf[i]);
        const char *name = krs_node_name(x);
        float f[ELEMENTS];
        int64_t k[T], count;
        uint32_t z = (uint32_t)name[0] * 7919;
        krs_shape_elements(krs_node_shape(x), &count);
        for (int64_t j = 0; j < count; j++) {
            z = z * 1664525u + 1013904223u;
            if (*name == 'i')
                k[j] = j % 5 == 2 ? ignored : j % 4 == 1 ? 3 : (int64_t)(z % V);
            else /* class weights are above 0 */
                f[j] = (float)(z >> 8) * 0x1p-23f - (*name == 'c' ? 0 : 1);
        }
        OK(krs_program_set_input(p, name, *name == 'i' ? (void *)k : (void *)f,
                                 (size_t)count * (*name == 'i' ? 8 : 4), &err));
    }
}

static void
run_on(krs_device *device, const loss_case *c, bool in_blocks, results *out)
{
    krs_graph *g = krs_graph_new();
    krs_node node[OUTPUTS];
    krs_store *store;
    krs_program *p;
    out->outputs = build(g, c, in_blocks, node);
    OK(krs_graph_check(g, &err));
    OK(krs_store_new(device, &store, &err));
    OK(krs_program_new(store, node, out->outputs, &p, &err));
    set_inputs(p, g, c->ignore);
    OK(krs_program_run(p, &err));
    for (size_t i = 0; i < out->outputs; i++) {
        int64_t count;
        krs_shape_elements(krs_node_shape(node[i]), &count);
        out->count[i] = (size_t)count;
        OK(krs_program_read(p, i, out->value[i], out->count[i] * 4, &err));
    }
    krs_program_free(p);
    krs_store_free(store);
    krs_graph_free(g);
}

/* relative to the largest element */
static void
assert_close(const results *a, const results *b, size_t i, double tolerance,
             const char *what)
{
    double most = 0;
    ck_assert_uint_eq(a->count[i], b->count[i]);
    for (size_t k = 0; k < a->count[i]; k++)
        most = fmax(most, fabs((double)b->value[i][k]));
    ck_assert_msg(most > 0, "%s: output %zu is all zero", what, i);
    for (size_t k = 0; k < a->count[i]; k++) {
        double x = (double)a->value[i][k], y = (double)b->value[i][k];
        ck_assert_msg(fabs(x - y) <= tolerance * most,
                      "%s: output %zu, element %zu: %.9g, not %.9g", what, i, k,
                      x, y);
    }
}

static results blocks, plain;

/* false: it is not there */
static bool
open_device(const char *name, krs_device **out)
{
    krs_device_options options = {.struct_size = sizeof options,
                                  .modules = KERSEY_MODULE_DIR,
                                  .cache = temp_folder(),
                                  .threads = 2};
    krs_status status = krs_device_open_with(name, &options, out, &err);
    if (status == KRS_E_DEVICE)
        return false;
    OK(status);
    return true;
}

START_TEST(blocks_give_what_all_logits_at_once_give)
{
    static const char *const devices[] = {"eval", "interp", "cpu"};
    for (int d = 0; d < 3; d++) {
        krs_device *device;
        if (!open_device(devices[d], &device))
            continue;
        for (int i = 0; i < CASES; i++) {
            const loss_case *c = &cases[i];
            bool half = c->dtype == KRS_BF16;
            run_on(device, c, true, &blocks);
            run_on(device, c, false, &plain);
            ck_assert_msg(memcmp(blocks.value[0], plain.value[0],
                                 4 * plain.count[0]) == 0,
                          "%s, %s: %.9g, not %.9g", devices[d], c->name,
                          (double)blocks.value[0][0],
                          (double)plain.value[0][0]);
            /* sums of T terms; halves are rounded at other places */
            for (size_t k = 1; k < plain.outputs; k++)
                assert_close(&blocks, &plain, k,
                             half     ? 0x1p-7
                             : d == 0 ? 0x1p-23
                                      : T * 0x1p-24,
                             c->name);
        }
        krs_device_close(device);
    }
}
END_TEST

START_TEST(nothing_counted_gives_nan_as_all_at_once)
{
    krs_device *device;
    loss_case c = cases[1];
    ck_assert(open_device("interp", &device));
    for (int sum = 0; sum < 2; sum++) {
        float value[2];
        for (int in_blocks = 0; in_blocks < 2; in_blocks++) {
            krs_graph *g = krs_graph_new();
            krs_store *store;
            krs_program *p;
            krs_node out[OUTPUTS];
            int64_t ids[T];
            c.reduction = sum ? KRS_REDUCE_SUM : KRS_REDUCE_MEAN;
            build(g, &c, in_blocks, out);
            OK(krs_store_new(device, &store, &err));
            OK(krs_program_new(store, out, 2, &p, &err));
            set_inputs(p, g, -100);
            for (int t = 0; t < T; t++)
                ids[t] = -100;
            OK(krs_program_set_input(p, "ids", ids, sizeof ids, &err));
            OK(krs_program_run(p, &err));
            OK(krs_program_read(p, 0, &value[in_blocks], 4, &err));
            krs_program_free(p);
            krs_store_free(store);
            krs_graph_free(g);
        }
        if (sum)
            ck_assert(value[0] == 0 && value[1] == 0);
        else
            ck_assert(isnan(value[0]) && isnan(value[1]));
    }
    krs_device_close(device);
}
END_TEST

/* ---- what is made ---- */

typedef struct large {
    krs_graph *graph;
    krs_node out[3]; /* loss, dx, dw */
} large;

static large
large_loss(int64_t rows, int64_t classes, int64_t width,
           krs_reduction reduction)
{
    large l = {.graph = krs_graph_new()};
    krs_cross_entropy_options o = {sizeof o, reduction, -100, 0};
    krs_node x = krs_input(l.graph, "x", KRS_F32, S(2, rows / 2, width));
    krs_node w = krs_input(l.graph, "w", KRS_F32, S(classes, width));
    krs_node ids = krs_input(l.graph, "ids", KRS_I64, S(2, rows / 2));
    const krs_node wrt[] = {x, w};
    l.out[0] = krs_linear_cross_entropy(x, w, ids, KRS_NONE, &o);
    krs_grad(krs_sum(l.out[0], KRS_ALL_AXES), wrt, 2, l.out + 1);
    OK(krs_graph_check(l.graph, &err));
    return l;
}

/* elements of the largest value, bodies of scans included; counts scans */
static int64_t
largest(const krs_graph *g, int *scans)
{
    int64_t most = 0;
    for (size_t id = 1; id <= g->nodes; id++) {
        const krsi_node *n = g->node[id];
        int64_t here = krsi_elements(n);
        if (n->op == KRSI_SCAN) {
            here = largest(krsi_loop_of(g, n).body->graph, scans);
            ++*scans;
        }
        most = here > most ? here : most;
    }
    return most;
}

START_TEST(no_value_has_the_size_of_all_logits)
{
    static const struct {
        int64_t rows, classes;
        krs_reduction reduction;
        int scans;
    } sizes[] = {
        {4096, 32000,   KRS_REDUCE_MEAN, 1}, /* logits once */
        {4098, 32000,   KRS_REDUCE_SUM,  1}, /* and a rest */
        {4096, 32000,   KRS_REDUCE_NONE, 2}, /* again for the gradient */
        {4,    5000000, KRS_REDUCE_MEAN, 1}, /* a row is over the bound */
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        large l =
            large_loss(sizes[i].rows, sizes[i].classes, 16, sizes[i].reduction);
        uint32_t roots[3];
        krs_graph *made;
        int scans = 0;
        for (int k = 0; k < 3; k++)
            roots[k] = l.out[k].id;
        OK(krsi_compile(l.graph, roots, 3, NULL, KRSI_KEEP_FAMILIES, &made,
                        roots, &err));
        int64_t most = largest(made, &scans), bound = KRSI_CE_LOGITS;
        if (bound < sizes[i].classes * 16)
            bound = sizes[i].classes * 16; /* the weight */
        ck_assert_msg(most <= bound, "%lld elements", (long long)most);
        ck_assert_int_eq(scans, sizes[i].scans);
        krs_graph_free(made);
        krs_graph_free(l.graph);
    }
}
END_TEST

static krs_memory_info
memory_of(const large *l, size_t outputs)
{
    krs_device *device;
    krs_program *p;
    krs_memory_info info = {.struct_size = sizeof info};
    ck_assert(open_device("interp", &device));
    OK(krs_program_plan(device, l->out, outputs, &p, &err));
    OK(krs_program_memory(p, &info, &err));
    krs_program_free(p);
    krs_device_close(device);
    return info;
}

/* 4,096 x 32,000 logits are 500 MiB. */
START_TEST(memory_is_that_of_one_block_and_of_what_comes_out)
{
    const uint64_t MiB = 1 << 20;
    large l = large_loss(4096, 32000, 288, KRS_REDUCE_MEAN);
    krs_memory_info loss = memory_of(&l, 1), all = memory_of(&l, 3);
    /* the logits of a block; no gradient, which the weight's size shows */
    ck_assert_uint_le(loss.temporaries_bytes, 17 * MiB);
    /* these, and the gradients before the mean divides them */
    uint64_t gradients = 4 * 288 * (4096 + 32000);
    ck_assert_uint_le(all.temporaries_bytes, 17 * MiB + gradients);
    krs_graph_free(l.graph);
}
END_TEST

START_TEST(few_logits_are_made_at_once)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, S(1024, 8));
    krs_node w = krs_input(g, "w", KRS_F32, S(4096, 8));
    krs_node ids = krs_input(g, "ids", KRS_I64, S(1024));
    krs_node more = krs_input(g, "more", KRS_F32, S(1025, 8));
    krs_node both = krs_input(g, "both", KRS_I64, S(1025));
    krs_node q = krs_input(g, "q", KRS_F32, S(1025, 4096));
    krs_node a = krs_linear_cross_entropy(x, w, ids, KRS_NONE, NULL);
    ck_assert_uint_eq(
        a.id,
        krs_cross_entropy(krs_linear(x, w, KRS_NONE), ids, KRS_NONE, NULL).id);
    ck_assert_str_eq(
        krs_node_op(krs_linear_cross_entropy(more, w, both, KRS_NONE, NULL)),
        "linear_cross_entropy");
    /* as large as the logits themselves */
    ck_assert_str_eq(
        krs_node_op(krs_linear_cross_entropy(more, w, q, KRS_NONE, NULL)),
        "cross_entropy");
    krs_graph_free(g);
}
END_TEST

START_TEST(blocks_are_equal_where_that_costs_little)
{
    static const struct {
        int64_t rows, classes, block;
    } sizes[] = {
        {1024,         32000,   128}, /* at most 131 */
        {1022,         32000,   73 }, /* 14 blocks for 8 */
        {1021,         32000,   128}, /* a prime: 7 blocks and 125 */
        {8,            1 << 22, 1  },
        {3,            5000000, 1  },
        {999999999989, 32000,   131}, /* a prime, found soon */
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        krs_graph *g = krs_graph_new();
        krs_node y = krs_linear_cross_entropy(
            krs_input(g, "x", KRS_F32, S(sizes[i].rows, 2)),
            krs_input(g, "w", KRS_F32, S(sizes[i].classes, 2)),
            krs_input(g, "ids", KRS_I64, S(sizes[i].rows)), KRS_NONE, NULL);
        ck_assert_int_eq(krsi_int(krsi_get(y), 3), sizes[i].block);
        krs_graph_free(g);
    }
}
END_TEST

SUITE(blocks_give_what_all_logits_at_once_give,
      nothing_counted_gives_nan_as_all_at_once,
      no_value_has_the_size_of_all_logits,
      memory_is_that_of_one_block_and_of_what_comes_out,
      few_logits_are_made_at_once, blocks_are_equal_where_that_costs_little)
