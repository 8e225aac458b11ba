/* samples_row.c -- uses of norms, losses, attention and loops; see samples.h.
 */
#include "samples_leaf.h"

#include <krs/array.h>
#include <krs/loss.h>

/* ---- rows ---- */

#define SOFTMAX(name)                                     \
    krs_node sample_##name(sample *s, int which)          \
    {                                                     \
        krs_node x = leaf_real(s, S(2, 3, 2), -2, 2);     \
        switch (which) {                                  \
        case 0: return krs_##name(x, -1);                 \
        case 1: return krs_##name(x, 1);                  \
        case 2: return krs_##name(leaf_live(s, x, 1), 1); \
        default: return KRS_NONE;                         \
        }                                                 \
    }
SOFTMAX(softmax)
SOFTMAX(log_softmax)

krs_node
sample_layer_norm(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 2, 3), -1, 1);
    switch (which) {
    case 0: {
        krs_node w = leaf_real(s, S(3), 0.5, 1.5);
        return krs_layer_norm(x, w, leaf_real(s, S(3), -1, 1), 1e-2);
    }
    case 1:
        return krs_layer_norm(x, leaf_real(s, S(2, 3), 0.5, 1.5), KRS_NONE,
                              1e-2);
    default: return KRS_NONE;
    }
}

krs_node
sample_rms_norm(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 2, 3), -1, 1);
    switch (which) {
    case 0: return krs_rms_norm(x, leaf_real(s, S(3), 0.5, 1.5), 1e-2);
    case 1:
        return krs_rms_norm(leaf_live(s, x, 1), leaf_real(s, S(3), 0.5, 1.5),
                            1e-2);
    default: return KRS_NONE;
    }
}

krs_node
sample_nll(sample *s, int which)
{
    krs_node logp = leaf_real(s, S(3, 4), -2, 0);
    krs_node t = INTS(s, KRS_I64, S(3), 2, -100, 0);
    switch (which) {
    case 0: return krs_nll(logp, t, KRS_NONE, -100, KRS_REDUCE_MEAN);
    case 1:
        return krs_nll(logp, t, leaf_real(s, S(4), 0.5, 1.5), -100,
                       KRS_REDUCE_SUM);
    case 2: return krs_nll(logp, t, KRS_NONE, -100, KRS_REDUCE_NONE);
    default: return KRS_NONE;
    }
}

krs_node
sample_mse(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 4), -2, 2), t = leaf_real(s, S(3, 4), -2, 2);
    return which < 3 ? krs_mse(x, t, (krs_reduction)which) : KRS_NONE;
}

krs_node
sample_smooth_l1(sample *s, int which)
{
    krs_node x = leaf_away(s, S(3, 4), 0.4, 1), t = leaf_away(s, S(3, 4), 2, 3);
    switch (which) {
    case 0: return krs_smooth_l1(x, t, 1.2, KRS_REDUCE_MEAN);
    case 1: return krs_smooth_l1(x, t, 5, KRS_REDUCE_NONE);
    case 2: return krs_smooth_l1(x, t, 0, KRS_REDUCE_SUM);
    default: return KRS_NONE;
    }
}

krs_node
sample_bce_with_logits(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 4), -2, 2), t = leaf_real(s, S(3, 4), 0, 1);
    switch (which) {
    case 0: return krs_bce_with_logits(x, t, KRS_NONE, KRS_REDUCE_MEAN);
    case 1:
        return krs_bce_with_logits(x, t, leaf_real(s, S(3, 4), 0.5, 1.5),
                                   KRS_REDUCE_NONE);
    default: return KRS_NONE;
    }
}

krs_node
sample_kl_div(sample *s, int which)
{
    krs_node q = leaf_real(s, S(3, 4), -2, 0),
             t = leaf_real(s, S(3, 4), 0.1, 1);
    switch (which) {
    case 0: return krs_kl_div(q, t, false, KRS_REDUCE_BATCHMEAN);
    case 1: return krs_kl_div(q, t, true, KRS_REDUCE_SUM);
    case 2: return krs_kl_div(q, t, false, KRS_REDUCE_NONE);
    default: return KRS_NONE;
    }
}

krs_node
sample_group_norm(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 6, 3), -1, 1),
             w = leaf_real(s, S(6), 0.5, 1.5);
    switch (which) {
    case 0: return krs_group_norm(x, 3, w, leaf_real(s, S(6), -1, 1), 1e-2);
    case 1: return krs_group_norm(x, 1, w, KRS_NONE, 1e-2);
    default: return KRS_NONE;
    }
}

