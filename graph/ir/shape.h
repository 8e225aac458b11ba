/* shape.h -- what the shape rules share. Only shape_*.c include it. */
#ifndef KRSI_SHAPE_H
#define KRSI_SHAPE_H

#include "ir.h"

/* `return REFUSE(m, SHAPE, hint, "format", ...)` from a rule */
#define REFUSE(m, status, hint, ...) \
    krsi_refuse_make(m, KRS_E_##status, hint, __VA_ARGS__)

/* k-th attribute of the node being made */
static inline int64_t
attr_int(const krsi_make *m, int k)
{
    return krsi_attr_int(m->op, m->word, k);
}

/* take type, shape and live lengths of operand i */
static inline void
result_like(krsi_make *m, int i)
{
    const krsi_node *n = m->in[i];
    m->dtype = (krs_dtype)n->dtype;
    m->shape.rank = n->rank;
    m->live_axes = n->live_axes;
    for (int a = 0; a < n->rank; a++) {
        m->shape.dim[a] = n->dim[a];
        if (n->live_axes >> a & 1)
            m->live[a] = n->live[a];
    }
}

/* append an axis to the result, with operand n's live length of axis a */
static inline void
push_axis(krsi_make *m, const krsi_node *n, int a)
{
    int to = m->shape.rank++;
    if (to >= KRS_MAX_RANK)
        return; /* the rank is refused by krsi_add */
    m->shape.dim[to] = n->dim[a];
    if (n->live_axes >> a & 1) {
        m->live[to] = n->live[a];
        m->live_axes |= (uint8_t)(1u << to);
    }
}

static inline bool
live_equal(const krsi_node *a, int i, const krsi_node *b, int j)
{
    bool live_a = a->live_axes >> i & 1, live_b = b->live_axes >> j & 1;
    return live_a == live_b &&
           (!live_a || krs_index_equal(a->live[i], b->live[j]));
}

static inline bool
same_sizes(const krsi_node *a, const krsi_node *b)
{
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++)
        same = a->dim[i] == b->dim[i];
    return same;
}

static inline bool
is_index_type(const krsi_node *n)
{
    return n->dtype == KRS_I64 || n->dtype == KRS_I32;
}

/* axis attribute k, in [0, rank) or -1, refused */
int krsi_rule_axis(krsi_make *m, int k, int rank);

#endif
