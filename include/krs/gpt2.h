/* gpt2.h -- GPT-2 (Radford et al. 2019, Language Models are Unsupervised
 * Multitask Learners): settings, forward pass, config.json.
 *
 *     krs_gpt2_config config;
 *     KRS_TRY(krs_gpt2_config_read("gpt2/config.json", &config, err));
 *     krs_causal_model model = krs_gpt2_model(&config);
 *
 * Folders are opened, filled and saved as those of any model (model.h).
 * Dropout settings are not read: nothing is dropped.
 */
#ifndef KRS_GPT2_H
#define KRS_GPT2_H

#include <krs/architecture.h>
#include <krs/causal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fields as config.json names them. Plain value; start from
 * krs_gpt2_defaults. */
typedef struct krs_gpt2_config {
    int64_t vocab_size;
    int64_t n_positions;
    int64_t n_embd;
    int64_t n_layer;
    int64_t n_head;  /* divides n_embd */
    int64_t n_inner; /* 0: 4 n_embd */
    krs_activation activation_function;
    double layer_norm_epsilon;
    double initializer_range;             /* deviation of fresh weights */
    bool scale_attn_weights;              /* scores by 1/sqrt(head size) */
    bool scale_attn_by_inverse_layer_idx; /* and by 1/(layer + 1) */
    bool tie_word_embeddings;
    krs_special_ids ids;
} krs_gpt2_config;

/* krs_gpt2_defaults() -- what an empty config.json means: GPT-2 small. */
KRS_API krs_gpt2_config krs_gpt2_defaults(void);

/* krs_gpt2_check(config, err) -- sizes in their bounds, heads that divide,
 * ids inside the vocabulary: RANGE with a text that begins with the field's
 * name. */
KRS_API krs_status krs_gpt2_check(const krs_gpt2_config *config,
                                  krs_error *err);

/* krs_gpt2_model(config) -- the model (causal.h). Borrows config. Positions
 * count the tokens of a row, without padding. A call is refused with RANGE if
 * it has more ids than n_positions. */
KRS_API krs_causal_model krs_gpt2_model(const krs_gpt2_config *config);

/* krs_gpt2_config_read(path, config, err), krs_gpt2_config_write(path, config,
 * err) -- a config.json; see those of llama.h.
 * Errors     IO, FORMAT, UNSUPPORTED, MEMORY. */
KRS_API krs_status krs_gpt2_config_read(const char *path, krs_gpt2_config *out,
                                        krs_error *err);
KRS_API krs_status krs_gpt2_config_write(const char *path,
                                         const krs_gpt2_config *config,
                                         krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
