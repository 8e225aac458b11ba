/* train.c -- a tokenizer.json out of texts (token.h).
 *
 * In: texts, a line a document. Out: the text of a tokenizer.json. The frame of
 * each kind (what is normalized, how words are cut, what comes around) is
 * written here once: it cuts the texts into the words that are trained on, and
 * then stands in the file, so that training and use agree.
 *
 * Words are counted in the order in which they are met; nothing depends on an
 * order of hashes or on threads.
 */
#include "train.h"

#include "../load/json_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_LEVEL(trim)                                         \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_" \
    "offsets\":" trim ",\"use_regex\":true}"
#define METASPACE                                               \
    "{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\"," \
    "\"prepend_scheme\":\"always\",\"split\":true}"
#define SPECIAL(name) "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":0}}"
#define PAIR_END      "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":1}}"
#define SEQUENCE(name, type) \
    "{\"Sequence\":{\"id\":\"" name "\",\"type_id\":" type "}}"
#define TOKEN(name, id)                                                      \
    "\"" name "\":{\"id\":\"" name "\",\"ids\":[" id "],\"tokens\":[\"" name \
    "\"]}"

static const char *const bpe_special[] = {"<|endoftext|>", NULL};
static const char *const chars_special[] = {"[UNK]", NULL};
static const char *const bert_special[] = {"[PAD]", "[UNK]",  "[CLS]",
                                           "[SEP]", "[MASK]", NULL};
static const char *const unigram_special[] = {"<unk>", "<s>", "</s>", NULL};

static const struct kind {
    const char *frame, *model;
    const char *const *special;
    const char *prefix, *suffix;
    bool all_bytes;
} kinds[] =
    {
        [KRS_TRAIN_BPE] =
            {"{\"normalizer\":null,\"pre_tokenizer\":" BYTE_LEVEL(
                 "true") ",\"post_processor\":" BYTE_LEVEL("false") ",\"decoder"
                                                                    "\""
                                                                    ":" BYTE_LEVEL(
                                                                        "true") "}",
                             "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
             "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
             "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":"
             "false}",                                                                                bpe_special,                                "", "",         true                                                                         },
        [KRS_TRAIN_BPE_CHARS] =
            {"{\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Whitespace\"},"
             "\"post_processor\":null,\"decoder\":{\"type\":\"BPEDecoder\","
             "\"suffix\":\"</w>\"}}",                                                "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"[UNK]\","
             "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":\"</"
             "w>\","
             "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":"
             "false}",              chars_special,                              "", "</w>",     false                                                                        },
        [KRS_TRAIN_WORDPIECE] =
            {"{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
             "\"handle_chinese_chars\":true,\"strip_accents\":null,"
             "\"lowercase\":"
             "true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
             "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":"
             "[" SPECIAL("[CLS]") "," SEQUENCE("A",                                  "0") "," SPECIAL("[SEP]") "],\"pair\":[" SPECIAL("[CLS]") "," SEQUENCE(
                 "A", "0") "," SPECIAL("[SEP]") "," SEQUENCE("B",
                             "1") "," PAIR_END
                                                             "],\"special_"
                                                             "tokens\":{" TOKEN("[CLS]",                                                              "2") "," TOKEN(
                                                                 "[SEP]", "3") "}},"
                                                                      "\"decode"
                                                                      "r\":{"
                                                                      "\"type\""
                                                                      ":\"WordP"
                                                                      "iece\","
                                                                      "\"prefix"
                                                                      "\":\"##"
                                                                      "\","
                                                                      "\"cleanu"
                                                                      "p\":"
                                                                      "true}}", "{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
             "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_"
             "word\":"
             "100}", bert_special, "##", "", false},
        [KRS_TRAIN_UNIGRAM] =
            {"{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{"
             "\"type\":"
             "\"NFKC\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" "
             "{2,}\"},"
             "\"content\":\" \"}]},\"pre_tokenizer\":" METASPACE
             ",\"post_processor\":null,\"decoder\":" METASPACE "}",
                             "{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":false}",
                             unigram_special,                                                                                             "",                                                                                          "",                                                                                                    false                                                                                                               },
};

bool
krs_train_parse(const char *name, krs_train_kind *out)
{
    static const char *const names[] = {
#define TRAIN_NAME(NAME, name) name,
        KRS_TRAIN_LIST(TRAIN_NAME)
#undef TRAIN_NAME
    };
    for (int i = 0; i < KRS_TRAIN_KINDS; i++)
        if (!strcmp(names[i], name)) {
            *out = (krs_train_kind)i;
            return true;
        }
    return false;
}

