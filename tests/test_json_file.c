/* test_json_file.c -- checked values out of JSON, and the sentences that
 * refuse the others. */
#include "models/load/json_file.h"
#include "suite.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static krs_error err;

static krsi_json_file *
parse(const char *text)
{
    krsi_json_file *file = NULL;
    krs_status status =
        krsi_json_parse("config.json", text, strlen(text), &file, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return file;
}

static void
assert_refused(const char *text, size_t bytes, const char *sentence)
{
    krsi_json_file *file = NULL;
    memset(&err, 0, sizeof err);
    ck_assert_int_eq(krsi_json_parse("config.json", text, bytes, &file, &err),
                     KRS_E_FORMAT);
    ck_assert_ptr_null(file);
    ck_assert_str_eq(err.text, sentence);
}

#define REFUSED(text, sentence) \
    assert_refused("" text, sizeof(text) - 1, sentence)

START_TEST(values_of_the_right_type_are_given)
{
    krsi_json_file *file =
        parse("{\"layers\":12,\"theta\":1e4,\"eps\":1e-05,\"tie\":false,"
              "\"type\":\"llama\",\"none\":null,\"rope\":{\"factor\":8},"
              "\"eos\":[1,2],\"act\":\"silu\"}");
    krsi_json root = krsi_json_root(file), it;
    int64_t number = 0;
    double real = 0;
    bool flag = true;
    const char *text = NULL;
    size_t count = 0, choice = 9;
    static const char *const acts[] = {"gelu", "silu"};

    ck_assert_int_eq(krsi_json_int(&root, "layers", 1, 99, &number, &err), 0);
    ck_assert_int_eq(number, 12);
    ck_assert_int_eq(
        krsi_json_double(&root, "theta", KRSI_POSITIVE, &real, &err), 0);
    ck_assert(real == 10000.0);
    ck_assert_int_eq(
        krsi_json_double(&root, "layers", KRSI_POSITIVE, &real, &err), 0);
    ck_assert(real == 12.0);
    ck_assert_int_eq(krsi_json_bool(&root, "tie", &flag, &err), 0);
    ck_assert(!flag);
    ck_assert_int_eq(krsi_json_string(&root, "type", &text, &err), 0);
    ck_assert_str_eq(text, "llama");
    ck_assert_int_eq(krsi_json_object(&root, "rope", &it, &err), 0);
    ck_assert_int_eq(
        krsi_json_double(&it, "factor", KRSI_POSITIVE, &real, &err), 0);
    ck_assert(real == 8.0);
    ck_assert_int_eq(krsi_json_array(&root, "eos", &it, &count, &err), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(krsi_json_count(&it), 2);
    krsi_json item;
    ck_assert_int_eq(krsi_json_item(&it, 1, &item, &err), 0);
    ck_assert_str_eq(item.path, "$.eos[1]");
    ck_assert_int_eq(krsi_json_as_int(&item, 0, 9, &number, &err), 0);
    ck_assert_int_eq(number, 2);
    ck_assert_int_eq(krsi_json_choice(&root, "act", acts, 2, &choice, &err), 0);
    ck_assert_uint_eq(choice, 1);
    krsi_json_close(file);
}
END_TEST

START_TEST(null_and_missing_give_the_value_for_absence)
{
    krsi_json_file *file = parse("{\"a\":null}");
    krsi_json root = krsi_json_root(file);
    static const char *const keys[] = {"a", "b"};
    for (size_t i = 0; i < 2; i++) {
        int64_t number = 0;
        double real = 0;
        bool flag = false;
        const char *text = NULL;
        const char *key = keys[i];
        ck_assert(!krsi_json_has(&root, key));
        ck_assert_int_eq(krsi_json_int_or(&root, key, 0, 9, 7, &number, &err),
                         0);
        ck_assert_int_eq(number, 7);
        ck_assert_int_eq(
            krsi_json_double_or(&root, key, KRSI_POSITIVE, 0.5, &real, &err),
            0);
        ck_assert(real == 0.5);
        ck_assert_int_eq(krsi_json_bool_or(&root, key, true, &flag, &err), 0);
        ck_assert(flag);
        ck_assert_int_eq(krsi_json_string_or(&root, key, "x", &text, &err), 0);
        ck_assert_str_eq(text, "x");
    }
    krsi_json_close(file);
}
END_TEST

/* One wrong value: which getter, and what it must say. */
START_TEST(wrong_values_are_named_with_their_path)
{
    krsi_json_file *file =
        parse("{\"rope_parameters\":{\"factor\":\"x\",\"zero\":0,\"drop\":1},"
              "\"layers\":2.5,\"heads\":-3,\"tie\":1,\"type\":[1,2],\"n\":null,"
              "\"odd key\":true,\"act\":\"relu9\",\"eos\":{}}");
    krsi_json root = krsi_json_root(file), rope, it;
    int64_t number = 77;
    double real = 77;
    bool flag = true;
    const char *text = "kept";
    size_t count = 77;
    static const char *const acts[] = {"gelu", "silu"};
    ck_assert_int_eq(krsi_json_object(&root, "rope_parameters", &rope, &err),
                     0);

#define WRONG(call, sentence)                 \
    do {                                      \
        memset(&err, 0, sizeof err);          \
        ck_assert_int_eq(call, KRS_E_FORMAT); \
        ck_assert_str_eq(err.text, sentence); \
    } while (0)
    WRONG(krsi_json_double(&rope, "factor", KRSI_POSITIVE, &real, &err),
          "config.json: $.rope_parameters.factor: expected a number > 0, "
          "found \"x\"");
    WRONG(krsi_json_double(&rope, "zero", KRSI_POSITIVE, &real, &err),
          "config.json: $.rope_parameters.zero: expected a number > 0, "
          "found 0");
    WRONG(krsi_json_double(&rope, "drop", KRSI_FRACTION, &real, &err),
          "config.json: $.rope_parameters.drop: expected a number >= 0 and "
          "< 1, found 1");
    WRONG(
        krsi_json_double_or(&root, "heads", KRSI_NOT_NEGATIVE, 1, &real, &err),
        "config.json: $.heads: expected a number >= 0, found -3");
    WRONG(krsi_json_int(&root, "layers", 1, 100, &number, &err),
          "config.json: $.layers: expected a whole number from 1 to 100, "
          "found 2.5");
    WRONG(krsi_json_int_or(&root, "heads", 1, INT64_MAX, 8, &number, &err),
          "config.json: $.heads: expected a whole number >= 1, found -3");
    WRONG(krsi_json_int(&root, "gone", 1, 9, &number, &err),
          "config.json: $.gone: is missing");
    WRONG(krsi_json_int(&root, "n", 1, 9, &number, &err),
          "config.json: $.n: is null, a value is needed");
    WRONG(krsi_json_bool(&root, "tie", &flag, &err),
          "config.json: $.tie: expected true or false, found 1");
    WRONG(krsi_json_string(&root, "type", &text, &err),
          "config.json: $.type: expected a string, found an array of 2 items");
    WRONG(krsi_json_string(&root, "odd key", &text, &err),
          "config.json: $[\"odd key\"]: expected a string, found true");
    WRONG(krsi_json_array(&root, "eos", &it, &count, &err),
          "config.json: $.eos: expected an array, found an object of 0 "
          "members");
    WRONG(krsi_json_object(&root, "type", &it, &err),
          "config.json: $.type: expected an object, found an array of 2 "
          "items");
    WRONG(krsi_json_choice(&root, "act", acts, 2, &count, &err),
          "config.json: $.act: expected one of \"gelu\", \"silu\", found "
          "\"relu9\"");
    ck_assert_int_eq(krsi_json_array(&root, "type", &it, &count, &err), 0);
    krsi_json item;
    WRONG(krsi_json_item(&it, 2, &item, &err),
          "config.json: $.type: item 2 is missing: the array has 2 items");
    WRONG(krsi_json_int(&it, "layers", 0, 9, &number, &err),
          "config.json: $.type: expected an object, found an array of 2 "
          "items");
    WRONG(krsi_json_int_or(&it, "layers", 0, 9, 1, &number, &err),
          "config.json: $.type: expected an object, found an array of 2 "
          "items");
#undef WRONG
    ck_assert_int_eq(number, 77);
    ck_assert(real == 77.0);
    ck_assert(flag);
    ck_assert_str_eq(text, "kept");
    krsi_json_close(file);
}
END_TEST

START_TEST(malformed_text_is_refused_in_one_sentence)
{
    REFUSED("", "config.json: line 1, byte 0: not JSON: unexpected token "
                "near end of file");
    REFUSED("{\"a\":1,\"a\":2}",
            "config.json: line 1, byte 10: a key occurs twice in one object, "
            "near '\"a\"'");
    REFUSED("{\"a\":\"\xFF\"}", "config.json: line 1, byte 6: not valid UTF-8");
    REFUSED("{\"a\\u0000b\":1}",
            "config.json: line 1, byte 11: NUL character in a string; names "
            "cannot hold one");
    REFUSED("{\"a\":NaN}",
            "config.json: line 1, byte 8: not JSON: invalid token near "
            "'NaN'");
    REFUSED("{\"a\":1e999}",
            "config.json: line 1, byte 10: a number is too large to be "
            "represented");
    REFUSED("{\"a\":1} x",
            "config.json: line 1, byte 9: not JSON: end of file expected "
            "near 'x'");
}
END_TEST

START_TEST(every_cut_and_every_flipped_bit_gives_a_value_or_a_sentence)
{
    static const char text[] =
        "{\"a\":[1,-2.5e3,\"\\u00e9\\n\"],\"b\":{\"c\":null,\"d\":true}}";
    size_t bytes = sizeof text - 1;
    krsi_json_file *file;
    for (size_t cut = 0; cut < bytes; cut++)
        ck_assert_int_eq(krsi_json_parse("x", text, cut, &file, &err),
                         KRS_E_FORMAT);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        char damaged[sizeof text];
        memcpy(damaged, text, sizeof text);
        damaged[bit / 8] = (char)(damaged[bit / 8] ^ 1 << bit % 8);
        memset(&err, 0, sizeof err);
        if (krsi_json_parse("x", damaged, bytes, &file, &err) == KRS_OK)
            krsi_json_close(file);
        else
            ck_assert_int_gt((int)strlen(err.text), 10);
    }
}
END_TEST

START_TEST(deep_nesting_is_refused_and_long_keys_are_cut)
{
    enum { DEPTH = 100000 };
    char *deep = malloc(DEPTH);
    krsi_json_file *file = NULL;
    memset(deep, '[', DEPTH);
    ck_assert_int_eq(krsi_json_parse("deep", deep, DEPTH, &file, &err),
                     KRS_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "nested too deeply"));
    free(deep);

    char text[5000] = "{\"";
    for (int i = 0; i < 2000; i++)
        memcpy(text + 2 + 2 * i, "\xC3\xA9", 2); /* e acute, two bytes */
    strcpy(text + 4002, "\":[]}");
    file = parse(text);
    krsi_json root = krsi_json_root(file), it;
    void *cursor = NULL;
    const char *key;
    ck_assert(krsi_json_each(&root, &cursor, &key, &it));
    ck_assert_uint_eq(strlen(key), 4000);
    ck_assert_uint_lt(strlen(it.path), KRSI_JSON_PATH);
    ck_assert_ptr_nonnull(strstr(it.path, "\xC3\xA9...\"]"));
    ck_assert(!krsi_json_each(&root, &cursor, &key, &it));
    krsi_json_close(file);
}
END_TEST

