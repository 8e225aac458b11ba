/* aligned.c -- a text that is changed while it is remembered, for each byte,
 * which part of the input it stands for.
 *
 * In: an input and a series of changes. Out: the changed text, and spans of
 * bytes of the input. Invariant: all bytes of a character have one span.
 *
 * A change is a walk over a source. Each character put has a number:
 *
 *    0   it stands for the next character of the source
 *   -N   the same, and the N characters after that one are dropped
 *   >0   it is new, and gets the span of the byte before (at the very
 *        beginning of the text: an empty span)
 *
 * which is the bookkeeping of Hugging Face tokenizers' NormalizedString, so
 * that offsets agree with theirs.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

static bool
grow(krsi_aligned *a, size_t more)
{
    size_t need, capacity = a->capacity, same = a->capacity;
    if (a->failed)
        return false;
    if (__builtin_add_overflow(a->count, more, &need) || need > UINT32_MAX ||
        !krsi_room(&a->bytes, &capacity, need, 1) ||
        !krsi_room(&a->from, &same, need, sizeof *a->from)) {
        /* bytes may have grown alone: the smaller capacity counts */
        a->failed = true;
        return false;
    }
    a->capacity = capacity < same ? capacity : same;
    return true;
}

void
krsi_aligned_set(krsi_aligned *a, const char *text, size_t begin, size_t end)
{
    a->count = 0;
    a->first = (uint32_t)begin;
    if (!grow(a, end - begin))
        return;
    for (size_t i = begin; i < end;) {
        uint32_t code;
        size_t used = krsi_utf8_next(text + i, end - i, &code);
        krsi_span from = {(uint32_t)i, (uint32_t)(i + used)};
        for (; used > 0; used--, i++) {
            a->bytes[a->count] = text[i];
            a->from[a->count++] = from;
        }
    }
}

void
krsi_aligned_add(krsi_aligned *a, const char *bytes, size_t count,
                 krsi_span from)
{
    if (count == 0 || !grow(a, count))
        return;
    memcpy(a->bytes + a->count, bytes, count);
    for (size_t i = 0; i < count; i++)
        a->from[a->count + i] = from;
    a->count += count;
}

void
krsi_aligned_copy(krsi_aligned *a, const krsi_aligned *source, size_t begin,
                  size_t end)
{
    size_t count = end - begin;
    if (count == 0 || !grow(a, count))
        return;
    memcpy(a->bytes + a->count, source->bytes + begin, count);
    memcpy(a->from + a->count, source->from + begin, count * sizeof *a->from);
    a->count += count;
}

void
krsi_aligned_free(krsi_aligned *a)
{
    free(a->bytes);
    free(a->from);
    *a = (krsi_aligned){0};
}

void
krsi_aligned_swap(krsi_aligned *a, krsi_aligned *b)
{
    krsi_aligned c = *a;
    *a = *b;
    *b = c;
}

void
krsi_change_skip(krsi_change *c, size_t characters)
{
    const krsi_aligned *s = c->source;
    for (; characters > 0 && c->at < s->count; characters--)
        c->at += krsi_utf8_length(s->bytes[c->at]);
}

void
krsi_change_put(krsi_change *c, uint32_t code, int change)
{
    char bytes[4];
    krsi_span from = {c->source->first, c->source->first};
    size_t count = krsi_utf8_put(bytes, code);
    if (change > 0 || c->at >= c->source->count) {
        if (c->at > 0)
            from = c->source->from[c->at - 1];
    } else {
        from = c->source->from[c->at];
        krsi_change_skip(c, 1 + (size_t)-change);
    }
    krsi_aligned_add(c->target, bytes, count, from);
}
