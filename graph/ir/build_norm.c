/* build_norm.c -- builders of norms over groups, batches and axes.
 *
 * Batch norm in training is its evaluation with the statistics of the batch;
 * the new running statistics are further results.
 */
#include "ir.h"

krs_node
krs_group_norm_at(krs_place at, krs_node x, int64_t groups, krs_node weight,
                  krs_node bias, double eps)
{
    const krs_node in[3] = {x, weight, bias};
    krsi_words words = {.count = 0};
    krsi_put_int(&words, groups);
    krsi_put_float(&words, eps);
    return krsi_build(at, NULL, KRSI_GROUP_NORM, in, bias.graph ? 3 : 2,
                      &words);
}

krs_node
krs_batch_norm_at(krs_place at, krs_node x, krs_node weight, krs_node bias,
                  krs_node mean, krs_node variance, double eps)
{
    const krs_node in[5] = {x, mean, variance, weight, bias};
    krsi_words words = {.count = 0};
    krsi_put_float(&words, eps);
    return krsi_build(at, NULL, KRSI_BATCH_NORM, in, 5, &words);
}

/* (1 - momentum) running + momentum of_batch */
static krs_node
moved(krs_place at, krs_node running, krs_node of_batch, double momentum)
{
    krs_node step = krs_sub_at(at, krs_stop_gradient_at(at, of_batch), running);
    return krs_add_at(at, running, krs_scale_at(at, step, momentum));
}

krs_node
krs_batch_norm_train_at(krs_place at, krs_node x, krs_node weight,
                        krs_node bias, krs_node running_mean,
                        krs_node running_variance, double momentum, double eps,
                        krs_node *new_mean, krs_node *new_variance)
{
    krs_axes all_but_channels = {0, {0}};
    krs_shape shape = krs_node_shape(x);
    double count = 1;
    for (int a = 0; a < shape.rank; a++) {
        if (a == 1)
            continue;
        all_but_channels.axis[all_but_channels.count++] = a;
        count *= (double)shape.dim[a];
    }
    *new_mean = *new_variance = krsi_poison(x.graph);
    if (!krsi_operands_ok(at, KRSI_BATCH_NORM, &x, 1))
        return krsi_poison(x.graph);
    if (shape.rank < 2 || krsi_get(x)->live_axes) {
        char type[KRSI_TYPE_TEXT];
        krsi_refuse(x.graph, at, "batch_norm", KRS_E_SHAPE,
                    "x is [N, C, ..] without live lengths", "x %s",
                    krsi_type_text(type, krsi_get(x)));
        return krsi_poison(x.graph);
    }
    krs_node mean = krs_mean_at(at, x, all_but_channels);
    krs_node variance = krs_variance_at(at, x, all_but_channels, 0);
    *new_mean = moved(at, running_mean, mean, momentum);
    /* of a sample of one there is no unbiased variance: NaN, as divided by 0 */
    *new_variance =
        moved(at, running_variance,
              krs_scale_at(at, variance, count / (count - 1)), momentum);
    return krs_batch_norm_at(at, x, weight, bias, mean, variance, eps);
}

static krs_node
along_axis(krs_place at, enum krsi_op op, const krs_node *in, int count,
           int axis, double eps)
{
    krsi_words words = {.count = 0};
    if (!krsi_operands_ok(at, op, in, count))
        return krsi_poison(in[0].graph ? in[0].graph : in[1].graph);
    axis = krsi_axis(at, in[0], op, axis);
    if (axis < 0)
        return krsi_poison(in[0].graph);
    krsi_put_int(&words, axis);
    krsi_put_float(&words, eps);
    return krsi_build(at, NULL, op, in, count, &words);
}

krs_node
krs_l2_normalize_at(krs_place at, krs_node x, int axis, double eps)
{
    return along_axis(at, KRSI_L2_NORMALIZE, &x, 1, axis, eps);
}

krs_node
krs_cosine_similarity_at(krs_place at, krs_node a, krs_node b, int axis,
                         double eps)
{
    const krs_node in[2] = {a, b};
    return along_axis(at, KRSI_COSINE_SIMILARITY, in, 2, axis, eps);
}
