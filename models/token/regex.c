/* regex.c -- a regular expression of Oniguruma, in which tokenizer.json is
 * written, as one of PCRE2 that means the same.
 *
 * In: the expression. Out: the other one, or a refusal that names what has no
 * equal. Only what differs is rewritten:
 *
 *   \s \S \d \D       \p{White_Space}, \p{Nd}
 *   \w \W \b \B       by Alphabetic, M, Nd, Pc (UTS 18, annex C)
 *   \h \v \uHHHH      a hexadecimal digit, a vertical tab, a character
 *   (?m)              (?s): there it lets the dot match a line end
 *   {,n}              {0,n}
 *   x{n,m}+           (?:x{n,m})+: no possessive interval
 *   [a&&[^b]] [a[b]]  look-aheads and alternatives
 *
 * Oniguruma 6.9, doc/RE and doc/SYNTAX.md; pcre2pattern(3) of 10.42.
 */
#include "tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"

enum { DEPTH = 32 };

struct reading {
    const char *text;
    size_t bytes, at;
    krsi_buffer *out;
    krs_error *err;
    size_t groups[DEPTH]; /* where each open group begins in out */
    int depth;
    size_t atom; /* where the last atom begins in out; SIZE_MAX: none */
};

static krs_status
refuse(const struct reading *r, const char *what)
{
    return krs_fail(r->err, KRS_E_UNSUPPORTED,
                    "character %zu of the expression: %s", r->at, what);
}

static void
put(struct reading *r, const char *text)
{
    krsi_buffer_add(r->out, text, strlen(text));
}

static bool
sees(const struct reading *r, const char *text)
{
    size_t n = strlen(text);
    return r->bytes - r->at >= n && !memcmp(r->text + r->at, text, n);
}

static char
byte_at(const struct reading *r, size_t i)
{
    return i < r->bytes ? r->text[i] : 0;
}

/* One character, whatever it is, copied. */
static void
copy_char(struct reading *r)
{
    uint32_t code;
    size_t used = krsi_utf8_next(r->text + r->at, r->bytes - r->at, &code);
    krsi_buffer_add(r->out, r->text + r->at, used);
    r->at += used;
}

/* \uHHHH, or \x{H...}: r->at is behind the letter. */
static krs_status
put_code(struct reading *r, char letter)
{
    const char *digits = "0123456789abcdefABCDEF";
    size_t begin = r->at, count = 4;
    if (letter == 'x') {
        if (byte_at(r, r->at) != '{')
            return refuse(r, "\\x without braces is a byte there");
        begin++;
        count = strcspn(r->text + begin, "}");
        r->at += count + 2;
    } else {
        r->at += 4;
    }
    if (count < 1 || count > 6 || r->at > r->bytes ||
        strspn(r->text + begin, digits) < count)
        return refuse(r, "a code point in hexadecimal digits is expected");
    put(r, "\\x{");
    krsi_buffer_add(r->out, r->text + begin, count);
    put(r, "}");
    return KRS_OK;
}

/* \p{...}: r->at is behind the p. */
static krs_status
put_property(struct reading *r, char letter)
{
    const char *end = memchr(r->text + r->at, '}', r->bytes - r->at);
    if (byte_at(r, r->at) != '{' || !end)
        return refuse(r, "\\p needs a property in braces");
    size_t stop = (size_t)(end - r->text) + 1;
    put(r, letter == 'p' ? "\\p" : "\\P");
    krsi_buffer_add(r->out, r->text + r->at, stop - r->at);
    r->at = stop;
    return KRS_OK;
}

