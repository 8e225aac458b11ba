/* zip.c -- the directory of a zip file, believed in nothing.
 *
 *     members        local header of 30 bytes, name, extra field, data
 *     directory      an entry of 46 bytes, name, extra field, comment each
 *     [zip64 end]    where the numbers of the end have no room
 *     end            22 bytes, comment
 *
 * In: an open file. Out: the members, each of which lies inside the file,
 * before the directory, and over no other. The directory is read whole, which
 * is less than the file; sizes are held against the file first. Of the local
 * headers only the signature and the two lengths are used, which say where the
 * data begins.
 *
 * Format: APPNOTE.TXT 6.3.10, 4.3. Not read: several disks, encryption,
 * methods other than stored and deflate.
 */
#include "zip_file.h"

#include "json_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30,
    COMMENT_BYTES = 65535,
    QUOTED = 96
};
#define END_MARK     UINT32_C(0x06054b50)
#define END64_MARK   UINT32_C(0x06064b50)
#define LOCATOR_MARK UINT32_C(0x07064b50)
#define ENTRY_MARK   UINT32_C(0x02014b50)
#define LOCAL_MARK   UINT32_C(0x04034b50)
#define NO_ROOM      UINT32_C(0xFFFFFFFF) /* see the zip64 record */

/* little-endian, at any alignment */
static uint64_t
number(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    memcpy(&value, at, (size_t)bytes);
    return value;
}

static krs_status
wrong(const krsi_file *file, uint64_t at, const char *what, krs_error *err)
{
    return krs_fail(err, KRS_E_FORMAT, "%s: offset %" PRIu64 ": %s", file->path,
                    at, what);
}

typedef struct directory {
    uint64_t at, bytes, count;
} directory;

/* Numbers of the zip64 record, where the locator before the end leads to. */
static krs_status
read_end64(const krsi_file *file, uint64_t end, directory *d, krs_error *err)
{
    unsigned char locator[LOCATOR_BYTES], record[END64_BYTES];
    if (end < LOCATOR_BYTES)
        return wrong(file, end, "the zip64 record is missing", err);
    KRS_TRY(krsi_file_read(file, end - LOCATOR_BYTES, locator, sizeof locator,
                           err));
    uint64_t at = number(locator + 8, 8);
    if (number(locator, 4) != LOCATOR_MARK || at > end - LOCATOR_BYTES ||
        end - LOCATOR_BYTES - at < END64_BYTES)
        return wrong(file, end, "the zip64 record is missing", err);
    KRS_TRY(krsi_file_read(file, at, record, sizeof record, err));
    if (number(record, 4) != END64_MARK)
        return wrong(file, at, "the zip64 record is missing", err);
    *d = (directory){.count = number(record + 32, 8),
                     .bytes = number(record + 40, 8),
                     .at = number(record + 48, 8)};
    return KRS_OK;
}

/* The last end mark whose comment reaches to the end of the file. */
static krs_status
find_directory(const krsi_file *file, directory *d, krs_error *err)
{
    uint64_t most = END_BYTES + COMMENT_BYTES;
    size_t bytes = (size_t)(file->bytes < most ? file->bytes : most);
    uint64_t begin = file->bytes - bytes;
    unsigned char *tail = malloc(bytes + 1);
    if (!tail)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", file->path);
    krs_status status = krsi_file_read(file, begin, tail, bytes, err);
    size_t k = bytes >= END_BYTES ? bytes - END_BYTES + 1 : 0;
    while (k > 0 && (number(tail + k - 1, 4) != END_MARK ||
                     k - 1 + END_BYTES + number(tail + k - 1 + 20, 2) != bytes))
        k--;
    uint64_t end = begin + k - 1;
    bool is_split = false;
    if (status == KRS_OK && k == 0)
        status = wrong(file, file->bytes,
                       "a zip file ends with its directory, which is missing; "
                       "the file may have been cut short",
                       err);
    if (status == KRS_OK) {
        const unsigned char *e = tail + k - 1;
        is_split = number(e + 8, 2) != number(e + 10, 2);
        *d = (directory){.count = number(e + 10, 2),
                         .bytes = number(e + 12, 4),
                         .at = number(e + 16, 4)};
        if (d->at == NO_ROOM || d->bytes == NO_ROOM || d->count == 0xFFFF)
            status = read_end64(file, end, d, err);
    }
    free(tail);
    KRS_TRY(status);
    if (is_split)
        return wrong(file, end, "the directory lies on several disks", err);
    if (d->at > end || d->bytes > end - d->at)
        return wrong(file, end, "the directory lies outside the file", err);
    if (d->count > d->bytes / ENTRY_BYTES)
        return wrong(file, end, "more members than the directory holds", err);
    return KRS_OK;
}

/* What has no room in the entry, in the order of the extra field. */
static bool
read_extra64(const unsigned char *extra, size_t bytes, krsi_zip_member *m)
{
    uint64_t *wide[] = {&m->place.bytes, &m->place.packed_bytes, &m->place.at};
    while (bytes >= 4) {
        uint64_t id = number(extra, 2), size = number(extra + 2, 2);
        if (size > bytes - 4)
            return false;
        const unsigned char *at = extra + 4, *end = at + size;
        for (size_t i = 0; id == 1 && i < 3; i++) {
            if (*wide[i] != NO_ROOM)
                continue;
            if (end - at < 8)
                return false;
            *wide[i] = number(at, 8);
            at += 8;
        }
        extra += 4 + size;
        bytes -= 4 + size;
    }
    return true;
}

