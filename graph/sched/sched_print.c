/* sched_print.c -- a schedule as text.
 *
 * In: values, cuts and checks. Out: one line a value, one block a cut:
 *
 *     v0 input f32[2,5] "x"
 *     v1 temporary f32[2]
 *     v2 output f32[2,5]
 *
 *     wave 0: %2 amax reduce
 *         for i < 2, j < 5
 *         a = f32 v0[5*i + j]
 *         v1[i] = amax over j of a
 *
 * Letters i, j, ... are positions along the axes of the iteration space; a, b,
 * ... the loads. An extent known at run time only stands with its bound:
 * `j < pos+1 <= 8`. The text is for people and tests: it does not parse.
 */
#include "cut.h"

#include <stdlib.h>
#include <string.h>

static const char axis_names[] = "ijklmnopq";
static const char load_names[] = "abcdefghrstuwxyz";

typedef struct writer {
    krsi_string text;
    const krsi_sched *s;
    const krsi_cut *cut;
} writer;

static void
write_index(writer *w, krs_index index)
{
    char text[KRSI_INDEX_TEXT];
    krsi_string_add(&w->text, krsi_index_text(text, w->s->graph, index));
}

static void
write_axes(writer *w)
{
    const krsi_cut *c = w->cut;
    for (int a = 0; a < c->rank; a++) {
        krsi_string_format(&w->text, "%s%c < ", a ? ", " : "    for ",
                           axis_names[a]);
        write_index(w, c->extent[a]);
        if (c->extent[a].terms)
            krsi_string_format(&w->text, " <= %lld", (long long)c->max[a]);
    }
    if (c->rank)
        krsi_string_add(&w->text, "\n");
}

/* "12 + 5*i + j"; "0" for nothing */
static void
write_position(writer *w, const krsi_view *v)
{
    bool empty = true;
    if (v->offset.terms || v->offset.base) {
        write_index(w, v->offset);
        empty = false;
    }
    for (int a = 0; a < v->rank; a++) {
        long long stride = (long long)v->stride[a];
        if (stride == 0)
            continue;
        if (!empty)
            krsi_string_add(&w->text, stride < 0 ? " - " : " + ");
        else if (stride < 0)
            krsi_string_add(&w->text, "-");
        if (llabs(stride) != 1)
            krsi_string_format(&w->text, "%lld*", llabs(stride));
        krsi_string_format(&w->text, "%c", axis_names[a]);
        empty = false;
    }
    if (empty)
        krsi_string_add(&w->text, "0");
}

/* A leaf of an expression; an operation is opened by its name and comes back
 * to write its operands. */
static void
write_leaf(writer *w, const krsi_expr *e)
{
    char last = axis_names[w->cut->rank ? w->cut->rank - 1 : 0];
    switch (e->kind) {
    case KRSI_X_LOAD:
        krsi_string_format(&w->text, "%c", load_names[e->load]);
        return;
    case KRSI_X_CONST: krsi_string_format(&w->text, "%.9g", e->number); return;
    case KRSI_X_POSITION:
        write_position(w, &w->cut->load[e->load].view);
        return;
    case KRSI_X_OP:
        krsi_string_format(&w->text, "%s(", krsi_ops[e->op].name);
        return;
    case KRSI_X_RANDOM:
        krsi_string_format(&w->text, "random_uniform(stream %u, ", e->stream);
        return;
    case KRSI_X_REDUCE:
        krsi_string_format(&w->text, "(%s over %c of ", krsi_ops[e->op].name,
                           last);
        return;
    case KRSI_X_PRODUCT:
        krsi_string_format(&w->text, "(sum over %c of ", last);
        return;
    }
}

/* The expression, its operands inside; the depth is bounded by the number of
 * entries, and each level knows the operand it is at. */
static void
write_expr(writer *w, int root)
{
    int at[KRSI_CUT_EXPRS] = {root}, next[KRSI_CUT_EXPRS] = {0}, depth = 0;
    write_leaf(w, &w->cut->expr[root]);
    while (depth >= 0) {
        const krsi_expr *e = &w->cut->expr[at[depth]];
        int operands = krsi_expr_operands(e);
        if (next[depth] == operands) {
            if (operands)
                krsi_string_add(&w->text, ")");
            depth--;
            continue;
        }
        if (next[depth])
            krsi_string_add(&w->text, e->kind == KRSI_X_PRODUCT ? " * " : ", ");
        int in = e->in[next[depth]++];
        write_leaf(w, &w->cut->expr[in]);
        at[++depth] = in;
        next[depth] = 0;
    }
}

