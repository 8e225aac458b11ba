/* whole.c -- the tokenizer as a whole: made, made ready, asked, freed.
 *
 * In: the parts that a reader filled. Out: a tokenizer that does not change any
 * more. Making ready checks what joins the parts (ids of special tokens, added
 * tokens under the normalizer) and finds out which fast ways are open.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

krs_status
krsi_tokenizer_new(krs_tokenizer **out, krs_error *err)
{
    krs_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return krsi_no_memory(err, "a tokenizer");
    if (pthread_mutex_init(&t->lock, NULL) != 0) {
        free(t);
        return krsi_no_memory(err, "a lock");
    }
    t->bos = t->eos = t->pad = -1;
    t->model.unk = KRSI_NO_ID;
    for (int i = 0; i < 256; i++)
        t->model.byte_id[i] = t->model.char_id[i] = KRSI_NO_ID;
    *out = t;
    return KRS_OK;
}

krs_status
krsi_steps_add(krsi_steps *steps, krsi_step **out, krs_error *err)
{
    if (!krsi_room(&steps->items, &steps->capacity, steps->count + 1,
                   sizeof *steps->items))
        return krsi_no_memory(err, "a tokenizer");
    *out = &steps->items[steps->count++];
    **out = (krsi_step){0};
    return KRS_OK;
}

void
krsi_steps_free(krsi_steps *steps)
{
    for (size_t i = 0; i < steps->count; i++) {
        krsi_step *step = &steps->items[i];
        free(step->text);
        free(step->other);
        krsi_pattern_free(step->pattern);
        krsi_charsmap_free(step->charsmap);
    }
    free(steps->items);
}

krs_status
krsi_posts_add(krsi_posts *posts, krsi_post **out, krs_error *err)
{
    if (!krsi_room(&posts->items, &posts->capacity, posts->count + 1,
                   sizeof *posts->items))
        return krsi_no_memory(err, "a tokenizer");
    *out = &posts->items[posts->count++];
    **out = (krsi_post){0};
    return KRS_OK;
}

krs_status
krsi_template_add(krsi_template *t, krsi_post_piece **out, krs_error *err)
{
    size_t capacity = t->count; /* templates are short: no room is kept */
    if (!krsi_room(&t->items, &capacity, t->count + 1, sizeof *t->items))
        return krsi_no_memory(err, "a template");
    *out = &t->items[t->count++];
    **out = (krsi_post_piece){.sequence = -1};
    return KRS_OK;
}

krs_status
krsi_post_piece_add(krsi_post_piece *piece, uint32_t id, const char *text,
                    krs_error *err)
{
    size_t ids = piece->count, texts = piece->count;
    char *copy = krsi_copy_text(text, strlen(text));
    if (!copy ||
        !krsi_room(&piece->ids, &ids, piece->count + 1, sizeof *piece->ids) ||
        !krsi_room(&piece->texts, &texts, piece->count + 1,
                   sizeof *piece->texts)) {
        free(copy);
        return krsi_no_memory(err, "a template");
    }
    piece->ids[piece->count] = id;
    piece->texts[piece->count++] = copy;
    return KRS_OK;
}

static void
free_template(krsi_template *t)
{
    for (size_t i = 0; i < t->count; i++) {
        for (size_t k = 0; k < t->items[i].count; k++)
            free(t->items[i].texts[k]);
        free(t->items[i].texts);
        free(t->items[i].ids);
    }
    free(t->items);
}

void
krsi_posts_free(krsi_posts *posts)
{
    for (size_t i = 0; i < posts->count; i++) {
        free_template(&posts->items[i].single);
        free_template(&posts->items[i].pair);
    }
    free(posts->items);
}

void
krsi_model_free(krsi_model *m)
{
    free(m->merges.slots);
    krsi_vocabulary_free(&m->words);
    free(m->prefix);
    free(m->suffix);
    krsi_trie_free(&m->frozen);
    free(m->extra);
    free(m->unused);
    free(m->scores);
    krsi_trie_free(&m->trie);
    free(m->types);
}

