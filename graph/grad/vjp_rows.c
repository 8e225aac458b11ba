/* vjp_rows.c -- gradients of reductions, softmax, products and gathers.
 *
 * In: y = f(x) and its cotangent g (grad.h). Out: cotangents of the operands.
 * The linear maps (sum, cumsum, product, gather, scatter) give their
 * transposes; the others follow from their Jacobians, written with y where
 * that saves a second forward pass. Source: Griewank & Walther 2008, ch. 3 and
 * 13; products: Giles 2008, section 2.2.
 */
#include "grad.h"

#include <krs/scan.h>

/* t, whose reduced axes are gone or 1, expanded to the shape of in[0] */
static krs_node
spread(krsi_vjp *v, krs_node t)
{
    const int64_t *axis;
    int count = krsi_ints(v->node, 0, &axis);
    krs_shape kept = krs_node_shape(v->in[0]);
    for (int i = 0; i < count; i++)
        kept.dim[axis[i]] = 1;
    return krsi_expand_like(v->at, krs_reshape_at(v->at, t, kept), v->in[0]);
}

/* y = sum x: every element gets g */
void
krsi_vjp_sum(krsi_vjp *v)
{
    v->out[0] = spread(v, v->g);
}

/* g divided evenly among the elements that attain the extremum */
void
krsi_vjp_extremum(krsi_vjp *v)
{
    krs_place at = v->at;
    const int64_t *axis;
    krs_axes axes = {krsi_ints(v->node, 0, &axis), {0}};
    for (int i = 0; i < axes.count; i++)
        axes.axis[i] = (int32_t)axis[i];
    krs_node attained = krs_eq_at(at, v->in[0], spread(v, v->y));
    krs_node count = krs_sum_keep_at(
        at, krs_cast_at(at, attained, krs_node_dtype(v->g)), axes);
    krs_node share = krs_div_at(at, spread(v, v->g), count);
    v->out[0] = krs_where_at(at, attained, share, krs_like_at(at, share, 0));
}

/* the running sum is a triangle of ones; its transpose runs the other way */
void
krsi_vjp_cumsum(krsi_vjp *v)
{
    v->out[0] = krsi_cumsum(v->at, v->g, (int)krsi_int(v->node, 0),
                            krsi_int(v->node, 1) == 0);
}

/* x along the axis, one place further from the start (or the end), 1 first */
static krs_node
shifted(krs_place at, krs_node x, int axis, bool reverse)
{
    krs_shape shape = krs_node_shape(x);
    int64_t n = shape.dim[axis];
    if (n == 0)
        return x;
    krs_node part = krs_slice_at(at, x, axis, reverse, reverse ? n : n - 1, 1);
    shape.dim[axis] = 1;
    krs_node one = krs_full_at(at, x.graph, krs_node_dtype(x), shape, 1);
    krs_node parts[2] = {reverse ? part : one, reverse ? one : part};
    return krs_concat_at(at, parts, 2, axis);
}

/* The product of all others, from those before and those after: right where x
 * has zeros, and never a division. The axes become one, the last. */
void
krsi_vjp_prod(krsi_vjp *v)
{
    krs_place at = v->at;
    const int64_t *axis;
    int count = krsi_ints(v->node, 0, &axis);
    krs_shape shape = krs_node_shape(v->in[0]);
    krs_axes order = {shape.rank, {0}}, back = {shape.rank, {0}};
    krs_shape rows = {1, {1}}, moved = {shape.rank, {0}};
    int kept = 0;
    unsigned gone = 0;
    for (int i = 0; i < count; i++)
        gone |= 1u << axis[i];
    for (int a = 0; a < shape.rank; a++)
        if (!(gone >> a & 1)) {
            rows.dim[0] *= shape.dim[a];
            order.axis[kept++] = a;
        }
    rows.dim[rows.rank++] = 1;
    for (int i = 0; i < count; i++) {
        rows.dim[1] *= shape.dim[axis[i]];
        order.axis[kept++] = (int32_t)axis[i];
    }
    for (int a = 0; a < shape.rank; a++) {
        back.axis[order.axis[a]] = a;
        moved.dim[a] = shape.dim[order.axis[a]];
    }
    krs_node x = krs_reshape_at(at, krs_permute_at(at, v->in[0], order), rows);
    krs_node before = krsi_cumprod(at, shifted(at, x, 1, false), 1, false);
    krs_node after = krsi_cumprod(at, shifted(at, x, 1, true), 1, true);
    krs_node others = krs_reshape_at(at, krs_mul_at(at, before, after), moved);
    v->out[0] =
        krs_mul_at(at, spread(v, v->g), krs_permute_at(at, others, back));
}

