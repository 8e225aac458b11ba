/* skeleton.c -- a whole backend for Kersey, to be copied and made yours.
 *
 * In: kernels, memory, launches, through the fifteen functions of
 * krs/backend.h. Out: results with the stated bits: the conformance run
 * passes as it stands.
 *
 * The "machine" here is one thread that works off a submission, with memory
 * of its own, and whose "machine code" is the text of a kernel, which the
 * interpreter krs_keval runs. To make a backend of it, replace in this order,
 * running `kersey conform` after each step:
 *
 *   1. memory      alloc, free, wrap, write, read: that of your device
 *   2. limits      what your device has; kernels are chosen by it
 *   3. build       translate each instruction of a kernel into your code
 *   4. load, drop  hand that code to your driver
 *   5. run_launch  start it; submit and wait: your queue
 *   6. listing     your code, for people
 *
 * While step 3 is incomplete, build may keep the text for kernels that have
 * an instruction you do not translate yet.
 *
 * Rules that are easy to break: nothing is printed, no environment is read, no
 * state lies outside the device, and a failure is one sentence and a status.
 */
#define _POSIX_C_SOURCE 200809L
#include <krs/backend.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_PARAMS = 64 };

struct krs_backend_device {
    krs_backend_limits limits;
    const krs_backend_work *work; /* in flight; NULL: none */
    pthread_t worker;
    krs_error outcome; /* of the work in flight, written by the worker */
};

struct krs_backend_memory {
    unsigned char *data;
    size_t bytes;
    bool is_wrapped; /* data is the user's */
};

struct krs_backend_code {
    krs_kernel *kernel;
    krs_keval *keval;
};

/* ---- the device ---- */

static uint32_t
skeleton_count(krs_error *err)
{
    (void)err; /* filled with the reason where the answer is 0 */
    return 1;
}

static krs_status
skeleton_open(const krs_backend_options *options, krs_backend_device **out,
              krs_error *err)
{
    *out = NULL;
    if (options && options->index >= skeleton_count(NULL))
        return krs_fail(err, KRS_E_ARGUMENT, "skeleton: no device %u; only 0",
                        options->index);
    if (options && options->allocator)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "skeleton: takes memory from the system alone");
    if (options && options->cpu && strcmp(options->cpu, "native") != 0)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "skeleton: no choice of processors, so not '%s'",
                        options->cpu);
    krs_backend_device *device = calloc(1, sizeof *device);
    if (!device)
        return krs_fail(err, KRS_E_MEMORY, "skeleton: no memory for a device");
    krs_backend_limits *limits = &device->limits;
    limits->struct_size = sizeof *limits;
    strcpy(limits->name, "skeleton");
    /* all that code depends on: it is the key of the cache on disk */
    strcpy(limits->target, "skeleton kernel-text-1");
    limits->facts = (krs_kfacts){sizeof(krs_kfacts), true, false};
    limits->dtypes = (1U << KRS_Q8_0) - 1; /* all but block types */
    limits->is_processor = true; /* kernels use scratch, not shared memory */
    limits->workers = 1;
    limits->vector_lanes = 8;
    limits->registers = 16;
    limits->group_items = 1;
    for (int i = 0; i < KRS_K_AXES; i++) {
        limits->group[i] = 1;
        limits->grid[i] = INT64_MAX;
    }
    limits->max_params = MAX_PARAMS;
    limits->max_insts = 1U << 16;
    limits->memory_align = 64;
    limits->offset_align = 1;
    limits->max_alloc_bytes = limits->max_bind_bytes = INT64_MAX;
    limits->scratch_bytes = 1U << 30;
    *out = device;
    return KRS_OK;
}

static void
skeleton_close(krs_backend_device *device)
{
    free(device);
}

static const krs_backend_limits *
skeleton_limits(const krs_backend_device *device)
{
    return &device->limits;
}

/* ---- memory ---- */

static krs_status
skeleton_alloc(krs_backend_device *device, size_t bytes,
               krs_backend_memory **out, krs_error *err)
{
    void *data = NULL;
    krs_backend_memory *memory = malloc(sizeof *memory);
    *out = NULL;
    if (!memory || posix_memalign(&data, (size_t)device->limits.memory_align,
                                  bytes ? bytes : 1) != 0) {
        free(memory);
        return krs_fail(err, KRS_E_MEMORY, "skeleton: no memory for %zu bytes",
                        bytes);
    }
    *memory = (krs_backend_memory){data, bytes, false};
    *out = memory;
    return KRS_OK;
}

