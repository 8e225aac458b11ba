/* build_conv.c -- builders of windows, convolutions and pooling (conv.h). */
#include "ir.h"

#include <krs/conv.h>

krs_node
krs_windows_at(krs_place at, krs_node x, int axis, int64_t size, int64_t step,
               int64_t dilation)
{
    krsi_words words = {.count = 0};
    if (!krsi_operands_ok(at, KRSI_WINDOWS, &x, 1))
        return krsi_poison(x.graph);
    axis = krsi_axis(at, x, KRSI_WINDOWS, axis);
    if (axis < 0)
        return krsi_poison(x.graph);
    krsi_put_int(&words, axis);
    krsi_put_int(&words, size);
    krsi_put_int(&words, step);
    krsi_put_int(&words, dilation);
    return krsi_build(at, NULL, KRSI_WINDOWS, &x, 1, &words);
}

/* the numbers of the axes, 0 as what is usual */
static void
put_axes(krsi_words *words, const int64_t given[2], const int64_t usual[2],
         int axes)
{
    int64_t value[2];
    for (int a = 0; a < axes; a++)
        value[a] = given[a] ? given[a] : usual[a];
    krsi_put_ints(words, value, axes);
}

static krs_node
conv(krs_place at, int axes, krs_node x, krs_node weight, krs_node bias,
     const krs_conv_options *options)
{
    static const int64_t one[2] = {1, 1}, none[2] = {0, 0};
    krs_conv_options o = {.struct_size = sizeof o};
    krsi_words words = {.count = 0};
    const krs_node in[3] = {x, weight, bias};
    if (options &&
        !krsi_options_ok(at, x, KRSI_CONV, options->struct_size, sizeof o))
        return krsi_poison(x.graph);
    if (options)
        o = *options;
    put_axes(&words, o.stride, one, axes);
    put_axes(&words, o.padding, none, axes);
    put_axes(&words, o.dilation, one, axes);
    krsi_put_int(&words, o.groups ? o.groups : 1);
    return krsi_build(at, NULL, KRSI_CONV, in, bias.graph ? 3 : 2, &words);
}

krs_node
krs_conv1d_at(krs_place at, krs_node x, krs_node weight, krs_node bias,
              const krs_conv_options *options)
{
    return conv(at, 1, x, weight, bias, options);
}

krs_node
krs_conv2d_at(krs_place at, krs_node x, krs_node weight, krs_node bias,
              const krs_conv_options *options)
{
    return conv(at, 2, x, weight, bias, options);
}

static krs_node
pool(krs_place at, enum krsi_op op, int axes, krs_node x,
     const krs_pool_options *options)
{
    static const int64_t none[2] = {0, 0};
    krsi_words words = {.count = 0};
    if (!krsi_operands_ok(at, op, &x, 1))
        return krsi_poison(x.graph);
    if (!options ||
        !krsi_options_ok(at, x, op, options->struct_size, sizeof *options)) {
        if (!options)
            krsi_refuse_use(x.graph, at, krsi_ops[op].name, &x, 1,
                            KRS_E_ARGUMENT, NULL,
                            "options with the size of the kernel are needed");
        return krsi_poison(x.graph);
    }
    put_axes(&words, options->kernel, none, axes);
    put_axes(&words, options->stride, options->kernel, axes);
    put_axes(&words, options->padding, none, axes);
    return krsi_build(at, NULL, op, &x, 1, &words);
}

#define POOL(name, ID, axes)                                  \
    krs_node krs_##name##_at(krs_place at, krs_node x,        \
                             const krs_pool_options *options) \
    {                                                         \
        return pool(at, KRSI_##ID, axes, x, options);         \
    }
POOL(max_pool1d, MAX_POOL, 1)
POOL(max_pool2d, MAX_POOL, 2)
POOL(avg_pool1d, AVG_POOL, 1)
POOL(avg_pool2d, AVG_POOL, 2)
