/* sequence.c -- one text through added tokens, normalizer, pre-tokenizer and
 * model.
 *
 * In: a text that is UTF-8. Out: its tokens with the bytes of the text that
 * each stands for, appended to an encoding. Nothing is added around them.
 *
 * Where a tokenizer normalizes nothing, the parts point into the text itself
 * and no alignment is made: that is the fast way, and the common one for
 * byte-level vocabularies.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

bool
krsi_encoding_room(krs_encoding *e, size_t count, bool pieces)
{
    size_t capacity[5] = {e->capacity, e->capacity, e->capacity, e->capacity,
                          e->capacity};
    if (count > e->capacity && e->capacity > 0 && count < 2 * e->capacity)
        count = 2 * e->capacity;
    if (!krsi_room(&e->ids, &capacity[0], count, sizeof *e->ids) ||
        !krsi_room(&e->type_ids, &capacity[1], count, sizeof *e->type_ids) ||
        !krsi_room(&e->spans, &capacity[2], count, sizeof *e->spans) ||
        !krsi_room(&e->marks, &capacity[3], count, sizeof *e->marks))
        return false;
    capacity[4] = e->piece ? capacity[4] + 1 : 0;
    if (pieces &&
        !krsi_room(&e->piece, &capacity[4], capacity[0] + 1, sizeof *e->piece))
        return false;
    if (pieces && e->count == 0)
        e->piece[0] = 0;
    e->capacity = capacity[0];
    return true;
}

bool
krsi_encoding_put(krs_encoding *e, uint32_t id, uint32_t type_id,
                  krs_token_span span, uint8_t marks, const char *piece,
                  size_t piece_bytes)
{
    size_t i = e->count++;
    e->ids[i] = id;
    e->type_ids[i] = type_id;
    e->spans[i] = span;
    e->marks[i] = marks;
    if (!piece)
        return true;
    size_t at = e->piece[i], need = at + piece_bytes;
    if (need > UINT32_MAX ||
        !krsi_room(&e->text, &e->text_capacity, need + 1, 1))
        return false;
    memcpy(e->text + at, piece, piece_bytes);
    e->text[need] = 0;
    e->piece[i + 1] = (uint32_t)need;
    return true;
}

/* Split the text at added tokens: words and tokens between begin and end. */
static krs_status
find_added(const krs_tokenizer *t, krsi_work *w, bool normalized,
           bool plain_special, const char *text, size_t begin, size_t end,
           krs_error *err)
{
    size_t at = begin, done = begin;
    for (;;) {
        krsi_found found;
        bool is_found;
        KRS_TRY(krsi_added_next(
            &t->added, normalized, plain_special, &w->search, text + begin,
            end - begin, done - begin, at - begin, &found, &is_found, err));
        if (!is_found)
            break;
        if (done < begin + found.begin)
            KRS_TRY(krsi_part_add(&w->parts, done, begin + found.begin,
                                  KRSI_NO_ID, err));
        KRS_TRY(krsi_part_add(&w->parts, begin + found.begin, begin + found.end,
                              found.token->id, err));
        at = begin + found.next;
        done = begin + found.end;
    }
    if (done < end)
        return krsi_part_add(&w->parts, done, end, KRSI_NO_ID, err);
    return KRS_OK;
}

static void
swap_parts(krsi_work *w)
{
    krsi_parts parts = w->parts;
    w->parts = w->spare;
    w->spare = parts;
}

