/* gguf_value.c -- settings of a GGUF file by key and type, and those that make
 * up its tokenizer (gguf.h).
 *
 * In: an open file. Out: values whose type and range were checked, or one
 * sentence with file, offset and key. Nothing is copied.
 */
#include "gguf_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTED 96

enum kind { KIND_UINT, KIND_INT, KIND_FLOAT, KIND_BOOL, KIND_TEXT, KIND_ARRAY };

static const enum kind kinds[] = {
#define ROW(NAME, name, bytes, kind) KIND_##kind,
    KRS_GGUF_TYPE_LIST(ROW)
#undef ROW
};

krs_status
krsi_gguf_wrong(const krs_gguf *g, const krs_gguf_value *value, krs_error *err,
                const char *format, ...)
{
    char text[KRS_ERROR_TEXT / 2], key[QUOTED];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return krs_fail(err, KRS_E_FORMAT, "%s: offset %" PRIu64 ": %s: %s",
                    g->path, value->at,
                    krsi_json_quote(value->key, key, sizeof key), text);
}

const char *
krs_gguf_path(const krs_gguf *g)
{
    return g->path;
}

uint32_t
krs_gguf_version(const krs_gguf *g)
{
    return g->version;
}

const krs_gguf_value *
krs_gguf_at(const krs_gguf *g, size_t i)
{
    return i < g->value_count ? &g->values[i] : NULL;
}

static int
key_of_value(const void *key, const void *value)
{
    return strcmp(key, ((const krs_gguf_value *)value)->key);
}

const krs_gguf_value *
krs_gguf_find(const krs_gguf *g, const char *key)
{
    if (g->value_count == 0)
        return NULL;
    return bsearch(key, g->values, g->value_count, sizeof *g->values,
                   key_of_value);
}

static krs_status
missing(const krs_gguf *g, const char *key, krs_error *err)
{
    return krs_fail(err, KRS_E_FORMAT, "%s: the setting %s is missing", g->path,
                    key);
}

/* "an array of 7 uint32" or "a string" */
static krs_status
wrong_type(const krs_gguf *g, const krs_gguf_value *v, const char *expected,
           krs_error *err)
{
    if (v->is_array)
        return krsi_gguf_wrong(g, v, err,
                               "expected %s, found an array of %zu %s",
                               expected, v->count, krs_gguf_type_name(v->type));
    return krsi_gguf_wrong(g, v, err, "expected %s, found a %s", expected,
                           krs_gguf_type_name(v->type));
}

/* False for an integer above INT64_MAX, and for what is none. */
static bool
int_value(const krs_gguf_value *v, int64_t *out)
{
    const void *data = v->data;
    switch (v->type) {
    case KRS_GGUF_U8: *out = *(const uint8_t *)data; return true;
    case KRS_GGUF_I8: *out = *(const int8_t *)data; return true;
    case KRS_GGUF_U16: *out = *(const uint16_t *)data; return true;
    case KRS_GGUF_I16: *out = *(const int16_t *)data; return true;
    case KRS_GGUF_U32: *out = *(const uint32_t *)data; return true;
    case KRS_GGUF_I32: *out = *(const int32_t *)data; return true;
    case KRS_GGUF_I64: *out = *(const int64_t *)data; return true;
    case KRS_GGUF_U64:
        *out = (int64_t) * (const uint64_t *)data;
        return *(const uint64_t *)data <= INT64_MAX;
    case KRS_GGUF_F32:
    case KRS_GGUF_BOOL:
    case KRS_GGUF_TEXT:
    case KRS_GGUF_ARRAY:
    case KRS_GGUF_F64:
    case KRS_GGUF_TYPE_COUNT: break;
    }
    return false;
}

static krs_status
read_int(const krs_gguf *g, const krs_gguf_value *v, int64_t least,
         int64_t most, int64_t *out, krs_error *err)
{
    int64_t number;
    if (v->is_array ||
        (kinds[v->type] != KIND_UINT && kinds[v->type] != KIND_INT))
        return wrong_type(g, v, "an integer", err);
    if (!int_value(v, &number))
        return krsi_gguf_wrong(g, v, err, "is above 2^63 - 1");
    if (number < least || number > most)
        return krsi_gguf_wrong(
            g, v, err, "is %" PRId64 ", expected %" PRId64 " to %" PRId64,
            number, least, most);
    *out = number;
    return KRS_OK;
}

