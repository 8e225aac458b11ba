/* gguf.c -- the header of one GGUF file, believed in nothing.
 *
 *     4 bytes        "GGUF"
 *     u32 u64 u64    version, number of tensors, number of settings
 *     settings       key, u32 type, value; a text is u64 bytes and the bytes,
 *                    an array u32 type, u64 count and the items
 *     tensors        name, u32 rank, u64 sizes (innermost first), u32 type,
 *                    u64 offset in the data
 *     padding        to a multiple of general.alignment
 *     data           each tensor at a multiple of it
 *
 * In: a path. Out: settings sorted by key, and entries whose type, shape and
 * place are consistent: in the order of their offsets the tensors cover the
 * data with nothing but padding between them. Every count and length is held
 * against the bytes that are left in the file before anything is allocated by
 * it. Read by pread through a window of 64 KiB.
 *
 * Refused: keys or tensors that occur twice, arrays of arrays (nothing writes
 * them), tensor types that are not listed in gguf_file.h.
 */
#include "gguf_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES  65536
#define CHUNK_BYTES   65536
#define QUOTED        96
#define LEAST_SETTING (8 + 4 + 1)     /* bytes: empty key, type, a byte */
#define LEAST_TENSOR  (8 + 4 + 4 + 8) /* empty name, rank 0 */

/* Memory of the texts and arrays, freed all at once. */
struct krsi_gguf_chunk {
    struct krsi_gguf_chunk *next;
    size_t used, bytes;
    _Alignas(16) char data[];
};

/* Reads the file in order. */
typedef struct cursor {
    krs_gguf *g;
    uint64_t at;        /* offset of the next byte */
    uint64_t window_at; /* offset of the first byte of the window */
    size_t window_bytes;
    char *window; /* [WINDOW_BYTES] */
    krs_error *err;
} cursor;

static krs_status
no_memory(const cursor *c)
{
    return krs_fail(c->err, KRS_E_MEMORY, "%s: out of memory for the header",
                    c->g->path);
}

static uint64_t
left(const cursor *c)
{
    return c->g->file.bytes - c->at;
}

static krs_status
too_short(const cursor *c, const char *what, uint64_t bytes)
{
    return krs_fail(c->err, KRS_E_FORMAT,
                    "%s: offset %" PRIu64 ": %s needs %" PRIu64
                    " bytes, only %" PRIu64
                    " are left; the file may have been cut short",
                    c->g->path, c->at, what, bytes, left(c));
}

static krs_status
take(cursor *c, const char *what, void *out, size_t bytes)
{
    if (bytes > left(c))
        return too_short(c, what, bytes);
    char *to = out;
    while (bytes > 0) {
        uint64_t skip = c->at - c->window_at;
        if (skip >= c->window_bytes) {
            uint64_t most = left(c);
            c->window_at = c->at;
            c->window_bytes = most < WINDOW_BYTES ? (size_t)most : WINDOW_BYTES;
            KRS_TRY(krsi_file_read(&c->g->file, c->at, c->window,
                                   c->window_bytes, c->err));
            skip = 0;
        }
        size_t n = c->window_bytes - (size_t)skip;
        n = n < bytes ? n : bytes;
        memcpy(to, c->window + skip, n);
        to += n;
        bytes -= n;
        c->at += n;
    }
    return KRS_OK;
}

/* 16-byte aligned memory that lives as long as the file */
static void *
keep(krs_gguf *g, size_t bytes)
{
    struct krsi_gguf_chunk *chunk = g->chunks;
    size_t need = (bytes + 15) & ~(size_t)15;
    if (need < bytes)
        return NULL;
    if (!chunk || chunk->bytes - chunk->used < need) {
        size_t size = need > CHUNK_BYTES / 4 ? need : CHUNK_BYTES;
        struct krsi_gguf_chunk *fresh = malloc(sizeof *fresh + size);
        if (!fresh)
            return NULL;
        fresh->used = 0;
        fresh->bytes = size;
        bool behind = chunk && size == need; /* the first still has room */
        fresh->next = behind ? chunk->next : chunk;
        if (behind)
            chunk->next = fresh;
        else
            g->chunks = fresh;
        chunk = fresh;
    }
    void *piece = chunk->data + chunk->used;
    chunk->used += need;
    return piece;
}

