/* llama.h -- LLaMA (Touvron et al. 2023, arXiv 2302.13971 and 2307.09288) and
 * those that differ from it by a window or biases, Mistral (Jiang et al. 2023,
 * arXiv 2310.06825) and Qwen2 (Yang et al. 2024, arXiv 2407.10671): settings,
 * forward pass, folders in the Hugging Face format, GGUF files.
 *
 *     krs_llama_config config;
 *     KRS_TRY(krs_llama_open("model", store, &config, err));
 *     krs_causal_model model = krs_llama_model(&config);
 *
 * What the forward pass covers: grouped key/value heads, a head size apart
 * from hidden_size / heads, biases in attention and MLP, a sliding window, a
 * tied or untied output matrix, rope types default, linear, llama3, yarn. Dropout settings
 * are not read: nothing is dropped.
 */
#ifndef KRS_LLAMA_H
#define KRS_LLAMA_H

#include <krs/architecture.h>
#include <krs/causal.h>
#include <krs/rope.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KRS_LLAMA_STOP_IDS KRS_STOP_IDS

/* Fields as config.json names them. Plain value; start from
 * krs_llama_defaults. */
typedef struct krs_llama_config {
    krs_architecture architecture; /* one of the family LLAMA */
    int64_t vocab_size;
    int64_t hidden_size;
    int64_t intermediate_size;
    int64_t num_hidden_layers;
    int64_t num_attention_heads;
    int64_t num_key_value_heads; /* divides num_attention_heads */
    int64_t head_dim;            /* even */
    int64_t max_position_embeddings;
    double rms_norm_eps;
    double initializer_range; /* deviation of fresh weights */
    krs_rope_scaling rope;
    bool attention_bias;        /* in the projections to q, k and v */
    bool attention_output_bias; /* in the one after attention */
    bool mlp_bias;
    bool tie_word_embeddings;
    int64_t sliding_window; /* keys that a query sees, its own last; 0: all */
    int64_t max_window_layers; /* layers below it see all keys all the same */
    int64_t bos_token_id;      /* -1: none */
    int64_t pad_token_id;      /* -1: none */
    int64_t eos_token_id[KRS_LLAMA_STOP_IDS];
    int eos_count;
} krs_llama_config;

/* krs_llama_defaults() -- what an empty config.json means: LLaMA-2 7B. */
KRS_API krs_llama_config krs_llama_defaults(void);

/* krs_llama_check(config, err) -- positive sizes, heads that divide, an even
 * head size, ids inside the vocabulary, biases and window as the architecture
 * has them, rope: RANGE with a text that begins
 * with the field's name. */
KRS_API krs_status krs_llama_check(const krs_llama_config *config,
                                   krs_error *err);

/* krs_llama_model(config) -- the model (causal.h). Borrows config. */
KRS_API krs_causal_model krs_llama_model(const krs_llama_config *config);

/* krs_llama_init(store, config, seed, err) -- fresh parameters: weights normal
 * with deviation initializer_range, norms one, biases zero. */
KRS_API krs_status krs_llama_init(krs_store *store,
                                  const krs_llama_config *config, uint64_t seed,
                                  krs_error *err);

/* ---- folders: config.json and model.safetensors ---- */

/* krs_llama_config_read(path, config, err) -- a config.json. Every value that
 * the forward pass would not follow is refused with its JSON path.
 * krs_llama_config_parse -- the same of a text; name stands for the file.
 * krs_llama_config_write(path, config, err) -- a config.json that reads back
 * to the same settings.
 * Errors     IO, FORMAT, UNSUPPORTED, MEMORY. */
KRS_API krs_status krs_llama_config_read(const char *path,
                                         krs_llama_config *out, krs_error *err);
KRS_API krs_status krs_llama_config_parse(const char *name, const char *text,
                                          size_t bytes, krs_llama_config *out,
                                          krs_error *err);
KRS_API krs_status krs_llama_config_write(const char *path,
                                          const krs_llama_config *config,
                                          krs_error *err);

/* krs_llama_weights(model, config, &w, err) -- the settings and tensors of a
 * model folder or a .gguf file, the latter named and laid out as in Hugging
 * Face folders too. Close w.
 * Errors     IO, FORMAT, UNSUPPORTED, MEMORY. */
KRS_API krs_status krs_llama_weights(const char *model, krs_llama_config *out,
                                     krs_weights **out_weights, krs_error *err);

/* krs_llama_open(model, store, config, err) -- the parameters of a model folder
 * or a .gguf file, in f32; see krs_nn_load.
 * krs_llama_save(folder, store, config, err) -- write both into a folder that
 * exists. */
KRS_API krs_status krs_llama_open(const char *model, krs_store *store,
                                  krs_llama_config *out, krs_error *err);
KRS_API krs_status krs_llama_save(const char *folder, const krs_store *store,
                                  const krs_llama_config *config,
                                  krs_error *err);

/* krs_llama_convert(model, path, options, err) -- a model folder or a .gguf
 * file as the other, names, layout and settings turned too.
 *
 *   path      a name that ends in .gguf; or a folder that exists, which gets
 *             config.json and model.safetensors or its shards
 *   options   dtype and shard_bytes count, format does not; NULL: all zero
 *
 * A tokenizer.json and the chat template go along, the former in a GGUF file as
 * tokenizer.huggingface.json; a tokenizer in the keys of a GGUF file as
 * tokenizer.gguf, which holds them and no tensor.
 * A Mistral becomes a LLaMA. Errors  UNSUPPORTED for a sliding window to GGUF,
 * which has no setting for it there; those of krs_llama_weights and
 * krs_weights_convert. */
KRS_API krs_status krs_llama_convert(const char *model, const char *path,
                                     const krs_convert_options *options,
                                     krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
