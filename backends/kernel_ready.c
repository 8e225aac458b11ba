/* kernel_ready.c -- a graph of primitives made ready to run on a backend.
 *
 * First the plan (graph/kernel/plan.c), which says which kernels run on which
 * values, and where these lie; with it alone nothing is allocated. Then they
 * are built through the cache, loaded, and given memory: one arena for
 * temporaries, one memory for constants, one for faults. Leaves and roots are
 * bound by the program.
 */
#include "kernel_device.h"

#include <stdlib.h>

enum { CONSTANT_ALIGN = 64 }; /* bytes: a cache line, and any vector */

/* What clones share. */
static void
discard_shared(krsi_ready *r)
{
    krsi_machine *m = r->m;
    if (r->code)
        krsi_backend_drop_all(m->backend, m->device, r->code,
                              r->plan.kernel_count);
    krsi_machine_free(m, r->constants, r->constants_bytes);
    free(r->code);
    free(r->constant_offset);
    free(r->root_is_live);
    free(r->users);
    krsi_plan_free(&r->plan);
}

void
krsi_ready_discard(void *prepared)
{
    krsi_ready *r = prepared;
    if (!r)
        return;
    krsi_machine *m = r->m;
    for (size_t i = 0; r->body && i < r->plan.loop_count; i++)
        krsi_ready_discard(r->body[i]);
    if (!r->is_body)
        krsi_machine_free(m, r->arena, r->plan.layout.arena_bytes);
    krsi_machine_free(m, r->faults, krsi_ready_fault_bytes(r));
    free(r->leaf);
    free(r->root);
    free(r->launches);
    free(r->bindings);
    free(r->args);
    free(r->body);
    free(r->var);
    free(r->wave_ends);
    free(r->stretch);
    free(r->fault);
    free(r->spans);
    free(r->totals);
    free(r->dead);
    if (!r->users || atomic_fetch_sub(r->users, 1) == 1)
        discard_shared(r);
    free(r);
}

size_t
krsi_ready_fault_bytes(const krsi_ready *r)
{
    return r->plan.sched.fault_count * sizeof *r->fault;
}

/* All constants lie in one memory. */
static void
place_constants(krsi_ready *r)
{
    const krsi_sched *s = &r->plan.sched;
    for (size_t i = 0; i < s->value_count; i++) {
        if (s->values[i].kind != KRSI_STORAGE_CONSTANT)
            continue;
        r->constant_offset[i] = r->constants_bytes;
        r->constants_bytes += (s->values[i].bytes + CONSTANT_ALIGN - 1) /
                              CONSTANT_ALIGN * CONSTANT_ALIGN;
    }
}

static krs_status
make_constants(krsi_ready *r, krs_error *err)
{
    krsi_machine *m = r->m;
    const krsi_sched *s = &r->plan.sched;
    KRS_TRY(krsi_machine_alloc(m, r->constants_bytes, &r->constants, err));
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

/* Does another stretch begin with launch i? */
static bool
begins_stretch(const krsi_ready *r, size_t i)
{
    const krsi_launch *at = &r->plan.launches[i];
    int commit = r->plan.layout.commit;
    return i == 0 || at[-1].loop >= 0 ||
           (at[-1].wave < commit && at->wave >= commit) ||
           (r->m->poisons && at[-1].wave != at->wave);
}

/* Launches as stretches, which end with loops, with the last wave that writes
 * no state, and where poison comes between. */
static void
make_stretches(krsi_ready *r)
{
    size_t waves = 0, count = r->plan.launch_count;
    krsi_stretch *to = r->stretch - 1;
    for (size_t i = 0; i < count; i++) {
        const krsi_launch *at = &r->plan.launches[i];
        if (begins_stretch(r, i)) {
            r->stretches++;
            *++to =
                (krsi_stretch){.launch = i,
                               .wave_end = waves,
                               .loop = -1,
                               .commits = at->wave >= r->plan.layout.commit};
        }
        to->last_wave = at->wave;
        to->loop = at->loop;
        to->launches += at->loop < 0;
        bool ends = i + 1 == count || at[1].wave != at->wave ||
                    at[1].loop >= 0 || begins_stretch(r, i + 1);
        if (at->loop < 0 && ends) {
            to->waves++;
            r->wave_ends[waves++] = to->launches;
        }
    }
}

/* Room for launches, bindings, arguments. */
static krs_status
make_launches(krsi_ready *r, krs_error *err)
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
    r->stretch = calloc(count + 1, sizeof *r->stretch);
    if (!r->launches || !r->bindings || !r->args || !r->wave_ends ||
        !r->stretch)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu launches", count);
    args = bindings = 0;
    for (size_t i = 0; i < count; i++) {
        const krsi_launch *from = &r->plan.launches[i];
        r->launches[i] = (krs_backend_launch){
            .code = from->loop < 0 ? r->code[from->kernel] : NULL,
            .bindings = r->bindings + bindings,
            .args = r->args + args,
        };
        args += (size_t)from->args;
        bindings += (size_t)from->bindings;
    }
    make_stretches(r);
    return KRS_OK;
}

