/* random.c -- the streams of random.h on the host, over philox.c.
 *
 * Every value is a pure function of (seed, step, stream, position), so what a
 * graph draws on any device can be drawn here again.
 */
#include "base.h"

#include <krs/random.h>

#include <math.h>

uint32_t
krs_random_u32(uint64_t seed, uint64_t step, uint32_t stream, uint64_t i)
{
    uint32_t words[4];
    krsi_random_words(seed, step, stream, i / 4, words);
    return words[i % 4];
}

float
krs_random_uniform_value(uint64_t seed, uint64_t step, uint32_t stream,
                         uint64_t i)
{
    return (float)(krs_random_u32(seed, step, stream, i) >> 8) * 0x1p-24f;
}

/* Box & Muller 1958: sqrt(-2 ln u) cos(2 pi v) with u in (0, 1], v in [0, 1),
 * one value a pair of words, so value i does not depend on count. */
void
krs_random_fill_normal(float *out, size_t count, double deviation,
                       uint64_t seed, uint64_t step, uint32_t stream)
{
    const double turn = 6.283185307179586477;
    uint32_t words[4] = {0};
    for (size_t i = 0; i < count; i++) {
        if (i % 2 == 0)
            krsi_random_words(seed, step, stream, i / 2, words);
        double u = ((double)words[i % 2 * 2] + 1) * 0x1p-32;
        double v = (double)words[i % 2 * 2 + 1] * 0x1p-32;
        out[i] = (float)(deviation * sqrt(-2 * log(u)) * cos(turn * v));
    }
}
