/* cut.c -- one cut a node: from a graph of primitives to values, views, cuts.
 *
 * Nodes are visited in id order, which is a topological order. The rule in the
 * `cut` column of ops.def gives a view node a view of its operand's value;
 * other nodes get a value and one or two cuts that fill it. Constant scalars
 * have no value: they become constants of the expressions that use them.
 *
 * The wave of a cut is one more than the latest wave of what it reads, so the
 * cuts of a wave are independent of each other.
 */
#include "cut_make.h"

#include <stdlib.h>

/* ---- values and cuts ---- */

static size_t
node_bytes(const krsi_node *n)
{
    int64_t elements = 1;
    size_t bytes = 0;
    for (int a = 0; a < n->rank; a++)
        elements *= n->dim[a];
    krs_dtype_bytes((krs_dtype)n->dtype, elements, &bytes);
    return bytes;
}

size_t
krsi_maker_bytes(const krsi_maker *m, uint32_t id)
{
    return node_bytes(maker_node(m, id));
}

uint32_t
krsi_maker_value(krsi_maker *m, krsi_storage_kind kind, uint32_t id)
{
    krsi_sched *s = m->s;
    const krsi_node *n = maker_node(m, id);
    if (!krsi_reserve(&s->values, &s->value_capacity, s->value_count + 1,
                      sizeof *s->values) ||
        !krsi_reserve(&m->ready, &m->ready_capacity, s->value_count + 1,
                      sizeof *m->ready)) {
        m->failed = true;
        return 0;
    }
    s->values[s->value_count] = (krsi_storage){.kind = kind,
                                               .dtype = (krs_dtype)n->dtype,
                                               .bytes = node_bytes(n),
                                               .node = id,
                                               .partner = KRSI_NO_VALUE};
    m->ready[s->value_count] = 0;
    return (uint32_t)s->value_count++;
}

krsi_view
krsi_maker_own(krsi_maker *m, uint32_t id)
{
    uint32_t value = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, id);
    m->s->view[id] = krsi_view_whole(value, maker_node(m, id));
    return m->s->view[id];
}

krsi_cut *
krsi_maker_cut(krsi_maker *m, krsi_family family, uint32_t id,
               const krsi_view *out)
{
    krsi_arena *arena = &m->s->arena;
    krsi_cut *c = krsi_arena_alloc(arena, sizeof *c);
    if (c) {
        c->load = krsi_arena_array(arena, RULE_LOADS, sizeof *c->load);
        c->expr = krsi_arena_array(arena, RULE_EXPRS, sizeof *c->expr);
        c->out = krsi_arena_array(arena, 1, sizeof *c->out);
    }
    if (!c || !c->load || !c->expr || !c->out ||
        !krsi_reserve(&m->s->cuts, &m->s->cut_capacity, m->s->cut_count + 1,
                      sizeof *m->s->cuts)) {
        m->failed = true;
        return NULL;
    }
    c->family = family;
    c->node = id;
    c->rank = out->rank;
    c->outs = 1;
    c->out[0] = (krsi_out){.view = *out, .indirect = -1, .fault = -1};
    for (int a = 0; a < out->rank; a++) {
        c->extent[a] = out->extent[a];
        c->max[a] = out->max[a];
    }
    m->s->cuts[m->s->cut_count++] = c;
    return c;
}

/* A cut runs after all that writes what it loads, and, with `after`, after
 * what wrote its output so far. */
void
krsi_maker_finish(krsi_maker *m, krsi_cut *c)
{
    uint32_t to = c->out[0].view.value;
    int wave = c->after ? m->ready[to] : 0;
    bool spoilt = c->out[0].view.offset.terms < 0;
    for (int i = 0; i < c->loads; i++)
        spoilt |= c->load[i].view.offset.terms < 0;
    if (spoilt && !m->failed) {
        m->failed = true;
        m->refused = c->node;
    }
    for (int i = 0; i < c->loads; i++) {
        uint32_t from = c->load[i].view.value;
        if (from != KRSI_NO_VALUE && m->ready[from] > wave)
            wave = m->ready[from];
    }
    c->wave = wave;
    if (m->ready[to] < wave + 1)
        m->ready[to] = wave + 1;
    if (m->s->waves < wave + 1)
        m->s->waves = wave + 1;
    krsi_cut_simplify(c);
}

