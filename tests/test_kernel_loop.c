/* test_kernel_loop.c -- scans on every device: the bits of the same thing
 * written out, forwards and backwards.
 *
 * Each case builds its graph twice, with a scan and without, and all outputs
 * must have the same bits on interp and cpu, whatever fusion, the use of memory
 * and the number of threads are; eval agrees to 1e-5.
 */
#include <krs/ops.h>
#include <krs/program.h>
#include <krs/scan.h>

#include "graph/ir/ir.h"
#include "suite.h"
#include "temp_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUTS = 10, BYTES = 8192, T = 5 };

/* build the outputs; gives how many */
typedef int build_case(krs_graph *g, bool scan, krs_node *out);

#define S(...)    KRS_SHAPE(__VA_ARGS__)
#define F(n, ...) krs_input(g, n, KRS_F32, S(__VA_ARGS__))

/* xs[t] without the axis */
static krs_node
part(krs_node xs, int t)
{
    return krs_squeeze(krs_narrow(xs, 0, KRS_INDEX(t), 1), 0);
}

static krs_node
loss_of(krs_node ys, krs_node last)
{
    krs_node c = krs_input(ys.graph, "c", KRS_F32, krs_node_shape(ys));
    return krs_add(krs_sum(krs_mul(ys, c), KRS_ALL_AXES),
                   krs_sum(krs_sin(last), KRS_ALL_AXES));
}

static krs_node
cell(krs_node x, krs_node h, krs_node wx, krs_node wh, krs_node b)
{
    return krs_tanh(krs_add(krs_add(krs_matmul(x, wx), krs_matmul(h, wh)), b));
}

static int
recurrent(krs_graph *g, bool scan, int length, bool reverse, krs_node *out)
{
    krs_node xs = F("xs", length, 3, 4), h0 = F("h0", 3, 6);
    krs_node wx = F("wx", 4, 6), wh = F("vh", 6, 6), b = F("b", 3, 6);
    krs_node ys = KRS_NONE, zs = ys, last = h0, y[T], z[T];
    if (scan) {
        krs_scan s = krs_scan_begin(
            g, length, reverse ? KRS_SCAN_REVERSE : KRS_SCAN_FORWARD);
        krs_node h = krs_scan_carry(s, h0), x = krs_scan_x(s, xs);
        krs_node next = cell(x, h, wx, wh, b), kept = krs_square(next);
        krs_scan_next(s, h, next);
        krs_scan_keep(s, kept);
        krs_scan_keep(s, next);
        krs_scan_end(s);
        last = krs_scan_last(s, h);
        ys = krs_scan_kept(s, kept);
        zs = krs_scan_kept(s, next);
    } else {
        krs_node none = krs_full(g, KRS_F32, S(0, 3, 6), 0);
        for (int k = 0; k < length; k++) {
            int t = reverse ? length - 1 - k : k;
            z[t] = last = cell(part(xs, t), last, wx, wh, b);
            y[t] = krs_square(last);
        }
        ys = length ? krs_stack(y, length, 0) : none;
        zs = length ? krs_stack(z, length, 0) : none;
    }
    const krs_node wrt[] = {xs, h0, wx, wh, b};
    out[0] = last;
    out[1] = ys;
    out[2] = krs_amax(krs_sum(zs, KRS_AXES(0)), KRS_ALL_AXES); /* not zs */
    krs_grad(loss_of(ys, last), wrt, 5, out + 3);
    return 8;
}

static int
forwards(krs_graph *g, bool scan, krs_node *out)
{
    return recurrent(g, scan, T, false, out);
}

static int
backwards(krs_graph *g, bool scan, krs_node *out)
{
    return recurrent(g, scan, T - 1, true, out);
}

static int
once(krs_graph *g, bool scan, krs_node *out)
{
    return recurrent(g, scan, 1, false, out);
}

static int
never(krs_graph *g, bool scan, krs_node *out)
{
    return recurrent(g, scan, 0, false, out);
}

/* Carries that cross, one that nobody changes, one that nobody reads, a counter
 * of integers, and the number of the iteration. */
