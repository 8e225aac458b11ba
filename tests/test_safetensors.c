/* test_safetensors.c -- reading safetensors files: honest, sharded, hostile.
 *
 * Every refusal is checked with its whole sentence (after the path of the
 * folder): a check that only sees "failed" would pass for another reason.
 */
#include <krs/weights.h>

#include "suite.h"
#include "temp_folder.h"

#include <inttypes.h>
#include <sys/stat.h>

static krs_error err;

/* A file with that header, of that stated length, and that much data. */
static void
make_file(const char *name, uint64_t stated, const char *header,
          size_t header_bytes, const void *data, size_t data_bytes)
{
    char *bytes = malloc(8 + header_bytes + data_bytes + 1);
    memcpy(bytes, &stated, 8);
    memcpy(bytes + 8, header, header_bytes);
    if (data)
        memcpy(bytes + 8 + header_bytes, data, data_bytes);
    else
        memset(bytes + 8 + header_bytes, 0, data_bytes);
    write_file(name, bytes, 8 + header_bytes + data_bytes);
    free(bytes);
}

static void
make(const char *name, const char *header, size_t data_bytes)
{
    make_file(name, strlen(header), header, strlen(header), NULL, data_bytes);
}

static krs_weights *
opened(const char *name)
{
    krs_weights *w = NULL;
    krs_status status = krs_weights_open(temp_path(name), &w, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return w;
}

/* The text without the folder, which changes from run to run. */
static const char *
without_folder(const char *text)
{
    static char out[KRS_ERROR_TEXT];
    size_t n = strlen(temp_folder()) + 1, used = 0;
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s/", temp_folder());
    while (*text) {
        if (strncmp(text, prefix, n) == 0)
            text += n;
        else
            out[used++] = *text++;
    }
    out[used] = 0;
    return out;
}

static void
assert_refused(const char *name, krs_status status, const char *sentence)
{
    krs_weights *w = NULL;
    memset(&err, 0, sizeof err);
    krs_status got = krs_weights_open(temp_path(name), &w, &err);
    ck_assert_ptr_null(w);
    ck_assert_str_eq(without_folder(err.text), sentence);
    ck_assert_int_eq(got, status);
    ck_assert_int_eq(err.status, status);
}

static void
header_refused(const char *header, size_t data_bytes, const char *sentence)
{
    make("x", header, data_bytes);
    assert_refused("x", KRS_E_FORMAT, sentence);
}

#define ENTRY(name, dtype, shape, begin, end)                \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape \
    ",\"data_offsets\":[" #begin "," #end "]}"

START_TEST(a_file_is_listed_in_the_order_of_names)
{
    make("x",
         "{\"__metadata__\":{\"format\":\"pt\",\"by\":\"us\"}," ENTRY(
             "b", "F32", "[2,3]", 0,
             24) "," ENTRY("a", "I64", "[]", 24,
                           32) "," ENTRY("c", "BF16", "[0,7]", 32, 32) "}   ",
         32);
    krs_weights *w = opened("x");
    ck_assert_uint_eq(krs_weights_count(w), 3);
    const krs_weight *t = krs_weights_at(w, 1);
    ck_assert_str_eq(t->name, "b");
    ck_assert_int_eq(t->stored, KRS_STORED_F32);
    ck_assert_int_eq(t->rank, 2);
    ck_assert_int_eq(t->shape[0], 2);
    ck_assert_int_eq(t->shape[1], 3);
    ck_assert_int_eq(t->count, 6);
    ck_assert_uint_eq(t->bytes, 24);
    ck_assert_str_eq(t->file, temp_path("x"));
    ck_assert_int_eq(krs_weights_at(w, 0)->count, 1);
    ck_assert_int_eq(krs_weights_at(w, 2)->count, 0);
    ck_assert_ptr_null(krs_weights_at(w, 3));
    ck_assert_int_eq(krs_weights_find(w, "c"), 2);
    ck_assert_int_eq(krs_weights_find(w, "d"), -1);
    ck_assert_str_eq(krs_weights_note_at(w, 0)->key, "by");
    ck_assert_str_eq(krs_weights_note_find(w, "format"), "pt");
    ck_assert_ptr_null(krs_weights_note_find(w, "x"));
    ck_assert_ptr_null(krs_weights_note_at(w, 2));
    ck_assert_int_eq(krs_weights_read(w, 2, KRS_F32, NULL, 0, &err), KRS_OK);
    krs_weights_close(w);

    make("x", "{}", 0);
    w = opened("x");
    ck_assert_uint_eq(krs_weights_count(w), 0);
    ck_assert_int_eq(krs_weights_find(w, "a"), -1);
    krs_weights_close(w);
}
END_TEST

START_TEST(hostile_header_lengths_are_refused)
{
    write_file("x", "1234567", 7);
    assert_refused("x", KRS_E_FORMAT,
                   "x: is 7 bytes long, a safetensors file begins with an "
                   "8-byte header length; it may have been cut short");
    make_file("x", 100000001, "{}", 2, NULL, 0);
    assert_refused("x", KRS_E_FORMAT,
                   "x: offset 0: the header is said to be 100000001 bytes "
                   "long, at most 100000000 are allowed; this may not be a "
                   "safetensors file");
    make_file("x", UINT64_MAX, "{}", 2, NULL, 0);
    assert_refused("x", KRS_E_FORMAT,
                   "x: offset 0: the header is said to be "
                   "18446744073709551615 bytes long, at most 100000000 are "
                   "allowed; this may not be a safetensors file");
    make_file("x", 3, "{}", 2, NULL, 0);
    assert_refused("x", KRS_E_FORMAT,
                   "x: offset 0: the header is said to be 3 bytes long, only "
                   "2 bytes follow; the file may have been cut short");
    make_file("x", 0, "", 0, NULL, 0);
    assert_refused("x", KRS_E_FORMAT,
                   "x: offset 8: the header must begin with '{'; this may "
                   "not be a safetensors file");
}
END_TEST

START_TEST(headers_that_are_not_clean_json_are_refused)
{
    header_refused("[1,2,3]", 0,
                   "x: offset 8: the header must begin with '{'; this may "
                   "not be a safetensors file");
    header_refused("{\"a\":}", 0,
                   "x: header: line 1, byte 6: not JSON: unexpected token "
                   "near '}'");
    header_refused(
        "{" ENTRY("a", "U8", "[1]", 0, 1) "," ENTRY("a", "U8", "[1]", 1, 2) "}",
        2,
        "x: header: line 1, byte 56: a key occurs twice in one "
        "object, near '\"a\"'");
    header_refused("{" ENTRY("a\\u0000b", "U8", "[1]", 0, 1) "}", 1,
                   "x: header: line 1, byte 11: NUL character in a string; "
                   "names cannot hold one");
    header_refused("{" ENTRY("a\xC0\xAF", "U8", "[1]", 0, 1) "}", 1,
                   "x: header: line 1, byte 3: not valid UTF-8");
    make_file("x", 9, "{\"a\0b\":1}", 9, NULL, 0);
    assert_refused("x", KRS_E_FORMAT,
                   "x: header: line 1, byte 3: not JSON: control character "
                   "0x0 near '\"a'");
    header_refused("{\"a\":7}", 0,
                   "x: header: $.a: expected an object, found 7");
    header_refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                   "x: header: $.a.dtype: is missing");
    header_refused("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1,
                   "x: header: $.a.shape: is missing");
    header_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1,
                   "x: header: $.a.data_offsets: is missing");
    header_refused("{\"__metadata__\":{\"a\":1}}", 0,
                   "x: header: $.__metadata__.a: expected a string, found 1");
    header_refused("{\"__metadata__\":[]}", 0,
                   "x: header: $.__metadata__: expected an object of "
                   "strings");
}
END_TEST

