/* test_kernel_math.c -- the polynomials of the kernel language against libm in
 * double precision: largest error in units in the last place, special values.
 *
 * The reference is rounded once from a double that is good to about 2^-52, so
 * an error measured here is off by less than 0.001 units. Samples come from
 * Philox with seed 1; KRS_TEST_VERBOSE=1 prints the maxima.
 */
#include "graph/kernel/kb.h"
#include "suite.h"

#include <krs/random.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HALVES = 1 << 16, BATCH = 1 << 14 };

/* f32 inputs of a function; under the sanitizers few, numbers are the release's */
static int
samples(void)
{
    return getenv("KERSEY_SLOW") ? 1 << 16 : 1 << 20;
}

typedef krsi_kv (*emit1)(krsi_kb *, krsi_kv);

static double
sigmoid_of(double x)
{
    return 1 / (1 + exp(-x));
}

static double
rsqrt_of(double x)
{
    return 1 / sqrt(x);
}

/* exp_fall is for numbers up to 88 only: here, for none above 0 */
static krsi_kv
fall(krsi_kb *kb, krsi_kv x)
{
    return krsi_kmath_exp_fall(kb, krsi_kb_neg(kb, krsi_kb_abs(kb, x)));
}

static double
fall_of(double x)
{
    return -fabs(x) < -0x1.5d589ep+6 ? 0 : exp(-fabs(x));
}

