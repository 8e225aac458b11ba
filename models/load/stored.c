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
 * 8-bit floats: OCP 8-bit floating point specification 1.0 (E4M3 without
 * infinities, E5M2) and OCP microscaling 1.0 (E8M0, a power of two).
 */
#include "stored.h"

#include <math.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weight files are little-endian, and so must the machine be"
#endif

#define PIECE 256 /* elements converted at a time, on the stack */

typedef enum kind { KIND_FLOAT, KIND_INT, KIND_BOOL, KIND_COMPLEX } kind;

static const struct {
    const char *name;
    size_t bytes;
    kind kind;
} types[] = {
#define ROW(NAME, bytes, kind) {#NAME, bytes, KIND_##kind},
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

bool
krsi_stored_parse(const char *name, krs_stored *out)
{
    for (int i = 0; i < KRS_STORED_COUNT; i++) {
        if (strcmp(types[i].name, name) == 0) {
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
#define NAME_TEXT(NAME, bytes, kind) ", " #NAME
        KRS_STORED_LIST(NAME_TEXT)
#undef NAME_TEXT
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
    case KRS_STORED_F64:
    case KRS_STORED_F8_E4M3:
    case KRS_STORED_F8_E5M2:
    case KRS_STORED_F8_E8M0:
    case KRS_STORED_I16:
    case KRS_STORED_U64:
    case KRS_STORED_U32:
    case KRS_STORED_U16:
    case KRS_STORED_C64:
    case KRS_STORED_COUNT: break;
    }
    return false;
}

bool
krs_stored_converts(krs_stored stored, krs_dtype dtype)
{
    if (!is_listed(stored) || (unsigned)dtype >= KRS_DTYPE_COUNT ||
        krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK)
        return false;
    switch (types[stored].kind) {
    case KIND_FLOAT: return krs_dtype_is_float(dtype);
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
    const char *at = (const char *)src + first * krs_stored_bytes(from);
    if (!krs_stored_dtype(from, &dtype) || !krs_dtype_is_float(dtype)) {
        for (size_t i = 0; i < count; i++)
            out[i] = krsi_stored_double(from, src, first + i);
        return;
    }
    for (size_t done = 0; done < count; done += PIECE) {
        size_t piece = count - done < PIECE ? count - done : PIECE;
        krsi_stored_convert(from, at + done * krs_stored_bytes(from), KRS_F32,
                            wide, piece);
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
    krs_dtype same;
    size_t to_bytes = 0;
    bool known = krs_stored_dtype(from, &same);
    krs_dtype_bytes(to, 1, &to_bytes);
    if (known && same == to && to != KRS_BOOL) {
        memcpy(dst, src, count * to_bytes);
        return count;
    }
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
