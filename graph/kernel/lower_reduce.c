/* lower_reduce.c -- the families that walk the last axis: reduce, prefix and
 * scatter.
 *
 * The order of a sum depends on its length alone (kb.h, krsi_kb_row_tree):
 * element k belongs to virtual lane k mod 64, a lane adds its elements in
 * ascending order, then the lanes meet in a binary tree. Two templates keep
 * that order:
 *
 *   along    the last axis is contiguous: vectors along it are the lanes
 *   across   it is not: vectors along the axis before it, the 64 partial sums
 *            one after the other in scratch
 *
 * argmax, running sums and scatters go through the last axis one by one, in
 * ascending order, with vectors across.
 */
#include "lower.h"

#include <math.h>

static krs_kscalar
scalar_of(enum krsi_op op)
{
    return op == KRSI_SUM    ? KRS_KS_ADD
           : op == KRSI_AMAX ? KRS_KS_MAX
                             : KRS_KS_MIN;
}

/* what a lane without elements holds */
static krsi_kv
identity(krsi_kb *kb, enum krsi_op op, krs_dtype type)
{
    bool sum = op == KRSI_SUM, low = op == KRSI_AMAX;
    if (type == KRS_F32)
        return krsi_kb_f32(kb, sum ? 0 : low ? -INFINITY : INFINITY);
    if (type == KRS_I64)
        return krsi_kb_i64(kb, sum ? 0 : low ? INT64_MIN : INT64_MAX);
    return krsi_kb_i32(kb, sum ? 0 : low ? INT32_MIN : INT32_MAX);
}

static krs_dtype
value_type(const krsi_lowering *l)
{
    return krsi_lower_type(l->cut->expr[l->cut->root].dtype);
}

/* ---- reduce along ---- */

/* sum of 64 virtual lanes as vectors of l->lanes */
static void
reduce_along(krsi_lowering *l)
{
    krsi_kb *kb = l->kb;
    int row = l->cut->rank - 1, parts = KRSI_ROW_LANES / l->lanes;
    krs_kscalar op = scalar_of(l->cut->op);
    krsi_lower_points(l, row, 1);
    krsi_kv none = identity(kb, l->cut->op, value_type(l));
    if (l->lanes > 1)
        none = krsi_kb_broadcast(kb, l->lanes, none);
    krsi_kv carry[KRSI_ROW_LANES], sum[KRSI_ROW_LANES];
    krsi_kv k = krsi_kb_for(kb, krsi_kb_i64(kb, 0), l->extent[row],
                            krsi_kb_i64(kb, KRSI_ROW_LANES));
    for (int p = 0; p < parts; p++)
        carry[p] = krsi_kb_carry(kb, none);
    l->vector_axis = row;
    for (int p = 0; p < parts; p++) {
        l->coord[row] = krsi_kb_add(kb, k, krsi_kb_i64(kb, p * l->lanes));
        l->mask = krsi_kb_below(kb, l->coord[row], l->extent[row], l->lanes);
        krsi_kv v = krsi_lower_root(l);
        v = krsi_kb_select(kb, l->mask, v, none);
        sum[p] = krsi_kb_scalar(kb, op, carry[p], v, KRSI_KV_NONE);
    }
    for (int p = 0; p < parts; p++)
        krsi_kb_next(kb, carry[p], sum[p]);
    krsi_kb_end(kb);
    for (int p = 0; p < parts; p++)
        sum[p] = krsi_kb_result(kb, carry[p]);
    krsi_kv total = krsi_kb_row_tree(kb, op, sum, l->lanes);
    l->vector_axis = -1;
    l->mask = KRSI_KV_NONE;
    krsi_lower_store(l, krsi_lower_out(l, KRSI_KV_NONE), total);
    krsi_lower_end_points(l);
}

/* ---- reduce across ---- */