static int
crossing(krs_graph *g, bool scan, krs_node *out)
{
    krs_node a0 = F("a", 7), b0 = F("b", 7), c0 = F("fixed", 7);
    krs_node n0 = krs_input(g, "n", KRS_I64, S(2)), y[T];
    if (!scan) {
        krs_node a = a0, b = b0, n = n0;
        for (int t = 0; t < T; t++) {
            krs_node old = a;
            y[t] = krs_offset(krs_mul(a, c0), t);
            a = b;
            b = old;
            n = krs_offset(n, t);
        }
        out[0] = a;
        out[1] = b;
        out[2] = n;
        out[3] = krs_stack(y, T, 0);
        out[4] = y[T - 1];
        out[5] = c0;
        return 6;
    }
    krs_scan s = krs_scan_begin(g, T, KRS_SCAN_FORWARD);
    krs_node t = krs_scan_iteration(s);
    krs_node a = krs_scan_carry(s, a0), b = krs_scan_carry(s, b0);
    krs_node n = krs_scan_carry(s, n0), c = krs_scan_carry(s, c0);
    krs_node d = krs_scan_carry(s, c0);
    krs_node kept = krs_add(krs_mul(a, c), krs_cast(t, KRS_F32));
    krs_scan_next(s, a, b);
    krs_scan_next(s, b, a);
    krs_scan_next(s, n, krs_add(n, t));
    krs_scan_next(s, c, c);
    krs_scan_next(s, d, kept);
    krs_scan_keep(s, kept);
    krs_scan_end(s);
    out[0] = krs_scan_last(s, a);
    out[1] = krs_scan_last(s, b);
    out[2] = krs_scan_last(s, n);
    out[3] = krs_scan_kept(s, kept);
    out[4] = krs_scan_last(s, d);
    out[5] = krs_scan_last(s, c);
    return 6;
}

/* A scan in a scan, with gradients through both. */
static int
nested(krs_graph *g, bool scan, krs_node *out)
{
    krs_node xs = F("xs", 3, 2, 5), w = F("w", 5), h0 = F("h0", 5), last = h0;
    if (scan) {
        krs_scan s = krs_scan_begin(g, 3, KRS_SCAN_FORWARD);
        krs_node h = krs_scan_carry(s, h0), x = krs_scan_x(s, xs);
        krs_scan in = krs_scan_begin(g, 2, KRS_SCAN_REVERSE);
        krs_node k = krs_scan_carry(in, h), v = krs_scan_x(in, x);
        krs_scan_next(in, k, krs_tanh(krs_add(krs_mul(k, w), v)));
        krs_scan_end(in);
        krs_scan_next(s, h, krs_mul(krs_scan_last(in, k), w));
        krs_scan_end(s);
        last = krs_scan_last(s, h);
    } else {
        for (int i = 0; i < 3; i++) {
            for (int k = 1; k >= 0; k--)
                last =
                    krs_tanh(krs_add(krs_mul(last, w), part(part(xs, i), k)));
            last = krs_mul(last, w);
        }
    }
    const krs_node wrt[] = {xs, h0};
    out[0] = last;
    krs_grad(krs_sum(krs_square(last), KRS_ALL_AXES), wrt, 2, out + 1);
    return 3;
}

/* A body that reduces, gathers and draws random numbers; xs that do not lie in
 * one piece; a table that every iteration reads. */