void
krs_tokenizer_free(krs_tokenizer *t)
{
    if (!t)
        return;
    while (t->spare) {
        krsi_work *next = t->spare->next;
        krsi_work_free(t->spare);
        t->spare = next;
    }
    pthread_mutex_destroy(&t->lock);
    krsi_vocabulary_free(&t->vocabulary);
    krsi_added_free(&t->added);
    krsi_steps_free(&t->normalizer);
    krsi_steps_free(&t->pre);
    krsi_steps_free(&t->decoder);
    krsi_posts_free(&t->post);
    krsi_model_free(&t->model);
    krsi_charsmap_free(t->piece_text.charsmap);
    krsi_charsmap_free(t->piece_text.decoder_charsmap);
    free(t->piece_text.unk_surface);
    free(t->padding.token);
    free(t->chat);
    free(t);
}

/* ---- made ready ---- */

/* Added tokens with `normalized` are looked for as the normalizer writes them. */
static krs_status
normalize_added(krs_tokenizer *t, krs_error *err)
{
    krsi_work *w;
    krs_status status = KRS_OK;
    if (t->normalizer.count == 0)
        return KRS_OK;
    KRS_TRY(krsi_work_take(t, &w, err));
    for (size_t i = 0; status == KRS_OK && i < t->added.count; i++) {
        krsi_added_token *token = &t->added.items[i];
        if (!token->normalized)
            continue;
        krsi_aligned_set(&w->text, token->content, 0, token->content_bytes);
        status = w->text.failed ? krsi_no_memory(err, "an added token")
                                : krsi_normalize(&t->normalizer, w, err);
        if (status != KRS_OK ||
            (w->text.count == token->content_bytes &&
             !memcmp(w->text.bytes, token->content, w->text.count)))
            continue;
        token->match = krsi_copy_text(w->text.bytes, w->text.count);
        token->match_bytes = w->text.count;
        if (!token->match)
            status = krsi_no_memory(err, "an added token");
    }
    krsi_work_give(t, w);
    return status;
}

/* The tokens of single bytes, and of all words that the byte alphabet writes. */
static krs_status
index_bytes(krs_tokenizer *t, bool *whole, krs_error *err)
{
    krsi_model *m = &t->model;
    *whole = true;
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        size_t bytes = krsi_utf8_put(text, krsi_byte_char((uint8_t)byte));
        m->char_id[byte] = krsi_vocabulary_find(&t->vocabulary, text, bytes);
        *whole = *whole && m->char_id[byte] != KRSI_NO_ID;
    }
    for (uint32_t id = 0; *whole && m->ignore_merges && id < t->vocabulary.ids;
         id++) {
        size_t bytes, at = 0;
        krsi_buffer raw = {0};
        const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
        while (text && at < bytes) {
            uint32_t code;
            at += krsi_utf8_next(text + at, bytes - at, &code);
            char byte = (char)krsi_char_byte(code);
            if (krsi_char_byte(code) < 0)
                break;
            krsi_buffer_add(&raw, &byte, 1);
        }
        bool room = !raw.failed;
        /* one that is not written so can be no word of the text */
        if (text && room && at == bytes && raw.count > 0)
            room = krsi_vocabulary_add(&m->words, raw.bytes, raw.count, id) !=
                   KRSI_ADD_NO_MEMORY;
        krsi_buffer_free(&raw);
        if (!room)
            return krsi_no_memory(err, "a vocabulary");
    }
    return KRS_OK;
}

/* Words may be taken as bytes if the last step writes them in the byte
 * alphabet and every byte is a token. */
static krs_status
look_at_bytes(krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    size_t steps = t->pre.count, others = 0;
    for (size_t i = 0; i < steps; i++)
        others += t->pre.items[i].kind == KRSI_PRE_BYTE_LEVEL;
    if (m->kind != KRSI_BPE || others != 1 || m->prefix || m->suffix ||
        t->pre.items[steps - 1].kind != KRSI_PRE_BYTE_LEVEL ||
        t->pre.items[steps - 1].prefix_space)
        return KRS_OK;
    return index_bytes(t, &m->byte_level, err);
}

