/* test_program.c -- programs: what they compute, refuse and leave when they fail or
 * are cancelled, without memory too. Stores are in test_store.c.
 */
#include "fault_memory.h"
#include "program_rig.h"

#include <krs/ops.h>
#include <krs/program.h>

#include <pthread.h>
#include <string.h>

static krs_program *
program_of(const krs_node *outputs, size_t count)
{
    krs_program *p;
    OK(krs_program_new(store, outputs, count, &p, &err));
    return p;
}

static float
read_float(const krs_program *p, size_t i)
{
    float value;
    OK(krs_program_read(p, i, &value, sizeof value, &err));
    return value;
}

/* ---- programs ---- */

START_TEST(a_training_step_equals_plain_c)
{
    enum { N = 4 };
    static const float x[N] = {1, -2, 0.5F, 3}, y[N] = {2, -1, 0, 4};
    begin();
    krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(N));
    krs_node target = krs_input(g, "y", KRS_F32, KRS_SHAPE(N));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SCALAR), dw;
    krs_node loss =
        krs_mean(krs_square(krs_sub(krs_mul(in, w), target)), KRS_ALL_AXES);
    OK(krs_grad(loss, &w, 1, &dw));
    krs_node outputs[2] = {loss, krs_update(w, krs_sub(w, krs_scale(dw, 0.1)))};
    krs_program *p = program_of(outputs, 2);
    krs_graph_free(g); /* a program keeps what it needs */
    g = NULL;
    OK(krs_program_set_input(p, "x", x, sizeof x, &err));
    OK(krs_program_set_input(p, "y", y, sizeof y, &err));
    float plain = 0, now;
    for (int step = 0; step < 5; step++) {
        double sum = 0, slope = 0;
        for (int i = 0; i < N; i++) {
            double d = (double)x[i] * (double)plain - (double)y[i];
            sum += d * d / N;
            slope += 2 * d * (double)x[i] / N;
        }
        OK(krs_program_run(p, &err));
        plain = (float)((double)plain - slope * 0.1);
        ck_assert_float_eq_tol(read_float(p, 0), (float)sum, 1e-6F);
        ck_assert_float_eq_tol(read_float(p, 1), plain, 1e-6F);
        OK(krs_store_read(store, "w", &now, sizeof now, &err));
        ck_assert_float_eq(now, read_float(p, 1));
        plain = now;
    }
    krs_program_free(p);
    end();
}
END_TEST

START_TEST(updates_see_the_old_values_of_each_other)
{
    begin();
    krs_node a = krs_state(g, "a", KRS_I64, KRS_SHAPE(2));
    krs_node b = krs_state(g, "b", KRS_I64, KRS_SHAPE(2));
    krs_node outputs[3] = {krs_update(a, b), krs_update(b, a), a};
    krs_program *p = program_of(outputs, 3);
    int64_t one[2] = {1, 2}, two[2] = {3, 4}, got[2];
    OK(krs_store_write(store, "a", one, sizeof one, &err));
    OK(krs_store_write(store, "b", two, sizeof two, &err));
    for (int run = 0; run < 3; run++) {
        OK(krs_program_run(p, &err));
        OK(krs_store_read(store, "a", got, sizeof got, &err));
        ck_assert_int_eq(got[0], run % 2 ? 1 : 3);
        OK(krs_store_read(store, "b", got, sizeof got, &err));
        ck_assert_int_eq(got[1], run % 2 ? 4 : 2);
        /* an output that is a state is its value before the run */
        OK(krs_program_read(p, 2, got, sizeof got, &err));
        ck_assert_int_eq(got[0], run % 2 ? 3 : 1);
    }
    krs_program_free(p);
    end();
}
END_TEST

START_TEST(programs_share_the_tensors_of_a_store)
{
    begin();
    krs_node n = krs_state(g, "n", KRS_F32, KRS_SCALAR);
    krs_node up = krs_update(n, krs_offset(n, 1)), twice = krs_scale(n, 2);
    krs_program *count = program_of(&up, 1), *see = program_of(&twice, 1);
    for (int i = 1; i < 4; i++) {
        OK(krs_program_run(count, &err));
        OK(krs_program_run(see, &err));
        ck_assert_float_eq(read_float(see, 0), (float)(2 * i));
    }
    krs_program_free(count);
    krs_program_free(see);
    end();
}
END_TEST

