/* config_fields.c -- the settings of a model as a table (config_fields.h).
 *
 * In: rows that say key, type, bounds and value for absence of each setting.
 * Out: settings read from a config.json and written to one, so that no setting
 * can be read in one way and written in another.
 */
#include "config_fields.h"
#include "file_write.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void *
member(const krsi_field *f, void *config)
{
    return (char *)config + f->offset;
}

static const void *
member_of(const krsi_field *f, const void *config)
{
    return (const char *)config + f->offset;
}

void
krsi_fields_default(const krsi_field *fields, size_t count, void *config)
{
    for (size_t i = 0; i < count; i++) {
        void *m = member(&fields[i], config);
        switch (fields[i].kind) {
        case KRSI_FIELD_INT: *(int64_t *)m = (int64_t)fields[i].absent; break;
        case KRSI_FIELD_REAL: *(double *)m = fields[i].absent; break;
        case KRSI_FIELD_BOOL: *(bool *)m = fields[i].absent != 0; break;
        case KRSI_FIELD_NAME: *(int *)m = (int)fields[i].absent; break;
        }
    }
}

/* ---- reading ---- */

static krs_status
read_name(const krsi_json *root, const krsi_field *f, int *out, krs_error *err)
{
    size_t i;
    if (!krsi_json_has(root, f->key))
        return KRS_OK;
    KRS_TRY(
        krsi_json_choice(root, f->key, f->names, (size_t)f->most + 1, &i, err));
    *out = (int)i;
    return KRS_OK;
}

static krs_status
read_field(const krsi_json *root, const krsi_field *f, void *m, krs_error *err)
{
    switch (f->kind) {
    case KRSI_FIELD_INT:
        return krsi_json_int_or(root, f->key, (int64_t)f->least,
                                (int64_t)f->most, *(int64_t *)m, m, err);
    case KRSI_FIELD_REAL:
        return krsi_json_double_or(root, f->key, KRSI_POSITIVE, *(double *)m, m,
                                   err);
    case KRSI_FIELD_BOOL:
        return krsi_json_bool_or(root, f->key, *(bool *)m, m, err);
    case KRSI_FIELD_NAME: return read_name(root, f, m, err);
    }
    return KRS_OK;
}

krs_status
krsi_fields_read(const krsi_json *root, const krsi_field *fields, size_t count,
                 void *config, krs_error *err)
{
    for (size_t i = 0; i < count; i++)
        KRS_TRY(read_field(root, &fields[i], member(&fields[i], config), err));
    return KRS_OK;
}

static krs_status
read_id(const krsi_json *root, const char *key, int64_t *id, krs_error *err)
{
    int64_t absent = krsi_config_says_none(root, key) ? -1 : *id;
    return krsi_json_int_or(root, key, -1, INT32_MAX, absent, id, err);
}

krs_status
krsi_ids_read(const krsi_json *root, krs_special_ids *ids, krs_error *err)
{
    KRS_TRY(read_id(root, "bos_token_id", &ids->bos_token_id, err));
    KRS_TRY(read_id(root, "pad_token_id", &ids->pad_token_id, err));
    KRS_TRY(read_id(root, "decoder_start_token_id",
                    &ids->decoder_start_token_id, err));
    return krsi_config_stop_ids(root, ids->eos_token_id, KRS_STOP_IDS,
                                &ids->eos_count, err);
}

krs_status
krsi_config_read(const char *path, krsi_config_reader *read, void *config,
                 krs_error *err)
{
    krsi_json_file *file;
    KRS_TRY(krsi_json_open(path, &file, err));
    krsi_json root = krsi_json_root(file);
    krs_status status = read(&root, config, err);
    krsi_json_close(file);
    return status;
}

/* ---- checking ---- */

krs_status
krsi_fields_check(const krsi_field *fields, size_t count, const void *config,
                  krs_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const krsi_field *f = &fields[i];
        const void *m = member_of(f, config);
        double value = 0;
        if (f->kind == KRSI_FIELD_INT)
            value = (double)*(const int64_t *)m;
        if (f->kind == KRSI_FIELD_REAL)
            value = *(const double *)m;
        if (f->kind == KRSI_FIELD_INT && (value < f->least || value > f->most))
            return krs_fail(err, KRS_E_RANGE, "%s: %.0f is not in [%.0f, %.0f]",
                            f->key, value, f->least, f->most);
        if (f->kind == KRSI_FIELD_REAL && !(value > 0 && value <= f->most))
            return krs_fail(err, KRS_E_RANGE, "%s: %g is not in (0, %g]",
                            f->key, value, f->most);
        if (f->kind == KRSI_FIELD_NAME &&
            !(*(const int *)m >= 0 && *(const int *)m <= (int)f->most))
            return krs_fail(err, KRS_E_RANGE, "%s: there is no number %d",
                            f->key, *(const int *)m);
    }
    return KRS_OK;
}

