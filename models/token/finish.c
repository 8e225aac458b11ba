/* finish.c -- what comes after the model: offsets trimmed, what is too long
 * cut, special tokens put around, short ones padded.
 *
 * In: the tokens of a text, and of its pair. Out: one encoding, and with
 * truncation those of the parts that were cut off. The order and the rules are
 * those of Hugging Face tokenizers 0.23: with two texts that were both cut,
 * the overflow is every combination of their parts.
 */
#include "tokenizer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OVERFLOW = 1 << 20 };

/* Part of a sequence. */
typedef struct range {
    size_t begin, end;
} range;

typedef struct ranges {
    range *items;
    size_t count, capacity;
} ranges;

struct finishing {
    const krs_tokenizer *t;
    krsi_work *w;
    const krs_text *texts;
    size_t count; /* of sequences */
    const krs_encode_options *options;
    const krsi_template *pieces; /* NULL: the sequences alone */
    ranges parts[2];
    krs_error *err;
};

/* ---- offsets without spaces ---- */

static bool
trims(uint32_t code)
{
    return code == krsi_byte_char(' ') || krsi_is_space(code);
}

/* Characters at the beginning, and at the end, of a token that are spaces. */
static void
count_spaces(const char *token, size_t bytes, size_t *leading, size_t *trailing)
{
    uint32_t code;
    *leading = *trailing = 0;
    for (size_t at = 0; at < bytes; ++*leading) {
        size_t used = krsi_utf8_next(token + at, bytes - at, &code);
        if (!trims(code))
            break;
        at += used;
    }
    for (size_t end = bytes; end > 0; ++*trailing) {
        size_t used = krsi_utf8_last(token, end, &code);
        if (!trims(code))
            break;
        end -= used;
    }
}

/* Those of a sequence that begins at token `first`. */
static void
trim(const krs_tokenizer *t, const krsi_post *post, krs_encoding *e,
     size_t first, const krs_text *text)
{
    for (size_t i = first; i < e->count; i++) {
        krs_token_span *span = &e->spans[i];
        size_t bytes, leading, trailing;
        const char *token =
            krsi_added_of_id(&t->added, e->ids[i])
                ? (bytes = span->end - span->begin, text->text + span->begin)
                : krsi_vocabulary_text(&t->vocabulary, e->ids[i], &bytes);
        if (!token)
            continue;
        count_spaces(token, bytes, &leading, &trailing);
        if ((i == first || span->begin == 0) && post->prefix_space &&
            leading == 1)
            leading = 0; /* it was put there, and stands for no space */
        for (; leading > 0 && span->begin < span->end; leading--)
            span->begin += (uint32_t)krsi_utf8_length(text->text[span->begin]);
        if (span->begin > span->end)
            span->begin = span->end;
        /* only if the text before the end has as many characters */
        if (krsi_utf8_count(text->text, span->end < 4 * trailing
                                            ? span->end
                                            : 4 * trailing) < trailing)
            continue;
        for (; trailing > 0 && span->end > span->begin; trailing--)
            span->end = (uint32_t)krsi_char_begin(text->text, span->end - 1);
        if (span->end < span->begin)
            span->end = span->begin;
    }
}

/* ---- truncation ---- */

static bool
add_range(ranges *r, size_t begin, size_t end)
{
    if (!krsi_room(&r->items, &r->capacity, r->count + 1, sizeof *r->items))
        return false;
    r->items[r->count++] = (range){begin, end};
    return true;
}

