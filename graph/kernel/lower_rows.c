/* lower_rows.c -- the family rows: expressions over points, and reductions
 * along the last axis that later expressions use.
 *
 * The order of a sum depends on its length alone (kb.h, krsi_kb_row_tree):
 * element k belongs to virtual lane k mod 64, a lane adds its elements in
 * ascending order, then the lanes meet in a binary tree. Two templates keep
 * that order:
 *
 *   along    vectors along the last axis are the lanes. A row is passed over
 *            once for each level of reductions (a softmax has two: maximum,
 *            sum), and once more to store what varies along it. What is dear
 *            to compute and wanted in a later pass again stays in scratch.
 *   across   the last axis is not contiguous but the one before it is, and
 *            there is one level: vectors along that one, the 64 partial sums
 *            one after the other in scratch
 *
 * Where items are lanes of a processor, virtual lanes are taken in turn, some
 * at a time (lower_rows_lanes.c): little code and few values, but no more turns
 * of an item's loops than the device allows. Where code is dear, virtual lanes are in scratch, and
 * a row is passed over a vector at a time.
 *
 * Where groups of items share memory, items are the virtual lanes
 * (lower_rows_group.c).
 *
 * argmax goes through the last axis one by one, with vectors across.
 */
#include "lower_rows.h"

#include <math.h>
#include <string.h>

enum {
    ROWS_CHUNK = 4096, /* points of an item, about */
    KEPT_ROW = 1 << 16 /* longest row that is kept in scratch */
};

krs_kscalar
krsi_rows_scalar(enum krsi_op op)
{
    return op == KRSI_SUM    ? KRS_KS_ADD
           : op == KRSI_PROD ? KRS_KS_MUL
           : op == KRSI_AMAX ? KRS_KS_MAX
                             : KRS_KS_MIN;
}

/* what a lane without elements holds */
krsi_kv
krsi_rows_identity(krsi_kb *kb, enum krsi_op op, krs_dtype type)
{
    bool fixed = op == KRSI_SUM || op == KRSI_PROD, low = op == KRSI_AMAX;
    int number = op == KRSI_PROD;
    if (type == KRS_F32)
        return krsi_kb_f32(kb, fixed ? (float)number
                               : low ? -INFINITY
                                     : INFINITY);
    if (type == KRS_I64)
        return krsi_kb_i64(kb, fixed ? number : low ? INT64_MIN : INT64_MAX);
    return krsi_kb_i32(kb, fixed ? number : low ? INT32_MIN : INT32_MAX);
}

bool
krsi_rows_stores_points(const krsi_rows *r, int i)
{
    return r->l->cut->out[i].view.stride[r->row] != 0;
}

static bool
varies_along_row(const krsi_rows *r, int expr)
{
    return r->l->varies[expr] >> r->row & 1;
}

/* The value of a finished reduction, in the type of its expression. */
void
krsi_rows_settle(krsi_lowering *l, int expr, krsi_kv total)
{
    const krsi_expr *e = &l->cut->expr[expr];
    krs_dtype type = krsi_lower_type(e->dtype);
    if (krsi_kb_type(l->kb, total).dtype != type)
        total = krsi_kb_convert(l->kb, type, total);
    l->fixed[expr] = krsi_lower_wrap(l->kb, e->dtype, total);
}

/* the type in which the operand of a reduction is counted */
krs_dtype
krsi_rows_type(const krsi_lowering *l, int expr)
{
    const krsi_expr *e = &l->cut->expr[expr];
    krs_dtype type = krsi_lower_type(l->cut->expr[e->in[0]].dtype);
    return krs_dtype_is_float(type) ? KRS_F32 : type;
}

krsi_kv
krsi_rows_operand(krsi_lowering *l, int expr)
{
    krsi_kv v = krsi_lower_expr(l, l->cut->expr[expr].in[0]);
    krs_dtype type = krsi_rows_type(l, expr);
    return krsi_kb_type(l->kb, v).dtype == type
               ? v
               : krsi_kb_convert(l->kb, type, v);
}

krsi_kv
krsi_rows_spread(krsi_lowering *l, krsi_kv v)
{
    return l->lanes > 1 && krsi_kb_type(l->kb, v).lanes == 1
               ? krsi_kb_broadcast(l->kb, l->lanes, v)
               : v;
}

