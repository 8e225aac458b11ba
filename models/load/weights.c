/* weights.c -- a model as one list of tensors, in one file or in shards.
 *
 * In: a .safetensors or .gguf file, an index of shards, or a folder. Out: the
 * tensors sorted by name, found by bisection. Invariant: after opening nothing
 * changes, so any number of threads may read (weights_read.c).
 *
 * An index ({"weight_map": {"name": "shard file", ...}}) must agree with its
 * shards in both directions: a tensor that only one of them knows means that
 * files of different models lie in one folder. Shard names stay inside it.
 */
#include "gguf_file.h"
#include "npy_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define QUOTED 96 /* bytes of a name in a message */

static const char single_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

const char *
krsi_weight_text(const krs_weight *weight, char out[KRSI_SHAPE_TEXT])
{
    int n =
        snprintf(out, KRSI_SHAPE_TEXT, "%s[", krs_stored_name(weight->stored));
    for (int i = 0; i < weight->rank; i++)
        n += snprintf(out + n, (size_t)(KRSI_SHAPE_TEXT - n), "%s%" PRId64,
                      i ? "," : "", weight->shape[i]);
    snprintf(out + n, (size_t)(KRSI_SHAPE_TEXT - n), "]");
    return out;
}

/* folder and name joined; folder may end in '/' or be empty */
static char *
join(const char *folder, size_t folder_bytes, const char *name)
{
    size_t name_bytes = strlen(name) + 1;
    bool slash = folder_bytes > 0 && folder[folder_bytes - 1] != '/';
    char *path = malloc(folder_bytes + slash + name_bytes);
    if (!path)
        return NULL;
    memcpy(path, folder, folder_bytes);
    if (slash)
        path[folder_bytes] = '/';
    memcpy(path + folder_bytes + slash, name, name_bytes);
    return path;
}

static krs_status
no_memory(const char *path, krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", path);
}

struct krsi_name {
    struct krsi_name *next;
    char text[];
};

const char *
krsi_weights_keep_name(krs_weights *w, const char *name)
{
    size_t bytes = strlen(name) + 1;
    struct krsi_name *kept = malloc(sizeof *kept + bytes);
    if (!kept)
        return NULL;
    kept->next = w->names;
    w->names = kept;
    return memcpy(kept->text, name, bytes);
}

static int
by_name(const void *left, const void *right)
{
    const krsi_entry *a = left, *b = right;
    int order = strcmp(a->weight.name, b->weight.name);
    if (order == 0)
        order = a->shard < b->shard ? -1 : a->shard > b->shard;
    return order;
}

/* names of shards come first: the first of several equal keys is kept */
static int
by_key(const void *left, const void *right)
{
    const krs_weights_note *const *a = left, *const *b = right;
    int order = strcmp((*a)->key, (*b)->key);
    return order ? order : (*a > *b) - (*a < *b);
}

static krs_status
sort_notes(krs_weights *w, krs_error *err)
{
    size_t count = w->note_count, kept = 0;
    if (count < 2)
        return KRS_OK;
    const krs_weights_note **order = calloc(count, sizeof(void *));
    krs_weights_note *sorted = calloc(count, sizeof *sorted);
    if (!order || !sorted) {
        free(order);
        free(sorted);
        return no_memory(w->path, err);
    }
    for (size_t i = 0; i < count; i++)
        order[i] = &w->notes[i];
    qsort(order, count, sizeof *order, by_key);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || strcmp(sorted[kept - 1].key, order[i]->key) != 0)
            sorted[kept++] = *order[i];
    free(order);
    free(w->notes);
    w->notes = sorted;
    w->note_count = kept;
    return KRS_OK;
}

krs_status
krsi_weights_sort(krs_weights *w, krs_error *err)
{
    char name[QUOTED];
    if (w->count > 0)
        qsort(w->entries, w->count, sizeof *w->entries, by_name);
    for (size_t i = 1; i < w->count; i++) {
        const krs_weight *a = &w->entries[i - 1].weight;
        const krs_weight *b = &w->entries[i].weight;
        if (strcmp(a->name, b->name) != 0)
            continue;
        krsi_json_quote(b->name, name, sizeof name);
        return strcmp(a->file, b->file) == 0
                   ? krs_fail(err, KRS_E_FORMAT,
                              "%s: tensor %s is there twice; each name stands "
                              "for one tensor",
                              b->file, name)
                   : krs_fail(err, KRS_E_FORMAT,
                              "%s: tensor %s also lies in %s; a tensor belongs "
                              "to one shard",
                              b->file, name, a->file);
    }
    return sort_notes(w, err);
}

