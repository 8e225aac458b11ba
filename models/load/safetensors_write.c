/* safetensors_write.c -- tensors and notes to a safetensors file, atomically.
 *
 * In: tensors in memory, or of another file. Out: a file that is complete, or the old one. The
 * bytes are a function of the arguments as a set: tensors by falling element
 * size, then name; notes by key; no spaces in the JSON, which is padded with
 * spaces so that the data begins at a multiple of 8.
 *
 * Everything is checked and laid out before the first byte is written; the
 * old file is replaced at once, by file_write.c.
 */
#include "tensor_out.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 100000000u /* limit of the format */
#define QUOTED       96

static krs_status
bad(const char *path, const krs_weight_source *t, krs_status status,
    const char *reason, krs_error *err)
{
    char name[QUOTED];
    return krs_fail(err, status, "%s: write: tensor %s: %s", path,
                    krsi_json_quote(t->name, name, sizeof name), reason);
}

/* the type of the file for a type without blocks */
static krs_stored
stored_of(krs_dtype dtype)
{
    int s = 0;
    krs_dtype same;
    while (!krs_stored_dtype((krs_stored)s, &same) || same != dtype)
        s++;
    return (krs_stored)s;
}

static krs_status
check_tensor(const char *path, const krs_weight_source *t, krsi_out *out,
             krs_error *err)
{
    krs_weight *w = &out->weight;
    size_t bytes = 0;
    bool overflow = false;
    if (!t->name)
        return krs_fail(err, KRS_E_NAME, "%s: write: a tensor has no name",
                        path);
    if ((unsigned)t->dtype >= KRS_DTYPE_COUNT ||
        krs_dtype_class_of(t->dtype) == KRS_CLASS_BLOCK)
        return bad(path, t, KRS_E_DTYPE,
                   "block-quantised types have no place in this format; "
                   "dequantise it first",
                   err);
    if (t->rank < 0 || t->rank > KRS_WEIGHT_RANK || (t->rank && !t->shape))
        return bad(path, t, KRS_E_SHAPE, "rank must be 0 to 8, with a shape",
                   err);
    *out = (krsi_out){
        .weight = {.name = t->name,
                   .stored = stored_of(t->dtype),
                   .rank = t->rank,
                   .count = 1},
        .data = t->data
    };
    for (int i = 0; i < t->rank; i++) {
        if (t->shape[i] < 0)
            return bad(path, t, KRS_E_SHAPE, "a size is negative", err);
        w->shape[i] = t->shape[i];
        overflow |= __builtin_mul_overflow(w->count, t->shape[i], &w->count);
    }
    if (overflow || !krs_dtype_bytes(t->dtype, w->count, &bytes) ||
        bytes > INT64_MAX)
        return bad(path, t, KRS_E_SHAPE, "more than 2^63 bytes", err);
    w->bytes = bytes;
    if (!t->data && bytes)
        return bad(path, t, KRS_E_ARGUMENT, "data is NULL", err);
    return KRS_OK;
}

