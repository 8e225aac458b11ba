/* cpu_memory.c -- memories of the CPU backend: aligned host memory.
 *
 * Large ones ask for huge pages: touching fresh memory then costs a quarter.
 * What the user's allocator gives is left as it is.
 */
#define _DEFAULT_SOURCE /* madvise */
#include "cpu_device.h"

#include <sys/mman.h>

enum { LARGE_BYTES = 4 << 20, HUGE_PAGE_BYTES = 2 << 20 };

static const krs_allocator *
allocator_of(const krs_backend_device *device)
{
    return device->allocator.allocate ? &device->allocator : NULL;
}

krs_status
krsi_cpu_alloc(krs_backend_device *device, size_t bytes,
               krs_backend_memory **out, krs_error *err)
{
    const krs_allocator *allocator = allocator_of(device);
    bool is_large = bytes >= LARGE_BYTES && !allocator;
    KRS_TRY(krsi_host_alloc("cpu", allocator,
                            is_large ? HUGE_PAGE_BYTES : KRSI_HOST_ALIGN, bytes,
                            out, err));
#ifdef MADV_HUGEPAGE
    if (is_large)
        madvise((*out)->data, bytes, MADV_HUGEPAGE); /* a wish: may fail */
#endif
    return KRS_OK;
}

void
krsi_cpu_free(krs_backend_device *device, krs_backend_memory *memory)
{
    krsi_host_free(allocator_of(device), memory);
}

krs_status
krsi_cpu_wrap(krs_backend_device *device, void *data, size_t bytes,
              krs_backend_memory **out, krs_error *err)
{
    (void)device;
    return krsi_host_wrap("cpu", data, bytes, out, err);
}

krs_status
krsi_cpu_write(krs_backend_device *device, krs_backend_memory *memory,
               size_t offset, const void *data, size_t bytes, krs_error *err)
{
    (void)device;
    return krsi_host_write("cpu", memory, offset, data, bytes, err);
}

krs_status
krsi_cpu_read(krs_backend_device *device, const krs_backend_memory *memory,
              size_t offset, void *data, size_t bytes, krs_error *err)
{
    (void)device;
    return krsi_host_read("cpu", memory, offset, data, bytes, err);
}
