/* bert.h -- BERT (Devlin et al. 2019, arXiv 1810.04805) and ERNIE (Sun et al.
 * 2020, arXiv 1907.12412), which adds embeddings of a task: settings, forward
 * pass, config.json.
 *
 *     krs_bert_config config;
 *     KRS_TRY(krs_bert_config_read("bert/config.json", &config, err));
 *     krs_bert_call call = {.struct_size = sizeof call, .input_ids = ids};
 *     krs_bert_result result = {.struct_size = sizeof result};
 *     krs_bert_forward(g, &config, &call, &result);
 *     // result.last_hidden, result.pooled
 *
 * Folders are opened, filled and saved as those of any model (model.h). Of the
 * class BertModel or ErnieModel they hold the encoder alone, without heads.
 * Dropout settings are not read: nothing is dropped.
 */
#ifndef KRS_BERT_H
#define KRS_BERT_H

#include <krs/architecture.h>
#include <krs/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fields as config.json names them. Plain value; start from
 * krs_bert_defaults. */
typedef struct krs_bert_config {
    krs_architecture architecture; /* one of the family BERT */
    int64_t vocab_size;
    int64_t hidden_size;
    int64_t num_hidden_layers;
    int64_t num_attention_heads; /* divides hidden_size */
    int64_t intermediate_size;
    krs_activation hidden_act;
    int64_t max_position_embeddings;
    int64_t type_vocab_size;
    double layer_norm_eps;
    double initializer_range;     /* deviation of fresh weights */
    bool tie_word_embeddings;     /* of the masked-token head */
    bool use_task_id;             /* ERNIE */
    int64_t task_type_vocab_size; /* ERNIE */
    krs_special_ids ids;
} krs_bert_config;

/* krs_bert_defaults() -- what an empty config.json means: BERT base. */
KRS_API krs_bert_config krs_bert_defaults(void);

/* krs_bert_check(config, err) -- sizes in their bounds, heads that divide,
 * tasks of ERNIE alone, ids inside the vocabulary: RANGE with a text that begins
 * with the field's name. */
KRS_API krs_status krs_bert_check(const krs_bert_config *config,
                                  krs_error *err);

/* krs_bert_has_heads(config) -- the class has heads for masked tokens and for
 * the next sentence. */
KRS_API bool krs_bert_has_heads(const krs_bert_config *config);

/* What to compute. Fields left 0 (KRS_NONE) mean "without". */
typedef struct krs_bert_call {
    size_t struct_size; /* sizeof (krs_bert_call) */
    krs_node input_ids; /* i64 [B, T], 0 <= id < vocab_size */
    /* bool [B, T], true where there is a token, at least one a row; KRS_NONE:
     * everywhere. What comes out at other places means nothing. */
    krs_node attention_mask;
    krs_node token_type_ids;      /* i64 [B, T]; KRS_NONE: all 0 */
    krs_node task_type_ids;       /* i64 [B, T]; KRS_NONE: all 0 */
    krs_node labels;              /* i64 [B, T], -100: not counted */
    krs_node next_sentence_label; /* i64 [B], 0: B follows A; 1: it does not */
    krs_node *hidden; /* room for num_hidden_layers + 1 nodes, or NULL */
} krs_bert_call;

typedef struct krs_bert_result {
    size_t struct_size;               /* sizeof (krs_bert_result) */
    krs_node last_hidden;             /* f32 [B, T, C] */
    krs_node pooled;                  /* f32 [B, C], of the first token */
    krs_node prediction_logits;       /* f32 [B, T, V]; with heads */
    krs_node seq_relationship_logits; /* f32 [B, 2]; with heads */
    /* f32 scalar: the mean of -ln p of the labels that count, plus the mean of
     * -ln p of the next-sentence labels; either alone if there is one */
    krs_node loss;
    /* call.hidden[i], f32 [B, T, C]: 0 the embedding output, i the state after
     * layer i */
} krs_bert_result;

/* krs_bert_forward(g, config, call, result) -- write the forward pass into g;
 * gives result.last_hidden. Errors as poison (graph.h): ARGUMENT for a
 * struct_size that is unknown, labels without heads, tasks without embeddings;
 * SHAPE for ids, mask or labels that do not fit; RANGE for more places than
 * max_position_embeddings. */
KRS_API krs_node krs_bert_forward(krs_graph *g, const krs_bert_config *config,
                                  const krs_bert_call *call,
                                  krs_bert_result *result);

/* krs_bert_config_read(path, config, err), krs_bert_config_write(path, config,
 * err) -- a config.json; see those of llama.h.
 * Errors     IO, FORMAT, UNSUPPORTED, MEMORY. */
KRS_API krs_status krs_bert_config_read(const char *path, krs_bert_config *out,
                                        krs_error *err);
KRS_API krs_status krs_bert_config_write(const char *path,
                                         const krs_bert_config *config,
                                         krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
