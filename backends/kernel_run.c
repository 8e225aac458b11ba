/* kernel_run.c -- one run of a program on a backend.
 *
 * Runtime starts are checked and arguments evaluated under the runtime
 * integers. The waves are submitted in stretches, which end where a loop stands
 * (kernel_loop.c) and before states are written in their own memory. There
 * faults are looked for: an index outside its axis reads nothing, but is
 * reported here with its node; and a request to stop is heard. From there on a
 * run ends (../graph/sched/layout.h puts all that may report a fault before).
 * Nothing is allocated.
 */
#include "kernel_device.h"

static krs_status
check_starts(const krsi_ready *r, const int64_t *var, krs_error *err)
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
        if (c->is_extremum)
            return krs_fail(err, KRS_E_RANGE,
                            "%s%s%s: no elements are live at this run, and "
                            "nothing has no extremum (%s:%u)",
                            g->string[n->scope], n->scope ? ": " : "",
                            krsi_ops[n->op].name, g->string[n->file],
                            (unsigned)n->line);
        return krs_fail(
            err, KRS_E_RANGE,
            "%s%s%s: axis %d: %lld elements from %lld by step "
            "%lld do not fit in size %lld (%s:%u)",
            g->string[n->scope], n->scope ? ": " : "", krsi_ops[n->op].name,
            c->axis, (long long)c->length, (long long)first, (long long)c->step,
            (long long)c->size, g->string[n->file], (unsigned)n->line);
    }
    for (size_t i = 0; i < r->plan.loop_count; i++)
        KRS_TRY(check_starts(r->body[i], var, err));
    return KRS_OK;
}

static krs_status
check_faults(krsi_ready *r, const int64_t *var, krs_error *err)
{
    krsi_machine *m = r->m;
    const krsi_sched *s = &r->plan.sched;
    const krs_graph *g = s->graph;
    size_t bytes = s->fault_count * sizeof *r->fault;
    for (size_t i = 0; i < r->plan.loop_count; i++)
        KRS_TRY(check_faults(r->body[i], var, err));
    if (s->fault_count == 0)
        return KRS_OK;
    KRS_TRY(m->backend->read(m->device, r->faults, 0, r->fault, bytes, err));
    for (size_t i = 0; i < s->fault_count; i++) {
        int64_t index = r->fault[i];
        if (index == KRSI_NO_FAULT)
            continue;
        for (size_t k = 0; k < s->fault_count; k++)
            r->fault[k] = KRSI_NO_FAULT;
        KRS_TRY(
            m->backend->write(m->device, r->faults, 0, r->fault, bytes, err));
        const krsi_node *n = g->node[s->faults[i]];
        const krsi_node *x = g->node[n->in[0]];
        int axis = (int)krsi_int(n, 0);
        int64_t size = x->live_axes >> axis & 1
                           ? krsi_index_value(x->live[axis], var)
                           : x->dim[axis];
        return krs_fail(err, KRS_E_RANGE,
                        "%s%s%s: index %lld is outside axis %d of size %lld "
                        "(%s:%u)",
                        g->string[n->scope], n->scope ? ": " : "",
                        krsi_ops[n->op].name, (long long)index, axis,
                        (long long)size, g->string[n->file], (unsigned)n->line);
    }
    return KRS_OK;
}

krs_backend_binding
krsi_ready_binding(const krsi_ready *r, uint32_t value)
{
    const krsi_sched *s = &r->plan.sched;
    if (value == KRSI_FAULTS)
        return (krs_backend_binding){r->faults, 0,
                                     s->fault_count * sizeof *r->fault};
    const krsi_storage *v = &s->values[value];
    krs_backend_binding b = {NULL, 0, v->bytes};
    switch (v->kind) {
    case KRSI_STORAGE_INPUT:
    case KRSI_STORAGE_STATE: return r->leaf[v->node];
    case KRSI_STORAGE_CONSTANT:
        b.memory = r->constants;
        b.offset_bytes = r->constant_offset[value];
        break;
    case KRSI_STORAGE_TEMPORARY:
        b.memory = r->arena;
        b.offset_bytes = r->arena_offset + r->plan.layout.offset[value];
        break;
    case KRSI_STORAGE_OUTPUT:
        return krsi_layout_in_place(&r->plan.layout, value)
                   ? r->leaf[s->values[v->partner].node]
                   : r->root[v->output];
    case KRSI_STORAGE_FUSED: break;
    }
    return b;
}

