/* tolerance_attention.c -- how far a kernel of attention may be off.
 *
 * In: an attention, attention_lse or attention_grad node and its operands. Out:
 * the magnitude behind its largest element, and how many roundings of 2^-24 of
 * that may add up. With q, k, v, g, ... for the largest magnitudes and D, E, S
 * sizes, rows = T times the heads of a group:
 *
 *      a score is a chain of D + 2 roundings of M = 1 + scale D q k + mask
 *      p = e^(score - largest) <= 1 has that error, relative, twice
 *      out <= v, a chain over S;  lse is as far off as a score
 *      ds <= 2 E g (v + out);  dq <= scale S k ds, dk <= scale rows q ds,
 *      dv <= rows g, chains over S or rows
 *
 * (Higham 2002, section 3.1, to first order). Where M is so large that the
 * roundings of a score are of the order of 1, e^score has no digits:
 *
 *      out   p is of the scores' own sum, so out is an average of v whatever
 *            the weights are, here and there: 2 v is allowed, and no NaN
 *      lse   no power of e is left in it: the same bound
 *      grad  p = e^(score - lse), with an operand lse that f32 has rounded by
 *            up to 2^-25 M: not below 1 but e^that, here and there another
 *            number, 0 or infinite (and 0 * inf): no bound
 *
 * Nor is there one where M is beyond f32.
 */
#include "alone.h"

#include <math.h>

#define MOST_SCORE  0x1p16 /* some 2^8 roundings of 2^-24 */
#define FLOAT_SCORE 0x1p126

static bool
is_attention(const krsi_node *n)
{
    return n->op == KRSI_ATTENTION || n->op == KRSI_ATTENTION_LSE ||
           n->op == KRSI_ATTENTION_GRAD;
}

/* v: NULL for lse */
static double
roundings(const krsi_node *q, const krsi_node *k, const krsi_node *v)
{
    double rows = (double)(q->dim[1] / k->dim[1] * q->dim[2]);
    double values = v ? (double)v->dim[3] : 0;
    return 32 + 2 * ((double)(k->dim[2] + q->dim[3]) + rows + values);
}

double
krsi_attention_roundings(const krs_graph *g, const krsi_node *n)
{
    if (!is_attention(n))
        return 0;
    return roundings(g->node[n->in[0]], g->node[n->in[1]],
                     n->op == KRSI_ATTENTION_LSE ? NULL : g->node[n->in[2]]);
}

/* the largest magnitude of x, a scalar */
static krs_node
largest(krs_node x)
{
    if (krsi_elements(krsi_get(x)) == 0)
        return krs_full(x.graph, KRS_F32, KRS_SCALAR, 0);
    return krs_amax(krs_abs(krs_cast(x, KRS_F32)), KRS_ALL_AXES);
}

krs_node
krsi_attention_rounded(const krsi_node *n, krs_node alone, const krs_node *in)
{
    bool is_lse = n->op == KRSI_ATTENTION_LSE;
    bool is_grad = n->op == KRSI_ATTENTION_GRAD;
    const krsi_node *q = krsi_get(in[0]), *k = krsi_get(in[1]);
    uint32_t mask = is_grad ? 6 : is_lse ? 2 : 3;
    double scale = fabs(krsi_float(n, 0)), D = (double)q->dim[3];
    double S = (double)k->dim[2];
    double rows = (double)(q->dim[1] / k->dim[1] * q->dim[2]);
    krs_node most_q = largest(in[0]), most_k = largest(in[1]);
    krs_node scores = krs_scale(krs_mul(most_q, most_k), scale * D);
    scores = krs_add(scores, krs_like(scores, 1)); /* M */
    if (mask < n->count && krs_node_dtype(in[mask]) == KRS_F32)
        scores = krs_add(scores, largest(in[mask]));
    krs_node over = krs_like(scores, (double)INFINITY);
    if (is_lse)
        return krsi_expand_like(KRS_HERE, scores, alone);
    krs_node average = krs_like(
        scores, 2 * 0x1p24 / roundings(q, k, krsi_get(in[2]))); /* 2 v */
    if (!is_grad)
        over = krs_where(krs_lt(scores, krs_like(scores, FLOAT_SCORE)), average,
                         over);
    krs_node inside = krs_lt(scores, krs_like(scores, MOST_SCORE));
    scores = krs_where(inside, scores, over);
    krs_node bound = krs_mul(scores, largest(in[2]));
    if (is_grad) {
        double E = (double)krsi_get(in[2])->dim[3];
        krs_node g = largest(in[5]);
        krs_node ds = krs_scale(
            krs_mul(g, krs_add(largest(in[2]), largest(in[3]))), 2 * E * scale);
        krs_node dq = krs_scale(krs_mul(ds, most_k), S);
        krs_node dk = krs_scale(krs_mul(ds, most_q), rows);
        bound = krs_add(krs_add(dq, dk), krs_scale(g, rows));
        bound = krs_mul(scores, bound);
    }
    return krsi_expand_like(KRS_HERE, bound, alone);
}
