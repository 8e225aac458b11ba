/* parse_attr.c -- the attributes of a node in the text form.
 *
 * In: text that is not trusted, behind the operands of a node; the operation
 * and the type as written. Out: the words of the attributes, in the order of
 * the row in ops.def; or one sentence with line and column. One that the type
 * implies may be missing, so may an empty list.
 *
 * Lists are bounded by the rank; the data of a constant is kept as it is read
 * and never by the size that a type claims; krsi_words_valid has the last word
 * on all of them.
 */
#include "ir.h"

#include <string.h>

static krs_status
parse_ints(krsi_scan *s, krsi_words *words)
{
    int64_t value[KRS_MAX_RANK];
    int count = 0;
    KRS_TRY(krsi_scan_expect(s, "[", "a list is as [1,2]"));
    while (!krsi_scan_accept(s, "]")) {
        if (count == KRS_MAX_RANK)
            return krsi_scan_fail(s, s->at, "there is one an axis",
                                  "more than %d entries", KRS_MAX_RANK);
        if (count)
            KRS_TRY(krsi_scan_expect(s, ",",
                                     "entries stand between commas, then ']'"));
        KRS_TRY(krsi_scan_int(s, "an integer", &value[count]));
        count++;
    }
    krsi_put_ints(words, value, count);
    return KRS_OK;
}

static krs_status
parse_indices(krsi_scan *s, krsi_words *words)
{
    krs_index value[KRS_MAX_RANK];
    int count = 0;
    KRS_TRY(krsi_scan_expect(s, "[", "a list is as [pos+1, 0]"));
    while (!krsi_scan_accept(s, "]")) {
        if (count == KRS_MAX_RANK)
            return krsi_scan_fail(s, s->at, "there is one an axis",
                                  "more than %d entries", KRS_MAX_RANK);
        if (count)
            KRS_TRY(krsi_scan_expect(s, ",",
                                     "entries stand between commas, then ']'"));
        KRS_TRY(krsi_scan_index(s, &value[count]));
        count++;
    }
    krsi_put_indices(words, value, count);
    return KRS_OK;
}

static krs_status
parse_choice(krsi_scan *s, const krsi_attr *attr, krsi_words *words)
{
    char found[KRSI_HERE_TEXT];
    krsi_scan_blanks(s);
    const char *start = s->at;
    KRS_TRY(krsi_scan_word(s));
    const char *name = attr->names;
    for (int64_t i = 0;; i++) {
        size_t length = strcspn(name, "|}");
        if (length == s->word.length &&
            strncmp(name, s->word.text, length) == 0) {
            krsi_put_int(words, i);
            return KRS_OK;
        }
        name += length;
        if (*name != '|')
            break;
        name++;
    }
    s->at = start;
    return krsi_scan_fail(
        s, start, "write one of these words", "one of %.*s is expected, not %s",
        (int)strcspn(attr->names, "}"), attr->names, krsi_scan_here(s, found));
}

static krs_status
parse_hex(krsi_scan *s, size_t bytes)
{
    size_t n = 0;
    const char *start = s->at;
    KRS_TRY(krsi_scan_expect(s, "hex\"", "blocks are written hex\"00ff\""));
    for (; *s->at != '"'; s->at += 2, n++) {
        int high = krsi_scan_hex(s->at[0]);
        int low = high >= 0 ? krsi_scan_hex(s->at[1]) : -1;
        if (strncmp(s->at, "...", 3) == 0)
            return krsi_scan_fail(s, s->at, "print it with constant_limit -1",
                                  "the data was cut when it was printed");
        if (low < 0)
            return krsi_scan_fail(s, s->at, "close the data with '\"'",
                                  "two lower-case hex digits are expected");
        if (n == bytes)
            return krsi_scan_fail(s, s->at,
                                  "make the shape larger or the data shorter",
                                  "more than %zu bytes of data", bytes);
        if (!krsi_reserve(&s->data, &s->data_capacity, n + 1, 1))
            return krsi_scan_memory(s);
        s->data[n] = (unsigned char)(high * 16 + low);
    }
    if (n != bytes)
        return krsi_scan_fail(s, start, "two digits a byte",
                              "%zu bytes of data where the type has %zu", n,
                              bytes);
    s->at++;
    return KRS_OK;
}

static krs_status
parse_elements(krsi_scan *s, krs_dtype dtype, int64_t elements)
{
    size_t size = 1;
    int64_t n = 0;
    krs_dtype_bytes(dtype, 1, &size);
    krsi_scan_blanks(s);
    const char *start = s->at;
    KRS_TRY(krsi_scan_expect(s, "[", "data is written [1, 2]"));
    for (; !krsi_scan_accept(s, "]"); n++) {
        if (n)
            KRS_TRY(krsi_scan_expect(
                s, ",", "elements stand between commas, then ']'"));
        krsi_scan_blanks(s);
        if (strncmp(s->at, "...", 3) == 0)
            return krsi_scan_fail(s, s->at, "print it with constant_limit -1",
                                  "the data was cut when it was printed");
        if (n == elements)
            return krsi_scan_fail(
                s, s->at, "make the shape larger or the data shorter",
                "more than %lld elements", (long long)elements);
        if (!krsi_reserve(&s->data, &s->data_capacity, (size_t)(n + 1) * size,
                          1))
            return krsi_scan_memory(s);
        const char *number = s->at;
        double real;
        int64_t whole;
        bool truth;
        if (krs_dtype_is_float(dtype)) {
            KRS_TRY(krsi_scan_float(s, &real));
            krsi_store_double(dtype, s->data, (size_t)n, real);
        } else if (dtype == KRS_BOOL) {
            KRS_TRY(krsi_scan_bool(s, &truth));
            krsi_store_int(dtype, s->data, (size_t)n, truth);
        } else {
            KRS_TRY(krsi_scan_int(s, "an integer", &whole));
            krsi_store_int(dtype, s->data, (size_t)n, whole);
            if (krsi_load_int(dtype, s->data, (size_t)n) != whole)
                return krsi_scan_fail(s, number, "choose a wider type",
                                      "%lld does not fit in %s",
                                      (long long)whole, krs_dtype_name(dtype));
        }
    }
    if (n != elements)
        return krsi_scan_fail(s, start,
                              "as many elements as the sizes multiply to",
                              "%lld elements of data where the type has %lld",
                              (long long)n, (long long)elements);
    return KRS_OK;
}

