/* file_read.c -- open a regular file, read ranges of it with pread.
 *
 * In: a path. Out: bytes, or one sentence with path, offset and reason.
 * open() is non-blocking so that a pipe put in the place of a file cannot
 * hang the caller; what is not a regular file is refused by fstat. Reads are
 * cut at 1 GiB (Linux moves at most 2 GiB at once) and repeated after EINTR.
 */
#include "file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((size_t)1 << 30)

krs_status
krsi_file_status(int error)
{
    return error == ENOMEM ? KRS_E_MEMORY : KRS_E_IO;
}

static krs_status
check_kind(const char *path, const struct stat *info, uint64_t most_bytes,
           krs_error *err)
{
    if (S_ISDIR(info->st_mode))
        return krs_fail(err, KRS_E_IO,
                        "%s: is a folder, expected a regular file", path);
    if (!S_ISREG(info->st_mode))
        return krs_fail(err, KRS_E_IO,
                        "%s: is a pipe, socket or device, expected a regular "
                        "file; copy the data to a file first",
                        path);
    if ((uint64_t)info->st_size > most_bytes)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: is %jd bytes long, at most %" PRIu64
                        " bytes are read",
                        path, (intmax_t)info->st_size, most_bytes);
    return KRS_OK;
}

krs_status
krsi_file_open(const char *path, uint64_t most_bytes, krsi_file *out,
               krs_error *err)
{
    struct stat info;
    krs_status status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return krs_fail(err, krsi_file_status(errno), "%s: cannot open: %s",
                        path, strerror(errno));
    if (fstat(fd, &info) != 0)
        status =
            krs_fail(err, krsi_file_status(errno),
                     "%s: cannot read its size: %s", path, strerror(errno));
    else
        status = check_kind(path, &info, most_bytes, err);
    if (status != KRS_OK) {
        close(fd);
        return status;
    }
    *out = (krsi_file){path, fd, (uint64_t)info.st_size};
    return KRS_OK;
}

krs_status
krsi_file_read(const krsi_file *file, uint64_t offset, void *out, size_t bytes,
               krs_error *err)
{
    size_t done = 0;
    while (done < bytes) {
        size_t want = bytes - done < READ_BYTES ? bytes - done : READ_BYTES;
        ssize_t got =
            pread(file->fd, (char *)out + done, want, (off_t)(offset + done));
        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0) {
            return krs_fail(err, KRS_E_IO,
                            "%s: truncated while being read: %zu bytes at "
                            "offset %" PRIu64 " were wanted, the file ends at "
                            "offset %" PRIu64 "; it was %" PRIu64
                            " bytes long when opened: copy it again",
                            file->path, bytes, offset, offset + done,
                            file->bytes);
        } else if (errno != EINTR) {
            return krs_fail(err, krsi_file_status(errno),
                            "%s: cannot read %zu bytes at offset %" PRIu64
                            ": %s",
                            file->path, want, offset + done, strerror(errno));
        }
    }
    return KRS_OK;
}

void
krsi_file_close(krsi_file *file)
{
    if (file->path)
        close(file->fd);
    *file = (krsi_file){0};
}
