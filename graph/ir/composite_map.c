/* composite_map.c -- definitions of the element-wise composites, and the table
 * of all definitions.
 *
 * An expansion is written with the public builders, in the order of the
 * equation in ops.h. It is the meaning of the row: kernels and hand-written
 * gradients are compared with it.
 */
#include "ir.h"

#include <math.h>

#define PRIMITIVE(...)
#define COMPOSITE(ID, name, ...) [KRSI_##ID] = krsi_expand_##name,
krsi_expand_rule *const krsi_expansions[KRSI_OP_COUNT] = {
#include "ops.def"
};
#undef PRIMITIVE
#undef COMPOSITE

/* only the gradient knows the inputs */
krs_node
krsi_expand_checkpoint(const krsi_use *u)
{
    return u->in[0];
}

/* y = 0 for x <= 0, else x: NaN passes, and the gradient at 0 is 0 */
krs_node
krsi_expand_relu(const krsi_use *u)
{
    krs_node x = u->in[0], zero = krs_like_at(u->at, x, 0);
    return krs_where_at(u->at, krs_le_at(u->at, x, zero), zero, x);
}

krs_node
krsi_expand_silu(const krsi_use *u)
{
    return krs_mul_at(u->at, u->in[0], krs_sigmoid_at(u->at, u->in[0]));
}

/* by erfc: 1 + erf(x) loses everything for x < -6 */
krs_node
krsi_expand_gelu(const krsi_use *u)
{
    krs_node x = u->in[0];
    krs_node tail = krs_erfc_at(u->at, krs_scale_at(u->at, x, -sqrt(0.5)));
    return krs_mul_at(u->at, krs_scale_at(u->at, x, 0.5), tail);
}

krs_node
krsi_expand_gelu_tanh(const krsi_use *u)
{
    static const double pi = 3.141592653589793238462643383279502884;
    krs_place at = u->at;
    krs_node x = u->in[0];
    krs_node cube = krs_mul_at(at, x, krs_mul_at(at, x, x));
    krs_node inner = krs_scale_at(
        at, krs_add_at(at, x, krs_scale_at(at, cube, 0.044715)), sqrt(2 / pi));
    return krs_mul_at(at, krs_scale_at(at, x, 0.5),
                      krs_offset_at(at, krs_tanh_at(at, inner), 1));
}

/* With u = 1 + x rounded, ln(u) x / (u - 1): the error of u is in both. Where
 * u is 1, x; where it is inf, that. Source: Kahan, in the HP-15C Advanced
 * Functions Handbook 1982; Goldberg 1991, theorem 4. */
krs_node
krsi_expand_log1p(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0], one = krs_like_at(at, x, 1);
    krs_node w = krs_offset_at(at, x, 1);
    krs_node part = krs_div_at(at, x, krs_sub_at(at, w, one));
    krs_node y = krs_mul_at(at, krs_log_at(at, w), part);
    krs_node infinite = krs_eq_at(at, w, krs_like_at(at, x, (double)INFINITY));
    y = krs_where_at(at, infinite, w, y);
    return krs_where_at(at, krs_eq_at(at, w, one), x, y);
}

/* With u = e^x rounded, (u - 1) x / ln(u), by the same argument; x where u is
 * 1, -1 where it is 0 or next to it, and u where it is inf. */
krs_node
krsi_expand_expm1(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0], one = krs_like_at(at, x, 1);
    krs_node w = krs_exp_at(at, x), less = krs_sub_at(at, w, one);
    krs_node minus_one = krs_neg_at(at, one);
    krs_node part = krs_div_at(at, x, krs_log_at(at, w));
    krs_node y = krs_mul_at(at, less, part);
    krs_node infinite = krs_eq_at(at, w, krs_like_at(at, x, (double)INFINITY));
    y = krs_where_at(at, infinite, w, y);
    y = krs_where_at(at, krs_eq_at(at, less, minus_one), minus_one, y);
    return krs_where_at(at, krs_eq_at(at, w, one), x, y);
}

/* max(x, 0) + ln(1 + e^-|x|): nothing overflows, nothing is lost */
krs_node
krsi_expand_softplus(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0];
    krs_node tail = krs_exp_at(at, krs_neg_at(at, krs_abs_at(at, x)));
    return krs_add_at(at, krs_maximum_at(at, x, krs_like_at(at, x, 0)),
                      krs_log1p_at(at, tail));
}

krs_node
krsi_expand_swiglu(const krsi_use *u)
{
    return krs_mul_at(u->at, krs_silu_at(u->at, u->in[0]), u->in[1]);
}

/* strict comparisons, so that the gradient passes at the bounds */
krs_node
krsi_expand_clamp(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0];
    krs_dtype dtype = krs_node_dtype(x); /* an infinity is its last value */
    krs_node low = krsi_scalar(at, x.graph, dtype, krsi_float(u->node, 0));
    krs_node high = krsi_scalar(at, x.graph, dtype, krsi_float(u->node, 1));
    krs_node below_high = krs_where_at(at, krs_gt_at(at, x, high), high, x);
    return krs_where_at(at, krs_lt_at(at, x, low), low, below_high);
}

krs_node
krsi_expand_dropout(const krsi_use *u)
{
    krs_place at = u->at;
    krs_node x = u->in[0];
    double p = krsi_float(u->node, 0);
    krs_node iteration = u->count > 3 ? u->in[3] : KRS_NONE;
    krs_node r = krsi_random_uniform(at, u->in[1], u->in[2], iteration,
                                     krs_node_shape(x), krsi_int(u->node, 1));
    krs_node kept = krs_ge_at(at, r, krs_like_at(at, r, p));
    return krs_where_at(at, kept, krs_scale_at(at, x, 1 / (1 - p)),
                        krs_like_at(at, x, 0));
}
