/* describe_settings.c -- settings and tokenizer of a model, for describe.c.
 *
 * In: an open file or folder. Out: JSON values; of an array of a GGUF file the
 * first items, of a text that is not UTF-8 null.
 */
#include "describe_settings.h"

#include "gguf_file.h"
#include "path.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST = 4, SHOWN_BYTES = 400 };

static krs_status
no_memory(const krs_weights *w, krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "%s: describe: out of memory",
                    krs_weights_path(w));
}

static json_t *
number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* A text, cut at a whole character where it is long. */
static json_t *
text_json(const krs_gguf_text *t)
{
    size_t n = t->bytes < SHOWN_BYTES ? t->bytes : SHOWN_BYTES;
    while (n > 0 && n < t->bytes && (t->text[n] & 0xC0) == 0x80)
        n--;
    json_t *text = json_stringn(t->text, n);
    return text ? text : json_null();
}

static json_t *
item_json(const krs_gguf_value *v, size_t i)
{
    switch (v->type) {
    case KRS_GGUF_U8: return json_integer(((const uint8_t *)v->data)[i]);
    case KRS_GGUF_I8: return json_integer(((const int8_t *)v->data)[i]);
    case KRS_GGUF_U16: return json_integer(((const uint16_t *)v->data)[i]);
    case KRS_GGUF_I16: return json_integer(((const int16_t *)v->data)[i]);
    case KRS_GGUF_U32: return json_integer(((const uint32_t *)v->data)[i]);
    case KRS_GGUF_I32: return json_integer(((const int32_t *)v->data)[i]);
    case KRS_GGUF_I64: return json_integer(((const int64_t *)v->data)[i]);
    case KRS_GGUF_U64:
        if (((const uint64_t *)v->data)[i] > INT64_MAX)
            return json_real((double)((const uint64_t *)v->data)[i]);
        return json_integer((json_int_t)((const uint64_t *)v->data)[i]);
    case KRS_GGUF_F32: return number_json((double)((const float *)v->data)[i]);
    case KRS_GGUF_F64: return number_json(((const double *)v->data)[i]);
    case KRS_GGUF_BOOL: return json_boolean(((const uint8_t *)v->data)[i]);
    case KRS_GGUF_TEXT: return text_json((const krs_gguf_text *)v->data + i);
    case KRS_GGUF_ARRAY:
    case KRS_GGUF_TYPE_COUNT: break;
    }
    return json_null();
}

static json_t *
value_json(const krs_gguf_value *v)
{
    if (!v->is_array)
        return item_json(v, 0);
    json_t *first = json_array();
    int failed = first == NULL;
    for (size_t i = 0; !failed && i < v->count && i < FIRST; i++)
        failed = json_array_append_new(first, item_json(v, i));
    if (failed) {
        json_decref(first);
        return NULL;
    }
    return json_pack("{s:s,s:I,s:o}", "type", krs_gguf_type_name(v->type),
                     "count", (json_int_t)v->count, "first", first);
}

static krs_status
gguf_config(const krs_weights *w, const krs_gguf *g, json_t **out,
            krs_error *err)
{
    json_t *all = json_object();
    int failed = all == NULL;
    const krs_gguf_value *v;
    for (size_t i = 0; !failed && (v = krs_gguf_at(g, i)); i++)
        failed = json_object_set_new(all, v->key, value_json(v));
    if (failed) {
        json_decref(all);
        return no_memory(w, err);
    }
    *out = all;
    return KRS_OK;
}

/* A JSON file beside the weights of a folder; *out NULL if it is not there. */
static krs_status
open_beside(const krs_weights *w, const char *name, krsi_json_file **out,
            krs_error *err)
{
    const char *folder = krs_weights_path(w);
    char *path;
    *out = NULL;
    if (!krsi_is_folder(folder))
        return KRS_OK;
    KRS_TRY(krsi_path(&path, err, "%s/%s", folder, name));
    krs_status status =
        krsi_is_file(path) ? krsi_json_open(path, out, err) : KRS_OK;
    free(path);
    return status;
}

