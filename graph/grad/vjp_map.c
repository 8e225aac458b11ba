/* vjp_map.c -- gradients of element-wise operations.
 *
 * For y = f(x) with cotangent g the rule gives g * f'(x), written with y where
 * that saves work. Source for the whole table: Griewank & Walther 2008, table
 * 3.3; for the kinks the conventions stated in ops.h.
 */
#include "grad.h"

void
krsi_vjp_none(krsi_vjp *v)
{
    (void)v; /* on purpose: piecewise constant, or not a float */
}

/* a copy of the value: all of it passes */
void
krsi_vjp_recompute(krsi_vjp *v)
{
    v->out[0] = v->g;
}

/* the value again (grad.c made what it is made of again) */
void
krsi_vjp_checkpoint(krsi_vjp *v)
{
    v->out[0] = v->g;
}

void
krsi_vjp_neg(krsi_vjp *v)
{
    v->out[0] = krs_neg_at(v->at, v->g);
}

void
krsi_vjp_abs(krsi_vjp *v)
{
    v->out[0] = krs_mul_at(v->at, v->g, krs_sign_at(v->at, v->in[0]));
}

void
krsi_vjp_exp(krsi_vjp *v)
{
    v->out[0] = krs_mul_at(v->at, v->g, v->y);
}

void
krsi_vjp_log(krsi_vjp *v)
{
    v->out[0] = krs_div_at(v->at, v->g, v->in[0]);
}

static const double ln2 = 0.693147180559945309417232121458176568;

/* (2^x)' = y ln 2 */
void
krsi_vjp_exp2(krsi_vjp *v)
{
    v->out[0] = krs_mul_at(v->at, krs_scale_at(v->at, v->g, ln2), v->y);
}

/* (ln x / ln 2)' = 1 / (x ln 2) */
void
krsi_vjp_log2(krsi_vjp *v)
{
    v->out[0] = krs_div_at(v->at, krs_scale_at(v->at, v->g, 1 / ln2), v->in[0]);
}

/* (x^1/2)' = 1 / (2y) */
void
krsi_vjp_sqrt(krsi_vjp *v)
{
    v->out[0] = krs_div_at(v->at, krs_scale_at(v->at, v->g, 0.5), v->y);
}

/* (x^-1/2)' = -y / (2x) */
void
krsi_vjp_rsqrt(krsi_vjp *v)
{
    krs_node slope = krs_div_at(v->at, v->y, v->in[0]);
    v->out[0] = krs_mul_at(v->at, krs_scale_at(v->at, v->g, -0.5), slope);
}

/* ln(1 + x)' = 1 / (1 + x) */
void
krsi_vjp_log1p(krsi_vjp *v)
{
    v->out[0] = krs_div_at(v->at, v->g, krs_offset_at(v->at, v->in[0], 1));
}

/* (e^x - 1)' = e^x */
void
krsi_vjp_expm1(krsi_vjp *v)
{
    v->out[0] = krs_mul_at(v->at, v->g, krs_exp_at(v->at, v->in[0]));
}

/* ln(1 + e^x)' = sigmoid(x) */
void
krsi_vjp_softplus(krsi_vjp *v)
{
    v->out[0] = krs_mul_at(v->at, v->g, krs_sigmoid_at(v->at, v->in[0]));
}

void
krsi_vjp_sin(krsi_vjp *v)
{
    v->out[0] = krs_mul_at(v->at, v->g, krs_cos_at(v->at, v->in[0]));
}

void
krsi_vjp_cos(krsi_vjp *v)
{
    krs_node s = krs_sin_at(v->at, v->in[0]);
    v->out[0] = krs_neg_at(v->at, krs_mul_at(v->at, v->g, s));
}

/* tanh' = 1 - y^2 */
void
krsi_vjp_tanh(krsi_vjp *v)
{
    krs_node one = krs_like_at(v->at, v->y, 1);
    krs_node slope = krs_sub_at(v->at, one, krs_square_at(v->at, v->y));
    v->out[0] = krs_mul_at(v->at, v->g, slope);
}

/* sigmoid' = y (1 - y) */
void
krsi_vjp_sigmoid(krsi_vjp *v)
{
    krs_node one = krs_like_at(v->at, v->y, 1);
    krs_node slope = krs_mul_at(v->at, v->y, krs_sub_at(v->at, one, v->y));
    v->out[0] = krs_mul_at(v->at, v->g, slope);
}

