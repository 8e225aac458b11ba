/* encdec_call.c -- encoder and decoder joined: for training, and for generation
 * (encdec.h).
 *
 * In: a call, checked here. Out: the whole forward pass; or a program that
 * encodes a source and keeps its keys and values in states of the store, and
 * the decoder over them as a model of causal.h, whose cache and loop are those
 * of all decoders. A source is encoded once, however long the text that is made.
 */
#include "encdec_pass.h"

#include <krs/ops.h>

#include <stdio.h>
#include <stdlib.h>

static krs_node
refuse(krs_graph *g, krs_status status, const char *what)
{
    return krs_graph_fail(g, KRS_HERE, status, "encdec: %s", what);
}

static bool
is_matrix(krs_node x, krs_dtype dtype, int64_t rows, int64_t columns)
{
    krs_shape shape = krs_node_shape(x);
    return krs_node_is_valid(x) && krs_node_dtype(x) == dtype &&
           shape.rank == 2 && (rows < 0 || shape.dim[0] == rows) &&
           (columns < 0 || shape.dim[1] == columns);
}

/* None if there are so many places. */
static krs_node
check_length(krs_graph *g, const krs_encdec_config *c, int64_t length)
{
    int64_t most = c->max_position_embeddings;
    if (length < 1 || (most > 0 && length > most))
        return krs_graph_fail(g, KRS_HERE, KRS_E_RANGE,
                              "encdec: %lld ids a row, there are from 1 to "
                              "%lld places (max_position_embeddings)",
                              (long long)length, (long long)most);
    return KRS_NONE;
}

static krs_node
check_call(krs_graph *g, const krs_encdec_config *c,
           const krs_encdec_call *call)
{
    krs_shape source = krs_node_shape(call->input_ids);
    krs_shape ids = krs_node_shape(call->decoder_input_ids);
    if (!is_matrix(call->input_ids, KRS_I64, -1, -1))
        return refuse(g, KRS_E_SHAPE, "input_ids must be i64 [B, S]");
    if (!is_matrix(call->decoder_input_ids, KRS_I64, source.dim[0], -1))
        return refuse(
            g, KRS_E_SHAPE,
            "decoder_input_ids must be i64 [B, T], B as of input_ids");
    if (call->attention_mask.graph != NULL &&
        !is_matrix(call->attention_mask, KRS_BOOL, source.dim[0],
                   source.dim[1]))
        return refuse(g, KRS_E_SHAPE,
                      "attention_mask must be bool [B, S] as input_ids");
    if (call->labels.graph != NULL &&
        !is_matrix(call->labels, KRS_I64, ids.dim[0], ids.dim[1]))
        return refuse(g, KRS_E_SHAPE,
                      "labels must be i64 [B, T] as decoder_input_ids");
    krs_node wrong = check_length(g, c, source.dim[1]);
    return wrong.graph != NULL ? wrong : check_length(g, c, ids.dim[1]);
}

krs_node
krs_encdec_forward(krs_graph *g, const krs_encdec_config *c,
                   const krs_encdec_call *call, krs_encdec_result *result)
{
    krs_error err;
    if (call->struct_size != sizeof *call ||
        result->struct_size != sizeof *result)
        return refuse(g, KRS_E_ARGUMENT, "struct_size of another version");
    *result = (krs_encdec_result){.struct_size = sizeof *result};
    if (krs_encdec_check(c, &err) != KRS_OK)
        return refuse(g, err.status, err.text);
    krs_node wrong = check_call(g, c, call);
    if (wrong.graph != NULL)
        return wrong;
    krs_shape source = krs_node_shape(call->input_ids);
    struct krsi_encdec p = krsi_encdec_begin(g, c, source.dim[0], source.dim[1],
                                             call->attention_mask);
    p.encoded = krsi_encdec_encode(&p, call->input_ids, call->encoder_hidden);
    const krs_causal_call decoder = {.struct_size = sizeof decoder,
                                     .ids = call->decoder_input_ids,
                                     .targets = call->labels,
                                     .hidden = call->decoder_hidden};
    krs_causal_result decoded = {.struct_size = sizeof decoded};
    result->encoded = p.encoded;
    result->logits = krsi_encdec_decode(&p, &decoder, &decoded);
    result->loss = decoded.loss;
    return result->logits;
}

/* ---- generation ---- */

#define NAME_BYTES 64

/* The state with the mask of the source, bool [B,S]. */
static const char *
mask_name(const krs_encdec_memory *m, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "source_mask_%lldx%lld", (long long)m->batch,
             (long long)m->source);
    return name;
}

