/* npz_write.c -- tensors to arrays of NumPy: one to an .npy, several to an
 * .npz, atomically.
 *
 * In: tensors of types that NumPy has. Out: a file that is complete, or the old
 * one. A member is stored, not packed, and dated 1980-01-01, so the bytes are a
 * function of the tensors. All sizes stand in zip64 fields, which every reader
 * of the format knows, whatever their magnitude. The checksum of a member is
 * known only behind its data and is put into the local header then.
 *
 * Format: APPNOTE.TXT 6.3.10, 4.3 to 4.5; npy.c.
 */
#include "npy_file.h"
#include "tensor_out.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define QUOTED  96
#define NO_ROOM UINT32_C(0xFFFFFFFF) /* see the zip64 field */

typedef struct member {
    uint64_t at, bytes; /* of the local header in the file; of the array */
    uint32_t crc;
} member;

/* Records are made of numbers of 2, 4 and 8 bytes, little-endian. */
typedef struct record {
    unsigned char bytes[128];
    size_t used;
} record;

static void
add(record *r, uint64_t number, size_t bytes)
{
    memcpy(r->bytes + r->used, &number, bytes);
    r->used += bytes;
}

enum { VERSION = 45, DATE = 1 << 5 | 1 };

/* What the local header and the entry of the directory have in common. */
static void
add_common(record *r, uint32_t crc, size_t name_bytes, size_t extra_bytes)
{
    add(r, VERSION, 2); /* needed */
    add(r, 1 << 11, 2); /* the name is UTF-8 */
    add(r, 0, 2);       /* stored */
    add(r, 0, 2);       /* time */
    add(r, DATE, 2);
    add(r, crc, 4);
    add(r, NO_ROOM, 4);
    add(r, NO_ROOM, 4);
    add(r, name_bytes, 2);
    add(r, extra_bytes, 2);
}

static krs_status
put_name(krsi_writer *w, const char *name, krs_error *err)
{
    KRS_TRY(krsi_writer_put(w, name, strlen(name), err));
    return krsi_writer_put(w, ".npy", 4, err);
}

static krs_status
print_header(const char *path, const krs_weight *t, char text[KRSI_NPY_WRITTEN],
             size_t *bytes, krs_error *err)
{
    char name[QUOTED];
    krsi_json_quote(t->name, name, sizeof name);
    if (!krsi_npy_print(t, text, bytes))
        return krs_fail(err, KRS_E_DTYPE,
                        "%s: write: tensor %s is %s, which NumPy has no type "
                        "for; convert it to F32 or F16",
                        path, name, krs_stored_name(t->stored));
    if (strlen(t->name) > UINT16_MAX - 4)
        return krs_fail(err, KRS_E_NAME,
                        "%s: write: the name of tensor %s is too long for a "
                        "zip file",
                        path, name);
    return KRS_OK;
}

static krs_status
put_member(krsi_writer *w, const krsi_out *t, member *m, krs_error *err)
{
    char text[KRSI_NPY_WRITTEN];
    size_t header;
    record r = {0};
    KRS_TRY(print_header(w->path, &t->weight, text, &header, err));
    *m = (member){.at = w->bytes, .bytes = header + t->weight.bytes};
    add(&r, UINT32_C(0x04034b50), 4);
    add_common(&r, 0, strlen(t->weight.name) + 4, 20);
    KRS_TRY(krsi_writer_put(w, r.bytes, r.used, err));
    KRS_TRY(put_name(w, t->weight.name, err));
    record extra = {0};
    add(&extra, 1, 2);
    add(&extra, 16, 2);
    add(&extra, m->bytes, 8);
    add(&extra, m->bytes, 8);
    KRS_TRY(krsi_writer_put(w, extra.bytes, extra.used, err));
    m->crc = (uint32_t)crc32_z(0, (const unsigned char *)text, header);
    KRS_TRY(krsi_writer_put(w, text, header, err));
    KRS_TRY(krsi_out_put(t, w, &m->crc, err));
    return krsi_writer_patch(w, m->at + 14, &m->crc, sizeof m->crc, err);
}

static krs_status
put_entry(krsi_writer *w, const krsi_out *t, const member *m, krs_error *err)
{
    record r = {0};
    add(&r, UINT32_C(0x02014b50), 4);
    add(&r, VERSION, 2);
    add_common(&r, m->crc, strlen(t->weight.name) + 4, 28);
    add(&r, 0, 2); /* comment */
    add(&r, 0, 2); /* disk */
    add(&r, 0, 2); /* attributes */
    add(&r, 0, 4);
    add(&r, NO_ROOM, 4);
    KRS_TRY(krsi_writer_put(w, r.bytes, r.used, err));
    KRS_TRY(put_name(w, t->weight.name, err));
    record extra = {0};
    add(&extra, 1, 2);
    add(&extra, 24, 2);
    add(&extra, m->bytes, 8);
    add(&extra, m->bytes, 8);
    add(&extra, m->at, 8);
    return krsi_writer_put(w, extra.bytes, extra.used, err);
}

static krs_status
put_end(krsi_writer *w, size_t count, uint64_t begin, krs_error *err)
{
    record r = {0};
    uint64_t end = w->bytes;
    add(&r, UINT32_C(0x06064b50), 4);
    add(&r, 44, 8); /* bytes that follow */
    add(&r, VERSION, 2);
    add(&r, VERSION, 2);
    add(&r, 0, 4);
    add(&r, 0, 4);
    add(&r, count, 8);
    add(&r, count, 8);
    add(&r, end - begin, 8);
    add(&r, begin, 8);
    add(&r, UINT32_C(0x07064b50), 4);
    add(&r, 0, 4);
    add(&r, end, 8);
    add(&r, 1, 4);
    add(&r, UINT32_C(0x06054b50), 4);
    add(&r, 0, 4);
    add(&r, 0xFFFF, 2);
    add(&r, 0xFFFF, 2);
    add(&r, NO_ROOM, 4);
    add(&r, NO_ROOM, 4);
    add(&r, 0, 2);
    return krsi_writer_put(w, r.bytes, r.used, err);
}

static krs_status
put_all(krsi_writer *w, const krsi_out *list, member *members, size_t count,
        krs_error *err)
{
    for (size_t i = 0; i < count; i++)
        KRS_TRY(put_member(w, &list[i], &members[i], err));
    uint64_t begin = w->bytes;
    for (size_t i = 0; i < count; i++)
        KRS_TRY(put_entry(w, &list[i], &members[i], err));
    return put_end(w, count, begin, err);
}

krs_status
krsi_npz_write(const char *path, const krsi_out *list, size_t count,
               krs_error *err)
{
    krsi_writer w;
    member *members = calloc(count + 1, sizeof *members);
    if (!members)
        return krs_fail(err, KRS_E_MEMORY,
                        "%s: write: out of memory for %zu members", path,
                        count);
    krs_status status = krsi_writer_open(path, &w, err);
    if (status == KRS_OK) {
        status = put_all(&w, list, members, count, err);
        status = krsi_writer_close(&w, status, err);
    }
    free(members);
    return status;
}

krs_status
krsi_npy_write(const char *path, const krsi_out *tensor, krs_error *err)
{
    char text[KRSI_NPY_WRITTEN];
    size_t header;
    krsi_writer w;
    KRS_TRY(print_header(path, &tensor->weight, text, &header, err));
    KRS_TRY(krsi_writer_open(path, &w, err));
    krs_status status = krsi_writer_put(&w, text, header, err);
    if (status == KRS_OK)
        status = krsi_out_put(tensor, &w, NULL, err);
    return krsi_writer_close(&w, status, err);
}
