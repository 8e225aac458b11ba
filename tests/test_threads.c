/* test_threads.c -- the thread team: every worker, every barrier, few or no
 * threads, the floating-point environment. Run under ThreadSanitizer too. */
#include "tests/suite.h"

#include "backends/cpu/threads.h"

#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { MOST = 8, ROUNDS = 500 };

static int creations_allowed = 1000;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *context);

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                      void *(*start)(void *), void *context)
{
    if (creations_allowed-- <= 0)
        return EAGAIN;
    return __real_pthread_create(thread, attr, start, context);
}

static void
nap(long microseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = microseconds * 1000}, NULL);
}

typedef struct tally {
    krsi_team *team;
    int runs[MOST];
    long values[2][MOST];
    bool wrong[MOST];
} tally;

static void
count_run(void *context, uint32_t worker)
{
    tally *t = context;
    t->runs[worker]++;
}

START_TEST(every_worker_runs_a_task_once)
{
    for (uint32_t workers = 1; workers <= 4; workers++) {
        tally t = {.team = krsi_team_new(workers)};
        ck_assert_ptr_nonnull(t.team);
        ck_assert_uint_eq(krsi_team_workers(t.team), workers);
        for (int i = 0; i < ROUNDS; i++)
            krsi_team_run(t.team, count_run, &t);
        for (uint32_t w = 0; w < MOST; w++)
            ck_assert_int_eq(t.runs[w], w < workers ? ROUNDS : 0);
        krsi_team_free(t.team);
    }
}
END_TEST

/* Everybody adds the numbers of the round before; plain memory, so that a
 * barrier without ordering is a race that ThreadSanitizer names. */
static void
add_up(void *context, uint32_t worker)
{
    tally *t = context;
    uint32_t workers = krsi_team_workers(t->team);
    t->values[0][worker] = (long)worker;
    for (int round = 0; round < ROUNDS; round++) {
        krsi_team_barrier(t->team);
        long sum = 0;
        for (uint32_t w = 0; w < workers; w++)
            sum += t->values[round % 2][w];
        t->values[1 - round % 2][worker] = sum % 1000 + (long)worker;
    }
}

START_TEST(a_barrier_shows_what_was_written_before_it)
{
    tally t = {.team = krsi_team_new(4)};
    long expected[2][4] = {
        {0, 1, 2, 3}
    };
    krsi_team_run(t.team, add_up, &t);
    for (int round = 0; round < ROUNDS; round++) {
        const long *from = expected[round % 2];
        long sum = from[0] + from[1] + from[2] + from[3];
        for (int w = 0; w < 4; w++)
            expected[1 - round % 2][w] = sum % 1000 + w;
    }
    ck_assert(memcmp(t.values[ROUNDS % 2], expected[ROUNDS % 2],
                     sizeof *expected) == 0);
    krsi_team_free(t.team);
}
END_TEST

START_TEST(an_idle_team_sleeps_and_wakes_again)
{
    tally t = {.team = krsi_team_new(3)};
    for (int i = 0; i < 20; i++) {
        nap(3000);
        krsi_team_run(t.team, count_run, &t);
    }
    ck_assert_int_eq(t.runs[0] + t.runs[1] + t.runs[2], 60);
    nap(3000);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nap(200000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    long used = (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec -
                before.tv_nsec;
    ck_assert_int_lt(used, 20000000);
    krsi_team_free(t.team);
}
END_TEST

START_TEST(a_thread_that_cannot_be_created_makes_the_team_smaller)
{
    for (int allowed = 0; allowed < 4; allowed++) {
        creations_allowed = allowed;
        tally t = {.team = krsi_team_new(5)};
        ck_assert_ptr_nonnull(t.team);
        ck_assert_uint_eq(krsi_team_workers(t.team), (uint32_t)allowed + 1);
        krsi_team_run(t.team, count_run, &t);
        krsi_team_run(t.team, add_up, &t);
        for (int w = 0; w < MOST; w++)
            ck_assert_int_eq(t.runs[w], w <= allowed);
        krsi_team_free(t.team);
    }
    creations_allowed = 1000;
}
END_TEST

static void
look_at_rounding(void *context, uint32_t worker)
{
    tally *t = context;
    t->wrong[worker] = fegetround() != FE_TONEAREST;
    t->runs[worker]++;
    fesetround(FE_DOWNWARD); /* must not reach the next task */
}

START_TEST(workers_round_to_nearest_and_the_caller_keeps_its_mode)
{
    tally t = {.team = krsi_team_new(3)};
    ck_assert_int_eq(fesetround(FE_UPWARD), 0);
    for (int i = 0; i < 3; i++) {
        krsi_team_run(t.team, look_at_rounding, &t);
        ck_assert_int_eq(fegetround(), FE_UPWARD);
        for (int w = 0; w < 3; w++)
            ck_assert(!t.wrong[w] && t.runs[w] == i + 1);
    }
    fesetround(FE_TONEAREST);
    krsi_team_free(t.team);
}
END_TEST

static void
look_at_signals(void *context, uint32_t worker)
{
    tally *t = context;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    t->wrong[worker] = worker > 0 && !sigismember(&blocked, SIGINT);
    t->wrong[worker] |= worker == 0 && sigismember(&blocked, SIGINT);
}

START_TEST(signals_are_left_to_the_caller)
{
    tally t = {.team = krsi_team_new(3)};
    krsi_team_run(t.team, look_at_signals, &t);
    for (int w = 0; w < 3; w++)
        ck_assert(!t.wrong[w]);
    krsi_team_free(t.team);
}
END_TEST

static void *
run_often(void *context)
{
    tally *t = context;
    for (int i = 0; i < ROUNDS; i++)
        krsi_team_run(t->team, count_run, t);
    return NULL;
}

START_TEST(callers_on_several_threads_take_turns)
{
    tally t = {.team = krsi_team_new(3)};
    pthread_t callers[3];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&callers[i], NULL, run_often, &t), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(callers[i], NULL);
    for (int w = 0; w < 3; w++)
        ck_assert_int_eq(t.runs[w], 3 * ROUNDS);
    krsi_team_free(t.team);
}
END_TEST

SUITE(every_worker_runs_a_task_once, a_barrier_shows_what_was_written_before_it,
      an_idle_team_sleeps_and_wakes_again,
      a_thread_that_cannot_be_created_makes_the_team_smaller,
      workers_round_to_nearest_and_the_caller_keeps_its_mode,
      signals_are_left_to_the_caller, callers_on_several_threads_take_turns)
