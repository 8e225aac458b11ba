/* vulkan_launch.c -- launches into command buffers, and their end.
 *
 * In: work in waves. Out: one command buffer, with a barrier between waves
 * only; or several, between which a request to stop is heard.
 *
 * A launch has a descriptor set, words (spirv_emit.h) in one buffer for all
 * launches, and dispatches: as many items in a row as the device takes and as
 * have room for scratch. Scratch of a wave's launches lies side by side; where
 * it does not fit, a barrier comes between and it begins anew.
 */
#include "vulkan.h"

#include <krs/status.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH_BYTES = 64 << 20, /* of one launch, if one item needs no more */
    FLAG_BYTES = 16,
    PIECE_LAUNCHES = 32 /* between two looks at `cancel`, at least */
};

/* A launch in numbers. */
typedef struct shape {
    uint64_t items;         /* items, or groups; 0: nothing to do */
    uint64_t at_once;       /* that have room for scratch */
    uint64_t scratch_bytes; /* of one item or group */
    uint32_t word_bytes;
} shape;

static uint32_t
group_items(const krs_kernel *kernel)
{
    return kernel->group[0] * kernel->group[1] * kernel->group[2];
}

static size_t
round_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

static krs_status
measure_scratch(const krs_backend_device *d, const krs_backend_launch *launch,
                shape *out, krs_error *err)
{
    const krs_kernel *kernel = launch->code->kernel;
    uint64_t most = d->limits.max_bind_bytes, bytes = 0;
    size_t one;
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++) {
        if (kernel->buffers[i].space != KRS_K_SCRATCH)
            continue;
        if (!krs_kscratch_bytes(&kernel->buffers[i], launch->args, &one) ||
            one > most || bytes + one > most / group_items(kernel))
            return krs_fail(err, KRS_E_UNSUPPORTED,
                            "vulkan: %s: scratch %s does not fit the %llu "
                            "bytes of one binding",
                            kernel->name, kernel->buffers[i].name,
                            (unsigned long long)most);
        bytes += one;
    }
    out->scratch_bytes = bytes * group_items(kernel);
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
        shape *out, krs_error *err)
{
    const krs_kernel *kernel = launch->code->kernel;
    *out = (shape){.items = 1};
    for (int i = 0; i < KRS_K_AXES; i++)
        if (launch->grid[i] < 0 ||
            __builtin_mul_overflow(out->items, (uint64_t)launch->grid[i],
                                   &out->items) ||
            out->items > UINT32_MAX - d->target.local)
            return krs_fail(
                err, KRS_E_ARGUMENT, "vulkan: %s: a grid of %lld x %lld x %lld",
                kernel->name, (long long)launch->grid[0],
                (long long)launch->grid[1], (long long)launch->grid[2]);
    out->word_bytes =
        (uint32_t)round_up(launch->code->words * sizeof(uint32_t),
                           d->offers.minUniformBufferOffsetAlignment > 16
                               ? d->offers.minUniformBufferOffsetAlignment
                               : 16);
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        const krs_backend_binding *b = &launch->bindings[i];
        if (b->offset_bytes > b->memory->bytes ||
            b->bytes > b->memory->bytes - b->offset_bytes)
            return krs_fail(err, KRS_E_RANGE,
                            "vulkan: %s: buffer %s: %zu bytes at %zu of a "
                            "memory of %zu",
                            kernel->name, kernel->buffers[i].name, b->bytes,
                            b->offset_bytes, b->memory->bytes);
        if (b->bytes > d->limits.max_bind_bytes)
            return krs_fail(err, KRS_E_UNSUPPORTED,
                            "vulkan: %s: buffer %s has %zu bytes; %s binds "
                            "%llu at most (maxStorageBufferRange)",
                            kernel->name, kernel->buffers[i].name, b->bytes,
                            d->limits.name,
                            (unsigned long long)d->limits.max_bind_bytes);
        if (b->offset_bytes % d->limits.offset_align != 0)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "vulkan: %s: buffer %s begins at byte %zu, which "
                            "is no multiple of %llu",
                            kernel->name, kernel->buffers[i].name,
                            b->offset_bytes,
                            (unsigned long long)d->limits.offset_align);
    }
    return measure_scratch(d, launch, out, err);
}

/* ---- room ---- */

static krs_status
grow_block(krs_backend_device *d, krsi_vulkan_block *block, size_t bytes,
           uint32_t type, bool mapped, krs_error *err)
{
    if (block->bytes >= bytes)
        return KRS_OK;
    krsi_vulkan_free_block(d, block);
    return krsi_vulkan_new_block(d, bytes, type, mapped, block, err);
}

