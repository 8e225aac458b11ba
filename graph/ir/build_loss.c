/* build_loss.c -- builders of losses other than cross-entropy (loss.h). */
#include "ir.h"

/* false: no such reduction, or not for this row; recorded */
static bool
reduction_ok(krs_place at, krs_node x, enum krsi_op op, krs_reduction reduction)
{
    krs_reduction most =
        op == KRSI_KL_DIV ? KRS_REDUCE_BATCHMEAN : KRS_REDUCE_MEAN;
    if (!krsi_operands_ok(at, op, &x, 1))
        return false;
    if ((int)reduction >= 0 && reduction <= most)
        return true;
    return krsi_refuse_use(x.graph, at, krsi_ops[op].name, &x, 1,
                           KRS_E_ARGUMENT, NULL, "reduction %d",
                           (int)reduction);
}

static krs_node
build(krs_place at, enum krsi_op op, const krs_node in[3], int count,
      krs_reduction reduction, const double *number, const int64_t *integer)
{
    krsi_words words = {.count = 0};
    if (!reduction_ok(at, in[0], op, reduction))
        return krsi_poison(in[0].graph);
    krsi_put_int(&words, reduction);
    if (number)
        krsi_put_float(&words, *number);
    if (integer)
        krsi_put_int(&words, *integer);
    return krsi_build(at, NULL, op, in, count, &words);
}

krs_node
krs_nll_at(krs_place at, krs_node logp, krs_node target, krs_node weight,
           int64_t ignore, krs_reduction reduction)
{
    if (krs_dtype_class_of(krs_node_dtype(logp)) == KRS_CLASS_HALF)
        logp = krs_cast_at(at, logp, KRS_F32);
    const krs_node in[3] = {logp, target, weight};
    return build(at, KRSI_NLL, in, weight.graph ? 3 : 2, reduction, NULL,
                 &ignore);
}

krs_node
krs_mse_at(krs_place at, krs_node x, krs_node target, krs_reduction reduction)
{
    const krs_node in[3] = {x, target};
    return build(at, KRSI_MSE, in, 2, reduction, NULL, NULL);
}

krs_node
krs_smooth_l1_at(krs_place at, krs_node x, krs_node target, double beta,
                 krs_reduction reduction)
{
    const krs_node in[3] = {x, target};
    return build(at, KRSI_SMOOTH_L1, in, 2, reduction, &beta, NULL);
}

krs_node
krs_huber_at(krs_place at, krs_node x, krs_node target, double delta,
             krs_reduction reduction)
{
    return krs_scale_at(at, krs_smooth_l1_at(at, x, target, delta, reduction),
                        delta);
}

krs_node
krs_bce_with_logits_at(krs_place at, krs_node x, krs_node target,
                       krs_node weight, krs_reduction reduction)
{
    const krs_node in[3] = {x, target, weight};
    return build(at, KRSI_BCE_WITH_LOGITS, in, weight.graph ? 3 : 2, reduction,
                 NULL, NULL);
}

krs_node
krs_kl_div_at(krs_place at, krs_node logq, krs_node target, bool log_target,
              krs_reduction reduction)
{
    const int64_t flag = log_target;
    const krs_node in[3] = {logq, target};
    return build(at, KRSI_KL_DIV, in, 2, reduction, NULL, &flag);
}
