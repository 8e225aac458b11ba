/* words.c -- the tokens of a word, found once and remembered.
 *
 * In: a word. Out: its tokens in w->tokens, by the model or as they were the
 * last time. The memory belongs to one thread's scratch and is bounded: when
 * it is full it is forgotten as a whole, so what a text costs does not depend
 * on the texts before by more than that.
 *
 * Where no token of a BPE vocabulary has U+2581 after anything else, no merge
 * crosses the place before such a mark, and what lies between is a word of its
 * own: a text that was not split at all still consists of words.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* 2.6 MiB of places at most, 4 MiB of words, 6 MiB of tokens */
enum {
    LONGEST = 64,
    SLOTS = 1 << 14,
    MOST_WORDS = 1 << 13,
    MOST_TEXT = 1 << 19,
    MOST_TOKENS = 1 << 16
};

typedef struct krsi_word {
    uint64_t hash; /* 0: empty */
    uint32_t at, bytes;
    uint32_t token, tokens;
} word;

static krs_status
run_model(const krs_tokenizer *t, krsi_work *w, const char *text, size_t bytes,
          krs_error *err)
{
    switch (t->model.kind) {
    case KRSI_BPE: return krsi_bpe(t, w, text, bytes, &w->tokens, err);
    case KRSI_UNIGRAM: return krsi_unigram(t, w, text, bytes, &w->tokens, err);
    case KRSI_WORDPIECE:
        return krsi_wordpiece(t, w, text, bytes, &w->tokens, err);
    case KRSI_WORDLEVEL: break;
    }
    return krsi_wordlevel(t, w, text, bytes, &w->tokens, err);
}

static bool
remember(krsi_work *w, word *slot, uint64_t hash, const char *text,
         size_t bytes, size_t first)
{
    size_t count = w->tokens.count - first;
    krsi_tokens *kept = &w->word_tokens;
    if (!krsi_room(&kept->items, &kept->capacity, kept->count + count,
                   sizeof *kept->items))
        return false;
    *slot = (word){hash, (uint32_t)w->word_text.count, (uint32_t)bytes,
                   (uint32_t)kept->count, (uint32_t)count};
    krsi_buffer_add(&w->word_text, text, bytes);
    if (count > 0)
        memcpy(kept->items + kept->count, w->tokens.items + first,
               count * sizeof *kept->items);
    kept->count += count;
    w->word_count++;
    return !w->word_text.failed;
}

static krs_status
look_up(const krs_tokenizer *t, krsi_work *w, const char *text, size_t bytes,
        krs_error *err)
{
    if (bytes > LONGEST)
        return run_model(t, w, text, bytes, err);
    if (!w->words) {
        w->words = calloc(SLOTS, sizeof *w->words);
        if (!w->words)
            return krsi_no_memory(err, "words");
    }
    uint64_t hash = XXH3_64bits(text, bytes) | 1;
    size_t i = (size_t)(hash >> 32) & (SLOTS - 1);
    for (; w->words[i].hash; i = (i + 1) & (SLOTS - 1)) {
        const word *it = &w->words[i];
        if (it->hash != hash || it->bytes != bytes ||
            memcmp(w->word_text.bytes + it->at, text, bytes) != 0)
            continue;
        krsi_tokens *out = &w->tokens;
        if (!krsi_room(&out->items, &out->capacity, out->count + it->tokens,
                       sizeof *out->items))
            return krsi_no_memory(err, "tokens");
        for (uint32_t k = 0; k < it->tokens; k++)
            out->items[out->count++] = w->word_tokens.items[it->token + k];
        return KRS_OK;
    }
    size_t first = w->tokens.count;
    KRS_TRY(run_model(t, w, text, bytes, err));
    if (w->word_count >= MOST_WORDS || w->word_text.count >= MOST_TEXT ||
        w->word_tokens.count >= MOST_TOKENS) {
        memset(w->words, 0, SLOTS * sizeof *w->words);
        w->word_count = w->word_text.count = w->word_tokens.count = 0;
        i = (size_t)(hash >> 32) & (SLOTS - 1);
    }
    return remember(w, &w->words[i], hash, text, bytes, first)
               ? KRS_OK
               : krsi_no_memory(err, "words");
}

/* The end of the word at `at`: before the next U+2581 after something else. */
static size_t
cut(const char *text, size_t bytes, size_t at)
{
    size_t i = at;
    while (i + KRSI_META_BYTES <= bytes &&
           !memcmp(text + i, KRSI_META_SPACE, KRSI_META_BYTES))
        i += KRSI_META_BYTES;
    while (i < bytes) {
        const char *next = memchr(text + i, KRSI_META_SPACE[0], bytes - i);
        if (!next || bytes - (size_t)(next - text) < KRSI_META_BYTES)
            return bytes;
        i = (size_t)(next - text);
        if (!memcmp(next, KRSI_META_SPACE, KRSI_META_BYTES))
            return i;
        i++;
    }
    return bytes;
}

krs_status
krsi_word(const krs_tokenizer *t, krsi_work *w, const char *text, size_t bytes,
          krs_error *err)
{
    w->tokens.count = 0;
    if (!t->model.cut_at_space)
        return look_up(t, w, text, bytes, err);
    for (size_t at = 0, end; at < bytes; at = end) {
        size_t first = w->tokens.count;
        end = cut(text, bytes, at);
        KRS_TRY(look_up(t, w, text + at, end - at, err));
        for (size_t i = first; at > 0 && i < w->tokens.count; i++) {
            w->tokens.items[i].begin += (uint32_t)at;
            w->tokens.items[i].end += (uint32_t)at;
        }
    }
    return KRS_OK;
}

void
krsi_words_free(krsi_work *w)
{
    free(w->words);
    krsi_buffer_free(&w->word_text);
    free(w->word_tokens.items);
}
