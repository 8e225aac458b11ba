/* test_token_hostile.c -- tokenizer files that are wrong: each gives its
 * sentence, at once and without much memory. */
#include "models/token/pieces.h"
#include "suite.h"
#include "temp_folder.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MEMBERS = 9, ALLOWED_MIB = 16 };

static krs_error err;

static const char *const members[MEMBERS][2] = {
    {"version",        "\"1.0\""                                                     },
    {"truncation",     "null"                                                        },
    {"padding",        "null"                                                        },
    {"added_tokens",   "[]"                                                          },
    {"normalizer",     "null"                                                        },
    {"pre_tokenizer",  "null"                                                        },
    {"post_processor", "null"                                                        },
    {"decoder",        "null"                                                        },
    {"model",          "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}"},
};

/* What the process may take is what it has now and 16 MiB: an allocation
 * beyond that fails, and gives another message. Sanitizers need theirs. */
static void
limit_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) +
                  ((rlim_t)ALLOWED_MIB << 20);
    struct rlimit limit = {most, most};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
#endif
}

static double
clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* a tokenizer.json with one member replaced */
static const char *
with_member(const char *member, const char *text)
{
    static char document[4096];
    size_t at = 0;
    for (int i = 0; i < MEMBERS; i++)
        at += (size_t)snprintf(document + at, sizeof document - at,
                               "%s\"%s\":%s", i ? "," : "{", members[i][0],
                               strcmp(member, members[i][0]) ? members[i][1]
                                                             : text);
    snprintf(document + at, sizeof document - at, "}");
    return document;
}

static krs_status
read_text(const char *text, size_t bytes)
{
    krs_tokenizer *t = NULL;
    memset(&err, 0, sizeof err);
    krs_status status = krs_tokenizer_read("t.json", text, bytes, &t, &err);
    ck_assert_int_eq(status == KRS_OK, t != NULL);
    krs_tokenizer_free(t);
    return status;
}

START_TEST(the_file_without_a_wrong_member_is_right)
{
    const char *text = with_member("none", "");
    ck_assert_msg(read_text(text, strlen(text)) == KRS_OK, "%s", err.text);
}
END_TEST

START_TEST(every_wrong_member_is_told_with_its_path)
{
    static const struct {
        const char *member, *text, *message;
    } rows[] = {
#define HOSTILE(member, text, message) {#member, text, message},
#include "hostile_tokenizers.def"
#undef HOSTILE
    };
    ck_assert_uint_ge(sizeof rows / sizeof *rows, 100);
    limit_memory();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[1100];
        const char *text = with_member(rows[i].member, rows[i].text);
        double began = clock_s();
        krs_status status = read_text(text, strlen(text));
        ck_assert(clock_s() - began < 1);
        snprintf(want, sizeof want, "t.json: %s", rows[i].message);
        ck_assert_str_eq(err.text, want);
        ck_assert(status == KRS_E_FORMAT || status == KRS_E_UNSUPPORTED);
    }
}
END_TEST

START_TEST(a_file_cut_at_any_byte_is_refused)
{
    const char *text = with_member(
        "normalizer", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
                      "\"Replace\",\"pattern\":{\"Regex\":\"a+\"},\"content\":"
                      "\"\\u00e9\"},{\"type\":\"NFC\"}]}");
    limit_memory();
    for (size_t n = 0; n < strlen(text); n++) {
        ck_assert_int_eq(read_text(text, n), KRS_E_FORMAT);
        ck_assert_int_eq(strncmp(err.text, "t.json: line 1, byte ", 21), 0);
    }
}
END_TEST

/* Any one byte changed: right or refused, nothing else. */
START_TEST(a_file_with_any_byte_changed_does_no_harm)
{
    char text[4096];
    static const char others[] = "\0\"[{}]\\,:9-\xFF";
    strcpy(text, with_member("none", ""));
    for (size_t i = 0; i < strlen(with_member("none", "")); i++)
        for (size_t k = 0; k < sizeof others - 1; k++) {
            char was = text[i];
            text[i] = others[k];
            krs_status status =
                read_text(text, strlen(with_member("none", "")));
            ck_assert(status == KRS_OK || err.text[0]);
            text[i] = was;
        }
}
END_TEST

/* `count` times open, `count` times close, inside the model */
static krs_status
read_deep(const char *open, const char *close, size_t count)
{
    size_t bytes = count * (strlen(open) + strlen(close)) + 64, at;
    char *text = malloc(bytes);
    ck_assert_ptr_nonnull(text);
    at = (size_t)sprintf(text, "{\"normalizer\":");
    for (size_t i = 0; i < count; i++)
        at += (size_t)sprintf(text + at, "%s", open);
    for (size_t i = 0; i < count; i++)
        at += (size_t)sprintf(text + at, "%s", close);
    at += (size_t)sprintf(text + at, "}");
    double began = clock_s();
    krs_status status = read_text(text, at);
    ck_assert(clock_s() - began < 1);
    free(text);
    return status;
}