/* Bindings, arguments and grids for these memories and runtime integers. */
static void
fill_launches(krsi_ready *r, const int64_t *var)
{
    krs_backend_binding *binding = r->bindings;
    krs_kargument *arg = r->args;
    for (size_t i = 0; i < r->plan.launch_count; i++) {
        const krsi_launch *from = &r->plan.launches[i];
        for (int k = 0; k < from->bindings; k++)
            *binding++ = krsi_ready_binding(r, from->binding[k]);
        for (int k = 0; k < from->args; k++, arg++) {
            if (from->arg[k].is_float)
                arg->f = from->arg[k].number;
            else
                arg->i = krsi_index_value(from->arg[k].index, var);
        }
        for (int k = 0; from->loop < 0 && k < KRS_K_AXES; k++) {
            int64_t extent = krsi_index_value(from->grid[k].extent, var);
            int64_t per = from->grid[k].per;
            r->launches[i].grid[k] = (extent + per - 1) / per;
        }
    }
}

static krs_status
submit(krsi_ready *r, const krsi_stretch *s, const atomic_int *cancel,
       krs_error *err)
{
    krsi_machine *m = r->m;
    krs_backend_work work = {.struct_size = sizeof work,
                             .launches = r->launches + s->launch,
                             .launch_count = s->launches,
                             .wave_ends = r->wave_ends + s->wave_end,
                             .wave_count = s->waves,
                             .spans = r->spans ? r->spans + s->launch : NULL,
                             .cancel = (const int *)cancel};
    if (s->launches == 0)
        return KRS_OK;
    pthread_mutex_lock(&m->running);
    krs_status status = m->backend->submit(m->device, &work, err);
    if (status == KRS_OK)
        status = m->backend->wait(m->device, err);
    pthread_mutex_unlock(&m->running);
    return status;
}

/* A stretch with its loop; and poison, if a wave has ended. */
static krs_status
run_stretch(krsi_ready *r, size_t i, const int64_t *var,
            const atomic_int *cancel, krs_error *err)
{
    const krsi_stretch *s = &r->stretch[i];
    KRS_TRY(submit(r, s, cancel, err));
    if (s->loop >= 0)
        KRS_TRY(krsi_loop_run(r, s->loop, var, cancel, err));
    bool ends_wave =
        i + 1 == r->stretches ||
        r->plan.launches[r->stretch[i + 1].launch].wave != s->last_wave;
    return r->m->poisons && ends_wave ? krsi_poison_after(r, s->last_wave, err)
                                      : KRS_OK;
}

krs_status
krsi_ready_go(krsi_ready *r, const int64_t *var, const atomic_int *cancel,
              krs_error *err)
{
    if (r->m->poisons)
        KRS_TRY(krsi_poison_all(r, err));
    fill_launches(r, var);
    for (size_t i = 0; i < r->stretches; i++)
        KRS_TRY(run_stretch(r, i, var, cancel, err));
    return KRS_OK;
}

krs_status
krsi_ready_run(void *prepared, const int64_t *var, const atomic_int *cancel,
               krs_error *err)
{
    krsi_ready *r = prepared;
    const krsi_sched *s = &r->plan.sched;
    bool is_checked = false;
    KRS_TRY(check_starts(r, var, err));
    for (size_t i = 0; i < s->output_count; i++)
        if (r->root_is_live[i])
            KRS_TRY(krsi_machine_fill(r->m, r->root[i].memory, 0,
                                      r->root[i].bytes, 0, err));
    if (r->m->poisons)
        KRS_TRY(krsi_poison_all(r, err));
    krsi_loop_forget_times(r);
    fill_launches(r, var);
    for (size_t i = 0; i < r->stretches; i++) {
        if (r->stretch[i].commits && !is_checked) {
            KRS_TRY(check_faults(r, var, err));
            if (atomic_load(cancel))
                return krs_fail(err, KRS_E_CANCELLED,
                                "program_run: cancelled before its updates");
            is_checked = true;
        }
        KRS_TRY(run_stretch(r, i, var, is_checked ? NULL : cancel, err));
    }
    return is_checked ? KRS_OK : check_faults(r, var, err);
}
