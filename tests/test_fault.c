/* test_fault.c -- memory runs out while three models are built, differentiated,
 * verified, printed, read back, compiled and run: on eval at every allocation of
 * all that, once and for good; on interp at every one from opening the device
 * on, and at some for good; on cpu at 51 spread over a whole life, those of the
 * module's threads among them (fault_cpu of CMakeLists.txt is the module, linked
 * so that its allocations come here).
 *
 * For every such allocation: the status is MEMORY (or, where the library can do
 * without, the result is the right one), the message is set, and nothing stays
 * allocated.
 */
#include <krs/ops.h>
#include <krs/program.h>
#include <krs/recurrent.h>

#include "fault_memory.h"
#include "graph/ir/ir.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the models ---- */

enum { OUTPUTS = 12, T = 2, C = 8, H = 2, D = 4, S = 6 };

typedef struct model {
    krs_graph *graph;
    krs_node output[OUTPUTS];
    size_t outputs;
} model;

/* value - rate * gradient, for each parameter */
static void
train(model *m, krs_node loss, const krs_node *parameter, size_t count)
{
    krs_node gradient[OUTPUTS];
    m->output[m->outputs++] = loss;
    krs_grad(loss, parameter, count, gradient);
    for (size_t i = 0; i < count; i++)
        m->output[m->outputs++] = krs_update(
            parameter[i], krs_sub(parameter[i], krs_scale(gradient[i], 0.1)));
}

/* two layers and cross-entropy, one step of gradient descent */
static void
mlp(model *m)
{
    krs_graph *g = m->graph;
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 3));
    krs_node t = krs_input(g, "t", KRS_I64, KRS_SHAPE(4));
    krs_scope_push(g, "layers.%d", 0);
    krs_node w1 = krs_state(g, "w", KRS_F32, KRS_SHAPE(5, 3));
    krs_node b1 = krs_state(g, "b", KRS_F32, KRS_SHAPE(5));
    krs_node h = krs_gelu(krs_linear(x, w1, b1)); /* [4,5] */
    h = krs_checkpoint(h, &x, 1);
    krs_scope_pop(g);
    krs_scope_push(g, "layers.%d", 1);
    krs_node w2 = krs_state(g, "w", KRS_F32, KRS_SHAPE(6, 5));
    krs_node b2 = krs_state(g, "b", KRS_F32, KRS_SHAPE(6));
    krs_node logits = krs_linear(h, w2, b2); /* [4,6] */
    krs_scope_pop(g);
    const krs_node parameter[] = {w1, b1, w2, b2};
    train(m, krs_cross_entropy(logits, t, KRS_NONE, NULL), parameter, 4);
}

static krs_node
heads(krs_node x) /* [1,T,C] -> [1,H,T,D] */
{
    return krs_permute(krs_reshape(x, KRS_SHAPE(1, T, H, D)),
                       KRS_AXES(0, 2, 1, 3));
}

