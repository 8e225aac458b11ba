/* generate.h -- text from a decoder-only model: what to do with logits, and
 * the loop around the model.
 *
 *     const krs_logits_rule rules[] = {{KRS_LOGITS_TEMPERATURE, 0.8},
 *                                      {KRS_LOGITS_TOP_P, 0.9}};
 *     krs_generate_options options = {
 *         .struct_size = sizeof options, .max_new_tokens = 100,
 *         .sample = true, .rules = rules, .rule_count = 2, .seed = 1};
 *     krs_decoder *decoder;
 *     KRS_TRY(krs_decoder_open(store, &model, NULL, &decoder, err));
 *     status = krs_generate(decoder, prompt, 12, NULL, &options, ids, &made,
 *                           err);
 *     krs_decoder_close(decoder);
 */
#ifndef KRS_GENERATE_H
#define KRS_GENERATE_H

#include <krs/causal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- logits ---- */

/* The rules that change logits before a token is chosen: NAME, name, least
 * value (excluded if the last column says so), greatest value. p is the
 * softmax of the logits as the rule finds them; "removed" means -inf.
 * At least one token stays, but for no_repeat_ngram_size.
 *
 *   repetition_penalty  logits of ids in the history: times the value if
 *                       negative, else divided by it (Keskar et al. 2019)
 *   no_repeat_ngram_size  ids that would end an n-gram the history has already
 *                       are removed
 *   temperature         logits / value
 *   top_k               below the k-th largest removed; ties with it stay
 *   top_p               least likely ids removed while their p together are
 *                       at most 1 - value (Holtzman et al. 2020)
 *   min_p               p < value * max p removed (Nguyen et al. 2024)
 *   typical_p           only the ids whose -ln p is nearest to the entropy
 *                       stay, until their p reach the value (Meister et al.
 *                       2022)
 *   epsilon_cutoff      p < value removed (Hewitt et al. 2022) */
#define KRS_LOGITS_RULE_LIST(X)                                   \
    X(REPETITION_PENALTY, repetition_penalty, 0.0, 1e6, EXCLUDED) \
    X(NO_REPEAT_NGRAM, no_repeat_ngram_size, 1.0, 1e6, INCLUDED)  \
    X(TEMPERATURE, temperature, 0.0, 1e6, EXCLUDED)               \
    X(TOP_K, top_k, 1.0, 9e15, INCLUDED)                          \
    X(TOP_P, top_p, 0.0, 1.0, EXCLUDED)                           \
    X(MIN_P, min_p, 0.0, 1.0, INCLUDED)                           \
    X(TYPICAL_P, typical_p, 0.0, 1.0, EXCLUDED)                   \
    X(EPSILON_CUTOFF, epsilon_cutoff, 0.0, 1.0, INCLUDED)

typedef enum krs_logits_kind {
#define KRS_LOGITS_ENUM(NAME, name, least, most, end) KRS_LOGITS_##NAME,
    KRS_LOGITS_RULE_LIST(KRS_LOGITS_ENUM)
#undef KRS_LOGITS_ENUM
        KRS_LOGITS_KINDS
} krs_logits_kind;

typedef struct krs_logits_rule {
    krs_logits_kind kind;
    double value;
} krs_logits_rule;

/* "top_k"; "?" outside the list. False if there is none of that name. */
KRS_API const char *krs_logits_name(krs_logits_kind kind);
KRS_API bool krs_logits_parse(const char *name, krs_logits_kind *out);

/* krs_logits_apply(rules, count, logits, vocab, history, length, err) -- apply
 * the rules in order, in place.
 *
 *   logits   f64 [vocab]; -inf: removed before
 *   history  ids so far, each in [0, vocab)
 *
 * Errors     RANGE for a value outside its bounds, an id outside the
 *            vocabulary, a NaN or +inf among the logits; MEMORY.
 * Cost       at most a sort of the vocabulary a rule. Thread-safe. */
KRS_API krs_status krs_logits_apply(const krs_logits_rule *rules, size_t count,
                                    double *logits, int64_t vocab,
                                    const int64_t *history, size_t length,
                                    krs_error *err);

