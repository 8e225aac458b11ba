/* lower_rows_group.c -- the templates of the family rows by groups of items that
 * share memory, as GPUs have them.
 *
 * The virtual lanes of lower_rows.c are items here, so that the order of every
 * sum is the same:
 *
 *   along    a group has one row, or several short ones; item j of a row is its
 *            virtual lane j, which reads elements j, j + 64, ... beside its
 *            neighbours. The lanes meet in shared memory in two rounds of eight:
 *            item j < 8 joins lanes j, j + 8, ..., j + 56 in registers, then
 *            every item joins the eight of these, and has the sum. A row of up to
 *            32 elements has so many items: the lanes beyond it are empty, and
 *            what they would add changes nothing.
 *   across   a group has a strip of columns; an item has eight of the virtual
 *            lanes of a column, one after the other, and the first of them in
 *            the same two rounds the sum of all
 *
 * What is stored once a row is stored by item 0, and what varies along it by the
 * items that read it: where it lies on an operand in place, a barrier stands
 * between (../sched/layout_step.c says where that may be).
 *
 * Source: Harris 2007, "Optimizing parallel reduction in CUDA", for the fixed
 * tree in shared memory.
 */
#include "lower_rows.h"

enum {
    EIGHT = 8,      /* items of the second round, lanes of an item's first */
    SHORT_ROW = 32, /* longest row with fewer items than virtual lanes */
    WIDEST = 32,    /* columns of a strip */
    NARROWEST = 8,
    WORD_BYTES = 8 /* of a partial sum, at most */
};

static krsi_kv
plus(krsi_kb *kb, krsi_kv a, int64_t b)
{
    return krsi_kb_add(kb, a, krsi_kb_i64(kb, b));
}

static krs_kscalar
scalar_of(const krsi_rows *r, int i)
{
    return krsi_rows_scalar(r->l->cut->expr[r->reduce[i]].op);
}

/* Elements at, at + step, ... of a partial sum, joined. */
static krsi_kv
join_shared(krsi_rows *r, int i, krsi_kv at, int64_t step, int count)
{
    krsi_kb *kb = r->l->kb;
    krsi_kv v[KRSI_ROW_LANES];
    for (int k = 0; k < count; k++)
        v[k] = krsi_kb_load(kb, (krsi_kmem){.buffer = r->partial[i],
                                            .index = plus(kb, at, k * step)});
    return krsi_kb_join(kb, scalar_of(r, i), v, count);
}

static void
put_shared(krsi_rows *r, int i, krsi_kv at, krsi_kv value)
{
    krsi_kb_store(r->l->kb, (krsi_kmem){.buffer = r->partial[i], .index = at},
                  value);
}

/* The elements first, first + step, ... of the row, in ascending order. */
static void
sum_lane(krsi_rows *r, krsi_kv first, int64_t step, krsi_kv *sum)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    krsi_rows_lanes carry[KRSI_CUT_REDUCES], next[KRSI_CUT_REDUCES];
    krsi_kv none[KRSI_CUT_REDUCES];
    for (int i = 0; i < r->reduces; i++)
        none[i] = krsi_rows_identity(kb, l->cut->expr[r->reduce[i]].op,
                                     krsi_rows_type(l, r->reduce[i]));
    krsi_kv k =
        krsi_kb_for(kb, first, l->extent[r->row], krsi_kb_i64(kb, step));
    for (int i = 0; i < r->reduces; i++)
        carry[i][0] = krsi_kb_carry(kb, none[i]);
    l->coord[r->row] = k;
    krsi_lower_move(l);
    krsi_rows_take_turn(r, carry, next, 0);
    for (int i = 0; i < r->reduces; i++)
        krsi_kb_next(kb, carry[i][0], next[i][0]);
    krsi_kb_end(kb);
    krsi_lower_move(l);
    for (int i = 0; i < r->reduces; i++)
        sum[i] = krsi_kb_result(kb, carry[i][0]);
}

/* ---- along ---- */

/* Items of a row: the virtual lanes that can have an element. */
static int
items_of(const krsi_rows *r)
{
    int64_t most = r->l->cut->max[r->row];
    int items = EIGHT;
    while (items < KRSI_ROW_LANES && (items < most || most > SHORT_ROW))
        items *= 2;
    return items;
}

