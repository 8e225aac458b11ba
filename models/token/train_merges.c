/* train_merges.c -- the merges of BPE and WordPiece out of counted words.
 *
 * In: words with counts. Out: a vocabulary (special tokens, characters,
 * characters with a prefix or suffix, then what was merged) and the merges in
 * order. Each step merges the pair of neighbours with the highest count over
 * all words, of equal ones the pair with the smaller ids (left, then right),
 * inside a word from left to right without overlap.
 *
 * Counts are kept, not taken anew: a merge changes those of the neighbours of
 * each place, and only in the words that have the pair. A heap holds the pairs
 * by the count they had when they were put in; one that has changed since goes
 * back with its new count. Cost: about O(symbols x log pairs) in all.
 */
#include "train.h"

#include <stdlib.h>
#include <string.h>

struct pair {
    uint64_t key; /* left << 32 | right */
    int64_t count;
    uint32_t *words; /* that have had it, some twice in a row */
    size_t word_count, word_capacity;
};

struct queued {
    int64_t count;
    uint64_t key;
    uint32_t pair; /* place in pairs */
};

struct state {
    const krsi_training *training;
    const krsi_counted *words;
    krsi_trained *out;
    uint32_t *symbols; /* of all words, one after the other */
    size_t symbol_count, symbol_capacity;
    size_t *begins;   /* [words + 1] in symbols */
    uint32_t *counts; /* [words] symbols there are now */
    struct pair *pairs;
    size_t pair_count, pair_capacity;
    uint32_t *slots; /* open addressing: place in pairs; UINT32_MAX: empty */
    size_t slot_count;
    struct queued *heap;
    size_t heap_count, heap_capacity;
    uint32_t *grown; /* pairs whose count rose in this step */
    size_t grown_count, grown_capacity;
    krs_error *err;
};

static krs_status
no_memory(const struct state *s)
{
    return krsi_no_memory(s->err, "training");
}

/* ---- the alphabet ---- */

struct letter {
    uint32_t code;
    uint64_t count;
};

static int
by_count(const void *a, const void *b)
{
    const struct letter *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return (x->code > y->code) - (x->code < y->code);
}

static int
by_code(const void *a, const void *b)
{
    const struct letter *x = a, *y = b;
    return (x->code > y->code) - (x->code < y->code);
}

static void
count_letters(const struct state *s, uint64_t *counts)
{
    for (uint32_t i = 0; i < s->words->words.ids; i++) {
        size_t bytes, used;
        const char *text = krsi_vocabulary_text(&s->words->words, i, &bytes);
        for (size_t at = 0; at < bytes; at += used) {
            uint32_t code;
            used = krsi_utf8_next(text + at, bytes - at, &code);
            counts[code] += s->words->counts[i];
        }
    }
    for (int byte = 0; s->training->all_bytes && byte < 256; byte++)
        counts[krsi_byte_char((uint8_t)byte)] = UINT64_MAX;
}

static krs_status
add_alphabet(struct state *s)
{
    size_t limit = s->training->options->limit_alphabet, count = 0;
    uint64_t *counts = calloc(0x110000, sizeof *counts);
    struct letter *letters = NULL;
    if (!counts)
        return no_memory(s);
    count_letters(s, counts);
    for (uint32_t code = 0; code < 0x110000; code++)
        count += counts[code] > 0;
    letters = malloc((count + 1) * sizeof *letters);
    size_t n = 0;
    for (uint32_t code = 0; letters && code < 0x110000; code++)
        if (counts[code] > 0)
            letters[n++] = (struct letter){code, counts[code]};
    free(counts);
    if (!letters)
        return no_memory(s);
    if (limit > 0 && limit < count && !s->training->all_bytes) {
        qsort(letters, count, sizeof *letters, by_count);
        count = limit;
        qsort(letters, count, sizeof *letters, by_code);
    }
    krs_status status = KRS_OK;
    for (size_t i = 0; status == KRS_OK && i < count; i++) {
        char text[4];
        uint32_t id;
        size_t bytes = krsi_utf8_put(text, letters[i].code);
        status = krsi_train_token(s->out, text, bytes, &id, s->err);
    }
    free(letters);
    return status;
}

