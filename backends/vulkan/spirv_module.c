/* spirv_module.c -- words of SPIR-V, by section.
 *
 * In: opcodes and operands. Out: a module. An instruction is one word of
 * length and opcode, then its operands (SPIR-V specification, 2.3).
 */
#include "spirv_module.h"

#include <stdlib.h>
#include <string.h>

enum { SPIRV_1_3 = 0x00010300 }; /* what Vulkan 1.1 takes */

static uint32_t *
room(krsi_spv *m, krsi_spv_section section, size_t words)
{
    krsi_spv_words *w = &m->section[section];
    if (m->failed)
        return NULL;
    if (w->count + words > w->capacity) {
        size_t capacity = 2 * (w->count + words) + 64;
        uint32_t *data = realloc(w->data, capacity * sizeof *data);
        if (!data) {
            m->failed = true;
            return NULL;
        }
        w->data = data;
        w->capacity = capacity;
    }
    uint32_t *at = w->data + w->count;
    w->count += words;
    return at;
}

static uint32_t
first_word(SpvOp op, size_t words)
{
    return (uint32_t)words << SpvWordCountShift | (uint32_t)op;
}

/* No words may be NULL, which memcpy and memcmp may not be given. */
static void
copy(uint32_t *to, const uint32_t *words, size_t count)
{
    if (count)
        memcpy(to, words, count * sizeof *words);
}

static bool
same(const uint32_t *at, const uint32_t *words, size_t count)
{
    return count == 0 || memcmp(at, words, count * sizeof *words) == 0;
}

void
krsi_spv_put_words(krsi_spv *m, krsi_spv_section section, SpvOp op,
                   const uint32_t *words, size_t count)
{
    uint32_t *at = room(m, section, count + 1);
    if (!at)
        return;
    at[0] = first_word(op, count + 1);
    copy(at + 1, words, count);
}

void
krsi_spv_put_text(krsi_spv *m, krsi_spv_section section, SpvOp op,
                  const uint32_t *words, size_t count, const char *text)
{
    size_t length = strlen(text), text_words = length / sizeof(uint32_t) + 1;
    uint32_t *at = room(m, section, 1 + count + text_words);
    if (!at)
        return;
    at[0] = first_word(op, 1 + count + text_words);
    copy(at + 1, words, count);
    memset(at + 1 + count, 0, text_words * sizeof *at);
    memcpy(at + 1 + count, text, length);
}

uint32_t
krsi_spv_id(krsi_spv *m)
{
    return ++m->ids;
}

uint32_t
krsi_spv_value_words(krsi_spv *m, SpvOp op, uint32_t type,
                     const uint32_t *words, size_t count)
{
    uint32_t id = krsi_spv_id(m);
    uint32_t *at = room(m, m->at, count + 3);
    if (!at)
        return id;
    at[0] = first_word(op, count + 3);
    at[1] = type;
    at[2] = id;
    copy(at + 3, words, count);
    return id;
}

/* The instruction of the section that has this opcode and these operands but
 * for the result at place `result`; 0 if none. */
static uint32_t
find(const krsi_spv_words *w, SpvOp op, size_t result, const uint32_t *words,
     size_t count)
{
    uint32_t first = first_word(op, count + 2);
    for (size_t at = 0; at < w->count; at += w->data[at] >> SpvWordCountShift) {
        const uint32_t *inst = w->data + at;
        if (inst[0] == first && same(inst + 1, words, result) &&
            same(inst + 2 + result, words + result, count - result))
            return inst[1 + result];
    }
    return 0;
}

uint32_t
krsi_spv_once_words(krsi_spv *m, SpvOp op, bool has_type, const uint32_t *words,
                    size_t count)
{
    size_t result = has_type ? 1 : 0;
    uint32_t id = find(&m->section[KRSI_SPV_TYPES], op, result, words, count);
    if (id)
        return id;
    id = krsi_spv_id(m);
    uint32_t *at = room(m, KRSI_SPV_TYPES, count + 2);
    if (!at)
        return id;
    at[0] = first_word(op, count + 2);
    copy(at + 1, words, result);
    at[1 + result] = id;
    copy(at + 2 + result, words + result, count - result);
    return id;
}

void
krsi_spv_label(krsi_spv *m, uint32_t label)
{
    krsi_spv_put(m, m->at, SpvOpLabel, label);
    m->block = label;
}

void
krsi_spv_patch(krsi_spv *m, krsi_spv_section section, size_t word,
               uint32_t value)
{
    if (!m->failed)
        m->section[section].data[word] = value;
}

void
krsi_spv_need(krsi_spv *m, SpvCapability capability, const char *extension)
{
    const krsi_spv_words *w = &m->section[KRSI_SPV_CAPABILITIES];
    for (size_t i = 1; i < w->count; i += 2)
        if (w->data[i] == (uint32_t)capability)
            return;
    krsi_spv_put(m, KRSI_SPV_CAPABILITIES, SpvOpCapability,
                 (uint32_t)capability);
    if (extension)
        krsi_spv_put_text(m, KRSI_SPV_EXTENSIONS, SpvOpExtension, NULL, 0,
                          extension);
}

void *
krsi_spv_finish(const krsi_spv *m, size_t reserved_bytes, size_t *out_bytes)
{
    const uint32_t header[] = {SpvMagicNumber, SPIRV_1_3, 0, m->ids + 1, 0};
    size_t bytes = reserved_bytes + sizeof header;
    for (int s = 0; s < KRSI_SPV_SECTIONS; s++)
        bytes += m->section[s].count * sizeof(uint32_t);
    char *all = m->failed ? NULL : malloc(bytes), *to;
    if (!all)
        return NULL;
    memcpy(all + reserved_bytes, header, sizeof header);
    to = all + reserved_bytes + sizeof header;
    for (int s = 0; s < KRSI_SPV_SECTIONS; s++) {
        size_t part = m->section[s].count * sizeof(uint32_t);
        if (part)
            memcpy(to, m->section[s].data, part);
        to += part;
    }
    *out_bytes = bytes;
    return all;
}

void
krsi_spv_free(krsi_spv *m)
{
    for (int s = 0; s < KRSI_SPV_SECTIONS; s++)
        free(m->section[s].data);
}
