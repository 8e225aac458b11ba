/* build.c -- kernels to loaded code.
 *
 * In: the kernels of a program. Out: code for each. Equal kernels are built
 * and loaded once; the others come from the cache or are built by one call of
 * the backend, which may compile them in parallel, and are then stored. Cached
 * blobs that the backend refuses are built anew with the missing ones.
 *
 * Where somebody watches, the backend is given a batch at a time, of some
 * kernels for each of its workers: so it is heard of after a few kernels' time
 * whatever the number of workers, which stay busy but for the end of a batch.
 * A stop keeps what is in the cache by then.
 */
#include "backend.h"
#include "code_load.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 8 }; /* kernels for each worker */

typedef struct job {
    const krs_backend *backend;
    krs_backend_device *device;
    krsi_cache *cache;
    const char *target;
    krsi_build_watch *watch; /* NULL: nobody */
    krsi_code_part *parts;   /* distinct kernels */
    size_t part_count;
    size_t *of;              /* the part of each kernel */
    const krs_kernel **todo; /* to be built, with their parts */
    size_t *todo_part;
    krs_backend_blob *made;
    size_t *table; /* part + 1 by hash, open addressing */
    size_t slots;  /* a power of two, at least twice the kernels */
} job;

static size_t
find_part(job *j, const krs_kernel *kernel)
{
    uint64_t hash[2];
    krs_kernel_hash(kernel, hash);
    size_t slot = (size_t)hash[0] & (j->slots - 1);
    while (j->table[slot]) {
        size_t p = j->table[slot] - 1;
        if (krs_kernel_equal(j->parts[p].kernel, kernel))
            return p;
        slot = (slot + 1) & (j->slots - 1);
    }
    j->parts[j->part_count].kernel = kernel;
    j->table[slot] = j->part_count + 1;
    return j->part_count++;
}

static bool
reserve(job *j, size_t count)
{
    j->slots = 2;
    while (j->slots < 2 * count)
        j->slots *= 2;
    j->parts = calloc(count, sizeof *j->parts);
    j->of = calloc(count, sizeof *j->of);
    j->todo = calloc(count, sizeof *j->todo);
    j->todo_part = calloc(count, sizeof *j->todo_part);
    j->made = calloc(count, sizeof *j->made);
    j->table = calloc(j->slots, sizeof *j->table);
    return j->parts && j->of && j->todo && j->todo_part && j->made && j->table;
}

static void
release(job *j)
{
    for (size_t i = 0; j->parts && i < j->part_count; i++)
        free(j->parts[i].blob.data);
    free(j->parts);
    free(j->of);
    free(j->todo);
    free(j->todo_part);
    free(j->made);
    free(j->table);
}

/* Build the parts of [first, end) without a blob at once, and store them. */
static krs_status
build_missing(job *j, size_t first, size_t end, krs_error *err)
{
    size_t count = 0;
    for (size_t i = first; i < end; i++)
        if (!j->parts[i].blob.data) {
            j->todo[count] = j->parts[i].kernel;
            j->todo_part[count++] = i;
        }
    if (!count)
        return KRS_OK;
    KRS_TRY(j->backend->build(j->device, j->todo, count, j->made, err));
    for (size_t i = 0; i < count; i++) {
        krsi_code_part *p = &j->parts[j->todo_part[i]];
        p->blob = j->made[i];
        if (j->cache)
            krsi_cache_store(j->cache, p->kernel, j->target, &p->blob);
    }
    return KRS_OK;
}

/* What the cache has, loaded; what is refused is as if it were not there, and
 * the first of that is named. A part of a build whose others are not asked for
 * is nobody's fault. */
static krs_status
load_cached(job *j, krs_error *err)
{
    const krs_error *first = NULL;
    size_t refused = 0;
    for (size_t i = 0; j->cache && i < j->part_count; i++) {
        krsi_code_part *p = &j->parts[i];
        (void)krsi_cache_find(j->cache, p->kernel, j->target, &p->blob);
    }
    krsi_code_load(j->backend, j->device, j->parts, j->part_count);
    for (size_t i = 0; i < j->part_count; i++) {
        krsi_code_part *p = &j->parts[i];
        if (p->status == KRS_OK)
            continue;
        if (p->status != KRS_E_FORMAT && p->status != KRS_E_NAME)
            return krs_fail(err, p->status, "%s", p->reason.text);
        if (p->status == KRS_E_FORMAT && refused++ == 0)
            first = &p->reason;
        free(p->blob.data);
        p->blob = (krs_backend_blob){0};
    }
    if (refused)
        krsi_cache_warn(j->cache, "%s; %zu of %zu kernels are compiled again",
                        first->text, refused, j->part_count);
    return KRS_OK;
}

/* The parts from first to the end of a batch: all, where nobody watches. */
static size_t
batch_end(const job *j, size_t first)
{
    size_t left = SIZE_MAX;
    if (j->watch)
        left = BATCH * (size_t)j->backend->limits(j->device)->workers;
    while (first < j->part_count && left > 0)
        left -= !j->parts[first++].blob.data;
    return first;
}

static krs_status
tell(job *j, size_t more, krs_error *err)
{
    krsi_build_watch *w = j->watch;
    if (!w)
        return KRS_OK;
    w->done += more;
    return w->told(w->context, w->done, w->total)
               ? KRS_OK
               : krs_fail(err, KRS_E_CANCELLED,
                          "%s: compiling was stopped after %zu of %zu kernels",
                          j->backend->name, w->done, w->total);
}

static krs_status
run_job(job *j, const krs_kernel *const *kernels, size_t count, krs_error *err)
{
    for (size_t i = 0; i < count; i++)
        j->of[i] = find_part(j, kernels[i]);
    KRS_TRY(load_cached(j, err));
    for (size_t i = 0, end; i < j->part_count;) {
        end = batch_end(j, i);
        KRS_TRY(build_missing(j, i, end, err));
        krsi_code_load(j->backend, j->device, &j->parts[i], end - i);
        for (; i < end; i++) {
            const krsi_code_part *p = &j->parts[i];
            if (!p->code)
                return krs_fail(err, p->status, "%s", p->reason.text);
            KRS_TRY(tell(j, 1, err));
        }
    }
    return count > j->part_count ? tell(j, count - j->part_count, err) : KRS_OK;
}

krs_status
krsi_backend_build(const krs_backend *backend, krs_backend_device *device,
                   krsi_cache *cache, const krs_kernel *const *kernels,
                   size_t count, krsi_build_watch *watch,
                   krs_backend_code **codes, krs_error *err)
{
    job j = {.backend = backend,
             .device = device,
             .cache = cache,
             .watch = watch,
             .target = backend->limits(device)->target};
    krs_status status = KRS_OK;
    if (count && !reserve(&j, count))
        status =
            krs_fail(err, KRS_E_MEMORY, "%s: no memory to build %zu kernels",
                     backend->name, count);
    else if (count)
        status = run_job(&j, kernels, count, err);
    for (size_t i = 0; i < count; i++)
        codes[i] = status == KRS_OK ? j.parts[j.of[i]].code : NULL;
    for (size_t i = 0; status != KRS_OK && i < j.part_count; i++)
        backend->drop(device, j.parts[i].code);
    release(&j);
    return status;
}

void
krsi_backend_drop_all(const krs_backend *backend, krs_backend_device *device,
                      krs_backend_code **codes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        krs_backend_code *code = codes[i];
        for (size_t k = i; k < count; k++)
            if (codes[k] == code)
                codes[k] = NULL;
        backend->drop(device, code);
    }
}