START_TEST(hostile_types_and_shapes_are_refused)
{
    header_refused("{" ENTRY("a", "F4", "[2]", 0, 1) "}", 1,
                   "x: header: $.a: unknown dtype \"F4\"; known are F64, F32, "
                   "F16, BF16, F8_E4M3, F8_E5M2, F8_E8M0, I64, I32, I16, I8, "
                   "U64, U32, U16, U8, BOOL, C64");
    header_refused("{" ENTRY("a", "\\u001b[2J", "[2]", 0, 1) "}", 1,
                   "x: header: $.a: unknown dtype \"\\x1b[2J\"; known are "
                   "F64, F32, F16, BF16, F8_E4M3, F8_E5M2, F8_E8M0, I64, I32, "
                   "I16, I8, U64, U32, U16, U8, BOOL, C64");
    header_refused("{" ENTRY("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1,
                   "x: header: $.a.shape: has 9 dimensions, at most 8 are "
                   "supported");
    header_refused("{" ENTRY("m.w", "F32", "[2,-3]", 0, 24) "}", 24,
                   "x: header: $[\"m.w\"].shape[1]: expected a whole number "
                   ">= 0, found -3");
    header_refused("{" ENTRY("a", "F32", "[1.5]", 0, 6) "}", 6,
                   "x: header: $.a.shape[0]: expected a whole number >= 0, "
                   "found 1.5");
    header_refused("{" ENTRY("a", "F32", "[\"1\"]", 0, 4) "}", 4,
                   "x: header: $.a.shape[0]: expected a whole number >= 0, "
                   "found \"1\"");
    header_refused("{" ENTRY("a", "F32", "[4294967296,4294967296]", 0, 0) "}",
                   0,
                   "x: header: $.a.shape: F32[4294967296,4294967296] has "
                   "more than 2^63 bytes");
    header_refused("{" ENTRY("a", "F32", "[4611686018427387904]", 0, 0) "}", 0,
                   "x: header: $.a.shape: F32[4611686018427387904] has more "
                   "than 2^63 bytes");
    header_refused("{" ENTRY("a", "F32", "[18446744073709551617]", 0, 4) "}", 4,
                   "x: header: line 1, byte 49: a number is too large to be "
                   "represented");
}
END_TEST

START_TEST(hostile_offsets_are_refused)
{
    header_refused("{" ENTRY("a", "F32", "[2]", 0, 4) "}", 4,
                   "x: header: $.a.data_offsets: holds 4 bytes, but F32[2] "
                   "needs 8");
    header_refused("{" ENTRY("a", "F32", "[2]", 8, 0) "}", 8,
                   "x: header: $.a.data_offsets: begin 8 is after end 0");
    header_refused("{" ENTRY("a", "F32", "[2]", 0, 8) "}", 7,
                   "x: header: $.a.data_offsets: end 8 lies outside the file, "
                   "which has 7 bytes of data; it may have been cut short");
    header_refused("{" ENTRY("a", "U8", "[1]", -1, 0) "}", 8,
                   "x: header: $.a.data_offsets[0]: expected a whole number "
                   ">= 0, found -1");
    header_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],"
                   "\"data_offsets\":[0,1,2]}}",
                   1,
                   "x: header: $.a.data_offsets: expected [begin, end], "
                   "found 3 items");
    header_refused(
        "{" ENTRY("a", "U8", "[4]", 0, 4) "," ENTRY("b", "U8", "[4]", 3, 7) "}",
        7,
        "x: offset 116: tensor \"b\" overlaps tensor \"a\", which "
        "ends at offset 117");
    header_refused("{" ENTRY("a", "U8", "[4]", 0, 4) "," ENTRY("b", "U8", "[4]",
                                                               6, 10) "}",
                   10,
                   "x: offset 118: a gap of 2 bytes that belong to no tensor "
                   "lies before tensor \"b\"");
    header_refused("{" ENTRY("a", "U8", "[4]", 0, 4) "}", 9,
                   "x: offset 65: 5 bytes follow the last tensor; the file "
                   "may have been appended to");
    header_refused(
        "{" ENTRY("a", "U8", "[0]", 2, 2) "," ENTRY("b", "U8", "[4]", 0, 4) "}",
        4,
        "x: offset 115: tensor \"a\" overlaps tensor \"b\", which "
        "ends at offset 117");
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused)
{
    assert_refused("gone", KRS_E_IO,
                   "gone: cannot open: No such file or directory");
    ck_assert_int_eq(mkfifo(temp_path("pipe"), 0600), 0);
    assert_refused("pipe", KRS_E_IO,
                   "pipe: is a pipe, socket or device, expected a regular "
                   "file; copy the data to a file first");
    krs_weights *w;
    ck_assert_int_eq(krs_weights_open(temp_folder(), &w, &err), KRS_E_IO);
    ck_assert_ptr_nonnull(
        strstr(err.text, ": holds neither model.safetensors nor "
                         "model.safetensors.index.json; weights in another "
                         "format must be converted first"));
}
END_TEST

