/* tensor_out.h -- tensors on their way into a file, whatever its format. */
#ifndef KRSI_TENSOR_OUT_H
#define KRSI_TENSOR_OUT_H

#include "file_write.h"
#include "weights_file.h"

typedef struct krsi_out {
    krs_weight weight;       /* as it is written; file is not used */
    const void *data;        /* its bytes; else those of */
    const krs_weights *from; /* this tensor, converted */
    size_t tensor;
} krsi_out;

/* tensor_out.c */

/* krsi_out_convert(w, i, stored, out, err) -- tensor i of w written as that
 * type. Errors: DTYPE if there is no conversion, SHAPE if the rows are no whole
 * blocks. */
krs_status krsi_out_convert(const krs_weights *w, size_t i, krs_stored stored,
                            krsi_out *out, krs_error *err);

/* krsi_out_put(out, writer, crc, err) -- all bytes of the tensor; *crc goes on
 * over them (CRC-32), NULL: not wanted. */
krs_status krsi_out_put(const krsi_out *out, krsi_writer *writer, uint32_t *crc,
                        krs_error *err);

/* safetensors_write.c: sorts both lists; only types without blocks */
krs_status krsi_safetensors_write(const char *path, krsi_out *list,
                                  size_t count, krs_weights_note *notes,
                                  size_t note_count, krs_error *err);

/* npz_write.c: in the order of the list; only types that NumPy has */
krs_status krsi_npz_write(const char *path, const krsi_out *list, size_t count,
                          krs_error *err);
krs_status krsi_npy_write(const char *path, const krsi_out *tensor,
                          krs_error *err);

/* gguf_write.c: in the order of the list; settings sorted by key */
struct krs_gguf_value;
krs_status krsi_gguf_write(const char *path, const krsi_out *list, size_t count,
                           const struct krs_gguf_value *settings,
                           size_t setting_count, krs_error *err);

#endif