/* Function, reference, and the range that gets half of the samples. */
static const struct function {
    const char *name;
    emit1 emit;
    double (*reference)(double);
    float low, high;
} functions[] = {
    {"exp",      krsi_kmath_exp,     exp,        -104,  89   },
    {"exp_fall", fall,               fall_of,    -88,   88   },
    {"exp2",     krsi_kmath_exp2,    exp2,       -151,  129  },
    {"log",      krsi_kmath_log,     log,        0.25f, 4    },
    {"log2",     krsi_kmath_log2,    log2,       0.25f, 4    },
    {"log1p",    krsi_kmath_log1p,   log1p,      -1,    3    },
    {"tanh",     krsi_kmath_tanh,    tanh,       -9,    9    },
    {"erf",      krsi_kmath_erf,     erf,        -4,    4    },
    {"erfc",     krsi_kmath_erfc,    erfc,       -4,    10.1f},
    {"sin",      krsi_kmath_sin,     sin,        -1e5f, 1e5f },
    {"cos",      krsi_kmath_cos,     cos,        -1e5f, 1e5f },
    {"sigmoid",  krsi_kmath_sigmoid, sigmoid_of, -104,  89   },
    {"rsqrt",    krsi_kmath_rsqrt,   rsqrt_of,   0,     4    }
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* The stated largest error of a function. */
static double
bound_of(const char *name, bool fma)
{
    krs_kmath_info info;
    for (int i = 0; krs_kmath_info_at(i, &info); i++)
        if (strcmp(info.name, name) == 0)
            return fma ? info.ulp : info.plain_ulp;
    ck_abort_msg("%s is not in the list", name);
}

static float
float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* y = f(x), or f(x, z), over n elements, 16 at a time */
static krs_kernel *
map_kernel(emit1 one, krsi_kv (*two)(krsi_kb *, krsi_kv, krsi_kv))
{
    krs_error err;
    krs_kernel *kernel;
    krsi_kb *kb = krsi_kb_new("map");
    krsi_kbuf x = krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ, 0);
    krsi_kbuf z = krsi_kb_param(kb, "z", KRS_F32, KRS_K_READ, 0);
    krsi_kbuf y = krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 0);
    krsi_kv n = krsi_kb_arg(kb, "n", KRS_I64);
    krsi_kv i = krsi_kb_for(kb, krsi_kb_i64(kb, 0), n, krsi_kb_i64(kb, 16));
    krsi_kv in = krsi_kb_below(kb, i, n, 16);
    krsi_kmem at = {.buffer = x, .index = i, .mask = in, .lanes = 16};
    krsi_kv a = krsi_kb_load(kb, at);
    at.buffer = z;
    krsi_kv b = krsi_kb_load(kb, at);
    at.buffer = y;
    krsi_kb_store(kb, at, one ? one(kb, a) : two(kb, a, b));
    krsi_kb_end(kb);
    if (krsi_kb_finish(kb, &kernel, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    return kernel;
}

/* A function as a kernel, interpreted. */
struct map {
    krs_kernel *kernel;
    krs_keval *keval;
};

static struct map
open_map(emit1 one, krsi_kv (*two)(krsi_kb *, krsi_kv, krsi_kv), bool fma)
{
    krs_error err;
    krs_kfacts facts = {.struct_size = sizeof facts, .has_fma = fma};
    struct map map = {map_kernel(one, two), NULL};
    if (krs_keval_open(map.kernel, &facts, &map.keval, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    return map;
}

static void
close_map(struct map *map)
{
    krs_keval_close(map->keval);
    krs_kernel_free(map->kernel);
}

static void
run_map(krs_keval *keval, float *x, float *z, float *y, int64_t n)
{
    krs_error err;
    void *buffers[] = {x, z, y};
    size_t bytes[] = {(size_t)n * 4, (size_t)n * 4, (size_t)n * 4};
    krs_kargument args[] = {{.i = n}};
    krs_klaunch launch = {
        sizeof launch, {1, 1, 1},
          buffers, bytes, args
    };
    if (krs_keval_run(keval, &launch, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
}

/* Distance in units in the last place of the reference; infinite where one is
 * NaN or a zero has the wrong sign. */
static double
ulps(float got, double reference)
{
    if (isnan(got) || isnan(reference))
        return isnan(got) && isnan(reference) ? 0 : (double)INFINITY;
    if (isinf(reference) || fabs(reference) >= 0x1.ffffffp127) {
        double limit = copysign(0x1p128, reference);
        double value =
            isinf(got) ? copysign(0x1p128, (double)got) : (double)got;
        return fabs(value - limit) / 0x1p104;
    }
    if (got == 0 && (float)reference == 0)
        return !signbit(got) == !signbit(reference) ? 0 : (double)INFINITY;
    int exponent;
    frexp(reference, &exponent);
    if (exponent < -125 || reference == 0)
        exponent = -125;
    double value = isinf(got) ? copysign(0x1p128, (double)got) : (double)got;
    return fabs(value - reference) / ldexp(1, exponent - 24);
}

struct worst {
    double error;
    float x, z, got;
    double reference;
};

static float inputs[BATCH], seconds[BATCH], outputs[BATCH];

static void
measure(krs_keval *keval, const struct function *f, int count,
        struct worst *worst)
{
    run_map(keval, inputs, seconds, outputs, count);
    for (int i = 0; i < count; i++) {
        double reference = f->reference((double)inputs[i]);
        double error = ulps(outputs[i], reference);
        if (error > worst->error)
            *worst = (struct worst){error, inputs[i], 0, outputs[i], reference};
    }
}

static void
check_function(const struct function *f, bool fma)
{
    struct map map = open_map(f->emit, NULL, fma);
    struct worst worst = {-1, 0, 0, 0, 0};
    double bound = bound_of(f->name, fma);
    for (int done = 0, all = samples(); done < all; done += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            uint64_t at = (uint64_t)(done + i);
            float u = krs_random_uniform_value(1, 0, 1, at);
            inputs[i] = i & 1 ? float_of(krs_random_u32(1, 0, 2, at))
                              : f->low + u * (f->high - f->low);
        }
        measure(map.keval, f, BATCH, &worst);
    }
    for (int done = 0; done < 2 * HALVES; done += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            int bits = (done + i) % HALVES;
            inputs[i] = done + i < HALVES ? krsi_bf16_to_float((uint16_t)bits)
                                          : krsi_f16_to_float((uint16_t)bits);
        }
        measure(map.keval, f, BATCH, &worst);
    }
    if (getenv("KRS_TEST_VERBOSE"))
        fprintf(stderr, "%-8s %s  %.3f ulp at %a: %a, exact %a\n", f->name,
                fma ? "fma " : "plain", worst.error, (double)worst.x,
                (double)worst.got, worst.reference);
    if (worst.error > bound)
        ck_abort_msg("%s(%a) is %a, exact %a: %.3f units, at most %.3f stated",
                     f->name, (double)worst.x, (double)worst.got,
                     worst.reference, worst.error, bound);
    close_map(&map);
}

START_TEST(every_function_stays_below_its_stated_error_with_fma)
{
    for (int i = 0; i < FUNCTIONS; i++)
        check_function(&functions[i], true);
}
END_TEST

START_TEST(every_function_stays_below_its_stated_error_without_fma)
{
    for (int i = 0; i < FUNCTIONS; i++)
        check_function(&functions[i], false);
}
END_TEST

/* Bases over all floats and around 1, exponents so that the result is often
 * finite. */
static double
worst_pow(bool fma)
{
    struct map map = open_map(NULL, krsi_kmath_pow, fma);
    struct worst worst = {-1, 0, 0, 0, 0};
    for (int done = 0, all = samples(); done < all; done += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            uint64_t at = (uint64_t)(done + i);
            float u = krs_random_uniform_value(1, 0, 3, at);
            float v = krs_random_uniform_value(1, 0, 4, at);
            float any = float_of(krs_random_u32(1, 0, 5, at));
            float x = i & 1 ? fabsf(any) : 0.5f + u;
            float z = (2 * v - 1) * 151 / fabsf(log2f(x));
            inputs[i] = i % 16 == 15 ? any : x;
            seconds[i] = i % 16 == 15   ? rintf(200 * v - 100)
                         : i % 16 == 13 ? float_of(krs_random_u32(1, 0, 6, at))
                                        : z;
        }
        run_map(map.keval, inputs, seconds, outputs, BATCH);
        for (int i = 0; i < BATCH; i++) {
            double reference = pow((double)inputs[i], (double)seconds[i]);
            double error = ulps(outputs[i], reference);
            if (error > worst.error)
                worst = (struct worst){error, inputs[i], seconds[i], outputs[i],
                                       reference};
        }
    }
    if (getenv("KRS_TEST_VERBOSE"))
        fprintf(stderr, "pow      %s  %.3f ulp at %a, %a: %a, exact %a\n",
                fma ? "fma " : "plain", worst.error, (double)worst.x,
                (double)worst.z, (double)worst.got, worst.reference);
    close_map(&map);
    return worst.error;
}

/* Bases of 5 bits over 41 binades with exponents in quarters; then what is hard:
 * bases next to 1, and exponents that take the result next to the largest and
 * the smallest number, where an error of the logarithm counts 2^7 times. */
START_TEST(pow_stays_below_its_stated_error_on_a_grid_and_on_hard_cases)
{
    enum { BASES = 41 * 32, EXPONENTS = 65, HARD = 1 << 13 };
    for (int fma = 0; fma < 2; fma++) {
        struct map map = open_map(NULL, krsi_kmath_pow, fma);
        double bound = bound_of("pow", fma);
        int count = 0;
        for (int i = 0; i < BASES * EXPONENTS + HARD; i++) {
            int k = i - BASES * EXPONENTS; /* of the hard ones */
            if (k < 0) {
                int base = i / EXPONENTS;
                inputs[count] =
                    ldexpf(1 + (float)(base % 32) / 32, base / 32 - 20);
                seconds[count] = (float)(i % EXPONENTS - 32) / 4;
            } else {
                static const double ends[] = {127.9999, 128,    -126,
                                              -149.4,   -150.1, 63.5};
                float x = k % 2 ? 1 + (float)(k / 2 + 1) * 0x1p-23F
                                : 1 - (float)(k / 2 + 1) * 0x1p-24F;
                inputs[count] = k % 5 ? x : ldexpf(x, k % 40 - 20);
                seconds[count] =
                    (float)(ends[k % 6] / log2((double)inputs[count]));
            }
            if (++count < BATCH && k + 1 < HARD)
                continue;
            run_map(map.keval, inputs, seconds, outputs, count);
            for (int j = 0; j < count; j++) {
                double exact = pow((double)inputs[j], (double)seconds[j]);
                ck_assert_msg(ulps(outputs[j], exact) <= bound,
                              "pow(%a, %a) is %a, exact %a", (double)inputs[j],
                              (double)seconds[j], (double)outputs[j], exact);
            }
            count = 0;
        }
        close_map(&map);
    }
}
END_TEST

START_TEST(pow_stays_below_its_stated_error)
{
    ck_assert_double_le(worst_pow(true), bound_of("pow", true));
    ck_assert_double_le(worst_pow(false), bound_of("pow", false));
}
END_TEST

START_TEST(pow_follows_the_table_of_special_values)
{
    static const float values[] = {
        0,     -0.0f,     1,        -1,    2,      -2,       0.5f,
        -0.5f, 3,         -3,       1e30f, -1e30f, INFINITY, -INFINITY,
        NAN,   0x1p-149f, 16777215, 2.5f,  -2.5f};
    enum { N = sizeof values / sizeof *values };
    struct map map = open_map(NULL, krsi_kmath_pow, true);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            inputs[i * N + j] = values[i];
            seconds[i * N + j] = values[j];
        }
    run_map(map.keval, inputs, seconds, outputs, N * N);
    for (int i = 0; i < N * N; i++) {
        double reference = pow((double)inputs[i], (double)seconds[i]);
        if (!(ulps(outputs[i], reference) <= 2))
            ck_abort_msg("pow(%a, %a) is %a, exact %a", (double)inputs[i],
                         (double)seconds[i], (double)outputs[i], reference);
    }
    close_map(&map);
}
END_TEST

START_TEST(powers_of_two_are_exact)
{
    static const emit1 emits[] = {krsi_kmath_exp2, krsi_kmath_log2};
    enum { LOWEST = -149, HIGHEST = 127 };
    for (int k = 0; k < 2; k++)
        for (int fma = 0; fma < 2; fma++) {
            struct map map = open_map(emits[k], NULL, fma);
            for (int i = LOWEST; i <= HIGHEST; i++)
                inputs[i - LOWEST] = k ? ldexpf(1, i) : (float)i;
            run_map(map.keval, inputs, seconds, outputs, HIGHEST - LOWEST + 1);
            for (int i = LOWEST; i <= HIGHEST; i++)
                ck_assert_float_eq(outputs[i - LOWEST],
                                   k ? (float)i : ldexpf(1, i));
            close_map(&map);
        }
}
END_TEST

/* The floats nearest to multiples of a quarter turn, where most of the angle
 * cancels: what remains comes from bits of pi that a product in f64 lacks. */
START_TEST(sin_and_cos_are_as_good_next_to_multiples_of_a_quarter_turn)
{
    for (int k = 0; k < FUNCTIONS; k++)
        for (int fma = 0; fma < 2; fma++) {
            const struct function *f = &functions[k];
            if (strcmp(f->name, "sin") != 0 && strcmp(f->name, "cos") != 0)
                continue;
            struct map map = open_map(f->emit, NULL, fma);
            struct worst worst = {-1, 0, 0, 0, 0};
            for (int i = 0; i < BATCH; i++) {
                /* every 13th up to 10^5, then in steps up to 10^9 */
                double turn = i < BATCH / 2 ? 13 * i : 1e5 * (i - BATCH / 2);
                float x = (float)(turn * 0x1.921fb54442d18p+0);
                inputs[i] = i % 3 ? x : nextafterf(x, i % 2 ? 0 : INFINITY);
            }
            measure(map.keval, f, BATCH, &worst);
            ck_assert_msg(worst.error <= bound_of(f->name, fma),
                          "%s(%a): %.3f units", f->name, (double)worst.x,
                          worst.error);
            close_map(&map);
        }
}
END_TEST

START_TEST(special_values_come_out_right)
{
    static const float values[] = {0,
                                   -0.0f,
                                   INFINITY,
                                   -INFINITY,
                                   NAN,
                                   0x1p-149f,
                                   -0x1p-149f,
                                   0x1p-126f,
                                   -1,
                                   1,
                                   0x1.62e42ep6f,
                                   0x1.62e43p6f,
                                   -100,
                                   -104,
                                   3.4028235e38f,
                                   -3.4028235e38f,
                                   0x1.921fb6p0f,
                                   0x1p22f,
                                   0x1.f9cbe2p7f,
                                   100000};
    enum { N = sizeof values / sizeof *values };
    for (int k = 0; k < FUNCTIONS; k++) {
        struct map map = open_map(functions[k].emit, NULL, true);
        memcpy(inputs, values, sizeof values);
        run_map(map.keval, inputs, seconds, outputs, N);
        for (int i = 0; i < N; i++) {
            double reference = functions[k].reference((double)inputs[i]);
            if (!(ulps(outputs[i], reference) <=
                  bound_of(functions[k].name, true)))
                ck_abort_msg("%s(%a) is %a, exact %a", functions[k].name,
                             (double)inputs[i], (double)outputs[i], reference);
        }
        close_map(&map);
    }
}
END_TEST

START_TEST(the_ulp_measure_sees_wrong_answers)
{
    ck_assert_double_eq(ulps(1, 1), 0);
    ck_assert_double_eq(ulps(0x1.000002p0f, 1), 1);
    ck_assert_double_eq(ulps(0x1p-149f, 0x1p-148), 1);
    ck_assert(isinf(ulps(NAN, 1)));
    ck_assert(isinf(ulps(1, (double)NAN)));
    ck_assert(isinf(ulps(-0.0f, 0)));
    ck_assert(ulps(INFINITY, 1) > 1e30);
    ck_assert(ulps(-INFINITY, (double)INFINITY) > 1e6);
    ck_assert_double_eq(ulps(INFINITY, (double)INFINITY), 0);
}
END_TEST

SUITE(every_function_stays_below_its_stated_error_with_fma,
      every_function_stays_below_its_stated_error_without_fma,
      pow_stays_below_its_stated_error,
      pow_stays_below_its_stated_error_on_a_grid_and_on_hard_cases,
      powers_of_two_are_exact,
      sin_and_cos_are_as_good_next_to_multiples_of_a_quarter_turn,
      pow_follows_the_table_of_special_values, special_values_come_out_right,
      the_ulp_measure_sees_wrong_answers)
