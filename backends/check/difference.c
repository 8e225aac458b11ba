/* difference.c -- two tensors compared in bits and in ulps, see alone.h.
 *
 * In: tensors of one type and shape. Out: how many elements are the same bits,
 * the largest differences, and a histogram of distances in units in the last
 * place, counted on the line of all numbers of the type: the bits of a float,
 * with negative numbers folded below zero, are integers in its order.
 */
#include "alone.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t
krsi_view_elements(const krs_view *v)
{
    int64_t count = 0;
    krs_shape_elements(v->shape, &count);
    return count;
}

double
krsi_view_number(const krs_view *v, int64_t i)
{
    return krs_dtype_is_float(v->dtype)
               ? krsi_load_double(v->dtype, v->data, (size_t)i)
               : (double)krsi_load_int(v->dtype, v->data, (size_t)i);
}

static size_t
element_bytes(krs_dtype dtype)
{
    size_t bytes = 1;
    krs_dtype_bytes(dtype, 1, &bytes);
    return bytes;
}

bool
krsi_view_same(const krs_view *a, const krs_view *b, int64_t i)
{
    size_t bytes = element_bytes(a->dtype), at = (size_t)i * bytes;
    if (memcmp((const char *)a->data + at, (const char *)b->data + at, bytes) ==
        0)
        return true;
    return krs_dtype_is_float(a->dtype) && isnan(krsi_view_number(a, i)) &&
           isnan(krsi_view_number(b, i));
}

double
krsi_ulp_of(krs_dtype dtype, double x)
{
    int digits = dtype == KRS_F32 ? 24 : dtype == KRS_F16 ? 11 : 8;
    int lowest = dtype == KRS_F16 ? -24 : dtype == KRS_F32 ? -149 : -133;
    int exponent;
    frexp(x, &exponent);
    int e = exponent - digits;
    return ldexp(1, e < lowest ? lowest : e);
}

/* the place of an element on the line of its type's numbers */
static int64_t
place_of(const krs_view *v, int64_t i)
{
    uint32_t bits = 0, sign;
    size_t bytes = element_bytes(v->dtype);
    memcpy(&bits, (const char *)v->data + (size_t)i * bytes, bytes);
    sign = bytes == 4 ? 0x80000000U : 0x8000U;
    return bits & sign ? -(int64_t)(bits & (sign - 1)) : (int64_t)bits;
}

/* 0, 1, 2, 4, ... ulps: the first bucket that is large enough */
static int
bucket_of(const krs_view *got, const krs_view *want, int64_t i, double a,
          double b)
{
    uint64_t ulps = 1; /* of an integer: its difference */
    if (isnan(a) || isnan(b) || isinf(a) || isinf(b))
        return KRS_ULP_BUCKETS - 1;
    if (krs_dtype_is_float(got->dtype))
        ulps = (uint64_t)llabs(place_of(got, i) - place_of(want, i));
    else if (fabs(a - b) > 1)
        ulps = (uint64_t)fmin(fabs(a - b), 0x1p62);
    int bucket = 1;
    if (ulps == 0) /* zeros of either sign */
        return 1;
    for (uint64_t most = 1; ulps > most && bucket < KRS_ULP_BUCKETS - 2;
         most *= 2)
        bucket++;
    return bucket;
}

void
krsi_differ(const krs_view *got, const krs_view *want,
            krs_check_difference *out)
{
    *out = (krs_check_difference){.elements = krsi_view_elements(got),
                                  .worst = -1};
    if (krs_dtype_class_of(got->dtype) == KRS_CLASS_BLOCK) {
        out->elements = 0;
        return;
    }
    for (int64_t i = 0; i < out->elements; i++) {
        double b = krsi_view_number(want, i);
        if (isfinite(b))
            out->scale = fmax(out->scale, fabs(b));
        if (krsi_view_same(got, want, i)) {
            out->ulps[0]++;
            continue;
        }
        double a = krsi_view_number(got, i);
        int bucket = bucket_of(got, want, i, a, b);
        double far = bucket == KRS_ULP_BUCKETS - 1 ? INFINITY : fabs(a - b);
        double part = b != 0 && far < INFINITY ? far / fabs(b) : far;
        out->ulps[bucket]++;
        if (out->worst < 0 || far > out->largest) {
            out->worst = i;
            out->largest = far;
            out->got = a;
            out->want = b;
        }
        out->largest_relative = fmax(out->largest_relative, part);
    }
}

bool
krsi_view_room(krs_view *v)
{
    int64_t count = 0;
    v->bytes = 0;
    if (!krs_shape_elements(v->shape, &count) ||
        !krs_dtype_bytes(v->dtype, count, &v->bytes))
        return false;
    v->data = calloc(1, v->bytes + 1);
    return v->data;
}

void
krsi_view_free(krs_view *v)
{
    free((void *)(uintptr_t)v->data);
    v->data = NULL;
}
