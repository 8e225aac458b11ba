/* vocab_files.c -- vocabularies in plain files: vocab.txt, vocab.json with
 * merges.txt, .tiktoken; and the bytes, which need none.
 *
 * In: the files. Out: tokenizers whose frame (normalizer, pre-tokenizer, ...)
 * the format implies: each is written here as the tokenizer.json it would have
 * had. Errors name the line.
 */
#include "../load/json_file.h"
#include "../load/path.h"
#include "pieces.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_LEVEL                                                        \
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"     \
    "false,\"trim_offsets\":true,\"use_regex\":true},\"post_processor\":" \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":" \
    "false},"                                                             \
    "\"decoder\":{\"type\":\"ByteLevel\"}"

/* A line of a text, without its end; false after the last. */
static bool
next_line(const char **at, const char *end, const char **line, size_t *bytes)
{
    if (*at == end)
        return false;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    *line = *at;
    *bytes = (size_t)((stop ? stop : end) - *at);
    *at = stop ? stop + 1 : end;
    return true;
}

/* The end of a tokenizer that a reader filled. */
static krs_status
finish(krs_tokenizer *t, krs_status status, krs_tokenizer **out, krs_error *err)
{
    if (status == KRS_OK)
        status = krsi_tokenizer_ready(t, err);
    if (status == KRS_OK)
        *out = t;
    else
        krs_tokenizer_free(t);
    return status;
}

/* ---- vocab.txt ---- */

static krs_status
read_lines(const char *path, const char *text, size_t count, krs_tokenizer *t,
           krs_error *err)
{
    const char *at = text, *end = text + count, *line;
    size_t bytes;
    size_t bad = krsi_utf8_check(text, count);
    if (bad < count || memchr(text, 0, count))
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: is not UTF-8 at byte %zu, or holds a zero", path,
                        bad);
    for (uint32_t id = 0; next_line(&at, end, &line, &bytes); id++) {
        uint32_t code;
        size_t used;
        while (bytes > 0 &&
               (used = krsi_utf8_last(line, bytes, &code), krsi_is_space(code)))
            bytes -= used;
        if (id >= KRSI_MOST_TOKENS)
            return krs_fail(err, KRS_E_FORMAT, "%s: more than %u lines", path,
                            KRSI_MOST_TOKENS);
        switch (krsi_vocabulary_add(&t->vocabulary, line, bytes, id)) {
        case KRSI_ADDED: break;
        case KRSI_TOKEN_TWICE:
        case KRSI_ID_TWICE:
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: line %u: this token stands on a line before",
                            path, id + 1);
        case KRSI_ADD_NO_MEMORY: return krsi_no_memory(err, "a vocabulary");
        }
    }
    return KRS_OK;
}

/* [CLS] A [SEP], [CLS] A [SEP] B [SEP] with their ids */
static krs_status
add_bert_frame(krs_tokenizer *t, bool lower_case, krs_error *err)
{
    char text[1400];
    uint32_t cls = krsi_vocabulary_find(&t->vocabulary, "[CLS]", 5);
    uint32_t sep = krsi_vocabulary_find(&t->vocabulary, "[SEP]", 5);
    char around[160] = "";
    if (cls != KRSI_NO_ID && sep != KRSI_NO_ID)
        snprintf(around, sizeof around,
                 "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":"
                 "[\"[SEP]\",%u],\"cls\":[\"[CLS]\",%u]},",
                 sep, cls);
    snprintf(text, sizeof text,
             "{%s\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":"
             "true,\"handle_chinese_chars\":true,\"strip_accents\":null,"
             "\"lowercase\":%s},\"pre_tokenizer\":{\"type\":"
             "\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\","
             "\"prefix\":\"##\",\"cleanup\":true}}",
             around, lower_case ? "true" : "false");
    KRS_TRY(krsi_frame(t, text, err));
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]",
                                          "[MASK]"};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        uint32_t id = krsi_vocabulary_find(&t->vocabulary, special[i],
                                           strlen(special[i]));
        if (id == KRSI_NO_ID)
            continue;
        KRS_TRY(krsi_add_special(t, id, err));
        if (i == 0)
            t->pad = (int64_t)id;
    }
    return KRS_OK;
}

