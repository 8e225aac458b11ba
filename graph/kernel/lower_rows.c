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
 * argmax goes through the last axis one by one, with vectors across.
 */
#include "lower.h"

#include <math.h>
#include <string.h>

enum {
    ROWS_CHUNK = 4096,  /* points of an item, about */
    KEPT_ROW = 1 << 16, /* longest row that is kept in scratch */
    KEPT_ROWS = 4,      /* expressions kept, at most */
    STRIP = 64,         /* columns of an item of across, at most */
    LINE = 16           /* and at least: a cache line */
};

typedef struct rows {
    krsi_lowering *l;
    int row; /* the last axis */
    int passes;
    int level[KRSI_CUT_EXPRS]; /* reductions below it, one inside the other */
    bool needed[KRSI_CUT_EXPRS];
    int kept[KEPT_ROWS], keeps; /* expressions that stay in scratch */
    int kept_in[KEPT_ROWS];     /* by the pass of this level */
    krsi_kbuf scratch[KEPT_ROWS];
    krsi_kbuf partial[KRSI_CUT_REDUCES]; /* across: [64][strip] each */
    krs_dtype partial_type[KRSI_CUT_REDUCES];
    krsi_kv lane, begin; /* the virtual lane; first column */
    int strip;
    /* of the pass at hand */
    int pass, reduces, reduce[KRSI_CUT_REDUCES];
} rows;

static krs_kscalar
scalar_of(enum krsi_op op)
{
    return op == KRSI_SUM    ? KRS_KS_ADD
           : op == KRSI_PROD ? KRS_KS_MUL
           : op == KRSI_AMAX ? KRS_KS_MAX
                             : KRS_KS_MIN;
}

/* what a lane without elements holds */
static krsi_kv
identity(krsi_kb *kb, enum krsi_op op, krs_dtype type)
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

/* is out i stored at every point of a row, not once? */
static bool
stores_points(const rows *r, int i)
{
    return r->l->cut->out[i].view.stride[r->row] != 0;
}

static bool
varies_along_row(const rows *r, int expr)
{
    return r->l->varies[expr] >> r->row & 1;
}

/* The value of a finished reduction, in the type of its expression. */
static void
settle(krsi_lowering *l, int expr, krsi_kv total)
{
    const krsi_expr *e = &l->cut->expr[expr];
    krs_dtype type = krsi_lower_type(e->dtype);
    if (krsi_kb_type(l->kb, total).dtype != type)
        total = krsi_kb_convert(l->kb, type, total);
    l->fixed[expr] = krsi_lower_wrap(l->kb, e->dtype, total);
}

/* the type in which the operand of a reduction is counted */
static krs_dtype
counted_in(const krsi_lowering *l, int expr)
{
    const krsi_expr *e = &l->cut->expr[expr];
    krs_dtype type = krsi_lower_type(l->cut->expr[e->in[0]].dtype);
    return krs_dtype_is_float(type) ? KRS_F32 : type;
}

static krsi_kv
operand_of(krsi_lowering *l, int expr)
{
    krsi_kv v = krsi_lower_expr(l, l->cut->expr[expr].in[0]);
    krs_dtype type = counted_in(l, expr);
    return krsi_kb_type(l->kb, v).dtype == type
               ? v
               : krsi_kb_convert(l->kb, type, v);
}

static krsi_kv
spread(krsi_lowering *l, krsi_kv v)
{
    return l->lanes > 1 && krsi_kb_type(l->kb, v).lanes == 1
               ? krsi_kb_broadcast(l->kb, l->lanes, v)
               : v;
}

/* ---- passes ---- */

/* Levels: a reduction is one above its operand, all else as high as its
 * highest operand. Reductions of level p are made by pass p. */
static void
find_levels(rows *r)
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
static void
open_pass(rows *r, int pass)
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
        if (stores_points(r, i))
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
find_kept(rows *r)
{
    const krsi_cut *cut = r->l->cut;
    int first[KRSI_CUT_EXPRS], uses[KRSI_CUT_EXPRS] = {0};
    /* lanes of a processor reach scratch more slowly than they compute */
    if (cut->max[r->row] > KEPT_ROW || r->l->facts->items_are_lanes)
        return;
    for (int turn = 1; turn <= r->passes + 1; turn++) {
        int pass = turn <= r->passes ? turn : 0; /* 0 is the last */
        open_pass(r, pass);
        for (int i = 0; i < cut->exprs; i++) {
            if (!r->needed[i] || !is_dear(&cut->expr[i]) ||
                !varies_along_row(r, i) || cut->expr[i].dtype != KRS_F32)
                continue;
            if (uses[i]++ == 0)
                first[i] = pass;
        }
    }
    for (int i = 0; i < cut->exprs && r->keeps < KEPT_ROWS; i++)
        if (uses[i] > 1) {
            r->kept[r->keeps] = i;
            r->kept_in[r->keeps++] = first[i];
        }
}

