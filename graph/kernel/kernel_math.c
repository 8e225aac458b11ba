/* kernel_math.c -- exp, log, sin and their kin as polynomials in the kernel
 * language.
 *
 * In: f32 values of a kernel being built, scalars or vectors. Out: one value
 * each, made of rows of scalar.def only, so that every backend computes the
 * same formula and no library call decides the bits. No branches: special
 * values come in by select. Not-a-number, infinities, zeros and subnormals
 * follow C11 annex F.
 *
 * Every polynomial was fitted by the Remez exchange at 40 digits, weighted for
 * relative error of the function's value (that of exp2 by least squares at 400
 * Chebyshev points), the coefficients rounded to f32; the fitting error stands
 * above each. Largest errors of 2^24 samples and more (kersey ops --ulp), and of
 * test_kernel_math.c, in units in the last place with FMA and without:
 *
 *     exp 1.02 0.99     exp2 0.87 1.07    log 0.80 0.80      log2 0.79 0.80
 *     log1p 1.29 1.29   tanh 1.30 1.30    sigmoid 1.39 1.48  rsqrt 1.48 1.48
 *     erf 1.08 1.36     erfc 1.91 3.33    sin 1.03 1.01      cos 0.98 1.02
 *     pow 1.13 1.11     exp_fall 0.99 0.98
 *
 * Nothing needs mad to be exact: where an error term must be, products are
 * split into halves of 12 bits (Dekker 1971).
 */
#include "kb.h"

#include <math.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* Shorthands: kb is always the builder in scope. */
#define F(value)        krsi_kb_f32(kb, value)
#define I(value)        krsi_kb_i32(kb, (int32_t)(value))
#define L(value)        krsi_kb_i64(kb, (int64_t)(value))
#define ADD(a, b)       krsi_kb_add(kb, a, b)
#define SUB(a, b)       krsi_kb_sub(kb, a, b)
#define MUL(a, b)       krsi_kb_mul(kb, a, b)
#define DIV(a, b)       krsi_kb_div(kb, a, b)
#define MAD(a, b, c)    krsi_kb_mad(kb, a, b, c)
#define NEG(a)          krsi_kb_neg(kb, a)
#define ABS(a)          krsi_kb_abs(kb, a)
#define MIN(a, b)       krsi_kb_min(kb, a, b)
#define MAX(a, b)       krsi_kb_max(kb, a, b)
#define LT(a, b)        krsi_kb_lt(kb, a, b)
#define EQ(a, b)        krsi_kb_eq(kb, a, b)
#define NE(a, b)        krsi_kb_ne(kb, a, b)
#define AND(a, b)       krsi_kb_and(kb, a, b)
#define OR(a, b)        krsi_kb_or(kb, a, b)
#define SHL(a, b)       krsi_kb_shl(kb, a, b)
#define SHR(a, b)       krsi_kb_shr(kb, a, b)
#define SAR(a, b)       krsi_kb_sar(kb, a, b)
#define ROUND(a)        krsi_kb_round(kb, a)
#define FLOOR(a)        krsi_kb_floor(kb, a)
#define SELECT(c, a, b) krsi_kb_select(kb, c, a, b)
#define TO(type, a)     krsi_kb_convert(kb, KRS_##type, a)
#define BITS(type, a)   krsi_kb_bitcast(kb, KRS_##type, a)

/* A value as the unevaluated sum hi + lo, |lo| at most an ulp of hi. */
struct pair {
    krsi_kv hi, lo;
};

/* c[0] + c[1] x + ... by Horner's rule */
static krsi_kv
polynomial(krsi_kb *kb, krsi_kv x, const float *c, int count)
{
    krsi_kv sum = F(c[count - 1]);
    for (int i = count - 2; i >= 0; i--)
        sum = MAD(sum, x, F(c[i]));
    return sum;
}

/* The upper 12 bits of the significand. */
static krsi_kv
upper_half(krsi_kb *kb, krsi_kv a)
{
    return BITS(F32, AND(BITS(I32, a), I(0xFFFFF000)));
}

/* a b = hi + lo exactly, barring underflow (Dekker) */
static struct pair
product(krsi_kb *kb, krsi_kv a, krsi_kv b)
{
    krsi_kv p = MUL(a, b);
    krsi_kv ah = upper_half(kb, a), bh = upper_half(kb, b);
    krsi_kv al = SUB(a, ah), bl = SUB(b, bh);
    krsi_kv e = ADD(SUB(MUL(ah, bh), p), MUL(ah, bl));
    return (struct pair){p, ADD(ADD(e, MUL(al, bh)), MUL(al, bl))};
}

