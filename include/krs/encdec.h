/* encdec.h -- encoder-decoder models: the Transformer (Vaswani et al. 2017,
 * arXiv 1706.03762), Marian (Junczys-Dowmunt et al. 2018, arXiv 1804.00344),
 * BART (Lewis et al. 2020, arXiv 1910.13461), T5 1.0 and 1.1 (Raffel et al.
 * 2020, arXiv 1910.10683; Shazeer 2020, arXiv 2002.05202).
 *
 *     krs_encdec_config config;
 *     KRS_TRY(krs_encdec_config_read("bart/config.json", &config, err));
 *     krs_encdec_call call = {.struct_size = sizeof call, .input_ids = source,
 *                             .decoder_input_ids = ids, .labels = labels};
 *     krs_encdec_result result = {.struct_size = sizeof result};
 *     krs_encdec_forward(g, &config, &call, &result);
 *
 * Folders are opened, filled and saved as those of any model (model.h).
 * Dropout settings are not read: nothing is dropped.
 *
 * What the architectures fix, the rest being settings:
 *
 *               positions              norm        norms stand  biases
 *   transformer sinusoidal, sin and    layer_norm  by normalize  yes
 *               cos in turn                        _before
 *   marian      sinusoidal, all sines  layer_norm  behind        yes, of
 *               first                                            logits too
 *   bart        learned                layer_norm  behind, and   yes, of
 *                                                  behind the    logits too
 *                                                  embeddings
 *   t5          relative, in buckets   rms_norm    in front      no
 *
 * "transformer" is the model_type of no library but this one; its tensors are
 * named as those of Marian, its class is TransformerForConditionalGeneration.
 */
#ifndef KRS_ENCDEC_H
#define KRS_ENCDEC_H

#include <krs/architecture.h>
#include <krs/causal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The feed-forward layers that T5 names: NAME, name, activation, gated:
 * f(W_0 x) * W_1 x in place of f(W x). */
#define KRS_FEED_FORWARD_LIST(X)                \
    X(RELU, "relu", RELU, false)                \
    X(GELU, "gelu", GELU, false)                \
    X(SILU, "silu", SILU, false)                \
    X(GATED_RELU, "gated-relu", RELU, true)     \
    X(GATED_GELU, "gated-gelu", GELU_NEW, true) \
    X(GATED_SILU, "gated-silu", SILU, true)

typedef enum krs_feed_forward {
#define KRS_FEED_FORWARD_ENUM(NAME, name, activation, gated) \
    KRS_FEED_FORWARD_##NAME,
    KRS_FEED_FORWARD_LIST(KRS_FEED_FORWARD_ENUM)
#undef KRS_FEED_FORWARD_ENUM
        KRS_FEED_FORWARDS
} krs_feed_forward;

/* Fields as config.json of BART and Marian names them; what T5 calls otherwise
 * stands behind. Plain value; start from krs_encdec_defaults. */
typedef struct krs_encdec_config {
    krs_architecture architecture; /* one of the family ENCDEC */
    int64_t vocab_size;
    int64_t d_model;
    int64_t encoder_layers;          /* num_layers */
    int64_t decoder_layers;          /* num_decoder_layers */
    int64_t encoder_attention_heads; /* num_heads */
    int64_t decoder_attention_heads; /* as the encoder's in T5 */
    int64_t d_kv;                    /* T5: size of a head; else 0: d_model by
                                        heads */
    int64_t encoder_ffn_dim;         /* d_ff */
    int64_t decoder_ffn_dim;         /* as the encoder's in T5 */
    int64_t max_position_embeddings; /* T5: 0, there is no limit */
    krs_activation activation_function; /* not T5 */
    krs_feed_forward feed_forward_proj; /* T5 */
    bool normalize_before;              /* transformer: norms in front */
    bool scale_embedding;               /* by sqrt(d_model); not T5 */
    bool tie_word_embeddings;
    bool scale_decoder_outputs;              /* T5: by 1/sqrt(d_model) */
    int64_t relative_attention_num_buckets;  /* T5 */
    int64_t relative_attention_max_distance; /* T5 */
    double layer_norm_eps; /* layer_norm_epsilon; fixed but in T5 */
    double init_std;       /* deviation of fresh weights */
    krs_special_ids ids;
} krs_encdec_config;