/* The formats of single files, by the bytes they begin with; what begins in
 * another way is taken for safetensors, which has no mark. */
static const struct {
    char magic[8];
    size_t bytes;
    krs_status (*open)(krs_weights *w, char *path, krs_error *err);
} formats[] = {
    {"GGUF",      4, krsi_gguf_weights    },
    {"\x93NUMPY", 6, krsi_npy_open        },
    {"PK\3\4",    4, krsi_npz_open        },
    {"PK\5\6",    4, krsi_npz_open        }, /* of no arrays */
    {"",          0, krsi_safetensors_open},
};

static krs_status
find_format(const char *path, size_t *out, krs_error *err)
{
    char magic[8] = {0};
    krsi_file file;
    KRS_TRY(krsi_file_open(path, INT64_MAX, &file, err));
    krs_status status = krsi_file_read(
        &file, 0, magic, file.bytes < sizeof magic ? file.bytes : sizeof magic,
        err);
    krsi_file_close(&file);
    *out = 0;
    while (memcmp(magic, formats[*out].magic, formats[*out].bytes) != 0)
        ++*out;
    return status;
}

static krs_status
open_single(krs_weights *w, char *path /* takes */, krs_error *err)
{
    size_t format;
    if (path)
        w->shards = calloc(1, sizeof *w->shards);
    if (!w->shards) {
        free(path);
        return no_memory(w->path, err);
    }
    krs_status status = find_format(path, &format, err);
    if (status != KRS_OK) {
        free(path);
        return status;
    }
    KRS_TRY(formats[format].open(w, path, err));
    return krsi_weights_sort(w, err);
}

static krs_status
check_shard_name(const krsi_json *value, const char *name, krs_error *err)
{
    if (*name && !strchr(name, '/') && !strstr(name, "..") &&
        strcmp(name, ".") != 0)
        return KRS_OK;
    char quoted[QUOTED];
    return krsi_json_wrong(value, err,
                           "%s is no name of a file beside the index; names "
                           "with '/' or \"..\" are refused",
                           krsi_json_quote(name, quoted, sizeof quoted));
}

static int
compare_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The different shard names of a weight_map, sorted, in *names (owned). */
static krs_status
list_shards(const krsi_json *map, const char ***out, size_t *out_count,
            krs_error *err)
{
    size_t total = krsi_json_count(map), n = 0, kept = 0;
    const char **names = calloc(total + 1, sizeof *names), *key;
    krsi_json value;
    void *cursor = NULL;
    krs_status status = KRS_OK;
    if (!names)
        return no_memory(krsi_json_name(map->file), err);
    while (status == KRS_OK && krsi_json_each(map, &cursor, &key, &value)) {
        status = krsi_json_as_string(&value, &names[n], err);
        if (status == KRS_OK)
            status = check_shard_name(&value, names[n++], err);
    }
    if (status == KRS_OK && n == 0)
        status = krsi_json_wrong(map, err, "names no tensor");
    if (status != KRS_OK) {
        free(names);
        return status;
    }
    qsort(names, n, sizeof *names, compare_text);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0)
            names[kept++] = names[i];
    *out = names;
    *out_count = kept;
    return KRS_OK;
}

static const char *
file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Index and shards name the same tensors in the same places. */
static krs_status
check_map(const krs_weights *w, const krsi_json *map, krs_error *err)
{
    krsi_json value;
    void *cursor = NULL;
    const char *name, *shard;
    char quoted[QUOTED];
    while (krsi_json_each(map, &cursor, &name, &value)) {
        int64_t i = krs_weights_find(w, name);
        KRS_TRY(krsi_json_as_string(&value, &shard, err));
        if (i < 0 || strcmp(file_name(w->entries[i].weight.file), shard) != 0)
            return krsi_json_wrong(
                &value, err,
                "shard %s does not hold this tensor%s%s; index and shards "
                "may be of different models",
                krsi_json_quote(shard, quoted, sizeof quoted),
                i < 0 ? "" : ", it lies in ",
                i < 0 ? "" : file_name(w->entries[i].weight.file));
    }
    for (size_t i = 0; i < w->count; i++)
        if (!krsi_json_has(map, w->entries[i].weight.name))
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: holds tensor %s, which the index %s does not "
                            "name; index and shards may be of different "
                            "models",
                            w->entries[i].weight.file,
                            krsi_json_quote(w->entries[i].weight.name, quoted,
                                            sizeof quoted),
                            krsi_json_name(map->file));
    return KRS_OK;
}

