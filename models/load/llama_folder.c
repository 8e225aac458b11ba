/* llama_folder.c -- a LLaMA from a folder or GGUF file into a store, and from
 * there to a folder in the Hugging Face format: config.json beside
 * model.safetensors.
 *
 * In: a folder or file and a store. Out: settings, and the parameters in the store
 * under the names of the checkpoint; or the other way round. The parameters
 * are those that the forward pass declares, so neither side lists names.
 */
#include "path.h"

#include <krs/llama.h>

#include <stdlib.h>

static krs_status
load(krs_store *store, const krs_llama_config *config,
     const krs_weights *weights, krs_error *err)
{
    krs_causal_model model = krs_llama_model(config);
    krs_graph *g;
    krs_node *parameters;
    size_t count;
    KRS_TRY(krs_causal_parameters(&model, &g, &parameters, &count, err));
    krs_status status =
        krs_nn_load_weights(store, parameters, count, weights, err);
    free(parameters);
    krs_graph_free(g);
    return status;
}

krs_status
krs_llama_open(const char *model, krs_store *store, krs_llama_config *out,
               krs_error *err)
{
    krs_llama_config config;
    krs_weights *weights;
    KRS_TRY(krs_llama_weights(model, &config, &weights, err));
    krs_status status = load(store, &config, weights, err);
    krs_weights_close(weights);
    if (status == KRS_OK)
        *out = config;
    return status;
}

static krs_status
save_weights(const char *folder, const krs_store *store,
             const krs_llama_config *config, krs_error *err)
{
    krs_causal_model model = krs_llama_model(config);
    krs_graph *g;
    krs_node *parameters;
    size_t count;
    char *path;
    KRS_TRY(krsi_path(&path, err, "%s/model.safetensors", folder));
    krs_status status =
        krs_causal_parameters(&model, &g, &parameters, &count, err);
    if (status == KRS_OK) {
        status = krs_nn_save(store, parameters, count, path, err);
        free(parameters);
        krs_graph_free(g);
    }
    free(path);
    return status;
}

krs_status
krs_llama_save(const char *folder, const krs_store *store,
               const krs_llama_config *config, krs_error *err)
{
    char *path;
    KRS_TRY(save_weights(folder, store, config, err));
    KRS_TRY(krsi_path(&path, err, "%s/config.json", folder));
    krs_status status = krs_llama_config_write(path, config, err);
    free(path);
    return status;
}