/* ---- passes ---- */

/* Levels: a reduction is one above its operand, all else as high as its
 * highest operand. Reductions of level p are made by pass p. */
static void
find_levels(krsi_rows *r)
{
    const krsi_cut *cut = r->l->cut;
    for (int i = 0; i < cut->exprs; i++) {
        const krsi_expr *e = &cut->expr[i];
        int level = 0;
        for (int k = 0; k < krsi_expr_operands(e); k++)
            if (r->level[e->in[k]] > level)
                level = r->level[e->in[k]];
        if (e->kind == KRSI_X_LOAD && cut->load[e->load].indirect >= 0 &&
            r->level[cut->load[e->load].indirect] > level)
            level = r->level[cut->load[e->load].indirect];
        r->level[i] = level + (e->kind == KRSI_X_REDUCE);
        if (r->level[i] > r->passes)
            r->passes = r->level[i];
    }
}

/* What the pass computes at every point, before which all of lower levels is
 * known: the operands of its reductions; for pass 0, what is stored. */
void
krsi_rows_open_pass(krsi_rows *r, int pass)
{
    const krsi_cut *cut = r->l->cut;
    int roots[KRSI_CUT_EXPRS + KRSI_CUT_OUTS], count = 0;
    r->pass = pass;
    r->reduces = 0;
    for (int i = 0; i < cut->exprs && pass > 0; i++)
        if (cut->expr[i].kind == KRSI_X_REDUCE && r->level[i] == pass &&
            r->reduces < KRSI_CUT_REDUCES) {
            r->reduce[r->reduces++] = i;
            roots[count++] = cut->expr[i].in[0];
        }
    for (int i = 0; i < cut->outs && pass == 0; i++)
        if (krsi_rows_stores_points(r, i))
            roots[count++] = cut->out[i].root;
    bool *needed = r->needed;
    memset(needed, 0, sizeof r->needed);
    for (int i = 0; i < count; i++)
        needed[roots[i]] = true;
    for (int i = cut->exprs - 1; i >= 0; i--) {
        const krsi_expr *e = &cut->expr[i];
        bool known = e->kind == KRSI_X_REDUCE;
        for (int k = 0; k < r->keeps; k++)
            known |= r->kept[k] == i && (pass == 0 || r->kept_in[k] < pass);
        if (!needed[i] || known)
            continue;
        for (int k = 0; k < krsi_expr_operands(e); k++)
            needed[e->in[k]] = true;
        if (e->kind == KRSI_X_LOAD && cut->load[e->load].indirect >= 0)
            needed[cut->load[e->load].indirect] = true;
    }
}

static bool
is_dear(const krsi_expr *e)
{
    if (e->kind == KRSI_X_RANDOM)
        return true;
    if (e->kind != KRSI_X_OP)
        return false;
    static const bool dear[KRSI_OP_COUNT] = {
        [KRSI_EXP] = true,  [KRSI_LOG] = true,     [KRSI_SIN] = true,
        [KRSI_EXP2] = true, [KRSI_LOG2] = true,    [KRSI_COS] = true,
        [KRSI_TANH] = true, [KRSI_SIGMOID] = true, [KRSI_ERF] = true,
        [KRSI_ERFC] = true, [KRSI_POW] = true,
    };
    return dear[e->op];
}

/* Dear expressions that two passes want are kept by the first. */
static void
find_kept(krsi_rows *r)
{
    const krsi_cut *cut = r->l->cut;
    int first[KRSI_CUT_EXPRS], uses[KRSI_CUT_EXPRS] = {0};
    /* lanes of a processor reach scratch more slowly than they compute */
    if (cut->max[r->row] > KEPT_ROW || r->l->facts->items_are_lanes)
        return;
    for (int turn = 1; turn <= r->passes + 1; turn++) {
        int pass = turn <= r->passes ? turn : 0; /* 0 is the last */
        krsi_rows_open_pass(r, pass);
        for (int i = 0; i < cut->exprs; i++) {
            if (!r->needed[i] || !is_dear(&cut->expr[i]) ||
                !varies_along_row(r, i) || cut->expr[i].dtype != KRS_F32)
                continue;
            if (uses[i]++ == 0)
                first[i] = pass;
        }
    }
    for (int i = 0; i < cut->exprs && r->keeps < KRSI_ROWS_KEPT; i++)
        if (uses[i] > 1) {
            r->kept[r->keeps] = i;
            r->kept_in[r->keeps++] = first[i];
        }
}

