/* bpe.c -- byte-pair encoding of a word.
 *
 * In: a word; the merges of the vocabulary. Out: its tokens. The symbols of
 * the word are its characters (or bytes); again and again the neighbours whose
 * merge has the lowest rank become one, of equal ranks the leftmost (Sennrich
 * et al. 2016).
 *
 * Short words keep their symbols side by side and look for the lowest rank
 * each time; long ones have them in a list and the merges in a heap, O(n log
 * n). Both give the same tokens.
 *
 * What a character without a token becomes: its bytes <0x00>.., if they all
 * are tokens; the unknown token, fused or not; or nothing, and what follows
 * moves up, as in Hugging Face tokenizers.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_WORD = 24 };
#define FROZEN 0x80000000u /* set in an id that is merged with nothing */

typedef struct krsi_symbol {
    uint32_t id;
    uint32_t bytes;      /* of the word; 0: merged into another */
    uint32_t prev, next; /* UINT32_MAX: none */
} symbol;

typedef struct krsi_candidate {
    uint64_t key; /* rank << 32 | place of the left symbol */
    uint32_t id;  /* what they become */
} candidate;

/* ---- merges ---- */

static size_t
slot_of(const krsi_merges *m, uint64_t pair)
{
    size_t i = (size_t)(pair * 0x9E3779B97F4A7C15u >> 20) & (m->slot_count - 1);
    while (m->slots[i].pair != UINT64_MAX && m->slots[i].pair != pair)
        i = (i + 1) & (m->slot_count - 1);
    return i;
}

bool
krsi_merges_room(krsi_merges *m, size_t count)
{
    krsi_merges larger = {.slot_count = m->slot_count ? m->slot_count : 16,
                          .count = m->count};
    if (count > SIZE_MAX / 64)
        return false;
    while (larger.slot_count < 2 * count)
        larger.slot_count *= 2;
    if (larger.slot_count == m->slot_count)
        return true;
    larger.slots = malloc(larger.slot_count * sizeof *larger.slots);
    if (!larger.slots)
        return false;
    memset(larger.slots, 0xFF, larger.slot_count * sizeof *larger.slots);
    for (size_t i = 0; i < m->slot_count; i++)
        if (m->slots[i].pair != UINT64_MAX)
            larger.slots[slot_of(&larger, m->slots[i].pair)] = m->slots[i];
    free(m->slots);
    *m = larger;
    return true;
}

void
krsi_merges_put(krsi_merges *m, uint32_t left, uint32_t right, uint32_t rank,
                uint32_t id)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    krsi_merge *slot = &m->slots[slot_of(m, pair)];
    m->count += slot->pair == UINT64_MAX;
    *slot = (krsi_merge){pair, rank, id};
}

const krsi_merge *
krsi_merges_find(const krsi_merges *m, uint32_t left, uint32_t right)
{
    if (m->slot_count == 0)
        return NULL;
    const krsi_merge *slot =
        &m->slots[slot_of(m, (uint64_t)left << 32 | right)];
    return slot->pair == UINT64_MAX ? NULL : slot;
}

/* ---- symbols ---- */

struct word {
    const krs_tokenizer *t;
    krsi_work *w;
    size_t count;       /* symbols */
    uint32_t unk_bytes; /* of an unknown token that is not yet a symbol */
};

static bool
add_symbol(struct word *x, uint32_t id, size_t bytes)
{
    krsi_work *w = x->w;
    if (!krsi_room(&w->symbols, &w->symbol_capacity, x->count + 1,
                   sizeof *w->symbols))
        return false;
    w->symbols[x->count++] =
        (symbol){id, (uint32_t)bytes, UINT32_MAX, UINT32_MAX};
    return true;
}

static bool
end_unknown(struct word *x)
{
    uint32_t bytes = x->unk_bytes;
    x->unk_bytes = 0;
    return bytes == 0 || add_symbol(x, x->t->model.unk, bytes);
}

/* A character that is no token. */
static bool
add_unknown(struct word *x, const char *text, size_t bytes, size_t own)
{
    const krsi_model *m = &x->t->model;
    bool all = m->byte_fallback;
    for (size_t i = 0; all && i < bytes; i++)
        all = m->byte_id[(uint8_t)text[i]] != KRSI_NO_ID;
    if (all) {
        for (size_t i = 0; i < bytes; i++)
            if (!add_symbol(x, m->byte_id[(uint8_t)text[i]], 1))
                return false;
        return true;
    }
    if (m->unk == KRSI_NO_ID)
        return true;
    if (x->unk_bytes && !m->fuse_unk && !end_unknown(x))
        return false;
    x->unk_bytes += (uint32_t)own;
    return true;
}