/* The words among w->parts normalized, each by itself, into w->text. */
static krs_status
normalize_parts(const krs_tokenizer *t, krsi_work *w, bool plain_special,
                krs_error *err)
{
    w->whole.count = 0;
    w->whole.first = 0;
    swap_parts(w);
    w->parts.count = 0;
    for (size_t i = 0; i < w->spare.count; i++) {
        krsi_part part = w->spare.items[i];
        size_t base = w->whole.count;
        krsi_aligned_set(&w->text, w->input, part.begin, part.end);
        if (part.id == KRSI_NO_ID) {
            if (w->text.failed)
                return krsi_no_memory(err, "a text");
            KRS_TRY(krsi_normalize(&t->normalizer, w, err));
        }
        krsi_aligned_copy(&w->whole, &w->text, 0, w->text.count);
        if (w->text.failed || w->whole.failed)
            return krsi_no_memory(err, "a text");
        if (part.id != KRSI_NO_ID)
            KRS_TRY(
                krsi_part_add(&w->parts, base, w->whole.count, part.id, err));
        else if (base < w->whole.count)
            KRS_TRY(find_added(t, w, true, plain_special, w->whole.bytes, base,
                               w->whole.count, err));
    }
    krsi_aligned_swap(&w->text, &w->whole);
    w->plain = false;
    return KRS_OK;
}

/* The same where there is no normalizer. */
static krs_status
find_normal(const krs_tokenizer *t, krsi_work *w, bool plain_special,
            krs_error *err)
{
    swap_parts(w);
    w->parts.count = 0;
    for (size_t i = 0; i < w->spare.count; i++) {
        krsi_part part = w->spare.items[i];
        if (part.id != KRSI_NO_ID)
            KRS_TRY(
                krsi_part_add(&w->parts, part.begin, part.end, part.id, err));
        else
            KRS_TRY(find_added(t, w, true, plain_special, w->input, part.begin,
                               part.end, err));
    }
    return KRS_OK;
}

/* The words among w->parts as sentencepiece writes them, into w->text. */
static krs_status
write_pieces(const krs_tokenizer *t, krsi_work *w, krs_error *err)
{
    w->text.count = 0;
    w->text.first = 0;
    for (size_t i = 0; i < w->parts.count; i++) {
        krsi_part *part = &w->parts.items[i];
        size_t begin = w->text.count;
        if (part->id == KRSI_NO_ID)
            KRS_TRY(krsi_piece_normalize(&t->piece_text, &t->model.frozen, w,
                                         part->begin, part->end, err));
        else
            krsi_aligned_add(&w->text, w->input + part->begin,
                             part->end - part->begin,
                             (krsi_span){part->begin, part->end});
        part->begin = (uint32_t)begin;
        part->end = (uint32_t)w->text.count;
    }
    w->plain = false;
    return w->text.failed ? krsi_no_memory(err, "a text") : KRS_OK;
}

krs_status
krsi_parts_of(const krs_tokenizer *t, krsi_work *w, bool plain_special,
              krs_error *err)
{
    w->parts.count = 0;
    w->plain = true;
    if (w->input_bytes == 0)
        return KRS_OK;
    KRS_TRY(find_added(t, w, false, plain_special, w->input, 0, w->input_bytes,
                       err));
    if (t->piece_text.on)
        KRS_TRY(write_pieces(t, w, err));
    else if (t->normalizer.count > 0)
        KRS_TRY(normalize_parts(t, w, plain_special, err));
    else if (t->added.normal.nodes > 0)
        KRS_TRY(find_normal(t, w, plain_special, err));
    return krsi_presplit(t, w, err);
}

/* The string of a token of the model: an unknown one shows what it stands for
 * where the original does. */
static const char *
piece_of(const krs_tokenizer *t, const char *word, const krsi_token *token,
         size_t *bytes)
{
    if (token->id == t->model.unk && t->model.kind == KRSI_UNIGRAM &&
        !t->model.types) {
        *bytes = token->end - token->begin;
        return word + token->begin;
    }
    return krsi_vocabulary_text(&t->vocabulary, token->id, bytes);
}

/* sentencepiece gives unknown neighbours as one token; where each character
 * or word of a .model is looked up by itself, they meet here. */