static krsi_kmem
kept_place(krsi_rows *r, int k)
{
    krsi_lowering *l = r->l;
    return (krsi_kmem){.buffer = r->scratch[k],
                       .index = l->coord[r->row],
                       .lanes = l->lanes,
                       .mask = l->mask};
}

/* Before a point of the pass: what is in scratch is loaded; after it: what
 * the pass computed for later ones is stored. */
static void
load_kept(krsi_rows *r)
{
    for (int k = 0; k < r->keeps; k++)
        if (r->needed[r->kept[k]] && (r->pass == 0 || r->kept_in[k] < r->pass))
            r->l->here[r->kept[k]] = krsi_kb_load(r->l->kb, kept_place(r, k));
}

static void
store_kept(krsi_rows *r)
{
    for (int k = 0; k < r->keeps; k++)
        if (r->kept_in[k] == r->pass)
            krsi_kb_store(r->l->kb, kept_place(r, k),
                          krsi_lower_expr(r->l, r->kept[k]));
}

void
krsi_rows_declare_partials(krsi_rows *r, int64_t count)
{
    static const char *const names[] = {"sum0", "sum1", "sum2", "sum3",
                                        "sum4", "sum5", "sum6", "sum7"};
    for (int i = 0; i < r->reduces; i++) {
        krs_dtype type = krsi_rows_type(r->l, r->reduce[i]);
        if (r->partial[i].ref && r->partial_type[i] == type)
            continue;
        r->partial[i] = r->in_group
                            ? krsi_kb_shared(r->l->kb, names[i], type, count, 0)
                            : krsi_kb_scratch(r->l->kb, names[i], type, count,
                                              KRSI_KV_NONE, 64);
        r->partial_type[i] = type;
    }
}

/* ---- along ---- */

/* One trip of a pass: 64 points from k on, masked unless all are there. */
static void
take_block(krsi_rows *r, krsi_kv k, bool whole,
           krsi_kv (*carry)[KRSI_ROW_LANES], krsi_kv (*sum)[KRSI_ROW_LANES])
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    int parts = KRSI_ROW_LANES / l->lanes;
    for (int p = 0; p < parts; p++) {
        l->coord[r->row] =
            krsi_kb_add(kb, k, krsi_kb_i64(kb, (int64_t)p * l->lanes));
        l->mask = whole ? KRSI_KV_NONE
                        : krsi_kb_below(kb, l->coord[r->row], l->extent[r->row],
                                        l->lanes);
        krsi_lower_move(l);
        load_kept(r);
        for (int i = 0; i < r->reduces; i++) {
            enum krsi_op op = l->cut->expr[r->reduce[i]].op;
            krsi_kv v = krsi_rows_spread(l, krsi_rows_operand(l, r->reduce[i]));
            krsi_kv none = krsi_rows_spread(
                l, krsi_rows_identity(kb, op, krsi_rows_type(l, r->reduce[i])));
            if (!whole)
                v = krsi_kb_select(kb, l->mask, v, none);
            sum[i][p] = krsi_kb_scalar(kb, krsi_rows_scalar(op), carry[i][p], v,
                                       KRSI_KV_NONE);
        }
        store_kept(r);
    }
    l->mask = KRSI_KV_NONE;
    krsi_lower_move(l);
}

/* The loop over whole blocks, or over the block that is left. */
static void
take_blocks(krsi_rows *r, krsi_kv low, krsi_kv high, bool whole,
            krsi_kv (*value)[KRSI_ROW_LANES])
{
    krsi_kb *kb = r->l->kb;
    int parts = KRSI_ROW_LANES / r->l->lanes;
    krsi_rows_lanes carry[KRSI_CUT_REDUCES], sum[KRSI_CUT_REDUCES];
    krsi_kv k = krsi_kb_for(kb, low, high, krsi_kb_i64(kb, KRSI_ROW_LANES));
    for (int i = 0; i < r->reduces; i++)
        for (int p = 0; p < parts; p++)
            carry[i][p] = krsi_kb_carry(kb, value[i][p]);
    take_block(r, k, whole, carry, sum);
    for (int i = 0; i < r->reduces; i++)
        for (int p = 0; p < parts; p++)
            krsi_kb_next(kb, carry[i][p], sum[i][p]);
    krsi_kb_end(kb);
    for (int i = 0; i < r->reduces; i++)
        for (int p = 0; p < parts; p++)
            value[i][p] = krsi_kb_result(kb, carry[i][p]);
}