krs_node
sample_batch_norm(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 2, 2), -1, 1),
             w = leaf_real(s, S(2), 0.5, 1.5);
    krs_node b = leaf_real(s, S(2), -1, 1), mean = leaf_real(s, S(2), -1, 1);
    krs_node variance = leaf_real(s, S(2), 0.5, 1.5), news[2];
    switch (which) {
    case 0: return krs_batch_norm(x, w, b, mean, variance, 1e-2);
    case 1:
        return krs_batch_norm_train(x, w, b, mean, variance, 0.1, 1e-2, news,
                                    news + 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_l2_normalize(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 3, 2), -1, 1);
    switch (which) {
    case 0: return krs_l2_normalize(x, -1, 1e-12);
    case 1: return krs_l2_normalize(x, 1, 4); /* all are shorter */
    case 2: return krs_l2_normalize(leaf_live(s, x, 1), 1, 1e-12);
    default: return KRS_NONE;
    }
}

krs_node
sample_cosine_similarity(sample *s, int which)
{
    krs_node a = leaf_real(s, S(2, 3, 2), -1, 1),
             b = leaf_real(s, S(2, 3, 2), -1, 1);
    switch (which) {
    case 0: return krs_cosine_similarity(a, b, 1, 1e-8);
    case 1: return krs_cosine_similarity(a, b, -1, 0.5);
    default: return KRS_NONE;
    }
}

krs_node
sample_cross_entropy(sample *s, int which)
{
    krs_cross_entropy_options o = {sizeof o, KRS_REDUCE_MEAN, -100, 0};
    krs_node x = leaf_real(s, S(3, 4), -2, 2);
    krs_node t = INTS(s, KRS_I64, S(3), 2, -100, 0);
    switch (which) {
    case 0: return krs_cross_entropy(x, t, KRS_NONE, NULL);
    case 1:
        o.reduction = KRS_REDUCE_SUM;
        o.label_smoothing = 0.1;
        return krs_cross_entropy(x, t, leaf_real(s, S(4), 0.5, 1.5), &o);
    case 2:
        o.label_smoothing = 0.2;
        return krs_cross_entropy(x, t, leaf_real(s, S(4), 0.5, 1.5), &o);
    case 3: /* probabilities */
        o.reduction = KRS_REDUCE_NONE;
        return krs_cross_entropy(x, leaf_real(s, S(3, 4), 0.1, 0.4), KRS_NONE,
                                 &o);
    case 4: {
        krs_node q = leaf_real(s, S(3, 4), 0.1, 0.4);
        return krs_cross_entropy(x, q, leaf_real(s, S(4), 0.5, 1.5), NULL);
    }
    default: return KRS_NONE;
    }
}

/* five rows in blocks of two, and one in a block that is larger than all; a
 * leading axis; all options */
krs_node
sample_linear_cross_entropy(sample *s, int which)
{
    krs_cross_entropy_options o = {sizeof o, KRS_REDUCE_MEAN, -100, 0};
    krs_node in[4] = {leaf_real(s, S(5, 2), -1, 1),
                      leaf_real(s, S(4, 2), -1, 1),
                      INTS(s, KRS_I64, S(5), 2, -100, 0, 3, 1), KRS_NONE};
    switch (which) {
    case 0: return krsi_linear_cross_entropy(KRS_HERE, in, NULL, 2);
    case 1:
        o.reduction = KRS_REDUCE_SUM;
        o.label_smoothing = 0.1;
        in[3] = leaf_real(s, S(4), 0.5, 1.5);
        return krsi_linear_cross_entropy(KRS_HERE, in, &o, 2);
    case 2:
        o.reduction = KRS_REDUCE_NONE;
        o.ignore_index = 0;
        in[0] = leaf_real(s, S(2, 2, 2), -1, 1);
        in[2] = INTS(s, KRS_I32, S(2, 2), 3, 1, 0, 2);
        return krsi_linear_cross_entropy(KRS_HERE, in, &o, 2);
    case 3: return krsi_linear_cross_entropy(KRS_HERE, in, NULL, 8);
    default: return KRS_NONE;
    }
}

krs_node
sample_linear_cross_entropy_grad(sample *s, int which)
{
    krs_node y = sample_linear_cross_entropy(s, which / 2);
    const krsi_node *n = krsi_get(y);
    krs_node in[4];
    if (!n)
        return KRS_NONE;
    for (int i = 0; i < (int)n->count; i++)
        in[i] = krs_node_operand(y, i);
    return krsi_linear_cross_entropy_grad(KRS_HERE, n, in, which % 2);
}

