/* cut_work.c -- what a cut does, for people: scalar operations, bytes, names.
 *
 * In: a cut. Out: the numbers behind GFLOP/s, GB/s and the share of what the
 * machine could do at most (Williams, Waterman and Patterson 2009: the
 * roofline). Sizes are the maximal ones; what is read twice counts once.
 */
#include "fuse.h"

#include <string.h>

/* elements that a view reaches along the axes of the set, at most */
static double
elements_along(const krsi_cut *cut, unsigned axes)
{
    double n = 1;
    for (int a = 0; a < cut->rank; a++)
        if (axes >> a & 1)
            n *= (double)cut->max[a];
    return n;
}

static unsigned
axes_of(const krsi_view *v)
{
    unsigned axes = 0;
    for (int a = 0; a < v->rank; a++)
        axes |= (unsigned)(v->stride[a] != 0) << a;
    return axes;
}

/* Along which axes each expression varies; a product's sum and a reduction go
 * along the last. */
static double
count_operations(const krsi_cut *cut)
{
    unsigned varies[KRSI_CUT_EXPRS] = {0};
    unsigned last = cut->rank > 0 ? 1U << (cut->rank - 1) : 0;
    double sum = 0;
    for (int i = 0; i < cut->exprs; i++) {
        const krsi_expr *e = &cut->expr[i];
        for (int k = 0; k < krsi_expr_operands(e); k++)
            varies[i] |= varies[e->in[k]];
        if (e->kind == KRSI_X_LOAD || e->kind == KRSI_X_POSITION)
            varies[i] = axes_of(&cut->load[e->load].view);
        double points = elements_along(cut, varies[i]);
        sum +=
            e->kind == KRSI_X_PRODUCT ? 2 * points : krsi_expr_cost(e) * points;
        if (e->kind == KRSI_X_REDUCE || e->kind == KRSI_X_PRODUCT)
            varies[i] &= ~last;
    }
    return sum;
}

/* Attention: q k^T and p v; its gradient has the scores once more, and a
 * product each for dp, dq, dk and dv. A causal limit leaves half of them. */
static double
count_attention(const krsi_cut *cut)
{
    const krsi_attention *a = cut->attention;
    const krsi_view *q = &cut->load[a->q].view, *k = &cut->load[a->k].view;
    double scores = (double)q->max[0] * (double)q->max[1] * (double)q->max[2] *
                    (double)k->max[2];
    double d = (double)q->max[3];
    double e = a->v >= 0 ? (double)cut->load[a->v].view.max[3] : 0;
    double products = a->cotangent >= 0 ? 3 * d + 2 * e
                      : a->out >= 0     ? d + e
                                        : d;
    return 2 * scores * products * (a->causal ? 0.5 : 1);
}

static double
view_bytes(const krsi_sched *s, const krsi_view *v, int indirect)
{
    double whole = (double)s->values[v->value].bytes, elements = 1, size = 0;
    size_t one;
    if (krs_dtype_bytes(s->values[v->value].dtype, 1, &one))
        size = (double)one;
    for (int a = 0; a < v->rank; a++)
        if (v->stride[a] || indirect >= 0)
            elements *= (double)v->max[a];
    return elements * size < whole && size > 0 ? elements * size : whole;
}

krsi_work
krsi_cut_work(const krsi_sched *s, const krsi_cut *cut)
{
    krsi_work w = {0};
    w.operations =
        cut->attention ? count_attention(cut) : count_operations(cut);
    for (int i = 0; i < cut->loads; i++) {
        const krsi_view *v = &cut->load[i].view;
        bool again = v->value == KRSI_NO_VALUE;
        for (int k = 0; k < i && !again; k++)
            again = cut->load[k].view.value == v->value &&
                    cut->load[k].indirect == cut->load[i].indirect;
        if (!again)
            w.bytes += view_bytes(s, v, cut->load[i].indirect);
    }
    for (int i = 0; i < cut->outs; i++)
        w.bytes += view_bytes(s, &cut->out[i].view, cut->out[i].indirect);
    return w;
}

void
krsi_cut_names(const krsi_sched *s, const krsi_cut *cut, krsi_string *out)
{
    bool named[KRSI_OP_COUNT] = {false};
    krsi_string_add(out, "");
    for (int i = 0; i < cut->exprs; i++) {
        const krsi_expr *e = &cut->expr[i];
        enum krsi_op op = e->kind == KRSI_X_PRODUCT  ? KRSI_MATMUL
                          : e->kind == KRSI_X_RANDOM ? KRSI_RANDOM_UNIFORM
                                                     : e->op;
        bool is_op = e->kind == KRSI_X_OP || e->kind == KRSI_X_REDUCE ||
                     e->kind == KRSI_X_PRODUCT || e->kind == KRSI_X_RANDOM;
        if (!is_op || named[op])
            continue;
        named[op] = true;
        krsi_string_format(out, "%s%s", out->length ? " " : "",
                           krsi_ops[op].name);
    }
    if (out->text && !out->length)
        krsi_string_add(out, krsi_cut_name(s, cut));
}