/* No token has U+2581 behind anything but itself. */
static void
look_at_spaces(krs_tokenizer *t)
{
    krsi_model *m = &t->model;
    if (m->kind != KRSI_BPE || m->byte_level || m->prefix || m->suffix ||
        m->ignore_merges || m->frozen.nodes ||
        krsi_vocabulary_find(&t->vocabulary, KRSI_META_SPACE,
                             KRSI_META_BYTES) == KRSI_NO_ID)
        return;
    for (uint32_t id = 0; id < t->vocabulary.ids; id++) {
        size_t bytes;
        const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
        const char *end = text + (text ? bytes : 0);
        if (!text)
            continue;
        while (end - text >= KRSI_META_BYTES &&
               !memcmp(text, KRSI_META_SPACE, KRSI_META_BYTES))
            text += KRSI_META_BYTES;
        for (; end - text >= KRSI_META_BYTES; text++)
            if (!memcmp(text, KRSI_META_SPACE, KRSI_META_BYTES))
                return;
    }
    m->cut_at_space = true;
}

static void
look_at_fallback(krs_tokenizer *t)
{
    for (int byte = 0; byte < 256; byte++) {
        static const char digits[] = "0123456789ABCDEF";
        char text[] = "<0x00>";
        text[3] = digits[byte >> 4];
        text[4] = digits[byte & 15];
        t->model.byte_id[byte] = krsi_vocabulary_find(&t->vocabulary, text, 6);
    }
}

krs_status
krsi_tokenizer_ready(krs_tokenizer *t, krs_error *err)
{
    KRS_TRY(normalize_added(t, err));
    KRS_TRY(krsi_added_index(&t->added, err));
    if (t->model.byte_fallback && !t->model.types)
        look_at_fallback(t);
    KRS_TRY(look_at_bytes(t, err));
    look_at_spaces(t);
    return KRS_OK;
}

/* ---- asked ---- */

size_t
krs_tokenizer_size(const krs_tokenizer *t)
{
    return t->added.limit > t->vocabulary.ids ? t->added.limit
                                              : t->vocabulary.ids;
}

const char *
krs_tokenizer_token(const krs_tokenizer *t, uint32_t id)
{
    const krsi_added_token *added = krsi_added_of_id(&t->added, id);
    return added ? added->content
                 : krsi_vocabulary_text(&t->vocabulary, id, NULL);
}

int64_t
krs_tokenizer_id(const krs_tokenizer *t, const char *token)
{
    size_t bytes = strlen(token);
    uint32_t id = krsi_vocabulary_find(&t->added.text, token, bytes);
    if (id == KRSI_NO_ID)
        id = krsi_vocabulary_find(&t->vocabulary, token, bytes);
    return id == KRSI_NO_ID ? -1 : (int64_t)id;
}

bool
krs_tokenizer_is_special(const krs_tokenizer *t, uint32_t id)
{
    const krsi_added_token *added = krsi_added_of_id(&t->added, id);
    if (t->model.types && id < t->vocabulary.ids)
        return t->model.types[id] == KRS_TOKEN_CONTROL ||
               t->model.types[id] == KRS_TOKEN_UNKNOWN;
    return added && added->special;
}

int64_t
krs_tokenizer_bos(const krs_tokenizer *t)
{
    return t->bos;
}

int64_t
krs_tokenizer_eos(const krs_tokenizer *t)
{
    return t->eos;
}

int64_t
krs_tokenizer_pad(const krs_tokenizer *t)
{
    return t->pad;
}

const char *
krs_tokenizer_kind(const krs_tokenizer *t)
{
    static const char *const names[] = {
        [KRSI_BPE] = "BPE",
        [KRSI_UNIGRAM] = "Unigram",
        [KRSI_WORDPIECE] = "WordPiece",
        [KRSI_WORDLEVEL] = "WordLevel",
    };
    return names[t->model.kind];
}