static krsi_kmem
kept_place(rows *r, int k)
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
load_kept(rows *r)
{
    for (int k = 0; k < r->keeps; k++)
        if (r->needed[r->kept[k]] && (r->pass == 0 || r->kept_in[k] < r->pass))
            r->l->here[r->kept[k]] = krsi_kb_load(r->l->kb, kept_place(r, k));
}

static void
store_kept(rows *r)
{
    for (int k = 0; k < r->keeps; k++)
        if (r->kept_in[k] == r->pass)
            krsi_kb_store(r->l->kb, kept_place(r, k),
                          krsi_lower_expr(r->l, r->kept[k]));
}

/* Scratch for partial sums of the pass, where there is none yet. */
static void
declare_partials(rows *r, int64_t count)
{
    static const char *const names[] = {"sum0", "sum1", "sum2", "sum3",
                                        "sum4", "sum5", "sum6", "sum7"};
    for (int i = 0; i < r->reduces; i++) {
        krs_dtype type = counted_in(r->l, r->reduce[i]);
        if (r->partial[i].ref && r->partial_type[i] == type)
            continue;
        r->partial[i] =
            krsi_kb_scratch(r->l->kb, names[i], type, count, KRSI_KV_NONE, 64);
        r->partial_type[i] = type;
    }
}

/* ---- along ---- */

typedef krsi_kv partials[KRSI_ROW_LANES];

/* One trip of a pass: 64 points from k on, masked unless all are there. */
static void
take_block(rows *r, krsi_kv k, bool whole, krsi_kv (*carry)[KRSI_ROW_LANES],
           krsi_kv (*sum)[KRSI_ROW_LANES])
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
            krsi_kv v = spread(l, operand_of(l, r->reduce[i]));
            krsi_kv none =
                spread(l, identity(kb, op, counted_in(l, r->reduce[i])));
            if (!whole)
                v = krsi_kb_select(kb, l->mask, v, none);
            sum[i][p] =
                krsi_kb_scalar(kb, scalar_of(op), carry[i][p], v, KRSI_KV_NONE);
        }
        store_kept(r);
    }
    l->mask = KRSI_KV_NONE;
    krsi_lower_move(l);
}

/* The loop over whole blocks, or over the block that is left. */
static void
take_blocks(rows *r, krsi_kv low, krsi_kv high, bool whole,
            krsi_kv (*value)[KRSI_ROW_LANES])
{
    krsi_kb *kb = r->l->kb;
    int parts = KRSI_ROW_LANES / r->l->lanes;
    partials carry[KRSI_CUT_REDUCES], sum[KRSI_CUT_REDUCES];
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

/* A row of whole vectors needs no masks. */
static bool
has_whole_vectors(const rows *r)
{
    krs_index extent = r->l->cut->extent[r->row];
    return extent.terms == 0 && extent.base % r->l->lanes == 0;
}

/* The points of the row at `at` in the loop. */
static void
go_to(rows *r, krsi_kv at)
{
    krsi_lowering *l = r->l;
    l->coord[r->row] = at;
    l->mask = has_whole_vectors(r)
                  ? KRSI_KV_NONE
                  : krsi_kb_below(l->kb, at, l->extent[r->row], l->lanes);
    krsi_lower_move(l);
}

/* The virtual lanes in turn, a vector of them at a time: little code and few
 * values, for items that are lanes of a processor. */
static void
reduce_in_turn(rows *r, krsi_kv (*value)[KRSI_ROW_LANES])
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    krsi_kv carry[KRSI_CUT_REDUCES], step = krsi_kb_i64(kb, KRSI_ROW_LANES);
    krsi_kv part =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), step, krsi_kb_i64(kb, l->lanes));
    krsi_kv at = krsi_kb_for(kb, part, l->extent[r->row], step);
    for (int i = 0; i < r->reduces; i++)
        carry[i] = krsi_kb_carry(kb, value[i][0]);
    go_to(r, at);
    for (int i = 0; i < r->reduces; i++) {
        enum krsi_op op = l->cut->expr[r->reduce[i]].op;
        krsi_kv v = spread(l, operand_of(l, r->reduce[i]));
        if (l->mask.ref)
            v = krsi_kb_select(kb, l->mask, v, value[i][0]);
        krsi_kb_next(
            kb, carry[i],
            krsi_kb_scalar(kb, scalar_of(op), carry[i], v, KRSI_KV_NONE));
    }
    krsi_kb_end(kb);
    krsi_kmem to = {.index = part, .lanes = l->lanes, .align_bytes = 16};
    for (int i = 0; i < r->reduces; i++) {
        to.buffer = r->partial[i];
        krsi_kb_store(kb, to, krsi_kb_result(kb, carry[i]));
    }
    krsi_kb_end(kb);
    for (int i = 0; i < r->reduces; i++)
        for (int p = 0; p < KRSI_ROW_LANES / l->lanes; p++) {
            to.buffer = r->partial[i];
            to.index = krsi_kb_i64(kb, (int64_t)p * l->lanes);
            value[i][p] = krsi_kb_load(kb, to);
        }
    l->mask = KRSI_KV_NONE;
    krsi_lower_move(l);
}

