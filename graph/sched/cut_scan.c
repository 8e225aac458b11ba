/* cut_scan.c -- scheduling of scans.
 *
 * A scan is one cut of the family loop: what its body does is a plan of its
 * own (krsi_loop_planner), which the program runs once an iteration. Here it is
 * decided which values it touches: operands and results are whole values, so
 * that what an iteration sees of them is a stretch of memory. Fusion never
 * crosses the loop.
 *
 * In the graph of a body the params are leaves: what is read is an input, a
 * carry a state, and the iteration a runtime integer, one past those of the
 * graph.
 */
#include "cut_make.h"

#include <string.h>

void
krsi_cut_param(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    switch ((krsi_param_kind)krsi_int(n, 0)) {
    case KRSI_PARAM_ITERATION: {
        krs_index t = {0, 1, {(int32_t)m->g->vars}, {1}};
        krsi_maker_source(m, id, t, -1);
        return;
    }
    case KRSI_PARAM_CARRY: krsi_maker_leaf(m, id, KRSI_STORAGE_STATE); return;
    case KRSI_PARAM_CONSTANT:
    case KRSI_PARAM_X: krsi_maker_leaf(m, id, KRSI_STORAGE_INPUT); return;
    }
}

/* An x of a body moves with the iteration. */
static bool
is_x(const krsi_maker *m, uint32_t value)
{
    const krsi_node *n = maker_node(m, m->s->values[value].node);
    return n->op == KRSI_PARAM && krsi_int(n, 0) == KRSI_PARAM_X;
}

/* the operand as a whole value: its own, or a copy */
static uint32_t
whole_value(krsi_maker *m, uint32_t id)
{
    krsi_view v = krsi_maker_loadable(m, id);
    const krsi_node *n = maker_node(m, id);
    if (m->failed)
        return KRSI_NO_VALUE;
    krsi_view made = krsi_view_whole(v.value, n);
    if (krsi_view_is_whole(&v) &&
        m->s->values[v.value].bytes == krsi_maker_bytes(m, id) &&
        !(is_x(m, v.value) && maker_moves_badly(m, v.value)))
        return v.value;
    made.value = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, id);
    if (!m->failed)
        krsi_maker_copy(m, id, id, &made, false);
    return made.value;
}

static uint32_t *
no_values(krsi_maker *m, size_t count)
{
    uint32_t *value = krsi_arena_array(&m->s->arena, count + 1, sizeof *value);
    m->failed |= value == NULL;
    for (size_t i = 0; value && i < count; i++)
        value[i] = KRSI_NO_VALUE;
    return value;
}

/* A loop that knows what is asked of it. */
static void
begin(krsi_maker *m, uint32_t id, krsi_sched_loop *l)
{
    krsi_arena *arena = &m->s->arena;
    *l = (krsi_sched_loop){.node = id,
                           .loop = krsi_loop_of(m->g, maker_node(m, id)),
                           .workspace = KRSI_NO_VALUE};
    uint32_t results = l->loop.body->results, carries = l->loop.carries;
    l->asked = krsi_arena_array(arena, results, sizeof *l->asked);
    l->past = krsi_arena_array(arena, carries + 1, sizeof *l->past);
    l->in_place = krsi_arena_array(arena, carries + 1, sizeof *l->in_place);
    bool *room =
        krsi_arena_array(arena, l->loop.body->graph->nodes + 1, sizeof *room);
    l->operand = no_values(m, maker_node(m, id)->count);
    l->last = no_values(m, carries);
    l->spare = no_values(m, carries);
    l->kept = no_values(m, results);
    l->history = no_values(m, carries);
    if (m->failed || !l->asked || !l->past || !l->in_place || !room) {
        m->failed = true;
        return;
    }
    for (size_t i = 0; i < m->result_count; i++) {
        const krsi_node *r = maker_node(m, m->results[i]);
        uint32_t index = (uint32_t)krsi_int(r, 0);
        if (r->in[0] != id)
            continue;
        l->asked[index < results ? index : index - results] = true;
        if (index >= results)
            l->past[index - results] = true;
    }
    krsi_loop_needs(&l->loop, l->asked, room);
    if (m->planner)
        m->status = m->planner->plan(m->planner->context, l, m->err);
    m->failed |= m->status != KRS_OK;
}

