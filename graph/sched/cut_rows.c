/* cut_rows.c -- scheduling of reductions, running sums, products, scatters.
 *
 * Each brings the axes into the order its family wants: those that stay, then
 * the one that is reduced, scanned or walked. Several reduced axes become one;
 * where no stride does that, the operand is copied in that order first.
 */
#include "cut_make.h"

/* what a cut stores: the node's reduction of what the view reads */
static void
reduce(const krsi_maker *m, krsi_cut *c, uint32_t id, const krsi_view *rows,
       krs_dtype dtype)
{
    enum krsi_op op = (enum krsi_op)maker_node(m, id)->op;
    int x = krsi_cut_load(c, rows, dtype);
    krsi_cut_expr(c, (krsi_expr){.kind = KRSI_X_REDUCE,
                                 .dtype = op == KRSI_ARGMAX ? KRS_I64 : dtype,
                                 .op = op,
                                 .in = {x}});
}

/* One axis reduced after the other, from the last to the one after `kept`;
 * what is left has one. */
static krsi_view
reduce_inner(krsi_maker *m, uint32_t id, krsi_view rows, int kept)
{
    uint32_t x = maker_node(m, id)->in[0];
    for (int last = rows.rank - 1; last > kept && !m->failed; last--) {
        krsi_view out = rows;
        int64_t stride = 1;
        out.value = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, x);
        out.offset = KRS_INDEX(0);
        out.stride[last] = 0;
        for (int a = last - 1; a >= 0; a--) {
            out.stride[a] = stride;
            stride *= out.max[a];
        }
        krsi_cut *c =
            m->failed ? NULL : krsi_maker_cut(m, KRSI_CUT_ROWS, id, &out);
        if (!c)
            break;
        reduce(m, c, id, &rows, (krs_dtype)maker_node(m, x)->dtype);
        krsi_maker_finish(m, c);
        out.rank = last;
        rows = out;
    }
    return rows;
}

/* The largest or smallest of nothing is refused before the run. */
static void
check_extremum(krsi_maker *m, uint32_t id, const krsi_view *rows, int kept)
{
    enum krsi_op op = (enum krsi_op)maker_node(m, id)->op;
    if (op == KRSI_SUM || op == KRSI_PROD)
        return;
    for (int a = 0; a < rows->rank; a++)
        if (rows->max[a] == 0)
            return;
    for (int a = kept; a < rows->rank; a++)
        if (rows->extent[a].terms)
            krsi_maker_check(
                m, (krsi_check){
                       .start = krs_index_plus(rows->extent[a], KRS_INDEX(-1)),
                       .length = 1,
                       .step = 1,
                       .size = rows->max[a],
                       .node = id,
                       .axis = a,
                       .is_extremum = true});
}

/* Can the axes after the first `kept` be stepped through as one? */
static bool
rows_merge(const krsi_view *v, int kept)
{
    bool merges = true;
    for (int a = kept; merges && a + 1 < v->rank && a + 1 < KRSI_CUT_AXES; a++)
        merges = v->stride[a] == v->stride[a + 1] * v->max[a + 1] &&
                 !v->extent[a + 1].terms;
    return merges;
}

/* The node copied row-major in the permuted order of axes; the view has the
 * axes of the node. */
static krsi_view
copy_in_order(krsi_maker *m, uint32_t id, const int64_t *order)
{
    uint32_t value = krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, id);
    krsi_view whole = krsi_view_whole(value, maker_node(m, id));
    int64_t stride = 1;
    for (int a = whole.rank - 1; a >= 0; a--) {
        whole.stride[order[a]] = stride;
        stride *= whole.max[order[a]];
    }
    if (!m->failed)
        krsi_maker_copy(m, id, id, &whole, false);
    return whole;
}

/* The axes that stay, then the reduced ones as one last axis. Where one of
 * these inside another has a live length they do not make one axis, and are
 * reduced one after the other. */