/* All reductions of the pass. */
static void
reduce_pass(rows *r, int pass)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    int parts = KRSI_ROW_LANES / l->lanes;
    partials value[KRSI_CUT_REDUCES];
    open_pass(r, pass);
    if (l->facts->items_are_lanes)
        declare_partials(r, KRSI_ROW_LANES);
    krsi_lower_fix(l, 1U << r->row, r->needed);
    l->vector_axis = r->row;
    for (int i = 0; i < r->reduces; i++) {
        enum krsi_op op = l->cut->expr[r->reduce[i]].op;
        krsi_kv none = identity(kb, op, counted_in(l, r->reduce[i]));
        for (int p = 0; p < parts; p++)
            value[i][p] = spread(l, none);
    }
    krsi_kv n = l->extent[r->row], block = krsi_kb_i64(kb, KRSI_ROW_LANES);
    if (l->facts->items_are_lanes) {
        reduce_in_turn(r, value);
    } else {
        krsi_kv whole = krsi_kb_sub(kb, n, krsi_kb_rem(kb, n, block));
        take_blocks(r, krsi_kb_i64(kb, 0), whole, true, value);
        take_blocks(r, whole, n, false, value);
    }
    l->vector_axis = -1;
    for (int i = 0; i < r->reduces; i++) {
        krs_kscalar op = scalar_of(l->cut->expr[r->reduce[i]].op);
        settle(l, r->reduce[i], krsi_kb_row_tree(kb, op, value[i], l->lanes));
    }
}

static void
store_points(krsi_lowering *l, void *context)
{
    rows *r = context;
    load_kept(r);
    for (int i = 0; i < l->cut->outs; i++)
        if (stores_points(r, i))
            krsi_lower_deliver(l, i);
}