START_TEST(every_type_goes_in_and_comes_out_in_its_own_bytes)
{
    static const struct {
        krs_dtype dtype;
        size_t bytes;
        unsigned char data[16];
    } cases[] = {
        {KRS_F32,  8,  {0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0}                  }, /* 1, -2 */
        {KRS_F16,  4,  {0x00, 0x3C, 0x00, 0xFC}                           },
        {KRS_BF16, 4,  {0x80, 0x3F, 0xC0, 0x7F}                           },
        {KRS_I64,  16, {1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9, 0xFF}},
        {KRS_I32,  8,  {1, 2, 3, 4, 0, 0, 0, 0x80}                        },
        {KRS_I8,   2,  {0x80, 0x7F}                                       },
        {KRS_U8,   2,  {0x80, 0xFF}                                       },
        {KRS_BOOL, 2,  {1, 0}                                             },
    };
    begin();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char name[2] = {(char)('a' + c), 0};
        unsigned char back[16];
        krs_node x = krs_input(g, name, cases[c].dtype, KRS_SHAPE(2));
        krs_node y = krs_flip(krs_flip(x, 0), 0);
        krs_program *p = program_of(&y, 1);
        OK(krs_program_set_input(p, name, cases[c].data, cases[c].bytes, &err));
        OK(krs_program_run(p, &err));
        OK(krs_program_read(p, 0, back, cases[c].bytes, &err));
        ck_assert_mem_eq(back, cases[c].data, cases[c].bytes);
        krs_program_free(p);
    }
    end();
}
END_TEST

START_TEST(a_program_refuses_outputs_it_cannot_compute)
{
    begin();
    krs_program *p;
    krs_graph *other = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(2));
    krs_node two[2] = {x, krs_input(other, "x", KRS_F32, KRS_SHAPE(2))};
    REFUSED(krs_program_new(store, NULL, 0, &p, &err), ARGUMENT,
            "program_new: a program needs at least one output");
    REFUSED(krs_program_new(store, (krs_node[]){x, KRS_NONE}, 2, &p, &err),
            ARGUMENT, "program_new: output 1 is no node");
    REFUSED(krs_program_new(store, two, 2, &p, &err), GRAPH,
            "program_new: output 1 belongs to another graph than output 0");
    krs_node updates[2] = {krs_update(w, x), krs_update(w, krs_neg(x))};
    REFUSED(krs_program_new(store, updates, 2, &p, &err), NAME,
            "program_new: output 1: state 'w' is updated a second time, with "
            "another value");
    ck_assert_uint_eq(krs_store_count(store), 0);
    updates[1] = updates[0]; /* the same effect twice is one effect */
    OK(krs_program_new(store, updates, 2, &p, &err));
    krs_program_free(p);

    krs_node v = krs_state(other, "w", KRS_F32, KRS_SHAPE(3));
    krs_node u = krs_state(other, "before", KRS_F32, KRS_SHAPE(3));
    krs_node sum = krs_add(u, v);
    REFUSED(krs_program_new(store, &sum, 1, &p, &err), NAME,
            "program_new: state 'w' is f32[2] in the store, f32[3] in the "
            "graph");
    ck_assert_uint_eq(krs_store_count(store), 1); /* 'before' not added */

    krs_node bad = krs_add(x, krs_cast(x, KRS_I32));
    ck_assert(!krs_node_is_valid(bad));
    ck_assert_int_eq(krs_program_new(store, &x, 1, &p, &err), KRS_E_DTYPE);
    ck_assert_str_eq(err.text, krs_graph_error(g)->text);
    ck_assert_ptr_null(p);
    krs_graph_free(other);
    end();
}
END_TEST

