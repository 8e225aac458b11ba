/* stored.c -- values of the types that weight files hold.
 *
 * In: elements as they lie in a file, little-endian, aligned to their
 * size. Out: the same values in a krs_dtype. Invariant: a float is rounded once; an
 * integer is never changed.
 *
 * Types that krs_convert knows go through it. The others are first widened
 * exactly, to float (the 8-bit types) or int64; only F64 does not fit either.
 * On its way to a 16-bit type it passes through a float *rounded to odd*:
 * truncated, with the last bit set if anything was lost. A float has more
 * than two bits beyond f16 and bf16, so the second rounding decides as if it
 * saw the double (Boldo and Melquiond 2008).
 *
 * Block types are read by block.h, whole blocks at a time.
 *
 * 8-bit floats: OCP 8-bit floating point specification 1.0 (E4M3 without
 * infinities, E5M2) and OCP microscaling 1.0 (E8M0, a power of two).
 */
#include "stored.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weight files are little-endian, and so must the machine be"
#endif

#define PIECE 256 /* elements converted at a time, on the stack */

typedef enum kind {
    KIND_FLOAT,
    KIND_INT,
    KIND_BOOL,
    KIND_COMPLEX,
    KIND_BLOCK
} kind;

static const struct {
    const char *name;
    size_t elements, bytes;
    kind kind;
} types[] = {
#define ROW(NAME, elements, bytes, kind) {#NAME, elements, bytes, KIND_##kind},
    KRS_STORED_LIST(ROW)
#undef ROW
};

static bool
is_listed(krs_stored stored)
{
    return (unsigned)stored < KRS_STORED_COUNT;
}

const char *
krs_stored_name(krs_stored stored)
{
    return is_listed(stored) ? types[stored].name : "?";
}

size_t
krs_stored_bytes(krs_stored stored)
{
    return is_listed(stored) ? types[stored].bytes : 0;
}

size_t
krs_stored_elements(krs_stored stored)
{
    return is_listed(stored) ? types[stored].elements : 0;
}

bool
krs_stored_block(krs_stored stored, krs_block *out)
{
    static const krs_stored first =
        KRS_STORED_Q4_0; /* one list after another */
    if (!is_listed(stored) || types[stored].kind != KIND_BLOCK)
        return false;
    *out = (krs_block)(stored - first);
    return true;
}

bool
krs_stored_parse(const char *name, krs_stored *out)
{
    for (int i = 0; i < KRS_STORED_COUNT; i++) {
        if (strcasecmp(types[i].name, name) == 0) {
            *out = (krs_stored)i;
            return true;
        }
    }
    return false;
}

bool
krsi_stored_parse(const char *name, krs_stored *out)
{
    for (int i = 0; i < KRS_STORED_COUNT; i++) {
        if (types[i].kind != KIND_BLOCK && strcmp(types[i].name, name) == 0) {
            *out = (krs_stored)i;
            return true;
        }
    }
    return false;
}

const char *
krsi_stored_names(void)
{
    static const char names[] =
#define TEXT_FLOAT(NAME) ", " #NAME
#define TEXT_INT         TEXT_FLOAT
#define TEXT_BOOL        TEXT_FLOAT
#define TEXT_COMPLEX     TEXT_FLOAT
#define TEXT_BLOCK(NAME)
#define NAME_TEXT(NAME, elements, bytes, kind) TEXT_##kind(NAME)
        KRS_STORED_LIST(NAME_TEXT)
#undef NAME_TEXT
#undef TEXT_FLOAT
#undef TEXT_INT
#undef TEXT_BOOL
#undef TEXT_COMPLEX
#undef TEXT_BLOCK
        ;
    return names + 2;
}

