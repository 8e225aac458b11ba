/* train_unigram.c -- the pieces and scores of a unigram language model.
 *
 * In: words with counts. Out: special tokens, then pieces with their
 * log-probabilities, the likeliest first. The method is sentencepiece's (Kudo
 * 2018, 3.2):
 *
 *   seeds    every character, and every run of 2 to 16 characters of a word
 *            that occurs twice, by occurrences times length, at most a million
 *   E-step   expected counts of all pieces over all ways to cut each word, by
 *            the forward and backward sums of its lattice
 *   M-step   log p = digamma(count) - digamma(sum of counts); pieces below half
 *            an occurrence go
 *   prune    each piece by what the likelihood of the words would lose if it
 *            were written by its next best pieces; a quarter goes at a time
 *
 * until 1.1 times the size that is wanted is left; characters stay throughout.
 * Equal losses and scores are ordered by the strings.
 */
#include "train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 16, MOST_SEEDS = 1000000, ROUNDS = 2 };

struct piece {
    const char *text; /* in seeds.text */
    uint32_t bytes;
    bool single;         /* one character: it stays */
    double score, value; /* log p; what it is ordered by */
};

struct arc {
    double score;
    uint32_t begin, piece;
};

struct state {
    const krsi_training *training;
    const krsi_counted *words;
    krsi_vocabulary seeds;
    struct piece *pieces;
    size_t count;
    krsi_trie trie;
    double *forward, *backward; /* by byte of a word */
    struct arc *best;
    double *counts, *uses; /* by piece */
    uint32_t *path;        /* pieces of the best way, last first */
    krs_error *err;
};

static krs_status
no_memory(const struct state *s)
{
    return krsi_no_memory(s->err, "training");
}

static int
by_value(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    size_t least = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->text, y->text, least);
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Psi(x) for x > 0 (Abramowitz & Stegun 6.3.5 and 6.3.18). */
static double
digamma(double x)
{
    double sum = 0;
    for (; x < 7; x++)
        sum -= 1 / x;
    double z = 1 / (x * x);
    return sum + log(x) - 0.5 / x -
           z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z / 240)));
}

/* log(exp(a) + exp(b)) */
static double
log_add(double a, double b)
{
    double more = a > b ? a : b, less = a > b ? b : a;
    return less == -INFINITY ? more : more + log1p(exp(less - more));
}

/* ---- seeds ---- */

static krs_status
count_seed(struct state *s, double **counts, size_t *capacity, const char *text,
           size_t bytes, double count)
{
    uint32_t id = krsi_vocabulary_find(&s->seeds, text, bytes);
    if (id == KRSI_NO_ID) {
        id = (uint32_t)s->seeds.ids;
        if (!krsi_room(counts, capacity, (size_t)id + 1, sizeof **counts) ||
            krsi_vocabulary_add(&s->seeds, text, bytes, id) != KRSI_ADDED)
            return no_memory(s);
        (*counts)[id] = 0;
    }
    (*counts)[id] += count;
    return KRS_OK;
}

static krs_status
count_seeds(struct state *s, double **counts, size_t *capacity)
{
    for (uint32_t i = 0; i < s->words->words.ids; i++) {
        size_t bytes;
        const char *word = krsi_vocabulary_text(&s->words->words, i, &bytes);
        for (size_t at = 0; at < bytes; at += krsi_utf8_length(word[at])) {
            size_t end = at;
            for (int n = 0; n < LONGEST && end < bytes; n++) {
                end += krsi_utf8_length(word[end]);
                KRS_TRY(count_seed(s, counts, capacity, word + at, end - at,
                                   (double)s->words->counts[i]));
            }
        }
    }
    return KRS_OK;
}

static krs_status
make_seeds(struct state *s)
{
    double *counts = NULL, sum = 0;
    size_t capacity = 0, singles = 0;
    krs_status status = count_seeds(s, &counts, &capacity);
    s->pieces = status == KRS_OK
                    ? malloc((s->seeds.ids + 1) * sizeof *s->pieces)
                    : NULL;
    if (!s->pieces) {
        free(counts);
        return status != KRS_OK ? status : no_memory(s);
    }
    for (uint32_t id = 0; id < s->seeds.ids; id++) {
        size_t bytes;
        const char *text = krsi_vocabulary_text(&s->seeds, id, &bytes);
        size_t length = krsi_utf8_count(text, bytes);
        if (length > 1 && counts[id] < 2)
            continue;
        struct piece it = {text, (uint32_t)bytes, length == 1, 0,
                           counts[id] * (double)length};
        if (it.single)
            it.value += 1e18; /* characters first: none is cut off */
        singles += it.single;
        s->pieces[s->count++] = it;
    }
    free(counts);
    qsort(s->pieces, s->count, sizeof *s->pieces, by_value);
    if (s->count > MOST_SEEDS + singles)
        s->count = MOST_SEEDS + singles;
    for (size_t i = 0; i < s->count; i++) {
        if (s->pieces[i].single)
            s->pieces[i].value -= 1e18;
        if (s->pieces[i].value < 1)
            s->pieces[i].value = 1;
        sum += s->pieces[i].value;
    }
    for (size_t i = 0; i < s->count; i++)
        s->pieces[i].score = log(s->pieces[i].value) - log(sum);
    return KRS_OK;
}

