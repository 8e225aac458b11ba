/* blame.c -- which kernel is wrong, and with how little it still is.
 *
 * In: a node that is wrong by the judgement of probe.c, or an output that has
 * other bits in the whole program than as an output of its own. Out: whether
 * the node is wrong by itself, or only when a kernel computes more; that kernel;
 * the nodes that can become inputs with the fault still there.
 *
 * Method: nodes before the target, in order, are cut: they become inputs that
 * hold what the device gave for them, so no kernel can compute them. With none
 * cut the target is wrong. If it still is with all of them cut, it is wrong by
 * itself. Else bisection finds a number of them with which it is wrong, and
 * with one more right: the kernel that is there with the former and not with the
 * latter is the one to look at (the idea of delta debugging, Zeller 1999, on a
 * line instead of a set).
 */
#include "check_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nodes nearest before the target that may be cut: kernels do not reach
 * further. */
enum { NEAREST = 64 };

krs_status
krsi_check_run(krs_device *device, const krs_graph *g, const krsi_trial *trial,
               const uint32_t *roots, size_t count, krs_store **store,
               krs_program **out, krs_error *err)
{
    krs_node *nodes = calloc(count, sizeof *nodes);
    *store = NULL;
    *out = NULL;
    if (!nodes)
        return krsi_check_memory(err);
    for (size_t i = 0; i < count; i++)
        nodes[i] = krsi_handle(g, roots[i]);
    krs_status status = krs_store_new(device, store, err);
    if (status == KRS_OK)
        status = krs_program_new(*store, nodes, count, out, err);
    if (status == KRS_OK)
        status = krsi_trial_give(trial, *out, *store, err);
    if (status == KRS_OK)
        status = krs_program_run(*out, err);
    free(nodes);
    return status;
}

/* ---- one try ---- */

/* The target with the first `cuts` nodes cut, run on the device. */
struct attempt {
    krs_graph *graph;
    krs_store *store;
    krs_program *program;
    krsi_trial trial;
    bool is_right;
};

static void
end_attempt(struct attempt *a)
{
    krs_program_free(a->program);
    krs_store_free(a->store);
    krsi_trial_free(&a->trial);
    krs_graph_free(a->graph);
}

size_t
krsi_blame_roots(const krsi_checking *c, const krsi_blame *b, size_t cuts,
                 uint32_t *roots)
{
    size_t count = 0;
    roots[count++] = b->target;
    for (size_t i = cuts; c->bad && i < b->count; i++)
        roots[count++] = b->node[i];
    return count;
}

/* Values for the leaves of the graph that was cut. */
static krs_status
make_trial(const krsi_checking *c, const uint32_t *copied, size_t count,
           const uint32_t *made, struct attempt *a, krs_error *err)
{
    size_t room = c->trial.leaves + c->g->nodes + 1;
    krs_check_data data = {.struct_size = sizeof data};
    krs_check_value *value = calloc(room, sizeof *value);
    krs_check_var *var = calloc(c->g->vars + 1, sizeof *var);
    if (!value || !var) {
        free(value);
        free(var);
        return krsi_check_memory(err);
    }
    for (uint32_t id = 1; id <= c->g->nodes; id++)
        if (made[id])
            value[data.value_count++] = (krs_check_value){
                krs_node_name(krsi_handle(a->graph, made[id])), c->value[id]};
    for (size_t i = 0; i < c->trial.leaves; i++)
        for (size_t k = 0; k < a->graph->leaves; k++)
            if (!strcmp(krs_node_name(krsi_handle(a->graph, a->graph->leaf[k])),
                        c->trial.leaf[i].name))
                value[data.value_count++] = (krs_check_value){
                    c->trial.leaf[i].name, c->trial.leaf[i].view};
    for (size_t i = 0; i < a->graph->vars; i++)
        var[data.var_count++] =
            (krs_check_var){c->g->string[c->g->var[i].name], c->trial.var[i]};
    data.values = value;
    data.vars = var;
    krs_status status =
        krsi_trial_make(a->graph, copied, count, &data, &a->trial, err);
    free(value);
    free(var);
    return status;
}

