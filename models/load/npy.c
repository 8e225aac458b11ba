/* npy.c -- the header of a NumPy array, read and written.
 *
 *     6 bytes       0x93 "NUMPY"
 *     2 bytes       version: 1.0, 2.0 or 3.0
 *     u16 or u32    bytes of the text (u16 in version 1.0)
 *     text          {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
 *                   with spaces and a newline to a multiple of 64
 *     data          row-major
 *
 * In: the first bytes. Out: type, shape and size, checked. The text is a
 * Python literal; what is read of it is that dictionary with these three keys
 * in any order and nothing else.
 *
 * Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Not
 * read: objects (they are programs), records, big-endian values, arrays of two
 * or more dimensions that lie columns first.
 */
#include "npy_file.h"

#include "stored.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The one list of types: NAME in krs_stored, descr. */
#define NPY_LIST(X) \
    X(F64, "<f8")   \
    X(F32, "<f4")   \
    X(F16, "<f2")   \
    X(I64, "<i8")   \
    X(I32, "<i4")   \
    X(I16, "<i2")   \
    X(I8, "|i1")    \
    X(U64, "<u8")   \
    X(U32, "<u4")   \
    X(U16, "<u2")   \
    X(U8, "|u1")    \
    X(BOOL, "|b1")  \
    X(C64, "<c8")

static const struct {
    krs_stored stored;
    const char *descr;
} types[] = {
#define ROW(NAME, descr) {KRS_STORED_##NAME, descr},
    NPY_LIST(ROW)
#undef ROW
};

static const char mark[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

/* The text, and how much of it is read. */
typedef struct reader {
    const char *place;
    const char *text; /* zero-terminated */
    const char *at;
    size_t text_at; /* offset of text in the array's bytes */
    krs_error *err;
} reader;

static krs_status
expected(const reader *r, const char *what)
{
    return krs_fail(r->err, KRS_E_FORMAT, "%s: offset %zu: expected %s",
                    r->place, r->text_at + (size_t)(r->at - r->text), what);
}

/* Is the next word this one? Spaces before it are passed over. */
static bool
take(reader *r, const char *word)
{
    size_t n = strlen(word);
    r->at += strspn(r->at, " ");
    if (strncmp(r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

static krs_status
take_descr(reader *r, krs_weight *w)
{
    char quoted[48], word[24] = "";
    const char *begin = r->at + strspn(r->at, " ");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        snprintf(word, sizeof word, "'%s'", types[i].descr);
        if (take(r, word)) {
            w->stored = types[i].stored;
            return KRS_OK;
        }
    }
    snprintf(word, sizeof word, "%.20s", begin);
    if (*begin == '\'' && strchr(begin + 1, '\''))
        word[strcspn(word + 1, "'") + 1] = 0;
    return krs_fail(
        r->err, KRS_E_UNSUPPORTED,
        "%s: offset %zu: the type %s is not read; numbers in "
        "little-endian order and bool are",
        r->place, r->text_at + (size_t)(begin - r->text),
        krsi_json_quote(word + (*word == '\''), quoted, sizeof quoted));
}

static krs_status
take_size(reader *r, int64_t *out)
{
    int64_t size = 0;
    r->at += strspn(r->at, " ");
    if (*r->at < '0' || *r->at > '9')
        return expected(r, "a size");
    for (; *r->at >= '0' && *r->at <= '9'; r->at++)
        if (__builtin_mul_overflow(size, 10, &size) ||
            __builtin_add_overflow(size, *r->at - '0', &size))
            return expected(r, "a size below 2^63");
    *out = size;
    return KRS_OK;
}

static krs_status
take_shape(reader *r, krs_weight *w)
{
    if (!take(r, "("))
        return expected(r, "'(' and the sizes");
    w->rank = 0;
    while (!take(r, ")")) {
        if (w->rank == KRS_WEIGHT_RANK)
            return expected(r, "at most 8 sizes");
        KRS_TRY(take_size(r, &w->shape[w->rank++]));
        if (!take(r, ",") && *(r->at + strspn(r->at, " ")) != ')')
            return expected(r, "',' or ')'");
    }
    return KRS_OK;
}

/* Descr, order and shape; each once. */
static krs_status
take_members(reader *r, krs_weight *w, bool *columns_first)
{
    bool descr = false, order = false, shape = false;
    if (!take(r, "{"))
        return expected(r, "'{'");
    while (!take(r, "}")) {
        if (!descr && take(r, "'descr':")) {
            descr = true;
            KRS_TRY(take_descr(r, w));
        } else if (!order && take(r, "'fortran_order':")) {
            order = true;
            *columns_first = take(r, "True");
            if (!*columns_first && !take(r, "False"))
                return expected(r, "True or False");
        } else if (!shape && take(r, "'shape':")) {
            shape = true;
            KRS_TRY(take_shape(r, w));
        } else {
            return expected(r, "'descr', 'fortran_order' or 'shape', each "
                               "once");
        }
        if (!take(r, ",") && *(r->at + strspn(r->at, " ")) != '}')
            return expected(r, "',' or '}'");
    }
    if (!descr || !order || !shape)
        return expected(r, "all of 'descr', 'fortran_order' and 'shape'");
    r->at += strspn(r->at, " ");
    if (*r->at == '\n')
        r->at++;
    return *r->at == 0 ? KRS_OK : expected(r, "the end of the header");
}

static krs_status
count(const char *place, size_t at, krs_weight *w, krs_error *err)
{
    w->count = 1;
    for (int i = 0; i < w->rank; i++)
        if (__builtin_mul_overflow(w->count, w->shape[i], &w->count))
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: offset %zu: the array has more than 2^63 "
                            "elements",
                            place, at);
    if (__builtin_mul_overflow((uint64_t)w->count, krs_stored_bytes(w->stored),
                               &w->bytes) ||
        w->bytes > INT64_MAX)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: offset %zu: the array has more than 2^63 bytes",
                        place, at);
    return KRS_OK;
}

static krs_status
read_lengths(const char *place, const char *begin, size_t bytes,
             size_t *text_at, size_t *text_bytes, krs_error *err)
{
    if (bytes < 12 || memcmp(begin, mark, sizeof mark) != 0)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: offset 0: an array begins with \\x93NUMPY and a "
                        "header",
                        place);
    int version = (unsigned char)begin[6], minor = (unsigned char)begin[7];
    uint32_t length = 0;
    if (version < 1 || version > 3 || minor != 0)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: offset 6: version %d.%d; 1.0, 2.0 and 3.0 are "
                        "read",
                        place, version, minor);
    *text_at = version == 1 ? 10 : 12;
    memcpy(&length, begin + 8, *text_at - 8);
    *text_bytes = length;
    if (length > bytes - *text_at)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: offset 8: the header is said to be %" PRIu32
                        " bytes long, %s",
                        place, length,
                        bytes < KRSI_NPY_BYTES
                            ? "which is more than follow; the file may have "
                              "been cut short"
                            : "more than an honest one needs");
    return KRS_OK;
}

