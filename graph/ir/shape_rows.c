/* shape_rows.c -- types and shapes of reductions, products, gathers, norms,
 * cross-entropy and attention.
 */
#include "shape.h"

bool
krsi_shape_reduce(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    const int64_t *axis;
    int count = krsi_attr_ints(m->op, m->word, 0, &axis);
    bool keep = attr_int(m, 1) != 0;
    unsigned gone = 0;
    m->dtype = (krs_dtype)x->dtype;
    for (int i = 0; i < count; i++) {
        if (axis[i] < 0 || axis[i] >= x->rank || gone >> axis[i] & 1)
            return REFUSE(m, AXIS, NULL,
                          "axis %lld is repeated or outside rank %d",
                          (long long)axis[i], x->rank);
        gone |= 1u << axis[i];
        bool needs_one =
            m->op == KRSI_AMAX || m->op == KRSI_AMIN || m->op == KRSI_LOGSUMEXP;
        if (needs_one && x->dim[axis[i]] == 0)
            return REFUSE(m, SHAPE, NULL,
                          "axis %lld has size 0 and no extremum",
                          (long long)axis[i]);
    }
    for (int a = 0; a < x->rank; a++) {
        if (!(gone >> a & 1))
            push_axis(m, x, a);
        else if (keep)
            m->shape.dim[m->shape.rank++] = 1;
    }
    return true;
}

bool
krsi_shape_variance(krsi_make *m)
{
    int64_t correction = attr_int(m, 2);
    if (correction < 0)
        return REFUSE(m, RANGE, NULL, "the correction %lld is negative",
                      (long long)correction);
    return krsi_shape_reduce(m);
}

bool
krsi_shape_argmax(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    int axis = krsi_rule_axis(m, 0, x->rank);
    if (axis < 0)
        return false;
    if (x->dim[axis] == 0)
        return REFUSE(m, SHAPE, NULL, "axis %d has size 0 and no extremum",
                      axis);
    m->dtype = KRS_I64;
    for (int a = 0; a < x->rank; a++)
        if (a != axis)
            push_axis(m, x, a);
    return true;
}

bool
krsi_shape_argsort(krsi_make *m)
{
    result_like(m, 0);
    m->dtype = KRS_I64;
    return krsi_rule_axis(m, 0, m->shape.rank) >= 0;
}

bool
krsi_shape_matmul(krsi_make *m)
{
    const krsi_node *a = m->in[0], *b = m->in[1];
    bool ta = attr_int(m, 0) != 0, tb = attr_int(m, 1) != 0;
    char at[KRSI_TYPE_TEXT], bt[KRSI_TYPE_TEXT];
    krsi_type_text(at, a);
    krsi_type_text(bt, b);
    bool block = krs_dtype_class_of((krs_dtype)b->dtype) == KRS_CLASS_BLOCK;
    if (!krs_dtype_is_float((krs_dtype)a->dtype) ||
        (a->dtype != b->dtype && !(block && a->dtype == KRS_F32)))
        return REFUSE(m, DTYPE, "types are never promoted; use krs_cast",
                      "element types do not fit: %s . %s", at, bt);
    if (a->rank < 2 || b->rank < 2)
        return REFUSE(m, SHAPE, NULL, "rank below 2: %s . %s", at, bt);
    if (block && !tb)
        return REFUSE(m, SHAPE, "use krs_matmul_nt",
                      "block-quantised %s must be [N, K]", bt);
    int am = a->rank - (ta ? 1 : 2), ak = a->rank - (ta ? 2 : 1);
    int bk = b->rank - (tb ? 1 : 2), bn = b->rank - (tb ? 2 : 1);
    if (a->dim[ak] != b->dim[bk]) {
        bool nt = !tb && a->dim[ak] == b->dim[bn];
        return REFUSE(m, SHAPE, nt ? "did you mean krs_matmul_nt?" : NULL,
                      "inner sizes differ: %s%s . %s%s", at, ta ? "^T" : "", bt,
                      tb ? "^T" : "");
    }
    if (!live_equal(a, ak, b, bk))
        return REFUSE(m, SHAPE, NULL,
                      "inner axes have different live lengths: %s . %s", at,
                      bt);
    bool batch = a->rank == b->rank;
    for (int i = 0; batch && i < a->rank - 2; i++)
        batch = a->dim[i] == b->dim[i] && live_equal(a, i, b, i);
    if (!batch)
        return REFUSE(m, SHAPE, NULL, "batch axes differ: %s . %s", at, bt);
    m->dtype = (krs_dtype)a->dtype;
    for (int i = 0; i < a->rank - 2; i++)
        push_axis(m, a, i);
    push_axis(m, a, am);
    push_axis(m, b, bn);
    return true;
}

