/* file_write.h -- small files that are whole or not there at all. */
#ifndef KRSI_FILE_WRITE_H
#define KRSI_FILE_WRITE_H

#include <krs/status.h>

/* krsi_file_write(path, data, bytes, err) -- the file of that path holds these
 * bytes, or what it held before. Written beside it under another name,
 * flushed, renamed; then the folder is flushed. Errors: IO, MEMORY. */
krs_status krsi_file_write(const char *path, const void *data, size_t bytes,
                           krs_error *err);

#endif
