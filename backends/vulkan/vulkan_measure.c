/* vulkan_measure.c -- work in numbers: the shape of each launch, and the key
 * of all that command buffers are made from.
 *
 * In: work. Out: shapes, after it was checked; the key, in which a
 * memory, a piece of code and the scratch of the device are serial numbers, so
 * that one that is gone never equals one that is new. Arguments are no part of
 * it: they lie in a buffer that is written for each submission.
 */
#include "vulkan.h"

#include <krs/status.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH_BYTES = 64 << 20, /* of one launch, if one item needs no more */
    LAUNCH_WORDS = 7          /* of the key, before its bindings */
};

uint32_t
krsi_vulkan_group_items(const krs_kernel *kernel)
{
    return kernel->group[0] * kernel->group[1] * kernel->group[2];
}

size_t
krsi_vulkan_round_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

static krs_status
measure_scratch(const krs_backend_device *d, const krs_backend_launch *launch,
                krsi_vulkan_shape *out, krs_error *err)
{
    const krs_kernel *kernel = launch->code->kernel;
    uint64_t most = d->limits.max_bind_bytes, bytes = 0;
    size_t one;
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++) {
        if (kernel->buffers[i].space != KRS_K_SCRATCH)
            continue;
        if (!krs_kscratch_bytes(&kernel->buffers[i], launch->args, &one) ||
            one > most || bytes + one > most / krsi_vulkan_group_items(kernel))
            return krs_fail(err, KRS_E_UNSUPPORTED,
                            "vulkan: %s: scratch %s does not fit the %llu "
                            "bytes of one binding",
                            kernel->name, kernel->buffers[i].name,
                            (unsigned long long)most);
        bytes += one;
    }
    out->scratch_bytes = bytes * krsi_vulkan_group_items(kernel);
    out->at_once = out->items;
    if (bytes && out->scratch_bytes * out->items > SCRATCH_BYTES) {
        out->at_once = SCRATCH_BYTES / out->scratch_bytes;
        if (out->at_once == 0)
            out->at_once = 1;
    }
    return KRS_OK;
}

static krs_status
measure(const krs_backend_device *d, const krs_backend_launch *launch,
        krsi_vulkan_shape *out, krs_error *err)
{
    *out = (krsi_vulkan_shape){
        .items =
            (uint64_t)(launch->grid[0] * launch->grid[1] * launch->grid[2])};
    out->word_bytes = (uint32_t)krsi_vulkan_round_up(
        launch->code->words * sizeof(uint32_t),
        d->offers.minUniformBufferOffsetAlignment > 16
            ? d->offers.minUniformBufferOffsetAlignment
            : 16);
    return measure_scratch(d, launch, out, err);
}

static krs_status
grow(void **array, size_t *capacity, size_t count, size_t bytes, krs_error *err)
{
    if (*capacity >= count)
        return KRS_OK;
    void *grown = realloc(*array, (count + count / 2) * bytes);
    if (!grown)
        return krs_fail(err, KRS_E_MEMORY, "vulkan: no memory for %zu launches",
                        count);
    *array = grown;
    *capacity = count + count / 2;
    return KRS_OK;
}

/* The words of launch i in the key, from `at` on. */
static uint64_t *
put_launch(const krs_backend_device *d, const krs_backend_launch *launch,
           const krsi_vulkan_shape *s, uint64_t *at)
{
    *at++ = launch->code->serial;
    for (int a = 0; a < KRS_K_AXES; a++)
        *at++ = (uint64_t)launch->grid[a];
    *at++ = s->at_once;
    *at++ = s->scratch_bytes;
    *at++ = s->scratch_bytes ? d->room.scratch_serial : 0;
    for (uint32_t i = 0; i < launch->code->kernel->param_count; i++) {
        *at++ = launch->bindings[i].memory->serial;
        *at++ = launch->bindings[i].offset_bytes;
        *at++ = launch->bindings[i].bytes;
    }
    return at;
}

krs_status
krsi_vulkan_measure(krs_backend_device *d, const krs_backend_work *work,
                    uint64_t *out_scratch_bytes, krs_error *err)
{
    krsi_vulkan_room *room = &d->room;
    const krsi_work_asker asker = {"vulkan", &d->limits, KRSI_WORK_PLACES};
    *out_scratch_bytes = 0;
    KRS_TRY(krsi_work_check(&asker, work, (int64_t)UINT32_MAX - d->local, err));
    KRS_TRY(grow((void **)&room->shapes, &room->shape_capacity,
                 work->launch_count, sizeof *room->shapes, err));
    for (size_t i = 0; i < work->launch_count; i++) {
        krsi_vulkan_shape *s = &room->shapes[i];
        KRS_TRY(measure(d, &work->launches[i], s, err));
        if (s->at_once * s->scratch_bytes > *out_scratch_bytes)
            *out_scratch_bytes = s->at_once * s->scratch_bytes;
    }
    return KRS_OK;
}

krs_status
krsi_vulkan_make_key(krs_backend_device *d, const krs_backend_work *work,
                     krs_error *err)
{
    krsi_vulkan_room *room = &d->room;
    size_t words = work->wave_count + 3;
    for (size_t i = 0; i < work->launch_count; i++)
        words += LAUNCH_WORDS +
                 3 * (size_t)work->launches[i].code->kernel->param_count;
    KRS_TRY(grow((void **)&room->key, &room->key_capacity, words,
                 sizeof *room->key, err));
    uint64_t *at = room->key;
    *at++ = work->launch_count;
    *at++ = work->spans != NULL;
    *at++ = work->cancel != NULL;
    for (size_t w = 0; w < work->wave_count; w++)
        *at++ = work->wave_ends[w];
    for (size_t i = 0; i < work->launch_count; i++)
        at = put_launch(d, &work->launches[i], &room->shapes[i], at);
    room->key_words = words;
    return KRS_OK;
}
