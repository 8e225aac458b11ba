/* cpu_memory.c -- memories of the CPU backend: aligned host memory.
 *
 * Large ones ask for huge pages: touching fresh memory then costs a quarter.
 */
#define _DEFAULT_SOURCE /* madvise */
#include "cpu_device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGE_BYTES = 4 << 20, HUGE_PAGE_BYTES = 2 << 20 };

krs_status
krsi_cpu_alloc(krs_backend_device *device, size_t bytes,
               krs_backend_memory **out, krs_error *err)
{
    krs_backend_memory *memory = calloc(1, sizeof *memory);
    void *data = NULL;
    size_t align = bytes >= LARGE_BYTES ? HUGE_PAGE_BYTES
                                        : (size_t)device->limits.memory_align;
    *out = NULL;
    if (!memory || posix_memalign(&data, align, bytes ? bytes : 1) != 0) {
        free(memory);
        return krs_fail(err, KRS_E_MEMORY, "cpu: no memory for %zu bytes",
                        bytes);
    }
#ifdef MADV_HUGEPAGE
    if (bytes >= LARGE_BYTES)
        madvise(data, bytes, MADV_HUGEPAGE); /* a wish: may fail */
#endif
    *memory = (krs_backend_memory){data, bytes};
    *out = memory;
    return KRS_OK;
}

void
krsi_cpu_free(krs_backend_device *device, krs_backend_memory *memory)
{
    (void)device;
    if (!memory)
        return;
    free(memory->data);
    free(memory);
}

static krs_status
check_range(const krs_backend_memory *memory, const char *what, size_t offset,
            size_t bytes, krs_error *err)
{
    if (offset <= memory->bytes && bytes <= memory->bytes - offset)
        return KRS_OK;
    return krs_fail(err, KRS_E_RANGE,
                    "cpu: %s of %zu bytes at %zu: the memory has %zu bytes",
                    what, bytes, offset, memory->bytes);
}

krs_status
krsi_cpu_write(krs_backend_device *device, krs_backend_memory *memory,
               size_t offset_bytes, const void *data, size_t bytes,
               krs_error *err)
{
    (void)device;
    KRS_TRY(check_range(memory, "write", offset_bytes, bytes, err));
    if (bytes)
        memcpy(memory->data + offset_bytes, data, bytes);
    return KRS_OK;
}

krs_status
krsi_cpu_read(krs_backend_device *device, const krs_backend_memory *memory,
              size_t offset_bytes, void *data, size_t bytes, krs_error *err)
{
    (void)device;
    KRS_TRY(check_range(memory, "read", offset_bytes, bytes, err));
    if (bytes)
        memcpy(data, memory->data + offset_bytes, bytes);
    return KRS_OK;
}
