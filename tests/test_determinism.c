/* test_determinism.c -- the same bits whatever is not the mathematics: runs,
 * threads, where buffers lie, a cache that is cold or warm; and sums that stay
 * accurate where naive ones do not.
 */
#include "every_device.h"
#include "suite.h"
#include "temp_folder.h"

#include <krs/krs.h>

#include <math.h>
#include <string.h>

enum { T = 33, C = 48, V = 70, RUNS = 100, OUTPUTS = 4, ROOM = 20000 };

static krs_error err;

/* A training step with every kind of kernel: products, rows, attention, sums by
 * index, random numbers, updates in place. */
static krs_graph *
step(krs_node out[OUTPUTS])
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(T, C));
    krs_node ids = krs_input(g, "ids", KRS_I64, KRS_SHAPE(T));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(V, C));
    krs_node scale = krs_state(g, "scale", KRS_F32, KRS_SHAPE(C)), grad[2];
    krs_node h = krs_add(x, krs_embedding(w, ids, -1)); /* [T,C] */
    h = krs_rms_norm(h, scale, 1e-5);
    krs_node q = krs_reshape(h, KRS_SHAPE(1, T, 2, C / 2));
    q = krs_transpose(q, 1, 2);
    krs_attention_options causal = {.struct_size = sizeof causal,
                                    .causal = true};
    krs_node y = krs_attention(q, q, q, KRS_NONE, &causal);
    y = krs_reshape(krs_transpose(y, 1, 2), KRS_SHAPE(T, C));
    y = krs_dropout(y, 0.1, krs_scalar(g, KRS_I64, 7),
                    krs_scalar(g, KRS_I64, 3), 1);
    krs_node logits = krs_matmul_nt(krs_add(h, y), w);
    const krs_node wrt[] = {w, scale};
    out[0] = krs_cross_entropy(logits, ids, KRS_NONE, NULL);
    out[1] = krs_softmax(logits, 1);
    krs_grad(out[0], wrt, 2, grad);
    out[2] = krs_update(w, krs_sub(w, krs_scale(grad[0], 0.1)));
    out[3] = krs_update(scale, krs_sub(scale, krs_scale(grad[1], 0.1)));
    return g;
}

static float x_data[T * C], w_data[V * C], scale_data[C];
static int64_t ids_data[T];

static void
fill(void)
{
    for (int i = 0; i < T * C; i++)
        x_data[i] = sinf((float)i * 0.7F);
    for (int i = 0; i < V * C; i++)
        w_data[i] = cosf((float)i * 0.3F) / 4;
    for (int i = 0; i < C; i++)
        scale_data[i] = 1 + (float)(i % 5) / 10;
    for (int i = 0; i < T; i++)
        ids_data[i] = i * i % 11; /* many equal ones */
}

/* all outputs and states, one after the other */
static size_t
collect(krs_program *program, krs_store *store, char *to)
{
    size_t at = 0;
    krs_program_read(program, 0, to, 4, &err);
    at += 4;
    krs_program_read(program, 1, to + at, (size_t)T * V * 4, &err);
    at += (size_t)T * V * 4;
    krs_store_read(store, "w", to + at, sizeof w_data, &err);
    at += sizeof w_data;
    krs_store_read(store, "scale", to + at, sizeof scale_data, &err);
    return at + sizeof scale_data;
}

/* Runs from the same states; each gives the bits of `want`, which the first
 * one fills if *bytes is 0. x lies `offset` bytes past a page, or -1: is
 * copied. */
static void
run_on(krs_device *device, int runs, long offset, const char *what, char *want,
       size_t *bytes)
{
    krs_node out[OUTPUTS];
    krs_graph *g = step(out);
    krs_store *store;
    krs_program *program;
    char *got = malloc(ROOM * 4), *room = NULL;
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    ck_assert_msg(krs_program_new(store, out, OUTPUTS, &program, &err) ==
                      KRS_OK,
                  "%s", err.text);
    ck_assert_int_eq(
        krs_program_set_input(program, "ids", ids_data, sizeof ids_data, &err),
        KRS_OK);
    if (offset >= 0) {
        room = aligned_alloc(4096, 4096 * 4);
        memcpy(room + offset, x_data, sizeof x_data);
        ck_assert_int_eq(krs_program_bind_input(program, "x", room + offset,
                                                sizeof x_data, &err),
                         KRS_OK);
    } else {
        krs_program_set_input(program, "x", x_data, sizeof x_data, &err);
    }
    for (int i = 0; i < runs; i++) {
        krs_store_write(store, "w", w_data, sizeof w_data, &err);
        krs_store_write(store, "scale", scale_data, sizeof scale_data, &err);
        ck_assert_msg(krs_program_run(program, &err) == KRS_OK, "%s", err.text);
        size_t n = collect(program, store, *bytes ? got : want);
        ck_assert_msg(*bytes == 0 || (n == *bytes && memcmp(got, want, n) == 0),
                      "%s: other bits in run %d", what, i);
        *bytes = n;
    }
    krs_program_free(program);
    krs_store_free(store);
    krs_graph_free(g);
    free(got);
    free(room);
}