krs_status
krsi_bert_finish(krs_tokenizer *t, bool lower_case, krs_error *err)
{
    krsi_model *m = &t->model;
    m->kind = KRSI_WORDPIECE;
    m->max_chars = 100;
    m->prefix = krsi_copy_text("##", 2);
    m->prefix_bytes = 2;
    if (!m->prefix)
        return krsi_no_memory(err, "a model");
    m->unk = krsi_vocabulary_find(&t->vocabulary, "[UNK]", 5);
    KRS_TRY(krsi_wordpiece_index(t, err));
    return add_bert_frame(t, lower_case, err);
}

krs_status
krsi_read_vocab_txt(const char *path, const krs_tokenizer_config *settings,
                    krs_tokenizer **out, krs_error *err)
{
    krs_tokenizer *t;
    char *text;
    size_t count;
    KRS_TRY(krsi_file_whole(path, KRSI_JSON_BYTES, &text, &count, err));
    krs_status status = krsi_tokenizer_new(&t, err);
    if (status != KRS_OK) {
        free(text);
        return status;
    }
    status = read_lines(path, text, count, t, err);
    free(text);
    if (status == KRS_OK)
        status = krsi_bert_finish(t, settings->do_lower_case != KRS_NO, err);
    return finish(t, status, out, err);
}

/* ---- vocab.json and merges.txt ---- */

krs_status
krsi_merge_line(krs_tokenizer *t, const char *where, const char *line,
                size_t bytes, uint32_t rank, krsi_buffer *whole, krs_error *err)
{
    const char *space = memchr(line, ' ', bytes), *missing = NULL;
    size_t missing_bytes = 0;
    if (!space || memchr(space + 1, ' ', bytes - (size_t)(space + 1 - line)))
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: a merge is two tokens with a space between",
                        where);
    const char *const parts[2] = {line, space + 1};
    const size_t counts[2] = {(size_t)(space - line),
                              bytes - (size_t)(space + 1 - line)};
    if (!krsi_merges_room(&t->model.merges, t->model.merges.count + 1))
        return krsi_no_memory(err, "merges");
    krs_status status =
        krsi_merge_add(t, parts, counts, rank, whole, &missing, &missing_bytes);
    if (status == KRS_E_MEMORY)
        return krsi_no_memory(err, "merges");
    if (status != KRS_OK) {
        char token[64], shown[160];
        size_t n = missing_bytes < 63 ? missing_bytes : 63;
        memcpy(token, missing, n);
        token[n] = 0;
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: the merge needs the token %s, which is not in the "
                        "vocabulary",
                        where, krsi_json_quote(token, shown, sizeof shown));
    }
    return KRS_OK;
}

static krs_status
read_merges(const char *path, const char *text, size_t count, krs_tokenizer *t,
            krs_error *err)
{
    const char *at = text, *end = text + count, *line;
    size_t bytes, number = 0;
    uint32_t rank = 0;
    krsi_buffer whole = {0};
    krs_status status = KRS_OK;
    while (status == KRS_OK && next_line(&at, end, &line, &bytes)) {
        char where[600];
        number++;
        if (bytes > 0 && line[bytes - 1] == '\r')
            bytes--;
        if (bytes == 0 || (bytes >= 8 && !memcmp(line, "#version", 8)))
            continue;
        snprintf(where, sizeof where, "%.500s: line %zu", path, number);
        status = krsi_merge_line(t, where, line, bytes, rank++, &whole, err);
    }
    krsi_buffer_free(&whole);
    return status;
}

