/* cpu_backend.c -- the CPU behind the seam: the one exported symbol of the
 * module, the device, building and loading.
 *
 * A device owns a team of threads, which both compiles (each worker with a
 * target machine of its own) and runs. Nothing here knows how: see launch.c,
 * codegen.c, link.c.
 */
#include "cpu_device.h"

#include <fenv.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static uint32_t
cpu_count(krs_error *err)
{
    (void)err;
    return 1;
}

static void
cpu_close(krs_backend_device *device)
{
    if (!device)
        return;
    krsi_cpu_linker_close(device->linker);
    for (uint32_t i = 0; device->workers && i < device->limits.workers; i++)
        krsi_cpu_worker_free(&device->workers[i]);
    krsi_team_free(device->team);
    krsi_cpu_target_free(&device->target);
    free(device->workers);
    free(device->states);
    free(device);
}

static void
start_heap(void *context, uint32_t worker)
{
    void *volatile piece = malloc(64);
    (void)context;
    (void)worker;
    free(piece);
}

/* How many workers may compile. The C library reserves 64 MB of addresses for
 * the heap of a thread when it first allocates, out of 128 MB that it takes
 * for a moment. Done now, so that it does not take what is found to be there
 * for LLVM later. A thread that got no heap maps every piece by itself, which
 * exhausts the rest: then the caller compiles alone. */
static uint32_t
start_heaps(const krs_backend_device *device, uint32_t workers)
{
    enum { HEAP_BYTES = 128 << 20 };
    if (workers > 1 && !krsi_cpu_has_room((workers - 1) * (size_t)HEAP_BYTES))
        return 1;
    krsi_team_run(device->team, start_heap, NULL);
    return workers;
}

static krs_status
fill_device(krs_backend_device *device, const krs_backend_options *options,
            krs_error *err)
{
    uint32_t workers =
        options->workers ? options->workers : krsi_cpu_processors();
    device->team = krsi_team_new(workers);
    if (!device->team)
        return krs_fail(err, KRS_E_MEMORY, "cpu: no memory for %u threads",
                        workers);
    workers = krsi_team_workers(device->team);
    device->compilers = start_heaps(device, workers);
    KRS_TRY(krsi_cpu_need(KRSI_CPU_OPEN_BYTES, "prepare LLVM", err));
    KRS_TRY(krsi_cpu_target_open(options->cpu, options->effort, &device->target,
                                 err));
    krsi_cpu_limits(&device->target, workers, &device->limits);
    device->workers = calloc(workers, sizeof *device->workers);
    if (!device->workers)
        return krs_fail(err, KRS_E_MEMORY, "cpu: no memory for %u workers",
                        workers);
    return krsi_cpu_linker_open(&device->linker, err);
}

static krs_status
cpu_open(const krs_backend_options *options, krs_backend_device **out,
         krs_error *err)
{
    const krs_backend_options all_zero = {.struct_size = sizeof all_zero};
    fenv_t before;
    *out = NULL;
    options = options ? options : &all_zero;
    if (options->index != 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "cpu: no device %u; the processors are one device, 0",
                        options->index);
    if (options->workers > 4096)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "cpu: %u workers; at most 4096 make sense",
                        options->workers);
    krs_backend_device *device = calloc(1, sizeof *device);
    if (!device)
        return krs_fail(err, KRS_E_MEMORY, "cpu: no memory for a device");
    if (options->allocator)
        device->allocator = *options->allocator;
    fegetenv(&before);
    krs_status status = fill_device(device, options, err);
    if (status != KRS_OK)
        cpu_close(device);
    else
        *out = device;
    fesetenv(&before);
    return status;
}

static const krs_backend_limits *
cpu_limits(const krs_backend_device *device)
{
    return &device->limits;
}

/* ---- building ---- */

typedef struct building {
    krs_backend_device *device;
    const krs_kernel *const *kernels;
    size_t count;
    krs_backend_blob *blobs;
    uint32_t compilers; /* workers that there is memory for */
    _Atomic size_t next;
    _Atomic size_t failed; /* the first kernel that failed, or count */
    krs_error *errors;     /* one a worker */
    size_t *which;         /* the kernel of each error, or count */
} building;

