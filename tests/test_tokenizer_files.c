/* test_tokenizer_files.c -- the files of a tokenizer, kept to be put beside a
 * model. */
#include <krs/token.h>

#include "fault_memory.h"
#include "suite.h"
#include "temp_folder.h"

#include <sys/stat.h>

#define TOKENIZERS TESTS_DIR "/golden/tokenizers/"

static krs_error err;

static void
must(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

static krs_tokenizer_files *
open_files(const char *path)
{
    krs_tokenizer_files *f;
    must(krs_tokenizer_files_open(path, &f, &err));
    return f;
}

/* Ids of a text by the tokenizer of a path. */
static void
assert_same_ids(const char *a, const char *b)
{
    static const char text[] = "Hello, world! na\xC3\xAFve 12";
    const char *paths[2] = {a, b};
    krs_encoding e[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        krs_tokenizer *t;
        must(krs_tokenizer_open(paths[i], &t, &err));
        must(krs_tokenizer_encode(t, text, sizeof text - 1, NULL, &e[i], &err));
        krs_tokenizer_free(t);
    }
    ck_assert_uint_eq(e[0].count, e[1].count);
    ck_assert_mem_eq(e[0].ids, e[1].ids, e[0].count * sizeof *e[0].ids);
    krs_encoding_free(&e[0]);
    krs_encoding_free(&e[1]);
}

START_TEST(a_folder_that_they_are_written_to_is_the_same_tokenizer)
{
    static const char *const paths[] = {
        TOKENIZERS "bytelevel_bpe", TOKENIZERS "bert_wordpiece/vocab.txt",
        TOKENIZERS "spm_bpe/spm.model", TOKENIZERS "smollm_bpe/tokenizer.json"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char folder[300];
        snprintf(folder, sizeof folder, "%s/%zu", temp_folder(), i);
        ck_assert_int_eq(mkdir(folder, 0777), 0);
        krs_tokenizer_files *f = open_files(paths[i]);
        must(krs_tokenizer_files_write(f, folder, &err));
        krs_tokenizer_files_close(f);
        assert_same_ids(paths[i], folder);
        snprintf(folder, sizeof folder, "rm -r %s/%zu", temp_folder(), i);
        ck_assert_int_eq(system(folder), 0);
    }
}
END_TEST

START_TEST(they_are_written_after_the_originals_are_gone)
{
    size_t bytes;
    write_file("words.json", "{}", 2);
    write_file("tokenizer_config.json", "{\"bos_token\": \"a\"}", 18);
    write_file("chat_template.jinja", "{{ x }}", 7);
    krs_tokenizer_files *f = open_files(temp_path("words.json"));
    unlink(temp_path("words.json"));
    unlink(temp_path("tokenizer_config.json"));
    unlink(temp_path("chat_template.jinja"));
    must(krs_tokenizer_files_write(f, temp_folder(), &err));
    ck_assert_int_eq(count_files(), 3);
    char *text = read_file("tokenizer.json", &bytes);
    ck_assert_str_eq(text, "{}");
    free(text);
    text = read_file("chat_template.jinja", &bytes);
    ck_assert_str_eq(text, "{{ x }}");
    free(text);
    ck_assert_int_eq(krs_tokenizer_files_write(f, temp_path("none"), &err),
                     KRS_E_IO);
    krs_tokenizer_files_close(f);
}
END_TEST

START_TEST(bytes_have_none_and_a_gguf_file_cannot_give_any)
{
    krs_tokenizer_files *f = open_files("bytes");
    must(krs_tokenizer_files_write(f, temp_folder(), &err));
    ck_assert_int_eq(count_files(), 0);
    krs_tokenizer_files_close(f);
    ck_assert_int_eq(krs_tokenizer_files_open("m.gguf", &f, &err),
                     KRS_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "m.gguf: this tokenizer cannot be "
                                           "put beside a model"));
    /* but the tokenizer of one without its tensors is a file of a folder */
    write_file("tokenizer.gguf", "GGUF", 4);
    f = open_files(temp_folder());
    unlink(temp_path("tokenizer.gguf"));
    must(krs_tokenizer_files_write(f, temp_folder(), &err));
    krs_tokenizer_files_close(f);
    ck_assert_int_eq(unlink(temp_path("tokenizer.gguf")), 0);
    ck_assert_int_eq(krs_tokenizer_files_open(temp_folder(), &f, &err),
                     KRS_E_NAME);
    ck_assert_int_eq(krs_tokenizer_files_open("none.json", &f, &err), KRS_E_IO);
}
END_TEST

static krs_status
copy_it(const char *from)
{
    krs_tokenizer_files *f = NULL;
    krs_status status = krs_tokenizer_files_open(from, &f, &err);
    if (status == KRS_OK)
        status = krs_tokenizer_files_write(f, temp_folder(), &err);
    krs_tokenizer_files_close(f);
    return status;
}

START_TEST(memory_that_runs_out_is_reported)
{
    long n = 1, alive = memory_alive();
    temp_folder();
    for (;; n++) {
        memory_fail_at(n);
        krs_status status = copy_it(TOKENIZERS "bert_wordpiece");
        if (!memory_struck())
            break;
        ck_assert_int_eq(status, KRS_E_MEMORY);
        ck_assert_int_eq(memory_alive(), alive);
    }
    ck_assert_int_gt(n, 5);
}
END_TEST

SUITE(a_folder_that_they_are_written_to_is_the_same_tokenizer,
      they_are_written_after_the_originals_are_gone,
      bytes_have_none_and_a_gguf_file_cannot_give_any,
      memory_that_runs_out_is_reported)