START_TEST(a_file_cut_while_it_is_open_gives_an_error_and_no_signal)
{
    float out[2] = {0};
    make("x", "{" ENTRY("a", "F32", "[2]", 0, 8) "}", 8);
    krs_weights *w = opened("x");
    ck_assert_int_eq(krs_weights_read(w, 0, KRS_F32, out, 8, &err), KRS_OK);
    ck_assert_int_eq(truncate(temp_path("x"), 67), 0);
    ck_assert_int_eq(krs_weights_read(w, 0, KRS_F32, out, 8, &err), KRS_E_IO);
    ck_assert_str_eq(without_folder(err.text),
                     "x: truncated while being read: 8 bytes at offset 62 "
                     "were wanted, the file ends at offset 67; it was 70 "
                     "bytes long when opened: copy it again");
    krs_weights_close(w);
}
END_TEST

START_TEST(reads_name_what_does_not_fit)
{
    int64_t wide[2] = {7, 300};
    char out[16];
    const char *header = "{" ENTRY("n", "I64", "[2]", 0, 16) "}";
    make_file("x", strlen(header), header, strlen(header), wide, 16);
    krs_weights *w = opened("x");
    ck_assert_int_eq(krs_weights_read(w, 0, KRS_U8, out, 2, &err), KRS_E_RANGE);
    ck_assert_str_eq(without_folder(err.text),
                     "x: read: tensor \"n\": element 1 is 300, which does not "
                     "fit in u8; read it as a wider type");
    ck_assert_int_eq(krs_weights_read(w, 0, KRS_F32, out, 7, &err),
                     KRS_E_ARGUMENT);
    ck_assert_str_eq(without_folder(err.text),
                     "x: read: tensor \"n\" is I64[2], 2 elements as f32 need "
                     "8 bytes, the buffer has 7");
    ck_assert_int_eq(krs_weights_read(w, 0, KRS_Q8_0, out, 8, &err),
                     KRS_E_DTYPE);
    ck_assert_str_eq(without_folder(err.text),
                     "x: read: tensor \"n\" is I64[2], there is no conversion "
                     "to q8_0");
    ck_assert_int_eq(krs_weights_read(w, 1, KRS_F32, out, 8, &err),
                     KRS_E_ARGUMENT);
    ck_assert_str_eq(without_folder(err.text),
                     "x: read: tensor 1 of 1 does not exist");
    ck_assert_int_eq(krs_weights_read_part(w, 0, 1, 2, KRS_I64, out, 16, &err),
                     KRS_E_ARGUMENT);
    ck_assert_str_eq(without_folder(err.text),
                     "x: read: tensor \"n\" is I64[2], it has no elements 1 "
                     "to 3");
    ck_assert_int_eq(krs_weights_read_part(w, 0, INT64_MAX, INT64_MAX, KRS_I64,
                                           out, 16, &err),
                     KRS_E_ARGUMENT);
    int64_t second = 0;
    ck_assert_int_eq(
        krs_weights_read_part(w, 0, 1, 1, KRS_I64, &second, 8, &err), KRS_OK);
    ck_assert_int_eq(second, 300);
    krs_weights_close(w);
}
END_TEST