/* a + b = hi + lo exactly, for |a| >= |b| or a = 0 (Dekker) */
static struct pair
ordered_sum(krsi_kb *kb, krsi_kv a, krsi_kv b)
{
    krsi_kv s = ADD(a, b);
    return (struct pair){s, SUB(b, SUB(s, a))};
}

/* p 2^n for an i32 n, |n| <= 252, rounded once: the first factor is exact. */
static krsi_kv
scale(krsi_kb *kb, krsi_kv p, krsi_kv n)
{
    krsi_kv half = SAR(n, I(1));
    krsi_kv rest = SUB(n, half);
    krsi_kv first = BITS(F32, SHL(ADD(half, I(127)), I(23)));
    krsi_kv second = BITS(F32, SHL(ADD(rest, I(127)), I(23)));
    return MUL(MUL(p, first), second);
}

/* e^r - 1 for |r| <= 0.3475, as r + r^2 P(r); fitting error 2^-28.2 */
static krsi_kv
expm1_core(krsi_kb *kb, krsi_kv r)
{
    static const float c[] = {0x1.fffffcp-2f, 0x1.55548ap-3f, 0x1.555850p-5f,
                              0x1.123ec0p-7f, 0x1.6ac2dap-10f};
    return MAD(MUL(r, r), polynomial(kb, r, c, COUNT(c)), r);
}

/* ln 2 = LN2_HIGH + LN2_LOW; the first has 9 bits, so that its product with
 * an exponent is exact (Cody and Waite 1980) */
#define LN2_HIGH 0x1.63p-1f
#define LN2_LOW  -0x1.bd0106p-13f
#define LOG2_E   0x1.715476p+0f

/* e^(hi + lo) = (1 + t) 2^n; a lo of none is zero */
static krsi_kv
exp_parts(krsi_kb *kb, krsi_kv hi, krsi_kv lo, krsi_kv *n)
{
    krsi_kv x = lo.ref ? ADD(hi, lo) : hi;
    krsi_kv k = ROUND(MUL(x, F(LOG2_E)));
    krsi_kv r = MAD(k, F(-LN2_HIGH), hi);
    if (lo.ref)
        r = ADD(r, MAD(k, F(-(LN2_LOW)), lo));
    else
        r = MAD(k, F(-(LN2_LOW)), r);
    *n = TO(I32, k);
    return expm1_core(kb, r);
}

/* e^-104 < 2^-150 rounds to 0, e^89 is infinite. */
krsi_kv
krsi_kmath_exp(krsi_kb *kb, krsi_kv a)
{
    krsi_kv x = MIN(MAX(a, F(-104)), F(89)), n;
    krsi_kv t = exp_parts(kb, x, KRSI_KV_NONE, &n);
    return scale(kb, ADD(F(1), t), n);
}

/* 2^n by a shift: the sum with 1.5 2^23 + 127 rounds to n and leaves n + 127 in
 * the lowest bits, which are the exponent of 2^n. Below ln 2^-126 that is no
 * exponent, and the result 0. */
krsi_kv
krsi_kmath_exp_fall(krsi_kb *kb, krsi_kv a)
{
    krsi_kv magic = F(0x1.8p23f + 127);
    krsi_kv sum = MAD(a, F(LOG2_E), magic);
    krsi_kv k = SUB(sum, magic);
    krsi_kv r = MAD(k, F(-(LN2_LOW)), MAD(k, F(-LN2_HIGH), a));
    krsi_kv power = BITS(F32, SHL(BITS(I32, sum), I(23)));
    krsi_kv e = MUL(ADD(F(1), expm1_core(kb, r)), power);
    return SELECT(LT(a, F(-0x1.5d589ep+6f)), F(0), e);
}

/* 2^(k + r) for the nearest integer k; 2^r - 1 = r P(r), fitting error 2^-28.0.
 * 2^-151 rounds to 0, 2^129 is infinite; 2^k is exact. */
