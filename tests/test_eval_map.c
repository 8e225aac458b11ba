/* test_eval_map.c -- element-wise operations and reductions in the graph
 * interpreter follow C, type by type.
 */
#include "evaluated.h"
#include "graph/ir/eval.h"
#include "graph/opt/opt.h"

#include <krs/ops.h>

#include <math.h>

/* ---- element-wise ---- */

static double
logistic(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double
inverse_root(double x)
{
    return pow(x, -0.5);
}

static double
sign_of(double x)
{
    return isnan(x) ? x : x > 0 ? 1 : x < 0 ? -1 : 0;
}

static double
minus(double x)
{
    return -x;
}

START_TEST(float_maps_follow_c)
{
    static const struct {
        krs_node (*build)(krs_place at, krs_node x);
        double (*plain)(double);
    } cases[] = {
        {krs_neg_at,     minus       },
        {krs_abs_at,     fabs        },
        {krs_sign_at,    sign_of     },
        {krs_exp_at,     exp         },
        {krs_exp2_at,    exp2        },
        {krs_log_at,     log         },
        {krs_log2_at,    log2        },
        {krs_sqrt_at,    sqrt        },
        {krs_rsqrt_at,   inverse_root},
        {krs_sin_at,     sin         },
        {krs_cos_at,     cos         },
        {krs_tanh_at,    tanh        },
        {krs_sigmoid_at, logistic    },
        {krs_erf_at,     erf         },
        {krs_erfc_at,    erfc        },
        {krs_floor_at,   floor       }
    };
    static const double x[] = {-2.5, -1, -0.3, 0,   1e-3,    0.7,
                               1,    4,  30,   NAN, INFINITY};
    enum { N = sizeof x / sizeof *x };
    begin();
    krs_node in = give(KRS_F32, KRS_SHAPE(N), x);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double want[N];
        for (int i = 0; i < N; i++)
            want[i] = cases[c].plain(x[i]);
        expect_floats(cases[c].build(KRS_HERE, in), N, want);
    }
}
END_TEST

START_TEST(two_operand_float_maps_follow_c_and_nan_wins)
{
    begin();
    krs_node a = FLOATS(6, 1, -2, 0, NAN, 3, -8);
    krs_node b = FLOATS(6, 4, 0.5, -1, 2, NAN, 2);
    expect_floats(krs_add(a, b), 6, F(5, -1.5, -1, NAN, NAN, -6));
    expect_floats(krs_sub(a, b), 6, F(-3, -2.5, 1, NAN, NAN, -10));
    expect_floats(krs_mul(a, b), 6, F(4, -1, 0, NAN, NAN, -16));
    expect_floats(krs_div(a, b), 6, F(0.25, -4, 0, NAN, NAN, -4));
    expect_floats(krs_pow(a, b), 6, F(1, NAN, INFINITY, NAN, NAN, 64));
    expect_floats(krs_maximum(a, b), 6, F(4, 0.5, 0, NAN, NAN, 2));
    expect_floats(krs_minimum(a, b), 6, F(1, -2, -1, NAN, NAN, -8));
    expect_floats(krs_clamp(a, -1, 2), 6, F(1, -1, 0, NAN, 2, -1));
    expect_ints(krs_eq(a, a), 6, I(1, 1, 1, 0, 1, 1));
    expect_ints(krs_ne(a, a), 6, I(0, 0, 0, 1, 0, 0));
    expect_ints(krs_lt(a, b), 6, I(1, 1, 0, 0, 0, 1));
    expect_ints(krs_le(a, b), 6, I(1, 1, 0, 0, 0, 1));
    expect_ints(krs_gt(a, b), 6, I(0, 0, 1, 0, 0, 0));
    expect_ints(krs_ge(a, a), 6, I(1, 1, 1, 0, 1, 1));
    expect_floats(krs_where(krs_lt(a, b), a, b), 6, F(1, -2, -1, 2, NAN, -8));
}
END_TEST

