/* eval_type.c -- elements between their own types and the interpreter's form:
 * doubles for floats, int64 for the rest.
 *
 * Rounding, saturating and wrapping are those of graph/base/convert.c, so
 * the interpreter and krs_convert cannot disagree.
 */
#include "eval.h"

double
krsi_round_float(krs_dtype dtype, double value)
{
    if (dtype == KRS_F16)
        return (double)krsi_f16_to_float(krsi_f16_from_double(value));
    if (dtype == KRS_BF16)
        return (double)krsi_bf16_to_float(krsi_bf16_from_double(value));
    return value;
}

krsi_element
krsi_element_of(krs_dtype dtype, double value)
{
    krsi_element element;
    int64_t native = 0; /* room for every integer type */
    if (krs_dtype_is_float(dtype)) {
        element.f = value;
        return element;
    }
    krsi_store_double(dtype, &native, 0, value);
    element.i = krsi_load_int(dtype, &native, 0);
    return element;
}

int64_t
krsi_wrap_int(krs_dtype dtype, int64_t value)
{
    uint64_t bits = (uint64_t)value;
    if (dtype == KRS_I32)
        return (int32_t)(uint32_t)bits;
    if (dtype == KRS_I8)
        return (int8_t)(uint8_t)bits;
    if (dtype == KRS_U8)
        return (uint8_t)bits;
    return dtype == KRS_BOOL ? value != 0 : value;
}

void
krsi_from_native(krs_dtype dtype, krsi_element *dst, const void *src,
                 int64_t count)
{
    size_t n = (size_t)count;
    if (dtype == KRS_F32)
        for (size_t i = 0; i < n; i++)
            dst[i].f = (double)((const float *)src)[i];
    else if (krs_dtype_is_float(dtype))
        for (size_t i = 0; i < n; i++)
            dst[i].f = krsi_load_double(dtype, src, i);
    else
        for (size_t i = 0; i < n; i++)
            dst[i].i = krsi_load_int(dtype, src, i);
}

void
krsi_to_native(krs_dtype dtype, void *dst, const krsi_element *src,
               int64_t count)
{
    size_t n = (size_t)count;
    if (dtype == KRS_F32)
        for (size_t i = 0; i < n; i++)
            ((float *)dst)[i] = (float)src[i].f;
    else if (krs_dtype_is_float(dtype))
        for (size_t i = 0; i < n; i++)
            krsi_store_double(dtype, dst, i, src[i].f);
    else
        for (size_t i = 0; i < n; i++)
            krsi_store_int(dtype, dst, i, src[i].i);
}
