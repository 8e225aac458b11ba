/* kernel_device.c -- a backend (krs/backend.h) as a device of programs.
 *
 * In: a graph of primitives. The plan (graph/kernel/plan.c) says which kernels
 * run on which values; here they are built through the cache, loaded, and
 * given memory: one arena for temporaries, one memory for constants, one for
 * faults, and what the program binds for leaves and roots. A run evaluates the
 * arguments under the runtime integers, submits all waves at once, and looks
 * for faults. Nothing is allocated while running.
 */
#include "program.h"

#include "../graph/kernel/lower.h"
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t no_fault = INT64_MIN;

/* ---- the device ---- */

typedef struct machine {
    krsi_registry_entry entry;
    const krs_backend *backend; /* of entry */
    krs_backend_device *device;
    const krs_backend_limits *limits;
    krsi_cache *cache; /* NULL: none */
} machine;

static void
close_machine(void *state)
{
    machine *m = state;
    if (!m)
        return;
    if (m->device)
        m->backend->close(m->device);
    krsi_cache_close(m->cache);
    krsi_registry_release(&m->entry);
    free(m);
}

static krs_status
open_machine(const char *name, const krs_device_options *options,
             void **out_state, krs_error *err)
{
    machine *m = calloc(1, sizeof *m);
    if (!m)
        return krs_fail(err, KRS_E_MEMORY, "device_open: no memory for '%s'",
                        name);
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
                                 .cpu = options->cpu};
        m->backend = m->entry.backend;
        status = m->backend->open(&o, &m->device, err);
    }
    if (status == KRS_OK)
        m->limits = m->backend->limits(m->device);
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

static void
describe(const void *state, krs_device_info *out)
{
    const krs_backend_limits *limits = ((const machine *)state)->limits;
    *out = (krs_device_info){.struct_size = sizeof *out,
                             .model = limits->name,
                             .target = limits->target,
                             .threads = limits->workers,
                             .has_fma = limits->facts.has_fma};
}

/* ---- memory ---- */

struct krsi_memory {
    krs_backend_memory *memory;
    size_t bytes;
};

static void
free_memory(void *state, krsi_memory *memory)
{
    machine *m = state;
    if (!memory)
        return;
    m->backend->free(m->device, memory->memory);
    free(memory);
}

static krs_status
zero(machine *m, krs_backend_memory *memory, size_t bytes, krs_error *err)
{
    static const char zeros[1 << 16];
    for (size_t at = 0; at < bytes; at += sizeof zeros) {
        size_t piece = bytes - at < sizeof zeros ? bytes - at : sizeof zeros;
        KRS_TRY(m->backend->write(m->device, memory, at, zeros, piece, err));
    }
    return KRS_OK;
}

static krs_status
alloc_memory(void *state, size_t bytes, krsi_memory **out, krs_error *err)
{
    machine *m = state;
    krsi_memory *memory = calloc(1, sizeof *memory);
    if (!memory)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu bytes", bytes);
    memory->bytes = bytes;
    krs_status status =
        m->backend->alloc(m->device, bytes, &memory->memory, err);
    if (status == KRS_OK)
        status = zero(m, memory->memory, bytes, err);
    if (status != KRS_OK) {
        free_memory(m, memory);
        return status;
    }
    *out = memory;
    return KRS_OK;
}

static krs_status
write_memory(void *state, krsi_memory *memory, const void *data, size_t bytes,
             krs_error *err)
{
    machine *m = state;
    return m->backend->write(m->device, memory->memory, 0, data, bytes, err);
}

static krs_status
read_memory(void *state, const krsi_memory *memory, void *data, size_t bytes,
            krs_error *err)
{
    machine *m = state;
    return m->backend->read(m->device, memory->memory, 0, data, bytes, err);
}

/* ---- a program made ready ---- */

typedef struct ready {
    machine *m;
    krsi_plan plan;
    krs_backend_code **code; /* one a kernel */
    krs_backend_memory *arena, *constants, *faults;
    size_t *constant_offset; /* by value */
    krsi_memory **leaf;      /* by node id */
    krsi_memory **root;
    bool *root_is_live; /* must be zeroed before a run */
    krs_backend_launch *launches;
    krs_backend_binding *bindings;
    krs_kargument *args;
    size_t *wave_ends;
    size_t waves;
    int64_t *fault;
    uint64_t *times_ns; /* NULL: not profiled */
} ready;

