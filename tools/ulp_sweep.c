/* ulp_sweep.c -- where the mathematical functions are looked at, and how far a
 * result is from the truth.
 *
 * Of 2^n samples of a function of one operand, half are bits of floats in equal
 * steps, each with random bits below the step, so that every binade, both signs,
 * subnormals, infinities and NaNs are seen; half lie where the function is
 * interesting. All 2^32 are every float once.
 *
 * pow takes turns: bases and exponents where results are finite; any bits;
 * any positive base, and a base near 1, with exponents up to where the result
 * leaves the finite numbers, so that every rounding error of the logarithm is
 * multiplied by as much as it can be.
 *
 * The truth is libm in long double. That is slow, so a result is first compared
 * with libm in double, and left there when it is nearer to that than the worst so far.
 */
#include "ulp.h"

#include <math.h>
#include <string.h>

static double
sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static long double
exact_sigmoid(long double x)
{
    return 1 / (1 + expl(-x));
}

static double
rsqrt(double x)
{
    return 1 / sqrt(x);
}

static long double
exact_rsqrt(long double x)
{
    return 1 / sqrtl(x);
}

static const struct ulp_function functions[] = {
    {"exp",     krs_exp_at,     exp,     expl,          -104,  89   },
    {"exp2",    krs_exp2_at,    exp2,    exp2l,         -151,  129  },
    {"log",     krs_log_at,     log,     logl,          0.25f, 4    },
    {"log2",    krs_log2_at,    log2,    log2l,         0.25f, 4    },
    {"tanh",    krs_tanh_at,    tanh,    tanhl,         -9,    9    },
    {"erf",     krs_erf_at,     erf,     erfl,          -4,    4    },
    {"erfc",    krs_erfc_at,    erfc,    erfcl,         -4,    10.1f},
    {"sin",     krs_sin_at,     sin,     sinl,          -1e5f, 1e5f },
    {"cos",     krs_cos_at,     cos,     cosl,          -1e5f, 1e5f },
    {"sigmoid", krs_sigmoid_at, sigmoid, exact_sigmoid, -104,  89   },
    {"rsqrt",   krs_rsqrt_at,   rsqrt,   exact_rsqrt,   0,     4    },
    {"pow",     NULL,           NULL,    NULL,          0,     8    },
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

const struct ulp_function *
ulp_function_named(const char *name)
{
    for (int i = 0; i < FUNCTIONS; i++)
        if (!strcmp(functions[i].name, name))
            return &functions[i];
    return NULL;
}

/* ---- samples ---- */

static float
float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* evenly at random in [low, high) */
static float
between(float low, float high, uint32_t stream, uint64_t i)
{
    return low + krs_random_uniform_value(1, 0, stream, i) * (high - low);
}

/* number i of 2^power floats that lie in equal steps of their bits */
static float
in_steps(int power, uint64_t i)
{
    uint32_t below = power < 32 ? krs_random_u32(1, 0, 2, i) >> power : 0;
    return float_of((uint32_t)(i << (32 - power)) | below);
}

/* an exponent for which x^y is finite and not 0, most often */
static float
exponent_for(float x, uint64_t i)
{
    enum { LOG2_OF_ALL = 151 };
    return between(-1, 1, 3, i) * LOG2_OF_ALL / fabsf(log2f(x));
}

static void
draw_pow(int power, uint64_t i, float *x, float *y)
{
    enum { EXPONENTS = 40 };
    switch (i % 4) {
    case 0:
        *x = between(0, 8, 1, i);
        *y = between(-EXPONENTS, EXPONENTS, 3, i);
        break;
    case 1:
        *x = in_steps(power - 2, i / 4);
        *y = float_of(krs_random_u32(1, 0, 4, i));
        break;
    case 2:
        *x = fabsf(in_steps(power - 2, i / 4));
        *y = exponent_for(*x, i);
        break;
    default: *x = between(0.5f, 1.5f, 1, i); *y = exponent_for(*x, i);
    }
}

void
ulp_draw(const struct ulp_function *f, int power, uint64_t first,
         const struct ulp_samples *s)
{
    for (size_t k = 0; k < ULP_BATCH; k++) {
        uint64_t i = first + k;
        if (!f->build)
            draw_pow(power, i, &s->x[k], &s->y[k]);
        else if (power == ULP_MOST)
            s->x[k] = in_steps(power, i);
        else if (i % 2)
            s->x[k] = in_steps(power - 1, i / 2);
        else
            s->x[k] = between(f->low, f->high, 1, i);
    }
}

/* Exponents of pow in between: a grid of quarters. */
krs_status
ulp_draw_halves(const struct ulp_samples *s, krs_error *err)
{
    enum { HALVES = 1 << 16, ROUND = 2 * HALVES };
    static const krs_dtype types[] = {KRS_F16, KRS_BF16};
    static uint16_t bits[HALVES];
    for (int i = 0; i < HALVES; i++)
        bits[i] = (uint16_t)i;
    for (size_t k = 0; k < ULP_BATCH; k += HALVES)
        KRS_TRY(krs_convert(KRS_F32, s->x + k, types[k / HALVES % 2], bits,
                            HALVES, err));
    for (size_t k = 0; k < ULP_BATCH; k++)
        s->y[k] = (float)(k / ROUND) - 3 + (float)(k % 7) / 4;
    return KRS_OK;
}

/* ---- distances ---- */

/* Distance in units in the last place that exact has as f32, infinite where
 * one is NaN and the other not, or a zero has the wrong sign. What rounds to
 * infinity counts as 2^128. */
static double
distance(float got, long double exact)
{
    long double limit = ldexpl(1, 128), value = (long double)got;
    int exponent;
    if (isnan(got) || isnan(exact))
        return isnan(got) && isnan(exact) ? 0 : (double)INFINITY;
    if (exact == 0)
        return got == 0 && !signbit(got) == !signbit(exact) ? 0
                                                            : (double)INFINITY;
    if (isinf(got))
        value = copysignl(limit, value);
    if (fabsl(exact) > limit)
        exact = copysignl(limit, exact);
    frexpl(exact, &exponent); /* exact = m 2^exponent, 0.5 <= m < 1 */
    int last = exponent > 128 ? 104 : exponent - 24;
    return (double)fabsl(ldexpl(value - exact, last < -149 ? 149 : -last));
}

/* An upper bound of the distance, given a value good to 2^-50: the last place
 * has the weight of the exponent's bits. Infinite outside normal numbers. */
static double
distance_at_most(float got, double value)
{
    enum { EXPONENT_SHIFT = 52, EXPONENT_OF_1 = 1023 };
    uint64_t bits;
    double magnitude = fabs(value), place;
    if (!(magnitude >= 0x1p-126 && magnitude < 0x1p127))
        return (double)INFINITY;
    memcpy(&bits, &magnitude, sizeof bits);
    bits = bits >> EXPONENT_SHIFT << EXPONENT_SHIFT;
    memcpy(&place, &bits, sizeof place);
    return fabs((double)got - value) / place * 0x1p23 + 0x1p-10;
}

void
ulp_find_worst(const struct ulp_function *f, const struct ulp_samples *s,
               struct ulp_worst *worst)
{
    for (size_t i = 0; i < ULP_BATCH; i++) {
        float x = s->x[i], y = s->y[i], got = s->out[i];
        double value =
            f->build ? f->value((double)x) : pow((double)x, (double)y);
        if (distance_at_most(got, value) <= worst->ulp)
            continue;
        long double exact = f->build ? f->exact((long double)x)
                                     : powl((long double)x, (long double)y);
        double ulp = distance(got, exact);
        if (ulp > worst->ulp)
            *worst = (struct ulp_worst){ulp, x, y, got, (double)exact};
    }
}
