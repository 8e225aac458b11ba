/* model_read.c -- the model of a tokenizer.json.
 *
 * In: the JSON of BPE, WordPiece, WordLevel or Unigram. Out: vocabulary and
 * model of a tokenizer; or one sentence with the JSON path. Vocabularies have
 * up to hundreds of thousands of entries, so these are walked in jansson's own
 * terms, and a path is written only for a message.
 *
 * Ids may leave gaps, but not lie far beyond the number of tokens: the table
 * by id is proportional to the file.
 */
#include "../load/json_file.h"
#include "tokenizer.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 80, SPARE_IDS = 65536 };

static krs_status
wrong_token(const krsi_json *value, const char *token, const char *what,
            krs_error *err)
{
    char shown[SHOWN];
    return krsi_json_wrong(value, err, "token %s %s",
                           krsi_json_quote(token, shown, sizeof shown), what);
}

static krs_status
add_token(const krsi_json *value, krsi_vocabulary *v, const char *token,
          size_t bytes, uint32_t id, krs_error *err)
{
    switch (krsi_vocabulary_add(v, token, bytes, id)) {
    case KRSI_ADDED: return KRS_OK;
    case KRSI_TOKEN_TWICE:
        return wrong_token(value, token, "occurs twice", err);
    case KRSI_ID_TWICE:
        return wrong_token(value, token, "has the id of another token", err);
    case KRSI_ADD_NO_MEMORY: break;
    }
    return krsi_no_memory(err, "a vocabulary");
}

/* {"token": id, ...} */
krs_status
krsi_read_vocabulary(const krsi_json *value, krsi_vocabulary *v, krs_error *err)
{
    const char *token;
    json_t *item;
    if (!json_is_object(value->value))
        return krsi_json_wrong(value, err,
                               "an object of tokens and ids is expected");
    size_t count = json_object_size(value->value);
    int64_t most = 2 * (int64_t)count + SPARE_IDS;
    if (most > KRSI_MOST_TOKENS)
        most = KRSI_MOST_TOKENS;
    json_object_foreach(value->value, token, item)
    {
        int64_t id = json_integer_value(item);
        if (!json_is_integer(item))
            return wrong_token(value, token, "has no whole number as its id",
                               err);
        if (id < 0 || id >= most) {
            char shown[SHOWN];
            return krsi_json_wrong(value, err,
                                   "token %s has id %" PRId64
                                   ", ids of %zu tokens lie from 0 to %" PRId64,
                                   krsi_json_quote(token, shown, sizeof shown),
                                   id, count, most - 1);
        }
        KRS_TRY(add_token(value, v, token, strlen(token), (uint32_t)id, err));
    }
    return KRS_OK;
}

/* the id of the token that a member names; KRSI_NO_ID if it is null */
static krs_status
find_token(const krsi_json *value, const char *key, const krs_tokenizer *t,
           bool needed, uint32_t *out, krs_error *err)
{
    const char *token;
    *out = KRSI_NO_ID;
    if (!needed && !krsi_json_has(value, key))
        return KRS_OK;
    KRS_TRY(krsi_json_string(value, key, &token, err));
    *out = krsi_vocabulary_find(&t->vocabulary, token, strlen(token));
    return KRS_OK;
}

static krs_status
keep_affix(const krsi_json *value, const char *key, char **out, size_t *bytes,
           krs_error *err)
{
    const char *text;
    KRS_TRY(krsi_json_string_or(value, key, NULL, &text, err));
    if (!text || !*text)
        return KRS_OK;
    *bytes = strlen(text);
    *out = krsi_copy_text(text, *bytes);
    return *out ? KRS_OK : krsi_no_memory(err, "a model");
}

/* ---- BPE ---- */

/* Left and right part of a merge: "a b" or ["a", "b"]. */
static bool
merge_parts(const json_t *item, const char *parts[2], size_t bytes[2])
{
    if (json_is_string(item)) {
        const char *text = json_string_value(item);
        const char *space = strchr(text, ' ');
        if (!space || strchr(space + 1, ' '))
            return false;
        parts[0] = text;
        bytes[0] = (size_t)(space - text);
        parts[1] = space + 1;
        bytes[1] = strlen(space + 1);
        return true;
    }
    if (json_array_size(item) != 2)
        return false;
    for (size_t i = 0; i < 2; i++) {
        parts[i] = json_string_value(json_array_get(item, i));
        if (!parts[i])
            return false;
        bytes[i] = strlen(parts[i]);
    }
    return true;
}