krsi_kv
krsi_kmath_exp2(krsi_kb *kb, krsi_kv a)
{
    static const float c[] = {0x1.62e430p-1f, 0x1.ebfbd8p-3f,  0x1.c6af78p-5f,
                              0x1.3b30b0p-7f, 0x1.5f0a66p-10f, 0x1.3f906cp-13f};
    krsi_kv x = MIN(MAX(a, F(-151)), F(129));
    krsi_kv k = ROUND(x), r = SUB(x, k);
    krsi_kv p = MAD(r, polynomial(kb, r, c, COUNT(c)), F(1));
    return scale(kb, p, TO(I32, k));
}

/* f^3 P(f), what ln(1 + f) is beyond f - f^2/2, for 1 + f in [sqrt(1/2),
 * sqrt(2)]; fitting error 2^-29.9 */
static krsi_kv
log_rest(krsi_kb *kb, krsi_kv f, krsi_kv square)
{
    static const float c[] = {0x1.555548p-2f,  -0x1.00002ap-2f, 0x1.99a490p-3f,
                              -0x1.554da6p-3f, 0x1.233052p-3f,  -0x1.fdf93ap-4f,
                              0x1.e909dep-4f,  -0x1.d4bf7ep-4f, 0x1.04ca68p-4f};
    return MUL(MUL(f, square), polynomial(kb, f, c, COUNT(c)));
}

/* ln(1 + f) + k ln 2 for 1 + f in [sqrt(1/2), sqrt(2)] */
static krsi_kv
log_core(krsi_kb *kb, krsi_kv f, krsi_kv k)
{
    krsi_kv square = MUL(f, f);
    krsi_kv r = log_rest(kb, f, square);
    r = MAD(k, F(LN2_LOW), r);
    r = MAD(F(-0.5f), square, r);
    return MAD(k, F(LN2_HIGH), ADD(f, r));
}

/* x = m 2^k with m in [sqrt(1/2), sqrt(2)), for normal x > 0; k as i32 */
static krsi_kv
significand(krsi_kb *kb, krsi_kv x, krsi_kv *k)
{
    krsi_kv bits = BITS(I32, x);
    *k = SAR(SUB(bits, I(0x3F3504F3)), I(23));
    return BITS(F32, SUB(bits, SHL(*k, I(23))));
}

/* As significand, for every finite x > 0. */
static krsi_kv
any_significand(krsi_kb *kb, krsi_kv x, krsi_kv *k)
{
    krsi_kv tiny = LT(x, F(0x1p-126f));
    krsi_kv m = significand(kb, SELECT(tiny, MUL(x, F(0x1p23f)), x), k);
    *k = SELECT(tiny, SUB(*k, I(23)), *k);
    return m;
}

/* r, or what a logarithm is of infinity, NaN, zeros and negative numbers */
static krsi_kv
log_or_special(krsi_kb *kb, krsi_kv a, krsi_kv r)
{
    r = SELECT(LT(a, F(INFINITY)), r, a);
    r = SELECT(EQ(a, F(0)), F(-INFINITY), r);
    return SELECT(LT(a, F(0)), F(NAN), r);
}

krsi_kv
krsi_kmath_log(krsi_kb *kb, krsi_kv a)
{
    krsi_kv k, m = any_significand(kb, a, &k);
    return log_or_special(kb, a, log_core(kb, SUB(m, F(1)), TO(F32, k)));
}

/* k + log2(e) ln(1 + f): ln and log2(e) each as a part of 12 bits or fewer and
 * a rest, so that the product of the first parts is exact, and log2(2^k) too. */
krsi_kv
krsi_kmath_log2(krsi_kb *kb, krsi_kv a)
{
    const float log2e_high = 0x1.714p+0f, log2e_low = 0x1.47652cp-12f;
    krsi_kv k, m = any_significand(kb, a, &k);
    krsi_kv f = SUB(m, F(1)), square = MUL(f, f), half = MUL(square, F(0.5f));
    krsi_kv high = upper_half(kb, SUB(f, half));
    krsi_kv low = SUB(SUB(f, high), half);
    low = ADD(low, log_rest(kb, f, square));
    struct pair sum = ordered_sum(kb, TO(F32, k), MUL(high, F(log2e_high)));
    krsi_kv rest = MAD(ADD(low, high), F(log2e_low), sum.lo);
    rest = MAD(low, F(log2e_high), rest);
    return log_or_special(kb, a, ADD(sum.hi, rest));
}

/* With u = 1 + a = m 2^k, f = (1 + a) 2^-k - 1 is taken from a itself: one
 * rounding, so nothing that u lost is missing. */