START_TEST(inputs_are_checked_and_keep_their_values)
{
    begin();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2));
    krs_node y = krs_input(g, "layer.y", KRS_F32, KRS_SHAPE(2));
    krs_input(g, "other", KRS_I32, KRS_SHAPE(3));
    krs_node sum = krs_sum(krs_mul(x, y), KRS_ALL_AXES);
    krs_program *p = program_of(&sum, 1);
    float two[2] = {1, 2}, more[2] = {10, 20};
    int32_t three[3] = {0};
    OK(krs_program_set_input(p, "x", two, sizeof two, &err));
    REFUSED(krs_program_run(p, &err), NAME,
            "program_run: input 'layer.y' (f32[2]) was never set");
    REFUSED(krs_program_set_input(p, "layer.y", two, 12, &err), RANGE,
            "program_set_input: 'layer.y' is f32[2], 8 bytes, not 12");
    REFUSED(krs_program_set_input(p, "z", two, 8, &err), NAME,
            "program_set_input: the graph has no input 'z'");
    OK(krs_program_set_input(p, "other", three, sizeof three, &err));
    REFUSED(krs_program_set_input(p, "other", three, 8, &err), RANGE,
            "program_set_input: 'other' is i32[3], 12 bytes, not 8");
    OK(krs_program_set_input(p, "layer.y", two, sizeof two, &err));
    two[0] = 99; /* the data was copied */
    OK(krs_program_run(p, &err));
    ck_assert_float_eq(read_float(p, 0), 5);
    OK(krs_program_set_input(p, "x", more, sizeof more, &err));
    OK(krs_program_run(p, &err));
    ck_assert_float_eq(read_float(p, 0), 50);
    krs_program_free(p);
    end();
}
END_TEST

START_TEST(variables_are_checked_and_only_needed_ones_asked_for)
{
    begin();
    krs_index pos = krs_var(g, "pos", 1, 4);
    krs_index unused = krs_var(g, "unused", 0, 1);
    krs_node x =
        krs_constant(g, KRS_F32, KRS_SHAPE(4), ((const float[]){1, 2, 3, 4}));
    krs_node part = krs_live(x, 0, pos);
    krs_node outputs[2] = {krs_sum(part, KRS_ALL_AXES), part};
    krs_program *p = program_of(outputs, 2);
    (void)unused;
    float all[4];
    REFUSED(krs_program_run(p, &err), NAME,
            "program_run: variable 'pos' (1 to 4) was never set");
    REFUSED(krs_program_set_var(p, "pos", 5, &err), RANGE,
            "program_set_var: 'pos' = 5 is outside [1, 4]");
    REFUSED(krs_program_set_var(p, "pos", 0, &err), RANGE,
            "program_set_var: 'pos' = 0 is outside [1, 4]");
    REFUSED(krs_program_set_var(p, "time", 0, &err), NAME,
            "program_set_var: the graph has no variable 'time'");
    OK(krs_program_set_var(p, "unused", 1, &err));
    for (int n = 1; n <= 4; n++) {
        OK(krs_program_set_var(p, "pos", n, &err));
        OK(krs_program_run(p, &err));
        ck_assert_float_eq(read_float(p, 0), (float)(n * (n + 1) / 2));
        OK(krs_program_read(p, 1, all, sizeof all, &err));
        for (int i = 0; i < 4; i++)
            ck_assert_float_eq(all[i], i < n ? (float)(i + 1) : 0);
    }
    krs_program_free(p);
    end();
}
END_TEST

START_TEST(a_failed_run_changes_nothing)
{
    begin();
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(2));
    krs_node i = krs_input(g, "i", KRS_I64, KRS_SHAPE(1));
    krs_node outputs[2] = {krs_update(w, krs_offset(w, 1)), krs_take(w, i, 0)};
    krs_program *p = program_of(outputs, 2);
    float two[2];
    int64_t index = 1;
    OK(krs_program_set_input(p, "i", &index, sizeof index, &err));
    REFUSED(krs_program_read(p, 1, two, 4, &err), ARGUMENT,
            "program_read: output 1 has no value: no run has succeeded since "
            "the program was made or last failed");
    OK(krs_program_run(p, &err));
    index = 2;
    OK(krs_program_set_input(p, "i", &index, sizeof index, &err));
    ck_assert_int_eq(krs_program_run(p, &err), KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "take: index 2 at position [0] is "
                                           "outside axis 0 of size 2"));
    ck_assert_int_eq(krs_program_read(p, 1, two, 4, &err), KRS_E_ARGUMENT);
    OK(krs_store_read(store, "w", two, sizeof two, &err));
    ck_assert(two[0] == 1 && two[1] == 1);
    index = 0;
    OK(krs_program_set_input(p, "i", &index, sizeof index, &err));
    OK(krs_program_run(p, &err));
    OK(krs_store_read(store, "w", two, sizeof two, &err));
    ck_assert(two[0] == 2 && two[1] == 2);
    krs_program_free(p);
    end();
}
END_TEST

