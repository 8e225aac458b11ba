/* beam.c -- the search for the likeliest continuations (generate.h).
 *
 * In: a decoder whose rows are the beams of each prompt, side by side. Out: the
 * texts that were found, best first, with their scores.
 *
 * A turn ranks all continuations of a prompt's beams by one id, keeps what ends
 * among its texts and lets the best others go on: row b then follows beam
 * from[b], so cache and history change places. A beam that is not there has the
 * score -inf: at first all but one of a prompt, since they would be the same.
 */
#include <krs/generate.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A continuation of a beam by one id. */
struct choice {
    double sum; /* of log-probabilities */
    int64_t beam, id;
};

/* A text that ended. */
struct text {
    double score;
    int64_t length, *ids;
};

struct search {
    krs_decoder *decoder;
    const krs_beam_options *options;
    int64_t prompts, beams, rows, vocab, most;
    int64_t room;           /* ids of prompt and continuation */
    int64_t *history;       /* [rows, room]: prompt without padding, new ids */
    int64_t *moved;         /* [rows, room] */
    int64_t *prompt;        /* [prompts]: ids of it in the history */
    double *sum;            /* [rows], of log-probabilities; -inf: no beam */
    double *logits;         /* [vocab] */
    int64_t *next, *from;   /* [rows]: id, and the row that it continues */
    struct choice *choices; /* [2 beams], best first */
    int64_t choice_count;
    struct text *texts;  /* [prompts, beams], best first */
    int64_t *text_ids;   /* [prompts * beams, most] */
    int64_t *text_count; /* [prompts] */
    bool *done;          /* [prompts] */
    bool stopped;        /* by the callback */
};

/* ---- ranking ---- */

/* Among the best so far; of equal ones the first that was offered. */
static void
offer(struct search *s, struct choice c)
{
    int64_t most = 2 * s->beams, i = s->choice_count;
    if (i == most && c.sum <= s->choices[most - 1].sum)
        return;
    if (i < most)
        s->choice_count++;
    else
        i--;
    for (; i > 0 && s->choices[i - 1].sum < c.sum; i--)
        s->choices[i] = s->choices[i - 1];
    s->choices[i] = c;
}

/* ln softmax of the row's logits, in place, and the rules on it */
static krs_status
log_probabilities(struct search *s, int64_t row, int64_t made, krs_error *err)
{
    const krs_beam_options *o = s->options;
    const float *logits = krs_decoder_logits(s->decoder) + row * s->vocab;
    double largest = -INFINITY, sum = 0;
    for (int64_t v = 0; v < s->vocab; v++)
        largest = fmax(largest, (double)logits[v]);
    for (int64_t v = 0; v < s->vocab; v++)
        sum += exp((double)logits[v] - largest);
    double all = log(sum);
    for (int64_t v = 0; v < s->vocab; v++)
        s->logits[v] = (double)logits[v] - largest - all;
    int64_t length = s->prompt[row / s->beams] + made;
    return krs_logits_apply(o->rules, o->rule_count, s->logits, s->vocab,
                            s->history + row * s->room, (size_t)length, err);
}

static krs_status
rank(struct search *s, int64_t prompt, int64_t made, krs_error *err)
{
    s->choice_count = 0;
    for (int64_t b = 0; b < s->beams; b++) {
        int64_t row = prompt * s->beams + b;
        if (isinf(s->sum[row]))
            continue;
        KRS_TRY(log_probabilities(s, row, made, err));
        for (int64_t v = 0; v < s->vocab; v++)
            if (!isinf(s->logits[v]))
                offer(s, (struct choice){s->sum[row] + s->logits[v], row, v});
    }
    return KRS_OK;
}

/* ---- texts ---- */

/* The continuation of a row's `made` new ids by one, among its prompt's texts if
 * it is one of the best. */
static void
keep_text(struct search *s, const struct choice *c, int64_t made)
{
    int64_t prompt = c->beam / s->beams, n = s->text_count[prompt];
    struct text *list = s->texts + prompt * s->beams;
    double score = c->sum / pow((double)(made + 1), s->options->length_penalty);
    if (n == s->beams && score <= list[n - 1].score)
        return;
    if (n < s->beams)
        s->text_count[prompt]++;
    else
        n--;
    int64_t *ids = list[n].ids; /* of the one that goes, or free */
    for (; n > 0 && list[n - 1].score < score; n--)
        list[n] = list[n - 1];
    memcpy(ids, s->history + c->beam * s->room + s->prompt[prompt],
           (size_t)made * sizeof *ids);
    ids[made] = c->id;
    list[n] = (struct text){score, made + 1, ids};
}