static void
discard(void *prepared)
{
    ready *r = prepared;
    if (!r)
        return;
    const krs_backend *b = r->m->backend;
    if (r->code)
        krsi_backend_drop_all(b, r->m->device, r->code, r->plan.kernel_count);
    b->free(r->m->device, r->arena);
    b->free(r->m->device, r->constants);
    b->free(r->m->device, r->faults);
    free(r->code);
    free(r->constant_offset);
    free(r->leaf);
    free(r->root);
    free(r->root_is_live);
    free(r->launches);
    free(r->bindings);
    free(r->args);
    free(r->wave_ends);
    free(r->fault);
    free(r->times_ns);
    krsi_plan_free(&r->plan);
    free(r);
}

/* All constants in one memory. */
static krs_status
make_constants(ready *r, krs_error *err)
{
    machine *m = r->m;
    const krsi_sched *s = &r->plan.sched;
    size_t bytes = 0;
    for (size_t i = 0; i < s->value_count; i++) {
        if (s->values[i].kind != KRSI_STORAGE_CONSTANT)
            continue;
        r->constant_offset[i] = bytes;
        bytes += (s->values[i].bytes + 63) / 64 * 64;
    }
    KRS_TRY(m->backend->alloc(m->device, bytes, &r->constants, err));
    for (size_t i = 0; i < s->value_count; i++) {
        const krsi_node *n = s->graph->node[s->values[i].node];
        if (s->values[i].kind != KRSI_STORAGE_CONSTANT)
            continue;
        const krsi_blob *data = &s->graph->blob[krsi_int(n, 2)];
        KRS_TRY(m->backend->write(m->device, r->constants,
                                  r->constant_offset[i], data->data,
                                  data->bytes, err));
    }
    return KRS_OK;
}

/* Room for launches, bindings, arguments; waves counted. */
static krs_status
make_launches(ready *r, krs_error *err)
{
    size_t args = 0, bindings = 0, count = r->plan.launch_count;
    for (size_t i = 0; i < count; i++) {
        args += (size_t)r->plan.launches[i].args;
        bindings += (size_t)r->plan.launches[i].bindings;
    }
    r->launches = calloc(count + 1, sizeof *r->launches);
    r->bindings = calloc(bindings + 1, sizeof *r->bindings);
    r->args = calloc(args + 1, sizeof *r->args);
    r->wave_ends = calloc(count + 1, sizeof *r->wave_ends);
    if (!r->launches || !r->bindings || !r->args || !r->wave_ends)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu launches", count);
    args = bindings = 0;
    for (size_t i = 0; i < count; i++) {
        const krsi_launch *from = &r->plan.launches[i];
        r->launches[i] = (krs_backend_launch){
            .code = r->code[from->kernel],
            .bindings = r->bindings + bindings,
            .args = r->args + args,
        };
        args += (size_t)from->args;
        bindings += (size_t)from->bindings;
        if (i + 1 == count || from[1].wave != from->wave)
            r->wave_ends[r->waves++] = i + 1;
    }
    return KRS_OK;
}

static krsi_facts
facts_of(const krs_backend_limits *limits)
{
    krsi_facts facts = {.lanes = limits->vector_lanes,
                        .registers = limits->registers,
                        .workers = limits->workers,
                        .has_dot2_bf16 = limits->has_dot2_bf16};
    for (int i = 0; i < 3; i++)
        facts.cache_bytes[i] = limits->cache_bytes[i];
    return facts;
}

