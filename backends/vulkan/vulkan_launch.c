/* vulkan_launch.c -- work on the queue, and its end.
 *
 * In: work. Out: its recording (vulkan_record.c) submitted, a piece after the
 * other while nobody asks to stop; times of launches; whether a kernel's loops
 * were cut short.
 */
#include "vulkan.h"

#include <krs/status.h>
#include <string.h>

static krs_status
start_piece(krs_backend_device *d, krs_error *err)
{
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .commandBufferCount = 1,
                         .pCommandBuffers =
                             &d->recording->commands[d->started++]};
    return krsi_vulkan_check(d->vk.vkQueueSubmit(d->queue, 1, &info, d->done),
                             "launches submitted", err);
}

krs_status
krsi_vulkan_submit(krs_backend_device *d, const krs_backend_work *work,
                   krs_error *err)
{
    pthread_mutex_lock(&d->lock);
    d->work = work;
    d->started = 0;
    memset(d->flag.mapped, 0, KRSI_FLAG_BYTES);
    krs_status status = krsi_vulkan_record(d, work, &d->recording, err);
    if (status == KRS_OK && d->recording->pieces)
        status = start_piece(d, err);
    if (status != KRS_OK)
        d->work = NULL;
    pthread_mutex_unlock(&d->lock);
    return status;
}

/* When the launches of the pieces that ran did so. */
static krs_status
read_spans(krs_backend_device *d, size_t launches, krs_error *err)
{
    const krs_backend_work *work = d->work;
    for (size_t i = 0; i < work->launch_count; i++) {
        const int64_t *grid = work->launches[i].grid;
        uint64_t ticks[2];
        work->spans[i] = (krs_backend_span){0};
        if (i >= launches || !grid[0] || !grid[1] || !grid[2])
            continue;
        KRS_TRY(krsi_vulkan_check(
            d->vk.vkGetQueryPoolResults(
                d->device, d->recording->queries, (uint32_t)(2 * i), 2,
                sizeof ticks, ticks, sizeof *ticks,
                VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
            "time stamps", err));
        double period = (double)d->offers.timestampPeriod;
        work->spans[i].begin_ns = (uint64_t)((double)ticks[0] * period);
        work->spans[i].end_ns = (uint64_t)((double)ticks[1] * period);
    }
    return KRS_OK;
}

static krs_status
finish_piece(krs_backend_device *d, krs_error *err)
{
    KRS_TRY(krsi_vulkan_check(
        d->vk.vkWaitForFences(d->device, 1, &d->done, VK_TRUE, UINT64_MAX),
        "launches", err));
    return krsi_vulkan_check(d->vk.vkResetFences(d->device, 1, &d->done),
                             "a fence", err);
}

/* What a kernel says of its loops (spirv_emit.h). */
static krs_status
check_flag(const krs_backend_device *d, krs_error *err)
{
    uint32_t launch;
    memcpy(&launch, d->flag.mapped, sizeof launch);
    if (launch == 0 || launch > d->work->launch_count)
        return KRS_OK;
    return krs_fail(err, KRS_E_DEVICE,
                    "vulkan: %s: %s ended a loop before its end (lavapipe "
                    "does after 65535 turns of all loops of an item), so its "
                    "results are wrong; smaller sizes run",
                    d->work->launches[launch - 1].code->kernel->name,
                    d->limits.name);
}

krs_status
krsi_vulkan_wait(krs_backend_device *d, krs_error *err)
{
    const krs_backend_work *work = d->work;
    krs_status status = KRS_OK;
    if (!work)
        return KRS_OK;
    if (d->recording->pieces)
        status = finish_piece(d, err);
    while (status == KRS_OK && d->started < d->recording->pieces) {
        if (work->cancel && __atomic_load_n(work->cancel, __ATOMIC_RELAXED)) {
            status = krs_fail(err, KRS_E_CANCELLED,
                              "vulkan: cancelled before all launches ran");
            break;
        }
        pthread_mutex_lock(&d->lock);
        status = start_piece(d, err);
        pthread_mutex_unlock(&d->lock);
        if (status == KRS_OK)
            status = finish_piece(d, err);
    }
    if (status == KRS_OK && d->recording->pieces)
        status = check_flag(d, err);
    if (work->spans && (status == KRS_OK || status == KRS_E_CANCELLED)) {
        size_t ran = d->started ? d->recording->ends[d->started - 1] : 0;
        krs_status timed = read_spans(d, ran, err);
        status = timed != KRS_OK ? timed : status;
    }
    d->work = NULL;
    return status;
}