krs_status
krsi_describe_config(const krs_weights *w, json_t **out, krs_error *err)
{
    krsi_json_file *file;
    *out = NULL;
    if (krs_weights_gguf(w))
        return gguf_config(w, krs_weights_gguf(w), out, err);
    KRS_TRY(open_beside(w, "config.json", &file, err));
    if (file) {
        krsi_json root = krsi_json_root(file);
        *out = json_incref(root.value);
        krsi_json_close(file);
    }
    return KRS_OK;
}

static krs_status
make_tokenizer(const krs_weights *w, const char *kind, size_t tokens,
               size_t merges, json_t **out, krs_error *err)
{
    *out = json_pack("{s:s,s:I,s:I}", "kind", kind, "tokens",
                     (json_int_t)tokens, "merges", (json_int_t)merges);
    return *out ? KRS_OK : no_memory(w, err);
}

/* The model of a tokenizer.json, which has a vocabulary. */
static krs_status
json_tokenizer(const krs_weights *w, const krsi_json_file *file, json_t **out,
               krs_error *err)
{
    krsi_json root = krsi_json_root(file), model, part;
    const char *kind;
    size_t tokens = 0, merges = 0;
    KRS_TRY(krsi_json_object(&root, "model", &model, err));
    KRS_TRY(krsi_json_string_or(&model, "type", "", &kind, err));
    if (krsi_json_has(&model, "vocab")) {
        KRS_TRY(krsi_json_member(&model, "vocab", &part, err));
        tokens = krsi_json_count(&part);
    }
    if (krsi_json_has(&model, "merges")) {
        KRS_TRY(krsi_json_member(&model, "merges", &part, err));
        merges = krsi_json_count(&part);
    }
    return make_tokenizer(w, kind, tokens, merges, out, err);
}

/* A tokenizer.json inside a GGUF file. */
static krs_status
whole_tokenizer(const krs_weights *w, const char *text, json_t **out,
                krs_error *err)
{
    krsi_json_file *file;
    KRS_TRY(
        krsi_json_parse(krs_weights_path(w), text, strlen(text), &file, err));
    krs_status status = json_tokenizer(w, file, out, err);
    krsi_json_close(file);
    return status;
}

static krs_status
gguf_tokenizer(const krs_weights *w, const krs_gguf *g, json_t **out,
               krs_error *err)
{
    krs_gguf_tokenizer t;
    char kind[80];
    if (!krs_gguf_find(g, "tokenizer.ggml.model") &&
        !krs_gguf_find(g, "tokenizer.huggingface.json"))
        return KRS_OK;
    KRS_TRY(krs_gguf_read_tokenizer(g, &t, err));
    if (!t.model)
        return whole_tokenizer(w, t.huggingface, out, err);
    snprintf(kind, sizeof kind, "%.30s%s%.40s", t.model, t.pre ? "/" : "",
             t.pre ? t.pre : "");
    if (!krsi_is_utf8(kind))
        kind[0] = 0;
    return make_tokenizer(w, kind, t.token_count, t.merge_count, out, err);
}

/* That of a tokenizer.gguf in a folder. */
static krs_status
keys_tokenizer(const krs_weights *w, json_t **out, krs_error *err)
{
    krs_gguf *g;
    char *path;
    if (!krsi_is_folder(krs_weights_path(w)))
        return KRS_OK;
    KRS_TRY(krsi_path(&path, err, "%s/tokenizer.gguf", krs_weights_path(w)));
    krs_status status = KRS_OK;
    if (krsi_is_file(path)) {
        status = krs_gguf_open(path, &g, err);
        if (status == KRS_OK) {
            status = gguf_tokenizer(w, g, out, err);
            krs_gguf_close(g);
        }
    }
    free(path);
    return status;
}

krs_status
krsi_describe_tokenizer(const krs_weights *w, json_t **out, krs_error *err)
{
    krsi_json_file *file;
    *out = NULL;
    if (krs_weights_gguf(w))
        return gguf_tokenizer(w, krs_weights_gguf(w), out, err);
    KRS_TRY(open_beside(w, "tokenizer.json", &file, err));
    if (!file)
        return keys_tokenizer(w, out, err);
    krs_status status = json_tokenizer(w, file, out, err);
    krsi_json_close(file);
    return status;
}
