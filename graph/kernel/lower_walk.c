/* lower_walk.c -- the families that go through the last axis one by one, in
 * ascending order, with vectors across: running sums and scatters.
 */
#include "lower.h"

/* Open the points across and a loop along the last axis, whose index is
 * returned; false lanes of the mask are never stored. */
static krsi_kv
walk(krsi_lowering *l)
{
    krsi_kb *kb = l->kb;
    int row = l->cut->rank - 1;
    krsi_lower_declare(l);
    krsi_lower_points(l, row, row ? l->lanes : 1);
    l->vector_axis = row - 1; /* -1: a single row, all scalars */
    if (row)
        l->mask = krsi_kb_below(kb, l->coord[row - 1], l->end, l->lanes);
    return krsi_kb_for(kb, krsi_kb_i64(kb, 0), l->extent[row],
                       krsi_kb_i64(kb, 1));
}

static void
end_walk(krsi_lowering *l)
{
    krsi_kb_end(l->kb);
    krsi_lower_end_points(l);
}

/* to the lanes of the points across */
static krsi_kv
spread(krsi_lowering *l, krsi_kv v)
{
    bool vector = l->vector_axis >= 0 && l->lanes > 1;
    return vector && krsi_kb_type(l->kb, v).lanes == 1
               ? krsi_kb_broadcast(l->kb, l->lanes, v)
               : v;
}

static krsi_kv
number_of(krsi_kb *kb, krs_dtype type, int number)
{
    return type == KRS_F32   ? krsi_kb_f32(kb, (float)number)
           : type == KRS_I64 ? krsi_kb_i64(kb, number)
                             : krsi_kb_i32(kb, number);
}

void
krsi_lower_prefix(krsi_lowering *l)
{
    krsi_kb *kb = l->kb;
    const krsi_cut *cut = l->cut;
    int row = cut->rank - 1, root = cut->out[0].root;
    krs_dtype dtype = cut->expr[root].dtype;
    krsi_kv k = walk(l);
    krsi_kv none = number_of(kb, krsi_lower_type(dtype), cut->multiplies);
    krsi_kv sum = krsi_kb_carry(kb, spread(l, none));
    krsi_kv last = krsi_kb_sub(kb, l->extent[row], krsi_kb_i64(kb, 1));
    l->coord[row] = cut->reverse ? krsi_kb_sub(kb, last, k) : k;
    krsi_kv x = spread(l, krsi_lower_expr(l, root));
    krsi_kv next =
        cut->multiplies ? krsi_kb_mul(kb, sum, x) : krsi_kb_add(kb, sum, x);
    next = krsi_lower_wrap(kb, dtype, next);
    krsi_lower_store(l, 0, krsi_lower_out(l, 0, KRSI_KV_NONE), next);
    krsi_kb_next(kb, sum, next);
    end_walk(l);
}

/* out[index] += src, in ascending order of the index's position. Items differ
 * in the other axes, so no two touch one element. */
void
krsi_lower_scatter(krsi_lowering *l)
{
    krsi_kb *kb = l->kb;
    const krsi_cut *cut = l->cut;
    int root = cut->out[0].root;
    krs_dtype dtype = cut->expr[root].dtype;
    krsi_kv inside;
    krsi_kv k = walk(l);
    l->coord[cut->rank - 1] = k;
    krsi_kv index = krsi_lower_expr(l, cut->out[0].indirect);
    krsi_kv moved = krsi_lower_index(l, &l->out_index[0], index, &inside);
    krsi_kv v = krsi_lower_expr(l, root);
    krsi_kmem at = krsi_lower_out(l, 0, moved);
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
    krsi_lower_store(l, 0, at, krsi_kb_add(kb, old, v));
    end_walk(l);
}
