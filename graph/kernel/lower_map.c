/* lower_map.c -- the family map: expressions at every point.
 *
 * The innermost axis is the vector axis; an item takes up to MAP_CHUNK of its
 * points, and the grid the axes around it. What does not vary along the
 * innermost axis is computed once, before the loop. Where items are lanes of a
 * processor, an item is one vector, without a loop.
 */
#include "lower.h"

enum { MAP_CHUNK = 4096 };

static void
store_all(krsi_lowering *l, void *context)
{
    (void)context;
    for (int i = 0; i < l->cut->outs; i++)
        krsi_lower_deliver(l, i);
}

/* Masked unless all vectors are whole. */
static void
one_vector(krsi_lowering *l, int axis)
{
    krs_index extent = l->cut->extent[axis];
    l->vector_axis = axis;
    l->in_fours = l->lanes % 4 == 0;
    if (extent.terms || extent.base % l->lanes)
        l->mask = krsi_kb_below(l->kb, l->coord[axis], l->end, l->lanes);
    krsi_lower_move(l);
    store_all(l, NULL);
}

void
krsi_lower_map(krsi_lowering *l)
{
    const krsi_cut *cut = l->cut;
    int axes = cut->rank, roots[KRSI_CUT_OUTS];
    bool needed[KRSI_CUT_EXPRS];
    krsi_lower_declare(l);
    bool is_vector = l->facts->items_are_lanes;
    krsi_lower_points(l, axes, is_vector ? l->lanes : MAP_CHUNK);
    if (axes == 0) {
        store_all(l, NULL);
        return;
    }
    if (is_vector) {
        one_vector(l, axes - 1);
        krsi_lower_end_points(l);
        return;
    }
    for (int i = 0; i < cut->outs; i++)
        roots[i] = cut->out[i].root;
    krsi_lower_needed(cut, roots, cut->outs, needed);
    l->vector_axis = axes - 1;
    krsi_lower_fix(l, 1U << l->vector_axis, needed);
    krsi_lower_vectors(l, l->coord[axes - 1], l->end, store_all, NULL);
    krsi_lower_end_points(l);
}