static krs_status
take_text(cursor *c, const char *what, krs_gguf_text *out)
{
    uint64_t bytes;
    KRS_TRY(take(c, what, &bytes, sizeof bytes));
    if (bytes > left(c))
        return too_short(c, what, bytes);
    char *text = keep(c->g, (size_t)bytes + 1);
    if (!text)
        return no_memory(c);
    KRS_TRY(take(c, what, text, (size_t)bytes));
    text[bytes] = 0;
    *out = (krs_gguf_text){text, (size_t)bytes};
    return KRS_OK;
}

/* A key or a name: UTF-8, without NUL, not empty. */
static krs_status
take_name(cursor *c, const char *what, const char **out)
{
    krs_gguf_text text = {"", 0};
    uint64_t at = c->at;
    KRS_TRY(take_text(c, what, &text));
    const char *fault = NULL;
    if (text.bytes == 0)
        fault = "is empty";
    else if (memchr(text.text, 0, text.bytes))
        fault = "holds a NUL character";
    else if (!krsi_is_utf8(text.text))
        fault = "is not valid UTF-8";
    if (fault)
        return krs_fail(c->err, KRS_E_FORMAT, "%s: offset %" PRIu64 ": %s %s",
                        c->g->path, at, what, fault);
    *out = text.text;
    return KRS_OK;
}

/* ---- settings ---- */

static const struct {
    const char *name;
    size_t bytes;
} value_types[] = {
#define ROW(NAME, name, bytes, kind) {#name, bytes},
    KRS_GGUF_TYPE_LIST(ROW)
#undef ROW
};

const char *
krs_gguf_type_name(krs_gguf_type type)
{
    return (unsigned)type < KRS_GGUF_TYPE_COUNT ? value_types[type].name : "?";
}

static krs_status
take_type(cursor *c, const char *key, krs_gguf_type *out)
{
    uint32_t number;
    char quoted[QUOTED];
    uint64_t at = c->at;
    KRS_TRY(take(c, "the type of a setting", &number, sizeof number));
    if (number >= KRS_GGUF_TYPE_COUNT)
        return krs_fail(c->err, KRS_E_FORMAT,
                        "%s: offset %" PRIu64 ": setting %s has the type "
                        "%" PRIu32 ", known are 0 to %d",
                        c->g->path, at,
                        krsi_json_quote(key, quoted, sizeof quoted), number,
                        KRS_GGUF_TYPE_COUNT - 1);
    *out = (krs_gguf_type)number;
    return KRS_OK;
}

static krs_status
take_texts(cursor *c, krs_gguf_value *v)
{
    krs_gguf_text *texts = keep(c->g, v->count * sizeof *texts);
    if (!texts)
        return no_memory(c);
    v->data = texts;
    for (size_t i = 0; i < v->count; i++)
        KRS_TRY(take_text(c, "a text", &texts[i]));
    return KRS_OK;
}

static krs_status
check_bools(const cursor *c, const krs_gguf_value *v)
{
    const uint8_t *bytes = v->data;
    for (size_t i = 0; i < v->count; i++)
        if (bytes[i] > 1)
            return krsi_gguf_wrong(c->g, v, c->err,
                                   "item %zu is %d, a bool is 0 or 1", i,
                                   bytes[i]);
    return KRS_OK;
}

/* v->count values of v->type, which take at least `least` bytes each */
static krs_status
take_items(cursor *c, krs_gguf_value *v, uint64_t count)
{
    char quoted[QUOTED];
    size_t bytes = value_types[v->type].bytes;
    uint64_t least = bytes ? bytes : sizeof(uint64_t);
    if (count > left(c) / least)
        return krs_fail(
            c->err, KRS_E_FORMAT,
            "%s: offset %" PRIu64 ": setting %s has %" PRIu64
            " items of %s, more than the %" PRIu64 " bytes that are left hold",
            c->g->path, c->at, krsi_json_quote(v->key, quoted, sizeof quoted),
            count, krs_gguf_type_name(v->type), left(c));
    v->count = (size_t)count;
    if (v->type == KRS_GGUF_TEXT)
        return take_texts(c, v);
    void *data = keep(c->g, v->count * bytes);
    if (!data)
        return no_memory(c);
    v->data = data;
    KRS_TRY(take(c, "a setting", data, v->count * bytes));
    return v->type == KRS_GGUF_BOOL ? check_bools(c, v) : KRS_OK;
}