/* Rows of a group: as many as its items allow and all groups can have. */
static int
rows_of(const krsi_rows *r, int items)
{
    int rows = KRSI_ROW_LANES / items;
    if (r->row == 0)
        return 1;
    krs_index all = r->l->cut->extent[r->row - 1];
    while (rows > 1 && (all.terms || all.base % rows != 0))
        rows /= 2;
    return rows;
}

/* All reductions of the pass; each item then has their values. Between the
 * first stores of two passes are two barriers, so that neither overwrites what
 * is still read; rows of eight items, without a first round, need one more. */
static void
reduce_by_lanes(krsi_rows *r, int pass, int items, int rows)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    krsi_kv sum[KRSI_CUT_REDUCES], x = krsi_kb_local(kb, 0);
    int stretch = items + EIGHT;
    krsi_kv begin = krsi_kb_i64(kb, 0);
    if (rows > 1)
        begin = krsi_kb_mul(kb, krsi_kb_local(kb, 1), krsi_kb_i64(kb, stretch));
    krsi_kv tops = plus(kb, begin, items);
    krsi_rows_open_pass(r, pass);
    krsi_rows_declare_partials(r, (int64_t)rows * stretch);
    krsi_lower_fix(l, 1U << r->row, r->needed);
    sum_lane(r, x, items, sum);
    if (items == EIGHT)
        krsi_kb_barrier(kb);
    for (int i = 0; i < r->reduces; i++)
        put_shared(r, i, krsi_kb_add(kb, items == EIGHT ? tops : begin, x),
                   sum[i]);
    krsi_kb_barrier(kb);
    if (items > EIGHT) {
        krsi_kb_if_below(kb, x, krsi_kb_i64(kb, EIGHT));
        for (int i = 0; i < r->reduces; i++)
            put_shared(r, i, krsi_kb_add(kb, tops, x),
                       join_shared(r, i, krsi_kb_add(kb, begin, x), EIGHT,
                                   items / EIGHT));
        krsi_kb_end(kb);
        krsi_kb_barrier(kb);
    }
    for (int i = 0; i < r->reduces; i++)
        krsi_rows_settle(l, r->reduce[i], join_shared(r, i, tops, 1, EIGHT));
}

/* Outs that hold for the whole row: by item 0. */
static bool
store_rows(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    bool any = false;
    for (int i = 0; i < l->cut->outs; i++)
        any |= !krsi_rows_stores_points(r, i);
    if (!any)
        return false;
    krsi_lower_move(l);
    l->coord[r->row] = krsi_kb_i64(kb, 0);
    krsi_kb_if_below(kb, krsi_kb_local(kb, 0), krsi_kb_i64(kb, 1));
    for (int i = 0; i < l->cut->outs; i++)
        if (!krsi_rows_stores_points(r, i))
            krsi_lower_deliver(l, i);
    krsi_kb_end(kb);
    krsi_lower_move(l);
    return true;
}

static void
store_points(krsi_rows *r, int items, bool waits)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    if (!krsi_rows_open_points(r))
        return;
    if (waits)
        krsi_kb_barrier(kb);
    l->coord[r->row] = krsi_kb_for(kb, krsi_kb_local(kb, 0), l->extent[r->row],
                                   krsi_kb_i64(kb, items));
    krsi_lower_move(l);
    for (int i = 0; i < l->cut->outs; i++)
        if (krsi_rows_stores_points(r, i))
            krsi_lower_deliver(l, i);
    krsi_kb_end(kb);
    krsi_lower_move(l);
}

/* Along the row an index that was read may be false at several items, which
 * would race for the place of the fault. */
static bool
may_race_for_faults(const krsi_rows *r)
{
    const krsi_cut *cut = r->l->cut;
    for (int i = 0; i < cut->loads; i++)
        if (cut->load[i].indirect >= 0 &&
            r->l->varies[cut->load[i].indirect] >> r->row & 1)
            return true;
    for (int i = 0; i < cut->outs; i++)
        if (cut->out[i].indirect >= 0)
            return true;
    return false;
}

