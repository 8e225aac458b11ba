/* test_token.c -- tokenizers through their public header: pairs, truncation,
 * padding, batches, spans, streams, memory that runs out. Expected ids are those
 * of Hugging Face tokenizers 0.23. Vocabularies in memory are in
 * test_from_memory.c, conversations in test_chat.c.
 */
#include "fault_memory.h"
#include "tokenized.h"

#include <krs/token.h>

#include <stdio.h>
#include <string.h>

static krs_tokenizer *
open_golden(const char *name)
{
    char path[512];
    krs_tokenizer *t = NULL;
    snprintf(path, sizeof path, "%s/golden/tokenizers/%s", TESTS_DIR, name);
    krs_status status = krs_tokenizer_open(path, &t, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return t;
}

START_TEST(a_pair_has_types_marks_and_spans_of_its_texts)
{
    krs_tokenizer *t = open_golden("bert_wordpiece/tokenizer.json");
    krs_encoding e = {0};
    krs_encode_options o = {
        .struct_size = sizeof o, .pair = "the wide world", .pair_bytes = 14};
    encode(t, "Hello there", &o, &e);
    ck_assert_str_eq(print(&e, true), "101 7592 2045 102 1996 2898 2088 102"
                                      "|0 0 0 0 1 1 1 1");
    ck_assert_uint_eq(e.spans[2].begin, 6);
    ck_assert_uint_eq(e.spans[2].end, 11);
    ck_assert_uint_eq(e.spans[5].begin, 4);
    ck_assert_uint_eq(e.marks[0], KRS_TOKEN_IS_SPECIAL);
    ck_assert_uint_eq(e.marks[1], 0);
    ck_assert_uint_eq(e.marks[4], KRS_TOKEN_IS_PAIR);
    o.no_special = true;
    encode(t, "Hello there", &o, &e);
    ck_assert_str_eq(print(&e, true), "7592 2045 1996 2898 2088|0 0 1 1 1");
    krs_encoding_free(&e);
    krs_tokenizer_free(t);
}
END_TEST

START_TEST(what_is_too_long_is_cut_as_the_original_does)
{
    static const char first[] = "one two three four five",
                      second[] = "six seven eight nine";
    static const struct {
        krs_truncation truncation;
        bool pair;
        const char *parts[5]; /* the encoding, then its overflow */
    } rows[] = {
        {{8, 0, KRS_TRUNCATE_LONGEST_FIRST, false},
         true,  {"101 2028 2048 2093 102 2416 2698 102|0 0 0 0 0 1 1 1",
          "101 2176 2274 102 2416 2698 102|0 0 0 0 1 1 1",
          "101 2176 2274 102 2809 3157 102|0 0 0 0 1 1 1",
          "101 2028 2048 2093 102 2809 3157 102|0 0 0 0 0 1 1 1"}},
        {{9, 0, KRS_TRUNCATE_ONLY_FIRST, false},
         true,  {"101 2028 2048 102 2416 2698 2809 3157 102|0 0 0 0 1 1 1 1 1",
          "101 2093 2176 102 2416 2698 2809 3157 102|0 0 0 0 1 1 1 1 1",
          "101 2274 102 2416 2698 2809 3157 102|0 0 0 1 1 1 1 1"}},
        {{10, 1, KRS_TRUNCATE_ONLY_SECOND, false},
         true,  {"101 2028 2048 2093 2176 2274 102 2416 2698 102|0 0 0 0 0 0 0 1 1 1",
          "101 2028 2048 2093 2176 2274 102 2698 2809 102|0 0 0 0 0 0 0 1 1 1",
          "101 2028 2048 2093 2176 2274 102 2809 3157 102"
          "|0 0 0 0 0 0 0 1 1 1"}                                },
        {{8, 0, KRS_TRUNCATE_LONGEST_FIRST, true},
         true,  {"101 2093 2176 2274 102 2809 3157 102|0 0 0 0 0 1 1 1",
          "101 2028 2048 102 2809 3157 102|0 0 0 0 1 1 1",
          "101 2028 2048 102 2416 2698 102|0 0 0 0 1 1 1",
          "101 2093 2176 2274 102 2416 2698 102|0 0 0 0 0 1 1 1"}},
        {{5, 1, KRS_TRUNCATE_LONGEST_FIRST, false},
         false, {"101 2028 2048 2093 102|0 0 0 0 0",
          "101 2093 2176 2274 102|0 0 0 0 0"}                   },
        {{5, 1, KRS_TRUNCATE_LONGEST_FIRST, true},
         false, {"101 2093 2176 2274 102|0 0 0 0 0",
          "101 2028 2048 2093 102|0 0 0 0 0"}                   },
    };
    krs_tokenizer *t = open_golden("bert_wordpiece/tokenizer.json");
    krs_encoding e = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        krs_encode_options o = {.struct_size = sizeof o,
                                .truncation = &rows[i].truncation,
                                .pair = rows[i].pair ? second : NULL,
                                .pair_bytes = strlen(second)};
        encode(t, first, &o, &e);
        ck_assert_str_eq(print(&e, true), rows[i].parts[0]);
        size_t count = 0;
        while (count < 4 && rows[i].parts[count + 1])
            count++;
        ck_assert_uint_eq(e.overflow_count, count);
        for (size_t k = 0; k < count; k++)
            ck_assert_str_eq(print(&e.overflow[k], true), rows[i].parts[k + 1]);
    }
    krs_encoding_free(&e);
    krs_tokenizer_free(t);
}
END_TEST

