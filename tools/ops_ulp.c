/* ops_ulp.c -- kersey ops --ulp: how far the mathematical functions are from
 * the truth.
 *
 * In: the functions of the kernel language with their stated largest errors
 * (krs/kernel.h). Out: for each that is an operation, the largest error that
 * 2^20 samples show when a program computes it on the device, in units in the
 * last place of the exact value, and where it is. Half of the samples lie
 * where the function is interesting, half are random bits: subnormals,
 * infinities and NaNs among them. Exact is libm in long double.
 *
 * EXIT_SHORT if one is farther off than stated. The bounds are for one
 * rounding of a product and a sum where the device has that, else for two.
 */
#include "ops.h"

#include <krs/kernel.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 1 << 20 };

typedef krs_node build_one(krs_place at, krs_node x);
typedef krs_node build_two(krs_place at, krs_node x, krs_node y);

static long double
exact_sigmoid(long double x)
{
    return 1 / (1 + expl(-x));
}

static long double
exact_rsqrt(long double x)
{
    return 1 / sqrtl(x);
}

/* Builder, exact value, where half of the samples lie; pow apart. */
static const struct function {
    const char *name;
    build_one *build;
    long double (*exact)(long double x);
    float low, high;
} functions[] = {
    {"exp",     krs_exp_at,     expl,          -104,  89   },
    {"log",     krs_log_at,     logl,          0.25f, 4    },
    {"tanh",    krs_tanh_at,    tanhl,         -9,    9    },
    {"erf",     krs_erf_at,     erfl,          -4,    4    },
    {"erfc",    krs_erfc_at,    erfcl,         -4,    10.1f},
    {"sin",     krs_sin_at,     sinl,          -1e5f, 1e5f },
    {"cos",     krs_cos_at,     cosl,          -1e5f, 1e5f },
    {"sigmoid", krs_sigmoid_at, exact_sigmoid, -104,  89   },
    {"rsqrt",   krs_rsqrt_at,   exact_rsqrt,   0,     4    },
    {"pow",     NULL,           NULL,          0,     8    },
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };
#define EXPONENTS 40 /* of half of the samples of pow: within that of 0 */

/* Samples and results, SAMPLES each. */
struct samples {
    float *x, *y, *out;
};

struct worst {
    double ulp;
    float x, y, got;
    double exact;
};

static float
random_bits(uint32_t stream, uint64_t i)
{
    uint32_t bits = krs_random_u32(1, 0, stream, i);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float
random_between(float low, float high, uint32_t stream, uint64_t i)
{
    float u = krs_random_uniform_value(1, 0, stream, i);
    return low + u * (high - low);
}

static void
draw(const struct function *f, const struct samples *s)
{
    for (uint64_t i = 0; i < SAMPLES; i++) {
        bool in_range = i % 2 == 0;
        s->x[i] = in_range ? random_between(f->low, f->high, 1, i)
                           : random_bits(2, i);
        s->y[i] = in_range ? random_between(-EXPONENTS, EXPONENTS, 3, i)
                           : random_bits(4, i);
    }
}

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

static struct worst
find_worst(const struct function *f, const struct samples *s)
{
    struct worst worst = {.ulp = -1};
    for (int i = 0; i < SAMPLES; i++) {
        long double x = (long double)s->x[i], y = (long double)s->y[i];
        long double exact = f->exact ? f->exact(x) : powl(x, y);
        double ulp = distance(s->out[i], exact);
        if (ulp > worst.ulp)
            worst =
                (struct worst){ulp, s->x[i], s->y[i], s->out[i], (double)exact};
    }
    return worst;
}

static krs_status
compute(krs_device *device, const struct function *f, const struct samples *s,
        krs_error *err)
{
    const size_t bytes = SAMPLES * sizeof(float);
    krs_store *store = NULL;
    krs_program *program = NULL;
    krs_graph *g = krs_graph_new();
    if (!g)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(SAMPLES));
    krs_node out =
        f->build ? f->build(KRS_HERE, x)
                 : krs_pow(x, krs_input(g, "y", KRS_F32, KRS_SHAPE(SAMPLES)));
    krs_status status = krs_graph_check(g, err);
    if (status == KRS_OK)
        status = krs_store_new(device, &store, err);
    if (status == KRS_OK)
        status = krs_program_new(store, &out, 1, &program, err);
    if (status == KRS_OK)
        status = krs_program_set_input(program, "x", s->x, bytes, err);
    if (status == KRS_OK && !f->build)
        status = krs_program_set_input(program, "y", s->y, bytes, err);
    if (status == KRS_OK)
        status = krs_program_run(program, err);
    if (status == KRS_OK)
        status = krs_program_read(program, 0, s->out, bytes, err);
    krs_program_free(program);
    krs_store_free(store);
    krs_graph_free(g);
    return status;
}

