/* vulkan_record.c -- work in command buffers, which are kept: the same work is
 * submitted again without being recorded.
 *
 * In: work in waves. Out: a recording, with a barrier between waves only; in
 * several pieces where a request to stop may come between them. A launch has a
 * descriptor set, words (spirv_emit.h) in one buffer for all launches, and
 * dispatches: as many items in a row as the device takes and as have room for
 * scratch. Scratch of a wave's launches lies side by side; where it does not
 * fit, a barrier comes between and it begins anew.
 *
 * A recording is good for work of the same key (vulkan_measure.c). What it was
 * made from may be gone by then: it is not submitted any more, and dropped when
 * its place is needed.
 */
#include "vulkan.h"

#include <krs/status.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_LAUNCHES = 32, /* between two looks at `cancel`, at least */
    ODD_BYTES = 1 << 16
};

/* ---- what a recording consists of ---- */

static krs_status
make_sets(krs_backend_device *d, krsi_vulkan_recording *into, uint32_t sets,
          uint32_t bindings, krs_error *err)
{
    VkDescriptorPoolSize sizes[] = {
        {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,         bindings + 1},
        {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,   bindings + 1},
        {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC, sets + 1    }
    };
    VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = sets + 1,
        .poolSizeCount = 3,
        .pPoolSizes = sizes};
    into->views = calloc((size_t)bindings + 1, sizeof(VkBufferView));
    if (!into->views)
        return krs_fail(err, KRS_E_MEMORY, "vulkan: no memory for %u views",
                        bindings);
    return krsi_vulkan_check(
        d->vk.vkCreateDescriptorPool(d->device, &info, NULL, &into->sets),
        "a descriptor pool", err);
}

static krs_status
make_queries(krs_backend_device *d, krsi_vulkan_recording *into, uint32_t count,
             krs_error *err)
{
    VkQueryPoolCreateInfo info = {.sType =
                                      VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                  .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                  .queryCount = count};
    return krsi_vulkan_check(
        d->vk.vkCreateQueryPool(d->device, &info, NULL, &into->queries),
        "a pool of time stamps", err);
}

/* Pieces end with waves: one, or several if a request to stop may come. */
static krs_status
make_pieces(krs_backend_device *d, const krs_backend_work *work,
            krsi_vulkan_recording *into, krs_error *err)
{
    size_t begin = 0, most = work->wave_count;
    into->commands = calloc(most + 1, sizeof(VkCommandBuffer));
    into->ends = calloc(most + 1, sizeof *into->ends);
    if (!into->commands || !into->ends)
        return krs_fail(err, KRS_E_MEMORY,
                        "vulkan: no memory for %zu command buffers", most);
    for (size_t w = 0; w < work->wave_count; w++) {
        size_t end = work->wave_ends[w];
        bool is_last = w + 1 == work->wave_count;
        if (is_last || (work->cancel && end - begin >= PIECE_LAUNCHES))
            into->ends[into->pieces++] = begin = end;
    }
    if (into->pieces == 0)
        return KRS_OK;
    VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = d->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = (uint32_t)into->pieces};
    krs_status status = krsi_vulkan_check(
        d->vk.vkAllocateCommandBuffers(d->device, &info, into->commands),
        "command buffers", err);
    into->has_commands = status == KRS_OK;
    return status;
}

static krs_status
make_room(krs_backend_device *d, const krs_backend_work *work,
          krsi_vulkan_recording *into, krs_error *err)
{
    uint32_t sets = 0, bindings = 0;
    size_t words = 0;
    into->key = malloc(d->room.key_words * sizeof *into->key);
    into->words_at = calloc(work->launch_count + 1, sizeof *into->words_at);
    if (!into->key || !into->words_at)
        return krs_fail(err, KRS_E_MEMORY,
                        "vulkan: no memory to record %zu launches",
                        work->launch_count);
    for (size_t i = 0; i < work->launch_count; i++) {
        const krsi_vulkan_shape *s = &d->room.shapes[i];
        into->words_at[i] = words;
        sets += s->items > 0;
        bindings += s->items ? work->launches[i].code->binding_count : 0;
        words += s->items ? s->word_bytes : 0;
    }
    KRS_TRY(make_sets(d, into, sets, bindings, err));
    KRS_TRY(krsi_vulkan_new_block(d, words ? words : 1, d->host_type, true,
                                  &into->words, err));
    if (work->spans && work->launch_count)
        KRS_TRY(make_queries(d, into, (uint32_t)(2 * work->launch_count), err));
    return make_pieces(d, work, into, err);
}

