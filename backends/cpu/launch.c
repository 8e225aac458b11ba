/* launch.c -- running waves of launches on the team.
 *
 * In: a submission. Everything is checked and every byte is allocated before
 * the first item runs. Each launch is cut into chunks of its items; the
 * workers take chunks of all launches of a wave from shared counters and meet
 * at a barrier between waves. Which worker runs an item has no influence on
 * what it computes, so results do not depend on the number of threads.
 *
 * The caller takes part as worker 0, so submit returns when all is done and
 * wait only tells the outcome. After a cancellation the workers still pass
 * every barrier, but take no more chunks.
 */
#include "cpu_device.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNKS_A_WORKER = 8 }; /* few enough to be cheap, enough to even out */

typedef struct krsi_cpu_state {
    int64_t items, chunk_items, chunks;
    _Atomic int64_t next; /* chunk to be taken */
    _Atomic int64_t done;
} krsi_cpu_state;

typedef struct submission {
    krs_backend_device *device;
    const krs_backend_work *work;
    _Atomic bool stopped;
} submission;

static uint64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- checking and making room ---- */

static krs_status
count_scratch(const krs_backend_launch *launch,
              const krs_backend_limits *limits, size_t *out, krs_error *err)
{
    const krs_kernel *kernel = launch->code->kernel;
    *out = 0;
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++) {
        size_t bytes;
        if (!krs_kscratch_bytes(&kernel->buffers[i], launch->args, &bytes) ||
            __builtin_add_overflow(*out, bytes, out) ||
            *out > limits->scratch_bytes)
            return krs_fail(err, KRS_E_RANGE,
                            "cpu: %s: scratch buffer %s and those before it "
                            "need more than %llu bytes",
                            kernel->name, kernel->buffers[i].name,
                            (unsigned long long)limits->scratch_bytes);
    }
    return KRS_OK;
}

static void
prepare_launch(const krs_backend_device *device,
               const krs_backend_launch *launch, krsi_cpu_state *state)
{
    int64_t items = launch->grid[0] * launch->grid[1] * launch->grid[2];
    int64_t parts = (int64_t)device->limits.workers * CHUNKS_A_WORKER;
    state->items = items;
    state->chunk_items = items / parts + (items % parts != 0);
    state->chunks = items ? (items - 1) / state->chunk_items + 1 : 0;
    atomic_store_explicit(&state->next, 0, memory_order_relaxed);
    atomic_store_explicit(&state->done, 0, memory_order_relaxed);
}

static bool
worker_has_room(krsi_cpu_worker *worker, size_t buffers, size_t scratch)
{
    if (buffers > worker->buffer_room) {
        void **grown = realloc(worker->buffers, buffers * sizeof *grown);
        if (!grown)
            return false;
        worker->buffers = grown;
        worker->buffer_room = buffers;
    }
    if (scratch > worker->scratch_bytes) {
        void *fresh;
        free(worker->scratch);
        worker->scratch = NULL;
        worker->scratch_bytes = 0;
        if (posix_memalign(&fresh, 4096, scratch) != 0)
            return false;
        worker->scratch = fresh;
        worker->scratch_bytes = scratch;
    }
    return true;
}

void
krsi_cpu_worker_free(krsi_cpu_worker *worker)
{
    if (worker->machine)
        LLVMDisposeTargetMachine(worker->machine);
    free(worker->buffers);
    free(worker->scratch);
}

static krs_status
prepare(krs_backend_device *device, const krs_backend_work *work,
        krs_error *err)
{
    size_t scratch = 0, buffers = 1;
    const krsi_work_asker asker = {"cpu", &device->limits, KRSI_WORK_PLACES};
    KRS_TRY(krsi_work_check(&asker, work, INT64_MAX, err));
    if (work->launch_count > device->state_room) {
        size_t bytes;
        krsi_cpu_state *grown =
            __builtin_mul_overflow(work->launch_count, sizeof *grown, &bytes)
                ? NULL
                : realloc(device->states, bytes);
        if (!grown)
            return krs_fail(err, KRS_E_MEMORY,
                            "cpu: no memory to submit %zu launches",
                            work->launch_count);
        device->states = grown;
        device->state_room = work->launch_count;
    }
    for (size_t i = 0; i < work->launch_count; i++) {
        const krs_backend_launch *launch = &work->launches[i];
        const krs_kernel *kernel = launch->code->kernel;
        size_t bytes;
        prepare_launch(device, launch, &device->states[i]);
        KRS_TRY(count_scratch(launch, &device->limits, &bytes, err));
        scratch = bytes > scratch ? bytes : scratch;
        buffers =
            kernel->buffer_count > buffers ? kernel->buffer_count : buffers;
    }
    for (uint32_t i = 0; i < device->limits.workers; i++)
        if (!worker_has_room(&device->workers[i], buffers, scratch))
            return krs_fail(err, KRS_E_MEMORY,
                            "cpu: no memory for %zu bytes of scratch", scratch);
    return KRS_OK;
}