/* JSON has no infinities. */
static json_t *
number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *
describe(const struct function *f, const krs_kmath_info *info, double stated,
         const struct worst *w)
{
    json_t *row =
        json_pack("{s:s, s:s, s:f, s:o, s:o, s:o, s:o}", "name", info->name,
                  "definition", info->text, "stated_ulp", stated,
                  "measured_ulp", number(w->ulp), "x", number((double)w->x),
                  "got", number((double)w->got), "exact", number(w->exact));
    if (row && !f->build)
        json_object_set_new(row, "y", number((double)w->y));
    return row;
}

static void
print_row(const struct function *f, const krs_kmath_info *info, double stated,
          const struct worst *w)
{
    printf("%-8s %6.2f %9.3f  %s(%.9g", info->name, stated, w->ulp, info->name,
           (double)w->x);
    if (!f->build)
        printf(", %.9g", (double)w->y);
    printf(") = %.9g, exactly %.12g\n", (double)w->got, w->exact);
}

static const struct function *
find_function(const char *name)
{
    for (int i = 0; i < FUNCTIONS; i++)
        if (!strcmp(functions[i].name, name))
            return &functions[i];
    return NULL;
}

/* Every function; rows of --json go into the list, unless it is NULL. */
static krs_status
measure(krs_device *device, const struct samples *s, json_t *list,
        int *out_short, krs_error *err)
{
    krs_kmath_info info;
    krs_device_info about = {.struct_size = sizeof about};
    KRS_TRY(krs_device_describe(device, &about, err));
    if (!list)
        printf("%-8s %6s %9s  %s\n", "function", "stated", "measured",
               "units in the last place; the worst of 2^20");
    for (int i = 0; krs_kmath_info_at(i, &info); i++) {
        const struct function *f = find_function(info.name);
        double stated = about.has_fma ? info.ulp : info.plain_ulp;
        if (!f) /* no operation of its own */
            continue;
        draw(f, s);
        KRS_TRY(compute(device, f, s, err));
        struct worst worst = find_worst(f, s);
        if (!(worst.ulp <= stated))
            ++*out_short;
        if (list)
            json_array_append_new(list, describe(f, &info, stated, &worst));
        else
            print_row(f, &info, stated, &worst);
    }
    return KRS_OK;
}

int
print_ulps(const struct command_line *line)
{
    krs_device *device;
    krs_error err;
    int code = open_device(line, &device), short_count = 0;
    if (code != EXIT_OK)
        return code;
    struct samples s = {malloc(SAMPLES * sizeof(float)),
                        malloc(SAMPLES * sizeof(float)),
                        malloc(SAMPLES * sizeof(float))};
    json_t *list = line->flags.json ? json_array() : NULL;
    krs_status status =
        s.x && s.y && s.out
            ? measure(device, &s, list, &short_count, &err)
            : krs_fail(&err, KRS_E_MEMORY, "no memory for 2^20 samples");
    if (status == KRS_OK && list)
        code = json_dumpf(list, stdout, JSON_INDENT(1)) || putchar('\n') < 0
                   ? EXIT_FAILED
                   : EXIT_OK;
    json_decref(list);
    free(s.x);
    free(s.y);
    free(s.out);
    krs_device_close(device);
    if (status != KRS_OK)
        return complain(&err);
    return code == EXIT_OK && short_count > 0 ? EXIT_SHORT : code;
}
