/* test_backends.c -- several backends in one process: each brings a compiler
 * of its own, and they must not disturb each other.
 *
 * In two orders of the backends that are there: open, compile, run, compare
 * with eval, close. The first argument "all" makes that fifty rounds of all
 * orders. After ten of them memory may grow by no more than GROWTH_BYTES a round,
 * all that drivers leave behind included.
 */
#include "tests/suite.h"

#include <krs/krs.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 5, INNER = 19, COLUMNS = 33, RESULTS = ROWS * COLUMNS + 1 };
enum { WARM = 10, ROUNDS = 50, GROWTH_BYTES = 64 << 10 };

static const char *const names[] = {"cpu", "opencl", "vulkan"};
enum { NAMES = sizeof names / sizeof *names };

static bool is_there[NAMES];
static bool wants_all;

static krs_status
open_named(const char *name, krs_device **out, krs_error *err)
{
    krs_device_options options = {.struct_size = sizeof options,
                                  .modules = KERSEY_MODULE_DIR};
    return krs_device_open_with(name, &options, out, err);
}

/* softmax(tanh(x w)), and the sum of its squares */
static void
compute(krs_device *device, float out[RESULTS])
{
    float x[ROWS * INNER], w[INNER * COLUMNS];
    krs_store *store;
    krs_program *program;
    krs_error err;
    for (int i = 0; i < ROWS * INNER; i++)
        x[i] = (float)(i % 13 - 6) * 0.21F;
    for (int i = 0; i < INNER * COLUMNS; i++)
        w[i] = (float)(i % 17 - 8) * 0.13F;
    krs_graph *g = krs_graph_new();
    krs_node y =
        krs_softmax(krs_tanh(krs_matmul(
                        krs_input(g, "x", KRS_F32, KRS_SHAPE(ROWS, INNER)),
                        krs_input(g, "w", KRS_F32, KRS_SHAPE(INNER, COLUMNS)))),
                    -1);
    krs_node outputs[] = {y, krs_sum(krs_square(y), KRS_ALL_AXES)};
    ck_assert(krs_store_new(device, &store, &err) == KRS_OK);
    ck_assert_msg(krs_program_new(store, outputs, 2, &program, &err) == KRS_OK,
                  "%s", err.text);
    ck_assert(!krs_program_set_input(program, "x", x, sizeof x, &err));
    ck_assert(!krs_program_set_input(program, "w", w, sizeof w, &err));
    ck_assert_msg(krs_program_run(program, &err) == KRS_OK, "%s", err.text);
    ck_assert(
        !krs_program_read(program, 0, out, (RESULTS - 1) * sizeof *out, &err));
    ck_assert(
        !krs_program_read(program, 1, out + RESULTS - 1, sizeof *out, &err));
    krs_program_free(program);
    krs_store_free(store);
    krs_graph_free(g);
}

/* All of an order are open at once; each runs twice, the others in between. */
static void
run_order(const int *order, const float want[RESULTS])
{
    krs_device *devices[NAMES] = {NULL};
    krs_error err;
    for (int i = 0; i < NAMES; i++)
        if (is_there[order[i]])
            ck_assert_msg(open_named(names[order[i]], &devices[i], &err) ==
                              KRS_OK,
                          "%s", err.text);
    for (int i = 0; i < NAMES; i++) {
        float got[RESULTS];
        if (!devices[i])
            continue;
        compute(devices[i], got);
        for (int k = 0; k < RESULTS; k++)
            ck_assert_msg(fabsf(got[k] - want[k]) <= 1e-6F,
                          "%s: result %d is %a, not %a", names[order[i]], k,
                          (double)got[k], (double)want[k]);
    }
    for (int i = 0; i < NAMES; i++)
        krs_device_close(devices[i]);
}

static size_t
resident_bytes(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%*u %zu", &pages), 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

START_TEST(backends_work_side_by_side_in_any_order)
{
    static const int orders[6][NAMES] = {
        {0, 1, 2},
        {0, 2, 1},
        {1, 0, 2},
        {1, 2, 0},
        {2, 0, 1},
        {2, 1, 0}
    };
    float want[RESULTS];
    krs_device *eval;
    krs_error err;
    size_t before = 0;
    int rounds = wants_all ? ROUNDS : 1;
    ck_assert(krs_device_open("eval", &eval, &err) == KRS_OK);
    compute(eval, want);
    krs_device_close(eval);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < 6; i += wants_all ? 1 : 5)
            run_order(orders[i], want);
        if (round == WARM - 1)
            before = resident_bytes();
    }
    if (wants_all) {
        size_t after = resident_bytes();
        size_t grown = after > before ? after - before : 0;
        printf("%zu bytes a round\n", grown / (ROUNDS - WARM));
        ck_assert_uint_le(grown / (ROUNDS - WARM), GROWTH_BYTES);
    }
}
END_TEST

int
main(int argc, char **argv)
{
    int count = 0;
    wants_all = argc > 1 && strcmp(argv[1], "all") == 0;
    for (int i = 0; i < NAMES; i++) {
        krs_device *device;
        krs_error err;
        is_there[i] = open_named(names[i], &device, &err) == KRS_OK;
        count += is_there[i];
        if (is_there[i])
            krs_device_close(device);
        else
            printf("without %s: %s\n", names[i], err.text);
    }
    if (count < 2) {
        printf("1 test skipped: there are not two backends\n");
        return 77;
    }
    Suite *suite = suite_create(__FILE__);
    TCase *all = tcase_create("all");
    tcase_add_test(all, backends_work_side_by_side_in_any_order);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
