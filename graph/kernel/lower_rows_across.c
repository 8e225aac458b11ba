/* lower_rows_across.c -- the templates of the family rows that go across: the
 * last axis is not contiguous, but the one before it is.
 *
 * In: one level of reductions. Out: vectors along the contiguous axis, each
 * element of the last axis into its virtual lane; then the lanes meet, in the
 * order that lower_rows.c states. The 64 partial sums of a column lie one after
 * the other in scratch.
 */
#include "lower_rows.h"

#include <string.h>

enum {
    STRIP = 64, /* columns of an item, at most */
    LINE = 16   /* and at least: a cache line */
};

static krsi_kmem
partial(krsi_rows *r, int reduce, krsi_kv lane)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    krsi_kv column = krsi_kb_sub(kb, l->coord[r->row - 1], r->begin);
    krsi_kv line = krsi_kb_mul(kb, lane, krsi_kb_i64(kb, r->strip));
    return (krsi_kmem){.buffer = r->partial[reduce],
                       .index = krsi_kb_add(kb, line, column),
                       .lanes = l->lanes};
}

/* Columns of the item beyond the end are in scratch too, and never stored. */
static void
clear_lane(krsi_lowering *l, void *context)
{
    krsi_rows *r = context;
    for (int i = 0; i < r->reduces; i++) {
        enum krsi_op op = l->cut->expr[r->reduce[i]].op;
        krsi_kv none =
            krsi_rows_identity(l->kb, op, krsi_rows_type(l, r->reduce[i]));
        krsi_kb_store(l->kb, partial(r, i, r->lane), krsi_rows_spread(l, none));
    }
}

static void
add_to_lane(krsi_lowering *l, void *context)
{
    krsi_rows *r = context;
    krsi_kb *kb = l->kb;
    for (int i = 0; i < r->reduces; i++) {
        krs_kscalar op = krsi_rows_scalar(l->cut->expr[r->reduce[i]].op);
        krsi_kmem at = partial(r, i, r->lane);
        krsi_kv v = krsi_rows_spread(l, krsi_rows_operand(l, r->reduce[i]));
        krsi_kb_store(
            kb, at,
            krsi_kb_scalar(kb, op, krsi_kb_load(kb, at), v, KRSI_KV_NONE));
    }
}

static void
store_columns(krsi_lowering *l, void *context)
{
    krsi_rows *r = context;
    krsi_kv zero = krsi_kb_i64(l->kb, 0);
    for (int i = 0; i < r->reduces; i++)
        krsi_rows_settle(l, r->reduce[i],
                         krsi_kb_load(l->kb, partial(r, i, zero)));
    for (int i = 0; i < l->cut->outs; i++)
        krsi_lower_deliver(l, i);
}

/* Two lanes meet, at all columns of the strip. */
static void
join_lanes(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0), one = krsi_kb_i64(kb, 1);
    for (int half = KRSI_ROW_LANES / 2; half > 0; half /= 2) {
        krsi_kv j = krsi_kb_for(kb, zero, krsi_kb_i64(kb, half), one);
        krsi_kv other = krsi_kb_add(kb, j, krsi_kb_i64(kb, half));
        krsi_kv stop = krsi_kb_add(kb, r->begin, krsi_kb_i64(kb, r->strip));
        l->coord[r->row - 1] =
            krsi_kb_for(kb, r->begin, stop, krsi_kb_i64(kb, l->lanes));
        for (int i = 0; i < r->reduces; i++) {
            krs_kscalar op = krsi_rows_scalar(l->cut->expr[r->reduce[i]].op);
            krsi_kmem at = partial(r, i, j);
            krsi_kv sum = krsi_kb_scalar(kb, op, krsi_kb_load(kb, at),
                                         krsi_kb_load(kb, partial(r, i, other)),
                                         KRSI_KV_NONE);
            krsi_kb_store(kb, at, sum);
        }
        krsi_kb_end(kb);
        krsi_kb_end(kb);
    }
}

/* Row after row of the operand, each from left to right as memory likes it;
 * row k goes to the partial sums of lane k mod 64. */
void
krsi_rows_across(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    int column = r->row - 1;
    int64_t share =
        l->cut->max[column] / (4 * (int64_t)(l->facts->workers | 1U));
    krsi_kv one = krsi_kb_i64(kb, 1), zero = krsi_kb_i64(kb, 0);
    krsi_kv width = krsi_kb_i64(kb, KRSI_ROW_LANES), n = l->extent[r->row];
    r->strip = share >= STRIP ? STRIP : share >= 2 * LINE ? 2 * LINE : LINE;
    krsi_rows_open_pass(r, 1);
    krsi_rows_declare_partials(r, (int64_t)KRSI_ROW_LANES * r->strip);
    krsi_lower_points(l, r->row, r->strip);
    r->begin = l->coord[column];
    krsi_kv stop = krsi_kb_add(kb, r->begin, krsi_kb_i64(kb, r->strip));
    l->vector_axis = column;

    r->lane = krsi_kb_for(kb, zero, width, one);
    l->coord[column] =
        krsi_kb_for(kb, r->begin, stop, krsi_kb_i64(kb, l->lanes));
    clear_lane(l, r);
    krsi_kb_end(kb);
    krsi_kb_end(kb);

    krsi_kv block = krsi_kb_for(kb, zero, n, width);
    krsi_kv left = krsi_kb_min(kb, krsi_kb_sub(kb, n, block), width);
    r->lane = krsi_kb_for(kb, zero, left, one);
    l->coord[r->row] = krsi_kb_add(kb, block, r->lane);
    krsi_lower_fix(l, 1U << column, r->needed);
    krsi_lower_vectors(l, r->begin, l->end, add_to_lane, r);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    memset(l->fixed, 0, sizeof l->fixed); /* that was inside the loop */

    join_lanes(r);
    krsi_lower_vectors(l, r->begin, l->end, store_columns, r);
    krsi_lower_end_points(l);
}
