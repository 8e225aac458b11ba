/* presplit.c -- the pre-tokenizers of tokenizer.json, one function each.
 *
 * In: w->parts, words and tokens that lie in the text one after the other.
 * Out: the same with every word cut into smaller ones. A function appends to
 * w->spare what becomes of one word; empty words vanish. Tokens stay as they
 * are. Those that change the text (ByteLevel, Metaspace) write a new one, word
 * by word, and the parts point into that.
 *
 * As long as nothing changed the text, it is the input itself (w->plain) and
 * no alignment is kept.
 *
 * Source: pre_tokenizers/ of Hugging Face tokenizers 0.23, including what a
 * delimiter merges with when several follow each other.
 */
#include "tokenizer.h"

#include <string.h>

/* A split as it goes on: the matches and what lies between, in order. */
struct cutting {
    krsi_work *w;
    krsi_behavior behavior;
    bool invert;
    uint32_t origin;   /* of the word in the text */
    size_t begin, end; /* the part at hand, not yet given out */
    bool open, after_match;
    krs_error *err;
};

typedef krs_status cutter(const krs_tokenizer *t, const krsi_step *step,
                          krsi_work *w, const krsi_part *part, krs_error *err);

static krs_status
give(struct cutting *c, size_t begin, size_t end)
{
    if (begin == end)
        return KRS_OK;
    return krsi_part_add(&c->w->spare, c->origin + begin, c->origin + end,
                         KRSI_NO_ID, c->err);
}

static krs_status
finish(struct cutting *c)
{
    bool open = c->open;
    c->open = false;
    return open ? give(c, c->begin, c->end) : KRS_OK;
}

/* The next piece, a match or not. */
static krs_status
take(struct cutting *c, size_t begin, size_t end, bool is_match)
{
    bool joins = false;
    is_match ^= c->invert;
    switch (c->behavior) {
    case KRSI_REMOVED: return is_match ? KRS_OK : give(c, begin, end);
    case KRSI_ISOLATED: return give(c, begin, end);
    case KRSI_CONTIGUOUS: joins = is_match == c->after_match; break;
    case KRSI_MERGED_WITH_PREVIOUS: joins = is_match && !c->after_match; break;
    case KRSI_MERGED_WITH_NEXT: joins = !is_match && c->after_match; break;
    }
    c->after_match = is_match;
    if (joins && c->open) {
        c->end = end;
        return KRS_OK;
    }
    KRS_TRY(finish(c));
    c->open = true;
    c->begin = begin;
    c->end = end;
    return KRS_OK;
}

static struct cutting
begin_cutting(krsi_work *w, const krsi_part *part, krsi_behavior behavior,
              bool invert, krs_error *err)
{
    return (struct cutting){.w = w,
                            .behavior = behavior,
                            .invert = invert,
                            .origin = part->begin,
                            .err = err};
}

static krs_status
cut_by_pattern(const krsi_pattern *pattern, krsi_behavior behavior, bool invert,
               krsi_work *w, const krsi_part *part, krs_error *err)
{
    struct cutting c = begin_cutting(w, part, behavior, invert, err);
    const char *text = krsi_part_text(w, part);
    size_t bytes = part->end - part->begin, done = 0;
    krsi_scan scan = KRSI_SCAN;
    krsi_match match;
    for (;;) {
        bool found;
        KRS_TRY(krsi_pattern_next(pattern, &w->search, text, bytes, &scan,
                                  &match, &found, err));
        if (!found)
            break;
        if (done < match.begin)
            KRS_TRY(take(&c, done, match.begin, false));
        KRS_TRY(take(&c, match.begin, match.end, true));
        done = match.end;
    }
    if (done < bytes)
        KRS_TRY(take(&c, done, bytes, false));
    return finish(&c);
}

static krs_status
cut_by_class(bool (*is)(uint32_t code), krsi_behavior behavior, krsi_work *w,
             const krsi_part *part, krs_error *err)
{
    struct cutting c = begin_cutting(w, part, behavior, false, err);
    const char *text = krsi_part_text(w, part);
    size_t bytes = part->end - part->begin, done = 0, used;
    for (size_t at = 0; at < bytes; at += used) {
        uint32_t code;
        used = krsi_utf8_next(text + at, bytes - at, &code);
        if (!is(code))
            continue;
        if (done < at)
            KRS_TRY(take(&c, done, at, false));
        KRS_TRY(take(&c, at, at + used, true));
        done = at + used;
    }
    if (done < bytes)
        KRS_TRY(take(&c, done, bytes, false));
    return finish(&c);
}

/* ---- those that do not change the text ---- */

static krs_status
split_WHITESPACE_SPLIT(const krs_tokenizer *t, const krsi_step *step,
                       krsi_work *w, const krsi_part *part, krs_error *err)
{
    (void)t, (void)step;
    return cut_by_class(krsi_is_space, KRSI_REMOVED, w, part, err);
}