krsi_kv
krsi_kmath_log1p(krsi_kb *kb, krsi_kv a)
{
    krsi_kv k, u = ADD(F(1), a);
    krsi_kv m = significand(kb, u, &k);
    krsi_kv s = BITS(F32, SUB(I(0x3F800000), SHL(k, I(23)))); /* 2^-k */
    krsi_kv f =
        SELECT(LT(a, F(0x1p24f)), MAD(a, s, SUB(s, F(1))), SUB(m, F(1)));
    krsi_kv r = log_core(kb, f, TO(F32, k));
    r = SELECT(LT(ABS(a), F(0x1p-24f)), a, r);
    r = SELECT(LT(a, F(INFINITY)), r, a);
    r = SELECT(EQ(a, F(-1)), F(-INFINITY), r);
    return SELECT(LT(a, F(-1)), F(NAN), r);
}

/* |a| < 0.625: a + a^3 P(a^2), fitting error 2^-27.7; else
 * 1 - 2 / (e^2|a| + 1). */
krsi_kv
krsi_kmath_tanh(krsi_kb *kb, krsi_kv a)
{
    static const float c[] = {-0x1.555532p-2f, 0x1.1106f6p-3f, -0x1.b835a4p-5f,
                              0x1.51f8d0p-6f, -0x1.750cfcp-8f};
    krsi_kv x = ABS(a), square = MUL(a, a);
    krsi_kv small = MAD(MUL(x, square), polynomial(kb, square, c, COUNT(c)), x);
    krsi_kv e = krsi_kmath_exp(kb, ADD(x, x));
    krsi_kv large = SUB(F(1), DIV(F(2), ADD(e, F(1))));
    return krsi_kb_copysign(kb, SELECT(LT(x, F(0.625f)), small, large), a);
}

/* With e = e^-|a|, e / (1 + e) for a < 0 and 1 / (1 + e) else: no overflow,
 * exact tails. The quotient q is corrected for what e and 1 + e lost; its
 * derivative needs 1 / (1 + e), which is 1 - q or q. */
krsi_kv
krsi_kmath_sigmoid(krsi_kb *kb, krsi_kv a)
{
    krsi_kv x = MIN(ABS(a), F(104)), n;
    struct pair e =
        ordered_sum(kb, F(1), exp_parts(kb, NEG(x), KRSI_KV_NONE, &n));
    e.hi = scale(kb, e.hi, n);
    e.lo = scale(kb, e.lo, n);
    struct pair sum = ordered_sum(kb, F(1), e.hi);
    krsi_kv negative = LT(a, F(0));
    krsi_kv q = DIV(SELECT(negative, e.hi, F(1)), sum.hi);
    krsi_kv rest = SUB(SELECT(negative, e.lo, F(0)), MUL(q, ADD(sum.lo, e.lo)));
    return MAD(rest, SELECT(negative, SUB(F(1), q), q), q);
}

/* P(a^2) of erf a = a + a P(a^2), |a| < 1; fitting error 2^-29.4 */
static krsi_kv
erf_slope(krsi_kb *kb, krsi_kv a)
{
    static const float c[] = {
        0x1.06eba8p-3f, -0x1.81273ep-2f,  0x1.ce2ce6p-4f, -0x1.b7f71ap-6f,
        0x1.53f224p-8f, -0x1.a3515ep-11f, 0x1.4771fcp-14f};
    return polynomial(kb, MUL(a, a), c, COUNT(c));
}

/* |a| >= 1: 1 - e^-Q(|a|) with Q = -ln erfc; fitting error 2^-35; erf 4 rounds
 * to 1. */
krsi_kv
krsi_kmath_erf(krsi_kb *kb, krsi_kv a)
{
    static const float c[] = {-0x1.8b3e8ap-13f, 0x1.212c2cp+0f,  0x1.4434f6p-1f,
                              0x1.bc189ap-4f,   -0x1.9d0b56p-6f, 0x1.139870p-8f,
                              -0x1.ceea34p-12f, 0x1.6c0736p-16f};
    krsi_kv x = MIN(ABS(a), F(4));
    krsi_kv q = polynomial(kb, x, c, COUNT(c));
    krsi_kv large = SUB(F(1), krsi_kmath_exp(kb, NEG(q)));
    krsi_kv r = SELECT(LT(x, F(1)), MAD(x, erf_slope(kb, x), x), large);
    return krsi_kb_copysign(kb, r, a);
}

