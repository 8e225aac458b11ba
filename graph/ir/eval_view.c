/* eval_view.c -- views: reshape, permute, expand, slice, set_slice, pad,
 * concat, live.
 *
 * The result is the operand's own memory where the elements keep their
 * order; else a strided copy (eval_copy.c) over run-time extents.
 */
#include "eval.h"

krs_status
krsi_eval_reshape(krsi_call *call)
{
    return krsi_out_alias(call, 0);
}

/* Do the axes that matter keep their order? */
static bool
order_kept(const krsi_value *in, const int64_t *axis)
{
    int64_t last = -1;
    for (int a = 0; a < in->rank; a++) {
        if (in->dim[axis[a]] == 1)
            continue;
        if (axis[a] < last)
            return false;
        last = axis[a];
    }
    return true;
}

krs_status
krsi_eval_permute(krsi_call *call)
{
    const krsi_value *in = krsi_in(call, 0);
    krsi_value *out = call->out;
    const int64_t *axis;
    int64_t in_stride[KRS_MAX_RANK], from[KRS_MAX_RANK], to[KRS_MAX_RANK];
    krsi_ints(call->node, 0, &axis);
    if (order_kept(in, axis))
        return krsi_out_alias(call, 0);
    KRS_TRY(krsi_out_new(call));
    krsi_strides(in->rank, in->dim, in_stride);
    krsi_strides(out->rank, out->dim, to);
    for (int a = 0; a < out->rank; a++)
        from[a] = in_stride[axis[a]];
    krsi_strided_copy(out->rank, out->dim, out->e, to, in->e, from);
    return KRS_OK;
}

krs_status
krsi_eval_expand(krsi_call *call)
{
    const krsi_value *in = krsi_in(call, 0);
    krsi_value *out = call->out;
    int64_t in_stride[KRS_MAX_RANK], from[KRS_MAX_RANK], to[KRS_MAX_RANK];
    int lead = out->rank - in->rank;
    if (in->elements == out->elements)
        return krsi_out_alias(call, 0);
    KRS_TRY(krsi_out_new(call));
    krsi_strides(in->rank, in->dim, in_stride);
    krsi_strides(out->rank, out->dim, to);
    for (int a = 0; a < out->rank; a++) {
        bool repeated = a < lead || in->dim[a - lead] != out->dim[a];
        from[a] = repeated ? 0 : in_stride[a - lead];
    }
    krsi_strided_copy(out->rank, out->dim, out->e, to, in->e, from);
    return KRS_OK;
}

/* Where the block of a slice or set_slice begins in x, and its strides there.
 * count: the block's extents. */
static krs_status
locate(const krsi_call *call, const krsi_value *x, const int64_t *count,
       int step_attribute, int64_t *out_offset, int64_t *stride)
{
    const krsi_node *n = call->node;
    const int64_t *step;
    krsi_ints(n, step_attribute, &step);
    krsi_strides(x->rank, x->dim, stride);
    *out_offset = 0;
    for (int a = 0; a < x->rank; a++) {
        krs_index index = krsi_index(n, 0, a);
        int64_t start = krsi_index_value(index, call->var);
        int64_t span = (count[a] - 1) * step[a];
        int64_t least = span < 0 ? -span : 0;
        int64_t most = x->dim[a] - 1 - (span > 0 ? span : 0);
        if (count[a] > 0 && (start < least || start > most)) {
            char text[KRSI_INDEX_TEXT];
            return krsi_call_fail(
                call, KRS_E_RANGE,
                "start %lld (%s) of axis %d: %lld elements by step %lld do "
                "not fit in size %lld",
                (long long)start,
                krsi_index_text(text, krsi_call_graph(call), index), a,
                (long long)count[a], (long long)step[a], (long long)x->dim[a]);
        }
        if (count[a] > 0)
            *out_offset += start * stride[a];
        stride[a] *= step[a];
    }
    return KRS_OK;
}