START_TEST(quotes_escape_controls_and_cut_whole_characters)
{
    char out[64];
    ck_assert_str_eq(krsi_json_quote("a\x1b[31m\"\\\n", out, sizeof out),
                     "\"a\\x1b[31m\\\"\\\\\\x0a\"");
    /* U+009B begins a terminal command just as ESC [ does */
    ck_assert_str_eq(krsi_json_quote("\xC2\x9B"
                                     "2J\xC2\xA0",
                                     out, sizeof out),
                     "\"\\xc2\\x9b2J\xC2\xA0\"");
    for (size_t size = 8; size < 20; size++) {
        krsi_json_quote("\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2"
                        "\x82\xAC\xE2\x82\xAC\xE2\x82\xAC",
                        out, size);
        size_t n = strlen(out);
        ck_assert_uint_lt(n, size);
        ck_assert_uint_eq((n - 5) % 3, 0);
        ck_assert_str_eq(out + n - 4, "...\"");
    }
}
END_TEST

START_TEST(utf8_is_what_jansson_takes_for_it)
{
    /* every first byte, then bytes at the edges of what is allowed */
    static const unsigned char edges[] = {
        0x01, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
        0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    enum { E = sizeof edges };
    int valid = 0;
    for (int a = 1; a < 256; a++)
        for (int b = 0; b < E; b++)
            for (int c = 0; c <= E; c++)
                for (int d = 0; d <= E; d++) {
                    char text[5] = {(char)a, (char)edges[b]};
                    text[2] = c < E ? (char)edges[c] : 0;
                    text[3] = d < E ? (char)edges[d] : 0;
                    json_t *string = json_string(text);
                    ck_assert_msg(krsi_is_utf8(text) == (string != NULL),
                                  "%02x %02x %02x %02x", a, edges[b],
                                  (unsigned char)text[2],
                                  (unsigned char)text[3]);
                    valid += string != NULL;
                    json_decref(string);
                }
    ck_assert_int_gt(valid, 1000);
}
END_TEST

START_TEST(files_are_opened_only_if_regular_and_small_enough)
{
    char folder[] = "/tmp/kersey-json-XXXXXX", path[64];
    krsi_json_file *file = NULL;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/c.json", folder);

    ck_assert_int_eq(krsi_json_open(path, &file, &err), KRS_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "c.json: cannot open: No such"));
    ck_assert_int_eq(krsi_json_open(folder, &file, &err), KRS_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "is a folder"));

    FILE *f = fopen(path, "w");
    fputs("{\"x\":0.25}", f);
    fclose(f);
    ck_assert_int_eq(krsi_json_open(path, &file, &err), KRS_OK);
    ck_assert_str_eq(krsi_json_name(file), path);
    krsi_json root = krsi_json_root(file);
    double x = 0;
    ck_assert_int_eq(krsi_json_double(&root, "x", KRSI_ANY_NUMBER, &x, &err),
                     0);
    ck_assert(x == 0.25);
    krsi_json_close(file);

    ck_assert_int_eq(truncate(path, (off_t)KRSI_JSON_BYTES + 1), 0);
    ck_assert_int_eq(krsi_json_open(path, &file, &err), KRS_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(
        err.text, "is 67108865 bytes long, at most 67108864 bytes are read"));
    unlink(path);
    rmdir(folder);
}
END_TEST

SUITE(values_of_the_right_type_are_given,
      null_and_missing_give_the_value_for_absence,
      wrong_values_are_named_with_their_path,
      malformed_text_is_refused_in_one_sentence,
      every_cut_and_every_flipped_bit_gives_a_value_or_a_sentence,
      deep_nesting_is_refused_and_long_keys_are_cut,
      quotes_escape_controls_and_cut_whole_characters,
      utf8_is_what_jansson_takes_for_it,
      files_are_opened_only_if_regular_and_small_enough)
