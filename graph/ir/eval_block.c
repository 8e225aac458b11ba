/* eval_block.c -- block-quantised weights as numbers (block.h), any range of
 * elements of a row of blocks.
 */
#include "eval.h"

#include <krs/block.h>

void
krsi_dequantise(krs_dtype dtype, double *out, const void *blocks, int64_t first,
                int64_t count)
{
    enum { BLOCK = 32 };
    krs_block format;
    float values[KRS_BLOCK_ELEMENTS];
    size_t block_bytes = 0;
    if (!krs_dtype_block(dtype, &format))
        return;
    krs_dtype_bytes(dtype, BLOCK, &block_bytes);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = first + i;
        if (i == 0 || at % BLOCK == 0)
            krs_block_read(format,
                           (const uint8_t *)blocks +
                               (size_t)(at / BLOCK) * block_bytes,
                           1, values);
        out[i] = (double)values[at % BLOCK];
    }
}