krs_status
krsi_merge_add(krs_tokenizer *t, const char *const parts[2],
               const size_t bytes[2], uint32_t rank, krsi_buffer *whole,
               const char **missing, size_t *missing_bytes)
{
    uint32_t ids[3];
    size_t skip = t->model.prefix_bytes;
    if (skip > bytes[1])
        skip = bytes[1];
    whole->count = 0;
    krsi_buffer_add(whole, parts[0], bytes[0]);
    krsi_buffer_add(whole, parts[1] + skip, bytes[1] - skip);
    if (whole->failed)
        return KRS_E_MEMORY;
    const char *texts[3] = {parts[0], parts[1], whole->bytes};
    size_t counts[3] = {bytes[0], bytes[1], whole->count};
    for (int i = 0; i < 3; i++) {
        ids[i] = krsi_vocabulary_find(&t->vocabulary, texts[i], counts[i]);
        if (ids[i] != KRSI_NO_ID)
            continue;
        *missing = texts[i];
        *missing_bytes = counts[i];
        return KRS_E_FORMAT;
    }
    krsi_merges_put(&t->model.merges, ids[0], ids[1], rank, ids[2]);
    return KRS_OK;
}

static krs_status
read_merges(const krsi_json *model, krs_tokenizer *t, krs_error *err)
{
    krsi_json list, item;
    size_t count, missing_bytes = 0;
    krsi_buffer whole = {0};
    krs_status status = KRS_OK;
    const char *missing = NULL;
    KRS_TRY(krsi_json_array(model, "merges", &list, &count, err));
    if (!krsi_merges_room(&t->model.merges, count))
        return krsi_no_memory(err, "merges");
    size_t i;
    for (i = 0; status == KRS_OK && i < count; i++) {
        const char *parts[2];
        size_t bytes[2];
        if (!merge_parts(json_array_get(list.value, i), parts, bytes))
            break;
        status = krsi_merge_add(t, parts, bytes, (uint32_t)i, &whole, &missing,
                                &missing_bytes);
    }
    if (status == KRS_OK && i < count) {
        status = krsi_json_item(&list, i, &item, err);
        if (status == KRS_OK)
            status = krsi_json_wrong(&item, err,
                                     "a merge is two tokens: \"a b\" or [\"a\","
                                     " \"b\"]");
    } else if (status == KRS_E_FORMAT) {
        char shown[SHOWN], token[SHOWN];
        size_t n = missing_bytes < SHOWN - 1 ? missing_bytes : SHOWN - 1;
        memcpy(token, missing, n);
        token[n] = 0;
        status = krsi_json_item(&list, i - 1, &item, err);
        if (status == KRS_OK)
            status = krsi_json_wrong(
                &item, err,
                "the merge needs the token %s, which is not in the "
                "vocabulary",
                krsi_json_quote(token, shown, sizeof shown));
    } else if (status != KRS_OK) {
        status = krsi_no_memory(err, "merges");
    }
    krsi_buffer_free(&whole);
    return status;
}

static krs_status
read_bpe(const krsi_json *value, krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    krsi_json vocabulary;
    double dropout;
    KRS_TRY(krsi_json_object(value, "vocab", &vocabulary, err));
    KRS_TRY(krsi_read_vocabulary(&vocabulary, &t->vocabulary, err));
    KRS_TRY(krsi_json_double_or(value, "dropout", KRSI_NOT_NEGATIVE, 0,
                                &dropout, err));
    if (dropout != 0)
        return krsi_json_wrong(value, err,
                               "dropout is %g: encoding would be random; set "
                               "it to null",
                               dropout);
    KRS_TRY(keep_affix(value, "continuing_subword_prefix", &m->prefix,
                       &m->prefix_bytes, err));
    KRS_TRY(keep_affix(value, "end_of_word_suffix", &m->suffix,
                       &m->suffix_bytes, err));
    KRS_TRY(krsi_json_bool_or(value, "fuse_unk", false, &m->fuse_unk, err));
    KRS_TRY(krsi_json_bool_or(value, "byte_fallback", false, &m->byte_fallback,
                              err));
    KRS_TRY(krsi_json_bool_or(value, "ignore_merges", false, &m->ignore_merges,
                              err));
    KRS_TRY(find_token(value, "unk_token", t, false, &m->unk, err));
    return read_merges(value, t, err);
}

/* ---- WordPiece, WordLevel ---- */

krs_status
krsi_wordpiece_index(krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    for (uint32_t id = 0; id < t->vocabulary.ids; id++) {
        size_t bytes;
        const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
        if (text && bytes > 0 && !krsi_trie_add(&m->trie, text, bytes, id))
            return krsi_no_memory(err, "a vocabulary");
    }
    m->bare_prefix = m->prefix_bytes == 0;
    for (size_t i = 0; i < m->prefix_bytes; i++) {
        m->continuing =
            krsi_trie_step(&m->trie, m->continuing, (uint8_t)m->prefix[i]);
        if (m->continuing == 0)
            break;
    }
    return KRS_OK;
}