/* The characters of the word, with the model's prefix and suffix. */
static bool
read_chars(struct word *x, const char *word, size_t bytes)
{
    const krsi_model *m = &x->t->model;
    krsi_buffer name = {0};
    bool room = true;
    for (size_t at = 0, end; room && at < bytes; at = end) {
        const char *text = word + at;
        size_t own, length;
        end = at + krsi_utf8_length(word[at]);
        own = length = end - at;
        if ((m->prefix && at > 0) || (m->suffix && end == bytes)) {
            name.count = 0;
            if (at > 0)
                krsi_buffer_add(&name, m->prefix, m->prefix_bytes);
            krsi_buffer_add(&name, word + at, own);
            if (end == bytes)
                krsi_buffer_add(&name, m->suffix, m->suffix_bytes);
            text = name.bytes;
            length = name.count;
            if (name.failed)
                room = false;
        }
        if (!room)
            break;
        uint32_t id = krsi_vocabulary_find(&x->t->vocabulary, text, length);
        if (id != KRSI_NO_ID)
            room = end_unknown(x) && add_symbol(x, id, own);
        else
            room = add_unknown(x, text, length, own);
    }
    krsi_buffer_free(&name);
    return room && end_unknown(x);
}

static bool
read_bytes(struct word *x, const char *word, size_t bytes)
{
    krsi_work *w = x->w;
    if (!krsi_room(&w->symbols, &w->symbol_capacity, bytes, sizeof *w->symbols))
        return false;
    for (size_t i = 0; i < bytes; i++)
        w->symbols[i] = (symbol){x->t->model.char_id[(uint8_t)word[i]], 1,
                                 UINT32_MAX, UINT32_MAX};
    x->count = bytes;
    return true;
}

/* Of a .model: pieces that the user defined stand for themselves, all else
 * begins as characters. A character that is no piece may be part of one. */
static bool
read_pieces(struct word *x, const char *word, size_t bytes)
{
    const krsi_model *m = &x->t->model;
    for (size_t at = 0, end; at < bytes; at = end) {
        uint32_t node = 0, id = KRSI_NO_ID;
        end = at;
        for (size_t i = at; m->frozen.nodes && i < bytes; i++) {
            node = krsi_trie_step(&m->frozen, node, (uint8_t)word[i]);
            if (node == 0)
                break;
            if (m->frozen.values[node] == KRSI_NO_ID)
                continue;
            id = m->frozen.values[node] | FROZEN;
            end = i + 1;
        }
        if (id == KRSI_NO_ID) {
            end = at + krsi_utf8_length(word[at]);
            id = krsi_piece_id(x->t, word + at, end - at);
        }
        if (!add_symbol(x, id, end - at))
            return false;
    }
    return true;
}

uint32_t
krsi_piece_id(const krs_tokenizer *t, const char *text, size_t bytes)
{
    const krsi_model *m = &t->model;
    uint32_t id = krsi_vocabulary_find(&t->vocabulary, text, bytes), code;
    size_t low = 0, high = m->extra_count;
    if (id != KRSI_NO_ID)
        return id;
    if (krsi_utf8_next(text, bytes, &code) != bytes)
        return KRSI_NO_ID;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->extra[middle] == code)
            return (uint32_t)(t->vocabulary.ids + middle);
        if (m->extra[middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return KRSI_NO_ID;
}

/* ---- merging ---- */

static const krsi_merge *
merge_at(const struct word *x, size_t left, size_t right)
{
    const symbol *s = x->w->symbols;
    return krsi_merges_find(&x->t->model.merges, s[left].id, s[right].id);
}

static void
merge_short(struct word *x)
{
    symbol *s = x->w->symbols;
    uint32_t ranks[SHORT_WORD], ids[SHORT_WORD];
    size_t count = x->count;
    for (size_t i = 0; i + 1 < count; i++) {
        const krsi_merge *m = merge_at(x, i, i + 1);
        ranks[i] = m ? m->rank : UINT32_MAX;
        ids[i] = m ? m->id : 0;
    }
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == UINT32_MAX)
            break;
        s[best].id = ids[best];
        s[best].bytes += s[best + 1].bytes;
        count--;
        for (size_t i = best + 1; i < count; i++) {
            s[i] = s[i + 1];
            ranks[i - 1] = ranks[i];
            ids[i - 1] = ids[i];
        }
        for (size_t i = best > 0 ? best - 1 : 0; i <= best && i + 1 < count;
             i++) {
            const krsi_merge *m = merge_at(x, i, i + 1);
            ranks[i] = m ? m->rank : UINT32_MAX;
            ids[i] = m ? m->id : 0;
        }
    }
    x->count = count;
}

