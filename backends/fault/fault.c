/* fault.c -- two backends for tests, which wrap another one.
 *
 * "null" runs nothing: whatever time a program takes on it is the host's own.
 * Outputs are what the memory held.
 *
 * "fault" is another backend with one fault, so that recovery can be tested.
 * Its option `cpu` says which and when:
 *
 *     "interp alloc=3"        the third allocation fails, once
 *     "cpu submit=2 nan"      after the second submission all that it wrote is NaN
 *     "cpu from=FOLDER"       no fault; the module is in the folder
 *
 * alloc, write, read, build, load, submit and wait can fail, by MEMORY for
 * alloc, else DEVICE. With nan an allocation succeeds, full of NaNs, and a
 * submission runs. Everything else goes to the backend inside, whose code and
 * target it shares.
 *
 * Threads: as krs/backend.h asks; calls are counted by atomic numbers.
 */
#include "../backend.h"

#include "../../graph/base/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Calls that can fail. */
#define CALLS(X) X(alloc) X(write) X(read) X(build) X(load) X(submit) X(wait)
enum call {
#define CALL(name) CALL_##name,
    CALLS(CALL)
#undef CALL
        CALL_COUNT
};

static const char *const call_names[] = {
#define CALL(name) #name,
    CALLS(CALL)
#undef CALL
};

enum { TEXT = 1024, CHUNK = 4096 };

/* Memories are those of the backend inside; its other handles lie in these. */
struct krs_backend_device {
    krsi_registry_entry entry;
    const krs_backend *base;
    krs_backend_device *inner;
    krs_backend_limits limits;
    bool runs_nothing, is_nan;
    atomic_ullong
        left[CALL_COUNT]; /* calls up to the one that fails; 0: none */
};

struct krs_backend_code {
    krs_backend_code *inner;
    const krs_kernel *kernel;
};

/* Is this the call that fails? */
static bool
strikes(krs_backend_device *d, enum call call)
{
    unsigned long long left = atomic_load(&d->left[call]);
    while (left > 0)
        if (atomic_compare_exchange_weak(&d->left[call], &left, left - 1))
            return left == 1;
    return false;
}

static krs_status
fail(enum call call, krs_error *err)
{
    return krs_fail(err, call == CALL_alloc ? KRS_E_MEMORY : KRS_E_DEVICE,
                    "fault: this call of %s fails, as the test asked",
                    call_names[call]);
}

/* ---- opening ---- */

static krs_status
take_word(krs_backend_device *d, const char *word, char *from, krs_error *err)
{
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : 0;
    if (!strcmp(word, "nan")) {
        d->is_nan = true;
        return KRS_OK;
    }
    if (length == 4 && !strncmp(word, "from", 4)) {
        memcpy(from, equals + 1, strlen(equals));
        return KRS_OK;
    }
    for (int i = 0; equals && i < CALL_COUNT; i++) {
        char *end;
        unsigned long long n = strtoull(equals + 1, &end, 10);
        if (strlen(call_names[i]) != length ||
            strncmp(call_names[i], word, length) != 0 || n == 0 || *end)
            continue;
        atomic_store(&d->left[i], n);
        return KRS_OK;
    }
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "fault: '%.40s' is not nan, from=FOLDER, or one of alloc, "
                    "write, read, build, load, submit, wait with =N",
                    word);
}

/* "cpu submit=2 nan": the name, then words. */
static krs_status
read_plan(krs_backend_device *d, const char *plan, char name[TEXT],
          char from[TEXT], krs_error *err)
{
    char text[TEXT], *state = NULL;
    if (strlen(plan) >= sizeof text)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "fault: the plan has more than %d bytes", TEXT - 1);
    memcpy(text, plan, strlen(plan) + 1);
    from[0] = 0;
    memcpy(name, "interp", sizeof "interp");
    char *word = strtok_r(text, " ", &state);
    if (word)
        memcpy(name, word, strlen(word) + 1);
    while ((word = strtok_r(NULL, " ", &state)))
        KRS_TRY(take_word(d, word, from, err));
    return KRS_OK;
}

