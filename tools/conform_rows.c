/* conform_rows.c -- reductions, norms, losses and products of the golden cases.
 */
#include "conform_build.h"

#include <krs/loss.h>

#include <string.h>

/* ---- reductions and rows ---- */

#define BUILD_REDUCTION(op)                               \
    krs_node build_##op(struct conform_case *c)           \
    {                                                     \
        krs_axes axes = axes_attr(c, "axes");             \
        if (bool_attr_or(c, "keepdim", false))            \
            return krs_##op##_keep(input_at(c, 0), axes); \
        return krs_##op(input_at(c, 0), axes);            \
    }
BUILD_REDUCTION(sum)
BUILD_REDUCTION(mean)
BUILD_REDUCTION(amax)
BUILD_REDUCTION(amin)
BUILD_REDUCTION(logsumexp)
BUILD_REDUCTION(prod)

krs_node
build_var(struct conform_case *c)
{
    krs_axes axes = axes_attr(c, "axes");
    int64_t correction = int_attr_or(c, "correction", 1);
    if (bool_attr_or(c, "keepdim", false))
        return krs_variance_keep(input_at(c, 0), axes, correction);
    return krs_variance(input_at(c, 0), axes, correction);
}

krs_node
build_max_with_index(struct conform_case *c)
{
    krs_axes axes = axes_attr(c, "axes");
    if (axes.count != 1)
        return refuse_attr(c, "axes", "one axis");
    return krs_max_with_index(input_at(c, 0), axes.axis[0],
                              &c->extras[c->extra_count++]);
}

#define BUILD_ALONG_AXIS(op)                           \
    krs_node build_##op(struct conform_case *c)        \
    {                                                  \
        return krs_##op(input_at(c, 0), axis_attr(c)); \
    }
BUILD_ALONG_AXIS(argmax)
BUILD_ALONG_AXIS(argmin)
BUILD_ALONG_AXIS(cumsum)
BUILD_ALONG_AXIS(softmax)
BUILD_ALONG_AXIS(log_softmax)

krs_node
build_layer_norm(struct conform_case *c)
{
    krs_node weight = input_at(c, 1);
    krs_axes axes = axes_attr(c, "normalized_axes");
    if (axes.count != krs_node_shape(weight).rank)
        return refuse_attr(c, "normalized_axes", "the axes of the weight");
    for (int i = 0; i < axes.count; i++) {
        if (axes.axis[i] != i - axes.count)
            return refuse_attr(c, "normalized_axes", "the trailing axes");
    }
    return krs_layer_norm(input_at(c, 0), weight, input_at(c, 2),
                          number_attr_or(c, "eps", 1e-5));
}

krs_node
build_rms_norm(struct conform_case *c)
{
    return krs_rms_norm(input_at(c, 0), input_at(c, 1),
                        number_attr_or(c, "eps", 1e-6));
}

krs_node
build_group_norm(struct conform_case *c)
{
    return krs_group_norm(input_at(c, 0), int_attr(c, "num_groups"),
                          input_at(c, 1), input_at(c, 2),
                          number_attr_or(c, "eps", 1e-5));
}

krs_node
build_batch_norm(struct conform_case *c)
{
    double eps = number_attr_or(c, "eps", 1e-5);
    krs_node x = input_at(c, 0), weight = input_at(c, 1), bias = input_at(c, 2),
             mean = input_at(c, 3), variance = input_at(c, 4);
    if (!bool_attr_or(c, "training", false))
        return krs_batch_norm(x, weight, bias, mean, variance, eps);
    c->extra_count = 2;
    return krs_batch_norm_train(x, weight, bias, mean, variance,
                                number_attr_or(c, "momentum", 0.1), eps,
                                &c->extras[0], &c->extras[1]);
}

krs_node
build_l2_normalize(struct conform_case *c)
{
    return krs_l2_normalize(input_at(c, 0), axis_attr(c),
                            number_attr_or(c, "eps", 1e-12));
}

krs_node
build_cosine_similarity(struct conform_case *c)
{
    return krs_cosine_similarity(input_at(c, 0), input_at(c, 1), axis_attr(c),
                                 number_attr_or(c, "eps", 1e-8));
}