static krs_status
prepare_into(ready *r, const krs_graph *g, const uint32_t *roots, size_t count,
             krs_error *err)
{
    machine *m = r->m;
    krsi_facts facts = facts_of(m->limits);
    krs_node *outputs = calloc(count, sizeof *outputs);
    if (!outputs)
        return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a program");
    for (size_t i = 0; i < count; i++)
        outputs[i] = krsi_handle(g, roots[i]);
    krs_status status =
        krsi_plan_make(&r->plan, g, outputs, count, &facts, err);
    free(outputs);
    KRS_TRY(status);
    const krsi_sched *s = &r->plan.sched;
    r->code = calloc(r->plan.kernel_count + 1, sizeof(krs_backend_code *));
    r->constant_offset = calloc(s->value_count + 1, sizeof(size_t));
    r->leaf = calloc(g->nodes + 1, sizeof(krsi_memory *));
    r->root = calloc(count, sizeof(krsi_memory *));
    r->root_is_live = calloc(count, sizeof *r->root_is_live);
    r->fault = calloc(s->fault_count + 1, sizeof *r->fault);
    if (!r->code || !r->constant_offset || !r->leaf || !r->root ||
        !r->root_is_live || !r->fault)
        return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a program");
    for (size_t i = 0; i < count; i++)
        r->root_is_live[i] = g->node[roots[i]]->live_axes != 0;
    for (size_t i = 0; i < s->fault_count; i++)
        r->fault[i] = no_fault;
    size_t fault_bytes = s->fault_count * sizeof *r->fault;
    KRS_TRY(krsi_backend_build(m->backend, m->device, m->cache,
                               (const krs_kernel *const *)r->plan.kernels,
                               r->plan.kernel_count, r->code, err));
    KRS_TRY(make_constants(r, err));
    KRS_TRY(m->backend->alloc(m->device, r->plan.arena_bytes, &r->arena, err));
    KRS_TRY(m->backend->alloc(m->device, fault_bytes, &r->faults, err));
    KRS_TRY(
        m->backend->write(m->device, r->faults, 0, r->fault, fault_bytes, err));
    return make_launches(r, err);
}

static krs_status
prepare(void *state, const krs_graph *g, const uint32_t *roots, size_t count,
        void **out, krs_error *err)
{
    ready *r = calloc(1, sizeof *r);
    if (!r)
        return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a program");
    r->m = state;
    krs_status status = prepare_into(r, g, roots, count, err);
    if (status != KRS_OK) {
        discard(r);
        return status;
    }
    *out = r;
    return KRS_OK;
}

static void
bind_leaf(void *prepared, uint32_t id, krsi_memory *memory)
{
    ((ready *)prepared)->leaf[id] = memory;
}

static void
bind_root(void *prepared, size_t root, krsi_memory *memory)
{
    ((ready *)prepared)->root[root] = memory;
}

/* ---- a run ---- */

static krs_status
check_starts(const ready *r, const int64_t *var, krs_error *err)
{
    const krsi_sched *s = &r->plan.sched;
    for (size_t i = 0; i < s->check_count; i++) {
        const krsi_check *c = &s->checks[i];
        const krs_graph *g = s->graph;
        const krsi_node *n = g->node[c->node];
        int64_t first = krsi_index_value(c->start, var);
        int64_t last = first + (c->length - 1) * c->step;
        if (first >= 0 && first < c->size && last >= 0 && last < c->size)
            continue;
        return krs_fail(
            err, KRS_E_RANGE,
            "%s%s%s: axis %d: %lld elements from %lld by step "
            "%lld do not fit in size %lld (%s:%u)",
            g->string[n->scope], n->scope ? ": " : "", krsi_ops[n->op].name,
            c->axis, (long long)c->length, (long long)first, (long long)c->step,
            (long long)c->size, g->string[n->file], (unsigned)n->line);
    }
    return KRS_OK;
}

static krs_status
check_faults(ready *r, krs_error *err)
{
    machine *m = r->m;
    const krsi_sched *s = &r->plan.sched;
    const krs_graph *g = s->graph;
    size_t bytes = s->fault_count * sizeof *r->fault;
    KRS_TRY(m->backend->read(m->device, r->faults, 0, r->fault, bytes, err));
    for (size_t i = 0; i < s->fault_count; i++) {
        int64_t index = r->fault[i];
        if (index == no_fault)
            continue;
        for (size_t k = 0; k < s->fault_count; k++)
            r->fault[k] = no_fault;
        KRS_TRY(
            m->backend->write(m->device, r->faults, 0, r->fault, bytes, err));
        const krsi_node *n = g->node[s->faults[i]];
        const krsi_node *x = g->node[n->in[0]];
        int axis = (int)krsi_int(n, 0);
        return krs_fail(err, KRS_E_RANGE,
                        "%s%s%s: index %lld is outside axis %d of size %lld "
                        "(%s:%u)",
                        g->string[n->scope], n->scope ? ": " : "",
                        krsi_ops[n->op].name, (long long)index, axis,
                        (long long)x->dim[axis], g->string[n->file],
                        (unsigned)n->line);
    }
    return KRS_OK;
}