static int
mixed(krs_graph *g, bool scan, krs_node *out)
{
    krs_node table = F("table", 6, 8), h0 = F("h0", 3, 8);
    krs_node ids = krs_input(g, "ids", KRS_I64, S(T, 3));
    krs_node across = F("xs", 8, T), xs = krs_transpose(across, 0, 1);
    krs_node seed = krs_input(g, "seed", KRS_I64, KRS_SCALAR);
    krs_node step = krs_scalar(g, KRS_I64, 3), y[T], h = h0, next = h0;
    krs_node mask = krs_random_uniform(seed, step, S(T, 3, 8), 7);
    krs_node scale = krs_narrow(krs_reshape(table, S(48)), 0, KRS_INDEX(8), 8);
    krs_scan s = {NULL, 0};
    if (scan) {
        s = krs_scan_begin(g, T, KRS_SCAN_FORWARD);
        h = krs_scan_carry(s, h0);
    }
    for (int t = 0; t < (scan ? 1 : T); t++) {
        krs_node x = scan ? krs_scan_x(s, xs) : part(xs, t);
        krs_node id = scan ? krs_scan_x(s, ids) : part(ids, t);
        krs_node u =
            scan ? krs_random_uniform(seed, step, S(3, 8), 7) : part(mask, t);
        krs_node rows = krs_softmax(krs_add(krs_take(table, id, 0), x), -1);
        next = krs_rms_norm(krs_add(h, rows), scale, 1e-3);
        y[t] = krs_sum(krs_mul(next, u), KRS_AXES(-1));
        if (!scan)
            h = next;
    }
    if (scan) {
        krs_scan_next(s, h, next);
        krs_scan_keep(s, y[0]);
        krs_scan_end(s);
    }
    krs_node ys = scan ? krs_scan_kept(s, y[0]) : krs_stack(y, T, 0);
    krs_node last = scan ? krs_scan_last(s, h) : h;
    const krs_node wrt[] = {h0, across};
    out[0] = ys;
    out[1] = last;
    krs_grad(loss_of(ys, last), wrt, 2, out + 2);
    return 4;
}

/* A body that looks where a runtime integer says. */
static int
variable(krs_graph *g, bool scan, krs_node *out)
{
    krs_node xs = F("xs", T, 6), h0 = F("h0", 2), h = h0, y[T];
    krs_index pos = krs_var(g, "pos", 0, 4);
    krs_scan s = {NULL, 0};
    if (scan) {
        s = krs_scan_begin(g, T, KRS_SCAN_FORWARD);
        h = krs_scan_carry(s, h0);
    }
    for (int t = 0; t < (scan ? 1 : T); t++) {
        krs_node x = scan ? krs_scan_x(s, xs) : part(xs, t);
        y[t] = krs_add(krs_scale(h, 0.5), krs_narrow(x, 0, pos, 2));
        if (!scan)
            h = y[t];
    }
    if (scan) {
        krs_scan_next(s, h, y[0]);
        krs_scan_keep(s, y[0]);
        krs_scan_end(s);
    }
    krs_node last = scan ? krs_scan_last(s, h) : h;
    out[0] = scan ? krs_scan_kept(s, y[0]) : krs_stack(y, T, 0);
    out[1] = last;
    krs_grad(loss_of(out[0], last), &xs, 1, out + 2);
    return 3;
}

static const struct {
    const char *name;
    build_case *build;
} cases[] = {
    {"forwards",  forwards },
    {"backwards", backwards},
    {"once",      once     },
    {"never",     never    },
    {"crossing",  crossing },
    {"nested",    nested   },
    {"mixed",     mixed    },
    {"variable",  variable },
};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- running ---- */

typedef struct results {
    unsigned char data[OUTPUTS][BYTES];
    size_t bytes[OUTPUTS];
    krs_dtype dtype[OUTPUTS];
    int count;
} results;

static krs_error err;
#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)

/* numbers in [-1, 1), ids from 0 to 3 */
static void
set_inputs(krs_program *p, krs_graph *g)
{
    for (size_t i = 0; i < g->leaves; i++) {
        krs_node x = krs_graph_node(g, g->leaf[i]);
        bool is_float = krs_node_dtype(x) == KRS_F32;
        int64_t count;
        float f[512];
        int64_t k[64];
        uint32_t z = (uint32_t)(krs_node_name(x)[0] * 7919);
        krs_shape_elements(krs_node_shape(x), &count);
        for (int64_t j = 0; j < count; j++) {
            z = z * 1664525u + 1013904223u;
            if (is_float)
                f[j] = (float)(z >> 8) * 0x1p-23f - 1;
            else
                k[j] = z >> 8 & 3;
        }
        OK(krs_program_set_input(p, krs_node_name(x),
                                 is_float ? (void *)f : (void *)k,
                                 (size_t)count * (is_float ? 4 : 8), &err));
    }
}