krs_status
krs_gguf_int(const krs_gguf *g, const char *key, int64_t least, int64_t most,
             int64_t *out, krs_error *err)
{
    const krs_gguf_value *v = krs_gguf_find(g, key);
    return v ? read_int(g, v, least, most, out, err) : missing(g, key, err);
}

krs_status
krs_gguf_int_or(const krs_gguf *g, const char *key, int64_t least, int64_t most,
                int64_t absent, int64_t *out, krs_error *err)
{
    const krs_gguf_value *v = krs_gguf_find(g, key);
    if (v)
        return read_int(g, v, least, most, out, err);
    *out = absent;
    return KRS_OK;
}

krs_status
krs_gguf_double_or(const krs_gguf *g, const char *key, double absent,
                   double *out, krs_error *err)
{
    const krs_gguf_value *v = krs_gguf_find(g, key);
    double number = absent;
    if (v && (v->is_array || kinds[v->type] != KIND_FLOAT))
        return wrong_type(g, v, "a float", err);
    if (v)
        number = v->type == KRS_GGUF_F32 ? (double)*(const float *)v->data
                                         : *(const double *)v->data;
    if (!isfinite(number))
        return krsi_gguf_wrong(g, v, err, "is not a finite number");
    *out = number;
    return KRS_OK;
}

krs_status
krs_gguf_bool_or(const krs_gguf *g, const char *key, bool absent, bool *out,
                 krs_error *err)
{
    const krs_gguf_value *v = krs_gguf_find(g, key);
    if (v && (v->is_array || v->type != KRS_GGUF_BOOL))
        return wrong_type(g, v, "a bool", err);
    *out = v ? *(const uint8_t *)v->data != 0 : absent;
    return KRS_OK;
}

krs_status
krs_gguf_string_or(const krs_gguf *g, const char *key, const char *absent,
                   const char **out, krs_error *err)
{
    const krs_gguf_value *v = krs_gguf_find(g, key);
    if (!v) {
        *out = absent;
        return KRS_OK;
    }
    if (v->is_array || v->type != KRS_GGUF_TEXT)
        return wrong_type(g, v, "a string", err);
    const krs_gguf_text *text = v->data;
    if (memchr(text->text, 0, text->bytes))
        return krsi_gguf_wrong(g, v, err, "holds a NUL character");
    *out = text->text;
    return KRS_OK;
}

krs_status
krs_gguf_array(const krs_gguf *g, const char *key, krs_gguf_type type,
               const void **out, size_t *out_count, krs_error *err)
{
    const krs_gguf_value *v = krs_gguf_find(g, key);
    char expected[40];
    if (v && (!v->is_array || v->type != type)) {
        snprintf(expected, sizeof expected, "an array of %s",
                 krs_gguf_type_name(type));
        return wrong_type(g, v, expected, err);
    }
    *out = v ? v->data : NULL;
    *out_count = v ? v->count : 0;
    return KRS_OK;
}

/* ---- the tokenizer ---- */

/* An array that has an item for each token, or is absent. */
static krs_status
per_token(const krs_gguf *g, const char *key, krs_gguf_type type,
          size_t token_count, const void **out, krs_error *err)
{
    size_t count;
    KRS_TRY(krs_gguf_array(g, key, type, out, &count, err));
    if (*out && count != token_count)
        return krsi_gguf_wrong(g, krs_gguf_find(g, key), err,
                               "has %zu items for %zu tokens", count,
                               token_count);
    return KRS_OK;
}

