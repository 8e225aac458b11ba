/* added.c -- tokens that are found in the text before anything else is done.
 *
 * In: tokens with their rules; a text. Out: their places in it, leftmost
 * first, of several the longest, none overlapping another. Those with
 * `normalized` are looked for in the normalized text, under the name that the
 * normalizer gives them.
 *
 * A token with single_word must not touch a word character; lstrip and rstrip
 * take the spaces beside it along. A match that single_word refuses is passed
 * over whole: what overlaps it is not looked for, as in Hugging Face
 * tokenizers, whose rules these are (added_vocabulary.rs).
 *
 * Cost: one look at each byte, and a walk in a trie where a token may begin.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

static void
free_token(krsi_added_token *token)
{
    free(token->content);
    free(token->match);
}

krs_status
krsi_added_add(krsi_added *added, const krsi_added_token *token, krs_error *err)
{
    krsi_added_token copy = *token;
    copy.content = krsi_copy_text(token->content, token->content_bytes);
    copy.match = NULL;
    if (!copy.content || !krsi_room(&added->items, &added->capacity,
                                    added->count + 1, sizeof *added->items)) {
        free(copy.content);
        return krsi_no_memory(err, "an added token");
    }
    added->items[added->count++] = copy;
    if (krsi_vocabulary_add(&added->text, copy.content, copy.content_bytes,
                            copy.id) == KRSI_ADD_NO_MEMORY)
        return krsi_no_memory(err, "an added token");
    return KRS_OK;
}

krs_status
krsi_added_index(krsi_added *added, krs_error *err)
{
    static const char word[] = "[\\w\\x{200c}\\x{200d}]"; /* as Rust's \w */
    for (size_t i = 0; i < added->count; i++)
        if (added->items[i].id >= added->limit)
            added->limit = (size_t)added->items[i].id + 1;
    added->by_id = malloc(added->limit * sizeof *added->by_id + 1);
    if (!added->by_id)
        return krsi_no_memory(err, "added tokens");
    memset(added->by_id, 0xFF, added->limit * sizeof *added->by_id);
    for (size_t i = 0; i < added->count; i++) {
        const krsi_added_token *token = &added->items[i];
        const char *match = token->match ? token->match : token->content;
        size_t bytes = token->match ? token->match_bytes : token->content_bytes;
        added->by_id[token->id] = (uint32_t)i;
        if (bytes == 0)
            continue;
        added->starts[token->normalized][(uint8_t)match[0]] = true;
        if (!krsi_trie_add(token->normalized ? &added->normal : &added->raw,
                           match, bytes, (uint32_t)i))
            return krsi_no_memory(err, "added tokens");
        if (token->single_word && !added->word)
            KRS_TRY(
                krsi_pattern_regex(word, sizeof word - 1, &added->word, err));
    }
    return KRS_OK;
}

const krsi_added_token *
krsi_added_of_id(const krsi_added *added, uint32_t id)
{
    if (id >= added->limit || added->by_id[id] == KRSI_NO_ID)
        return NULL;
    return &added->items[added->by_id[id]];
}

void
krsi_added_free(krsi_added *added)
{
    for (size_t i = 0; i < added->count; i++)
        free_token(&added->items[i]);
    free(added->items);
    free(added->by_id);
    krsi_trie_free(&added->raw);
    krsi_trie_free(&added->normal);
    krsi_vocabulary_free(&added->text);
    krsi_pattern_free(added->word);
}

static const krsi_added_token *
longest_at(const krsi_added *added, const krsi_trie *trie, const char *text,
           size_t bytes, size_t at, size_t *end)
{
    const krsi_added_token *best = NULL;
    uint32_t node = 0;
    for (size_t i = at; i < bytes; i++) {
        node = krsi_trie_step(trie, node, (uint8_t)text[i]);
        if (node == 0)
            break;
        if (trie->values[node] == KRSI_NO_ID)
            continue;
        best = &added->items[trie->values[node]];
        *end = i + 1;
    }
    return best;
}

/* the character text[begin..end) is one of a word */
static krs_status
is_word(const krsi_added *added, krsi_search *search, const char *text,
        size_t begin, size_t end, bool *out, krs_error *err)
{
    krsi_scan scan = KRSI_SCAN;
    krsi_match match;
    return krsi_pattern_next(added->word, search, text + begin, end - begin,
                             &scan, &match, out, err);
}

static krs_status
touches_word(const krsi_added *added, krsi_search *search, const char *text,
             size_t bytes, size_t begin, size_t end, bool *out, krs_error *err)
{
    uint32_t code;
    *out = false;
    if (begin > 0)
        KRS_TRY(is_word(added, search, text,
                        begin - krsi_utf8_last(text, begin, &code), begin, out,
                        err));
    if (!*out && end < bytes)
        KRS_TRY(is_word(added, search, text, end,
                        end + krsi_utf8_length(text[end]), out, err));
    return KRS_OK;
}

static void
take_spaces(krsi_found *found, const char *text, size_t bytes, size_t from)
{
    uint32_t code;
    size_t used;
    while (
        found->token->lstrip && found->begin > 0 &&
        (used = krsi_utf8_last(text, found->begin, &code), krsi_is_space(code)))
        found->begin -= used;
    if (found->token->lstrip && found->begin < from)
        found->begin = from; /* the token before has taken those */
    while (found->token->rstrip && found->end < bytes &&
           (used = krsi_utf8_next(text + found->end, bytes - found->end, &code),
            krsi_is_space(code)))
        found->end += used;
}

krs_status
krsi_added_next(const krsi_added *added, bool normalized, bool skip_special,
                krsi_search *search, const char *text, size_t bytes,
                size_t from, size_t at, krsi_found *out, bool *found,
                krs_error *err)
{
    const krsi_trie *trie = normalized ? &added->normal : &added->raw;
    const bool *starts = added->starts[normalized];
    *found = false;
    if (trie->nodes == 0)
        return KRS_OK;
    for (;;) {
        size_t end = 0;
        bool refused = false;
        while (at < bytes && !starts[(uint8_t)text[at]])
            at++;
        if (at == bytes)
            return KRS_OK;
        const krsi_added_token *token =
            longest_at(added, trie, text, bytes, at, &end);
        if (!token) {
            at++;
            continue;
        }
        if (token->single_word)
            KRS_TRY(touches_word(added, search, text, bytes, at, end, &refused,
                                 err));
        if (refused || (skip_special && token->special)) {
            at = end;
            continue;
        }
        *out = (krsi_found){token, at, end, end};
        take_spaces(out, text, bytes, from);
        *found = true;
        return KRS_OK;
    }
}
