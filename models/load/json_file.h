/* json_file.h -- settings out of JSON files that nobody has checked.
 *
 *     krsi_json_file *file;
 *     KRS_TRY(krsi_json_open("llama/config.json", &file, err));
 *     krsi_json config = krsi_json_root(file), rope;
 *     int64_t layers;
 *     double factor = 1;
 *     status = krsi_json_int(&config, "num_hidden_layers", 1, 4096, &layers,
 *                            err);
 *     if (krsi_json_has(&config, "rope_parameters")) {
 *         status = krsi_json_object(&config, "rope_parameters", &rope, err);
 *         status = krsi_json_double_or(&rope, "factor", KRSI_POSITIVE, 1,
 *                                      &factor, err);
 *     }
 *     krsi_json_close(file);
 *
 * In: a file of at most 64 MiB, or text in memory. Out: typed values, or one
 * sentence with file, JSON path, expectation and what stands there:
 *
 *     config.json: $.rope_parameters.factor: expected a number > 0, found "x"
 *
 * Keys that occur twice, invalid UTF-8, NUL characters, NaN and Infinity are
 * refused when the file is opened. A null counts as absent: the `_or` forms
 * give the value for absence, the plain forms fail.
 *
 * A krsi_json is a plain value; it and the strings it gives live as long as
 * its krsi_json_file, which is immutable and may be read by any thread.
 */
#ifndef KRSI_JSON_FILE_H
#define KRSI_JSON_FILE_H

#include <krs/status.h>

struct json_t;

#define KRSI_JSON_BYTES ((uint64_t)64 << 20) /* largest file */
#define KRSI_JSON_PATH  256                  /* bytes of a path in messages */

typedef struct krsi_json_file krsi_json_file;

/* A value inside a file, and where it stands. */
typedef struct krsi_json {
    const krsi_json_file *file;
    struct json_t *value;
    char path[KRSI_JSON_PATH]; /* "$.rope_parameters.factor", "$.eos[1]" */
} krsi_json;

/* What a number may be; NaN and infinities never are. */
typedef enum krsi_number {
    KRSI_ANY_NUMBER,
    KRSI_POSITIVE,     /* > 0 */
    KRSI_NOT_NEGATIVE, /* >= 0 */
    KRSI_FRACTION      /* 0 <= x < 1, a dropout probability */
} krsi_number;

/* ---- json_file.c ---- */

/* krsi_json_open(path, &file, err) -- read and parse a file.
 * Errors: IO, FORMAT, MEMORY. */
krs_status krsi_json_open(const char *path, krsi_json_file **out,
                          krs_error *err);
/* krsi_json_parse(name, text, bytes, &file, err) -- parse text in memory;
 * name stands for the file in messages. The text is not kept. */
krs_status krsi_json_parse(const char *name, const char *text, size_t bytes,
                           krsi_json_file **out, krs_error *err);
void krsi_json_close(krsi_json_file *file); /* NULL is fine */
krsi_json krsi_json_root(const krsi_json_file *file);
const char *krsi_json_name(const krsi_json_file *file);

/* ---- json_value.c ---- */

/* krsi_json_has(&object, key) -- the key is there and its value not null. */
bool krsi_json_has(const krsi_json *object, const char *key);

/* Members of an object. All fail with FORMAT if `object` is no object, if
 * the key is absent (plain form), or if the value is not as expected. *out
 * is written on success only. */
krs_status krsi_json_int(const krsi_json *object, const char *key,
                         int64_t least, int64_t most, int64_t *out,
                         krs_error *err);
krs_status krsi_json_int_or(const krsi_json *object, const char *key,
                            int64_t least, int64_t most, int64_t absent,
                            int64_t *out, krs_error *err);
krs_status krsi_json_double(const krsi_json *object, const char *key,
                            krsi_number kind, double *out, krs_error *err);
krs_status krsi_json_double_or(const krsi_json *object, const char *key,
                               krsi_number kind, double absent, double *out,
                               krs_error *err);
krs_status krsi_json_bool(const krsi_json *object, const char *key, bool *out,
                          krs_error *err);
krs_status krsi_json_bool_or(const krsi_json *object, const char *key,
                             bool absent, bool *out, krs_error *err);
/* Strings are borrowed, without NUL inside. */
krs_status krsi_json_string(const krsi_json *object, const char *key,
                            const char **out, krs_error *err);
krs_status krsi_json_string_or(const krsi_json *object, const char *key,
                               const char *absent, const char **out,
                               krs_error *err);
krs_status krsi_json_object(const krsi_json *object, const char *key,
                            krsi_json *out, krs_error *err);
krs_status krsi_json_array(const krsi_json *object, const char *key,
                           krsi_json *out, size_t *out_count, krs_error *err);
/* any type but null */
krs_status krsi_json_member(const krsi_json *object, const char *key,
                            krsi_json *out, krs_error *err);

/* krsi_json_choice(&object, key, names, count, &i, err) -- a string that is
 * one of names[0..count); i is its place in the list. */
krs_status krsi_json_choice(const krsi_json *object, const char *key,
                            const char *const *names, size_t count, size_t *out,
                            krs_error *err);

/* krsi_json_item(&array, i, &out, err) -- item i of an array, any type. */
krs_status krsi_json_item(const krsi_json *array, size_t i, krsi_json *out,
                          krs_error *err);
/* krsi_json_each(&object, &cursor, &key, &out) -- the members in the order
 * of the file; start with *cursor = NULL; false at the end or if `object` is
 * no object. */
bool krsi_json_each(const krsi_json *object, void **cursor, const char **key,
                    krsi_json *out);
size_t krsi_json_count(const krsi_json *value); /* items or members, else 0 */
bool krsi_json_is_int(const krsi_json *value);
bool krsi_json_is_array(const krsi_json *value);
bool krsi_json_is_object(const krsi_json *value);
bool krsi_json_is_string(const krsi_json *value);

/* The value itself, e.g. an item of an array. */
krs_status krsi_json_as_int(const krsi_json *value, int64_t least, int64_t most,
                            int64_t *out, krs_error *err);
krs_status krsi_json_as_double(const krsi_json *value, krsi_number kind,
                               double *out, krs_error *err);
krs_status krsi_json_as_bool(const krsi_json *value, bool *out, krs_error *err);
krs_status krsi_json_as_string(const krsi_json *value, const char **out,
                               krs_error *err);

/* krsi_json_wrong(&value, err, format, ...) -- fail with FORMAT and a text
 * that begins with file and path: for rules that join several values. */
krs_status krsi_json_wrong(const krsi_json *value, krs_error *err,
                           const char *format, ...) KRS_PRINTF(3, 4);

/* ---- json_text.c ---- */

/* krsi_json_print(value, flags, &bytes) -- the text of a value with the flags
 * of json_dumps, to be freed; NULL when memory is out (json_dumps 2.14 drops
 * a key in silence then). bytes may be NULL. */
char *krsi_json_print(const struct json_t *value, size_t flags, size_t *bytes);

/* krsi_is_utf8(text) -- no overlong form, surrogate or code beyond U+10FFFF. */
bool krsi_is_utf8(const char *text);

/* krsi_json_quote(text, out, size) -- "text" in quotes for a message:
 * control characters as \xNN, cut with "..." to fit size bytes. Returns out.
 */
const char *krsi_json_quote(const char *text, char *out, size_t size);

#endif
