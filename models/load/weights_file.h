/* weights_file.h -- an open model, as the files of this folder share it.
 *
 * A krs_weights is a list of shards and one list of entries over all of
 * them, sorted by name. Names and notes point into the parsed headers, which
 * live as long as the shards.
 */
#ifndef KRSI_WEIGHTS_FILE_H
#define KRSI_WEIGHTS_FILE_H

#include "file_read.h"
#include "json_file.h"

#include <krs/weights.h>

typedef struct krsi_shard {
    krsi_file file; /* file.path is path below */
    char *path;     /* owned */
    krsi_json_file *header;
    uint64_t data_at; /* offset of the tensor data in the file */
} krsi_shard;

typedef struct krsi_entry {
    krs_weight weight;
    uint64_t at; /* offset in the file */
    size_t shard;
} krsi_entry;

struct krs_weights {
    char *path;
    krsi_shard *shards;
    size_t shard_count;
    krsi_entry *entries; /* sorted by name */
    size_t count;
    krs_weights_note *notes; /* sorted by key */
    size_t note_count;
};

/* safetensors.c */

/* krsi_safetensors_open(w, path, err) -- open path (taken over, also on
 * failure) as the next shard of w, check its whole header, append its
 * entries and notes. w->shards has room for one more. */
krs_status krsi_safetensors_open(krs_weights *w, char *path /* takes */,
                                 krs_error *err);

/* weights.c */

/* "F32[2,3]" for messages */
#define KRSI_SHAPE_TEXT 200
const char *krsi_weight_text(const krs_weight *weight,
                             char out[KRSI_SHAPE_TEXT]);

/* The values of a tensor, a piece at a time, as they lie in the file. */
#define KRSI_PIECE_BYTES 65536
krs_status krsi_weights_piece(const krs_weights *w, size_t i, int64_t first,
                              int64_t count, void *out, krs_error *err);

#endif
