/* test_kernel_run.c -- runs on a backend: which updates are written where the
 * state lies, what a refused or cancelled run leaves behind, and that the
 * results are the bits of a run in which nothing shares memory.
 */
#include "backends/kernel_device.h"
#include "suite.h"

#include <krs/loss.h>
#include <krs/nn.h>
#include <krs/program.h>

#include <string.h>

static krs_error err;
static krs_device *device;
static krs_store *store;
static krs_graph *g;
static krs_program *seen; /* the last one that was made and not freed */

#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)

static bool unfused; /* of the next device */

static void
begin_with(krs_memory_use use)
{
    krs_device_options options = {
        .struct_size = sizeof options, .unfused = unfused, .memory = use};
    OK(krs_device_open_with("interp", &options, &device, &err));
    OK(krs_store_new(device, &store, &err));
    g = krs_graph_new();
}

static void
end(void)
{
    krs_program_free(seen);
    krs_graph_free(g);
    krs_store_free(store);
    krs_device_close(device);
}

static krs_program *
program_of(const krs_node *outputs, size_t count)
{
    OK(krs_program_new(store, outputs, count, &seen, &err));
    return seen;
}

static void
write_state(const char *name, const float *data, size_t count)
{
    OK(krs_store_write(store, name, data, count * sizeof *data, &err));
}

static void
assert_state(const char *name, const float *expected, size_t count)
{
    float data[64];
    ck_assert_uint_le(count, 64);
    OK(krs_store_read(store, name, data, count * sizeof *data, &err));
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(data[i] == expected[i], "%s[%zu] is %g, not %g", name, i,
                      (double)data[i], (double)expected[i]);
}

/* lines of the stage that have the word */
static int
lines_with(const char *stage, const char *word)
{
    char *text;
    int count = 0;
    OK(krs_program_print(seen, stage, &text, &err));
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        count++;
    free(text);
    return count;
}

/* ---- sizes ---- */

START_TEST(nothing_is_reduced_to_one_element_whatever_is_live_around_it)
{
    const float state[1] = {0};
    float sum = 7, product = 7;
    begin_with(KRS_MEMORY_SHARED);
    krs_index n = krs_var(g, "n", 0, 1);
    krs_node x = krs_live(krs_state(g, "x", KRS_F32, KRS_SHAPE(9, 1, 0)), 1, n);
    krs_node many =
        krs_expand(krs_unsqueeze(x, 3), KRS_SHAPE(9, 1, 0, 16)); /* copied */
    krs_node out[2] = {krs_sum(krs_exp(many), KRS_ALL_AXES),
                       krs_prod(krs_exp(many), KRS_ALL_AXES)};
    krs_program *p = program_of(out, 2);
    write_state("x", state, 0);
    OK(krs_program_set_var(p, "n", 1, &err));
    OK(krs_program_run(p, &err));
    OK(krs_program_read(p, 0, &sum, sizeof sum, &err));
    OK(krs_program_read(p, 1, &product, sizeof product, &err));
    ck_assert(sum == 0 && product == 1);
    end();
}
END_TEST

/* ---- states ---- */

START_TEST(states_take_their_new_values_in_place)
{
    begin_with(KRS_MEMORY_SHARED);
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(4));
    krs_node m = krs_state(g, "m", KRS_F32, KRS_SHAPE(4));
    krs_node mean = krs_add(krs_scale(m, 0.5), krs_scale(w, 0.5));
    krs_node out[] = {krs_sum(w, KRS_ALL_AXES), krs_update(m, mean),
                      krs_update(w, krs_sub(w, mean))};
    krs_program *p = program_of(out, 3);
    ck_assert_int_eq(lines_with("memory", "in place"), 2);
    write_state("w", (const float[]){8, 16, 24, 32}, 4);
    float sum;
    for (int run = 0; run < 2; run++)
        OK(krs_program_run(p, &err));
    OK(krs_program_read(p, 0, &sum, sizeof sum, &err));
    ck_assert_float_eq(sum, 40); /* of the old values */
    assert_state("m", (const float[]){4, 8, 12, 16}, 4);
    assert_state("w", (const float[]){0, 0, 0, 0}, 4);
    end();
}
END_TEST

