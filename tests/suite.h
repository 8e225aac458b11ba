/* suite.h -- what every Check program repeats: tests named as sentences in
 * one list, and a main that runs it.
 *
 *     SUITE(arena_pieces_are_aligned, arena_reports_exhaustion)
 */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Check writes a line of a file for each assertion that holds, so that it can
 * name the last one before a crash, and its parent reads them all back, the
 * rest moved each time: square in their number, half the time of a suite with
 * a million. A crash is named by its signal and its test here. */
#define _mark_point(file, line) ((void)0)

#define SUITE(...)            \
    static int run_all(void); \
    int main(void)            \
    {                         \
        return run_all();     \
    }                         \
    RUN_SUITE(run_all, __VA_ARGS__)

/* RUN_SUITE(name, tests ...) -- a function that runs them and gives the exit
 * code, for a main of the suite's own */
#define RUN_SUITE(name, ...)                                      \
    static int name(void)                                         \
    {                                                             \
        const TTest *tests[] = {__VA_ARGS__};                     \
        Suite *suite = suite_create(__FILE__);                    \
        TCase *all = tcase_create("all");                         \
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) \
            tcase_add_test(all, tests[i]);                        \
        suite_add_tcase(suite, all);                              \
        SRunner *runner = srunner_create(suite);                  \
        srunner_run_all(runner, CK_ENV);                          \
        int failed = srunner_ntests_failed(runner);               \
        srunner_free(runner);                                     \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;              \
    }

#endif