START_TEST(a_cancelled_run_stops_and_the_next_one_goes)
{
    begin();
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SCALAR);
    krs_node up = krs_update(w, krs_offset(w, 1));
    krs_program *p = program_of(&up, 1);
    float now;
    krs_program_cancel(p);
    ck_assert_int_eq(krs_program_run(p, &err), KRS_E_CANCELLED);
    ck_assert_ptr_eq(strstr(err.text, "the run was cancelled at step "),
                     err.text);
    OK(krs_store_read(store, "w", &now, sizeof now, &err));
    ck_assert_float_eq(now, 0);
    OK(krs_program_run(p, &err));
    ck_assert_float_eq(read_float(p, 0), 1);
    krs_program_free(p);
    end();
}
END_TEST

static void *
cancel_soon(void *program)
{
    krs_program_cancel(program);
    return NULL;
}

START_TEST(another_thread_may_cancel)
{
    begin();
    krs_node x = krs_state(g, "x", KRS_F32, KRS_SCALAR), y = x;
    for (int i = 0; i < 1000; i++)
        y = krs_sin(y);
    krs_program *p = program_of(&y, 1);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, p), 0);
    krs_status status;
    do /* this run, or one after it */
        status = krs_program_run(p, &err);
    while (status == KRS_OK);
    ck_assert_int_eq(status, KRS_E_CANCELLED);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    OK(krs_program_run(p, &err));
    krs_program_free(p);
    end();
}
END_TEST

struct observed {
    krs_program *program; /* of the last event */
    char events[16];
};

static void
observe(void *context, krs_program *program, krs_program_event event)
{
    struct observed *o = context;
    size_t n = strlen(o->events);
    o->program = program;
    ck_assert_uint_lt(n, sizeof o->events - 1);
    o->events[n] = "mre"[event];
}

START_TEST(an_observer_sees_every_program_made_run_and_freed)
{
    struct observed seen = {0};
    krs_device_options options = {
        .struct_size = sizeof options, .observe = observe, .context = &seen};
    OK(krs_device_open_with("eval", &options, &device, &err));
    OK(krs_store_new(device, &store, &err));
    g = krs_graph_new();
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SCALAR);
    krs_node up[] = {krs_update(w, krs_offset(w, 1)), krs_update(w, w)};
    krs_program *p = program_of(up, 1);
    ck_assert_str_eq(seen.events, "m");
    ck_assert_ptr_eq(seen.program, p);
    OK(krs_program_run(p, &err));
    ck_assert_str_eq(seen.events, "mr");
    krs_program_cancel(p);
    ck_assert_int_eq(krs_program_run(p, &err), KRS_E_CANCELLED);
    ck_assert_str_eq(seen.events, "mr");
    krs_program *refused;
    ck_assert_int_ne(krs_program_new(store, up, 2, &refused, &err), KRS_OK);
    ck_assert_str_eq(seen.events, "mr");
    krs_program_free(p);
    ck_assert_str_eq(seen.events, "mre");
    end();
}
END_TEST

START_TEST(outputs_are_described_and_read_whole)
{
    begin();
    krs_node x = krs_full(g, KRS_I32, KRS_SHAPE(2, 3), 7);
    krs_program *p = program_of(&x, 1);
    krs_dtype dtype;
    krs_shape shape;
    int32_t six[6];
    OK(krs_program_output(p, 0, &dtype, &shape, &err));
    ck_assert(dtype == KRS_I32 && shape.rank == 2 && shape.dim[0] == 2 &&
              shape.dim[1] == 3);
    REFUSED(krs_program_output(p, 1, NULL, NULL, &err), RANGE,
            "program_output: output 1 of a program that has 1");
    OK(krs_program_run(p, &err));
    REFUSED(krs_program_read(p, 0, six, 20, &err), RANGE,
            "program_read: output 0 is i32[2,3], 24 bytes, not 20");
    REFUSED(krs_program_read(p, 2, six, 24, &err), RANGE,
            "program_read: output 2 of a program that has 1");
    OK(krs_program_read(p, 0, six, sizeof six, &err));
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(six[i], 7);
    krs_program_free(p);
    end();
}
END_TEST