START_TEST(what_is_nested_deeply_is_refused)
{
    ck_assert_int_eq(read_deep("[", "]", 100000), KRS_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "nested too deeply"));
    ck_assert_int_eq(read_deep("{\"a\":", "}", 100000), KRS_E_FORMAT);
    const char *text = with_member(
        "decoder",
        "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Sequence\","
        "\"decoders\":[{\"type\":\"Sequence\",\"decoders\":[]}]}]}");
    ck_assert_int_eq(read_text(text, strlen(text)), KRS_OK);
}
END_TEST

START_TEST(sequences_are_laid_flat_to_a_limit)
{
    char text[3000], *at = text;
    for (int depth = 15; depth <= 17; depth++) {
        at = text;
        for (int i = 0; i < depth; i++)
            at += sprintf(at, "{\"type\":\"Sequence\",\"normalizers\":[");
        for (int i = 0; i < depth; i++)
            at += sprintf(at, "]}");
        const char *all = with_member("normalizer", text);
        krs_status status = read_text(all, strlen(all));
        ck_assert_int_eq(status, depth <= 16 ? KRS_OK : KRS_E_FORMAT);
    }
    ck_assert_ptr_nonnull(
        strstr(err.text, "sequences inside sequences, deeper than 16"));
}
END_TEST

START_TEST(bytes_that_are_no_text_are_refused)
{
    static const struct {
        const char *text;
        size_t bytes;
        const char *message;
    } rows[] = {
        {"{\"model\":\"\xFF\"}", 13, "not valid UTF-8"      },
        {"{\"model\":\"\0\"}",   13, "byte"                 },
        {"{\"a\\u0000\":1}",     13, "NUL character"        },
        {"{\"a\":1,\"a\":2}",    13, "a key occurs twice"   },
        {"\xEF\xBB\xBF{}",       5,  "not JSON"             },
        {"[]",                   2,  "expected an object"   },
        {"{\"a\":NaN}",          9,  "not JSON"             },
        {"{\"a\":1e999}",        11, "a number is too large"},
        {"",                     0,  "not JSON"             },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_int_eq(read_text(rows[i].text, rows[i].bytes), KRS_E_FORMAT);
        ck_assert_msg(strstr(err.text, rows[i].message) != NULL, "%zu: %s", i,
                      err.text);
    }
}
END_TEST

/* ---- .model ---- */

static const krs_tokenizer_config no_settings = {0};

/* A field of protobuf: its number, and bytes. */
static size_t
field(char *out, int number, const void *bytes, size_t count)
{
    out[0] = (char)(number << 3 | 2);
    out[1] = (char)count;
    memcpy(out + 2, bytes, count);
    return count + 2;
}

static size_t
piece(char *out, const char *text, float score, int type)
{
    char body[64];
    size_t n = field(body, 1, text, strlen(text));
    body[n++] = 2 << 3 | 5;
    memcpy(body + n, &score, 4);
    n += 4;
    body[n++] = 3 << 3;
    body[n++] = (char)type;
    return field(out, 1, body, n);
}

/* A small model: <unk>, a, b, ab; trainer_spec as given. */
static size_t
small_model(char *out, const char *trainer, size_t trainer_bytes)
{
    size_t n = piece(out, "<unk>", 0, KRS_TOKEN_UNKNOWN);
    n += piece(out + n, "a", -1, KRS_TOKEN_NORMAL);
    n += piece(out + n, "b", -2, KRS_TOKEN_NORMAL);
    n += piece(out + n, "ab", -3, KRS_TOKEN_NORMAL);
    return n + field(out + n, 2, trainer, trainer_bytes);
}

static krs_status
parse_model(const char *data, size_t bytes)
{
    krs_tokenizer *t = NULL;
    memset(&err, 0, sizeof err);
    krs_status status = krsi_parse_sentencepiece("t.model", data, bytes,
                                                 &no_settings, &t, &err);
    ck_assert_int_eq(status == KRS_OK, t != NULL);
    krs_tokenizer_free(t);
    return status;
}

START_TEST(a_model_cut_at_any_byte_does_no_harm)
{
    char data[512];
    size_t n = small_model(data, "\x18\x02", 2), whole = 0;
    ck_assert_msg(parse_model(data, n) == KRS_OK, "%s", err.text);
    limit_memory();
    for (size_t i = 0; i < n; i++) {
        /* protobuf may end after any field: fewer pieces are a model too */
        whole += parse_model(data, i) == KRS_OK;
        ck_assert(err.status == KRS_OK || err.text[0]);
    }
    ck_assert_uint_lt(whole, 6);
}
END_TEST