/* one layer of attention: trained causally, and run with a KV cache */
static void
attention(model *m)
{
    static const double frequency[D / 2] = {1, 0.01};
    krs_graph *g = m->graph;
    krs_attention_options causal = {sizeof causal, 0, true, KRS_INDEX(0), 0};
    krs_index pos = krs_var(g, "pos", 0, S - T);
    krs_scope_push(g, "attn");
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(1, T, C));
    krs_node norm = krs_state(g, "norm", KRS_F32, KRS_SHAPE(C));
    krs_node w = krs_state(g, "qkv", KRS_F32, KRS_SHAPE(3 * C, C));
    krs_node h = krs_rms_norm(x, norm, 1e-5);  /* [1,T,C] */
    krs_node qkv = krs_linear(h, w, KRS_NONE); /* [1,T,3C] */
    krs_node at = krs_add(krs_iota(g, KRS_I64, KRS_SHAPE(T), 0),
                          krs_index_node(g, pos)); /* [T] */
    krs_node angle = krs_rope_angles(at, frequency, D / 2);
    krs_node q = heads(krs_slice(qkv, 2, 0, C, 1));
    krs_node k = heads(krs_slice(qkv, 2, C, 2 * C, 1));
    krs_node v = heads(krs_slice(qkv, 2, 2 * C, 3 * C, 1));
    q = krs_rope(q, angle, KRS_ROPE_HALF, 1);
    k = krs_rope(k, angle, KRS_ROPE_HALF, 1);
    const krs_node parameter[] = {norm, w};
    krs_node y = krs_attention(q, k, v, KRS_NONE, &causal);
    train(m, krs_mean(krs_square(y), KRS_ALL_AXES), parameter, 2);

    const krs_index start[] = {KRS_INDEX(0), KRS_INDEX(0), pos, KRS_INDEX(0)};
    krs_node past[2], all[2];
    for (int i = 0; i < 2; i++) {
        past[i] = krs_state(g, i ? "v" : "k", KRS_F32, KRS_SHAPE(1, H, S, D));
        all[i] = krs_set_slice(past[i], i ? v : k, start);
        m->output[m->outputs++] = krs_update(past[i], all[i]);
        all[i] = krs_live(all[i], 2, krs_index_plus(pos, KRS_INDEX(T)));
    }
    causal.offset = pos;
    m->output[m->outputs++] =
        krs_attention(q, all[0], all[1], KRS_NONE, &causal);
    krs_scope_pop(g);
}

/* a recurrence over three moments: scans in both directions */
static void
recurrent(model *m)
{
    krs_graph *g = m->graph;
    krs_scope_push(g, "gru");
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(1, 3, 2));
    krs_node h = krs_constant(g, KRS_F32, KRS_SHAPE(1, 2), (float[2]){0, 1});
    krs_recurrent_weights w = {krs_state(g, "w_ih", KRS_F32, KRS_SHAPE(6, 2)),
                               krs_state(g, "w_hh", KRS_F32, KRS_SHAPE(6, 2)),
                               KRS_NONE, KRS_NONE};
    const krs_node parameter[] = {w.w_ih, w.w_hh};
    krs_node last;
    krs_node y = krs_gru(x, h, &w, KRS_SCAN_FORWARD, &last);
    krs_scope_pop(g);
    train(m, krs_mean(krs_square(y), KRS_ALL_AXES), parameter, 2);
    m->output[m->outputs++] = last;
}

/* ---- one life of a model ---- */

/* What a run gives, to compare. */
typedef struct outcome {
    float value[2]; /* first element of the first and last output */
    size_t text_length;
} outcome;

typedef struct life {
    void (*build)(model *m);
    const char *device_name;
    model m;
    krs_graph *back;
    krs_node output[OUTPUTS]; /* of it */
    size_t outputs;
    char *text, *drawing, *json;
    krs_device *device;
    krs_store *store;
    krs_program *program;
} life;

static krs_status
fill(life *l, krs_error *err)
{
    static const float number[3 * C * C] = {0.5f,  -0.25f, 0.125f, 1,    -1,
                                            0.75f, 0.3f,   -0.6f,  0.2f, 0.9f};
    for (size_t i = 0; i < krs_store_count(l->store); i++) {
        const char *name;
        krs_shape shape;
        int64_t elements;
        KRS_TRY(krs_store_entry(l->store, i, &name, NULL, &shape, err));
        krs_shape_elements(shape, &elements);
        KRS_TRY(
            krs_store_write(l->store, name, number, (size_t)elements * 4, err));
    }
    if (l->build == mlp) {
        const int64_t target[4] = {1, 5, 0, 2};
        KRS_TRY(
            krs_program_set_input(l->program, "t", target, sizeof target, err));
        return krs_program_set_input(l->program, "x", number, 4 * 3 * 4, err);
    }
    if (l->build == recurrent)
        return krs_program_set_input(l->program, "gru.x", number, 3 * 2 * 4,
                                     err);
    KRS_TRY(krs_program_set_var(l->program, "pos", 3, err));
    return krs_program_set_input(l->program, "attn.x", number, T * C * 4, err);
}

