/* kernel_scan.c -- words of the text form of kernels.
 *
 * In: text, possibly hostile, and a position in it. Out: the current word, and
 * what it says as an integer, an f32, an element type or a typed name; or one
 * sentence with line and column. `#` starts a comment, `=`, braces and
 * brackets are words of their own, everything else lasts to the next blank. A
 * word points into the text; nothing is allocated.
 */
#include "kernel_scan.h"

#include "kb.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool
krsi_kscan_fail(krsi_kscan *s, const char *format, ...)
{
    char text[512];
    va_list args;
    if (s->status != KRS_OK)
        return false;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *start = s->word.start ? s->word.start : s->line_start;
    s->status = krs_fail(s->err, KRS_E_FORMAT,
                         "kernel text: line %d, column "
                         "%d: %s",
                         s->line, (int)(start - s->line_start) + 1, text);
    return false;
}

bool
krsi_kscan_memory(krsi_kscan *s)
{
    if (s->status == KRS_OK)
        s->status = krs_fail(s->err, KRS_E_MEMORY,
                             "no memory for the kernel at line %d", s->line);
    return false;
}

static bool
is_mark(char c)
{
    return c == '=' || c == '{' || c == '}' || c == '[' || c == ']';
}

void
krsi_kscan_advance(krsi_kscan *s)
{
    while (*s->at == ' ' || *s->at == '\t' || *s->at == '\r')
        s->at++;
    if (*s->at == '#')
        while (*s->at && *s->at != '\n')
            s->at++;
    const char *start = s->at;
    if (is_mark(*s->at))
        s->at++;
    else
        while (*s->at && *s->at != '#' && !is_mark(*s->at) &&
               !isspace((unsigned char)*s->at))
            s->at++;
    if (s->at == start && *s->at && *s->at != '\n')
        s->at++; /* a stray control character is a word, and a fault */
    s->word = (krsi_kword){start, (size_t)(s->at - start)};
}

bool
krsi_kscan_is(const krsi_kscan *s, const char *text)
{
    return s->word.length == strlen(text) &&
           memcmp(s->word.start, text, s->word.length) == 0;
}

bool
krsi_kscan_accept(krsi_kscan *s, const char *text)
{
    if (!krsi_kscan_is(s, text))
        return false;
    krsi_kscan_advance(s);
    return true;
}

const char *
krsi_kscan_shown(const krsi_kscan *s, char text[KRSI_KWORD_TEXT])
{
    size_t length = s->word.length;
    if (length == 0)
        return strcpy(text, "the end of the line");
    if (length > 40)
        length = 40;
    text[0] = '`';
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)s->word.start[i];
        text[1 + i] = (char)(c >= 32 && c < 127 ? c : '?');
    }
    text[1 + length] = '`';
    text[2 + length] = 0;
    return text;
}

bool
krsi_kscan_expect(krsi_kscan *s, const char *text)
{
    char found[KRSI_KWORD_TEXT];
    if (krsi_kscan_accept(s, text))
        return true;
    return krsi_kscan_fail(s, "found %s, expected `%s`",
                           krsi_kscan_shown(s, found), text);
}

bool
krsi_kscan_int(krsi_kscan *s, int64_t low, int64_t high, int64_t *out)
{
    char found[KRSI_KWORD_TEXT];
    const char *at = s->word.start, *end = at + s->word.length;
    bool negative = at < end && *at == '-';
    uint64_t value = 0;
    at += negative;
    bool good = at < end;
    for (; good && at < end; at++)
        good = *at >= '0' && *at <= '9' &&
               !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
               !__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value);
    good = good && value <= (uint64_t)INT64_MAX + negative;
    int64_t result = (int64_t)(negative ? 0 - value : value);
    if (!good || result < low || result > high)
        return krsi_kscan_fail(
            s, "found %s, expected an integer from %lld to %lld",
            krsi_kscan_shown(s, found), (long long)low, (long long)high);
    *out = result;
    krsi_kscan_advance(s);
    return true;
}

static bool
dtype_of(const char *start, size_t length, uint8_t *out)
{
    char name[8];
    krs_dtype dtype;
    if (length >= sizeof name)
        return false;
    memcpy(name, start, length);
    name[length] = 0;
    if (!krs_dtype_parse(name, &dtype))
        return false;
    *out = (uint8_t)dtype;
    return true;
}

bool
krsi_kscan_dtype(krsi_kscan *s, uint8_t *out)
{
    char found[KRSI_KWORD_TEXT];
    if (!dtype_of(s->word.start, s->word.length, out))
        return krsi_kscan_fail(s, "found %s, expected an element type",
                               krsi_kscan_shown(s, found));
    krsi_kscan_advance(s);
    return true;
}

bool
krsi_kscan_float(krsi_kscan *s, uint64_t *out)
{
    char text[64], found[KRSI_KWORD_TEXT];
    const char *end = text;
    double value = 0;
    bool good = s->word.length > 0 && s->word.length < sizeof text;
    if (good) {
        memcpy(text, s->word.start, s->word.length);
        text[s->word.length] = 0;
        good = krsi_parse_double(text, &end, &value) && *end == 0;
    }
    if (!good || (isfinite(value) && fabs(value) > (double)FLT_MAX))
        return krsi_kscan_fail(s, "found %s, expected an f32",
                               krsi_kscan_shown(s, found));
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    *out = isnan(value) ? 0x7FC00000 : bits;
    krsi_kscan_advance(s);
    return true;
}

bool
krsi_kscan_typed_name(krsi_kscan *s, krsi_kword *name, krs_ktype *type)
{
    const char *colon = memchr(s->word.start, ':', s->word.length);
    if (!colon || colon - s->word.start < 2)
        return krsi_kscan_fail(s, "expected %%name:type");
    const char *end = s->word.start + s->word.length;
    const char *x = memchr(colon, 'x', (size_t)(end - colon));
    int lanes = 1;
    if (x) {
        lanes = 0;
        for (const char *at = x + 1; at < end; at++)
            lanes = lanes < 100 && *at >= '0' && *at <= '9'
                        ? lanes * 10 + (*at - '0')
                        : 255;
    }
    const char *type_end = x ? x : end;
    krs_ktype read = {0, (uint8_t)(lanes > 255 ? 255 : lanes)};
    if (!dtype_of(colon + 1, (size_t)(type_end - colon - 1), &read.dtype) ||
        !krsi_ktype_valid(read))
        return krsi_kscan_fail(
            s, "the type is none of a value: f32, i64x8 or the like, "
               "lanes a power of two up to 64");
    *name = (krsi_kword){s->word.start, (size_t)(colon - s->word.start)};
    *type = read;
    krsi_kscan_advance(s);
    return true;
}