static krs_device *
open_with(int i, uint32_t threads, const char *cache)
{
    krs_device_options o = {
        .struct_size = sizeof o, .threads = threads, .cache = cache};
    return open_every(i, &o);
}

START_TEST(runs_threads_places_and_caches_change_no_bit)
{
    static const uint32_t threads[] = {1, 2, 3, 4, 8};
    char *want = malloc(ROOM * 4);
    fill();
    for (int d = 1; d < EVERY_DEVICE; d++) {
        size_t bytes = 0;
        bool is_interp = d == 1;
        for (size_t t = 0; t < (is_interp ? 1 : 5); t++) { /* cold, then warm */
            krs_device *device = open_with(d, threads[t], temp_folder());
            run_on(device,
                   is_interp ? 2
                   : t       ? 10
                             : RUNS,
                   -1, "threads and a warm cache", want, &bytes);
            krs_device_close(device);
        }
        krs_device *device = open_with(d, 2, is_interp ? NULL : temp_folder());
        for (long offset = 0; offset < (is_interp ? 128 : 512); offset += 64)
            run_on(device, 1, offset, "another place", want, &bytes);
        krs_device_close(device);
        device = open_with(d, 2, NULL);
        run_on(device, 1, -1, "no cache", want, &bytes);
        krs_device_close(device);
    }
    free(want);
}
END_TEST

/* ---- accuracy ---- */

static double
value_of(krs_device *device, krs_node y, const void *x, size_t bytes)
{
    krs_store *store;
    krs_program *program;
    float out;
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    ck_assert_msg(krs_program_new(store, &y, 1, &program, &err) == KRS_OK, "%s",
                  err.text);
    ck_assert_int_eq(krs_program_bind_input(program, "x", x, bytes, &err),
                     KRS_OK);
    ck_assert_msg(krs_program_run(program, &err) == KRS_OK, "%s", err.text);
    krs_program_read(program, 0, &out, sizeof out, &err);
    krs_program_free(program);
    krs_store_free(store);
    return (double)out;
}

START_TEST(ten_million_tenths_are_a_million)
{
    enum { TENTHS = 10000000 };
    size_t bytes = sizeof(float) * TENTHS;
    float *x = aligned_alloc(64, bytes);
    double exact = (double)0.1F * TENTHS, naive = 0;
    float sum = 0;
    for (int i = 0; i < TENTHS; i++) {
        x[i] = 0.1F;
        sum += x[i];
    }
    naive = fabs((double)sum - exact) / exact;
    ck_assert_double_gt(naive, 0.05); /* what a plain loop makes of it */
    for (int d = 0; d < EVERY_DEVICE; d++) {
        if (d == 1) /* the kernel interpreter has the bits of cpu */
            continue;
        krs_device *device = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(TENTHS));
        double y = value_of(device, krs_sum(in, KRS_ALL_AXES), x, bytes);
        ck_assert_msg(fabs(y - exact) < 1e-6 * exact, "%s: %.9g",
                      krs_device_name(device), y);
        krs_graph_free(g);
        krs_device_close(device);
    }
    free(x);
}
END_TEST

START_TEST(long_sums_are_made_in_parts_along_any_axis)
{
    enum { N = 300007, TWO = 2 };
    size_t bytes = sizeof(float) * N * TWO;
    float *x = aligned_alloc(64, (bytes + 63) / 64 * 64);
    double exact = 0, second = 0;
    for (int i = 0; i < N * TWO; i++) {
        x[i] = 0.1F + (float)(i % 7) / 16;
        exact += (double)x[i];
        second += i % TWO ? (double)x[i] : 0;
    }
    for (int d = 0; d < EVERY_DEVICE; d += 2) { /* cpu has interp's bits */
        krs_device *device = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(N, TWO));
        krs_node rows = krs_sum(in, KRS_AXES(0)); /* [2] */
        ck_assert_int_eq(krs_node_shape(rows).rank, 1);
        krs_node last = krs_sum(krs_slice(rows, 0, 1, 2, 1), KRS_AXES(0));
        double all = value_of(device, krs_sum(in, KRS_ALL_AXES), x, bytes);
        double one = value_of(device, last, x, bytes);
        ck_assert_msg(fabs(all - exact) < 1e-6 * exact, "%.9g, not %.9g", all,
                      exact);
        ck_assert_msg(fabs(one - second) < 1e-6 * second, "%.9g, not %.9g", one,
                      second);
        krs_node kept = krs_sum_keep(krs_cast(in, KRS_BF16), KRS_AXES(0, -1));
        ck_assert_int_eq(krs_node_shape(kept).rank, 2);
        ck_assert_int_eq(krs_node_dtype(kept), KRS_BF16);
        krs_node grad, sum = krs_sum(in, KRS_ALL_AXES);
        ck_assert_int_eq(krs_grad(sum, &in, 1, &grad), KRS_OK);
        double ones = value_of(device, krs_sum(krs_mul(grad, in), KRS_ALL_AXES),
                               x, bytes);
        ck_assert_msg(fabs(ones - exact) < 1e-6 * exact, "%.9g", ones);
        krs_graph_free(g);
        krs_device_close(device);
    }
    free(x);
}
END_TEST

