/* pieces.c -- vocabularies of sentencepiece: pieces with scores and types, out
 * of a .model or out of a model file.
 *
 * In: the pieces in the order of their ids. Out: the model of a tokenizer.
 *
 * sentencepiece has no list of merges: two neighbours may merge if what they
 * make is a piece, and the highest score goes first. Here every way to cut a
 * piece in two that can come up is a merge, with the place of its score among
 * all scores as its rank; pieces of equal score share a rank. A character that
 * is no piece but occurs in one has an id behind the vocabulary, so that it can
 * be merged too.
 */
#include "pieces.h"

#include <stdlib.h>
#include <string.h>

static krs_status
wrong(const char *name, krs_error *err, size_t id, const char *what)
{
    return krs_fail(err, KRS_E_FORMAT, "%s: piece %zu %s", name, id, what);
}

static krs_status
add_pieces(krs_tokenizer *t, const krsi_pieces *p, krs_error *err)
{
    krsi_model *m = &t->model;
    bool bytes[256] = {false};
    m->types = malloc(p->count + 1);
    m->scores = malloc((p->count + 1) * sizeof *m->scores);
    if (!m->types || !m->scores)
        return krsi_no_memory(err, "pieces");
    for (size_t i = 0; i < p->count; i++) {
        krsi_scored_piece it = p->piece(p->user, i);
        if (it.bytes == 0)
            return wrong(p->name, err, i, "is empty");
        size_t bad = krsi_utf8_check(it.text, it.bytes);
        if (bad < it.bytes || memchr(it.text, 0, it.bytes))
            return wrong(p->name, err, i, "is not UTF-8, or holds a zero");
        if (it.type < KRS_TOKEN_NORMAL || it.type > KRS_TOKEN_BYTE)
            return wrong(p->name, err, i,
                         "has a type that is not one of 1 to 6");
        if (!(it.score == it.score) || it.score - it.score != 0)
            return wrong(p->name, err, i, "has a score that is no number");
        switch (krsi_vocabulary_add(&t->vocabulary, it.text, it.bytes,
                                    (uint32_t)i)) {
        case KRSI_ADDED: break;
        case KRSI_TOKEN_TWICE:
        case KRSI_ID_TWICE: return wrong(p->name, err, i, "is there before");
        case KRSI_ADD_NO_MEMORY: return krsi_no_memory(err, "pieces");
        }
        m->types[i] = (uint8_t)it.type;
        m->scores[i] = (double)it.score;
        if (it.type == KRS_TOKEN_UNKNOWN) {
            if (m->unk != KRSI_NO_ID)
                return wrong(p->name, err, i,
                             "is unknown, and so is one before");
            m->unk = (uint32_t)i;
        }
        if (it.type == KRS_TOKEN_BYTE) {
            int byte = krsi_byte_token(it.text, it.bytes);
            if (byte < 0 || it.text[3] >= 'a' || it.text[4] >= 'a')
                return wrong(p->name, err, i,
                             "is a byte and not written as <0x00>");
            bytes[byte] = true;
            m->byte_id[byte] = (uint32_t)i;
        }
    }
    if (m->unk == KRSI_NO_ID)
        return krs_fail(err, KRS_E_FORMAT, "%s: no piece is the unknown one",
                        p->name);
    for (int i = 0; p->byte_fallback && i < 256; i++)
        if (!bytes[i])
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: unknown characters become bytes, and there is "
                            "no piece <0x%02X>",
                            p->name, (unsigned)i);
    m->byte_fallback = p->byte_fallback;
    return KRS_OK;
}

static bool
can_be_text(const krsi_model *m, uint32_t id)
{
    return m->types[id] == KRS_TOKEN_NORMAL ||
           m->types[id] == KRS_TOKEN_USER_DEFINED ||
           m->types[id] == KRS_TOKEN_UNUSED;
}

/* ---- BPE ---- */

