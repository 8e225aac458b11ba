/* decoder.c -- a decoder-only model with its key/value cache (generate.h).
 *
 * In: prompts, then one id a row at a time. Out: the logits for the next id.
 *
 * Two programs share one store, hence one cache: `chunk` takes C ids a row,
 * `single` one. Both are the model's forward pass at the slots
 * position .. position+T-1; the position is a runtime integer, so each is
 * prepared once. A prompt is read in chunks; the last one is filled up with
 * id 0, whose slots lie behind the text, where later calls write before they
 * read. Only the logits of the last id of the text are computed.
 *
 * Slots are rounded up to whole chunks, so that a filled-up chunk fits.
 *
 * Rows that change places do so a chunk of slots at a time, for the chunks that
 * hold text: `lift` gathers the chunk of each row into states of that size, and
 * `put` writes those into the cache, in place since it reads nothing else.
 */
#include <krs/generate.h>
#include <krs/ops.h>

#include <stdlib.h>
#include <string.h>

#define DEFAULT_CHUNK 64
#define LARGEST       ((int64_t)1 << 31) /* batch, cache: more is a mistake */

struct krs_decoder {
    int64_t batch, vocab;
    int64_t capacity; /* ids a row */
    int64_t slots;    /* of the cache, a multiple of chunk */
    int64_t chunk;
    int64_t length; /* ids a row so far */
    bool padded, reorders;
    krs_program *by_chunk, *by_one; /* by_one is by_chunk if chunk is 1 */
    krs_program *lift, *put;        /* with reorders */
    int64_t *ids;                   /* [batch, chunk] */
    float *logits;                  /* [batch, vocab] */
    bool *tokens;                   /* [batch, slots]: not padding */
    size_t logits_bytes;
};

/* What `lift` and `put` move, in the graph of a forward pass, whose updates name
 * the states of the cache. */
static void
move_rows(const krs_decoder *d, krs_graph *g, const krs_node *updates,
          size_t count, krs_node *lift, krs_node *put)
{
    krs_index from = krs_var(g, "from", 0, d->slots - d->chunk);
    krs_index starts[4] = {KRS_INDEX(0), KRS_INDEX(0), from, KRS_INDEX(0)};
    krs_node rows = krs_input(g, "rows", KRS_I64, KRS_SHAPE(d->batch));
    for (size_t i = 0; i < count; i++) {
        krs_node cache = krs_node_operand(updates[i], 0); /* [B,K,S,D] */
        krs_node part = krs_narrow(cache, 2, from, d->chunk);
        krs_scope_push(g, "lifted_%zu_%lldx%lld", i, (long long)d->batch,
                       (long long)d->chunk);
        krs_node lifted =
            krs_state(g, "slots", krs_node_dtype(part), krs_node_shape(part));
        krs_scope_pop(g);
        lift[i] = krs_update(lifted, krs_take(part, rows, 0));
        put[i] = krs_update(cache, krs_set_slice(cache, lifted, starts));
    }
}

static krs_status
prepare_reorder(krs_decoder *d, krs_store *store, krs_graph *g,
                const krs_node *updates, size_t count, krs_error *err)
{
    krs_node *moves = calloc(2 * count, sizeof *moves);
    if (moves == NULL)
        return krs_fail(err, KRS_E_MEMORY, "decoder: no memory for a graph");
    move_rows(d, g, updates, count, moves, moves + count);
    krs_status status = krs_graph_check(g, err);
    if (status == KRS_OK)
        status = krs_program_new(store, moves, count, &d->lift, err);
    if (status == KRS_OK)
        status = krs_program_new(store, moves + count, count, &d->put, err);
    if (status == KRS_OK)
        status = krs_program_require_in_place(d->put, err);
    free(moves);
    return status;
}

/* One forward pass over T ids a row. Outputs: logits, then the updates. */
static krs_status
prepare(krs_decoder *d, krs_store *store, const krs_causal_model *model,
        int64_t T, krs_program **out, krs_error *err)
{
    size_t most = 2 * (size_t)model->layers;
    krs_node *outputs = calloc(1 + most, sizeof *outputs);
    krs_graph *g = krs_graph_new();
    if (outputs == NULL || g == NULL) {
        free(outputs);
        krs_graph_free(g);
        return krs_fail(err, KRS_E_MEMORY, "decoder: no memory for a graph");
    }
    krs_causal_call call = {
        .struct_size = sizeof call,
        .ids = krs_input(g, "ids", KRS_I64, KRS_SHAPE(d->batch, T)),
        .cache_length = d->slots,
        .position = krs_var(g, "position", 0, d->slots - T),
        .logits_once = true,
        .logits_at = krs_var(g, "last", 0, T - 1),
        .updates = outputs + 1};
    if (d->padded)
        call.attention_mask =
            krs_input(g, "tokens", KRS_BOOL, KRS_SHAPE(d->batch, d->slots));
    krs_causal_result result = {.struct_size = sizeof result};
    outputs[0] = krs_causal_forward(g, model, &call, &result);
    krs_status status = krs_graph_check(g, err);
    if (status == KRS_OK)
        status =
            krs_program_new(store, outputs, 1 + result.update_count, out, err);
    if (status == KRS_OK) /* a step must not copy the cache */
        status = krs_program_require_in_place(*out, err);
    if (status == KRS_OK && d->reorders && out == &d->by_one)
        status = prepare_reorder(d, store, g, call.updates, result.update_count,
                                 err);
    krs_graph_free(g);
    free(outputs);
    return status;
}