/* Values for what goes in. */
static void
make_operands(krsi_maker *m, krsi_sched_loop *l)
{
    const krsi_node *n = maker_node(m, l->node);
    const krsi_loop *loop = &l->loop;
    for (uint32_t i = 0; i < n->count && !m->failed; i++) {
        bool is_constant = i < loop->constants;
        uint32_t carry = i - loop->constants; /* large: none */
        krsi_param_kind kind = is_constant ? KRSI_PARAM_CONSTANT : KRSI_PARAM_X;
        uint32_t index = is_constant ? i : carry - loop->carries;
        if (!is_constant && carry < loop->carries) {
            if (l->asked[carry] && !l->in_place[carry])
                l->operand[i] = whole_value(m, n->in[i]);
        } else if (krsi_body_param(loop->body, kind, index)) {
            l->operand[i] = whole_value(m, n->in[i]);
        }
    }
}

/* Values for the carries; one in place begins with a copy of the first. */
static void
make_carries(krsi_maker *m, krsi_sched_loop *l)
{
    const krsi_node *n = maker_node(m, l->node);
    for (uint32_t i = 0; i < l->loop.carries && !m->failed; i++) {
        uint32_t first = n->in[l->loop.constants + i];
        if (!l->asked[i])
            continue;
        l->last[i] = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, first);
        if (l->in_place[i]) {
            krsi_view all = krsi_view_whole(l->last[i], maker_node(m, first));
            if (!m->failed)
                krsi_maker_copy(m, first, first, &all, false);
        } else if (l->loop.length > 1) {
            l->spare[i] = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, first);
        }
    }
}

/* Values for what is kept, and the views of the result nodes. */
static void
make_results(krsi_maker *m, krsi_sched_loop *l)
{
    uint32_t results = l->loop.body->results;
    for (size_t i = 0; i < m->result_count && !m->failed; i++) {
        uint32_t id = m->results[i];
        const krsi_node *r = maker_node(m, id);
        uint32_t index = (uint32_t)krsi_int(r, 0);
        if (r->in[0] != l->node)
            continue;
        uint32_t *value = index < l->loop.carries ? &l->last[index]
                          : index < results       ? &l->kept[index]
                                            : &l->history[index - results];
        if (index >= l->loop.carries)
            *value = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, id);
        m->s->view[id] = krsi_view_whole(*value, r);
    }
    l->workspace = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, l->node);
    if (!m->failed)
        m->s->values[l->workspace].bytes = l->workspace_bytes;
}

static void
add_load(krsi_cut *c, uint32_t value)
{
    if (value != KRSI_NO_VALUE)
        c->load[c->loads++] =
            (krsi_load){.view = {.value = value}, .indirect = -1, .fault = -1};
}

static void
add_out(krsi_cut *c, uint32_t value)
{
    if (value != KRSI_NO_VALUE)
        c->out[c->outs++] =
            (krsi_out){.view = {.value = value}, .indirect = -1, .fault = -1};
}

/* The loop as a cut: after all it reads, and after the first carries are where
 * they are changed. */