static krs_status
take_setting(cursor *c, krs_gguf_value *v)
{
    uint64_t count = 1;
    *v = (krs_gguf_value){0};
    KRS_TRY(take_name(c, "the key of a setting", &v->key));
    KRS_TRY(take_type(c, v->key, &v->type));
    v->at = c->at;
    if (v->type == KRS_GGUF_ARRAY) {
        v->is_array = true;
        KRS_TRY(take_type(c, v->key, &v->type));
        KRS_TRY(take(c, "the length of an array", &count, sizeof count));
        if (v->type == KRS_GGUF_ARRAY)
            return krsi_gguf_wrong(c->g, v, c->err,
                                   "is an array of arrays, which is not read");
    }
    return take_items(c, v, count);
}

static int
by_key(const void *a, const void *b)
{
    return strcmp(((const krs_gguf_value *)a)->key,
                  ((const krs_gguf_value *)b)->key);
}

/* Make room for one more element; the array grows with what was really read,
 * not with what the header promises. */
static bool
grow(void *pointer, size_t count, size_t size)
{
    void **array = pointer;
    if (count & (count - 1))
        return true; /* full at powers of two only */
    void *wider = realloc(*array, (count ? count * 2 : 1) * size);
    if (wider)
        *array = wider;
    return wider != NULL;
}

static krs_status
take_settings(cursor *c, uint64_t count)
{
    krs_gguf *g = c->g;
    if (count > left(c) / LEAST_SETTING)
        return krs_fail(c->err, KRS_E_FORMAT,
                        "%s: offset 16: %" PRIu64 " settings do not fit in the "
                        "%" PRIu64 " bytes that follow",
                        g->path, count, left(c));
    for (; g->value_count < count; g->value_count++) {
        if (!grow(&g->values, g->value_count, sizeof *g->values))
            return no_memory(c);
        KRS_TRY(take_setting(c, &g->values[g->value_count]));
    }
    if (count > 0)
        qsort(g->values, g->value_count, sizeof *g->values, by_key);
    for (size_t i = 1; i < g->value_count; i++)
        if (by_key(&g->values[i - 1], &g->values[i]) == 0)
            return krsi_gguf_wrong(g, &g->values[i], c->err,
                                   "the key occurs twice");
    return KRS_OK;
}

/* ---- tensors ---- */

static const struct {
    uint32_t number;
    krs_stored stored;
} tensor_types[] = {
#define ROW(NAME, number) {number, KRS_STORED_##NAME},
    KRSI_GGUF_TENSOR_LIST(ROW)
#undef ROW
};

static krs_status wrong_tensor(const cursor *c, const krsi_entry *e,
                               uint64_t at, const char *format, ...)
    KRS_PRINTF(4, 5);
static krs_status
wrong_tensor(const cursor *c, const krsi_entry *e, uint64_t at,
             const char *format, ...)
{
    char text[KRS_ERROR_TEXT / 2], quoted[QUOTED];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return krs_fail(c->err, KRS_E_FORMAT,
                    "%s: offset %" PRIu64 ": tensor %s %s", c->g->path, at,
                    krsi_json_quote(e->weight.name, quoted, sizeof quoted),
                    text);
}

static krs_status
take_tensor_type(cursor *c, krsi_entry *e)
{
    uint32_t number;
    uint64_t at = c->at;
    KRS_TRY(take(c, "the type of a tensor", &number, sizeof number));
    for (size_t i = 0; i < sizeof tensor_types / sizeof *tensor_types; i++)
        if (tensor_types[i].number == number) {
            e->weight.stored = tensor_types[i].stored;
            return KRS_OK;
        }
    return wrong_tensor(c, e, at,
                        "has the type %" PRIu32
                        ", which is not read; convert the file to Q8_0, Q4_0, "
                        "Q6_K or F16",
                        number);
}

/* The file has the innermost size first. */
static krs_status
take_shape(cursor *c, krsi_entry *e)
{
    krs_weight *w = &e->weight;
    uint64_t at = c->at, sizes[KRS_WEIGHT_RANK];
    uint32_t rank;
    KRS_TRY(take(c, "the rank of a tensor", &rank, sizeof rank));
    if (rank > KRS_WEIGHT_RANK)
        return wrong_tensor(
            c, e, at, "has %" PRIu32 " dimensions, at most %d are supported",
            rank, KRS_WEIGHT_RANK);
    KRS_TRY(take(c, "the shape of a tensor", sizes, rank * sizeof *sizes));
    w->rank = (int)rank;
    w->count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t size = sizes[rank - 1 - i];
        if (size > INT64_MAX)
            return wrong_tensor(c, e, at, "has a size of %" PRIu64, size);
        w->shape[i] = (int64_t)size;
        if (__builtin_mul_overflow(w->count, w->shape[i], &w->count))
            return wrong_tensor(c, e, at, "has more than 2^63 elements");
    }
    return KRS_OK;
}

