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
#include "zip_file.h"

#include <krs/weights.h>

typedef struct krsi_shard {
    krsi_file file;
    char *path; /* owned; NULL: that of gguf */
    krsi_json_file *header;
    struct krs_gguf *gguf; /* owned; of a GGUF file alone */
    uint64_t data_at;      /* offset of the tensor data in the file */
} krsi_shard;

/* The order in which rows are read: as they lie there, or with the channels of
 * each head turned from the pairs (2i, 2i+1) of GGUF to the halves (i, i+D/2)
 * of Hugging Face, or back. */
typedef enum krsi_rows {
    KRSI_ROWS_AS_STORED,
    KRSI_ROWS_PAIRS_TO_HALVES,
    KRSI_ROWS_HALVES_TO_PAIRS
} krsi_rows;

typedef struct krsi_entry {
    krs_weight weight;
    uint64_t at; /* offset in the file */
    size_t shard;
    krsi_packed packed; /* where it is packed, instead of `at` */
    uint64_t skip;      /* unpacked bytes before the values */
    const void *memory; /* borrowed: the bytes, where no file has them */
    krsi_rows rows;
    int64_t head_rows; /* rows of a head, even; if they are turned */
} krsi_entry;

struct krs_weights {
    char *path;
    krsi_shard *shards;
    size_t shard_count;
    krsi_entry *entries; /* sorted by name */
    size_t count;
    krs_weights_note *notes; /* sorted by key */
    size_t note_count;
    struct krsi_name *names; /* those that no header holds */
};

/* safetensors.c */

/* krsi_safetensors_open(w, path, err) -- open path (taken over, also on
 * failure) as the next shard of w, check its whole header, append its
 * entries and notes. w->shards has room for one more. */
krs_status krsi_safetensors_open(krs_weights *w, char *path /* takes */,
                                 krs_error *err);

/* weights.c */

/* Sort the entries by name and find double ones; sort the notes. */
krs_status krsi_weights_sort(krs_weights *w, krs_error *err);

/* A copy of the name that lives as long as w; NULL when memory is out. */
const char *krsi_weights_keep_name(krs_weights *w, const char *name);

/* "F32[2,3]" for messages */
#define KRSI_SHAPE_TEXT 200
const char *krsi_weight_text(const krs_weight *weight,
                             char out[KRSI_SHAPE_TEXT]);

/* weights_read.c */

/* The values of a tensor in file order, from element `first` on, a piece at a
 * time; of a block type, first and count are whole blocks. */
#define KRSI_PIECE_BYTES 65536
typedef struct krsi_run {
    const krs_weights *weights;
    size_t tensor;
    krs_stored stored;
    int64_t element;              /* the next one */
    struct krsi_inflate *inflate; /* if packed */
} krsi_run;

krs_status krsi_run_open(const krs_weights *w, size_t i, int64_t first,
                         krsi_run *out, krs_error *err);
krs_status krsi_run_next(krsi_run *run, int64_t count, void *out,
                         krs_error *err);
/* krsi_run_read(run, count, dtype, out, err) -- the next ones in the order of
 * the tensor, converted; NULL: as they are stored. */
krs_status krsi_run_read(krsi_run *run, int64_t count, const krs_dtype *dtype,
                         void *out, krs_error *err);
void krsi_run_close(krsi_run *run);
/* how many elements of the type a piece holds, whole blocks */
int64_t krsi_piece_elements(krs_stored stored);

#endif
