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
krsi_writer_open(const char *path, krsi_writer *out, krs_error *err)
{
    size_t size = strlen(path) + 64;
    char *temporary = malloc(size);
    if (temporary == NULL)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory for its name", path);
    int fd = create_beside(path, temporary, size);
    if (fd < 0) {
        krs_status status = failed(path, "create a file beside it", err);
        free(temporary);
        return status;
    }
    *out = (krsi_writer){path, temporary, fd, 0};
    return KRS_OK;
}

krs_status
krsi_writer_put(krsi_writer *w, const void *data, size_t bytes, krs_error *err)
{
    size_t done = 0;
    while (done < bytes) {
        size_t want = bytes - done;
        ssize_t put = write(w->fd, (const char *)data + done,
                            want < WRITE_BYTES ? want : WRITE_BYTES);
        if (put < 0 && errno != EINTR)
            return failed(w->path, "write", err);
        if (put > 0)
            done += (size_t)put;
    }
    w->bytes += bytes;
    return KRS_OK;
}

krs_status
krsi_writer_patch(krsi_writer *w, uint64_t at, const void *data, size_t bytes,
                  krs_error *err)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t put = pwrite(w->fd, (const char *)data + done, bytes - done,
                             (off_t)(at + done));
        if (put < 0 && errno != EINTR)
            return failed(w->path, "write", err);
        if (put > 0)
            done += (size_t)put;
    }
    return KRS_OK;
}

krs_status
krsi_writer_pad(krsi_writer *w, uint64_t alignment, krs_error *err)
{
    static const char zeros[512];
    uint64_t rest = w->bytes % alignment, need = rest ? alignment - rest : 0;
    while (need > 0) {
        size_t n = need < sizeof zeros ? (size_t)need : sizeof zeros;
        KRS_TRY(krsi_writer_put(w, zeros, n, err));
        need -= n;
    }
    return KRS_OK;
}

krs_status
krsi_writer_close(krsi_writer *w, krs_status status, krs_error *err)
{
    if (status == KRS_OK && fsync(w->fd) != 0)
        status = failed(w->path, "flush to the disk", err);
    if (close(w->fd) != 0 && status == KRS_OK)
        status = failed(w->path, "close", err);
    if (status == KRS_OK && rename(w->temporary, w->path) != 0)
        status = failed(w->path, "rename the new file to it", err);
    if (status == KRS_OK)
        status = flush_folder(w->temporary, err);
    else
        unlink(w->temporary);
    free(w->temporary);
    return status;
}

krs_status
krsi_file_write_pieces(const char *path, const krsi_bytes *pieces, size_t count,
                       krs_error *err)
{
    krsi_writer w;
    krs_status status = KRS_OK;
    KRS_TRY(krsi_writer_open(path, &w, err));
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status = krsi_writer_put(&w, pieces[i].data, pieces[i].bytes, err);
    return krsi_writer_close(&w, status, err);
}

krs_status
krsi_file_write(const char *path, const void *data, size_t bytes,
                krs_error *err)
{
    return krsi_file_write_pieces(path, &(krsi_bytes){data, bytes}, 1, err);
}