/* ---- words as symbols ---- */

/* For each character of the alphabet in a word: its name with prefix and
 * suffix, into `name`. */
static bool
name_of(const struct state *s, const char *word, size_t bytes, size_t at,
        size_t used, krsi_buffer *name)
{
    const krsi_training *t = s->training;
    if (krsi_vocabulary_find(&s->out->vocabulary, word + at, used) ==
        KRSI_NO_ID)
        return false;
    name->count = 0;
    if (at > 0)
        krsi_buffer_add(name, t->prefix, strlen(t->prefix));
    krsi_buffer_add(name, word + at, used);
    if (at + used == bytes)
        krsi_buffer_add(name, t->suffix, strlen(t->suffix));
    return true;
}

static int
by_text(const void *a, const void *b)
{
    const char *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return strcmp(x, y);
}

/* Characters with an affix that occur, in the order of their strings. */
static krs_status
add_affixed(struct state *s)
{
    krsi_vocabulary found = {0};
    krsi_buffer name = {0};
    bool room = true;
    for (uint32_t i = 0; room && i < s->words->words.ids; i++) {
        size_t bytes, used;
        const char *word = krsi_vocabulary_text(&s->words->words, i, &bytes);
        for (size_t at = 0; room && at < bytes; at += used) {
            used = krsi_utf8_length(word[at]);
            if (name_of(s, word, bytes, at, used, &name) && name.count > used)
                room = krsi_vocabulary_add(&found, name.bytes, name.count,
                                           (uint32_t)found.ids) !=
                       KRSI_ADD_NO_MEMORY;
            room = room && !name.failed;
        }
    }
    const char **texts = malloc((found.ids + 1) * sizeof *texts);
    krs_status status = room && texts ? KRS_OK : no_memory(s);
    for (uint32_t i = 0; status == KRS_OK && i < found.ids; i++)
        texts[i] = krsi_vocabulary_text(&found, i, NULL);
    if (status == KRS_OK && found.ids > 0)
        qsort(texts, found.ids, sizeof *texts, by_text);
    for (uint32_t i = 0; status == KRS_OK && i < found.ids; i++) {
        uint32_t id;
        status =
            krsi_train_token(s->out, texts[i], strlen(texts[i]), &id, s->err);
    }
    free(texts);
    krsi_vocabulary_free(&found);
    krsi_buffer_free(&name);
    return status;
}

static krs_status
make_symbols(struct state *s)
{
    size_t count = s->words->words.ids;
    krsi_buffer name = {0};
    bool room = true;
    s->begins = malloc((count + 1) * sizeof *s->begins);
    s->counts = malloc((count + 1) * sizeof *s->counts);
    if (!s->begins || !s->counts)
        return no_memory(s);
    for (uint32_t i = 0; room && i < count; i++) {
        size_t bytes, used;
        const char *word = krsi_vocabulary_text(&s->words->words, i, &bytes);
        s->begins[i] = s->symbol_count;
        for (size_t at = 0; room && at < bytes; at += used) {
            used = krsi_utf8_length(word[at]);
            if (!name_of(s, word, bytes, at, used, &name))
                continue; /* not of the alphabet: dropped */
            room = !name.failed &&
                   krsi_room(&s->symbols, &s->symbol_capacity,
                             s->symbol_count + 1, sizeof *s->symbols);
            if (room)
                s->symbols[s->symbol_count++] = krsi_vocabulary_find(
                    &s->out->vocabulary, name.bytes, name.count);
        }
        s->counts[i] = (uint32_t)(s->symbol_count - s->begins[i]);
    }
    krsi_buffer_free(&name);
    return room ? KRS_OK : no_memory(s);
}

/* ---- pairs ---- */