static krs_status
make_trie(struct state *s)
{
    krsi_trie_free(&s->trie);
    for (size_t i = 0; i < s->count; i++)
        if (!krsi_trie_add(&s->trie, s->pieces[i].text, s->pieces[i].bytes,
                           (uint32_t)i))
            return no_memory(s);
    return KRS_OK;
}

/* ---- expectation and maximisation ---- */

/* For each piece of word[0..bytes) that begins at `at`: piece, end. */
#define FOR_PIECES(s, word, bytes, at, piece, end)                          \
    for (uint32_t node = 0, end = (uint32_t)(at), piece = 0;                \
         end < (bytes) &&                                                   \
         (node = krsi_trie_step(&(s)->trie, node, (uint8_t)(word)[end])) != \
             0 &&                                                           \
         (++end, piece = (s)->trie.values[node], true);)                    \
        if (piece != KRSI_NO_ID)

static void
expect(struct state *s, const char *word, size_t bytes, double weight)
{
    double *a = s->forward, *b = s->backward;
    for (size_t i = 0; i <= bytes; i++)
        a[i] = b[i] = -INFINITY;
    a[0] = b[bytes] = 0;
    for (size_t at = 0; at < bytes; at += krsi_utf8_length(word[at]))
        FOR_PIECES(s, word, bytes, at, piece, end)
        {
            a[end] = log_add(a[end], a[at] + s->pieces[piece].score);
        }
    for (size_t at = bytes; at-- > 0;) {
        if (krsi_is_continuation(word[at]))
            continue;
        FOR_PIECES(s, word, bytes, at, piece, end)
        {
            b[at] = log_add(b[at], b[end] + s->pieces[piece].score);
        }
    }
    for (size_t at = 0; at < bytes; at += krsi_utf8_length(word[at]))
        FOR_PIECES(s, word, bytes, at, piece, end)
        {
            s->counts[piece] += weight * exp(a[at] + s->pieces[piece].score +
                                             b[end] - a[bytes]);
        }
}

static krs_status
improve(struct state *s)
{
    size_t kept = 0;
    double sum = 0;
    KRS_TRY(make_trie(s));
    memset(s->counts, 0, s->count * sizeof *s->counts);
    for (uint32_t i = 0; i < s->words->words.ids; i++) {
        size_t bytes;
        const char *word = krsi_vocabulary_text(&s->words->words, i, &bytes);
        expect(s, word, bytes, (double)s->words->counts[i]);
    }
    for (size_t i = 0; i < s->count; i++) {
        double count = s->counts[i];
        if (count < 0.5 && !s->pieces[i].single)
            continue;
        s->pieces[kept] = s->pieces[i];
        s->pieces[kept++].value = count < 0.5 ? 0.5 : count;
        sum += count < 0.5 ? 0.5 : count;
    }
    s->count = kept;
    for (size_t i = 0; i < kept; i++)
        s->pieces[i].score = digamma(s->pieces[i].value) - digamma(sum);
    return KRS_OK;
}

/* ---- pruning ---- */

/* The best way to cut a word into pieces, without piece `not`, into s->path;
 * how many, 0 if there is none. */
static size_t
best_path(struct state *s, const char *word, size_t bytes, uint32_t not,
          double *score)
{
    struct arc *best = s->best;
    size_t count = 0;
    for (size_t i = 0; i <= bytes; i++)
        best[i] = (struct arc){-INFINITY, 0, KRSI_NO_ID};
    best[0].score = 0;
    for (size_t at = 0; at < bytes; at += krsi_utf8_length(word[at]))
        FOR_PIECES(s, word, bytes, at, piece, end)
        {
            double sum = best[at].score + s->pieces[piece].score;
            if (piece != not &&sum > best[end].score)
                best[end] = (struct arc){sum, (uint32_t)at, piece};
        }
    *score = best[bytes].score;
    if (*score == -INFINITY)
        return 0;
    for (size_t end = bytes; end > 0; end = best[end].begin)
        s->path[count++] = best[end].piece;
    return count;
}

/* Uses of each piece in the best ways: s->counts; words that have it: s->uses.
 */
static double
count_uses(struct state *s)
{
    double sum = 0, score;
    memset(s->counts, 0, s->count * sizeof *s->counts);
    memset(s->uses, 0, s->count * sizeof *s->uses);
    for (uint32_t i = 0; i < s->words->words.ids; i++) {
        size_t bytes;
        const char *word = krsi_vocabulary_text(&s->words->words, i, &bytes);
        double weight = (double)s->words->counts[i];
        size_t count = best_path(s, word, bytes, KRSI_NO_ID, &score);
        for (size_t k = 0; k < count; k++) {
            bool first = true;
            for (size_t j = 0; j < k && first; j++)
                first = s->path[j] != s->path[k];
            s->counts[s->path[k]] += weight;
            if (first)
                s->uses[s->path[k]] += weight;
        }
        sum += weight;
    }
    return sum;
}