static void
store_pass(rows *r)
{
    krsi_lowering *l = r->l;
    bool any = false;
    open_pass(r, 0);
    for (int i = 0; i < l->cut->outs; i++)
        any |= stores_points(r, i);
    if (!any)
        return;
    krsi_lower_fix(l, 1U << r->row, r->needed);
    l->vector_axis = r->row;
    krsi_kv zero = krsi_kb_i64(l->kb, 0), n = l->extent[r->row];
    if (l->facts->items_are_lanes) {
        go_to(r, krsi_kb_for(l->kb, zero, n, krsi_kb_i64(l->kb, l->lanes)));
        store_points(l, r);
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
store_rows(rows *r)
{
    r->l->coord[r->row] = krsi_kb_i64(r->l->kb, 0);
    for (int i = 0; i < r->l->cut->outs; i++)
        if (!stores_points(r, i))
            krsi_lower_deliver(r->l, i);
}

static void
rows_along(rows *r)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    const krsi_cut *cut = l->cut;
    static const char *const names[KEPT_ROWS] = {"kept0", "kept1", "kept2",
                                                 "kept3"};
    int64_t length = cut->max[r->row] > 0 ? cut->max[r->row] : 1;
    bool one_row = length >= ROWS_CHUNK || l->facts->items_are_lanes;
    int64_t per = one_row ? 1 : ROWS_CHUNK / length;
    l->in_fours = l->lanes % 4 == 0;
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

/* ---- across ---- */

static krsi_kmem
partial(rows *r, int reduce, krsi_kv lane)
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
    rows *r = context;
    for (int i = 0; i < r->reduces; i++) {
        enum krsi_op op = l->cut->expr[r->reduce[i]].op;
        krsi_kv none = identity(l->kb, op, counted_in(l, r->reduce[i]));
        krsi_kb_store(l->kb, partial(r, i, r->lane), spread(l, none));
    }
}

static void
add_to_lane(krsi_lowering *l, void *context)
{
    rows *r = context;
    krsi_kb *kb = l->kb;
    for (int i = 0; i < r->reduces; i++) {
        krs_kscalar op = scalar_of(l->cut->expr[r->reduce[i]].op);
        krsi_kmem at = partial(r, i, r->lane);
        krsi_kv v = spread(l, operand_of(l, r->reduce[i]));
        krsi_kb_store(
            kb, at,
            krsi_kb_scalar(kb, op, krsi_kb_load(kb, at), v, KRSI_KV_NONE));
    }
}

static void
store_columns(krsi_lowering *l, void *context)
{
    rows *r = context;
    krsi_kv zero = krsi_kb_i64(l->kb, 0);
    for (int i = 0; i < r->reduces; i++)
        settle(l, r->reduce[i], krsi_kb_load(l->kb, partial(r, i, zero)));
    for (int i = 0; i < l->cut->outs; i++)
        krsi_lower_deliver(l, i);
}

/* Two lanes meet, at all columns of the strip. */
static void
join_lanes(rows *r)
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
            krs_kscalar op = scalar_of(l->cut->expr[r->reduce[i]].op);
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
static void
rows_across(rows *r)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    int column = r->row - 1;
    int64_t share =
        l->cut->max[column] / (4 * (int64_t)(l->facts->workers | 1U));
    krsi_kv one = krsi_kb_i64(kb, 1), zero = krsi_kb_i64(kb, 0);
    krsi_kv width = krsi_kb_i64(kb, KRSI_ROW_LANES), n = l->extent[r->row];
    r->strip = share >= STRIP ? STRIP : share >= 2 * LINE ? 2 * LINE : LINE;
    open_pass(r, 1);
    declare_partials(r, (int64_t)KRSI_ROW_LANES * r->strip);
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

/* ---- one by one ---- */

/* The first maximum; NaN counts as the largest. */
static void
rows_argmax(rows *r, int expr)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    int row = r->row, x = l->cut->expr[expr].in[0];
    krs_dtype type = counted_in(l, expr);
    krsi_lower_points(l, row, row ? l->lanes : 1);
    l->vector_axis = row - 1;
    if (row)
        l->mask = krsi_kb_below(kb, l->coord[row - 1], l->end, l->lanes);
    else
        l->lanes = 1;
    krsi_kv low = spread(l, identity(kb, KRSI_AMAX, type));
    krsi_kv first = spread(l, krsi_kb_i64(kb, 0));
    krsi_kv k =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), l->extent[row], krsi_kb_i64(kb, 1));
    krsi_kv best = krsi_kb_carry(kb, low), at = krsi_kb_carry(kb, first);
    l->coord[row] = k;
    krsi_kv v = spread(l, krsi_lower_expr(l, x));
    if (krsi_kb_type(kb, v).dtype != type)
        v = krsi_kb_convert(kb, type, v);
    krsi_kv better = krsi_kb_gt(kb, v, best);
    if (type == KRS_F32) {
        krsi_kv nan =
            krsi_kb_and(kb, krsi_kb_ne(kb, v, v), krsi_kb_eq(kb, best, best));
        better = krsi_kb_or(kb, better, nan);
    }
    krsi_kb_next(kb, best, krsi_kb_select(kb, better, v, best));
    krsi_kb_next(kb, at, krsi_kb_select(kb, better, spread(l, k), at));
    krsi_kb_end(kb);
    krsi_lower_move(l);
    settle(l, expr, krsi_kb_result(kb, at));
    for (int i = 0; i < l->cut->outs; i++)
        krsi_lower_deliver(l, i);
    krsi_lower_end_points(l);
}

/* ---- the choice ---- */

static bool
takes_across(const rows *r)
{
    const krsi_cut *cut = r->l->cut;
    for (int i = 0; i < cut->outs; i++)
        if (stores_points(r, i))
            return false;
    return r->passes == 1 && krsi_cut_is_across(cut);
}

void
krsi_lower_rows(krsi_lowering *l)
{
    const krsi_cut *cut = l->cut;
    rows r = {.l = l, .row = cut->rank - 1};
    krsi_lower_declare(l);
    l->vector_axis = -1;
    find_levels(&r);
    for (int i = 0; i < cut->exprs; i++)
        if (cut->expr[i].kind == KRSI_X_REDUCE &&
            cut->expr[i].op == KRSI_ARGMAX) {
            rows_argmax(&r, i);
            return;
        }
    if (takes_across(&r))
        rows_across(&r);
    else
        rows_along(&r);
}
