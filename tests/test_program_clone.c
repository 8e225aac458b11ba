/* test_program_clone.c -- one program in several threads, several programs on
 * one device in several threads, and many rounds of making and freeing; on
 * every device. ThreadSanitizer (preset thread) watches the same.
 */
#include <krs/ops.h>
#include <krs/program.h>
#include <krs/scan.h>

#include "every_device.h"
#include "fault_memory.h"
#include "temp_folder.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static krs_error err;

#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)

enum { N = 8, THREADS = 8, STEPS = 20, LIVES = 2 };

/* w -= 0.1 d/dw mean((x w - y)^2); outputs: the loss, the update */
static void
training_step(krs_graph *g, krs_node out[2])
{
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(N, N));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(N, 1));
    krs_node y = krs_sum(x, KRS_AXES(1));
    krs_node guess = krs_reshape(krs_matmul(x, w), KRS_SHAPE(N));
    out[0] = krs_mean(krs_square(krs_sub(guess, y)), KRS_ALL_AXES);
    krs_node d;
    krs_grad(out[0], &w, 1, &d);
    out[1] = krs_update(w, krs_sub(w, krs_scale(d, 0.1)));
}

/* The same, row by row in a scan. */
static void
scanned_step(krs_graph *g, krs_node out[2])
{
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(N, N));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(N, 1));
    krs_node flat = krs_reshape(w, KRS_SHAPE(N));
    krs_scan scan = krs_scan_begin(g, N, KRS_SCAN_FORWARD);
    krs_node total = krs_scan_carry(scan, krs_scalar(g, KRS_F32, 0));
    krs_node row = krs_scan_x(scan, x);
    krs_node miss =
        krs_sum(krs_mul(row, krs_sub(flat, krs_like(flat, 1))), KRS_AXES(0));
    krs_scan_next(scan, total, krs_add(total, krs_square(miss)));
    krs_scan_end(scan);
    out[0] = krs_scale(krs_scan_last(scan, total), 1.0 / N);
    krs_node d;
    krs_grad(out[0], &w, 1, &d);
    out[1] = krs_update(w, krs_sub(w, krs_scale(d, 0.1)));
}

static void
fill(float x[N * N], int seed)
{
    for (int i = 0; i < N * N; i++)
        x[i] = (float)((i * 7 + seed * 13) % 11) / 11;
}

static krs_status
train(krs_program *p, int seed, int steps, float *out_loss, krs_error *why)
{
    float x[N * N];
    fill(x, seed);
    KRS_TRY(krs_program_set_input(p, "x", x, sizeof x, why));
    for (int i = 0; i < steps; i++)
        KRS_TRY(krs_program_run(p, why));
    return krs_program_read(p, 0, out_loss, sizeof *out_loss, why);
}

typedef struct work {
    krs_program *program;
    krs_device *device;
    int number;
    float loss;
    krs_status status;
    krs_error err;
} work;

static void
in_threads(void *(*run)(void *), work all[THREADS])
{
    pthread_t thread[THREADS];
    for (int t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&thread[t], NULL, run, &all[t]), 0);
    for (int t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_join(thread[t], NULL), 0);
    for (int t = 0; t < THREADS; t++)
        ck_assert_msg(all[t].status == KRS_OK, "%s", all[t].err.text);
}

static void *
train_a_clone(void *context)
{
    work *w = context;
    w->status = train(w->program, w->number, STEPS, &w->loss, &w->err);
    return NULL;
}

