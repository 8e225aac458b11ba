/* continuation.c -- the continuations of a golden folder (golden.h).
 *
 * In: prompts, or for an encoder-decoder sources, and how many ids follow, the
 * likeliest each time ("greedy") or as a beam search finds them ("beam"). Out:
 * the comparison of all ids, and of the beams' scores, with the reference.
 *
 * Prompts go through the decoder in chunks of 4, so that chunk borders and a
 * filled-up last chunk are met. A source is encoded once for each of its beams;
 * the prompt then is the start id.
 */
#include "golden.h"

#include <krs/generate.h>

#include <stdlib.h>
#include <string.h>

#define CHUNK 4

enum { GREEDY, BEAM };
static const char *const kinds[] = {"greedy", "beam"};

/* What a decoder is to go on from. */
struct start {
    size_t kind;
    const int64_t *ids; /* [B,T] */
    int64_t B, T;
    int64_t beams; /* of each row; 1 if greedy */
    krs_causal_model model;
    krs_encdec_memory memory; /* of the model, if there is a source */
    krs_view tensor;          /* prompt or source, i64 [B, .] */
    int64_t *first;           /* [B,1], the start ids after a source */
};

static krs_status
read_ids(const struct krsi_golden *g, const krsi_json *inputs, const char *key,
         krs_view *out, krs_error *err)
{
    const char *tensor;
    KRS_TRY(krsi_json_string(inputs, key, &tensor, err));
    KRS_TRY(krsi_golden_read(g, tensor, KRS_I64, out, err));
    if (out->shape.rank == 2)
        return KRS_OK;
    krsi_golden_free(out);
    return krs_fail(err, KRS_E_SHAPE, "%s: %s is not [batch, time]",
                    krs_weights_path(g->tensors), tensor);
}

/* Encode the source for each beam of its rows. */
static krs_status
read_source(const struct krsi_golden *g, krs_store *store,
            const krsi_json *inputs, struct start *s, krs_error *err)
{
    krs_view mask;
    KRS_TRY(read_ids(g, inputs, "attention_mask", &mask, err));
    int64_t S = s->memory.source, rows = s->memory.batch;
    bool *tokens = malloc((size_t)(rows * S) + 1);
    int64_t *ids = malloc((size_t)(rows * S) * sizeof *ids + 1);
    krs_status status = KRS_OK;
    if (tokens == NULL || ids == NULL)
        status = krs_fail(err, KRS_E_MEMORY, "no memory for a source");
    else if (mask.bytes != s->tensor.bytes)
        status = krs_fail(err, KRS_E_SHAPE,
                          "%s: attention_mask is not of the size of the ids",
                          krs_weights_path(g->tensors));
    for (int64_t i = 0; i < rows * S && status == KRS_OK; i++) {
        int64_t from = i / S / s->beams * S + i % S;
        ids[i] = ((const int64_t *)s->tensor.data)[from];
        tokens[i] = ((const int64_t *)mask.data)[from] == 1;
    }
    if (status == KRS_OK)
        status = krs_encdec_read(store, &s->memory, ids, tokens, err);
    free(ids);
    free(tokens);
    krsi_golden_free(&mask);
    return status;
}

/* The prompt is the start id of each row. */
static krs_status
start_after_source(const struct krsi_golden *g, krs_store *store,
                   const krsi_json *rule, const krsi_json *inputs,
                   struct start *s, krs_error *err)
{
    int64_t id;
    KRS_TRY(
        krsi_json_int(rule, "decoder_start_token_id", 0, INT32_MAX, &id, err));
    KRS_TRY(read_source(g, store, inputs, s, err));
    s->first = calloc((size_t)s->B + 1, sizeof *s->first);
    if (s->first == NULL)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %lld ids",
                        (long long)s->B);
    for (int64_t b = 0; b < s->B; b++)
        s->first[b] = id;
    s->ids = s->first;
    s->T = 1;
    s->model = krs_encdec_decoder(&s->memory);
    return KRS_OK;
}