static krs_status
read_vocabulary(const krs_gguf *g, krs_gguf_tokenizer *t, krs_error *err)
{
    const void *items;
    KRS_TRY(krs_gguf_array(g, "tokenizer.ggml.tokens", KRS_GGUF_TEXT, &items,
                           &t->token_count, err));
    t->tokens = items;
    KRS_TRY(per_token(g, "tokenizer.ggml.scores", KRS_GGUF_F32, t->token_count,
                      &items, err));
    t->scores = items;
    KRS_TRY(per_token(g, "tokenizer.ggml.token_type", KRS_GGUF_I32,
                      t->token_count, &items, err));
    t->types = items;
    KRS_TRY(krs_gguf_array(g, "tokenizer.ggml.merges", KRS_GGUF_TEXT, &items,
                           &t->merge_count, err));
    t->merges = items;
    const krs_gguf_value *map =
        krs_gguf_find(g, "tokenizer.ggml.precompiled_charsmap");
    krs_gguf_type type =
        map && map->type == KRS_GGUF_I8 ? KRS_GGUF_I8 : KRS_GGUF_U8;
    KRS_TRY(krs_gguf_array(g, "tokenizer.ggml.precompiled_charsmap", type,
                           &items, &t->charsmap_bytes, err));
    t->charsmap = items;
    return KRS_OK;
}

static krs_status
read_ids(const krs_gguf *g, krs_gguf_tokenizer *t, krs_error *err)
{
    int64_t most = t->token_count > 0 ? (int64_t)t->token_count - 1 : INT32_MAX;
    const struct {
        const char *key;
        int64_t *out;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id",       &t->bos       },
        {"tokenizer.ggml.eos_token_id",       &t->eos       },
        {"tokenizer.ggml.unknown_token_id",   &t->unknown   },
        {"tokenizer.ggml.seperator_token_id", &t->separator }, /* sic */
        {"tokenizer.ggml.padding_token_id",   &t->padding   },
        {"tokenizer.ggml.cls_token_id",       &t->classifier},
        {"tokenizer.ggml.mask_token_id",      &t->mask      },
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        KRS_TRY(krs_gguf_int_or(g, ids[i].key, 0, most, -1, ids[i].out, err));
    return KRS_OK;
}

static krs_status
read_switches(const krs_gguf *g, krs_gguf_tokenizer *t, krs_error *err)
{
    const struct {
        const char *key;
        bool absent, *out;
    } switches[] = {
        {"tokenizer.ggml.add_bos_token",            false, &t->add_bos         },
        {"tokenizer.ggml.add_eos_token",            false, &t->add_eos         },
        {"tokenizer.ggml.add_space_prefix",         true,  &t->add_space_prefix},
        {"tokenizer.ggml.remove_extra_whitespaces", false,
         &t->remove_extra_whitespaces                                          },
    };
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        KRS_TRY(krs_gguf_bool_or(g, switches[i].key, switches[i].absent,
                                 switches[i].out, err));
    t->has_add_bos = krs_gguf_find(g, switches[0].key) != NULL;
    t->has_add_eos = krs_gguf_find(g, switches[1].key) != NULL;
    return KRS_OK;
}

krs_status
krs_gguf_read_tokenizer(const krs_gguf *g, krs_gguf_tokenizer *out,
                        krs_error *err)
{
    krs_gguf_tokenizer t = {0};
    KRS_TRY(krs_gguf_string_or(g, "tokenizer.ggml.model", NULL, &t.model, err));
    KRS_TRY(krs_gguf_string_or(g, "tokenizer.huggingface.json", NULL,
                               &t.huggingface, err));
    KRS_TRY(read_vocabulary(g, &t, err));
    if (!t.huggingface && !t.model && t.token_count == 0)
        return krs_fail(err, KRS_E_NAME, "%s: has no tokenizer", g->path);
    if (!t.huggingface && (!t.model || t.token_count == 0))
        return missing(
            g, t.model ? "tokenizer.ggml.tokens" : "tokenizer.ggml.model", err);
    KRS_TRY(krs_gguf_string_or(g, "tokenizer.ggml.pre", NULL, &t.pre, err));
    KRS_TRY(read_ids(g, &t, err));
    KRS_TRY(read_switches(g, &t, err));
    KRS_TRY(krs_gguf_string_or(g, "tokenizer.chat_template", NULL,
                               &t.chat_template, err));
    *out = t;
    return KRS_OK;
}
