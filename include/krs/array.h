/* array.h -- array operations that are made of others (ops.h): patterns,
 * order, sums over named axes. What holds for all operations is said in ops.h.
 */
#ifndef KRS_ARRAY_H
#define KRS_ARRAY_H

#include <krs/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/* krs_tril(x, diagonal) -- x [.., M, N] where column - row <= diagonal, else 0.
 * krs_triu(x, diagonal) -- where column - row >= diagonal.
 * krs_eye(g, dtype, rows, columns) -- 1 on the main diagonal.
 * krs_arange(g, dtype, count, start, step) -- start, start + step, .. [count];
 * dtype i64, i32 or f32, where start + i step is rounded twice.
 * krs_roll(x, axis, shift) -- element i comes to i + shift, round the end.
 * krs_outer(a, b) -- a_i b_j, [.., M] and [.., N] to [.., M, N]. */
KRS_API krs_node krs_tril_at(krs_place at, krs_node x, int64_t diagonal);
KRS_API krs_node krs_triu_at(krs_place at, krs_node x, int64_t diagonal);
KRS_API krs_node krs_eye_at(krs_place at, krs_graph *g, krs_dtype dtype,
                            int64_t rows, int64_t columns);
KRS_API krs_node krs_arange_at(krs_place at, krs_graph *g, krs_dtype dtype,
                               int64_t count, double start, double step);
KRS_API krs_node krs_roll_at(krs_place at, krs_node x, int axis, int64_t shift);
KRS_API krs_node krs_outer_at(krs_place at, krs_node a, krs_node b);
#define krs_tril(...)   krs_tril_at(KRS_HERE, __VA_ARGS__)
#define krs_triu(...)   krs_triu_at(KRS_HERE, __VA_ARGS__)
#define krs_eye(...)    krs_eye_at(KRS_HERE, __VA_ARGS__)
#define krs_arange(...) krs_arange_at(KRS_HERE, __VA_ARGS__)
#define krs_roll(...)   krs_roll_at(KRS_HERE, __VA_ARGS__)
#define krs_outer(...)  krs_outer_at(KRS_HERE, __VA_ARGS__)

typedef enum krs_sides { KRS_PAST_ONLY, KRS_BOTH_SIDES } krs_sides;

/* krs_relative_buckets(distance, buckets, max_distance, sides) -- the bucket of
 * the place of a key seen from a query, T5's relative positions. For n buckets
 * of a side (all for the past, half for both) and d places backwards:
 *
 *      d                                              d < n/2
 *      min(n/2 + floor(n/2 ln(d/(n/2)) / ln(m/(n/2))), n-1)   else
 *
 *   distance   i64|i32 [..], key - query; m = max_distance
 *   ->         i64 [..] in [0, buckets); of both sides, those forwards come in
 *              the second half; for the past they count as 0
 *
 * A border that is a whole number belongs to the bucket above. No gradient.
 * Errors    RANGE: fewer than 2 buckets of a side, an odd number of both,
 *           max_distance not above n/2 or over 2^20.
 * Source    Raffel et al. 2020, section 2.1.
 *
 * krs_prefix_mask(prefix, queries, keys) -- bool [B, 1, T, S], true where query
 * t sees key s: s <= t, or s < prefix_b, the part of a row that all of it sees.
 *
 *   prefix     i64|i32 [B]
 *
 * Source    Liu et al. 2018, section 4.2.4 (the decoder alone); Raffel et al.
 *           2020, figure 3. */
KRS_API krs_node krs_relative_buckets_at(krs_place at, krs_node distance,
                                         int64_t buckets, int64_t max_distance,
                                         krs_sides sides);
KRS_API krs_node krs_prefix_mask_at(krs_place at, krs_node prefix,
                                    int64_t queries, int64_t keys);
#define krs_relative_buckets(...) krs_relative_buckets_at(KRS_HERE, __VA_ARGS__)
#define krs_prefix_mask(...)      krs_prefix_mask_at(KRS_HERE, __VA_ARGS__)

/* krs_argsort(x, axis, descending) -- the order of the elements along an axis:
 * i64, x's shape; element i of the result is the place in x of the i-th one.
 * krs_sort(x, axis, descending, &index) -- the elements in that order; *index
 * (unless NULL) is krs_argsort.
 * krs_topk(x, k, axis, largest, &index) -- the first k of krs_sort, descending
 * if `largest`.
 *
 *   x   any number; equal elements keep their order, NaN is largest
 *
 * Errors    AXIS; RANGE, k outside [0, size].
 * Gradient  each element's goes to where it came from; the order has none.
 * Cost      log2(n) (log2(n) + 1) / 2 passes over the axis, n its size rounded
 *           up to a power of two.
 * Source    Batcher 1968, the bitonic sorter: the same comparisons whatever the
 *           numbers are, side by side, so every device can do it. */
KRS_API krs_node krs_argsort_at(krs_place at, krs_node x, int axis,
                                bool descending);
KRS_API krs_node krs_sort_at(krs_place at, krs_node x, int axis,
                             bool descending, krs_node *index);
KRS_API krs_node krs_topk_at(krs_place at, krs_node x, int64_t k, int axis,
                             bool largest, krs_node *index);
#define krs_argsort(...) krs_argsort_at(KRS_HERE, __VA_ARGS__)
#define krs_sort(...)    krs_sort_at(KRS_HERE, __VA_ARGS__)
#define krs_topk(...)    krs_topk_at(KRS_HERE, __VA_ARGS__)

/* krs_einsum(equation, operands, count) -- a sum of products over named axes:
 * "bti,ij,bsj->bts" is
 *
 *      y[b,t,s] = sum_i sum_j a[b,t,i] w[i,j] c[b,s,j]
 *
 * Each letter names an axis; those that the result does not name are summed
 * over. A letter twice in one operand is its diagonal. Without "->" the result
 * has the letters that occur once, in alphabetical order. Operands are taken in
 * from left to right, each pair by one krs_matmul; put what sums most first.
 *
 * Errors  ARGUMENT (the equation), SHAPE (a letter with two sizes; ranks). */
KRS_API krs_node krs_einsum_at(krs_place at, const char *equation,
                               const krs_node *operands, int count);
#define krs_einsum(...) krs_einsum_at(KRS_HERE, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