/* ---- attention ---- */

krs_node
sample_attention(sample *s, int which)
{
    krs_attention_options o = {sizeof o, 0, false, KRS_INDEX(0), 0};
    bool grouped = which == 1;
    krs_index one;
    krs_node q = leaf_real(s, S(1, 2, 3, 2), -1, 1);
    krs_node k = leaf_real(s, grouped ? S(1, 1, 4, 2) : S(1, 2, 4, 2), -1, 1);
    krs_node v = leaf_real(s, grouped ? S(1, 1, 4, 3) : S(1, 2, 4, 3), -1, 1);
    switch (which) {
    case 0: return krs_attention(q, k, v, KRS_NONE, NULL);
    case 1:
        o.causal = true;
        o.offset = leaf_var(s, "length", 1, 1);
        return krs_attention(q, k, v, KRS_NONE, &o);
    case 2:
        o.scale = 0.3;
        return krs_attention(q, k, v, leaf_real(s, S(3, 4), -1, 1), &o);
    case 3: {
        krs_node mask = INTS(s, KRS_BOOL, S(1, 1, 1, 4), 1, 0, 1, 1);
        return krs_attention(q, k, v, mask, NULL);
    }
    case 4:
        o.causal = true;
        o.window = 2;
        o.offset = KRS_INDEX(1);
        return krs_attention(q, leaf_live(s, k, 2), leaf_live(s, v, 2),
                             KRS_NONE, &o);
    case 5: /* one key at most, heads in groups */
    case 6: /* and one query */
        one = leaf_var(s, "length", 1, 1);
        q = which == 5 ? q
                       : krs_live(leaf_real(s, S(1, 2, 1, 2), -1, 1), 2, one);
        k = krs_live(leaf_real(s, S(1, 1, 1, 2), -1, 1), 2, one);
        v = krs_live(leaf_real(s, S(1, 1, 1, 3), -1, 1), 2, one);
        return krs_attention(q, k, v, KRS_NONE, &o);
    default: return KRS_NONE;
    }
}

/* a node whose attributes the rows below share */
static const krsi_node *
attributes_of(krs_node q, krs_node k, krs_node v, int which)
{
    krs_attention_options o = {sizeof o, 0.4, which > 0, KRS_INDEX(1), 0};
    return krsi_get(krs_attention(q, k, v, KRS_NONE, &o));
}

krs_node
sample_attention_lse(sample *s, int which)
{
    krs_node q = leaf_real(s, S(1, 2, 3, 2), -1, 1);
    krs_node k =
        leaf_real(s, which == 1 ? S(1, 1, 4, 2) : S(1, 2, 4, 2), -1, 1);
    const krsi_node *n = attributes_of(q, k, k, which);
    switch (which) {
    case 0: return krsi_attention_lse(KRS_HERE, n, q, k, KRS_NONE);
    case 1:
        return krsi_attention_lse(KRS_HERE, n, q, k,
                                  leaf_real(s, S(3, 4), -1, 1));
    case 2: {
        krs_node mask = INTS(s, KRS_BOOL, S(1, 1, 1, 4), 1, 0, 1, 1);
        return krsi_attention_lse(KRS_HERE, n, q, k, mask);
    }
    case 3:
        k = leaf_live(s, k, 2);
        return krsi_attention_lse(KRS_HERE, n, q, k, KRS_NONE);
    default: return KRS_NONE;
    }
}

krs_node
sample_attention_grad(sample *s, int which)
{
    int64_t K = which == 1 ? 1 : 2;
    krs_node q = leaf_real(s, S(1, 2, 3, 2), -1, 1);
    krs_node k = leaf_real(s, S(1, K, 4, 2), -1, 1);
    krs_node v = leaf_real(s, S(1, K, 4, 3), -1, 1);
    krs_node out = leaf_real(s, S(1, 2, 3, 3), -1, 1);
    krs_node lse = leaf_real(s, S(1, 2, 3), 1, 2);
    krs_node g = leaf_real(s, S(1, 2, 3, 3), -1, 1);
    const krsi_node *n = attributes_of(q, k, v, which);
    const krs_node in[6] = {q, k, v, out, lse, g};
    krs_node mask = which == 2 ? leaf_real(s, S(3, 4), -1, 1) : KRS_NONE;
    return which < 3 ? krsi_attention_grad(KRS_HERE, n, in, mask) : KRS_NONE;
}