static bool
index_ok(krsi_make *m, int i)
{
    char type[KRSI_TYPE_TEXT];
    if (is_index_type(m->in[i]))
        return true;
    return REFUSE(m, DTYPE, NULL, "the index is %s where i64 or i32 is needed",
                  krsi_type_text(type, m->in[i]));
}

/* x's axes with `axis` replaced by those of index */
static void
taken_shape(krsi_make *m, const krsi_node *x, const krsi_node *index, int axis)
{
    m->dtype = (krs_dtype)x->dtype;
    for (int a = 0; a < axis; a++)
        push_axis(m, x, a);
    for (int a = 0; a < index->rank; a++)
        push_axis(m, index, a);
    for (int a = axis + 1; a < x->rank; a++)
        push_axis(m, x, a);
}

bool
krsi_shape_take(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    int axis = krsi_rule_axis(m, 0, x->rank);
    if (axis < 0 || !index_ok(m, 1))
        return false;
    taken_shape(m, x, m->in[1], axis);
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK) {
        if (axis != 0 || x->rank < 2)
            return REFUSE(m, DTYPE, NULL,
                          "of a block-quantised tensor only rows are taken");
        m->dtype = KRS_F32;
    }
    return true;
}

static bool
sums_ok(krsi_make *m, const krsi_node *x, const krsi_node *src)
{
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    bool number = x->dtype == KRS_F32 || krs_dtype_is_int((krs_dtype)x->dtype);
    if (number && x->dtype == src->dtype)
        return true;
    return REFUSE(m, DTYPE, NULL,
                  "%s and %s where numbers of one type are "
                  "needed",
                  krsi_type_text(a, x), krsi_type_text(b, src));
}

bool
krsi_shape_index_add(krsi_make *m)
{
    const krsi_node *x = m->in[0], *src = m->in[2];
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT], c[KRSI_TYPE_TEXT];
    int axis = krsi_rule_axis(m, 0, x->rank);
    if (axis < 0 || !index_ok(m, 1) || !sums_ok(m, x, src))
        return false;
    taken_shape(m, x, m->in[1], axis);
    bool fits = m->shape.rank == src->rank;
    for (int i = 0; fits && i < src->rank; i++)
        fits = m->shape.dim[i] == src->dim[i];
    if (!fits)
        return REFUSE(m, SHAPE, NULL,
                      "along axis %d: source %s does not fit %s at index %s",
                      axis, krsi_type_text(a, src), krsi_type_text(b, x),
                      krsi_type_text(c, m->in[1]));
    result_like(m, 0);
    return true;
}

/* index of gather and scatter: x's rank, no larger off the axis */
static bool
index_inside(krsi_make *m, int axis)
{
    const krsi_node *x = m->in[0], *index = m->in[1];
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    bool fits = x->rank == index->rank;
    for (int i = 0; fits && i < x->rank; i++)
        fits = i == axis || index->dim[i] <= x->dim[i];
    if (fits)
        return true;
    return REFUSE(m, SHAPE, "ranks are equal and sizes no larger off the axis",
                  "along axis %d: index %s does not fit in %s", axis,
                  krsi_type_text(a, index), krsi_type_text(b, x));
}

bool
krsi_shape_gather(krsi_make *m)
{
    int axis = krsi_rule_axis(m, 0, m->in[0]->rank);
    if (axis < 0 || !index_ok(m, 1) || !index_inside(m, axis))
        return false;
    result_like(m, 1);
    m->dtype = (krs_dtype)m->in[0]->dtype;
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, "use krs_take for rows",
                      "block-quantised elements are not gathered");
    return true;
}

/* index inside x, source like it */
static bool
scatter_fits(krsi_make *m, int axis)
{
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    if (!index_inside(m, axis))
        return false;
    if (!same_sizes(m->in[1], m->in[2]))
        return REFUSE(m, SHAPE, NULL, "index %s and source %s differ",
                      krsi_type_text(a, m->in[1]), krsi_type_text(b, m->in[2]));
    result_like(m, 0);
    return true;
}

bool
krsi_shape_scatter_add(krsi_make *m)
{
    const krsi_node *x = m->in[0], *src = m->in[2];
    int axis = krsi_rule_axis(m, 0, x->rank);
    return axis >= 0 && index_ok(m, 1) && sums_ok(m, x, src) &&
           scatter_fits(m, axis);
}

