/* normalize.c -- the normalizers of tokenizer.json, one function each.
 *
 * In: a text with its alignment (w->text). Out: the changed text in the same
 * place. A function reads w->text and writes w->other, which then change
 * places; w->third is scratch.
 *
 * Every one is the function of the same name of Hugging Face tokenizers 0.23,
 * with its treatment of offsets (aligned.c). BertNormalizer does its four
 * passes at once on ASCII, which is most of most texts.
 */
#include "tokenizer.h"

#include <string.h>
#include <utf8proc.h>

typedef krs_status normalizer(const krsi_step *step, krsi_work *w,
                              krs_error *err);

static krsi_change
begin_change(krsi_work *w)
{
    w->other.count = 0;
    w->other.first = w->text.first;
    return (krsi_change){&w->text, &w->other, 0};
}

/* For each character of the text; code and its bytes at `at`. */
#define FOR_CHARACTERS(text, at, used, code)                          \
    for (size_t at = 0, used = 0;                                     \
         at < (text).count &&                                         \
         (used = krsi_utf8_next((text).bytes + at, (text).count - at, \
                                &(code))) > 0;                        \
         at += used)

static krs_status
normalize_LOWERCASE(const krsi_step *step, krsi_work *w, krs_error *err)
{
    krsi_change change = begin_change(w);
    uint32_t code, lower[2];
    (void)step, (void)err;
    FOR_CHARACTERS(w->text, at, used, code)
    {
        int count = krsi_lower(code, lower);
        for (int i = 0; i < count; i++)
            krsi_change_put(&change, lower[i], i > 0);
    }
    return KRS_OK;
}

/* The text without what `drop` names, the rest through `map`. */
static void
filter(krsi_work *w, bool (*drop)(uint32_t code),
       uint32_t (*map)(uint32_t code))
{
    krsi_change change = begin_change(w);
    uint32_t code;
    FOR_CHARACTERS(w->text, at, used, code)
    {
        change.at = at;
        if (!drop(code))
            krsi_change_put(&change, map ? map(code) : code, 0);
    }
}

static krs_status
normalize_STRIP_ACCENTS(const krsi_step *step, krsi_work *w, krs_error *err)
{
    (void)step, (void)err;
    filter(w, krsi_is_mark, NULL);
    return KRS_OK;
}

static bool
nmt_drops(uint32_t code)
{
    return (code >= 1 && code <= 8) || code == 0x0B ||
           (code >= 0x0E && code <= 0x1F) || code == 0x7F || code == 0x8F ||
           code == 0x9F;
}

static uint32_t
nmt_maps(uint32_t code)
{
    switch (code) {
    case 0x09:
    case 0x0A:
    case 0x0C:
    case 0x0D:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x2581:
    case 0xFEFF:
    case 0xFFFD: return ' ';
    default: return code >= 0x200B && code <= 0x200F ? ' ' : code;
    }
}

static krs_status
normalize_NMT(const krsi_step *step, krsi_work *w, krs_error *err)
{
    (void)step, (void)err;
    filter(w, nmt_drops, nmt_maps);
    return KRS_OK;
}

static krs_status
unicode_form(krsi_form form, krsi_work *w, krs_error *err)
{
    krsi_change change = begin_change(w);
    if (!krsi_unicode_form(form, w->text.bytes, w->text.count, &w->marked))
        return krsi_no_memory(err, "a normal form");
    for (size_t i = 0; i < w->marked.count; i++)
        krsi_change_put(&change, w->marked.items[i].code,
                        w->marked.items[i].change);
    return KRS_OK;
}

