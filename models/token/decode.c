/* decode.c -- ids back to text: the decoders of tokenizer.json, one function
 * each.
 *
 * In: ids. Out: their tokens as a list of strings, changed by one decoder after
 * the other, and put together at the end. Without a decoder tokens are joined
 * by spaces.
 *
 * Source: decoders/ of Hugging Face tokenizers 0.23.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Strings one after the other; the i-th ends at ends[i]. */
struct list {
    krsi_buffer text;
    size_t *ends;
    size_t count, capacity;
    bool failed;
};

struct decoding {
    struct list list, next;
    krsi_search search;
    krs_error *err;
};

typedef krs_status decoder(const krsi_step *step, struct decoding *d);

static void
add(struct list *list, const char *text, size_t bytes)
{
    krsi_buffer_add(&list->text, text, bytes);
}

/* the string at hand is complete */
static void
end(struct list *list)
{
    if (!krsi_room(&list->ends, &list->capacity, list->count + 1,
                   sizeof *list->ends)) {
        list->failed = true;
        return;
    }
    list->ends[list->count++] = list->text.count;
}

static const char *
item(const struct list *list, size_t i, size_t *bytes)
{
    size_t begin = i ? list->ends[i - 1] : 0;
    *bytes = list->ends[i] - begin;
    return *bytes ? list->text.bytes + begin : "";
}

/* For each string of d->list: text, bytes. */
#define FOR_STRINGS(d, i, text, bytes)                                     \
    for (size_t i = 0, bytes = 0; i < (d)->list.count; i++)                \
        for (const char *text = item(&(d)->list, i, &bytes), *once = text; \
             once == text; once = text + 1)

static bool
is(const char *text, size_t bytes, const char *other, size_t other_bytes)
{
    return bytes == other_bytes && !memcmp(text, other, bytes);
}

/* text with `from` replaced, from left to right */
static void
replace(krsi_buffer *out, const char *text, size_t bytes, const char *from,
        size_t from_bytes, const char *to, size_t to_bytes)
{
    size_t done = 0;
    for (size_t i = 0; from_bytes > 0 && i + from_bytes <= bytes;) {
        if (memcmp(text + i, from, from_bytes) != 0) {
            i++;
            continue;
        }
        krsi_buffer_add(out, text + done, i - done);
        krsi_buffer_add(out, to, to_bytes);
        i += from_bytes;
        done = i;
    }
    krsi_buffer_add(out, text + done, bytes - done);
}

static krs_status
decode_BPE(const krsi_step *step, struct decoding *d)
{
    FOR_STRINGS(d, i, text, bytes)
    {
        bool last = i + 1 == d->list.count;
        replace(&d->next.text, text, bytes, step->text, step->text_bytes, " ",
                last ? 0 : 1);
        end(&d->next);
    }
    return KRS_OK;
}

/* The bytes as UTF-8; what is none becomes U+FFFD, once for each longest part
 * that could have begun a character (Unicode 15, 3.9, U+FFFD substitution). */
static void
add_lossy(krsi_buffer *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        size_t used = krsi_utf8_next(text + i, bytes - i, &code);
        if (code != KRSI_REPLACEMENT || used > 1) {
            krsi_buffer_add(out, text + i, used);
            i += used;
            continue;
        }
        krsi_buffer_add(out, "\xEF\xBF\xBD", 3);
        i += krsi_utf8_broken(text + i, bytes - i);
    }
}

static krs_status
decode_BYTE_LEVEL(const krsi_step *step, struct decoding *d)
{
    krsi_buffer raw = {0};
    (void)step;
    FOR_STRINGS(d, i, text, bytes)
    {
        size_t before = raw.count;
        bool all = true;
        for (size_t at = 0; all && at < bytes;) {
            uint32_t code;
            at += krsi_utf8_next(text + at, bytes - at, &code);
            int byte = krsi_char_byte(code);
            char c = (char)byte;
            all = byte >= 0;
            if (all)
                krsi_buffer_add(&raw, &c, 1);
        }
        if (!all) { /* a token that was added: as it is */
            raw.count = before;
            krsi_buffer_add(&raw, text, bytes);
        }
    }
    add_lossy(&d->next.text, raw.bytes, raw.count);
    end(&d->next);
    d->next.failed |= raw.failed;
    krsi_buffer_free(&raw);
    return KRS_OK;
}

/* The spaces that tokenization put before signs and short forms taken away. */
static void
clean_up(krsi_buffer *text)
{
    static const char *const rows[][2] = {
        {" .",      "."     },
        {" ?",      "?"     },
        {" !",      "!"     },
        {" ,",      ","     },
        {" ' ",     "'"     },
        {" n't",    "n't"   },
        {" 'm",     "'m"    },
        {" do not", " don't"},
        {" 's",     "'s"    },
        {" 've",    "'ve"   },
        {" 're",    "'re"   },
    };
    if (!text->count || !memchr(text->bytes, ' ', text->count))
        return; /* each of them has one */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        krsi_buffer next = {0};
        replace(&next, text->bytes, text->count, rows[i][0], strlen(rows[i][0]),
                rows[i][1], strlen(rows[i][1]));
        next.failed |= text->failed;
        krsi_buffer_free(text);
        *text = next;
    }
}

