/* weights_convert.c -- the tensors of an open model in another format, or with
 * other types (krs_weights_convert in weights.h).
 *
 * In: an open model. Out: a file, or shards with their index, made by the
 * writer of the format (safetensors_write.c, gguf_write.c, npz_write.c).
 * Everything is laid out before the first byte is written; values are read,
 * converted and written a piece at a time.
 */
#include "gguf_file.h"
#include "npy_file.h"
#include "stored.h"
#include "tensor_out.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
    const char *ending;
} formats[] = {
#define ROW(NAME, ending) {ending},
    KRS_WEIGHTS_FORMAT_LIST(ROW)
#undef ROW
};

bool
krs_weights_format_of(const char *path, krs_weights_format *out)
{
    size_t n = strlen(path);
    for (int f = 0; f < KRS_WEIGHTS_FORMAT_COUNT; f++) {
        size_t m = strlen(formats[f].ending);
        if (n > m && strcmp(path + n - m, formats[f].ending) == 0) {
            *out = (krs_weights_format)f;
            return true;
        }
    }
    return false;
}

static bool
has_type(krs_weights_format format, krs_stored stored)
{
    krs_block block;
    switch (format) {
    case KRS_WEIGHTS_SAFETENSORS: return !krs_stored_block(stored, &block);
    case KRS_WEIGHTS_GGUF: return krsi_gguf_has(stored);
    case KRS_WEIGHTS_NPZ:
    case KRS_WEIGHTS_NPY: return krsi_npy_has(stored);
    case KRS_WEIGHTS_FORMAT_COUNT: break;
    }
    return false;
}

/* The type that a tensor is written as. */
static krs_stored
choose(const krs_weight *t, const krs_convert_options *o)
{
    bool is_gguf = o->format == KRS_WEIGHTS_GGUF;
    bool is_float = krs_stored_converts(t->stored, KRS_F32) &&
                    !krs_stored_converts(t->stored, KRS_I64);
    if (!is_float)
        return t->stored;
    if (!o->dtype)
        return has_type(o->format, t->stored) ? t->stored : KRS_STORED_F32;
    int64_t elements = (int64_t)krs_stored_elements(*o->dtype);
    int64_t row = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    bool is_vector = is_gguf && t->rank < 2;
    return is_vector || row % elements != 0 ? KRS_STORED_F32 : *o->dtype;
}

/* ---- safetensors ---- */

static krs_status
write_safetensors(const krs_weights *w, const char *path, krsi_out *list,
                  size_t count, krs_error *err)
{
    static const krs_weights_note from_torch = {"format", "pt"};
    size_t note_count = w->note_count ? w->note_count : 1;
    krs_weights_note *notes = calloc(note_count, sizeof *notes);
    if (!notes)
        return krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    if (w->note_count)
        memcpy(notes, w->notes, note_count * sizeof *notes);
    else
        notes[0] = from_torch; /* as the Hugging Face libraries expect it */
    krs_status status =
        krsi_safetensors_write(path, list, count, notes, note_count, err);
    free(notes);
    return status;
}

/* What becomes of a model in shards, besides the shards. */
typedef struct sharding {
    const char *folder;
    char *path; /* room for a name in the folder */
    size_t path_bytes;
    json_t *map; /* the index: name of a tensor to name of a file */
    uint64_t total_bytes;
} sharding;

/* Number of tensors from `begin` on that make a shard: at least one. */
static size_t
shard_length(const krsi_out *list, size_t begin, size_t count, uint64_t most)
{
    uint64_t bytes = list[begin].weight.bytes;
    size_t end = begin + 1;
    while (end < count && bytes <= most &&
           list[end].weight.bytes <= most - bytes)
        bytes += list[end++].weight.bytes;
    return end - begin;
}

static krs_status
write_shard(const krs_weights *w, sharding *s, size_t number, size_t shards,
            krsi_out *list, size_t count, krs_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", number,
             shards);
    for (size_t i = 0; i < count; i++) {
        s->total_bytes += list[i].weight.bytes;
        if (json_object_set_new(s->map, list[i].weight.name,
                                json_string(name)) != 0)
            return krs_fail(err, KRS_E_MEMORY,
                            "%s: out of memory for the "
                            "index",
                            s->folder);
    }
    snprintf(s->path, s->path_bytes, "%s/%s", s->folder, name);
    return write_safetensors(w, s->path, list, count, err);
}

static krs_status
write_index(sharding *s, krs_error *err)
{
    json_t *index = json_pack("{s:{s:I},s:O}", "metadata", "total_size",
                              (json_int_t)s->total_bytes, "weight_map", s->map);
    size_t bytes = 0;
    char *text =
        index ? krsi_json_print(index, JSON_INDENT(2) | JSON_SORT_KEYS, &bytes)
              : NULL;
    snprintf(s->path, s->path_bytes, "%s/model.safetensors.index.json",
             s->folder);
    krs_status status =
        text ? krsi_file_write(s->path, text, bytes, err)
             : krs_fail(err, KRS_E_MEMORY, "%s: out of memory for the index",
                        s->folder);
    free(text);
    json_decref(index);
    return status;
}