bool
krsi_shape_scatter(krsi_make *m)
{
    const krsi_node *x = m->in[0], *src = m->in[2];
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    int axis = krsi_rule_axis(m, 0, x->rank);
    if (axis < 0 || !index_ok(m, 1))
        return false;
    if (x->dtype != src->dtype ||
        krs_dtype_class_of((krs_dtype)x->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, NULL,
                      "%s and %s where one type is needed, of no blocks",
                      krsi_type_text(a, x), krsi_type_text(b, src));
    return scatter_fits(m, axis);
}

bool
krsi_shape_norm(krsi_make *m)
{
    const krsi_node *x = m->in[0];
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    double eps = krsi_attr_float(m->op, m->word, 0);
    result_like(m, 0);
    if (!(eps >= 0 && eps < 1e30))
        return REFUSE(m, RANGE, NULL, "eps %g is not a number >= 0", eps);
    for (int i = 1; i < m->count; i++) {
        const krsi_node *w = m->in[i];
        int lead = x->rank - w->rank;
        bool fits = w->rank > 0 && lead >= 0 && !w->live_axes;
        for (int k = 0; fits && k < w->rank; k++)
            fits = w->dim[k] == x->dim[lead + k] &&
                   !(x->live_axes >> (lead + k) & 1);
        if (!fits || (i == 2 && !same_sizes(w, m->in[1])))
            return REFUSE(m, SHAPE, NULL,
                          "%s %s does not have the trailing sizes of %s",
                          i == 2 ? "bias" : "weight", krsi_type_text(b, w),
                          krsi_type_text(a, x));
    }
    return true;
}

bool
krsi_shape_cross_entropy(krsi_make *m)
{
    const krsi_node *logits = m->in[0], *target = m->in[1];
    const krsi_node *weight = m->count > 2 ? m->in[2] : NULL;
    double smoothing = krsi_attr_float(m->op, m->word, 2);
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    krsi_type_text(a, logits);
    m->dtype = KRS_F32;
    if (logits->dtype != KRS_F32 || logits->rank < 1)
        return REFUSE(m, DTYPE, NULL, "logits %s where float [.., V] is needed",
                      a);
    bool ids = is_index_type(target);
    bool fits = ids ? target->rank == logits->rank - 1
                    : target->dtype == KRS_F32 && target->rank == logits->rank;
    for (int i = 0; fits && i < target->rank; i++)
        fits = target->dim[i] == logits->dim[i];
    if (!fits)
        return REFUSE(m, SHAPE, "ids [..] or probabilities [.., V]",
                      "target %s does not fit logits %s",
                      krsi_type_text(b, target), a);
    if (weight && (weight->dtype != KRS_F32 || weight->rank != 1 ||
                   weight->dim[0] != logits->dim[logits->rank - 1]))
        return REFUSE(m, SHAPE, NULL, "class weights %s do not fit logits %s",
                      krsi_type_text(b, weight), a);
    if (!(smoothing >= 0 && smoothing < 1))
        return REFUSE(m, RANGE, NULL, "label smoothing %g is outside [0, 1)",
                      smoothing);
    if (attr_int(m, 0) == KRS_REDUCE_NONE)
        for (int i = 0; i < logits->rank - 1; i++)
            push_axis(m, logits, i);
    return true;
}

/* The operands of both rows of the linear one; ignore, smoothing and block are
 * attributes 1 to 3. */
static bool
linear_loss_ok(krsi_make *m)
{
    const krsi_node *x = m->in[0], *w = m->in[1], *target = m->in[2];
    const krsi_node *weight = m->count > 3 ? m->in[3] : NULL;
    double smoothing = krsi_attr_float(m->op, m->word, 2);
    int64_t block = attr_int(m, 3);
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    krsi_type_text(a, x);
    if (!krs_dtype_is_float((krs_dtype)x->dtype) || x->dtype != w->dtype)
        return REFUSE(m, DTYPE, "types are never promoted; use krs_cast",
                      "x is %s, the weight %s; both are of one float type", a,
                      krsi_type_text(b, w));
    if (x->rank < 1 || w->rank != 2 || w->dim[1] != x->dim[x->rank - 1])
        return REFUSE(m, SHAPE, "the weight is [V, D], as of krs_linear",
                      "weight %s does not fit %s", krsi_type_text(b, w), a);
    bool fits = is_index_type(target) && target->rank == x->rank - 1;
    for (int i = 0; fits && i < target->rank; i++)
        fits = target->dim[i] == x->dim[i];
    if (!fits)
        return REFUSE(m, SHAPE, "one id for each row",
                      "target %s does not fit %s", krsi_type_text(b, target),
                      a);
    if (weight && (weight->dtype != KRS_F32 || weight->rank != 1 ||
                   weight->dim[0] != w->dim[0]))
        return REFUSE(m, SHAPE, NULL, "class weights %s do not fit %s",
                      krsi_type_text(b, weight), krsi_type_text(a, w));
    if (!(smoothing >= 0 && smoothing < 1))
        return REFUSE(m, RANGE, NULL, "label smoothing %g is outside [0, 1)",
                      smoothing);
    return block >= 1 ||
           REFUSE(m, RANGE, NULL, "blocks of %lld rows", (long long)block);
}

bool
krsi_shape_linear_cross_entropy(krsi_make *m)
{
    if (!linear_loss_ok(m))
        return false;
    m->dtype = KRS_F32;
    if (attr_int(m, 0) == KRS_REDUCE_NONE)
        for (int i = 0; i < m->in[2]->rank; i++)
            push_axis(m, m->in[2], i);
    return true;
}

/* f32, as x or as the weight */
bool
krsi_shape_linear_cross_entropy_grad(krsi_make *m)
{
    if (!linear_loss_ok(m))
        return false;
    result_like(m, attr_int(m, 0) == KRSI_CE_HIDDEN ? 0 : 1);
    m->dtype = KRS_F32;
    return true;
}

bool
krsi_shape_one_hot(krsi_make *m)
{
    int64_t classes = attr_int(m, 0);
    if (!index_ok(m, 0))
        return false;
    if (classes < 0 || m->in[0]->rank == KRS_MAX_RANK)
        return REFUSE(m, SHAPE, NULL, "%lld classes of ids of rank %d",
                      (long long)classes, m->in[0]->rank);
    result_like(m, 0);
    m->shape.dim[m->shape.rank++] = classes;
    m->dtype = (krs_dtype)attr_int(m, 1);
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, NULL, "%s has no elements of its own",
                      krs_dtype_name(m->dtype));
    return true;
}

