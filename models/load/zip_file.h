/* zip_file.h -- the members of a zip file, and packed bytes as a stream. */
#ifndef KRSI_ZIP_FILE_H
#define KRSI_ZIP_FILE_H

#include "file_read.h"

/* Where a member lies. */
typedef struct krsi_packed {
    uint64_t at;           /* offset of its bytes in the file */
    uint64_t packed_bytes; /* there; as many as bytes if it is stored */
    uint64_t bytes;        /* unpacked */
    uint32_t crc;          /* of those, CRC-32 */
    bool is_packed;        /* deflated */
} krsi_packed;

typedef struct krsi_zip_member {
    char *name; /* owned, UTF-8 without NUL */
    krsi_packed place;
} krsi_zip_member;

/* zip.c */

/* krsi_zip_list(file, &members, &count, err) -- the members in the order of
 * their places, each inside the file and none over another.
 * Errors     IO, MEMORY; FORMAT with offset; UNSUPPORTED: encrypted, or packed
 *            by anything but deflate. */
krs_status krsi_zip_list(const krsi_file *file, krsi_zip_member **out,
                         size_t *out_count, krs_error *err);
void krsi_zip_free(krsi_zip_member *members, size_t count);

/* inflate.c */

/* Packed bytes of a file, unpacked in order. */
typedef struct krsi_inflate krsi_inflate;

/* krsi_inflate_open(file, packed, &z, err) -- borrows file.
 * krsi_inflate_next(z, out, bytes, err) -- the next bytes; out NULL: pass over
 * them. FORMAT if there are not so many, if the stream is damaged, or if the
 * checksum of all of them is another. */
krs_status krsi_inflate_open(const krsi_file *file, const krsi_packed *packed,
                             krsi_inflate **out, krs_error *err);
krs_status krsi_inflate_next(krsi_inflate *z, void *out, uint64_t bytes,
                             krs_error *err);
void krsi_inflate_close(krsi_inflate *z); /* NULL is fine */

#endif