static krs_status
read_wordpiece(const krsi_json *value, krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    krsi_json vocabulary;
    int64_t most;
    KRS_TRY(krsi_json_object(value, "vocab", &vocabulary, err));
    KRS_TRY(krsi_read_vocabulary(&vocabulary, &t->vocabulary, err));
    KRS_TRY(keep_affix(value, "continuing_subword_prefix", &m->prefix,
                       &m->prefix_bytes, err));
    KRS_TRY(krsi_json_int(value, "max_input_chars_per_word", 0, INT64_MAX,
                          &most, err));
    m->max_chars = (size_t)most;
    KRS_TRY(find_token(value, "unk_token", t, true, &m->unk, err));
    return krsi_wordpiece_index(t, err);
}

static krs_status
read_wordlevel(const krsi_json *value, krs_tokenizer *t, krs_error *err)
{
    krsi_json vocabulary;
    KRS_TRY(krsi_json_object(value, "vocab", &vocabulary, err));
    KRS_TRY(krsi_read_vocabulary(&vocabulary, &t->vocabulary, err));
    return find_token(value, "unk_token", t, true, &t->model.unk, err);
}

/* ---- Unigram ---- */

static krs_status
read_piece(const krsi_json *list, size_t i, krs_tokenizer *t, krs_error *err)
{
    json_t *item = json_array_get(list->value, i);
    json_t *text = json_array_get(item, 0), *score = json_array_get(item, 1);
    krsi_json place;
    if (json_array_size(item) != 2 || !json_is_string(text) ||
        !json_is_number(score)) {
        KRS_TRY(krsi_json_item(list, i, &place, err));
        return krsi_json_wrong(&place, err,
                               "a piece and its score are expected");
    }
    t->model.scores[i] = json_number_value(score);
    return add_token(list, &t->vocabulary, json_string_value(text),
                     json_string_length(text), (uint32_t)i, err);
}

krs_status
krsi_unigram_index(krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    double least = 0;
    for (uint32_t id = 0; id < t->vocabulary.ids; id++) {
        size_t bytes;
        const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
        if (!text)
            continue;
        if (id == 0 || m->scores[id] < least)
            least = m->scores[id];
        if (bytes > 0 && !krsi_trie_add(&m->trie, text, bytes, id))
            return krsi_no_memory(err, "a vocabulary");
    }
    m->unk_score = least - 10;
    return KRS_OK;
}

static krs_status
read_unigram(const krsi_json *value, krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    krsi_json list;
    size_t count;
    int64_t unk;
    KRS_TRY(krsi_json_array(value, "vocab", &list, &count, err));
    if (count >= KRSI_MOST_TOKENS)
        return krsi_json_wrong(&list, err, "%zu pieces are too many", count);
    m->scores = malloc((count + 1) * sizeof *m->scores);
    if (!m->scores)
        return krsi_no_memory(err, "scores");
    for (size_t i = 0; i < count; i++)
        KRS_TRY(read_piece(&list, i, t, err));
    if (krsi_json_has(value, "unk_id")) {
        KRS_TRY(
            krsi_json_int(value, "unk_id", 0, (int64_t)count - 1, &unk, err));
        m->unk = (uint32_t)unk;
    }
    KRS_TRY(krsi_json_bool_or(value, "byte_fallback", false, &m->byte_fallback,
                              err));
    return krsi_unigram_index(t, err);
}

krs_status
krsi_read_model(const krsi_json *value, krs_tokenizer *t, krs_error *err)
{
    static const char *const names[] = {
        [KRSI_BPE] = "BPE",
        [KRSI_UNIGRAM] = "Unigram",
        [KRSI_WORDPIECE] = "WordPiece",
        [KRSI_WORDLEVEL] = "WordLevel",
    };
    size_t kind;
    if (krsi_json_has(value, "type"))
        KRS_TRY(krsi_json_choice(value, "type", names, 4, &kind, err));
    else /* files from before 2020 do not name it */
        kind = krsi_json_has(value, "merges")   ? KRSI_BPE
               : krsi_json_has(value, "unk_id") ? KRSI_UNIGRAM
               : krsi_json_has(value, "max_input_chars_per_word")
                   ? KRSI_WORDPIECE
                   : KRSI_WORDLEVEL;
    t->model.kind = (krsi_model_kind)kind;
    switch (t->model.kind) {
    case KRSI_BPE: return read_bpe(value, t, err);
    case KRSI_UNIGRAM: return read_unigram(value, t, err);
    case KRSI_WORDPIECE: return read_wordpiece(value, t, err);
    case KRSI_WORDLEVEL: break;
    }
    return read_wordlevel(value, t, err);
}
