/* stored.h -- element types of weight files and their values.
 *
 * In: bytes as they lie in a file little-endian, aligned to their
 * size. Out: elements of a krs_dtype, or doubles for statistics.
 */
#ifndef KRSI_STORED_H
#define KRSI_STORED_H

#include <krs/weights.h>

/* krsi_stored_parse("F32", &s) -- false if the list has no such name, or if it
 * is a block type: those are numbers in GGUF files, never names. */
bool krsi_stored_parse(const char *name, krs_stored *out);
/* the names that it knows with ", " between them */
const char *krsi_stored_names(void);

/* krsi_stored_convert(from, src, to, dst, count) -- converts until a value
 * does not fit and returns how many were converted. The pair must be one
 * that krs_stored_converts; of a block type, count is whole blocks. */
size_t krsi_stored_convert(krs_stored from, const void *src, krs_dtype to,
                           void *dst, size_t count);

/* krsi_stored_double(from, src, i) -- element i; NaN for C64 and block types. */
double krsi_stored_double(krs_stored from, const void *src, size_t i);
/* the same for elements [first, first + count), both whole blocks */
void krsi_stored_doubles(krs_stored from, const void *src, size_t first,
                         size_t count, double *out);
/* element i of an integer or boolean type; false if it is above INT64_MAX */
bool krsi_stored_int(krs_stored from, const void *src, size_t i, int64_t *out);

#endif
