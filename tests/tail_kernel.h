/* tail_kernel.h -- a function of the kernel language over n elements from any
 * first one: what lies in whole vectors and what is left over must come out
 * in the same bits.
 */
#ifndef TESTS_TAIL_KERNEL_H
#define TESTS_TAIL_KERNEL_H

#include "graph/kernel/kb.h"

/* One entry a function of KRSI_KMATH_LIST. */
typedef struct tail_function {
    const char *name;
    krsi_kv (*one)(krsi_kb *, krsi_kv);          /* NULL for two operands */
    krsi_kv (*two)(krsi_kb *, krsi_kv, krsi_kv); /* NULL for one operand */
} tail_function;

extern const tail_function tail_functions[];
extern const size_t tail_function_count;

/* y[i] = f(x[i], z[i]) for n elements i from `first` (arguments first, n;
 * buffers x, z, y): whole vectors of `width` while they fit, then either one
 * masked vector or single elements. */
krs_kernel *tail_kernel(const tail_function *f, int width, bool masked);

#endif