/* |a| < 0.8125: 1 - erf a, the difference carried as a pair. Else, with x = |a|,
 * erfc x = e^(-x^2) g(x), where (x + 2) g(x) is a polynomial in
 * q = (x - 2) / (x + 2), fitting error 2^-26.8; x^2 is split exactly as
 * z^2 + (x - z)(x + z) with 12 bits in z, quotient and products carry their
 * error terms, so the tail keeps its relative accuracy down to the
 * subnormals; erfc 10.5 is below all of them. */
krsi_kv
krsi_kmath_erfc(krsi_kb *kb, krsi_kv a)
{
    static const float c[] = {
        -0x1.5fd384p-1f, 0x1.1e2de4p-2f, -0x1.2a8eeep-5f,  -0x1.6055c6p-6f,
        0x1.aada2cp-8f,  0x1.8b586cp-9f, -0x1.f123bep-11f, -0x1.79f14ap-12f};
    const float c0 = 0x1.058672p+0f, c0_low = -0x1.2095e6p-26f;
    krsi_kv x = MIN(ABS(a), F(10.5f));

    krsi_kv d = ADD(x, F(2));
    krsi_kv of_two = SUB(d, x); /* Knuth's sum: what d lost */
    krsi_kv d_low = ADD(SUB(x, SUB(d, of_two)), SUB(F(2), of_two));
    krsi_kv u = DIV(F(1), d); /* u + u_low = 1 / (x + 2) */
    krsi_kv u_low = MUL(u, SUB(MAD(NEG(u), d, F(1)), MUL(u, d_low)));
    krsi_kv q = MAD(u_low, F(-4), MAD(u, F(-4), F(1)));
    struct pair p = ordered_sum(
        kb, F(c0), MAD(polynomial(kb, q, c, COUNT(c)), q, F(c0_low)));
    krsi_kv g = MUL(u, p.hi);
    krsi_kv g_low = MAD(u_low, p.hi, MAD(u, p.hi, NEG(g)));
    g_low = MAD(u, p.lo, g_low);

    krsi_kv z = upper_half(kb, x), n;
    krsi_kv t = exp_parts(kb, NEG(MUL(z, z)), MUL(SUB(z, x), ADD(z, x)), &n);
    struct pair e = ordered_sum(kb, F(1), t);
    krsi_kv tail = MAD(g, e.hi, MAD(g, e.lo, MUL(g_low, e.hi)));
    tail = scale(kb, tail, n);

    struct pair one = ordered_sum(kb, F(1), NEG(a));
    krsi_kv small = MAD(NEG(a), erf_slope(kb, a), one.lo);
    small = ADD(one.hi, small);
    krsi_kv r = SELECT(LT(a, F(0)), SUB(F(2), tail), tail);
    return SELECT(LT(x, F(0.8125f)), small, r);
}

/* |a| = q pi/2 + r, |r| <= pi/4, for every finite a: Payne and Hanek 1983 in
 * 64-bit integers. a = m 2^e with a 24-bit m; of 2/pi the 96 bits that matter
 * (those before give multiples of 4) times m are the quotient modulo 4 in
 * units of 2^-62. Out: q, and r as a pair. */
