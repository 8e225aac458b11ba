/* shape_loss.c -- types and shapes of losses other than cross-entropy. */
#include "shape.h"

/* operands of one shape; all of their losses, or one */
bool
krsi_shape_loss(krsi_make *m)
{
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    for (int i = 1; i < m->count; i++)
        if (!same_sizes(m->in[0], m->in[i]) || m->in[i]->live_axes ||
            m->in[0]->live_axes)
            return REFUSE(m, SHAPE, "losses do not broadcast",
                          "%s %s where the shape of %s is needed",
                          i == 1 ? "target" : "weight",
                          krsi_type_text(b, m->in[i]),
                          krsi_type_text(a, m->in[0]));
    if (attr_int(m, 0) == KRS_REDUCE_BATCHMEAN && m->in[0]->rank == 0)
        return REFUSE(m, SHAPE, NULL, "a scalar has no batch");
    m->dtype = (krs_dtype)m->in[0]->dtype;
    if (attr_int(m, 0) == KRS_REDUCE_NONE)
        result_like(m, 0);
    return true;
}

bool
krsi_shape_smooth_l1(krsi_make *m)
{
    double beta = krsi_attr_float(m->op, m->word, 1);
    if (!(beta >= 0 && beta < 1e30))
        return REFUSE(m, RANGE, NULL, "beta %g is not a number >= 0", beta);
    return krsi_shape_loss(m);
}

bool
krsi_shape_nll(krsi_make *m)
{
    const krsi_node *logp = m->in[0], *target = m->in[1];
    const krsi_node *weight = m->count > 2 ? m->in[2] : NULL;
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    krsi_type_text(a, logp);
    if (logp->dtype != KRS_F32 || logp->rank < 1 || logp->live_axes)
        return REFUSE(m, DTYPE, NULL, "logp %s where float [.., V] is needed",
                      a);
    bool fits = is_index_type(target) && target->rank == logp->rank - 1;
    for (int i = 0; fits && i < target->rank; i++)
        fits = target->dim[i] == logp->dim[i];
    if (!fits)
        return REFUSE(m, SHAPE, "ids [..]", "target %s does not fit logp %s",
                      krsi_type_text(b, target), a);
    if (weight && (weight->dtype != KRS_F32 || weight->rank != 1 ||
                   weight->dim[0] != logp->dim[logp->rank - 1]))
        return REFUSE(m, SHAPE, NULL, "class weights %s do not fit logp %s",
                      krsi_type_text(b, weight), a);
    m->dtype = KRS_F32;
    if (attr_int(m, 0) == KRS_REDUCE_NONE)
        for (int i = 0; i < logp->rank - 1; i++)
            push_axis(m, logp, i);
    return true;
}
