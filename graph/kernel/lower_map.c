/* lower_map.c -- the family map: one expression at every point.
 *
 * The innermost axis is the vector axis; an item takes up to MAP_CHUNK of its
 * points, and the grid the axes around it.
 */
#include "lower.h"

enum { MAP_CHUNK = 4096 };

void
krsi_lower_map(krsi_lowering *l)
{
    int axes = l->cut->rank;
    l->vector_axis = axes - 1;
    krsi_lower_declare(l);
    krsi_lower_points(l, axes, MAP_CHUNK);
    krsi_kv value = krsi_lower_root(l);
    krsi_lower_store(l, krsi_lower_out(l, KRSI_KV_NONE), value);
    krsi_lower_end_points(l);
}
