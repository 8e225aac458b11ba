/* vulkan_warm.c -- kernels compiled before they run, on all processors.
 *
 * A driver that runs kernels on the host's processors (lavapipe) makes code of
 * them when they are first dispatched, one after the other on the thread of the
 * queue, and keeps it on disk (~/.cache/mesa_shader_cache) for whoever asks
 * next. So kernels that are built anew are dispatched here, by devices of their
 * own that are opened for it, a thread each: no group of items, for which no
 * item runs, but the driver makes the code. Closing the devices ends what the
 * driver still writes; then the caller's device finds it.
 *
 * In: kernels. Out: blobs of those that came out well. Nothing here has to
 * succeed: what has no blob afterwards is built by the caller, and what is not
 * on disk is compiled when it first runs. Without the driver's cache on disk
 * the work is done twice.
 *
 * Few or small kernels are left alone: devices are not opened for nothing.
 */
#include "vulkan.h"

#include <krs/status.h>
#include <stdlib.h>

enum {
    DEAR = 4096, /* instructions of all kernels, at least */
    HELPERS = 8, /* at most */
    DUMMY_BYTES = 4096,
    BOUND_BYTES = 512
};

typedef struct sized {
    size_t kernel, size;
} sized;

typedef struct warming {
    const krs_kernel *const *kernels;
    krs_backend_blob *blobs;
    sized *order; /* the largest first */
    size_t count;
    size_t next; /* atomic */
} warming;

typedef struct helper {
    krs_backend_device *device;
    pthread_t thread;
    warming *of;
} helper;

static int
by_size(const void *a, const void *b)
{
    const sized *x = a, *y = b;
    return x->size != y->size
               ? (x->size < y->size) - (x->size > y->size)
               : (x->kernel > y->kernel) - (x->kernel < y->kernel);
}

/* Dispatch no item of the code; all its buffers are one. */
static krs_status
dispatch(krs_backend_device *d, krs_backend_code *code, krs_error *err)
{
    const krs_kernel *kernel = code->kernel;
    size_t one = 1;
    krs_backend_memory *memory;
    krs_backend_binding *bindings =
        calloc((size_t)kernel->param_count + 1, sizeof *bindings);
    krs_kargument *args = calloc((size_t)kernel->arg_count + 1, sizeof *args);
    krs_status status = krsi_vulkan_alloc(d, DUMMY_BYTES, &memory, err);
    if (status == KRS_OK && (!bindings || !args))
        status = krs_fail(err, KRS_E_MEMORY, "vulkan: %s: no memory to warm it",
                          kernel->name);
    for (uint32_t i = 0; status == KRS_OK && i < kernel->param_count; i++)
        bindings[i] = (krs_backend_binding){memory, 0, BOUND_BYTES};
    for (uint32_t i = 0; status == KRS_OK && i < kernel->arg_count; i++)
        args[i].i = 1;
    const krs_backend_launch launch = {
        .code = code, .bindings = bindings, .args = args, .grid = {1, 1, 1}
    };
    const krs_backend_work work = {.struct_size = sizeof work,
                                   .launches = &launch,
                                   .launch_count = 1,
                                   .wave_ends = &one,
                                   .wave_count = 1};
    if (status == KRS_OK)
        status = krsi_vulkan_submit(d, &work, err);
    if (status == KRS_OK)
        status = krsi_vulkan_wait(d, err);
    krsi_vulkan_free(d, memory);
    free(bindings);
    free(args);
    return status;
}

static void
warm(krs_backend_device *d, const krs_kernel *kernel, krs_backend_blob *blob)
{
    krs_backend_code *code;
    krs_error err;
    if (krsi_vulkan_build_one(d, kernel, blob, &code, &err) != KRS_OK)
        return;
    (void)dispatch(d, code, &err);
    krsi_vulkan_drop(d, code);
}

static void *
help(void *context)
{
    helper *h = context;
    warming *w = h->of;
    for (;;) {
        size_t i = __atomic_fetch_add(&w->next, 1, __ATOMIC_RELAXED);
        if (i >= w->count)
            return NULL;
        size_t kernel = w->order[i].kernel;
        warm(h->device, w->kernels[kernel], &w->blobs[kernel]);
    }
}

static bool
find_order(const krs_kernel *const *kernels, size_t count, sized *order)
{
    size_t all = 0;
    for (size_t i = 0; i < count; i++) {
        order[i] = (sized){i, kernels[i]->inst_count};
        all += kernels[i]->inst_count;
    }
    qsort(order, count, sizeof *order, by_size);
    return all >= DEAR;
}

void
krsi_vulkan_warm(krs_backend_device *d, const krs_kernel *const *kernels,
                 size_t count, krs_backend_blob *blobs)
{
    helper helpers[HELPERS];
    size_t wanted = d->limits.loaders, open = 0, running = 0;
    krs_error err;
    wanted = wanted < HELPERS ? wanted : HELPERS;
    wanted = wanted < count ? wanted : count;
    if (wanted < 2)
        return;
    warming w = {kernels, blobs, calloc(count, sizeof(sized)), count, 0};
    bool is_dear = w.order && find_order(kernels, count, w.order);
    for (; is_dear && open < wanted; open++) {
        helper *h = &helpers[open];
        *h = (helper){.of = &w};
        if (krsi_vulkan_open(&d->as_opened, &h->device, &err) != KRS_OK)
            break;
        h->device->dispatches_nothing = true;
    }
    while (running < open && pthread_create(&helpers[running].thread, NULL,
                                            help, &helpers[running]) == 0)
        running++;
    for (size_t i = 0; i < running; i++)
        pthread_join(helpers[i].thread, NULL);
    for (size_t i = 0; i < open; i++)
        krsi_vulkan_close(helpers[i].device);
    free(w.order);
}