void
krsi_cut_reduce(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    const krsi_node *x = maker_node(m, n->in[0]);
    int64_t one_axis = n->op == KRSI_ARGMAX ? krsi_int(n, 0) : 0;
    const int64_t *axis = &one_axis;
    int count = n->op == KRSI_ARGMAX ? 1 : krsi_ints(n, 0, &axis);
    int64_t order[KRS_MAX_RANK] = {0};
    unsigned gone = 0;
    int kept = 0;
    krsi_view source = m->s->view[n->in[0]];
    for (int i = 0; i < count; i++)
        gone |= 1u << axis[i];
    for (int a = 0; a < x->rank; a++)
        if (!(gone >> a & 1))
            order[kept++] = a;
    for (int a = 0, to = kept; a < x->rank; a++)
        if (gone >> a & 1)
            order[to++] = a;
    krsi_view turned = krsi_view_permute(&source, order);
    bool live_inside = false, nothing = false;
    for (int a = kept; a < x->rank; a++) {
        live_inside |= a > kept && turned.extent[a].terms != 0;
        nothing |= turned.max[a] == 0;
    }
    live_inside &= !nothing; /* then all of them are one of size 0 */
    check_extremum(m, id, &turned, kept);
    if (live_inside) {
        source = krsi_maker_loadable(m, n->in[0]);
    } else if (source.value == KRSI_NO_VALUE || !rows_merge(&turned, kept)) {
        source = copy_in_order(m, n->in[0], order);
    }
    krsi_view rows = krsi_view_permute(&source, order);
    if (live_inside)
        rows = reduce_inner(m, id, rows, kept);
    int64_t length = 1;
    krs_index extent = KRS_INDEX(1);
    for (int a = kept; a < rows.rank; a++) {
        length *= rows.max[a];
        extent =
            a == kept ? rows.extent[a] : krs_index_times(extent, rows.max[a]);
    }
    rows.stride[kept] = count ? rows.stride[rows.rank - 1] : 0;
    rows.rank = kept + 1;
    rows.max[kept] = length;
    rows.extent[kept] = extent;

    krsi_view out = krsi_maker_own(m, id);
    if (m->failed)
        return;
    krsi_view store = rows; /* extents of the iteration space */
    int64_t stride = 1;
    store.value = out.value;
    store.offset = KRS_INDEX(0);
    store.stride[kept] = 0;
    for (int a = kept - 1; a >= 0; a--) {
        store.stride[a] = stride;
        stride *= rows.max[a] ? rows.max[a] : 1;
    }
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_ROWS, id, &store);
    if (!c)
        return;
    reduce(m, c, id, &rows, (krs_dtype)x->dtype);
    krsi_maker_finish(m, c);
}

/* a permutation that moves one axis to the end */
static void
axis_last(int rank, int axis, int64_t order[KRS_MAX_RANK])
{
    int to = 0;
    for (int a = 0; a < rank; a++)
        if (a != axis)
            order[to++] = a;
    order[to] = axis;
}

void
krsi_cut_prefix(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    int64_t order[KRS_MAX_RANK] = {0};
    krsi_view out = krsi_maker_own(m, id), source = m->s->view[n->in[0]];
    axis_last(n->rank, (int)krsi_int(n, 0), order);
    krsi_view store = krsi_view_permute(&out, order);
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_PREFIX, id, &store);
    if (!c)
        return;
    krsi_view rows = source.value == KRSI_NO_VALUE
                         ? source
                         : krsi_view_permute(&source, order);
    krsi_cut_operand(m, c, n->in[0], &rows);
    c->reverse = krsi_int(n, 1) != 0;
    c->multiplies = n->op == KRSI_CUMPROD;
    krsi_maker_finish(m, c);
}

/* out = x, then out[.. index ..] += src, one index after the other. The
 * iteration space is src's with the index's axes last and merged into one. */
