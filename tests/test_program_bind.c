/* test_program_bind.c -- memory of the user's: inputs, outputs and states that
 * are not copied, and the allocator of a device; on every device.
 */
#include <krs/ops.h>
#include <krs/program.h>

#include "every_device.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static krs_error err;

#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)
#define REFUSED(call, code, sentence)         \
    do {                                      \
        ck_assert_int_eq(call, KRS_E_##code); \
        ck_assert_str_eq(err.text, sentence); \
    } while (0)

/* y = 2 x, and the state s, replaced by s + x. Where x and s are used after, so
 * that no device can update s in place: `exchanged`. */
typedef struct fixture {
    krs_graph *g;
    krs_device *device;
    krs_store *store;
    krs_program *p;
} fixture;

enum { N = 16 };

static fixture
make(int device, krs_store *store, krs_device *on, bool exchanged)
{
    fixture f = {.g = krs_graph_new(), .device = on, .store = store};
    if (!on) {
        f.device = open_every(device, NULL);
        OK(krs_store_new(f.device, &f.store, &err));
    }
    krs_node x = krs_input(f.g, "x", KRS_F32, KRS_SHAPE(N));
    krs_node s = krs_state(f.g, "s", KRS_F32, KRS_SHAPE(N));
    krs_node next = krs_add(s, x);
    /* the sum of the old state is wanted behind the new one */
    krs_node last = krs_matmul(krs_reshape(next, KRS_SHAPE(1, N)),
                               krs_reshape(s, KRS_SHAPE(N, 1)));
    krs_node out[] = {krs_scale(x, 2), krs_update(s, next), last};
    OK(krs_program_new(f.store, out, exchanged ? 3 : 2, &f.p, &err));
    return f;
}

static void
drop(fixture *f)
{
    krs_program_free(f->p);
    krs_store_free(f->store);
    krs_device_close(f->device);
    krs_graph_free(f->g);
}

/* first, first + 1, ... at a place that can be bound */
static float *
floats(float first)
{
    float *x = aligned_alloc(64, N * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (int i = 0; i < N; i++)
        x[i] = first + (float)i;
    return x;
}

START_TEST(a_bound_input_is_read_where_it_lies_at_each_run)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        fixture f = make(d, NULL, NULL, false);
        float *x = floats(1), y[N];
        OK(krs_program_bind_input(f.p, "x", x, N * sizeof *x, &err));
        for (int run = 0; run < 3; run++) {
            x[5] = 100.0F * (float)run;
            OK(krs_program_run(f.p, &err));
            OK(krs_program_read(f.p, 0, y, sizeof y, &err));
            ck_assert_float_eq(y[5], 200.0F * (float)run);
            ck_assert_float_eq(y[15], 32);
        }
        /* a copy ends it, and leaves the user's memory alone */
        float *other = floats(50);
        OK(krs_program_set_input(f.p, "x", other, N * sizeof *other, &err));
        ck_assert_float_eq(x[0], 1);
        free(x);
        OK(krs_program_run(f.p, &err));
        OK(krs_program_read(f.p, 0, y, sizeof y, &err));
        ck_assert_float_eq(y[0], 100);
        free(other);
        drop(&f);
    }
}
END_TEST

START_TEST(a_bound_output_is_written_where_the_user_wants_it)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        fixture f = make(d, NULL, NULL, false);
        float *x = floats(1), *y = floats(-9), *z = floats(-9), back[N];
        OK(krs_program_set_input(f.p, "x", x, N * sizeof *x, &err));
        OK(krs_program_bind_output(f.p, 0, y, N * sizeof *y, &err));
        OK(krs_program_run(f.p, &err));
        for (int i = 0; i < N; i++)
            ck_assert_float_eq(y[i], 2 * x[i]);
        OK(krs_program_read(f.p, 0, back, sizeof back, &err));
        ck_assert_mem_eq(back, y, sizeof back);
        /* somewhere else from now on; its value is not there yet */
        OK(krs_program_bind_output(f.p, 0, z, N * sizeof *z, &err));
        ck_assert_int_eq(krs_program_read(f.p, 0, back, sizeof back, &err),
                         KRS_E_ARGUMENT);
        y[0] = 7;
        OK(krs_program_run(f.p, &err));
        ck_assert_float_eq(y[0], 7);
        ck_assert_float_eq(z[15], 32);
        drop(&f);
        ck_assert_float_eq(z[15], 32);
        free(x), free(y), free(z);
    }
}
END_TEST

