/* plan.c -- everything a program runs: the schedule lowered to kernels and
 * launches, and a place in memory for every temporary.
 *
 * In: a graph of primitives and its outputs. Out: krsi_plan. Waves and places
 * come from ../sched/layout.h; a copy that has nothing to do there is not
 * launched. Equal kernels are kept once. Launches are in the order of their
 * waves, those of a wave in that of the schedule.
 */
#include "lower.h"

#include <stdlib.h>
#include <string.h>

static krsi_lower_rule *const families[KRSI_CUT_FAMILIES] = {
    [KRSI_CUT_MAP] = krsi_lower_map,
    [KRSI_CUT_ROWS] = krsi_lower_rows,
    [KRSI_CUT_PREFIX] = krsi_lower_prefix,
    [KRSI_CUT_SCATTER] = krsi_lower_scatter,
    [KRSI_CUT_CONTRACT] = krsi_lower_contract,
    [KRSI_CUT_ATTENTION] = krsi_lower_attention,
};

static krs_status
no_memory(krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "out of memory while planning");
}

/* where a kernel of that hash is in the table, or belongs */
static size_t
kernel_slot(const krsi_plan *plan, const krs_kernel *kernel)
{
    size_t mask = plan->table_capacity - 1, at = kernel->hash[0] & mask;
    for (; plan->kernel_table[at]; at = (at + 1) & mask) {
        const krs_kernel *other = plan->kernels[plan->kernel_table[at] - 1];
        if (other->hash[0] == kernel->hash[0] &&
            other->hash[1] == kernel->hash[1] &&
            krs_kernel_equal(other, kernel))
            break;
    }
    return at;
}

static bool
grow_kernels(krsi_plan *plan)
{
    enum { FEWEST = 64 };
    size_t capacity = plan->table_capacity;
    if (!krsi_reserve(&plan->kernels, &plan->kernel_capacity,
                      plan->kernel_count + 1, sizeof(krs_kernel *)))
        return false;
    if ((plan->kernel_count + 1) * 2 <= capacity)
        return true;
    capacity = capacity ? capacity * 2 : FEWEST;
    uint32_t *table = calloc(capacity, sizeof *table);
    if (!table)
        return false;
    free(plan->kernel_table);
    plan->kernel_table = table;
    plan->table_capacity = capacity;
    for (size_t i = 0; i < plan->kernel_count; i++)
        table[kernel_slot(plan, plan->kernels[i])] = (uint32_t)i + 1;
    return true;
}

/* number of an equal kernel, which takes this one over */
static krs_status
keep_kernel(krsi_plan *plan, krs_kernel *kernel, size_t *out, krs_error *err)
{
    if (!grow_kernels(plan)) {
        krs_kernel_free(kernel);
        return no_memory(err);
    }
    uint32_t *number = &plan->kernel_table[kernel_slot(plan, kernel)];
    if (*number) {
        krs_kernel_free(kernel);
    } else {
        plan->kernels[plan->kernel_count] = kernel;
        *number = (uint32_t)++plan->kernel_count;
    }
    *out = *number - 1;
    return KRS_OK;
}

static krs_status
add_launch(krsi_plan *plan, const krsi_lowering *l, size_t kernel,
           krs_error *err)
{
    size_t args = (size_t)l->args, bindings = (size_t)l->bindings;
    krsi_launch launch = {.kernel = kernel,
                          .node = l->cut->node,
                          .loop = -1,
                          .wave = l->cut->wave,
                          .args = l->args,
                          .bindings = l->bindings};
    launch.arg = krsi_arena_array(&plan->arena, args, sizeof *launch.arg);
    launch.binding =
        krsi_arena_array(&plan->arena, bindings, sizeof *launch.binding);
    krsi_string names = {0};
    krsi_cut_names(&plan->sched, l->cut, &names);
    if (names.text)
        launch.primitives = krsi_arena_copy_string(&plan->arena, names.text);
    krsi_string_free(&names);
    launch.work = krsi_cut_work(&plan->sched, l->cut);
    if (!launch.arg || !launch.binding || !launch.primitives ||
        !krsi_reserve(&plan->launches, &plan->launch_capacity,
                      plan->launch_count + 1, sizeof *plan->launches))
        return no_memory(err);
    memcpy(launch.arg, l->arg, args * sizeof *launch.arg);
    memcpy(launch.binding, l->binding, bindings * sizeof *launch.binding);
    memcpy(launch.grid, l->grid, sizeof launch.grid);
    plan->launches[plan->launch_count++] = launch;
    return KRS_OK;
}

