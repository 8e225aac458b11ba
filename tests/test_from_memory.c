/* test_from_memory.c -- tokenizers of vocabularies in memory, of each kind.
 */
#include "tokenized.h"

#include <krs/token.h>

START_TEST(a_vocabulary_with_merges_is_byte_level)
{
    static const krs_text tokens[] = {TEXT("<|im_start|>"),
                                      TEXT("<|im_end|>"),
                                      TEXT("h"),
                                      TEXT("i"),
                                      TEXT("\xC4\xA0"),
                                      TEXT("hi"),
                                      TEXT("\xC4\xA0hi"),
                                      TEXT("1"),
                                      TEXT("2"),
                                      TEXT("12")};
    static const krs_text merges[] = {TEXT("h i"), TEXT("\xC4\xA0 hi"),
                                      TEXT("1 2")};
    static const int32_t types[] = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
    krs_vocabulary v = vocabulary(KRS_VOCABULARY_GPT2, tokens, 10);
    v.pre = "smollm";
    v.types = types;
    v.merges = merges;
    v.merge_count = 3;
    v.bos = 0;
    v.eos = 1;
    krs_tokenizer *t;
    krs_encoding e = {0};
    ck_assert_int_eq(krs_tokenizer_new(&v, &t, &err), 0);
    encode(t, "<|im_start|>hi hi12<|im_end|>", NULL, &e);
    ck_assert_str_eq(print(&e, false), "0 5 6 7 8 1");
    ck_assert(krs_tokenizer_is_special(t, 0));
    ck_assert(!krs_tokenizer_is_special(t, 2));
    ck_assert_int_eq(krs_tokenizer_eos(t), 1);
    ck_assert_str_eq(krs_tokenizer_token(t, 6), "\xC4\xA0hi");
    ck_assert_int_eq(krs_tokenizer_id(t, "12"), 9);
    krs_tokenizer_free(t);

    v.pre = "gpt-2";
    v.adds_bos = true;
    ck_assert_int_eq(krs_tokenizer_new(&v, &t, &err), 0);
    encode(t, "hi12", NULL, &e);
    ck_assert_str_eq(print(&e, false), "0 5 9");
    krs_tokenizer_free(t);

    v.pre = "klingon";
    ck_assert_int_eq(krs_tokenizer_new(&v, &t, &err), KRS_E_UNSUPPORTED);
    v.pre = NULL;
    v.eos = 10;
    ck_assert_int_eq(krs_tokenizer_new(&v, &t, &err), KRS_E_FORMAT);
    ck_assert_str_eq(err.text,
                     "vocabulary: the eos token is 10, ids go up to 9");
    v.eos = 1;
    v.count = 9;
    ck_assert_int_eq(krs_tokenizer_new(&v, &t, &err), KRS_E_FORMAT);
    ck_assert_str_eq(err.text, "vocabulary: merge 2: the merge needs the token "
                               "\"12\", which is not in the vocabulary");
    krs_encoding_free(&e);
}
END_TEST

START_TEST(a_vocabulary_with_scores_is_sentencepieces)
{
    static const krs_text tokens[] = {TEXT("<unk>"),
                                      TEXT("<s>"),
                                      TEXT("</s>"),
                                      TEXT("[INST]"),
                                      TEXT("\xE2\x96\x81"),
                                      TEXT("a"),
                                      TEXT("b"),
                                      TEXT("ab"),
                                      TEXT("\xE2\x96\x81"
                                           "ab")};
    static const float scores[] = {0, 0, 0, 0, -5, -6, -7, -1, -2};
    static const int32_t types[] = {2, 3, 3, 4, 1, 1, 1, 1, 1};
    krs_vocabulary v = vocabulary(KRS_VOCABULARY_LLAMA, tokens, 9);
    v.scores = scores;
    v.types = types;
    v.bos = 1;
    v.eos = 2;
    v.unk = 0;
    v.adds_bos = true;
    v.adds_space_prefix = true;
    krs_tokenizer *t;
    krs_encoding e = {0};
    ck_assert_int_eq(krs_tokenizer_new(&v, &t, &err), 0);
    encode(t, "ab bab", NULL, &e);
    ck_assert_str_eq(print(&e, false), "1 8 4 6 7");
    encode(t, "[INST]ab</s>", NULL, &e);
    ck_assert_str_eq(print(&e, false), "1 3 8 2");
    encode(t, "xx", NULL, &e);
    ck_assert_str_eq(print(&e, false), "1 4 0");
    krs_tokenizer_free(t);
    v.scores = NULL;
    ck_assert_int_eq(krs_tokenizer_new(&v, &t, &err), KRS_E_FORMAT);
    krs_encoding_free(&e);
}
END_TEST

START_TEST(a_bert_vocabulary_marks_where_words_begin)
{
    static const krs_text tokens[] = {TEXT("[PAD]"),
                                      TEXT("[UNK]"),
                                      TEXT("[CLS]"),
                                      TEXT("[SEP]"),
                                      TEXT("\xE2\x96\x81"
                                           "play"),
                                      TEXT("ing")};
    krs_vocabulary v = vocabulary(KRS_VOCABULARY_BERT, tokens, 6);
    v.unk = 1;
    v.sep = 3;
    v.pad = 0;
    v.cls = 2;
    krs_tokenizer *t;
    krs_encoding e = {0};
    ck_assert_int_eq(krs_tokenizer_new(&v, &t, &err), 0);
    encode(t, "PLAYING ing", NULL, &e);
    ck_assert_str_eq(print(&e, false), "2 4 5 1 3");
    krs_encoding_free(&e);
    krs_tokenizer_free(t);
}
END_TEST

SUITE(a_vocabulary_with_merges_is_byte_level,
      a_vocabulary_with_scores_is_sentencepieces,
      a_bert_vocabulary_marks_where_words_begin)