krs_node
sample_rope(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 3, 4), -1, 1);
    krs_node angle = leaf_real(s, S(3, 2), -2, 2);
    switch (which) {
    case 0: return krs_rope(x, angle, KRS_ROPE_INTERLEAVED, 1);
    case 1: return krs_rope(x, angle, KRS_ROPE_HALF, 1.25);
    default: return KRS_NONE;
    }
}

/* ---- loops ---- */

/* Sample `which` of a scan, ended; *out_result is one of its results. */
static krs_scan
scan_of(sample *s, int which, krs_node *out_result)
{
    bool reverse = which == 1;
    krs_scan scan = krs_scan_begin(
        s->graph, 3, reverse ? KRS_SCAN_REVERSE : KRS_SCAN_FORWARD);
    krs_node h0 = leaf_real(s, S(2), -1, 1), w = leaf_real(s, S(2, 2), -1, 1);
    krs_node xs = leaf_real(s, S(3, 2), -1, 1);
    krs_node h = krs_scan_carry(scan, h0), x = krs_scan_x(scan, xs);
    krs_node row = krs_unsqueeze(h, 0);
    krs_node mixed = krs_reshape(krs_matmul(row, w), S(2));
    krs_node next = krs_tanh(krs_add(mixed, x));
    krs_node y = krs_mul(next, h);
    if (which == 2) { /* two carries that cross, and the iteration */
        krs_node t = krs_cast(krs_scan_iteration(scan), KRS_F32);
        krs_node c = krs_scan_carry(scan, leaf_real(s, S(2), -1, 1));
        krs_scan_next(scan, c, krs_mul(h, krs_add(t, krs_like(t, 0.5))));
        next = krs_add(c, next);
    }
    krs_scan_next(scan, h, next);
    krs_scan_keep(scan, y);
    krs_scan_end(scan);
    *out_result = which == 0 ? krs_scan_last(scan, h) : krs_scan_kept(scan, y);
    return scan;
}

/* Reverse over time, and a scan inside a scan. */
static krs_node
nested_scan(sample *s)
{
    krs_scan outer = krs_scan_begin(s->graph, 2, KRS_SCAN_FORWARD);
    krs_node w = leaf_real(s, S(2), -1, 1),
             xs = leaf_real(s, S(2, 3, 2), -1, 1);
    krs_node h = krs_scan_carry(outer, leaf_real(s, S(2), -1, 1));
    krs_node x = krs_scan_x(outer, xs);
    krs_scan inner = krs_scan_begin(s->graph, 3, KRS_SCAN_REVERSE);
    krs_node k = krs_scan_carry(inner, h);
    krs_node y = krs_tanh(krs_add(krs_mul(k, w), krs_scan_x(inner, x)));
    krs_scan_next(inner, k, y);
    krs_scan_end(inner);
    krs_node last = krs_scan_last(inner, k);
    krs_scan_next(outer, h, krs_add(last, krs_mul(h, w)));
    krs_scan_end(outer);
    return krs_scan_last(outer, h);
}

krs_node
sample_param(sample *s, int which)
{
    if (which > 2)
        return KRS_NONE;
    krs_scan scan = krs_scan_begin(s->graph, 3, KRS_SCAN_FORWARD);
    return which == 0   ? krs_scan_iteration(scan)
           : which == 1 ? krs_scan_carry(scan, leaf_real(s, S(2), -1, 1))
                        : krs_scan_x(scan, leaf_real(s, S(3, 2), -1, 1));
}

krs_node
sample_scan(sample *s, int which)
{
    krs_node result;
    if (which > 2)
        return KRS_NONE;
    scan_of(s, which, &result);
    return krs_node_operand(result, 0);
}

krs_node
sample_result(sample *s, int which)
{
    krs_node result;
    switch (which) {
    case 0:
    case 1:
    case 2: scan_of(s, which, &result); return result;
    case 3: return nested_scan(s);
    case 4: { /* no iterations */
        krs_scan scan = krs_scan_begin(s->graph, 0, KRS_SCAN_FORWARD);
        krs_node h = krs_scan_carry(scan, leaf_real(s, S(2), -1, 1));
        krs_scan_next(scan, h, krs_square(h));
        krs_scan_end(scan);
        return krs_scan_last(scan, h);
    }
    case 5: { /* a history, which only gradients ask for otherwise */
        krs_node last;
        scan_of(s, 0, &last);
        return krsi_result(KRS_HERE, krs_node_operand(last, 0), 2);
    }
    default: return KRS_NONE;
    }
}
