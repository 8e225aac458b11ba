/* test_checkpoint.c -- krs_checkpoint: the same bits of all gradients as
 * without, on every device, and less memory.
 *
 * A network is built twice, with and without; the same data, outputs compared
 * byte by byte. Memory is counted on the graph in the order of its numbers, as
 * eval keeps it, and by the memory planner of the kernels.
 */
#include <krs/program.h>

#include "graph/kernel/lower.h"
#include "graph/opt/opt.h"
#include "samples.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = 2, T = 8, C = 16, H = 2, LAYERS = 4, OUTPUTS = 64, DEEP = 24 };

typedef struct net {
    krs_graph *graph;
    bool checkpoints;
    krs_node weight[OUTPUTS - 2];
    size_t weights;
    krs_node output[OUTPUTS]; /* loss, gradient of x, of each weight */
    size_t outputs;
} net;

typedef void build_net(net *n);

static krs_node
weight(net *n, const char *name, krs_shape shape)
{
    return n->weight[n->weights++] = krs_state(n->graph, name, KRS_F32, shape);
}

static krs_node
kept(const net *n, krs_node y, krs_node x)
{
    return n->checkpoints ? krs_checkpoint(y, &x, 1) : y;
}

static krs_node
input(net *n)
{
    return krs_input(n->graph, "x", KRS_F32, KRS_SHAPE(B, T, C));
}

static void
finish(net *n, krs_node x, krs_node y)
{
    krs_node wrt[OUTPUTS];
    n->output[0] = krs_mean(krs_square(y), KRS_ALL_AXES);
    wrt[0] = x;
    memcpy(wrt + 1, n->weight, n->weights * sizeof *wrt);
    krs_grad(n->output[0], wrt, n->weights + 1, n->output + 1);
    n->outputs = n->weights + 2;
}

/* norm, four times as wide, and back, beside the way through */
static krs_node
wide_layer(net *n, krs_node x)
{
    krs_node h = krs_rms_norm(x, weight(n, "norm", KRS_SHAPE(C)), 1e-5);
    h = krs_gelu(krs_linear(h, weight(n, "up", KRS_SHAPE(4 * C, C)), KRS_NONE));
    h = krs_linear(h, weight(n, "down", KRS_SHAPE(C, 4 * C)), KRS_NONE);
    return krs_add(x, h);
}

static krs_node
heads(krs_node x)
{
    return krs_permute(krs_reshape(x, KRS_SHAPE(B, T, H, C / H)),
                       KRS_AXES(0, 2, 1, 3));
}

static krs_node
attention_layer(net *n, krs_node x, krs_node angles)
{
    krs_attention_options causal = {sizeof causal, 0, true, KRS_INDEX(0), 0};
    krs_node h = krs_rms_norm(x, weight(n, "norm1", KRS_SHAPE(C)), 1e-5);
    krs_node q =
        heads(krs_linear(h, weight(n, "q", KRS_SHAPE(C, C)), KRS_NONE));
    krs_node k =
        heads(krs_linear(h, weight(n, "k", KRS_SHAPE(C, C)), KRS_NONE));
    krs_node v =
        heads(krs_linear(h, weight(n, "v", KRS_SHAPE(C, C)), KRS_NONE));
    q = krs_rope(q, angles, KRS_ROPE_HALF, 1);
    k = krs_rope(k, angles, KRS_ROPE_HALF, 1);
    krs_node a = krs_attention(q, k, v, KRS_NONE, &causal);
    return krs_add(x, krs_reshape(krs_permute(a, KRS_AXES(0, 2, 1, 3)),
                                  KRS_SHAPE(B, T, C)));
}

static void
transformer(net *n)
{
    static const double frequency[C / H / 2] = {1, 0.3, 0.1, 0.03};
    krs_node x = input(n), y = x;
    krs_node seed = krs_input(n->graph, "seed", KRS_I64, KRS_SCALAR);
    krs_node step = krs_input(n->graph, "step", KRS_I64, KRS_SCALAR);
    krs_node angles = krs_rope_angles(
        krs_iota(n->graph, KRS_I64, KRS_SHAPE(T), 0), frequency, C / H / 2);
    for (int i = 0; i < LAYERS; i++) {
        krs_scope_push(n->graph, "layers.%d", i);
        krs_node h = wide_layer(n, attention_layer(n, y, angles));
        h = krs_dropout(h, 0.25, seed, step, i);
        y = kept(n, h, y);
        krs_scope_pop(n->graph);
    }
    finish(n, x, y);
}