static krs_status
decode_WORDPIECE(const krsi_step *step, struct decoding *d)
{
    krsi_buffer one = {0};
    FOR_STRINGS(d, i, text, bytes)
    {
        one.count = 0;
        size_t skip = 0;
        if (i > 0 && bytes >= step->text_bytes &&
            is(text, step->text_bytes, step->text, step->text_bytes))
            skip = step->text_bytes;
        else if (i > 0)
            krsi_buffer_add(&one, " ", 1);
        krsi_buffer_add(&one, text + skip, bytes - skip);
        if (step->cleanup)
            clean_up(&one);
        add(&d->next, one.bytes, one.count);
        end(&d->next);
    }
    d->next.failed |= one.failed;
    krsi_buffer_free(&one);
    return KRS_OK;
}

static krs_status
decode_METASPACE(const krsi_step *step, struct decoding *d)
{
    FOR_STRINGS(d, i, text, bytes)
    {
        bool drops = i == 0 && step->prepend != KRSI_PREPEND_NEVER;
        replace(&d->next.text, text, bytes, step->text, step->text_bytes, " ",
                drops ? 0 : 1);
        end(&d->next);
    }
    return KRS_OK;
}

static krs_status
decode_CTC(const krsi_step *step, struct decoding *d)
{
    krsi_buffer one = {0}, two = {0};
    size_t before_bytes = 0;
    const char *before = NULL;
    FOR_STRINGS(d, i, text, bytes)
    {
        bool repeated = before && is(text, bytes, before, before_bytes);
        before = text;
        before_bytes = bytes;
        if (repeated)
            continue;
        one.count = two.count = 0;
        replace(&one, text, bytes, step->text, step->text_bytes, "", 0);
        if (step->cleanup) {
            clean_up(&one);
            replace(&two, one.bytes, one.count, step->other, step->other_bytes,
                    " ", 1);
        } else {
            krsi_buffer_add(&two, one.bytes, one.count);
        }
        if (two.count == 0)
            continue;
        add(&d->next, two.bytes, two.count);
        end(&d->next);
    }
    d->next.failed |= one.failed | two.failed;
    krsi_buffer_free(&one);
    krsi_buffer_free(&two);
    return KRS_OK;
}

static krs_status
decode_REPLACE(const krsi_step *step, struct decoding *d)
{
    FOR_STRINGS(d, i, text, bytes)
    {
        krsi_scan scan = KRSI_SCAN;
        krsi_match match;
        size_t done = 0;
        bool found = bytes > 0;
        while (found) {
            KRS_TRY(krsi_pattern_next(step->pattern, &d->search, text, bytes,
                                      &scan, &match, &found, d->err));
            if (!found)
                break;
            add(&d->next, text + done, match.begin - done);
            add(&d->next, step->text, step->text_bytes);
            done = match.end;
        }
        add(&d->next, text + done, bytes - done);
        end(&d->next);
    }
    return KRS_OK;
}

static krs_status
decode_FUSE(const krsi_step *step, struct decoding *d)
{
    (void)step;
    add(&d->next, d->list.text.bytes, d->list.text.count);
    end(&d->next);
    return KRS_OK;
}

/* Up to `start` of the character at the beginning, up to `stop` at the end. */
static krs_status
decode_STRIP(const krsi_step *step, struct decoding *d)
{
    size_t own = step->text_bytes;
    FOR_STRINGS(d, i, text, bytes)
    {
        size_t begin = 0, stop = bytes;
        for (size_t n = 0; n < step->start && bytes - begin >= own &&
                           is(text + begin, own, step->text, own);
             n++)
            begin += own;
        for (size_t n = 0; n < step->stop && stop - begin >= own &&
                           is(text + stop - own, own, step->text, own);
             n++)
            stop -= own;
        add(&d->next, text + begin, stop - begin);
        end(&d->next);
    }
    return KRS_OK;
}

int
krsi_byte_token(const char *text, size_t bytes)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *high, *low;
    if (bytes != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>' ||
        !text[3] || !text[4])
        return -1;
    high = strchr(digits, text[3]);
    low = strchr(digits, text[4]);
    return high && low ? (int)((high - digits) % 16 * 16 + (low - digits) % 16)
                       : -1;
}

/* A run of bytes: a string if it is UTF-8, else U+FFFD for each of them. */
static void
end_bytes(struct decoding *d, krsi_buffer *run)
{
    bool valid = krsi_utf8_check(run->bytes, run->count) == run->count;
    if (run->count > 0 && valid) {
        add(&d->next, run->bytes, run->count);
        end(&d->next);
    }
    for (size_t i = 0; !valid && i < run->count; i++) {
        add(&d->next, "\xEF\xBF\xBD", 3);
        end(&d->next);
    }
    run->count = 0;
}

