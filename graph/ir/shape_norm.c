/* shape_norm.c -- types and shapes of norms over groups, batches and axes. */
#include "shape.h"

/* operand i is [C] for x [N, C, ..] */
static bool
is_channels(krsi_make *m, int i, const char *what)
{
    const krsi_node *x = m->in[0], *v = m->in[i];
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    if (v->rank == 1 && v->dim[0] == x->dim[1] && !v->live_axes)
        return true;
    return REFUSE(m, SHAPE, NULL, "%s %s where [%lld] is needed for x %s", what,
                  krsi_type_text(b, v), (long long)x->dim[1],
                  krsi_type_text(a, x));
}

/* x [N, C, ..] and a sensible eps */
static bool
has_channels(krsi_make *m, double eps)
{
    char type[KRSI_TYPE_TEXT];
    result_like(m, 0);
    if (m->in[0]->rank < 2)
        return REFUSE(m, SHAPE, NULL, "x %s where [N, C, ..] is needed",
                      krsi_type_text(type, m->in[0]));
    if (!(eps >= 0 && eps < 1e30))
        return REFUSE(m, RANGE, NULL, "eps %g is not a number >= 0", eps);
    return true;
}

bool
krsi_shape_group_norm(krsi_make *m)
{
    int64_t groups = attr_int(m, 0);
    if (!has_channels(m, krsi_attr_float(m->op, m->word, 1)))
        return false;
    if (groups < 1 || m->in[0]->dim[1] % groups)
        return REFUSE(m, SHAPE, NULL,
                      "%lld channels do not divide into %lld groups",
                      (long long)m->in[0]->dim[1], (long long)groups);
    return is_channels(m, 1, "weight") &&
           (m->count < 3 || is_channels(m, 2, "bias"));
}

bool
krsi_shape_batch_norm(krsi_make *m)
{
    return has_channels(m, krsi_attr_float(m->op, m->word, 0)) &&
           is_channels(m, 1, "mean") && is_channels(m, 2, "variance") &&
           is_channels(m, 3, "weight") && is_channels(m, 4, "bias");
}

/* eps^2 must be a number of f32 */
static bool
is_length(krsi_make *m)
{
    double eps = krsi_attr_float(m->op, m->word, 1);
    if (eps >= 1e-18 && eps < 1e18)
        return true;
    return REFUSE(m, RANGE, NULL, "eps %g is outside [1e-18, 1e18)", eps);
}

bool
krsi_shape_l2_normalize(krsi_make *m)
{
    result_like(m, 0);
    return krsi_rule_axis(m, 0, m->shape.rank) >= 0 && is_length(m);
}

bool
krsi_shape_cosine_similarity(krsi_make *m)
{
    const krsi_node *a = m->in[0], *b = m->in[1];
    char at[KRSI_TYPE_TEXT], bt[KRSI_TYPE_TEXT];
    int axis = krsi_rule_axis(m, 0, a->rank);
    if (axis < 0 || !is_length(m))
        return false;
    bool fits = same_sizes(a, b);
    for (int i = 0; fits && i < a->rank; i++)
        fits = live_equal(a, i, b, i);
    if (!fits)
        return REFUSE(m, SHAPE, NULL, "shapes differ: %s and %s",
                      krsi_type_text(at, a), krsi_type_text(bt, b));
    m->dtype = (krs_dtype)a->dtype;
    for (int i = 0; i < a->rank; i++)
        if (i != axis)
            push_axis(m, a, i);
    return true;
}
