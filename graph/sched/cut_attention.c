/* cut_attention.c -- scheduling of attention and of what its gradient is made
 * of: one cut each, never a [B,H,T,S] value.
 *
 * attention and attention_lse of the same scores are one cut with two outputs
 * where both are needed, as in every training step. attention_grad is one cut
 * that stores the cotangents of q, k and v one after the other.
 */
#include "cut_make.h"

enum { LOADS = 7, OUTS = 2, OPERANDS = 7 };

/* The mask as a view of [B,H,T,S]: axes it lacks, or where its size is 1, are
 * repeated. */
static krsi_view
spread_mask(const krsi_view *mask, const krsi_view *q, const krsi_view *k)
{
    krsi_view v = *mask;
    const krsi_view *like[4] = {q, q, q, k};
    static const int axis[4] = {0, 1, 2, 2};
    v.rank = 4;
    for (int a = 0; a < 4; a++) {
        int from = a - (4 - mask->rank);
        bool repeats = from < 0 || mask->max[from] == 1;
        v.stride[a] = repeats ? 0 : mask->stride[from];
        v.max[a] = like[a]->max[axis[a]];
        v.extent[a] = like[a]->extent[axis[a]];
    }
    return v;
}

static int
load(krsi_maker *m, krsi_cut *c, uint32_t id, const krsi_view *v)
{
    krsi_cut_load(c, v, (krs_dtype)maker_node(m, id)->dtype);
    return c->loads - 1;
}

/* The views of the operands first: they may need cuts of their own. */
typedef struct operands {
    krsi_view view[OPERANDS];
    int count;
} operands;

static operands
loadable(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    operands o = {.count = (int)n->count};
    for (int i = 0; i < o.count; i++)
        o.view[i] = krsi_maker_loadable(m, n->in[i]);
    return o;
}

/* A cut over the first `rank` axes of [B,H,T] whose node has the attributes of
 * attention; q, k and a mask (operand `mask`, if there are so many) are its
 * first loads. */
static krsi_cut *
begin(krsi_maker *m, uint32_t id, int rank, const krsi_view *out,
      const operands *o, int mask, krsi_attention **out_attention)
{
    const krsi_node *n = maker_node(m, id);
    krsi_attention *a = krsi_arena_alloc(&m->s->arena, sizeof *a);
    krsi_view points = o->view[0];
    points.rank = rank;
    krsi_cut *c = a && !m->failed
                      ? krsi_maker_cut(m, KRSI_CUT_ATTENTION, id, &points)
                      : NULL;
    if (!c) {
        m->failed = true;
        return NULL;
    }
    c->load = krsi_arena_array(&m->s->arena, LOADS, sizeof *c->load);
    c->out = krsi_arena_array(&m->s->arena, OUTS, sizeof *c->out);
    if (!c->load || !c->out) {
        m->failed = true;
        return NULL;
    }
    for (int i = 0; i < OUTS; i++)
        c->out[i] = (krsi_out){.indirect = -1, .fault = -1};
    c->out[0].view = *out;
    *a = (krsi_attention){.v = -1,
                          .mask = -1,
                          .result = -1,
                          .lse = -1,
                          .cotangent = -1,
                          .out = -1,
                          .out_lse = -1,
                          .scale = krsi_float(n, 0),
                          .causal = krsi_int(n, 1) != 0,
                          .offset = krsi_index(n, 2, 0),
                          .window = krsi_int(n, 3)};
    a->q = load(m, c, n->in[0], &o->view[0]);
    a->k = load(m, c, n->in[1], &o->view[1]);
    if (mask < o->count) {
        krsi_view v = spread_mask(&o->view[mask], &o->view[0], &o->view[1]);
        a->mask = load(m, c, n->in[mask], &v);
    }
    c->attention = a;
    *out_attention = a;
    return c;
}

/* A row needs a key: with none live at run time it has no largest score. */
static void
check_keys(krsi_maker *m, uint32_t id, const krsi_view *q, const krsi_view *k)
{
    for (int a = 0; a < 3; a++)
        if (q->max[a] == 0)
            return;
    if (k->extent[2].terms)
        krsi_maker_check(m, (krsi_check){.start = krs_index_plus(k->extent[2],
                                                                 KRS_INDEX(-1)),
                                         .length = 1,
                                         .step = 1,
                                         .size = k->max[2],
                                         .node = id,
                                         .axis = 2,
                                         .is_extremum = true});
}

void
krsi_cut_attention(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    krsi_attention *a;
    operands o = loadable(m, id);
    const uint32_t scores[3] = {n->in[0], n->in[1],
                                n->count > 3 ? n->in[3] : 0};
    uint32_t lse = krsi_find(m->g, KRSI_ATTENTION_LSE, scores,
                             (int)n->count - 1, n->word, n->words);
    bool gives_lse =
        lse && m->needed[lse] && m->s->view[lse].rank == 0; /* no cut yet */
    krsi_view out = krsi_maker_own(m, id), out_lse = {0};
    if (m->failed)
        return;
    if (o.view[1].max[2] == 0) { /* no keys: zeros */
        krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_MAP, id, &out);
        if (!c)
            return;
        krsi_cut_expr(
            c, (krsi_expr){.kind = KRSI_X_CONST, .dtype = (krs_dtype)n->dtype});
        krsi_maker_finish(m, c);
        return;
    }
    if (gives_lse)
        out_lse = krsi_maker_own(m, lse);
    krsi_cut *c = begin(m, id, 3, &out, &o, 3, &a);
    if (!c)
        return;
    a->v = load(m, c, n->in[2], &o.view[2]);
    a->out = 0;
    check_keys(m, id, &o.view[0], &o.view[1]);
    krsi_maker_finish(m, c);
    if (gives_lse) {
        a->out_lse = c->outs++;
        c->out[a->out_lse].view = out_lse;
        m->ready[out_lse.value] = c->wave + 1;
    }
}

void
krsi_cut_attention_lse(krsi_maker *m, uint32_t id)
{
    krsi_attention *a;
    if (m->s->view[id].rank) /* by the cut of attention */
        return;
    operands o = loadable(m, id);
    krsi_view out = krsi_maker_own(m, id);
    krsi_cut *c = begin(m, id, 3, &out, &o, 2, &a);
    if (!c)
        return;
    a->out_lse = 0;
    check_keys(m, id, &o.view[0], &o.view[1]);
    krsi_maker_finish(m, c);
}

void
krsi_cut_attention_grad(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    krsi_attention *a;
    operands o = loadable(m, id);
    krsi_view out = krsi_maker_own(m, id);
    krsi_cut *c = begin(m, id, 1, &out, &o, 6, &a);
    if (!c)
        return;
    a->v = load(m, c, n->in[2], &o.view[2]);
    a->result = load(m, c, n->in[3], &o.view[3]);
    a->lse = load(m, c, n->in[4], &o.view[4]);
    a->cotangent = load(m, c, n->in[5], &o.view[5]);
    krsi_maker_finish(m, c);
}
