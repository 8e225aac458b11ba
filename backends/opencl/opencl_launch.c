/* opencl_launch.c -- running the launches of a submission.
 *
 * In: a submission. Everything is checked, and all memory is there, before the
 * first launch. What describes the launches goes to the device in one write;
 * then they are put on one queue that runs them in order, which is more than
 * waves ask for. wait waits for the whole queue once.
 */
#include "opencl_device.h"

#include <stdlib.h>
#include <string.h>

enum {
    AHEAD = 64,        /* launches between two looks at a request to stop */
    GPU_TAKERS = 1024, /* work-items that share the items of a launch */
    ALIGN = KRS_K_SCRATCH_ALIGN
};

/* What a launch needs besides its bindings. */
typedef struct plan {
    int64_t items;
    size_t takers;       /* work-items, if they take items */
    size_t region_bytes; /* scratch of each */
} plan;

static krs_status
plan_launch(const krs_backend_device *device, const krs_backend_launch *launch,
            plan *out, krs_error *err)
{
    const krs_kernel *kernel = launch->code->kernel;
    *out = (plan){launch->grid[0] * launch->grid[1] * launch->grid[2], 0, 0};
    size_t most =
        device->limits.is_processor ? device->limits.workers : GPU_TAKERS;
    out->takers = (size_t)out->items < most ? (size_t)out->items : most;
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++) {
        size_t bytes;
        if (kernel->buffers[i].space != KRS_K_SCRATCH)
            continue;
        if (!krs_kscratch_bytes(&kernel->buffers[i], launch->args, &bytes) ||
            bytes > device->limits.scratch_bytes ||
            out->region_bytes > device->limits.scratch_bytes - bytes)
            return krs_fail(
                err, KRS_E_RANGE, "opencl: %s: scratch of more than %llu bytes",
                kernel->name, (unsigned long long)device->limits.scratch_bytes);
        out->region_bytes += bytes + KRSI_CLC_SLACK;
    }
    return KRS_OK;
}

/* ---- making room ---- */

static krs_status
grow_memory(krs_backend_device *device, krs_backend_memory **memory,
            size_t bytes, krs_error *err)
{
    if (*memory && (*memory)->bytes >= bytes)
        return KRS_OK;
    krsi_opencl_free(device, *memory);
    *memory = NULL;
    return krsi_opencl_alloc(device, bytes, memory, err);
}

static krs_status
grow_array(void **array, size_t *room, size_t count, size_t size,
           krs_error *err)
{
    size_t bytes;
    if (count <= *room)
        return KRS_OK;
    void *grown = __builtin_mul_overflow(count, size, &bytes)
                      ? NULL
                      : realloc(*array, bytes);
    if (!grown)
        return krs_fail(err, KRS_E_MEMORY, "opencl: no memory to submit");
    *array = grown;
    *room = count;
    return KRS_OK;
}

static krs_status
prepare(krs_backend_device *device, const krs_backend_work *work,
        size_t *out_words, krs_error *err)
{
    size_t words = 0, scratch = 0;
    const krsi_work_asker asker = {"opencl", &device->limits, KRSI_WORK_PLACES};
    KRS_TRY(krsi_work_check(&asker, work, INT32_MAX, err));
    for (size_t i = 0; i < work->launch_count; i++) {
        plan p;
        KRS_TRY(plan_launch(device, &work->launches[i], &p, err));
        size_t bytes = p.takers * p.region_bytes;
        scratch = bytes > scratch ? bytes : scratch;
        words += krsi_clc_block_of(work->launches[i].code->kernel).words;
    }
    KRS_TRY(grow_memory(device, &device->scratch, scratch, err));
    KRS_TRY(grow_memory(device, &device->block, words * 8, err));
    KRS_TRY(grow_array((void **)&device->words, &device->word_room, words,
                       sizeof *device->words, err));
    if (work->spans)
        KRS_TRY(grow_array((void **)&device->events, &device->event_room,
                           work->launch_count, sizeof *device->events, err));
    *out_words = words;
    return KRS_OK;
}