static krs_status
check_limits(const krs_kernel *kernel, const krs_backend_limits *limits,
             krs_error *err)
{
    size_t items =
        (size_t)kernel->group[0] * kernel->group[1] * kernel->group[2];
    if (items > 1)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "cpu: %s: groups of %zu items; processors have 1",
                        kernel->name, items);
    if (kernel->param_count > limits->max_params ||
        kernel->inst_count > limits->max_insts)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "cpu: %s: %u buffers and %u instructions; at most %u "
                        "and %u",
                        kernel->name, kernel->param_count, kernel->inst_count,
                        limits->max_params, limits->max_insts);
    return KRS_OK;
}

static krs_status
build_one(building *b, size_t i, krsi_cpu_worker *worker, krs_error *err)
{
    const krsi_cpu_target *target = &b->device->target;
    if (!worker->machine)
        worker->machine = krsi_cpu_target_machine(target, err);
    if (!worker->machine)
        return KRS_E_DEVICE;
    return krsi_cpu_compile(target, worker->machine, b->kernels[i],
                            &b->blobs[i], err);
}

static void
build_some(void *context, uint32_t worker)
{
    building *b = context;
    size_t i;
    if (worker >= b->compilers)
        return;
    while (atomic_load(&b->failed) == b->count &&
           (i = atomic_fetch_add(&b->next, 1)) < b->count) {
        krs_error *err = &b->errors[worker];
        krs_status status = build_one(b, i, &b->device->workers[worker], err);
        if (status == KRS_OK)
            continue;
        err->status = status;
        b->which[worker] = i;
        atomic_store(&b->failed, i);
    }
}

/* The failure of the first kernel in order, whoever met it. */
static krs_status
first_failure(const building *b, uint32_t workers, krs_error *err)
{
    size_t first = b->count;
    krs_status status = KRS_OK;
    for (uint32_t w = 0; w < workers; w++) {
        if (b->which[w] >= first)
            continue;
        first = b->which[w];
        status = b->errors[w].status;
        if (err)
            *err = b->errors[w];
    }
    return status;
}

/* Are all kernels within the limits, and for how many workers is there memory
 * to compile them? */
static krs_status
prepare(building *b, krs_error *err)
{
    size_t largest = 0;
    for (size_t i = 0; i < b->count; i++) {
        KRS_TRY(check_limits(b->kernels[i], &b->device->limits, err));
        size_t bytes = krsi_cpu_compile_bytes(b->kernels[i]);
        largest = bytes > largest ? bytes : largest;
    }
    b->compilers = b->device->compilers;
    if (b->compilers > b->count)
        b->compilers = (uint32_t)b->count;
    while (b->compilers > 1 && !krsi_cpu_has_room(b->compilers * largest))
        b->compilers--;
    return b->compilers == 1 ? krsi_cpu_need(largest, "compile a kernel", err)
                             : KRS_OK;
}

static krs_status
cpu_build(krs_backend_device *device, const krs_kernel *const *kernels,
          size_t count, krs_backend_blob *out_blobs, krs_error *err)
{
    uint32_t workers = device->limits.workers;
    building b = {.device = device,
                  .kernels = kernels,
                  .count = count,
                  .blobs = out_blobs,
                  .errors = calloc(workers, sizeof *b.errors),
                  .which = calloc(workers, sizeof *b.which)};
    krs_status status = KRS_OK;
    atomic_store(&b.failed, count);
    for (size_t i = 0; i < count; i++)
        out_blobs[i] = (krs_backend_blob){0};
    if (!b.errors || !b.which)
        status = krs_fail(err, KRS_E_MEMORY, "cpu: no memory to build");
    else
        status = prepare(&b, err);
    if (status == KRS_OK) {
        for (uint32_t w = 0; w < workers; w++)
            b.which[w] = count;
        krsi_team_run(device->team, build_some, &b);
        status = first_failure(&b, workers, err);
    }
    for (size_t i = 0; i < count && status != KRS_OK; i++) {
        free(out_blobs[i].data);
        out_blobs[i] = (krs_backend_blob){0};
    }
    free(b.errors);
    free(b.which);
    return status;
}

