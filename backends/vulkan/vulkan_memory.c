/* vulkan_memory.c -- memory of the device, and bytes to and from it.
 *
 * Memories lie in blocks of device memory, each under one buffer: small ones
 * share a block, first fit between those that are there (the list of a block
 * is the only record, so freeing cannot fail); large ones have their own.
 *
 * Where the host sees device memory, bytes are copied in place. Elsewhere they
 * go through the staging block, a piece at a time, by the device's queue.
 */
#include "vulkan.h"

#include <krs/status.h>
#include <stdlib.h>
#include <string.h>

enum {
    START_ALIGN = 256,      /* of every memory: more than any offset needs */
    BLOCK_BYTES = 16 << 20, /* shared by memories of a quarter at most */
};

/* ---- blocks ---- */

/* So many bytes and a tail that views may reach into; no power of two, for which
 * lavapipe compiles kernels again that see the buffer as texels. */
static size_t
buffer_bytes(size_t bytes)
{
    size_t all = bytes + KRSI_TAIL_BYTES;
    return all & (all - 1) ? all : all + KRSI_TAIL_BYTES;
}

krs_status
krsi_vulkan_new_block(krs_backend_device *d, size_t bytes, uint32_t type,
                      bool mapped, krsi_vulkan_block *out, krs_error *err)
{
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = buffer_bytes(bytes),
                               .usage =
                                   VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                   VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
                                   VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                                   VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                   VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    VkMemoryRequirements needs;
    VkMemoryAllocateInfo memory = {.sType =
                                       VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                   .memoryTypeIndex = type};
    *out = (krsi_vulkan_block){.bytes = bytes};
    VkResult result =
        d->vk.vkCreateBuffer(d->device, &info, NULL, &out->buffer);
    if (result == VK_SUCCESS) {
        d->vk.vkGetBufferMemoryRequirements(d->device, out->buffer, &needs);
        memory.allocationSize = needs.size;
        result = d->vk.vkAllocateMemory(d->device, &memory, NULL, &out->memory);
    }
    if (result == VK_SUCCESS)
        result =
            d->vk.vkBindBufferMemory(d->device, out->buffer, out->memory, 0);
    if (result == VK_SUCCESS && mapped)
        result = d->vk.vkMapMemory(d->device, out->memory, 0, VK_WHOLE_SIZE, 0,
                                   (void **)&out->mapped);
    if (result == VK_SUCCESS)
        return KRS_OK;
    krsi_vulkan_free_block(d, out);
    return krs_fail(err, KRS_E_MEMORY,
                    "vulkan: no memory of %zu bytes: %s has %llu in all: %s",
                    bytes, d->limits.name,
                    (unsigned long long)d->limits.memory_bytes,
                    krsi_vulkan_result(result));
}

void
krsi_vulkan_free_block(krs_backend_device *d, krsi_vulkan_block *block)
{
    if (block->buffer)
        d->vk.vkDestroyBuffer(d->device, block->buffer, NULL);
    if (block->memory)
        d->vk.vkFreeMemory(d->device, block->memory, NULL);
    *block = (krsi_vulkan_block){0};
}

/* Put a memory into the first gap of the block that is long enough. */
static bool
place(krsi_vulkan_block *block, krs_backend_memory *memory)
{
    krs_backend_memory **at = &block->first;
    size_t begin = 0;
    for (;;) {
        size_t end = *at ? (*at)->offset : block->bytes;
        if (end - begin >= memory->room) {
            memory->block = block;
            memory->offset = begin;
            memory->next = *at;
            *at = memory;
            return true;
        }
        if (!*at)
            return false;
        begin = (*at)->offset + (*at)->room;
        at = &(*at)->next;
    }
}

static krs_status
add_block(krs_backend_device *d, size_t bytes, krs_error *err)
{
    krsi_vulkan_block *block = malloc(sizeof *block);
    if (!block)
        return krs_fail(err, KRS_E_MEMORY, "vulkan: no memory for a block");
    krs_status status = krsi_vulkan_new_block(d, bytes, d->memory_type,
                                              d->is_mapped, block, err);
    if (status != KRS_OK) {
        free(block);
        return status;
    }
    block->next = d->blocks;
    d->blocks = block;
    return KRS_OK;
}

krs_status
krsi_vulkan_alloc(krs_backend_device *d, size_t bytes, krs_backend_memory **out,
                  krs_error *err)
{
    *out = NULL;
    if (bytes > d->limits.max_alloc_bytes - START_ALIGN - 3 * KRSI_TAIL_BYTES)
        return krs_fail(
            err, KRS_E_MEMORY,
            "vulkan: no memory of %zu bytes: %s gives at most %llu at once",
            bytes, d->limits.name,
            (unsigned long long)d->limits.max_alloc_bytes);
    krs_backend_memory *memory = malloc(sizeof *memory);
    if (!memory)
        return krs_fail(err, KRS_E_MEMORY, "vulkan: no memory for %zu bytes",
                        bytes);
    size_t room =
        (bytes + KRSI_TAIL_BYTES + START_ALIGN - 1) / START_ALIGN * START_ALIGN;
    *memory = (krs_backend_memory){.bytes = bytes, .room = room};
    bool shares = room <= BLOCK_BYTES / 4;
    krs_status status = KRS_OK;
    pthread_mutex_lock(&d->lock);
    memory->serial = ++d->serials;
    krsi_vulkan_block *block = d->blocks;
    while (shares && block && !place(block, memory))
        block = block->next;
    if (!shares || !block) {
        status = add_block(d, shares ? BLOCK_BYTES : room, err);
        if (status == KRS_OK)
            place(d->blocks, memory);
    }
    pthread_mutex_unlock(&d->lock);
    if (status != KRS_OK)
        free(memory);
    else
        *out = memory;
    return status;
}

