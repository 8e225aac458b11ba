/* test_corpus.c -- documents out of texts, lines, JSON lines and what zstd
 * made of them; token ids into shards and back.
 */
#include <krs/corpus.h>

#include "fault_memory.h"
#include "suite.h"
#include "temp_folder.h"

static krs_error err;

static void
write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

/* All documents with '|' behind each; to be freed. */
static char *
documents(const char *name, const krs_corpus_options *options)
{
    krs_corpus *c = NULL;
    const char *text;
    size_t bytes, used = 0, room = 1 << 22;
    char *all = calloc(1, room);
    ck_assert_msg(krs_corpus_open(temp_path(name), options, &c, &err) == KRS_OK,
                  "%s", err.text);
    do {
        krs_status status = krs_corpus_next(c, &text, &bytes, &err);
        ck_assert_msg(status == KRS_OK, "%s", err.text);
        if (text) {
            ck_assert_uint_lt(used + bytes + 2, room);
            ck_assert_int_eq(text[bytes], 0);
            memcpy(all + used, text, bytes);
            used += bytes;
            all[used++] = '|';
        }
    } while (text);
    ck_assert_int_eq(krs_corpus_next(c, &text, &bytes, &err), 0);
    ck_assert_ptr_null(text);
    krs_corpus_close(c);
    return all;
}

static void
assert_documents(const char *name, krs_corpus_kind kind, const char *expected)
{
    krs_corpus_options options = {.struct_size = sizeof options, .kind = kind};
    char *got = documents(name, &options);
    ck_assert_str_eq(got, expected);
    free(got);
}

START_TEST(texts_lines_and_json_lines_are_read)
{
    write_text("a.txt", "one\ntwo\r\n\nthree");
    assert_documents("a.txt", KRS_CORPUS_BY_NAME, "one\ntwo\r\n\nthree|");
    assert_documents("a.txt", KRS_CORPUS_LINES, "one|two|three|");
    write_text("a.jsonl", "{\"text\": \"one\", \"id\": 7}\n\n"
                          "{\"id\": {}, \"text\": \"t\\u00e4o\\n\"}\n");
    assert_documents("a.jsonl", KRS_CORPUS_BY_NAME, "one|t\xC3\xA4o\n|");
    write_text("a.ndjson", "{\"body\": \"\"}\n{\"body\": \"x\"}");
    krs_corpus_options body = {.struct_size = sizeof body, .field = "body"};
    char *got = documents("a.ndjson", &body);
    ck_assert_str_eq(got, "|x|");
    free(got);
    write_text("empty", "");
    assert_documents("empty", KRS_CORPUS_TEXT, "");
    assert_documents("empty", KRS_CORPUS_LINES, "");
    assert_documents("empty", KRS_CORPUS_JSONL, "");
    write_text("ends", "\n\n\n");
    assert_documents("ends", KRS_CORPUS_LINES, "");
}
END_TEST

START_TEST(lines_longer_than_a_read_are_whole)
{
    size_t length = 300000;
    char *text = malloc(2 * length + 3);
    memset(text, 'a', length);
    text[length] = '\n';
    memset(text + length + 1, 'b', length);
    text[2 * length + 1] = '\n';
    write_file("long", text, 2 * length + 2);
    text[length] = text[2 * length + 1] = '|';
    text[2 * length + 2] = 0;
    assert_documents("long", KRS_CORPUS_LINES, text);
    free(text);
}
END_TEST

static void
assert_refused(const char *name, const krs_corpus_options *options,
               const char *sentence)
{
    krs_corpus *c = NULL;
    const char *text = "";
    size_t bytes;
    krs_status status = krs_corpus_open(temp_path(name), options, &c, &err);
    while (status == KRS_OK && text)
        status = krs_corpus_next(c, &text, &bytes, &err);
    krs_corpus_close(c);
    ck_assert_int_ne(status, KRS_OK);
    ck_assert_msg(strstr(err.text, sentence) != NULL, "%s", err.text);
}

START_TEST(what_is_no_document_is_refused_with_its_line)
{
    krs_corpus_options short_ones = {.struct_size = sizeof short_ones,
                                     .kind = KRS_CORPUS_LINES,
                                     .most_document_bytes = 1000};
    write_text("b.jsonl", "{\"text\": \"a\"}\n{\"text\": 7}\n");
    assert_refused("b.jsonl", NULL,
                   "b.jsonl: line 2: $.text: expected a string, found 7");
    write_text("b.jsonl", "\n\n{\"texts\": \"a\"}");
    assert_refused("b.jsonl", NULL, "b.jsonl: line 3: $.text: is missing");
    write_text("b.jsonl", "{\"text\": \"a\"}\n{\"text\": ");
    assert_refused("b.jsonl", NULL, "b.jsonl: line 2: line 1, byte");
    write_text("b.jsonl", "{\"text\": \"\\u0000\"}");
    assert_refused("b.jsonl", NULL, "NUL character");
    char *text = malloc(200000);
    memset(text, 'x', 200000);
    write_file("long", text, 200000);
    free(text);
    assert_refused("long", &short_ones,
                   "long: line 1: the document has more than 1000 bytes");
    assert_refused("none", NULL, "none: cannot open");
    krs_corpus_options wrong = {0};
    assert_refused("long", &wrong, "struct_size is 0");
}
END_TEST