static void
check_clones(int d, void (*build)(krs_graph *g, krs_node out[2]))
{
    krs_device *device = open_every(d, NULL);
    krs_graph *g = krs_graph_new();
    krs_store *store[THREADS + 1];
    work all[THREADS];
    krs_program *first;
    krs_node out[2];
    build(g, out);
    OK(krs_store_new(device, &store[THREADS], &err));
    OK(krs_program_new(store[THREADS], out, 2, &first, &err));
    krs_graph_free(g);
    for (int t = 0; t < THREADS; t++) {
        all[t] = (work){.number = t};
        OK(krs_store_new(device, &store[t], &err));
        OK(krs_program_clone(first, store[t], &all[t].program, &err));
    }
    /* the first is not needed any more, nor its store */
    krs_program_free(first);
    krs_store_free(store[THREADS]);
    in_threads(train_a_clone, all);
    for (int t = 0; t < THREADS; t++) {
        krs_store *alone;
        krs_program *p;
        float loss, w[N], w_alone[N];
        OK(krs_store_new(device, &alone, &err));
        OK(krs_program_clone(all[t].program, alone, &p, &err));
        OK(train(p, t, STEPS, &loss, &err));
        ck_assert_mem_eq(&loss, &all[t].loss, sizeof loss);
        OK(krs_store_read(alone, "w", w_alone, sizeof w_alone, &err));
        OK(krs_store_read(store[t], "w", w, sizeof w, &err));
        ck_assert_mem_eq(w, w_alone, sizeof w);
        ck_assert_float_ne(w[0], 0);
        krs_program_free(p);
        krs_store_free(alone);
    }
    for (int t = 0; t < THREADS; t++) {
        krs_program_free(all[t].program);
        krs_store_free(store[t]);
    }
    krs_device_info info = {.struct_size = sizeof info};
    OK(krs_device_describe(device, &info, &err));
    ck_assert_uint_eq(info.bytes, 0);
    krs_device_close(device);
}

START_TEST(clones_train_in_threads_as_each_would_alone)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        check_clones(d, training_step);
        check_clones(d, scanned_step);
    }
}
END_TEST

/* Clones that update nothing share the weights of one store. */
START_TEST(clones_without_updates_share_a_store)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        krs_store *store;
        work all[THREADS];
        krs_node out[2];
        float w[N] = {1, 2, 3, 4, 5, 6, 7, 8}, first;
        training_step(g, out);
        OK(krs_store_new(device, &store, &err));
        OK(krs_program_new(store, out, 1, &all[0].program, &err));
        OK(krs_store_write(store, "w", w, sizeof w, &err));
        OK(train(all[0].program, 0, 1, &first, &err));
        for (int t = 0; t < THREADS; t++) {
            krs_program *p = all[0].program;
            if (t > 0)
                OK(krs_program_clone(all[0].program, store, &p, &err));
            all[t] = (work){.program = p};
        }
        in_threads(train_a_clone, all);
        for (int t = 0; t < THREADS; t++) {
            ck_assert_mem_eq(&all[t].loss, &first, sizeof first);
            krs_program_free(all[t].program);
        }
        krs_store_free(store);
        krs_device_close(device);
        krs_graph_free(g);
    }
}
END_TEST

START_TEST(
    a_clone_has_inputs_and_faults_of_its_own_and_refuses_what_does_not_fit)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL), *other = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        krs_store *store, *elsewhere, *taken;
        krs_program *p, *clone;
        krs_node table = krs_state(g, "table", KRS_F32, KRS_SHAPE(4));
        krs_node at = krs_input(g, "at", KRS_I64, KRS_SHAPE(1));
        krs_node row = krs_take(table, at, 0);
        int64_t good = 1, bad = 9;
        float x = -1;
        OK(krs_store_new(device, &store, &err));
        OK(krs_store_new(device, &taken, &err));
        OK(krs_store_new(other, &elsewhere, &err));
        OK(krs_store_add(taken, "table", KRS_F32, KRS_SHAPE(5), &err));
        OK(krs_program_new(store, &row, 1, &p, &err));
        OK(krs_program_set_input(p, "at", &good, sizeof good, &err));
        ck_assert_int_eq(krs_program_clone(p, elsewhere, &clone, &err),
                         KRS_E_ARGUMENT);
        ck_assert_str_eq(err.text, "program_clone: the store is of another "
                                   "device than the program");
        ck_assert_ptr_null(clone);
        ck_assert_int_eq(krs_program_clone(p, taken, &clone, &err), KRS_E_NAME);
        ck_assert_str_eq(err.text,
                         "program_new: state 'table' is f32[5] in the "
                         "store, f32[4] in the graph");
        OK(krs_program_clone(p, store, &clone, &err));
        ck_assert_int_eq(krs_program_run(clone, &err), KRS_E_NAME);
        OK(krs_program_set_input(clone, "at", &bad, sizeof bad, &err));
        ck_assert_int_eq(krs_program_run(clone, &err), KRS_E_RANGE);
        OK(krs_program_run(p, &err));
        OK(krs_program_read(p, 0, &x, sizeof x, &err));
        ck_assert_float_eq(x, 0);
        OK(krs_program_set_input(clone, "at", &good, sizeof good, &err));
        OK(krs_program_run(clone, &err));
        krs_program_free(p);
        OK(krs_program_run(clone, &err));
        krs_program_free(clone);
        krs_store_free(store), krs_store_free(taken), krs_store_free(elsewhere);
        krs_device_close(device), krs_device_close(other);
        krs_graph_free(g);
    }
}
END_TEST

