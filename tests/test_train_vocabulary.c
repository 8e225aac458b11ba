/* test_train_vocabulary.c -- vocabularies out of texts: what every kind must do. Golden
 * vocabularies are compared by tokenize.bats.
 */
#include <krs/token.h>

#include "fault_memory.h"
#include "suite.h"

#include <string.h>

static krs_error err;

static const char text[] = "the thin cat in the mat\nthat the cat in\n"
                           "na\xC3\xAFve cats, that thin hat\n";

static krs_tokenizer_training
options(krs_train_kind kind)
{
    static const size_t sizes[KRS_TRAIN_KINDS] = {
        [KRS_TRAIN_BPE] = 264,      [KRS_TRAIN_BPE_CHARS] = 40,
        [KRS_TRAIN_WORDPIECE] = 50, [KRS_TRAIN_UNIGRAM] = 30,
        [KRS_TRAIN_WORD] = 8,       [KRS_TRAIN_CHAR] = 12,
    };
    return (krs_tokenizer_training){.struct_size =
                                        sizeof(krs_tokenizer_training),
                                    .kind = kind,
                                    .vocabulary = sizes[kind]};
}

/* *out is to be freed, NULL after an error */
static krs_status
train(krs_train_kind kind, const char *from, size_t bytes, char **out)
{
    krs_tokenizer_training o = options(kind);
    const krs_text texts[] = {
        {from, bytes}
    };
    *out = NULL;
    return krs_tokenizer_train(&o, texts, 1, out, NULL, &err);
}

START_TEST(what_is_trained_encodes_its_text)
{
    for (int kind = 0; kind < KRS_TRAIN_KINDS; kind++) {
        char *json;
        krs_tokenizer *t;
        krs_encoding e = {0};
        ck_assert_msg(train(kind, text, sizeof text - 1, &json) == KRS_OK, "%s",
                      err.text);
        ck_assert_msg(krs_tokenizer_read("trained", json, strlen(json), &t,
                                         &err) == KRS_OK,
                      "%s", err.text);
        ck_assert_uint_le(krs_tokenizer_size(t),
                          options((krs_train_kind)kind).vocabulary);
        ck_assert_msg(krs_tokenizer_encode(t, text, sizeof text - 1, NULL, &e,
                                           &err) == KRS_OK,
                      "%s", err.text);
        ck_assert_uint_gt(e.count, 5);
        krs_encoding_free(&e);
        krs_tokenizer_free(t);
        free(json);
    }
}
END_TEST

START_TEST(lines_may_come_in_any_number_of_texts)
{
    const krs_text texts[] = {
        {text,      24                  },
        {text + 24, sizeof text - 1 - 24}
    };
    for (int kind = 0; kind < KRS_TRAIN_KINDS; kind++) {
        krs_tokenizer_training o = options((krs_train_kind)kind);
        char *one, *two;
        ck_assert_int_eq(train(o.kind, text, sizeof text - 1, &one), KRS_OK);
        ck_assert_int_eq(krs_tokenizer_train(&o, texts, 2, &two, NULL, &err),
                         KRS_OK);
        ck_assert_str_eq(one, two);
        free(one);
        free(two);
    }
}
END_TEST

START_TEST(texts_and_sizes_that_make_no_vocabulary_are_refused)
{
    for (int kind = 0; kind < KRS_TRAIN_KINDS; kind++) {
        krs_tokenizer_training o = options((krs_train_kind)kind);
        char *json;
        const krs_text texts[] = {
            {text, sizeof text - 1}
        };
        ck_assert_int_eq(train(o.kind, "a \xFF", 3, &json), KRS_E_FORMAT);
        ck_assert_str_eq(err.text, "train: the text is not UTF-8 at byte 2");
        o.vocabulary = 0;
        ck_assert_int_eq(krs_tokenizer_train(&o, texts, 1, &json, NULL, &err),
                         KRS_E_ARGUMENT);
        if (kind == KRS_TRAIN_WORD || kind == KRS_TRAIN_CHAR)
            continue; /* one token, [UNK], is enough */
        o.vocabulary = 1;
        ck_assert_int_eq(krs_tokenizer_train(&o, texts, 1, &json, NULL, &err),
                         KRS_E_RANGE);
    }
}
END_TEST

static const char few[] = "ab abc\nb abc";

/* The last allocation of a training that ends right after its frame is read,
 * for the text is not UTF-8; found from above, so that none before it fails. */
static long
last_of_frame(krs_train_kind kind)
{
    char *json;
    for (long n = 600; n > 0; n--) {
        memory_fail_at(n);
        krs_status status = train(kind, "\xFF", 1, &json);
        if (memory_struck())
            return n;
        ck_assert_int_eq(status, KRS_E_FORMAT);
    }
    return 0;
}

/* Let each allocation from the n-th on fail once, of the hundreds that are alike
 * (a token each) some; gives how many there are. */
static long
fail_each(krs_train_kind kind, long n)
{
    char *json, *want;
    ck_assert_int_eq(train(kind, few, sizeof few - 1, &want), KRS_OK);
    for (long alive = memory_alive();; n += n < 150 ? 1 : 17) {
        memory_fail_at(n);
        krs_status status = train(kind, few, sizeof few - 1, &json);
        if (!memory_struck()) {
            ck_assert_int_eq(status, KRS_OK);
            ck_assert_str_eq(json, want);
            free(json);
            free(want);
            return n;
        }
        ck_assert_msg(status == KRS_E_MEMORY, "kind %d, allocation %ld: %s",
                      (int)kind, n, krs_status_name(status));
        ck_assert_ptr_null(json);
        ck_assert_int_eq(memory_alive(), alive);
    }
}

START_TEST(memory_that_runs_out_is_reported)
{
    for (int i = 0; i < KRS_TRAIN_KINDS; i++) {
        krs_train_kind kind = (krs_train_kind)i;
        ck_assert_int_gt(fail_each(kind, 1), 11);
        /* and those of jansson, but while it parses the frame: it aborts where
         * memory runs out at certain lengths (json_file.c) */
        memory_watch_json();
        long frame = last_of_frame(kind);
        ck_assert_int_gt(frame, 10);
        ck_assert_int_lt(frame, 600);
        ck_assert_int_gt(fail_each(kind, frame + 1), frame + 11);
        memory_leave_json();
    }
}
END_TEST

SUITE(what_is_trained_encodes_its_text, lines_may_come_in_any_number_of_texts,
      texts_and_sizes_that_make_no_vocabulary_are_refused,
      memory_that_runs_out_is_reported)