START_TEST(a_cache_takes_a_block_without_being_copied)
{
    enum { SLOTS = 8 };
    begin_with(KRS_MEMORY_SHARED);
    krs_index at = krs_var(g, "at", 0, SLOTS - 1);
    krs_node cache = krs_state(g, "cache", KRS_F32, KRS_SHAPE(SLOTS, 2));
    krs_node row = krs_input(g, "row", KRS_F32, KRS_SHAPE(1, 2));
    krs_index start[] = {at, KRS_INDEX(0)};
    krs_node next = krs_set_slice(cache, row, start);
    krs_node out[] = {krs_sum(next, KRS_ALL_AXES), krs_update(cache, next)};
    krs_program *p = program_of(out, 2);
    ck_assert_int_eq(lines_with("memory", "in place"), 1);
    ck_assert_int_eq(lines_with("launch", "set_slice"), 1);
    float expected[2 * SLOTS] = {0}, sum, total = 0;
    for (int i = 0; i < SLOTS; i++) {
        int slot = i * 3 % SLOTS;
        float data[2] = {(float)i + 1, -(float)(i * i)};
        memcpy(expected + 2 * (ptrdiff_t)slot, data, sizeof data);
        total += data[0] + data[1];
        OK(krs_program_set_var(p, "at", slot, &err));
        OK(krs_program_set_input(p, "row", data, sizeof data, &err));
        OK(krs_program_run(p, &err));
        OK(krs_program_read(p, 0, &sum, sizeof sum, &err));
        ck_assert_float_eq(sum, total);
        assert_state("cache", expected, (size_t)2 * SLOTS);
    }
    end();
}
END_TEST

START_TEST(a_block_made_of_its_neighbours_is_copied_first)
{
    begin_with(KRS_MEMORY_SHARED);
    krs_node s = krs_state(g, "s", KRS_F32, KRS_SHAPE(6));
    krs_index one = KRS_INDEX(1);
    krs_node moved = krs_set_slice(s, krs_slice(s, 0, 0, 5, 1), &one);
    krs_node out = krs_update(s, moved);
    krs_program *p = program_of(&out, 1);
    ck_assert_int_eq(lines_with("memory", "in place"), 0);
    write_state("s", (const float[]){1, 2, 3, 4, 5, 6}, 6);
    OK(krs_program_run(p, &err));
    assert_state("s", (const float[]){1, 1, 2, 3, 4, 5}, 6);
    end();
}
END_TEST

START_TEST(updates_see_old_values_whoever_goes_first)
{
    begin_with(KRS_MEMORY_SHARED);
    krs_node a = krs_state(g, "a", KRS_F32, KRS_SHAPE(2));
    krs_node b = krs_state(g, "b", KRS_F32, KRS_SHAPE(2));
    krs_node c = krs_state(g, "c", KRS_F32, KRS_SHAPE(2));
    krs_node out[] = {krs_update(a, b), krs_update(b, a),
                      krs_update(c, krs_add(a, b)), a};
    krs_program *p = program_of(out, 4);
    ck_assert_int_eq(lines_with("memory", "in place"), 2); /* c, a or b */
    write_state("a", (const float[]){1, 2}, 2);
    write_state("b", (const float[]){3, 4}, 2);
    float got[2];
    for (int run = 0; run < 4; run++) {
        OK(krs_program_run(p, &err));
        assert_state(
            "a", run % 2 ? (const float[]){1, 2} : (const float[]){3, 4}, 2);
        assert_state(
            "b", run % 2 ? (const float[]){3, 4} : (const float[]){1, 2}, 2);
        assert_state("c", (const float[]){4, 6}, 2);
        OK(krs_program_read(p, 3, got, sizeof got, &err));
        ck_assert_float_eq(got[0], run % 2 ? 3 : 1);
    }
    end();
}
END_TEST

START_TEST(a_second_copy_of_a_state_can_be_refused)
{
    for (int use = 0; use < 2; use++) {
        begin_with(use ? KRS_MEMORY_SEPARATE : KRS_MEMORY_SHARED);
        krs_node a = krs_state(g, "a", KRS_F32, KRS_SHAPE(2));
        krs_node b = krs_state(g, "b", KRS_F32, KRS_SHAPE(2));
        krs_node out[] = {krs_update(a, krs_neg(a)), krs_update(b, a)};
        krs_program *p = program_of(out, 2);
        OK(krs_program_require_in_place(p, &err));
        krs_program_free(p);
        out[1] = krs_update(b, krs_slice(b, 0, KRS_END, KRS_END, -1));
        p = program_of(out, 2);
        ck_assert_int_eq(krs_program_require_in_place(p, &err),
                         use ? KRS_OK : KRS_E_UNSUPPORTED);
        ck_assert(use || strstr(err.text, "the new value of state 'b' needs "
                                          "memory of its own, 8 bytes, "));
        end();
    }
}
END_TEST

