/* stream.c -- decoding one id at a time (token.h).
 *
 * In: ids as they come. Out: text whose pieces make up that of all ids. What
 * an id adds is the difference between two decodings of the last few ids: with
 * it, and without. A text that ends in U+FFFD may be in the middle of a
 * character and is held back until the next id.
 *
 * Invariant: ids[0..known) were given out, as the `text`; behind them stands
 * what is held back. Whenever something is given out, all but the ids that
 * made it are forgotten, so a window has few ids in it.
 *
 * Where a run of byte tokens turns out not to be UTF-8 after part of it was
 * given out, decoding all of it at once would have another beginning: from
 * there on the rest is decoded by itself.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

struct krs_token_stream {
    const krs_tokenizer *t;
    bool skip_special;
    uint32_t *ids;
    size_t count, capacity, known;
    krsi_buffer text, next, given;
};

krs_status
krs_token_stream_new(const krs_tokenizer *t, bool skip_special,
                     krs_token_stream **out, krs_error *err)
{
    if (!t || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "token stream: the tokenizer and out must not be NULL");
    krs_token_stream *s = calloc(1, sizeof *s);
    if (!s)
        return krsi_no_memory(err, "a stream");
    s->t = t;
    s->skip_special = skip_special;
    *out = s;
    return KRS_OK;
}

void
krs_token_stream_free(krs_token_stream *s)
{
    if (!s)
        return;
    free(s->ids);
    krsi_buffer_free(&s->text);
    krsi_buffer_free(&s->next);
    krsi_buffer_free(&s->given);
    free(s);
}

static krs_status
decode(krs_token_stream *s, size_t first, krsi_buffer *out, krs_error *err)
{
    out->count = 0;
    out->failed = false;
    if (s->count == first)
        return KRS_OK;
    return krsi_decode(s->t, s->ids + first, s->count - first, s->skip_special,
                       out, err);
}

static bool
is_open(const krsi_buffer *text)
{
    return text->count >= 3 &&
           !memcmp(text->bytes + text->count - 3, "\xEF\xBF\xBD", 3);
}

/* Give out what the ids after the known ones add; forget the known ones. */
static krs_status
give(krs_token_stream *s, krs_error *err)
{
    size_t skip = s->text.count;
    s->given.count = 0;
    if (s->next.count < skip ||
        (skip > 0 && memcmp(s->next.bytes, s->text.bytes, skip) != 0)) {
        KRS_TRY(decode(s, s->known, &s->next, err));
        skip = 0;
    }
    if (s->next.count > skip)
        krsi_buffer_add(&s->given, s->next.bytes + skip, s->next.count - skip);
    memmove(s->ids, s->ids + s->known, (s->count - s->known) * sizeof *s->ids);
    s->count -= s->known;
    s->known = s->count;
    KRS_TRY(decode(s, 0, &s->text, err));
    return s->given.failed ? krsi_no_memory(err, "a text") : KRS_OK;
}

krs_status
krs_token_stream_push(krs_token_stream *s, uint32_t id, const char **out,
                      size_t *out_bytes, krs_error *err)
{
    *out = "";
    *out_bytes = 0;
    if (!krsi_room(&s->ids, &s->capacity, s->count + 1, sizeof *s->ids))
        return krsi_no_memory(err, "a stream");
    s->ids[s->count++] = id;
    krs_status status = decode(s, 0, &s->next, err);
    if (status != KRS_OK) {
        s->count--;
        return status;
    }
    if (s->next.count <= s->text.count || is_open(&s->next))
        return KRS_OK;
    KRS_TRY(give(s, err));
    *out = s->given.count ? s->given.bytes : "";
    *out_bytes = s->given.count;
    return KRS_OK;
}

krs_status
krs_token_stream_end(krs_token_stream *s, const char **out, size_t *out_bytes,
                     krs_error *err)
{
    *out = "";
    *out_bytes = 0;
    KRS_TRY(decode(s, 0, &s->next, err));
    if (s->next.count > s->text.count) {
        KRS_TRY(give(s, err));
        *out = s->given.bytes;
        *out_bytes = s->given.count;
    }
    s->count = s->known = s->text.count = 0;
    return KRS_OK;
}