/* ---- memory ---- */

/* A model with composites, gradients, an update and a live axis. */
static void
model(krs_node outputs[2])
{
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 8));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(8, 8)), dw;
    krs_node n = krs_state(g, "n", KRS_F32, KRS_SHAPE(8));
    krs_node h = krs_gelu(krs_matmul_nt(krs_rms_norm(x, n, 1e-5), w));
    krs_node loss = krs_mean(krs_log_softmax(krs_add(h, x), 1), KRS_ALL_AXES);
    krs_node live = krs_live(h, 0, krs_var(g, "t", 0, 4));
    krs_grad(loss, &w, 1, &dw);
    outputs[0] = krs_add(loss, krs_sum(krs_softmax(live, 1), KRS_ALL_AXES));
    outputs[1] = krs_update(w, krs_offset(krs_sub(w, dw), 1));
}

/* new, set, run, read; KRS_OK or the first failure */
static krs_status
all_of_it(const krs_node outputs[2], krs_program **p)
{
    float x[32], value;
    for (int i = 0; i < 32; i++)
        x[i] = (float)(i % 7) - 3;
    *p = NULL;
    KRS_TRY(krs_program_new(store, outputs, 2, p, &err));
    KRS_TRY(krs_program_set_input(*p, "x", x, sizeof x, &err));
    KRS_TRY(krs_program_set_var(*p, "t", 3, &err));
    KRS_TRY(krs_program_run(*p, &err));
    return krs_program_read(*p, 0, &value, sizeof value, &err);
}

/* One try in a fresh store with the n-th allocation failing; was there one? */
static bool
try_without_memory(const krs_node outputs[2], long n, bool and_all_after)
{
    krs_program *p;
    float w[64];
    krs_store_free(store);
    OK(krs_store_new(device, &store, &err));
    (and_all_after ? memory_fail_from : memory_fail_at)(n);
    krs_status status = all_of_it(outputs, &p);
    bool failed = memory_struck();
    /* a single failure may be survived by giving memory in reserve back */
    bool survived = status == KRS_OK && (!failed || !and_all_after);
    ck_assert_msg(survived || (failed && status == KRS_E_MEMORY),
                  "allocation %ld: %s", n, err.text);
    if (krs_store_find(store, "w", NULL, NULL, NULL) == KRS_OK) {
        OK(krs_store_read(store, "w", w, sizeof w, &err));
        ck_assert((w[0] != 0) == survived);
    }
    krs_program_free(p);
    return failed;
}

START_TEST(every_allocation_may_fail)
{
    krs_node outputs[2];
    begin();
    model(outputs);
    OK(krs_graph_check(g, &err));
    long n = 1;
    while (try_without_memory(outputs, n, false))
        n++;
    ck_assert_int_gt(n, 50);
    n = 1;
    while (try_without_memory(outputs, n, true))
        n++;
    ck_assert_int_gt(n, 50);
    end();
}
END_TEST

START_TEST(a_second_run_asks_for_no_memory)
{
    krs_node outputs[2];
    krs_program *p;
    begin();
    model(outputs);
    OK(all_of_it(outputs, &p));
    memory_fail_from(1);
    krs_status status = krs_program_run(p, &err);
    ck_assert(!memory_struck());
    OK(status);
    krs_program_free(p);
    end();
}
END_TEST

/* ---- the optimiser ---- */

static char *
printed(const krs_program *p, const char *stage)
{
    char *text = NULL;
    OK(krs_program_print(p, stage, &text, &err));
    return text;
}