krs_status
krsi_npy_parse(const char *place, const char *begin, size_t bytes,
               krs_weight *weight, size_t *used, krs_error *err)
{
    size_t text_at = 0, text_bytes = 0;
    char text[KRSI_NPY_BYTES];
    bool columns_first = false;
    KRS_TRY(read_lengths(place, begin,
                         bytes < KRSI_NPY_BYTES ? bytes : KRSI_NPY_BYTES,
                         &text_at, &text_bytes, err));
    memcpy(text, begin + text_at, text_bytes);
    text[text_bytes] = 0;
    reader r = {place, text, text, text_at, err};
    KRS_TRY(take_members(&r, weight, &columns_first));
    if (strlen(text) != text_bytes)
        return expected(&r, "no NUL character");
    if (columns_first && weight->rank > 1)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: offset %zu: the array lies columns first "
                        "(fortran_order); save numpy.ascontiguousarray of it",
                        place, text_at);
    *used = text_at + text_bytes;
    return count(place, text_at, weight, err);
}

/* NULL if NumPy has no such type */
static const char *
find_descr(krs_stored stored)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].stored == stored)
            return types[i].descr;
    return NULL;
}

bool
krsi_npy_has(krs_stored stored)
{
    return find_descr(stored) != NULL;
}

bool
krsi_npy_print(const krs_weight *weight, char text[KRSI_NPY_WRITTEN],
               size_t *used)
{
    const char *descr = find_descr(weight->stored);
    if (!descr)
        return false;
    memset(text, ' ', KRSI_NPY_WRITTEN);
    memcpy(text, mark, sizeof mark);
    text[6] = 1;
    text[7] = 0;
    char *at = text + 10;
    at += snprintf(at, 80, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                   descr);
    for (int i = 0; i < weight->rank; i++)
        at += snprintf(at, 24, i > 0 ? " %" PRId64 "," : "%" PRId64 ",",
                       weight->shape[i]);
    if (weight->rank > 1)
        at--; /* NumPy has a comma behind the size of one dimension alone */
    at += snprintf(at, 8, "), }");
    *at = ' ';
    *used = ((size_t)(at - text) + 1 + 63) / 64 * 64;
    text[*used - 1] = '\n';
    uint16_t length = (uint16_t)(*used - 10);
    memcpy(text + 8, &length, sizeof length);
    return true;
}
