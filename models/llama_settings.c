/* llama_settings.c -- the settings of a LLaMA: defaults and what must hold.
 *
 * In: a krs_llama_config. Out: accepted, or the first rule that it breaks, in
 * a text that begins with the field's name, so that the reader of config.json
 * can put the JSON path in front. The forward pass relies on these rules and
 * on no others.
 */
#include "load/config_fields.h"

#include <string.h>

krs_llama_config
krs_llama_defaults(void)
{
    return (krs_llama_config){.vocab_size = 32000,
                              .hidden_size = 4096,
                              .intermediate_size = 11008,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 32,
                              .head_dim = 128,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-6,
                              .initializer_range = 0.02,
                              .rope = krs_rope_defaults(),
                              .bos_token_id = 1,
                              .pad_token_id = -1,
                              .eos_token_id = {2},
                              .eos_count = 1};
}

/* Far above every model that exists, and low enough that a config.json made to
 * harm cannot have a graph without end built, or a table of frequencies. */
enum { LAYERS_MAX = 4096, HEAD_DIM_MAX = 65536 };

static krs_status
check_size(const char *name, int64_t value, int64_t most, krs_error *err)
{
    if (value < 1 || value > most)
        return krs_fail(err, KRS_E_RANGE, "%s: %lld is not a size in [1, %lld]",
                        name, (long long)value, (long long)most);
    return KRS_OK;
}

static krs_status
check_positive(const char *name, double value, krs_error *err)
{
    if (!(value > 0.0 && value < 1.0))
        return krs_fail(err, KRS_E_RANGE, "%s: %g is not in (0, 1)", name,
                        value);
    return KRS_OK;
}

/* What config.json of the architecture could say: no more is written. */
static krs_status
check_architecture(const krs_llama_config *c, krs_error *err)
{
    bool is_qwen2 = c->architecture == KRS_ARCHITECTURE_QWEN2;
    const char *type = krs_architecture_type(c->architecture);
    if ((size_t)c->architecture >= KRS_ARCHITECTURES ||
        krs_architecture_family(c->architecture) != KRS_FAMILY_LLAMA)
        return krs_fail(err, KRS_E_RANGE, "model_type: \"%s\" is no LLaMA",
                        type);
    if (c->sliding_window < 0 || c->max_window_layers < 0)
        return krs_fail(err, KRS_E_RANGE,
                        "sliding_window: %lld keys from layer %lld on "
                        "(max_window_layers); neither is below 0",
                        (long long)c->sliding_window,
                        (long long)c->max_window_layers);
    if ((c->sliding_window > 0 && c->architecture == KRS_ARCHITECTURE_LLAMA) ||
        (c->max_window_layers > 0 && !is_qwen2))
        return krs_fail(err, KRS_E_RANGE,
                        "sliding_window: %lld keys from layer %lld on "
                        "(max_window_layers) is nothing that \"%s\" has",
                        (long long)c->sliding_window,
                        (long long)c->max_window_layers, type);
    bool is_llama = c->architecture == KRS_ARCHITECTURE_LLAMA;
    if (is_llama ? c->attention_output_bias != c->attention_bias
                 : c->attention_bias != is_qwen2 || c->attention_output_bias ||
                       c->mlp_bias)
        return krs_fail(err, KRS_E_RANGE,
                        "attention_bias: %d, of the output %d, mlp_bias: %d "
                        "is nothing that \"%s\" has",
                        c->attention_bias, c->attention_output_bias,
                        c->mlp_bias, type);
    return KRS_OK;
}

krs_special_ids
krsi_llama_ids(const krs_llama_config *c)
{
    krs_special_ids ids = {.bos_token_id = c->bos_token_id,
                           .pad_token_id = c->pad_token_id,
                           .decoder_start_token_id = -1,
                           .eos_count = c->eos_count};
    memcpy(ids.eos_token_id, c->eos_token_id, sizeof ids.eos_token_id);
    return ids;
}

krs_status
krs_llama_check(const krs_llama_config *c, krs_error *err)
{
    const struct {
        const char *name;
        int64_t value, most;
    } sizes[] = {
        {"vocab_size",              c->vocab_size,              INT32_MAX   },
        {"hidden_size",             c->hidden_size,             INT32_MAX   },
        {"intermediate_size",       c->intermediate_size,       INT32_MAX   },
        {"num_hidden_layers",       c->num_hidden_layers,       LAYERS_MAX  },
        {"num_attention_heads",     c->num_attention_heads,     INT32_MAX   },
        {"num_key_value_heads",     c->num_key_value_heads,     INT32_MAX   },
        {"head_dim",                c->head_dim,                HEAD_DIM_MAX},
        {"max_position_embeddings", c->max_position_embeddings, INT32_MAX   },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        KRS_TRY(check_size(sizes[i].name, sizes[i].value, sizes[i].most, err));
    KRS_TRY(check_architecture(c, err));
    if (c->num_attention_heads % c->num_key_value_heads != 0)
        return krs_fail(err, KRS_E_RANGE,
                        "num_attention_heads: %lld is not a multiple of "
                        "num_key_value_heads %lld",
                        (long long)c->num_attention_heads,
                        (long long)c->num_key_value_heads);
    if (c->head_dim % 2 != 0)
        return krs_fail(err, KRS_E_RANGE,
                        "head_dim: %lld is odd; rotary embeddings turn pairs "
                        "of channels",
                        (long long)c->head_dim);
    KRS_TRY(check_positive("rms_norm_eps", c->rms_norm_eps, err));
    KRS_TRY(check_positive("initializer_range", c->initializer_range, err));
    krs_special_ids ids = krsi_llama_ids(c);
    KRS_TRY(krsi_ids_check(&ids, c->vocab_size, err));
    krs_error inner;
    if (krs_rope_check(&c->rope, &inner) != KRS_OK)
        return krs_fail(err, inner.status, "rope_parameters.%s", inner.text);
    return KRS_OK;
}
