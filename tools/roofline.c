/* roofline.c -- what the device could do at most, measured now.
 *
 * In: a device. Out: its best rates on a matrix product of 768 x 768 x 768,
 * whose operands stay in caches, and on y = 2 x over 32 MB, which do not. A
 * kernel of i operations a byte can reach min(peak, i * bandwidth) at most:
 * Williams, Waterman and Patterson 2009.
 */
#include "roofline.h"

#include <stdlib.h>
#include <time.h>

enum { SIDE = 768, LENGTH = 8 << 20, RUNS = 4 };

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* seconds of the quickest of a few runs; 0 if there are none */
static double
time_best(krs_device *device, krs_node y)
{
    krs_store *store = NULL;
    krs_program *program = NULL;
    double best = 0;
    if (krs_store_new(device, &store, NULL) != KRS_OK)
        return 0;
    bool fine = krs_program_new(store, &y, 1, &program, NULL) == KRS_OK;
    for (int i = 0; fine && i <= RUNS; i++) {
        double start = now();
        fine = krs_program_run(program, NULL) == KRS_OK;
        double seconds = now() - start;
        if (fine && i > 0 && (best == 0 || seconds < best))
            best = seconds;
    }
    krs_program_free(program);
    krs_store_free(store);
    return best;
}

struct roofline
measure_roofline(krs_device *device)
{
    struct roofline r = {0, 0};
    krs_graph *g = krs_graph_new();
    if (!g)
        return r;
    krs_node a = krs_state(g, "a", KRS_F32, KRS_SHAPE(SIDE, SIDE));
    krs_node b = krs_state(g, "b", KRS_F32, KRS_SHAPE(SIDE, SIDE));
    krs_node x = krs_state(g, "x", KRS_F32, KRS_SHAPE(LENGTH));
    double product = time_best(device, krs_matmul(a, b));
    double map = time_best(device, krs_scale(x, 2));
    if (product > 0)
        r.operations = 2.0 * SIDE * SIDE * SIDE / product;
    if (map > 0)
        r.bytes = 2.0 * LENGTH * sizeof(float) / map;
    krs_graph_free(g);
    return r;
}
