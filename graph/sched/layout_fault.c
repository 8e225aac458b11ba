/* layout_fault.c -- which steps may report a fault that none before them has.
 *
 * In: cuts and their steps. Out: krsi_step.faults, set where an index may be
 * found outside its axis for the first time. Fusion computes a gather in
 * several kernels, and a gradient scatters by the index that the forward pass
 * gathers by. Once one step has looked at every element of an index under the
 * same bound, no other can find anything: only that one step must come before
 * states are written.
 */
#include "layout.h"

#include <stdlib.h>

typedef struct guard {
    uint32_t same_as; /* fault number of the first with this index and bound */
    uint32_t step;    /* that looks at all of the index; KRSI_NO_STEP */
} guard;

typedef struct guards {
    const krsi_sched *s;
    guard *of;       /* by fault number */
    uint32_t *first; /* by node: a fault number with this index, plus 1 */
} guards;

/* The size of the axis that the fault's node indexes (see check_faults). */
static krs_index
bound_of(const krs_graph *g, const krsi_node *n)
{
    const krsi_node *x = g->node[n->in[0]];
    int64_t axis = krsi_int(n, 0);
    return x->live_axes >> axis & 1 ? x->live[axis] : KRS_INDEX(x->dim[axis]);
}

static void
find_same(guards *t)
{
    const krs_graph *g = t->s->graph;
    for (uint32_t f = 0; f < t->s->fault_count; f++) {
        const krsi_node *n = g->node[t->s->faults[f]];
        uint32_t *first = &t->first[n->in[1]];
        t->of[f] = (guard){f, KRSI_NO_STEP};
        if (!*first)
            *first = f + 1;
        else if (krs_index_equal(
                     bound_of(g, n),
                     bound_of(g, g->node[t->s->faults[*first - 1]])))
            t->of[f].same_as = *first - 1;
    }
}

/* Axes of the cut along which the expr varies: bit a. All of them if that is
 * not known, so that it never seems to be seen whole. */
static unsigned
axes_of(const krsi_cut *c, int expr)
{
    unsigned varies[KRSI_CUT_EXPRS];
    for (int i = 0; i <= expr; i++) {
        const krsi_expr *e = &c->expr[i];
        varies[i] = 0;
        for (int k = 0; k < krsi_expr_operands(e); k++)
            varies[i] |= varies[e->in[k]];
        if (e->kind != KRSI_X_LOAD && e->kind != KRSI_X_POSITION)
            continue;
        const krsi_load *load = &c->load[e->load];
        for (int a = 0; a < c->rank; a++)
            varies[i] |= (unsigned)(load->view.stride[a] != 0) << a;
        if (load->indirect >= 0)
            varies[i] |= varies[load->indirect];
    }
    return varies[expr];
}

/* Does the cut compute the index at every element? These differ in the axes
 * along which it varies, so it is enough to count them. */
static bool
sees_all(const guards *t, const krsi_cut *c, int index, uint32_t fault)
{
    const krs_graph *g = t->s->graph;
    const krsi_node *n = g->node[g->node[t->s->faults[fault]]->in[1]];
    bool is_plain = /* every point is computed */
        c->family != KRSI_CUT_CONTRACT && c->family != KRSI_CUT_ATTENTION;
    unsigned axes = axes_of(c, index);
    int64_t seen = 1;
    for (int a = 0; a < c->rank; a++) {
        is_plain &= c->extent[a].terms == 0 && c->max[a] > 0;
        if (axes >> a & 1)
            seen *= c->max[a];
    }
    return is_plain && seen == krsi_elements(n);
}

/* Call for each fault of the cut; `index` is the expr that may be outside. */
typedef void each_fault(guards *t, krsi_layout *l, const krsi_cut *c,
                        uint32_t step, int index, int fault);

static void
for_faults(guards *t, krsi_layout *l, const uint32_t *step_of, each_fault *call)
{
    for (size_t i = 0; i < t->s->cut_count; i++) {
        const krsi_cut *c = t->s->cuts[i];
        if (step_of[i] == KRSI_NO_STEP)
            continue;
        for (int k = 0; k < c->loads; k++)
            if (c->load[k].fault >= 0)
                call(t, l, c, step_of[i], c->load[k].indirect,
                     c->load[k].fault);
        for (int k = 0; k < c->outs; k++)
            if (c->out[k].fault >= 0)
                call(t, l, c, step_of[i], c->out[k].indirect, c->out[k].fault);
    }
}

static void
appoint(guards *t, krsi_layout *l, const krsi_cut *c, uint32_t step, int index,
        int fault)
{
    (void)l;
    guard *at = &t->of[t->of[fault].same_as];
    if (at->step == KRSI_NO_STEP && sees_all(t, c, index, (uint32_t)fault))
        at->step = step;
}

static void
mark(guards *t, krsi_layout *l, const krsi_cut *c, uint32_t step, int index,
     int fault)
{
    (void)c;
    (void)index;
    uint32_t guarded_by = t->of[t->of[fault].same_as].step;
    l->steps[step].faults |= guarded_by == KRSI_NO_STEP || guarded_by == step;
}

bool
krsi_layout_faults(krsi_layout *l, const krsi_sched *s, const uint32_t *step_of)
{
    guards t = {.s = s,
                .of = calloc(s->fault_count + 1, sizeof *t.of),
                .first = calloc(s->graph->nodes + 1, sizeof *t.first)};
    bool ok = t.of && t.first;
    if (ok) {
        find_same(&t);
        for_faults(&t, l, step_of, appoint);
        for_faults(&t, l, step_of, mark);
    }
    free(t.of);
    free(t.first);
    return ok;
}
