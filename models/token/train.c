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

/* Parts of a tokenizer.json, written with ' for ": see quoted(). */
#define BYTES_BEGIN   "{'type':'ByteLevel','add_prefix_space':false,"
#define BYTES_TRIMMED BYTES_BEGIN "'trim_offsets':true,'use_regex':true}"
#define BYTES_WHOLE   BYTES_BEGIN "'trim_offsets':false,'use_regex':true}"
#define METASPACE                                         \
    "{'type':'Metaspace','replacement':'" KRSI_META_SPACE \
    "','prepend_scheme':'always','split':true}"
#define CLS   "{'SpecialToken':{'id':'[CLS]','type_id':0}}"
#define SEP   "{'SpecialToken':{'id':'[SEP]','type_id':0}}"
#define SEP_B "{'SpecialToken':{'id':'[SEP]','type_id':1}}"
#define A     "{'Sequence':{'id':'A','type_id':0}}"
#define B     "{'Sequence':{'id':'B','type_id':1}}"

static const char bpe_frame[] =
    "{'normalizer':null,'pre_tokenizer':" BYTES_TRIMMED
    ",'post_processor':" BYTES_WHOLE ",'decoder':" BYTES_TRIMMED "}";
static const char bpe_chars_frame[] =
    "{'normalizer':null,'pre_tokenizer':{'type':'Whitespace'},"
    "'post_processor':null,'decoder':{'type':'BPEDecoder','suffix':'</w>'}}";
static const char wordpiece_frame[] =
    "{'normalizer':{'type':'BertNormalizer','clean_text':true,"
    "'handle_chinese_chars':true,'strip_accents':null,'lowercase':true},"
    "'pre_tokenizer':{'type':'BertPreTokenizer'},"
    "'post_processor':{'type':'TemplateProcessing',"
    "'single':[" CLS "," A "," SEP "],"
    "'pair':[" CLS "," A "," SEP "," B "," SEP_B "],'special_tokens':{"
    "'[CLS]':{'id':'[CLS]','ids':[2],'tokens':['[CLS]']},"
    "'[SEP]':{'id':'[SEP]','ids':[3],'tokens':['[SEP]']}}},"
    "'decoder':{'type':'WordPiece','prefix':'##','cleanup':true}}";
static const char unigram_frame[] =
    "{'normalizer':{'type':'Sequence','normalizers':[{'type':'NFKC'},"
    "{'type':'Replace','pattern':{'Regex':' {2,}'},'content':' '}]},"
    "'pre_tokenizer':" METASPACE ",'post_processor':null,"
    "'decoder':" METASPACE "}";
static const char word_frame[] =
    "{'normalizer':null,'pre_tokenizer':{'type':'Whitespace'},"
    "'post_processor':null,'decoder':null}";
static const char char_frame[] =
    "{'normalizer':null,'pre_tokenizer':{'type':'FixedLength','length':1},"
    "'post_processor':null,'decoder':{'type':'Fuse'}}";

#define BPE_END "'fuse_unk':false,'byte_fallback':false,'ignore_merges':false}"
static const char bpe_model[] =
    "{'type':'BPE','dropout':null,'unk_token':null,"
    "'continuing_subword_prefix':null,'end_of_word_suffix':null," BPE_END;
static const char bpe_chars_model[] =
    "{'type':'BPE','dropout':null,'unk_token':'[UNK]',"
    "'continuing_subword_prefix':null,'end_of_word_suffix':'</w>'," BPE_END;
static const char wordpiece_model[] =
    "{'type':'WordPiece','unk_token':'[UNK]','continuing_subword_prefix':'##',"
    "'max_input_chars_per_word':100}";
static const char unigram_model[] =
    "{'type':'Unigram','unk_id':0,'byte_fallback':false}";
static const char word_model[] = "{'type':'WordLevel','unk_token':'[UNK]'}";

static const char *const bpe_special[] = {"<|endoftext|>", NULL};
static const char *const unk_special[] = {"[UNK]", NULL};
static const char *const bert_special[] = {"[PAD]", "[UNK]",  "[CLS]",
                                           "[SEP]", "[MASK]", NULL};
static const char *const unigram_special[] = {"<unk>", "<s>", "</s>", NULL};

/* What sets a kind apart from the others. */
enum {
    HAS_MERGES = 1,
    HAS_ALL_BYTES = 2, /* whether they occur or not */
    KEEPS_LINES = 4    /* the newline between two lines is a word too */
};

typedef krs_status train_function(const krsi_training *training,
                                  const krsi_counted *words, krsi_trained *out,
                                  krs_error *err);