#define FORM(NAME)                                                          \
    static krs_status normalize_##NAME(const krsi_step *step, krsi_work *w, \
                                       krs_error *err)                      \
    {                                                                       \
        (void)step;                                                         \
        return unicode_form(KRSI_##NAME, w, err);                           \
    }
FORM(NFC)
FORM(NFD)
FORM(NFKC)
FORM(NFKD)
#undef FORM

static krs_status
normalize_STRIP(const krsi_step *step, krsi_work *w, krs_error *err)
{
    size_t begin = 0, end = w->text.count, used;
    uint32_t code;
    (void)err;
    while (step->left && begin < end &&
           (used = krsi_utf8_next(w->text.bytes + begin, end - begin, &code),
            krsi_is_space(code)))
        begin += used;
    while (step->right && begin < end &&
           (used = krsi_utf8_last(w->text.bytes + begin, end - begin, &code),
            krsi_is_space(code)))
        end -= used;
    begin_change(w);
    krsi_aligned_copy(&w->other, &w->text, begin, end);
    return KRS_OK;
}

static krs_status
normalize_PREPEND(const krsi_step *step, krsi_work *w, krs_error *err)
{
    begin_change(w);
    (void)err;
    if (w->text.count == 0)
        return KRS_OK;
    krsi_aligned_add(&w->other, step->text, step->text_bytes, w->text.from[0]);
    krsi_aligned_copy(&w->other, &w->text, 0, w->text.count);
    return KRS_OK;
}

static krs_status
normalize_REPLACE(const krsi_step *step, krsi_work *w, krs_error *err)
{
    krsi_scan scan = KRSI_SCAN;
    size_t done = 0;
    krsi_match match;
    bool found;
    begin_change(w);
    while (w->text.count > 0) {
        KRS_TRY(krsi_pattern_next(step->pattern, &w->search, w->text.bytes,
                                  w->text.count, &scan, &match, &found, err));
        if (!found)
            break;
        krsi_span from = {w->text.first, w->text.first};
        if (match.end > 0)
            from = w->text.from[match.end - 1];
        krsi_aligned_copy(&w->other, &w->text, done, match.begin);
        krsi_aligned_add(&w->other, step->text, step->text_bytes, from);
        done = match.end;
    }
    krsi_aligned_copy(&w->other, &w->text, done, w->text.count);
    return KRS_OK;
}

static krs_status
normalize_BYTE_LEVEL(const krsi_step *step, krsi_work *w, krs_error *err)
{
    (void)step, (void)err;
    begin_change(w);
    for (size_t i = 0; i < w->text.count; i++) {
        char bytes[4];
        size_t count =
            krsi_utf8_put(bytes, krsi_byte_char((uint8_t)w->text.bytes[i]));
        krsi_aligned_add(&w->other, bytes, count, w->text.from[i]);
    }
    return KRS_OK;
}

/* ---- Precompiled ---- */

/* The end of the grapheme cluster that begins at `at` (UAX 29). */
static size_t
grapheme_end(const krsi_aligned *text, size_t at)
{
    utf8proc_int32_t state = 0;
    uint32_t code, next;
    at += krsi_utf8_next(text->bytes + at, text->count - at, &code);
    while (at < text->count) {
        size_t used = krsi_utf8_next(text->bytes + at, text->count - at, &next);
        if (code < 0x80 && next < 0x80
                ? !(code == '\r' && next == '\n')
                : utf8proc_grapheme_break_stateful(
                      (utf8proc_int32_t)code, (utf8proc_int32_t)next, &state))
            break;
        at += used;
        code = next;
    }
    return at;
}

static bool
mark(krsi_marked_list *list, uint32_t code, int32_t change)
{
    if (!krsi_room(&list->items, &list->capacity, list->count + 1,
                   sizeof *list->items))
        return false;
    list->items[list->count++] = (krsi_marked){code, change};
    return true;
}

/* `old` characters become those of `text`: the surplus is new, or the last one
 * takes the missing ones along. */
static bool
mark_replaced(krsi_marked_list *list, size_t old, const char *text,
              size_t bytes)
{
    size_t count = 0;
    for (size_t at = 0; at < bytes; count++) {
        uint32_t code;
        at += krsi_utf8_next(text + at, bytes - at, &code);
        if (!mark(list, code, 0))
            return false;
    }
    for (size_t i = 0; i + old < count && i < list->count; i++)
        list->items[list->count - 1 - i].change = 1;
    if (count < old && list->count > 0)
        list->items[list->count - 1].change -= (int32_t)(old - count);
    return true;
}

static krs_status
normalize_PRECOMPILED(const krsi_step *step, krsi_work *w, krs_error *err)
{
    krsi_marked_list *list = &w->marked;
    const krsi_aligned *text = &w->text;
    bool room = true;
    list->count = 0;
    for (size_t at = 0; room && at < text->count;) {
        size_t end = grapheme_end(text, at), bytes;
        const char *whole =
            end - at < 6
                ? krsi_charsmap_shortest(step->charsmap, text->bytes + at,
                                         end - at, &bytes)
                : NULL;
        if (whole) {
            room =
                mark_replaced(list, krsi_utf8_count(text->bytes + at, end - at),
                              whole, bytes);
            at = end;
            continue;
        }
        while (room && at < end) {
            uint32_t code;
            size_t used = krsi_utf8_next(text->bytes + at, end - at, &code);
            const char *part = krsi_charsmap_shortest(
                step->charsmap, text->bytes + at, used, &bytes);
            room = part ? mark_replaced(list, 1, part, bytes)
                        : mark(list, code, 0);
            at += used;
        }
    }
    if (!room)
        return krsi_no_memory(err, "a normalized text");
    krsi_change change = begin_change(w);
    for (size_t i = 0; i < list->count; i++)
        krsi_change_put(&change, list->items[i].code, list->items[i].change);
    return KRS_OK;
}

/* ---- BertNormalizer ---- */

static void
bert_ascii(const krsi_step *step, krsi_work *w, size_t begin, size_t end)
{
    krsi_aligned *to = &w->other;
    size_t before = to->count;
    krsi_aligned_copy(to, &w->text, begin, end);
    if (to->failed)
        return;
    size_t out = before;
    for (size_t i = before; i < to->count; i++) {
        char c = to->bytes[i];
        if (step->clean_text) {
            if (c == '\t' || c == '\n' || c == '\r')
                c = ' ';
            else if ((unsigned char)c < 32 || c == 127)
                continue;
        }
        if (step->lowercase && c >= 'A' && c <= 'Z')
            c = (char)(c + 32);
        to->bytes[out] = c;
        to->from[out++] = to->from[i];
    }
    to->count = out;
}

/* The first two passes on text[begin..end), which has no ASCII, into third. */
static void
bert_clean(const krsi_step *step, krsi_work *w, size_t begin, size_t end)
{
    for (size_t at = begin; at < end;) {
        uint32_t code;
        krsi_span from = w->text.from[at];
        char *bytes = w->text.bytes + at;
        size_t used = krsi_utf8_next(bytes, end - at, &code);
        at += used;
        if (step->clean_text) {
            if (code == KRSI_REPLACEMENT || krsi_is_other(code))
                continue;
            if (krsi_is_space(code)) {
                krsi_aligned_add(&w->third, " ", 1, from);
                continue;
            }
        }
        bool apart = step->ideographs && krsi_is_ideograph(code);
        if (apart)
            krsi_aligned_add(&w->third, " ", 1, from);
        krsi_aligned_add(&w->third, bytes, used, from);
        if (apart)
            krsi_aligned_add(&w->third, " ", 1, from);
    }
}

static void
bert_put(const krsi_step *step, krsi_change *change, uint32_t code, int marked)
{
    krsi_aligned *to = change->target;
    size_t before = to->count;
    uint32_t lower[2];
    krsi_change_put(change, code, marked);
    if (to->failed)
        return;
    if (step->strip_accents && krsi_is_nonspacing(code)) {
        to->count = before;
    } else if (step->lowercase) {
        krsi_span from = to->from[before];
        int count = krsi_lower(code, lower);
        to->count = before;
        for (int i = 0; i < count; i++) {
            char bytes[4];
            krsi_aligned_add(to, bytes, krsi_utf8_put(bytes, lower[i]), from);
        }
    }
}

static krs_status
bert_rest(const krsi_step *step, krsi_work *w, size_t begin, size_t end,
          krs_error *err)
{
    w->third.count = 0;
    w->third.first = w->text.first;
    bert_clean(step, w, begin, end);
    krsi_change change = {&w->third, &w->other, 0};
    if (!step->strip_accents) {
        uint32_t code;
        FOR_CHARACTERS(w->third, at, used, code)
        {
            bert_put(step, &change, code, 0);
        }
        return KRS_OK;
    }
    if (!krsi_unicode_form(KRSI_NFD, w->third.bytes, w->third.count,
                           &w->marked))
        return krsi_no_memory(err, "a normal form");
    for (size_t i = 0; i < w->marked.count; i++)
        bert_put(step, &change, w->marked.items[i].code,
                 w->marked.items[i].change);
    return KRS_OK;
}

static krs_status
normalize_BERT(const krsi_step *step, krsi_work *w, krs_error *err)
{
    const krsi_aligned *text = &w->text;
    begin_change(w);
    for (size_t at = 0; at < text->count;) {
        size_t begin = at;
        bool ascii = (unsigned char)text->bytes[at] < 0x80;
        while (at < text->count &&
               ((unsigned char)text->bytes[at] < 0x80) == ascii)
            at++;
        if (ascii)
            bert_ascii(step, w, begin, at);
        else
            KRS_TRY(bert_rest(step, w, begin, at, err));
    }
    return KRS_OK;
}

krs_status
krsi_normalize(const krsi_steps *steps, krsi_work *w, krs_error *err)
{
    static normalizer *const all[] = {
#define NORMALIZER(NAME, name, read) normalize_##NAME,
#define PRE(NAME, name, read)
#define DECODER(NAME, name, read)
#include "parts.def"
    };
    for (size_t i = 0; i < steps->count; i++) {
        KRS_TRY(all[steps->items[i].kind](&steps->items[i], w, err));
        krsi_aligned_swap(&w->text, &w->other);
    }
    if (w->text.failed || w->other.failed || w->third.failed)
        return krsi_no_memory(err, "a normalized text");
    return KRS_OK;
}