/* No unfinished text can push one out any more. */
static bool
is_done(const struct search *s, int64_t prompt, int64_t made)
{
    const krs_beam_options *o = s->options;
    const double *sum = s->sum + prompt * s->beams;
    if (isinf(sum[0])) /* the best of them */
        return true;
    if (s->text_count[prompt] < s->beams)
        return false;
    return o->early_stopping ||
           sum[0] / pow((double)made, o->length_penalty) <=
               s->texts[prompt * s->beams + s->beams - 1].score;
}

/* ---- a turn ---- */

/* New id number `made` of a prompt's beams. */
static krs_status
advance_prompt(struct search *s, int64_t prompt, int64_t made, krs_error *err)
{
    int64_t row = prompt * s->beams, end = row + s->beams;
    KRS_TRY(rank(s, prompt, made, err));
    for (int64_t i = 0; i < s->choice_count && row < end; i++) {
        const struct choice *c = &s->choices[i];
        bool ends =
            krs_is_stop(s->options->stop_ids, s->options->stop_count, c->id);
        if (ends ? i < s->beams : made + 1 == s->most)
            keep_text(s, c, made);
        if (ends)
            continue;
        s->from[row] = c->beam;
        s->next[row] = c->id;
        s->sum[row++] = c->sum;
    }
    for (; row < end; row++)
        s->sum[row] = -INFINITY;
    s->done[prompt] = is_done(s, prompt, made + 1);
    return KRS_OK;
}

/* Rows follow the beams they continue. */
static void
move_history(struct search *s, int64_t made)
{
    for (int64_t row = 0; row < s->rows; row++) {
        int64_t length = s->prompt[row / s->beams] + made;
        memcpy(s->moved + row * s->room, s->history + s->from[row] * s->room,
               (size_t)length * sizeof *s->moved);
        s->moved[row * s->room + length] = s->next[row];
    }
    int64_t *history = s->history;
    s->history = s->moved;
    s->moved = history;
}

static krs_status
turn(struct search *s, int64_t made, bool *running, krs_error *err)
{
    const krs_beam_options *o = s->options;
    *running = false;
    for (int64_t row = 0; row < s->rows; row++) {
        s->from[row] = row;
        s->next[row] = 0;
    }
    for (int64_t p = 0; p < s->prompts; p++) {
        if (!s->done[p])
            KRS_TRY(advance_prompt(s, p, made, err));
        *running |= !s->done[p];
    }
    move_history(s, made);
    s->stopped = o->step != NULL && !o->step(o->user, made + 1);
    return KRS_OK;
}

/* What was not finished when the callback ended the search. */
static void
keep_unfinished(struct search *s, int64_t made)
{
    for (int64_t row = 0; row < s->rows; row++) {
        int64_t last = s->prompt[row / s->beams] + made - 1;
        struct choice c = {s->sum[row], row, s->history[row * s->room + last]};
        if (!s->done[row / s->beams] && !isinf(c.sum))
            keep_text(s, &c, made - 1);
    }
}

static krs_status
run(struct search *s, krs_error *err)
{
    bool running = true;
    for (int64_t made = 0; running && made < s->most; made++) {
        KRS_TRY(turn(s, made, &running, err));
        if (s->stopped) {
            if (made + 1 < s->most)
                keep_unfinished(s, made + 1);
            return KRS_OK;
        }
        if (running && made + 1 < s->most) {
            KRS_TRY(krs_decoder_reorder(s->decoder, s->from, err));
            KRS_TRY(krs_decoder_step(s->decoder, s->next, err));
        }
    }
    return KRS_OK;
}

/* ---- begin and end ---- */

static krs_status
check_options(const krs_decoder *d, const krs_beam_options *o, int64_t length,
              krs_error *err)
{
    if (o->struct_size != sizeof *o)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "beams: options of another version (struct_size)");
    int64_t capacity = krs_decoder_capacity(d), batch = krs_decoder_batch(d);
    if (!krs_decoder_reorders(d))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "beams: the decoder was opened without .reorders");
    if (o->beams < 1 || batch % o->beams != 0)
        return krs_fail(err, KRS_E_RANGE,
                        "beams: %lld of them do not divide the %lld rows of "
                        "the decoder",
                        (long long)o->beams, (long long)batch);
    if (length < 1 || o->max_new_tokens < 1 || length > capacity ||
        o->max_new_tokens > capacity - length)
        return krs_fail(err, KRS_E_RANGE,
                        "beams: %lld new ids after a prompt of %lld do not fit "
                        "the %lld places of the cache",
                        (long long)o->max_new_tokens, (long long)length,
                        (long long)capacity);
    if (!isfinite(o->length_penalty))
        return krs_fail(err, KRS_E_RANGE, "beams: length_penalty %g",
                        o->length_penalty);
    return KRS_OK;
}