static void
skeleton_free(krs_backend_device *device, krs_backend_memory *memory)
{
    (void)device;
    if (memory && !memory->is_wrapped)
        free(memory->data);
    free(memory);
}

/* offset + bytes may overflow; bytes - offset cannot */
static krs_status
check_stretch(const krs_backend_memory *memory, size_t offset, size_t bytes,
              krs_error *err)
{
    if (offset > memory->bytes || bytes > memory->bytes - offset)
        return krs_fail(err, KRS_E_RANGE,
                        "skeleton: %zu bytes at %zu of a memory of %zu", bytes,
                        offset, memory->bytes);
    return KRS_OK;
}

/* Memory of the user's, without a copy. A device that cannot reach it gives
 * UNSUPPORTED. */
static krs_status
skeleton_wrap(krs_backend_device *device, void *data, size_t bytes,
              krs_backend_memory **out, krs_error *err)
{
    *out = NULL;
    if ((uintptr_t)data % device->limits.memory_align != 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "skeleton: memory must begin at a multiple of %llu",
                        (unsigned long long)device->limits.memory_align);
    krs_backend_memory *memory = malloc(sizeof *memory);
    if (!memory)
        return krs_fail(err, KRS_E_MEMORY, "skeleton: no memory to wrap any");
    *memory = (krs_backend_memory){data, bytes, true};
    *out = memory;
    return KRS_OK;
}

static krs_status
skeleton_write(krs_backend_device *device, krs_backend_memory *memory,
               size_t offset, const void *data, size_t bytes, krs_error *err)
{
    (void)device;
    KRS_TRY(check_stretch(memory, offset, bytes, err));
    if (bytes)
        memcpy(memory->data + offset, data, bytes);
    return KRS_OK;
}

static krs_status
skeleton_read(krs_backend_device *device, const krs_backend_memory *memory,
              size_t offset, void *data, size_t bytes, krs_error *err)
{
    (void)device;
    KRS_TRY(check_stretch(memory, offset, bytes, err));
    if (bytes)
        memcpy(data, memory->data + offset, bytes);
    return KRS_OK;
}

/* ---- code ---- */

/* The code of a kernel: here its text, with the closing zero. */
static krs_status
translate(const krs_kernel *kernel, krs_backend_blob *out, krs_error *err)
{
    char *text = krs_kernel_print(kernel);
    if (!text)
        return krs_fail(err, KRS_E_MEMORY, "skeleton: %s: no memory to build",
                        kernel->name);
    out->data = text;
    out->bytes = strlen(text) + 1;
    return KRS_OK;
}

/* All or none: after an error no blob is left over. */
static krs_status
skeleton_build(krs_backend_device *device, const krs_kernel *const *kernels,
               size_t count, krs_backend_blob *out_blobs, krs_error *err)
{
    (void)device;
    krs_status status = KRS_OK;
    size_t built = 0;
    while (built < count && status == KRS_OK) {
        status = translate(kernels[built], &out_blobs[built], err);
        built += status == KRS_OK;
    }
    while (status != KRS_OK && built > 0)
        free(out_blobs[--built].data);
    return status;
}

static void
skeleton_drop(krs_backend_device *device, krs_backend_code *code)
{
    (void)device;
    if (!code)
        return;
    krs_keval_close(code->keval);
    krs_kernel_free(code->kernel);
    free(code);
}

/* A blob may come from a cache on disk: whatever it holds is checked. */
static krs_status
skeleton_load(krs_backend_device *device, const krs_kernel *kernel,
              const krs_backend_blob *blob, krs_backend_code **out,
              krs_error *err)
{
    const char *text = blob->data;
    *out = NULL;
    if (blob->bytes == 0 ||
        memchr(text, 0, blob->bytes) != text + blob->bytes - 1)
        return krs_fail(err, KRS_E_FORMAT, "skeleton: %s: %zu bytes, no text",
                        kernel->name, blob->bytes);
    krs_backend_code *code = calloc(1, sizeof *code);
    if (!code)
        return krs_fail(err, KRS_E_MEMORY, "skeleton: %s: no memory to load",
                        kernel->name);
    krs_status status = krs_kernel_parse(text, &code->kernel, err);
    if (status == KRS_OK && !krs_kernel_equal(code->kernel, kernel))
        status =
            krs_fail(err, KRS_E_FORMAT,
                     "skeleton: %s: the code of another kernel", kernel->name);
    if (status == KRS_OK)
        status = krs_keval_open(code->kernel, &device->limits.facts,
                                &code->keval, err);
    if (status != KRS_OK)
        skeleton_drop(device, code);
    else
        *out = code;
    return status;
}