/* ---- bytes ---- */

static size_t model(krs_node out[6]);

static uint64_t
device_bytes(void)
{
    krs_device_info info = {.struct_size = sizeof info};
    OK(krs_device_describe(device, &info, &err));
    ck_assert_uint_le(info.bytes, info.most_bytes);
    return info.bytes;
}

START_TEST(a_plan_tells_the_bytes_that_a_run_allocates)
{
    for (int use = 0; use < 4; use++) {
        krs_memory_info plan = {.struct_size = sizeof plan}, made = plan;
        float x[32] = {0};
        const int64_t ids[4] = {1, 2, 3, 4};
        krs_node out[6];
        krs_program *p;
        unfused = use / 2;
        begin_with(use % 2 ? KRS_MEMORY_SEPARATE : KRS_MEMORY_SHARED);
        size_t count = model(out);
        OK(krs_program_plan(device, out, count, &p, &err));
        OK(krs_program_memory(p, &plan, &err));
        ck_assert_uint_eq(device_bytes(), 0);
        ck_assert_int_eq(krs_program_run(p, &err), KRS_E_ARGUMENT);
        ck_assert_int_eq(krs_program_set_input(p, "x", x, sizeof x, &err),
                         KRS_E_ARGUMENT);
        ck_assert_str_eq(err.text,
                         "program_set_input: the program has no code and no "
                         "memory: it was made by krs_program_plan; use "
                         "krs_program_new");
        ck_assert_uint_eq(krs_store_count(store), 0);
        ck_assert_str_ne(plan.peak_op, "");
        ck_assert_ptr_nonnull(strstr(plan.peak_file, "test_kernel_run.c"));
        krs_program_free(p);
        p = program_of(out, count);
        OK(krs_program_set_input(p, "x", x, sizeof x, &err));
        OK(krs_program_set_input(p, "ids", ids, sizeof ids, &err));
        OK(krs_program_set_var(p, "t", 2, &err));
        OK(krs_program_run(p, &err));
        OK(krs_program_memory(p, &made, &err));
        ck_assert_uint_eq(device_bytes(),
                          made.total_bytes - made.workspace_bytes);
        ck_assert_uint_eq(made.total_bytes, plan.total_bytes);
        ck_assert_uint_eq(made.states_bytes, (48 + 48 + 8) * sizeof(float));
        ck_assert_uint_eq(made.inputs_bytes, sizeof x + sizeof ids);
        ck_assert_uint_eq(made.exchanged_bytes,
                          use % 2 ? made.states_bytes : 0);
        ck_assert_uint_gt(made.gradients_bytes + made.activations_bytes, 0);
        ck_assert_uint_ge(made.temporaries_bytes,
                          made.gradients_bytes + made.activations_bytes);
        ck_assert_int_lt(made.peak_wave, made.waves);
        krs_program_free(p);
        seen = NULL;
        krs_store_free(store);
        ck_assert_uint_eq(device_bytes(), 0);
        OK(krs_store_new(device, &store, &err));
        end();
    }
}
END_TEST

/* ---- what does not go well ---- */

/* An update in place, and an index that may be wrong, taken from the result
 * of a chain, so late. */
static krs_program *
risky(void)
{
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(4));
    krs_node i = krs_input(g, "i", KRS_I64, KRS_SHAPE(1)), x = w;
    for (int k = 0; k < 20; k++)
        x = krs_sin(krs_sum_keep(x, KRS_AXES(0)));
    krs_node table = krs_concat((krs_node[]){x, x, x}, 3, 0);
    krs_node out[] = {krs_update(w, krs_offset(w, 1)), krs_take(table, i, 0)};
    return program_of(out, 2);
}