static void
deep(net *n)
{
    krs_node x = input(n), y = x;
    for (int i = 0; i < DEEP && n->weights + 3 < OUTPUTS - 2; i++) {
        krs_scope_push(n->graph, "layers.%d", i);
        y = kept(n, wide_layer(n, y), y);
        krs_scope_pop(n->graph);
    }
    finish(n, x, y);
}

/* One weight in and between the parts, a value of a part used outside, one
 * part inside another, a part of two inputs, one that overlaps. */
static void
tangled(net *n)
{
    krs_node x = input(n), w = weight(n, "w", KRS_SHAPE(C));
    krs_node a = krs_tanh(krs_mul(x, w)), inside = krs_exp(krs_mul(a, w));
    krs_node b = kept(n, krs_mul(krs_sin(krs_sigmoid(inside)), x), x);
    krs_node c = krs_mul(krs_mul(b, w), inside);
    krs_node d = kept(n, krs_tanh(krs_mul(krs_cos(c), w)), b);
    const krs_node two[2] = {c, b};
    krs_node e = krs_add(krs_mul(krs_exp(d), krs_sin(c)), krs_mul(b, w));
    if (n->checkpoints)
        e = krs_checkpoint(e, two, 2);
    krs_node f = kept(n, krs_mul(krs_tanh(krs_add(e, inside)), w), a);
    finish(n, x, krs_add(krs_mul(f, w), x));
}

/* the gradient of a gradient */
static void
twice(net *n)
{
    krs_node x = input(n), w = weight(n, "w", KRS_SHAPE(C)), y = x, dx;
    for (int i = 0; i < 3; i++)
        y = kept(n, krs_tanh(krs_mul(krs_sin(krs_mul(y, w)), y)), y);
    krs_grad(krs_sum(krs_square(y), KRS_ALL_AXES), &x, 1, &dx);
    finish(n, x, dx);
}

static net
build(build_net *of, bool checkpoints)
{
    net n = {.graph = krs_graph_new(), .checkpoints = checkpoints};
    krs_error err = {KRS_OK, ""};
    of(&n);
    ck_assert_msg(krs_graph_check(n.graph, &err) == KRS_OK &&
                      krsi_verify(n.graph, &err) == KRS_OK,
                  "%s", err.text);
    return n;
}

/* ---- bits ---- */

static void
fill(uint64_t series, void *out, int64_t count)
{
    float *number = out;
    for (int64_t i = 0; i < count; i++)
        number[i] = (float)(sample_number(series, (uint64_t)i) * 2 - 1);
}

#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)

/* all outputs of a run, one after the other */
static float *
values(const net *n, krs_device *device, size_t *out_count)
{
    krs_error err = {KRS_OK, ""};
    krs_store *store;
    krs_program *program;
    static float number[4 * C * C + B * T * C];
    const int64_t seed = 5;
    float *all = calloc(OUTPUTS, sizeof number);
    ck_assert_ptr_nonnull(all);
    OK(krs_store_new(device, &store, &err));
    OK(krs_program_new(store, n->output, n->outputs, &program, &err));
    for (size_t i = 0; i < krs_store_count(store); i++) {
        const char *name;
        krs_shape shape;
        int64_t count;
        OK(krs_store_entry(store, i, &name, NULL, &shape, &err));
        krs_shape_elements(shape, &count);
        fill(i + 1, number, count);
        OK(krs_store_write(store, name, number, (size_t)count * 4, &err));
    }
    fill(99, number, B * T * C);
    OK(krs_program_set_input(program, "x", number, B * T * C * 4, &err));
    krs_program_set_input(program, "seed", &seed, sizeof seed, NULL);
    krs_program_set_input(program, "step", &seed, sizeof seed, NULL);
    OK(krs_program_run(program, &err));
    *out_count = 0;
    for (size_t i = 0; i < n->outputs; i++) {
        krs_shape shape;
        int64_t count;
        OK(krs_program_output(program, i, NULL, &shape, &err));
        krs_shape_elements(shape, &count);
        OK(krs_program_read(program, i, all + *out_count, (size_t)count * 4,
                            &err));
        *out_count += (size_t)count;
    }
    krs_program_free(program);
    krs_store_free(store);
    return all;
}