/* ---- running ---- */

static void
fill_block(const krs_backend_launch *launch, const plan *p, int64_t *words)
{
    const krs_kernel *kernel = launch->code->kernel;
    krsi_clc_block block = krsi_clc_block_of(kernel);
    size_t scratch = 0;
    memset(words, 0, block.words * sizeof *words);
    words[KRSI_CLC_ITEMS] = p->items;
    for (int i = 0; i < KRS_K_AXES; i++)
        words[KRSI_CLC_GRID + i] = launch->grid[i];
    for (uint32_t i = 0; i < kernel->param_count; i++)
        words[KRSI_CLC_OFFSETS + i] =
            KRSI_CLC_SLACK + (int64_t)launch->bindings[i].offset_bytes;
    words[block.scratch] = (int64_t)p->region_bytes;
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++) {
        size_t bytes = 0;
        if (kernel->buffers[i].space != KRS_K_SCRATCH)
            continue;
        words[block.scratch + 1 + (i - kernel->param_count)] = (int64_t)scratch;
        krs_kscratch_bytes(&kernel->buffers[i], launch->args, &bytes);
        scratch += bytes + KRSI_CLC_SLACK;
    }
    for (uint32_t i = 0; i < kernel->arg_count; i++)
        memcpy(&words[block.args + i], &launch->args[i],
               kernel->args[i].dtype == KRS_F32 ? 4 : 8);
}

static cl_int
enqueue(krs_backend_device *device, const krs_backend_launch *launch,
        const plan *p, cl_long at, cl_event *event)
{
    const krsi_cl *cl = &device->cl;
    const krs_kernel *kernel = launch->code->kernel;
    cl_kernel function = launch->code->function;
    size_t global[KRS_K_AXES], local[KRS_K_AXES] = {1, 1, 1};
    cl_int code =
        cl->SetKernelArg(function, 0, sizeof(cl_mem), &device->block->buffer);
    if (code == CL_SUCCESS)
        code = cl->SetKernelArg(function, 1, sizeof at, &at);
    if (code == CL_SUCCESS)
        code = cl->SetKernelArg(function, 2, sizeof(cl_mem),
                                &device->scratch->buffer);
    for (uint32_t i = 0; code == CL_SUCCESS && i < kernel->param_count; i++)
        code =
            cl->SetKernelArg(function, KRSI_CLC_ARGUMENTS + i, sizeof(cl_mem),
                             &launch->bindings[i].memory->buffer);
    if (code != CL_SUCCESS)
        return code;
    for (int i = 0; i < KRS_K_AXES; i++) {
        if (launch->code->walk == KRSI_CLC_GROUPS)
            local[i] = kernel->group[i];
        global[i] = (size_t)launch->grid[i] * local[i];
    }
    if (launch->code->walk == KRSI_CLC_SPREAD) {
        local[0] = KRSI_CLC_LOCAL;
        global[0] = (global[0] + local[0] - 1) / local[0] * local[0];
    }
    if (launch->code->walk == KRSI_CLC_TAKE ||
        launch->code->walk == KRSI_CLC_CALLED) {
        global[0] = p->takers;
        global[1] = global[2] = 1;
    }
    return cl->EnqueueNDRangeKernel(device->queue, function, KRS_K_AXES, NULL,
                                    global, local, 0, NULL, event);
}

static bool
is_cancelled(const krs_backend_work *work)
{
    return work->cancel && __atomic_load_n(work->cancel, __ATOMIC_RELAXED);
}

