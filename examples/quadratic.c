/* quadratic.c -- the shortest program: the minimum of (x - 3)^2, by its gradient. */
#include "try.h"

int main(void)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_state(g, "x", KRS_F32, KRS_SCALAR), slope;
    krs_grad(krs_square(krs_sub(x, krs_like(x, 3))), &x, 1, &slope);
    krs_node step = krs_update(x, krs_sub(x, krs_scale(slope, 0.25)));
    krs_device *device;
    krs_store *store;
    krs_program *program;
    float value;
    TRY(krs_device_open("eval", &device, &err));
    TRY(krs_store_new(device, &store, &err));
    TRY(krs_program_new(store, &step, 1, &program, &err));
    for (int i = 0; i < 30; i++) TRY(krs_program_run(program, &err));
    TRY(krs_store_read(store, "x", &value, sizeof value, &err));
    printf("x = %.3f\n", value); /* x = 3.000 */
}
