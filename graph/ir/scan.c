/* scan.c -- the words of the text form: names, numbers, runtime integers.
 *
 * A scanner stands at a place of a text. Each function reads one thing and
 * moves on, or records what it met instead, with line and column, and gives
 * FORMAT. Nothing is read twice, so scanning is linear; line and column are
 * counted only when something is wrong.
 */
#include "ir.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void
record(krsi_scan *s, krs_status status, const char *where, const char *hint,
       const char *reason)
{
    int line = 1, column = 1;
    for (const char *c = s->text; c < where; c++) {
        bool continues = ((unsigned char)*c & 0xC0) == 0x80; /* UTF-8 */
        line += *c == '\n';
        column = *c == '\n' ? 1 : column + !continues;
    }
    krs_fail(s->err, status, "graph text, line %d, column %d: %s%s%s", line,
             column, reason, hint ? "; " : "", hint ? hint : "");
}

krs_status
krsi_scan_fail(krsi_scan *s, const char *where, const char *hint,
               const char *format, ...)
{
    krsi_string reason = {0};
    va_list args;
    va_start(args, format);
    krsi_string_vformat(&reason, format, args);
    va_end(args);
    record(s, KRS_E_FORMAT, where, hint, reason.failed ? "?" : reason.text);
    krsi_string_free(&reason);
    return KRS_E_FORMAT;
}

krs_status
krsi_scan_memory(krsi_scan *s)
{
    return krs_fail(s->err, KRS_E_MEMORY, "graph text, line %d: out of memory",
                    s->line);
}

krs_status
krsi_scan_refused(krsi_scan *s, const char *where)
{
    const krs_error *error = krs_graph_error(s->graph);
    if (!error || error->status == KRS_E_MEMORY)
        return krsi_scan_memory(s);
    record(s, error->status, where, NULL, error->text);
    return error->status;
}

void
krsi_scan_blanks(krsi_scan *s)
{
    while (*s->at == ' ' || *s->at == '\t' || *s->at == '\r')
        s->at++;
    if (*s->at == '#') {
        s->comment = s->at;
        s->at += strcspn(s->at, "\n");
    }
}

bool
krsi_scan_line_end(krsi_scan *s)
{
    krsi_scan_blanks(s);
    return *s->at == '\n' || *s->at == 0;
}

/* What stands here, for messages: at most 24 bytes of this line. */
const char *
krsi_scan_here(const krsi_scan *s, char text[KRSI_HERE_TEXT])
{
    if (*s->at == 0)
        return "the end of the text";
    if (*s->at == '\n')
        return "the end of the line";
    size_t n = 0;
    text[0] = '\'';
    while (n < 24 && (unsigned char)s->at[n] > ' ' && s->at[n] != 0x7F &&
           (n == 0 || !strchr(",]=\"[<", s->at[n])))
        n++;
    while (n > 1 && ((unsigned char)s->at[n] & 0xC0) == 0x80)
        n--; /* a whole character */
    if (n == 0)
        return "a control character";
    memcpy(text + 1, s->at, n);
    memcpy(text + 1 + n, "'", 2);
    return text;
}

krs_status
krsi_scan_expect(krsi_scan *s, const char *token, const char *hint)
{
    char found[KRSI_HERE_TEXT];
    krsi_scan_blanks(s);
    size_t length = strlen(token);
    if (strncmp(s->at, token, length) != 0)
        return krsi_scan_fail(s, s->at, hint, "'%s' is expected, not %s", token,
                              krsi_scan_here(s, found));
    s->at += length;
    return KRS_OK;
}

bool
krsi_scan_accept(krsi_scan *s, const char *token)
{
    krsi_scan_blanks(s);
    size_t length = strlen(token);
    if (strncmp(s->at, token, length) != 0)
        return false;
    s->at += length;
    return true;
}

static krs_status
keep_word(krsi_scan *s, const char *from, size_t length)
{
    s->word.length = 0;
    krsi_string_add_bytes(&s->word, from, length);
    return s->word.failed ? krsi_scan_memory(s) : KRS_OK;
}

/* a plain name into s->word; "" if there is none */
krs_status
krsi_scan_word(krsi_scan *s)
{
    krsi_scan_blanks(s);
    unsigned char first = (unsigned char)*s->at;
    bool starts = first == '_' || (first < 128 && isalpha(first));
    size_t length = starts ? strspn(s->at, KRSI_WORD_BYTES) : 0;
    KRS_TRY(keep_word(s, s->at, length));
    s->at += length;
    return KRS_OK;
}

int
krsi_scan_hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* "..." into s->word, unescaped */
krs_status
krsi_scan_quoted(krsi_scan *s)
{
    const char *start = s->at;
    KRS_TRY(krsi_scan_expect(s, "\"", "names are written in quotes"));
    KRS_TRY(keep_word(s, "", 0));
    for (;;) {
        size_t plain = 0;
        while ((unsigned char)s->at[plain] >= 0x20 && s->at[plain] != 0x7F &&
               s->at[plain] != '"' && s->at[plain] != '\\')
            plain++;
        krsi_string_add_bytes(&s->word, s->at, plain);
        s->at += plain;
        char c = *s->at;
        if (c == '"')
            break;
        if (c == 0 || c == '\n')
            return krsi_scan_fail(s, start,
                                  "close it with '\"' on the same line",
                                  "the quoted name does not end");
        if (c != '\\')
            return krsi_scan_fail(s, s->at, "write it as \\xHH",
                                  "byte 0x%02x in a quoted name",
                                  (unsigned char)c);
        c = s->at[1];
        int high = c == 'x' ? krsi_scan_hex(s->at[2]) : -1;
        int low = high >= 0 ? krsi_scan_hex(s->at[3]) : -1;
        char byte = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        if (c == 'x') {
            byte = (char)(high * 16 + low);
            if (low < 0 || byte == 0)
                return krsi_scan_fail(s, s->at,
                                      "two lower-case hex digits, not 00",
                                      "a bad \\x escape");
        } else if (!c || !strchr("nt\"\\", c))
            return krsi_scan_fail(s, s->at,
                                  "the escapes are \\\" \\\\ \\n \\t and \\xHH",
                                  "an unknown escape");
        krsi_string_add_bytes(&s->word, &byte, 1);
        s->at += c == 'x' ? 4 : 2;
    }
    s->at++;
    return s->word.failed ? krsi_scan_memory(s) : KRS_OK;
}

