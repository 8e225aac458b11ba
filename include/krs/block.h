/* block.h -- block-quantised weights: the formats and their numbers.
 *
 * A block is some elements in a row that share scales, stored as f16 and
 * small integers; the types of GGUF files. Values are f32, each operation
 * rounded once, in the order that the format's reference has: reading gives
 * the bits that the Python package `gguf` gives, and so does writing.
 *
 *   d, m     scale and minimum of a block, f16
 *   s, t     scale and minimum of a group within it, small integers
 *   q        the integer of an element
 */
#ifndef KRS_BLOCK_H
#define KRS_BLOCK_H

#include <krs/dtype.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The one list of block formats:
 * NAME, elements in a block, bytes of a block, kind; what an element is. */
#define KRS_BLOCK_LIST(X)                               \
    X(Q4_0, 32, 18, BLOCK)   /* d (q - 8) */            \
    X(Q4_1, 32, 20, BLOCK)   /* d q + m */              \
    X(Q5_0, 32, 22, BLOCK)   /* d (q - 16) */           \
    X(Q5_1, 32, 24, BLOCK)   /* d q + m */              \
    X(Q8_0, 32, 34, BLOCK)   /* d q */                  \
    X(Q2_K, 256, 84, BLOCK)  /* (d s) q - (m t) */      \
    X(Q3_K, 256, 110, BLOCK) /* (d (s - 32)) (q - 4) */ \
    X(Q4_K, 256, 144, BLOCK) /* (d s) q - (m t) */      \
    X(Q5_K, 256, 176, BLOCK) /* (d s) q - (m t) */      \
    X(Q6_K, 256, 210, BLOCK) /* (d s) (q - 32) */

typedef enum krs_block {
#define KRS_BLOCK_ENUM(NAME, elements, bytes, kind) KRS_BLOCK_##NAME,
    KRS_BLOCK_LIST(KRS_BLOCK_ENUM)
#undef KRS_BLOCK_ENUM
        KRS_BLOCK_COUNT
} krs_block;

#define KRS_BLOCK_ELEMENTS 256 /* the most in a block; all sizes divide it */

/* krs_dtype_block(t, &b) -- the format of a block type; false for others. */
KRS_API bool krs_dtype_block(krs_dtype dtype, krs_block *out);

/* krs_block_read(b, blocks, count, out) -- `count` blocks as numbers.
 *   blocks   as they lie in a file, any alignment
 *   out      f32 [count * elements]
 * Cost: one pass. Thread-safe. */
KRS_API void krs_block_read(krs_block format, const void *blocks, size_t count,
                            float *out);

/* krs_block_write(b, values, count, out, err) -- numbers as `count` blocks;
 * q is rounded to nearest, ties away from zero (Q8_0), or as x / d + 8.5
 * towards zero (Q4_0).
 *
 * Errors     DTYPE for a format that is only read; RANGE for an element that
 *            is not finite or whose scale f16 does not hold. */
KRS_API bool krs_block_writes(krs_block format); /* Q8_0 and Q4_0 */
KRS_API krs_status krs_block_write(krs_block format, const float *values,
                                   size_t count, void *out, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