static void
take_verdict(void *user, const krsi_judged *judged)
{
    *(bool *)user = judged->failing == 0;
}

/* Is the target right, given what the run gave for the roots? */
static krs_status
decide(const krsi_checking *c, const uint32_t *roots, size_t count,
       struct attempt *a, krs_error *err)
{
    size_t room = c->g->nodes + 1;
    krs_view *value = malloc(room * sizeof *value);
    bool *asked = calloc(room, sizeof *asked);
    krs_view *own = calloc(count, sizeof *own);
    krs_status status = value && asked && own ? KRS_OK : krsi_check_memory(err);
    if (status == KRS_OK)
        memcpy(value, c->value, room * sizeof *value);
    for (size_t i = 0; i < count && status == KRS_OK; i++) {
        status = krs_program_output(a->program, i, &own[i].dtype, &own[i].shape,
                                    err);
        if (status == KRS_OK && !krsi_view_room(&own[i]))
            status = krsi_check_memory(err);
        if (status == KRS_OK)
            status =
                krs_program_read(a->program, i, (void *)(uintptr_t)own[i].data,
                                 own[i].bytes, err);
        if (status == KRS_OK)
            value[roots[i]] = own[i];
    }
    if (status == KRS_OK && c->bad) {
        asked[roots[0]] = true;
        status = krsi_judge_alone(c->eval, c->g, asked, value, c->trial.var,
                                  take_verdict, &a->is_right, err);
    } else if (status == KRS_OK) {
        a->is_right = true;
        for (int64_t i = 0; a->is_right && i < krsi_view_elements(&own[0]); i++)
            a->is_right = krsi_view_same(&own[0], &c->good, i);
    }
    for (size_t i = 0; own && i < count; i++)
        krsi_view_free(&own[i]);
    free(value);
    free(asked);
    free(own);
    return status;
}

/* end_attempt after it, whatever it gave */
static krs_status
attempt(const krsi_checking *c, const krsi_blame *b, size_t cuts,
        struct attempt *a, krs_error *err)
{
    size_t room = b->count + 1;
    uint32_t *roots = calloc(2 * room, sizeof *roots);
    uint32_t *made = calloc(c->g->nodes + 1, sizeof *made);
    *a = (struct attempt){.graph = NULL};
    krs_status status = roots && made ? KRS_OK : krsi_check_memory(err);
    size_t count = 0;
    if (status == KRS_OK) {
        count = krsi_blame_roots(c, b, cuts, roots);
        status = krsi_check_cut(c, roots, count, b->node, cuts, made, &a->graph,
                                roots + room, err);
    }
    if (status == KRS_OK)
        status = make_trial(c, roots + room, count, made, a, err);
    if (status == KRS_OK)
        status = krsi_check_run(c->device, a->graph, &a->trial, roots + room,
                                count, &a->store, &a->program, err);
    if (status == KRS_OK)
        status = decide(c, roots, count, a, err);
    free(roots);
    free(made);
    return status;
}

static krs_status
is_right_with(const krsi_checking *c, const krsi_blame *b, size_t cuts,
              bool *out, krs_error *err)
{
    struct attempt a;
    krs_status status = attempt(c, b, cuts, &a, err);
    *out = a.is_right;
    end_attempt(&a);
    return status;
}

/* ---- kernels ---- */

static bool
same_launch(const krs_launch_info *a, const krs_launch_info *b)
{
    return a->line == b->line && !strcmp(a->primitives, b->primitives) &&
           !strcmp(a->op, b->op) && !strcmp(a->scope, b->scope);
}