/* krs_encdec_defaults(architecture) -- what an empty config.json of it means:
 * BART large, T5 small, the base Transformer of the paper.
 * krs_encdec_check(config, err) -- sizes in their bounds, heads that divide,
 * switches that the architecture has, ids inside the vocabulary: RANGE with a
 * text that begins with the field's name. */
KRS_API krs_encdec_config krs_encdec_defaults(krs_architecture architecture);
KRS_API krs_status krs_encdec_check(const krs_encdec_config *config,
                                    krs_error *err);

/* What to compute. Fields left 0 (KRS_NONE) mean "without". */
typedef struct krs_encdec_call {
    size_t struct_size; /* sizeof (krs_encdec_call) */
    krs_node input_ids; /* i64 [B, S], 0 <= id < vocab_size */
    /* bool [B, S], true where there is a token, at least one a row; KRS_NONE:
     * everywhere */
    krs_node attention_mask;
    krs_node decoder_input_ids; /* i64 [B, T], decoder_start_token_id first */
    krs_node labels; /* i64 [B, T], -100: not counted; logits[t] is scored
                        against labels[t] */
    krs_node *encoder_hidden; /* room for encoder_layers + 1 nodes, or NULL */
    krs_node *decoder_hidden; /* room for decoder_layers + 1 nodes, or NULL */
} krs_encdec_call;

typedef struct krs_encdec_result {
    size_t struct_size; /* sizeof (krs_encdec_result) */
    krs_node encoded;   /* f32 [B, S, C] */
    krs_node logits;    /* f32 [B, T, V] */
    krs_node loss;      /* f32 scalar, the mean over what counts */
    /* hidden[i], f32 [B, S or T, C]: 0 the embedding output, i the state after
     * layer i, the last one after a final norm if there is one */
} krs_encdec_result;

/* krs_encdec_forward(g, config, call, result) -- write the forward pass into g;
 * gives result.logits. Errors as poison (graph.h): ARGUMENT for a struct_size
 * that is unknown; SHAPE for ids, mask or labels that do not fit; RANGE for
 * more places than max_position_embeddings. */
KRS_API krs_node krs_encdec_forward(krs_graph *g,
                                    const krs_encdec_config *config,
                                    const krs_encdec_call *call,
                                    krs_encdec_result *result);

/* ---- generation: the source is read once, the decoder goes on ---- */

/* A source of given sizes: what the decoder reads of it lies in states of the
 * store. Plain value; config is borrowed. */
typedef struct krs_encdec_memory {
    const krs_encdec_config *config;
    int64_t batch, source; /* B, S */
} krs_encdec_memory;

/* krs_encdec_read(store, memory, ids, mask, err) -- encode ids i64 [B, S], mask
 * bool [B, S] as above (NULL: tokens everywhere) and keep, for each layer of the
 * decoder, keys and values of what it attends to.
 * krs_encdec_decoder(memory) -- the decoder as a model of causal.h for that
 * batch, to be given to krs_decoder_open (generate.h) after krs_encdec_read;
 * borrows memory. A prompt begins with decoder_start_token_id.
 * Errors     SHAPE, RANGE, MEMORY; those of the device. */
KRS_API krs_status krs_encdec_read(krs_store *store,
                                   const krs_encdec_memory *memory,
                                   const int64_t *ids, const bool *mask,
                                   krs_error *err);
KRS_API krs_causal_model krs_encdec_decoder(const krs_encdec_memory *memory);

/* krs_encdec_config_read(path, config, err), krs_encdec_config_write(path,
 * config, err) -- a config.json; see those of llama.h.
 * Errors     IO, FORMAT, UNSUPPORTED, MEMORY. */
KRS_API krs_status krs_encdec_config_read(const char *path,
                                          krs_encdec_config *out,
                                          krs_error *err);
KRS_API krs_status krs_encdec_config_write(const char *path,
                                           const krs_encdec_config *config,
                                           krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