/* Is the row so many turns, all of them whole? */
bool
krsi_rows_are_whole(const krsi_rows *r, int64_t points)
{
    krs_index extent = r->l->cut->extent[r->row];
    return extent.terms == 0 && extent.base % points == 0;
}

void
krsi_rows_go_to(krsi_rows *r, krsi_kv at, int v)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    at = krsi_kb_add(kb, at, krsi_kb_i64(kb, (int64_t)v * l->lanes));
    l->coord[r->row] = at;
    l->mask = krsi_rows_are_whole(r, (int64_t)r->at_once * l->lanes)
                  ? KRSI_KV_NONE
                  : krsi_kb_below(kb, at, l->extent[r->row], l->lanes);
    krsi_lower_move(l);
}

/* A turn at the point where the coordinates are: v of its vectors or rows. */
void
krsi_rows_take_turn(krsi_rows *r, krsi_kv (*carry)[KRSI_ROW_LANES],
                    krsi_kv (*sum)[KRSI_ROW_LANES], int v)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    for (int i = 0; i < r->reduces; i++) {
        enum krsi_op op = l->cut->expr[r->reduce[i]].op;
        krsi_kv x = krsi_rows_spread(l, krsi_rows_operand(l, r->reduce[i]));
        if (l->mask.ref)
            x = krsi_kb_select(
                kb, l->mask, x,
                krsi_rows_spread(
                    l, krsi_rows_identity(kb, op,
                                          krsi_rows_type(l, r->reduce[i]))));
        sum[i][v] = krsi_kb_scalar(kb, krsi_rows_scalar(op), carry[i][v], x,
                                   KRSI_KV_NONE);
    }
}

/* The virtual lanes of the pass out of scratch, loaded as `from` says; the row
 * is over. */
static void
read_partials(krsi_rows *r, krsi_kmem from, krsi_kv (*value)[KRSI_ROW_LANES])
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    for (int i = 0; i < r->reduces; i++)
        for (int p = 0; p < KRSI_ROW_LANES / l->lanes; p++) {
            from.buffer = r->partial[i];
            from.index = krsi_kb_i64(kb, (int64_t)p * l->lanes);
            value[i][p] = krsi_kb_load(kb, from);
        }
    l->mask = KRSI_KV_NONE;
    krsi_lower_move(l);
}

/* A vector of the row at a time, added to its virtual lanes in scratch: the
 * operand stands once in the code. */
static void
reduce_by_vectors(krsi_rows *r, krsi_kv (*value)[KRSI_ROW_LANES])
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    krsi_rows_lanes carry[KRSI_CUT_REDUCES], sum[KRSI_CUT_REDUCES];
    krsi_kv zero = krsi_kb_i64(kb, 0), block = krsi_kb_i64(kb, KRSI_ROW_LANES);
    krsi_kv step = krsi_kb_i64(kb, l->lanes), n = l->extent[r->row];
    krsi_kmem lane = {.lanes = l->lanes};
    krsi_rows_declare_partials(r, KRSI_ROW_LANES);
    lane.index = krsi_kb_for(kb, zero, block, step);
    for (int i = 0; i < r->reduces; i++) {
        lane.buffer = r->partial[i];
        krsi_kb_store(kb, lane, value[i][0]);
    }
    krsi_kb_end(kb);
    krsi_kv first = krsi_kb_for(kb, zero, n, block);
    krsi_kv left = krsi_kb_min(kb, krsi_kb_sub(kb, n, first), block);
    lane.index = krsi_kb_for(kb, zero, left, step);
    krsi_rows_go_to(r, krsi_kb_add(kb, first, lane.index), 0);
    load_kept(r);
    for (int i = 0; i < r->reduces; i++) {
        lane.buffer = r->partial[i];
        carry[i][0] = krsi_kb_load(kb, lane);
    }
    krsi_rows_take_turn(r, carry, sum, 0);
    for (int i = 0; i < r->reduces; i++) {
        lane.buffer = r->partial[i];
        krsi_kb_store(kb, lane, sum[i][0]);
    }
    store_kept(r);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    read_partials(r, lane, value);
}