static krs_status
write_shards(const krs_weights *w, sharding *s, uint64_t most, krsi_out *list,
             size_t count, krs_error *err)
{
    size_t shards = 0, n;
    for (size_t i = 0; i < count; i += shard_length(list, i, count, most))
        shards++;
    krs_status status = KRS_OK;
    size_t number = 1;
    for (size_t i = 0; status == KRS_OK && i < count; i += n, number++) {
        n = shard_length(list, i, count, most); /* before they are sorted */
        status = write_shard(w, s, number, shards, list + i, n, err);
    }
    return status == KRS_OK ? write_index(s, err) : status;
}

static krs_status
write_folder(const krs_weights *w, const char *folder, uint64_t most,
             krsi_out *list, size_t count, krs_error *err)
{
    sharding s = {.folder = folder, .path_bytes = strlen(folder) + 80};
    s.path = malloc(s.path_bytes);
    s.map = json_object();
    krs_status status;
    if (!s.path || !s.map) {
        status = krs_fail(err, KRS_E_MEMORY, "%s: out of memory", folder);
    } else if (most > 0 && count > 0) {
        status = write_shards(w, &s, most, list, count, err);
    } else {
        snprintf(s.path, s.path_bytes, "%s/model.safetensors", folder);
        status = write_safetensors(w, s.path, list, count, err);
    }
    free(s.path);
    json_decref(s.map);
    return status;
}

/* ---- GGUF ---- */

static int
by_key(const void *a, const void *b)
{
    return strcmp(((const krs_gguf_value *)a)->key,
                  ((const krs_gguf_value *)b)->key);
}

/* The settings of w, but for those given, and those given; sorted. Writers use
 * the alignment that its absence means. */
static krs_status
write_gguf(const krs_weights *w, const char *path, const krsi_out *list,
           size_t count, const krs_convert_options *o, krs_error *err)
{
    const krs_gguf *g = krs_weights_gguf(w);
    size_t most = (g ? g->value_count : 0) + o->setting_count, n = 0;
    krs_gguf_value *all = calloc(most + 1, sizeof *all);
    if (!all)
        return krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    for (size_t i = 0; i < o->setting_count; i++)
        all[n++] = o->settings[i];
    if (n > 0)
        qsort(all, n, sizeof *all, by_key);
    for (size_t i = 0; g && i < g->value_count; i++)
        if (strcmp(g->values[i].key, "general.alignment") != 0 &&
            !bsearch(&g->values[i], all, o->setting_count, sizeof *all, by_key))
            all[n++] = g->values[i];
    if (n > 0)
        qsort(all, n, sizeof *all, by_key);
    krs_status status = krsi_gguf_write(path, list, count, all, n, err);
    free(all);
    return status;
}

/* ---- all formats ---- */

static bool
is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static krs_status
write_list(const krs_weights *w, const char *path, krsi_out *list, size_t count,
           const krs_convert_options *o, krs_error *err)
{
    switch (o->format) {
    case KRS_WEIGHTS_SAFETENSORS:
        if (is_folder(path))
            return write_folder(w, path, o->shard_bytes, list, count, err);
        if (o->shard_bytes > 0)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "%s: shards are written into a folder that exists",
                            path);
        return write_safetensors(w, path, list, count, err);
    case KRS_WEIGHTS_GGUF: return write_gguf(w, path, list, count, o, err);
    case KRS_WEIGHTS_NPZ: return krsi_npz_write(path, list, count, err);
    case KRS_WEIGHTS_NPY:
        if (count == 1)
            return krsi_npy_write(path, &list[0], err);
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: an .npy holds one tensor, not %zu; write an .npz",
                        path, count);
    case KRS_WEIGHTS_FORMAT_COUNT: break;
    }
    return krs_fail(err, KRS_E_ARGUMENT, "%s: convert: no such format", path);
}

static krs_status
check_type(const char *path, const krs_convert_options *o, krs_error *err)
{
    krs_block block;
    if (!o->dtype ||
        (has_type(o->format, *o->dtype) &&
         (!krs_stored_block(*o->dtype, &block) || krs_block_writes(block))))
        return KRS_OK;
    return krs_fail(err, KRS_E_DTYPE,
                    "%s: convert: %s is not written in this format; f32 and "
                    "f16 are in each, bf16 but by NumPy, q8_0 and q4_0 in GGUF",
                    path, krs_stored_name(*o->dtype));
}

krs_status
krs_weights_convert(const krs_weights *w, const char *path,
                    const krs_convert_options *options, krs_error *err)
{
    if (!w || !path || !*path || !options ||
        options->struct_size < sizeof *options)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "weights: convert: weights, path and options with "
                        "their size must be given");
    KRS_TRY(check_type(path, options, err));
    krsi_out *list = calloc(w->count + 1, sizeof *list);
    if (!list)
        return krs_fail(err, KRS_E_MEMORY, "%s: write: out of memory", path);
    krs_status status = KRS_OK;
    size_t first = 0, count = w->count;
    if (options->tensor) {
        int64_t i = krs_weights_find(w, options->tensor);
        char name[96];
        if (i < 0)
            status =
                krs_fail(err, KRS_E_NAME, "%s: there is no tensor %s", w->path,
                         krsi_json_quote(options->tensor, name, sizeof name));
        first = (size_t)i;
        count = 1;
    }
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status = krsi_out_convert(
            w, first + i, choose(&w->entries[first + i].weight, options),
            &list[i], err);
    if (status == KRS_OK)
        status = write_list(w, path, list, count, options, err);
    free(list);
    return status;
}