START_TEST(a_fault_is_found_before_any_state_is_written)
{
    begin_with(KRS_MEMORY_SHARED);
    krs_program *p = risky();
    ck_assert_int_eq(lines_with("memory", "in place"), 1);
    int64_t index = 3;
    OK(krs_program_set_input(p, "i", &index, sizeof index, &err));
    for (int run = 0; run < 2; run++) {
        ck_assert_int_eq(krs_program_run(p, &err), KRS_E_RANGE);
        ck_assert_ptr_nonnull(strstr(err.text, "take: index 3 is outside "));
        assert_state("w", (const float[]){0, 0, 0, 0}, 4);
    }
    index = 2;
    OK(krs_program_set_input(p, "i", &index, sizeof index, &err));
    OK(krs_program_run(p, &err));
    assert_state("w", (const float[]){1, 1, 1, 1}, 4);
    end();
}
END_TEST

/* w becomes w + 1, and is then read where i says, after rows of a table. */
static krs_program *
read_twice(int64_t rows, int64_t part)
{
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(4));
    krs_node i = krs_input(g, "i", KRS_I64, KRS_SHAPE(3));
    krs_node table = krs_input(g, "table", KRS_F32, KRS_SHAPE(rows));
    krs_node some = part < 3 ? krs_slice(i, 0, 0, part, 1) : i;
    krs_node next = krs_update(w, krs_offset(w, 1));
    krs_node out[] = {krs_take(table, some, 0), next, krs_take(next, i, 0)};
    krs_program *p = program_of(out, 3);
    OK(krs_program_set_input(p, "table", (const float[5]){0},
                             (size_t)rows * sizeof(float), &err));
    return p;
}

START_TEST(an_index_that_was_seen_whole_cannot_fault_again)
{
    static const struct {
        int64_t rows, part;
        bool in_place;
    } cases[] = {
        {4, 3, true },
        {5, 3, false}, /* another bound */
        {4, 2, false}, /* another index */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        begin_with(KRS_MEMORY_SHARED);
        krs_program *p = read_twice(cases[c].rows, cases[c].part);
        ck_assert_int_eq(lines_with("memory", "in place"), cases[c].in_place);
        int64_t index[3] = {1, 2, 4};
        float w = 1, got[3];
        OK(krs_program_set_input(p, "i", index, sizeof index, &err));
        ck_assert_int_eq(krs_program_run(p, &err), KRS_E_RANGE);
        assert_state("w", (const float[]){0, 0, 0, 0}, 4);
        index[2] = 3;
        OK(krs_program_set_input(p, "i", index, sizeof index, &err));
        OK(krs_program_run(p, &err));
        assert_state("w", (const float[]){1, 1, 1, 1}, 4);
        OK(krs_program_read(p, 2, got, sizeof got, &err));
        ck_assert(got[0] == w && got[1] == w && got[2] == w);
        end();
    }
}
END_TEST

START_TEST(a_cancelled_run_has_written_no_state)
{
    begin_with(KRS_MEMORY_SHARED);
    krs_program *p = risky();
    int64_t index = 0;
    OK(krs_program_set_input(p, "i", &index, sizeof index, &err));
    OK(krs_program_run(p, &err));
    krs_program_cancel(p);
    ck_assert_int_eq(krs_program_run(p, &err), KRS_E_CANCELLED);
    assert_state("w", (const float[]){1, 1, 1, 1}, 4);
    OK(krs_program_run(p, &err));
    assert_state("w", (const float[]){2, 2, 2, 2}, 4);
    end();
}
END_TEST

/* The interpreter, but for submit, which counts and cancels. */
static krs_backend spy;
static int submits, cancel_at;

static krs_status
counting_submit(krs_backend_device *d, const krs_backend_work *work,
                krs_error *e)
{
    if (++submits == cancel_at)
        krs_program_cancel(seen);
    return krsi_interp_backend.submit(d, work, e);
}

START_TEST(a_request_to_stop_that_comes_too_late_waits_for_the_next_run)
{
    begin_with(KRS_MEMORY_SHARED);
    krsi_machine *m = device->state;
    spy = krsi_interp_backend;
    spy.submit = counting_submit;
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(4));
    krs_node out[] = {krs_sum(krs_sin(w), KRS_ALL_AXES),
                      krs_update(w, krs_offset(w, 1))};
    krs_program *p = program_of(out, 2);
    m->backend = &spy;
    m->poisons = false; /* two submissions a run */
    cancel_at = 2;      /* the one that writes the state */
    OK(krs_program_run(p, &err));
    ck_assert_int_eq(submits, 2);
    assert_state("w", (const float[]){1, 1, 1, 1}, 4);
    ck_assert_int_eq(krs_program_run(p, &err), KRS_E_CANCELLED);
    assert_state("w", (const float[]){1, 1, 1, 1}, 4);
    OK(krs_program_run(p, &err));
    assert_state("w", (const float[]){2, 2, 2, 2}, 4);
    cancel_at = submits + 1; /* while the first part runs */
    ck_assert_int_eq(krs_program_run(p, &err), KRS_E_CANCELLED);
    assert_state("w", (const float[]){2, 2, 2, 2}, 4);
    m->backend = &krsi_interp_backend;
    end();
}
END_TEST

