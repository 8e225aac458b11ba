/* kernel_device.c -- a backend (krs/backend.h) as a device of programs: opening
 * it, its memory, and the table that program.c calls.
 *
 * In: a name such as "cpu" or "vulkan:1". Out: a krsi_device_kind over
 * whatever backend the registry finds under it.
 */
#include "kernel_device.h"

#include <stdlib.h>
#include <string.h>

/* ---- the device ---- */

static void
close_machine(void *state)
{
    krsi_machine *m = state;
    if (!m)
        return;
    if (m->device)
        m->backend->close(m->device);
    krsi_cache_close(m->cache);
    krsi_registry_release(&m->entry);
    pthread_mutex_destroy(&m->running);
    free(m);
}

static const char *const effort_name[] = {[KRS_EFFORT_NORMAL] = "normal",
                                          [KRS_EFFORT_NONE] = "none",
                                          [KRS_EFFORT_MOST] = "most"};

static krs_status
find_effort(const char *name, krs_backend_effort *out, krs_error *err)
{
    *out = KRS_EFFORT_NORMAL;
    for (int e = KRS_EFFORT_NORMAL; name && e <= KRS_EFFORT_MOST; e++)
        if (strcmp(effort_name[e], name) == 0) {
            *out = (krs_backend_effort)e;
            return KRS_OK;
        }
    return name ? krs_fail(err, KRS_E_NAME,
                           "device_open: no effort '%s'; there are none, "
                           "normal and most",
                           name)
                : KRS_OK;
}

static krs_status
open_machine(const char *name, const krs_device_options *options,
             void **out_state, krs_error *err)
{
    krs_backend_effort effort;
    KRS_TRY(find_effort(options->effort, &effort, err));
    krsi_machine *m = calloc(1, sizeof *m);
    if (!m)
        return krs_fail(err, KRS_E_MEMORY, "device_open: no memory for '%s'",
                        name);
    pthread_mutex_init(&m->running, NULL);
    krs_error reason;
    krs_status status =
        krsi_registry_find(name, options->modules, &m->entry, &reason);
    if (status != KRS_OK)
        krs_fail(
            err, KRS_E_DEVICE,
            "device_open: no device '%s': %s; built in are eval and interp",
            name, reason.text);
    if (status == KRS_OK) {
        krs_backend_options o = {.struct_size = sizeof o,
                                 .index = m->entry.index,
                                 .workers = options->threads,
                                 .cpu = options->cpu,
                                 .effort = effort,
                                 .allocator = options->allocator};
        m->backend = m->entry.backend;
        m->fuses = !options->unfused;
        status = m->backend->open(&o, &m->device, err);
        if (status == KRS_E_ARGUMENT && o.index > 0) /* named, not there */
            status = KRS_E_DEVICE;
    }
    if (status == KRS_OK)
        m->limits = m->backend->limits(m->device);
    m->sharing =
        options->memory == KRS_MEMORY_SEPARATE ? KRSI_SEPARATE : KRSI_SHARE;
    m->poisons = options->memory == KRS_MEMORY_POISONED;
    m->compiling = options->compiling;
    m->context = options->context;
#ifdef KERSEY_CHECKS
    m->poisons |= m->backend == &krsi_interp_backend &&
                  options->memory == KRS_MEMORY_SHARED;
#endif
    if (status == KRS_OK && options->cache)
        status = krsi_cache_open(options->cache, 0, options->warning,
                                 options->context, &m->cache, err);
    if (status != KRS_OK) {
        close_machine(m);
        return status == KRS_E_NAME ? KRS_E_DEVICE : status;
    }
    *out_state = m;
    return KRS_OK;
}

/* 0 for what no size comes near */
static uint64_t
bound_of(uint64_t bytes)
{
    return bytes >= INT64_MAX ? 0 : bytes;
}

static void
describe(const void *state, krs_device_info *out)
{
    const krsi_machine *m = state;
    const krs_backend_limits *limits = m->limits;
    *out =
        (krs_device_info){.struct_size = sizeof *out,
                          .model = limits->name,
                          .target = limits->target,
                          .threads = limits->workers,
                          .has_fma = limits->facts.has_fma,
                          .updates_in_place = m->sharing == KRSI_SHARE,
                          .memory_align = limits->memory_align,
                          .bytes = atomic_load(&m->bytes),
                          .most_bytes = atomic_load(&m->most_bytes),
                          .memory_bytes = limits->memory_bytes,
                          .max_alloc_bytes = bound_of(limits->max_alloc_bytes),
                          .max_bind_bytes = bound_of(limits->max_bind_bytes),
                          .shared_bytes = limits->shared_bytes,
                          .group_items = limits->group_items,
                          .item_turns = limits->item_turns};
}

/* ---- memory ---- */

