/* embed.c -- texts as vectors (embed.h).
 *
 * In: ids of texts. Out: a vector each.
 *
 *      mean     v = sum_t m_t h_t / sum_t m_t,  m_t = 1 for a token, 0 for padding
 *      length   v / max(|v|, 1e-12)
 *
 * Texts are taken in the order of their lengths, the longest first, so that
 * those of a batch are about equally long. The sizes of a batch are rounded up,
 * rows to a power of two, tokens to one or to one and a half: a few programs,
 * kept from the first batch that needs them, do for all texts. Rows that are no
 * text are one token of padding that counts; nobody reads what comes of them.
 */
#include <krs/embed.h>
#include <krs/ops.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BATCH 32
#define BATCH_MAX     65536
#define LEAST_TOKENS  8
enum { ROW_SIZES = 17, TOKEN_SIZES = 64 };

struct krs_embedder {
    krs_store *store;
    const krs_bert_config *config;
    krs_pooling pooling;
    bool normalize;
    int64_t max_length, batch;
    int64_t *ids, *types; /* [batch, max_length] */
    bool *tokens;         /* [batch, max_length] */
    float *vectors;       /* [batch, C] */
    krs_program *programs[ROW_SIZES][TOKEN_SIZES];
};

/* ---- open and close ---- */

static krs_status
settle(krs_embedder *e, const krs_embed_options *o, krs_error *err)
{
    int64_t places = e->config->max_position_embeddings;
    if (o->struct_size != sizeof *o || (size_t)o->pooling >= KRS_POOLINGS)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "embedder: options of another version (struct_size), "
                        "or pooling %d",
                        (int)o->pooling);
    if (o->max_length < 0 || o->max_length > places)
        return krs_fail(err, KRS_E_RANGE,
                        "embedder: texts of %lld tokens; the model has %lld "
                        "places",
                        (long long)o->max_length, (long long)places);
    if (o->batch < 0 || o->batch > BATCH_MAX)
        return krs_fail(err, KRS_E_RANGE,
                        "embedder: %lld texts at once, at "
                        "most %d",
                        (long long)o->batch, BATCH_MAX);
    e->pooling = o->pooling;
    e->normalize = o->normalize;
    e->max_length = o->max_length > 0 ? o->max_length : places;
    e->batch = 1;
    while (e->batch < (o->batch > 0 ? o->batch : DEFAULT_BATCH))
        e->batch *= 2;
    return KRS_OK;
}

static krs_status
make_room(krs_embedder *e, krs_error *err)
{
    size_t most = (size_t)e->batch * (size_t)e->max_length, channels;
    if (!__builtin_mul_overflow((size_t)e->batch,
                                (size_t)e->config->hidden_size, &channels)) {
        e->ids = calloc(most, sizeof *e->ids);
        e->types = calloc(most, sizeof *e->types);
        e->tokens = calloc(most, sizeof *e->tokens);
        e->vectors = calloc(channels, sizeof *e->vectors);
    }
    if (e->ids == NULL || e->types == NULL || e->tokens == NULL ||
        e->vectors == NULL)
        return krs_fail(err, KRS_E_MEMORY,
                        "embedder: no memory for %lld texts of %lld tokens",
                        (long long)e->batch, (long long)e->max_length);
    return KRS_OK;
}

krs_status
krs_embedder_open(krs_store *store, const krs_bert_config *config,
                  const krs_embed_options *options, krs_embedder **out,
                  krs_error *err)
{
    KRS_TRY(krs_bert_check(config, err));
    krs_embedder *e = calloc(1, sizeof *e);
    if (e == NULL)
        return krs_fail(err, KRS_E_MEMORY, "embedder: no memory");
    e->store = store;
    e->config = config;
    krs_status status = settle(e, options, err);
    if (status == KRS_OK)
        status = make_room(e, err);
    if (status != KRS_OK) {
        krs_embedder_close(e);
        return status;
    }
    *out = e;
    return KRS_OK;
}

