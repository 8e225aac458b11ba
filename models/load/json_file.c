/* json_file.c -- parse a JSON file once, hand out checked values.
 *
 * In: a file or a text. Out: values of the wanted type and range; or one
 * sentence that names file, JSON path, expectation and finding. Invariant: a
 * value leaves this file only after its type and range were checked, and *out
 * is untouched on failure.
 *
 * Parsing is jansson's, with duplicate keys rejected. Its own message is
 * replaced where the cause is known by a code; otherwise its text is quoted
 * with control characters escaped, because it repeats bytes of the file.
 * Each value carries its path as text: a chain of pointers to parents would
 * be shorter, and would dangle in the first caller that returns a value.
 *
 * An allocation that fails in the middle of jansson's scanner looks like a
 * syntax error to it, and so to us: FORMAT instead of MEMORY.
 *
 * Not done here: writing, comments, JSON lines.
 */
#include "json_file.h"

#include "file_read.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_BYTES 72 /* of a string in a message */

struct krsi_json_file {
    json_t *root;
    char name[]; /* as given by the caller */
};

/* A control character, as ASCII or as the UTF-8 of U+0080 to U+009F, which
 * a terminal obeys too; *bytes is its length. */
static bool
is_control(const char *text, size_t *bytes)
{
    unsigned char c = (unsigned char)text[0], next = (unsigned char)text[1];
    *bytes = c == 0xC2 && next >= 0x80 && next < 0xA0 ? 2 : 1;
    return *bytes == 2 || c < 0x20 || c == 0x7F;
}

const char *
krsi_json_quote(const char *text, char *out, size_t size)
{
    size_t n = 0, bytes;
    if (size < 8)
        return "\"...\"";
    out[n++] = '"';
    for (; *text; text += bytes) {
        char piece[12];
        if (is_control(text, &bytes))
            snprintf(piece, sizeof piece,
                     bytes == 2 ? "\\x%02x\\x%02x" : "\\x%02x",
                     (unsigned char)text[0], (unsigned char)text[1]);
        else if (*text == '"' || *text == '\\')
            snprintf(piece, sizeof piece, "\\%c", *text);
        else
            snprintf(piece, sizeof piece, "%c", *text);
        size_t piece_bytes = strlen(piece);
        if (n + piece_bytes + 5 > size) {
            /* cut before a whole character: drop UTF-8 continuation bytes */
            while (n > 1 && ((unsigned char)*text & 0xC0) == 0x80) {
                text--;
                n--;
            }
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        memcpy(out + n, piece, piece_bytes);
        n += piece_bytes;
    }
    out[n++] = '"';
    out[n] = 0;
    return out;
}

bool
krsi_is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        int more = *s < 0x80 ? 0 : *s < 0xE0 ? 1 : *s < 0xF0 ? 2 : 3;
        if ((*s >= 0x80 && *s < 0xC2) || *s > 0xF4)
            return false;
        uint32_t code = more ? *s & (0x3Fu >> more) : *s;
        for (s++; more > 0; more--, s++) {
            if ((*s & 0xC0) != 0x80)
                return false;
            code = code << 6 | (*s & 0x3Fu);
            /* the second byte tells what is overlong, surrogate, too large */
            if ((more == 2 && s[-1] >= 0xE0 && s[-1] < 0xF0 &&
                 (code < 0x20 || (code >= 0x360 && code < 0x380))) ||
                (more == 3 && (code < 0x10 || code >= 0x110)))
                return false;
        }
    }
    return true;
}

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
    return krs_fail(err, KRS_E_FORMAT, "%s: %s: %s", value->file->name,
                    value->path, reason);
}

static krs_status
expected(const krsi_json *value, krs_error *err, const char *what)
{
    char shown[SHOWN_BYTES + 24];
    return krsi_json_wrong(value, err, "expected %s, found %s", what,
                           found(value->value, shown));
}

/* jansson's text repeats bytes of the file */
static const char *
without_controls(const char *text, char out[JSON_ERROR_TEXT_LENGTH])
{
    size_t n = 0;
    for (; text[n] && n + 1 < JSON_ERROR_TEXT_LENGTH; n++) {
        unsigned char c = (unsigned char)text[n];
        out[n] = c < 0x20 || c == 0x7F ? '?' : text[n];
    }
    out[n] = 0;
    return out;
}