static krs_status
make_room(struct search *s, krs_error *err)
{
    size_t rows = (size_t)s->rows, prompts = (size_t)s->prompts, all;
    if (!__builtin_mul_overflow(rows, (size_t)s->room, &all)) {
        s->history = calloc(all, sizeof *s->history);
        s->moved = calloc(all, sizeof *s->moved);
        s->text_ids = calloc(all, sizeof *s->text_ids);
        s->texts = calloc(rows, sizeof *s->texts);
        s->choices = calloc(2 * (size_t)s->beams, sizeof *s->choices);
        s->sum = calloc(rows, sizeof *s->sum);
        s->next = calloc(rows, sizeof *s->next);
        s->from = calloc(rows, sizeof *s->from);
        s->logits = calloc((size_t)s->vocab, sizeof *s->logits);
        s->prompt = calloc(prompts, sizeof *s->prompt);
        s->text_count = calloc(prompts, sizeof *s->text_count);
        s->done = calloc(prompts, sizeof *s->done);
    }
    if (s->history && s->moved && s->text_ids && s->texts && s->choices &&
        s->sum && s->next && s->from && s->logits && s->prompt &&
        s->text_count && s->done)
        return KRS_OK;
    return krs_fail(err, KRS_E_MEMORY,
                    "beams: no memory for %lld rows of %lld ids",
                    (long long)s->rows, (long long)s->room);
}

static void
free_room(struct search *s)
{
    free(s->done);
    free(s->text_count);
    free(s->prompt);
    free(s->logits);
    free(s->from);
    free(s->next);
    free(s->sum);
    free(s->choices);
    free(s->texts);
    free(s->text_ids);
    free(s->moved);
    free(s->history);
}

/* Every beam reads its prompt; one of them goes on. */
static krs_status
begin(struct search *s, const int64_t *ids, int64_t length,
      const int64_t *padding, krs_error *err)
{
    KRS_TRY(make_room(s, err));
    int64_t *all = s->moved; /* [rows, length] */
    int64_t *all_padding = padding != NULL ? s->next : NULL;
    for (int64_t row = 0; row < s->rows; row++) {
        int64_t p = row / s->beams, skip = padding != NULL ? padding[p] : 0;
        memcpy(all + row * length, ids + p * length,
               (size_t)length * sizeof *all);
        if (padding != NULL)
            all_padding[row] = skip;
        s->sum[row] = row % s->beams == 0 ? 0 : -INFINITY;
        s->texts[row].ids = s->text_ids + row * s->most;
        s->prompt[p] = length - skip;
    }
    KRS_TRY(krs_decoder_prompt(s->decoder, all, length, all_padding, err));
    for (int64_t row = 0; row < s->rows; row++) {
        int64_t p = row / s->beams;
        memcpy(s->history + row * s->room,
               ids + (p + 1) * length - s->prompt[p],
               (size_t)s->prompt[p] * sizeof *ids);
    }
    return KRS_OK;
}

static krs_status
give_texts(const struct search *s, int64_t *out, double *scores, int64_t *made,
           krs_error *err)
{
    for (int64_t row = 0; row < s->rows; row++) {
        int64_t p = row / s->beams, b = row % s->beams;
        const struct text *t = &s->texts[row];
        scores[row] = -INFINITY;
        if (b >= s->text_count[p])
            continue;
        memcpy(out + row * s->most, t->ids, (size_t)t->length * sizeof *out);
        scores[row] = t->score;
        *made = t->length > *made ? t->length : *made;
    }
    for (int64_t p = 0; p < s->prompts; p++)
        if (s->text_count[p] == 0)
            return krs_fail(err, KRS_E_RANGE,
                            "beams: prompt %lld: the rules leave no text",
                            (long long)p);
    return KRS_OK;
}

krs_status
krs_generate_beams(krs_decoder *decoder, const int64_t *ids, int64_t length,
                   const int64_t *padding, const krs_beam_options *options,
                   int64_t *out, double *out_scores, int64_t *out_made,
                   krs_error *err)
{
    *out_made = 0;
    KRS_TRY(check_options(decoder, options, length, err));
    int64_t rows = krs_decoder_batch(decoder);
    struct search s = {.decoder = decoder,
                       .options = options,
                       .prompts = rows / options->beams,
                       .beams = options->beams,
                       .rows = rows,
                       .vocab = krs_decoder_vocab(decoder),
                       .most = options->max_new_tokens,
                       .room = length + options->max_new_tokens};
    for (int64_t i = 0; i < rows * s.most; i++)
        out[i] = options->pad_id;
    krs_status status = begin(&s, ids, length, padding, err);
    if (status == KRS_OK)
        status = run(&s, err);
    if (status == KRS_OK)
        status = give_texts(&s, out, out_scores, out_made, err);
    free_room(&s);
    return status;
}