START_TEST(zstd_is_unpacked)
{
    if (system("zstd --version >/dev/null 2>&1") != 0) {
        printf("1 test skipped: the zstd program is not there\n");
        return;
    }
    char command[512], *lines = malloc(400000), *at = lines;
    for (int i = 0; i < 20000; i++)
        at += sprintf(at, "line %d\n", i * i);
    write_file("c.txt", lines, (size_t)(at - lines));
    snprintf(command, sizeof command,
             "cd %s && zstd -q c.txt && echo '{\"text\":\"x\"}' >d.jsonl && "
             "zstd -q d.jsonl && cat c.txt.zst c.txt.zst >e.zst",
             temp_folder());
    ck_assert_int_eq(system(command), 0);
    krs_corpus *c = NULL;
    if (krs_corpus_open(temp_path("c.txt.zst"), NULL, &c, &err) ==
        KRS_E_UNSUPPORTED) {
        ck_assert_ptr_nonnull(strstr(err.text, "zstd -d"));
        printf("zstd skipped: the build has it not\n");
        return;
    }
    krs_corpus_close(c);
    char *twice = malloc(800000);
    sprintf(twice, "%s|", lines);
    assert_documents("c.txt.zst", KRS_CORPUS_TEXT, twice);
    sprintf(twice, "%s%s|", lines, lines);
    assert_documents("e.zst", KRS_CORPUS_TEXT, twice);
    assert_documents("d.jsonl.zst", KRS_CORPUS_BY_NAME, "x|");
    size_t bytes;
    char *packed = read_file("c.txt.zst", &bytes);
    write_file("f.zst", packed, bytes / 2);
    assert_refused("f.zst", NULL, "the zstd data is damaged: it ends inside");
    memset(packed + bytes / 2, 0xA5, 16);
    write_file("g.zst", packed, bytes);
    assert_refused("g.zst", NULL, "g.zst: offset ");
    /* a frame that asks for a window of 2 GiB */
    static const char greedy[] = "\x28\xB5\x2F\xFD\x00\xA8\x01\x00\x00";
    write_file("h.zst", greedy, sizeof greedy - 1);
    assert_refused("h.zst", NULL, "requires too much memory");
    free(packed);
    free(twice);
    free(lines);
}
END_TEST

START_TEST(ids_go_into_shards_and_come_back)
{
    static const krs_token_kind kinds[] = {KRS_TOKENS_BYTES, KRS_TOKENS_U16,
                                           KRS_TOKENS_I32};
    static const int64_t tops[] = {255, 65535, INT32_MAX};
    for (int k = 0; k < 3; k++) {
        krs_shards *s = NULL;
        krs_data *data;
        size_t files = 0;
        int64_t ids[25], inputs[24], labels[24];
        for (int i = 0; i < 25; i++)
            ids[i] = i < 24 ? i * 7 % 200 : tops[k];
        ck_assert_int_eq(
            krs_shards_open(temp_path("s"), kinds[k], 10, &s, &err), 0);
        ck_assert_int_eq(krs_shards_add(s, ids, 13, &err), 0);
        int64_t bad[] = {1, tops[k] + 1}, negative = -1;
        ck_assert_int_eq(krs_shards_add(s, bad, 2, &err), KRS_E_RANGE);
        ck_assert_int_eq(krs_shards_add(s, &negative, 1, &err), KRS_E_RANGE);
        ck_assert_int_eq(krs_shards_add(s, ids + 13, 12, &err), 0);
        ck_assert_int_eq(krs_shards_close(s, &files, &err), 0);
        ck_assert_uint_eq(files, 3);
        const char *paths[] = {temp_path("s-00000.bin"),
                               temp_path("s-00001.bin"),
                               temp_path("s-00002.bin")};
        krs_data_options o = {.struct_size = sizeof o, .window = 24};
        ck_assert_msg(krs_data_open(paths, 3, kinds[k], &o, &data, &err) == 0,
                      "%s", err.text);
        ck_assert_int_eq(krs_data_tokens(data), 25);
        krs_data_cursor at = krs_data_start(data, 0);
        ck_assert_int_eq(krs_data_next(data, &at, 1, inputs, labels, &err), 0);
        ck_assert_mem_eq(inputs, ids, sizeof inputs);
        ck_assert_int_eq(labels[23], tops[k]);
        krs_data_free(data);
    }
    krs_shards *s = NULL;
    ck_assert_int_eq(
        krs_shards_open(temp_path("s"), KRS_TOKENS_U16, 0, &s, &err),
        KRS_E_ARGUMENT);
    ck_assert_int_eq(
        krs_shards_open(temp_path("t"), KRS_TOKENS_U16, 5, &s, &err), 0);
    size_t files = 9;
    ck_assert_int_eq(krs_shards_close(s, &files, &err), 0);
    ck_assert_uint_eq(files, 0);
}
END_TEST

START_TEST(memory_that_runs_out_is_reported)
{
    write_text("a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
    const char *path = temp_path("a.jsonl");
    int n = 1;
    for (;; n++) {
        krs_corpus *c = NULL;
        const char *text = "";
        size_t bytes;
        memory_fail_at(n);
        krs_status status = krs_corpus_open(path, NULL, &c, &err);
        while (status == KRS_OK && text)
            status = krs_corpus_next(c, &text, &bytes, &err);
        bool struck = memory_struck();
        krs_corpus_close(c);
        if (!struck) {
            ck_assert_int_eq(status, KRS_OK);
            break;
        }
        ck_assert_int_eq(status, KRS_E_MEMORY);
    }
    ck_assert_int_ge(n, 7);
}
END_TEST

SUITE(texts_lines_and_json_lines_are_read, lines_longer_than_a_read_are_whole,
      what_is_no_document_is_refused_with_its_line, zstd_is_unpacked,
      ids_go_into_shards_and_come_back, memory_that_runs_out_is_reported)