static void
run_on(krs_device *device, build_case *build, bool scan, results *out)
{
    krs_graph *g = krs_graph_new();
    krs_node node[OUTPUTS];
    krs_store *store;
    krs_program *p;
    memset(out, 0, sizeof *out);
    out->count = build(g, scan, node);
    OK(krs_graph_check(g, &err));
    OK(krs_store_new(device, &store, &err));
    OK(krs_program_new(store, node, (size_t)out->count, &p, &err));
    set_inputs(p, g);
    if (g->vars)
        OK(krs_program_set_var(p, "pos", 3, &err));
    OK(krs_program_run(p, &err));
    OK(krs_program_run(p, &err)); /* nothing is left over from the first */
    for (int i = 0; i < out->count; i++) {
        int64_t elements;
        krs_shape_elements(krs_node_shape(node[i]), &elements);
        out->dtype[i] = krs_node_dtype(node[i]);
        krs_dtype_bytes(out->dtype[i], elements, &out->bytes[i]);
        ck_assert_uint_le(out->bytes[i], BYTES);
        OK(krs_program_read(p, (size_t)i, out->data[i], out->bytes[i], &err));
    }
    krs_program_free(p);
    krs_store_free(store);
    krs_graph_free(g);
}

/* but for the sign of zero: a sum that begins with 0 has no -0 */
static bool
same_bits(const results *x, const results *y, int i)
{
    const float *a = (const void *)x->data[i], *b = (const void *)y->data[i];
    if (x->dtype[i] != KRS_F32)
        return memcmp(x->data[i], y->data[i], x->bytes[i]) == 0;
    for (size_t k = 0; k < x->bytes[i] / 4; k++)
        if (a[k] != b[k])
            return false;
    return true;
}

static void
assert_same(const results *x, const results *y, const char *what)
{
    ck_assert_int_eq(x->count, y->count);
    for (int i = 0; i < x->count; i++) {
        ck_assert_uint_eq(x->bytes[i], y->bytes[i]);
        ck_assert_msg(same_bits(x, y, i), "%s: output %d", what, i);
    }
}

static void
assert_close(const results *x, const results *y, const char *what)
{
    for (int i = 0; i < x->count; i++) {
        const float *a = (const void *)x->data[i];
        const float *b = (const void *)y->data[i];
        for (size_t k = 0; x->dtype[i] == KRS_F32 && k < x->bytes[i] / 4; k++)
            ck_assert_msg(fabsf(a[k] - b[k]) <= 1e-5f * (1 + fabsf(b[k])),
                          "%s: output %d, element %zu: %g, %g", what, i, k,
                          (double)a[k], (double)b[k]);
    }
}

/* false: the device is not there. Kernels that cases share compile once. */
static bool
open_device(const char *name, uint32_t threads, bool unfused,
            krs_memory_use memory, krs_device **out)
{
    krs_device_options options = {.struct_size = sizeof options,
                                  .modules = KERSEY_MODULE_DIR,
                                  .cache = temp_folder(),
                                  .threads = threads,
                                  .unfused = unfused,
                                  .memory = memory};
    krs_status status = krs_device_open_with(name, &options, out, &err);
    if (status == KRS_E_DEVICE)
        return false;
    OK(status);
    return true;
}

static results a, b, written_out;

START_TEST(a_scan_has_the_bits_of_what_it_says_written_out)
{
    static const struct {
        const char *device;
        uint32_t threads;
        bool unfused;
        krs_memory_use memory;
    } ways[] = {
        {"interp", 1, false, KRS_MEMORY_SHARED  },
        {"interp", 1, true,  KRS_MEMORY_POISONED},
        {"interp", 1, false, KRS_MEMORY_POISONED},
        {"interp", 1, true,  KRS_MEMORY_SEPARATE},
        {"cpu",    2, false, KRS_MEMORY_SHARED  },
        {"cpu",    1, true,  KRS_MEMORY_SHARED  },
        {"cpu",    4, false, KRS_MEMORY_POISONED},
    };
    for (size_t c = 0; c < CASES; c++) {
        const char *last = "";
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            krs_device *device;
            char what[80];
            if (!open_device(ways[w].device, ways[w].threads, ways[w].unfused,
                             ways[w].memory, &device))
                continue;
            snprintf(what, sizeof what, "%s, way %zu", cases[c].name, w);
            if (strcmp(last, ways[w].device) != 0)
                run_on(device, cases[c].build, false, &written_out);
            run_on(device, cases[c].build, true, &a);
            assert_same(&a, &written_out, what);
            last = ways[w].device;
            krs_device_close(device);
        }
    }
}
END_TEST