void
krsi_cut_scatter(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    const krsi_node *index = maker_node(m, n->in[1]),
                    *src = maker_node(m, n->in[2]);
    int axis = (int)krsi_int(n, 0);
    bool whole_slices = n->op == KRSI_INDEX_ADD;
    krsi_view out = krsi_maker_own(m, id);
    if (m->failed)
        return;
    krsi_maker_copy(m, id, n->in[0], &out, false);
    krsi_view at = krsi_maker_loadable(m, n->in[1]),
              from = krsi_maker_loadable(m, n->in[2]);
    if (m->failed)
        return;
    int index_rank = whole_slices ? index->rank : 1;
    /* axes of the iteration space: those of src off the index, then one */
    krsi_view where = {.value = at.value, .offset = at.offset};
    krsi_view source = {.value = from.value, .offset = from.offset};
    krsi_view store = {.value = out.value, .offset = KRS_INDEX(0)};
    int rank = 0;
    for (int a = 0; a < src->rank; a++) {
        if (a >= axis && a < axis + index_rank)
            continue;
        int to = a < axis ? a : a - index_rank + 1;
        where.stride[rank] = whole_slices ? 0 : at.stride[a];
        source.stride[rank] = from.stride[a];
        store.stride[rank] = out.stride[to];
        store.max[rank] = src->dim[a];
        store.extent[rank] = KRS_INDEX(src->dim[a]);
        rank++;
    }
    int64_t count = 1, index_step = 0, source_step = 0;
    bool merges = true;
    for (int a = index_rank - 1; a >= 0; a--) {
        int index_axis = whole_slices ? a : axis;
        int64_t size = src->dim[axis + a];
        if (size == 1)
            continue;
        if (count == 1) {
            index_step = at.stride[index_axis];
            source_step = from.stride[axis + a];
        } else {
            merges &= at.stride[index_axis] == index_step * count &&
                      from.stride[axis + a] == source_step * count;
        }
        count *= size;
    }
    if (!merges) { /* write both out row-major, then they do */
        uint32_t ids[2] = {n->in[1], n->in[2]};
        krsi_view *views[2] = {&at, &from};
        for (int i = 0; i < 2 && !m->failed; i++) {
            uint32_t value =
                krsi_maker_value(m, KRSI_STORAGE_TEMPORARY, ids[i]);
            *views[i] = krsi_view_whole(value, maker_node(m, ids[i]));
            if (!m->failed)
                krsi_maker_copy(m, ids[i], ids[i], views[i], false);
        }
        if (m->failed)
            return;
        where.value = at.value;
        where.offset = source.offset = KRS_INDEX(0);
        source.value = from.value;
        for (int a = 0, to = 0; a < src->rank; a++)
            if (a < axis || a >= axis + index_rank)
                source.stride[to++] = from.stride[a];
        index_step = at.stride[index_rank - 1];
        source_step = from.stride[axis + index_rank - 1];
    }
    where.stride[rank] = index_step;
    source.stride[rank] = source_step;
    store.stride[rank] = 0;
    store.max[rank] = count;
    store.extent[rank] = KRS_INDEX(count);
    store.rank = rank + 1;
    for (int a = 0; a < store.rank; a++) {
        where.max[a] = source.max[a] = store.max[a];
        where.extent[a] = source.extent[a] = store.extent[a];
    }
    where.rank = source.rank = store.rank;
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_SCATTER, id, &store);
    if (!c)
        return;
    krsi_out *to = &c->out[0];
    to->indirect = krsi_cut_load(c, &where, (krs_dtype)index->dtype);
    to->indirect_stride = out.stride[axis];
    to->indirect_bound = out.extent[axis];
    to->fault = krsi_maker_fault(m, id);
    krsi_cut_load(c, &source, (krs_dtype)src->dtype);
    c->after = true;
    krsi_maker_finish(m, c);
}

void
krsi_cut_contract(krsi_maker *m, uint32_t id)
{
    const krsi_node *n = maker_node(m, id);
    bool ta = krsi_int(n, 0) != 0, tb = krsi_int(n, 1) != 0;
    krsi_view a = krsi_maker_loadable(m, n->in[0]),
              b = krsi_maker_loadable(m, n->in[1]);
    krsi_view out = krsi_maker_own(m, id);
    if (m->failed)
        return;
    int batch = n->rank - 2;
    int am = batch + (ta ? 1 : 0), ak = batch + (ta ? 0 : 1);
    int bk = batch + (tb ? 1 : 0), bn = batch + (tb ? 0 : 1);
    krsi_view store = out; /* [batch.., M, N, K] */
    int rank = n->rank + 1;
    store.rank = rank;
    store.max[rank - 1] = a.max[ak];
    store.extent[rank - 1] = a.extent[ak];
    store.stride[rank - 1] = 0;
    krsi_view left = store, right = store; /* for rank and extents */
    left.value = a.value;
    left.offset = a.offset;
    right.value = b.value;
    right.offset = b.offset;
    for (int i = 0; i < batch; i++) {
        left.stride[i] = a.stride[i];
        right.stride[i] = b.stride[i];
    }
    left.stride[batch] = a.stride[am];
    left.stride[batch + 1] = 0;
    left.stride[batch + 2] = a.stride[ak];
    right.stride[batch] = 0;
    right.stride[batch + 1] = b.stride[bn];
    right.stride[batch + 2] = b.stride[bk];
    krsi_cut *c = krsi_maker_cut(m, KRSI_CUT_CONTRACT, id, &store);
    if (!c)
        return;
    krsi_expr e = {.kind = KRSI_X_PRODUCT, .dtype = (krs_dtype)n->dtype};
    e.in[0] =
        krsi_cut_load(c, &left, (krs_dtype)maker_node(m, n->in[0])->dtype);
    e.in[1] =
        krsi_cut_load(c, &right, (krs_dtype)maker_node(m, n->in[1])->dtype);
    krsi_cut_expr(c, e);
    krsi_maker_finish(m, c);
}
