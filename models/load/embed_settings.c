/* embed_settings.c -- how a folder of sentence-transformers makes vectors of
 * hidden states (krs_embed_settings in embed.h).
 *
 * In: modules.json, a list of steps, each with a type and a folder of its own
 * for settings; sentence_bert_config.json for the longest text. Out: pooling,
 * normalization and length. A step that is not followed is refused.
 */
#include "json_file.h"
#include "path.h"

#include <krs/embed.h>

#include <stdlib.h>
#include <string.h>

/* The modes that are refused where they are on. */
static const char *const other_modes[] = {
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
    "pooling_mode_lasttoken",
};

static krs_status
read_pooling(const krsi_json *root, krs_pooling *out, krs_error *err)
{
    static const char *const keys[] = {
#define KEY(NAME, key) key,
        KRS_POOLING_LIST(KEY)
#undef KEY
    };
    int found = 0;
    bool is_on;
    for (int i = 0; i < KRS_POOLINGS; i++) {
        KRS_TRY(krsi_json_bool_or(root, keys[i], false, &is_on, err));
        if (is_on)
            *out = (krs_pooling)i;
        found += is_on;
    }
    for (size_t i = 0; i < sizeof other_modes / sizeof *other_modes; i++) {
        KRS_TRY(krsi_json_bool_or(root, other_modes[i], false, &is_on, err));
        if (is_on)
            return krs_fail(err, KRS_E_UNSUPPORTED,
                            "%s: $.%s: true; pooling is over the mean, the "
                            "first or the largest",
                            krsi_json_name(root->file), other_modes[i]);
    }
    if (found != 1)
        return krsi_json_wrong(root, err,
                               "%d of mean, first and largest are on; one is "
                               "possible",
                               found);
    return KRS_OK;
}

/* A setting file of the folder; *out is NULL where there is none. */
static krs_status
open_file(const char *folder, const char *name, krsi_json_file **out,
          krs_error *err)
{
    char *path;
    krs_status status = KRS_OK;
    *out = NULL;
    KRS_TRY(krsi_path(&path, err, "%s/%s", folder, name));
    if (krsi_is_file(path))
        status = krsi_json_open(path, out, err);
    free(path);
    return status;
}

static krs_status
open_pooling(const char *folder, const krsi_json *module, krs_pooling *out,
             krs_error *err)
{
    krsi_json_file *file;
    const char *name;
    char *path;
    KRS_TRY(krsi_json_string(module, "path", &name, err));
    if (*name == '\0' || *name == '.' || strchr(name, '/') != NULL)
        return krsi_json_wrong(module, err,
                               "path: expected the name of a folder beside it");
    KRS_TRY(krsi_path(&path, err, "%s/%s/config.json", folder, name));
    krs_status status = krsi_json_open(path, &file, err);
    free(path);
    KRS_TRY(status);
    krsi_json root = krsi_json_root(file);
    status = read_pooling(&root, out, err);
    krsi_json_close(file);
    return status;
}

/* "sentence_transformers.models.Pooling" is the module Pooling. */
static bool
is_module(const char *type, const char *name)
{
    const char *last = strrchr(type, '.');
    return strcmp(last != NULL ? last + 1 : type, name) == 0;
}

static krs_status
read_modules(const char *folder, const krsi_json *list, krs_embed_options *o,
             krs_error *err)
{
    krsi_json module;
    const char *type;
    if (!krsi_json_is_array(list))
        return krsi_json_wrong(list, err, "expected a list of modules");
    o->normalize = false;
    for (size_t i = 0; i < krsi_json_count(list); i++) {
        KRS_TRY(krsi_json_item(list, i, &module, err));
        KRS_TRY(krsi_json_string(&module, "type", &type, err));
        if (is_module(type, "Pooling"))
            KRS_TRY(open_pooling(folder, &module, &o->pooling, err));
        else if (is_module(type, "Normalize"))
            o->normalize = true;
        else if (!is_module(type, "Transformer"))
            return krsi_json_wrong(&module, err,
                                   "expected the type Transformer, Pooling or "
                                   "Normalize");
    }
    return KRS_OK;
}

krs_status
krs_embed_settings(const char *folder, const krs_bert_config *config,
                   krs_embed_options *out, krs_error *err)
{
    krsi_json_file *file;
    krs_embed_options o = {.struct_size = sizeof o,
                           .pooling = KRS_POOLING_MEAN,
                           .normalize = true,
                           .max_length = config->max_position_embeddings};
    krs_status status = KRS_OK;
    KRS_TRY(open_file(folder, "modules.json", &file, err));
    if (file != NULL) {
        krsi_json root = krsi_json_root(file);
        status = read_modules(folder, &root, &o, err);
        krsi_json_close(file);
        KRS_TRY(status);
    }
    KRS_TRY(open_file(folder, "sentence_bert_config.json", &file, err));
    if (file != NULL) {
        krsi_json root = krsi_json_root(file);
        status = krsi_json_int_or(&root, "max_seq_length", 1,
                                  config->max_position_embeddings, o.max_length,
                                  &o.max_length, err);
        krsi_json_close(file);
        KRS_TRY(status);
    }
    *out = o;
    return KRS_OK;
}