static krs_status
parse_error(const char *name, const json_error_t *e, krs_error *err)
{
    char shown[JSON_ERROR_TEXT_LENGTH];
    const char *reason = NULL;
    krs_status status = KRS_E_FORMAT;
    enum json_error_code code = json_error_code(e);
    /* jansson leaves the error empty where a small allocation failed */
    if (code == json_error_out_of_memory || e->text[0] == 0) {
        status = KRS_E_MEMORY;
        reason = "out of memory while parsing";
    } else if (code == json_error_invalid_utf8) {
        reason = "not valid UTF-8";
    } else if (code == json_error_null_byte_in_key ||
               code == json_error_null_character) {
        reason = "NUL character in a string; names cannot hold one";
    } else if (code == json_error_stack_overflow) {
        reason = "nested too deeply";
    } else if (code == json_error_numeric_overflow) {
        reason = "a number is too large to be represented";
    }
    if (status == KRS_E_MEMORY)
        return krs_fail(err, status, "%s: %s", name, reason);
    if (reason)
        return krs_fail(err, status, "%s: line %d, byte %d: %s", name, e->line,
                        e->position, reason);
    const char *text = e->text;
    reason = "not JSON:";
    if (code == json_error_duplicate_key) {
        const char *near = strstr(text, "near ");
        reason = "a key occurs twice in one object,";
        text = near ? near : "";
    }
    return krs_fail(err, status, "%s: line %d, byte %d: %s %s", name, e->line,
                    e->position, reason, without_controls(text, shown));
}

/* The text, a byte a call. jansson (2.14) does not notice when the buffer of a
 * token cannot grow: letters of a key or digits of a number are lost, and the
 * text means something else. But malloc says ENOMEM, and jansson asks for the
 * next byte before it does anything with a token that grew, so that looking
 * at errno here finds it in time.
 *
 * Except where the buffer is full exactly at a closing quote: jansson then
 * reads on past its end, which nothing outside of it can prevent. */
struct reading {
    const char *text;
    size_t bytes, at;
    bool memory_is_out;
};

static size_t
next_byte(void *buffer, size_t room, void *data)
{
    struct reading *r = data;
    r->memory_is_out |= errno == ENOMEM;
    if (r->memory_is_out || r->at == r->bytes || room == 0)
        return 0;
    *(char *)buffer = r->text[r->at++];
    return 1;
}

static json_t *
load(struct reading *r, json_error_t *error)
{
    int before = errno;
    errno = 0;
    json_t *root = json_load_callback(
        next_byte, r, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, error);
    r->memory_is_out |= errno == ENOMEM;
    errno = before;
    if (!r->memory_is_out)
        return root;
    json_decref(root);
    return NULL;
}

krs_status
krsi_json_parse(const char *name, const char *text, size_t bytes,
                krsi_json_file **out, krs_error *err)
{
    size_t name_bytes = strlen(name) + 1;
    krsi_json_file *file = malloc(sizeof *file + name_bytes);
    /* zeroed: where memory is out jansson leaves the code unset */
    json_error_t error = {0};
    if (!file)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", name);
    memcpy(file->name, name, name_bytes);
    struct reading reading = {.text = text, .bytes = bytes};
    file->root = load(&reading, &error);
    if (!file->root) {
        free(file);
        if (reading.memory_is_out)
            error = (json_error_t){0};
        return parse_error(name, &error, err);
    }
    *out = file;
    return KRS_OK;
}

krs_status
krsi_json_open(const char *path, krsi_json_file **out, krs_error *err)
{
    krsi_file file;
    KRS_TRY(krsi_file_open(path, KRSI_JSON_BYTES, &file, err));
    size_t bytes = (size_t)file.bytes;
    char *text = malloc(bytes + 1);
    krs_status status;
    if (!text)
        status = krs_fail(err, KRS_E_MEMORY,
                          "%s: out of memory for its %zu bytes", path, bytes);
    else
        status = krsi_file_read(&file, 0, text, bytes, err);
    krsi_file_close(&file);
    if (status == KRS_OK)
        status = krsi_json_parse(path, text, bytes, out, err);
    free(text);
    return status;
}

void
krsi_json_close(krsi_json_file *file)
{
    if (!file)
        return;
    json_decref(file->root);
    free(file);
}

krsi_json
krsi_json_root(const krsi_json_file *file)
{
    return (krsi_json){file, file->root, "$"};
}

const char *
krsi_json_name(const krsi_json_file *file)
{
    return file->name;
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

/* Text that grows; a failed allocation sticks. */
typedef struct growing {
    char *text;
    size_t bytes, capacity;
    bool failed;
} growing;

static int
append(const char *piece, size_t bytes, void *user)
{
    growing *g = user;
    if (g->failed)
        return -1;
    if (g->capacity - g->bytes <= bytes) {
        size_t capacity = 2 * g->capacity + bytes + 64;
        char *text = realloc(g->text, capacity);
        g->failed = text == NULL;
        if (g->failed)
            return -1;
        g->text = text;
        g->capacity = capacity;
    }
    memcpy(g->text + g->bytes, piece, bytes);
    g->bytes += bytes;
    return 0;
}

char *
krsi_json_print(const json_t *value, size_t flags, size_t *bytes)
{
    growing g = {0};
    int failed = json_dump_callback(value, append, &g, flags);
    if (failed || g.failed || append("", 1, &g) != 0) {
        free(g.text);
        return NULL;
    }
    if (bytes)
        *bytes = g.bytes - 1;
    return g.text;
}
