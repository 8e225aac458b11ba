/* cut_view.c -- scheduling of views and of writes into blocks.
 *
 * A view changes strides and costs nothing. Concat, pad and set_slice fill
 * blocks of a new value: their pieces are copies into sub-views.
 */
#include "cut_make.h"

void
krsi_maker_check(krsi_maker *m, krsi_check check)
{
    krsi_sched *s = m->s;
    if (!krsi_reserve(&s->checks, &s->check_capacity, s->check_count + 1,
                      sizeof *s->checks)) {
        m->failed = true;
        return;
    }
    s->checks[s->check_count++] = check;
}

void
krsi_maker_starts(krsi_maker *m, uint32_t id, const int64_t *length,
                  const int64_t *step, krs_index start[KRS_MAX_RANK])
{
    const krsi_node *n = maker_node(m, id), *x = maker_node(m, n->in[0]);
    for (int a = 0; a < x->rank; a++) {
        start[a] = krsi_index(n, 0, a);
        if (start[a].terms && length[a])
            krsi_maker_check(m, (krsi_check){.start = start[a],
                                             .length = length[a],
                                             .step = step[a],
                                             .size = x->dim[a],
                                             .node = id,
                                             .axis = a});
    }
}

void
krsi_cut_alias(krsi_maker *m, uint32_t id)
{
    m->s->view[id] = m->s->view[maker_node(m, id)->in[0]];
}

/* A view of the operand; or, where a reshape cannot be one, a copy. */
void
krsi_cut_reshape(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    krsi_view *from = &m->s->view[n->in[0]];
    if (krsi_view_reshape(from, n, &m->s->view[id]))
        return;
    uint32_t value = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, n->in[0]);
    krsi_view whole = krsi_view_whole(value, maker_node(m, n->in[0]));
    if (m->failed)
        return;
    krsi_maker_copy(m, n->in[0], n->in[0], &whole, false);
    krsi_view_reshape(&whole, n, &m->s->view[id]);
}

void
krsi_cut_permute(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    const int64_t *axis;
    krsi_ints(n, 0, &axis);
    m->s->view[id] = krsi_view_permute(&m->s->view[n->in[0]], axis);
}

void
krsi_cut_expand(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    m->s->view[id] = krsi_view_expand(&m->s->view[n->in[0]], n);
}

void
krsi_cut_live(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    krsi_view v = m->s->view[n->in[0]];
    v.extent[krsi_int(n, 0)] = krsi_index(n, 1, 0);
    m->s->view[id] = v;
}

void
krsi_cut_slice(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    const int64_t *length, *step;
    krs_index start[KRS_MAX_RANK];
    krsi_view from = m->s->view[n->in[0]];
    krsi_ints(n, 1, &length);
    krsi_ints(n, 2, &step);
    krsi_maker_starts(m, id, length, step, start);
    m->s->view[id] = krsi_view_slice(&from, start, length, step);
}

void
krsi_cut_windows(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    int axis = (int)krsi_int(n, 0), last = n->rank - 1;
    krsi_view v = m->s->view[n->in[0]];
    v.rank = n->rank;
    v.stride[last] = v.stride[axis] * krsi_int(n, 3);
    v.stride[axis] *= krsi_int(n, 2);
    v.max[last] = n->dim[last];
    v.max[axis] = n->dim[axis];
    v.extent[last] = KRS_INDEX(n->dim[last]);
    v.extent[axis] = KRS_INDEX(n->dim[axis]);
    m->s->view[id] = v;
}

/* ---- blocks ---- */

static const int64_t ones[KRS_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};

static void
no_starts(krs_index start[KRS_MAX_RANK])
{
    for (int a = 0; a < KRS_MAX_RANK; a++)
        start[a] = KRS_INDEX(0);
}

void
krsi_cut_concat(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    int axis = (int)krsi_int(n, 0);
    krsi_view out = krsi_maker_own(m, id);
    krs_index start[KRS_MAX_RANK];
    no_starts(start);
    for (uint32_t i = 0; i < n->count && !m->failed; i++) {
        const krsi_node *part = maker_node(m, n->in[i]);
        krsi_view block = krsi_view_slice(&out, start, part->dim, ones);
        krsi_maker_copy(m, id, n->in[i], &block, false);
        start[axis].base += part->dim[axis];
    }
}

static void
fill(krsi_maker *m, uint32_t id, const krsi_view *out, double value)
{
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_MAP, id, out);
    if (!c)
        return;
    krsi_cut_expr(c, (krsi_expr){.kind = KRSI_X_CONST,
                                 .dtype = (krs_dtype)maker_node(m, id)->dtype,
                                 .number = value});
    krsi_maker_finish(m, c);
}

void
krsi_cut_pad(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    krsi_view out = krsi_maker_own(m, id);
    krs_index start[KRS_MAX_RANK];
    const int64_t *before;
    if (m->failed)
        return;
    no_starts(start);
    krsi_ints(n, 0, &before);
    for (int a = 0; a < n->rank; a++)
        start[a].base = before[a];
    krsi_view block =
        krsi_view_slice(&out, start, maker_node(m, n->in[0])->dim, ones);
    fill(m, id, &out, krsi_float(n, 2));
    krsi_maker_copy(m, id, n->in[0], &block, true);
}

void
krsi_cut_set_slice(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id), *v = maker_node(m, n->in[1]);
    krsi_view out = krsi_maker_own(m, id);
    krs_index start[KRS_MAX_RANK];
    const int64_t *step;
    if (m->failed)
        return;
    krsi_ints(n, 1, &step);
    krsi_maker_starts(m, id, v->dim, step, start);
    krsi_view block = krsi_view_slice(&out, start, v->dim, step);
    krsi_maker_copy(m, id, n->in[0], &out, false);
    krsi_maker_copy(m, id, n->in[1], &block, true);
}