/* krs_logits_argmax(logits, vocab) -- the first of the largest.
 * krs_logits_softmax(logits, vocab, p) -- p may be logits.
 * krs_logits_draw(logits, vocab, u) -- the id in which u in [0, 1) falls when
 * the ids lie side by side as wide as their p. A removed id never comes out. */
KRS_API int64_t krs_logits_argmax(const double *logits, int64_t vocab);
KRS_API void krs_logits_softmax(const double *logits, int64_t vocab, double *p);
KRS_API int64_t krs_logits_draw(const double *logits, int64_t vocab, double u);

/* ---- decoding: a model with its key/value cache ---- */

/* Two programs, for many ids at once and for one, on one store and one cache.
 * One thread at a time. */
typedef struct krs_decoder krs_decoder;

typedef struct krs_decoder_options {
    size_t struct_size;   /* sizeof (krs_decoder_options) */
    int64_t batch;        /* rows; 0 means 1 */
    int64_t cache_length; /* ids a row, prompt included; 0: the model's
                             max_position_embeddings */
    int64_t chunk;        /* ids of a prompt taken at once; 0: 64, less for a
                             shorter cache */
    bool padded;          /* prompts may begin with padding */
    bool reorders;        /* krs_decoder_reorder may be called */
} krs_decoder_options;

/* krs_decoder_open(store, model, options, &decoder, err) -- options NULL: all
 * zero. The store must hold the parameters and outlive the decoder; model and
 * its config too. The cache is states of the store named after its size, which
 * the next decoder of that size uses again. */
KRS_API krs_status krs_decoder_open(krs_store *store,
                                    const krs_causal_model *model,
                                    const krs_decoder_options *options,
                                    krs_decoder **out, krs_error *err);
KRS_API void krs_decoder_close(krs_decoder *decoder);

/* krs_decoder_prompt(decoder, ids, length, padding, err) -- forget all and read
 * prompts: ids i64 [batch, length], the first padding[row] of a row being
 * padding (NULL: none).
 * krs_decoder_step(decoder, ids, err) -- one more id a row, i64 [batch].
 * krs_decoder_logits(decoder) -- after either: f32 [batch, vocab] for the next
 * id; borrowed, valid until the next call.
 * Errors     RANGE: no room in the cache, padding that leaves no id. */
KRS_API krs_status krs_decoder_prompt(krs_decoder *decoder, const int64_t *ids,
                                      int64_t length, const int64_t *padding,
                                      krs_error *err);
KRS_API krs_status krs_decoder_step(krs_decoder *decoder, const int64_t *ids,
                                    krs_error *err);
KRS_API const float *krs_decoder_logits(const krs_decoder *decoder);
/* krs_decoder_reorder(decoder, rows, err) -- row b goes on from what row
 * rows[b] has read; a row may be taken more than once. rows: i64 [batch]. The
 * logits stay as they are until the next step. What an encoder has read
 * (krs_encdec_read) stays too: rows of one source may change places.
 * Errors     ARGUMENT without .reorders or before a prompt, RANGE.
 * Cost       the live part of the cache is copied, unless all rows stay. */
KRS_API krs_status krs_decoder_reorder(krs_decoder *decoder,
                                       const int64_t *rows, krs_error *err);
/* rows; size of the vocabulary; ids a row so far, and how many there may be */
KRS_API int64_t krs_decoder_batch(const krs_decoder *decoder);
KRS_API int64_t krs_decoder_vocab(const krs_decoder *decoder);
KRS_API int64_t krs_decoder_length(const krs_decoder *decoder);
KRS_API int64_t krs_decoder_capacity(const krs_decoder *decoder);
/* prompts may begin with padding; rows may change places */
KRS_API bool krs_decoder_padded(const krs_decoder *decoder);
KRS_API bool krs_decoder_reorders(const krs_decoder *decoder);

/* ---- the loop ---- */

