/* inflate.c -- deflated bytes of a file as a stream, by zlib.
 *
 * In: a range of a file. Out: its bytes unpacked, in order, as many as are
 * asked for; memory does not depend on what the stream claims. Read by pread,
 * 16 KiB at a time. Who reads all of them has their checksum compared.
 */
#include "zip_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <zlib.h>

#define PACKED_BYTES 16384
#define PASSED_BYTES 16384

struct krsi_inflate {
    z_stream stream;
    const krsi_file *file;
    uint64_t at, end; /* of the packed bytes not read yet */
    uint64_t rest;    /* unpacked bytes not given yet */
    uint32_t crc, wanted_crc;
    bool ended;
    unsigned char packed[PACKED_BYTES];
};

krs_status
krsi_inflate_open(const krsi_file *file, const krsi_packed *packed,
                  krsi_inflate **out, krs_error *err)
{
    krsi_inflate *z = calloc(1, sizeof *z);
    if (!z || inflateInit2(&z->stream, -MAX_WBITS) != Z_OK) {
        free(z);
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory to unpack",
                        file->path);
    }
    z->file = file;
    z->at = packed->at;
    z->end = packed->at + packed->packed_bytes;
    z->rest = packed->bytes;
    z->wanted_crc = packed->crc;
    *out = z;
    return KRS_OK;
}

void
krsi_inflate_close(krsi_inflate *z)
{
    if (!z)
        return;
    inflateEnd(&z->stream);
    free(z);
}

static krs_status
read_packed(krsi_inflate *z, krs_error *err)
{
    uint64_t rest = z->end - z->at;
    size_t n = rest < PACKED_BYTES ? (size_t)rest : PACKED_BYTES;
    KRS_TRY(krsi_file_read(z->file, z->at, z->packed, n, err));
    z->at += n;
    z->stream.next_in = z->packed;
    z->stream.avail_in = (uInt)n;
    return KRS_OK;
}

/* Exactly n <= UINT_MAX bytes. */
static krs_status
unpack(krsi_inflate *z, void *out, size_t n, krs_error *err)
{
    z->stream.next_out = out;
    z->stream.avail_out = (uInt)n;
    while (z->stream.avail_out > 0) {
        if (z->stream.avail_in == 0 && z->at < z->end)
            KRS_TRY(read_packed(z, err));
        int code = z->ended ? Z_BUF_ERROR : inflate(&z->stream, Z_NO_FLUSH);
        z->ended = z->ended || code == Z_STREAM_END;
        if (code == Z_MEM_ERROR)
            return krs_fail(err, KRS_E_MEMORY, "%s: out of memory to unpack",
                            z->file->path);
        if (code != Z_OK && code != Z_STREAM_END)
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: offset %" PRIu64
                            ": the packed data is damaged or too short: %s",
                            z->file->path, z->at - z->stream.avail_in,
                            z->stream.msg ? z->stream.msg : "it ends early");
    }
    return KRS_OK;
}

krs_status
krsi_inflate_next(krsi_inflate *z, void *out, uint64_t bytes, krs_error *err)
{
    unsigned char passed[PASSED_BYTES];
    char *to = out;
    while (bytes > 0) {
        size_t most = out ? (size_t)1 << 30 : sizeof passed;
        size_t n = bytes < most ? (size_t)bytes : most;
        void *at = out ? (void *)to : passed;
        KRS_TRY(unpack(z, at, n, err));
        z->crc = (uint32_t)crc32_z(z->crc, at, n);
        z->rest -= n < z->rest ? n : z->rest;
        if (z->rest == 0 && z->crc != z->wanted_crc)
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: offset %" PRIu64
                            ": the packed data is damaged: its checksum is "
                            "%08" PRIx32 ", not %08" PRIx32,
                            z->file->path, z->at - z->stream.avail_in, z->crc,
                            z->wanted_crc);
        to = out ? to + n : NULL;
        bytes -= n;
    }
    return KRS_OK;
}