START_TEST(a_bound_state_is_updated_where_it_lies)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        for (int exchanged = 0; exchanged < 2; exchanged++) {
            krs_device *device = open_every(d, NULL);
            krs_store *store;
            float *s = floats(10), *x = floats(1), back[N], last;
            OK(krs_store_new(device, &store, &err));
            OK(krs_store_bind(store, "s", KRS_F32, KRS_SHAPE(N), s,
                              N * sizeof *s, &err));
            fixture f = make(d, store, device, exchanged);
            OK(krs_program_set_input(f.p, "x", x, N * sizeof *x, &err));
            for (int run = 0; run < 3; run++)
                OK(krs_program_run(f.p, &err));
            for (int i = 0; i < N; i++)
                ck_assert_float_eq(s[i], 10 + (float)i + 3 * x[i]);
            OK(krs_program_read(f.p, 1, back, sizeof back, &err));
            ck_assert_mem_eq(back, s, sizeof back);
            if (exchanged)
                OK(krs_program_read(f.p, 2, &last, sizeof last, &err));
            OK(krs_store_write(store, "s", x, N * sizeof *x, &err));
            ck_assert_mem_eq(s, x, N * sizeof *x);
            drop(&f);
            ck_assert_mem_eq(s, x, N * sizeof *x);
            free(s), free(x);
        }
    }
}
END_TEST

START_TEST(what_cannot_be_bound_is_refused_and_changes_nothing)
{
    char text[KRS_ERROR_TEXT];
    for (int d = 0; d < EVERY_DEVICE; d++) {
        fixture f = make(d, NULL, NULL, false);
        float *x = floats(1), y[N];
        krs_device_info info = {.struct_size = sizeof info};
        OK(krs_device_describe(f.device, &info, &err));
        ck_assert_uint_eq(info.memory_align, 64);
        OK(krs_program_bind_input(f.p, "x", x, N * sizeof *x, &err));
        REFUSED(krs_program_bind_input(f.p, "y", x, 64, &err), NAME,
                "program_bind_input: the graph has no input 'y'");
        REFUSED(krs_program_bind_input(f.p, "x", x, 60, &err), RANGE,
                "program_bind_input: 'x' is f32[16], 64 bytes, not 60");
        snprintf(text, sizeof text,
                 "program_bind_input: 'x': %s: 64 bytes of the caller's start "
                 "at 0x%zx, which is no multiple of 64: take them from "
                 "aligned_alloc(64, ...), or have them copied",
                 every_device[d], (size_t)(x + 1));
        REFUSED(krs_program_bind_input(f.p, "x", x + 1, 64, &err), ARGUMENT,
                text);
        REFUSED(krs_program_bind_output(f.p, 2, x, 64, &err), RANGE,
                "program_bind_output: output 2 of a program that has 2");
        REFUSED(krs_program_bind_output(f.p, 0, x, 32, &err), RANGE,
                "program_bind_output: output 0 is f32[16], 64 bytes, not 32");
        REFUSED(krs_program_bind_output(f.p, 1, x, 64, &err), UNSUPPORTED,
                "program_bind_output: output 1 updates state 's', and lies "
                "where that does; bind the state (krs_store_bind)");
        REFUSED(
            krs_store_bind(f.store, "s", KRS_F32, KRS_SHAPE(N), x, 64, &err),
            NAME,
            "store_bind: 's' is there already: bind it before a program "
            "adds it");
        REFUSED(
            krs_store_bind(f.store, "t", KRS_F32, KRS_SHAPE(N), x, 63, &err),
            RANGE, "store_bind: 't' is f32[16], 64 bytes, not 63");
        REFUSED(
            krs_store_bind(f.store, "t", KRS_F32, KRS_SHAPE(N), NULL, 64, &err),
            ARGUMENT, "store_bind: 't': data is NULL");
        ck_assert_int_eq(krs_store_bind(f.store, "t", KRS_F32, KRS_SHAPE(15),
                                        x + 1, 60, &err),
                         KRS_E_ARGUMENT);
        ck_assert_uint_eq(krs_store_count(f.store), 1);
        OK(krs_program_run(f.p, &err));
        OK(krs_program_read(f.p, 0, y, sizeof y, &err));
        ck_assert_float_eq(y[15], 32);
        krs_program_free(f.p);
        krs_node out = krs_node_operand(krs_graph_node(f.g, 3), 0);
        OK(krs_program_plan(f.device, &out, 1, &f.p, &err));
        ck_assert_int_eq(krs_program_bind_output(f.p, 0, x, 64, &err),
                         KRS_E_ARGUMENT);
        drop(&f);
        free(x);
    }
}
END_TEST