static krs_status
fill_vocab_merges(const char *vocab, const char *merges, krs_tokenizer *t,
                  krs_error *err)
{
    krsi_json_file *file;
    char *text;
    size_t count;
    KRS_TRY(krsi_json_open(vocab, &file, err));
    krsi_json root = krsi_json_root(file);
    krs_status status = krsi_read_vocabulary(&root, &t->vocabulary, err);
    krsi_json_close(file);
    if (status != KRS_OK)
        return status;
    KRS_TRY(krsi_file_whole(merges, KRSI_JSON_BYTES, &text, &count, err));
    status = read_merges(merges, text, count, t, err);
    free(text);
    if (status != KRS_OK)
        return status;
    t->model.kind = KRSI_BPE;
    uint32_t end = krsi_vocabulary_find(&t->vocabulary, "<|endoftext|>", 13);
    if (end != KRSI_NO_ID) {
        KRS_TRY(krsi_add_special(t, end, err));
        t->bos = t->eos = (int64_t)end;
    }
    return krsi_frame(t, "{" BYTE_LEVEL "}", err);
}

krs_status
krsi_read_vocab_merges(const char *vocab, const char *merges,
                       krs_tokenizer **out, krs_error *err)
{
    krs_tokenizer *t;
    KRS_TRY(krsi_tokenizer_new(&t, err));
    return finish(t, fill_vocab_merges(vocab, merges, t, err), out, err);
}

/* ---- .tiktoken ---- */

/* Vocabularies that are known by how many ranks they have. */
static const struct {
    size_t ranks;
    const char *regex;
    struct {
        uint32_t id; /* 0: no more */
        const char *text;
    } special[6];
} encodings[] = {
    {50256,  krsi_regex_gpt2, {{50256, "<|endoftext|>"}} },
    {50280,  krsi_regex_gpt2, {{50256, "<|endoftext|>"}} },
    {100256,
     krsi_regex_llama3,       {{100257, "<|endoftext|>"},
      {100258, "<|fim_prefix|>"},
      {100259, "<|fim_middle|>"},
      {100260, "<|fim_suffix|>"},
      {100276, "<|endofprompt|>"}}},
    {128000,
     krsi_regex_llama3,       {{128000, "<|begin_of_text|>"},
      {128001, "<|end_of_text|>"},
      {128006, "<|start_header_id|>"},
      {128007, "<|end_header_id|>"},
      {128009, "<|eot_id|>"}}     },
};

/* "base64 rank": the token in the byte alphabet. */
static krs_status
read_rank(const char *where, const char *line, size_t bytes, krs_tokenizer *t,
          krs_error *err)
{
    const char *space = memchr(line, ' ', bytes);
    char *data, *end = NULL;
    size_t count;
    krsi_buffer token = {0};
    unsigned long id = space ? strtoul(space + 1, &end, 10) : 0;
    if (!space || space[1] < '0' || space[1] > '9' || end != line + bytes ||
        id >= KRSI_MOST_TOKENS || id > 2 * t->vocabulary.count + 65536)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: a token in base64 and its rank are expected",
                        where);
    KRS_TRY(
        krsi_base64(where, line, (size_t)(space - line), &data, &count, err));
    for (size_t i = 0; i < count; i++)
        krsi_buffer_add_code(&token, krsi_byte_char((uint8_t)data[i]));
    free(data);
    krsi_added_as as = KRSI_ADD_NO_MEMORY;
    if (!token.failed && token.count > 0)
        as = krsi_vocabulary_add(&t->vocabulary, token.bytes, token.count,
                                 (uint32_t)id);
    krsi_buffer_free(&token);
    if (count == 0)
        return krs_fail(err, KRS_E_FORMAT, "%s: the token is empty", where);
    if (as == KRSI_TOKEN_TWICE || as == KRSI_ID_TWICE)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: the token or its rank was there before", where);
    return as == KRSI_ADDED ? KRS_OK : krsi_no_memory(err, "a vocabulary");
}

/* Neighbours merge if what they make has a rank: every cut of a token in two
 * tokens is a merge of its rank. */
static krs_status
rank_merges(krs_tokenizer *t, krs_error *err)
{
    const krsi_vocabulary *v = &t->vocabulary;
    for (uint32_t id = 0; id < v->ids; id++) {
        size_t bytes;
        const char *text = krsi_vocabulary_text(v, id, &bytes);
        for (size_t at = text ? krsi_utf8_length(*text) : 0; text && at < bytes;
             at += krsi_utf8_length(text[at])) {
            uint32_t left = krsi_vocabulary_find(v, text, at);
            uint32_t right = krsi_vocabulary_find(v, text + at, bytes - at);
            if (left == KRSI_NO_ID || right == KRSI_NO_ID)
                continue;
            if (!krsi_merges_room(&t->model.merges, t->model.merges.count + 1))
                return krsi_no_memory(err, "merges");
            krsi_merges_put(&t->model.merges, left, right, id, id);
        }
    }
    return KRS_OK;
}