static size_t
slot_of(const struct state *s, uint64_t key)
{
    size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (s->slot_count - 1);
    while (s->slots[i] != UINT32_MAX && s->pairs[s->slots[i]].key != key)
        i = (i + 1) & (s->slot_count - 1);
    return i;
}

static bool
grow_slots(struct state *s)
{
    size_t count = s->slot_count ? 2 * s->slot_count : 1024;
    uint32_t *slots = malloc(count * sizeof *slots);
    if (!slots)
        return false;
    memset(slots, 0xFF, count * sizeof *slots);
    free(s->slots);
    s->slots = slots;
    s->slot_count = count;
    for (size_t i = 0; i < s->pair_count; i++)
        slots[slot_of(s, s->pairs[i].key)] = (uint32_t)i;
    return true;
}

/* The pair of a key, made if it is new; NULL without memory. */
static struct pair *
pair_of(struct state *s, uint64_t key)
{
    if (2 * s->pair_count >= s->slot_count && !grow_slots(s))
        return NULL;
    size_t slot = slot_of(s, key);
    if (s->slots[slot] == UINT32_MAX) {
        if (!krsi_room(&s->pairs, &s->pair_capacity, s->pair_count + 1,
                       sizeof *s->pairs))
            return NULL;
        s->slots[slot] = (uint32_t)s->pair_count;
        s->pairs[s->pair_count++] = (struct pair){.key = key};
    }
    return &s->pairs[s->slots[slot]];
}

/* Change the count of a pair by that of a word, `sign` times. */
static bool
change(struct state *s, uint32_t left, uint32_t right, uint32_t word, int sign)
{
    struct pair *p = pair_of(s, (uint64_t)left << 32 | right);
    if (!p)
        return false;
    p->count += sign * (int64_t)s->words->counts[word];
    if (sign < 0)
        return true;
    if (p->word_count == 0 || p->words[p->word_count - 1] != word) {
        if (!krsi_room(&p->words, &p->word_capacity, p->word_count + 1,
                       sizeof *p->words))
            return false;
        p->words[p->word_count++] = word;
    }
    if (!krsi_room(&s->grown, &s->grown_capacity, s->grown_count + 1,
                   sizeof *s->grown))
        return false;
    s->grown[s->grown_count++] = (uint32_t)(p - s->pairs);
    return true;
}