START_TEST(wrong_pieces_of_a_model_are_told)
{
    static const struct {
        const char *text;
        float score;
        int type;
        const char *message;
    } rows[] = {
        {"",       0,                  1, "piece 4 is empty"                        },
        {"\xFF",   0,                  1, "piece 4 is not UTF-8"                    },
        {"ab",     0,                  1, "piece 4 is there before"                 },
        {"c",      0,                  0, "piece 4 has a type"                      },
        {"c",      0,                  7, "piece 4 has a type"                      },
        {"c",      __builtin_nanf(""), 1, "piece 4 has a score"                     },
        {"c",      __builtin_inff(),   1, "piece 4 has a score"                     },
        {"<u>",    0,                  2, "piece 4 is unknown, and so is one before"},
        {"c",      0,                  6, "piece 4 is a byte and not written"       },
        {"<0xZZ>", 0,                  6, "piece 4 is a byte and not written"       },
        {"<0x-1>", 0,                  6, "piece 4 is a byte and not written"       },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char data[512];
        size_t n = small_model(data, "\x18\x02", 2);
        n += piece(data + n, rows[i].text, rows[i].score, rows[i].type);
        ck_assert_int_eq(parse_model(data, n), KRS_E_FORMAT);
        ck_assert_msg(strstr(err.text, rows[i].message) != NULL, "%zu: %s", i,
                      err.text);
    }
}
END_TEST

START_TEST(wrong_settings_of_a_model_are_told)
{
    static const struct {
        const char *trainer;
        size_t bytes;
        const char *message;
    } rows[] = {
        {"\x18\x05",             2, "model_type is 5"     },
        {"\x18\x00",             2, "model_type is 0"     },
        {"\x18\x02\x98\x02\x01", 5, "no piece <0x00>"     },
        {"\x18",                 1, "not a whole protobuf"},
    };
    char data[512];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = small_model(data, rows[i].trainer, rows[i].bytes);
        ck_assert_int_eq(parse_model(data, n), KRS_E_FORMAT);
        ck_assert_msg(strstr(err.text, rows[i].message) != NULL, "%zu: %s", i,
                      err.text);
    }
    size_t n = piece(data, "a", 0, KRS_TOKEN_NORMAL);
    ck_assert_int_eq(parse_model(data, n), KRS_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "no piece is the unknown one"));
    ck_assert_int_eq(parse_model("", 0), KRS_E_FORMAT);
}
END_TEST

/* ---- plain files ---- */

static krs_status
open_with(const char *name, const void *bytes, size_t count)
{
    krs_tokenizer *t = NULL;
    memset(&err, 0, sizeof err);
    write_file(name, bytes, count);
    krs_status status = krs_tokenizer_open(temp_path(name), &t, &err);
    ck_assert_int_eq(status == KRS_OK, t != NULL);
    krs_tokenizer_free(t);
    return status;
}

START_TEST(wrong_plain_files_are_told_with_their_line)
{
    static const struct {
        const char *name, *text, *message;
    } rows[] = {
        {"vocab.txt",  "a\nb\na\n",          "line 3: this token stands"    },
        {"vocab.txt",  "a\n\xC0\x80\n",      "not UTF-8 at byte 2"          },
        {"x.tiktoken", "YQ== 0\n!!!! 1\n",   "line 2: character 0 of the"   },
        {"x.tiktoken", "YQ== 0\nYg== -1\n",  "line 2: a token in base64"    },
        {"x.tiktoken", "YQ== 0\nYQ== 1\n",   "line 2: the token or its rank"},
        {"x.tiktoken", "YQ== 0\nYg== 0\n",   "line 2: the token or its rank"},
        {"x.tiktoken", "YQ== 99999999999\n", "line 1: a token in base64"    },
        {"x.tiktoken", "YQ==\n",             "line 1: a token in base64"    },
        {"x.tiktoken", " 0\n",               "line 1: the token is empty"   },
        {"x.tiktoken", "YQ== 0\n",           "1 ranks are none of the known"},
        {"x.unknown",  "a",                  "does not say which format"    },
        {"x.gguf",     "GGUF",               "x.gguf"                       },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_int_ne(
            open_with(rows[i].name, rows[i].text, strlen(rows[i].text)),
            KRS_OK);
        ck_assert_msg(strstr(err.text, rows[i].message) != NULL, "%zu: %s", i,
                      err.text);
    }
    write_file("vocab.json", "{\"a\":0,\"b\":1}", 13);
    ck_assert_int_ne(open_with("merges.txt", "#version\na b\n", 13), KRS_OK);
    ck_assert_ptr_nonnull(
        strstr(err.text, "merges.txt: line 2: the merge needs the token"));
    ck_assert_int_ne(open_with("merges.txt", "ab\n", 3), KRS_OK);
    ck_assert_ptr_nonnull(strstr(err.text, "line 1: a merge is two tokens"));
}
END_TEST

SUITE(the_file_without_a_wrong_member_is_right,
      every_wrong_member_is_told_with_its_path,
      a_file_cut_at_any_byte_is_refused,
      a_file_with_any_byte_changed_does_no_harm,
      what_is_nested_deeply_is_refused, sequences_are_laid_flat_to_a_limit,
      bytes_that_are_no_text_are_refused, a_model_cut_at_any_byte_does_no_harm,
      wrong_pieces_of_a_model_are_told, wrong_settings_of_a_model_are_told,
      wrong_plain_files_are_told_with_their_line)