/* Groups along an axis, at most. */
static int64_t
most_groups(const krs_graph *g, krsi_grid grid)
{
    int64_t low, high;
    if (!krsi_index_bounds(g, grid.extent, &low, &high))
        return INT64_MAX;
    return high / grid.per + (high % grid.per != 0);
}

/* A device that ends loops early would do so without a word. */
static krs_status
check_turns(const krs_graph *g, const krsi_lowering *l,
            const krs_kernel *kernel, krs_error *err)
{
    krsi_range args[KRSI_MAX_ARGS];
    int64_t grid[KRS_K_AXES], turns = 0, bound = l->facts->item_turns;
    if (bound == 0)
        return KRS_OK;
    for (int i = 0; i < l->args; i++)
        if (l->arg[i].is_float ||
            !krsi_index_bounds(g, l->arg[i].index, &args[i].low, &args[i].high))
            args[i] = (krsi_range){INT64_MIN, INT64_MAX};
    for (int a = 0; a < KRS_K_AXES; a++)
        grid[a] = most_groups(g, l->grid[a]);
    if (!krsi_kernel_turns(kernel, args, grid, &turns))
        return no_memory(err);
    if (turns > bound)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "its loops turn up to %lld times in one item, and the "
                        "device ends them after %lld; smaller sizes run",
                        (long long)turns, (long long)bound);
    return KRS_OK;
}

/* What the device has not, by its first buffer of that type. */
static krs_status
check_dtypes(const krs_kernel *kernel, uint32_t dtypes, krs_error *err)
{
    for (uint32_t i = 0; dtypes && i < kernel->buffer_count; i++) {
        const krs_kbuffer *buffer = &kernel->buffers[i];
        if (!(dtypes >> buffer->dtype & 1))
            return krs_fail(err, KRS_E_UNSUPPORTED,
                            "the device has no %s, which buffer %s holds; a "
                            "cast of the inputs to f32 runs",
                            krs_dtype_name((krs_dtype)buffer->dtype),
                            buffer->name);
    }
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
    l.kb = krsi_kb_new(krsi_cut_name(&plan->sched, cut));
    for (int a = 0; a < KRS_K_AXES; a++)
        l.grid[a] = (krsi_grid){KRS_INDEX(1), 1};
    families[cut->family](&l);
    krs_error reason;
    krs_status status = krsi_kb_finish(l.kb, &kernel, &reason);
    if (status == KRS_OK) {
        status = check_turns(g, &l, kernel, &reason);
        if (status == KRS_OK)
            status = check_dtypes(kernel, facts->dtypes, &reason);
        if (status != KRS_OK)
            krs_kernel_free(kernel);
    }
    if (status != KRS_OK)
        return krs_fail(err, status, "%s%s%s: cannot be lowered: %s (%s:%u)",
                        g->string[n->scope], n->scope ? ": " : "",
                        krsi_ops[n->op].name, reason.text, g->string[n->file],
                        (unsigned)n->line);
    KRS_TRY(keep_kernel(plan, kernel, &number, err));
    return add_launch(plan, &l, number, err);
}

/* A loop has no kernel, but a place among the launches. */
static krs_status
add_loop(krsi_plan *plan, const krsi_cut *cut, krs_error *err)
{
    if (!krsi_reserve(&plan->launches, &plan->launch_capacity,
                      plan->launch_count + 1, sizeof *plan->launches))
        return no_memory(err);
    plan->launches[plan->launch_count++] = (krsi_launch){.kernel = SIZE_MAX,
                                                         .node = cut->node,
                                                         .primitives = "scan",
                                                         .loop = cut->loop,
                                                         .wave = cut->wave};
    return KRS_OK;
}

/* Stable: launches of a wave stay in the order of their cuts. */
static krs_status
sort_by_wave(krsi_plan *plan, krs_error *err)
{
    size_t waves = (size_t)plan->layout.waves;
    size_t *next = calloc(waves + 2, sizeof *next);
    krsi_launch *sorted = calloc(plan->launch_count + 1, sizeof *sorted);
    if (!next || !sorted) {
        free(next);
        free(sorted);
        return no_memory(err);
    }
    for (size_t i = 0; i < plan->launch_count; i++)
        next[plan->launches[i].wave + 1]++;
    for (size_t w = 0; w < waves; w++)
        next[w + 1] += next[w];
    for (size_t i = 0; i < plan->launch_count; i++)
        sorted[next[plan->launches[i].wave]++] = plan->launches[i];
    free(next);
    free(plan->launches);
    plan->launches = sorted;
    plan->launch_capacity = plan->launch_count + 1;
    return KRS_OK;
}