#define PART1 "model-1.safetensors"
#define PART2 "model-2.safetensors"

static void
make_index(const char *map)
{
    char text[600];
    int n =
        snprintf(text, sizeof text,
                 "{\"metadata\":{\"total_size\":8},\"weight_map\":%s}", map);
    write_file("model.safetensors.index.json", text, (size_t)n);
}

static void
folder_refused(const char *map, const char *sentence)
{
    krs_weights *w = NULL;
    make_index(map);
    ck_assert_int_eq(krs_weights_open(temp_folder(), &w, &err), KRS_E_FORMAT);
    ck_assert_str_eq(without_folder(err.text), sentence);
}

START_TEST(shards_are_read_as_one_model)
{
    make(PART1,
         "{\"__metadata__\":{\"k\":\"1\"}," ENTRY("b", "U8", "[4]", 0, 4) "}",
         4);
    make(PART2,
         "{\"__metadata__\":{\"k\":\"2\",\"a\":\"3\"}," ENTRY(
             "a", "U8", "[2]", 0, 2) "," ENTRY("c", "U8", "[2]", 2, 4) "}",
         4);
    make_index("{\"a\":\"" PART2 "\",\"b\":\"" PART1 "\",\"c\":\"" PART2 "\"}");
    krs_weights *w = NULL;
    for (int round = 0; round < 2; round++) {
        const char *path =
            round ? temp_path("model.safetensors.index.json") : temp_folder();
        ck_assert_int_eq(krs_weights_open(path, &w, &err), KRS_OK);
        ck_assert_uint_eq(krs_weights_count(w), 3);
        ck_assert_str_eq(krs_weights_at(w, 0)->name, "a");
        ck_assert_str_eq(krs_weights_at(w, 0)->file, temp_path(PART2));
        ck_assert_str_eq(krs_weights_at(w, 1)->file, temp_path(PART1));
        ck_assert_str_eq(krs_weights_note_find(w, "k"), "1");
        ck_assert_str_eq(krs_weights_note_at(w, 0)->key, "a");
        ck_assert_ptr_null(krs_weights_note_at(w, 2));
        krs_weights_close(w);
    }
    /* a single file goes before the index */
    make("model.safetensors", "{}", 0);
    ck_assert_int_eq(krs_weights_open(temp_folder(), &w, &err), KRS_OK);
    ck_assert_uint_eq(krs_weights_count(w), 0);
    krs_weights_close(w);
}
END_TEST