static bool
before(const struct queued *a, const struct queued *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static bool
push(struct state *s, uint32_t pair)
{
    struct queued it = {s->pairs[pair].count, s->pairs[pair].key, pair};
    if (it.count <= 0)
        return true;
    if (!krsi_room(&s->heap, &s->heap_capacity, s->heap_count + 1,
                   sizeof *s->heap))
        return false;
    size_t i = s->heap_count++;
    for (; i > 0 && before(&it, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = it;
    return true;
}

static struct queued
pop(struct state *s)
{
    struct queued top = s->heap[0], last = s->heap[--s->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->heap_count)
            break;
        if (child + 1 < s->heap_count &&
            before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static int
by_number(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* The pairs that grew into the queue, each once. */
static bool
push_grown(struct state *s)
{
    if (s->grown_count > 0)
        qsort(s->grown, s->grown_count, sizeof *s->grown, by_number);
    for (size_t i = 0; i < s->grown_count; i++)
        if ((i == 0 || s->grown[i] != s->grown[i - 1]) && !push(s, s->grown[i]))
            return false;
    s->grown_count = 0;
    return true;
}

static krs_status
count_pairs(struct state *s)
{
    for (uint32_t i = 0; i < s->words->words.ids; i++)
        for (size_t k = s->begins[i]; k + 1 < s->begins[i] + s->counts[i]; k++)
            if (!change(s, s->symbols[k], s->symbols[k + 1], i, 1))
                return no_memory(s);
    return push_grown(s) ? KRS_OK : no_memory(s);
}

/* ---- merging ---- */

static bool
merge_word(struct state *s, uint32_t word, uint32_t left, uint32_t right,
           uint32_t whole)
{
    uint32_t *symbols = s->symbols + s->begins[word];
    uint32_t count = s->counts[word], out = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i + 1 == count || symbols[i] != left || symbols[i + 1] != right) {
            symbols[out++] = symbols[i];
            continue;
        }
        if (out > 0 && (!change(s, symbols[out - 1], left, word, -1) ||
                        !change(s, symbols[out - 1], whole, word, 1)))
            return false;
        if (i + 2 < count && (!change(s, right, symbols[i + 2], word, -1) ||
                              !change(s, whole, symbols[i + 2], word, 1)))
            return false;
        symbols[out++] = whole;
        i++;
    }
    s->counts[word] = out;
    return true;
}

static krs_status
merge(struct state *s, const struct queued *top)
{
    krsi_trained *out = s->out;
    uint32_t left = (uint32_t)(top->key >> 32), right = (uint32_t)top->key, id;
    size_t skip = strlen(s->training->prefix), left_bytes, right_bytes;
    const char *a = krsi_vocabulary_text(&out->vocabulary, left, &left_bytes);
    const char *b = krsi_vocabulary_text(&out->vocabulary, right, &right_bytes);
    krsi_buffer whole = {0};
    if (right_bytes < skip || memcmp(b, s->training->prefix, skip) != 0)
        skip = 0;
    krsi_buffer_add(&whole, a, left_bytes);
    krsi_buffer_add(&whole, b + skip, right_bytes - skip);
    krs_status status =
        whole.failed
            ? no_memory(s)
            : krsi_train_token(out, whole.bytes, whole.count, &id, s->err);
    krsi_buffer_free(&whole);
    if (status != KRS_OK)
        return status;
    if (!krsi_room(&out->merges, &out->merge_capacity, out->merge_count + 1,
                   sizeof *out->merges))
        return no_memory(s);
    out->merges[out->merge_count][0] = left;
    out->merges[out->merge_count++][1] = right;
    /* the list may move while it is used: take it out */
    struct pair taken = s->pairs[top->pair];
    s->pairs[top->pair] = (struct pair){.key = taken.key};
    bool room = true;
    for (size_t i = 0; room && i < taken.word_count; i++)
        room = merge_word(s, taken.words[i], left, right, id);
    free(taken.words);
    s->pairs[top->pair].count = 0;
    return room && push_grown(s) ? KRS_OK : no_memory(s);
}

static krs_status
run(struct state *s)
{
    const krs_tokenizer_training *o = s->training->options;
    int64_t least = o->min_frequency > 1 ? (int64_t)o->min_frequency : 1;
    KRS_TRY(krsi_train_special(s->training, s->out, s->err));
    KRS_TRY(add_alphabet(s));
    if (*s->training->prefix || *s->training->suffix)
        KRS_TRY(add_affixed(s));
    if (s->out->vocabulary.count > o->vocabulary)
        return krs_fail(s->err, KRS_E_RANGE,
                        "train: special tokens and characters are %zu tokens, "
                        "the vocabulary shall have %zu",
                        s->out->vocabulary.count, o->vocabulary);
    KRS_TRY(make_symbols(s));
    KRS_TRY(count_pairs(s));
    while (s->out->vocabulary.count < o->vocabulary && s->heap_count > 0) {
        struct queued top = pop(s);
        if (top.count != s->pairs[top.pair].count) {
            if (!push(s, top.pair))
                return no_memory(s);
            continue;
        }
        if (top.count < least)
            break;
        KRS_TRY(merge(s, &top));
    }
    return KRS_OK;
}

krs_status
krsi_train_merges(const krsi_training *training, const krsi_counted *words,
                  krsi_trained *out, krs_error *err)
{
    struct state s = {
        .training = training, .words = words, .out = out, .err = err};
    krs_status status = run(&s);
    for (size_t i = 0; i < s.pair_count; i++)
        free(s.pairs[i].words);
    free(s.pairs);
    free(s.slots);
    free(s.heap);
    free(s.grown);
    free(s.symbols);
    free(s.begins);
    free(s.counts);
    return status;
}