static krs_status
add_encoding(const char *path, krs_tokenizer *t, krs_error *err)
{
    size_t i = 0, count = sizeof encodings / sizeof *encodings;
    krsi_step *step;
    while (i < count && encodings[i].ranks != t->vocabulary.count)
        i++;
    if (i == count)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: %zu ranks are none of the known vocabularies, and "
                        "the file does not say how texts are cut into words; "
                        "convert it to a tokenizer.json",
                        path, t->vocabulary.count);
    KRS_TRY(krsi_steps_add(&t->pre, &step, err));
    step->kind = KRSI_PRE_SPLIT;
    step->behavior = KRSI_ISOLATED;
    KRS_TRY(krsi_pattern_regex(encodings[i].regex, strlen(encodings[i].regex),
                               &step->pattern, err));
    for (size_t k = 0; k < 6 && encodings[i].special[k].id; k++) {
        krsi_added_token token = {
            .id = encodings[i].special[k].id,
            .content = (char *)encodings[i].special[k].text, /* copied */
            .content_bytes = strlen(encodings[i].special[k].text),
            .special = true};
        if (!krsi_vocabulary_text(&t->vocabulary, token.id, NULL))
            KRS_TRY(krsi_added_add(&t->added, &token, err));
    }
    t->model.ignore_merges = true;
    KRS_TRY(krsi_steps_add(&t->pre, &step, err));
    step->kind = KRSI_PRE_BYTE_LEVEL;
    return krsi_frame(t, "{\"decoder\":{\"type\":\"ByteLevel\"}}", err);
}

static krs_status
fill_tiktoken(const char *path, const char *text, size_t count,
              krs_tokenizer *t, krs_error *err)
{
    const char *at = text, *end = text + count, *line;
    size_t bytes;
    t->model.kind = KRSI_BPE;
    for (size_t number = 1; next_line(&at, end, &line, &bytes); number++) {
        char where[600];
        snprintf(where, sizeof where, "%.500s: line %zu", path, number);
        if (bytes > 0)
            KRS_TRY(read_rank(where, line, bytes, t, err));
    }
    KRS_TRY(add_encoding(path, t, err));
    return rank_merges(t, err);
}

krs_status
krsi_read_tiktoken(const char *path, krs_tokenizer **out, krs_error *err)
{
    krs_tokenizer *t;
    char *text;
    size_t count;
    KRS_TRY(krsi_file_whole(path, KRSI_JSON_BYTES, &text, &count, err));
    krs_status status = krsi_tokenizer_new(&t, err);
    if (status == KRS_OK)
        status = finish(t, fill_tiktoken(path, text, count, t, err), out, err);
    free(text);
    return status;
}

/* ---- bytes ---- */

krs_status
krsi_byte_tokenizer(krs_tokenizer **out, krs_error *err)
{
    krs_tokenizer *t;
    krs_status status = KRS_OK;
    KRS_TRY(krsi_tokenizer_new(&t, err));
    t->model.kind = KRSI_BPE;
    for (int byte = 0; status == KRS_OK && byte < 256; byte++) {
        char text[4];
        size_t bytes = krsi_utf8_put(text, krsi_byte_char((uint8_t)byte));
        if (krsi_vocabulary_add(&t->vocabulary, text, bytes, (uint32_t)byte) !=
            KRSI_ADDED)
            status = krsi_no_memory(err, "a vocabulary");
    }
    if (status == KRS_OK)
        status = krsi_frame(t,
                            "{\"pre_tokenizer\":{\"type\":\"ByteLevel\","
                            "\"add_prefix_space\":false,\"trim_offsets\":false,"
                            "\"use_regex\":false},"
                            "\"decoder\":{\"type\":\"ByteLevel\"}}",
                            err);
    return finish(t, status, out, err);
}