/* y_j = x_1 ... x_j: dx_i = (x_1 ... x_(i-1)) s_i, where s_i = g_i + x_(i+1)
 * s_(i+1) sums g_j x_(i+1) ... x_j over j >= i; a recurrence, and no division.
 * From the end to the start it is the other way round. */
void
krsi_vjp_cumprod(krsi_vjp *v)
{
    krs_place at = v->at;
    int axis = (int)krsi_int(v->node, 0);
    bool reverse = krsi_int(v->node, 1) != 0;
    krs_node x = krs_transpose_at(at, v->in[0], 0, axis);
    krs_node g = krs_transpose_at(at, v->g, 0, axis);
    int64_t n = krs_node_shape(x).dim[0];
    if (n == 0) {
        v->out[0] = v->g;
        return;
    }
    krs_scan scan = krs_scan_begin_at(
        at, v->graph, n, reverse ? KRS_SCAN_FORWARD : KRS_SCAN_REVERSE);
    krs_shape one = krs_node_shape(x);
    one.dim[0] = 1;
    krs_node zero = krs_full_at(at, v->graph, krs_node_dtype(x), one, 0);
    krs_node s = krs_scan_carry_at(at, scan, krs_squeeze_at(at, zero, 0));
    krs_node factor = krs_scan_x_at(at, scan, shifted(at, x, 0, !reverse));
    krs_node next =
        krs_add_at(at, krs_scan_x_at(at, scan, g), krs_mul_at(at, factor, s));
    krs_scan_next_at(at, scan, s, next);
    krs_scan_keep_at(at, scan, next);
    krs_scan_end_at(at, scan);
    krs_node before = krsi_cumprod(at, shifted(at, x, 0, reverse), 0, reverse);
    krs_node dx = krs_mul_at(at, before, krs_scan_kept_at(at, scan, next));
    v->out[0] = krs_transpose_at(at, dx, 0, axis);
}

/* d lse / dx = softmax(x) = e^(x - y) */
void
krsi_vjp_logsumexp(krsi_vjp *v)
{
    krs_place at = v->at;
    krs_node p = krs_exp_at(at, krs_sub_at(at, v->in[0], spread(v, v->y)));
    v->out[0] = krs_mul_at(at, spread(v, v->g), p);
}

/* dx = y (g - sum g y) */
void
krsi_vjp_softmax(krsi_vjp *v)
{
    krs_place at = v->at;
    krs_axes axis = KRS_AXES((int32_t)krsi_int(v->node, 0));
    krs_node dot = krs_sum_keep_at(at, krs_mul_at(at, v->g, v->y), axis);
    v->out[0] = krs_mul_at(at, v->y, krs_sub_at(at, v->g, dot));
}

/* dx = g - e^y sum g */
void
krsi_vjp_log_softmax(krsi_vjp *v)
{
    krs_place at = v->at;
    krs_axes axis = KRS_AXES((int32_t)krsi_int(v->node, 0));
    krs_node sum = krs_sum_keep_at(at, v->g, axis);
    v->out[0] = krs_sub_at(at, v->g, krs_mul_at(at, krs_exp_at(at, v->y), sum));
}

/* Of the logits: composite_loss.c has the derivation. The other operands'
 * gradients, and those of targets that are probabilities, go through the
 * definition. */
