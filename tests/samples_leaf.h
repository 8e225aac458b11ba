/* samples_leaf.h -- between the files that hold the samples: inputs with their
 * values. samples_map.c, samples_view.c and samples_row.c have one function a
 * row of ops.def.
 *
 * Shapes are small (the gradient tests run every element twice), sizes differ
 * along the axes, so that a mistaken axis shows, and uses cover attributes,
 * broadcasting, live lengths and empty tensors where the row has a rule.
 */
#ifndef TESTS_SAMPLES_LEAF_H
#define TESTS_SAMPLES_LEAF_H

#include "samples.h"

/* floats, evenly at random in [low, high) */
krs_node leaf_real(sample *s, krs_shape shape, double low, double high);
/* floats of both signs, at least `low` away from 0 */
krs_node leaf_away(sample *s, krs_shape shape, double low, double high);
/* the floats -1, -1 + step, ... + shift in a mixed order; all differ */
krs_node leaf_spread(sample *s, krs_shape shape, double shift);
/* integers from a list, repeated as needed */
krs_node leaf_ints(sample *s, krs_dtype dtype, krs_shape shape,
                   const int *value, int count);
/* a runtime integer in [0, high], at value */
krs_index leaf_var(sample *s, const char *name, int64_t high, int64_t value);
/* x with all but the last element of an axis alive */
krs_node leaf_live(sample *s, krs_node x, int axis);

#define INTS(s, dtype, shape, ...)                   \
    leaf_ints(s, dtype, shape, (int[]){__VA_ARGS__}, \
              (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)))
#define BOOLS(s, shape) INTS(s, KRS_BOOL, shape, 1, 0, 0, 1, 1)

#define S0      KRS_SCALAR
#define S(...)  KRS_SHAPE(__VA_ARGS__)
#define AX(...) KRS_AXES(__VA_ARGS__)

#endif