static krs_status
split_PUNCTUATION(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
                  const krsi_part *part, krs_error *err)
{
    (void)t;
    return cut_by_class(krsi_is_punctuation, step->behavior, w, part, err);
}

static krs_status
split_DIGITS(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
             const krsi_part *part, krs_error *err)
{
    (void)t;
    return cut_by_class(krsi_is_number,
                        step->individual ? KRSI_ISOLATED : KRSI_CONTIGUOUS, w,
                        part, err);
}

/* Spaces vanish, punctuation stands alone: both at once. */
static krs_status
split_BERT(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
           const krsi_part *part, krs_error *err)
{
    struct cutting c = begin_cutting(w, part, KRSI_ISOLATED, false, err);
    const char *text = krsi_part_text(w, part);
    size_t bytes = part->end - part->begin, done = 0, used;
    (void)t, (void)step;
    for (size_t at = 0; at < bytes; at += used) {
        uint32_t code;
        used = krsi_utf8_next(text + at, bytes - at, &code);
        bool space = krsi_is_space(code);
        if (!space && !krsi_is_punctuation(code))
            continue;
        KRS_TRY(give(&c, done, at));
        if (!space)
            KRS_TRY(give(&c, at, at + used));
        done = at + used;
    }
    return give(&c, done, bytes);
}

static krs_status
split_SPLIT(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
            const krsi_part *part, krs_error *err)
{
    (void)t;
    return cut_by_pattern(step->pattern, step->behavior, step->invert, w, part,
                          err);
}

static krs_status
split_WHITESPACE(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
                 const krsi_part *part, krs_error *err)
{
    (void)t;
    return cut_by_pattern(step->pattern, KRSI_REMOVED, true, w, part, err);
}

static krs_status
split_DELIMITER(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
                const krsi_part *part, krs_error *err)
{
    (void)t;
    return cut_by_pattern(step->pattern, KRSI_REMOVED, false, w, part, err);
}

static krs_status
split_FIXED_LENGTH(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
                   const krsi_part *part, krs_error *err)
{
    struct cutting c = begin_cutting(w, part, KRSI_ISOLATED, false, err);
    const char *text = krsi_part_text(w, part);
    size_t bytes = part->end - part->begin;
    (void)t;
    for (size_t at = 0, end = 0; at < bytes; at = end) {
        for (size_t n = 0; n < step->start && end < bytes; n++)
            end += krsi_utf8_length(text[end]);
        KRS_TRY(give(&c, at, end));
    }
    return KRS_OK;
}

/* What stands before the first character of a script is dropped. */
static krs_status
split_UNICODE_SCRIPTS(const krs_tokenizer *t, const krsi_step *step,
                      krsi_work *w, const krsi_part *part, krs_error *err)
{
    struct cutting c = begin_cutting(w, part, KRSI_ISOLATED, false, err);
    const char *text = krsi_part_text(w, part);
    size_t bytes = part->end - part->begin, done = bytes, used;
    int last = KRSI_ANY_SCRIPT, script;
    (void)t, (void)step;
    for (size_t at = 0; at < bytes; at += used) {
        uint32_t code;
        used = krsi_utf8_next(text + at, bytes - at, &code);
        KRS_TRY(krsi_script_of(w, code, &script, err));
        if (script == KRSI_ANY_SCRIPT || script == last)
            continue;
        if (last != KRSI_ANY_SCRIPT)
            KRS_TRY(give(&c, done, at));
        done = at;
        last = script;
    }
    return give(&c, done, bytes);
}

/* ---- those that do ---- */

/* The word in w->text, with its bytes from there on in w->other. */
static krs_status
split_METASPACE(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
                const krsi_part *part, krs_error *err)
{
    krsi_aligned *to = &w->other;
    const krsi_aligned *text = &w->text;
    size_t begin = to->count, bytes = step->text_bytes;
    (void)t;
    bool starts = part->end - part->begin >= bytes &&
                  !memcmp(text->bytes + part->begin, step->text, bytes);
    krsi_span first = text->from[part->begin];
    if (text->bytes[part->begin] == ' ')
        starts = true;
    if (!starts && (step->prepend == KRSI_PREPEND_ALWAYS ||
                    (step->prepend == KRSI_PREPEND_FIRST && first.begin == 0)))
        krsi_aligned_add(to, step->text, bytes, first);
    for (size_t i = part->begin, end; i < part->end; i = end) {
        for (end = i; end < part->end && text->bytes[end] != ' '; end++)
            continue;
        krsi_aligned_copy(to, text, i, end);
        if (end < part->end) {
            krsi_aligned_add(to, step->text, bytes, text->from[end]);
            end++;
        }
    }
    if (to->failed)
        return krsi_no_memory(err, "a text");
    krsi_part whole = {(uint32_t)begin, (uint32_t)to->count, KRSI_NO_ID};
    if (!step->split)
        return krsi_part_add(&w->spare, whole.begin, whole.end, KRSI_NO_ID,
                             err);
    krsi_aligned_swap(&w->text, &w->other); /* to read what was written */
    krs_status status = cut_by_pattern(step->pattern, KRSI_MERGED_WITH_NEXT,
                                       false, w, &whole, err);
    krsi_aligned_swap(&w->text, &w->other);
    return status;
}