/* ---- running ---- */

static void
bind(krsi_cpu_worker *worker, const krs_backend_launch *launch)
{
    const krs_kernel *kernel = launch->code->kernel;
    size_t offset = 0, bytes = 0;
    for (uint32_t i = 0; i < kernel->param_count; i++)
        worker->buffers[i] =
            launch->bindings[i].memory->data + launch->bindings[i].offset_bytes;
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++) {
        krs_kscratch_bytes(&kernel->buffers[i], launch->args, &bytes);
        worker->buffers[i] = worker->scratch + offset;
        offset += bytes;
    }
}

static void
run_chunk(krsi_cpu_worker *worker, const krs_backend_launch *launch,
          const krsi_cpu_state *state, int64_t chunk)
{
    int64_t at = chunk * state->chunk_items, left = state->items - at;
    const int64_t *grid = launch->grid;
    krsi_cpu_range range = {
        .first = {at % grid[0], at / grid[0] % grid[1], at / grid[0] / grid[1]},
        .grid = {grid[0],      grid[1],                grid[2]               },
        .items = left < state->chunk_items ? left : state->chunk_items
    };
    launch->code->function(worker->buffers, launch->args, &range);
}

static bool
has_stopped(submission *s)
{
    if (s->work->cancel && __atomic_load_n(s->work->cancel, __ATOMIC_RELAXED))
        atomic_store(&s->stopped, true);
    return atomic_load_explicit(&s->stopped, memory_order_relaxed);
}

static void
run_launch(submission *s, size_t i, krsi_cpu_worker *worker)
{
    const krs_backend_launch *launch = &s->work->launches[i];
    krsi_cpu_state *state = &s->device->states[i];
    krs_backend_span *span = s->work->spans ? &s->work->spans[i] : NULL;
    bool bound = false;
    while (atomic_load_explicit(&state->next, memory_order_relaxed) <
           state->chunks) {
        if (has_stopped(s))
            return;
        int64_t chunk = atomic_fetch_add(&state->next, 1);
        if (chunk >= state->chunks)
            return;
        if (!bound)
            bind(worker, launch);
        bound = true;
        if (span && chunk == 0)
            span->begin_ns = now_ns();
        run_chunk(worker, launch, state, chunk);
        if (span && atomic_fetch_add(&state->done, 1) + 1 == state->chunks)
            span->end_ns = now_ns();
    }
}

static void
run_waves(void *context, uint32_t worker)
{
    submission *s = context;
    size_t i = 0;
    for (size_t w = 0; w < s->work->wave_count; w++) {
        if (w > 0)
            krsi_team_barrier(s->device->team);
        for (; i < s->work->wave_ends[w]; i++)
            run_launch(s, i, &s->device->workers[worker]);
    }
}

krs_status
krsi_cpu_submit(krs_backend_device *device, const krs_backend_work *work,
                krs_error *err)
{
    submission s = {.device = device, .work = work};
    device->outcome = KRS_OK;
    KRS_TRY(prepare(device, work, err));
    if (work->spans && work->launch_count)
        memset(work->spans, 0, work->launch_count * sizeof *work->spans);
    krsi_team_run(device->team, run_waves, &s);
    if (atomic_load(&s.stopped))
        device->outcome = KRS_E_CANCELLED;
    return KRS_OK;
}

krs_status
krsi_cpu_wait(krs_backend_device *device, krs_error *err)
{
    krs_status outcome = device->outcome;
    device->outcome = KRS_OK;
    if (outcome == KRS_E_CANCELLED)
        return krs_fail(err, outcome, "cpu: cancelled before all launches ran");
    return outcome;
}
