/* config_json.c -- what the config.json files of all architectures share
 * (config_json.h), and the list of the architectures (architecture.h).
 *
 * The architecture is what "model_type" and "architectures" say together. A
 * file that names classes must name one of the list: a class for another task
 * has other weights, whatever its model_type is.
 */
#include "config_json.h"

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

/* ---- which one ---- */

/* ["a", ] "b" of the rows that a model_type, or a family, has. */
static void
list_names(char *out, size_t size, const char *model_type, krs_family family)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool counts = model_type != NULL
                          ? strcmp(rows[i].model_type, model_type) == 0
                          : rows[i].family == family &&
                                (i == 0 || strcmp(rows[i].model_type,
                                                  rows[i - 1].model_type) != 0);
        const char *name =
            model_type != NULL ? rows[i].class : rows[i].model_type;
        if (!counts || used + strlen(name) + sizeof ", \"\"" > size)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s\"%s\"",
                                 used > 0 ? ", " : "", name);
    }
}

static krs_status
find_type(const krsi_json *root, krs_family family, krs_architecture absent,
          const char **out, krs_error *err)
{
    char quoted[80], known[200];
    const char *type;
    KRS_TRY(krsi_json_string_or(root, "model_type", rows[absent].model_type,
                                &type, err));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].family == family && strcmp(rows[i].model_type, type) == 0) {
            *out = rows[i].model_type;
            return KRS_OK;
        }
    list_names(known, sizeof known, NULL, family);
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "%s: $.model_type: expected one of %s, found %s",
                    krsi_json_name(root->file), known,
                    krsi_json_quote(type, quoted, sizeof quoted));
}

/* The row with this model_type and class; of a class NULL the first. */
static bool
find_row(const char *type, const char *class, krs_architecture *out)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].model_type, type) == 0 &&
            (class == NULL || strcmp(rows[i].class, class) == 0)) {
            *out = (krs_architecture)i;
            return true;
        }
    return false;
}

static krs_status
find_class(const krsi_json *root, const char *type, krs_architecture *out,
           krs_error *err)
{
    krsi_json list, item;
    size_t count;
    const char *name = "";
    char quoted[80], known[200];
    KRS_TRY(krsi_json_array(root, "architectures", &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        KRS_TRY(krsi_json_item(&list, i, &item, err));
        KRS_TRY(krsi_json_as_string(&item, &name, err));
        if (find_row(type, name, out))
            return KRS_OK;
    }
    list_names(known, sizeof known, type, KRS_FAMILY_LLAMA);
    return krsi_json_wrong(&list, err, "expected %s in the list, found %s",
                           known, krsi_json_quote(name, quoted, sizeof quoted));
}

krs_status
krsi_config_architecture(const krsi_json *root, krs_family family,
                         krs_architecture absent, krs_architecture *out,
                         krs_error *err)
{
    const char *type = "";
    if (!krsi_json_is_object(root))
        return krsi_json_wrong(root, err, "expected an object of settings");
    KRS_TRY(find_type(root, family, absent, &type, err));
    if (krsi_json_has(root, "architectures"))
        KRS_TRY(find_class(root, type, out, err));
    else
        find_row(type, NULL, out);
    if (krsi_json_has(root, "quantization_config")) {
        krsi_json value;
        KRS_TRY(krsi_json_member(root, "quantization_config", &value, err));
        return krsi_json_wrong(&value, err,
                               "quantised weights are not read; use the "
                               "folder of the model that was quantised");
    }
    return KRS_OK;
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