static const struct kind {
    const char *frame, *model;
    const char *const *special;
    const char *prefix, *suffix;
    train_function *train;
    unsigned traits;
} kinds[] = {
    [KRS_TRAIN_BPE] = {bpe_frame,       bpe_model,       bpe_special,     "", "",
                       krsi_train_merges,                                                             HAS_MERGES | HAS_ALL_BYTES},
    [KRS_TRAIN_BPE_CHARS] = {bpe_chars_frame, bpe_chars_model, unk_special,     "",
                       "</w>",                                                    krsi_train_merges,  HAS_MERGES                },
    [KRS_TRAIN_WORDPIECE] = {wordpiece_frame, wordpiece_model, bert_special,
                       "##",                                                  "", krsi_train_merges,  0                         },
    [KRS_TRAIN_UNIGRAM] = {unigram_frame,   unigram_model,   unigram_special, "",
                       "",                                                        krsi_train_unigram, 0                         },
    [KRS_TRAIN_WORD] = {word_frame,      word_model,      unk_special,     "", "",
                       krsi_train_words,                                                              0                         },
    [KRS_TRAIN_CHAR] = {char_frame,      word_model,      unk_special,     "", "",
                       krsi_train_words,                                                              KEEPS_LINES               },
};

/* The JSON of a part, " for '; to be freed. */
static char *
quoted(const char *text)
{
    char *copy = krsi_copy_text(text, strlen(text));
    for (char *at = copy; at && (at = strchr(at, '\''));)
        *at = '"';
    return copy;
}

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
           bool keeps_lines, krsi_counted *words, krs_error *err)
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
        if (end && keeps_lines)
            KRS_TRY(count_word(words, "\n", 1, err));
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
    char *frame = quoted(kind->frame);
    if (!frame)
        return krsi_no_memory(err, "a frame");
    krs_status status = krsi_tokenizer_new(&t, err);
    if (status != KRS_OK) {
        free(frame);
        return status;
    }
    t->model.kind = KRSI_WORDLEVEL; /* only its frame is used */
    status = krsi_frame(t, frame, err);
    free(frame);
    if (status == KRS_OK)
        status = krsi_tokenizer_ready(t, err);
    if (status == KRS_OK)
        status = krsi_work_take(t, &w, err);
    if (status != KRS_OK) {
        krs_tokenizer_free(t);
        return status;
    }
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status =
            count_text(t, w, &texts[i], kind->traits & KEEPS_LINES, words, err);
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

static void
write_text(krsi_buffer *out, const char *text)
{
    krsi_buffer_add(out, text, strlen(text));
}

/* The value is taken over; NULL fails. */
static void
write_value(krsi_buffer *out, json_t *value)
{
    size_t bytes;
    char *text =
        value ? krsi_json_print(value, JSON_INDENT(1) | JSON_REAL_PRECISION(17),
                                &bytes)
              : NULL;
    if (text)
        krsi_buffer_add(out, text, bytes);
    else
        out->failed = true;
    free(text);
    json_decref(value);
}

/* The members of a part, " for '. */
static void
write_members(krsi_buffer *out, const char *part)
{
    char *json = quoted(part);
    if (json)
        krsi_buffer_add(out, json + 1, strlen(json) - 2); /* without { and } */
    else
        out->failed = true;
    free(json);
}

static krs_status
write_file(const struct kind *kind, const krsi_trained *trained, char **out,
           size_t *bytes, krs_error *err)
{
    krsi_buffer file = {0};
    write_text(&file, "{\"version\":\"1.0\",\"truncation\":null,"
                      "\"padding\":null,\"added_tokens\":");
    write_value(&file, added_tokens(kind));
    write_text(&file, ",\n");
    write_members(&file, kind->frame);
    write_text(&file, ",\n\"model\":{");
    write_members(&file, kind->model);
    write_text(&file, ",\n\"vocab\":");
    write_value(&file, vocabulary_json(trained));
    if (kind->traits & HAS_MERGES) {
        write_text(&file, ",\n\"merges\":");
        write_value(&file, merges_json(trained));
    }
    write_text(&file, "}}");
    krsi_buffer_add(&file, "", 1);
    if (file.failed) {
        krsi_buffer_free(&file);
        return krsi_no_memory(err, "a tokenizer.json");
    }
    *out = file.bytes;
    *bytes = file.count - 1;
    return KRS_OK;
}

krs_status
krs_tokenizer_train(const krs_tokenizer_training *o, const krs_text *texts,
                    size_t count, char **out, size_t *out_bytes, krs_error *err)
{
    krsi_counted words = {0};
    krsi_trained trained = {0};
    size_t bytes = 0;
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
                              .all_bytes = kind->traits & HAS_ALL_BYTES};
    krs_status status = count_words(kind, texts, count, &words, err);
    if (status == KRS_OK)
        status = kind->train(&training, &words, &trained, err);
    if (status == KRS_OK)
        status = write_file(kind, &trained, out, &bytes, err);
    if (status == KRS_OK && out_bytes)
        *out_bytes = bytes;
    krsi_vocabulary_free(&words.words);
    free(words.counts);
    krsi_vocabulary_free(&trained.vocabulary);
    free(trained.merges);
    free(trained.scores);
    return status;
}