bool
krsi_rows_group_along(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    int items = items_of(r), rows = rows_of(r, items);
    int64_t bytes =
        (int64_t)KRSI_CUT_REDUCES * rows * (items + EIGHT) * WORD_BYTES;
    if (l->facts->group_items < KRSI_ROW_LANES ||
        (uint64_t)bytes > l->facts->shared_bytes || may_race_for_faults(r))
        return false;
    krsi_kb_group(kb, (uint32_t)items, (uint32_t)rows, 1);
    r->in_group = true;
    l->lanes = 1;
    krsi_lower_points(l, r->row, rows);
    if (rows > 1)
        l->coord[r->row - 1] =
            krsi_kb_add(kb, l->coord[r->row - 1], krsi_kb_local(kb, 1));
    for (int pass = 1; pass <= r->passes; pass++)
        reduce_by_lanes(r, pass, items, rows);
    bool waits = store_rows(r);
    store_points(r, items, waits);
    krsi_lower_end_points(l);
    return true;
}

/* ---- across ---- */

/* Columns of a strip: as many as shared memory holds; 0: not even few. */
static int
columns_of(const krsi_rows *r)
{
    const krsi_facts *facts = r->l->facts;
    int columns = WIDEST;
    while (columns >= NARROWEST &&
           ((uint64_t)(r->reduces * columns) * KRSI_ROW_LANES * WORD_BYTES >
                facts->shared_bytes ||
            (uint32_t)(columns * EIGHT) > facts->group_items))
        columns /= 2;
    return columns >= NARROWEST ? columns : 0;
}

/* The item's virtual lanes y, y + 8, ... of its column, into shared memory, where
 * only the item itself reads them. */
static void
sum_lanes_across(krsi_rows *r, int columns)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    krsi_kv sum[KRSI_CUT_REDUCES];
    krsi_kv lane =
        krsi_kb_for(kb, krsi_kb_local(kb, 1), krsi_kb_i64(kb, KRSI_ROW_LANES),
                    krsi_kb_i64(kb, EIGHT));
    sum_lane(r, lane, KRSI_ROW_LANES, sum);
    krsi_kv at =
        krsi_kb_add(kb, krsi_kb_mul(kb, lane, krsi_kb_i64(kb, columns)),
                    krsi_kb_local(kb, 0));
    for (int i = 0; i < r->reduces; i++)
        put_shared(r, i, at, sum[i]);
    krsi_kb_end(kb);
}

/* Turns of the loops of an item, about, where a device bounds them. */
static bool
has_turns(const krsi_rows *r)
{
    int64_t bound = r->l->facts->item_turns;
    int64_t lane = r->l->cut->max[r->row] / KRSI_ROW_LANES + 2;
    return bound == 0 || lane <= bound / (KRSI_ROW_LANES / EIGHT + 1);
}

/* Columns beyond the end take the last one, and store nothing. */
bool
krsi_rows_group_across(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    int column = r->row - 1;
    krsi_rows_open_pass(r, 1);
    int columns = columns_of(r);
    if (!columns || krsi_cut_may_fault(l->cut) || !has_turns(r))
        return false;
    krsi_kb_group(kb, (uint32_t)columns, EIGHT, 1);
    r->in_group = true;
    l->lanes = 1;
    krsi_kv x = krsi_kb_local(kb, 0), y = krsi_kb_local(kb, 1);
    krsi_rows_declare_partials(r, (int64_t)KRSI_ROW_LANES * columns);
    krsi_lower_points(l, r->row, columns);
    krsi_kv mine = krsi_kb_add(kb, l->coord[column], x);
    l->coord[column] = krsi_kb_min(kb, mine, plus(kb, l->extent[column], -1));
    krsi_lower_fix(l, 1U << r->row, r->needed);
    if (l->loops > 0)
        krsi_kb_barrier(kb); /* the sums of the turn before are read */
    sum_lanes_across(r, columns);
    krsi_kv top =
        krsi_kb_add(kb, krsi_kb_mul(kb, y, krsi_kb_i64(kb, columns)), x);
    for (int i = 0; i < r->reduces; i++)
        put_shared(r, i, top, join_shared(r, i, top, EIGHT * columns, EIGHT));
    krsi_kb_barrier(kb);
    krsi_kb_if_below(kb, y, krsi_kb_i64(kb, 1));
    krsi_kb_if_below(kb, mine, l->extent[column]);
    l->coord[r->row] = krsi_kb_i64(kb, 0);
    krsi_lower_move(l);
    for (int i = 0; i < r->reduces; i++)
        krsi_rows_settle(l, r->reduce[i], join_shared(r, i, x, columns, EIGHT));
    for (int i = 0; i < l->cut->outs; i++)
        krsi_lower_deliver(l, i);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    krsi_lower_end_points(l);
    return true;
}
