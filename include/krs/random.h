/* random.h -- the counter-based random numbers of the library, on the host.
 *
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1,
 * 2, 3"): a pure function, no state, the same on every device.
 */
#ifndef KRS_RANDOM_H
#define KRS_RANDOM_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* krs_random_u32(seed, step, stream, i) -- word i of a stream: word i % 4 of
 * philox(counter = {i/4 low, i/4 high, step, stream}, key = seed). step and
 * stream count modulo 2^32. Thread-safe. */
KRS_API uint32_t krs_random_u32(uint64_t seed, uint64_t step, uint32_t stream,
                                uint64_t i);

/* krs_random_uniform_value(...) -- (u32 >> 8) * 2^-24, what the operation
 * krs_random_uniform gives for element i. */
KRS_API float krs_random_uniform_value(uint64_t seed, uint64_t step,
                                       uint32_t stream, uint64_t i);

/* krs_random_fill_normal(...) -- count values of mean 0 and the given standard
 * deviation, by Box-Muller over words 2i and 2i+1 in f64. */
KRS_API void krs_random_fill_normal(float *out, size_t count, double deviation,
                                    uint64_t seed, uint64_t step,
                                    uint32_t stream);

#ifdef __cplusplus
}
#endif
#endif