/* ---- the same bits ---- */

/* Softmax, norms, gather, scatter, live lengths, products; momentum. */
static size_t
model(krs_node out[6])
{
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 8));
    krs_node ids = krs_input(g, "ids", KRS_I64, KRS_SHAPE(4));
    krs_node e = krs_state(g, "e", KRS_F32, KRS_SHAPE(6, 8));
    krs_node n = krs_state(g, "n", KRS_F32, KRS_SHAPE(8));
    krs_node m = krs_state(g, "m", KRS_F32, KRS_SHAPE(6, 8));
    krs_node h = krs_add(x, krs_take(e, ids, 0));
    krs_node y = krs_matmul_nt(krs_rms_norm(h, n, 1e-5), e);
    krs_node live = krs_live(y, 0, krs_var(g, "t", 1, 4));
    krs_node loss = krs_add(krs_cross_entropy(y, ids, KRS_NONE, NULL),
                            krs_mean(krs_softmax(h, 1), KRS_ALL_AXES));
    krs_node wrt[] = {e, n}, d[2];
    OK(krs_grad(loss, wrt, 2, d));
    krs_node next = krs_add(krs_scale(m, 0.9), d[0]);
    out[0] = loss;
    out[1] = krs_update(m, next);
    out[2] = krs_update(e, krs_sub(e, krs_scale(next, 0.1)));
    out[3] = krs_update(n, krs_sub(n, krs_scale(d[1], 0.1)));
    out[4] = krs_cumsum(live, 1);
    return 5;
}

typedef struct bits {
    float loss, live[24], e[48], m[48], n[8];
} bits;

static bits
run_model(krs_memory_use use)
{
    bits b;
    float x[32], e[48], n[8];
    const int64_t ids[4] = {5, 0, 3, 5};
    krs_node out[6];
    begin_with(use);
    size_t count = model(out);
    OK(krs_graph_check(g, &err));
    krs_program *p = program_of(out, count);
    for (int i = 0; i < 48; i++)
        e[i] = (float)(i * 7 % 11) / 8 - 0.5F;
    for (int i = 0; i < 32; i++)
        x[i] = (float)(i * 5 % 13) / 4 - 1;
    for (int i = 0; i < 8; i++)
        n[i] = 1 + (float)i / 16;
    write_state("e", e, 48);
    write_state("n", n, 8);
    OK(krs_program_set_input(p, "x", x, sizeof x, &err));
    OK(krs_program_set_input(p, "ids", ids, sizeof ids, &err));
    for (int t = 1; t <= 4; t++) {
        OK(krs_program_set_var(p, "t", t, &err));
        OK(krs_program_run(p, &err));
    }
    OK(krs_program_read(p, 0, &b.loss, sizeof b.loss, &err));
    OK(krs_program_read(p, 4, b.live, sizeof b.live, &err));
    OK(krs_store_read(store, "e", b.e, sizeof b.e, &err));
    OK(krs_store_read(store, "m", b.m, sizeof b.m, &err));
    OK(krs_store_read(store, "n", b.n, sizeof b.n, &err));
    ck_assert_int_eq(lines_with("memory", "in place"),
                     use == KRS_MEMORY_SEPARATE ? 0 : 3);
    end();
    return b;
}

START_TEST(shared_and_poisoned_memory_give_the_bits_of_separate_memory)
{
    for (int turn = 0; turn < 2; turn++) {
        unfused = turn;
        bits apart = run_model(KRS_MEMORY_SEPARATE);
        bits shared = run_model(KRS_MEMORY_SHARED);
        bits poisoned = run_model(KRS_MEMORY_POISONED);
        ck_assert(apart.loss == apart.loss && apart.e[40] == apart.e[40]);
        ck_assert_mem_eq(&shared, &apart, sizeof apart);
        ck_assert_mem_eq(&poisoned, &apart, sizeof apart);
    }
}
END_TEST

