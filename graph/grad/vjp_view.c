/* vjp_view.c -- gradients of views: each is a linear map that moves elements,
 * so its gradient is the transposed map.
 */
#include "grad.h"

void
krsi_vjp_reshape(krsi_vjp *v)
{
    v->out[0] = krs_reshape_at(v->at, v->g, krs_node_shape(v->in[0]));
}

void
krsi_vjp_permute(krsi_vjp *v)
{
    const int64_t *axis;
    krs_axes inverse = {krsi_ints(v->node, 0, &axis), {0}};
    for (int i = 0; i < inverse.count; i++)
        inverse.axis[axis[i]] = i;
    v->out[0] = krs_permute_at(v->at, v->g, inverse);
}

/* copies add up */
void
krsi_vjp_expand(krsi_vjp *v)
{
    v->out[0] = krsi_sum_to(v->at, v->g, v->in[0]);
}

static void
read_starts(const krsi_node *n, krs_index start[KRS_MAX_RANK])
{
    for (int a = 0; a < n->rank; a++)
        start[a] = krsi_index(n, 0, a);
}

/* a block of x: g written into zeros */
void
krsi_vjp_slice(krsi_vjp *v)
{
    krs_index start[KRS_MAX_RANK];
    const int64_t *step;
    read_starts(v->node, start);
    krsi_ints(v->node, 2, &step);
    v->out[0] = krsi_set_slice(v->at, krs_zeros_like_at(v->at, v->in[0]), v->g,
                               start, step);
}

/* x outside the block, v inside */
void
krsi_vjp_set_slice(krsi_vjp *v)
{
    krs_index start[KRS_MAX_RANK];
    const int64_t *step;
    krs_shape block = krs_node_shape(v->in[1]);
    read_starts(v->node, start);
    krsi_ints(v->node, 1, &step);
    if (v->need[0])
        v->out[0] = krsi_set_slice(
            v->at, v->g, krs_zeros_like_at(v->at, v->in[1]), start, step);
    if (v->need[1])
        v->out[1] = krsi_slice(v->at, v->g, start, block.dim, step);
}

void
krsi_vjp_pad(krsi_vjp *v)
{
    static const int64_t ones[KRS_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
    krs_index start[KRS_MAX_RANK];
    const int64_t *before;
    krs_shape inner = krs_node_shape(v->in[0]);
    int rank = krsi_ints(v->node, 0, &before);
    for (int a = 0; a < rank; a++)
        start[a] = KRS_INDEX(before[a]);
    v->out[0] = krsi_slice(v->at, v->g, start, inner.dim, ones);
}

void
krsi_vjp_concat(krsi_vjp *v)
{
    int axis = (int)krsi_int(v->node, 0);
    int64_t start = 0;
    for (int i = 0; i < v->count; i++) {
        int64_t length = krs_node_shape(v->in[i]).dim[axis];
        if (v->need[i])
            v->out[i] =
                krs_narrow_at(v->at, v->g, axis, KRS_INDEX(start), length);
        start += length;
    }
}

/* The elements beyond a live length do not exist at run time, so there is
 * nothing to give their zeros a shape. Live lengths serve decoding. */
void
krsi_vjp_live(krsi_vjp *v)
{
    krsi_refuse(v->graph, v->at, "live", KRS_E_UNSUPPORTED,
                "differentiate a graph without krs_live",
                "there is no gradient through a live length");
}

/* Pairs are turned by R(angle); the transpose of a rotation turns back. */
void
krsi_vjp_rope(krsi_vjp *v)
{
    if (v->need[1]) {
        krsi_vjp_through_expansion(v);
        return;
    }
    v->out[0] = krs_rope_at(v->at, v->g, krs_neg_at(v->at, v->in[1]),
                            (krs_rope_layout)krsi_int(v->node, 0),
                            krsi_float(v->node, 1));
}