/* Build, compile, run and free a program that is a little different for each
 * thread; the loss must be that of the first time. */
static krs_status
whole_life(krs_device *device, int number, float *out_loss, krs_error *why)
{
    krs_graph *g = krs_graph_new();
    krs_store *store;
    krs_program *p;
    krs_node out[2];
    if (!g)
        return krs_fail(why, KRS_E_MEMORY, "no graph");
    training_step(g, out);
    out[0] = krs_scale(out[0], 1 + number % 3);
    krs_status status = krs_store_new(device, &store, why);
    if (status == KRS_OK) {
        status = krs_program_new(store, out, 2, &p, why);
        if (status == KRS_OK) {
            status = train(p, number, 3, out_loss, why);
            krs_program_free(p);
        }
        krs_store_free(store);
    }
    krs_graph_free(g);
    return status;
}

static void *
live_often(void *context)
{
    work *w = context;
    float loss;
    w->status = whole_life(w->device, w->number, &w->loss, &w->err);
    for (int i = 1; i < LIVES && w->status == KRS_OK; i++) {
        w->status = whole_life(w->device, w->number, &loss, &w->err);
        if (w->status == KRS_OK && memcmp(&loss, &w->loss, sizeof loss) != 0)
            w->status = krs_fail(&w->err, KRS_E_CHECK, "thread %d: %g, then %g",
                                 w->number, (double)w->loss, (double)loss);
    }
    return NULL;
}

START_TEST(threads_build_compile_run_and_free_at_once_on_one_device)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        work all[THREADS];
        for (int t = 0; t < THREADS; t++)
            all[t] = (work){.device = device, .number = t};
        in_threads(live_often, all);
        for (int t = 0; t < THREADS; t++) {
            float loss;
            OK(whole_life(device, t, &loss, &err));
            ck_assert_mem_eq(&loss, &all[t].loss, sizeof loss);
        }
        krs_device_close(device);
    }
}
END_TEST

/* In pages; 0 where a sanitizer keeps what was freed. */
static long
resident(void)
{
    long pages = 0;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    long all;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld %ld", &all, &pages), 2);
    fclose(f);
#endif
    return pages;
}

/* Nothing is left of a round: no allocation of ours, and, with those of LLVM,
 * no page. Code comes from a cache on disk after the first. */
START_TEST(a_thousand_lives_leave_nothing_behind)
{
    const int rounds = resident() ? 1000 : 50, warm = rounds / 4;
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device_options o = {.struct_size = sizeof o,
                                .cache = temp_folder()};
        krs_device *device = open_every(d, &o);
        float loss;
        long alive = 0, pages = 0;
        for (int i = 0; i < rounds; i++) {
            OK(whole_life(device, 1, &loss, &err));
            if (i != warm)
                continue;
            alive = memory_alive();
            pages = resident();
        }
        if (strcmp(every_device[d], "cpu") != 0) /* LLVM's are not counted */
            ck_assert_int_eq(memory_alive(), alive);
        ck_assert_int_le(resident() - pages, 128); /* half a megabyte */
        krs_device_close(device);
    }
}
END_TEST

SUITE(clones_train_in_threads_as_each_would_alone,
      clones_without_updates_share_a_store,
      a_clone_has_inputs_and_faults_of_its_own_and_refuses_what_does_not_fit,
      threads_build_compile_run_and_free_at_once_on_one_device,
      a_thousand_lives_leave_nothing_behind)