static krs_status
make_graph(life *l, outcome *out, krs_error *err)
{
    l->m.graph = krs_graph_new();
    if (!l->m.graph)
        return krs_fail(err, KRS_E_MEMORY, "no graph");
    l->build(&l->m);
    KRS_TRY(krs_graph_check(l->m.graph, err));
    KRS_TRY(krsi_verify(l->m.graph, err));
    KRS_TRY(krs_graph_print(l->m.graph, l->m.output, l->m.outputs, NULL,
                            &l->text, err));
    KRS_TRY(krs_graph_print_dot(l->m.graph, l->m.output, l->m.outputs, NULL,
                                &l->drawing, err));
    KRS_TRY(krs_graph_print_json(l->m.graph, l->m.output, l->m.outputs, NULL,
                                 &l->json, err));
    KRS_TRY(krs_graph_parse(l->text, &l->back, l->output, OUTPUTS, &l->outputs,
                            err));
    out->text_length = strlen(l->text);
    return KRS_OK;
}

static krs_status
compile_and_run(life *l, outcome *out, krs_error *err)
{
    float data[256];
    krs_device_options o = {.struct_size = sizeof o,
                            .threads = 2,
                            .effort = "none",
                            .modules = FAULT_MODULES_DIR};
    KRS_TRY(krs_device_open_with(l->device_name, &o, &l->device, err));
    KRS_TRY(krs_store_new(l->device, &l->store, err));
    KRS_TRY(krs_program_new(l->store, l->output, l->outputs, &l->program, err));
    KRS_TRY(fill(l, err));
    KRS_TRY(krs_program_run(l->program, err));
    const size_t which[2] = {0, l->outputs - 1};
    for (int i = 0; i < 2; i++) {
        int64_t elements;
        krs_shape shape;
        KRS_TRY(krs_program_output(l->program, which[i], NULL, &shape, err));
        krs_shape_elements(shape, &elements);
        KRS_TRY(krs_program_read(l->program, which[i], data,
                                 (size_t)elements * 4, err));
        out->value[i] = data[0];
    }
    return KRS_OK;
}

static void
end_run(life *l)
{
    krs_program_free(l->program);
    krs_store_free(l->store);
    krs_device_close(l->device);
    l->program = NULL;
    l->store = NULL;
    l->device = NULL;
}

static void
end_graph(life *l)
{
    krs_graph_free(l->back);
    krs_graph_free(l->m.graph);
    free(l->text);
    free(l->drawing);
    free(l->json);
    *l = (life){.build = l->build, .device_name = l->device_name};
}

static krs_status
whole_life(life *l, outcome *out, krs_error *err)
{
    krs_status status = make_graph(l, out, err);
    if (status == KRS_OK)
        status = compile_and_run(l, out, err);
    end_run(l);
    end_graph(l);
    return status;
}

static krs_status
second_half(life *l, outcome *out, krs_error *err)
{
    krs_status status = compile_and_run(l, out, err);
    end_run(l);
    out->text_length = strlen(l->text);
    return status;
}

typedef krs_status part_of_life(life *l, outcome *out, krs_error *err);

/* One life in which allocation n fails, or it and all after it; false: it makes
 * fewer. */
static bool
survives(part_of_life *part, life *l, long n, bool and_all_after,
         const outcome *good, long *forgiven)
{
    outcome out = {
        {NAN, NAN},
        0
    };
    krs_error err = {KRS_OK, ""};
    long before = memory_alive();
    (and_all_after ? memory_fail_from : memory_fail_at)(n);
    krs_status status = part(l, &out, &err);
    bool struck = memory_struck();
    long leak = memory_alive() - before;
    ck_assert_msg(leak == 0, "%s, allocation %ld: %ld leak: %s", l->device_name,
                  n, leak, err.text);
    if (status == KRS_OK) { /* it could do without */
        ck_assert_msg(memcmp(&out.value, &good->value, sizeof out.value) == 0,
                      "%s, allocation %ld: another result", l->device_name, n);
        ck_assert_uint_eq(out.text_length, good->text_length);
        *forgiven += struck;
        return struck;
    }
    ck_assert_msg(struck && status == KRS_E_MEMORY,
                  "%s, allocation %ld: %s: %s", l->device_name, n,
                  krs_status_name(status), err.text);
    ck_assert_int_eq(err.status, KRS_E_MEMORY);
    ck_assert_uint_gt(strlen(err.text), 0);
    return true;
}

