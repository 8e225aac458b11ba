/* test_build.c -- who waits for a program to be compiled is told how far that
 * is, and can stop it; on every device. (Equal kernels, and the cache, are
 * test_cache.c's.)
 */
#include <krs/ops.h>
#include <krs/program.h>
#include <krs/scan.h>

#include "every_device.h"
#include "temp_folder.h"

static krs_error err;

#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)

enum { MOST = 64, N = 6, SUMS = 9, BATCH = 8 /* build.c, one worker */ };

/* What the watcher saw, and when it says stop. */
typedef struct watcher {
    size_t done[MOST], total[MOST];
    size_t calls;
    size_t stop_at; /* the call that returns false */
} watcher;

static bool
watch(void *context, size_t done, size_t total)
{
    watcher *w = context;
    ck_assert_uint_lt(w->calls, MOST);
    w->done[w->calls] = done;
    w->total[w->calls] = total;
    return w->calls++ != w->stop_at;
}

/* Sums of rows and of columns in turn, each a kernel of its own, for there is
 * one root more in each; and a scan, whose body has kernels too. */
static krs_node
many_kernels(krs_graph *g)
{
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(N));
    krs_node total = krs_state(g, "total", KRS_F32, KRS_SCALAR);
    krs_node table = krs_mul(krs_reshape(x, KRS_SHAPE(N, 1)), x), sums = x;
    for (int i = 0; i < SUMS; i++) {
        for (int k = 0; k < i; k++)
            sums = krs_sqrt(sums);
        sums = krs_sum_keep(krs_mul(table, sums), KRS_AXES(i % 2));
    }
    krs_scan scan = krs_scan_begin(g, N, KRS_SCAN_FORWARD);
    krs_node last = krs_scan_carry(scan, krs_scalar(g, KRS_F32, 0));
    krs_scan_next(scan, last, krs_add(last, krs_scan_x(scan, x)));
    krs_scan_end(scan);
    return krs_update(total, krs_add(krs_add(total, krs_scan_last(scan, last)),
                                     krs_sum(sums, KRS_ALL_AXES)));
}

static krs_status
make(krs_store *store, krs_program **out)
{
    krs_graph *g = krs_graph_new();
    krs_node root = many_kernels(g);
    krs_status status = krs_program_new(store, &root, 1, out, &err);
    krs_graph_free(g);
    return status;
}

static float
run(krs_store *store, krs_program *p)
{
    const float x[N] = {0, 0.1F, 0.2F, 0.3F, 0.4F, 0.5F};
    float total;
    OK(krs_program_set_input(p, "x", x, sizeof x, &err));
    OK(krs_program_run(p, &err));
    OK(krs_store_read(store, "total", &total, sizeof total, &err));
    return total;
}

static krs_device *
open_watched(int i, watcher *w, const char *cache)
{
    const krs_device_options options = {.cache = cache,
                                        .threads = 1,
                                        .compiling = watch,
                                        .context = w,
                                        .struct_size = sizeof options};
    w->calls = 0;
    w->stop_at = SIZE_MAX;
    return open_every(i, &options);
}

static bool
is_eval(int i)
{
    return strcmp(every_device[i], "eval") == 0;
}

START_TEST(every_kernel_is_reported_once_from_none_to_all)
{
    for (int i = 0; i < EVERY_DEVICE; i++) {
        watcher w;
        krs_device *device = open_watched(i, &w, NULL), *unwatched;
        krs_store *store, *other;
        krs_program *p, *q;
        OK(krs_store_new(device, &store, &err));
        OK(make(store, &p));
        if (is_eval(i)) {
            ck_assert_uint_eq(w.calls, 0);
        } else {
            ck_assert_uint_gt(w.calls, BATCH + 2);
            for (size_t k = 0; k < w.calls; k++) {
                ck_assert_uint_eq(w.done[k], k);
                ck_assert_uint_eq(w.total[k], w.calls - 1);
            }
        }
        /* the bits are those of a program that nobody watched */
        unwatched = open_every(i, NULL);
        OK(krs_store_new(unwatched, &other, &err));
        OK(make(other, &q));
        ck_assert(run(store, p) == run(other, q));
        krs_program_free(q);
        krs_store_free(other);
        krs_device_close(unwatched);
        /* a clone has nothing to compile */
        size_t before = w.calls;
        OK(krs_program_clone(p, store, &q, &err));
        ck_assert_uint_eq(w.calls, before);
        krs_program_free(q);
        krs_program_free(p);
        krs_store_free(store);
        krs_device_close(device);
    }
}
END_TEST