static krs_status
count_bytes(const cursor *c, krsi_entry *e, uint64_t at)
{
    krs_weight *w = &e->weight;
    int64_t elements = (int64_t)krs_stored_elements(w->stored);
    int64_t row = w->rank > 0 ? w->shape[w->rank - 1] : 1;
    if (row % elements != 0)
        return wrong_tensor(c, e, at,
                            "has rows of %" PRId64
                            " elements, %s needs a multiple of %" PRId64,
                            row, krs_stored_name(w->stored), elements);
    if (__builtin_mul_overflow((uint64_t)(w->count / elements),
                               krs_stored_bytes(w->stored), &w->bytes) ||
        w->bytes > INT64_MAX)
        return wrong_tensor(c, e, at, "has more than 2^63 bytes");
    return KRS_OK;
}

static krs_status
take_tensor(cursor *c, krsi_entry *e)
{
    *e = (krsi_entry){.weight = {.file = c->g->path}};
    uint64_t at = c->at;
    KRS_TRY(take_name(c, "the name of a tensor", &e->weight.name));
    KRS_TRY(take_shape(c, e));
    KRS_TRY(take_tensor_type(c, e));
    KRS_TRY(count_bytes(c, e, at));
    at = c->at;
    KRS_TRY(take(c, "the place of a tensor", &e->at, sizeof e->at));
    if (e->at % c->g->alignment != 0)
        return wrong_tensor(c, e, at,
                            "begins at %" PRIu64
                            " of the data, which is not a multiple of %" PRIu64,
                            e->at, c->g->alignment);
    return KRS_OK;
}

static krs_status
take_tensors(cursor *c, uint64_t count)
{
    krs_gguf *g = c->g;
    if (count > left(c) / LEAST_TENSOR)
        return krs_fail(c->err, KRS_E_FORMAT,
                        "%s: offset 8: %" PRIu64 " tensors do not fit in the "
                        "%" PRIu64 " bytes that follow the settings",
                        g->path, count, left(c));
    for (; g->tensor_count < count; g->tensor_count++) {
        if (!grow(&g->tensors, g->tensor_count, sizeof *g->tensors))
            return no_memory(c);
        KRS_TRY(take_tensor(c, &g->tensors[g->tensor_count]));
    }
    return KRS_OK;
}

static int
by_place(const void *left_entry, const void *right_entry)
{
    const krsi_entry *a = left_entry, *b = right_entry;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return (a->weight.bytes > b->weight.bytes) -
           (a->weight.bytes < b->weight.bytes);
}

static uint64_t
padded(uint64_t bytes, uint64_t alignment)
{
    return (bytes + alignment - 1) / alignment * alignment;
}

/* In the order of their places the tensors follow each other, padded. Places
 * become offsets in the file. */
static krs_status
place_tensors(const cursor *c)
{
    krs_gguf *g = c->g;
    /* at most 2^63 + 2^32, as a file has at most 2^63 - 1 bytes */
    g->data_at = padded(c->at, g->alignment);
    uint64_t end = 0, data_bytes = 0;
    if (g->file.bytes > g->data_at)
        data_bytes = g->file.bytes - g->data_at;
    if (g->tensor_count > 0)
        qsort(g->tensors, g->tensor_count, sizeof *g->tensors, by_place);
    for (size_t i = 0; i < g->tensor_count; i++) {
        krsi_entry *e = &g->tensors[i];
        uint64_t bytes = e->weight.bytes;
        if (e->at > data_bytes || bytes > data_bytes - e->at)
            return wrong_tensor(c, e, g->data_at,
                                "of %" PRIu64 " bytes at %" PRIu64
                                " of the data lies outside the file, which has "
                                "%" PRIu64
                                " bytes of data; it may have been cut short",
                                bytes, e->at, data_bytes);
        uint64_t at = g->data_at + e->at;
        if (e->at < end)
            return wrong_tensor(c, e, at, "overlaps the tensor before it");
        if (e->at > end)
            return wrong_tensor(c, e, at,
                                "has a gap of %" PRIu64
                                " bytes before it that belong to no tensor",
                                e->at - end);
        e->at = at;
        end = padded(end + bytes, g->alignment);
    }
    if (data_bytes > end)
        return krs_fail(c->err, KRS_E_FORMAT,
                        "%s: offset %" PRIu64 ": %" PRIu64
                        " bytes follow the last tensor; the file may have "
                        "been appended to",
                        g->path, g->data_at + end, data_bytes - end);
    return KRS_OK;
}

