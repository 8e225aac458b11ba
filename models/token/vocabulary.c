/* vocabulary.c -- strings of tokens by id, and ids by string.
 *
 * In: tokens one after the other, in any order of ids. Out: look-ups both
 * ways. Invariant: no string and no id occurs twice; all strings lie in one
 * buffer, each closed by a zero, so a token costs its bytes and 20 more.
 *
 * Open addressing at most half full; the hash is XXH3 (Collet 2021).
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static bool
is_token(const krsi_vocabulary *v, uint32_t id, const char *text, size_t bytes)
{
    const struct krsi_piece *p = &v->tokens[id];
    return p->bytes == bytes && memcmp(v->text.bytes + p->at, text, bytes) == 0;
}

/* The slot of a text, or the empty one where it belongs. */
static size_t
slot_of(const krsi_vocabulary *v, const char *text, size_t bytes, uint32_t hash)
{
    size_t i = hash & (v->slot_count - 1);
    while (
        v->slots[i].id != KRSI_NO_ID &&
        (v->slots[i].hash != hash || !is_token(v, v->slots[i].id, text, bytes)))
        i = (i + 1) & (v->slot_count - 1);
    return i;
}

static bool
grow(krsi_vocabulary *v)
{
    size_t count = v->slot_count ? 2 * v->slot_count : 64;
    struct krsi_slot *slots = malloc(count * sizeof *slots);
    if (!slots)
        return false;
    memset(slots, 0xFF, count * sizeof *slots);
    for (size_t i = 0; i < v->slot_count; i++) {
        if (v->slots[i].id == KRSI_NO_ID)
            continue;
        size_t j = v->slots[i].hash & (count - 1);
        while (slots[j].id != KRSI_NO_ID)
            j = (j + 1) & (count - 1);
        slots[j] = v->slots[i];
    }
    free(v->slots);
    v->slots = slots;
    v->slot_count = count;
    return true;
}

static bool
reach(krsi_vocabulary *v, uint32_t id)
{
    if (!krsi_room(&v->tokens, &v->capacity, (size_t)id + 1, sizeof *v->tokens))
        return false;
    for (; v->ids <= id; v->ids++)
        v->tokens[v->ids] = (struct krsi_piece){UINT32_MAX, 0};
    return true;
}

krsi_added_as
krsi_vocabulary_add(krsi_vocabulary *v, const char *text, size_t bytes,
                    uint32_t id)
{
    uint32_t hash = (uint32_t)XXH3_64bits(text, bytes);
    if (v->count * 2 >= v->slot_count && !grow(v))
        return KRSI_ADD_NO_MEMORY;
    size_t slot = slot_of(v, text, bytes, hash);
    if (v->slots[slot].id != KRSI_NO_ID)
        return KRSI_TOKEN_TWICE;
    if (id < v->ids && v->tokens[id].at != UINT32_MAX)
        return KRSI_ID_TWICE;
    size_t at = v->text.count;
    if (at + bytes >= UINT32_MAX || !reach(v, id))
        return KRSI_ADD_NO_MEMORY;
    krsi_buffer_add(&v->text, text, bytes);
    krsi_buffer_add(&v->text, "", 1);
    if (v->text.failed)
        return KRSI_ADD_NO_MEMORY;
    v->tokens[id] = (struct krsi_piece){(uint32_t)at, (uint32_t)bytes};
    v->slots[slot] = (struct krsi_slot){hash, id};
    v->count++;
    return KRSI_ADDED;
}

uint32_t
krsi_vocabulary_find(const krsi_vocabulary *v, const char *text, size_t bytes)
{
    if (v->slot_count == 0)
        return KRSI_NO_ID;
    uint32_t hash = (uint32_t)XXH3_64bits(text, bytes);
    return v->slots[slot_of(v, text, bytes, hash)].id;
}

const char *
krsi_vocabulary_text(const krsi_vocabulary *v, uint32_t id, size_t *bytes)
{
    if (id >= v->ids || v->tokens[id].at == UINT32_MAX)
        return NULL;
    if (bytes)
        *bytes = v->tokens[id].bytes;
    return v->text.bytes + v->tokens[id].at;
}

void
krsi_vocabulary_free(krsi_vocabulary *v)
{
    krsi_buffer_free(&v->text);
    free(v->tokens);
    free(v->slots);
    *v = (krsi_vocabulary){0};
}