/* ---- open and close ---- */

static krs_status
settle_sizes(krs_decoder *d, const krs_causal_model *model,
             const krs_decoder_options *o, krs_error *err)
{
    if (o->struct_size != sizeof *o)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "decoder: options of another version (struct_size)");
    d->batch = o->batch == 0 ? 1 : o->batch;
    d->capacity =
        o->cache_length == 0 ? model->max_position_embeddings : o->cache_length;
    d->chunk = o->chunk == 0 ? DEFAULT_CHUNK : o->chunk;
    d->vocab = model->vocab_size;
    d->padded = o->padded;
    d->reorders = o->reorders;
    if (d->batch < 1 || d->batch > LARGEST || d->capacity < 1 ||
        d->capacity > LARGEST || d->chunk < 1)
        return krs_fail(err, KRS_E_RANGE,
                        "decoder: batch %lld, cache_length %lld and chunk "
                        "%lld must be positive and below 2^31",
                        (long long)o->batch, (long long)o->cache_length,
                        (long long)o->chunk);
    if (d->chunk > d->capacity)
        d->chunk = d->capacity;
    d->slots = (d->capacity + d->chunk - 1) / d->chunk * d->chunk;
    return KRS_OK;
}

static krs_status
make_room(krs_decoder *d, krs_error *err)
{
    size_t batch = (size_t)d->batch, logits;
    if (!__builtin_mul_overflow(batch, (size_t)d->vocab, &logits) &&
        !__builtin_mul_overflow(logits, sizeof *d->logits, &d->logits_bytes)) {
        d->ids = calloc(batch * (size_t)d->chunk, sizeof *d->ids);
        d->tokens = calloc(batch * (size_t)d->slots, sizeof *d->tokens);
        d->logits = calloc(logits, sizeof *d->logits);
    }
    if (d->ids == NULL || d->tokens == NULL || d->logits == NULL)
        return krs_fail(err, KRS_E_MEMORY,
                        "decoder: no memory for %lld rows of %lld slots",
                        (long long)d->batch, (long long)d->slots);
    return KRS_OK;
}

krs_status
krs_decoder_open(krs_store *store, const krs_causal_model *model,
                 const krs_decoder_options *options, krs_decoder **out,
                 krs_error *err)
{
    const krs_decoder_options none = {.struct_size = sizeof none};
    krs_decoder *d = calloc(1, sizeof *d);
    if (d == NULL)
        return krs_fail(err, KRS_E_MEMORY, "decoder: no memory");
    krs_status status =
        settle_sizes(d, model, options != NULL ? options : &none, err);
    if (status == KRS_OK)
        status = make_room(d, err);
    if (status == KRS_OK)
        status = prepare(d, store, model, 1, &d->by_one, err);
    if (status == KRS_OK && d->chunk > 1)
        status = prepare(d, store, model, d->chunk, &d->by_chunk, err);
    if (status != KRS_OK) {
        krs_decoder_close(d);
        return status;
    }
    *out = d;
    return KRS_OK;
}

void
krs_decoder_close(krs_decoder *d)
{
    if (d == NULL)
        return;
    krs_program_free(d->put);
    krs_program_free(d->lift);
    krs_program_free(d->by_chunk);
    krs_program_free(d->by_one);
    free(d->logits);
    free(d->tokens);
    free(d->ids);
    free(d);
}

/* ---- running ---- */

/* Run a program over T ids a row at the present length, `count` of them text;
 * the logits are those after the last. */
static krs_status
run(krs_decoder *d, krs_program *program, int64_t T, const int64_t *ids,
    int64_t count, krs_error *err)
{
    size_t ids_bytes = (size_t)(d->batch * T) * sizeof *ids;
    size_t tokens_bytes = (size_t)(d->batch * d->slots) * sizeof *d->tokens;
    KRS_TRY(krs_program_set_input(program, "ids", ids, ids_bytes, err));
    if (d->padded)
        KRS_TRY(krs_program_set_input(program, "tokens", d->tokens,
                                      tokens_bytes, err));
    KRS_TRY(krs_program_set_var(program, "position", d->length, err));
    KRS_TRY(krs_program_set_var(program, "last", count - 1, err));
    KRS_TRY(krs_program_run(program, err));
    KRS_TRY(krs_program_read(program, 0, d->logits, d->logits_bytes, err));
    d->length += count;
    return KRS_OK;
}

