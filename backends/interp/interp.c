/* interp.c -- the kernel interpreter behind the seam: the backend "interp".
 *
 * One launch after the other on the calling thread, every access checked
 * against its binding: slow, plain, and the reference of every other
 * backend's bits. Its code is the hash of the kernel, so that caching and
 * loading are exercised like everywhere else.
 */
#include "../backend.h"
#include "../host_memory.h"
#include "../item_schedule.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct krs_backend_code {
    const krs_kernel *kernel; /* borrowed until drop */
    krs_keval *keval;
};

struct krs_backend_device {
    krs_backend_limits limits;
    krs_allocator allocator; /* if it has functions */
    krs_status outcome;      /* what wait returns */
};

enum { MAX_PARAMS = 256 };

static uint32_t
interp_count(krs_error *err)
{
    (void)err;
    return 1;
}

/* Small sizes of devices whose items are lanes of a processor, few turns long,
 * or share memory: so that their schedules can be judged, and compared bit for
 * bit, where there is no such device. */
static void
set_schedule(krs_backend_limits *limits, krsi_item_schedule schedule)
{
    enum { WORKERS = 8, TURNS = 65535, ITEMS = 256, SHARED = 32 << 10 };
    krsi_item_schedule_set(schedule, limits);
    if (schedule == KRSI_ITEMS_NATIVE)
        return;
    limits->workers = WORKERS;
    if (schedule == KRSI_ITEMS_LANES)
        limits->item_turns = TURNS;
    else
        limits->group_items = ITEMS;
    for (int i = 0; i < KRS_K_AXES; i++)
        limits->group[i] = limits->group_items;
    limits->shared_bytes = SHARED;
}

static krs_status
interp_open(const krs_backend_options *options, krs_backend_device **out,
            krs_error *err)
{
    krsi_item_schedule schedule;
    *out = NULL;
    if (options && options->index != 0)
        return krs_fail(err, KRS_E_ARGUMENT, "interp: no device %u; only 0",
                        options->index);
    KRS_TRY(krsi_item_schedule_of("interp", "it makes no code", options,
                                  &schedule, err));
    krs_backend_device *device = calloc(1, sizeof *device);
    if (!device)
        return krs_fail(err, KRS_E_MEMORY, "interp: no memory for a device");
    device->limits = (krs_backend_limits){
        .struct_size = sizeof device->limits,
        .name = "kernel interpreter",
        .target = "interp",
        .facts = {.struct_size = sizeof(krs_kfacts), .has_fma = true},
        .dtypes = (1U << KRS_Q8_0) - 1,
        .is_processor = true,
        .workers = 1,
        .vector_lanes = 16,
        .registers = 32,
        .group_items = 1,
        .group = { 1,                                1,               1},
        .grid = { INT64_MAX,                        INT64_MAX,       INT64_MAX},
        .max_params = MAX_PARAMS,
        .max_insts = 1 << 16,
        .memory_align = KRSI_HOST_ALIGN,
        .offset_align = 1,
        .max_alloc_bytes = INT64_MAX,
        .max_bind_bytes = INT64_MAX,
        .scratch_bytes = 1U << 30
    };
    set_schedule(&device->limits, schedule);
    if (options && options->allocator)
        device->allocator = *options->allocator;
    *out = device;
    return KRS_OK;
}

static void
interp_close(krs_backend_device *device)
{
    free(device);
}

static const krs_backend_limits *
interp_limits(const krs_backend_device *device)
{
    return &device->limits;
}

static const krs_allocator *
allocator_of(const krs_backend_device *device)
{
    return device->allocator.allocate ? &device->allocator : NULL;
}

static krs_status
interp_alloc(krs_backend_device *device, size_t bytes, krs_backend_memory **out,
             krs_error *err)
{
    return krsi_host_alloc("interp", allocator_of(device), KRSI_HOST_ALIGN,
                           bytes, out, err);
}

static void
interp_free(krs_backend_device *device, krs_backend_memory *memory)
{
    krsi_host_free(allocator_of(device), memory);
}

static krs_status
interp_wrap(krs_backend_device *device, void *data, size_t bytes,
            krs_backend_memory **out, krs_error *err)
{
    (void)device;
    return krsi_host_wrap("interp", data, bytes, out, err);
}

static krs_status
interp_write(krs_backend_device *device, krs_backend_memory *memory,
             size_t offset, const void *data, size_t bytes, krs_error *err)
{
    (void)device;
    return krsi_host_write("interp", memory, offset, data, bytes, err);
}

static krs_status
interp_read(krs_backend_device *device, const krs_backend_memory *memory,
            size_t offset, void *data, size_t bytes, krs_error *err)
{
    (void)device;
    return krsi_host_read("interp", memory, offset, data, bytes, err);
}

