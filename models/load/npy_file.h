/* npy_file.h -- arrays of NumPy: the header of one, and files of them. */
#ifndef KRSI_NPY_FILE_H
#define KRSI_NPY_FILE_H

#include "weights_file.h"

/* npy.c */

#define KRSI_NPY_BYTES 10240 /* largest header that is read, mark included */

/* krsi_npy_parse(place, begin, bytes, weight, &used, err) -- type, shape and
 * sizes out of the first bytes of an array (all of a shorter one); the data
 * follows after `used` bytes. place stands for the file in messages.
 * Errors     FORMAT; UNSUPPORTED: other byte orders and types, columns first.
 */
krs_status krsi_npy_parse(const char *place, const char *begin, size_t bytes,
                          krs_weight *weight, size_t *used, krs_error *err);

/* krsi_npy_print(weight, text, &used) -- the header of an array, a multiple of
 * 64 bytes; false for a type that NumPy has not. */
#define KRSI_NPY_WRITTEN 512
bool krsi_npy_print(const krs_weight *weight, char text[KRSI_NPY_WRITTEN],
                    size_t *used);

bool krsi_npy_has(krs_stored stored);

/* npz.c: as krsi_safetensors_open. An .npy is one tensor named as the file. */
krs_status krsi_npy_open(krs_weights *w, char *path /* takes */,
                         krs_error *err);
krs_status krsi_npz_open(krs_weights *w, char *path /* takes */,
                         krs_error *err);

#endif