static krs_status
open_start(const struct krsi_golden *g, krs_store *store,
           const krs_model_config *c, const krsi_json *rule, struct start *s,
           krs_error *err)
{
    krsi_json inputs;
    KRS_TRY(krsi_json_choice(rule, "kind", kinds, 2, &s->kind, err));
    KRS_TRY(krsi_json_int_or(rule, "num_beams", 1, 1000, 1, &s->beams, err));
    KRS_TRY(krsi_json_object(rule, "inputs", &inputs, err));
    KRS_TRY(read_ids(g, &inputs, "input_ids", &s->tensor, err));
    s->B = s->tensor.shape.dim[0];
    s->T = s->tensor.shape.dim[1];
    s->ids = s->tensor.data;
    s->memory = (krs_encdec_memory){&c->of.encdec, s->B * s->beams, s->T};
    if (krs_architecture_family(c->architecture) == KRS_FAMILY_ENCDEC)
        return start_after_source(g, store, rule, &inputs, s, err);
    return krs_model_causal(c, &s->model, err);
}

static void
close_start(struct start *s)
{
    krsi_golden_free(&s->tensor);
    free(s->first);
}

/* What follows the prompts, as far as a rule of golden.json says. */
struct found {
    int64_t rows, most, made;
    int64_t stop, pad;
    int64_t *ids;   /* [rows, most] */
    double *scores; /* [rows], of beams */
};

static krs_status
read_rule(const krsi_json *rule, const struct start *s, struct found *f,
          krs_error *err)
{
    KRS_TRY(krsi_json_int_or(rule, "eos_token_id", 0, INT32_MAX, -1, &f->stop,
                             err));
    KRS_TRY(
        krsi_json_int_or(rule, "pad_token_id", 0, INT32_MAX, 0, &f->pad, err));
    KRS_TRY(krsi_json_int(rule, "max_new_tokens", 1, 1 << 20, &f->most, err));
    f->rows = s->B * s->beams;
    f->ids = calloc((size_t)(f->rows * f->most) + 1, sizeof *f->ids);
    f->scores = calloc((size_t)f->rows + 1, sizeof *f->scores);
    if (f->ids == NULL || f->scores == NULL)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %lld ids",
                        (long long)(f->rows * f->most));
    return KRS_OK;
}

static krs_status
search(krs_decoder *decoder, const krsi_json *rule, const struct start *s,
       struct found *f, krs_error *err)
{
    krs_beam_options options = {.struct_size = sizeof options,
                                .beams = s->beams,
                                .max_new_tokens = f->most,
                                .stop_ids = &f->stop,
                                .stop_count = 1,
                                .pad_id = f->pad};
    KRS_TRY(krsi_json_double(rule, "length_penalty", KRSI_ANY_NUMBER,
                             &options.length_penalty, err));
    KRS_TRY(krsi_json_bool_or(rule, "early_stopping", false,
                              &options.early_stopping, err));
    return krs_generate_beams(decoder, s->ids, s->T, NULL, &options, f->ids,
                              f->scores, &f->made, err);
}

static krs_status
go_on(krs_store *store, const krsi_json *rule, const struct start *s,
      struct found *f, krs_error *err)
{
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .batch = f->rows,
                                 .cache_length = s->T + f->most,
                                 .chunk = CHUNK,
                                 .reorders = s->kind == BEAM};
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = f->most,
                                    .stop_ids = &f->stop,
                                    .stop_count = 1,
                                    .pad_id = f->pad};
    krs_decoder *decoder;
    KRS_TRY(krs_decoder_open(store, &s->model, &sizes, &decoder, err));
    krs_status status = s->kind == BEAM
                            ? search(decoder, rule, s, f, err)
                            : krs_generate(decoder, s->ids, s->T, NULL,
                                           &options, f->ids, &f->made, err);
    krs_decoder_close(decoder);
    return status;
}

/* ---- comparing ---- */