/* All reductions of the pass. */
static void
reduce_pass(krsi_rows *r, int pass)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    int parts = KRSI_ROW_LANES / l->lanes;
    krsi_rows_lanes value[KRSI_CUT_REDUCES];
    krsi_rows_open_pass(r, pass);
    krsi_lower_fix(l, 1U << r->row, r->needed);
    l->vector_axis = r->row;
    if (l->facts->items_are_lanes) {
        krsi_rows_along_in_turn(r);
        l->vector_axis = -1;
        return;
    }
    for (int i = 0; i < r->reduces; i++) {
        enum krsi_op op = l->cut->expr[r->reduce[i]].op;
        krsi_kv none =
            krsi_rows_identity(kb, op, krsi_rows_type(l, r->reduce[i]));
        for (int p = 0; p < parts; p++)
            value[i][p] = krsi_rows_spread(l, none);
    }
    krsi_kv n = l->extent[r->row], block = krsi_kb_i64(kb, KRSI_ROW_LANES);
    if (l->facts->code_is_dear) {
        reduce_by_vectors(r, value);
    } else {
        krsi_kv whole = krsi_kb_sub(kb, n, krsi_kb_rem(kb, n, block));
        take_blocks(r, krsi_kb_i64(kb, 0), whole, true, value);
        take_blocks(r, whole, n, false, value);
    }
    l->vector_axis = -1;
    for (int i = 0; i < r->reduces; i++) {
        krs_kscalar op = krsi_rows_scalar(l->cut->expr[r->reduce[i]].op);
        krsi_rows_settle(l, r->reduce[i],
                         krsi_kb_row_tree(kb, op, value[i], l->lanes));
    }
}

static void
store_points(krsi_lowering *l, void *context)
{
    krsi_rows *r = context;
    load_kept(r);
    for (int i = 0; i < l->cut->outs; i++)
        if (krsi_rows_stores_points(r, i))
            krsi_lower_deliver(l, i);
}

bool
krsi_rows_open_points(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    bool any = false;
    krsi_rows_open_pass(r, 0);
    for (int i = 0; i < l->cut->outs; i++)
        any |= krsi_rows_stores_points(r, i);
    if (any)
        krsi_lower_fix(l, 1U << r->row, r->needed);
    return any;
}

static void
store_pass(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    if (!krsi_rows_open_points(r))
        return;
    l->vector_axis = r->row;
    krsi_kv zero = krsi_kb_i64(l->kb, 0), n = l->extent[r->row];
    if (l->facts->items_are_lanes) {
        krsi_kv at = krsi_kb_for(
            l->kb, zero, n, krsi_kb_i64(l->kb, (int64_t)r->at_once * l->lanes));
        for (int v = 0; v < r->at_once; v++) {
            krsi_rows_go_to(r, at, v);
            store_points(l, r);
        }
        krsi_kb_end(l->kb);
        l->mask = KRSI_KV_NONE;
        krsi_lower_move(l);
    } else {
        krsi_lower_vectors(l, zero, n, store_points, r);
    }
    l->vector_axis = -1;
}

/* Outs that hold for the whole row. */
static void
store_rows(krsi_rows *r)
{
    r->l->coord[r->row] = krsi_kb_i64(r->l->kb, 0);
    for (int i = 0; i < r->l->cut->outs; i++)
        if (!krsi_rows_stores_points(r, i))
            krsi_lower_deliver(r->l, i);
}