static krs_status
open_inner(krs_backend_device *d, const krs_backend_options *options,
           krs_error *err)
{
    char name[TEXT], from[TEXT];
    const char *plan = options && options->cpu ? options->cpu : "interp";
    krs_backend_options plain = {.struct_size = sizeof plain};
    if (options)
        plain = *options;
    plain.cpu = NULL;
    KRS_TRY(read_plan(d, d->runs_nothing ? "interp" : plan, name, from, err));
    if (!strncmp(name, "fault", 5))
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "fault: it does not wrap itself");
    KRS_TRY(krsi_registry_find(name, from[0] ? from : NULL, &d->entry, err));
    d->base = d->entry.backend;
    plain.index = d->entry.index;
    KRS_TRY(d->base->open(&plain, &d->inner, err));
    d->limits = *d->base->limits(d->inner);
    d->limits.loaders = 0; /* calls are counted one after the other */
    return KRS_OK;
}

static void
close_device(krs_backend_device *d)
{
    if (!d)
        return;
    if (d->inner)
        d->base->close(d->inner);
    krsi_registry_release(&d->entry);
    free(d);
}

static krs_status
open_wrapper(const krs_backend_options *options, bool runs_nothing,
             krs_backend_device **out, krs_error *err)
{
    krs_backend_device *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d)
        return krs_fail(err, KRS_E_MEMORY, "fault: no memory for a device");
    d->runs_nothing = runs_nothing;
    krs_status status = open_inner(d, options, err);
    if (status != KRS_OK) {
        close_device(d);
        return status;
    }
    *out = d;
    return KRS_OK;
}

static krs_status
open_fault(const krs_backend_options *options, krs_backend_device **out,
           krs_error *err)
{
    return open_wrapper(options, false, out, err);
}

static krs_status
open_null(const krs_backend_options *options, krs_backend_device **out,
          krs_error *err)
{
    if (options && options->cpu && strcmp(options->cpu, "native") != 0)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "null: no processor level '%s': it makes no code",
                        options->cpu);
    return open_wrapper(options, true, out, err);
}

static uint32_t
count_devices(krs_error *err)
{
    (void)err;
    return 1;
}

static const krs_backend_limits *
limits(const krs_backend_device *d)
{
    return &d->limits;
}

/* ---- memory ---- */

/* NaN as every float type has it: all bits set */
static krs_status
fill_nan(krs_backend_device *d, krs_backend_memory *memory, size_t offset,
         size_t bytes, krs_error *err)
{
    unsigned char ones[CHUNK];
    memset(ones, 0xFF, sizeof ones);
    for (size_t at = 0; at < bytes; at += CHUNK) {
        size_t n = bytes - at < CHUNK ? bytes - at : CHUNK;
        KRS_TRY(d->base->write(d->inner, memory, offset + at, ones, n, err));
    }
    return KRS_OK;
}

static krs_status
alloc(krs_backend_device *d, size_t bytes, krs_backend_memory **out,
      krs_error *err)
{
    bool strikes_now = strikes(d, CALL_alloc);
    *out = NULL;
    if (strikes_now && !d->is_nan)
        return fail(CALL_alloc, err);
    KRS_TRY(d->base->alloc(d->inner, bytes, out, err));
    return strikes_now ? fill_nan(d, *out, 0, bytes, err) : KRS_OK;
}

static void
free_memory(krs_backend_device *d, krs_backend_memory *memory)
{
    d->base->free(d->inner, memory);
}

static krs_status
wrap(krs_backend_device *d, void *data, size_t bytes, krs_backend_memory **out,
     krs_error *err)
{
    return d->base->wrap(d->inner, data, bytes, out, err);
}

static krs_status
write_memory(krs_backend_device *d, krs_backend_memory *memory, size_t offset,
             const void *data, size_t bytes, krs_error *err)
{
    if (strikes(d, CALL_write))
        return fail(CALL_write, err);
    return d->base->write(d->inner, memory, offset, data, bytes, err);
}

static krs_status
read_memory(krs_backend_device *d, const krs_backend_memory *memory,
            size_t offset, void *data, size_t bytes, krs_error *err)
{
    if (strikes(d, CALL_read))
        return fail(CALL_read, err);
    return d->base->read(d->inner, memory, offset, data, bytes, err);
}