/* a name: plain or quoted */
krs_status
krsi_scan_name(krsi_scan *s, const char *what)
{
    char found[KRSI_HERE_TEXT];
    krsi_scan_blanks(s);
    if (*s->at == '"')
        return krsi_scan_quoted(s);
    KRS_TRY(krsi_scan_word(s));
    if (!s->word.length)
        return krsi_scan_fail(
            s, s->at, "names begin with a letter, or are quoted",
            "%s is expected, not %s", what, krsi_scan_here(s, found));
    return KRS_OK;
}

/* digits as a number, kept negative so that the least one fits */
static krs_status
digits(krsi_scan *s, bool negative, int64_t *out)
{
    const char *start = s->at;
    int64_t value = 0;
    for (; isdigit((unsigned char)*s->at); s->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *s->at - '0', &value))
            return krsi_scan_fail(s, start, "numbers lie in -2^63..2^63-1",
                                  "the number does not fit in 64 bits");
    if (!negative && __builtin_sub_overflow(0, value, &value))
        return krsi_scan_fail(s, start, "numbers lie in -2^63..2^63-1",
                              "the number does not fit in 64 bits");
    *out = value;
    return KRS_OK;
}

krs_status
krsi_scan_int(krsi_scan *s, const char *what, int64_t *out)
{
    char found[KRSI_HERE_TEXT];
    krsi_scan_blanks(s);
    bool negative = *s->at == '-';
    if (!isdigit((unsigned char)s->at[negative]))
        return krsi_scan_fail(s, s->at, "as 3 or -3", "%s is expected, not %s",
                              what, krsi_scan_here(s, found));
    s->at += negative;
    return digits(s, negative, out);
}

krs_status
krsi_scan_float(krsi_scan *s, double *out)
{
    char found[KRSI_HERE_TEXT];
    krsi_scan_blanks(s);
    if (!krsi_parse_double(s->at, &s->at, out))
        return krsi_scan_fail(s, s->at, "as 1.5, -2e-3, nan, inf or -inf",
                              "a number is expected, not %s",
                              krsi_scan_here(s, found));
    return KRS_OK;
}

krs_status
krsi_scan_bool(krsi_scan *s, bool *out)
{
    char found[KRSI_HERE_TEXT];
    krsi_scan_blanks(s);
    const char *start = s->at;
    KRS_TRY(krsi_scan_word(s));
    *out = strcmp(s->word.text, "true") == 0;
    if (*out || strcmp(s->word.text, "false") == 0)
        return KRS_OK;
    s->at = start;
    return krsi_scan_fail(s, start, "write the word",
                          "true or false is expected, not %s",
                          krsi_scan_here(s, found));
}

krs_status
krsi_scan_dtype(krsi_scan *s, krs_dtype *out)
{
    char found[KRSI_HERE_TEXT];
    krsi_scan_blanks(s);
    const char *start = s->at;
    KRS_TRY(krsi_scan_word(s));
    if (krs_dtype_parse(s->word.text, out))
        return KRS_OK;
    s->at = start;
    return krsi_scan_fail(s, start, "as f32, i64 or bool",
                          "an element type is expected, not %s",
                          krsi_scan_here(s, found));
}

/* add a term: coefficient * variable, or a constant */
static krs_status
term(krsi_scan *s, bool minus, krs_index *sum)
{
    char found[KRSI_HERE_TEXT];
    krs_index unit = KRS_INDEX(1);
    int64_t number = minus ? -1 : 1;
    krsi_scan_blanks(s);
    bool has_number = isdigit((unsigned char)*s->at);
    if (has_number)
        KRS_TRY(digits(s, minus, &number));
    if (!has_number || krsi_scan_accept(s, "*")) {
        krsi_scan_blanks(s);
        const char *start = s->at;
        KRS_TRY(krsi_scan_name(s, "a variable or an integer"));
        int32_t var = krsi_var_by_name(s->graph, s->word.text);
        if (var < 0) {
            s->at = start;
            return krsi_scan_fail(
                s, start, "declare it with `var name low high`",
                "no runtime integer is called %s", krsi_scan_here(s, found));
        }
        unit = (krs_index){0, 1, {var}, {1}};
    }
    *sum = krs_index_plus(*sum, krs_index_times(unit, number));
    return KRS_OK;
}

krs_status
krsi_scan_index(krsi_scan *s, krs_index *out)
{
    int64_t low, high;
    krsi_scan_blanks(s);
    const char *start = s->at;
    *out = KRS_INDEX(0);
    KRS_TRY(term(s, krsi_scan_accept(s, "-"), out));
    while (true) {
        bool minus = krsi_scan_accept(s, "-");
        if (!minus && !krsi_scan_accept(s, "+"))
            break;
        KRS_TRY(term(s, minus, out));
    }
    if (!krsi_index_bounds(s->graph, *out, &low, &high))
        return krsi_scan_fail(
            s, start, "simplify it",
            "the runtime integer overflows, or has more than %d "
            "variables",
            KRS_INDEX_TERMS);
    return KRS_OK;
}
