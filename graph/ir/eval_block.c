/* eval_block.c -- block-quantised weights as numbers.
 *
 * 32 elements in a row share a scale d, stored as f16 in front of them:
 *
 *   q8_0   d, 32 signed bytes q              x_j = d q_j
 *   q4_0   d, 16 bytes of two nibbles        x_j = d (q_j - 8)
 *   q4_1   d, minimum m as f16, 16 bytes     x_j = d q_j + m
 *
 * Byte i of the nibble forms holds element i in its low half and element
 * i + 16 in its high half. Format: the tensor types of GGUF files.
 */
#include "eval.h"

enum { BLOCK = 32 };

static double
half_at(const uint8_t *bytes)
{
    uint16_t bits = (uint16_t)(bytes[0] | bytes[1] << 8);
    return (double)krsi_f16_to_float(bits);
}

static int
nibble(const uint8_t *bytes, int j)
{
    return j < BLOCK / 2 ? bytes[j] & 15 : bytes[j - BLOCK / 2] >> 4;
}

void
krsi_dequantise(krs_dtype dtype, double *out, const void *blocks, int64_t first,
                int64_t count)
{
    size_t block_bytes = 0;
    krs_dtype_bytes(dtype, BLOCK, &block_bytes);
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *block = (const uint8_t *)blocks +
                               (size_t)((first + i) / BLOCK) * block_bytes;
        int j = (int)((first + i) % BLOCK);
        double scale = half_at(block);
        if (dtype == KRS_Q8_0)
            out[i] = scale * (int8_t)block[2 + j];
        else if (dtype == KRS_Q4_0)
            out[i] = scale * (nibble(block + 2, j) - 8);
        else
            out[i] = scale * nibble(block + 4, j) + half_at(block + 2);
    }
}