typedef struct krs_generate_options {
    size_t struct_size; /* sizeof (krs_generate_options) */
    int64_t max_new_tokens;
    const int64_t *stop_ids; /* a row ends after one of them */
    size_t stop_count;
    int64_t pad_id; /* what a row gets after its end */
    int64_t keep;   /* when the cache is full, go on from the last `keep` ids
                       of each row; 0: refuse what does not fit */

    bool sample;                  /* false: the likeliest id (greedy) */
    const krs_logits_rule *rules; /* applied in order, greedy or not */
    size_t rule_count;
    uint64_t seed; /* the draw of token i of row r depends on (seed, i, r) */

    /* Called for each id as it is chosen, rows in order; false stops all
     * with what there is, which is no error. */
    bool (*token)(void *user, int64_t row, int64_t id);
    void *user;
} krs_generate_options;

/* krs_is_stop(stop_ids, count, id) -- is id one of them? */
KRS_API bool krs_is_stop(const int64_t *stop_ids, size_t count, int64_t id);

/* krs_generate(decoder, ids, length, padding, options, out, &made, err) --
 * prompts as for krs_decoder_prompt; out i64 [batch, max_new_tokens] gets the
 * new ids. made: columns of out that were written; later ones hold pad_id.
 *
 * Ends when every row has ended, at max_new_tokens, or when the callback says
 * so.
 * Errors     RANGE if prompt and new ids exceed the cache (and keep is 0), a
 *            rule's value is out of bounds, a logit is NaN, or no id is left
 *            to choose. */
KRS_API krs_status krs_generate(krs_decoder *decoder, const int64_t *ids,
                                int64_t length, const int64_t *padding,
                                const krs_generate_options *options,
                                int64_t *out, int64_t *out_made,
                                krs_error *err);

/* ---- beams ---- */

typedef struct krs_beam_options {
    size_t struct_size; /* sizeof (krs_beam_options) */
    int64_t beams;      /* texts followed at a time, of each prompt */
    int64_t max_new_tokens;
    const int64_t *stop_ids; /* a text ends with one of them */
    size_t stop_count;
    int64_t pad_id;        /* what a text gets after its end */
    double length_penalty; /* a below: above 0 prefers long texts */
    bool early_stopping;   /* end with the first `beams` texts that ended */

    const krs_logits_rule *rules; /* applied in order to log-probabilities */
    size_t rule_count;

    /* Called after each token, with how many there are; false ends the search
     * with what there is, which is no error. */
    bool (*step)(void *user, int64_t made);
    void *user;
} krs_beam_options;

/* krs_generate_beams(decoder, ids, length, padding, options, out, scores,
 *                    &made, err) -- the likeliest continuations that a beam
 * search finds, best first.
 *
 *      score(y) = sum_t ln p(y_t | y_<t, prompt) / n^a
 *
 * with n ids in y, the one that ends it included, and the length penalty a. At
 * each turn the 2 `beams` likeliest of all continuations by one id are looked
 * at: those that end count as texts if they are among the first `beams`, and
 * the first `beams` others go on. A prompt is done when it has `beams` texts and
 * its best unfinished one, at its present length, has no better score than the
 * worst of them; at max_new_tokens unfinished ones count as texts.
 *
 *   decoder  opened with .reorders and a batch of prompts * beams
 *   ids      i64 [prompts, length]; padding i64 [prompts] or NULL
 *   out      i64 [prompts, beams, max_new_tokens]; scores f64 [prompts, beams],
 *            -inf where the rules left fewer texts
 *   made     columns of out that were written; later ones hold pad_id
 *
 * Errors     ARGUMENT, RANGE as for krs_generate; RANGE if a prompt is left
 *            without any text.
 * Cost       a step of prompts * beams rows an id, and the copy of their cache.
 * Source     Graves 2012, "Sequence transduction with recurrent neural
 *            networks", section 2.5; the penalty n^a and the end of the search
 *            as in Hugging Face transformers. */
KRS_API krs_status krs_generate_beams(krs_decoder *decoder, const int64_t *ids,
                                      int64_t length, const int64_t *padding,
                                      const krs_beam_options *options,
                                      int64_t *out, double *out_scores,
                                      int64_t *out_made, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