static void
sift_down(candidate *heap, size_t count, size_t i)
{
    candidate moved = heap[i];
    for (;;) {
        size_t child = 4 * i + 1, least = child;
        if (child >= count)
            break;
        for (size_t k = child + 1; k < child + 4 && k < count; k++)
            if (heap[k].key < heap[least].key)
                least = k;
        if (heap[least].key >= moved.key)
            break;
        heap[i] = heap[least];
        i = least;
    }
    heap[i] = moved;
}

static bool
push(struct word *x, uint32_t left, uint32_t right)
{
    krsi_work *w = x->w;
    if (left == UINT32_MAX || right == UINT32_MAX)
        return true;
    const krsi_merge *m = merge_at(x, left, right);
    if (!m)
        return true;
    if (!krsi_room(&w->heap, &w->heap_capacity, w->heap_count + 1,
                   sizeof *w->heap))
        return false;
    if (x->t->model.unused && x->t->model.unused[m->id]) {
        w->apart[2 * m->id] = w->symbols[left].id;
        w->apart[2 * m->id + 1] = w->symbols[right].id;
    }
    candidate it = {(uint64_t)m->rank << 32 | left, m->id};
    size_t i = w->heap_count++;
    for (; i > 0 && w->heap[(i - 1) / 4].key > it.key; i = (i - 1) / 4)
        w->heap[i] = w->heap[(i - 1) / 4];
    w->heap[i] = it;
    return true;
}

static bool
merge_long(struct word *x)
{
    krsi_work *w = x->w;
    symbol *s = w->symbols;
    size_t kept = 0;
    w->heap_count = 0;
    for (size_t i = 0; i < x->count; i++) {
        s[i].prev = i > 0 ? (uint32_t)(i - 1) : UINT32_MAX;
        s[i].next = i + 1 < x->count ? (uint32_t)(i + 1) : UINT32_MAX;
    }
    for (size_t i = 0; i + 1 < x->count; i++)
        if (!push(x, (uint32_t)i, (uint32_t)(i + 1)))
            return false;
    while (w->heap_count > 0) {
        candidate top = w->heap[0];
        w->heap[0] = w->heap[--w->heap_count];
        if (w->heap_count > 0)
            sift_down(w->heap, w->heap_count, 0);
        uint32_t left = (uint32_t)top.key, right = s[left].next;
        if (s[left].bytes == 0 || right == UINT32_MAX)
            continue;
        const krsi_merge *m = merge_at(x, left, right);
        if (!m || m->id != top.id)
            continue; /* one of the two has changed since */
        s[left].id = top.id;
        s[left].bytes += s[right].bytes;
        s[left].next = s[right].next;
        s[right].bytes = 0;
        if (s[left].next != UINT32_MAX)
            s[s[left].next].prev = left;
        if (!push(x, s[left].prev, left) || !push(x, left, s[left].next))
            return false;
    }
    for (size_t i = 0; i < x->count; i++)
        if (s[i].bytes > 0)
            s[kept++] = s[i];
    x->count = kept;
    return true;
}

static bool
put(krsi_tokens *out, uint32_t id, size_t begin, size_t end)
{
    if (!krsi_room(&out->items, &out->capacity, out->count + 1,
                   sizeof *out->items))
        return false;
    out->items[out->count++] = (krsi_token){id, (uint32_t)begin, (uint32_t)end};
    return true;
}

static bool
put_symbols(struct word *x, krsi_tokens *out)
{
    size_t at = 0;
    if (!krsi_room(&out->items, &out->capacity, out->count + x->count,
                   sizeof *out->items))
        return false;
    for (size_t i = 0; i < x->count; i++) {
        const symbol *s = &x->w->symbols[i];
        out->items[out->count++] =
            (krsi_token){s->id, (uint32_t)at, (uint32_t)(at + s->bytes)};
        at += s->bytes;
    }
    return true;
}