/* Of each output; slack 0: the same bits, else relative to 1 and more. */
static void
assert_equal(build_net *of, const char *what, float slack)
{
    static const char *const names[] = {"eval", "interp", "cpu"};
    const krs_device_options options = {.struct_size = sizeof options,
                                        .threads = 2,
                                        .modules = KERSEY_MODULE_DIR};
    for (int d = 0; d < 3; d++) {
        krs_device *device;
        size_t count, with_count, different = 0;
        if (krs_device_open_with(names[d], &options, &device, NULL) != KRS_OK) {
            ck_assert_int_eq(d, 2); /* there may be no cpu */
            continue;
        }
        net plain = build(of, false), with = build(of, true);
        float *a = values(&plain, device, &count),
              *b = values(&with, device, &with_count);
        ck_assert_uint_eq(count, with_count);
        for (size_t i = 0; i < count; i++) {
            bool same = memcmp(&a[i], &b[i], sizeof *a) == 0;
            different +=
                !same && !(fabsf(a[i] - b[i]) <= slack * fmaxf(1, fabsf(a[i])));
            ck_assert(a[i] == a[i]);
        }
        ck_assert_msg(different == 0, "%s on %s: %zu of %zu differ", what,
                      names[d], different, count);
        free(a);
        free(b);
        krs_graph_free(plain.graph);
        krs_graph_free(with.graph);
        krs_device_close(device);
    }
}

START_TEST(gradients_of_layers_are_the_same_bits)
{
    assert_equal(transformer, "transformer", 0);
    assert_equal(deep, "deep", 0);
}
END_TEST

START_TEST(parts_may_overlap_nest_and_share_weights)
{
    assert_equal(tangled, "tangled", 0);
}
END_TEST

/* its sums are in another order: values and their copies apart */
START_TEST(a_gradient_with_checkpoints_has_a_gradient)
{
    assert_equal(twice, "twice", 1e-5F);
}
END_TEST

/* ---- memory ---- */

typedef struct compiled {
    krs_graph *graph;
    uint32_t root[OUTPUTS];
} compiled;