/* What krs_program_new says when call `stop` returned false. */
static void
expect_stopped(const char *name, size_t stop, size_t total)
{
    char want[128];
    if (stop == 0)
        snprintf(want, sizeof want,
                 "%s: compiling was stopped before the first of %zu kernels",
                 name, total);
    else
        snprintf(want, sizeof want,
                 "%s: compiling was stopped after %zu of %zu kernels", name,
                 stop, total);
    ck_assert_str_eq(err.text, want);
}

/* The call that stops next: any of them, but where kernels are compiled, which
 * takes time: those before the first, in a batch, in the second one, and after
 * the last. */
static size_t
next_stop(int i, size_t stop, size_t total)
{
    static const size_t few[] = {1, BATCH + 1};
    if (strcmp(every_device[i], "cpu") != 0)
        return stop + 1;
    for (size_t k = 0; k < sizeof few / sizeof *few; k++)
        if (stop < few[k])
            return few[k];
    return stop < total ? total : total + 1;
}

START_TEST(compiling_stops_at_any_kernel_and_leaves_no_trace)
{
    for (int i = 0; i < EVERY_DEVICE; i++) {
        if (is_eval(i))
            continue;
        watcher w;
        krs_device *device = open_watched(i, &w, NULL);
        krs_device_info info = {.struct_size = sizeof info};
        krs_store *store;
        krs_program *p = NULL;
        size_t total = 0;
        OK(krs_store_new(device, &store, &err));
        for (size_t stop = 0; stop <= total; stop = next_stop(i, stop, total)) {
            w.calls = 0;
            w.stop_at = stop;
            ck_assert_int_eq(make(store, &p), KRS_E_CANCELLED);
            ck_assert_ptr_null(p);
            ck_assert_uint_eq(w.calls, stop + 1);
            total = w.total[0];
            expect_stopped(every_device[i], stop, total);
            ck_assert_uint_eq(krs_store_count(store), 0);
            OK(krs_device_describe(device, &info, &err));
            ck_assert_uint_eq(info.bytes, 0);
        }
        /* and the same device makes the program when it may */
        w.calls = 0;
        w.stop_at = SIZE_MAX;
        OK(make(store, &p));
        ck_assert_uint_eq(w.calls, total + 1);
        ck_assert(run(store, p) > 0);
        krs_program_free(p);
        krs_store_free(store);
        krs_device_close(device);
    }
}
END_TEST

/* Entries of a cache folder. */
static int
count_entries(const char *folder)
{
    char command[640];
    int count = -1;
    snprintf(command, sizeof command, "find '%s' -type f | wc -l", folder);
    FILE *pipe = popen(command, "r");
    ck_assert_int_eq(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    return count;
}

START_TEST(what_was_compiled_before_a_stop_is_kept)
{
    for (int i = 0; i < EVERY_DEVICE; i++) {
        if (is_eval(i))
            continue;
        char cache[512];
        watcher w;
        krs_store *store;
        krs_program *p;
        snprintf(cache, sizeof cache, "%s-%s", temp_path("cache"),
                 every_device[i]);
        krs_device *device = open_watched(i, &w, cache);
        OK(krs_store_new(device, &store, &err));
        w.stop_at = 1;
        ck_assert_int_eq(make(store, &p), KRS_E_CANCELLED);
        int kept = count_entries(cache);
        ck_assert_int_gt(kept, 0);
        ck_assert_int_lt(kept, (int)w.total[0]);
        /* kernels from the cache are reported as those that are made */
        for (int again = 0; again < 2; again++) {
            w.calls = 0;
            w.stop_at = SIZE_MAX;
            OK(make(store, &p));
            ck_assert_uint_eq(w.calls, w.total[0] + 1);
            ck_assert_int_eq(count_entries(cache), (int)w.total[0]);
            krs_program_free(p);
        }
        krs_store_free(store);
        krs_device_close(device);
    }
}
END_TEST

SUITE(every_kernel_is_reported_once_from_none_to_all,
      compiling_stops_at_any_kernel_and_leaves_no_trace,
      what_was_compiled_before_a_stop_is_kept)