static int
by_code(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Characters of pieces that are no pieces. */
static krs_status
add_extra(krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    size_t kept = 0;
    for (uint32_t id = 0; id < t->vocabulary.ids; id++) {
        size_t bytes;
        const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
        if (!can_be_text(m, id))
            continue;
        for (size_t at = 0, used; at < bytes; at += used) {
            uint32_t code;
            used = krsi_utf8_next(text + at, bytes - at, &code);
            if (krsi_vocabulary_find(&t->vocabulary, text + at, used) !=
                KRSI_NO_ID)
                continue;
            if (!krsi_room(&m->extra, &m->extra_capacity, m->extra_count + 1,
                           sizeof *m->extra))
                return krsi_no_memory(err, "pieces");
            m->extra[m->extra_count++] = code;
        }
    }
    if (m->extra_count == 0)
        return KRS_OK;
    qsort(m->extra, m->extra_count, sizeof *m->extra, by_code);
    for (size_t i = 0; i < m->extra_count; i++)
        if (i == 0 || m->extra[i] != m->extra[i - 1])
            m->extra[kept++] = m->extra[i];
    m->extra_count = kept;
    return KRS_OK;
}

struct scored {
    double score;
    uint32_t id;
};

static int
by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

/* ranks[id]: the place of its score, highest first. To be freed. */
static uint32_t *
rank_scores(const krs_tokenizer *t)
{
    size_t count = t->vocabulary.ids;
    struct scored *list = malloc((count + 1) * sizeof *list);
    uint32_t *ranks = malloc((count + 1) * sizeof *ranks);
    if (!list || !ranks) {
        free(list);
        free(ranks);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        list[i] = (struct scored){t->model.scores[i], (uint32_t)i};
    qsort(list, count, sizeof *list, by_score);
    for (size_t i = 0, rank = 0; i < count; i++) {
        if (i > 0 && list[i].score < list[i - 1].score)
            rank++;
        ranks[list[i].id] = (uint32_t)rank;
    }
    free(list);
    return ranks;
}

/* The ids of the two parts of a piece, if both can come up. */
static bool
part_id(const krs_tokenizer *t, const char *text, size_t bytes, uint32_t *out)
{
    *out = krsi_piece_id(t, text, bytes);
    if (*out == KRSI_NO_ID)
        return false;
    return bytes == krsi_utf8_length(text[0]) ||
           (*out < t->vocabulary.ids && can_be_text(&t->model, *out));
}

static krs_status
add_merges(krs_tokenizer *t, const uint32_t *ranks, krs_error *err)
{
    krsi_model *m = &t->model;
    for (uint32_t id = 0; id < t->vocabulary.ids; id++) {
        size_t bytes;
        const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
        if (!can_be_text(m, id))
            continue;
        for (size_t at = krsi_utf8_length(text[0]); at < bytes;
             at += krsi_utf8_length(text[at])) {
            uint32_t left, right;
            if (!part_id(t, text, at, &left) ||
                !part_id(t, text + at, bytes - at, &right))
                continue;
            if (!krsi_merges_room(&m->merges, m->merges.count + 1))
                return krsi_no_memory(err, "merges");
            krsi_merges_put(&m->merges, left, right, ranks[id], id);
        }
    }
    return KRS_OK;
}

static krs_status
make_bpe(krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    m->kind = KRSI_BPE;
    m->pieces = true;
    KRS_TRY(add_extra(t, err));
    uint32_t *ranks = rank_scores(t);
    if (!ranks)
        return krsi_no_memory(err, "scores");
    krs_status status = add_merges(t, ranks, err);
    free(ranks);
    return status;
}

/* ---- unigram ---- */

static krs_status
make_unigram(krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    float least = 3.402823466e+38F, most = 1.175494351e-38F;
    m->kind = KRSI_UNIGRAM;
    m->single = true;
    for (uint32_t id = 0; id < t->vocabulary.ids; id++) {
        size_t bytes;
        const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
        float score = (float)m->scores[id];
        if (m->types[id] == KRS_TOKEN_NORMAL) {
            least = score < least ? score : least;
            most = score > most ? score : most;
        }
        if (can_be_text(m, id) && m->types[id] != KRS_TOKEN_UNUSED &&
            !krsi_trie_add(&m->trie, text, bytes, id))
            return krsi_no_memory(err, "pieces");
    }
    m->unk_score = (double)(least - 10.0F);
    m->max_score = (double)most;
    return KRS_OK;
}

/* ---- words, characters ---- */

/* Words are what stands between marks, characters are cut before: either is
 * looked up whole. */
static krs_status
make_words(krs_tokenizer *t, bool words, krs_error *err)
{
    static const char regex[] = "\xE2\x96\x81?[^\xE2\x96\x81]*";
    krsi_step *step;
    t->model.kind = KRSI_WORDLEVEL;
    t->model.pieces = true;
    KRS_TRY(krsi_steps_add(&t->pre, &step, err));
    step->behavior = KRSI_ISOLATED;
    if (!words) {
        step->kind = KRSI_PRE_FIXED_LENGTH;
        step->start = 1;
        return KRS_OK;
    }
    step->kind = KRSI_PRE_SPLIT;
    return krsi_pattern_regex(regex, sizeof regex - 1, &step->pattern, err);
}

/* Pieces that the user defined, in a trie; those that are not used. */
static krs_status
index_types(krs_tokenizer *t, krs_error *err)
{
    krsi_model *m = &t->model;
    size_t unused = 0;
    for (uint32_t id = 0; id < t->vocabulary.ids; id++) {
        size_t bytes;
        const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
        unused += m->types[id] == KRS_TOKEN_UNUSED;
        if (m->types[id] == KRS_TOKEN_USER_DEFINED &&
            !krsi_trie_add(&m->frozen, text, bytes, id))
            return krsi_no_memory(err, "pieces");
    }
    if (unused == 0 || m->kind != KRSI_BPE)
        return KRS_OK;
    m->unused = calloc(t->vocabulary.ids, 1);
    if (!m->unused)
        return krsi_no_memory(err, "pieces");
    for (uint32_t id = 0; id < t->vocabulary.ids; id++)
        m->unused[id] = m->types[id] == KRS_TOKEN_UNUSED;
    return KRS_OK;
}

krs_status
krsi_pieces_set(krs_tokenizer *t, const krsi_pieces *p, krs_error *err)
{
    if (p->count == 0 || p->count >= KRSI_MOST_TOKENS)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: %zu pieces; at least one is needed, and less than "
                        "%u",
                        p->name, p->count, KRSI_MOST_TOKENS);
    KRS_TRY(add_pieces(t, p, err));
    switch (p->kind) {
    case KRSI_PIECES_UNIGRAM: KRS_TRY(make_unigram(t, err)); break;
    case KRSI_PIECES_BPE: KRS_TRY(make_bpe(t, err)); break;
    case KRSI_PIECES_WORD: KRS_TRY(make_words(t, true, err)); break;
    case KRSI_PIECES_CHAR: KRS_TRY(make_words(t, false, err)); break;
    }
    return index_types(t, err);
}

krs_status
krsi_add_around(krs_tokenizer *t, krs_error *err)
{
    krsi_post *post;
    krsi_post_piece *piece;
    if (!(t->adds_bos && t->bos >= 0) && !(t->adds_eos && t->eos >= 0))
        return KRS_OK;
    KRS_TRY(krsi_posts_add(&t->post, &post, err));
    post->kind = KRSI_POST_TEMPLATE;
    for (int pair = 0; pair < 2; pair++)
        for (int s = 0; s <= pair; s++) {
            krsi_template *out = pair ? &post->pair : &post->single;
            const int64_t ends[2] = {t->adds_bos ? t->bos : -1,
                                     t->adds_eos ? t->eos : -1};
            for (int i = 0; i < 3; i++) {
                int64_t id = i == 1 ? -1 : ends[i / 2];
                if (i != 1 && id < 0)
                    continue;
                KRS_TRY(krsi_template_add(out, &piece, err));
                if (i == 1)
                    piece->sequence = s;
                else
                    KRS_TRY(krsi_post_piece_add(
                        piece, (uint32_t)id,
                        krsi_vocabulary_text(&t->vocabulary, (uint32_t)id,
                                             NULL),
                        err));
            }
        }
    return KRS_OK;
}
