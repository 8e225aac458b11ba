/* source.c -- the bytes of a text file in order, unpacked by libzstd if it
 * begins as its frames do.
 *
 * In: a file. Out: its bytes a piece at a time; memory does not depend on what
 * a frame claims: a window of more than 8 MiB is refused. A file of several
 * frames is one text; one that ends inside a frame is an error.
 */
#include "source.h"

#include "../load/file_read.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#ifdef KERSEY_ZSTD
#include <zstd.h>
#endif

enum { PACKED_BYTES = 131072, WINDOW_LOG = 23 };

struct krsi_source {
    krsi_file file;
    uint64_t at;
#ifdef KERSEY_ZSTD
    ZSTD_DStream *zstd; /* NULL: not compressed */
    ZSTD_inBuffer in;
    bool inside_frame;
    unsigned char packed[PACKED_BYTES];
#endif
};

static krs_status
no_memory(const char *path, krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", path);
}

static krs_status
begin_zstd(krsi_source *s, krs_error *err)
{
#ifdef KERSEY_ZSTD
    s->zstd = ZSTD_createDStream();
    if (!s->zstd)
        return no_memory(s->file.path, err);
    ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG);
    s->in.src = s->packed;
    return KRS_OK;
#else
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "%s: is compressed by zstd, which this build has not; "
                    "unpack it with zstd -d first",
                    s->file.path);
#endif
}

krs_status
krsi_source_open(const char *path, krsi_source **out, krs_error *err)
{
    static const unsigned char frame[4] = {0x28, 0xB5, 0x2F, 0xFD};
    unsigned char begin[4] = {0};
    krsi_source *s = calloc(1, sizeof *s);
    if (!s)
        return no_memory(path, err);
    krs_status status = krsi_file_open(path, INT64_MAX, &s->file, err);
    if (status == KRS_OK && s->file.bytes >= sizeof begin)
        status = krsi_file_read(&s->file, 0, begin, sizeof begin, err);
    if (status == KRS_OK && memcmp(begin, frame, sizeof frame) == 0)
        status = begin_zstd(s, err);
    if (status == KRS_OK)
        *out = s;
    else
        krsi_source_close(s);
    return status;
}

void
krsi_source_close(krsi_source *s)
{
    if (!s)
        return;
#ifdef KERSEY_ZSTD
    ZSTD_freeDStream(s->zstd);
#endif
    krsi_file_close(&s->file);
    free(s);
}

/* at most `most` of the bytes that are left in the file */
static krs_status
read_file(krsi_source *s, void *out, size_t most, size_t *got, krs_error *err)
{
    uint64_t left = s->file.bytes - s->at;
    *got = left < most ? (size_t)left : most;
    KRS_TRY(krsi_file_read(&s->file, s->at, out, *got, err));
    s->at += *got;
    return KRS_OK;
}

#ifdef KERSEY_ZSTD
static krs_status
damaged(const krsi_source *s, const char *why, krs_error *err)
{
    return krs_fail(err, KRS_E_FORMAT,
                    "%s: offset %" PRIu64 ": the zstd data is damaged: %s",
                    s->file.path, s->at - (s->in.size - s->in.pos), why);
}

static krs_status
unpack(krsi_source *s, void *out, size_t most, size_t *got, krs_error *err)
{
    ZSTD_outBuffer to = {out, most, 0};
    while (to.pos == 0 && most > 0) {
        if (s->in.pos == s->in.size) {
            s->in.pos = 0;
            KRS_TRY(read_file(s, s->packed, PACKED_BYTES, &s->in.size, err));
            if (s->in.size == 0 && s->inside_frame)
                return damaged(s,
                               "it ends inside a frame; it may have been "
                               "cut short",
                               err);
            if (s->in.size == 0)
                break;
        }
        size_t code = ZSTD_decompressStream(s->zstd, &to, &s->in);
        if (ZSTD_isError(code))
            return damaged(s, ZSTD_getErrorName(code), err);
        s->inside_frame = code != 0;
    }
    *got = to.pos;
    return KRS_OK;
}
#endif

krs_status
krsi_source_read(krsi_source *s, void *out, size_t most, size_t *got,
                 krs_error *err)
{
#ifdef KERSEY_ZSTD
    if (s->zstd)
        return unpack(s, out, most, got, err);
#endif
    return read_file(s, out, most, got, err);
}
