/* tokenize_cases.c -- golden cases of a tokenizer: the text, and what must come
 * out.
 *
 * In: a file of JSON objects, one a line: text, add_special_tokens, ids; of
 * tokens, offsets (code points), decoded (without special tokens) and
 * decoded_with_special those that are there. Out: what differs in the first
 * cases that fail, and the counts on the last line.
 */
#include "tokenize.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

enum { SHOWN_CASES = 10, SHOWN_BYTES = 300 };

struct case_run {
    const krs_tokenizer *t;
    const char *path;
    size_t line, passed, failed;
    krs_encoding e;
    krs_error err;
};

/* Code points before byte `at`. */
static size_t
code_points(const char *text, size_t at)
{
    size_t count = 0;
    for (size_t i = 0; i < at; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

static json_t *
ids_of(const krs_encoding *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < e->count; i++)
        json_array_append_new(list, json_integer(e->ids[i]));
    return list;
}

static json_t *
tokens_of(const krs_encoding *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < e->count; i++)
        json_array_append_new(
            list,
            json_stringn(e->text + e->piece[i], e->piece[i + 1] - e->piece[i]));
    return list;
}

static json_t *
offsets_of(const krs_encoding *e, const char *text)
{
    json_t *list = json_array();
    for (size_t i = 0; i < e->count; i++)
        json_array_append_new(
            list, json_pack("[ii]", (int)code_points(text, e->spans[i].begin),
                            (int)code_points(text, e->spans[i].end)));
    return list;
}

static json_t *
text_of(struct case_run *run, bool skip_special)
{
    char *text;
    size_t bytes;
    if (krs_tokenizer_decode(run->t, run->e.ids, run->e.count, skip_special,
                             &text, &bytes, &run->err) != KRS_OK)
        return NULL;
    json_t *string = json_stringn(text, bytes);
    free(text);
    return string;
}

static void
show(const char *what, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY |
                                               JSON_ENSURE_ASCII)
                       : NULL;
    printf("    %s %.*s\n", what, SHOWN_BYTES, text ? text : "(nothing)");
    free(text);
}

/* Compare what the case has under a key; takes `got`. */
static bool
agrees(struct case_run *run, const json_t *expected, const char *key,
       json_t *got)
{
    const json_t *want = json_object_get(expected, key);
    bool same = !want || json_equal(want, got);
    if (!same && run->failed < SHOWN_CASES) {
        printf("%s:%zu: %s differ\n", run->path, run->line, key);
        show("want", want);
        show("got ", got);
    }
    json_decref(got);
    return same;
}

static bool
check(struct case_run *run, const json_t *it)
{
    const json_t *text = json_object_get(it, "text");
    krs_encode_options options = {.struct_size = sizeof options,
                                  .pieces = true};
    options.no_special =
        !json_is_true(json_object_get(it, "add_special_tokens"));
    const char *bytes = json_string_value(text);
    if (krs_tokenizer_encode(run->t, bytes, json_string_length(text), &options,
                             &run->e, &run->err) != KRS_OK) {
        printf("%s:%zu: %s\n", run->path, run->line, run->err.text);
        return false;
    }
    bool same = agrees(run, it, "ids", ids_of(&run->e));
    same &= agrees(run, it, "tokens", tokens_of(&run->e));
    if (json_object_get(it, "offsets"))
        same &= agrees(run, it, "offsets", offsets_of(&run->e, bytes));
    same &= agrees(run, it, "decoded", text_of(run, true));
    same &= agrees(run, it, "decoded_with_special", text_of(run, false));
    return same;
}

static krs_status
run_line(struct case_run *run, const char *text, size_t bytes)
{
    json_error_t error;
    json_t *it = json_loadb(text, bytes,
                            JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json_is_string(json_object_get(it, "text")) ||
        !json_is_array(json_object_get(it, "ids"))) {
        json_decref(it);
        return krs_fail(&run->err, KRS_E_FORMAT,
                        "%s: line %zu: an object with text and ids is expected",
                        run->path, run->line);
    }
    if (check(run, it))
        run->passed++;
    else
        run->failed++;
    json_decref(it);
    return KRS_OK;
}

int
run_cases(const krs_tokenizer *t, const char *path)
{
    struct case_run run = {.t = t, .path = path};
    char *text;
    size_t bytes;
    if (read_text(path, &text, &bytes, &run.err) != KRS_OK)
        return complain(&run.err);
    krs_status status = KRS_OK;
    for (size_t at = 0; status == KRS_OK && at < bytes;) {
        char *end = memchr(text + at, '\n', bytes - at);
        size_t count = end ? (size_t)(end - text) - at : bytes - at;
        run.line++;
        if (count > 0)
            status = run_line(&run, text + at, count);
        at += count + 1;
    }
    free(text);
    krs_encoding_free(&run.e);
    if (status == KRS_OK && run.passed + run.failed == 0)
        status = krs_fail(&run.err, KRS_E_FORMAT, "%s: has no case", path);
    if (status != KRS_OK)
        return complain(&run.err);
    printf("%zu passed, %zu failed\n", run.passed, run.failed);
    return run.failed ? EXIT_SHORT : EXIT_OK;
}
