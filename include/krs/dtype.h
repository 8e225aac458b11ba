/* dtype.h -- the element types.
 *
 * f32 is the type of arithmetic. f16 and bf16 are storage types: they are
 * moved, gathered, cast and multiplied (with f32 accumulation); every other
 * operation works on their f32 value and rounds once at the end. Integers
 * wrap around. The q types are block-quantised weights: 32 elements share a
 * scale; only matmul_nt, take and cast (to f32) read them.
 */
#ifndef KRS_DTYPE_H
#define KRS_DTYPE_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The one list of element types:
 * NAME, name, class, elements in a block, bytes of a block. */
#define KRS_DTYPE_LIST(X)        \
    X(F32, f32, FLOAT, 1, 4)     \
    X(BF16, bf16, HALF, 1, 2)    \
    X(F16, f16, HALF, 1, 2)      \
    X(I64, i64, INT, 1, 8)       \
    X(I32, i32, INT, 1, 4)       \
    X(I8, i8, INT, 1, 1)         \
    X(U8, u8, UINT, 1, 1)        \
    X(BOOL, bool, BOOL, 1, 1)    \
    X(Q8_0, q8_0, BLOCK, 32, 34) \
    X(Q4_0, q4_0, BLOCK, 32, 18) \
    X(Q4_1, q4_1, BLOCK, 32, 20)

typedef enum krs_dtype {
#define KRS_DTYPE_ENUM(NAME, name, class, elements, bytes) KRS_##NAME,
    KRS_DTYPE_LIST(KRS_DTYPE_ENUM)
#undef KRS_DTYPE_ENUM
        KRS_DTYPE_COUNT
} krs_dtype;

typedef enum krs_dtype_class {
    KRS_CLASS_FLOAT, /* f32 */
    KRS_CLASS_HALF,  /* f16, bf16: floats for storage */
    KRS_CLASS_INT,   /* signed, two's complement, wrapping */
    KRS_CLASS_UINT,
    KRS_CLASS_BOOL, /* one byte, 0 or 1 */
    KRS_CLASS_BLOCK /* block-quantised, opaque */
} krs_dtype_class;

/* krs_dtype_name(t) -- "f32"; "?" for a value outside the list. */
KRS_API const char *krs_dtype_name(krs_dtype dtype);
KRS_API krs_dtype_class krs_dtype_class_of(krs_dtype dtype);
/* f32, bf16 or f16 */
KRS_API bool krs_dtype_is_float(krs_dtype dtype);
/* i64, i32, i8 or u8 */
KRS_API bool krs_dtype_is_int(krs_dtype dtype);

/* krs_dtype_parse(name, &t) -- the type of that name; false if none. */
KRS_API bool krs_dtype_parse(const char *name, krs_dtype *out);

/* krs_dtype_bytes(t, count, &bytes) -- bytes of count elements in a row.
 * False if count is negative, not a whole number of blocks, or the product
 * does not fit. */
KRS_API bool krs_dtype_bytes(krs_dtype dtype, int64_t count, size_t *out_bytes);

/* krs_convert(to, dst, from, src, count) -- convert count elements.
 *
 * To f16 and bf16: nearest, ties to even, NaN stays NaN, overflow to
 * infinity, subnormals kept. Float to integer: towards zero, saturating, NaN
 * gives 0. Integer to a narrower integer: wraps. To bool: not equal to zero.
 *
 * Errors     DTYPE for a block type. Cost: one pass. Thread-safe. */
KRS_API krs_status krs_convert(krs_dtype to, void *dst, krs_dtype from,
                               const void *src, size_t count, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
