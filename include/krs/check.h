/* check.h -- comparing tensors element by element.
 *
 *     krs_view got = {KRS_F32, KRS_SHAPE(2, 3), data, sizeof data};
 *     krs_tolerance tolerance = {.rtol = 1e-5, .atol = 1e-6};
 *     krs_comparison result;
 *     status = krs_compare(&got, &want, NULL, tolerance, &result, &err);
 *
 * KRS_OK means that every element agrees, KRS_E_CHECK that one does not, and
 * err says which. No figure is averaged over a tensor, so that one wrong
 * element among millions is found; a NaN never slips through a comparison.
 */
#ifndef KRS_CHECK_H
#define KRS_CHECK_H

#include <krs/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A tensor in memory, row-major, borrowed. */
typedef struct krs_view {
    krs_dtype dtype; /* any but the block types */
    krs_shape shape;
    const void *data;
    size_t bytes; /* of data; must be what dtype and shape need */
} krs_view;

/* An element agrees if |got - want| <= atol + rtol * |want|. Both 0 asks for
 * the same bits (all NaNs are one). */
typedef struct krs_tolerance {
    double rtol;       /* >= 0, finite */
    double atol;       /* >= 0, finite */
    bool signed_zeros; /* a wanted 0 does not accept -0, nor -0 a 0 */
} krs_tolerance;

typedef struct krs_comparison {
    bool passed;
    int64_t counted;  /* elements compared */
    int64_t failing;  /* of them; 0 if type, shape or size differ */
    int64_t worst;    /* row-major index of the worst element; -1: none */
    double got, want; /* its values */
    double ratio;     /* its error / its tolerance: above 1 fails, infinite
                         where no tolerance can help */
} krs_comparison;

/* krs_compare(got, want, mask, tolerance, &result, err) -- compare all
 * elements that count.
 *
 *   got, want  must have the same type and shape; no elements at all is fine
 *   mask       NULL (all count), or bool whose shape is that of want without
 *              some of its last axes: where false, nothing below counts
 *   result     NULL is fine; filled unless the status is another error
 *
 * NaN is matched only by NaN, an infinity only by the same infinity. On
 * passing, `worst` is the element nearest to its tolerance.
 *
 * Errors     CHECK if they differ: type, shape, size of the data or elements.
 *            ARGUMENT for a tolerance that is negative or not finite, a want
 *            whose size is wrong, a mask of another shape or size, or one
 *            that leaves nothing of something. DTYPE for a block type.
 * Cost       one pass, no allocation. Thread-safe. */
KRS_API krs_status krs_compare(const krs_view *got, const krs_view *want,
                               const krs_view *mask, krs_tolerance tolerance,
                               krs_comparison *result, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
