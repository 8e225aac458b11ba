/* test_composite_map.c -- how exact the element-wise composites are in f32,
 * against libm in f64, and what they make of special numbers.
 */
#include "one_run.h"

#include <krs/krs.h>

#include <float.h>
#include <math.h>

enum { COUNT = 1 << 14 };

static float x[COUNT], y[COUNT];

/* y = f(x) on the kernel interpreter, whose bits are those of all devices */
static void
run(krs_node build(krs_place at, krs_node x))
{
    krs_device *device;
    krs_error err;
    krs_graph *g = krs_graph_new();
    krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(COUNT));
    krs_node out = build(KRS_HERE, in);
    one_input input = {"x", x, sizeof x};
    size_t bytes = sizeof y;
    ck_assert_int_eq(krs_device_open("interp", &device, &err), KRS_OK);
    one_run(device, &out, 1, &input, 1, (void *[]){y}, &bytes);
    krs_device_close(device);
    krs_graph_free(g);
}

static void
assert_close(double want(double), double ulps)
{
    double worst = 0;
    int where = 0;
    for (int i = 0; i < COUNT; i++) {
        double w = want((double)x[i]), off;
        if (isnan(w) || isinf((float)w)) {
            ck_assert_msg(isnan(w) ? isnan(y[i]) : y[i] == (float)w,
                          "at %a: %a, not %a", (double)x[i], (double)y[i], w);
            continue;
        }
        int e;
        frexp(w, &e);
        off = fabs((double)y[i] - w) / ldexp(1, e < -125 ? -149 : e - 24);
        if (off > worst)
            worst = off, where = i;
    }
    ck_assert_msg(worst <= ulps, "%.2f ulp at %a: %a, not %a", worst,
                  (double)x[where], (double)y[where], want((double)x[where]));
}

/* of all magnitudes, and the special ones first */
static void
spread(double low, double high)
{
    static const float special[] = {
        0,       -0.0f,   1,         -1,        INFINITY, NAN,   -INFINITY,
        FLT_MIN, FLT_MAX, 0x1p-149f, -0x1p-30f, 0x1p-24f, 88.7f, -2};
    enum { SPECIAL = sizeof special / sizeof *special };
    for (int i = 0; i < COUNT; i++) {
        double t = (double)i / (COUNT - 1);
        double size = exp(log(low) + t * (log(high) - log(low)));
        x[i] = i < SPECIAL ? special[i] : (float)(i % 2 ? size : -size);
    }
}

static double
softplus(double v)
{
    return isnan(v) ? v : fmax(v, 0) + log1p(exp(-fabs(v)));
}

START_TEST(log1p_and_expm1_keep_what_is_small)
{
    spread(1e-30, 80);
    run(krs_expm1_at);
    assert_close(expm1, 6);
    spread(1e-30, 0.9999);
    run(krs_log1p_at);
    assert_close(log1p, 6);
    spread(1, 1e38);
    run(krs_log1p_at);
    assert_close(log1p, 6);
}
END_TEST

START_TEST(softplus_neither_overflows_nor_loses_its_tail)
{
    spread(1e-6, 80);
    run(krs_softplus_at);
    assert_close(softplus, 8);
}
END_TEST

SUITE(log1p_and_expm1_keep_what_is_small,
      softplus_neither_overflows_nor_loses_its_tail)
