/* llama_config_write.c -- krs_llama_config to a config.json.
 *
 * In: settings that krs_llama_check accepts. Out: a file in the present
 * spelling of Hugging Face (rope_parameters), with every setting that the
 * forward pass has, that llama_config.c reads back to the same settings.
 */
#include "config_fields.h"

#include <krs/llama.h>

#include <jansson.h>

/* jansson's setters take the value over and fail on NULL, so that one look at
 * the results at the end finds a failed allocation anywhere. */
struct writer {
    json_t *object;
    int failed;
};

static void
put(struct writer *w, const char *key, json_t *value /* takes */)
{
    w->failed |= json_object_set_new(w->object, key, value) != 0;
}

static void
put_id(struct writer *w, const char *key, int64_t id)
{
    put(w, key, id < 0 ? json_null() : json_integer(id));
}

static json_t *
rope_object(const krs_rope_scaling *rope)
{
    struct writer w = {json_object(), 0};
    put(&w, "rope_type", json_string(krs_rope_type_name(rope->type)));
    put(&w, "rope_theta", json_real(rope->rope_theta));
    if (rope->type != KRS_ROPE_TYPE_DEFAULT)
        put(&w, "factor", json_real(rope->factor));
    if (rope->type == KRS_ROPE_TYPE_LLAMA3 || rope->type == KRS_ROPE_TYPE_YARN)
        put(&w, "original_max_position_embeddings",
            json_integer(rope->original_max_position_embeddings));
    if (rope->type == KRS_ROPE_TYPE_LLAMA3) {
        put(&w, "low_freq_factor", json_real(rope->low_freq_factor));
        put(&w, "high_freq_factor", json_real(rope->high_freq_factor));
    }
    if (rope->type == KRS_ROPE_TYPE_YARN) {
        put(&w, "beta_fast", json_real(rope->beta_fast));
        put(&w, "beta_slow", json_real(rope->beta_slow));
        put(&w, "truncate", json_boolean(rope->truncate));
        if (rope->mscale > 0.0)
            put(&w, "mscale", json_real(rope->mscale));
        if (rope->mscale_all_dim > 0.0)
            put(&w, "mscale_all_dim", json_real(rope->mscale_all_dim));
        if (rope->attention_factor > 0.0)
            put(&w, "attention_factor", json_real(rope->attention_factor));
    }
    if (w.failed) {
        json_decref(w.object);
        return NULL;
    }
    return w.object;
}

static json_t *
stop_ids(const krs_llama_config *c)
{
    if (c->eos_count == 0)
        return json_null();
    if (c->eos_count == 1)
        return json_integer(c->eos_token_id[0]);
    json_t *list = json_array();
    for (int i = 0; i < c->eos_count; i++)
        if (json_array_append_new(list, json_integer(c->eos_token_id[i])) !=
            0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* NULL when memory is out */
static json_t *
config_object(const krs_llama_config *c)
{
    struct writer w = {json_object(), 0};
    put(&w, "architectures",
        json_pack("[s]", krs_architecture_class(c->architecture)));
    put(&w, "model_type", json_string(krs_architecture_type(c->architecture)));
    put(&w, "dtype", json_string("float32"));
    put(&w, "hidden_act", json_string("silu"));
    put(&w, "vocab_size", json_integer(c->vocab_size));
    put(&w, "hidden_size", json_integer(c->hidden_size));
    put(&w, "intermediate_size", json_integer(c->intermediate_size));
    put(&w, "num_hidden_layers", json_integer(c->num_hidden_layers));
    put(&w, "num_attention_heads", json_integer(c->num_attention_heads));
    put(&w, "num_key_value_heads", json_integer(c->num_key_value_heads));
    put(&w, "head_dim", json_integer(c->head_dim));
    put(&w, "max_position_embeddings",
        json_integer(c->max_position_embeddings));
    put(&w, "rms_norm_eps", json_real(c->rms_norm_eps));
    put(&w, "initializer_range", json_real(c->initializer_range));
    if (c->architecture == KRS_ARCHITECTURE_LLAMA) {
        put(&w, "attention_bias", json_boolean(c->attention_bias));
        put(&w, "mlp_bias", json_boolean(c->mlp_bias));
    } else {
        put(&w, "sliding_window",
            c->sliding_window > 0 ? json_integer(c->sliding_window)
                                  : json_null());
    }
    if (c->architecture == KRS_ARCHITECTURE_QWEN2) {
        put(&w, "use_sliding_window", json_boolean(c->sliding_window > 0));
        put(&w, "max_window_layers", json_integer(c->max_window_layers));
    }
    put(&w, "tie_word_embeddings", json_boolean(c->tie_word_embeddings));
    put(&w, "rope_parameters", rope_object(&c->rope));
    put_id(&w, "bos_token_id", c->bos_token_id);
    put_id(&w, "pad_token_id", c->pad_token_id);
    put(&w, "eos_token_id", stop_ids(c));
    if (w.failed) {
        json_decref(w.object);
        return NULL;
    }
    return w.object;
}

krs_status
krs_llama_config_write(const char *path, const krs_llama_config *config,
                       krs_error *err)
{
    krs_error inner;
    if (krs_llama_check(config, &inner) != KRS_OK)
        return krs_fail(err, inner.status, "%s: not written: %s", path,
                        inner.text);
    json_t *object = config_object(config);
    krs_status status = krsi_config_print(object, path, err);
    json_decref(object);
    return status;
}