/* ---- words ---- */

static krs_status
count_word(krsi_counted *words, const char *text, size_t bytes, krs_error *err)
{
    uint32_t id = krsi_vocabulary_find(&words->words, text, bytes);
    if (id == KRSI_NO_ID) {
        id = (uint32_t)words->words.ids;
        if (!krsi_room(&words->counts, &words->capacity, (size_t)id + 1,
                       sizeof *words->counts) ||
            krsi_vocabulary_add(&words->words, text, bytes, id) != KRSI_ADDED)
            return krsi_no_memory(err, "words");
        words->counts[id] = 0;
    }
    words->counts[id]++;
    return KRS_OK;
}

static krs_status
count_line(const krs_tokenizer *t, krsi_work *w, const char *line, size_t bytes,
           krsi_counted *words, krs_error *err)
{
    w->input = line;
    w->input_bytes = bytes;
    KRS_TRY(krsi_parts_of(t, w, false, err));
    for (size_t i = 0; i < w->parts.count; i++) {
        const krsi_part *part = &w->parts.items[i];
        KRS_TRY(count_word(words, krsi_part_text(w, part),
                           part->end - part->begin, err));
    }
    return KRS_OK;
}

static krs_status
count_text(const krs_tokenizer *t, krsi_work *w, const krs_text *text,
           krsi_counted *words, krs_error *err)
{
    size_t bad = krsi_utf8_check(text->text, text->bytes);
    if (bad < text->bytes)
        return krs_fail(err, KRS_E_FORMAT,
                        "train: the text is not UTF-8 at byte %zu", bad);
    for (size_t at = 0; at < text->bytes;) {
        const char *line = text->text + at;
        const char *end = memchr(line, '\n', text->bytes - at);
        size_t bytes = end ? (size_t)(end - line) : text->bytes - at;
        if (bytes > KRSI_TEXT_BYTES)
            return krs_fail(err, KRS_E_RANGE,
                            "train: a line of %zu bytes; at most %zu", bytes,
                            KRSI_TEXT_BYTES);
        KRS_TRY(count_line(t, w, line, bytes, words, err));
        at += bytes + 1;
    }
    return KRS_OK;
}

static krs_status
count_words(const struct kind *kind, const krs_text *texts, size_t count,
            krsi_counted *words, krs_error *err)
{
    krs_tokenizer *t;
    krsi_work *w;
    KRS_TRY(krsi_tokenizer_new(&t, err));
    t->model.kind = KRSI_WORDLEVEL; /* only its frame is used */
    krs_status status = krsi_frame(t, kind->frame, err);
    if (status == KRS_OK)
        status = krsi_tokenizer_ready(t, err);
    if (status == KRS_OK)
        status = krsi_work_take(t, &w, err);
    if (status != KRS_OK) {
        krs_tokenizer_free(t);
        return status;
    }
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status = count_text(t, w, &texts[i], words, err);
    krsi_work_give(t, w);
    krs_tokenizer_free(t);
    return status;
}

/* ---- what the trainers share ---- */

krs_status
krsi_train_token(krsi_trained *out, const char *text, size_t bytes,
                 uint32_t *id, krs_error *err)
{
    *id = krsi_vocabulary_find(&out->vocabulary, text, bytes);
    if (*id != KRSI_NO_ID)
        return KRS_OK;
    *id = (uint32_t)out->vocabulary.ids;
    return krsi_vocabulary_add(&out->vocabulary, text, bytes, *id) == KRSI_ADDED
               ? KRS_OK
               : krsi_no_memory(err, "a vocabulary");
}

krs_status
krsi_train_special(const krsi_training *training, krsi_trained *out,
                   krs_error *err)
{
    for (size_t i = 0; training->special[i]; i++) {
        uint32_t id;
        KRS_TRY(krsi_train_token(out, training->special[i],
                                 strlen(training->special[i]), &id, err));
    }
    return KRS_OK;
}

/* ---- the file ---- */