/* Prompts and what follows them are one tensor, i64 [rows, T + made]. */
static krs_status
compare_ids(struct krsi_golden *g, const krsi_json *rule, const struct start *s,
            const struct found *f, krs_error *err)
{
    const char *name;
    krs_view want;
    int64_t length = s->T + f->made;
    KRS_TRY(krsi_json_string(rule, "ids", &name, err));
    KRS_TRY(krsi_golden_read(g, name, KRS_I64, &want, err));
    int64_t *all = calloc((size_t)(f->rows * length) + 1, sizeof *all);
    krs_status status = KRS_OK;
    if (all == NULL)
        status = krs_fail(err, KRS_E_MEMORY, "no memory for %lld ids",
                          (long long)(f->rows * length));
    for (int64_t r = 0; status == KRS_OK && r < f->rows; r++) {
        int64_t *row = all + r * length;
        memcpy(row, s->ids + r / s->beams * s->T, (size_t)s->T * sizeof *row);
        memcpy(row + s->T, f->ids + r * f->most, (size_t)f->made * sizeof *row);
    }
    krs_view got = {KRS_I64, KRS_SHAPE(f->rows, length), all,
                    (size_t)(f->rows * length) * sizeof *all};
    if (status == KRS_OK)
        status = krsi_golden_compare(g, kinds[s->kind], name, &got, &want, NULL,
                                     (krs_tolerance){0}, err);
    krsi_golden_free(&want);
    free(all);
    return status;
}

static krs_status
compare_scores(struct krsi_golden *g, const krsi_json *rule,
               const struct found *f, krs_error *err)
{
    const char *name;
    krs_view want;
    krs_tolerance tolerance;
    KRS_TRY(krsi_json_string(rule, "scores", &name, err));
    KRS_TRY(krsi_golden_tolerance_of(rule, "score_tol", &tolerance, err));
    KRS_TRY(krsi_golden_read(g, name, KRS_F32, &want, err));
    float *scores = calloc((size_t)f->rows + 1, sizeof *scores);
    krs_status status = KRS_OK;
    if (scores == NULL)
        status = krs_fail(err, KRS_E_MEMORY, "no memory for %lld scores",
                          (long long)f->rows);
    for (int64_t r = 0; status == KRS_OK && r < f->rows; r++)
        scores[r] = (float)f->scores[r];
    krs_view got = {KRS_F32, KRS_SHAPE(f->rows), scores,
                    (size_t)f->rows * sizeof *scores};
    if (status == KRS_OK)
        status = krsi_golden_compare(g, kinds[BEAM], name, &got, &want, NULL,
                                     tolerance, err);
    krsi_golden_free(&want);
    free(scores);
    return status;
}

static krs_status
continue_one(struct krsi_golden *g, krs_store *store,
             const krs_model_config *config, const krsi_json *rule,
             krs_error *err)
{
    struct start s = {.ids = NULL};
    struct found f = {.ids = NULL};
    krs_status status = open_start(g, store, config, rule, &s, err);
    if (status == KRS_OK)
        status = read_rule(rule, &s, &f, err);
    if (status == KRS_OK)
        status = go_on(store, rule, &s, &f, err);
    if (status == KRS_OK)
        status = compare_ids(g, rule, &s, &f, err);
    if (status == KRS_OK && s.kind == BEAM)
        status = compare_scores(g, rule, &f, err);
    free(f.scores);
    free(f.ids);
    close_start(&s);
    return status;
}

krs_status
krsi_golden_continue(struct krsi_golden *g, krs_store *store,
                     const krs_model_config *config, krs_error *err)
{
    krsi_json list, rule;
    size_t count;
    if (!krsi_json_has(&g->root, "generation"))
        return KRS_OK;
    KRS_TRY(krsi_json_array(&g->root, "generation", &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        KRS_TRY(krsi_json_item(&list, i, &rule, err));
        KRS_TRY(continue_one(g, store, config, &rule, err));
    }
    return KRS_OK;
}