int
krsi_maker_fault(krsi_maker *m, uint32_t id)
{
    krsi_sched *s = m->s;
    if (!krsi_reserve(&s->faults, &s->fault_capacity, s->fault_count + 1,
                      sizeof *s->faults)) {
        m->failed = true;
        return -1;
    }
    s->faults[s->fault_count] = id;
    return (int)s->fault_count++;
}

bool
krsi_cut_may_fault(const krsi_cut *cut)
{
    bool may = false;
    for (int i = 0; i < cut->loads; i++)
        may |= cut->load[i].fault >= 0;
    for (int i = 0; i < cut->outs; i++)
        may |= cut->out[i].fault >= 0;
    return may;
}

uint32_t
krsi_cut_bindings(const krsi_cut *cut)
{
    int count = cut->outs + krsi_cut_may_fault(cut);
    for (int i = 0; i < cut->loads; i++)
        count += cut->load[i].view.value != KRSI_NO_VALUE;
    return (uint32_t)count;
}

/* ---- expressions ---- */

int
krsi_cut_expr(krsi_cut *c, krsi_expr e)
{
    c->expr[c->exprs] = e;
    c->out[0].root = c->exprs;
    return c->exprs++;
}

static int
read_through(krsi_cut *c, krsi_expr_kind kind, const krsi_view *v,
             krs_dtype dtype)
{
    c->load[c->loads] = (krsi_load){.view = *v, .indirect = -1, .fault = -1};
    return krsi_cut_expr(
        c, (krsi_expr){.kind = kind, .dtype = dtype, .load = c->loads++});
}

int
krsi_cut_load(krsi_cut *c, const krsi_view *v, krs_dtype dtype)
{
    return read_through(c, KRSI_X_LOAD, v, dtype);
}

int
krsi_cut_position(krsi_cut *c, const krsi_view *v, krs_dtype dtype)
{
    krsi_view index = *v;
    index.value = KRSI_NO_VALUE;
    return read_through(c, KRSI_X_POSITION, &index, dtype);
}

/* the constant scalar that a node spreads or cuts, or NULL */
static const krsi_node *
constant_of(const krsi_maker *m, uint32_t id)
{
    static const bool moves_only[KRSI_OP_COUNT] = {
        [KRSI_EXPAND] = true,    [KRSI_RESHAPE] = true,
        [KRSI_PERMUTE] = true,   [KRSI_SLICE] = true,
        [KRSI_LIVE] = true,      [KRSI_STOP_GRADIENT] = true,
        [KRSI_RECOMPUTE] = true, [KRSI_WINDOWS] = true,
    };
    const krsi_node *n = maker_node(m, id);
    while (moves_only[n->op] || n->op == KRSI_UPDATE)
        n = maker_node(m, n->in[n->op == KRSI_UPDATE]);
    return n->op == KRSI_FULL ? n : NULL;
}

bool
krsi_maker_is_constant(const krsi_maker *m, uint32_t id)
{
    return constant_of(m, id) != NULL;
}

int
krsi_cut_operand(krsi_maker *m, krsi_cut *c, uint32_t id, const krsi_view *v)
{
    const krsi_node *n = constant_of(m, id);
    if (n)
        return krsi_cut_expr(c, (krsi_expr){.kind = KRSI_X_CONST,
                                            .dtype = (krs_dtype)n->dtype,
                                            .number = krsi_float(n, 1)});
    return krsi_cut_load(c, v, (krs_dtype)maker_node(m, id)->dtype);
}