START_TEST(an_index_that_escapes_or_disagrees_is_refused)
{
    make(PART1, "{" ENTRY("a", "U8", "[4]", 0, 4) "}", 4);
    make(PART2, "{" ENTRY("b", "U8", "[4]", 0, 4) "}", 4);
    static const char *const escapes[] = {
        "../../x", "/etc/passwd", "a..b", "..", ".", "", "sub/x"};
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        char map[100], sentence[300];
        snprintf(map, sizeof map, "{\"a\":\"%s\"}", escapes[i]);
        snprintf(sentence, sizeof sentence,
                 "model.safetensors.index.json: $.weight_map.a: \"%s\" is no "
                 "name of a file beside the index; names with '/' or \"..\" "
                 "are refused",
                 escapes[i]);
        folder_refused(map, sentence);
    }
    folder_refused("{\"a\":\"" PART1 "\",\"b\":\"" PART1 "\"}",
                   "model.safetensors.index.json: $.weight_map.b: shard "
                   "\"model-1.safetensors\" does not hold this tensor; index "
                   "and shards may be of different models");
    folder_refused("{\"a\":\"" PART2 "\",\"b\":\"" PART1 "\"}",
                   "model.safetensors.index.json: $.weight_map.a: shard "
                   "\"model-2.safetensors\" does not hold this tensor, it "
                   "lies in model-1.safetensors; index and shards may be of "
                   "different models");
    make(
        PART2,
        "{" ENTRY("b", "U8", "[4]", 0, 4) "," ENTRY("c", "U8", "[0]", 4, 4) "}",
        4);
    folder_refused("{\"a\":\"" PART1 "\",\"b\":\"" PART2 "\"}",
                   "model-2.safetensors: holds tensor \"c\", which the index "
                   "model.safetensors.index.json does not name; index and "
                   "shards may be of different models");
    make(PART2, "{" ENTRY("a", "U8", "[4]", 0, 4) "}", 4);
    folder_refused("{\"a\":\"" PART1 "\",\"b\":\"" PART2 "\"}",
                   "model-2.safetensors: tensor \"a\" also lies in "
                   "model-1.safetensors; a tensor belongs to one shard");
    folder_refused("{}", "model.safetensors.index.json: $.weight_map: names no "
                         "tensor");
    folder_refused("[]",
                   "model.safetensors.index.json: $.weight_map: expected an "
                   "object, found an array of 0 items");
    folder_refused("{\"a\":1}",
                   "model.safetensors.index.json: $.weight_map.a: expected a "
                   "string, found 1");
    make_index("{\"a\":\"gone.safetensors\"}");
    krs_weights *w;
    ck_assert_int_eq(krs_weights_open(temp_folder(), &w, &err), KRS_E_IO);
    ck_assert_str_eq(without_folder(err.text),
                     "gone.safetensors: cannot open: No such file or "
                     "directory");
}
END_TEST