/* What the likelihood loses without piece i; -INFINITY: nothing needs it. */
static double
loss_of(struct state *s, size_t i, double uses, double words)
{
    const struct piece *it = &s->pieces[i];
    double score;
    size_t count = best_path(s, it->text, it->bytes, (uint32_t)i, &score);
    if (count == 0)
        return INFINITY;
    if (s->counts[i] == 0 || score > it->score)
        return -INFINITY;
    double before = log(s->counts[i]) - log(uses);
    double after =
        -(double)count * log(uses + s->counts[i] * ((double)count - 1));
    for (size_t k = 0; k < count; k++)
        after += log(s->counts[s->path[k]] + s->counts[i]);
    return s->uses[i] / words * (before - after);
}

static krs_status
prune(struct state *s, size_t wanted)
{
    double uses = 0;
    size_t kept = 0;
    KRS_TRY(make_trie(s));
    double words = count_uses(s);
    for (size_t i = 0; i < s->count; i++)
        uses += s->counts[i];
    for (size_t i = 0; i < s->count; i++)
        s->pieces[i].value =
            s->pieces[i].single ? INFINITY : loss_of(s, i, uses, words);
    size_t target = (size_t)(0.75 * (double)s->count);
    if (target < wanted)
        target = wanted;
    qsort(s->pieces, s->count, sizeof *s->pieces, by_value);
    while (kept < s->count && kept < target &&
           s->pieces[kept].value != -INFINITY)
        kept++;
    while (kept < s->count && s->pieces[kept].single)
        kept++;
    s->count = kept;
    return KRS_OK;
}

/* ---- the vocabulary ---- */

static krs_status
finish(struct state *s, size_t wanted, krsi_trained *out)
{
    size_t singles = 0, others;
    for (size_t i = 0; i < s->count; i++) {
        singles += s->pieces[i].single;
        s->pieces[i].value = s->pieces[i].score;
    }
    others = wanted - singles;
    qsort(s->pieces, s->count, sizeof *s->pieces, by_value);
    KRS_TRY(krsi_train_special(s->training, out, s->err));
    size_t special = out->vocabulary.ids;
    if (!krsi_room(&out->scores, &out->score_capacity, special + s->count + 1,
                   sizeof *out->scores))
        return no_memory(s);
    for (size_t i = 0; i < special; i++)
        out->scores[i] = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct piece *it = &s->pieces[i];
        uint32_t id;
        if (!it->single && others == 0)
            continue;
        others -= !it->single;
        KRS_TRY(krsi_train_token(out, it->text, it->bytes, &id, s->err));
        out->scores[id] = it->score;
    }
    return KRS_OK;
}

static krs_status
run(struct state *s, krsi_trained *out)
{
    size_t longest = 0, special = 0, singles = 0;
    for (uint32_t i = 0; i < s->words->words.ids; i++)
        if (s->words->words.tokens[i].bytes > longest)
            longest = s->words->words.tokens[i].bytes;
    KRS_TRY(make_seeds(s));
    while (s->training->special[special])
        special++;
    for (size_t i = 0; i < s->count; i++)
        singles += s->pieces[i].single;
    if (s->training->options->vocabulary < special + singles)
        return krs_fail(s->err, KRS_E_RANGE,
                        "train: special tokens and characters are %zu tokens, "
                        "the vocabulary shall have %zu",
                        special + singles, s->training->options->vocabulary);
    size_t wanted = s->training->options->vocabulary - special;
    s->forward = malloc((longest + 1) * sizeof *s->forward);
    s->backward = malloc((longest + 1) * sizeof *s->backward);
    s->best = malloc((longest + 1) * sizeof *s->best);
    s->path = malloc((longest + 1) * sizeof *s->path);
    s->counts = malloc((s->count + 1) * sizeof *s->counts);
    s->uses = malloc((s->count + 1) * sizeof *s->uses);
    if (!s->forward || !s->backward || !s->best || !s->path || !s->counts ||
        !s->uses)
        return no_memory(s);
    for (;;) {
        for (int i = 0; i < ROUNDS; i++)
            KRS_TRY(improve(s));
        if ((double)s->count <= 1.1 * (double)wanted)
            break;
        size_t before = s->count;
        KRS_TRY(prune(s, (size_t)(1.1 * (double)wanted)));
        if (s->count == before)
            break;
    }
    return finish(s, wanted, out);
}

krs_status
krsi_train_unigram(const krsi_training *training, const krsi_counted *words,
                   krsi_trained *out, krs_error *err)
{
    struct state s = {.training = training, .words = words, .err = err};
    krs_status status = run(&s, out);
    krsi_vocabulary_free(&s.seeds);
    krsi_trie_free(&s.trie);
    free(s.pieces);
    free(s.forward);
    free(s.backward);
    free(s.best);
    free(s.path);
    free(s.counts);
    free(s.uses);
    return status;
}