static krs_status
run_launches(krs_backend_device *device, const krs_backend_work *work,
             krs_error *err)
{
    cl_long at = KRSI_CLC_SLACK / 8;
    for (size_t i = 0; i < work->launch_count; i++) {
        const krs_backend_launch *launch = &work->launches[i];
        plan p;
        KRS_TRY(plan_launch(device, launch, &p, err));
        if (work->cancel && i % AHEAD == 0) {
            if (i)
                device->cl.Finish(device->queue);
            if (is_cancelled(work)) {
                device->outcome = KRS_E_CANCELLED;
                return KRS_OK;
            }
        }
        if (work->spans)
            device->events[device->event_count++] = NULL;
        cl_int code = CL_SUCCESS;
        if (p.items > 0)
            code = enqueue(device, launch, &p, at,
                           work->spans ? &device->events[i] : NULL);
        if (code != CL_SUCCESS)
            return krsi_cl_fail(err, code, "%s was not started",
                                launch->code->kernel->name);
        at += (cl_long)krsi_clc_block_of(launch->code->kernel).words;
    }
    return KRS_OK;
}

static void
release_events(krs_backend_device *device)
{
    for (size_t i = 0; i < device->event_count; i++)
        if (device->events[i])
            device->cl.ReleaseEvent(device->events[i]);
    device->event_count = 0;
}

krs_status
krsi_opencl_submit(krs_backend_device *device, const krs_backend_work *work,
                   krs_error *err)
{
    const krsi_cl *cl = &device->cl;
    size_t words = 0, filled = 0;
    device->outcome = KRS_OK;
    device->work = NULL;
    KRS_TRY(prepare(device, work, &words, err));
    for (size_t i = 0; i < work->launch_count; i++) {
        plan p;
        KRS_TRY(plan_launch(device, &work->launches[i], &p, err));
        fill_block(&work->launches[i], &p, device->words + filled);
        filled += krsi_clc_block_of(work->launches[i].code->kernel).words;
    }
    cl_int code = CL_SUCCESS;
    if (words)
        code = cl->EnqueueWriteBuffer(device->queue, device->block->buffer,
                                      CL_FALSE, KRSI_CLC_SLACK, words * 8,
                                      device->words, 0, NULL, NULL);
    krs_status status = code == CL_SUCCESS
                            ? run_launches(device, work, err)
                            : krsi_cl_fail(err, code, "nothing was submitted");
    code = status == KRS_OK ? cl->Flush(device->queue) : CL_SUCCESS;
    if (code != CL_SUCCESS)
        status = krsi_cl_fail(err, code, "the queue stands");
    if (status != KRS_OK) {
        cl->Finish(device->queue);
        release_events(device);
        return status;
    }
    device->work = work;
    return KRS_OK;
}

/* CL_SUCCESS, or what kept the times back */
static cl_int
read_spans(krs_backend_device *device, krs_backend_span *spans)
{
    cl_int code = CL_SUCCESS;
    for (size_t i = 0; i < device->event_count; i++) {
        cl_ulong begin = 0, end = 0;
        if (device->events[i] && code == CL_SUCCESS)
            code = device->cl.GetEventProfilingInfo(device->events[i],
                                                    CL_PROFILING_COMMAND_START,
                                                    sizeof begin, &begin, NULL);
        if (device->events[i] && code == CL_SUCCESS)
            code = device->cl.GetEventProfilingInfo(device->events[i],
                                                    CL_PROFILING_COMMAND_END,
                                                    sizeof end, &end, NULL);
        spans[i] = (krs_backend_span){begin, end};
    }
    return code;
}

krs_status
krsi_opencl_wait(krs_backend_device *device, krs_error *err)
{
    const krs_backend_work *work = device->work;
    krs_status outcome = device->outcome;
    device->work = NULL;
    device->outcome = KRS_OK;
    if (!work)
        return KRS_OK;
    cl_int code = device->cl.Finish(device->queue), timed = CL_SUCCESS;
    if (work->spans && code == CL_SUCCESS)
        timed = read_spans(device, work->spans);
    release_events(device);
    if (code != CL_SUCCESS)
        return krsi_cl_fail(err, code, "the device stopped");
    if (timed != CL_SUCCESS)
        return krsi_cl_fail(err, timed, "no times of the launches");
    if (outcome == KRS_E_CANCELLED)
        return krs_fail(err, outcome,
                        "opencl: cancelled before all launches ran");
    return outcome;
}
