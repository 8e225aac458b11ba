/* opencl_memory.c -- memories of an OpenCL device.
 *
 * Each has KRSI_CLC_SLACK bytes on both sides, which masked loads may read. A
 * device on the host's processors gets memory that was allocated here, so that
 * it fails here if it fails, in huge pages where there are any.
 */
#define _DEFAULT_SOURCE /* madvise */
#include "opencl_device.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, PAGE = 4096 };

static void *
host_memory(size_t bytes)
{
    void *data;
    bool is_huge = bytes >= HUGE_PAGE;
    if (posix_memalign(&data, is_huge ? HUGE_PAGE : PAGE, bytes) != 0)
        return NULL;
    if (is_huge)
        (void)madvise(data, bytes, MADV_HUGEPAGE);
    return data;
}

krs_status
krsi_opencl_alloc(krs_backend_device *device, size_t bytes,
                  krs_backend_memory **out, krs_error *err)
{
    cl_int code = CL_OUT_OF_HOST_MEMORY;
    size_t whole;
    *out = NULL;
    if (bytes > device->limits.max_alloc_bytes ||
        __builtin_add_overflow(bytes, (size_t)2 * KRSI_CLC_SLACK, &whole))
        return krs_fail(err, KRS_E_MEMORY,
                        "opencl: no memory of %zu bytes: %s gives at most %llu "
                        "at once",
                        bytes, device->limits.name,
                        (unsigned long long)device->limits.max_alloc_bytes);
    krs_backend_memory *memory = calloc(1, sizeof *memory);
    if (memory) {
        bool is_host = device->limits.is_processor;
        memory->bytes = bytes;
        memory->data = is_host ? host_memory(whole) : NULL;
        if (memory->data || !is_host)
            memory->buffer = device->cl.CreateBuffer(
                device->context,
                CL_MEM_READ_WRITE | (is_host ? CL_MEM_USE_HOST_PTR : 0), whole,
                memory->data, &code);
    }
    if (!memory || !memory->buffer) {
        krsi_opencl_free(device, memory);
        return krsi_cl_fail(err, code, "no memory of %zu bytes", bytes);
    }
    *out = memory;
    return KRS_OK;
}

void
krsi_opencl_free(krs_backend_device *device, krs_backend_memory *memory)
{
    if (!memory)
        return;
    if (memory->buffer)
        device->cl.ReleaseMemObject(memory->buffer);
    free(memory->data);
    free(memory);
}

krs_status
krsi_opencl_wrap(krs_backend_device *device, void *data, size_t bytes,
                 krs_backend_memory **out, krs_error *err)
{
    (void)data;
    *out = NULL;
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "opencl: %s cannot compute in %zu bytes of the caller's: "
                    "its memories need room around them",
                    device->limits.name, bytes);
}

static krs_status
check(const krs_backend_memory *memory, size_t offset, size_t bytes,
      krs_error *err)
{
    if (offset <= memory->bytes && bytes <= memory->bytes - offset)
        return KRS_OK;
    return krs_fail(err, KRS_E_RANGE,
                    "opencl: %zu bytes at %zu of a memory of %zu", bytes,
                    offset, memory->bytes);
}

krs_status
krsi_opencl_write(krs_backend_device *device, krs_backend_memory *memory,
                  size_t offset, const void *data, size_t bytes, krs_error *err)
{
    KRS_TRY(check(memory, offset, bytes, err));
    if (!bytes)
        return KRS_OK;
    cl_int code = device->cl.EnqueueWriteBuffer(
        device->queue, memory->buffer, CL_TRUE, KRSI_CLC_SLACK + offset, bytes,
        data, 0, NULL, NULL);
    return code == CL_SUCCESS
               ? KRS_OK
               : krsi_cl_fail(err, code, "%zu bytes were not written", bytes);
}

krs_status
krsi_opencl_read(krs_backend_device *device, const krs_backend_memory *memory,
                 size_t offset, void *data, size_t bytes, krs_error *err)
{
    KRS_TRY(check(memory, offset, bytes, err));
    if (!bytes)
        return KRS_OK;
    cl_int code = device->cl.EnqueueReadBuffer(device->queue, memory->buffer,
                                               CL_TRUE, KRSI_CLC_SLACK + offset,
                                               bytes, data, 0, NULL, NULL);
    return code == CL_SUCCESS
               ? KRS_OK
               : krsi_cl_fail(err, code, "%zu bytes were not read", bytes);
}