/* Cut one sequence into parts of `most` tokens. */
static krs_status
cut(struct finishing *f, int sequence, size_t most, const krs_truncation *tr)
{
    ranges *parts = &f->parts[sequence];
    size_t count = f->w->sequences[sequence].count, stride = (size_t)tr->stride;
    bool room = true;
    parts->count = 0;
    if (most >= count) {
        room = add_range(parts, 0, count);
    } else if (most == 0) {
        room = add_range(parts, 0, 0) && add_range(parts, 0, count);
    } else if (stride >= most) {
        return krs_fail(f->err, KRS_E_RANGE,
                        "tokenizer: a stride of %zu tokens is not less than "
                        "the %zu tokens that a part may have",
                        stride, most);
    } else if (tr->left) {
        for (size_t end = count;; end -= most - stride) {
            size_t begin = end > most ? end - most : 0;
            room = room && add_range(parts, begin, end);
            if (begin == 0)
                break;
        }
    } else {
        for (size_t begin = 0;; begin += most - stride) {
            size_t end = count - begin > most ? begin + most : count;
            room = room && add_range(parts, begin, end);
            if (end == count)
                break;
        }
    }
    return room ? KRS_OK : krsi_no_memory(f->err, "parts");
}

static krs_status
longest_first(struct finishing *f, size_t most, const krs_truncation *tr)
{
    size_t n1 = f->w->sequences[0].count;
    if (f->count == 1)
        return cut(f, 0, most, tr);
    size_t n2 = f->w->sequences[1].count;
    bool swap = n1 > n2;
    size_t less = swap ? n2 : n1, more;
    if (less > most)
        more = less;
    else
        more = less > most - less ? less : most - less;
    if (less + more > most) {
        less = most / 2;
        more = less + most % 2;
    }
    KRS_TRY(cut(f, 0, swap ? more : less, tr));
    return cut(f, 1, swap ? less : more, tr);
}

static krs_status
truncate_one(struct finishing *f, int which, size_t excess,
             const krs_truncation *tr)
{
    if ((size_t)which >= f->count)
        return krs_fail(f->err, KRS_E_ARGUMENT,
                        "tokenizer: the second text is to be truncated, and "
                        "there is none");
    size_t count = f->w->sequences[which].count;
    if (count <= excess)
        return krs_fail(f->err, KRS_E_RANGE,
                        "tokenizer: %zu tokens are too many, and the text to "
                        "truncate has %zu",
                        excess, count);
    return cut(f, which, count - excess, tr);
}

static krs_status
truncate_all(struct finishing *f, const krs_truncation *tr)
{
    size_t total = 0, most = (size_t)tr->max_length;
    size_t around =
        f->options->no_special ? 0 : krsi_post_added(f->t, f->count > 1);
    for (size_t i = 0; i < f->count; i++) {
        total += f->w->sequences[i].count;
        if (!add_range(&f->parts[i], 0, f->w->sequences[i].count))
            return krsi_no_memory(f->err, "parts");
    }
    if (tr->max_length == 0)
        return KRS_OK;
    if (around > most)
        return krs_fail(f->err, KRS_E_RANGE,
                        "tokenizer: at most %zu tokens are wanted, %zu special "
                        "ones are put around each text",
                        most, around);
    most -= around;
    if (most == 0) {
        for (size_t i = 0; i < f->count; i++)
            KRS_TRY(cut(f, (int)i, 0, tr));
        return KRS_OK;
    }
    if (total <= most)
        return KRS_OK;
    switch (tr->strategy) {
    case KRS_TRUNCATE_LONGEST_FIRST: return longest_first(f, most, tr);
    case KRS_TRUNCATE_ONLY_FIRST: return truncate_one(f, 0, total - most, tr);
    case KRS_TRUNCATE_ONLY_SECOND: break;
    }
    return truncate_one(f, 1, total - most, tr);
}

/* ---- putting together ---- */

size_t
krsi_post_added(const krs_tokenizer *t, bool pair)
{
    size_t count = 0;
    for (size_t i = 0; i < t->post.count; i++) {
        const krsi_template *pieces =
            pair ? &t->post.items[i].pair : &t->post.items[i].single;
        for (size_t k = 0; k < pieces->count; k++)
            count += pieces->items[k].count;
    }
    return count;
}

/* A part of a sequence, its offsets trimmed where a processor says so: each
 * part by itself, as parts may overlap. */