START_TEST(truncation_that_cannot_be_is_refused)
{
    krs_tokenizer *t = open_golden("bert_wordpiece/tokenizer.json");
    krs_encoding e = {0};
    static const struct {
        krs_truncation truncation;
        const char *message;
    } rows[] = {
        {{1, 0, KRS_TRUNCATE_LONGEST_FIRST, false},
         "at most 1 tokens are wanted, 2 special ones"                   },
        {{4, 2, KRS_TRUNCATE_LONGEST_FIRST, false},
         "a stride of 2 tokens is not less than the 2"                   },
        {{4, 0, KRS_TRUNCATE_ONLY_SECOND, false},    "there is none"     },
        {{-1, 0, KRS_TRUNCATE_LONGEST_FIRST, false}, "a truncation to -1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        krs_encode_options o = {.struct_size = sizeof o,
                                .truncation = &rows[i].truncation};
        ck_assert_int_ne(
            krs_tokenizer_encode(t, "one two three four", 18, &o, &e, &err),
            KRS_OK);
        ck_assert_msg(strstr(err.text, rows[i].message) != NULL, "%s",
                      err.text);
        ck_assert_uint_eq(e.count, 0);
    }
    krs_tokenizer_free(t);
}
END_TEST

START_TEST(a_batch_is_padded_to_its_longest)
{
    krs_tokenizer *t = open_golden("bert_wordpiece/tokenizer.json");
    const krs_text texts[] = {
        {"one",           3 },
        {"one two three", 13},
        {"",              0 }
    };
    krs_encoding es[3] = {{0}};
    krs_encode_options o = {
        .struct_size = sizeof o, .pad_to = -2, .pieces = true};
    for (o.threads = 1; o.threads <= 3; o.threads++) {
        ck_assert_int_eq(
            krs_tokenizer_encode_batch(t, texts, NULL, 3, &o, es, &err), 0);
        ck_assert_str_eq(print(&es[0], false), "101 2028 102 0 0");
        ck_assert_str_eq(print(&es[1], false), "101 2028 2048 2093 102");
        ck_assert_str_eq(print(&es[2], false), "101 102 0 0 0");
        ck_assert_uint_eq(es[0].marks[3],
                          KRS_TOKEN_IS_SPECIAL | KRS_TOKEN_IS_PADDING);
        ck_assert_str_eq(es[0].text, "[CLS]one[SEP][PAD][PAD]");
    }
    for (int i = 0; i < 3; i++)
        krs_encoding_free(&es[i]);
    krs_tokenizer_free(t);
}
END_TEST

START_TEST(padding_of_a_file_may_stand_in_front)
{
    static const char json[] =
        "{\"padding\":{\"strategy\":\"BatchLongest\",\"direction\":\"Left\","
        "\"pad_to_multiple_of\":4,\"pad_id\":0,\"pad_type_id\":3,"
        "\"pad_token\":\"<p>\"},\"pre_tokenizer\":{\"type\":\"Whitespace\"},"
        "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":"
        "{\"<p>\":0,\"u\":1,\"a\":2}}}";
    krs_tokenizer *t;
    krs_encoding e = {0};
    krs_encode_options o = {.struct_size = sizeof o, .pieces = true};
    ck_assert_int_eq(krs_tokenizer_read("t", json, sizeof json - 1, &t, &err),
                     0);
    encode(t, "a b a b a", &o, &e);
    ck_assert_str_eq(print(&e, true), "0 0 0 2 1 2 1 2|3 3 3 0 0 0 0 0");
    ck_assert_str_eq(e.text, "<p><p><p>auaua");
    ck_assert_uint_eq(e.piece[4] - e.piece[3], 1);
    ck_assert_uint_eq(e.spans[4].begin, 2);
    o.pad_to = -1;
    encode(t, "a", &o, &e);
    ck_assert_str_eq(print(&e, false), "2");
    o.pad_to = 2;
    encode(t, "a", &o, &e);
    ck_assert_str_eq(print(&e, false), "0 2");
    krs_encoding_free(&e);
    krs_tokenizer_free(t);
}
END_TEST

