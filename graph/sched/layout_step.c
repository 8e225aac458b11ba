/* layout_step.c -- what the memory planner must know of a cut.
 *
 * In: cuts. Out: steps (layout.h). This is the one place that says when a
 * kernel may write where it reads: if the address of a load is that of the out
 * at every point, and nothing is loaded from there any more once that out is
 * stored. What the lowering (../kernel/lower*.c) promises for that:
 *
 *   - a point, in rows a row, in contract a tile, is one item's
 *   - outs are stored in ascending order at each point; what an expression
 *     loaded at a point is not loaded there again
 *   - rows: all reductions are made before the first store; outs that hold for
 *     a row are stored before those that vary along it are computed; but what an
 *     out has in scratch it does not load, so a later one may load it first
 *   - prefix: each element is loaded, then replaced
 *   - contract: A and B are read while C is written, by many items; what else
 *     is loaded is loaded when the sum at that point is done, once
 *   - scatter writes elsewhere than it reads
 *
 * All loads of a value must agree. One that an index moves may only in rows, and
 * there within its row, by outs along it, if nothing that varies along the row
 * needs it: then it is made before the first of these is stored.
 */
#include "layout.h"

#include <string.h>

enum { NEVER = KRSI_CUT_OUTS };

/* How a load is used. */
typedef struct usage {
    int first_out;  /* that needs it, not through a reduction; NEVER */
    int last_out;   /* the same; -1 */
    bool by_points; /* an out that varies along the row does so */
    bool is_in_product;
} usage;

/* Mark what the expr (-1: none) is made of, but for what is below a
 * reduction. */
static void
mark_direct(const krsi_cut *c, int root, bool needed[KRSI_CUT_EXPRS])
{
    memset(needed, 0, KRSI_CUT_EXPRS * sizeof *needed);
    if (root >= 0)
        needed[root] = true;
    for (int i = root; i >= 0; i--) {
        const krsi_expr *e = &c->expr[i];
        if (!needed[i] || e->kind == KRSI_X_REDUCE || e->kind == KRSI_X_PRODUCT)
            continue;
        for (int k = 0; k < krsi_expr_operands(e); k++)
            needed[e->in[k]] = true;
        if (e->kind == KRSI_X_LOAD && c->load[e->load].indirect >= 0)
            needed[c->load[e->load].indirect] = true;
    }
}

static bool
varies_along_row(const krsi_cut *c, const krsi_view *v)
{
    return c->rank > 0 && v->stride[c->rank - 1] != 0;
}

static void
find_usage(const krsi_cut *c, usage use[KRSI_CUT_LOADS])
{
    bool needed[KRSI_CUT_EXPRS];
    for (int i = 0; i < c->loads; i++)
        use[i] = (usage){.first_out = NEVER, .last_out = -1};
    for (int i = 0; i < c->exprs; i++) {
        if (c->expr[i].kind != KRSI_X_PRODUCT)
            continue;
        for (int k = 0; k < 2; k++) {
            mark_direct(c, c->expr[i].in[k], needed);
            for (int j = 0; j < c->exprs; j++)
                if (needed[j] && c->expr[j].kind == KRSI_X_LOAD)
                    use[c->expr[j].load].is_in_product = true;
        }
    }
    for (int o = 0; o < c->outs; o++)
        for (int part = 0; part < 2; part++) {
            mark_direct(c, part ? c->out[o].indirect : c->out[o].root, needed);
            for (int j = 0; j < c->exprs; j++) {
                if (!needed[j] || c->expr[j].kind != KRSI_X_LOAD)
                    continue;
                usage *u = &use[c->expr[j].load];
                u->first_out = o < u->first_out ? o : u->first_out;
                u->last_out = o > u->last_out ? o : u->last_out;
                u->by_points |= varies_along_row(c, &c->out[o].view);
            }
        }
}

static bool
same_address(const krsi_storage *values, const krsi_view *a, const krsi_view *b)
{
    size_t of_a, of_b;
    return krs_dtype_bytes(values[a->value].dtype, 1, &of_a) &&
           krs_dtype_bytes(values[b->value].dtype, 1, &of_b) && of_a == of_b &&
           a->rank == b->rank && krs_index_equal(a->offset, b->offset) &&
           memcmp(a->stride, b->stride, (size_t)a->rank * sizeof *a->stride) ==
               0;
}

/* Is what the index moves in, from its beginning, the row of the out? */
static bool
moves_in_row(const krsi_storage *values, const krsi_cut *c, const krsi_load *x,
             const krsi_view *y)
{
    int row = c->rank - 1;
    krsi_view all = x->view;
    if (c->family != KRSI_CUT_ROWS || row < 0 || all.stride[row] != 0 ||
        x->indirect_stride != 1 || y->stride[row] != 1 ||
        !krs_index_equal(x->indirect_bound, c->extent[row]))
        return false;
    all.stride[row] = 1;
    return same_address(values, &all, y);
}

