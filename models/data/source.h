/* source.h -- the bytes of a file in order, unpacked if it is compressed. */
#ifndef KRSI_SOURCE_H
#define KRSI_SOURCE_H

#include <krs/status.h>

typedef struct krsi_source krsi_source;

/* krsi_source_open(path, &s, err) -- a file as it is, or by zstd.
 * krsi_source_read(s, out, most, &got, err) -- some of the next bytes; got 0 at
 * the end. */
krs_status krsi_source_open(const char *path, krsi_source **out,
                            krs_error *err);
krs_status krsi_source_read(krsi_source *s, void *out, size_t most, size_t *got,
                            krs_error *err);
void krsi_source_close(krsi_source *s); /* NULL is fine */

#endif