static void
make_cut(krsi_maker *m, const krsi_sched_loop *l)
{
    krsi_sched *s = m->s;
    uint32_t operands = maker_node(m, l->node)->count;
    uint32_t results = l->loop.body->results, carries = l->loop.carries;
    krsi_cut *c = krsi_arena_alloc(&s->arena, sizeof *c);
    if (c) {
        c->load = krsi_arena_array(&s->arena, operands + 1, sizeof *c->load);
        c->out = krsi_arena_array(&s->arena,
                                  (size_t)results + 2 * (size_t)carries + 2,
                                  sizeof *c->out);
    }
    if (!c || !c->load || !c->out ||
        !krsi_reserve(&s->cuts, &s->cut_capacity, s->cut_count + 1,
                      sizeof *s->cuts)) {
        m->failed = true;
        return;
    }
    c->family = KRSI_CUT_LOOP;
    c->node = l->node;
    c->loop = (int)(l - s->loops);
    c->after = true;
    add_out(c, l->workspace);
    for (uint32_t i = 0; i < operands; i++)
        add_load(c, l->operand[i]);
    for (uint32_t i = 0; i < carries; i++) {
        add_out(c, l->last[i]);
        add_out(c, l->spare[i]);
        add_out(c, l->history[i]);
    }
    for (uint32_t i = carries; i < results; i++)
        add_out(c, l->kept[i]);
    for (int i = 0; i < c->loads; i++)
        if (m->ready[c->load[i].view.value] > c->wave)
            c->wave = m->ready[c->load[i].view.value];
    for (int i = 0; i < c->outs; i++)
        if (m->ready[c->out[i].view.value] > c->wave)
            c->wave = m->ready[c->out[i].view.value];
    for (int i = 0; i < c->outs; i++)
        m->ready[c->out[i].view.value] = c->wave + 1;
    if (s->waves < c->wave + 1)
        s->waves = c->wave + 1;
    s->cuts[s->cut_count++] = c;
}

/* The value of an empty tensor, which a kernel writes like any other. */
static void
cut_empty(krsi_maker *m, uint32_t id)
{
    krsi_view out = krsi_maker_own(m, id);
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_MAP, id, &out);
    if (!c)
        return;
    krsi_cut_expr(c, (krsi_expr){.kind = KRSI_X_CONST,
                                 .dtype = (krs_dtype)maker_node(m, id)->dtype});
    krsi_maker_finish(m, c);
}

/* No iterations: the last carries are the first, all else is empty. */
static void
cut_nothing(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    krsi_loop loop = krsi_loop_of(m->g, n);
    for (size_t i = 0; i < m->result_count && !m->failed; i++) {
        const krsi_node *r = maker_node(m, m->results[i]);
        uint32_t index = (uint32_t)krsi_int(r, 0);
        if (r->in[0] != id)
            continue;
        if (index < loop.carries)
            m->s->view[m->results[i]] =
                krsi_maker_loadable(m, n->in[loop.constants + index]);
        else
            cut_empty(m, m->results[i]);
    }
}

void
krsi_cut_scan(krsi_maker *m, uint32_t id)
{
    krsi_sched *s = m->s;
    krsi_maker_own(m, id); /* itself it is nothing */
    if (m->failed)
        return;
    if (krsi_int(maker_node(m, id), 0) == 0) {
        cut_nothing(m, id);
        return;
    }
    if (!krsi_reserve(&s->loops, &s->loop_capacity, s->loop_count + 1,
                      sizeof *s->loops)) {
        m->failed = true;
        return;
    }
    krsi_sched_loop *l = &s->loops[s->loop_count++];
    begin(m, id, l);
    make_operands(m, l);
    make_carries(m, l);
    make_results(m, l);
    if (!m->failed)
        make_cut(m, l);
}

/* Its view was left by the scan. */
void
krsi_cut_result(krsi_maker *m, uint32_t id)
{
    (void)m;
    (void)id;
}

/* ---- the graph of a body ---- */

void
krsi_sched_update(krsi_sched *s, uint32_t param, size_t output)
{
    uint32_t state = s->view[param].value, value = s->outputs[output];
    if (s->values[state].partner != KRSI_NO_VALUE ||
        s->values[value].partner != KRSI_NO_VALUE)
        return;
    s->values[state].partner = value;
    s->values[value].partner = state;
}

void
krsi_sched_move(krsi_sched *s, uint32_t value, krs_index by)
{
    s->values[value].moved = by;
    for (size_t i = 0; i < s->cut_count; i++) {
        krsi_cut *c = s->cuts[i];
        for (int k = 0; k < c->loads; k++)
            if (c->load[k].view.value == value)
                c->load[k].view.offset =
                    krs_index_plus(c->load[k].view.offset, by);
        for (int k = 0; k < c->outs; k++)
            if (c->out[k].view.value == value)
                c->out[k].view.offset =
                    krs_index_plus(c->out[k].view.offset, by);
    }
}