void
krsi_vulkan_free(krs_backend_device *d, krs_backend_memory *memory)
{
    if (!memory)
        return;
    pthread_mutex_lock(&d->lock);
    krsi_vulkan_block *block = memory->block, **link = &d->blocks;
    krs_backend_memory **at = &block->first;
    while (*at != memory)
        at = &(*at)->next;
    *at = memory->next;
    if (!block->first) {
        while (*link != block)
            link = &(*link)->next;
        *link = block->next;
        krsi_vulkan_free_block(d, block);
        free(block);
    }
    pthread_mutex_unlock(&d->lock);
    free(memory);
}

/* ---- bytes ---- */

static krs_status
check_stretch(const krs_backend_memory *memory, size_t offset, size_t bytes,
              krs_error *err)
{
    if (offset > memory->bytes || bytes > memory->bytes - offset)
        return krs_fail(err, KRS_E_RANGE,
                        "vulkan: %zu bytes at %zu of a memory of %zu", bytes,
                        offset, memory->bytes);
    return KRS_OK;
}

/* Copy on the device, and wait; the lock is held. */
static krs_status
copy(krs_backend_device *d, VkBuffer from, VkBuffer to, VkBufferCopy region,
     krs_error *err)
{
    VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkMemoryBarrier done = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                            .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                            .dstAccessMask = VK_ACCESS_HOST_READ_BIT |
                                             VK_ACCESS_SHADER_READ_BIT |
                                             VK_ACCESS_SHADER_WRITE_BIT};
    VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                           .commandBufferCount = 1,
                           .pCommandBuffers = &d->copy};
    VkResult result = d->vk.vkBeginCommandBuffer(d->copy, &begin);
    if (result == VK_SUCCESS) {
        d->vk.vkCmdCopyBuffer(d->copy, from, to, 1, &region);
        d->vk.vkCmdPipelineBarrier(d->copy, VK_PIPELINE_STAGE_TRANSFER_BIT,
                                   VK_PIPELINE_STAGE_HOST_BIT |
                                       VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                   0, 1, &done, 0, NULL, 0, NULL);
        result = d->vk.vkEndCommandBuffer(d->copy);
    }
    if (result == VK_SUCCESS)
        result = d->vk.vkQueueSubmit(d->queue, 1, &submit, d->fence);
    if (result == VK_SUCCESS)
        result =
            d->vk.vkWaitForFences(d->device, 1, &d->fence, VK_TRUE, UINT64_MAX);
    if (result == VK_SUCCESS)
        result = d->vk.vkResetFences(d->device, 1, &d->fence);
    return krsi_vulkan_check(result, "a copy", err);
}

/* Through the staging block, in pieces; `in` or `out` is the host's. */
static krs_status
stage(krs_backend_device *d, const krs_backend_memory *memory, size_t offset,
      const char *in, char *out, size_t bytes, krs_error *err)
{
    krs_status status = KRS_OK;
    pthread_mutex_lock(&d->lock);
    for (size_t at = 0; at < bytes && status == KRS_OK;) {
        size_t part = bytes - at;
        if (part > d->staging.bytes)
            part = d->staging.bytes;
        size_t there = memory->offset + offset + at;
        if (in) {
            memcpy(d->staging.mapped, in + at, part);
            status = copy(d, d->staging.buffer, memory->block->buffer,
                          (VkBufferCopy){0, there, part}, err);
        } else {
            status = copy(d, memory->block->buffer, d->staging.buffer,
                          (VkBufferCopy){there, 0, part}, err);
            if (status == KRS_OK)
                memcpy(out + at, d->staging.mapped, part);
        }
        at += part;
    }
    pthread_mutex_unlock(&d->lock);
    return status;
}

krs_status
krsi_vulkan_write(krs_backend_device *d, krs_backend_memory *memory,
                  size_t offset, const void *data, size_t bytes, krs_error *err)
{
    KRS_TRY(check_stretch(memory, offset, bytes, err));
    if (!memory->block->mapped)
        return stage(d, memory, offset, data, NULL, bytes, err);
    if (bytes)
        memcpy(memory->block->mapped + memory->offset + offset, data, bytes);
    return KRS_OK;
}

krs_status
krsi_vulkan_read(krs_backend_device *d, const krs_backend_memory *memory,
                 size_t offset, void *data, size_t bytes, krs_error *err)
{
    KRS_TRY(check_stretch(memory, offset, bytes, err));
    if (!memory->block->mapped)
        return stage(d, memory, offset, NULL, data, bytes, err);
    if (bytes)
        memcpy(data, memory->block->mapped + memory->offset + offset, bytes);
    return KRS_OK;
}