/* Open and, if that succeeds, read everything. */
static krs_status
use(const char *path)
{
    krs_weights *w = NULL;
    memset(&err, 0, sizeof err);
    krs_status status = krs_weights_open(path, &w, &err);
    if (status != KRS_OK) {
        ck_assert_uint_gt(strlen(err.text), 20);
        return status;
    }
    for (size_t i = 0; i < krs_weights_count(w); i++) {
        const krs_weight *t = krs_weights_at(w, i);
        krs_dtype dtype = KRS_F32;
        float out[64];
        ck_assert_int_le(t->count, 64);
        ck_assert_int_eq(
            krs_weights_read(w, i, dtype, out, (size_t)t->count * 4, &err),
            krs_stored_converts(t->stored, dtype) ? KRS_OK : KRS_E_DTYPE);
    }
    krs_weights_close(w);
    return KRS_OK;
}

static const char valid[] = "{\"__metadata__\":{\"format\":\"pt\"}," ENTRY(
    "model.w", "F32", "[2,3]", 0,
    24) "," ENTRY("b", "BF16", "[4]", 24,
                  32) "," ENTRY("i", "I64", "[1]", 32,
                                40) "," ENTRY("q", "U8", "[3,1]", 40,
                                              43) "," ENTRY("e", "F16", "[0]",
                                                            43, 43) "}  ";

START_TEST(every_truncation_is_refused)
{
    size_t bytes;
    make("x", valid, 43);
    ck_assert_int_eq(use(temp_path("x")), KRS_OK);
    char *whole = read_file("x", &bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        write_file("cut", whole, cut);
        ck_assert_int_eq(use(temp_path("cut")), KRS_E_FORMAT);
    }
    free(whole);
}
END_TEST

START_TEST(every_flipped_header_byte_gives_tensors_or_a_sentence)
{
    static const unsigned char masks[] = {0x01, 0x02, 0x04, 0x08, 0x10,
                                          0x20, 0x40, 0x80, 0xFF};
    size_t bytes, accepted = 0, refused = 0;
    make("x", valid, 43);
    char *whole = read_file("x", &bytes);
    for (size_t at = 0; at < bytes - 43; at++)
        for (size_t m = 0; m < sizeof masks; m++) {
            whole[at] = (char)(whole[at] ^ masks[m]);
            write_file("flip", whole, bytes);
            if (use(temp_path("flip")) == KRS_OK)
                accepted++;
            else
                refused++;
            whole[at] = (char)(whole[at] ^ masks[m]);
        }
    free(whole);
    /* changed letters of names and notes are legal, the rest is not */
    ck_assert_uint_gt(accepted, 20);
    ck_assert_uint_gt(refused, 2000);
}
END_TEST

START_TEST(an_error_pointer_is_optional)
{
    krs_weights *w;
    ck_assert_int_eq(krs_weights_open("/nonexistent", &w, NULL), KRS_E_IO);
    ck_assert_int_eq(krs_weights_open(NULL, &w, NULL), KRS_E_ARGUMENT);
    krs_weights_close(NULL);
}
END_TEST

START_TEST(golden_files_are_read)
{
    krs_weights *w = NULL;
    krs_status status =
        krs_weights_open(TESTS_DIR "/golden/models/llama_gqa", &w, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    ck_assert_int_ge(krs_weights_find(w, "model.norm.weight"), 0);
    for (size_t i = 0; i < krs_weights_count(w); i++) {
        const krs_weight *t = krs_weights_at(w, i);
        size_t bytes = (size_t)t->count * sizeof(float);
        float *values = malloc(bytes);
        ck_assert_int_eq(krs_weights_read(w, i, KRS_F32, values, bytes, &err),
                         KRS_OK);
        double squares = 0;
        for (int64_t k = 0; k < t->count; k++)
            squares += (double)(values[k] * values[k]);
        ck_assert_msg(squares > 0 && squares < 1e9, "%s: %g", t->name, squares);
        free(values);
    }
    krs_weights_close(w);
}
END_TEST

SUITE(a_file_is_listed_in_the_order_of_names,
      hostile_header_lengths_are_refused,
      headers_that_are_not_clean_json_are_refused,
      hostile_types_and_shapes_are_refused, hostile_offsets_are_refused,
      what_is_no_regular_file_is_refused,
      a_file_cut_while_it_is_open_gives_an_error_and_no_signal,
      reads_name_what_does_not_fit, shards_are_read_as_one_model,
      an_index_that_escapes_or_disagrees_is_refused,
      every_truncation_is_refused,
      every_flipped_header_byte_gives_tensors_or_a_sentence,
      an_error_pointer_is_optional, golden_files_are_read)