static void
write_indirect(writer *w, int64_t step, int indirect)
{
    long long stride = (long long)step;
    krsi_string_add(&w->text, stride < 0 ? " - " : " + ");
    if (llabs(stride) != 1)
        krsi_string_format(&w->text, "%lld*", llabs(stride));
    write_expr(w, indirect);
}

/* ", 0 <= a < 12" after the place that an index moves */
static void
write_bound(writer *w, int indirect, krs_index bound)
{
    krsi_string_add(&w->text, ", 0 <= ");
    write_expr(w, indirect);
    krsi_string_add(&w->text, " < ");
    write_index(w, bound);
}

static void
write_loads(writer *w)
{
    const krsi_cut *c = w->cut;
    for (int i = 0; i < c->exprs; i++) {
        const krsi_expr *e = &c->expr[i];
        if (e->kind != KRSI_X_LOAD)
            continue;
        const krsi_load *load = &c->load[e->load];
        krsi_string_format(&w->text, "    %c = %s ", load_names[e->load],
                           krs_dtype_name(e->dtype));
        krsi_string_format(&w->text, "v%u[", load->view.value);
        write_position(w, &load->view);
        if (load->indirect >= 0)
            write_indirect(w, load->indirect_stride, load->indirect);
        krsi_string_add(&w->text, "]");
        if (load->indirect >= 0)
            write_bound(w, load->indirect, load->indirect_bound);
        krsi_string_add(&w->text, "\n");
    }
}

/* "softmax(0.125 a b^T, d) c, causal from pos", with the letters of loads */
static void
write_attention(writer *w, int out)
{
    const krsi_attention *a = w->cut->attention;
    krsi_string_format(&w->text, "%s(%.9g %c %c^T",
                       a->cotangent >= 0 ? "gradient of softmax"
                       : out == a->out   ? "softmax"
                                         : "logsumexp",
                       a->scale, load_names[a->q], load_names[a->k]);
    if (a->mask >= 0)
        krsi_string_format(&w->text, ", %c", load_names[a->mask]);
    krsi_string_add(&w->text, ")");
    if (a->v >= 0 && out != a->out_lse)
        krsi_string_format(&w->text, " %c", load_names[a->v]);
    if (a->causal) {
        krsi_string_add(&w->text, ", causal from ");
        write_index(w, a->offset);
    }
    if (a->causal && a->window)
        krsi_string_format(&w->text, ", window %lld", (long long)a->window);
}

static void
write_store(writer *w, const krsi_out *out)
{
    const krsi_cut *c = w->cut;
    krsi_string_format(&w->text, "    v%u[", out->view.value);
    write_position(w, &out->view);
    if (out->indirect >= 0)
        write_indirect(w, out->indirect_stride, out->indirect);
    krsi_string_add(&w->text, c->family == KRSI_CUT_SCATTER ? "] += " : "] = ");
    if (c->family == KRSI_CUT_PREFIX)
        krsi_string_format(&w->text, "running %s over %c%s of ",
                           c->multiplies ? "product" : "sum",
                           axis_names[c->rank - 1],
                           c->reverse ? " from the end" : "");
    if (c->family == KRSI_CUT_ATTENTION)
        write_attention(w, (int)(out - c->out));
    else
        write_expr(w, out->root);
    if (out->indirect >= 0)
        write_bound(w, out->indirect, out->indirect_bound);
    krsi_string_add(&w->text, "\n");
}

static void
write_named(writer *w, const char *what, uint32_t value)
{
    if (value != KRSI_NO_VALUE)
        krsi_string_format(&w->text, " %s v%u", what, value);
}

/* "    3 times: constant v1; carry v2 last v3 spare v4; x v5; y v6" */
static void
write_loop(writer *w, const krsi_sched_loop *l)
{
    uint32_t i = 0, results = l->loop.body->results;
    krsi_string_format(&w->text, "    %lld times%s:", (long long)l->loop.length,
                       l->loop.reverse ? ", from the end" : "");
    for (; i < l->loop.constants; i++)
        write_named(w, "constant", l->operand[i]);
    for (uint32_t k = 0; k < l->loop.carries; k++, i++) {
        write_named(w, "carry", l->operand[i]);
        write_named(w, l->in_place[k] ? "in place" : "last", l->last[k]);
        write_named(w, "spare", l->spare[k]);
        write_named(w, "history", l->history[k]);
    }
    for (uint32_t k = 0; k < l->loop.xs; k++, i++)
        write_named(w, "x", l->operand[i]);
    for (uint32_t k = l->loop.carries; k < results; k++)
        write_named(w, "y", l->kept[k]);
    write_named(w, "workspace", l->workspace);
    krsi_string_add(&w->text, "\n");
}