static krs_status
grow_sets(krs_backend_device *d, uint32_t sets, uint32_t bindings,
          krs_error *err)
{
    krsi_vulkan_room *room = &d->room;
    if (room->sets && room->set_count >= sets &&
        room->binding_count >= bindings)
        return krsi_vulkan_check(
            d->vk.vkResetDescriptorPool(d->device, room->sets, 0),
            "the descriptor pool", err);
    d->vk.vkDestroyDescriptorPool(d->device, room->sets, NULL);
    room->sets = VK_NULL_HANDLE;
    room->set_count = sets + sets / 2 + 16;
    room->binding_count = bindings + bindings / 2 + 64;
    VkDescriptorPoolSize sizes[] = {
        {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,         room->binding_count},
        {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,   room->binding_count},
        {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC, room->set_count    }
    };
    VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = room->set_count,
        .poolSizeCount = 3,
        .pPoolSizes = sizes};
    return krsi_vulkan_check(
        d->vk.vkCreateDescriptorPool(d->device, &info, NULL, &room->sets),
        "a descriptor pool", err);
}

static void
drop_views(krs_backend_device *d)
{
    krsi_vulkan_room *room = &d->room;
    while (room->view_count > 0)
        d->vk.vkDestroyBufferView(d->device, room->views[--room->view_count],
                                  NULL);
}

static krs_status
grow_views(krs_backend_device *d, uint32_t count, krs_error *err)
{
    krsi_vulkan_room *room = &d->room;
    drop_views(d);
    if (room->view_capacity >= count)
        return KRS_OK;
    VkBufferView *views = realloc(room->views, count * sizeof *views);
    if (!views)
        return krs_fail(err, KRS_E_MEMORY, "vulkan: no memory for %u views",
                        count);
    room->views = views;
    room->view_capacity = count;
    return KRS_OK;
}

static krs_status
grow_queries(krs_backend_device *d, uint32_t count, krs_error *err)
{
    krsi_vulkan_room *room = &d->room;
    if (room->query_count >= count)
        return KRS_OK;
    d->vk.vkDestroyQueryPool(d->device, room->queries, NULL);
    room->queries = VK_NULL_HANDLE;
    room->query_count = 0;
    VkQueryPoolCreateInfo info = {.sType =
                                      VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                  .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                  .queryCount = count};
    KRS_TRY(krsi_vulkan_check(
        d->vk.vkCreateQueryPool(d->device, &info, NULL, &room->queries),
        "a pool of time stamps", err));
    room->query_count = count;
    return KRS_OK;
}

static krs_status
grow_pieces(krs_backend_device *d, size_t count, krs_error *err)
{
    krsi_vulkan_room *room = &d->room;
    if (room->piece_count >= count)
        return KRS_OK;
    VkCommandBuffer *commands =
        realloc(room->commands, count * sizeof *commands);
    if (commands)
        room->commands = commands;
    size_t *ends = realloc(room->ends, count * sizeof *ends);
    if (ends)
        room->ends = ends;
    if (!commands || !ends)
        return krs_fail(err, KRS_E_MEMORY, "vulkan: no memory for %zu pieces",
                        count);
    VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = d->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = (uint32_t)(count - room->piece_count)};
    KRS_TRY(
        krsi_vulkan_check(d->vk.vkAllocateCommandBuffers(
                              d->device, &info, commands + room->piece_count),
                          "command buffers", err));
    room->piece_count = count;
    return KRS_OK;
}

void
krsi_vulkan_free_room(krs_backend_device *d)
{
    krsi_vulkan_room *room = &d->room;
    d->vk.vkDestroyDescriptorPool(d->device, room->sets, NULL);
    d->vk.vkDestroyQueryPool(d->device, room->queries, NULL);
    d->vk.vkDestroyFence(d->device, room->fence, NULL);
    krsi_vulkan_free_block(d, &room->words);
    krsi_vulkan_free_block(d, &room->scratch);
    krsi_vulkan_free_block(d, &room->flag);
    drop_views(d);
    free(room->views);
    free(room->commands); /* they go with their pool */
    free(room->ends);
}

/* Pieces end with waves: one, or several if a request to stop may come. */
static krs_status
cut_pieces(krs_backend_device *d, krs_error *err)
{
    const krs_backend_work *work = d->work;
    size_t begin = 0;
    d->pieces = 0;
    for (size_t w = 0; w < work->wave_count; w++) {
        size_t end = work->wave_ends[w];
        bool is_last = w + 1 == work->wave_count;
        if (!is_last && (!work->cancel || end - begin < PIECE_LAUNCHES))
            continue;
        KRS_TRY(grow_pieces(d, d->pieces + 1, err));
        d->room.ends[d->pieces++] = begin = end;
    }
    return KRS_OK;
}

