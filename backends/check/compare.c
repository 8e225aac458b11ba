/* compare.c -- the one comparator of results (check.h).
 *
 * In: what was computed, what is wanted, a tolerance, perhaps a mask. Out: a
 * verdict, the worst element, how many fail.
 *
 * Method: the elements are widened a block at a time, floats to double (exact
 * for f32, f16 and bf16), integers and bools to int64. Each element gets a
 * ratio, error over tolerance, which is infinite when the classes (NaN, the
 * infinities, numbers) differ. An element passes only if the comparison
 * ratio <= 1 holds, which it does not for a NaN; so a mistake in here fails
 * rather than passes.
 *
 * Does not: average, sample, or stop early.
 */
#include "../../graph/base/base.h"

#include <krs/check.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 256 };

/* What the elements of a block are compared as. */
union elements {
    float f32[BLOCK];
    int64_t i64[BLOCK];
};

#define SHAPE_TEXT 200

static void
print_shape(char text[SHAPE_TEXT], krs_dtype dtype, krs_shape s)
{
    int used = snprintf(text, SHAPE_TEXT, "%s[", krs_dtype_name(dtype));
    for (int i = 0; i < s.rank && i < KRS_MAX_RANK; i++)
        used += snprintf(text + used, SHAPE_TEXT - (size_t)used, "%s%lld",
                         i ? "," : "", (long long)s.dim[i]);
    snprintf(text + used, SHAPE_TEXT - (size_t)used, "]");
}

/* row-major index -> "[1,0,7]" */
static void
print_position(char text[SHAPE_TEXT], krs_shape s, int64_t index)
{
    int64_t at[KRS_MAX_RANK];
    for (int i = s.rank - 1; i >= 0; i--) {
        at[i] = index % s.dim[i];
        index /= s.dim[i];
    }
    int used = snprintf(text, SHAPE_TEXT, "[");
    for (int i = 0; i < s.rank; i++)
        used += snprintf(text + used, SHAPE_TEXT - (size_t)used, "%s%lld",
                         i ? "," : "", (long long)at[i]);
    snprintf(text + used, SHAPE_TEXT - (size_t)used, "]");
}

static bool
shapes_agree(krs_shape a, krs_shape b)
{
    if (a.rank != b.rank)
        return false;
    for (int i = 0; i < a.rank; i++) {
        if (a.dim[i] != b.dim[i])
            return false;
    }
    return true;
}

static bool
size_is_right(const krs_view *v)
{
    int64_t count = 0;
    size_t bytes = 0;
    return krs_shape_elements(v->shape, &count) &&
           krs_dtype_bytes(v->dtype, count, &bytes) && bytes == v->bytes;
}

/* Every element of the mask decides over *out_below elements of want. */
static krs_status
check_mask(const krs_view *mask, krs_shape want, int64_t *out_below,
           krs_error *err)
{
    *out_below = 1;
    if (!mask)
        return KRS_OK;
    krs_shape head = want;
    head.rank = mask->shape.rank;
    if (mask->dtype != KRS_BOOL || head.rank > want.rank ||
        !shapes_agree(mask->shape, head)) {
        char have[SHAPE_TEXT], need[SHAPE_TEXT];
        print_shape(have, mask->dtype, mask->shape);
        print_shape(need, KRS_BOOL, want);
        return krs_fail(err, KRS_E_ARGUMENT,
                        "compare: a mask %s does not fit; it must be %s "
                        "without some of the last axes",
                        have, need);
    }
    if (!size_is_right(mask))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "compare: the mask has %zu bytes of data, which is "
                        "not what its shape needs",
                        mask->bytes);
    for (int i = head.rank; i < want.rank; i++)
        *out_below *= want.dim[i];
    return KRS_OK;
}