/* with the mask that the case gives, true for kept */
krs_node
build_dropout(struct conform_case *c)
{
    krs_node x = input_at(c, 0);
    double kept = 1 - number_attr_or(c, "p", 0.5);
    return krs_where(input_at(c, 1), krs_scale(x, 1 / kept), krs_like(x, 0));
}

/* false, refused: none of those */
static bool
reduction_attr(struct conform_case *c, krs_reduction *out)
{
    static const struct {
        const char *name;
        krs_reduction reduction;
    } reductions[] = {
        {"none",      KRS_REDUCE_NONE     },
        {"sum",       KRS_REDUCE_SUM      },
        {"mean",      KRS_REDUCE_MEAN     },
        {"batchmean", KRS_REDUCE_BATCHMEAN}
    };
    const char *name = text_attr_or(c, "reduction", "mean");
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (strcmp(reductions[i].name, name) == 0) {
            *out = reductions[i].reduction;
            return true;
        }
    refuse_attr(c, "reduction", "none, sum, mean or batchmean");
    return false;
}

krs_node
build_cross_entropy(struct conform_case *c)
{
    const char *kind = text_attr_or(c, "target_kind", "ids");
    bool is_float = krs_dtype_is_float(krs_node_dtype(input_at(c, 1)));
    if (strcmp(kind, is_float ? "probabilities" : "ids") != 0)
        return refuse_attr(c, "target_kind",
                           "\"probabilities\" exactly for a float target");
    krs_cross_entropy_options options = {
        .struct_size = sizeof options,
        .ignore_index = int_attr_or(c, "ignore_index", -100),
        .label_smoothing = number_attr_or(c, "label_smoothing", 0)};
    if (!reduction_attr(c, &options.reduction))
        return KRS_NONE;
    return krs_cross_entropy(input_at(c, 0), input_at(c, 1), input_at(c, 2),
                             &options);
}

krs_node
build_nll(struct conform_case *c)
{
    krs_reduction reduction;
    int64_t ignore = int_attr_or(c, "ignore_index", -100);
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_nll(input_at(c, 0), input_at(c, 1), input_at(c, 2), ignore,
                   reduction);
}

krs_node
build_mse(struct conform_case *c)
{
    krs_reduction reduction;
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_mse(input_at(c, 0), input_at(c, 1), reduction);
}

krs_node
build_smooth_l1(struct conform_case *c)
{
    krs_reduction reduction;
    double beta = number_attr_or(c, "beta", 1);
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_smooth_l1(input_at(c, 0), input_at(c, 1), beta, reduction);
}

krs_node
build_bce_with_logits(struct conform_case *c)
{
    krs_reduction reduction;
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_bce_with_logits(input_at(c, 0), input_at(c, 1), input_at(c, 2),
                               reduction);
}

krs_node
build_kl_div(struct conform_case *c)
{
    krs_reduction reduction;
    bool log_target = bool_attr_or(c, "log_target", false);
    if (!reduction_attr(c, &reduction))
        return KRS_NONE;
    return krs_kl_div(input_at(c, 0), input_at(c, 1), log_target, reduction);
}

/* ---- products ---- */

/* torch's matmul takes vectors too: a row on the left, a column on the right,
 * and the axis goes again. */
krs_node
build_matmul(struct conform_case *c)
{
    krs_node a = input_at(c, 0), b = input_at(c, 1);
    bool ta = bool_attr_or(c, "transpose_a", false);
    bool tb = bool_attr_or(c, "transpose_b", false);
    bool row = krs_node_shape(a).rank == 1,
         column = krs_node_shape(b).rank == 1;
    if (row)
        a = krs_unsqueeze(a, 0);
    if (column)
        b = krs_unsqueeze(b, 1);
    krs_node y;
    if (ta && tb)
        y = krs_matmul_tn(a, krs_transpose(b, -2, -1));
    else if (ta)
        y = krs_matmul_tn(a, b);
    else if (tb)
        y = krs_matmul_nt(a, b);
    else
        y = krs_matmul(a, b);
    if (column)
        y = krs_squeeze(y, -1);
    return row ? krs_squeeze(y, column ? -1 : -2) : y;
}

krs_node
build_linear(struct conform_case *c)
{
    return krs_linear(input_at(c, 0), input_at(c, 1), input_at(c, 2));
}

krs_node
build_einsum(struct conform_case *c)
{
    return krs_einsum(text_attr_or(c, "equation", ""), c->inputs,
                      c->input_count);
}
