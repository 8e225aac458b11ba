/* kernel_loop.c -- the loops of a program on a backend: a scan is its body,
 * made ready once, run once an iteration.
 *
 * The body is a program inside the program: its leaves and roots are stretches
 * of what the outer one has bound, its temporaries lie in one value of the
 * outer arena. Between iterations only bindings and the runtime integer of the
 * iteration change: carries that are not updated in place change places
 * (krsi_sched_loop says between which). Nothing is copied or allocated.
 */
#include "kernel_device.h"

#include <stdlib.h>
#include <string.h>

/* Where the value lies in this iteration of a loop around, if there is one. */
static krs_backend_binding
place_of(const krsi_ready *r, uint32_t value)
{
    const krsi_storage *v = &r->plan.sched.values[value];
    krs_backend_binding place = krsi_ready_binding(r, value);
    size_t bytes = 0;
    if (v->moved.terms == 0)
        return place;
    krs_dtype_bytes(v->dtype, krsi_index_value(v->moved, r->var), &bytes);
    place.offset_bytes += bytes;
    place.bytes -= bytes;
    return place;
}

static void
bind_param(krsi_ready *r, uint32_t loop, uint32_t operand, uint32_t value)
{
    uint32_t id = r->plan.loops[loop].param[operand];
    if (id && value != KRSI_NO_VALUE)
        r->body[loop]->leaf[id] = place_of(r, value);
}

static void
bind_output(krsi_ready *r, uint32_t loop, uint32_t output, uint32_t value)
{
    r->body[loop]->root[output] = place_of(r, value);
}

/* What is the same in all iterations. */
static void
bind_fixed(krsi_ready *r, uint32_t loop)
{
    const krsi_sched_loop *l = &r->plan.sched.loops[loop];
    const krsi_plan_loop *p = &r->plan.loops[loop];
    const krsi_loop *of = &l->loop;
    uint32_t first_x = of->constants + of->carries;
    r->body[loop]->arena = r->arena;
    r->body[loop]->arena_offset =
        krsi_ready_binding(r, l->workspace).offset_bytes;
    for (uint32_t i = 0; i < of->constants; i++)
        bind_param(r, loop, i, l->operand[i]);
    for (uint32_t i = first_x; i < first_x + of->xs; i++)
        bind_param(r, loop, i, l->operand[i]);
    for (uint32_t i = of->carries; i < of->body->results; i++)
        if (l->kept[i] != KRSI_NO_VALUE)
            bind_output(r, loop, p->output[i], l->kept[i]);
    for (uint32_t i = 0; i < of->carries; i++)
        if (l->history[i] != KRSI_NO_VALUE)
            bind_output(r, loop, p->history[i], l->history[i]);
}

/* Where the carry is after iteration k; before the first it is -1's. */
static uint32_t
place_after(const krsi_sched_loop *l, uint32_t carry, int64_t k)
{
    if (l->in_place[carry])
        return l->last[carry];
    if (k < 0)
        return l->operand[l->loop.constants + carry];
    return (l->loop.length - 1 - k) % 2 ? l->spare[carry] : l->last[carry];
}

static void
bind_carries(krsi_ready *r, uint32_t loop, int64_t k)
{
    const krsi_sched_loop *l = &r->plan.sched.loops[loop];
    for (uint32_t i = 0; i < l->loop.carries; i++) {
        if (!l->asked[i])
            continue;
        bind_param(r, loop, l->loop.constants + i, place_after(l, i, k - 1));
        bind_output(r, loop, r->plan.loops[loop].output[i],
                    place_after(l, i, k));
    }
}

/* Times of the iterations add up; the first one says when it began. */
static void
add_times(krsi_ready *body)
{
    for (size_t i = 0; body->spans && i < body->plan.launch_count; i++) {
        const krs_backend_span *now = &body->spans[i];
        krsi_total *total = &body->totals[i];
        if (total->time_ns == 0)
            total->begin_ns = now->begin_ns;
        total->time_ns += now->end_ns - now->begin_ns;
    }
}

void
krsi_loop_forget_times(krsi_ready *r)
{
    if (r->spans && r->is_body)
        memset(r->totals, 0, r->plan.launch_count * sizeof *r->totals);
    for (size_t i = 0; r->spans && i < r->plan.loop_count; i++)
        krsi_loop_forget_times(r->body[i]); /* KRSI_BODY_DEPTH deep at most */
}

krs_status
krsi_loop_run(krsi_ready *r, int loop, const int64_t *var,
              const atomic_int *cancel, krs_error *err)
{
    const krsi_loop *l = &r->plan.sched.loops[loop].loop;
    krsi_ready *body = r->body[loop];
    size_t vars = body->plan.sched.graph->vars;
    if (vars)
        memcpy(body->var, var, vars * sizeof *var);
    bind_fixed(r, (uint32_t)loop);
    for (int64_t k = 0; k < l->length; k++) {
        body->var[vars] = l->reverse ? l->length - 1 - k : k;
        bind_carries(r, (uint32_t)loop, k);
        KRS_TRY(krsi_ready_go(body, body->var, cancel, err));
        add_times(body);
    }
    return KRS_OK;
}