static bool
put_sequence(const struct finishing *f, int sequence, uint32_t type_id,
             size_t part, krs_encoding *e)
{
    const krs_encoding *from = &f->w->sequences[sequence];
    size_t begin = e->count;
    range r = f->parts[sequence].items[part];
    if (!krsi_encoding_room(e, e->count + r.end - r.begin, f->options->pieces))
        return false;
    for (size_t i = r.begin; i < r.end; i++) {
        const char *piece = NULL;
        size_t bytes = 0;
        if (f->options->pieces) {
            bytes = from->piece[i + 1] - from->piece[i];
            piece = bytes ? from->text + from->piece[i] : "";
        }
        if (!krsi_encoding_put(e, from->ids[i], type_id, from->spans[i],
                               sequence ? KRS_TOKEN_IS_PAIR : 0, piece, bytes))
            return false;
    }
    for (size_t i = 0; i < f->t->post.count; i++)
        if (f->t->post.items[i].kind == KRSI_POST_TRIM)
            trim(f->t, &f->t->post.items[i], e, begin, &f->texts[sequence]);
    return true;
}

static bool
put_special(const struct finishing *f, const krsi_post_piece *piece,
            krs_encoding *e)
{
    if (!krsi_encoding_room(e, e->count + piece->count, f->options->pieces))
        return false;
    for (size_t i = 0; i < piece->count; i++)
        if (!krsi_encoding_put(e, piece->ids[i], piece->type_id,
                               (krs_token_span){0, 0}, KRS_TOKEN_IS_SPECIAL,
                               f->options->pieces ? piece->texts[i] : NULL,
                               strlen(piece->texts[i])))
            return false;
    return true;
}

/* One encoding of those parts of the sequences. */
static bool
put_parts(const struct finishing *f, const uint32_t chosen[2], krs_encoding *e)
{
    e->count = 0;
    if (!krsi_encoding_room(e, 1, f->options->pieces))
        return false;
    if (!f->pieces) {
        for (size_t i = 0; i < f->count; i++)
            if (!put_sequence(f, (int)i, (uint32_t)i, chosen[i], e))
                return false;
        return true;
    }
    for (size_t k = 0; k < f->pieces->count; k++) {
        const krsi_post_piece *piece = &f->pieces->items[k];
        int s = piece->sequence;
        if (s < 0 ? !f->options->no_special && !put_special(f, piece, e)
                  : !put_sequence(f, s, piece->type_id, chosen[s], e))
            return false;
    }
    return true;
}

/* The combinations that overflow, in the order in which merging one encoding
 * after the other finds them: those there are with each part of the next, then
 * the first parts of all before with each further part of it. */
static krs_status
combine(const struct finishing *f, uint32_t (**out)[2], size_t *out_count)
{
    size_t a = f->parts[0].count, b = f->count > 1 ? f->parts[1].count : 1;
    size_t count = 0, total;
    bool a_first = true;
    if (f->pieces && f->count > 1)
        for (size_t k = 0; k < f->pieces->count; k++)
            if (f->pieces->items[k].sequence >= 0) {
                a_first = f->pieces->items[k].sequence == 0;
                break;
            }
    if (__builtin_mul_overflow(a, b, &total) || total > MOST_OVERFLOW)
        return krs_fail(f->err, KRS_E_RANGE,
                        "tokenizer: %zu and %zu parts of two texts make more "
                        "than %d combinations",
                        a, b, MOST_OVERFLOW);
    uint32_t(*list)[2] = malloc(total * sizeof *list);
    if (!list)
        return krsi_no_memory(f->err, "parts");
    int first = a_first ? 0 : 1, second = 1 - first;
    size_t outer = a_first ? a : b, inner = a_first ? b : a;
    for (size_t i = 1; i < outer; i++)
        for (size_t k = 0; k < inner; k++) {
            list[count][first] = (uint32_t)i;
            list[count++][second] = (uint32_t)k;
        }
    for (size_t k = 1; k < inner; k++) {
        list[count][first] = 0;
        list[count++][second] = (uint32_t)k;
    }
    *out = list;
    *out_count = count;
    return KRS_OK;
}

