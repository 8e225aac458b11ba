/* continuation.c -- the greedy continuations of a golden folder (golden.h).
 *
 * In: prompts, or for an encoder-decoder sources, and how many ids follow. Out:
 * the comparison of all ids with those of the reference.
 *
 * Prompts go through the decoder in chunks of 4, so that chunk borders and a
 * filled-up last chunk are met. A source is encoded once; the prompt then is
 * the start id. Beams ("kind": "beam") are not searched for, nor compared.
 */
#include "golden.h"

#include <krs/generate.h>

#include <stdlib.h>
#include <string.h>

#define CHUNK 4

/* What a decoder is to go on from. */
struct start {
    const int64_t *ids; /* [B,T] */
    int64_t B, T;
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

/* Encode the source. */
static krs_status
read_source(const struct krsi_golden *g, krs_store *store,
            const krsi_json *inputs, struct start *s, krs_error *err)
{
    krs_view mask;
    KRS_TRY(read_ids(g, inputs, "attention_mask", &mask, err));
    size_t count = mask.bytes / sizeof(int64_t);
    bool *tokens = malloc(count + 1);
    krs_status status = KRS_OK;
    if (tokens == NULL)
        status = krs_fail(err, KRS_E_MEMORY, "no memory for a mask");
    else if (mask.bytes != s->tensor.bytes)
        status = krs_fail(err, KRS_E_SHAPE,
                          "%s: attention_mask is not of the size of the ids",
                          krs_weights_path(g->tensors));
    for (size_t i = 0; i < count && status == KRS_OK; i++)
        tokens[i] = ((const int64_t *)mask.data)[i] == 1;
    if (status == KRS_OK)
        status =
            krs_encdec_read(store, &s->memory, s->tensor.data, tokens, err);
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
    KRS_TRY(krsi_json_object(rule, "inputs", &inputs, err));
    KRS_TRY(read_ids(g, &inputs, "input_ids", &s->tensor, err));
    s->B = s->tensor.shape.dim[0];
    s->T = s->tensor.shape.dim[1];
    s->ids = s->tensor.data;
    s->memory = (krs_encdec_memory){&c->of.encdec, s->B, s->T};
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

/* all [B, T + *made]: prompts and what follows them */
static krs_status
go_on(krs_store *store, const krsi_json *rule, const struct start *s,
      int64_t most, int64_t *all, int64_t *made, krs_error *err)
{
    int64_t stop = -1, pad = 0;
    KRS_TRY(
        krsi_json_int_or(rule, "eos_token_id", 0, INT32_MAX, -1, &stop, err));
    KRS_TRY(krsi_json_int_or(rule, "pad_token_id", 0, INT32_MAX, 0, &pad, err));
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .batch = s->B,
                                 .cache_length = s->T + most,
                                 .chunk = CHUNK};
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = most,
                                    .stop_ids = &stop,
                                    .stop_count = 1,
                                    .pad_id = pad};
    krs_decoder *decoder;
    KRS_TRY(krs_decoder_open(store, &s->model, &sizes, &decoder, err));
    int64_t *new_ids = calloc((size_t)(s->B * most) + 1, sizeof *new_ids);
    krs_status status =
        new_ids == NULL ? krs_fail(err, KRS_E_MEMORY, "no memory for %lld ids",
                                   (long long)(s->B * most))
                        : krs_generate(decoder, s->ids, s->T, NULL, &options,
                                       new_ids, made, err);
    krs_decoder_close(decoder);
    for (int64_t b = 0; status == KRS_OK && b < s->B; b++) {
        int64_t *row = all + b * (s->T + *made);
        memcpy(row, s->ids + b * s->T, (size_t)s->T * sizeof *row);
        memcpy(row + s->T, new_ids + b * most, (size_t)*made * sizeof *row);
    }
    free(new_ids);
    return status;
}

static krs_status
compare_ids(struct krsi_golden *g, krs_store *store, const krsi_json *rule,
            const struct start *s, krs_error *err)
{
    const char *name;
    int64_t most, made = 0;
    krs_view want;
    KRS_TRY(krsi_json_string(rule, "ids", &name, err));
    KRS_TRY(krsi_json_int(rule, "max_new_tokens", 1, 1 << 20, &most, err));
    int64_t *all = calloc((size_t)(s->B * (s->T + most)) + 1, sizeof *all);
    if (all == NULL)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %lld ids",
                        (long long)(s->B * (s->T + most)));
    krs_status status = go_on(store, rule, s, most, all, &made, err);
    if (status == KRS_OK)
        status = krsi_golden_read(g, name, KRS_I64, &want, err);
    if (status == KRS_OK) {
        krs_view got = {KRS_I64, KRS_SHAPE(s->B, s->T + made), all,
                        (size_t)(s->B * (s->T + made)) * sizeof *all};
        status = krsi_golden_compare(g, "greedy", name, &got, &want, NULL,
                                     (krs_tolerance){0}, err);
        krsi_golden_free(&want);
    }
    free(all);
    return status;
}

krs_status
krsi_golden_continue(struct krsi_golden *g, krs_store *store,
                     const krs_model_config *config, krs_error *err)
{
    static const char *const kinds[] = {"greedy", "beam"};
    krsi_json list, rule;
    size_t count, kind;
    if (!krsi_json_has(&g->root, "generation"))
        return KRS_OK;
    KRS_TRY(krsi_json_array(&g->root, "generation", &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        struct start s = {.ids = NULL};
        KRS_TRY(krsi_json_item(&list, i, &rule, err));
        KRS_TRY(krsi_json_choice(&rule, "kind", kinds, 2, &kind, err));
        if (kind == 1)
            continue;
        krs_status status = open_start(g, store, config, &rule, &s, err);
        if (status == KRS_OK)
            status = compare_ids(g, store, &rule, &s, err);
        close_start(&s);
        KRS_TRY(status);
    }
    return KRS_OK;
}