void
krs_embedder_close(krs_embedder *e)
{
    if (e == NULL)
        return;
    for (int r = 0; r < ROW_SIZES; r++)
        for (int t = 0; t < TOKEN_SIZES; t++)
            krs_program_free(e->programs[r][t]);
    free(e->vectors);
    free(e->tokens);
    free(e->types);
    free(e->ids);
    free(e);
}

int64_t
krs_embedder_width(const krs_embedder *e)
{
    return e->config->hidden_size;
}

/* ---- a program for a size ---- */

/* h [B,T,C], tokens bool [B,T] -> [B,C] */
static krs_node
pool(const krs_embedder *e, krs_node h, krs_node tokens)
{
    krs_node is_token = krs_unsqueeze(tokens, -1); /* [B,T,1] */
    krs_node zero = krs_like(h, 0.0), v = KRS_NONE;
    switch (e->pooling) {
    case KRS_POOLING_MEAN:
        v = krs_div(krs_sum(krs_where(is_token, h, zero), KRS_AXES(1)),
                    krs_sum(krs_cast(is_token, KRS_F32), KRS_AXES(1)));
        break;
    case KRS_POOLING_FIRST: v = krs_squeeze(krs_slice(h, 1, 0, 1, 1), 1); break;
    case KRS_POOLING_MAX:
        v = krs_amax(krs_where(is_token, h, krs_like(h, -(double)INFINITY)),
                     KRS_AXES(1));
        break;
    case KRS_POOLINGS: break;
    }
    return e->normalize ? krs_l2_normalize(v, -1, 1e-12) : v;
}

static krs_status
prepare(const krs_embedder *e, int64_t B, int64_t T, krs_program **out,
        krs_error *err)
{
    krs_graph *g = krs_graph_new();
    if (g == NULL)
        return krs_fail(err, KRS_E_MEMORY, "embedder: no memory for a graph");
    krs_shape shape = KRS_SHAPE(B, T);
    krs_bert_call call = {
        .struct_size = sizeof call,
        .input_ids = krs_input(g, "ids", KRS_I64, shape),
        .attention_mask = krs_input(g, "tokens", KRS_BOOL, shape),
        .token_type_ids = krs_input(g, "types", KRS_I64, shape)};
    krs_bert_result r = {.struct_size = sizeof r};
    krs_node h = krs_bert_forward(g, e->config, &call, &r); /* [B,T,C] */
    krs_node v = pool(e, h, call.attention_mask);           /* [B,C] */
    krs_status status = krs_graph_check(g, err);
    if (status == KRS_OK)
        status = krs_program_new(e->store, &v, 1, out, err);
    krs_graph_free(g);
    return status;
}

/* The least size of a row that is a power of two, or one and a half, and holds
 * `count`; its place in the list of them. */
static int
round_tokens(int64_t count, int64_t most, int64_t *size)
{
    int place = 0;
    *size = LEAST_TOKENS;
    while (*size < count) {
        *size = place % 2 == 0 ? *size / 2 * 3 : *size / 3 * 4;
        place++;
    }
    if (*size > most)
        *size = most;
    return place;
}

/* ---- running ---- */

/* A text of the call and its tokens, padding left out. */
struct text {
    size_t index;
    int64_t count;
};

