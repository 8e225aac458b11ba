/* file_write.h -- files that are whole or not there at all. */
#ifndef KRSI_FILE_WRITE_H
#define KRSI_FILE_WRITE_H

#include <krs/status.h>

typedef struct krsi_bytes {
    const void *data;
    size_t bytes;
} krsi_bytes;

/* krsi_file_write(path, data, bytes, err) -- the file of that path holds these
 * bytes, or what it held before. Written beside it under another name,
 * flushed, renamed; then the folder is flushed. If that last flush fails the
 * new file is in place, but may not outlive a power failure. Errors: IO,
 * MEMORY. */
krs_status krsi_file_write(const char *path, const void *data, size_t bytes,
                           krs_error *err);

/* krsi_file_write_pieces(path, pieces, count, err) -- the same for the
 * pieces one after the other, of any size. */
krs_status krsi_file_write_pieces(const char *path, const krsi_bytes *pieces,
                                  size_t count, krs_error *err);

#endif