/* the bytes of a value that has blocks, all of them */
static krsi_view
bytes_of_blocks(const krsi_maker *m, uint32_t value)
{
    int64_t bytes = (int64_t)m->s->values[value].bytes;
    return (krsi_view){.value = value,
                       .rank = 1,
                       .stride = {1},
                       .extent = {KRS_INDEX(bytes)},
                       .max = {bytes}};
}

/* Blocks are copied as bytes: their tensors are always whole. */
static void
copy_blocks(krsi_maker *m, uint32_t node, uint32_t from, const krsi_view *out,
            bool after)
{
    krsi_view source = bytes_of_blocks(m, m->s->view[from].value),
              to = bytes_of_blocks(m, out->value);
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_MAP, node, &to);
    if (!c)
        return;
    c->after = after;
    krsi_cut_load(c, &source, KRS_U8);
    krsi_maker_finish(m, c);
}

void
krsi_maker_copy(krsi_maker *m, uint32_t node, uint32_t from,
                const krsi_view *out, bool after)
{
    krsi_view source = m->s->view[from];
    if (krs_dtype_class_of((krs_dtype)maker_node(m, from)->dtype) ==
        KRS_CLASS_BLOCK) {
        copy_blocks(m, node, from, out, after);
        return;
    }
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_MAP, node, out);
    if (!c)
        return;
    c->after = after;
    krsi_cut_operand(m, c, from, &source);
    krsi_maker_finish(m, c);
}

krsi_view
krsi_maker_loadable(krsi_maker *m, uint32_t id)
{
    krsi_view v = m->s->view[id];
    if (v.value != KRSI_NO_VALUE)
        return v;
    uint32_t value = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, id);
    krsi_view whole = krsi_view_whole(value, maker_node(m, id));
    if (!m->failed)
        krsi_maker_copy(m, id, id, &whole, false);
    return whole;
}

/* ---- the graph ---- */

#define PRIMITIVE(ID, name, min, max, attrs, types, shape, live, vjp, cut, \
                  ...)                                                     \
    [KRSI_##ID] = krsi_cut_##cut,
/* For a composite expand means that it is gone (opt/expand.c); the rule of that
 * name is the primitive's. */
#define COMPOSITE(ID, name, min, max, attrs, types, shape, live, vjp, cut, \
                  ...)                                                     \
    [KRSI_##ID] = composite_cut_##cut,
#define composite_cut_expand         NULL
#define composite_cut_attention      krsi_cut_attention
#define composite_cut_attention_lse  krsi_cut_attention_lse
#define composite_cut_attention_grad krsi_cut_attention_grad
static krsi_cut_rule *const rules[KRSI_OP_COUNT] = {
#include "../ir/ops.def"
};
#undef PRIMITIVE
#undef COMPOSITE

static void
cut_node(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    if (!krsi_maker_is_constant(m, id) || n->op == KRSI_SLICE)
        rules[n->op](m, id); /* a slice's start is checked in any case */
    if (krsi_maker_is_constant(m, id))
        m->s->view[id] = krsi_view_whole(KRSI_NO_VALUE, n);
}

/* what the outputs need; ids are topological, so one sweep downwards */
static bool *
mark_needed(const krs_graph *g, const krs_node *outputs, size_t count)
{
    bool *needed = calloc(g->nodes + 1, sizeof *needed);
    if (!needed)
        return NULL;
    for (size_t i = 0; i < count; i++)
        needed[outputs[i].id] = true;
    for (size_t id = g->nodes; id > 0; id--)
        for (uint32_t i = 0; needed[id] && i < g->node[id]->count; i++)
            needed[g->node[id]->in[i]] = true;
    return needed;
}

/* The value is what a state becomes. Where a live length ends, an output is
 * zero: memory of its own. */
static void
cut_update(krsi_maker *m, uint32_t value, const krsi_node *n)
{
    if (n->op != KRSI_UPDATE || n->live_axes)
        return;
    uint32_t state = m->s->view[n->in[0]].value;
    if (m->s->values[state].partner != KRSI_NO_VALUE)
        return; /* the same update, asked for twice */
    m->s->values[state].partner = value;
    m->s->values[value].partner = state;
}

/* Does a loop write the value, so that it is bound where that is? */
static bool
is_of_loop(const krsi_sched *s, uint32_t value)
{
    for (size_t i = 0; i < s->loop_count; i++) {
        const krsi_sched_loop *l = &s->loops[i];
        for (uint32_t k = 0; k < l->loop.body->results; k++)
            if (l->kept[k] == value ||
                (k < l->loop.carries &&
                 (l->last[k] == value || l->history[k] == value)))
                return true;
    }
    return false;
}

/* An output gets a value of its own, which the program binds: the one its last
 * cut makes, or a copy if that is only seen through a view, is another output
 * already, or cannot be bound by a loop where outputs of a body move. */
static void
cut_output(krsi_maker *m, size_t i, uint32_t id)
{
    krsi_view v = krsi_maker_loadable(m, id);
    if (m->failed)
        return;
    const krsi_storage *seen = &m->s->values[v.value];
    if (seen->kind != KRSI_STORAGE_TEMPORARY ||
        seen->bytes != node_bytes(maker_node(m, id)) ||
        !krsi_view_is_whole(&v) ||
        (maker_moves_badly(m, v.value) && is_of_loop(m->s, v.value))) {
        uint32_t value = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, id);
        krsi_view whole = krsi_view_whole(value, maker_node(m, id));
        if (m->failed)
            return;
        krsi_maker_copy(m, id, id, &whole, false);
        v = whole;
    }
    m->s->values[v.value].kind = KRSI_STORAGE_OUTPUT;
    m->s->values[v.value].output = (uint32_t)i;
    m->s->outputs[i] = v.value;
    cut_update(m, v.value, maker_node(m, id));
}

