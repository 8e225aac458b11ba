/* shape_conv.c -- shapes of windows, convolutions and pooling. */
#include "shape.h"

/* How many windows there are in `size` elements; -1: a number out of bounds. */
static int64_t
count_windows(int64_t size, int64_t window, int64_t step, int64_t dilation)
{
    int64_t reach;
    if (window < 1 || step < 1 || dilation < 1 ||
        __builtin_mul_overflow(window - 1, dilation, &reach) ||
        reach == INT64_MAX)
        return -1;
    return size > reach ? (size - 1 - reach) / step + 1 : 0;
}

bool
krsi_shape_windows(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    int64_t size = attr_int(m, 1), step = attr_int(m, 2),
            dilation = attr_int(m, 3);
    int axis = krsi_rule_axis(m, 0, x->rank);
    if (axis < 0)
        return false;
    result_like(m, 0);
    int64_t count = count_windows(x->dim[axis], size, step, dilation);
    if (count < 0)
        return REFUSE(m, RANGE, "all three are at least 1",
                      "windows of %lld by step %lld, dilation %lld",
                      (long long)size, (long long)step, (long long)dilation);
    if (x->live_axes >> axis & 1)
        return REFUSE(m, UNSUPPORTED, NULL,
                      "axis %d has a live length and no windows", axis);
    if (x->rank == KRS_MAX_RANK ||
        krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK) {
        char type[KRSI_TYPE_TEXT];
        return REFUSE(m, SHAPE, NULL, "x %s has no windows: rank or type",
                      krsi_type_text(type, x));
    }
    m->shape.dim[axis] = count;
    m->shape.dim[m->shape.rank++] = size;
    return true;
}

/* The places of the axes from 2 on into the result. */
static bool
places(krsi_make *m, const int64_t *kernel, const int64_t *stride,
       const int64_t *padding, const int64_t *dilation, int axes)
{
    const krsi_node *x = m->in[0];
    char type[KRSI_TYPE_TEXT];
    krsi_type_text(type, x);
    for (int a = 0; a < axes; a++) {
        int64_t size = x->dim[2 + a], wide, by = dilation ? dilation[a] : 1;
        if (padding[a] < 0 || padding[a] > INT64_MAX / 4 ||
            __builtin_add_overflow(size, 2 * padding[a], &wide))
            return REFUSE(m, RANGE, NULL, "padding %lld of axis %d",
                          (long long)padding[a], 2 + a);
        int64_t count = count_windows(wide, kernel[a], stride[a], by);
        if (count < 0)
            return REFUSE(m, RANGE, "all three are at least 1",
                          "kernel %lld, stride %lld, dilation %lld of axis %d",
                          (long long)kernel[a], (long long)stride[a],
                          (long long)by, 2 + a);
        if (count == 0 && size > 0)
            return REFUSE(m, SHAPE, NULL,
                          "a kernel of %lld, dilation %lld, does not fit in "
                          "axis %d of x %s with padding %lld",
                          (long long)kernel[a], (long long)by, 2 + a, type,
                          (long long)padding[a]);
        m->shape.dim[2 + a] = count;
    }
    return true;
}

/* x [N, C, ..] with so many axes more, none of them live */
static bool
has_places(krsi_make *m, int axes)
{
    const krsi_node *x = m->in[0];
    char type[KRSI_TYPE_TEXT];
    result_like(m, 0);
    if ((axes == 1 || axes == 2) && x->rank == 2 + axes && !x->live_axes)
        return true;
    return REFUSE(m, SHAPE, NULL,
                  "x %s where [N, C, %s] without live lengths is needed",
                  krsi_type_text(type, x), axes == 1 ? "L" : "H, W");
}

bool
krsi_shape_conv(krsi_make *m)
{
    const krsi_node *x = m->in[0], *w = m->in[1];
    const int64_t *stride, *padding, *dilation;
    char xt[KRSI_TYPE_TEXT], wt[KRSI_TYPE_TEXT];
    int axes = krsi_attr_ints(m->op, m->word, 0, &stride);
    int64_t groups = attr_int(m, 3);
    if (krsi_attr_ints(m->op, m->word, 1, &padding) != axes ||
        krsi_attr_ints(m->op, m->word, 2, &dilation) != axes)
        return REFUSE(m, ARGUMENT, NULL,
                      "as many paddings and dilations as strides are needed");
    if (!has_places(m, axes))
        return false;
    krsi_type_text(xt, x);
    krsi_type_text(wt, w);
    bool fits = w->rank == x->rank && !w->live_axes && groups > 0 &&
                x->dim[1] % groups == 0 && w->dim[0] % groups == 0 &&
                w->dim[1] == x->dim[1] / groups;
    if (!fits)
        return REFUSE(m, SHAPE, "weight is [O, C/groups, kernel..]",
                      "weight %s does not fit x %s in %lld group%s", wt, xt,
                      (long long)groups, groups == 1 ? "" : "s");
    if (m->count > 2 &&
        (m->in[2]->rank != 1 || m->in[2]->dim[0] != w->dim[0])) {
        char bt[KRSI_TYPE_TEXT];
        return REFUSE(m, SHAPE, NULL, "bias %s does not fit weight %s",
                      krsi_type_text(bt, m->in[2]), wt);
    }
    m->shape.dim[1] = w->dim[0];
    return places(m, w->dim + 2, stride, padding, dilation, axes);
}

bool
krsi_shape_pool(krsi_make *m)
{
    const int64_t *kernel, *stride, *padding;
    int axes = krsi_attr_ints(m->op, m->word, 0, &kernel);
    if (krsi_attr_ints(m->op, m->word, 1, &stride) != axes ||
        krsi_attr_ints(m->op, m->word, 2, &padding) != axes)
        return REFUSE(
            m, ARGUMENT, NULL,
            "as many strides and paddings as kernel sizes are needed");
    if (!has_places(m, axes))
        return false;
    for (int a = 0; a < axes; a++)
        if (padding[a] > kernel[a] / 2)
            return REFUSE(m, RANGE, NULL,
                          "padding %lld of axis %d is more than half of the "
                          "kernel, %lld",
                          (long long)padding[a], 2 + a, (long long)kernel[a]);
    return places(m, kernel, stride, padding, NULL, axes);
}