bool
krs_stored_dtype(krs_stored stored, krs_dtype *out)
{
    switch (stored) {
    case KRS_STORED_F32: *out = KRS_F32; return true;
    case KRS_STORED_F16: *out = KRS_F16; return true;
    case KRS_STORED_BF16: *out = KRS_BF16; return true;
    case KRS_STORED_I64: *out = KRS_I64; return true;
    case KRS_STORED_I32: *out = KRS_I32; return true;
    case KRS_STORED_I8: *out = KRS_I8; return true;
    case KRS_STORED_U8: *out = KRS_U8; return true;
    case KRS_STORED_BOOL: *out = KRS_BOOL; return true;
    case KRS_STORED_Q8_0: *out = KRS_Q8_0; return true;
    case KRS_STORED_Q4_0: *out = KRS_Q4_0; return true;
    case KRS_STORED_Q4_1: *out = KRS_Q4_1; return true;
    case KRS_STORED_F64:
    case KRS_STORED_F8_E4M3:
    case KRS_STORED_F8_E5M2:
    case KRS_STORED_F8_E8M0:
    case KRS_STORED_I16:
    case KRS_STORED_U64:
    case KRS_STORED_U32:
    case KRS_STORED_U16:
    case KRS_STORED_C64:
    case KRS_STORED_Q5_0:
    case KRS_STORED_Q5_1:
    case KRS_STORED_Q2_K:
    case KRS_STORED_Q3_K:
    case KRS_STORED_Q4_K:
    case KRS_STORED_Q5_K:
    case KRS_STORED_Q6_K:
    case KRS_STORED_COUNT: break;
    }
    return false;
}

bool
krs_stored_converts(krs_stored stored, krs_dtype dtype)
{
    krs_dtype same;
    if (!is_listed(stored) || (unsigned)dtype >= KRS_DTYPE_COUNT)
        return false;
    if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK)
        return krs_stored_dtype(stored, &same) && same == dtype;
    switch (types[stored].kind) {
    case KIND_FLOAT:
    case KIND_BLOCK: return krs_dtype_is_float(dtype);
    case KIND_INT:
    case KIND_BOOL: return true;
    case KIND_COMPLEX: break;
    }
    return false;
}

/* A float of 8 bits with `mantissa` fraction bits. The caller has dealt with
 * codes that are not numbers. */
static double
small_float(unsigned bits, int mantissa, int bias)
{
    int exponent = (int)((bits & 0x7F) >> mantissa);
    int fraction = (int)(bits & ((1u << mantissa) - 1));
    double magnitude = exponent == 0 ? ldexp(fraction, 1 - bias - mantissa)
                                     : ldexp(fraction + (1 << mantissa),
                                             exponent - bias - mantissa);
    return bits & 0x80 ? -magnitude : magnitude;
}

static double
e4m3(unsigned bits)
{
    return (bits & 0x7F) == 0x7F ? (double)NAN : small_float(bits, 3, 7);
}

static double
e5m2(unsigned bits)
{
    if ((bits & 0x7F) > 0x7C)
        return (double)NAN;
    if ((bits & 0x7F) == 0x7C)
        return bits & 0x80 ? -(double)INFINITY : (double)INFINITY;
    return small_float(bits, 2, 15);
}

static double
e8m0(unsigned bits)
{
    return bits == 0xFF ? (double)NAN : ldexp(1, (int)bits - 127);
}

bool
krsi_stored_int(krs_stored from, const void *src, size_t i, int64_t *out)
{
    const unsigned char *at =
        (const unsigned char *)src + i * krs_stored_bytes(from);
    uint64_t bits = 0;
    memcpy(&bits, at, krs_stored_bytes(from));
    switch (from) {
    case KRS_STORED_I32: *out = (int32_t)bits; break;
    case KRS_STORED_I16: *out = (int16_t)bits; break;
    case KRS_STORED_I8: *out = (int8_t)bits; break;
    case KRS_STORED_BOOL: *out = bits != 0; break;
    case KRS_STORED_U64:
        if (bits > INT64_MAX)
            return false;
        *out = (int64_t)bits;
        break;
    case KRS_STORED_I64:
    case KRS_STORED_U32:
    case KRS_STORED_U16:
    case KRS_STORED_U8: *out = (int64_t)bits; break;
    case KRS_STORED_F64:
    case KRS_STORED_F32:
    case KRS_STORED_F16:
    case KRS_STORED_BF16:
    case KRS_STORED_F8_E4M3:
    case KRS_STORED_F8_E5M2:
    case KRS_STORED_F8_E8M0:
    case KRS_STORED_C64:
    case KRS_STORED_Q4_0:
    case KRS_STORED_Q4_1:
    case KRS_STORED_Q5_0:
    case KRS_STORED_Q5_1:
    case KRS_STORED_Q8_0:
    case KRS_STORED_Q2_K:
    case KRS_STORED_Q3_K:
    case KRS_STORED_Q4_K:
    case KRS_STORED_Q5_K:
    case KRS_STORED_Q6_K:
    case KRS_STORED_COUNT: return false;
    }
    return true;
}