/* An escape; inside a class it is one of its items. */
static krs_status
escape(struct reading *r, bool in_class)
{
    static const struct {
        char letter;
        const char *outside, *inside; /* NULL: has no equal */
    } rows[] = {
        {'s', "\\p{White_Space}",                                                "\\p{White_Space}"},
        {'S', "\\P{White_Space}",                                                "\\P{White_Space}"},
        {'d', "\\p{Nd}",                                                         "\\p{Nd}"         },
        {'D', "\\P{Nd}",                                                         "\\P{Nd}"         },
        {'w', "[" WORD "]",                                                      WORD              },
        {'W', "[^" WORD "]",                                                     NULL              },
        {'h', "[0-9a-fA-F]",                                                     "0-9a-fA-F"       },
        {'H', "[^0-9a-fA-F]",                                                    NULL              },
        {'v', "\\x{0b}",                                                         "\\x{0b}"         },
        {'b', "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))",
         "\\x{08}"                                                                                 },
        {'B', "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))",
         NULL                                                                                      },
        {'n', "\\n",                                                             "\\n"             },
        {'r', "\\r",                                                             "\\r"             },
        {'t', "\\t",                                                             "\\t"             },
        {'f', "\\f",                                                             "\\f"             },
        {'a', "\\a",                                                             "\\a"             },
        {'e', "\\e",                                                             "\\e"             },
        {'A', "\\A",                                                             NULL              },
        {'z', "\\z",                                                             NULL              },
        {'Z', "\\Z",                                                             NULL              },
    };
    char letter = byte_at(r, r->at + 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].letter != letter)
            continue;
        const char *text = in_class ? rows[i].inside : rows[i].outside;
        if (!text)
            return refuse(r, "this escape has no equal in a class");
        put(r, text);
        r->at += 2;
        return KRS_OK;
    }
    if ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
        letter == '0' || letter == 0) {
        if (letter != 'p' && letter != 'P' && letter != 'u' && letter != 'x')
            return refuse(r, "this escape is not known");
        r->at += 2;
        return letter == 'p' || letter == 'P' ? put_property(r, letter)
                                              : put_code(r, letter);
    }
    put(r, "\\"); /* of a sign, of another character, of a group's number */
    r->at++;
    copy_char(r);
    return KRS_OK;
}

static krs_status char_class(struct reading *r, int depth);

/* The items up to "&&" or the closing bracket, as alternatives: what stands in
 * them plainly as one class, each class inside by itself. */
static krs_status
operand(struct reading *r, int depth)
{
    krsi_buffer plain = {0}, *whole = r->out, nested = {0};
    krs_status status = KRS_OK;
    bool first = true;
    for (; status == KRS_OK && r->at < r->bytes; first = false) {
        char c = r->text[r->at];
        r->out = &plain;
        if ((c == ']' && !first) || sees(r, "&&"))
            break;
        if (sees(r, "[:")) {
            status = refuse(r, "a POSIX bracket has no equal");
        } else if (c == '[') {
            r->out = &nested;
            put(r, nested.count ? "|" : "");
            status = char_class(r, depth + 1);
        } else if (c == '\\') {
            status = escape(r, true);
        } else {
            if (c == ']')
                put(r, "\\");
            copy_char(r);
        }
    }
    r->out = whole;
    if (status == KRS_OK) {
        put(r, "(?:");
        if (plain.count) {
            put(r, "[");
            krsi_buffer_add(whole, plain.bytes, plain.count);
            put(r, nested.count ? "]|" : "]");
        }
        krsi_buffer_add(whole, nested.bytes, nested.count);
        if (!plain.count && !nested.count)
            put(r, "(?!)");
        put(r, ")");
    }
    whole->failed |= plain.failed | nested.failed;
    krsi_buffer_free(&plain);
    krsi_buffer_free(&nested);
    return status;
}

/* A class that has neither classes nor "&&" inside: its length, or 0. */
static size_t
plain_class(const struct reading *r)
{
    size_t i = r->at + 1;
    if (byte_at(r, i) == '^')
        i++;
    if (byte_at(r, i) == ']')
        return 0;
    for (; i < r->bytes && r->text[i] != ']'; i++) {
        if (r->text[i] == '[' ||
            (r->text[i] == '&' && byte_at(r, i + 1) == '&'))
            return 0;
        if (r->text[i] == '\\')
            i++;
    }
    return i < r->bytes ? i + 1 - r->at : 0;
}

/* [...] at r->at */
static krs_status
char_class(struct reading *r, int depth)
{
    size_t length = plain_class(r);
    if (depth == DEPTH)
        return refuse(r, "classes inside classes, too deep");
    if (length) {
        size_t end = r->at + length - 1;
        put(r, "[");
        for (r->at++; r->at < end;) {
            if (r->text[r->at] == '\\')
                KRS_TRY(escape(r, true));
            else
                copy_char(r);
        }
        put(r, "]");
        r->at = end + 1;
        return KRS_OK;
    }
    bool negated = byte_at(r, ++r->at) == '^';
    r->at += negated;
    /* a character that each operand would match */
    put(r, negated ? "(?:(?!" : "(?:");
    for (bool more = true; more;) {
        put(r, "(?=");
        KRS_TRY(operand(r, depth));
        put(r, ")");
        more = sees(r, "&&");
        r->at += more ? 2 : 0;
    }
    if (byte_at(r, r->at) != ']')
        return refuse(r, "a class is not closed");
    r->at++;
    put(r, negated ? ")(?s:.))" : "(?s:.))");
    return KRS_OK;
}

