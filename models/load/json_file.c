/* json_file.c -- parse a JSON file once.
 *
 * In: a file or a text. Out: its root, whose values json_value.c hands out; or
 * one sentence with file, line and byte.
 *
 * Parsing is jansson's, with duplicate keys rejected. Its own message is
 * replaced where the cause is known by a code; otherwise its text is quoted
 * with control characters escaped, because it repeats bytes of the file.
 *
 * An allocation that fails in the middle of jansson's scanner looks like a
 * syntax error to it, and so to us: FORMAT instead of MEMORY.
 *
 * Not done here: writing, comments, JSON lines.
 */
#include "json_file.h"

#include "path.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct krsi_json_file {
    json_t *root;
    char name[]; /* as given by the caller */
};

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
    char *text;
    size_t bytes;
    KRS_TRY(krsi_file_whole(path, KRSI_JSON_BYTES, &text, &bytes, err));
    krs_status status = krsi_json_parse(path, text, bytes, out, err);
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
