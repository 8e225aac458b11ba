/* host_memory.c -- aligned memory of the host: taken from the user's allocator
 * or the system's, or the caller's own, which is never freed.
 */
#include "host_memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void *
take(const krs_allocator *allocator, size_t align, size_t bytes)
{
    void *data = NULL;
    if (allocator)
        return allocator->allocate(allocator->context, bytes, align);
    return posix_memalign(&data, align, bytes) == 0 ? data : NULL;
}

krs_status
krsi_host_alloc(const char *who, const krs_allocator *allocator, size_t align,
                size_t bytes, krs_backend_memory **out, krs_error *err)
{
    /* whole lines, at least one */
    size_t lines = bytes / KRSI_HOST_ALIGN + (bytes % KRSI_HOST_ALIGN != 0);
    size_t taken = bytes ? bytes : 1; /* exact: tools find overruns */
    *out = NULL;
    if (!allocator ||
        !__builtin_mul_overflow(lines ? lines : 1, KRSI_HOST_ALIGN, &taken)) {
        krs_backend_memory *memory = malloc(sizeof *memory);
        void *data = memory ? take(allocator, align, taken) : NULL;
        if (data) {
            *memory = (krs_backend_memory){data, bytes, taken};
            *out = memory;
            return KRS_OK;
        }
        free(memory);
    }
    return krs_fail(err, KRS_E_MEMORY, "%s: no memory for %zu bytes", who,
                    bytes);
}

krs_status
krsi_host_wrap(const char *who, void *data, size_t bytes,
               krs_backend_memory **out, krs_error *err)
{
    *out = NULL;
    if (!data || (uintptr_t)data % KRSI_HOST_ALIGN != 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: %zu bytes of the caller's start at 0x%" PRIxPTR
                        ", which is no multiple of %d: take them from "
                        "aligned_alloc(%d, ...), or have them copied",
                        who, bytes, (uintptr_t)data, KRSI_HOST_ALIGN,
                        KRSI_HOST_ALIGN);
    krs_backend_memory *memory = malloc(sizeof *memory);
    if (!memory)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory to wrap %zu bytes",
                        who, bytes);
    *memory = (krs_backend_memory){data, bytes, 0};
    *out = memory;
    return KRS_OK;
}

void
krsi_host_free(const krs_allocator *allocator, krs_backend_memory *memory)
{
    if (!memory)
        return;
    if (memory->taken_bytes && allocator)
        allocator->release(allocator->context, memory->data,
                           memory->taken_bytes);
    else if (memory->taken_bytes)
        free(memory->data);
    free(memory);
}

krs_status
krsi_host_check(const char *who, const char *what,
                const krs_backend_memory *memory, size_t offset, size_t bytes,
                krs_error *err)
{
    if (offset <= memory->bytes && bytes <= memory->bytes - offset)
        return KRS_OK;
    return krs_fail(err, KRS_E_RANGE,
                    "%s: %s of %zu bytes at %zu: the memory has %zu bytes", who,
                    what, bytes, offset, memory->bytes);
}

krs_status
krsi_host_write(const char *who, krs_backend_memory *memory, size_t offset,
                const void *data, size_t bytes, krs_error *err)
{
    KRS_TRY(krsi_host_check(who, "write", memory, offset, bytes, err));
    if (bytes)
        memcpy(memory->data + offset, data, bytes);
    return KRS_OK;
}

krs_status
krsi_host_read(const char *who, const krs_backend_memory *memory, size_t offset,
               void *data, size_t bytes, krs_error *err)
{
    KRS_TRY(krsi_host_check(who, "read", memory, offset, bytes, err));
    if (bytes)
        memcpy(data, memory->data + offset, bytes);
    return KRS_OK;
}