static krs_status
check_arguments(const krs_view *got, const krs_view *want, krs_tolerance t,
                krs_error *err)
{
    if (!(t.rtol >= 0 && t.rtol < INFINITY && t.atol >= 0 && t.atol < INFINITY))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "compare: a tolerance must be finite and not "
                        "negative: rtol %g, atol %g",
                        t.rtol, t.atol);
    KRS_TRY(krsi_need(got, "compare", "got", err));
    KRS_TRY(krsi_need(want, "compare", "want", err));
    if ((got->bytes > 0 && !got->data) || (want->bytes > 0 && !want->data))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "compare: the data of a tensor is NULL");
    if (krs_dtype_class_of(want->dtype) == KRS_CLASS_BLOCK)
        return krs_fail(err, KRS_E_DTYPE,
                        "compare: %s is block-quantised; dequantise it first",
                        krs_dtype_name(want->dtype));
    if (want->shape.rank < 0 || want->shape.rank > KRS_MAX_RANK)
        return krs_fail(err, KRS_E_ARGUMENT, "compare: rank %d is not 0 to %d",
                        (int)want->shape.rank, KRS_MAX_RANK);
    if (!size_is_right(want))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "compare: the wanted tensor has %zu bytes of data, "
                        "which is not what its shape needs",
                        want->bytes);
    if (got->dtype != want->dtype || !shapes_agree(got->shape, want->shape)) {
        char have[SHAPE_TEXT], need[SHAPE_TEXT];
        print_shape(have, got->dtype, got->shape);
        print_shape(need, want->dtype, want->shape);
        return krs_fail(err, KRS_E_CHECK, "got %s, want %s", have, need);
    }
    if (got->bytes != want->bytes)
        return krs_fail(err, KRS_E_CHECK, "got %zu bytes of data, want %zu",
                        got->bytes, want->bytes);
    return KRS_OK;
}

/* error / tolerance; infinite when no tolerance can help */
static double
float_ratio(double got, double want, krs_tolerance t)
{
    bool exact = t.rtol == 0 && t.atol == 0;
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want) ? 0 : INFINITY;
    if ((exact || t.signed_zeros) && got == 0 && want == 0)
        return signbit(got) == signbit(want) ? 0 : INFINITY;
    if (got == want)
        return 0;
    if (isinf(got) || isinf(want) || exact)
        return INFINITY;
    double allowed = t.atol + t.rtol * fabs(want);
    return allowed > 0 ? fabs(got - want) / allowed : INFINITY;
}

static double
int_ratio(int64_t got, int64_t want, krs_tolerance t)
{
    if (got == want)
        return 0;
    double allowed = t.atol + t.rtol * fabs((double)want);
    return allowed > 0 ? fabs((double)got - (double)want) / allowed : INFINITY;
}

krs_status
krs_compare(const krs_view *got, const krs_view *want, const krs_view *mask,
            krs_tolerance tolerance, krs_comparison *result, krs_error *err)
{
    krs_comparison unused;
    krs_comparison *r = result ? result : &unused;
    *r = (krs_comparison){.worst = -1};
    int64_t count = 0, below = 1;
    KRS_TRY(check_arguments(got, want, tolerance, err));
    KRS_TRY(check_mask(mask, want->shape, &below, err));
    krs_shape_elements(want->shape, &count);

    bool is_float = krs_dtype_is_float(want->dtype);
    krs_dtype wide = is_float ? KRS_F32 : KRS_I64;
    size_t element_bytes = 0;
    krs_dtype_bytes(want->dtype, 1, &element_bytes);
    union elements have, need;
    for (int64_t start = 0; start < count; start += BLOCK) {
        size_t n = count - start < BLOCK ? (size_t)(count - start) : BLOCK;
        size_t at_bytes = (size_t)start * element_bytes;
        KRS_TRY(krs_convert(wide, &have, got->dtype,
                            (const char *)got->data + at_bytes, n, err));
        KRS_TRY(krs_convert(wide, &need, want->dtype,
                            (const char *)want->data + at_bytes, n, err));
        for (size_t i = 0; i < n; i++) {
            int64_t index = start + (int64_t)i;
            if (mask && !((const uint8_t *)mask->data)[index / below])
                continue;
            double ratio = is_float
                               ? float_ratio((double)have.f32[i],
                                             (double)need.f32[i], tolerance)
                               : int_ratio(have.i64[i], need.i64[i], tolerance);
            r->counted++;
            if (!(ratio <= 1))
                r->failing++;
            if (r->worst < 0 || ratio > r->ratio) {
                r->worst = index;
                r->ratio = ratio;
                r->got = is_float ? (double)have.f32[i] : (double)have.i64[i];
                r->want = is_float ? (double)need.f32[i] : (double)need.i64[i];
            }
        }
    }
    if (count > 0 && r->counted == 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "compare: the mask leaves none of %lld elements",
                        (long long)count);
    r->passed = r->failing == 0;
    if (r->passed)
        return KRS_OK;
    char where[SHAPE_TEXT];
    print_position(where, want->shape, r->worst);
    return krs_fail(err, KRS_E_CHECK,
                    "%lld of %lld elements differ; worst at %s: got %.9g, "
                    "want %.9g, %.3g times the tolerance",
                    (long long)r->failing, (long long)r->counted, where, r->got,
                    r->want, r->ratio);
}
