/* wordpiece.c -- a word as the longest pieces from the left, or as one token.
 *
 * In: a word. Out: WordPiece (Schuster & Nakajima 2012; Devlin et al. 2019):
 * at each place the longest piece that continues the word, or the unknown
 * token for all of it where there is none or the word is too long. WordLevel:
 * the token of that name, or the unknown one.
 *
 * The pieces lie in one trie; those inside a word begin at the node that the
 * prefix (##) leads to.
 */
#include "tokenizer.h"

static bool
put(krsi_tokens *out, uint32_t id, size_t begin, size_t end)
{
    if (!krsi_room(&out->items, &out->capacity, out->count + 1,
                   sizeof *out->items))
        return false;
    out->items[out->count++] = (krsi_token){id, (uint32_t)begin, (uint32_t)end};
    return true;
}

static krs_status
put_unknown(const krs_tokenizer *t, const char *word, size_t bytes,
            krsi_tokens *out, krs_error *err)
{
    bool as_bytes = t->model.pieces && t->model.byte_fallback;
    for (size_t i = 0; as_bytes && i < bytes; i++)
        if (!put(out, t->model.byte_id[(uint8_t)word[i]], i, i + 1))
            return krsi_no_memory(err, "tokens");
    if (as_bytes)
        return KRS_OK;
    if (t->model.unk == KRSI_NO_ID)
        return krs_fail(err, KRS_E_FORMAT,
                        "tokenizer: the text has a word that is not in the "
                        "vocabulary, and neither is its unknown token");
    return put(out, t->model.unk, 0, bytes) ? KRS_OK
                                            : krsi_no_memory(err, "tokens");
}

krs_status
krsi_wordpiece(const krs_tokenizer *t, krsi_work *w, const char *word,
               size_t bytes, krsi_tokens *out, krs_error *err)
{
    const krsi_model *m = &t->model;
    size_t before = out->count;
    (void)w;
    if (bytes > m->max_chars && krsi_utf8_count(word, bytes) > m->max_chars)
        return put_unknown(t, word, bytes, out, err);
    for (size_t at = 0, end = 0; at < bytes; at = end) {
        uint32_t node = at > 0 ? m->continuing : 0, id = KRSI_NO_ID;
        for (size_t i = at; i < bytes; i++) {
            if (at > 0 && node == 0 && !m->bare_prefix)
                break;
            node = krsi_trie_step(&m->trie, node, (uint8_t)word[i]);
            if (node == 0)
                break;
            if (m->trie.values[node] == KRSI_NO_ID ||
                (i + 1 < bytes && krsi_is_continuation(word[i + 1])))
                continue;
            id = m->trie.values[node];
            end = i + 1;
        }
        if (id == KRSI_NO_ID) {
            out->count = before;
            return put_unknown(t, word, bytes, out, err);
        }
        if (!put(out, id, at, end))
            return krsi_no_memory(err, "tokens");
    }
    return KRS_OK;
}

krs_status
krsi_wordlevel(const krs_tokenizer *t, krsi_work *w, const char *word,
               size_t bytes, krsi_tokens *out, krs_error *err)
{
    uint32_t id = krsi_vocabulary_find(&t->vocabulary, word, bytes);
    (void)w;
    if (id == KRSI_NO_ID)
        return put_unknown(t, word, bytes, out, err);
    return put(out, id, 0, bytes) ? KRS_OK : krsi_no_memory(err, "tokens");
}