/* Bytes of a piece, or of a character that is none. */
static size_t
piece_bytes(const krs_tokenizer *t, uint32_t id)
{
    char text[4];
    size_t bytes = 0;
    if (id >= t->vocabulary.ids)
        return krsi_utf8_put(text, t->model.extra[id - t->vocabulary.ids]);
    krsi_vocabulary_text(&t->vocabulary, id, &bytes);
    return bytes;
}

/* An unknown piece: its bytes, or one token together with the one before. */
static bool
put_unknown(struct word *x, const char *word, size_t begin, size_t end,
            bool *after_unknown, krsi_tokens *out)
{
    const krsi_model *m = &x->t->model;
    if (m->byte_fallback) {
        for (size_t i = begin; i < end; i++)
            if (!put(out, m->byte_id[(uint8_t)word[i]], i, i + 1))
                return false;
        return true;
    }
    if (*after_unknown) {
        out->items[out->count - 1].end = (uint32_t)end;
        return true;
    }
    *after_unknown = true;
    return put(out, m->unk, begin, end);
}

/* The pieces, those that are unused taken apart into what they were made of
 * (w->apart), with a stack in place of recursion. */
static bool
put_pieces(struct word *x, const char *word, krsi_tokens *out)
{
    const krsi_model *m = &x->t->model;
    krsi_work *w = x->w;
    size_t at = 0;
    bool after_unknown = false;
    for (size_t i = 0; i < x->count; i++) {
        size_t depth = 0, end = at + w->symbols[i].bytes;
        uint32_t id = w->symbols[i].id;
        for (;;) {
            bool known = id != KRSI_NO_ID;
            uint32_t own = known ? id & ~FROZEN : id;
            bool piece = known && own < x->t->vocabulary.ids;
            if (piece && !(id & FROZEN) && m->unused && m->unused[own] &&
                w->apart[2 * own] != KRSI_NO_ID) {
                if (!krsi_room(&w->stack, &w->stack_capacity, depth + 1,
                               sizeof *w->stack))
                    return false;
                w->stack[depth++] = w->apart[2 * own + 1];
                id = w->apart[2 * own];
                continue;
            }
            size_t stop = known ? at + piece_bytes(x->t, own) : end;
            if (piece ? !put(out, own, at, stop)
                      : !put_unknown(x, word, at, stop, &after_unknown, out))
                return false;
            if (piece)
                after_unknown = false;
            at = stop;
            if (depth == 0)
                break;
            id = w->stack[--depth];
        }
    }
    return true;
}

/* Room to note what unused pieces were made of. */
static bool
begin_apart(struct word *x)
{
    krsi_work *w = x->w;
    size_t ids = x->t->vocabulary.ids;
    if (!x->t->model.unused)
        return true;
    if (!krsi_room(&w->apart, &w->apart_capacity, 2 * ids, sizeof *w->apart))
        return false;
    memset(w->apart, 0xFF, 2 * ids * sizeof *w->apart);
    return true;
}

krs_status
krsi_bpe(const krs_tokenizer *t, krsi_work *w, const char *word, size_t bytes,
         krsi_tokens *out, krs_error *err)
{
    struct word x = {.t = t, .w = w};
    const krsi_model *m = &t->model;
    if (m->ignore_merges) {
        uint32_t id = krsi_vocabulary_find(
            m->byte_level ? &m->words : &t->vocabulary, word, bytes);
        if (id != KRSI_NO_ID)
            return put(out, id, 0, bytes) ? KRS_OK
                                          : krsi_no_memory(err, "tokens");
    }
    bool room = begin_apart(&x);
    if (room)
        room = m->byte_level ? read_bytes(&x, word, bytes)
               : m->pieces   ? read_pieces(&x, word, bytes)
                             : read_chars(&x, word, bytes);
    if (room && (x.count > SHORT_WORD || m->unused))
        room = merge_long(&x);
    else if (room)
        merge_short(&x);
    if (room)
        room = m->pieces ? put_pieces(&x, word, out) : put_symbols(&x, out);
    return room ? KRS_OK : krsi_no_memory(err, "tokens");
}