static krs_status
make_room(krs_backend_device *d, krs_error *err)
{
    const krs_backend_work *work = d->work;
    uint32_t sets = 0, bindings = 0;
    uint64_t words = 0, scratch = 0;
    for (size_t i = 0; i < work->launch_count; i++) {
        const krs_backend_launch *launch = &work->launches[i];
        shape s;
        KRS_TRY(measure(d, launch, &s, err));
        if (s.items == 0)
            continue;
        sets++;
        bindings += launch->code->binding_count;
        words += s.word_bytes;
        if (s.at_once * s.scratch_bytes > scratch)
            scratch = s.at_once * s.scratch_bytes;
    }
    KRS_TRY(grow_sets(d, sets, bindings, err));
    KRS_TRY(grow_views(d, bindings, err));
    KRS_TRY(grow_block(d, &d->room.words, words, d->host_type, true, err));
    KRS_TRY(grow_block(d, &d->room.flag, FLAG_BYTES, d->host_type, true, err));
    memset(d->room.flag.mapped, 0, FLAG_BYTES);
    KRS_TRY(
        grow_block(d, &d->room.scratch, scratch, d->memory_type, false, err));
    if (work->spans)
        KRS_TRY(grow_queries(d, (uint32_t)(2 * work->launch_count), err));
    return cut_pieces(d, err);
}

/* ---- recording ---- */

typedef struct recorder {
    krs_backend_device *d;
    VkCommandBuffer to;
    size_t words;   /* bytes used for words of launches */
    size_t scratch; /* bytes used since the last barrier */
} recorder;

static void
barrier(const recorder *r)
{
    VkMemoryBarrier all = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                           .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                           .dstAccessMask = VK_ACCESS_SHADER_READ_BIT |
                                            VK_ACCESS_SHADER_WRITE_BIT};
    r->d->vk.vkCmdPipelineBarrier(r->to, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                  VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1,
                                  &all, 0, NULL, 0, NULL);
}

/* What the host and copies see at the end. */
static void
last_barrier(const recorder *r)
{
    VkMemoryBarrier all = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                           .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                           .dstAccessMask = VK_ACCESS_HOST_READ_BIT |
                                            VK_ACCESS_TRANSFER_READ_BIT |
                                            VK_ACCESS_TRANSFER_WRITE_BIT};
    r->d->vk.vkCmdPipelineBarrier(r->to, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                  VK_PIPELINE_STAGE_HOST_BIT |
                                      VK_PIPELINE_STAGE_TRANSFER_BIT,
                                  0, 1, &all, 0, NULL, 0, NULL);
}

/* The words of a launch (spirv_emit.h). */
static void
write_words(const recorder *r, size_t number, const shape *s)
{
    const krs_backend_launch *launch = &r->d->work->launches[number];
    const krs_kernel *kernel = launch->code->kernel;
    uint32_t words[KRSI_WORDS] = {0};
    uint32_t items = group_items(kernel), at = 0;
    char *to = r->d->room.words.mapped + r->words;
    words[KRSI_WORD_SCRATCH] =
        (uint32_t)(s->scratch_bytes / items / KRSI_UNIT_BYTES);
    words[KRSI_WORD_LAUNCH] = (uint32_t)(number + 1);
    memcpy(to, words, sizeof words);
    to += sizeof words;
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++) {
        size_t bytes = 0;
        uint32_t unit = at / KRSI_UNIT_BYTES;
        memcpy(to, &unit, sizeof unit);
        to += sizeof unit;
        if (kernel->buffers[i].space == KRS_K_SCRATCH &&
            krs_kscratch_bytes(&kernel->buffers[i], launch->args, &bytes))
            at += (uint32_t)bytes;
    }
    for (uint32_t i = 0; i < kernel->arg_count; i++) {
        bool wide = kernel->args[i].dtype == KRS_I64;
        size_t bytes = wide ? sizeof launch->args[i].i : sizeof(float);
        memcpy(to,
               wide ? (const void *)&launch->args[i].i
                    : (const void *)&launch->args[i].f,
               bytes);
        to += bytes;
    }
}

