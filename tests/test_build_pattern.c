/* test_build_pattern.c -- patterns of places on every device: relative buckets
 * against those of the reference code of T5, the mask of a prefix. The others of
 * the file have golden cases (kersey conform).
 */
#include "every_device.h"

#include <krs/array.h>

#include <string.h>

static krs_error err;

static void
must(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

/* The output of a graph on a device, `bytes` of it. */
static void
compute(int which, krs_node y, void *out, size_t bytes)
{
    krs_store *store;
    krs_program *p;
    krs_device *device = open_every(which, NULL);
    must(krs_store_new(device, &store, &err));
    must(krs_program_new(store, &y, 1, &p, &err));
    must(krs_program_run(p, &err));
    must(krs_program_read(p, 0, out, bytes, &err));
    krs_program_free(p);
    krs_store_free(store);
    krs_device_close(device);
}

/* buckets of distances first .. first + count - 1 */
static void
expect_buckets(krs_sides sides, int64_t buckets, int64_t most, int64_t first,
               int count, const int64_t *want)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        int64_t got[64];
        krs_graph *g = krs_graph_new();
        krs_node x = krs_offset(krs_iota(g, KRS_I64, KRS_SHAPE(count), 0),
                                (double)first);
        compute(d, krs_relative_buckets(x, buckets, most, sides), got,
                (size_t)count * sizeof *got);
        for (int i = 0; i < count; i++)
            ck_assert_msg(got[i] == want[i], "distance %lld: %lld, not %lld",
                          (long long)(first + i), (long long)got[i],
                          (long long)want[i]);
        krs_graph_free(g);
    }
}

START_TEST(buckets_of_both_sides_are_those_of_t5)
{
    /* _relative_position_bucket of transformers, 32 buckets up to 128 */
    const int64_t want[] = {10, 10, 10, 10, 10, 9,  9,  9,  9,  8,  8,
                            8,  8,  7,  6,  5,  4,  3,  2,  1,  0,  17,
                            18, 19, 20, 21, 22, 23, 24, 24, 24, 24, 25,
                            25, 25, 25, 26, 26, 26, 26, 26};
    const int64_t far[] = {15, 15, 15};
    expect_buckets(KRS_BOTH_SIDES, 32, 128, -20, 41, want);
    expect_buckets(KRS_BOTH_SIDES, 32, 128, -129, 3, far);
}
END_TEST

START_TEST(buckets_of_the_past_end_at_the_own_place)
{
    const int64_t near[] = {16, 15, 14}, end[] = {1, 0, 0, 0},
                  far[] = {31, 31, 31};
    expect_buckets(KRS_PAST_ONLY, 32, 128, -16, 3, near);
    expect_buckets(KRS_PAST_ONLY, 32, 128, -1, 4, end);
    expect_buckets(KRS_PAST_ONLY, 32, 128, -128, 3, far);
    const int64_t thirds[] = {26, 21, 21};
    expect_buckets(KRS_PAST_ONLY, 32, 128, -64, 1, thirds);
    expect_buckets(KRS_PAST_ONLY, 32, 128, -33, 2, thirds + 1);
}
END_TEST

START_TEST(a_prefix_is_seen_by_all_of_its_row)
{
    enum { B = 2, T = 4, S = 5 };
    const int64_t lengths[B] = {3, 0};
    for (int d = 0; d < EVERY_DEVICE; d++) {
        bool got[B * T * S];
        krs_graph *g = krs_graph_new();
        krs_node prefix = krs_constant(g, KRS_I64, KRS_SHAPE(B), lengths);
        krs_node mask = krs_prefix_mask(prefix, T, S);
        ck_assert_int_eq(krs_node_shape(mask).rank, 4);
        compute(d, mask, got, sizeof got);
        for (int b = 0; b < B; b++)
            for (int t = 0; t < T; t++)
                for (int s = 0; s < S; s++)
                    ck_assert_int_eq(got[(b * T + t) * S + s],
                                     s <= t || s < lengths[b]);
        krs_graph_free(g);
    }
}
END_TEST

static void
expect_poison(krs_graph *g, krs_node y, krs_status status, const char *reason)
{
    ck_assert(!krs_node_is_valid(y));
    ck_assert_int_eq(krs_graph_check(g, &err), status);
    ck_assert_msg(strstr(err.text, reason) != NULL, "%s", err.text);
    krs_graph_free(g);
}

static krs_node
places(krs_graph **g)
{
    *g = krs_graph_new();
    return krs_iota(*g, KRS_I64, KRS_SHAPE(2, 3), 0);
}

START_TEST(buckets_and_prefixes_that_make_no_sense_are_refused)
{
    krs_graph *g;
    krs_node x = places(&g);
    expect_poison(g, krs_relative_buckets(x, 7, 20, KRS_BOTH_SIDES),
                  KRS_E_RANGE, "relative_buckets");
    x = places(&g);
    expect_poison(g, krs_relative_buckets(x, 1, 20, KRS_PAST_ONLY), KRS_E_RANGE,
                  "1 buckets up to distance 20");
    x = places(&g);
    expect_poison(g, krs_relative_buckets(x, 8, 4, KRS_PAST_ONLY), KRS_E_RANGE,
                  "8 buckets up to distance 4");
    x = places(&g);
    expect_poison(g, krs_relative_buckets(x, 8, 1 << 21, KRS_BOTH_SIDES),
                  KRS_E_RANGE, "at most 1048576");
    x = places(&g);
    expect_poison(g, krs_prefix_mask(x, 4, 4), KRS_E_SHAPE,
                  "prefix i64[2,3] where a length a row [B] is needed");
}
END_TEST

SUITE(buckets_of_both_sides_are_those_of_t5,
      buckets_of_the_past_end_at_the_own_place,
      a_prefix_is_seen_by_all_of_its_row,
      buckets_and_prefixes_that_make_no_sense_are_refused)
