/* safetensors.c -- the header of one safetensors file, believed in nothing.
 *
 *     8 bytes         length n of the header, little-endian
 *     n bytes         JSON: {"name": {"dtype": "F32", "shape": [2, 3],
 *                     "data_offsets": [begin, end]}, ...,
 *                     "__metadata__": {"key": "text", ...}}
 *     to the end      data; offsets count from its first byte
 *
 * In: a path. Out: entries whose type, shape, size and place are consistent:
 * end - begin = elements x element size, and in the order of their offsets
 * the tensors cover the data exactly, each byte once. Sizes are computed
 * with overflow checks; the header is read only after its length was held
 * against the size of the file, and nothing is allocated by a number that
 * the header states.
 *
 * Unknown members of an entry are ignored, as the reference implementation
 * does; unknown element types, duplicate names and double or missing data
 * are refused.
 */
#include "stored.h"
#include "weights_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES UINT64_C(100000000) /* limit of the format */
#define QUOTED       96                  /* bytes of a name in a message */

static const char metadata_key[] = "__metadata__";

static krs_status
header_bytes(const krsi_file *file, uint64_t *out, krs_error *err)
{
    uint64_t bytes;
    if (file->bytes < sizeof bytes)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: is %" PRIu64
                        " bytes long, a safetensors file begins with an "
                        "8-byte header length; it may have been cut short",
                        file->path, file->bytes);
    KRS_TRY(krsi_file_read(file, 0, &bytes, sizeof bytes, err));
    if (bytes > HEADER_BYTES)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: offset 0: the header is said to be %" PRIu64
                        " bytes long, at most %" PRIu64
                        " are allowed; this may not be a safetensors file",
                        file->path, bytes, HEADER_BYTES);
    if (bytes > file->bytes - sizeof bytes)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: offset 0: the header is said to be %" PRIu64
                        " bytes long, only %" PRIu64
                        " bytes follow; the file may have been cut short",
                        file->path, bytes, file->bytes - sizeof bytes);
    *out = bytes;
    return KRS_OK;
}

static krs_status
read_header(krsi_shard *shard, krs_error *err)
{
    const krsi_file *file = &shard->file;
    uint64_t bytes = 0;
    KRS_TRY(header_bytes(file, &bytes, err));
    size_t name_bytes = strlen(file->path) + sizeof ": header";
    char *text = malloc((size_t)bytes + name_bytes + 1);
    if (!text)
        return krs_fail(err, KRS_E_MEMORY,
                        "%s: out of memory for the header of %" PRIu64 " bytes",
                        file->path, bytes);
    char *name = text + bytes;
    snprintf(name, name_bytes, "%s: header", file->path);
    krs_status status =
        krsi_file_read(file, sizeof bytes, text, (size_t)bytes, err);
    if (status == KRS_OK && (bytes == 0 || text[0] != '{'))
        status = krs_fail(err, KRS_E_FORMAT,
                          "%s: offset 8: the header must begin with '{'; "
                          "this may not be a safetensors file",
                          file->path);
    if (status == KRS_OK)
        status =
            krsi_json_parse(name, text, (size_t)bytes, &shard->header, err);
    free(text);
    shard->data_at = sizeof bytes + bytes;
    return status;
}

static krs_status
read_shape(const krsi_json *entry, krs_weight *weight, krs_error *err)
{
    krsi_json shape, item;
    size_t rank;
    KRS_TRY(krsi_json_array(entry, "shape", &shape, &rank, err));
    if (rank > KRS_WEIGHT_RANK)
        return krsi_json_wrong(&shape, err,
                               "has %zu dimensions, at most %d are supported",
                               rank, KRS_WEIGHT_RANK);
    weight->rank = (int)rank;
    weight->count = 1;
    bool overflow = false;
    for (size_t i = 0; i < rank; i++) {
        KRS_TRY(krsi_json_item(&shape, i, &item, err));
        KRS_TRY(krsi_json_as_int(&item, 0, INT64_MAX, &weight->shape[i], err));
        overflow |= __builtin_mul_overflow(weight->count, weight->shape[i],
                                           &weight->count);
    }
    if (!overflow)
        overflow = __builtin_mul_overflow((uint64_t)weight->count,
                                          krs_stored_bytes(weight->stored),
                                          &weight->bytes);
    if (overflow || weight->bytes > INT64_MAX) {
        char text[KRSI_SHAPE_TEXT];
        return krsi_json_wrong(&shape, err, "%s has more than 2^63 bytes",
                               krsi_weight_text(weight, text));
    }
    return KRS_OK;
}

static krs_status
read_place(const krsi_shard *shard, const krsi_json *entry,
           const krs_weight *weight, uint64_t *at, krs_error *err)
{
    krsi_json offsets, item;
    size_t count;
    int64_t range[2];
    int64_t data_bytes = (int64_t)(shard->file.bytes - shard->data_at);
    KRS_TRY(krsi_json_array(entry, "data_offsets", &offsets, &count, err));
    if (count != 2)
        return krsi_json_wrong(&offsets, err,
                               "expected [begin, end], found %zu items", count);
    for (size_t i = 0; i < 2; i++) {
        KRS_TRY(krsi_json_item(&offsets, i, &item, err));
        KRS_TRY(krsi_json_as_int(&item, 0, INT64_MAX, &range[i], err));
    }
    if (range[0] > range[1])
        return krsi_json_wrong(&offsets, err,
                               "begin %" PRId64 " is after end %" PRId64,
                               range[0], range[1]);
    if (range[1] > data_bytes)
        return krsi_json_wrong(&offsets, err,
                               "end %" PRId64
                               " lies outside the file, which has %" PRId64
                               " bytes of data; it may have been cut short",
                               range[1], data_bytes);
    if ((uint64_t)(range[1] - range[0]) != weight->bytes) {
        char text[KRSI_SHAPE_TEXT];
        return krsi_json_wrong(
            &offsets, err, "holds %" PRId64 " bytes, but %s needs %" PRIu64,
            range[1] - range[0], krsi_weight_text(weight, text), weight->bytes);
    }
    *at = shard->data_at + (uint64_t)range[0];
    return KRS_OK;
}

