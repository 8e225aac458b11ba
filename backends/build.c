/* build.c -- kernels to loaded code.
 *
 * In: the kernels of a program. Out: code for each. Equal kernels are built
 * and loaded once; the others come from the cache or are built by one call of
 * the backend, which may compile them in parallel, and are then stored. A
 * cached blob that the backend refuses is built anew.
 */
#include "backend.h"

#include <stdlib.h>
#include <string.h>

typedef struct part {
    const krs_kernel *kernel;
    krs_backend_blob blob;
    krs_backend_code *code;
    bool cached;
} part;

typedef struct job {
    const krs_backend *backend;
    krs_backend_device *device;
    krsi_cache *cache;
    const char *target;
    part *parts; /* distinct kernels */
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

/* Build all parts without a blob at once, and store them. */
static krs_status
build_missing(job *j, krs_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < j->part_count; i++)
        if (!j->parts[i].blob.data) {
            j->todo[count] = j->parts[i].kernel;
            j->todo_part[count++] = i;
        }
    if (!count)
        return KRS_OK;
    KRS_TRY(j->backend->build(j->device, j->todo, count, j->made, err));
    for (size_t i = 0; i < count; i++) {
        part *p = &j->parts[j->todo_part[i]];
        p->blob = j->made[i];
        if (j->cache)
            krsi_cache_store(j->cache, p->kernel, j->target, &p->blob);
    }
    return KRS_OK;
}

static krs_status
load_part(job *j, part *p, krs_error *err)
{
    krs_status status =
        j->backend->load(j->device, p->kernel, &p->blob, &p->code, err);
    if (status != KRS_E_FORMAT || !p->cached)
        return status;
    free(p->blob.data);
    p->blob = (krs_backend_blob){0};
    p->cached = false;
    KRS_TRY(build_missing(j, err));
    return j->backend->load(j->device, p->kernel, &p->blob, &p->code, err);
}

static krs_status
run_job(job *j, const krs_kernel *const *kernels, size_t count, krs_error *err)
{
    for (size_t i = 0; i < count; i++)
        j->of[i] = find_part(j, kernels[i]);
    for (size_t i = 0; j->cache && i < j->part_count; i++) {
        part *p = &j->parts[i];
        p->cached = krsi_cache_find(j->cache, p->kernel, j->target, &p->blob);
    }
    KRS_TRY(build_missing(j, err));
    for (size_t i = 0; i < j->part_count; i++)
        KRS_TRY(load_part(j, &j->parts[i], err));
    return KRS_OK;
}

krs_status
krsi_backend_build(const krs_backend *backend, krs_backend_device *device,
                   krsi_cache *cache, const krs_kernel *const *kernels,
                   size_t count, krs_backend_code **codes, krs_error *err)
{
    job j = {.backend = backend,
             .device = device,
             .cache = cache,
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