START_TEST(the_interpreter_of_graphs_agrees)
{
    krs_device *eval, *interp;
    ck_assert(open_device("eval", 1, false, KRS_MEMORY_SHARED, &eval));
    ck_assert(open_device("interp", 1, false, KRS_MEMORY_SHARED, &interp));
    for (size_t c = 0; c < CASES; c++) {
        run_on(eval, cases[c].build, true, &a);
        run_on(eval, cases[c].build, false, &b);
        assert_close(&a, &b, cases[c].name);
        run_on(interp, cases[c].build, true, &b);
        assert_close(&a, &b, cases[c].name);
    }
    krs_device_close(eval);
    krs_device_close(interp);
}
END_TEST

/* ---- what goes wrong ---- */

/* state += sum over t of table[ids[t]] */
static krs_program *
taking(krs_device *device, krs_graph *g, krs_store *store)
{
    (void)device;
    krs_program *p;
    krs_node table = F("table", 6, 4), ids = krs_input(g, "ids", KRS_I64, S(T));
    krs_node total = krs_state(g, "total", KRS_F32, S(4));
    krs_scan s = krs_scan_begin(g, T, KRS_SCAN_FORWARD);
    krs_node sum = krs_scan_carry(s, total), id = krs_scan_x(s, ids);
    krs_node row = krs_take(table, id, 0);
    krs_scan_next(s, sum, krs_add(sum, row));
    krs_scan_end(s);
    krs_node out = krs_update(total, krs_scan_last(s, sum));
    OK(krs_program_new(store, &out, 1, &p, &err));
    float rows[24];
    for (int i = 0; i < 24; i++)
        rows[i] = (float)i;
    OK(krs_program_set_input(p, "table", rows, sizeof rows, &err));
    return p;
}

static const char *const devices[] = {"eval", "interp", "cpu"};

START_TEST(an_index_outside_its_axis_in_a_body_is_reported_and_changes_nothing)
{
    for (int d = 0; d < 3; d++) {
        krs_device *device;
        krs_store *store;
        if (!open_device(devices[d], 2, false, KRS_MEMORY_SHARED, &device))
            continue;
        krs_graph *g = krs_graph_new();
        OK(krs_store_new(device, &store, &err));
        krs_program *p = taking(device, g, store);
        int64_t ids[T] = {0, 1, 6, 2, 3};
        float total[4];
        OK(krs_program_set_input(p, "ids", ids, sizeof ids, &err));
        ck_assert_int_eq(krs_program_run(p, &err), KRS_E_RANGE);
        ck_assert_msg(strstr(err.text, "take: index 6 ") &&
                          strstr(err.text, "(test_kernel_loop.c:"),
                      "%s", err.text);
        OK(krs_store_read(store, "total", total, sizeof total, &err));
        ck_assert_float_eq(total[1], 0);
        ids[2] = 5;
        OK(krs_program_set_input(p, "ids", ids, sizeof ids, &err));
        OK(krs_program_run(p, &err));
        OK(krs_store_read(store, "total", total, sizeof total, &err));
        ck_assert_float_eq(total[1], 1 + 5 + 21 + 9 + 13);
        krs_program_free(p);
        krs_store_free(store);
        krs_graph_free(g);
        krs_device_close(device);
    }
}
END_TEST