static krs_status
open_shards(krs_weights *w, const char *index, const krsi_json *map,
            krs_error *err)
{
    const char **names = NULL;
    size_t count = 0, folder_bytes = (size_t)(file_name(index) - index);
    KRS_TRY(list_shards(map, &names, &count, err));
    krs_status status = KRS_OK;
    w->shards = calloc(count, sizeof *w->shards);
    if (!w->shards)
        status = no_memory(index, err);
    for (size_t i = 0; status == KRS_OK && i < count; i++) {
        char *path = join(index, folder_bytes, names[i]);
        status =
            path ? krsi_safetensors_open(w, path, err) : no_memory(index, err);
    }
    free(names);
    KRS_TRY(status);
    KRS_TRY(krsi_weights_sort(w, err));
    return check_map(w, map, err);
}

static krs_status
open_index(krs_weights *w, const char *index, krs_error *err)
{
    krsi_json_file *file;
    krsi_json map;
    KRS_TRY(krsi_json_open(index, &file, err));
    krsi_json root = krsi_json_root(file);
    krs_status status = krsi_json_object(&root, "weight_map", &map, err);
    if (status == KRS_OK)
        status = open_shards(w, index, &map, err);
    krsi_json_close(file);
    return status;
}

static bool
ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static krs_status
open_folder(krs_weights *w, krs_error *err)
{
    struct stat info;
    char *path = join(w->path, strlen(w->path), single_name);
    if (!path || stat(path, &info) == 0)
        return open_single(w, path, err);
    free(path);
    path = join(w->path, strlen(w->path), index_name);
    if (!path)
        return no_memory(w->path, err);
    krs_status status;
    if (stat(path, &info) == 0)
        status = open_index(w, path, err);
    else
        status = krs_fail(err, KRS_E_IO,
                          "%s: holds neither %s nor %s; weights in another "
                          "format must be converted first",
                          w->path, single_name, index_name);
    free(path);
    return status;
}

static krs_status
open_path(krs_weights *w, krs_error *err)
{
    struct stat info;
    if (stat(w->path, &info) != 0)
        return krs_fail(err, krsi_file_status(errno), "%s: cannot open: %s",
                        w->path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return open_folder(w, err);
    if (ends_in(w->path, ".index.json"))
        return open_index(w, w->path, err);
    return open_single(w, join("", 0, w->path), err);
}

krs_status
krs_weights_open(const char *path, krs_weights **out, krs_error *err)
{
    if (!path || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "weights: open: path and out must not be NULL");
    krs_weights *w = calloc(1, sizeof *w);
    if (w)
        w->path = join("", 0, path);
    if (!w || !w->path) {
        free(w);
        return no_memory(path, err);
    }
    krs_status status = open_path(w, err);
    if (status == KRS_OK)
        *out = w;
    else
        krs_weights_close(w);
    return status;
}

void
krs_weights_close(krs_weights *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->shard_count; i++) {
        krsi_file_close(&w->shards[i].file);
        krsi_json_close(w->shards[i].header);
        krs_gguf_close(w->shards[i].gguf);
        free(w->shards[i].path);
    }
    while (w->names) {
        struct krsi_name *next = w->names->next;
        free(w->names);
        w->names = next;
    }
    free(w->shards);
    free(w->entries);
    free(w->notes);
    free(w->path);
    free(w);
}

size_t
krs_weights_count(const krs_weights *w)
{
    return w ? w->count : 0;
}

const krs_weight *
krs_weights_at(const krs_weights *w, size_t i)
{
    return i < krs_weights_count(w) ? &w->entries[i].weight : NULL;
}

const char *
krs_weights_path(const krs_weights *w)
{
    return w ? w->path : "";
}

static int
name_of_entry(const void *name, const void *entry)
{
    return strcmp(name, ((const krsi_entry *)entry)->weight.name);
}

int64_t
krs_weights_find(const krs_weights *w, const char *name)
{
    if (!name || krs_weights_count(w) == 0)
        return -1;
    const krsi_entry *found =
        bsearch(name, w->entries, w->count, sizeof *w->entries, name_of_entry);
    return found ? found - w->entries : -1;
}

const krs_weights_note *
krs_weights_note_at(const krs_weights *w, size_t i)
{
    return w && i < w->note_count ? &w->notes[i] : NULL;
}

const char *
krs_weights_note_find(const krs_weights *w, const char *key)
{
    for (size_t i = 0; w && key && i < w->note_count; i++)
        if (strcmp(w->notes[i].key, key) == 0)
            return w->notes[i].value;
    return NULL;
}