double
krsi_stored_double(krs_stored from, const void *src, size_t i)
{
    const unsigned char *at =
        (const unsigned char *)src + i * krs_stored_bytes(from);
    krs_dtype dtype;
    double value = (double)NAN;
    float narrow = 0;
    uint64_t bits;
    int64_t number;
    switch (from) {
    case KRS_STORED_F64: memcpy(&value, at, sizeof value); return value;
    case KRS_STORED_F32: memcpy(&narrow, at, sizeof narrow); return narrow;
    case KRS_STORED_F16:
    case KRS_STORED_BF16:
        if (krs_stored_dtype(from, &dtype))
            krs_convert(KRS_F32, &narrow, dtype, at, 1, NULL);
        return narrow;
    case KRS_STORED_F8_E4M3: return e4m3(*at);
    case KRS_STORED_F8_E5M2: return e5m2(*at);
    case KRS_STORED_F8_E8M0: return e8m0(*at);
    case KRS_STORED_U64: memcpy(&bits, at, sizeof bits); return (double)bits;
    case KRS_STORED_I64:
    case KRS_STORED_I32:
    case KRS_STORED_I16:
    case KRS_STORED_I8:
    case KRS_STORED_U32:
    case KRS_STORED_U16:
    case KRS_STORED_U8:
    case KRS_STORED_BOOL:
        krsi_stored_int(from, src, i, &number);
        return (double)number;
    case KRS_STORED_C64:
    case KRS_STORED_Q4_0:
    case KRS_STORED_Q4_1:
    case KRS_STORED_Q5_0:
    case KRS_STORED_Q5_1:
    case KRS_STORED_Q8_0:
    case KRS_STORED_Q2_K:
    case KRS_STORED_Q3_K:
    case KRS_STORED_Q4_K:
    case KRS_STORED_Q5_K:
    case KRS_STORED_Q6_K:
    case KRS_STORED_COUNT: break;
    }
    return value;
}

void
krsi_stored_doubles(krs_stored from, const void *src, size_t first,
                    size_t count, double *out)
{
    float wide[PIECE];
    krs_dtype dtype;
    size_t elements = krs_stored_elements(from);
    const char *at =
        (const char *)src + first / elements * krs_stored_bytes(from);
    if (types[from].kind != KIND_BLOCK &&
        (!krs_stored_dtype(from, &dtype) || !krs_dtype_is_float(dtype))) {
        for (size_t i = 0; i < count; i++)
            out[i] = krsi_stored_double(from, src, first + i);
        return;
    }
    for (size_t done = 0; done < count; done += PIECE) {
        size_t piece = count - done < PIECE ? count - done : PIECE;
        krsi_stored_convert(from, at + done / elements * krs_stored_bytes(from),
                            KRS_F32, wide, piece);
        for (size_t i = 0; i < piece; i++)
            out[done + i] = (double)wide[i];
    }
}

/* The float next to value towards zero, its last bit set if inexact. */
static float
round_to_odd(double value)
{
    float nearest = (float)value;
    uint32_t bits;
    if ((double)nearest == value || isnan(value))
        return nearest;
    memcpy(&bits, &nearest, sizeof bits);
    if (fabs((double)nearest) > fabs(value))
        bits--; /* magnitude is the low 31 bits: one step towards zero */
    bits |= 1;
    memcpy(&nearest, &bits, sizeof bits);
    return nearest;
}

