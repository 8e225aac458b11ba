/* cut_map.c -- scheduling of leaves, element-wise nodes and gathers.
 *
 * Leaves with data of their own become values; constant scalars become parts
 * of expressions. All else here is one map: an expression stored at every
 * point of the node's shape. A gather is a map too, one of whose loads is moved
 * by an index that another load gave.
 */
#include "cut_make.h"

void
krsi_maker_leaf(krsi_maker *m, uint32_t id, krsi_storage_kind kind)
{
    uint32_t value = krsi_maker_value(m, kind, id);
    m->s->view[id] = krsi_view_whole(value, maker_node(m, id));
}

void
krsi_cut_input(krsi_maker *m, uint32_t id)
{
    krsi_maker_leaf(m, id, KRSI_STORAGE_INPUT);
}

void
krsi_cut_state(krsi_maker *m, uint32_t id)
{
    krsi_maker_leaf(m, id, KRSI_STORAGE_STATE);
}

void
krsi_cut_constant(krsi_maker *m, uint32_t id)
{
    krsi_maker_leaf(m, id, KRSI_STORAGE_CONSTANT);
}

/* Constant scalars are inlined before rules are asked (cut.c). */
void
krsi_cut_full(krsi_maker *m, uint32_t id)
{
    m->s->view[id] = krsi_view_whole(KRSI_NO_VALUE, maker_node(m, id));
}

void
krsi_cut_map(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    krsi_view out = krsi_maker_own(m, id);
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_MAP, id, &out);
    if (!c)
        return;
    krsi_expr e = {.kind = KRSI_X_OP,
                   .dtype = (krs_dtype)n->dtype,
                   .op = (enum krsi_op)n->op};
    for (uint32_t i = 0; i < n->count; i++)
        e.in[i] = krsi_cut_operand(m, c, n->in[i], &m->s->view[n->in[i]]);
    krsi_cut_expr(c, e);
    krsi_maker_finish(m, c);
}

void
krsi_maker_source(krsi_maker *m, uint32_t id, krs_index offset, int axis)
{
    krsi_view out = krsi_maker_own(m, id), index = out;
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_MAP, id, &out);
    if (!c)
        return;
    index.offset = offset;
    for (int a = 0; a < index.rank; a++)
        index.stride[a] = a == axis;
    krsi_cut_position(c, &index, (krs_dtype)maker_node(m, id)->dtype);
    krsi_maker_finish(m, c);
}

void
krsi_cut_iota(krsi_maker *m, uint32_t id)
{
    krsi_maker_source(m, id, KRS_INDEX(0), (int)krsi_int(maker_node(m, id), 2));
}

void
krsi_cut_index(krsi_maker *m, uint32_t id)
{
    krsi_maker_source(m, id, krsi_index(maker_node(m, id), 0, 0), -1);
}

void
krsi_cut_random(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    krsi_view out = krsi_maker_own(m, id);
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_MAP, id, &out);
    if (!c)
        return;
    krsi_expr e = {.kind = KRSI_X_RANDOM,
                   .dtype = KRS_F32,
                   .stream = (uint32_t)krsi_int(n, 1)};
    for (int i = 0; i < 2; i++) { /* scalars, the same at every point */
        krsi_view v = krsi_view_expand(&m->s->view[n->in[i]], n);
        e.in[i] = krsi_cut_operand(m, c, n->in[i], &v);
    }
    e.in[2] = krsi_cut_position(c, &out, KRS_I64);
    if (n->count > 2) { /* element + iteration * elements */
        krsi_view v = krsi_view_expand(&m->s->view[n->in[2]], n);
        krsi_expr by = {.kind = KRSI_X_OP, .dtype = KRS_I64, .op = KRSI_MUL};
        by.in[0] = krsi_cut_operand(m, c, n->in[2], &v);
        by.in[1] =
            krsi_cut_expr(c, (krsi_expr){.kind = KRSI_X_CONST,
                                         .dtype = KRS_I64,
                                         .number = (double)krsi_elements(n)});
        krsi_expr sum = {.kind = KRSI_X_OP, .dtype = KRS_I64, .op = KRSI_ADD};
        sum.in[0] = e.in[2];
        sum.in[1] = krsi_cut_expr(c, by);
        e.in[2] = krsi_cut_expr(c, sum);
    }
    krsi_cut_expr(c, e);
    krsi_maker_finish(m, c);
}

/* The value itself: the program exchanges the memory of the state for that of
 * this output after the run. */
void
krsi_cut_update(krsi_maker *m, uint32_t id)
{
    m->s->view[id] = m->s->view[maker_node(m, id)->in[1]];
}

/* y = x read where index says. The iteration space is y's; x's view has no
 * step along the indexed axis, whose stride goes to the indirect part. */
void
krsi_cut_gather(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    const krsi_node *index = maker_node(m, n->in[1]);
    int axis = (int)krsi_int(n, 0);
    krsi_view x = krsi_maker_loadable(m, n->in[0]),
              at = krsi_maker_loadable(m, n->in[1]);
    krsi_view out = krsi_maker_own(m, id);
    krsi_cut *c = m->failed ? NULL : krsi_maker_cut(m, KRSI_CUT_MAP, id, &out);
    if (!c)
        return;
    krsi_view where = out, source = out; /* for rank and extents */
    bool whole_slices = n->op == KRSI_TAKE;
    where.value = at.value;
    where.offset = at.offset;
    source.value = x.value;
    source.offset = x.offset;
    for (int a = 0; a < out.rank; a++) {
        int index_rank = whole_slices ? index->rank : 1;
        int inside = a - axis; /* position among the index's axes */
        bool indexed = inside >= 0 && inside < index_rank;
        int from = a < axis ? a : a - index_rank + 1;
        if (whole_slices) {
            where.stride[a] = indexed ? at.stride[inside] : 0;
            source.stride[a] = indexed ? 0 : x.stride[from];
        } else {
            where.stride[a] = at.stride[a];
            source.stride[a] = indexed ? 0 : x.stride[a];
        }
    }
    int position = krsi_cut_load(c, &where, (krs_dtype)index->dtype);
    krsi_expr read = {.kind = KRSI_X_OP, .op = KRSI_CAST, .dtype = n->dtype};
    read.in[0] =
        krsi_cut_load(c, &source, (krs_dtype)maker_node(m, n->in[0])->dtype);
    if (c->expr[read.in[0]].dtype != read.dtype) /* numbers of blocks */
        krsi_cut_expr(c, read);
    c->load[1].indirect = position;
    c->load[1].indirect_stride = x.stride[axis];
    c->load[1].indirect_bound = x.extent[axis];
    c->load[1].fault = krsi_maker_fault(m, id);
    krsi_maker_finish(m, c);
}