krs_status
krsi_eval_slice(krsi_call *call)
{
    const krsi_value *in = krsi_in(call, 0);
    krsi_value *out = call->out;
    int64_t from[KRS_MAX_RANK], to[KRS_MAX_RANK], offset;
    KRS_TRY(locate(call, in, out->dim, 2, &offset, from));
    KRS_TRY(krsi_out_new(call));
    if (out->elements == 0)
        return KRS_OK;
    krsi_strides(out->rank, out->dim, to);
    krsi_strided_copy(out->rank, out->dim, out->e, to, in->e + offset, from);
    return KRS_OK;
}

krs_status
krsi_eval_windows(krsi_call *call)
{
    const krsi_value *in = krsi_in(call, 0);
    krsi_value *out = call->out;
    int64_t from[KRS_MAX_RANK], to[KRS_MAX_RANK];
    int axis = (int)krsi_int(call->node, 0);
    KRS_TRY(krsi_out_new(call));
    if (out->elements == 0)
        return KRS_OK;
    krsi_strides(in->rank, in->dim, from);
    krsi_strides(out->rank, out->dim, to);
    from[in->rank] = from[axis] * krsi_int(call->node, 3);
    from[axis] *= krsi_int(call->node, 2);
    krsi_strided_copy(out->rank, out->dim, out->e, to, in->e, from);
    return KRS_OK;
}

krs_status
krsi_eval_set_slice(krsi_call *call)
{
    const krsi_value *in = krsi_in(call, 0), *block = krsi_in(call, 1);
    krsi_value *out = call->out;
    int64_t from[KRS_MAX_RANK], to[KRS_MAX_RANK], offset;
    KRS_TRY(locate(call, in, block->dim, 1, &offset, to));
    KRS_TRY(krsi_out_copy(call, 0));
    if (block->elements == 0)
        return KRS_OK;
    krsi_strides(block->rank, block->dim, from);
    krsi_strided_copy(out->rank, block->dim, out->e + offset, to, block->e,
                      from);
    return KRS_OK;
}

krs_status
krsi_eval_pad(krsi_call *call)
{
    const krsi_value *in = krsi_in(call, 0);
    krsi_value *out = call->out;
    const int64_t *before;
    int64_t from[KRS_MAX_RANK], to[KRS_MAX_RANK], offset = 0;
    krsi_element margin =
        krsi_element_of((krs_dtype)out->dtype, krsi_float(call->node, 2));
    krsi_ints(call->node, 0, &before);
    KRS_TRY(krsi_out_new(call));
    for (int64_t i = 0; i < out->elements; i++)
        out->e[i] = margin;
    if (in->elements == 0)
        return KRS_OK;
    krsi_strides(in->rank, in->dim, from);
    krsi_strides(out->rank, out->dim, to);
    for (int a = 0; a < out->rank; a++)
        offset += before[a] * to[a];
    krsi_strided_copy(in->rank, in->dim, out->e + offset, to, in->e, from);
    return KRS_OK;
}

krs_status
krsi_eval_concat(krsi_call *call)
{
    krsi_value *out = call->out;
    int axis = (int)krsi_int(call->node, 0);
    int64_t from[KRS_MAX_RANK], to[KRS_MAX_RANK], offset = 0;
    KRS_TRY(krsi_out_new(call));
    krsi_strides(out->rank, out->dim, to);
    for (uint32_t k = 0; k < call->node->count; k++) {
        const krsi_value *part = krsi_in(call, k);
        if (part->elements == 0)
            continue;
        krsi_strides(part->rank, part->dim, from);
        krsi_strided_copy(part->rank, part->dim, out->e + offset, to, part->e,
                          from);
        offset += part->dim[axis] * to[axis];
    }
    return KRS_OK;
}

krs_status
krsi_eval_live(krsi_call *call)
{
    const krsi_value *in = krsi_in(call, 0);
    krsi_value *out = call->out;
    int axis = (int)krsi_int(call->node, 0);
    int64_t from[KRS_MAX_RANK], to[KRS_MAX_RANK], before = 1;
    for (int a = 0; a < axis; a++)
        before *= in->dim[a];
    if (before == 1 || in->elements == out->elements)
        return krsi_out_alias(call, 0); /* the first elements in memory */
    KRS_TRY(krsi_out_new(call));
    krsi_strides(in->rank, in->dim, from);
    krsi_strides(out->rank, out->dim, to);
    krsi_strided_copy(out->rank, out->dim, out->e, to, in->e, from);
    return KRS_OK;
}
