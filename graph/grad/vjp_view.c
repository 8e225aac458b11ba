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

/* Many windows: what they share is added up through an index. */
static krs_node
add_windows(krsi_vjp *v, int axis)
{
    krs_place at = v->at;
    krs_shape shape = krs_node_shape(v->g);
    int last = shape.rank - 1;
    int64_t count = shape.dim[axis], size = shape.dim[last];
    krs_axes order = {shape.rank, {0}};
    krs_shape merged = krs_node_shape(v->in[0]),
              square = KRS_SHAPE(count, size);
    for (int a = 0, to = 0; a < last; a++) {
        order.axis[to++] = a;
        if (a == axis)
            order.axis[to++] = last;
    }
    merged.dim[axis] = count * size;
    krs_node first = krs_iota_at(at, v->graph, KRS_I64, square, 0);
    krs_node next = krs_iota_at(at, v->graph, KRS_I64, square, 1);
    krs_node index =
        krs_add_at(at, krs_scale_at(at, first, (double)krsi_int(v->node, 2)),
                   krs_scale_at(at, next, (double)krsi_int(v->node, 3)));
    index = krs_reshape_at(at, index, KRS_SHAPE(count * size));
    krs_node src = krs_reshape_at(at, krs_permute_at(at, v->g, order), merged);
    krs_node zeros = krs_full_at(at, v->graph, krs_node_dtype(v->in[0]),
                                 krs_node_shape(v->in[0]), 0);
    return krs_index_add_at(at, zeros, index, src, axis);
}

/* dx[p] = sum_j g[(p - j dilation) / step, j] over the j for which that is a
 * window: with z, g put at its positions among zeros, the margin of a window in
 * front, the sum of z[p + margin - j dilation, j]; one map of so many views. */
void
krsi_vjp_windows(krsi_vjp *v)
{
    enum { VIEWS = 16 }; /* a kernel has room for them */
    krs_place at = v->at;
    int axis = (int)krsi_int(v->node, 0);
    int64_t size = krsi_int(v->node, 1), dilation = krsi_int(v->node, 3);
    krs_shape from = krs_node_shape(v->in[0]), shape = krs_node_shape(v->g);
    int last = shape.rank - 1;
    int64_t margin = (size - 1) * dilation, steps[KRS_MAX_RANK];
    krs_index starts[KRS_MAX_RANK];
    if (shape.dim[axis] == 0) {
        v->out[0] = krs_zeros_like_at(at, v->in[0]);
        return;
    }
    if (size > VIEWS) {
        v->out[0] = add_windows(v, axis);
        return;
    }
    for (int a = 0; a < shape.rank; a++) {
        starts[a] = KRS_INDEX(a == axis ? margin : 0);
        steps[a] = a == axis ? krsi_int(v->node, 2) : 1;
    }
    shape.dim[axis] = margin + from.dim[axis];
    krs_node zeros = krs_full_at(at, v->graph, krs_node_dtype(v->g), shape, 0);
    krs_node z = krsi_set_slice(at, zeros, v->g, starts, steps);
    krs_node sum = KRS_NONE;
    for (int64_t j = 0; j < size; j++) {
        krs_node column = krs_slice_at(at, z, last, j, j + 1, 1);
        krs_node part =
            krs_narrow_at(at, krs_squeeze_at(at, column, last), axis,
                          KRS_INDEX(margin - j * dilation), from.dim[axis]);
        sum = j ? krs_add_at(at, sum, part) : part;
    }
    v->out[0] = sum;
}

/* The elements beyond a live length do not exist at run time, so there is
 * nothing to give their zeros a shape. Live lengths serve decoding. */
void
krsi_vjp_live(krsi_vjp *v)
{
    krsi_refuse_use(v->graph, v->at, "live", &v->in[0], 1, KRS_E_UNSUPPORTED,
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