/* erf' = 2/sqrt(pi) e^(-x^2) */
static krs_node
erf_slope(krsi_vjp *v, double sign)
{
    static const double two_over_sqrt_pi =
        1.128379167095512573896158903121545172;
    krs_node x = v->in[0];
    krs_node bell =
        krs_exp_at(v->at, krs_neg_at(v->at, krs_square_at(v->at, x)));
    return krs_mul_at(v->at, v->g,
                      krs_scale_at(v->at, bell, sign * two_over_sqrt_pi));
}

void
krsi_vjp_erf(krsi_vjp *v)
{
    v->out[0] = erf_slope(v, 1);
}

void
krsi_vjp_erfc(krsi_vjp *v)
{
    v->out[0] = erf_slope(v, -1);
}

/* a cast between floats passes the cotangent; integers stop it */
void
krsi_vjp_cast(krsi_vjp *v)
{
    krs_dtype from = krs_node_dtype(v->in[0]);
    if (krs_dtype_is_float(from) && krs_dtype_is_float(krs_node_dtype(v->y)))
        v->out[0] = krs_cast_at(v->at, v->g, from);
}

void
krsi_vjp_add(krsi_vjp *v)
{
    v->out[0] = v->g;
    v->out[1] = v->g;
}

void
krsi_vjp_sub(krsi_vjp *v)
{
    v->out[0] = v->g;
    if (v->need[1])
        v->out[1] = krs_neg_at(v->at, v->g);
}

void
krsi_vjp_mul(krsi_vjp *v)
{
    if (v->need[0])
        v->out[0] = krs_mul_at(v->at, v->g, v->in[1]);
    if (v->need[1])
        v->out[1] = krs_mul_at(v->at, v->g, v->in[0]);
}

/* d(a/b) = da/b - y db/b */
void
krsi_vjp_div(krsi_vjp *v)
{
    krs_node scaled = krs_div_at(v->at, v->g, v->in[1]);
    v->out[0] = scaled;
    if (v->need[1])
        v->out[1] = krs_neg_at(v->at, krs_mul_at(v->at, scaled, v->y));
}

/* d(a^b) = b a^(b-1) da + y ln a db, without the 0 * inf at a = 0 */
void
krsi_vjp_pow(krsi_vjp *v)
{
    krs_place at = v->at;
    krs_node a = v->in[0], b = v->in[1], zero = krs_like_at(at, a, 0);
    if (v->need[0]) {
        krs_node lower = krs_pow_at(at, a, krs_offset_at(at, b, -1));
        krs_node slope = krs_mul_at(at, b, lower);
        krs_node is_constant = krs_eq_at(at, b, zero);
        v->out[0] =
            krs_where_at(at, is_constant, zero, krs_mul_at(at, v->g, slope));
    }
    if (v->need[1]) {
        krs_node slope = krs_mul_at(at, v->y, krs_log_at(at, a));
        krs_node flat =
            krs_and_at(at, krs_eq_at(at, a, zero), krs_ge_at(at, b, zero));
        v->out[1] = krs_where_at(at, flat, zero, krs_mul_at(at, v->g, slope));
    }
}

/* to the larger (smaller) operand, half to each on a tie */
static void
choose(krsi_vjp *v, krs_node first_wins)
{
    krs_place at = v->at;
    krs_node zero = krs_like_at(at, v->g, 0);
    krs_node tie = krs_eq_at(at, v->in[0], v->in[1]);
    krs_node half = krs_scale_at(at, v->g, 0.5);
    if (v->need[0])
        v->out[0] = krs_where_at(at, tie, half,
                                 krs_where_at(at, first_wins, v->g, zero));
    if (v->need[1])
        v->out[1] = krs_where_at(at, tie, half,
                                 krs_where_at(at, first_wins, zero, v->g));
}

void
krsi_vjp_maximum(krsi_vjp *v)
{
    choose(v, krs_gt_at(v->at, v->in[0], v->in[1]));
}

void
krsi_vjp_minimum(krsi_vjp *v)
{
    choose(v, krs_lt_at(v->at, v->in[0], v->in[1]));
}

/* select, not multiply: nothing of the branch not taken passes */
void
krsi_vjp_where(krsi_vjp *v)
{
    krs_node zero = krs_like_at(v->at, v->g, 0);
    if (v->need[1])
        v->out[1] = krs_where_at(v->at, v->in[0], v->g, zero);
    if (v->need[2])
        v->out[2] = krs_where_at(v->at, v->in[0], zero, v->g);
}
