/* fuse_cost.c -- what cuts cost, as far as fusion asks: scalar operations of
 * an element, and memory.
 */
#include "fuse.h"

/* Scalar operations of one row of ops.def, about; 1 where nothing is said. */
static const int costs[KRSI_OP_COUNT] = {
    [KRSI_EXP] = 14,  [KRSI_EXP2] = 12,    [KRSI_LOG] = 16, [KRSI_LOG2] = 20,
    [KRSI_SQRT] = 6,  [KRSI_RSQRT] = 8,    [KRSI_SIN] = 20, [KRSI_COS] = 20,
    [KRSI_TANH] = 20, [KRSI_SIGMOID] = 18, [KRSI_ERF] = 24, [KRSI_ERFC] = 40,
    [KRSI_DIV] = 4,   [KRSI_POW] = 60,
};

enum { RANDOM_COST = 80 };

int
krsi_expr_cost(const krsi_expr *e)
{
    if (e->kind == KRSI_X_RANDOM)
        return RANDOM_COST;
    if (e->kind != KRSI_X_OP)
        return e->kind == KRSI_X_REDUCE;
    return costs[e->op] ? costs[e->op] : 1;
}

int
krsi_cut_cost(const krsi_cut *cut)
{
    int cost = 0;
    for (int i = 0; i < cut->exprs; i++)
        cost += krsi_expr_cost(&cut->expr[i]);
    return cost;
}

int64_t
krsi_cut_points(const krsi_cut *cut, int axes)
{
    int64_t points = 1;
    for (int a = 0; a < axes; a++)
        if (__builtin_mul_overflow(points, cut->max[a], &points))
            return INT64_MAX;
    return points;
}

int
krsi_cut_large_loads(const krsi_cut *cut)
{
    int64_t points = krsi_cut_points(cut, cut->rank);
    int large = 0;
    for (int i = 0; i < cut->loads; i++) {
        int64_t elements = 1;
        const krsi_view *v = &cut->load[i].view;
        if (v->value == KRSI_NO_VALUE)
            continue;
        for (int a = 0; a < cut->rank; a++)
            if (v->stride[a] &&
                __builtin_mul_overflow(elements, cut->max[a], &elements))
                elements = INT64_MAX;
        large += cut->load[i].indirect >= 0 || elements > points / 4;
    }
    return large;
}

bool
krsi_cut_is_across(const krsi_cut *cut)
{
    int row = cut->rank - 1, along = 0, across = 0;
    for (int i = 0; i < cut->loads && row > 0; i++) {
        const int64_t *stride = cut->load[i].view.stride;
        if (cut->load[i].view.value == KRSI_NO_VALUE || !stride[row - 1] ||
            !stride[row])
            continue;
        along += stride[row] == 1;
        across += stride[row - 1] == 1 && stride[row] != 1;
    }
    return across > along;
}
