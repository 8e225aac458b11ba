/* plan.c -- everything a program runs: the schedule lowered to kernels and
 * launches, and a place in memory for every temporary.
 *
 * In: a graph of primitives and its outputs. Out: krsi_plan. Equal kernels are
 * kept once. This first planner gives every temporary a place of its own; it
 * is the oracle for one that reuses memory.
 */
#include "lower.h"

#include <stdlib.h>
#include <string.h>

enum { PLACE_ALIGN = 64 }; /* bytes: a cache line, and any vector */

static krsi_lower_rule *const families[KRSI_CUT_FAMILIES] = {
    [KRSI_CUT_MAP] = krsi_lower_map,
    [KRSI_CUT_ROWS] = krsi_lower_rows,
    [KRSI_CUT_PREFIX] = krsi_lower_prefix,
    [KRSI_CUT_SCATTER] = krsi_lower_scatter,
    [KRSI_CUT_CONTRACT] = krsi_lower_contract,
};

static krs_status
no_memory(krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "out of memory while planning");
}

/* number of an equal kernel, which takes this one over */
static krs_status
keep_kernel(krsi_plan *plan, krs_kernel *kernel, size_t *out, krs_error *err)
{
    for (size_t i = 0; i < plan->kernel_count; i++)
        if (plan->kernels[i]->hash[0] == kernel->hash[0] &&
            plan->kernels[i]->hash[1] == kernel->hash[1] &&
            krs_kernel_equal(plan->kernels[i], kernel)) {
            krs_kernel_free(kernel);
            *out = i;
            return KRS_OK;
        }
    if (!krsi_reserve(&plan->kernels, &plan->kernel_capacity,
                      plan->kernel_count + 1, sizeof(krs_kernel *))) {
        krs_kernel_free(kernel);
        return no_memory(err);
    }
    plan->kernels[plan->kernel_count] = kernel;
    *out = plan->kernel_count++;
    return KRS_OK;
}

static krs_status
add_launch(krsi_plan *plan, const krsi_lowering *l, size_t kernel,
           krs_error *err)
{
    size_t args = (size_t)l->args, bindings = (size_t)l->bindings;
    krsi_launch launch = {.kernel = kernel,
                          .node = l->cut->node,
                          .wave = l->cut->wave,
                          .args = l->args,
                          .bindings = l->bindings};
    launch.arg = krsi_arena_array(&plan->arena, args, sizeof *launch.arg);
    launch.binding =
        krsi_arena_array(&plan->arena, bindings, sizeof *launch.binding);
    if (!launch.arg || !launch.binding ||
        !krsi_reserve(&plan->launches, &plan->launch_capacity,
                      plan->launch_count + 1, sizeof *plan->launches))
        return no_memory(err);
    memcpy(launch.arg, l->arg, args * sizeof *launch.arg);
    memcpy(launch.binding, l->binding, bindings * sizeof *launch.binding);
    memcpy(launch.grid, l->grid, sizeof launch.grid);
    plan->launches[plan->launch_count++] = launch;
    return KRS_OK;
}

static krs_status
lower_cut(krsi_plan *plan, krsi_cut *cut, const krsi_facts *facts,
          krs_error *err)
{
    const krs_graph *g = plan->sched.graph;
    const krsi_node *n = g->node[cut->node];
    krsi_lowering l = {.cut = cut, .facts = facts};
    krs_kernel *kernel;
    size_t number = 0;
    l.lanes = (int)facts->lanes;
    l.vector_axis = -1;
    l.kb = krsi_kb_new(krsi_ops[n->op].name);
    for (int a = 0; a < KRS_K_AXES; a++)
        l.grid[a] = (krsi_grid){KRS_INDEX(1), 1};
    families[cut->family](&l);
    krs_error reason;
    krs_status status = krsi_kb_finish(l.kb, &kernel, &reason);
    if (status != KRS_OK)
        return krs_fail(err, status, "%s%s%s: cannot be lowered: %s (%s:%u)",
                        g->string[n->scope], n->scope ? ": " : "",
                        krsi_ops[n->op].name, reason.text, g->string[n->file],
                        (unsigned)n->line);
    KRS_TRY(keep_kernel(plan, kernel, &number, err));
    return add_launch(plan, &l, number, err);
}

static int
by_wave(const void *a, const void *b)
{
    const krsi_launch *x = a, *y = b;
    if (x->wave != y->wave)
        return x->wave < y->wave ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

static krs_status
place_values(krsi_plan *plan, krs_error *err)
{
    const krsi_sched *s = &plan->sched;
    plan->offset = calloc(s->value_count + 1, sizeof *plan->offset);
    if (!plan->offset)
        return no_memory(err);
    for (size_t i = 0; i < s->value_count; i++) {
        const krsi_storage *v = &s->values[i];
        if (v->kind != KRSI_STORAGE_TEMPORARY)
            continue;
        plan->offset[i] = plan->arena_bytes;
        if (v->bytes > SIZE_MAX / 2 - plan->arena_bytes - PLACE_ALIGN)
            return krs_fail(err, KRS_E_MEMORY,
                            "the temporaries of the program need more than "
                            "%zu bytes",
                            SIZE_MAX / 2);
        plan->arena_bytes +=
            (v->bytes + PLACE_ALIGN - 1) / PLACE_ALIGN * PLACE_ALIGN;
    }
    return KRS_OK;
}

krs_status
krsi_plan_make(krsi_plan *plan, const krs_graph *g, const krs_node *outputs,
               size_t count, const krsi_facts *facts, krs_error *err)
{
    *plan = (krsi_plan){0};
    krs_status status = krsi_sched_make(&plan->sched, g, outputs, count, err);
    if (status == KRS_OK && facts->fuses)
        status = krsi_sched_fuse(&plan->sched, err);
    for (size_t i = 0; status == KRS_OK && i < plan->sched.cut_count; i++)
        if (!krsi_cut_is_empty(plan->sched.cuts[i]))
            status = lower_cut(plan, plan->sched.cuts[i], facts, err);
    if (status == KRS_OK && plan->launch_count)
        qsort(plan->launches, plan->launch_count, sizeof *plan->launches,
              by_wave);
    if (status == KRS_OK)
        status = place_values(plan, err);
    if (status != KRS_OK)
        krsi_plan_free(plan);
    return status;
}

void
krsi_plan_free(krsi_plan *plan)
{
    for (size_t i = 0; i < plan->kernel_count; i++)
        krs_kernel_free(plan->kernels[i]);
    free(plan->kernels);
    free(plan->launches);
    free(plan->offset);
    krsi_arena_free(&plan->arena);
    krsi_sched_free(&plan->sched);
    *plan = (krsi_plan){0};
}
