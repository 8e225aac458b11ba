/* unigram.c -- the likeliest segmentation of a word (Kudo 2018, eq. 7).
 *
 * In: a word; pieces with their log-probabilities. Out: the pieces whose sum is
 * largest, by Viterbi's recursion over the bytes:
 *
 *     best(end) = max over pieces word[begin..end) of best(begin) + score
 *
 * the first of equal ones wins, in the order in which they are met. A character
 * that is no piece by itself is unknown, with 10 less than the lowest score.
 * tokenizer.json adds up in double, a .model in float, and each decides ties by
 * that; unknown neighbours become one piece.
 *
 * Cost: O(bytes x longest piece).
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

typedef struct krsi_node {
    double score;
    uint32_t begin, id; /* of the best piece that ends here; begin
                           UINT32_MAX: none yet */
} node;

/* A candidate for the piece that ends at *to. */
static void
offer(const krsi_model *m, node *to, double sum, size_t begin, uint32_t id)
{
    if (to->begin != UINT32_MAX && !(sum > to->score))
        return;
    *to = (node){m->single ? (double)(float)sum : sum, (uint32_t)begin, id};
}

static double
score_of(const krsi_model *m, uint32_t id, size_t bytes)
{
    /* sentencepiece: what the user defined is always taken */
    if (m->types && m->types[id] == KRS_TOKEN_USER_DEFINED)
        return (double)((float)bytes * (float)m->max_score) - 0.1;
    return m->scores[id];
}

static krs_status
forward(const krs_tokenizer *t, node *nodes, const char *word, size_t bytes,
        krs_error *err)
{
    const krsi_model *m = &t->model;
    for (size_t i = 0; i <= bytes; i++)
        nodes[i] = (node){0, UINT32_MAX, 0};
    for (size_t begin = 0; begin < bytes;) {
        size_t length = krsi_utf8_length(word[begin]);
        bool single = false;
        uint32_t at = 0;
        if (length > bytes - begin)
            length = bytes - begin;
        for (size_t i = begin; i < bytes; i++) {
            at = krsi_trie_step(&m->trie, at, (uint8_t)word[i]);
            if (at == 0)
                break;
            uint32_t id = m->trie.values[at];
            if (id == KRSI_NO_ID)
                continue;
            offer(m, &nodes[i + 1],
                  score_of(m, id, i + 1 - begin) + nodes[begin].score, begin,
                  id);
            single |= i + 1 - begin == length;
        }
        if (!single) {
            if (m->unk == KRSI_NO_ID)
                return krs_fail(err, KRS_E_FORMAT,
                                "tokenizer: the text has a character that is "
                                "not in the vocabulary, which has no unknown "
                                "token (unk_id) either");
            double sum = m->unk_score + nodes[begin].score;
            offer(m, &nodes[begin + length],
                  m->single ? (double)(float)sum : sum, begin, m->unk);
        }
        begin += length;
    }
    return KRS_OK;
}

/* word[begin..end) is unknown. */
static bool
add_unknown(const krs_tokenizer *t, const char *word, size_t begin, size_t end,
            krsi_tokens *out)
{
    const krsi_model *m = &t->model;
    uint32_t id = m->types ? KRSI_NO_ID
                           : krsi_vocabulary_find(&t->vocabulary, word + begin,
                                                  end - begin);
    bool all = m->byte_fallback && id == KRSI_NO_ID;
    for (size_t i = begin; all && i < end; i++)
        all = m->byte_id[(uint8_t)word[i]] != KRSI_NO_ID;
    size_t count = all ? end - begin : 1;
    if (!krsi_room(&out->items, &out->capacity, out->count + count,
                   sizeof *out->items))
        return false;
    krsi_token token = {id == KRSI_NO_ID ? m->unk : id, (uint32_t)begin,
                        (uint32_t)end};
    for (size_t i = 0; i < count; i++) {
        if (all)
            token.id = m->byte_id[(uint8_t)word[begin + i]];
        out->items[out->count++] = token;
    }
    return true;
}

krs_status
krsi_unigram(const krs_tokenizer *t, krsi_work *w, const char *word,
             size_t bytes, krsi_tokens *out, krs_error *err)
{
    if (!krsi_room(&w->nodes, &w->node_capacity, bytes + 1, sizeof *w->nodes))
        return krsi_no_memory(err, "a word");
    node *nodes = w->nodes;
    KRS_TRY(forward(t, nodes, word, bytes, err));
    /* turn the way back into a way forward: nodes[begin].begin = end */
    size_t end = bytes;
    uint32_t next = UINT32_MAX, id = 0;
    while (end > 0) {
        node it = nodes[end];
        nodes[end].begin = next;
        nodes[end].id = id;
        next = (uint32_t)end;
        id = it.id;
        end = it.begin;
    }
    nodes[0] = (node){0, next, id};
    for (size_t at = 0; at < bytes;) {
        size_t begin = at;
        bool unknown = nodes[at].id == t->model.unk;
        uint32_t own = nodes[at].id;
        at = nodes[at].begin;
        while (unknown && at < bytes && nodes[at].id == t->model.unk)
            at = nodes[at].begin;
        bool room = true;
        if (unknown) {
            room = add_unknown(t, word, begin, at, out);
        } else {
            room = krsi_room(&out->items, &out->capacity, out->count + 1,
                             sizeof *out->items);
            if (room)
                out->items[out->count++] =
                    (krsi_token){own, (uint32_t)begin, (uint32_t)at};
        }
        if (!room)
            return krsi_no_memory(err, "tokens");
    }
    return KRS_OK;
}
