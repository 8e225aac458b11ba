/* test_fault_backend.c -- a backend that fails somewhere: every program call
 * says so, the store is as before, and the next run is right. And one that runs
 * nothing.
 */
#include "every_device.h"
#include "suite.h"
#include "temp_folder.h"

#include <krs/krs.h>

#include <stdio.h>
#include <string.h>

enum { ROWS = 6, IN = 5, OUT = 3, W = IN * OUT, MOST = 200 };

static krs_error err;

/* A step of training: loss, and w -= 0.1 dw in place. */
static krs_graph *
step_graph(krs_node out[2])
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(ROWS, IN));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(IN, OUT));
    krs_node y = krs_tanh(krs_matmul(x, w)), dw;
    out[0] = krs_mean(krs_square(krs_sub(y, krs_like(y, 0.5))), KRS_ALL_AXES);
    krs_grad(out[0], &w, 1, &dw);
    out[1] = krs_update(w, krs_sub(w, krs_scale(dw, 0.1)));
    return g;
}

typedef struct run {
    krs_store *store;
    krs_program *program;
    float w[W], loss;
} run;

/* Status of the first call that fails; *out holds what there is. */
static krs_status
start(krs_device *device, run *r)
{
    float x[ROWS * IN], w[W];
    krs_node out[2];
    for (int i = 0; i < ROWS * IN; i++)
        x[i] = (float)(i % 7) / 7 - 0.4F;
    for (int i = 0; i < W; i++)
        w[i] = (float)(i % 5) / 5 - 0.3F;
    *r = (run){.store = NULL};
    krs_graph *g = step_graph(out);
    krs_status status = krs_store_new(device, &r->store, &err);
    if (status == KRS_OK)
        status = krs_program_new(r->store, out, 2, &r->program, &err);
    if (status == KRS_OK)
        status = krs_program_set_input(r->program, "x", x, sizeof x, &err);
    if (status == KRS_OK)
        status = krs_store_write(r->store, "w", w, sizeof w, &err);
    krs_graph_free(g);
    return status;
}

static krs_status
go(run *r)
{
    krs_status status = krs_program_run(r->program, &err);
    if (status == KRS_OK)
        status =
            krs_program_read(r->program, 0, &r->loss, sizeof r->loss, &err);
    return status;
}

static void
end(run *r)
{
    krs_program_free(r->program);
    krs_store_free(r->store);
}

/* With a cache, so that code is compiled once, but where compiling is to fail. */
static krs_device *
open_fault(const char *plan)
{
    krs_device_options o = {.struct_size = sizeof o,
                            .cpu = plan,
                            .threads = 2,
                            .cache =
                                strstr(plan, " build=") ? NULL : temp_folder()};
    krs_device *device;
    krs_status status = krs_device_open_with("fault", &o, &device, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return device;
}

static const char *
plan_of(char text[512], const char *inside, const char *fault, int n,
        const char *more)
{
    const char *from = "";
#ifdef KERSEY_MODULE_DIR
    from = strcmp(inside, "cpu") ? "" : " from=" KERSEY_MODULE_DIR;
#endif
    snprintf(text, 512, "%s%s %s=%d%s", inside, from, fault, n, more);
    return text;
}

/* w after two steps without a fault */
static void
expect(const char *inside, float w[W])
{
    char plan[512];
    run r;
    krs_device *device = open_fault(plan_of(plan, inside, "alloc", 100000, ""));
    ck_assert_int_eq(start(device, &r), KRS_OK);
    ck_assert_int_eq(go(&r), KRS_OK);
    ck_assert_int_eq(go(&r), KRS_OK);
    krs_store_read(r.store, "w", w, W * sizeof *w, &err);
    end(&r);
    krs_device_close(device);
}

/* Fail call number n of a kind; false: there were fewer. Afterwards what was
 * made is used again and gives what it should. */
static bool
fail_once(const char *inside, const char *fault, int n, const float *want)
{
    char plan[512];
    run r;
    float w[W];
    krs_device *device = open_fault(plan_of(plan, inside, fault, n, ""));
    krs_status status = start(device, &r);
    bool failed = status != KRS_OK;
    if (failed) { /* the device still works */
        ck_assert_msg(strstr(err.text, "fault: this call") ||
                          strstr(err.text, "no memory"),
                      "%s: %s", plan, err.text);
        end(&r);
        ck_assert_msg(start(device, &r) == KRS_OK, "%s", err.text);
    }
    for (int steps = 0; steps < 2;) {
        float before[W];
        krs_status read =
            krs_store_read(r.store, "w", before, sizeof before, &err);
        status = krs_program_run(r.program, &err);
        if (read == KRS_OK && status != KRS_OK) {
            ck_assert_int_eq(krs_store_read(r.store, "w", w, sizeof w, &err),
                             KRS_OK);
            ck_assert_msg(!memcmp(w, before, sizeof w),
                          "%s: the store has changed", plan);
        }
        failed |= read != KRS_OK || status != KRS_OK;
        steps += status == KRS_OK;
    }
    status = krs_store_read(r.store, "w", w, sizeof w, &err);
    if (status != KRS_OK) {
        failed = true;
        status = krs_store_read(r.store, "w", w, sizeof w, &err);
    }
    ck_assert_int_eq(status, KRS_OK);
    ck_assert_msg(!memcmp(w, want, sizeof w), "%s: another result", plan);
    end(&r);
    krs_device_close(device);
    return failed;
}

static void
fail_everywhere(const char *inside)
{
    static const char *const faults[] = {"alloc", "write", "read",
                                         "build", "load",  "submit"};
    float want[W];
    expect(inside, want);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        int n = 1;
        while (n < MOST && fail_once(inside, faults[i], n, want))
            n++;
        printf("%s: %d calls of %s failed\n", inside, n - 1, faults[i]);
        ck_assert_int_gt(n, 1);
        ck_assert_int_lt(n, MOST);
    }
}

