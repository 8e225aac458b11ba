/* model.h -- a model of any architecture that the library has
 * (architecture.h), known by what its config.json says.
 *
 *     krs_model_config config;
 *     krs_causal_model model;
 *     KRS_TRY(krs_model_open("model", store, &config, err));
 *     KRS_TRY(krs_model_causal(&config, &model, err));
 */
#ifndef KRS_MODEL_H
#define KRS_MODEL_H

#include <krs/bert.h>
#include <krs/encdec.h>
#include <krs/gpt2.h>
#include <krs/llama.h>
#include <krs/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Plain value; of the union the member that the family of the architecture
 * names counts. */
typedef struct krs_model_config {
    krs_architecture architecture;
    union {
        krs_llama_config llama;
        krs_gpt2_config gpt2;
        krs_bert_config bert;
        krs_encdec_config encdec;
    } of;
} krs_model_config;

/* krs_model_config_read(path, config, err) -- a config.json of any of them.
 * krs_model_config_write(path, config, err) -- one that reads back the same.
 * Errors     IO, FORMAT, MEMORY; UNSUPPORTED for another model_type or class,
 *            or a setting that the forward pass would not follow. */
KRS_API krs_status krs_model_config_read(const char *path,
                                         krs_model_config *out, krs_error *err);
KRS_API krs_status krs_model_config_write(const char *path,
                                          const krs_model_config *config,
                                          krs_error *err);

/* krs_model_check(config, err) -- the rules of its architecture: RANGE with a
 * text that begins with the field's name. */
KRS_API krs_status krs_model_check(const krs_model_config *config,
                                   krs_error *err);

/* krs_model_vocabulary(config) -- how many ids there are.
 * krs_model_ids(config) -- those of them that mean something. */
KRS_API int64_t krs_model_vocabulary(const krs_model_config *config);
KRS_API krs_special_ids krs_model_ids(const krs_model_config *config);

/* krs_model_weights(model, config, &w, err) -- settings and tensors of a model
 * folder, or of a .gguf file that holds a LLaMA. Close w.
 * Errors     IO, FORMAT, UNSUPPORTED, MEMORY. */
KRS_API krs_status krs_model_weights(const char *model, krs_model_config *out,
                                     krs_weights **out_weights, krs_error *err);

/* ---- what a model computes of a batch ---- */

typedef struct krs_model_sizes {
    int64_t batch;
    int64_t time;   /* ids a row that are scored */
    int64_t source; /* ids a row that an encoder-decoder reads */
} krs_model_sizes;

/* One result. */
#define KRS_MODEL_NAME_BYTES 32
typedef struct krs_model_output {
    char name[KRS_MODEL_NAME_BYTES]; /* "hidden.2", "logits", "loss" */
    krs_node node;
    /* the input that says at which places it means something: attention_mask,
     * where true, or labels, where not -100; NULL: everywhere */
    const char *counts;
} krs_model_output;

/* krs_model_outputs(g, config, sizes, &outputs, &count, err) -- write the whole
 * forward pass into g; free(outputs).
 *
 * Inputs and outputs are named as the arguments and results of the Hugging Face
 * classes: i64 input_ids, labels and so on, bool attention_mask; hidden.i after
 * layer i, logits, loss (not of an encoder alone).
 * Errors     MEMORY; the first error of the graph. */
KRS_API krs_status krs_model_outputs(krs_graph *g,
                                     const krs_model_config *config,
                                     const krs_model_sizes *sizes,
                                     krs_model_output **out, size_t *out_count,
                                     krs_error *err);

/* krs_model_parameters(config, &g, &parameters, &count, err) -- the parameters
 * of the model, as states of a small graph made for the purpose. Free both:
 * free(parameters), krs_graph_free(g). */
KRS_API krs_status krs_model_parameters(const krs_model_config *config,
                                        krs_graph **out_graph,
                                        krs_node **out_parameters,
                                        size_t *out_count, krs_error *err);

/* krs_model_open(model, store, config, err) -- the parameters of a model folder
 * or a .gguf file, in f32; see krs_nn_load.
 * krs_model_open_as(model, store, form, config, err) -- the same; quantised
 * matrices may stay as they are, to be read and not trained: a quarter to a
 * seventh of the memory, and of what a step reads of it.
 * krs_model_save(folder, store, config, err) -- config.json and
 * model.safetensors into a folder that exists.
 * krs_model_init(store, config, seed, err) -- fresh parameters: weights normal
 * with the deviation of the settings, norms one, biases zero; of T5 deviations
 * by the width of what is summed (Raffel et al. 2020's reference code). */
KRS_API krs_status krs_model_open(const char *model, krs_store *store,
                                  krs_model_config *out, krs_error *err);
KRS_API krs_status krs_model_open_as(const char *model, krs_store *store,
                                     krs_weights_form form,
                                     krs_model_config *out, krs_error *err);
KRS_API krs_status krs_model_save(const char *folder, const krs_store *store,
                                  const krs_model_config *config,
                                  krs_error *err);
KRS_API krs_status krs_model_init(krs_store *store,
                                  const krs_model_config *config, uint64_t seed,
                                  krs_error *err);

/* krs_model_causal(config, &model, err) -- as a decoder-only model (causal.h),
 * which borrows config. UNSUPPORTED if it is none. */
KRS_API krs_status krs_model_causal(const krs_model_config *config,
                                    krs_causal_model *out, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