static krs_status
put_all(const struct finishing *f, krs_encoding *e)
{
    uint32_t(*list)[2] = NULL;
    const uint32_t none[2] = {0, 0};
    size_t count = 0;
    if (!put_parts(f, none, e))
        return krsi_no_memory(f->err, "tokens");
    if (f->parts[0].count == 1 && (f->count == 1 || f->parts[1].count == 1))
        return KRS_OK;
    KRS_TRY(combine(f, &list, &count));
    e->overflow = calloc(count, sizeof *e->overflow);
    bool room = e->overflow != NULL;
    for (size_t i = 0; room && i < count; i++) {
        room = put_parts(f, list[i], &e->overflow[i]);
        e->overflow_count++;
    }
    free(list);
    return room ? KRS_OK : krsi_no_memory(f->err, "tokens");
}

krs_status
krsi_finish(const krs_tokenizer *t, krsi_work *w, const krs_text *texts,
            size_t count, const krs_encode_options *options,
            const krs_truncation *truncation, krs_encoding *e, krs_error *err)
{
    struct finishing f = {.t = t,
                          .w = w,
                          .texts = texts,
                          .count = count,
                          .options = options,
                          .err = err};
    krs_status status = truncate_all(&f, truncation);
    for (size_t i = 0; status == KRS_OK && i < t->post.count; i++) {
        const krsi_post *post = &t->post.items[i];
        if (post->kind == KRSI_POST_TEMPLATE)
            f.pieces = count > 1 ? &post->pair : &post->single;
    }
    if (status == KRS_OK)
        status = put_all(&f, e);
    free(f.parts[0].items);
    free(f.parts[1].items);
    return status;
}

/* ---- padding ---- */

krs_status
krsi_pad(const krs_tokenizer *t, krs_encoding *e, size_t length, krs_error *err)
{
    const krsi_padding *p = &t->padding;
    bool pieces = e->piece != NULL;
    for (size_t i = 0; i < e->overflow_count; i++)
        KRS_TRY(krsi_pad(t, &e->overflow[i], length, err));
    if (e->count >= length)
        return KRS_OK;
    size_t count = e->count, more = length - count;
    const char *token = pieces ? p->token ? p->token : "[PAD]" : NULL;
    size_t bytes = token ? strlen(token) : 0;
    bool room = krsi_encoding_room(e, length, pieces);
    for (size_t i = 0; room && i < more; i++)
        room = krsi_encoding_put(e, p->id, p->type_id, (krs_token_span){0, 0},
                                 KRS_TOKEN_IS_SPECIAL | KRS_TOKEN_IS_PADDING,
                                 token, bytes);
    if (!room)
        return krsi_no_memory(err, "padding");
    if (!p->left)
        return KRS_OK;
        /* turn the arrays so that the padding comes first */
#define TURN(array)                                              \
    do {                                                         \
        memmove((array) + more, array, count * sizeof *(array)); \
    } while (0)
    TURN(e->ids);
    TURN(e->type_ids);
    TURN(e->spans);
    TURN(e->marks);
#undef TURN
    for (size_t i = 0; i < more; i++) {
        e->ids[i] = p->id;
        e->type_ids[i] = p->type_id;
        e->spans[i] = (krs_token_span){0, 0};
        e->marks[i] = KRS_TOKEN_IS_SPECIAL | KRS_TOKEN_IS_PADDING;
    }
    if (!pieces)
        return KRS_OK;
    /* the strings: padding was appended, all of one length */
    size_t own = e->piece[count];
    memmove(e->text + more * bytes, e->text, own);
    for (size_t i = 0; i < more; i++)
        memcpy(e->text + i * bytes, token, bytes);
    memmove(e->piece + more, e->piece, (count + 1) * sizeof *e->piece);
    for (size_t i = 0; i < length + 1; i++)
        e->piece[i] = i < more ? (uint32_t)(i * bytes)
                               : e->piece[i] + (uint32_t)(more * bytes);
    return KRS_OK;
}
