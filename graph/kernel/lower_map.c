/* lower_map.c -- the family map: expressions at every point.
 *
 * The innermost axis is the vector axis; an item takes up to MAP_CHUNK of its
 * points, and the grid the axes around it. What does not vary along the
 * innermost axis is computed once, before the loop.
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

void
krsi_lower_map(krsi_lowering *l)
{
    const krsi_cut *cut = l->cut;
    int axes = cut->rank, roots[KRSI_CUT_OUTS];
    bool needed[KRSI_CUT_EXPRS];
    krsi_lower_declare(l);
    krsi_lower_points(l, axes, MAP_CHUNK);
    if (axes == 0) {
        store_all(l, NULL);
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