/* (?imx-imx: or (?imx-imx): m there is s here. r->at is at the "(". */
static bool
options(struct reading *r)
{
    size_t i = r->at + 2;
    while (i < r->bytes && strchr("imx-", r->text[i]))
        i++;
    if (i == r->at + 2 || (byte_at(r, i) != ':' && byte_at(r, i) != ')'))
        return false;
    put(r, "(?");
    for (r->at += 2; r->at < i; r->at++) {
        char option[2] = {r->text[r->at], 0};
        put(r, *option == 'm' ? "s" : option);
    }
    return true;
}

static krs_status
open_group(struct reading *r)
{
    if (r->depth == DEPTH)
        return refuse(r, "groups inside groups, too deep");
    r->groups[r->depth++] = r->out->count;
    r->atom = SIZE_MAX;
    if (byte_at(r, r->at + 1) == '?' && options(r)) {
        if (byte_at(r, r->at) == ')') { /* of all that follows: no group */
            r->depth--;
            put(r, ")");
        } else {
            put(r, ":");
        }
        r->at++;
        return KRS_OK;
    }
    if (byte_at(r, r->at + 1) == '?' && !strchr(":=!><", byte_at(r, r->at + 2)))
        return refuse(r, "this kind of group is not known");
    copy_char(r);
    if (byte_at(r, r->at) == '?') {
        copy_char(r);
        bool behind = byte_at(r, r->at) == '<';
        copy_char(r);
        if (behind && (byte_at(r, r->at) == '=' || byte_at(r, r->at) == '!'))
            copy_char(r);
    }
    return KRS_OK;
}

static krs_status
insert_group(struct reading *r)
{
    put(r, "(?:)"); /* three of these go to the front */
    if (r->out->failed)
        return KRS_OK;
    char *from = r->out->bytes + r->atom;
    memmove(from + 3, from, r->out->count - r->atom - 4);
    memcpy(from, "(?:", 3);
    r->out->bytes[r->out->count - 1] = ')';
    return KRS_OK;
}

/* {n}, {n,}, {n,m}, {,m} at r->at: copied; false if it is none. */
static bool
interval(struct reading *r)
{
    size_t i = r->at + 1, begin = i;
    while (i < r->bytes && strchr("0123456789,", r->text[i]))
        i++;
    if (i == begin || byte_at(r, i) != '}' || r->atom == SIZE_MAX ||
        (i == begin + 1 && r->text[begin] == ','))
        return false;
    put(r, r->text[begin] == ',' ? "{0" : "{");
    krsi_buffer_add(r->out, r->text + begin, i + 1 - begin);
    r->at = i + 1;
    return true;
}

static krs_status
one(struct reading *r)
{
    char c = r->text[r->at];
    size_t begin = r->out->count;
    switch (c) {
    case '\\': r->atom = begin; return escape(r, false);
    case '[': r->atom = begin; return char_class(r, 0);
    case '(': return open_group(r);
    case ')':
        if (r->depth == 0)
            return refuse(r, "a group is closed that was not opened");
        r->atom = r->groups[--r->depth];
        copy_char(r);
        return KRS_OK;
    case '|':
    case '^':
    case '$':
        r->atom = SIZE_MAX;
        copy_char(r);
        return KRS_OK;
    case '*':
    case '+':
    case '?': copy_char(r); return KRS_OK;
    case '{':
        if (interval(r)) {
            if (byte_at(r, r->at) == '+')
                return insert_group(r);
            return KRS_OK;
        }
        put(r, "\\");
        break;
    default: break;
    }
    r->atom = begin;
    copy_char(r);
    return KRS_OK;
}

krs_status
krsi_regex_translate(const char *regex, size_t bytes, krsi_buffer *out,
                     krs_error *err)
{
    struct reading r = {.text = regex,
                        .bytes = bytes,
                        .out = out,
                        .err = err,
                        .atom = SIZE_MAX};
    while (r.at < bytes)
        KRS_TRY(one(&r));
    if (out->failed)
        return krsi_no_memory(err, "a regular expression");
    return KRS_OK;
}