static krs_status
interp_build(krs_backend_device *device, const krs_kernel *const *kernels,
             size_t count, krs_backend_blob *out_blobs, krs_error *err)
{
    size_t built = 0;
    (void)device;
    for (; built < count; built++) {
        uint64_t hash[2];
        krs_kernel_hash(kernels[built], hash);
        out_blobs[built] = (krs_backend_blob){malloc(sizeof hash), sizeof hash};
        if (!out_blobs[built].data)
            break;
        memcpy(out_blobs[built].data, hash, sizeof hash);
    }
    if (built == count)
        return KRS_OK;
    for (size_t i = 0; i < built; i++)
        free(out_blobs[i].data);
    for (size_t i = 0; i < count; i++)
        out_blobs[i] = (krs_backend_blob){0};
    return krs_fail(err, KRS_E_MEMORY, "interp: no memory to build");
}

static krs_status
interp_load(krs_backend_device *device, const krs_kernel *kernel,
            const krs_backend_blob *blob, krs_backend_code **out,
            krs_error *err)
{
    uint64_t hash[2];
    *out = NULL;
    krs_kernel_hash(kernel, hash);
    if (blob->bytes != sizeof hash ||
        memcmp(blob->data, hash, sizeof hash) != 0)
        return krs_fail(err, KRS_E_FORMAT,
                        "interp: %s: %zu bytes that are not its code",
                        kernel->name, blob->bytes);
    krs_backend_code *code = calloc(1, sizeof *code);
    if (!code)
        return krs_fail(err, KRS_E_MEMORY, "interp: %s: no memory to load it",
                        kernel->name);
    code->kernel = kernel;
    krs_status status =
        krs_keval_open(kernel, &device->limits.facts, &code->keval, err);
    if (status != KRS_OK)
        free(code);
    else
        *out = code;
    return status;
}

static void
interp_drop(krs_backend_device *device, krs_backend_code *code)
{
    (void)device;
    if (!code)
        return;
    krs_keval_close(code->keval);
    free(code);
}

static uint64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static krs_status
run_launch(const krs_backend_launch *launch, krs_error *err)
{
    const krs_kernel *kernel = launch->code->kernel;
    void *buffers[MAX_PARAMS];
    size_t bytes[MAX_PARAMS];
    if (kernel->param_count > MAX_PARAMS)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "interp: %s: %u buffers; at most %d", kernel->name,
                        kernel->param_count, MAX_PARAMS);
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        const krs_backend_binding *at = &launch->bindings[i];
        KRS_TRY(krsi_host_check("interp", kernel->buffers[i].name, at->memory,
                                at->offset_bytes, at->bytes, err));
        buffers[i] = at->memory->data + at->offset_bytes;
        bytes[i] = at->bytes;
    }
    krs_klaunch run = {
        .struct_size = sizeof run,
        .grid = {launch->grid[0], launch->grid[1], launch->grid[2]},
        .buffers = buffers,
        .buffer_bytes = bytes,
        .args = launch->args
    };
    return krs_keval_run(launch->code->keval, &run, err);
}

static krs_status
interp_submit(krs_backend_device *device, const krs_backend_work *work,
              krs_error *err)
{
    device->outcome = KRS_OK;
    for (size_t i = 0; i < work->launch_count; i++) {
        if (work->cancel && __atomic_load_n(work->cancel, __ATOMIC_RELAXED)) {
            device->outcome = KRS_E_CANCELLED;
            break;
        }
        uint64_t begin = work->spans ? now_ns() : 0;
        KRS_TRY(run_launch(&work->launches[i], err));
        if (work->spans)
            work->spans[i] = (krs_backend_span){begin, now_ns()};
    }
    return KRS_OK;
}

static krs_status
interp_wait(krs_backend_device *device, krs_error *err)
{
    krs_status outcome = device->outcome;
    device->outcome = KRS_OK;
    if (outcome == KRS_E_CANCELLED)
        return krs_fail(err, outcome,
                        "interp: cancelled before all launches ran");
    return outcome;
}

/* The kernel itself is what is interpreted. */
static krs_status
interp_listing(krs_backend_device *device, const krs_kernel *kernel,
               const char *stage, char **out_text, krs_error *err)
{
    (void)device;
    (void)kernel;
    *out_text = NULL;
    return krs_fail(err, KRS_E_NAME,
                    "interp: no stage '%s'; the last one is 'kernel'", stage);
}

const krs_backend krsi_interp_backend = {.abi = krs_backend_abi,
                                         .name = "interp",
                                         .count = interp_count,
                                         .open = interp_open,
                                         .close = interp_close,
                                         .limits = interp_limits,
                                         .alloc = interp_alloc,
                                         .free = interp_free,
                                         .wrap = interp_wrap,
                                         .write = interp_write,
                                         .read = interp_read,
                                         .build = interp_build,
                                         .load = interp_load,
                                         .drop = interp_drop,
                                         .submit = interp_submit,
                                         .wait = interp_wait,
                                         .listing = interp_listing};