void
krsi_vjp_cross_entropy(krsi_vjp *v)
{
    krs_node g = v->g;
    if (v->need[1] || (v->count > 2 && v->need[2]) ||
        krs_dtype_is_float(krs_node_dtype(v->in[1]))) {
        krsi_vjp_through_expansion(v);
        return;
    }
    krsi_ce c = krsi_ce_of(v->at, v->node, v->in);
    if (krsi_int(v->node, 0) == KRS_REDUCE_MEAN)
        g = krs_div_at(v->at, g, krsi_ce_count(&c));
    v->out[0] = krsi_ce_gradient(&c, v->in[0], g);
}

/* The gradient of the sum of all losses, which comes with the losses, times the
 * cotangent, one number. Rows that have cotangents of their own, and class
 * weights, go through the definition: a scan that makes the logits again. */
void
krsi_vjp_linear_cross_entropy(krsi_vjp *v)
{
    krs_place at = v->at;
    krs_node g = v->g;
    if (krsi_int(v->node, 0) == KRS_REDUCE_NONE ||
        (v->count > 3 && v->need[3])) {
        krsi_vjp_through_expansion(v);
        return;
    }
    krsi_ce c = krsi_ce_of(at, v->node, v->in);
    if (krsi_int(v->node, 0) == KRS_REDUCE_MEAN)
        g = krs_div_at(at, g, krsi_ce_count(&c));
    for (int i = 0; i < 2; i++) {
        if (!v->need[i])
            continue;
        krs_node d = krsi_linear_cross_entropy_grad(
            at, v->node, v->in, i == 0 ? KRSI_CE_HIDDEN : KRSI_CE_WEIGHT);
        v->out[i] =
            krs_cast_at(at, krs_mul_at(at, d, g), krs_node_dtype(v->in[i]));
    }
}

/* y = A B: dA = g B^T, dB = A^T g, where A and B are the operands after their
 * transposition flags; a transposed operand gets the transposed product. */
void
krsi_vjp_matmul(krsi_vjp *v)
{
    krs_place at = v->at;
    krs_node a = v->in[0], b = v->in[1], g = v->g;
    bool ta = krsi_int(v->node, 0) != 0, tb = krsi_int(v->node, 1) != 0;
    if (krs_dtype_class_of(krs_node_dtype(b)) == KRS_CLASS_BLOCK)
        b = krs_cast_at(at, b, KRS_F32); /* which its rows are packed through */
    if (v->need[0])
        v->out[0] = ta ? krsi_matmul(at, b, g, tb, true)
                       : krsi_matmul(at, g, b, false, !tb);
    if (v->need[1])
        v->out[1] = tb ? krsi_matmul(at, g, a, true, ta)
                       : krsi_matmul(at, a, g, !ta, false);
}

/* Reading slices and adding slices are adjoint to each other. */
void
krsi_vjp_take(krsi_vjp *v)
{
    krs_node zeros = krs_zeros_like_at(v->at, v->in[0]);
    v->out[0] = krs_index_add_at(v->at, zeros, v->in[1], v->g,
                                 (int)krsi_int(v->node, 0));
}

void
krsi_vjp_index_add(krsi_vjp *v)
{
    v->out[0] = v->g;
    if (v->need[2])
        v->out[2] =
            krs_take_at(v->at, v->g, v->in[1], (int)krsi_int(v->node, 0));
}

void
krsi_vjp_gather(krsi_vjp *v)
{
    krs_node zeros = krs_zeros_like_at(v->at, v->in[0]);
    v->out[0] = krs_scatter_add_at(v->at, zeros, v->in[1], v->g,
                                   (int)krsi_int(v->node, 0));
}

void
krsi_vjp_scatter_add(krsi_vjp *v)
{
    v->out[0] = v->g;
    if (v->need[2])
        v->out[2] =
            krs_gather_at(v->at, v->g, v->in[1], (int)krsi_int(v->node, 0));
}