/* A texel view of a buffer, which lives as long as the work. */
static krs_status
make_view(const recorder *r, const VkDescriptorBufferInfo *buffer,
          krsi_spv_view view, VkBufferView *out, krs_error *err)
{
    static const VkFormat formats[KRSI_VIEWS] = {
        [KRSI_VIEW_WORD] = VK_FORMAT_R32_UINT,
        [KRSI_VIEW_PAIR] = VK_FORMAT_R32G32_UINT,
        [KRSI_VIEW_QUAD] = VK_FORMAT_R32G32B32A32_UINT};
    krs_backend_device *d = r->d;
    krsi_vulkan_room *room = &d->room;
    VkBufferViewCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
        .buffer = buffer->buffer,
        .format = formats[view],
        .offset = buffer->offset,
        .range = buffer->range};
    KRS_TRY(
        krsi_vulkan_check(d->vk.vkCreateBufferView(d->device, &info, NULL, out),
                          "a texel view", err));
    room->views[room->view_count++] = *out;
    return KRS_OK;
}

/* What binding i is at this launch. Ranges are rounded up to whole elements:
 * every memory has room behind it. */
static VkDescriptorBufferInfo
find_buffer(const recorder *r, const krs_backend_launch *launch, const shape *s,
            const krsi_spv_binding *binding)
{
    enum { WIDEST = 16 };
    if (binding->slot == launch->code->kernel->param_count)
        return (VkDescriptorBufferInfo){r->d->room.scratch.buffer, r->scratch,
                                        s->at_once * s->scratch_bytes};
    if (binding->slot == launch->code->kernel->param_count + 1)
        return (VkDescriptorBufferInfo){r->d->room.flag.buffer, 0, FLAG_BYTES};
    const krs_backend_binding *b = &launch->bindings[binding->slot];
    return (VkDescriptorBufferInfo){
        b->memory->block->buffer, b->memory->offset + b->offset_bytes,
        b->bytes ? round_up(b->bytes, WIDEST) : WIDEST};
}

VkDescriptorType
krsi_vulkan_kind(const krsi_spv_binding *binding)
{
    return binding->texel ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                          : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
}

static krs_status
make_set(const recorder *r, const krs_backend_launch *launch, const shape *s,
         VkDescriptorSet *out, krs_error *err)
{
    krs_backend_device *d = r->d;
    const krs_backend_code *code = launch->code;
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = d->room.sets,
        .descriptorSetCount = 1,
        .pSetLayouts = &code->set_layout};
    KRS_TRY(
        krsi_vulkan_check(d->vk.vkAllocateDescriptorSets(d->device, &info, out),
                          "a descriptor set", err));
    for (uint32_t i = 0; i <= code->binding_count; i++) {
        const krsi_spv_binding *binding = i ? &code->binding[i - 1] : NULL;
        VkDescriptorBufferInfo buffer =
            binding ? find_buffer(r, launch, s, binding)
                    : (VkDescriptorBufferInfo){d->room.words.buffer, 0,
                                               s->word_bytes};
        VkBufferView view = VK_NULL_HANDLE;
        VkWriteDescriptorSet write = {
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = *out,
            .dstBinding = i,
            .descriptorCount = 1,
            .descriptorType = binding
                                  ? krsi_vulkan_kind(binding)
                                  : VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC,
            .pBufferInfo = &buffer,
            .pTexelBufferView = &view};
        if (binding && binding->texel)
            KRS_TRY(make_view(r, &buffer, (krsi_spv_view)binding->texel, &view,
                              err));
        d->vk.vkUpdateDescriptorSets(d->device, 1, &write, 0, NULL);
    }
    return KRS_OK;
}

static void
dispatch(const recorder *r, const krs_backend_launch *launch, const shape *s)
{
    krs_backend_device *d = r->d;
    uint32_t local =
        group_items(launch->code->kernel) == 1 ? d->target.local : 1;
    uint64_t most = (uint64_t)d->offers.maxComputeWorkGroupCount[0] * local;
    uint64_t step = s->at_once < most ? s->at_once : most;
    for (uint64_t first = 0; first < s->items; first += step) {
        uint64_t count = s->items - first < step ? s->items - first : step;
        uint32_t push[KRSI_PUSH_WORDS] = {
            (uint32_t)first, (uint32_t)(first + count),
            (uint32_t)launch->grid[0], (uint32_t)launch->grid[1]};
        if (first && s->scratch_bytes)
            barrier(r);
        d->vk.vkCmdPushConstants(r->to, launch->code->layout,
                                 VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof push,
                                 push);
        d->vk.vkCmdDispatch(r->to, (uint32_t)((count + local - 1) / local), 1,
                            1);
    }
}

