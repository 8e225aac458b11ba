/* order.h -- a shuffled order without a list of it. */
#ifndef KRSI_ORDER_H
#define KRSI_ORDER_H

#include <stdint.h>

/* krsi_shuffled(seed, epoch, n, i) -- item i of a random order of 0..n-1,
 * 0 <= i < n: a permutation for every (seed, epoch). */
int64_t krsi_shuffled(int64_t seed, int64_t epoch, int64_t n, int64_t i);

#endif