/* Waves and places. */
static krs_status
lay_out(krsi_plan *plan, krsi_sharing sharing, const krsi_facts *facts,
        uint32_t *step_of, krs_error *err)
{
    krsi_layout *l = &plan->layout;
    l->tail_bytes = facts->tail_bytes;
    if (!krsi_layout_steps(l, &plan->sched, step_of) ||
        !krsi_layout_make(l, sharing))
        return krs_fail(err, KRS_E_MEMORY,
                        "out of memory while planning, or the temporaries of "
                        "the program need more than %zu bytes",
                        SIZE_MAX / 2);
#ifdef KERSEY_CHECKS
    KRS_TRY(krsi_layout_verify(l, err));
#endif
    for (size_t i = 0; i < plan->sched.cut_count; i++)
        if (step_of[i] != KRSI_NO_STEP)
            plan->sched.cuts[i]->wave = l->steps[step_of[i]].wave;
    return KRS_OK;
}

static krs_status
lower_all(krsi_plan *plan, const uint32_t *step_of, const krsi_facts *facts,
          krs_error *err)
{
    for (size_t i = 0; i < plan->sched.cut_count; i++) {
        krsi_cut *cut = plan->sched.cuts[i];
        if (step_of[i] == KRSI_NO_STEP || plan->layout.steps[step_of[i]].gone)
            continue;
        if (cut->family == KRSI_CUT_LOOP)
            KRS_TRY(add_loop(plan, cut, err));
        else
            KRS_TRY(lower_cut(plan, cut, facts, err));
    }
    return sort_by_wave(plan, err);
}

krs_status
krsi_plan_schedule(krsi_plan *plan, const krs_graph *g, const krs_node *outputs,
                   size_t count, const krsi_facts *facts, krsi_sharing sharing,
                   uint64_t align_bytes, krs_error *err)
{
    *plan = (krsi_plan){0};
    krsi_planning planning = {plan, facts, sharing};
    const krsi_loop_planner planner = {krsi_plan_loop_body, &planning,
                                       align_bytes};
    krs_status status =
        krsi_sched_make(&plan->sched, g, outputs, count, &planner, err);
    if (status == KRS_OK && facts->fuses)
        status = krsi_sched_fuse(&plan->sched, facts->bindings, err);
    if (status == KRS_OK && facts->fuses && facts->items_are_lanes &&
        !facts->group_items)
        status = krsi_sched_pack(&plan->sched, err);
    if (status != KRS_OK)
        krsi_plan_free(plan);
    return status;
}

krs_status
krsi_plan_finish(krsi_plan *plan, const krsi_facts *facts, krsi_sharing sharing,
                 krs_error *err)
{
    uint32_t *step_of = calloc(plan->sched.cut_count + 1, sizeof *step_of);
    krs_status status =
        step_of ? lay_out(plan, sharing, facts, step_of, err) : no_memory(err);
    if (status == KRS_OK)
        status = lower_all(plan, step_of, facts, err);
    free(step_of);
    if (status != KRS_OK)
        krsi_plan_free(plan);
    return status;
}

krs_status
krsi_plan_make(krsi_plan *plan, const krs_graph *g, const krs_node *outputs,
               size_t count, const krsi_facts *facts, krsi_sharing sharing,
               krs_error *err)
{
    KRS_TRY(
        krsi_plan_schedule(plan, g, outputs, count, facts, sharing, 1, err));
    return krsi_plan_finish(plan, facts, sharing, err);
}

void
krsi_plan_free(krsi_plan *plan)
{
    for (size_t i = 0; i < plan->kernel_count; i++)
        krs_kernel_free(plan->kernels[i]);
    free(plan->kernels);
    free(plan->kernel_table);
    free(plan->launches);
    krsi_plan_loops_free(plan);
    krsi_arena_free(&plan->arena);
    krsi_layout_free(&plan->layout);
    krsi_sched_free(&plan->sched);
    *plan = (krsi_plan){0};
}