/* ---- the file ---- */

static krs_status
take_version(cursor *c)
{
    char magic[4];
    KRS_TRY(take(c, "the header", magic, sizeof magic));
    if (memcmp(magic, "GGUF", sizeof magic) != 0)
        return krs_fail(c->err, KRS_E_FORMAT,
                        "%s: offset 0: a GGUF file begins with \"GGUF\"",
                        c->g->path);
    KRS_TRY(take(c, "the version", &c->g->version, sizeof c->g->version));
    if (c->g->version != 2 && c->g->version != 3)
        return krs_fail(c->err, KRS_E_UNSUPPORTED,
                        "%s: offset 4: version %" PRIu32 "%s; versions 2 and "
                        "3 are read",
                        c->g->path, c->g->version,
                        c->g->version % 65536 == 0 ? " (a big-endian file?)"
                                                   : "");
    return KRS_OK;
}

static krs_status
take_header(cursor *c)
{
    uint64_t counts[2]; /* tensors, settings */
    int64_t alignment;
    KRS_TRY(take_version(c));
    KRS_TRY(take(c, "the header", counts, sizeof counts));
    KRS_TRY(take_settings(c, counts[1]));
    KRS_TRY(krs_gguf_int_or(c->g, "general.alignment", 1, 1 << 30,
                            KRSI_GGUF_ALIGNMENT, &alignment, c->err));
    if (alignment & (alignment - 1))
        return krsi_gguf_wrong(c->g, krs_gguf_find(c->g, "general.alignment"),
                               c->err, "%" PRId64 " is not a power of two",
                               alignment);
    c->g->alignment = (uint64_t)alignment;
    KRS_TRY(take_tensors(c, counts[0]));
    return place_tensors(c);
}

static krs_status
open_file(char *path /* takes */, krs_gguf **out, krs_error *err)
{
    krs_gguf *g = calloc(1, sizeof *g);
    char *window = malloc(WINDOW_BYTES);
    if (!g || !window) {
        krs_status status =
            krs_fail(err, KRS_E_MEMORY, "%s: out of memory", path);
        free(g);
        free(window);
        free(path);
        return status;
    }
    g->path = path;
    cursor c = {.g = g, .window = window, .err = err};
    krs_status status = krsi_file_open(path, INT64_MAX, &g->file, err);
    if (status == KRS_OK)
        status = take_header(&c);
    free(window);
    if (status == KRS_OK)
        *out = g;
    else
        krs_gguf_close(g);
    return status;
}

krs_status
krs_gguf_open(const char *path, krs_gguf **out, krs_error *err)
{
    if (!path || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "gguf: open: path and out must not be NULL");
    size_t bytes = strlen(path) + 1;
    char *copy = malloc(bytes);
    if (!copy)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", path);
    memcpy(copy, path, bytes);
    return open_file(copy, out, err);
}

void
krs_gguf_close(krs_gguf *g)
{
    if (!g)
        return;
    while (g->chunks) {
        struct krsi_gguf_chunk *next = g->chunks->next;
        free(g->chunks);
        g->chunks = next;
    }
    krsi_file_close(&g->file);
    free(g->values);
    free(g->tensors);
    free(g->path);
    free(g);
}

krs_status
krsi_gguf_weights(krs_weights *w, char *path, krs_error *err)
{
    krs_gguf *g;
    KRS_TRY(open_file(path, &g, err));
    w->shards[w->shard_count++] =
        (krsi_shard){.file = g->file, .gguf = g, .data_at = g->data_at};
    g->file = (krsi_file){0};
    w->entries = g->tensors;
    w->count = g->tensor_count;
    g->tensors = NULL;
    g->tensor_count = 0;
    return KRS_OK;
}

const krs_gguf *
krs_weights_gguf(const krs_weights *w)
{
    return w->shard_count == 1 ? w->shards[0].gguf : NULL;
}