START_TEST(a_loop_can_be_cancelled)
{
    for (int d = 0; d < 3; d++) {
        krs_device *device;
        krs_store *store;
        if (!open_device(devices[d], 2, false, KRS_MEMORY_SHARED, &device))
            continue;
        krs_graph *g = krs_graph_new();
        OK(krs_store_new(device, &store, &err));
        krs_program *p = taking(device, g, store);
        int64_t ids[T] = {0};
        OK(krs_program_set_input(p, "ids", ids, sizeof ids, &err));
        krs_program_cancel(p);
        ck_assert_int_eq(krs_program_run(p, &err), KRS_E_CANCELLED);
        OK(krs_program_run(p, &err));
        krs_program_free(p);
        krs_store_free(store);
        krs_graph_free(g);
        krs_device_close(device);
    }
}
END_TEST

/* Two of the three gradients of a recurrence that are sums over time lie in
 * place; nothing of the size [T, ..] is there but what is asked for. */
START_TEST(listings_and_profiles_show_loops)
{
    krs_device *device;
    krs_store *store;
    krs_program *p;
    krs_node out[OUTPUTS];
    krs_launch_info info = {.struct_size = sizeof info};
    char *text;
    ck_assert(open_device("interp", 1, false, KRS_MEMORY_SHARED, &device));
    krs_graph *g = krs_graph_new();
    int count = forwards(g, true, out);
    OK(krs_store_new(device, &store, &err));
    OK(krs_program_new(store, out, (size_t)count, &p, &err));
    OK(krs_program_print(p, "launch", &text, &err));
    ck_assert_ptr_nonnull(strstr(text, "scan  5 times"));
    ck_assert_ptr_nonnull(strstr(text, "\n  wave 0  kernel"));
    free(text);
    OK(krs_program_print(p, "sched", &text, &err));
    ck_assert_ptr_nonnull(strstr(text, "scan loop\n    5 times:"));
    ck_assert_ptr_nonnull(strstr(text, "5 times, from the end:"));
    ck_assert_ptr_nonnull(strstr(text, "in place"));
    ck_assert_ptr_nonnull(strstr(text, "# body of the scan"));
    free(text);
    krs_program_profile(p, true);
    set_inputs(p, g);
    OK(krs_program_run(p, &err));
    size_t launches = 0;
    for (; krs_program_launch(p, launches, &info, &err) == KRS_OK; launches++)
        ck_assert_uint_gt(info.time_ns, 0);
    ck_assert_uint_gt(launches, 5);
    krs_program_free(p);
    krs_store_free(store);
    krs_graph_free(g);
    krs_device_close(device);
}
END_TEST

START_TEST(a_launch_of_a_body_counts_all_iterations)
{
    krs_device *device;
    krs_store *store;
    krs_program *p;
    krs_launch_info in = {.struct_size = sizeof in}, out = in;
    ck_assert(open_device("interp", 1, false, KRS_MEMORY_SHARED, &device));
    krs_graph *g = krs_graph_new();
    krs_scan s = krs_scan_begin(g, 6, KRS_SCAN_FORWARD);
    krs_node h = krs_scan_carry(s, F("h", 4));
    krs_scan_next(s, h, krs_mul(h, krs_scan_x(s, F("xs", 6, 4))));
    krs_scan_end(s);
    krs_node last = krs_neg(krs_scan_last(s, h));
    OK(krs_store_new(device, &store, &err));
    OK(krs_program_new(store, &last, 1, &p, &err));
    OK(krs_program_launch(p, 1, &in, &err)); /* the first copies h */
    OK(krs_program_launch(p, 2, &out, &err));
    ck_assert_str_eq(in.primitives, "mul");
    ck_assert_str_eq(out.primitives, "neg");
    ck_assert_double_eq(in.operations, 6 * 4);
    ck_assert_double_eq(in.bytes, 6 * 3 * 16);
    ck_assert_double_eq(out.operations, 4);
    ck_assert_uint_ne(in.kernel, out.kernel);
    krs_program_free(p);
    krs_store_free(store);
    krs_graph_free(g);
    krs_device_close(device);
}
END_TEST

SUITE(a_scan_has_the_bits_of_what_it_says_written_out,
      the_interpreter_of_graphs_agrees,
      an_index_outside_its_axis_in_a_body_is_reported_and_changes_nothing,
      a_loop_can_be_cancelled, listings_and_profiles_show_loops,
      a_launch_of_a_body_counts_all_iterations)