static krs_status
decode_BYTE_FALLBACK(const krsi_step *step, struct decoding *d)
{
    krsi_buffer run = {0};
    (void)step;
    FOR_STRINGS(d, i, text, bytes)
    {
        int byte = krsi_byte_token(text, bytes);
        if (byte >= 0) {
            char c = (char)byte;
            krsi_buffer_add(&run, &c, 1);
            continue;
        }
        end_bytes(d, &run);
        add(&d->next, text, bytes);
        end(&d->next);
    }
    end_bytes(d, &run);
    d->next.failed |= run.failed;
    krsi_buffer_free(&run);
    return KRS_OK;
}

/* ---- all of them ---- */

/* The tokens of the ids; what an added token is called after the normalizer
 * counts, as the decoders undo that. */
static krs_status
list_tokens(const krs_tokenizer *t, const uint32_t *ids, size_t count,
            bool skip_special, struct decoding *d)
{
    for (size_t i = 0; i < count; i++) {
        const krsi_added_token *added = krsi_added_of_id(&t->added, ids[i]);
        size_t bytes;
        const char *text = krsi_vocabulary_text(&t->vocabulary, ids[i], &bytes);
        if (!added && !text)
            return krs_fail(d->err, KRS_E_RANGE,
                            "tokenizer: id %u, number %zu of %zu, is no token; "
                            "ids go up to %zu",
                            ids[i], i, count, krs_tokenizer_size(t) - 1);
        if (added && skip_special && added->special)
            continue;
        if (added && added->match)
            add(&d->list, added->match, added->match_bytes);
        else if (added)
            add(&d->list, added->content, added->content_bytes);
        else
            add(&d->list, text, bytes);
        end(&d->list);
    }
    return KRS_OK;
}

static krs_status
run_decoders(const krs_tokenizer *t, struct decoding *d)
{
    static decoder *const all[] = {
#define NORMALIZER(NAME, name, read)
#define PRE(NAME, name, read)
#define DECODER(NAME, name, read) decode_##NAME,
#include "parts.def"
    };
    for (size_t i = 0; i < t->decoder.count; i++) {
        const krsi_step *step = &t->decoder.items[i];
        d->next.text.count = d->next.count = 0;
        KRS_TRY(all[step->kind](step, d));
        struct list list = d->list;
        d->list = d->next;
        d->next = list;
        if (d->list.failed || d->list.text.failed)
            return krsi_no_memory(d->err, "a text");
    }
    return KRS_OK;
}

/* The strings in one, with a space between them where nothing decodes. */
static void
join(const krs_tokenizer *t, const struct list *list, krsi_buffer *out)
{
    for (size_t i = 0; i < list->count; i++) {
        size_t bytes;
        const char *text = item(list, i, &bytes);
        if (i > 0 && !t->decodes)
            krsi_buffer_add(out, " ", 1);
        krsi_buffer_add(out, text, bytes);
    }
}

krs_status
krsi_decode(const krs_tokenizer *t, const uint32_t *ids, size_t count,
            bool skip_special, krsi_buffer *out, krs_error *err)
{
    struct decoding d = {.err = err};
    if (t->piece_text.on)
        return krsi_piece_decode(t, ids, count, skip_special, out, err);
    krs_status status = list_tokens(t, ids, count, skip_special, &d);
    bool room = !d.list.failed && !d.list.text.failed;
    if (status == KRS_OK && room && d.list.count > 0)
        status = run_decoders(t, &d);
    if (status == KRS_OK)
        join(t, &d.list, out);
    if (status == KRS_OK && (!room || out->failed))
        status = krsi_no_memory(err, "a text");
    krsi_buffer_free(&d.list.text);
    krsi_buffer_free(&d.next.text);
    free(d.list.ends);
    free(d.next.ends);
    krsi_search_free(&d.search);
    return status;
}

krs_status
krs_tokenizer_decode(const krs_tokenizer *t, const uint32_t *ids, size_t count,
                     bool skip_special, char **out, size_t *out_bytes,
                     krs_error *err)
{
    krsi_buffer text = {0};
    if (!t || (!ids && count > 0) || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer: decode: the tokenizer, ids and out must "
                        "not be NULL");
    krs_status status = krsi_decode(t, ids, count, skip_special, &text, err);
    krsi_buffer_add(&text, "", 1);
    if (status == KRS_OK && text.failed)
        status = krsi_no_memory(err, "a text");
    if (status != KRS_OK) {
        krsi_buffer_free(&text);
        return status;
    }
    *out = text.bytes;
    if (out_bytes)
        *out_bytes = text.count - 1;
    return KRS_OK;
}