static krs_backend_binding
binding_of(const ready *r, uint32_t value)
{
    const krsi_sched *s = &r->plan.sched;
    if (value == KRSI_FAULTS)
        return (krs_backend_binding){r->faults, 0,
                                     s->fault_count * sizeof *r->fault};
    const krsi_storage *v = &s->values[value];
    krs_backend_binding b = {NULL, 0, v->bytes};
    switch (v->kind) {
    case KRSI_STORAGE_INPUT:
    case KRSI_STORAGE_STATE: b.memory = r->leaf[v->node]->memory; break;
    case KRSI_STORAGE_CONSTANT:
        b.memory = r->constants;
        b.offset_bytes = r->constant_offset[value];
        break;
    case KRSI_STORAGE_TEMPORARY:
        b.memory = r->arena;
        b.offset_bytes = r->plan.offset[value];
        break;
    case KRSI_STORAGE_OUTPUT:
        for (size_t i = 0; i < s->output_count; i++)
            if (s->outputs[i] == value)
                b.memory = r->root[i]->memory;
        break;
    }
    return b;
}

/* Bindings, arguments and grids for these memories and runtime integers. */
static void
fill_launches(ready *r, const int64_t *var)
{
    krs_backend_binding *binding = r->bindings;
    krs_kargument *arg = r->args;
    for (size_t i = 0; i < r->plan.launch_count; i++) {
        const krsi_launch *from = &r->plan.launches[i];
        for (int k = 0; k < from->bindings; k++)
            *binding++ = binding_of(r, from->binding[k]);
        for (int k = 0; k < from->args; k++, arg++) {
            if (from->arg[k].is_float)
                arg->f = from->arg[k].number;
            else
                arg->i = krsi_index_value(from->arg[k].index, var);
        }
        for (int k = 0; k < KRS_K_AXES; k++) {
            int64_t extent = krsi_index_value(from->grid[k].extent, var);
            int64_t per = from->grid[k].per;
            r->launches[i].grid[k] = (extent + per - 1) / per;
        }
    }
}

static krs_status
run(void *prepared, const int64_t *var, const atomic_int *cancel,
    krs_error *err)
{
    ready *r = prepared;
    machine *m = r->m;
    const krsi_sched *s = &r->plan.sched;
    KRS_TRY(check_starts(r, var, err));
    for (size_t i = 0; i < s->output_count; i++)
        if (r->root_is_live[i])
            KRS_TRY(zero(m, r->root[i]->memory, r->root[i]->bytes, err));
    fill_launches(r, var);
    krs_backend_work work = {.struct_size = sizeof work,
                             .launches = r->launches,
                             .launch_count = r->plan.launch_count,
                             .wave_ends = r->wave_ends,
                             .wave_count = r->waves,
                             .times_ns = r->times_ns,
                             .cancel = (const int *)cancel};
    KRS_TRY(m->backend->submit(m->device, &work, err));
    KRS_TRY(m->backend->wait(m->device, err));
    return s->fault_count ? check_faults(r, err) : KRS_OK;
}

/* ---- looking inside ---- */

static void
profile(void *prepared, bool on)
{
    ready *r = prepared;
    free(r->times_ns);
    r->times_ns =
        on ? calloc(r->plan.launch_count + 1, sizeof *r->times_ns) : NULL;
}

