/* corpus.c -- documents out of text files and JSON lines (corpus.h).
 *
 * In: a file. Out: one document after the other, in memory of the longest one
 * so far. A buffer holds what was read and not given yet; it grows by what the
 * file really has, up to the limit. Lines are counted for the messages.
 */
#include "../load/json_file.h"
#include "source.h"

#include <krs/corpus.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 65536 };
#define MOST_BYTES ((size_t)64 << 20)

struct krs_corpus {
    char *path, *field; /* owned */
    krs_corpus_kind kind;
    size_t most_bytes;
    krsi_source *source;
    char *buffer;            /* [room] */
    size_t room, begin, end; /* what was not given yet */
    bool ended;
    uint64_t line;        /* of the last document, from 1 */
    krsi_json_file *json; /* that the last document lies in */
};

static bool
ends_in(const char *text, size_t bytes, const char *end)
{
    size_t n = strlen(end);
    return bytes >= n && memcmp(text + bytes - n, end, n) == 0;
}

static krs_corpus_kind
kind_of(const char *path)
{
    size_t n = strlen(path);
    if (ends_in(path, n, ".zst"))
        n -= 4;
    return ends_in(path, n, ".jsonl") || ends_in(path, n, ".ndjson")
               ? KRS_CORPUS_JSONL
               : KRS_CORPUS_TEXT;
}

static char *
copy(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *own = malloc(bytes);
    return own ? memcpy(own, text, bytes) : NULL;
}

krs_status
krs_corpus_open(const char *path, const krs_corpus_options *options,
                krs_corpus **out, krs_error *err)
{
    krs_corpus_options o = {.struct_size = sizeof o};
    if (options && options->struct_size < sizeof o)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "corpus: struct_size is %zu, expected %zu",
                        options->struct_size, sizeof o);
    if (options)
        o = *options;
    krs_corpus *c = calloc(1, sizeof *c);
    if (!c)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", path);
    c->path = copy(path);
    c->field = copy(o.field ? o.field : "text");
    c->kind = o.kind == KRS_CORPUS_BY_NAME ? kind_of(path) : o.kind;
    c->most_bytes = o.most_document_bytes ? o.most_document_bytes : MOST_BYTES;
    krs_status status =
        c->path && c->field
            ? krsi_source_open(c->path, &c->source, err)
            : krs_fail(err, KRS_E_MEMORY, "%s: out of memory", path);
    if (status == KRS_OK)
        *out = c;
    else
        krs_corpus_close(c);
    return status;
}

void
krs_corpus_close(krs_corpus *c)
{
    if (!c)
        return;
    krsi_json_close(c->json);
    krsi_source_close(c->source);
    free(c->buffer);
    free(c->field);
    free(c->path);
    free(c);
}

/* Read on, behind what is in the buffer; sets ended at the end. */
static krs_status
read_more(krs_corpus *c, krs_error *err)
{
    if (c->begin > 0) {
        memmove(c->buffer, c->buffer + c->begin, c->end - c->begin);
        c->end -= c->begin;
        c->begin = 0;
    }
    if (c->end > c->most_bytes)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: line %llu: the document has more than %zu bytes",
                        c->path, (unsigned long long)c->line, c->most_bytes);
    if (c->room - c->end < READ_BYTES + 1) {
        size_t room = c->end + (c->end > READ_BYTES ? c->end : READ_BYTES) +
                      READ_BYTES + 1;
        char *wider = realloc(c->buffer, room);
        if (!wider)
            return krs_fail(err, KRS_E_MEMORY,
                            "%s: out of memory for a document of more than %zu "
                            "bytes",
                            c->path, c->end);
        c->buffer = wider;
        c->room = room;
    }
    size_t got = 0;
    KRS_TRY(
        krsi_source_read(c->source, c->buffer + c->end, READ_BYTES, &got, err));
    c->end += got;
    c->ended = got == 0;
    return KRS_OK;
}

static krs_status
next_text(krs_corpus *c, const char **text, size_t *bytes, krs_error *err)
{
    c->line = 1;
    while (!c->ended)
        KRS_TRY(read_more(c, err));
    *bytes = c->end;
    *text = c->end > 0 ? c->buffer : NULL;
    if (c->end > 0)
        c->buffer[c->end] = 0;
    c->begin = c->end;
    return KRS_OK;
}

/* The next line that is not empty, without its end. */
static krs_status
next_line(krs_corpus *c, const char **text, size_t *bytes, krs_error *err)
{
    for (;;) {
        size_t seen = 0; /* bytes in which there is no newline */
        char *newline = NULL;
        c->line++;
        while (!(newline = c->end > c->begin + seen
                               ? memchr(c->buffer + c->begin + seen, '\n',
                                        c->end - c->begin - seen)
                               : NULL) &&
               !c->ended) {
            seen = c->end - c->begin;
            KRS_TRY(read_more(c, err));
        }
        char *begin = c->buffer + c->begin;
        size_t n = newline ? (size_t)(newline - begin) : c->end - c->begin;
        if (!newline && n == 0) {
            *text = NULL;
            return KRS_OK;
        }
        c->begin += n + (newline != NULL);
        if (n > 0 && begin[n - 1] == '\r')
            n--;
        begin[n] = 0; /* over the end of the line, or behind all */
        *text = begin;
        *bytes = n;
        if (n > 0)
            return KRS_OK;
    }
}

static krs_status
next_json(krs_corpus *c, const char **text, size_t *bytes, krs_error *err)
{
    const char *line;
    size_t length = 0;
    char *place = malloc(strlen(c->path) + 40);
    if (!place)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", c->path);
    krs_status status = next_line(c, &line, &length, err);
    krsi_json_close(c->json);
    c->json = NULL;
    *text = NULL;
    if (status == KRS_OK && line) {
        sprintf(place, "%s: line %llu", c->path, (unsigned long long)c->line);
        status = krsi_json_parse(place, line, length, &c->json, err);
        if (status == KRS_OK) {
            krsi_json root = krsi_json_root(c->json);
            status = krsi_json_string(&root, c->field, text, err);
        }
    }
    if (status == KRS_OK && *text)
        *bytes = strlen(*text);
    free(place);
    return status;
}

krs_status
krs_corpus_next(krs_corpus *c, const char **out_text, size_t *out_bytes,
                krs_error *err)
{
    *out_text = NULL;
    *out_bytes = 0;
    switch (c->kind) {
    case KRS_CORPUS_BY_NAME: break;
    case KRS_CORPUS_TEXT:
        if (c->ended)
            return KRS_OK;
        return next_text(c, out_text, out_bytes, err);
    case KRS_CORPUS_LINES: return next_line(c, out_text, out_bytes, err);
    case KRS_CORPUS_JSONL: return next_json(c, out_text, out_bytes, err);
    }
    return krs_fail(err, KRS_E_ARGUMENT, "%s: no such kind of corpus", c->path);
}
