/* convert.c -- elements from one type to another, and numbers to text.
 *
 * Every rounding here happens once, from the exact value: a double goes to
 * bf16 or f16 directly, never through f32, so that no tie is decided twice.
 */
#include "base.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t
bits_of_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Round a double to a 16-bit float with `mantissa` fraction bits and an
 * exponent of the given bias: nearest, ties to even. The significand is kept
 * as an integer and shifted right by what the result cannot hold, so normal
 * and subnormal results and the carry into the exponent are one path. */
static uint16_t
round_to_16(double value, int mantissa, int bias)
{
    uint64_t bits = bits_of_double(value);
    uint16_t sign = (uint16_t)(bits >> 63 << 15);
    int exponent = (int)(bits >> 52 & 0x7FF);
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    uint16_t infinity = (uint16_t)((2 * bias + 1) << mantissa);

    if (exponent == 0x7FF) {
        uint16_t quiet = (uint16_t)(fraction ? 1u << (mantissa - 1) : 0);
        return (uint16_t)(sign | infinity | quiet);
    }
    if (exponent == 0)
        return sign; /* a double subnormal is far below every result */
    int target = exponent - 1023 + bias;
    int shift = 52 - mantissa;
    if (target < 1)
        shift += 1 - target; /* subnormal: the implicit one moves right */
    if (shift > 63)
        return sign;
    uint64_t significand = fraction | UINT64_C(1) << 52;
    uint64_t kept = significand >> shift;
    uint64_t rest = significand & ((UINT64_C(1) << shift) - 1);
    uint64_t half = UINT64_C(1) << (shift - 1);
    if (rest > half || (rest == half && (kept & 1)))
        kept++;
    uint64_t result = kept;
    if (target >= 1)
        result += (uint64_t)(target - 1) << mantissa;
    return (uint16_t)(sign | (result < infinity ? result : infinity));
}

uint16_t
krsi_bf16_from_double(double value)
{
    return round_to_16(value, 7, 127);
}

uint16_t
krsi_f16_from_double(double value)
{
    return round_to_16(value, 10, 15);
}

float
krsi_bf16_to_float(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

float
krsi_f16_to_float(uint16_t bits)
{
    uint32_t exponent = bits >> 10 & 31;
    uint32_t fraction = bits & 1023;
    uint32_t wide = (exponent + 112) << 23 | fraction << 13; /* if normal */
    float magnitude;
    if (exponent == 31)
        magnitude = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        magnitude = (float)fraction * 0x1p-24F;
    else
        memcpy(&magnitude, &wide, sizeof magnitude);
    return bits >> 15 ? -magnitude : magnitude;
}

double
krsi_load_double(krs_dtype dtype, const void *data, size_t i)
{
    switch (dtype) {
    case KRS_F32: return (double)((const float *)data)[i];
    case KRS_BF16:
        return (double)krsi_bf16_to_float(((const uint16_t *)data)[i]);
    case KRS_F16: return (double)krsi_f16_to_float(((const uint16_t *)data)[i]);
    case KRS_I64:
    case KRS_I32:
    case KRS_I8:
    case KRS_U8:
    case KRS_BOOL: return (double)krsi_load_int(dtype, data, i);
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
    return NAN;
}

/* Towards zero, saturating at the bounds of the type, NaN gives 0. */
static int64_t
saturate(double value, double low, double high)
{
    if (isnan(value))
        return 0;
    if (value <= low)
        return (int64_t)low;
    if (value >= high)
        return high >= 0x1p63 ? INT64_MAX : (int64_t)high;
    return (int64_t)value;
}

int64_t
krsi_load_int(krs_dtype dtype, const void *data, size_t i)
{
    switch (dtype) {
    case KRS_I64: return ((const int64_t *)data)[i];
    case KRS_I32: return ((const int32_t *)data)[i];
    case KRS_I8: return ((const int8_t *)data)[i];
    case KRS_U8: return ((const uint8_t *)data)[i];
    case KRS_BOOL: return ((const uint8_t *)data)[i] != 0;
    case KRS_F32:
    case KRS_BF16:
    case KRS_F16:
        return saturate(krsi_load_double(dtype, data, i), -0x1p63, 0x1p63);
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
    return 0;
}

void
krsi_store_double(krs_dtype dtype, void *data, size_t i, double value)
{
    switch (dtype) {
    case KRS_F32: ((float *)data)[i] = (float)value; break;
    case KRS_BF16: ((uint16_t *)data)[i] = krsi_bf16_from_double(value); break;
    case KRS_F16: ((uint16_t *)data)[i] = krsi_f16_from_double(value); break;
    case KRS_I64:
        ((int64_t *)data)[i] = saturate(value, -0x1p63, 0x1p63);
        break;
    case KRS_I32:
        ((int32_t *)data)[i] =
            (int32_t)saturate(value, (double)INT32_MIN, (double)INT32_MAX);
        break;
    case KRS_I8:
        ((int8_t *)data)[i] = (int8_t)saturate(value, INT8_MIN, INT8_MAX);
        break;
    case KRS_U8:
        ((uint8_t *)data)[i] = (uint8_t)saturate(value, 0, UINT8_MAX);
        break;
    case KRS_BOOL: ((uint8_t *)data)[i] = value != 0; break;
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
}

void
krsi_store_int(krs_dtype dtype, void *data, size_t i, int64_t value)
{
    switch (dtype) {
    case KRS_I64: ((int64_t *)data)[i] = value; break;
    case KRS_I32: ((uint32_t *)data)[i] = (uint32_t)value; break;
    case KRS_I8:
    case KRS_U8: ((uint8_t *)data)[i] = (uint8_t)value; break;
    case KRS_BOOL: ((uint8_t *)data)[i] = value != 0; break;
    case KRS_F32: ((float *)data)[i] = (float)value; break;
    case KRS_BF16:
    case KRS_F16: krsi_store_double(dtype, data, i, (double)value); break;
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
}

krs_status
krs_convert(krs_dtype to, void *dst, krs_dtype from, const void *src,
            size_t count, krs_error *err)
{
    if (krs_dtype_class_of(to) == KRS_CLASS_BLOCK ||
        krs_dtype_class_of(from) == KRS_CLASS_BLOCK)
        return krs_fail(err, KRS_E_DTYPE,
                        "convert: %s to %s: block-quantised types have no "
                        "element-wise conversion; use krs_block_read",
                        krs_dtype_name(from), krs_dtype_name(to));
    size_t bytes;
    if (count > INT64_MAX || !krs_dtype_bytes(to, (int64_t)count, &bytes))
        return krs_fail(err, KRS_E_RANGE, "convert: %zu elements are too many",
                        count);
    if (count > 0) {
        KRS_TRY(krsi_need(dst, "convert", "dst", err));
        KRS_TRY(krsi_need(src, "convert", "src", err));
    }
    if (to == from)
        memmove(dst, src, bytes);
    else if (krs_dtype_is_float(from))
        for (size_t i = 0; i < count; i++)
            krsi_store_double(to, dst, i, krsi_load_double(from, src, i));
    else
        for (size_t i = 0; i < count; i++)
            krsi_store_int(to, dst, i, krsi_load_int(from, src, i));
    return KRS_OK;
}