/* Where bindings may begin: as the device says, and where items are lanes as
 * kernels say of their buffers, too. */
static uint64_t
offset_align_of(const krs_backend_limits *limits)
{
    return limits->is_processor || limits->offset_align > KRSI_PLACE_ALIGN
               ? limits->offset_align
               : KRSI_PLACE_ALIGN;
}

/* Groups as large as the templates make them at least. */
static bool
has_groups(const krs_backend_limits *limits)
{
    enum { ITEMS = 64, ROWS = 16, BYTES = 16 << 10 };
    return limits->has_groups && !limits->is_processor &&
           limits->group_items >= ITEMS && limits->group[0] >= ITEMS &&
           limits->group[1] >= ROWS && limits->shared_bytes >= BYTES;
}

static krsi_facts
facts_of(const krsi_machine *m)
{
    const krs_backend_limits *limits = m->limits;
    krsi_facts facts = {.lanes = limits->vector_lanes,
                        .registers = limits->registers,
                        .workers = limits->workers,
                        .bindings = limits->max_params,
                        .offset_align = offset_align_of(limits),
                        .tail_bytes = (size_t)limits->tail_bytes,
                        .item_turns = (int64_t)limits->item_turns,
                        .dtypes = limits->dtypes,
                        .has_dot2_bf16 = limits->has_dot2_bf16,
                        .items_are_lanes = !limits->is_processor,
                        .group_items =
                            has_groups(limits) ? limits->group_items : 0,
                        .shared_bytes = limits->shared_bytes,
                        .code_is_dear = limits->code_is_dear,
                        .fuses = m->fuses};
    for (int i = 0; i < 3; i++)
        facts.cache_bytes[i] = limits->cache_bytes[i];
    return facts;
}

/* Where leaves and roots are bound, faults are read, and the variables of a
 * body are. */
static krs_status
make_places(krsi_ready *r, krs_error *err)
{
    const krsi_sched *s = &r->plan.sched;
    r->leaf = calloc(s->graph->nodes + 1, sizeof *r->leaf);
    r->root = calloc(s->output_count + 1, sizeof *r->root);
    r->fault = calloc(s->fault_count + 1, sizeof *r->fault);
    r->body = calloc(r->plan.loop_count + 1, sizeof(krsi_ready *));
    if (r->is_body)
        r->var = calloc(s->graph->vars + 1, sizeof *r->var);
    if (!r->leaf || !r->root || !r->fault || !r->body ||
        (r->is_body && !r->var))
        return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a program");
    for (size_t i = 0; i < s->fault_count; i++)
        r->fault[i] = KRSI_NO_FAULT;
    return KRS_OK;
}

static krs_status get_ready(krsi_ready *r, krs_error *err);

static size_t
count_kernels(const krsi_ready *r)
{
    size_t count = r->plan.kernel_count;
    for (size_t i = 0; i < r->plan.loop_count; i++)
        count += count_kernels(r->body[i]);
    return count;
}

/* The bodies of loops, whose plans they take over. */
static krs_status
make_bodies(krsi_ready *r, krs_error *err)
{
    krsi_plan *plan = &r->plan;
    size_t kernels = r->first_kernel + plan->kernel_count;
    for (size_t i = 0; i < plan->loop_count; i++) {
        krsi_ready *body = calloc(1, sizeof *body);
        if (!body)
            return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a scan");
        r->body[i] = body;
        body->m = r->m;
        body->is_body = true;
        body->times = r->times * plan->sched.loops[i].loop.length;
        body->first_kernel = kernels;
        body->plan = *plan->loops[i].body;
        *plan->loops[i].body = (krsi_plan){0};
        KRS_TRY(get_ready(body, err)); /* KRSI_BODY_DEPTH deep at most */
        kernels += count_kernels(body);
    }
    return KRS_OK;
}

/* What can be done with the plan alone. */
static krs_status
get_ready(krsi_ready *r, krs_error *err)
{
    const krsi_sched *s = &r->plan.sched;
    r->constant_offset = calloc(s->value_count + 1, sizeof(size_t));
    r->root_is_live = calloc(s->output_count + 1, sizeof *r->root_is_live);
    r->users = malloc(sizeof *r->users);
    if (r->users)
        atomic_init(r->users, 1);
    if (!r->constant_offset || !r->root_is_live || !r->users)
        return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a program");
    place_constants(r);
    KRS_TRY(make_places(r, err));
    return make_bodies(r, err);
}

