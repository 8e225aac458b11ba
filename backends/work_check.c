/* work_check.c -- work before it runs: waves, grids, bindings. Every backend but
 * the interpreter, which checks each access, calls it first, so that what one
 * refuses all refuse in the same words.
 */
#include "work_check.h"

#include <krs/status.h>
#include <string.h>

static const krs_kernel *
kernel_of(const krsi_work_asker *a, const krs_backend_code *code)
{
    const krs_kernel *kernel;
    memcpy(&kernel, (const char *)code + a->kernel_at, sizeof kernel);
    return kernel;
}

static size_t
bytes_of(const krsi_work_asker *a, const krs_backend_memory *memory)
{
    size_t bytes;
    memcpy(&bytes, (const char *)memory + a->bytes_at, sizeof bytes);
    return bytes;
}

static krs_status
check_waves(const krsi_work_asker *a, const krs_backend_work *work,
            krs_error *err)
{
    size_t before = 0;
    for (size_t w = 0; w < work->wave_count; w++) {
        if (work->wave_ends[w] < before ||
            work->wave_ends[w] > work->launch_count)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "%s: wave %zu ends at launch %zu of %zu, after "
                            "one that ends at %zu",
                            a->name, w, work->wave_ends[w], work->launch_count,
                            before);
        before = work->wave_ends[w];
    }
    if (before != work->launch_count)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: the waves end at launch %zu of %zu", a->name,
                        before, work->launch_count);
    return KRS_OK;
}

static krs_status
check_grid(const krsi_work_asker *a, const krs_kernel *kernel,
           const int64_t grid[KRS_K_AXES], int64_t most, krs_error *err)
{
    int64_t groups = 1;
    for (int i = 0; i < KRS_K_AXES; i++)
        if (grid[i] < 0 || grid[i] > a->limits->grid[i] ||
            __builtin_mul_overflow(groups, grid[i], &groups) || groups > most)
            return krs_fail(err, KRS_E_RANGE,
                            "%s: %s: no grid: %lld x %lld x %lld; %s runs "
                            "%lld at most",
                            a->name, kernel->name, (long long)grid[0],
                            (long long)grid[1], (long long)grid[2],
                            a->limits->name, (long long)most);
    return KRS_OK;
}

static krs_status
check_binding(const krsi_work_asker *a, const krs_kernel *kernel, uint32_t i,
              const krs_backend_binding *at, krs_error *err)
{
    const krs_kbuffer *buffer = &kernel->buffers[i];
    uint64_t align = (uint64_t)1 << buffer->align_log2;
    if (!at->memory)
        return krs_fail(err, KRS_E_ARGUMENT, "%s: %s: %s has no memory",
                        a->name, kernel->name, buffer->name);
    size_t have = bytes_of(a, at->memory);
    if (at->offset_bytes > have || at->bytes > have - at->offset_bytes)
        return krs_fail(err, KRS_E_RANGE,
                        "%s: %s: %s is bound to %zu bytes at %zu of a memory "
                        "of %zu",
                        a->name, kernel->name, buffer->name, at->bytes,
                        at->offset_bytes, have);
    if (align < a->limits->offset_align)
        align = a->limits->offset_align;
    if (at->offset_bytes % align != 0)
        return krs_fail(err, KRS_E_RANGE,
                        "%s: %s: %s is bound at byte %zu, which is not a "
                        "multiple of %llu",
                        a->name, kernel->name, buffer->name, at->offset_bytes,
                        (unsigned long long)align);
    if (at->bytes > a->limits->max_bind_bytes)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: %s: %s has %zu bytes; %s binds %llu at most",
                        a->name, kernel->name, buffer->name, at->bytes,
                        a->limits->name,
                        (unsigned long long)a->limits->max_bind_bytes);
    return KRS_OK;
}

krs_status
krsi_work_check(const krsi_work_asker *a, const krs_backend_work *work,
                int64_t most_groups, krs_error *err)
{
    KRS_TRY(check_waves(a, work, err));
    for (size_t i = 0; i < work->launch_count; i++) {
        const krs_backend_launch *launch = &work->launches[i];
        const krs_kernel *kernel = kernel_of(a, launch->code);
        KRS_TRY(check_grid(a, kernel, launch->grid, most_groups, err));
        for (uint32_t p = 0; p < kernel->param_count; p++)
            KRS_TRY(check_binding(a, kernel, p, &launch->bindings[p], err));
    }
    return KRS_OK;
}