static krs_status
read_entry(const krsi_shard *shard, const char *name, const krsi_json *json,
           krsi_entry *entry, krs_error *err)
{
    const char *type;
    *entry = (krsi_entry){
        .weight = {.name = name, .file = shard->path}
    };
    KRS_TRY(krsi_json_string(json, "dtype", &type, err));
    if (!krsi_stored_parse(type, &entry->weight.stored)) {
        char quoted[QUOTED];
        return krsi_json_wrong(json, err, "unknown dtype %s; known are %s",
                               krsi_json_quote(type, quoted, sizeof quoted),
                               krsi_stored_names());
    }
    KRS_TRY(read_shape(json, &entry->weight, err));
    return read_place(shard, json, &entry->weight, &entry->at, err);
}

static int
by_place(const void *left, const void *right)
{
    const krsi_entry *a = left, *b = right;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    if (a->weight.bytes != b->weight.bytes)
        return a->weight.bytes < b->weight.bytes ? -1 : 1;
    return strcmp(a->weight.name, b->weight.name);
}

/* Each byte of the data belongs to one tensor. Sorts the entries. */
static krs_status
check_cover(const krsi_shard *shard, krsi_entry *entries, size_t count,
            krs_error *err)
{
    char name[QUOTED], other[QUOTED];
    uint64_t end = shard->data_at;
    qsort(entries, count, sizeof *entries, by_place);
    for (size_t i = 0; i < count; i++) {
        const krsi_entry *e = &entries[i];
        krsi_json_quote(e->weight.name, name, sizeof name);
        if (e->at < end)
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: offset %" PRIu64
                            ": tensor %s overlaps tensor %s, which "
                            "ends at offset %" PRIu64,
                            shard->path, e->at, name,
                            krsi_json_quote(entries[i - 1].weight.name, other,
                                            sizeof other),
                            end);
        if (e->at > end)
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: offset %" PRIu64 ": a gap of %" PRIu64
                            " bytes that belong to no tensor lies before "
                            "tensor %s",
                            shard->path, end, e->at - end, name);
        end = e->at + e->weight.bytes;
    }
    if (end != shard->file.bytes)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: offset %" PRIu64 ": %" PRIu64
                        " bytes follow the last tensor; the file may have "
                        "been appended to",
                        shard->path, end, shard->file.bytes - end);
    return KRS_OK;
}

static krs_status
read_notes(krs_weights *w, const krsi_json *json, krs_error *err)
{
    krsi_json value;
    void *cursor = NULL;
    const char *key;
    if (!krsi_json_is_object(json))
        return krsi_json_wrong(json, err, "expected an object of strings");
    size_t more = krsi_json_count(json);
    krs_weights_note *notes =
        realloc(w->notes, (w->note_count + more + 1) * sizeof *notes);
    if (!notes)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory for %zu notes",
                        krsi_json_name(json->file), more);
    w->notes = notes;
    while (krsi_json_each(json, &cursor, &key, &value)) {
        krs_weights_note *note = &notes[w->note_count];
        note->key = key;
        KRS_TRY(krsi_json_as_string(&value, &note->value, err));
        w->note_count++;
    }
    return KRS_OK;
}

static krs_status
read_entries(krs_weights *w, size_t shard, krs_error *err)
{
    const krsi_shard *s = &w->shards[shard];
    krsi_json root = krsi_json_root(s->header), json;
    void *cursor = NULL;
    const char *name;
    size_t most = krsi_json_count(&root), before = w->count, bytes;
    krsi_entry *entries = NULL;
    /* most <= bytes of the header, as every member takes some */
    if (!__builtin_add_overflow(most, before + 1, &bytes) &&
        !__builtin_mul_overflow(bytes, sizeof *entries, &bytes))
        entries = realloc(w->entries, bytes);
    if (!entries)
        return krs_fail(err, KRS_E_MEMORY,
                        "%s: out of memory for a list of %zu tensors", s->path,
                        most);
    w->entries = entries;
    while (krsi_json_each(&root, &cursor, &name, &json)) {
        if (strcmp(name, metadata_key) == 0) {
            KRS_TRY(read_notes(w, &json, err));
            continue;
        }
        krsi_entry *entry = &entries[w->count];
        KRS_TRY(read_entry(s, name, &json, entry, err));
        entry->shard = shard;
        w->count++;
    }
    return check_cover(s, entries + before, w->count - before, err);
}

krs_status
krsi_safetensors_open(krs_weights *w, char *path, krs_error *err)
{
    krsi_shard *shard = &w->shards[w->shard_count++];
    *shard = (krsi_shard){.path = path};
    KRS_TRY(krsi_file_open(path, INT64_MAX, &shard->file, err));
    KRS_TRY(read_header(shard, err));
    return read_entries(w, w->shard_count - 1, err);
}