/* ---- loading ---- */

static krs_status
cpu_load(krs_backend_device *device, const krs_kernel *kernel,
         const krs_backend_blob *blob, krs_backend_code **out, krs_error *err)
{
    static const unsigned char elf[] = {0x7f, 'E', 'L', 'F'};
    uint64_t hash[2];
    fenv_t before;
    *out = NULL;
    if (blob->bytes < 64 || memcmp(blob->data, elf, sizeof elf) != 0)
        return krs_fail(err, KRS_E_FORMAT,
                        "cpu: %s: %zu bytes that are no object file",
                        kernel->name, blob->bytes);
    size_t need;
    if (__builtin_mul_overflow(blob->bytes, KRSI_CPU_LINK_FACTOR, &need) ||
        __builtin_add_overflow(need, KRSI_CPU_LINK_BYTES, &need))
        need = SIZE_MAX;
    KRS_TRY(krsi_cpu_need(need, "link a kernel", err));
    krs_backend_code *code = calloc(1, sizeof *code);
    if (!code)
        return krs_fail(err, KRS_E_MEMORY, "cpu: %s: no memory to load it",
                        kernel->name);
    code->kernel = kernel;
    krs_kernel_hash(kernel, hash);
    fegetenv(&before);
    krs_status status = krsi_cpu_link(device->linker, hash, blob, &code->linked,
                                      &code->function, err);
    fesetenv(&before);
    if (status != KRS_OK) {
        free(code);
        return status;
    }
    *out = code;
    return KRS_OK;
}

static void
cpu_drop(krs_backend_device *device, krs_backend_code *code)
{
    if (!code)
        return;
    krsi_cpu_unlink(device->linker, code->linked);
    free(code);
}

/* ---- looking inside ---- */

static krs_status
cpu_listing(krs_backend_device *device, const krs_kernel *kernel,
            const char *stage, char **out_text, krs_error *err)
{
    static const struct {
        const char *stage;
        krsi_cpu_form form;
    } stages[] = {
        {"llvm", KRSI_CPU_LLVM    },
        {"asm",  KRSI_CPU_ASSEMBLY}
    };
    *out_text = NULL;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        if (strcmp(stage, stages[i].stage) != 0)
            continue;
        KRS_TRY(krsi_cpu_need(krsi_cpu_compile_bytes(kernel),
                              "compile a kernel", err));
        LLVMTargetMachineRef machine =
            krsi_cpu_target_machine(&device->target, err);
        if (!machine)
            return KRS_E_DEVICE;
        krs_status status = krsi_cpu_listing(&device->target, machine, kernel,
                                             stages[i].form, out_text, err);
        LLVMDisposeTargetMachine(machine);
        return status;
    }
    return krs_fail(err, KRS_E_NAME,
                    "cpu: no stage '%s'; there are llvm and asm", stage);
}

__attribute__((visibility("default")))
krs_backend_entry_function krs_backend_entry;

const krs_backend *
krs_backend_entry(void)
{
    static const krs_backend table = {.abi = krs_backend_abi,
                                      .name = "cpu",
                                      .count = cpu_count,
                                      .open = cpu_open,
                                      .close = cpu_close,
                                      .limits = cpu_limits,
                                      .alloc = krsi_cpu_alloc,
                                      .free = krsi_cpu_free,
                                      .wrap = krsi_cpu_wrap,
                                      .write = krsi_cpu_write,
                                      .read = krsi_cpu_read,
                                      .build = cpu_build,
                                      .load = cpu_load,
                                      .drop = cpu_drop,
                                      .submit = krsi_cpu_submit,
                                      .wait = krsi_cpu_wait,
                                      .listing = cpu_listing};
    return &table;
}