static compiled
compile(const net *n)
{
    compiled c;
    krs_error err;
    for (size_t i = 0; i < n->outputs; i++)
        c.root[i] = n->output[i].id;
    krs_status status =
        krsi_compile(n->graph, c.root, n->outputs, NULL, KRSI_KEEP_FAMILIES,
                     &c.graph, c.root, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return c;
}

/* Most bytes that are waiting to be read while nodes are computed in the order
 * of their numbers; leaves and views take none, outputs are not counted. */
static size_t
live_bytes(const compiled *c)
{
    const krs_graph *g = c->graph;
    uint32_t *last = calloc(g->nodes + 1, sizeof *last);
    uint32_t *owner = calloc(g->nodes + 1, sizeof *owner);
    size_t *dies = calloc(g->nodes + 2, sizeof *dies);
    size_t live = 0, most = 0;
    ck_assert(last && owner && dies);
    for (uint32_t id = 1; id <= g->nodes; id++) {
        const krsi_node *n = g->node[id];
        bool is_view = n->op == KRSI_RESHAPE || n->op == KRSI_PERMUTE ||
                       n->op == KRSI_EXPAND || n->op == KRSI_SLICE ||
                       n->op == KRSI_RECOMPUTE;
        owner[id] = is_view ? owner[n->in[0]] : n->count ? id : 0;
        for (uint32_t i = 0; i < n->count; i++)
            last[owner[n->in[i]]] = id;
    }
    for (uint32_t id = 1; id <= g->nodes; id++) {
        size_t bytes = 0;
        if (owner[id] == id && last[id] > id) {
            krs_dtype_bytes((krs_dtype)g->node[id]->dtype,
                            krsi_elements(g->node[id]), &bytes);
            dies[last[id]] += bytes;
        }
        live += bytes;
        most = live > most ? live : most;
        live -= dies[id];
    }
    free(last);
    free(owner);
    free(dies);
    return most;
}

/* what the planner gives temporaries of kernels */
static size_t
arena_bytes(const compiled *c, size_t outputs, bool fuses)
{
    const krsi_facts facts = {
        .lanes = 8,
        .registers = 16,
        .workers = 2,
        .bindings = 256,
        .cache_bytes = {32768, 1 << 20, 1 << 24},
        .fuses = fuses
    };
    krs_node node[OUTPUTS];
    krsi_plan plan;
    krs_error err;
    for (size_t i = 0; i < outputs; i++)
        node[i] = krsi_handle(c->graph, c->root[i]);
    krs_status status = krsi_plan_make(&plan, c->graph, node, outputs, &facts,
                                       KRSI_SHARE, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    size_t bytes = plan.layout.arena_bytes;
    krsi_plan_free(&plan);
    return bytes;
}

START_TEST(a_deep_chain_keeps_one_value_a_layer)
{
    size_t live[2], arena[2], unfused[2];
    for (int with = 0; with < 2; with++) {
        net n = build(deep, with);
        compiled c = compile(&n);
        live[with] = live_bytes(&c);
        arena[with] = arena_bytes(&c, n.outputs, true);
        unfused[with] = arena_bytes(&c, n.outputs, false);
        krs_graph_free(c.graph);
        krs_graph_free(n.graph);
    }
    printf("bytes without and with checkpoints: %zu %zu in order, %zu %zu "
           "planned, %zu %zu unfused\n",
           live[0], live[1], arena[0], arena[1], unfused[0], unfused[1]);
    ck_assert_uint_lt(live[1] * 4, live[0]);
    ck_assert_uint_lt(arena[1] * 2, arena[0]);
    ck_assert_uint_lt(unfused[1] * 2, unfused[0]);
}
END_TEST

/* ---- the node itself ---- */

static size_t
count_of(const krs_graph *g, enum krsi_op op)
{
    size_t count = 0;
    for (size_t id = 1; id <= g->nodes; id++)
        count += g->node[id]->op == op;
    return count;
}

START_TEST(recompute_is_a_new_node_each_time)
{
    krs_graph *g = krs_graph_new(), *back;
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(3)), out[2];
    krs_node a = krs_recompute(x), b = krs_recompute(x);
    krs_error err;
    char *text;
    ck_assert_uint_ne(a.id, b.id);
    ck_assert_uint_ne(krs_exp(a).id, krs_exp(x).id);
    ck_assert_uint_eq(krs_exp(a).id, krs_exp(a).id);
    out[0] = a;
    out[1] = b;
    ck_assert_int_eq(krs_graph_print(g, out, 2, NULL, &text, &err), KRS_OK);
    ck_assert_int_eq(krs_graph_parse(text, &back, out, 2, NULL, &err), KRS_OK);
    x = krs_graph_node(back, 1);
    for (int i = 0; i < 5; i++) { /* whatever numbers the text has */
        uint32_t size = krs_graph_size(back);
        ck_assert_uint_gt(krs_recompute(x).id, size);
    }
    free(text);
    krs_graph_free(g);
    krs_graph_free(back);
}
END_TEST

START_TEST(without_a_gradient_a_checkpoint_leaves_nothing)
{
    net n = {.graph = krs_graph_new(), .checkpoints = true};
    krs_node x = input(&n);
    n.output[0] = kept(&n, krs_exp(krs_sin(x)), x);
    n.outputs = 1;
    compiled c = compile(&n);
    ck_assert_uint_eq(krs_graph_size(c.graph), 3);
    krs_graph_free(c.graph);
    krs_graph_free(n.graph);
}
END_TEST

START_TEST(only_what_depends_on_an_input_is_made_again)
{
    net n = {.graph = krs_graph_new(), .checkpoints = true};
    krs_node x = input(&n), w = weight(&n, "w", KRS_SHAPE(C));
    krs_node table = krs_cos(w);
    finish(&n, x, kept(&n, krs_tanh(krs_mul(krs_exp(x), table)), x));
    compiled c = compile(&n);
    ck_assert_uint_eq(count_of(c.graph, KRSI_COS), 1);
    ck_assert_uint_eq(count_of(c.graph, KRSI_RECOMPUTE), 1);
    ck_assert_uint_eq(count_of(c.graph, KRSI_EXP), 2);
    ck_assert_uint_eq(count_of(c.graph, KRSI_TANH), 2);
    krs_graph_free(c.graph);
    krs_graph_free(n.graph);
}
END_TEST

SUITE(gradients_of_layers_are_the_same_bits,
      parts_may_overlap_nest_and_share_weights,
      a_gradient_with_checkpoints_has_a_gradient,
      a_deep_chain_keeps_one_value_a_layer, recompute_is_a_new_node_each_time,
      without_a_gradient_a_checkpoint_leaves_nothing,
      only_what_depends_on_an_input_is_made_again)
