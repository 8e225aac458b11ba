/* piece_text.c -- what sentencepiece does to a text before its pieces are
 * found, and to pieces when they become a text again.
 *
 * In: a text that is UTF-8. Out: the same with characters replaced by the
 * model's charsmap, spaces dropped at both ends and in a row, one put in front
 * and all of them written as U+2581, each as the model says; with the bytes of
 * the input that each byte stands for. Back: the pieces put together, spaces
 * instead of the marks, bytes as characters.
 *
 * Source: Normalizer::Normalize and SentencePieceProcessor::Decode of
 * sentencepiece 0.2.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* What the text at `at` becomes, and how many bytes of it. */
static const char *
prefix_at(const krsi_charsmap *map, const krsi_trie *frozen, const char *text,
          size_t bytes, size_t *used, size_t *out_bytes)
{
    uint32_t node = 0;
    *used = 0;
    for (size_t i = 0; frozen && frozen->nodes && i < bytes; i++) {
        node = krsi_trie_step(frozen, node, (uint8_t)text[i]);
        if (node == 0)
            break;
        if (frozen->values[node] != KRSI_NO_ID)
            *used = i + 1;
    }
    if (*used == 0 && map) {
        const char *other =
            krsi_charsmap_longest(map, text, bytes, used, out_bytes);
        if (other)
            return other;
        *used = 0;
    }
    if (*used == 0) {
        uint32_t code;
        *used = krsi_utf8_next(text, bytes, &code);
    }
    *out_bytes = *used;
    return text;
}

struct writing {
    krsi_aligned *out;
    bool escape;
};

static void
put(struct writing *x, const char *bytes, size_t count, krsi_span from)
{
    for (size_t i = 0, begin = 0; i <= count; i++) {
        if (i < count && !(x->escape && bytes[i] == ' '))
            continue;
        krsi_aligned_add(x->out, bytes + begin, i - begin, from);
        if (i < count)
            krsi_aligned_add(x->out, KRSI_META_SPACE, KRSI_META_BYTES, from);
        begin = i + 1;
    }
}

static bool
ends_with_space(const krsi_aligned *a, bool escape)
{
    size_t own = escape ? KRSI_META_BYTES : 1;
    return a->count >= own && !memcmp(a->bytes + a->count - own,
                                      escape ? KRSI_META_SPACE : " ", own);
}

/* What a model says of spaces. */
struct spaces {
    bool dummy, as_suffix, remove, escape;
};

/* text[at..end) at the end of out */
static krs_status
write_text(const krsi_charsmap *map, const krsi_trie *frozen, const char *text,
           size_t at, size_t end, const struct spaces *s, krsi_aligned *out,
           krs_error *err)
{
    struct writing x = {out, s->escape};
    size_t used, count;
    while (s->remove && at < end) {
        const char *next =
            prefix_at(map, frozen, text + at, end - at, &used, &count);
        if (count != 1 || *next != ' ')
            break;
        at += used;
    }
    if (at == end)
        return KRS_OK;
    krsi_span here = {(uint32_t)at, (uint32_t)at};
    size_t first = out->count;
    if (!s->as_suffix && s->dummy)
        put(&x, " ", 1, here);
    bool after_space = s->remove;
    while (at < end) {
        const char *next =
            prefix_at(map, frozen, text + at, end - at, &used, &count);
        krsi_span from = {(uint32_t)at, (uint32_t)(at + used)};
        for (; after_space && count > 0 && *next == ' '; count--)
            next++;
        put(&x, next, count, from);
        if (count > 0)
            after_space = s->remove && next[count - 1] == ' ';
        at += used;
    }
    while (s->remove && out->count > first && ends_with_space(out, s->escape))
        out->count -= s->escape ? KRSI_META_BYTES : 1;
    if (s->as_suffix && s->dummy)
        put(&x, " ", 1, (krsi_span){(uint32_t)end, (uint32_t)end});
    return out->failed ? krsi_no_memory(err, "a text") : KRS_OK;
}

krs_status
krsi_piece_normalize(const krsi_piece_text *p, const krsi_trie *frozen,
                     krsi_work *w, size_t begin, size_t end, krs_error *err)
{
    const struct spaces s = {p->dummy_prefix, p->as_suffix, p->remove_extra,
                             p->escape};
    return write_text(p->charsmap, frozen, w->input, begin, end, &s, &w->text,
                      err);
}