static int
by_size_and_name(const void *left, const void *right)
{
    const krs_weight *a = &((const krsi_out *)left)->weight;
    const krs_weight *b = &((const krsi_out *)right)->weight;
    size_t size = krs_stored_bytes(a->stored);
    size_t other = krs_stored_bytes(b->stored);
    if (size != other)
        return size > other ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* {"dtype": ..., "shape": [...], "data_offsets": [begin, end]} */
static json_t *
entry_json(const krs_weight *t, uint64_t begin)
{
    json_t *entry = json_object(), *shape = json_array();
    bool ok = entry && shape;
    for (int i = 0; ok && i < t->rank; i++)
        ok = json_array_append_new(shape, json_integer(t->shape[i])) == 0;
    ok =
        ok && json_object_set_new(entry, "dtype",
                                  json_string(krs_stored_name(t->stored))) == 0;
    ok = ok && json_object_set(entry, "shape", shape) == 0;
    ok = ok &&
         json_object_set_new(entry, "data_offsets",
                             json_pack("[I,I]", (json_int_t)begin,
                                       (json_int_t)(begin + t->bytes))) == 0;
    json_decref(shape);
    if (!ok) {
        json_decref(entry);
        entry = NULL;
    }
    return entry;
}

/* Set key to value (taken over). A key that is not UTF-8 is a NAME error. */
static krs_status
set(const char *path, json_t *object, const char *key, json_t *value,
    const char *what, krs_error *err)
{
    char name[QUOTED];
    krsi_json_quote(key, name, sizeof name);
    if (json_object_get(object, key)) {
        json_decref(value);
        return krs_fail(err, KRS_E_NAME, "%s: write: %s %s is given twice",
                        path, what, name);
    }
    if (!value)
        return krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    if (!krsi_is_utf8(key)) {
        json_decref(value);
        return krs_fail(err, KRS_E_NAME, "%s: write: %s %s is not valid UTF-8",
                        path, what, name);
    }
    if (json_object_set_new(object, key, value) != 0)
        return krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    return KRS_OK;
}

static int
by_key(const void *left, const void *right)
{
    const krs_weights_note *a = left, *b = right;
    return strcmp(a->key, b->key);
}

static krs_status
add_notes(const char *path, json_t *root, krs_weights_note *notes, size_t count,
          krs_error *err)
{
    if (count == 0)
        return KRS_OK;
    json_t *object = json_object();
    krs_status status = KRS_OK;
    if (!object)
        return krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    qsort(notes, count, sizeof *notes, by_key);
    for (size_t i = 0; status == KRS_OK && i < count; i++) {
        if (krsi_is_utf8(notes[i].value))
            status = set(path, object, notes[i].key,
                         json_string(notes[i].value), "note", err);
        else
            status = krs_fail(err, KRS_E_NAME,
                              "%s: write: the value of note %zu is not valid "
                              "UTF-8",
                              path, i);
    }
    if (status == KRS_OK)
        return set(path, root, "__metadata__", object, "note", err);
    json_decref(object);
    return status;
}

/* The 8-byte length and the padded JSON, in *out (owned). */
static krs_status
header_text(const char *path, const json_t *root, char **out, size_t *out_bytes,
            krs_error *err)
{
    size_t bytes = 0;
    char *text = krsi_json_print(root, JSON_COMPACT, &bytes);
    if (!text)
        return krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    size_t padded = (bytes + 7) & ~(size_t)7;
    krs_status status = KRS_OK;
    char *header = NULL;
    if (padded > HEADER_BYTES)
        status = krs_fail(err, KRS_E_UNSUPPORTED,
                          "%s: write: the header needs %zu bytes, the format "
                          "allows %u; write several files",
                          path, padded, HEADER_BYTES);
    else if (!(header = malloc(8 + padded)))
        status = krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    if (status == KRS_OK) {
        uint64_t length = padded;
        memcpy(header, &length, 8);
        memset(header + 8, ' ', padded);
        memcpy(header + 8, text, bytes);
        *out = header;
        *out_bytes = 8 + padded;
    }
    free(text);
    return status;
}

static krs_status
build_header(const char *path, const krsi_out *list, size_t count,
             krs_weights_note *notes, size_t note_count, char **out,
             size_t *out_bytes, krs_error *err)
{
    json_t *root = json_object();
    uint64_t end = 0;
    if (!root)
        return krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    krs_status status = add_notes(path, root, notes, note_count, err);
    for (size_t i = 0; status == KRS_OK && i < count; i++) {
        const krs_weight *t = &list[i].weight;
        uint64_t begin = end;
        if (__builtin_add_overflow(end, t->bytes, &end) || end > INT64_MAX)
            status = krs_fail(err, KRS_E_SHAPE,
                              "%s: write: the tensors together have more than "
                              "2^63 bytes",
                              path);
        else if (strcmp(t->name, "__metadata__") == 0)
            status = krs_fail(err, KRS_E_NAME,
                              "%s: write: tensor \"__metadata__\": the format "
                              "reserves this name",
                              path);
        else
            status =
                set(path, root, t->name, entry_json(t, begin), "tensor", err);
    }
    if (status == KRS_OK)
        status = header_text(path, root, out, out_bytes, err);
    json_decref(root);
    return status;
}

/* The header and the data of every tensor, one after the other. */
static krs_status
write_file(const char *path, const char *header, size_t header_size,
           const krsi_out *list, size_t count, krs_error *err)
{
    krsi_writer writer;
    KRS_TRY(krsi_writer_open(path, &writer, err));
    krs_status status = krsi_writer_put(&writer, header, header_size, err);
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status = krsi_out_put(&list[i], &writer, NULL, err);
    return krsi_writer_close(&writer, status, err);
}

krs_status
krsi_safetensors_write(const char *path, krsi_out *list, size_t count,
                       krs_weights_note *notes, size_t note_count,
                       krs_error *err)
{
    char *header = NULL;
    size_t header_size = 0;
    if (count > 0)
        qsort(list, count, sizeof *list, by_size_and_name);
    KRS_TRY(build_header(path, list, count, notes, note_count, &header,
                         &header_size, err));
    krs_status status = write_file(path, header, header_size, list, count, err);
    free(header);
    return status;
}

static krs_status
check_arguments(const char *path, const krs_weight_source *tensors,
                size_t count, const krs_weights_note *notes, size_t note_count,
                krs_error *err)
{
    if (!path || !*path || (count && !tensors) || (note_count && !notes))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "weights: write: path, tensors and notes must be "
                        "given");
    for (size_t i = 0; i < note_count; i++)
        if (!notes[i].key || !notes[i].value)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "%s: write: note %zu has no key or value", path, i);
    return KRS_OK;
}

krs_status
krs_weights_write(const char *path, const krs_weight_source *tensors,
                  size_t count, const krs_weights_note *notes,
                  size_t note_count, krs_error *err)
{
    KRS_TRY(check_arguments(path, tensors, count, notes, note_count, err));
    krsi_out *list = calloc(count + 1, sizeof *list);
    krs_weights_note *sorted = calloc(note_count + 1, sizeof *sorted);
    krs_status status = KRS_OK;
    if (!list || !sorted)
        status = krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status = check_tensor(path, &tensors[i], &list[i], err);
    if (status == KRS_OK && note_count)
        memcpy(sorted, notes, note_count * sizeof *notes);
    if (status == KRS_OK)
        status =
            krsi_safetensors_write(path, list, count, sorted, note_count, err);
    free(sorted);
    free(list);
    return status;
}
