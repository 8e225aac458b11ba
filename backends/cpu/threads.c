/* threads.c -- the thread team of the CPU backend.
 *
 * In: a task. Out: the task has run once on every worker. Worker 0 is the
 * caller, the others are threads that live as long as the team.
 *
 * Invariant: `turn` counts the meetings of all workers (the start of a task,
 * each barrier, its end); a worker leaves a meeting when the turn has moved
 * on. Waiting is a bounded spin, then sleep on a condition variable: a fast
 * meeting costs no system call, and an idle team no processor time. The last
 * to arrive moves the turn and wakes sleepers if there are any; sleeper and
 * waker use sequentially consistent accesses, so one sees the other.
 *
 * Every worker computes in the default floating-point environment; that of
 * the caller is put back. Signals are left to the program's own threads. A
 * thread that cannot be created makes the team smaller, not the call fail.
 */
#include "threads.h"

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    SPINS = 1500, /* 20 to 60 us: longer than a barrier between waves */
    /* With more threads than processors the one waited for may be waiting for
       this processor: a wave costs 3 us with yields, 40 us without. */
    YIELD_EVERY = 128,
    STACK_BYTES = 8 << 20 /* code generation recurses */
};

struct krsi_team {
    uint32_t workers;
    krsi_team_task *task; /* NULL: the threads end */
    void *context;
    pthread_mutex_t running; /* held by the caller of krsi_team_run */
    _Atomic uint32_t arrived;
    _Atomic uint32_t turn;
    _Atomic uint32_t sleepers;
    pthread_mutex_t lock; /* for moved, taken by sleepers and their wakers */
    pthread_cond_t moved;
    struct member {
        krsi_team *team;
        pthread_t thread;
        uint32_t worker;
    } * members; /* workers - 1 */
};

static void
relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void
sleep_until_moved(krsi_team *team, uint32_t turn)
{
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(&team->turn) == turn)
        pthread_cond_wait(&team->moved, &team->lock);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
}

void
krsi_team_barrier(krsi_team *team)
{
    if (team->workers == 1)
        return;
    uint32_t turn = atomic_load(&team->turn);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == team->workers) {
        atomic_store(&team->arrived, 0);
        atomic_store(&team->turn, turn + 1);
        if (atomic_load(&team->sleepers) > 0) {
            pthread_mutex_lock(&team->lock);
            pthread_cond_broadcast(&team->moved);
            pthread_mutex_unlock(&team->lock);
        }
        return;
    }
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&team->turn, memory_order_acquire) != turn)
            return;
        relax();
        if (i % YIELD_EVERY == YIELD_EVERY - 1)
            sched_yield();
    }
    sleep_until_moved(team, turn);
}

static void *
serve(void *context)
{
    struct member *member = context;
    krsi_team *team = member->team;
    for (;;) {
        krsi_team_barrier(team);
        if (!team->task)
            return NULL;
        /* on every task: a task may have left its own behind */
        fesetenv(FE_DFL_ENV);
        team->task(team->context, member->worker);
        krsi_team_barrier(team);
    }
}

/* The threads meet at a barrier of `workers`, so their number must be known
 * before the first one arrives: they wait for `lock` until it is. */
static void *
start(void *context)
{
    krsi_team *team = ((struct member *)context)->team;
    pthread_mutex_lock(&team->lock);
    pthread_mutex_unlock(&team->lock);
    return serve(context);
}

static void
create_threads(krsi_team *team, uint32_t wanted)
{
    pthread_attr_t attr;
    sigset_t all, before;
    if (pthread_attr_init(&attr) != 0)
        return;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&team->lock);
    while (team->workers < wanted) {
        struct member *member = &team->members[team->workers - 1];
        *member = (struct member){.team = team, .worker = team->workers};
        if (pthread_create(&member->thread, &attr, start, member) != 0)
            break;
        team->workers++;
    }
    pthread_mutex_unlock(&team->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
}

krsi_team *
krsi_team_new(uint32_t workers)
{
    krsi_team *team = calloc(1, sizeof *team);
    if (!team)
        return NULL;
    team->workers = 1;
    if (workers > 1)
        team->members = calloc(workers - 1, sizeof *team->members);
    if (workers > 1 && !team->members) {
        free(team);
        return NULL;
    }
    pthread_mutex_init(&team->running, NULL);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->moved, NULL);
    if (workers > 1)
        create_threads(team, workers);
    return team;
}

void
krsi_team_free(krsi_team *team)
{
    if (!team)
        return;
    team->task = NULL;
    krsi_team_barrier(team);
    for (uint32_t i = 1; i < team->workers; i++)
        pthread_join(team->members[i - 1].thread, NULL);
    pthread_cond_destroy(&team->moved);
    pthread_mutex_destroy(&team->lock);
    pthread_mutex_destroy(&team->running);
    free(team->members);
    free(team);
}

uint32_t
krsi_team_workers(const krsi_team *team)
{
    return team->workers;
}

void
krsi_team_run(krsi_team *team, krsi_team_task *task, void *context)
{
    fenv_t before;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    pthread_mutex_lock(&team->running);
    team->task = task;
    team->context = context;
    krsi_team_barrier(team);
    task(context, 0);
    krsi_team_barrier(team);
    pthread_mutex_unlock(&team->running);
    fesetenv(&before);
}
