/* compose.c -- the algebra of fusion: where the points of one cut lie in the
 * iteration space of another, and one cut made of two.
 *
 * A whole value is a number system: element e of it has, along axis a of
 * stride S_a and extent E_a, the digit (e / S_a) mod E_a. A view of the value
 * steps through these digits without carries, or axes of the view are split
 * until it does: the common refinement of both. So no division is needed when
 * kernels run.
 */
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

void
krsi_wide_copy(krsi_wide_cut *to, const krsi_cut *from)
{
    memcpy(to->load, from->load, (size_t)from->loads * sizeof *to->load);
    memcpy(to->expr, from->expr, (size_t)from->exprs * sizeof *to->expr);
    memcpy(to->out, from->out, (size_t)from->outs * sizeof *to->out);
    to->cut = *from;
    to->cut.load = to->load;
    to->cut.expr = to->expr;
    to->cut.out = to->out;
}

/* ---- splitting an axis ---- */

static void
split_view(krsi_view *v, int axis, int64_t inner)
{
    size_t after = (size_t)(v->rank - axis - 1);
    memmove(v->stride + axis + 2, v->stride + axis + 1,
            after * sizeof *v->stride);
    memmove(v->extent + axis + 2, v->extent + axis + 1,
            after * sizeof *v->extent);
    memmove(v->max + axis + 2, v->max + axis + 1, after * sizeof *v->max);
    v->stride[axis + 1] = v->stride[axis];
    v->stride[axis] *= inner;
    v->max[axis + 1] = inner;
    v->max[axis] /= inner;
    v->extent[axis + 1] = KRS_INDEX(inner);
    v->extent[axis] = KRS_INDEX(v->max[axis]);
    v->rank++;
}

/* Axis `axis`, of constant extent, becomes two, the inner one of that size. */
static bool
split_axis(krsi_cut *cut, int axis, int64_t inner)
{
    if (cut->rank == KRSI_CUT_AXES || cut->extent[axis].terms)
        return false;
    krsi_view space = {.rank = cut->rank};
    memcpy(space.extent, cut->extent, sizeof space.extent);
    memcpy(space.max, cut->max, sizeof space.max);
    split_view(&space, axis, inner);
    cut->rank++;
    memcpy(cut->extent, space.extent, sizeof space.extent);
    memcpy(cut->max, space.max, sizeof space.max);
    for (int i = 0; i < cut->loads; i++)
        split_view(&cut->load[i].view, axis, inner);
    for (int i = 0; i < cut->outs; i++)
        split_view(&cut->out[i].view, axis, inner);
    return true;
}

/* ---- digits ---- */

typedef struct digit {
    int axis; /* of the guest */
    int64_t stride, extent;
    int64_t low, high; /* of the coordinate, with what is assigned so far */
} digit;

static int
by_stride(const void *a, const void *b)
{
    const digit *x = a, *y = b;
    return (x->stride < y->stride) - (x->stride > y->stride);
}

/* The digits of an out, largest first; -1 if it is not a whole value. */
static int
digits_of(const krsi_view *out, digit *d)
{
    int count = 0;
    if (out->offset.terms || out->offset.base)
        return -1;
    for (int a = 0; a < out->rank; a++)
        if (out->stride[a] && out->max[a] > 1)
            d[count++] = (digit){a, out->stride[a], out->max[a], 0, 0};
    qsort(d, (size_t)count, sizeof *d, by_stride);
    int64_t stride = 1;
    for (int i = count - 1; i >= 0; i--) {
        if (d[i].stride != stride)
            return -1;
        stride *= d[i].extent;
    }
    return count;
}

/* the digit of the largest stride that divides a step; -1: none */
static int
digit_for(const digit *d, int count, int64_t step)
{
    for (int i = 0; i < count; i++)
        if (d[i].stride <= llabs(step) && step % d[i].stride == 0)
            return i;
    return -1;
}

static bool
set_offset(const krsi_view *v, digit *d, int count, krsi_mapping *m)
{
    int64_t left = v->offset.base;
    if (v->offset.terms || left < 0)
        return false;
    for (int i = 0; i < count; i++) {
        d[i].low = d[i].high = left / d[i].stride;
        left %= d[i].stride;
        m->offset[d[i].axis] = d[i].low;
        if (d[i].high >= d[i].extent)
            return false;
    }
    return left == 0;
}

