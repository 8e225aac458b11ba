/* pattern.c -- what a Split or a Replace looks for: letters, or a regular
 * expression.
 *
 * In: a text and a place in it. Out: the next match. An expression that
 * splitter.c knows is its function; any other is compiled by PCRE2 with
 * Unicode classes and without its JIT, which would need memory that is both
 * written and executed.
 *
 * Matches follow each other as in the search of Hugging Face tokenizers: an
 * empty one right behind another is passed over. PCRE2's own limit on backtracking
 * (10 million steps) stays: an expression that exceeds it is an error of that
 * text, not a hang.
 */
#include "tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct krsi_pattern {
    krsi_splitter *splitter;
    pcre2_code *code;
    char *text; /* literal if neither of the above */
    size_t bytes;
};

static krsi_pattern *
new_pattern(const char *text, size_t bytes)
{
    krsi_pattern *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->text = krsi_copy_text(text, bytes);
    p->bytes = bytes;
    if (p->text)
        return p;
    free(p);
    return NULL;
}

krs_status
krsi_pattern_literal(const char *text, size_t bytes, krsi_pattern **out,
                     krs_error *err)
{
    krsi_pattern *p = new_pattern(text, bytes);
    if (!p)
        return krsi_no_memory(err, "a pattern");
    *out = p;
    return KRS_OK;
}

static krs_status
compile(krsi_pattern *p, const char *text, size_t bytes, krs_error *err)
{
    PCRE2_UCHAR reason[200];
    PCRE2_SIZE at = 0;
    int code = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return krsi_no_memory(err, "a regular expression");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    p->code = pcre2_compile((PCRE2_SPTR)text, bytes,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &at,
                            context);
    pcre2_compile_context_free(context);
    if (p->code)
        return KRS_OK;
    if (code == PCRE2_ERROR_NOMEMORY || code == 121 /* heap failed */)
        return krsi_no_memory(err, "a regular expression");
    pcre2_get_error_message(code, reason, sizeof reason);
    return krs_fail(err, KRS_E_FORMAT,
                    "the regular expression does not compile: %s",
                    (const char *)reason);
}

krs_status
krsi_pattern_regex(const char *text, size_t bytes, krsi_pattern **out,
                   krs_error *err)
{
    krsi_pattern *p = new_pattern(text, bytes);
    krsi_buffer translated = {0};
    if (!p)
        return krsi_no_memory(err, "a pattern");
    p->splitter = krsi_splitter_find(p->text);
    krs_status status = KRS_OK;
    if (!p->splitter) {
        status = krsi_regex_translate(text, bytes, &translated, err);
        if (status == KRS_OK)
            status = compile(p, translated.bytes ? translated.bytes : "",
                             translated.count, err);
        krsi_buffer_free(&translated);
    }
    if (status != KRS_OK)
        krsi_pattern_free(p);
    else
        *out = p;
    return status;
}

void
krsi_pattern_free(krsi_pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p->text);
    free(p);
}

krsi_splitter *
krsi_pattern_splitter(const krsi_pattern *p)
{
    return p->splitter;
}

void
krsi_search_free(krsi_search *s)
{
    pcre2_match_data_free(s->data);
    s->data = NULL;
}

static krs_status
search_regex(const krsi_pattern *p, krsi_search *s, const char *text,
             size_t bytes, size_t at, krsi_match *out, bool *found,
             krs_error *err)
{
    if (!s->data)
        s->data = pcre2_match_data_create(1, NULL);
    if (!s->data)
        return krsi_no_memory(err, "a match");
    int code = pcre2_match(p->code, (PCRE2_SPTR)text, bytes, at,
                           PCRE2_NO_UTF_CHECK, s->data, NULL);
    *found = code >= 0;
    if (code == PCRE2_ERROR_NOMATCH)
        return KRS_OK;
    if (code == PCRE2_ERROR_NOMEMORY)
        return krsi_no_memory(err, "a match");
    if (code < 0) {
        PCRE2_UCHAR reason[200];
        pcre2_get_error_message(code, reason, sizeof reason);
        return krs_fail(err, KRS_E_FORMAT,
                        "text at byte %zu: the regular expression of the "
                        "tokenizer gives up: %s",
                        at, (const char *)reason);
    }
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(s->data);
    *out = (krsi_match){ends[0], ends[1]};
    return KRS_OK;
}

static void
search_literal(const krsi_pattern *p, const char *text, size_t bytes, size_t at,
               krsi_match *out, bool *found)
{
    const char *end = text + bytes, *from = text + at;
    *found = false;
    if (p->bytes == 0)
        return;
    while (!*found && (size_t)(end - from) >= p->bytes) {
        const char *hit =
            memchr(from, p->text[0], (size_t)(end - from) - p->bytes + 1);
        if (!hit)
            return;
        *found = !memcmp(hit, p->text, p->bytes);
        *out =
            (krsi_match){(size_t)(hit - text), (size_t)(hit - text) + p->bytes};
        from = hit + 1;
    }
}

krs_status
krsi_pattern_next(const krsi_pattern *p, krsi_search *s, const char *text,
                  size_t bytes, krsi_scan *scan, krsi_match *out, bool *found,
                  krs_error *err)
{
    *found = false;
    while (!*found && scan->at <= bytes) {
        size_t at = scan->at;
        if (p->splitter) {
            *found = at < bytes;
            if (*found)
                *out =
                    (krsi_match){at, at + p->splitter(text + at, bytes - at)};
        } else if (p->code) {
            KRS_TRY(search_regex(p, s, text, bytes, at, out, found, err));
        } else {
            search_literal(p, text, bytes, at, out, found);
        }
        if (!*found)
            return KRS_OK;
        scan->at = out->end;
        if (out->begin == out->end && out->end == scan->last_end) {
            *found = false; /* an empty match behind a match is none */
            scan->at += out->end < bytes ? krsi_utf8_length(text[out->end]) : 1;
        }
    }
    scan->last_end = out->end;
    return KRS_OK;
}
