/* tile_expr.c -- the expressions of a cut around its product: what A and B are
 * made of, and what is made of C.
 *
 * Templates move through rows, columns and k in their own order; here their
 * places become coordinates of the cut, at which lower.c computes expressions
 * with loads and addresses of its own.
 */
#include "tile.h"

/* Lanes along an axis, from a point on. */
static void
go_to(krsi_tile *t, int axis, int lanes, krsi_kv mask)
{
    krsi_lowering *l = t->lowering;
    l->vector_axis = lanes > 1 ? axis : -1;
    l->lanes = lanes;
    l->mask = lanes > 1 ? mask : KRSI_KV_NONE;
    krsi_lower_move(l);
}

krsi_kv
krsi_tile_element(krsi_tile *t, const krsi_tile_operand *x, krsi_kv read,
                  krsi_tile_point at)
{
    krsi_lowering *l = t->lowering;
    if (x->root == x->element)
        return krsi_kb_convert(t->kb, KRS_F32, read);
    int k = l->cut->rank - 1;
    l->coord[x->axis] = at.outer;
    l->coord[k] = at.k;
    go_to(t, at.along_k ? k : x->axis, at.lanes, at.mask);
    l->here[x->element] = read;
    krsi_kv v = krsi_lower_expr(l, x->root);
    krsi_lower_move(l);
    return v;
}

void
krsi_tile_finish(krsi_tile *t, krsi_kv m, krsi_kv n, krsi_kv mask, krsi_kv sums)
{
    krsi_lowering *l = t->lowering;
    krs_dtype dtype = l->cut->expr[t->product].dtype;
    l->coord[t->a.axis] = m;
    l->coord[t->b.axis] = n;
    l->in_fours =
        t->template == KRSI_TILE_SINGLE || t->template == KRSI_TILE_GROUP;
    go_to(t, t->b.axis, t->lanes, mask);
    l->here[t->product] = krsi_kb_type(t->kb, sums).dtype == dtype
                              ? sums
                              : krsi_kb_convert(t->kb, dtype, sums);
    for (int i = 0; i < l->cut->outs; i++)
        krsi_lower_deliver(l, i);
    krsi_lower_move(l);
}