static krs_status
check_memory(const krs_encdec_memory *m, krs_error *err)
{
    int64_t most = m->config->max_position_embeddings;
    if (m->batch < 1 || m->batch > INT32_MAX || m->source < 1 ||
        m->source > (most > 0 ? most : INT32_MAX))
        return krs_fail(err, KRS_E_RANGE,
                        "encdec: a source of %lld rows of %lld ids; there are "
                        "%lld places (max_position_embeddings)",
                        (long long)m->batch, (long long)m->source,
                        (long long)most);
    return krs_encdec_check(m->config, err);
}

static krs_status
keep_mask(krs_store *store, const krs_encdec_memory *m, const bool *mask,
          krs_error *err)
{
    char name[NAME_BYTES];
    krs_shape shape = KRS_SHAPE(m->batch, m->source);
    size_t count = (size_t)(m->batch * m->source);
    KRS_TRY(krs_store_add(store, mask_name(m, name), KRS_BOOL, shape, err));
    bool *all = malloc(count + 1);
    if (all == NULL)
        return krs_fail(err, KRS_E_MEMORY, "encdec: no memory for a mask");
    for (size_t i = 0; i < count; i++)
        all[i] = mask == NULL || mask[i];
    krs_status status =
        krs_store_write(store, name, all, count * sizeof *all, err);
    free(all);
    return status;
}

/* The program that encodes; 2 updates a layer of the decoder. */
static krs_status
prepare(krs_store *store, const krs_encdec_memory *m, krs_program **out,
        krs_error *err)
{
    size_t count = 2 * (size_t)m->config->decoder_layers;
    krs_node *updates = calloc(count, sizeof *updates);
    krs_graph *g = krs_graph_new();
    krs_status status = KRS_OK;
    char name[NAME_BYTES];
    if (updates == NULL || g == NULL)
        status = krs_fail(err, KRS_E_MEMORY, "encdec: no memory for a graph");
    if (status == KRS_OK) {
        krs_shape shape = KRS_SHAPE(m->batch, m->source);
        krs_node ids = krs_input(g, "ids", KRS_I64, shape);
        struct krsi_encdec p = krsi_encdec_begin(
            g, m->config, m->batch, m->source,
            krs_state(g, mask_name(m, name), KRS_BOOL, shape));
        p.encoded = krsi_encdec_encode(&p, ids, NULL);
        krsi_encdec_keep(&p, updates);
        status = krs_graph_check(g, err);
    }
    if (status == KRS_OK)
        status = krs_program_new(store, updates, count, out, err);
    krs_graph_free(g);
    free(updates);
    return status;
}

krs_status
krs_encdec_read(krs_store *store, const krs_encdec_memory *m,
                const int64_t *ids, const bool *mask, krs_error *err)
{
    krs_program *encode = NULL;
    size_t bytes;
    KRS_TRY(check_memory(m, err));
    if (!krs_dtype_bytes(KRS_I64, m->batch * m->source, &bytes))
        return krs_fail(err, KRS_E_RANGE, "encdec: the source is too large");
    KRS_TRY(keep_mask(store, m, mask, err));
    KRS_TRY(prepare(store, m, &encode, err));
    krs_status status = krs_program_set_input(encode, "ids", ids, bytes, err);
    if (status == KRS_OK)
        status = krs_program_run(encode, err);
    krs_program_free(encode);
    return status;
}

static krs_node
decoder_forward(krs_graph *g, const void *settings, const krs_causal_call *call,
                krs_causal_result *result)
{
    const krs_encdec_memory *m = settings;
    krs_shape shape = krs_node_shape(call->ids);
    char name[NAME_BYTES];
    krs_error err;
    if (check_memory(m, &err) != KRS_OK)
        return refuse(g, err.status, err.text);
    if (shape.dim[0] != m->batch)
        return refuse(g, KRS_E_SHAPE, "as many rows of ids as of the source");
    krs_node mask = krs_state(g, mask_name(m, name), KRS_BOOL,
                              KRS_SHAPE(m->batch, m->source));
    struct krsi_encdec p =
        krsi_encdec_begin(g, m->config, m->batch, m->source, mask);
    return krsi_encdec_decode(&p, call, result);
}

krs_causal_model
krs_encdec_decoder(const krs_encdec_memory *m)
{
    int64_t most = m->config->max_position_embeddings;
    return (krs_causal_model){.config = m,
                              .forward = decoder_forward,
                              .vocab_size = m->config->vocab_size,
                              .layers = m->config->decoder_layers,
                              .max_position_embeddings = most > 0 ? most : 512};
}
