/* kernel_memory.c -- the bytes of a program on a backend, from its plan alone.
 *
 * In: a prepared program, with or without code and memory. Out: what it
 * allocates, what lives in the fullest wave, and who uses most of it.
 */
#include "kernel_device.h"

#include "../graph/opt/opt.h"

#include <stdlib.h>

/* ---- scratch ---- */

/* The most that an argument can be. */
static int64_t
largest(const krs_graph *g, const krsi_arg *arg)
{
    int64_t low = 0, high = 0;
    krsi_index_bounds(g, arg->index, &low, &high);
    return high;
}

static size_t
scratch_of(const krsi_plan *plan, const krsi_launch *launch)
{
    const krs_kernel *kernel = plan->kernels[launch->kernel];
    krs_kargument args[KRSI_MAX_ARGS];
    size_t sum = 0, bytes;
    for (int i = 0; i < launch->args; i++) {
        args[i].i = 0;
        if (!launch->arg[i].is_float)
            args[i].i = largest(plan->sched.graph, &launch->arg[i]);
    }
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++)
        if (krs_kscratch_bytes(&kernel->buffers[i], args, &bytes))
            sum += bytes;
    return sum;
}

/* of one worker, in the bodies of loops too */
static size_t
most_scratch(const krsi_ready *r)
{
    size_t most = 0;
    for (size_t i = 0; i < r->plan.launch_count; i++) {
        const krsi_launch *launch = &r->plan.launches[i];
        size_t bytes = launch->loop < 0 ? scratch_of(&r->plan, launch)
                                        : most_scratch(r->body[launch->loop]);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* constants and faults, of the bodies of loops too */
static size_t
fixed_bytes(const krsi_ready *r)
{
    size_t bytes = r->constants_bytes + krsi_ready_fault_bytes(r);
    for (size_t i = 0; i < r->plan.loop_count; i++)
        bytes += fixed_bytes(r->body[i]);
    return bytes;
}

/* ---- the fullest wave ---- */

static bool
is_live_at_peak(const krsi_layout *l, uint32_t value)
{
    return l->values[value].kind == KRSI_STORAGE_TEMPORARY &&
           l->first[value] >= 0 && l->first[value] <= l->peak &&
           l->last[value] >= l->peak;
}

static uint64_t
place_bytes(const krsi_layout *l, uint32_t value)
{
    size_t bytes = l->values[value].bytes;
    return (bytes + KRSI_PLACE_ALIGN - 1) / KRSI_PLACE_ALIGN * KRSI_PLACE_ALIGN;
}

/* Each place that is in use counts for the last of those that have it then. */
static krs_status
split_peak(const krsi_ready *r, krs_memory_info *out, krs_error *err)
{
    const krsi_layout *l = &r->plan.layout;
    const krsi_sched *s = &r->plan.sched;
    uint32_t *tenant = calloc(l->value_count + 1, sizeof *tenant);
    uint32_t *need = calloc(s->graph->nodes + 1, sizeof *need);
    if (tenant && need) {
        uint32_t first_output = s->values[s->outputs[0]].node;
        krsi_mark(s->graph, &first_output, 1, need);
    }
    for (uint32_t v = 0; tenant && need && v < l->value_count; v++) {
        uint32_t *of = &tenant[l->home[v]];
        if (is_live_at_peak(l, v) && (!*of || l->first[v] > l->first[*of - 1]))
            *of = v + 1;
    }
    for (uint32_t v = 0; tenant && need && v < l->value_count; v++) {
        if (!tenant[v])
            continue;
        bool is_forward = need[l->values[tenant[v] - 1].node] != 0;
        *(is_forward ? &out->activations_bytes : &out->gradients_bytes) +=
            place_bytes(l, v);
    }
    bool ok = tenant && need;
    free(tenant);
    free(need);
    return ok ? KRS_OK
              : krs_fail(err, KRS_E_MEMORY, "program_memory: no memory");
}

static void
find_peak_launch(const krsi_ready *r, krs_memory_info *out)
{
    const krsi_layout *l = &r->plan.layout;
    const krs_graph *g = r->plan.sched.graph;
    uint64_t most = 0;
    out->peak_op = out->peak_scope = out->peak_file = "";
    for (size_t i = 0; i < r->plan.launch_count; i++) {
        const krsi_launch *launch = &r->plan.launches[i];
        const krsi_node *n = g->node[launch->node];
        uint64_t bytes = 0;
        for (int k = 0; launch->wave == l->peak && k < launch->bindings; k++)
            if (launch->binding[k] != KRSI_FAULTS &&
                is_live_at_peak(l, launch->binding[k]))
                bytes += place_bytes(l, launch->binding[k]);
        if (launch->wave == l->peak && launch->loop >= 0)
            bytes = r->plan.sched.loops[launch->loop].workspace_bytes;
        if (bytes <= most)
            continue;
        most = bytes;
        out->peak_op = krsi_ops[n->op].name;
        out->peak_scope = g->string[n->scope];
        out->peak_file = g->string[n->file];
        out->peak_line = (int)n->line;
    }
}

krs_status
krsi_ready_memory(const void *prepared, krs_memory_info *out, krs_error *err)
{
    const krsi_ready *r = prepared;
    const krsi_layout *l = &r->plan.layout;
    *out = (krs_memory_info){.struct_size = sizeof *out,
                             .constants_bytes = fixed_bytes(r),
                             .temporaries_bytes = l->arena_bytes,
                             .workspace_bytes =
                                 most_scratch(r) * r->m->limits->workers,
                             .waves = l->waves,
                             .peak_wave = l->peak};
    find_peak_launch(r, out);
    return split_peak(r, out, err);
}