bool
krsi_shape_embedding(krsi_make *m)
{
    const krsi_node *weight = m->in[0];
    char type[KRSI_TYPE_TEXT];
    if (weight->rank != 2)
        return REFUSE(m, SHAPE, NULL, "weight %s where [V, C] is needed",
                      krsi_type_text(type, weight));
    if (!index_ok(m, 1))
        return false;
    taken_shape(m, weight, m->in[1], 0);
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        m->dtype = KRS_F32;
    return true;
}

/* q [B,H,T,D], k [B,K,S,D], v [B,K,S,E] or NULL, a mask or NULL, and the
 * attributes that all rows of attention begin with */
static bool
attends(krsi_make *m, const krsi_node *v, const krsi_node *mask)
{
    const krsi_node *q = m->in[0], *k = m->in[1];
    char qt[KRSI_TYPE_TEXT], kt[KRSI_TYPE_TEXT], vt[KRSI_TYPE_TEXT] = "";
    krsi_type_text(qt, q);
    krsi_type_text(kt, k);
    if (v)
        krsi_type_text(vt, v);
    if (!krs_dtype_is_float((krs_dtype)q->dtype) || k->dtype != q->dtype ||
        (v && v->dtype != q->dtype))
        return REFUSE(m, DTYPE, "q, k and v are floats of one type",
                      "q %s, k %s%s%s", qt, kt, v ? ", v " : "", vt);
    bool fits = q->rank == 4 && k->rank == 4 && k->dim[0] == q->dim[0] &&
                k->dim[3] == q->dim[3];
    if (fits && v)
        fits = v->rank == 4 && v->dim[0] == q->dim[0] &&
               k->dim[1] == v->dim[1] && k->dim[2] == v->dim[2] &&
               live_equal(k, 2, v, 2);
    if (!fits)
        return REFUSE(m, SHAPE, "q [B,H,T,D], k [B,K,S,D], v [B,K,S,E]",
                      "q %s, k %s%s%s", qt, kt, v ? ", v " : "", vt);
    if (k->dim[1] == 0 || q->dim[1] % k->dim[1] != 0)
        return REFUSE(m, SHAPE, NULL,
                      "%lld query heads are not a multiple of %lld key heads",
                      (long long)q->dim[1], (long long)k->dim[1]);
    if ((q->live_axes & ~4u) || (k->live_axes & ~4u) ||
        (v && (v->live_axes & ~4u)))
        return REFUSE(m, UNSUPPORTED, NULL,
                      "only time axes may have live lengths: q %s, k %s%s%s",
                      qt, kt, v ? ", v " : "", vt);
    if (mask) {
        const krsi_node *score[4] = {q, q, q, k};
        static const int axis[4] = {0, 1, 2, 2};
        fits = mask->rank <= 4 &&
               (mask->dtype == KRS_BOOL || mask->dtype == KRS_F32);
        for (int i = 0; fits && i < mask->rank; i++) {
            int s = 4 - mask->rank + i;
            fits = (mask->dim[i] == 1 && !(mask->live_axes >> i & 1)) ||
                   (mask->dim[i] == score[s]->dim[axis[s]] &&
                    live_equal(mask, i, score[s], axis[s]));
        }
        if (!fits)
            return REFUSE(m, SHAPE, "bool or f32, broadcasting to [B,H,T,S]",
                          "mask %s does not fit q %s and k %s",
                          krsi_type_text(vt, mask), qt, kt);
    }
    krs_index offset = KRS_INDEX(0);
    int64_t low, high;
    krsi_attr_index(m->op, m->word, 2, 0, &offset);
    if (!krsi_index_bounds(m->graph, offset, &low, &high) || attr_int(m, 3) < 0)
        return REFUSE(m, RANGE, NULL,
                      "the offset overflows, or the window %lld is negative",
                      (long long)attr_int(m, 3));
    return true;
}