/* the columns of the mapping follow a split of axis `axis` */
static void
shift_columns(krsi_mapping *m, int axis)
{
    for (int g = 0; g < KRSI_CUT_AXES; g++) {
        memmove(m->step[g] + axis + 1, m->step[g] + axis,
                (size_t)(KRSI_CUT_AXES - axis - 1) * sizeof *m->step[g]);
        m->step[g][axis] = 0;
    }
}

/* Axis h of the host steps through one digit, or is split until its parts do;
 * from the innermost part outwards. */
static bool
assign_axis(krsi_wide_cut *host, int load, int h, digit *d, int count,
            krsi_mapping *m)
{
    int kept = krsi_family_axes(host->cut.family);
    const krsi_view *v = &host->load[load].view;
    while (v->stride[h] != 0 && v->max[h] > 1) {
        int at = digit_for(d, count, v->stride[h]);
        if (at < 0)
            return false;
        int64_t step = v->stride[h] / d[at].stride;
        int64_t span = step * (v->max[h] - 1);
        if (d[at].low + (span < 0 ? span : 0) >= 0 &&
            d[at].high + (span > 0 ? span : 0) < d[at].extent) {
            d[at].low += span < 0 ? span : 0;
            d[at].high += span > 0 ? span : 0;
            m->step[d[at].axis][h] = step;
            return true;
        }
        /* a digit that is stepped through whole: the rest is the next one */
        if (step <= 0 || d[at].extent % step || d[at].high || at == 0)
            return false;
        int64_t inner = d[at].extent / step;
        if (inner < 2 || v->max[h] % inner || h >= host->cut.rank - kept ||
            !split_axis(&host->cut, h, inner))
            return false;
        shift_columns(m, h + 1);
        m->step[d[at].axis][h + 1] = step;
        d[at].high = (inner - 1) * step;
    }
    return true;
}

/* An axis with a length known at run time is the same axis of the host. */
static bool
live_axes_agree(const krsi_cut *host, const krsi_cut *guest,
                const krsi_mapping *m)
{
    for (int g = 0; g < guest->rank; g++) {
        if (!guest->extent[g].terms)
            continue;
        bool same = false;
        for (int h = 0; h < host->rank; h++)
            same |= m->step[g][h] == 1 && m->offset[g] == 0 &&
                    krs_index_equal(host->extent[h], guest->extent[g]);
        if (!same)
            return false;
    }
    return true;
}

bool
krsi_compose(krsi_wide_cut *host, int load, const krsi_cut *guest, int out,
             krsi_mapping *m)
{
    digit d[KRSI_CUT_AXES];
    const krsi_view *to = &guest->out[out].view;
    int count = digits_of(to, d), last = guest->rank - 1;
    *m = (krsi_mapping){{0}, {{0}}};
    if (count < 0 || !set_offset(&host->load[load].view, d, count, m))
        return false;
    for (int h = host->cut.rank - 1; h >= 0; h--)
        if (!assign_axis(host, load, h, d, count, m))
            return false;
    if (guest->family == KRSI_CUT_ROWS && to->stride[last] == 0) {
        int row = host->cut.rank - 1;
        if (row >= 0 && host->load[load].view.stride[row] == 0)
            m->step[last][row] = 1;
    }
    return live_axes_agree(&host->cut, guest, m);
}

bool
krsi_mapping_equal(const krsi_mapping *a, const krsi_mapping *b,
                   const krsi_cut *host, const krsi_cut *guest)
{
    for (int g = 0; g < guest->rank; g++) {
        if (a->offset[g] != b->offset[g])
            return false;
        for (int h = 0; h < host->rank; h++)
            if (host->max[h] > 1 && a->step[g][h] != b->step[g][h])
                return false;
    }
    return true;
}

bool
krsi_mapping_invert(const krsi_mapping *m, const krsi_cut *host,
                    const krsi_cut *guest, int rows, krsi_mapping *out)
{
    *out = (krsi_mapping){{0}, {{0}}};
    for (int g = 0; g < guest->rank - rows; g++) {
        int moved_by = -1;
        if (guest->max[g] <= 1 && !guest->extent[g].terms)
            continue;
        for (int h = 0; h < host->rank; h++)
            if (m->step[g][h]) {
                if (moved_by >= 0)
                    return false;
                moved_by = h;
            }
        if (moved_by < 0 || m->step[g][moved_by] != 1 || m->offset[g] ||
            host->max[moved_by] != guest->max[g] ||
            !krs_index_equal(host->extent[moved_by], guest->extent[g]))
            return false;
        out->step[moved_by][g] = 1;
    }
    for (int h = 0; h < host->rank; h++) { /* every axis is moved by one */
        int by = 0;
        for (int g = 0; g < guest->rank - rows; g++)
            by += out->step[h][g] == 1;
        if (by != 1 && (host->max[h] != 1 || host->extent[h].terms || by))
            return false;
    }
    return true;
}