/* 400 texts, the same on one thread and on many, twice over. */
START_TEST(threads_change_nothing)
{
    krs_tokenizer *t = open_golden("smollm_bpe/tokenizer.json");
    enum { COUNT = 400 };
    static char text[COUNT][64];
    static krs_text texts[COUNT];
    static krs_encoding one[COUNT], many[COUNT];
    for (int i = 0; i < COUNT; i++) {
        int n = snprintf(text[i], sizeof *text, "number %d, caf\xC3\xA9 %x", i,
                         i * 7919);
        texts[i] = (krs_text){text[i], (size_t)n};
    }
    krs_encode_options o = {.struct_size = sizeof o, .threads = 1};
    ck_assert_int_eq(
        krs_tokenizer_encode_batch(t, texts, NULL, COUNT, &o, one, &err), 0);
    for (o.threads = 4; o.threads <= 8; o.threads += 4) {
        ck_assert_int_eq(
            krs_tokenizer_encode_batch(t, texts, NULL, COUNT, &o, many, &err),
            0);
        for (int i = 0; i < COUNT; i++) {
            ck_assert_uint_eq(one[i].count, many[i].count);
            ck_assert_mem_eq(one[i].ids, many[i].ids,
                             one[i].count * sizeof *one[i].ids);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        krs_encoding_free(&one[i]);
        krs_encoding_free(&many[i]);
    }
    krs_tokenizer_free(t);
}
END_TEST

START_TEST(of_several_bad_texts_the_first_is_told)
{
    krs_tokenizer *t = open_golden("bytelevel_bpe/tokenizer.json");
    krs_text texts[8];
    krs_encoding es[8] = {{0}};
    for (int i = 0; i < 8; i++)
        texts[i] = i < 3 ? (krs_text){"ok", 2} : (krs_text){"a\xFF", 2};
    krs_encode_options o = {.struct_size = sizeof o, .threads = 4};
    ck_assert_int_eq(
        krs_tokenizer_encode_batch(t, texts, NULL, 8, &o, es, &err),
        KRS_E_FORMAT);
    ck_assert_str_eq(err.text, "text 3: tokenizer: the text is not UTF-8 at "
                               "byte 1, 0xff");
    for (int i = 0; i < 8; i++)
        ck_assert_ptr_null(es[i].ids);
    krs_tokenizer_free(t);
}
END_TEST

START_TEST(spans_are_bytes_of_whole_characters)
{
    krs_tokenizer *t = open_golden("bytelevel_bpe/tokenizer.json");
    krs_encoding e = {0};
    encode(t, "h\xC3\xA9llo w\xC3\xB6rld \xF0\x9F\x99\x82", NULL, &e);
    ck_assert_str_eq(print(&e, false),
                     "72 914 76 76 79 304 128 115 82 76 68 221 173 254 248 "
                     "225");
    ck_assert_uint_eq(e.spans[1].begin, 1);
    ck_assert_uint_eq(e.spans[1].end, 3);
    for (int i = 12; i < 16; i++) {
        ck_assert_uint_eq(e.spans[i].begin, 14);
        ck_assert_uint_eq(e.spans[i].end, 18);
    }
    krs_tokenizer_free(t);
    t = open_golden("spm_bpe/tokenizer.json");
    encode(t, "a\xC3\xA9\xF0\x9F\x99\x82 b", NULL, &e);
    ck_assert_str_eq(print(&e, false), "1 1116 1121 1182 243 162 156 133 315");
    ck_assert_uint_eq(e.spans[8].begin, 7);
    ck_assert_uint_eq(e.spans[8].end, 9);
    krs_encoding_free(&e);
    krs_tokenizer_free(t);
}
END_TEST

/* ---- streams ---- */

/* All that a stream gives, each piece whole characters. */
static const char *
stream(const krs_tokenizer *t, const uint32_t *ids, size_t count)
{
    static char text[4096];
    size_t at = 0, bytes;
    const char *piece;
    krs_token_stream *s;
    ck_assert_int_eq(krs_token_stream_new(t, false, &s, &err), 0);
    for (size_t i = 0; i <= count; i++) {
        ck_assert_int_eq(
            i < count ? krs_token_stream_push(s, ids[i], &piece, &bytes, &err)
                      : krs_token_stream_end(s, &piece, &bytes, &err),
            0);
        ck_assert(bytes == 0 || ((unsigned char)piece[0] & 0xC0) != 0x80);
        memcpy(text + at, piece, bytes);
        at += bytes;
    }
    text[at] = 0;
    krs_token_stream_free(s);
    return text;
}

START_TEST(a_stream_gives_the_text_of_all_ids)
{
    static const char *const names[] = {
        "bert_wordpiece/tokenizer.json", "bytelevel_bpe/tokenizer.json",
        "smollm_bpe/tokenizer.json",     "spm_bpe/tokenizer.json",
        "spm_unigram/tokenizer.json",    "spm_bpe/spm.model",
        "spm_unigram/spm.model"};
    static const char *const texts[] = {"Hello, world!",
                                        " two  spaces ",
                                        "caf\xC3\xA9 \xF0\x9F\x99\x82\xF0\x9F"
                                        "\x99\x83 \xE6\xBC\xA2\xE5\xAD\x97 end",
                                        "a",
                                        "",
                                        "do n't 's . x"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        krs_tokenizer *t = open_golden(names[n]);
        krs_encoding e = {0};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            char *whole;
            encode(t, texts[i], NULL, &e);
            ck_assert_int_eq(krs_tokenizer_decode(t, e.ids, e.count, false,
                                                  &whole, NULL, &err),
                             0);
            ck_assert_str_eq(stream(t, e.ids, e.count), whole);
            free(whole);
        }
        krs_encoding_free(&e);
        krs_tokenizer_free(t);
    }
}
END_TEST

