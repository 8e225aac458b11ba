/* tokenize.c -- kersey tokenize: texts to ids, ids to texts, golden cases.
 *
 * In: a tokenizer and a text (an operand, a file a line at a time, or stdin).
 * Out, on stdout: the ids of each text on a line; with --json one object a
 * text, with the tokens and the bytes they stand for. With --shards files of
 * the ids of whole documents (shards.c).
 */
#include "tokenize.h"
#include "shards.h"

#include <jansson.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

krs_status
read_text(const char *path, char **out, size_t *bytes, krs_error *err)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    char *text = NULL;
    size_t count = 0, room = 0, got = 1;
    if (!file)
        return krs_fail(err, KRS_E_IO, "%s: cannot open: %s", path,
                        strerror(errno));
    while (got > 0) {
        if (room - count < 65536) {
            char *grown = realloc(text, 2 * room + 131072);
            if (!grown)
                break;
            text = grown;
            room = 2 * room + 131072;
        }
        got = fread(text + count, 1, room - count - 1, file);
        count += got;
    }
    bool failed = got > 0 || ferror(file);
    int error = errno;
    if (file != stdin)
        fclose(file);
    if (failed) {
        free(text);
        return krs_fail(err, got > 0 ? KRS_E_MEMORY : KRS_E_IO,
                        "%s: cannot read: %s", path, strerror(error));
    }
    text[count] = 0;
    *out = text;
    *bytes = count;
    return KRS_OK;
}

static void
print_ids(const krs_encoding *e)
{
    for (size_t i = 0; i < e->count; i++)
        printf(i ? " %u" : "%u", e->ids[i]);
    putchar('\n');
}

static json_t *
describe(const krs_encoding *e)
{
    json_t *ids = json_array(), *tokens = json_array(), *spans = json_array(),
           *types = json_array(), *mask = json_array();
    for (size_t i = 0; i < e->count; i++) {
        json_array_append_new(ids, json_integer(e->ids[i]));
        json_array_append_new(
            tokens,
            json_stringn(e->text + e->piece[i], e->piece[i + 1] - e->piece[i]));
        json_array_append_new(spans, json_pack("[ii]", (int)e->spans[i].begin,
                                               (int)e->spans[i].end));
        json_array_append_new(types, json_integer(e->type_ids[i]));
        json_array_append_new(
            mask, json_integer(!(e->marks[i] & KRS_TOKEN_IS_PADDING)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "ids", ids, "tokens", tokens,
                     "spans", spans, "type_ids", types, "attention_mask", mask);
}

static krs_status
print_encoding(const krs_encoding *e, bool as_json, krs_error *err)
{
    if (!as_json) {
        print_ids(e);
        return KRS_OK;
    }
    json_t *object = describe(e);
    int written = object ? json_dumpf(object, stdout, JSON_COMPACT) : -1;
    json_decref(object);
    putchar('\n');
    return written == 0
               ? KRS_OK
               : krs_fail(err, KRS_E_IO, "cannot write the tokens as JSON");
}

static krs_status
encode_one(const krs_tokenizer *t, const char *text, size_t bytes,
           const krs_encode_options *options, krs_encoding *e, krs_error *err)
{
    KRS_TRY(krs_tokenizer_encode(t, text, bytes, options, e, err));
    return print_encoding(e, options->pieces, err);
}

static krs_status
encode_lines(const krs_tokenizer *t, const char *path,
             const krs_encode_options *options, krs_encoding *e, krs_error *err)
{
    char *text;
    size_t bytes;
    krs_status status = KRS_OK;
    KRS_TRY(read_text(path, &text, &bytes, err));
    for (size_t at = 0; status == KRS_OK && at < bytes;) {
        char *end = memchr(text + at, '\n', bytes - at);
        size_t count = end ? (size_t)(end - text) - at : bytes - at;
        status = encode_one(t, text + at, count, options, e, err);
        at += count + 1;
    }
    free(text);
    return status;
}

/* ids in decimal, with blanks, commas or brackets between them */
static krs_status
read_ids(const char *text, uint32_t *ids, size_t *count, krs_error *err)
{
    for (*count = 0; *(text += strspn(text, " \t\n,[]"));) {
        char *end;
        errno = 0;
        unsigned long id = strtoul(text, &end, 10);
        if (*text < '0' || *text > '9' || errno || id > UINT32_MAX)
            return krs_fail(err, KRS_E_ARGUMENT, "--decode: \"%.20s\" is no id",
                            text);
        ids[(*count)++] = (uint32_t)id;
        text = end;
    }
    return KRS_OK;
}

static krs_status
decode_text(const krs_tokenizer *t, const char *text, krs_error *err)
{
    uint32_t *ids = malloc((strlen(text) + 1) * sizeof *ids);
    size_t count = 0, bytes;
    char *out;
    if (!ids)
        return krs_fail(err, KRS_E_MEMORY, "no memory for the ids");
    krs_status status = read_ids(text, ids, &count, err);
    if (status == KRS_OK)
        status = krs_tokenizer_decode(t, ids, count, false, &out, &bytes, err);
    free(ids);
    if (status != KRS_OK)
        return status;
    fwrite(out, 1, bytes, stdout);
    putchar('\n');
    free(out);
    return KRS_OK;
}

static int
run(const krs_tokenizer *t, const struct command_line *line)
{
    const struct flags *f = &line->flags;
    krs_error err;
    krs_encoding e = {0};
    krs_encode_options options = {.struct_size = sizeof options,
                                  .no_special = f->plain,
                                  .pieces = f->json};
    krs_status status;
    if (f->cases)
        return run_cases(t, f->cases);
    if (f->shards)
        status = write_shards(t, f, &err);
    else if (f->decode)
        status = decode_text(t, f->decode, &err);
    else if (line->operand_count > 0)
        status = encode_one(t, line->operands[0], strlen(line->operands[0]),
                            &options, &e, &err);
    else
        status = encode_lines(t, f->data ? f->data : "-", &options, &e, &err);
    krs_encoding_free(&e);
    return status == KRS_OK ? EXIT_OK : complain(&err);
}

int
command_tokenize(const struct command_line *line)
{
    const struct flags *f = &line->flags;
    krs_tokenizer *t;
    krs_error err;
    if (!f->tokenizer)
        return complain_usage("which tokenizer? -t TOKENIZER");
    int sources = (line->operand_count > 0) + (f->data != NULL) +
                  (f->cases != NULL) + (f->decode != NULL);
    if (sources > 1)
        return complain_usage(
            "of TEXT, --data, --decode and --cases one is possible");
    if (f->shards && !f->data)
        return complain_usage("--shards of which documents? --data FILE");
    if (krs_tokenizer_open(f->tokenizer, &t, &err) != KRS_OK)
        return complain(&err);
    int code = run(t, line);
    krs_tokenizer_free(t);
    return code;
}