START_TEST(integers_wrap_at_their_width)
{
    begin();
    krs_node a = give(KRS_I32, KRS_SHAPE(3), I(INT32_MAX, INT32_MIN, -7));
    krs_node b = give(KRS_I32, KRS_SHAPE(3), I(1, -1, 2));
    expect_ints(krs_add(a, b), 3, I(INT32_MIN, INT32_MAX, -5));
    expect_ints(krs_mul(a, a), 3, I(1, 0, 49));
    expect_ints(krs_div(a, b), 3, I(INT32_MAX, INT32_MIN, -3));
    expect_ints(krs_neg(a), 3, I(-INT32_MAX, INT32_MIN, 7));
    expect_ints(krs_abs(a), 3, I(INT32_MAX, INT32_MIN, 7));
    krs_node c = give(KRS_I8, KRS_SHAPE(2), I(127, -128));
    expect_ints(krs_add(c, c), 2, I(-2, 0));
    krs_node d = give(KRS_U8, KRS_SHAPE(3), I(255, 3, 0));
    expect_ints(krs_add(d, d), 3, I(254, 6, 0));
    expect_ints(krs_sub(d, krs_like(d, 4)), 3, I(251, 255, 252));
    expect_ints(krs_not(d), 3, I(0, 252, 255));
    krs_node e = INTS(4, INT64_MAX, INT64_MIN, INT64_MIN, 5);
    krs_node f = INTS(4, 3, -1, 2, 0);
    expect_ints(krs_mul(e, f), 4,
                I((int64_t)(UINT64_C(3) * INT64_MAX), INT64_MIN, 0, 0));
    expect_ints(krs_div(e, f), 4,
                I(INT64_MAX / 3, INT64_MIN, INT64_MIN / 2, 0));
    expect_ints(krs_maximum(e, f), 4, I(INT64_MAX, -1, 2, 5));
    expect_ints(krs_and(e, f), 4, I(3, INT64_MIN, 0, 0));
    expect_ints(krs_or(e, f), 4, I(INT64_MAX, -1, INT64_MIN + 2, 5));
    expect_ints(krs_xor(f, f), 4, I(0, 0, 0, 0));
    krs_node t = krs_gt(f, krs_like(f, 0));
    expect_ints(krs_not(t), 4, I(0, 1, 0, 1));
    expect_ints(krs_or(t, krs_not(t)), 4, I(1, 1, 1, 1));
}
END_TEST

START_TEST(casts_saturate_wrap_and_round)
{
    begin();
    krs_node x = FLOATS(5, 300.9, -300.9, NAN, 1.75, -0.5);
    expect_ints(krs_cast(x, KRS_I8), 5, I(127, -128, 0, 1, 0));
    expect_ints(krs_cast(x, KRS_U8), 5, I(255, 0, 0, 1, 0));
    expect_ints(krs_cast(x, KRS_I64), 5, I(300, -300, 0, 1, 0));
    expect_ints(krs_cast(x, KRS_BOOL), 5, I(1, 1, 1, 1, 1));
    expect_ints(krs_cast(FLOATS(2, 1e30, -INFINITY), KRS_I64), 2,
                I(INT64_MAX, INT64_MIN));
    krs_node n = INTS(3, 256 + 5, -1, INT64_C(1) << 40);
    expect_ints(krs_cast(n, KRS_U8), 3, I(5, 255, 0));
    expect_ints(krs_cast(n, KRS_I32), 3, I(261, -1, 0));
    expect_ints(krs_cast(n, KRS_BOOL), 3, I(1, 1, 1));
    expect_floats(krs_cast(n, KRS_F32), 3, F(261, -1, 0x1p40));
    /* ties to even in bf16 (8 bits) and f16 (11 bits) */
    krs_node y = FLOATS(3, 257, 259, 65520);
    expect_floats(krs_cast(y, KRS_BF16), 3, F(256, 260, 65536));
    expect_floats(krs_cast(y, KRS_F16), 3, F(257, 259, INFINITY));
}
END_TEST

START_TEST(halves_are_rounded_at_each_node_and_f32_never)
{
    begin();
    krs_node h = krs_cast(FLOATS(2, 1.01, 1000.3), KRS_BF16);
    expect_floats(h, 2, F(1.0078125, 1000));
    expect_floats(krs_add(h, h), 2, F(2.015625, 2000));
    /* one product, rounded once: 1.0078125^2 = 1.01568603515625 */
    expect_floats(krs_mul(h, h), 2, F(1.015625, 999424));
    krs_node x = FLOATS(1, 1);
    krs_node tiny = FLOATS(1, 1e-13);
    expect_floats(krs_sub(krs_add(x, tiny), x), 1, F((1 + 1e-13) - 1));
    ck_assert_double_gt(r.f[0], 0); /* f32 would have lost it */
}
END_TEST

/* ---- reductions ---- */

static const double cube[24] = {5,  -1, 2, 7,  0, 3,  9,  -4, 6, 1,  8, -2,
                                11, 4,  3, -6, 2, 10, -3, 5,  1, 12, 0, 7};