static struct pair
reduce_angle(krsi_kb *kb, krsi_kv x, krsi_kv *out_q)
{
    /* 32 zero bits, then the bits of 2/pi, in overlapping 64-bit words */
    static const uint64_t words[] = {
        UINT64_C(0x00000000A2F9836E), UINT64_C(0xA2F9836E4E441529),
        UINT64_C(0x4E441529FC2757D1), UINT64_C(0xFC2757D1F534DDC0),
        UINT64_C(0xF534DDC0DB629599), UINT64_C(0xDB6295993C439041),
        UINT64_C(0x3C439041FE5163AB)};
    krsi_kv small = LT(x, F(0x1.921fb4p-1f)); /* below pi/4 */
    krsi_kv bits = BITS(I32, x);
    krsi_kv m = TO(I64, OR(AND(bits, I(0x7FFFFF)), I(0x800000)));
    krsi_kv first = MAX(SUB(SHR(bits, I(23)), I(120)), I(0));
    krsi_kv word = SHR(first, I(5));
    krsi_kv shift = TO(I64, AND(first, I(31)));
    krsi_kv w0 = L(words[0]), w1 = L(words[2]);
    for (int j = 1; j <= 4; j++) {
        krsi_kv here = EQ(word, I(j));
        w0 = SELECT(here, L(words[j]), w0);
        w1 = SELECT(here, L(words[j + 2]), w1);
    }
    krsi_kv high = OR(SHL(w0, shift), SHR(w1, SUB(L(64), shift)));
    krsi_kv low = SHR(SHL(w1, shift), L(32));
    krsi_kv turns = ADD(MUL(m, high), SHR(MUL(m, low), L(32)));
    krsi_kv q = SAR(ADD(turns, L(INT64_C(1) << 61)), L(62));
    krsi_kv rest = SUB(turns, SHL(q, L(62)));
    krsi_kv hi = TO(F32, rest);
    krsi_kv lo = TO(F32, SUB(rest, TO(I64, hi)));
    const float half_pi = 0x1.921fb6p+0f, half_pi_low = -0x1.777a5cp-25f;
    hi = MUL(hi, F(0x1p-62f));
    lo = MUL(lo, F(0x1p-62f));
    struct pair r = product(kb, hi, F(half_pi));
    r.lo = ADD(r.lo, MAD(hi, F(half_pi_low), MUL(lo, F(half_pi))));
    *out_q = TO(I32, SELECT(small, L(0), q));
    return (struct pair){SELECT(small, x, r.hi), SELECT(small, F(0), r.lo)};
}

/* sin r + r_low cos r; fitting error 2^-32.5 */
static krsi_kv
sin_core(krsi_kb *kb, struct pair r, krsi_kv square)
{
    static const float c[] = {-0x1.555556p-3f, 0x1.111174p-7f, -0x1.a05954p-13f,
                              0x1.7c2c4cp-19f};
    krsi_kv cube = MUL(r.hi, square);
    return ADD(r.hi, MAD(cube, polynomial(kb, square, c, COUNT(c)), r.lo));
}

/* cos r - r_low sin r; fitting error 2^-33 */
static krsi_kv
cos_core(krsi_kb *kb, struct pair r, krsi_kv square)
{
    static const float c[] = {0x1.55554ap-5f, -0x1.6c0c28p-10f,
                              0x1.99e80cp-16f};
    krsi_kv half = MUL(square, F(0.5f));
    krsi_kv w = SUB(F(1), half);
    krsi_kv fourth = MUL(square, square);
    krsi_kv rest =
        MAD(fourth, polynomial(kb, square, c, COUNT(c)), NEG(MUL(r.hi, r.lo)));
    return ADD(w, ADD(SUB(SUB(F(1), w), half), rest));
}

/* sin (x + quarter pi/2) for x >= 0 */
static krsi_kv
sine_of(krsi_kb *kb, krsi_kv x, int quarter)
{
    krsi_kv q;
    struct pair r = reduce_angle(kb, x, &q);
    if (quarter)
        q = ADD(q, I(quarter));
    krsi_kv square = MUL(r.hi, r.hi);
    krsi_kv swap = NE(AND(q, I(1)), I(0));
    krsi_kv value =
        SELECT(swap, cos_core(kb, r, square), sin_core(kb, r, square));
    value = SELECT(NE(AND(q, I(2)), I(0)), NEG(value), value);
    return SELECT(LT(x, F(INFINITY)), value, F(NAN));
}

krsi_kv
krsi_kmath_sin(krsi_kb *kb, krsi_kv a)
{
    krsi_kv s = sine_of(kb, ABS(a), 0);
    s = SELECT(LT(a, F(0)), NEG(s), s);
    return SELECT(LT(ABS(a), F(0x1p-12f)), a, s);
}

krsi_kv
krsi_kmath_cos(krsi_kb *kb, krsi_kv a)
{
    return sine_of(kb, ABS(a), 1);
}

krsi_kv
krsi_kmath_rsqrt(krsi_kb *kb, krsi_kv a)
{
    return DIV(F(1), krsi_kb_sqrt(kb, a));
}

/* log2 x as a pair, for finite x > 0: x = m 2^k, s = (m - 1) / (m + 1),
 * ln m = 2 s + s^3 (2/3 + s^2 T(s^2)), fitting error 2^-43; every term down to
 * 2^-35 of the result is carried. */