/* The pieces of the expression, each byte written as a character. */
static krs_status
split_BYTE_LEVEL(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
                 const krsi_part *part, krs_error *err)
{
    const krsi_aligned *text = &w->text;
    krsi_aligned *to = &w->other, *word = &w->third;
    (void)t;
    word->count = 0;
    if (step->prefix_space && text->bytes[part->begin] != ' ')
        krsi_aligned_add(word, " ", 1, text->from[part->begin]);
    krsi_aligned_copy(word, text, part->begin, part->end);
    if (word->failed)
        return krsi_no_memory(err, "a text");
    for (size_t at = 0; at < word->count;) {
        size_t begin = to->count, end = word->count;
        if (step->split)
            end = at + krsi_split_gpt2(word->bytes + at, word->count - at);
        for (; at < end; at++) {
            char bytes[4];
            size_t used =
                krsi_utf8_put(bytes, krsi_byte_char((uint8_t)word->bytes[at]));
            krsi_aligned_add(to, bytes, used, word->from[at]);
        }
        if (to->failed)
            return krsi_no_memory(err, "a text");
        KRS_TRY(krsi_part_add(&w->spare, begin, to->count, KRSI_NO_ID, err));
    }
    return KRS_OK;
}

/* The same where the model takes bytes and nothing is put in front. */
static krs_status
split_bytes(const krsi_step *step, krsi_work *w, const krsi_part *part,
            krs_error *err)
{
    const char *text = krsi_part_text(w, part);
    size_t bytes = part->end - part->begin;
    for (size_t at = 0; at < bytes;) {
        size_t end =
            step->split ? at + krsi_split_gpt2(text + at, bytes - at) : bytes;
        KRS_TRY(krsi_part_add(&w->spare, part->begin + at, part->begin + end,
                              KRSI_NO_ID, err));
        at = end;
    }
    return KRS_OK;
}

/* ---- all of them ---- */

static bool
changes_text(const krsi_step *step)
{
    return step->kind == KRSI_PRE_METASPACE ||
           step->kind == KRSI_PRE_BYTE_LEVEL;
}

/* Make w->text hold the text, if it is the input itself so far. */
static void
make_text(krsi_work *w)
{
    if (w->plain)
        krsi_aligned_set(&w->text, w->input, 0, w->input_bytes);
    w->plain = false;
    w->other.count = 0;
    w->third.first = w->other.first = w->text.first;
}

static krs_status
run_step(const krs_tokenizer *t, const krsi_step *step, krsi_work *w,
         krs_error *err)
{
    static cutter *const all[] = {
#define NORMALIZER(NAME, name, read)
#define PRE(NAME, name, read) split_##NAME,
#define DECODER(NAME, name, read)
#include "parts.def"
    };
    bool bytes = step->kind == KRSI_PRE_BYTE_LEVEL && t->model.byte_level &&
                 !step->prefix_space;
    bool changes = changes_text(step) && !bytes;
    if (changes)
        make_text(w);
    if (w->text.failed)
        return krsi_no_memory(err, "a text");
    w->spare.count = 0;
    for (size_t i = 0; i < w->parts.count; i++) {
        const krsi_part *part = &w->parts.items[i];
        size_t begin = w->other.count;
        if (part->id == KRSI_NO_ID) {
            KRS_TRY(bytes ? split_bytes(step, w, part, err)
                          : all[step->kind](t, step, w, part, err));
        } else if (changes) {
            krsi_aligned_copy(&w->other, &w->text, part->begin, part->end);
            KRS_TRY(
                krsi_part_add(&w->spare, begin, w->other.count, part->id, err));
        } else {
            KRS_TRY(krsi_part_add(&w->spare, part->begin, part->end, part->id,
                                  err));
        }
    }
    krsi_parts parts = w->parts;
    w->parts = w->spare;
    w->spare = parts;
    if (changes)
        krsi_aligned_swap(&w->text, &w->other);
    if (w->text.failed)
        return krsi_no_memory(err, "a text");
    return KRS_OK;
}

krs_status
krsi_presplit(const krs_tokenizer *t, krsi_work *w, krs_error *err)
{
    for (size_t i = 0; i < t->pre.count; i++)
        KRS_TRY(run_step(t, &t->pre.items[i], w, err));
    return KRS_OK;
}