/* ---- the allocator ---- */

typedef struct account {
    atomic_size_t bytes, most, calls;
    size_t limit; /* the call that gets nothing; 0: none */
} account;

static void *
account_allocate(void *context, size_t bytes, size_t align)
{
    account *a = context;
    ck_assert(bytes > 0 && align >= 64 && (align & (align - 1)) == 0 &&
              bytes % 64 == 0);
    if (atomic_fetch_add(&a->calls, 1) + 1 == a->limit)
        return NULL;
    size_t now = atomic_fetch_add(&a->bytes, bytes) + bytes;
    if (now > atomic_load(&a->most))
        atomic_store(&a->most, now);
    return aligned_alloc(align, bytes);
}

static void
account_release(void *context, void *data, size_t bytes)
{
    account *a = context;
    atomic_fetch_sub(&a->bytes, bytes);
    free(data);
}

static krs_status
train_once(krs_device *device)
{
    float x[N] = {1}, y[N];
    krs_store *store;
    krs_program *p = NULL;
    krs_graph *g = krs_graph_new();
    krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(N));
    krs_node s = krs_state(g, "s", KRS_F32, KRS_SHAPE(N, N));
    krs_node wide = krs_exp(krs_matmul(krs_reshape(in, KRS_SHAPE(1, N)), s));
    krs_node out[] = {krs_softmax(wide, 1), krs_update(s, krs_scale(s, 0.5))};
    OK(krs_store_new(device, &store, &err));
    krs_status status = krs_program_new(store, out, 2, &p, &err);
    if (status == KRS_OK)
        status = krs_program_set_input(p, "x", x, sizeof x, &err);
    if (status == KRS_OK)
        status = krs_program_run(p, &err);
    if (status == KRS_OK)
        status = krs_program_read(p, 0, y, sizeof y, &err);
    krs_program_free(p);
    krs_store_free(store);
    krs_graph_free(g);
    return status;
}

START_TEST(tensors_come_from_the_allocator_of_the_device_and_go_back)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        account a = {0};
        const krs_allocator allocator = {account_allocate, account_release, &a};
        krs_device_options o = {.struct_size = sizeof o,
                                .allocator = &allocator};
        krs_device *device = open_every(d, &o);
        OK(train_once(device));
        size_t calls = atomic_load(&a.calls);
        ck_assert_uint_ge(calls, 4); /* state, input, outputs */
        ck_assert_uint_ge(atomic_load(&a.most), N * N * sizeof(float));
        ck_assert_uint_eq(atomic_load(&a.bytes), 0);
        /* each of them may fail, and that is reported */
        for (a.limit = 1; a.limit <= calls; a.limit++) {
            atomic_store(&a.calls, 0);
            ck_assert_int_eq(train_once(device), KRS_E_MEMORY);
            ck_assert_uint_eq(atomic_load(&a.bytes), 0);
        }
        a.limit = 0;
        OK(train_once(device));
        krs_device_close(device);
    }
}
END_TEST

SUITE(a_bound_input_is_read_where_it_lies_at_each_run,
      a_bound_output_is_written_where_the_user_wants_it,
      a_bound_state_is_updated_where_it_lies,
      what_cannot_be_bound_is_refused_and_changes_nothing,
      tensors_come_from_the_allocator_of_the_device_and_go_back)