/* ---- one cut of two ---- */

/* a view of the guest's iteration space as one of the host's */
static krsi_view
map_view(const krsi_view *v, const krsi_mapping *m, const krsi_cut *host,
         int rank)
{
    krsi_view out = {
        .value = v->value, .rank = host->rank, .offset = v->offset};
    memcpy(out.extent, host->extent, sizeof out.extent);
    memcpy(out.max, host->max, sizeof out.max);
    for (int g = 0; g < rank; g++) {
        out.offset =
            krs_index_plus(out.offset, KRS_INDEX(v->stride[g] * m->offset[g]));
        for (int h = 0; h < host->rank; h++)
            out.stride[h] += v->stride[g] * m->step[g][h];
    }
    return out;
}

/* The merged cut being filled. */
typedef struct merger {
    krsi_wide_cut *to;
    const krsi_cut *host;
    const krsi_mapping *mapping;
    bool full; /* something did not fit */
} merger;

static bool
same_view(const krsi_view *a, const krsi_view *b)
{
    if (a->value != b->value || !krs_index_equal(a->offset, b->offset))
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->stride[i] != b->stride[i])
            return false;
    return true;
}

/* number of the load, or of an equal one */
static int
add_load(merger *m, krsi_load load)
{
    krsi_cut *to = &m->to->cut;
    for (int i = 0; i < to->loads; i++) {
        const krsi_load *x = &to->load[i];
        if (same_view(&x->view, &load.view) && x->indirect == load.indirect &&
            (load.indirect < 0 || x->indirect_stride == load.indirect_stride))
            return i;
    }
    if (to->loads == KRSI_CUT_LOADS) {
        m->full = true;
        return 0;
    }
    to->load[to->loads] = load;
    return to->loads++;
}

static bool
same_expr(const krsi_expr *a, const krsi_expr *b)
{
    bool same = a->kind == b->kind && a->dtype == b->dtype && a->op == b->op &&
                a->load == b->load && a->stream == b->stream &&
                memcmp(&a->number, &b->number, sizeof a->number) == 0;
    for (int i = 0; i < 3; i++)
        same = same && a->in[i] == b->in[i];
    return same;
}

/* number of the expression, or of an equal one; of one cut only reads, whose
 * loads may have become one, can be equal */
static int
add_expr(merger *m, krsi_expr e, bool is_first)
{
    krsi_cut *to = &m->to->cut;
    for (int i = 0; i < to->exprs && !is_first; i++)
        if (same_expr(&to->expr[i], &e))
            return i;
    if (to->exprs == KRSI_CUT_EXPRS) {
        m->full = true;
        return 0;
    }
    to->expr[to->exprs] = e;
    return to->exprs++;
}

/* All expressions of a cut; at[e] becomes the number of expression e.
 * known[load], if not -1, is what takes the place of a load. */
static void
add_exprs(merger *m, const krsi_cut *from, const int *known, int *at)
{
    bool is_guest = from != m->host, is_first = m->to->cut.exprs == 0;
    for (int i = 0; i < from->exprs && !m->full; i++) {
        krsi_expr e = from->expr[i];
        bool reads = e.kind == KRSI_X_LOAD || e.kind == KRSI_X_POSITION;
        if (reads && known && known[e.load] >= 0) {
            at[i] = known[e.load];
            continue;
        }
        for (int k = 0; k < krsi_expr_operands(&e); k++)
            e.in[k] = at[e.in[k]];
        if (reads) {
            krsi_load load = from->load[e.load];
            if (is_guest)
                load.view =
                    map_view(&load.view, m->mapping, m->host, from->rank);
            if (load.indirect >= 0)
                load.indirect = at[load.indirect];
            e.load = add_load(m, load);
        }
        at[i] = add_expr(m, e, is_first && !reads);
    }
}