static krs_status
check_prompt(const krs_decoder *d, int64_t length, const int64_t *padding,
             krs_error *err)
{
    if (length < 1 || length > d->capacity)
        return krs_fail(err, KRS_E_RANGE,
                        "decoder: a prompt of %lld ids; the cache takes from 1 "
                        "to %lld",
                        (long long)length, (long long)d->capacity);
    for (int64_t b = 0; padding != NULL && b < d->batch; b++) {
        if (padding[b] < 0 || padding[b] >= length)
            return krs_fail(err, KRS_E_RANGE,
                            "decoder: row %lld: %lld ids of padding in a "
                            "prompt of %lld",
                            (long long)b, (long long)padding[b],
                            (long long)length);
        if (padding[b] > 0 && !d->padded)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "decoder: row %lld has padding, and the decoder "
                            "was opened without .padded",
                            (long long)b);
    }
    return KRS_OK;
}

krs_status
krs_decoder_prompt(krs_decoder *d, const int64_t *ids, int64_t length,
                   const int64_t *padding, krs_error *err)
{
    KRS_TRY(check_prompt(d, length, padding, err));
    for (int64_t b = 0; b < d->batch; b++)
        for (int64_t s = 0; s < d->slots; s++)
            d->tokens[b * d->slots + s] = padding == NULL || s >= padding[b];

    d->length = 0;
    while (d->length < length) {
        int64_t T = length - d->length == 1 ? 1 : d->chunk;
        int64_t count = length - d->length < T ? length - d->length : T;
        for (int64_t b = 0; b < d->batch; b++)
            for (int64_t t = 0; t < T; t++)
                d->ids[b * T + t] =
                    t < count ? ids[b * length + d->length + t] : 0;
        krs_program *program = T == 1 ? d->by_one : d->by_chunk;
        KRS_TRY(run(d, program, T, d->ids, count, err));
    }
    return KRS_OK;
}

krs_status
krs_decoder_step(krs_decoder *d, const int64_t *ids, krs_error *err)
{
    if (d->length == 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "decoder: a step before any prompt");
    if (d->length >= d->capacity)
        return krs_fail(err, KRS_E_RANGE,
                        "decoder: the cache of %lld ids is full",
                        (long long)d->capacity);
    return run(d, d->by_one, 1, ids, 1, err);
}

/* Which slots are tokens goes with the rows. */
static krs_status
reorder_tokens(krs_decoder *d, const int64_t *rows, krs_error *err)
{
    size_t slots = (size_t)d->slots;
    bool *moved = malloc((size_t)d->batch * slots * sizeof *moved);
    if (moved == NULL)
        return krs_fail(err, KRS_E_MEMORY,
                        "decoder: no memory for %lld rows of %lld slots",
                        (long long)d->batch, (long long)d->slots);
    for (int64_t b = 0; b < d->batch; b++)
        memcpy(moved + (size_t)b * slots, d->tokens + (size_t)rows[b] * slots,
               slots * sizeof *moved);
    free(d->tokens);
    d->tokens = moved;
    return KRS_OK;
}

krs_status
krs_decoder_reorder(krs_decoder *d, const int64_t *rows, krs_error *err)
{
    bool moves = false;
    if (!d->reorders)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "decoder: it was opened without .reorders");
    if (d->length == 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "decoder: rows change places before any prompt");
    for (int64_t b = 0; b < d->batch; b++) {
        if (rows[b] < 0 || rows[b] >= d->batch)
            return krs_fail(err, KRS_E_RANGE,
                            "decoder: row %lld cannot become row %lld; there "
                            "are %lld",
                            (long long)b, (long long)rows[b],
                            (long long)d->batch);
        moves |= rows[b] != b;
    }
    if (!moves)
        return KRS_OK;
    KRS_TRY(krs_program_set_input(d->lift, "rows", rows,
                                  (size_t)d->batch * sizeof *rows, err));
    for (int64_t from = 0; from < d->length; from += d->chunk) {
        KRS_TRY(krs_program_set_var(d->lift, "from", from, err));
        KRS_TRY(krs_program_set_var(d->put, "from", from, err));
        KRS_TRY(krs_program_run(d->lift, err));
        KRS_TRY(krs_program_run(d->put, err));
    }
    return d->padded ? reorder_tokens(d, rows, err) : KRS_OK;
}

const float *
krs_decoder_logits(const krs_decoder *d)
{
    return d->logits;
}

int64_t
krs_decoder_batch(const krs_decoder *d)
{
    return d->batch;
}

int64_t
krs_decoder_vocab(const krs_decoder *d)
{
    return d->vocab;
}

int64_t
krs_decoder_length(const krs_decoder *d)
{
    return d->length;
}

int64_t
krs_decoder_capacity(const krs_decoder *d)
{
    return d->capacity;
}

bool
krs_decoder_padded(const krs_decoder *d)
{
    return d->padded;
}

bool
krs_decoder_reorders(const krs_decoder *d)
{
    return d->reorders;
}