/* Allocations 1, 1 + step, ... fail as long as there are so many; how
 * many lives that were. */
static long
fail_each(part_of_life *part, life *l, long step, bool and_all_after,
          const outcome *good)
{
    long n = 1, lives = 0, forgiven = 0;
    for (; survives(part, l, n, and_all_after, good, &forgiven); n += step)
        lives++;
    ck_assert_int_lt(forgiven, lives / 5); /* places are dropped quietly */
    return lives;
}

static outcome
good_life(part_of_life *part, life *l)
{
    outcome good = {
        {NAN, NAN},
        0
    };
    krs_error err = {KRS_OK, ""};
    long before = memory_alive();
    ck_assert_msg(part(l, &good, &err) == KRS_OK, "%s: %s", l->device_name,
                  err.text);
    ck_assert_int_eq(memory_alive(), before);
    ck_assert(isfinite(good.value[0]) && isfinite(good.value[1]));
    return good;
}

static void
survives_on_eval(void (*build)(model *))
{
    life l = {.build = build, .device_name = "eval"};
    outcome good = good_life(whole_life, &l);
    for (int mode = 0; mode < 2; mode++)
        ck_assert_int_gt(fail_each(whole_life, &l, 1, mode, &good), 100);
}

static void
survives_on_interp(void (*build)(model *))
{
    life l = {.build = build, .device_name = "interp"};
    outcome made;
    krs_error err;
    ck_assert_msg(make_graph(&l, &made, &err) == KRS_OK, "%s", err.text);
    outcome good = good_life(second_half, &l);
    long all = getenv("KERSEY_SLOW") ? 7 : 1;
    ck_assert_int_gt(fail_each(second_half, &l, all, false, &good), 500 / all);
    fail_each(second_half, &l, 11 * all, true, &good);
    end_graph(&l);
}

#ifdef HAS_FAULT_CPU
enum { POINTS = 17 };

static void
survives_on_cpu(void (*build)(model *))
{
    life l = {.build = build, .device_name = "cpu"};
    outcome good = good_life(whole_life, &l), again;
    krs_error err;
    long all = 1L << 30, forgiven = 0;
    memory_fail_at(all);
    ck_assert_int_eq(whole_life(&l, &again, &err), KRS_OK);
    all -= memory_left();
    ck_assert(!memory_struck());
    ck_assert_int_gt(all, 1000);
    for (long i = 0; i < POINTS; i++)
        survives(whole_life, &l, 1 + i * all / POINTS, i % 2, &good, &forgiven);
    ck_assert_int_lt(forgiven, POINTS / 3);
}
#endif

static void
survives_anywhere(void (*build)(model *))
{
    survives_on_eval(build);
    survives_on_interp(build);
#ifdef HAS_FAULT_CPU
    survives_on_cpu(build);
#endif
}

START_TEST(a_perceptron_survives_failed_allocations)
{
    survives_anywhere(mlp);
}
END_TEST

START_TEST(attention_with_a_cache_survives_failed_allocations)
{
    survives_anywhere(attention);
}
END_TEST

START_TEST(a_recurrence_survives_failed_allocations)
{
    survives_anywhere(recurrent);
}
END_TEST

SUITE(a_perceptron_survives_failed_allocations,
      a_recurrence_survives_failed_allocations,
      attention_with_a_cache_survives_failed_allocations)