static void
write_cut(writer *w, const krsi_cut *c)
{
    static const char *const family[KRSI_CUT_FAMILIES] = {
        [KRSI_CUT_MAP] = "map",           [KRSI_CUT_ROWS] = "rows",
        [KRSI_CUT_PREFIX] = "prefix",     [KRSI_CUT_SCATTER] = "scatter",
        [KRSI_CUT_CONTRACT] = "contract", [KRSI_CUT_ATTENTION] = "attention",
        [KRSI_CUT_LOOP] = "loop",
    };
    w->cut = c;
    krsi_string_format(&w->text, "\nwave %d: %%%u %s %s\n", c->wave, c->node,
                       krsi_cut_name(w->s, c), family[c->family]);
    if (c->family == KRSI_CUT_LOOP) {
        write_loop(w, &w->s->loops[c->loop]);
        return;
    }
    write_axes(w);
    write_loads(w);
    for (int i = 0; i < c->outs; i++)
        write_store(w, &c->out[i]);
}

static void
write_value(writer *w, size_t i)
{
    static const char *const kind[] = {
        [KRSI_STORAGE_INPUT] = "input",
        [KRSI_STORAGE_STATE] = "state",
        [KRSI_STORAGE_CONSTANT] = "constant",
        [KRSI_STORAGE_TEMPORARY] = "temporary",
        [KRSI_STORAGE_OUTPUT] = "output",
        [KRSI_STORAGE_FUSED] = "fused",
    };
    char type[KRSI_TYPE_TEXT];
    const krsi_storage *v = &w->s->values[i];
    const krs_graph *g = w->s->graph;
    const char *name = krs_node_name(krsi_handle(g, v->node));
    krsi_string_format(&w->text, "v%zu %s %s", i, kind[v->kind],
                       krsi_type_text(type, g->node[v->node]));
    if (*name && v->kind <= KRSI_STORAGE_STATE)
        krsi_string_format(&w->text, " \"%s\"", name);
    krsi_string_add(&w->text, "\n");
}

static void
write_check(writer *w, const krsi_check *c)
{
    const krsi_node *n = w->s->graph->node[c->node];
    krsi_string_format(&w->text, "check %%%u %s, axis %d: %lld from ", c->node,
                       krsi_ops[n->op].name, c->axis, (long long)c->length);
    write_index(w, c->start);
    krsi_string_format(&w->text, " by %lld in %lld\n", (long long)c->step,
                       (long long)c->size);
}

char *
krsi_sched_print(const krsi_sched *s)
{
    writer w = {.s = s};
    krsi_string_add(&w.text, "");
    for (size_t i = 0; i < s->value_count; i++)
        write_value(&w, i);
    for (size_t i = 0; i < s->check_count; i++)
        write_check(&w, &s->checks[i]);
    for (size_t i = 0; i < s->cut_count; i++)
        write_cut(&w, s->cuts[i]);
    if (w.text.failed)
        krsi_string_free(&w.text);
    return w.text.text;
}

/* "mul llama.c:172 model.layers.0.mlp" */
static void
write_origin(krsi_string *text, const krs_graph *g, uint32_t id)
{
    const krsi_node *n = g->node[id];
    const char *file = g->string[n->file], *slash = strrchr(file, '/');
    krsi_string_format(text, "%%%u %s (%s:%u%s%s)", id, krsi_ops[n->op].name,
                       slash ? slash + 1 : file, (unsigned)n->line,
                       n->scope ? " " : "", g->string[n->scope]);
}

char *
krsi_sched_print_fusion(const krsi_sched *s)
{
    static const char *const text_of[] = {
#define FUSION_TEXT(NAME, text) [KRSI_##NAME] = text,
        KRSI_FUSION_LIST(FUSION_TEXT)
#undef FUSION_TEXT
    };
    krsi_string text = {0};
    krsi_string_add(&text, "");
    for (size_t i = 0; i < s->note_count; i++) {
        const krsi_note *n = &s->notes[i];
        write_origin(&text, s->graph, n->producer);
        krsi_string_add(&text, " into ");
        write_origin(&text, s->graph, n->consumer);
        krsi_string_format(&text, ": %s\n", text_of[n->what]);
    }
    if (text.failed)
        krsi_string_free(&text);
    return text.text;
}