bool
krsi_shape_attention(krsi_make *m)
{
    const krsi_node *q = m->in[0], *v = m->in[2];
    if (!attends(m, v, m->count > 3 ? m->in[3] : NULL))
        return false;
    m->dtype = (krs_dtype)q->dtype;
    push_axis(m, q, 0);
    push_axis(m, q, 1);
    push_axis(m, q, 2);
    push_axis(m, v, 3);
    return true;
}

bool
krsi_shape_attention_lse(krsi_make *m)
{
    const krsi_node *q = m->in[0], *k = m->in[1];
    char text[KRSI_TYPE_TEXT];
    if (!attends(m, NULL, m->count > 2 ? m->in[2] : NULL))
        return false;
    if (k->dim[2] == 0)
        return REFUSE(m, SHAPE, NULL, "there are no keys: k %s",
                      krsi_type_text(text, k));
    m->dtype = KRS_F32;
    for (int a = 0; a < 3; a++)
        push_axis(m, q, a);
    return true;
}

/* Is x [q's axes 0 to 2] of f32, or with a last axis as v's of q's type? */
static bool
is_row_of(const krsi_node *x, const krsi_node *q, const krsi_node *v)
{
    bool fits = x->rank == (v ? 4 : 3) && x->live_axes == 0 &&
                x->dtype == (v ? q->dtype : KRS_F32);
    for (int a = 0; fits && a < 3; a++)
        fits = x->dim[a] == q->dim[a];
    return fits && (!v || x->dim[3] == v->dim[3]);
}

bool
krsi_shape_attention_grad(krsi_make *m)
{
    const krsi_node *q = m->in[0], *v = m->in[2];
    char text[3][KRSI_TYPE_TEXT];
    int64_t total = 0;
    if (!attends(m, v, m->count > 6 ? m->in[6] : NULL))
        return false;
    if (!is_row_of(m->in[3], q, v) || !is_row_of(m->in[4], q, NULL) ||
        !is_row_of(m->in[5], q, v))
        return REFUSE(
            m, SHAPE, "out and its cotangent [B,H,T,E], lse f32 [B,H,T]",
            "out %s, lse %s, cotangent %s", krsi_type_text(text[0], m->in[3]),
            krsi_type_text(text[1], m->in[4]),
            krsi_type_text(text[2], m->in[5]));
    for (int i = 0; i < 3; i++)
        if (__builtin_add_overflow(total, krsi_elements(m->in[i]), &total))
            return REFUSE(m, RANGE, NULL, "the cotangents overflow");
    m->dtype = KRS_F32;
    m->shape = KRS_SHAPE(total);
    return true;
}

bool
krsi_shape_rope(krsi_make *m)
{
    const krsi_node *x = m->in[0], *angle = m->in[1];
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    bool fits = x->rank >= 2 && angle->rank >= 1 && angle->rank <= x->rank &&
                x->dim[x->rank - 1] % 2 == 0;
    for (int i = 0; fits && i < angle->rank; i++) {
        int at = x->rank - angle->rank + i;
        int64_t want = at == x->rank - 1 ? x->dim[at] / 2 : x->dim[at];
        fits =
            angle->dim[i] == want || (angle->dim[i] == 1 && at != x->rank - 1);
    }
    if (!fits)
        return REFUSE(m, SHAPE, "x [.., T, D] with D even, angles [.., T, D/2]",
                      "angles %s do not fit x %s", krsi_type_text(b, angle),
                      krsi_type_text(a, x));
    result_like(m, 0);
    return true;
}