/* ---- code ---- */

static krs_status
build(krs_backend_device *d, const krs_kernel *const *kernels, size_t count,
      krs_backend_blob *blobs, krs_error *err)
{
    if (strikes(d, CALL_build))
        return fail(CALL_build, err);
    return d->base->build(d->inner, kernels, count, blobs, err);
}

static krs_status
load(krs_backend_device *d, const krs_kernel *kernel,
     const krs_backend_blob *blob, krs_backend_code **out, krs_error *err)
{
    *out = NULL;
    if (strikes(d, CALL_load))
        return fail(CALL_load, err);
    krs_backend_code *code = calloc(1, sizeof *code);
    if (!code)
        return krs_fail(err, KRS_E_MEMORY, "fault: %s: no memory to load it",
                        kernel->name);
    code->kernel = kernel;
    krs_status status = d->runs_nothing ? KRS_OK
                                        : d->base->load(d->inner, kernel, blob,
                                                        &code->inner, err);
    if (status != KRS_OK)
        free(code);
    else
        *out = code;
    return status;
}

static void
drop(krs_backend_device *d, krs_backend_code *code)
{
    if (!code)
        return;
    if (code->inner)
        d->base->drop(d->inner, code->inner);
    free(code);
}

static krs_status
listing(krs_backend_device *d, const krs_kernel *kernel, const char *stage,
        char **out_text, krs_error *err)
{
    return d->base->listing(d->inner, kernel, stage, out_text, err);
}

/* ---- work ---- */

static krs_status
poison_results(krs_backend_device *d, const krs_backend_work *work,
               krs_error *err)
{
    for (size_t i = 0; i < work->launch_count; i++) {
        const krs_backend_launch *l = &work->launches[i];
        const krs_kernel *kernel = l->code->kernel;
        for (uint32_t k = 0; k < kernel->param_count; k++)
            if (kernel->buffers[k].access & KRS_K_WRITE &&
                krs_dtype_is_float((krs_dtype)kernel->buffers[k].dtype))
                KRS_TRY(fill_nan(d, l->bindings[k].memory,
                                 l->bindings[k].offset_bytes,
                                 l->bindings[k].bytes, err));
    }
    return KRS_OK;
}

/* The same work with the code inside; poisoned work has ended when this
 * returns. */
static krs_status
submit(krs_backend_device *d, const krs_backend_work *work, krs_error *err)
{
    bool strikes_now = strikes(d, CALL_submit);
    if (strikes_now && !d->is_nan)
        return fail(CALL_submit, err);
    if (d->runs_nothing)
        return KRS_OK;
    krs_backend_launch *launches =
        malloc((work->launch_count + 1) * sizeof *launches);
    krs_backend_work inner = *work;
    if (!launches)
        return krs_fail(err, KRS_E_MEMORY, "fault: no memory to submit");
    for (size_t i = 0; i < work->launch_count; i++) {
        launches[i] = work->launches[i];
        launches[i].code = launches[i].code->inner;
    }
    inner.launches = launches;
    krs_status status = d->base->submit(d->inner, &inner, err);
    if (status == KRS_OK) /* launches is borrowed until it is done */
        status = d->base->wait(d->inner, err);
    free(launches);
    KRS_TRY(status);
    return strikes_now ? poison_results(d, work, err) : KRS_OK;
}

static krs_status
wait_work(krs_backend_device *d, krs_error *err)
{
    (void)d; /* submit has waited */
    return strikes(d, CALL_wait) ? fail(CALL_wait, err) : KRS_OK;
}

#define WRAPPER(title, open_function)                                    \
    {                                                                    \
        .abi = krs_backend_abi, .name = title, .count = count_devices,   \
        .open = open_function, .close = close_device, .limits = limits,  \
        .alloc = alloc, .free = free_memory, .wrap = wrap,               \
        .write = write_memory, .read = read_memory, .build = build,      \
        .load = load, .drop = drop, .submit = submit, .wait = wait_work, \
        .listing = listing                                               \
    }

const krs_backend krsi_null_backend = WRAPPER("null", open_null);
const krs_backend krsi_fault_backend = WRAPPER("fault", open_fault);