static void
note_result(krsi_maker *m, uint32_t id)
{
    if (!krsi_reserve(&m->results, &m->result_capacity, m->result_count + 1,
                      sizeof *m->results))
        m->failed = true;
    else
        m->results[m->result_count++] = id;
}

krs_status
krsi_sched_make(krsi_sched *s, const krs_graph *g, const krs_node *outputs,
                size_t count, const krsi_loop_planner *planner, krs_error *err)
{
    *s = (krsi_sched){.graph = g, .output_count = count};
    krsi_maker m = {.s = s, .g = g, .planner = planner, .err = err};
    bool *needed = mark_needed(g, outputs, count);
    s->view = calloc(g->nodes + 1, sizeof *s->view);
    s->outputs = calloc(count ? count : 1, sizeof *s->outputs);
    m.needed = needed;
    m.failed = !needed || !s->view || !s->outputs;
    for (uint32_t id = 1; id <= g->nodes && !m.failed; id++)
        if (needed[id] && g->node[id]->op == KRSI_RESULT)
            note_result(&m, id);
    for (uint32_t id = 1; id <= g->nodes && !m.failed; id++)
        if (needed[id])
            cut_node(&m, id);
    for (size_t i = 0; i < count && !m.failed; i++)
        cut_output(&m, i, outputs[i].id);
    free(needed);
    free(m.ready);
    free(m.results);
    if (!m.failed)
        return KRS_OK;
    krsi_sched_free(s);
    if (m.status != KRS_OK)
        return m.status;
    if (m.refused) {
        const krsi_node *n = g->node[m.refused];
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s%s%s: the place in memory depends on more than %d "
                        "runtime integers (%s:%u)",
                        g->string[n->scope], n->scope ? ": " : "",
                        krsi_ops[n->op].name, KRS_INDEX_TERMS,
                        g->string[n->file], (unsigned)n->line);
    }
    return krs_fail(err, KRS_E_MEMORY,
                    "out of memory while scheduling %zu nodes", g->nodes);
}

void
krsi_sched_free(krsi_sched *s)
{
    free(s->values);
    free(s->view);
    free(s->cuts);
    free(s->checks);
    free(s->faults);
    free(s->notes);
    free(s->outputs);
    free(s->loops);
    krsi_arena_free(&s->arena);
    *s = (krsi_sched){0};
}
