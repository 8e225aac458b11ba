/* file_write.c -- files that are whole or not there at all.
 *
 * In: bytes and a path. Out: the file, or an error with the old file intact.
 * Method: a new file in the same folder, write, fsync, rename over the old
 * one, fsync of the folder, so that a crash at any moment leaves one of the
 * two, and at worst the new file under its temporary name. An error at fsync
 * is an error: the pages may be lost.
 */
#include "file_write.h"

#include "file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITE_BYTES ((size_t)1 << 30) /* Linux writes at most 2 GiB at once */

static krs_status
failed(const char *path, const char *doing, krs_error *err)
{
    int error = errno;
    return krs_fail(err, krsi_file_status(error), "%s: cannot %s: %s%s", path,
                    doing, strerror(error),
                    error == ENOSPC ? "; free some space and try again" : "");
}

static krs_status
write_piece(int fd, const char *path, const krsi_bytes *piece, krs_error *err)
{
    size_t done = 0;
    while (done < piece->bytes) {
        size_t want = piece->bytes - done;
        ssize_t put = write(fd, (const char *)piece->data + done,
                            want < WRITE_BYTES ? want : WRITE_BYTES);
        if (put < 0 && errno != EINTR)
            return failed(path, "write", err);
        if (put > 0)
            done += (size_t)put;
    }
    return KRS_OK;
}

/* Write and close. */
static krs_status
fill(int fd, const char *path, const krsi_bytes *pieces, size_t count,
     krs_error *err)
{
    krs_status status = KRS_OK;
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status = write_piece(fd, path, &pieces[i], err);
    if (status == KRS_OK && fsync(fd) != 0)
        status = failed(path, "flush to the disk", err);
    if (close(fd) != 0 && status == KRS_OK)
        status = failed(path, "close", err);
    return status;
}

/* The folder of path, whose text is cut to it. A file system that cannot
 * flush a folder says EINVAL, which is no loss. */
static krs_status
flush_folder(char *path, krs_error *err)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        slash[slash == path ? 1 : 0] = '\0';
    const char *folder = slash != NULL ? path : ".";
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed(folder, "open the folder to flush it", err);
    krs_status status = KRS_OK;
    if (fsync(fd) != 0 && errno != EINVAL)
        status = failed(folder, "flush the folder to the disk", err);
    close(fd);
    return status;
}

/* A name that is not taken, "<path>.new-<process>-<n>": the process alone is
 * not enough where threads save side by side. -1 with errno set. */
static int
create_beside(const char *path, char *name, size_t size)
{
    for (int n = 0; n < 1000; n++) {
        snprintf(name, size, "%s.new-%ld-%d", path, (long)getpid(), n);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

krs_status
krsi_file_write_pieces(const char *path, const krsi_bytes *pieces, size_t count,
                       krs_error *err)
{
    size_t size = strlen(path) + 64;
    char *temporary = malloc(size);
    if (temporary == NULL)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory for its name", path);

    krs_status status;
    int fd = create_beside(path, temporary, size);
    if (fd < 0) {
        status = failed(path, "create a file beside it", err);
    } else {
        status = fill(fd, path, pieces, count, err);
        if (status == KRS_OK && rename(temporary, path) != 0)
            status = failed(path, "rename the new file to it", err);
        if (status == KRS_OK)
            status = flush_folder(temporary, err);
        else
            unlink(temporary);
    }
    free(temporary);
    return status;
}

krs_status
krsi_file_write(const char *path, const void *data, size_t bytes,
                krs_error *err)
{
    return krsi_file_write_pieces(path, &(krsi_bytes){data, bytes}, 1, err);
}
