/* test_composite_sort.c -- order along an axis against qsort of the C library,
 * on every device.
 */
#include "every_device.h"
#include "one_run.h"
#include "temp_folder.h"

#include <krs/krs.h>

#include <math.h>
#include <stdlib.h>

enum { MOST = 3 * 130 };

static const float *keys;
static bool descending;

static int
by_key(const void *a, const void *b)
{
    int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    float x = keys[i], y = keys[j];
    bool nans = isnan(x) || isnan(y);
    int order = nans ? isnan(x) - isnan(y) : (x > y) - (x < y);
    order = descending ? -order : order;
    return order ? order : (i > j) - (i < j);
}

/* [3, n] along axis 1, or [n, 3] along axis 0 */
static void
assert_sorted(krs_device *device, int64_t n, int axis, const float *x)
{
    static float row[MOST], value[MOST];
    static int64_t want[MOST], index[MOST];
    size_t count = (size_t)(3 * n);
    krs_graph *g = krs_graph_new();
    krs_shape shape = axis ? KRS_SHAPE(3, n) : KRS_SHAPE(n, 3);
    krs_node out[2];
    out[0] =
        krs_sort(krs_input(g, "x", KRS_F32, shape), axis, descending, &out[1]);
    one_input in = {"x", x, count * sizeof *x};
    void *into[2] = {value, index};
    size_t bytes[2] = {count * sizeof *value, count * sizeof *index};
    one_run(device, out, 2, &in, 1, into, bytes);
    for (int64_t r = 0; r < 3; r++) {
        int64_t step = axis ? 1 : 3, from = axis ? r * n : r;
        for (int64_t i = 0; i < n; i++) {
            row[i] = x[from + i * step];
            want[i] = i;
        }
        keys = row;
        qsort(want, (size_t)n, sizeof *want, by_key);
        for (int64_t i = 0; i < n; i++) {
            int64_t at = from + i * step;
            ck_assert_msg(index[at] == want[i],
                          "%lld of axis %d, row %lld: place %lld is %lld, not "
                          "%lld",
                          (long long)n, axis, (long long)r, (long long)i,
                          (long long)index[at], (long long)want[i]);
            ck_assert(value[at] == row[want[i]] ||
                      (isnan(value[at]) && isnan(row[want[i]])));
        }
    }
    krs_graph_free(g);
}

START_TEST(elements_come_in_order_and_equal_ones_stay_in_theirs)
{
    static const int64_t sizes[] = {1, 2, 3, 17, 64, 130};
    static float x[MOST];
    /* most stages are the same kernels, compiled once */
    krs_device_options options = {.struct_size = sizeof options,
                                  .cache = temp_folder()};
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, &options);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int kind = 0; kind < 4; kind++) {
                for (int i = 0; i < MOST; i++) { /* many ties, some special */
                    uint32_t u =
                        krs_random_u32(1, s, (uint32_t)kind, (uint64_t)i);
                    x[i] = u % 19 == 0   ? NAN
                           : u % 23 == 0 ? INFINITY
                           : u % 29 == 0 ? -INFINITY
                                         : (float)(u % 11) - 5;
                }
                descending = kind & 1;
                assert_sorted(device, sizes[s], kind >> 1, x);
            }
        krs_device_close(device);
    }
}
END_TEST

START_TEST(integers_reach_both_ends_of_their_type)
{
    static const int64_t x[5] = {INT64_MAX, 0, INT64_MIN, INT64_MAX, -1};
    static const int64_t up[5] = {2, 4, 1, 0, 3}, down[5] = {0, 3, 1, 4, 2};
    static const int64_t little[5] = {127, 0, -128, 127, -1};
    int8_t small[5];
    for (int i = 0; i < 5; i++)
        small[i] = (int8_t)little[i];
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        krs_node a = krs_input(g, "a", KRS_I64, KRS_SHAPE(5));
        krs_node b = krs_input(g, "b", KRS_I8, KRS_SHAPE(5));
        krs_node out[4] = {krs_argsort(a, 0, false), krs_argsort(a, 0, true),
                           krs_argsort(b, 0, false), krs_argsort(b, 0, true)};
        int64_t got[4][5];
        void *into[4] = {got[0], got[1], got[2], got[3]};
        size_t bytes[4] = {sizeof *got, sizeof *got, sizeof *got, sizeof *got};
        one_input in[2] = {
            {"a", x,     sizeof x    },
            {"b", small, sizeof small}
        };
        one_run(device, out, 4, in, 2, into, bytes);
        for (int i = 0; i < 4; i++)
            ck_assert_mem_eq(got[i], i % 2 ? down : up, sizeof up);
        krs_graph_free(g);
        krs_device_close(device);
    }
}
END_TEST

START_TEST(topk_refuses_more_than_there_are)
{
    krs_error err;
    krs_graph *g = krs_graph_new();
    krs_topk(krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 7)), 8, -1, true, NULL);
    ck_assert_int_eq(krs_graph_check(g, &err), KRS_E_RANGE);
    ck_assert_ptr_nonnull(
        strstr(err.text, "topk: k 8 is outside [0, 7], the size of axis -1"));
    krs_graph_free(g);
}
END_TEST

SUITE(elements_come_in_order_and_equal_ones_stay_in_theirs,
      integers_reach_both_ends_of_their_type, topk_refuses_more_than_there_are)