static krs_status
check_member(const krsi_file *file, uint64_t at, const krsi_zip_member *m,
             size_t name_bytes, uint64_t flags, uint64_t method, krs_error *err)
{
    char quoted[QUOTED];
    if (strlen(m->name) != name_bytes || name_bytes == 0 ||
        !krsi_is_utf8(m->name))
        return wrong(file, at,
                     "the name of a member is empty, holds a NUL character or "
                     "is not valid UTF-8",
                     err);
    krsi_json_quote(m->name, quoted, sizeof quoted);
    if ((flags & 1) != 0 || (method != 0 && method != 8))
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: offset %" PRIu64
                        ": member %s is encrypted or packed by method "
                        "%" PRIu64 "; stored and deflated ones are read",
                        file->path, at, quoted, method);
    if (method == 0 && m->place.packed_bytes != m->place.bytes)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: offset %" PRIu64 ": member %s is stored, but has "
                        "two sizes, %" PRIu64 " and %" PRIu64,
                        file->path, at, quoted, m->place.packed_bytes,
                        m->place.bytes);
    return KRS_OK;
}

/* Where the data of a member begins, and that it ends before `end`. */
static krs_status
find_data(const krsi_file *file, uint64_t end, krsi_zip_member *m,
          krs_error *err)
{
    unsigned char local[LOCAL_BYTES];
    uint64_t at = m->place.at;
    if (at > end || end - at < LOCAL_BYTES)
        return wrong(file, at, "a member begins outside the file", err);
    KRS_TRY(krsi_file_read(file, at, local, sizeof local, err));
    if (number(local, 4) != LOCAL_MARK)
        return wrong(file, at, "no member begins where one should", err);
    m->place.at =
        at + LOCAL_BYTES + number(local + 26, 2) + number(local + 28, 2);
    if (m->place.at > end || m->place.packed_bytes > end - m->place.at)
        return wrong(file, at,
                     "a member ends outside the file; it may have been cut "
                     "short",
                     err);
    return KRS_OK;
}

/* The entry at `at` of the directory; *used bytes of it. */
static krs_status
read_entry(const krsi_file *file, const directory *d,
           const unsigned char *table, uint64_t at, krsi_zip_member *m,
           uint64_t *used, krs_error *err)
{
    const unsigned char *e = table + at;
    uint64_t place = d->at + at;
    if (d->bytes - at < ENTRY_BYTES || number(e, 4) != ENTRY_MARK)
        return wrong(file, place, "no entry of the directory", err);
    size_t name = (size_t)number(e + 28, 2), extra = (size_t)number(e + 30, 2);
    *used = ENTRY_BYTES + name + extra + number(e + 32, 2);
    if (*used > d->bytes - at)
        return wrong(file, place, "an entry ends outside the directory", err);
    m->name = malloc(name + 1);
    if (!m->name)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", file->path);
    memcpy(m->name, e + ENTRY_BYTES, name);
    m->name[name] = 0;
    m->place.crc = (uint32_t)number(e + 16, 4);
    m->place.packed_bytes = number(e + 20, 4);
    m->place.bytes = number(e + 24, 4);
    m->place.at = number(e + 42, 4);
    m->place.is_packed = number(e + 10, 2) == 8;
    if (!read_extra64(e + ENTRY_BYTES + name, extra, m))
        return wrong(file, place, "the extra field is damaged", err);
    KRS_TRY(check_member(file, place, m, name, number(e + 8, 2),
                         number(e + 10, 2), err));
    return find_data(file, d->at, m, err);
}

static int
by_place(const void *left, const void *right)
{
    const krsi_zip_member *a = left, *b = right;
    return (a->place.at > b->place.at) - (a->place.at < b->place.at);
}

static krs_status
read_entries(const krsi_file *file, const directory *d,
             const unsigned char *table, krsi_zip_member *members,
             krs_error *err)
{
    uint64_t at = 0, used = 0;
    for (uint64_t i = 0; i < d->count; i++, at += used)
        KRS_TRY(read_entry(file, d, table, at, &members[i], &used, err));
    if (at != d->bytes)
        return wrong(file, d->at + at, "bytes follow the last entry", err);
    qsort(members, (size_t)d->count, sizeof *members, by_place);
    for (uint64_t i = 1; i < d->count; i++)
        if (members[i - 1].place.at + members[i - 1].place.packed_bytes >
            members[i].place.at)
            return wrong(file, members[i].place.at, "two members overlap", err);
    return KRS_OK;
}

krs_status
krsi_zip_list(const krsi_file *file, krsi_zip_member **out, size_t *out_count,
              krs_error *err)
{
    directory d = {0};
    KRS_TRY(find_directory(file, &d, err));
    unsigned char *table = malloc((size_t)d.bytes + 1);
    krsi_zip_member *members = calloc((size_t)d.count + 1, sizeof *members);
    krs_status status = KRS_OK;
    if (!table || !members)
        status = krs_fail(err, KRS_E_MEMORY,
                          "%s: out of memory for %" PRIu64 " members",
                          file->path, d.count);
    if (status == KRS_OK)
        status = krsi_file_read(file, d.at, table, (size_t)d.bytes, err);
    if (status == KRS_OK)
        status = read_entries(file, &d, table, members, err);
    free(table);
    if (status == KRS_OK) {
        *out = members;
        *out_count = (size_t)d.count;
    } else {
        krsi_zip_free(members, (size_t)d.count);
    }
    return status;
}

void
krsi_zip_free(krsi_zip_member *members, size_t count)
{
    for (size_t i = 0; members && i < count; i++)
        free(members[i].name);
    free(members);
}