START_TEST(after_any_failed_call_the_store_is_as_before_and_the_next_run_right)
{
    for (int i = 1; i < EVERY_DEVICE; i++)
        fail_everywhere(every_device[i]);
}
END_TEST

START_TEST(no_result_depends_on_what_new_memory_holds)
{
    for (int i = 1; i < EVERY_DEVICE; i++) {
        float want[W], w[W];
        expect(every_device[i], want);
        for (int n = 1; n < 40; n++) {
            char plan[512];
            run r;
            krs_device *device =
                open_fault(plan_of(plan, every_device[i], "alloc", n, " nan"));
            ck_assert_int_eq(start(device, &r), KRS_OK);
            ck_assert_int_eq(go(&r), KRS_OK);
            ck_assert_int_eq(go(&r), KRS_OK);
            krs_store_read(r.store, "w", w, sizeof w, &err);
            ck_assert_msg(!memcmp(w, want, sizeof w), "%s", plan);
            end(&r);
            krs_device_close(device);
        }
    }
}
END_TEST

START_TEST(a_poisoned_submission_shows)
{
    run r;
    krs_device *device = open_fault("interp submit=2 nan");
    ck_assert_int_eq(start(device, &r), KRS_OK);
    ck_assert_int_eq(go(&r), KRS_OK);
    ck_assert(r.loss == r.loss);
    ck_assert_int_eq(go(&r), KRS_OK);
    ck_assert(r.loss != r.loss);
    end(&r);
    krs_device_close(device);
}
END_TEST

START_TEST(a_plan_that_is_none_is_refused)
{
    static const char *const plans[][2] = {
        {"interp alloc=0",  "'alloc=0' is not nan"          },
        {"interp boil=1",   "'boil=1' is not nan"           },
        {"interp submit=x", "'submit=x' is not nan"         },
        {"nobody",          "libkersey-nobody.so"           },
        {"fault",           "fault: it does not wrap itself"},
    };
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        krs_device_options o = {.struct_size = sizeof o, .cpu = plans[i][0]};
        krs_device *device;
        ck_assert_int_ne(krs_device_open_with("fault", &o, &device, &err),
                         KRS_OK);
        ck_assert_msg(strstr(err.text, plans[i][1]), "%s", err.text);
    }
}
END_TEST

START_TEST(null_runs_nothing_and_all_of_the_host_side)
{
    krs_device *device;
    run r;
    float w[W], before[W];
    ck_assert_int_eq(krs_device_open("null", &device, &err), KRS_OK);
    ck_assert_msg(start(device, &r) == KRS_OK, "%s", err.text);
    krs_store_read(r.store, "w", before, sizeof before, &err);
    for (int i = 0; i < 1000; i++)
        ck_assert_msg(go(&r) == KRS_OK, "%s", err.text);
    krs_store_read(r.store, "w", w, sizeof w, &err);
    ck_assert(!memcmp(w, before, sizeof w)); /* nobody wrote */
    end(&r);
    krs_device_close(device);
}
END_TEST

SUITE(after_any_failed_call_the_store_is_as_before_and_the_next_run_right,
      no_result_depends_on_what_new_memory_holds, a_poisoned_submission_shows,
      a_plan_that_is_none_is_refused,
      null_runs_nothing_and_all_of_the_host_side)
