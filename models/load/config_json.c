/* config_json.c -- what the config.json files of all architectures share
 * (config_json.h), the list of the architectures (architecture.h) and the names
 * of activations (nn.h).
 *
 * The architecture is what "model_type" and "architectures" say together. A
 * file that names classes must name one of the list: a class for another task
 * has other weights, whatever its model_type is.
 */
#include "config_fields.h"

#include <stdio.h>
#include <string.h>

static const struct row {
    const char *model_type, *class;
    krs_family family;
} rows[] = {
#define ROW(NAME, type, class, family) {type, class, KRS_FAMILY_##family},
    KRS_ARCHITECTURE_LIST(ROW)
#undef ROW
};

static bool
is_listed(krs_architecture a)
{
    return (size_t)a < sizeof rows / sizeof *rows;
}

const char *
krs_architecture_type(krs_architecture a)
{
    return is_listed(a) ? rows[a].model_type : "?";
}

const char *
krs_architecture_class(krs_architecture a)
{
    return is_listed(a) ? rows[a].class : "?";
}

krs_family
krs_architecture_family(krs_architecture a)
{
    return rows[is_listed(a) ? a : 0].family;
}

const char *const krsi_activation_names[KRS_ACTIVATIONS] = {
#define NAME(NAME, name, op) name,
    KRS_ACTIVATION_LIST(NAME)
#undef NAME
};

const char *
krs_activation_name(krs_activation a)
{
    return (size_t)a < KRS_ACTIVATIONS ? krsi_activation_names[a] : "?";
}

bool
krs_activation_parse(const char *name, krs_activation *out)
{
    for (size_t i = 0; i < KRS_ACTIVATIONS; i++)
        if (strcmp(krsi_activation_names[i], name) == 0) {
            *out = (krs_activation)i;
            return true;
        }
    return false;
}

/* ---- which one ---- */

/* "a", "b": the model_types of a family, or of all. */
static void
list_types(char *out, size_t size, const krs_family *family)
{
    size_t used = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *name = rows[i].model_type;
        if ((family != NULL && rows[i].family != *family) ||
            (i > 0 && strcmp(name, rows[i - 1].model_type) == 0) ||
            used + strlen(name) + sizeof ", \"\"" > size)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s\"%s\"",
                                 used > 0 ? ", " : "", name);
    }
}

krs_status
krsi_config_type(const krsi_json *root, const krs_family *family,
                 krs_architecture absent, krs_architecture *out, krs_error *err)
{
    char quoted[80], known[400] = "";
    const char *type;
    if (!krsi_json_is_object(root))
        return krsi_json_wrong(root, err, "expected an object of settings");
    KRS_TRY(krsi_json_string_or(root, "model_type", rows[absent].model_type,
                                &type, err));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((family == NULL || rows[i].family == *family) &&
            strcmp(rows[i].model_type, type) == 0) {
            *out = (krs_architecture)i;
            return KRS_OK;
        }
    list_types(known, sizeof known, family);
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "%s: $.model_type: expected one of %s, found %s",
                    krsi_json_name(root->file), known,
                    krsi_json_quote(type, quoted, sizeof quoted));
}

/* The row with the model_type of *out and a class that the list names. */
static krs_status
find_class(const krsi_json *root, krs_architecture *out, krs_error *err)
{
    krsi_json list, item;
    size_t count;
    const char *name = "", *type = rows[*out].model_type;
    KRS_TRY(krsi_json_array(root, "architectures", &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        KRS_TRY(krsi_json_item(&list, i, &item, err));
        KRS_TRY(krsi_json_as_string(&item, &name, err));
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
            if (strcmp(rows[k].model_type, type) == 0 &&
                strcmp(rows[k].class, name) == 0) {
                *out = (krs_architecture)k;
                return KRS_OK;
            }
    }
    char quoted[80];
    return krsi_json_wrong(&list, err, "expected \"%s\" in the list, found %s",
                           rows[*out].class,
                           krsi_json_quote(name, quoted, sizeof quoted));
}

krs_status
krsi_config_architecture(const krsi_json *root, krs_family family,
                         krs_architecture absent, krs_architecture *out,
                         krs_error *err)
{
    krsi_json value;
    KRS_TRY(krsi_config_type(root, &family, absent, out, err));
    if (krsi_json_has(root, "architectures"))
        KRS_TRY(find_class(root, out, err));
    if (!krsi_json_has(root, "quantization_config"))
        return KRS_OK;
    KRS_TRY(krsi_json_member(root, "quantization_config", &value, err));
    return krsi_json_wrong(&value, err,
                           "quantised weights are not read; use the folder of "
                           "the model that was quantised");
}

/* ---- single settings ---- */

krs_status
krsi_config_word(const krsi_json *root, const char *key, const char *wanted,
                 krs_error *err)
{
    const char *text;
    KRS_TRY(krsi_json_string_or(root, key, wanted, &text, err));
    if (strcmp(text, wanted) == 0)
        return KRS_OK;
    char quoted[80];
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "%s: $.%s: expected \"%s\", found %s",
                    krsi_json_name(root->file), key, wanted,
                    krsi_json_quote(text, quoted, sizeof quoted));
}

krs_status
krsi_config_never(const krsi_json *root, const char *key, const char *why,
                  krs_error *err)
{
    bool is_on;
    KRS_TRY(krsi_json_bool_or(root, key, false, &is_on, err));
    if (is_on)
        return krs_fail(err, KRS_E_UNSUPPORTED, "%s: $.%s: true, but %s",
                        krsi_json_name(root->file), key, why);
    return KRS_OK;
}

bool
krsi_config_says_none(const krsi_json *root, const char *key)
{
    void *cursor = NULL;
    const char *name;
    krsi_json value;
    while (krsi_json_each(root, &cursor, &name, &value))
        if (strcmp(name, key) == 0)
            return !krsi_json_has(root, key);
    return false;
}

krs_status
krsi_config_stop_ids(const krsi_json *root, int64_t *ids, int most, int *count,
                     krs_error *err)
{
    krsi_json value, item;
    if (krsi_config_says_none(root, "eos_token_id"))
        *count = 0;
    if (!krsi_json_has(root, "eos_token_id"))
        return KRS_OK;
    KRS_TRY(krsi_json_member(root, "eos_token_id", &value, err));
    *count = 1;
    if (!krsi_json_is_array(&value))
        return krsi_json_as_int(&value, 0, INT32_MAX, &ids[0], err);
    size_t found = krsi_json_count(&value);
    if (found > (size_t)most)
        return krsi_json_wrong(&value, err, "%zu ids; at most %d are possible",
                               found, most);
    *count = (int)found;
    for (size_t i = 0; i < found; i++) {
        KRS_TRY(krsi_json_item(&value, i, &item, err));
        KRS_TRY(krsi_json_as_int(&item, 0, INT32_MAX, &ids[i], err));
    }
    return KRS_OK;
}
