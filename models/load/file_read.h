/* file_read.h -- reading parts of a file whose size is known and bounded.
 *
 * In: a path and the largest size the caller is ready to meet. Out: a file
 * descriptor on a regular file with its size, then any range of its bytes.
 * Invariant: nothing is allocated here, and every byte count that a caller
 * allocates by was compared with the size of the file first.
 *
 * Files are read by pread, never mapped: a mapped file that another process
 * cuts short kills the reader with SIGBUS, a short pread is an error text.
 */
#ifndef KRSI_FILE_READ_H
#define KRSI_FILE_READ_H

#include <krs/status.h>

#define KRSI_MIB ((uint64_t)1 << 20)

typedef struct krsi_file {
    const char *path; /* borrowed; named in every message */
    int fd;
    uint64_t bytes; /* at the time of opening */
} krsi_file;

/* krsi_file_open(path, most_bytes, &file, err) -- open a regular file of at
 * most most_bytes. Directories, pipes and devices are refused. */
krs_status krsi_file_open(const char *path, uint64_t most_bytes, krsi_file *out,
                          krs_error *err);

/* krsi_file_read(&file, offset, out, bytes, err) -- exactly those bytes, or
 * an error that says where the file ended. Any number of threads. */
krs_status krsi_file_read(const krsi_file *file, uint64_t offset, void *out,
                          size_t bytes, krs_error *err);

/* A closed or zeroed file (path NULL) is fine. */
void krsi_file_close(krsi_file *file);

/* krsi_file_status(errno) -- E_MEMORY for ENOMEM, else E_IO. */
krs_status krsi_file_status(int error);

#endif