/* One kernel stores the softmax of z, whose exponentials it keeps in scratch, and
 * z less its largest: that is loaded after the softmax is stored, which
 * therefore does not take the place of z. */
START_TEST(an_element_that_is_loaded_again_is_not_replaced)
{
    float x[24], out[2][2][8];
    for (int i = 0; i < 24; i++)
        x[i] = (float)(i * 5 % 13) / 4 - 1;
    for (int use = 0; use < 2; use++) {
        begin_with(use ? KRS_MEMORY_SHARED : KRS_MEMORY_SEPARATE);
        krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 6));
        krs_node w = krs_input(g, "w", KRS_F32, KRS_SHAPE(2, 6));
        krs_node z = krs_cumsum(in, 1);
        krs_node less = krs_sub(z, krs_amax_keep(z, KRS_AXES(1)));
        krs_node y[2] = {krs_matmul_nt(krs_softmax(z, 1), w),
                         krs_matmul_nt(less, w)};
        krs_program *p = program_of(y, 2);
        OK(krs_program_set_input(p, "x", x, sizeof x, &err));
        OK(krs_program_set_input(p, "w", x, 48, &err));
        OK(krs_program_run(p, &err));
        for (size_t i = 0; i < 2; i++)
            OK(krs_program_read(p, i, out[use][i], sizeof out[use][i], &err));
        end();
    }
    ck_assert_mem_eq(out[0], out[1], sizeof out[0]);
}
END_TEST

static int
by_last(const void *a, const void *b)
{
    return ((const krsi_room *)a)->last - ((const krsi_room *)b)->last;
}

START_TEST(poison_shows_a_value_that_is_given_up_too_early)
{
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, sum[2];
    const krsi_device_kind *kind = &krsi_kernel_device;
    const atomic_int no = 0;
    krsi_memory *in, *out;
    void *prepared;
    unfused = true; /* a kernel for each */
    begin_with(KRS_MEMORY_POISONED);
    krs_node leaf = krs_input(g, "x", KRS_F32, KRS_SHAPE(8));
    krs_node a = krs_exp(leaf);
    krs_node y = krs_sin(krs_sum_keep(a, KRS_ALL_AXES));
    krs_node root = krs_sum(krs_add(a, krs_sin(y)), KRS_ALL_AXES);
    OK(kind->prepare(device->state, g, &root.id, 1, &prepared, &err));
    OK(kind->equip(prepared, &err));
    OK(kind->alloc(device->state, sizeof x, &in, &err));
    OK(kind->alloc(device->state, sizeof *sum, &out, &err));
    OK(kind->write(device->state, in, x, sizeof x, &err));
    kind->bind_leaf(prepared, leaf.id, in);
    kind->bind_root(prepared, 0, out);
    krsi_ready *r = prepared;
    for (int run = 0; run < 2; run++) {
        OK(kind->run(prepared, NULL, &no, &err));
        OK(kind->read(device->state, out, &sum[run], sizeof *sum, &err));
        for (size_t i = 0; i < r->dead_count; i++)
            if (r->dead[i].bytes == sizeof x)
                r->dead[i].last = 0; /* a is still read in later waves */
        qsort(r->dead, r->dead_count, sizeof *r->dead, by_last);
    }
    ck_assert(sum[0] == sum[0]);
    ck_assert(sum[1] != sum[1]);
    kind->discard(prepared);
    kind->free(device->state, in);
    kind->free(device->state, out);
    end();
}
END_TEST

SUITE(nothing_is_reduced_to_one_element_whatever_is_live_around_it,
      states_take_their_new_values_in_place,
      a_cache_takes_a_block_without_being_copied,
      a_block_made_of_its_neighbours_is_copied_first,
      updates_see_old_values_whoever_goes_first,
      a_second_copy_of_a_state_can_be_refused,
      a_plan_tells_the_bytes_that_a_run_allocates,
      a_fault_is_found_before_any_state_is_written,
      an_index_that_was_seen_whole_cannot_fault_again,
      a_cancelled_run_has_written_no_state,
      a_request_to_stop_that_comes_too_late_waits_for_the_next_run,
      shared_and_poisoned_memory_give_the_bits_of_separate_memory,
      an_element_that_is_loaded_again_is_not_replaced,
      poison_shows_a_value_that_is_given_up_too_early)