static krs_status
check_id(const char *name, int64_t id, int64_t least, int64_t vocab,
         krs_error *err)
{
    if (id < least || id >= vocab)
        return krs_fail(err, KRS_E_RANGE,
                        "%s: %lld is outside the vocabulary of %lld "
                        "(vocab_size)",
                        name, (long long)id, (long long)vocab);
    return KRS_OK;
}

krs_status
krsi_ids_check(const krs_special_ids *ids, int64_t vocab, krs_error *err)
{
    KRS_TRY(check_id("bos_token_id", ids->bos_token_id, -1, vocab, err));
    KRS_TRY(check_id("pad_token_id", ids->pad_token_id, -1, vocab, err));
    KRS_TRY(check_id("decoder_start_token_id", ids->decoder_start_token_id, -1,
                     vocab, err));
    if (ids->eos_count < 0 || ids->eos_count > KRS_STOP_IDS)
        return krs_fail(err, KRS_E_RANGE,
                        "eos_token_id: %d ids; from 0 to %d are possible",
                        ids->eos_count, KRS_STOP_IDS);
    for (int i = 0; i < ids->eos_count; i++)
        KRS_TRY(check_id("eos_token_id", ids->eos_token_id[i], 0, vocab, err));
    return KRS_OK;
}

/* ---- writing ---- */

static json_t *
field_value(const krsi_field *f, const void *m)
{
    switch (f->kind) {
    case KRSI_FIELD_INT: return json_integer(*(const int64_t *)m);
    case KRSI_FIELD_REAL: return json_real(*(const double *)m);
    case KRSI_FIELD_BOOL: return json_boolean(*(const bool *)m);
    case KRSI_FIELD_NAME: return json_string(f->names[*(const int *)m]);
    }
    return NULL;
}

static json_t *
id_value(int64_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static json_t *
stop_ids(const krs_special_ids *ids)
{
    if (ids->eos_count <= 1)
        return id_value(ids->eos_count == 1 ? ids->eos_token_id[0] : -1);
    json_t *list = json_array();
    for (int i = 0; i < ids->eos_count; i++)
        if (json_array_append_new(list, json_integer(ids->eos_token_id[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* jansson's setters take the value over and fail on NULL, so that one look at
 * the results at the end finds a failed allocation anywhere. */
static json_t *
config_object(krs_architecture architecture, const krsi_field *fields,
              size_t count, const void *config, const krs_special_ids *ids)
{
    json_t *o = json_object();
    int failed = json_object_set_new(
        o, "architectures",
        json_pack("[s]", krs_architecture_class(architecture)));
    failed |= json_object_set_new(
        o, "model_type", json_string(krs_architecture_type(architecture)));
    failed |= json_object_set_new(o, "dtype", json_string("float32"));
    for (size_t i = 0; i < count; i++)
        failed |= json_object_set_new(
            o, fields[i].key,
            field_value(&fields[i], member_of(&fields[i], config)));
    failed |=
        json_object_set_new(o, "bos_token_id", id_value(ids->bos_token_id));
    failed |=
        json_object_set_new(o, "pad_token_id", id_value(ids->pad_token_id));
    if (ids->decoder_start_token_id >= 0)
        failed |= json_object_set_new(o, "decoder_start_token_id",
                                      id_value(ids->decoder_start_token_id));
    failed |= json_object_set_new(o, "eos_token_id", stop_ids(ids));
    if (failed) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* With the fewest digits that read back to the same numbers: 1e-6, and not
 * 9.9999999999999995e-7. */
static char *
print_short(const json_t *value)
{
    for (size_t digits = 15; digits < 17; digits++) {
        char *text = krsi_json_print(
            value, JSON_INDENT(2) | JSON_REAL_PRECISION(digits), NULL);
        json_t *back = text != NULL ? json_loads(text, 0, NULL) : NULL;
        if (back == NULL) {
            free(text);
            return NULL;
        }
        bool same = json_equal(value, back);
        json_decref(back);
        if (same)
            return text;
        free(text);
    }
    return krsi_json_print(value, JSON_INDENT(2) | JSON_REAL_PRECISION(17),
                           NULL);
}

krs_status
krsi_config_print(const json_t *object, const char *path, krs_error *err)
{
    char *text = object != NULL ? print_short(object) : NULL;
    if (text == NULL)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory to write it", path);
    krs_status status = krsi_file_write(path, text, strlen(text), err);
    free(text);
    return status;
}

krs_status
krsi_config_write(const char *path, krs_architecture architecture,
                  const krsi_field *fields, size_t count, const void *config,
                  const krs_special_ids *ids, krs_error *err)
{
    json_t *object = config_object(architecture, fields, count, config, ids);
    krs_status status = krsi_config_print(object, path, err);
    json_decref(object);
    return status;
}
