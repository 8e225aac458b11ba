/* model_folder.c -- a model from a folder or GGUF file into a store, and from
 * there to a folder in the Hugging Face format, config.json beside
 * model.safetensors; fresh parameters (model.h, llama.h).
 *
 * In: a folder or file and a store. Out: settings, and the parameters in the
 * store under the names of the checkpoint; or the other way round. The
 * parameters are those that the forward pass declares, so neither side lists
 * names.
 */
#include "path.h"

#include <krs/model.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

krs_status
krs_model_causal(const krs_model_config *c, krs_causal_model *out,
                 krs_error *err)
{
    switch (krs_architecture_family(c->architecture)) {
    case KRS_FAMILY_LLAMA: *out = krs_llama_model(&c->of.llama); return KRS_OK;
    case KRS_FAMILY_GPT2: *out = krs_gpt2_model(&c->of.gpt2); return KRS_OK;
    case KRS_FAMILY_BERT: break;
    case KRS_FAMILY_ENCDEC: break;
    }
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "model_type \"%s\" is no decoder-only language model",
                    krs_architecture_type(c->architecture));
}

/* ---- from files ---- */

static krs_status
load(krs_store *store, const krs_model_config *config,
     const krs_weights *weights, krs_weights_form form, krs_error *err)
{
    krs_graph *g;
    krs_node *parameters;
    size_t count;
    KRS_TRY(krs_model_parameters(config, &g, &parameters, &count, err));
    krs_status status =
        krs_nn_load_weights(store, parameters, count, weights, form, err);
    free(parameters);
    krs_graph_free(g);
    return status;
}

krs_status
krs_model_open(const char *model, krs_store *store, krs_model_config *out,
               krs_error *err)
{
    return krs_model_open_as(model, store, KRS_WIDENED, out, err);
}

krs_status
krs_model_open_as(const char *model, krs_store *store, krs_weights_form form,
                  krs_model_config *out, krs_error *err)
{
    krs_model_config config;
    krs_weights *weights;
    KRS_TRY(krs_model_weights(model, &config, &weights, err));
    krs_status status = load(store, &config, weights, form, err);
    krs_weights_close(weights);
    if (status == KRS_OK)
        *out = config;
    return status;
}

static krs_model_config
of_llama(const krs_llama_config *config)
{
    return (krs_model_config){.architecture = config->architecture,
                              .of.llama = *config};
}

krs_status
krs_llama_open(const char *model, krs_store *store, krs_llama_config *out,
               krs_error *err)
{
    krs_llama_config config;
    krs_weights *weights;
    KRS_TRY(krs_llama_weights(model, &config, &weights, err));
    krs_model_config any = of_llama(&config);
    krs_status status = load(store, &any, weights, KRS_WIDENED, err);
    krs_weights_close(weights);
    if (status == KRS_OK)
        *out = config;
    return status;
}

/* ---- to files ---- */

static krs_status
save_weights(const char *folder, const krs_store *store,
             const krs_model_config *config, krs_error *err)
{
    krs_graph *g;
    krs_node *parameters;
    size_t count;
    char *path;
    KRS_TRY(krsi_path(&path, err, "%s/model.safetensors", folder));
    krs_status status =
        krs_model_parameters(config, &g, &parameters, &count, err);
    if (status == KRS_OK) {
        status = krs_nn_save(store, parameters, count, path, err);
        free(parameters);
        krs_graph_free(g);
    }
    free(path);
    return status;
}

krs_status
krs_model_save(const char *folder, const krs_store *store,
               const krs_model_config *config, krs_error *err)
{
    char *path;
    KRS_TRY(save_weights(folder, store, config, err));
    KRS_TRY(krsi_path(&path, err, "%s/config.json", folder));
    krs_status status = krs_model_config_write(path, config, err);
    free(path);
    return status;
}

krs_status
krs_llama_save(const char *folder, const krs_store *store,
               const krs_llama_config *config, krs_error *err)
{
    krs_model_config any = of_llama(config);
    return krs_model_save(folder, store, &any, err);
}

/* ---- fresh ---- */

static double
deviation(const krs_model_config *c)
{
    switch (krs_architecture_family(c->architecture)) {
    case KRS_FAMILY_LLAMA: return c->of.llama.initializer_range;
    case KRS_FAMILY_GPT2: return c->of.gpt2.initializer_range;
    case KRS_FAMILY_BERT: return c->of.bert.initializer_range;
    case KRS_FAMILY_ENCDEC: return c->of.encdec.init_std;
    }
    return 0;
}

/* T5 has no 1/sqrt(head size) on the scores: it begins with queries that are so
 * much smaller, and with every sum of products of deviation about 1. */
static size_t
t5_rules(const krs_encdec_config *c, krs_init_rule *rules)
{
    double f = c->init_std, width = 1 / sqrt((double)c->d_model);
    double heads = (double)c->encoder_attention_heads * (double)c->d_kv;
    const krs_init_rule own[] = {
        {"*Attention.q.weight",       KRS_INIT_NORMAL,
         f * width / sqrt((double)c->d_kv)                            },
        {"*Attention.o.weight",       KRS_INIT_NORMAL, f / sqrt(heads)},
        {"*DenseReluDense.wo.weight", KRS_INIT_NORMAL,
         f / sqrt((double)c->encoder_ffn_dim)                         },
        {"*block.*",                  KRS_INIT_NORMAL, f * width      },
    };
    memcpy(rules, own, sizeof own);
    return sizeof own / sizeof *own;
}

krs_status
krs_model_init(krs_store *store, const krs_model_config *config, uint64_t seed,
               krs_error *err)
{
    /* norms are called LayerNorm in BERT, ln_1, ln_2, ln_f in GPT-2 */
    krs_init_rule rules[12] = {
        {"*norm.weight",                KRS_INIT_ONES,  0.0},
        {"*LayerNorm.weight",           KRS_INIT_ONES,  0.0},
        {"*layernorm_embedding.weight", KRS_INIT_ONES,  0.0},
        {"*ln_[12f].weight",            KRS_INIT_ONES,  0.0},
        {"*bias",                       KRS_INIT_ZEROS, 0.0},
    };
    size_t rule_count = 5, count;
    krs_graph *g;
    krs_node *parameters;
    if (config->architecture == KRS_ARCHITECTURE_T5)
        rule_count += t5_rules(&config->of.encdec, rules + rule_count);
    rules[rule_count++] =
        (krs_init_rule){"*", KRS_INIT_NORMAL, deviation(config)};
    KRS_TRY(krs_model_parameters(config, &g, &parameters, &count, err));
    krs_status status =
        krs_nn_init(store, parameters, count, rules, rule_count, seed, err);
    free(parameters);
    krs_graph_free(g);
    return status;
}

krs_status
krs_llama_init(krs_store *store, const krs_llama_config *config, uint64_t seed,
               krs_error *err)
{
    krs_model_config any = of_llama(config);
    return krs_model_init(store, &any, seed, err);
}