START_TEST(a_device_runs_graphs_optimised_or_as_they_are_defined)
{
    krs_device_options options = {.struct_size = sizeof options,
                                  .stage = "expand"};
    krs_device *plain, *refused;
    krs_store *other;
    begin();
    OK(krs_device_open_with("eval", &options, &plain, &err));
    OK(krs_store_new(plain, &other, &err));
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2));
    krs_node y = krs_scale(krs_relu(x), 1);
    krs_program *a = program_of(&y, 1), *b;
    OK(krs_program_new(other, &y, 1, &b, &err));
    char *opt = printed(a, "opt"), *expand = printed(b, "expand"), *none;
    ck_assert_ptr_nonnull(strstr(opt, "= where "));
    ck_assert_ptr_null(strstr(opt, "= mul "));
    ck_assert_ptr_nonnull(strstr(expand, "= where "));
    ck_assert_ptr_nonnull(strstr(expand, "= mul "));
    REFUSED(krs_program_print(a, "expand", &none, &err), NAME,
            "program_print: eval has no stage 'expand': it runs the graph as "
            "it is after the passes over graphs");
    REFUSED(krs_program_print(b, "opt", &none, &err), NAME,
            "program_print: eval has no stage 'opt': it runs the graph as it "
            "is after the passes over graphs");
    options.stage = "graph";
    REFUSED(krs_device_open_with("eval", &options, &refused, &err), NAME,
            "device_open: no graph runs at stage 'graph'; there are expand and "
            "opt");
    options.stage = NULL;
    options.effort = "little";
    REFUSED(krs_device_open_with("interp", &options, &refused, &err), NAME,
            "device_open: no effort 'little'; there are none, normal and most");
    free(opt);
    free(expand);
    krs_program_free(a);
    krs_program_free(b);
    krs_store_free(other);
    krs_device_close(plain);
    end();
}
END_TEST

/* What the optimiser drops is still part of the program for its user: the
 * store has the state, the input can be set, an update of a state by itself
 * counts as one. */
START_TEST(what_is_optimised_away_is_still_known)
{
    const int32_t i[2] = {3, 4};
    const float w[2] = {1, 2};
    float back[2];
    begin();
    krs_node x = krs_input(g, "x", KRS_I32, KRS_SHAPE(2));
    krs_node s = krs_state(g, "s", KRS_I32, KRS_SHAPE(2));
    krs_node t = krs_state(g, "t", KRS_F32, KRS_SHAPE(2));
    krs_node outputs[3] = {krs_scale(krs_mul(s, x), 0),
                           krs_update(t, krs_scale(t, 1)),
                           krs_update(t, krs_scale(t, 2))};
    krs_program *p;
    REFUSED(krs_program_new(store, outputs, 3, &p, &err), NAME,
            "program_new: output 2: state 't' is updated a second time, with "
            "another value");
    p = program_of(outputs, 2);
    ck_assert_uint_eq(krs_store_count(store), 2);
    OK(krs_store_write(store, "s", i, sizeof i, &err));
    OK(krs_store_write(store, "t", w, sizeof w, &err));
    OK(krs_program_set_input(p, "x", i, sizeof i, &err));
    for (int run = 0; run < 2; run++) {
        OK(krs_program_run(p, &err));
        OK(krs_program_read(p, 1, back, sizeof back, &err));
        ck_assert(memcmp(back, w, sizeof w) == 0);
        OK(krs_store_read(store, "t", back, sizeof back, &err));
        ck_assert(memcmp(back, w, sizeof w) == 0);
    }
    krs_program_free(p);
    end();
}
END_TEST

SUITE(a_training_step_equals_plain_c, updates_see_the_old_values_of_each_other,
      programs_share_the_tensors_of_a_store,
      every_type_goes_in_and_comes_out_in_its_own_bytes,
      a_program_refuses_outputs_it_cannot_compute,
      inputs_are_checked_and_keep_their_values,
      variables_are_checked_and_only_needed_ones_asked_for,
      a_failed_run_changes_nothing, a_cancelled_run_stops_and_the_next_one_goes,
      another_thread_may_cancel,
      an_observer_sees_every_program_made_run_and_freed,
      outputs_are_described_and_read_whole, every_allocation_may_fail,
      a_second_run_asks_for_no_memory,
      a_device_runs_graphs_optimised_or_as_they_are_defined,
      what_is_optimised_away_is_still_known)
