/* llama_weights.c -- the settings and tensors of a LLaMA, wherever it lies
 * (krs_llama_weights in llama.h).
 *
 * In: a folder in the Hugging Face format, with config.json beside
 * model.safetensors (or shards with their index), or a GGUF file. Out: settings,
 * and tensors under the names of the checkpoint, still in their files.
 */
#include "llama_gguf.h"

#include <krs/gguf.h>
#include <krs/llama.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static krs_status
open_folder(const char *folder, krs_llama_config *config, krs_weights **out,
            krs_error *err)
{
    size_t bytes = strlen(folder) + sizeof "/config.json";
    char *path = malloc(bytes);
    if (path == NULL)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory for a path", folder);
    snprintf(path, bytes, "%s/config.json", folder);
    krs_status status = krs_llama_config_read(path, config, err);
    free(path);
    KRS_TRY(status);
    return krs_weights_open(folder, out, err);
}

static krs_status
open_gguf(const char *path, krs_llama_config *config, krs_weights **out,
          krs_error *err)
{
    krs_status status = KRS_OK;
    KRS_TRY(krs_weights_open(path, out, err));
    if (!krs_weights_gguf(*out))
        status = krs_fail(err, KRS_E_UNSUPPORTED,
                          "%s: is no GGUF file; of a model in another format "
                          "the folder with its config.json is needed",
                          path);
    else
        status = krsi_llama_from_gguf(*out, config, err);
    if (status != KRS_OK)
        krs_weights_close(*out);
    return status;
}

krs_status
krs_llama_weights(const char *model, krs_llama_config *out,
                  krs_weights **out_weights, krs_error *err)
{
    struct stat info;
    krs_llama_config config;
    krs_weights *weights;
    if (stat(model, &info) == 0 && !S_ISDIR(info.st_mode))
        KRS_TRY(open_gguf(model, &config, &weights, err));
    else
        KRS_TRY(open_folder(model, &config, &weights, err));
    *out = config;
    *out_weights = weights;
    return KRS_OK;
}
