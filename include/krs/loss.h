/* loss.h -- losses: of ids, of probabilities, of numbers.
 *
 * What holds for all operations is said in ops.h. All are computed in f32, and
 * so that no intermediate overflows or loses a small difference.
 */
#ifndef KRS_LOSS_H
#define KRS_LOSS_H

#include <krs/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum krs_reduction {
    KRS_REDUCE_NONE,
    KRS_REDUCE_SUM,
    KRS_REDUCE_MEAN,
    KRS_REDUCE_BATCHMEAN /* the sum by the size of axis 0: krs_kl_div alone */
} krs_reduction;

/* krs_cross_entropy(logits, target, weight, options) --
 *
 *      l_i = w_t [ -(1-e) log p_i(t) ] - e/V sum_c w_c log p_i(c),
 *      p = softmax(logits), t = target_i, e = label_smoothing
 *
 *   logits  float [.., V]
 *   target  i64|i32 [..], ids; those equal to ignore_index give 0;
 *           or float [.., V], probabilities q: l_i = -sum_c w_c q(c) log p(c)
 *   weight  f32 [V], a factor for each class, or KRS_NONE
 *   ->      [..] for NONE, else a scalar; MEAN divides by the sum of w_t over
 *           targets that are not ignored (by their number without weight, by
 *           the number of rows for probabilities); of none it is NaN
 *
 * Gradient  logits, target probabilities, weight.
 * Source    Szegedy et al. 2016, section 7, for the smoothing. */
typedef struct krs_cross_entropy_options {
    size_t struct_size; /* sizeof (krs_cross_entropy_options) */
    krs_reduction reduction;
    int64_t ignore_index;
    double label_smoothing; /* in [0, 1) */
} krs_cross_entropy_options;
/* options NULL: mean, -100, 0 */
KRS_API krs_node krs_cross_entropy_at(krs_place at, krs_node logits,
                                      krs_node target, krs_node weight,
                                      const krs_cross_entropy_options *options);
#define krs_cross_entropy(...) krs_cross_entropy_at(KRS_HERE, __VA_ARGS__)

/* krs_linear_cross_entropy(x, weight, target, class_weight, options) -- the
 * loss of a projection to many classes, without all of its logits:
 *
 *      krs_cross_entropy(x weight^T, target, class_weight, options)
 *
 *   x       float [.., D]
 *   weight  as x [V, D], as of krs_linear
 *   target, class_weight, options, ->  as of krs_cross_entropy
 *
 * If the logits take more than 16 MiB as f32, they are made in blocks of rows
 * that take less, one after the other. Each block gives its losses and, where
 * gradients are asked for, its part of both at once, so that logits are made
 * once and no tensor of their whole size is there. Otherwise, and for targets
 * that are probabilities (which are as large as the logits), it is exactly what
 * stands above. Losses have the same bits either way; gradients by the weight
 * are added block after block.
 *
 * Gradient  x, weight, class_weight, of any order. Those of reduction NONE and of
 *           class_weight make the logits of a block again, for each order.
 * Cost      6 T V D flop with gradients, for T rows; memory of one block, of x
 *           and of the weight, each in f32.
 * Source    Wijmans et al. 2024 for not keeping the logits; Hsu et al. 2024 for
 *           gradients along with the losses. */
KRS_API krs_node krs_linear_cross_entropy_at(
    krs_place at, krs_node x, krs_node weight, krs_node target,
    krs_node class_weight, const krs_cross_entropy_options *options);
#define krs_linear_cross_entropy(...) \
    krs_linear_cross_entropy_at(KRS_HERE, __VA_ARGS__)

/* krs_nll(logp, target, weight, ignore, reduction) -- krs_cross_entropy of
 * log-probabilities: l_i = -w_t logp_i(t) for target ids t, those equal to
 * `ignore` left out; logp float [.., V], target i64|i32 [..], weight f32 [V] or
 * KRS_NONE. MEAN divides by the sum of w_t that count. */
KRS_API krs_node krs_nll_at(krs_place at, krs_node logp, krs_node target,
                            krs_node weight, int64_t ignore,
                            krs_reduction reduction);
#define krs_nll(...) krs_nll_at(KRS_HERE, __VA_ARGS__)

/* Two tensors of one shape, and what of their losses: those of all elements
 * (NONE), their sum or mean.
 *
 * krs_mse(x, target, reduction) -- (x - t)^2
 * krs_smooth_l1(x, target, beta, reduction) -- with d = |x - t|:
 *      d^2 / (2 beta) where d < beta, else d - beta/2; beta 0 is |x - t|
 * krs_huber(x, target, delta, reduction) -- delta times smooth_l1 of delta
 * krs_bce_with_logits(x, target, weight, reduction) -- with p = sigmoid(x)
 *      -w (t ln p + (1-t) ln(1-p)) = w (softplus(x) - x t)
 *      for any finite x; weight of x's shape or KRS_NONE
 * krs_kl_div(logq, target, log_target, reduction) -- t (ln t - logq), 0 where t
 *      is 0; with log_target the target is ln t. Torch's argument order:
 *      KL(target || q)
 *
 * Gradient  of all operands but weight's absence; smooth_l1 of beta 0 has the
 *           slope 0 at 0.
 * Errors    SHAPE (shapes differ), RANGE (beta or delta below 0), ARGUMENT
 *           (BATCHMEAN of another than kl_div).
 * Sources   Huber 1964; Girshick 2015, eq. 3; Kullback & Leibler 1951. */
KRS_API krs_node krs_mse_at(krs_place at, krs_node x, krs_node target,
                            krs_reduction reduction);
KRS_API krs_node krs_smooth_l1_at(krs_place at, krs_node x, krs_node target,
                                  double beta, krs_reduction reduction);
KRS_API krs_node krs_huber_at(krs_place at, krs_node x, krs_node target,
                              double delta, krs_reduction reduction);
KRS_API krs_node krs_bce_with_logits_at(krs_place at, krs_node x,
                                        krs_node target, krs_node weight,
                                        krs_reduction reduction);
KRS_API krs_node krs_kl_div_at(krs_place at, krs_node logq, krs_node target,
                               bool log_target, krs_reduction reduction);
#define krs_mse(...)             krs_mse_at(KRS_HERE, __VA_ARGS__)
#define krs_smooth_l1(...)       krs_smooth_l1_at(KRS_HERE, __VA_ARGS__)
#define krs_huber(...)           krs_huber_at(KRS_HERE, __VA_ARGS__)
#define krs_bce_with_logits(...) krs_bce_with_logits_at(KRS_HERE, __VA_ARGS__)
#define krs_kl_div(...)          krs_kl_div_at(KRS_HERE, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