static krs_status
prepare_into(krsi_ready *r, const krs_graph *g, const uint32_t *roots,
             size_t count, krs_error *err)
{
    krsi_machine *m = r->m;
    krsi_facts facts = facts_of(m);
    krs_node *outputs = calloc(count, sizeof *outputs);
    if (!outputs)
        return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a program");
    r->times = 1;
    for (size_t i = 0; i < count; i++)
        outputs[i] = krsi_handle(g, roots[i]);
    krs_status status =
        krsi_plan_make(&r->plan, g, outputs, count, &facts, m->sharing, err);
    free(outputs);
    if (status == KRS_OK)
        status = get_ready(r, err);
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        r->root_is_live[i] = g->node[roots[i]]->live_axes != 0;
    return status;
}

/* What each clone has of its own. */
static krs_status
make_own(krsi_ready *r, krs_error *err)
{
    krsi_machine *m = r->m;
    if (!r->is_body)
        KRS_TRY(
            krsi_machine_alloc(m, r->plan.layout.arena_bytes, &r->arena, err));
    KRS_TRY(krsi_machine_alloc(m, krsi_ready_fault_bytes(r), &r->faults, err));
    KRS_TRY(m->backend->write(m->device, r->faults, 0, r->fault,
                              krsi_ready_fault_bytes(r), err));
    if (m->poisons)
        KRS_TRY(krsi_poison_prepare(r, err));
    return make_launches(r, err);
}

/* watch is NULL if nobody does */
static krs_status
equip(krsi_ready *r, krsi_build_watch *watch, krs_error *err)
{
    krsi_machine *m = r->m;
    r->code = calloc(r->plan.kernel_count + 1, sizeof(krs_backend_code *));
    if (!r->code)
        return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a program");
    KRS_TRY(krsi_backend_build(m->backend, m->device, m->cache,
                               (const krs_kernel *const *)r->plan.kernels,
                               r->plan.kernel_count, watch, r->code, err));
    KRS_TRY(make_constants(r, err));
    for (size_t i = 0; i < r->plan.loop_count; i++)
        KRS_TRY(equip(r->body[i], watch, err)); /* as deep as they */
    return make_own(r, err);
}

krs_status
krsi_ready_equip(void *prepared, krs_error *err)
{
    krsi_ready *r = prepared;
    krsi_build_watch watch = {.total = count_kernels(r),
                              .told = r->m->compiling,
                              .context = r->m->context};
    if (!watch.told || !watch.total)
        return equip(r, NULL, err);
    if (!watch.told(watch.context, 0, watch.total))
        return krs_fail(err, KRS_E_CANCELLED,
                        "%s: compiling was stopped before the first of %zu "
                        "kernels",
                        r->m->backend->name, watch.total);
    return equip(r, &watch, err);
}

/* Another of the same plan and code; its bodies too. */
static krs_status
clone(const krsi_ready *from, krsi_ready **out, krs_error *err)
{
    krsi_ready *r = *out = malloc(sizeof *r);
    if (!r)
        return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a program");
    *r = (krsi_ready){.m = from->m,
                      .is_body = from->is_body,
                      .times = from->times,
                      .first_kernel = from->first_kernel,
                      .plan = from->plan,
                      .code = from->code,
                      .constants = from->constants,
                      .constant_offset = from->constant_offset,
                      .constants_bytes = from->constants_bytes,
                      .root_is_live = from->root_is_live,
                      .users = from->users};
    atomic_fetch_add(r->users, 1);
    KRS_TRY(make_places(r, err));
    for (size_t i = 0; i < r->plan.loop_count; i++)
        KRS_TRY(clone(from->body[i], &r->body[i], err)); /* as deep as they */
    return make_own(r, err);
}

krs_status
krsi_ready_clone(void *state, const void *prepared, const krs_graph *g,
                 const uint32_t *roots, size_t count, void **out,
                 krs_error *err)
{
    krsi_ready *r;
    (void)state;
    (void)g;
    (void)roots;
    (void)count;
    krs_status status = clone(prepared, &r, err);
    if (status != KRS_OK)
        krsi_ready_discard(r);
    else
        *out = r;
    return status;
}

krs_status
krsi_ready_prepare(void *state, const krs_graph *g, const uint32_t *roots,
                   size_t count, void **out, krs_error *err)
{
    krsi_ready *r = calloc(1, sizeof *r);
    if (!r)
        return krs_fail(err, KRS_E_MEMORY, "no memory to prepare a program");
    r->m = state;
    krs_status status = prepare_into(r, g, roots, count, err);
    if (status != KRS_OK) {
        krsi_ready_discard(r);
        return status;
    }
    *out = r;
    return KRS_OK;
}