static void
add_out(merger *m, const krsi_cut *from, int i, const int *at)
{
    krsi_cut *to = &m->to->cut;
    krsi_out out = from->out[i];
    if (to->outs == KRSI_CUT_OUTS) {
        m->full = true;
        return;
    }
    if (from != m->host)
        out.view = map_view(&out.view, m->mapping, m->host, from->rank);
    out.root = at[out.root];
    if (out.indirect >= 0)
        out.indirect = at[out.indirect];
    to->out[to->outs++] = out;
}

/* Loads and expressions that no out needs go; the others move up. */
static void
sweep(krsi_cut *cut)
{
    bool expr[KRSI_CUT_EXPRS] = {false}, load[KRSI_CUT_LOADS] = {false};
    int expr_at[KRSI_CUT_EXPRS], load_at[KRSI_CUT_LOADS];
    int exprs = 0, loads = 0;
    for (int i = 0; i < cut->outs; i++) {
        expr[cut->out[i].root] = true;
        if (cut->out[i].indirect >= 0)
            expr[cut->out[i].indirect] = true;
    }
    for (int i = cut->exprs - 1; i >= 0; i--) {
        const krsi_expr *e = &cut->expr[i];
        if (!expr[i])
            continue;
        for (int k = 0; k < krsi_expr_operands(e); k++)
            expr[e->in[k]] = true;
        if (e->kind != KRSI_X_LOAD && e->kind != KRSI_X_POSITION)
            continue;
        load[e->load] = true;
        if (cut->load[e->load].indirect >= 0)
            expr[cut->load[e->load].indirect] = true;
    }
    for (int i = 0; i < cut->exprs; i++)
        if (expr[i]) {
            krsi_expr e = cut->expr[i];
            for (int k = 0; k < krsi_expr_operands(&e); k++)
                e.in[k] = expr_at[e.in[k]];
            cut->expr[exprs] = e;
            expr_at[i] = exprs++;
        }
    for (int i = 0; i < cut->loads; i++)
        if (load[i]) {
            cut->load[loads] = cut->load[i];
            if (cut->load[loads].indirect >= 0)
                cut->load[loads].indirect = expr_at[cut->load[loads].indirect];
            load_at[i] = loads++;
        }
    cut->exprs = exprs;
    cut->loads = loads;
    for (int i = 0; i < exprs; i++)
        if (cut->expr[i].kind == KRSI_X_LOAD ||
            cut->expr[i].kind == KRSI_X_POSITION)
            cut->expr[i].load = load_at[cut->expr[i].load];
    for (int i = 0; i < cut->outs; i++) {
        cut->out[i].root = expr_at[cut->out[i].root];
        if (cut->out[i].indirect >= 0)
            cut->out[i].indirect = expr_at[cut->out[i].indirect];
    }
}

bool
krsi_merge_cuts(const krsi_merge *merge, krsi_wide_cut *out)
{
    const krsi_cut *p = merge->producer, *c = merge->consumer;
    merger m = {.to = out,
                .host = merge->into_producer ? p : c,
                .mapping = merge->mapping};
    int p_at[KRSI_CUT_EXPRS], c_at[KRSI_CUT_EXPRS], known[KRSI_CUT_LOADS];
    out->cut = *m.host;
    out->cut.load = out->load;
    out->cut.expr = out->expr;
    out->cut.out = out->out;
    out->cut.loads = out->cut.exprs = out->cut.outs = 0;
    if (p->family == KRSI_CUT_ROWS && c->family == KRSI_CUT_MAP)
        out->cut.family = KRSI_CUT_ROWS;
    add_exprs(&m, p, NULL, p_at);
    for (int i = 0; i < c->loads && !m.full; i++)
        known[i] =
            merge->replaced[i] < 0 ? -1 : p_at[p->out[merge->replaced[i]].root];
    if (!m.full)
        add_exprs(&m, c, known, c_at);
    for (int i = 0; i < c->outs && !m.full; i++)
        add_out(&m, c, i, c_at);
    for (int i = 0; i < p->outs && !m.full; i++)
        if (merge->carried[i])
            add_out(&m, p, i, p_at);
    if (m.full)
        return false;
    sweep(&out->cut);
    int reduces = 0;
    for (int i = 0; i < out->cut.exprs; i++)
        reduces += out->cut.expr[i].kind == KRSI_X_REDUCE;
    return reduces <= KRSI_CUT_REDUCES;
}