static krs_status
parse_data(krsi_scan *s, const krsi_written_type *type, krsi_words *words)
{
    int64_t elements;
    size_t bytes;
    krsi_scan_blanks(s);
    const char *start = s->at;
    if (!krs_shape_elements(type->shape, &elements) ||
        !krs_dtype_bytes(type->dtype, elements, &bytes))
        return krsi_scan_fail(
            s, start, "make the shape smaller",
            "a constant of that type has no size in bytes: too "
            "large, or not whole blocks");
    if (krs_dtype_class_of(type->dtype) == KRS_CLASS_BLOCK)
        KRS_TRY(parse_hex(s, bytes));
    else
        KRS_TRY(parse_elements(s, type->dtype, elements));
    uint32_t blob =
        krsi_blob_add(s->graph, bytes ? (void *)s->data : "", bytes);
    if (blob == UINT32_MAX)
        return krsi_scan_memory(s);
    krsi_put_int(words, blob);
    return KRS_OK;
}

static krs_status
parse_value(krsi_scan *s, const krsi_attr *attr, const krsi_written_type *type,
            krsi_words *words)
{
    int64_t whole = 0;
    double real;
    bool truth;
    krs_dtype dtype;
    switch (attr->kind) {
    case 'i':
        KRS_TRY(krsi_scan_int(s, "an integer", &whole));
        krsi_put_int(words, whole);
        return KRS_OK;
    case 'f':
        KRS_TRY(krsi_scan_float(s, &real));
        krsi_put_float(words, real);
        return KRS_OK;
    case 'b':
        KRS_TRY(krsi_scan_bool(s, &truth));
        krsi_put_int(words, truth);
        return KRS_OK;
    case 'd':
        KRS_TRY(krsi_scan_dtype(s, &dtype));
        krsi_put_int(words, dtype);
        return KRS_OK;
    case 's': {
        KRS_TRY(krsi_scan_quoted(s));
        uint32_t string = krsi_intern(s->graph, s->word.text);
        if (string == UINT32_MAX)
            return krsi_scan_memory(s);
        krsi_put_int(words, string);
        return KRS_OK;
    }
    case 'I': return parse_ints(s, words);
    case 'X': return parse_indices(s, words);
    case 'e': return parse_choice(s, attr, words);
    case 'D': return parse_data(s, type, words);
    case 'G': return krsi_parse_body(s, words);
    }
    return krsi_scan_fail(s, s->at, "correct the row in ops.def",
                          "an attribute of unknown kind '%c'", attr->kind);
}

/* An attribute that is not written: what the type says, or an empty list. */
static bool
put_implied(const krsi_attr *attr, const krsi_written_type *type,
            krsi_words *words)
{
    if (attr->kind == 'd' && strcmp(attr->name, "dtype") == 0)
        krsi_put_int(words, type->dtype);
    else if (attr->kind == 'I' && strcmp(attr->name, "shape") == 0)
        krsi_put_ints(words, type->shape.dim, type->shape.rank);
    else if (attr->kind == 'I' || attr->kind == 'X')
        krsi_put_int(words, 0);
    else
        return false;
    return true;
}

krs_status
krsi_parse_attributes(krsi_scan *s, enum krsi_op op,
                      const krsi_written_type *type, krsi_words *words)
{
    char found[KRSI_HERE_TEXT];
    krsi_attr attr;
    const char *spec = krsi_ops[op].attributes;
    words->count = 0;
    while ((spec = krsi_attr_next(spec, &attr)) != NULL) {
        krsi_scan_blanks(s);
        size_t length = strlen(attr.name);
        if (strncmp(s->at, attr.name, length) == 0 && s->at[length] == '=') {
            s->at += length + 1;
            KRS_TRY(parse_value(s, &attr, type, words));
        } else if (!put_implied(&attr, type, words)) {
            return krsi_scan_fail(
                s, s->at, "attributes come in the order of the operation's row",
                "%s: '%s=' is expected, not %s", krsi_ops[op].name, attr.name,
                krsi_scan_here(s, found));
        }
    }
    if (!krsi_scan_line_end(s))
        return krsi_scan_fail(
            s, s->at,
            *krsi_ops[op].attributes
                ? "attributes come in the order of the operation's row"
                : "this operation has no attributes",
            "%s: the end of the line is expected, not %s", krsi_ops[op].name,
            krsi_scan_here(s, found));
    if (!krsi_words_valid(s->graph, op, words->word, words->count))
        return krsi_scan_fail(s, s->at, "compare with a printed graph",
                              "%s: attributes out of range", krsi_ops[op].name);
    return KRS_OK;
}