static int
longer_first(const void *a, const void *b)
{
    const struct text *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static krs_status
measure_text(const krs_embedder *e, const krs_encoding *encoding,
             struct text *text, krs_error *err)
{
    for (size_t i = 0; i < encoding->count; i++) {
        bool counts = !(encoding->marks[i] & KRS_TOKEN_IS_PADDING);
        text->count += counts;
        if (counts && encoding->ids[i] >= e->config->vocab_size)
            return krs_fail(err, KRS_E_RANGE,
                            "text %zu: id %u is outside the model's vocabulary "
                            "of %lld; tokenizer and model may not belong "
                            "together",
                            text->index, encoding->ids[i],
                            (long long)e->config->vocab_size);
        if (counts && encoding->type_ids[i] >= e->config->type_vocab_size)
            return krs_fail(err, KRS_E_RANGE,
                            "text %zu: token type %u, there are %lld",
                            text->index, encoding->type_ids[i],
                            (long long)e->config->type_vocab_size);
    }
    if (text->count < 1 || text->count > e->max_length)
        return krs_fail(
            err, KRS_E_RANGE, "text %zu: %lld tokens, expected 1 to %lld",
            text->index, (long long)text->count, (long long)e->max_length);
    return KRS_OK;
}

/* Rows [B,T] of the inputs. */
static void
lay_out(krs_embedder *e, const krs_encoding *encodings,
        const struct text *texts, size_t count, int64_t B, int64_t T)
{
    size_t width = (size_t)T;
    memset(e->ids, 0, (size_t)B * width * sizeof *e->ids);
    memset(e->types, 0, (size_t)B * width * sizeof *e->types);
    memset(e->tokens, 0, (size_t)B * width * sizeof *e->tokens);
    for (size_t row = 0; row < (size_t)B; row++) {
        size_t at = row * width;
        e->tokens[at] = true;
        if (row >= count)
            continue;
        const krs_encoding *encoding = &encodings[texts[row].index];
        for (size_t i = 0; i < encoding->count; i++) {
            if (encoding->marks[i] & KRS_TOKEN_IS_PADDING)
                continue;
            e->ids[at] = encoding->ids[i];
            e->types[at] = encoding->type_ids[i];
            e->tokens[at++] = true;
        }
    }
}

/* At most e->batch texts, the first being the longest. */
static krs_status
run_batch(krs_embedder *e, const krs_encoding *encodings,
          const struct text *texts, size_t count, float *vectors,
          krs_error *err)
{
    int64_t B = 1, T;
    int row_place = 0, place = round_tokens(texts[0].count, e->max_length, &T);
    while (B < (int64_t)count) {
        B *= 2;
        row_place++;
    }
    krs_program **program = &e->programs[row_place][place];
    if (*program == NULL)
        KRS_TRY(prepare(e, B, T, program, err));
    lay_out(e, encodings, texts, count, B, T);
    size_t cells = (size_t)(B * T), C = (size_t)e->config->hidden_size;
    KRS_TRY(krs_program_set_input(*program, "ids", e->ids,
                                  cells * sizeof *e->ids, err));
    KRS_TRY(krs_program_set_input(*program, "types", e->types,
                                  cells * sizeof *e->types, err));
    KRS_TRY(krs_program_set_input(*program, "tokens", e->tokens,
                                  cells * sizeof *e->tokens, err));
    KRS_TRY(krs_program_run(*program, err));
    KRS_TRY(krs_program_read(*program, 0, e->vectors,
                             (size_t)B * C * sizeof *e->vectors, err));
    for (size_t row = 0; row < count; row++)
        memcpy(vectors + texts[row].index * C, e->vectors + row * C,
               C * sizeof *vectors);
    return KRS_OK;
}

krs_status
krs_embedder_run(krs_embedder *e, const krs_encoding *encodings, size_t count,
                 float *vectors, krs_error *err)
{
    struct text *texts = calloc(count + 1, sizeof *texts);
    krs_status status = KRS_OK;
    if (texts == NULL)
        return krs_fail(err, KRS_E_MEMORY, "embedder: no memory for %zu texts",
                        count);
    for (size_t i = 0; i < count && status == KRS_OK; i++) {
        texts[i].index = i;
        status = measure_text(e, &encodings[i], &texts[i], err);
    }
    qsort(texts, count, sizeof *texts, longer_first);
    for (size_t at = 0; at < count && status == KRS_OK;) {
        size_t rows =
            count - at < (size_t)e->batch ? count - at : (size_t)e->batch;
        status = run_batch(e, encodings, texts + at, rows, vectors, err);
        at += rows;
    }
    free(texts);
    return status;
}