/* 2 M N K of a matrix product, 0 for other nodes. */
static uint64_t
count_flops(const krs_graph *g, const krsi_node *n)
{
    uint64_t flops = 2;
    if (n->op != KRSI_MATMUL)
        return 0;
    const krsi_node *a = g->node[n->in[0]];
    bool is_transposed = krsi_int(n, 0) != 0;
    flops *= (uint64_t)a->dim[a->rank - (is_transposed ? 2 : 1)];
    for (int i = 0; i < n->rank; i++)
        flops *= (uint64_t)n->dim[i];
    return flops;
}

static bool
launch(const void *prepared, size_t i, krs_launch_info *out)
{
    const ready *r = prepared;
    if (i >= r->plan.launch_count)
        return false;
    const krs_graph *g = r->plan.sched.graph;
    const krsi_launch *l = &r->plan.launches[i];
    const krsi_node *n = g->node[l->node];
    *out = (krs_launch_info){.struct_size = sizeof *out,
                             .kernel = l->kernel,
                             .op = krsi_ops[n->op].name,
                             .scope = g->string[n->scope],
                             .file = g->string[n->file],
                             .line = (int)n->line,
                             .wave = l->wave,
                             .flops = count_flops(g, n),
                             .time_ns = r->times_ns ? r->times_ns[i] : 0};
    for (int k = 0; k < l->bindings; k++)
        if (l->binding[k] != KRSI_FAULTS)
            out->bytes += r->plan.sched.values[l->binding[k]].bytes;
    return true;
}

static void
print_launches(const ready *r, krsi_string *text)
{
    krs_launch_info info;
    for (size_t i = 0; launch(r, i, &info); i++)
        krsi_string_format(
            text, "wave %d  kernel %zu  %s  %llu bytes  %s %s:%d\n", info.wave,
            info.kernel, info.op, (unsigned long long)info.bytes, info.scope,
            info.file, info.line);
}

static bool
print_kernels(const ready *r, krsi_string *text)
{
    for (size_t i = 0; i < r->plan.kernel_count; i++) {
        char *kernel = krs_kernel_print(r->plan.kernels[i]);
        if (!kernel)
            return false;
        krsi_string_format(text, "# kernel %zu\n", i);
        krsi_string_add(text, kernel);
        free(kernel);
    }
    return true;
}

static bool
print_schedule(const ready *r, krsi_string *text)
{
    char *cuts = krsi_sched_print(&r->plan.sched);
    if (!cuts)
        return false;
    krsi_string_add(text, cuts);
    free(cuts);
    return true;
}

/* What the backend makes of each kernel. */
static krs_status
print_code(const ready *r, const char *stage, krsi_string *text, krs_error *err)
{
    const machine *m = r->m;
    for (size_t i = 0; i < r->plan.kernel_count; i++) {
        char *code;
        KRS_TRY(m->backend->listing(m->device, r->plan.kernels[i], stage, &code,
                                    err));
        krsi_string_format(text, "# kernel %zu\n", i);
        krsi_string_add(text, code);
        free(code);
    }
    return KRS_OK;
}

static krs_status
print_stage(void *prepared, const char *stage, char **out_text, krs_error *err)
{
    const ready *r = prepared;
    krsi_string text = {0};
    bool ok = true;
    krs_status status = KRS_OK;
    krsi_string_add(&text, "");
    if (strcmp(stage, "sched") == 0)
        ok = print_schedule(r, &text);
    else if (strcmp(stage, "kernel") == 0)
        ok = print_kernels(r, &text);
    else if (strcmp(stage, "launch") == 0)
        print_launches(r, &text);
    else
        status = print_code(r, stage, &text, err);
    if (status == KRS_OK && (!ok || text.failed))
        status = krs_fail(err, KRS_E_MEMORY,
                          "program_print: no memory for the text");
    if (status != KRS_OK) {
        krsi_string_free(&text);
        return status;
    }
    *out_text = text.text;
    return KRS_OK;
}

const krsi_device_kind krsi_kernel_device = {
    .open = open_machine,
    .close = close_machine,
    .describe = describe,
    .alloc = alloc_memory,
    .free = free_memory,
    .write = write_memory,
    .read = read_memory,
    .prepare = prepare,
    .discard = discard,
    .bind_leaf = bind_leaf,
    .bind_root = bind_root,
    .run = run,
    .print = print_stage,
    .profile = profile,
    .launch = launch,
};