static bool
joins_unknown(const krs_tokenizer *t, const krsi_work *w, const krsi_part *part,
              const krsi_token *token, uint32_t begin, const krs_encoding *e)
{
    return t->model.kind == KRSI_WORDLEVEL && t->model.pieces &&
           token->id == t->model.unk && e->count > 0 && part > w->parts.items &&
           part[-1].id == KRSI_NO_ID && e->ids[e->count - 1] == token->id &&
           e->spans[e->count - 1].end == begin;
}

static krs_status
put_word(const krs_tokenizer *t, krsi_work *w, const krsi_part *part,
         bool pieces, krs_encoding *e, krs_error *err)
{
    const char *word = krsi_part_text(w, part);
    KRS_TRY(krsi_word(t, w, word, part->end - part->begin, err));
    if (e->count + w->tokens.count > e->capacity &&
        !krsi_encoding_room(e, e->count + w->tokens.count, pieces))
        return krsi_no_memory(err, "tokens");
    for (size_t i = 0; i < w->tokens.count; i++) {
        const krsi_token *token = &w->tokens.items[i];
        krsi_span from = krsi_work_span(w, part->begin + token->begin,
                                        part->begin + token->end);
        size_t bytes = 0;
        if (joins_unknown(t, w, part, token, from.begin, e)) {
            e->spans[e->count - 1].end = from.end;
            continue;
        }
        const char *piece = pieces ? piece_of(t, word, token, &bytes) : NULL;
        if (!krsi_encoding_put(e, token->id, 0,
                               (krs_token_span){from.begin, from.end}, 0, piece,
                               bytes))
            return krsi_no_memory(err, "tokens");
    }
    return KRS_OK;
}

static krs_status
put_part(const krs_tokenizer *t, krsi_work *w, const krsi_part *part,
         bool pieces, krs_encoding *e, krs_error *err)
{
    if (part->begin == part->end)
        return KRS_OK; /* nothing is left of it */
    if (part->id == KRSI_NO_ID)
        return put_word(t, w, part, pieces, e, err);
    krsi_span from = krsi_work_span(w, part->begin, part->end);
    if (!krsi_encoding_room(e, e->count + 1, pieces) ||
        !krsi_encoding_put(
            e, part->id, 0, (krs_token_span){from.begin, from.end}, 0,
            pieces ? krsi_part_text(w, part) : NULL, part->end - part->begin))
        return krsi_no_memory(err, "tokens");
    return KRS_OK;
}

/* The part from which on there are `limit` tokens; words count when they are
 * reached, tokens do not end the search. */
static krs_status
first_part(const krs_tokenizer *t, krsi_work *w, size_t limit, size_t *out,
           krs_error *err)
{
    size_t total = 0, i = w->parts.count;
    while (i > 0 && total < limit) {
        const krsi_part *part = &w->parts.items[--i];
        if (part->id != KRSI_NO_ID) {
            total++;
            continue;
        }
        KRS_TRY(krsi_word(t, w, krsi_part_text(w, part),
                          part->end - part->begin, err));
        total += w->tokens.count;
    }
    *out = i;
    return KRS_OK;
}

krs_status
krsi_sequence(const krs_tokenizer *t, krsi_work *w, const char *text,
              size_t bytes, const krs_encode_options *options, size_t limit,
              bool left, krs_encoding *e, krs_error *err)
{
    size_t first = 0;
    w->input = text;
    w->input_bytes = bytes;
    KRS_TRY(krsi_parts_of(t, w, options->plain_special, err));
    if (limit && left)
        KRS_TRY(first_part(t, w, limit, &first, err));
    /* a guess that saves growing: a word is seldom more than two tokens */
    if (!krsi_encoding_room(e, w->parts.count + w->parts.count / 4 + 8,
                            options->pieces))
        return krsi_no_memory(err, "tokens");
    for (size_t i = first; i < w->parts.count; i++) {
        const krsi_part *part = &w->parts.items[i];
        KRS_TRY(put_part(t, w, part, options->pieces, e, err));
        if (limit && !left && part->id == KRSI_NO_ID && e->count >= limit)
            break;
    }
    return KRS_OK;
}