static struct pair
log2_pair(krsi_kb *kb, krsi_kv x)
{
    static const float c[] = {0x1.999998p-2f, 0x1.2493b6p-2f, 0x1.c63daep-3f,
                              0x1.9082d2p-3f};
    const float third2 = 0x1.555556p-1f, third2_low = -0x1.555556p-26f;
    krsi_kv k, m = any_significand(kb, x, &k);
    krsi_kv f = SUB(m, F(1));
    struct pair d = ordered_sum(kb, F(2), f);
    krsi_kv s = DIV(f, d.hi);
    struct pair back = product(kb, s, d.hi);
    krsi_kv left = SUB(SUB(SUB(f, back.hi), back.lo), MUL(s, d.lo));
    krsi_kv s_low = DIV(left, d.hi);

    struct pair z = product(kb, s, s);
    z.lo = ADD(z.lo, MUL(MUL(F(2), s), s_low));
    struct pair t = ordered_sum(kb, F(third2),
                                MUL(z.hi, polynomial(kb, z.hi, c, COUNT(c))));
    t.lo = ADD(t.lo, F(third2_low));
    struct pair cube = product(kb, s, z.hi);
    cube.lo = ADD(cube.lo, ADD(MUL(s, z.lo), MUL(s_low, z.hi)));
    struct pair v = product(kb, cube.hi, t.hi);
    v.lo = ADD(v.lo, ADD(MUL(cube.hi, t.lo), MUL(cube.lo, t.hi)));

    struct pair ln = ordered_sum(kb, ADD(s, s), v.hi);
    ln.lo = ADD(ln.lo, ADD(ADD(s_low, s_low), v.lo));
    const float log2e_low = 0x1.4ae0c0p-26f;
    struct pair g = product(kb, ln.hi, F(LOG2_E));
    g.lo = ADD(g.lo, ADD(MUL(ln.hi, F(log2e_low)), MUL(ln.lo, F(LOG2_E))));
    struct pair sum = ordered_sum(kb, TO(F32, k), g.hi);
    sum.lo = ADD(sum.lo, g.lo);
    return sum;
}

/* 2^(b log2 |a|), the exponent as a pair; signs and special values by the
 * table of C11 F.10.4.4. */
krsi_kv
krsi_kmath_pow(krsi_kb *kb, krsi_kv a, krsi_kv b)
{
    krsi_kv x = ABS(a);
    struct pair log2 = log2_pair(kb, x);
    krsi_kv infinite = EQ(x, F(INFINITY)), zero = EQ(x, F(0));
    log2.hi = SELECT(infinite, F(INFINITY), log2.hi);
    log2.hi = SELECT(zero, F(-INFINITY), log2.hi);
    struct pair e = product(kb, b, log2.hi);
    e.lo = ADD(e.lo, MUL(b, log2.lo));
    e.lo = SELECT(LT(ABS(e.hi), F(200)), e.lo, F(0));
    e.hi = MIN(MAX(e.hi, F(-200)), F(200));
    krsi_kv n = ROUND(e.hi);
    const float ln2 = 0x1.62e43p-1f;
    krsi_kv r = MUL(ADD(SUB(e.hi, n), e.lo), F(ln2));
    krsi_kv p = scale(kb, ADD(F(1), expm1_core(kb, r)), TO(I32, n));

    krsi_kv whole = EQ(FLOOR(b), b);
    krsi_kv half = MUL(b, F(0.5f));
    krsi_kv odd = AND(whole, NE(FLOOR(half), half));
    krsi_kv unit = OR(EQ(x, F(1)), EQ(b, F(0)));
    p = SELECT(unit, F(1), p);
    p = SELECT(odd, krsi_kb_copysign(kb, p, a), p);
    krsi_kv negative = AND(LT(a, F(0)), LT(x, F(INFINITY)));
    krsi_kv bad = AND(negative, krsi_kb_not(kb, whole));
    bad = OR(bad, OR(NE(a, a), NE(b, b)));
    krsi_kv one = OR(EQ(a, F(1)), EQ(b, F(0)));
    return SELECT(one, F(1), SELECT(bad, F(NAN), p));
}

bool
krs_kmath_info_at(int i, krs_kmath_info *out)
{
    static const krs_kmath_info rows[] = {
#define ROW(NAME, name, arity, ulp, plain_ulp, text) \
    {#name, text, arity, ulp, plain_ulp},
        KRSI_KMATH_LIST(ROW)
#undef ROW
    };
    if (i < 0 || i >= COUNT(rows))
        return false;
    *out = rows[i];
    return true;
}