/* the first launch of `wrong` that `right` (NULL: none) has not */
static void
name_kernel(krsi_checking *c, const krs_program *wrong,
            const krs_program *right)
{
    krs_launch_info a = {.struct_size = sizeof a},
                    b = {.struct_size = sizeof b};
    for (size_t i = 0; krs_program_launch(wrong, i, &a, NULL) == KRS_OK; i++) {
        bool found = false;
        for (size_t k = 0; !found && right &&
                           krs_program_launch(right, k, &b, NULL) == KRS_OK;
             k++)
            found = same_launch(&a, &b);
        if (found)
            continue;
        snprintf(c->result->kernel, sizeof c->result->kernel,
                 "kernel %zu (%.120s) for %s%s%.60s", a.kernel, a.primitives,
                 a.op, *a.scope ? " in " : "", a.scope);
        return;
    }
}

/* The kernel of the wrong side, against that of the right one. */
static krs_status
name_by_sides(krsi_checking *c, const krsi_blame *b, bool has_right,
              krs_error *err)
{
    struct attempt wrong, right = {.graph = NULL};
    krs_status status = attempt(c, b, b->cuts, &wrong, err);
    if (status == KRS_OK && has_right)
        status = attempt(c, b, b->cuts + 1, &right, err);
    if (status == KRS_OK)
        name_kernel(c, wrong.program, has_right ? right.program : NULL);
    end_attempt(&wrong);
    end_attempt(&right);
    return status;
}

/* ---- candidates ---- */

/* Values of the nodes, where the probe did not keep them. */
static krs_status
read_values(krsi_checking *c, const krsi_blame *b, krs_error *err)
{
    krs_store *store;
    krs_program *program;
    if (c->bad || b->count == 0)
        return KRS_OK;
    krs_status status = krsi_check_run(c->device, c->g, &c->trial, b->node,
                                       b->count, &store, &program, err);
    for (size_t i = 0; i < b->count && status == KRS_OK; i++) {
        krs_view v = {.data = NULL};
        status = krs_program_output(program, i, &v.dtype, &v.shape, err);
        if (status == KRS_OK && !krsi_view_room(&v))
            status = krsi_check_memory(err);
        c->value[b->node[i]] = v;
        c->owned[b->node[i]] = v.data != NULL;
        if (status == KRS_OK)
            status = krs_program_read(program, i, (void *)(uintptr_t)v.data,
                                      v.bytes, err);
    }
    krs_program_free(program);
    krs_store_free(store);
    return status;
}

static krs_status
find_nodes(const krsi_checking *c, krsi_blame *b, krs_error *err)
{
    uint32_t *need = calloc(c->g->nodes + 1, sizeof *need);
    b->node = calloc(c->g->nodes + 1, sizeof *b->node);
    if (!need || !b->node) {
        free(need);
        return krsi_check_memory(err);
    }
    krsi_mark(c->g, &b->target, 1, need);
    for (uint32_t id = 1; id < b->target; id++)
        if (need[id] && krsi_check_is_value(c->g, id) &&
            (!c->bad || c->value[id].data))
            b->node[b->count++] = id;
    free(need);
    size_t more = b->count > NEAREST ? b->count - NEAREST : 0;
    memmove(b->node, b->node + more, (b->count - more) * sizeof *b->node);
    b->count -= more;
    return KRS_OK;
}

krs_status
krsi_check_blame(krsi_checking *c, krsi_blame *b, krs_error *err)
{
    bool right = false, all_right = false;
    *b = (krsi_blame){.target = c->bad ? c->bad : c->root[c->odd]};
    KRS_TRY(find_nodes(c, b, err));
    KRS_TRY(read_values(c, b, err));
    KRS_TRY(is_right_with(c, b, b->count, &all_right, err));
    if (!all_right) { /* by itself */
        b->cuts = b->count;
        b->cause = KRS_CAUSE_NODE;
        return name_by_sides(c, b, false, err);
    }
    b->cause = KRS_CAUSE_FUSION;
    KRS_TRY(is_right_with(c, b, 0, &right, err));
    if (right) /* only in the whole program */
        return KRS_OK;
    size_t low = 0, high = b->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        KRS_TRY(is_right_with(c, b, middle, &right, err));
        if (right)
            high = middle;
        else
            low = middle;
    }
    b->is_cut = true;
    b->cuts = low;
    b->cure = b->node[low];
    return name_by_sides(c, b, true, err);
}
