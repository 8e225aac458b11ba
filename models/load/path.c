/* path.c -- names of files and folders (path.h).
 *
 * In: parts of a path. Out: the path in memory of its own, whatever its
 * length; whether a file is there; its bytes.
 */
#include "path.h"
#include "file_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static krs_status
no_memory(krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "no memory for a path");
}

krs_status
krsi_path(char **out, krs_error *err, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    *out = length < 0 ? NULL : malloc((size_t)length + 1);
    if (*out)
        vsnprintf(*out, (size_t)length + 1, format, again);
    va_end(again);
    return *out ? KRS_OK : no_memory(err);
}

krs_status
krsi_path_folder(const char *path, char **out, krs_error *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return krsi_path(out, err, ".");
    /* the folder of "/file" is "/" */
    size_t bytes = slash == path ? 1 : (size_t)(slash - path);
    *out = malloc(bytes + 1);
    if (!*out)
        return no_memory(err);
    memcpy(*out, path, bytes);
    (*out)[bytes] = 0;
    return KRS_OK;
}

bool
krsi_is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

bool
krsi_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

krs_status
krsi_file_whole(const char *path, uint64_t most_bytes, char **out,
                size_t *out_bytes, krs_error *err)
{
    krsi_file file;
    KRS_TRY(krsi_file_open(path, most_bytes, &file, err));
    size_t count = (size_t)file.bytes;
    char *data = malloc(count + 1);
    krs_status status =
        data ? krsi_file_read(&file, 0, data, count, err)
             : krs_fail(err, KRS_E_MEMORY,
                        "%s: out of memory for its %zu bytes", path, count);
    krsi_file_close(&file);
    if (status != KRS_OK) {
        free(data);
        return status;
    }
    data[count] = 0;
    *out = data;
    *out_bytes = count;
    return KRS_OK;
}
