/* generation.c -- the loop that continues prompts (generate.h).
 *
 * In: a decoder, prompts, rules. Out: new ids a row, each handed to the
 * callback as it is chosen.
 *
 * A row that has ended goes on in step with the others on id 0, and what comes
 * of it is not looked at. The draw for new id i of row r takes 53 bits of the
 * random stream r at step i: it does not depend on the other rows, on the
 * prompt, or on how it was cut into chunks.
 *
 * When the cache is full, the last `keep` ids of each row become the prompt of
 * a fresh start, so that a text may be longer than the model's context.
 */
#include <krs/generate.h>
#include <krs/random.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct loop {
    krs_decoder *decoder;
    const krs_generate_options *options;
    int64_t batch, vocab, most;
    int64_t room;     /* ids of prompt and continuation */
    int64_t *history; /* [batch, room]: prompt without padding, new ids */
    int64_t *length;  /* [batch], of the history */
    int64_t *next;    /* [batch] */
    bool *ended;      /* [batch] */
    double *logits;   /* [vocab] */
    bool stopped;     /* by the callback */
};

static double
uniform(const krs_generate_options *o, int64_t i, int64_t row)
{
    uint64_t step = (uint64_t)i;
    uint32_t stream = (uint32_t)row;
    uint64_t high = krs_random_u32(o->seed, step, stream, 0) >> 5;
    uint64_t low = krs_random_u32(o->seed, step, stream, 1) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

static krs_status
choose(struct loop *l, int64_t i, int64_t row, int64_t *out, krs_error *err)
{
    const krs_generate_options *o = l->options;
    const float *logits = krs_decoder_logits(l->decoder) + row * l->vocab;
    for (int64_t v = 0; v < l->vocab; v++)
        l->logits[v] = (double)logits[v];
    KRS_TRY(krs_logits_apply(o->rules, o->rule_count, l->logits, l->vocab,
                             l->history + row * l->room, (size_t)l->length[row],
                             err));
    int64_t best = krs_logits_argmax(l->logits, l->vocab);
    if (isinf(l->logits[best]))
        return krs_fail(err, KRS_E_RANGE,
                        "generate: row %lld: the rules leave no id to choose",
                        (long long)row);
    *out = o->sample ? krs_logits_draw(l->logits, l->vocab, uniform(o, i, row))
                     : best;
    return KRS_OK;
}

bool
krs_is_stop(const int64_t *stop_ids, size_t count, int64_t id)
{
    for (size_t i = 0; i < count; i++)
        if (stop_ids[i] == id)
            return true;
    return false;
}

/* New id i of every row that goes on; *running says whether any still does. */
static krs_status
choose_all(struct loop *l, int64_t i, int64_t *out, bool *running,
           krs_error *err)
{
    const krs_generate_options *o = l->options;
    *running = false;
    for (int64_t row = 0; row < l->batch; row++) {
        l->next[row] = 0;
        if (l->ended[row])
            continue;
        KRS_TRY(choose(l, i, row, &l->next[row], err));
        int64_t id = l->next[row];
        out[row * l->most + i] = id;
        l->history[row * l->room + l->length[row]++] = id;
        l->ended[row] = krs_is_stop(o->stop_ids, o->stop_count, id);
        *running |= !l->ended[row];
        if (o->token != NULL && !o->token(o->user, row, id)) {
            l->stopped = true;
            return KRS_OK;
        }
    }
    return KRS_OK;
}

/* The last `keep` ids of each row, at the right of [batch, keep]. A row with
 * fewer begins with padding; if the decoder has none, only rows that have
 * ended can be shorter than the others, and those may begin with anything. */
static krs_status
start_again(struct loop *l, krs_error *err)
{
    int64_t keep = l->options->keep;
    int64_t *ids = calloc((size_t)(l->batch * keep), sizeof *ids);
    int64_t *padding = calloc((size_t)l->batch, sizeof *padding);
    krs_status status = KRS_OK;
    if (ids == NULL || padding == NULL)
        status = krs_fail(err, KRS_E_MEMORY, "generate: no memory for %lld ids",
                          (long long)(l->batch * keep));
    for (int64_t row = 0; status == KRS_OK && row < l->batch; row++) {
        int64_t length = l->length[row], count = length < keep ? length : keep;
        padding[row] = keep - count;
        memcpy(ids + row * keep + padding[row],
               l->history + row * l->room + length - count,
               (size_t)count * sizeof *ids);
    }
    if (status == KRS_OK)
        status = krs_decoder_prompt(
            l->decoder, ids, keep,
            krs_decoder_padded(l->decoder) ? padding : NULL, err);
    free(padding);
    free(ids);
    return status;
}

static krs_status
advance(struct loop *l, krs_error *err)
{
    if (krs_decoder_length(l->decoder) == krs_decoder_capacity(l->decoder))
        return start_again(l, err);
    return krs_decoder_step(l->decoder, l->next, err);
}

static krs_status
turn(struct loop *l, int64_t *out, int64_t *made, krs_error *err)
{
    for (int64_t i = 0; i < l->most; i++) {
        bool running;
        KRS_TRY(choose_all(l, i, out, &running, err));
        *made = i + 1;
        if (l->stopped || !running || i + 1 == l->most)
            break;
        KRS_TRY(advance(l, err));
    }
    return KRS_OK;
}

static void
remember_prompts(struct loop *l, const int64_t *ids, int64_t length,
                 const int64_t *padding)
{
    for (int64_t row = 0; row < l->batch; row++) {
        int64_t skip = padding != NULL ? padding[row] : 0;
        l->length[row] = length - skip;
        memcpy(l->history + row * l->room, ids + row * length + skip,
               (size_t)l->length[row] * sizeof *ids);
    }
}

static krs_status
begin(struct loop *l, const int64_t *ids, int64_t length,
      const int64_t *padding, krs_error *err)
{
    size_t batch = (size_t)l->batch, room = (size_t)l->room, all;
    if (!__builtin_mul_overflow(batch, room, &all)) {
        l->history = calloc(all, sizeof *l->history);
        l->length = calloc(batch, sizeof *l->length);
        l->next = calloc(batch, sizeof *l->next);
        l->ended = calloc(batch, sizeof *l->ended);
        l->logits = calloc((size_t)l->vocab, sizeof *l->logits);
    }
    if (l->history == NULL || l->length == NULL || l->next == NULL ||
        l->ended == NULL || l->logits == NULL)
        return krs_fail(err, KRS_E_MEMORY,
                        "generate: no memory for %lld rows of %zu ids",
                        (long long)l->batch, room);
    KRS_TRY(krs_decoder_prompt(l->decoder, ids, length, padding, err));
    remember_prompts(l, ids, length, padding);
    return KRS_OK;
}

static krs_status
check_options(const krs_decoder *d, const krs_generate_options *o,
              int64_t length, krs_error *err)
{
    if (o->struct_size != sizeof *o)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "generate: options of another version (struct_size)");
    int64_t capacity = krs_decoder_capacity(d), room = capacity - length;
    if (length < 1 || o->max_new_tokens < 0 ||
        o->max_new_tokens > INT64_MAX / 2 - length)
        return krs_fail(err, KRS_E_RANGE,
                        "generate: %lld new ids after a prompt of %lld",
                        (long long)o->max_new_tokens, (long long)length);
    if (o->keep < 0 || o->keep > capacity)
        return krs_fail(err, KRS_E_RANGE,
                        "generate: cannot keep %lld ids in a cache of %lld",
                        (long long)o->keep, (long long)capacity);
    if (o->keep == 0 && o->max_new_tokens > room)
        return krs_fail(err, KRS_E_RANGE,
                        "generate: %lld new ids after a prompt of %lld do not "
                        "fit the %lld places of the cache",
                        (long long)o->max_new_tokens, (long long)length,
                        (long long)capacity);
    return KRS_OK;
}

krs_status
krs_generate(krs_decoder *decoder, const int64_t *ids, int64_t length,
             const int64_t *padding, const krs_generate_options *options,
             int64_t *out, int64_t *out_made, krs_error *err)
{
    KRS_TRY(check_options(decoder, options, length, err));
    struct loop l = {.decoder = decoder,
                     .options = options,
                     .batch = krs_decoder_batch(decoder),
                     .vocab = krs_decoder_vocab(decoder),
                     .most = options->max_new_tokens,
                     .room = length + options->max_new_tokens};
    int64_t made = 0;
    for (int64_t i = 0; i < l.batch * l.most; i++)
        out[i] = options->pad_id;
    krs_status status = begin(&l, ids, length, padding, err);
    if (status == KRS_OK)
        status = turn(&l, out, &made, err);
    *out_made = made;
    free(l.logits);
    free(l.ended);
    free(l.next);
    free(l.length);
    free(l.history);
    return status;
}