static krs_status
record_launch(recorder *r, size_t i, krs_error *err)
{
    krs_backend_device *d = r->d;
    const krs_backend_launch *launch = &d->work->launches[i];
    VkDescriptorSet set;
    shape s;
    KRS_TRY(measure(d, launch, &s, err));
    if (s.items == 0)
        return KRS_OK;
    size_t scratch = s.at_once * s.scratch_bytes;
    if (r->scratch + scratch > d->room.scratch.bytes) {
        barrier(r);
        r->scratch = 0;
    }
    write_words(r, i, &s);
    KRS_TRY(make_set(r, launch, &s, &set, err));
    uint32_t words = (uint32_t)r->words;
    d->vk.vkCmdBindPipeline(r->to, VK_PIPELINE_BIND_POINT_COMPUTE,
                            launch->code->pipeline);
    d->vk.vkCmdBindDescriptorSets(r->to, VK_PIPELINE_BIND_POINT_COMPUTE,
                                  launch->code->layout, 0, 1, &set, 1, &words);
    if (d->work->spans)
        d->vk.vkCmdWriteTimestamp(r->to, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT,
                                  d->room.queries, (uint32_t)(2 * i));
    dispatch(r, launch, &s);
    if (d->work->spans)
        d->vk.vkCmdWriteTimestamp(r->to, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT,
                                  d->room.queries, (uint32_t)(2 * i + 1));
    r->words += s.word_bytes;
    r->scratch += scratch;
    return KRS_OK;
}

/* Launches begin .. end of the work, in the waves that they belong to. */
static krs_status
record_piece(recorder *r, size_t begin, size_t end, size_t *wave,
             krs_error *err)
{
    krs_backend_device *d = r->d;
    VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    KRS_TRY(krsi_vulkan_check(d->vk.vkBeginCommandBuffer(r->to, &info),
                              "a command buffer", err));
    if (begin == 0 && d->work->spans && d->work->launch_count)
        d->vk.vkCmdResetQueryPool(r->to, d->room.queries, 0,
                                  (uint32_t)(2 * d->work->launch_count));
    barrier(r);
    r->scratch = 0;
    for (size_t i = begin; i < end; i++) {
        while (i == d->work->wave_ends[*wave]) {
            ++*wave;
            if (i > begin)
                barrier(r);
            r->scratch = 0;
        }
        KRS_TRY(record_launch(r, i, err));
    }
    last_barrier(r);
    return krsi_vulkan_check(d->vk.vkEndCommandBuffer(r->to),
                             "a command buffer", err);
}

static krs_status
record(krs_backend_device *d, krs_error *err)
{
    recorder r = {.d = d};
    size_t begin = 0, wave = 0;
    for (size_t p = 0; p < d->pieces; p++) {
        r.to = d->room.commands[p];
        KRS_TRY(record_piece(&r, begin, d->room.ends[p], &wave, err));
        begin = d->room.ends[p];
    }
    return KRS_OK;
}

/* ---- running ---- */

static krs_status
start_piece(krs_backend_device *d, krs_error *err)
{
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .commandBufferCount = 1,
                         .pCommandBuffers = &d->room.commands[d->started++]};
    return krsi_vulkan_check(
        d->vk.vkQueueSubmit(d->queue, 1, &info, d->room.fence),
        "launches submitted", err);
}

krs_status
krsi_vulkan_submit(krs_backend_device *d, const krs_backend_work *work,
                   krs_error *err)
{
    pthread_mutex_lock(&d->lock);
    d->work = work;
    d->started = 0;
    krs_status status = make_room(d, err);
    if (status == KRS_OK)
        status = record(d, err);
    if (status == KRS_OK && d->pieces)
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
                d->device, d->room.queries, (uint32_t)(2 * i), 2, sizeof ticks,
                ticks, sizeof *ticks,
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
    KRS_TRY(
        krsi_vulkan_check(d->vk.vkWaitForFences(d->device, 1, &d->room.fence,
                                                VK_TRUE, UINT64_MAX),
                          "launches", err));
    return krsi_vulkan_check(d->vk.vkResetFences(d->device, 1, &d->room.fence),
                             "a fence", err);
}

/* What a kernel says of its loops (spirv_emit.h). */
static krs_status
check_flag(const krs_backend_device *d, krs_error *err)
{
    uint32_t launch;
    memcpy(&launch, d->room.flag.mapped, sizeof launch);
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
    if (d->pieces)
        status = finish_piece(d, err);
    while (status == KRS_OK && d->started < d->pieces) {
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
    if (status == KRS_OK && d->pieces)
        status = check_flag(d, err);
    if (work->spans && (status == KRS_OK || status == KRS_E_CANCELLED)) {
        size_t ran = d->started ? d->room.ends[d->started - 1] : 0;
        krs_status timed = read_spans(d, ran, err);
        status = timed != KRS_OK ? timed : status;
    }
    d->work = NULL;
    return status;
}
