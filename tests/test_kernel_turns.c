/* test_kernel_turns.c -- bounds of an item's loops against loops that are
 * counted by hand: nested, of one trip, over a stretch that begins anywhere.
 */
#include "graph/kernel/kb.h"
#include "suite.h"

#include <stdio.h>

#define HEAD                  \
    "kernel turns\n"          \
    "arg n i64\n"             \
    "buffer @y i64 write\n"   \
    "grid 1\n"                \
    "%n:i64 = arg n\n"        \
    "%g:i64 = axis 0\n"       \
    "%0:i64 = const 0\n"      \
    "%1:i64 = const 1\n"      \
    "%4:i64 = const 4\n"      \
    "%16:i64 = const 16\n"    \
    "%fours:i64 = const -4\n" \
    "%once:i64 = const 4611686018427387904\n"

static int64_t
turns_of(const char *body, int64_t low, int64_t high, int64_t groups)
{
    char text[2000];
    krs_kernel *kernel;
    krs_error err;
    const krsi_range n = {low, high};
    const int64_t grid[] = {groups, 1, 1};
    int64_t turns = -1;
    snprintf(text, sizeof text, "%s%s", HEAD, body);
    ck_assert_msg(krs_kernel_parse(text, &kernel, &err) == KRS_OK, "%s",
                  err.text);
    ck_assert(krsi_kernel_turns(kernel, &n, grid, &turns));
    krs_kernel_free(kernel);
    return turns;
}

START_TEST(a_loop_counts_its_trips_and_the_test_that_ends_it)
{
    static const char body[] = "%i:i64 = for %0 to %n step %4 {\n"
                               "  store @y %0 %i\n"
                               "}\n";
    ck_assert_int_eq(turns_of(body, 0, 0, 1), 1);
    ck_assert_int_eq(turns_of(body, 8, 8, 1), 3);
    ck_assert_int_eq(turns_of(body, 1, 9, 1), 4);
    ck_assert_int_eq(turns_of(body, -5, -1, 1), 1);
    ck_assert_int_eq(turns_of("store @y %0 %n\n", 9, 9, 1), 0);
}
END_TEST

START_TEST(loops_in_loops_count_as_often_as_they_are_come_to)
{
    static const char body[] = "%i:i64 = for %0 to %n step %1 {\n"
                               "  %j:i64 = for %0 to %16 step %4 {\n"
                               "    store @y %i %j\n"
                               "  }\n"
                               "  %k:i64 = for %i to %n step %1 {\n"
                               "    store @y %k %i\n"
                               "  }\n"
                               "}\n";
    /* the third as if it began at 0 each time */
    ck_assert_int_eq(turns_of(body, 10, 10, 1), 11 + 10 * 5 + 10 * 11);
}
END_TEST

START_TEST(a_condition_is_no_loop_but_what_is_in_it_counts)
{
    static const char body[] = "%c:i64 = for %0 to %n step %once {\n"
                               "  %i:i64 = for %0 to %16 step %1 {\n"
                               "    store @y %c %i\n"
                               "  }\n"
                               "}\n";
    ck_assert_int_eq(turns_of(body, 0, 100, 1), 17);
    ck_assert_int_eq(turns_of(body, 0, 0, 1), 0);
}
END_TEST

START_TEST(a_stretch_is_as_long_as_it_is_wherever_it_begins)
{
    /* [first, min(first + 16, n)), and the rest of whole vectors */
    static const char body[] = "%first:i64 = mul %g %16\n"
                               "%past:i64 = add %first %16\n"
                               "%end:i64 = min %past %n\n"
                               "%from:i64 = max %first %4\n"
                               "%i:i64 = for %from to %end step %1 {\n"
                               "  store @y %0 %i\n"
                               "}\n"
                               "%count:i64 = sub %end %first\n"
                               "%left:i64 = rem %count %4\n"
                               "%whole:i64 = sub %end %left\n"
                               "%j:i64 = for %whole to %end step %1 {\n"
                               "  store @y %0 %j\n"
                               "}\n"
                               "%some:i64 = and %count %fours\n"
                               "%k:i64 = for %0 to %some step %4 {\n"
                               "  store @y %0 %k\n"
                               "}\n";
    ck_assert_int_eq(turns_of(body, 1000, 1000, 63), 17 + 4 + 5);
    ck_assert_int_eq(turns_of(body, 0, 1000000, 62500), 17 + 4 + 5);
}
END_TEST

START_TEST(numbers_of_which_nothing_is_known_bound_nothing)
{
    static const char body[] = "%double:i64 = mul %n %n\n"
                               "%i:i64 = for %0 to %double step %1 {\n"
                               "  %j:i64 = for %0 to %double step %1 {\n"
                               "    store @y %i %j\n"
                               "  }\n"
                               "}\n";
    ck_assert_int_gt(turns_of(body, INT64_MIN, INT64_MAX, INT64_MAX),
                     INT64_C(1) << 50);
    ck_assert_int_eq(turns_of(body, 3, 3, 1), 10 + 9 * 10);
}
END_TEST

SUITE(a_loop_counts_its_trips_and_the_test_that_ends_it,
      loops_in_loops_count_as_often_as_they_are_come_to,
      a_condition_is_no_loop_but_what_is_in_it_counts,
      a_stretch_is_as_long_as_it_is_wherever_it_begins,
      numbers_of_which_nothing_is_known_bound_nothing)