static_assert(KRS_BLOCK_ELEMENTS <= PIECE, "a block fits in a piece");

static bool
fits(krs_dtype to, int64_t value)
{
    switch (to) {
    case KRS_I32: return value >= INT32_MIN && value <= INT32_MAX;
    case KRS_I8: return value >= INT8_MIN && value <= INT8_MAX;
    case KRS_U8: return value >= 0 && value <= UINT8_MAX;
    case KRS_F32:
    case KRS_BF16:
    case KRS_F16:
    case KRS_I64:
    case KRS_BOOL:
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
    return true;
}

static void
convert_floats(krs_stored from, const void *src, size_t first, krs_dtype to,
               void *dst, size_t count)
{
    float wide[PIECE];
    for (size_t i = 0; i < count; i++) {
        double value = krsi_stored_double(from, src, first + i);
        wide[i] = to == KRS_F32 ? (float)value : round_to_odd(value);
    }
    krs_convert(to, dst, KRS_F32, wide, count, NULL);
}

static size_t
convert_ints(krs_stored from, const void *src, size_t first, krs_dtype to,
             void *dst, size_t count)
{
    int64_t wide[PIECE];
    size_t good = 0;
    while (good < count &&
           krsi_stored_int(from, src, first + good, &wide[good]) &&
           fits(to, wide[good]))
        good++;
    krs_convert(to, dst, KRS_I64, wide, good, NULL);
    return good;
}

/* A block holds at most PIECE elements, and the types converted to have no
 * blocks. */
static void
convert_blocks(krs_stored from, const void *src, krs_dtype to, void *dst,
               size_t count)
{
    float wide[PIECE];
    krs_block format = KRS_BLOCK_COUNT;
    size_t elements = types[from].elements, to_bytes = 0;
    krs_dtype_bytes(to, 1, &to_bytes);
    krs_stored_block(from, &format);
    if (to == KRS_F32) {
        krs_block_read(format, src, count / elements, dst);
        return;
    }
    for (size_t i = 0; i < count / elements; i++) {
        krs_block_read(format, (const char *)src + i * types[from].bytes, 1,
                       wide);
        krs_convert(to, (char *)dst + i * elements * to_bytes, KRS_F32, wide,
                    elements, NULL);
    }
}

/* most large models are bf16, and this is a shift */
static void
widen_bf16(const uint16_t *src, void *dst, size_t count)
{
    uint32_t *bits = dst;
    for (size_t i = 0; i < count; i++)
        bits[i] = (uint32_t)src[i] << 16;
}

size_t
krsi_stored_convert(krs_stored from, const void *src, krs_dtype to, void *dst,
                    size_t count)
{
    krs_dtype same = to;
    size_t to_bytes = 0;
    bool known = krs_stored_dtype(from, &same);
    if (known && same == to && to != KRS_BOOL) {
        memcpy(dst, src, count / types[from].elements * types[from].bytes);
        return count;
    }
    if (types[from].kind == KIND_BLOCK) {
        convert_blocks(from, src, to, dst, count);
        return count;
    }
    krs_dtype_bytes(to, 1, &to_bytes);
    if (from == KRS_STORED_BF16 && to == KRS_F32) {
        widen_bf16(src, dst, count);
        return count;
    }
    if (known && types[from].kind == KIND_FLOAT) {
        krs_convert(to, dst, same, src, count, NULL);
        return count;
    }
    for (size_t done = 0; done < count; done += PIECE) {
        size_t piece = count - done < PIECE ? count - done : PIECE;
        void *at = (char *)dst + done * to_bytes;
        if (types[from].kind == KIND_FLOAT) {
            convert_floats(from, src, done, to, at, piece);
        } else {
            size_t good = convert_ints(from, src, done, to, at, piece);
            if (good < piece)
                return done + good;
        }
    }
    return count;
}
