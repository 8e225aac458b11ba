/* ulp.h -- samples of the mathematical functions, and how far off results are.
 */
#ifndef KERSEY_ULP_H
#define KERSEY_ULP_H

#include <krs/krs.h>

#include <stdint.h>

/* Samples of one run, and the powers of two of all that may be asked for. */
enum { ULP_BATCH = 1 << 20, ULP_LEAST = 20, ULP_MOST = 32 };

/* A function: its builder, NULL for pow, its value in f64 and, of the same
 * argument, in more digits; where half of the samples lie. */
struct ulp_function {
    const char *name;
    krs_node (*build)(krs_place at, krs_node x);
    double (*value)(double x);
    long double (*exact)(long double x);
    float low, high;
};

/* ULP_BATCH numbers each; y is for pow alone. */
struct ulp_samples {
    float *x, *y, *out;
};

/* The largest error so far, in units in the last place of exact. */
struct ulp_worst {
    double ulp;
    float x, y, got;
    double exact;
};

/* ulp_sweep.c */

/* The function of that name, or NULL. */
const struct ulp_function *ulp_function_named(const char *name);

/* Samples `first`, first + 1, ... of 2^power; see ulp_sweep.c. */
void ulp_draw(const struct ulp_function *f, int power, uint64_t first,
              const struct ulp_samples *s);

/* All numbers of f16 and of bf16, each once or more. */
krs_status ulp_draw_halves(const struct ulp_samples *s, krs_error *err);

/* Compare s->out with the truth. */
void ulp_find_worst(const struct ulp_function *f, const struct ulp_samples *s,
                    struct ulp_worst *worst);

#endif
