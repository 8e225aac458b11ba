/* path.h -- names of files and folders, and what lies there. */
#ifndef KRSI_PATH_H
#define KRSI_PATH_H

#include <krs/status.h>

/* krsi_path(&path, err, "%s/%s", folder, name) -- a formatted path; free() it.
 * Errors: MEMORY. */
krs_status krsi_path(char **out, krs_error *err, const char *format, ...)
    KRS_PRINTF(3, 4);

/* krsi_path_folder(path, &folder, err) -- the folder that a file of that path
 * lies in, "." if none is named; free() it. Errors: MEMORY. */
krs_status krsi_path_folder(const char *path, char **out, krs_error *err);

/* Something other than a folder, or a folder, is there. */
bool krsi_is_file(const char *path);
bool krsi_is_folder(const char *path);

/* krsi_file_whole(path, most_bytes, &data, &bytes, err) -- all of a file,
 * closed by a zero that bytes does not count; free() it.
 * Errors: IO, MEMORY; FORMAT over most_bytes. */
krs_status krsi_file_whole(const char *path, uint64_t most_bytes, char **out,
                           size_t *out_bytes, krs_error *err);

#endif