void
krsi_vulkan_drop_recording(krs_backend_device *d, krsi_vulkan_recording *r)
{
    d->vk.vkDestroyDescriptorPool(d->device, r->sets, NULL);
    d->vk.vkDestroyQueryPool(d->device, r->queries, NULL);
    if (r->has_commands)
        d->vk.vkFreeCommandBuffers(d->device, d->pool, (uint32_t)r->pieces,
                                   r->commands);
    while (r->view_count > 0)
        d->vk.vkDestroyBufferView(d->device, r->views[--r->view_count], NULL);
    krsi_vulkan_free_block(d, &r->words);
    free(r->views);
    free(r->commands);
    free(r->ends);
    free(r->words_at);
    free(r->key);
    *r = (krsi_vulkan_recording){0};
}

/* ---- recording ---- */

/* What is being recorded. */
typedef struct recorder {
    krs_backend_device *d;
    const krs_backend_work *work;
    krsi_vulkan_recording *into;
    VkCommandBuffer to;
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

/* A texel view of a buffer, which lives as long as the recording. lavapipe takes
 * one whose bytes are 255 at most beyond a multiple of 2^16 for another kind,
 * for which it compiles kernels again; so there is none. */
static krs_status
make_view(const recorder *r, const VkDescriptorBufferInfo *buffer,
          krsi_spv_view view, VkBufferView *out, krs_error *err)
{
    static const VkFormat formats[KRSI_VIEWS] = {
        [KRSI_VIEW_WORD] = VK_FORMAT_R32_UINT,
        [KRSI_VIEW_PAIR] = VK_FORMAT_R32G32_UINT,
        [KRSI_VIEW_QUAD] = VK_FORMAT_R32G32B32A32_UINT};
    krs_backend_device *d = r->d;
    bool is_beyond = buffer->range % ODD_BYTES >= KRSI_TAIL_BYTES;
    VkBufferViewCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
        .buffer = buffer->buffer,
        .format = formats[view],
        .offset = buffer->offset,
        .range = buffer->range + (is_beyond ? 0 : KRSI_TAIL_BYTES)};
    KRS_TRY(
        krsi_vulkan_check(d->vk.vkCreateBufferView(d->device, &info, NULL, out),
                          "a texel view", err));
    r->into->views[r->into->view_count++] = *out;
    return KRS_OK;
}

/* What binding i is at this launch. Ranges are rounded up to whole elements:
 * every memory has room behind it. */
static VkDescriptorBufferInfo
find_buffer(const recorder *r, const krs_backend_launch *launch,
            const krsi_vulkan_shape *s, const krsi_spv_binding *binding)
{
    enum { WIDEST = 16 };
    if (binding->slot == launch->code->kernel->param_count)
        return (VkDescriptorBufferInfo){r->d->room.scratch.buffer, r->scratch,
                                        s->at_once * s->scratch_bytes};
    if (binding->slot == launch->code->kernel->param_count + 1)
        return (VkDescriptorBufferInfo){r->d->flag.buffer, 0, KRSI_FLAG_BYTES};
    const krs_backend_binding *b = &launch->bindings[binding->slot];
    return (VkDescriptorBufferInfo){
        b->memory->block->buffer, b->memory->offset + b->offset_bytes,
        b->bytes ? krsi_vulkan_round_up(b->bytes, WIDEST) : WIDEST};
}

VkDescriptorType
krsi_vulkan_kind(const krsi_spv_binding *binding)
{
    return binding->texel ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                          : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
}