START_TEST(a_variance_survives_a_mean_of_ten_thousand)
{
    enum { N = 4096 };
    float *x = aligned_alloc(64, sizeof(float) * N), *ones;
    double mean = 0, exact = 0;
    for (int i = 0; i < N; i++) {
        x[i] = 1e4F + sinf((float)i * 1.7F);
        mean += (double)x[i] / N;
    }
    for (int i = 0; i < N; i++)
        exact += ((double)x[i] - mean) * ((double)x[i] - mean) / N;
    ones = calloc(N, sizeof *ones);
    for (int i = 0; i < N; i++)
        ones[i] = 1;
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(N));
        krs_node w = krs_constant(g, KRS_F32, KRS_SHAPE(N), ones);
        double v = value_of(device, krs_variance(in, KRS_ALL_AXES, 0), x,
                            sizeof(float) * N);
        ck_assert_msg(fabs(v - exact) < 1e-3 * exact, "%s: %.9g, not %.9g",
                      krs_device_name(device), v, exact);
        /* normalised, the squares have a mean of 1 */
        krs_node y = krs_layer_norm(in, w, KRS_NONE, 0);
        double one = value_of(device, krs_mean(krs_square(y), KRS_ALL_AXES), x,
                              sizeof(float) * N);
        ck_assert_msg(fabs(one - 1) < 1e-3, "%s: %.9g", krs_device_name(device),
                      one);
        krs_graph_free(g);
        krs_device_close(device);
    }
    free(x);
    free(ones);
}
END_TEST

START_TEST(rotations_at_position_100000_are_exact)
{
    enum { COUNT = 32, POSITIONS = 4 };
    static const int64_t position[POSITIONS] = {0, 1, 100000, 1000003};
    double frequency[COUNT];
    float first[POSITIONS * COUNT];
    for (int i = 0; i < COUNT; i++)
        frequency[i] = pow(1e4, -(double)i / COUNT);
    for (int d = 0; d < EVERY_DEVICE; d++) {
        float got[POSITIONS * COUNT];
        krs_device *device = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        krs_node p = krs_constant(g, KRS_I64, KRS_SHAPE(POSITIONS), position);
        krs_node y = krs_rope_angles(p, frequency, COUNT);
        krs_store *store;
        krs_program *program;
        krs_store_new(device, &store, &err);
        ck_assert_int_eq(krs_program_new(store, &y, 1, &program, &err), KRS_OK);
        ck_assert_int_eq(krs_program_run(program, &err), KRS_OK);
        krs_program_read(program, 0, got, sizeof got, &err);
        for (int i = 0; i < POSITIONS * COUNT; i++) {
            long double turn = 6.283185307179586476925286766559L;
            long double angle = remainderl(
                (long double)position[i / COUNT] * frequency[i % COUNT], turn);
            ck_assert_msg(fabs((double)(sinl(angle) - sinl(got[i]))) < 1e-6,
                          "%s: position %lld, %d: %.9g, not %.9Lg",
                          krs_device_name(device),
                          (long long)position[i / COUNT], i % COUNT,
                          (double)got[i], angle);
        }
        if (d == 1) /* fixed point: the same bits from every kernel */
            memcpy(first, got, sizeof first);
        if (d > 1)
            ck_assert(!memcmp(first, got, sizeof first));
        krs_program_free(program);
        krs_store_free(store);
        krs_graph_free(g);
        krs_device_close(device);
    }
}
END_TEST

SUITE(runs_threads_places_and_caches_change_no_bit,
      ten_million_tenths_are_a_million,
      long_sums_are_made_in_parts_along_any_axis,
      a_variance_survives_a_mean_of_ten_thousand,
      rotations_at_position_100000_are_exact)
