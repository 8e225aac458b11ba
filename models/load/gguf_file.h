/* gguf_file.h -- an open GGUF file, as the files of this folder share it. */
#ifndef KRSI_GGUF_FILE_H
#define KRSI_GGUF_FILE_H

#include "weights_file.h"

#include <krs/gguf.h>

#define KRSI_GGUF_ALIGNMENT 32 /* of tensors, where the file says nothing */

struct krs_gguf {
    char *path;     /* owned */
    krsi_file file; /* closed, with path NULL, once a krs_weights has it */
    uint32_t version;
    krs_gguf_value *values; /* sorted by key */
    size_t value_count;
    krsi_entry *tensors; /* in the order of the file */
    size_t tensor_count;
    uint64_t alignment, data_at;
    struct krsi_gguf_chunk *chunks; /* texts and arrays */
};

/* The one list of tensor types: NAME in krs_stored, number in the file. */
#define KRSI_GGUF_TENSOR_LIST(X) \
    X(F32, 0)                    \
    X(F16, 1)                    \
    X(Q4_0, 2)                   \
    X(Q4_1, 3)                   \
    X(Q5_0, 6)                   \
    X(Q5_1, 7)                   \
    X(Q8_0, 8)                   \
    X(Q2_K, 10)                  \
    X(Q3_K, 11)                  \
    X(Q4_K, 12)                  \
    X(Q5_K, 13)                  \
    X(Q6_K, 14)                  \
    X(I8, 24)                    \
    X(I16, 25)                   \
    X(I32, 26)                   \
    X(I64, 27)                   \
    X(F64, 28)                   \
    X(BF16, 30)

/* gguf.c */

/* krsi_gguf_weights(w, path, err) -- open path (taken over, also on failure)
 * as the only shard of w and append its tensors. */
krs_status krsi_gguf_weights(krs_weights *w, char *path /* takes */,
                             krs_error *err);

/* gguf_write.c: GGUF has the type, and it is written */
bool krsi_gguf_has(krs_stored stored);

/* gguf_value.c */

/* krsi_gguf_wrong(g, value, err, format, ...) -- FORMAT, with file, offset and
 * key before the sentence. */
krs_status krsi_gguf_wrong(const krs_gguf *g, const krs_gguf_value *value,
                           krs_error *err, const char *format, ...)
    KRS_PRINTF(4, 5);

#endif