krs_status
krsi_machine_alloc(krsi_machine *m, size_t bytes, krs_backend_memory **out,
                   krs_error *err)
{
    KRS_TRY(m->backend->alloc(m->device, bytes, out, err));
    uint64_t now = atomic_fetch_add(&m->bytes, bytes) + bytes;
    uint64_t most = atomic_load(&m->most_bytes);
    while (now > most &&
           !atomic_compare_exchange_weak(&m->most_bytes, &most, now))
        continue;
    return KRS_OK;
}

void
krsi_machine_free(krsi_machine *m, krs_backend_memory *memory, size_t bytes)
{
    if (memory)
        atomic_fetch_sub(&m->bytes, bytes);
    m->backend->free(m->device, memory);
}

static void
free_memory(void *state, krsi_memory *memory)
{
    krsi_machine *m = state;
    if (!memory)
        return;
    krsi_machine_free(m, memory->memory, memory->counted_bytes);
    free(memory);
}

krs_status
krsi_machine_fill(krsi_machine *m, krs_backend_memory *memory, size_t offset,
                  size_t bytes, unsigned char with, krs_error *err)
{
    enum { PIECE = 1 << 14, LARGE = 1 << 20 };
    char piece[PIECE];
    /* a write may wake threads of a driver: few of them */
    char *large = bytes > PIECE ? malloc(LARGE) : NULL;
    char *from = large ? large : piece;
    size_t most = large ? LARGE : PIECE;
    krs_status status = KRS_OK;
    memset(from, with, most < bytes ? most : bytes);
    for (size_t at = 0; at < bytes && status == KRS_OK; at += most) {
        size_t part = bytes - at < most ? bytes - at : most;
        status =
            m->backend->write(m->device, memory, offset + at, from, part, err);
    }
    free(large);
    return status;
}

static krs_status
alloc_memory(void *state, size_t bytes, krsi_memory **out, krs_error *err)
{
    krsi_machine *m = state;
    krsi_memory *memory = calloc(1, sizeof *memory);
    if (!memory)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu bytes", bytes);
    memory->bytes = bytes;
    krs_status status = krsi_machine_alloc(m, bytes, &memory->memory, err);
    memory->counted_bytes = status == KRS_OK ? bytes : 0;
    if (status == KRS_OK)
        status = krsi_machine_fill(m, memory->memory, 0, bytes, 0, err);
    if (status != KRS_OK) {
        free_memory(m, memory);
        return status;
    }
    *out = memory;
    return KRS_OK;
}

static krs_status
wrap_memory(void *state, void *data, size_t bytes, krsi_memory **out,
            krs_error *err)
{
    krsi_machine *m = state;
    krsi_memory *memory = calloc(1, sizeof *memory);
    if (!memory)
        return krs_fail(err, KRS_E_MEMORY, "no memory to wrap %zu bytes",
                        bytes);
    memory->bytes = bytes;
    krs_status status =
        m->backend->wrap(m->device, data, bytes, &memory->memory, err);
    if (status != KRS_OK)
        free(memory);
    else
        *out = memory;
    return status;
}

static krs_status
write_memory(void *state, krsi_memory *memory, const void *data, size_t bytes,
             krs_error *err)
{
    krsi_machine *m = state;
    return m->backend->write(m->device, memory->memory, 0, data, bytes, err);
}

static krs_status
read_memory(void *state, const krsi_memory *memory, void *data, size_t bytes,
            krs_error *err)
{
    krsi_machine *m = state;
    return m->backend->read(m->device, memory->memory, 0, data, bytes, err);
}

static krs_backend_binding
whole(const krsi_memory *memory)
{
    return (krs_backend_binding){memory->memory, 0, memory->bytes};
}

static void
bind_leaf(void *prepared, uint32_t id, krsi_memory *memory)
{
    ((krsi_ready *)prepared)->leaf[id] = whole(memory);
}

static void
bind_root(void *prepared, size_t root, krsi_memory *memory)
{
    ((krsi_ready *)prepared)->root[root] = whole(memory);
}

static bool
is_in_place(const void *prepared, size_t root)
{
    const krsi_plan *plan = &((const krsi_ready *)prepared)->plan;
    return krsi_layout_in_place(&plan->layout, plan->sched.outputs[root]);
}

const krsi_device_kind krsi_kernel_device = {
    .has_families = true,
    .open = open_machine,
    .close = close_machine,
    .describe = describe,
    .alloc = alloc_memory,
    .wrap = wrap_memory,
    .free = free_memory,
    .write = write_memory,
    .read = read_memory,
    .prepare = krsi_ready_prepare,
    .equip = krsi_ready_equip,
    .clone = krsi_ready_clone,
    .memory = krsi_ready_memory,
    .discard = krsi_ready_discard,
    .bind_leaf = bind_leaf,
    .bind_root = bind_root,
    .is_in_place = is_in_place,
    .run = krsi_ready_run,
    .print = krsi_ready_print,
    .profile = krsi_ready_profile,
    .launch = krsi_ready_launch,
};
