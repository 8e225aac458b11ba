/* file_write.h -- files that are whole or not there at all.
 *
 *     krsi_writer w;
 *     KRS_TRY(krsi_writer_open("model.safetensors", &w, err));
 *     krs_status status = krsi_writer_put(&w, data, bytes, err);
 *     ...
 *     status = krsi_writer_close(&w, status, err);
 */
#ifndef KRSI_FILE_WRITE_H
#define KRSI_FILE_WRITE_H

#include <krs/status.h>

typedef struct krsi_bytes {
    const void *data;
    size_t bytes;
} krsi_bytes;

/* A file on its way: written beside path under another name. */
typedef struct krsi_writer {
    const char *path; /* borrowed */
    char *temporary;  /* owned */
    int fd;
    uint64_t bytes; /* put so far */
} krsi_writer;

/* krsi_writer_open(path, &w, err) -- begin; the file of that path stays as it
 * is. On success krsi_writer_close must follow. Errors: IO, MEMORY. */
krs_status krsi_writer_open(const char *path, krsi_writer *out, krs_error *err);
krs_status krsi_writer_put(krsi_writer *w, const void *data, size_t bytes,
                           krs_error *err);
/* krsi_writer_patch(&w, at, data, bytes, err) -- over what was put before */
krs_status krsi_writer_patch(krsi_writer *w, uint64_t at, const void *data,
                             size_t bytes, krs_error *err);
/* zeros up to a multiple of `alignment` */
krs_status krsi_writer_pad(krsi_writer *w, uint64_t alignment, krs_error *err);

/* krsi_writer_close(&w, status, err) -- if status is KRS_OK, flush the file,
 * give it its name and flush the folder; else remove it. Gives status, or what
 * went wrong. If the last flush fails the new file is in place, but may not
 * outlive a power failure. */
krs_status krsi_writer_close(krsi_writer *w, krs_status status, krs_error *err);

/* krsi_file_write(path, data, bytes, err) -- the file of that path holds these
 * bytes, or what it held before.
 * krsi_file_write_pieces(path, pieces, count, err) -- the same for the pieces
 * one after the other, of any size. */
krs_status krsi_file_write(const char *path, const void *data, size_t bytes,
                           krs_error *err);
krs_status krsi_file_write_pieces(const char *path, const krsi_bytes *pieces,
                                  size_t count, krs_error *err);

#endif