static bool
may_replace(const krsi_storage *values, const krsi_cut *c, int load, int out,
            const usage *u)
{
    const krsi_load *x = &c->load[load];
    const krsi_view *y = &c->out[out].view;
    if (c->out[out].indirect >= 0 || u->is_in_product)
        return false;
    if (x->indirect >= 0)
        return !u->by_points && moves_in_row(values, c, x, y);
    if (!same_address(values, &x->view, y))
        return false;
    bool comes_first = u->first_out <= out || u->first_out == NEVER;
    switch (c->family) {
    case KRSI_CUT_MAP:
    case KRSI_CUT_PREFIX:
    case KRSI_CUT_CONTRACT: return comes_first;
    case KRSI_CUT_ROWS:
        return varies_along_row(c, y) ? !u->by_points || u->last_out <= out
                                      : !u->by_points && u->last_out <= out;
    case KRSI_CUT_SCATTER:
    case KRSI_CUT_LOOP:
    case KRSI_CUT_ATTENTION: /* rows of q are read again for more keys */
    case KRSI_CUT_FAMILIES: break;
    }
    return false;
}

/* A plain copy of all of a value; of a bool it also makes every byte 0 or 1. */
static bool
is_copy(const krsi_cut *c, const krsi_step *s)
{
    const krsi_expr *root = &c->expr[c->out[0].root];
    return c->family == KRSI_CUT_MAP && c->outs == 1 && s->reads == 1 &&
           root->kind == KRSI_X_LOAD && root->dtype != KRS_BOOL &&
           s->read[0].same == 1;
}

static void
add_read(krsi_step *s, krsi_read read)
{
    uint32_t k = 0;
    while (k < s->reads && s->read[k].value != read.value)
        k++;
    if (k < s->reads)
        s->read[k].same &= read.same;
    else
        s->read[s->reads++] = read;
}

/* A loop reads and writes as it likes: nothing of what it reads is replaced,
 * but for carries in place, which are outs alone. */
static bool
add_loop(krsi_layout *l, const krsi_cut *c, bool faults)
{
    krsi_step *s = &l->steps[l->step_count];
    *s = (krsi_step){.node = c->node, .after = c->after, .faults = faults};
    s->read = krsi_arena_array(&l->arena, (size_t)c->loads, sizeof *s->read);
    s->write = krsi_arena_array(&l->arena, (size_t)c->outs, sizeof *s->write);
    if (!s->read || !s->write)
        return false;
    for (int o = 0; o < c->outs; o++)
        s->write[s->writes++] = c->out[o].view.value;
    for (int i = 0; i < c->loads; i++)
        add_read(s, (krsi_read){c->load[i].view.value, 0});
    l->step_count++;
    return true;
}

static bool
add_step(krsi_layout *l, const krsi_cut *c)
{
    krsi_step *s = &l->steps[l->step_count];
    usage use[KRSI_CUT_LOADS];
    *s = (krsi_step){.node = c->node, .after = c->after};
    s->read = krsi_arena_array(&l->arena, (size_t)c->loads, sizeof *s->read);
    s->write = krsi_arena_array(&l->arena, (size_t)c->outs, sizeof *s->write);
    if (!s->read || !s->write)
        return false;
    for (int o = 0; o < c->outs; o++)
        s->write[s->writes++] = c->out[o].view.value;
    find_usage(c, use);
    for (int i = 0; i < c->loads; i++) {
        krsi_read read = {c->load[i].view.value, 0};
        if (read.value == KRSI_NO_VALUE)
            continue;
        for (int o = 0; o < c->outs; o++)
            if (may_replace(l->values, c, i, o, &use[i]))
                read.same |= 1U << o;
        add_read(s, read);
    }
    s->copies = is_copy(c, s);
    l->step_count++;
    return true;
}

bool
krsi_layout_steps(krsi_layout *l, const krsi_sched *s, uint32_t *step_of)
{
    l->values = s->values;
    l->value_count = s->value_count;
    l->steps = krsi_arena_array(&l->arena, s->cut_count + 1, sizeof *l->steps);
    bool ok = l->steps != NULL;
    for (size_t i = 0; ok && i < s->cut_count; i++) {
        step_of[i] = KRSI_NO_STEP;
        if (krsi_cut_is_empty(s->cuts[i]))
            continue;
        step_of[i] = (uint32_t)l->step_count;
        const krsi_cut *c = s->cuts[i];
        ok = c->family == KRSI_CUT_LOOP
                 ? add_loop(l, c, s->loops[c->loop].faults)
                 : add_step(l, c);
    }
    return ok && krsi_layout_faults(l, s, step_of);
}
