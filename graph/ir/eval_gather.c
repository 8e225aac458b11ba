/* eval_gather.c -- take, index_add, gather, scatter_add.
 *
 * Indices are checked before anything is moved; the message names the first
 * bad one. Sums are added in the order of the indices.
 */
#include "eval.h"

#include <string.h>

/* x as [outer, axis, inner] */
typedef struct split {
    int64_t outer, size, inner;
} split;

static split
split_at(const krsi_value *x, int axis)
{
    split s = {1, x->dim[axis], 1};
    for (int a = 0; a < axis; a++)
        s.outer *= x->dim[a];
    for (int a = axis + 1; a < x->rank; a++)
        s.inner *= x->dim[a];
    return s;
}

static krs_status
check_indices(const krsi_call *call, const krsi_value *index, int axis,
              int64_t size)
{
    for (int64_t i = 0; i < index->elements; i++) {
        char text[KRSI_POSITION_TEXT];
        if (index->i[i] >= 0 && index->i[i] < size)
            continue;
        krsi_position_text(text, index->rank, index->dim, i);
        return krsi_call_fail(call, KRS_E_RANGE,
                              "index %lld at position %s is outside axis %d "
                              "of size %lld",
                              (long long)index->i[i], text, axis,
                              (long long)size);
    }
    return KRS_OK;
}

krs_status
krsi_eval_take(krsi_call *call)
{
    const krsi_value *x = krsi_in(call, 0), *index = krsi_in(call, 1);
    krsi_value *out = call->out;
    int axis = (int)krsi_int(call->node, 0);
    KRS_TRY(krsi_out_new(call));
    if (out->elements == 0) /* no index is followed */
        return KRS_OK;
    KRS_TRY(check_indices(call, index, axis, x->dim[axis]));
    split s = split_at(x, axis);
    krs_dtype dtype = (krs_dtype)x->dtype;
    if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK) { /* axis is 0 */
        for (int64_t i = 0; i < index->elements; i++)
            krsi_dequantise(dtype, out->f + i * s.inner, x->block,
                            index->i[i] * s.inner, s.inner);
        return KRS_OK;
    }
    krsi_element *to = out->e;
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < index->elements; i++, to += s.inner)
            memcpy(to, x->e + (o * s.size + index->i[i]) * s.inner,
                   (size_t)s.inner * sizeof *to);
    return KRS_OK;
}

/* dst[i] += src[i] */
static void
add_row(bool is_float, krsi_element *dst, const krsi_element *src,
        int64_t count)
{
    if (is_float)
        for (int64_t i = 0; i < count; i++)
            dst[i].f += src[i].f;
    else
        for (int64_t i = 0; i < count; i++)
            dst[i].i = (int64_t)((uint64_t)dst[i].i + (uint64_t)src[i].i);
}

krs_status
krsi_eval_index_add(krsi_call *call)
{
    const krsi_value *x = krsi_in(call, 0), *index = krsi_in(call, 1);
    const krsi_value *src = krsi_in(call, 2);
    krsi_value *out = call->out;
    int axis = (int)krsi_int(call->node, 0);
    KRS_TRY(krsi_out_copy(call, 0));
    if (src->elements == 0)
        return KRS_OK;
    KRS_TRY(check_indices(call, index, axis, x->dim[axis]));
    split s = split_at(x, axis);
    const krsi_element *from = src->e;
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < index->elements; i++, from += s.inner)
            add_row(krsi_is_float(out),
                    out->e + (o * s.size + index->i[i]) * s.inner, from,
                    s.inner);
    return KRS_OK;
}

/* The position in x that element i of index names: i's own coordinates with
 * that of the axis replaced. */
typedef struct cursor {
    int64_t at[KRS_MAX_RANK], stride[KRS_MAX_RANK], offset;
} cursor;

static int64_t
cursor_next(cursor *c, const krsi_value *index, int axis, int64_t value)
{
    int64_t position = c->offset + value * c->stride[axis];
    for (int a = index->rank - 1; a >= 0; a--) {
        int64_t step = a == axis ? 0 : c->stride[a];
        c->offset += step;
        if (++c->at[a] < index->dim[a])
            break;
        c->at[a] = 0;
        c->offset -= step * index->dim[a];
    }
    return position;
}

krs_status
krsi_eval_gather(krsi_call *call)
{
    const krsi_value *x = krsi_in(call, 0), *index = krsi_in(call, 1);
    krsi_value *out = call->out;
    int axis = (int)krsi_int(call->node, 0);
    cursor c = {0};
    KRS_TRY(check_indices(call, index, axis, x->dim[axis]));
    KRS_TRY(krsi_out_new(call));
    krsi_strides(x->rank, x->dim, c.stride);
    for (int64_t i = 0; i < out->elements; i++)
        out->e[i] = x->e[cursor_next(&c, index, axis, index->i[i])];
    return KRS_OK;
}

krs_status
krsi_eval_scatter_add(krsi_call *call)
{
    const krsi_value *x = krsi_in(call, 0), *index = krsi_in(call, 1);
    const krsi_value *src = krsi_in(call, 2);
    krsi_value *out = call->out;
    int axis = (int)krsi_int(call->node, 0);
    cursor c = {0};
    KRS_TRY(check_indices(call, index, axis, x->dim[axis]));
    KRS_TRY(krsi_out_copy(call, 0));
    krsi_strides(x->rank, x->dim, c.stride);
    for (int64_t i = 0; i < index->elements; i++)
        add_row(krsi_is_float(out),
                out->e + cursor_next(&c, index, axis, index->i[i]), src->e + i,
                1);
    return KRS_OK;
}