static krs_status
skeleton_listing(krs_backend_device *device, const krs_kernel *kernel,
                 const char *stage, char **out_text, krs_error *err)
{
    (void)device;
    krs_backend_blob blob;
    *out_text = NULL;
    if (strcmp(stage, "text") != 0)
        return krs_fail(err, KRS_E_NAME,
                        "skeleton: no stage '%s'; there is text", stage);
    KRS_TRY(translate(kernel, &blob, err));
    *out_text = blob.data;
    return KRS_OK;
}

/* ---- running ---- */

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
    void *buffers[MAX_PARAMS];
    size_t bytes[MAX_PARAMS];
    for (uint32_t i = 0; i < launch->code->kernel->param_count; i++) {
        const krs_backend_binding *at = &launch->bindings[i];
        buffers[i] = at->memory->data + at->offset_bytes;
        bytes[i] = at->bytes;
    }
    krs_klaunch run = {.struct_size = sizeof run,
                       .buffers = buffers,
                       .buffer_bytes = bytes,
                       .args = launch->args};
    memcpy(run.grid, launch->grid, sizeof run.grid);
    return krs_keval_run(launch->code->keval, &run, err);
}

/* One launch after the other keeps every wave behind the one before. */
static void *
work_off(void *context)
{
    krs_backend_device *device = context;
    const krs_backend_work *work = device->work;
    krs_status status = KRS_OK;
    for (size_t i = 0; i < work->launch_count && status == KRS_OK; i++) {
        if (work->cancel && __atomic_load_n(work->cancel, __ATOMIC_RELAXED)) {
            status = krs_fail(&device->outcome, KRS_E_CANCELLED,
                              "skeleton: cancelled before all launches ran");
            break;
        }
        uint64_t begin = now_ns();
        status = run_launch(&work->launches[i], &device->outcome);
        if (work->spans)
            work->spans[i] = (krs_backend_span){begin, now_ns()};
    }
    return NULL;
}

/* What may be refused is refused before anything runs. */
static krs_status
check_work(const krs_backend_work *work, krs_error *err)
{
    for (size_t i = 0; i < work->launch_count; i++) {
        const krs_backend_launch *launch = &work->launches[i];
        const krs_kernel *kernel = launch->code->kernel;
        if (kernel->param_count > MAX_PARAMS)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "skeleton: %s: %u buffers; at most %d",
                            kernel->name, kernel->param_count, MAX_PARAMS);
        for (uint32_t p = 0; p < kernel->param_count; p++)
            KRS_TRY(check_stretch(launch->bindings[p].memory,
                                  launch->bindings[p].offset_bytes,
                                  launch->bindings[p].bytes, err));
    }
    return KRS_OK;
}

static krs_status
skeleton_submit(krs_backend_device *device, const krs_backend_work *work,
                krs_error *err)
{
    KRS_TRY(check_work(work, err));
    device->work = work;
    device->outcome.status = KRS_OK;
    if (pthread_create(&device->worker, NULL, work_off, device) != 0) {
        device->work = NULL;
        return krs_fail(err, KRS_E_DEVICE, "skeleton: no thread to work on");
    }
    return KRS_OK;
}

static krs_status
skeleton_wait(krs_backend_device *device, krs_error *err)
{
    if (!device->work)
        return KRS_OK;
    pthread_join(device->worker, NULL);
    device->work = NULL;
    if (device->outcome.status != KRS_OK && err)
        *err = device->outcome;
    return device->outcome.status;
}

/* ---- the seam ---- */

__attribute__((visibility("default")))
krs_backend_entry_function krs_backend_entry;

const krs_backend *
krs_backend_entry(void)
{
    static const krs_backend table = {.abi = krs_backend_abi,
                                      .name = "skeleton",
                                      .count = skeleton_count,
                                      .open = skeleton_open,
                                      .close = skeleton_close,
                                      .limits = skeleton_limits,
                                      .alloc = skeleton_alloc,
                                      .free = skeleton_free,
                                      .wrap = skeleton_wrap,
                                      .write = skeleton_write,
                                      .read = skeleton_read,
                                      .build = skeleton_build,
                                      .load = skeleton_load,
                                      .drop = skeleton_drop,
                                      .submit = skeleton_submit,
                                      .wait = skeleton_wait,
                                      .listing = skeleton_listing};
    return &table;
}