static void
rows_along(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    const krsi_cut *cut = l->cut;
    static const char *const names[KRSI_ROWS_KEPT] = {"kept0", "kept1", "kept2",
                                                      "kept3"};
    int64_t length = cut->max[r->row] > 0 ? cut->max[r->row] : 1;
    bool one_row = length >= ROWS_CHUNK || l->facts->items_are_lanes;
    int64_t per = one_row ? 1 : ROWS_CHUNK / length;
    l->in_fours = l->lanes % 4 == 0;
    r->at_once = l->facts->code_is_dear
                     ? 1
                     : krsi_rows_at_once(r, l->lanes, r->passes + 1);
    find_kept(r);
    for (int k = 0; k < r->keeps; k++)
        r->scratch[k] =
            krsi_kb_scratch(kb, names[k], KRS_F32, 1, l->extent[r->row], 64);
    krsi_lower_points(l, r->row, per);
    if (r->row > 0) {
        krsi_kv one = krsi_kb_i64(kb, 1);
        l->coord[r->row - 1] =
            krsi_kb_for(kb, l->coord[r->row - 1], l->end, one);
        l->loops++;
    }
    for (int pass = 1; pass <= r->passes; pass++)
        reduce_pass(r, pass);
    store_rows(r);
    store_pass(r);
    krsi_lower_end_points(l);
}

/* ---- one by one ---- */

/* The first maximum; NaN counts as the largest. */
static void
rows_argmax(krsi_rows *r, int expr)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    int row = r->row, x = l->cut->expr[expr].in[0];
    krs_dtype type = krsi_rows_type(l, expr);
    krsi_lower_points(l, row, row ? l->lanes : 1);
    l->vector_axis = row - 1;
    if (row)
        l->mask = krsi_kb_below(kb, l->coord[row - 1], l->end, l->lanes);
    else
        l->lanes = 1;
    krsi_kv low = krsi_rows_spread(l, krsi_rows_identity(kb, KRSI_AMAX, type));
    krsi_kv first = krsi_rows_spread(l, krsi_kb_i64(kb, 0));
    krsi_kv k =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), l->extent[row], krsi_kb_i64(kb, 1));
    krsi_kv best = krsi_kb_carry(kb, low), at = krsi_kb_carry(kb, first);
    l->coord[row] = k;
    krsi_kv v = krsi_rows_spread(l, krsi_lower_expr(l, x));
    if (krsi_kb_type(kb, v).dtype != type)
        v = krsi_kb_convert(kb, type, v);
    krsi_kv better = krsi_kb_gt(kb, v, best);
    if (type == KRS_F32) {
        krsi_kv nan =
            krsi_kb_and(kb, krsi_kb_ne(kb, v, v), krsi_kb_eq(kb, best, best));
        better = krsi_kb_or(kb, better, nan);
    }
    krsi_kb_next(kb, best, krsi_kb_select(kb, better, v, best));
    krsi_kb_next(kb, at,
                 krsi_kb_select(kb, better, krsi_rows_spread(l, k), at));
    krsi_kb_end(kb);
    krsi_lower_move(l);
    krsi_rows_settle(l, expr, krsi_kb_result(kb, at));
    for (int i = 0; i < l->cut->outs; i++)
        krsi_lower_deliver(l, i);
    krsi_lower_end_points(l);
}

/* ---- the choice ---- */

static bool
takes_across(const krsi_rows *r)
{
    const krsi_cut *cut = r->l->cut;
    for (int i = 0; i < cut->outs; i++)
        if (krsi_rows_stores_points(r, i))
            return false;
    return r->passes == 1 && krsi_cut_is_across(cut);
}

void
krsi_lower_rows(krsi_lowering *l)
{
    const krsi_cut *cut = l->cut;
    krsi_rows r = {.l = l, .row = cut->rank - 1};
    krsi_lower_declare(l);
    l->vector_axis = -1;
    find_levels(&r);
    for (int i = 0; i < cut->exprs; i++)
        if (cut->expr[i].kind == KRSI_X_REDUCE &&
            cut->expr[i].op == KRSI_ARGMAX) {
            rows_argmax(&r, i);
            return;
        }
    if (takes_across(&r) ? l->facts->group_items && krsi_rows_group_across(&r)
                         : l->facts->group_items && krsi_rows_group_along(&r))
        return;
    if (takes_across(&r) && l->facts->items_are_lanes)
        krsi_rows_across_in_turn(&r);
    else if (takes_across(&r))
        krsi_rows_across(&r);
    else
        rows_along(&r);
}