static krsi_kmem
partial(krsi_lowering *l, krsi_kbuf scratch, krsi_kv lane)
{
    krsi_kb *kb = l->kb;
    return (krsi_kmem){.buffer = scratch,
                       .index =
                           krsi_kb_mul(kb, lane, krsi_kb_i64(kb, l->lanes)),
                       .lanes = l->lanes,
                       .align_bytes = (size_t)l->lanes * 4};
}

static void
reduce_across(krsi_lowering *l)
{
    krsi_kb *kb = l->kb;
    int row = l->cut->rank - 1;
    krs_kscalar op = scalar_of(l->cut->op);
    krs_dtype type = value_type(l);
    krsi_kv one = krsi_kb_i64(kb, 1), zero = krsi_kb_i64(kb, 0);
    krsi_kv width = krsi_kb_i64(kb, KRSI_ROW_LANES);
    l->vector_axis = row - 1;
    krsi_lower_points(l, row, l->lanes);
    krsi_kbuf scratch =
        krsi_kb_scratch(kb, "partial", type, (int64_t)KRSI_ROW_LANES * l->lanes,
                        KRSI_KV_NONE, 64);
    krsi_kv none = identity(kb, l->cut->op, type);
    none = krsi_kb_broadcast(kb, l->lanes, none);

    krsi_kv lane = krsi_kb_for(kb, zero, width, one);
    krsi_kv k = krsi_kb_for(kb, lane, l->extent[row], width);
    krsi_kv carry = krsi_kb_carry(kb, none);
    l->coord[row] = k;
    krsi_kv v = krsi_lower_root(l);
    krsi_kb_next(kb, carry, krsi_kb_scalar(kb, op, carry, v, KRSI_KV_NONE));
    krsi_kb_end(kb);
    krsi_kb_store(kb, partial(l, scratch, lane), krsi_kb_result(kb, carry));
    krsi_kb_end(kb);

    for (int half = KRSI_ROW_LANES / 2; half > 0; half /= 2) {
        krsi_kv j = krsi_kb_for(kb, zero, krsi_kb_i64(kb, half), one);
        krsi_kv other = krsi_kb_add(kb, j, krsi_kb_i64(kb, half));
        krsi_kv sum = krsi_kb_scalar(
            kb, op, krsi_kb_load(kb, partial(l, scratch, j)),
            krsi_kb_load(kb, partial(l, scratch, other)), KRSI_KV_NONE);
        krsi_kb_store(kb, partial(l, scratch, j), sum);
        krsi_kb_end(kb);
    }
    krsi_kv total = krsi_kb_load(kb, partial(l, scratch, zero));
    krsi_lower_store(l, krsi_lower_out(l, KRSI_KV_NONE), total);
    krsi_lower_end_points(l);
}

/* ---- one by one ---- */

/* Open the points across and a loop along the last axis, whose index is
 * returned; false lanes of the mask are never stored. */
static krsi_kv
walk(krsi_lowering *l)
{
    krsi_kb *kb = l->kb;
    int row = l->cut->rank - 1;
    l->vector_axis = row - 1; /* -1: a single row, all scalars */
    krsi_lower_points(l, row, row ? l->lanes : 1);
    return krsi_kb_for(kb, krsi_kb_i64(kb, 0), l->extent[row],
                       krsi_kb_i64(kb, 1));
}

static krsi_kv
spread(krsi_lowering *l, krsi_kv v)
{
    bool vector = l->vector_axis >= 0 && l->lanes > 1;
    return vector && krsi_kb_type(l->kb, v).lanes == 1
               ? krsi_kb_broadcast(l->kb, l->lanes, v)
               : v;
}