START_TEST(bytes_that_make_no_character_become_a_mark)
{
    krs_tokenizer *t;
    ck_assert_int_eq(krs_tokenizer_open("bytes", &t, &err), 0);
    const uint32_t ids[] = {'a', 0xE2, 0x82, 'b', 0xF0, 0x9F};
    ck_assert_str_eq(stream(t, ids, 6), "a\xEF\xBF\xBD"
                                        "b\xEF\xBF\xBD");
    const uint32_t none[] = {256};
    char *text;
    ck_assert_int_eq(krs_tokenizer_decode(t, none, 1, false, &text, NULL, &err),
                     KRS_E_RANGE);
    krs_tokenizer_free(t);
}
END_TEST

/* ---- memory that runs out ---- */

/* Load, encode and decode with the n-th allocation failing, for every n. */
static krs_status
use(const char *json, size_t bytes)
{
    krs_tokenizer *t;
    krs_encoding e = {0};
    char *text;
    krs_encode_options o = {.struct_size = sizeof o, .pieces = true};
    KRS_TRY(krs_tokenizer_read("t", json, bytes, &t, &err));
    krs_status status =
        krs_tokenizer_encode(t, "a\xC3\xA9 b [X] ab", 11, &o, &e, &err);
    if (status == KRS_OK)
        status =
            krs_tokenizer_decode(t, e.ids, e.count, false, &text, NULL, &err);
    if (status == KRS_OK)
        free(text);
    krs_encoding_free(&e);
    krs_tokenizer_free(t);
    return status;
}

START_TEST(memory_that_runs_out_is_reported_wherever_it_happens)
{
    static const char *const models[] = {
        "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"u\":3},"
        "\"merges\":[\"a b\"],\"unk_token\":\"u\"}",
        "{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"u\",0],[\"a\",-1],"
        "[\"b\",-2]]}",
        "{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"vocab\":{\"u\":0,"
        "\"a\":1,\"b\":2,\"##b\":3},\"continuing_subword_prefix\":\"##\","
        "\"max_input_chars_per_word\":9}",
    };
    char json[1200];
    for (int m = 0; m < 3; m++) {
        int bytes = snprintf(
            json, sizeof json,
            "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
            "\"NFD\"},{\"type\":\"Lowercase\"}]},\"pre_tokenizer\":{\"type\":"
            "\"WhitespaceSplit\"},\"decoder\":{\"type\":\"Fuse\"},"
            "\"added_tokens\":[{\"id\":4,\"content\":\"[X]\",\"single_word\":"
            "false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
            "\"special\":true}],\"model\":%s}",
            models[m]);
        if (m == 1) /* three pieces: the next id is 3 */
            strstr(json, "\"id\":4")[5] = '3';
        ck_assert_msg(use(json, (size_t)bytes) == KRS_OK, "%s", err.text);
        for (int n = 1;; n++) {
            memory_fail_at(n);
            krs_status status = use(json, (size_t)bytes);
            if (!memory_struck()) {
                ck_assert_int_eq(status, KRS_OK);
                ck_assert_int_gt(n, 40);
                break;
            }
            ck_assert_msg(status == KRS_E_MEMORY || status == KRS_OK,
                          "allocation %d: %s", n, err.text);
        }
    }
}
END_TEST

SUITE(a_pair_has_types_marks_and_spans_of_its_texts,
      what_is_too_long_is_cut_as_the_original_does,
      truncation_that_cannot_be_is_refused, a_batch_is_padded_to_its_longest,
      padding_of_a_file_may_stand_in_front, threads_change_nothing,
      of_several_bad_texts_the_first_is_told,
      spans_are_bytes_of_whole_characters, a_stream_gives_the_text_of_all_ids,
      bytes_that_make_no_character_become_a_mark,
      memory_that_runs_out_is_reported_wherever_it_happens)