/* ---- back ---- */

/* A run of byte pieces: whole characters, U+FFFD for the other bytes. */
static void
put_bytes(krsi_buffer *out, krsi_buffer *run)
{
    for (size_t i = 0; i < run->count;) {
        uint32_t code;
        size_t used = krsi_utf8_next(run->bytes + i, run->count - i, &code);
        krsi_buffer_add_code(out, code);
        i += used;
    }
    run->count = 0;
}

/* A piece as text; *first: a mark at its beginning may be dropped. Gives
 * whether one was, in a model that drops one only. */
static bool
put_piece(const krs_tokenizer *t, uint32_t id, bool first, krsi_buffer *out)
{
    const krsi_piece_text *p = &t->piece_text;
    size_t bytes;
    const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
    bool dropped = false;
    if (t->model.types[id] == KRS_TOKEN_CONTROL)
        return false;
    if (t->model.types[id] == KRS_TOKEN_UNKNOWN) {
        krsi_buffer_add(out, p->unk_surface, strlen(p->unk_surface));
        return false;
    }
    if (first && (p->dummy_prefix || p->remove_extra) &&
        bytes >= KRSI_META_BYTES &&
        !memcmp(text, KRSI_META_SPACE, KRSI_META_BYTES)) {
        text += KRSI_META_BYTES;
        bytes -= KRSI_META_BYTES;
        dropped = !p->remove_extra;
    }
    for (size_t i = 0; i < bytes;) {
        bool mark = bytes - i >= KRSI_META_BYTES &&
                    !memcmp(text + i, KRSI_META_SPACE, KRSI_META_BYTES);
        krsi_buffer_add(out, mark ? " " : text + i, 1);
        i += mark ? KRSI_META_BYTES : 1;
    }
    return dropped;
}

static krs_status
put_all(const krs_tokenizer *t, const uint32_t *ids, size_t count,
        bool skip_special, krsi_buffer *run, krsi_buffer *out, krs_error *err)
{
    bool first = true, dropped = false;
    for (size_t i = 0; i < count; i++) {
        uint32_t id = ids[i];
        if (!krsi_vocabulary_text(&t->vocabulary, id, NULL))
            return krs_fail(err, KRS_E_RANGE,
                            "tokenizer: id %u, number %zu of %zu, is no piece; "
                            "ids go up to %zu",
                            id, i, count, t->vocabulary.ids - 1);
        uint8_t type = t->model.types[id];
        if (type == KRS_TOKEN_BYTE) {
            size_t bytes;
            const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
            char byte = (char)krsi_byte_token(text, bytes);
            krsi_buffer_add(run, &byte, 1);
            continue;
        }
        put_bytes(out, run);
        if (dropped || out->count > 0)
            first = false;
        if (type == KRS_TOKEN_CONTROL && !skip_special) {
            size_t bytes;
            const char *text = krsi_vocabulary_text(&t->vocabulary, id, &bytes);
            krsi_buffer_add(out, text, bytes);
            dropped = false;
            continue;
        }
        dropped = put_piece(t, id, first, out);
    }
    put_bytes(out, run);
    return run->failed ? krsi_no_memory(err, "a text") : KRS_OK;
}

krs_status
krsi_piece_decode(const krs_tokenizer *t, const uint32_t *ids, size_t count,
                  bool skip_special, krsi_buffer *out, krs_error *err)
{
    const krsi_piece_text *p = &t->piece_text;
    krsi_buffer run = {0};
    krsi_aligned back = {0};
    krs_status status = put_all(t, ids, count, skip_special, &run, out, err);
    krsi_buffer_free(&run);
    if (status != KRS_OK || !p->decodes || out->failed)
        return status != KRS_OK || !out->failed ? status
                                                : krsi_no_memory(err, "a text");
    const struct spaces s = {p->decoder_dummy, false, p->decoder_remove,
                             p->decoder_escape};
    status = write_text(p->decoder_charsmap, NULL, out->bytes, 0, out->count,
                        &s, &back, err);
    if (status == KRS_OK) {
        out->count = 0;
        krsi_buffer_add(out, back.bytes, back.count);
        if (out->failed)
            status = krsi_no_memory(err, "a text");
    }
    krsi_aligned_free(&back);
    return status;
}
