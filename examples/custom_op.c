/* custom_op.c -- an operation made of others, with a gradient of its own.
 *
 * quantize(x) rounds to steps of 1/8 in [-1, 1]. Its true derivative is zero
 * almost everywhere, so nothing behind it would learn; the usual choice is to
 * pass the gradient through where x was inside, and to stop it where x was
 * clamped (Bengio et al. 2013, "straight through").
 *
 *      y = stop(f(x)) + (x - stop(x)) * stop(d(x))
 *
 * has the value f(x), since x - x is 0 for every finite x, and dy/dx = d(x)
 * for any d: whatever is not expressible in the operations' own gradients.
 */
#include "try.h"
#include <math.h>

static krs_node
with_gradient(krs_node x, krs_node value, krs_node slope)
{
    krs_node through =
        krs_mul(krs_sub(x, krs_stop_gradient(x)), krs_stop_gradient(slope));
    return krs_add(krs_stop_gradient(value), through);
}

static krs_node
quantize(krs_node x)
{
    const double step = 0.125;
    krs_scope_push(x.graph, "quantize"); /* messages name the place */
    krs_node inside = krs_clamp(x, -1, 1);
    krs_node steps =
        krs_floor(krs_add(krs_scale(inside, 1 / step), krs_like(inside, 0.5)));
    krs_node was_inside =
        krs_cast(krs_le(krs_abs(x), krs_like(x, 1)), krs_node_dtype(x));
    krs_node y = with_gradient(x, krs_scale(steps, step), was_inside);
    krs_scope_pop(x.graph);
    return y;
}

int
main(int argc, char **argv)
{
    enum { N = 5 };
    const float x[N] = {-3, -0.49F, 0.06F, 0.07F, 1.5F};
    float y[N], slope[N];
    krs_device *device;
    krs_store *store;
    krs_program *p;
    krs_graph *g = krs_graph_new();
    krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(N)), out[2];
    out[0] = quantize(in);
    TRY(krs_grad(krs_square(out[0]), &in, 1, &out[1])); /* 2 y d(x) */
    TRY(krs_device_open(argc > 1 ? argv[1] : "cpu", &device, &err));
    TRY(krs_store_new(device, &store, &err));
    TRY(krs_program_new(store, out, 2, &p, &err));
    TRY(krs_program_set_input(p, "x", x, sizeof x, &err));
    TRY(krs_program_run(p, &err));
    TRY(krs_program_read(p, 0, y, sizeof y, &err));
    TRY(krs_program_read(p, 1, slope, sizeof slope, &err));
    for (int i = 0; i < N; i++)
        printf("%6.2f -> %6.3f, d(y^2)/dx = %.2f\n", x[i], y[i], slope[i]);
    krs_program_free(p), krs_store_free(store), krs_device_close(device);
    krs_graph_free(g);
}
