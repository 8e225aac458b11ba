/* json_value.c -- checked values out of a JSON file.
 *
 * In: a value, and what is wanted of it. Out: a C value of the wanted type and
 * range; or one sentence that names file, JSON path, expectation and finding.
 * Invariant: a value leaves this file only after its type and range were
 * checked, and *out is untouched on failure.
 *
 * Each value carries its path as text: a chain of pointers to parents would
 * be shorter, and would dangle in the first caller that returns a value.
 */
#include "json_file.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_BYTES 72 /* of a string in a message */

static bool
is_plain_key(const char *key)
{
    size_t n = strspn(key, "abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n > 0 && key[n] == 0;
}

static krsi_json
child(const krsi_json *parent, json_t *value, const char *key, size_t index)
{
    krsi_json it = {parent->file, value, {0}};
    char quoted[SHOWN_BYTES * 2];
    if (!key)
        snprintf(it.path, sizeof it.path, "%.200s[%zu]", parent->path, index);
    else if (is_plain_key(key) && strlen(key) < SHOWN_BYTES)
        snprintf(it.path, sizeof it.path, "%.160s.%s", parent->path, key);
    else
        snprintf(it.path, sizeof it.path, "%.100s[%s]", parent->path,
                 krsi_json_quote(key, quoted, sizeof quoted));
    return it;
}

/* What stands there, for the end of a message. */
static const char *
found(const json_t *value, char out[SHOWN_BYTES + 24])
{
    size_t n;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        snprintf(out, SHOWN_BYTES, "an object of %zu members",
                 json_object_size(value));
        break;
    case JSON_ARRAY:
        snprintf(out, SHOWN_BYTES, "an array of %zu items",
                 json_array_size(value));
        break;
    case JSON_STRING:
        return krsi_json_quote(json_string_value(value), out, SHOWN_BYTES);
    case JSON_INTEGER:
        snprintf(out, SHOWN_BYTES, "%" JSON_INTEGER_FORMAT,
                 json_integer_value(value));
        break;
    case JSON_REAL:
        /* jansson's dump, unlike printf, does not ask the locale */
        n = json_dumpb(value, out, SHOWN_BYTES,
                       JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        out[n < SHOWN_BYTES ? n : 0] = 0;
        break;
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: return "null";
    }
    return out;
}

krs_status
krsi_json_wrong(const krsi_json *value, krs_error *err, const char *format, ...)
{
    char reason[640];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return krs_fail(err, KRS_E_FORMAT, "%s: %s: %s",
                    krsi_json_name(value->file), value->path, reason);
}

static krs_status
expected(const krsi_json *value, krs_error *err, const char *what)
{
    char shown[SHOWN_BYTES + 24];
    return krsi_json_wrong(value, err, "expected %s, found %s", what,
                           found(value->value, shown));
}

krs_status
krsi_json_as_int(const krsi_json *value, int64_t least, int64_t most,
                 int64_t *out, krs_error *err)
{
    char want[96];
    if (json_is_integer(value->value)) {
        int64_t number = json_integer_value(value->value);
        if (number >= least && number <= most) {
            *out = number;
            return KRS_OK;
        }
    }
    if (least == INT64_MIN && most == INT64_MAX)
        snprintf(want, sizeof want, "a whole number");
    else if (most == INT64_MAX)
        snprintf(want, sizeof want, "a whole number >= %" PRId64, least);
    else
        snprintf(want, sizeof want,
                 "a whole number from %" PRId64 " to %" PRId64, least, most);
    return expected(value, err, want);
}

krs_status
krsi_json_as_double(const krsi_json *value, krsi_number kind, double *out,
                    krs_error *err)
{
    static const char *const wants[] = {
        [KRSI_ANY_NUMBER] = "a number",
        [KRSI_POSITIVE] = "a number > 0",
        [KRSI_NOT_NEGATIVE] = "a number >= 0",
        [KRSI_FRACTION] = "a number >= 0 and < 1",
    };
    if (json_is_number(value->value)) {
        double number = json_number_value(value->value);
        bool fits = kind == KRSI_ANY_NUMBER ||
                    (kind == KRSI_POSITIVE && number > 0) ||
                    (kind == KRSI_NOT_NEGATIVE && number >= 0) ||
                    (kind == KRSI_FRACTION && number >= 0 && number < 1);
        if (fits) {
            *out = number;
            return KRS_OK;
        }
    }
    return expected(value, err, wants[kind]);
}

krs_status
krsi_json_as_bool(const krsi_json *value, bool *out, krs_error *err)
{
    if (!json_is_boolean(value->value))
        return expected(value, err, "true or false");
    *out = json_is_true(value->value);
    return KRS_OK;
}

krs_status
krsi_json_as_string(const krsi_json *value, const char **out, krs_error *err)
{
    if (!json_is_string(value->value))
        return expected(value, err, "a string");
    *out = json_string_value(value->value);
    return KRS_OK;
}

size_t
krsi_json_count(const krsi_json *value)
{
    return json_is_array(value->value) ? json_array_size(value->value)
                                       : json_object_size(value->value);
}

bool
krsi_json_is_int(const krsi_json *value)
{
    return json_is_integer(value->value);
}

bool
krsi_json_is_array(const krsi_json *value)
{
    return json_is_array(value->value);
}

bool
krsi_json_is_object(const krsi_json *value)
{
    return json_is_object(value->value);
}

bool
krsi_json_is_string(const krsi_json *value)
{
    return json_is_string(value->value);
}

krs_status
krsi_json_item(const krsi_json *array, size_t i, krsi_json *out, krs_error *err)
{
    if (!json_is_array(array->value))
        return expected(array, err, "an array");
    json_t *value = json_array_get(array->value, i);
    if (!value)
        return krsi_json_wrong(array, err,
                               "item %zu is missing: the array has %zu items",
                               i, json_array_size(array->value));
    *out = child(array, value, NULL, i);
    return KRS_OK;
}

bool
krsi_json_each(const krsi_json *object, void **cursor, const char **key,
               krsi_json *out)
{
    json_t *value = object->value;
    *cursor = *cursor ? json_object_iter_next(value, *cursor)
                      : json_object_iter(value);
    if (!*cursor)
        return false;
    *key = json_object_iter_key(*cursor);
    *out = child(object, json_object_iter_value(*cursor), *key, 0);
    return true;
}

bool
krsi_json_has(const krsi_json *object, const char *key)
{
    json_t *value = json_object_get(object->value, key);
    return value && !json_is_null(value);
}

krs_status
krsi_json_member(const krsi_json *object, const char *key, krsi_json *out,
                 krs_error *err)
{
    if (!json_is_object(object->value))
        return expected(object, err, "an object");
    json_t *value = json_object_get(object->value, key);
    krsi_json it = child(object, value, key, 0);
    if (!value || json_is_null(value))
        return krsi_json_wrong(
            &it, err, value ? "is null, a value is needed" : "is missing");
    *out = it;
    return KRS_OK;
}

/* true if `_or` is to give its default; an object is checked in any case */
static bool
is_absent(const krsi_json *object, const char *key)
{
    return json_is_object(object->value) && !krsi_json_has(object, key);
}

krs_status
krsi_json_int(const krsi_json *object, const char *key, int64_t least,
              int64_t most, int64_t *out, krs_error *err)
{
    krsi_json value;
    KRS_TRY(krsi_json_member(object, key, &value, err));
    return krsi_json_as_int(&value, least, most, out, err);
}

krs_status
krsi_json_int_or(const krsi_json *object, const char *key, int64_t least,
                 int64_t most, int64_t absent, int64_t *out, krs_error *err)
{
    if (!is_absent(object, key))
        return krsi_json_int(object, key, least, most, out, err);
    *out = absent;
    return KRS_OK;
}

krs_status
krsi_json_double(const krsi_json *object, const char *key, krsi_number kind,
                 double *out, krs_error *err)
{
    krsi_json value;
    KRS_TRY(krsi_json_member(object, key, &value, err));
    return krsi_json_as_double(&value, kind, out, err);
}

krs_status
krsi_json_double_or(const krsi_json *object, const char *key, krsi_number kind,
                    double absent, double *out, krs_error *err)
{
    if (!is_absent(object, key))
        return krsi_json_double(object, key, kind, out, err);
    *out = absent;
    return KRS_OK;
}

krs_status
krsi_json_bool(const krsi_json *object, const char *key, bool *out,
               krs_error *err)
{
    krsi_json value;
    KRS_TRY(krsi_json_member(object, key, &value, err));
    return krsi_json_as_bool(&value, out, err);
}

krs_status
krsi_json_bool_or(const krsi_json *object, const char *key, bool absent,
                  bool *out, krs_error *err)
{
    if (!is_absent(object, key))
        return krsi_json_bool(object, key, out, err);
    *out = absent;
    return KRS_OK;
}

krs_status
krsi_json_string(const krsi_json *object, const char *key, const char **out,
                 krs_error *err)
{
    krsi_json value;
    KRS_TRY(krsi_json_member(object, key, &value, err));
    return krsi_json_as_string(&value, out, err);
}

krs_status
krsi_json_string_or(const krsi_json *object, const char *key,
                    const char *absent, const char **out, krs_error *err)
{
    if (!is_absent(object, key))
        return krsi_json_string(object, key, out, err);
    *out = absent;
    return KRS_OK;
}

krs_status
krsi_json_object(const krsi_json *object, const char *key, krsi_json *out,
                 krs_error *err)
{
    krsi_json value;
    KRS_TRY(krsi_json_member(object, key, &value, err));
    if (!json_is_object(value.value))
        return expected(&value, err, "an object");
    *out = value;
    return KRS_OK;
}

krs_status
krsi_json_array(const krsi_json *object, const char *key, krsi_json *out,
                size_t *out_count, krs_error *err)
{
    krsi_json value;
    KRS_TRY(krsi_json_member(object, key, &value, err));
    if (!json_is_array(value.value))
        return expected(&value, err, "an array");
    *out = value;
    *out_count = json_array_size(value.value);
    return KRS_OK;
}

krs_status
krsi_json_choice(const krsi_json *object, const char *key,
                 const char *const *names, size_t count, size_t *out,
                 krs_error *err)
{
    krsi_json value;
    char want[400] = "one of";
    size_t used = strlen(want);
    KRS_TRY(krsi_json_member(object, key, &value, err));
    const char *text = json_string_value(value.value);
    for (size_t i = 0; i < count; i++) {
        if (text && strcmp(text, names[i]) == 0) {
            *out = i;
            return KRS_OK;
        }
        if (used + strlen(names[i]) + 4 < sizeof want)
            used += (size_t)snprintf(want + used, sizeof want - used,
                                     "%s \"%s\"", i ? "," : "", names[i]);
    }
    return expected(&value, err, want);
}