START_TEST(sums_over_any_axes_equal_plain_loops)
{
    begin();
    krs_node x = give(KRS_F32, KRS_SHAPE(2, 3, 4), cube);
    for (unsigned gone = 0; gone < 8; gone++) {
        krs_axes axes = {0, {0}};
        double want[24] = {0};
        int extent[3] = {2, 3, 4}, kept = 1;
        for (int a = 0; a < 3; a++) {
            if (gone >> a & 1)
                axes.axis[axes.count++] = a;
            else
                kept *= extent[a];
        }
        for (int i = 0; i < 24; i++) {
            int at[3] = {i / 12, i / 4 % 3, i % 4}, to = 0;
            for (int a = 0; a < 3; a++)
                if (!(gone >> a & 1))
                    to = to * extent[a] + at[a];
            want[to] += cube[i];
        }
        expect_floats(krs_sum(x, axes), kept, want);
        expect_floats(krs_sum_keep(x, axes), kept, want);
    }
    krs_node bytes = give(KRS_U8, KRS_SHAPE(2, 2), I(200, 100, 3, 255));
    expect_ints(krs_sum(bytes, KRS_AXES(1)), 2, I(44, 2));
    expect_ints(krs_sum(bytes, KRS_ALL_AXES), 1, I(558 - 512));
}
END_TEST

START_TEST(sums_of_nothing_are_zero_and_means_nan)
{
    begin();
    krs_node x = give(KRS_F32, KRS_SHAPE(2, 0, 3), F(0));
    expect_floats(krs_sum(x, KRS_AXES(1)), 6, F(0, 0, 0, 0, 0, 0));
    expect_floats(krs_mean(x, KRS_AXES(0, 1)), 3, F(NAN, NAN, NAN));
    expect_floats(krs_sum(x, KRS_ALL_AXES), 1, F(0));
    expect_floats(krs_cumsum(x, 1), 0, F(0));
    krs_node none = krs_matmul(krs_reshape(x, KRS_SHAPE(6, 0)),
                               krs_reshape(x, KRS_SHAPE(0, 2)));
    double zeros[12] = {0};
    expect_floats(none, 12, zeros);
}
END_TEST

START_TEST(extrema_take_nan_and_argmax_the_first)
{
    begin();
    krs_node x = give(KRS_F32, KRS_SHAPE(3, 4),
                      F(1, 7, 7, 2, NAN, 9, NAN, 3, -5, -2, -9, -2));
    expect_floats(krs_amax(x, KRS_AXES(1)), 3, F(7, NAN, -2));
    expect_floats(krs_amin(x, KRS_AXES(1)), 3, F(1, NAN, -9));
    expect_floats(krs_amax(x, KRS_AXES(0)), 4, F(NAN, 9, NAN, 3));
    expect_ints(krs_argmax(x, 1), 3, I(1, 0, 1));
    expect_ints(krs_argmax(x, 0), 4, I(1, 1, 1, 1));
    krs_node i = give(KRS_I32, KRS_SHAPE(2, 3), I(4, -1, 4, -8, -8, -9));
    expect_ints(krs_amax(i, KRS_AXES(1)), 2, I(4, -8));
    expect_ints(krs_amin(i, KRS_ALL_AXES), 1, I(-9));
    expect_ints(krs_argmax(i, 1), 2, I(0, 0));
}
END_TEST

START_TEST(running_sums_go_both_ways)
{
    begin();
    krs_node x = give(KRS_F32, KRS_SHAPE(2, 3), F(1, 2, 3, 10, 20, 30));
    expect_floats(krs_cumsum(x, 1), 6, F(1, 3, 6, 10, 30, 60));
    expect_floats(krs_cumsum(x, 0), 6, F(1, 2, 3, 11, 22, 33));
    expect_floats(krsi_cumsum(KRS_HERE, x, 1, true), 6, F(6, 5, 3, 60, 50, 30));
    expect_floats(krsi_cumsum(KRS_HERE, x, 0, true), 6,
                  F(11, 22, 33, 10, 20, 30));
}
END_TEST

SUITE(float_maps_follow_c, two_operand_float_maps_follow_c_and_nan_wins,
      integers_wrap_at_their_width, casts_saturate_wrap_and_round,
      halves_are_rounded_at_each_node_and_f32_never,
      sums_over_any_axes_equal_plain_loops,
      sums_of_nothing_are_zero_and_means_nan,
      extrema_take_nan_and_argmax_the_first, running_sums_go_both_ways)