/* The first maximum; NaN counts as the largest. */
static void
reduce_argmax(krsi_lowering *l)
{
    krsi_kb *kb = l->kb;
    int row = l->cut->rank - 1;
    krsi_kv k = walk(l);
    krs_dtype type = value_type(l);
    krsi_kv best = krsi_kb_carry(kb, spread(l, identity(kb, KRSI_AMAX, type)));
    krsi_kv at = krsi_kb_carry(kb, spread(l, krsi_kb_i64(kb, 0)));
    l->coord[row] = k;
    krsi_kv v = spread(l, krsi_lower_root(l));
    krsi_kv better = krsi_kb_gt(kb, v, best);
    if (type == KRS_F32) {
        krsi_kv nan =
            krsi_kb_and(kb, krsi_kb_ne(kb, v, v), krsi_kb_eq(kb, best, best));
        better = krsi_kb_or(kb, better, nan);
    }
    krsi_kb_next(kb, best, krsi_kb_select(kb, better, v, best));
    krsi_kb_next(kb, at, krsi_kb_select(kb, better, spread(l, k), at));
    krsi_kb_end(kb);
    krsi_kv found = krsi_kb_result(kb, at);
    krsi_lower_store(l, krsi_lower_out(l, KRSI_KV_NONE), found);
    krsi_lower_end_points(l);
}

void
krsi_lower_reduce(krsi_lowering *l)
{
    const krsi_cut *cut = l->cut;
    int row = cut->rank - 1;
    krsi_lower_declare(l);
    l->vector_axis = -1;
    bool across = row > 0 && cut->loads > 0 &&
                  cut->load[0].view.stride[row] != 1 &&
                  cut->load[0].view.stride[row - 1] == 1;
    if (cut->op == KRSI_ARGMAX)
        reduce_argmax(l);
    else if (across)
        reduce_across(l);
    else
        reduce_along(l);
}

void
krsi_lower_prefix(krsi_lowering *l)
{
    krsi_kb *kb = l->kb;
    int row = l->cut->rank - 1;
    krsi_lower_declare(l);
    krsi_kv k = walk(l);
    krs_dtype dtype = l->cut->expr[l->cut->root].dtype;
    krsi_kv sum = krsi_kb_carry(
        kb, spread(l, identity(kb, KRSI_SUM, krsi_lower_type(dtype))));
    krsi_kv last = krsi_kb_sub(kb, l->extent[row], krsi_kb_i64(kb, 1));
    l->coord[row] = l->cut->reverse ? krsi_kb_sub(kb, last, k) : k;
    krsi_kv next = krsi_kb_add(kb, sum, spread(l, krsi_lower_root(l)));
    next = krsi_lower_wrap(kb, dtype, next);
    krsi_lower_store(l, krsi_lower_out(l, KRSI_KV_NONE), next);
    krsi_kb_next(kb, sum, next);
    krsi_kb_end(kb);
    krsi_lower_end_points(l);
}

/* out[index] += src, in ascending order of the index's position. Items differ
 * in the other axes, so no two touch one element. */
void
krsi_lower_scatter(krsi_lowering *l)
{
    krsi_kb *kb = l->kb;
    int row = l->cut->rank - 1;
    krsi_kv inside;
    krsi_lower_declare(l);
    l->coord[row] = walk(l);
    krs_dtype dtype = l->cut->expr[l->cut->root].dtype;
    krsi_kv moved = krsi_lower_index(l, 0, krsi_lower_expr(l, 0), &inside);
    krsi_kv v = krsi_lower_root(l);
    krsi_kmem at = krsi_lower_out(l, moved);
    at.flags |= KRS_K_INDIRECT;
    if (at.lanes > 1 && krsi_kb_type(kb, inside).lanes == 1) {
        krsi_kv all = krsi_kb_broadcast(kb, at.lanes, inside);
        at.mask = at.mask.ref ? krsi_kb_and(kb, at.mask, all) : all;
    } else {
        at.mask = inside;
    }
    krsi_kv old = krsi_kb_load(kb, at);
    if (krsi_lower_type(dtype) != dtype)
        old = krsi_kb_convert(kb, krsi_lower_type(dtype), old);
    krsi_lower_store(l, at, krsi_kb_add(kb, old, v));
    krsi_kb_end(kb);
    krsi_lower_end_points(l);
}