static krs_status
make_set(const recorder *r, const krs_backend_launch *launch,
         const krsi_vulkan_shape *s, VkDescriptorSet *out, krs_error *err)
{
    krs_backend_device *d = r->d;
    const krs_backend_code *code = launch->code;
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = r->into->sets,
        .descriptorSetCount = 1,
        .pSetLayouts = &code->set_layout};
    KRS_TRY(
        krsi_vulkan_check(d->vk.vkAllocateDescriptorSets(d->device, &info, out),
                          "a descriptor set", err));
    for (uint32_t i = 0; i <= code->binding_count; i++) {
        const krsi_spv_binding *binding = i ? &code->binding[i - 1] : NULL;
        VkDescriptorBufferInfo buffer =
            binding ? find_buffer(r, launch, s, binding)
                    : (VkDescriptorBufferInfo){r->into->words.buffer, 0,
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
dispatch(const recorder *r, const krs_backend_launch *launch,
         const krsi_vulkan_shape *s)
{
    krs_backend_device *d = r->d;
    uint32_t local =
        krsi_vulkan_group_items(launch->code->kernel) == 1 ? d->local : 1;
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
        uint64_t groups =
            d->dispatches_nothing ? 0 : (count + local - 1) / local;
        d->vk.vkCmdDispatch(r->to, (uint32_t)groups, 1, 1);
    }
}

static krs_status
record_launch(recorder *r, size_t i, krs_error *err)
{
    krs_backend_device *d = r->d;
    const krs_backend_launch *launch = &r->work->launches[i];
    const krsi_vulkan_shape *s = &d->room.shapes[i];
    VkDescriptorSet set;
    if (s->items == 0)
        return KRS_OK;
    size_t scratch = s->at_once * s->scratch_bytes;
    if (r->scratch + scratch > d->room.scratch.bytes) {
        barrier(r);
        r->scratch = 0;
    }
    KRS_TRY(make_set(r, launch, s, &set, err));
    uint32_t words = (uint32_t)r->into->words_at[i];
    d->vk.vkCmdBindPipeline(r->to, VK_PIPELINE_BIND_POINT_COMPUTE,
                            launch->code->pipeline);
    d->vk.vkCmdBindDescriptorSets(r->to, VK_PIPELINE_BIND_POINT_COMPUTE,
                                  launch->code->layout, 0, 1, &set, 1, &words);
    if (r->work->spans)
        d->vk.vkCmdWriteTimestamp(r->to, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT,
                                  r->into->queries, (uint32_t)(2 * i));
    dispatch(r, launch, s);
    if (r->work->spans)
        d->vk.vkCmdWriteTimestamp(r->to, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT,
                                  r->into->queries, (uint32_t)(2 * i + 1));
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
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    KRS_TRY(krsi_vulkan_check(d->vk.vkBeginCommandBuffer(r->to, &info),
                              "a command buffer", err));
    if (begin == 0 && r->work->spans && r->work->launch_count)
        d->vk.vkCmdResetQueryPool(r->to, r->into->queries, 0,
                                  (uint32_t)(2 * r->work->launch_count));
    barrier(r);
    r->scratch = 0;
    for (size_t i = begin; i < end; i++) {
        while (i == r->work->wave_ends[*wave]) {
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

/* The words of a launch (spirv_emit.h). */
static void
write_words(const krs_backend_launch *launch, size_t number,
            const krsi_vulkan_shape *s, char *to)
{
    const krs_kernel *kernel = launch->code->kernel;
    uint32_t words[KRSI_WORDS] = {0};
    uint32_t items = krsi_vulkan_group_items(kernel), at = 0;
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

/* Scratch is the device's: recordings that knew a smaller one are made anew. */
static krs_status
grow_scratch(krs_backend_device *d, uint64_t bytes, krs_error *err)
{
    krsi_vulkan_room *room = &d->room;
    if (room->scratch.bytes >= bytes)
        return KRS_OK;
    krsi_vulkan_free_block(d, &room->scratch);
    room->scratch_serial = ++d->serials;
    return krsi_vulkan_new_block(d, bytes, d->memory_type, false,
                                 &room->scratch, err);
}

static krs_status
record(krs_backend_device *d, const krs_backend_work *work,
       krsi_vulkan_recording *into, krs_error *err)
{
    recorder r = {.d = d, .work = work, .into = into};
    size_t begin = 0, wave = 0;
    KRS_TRY(make_room(d, work, into, err));
    for (size_t p = 0; p < into->pieces; p++) {
        r.to = into->commands[p];
        KRS_TRY(record_piece(&r, begin, into->ends[p], &wave, err));
        begin = into->ends[p];
    }
    memcpy(into->key, d->room.key, d->room.key_words * sizeof *into->key);
    into->key_words = d->room.key_words;
    return KRS_OK;
}

/* The recording of the key at hand, or the place for it: the one that was not
 * used for longest. */
static krsi_vulkan_recording *
find_recording(krs_backend_device *d)
{
    krsi_vulkan_room *room = &d->room;
    krsi_vulkan_recording *oldest = room->recordings;
    for (int i = 0; i < KRSI_RECORDINGS; i++) {
        krsi_vulkan_recording *r = &room->recordings[i];
        if (r->key_words == room->key_words &&
            memcmp(r->key, room->key, r->key_words * sizeof *r->key) == 0)
            return r;
        if (r->used < oldest->used)
            oldest = r;
    }
    krsi_vulkan_drop_recording(d, oldest);
    return oldest;
}

krs_status
krsi_vulkan_record(krs_backend_device *d, const krs_backend_work *work,
                   krsi_vulkan_recording **out, krs_error *err)
{
    uint64_t scratch;
    KRS_TRY(krsi_vulkan_measure(d, work, &scratch, err));
    KRS_TRY(grow_scratch(d, scratch, err));
    KRS_TRY(krsi_vulkan_make_key(d, work, err));
    krsi_vulkan_recording *r = find_recording(d);
    krs_status status = KRS_OK;
    if (r->key_words == 0)
        status = record(d, work, r, err);
    if (status != KRS_OK) {
        krsi_vulkan_drop_recording(d, r);
        return status;
    }
    for (size_t i = 0; i < work->launch_count; i++)
        if (d->room.shapes[i].items)
            write_words(&work->launches[i], i, &d->room.shapes[i],
                        r->words.mapped + r->words_at[i]);
    r->used = ++d->serials;
    *out = r;
    return KRS_OK;
}
