/* test_encoded.c -- documents as the ids of a tokenizer, in windows. */
#include <krs/corpus.h>

#include "fault_memory.h"
#include "suite.h"
#include "temp_folder.h"

static krs_error err;

static void
must(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

static void
write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

/* Words aa = 0, b = 1; </s> = 2 is the eos. */
static krs_tokenizer *
open_words(void)
{
    krs_tokenizer *t;
    write_text("tokenizer.json",
               "{\"pre_tokenizer\": {\"type\": \"Whitespace\"}, \"model\": "
               "{\"type\": \"WordLevel\", \"vocab\": {\"aa\": 0, \"b\": 1, "
               "\"</s>\": 2}, \"unk_token\": \"b\"}}");
    write_text("tokenizer_config.json", "{\"eos_token\": \"</s>\"}");
    must(krs_tokenizer_open(temp_folder(), &t, &err));
    ck_assert_int_eq(krs_tokenizer_eos(t), 2);
    return t;
}

START_TEST(documents_follow_each_other_with_an_eos_behind_each)
{
    krs_tokenizer *t = open_words();
    krs_data_options options = {
        .struct_size = sizeof options, .window = 1, .validation = 0.4};
    krs_data *data;
    double bytes_per_token;
    int64_t in[3], label[3], row[4] = {-1, -1, -1, -1};
    write_text("a.jsonl", "{\"text\": \"aa b\"}\n");
    write_text("b.txt", "b aa aa");
    const char *paths[] = {temp_path("a.jsonl"), temp_path("b.txt")};
    must(krs_data_encode(paths, 2, t, NULL, &options, &data, &bytes_per_token,
                         &err));
    /* aa b </s> b | aa aa </s> */
    ck_assert_int_eq(krs_data_tokens(data), 7);
    ck_assert_int_eq(krs_data_validation_start(data), 4);
    must(krs_data_validation(data, 0, 2, in, label, &err));
    ck_assert(in[0] == 0 && label[0] == 0 && in[1] == 0 && label[1] == 2);
    ck_assert_int_eq(krs_data_windows(data), 3);
    krs_data_cursor at = krs_data_start(data, 7);
    must(krs_data_next(data, &at, 3, in, label, &err));
    for (int i = 0; i < 3; i++) /* aa b, b </s>, </s> b: no two begin alike */
        row[in[i]] = label[i];
    ck_assert(row[0] == 1 && row[1] == 2 && row[2] == 1);
    /* the labels "aa" and </s> of the last part are " aa" of the text */
    ck_assert_double_eq(bytes_per_token, 1.5);
    krs_data_free(data);
    options.validation = 0;
    must(krs_data_encode(paths, 2, t, NULL, &options, &data, &bytes_per_token,
                         &err));
    ck_assert_double_eq(bytes_per_token, 0);
    krs_data_free(data);
    krs_tokenizer_free(t);
}
END_TEST

static void
assert_refused(const char *text, size_t bytes, int64_t vocabulary,
               const char *sentence)
{
    krs_tokenizer *t = open_words();
    krs_data_options options = {
        .struct_size = sizeof options, .window = 1, .vocabulary = vocabulary};
    krs_data *data;
    double bytes_per_token;
    write_file("x.txt", text, bytes);
    const char *path = temp_path("x.txt");
    ck_assert_int_ne(krs_data_encode(&path, 1, t, NULL, &options, &data,
                                     &bytes_per_token, &err),
                     KRS_OK);
    ck_assert_msg(strstr(err.text, sentence) != NULL, "%s", err.text);
    krs_tokenizer_free(t);
}

START_TEST(texts_that_give_no_ids_of_the_model_are_refused)
{
    assert_refused("aa \xFF", 4, 0, "x.txt: ");
    assert_refused("aa b", 4, 2, "is 2, the vocabulary has 2 tokens");
    assert_refused("", 0, 0, "x.txt: no tokens in 1 files");
}
END_TEST

/* What is done with a text that can run out of memory. */
typedef krs_status use_text(const krs_tokenizer *t, const char *path);

/* Let each allocation fail once; the tokenizer, which keeps memory for its next
 * call, is made anew each time. */
static void
fail_each(use_text *use, const char *content)
{
    char path[256]; /* that of temp_path does not last */
    long n = 1, alive = memory_alive();
    write_text("x.jsonl", content);
    snprintf(path, sizeof path, "%s", temp_path("x.jsonl"));
    for (;; n++) {
        krs_tokenizer *t = open_words();
        memory_fail_at(n);
        krs_status status = use(t, path);
        bool struck = memory_struck();
        ck_assert_msg(status == (struck ? KRS_E_MEMORY : KRS_OK),
                      "allocation %ld: %s", n, err.text);
        krs_tokenizer_free(t);
        ck_assert_int_eq(memory_alive(), alive);
        if (!struck)
            break;
    }
    ck_assert_int_gt(n, 10);
}

static krs_status
encode_it(const krs_tokenizer *t, const char *path)
{
    const krs_data_options options = {
        .struct_size = sizeof options, .window = 2, .validation = 0.5};
    krs_data *data = NULL;
    double bytes_per_token;
    krs_status status = krs_data_encode(&path, 1, t, NULL, &options, &data,
                                        &bytes_per_token, &err);
    krs_data_free(data);
    return status;
}

static krs_status
shard_it(const krs_tokenizer *t, const char *path)
{
    krs_shards *shards;
    krs_error last;
    krs_status status =
        krs_shards_open(temp_path("ids"), KRS_TOKENS_U16, 4, &shards, &err);
    if (status != KRS_OK)
        return status;
    status = krs_shards_encode(shards, &path, 1, t, NULL, &err);
    krs_status closed = krs_shards_close(shards, NULL, &last);
    return status != KRS_OK ? status : closed;
}

START_TEST(memory_that_runs_out_is_reported)
{
    fail_each(encode_it, "{\"text\": \"aa b aa\"}\n{\"text\": \"b b b b\"}\n");
}
END_TEST

START_TEST(documents_go_into_shards)
{
    static const uint16_t want[2][4] = {
        {0, 1, 0, 2},
        {1, 1,  2 }
    };
    size_t bytes;
    fail_each(shard_it, "{\"text\": \"aa b aa\"}\n{\"text\": \"b b\"}\n");
    for (int i = 0; i < 2; i++) {
        char *got = read_file(i ? "ids-00001.bin" : "ids-00000.bin", &bytes);
        ck_assert_uint_eq(bytes, i ? 6 : 8);
        ck_assert_mem_eq(got, want[i], bytes);
        free(got);
    }
}
END_TEST

SUITE(documents_follow_each_other_with_an_eos_behind_each,
      texts_that_give_no_ids_of_the_model_are_refused,
      memory_that_runs_out_is_reported, documents_go_into_shards)