static json_t *
added_tokens(const struct kind *kind)
{
    json_t *list = json_array();
    for (int i = 0; kind->special[i]; i++)
        if (json_array_append_new(
                list, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", i,
                                "content", kind->special[i], "single_word", 0,
                                "lstrip", 0, "rstrip", 0, "normalized", 0,
                                "special", 1)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *
token_json(const krsi_trained *trained, uint32_t id)
{
    size_t bytes;
    const char *text = krsi_vocabulary_text(&trained->vocabulary, id, &bytes);
    return json_stringn(text, bytes);
}

/* {"token": id}, or for unigram [["token", score]] */
static json_t *
vocabulary_json(const krsi_trained *trained)
{
    bool scored = trained->scores != NULL;
    json_t *all = scored ? json_array() : json_object();
    for (uint32_t id = 0; all && id < trained->vocabulary.ids; id++) {
        const char *text = krsi_vocabulary_text(&trained->vocabulary, id, NULL);
        int failed = scored
                         ? json_array_append_new(
                               all, json_pack("[o, f]", token_json(trained, id),
                                              trained->scores[id]))
                         : json_object_set_new(all, text, json_integer(id));
        if (failed) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static json_t *
merges_json(const krsi_trained *trained)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < trained->merge_count; i++)
        if (json_array_append_new(
                list,
                json_pack("[o, o]", token_json(trained, trained->merges[i][0]),
                          token_json(trained, trained->merges[i][1])))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *
file_json(const struct kind *kind, krs_train_kind which,
          const krsi_trained *trained)
{
    json_error_t error;
    json_t *model = json_loads(kind->model, 0, &error);
    json_t *frame = json_loads(kind->frame, 0, &error);
    json_t *root =
        json_pack("{s:s, s:n, s:n, s:o}", "version", "1.0", "truncation",
                  "padding", "added_tokens", added_tokens(kind));
    int failed = !model || !frame || !root;
    failed = failed || json_object_update(root, frame);
    failed =
        failed || json_object_set_new(model, "vocab", vocabulary_json(trained));
    if (which == KRS_TRAIN_BPE || which == KRS_TRAIN_BPE_CHARS)
        failed = failed ||
                 json_object_set_new(model, "merges", merges_json(trained));
    failed = failed || json_object_set(root, "model", model);
    json_decref(model);
    json_decref(frame);
    if (!failed)
        return root;
    json_decref(root);
    return NULL;
}

static krs_status
write_file(const struct kind *kind, krs_train_kind which,
           const krsi_trained *trained, char **out, size_t *bytes,
           krs_error *err)
{
    json_t *root = file_json(kind, which, trained);
    *out = root ? krsi_json_print(
                      root, JSON_INDENT(1) | JSON_REAL_PRECISION(17), bytes)
                : NULL;
    json_decref(root);
    return *out ? KRS_OK : krsi_no_memory(err, "a tokenizer.json");
}

krs_status
krs_tokenizer_train(const krs_tokenizer_training *o, const krs_text *texts,
                    size_t count, char **out, size_t *out_bytes, krs_error *err)
{
    krsi_counted words = {0};
    krsi_trained trained = {0};
    size_t bytes;
    if (!o || o->struct_size < sizeof *o ||
        (unsigned)o->kind >= KRS_TRAIN_KINDS || (!texts && count > 0) || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "train: options with struct_size %zu, texts and out "
                        "must be given",
                        sizeof *o);
    if (o->vocabulary < 1 || o->vocabulary > KRSI_MOST_TOKENS)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "train: a vocabulary of %zu; 1 to %u are possible",
                        o->vocabulary, KRSI_MOST_TOKENS);
    const struct kind *kind = &kinds[o->kind];
    krsi_training training = {.options = o,
                              .special = kind->special,
                              .prefix = kind->prefix,
                              .suffix = kind->suffix,
                              .all_bytes = kind->all_bytes};
    krs_status status = count_words(kind, texts, count, &words, err);
    if (status == KRS_OK)
        status = o->kind == KRS_TRAIN_UNIGRAM
                     ? krsi_train_unigram(&training, &words, &trained, err)
                     : krsi_train_merges(&training, &words, &trained, err);
    if (status == KRS_OK)
        status = write_file(kind, o->kind, &trained, out, &bytes, err);
    if (status == KRS_OK && out_bytes)
        *out_bytes = bytes;
    krsi_vocabulary_free(&words.words);
    free(words.counts);
    krsi_vocabulary_free(&trained.vocabulary);
    free(trained.merges);
    free(trained.scores);
    return status;
}
