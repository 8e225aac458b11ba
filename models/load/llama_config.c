/* llama_config.c -- config.json of a LLaMA, Mistral or Qwen2 to
 * krs_llama_config. llama_config_write.c writes it.
 *
 * In: the settings as Hugging Face writes them, in the spelling of before
 * version 5 (rope_theta, rope_scaling) or since (rope_parameters). Out: a
 * krs_llama_config that krs_llama_check accepts, or one sentence with file,
 * JSON path and values. Absent keys have the defaults of the format.
 *
 * Refused is what the forward pass would not follow: another model type or
 * activation, quantised weights, rope types that it does not know, the same
 * thing said twice in different ways. Keys that do not touch the forward pass
 * (dropout, caching, versions) are not read.
 */
#include "config_json.h"

#include <krs/llama.h>

#include <string.h>

/* The settings that are one whole number: key, field. */
#define SIZE_LIST(X)       \
    X(vocab_size)          \
    X(hidden_size)         \
    X(intermediate_size)   \
    X(num_hidden_layers)   \
    X(num_attention_heads) \
    X(max_position_embeddings)

/* ---- what differs between the architectures ---- */

/* What an empty config.json of each means. */
static krs_llama_config
defaults_of(krs_architecture architecture)
{
    krs_llama_config c = krs_llama_defaults();
    c.architecture = architecture;
    if (architecture == KRS_ARCHITECTURE_MISTRAL) {
        c.intermediate_size = 14336;
        c.num_key_value_heads = 8;
        c.max_position_embeddings = 131072;
        c.sliding_window = 4096;
    }
    if (architecture == KRS_ARCHITECTURE_QWEN2) {
        c.vocab_size = 151936;
        c.intermediate_size = 22016;
        c.max_position_embeddings = 32768;
        c.attention_bias = true;
        c.bos_token_id = -1;
        c.eos_count = 0;
    }
    return c;
}

/* The list of layer types must say what the two numbers say. */
static krs_status
check_layer_types(const krsi_json *root, const krs_llama_config *c,
                  krs_error *err)
{
    static const char *const kinds[] = {"full_attention", "sliding_attention"};
    krsi_json list, item;
    size_t count;
    const char *text;
    if (!krsi_json_has(root, "layer_types"))
        return KRS_OK;
    KRS_TRY(krsi_json_array(root, "layer_types", &list, &count, err));
    if (count != (size_t)c->num_hidden_layers)
        return krsi_json_wrong(&list, err,
                               "%zu items for %lld layers (num_hidden_layers)",
                               count, (long long)c->num_hidden_layers);
    for (size_t i = 0; i < count; i++) {
        bool slides =
            c->sliding_window > 0 && (int64_t)i >= c->max_window_layers;
        KRS_TRY(krsi_json_item(&list, i, &item, err));
        KRS_TRY(krsi_json_as_string(&item, &text, err));
        if (strcmp(text, kinds[slides]) != 0)
            return krsi_json_wrong(&item, err,
                                   "expected \"%s\", as sliding_window and "
                                   "max_window_layers have it",
                                   kinds[slides]);
    }
    return KRS_OK;
}

/* Mistral: all layers have the window. Qwen2: if use_sliding_window says so,
 * those from max_window_layers on. */
static krs_status
read_window(const krsi_json *root, krs_llama_config *c, krs_error *err)
{
    int64_t absent = c->sliding_window;
    bool used = c->architecture == KRS_ARCHITECTURE_MISTRAL;
    if (c->architecture == KRS_ARCHITECTURE_LLAMA)
        return KRS_OK;
    if (c->architecture == KRS_ARCHITECTURE_QWEN2) {
        absent = 4096;
        KRS_TRY(
            krsi_json_bool_or(root, "use_sliding_window", false, &used, err));
        KRS_TRY(krsi_json_int_or(root, "max_window_layers", 0, INT32_MAX, 28,
                                 &c->max_window_layers, err));
    }
    if (krsi_config_says_none(root, "sliding_window"))
        absent = 0;
    KRS_TRY(krsi_json_int_or(root, "sliding_window", 1, INT32_MAX, absent,
                             &c->sliding_window, err));
    if (!used)
        c->sliding_window = 0;
    if (c->sliding_window == 0)
        c->max_window_layers = 0;
    return check_layer_types(root, c, err);
}

/* LLaMA alone says whether it has biases; attention_bias is of all four. */
static krs_status
read_biases(const krsi_json *root, krs_llama_config *c, krs_error *err)
{
    if (c->architecture != KRS_ARCHITECTURE_LLAMA)
        return KRS_OK;
    KRS_TRY(krsi_json_bool_or(root, "attention_bias", false, &c->attention_bias,
                              err));
    c->attention_output_bias = c->attention_bias;
    return krsi_json_bool_or(root, "mlp_bias", false, &c->mlp_bias, err);
}

/* ---- rope ---- */

static const char *const rope_names[] = {
#define ROPE_NAME(NAME, name) name,
    KRS_ROPE_TYPE_LIST(ROPE_NAME)
#undef ROPE_NAME
};

/* The type is spelt rope_type, before version 4.43 type. */
static krs_status
read_rope_type(const krsi_json *rope, krs_rope_type *out, krs_error *err)
{
    size_t count = sizeof rope_names / sizeof *rope_names, type = 0, old;
    bool is_new = krsi_json_has(rope, "rope_type");
    if (is_new)
        KRS_TRY(
            krsi_json_choice(rope, "rope_type", rope_names, count, &type, err));
    if (krsi_json_has(rope, "type")) {
        KRS_TRY(krsi_json_choice(rope, "type", rope_names, count, &old, err));
        if (is_new && old != type)
            return krsi_json_wrong(rope, err,
                                   "rope_type \"%s\" contradicts type \"%s\"",
                                   rope_names[type], rope_names[old]);
        type = old;
    }
    *out = (krs_rope_type)type;
    return KRS_OK;
}

/* The training context, which yarn takes from the model where it is not given;
 * given alone, it says yarn's factor. */
static krs_status
read_context(const krsi_json *rope, krs_llama_config *c, krs_error *err)
{
    const char *key = "original_max_position_embeddings";
    int64_t *out = &c->rope.original_max_position_embeddings;
    if (c->rope.type != KRS_ROPE_TYPE_YARN)
        return krsi_json_int(rope, key, 1, INT32_MAX, out, err);
    KRS_TRY(krsi_json_int_or(rope, key, 1, INT32_MAX,
                             c->max_position_embeddings, out, err));
    if (krsi_json_has(rope, key) && !krsi_json_has(rope, "factor"))
        c->rope.factor = (double)c->max_position_embeddings / (double)*out;
    return KRS_OK;
}

static krs_status
read_factor(const krsi_json *rope, krs_llama_config *c, krs_error *err)
{
    if (krsi_json_has(rope, "factor") && c->rope.type == KRS_ROPE_TYPE_DEFAULT)
        return krsi_json_wrong(rope, err,
                               "a factor means nothing to rope_type "
                               "\"default\"");
    if (c->rope.type == KRS_ROPE_TYPE_DEFAULT ||
        (c->rope.type == KRS_ROPE_TYPE_YARN && !krsi_json_has(rope, "factor") &&
         krsi_json_has(rope, "original_max_position_embeddings")))
        return KRS_OK;
    return krsi_json_double(rope, "factor", KRSI_POSITIVE, &c->rope.factor,
                            err);
}

/* Whole heads are rotated; the key stands at the top or among the rope's. */
static krs_status
require_whole_heads(const krsi_json *object, krs_error *err)
{
    double partial;
    KRS_TRY(krsi_json_double_or(object, "partial_rotary_factor", KRSI_POSITIVE,
                                1.0, &partial, err));
    if (partial != 1.0)
        return krsi_json_wrong(object, err,
                               "partial_rotary_factor %g: only whole heads "
                               "are rotated",
                               partial);
    return KRS_OK;
}

static krs_status
read_llama3(const krsi_json *rope, krs_rope_scaling *r, krs_error *err)
{
    KRS_TRY(krsi_json_double(rope, "low_freq_factor", KRSI_POSITIVE,
                             &r->low_freq_factor, err));
    return krsi_json_double(rope, "high_freq_factor", KRSI_POSITIVE,
                            &r->high_freq_factor, err);
}

static krs_status
read_yarn(const krsi_json *rope, krs_rope_scaling *r, krs_error *err)
{
    KRS_TRY(krsi_json_double_or(rope, "beta_fast", KRSI_POSITIVE, r->beta_fast,
                                &r->beta_fast, err));
    KRS_TRY(krsi_json_double_or(rope, "beta_slow", KRSI_POSITIVE, r->beta_slow,
                                &r->beta_slow, err));
    KRS_TRY(krsi_json_double_or(rope, "mscale", KRSI_NOT_NEGATIVE, 0.0,
                                &r->mscale, err));
    KRS_TRY(krsi_json_double_or(rope, "mscale_all_dim", KRSI_NOT_NEGATIVE, 0.0,
                                &r->mscale_all_dim, err));
    KRS_TRY(krsi_json_double_or(rope, "attention_factor", KRSI_POSITIVE, 0.0,
                                &r->attention_factor, err));
    return krsi_json_bool_or(rope, "truncate", true, &r->truncate, err);
}

static krs_status
read_rope_object(const krsi_json *rope, krs_llama_config *c, krs_error *err)
{
    krs_rope_scaling *r = &c->rope;
    KRS_TRY(read_rope_type(rope, &r->type, err));
    KRS_TRY(require_whole_heads(rope, err));
    KRS_TRY(read_factor(rope, c, err));
    if (r->type == KRS_ROPE_TYPE_LLAMA3 || r->type == KRS_ROPE_TYPE_YARN)
        KRS_TRY(read_context(rope, c, err));
    if (r->type == KRS_ROPE_TYPE_LLAMA3)
        KRS_TRY(read_llama3(rope, r, err));
    if (r->type == KRS_ROPE_TYPE_YARN)
        KRS_TRY(read_yarn(rope, r, err));
    krs_error inner;
    if (krs_rope_check(r, &inner) != KRS_OK)
        return krs_fail(err, KRS_E_FORMAT, "%s: %s.%s",
                        krsi_json_name(rope->file), rope->path, inner.text);
    return KRS_OK;
}

/* theta stands at the top (old) or among the rope parameters (new). */
static krs_status
read_theta(const krsi_json *root, const krsi_json *rope, double *out,
           krs_error *err)
{
    double absent = *out;
    KRS_TRY(krsi_json_double_or(root, "rope_theta", KRSI_POSITIVE, absent, out,
                                err));
    if (rope == NULL || !krsi_json_has(rope, "rope_theta"))
        return KRS_OK;
    double inner;
    KRS_TRY(krsi_json_double(rope, "rope_theta", KRSI_POSITIVE, &inner, err));
    if (krsi_json_has(root, "rope_theta") && inner != *out)
        return krsi_json_wrong(rope, err,
                               "rope_theta %g contradicts $.rope_theta %g",
                               inner, *out);
    *out = inner;
    return KRS_OK;
}

static krs_status
read_rope(const krsi_json *root, krs_llama_config *c, krs_error *err)
{
    bool has_old = krsi_json_has(root, "rope_scaling");
    bool has_new = krsi_json_has(root, "rope_parameters");
    krsi_json rope;
    KRS_TRY(require_whole_heads(root, err));
    if (has_old && has_new) {
        KRS_TRY(krsi_json_member(root, "rope_scaling", &rope, err));
        return krsi_json_wrong(&rope, err,
                               "stands beside $.rope_parameters; keep one");
    }
    if (!has_old && !has_new) {
        KRS_TRY(read_theta(root, NULL, &c->rope.rope_theta, err));
    } else {
        const char *key = has_old ? "rope_scaling" : "rope_parameters";
        KRS_TRY(krsi_json_object(root, key, &rope, err));
        KRS_TRY(read_theta(root, &rope, &c->rope.rope_theta, err));
        KRS_TRY(read_rope_object(&rope, c, err));
    }
    return KRS_OK;
}

/* ---- sizes and ids ---- */

static krs_status
read_head_dim(const krsi_json *root, krs_llama_config *c, krs_error *err)
{
    if (krsi_json_has(root, "head_dim"))
        return krsi_json_int(root, "head_dim", 1, INT32_MAX, &c->head_dim, err);
    if (c->hidden_size % c->num_attention_heads != 0)
        return krsi_json_wrong(root, err,
                               "hidden_size %lld is not a multiple of "
                               "num_attention_heads %lld, and there is no "
                               "head_dim",
                               (long long)c->hidden_size,
                               (long long)c->num_attention_heads);
    c->head_dim = c->hidden_size / c->num_attention_heads;
    return KRS_OK;
}

static krs_status
read_sizes(const krsi_json *root, krs_llama_config *c, krs_error *err)
{
#define READ_SIZE(key) \
    KRS_TRY(krsi_json_int_or(root, #key, 1, INT32_MAX, c->key, &c->key, err));
    SIZE_LIST(READ_SIZE)
#undef READ_SIZE
    if (c->architecture != KRS_ARCHITECTURE_MISTRAL ||
        krsi_config_says_none(root, "num_key_value_heads"))
        c->num_key_value_heads = c->num_attention_heads;
    KRS_TRY(krsi_json_int_or(root, "num_key_value_heads", 1, INT32_MAX,
                             c->num_key_value_heads, &c->num_key_value_heads,
                             err));
    KRS_TRY(read_head_dim(root, c, err));
    KRS_TRY(krsi_json_double_or(root, "rms_norm_eps", KRSI_POSITIVE,
                                c->rms_norm_eps, &c->rms_norm_eps, err));
    return krsi_json_double_or(root, "initializer_range", KRSI_POSITIVE,
                               c->initializer_range, &c->initializer_range,
                               err);
}

/* -1 is written by some old configurations for "none". An absent id is the
 * default, except where a small vocabulary does not have it. */
static krs_status
read_ids(const krsi_json *root, krs_llama_config *c, krs_error *err)
{
    int64_t bos = c->bos_token_id;
    if (bos >= c->vocab_size || krsi_config_says_none(root, "bos_token_id"))
        bos = -1;
    KRS_TRY(krsi_json_int_or(root, "bos_token_id", -1, INT32_MAX, bos,
                             &c->bos_token_id, err));
    KRS_TRY(krsi_json_int_or(root, "pad_token_id", -1, INT32_MAX, -1,
                             &c->pad_token_id, err));
    if (c->eos_token_id[0] >= c->vocab_size)
        c->eos_count = 0;
    return krsi_config_stop_ids(root, c->eos_token_id, KRS_LLAMA_STOP_IDS,
                                &c->eos_count, err);
}

static krs_status
read_config(const krsi_json *root, krs_llama_config *out, krs_error *err)
{
    krs_architecture architecture;
    KRS_TRY(krsi_config_architecture(
        root, KRS_FAMILY_LLAMA, KRS_ARCHITECTURE_LLAMA, &architecture, err));
    KRS_TRY(krsi_config_word(root, "hidden_act", "silu", err));
    krs_llama_config c = defaults_of(architecture);
    KRS_TRY(read_sizes(root, &c, err));
    KRS_TRY(read_biases(root, &c, err));
    KRS_TRY(krsi_json_bool_or(root, "tie_word_embeddings", false,
                              &c.tie_word_embeddings, err));
    KRS_TRY(read_window(root, &c, err));
    KRS_TRY(read_rope(root, &c, err));
    KRS_TRY(read_ids(root, &c, err));
    krs_error inner;
    if (krs_llama_check(&c, &inner) != KRS_OK)
        return krs_fail(err, KRS_E_FORMAT, "%s: $.%s",
                        krsi_json_name(root->file), inner.text);
    *out = c;
    return KRS_OK;
}

static krs_status
read_and_close(krsi_json_file *file, krs_llama_config *out, krs_error *err)
{
    krsi_json root = krsi_json_root(file);
    krs_status status = read_config(&root, out, err);
    krsi_json_close(file);
    return status;
}

krs_status
krs_llama_config_read(const char *path, krs_llama_config *out, krs_error *err)
{
    krsi_json_file *file;
    KRS_TRY(krsi_json_open(path, &file, err));
    return read_and_close(file, out, err);
}

krs_status
krs_llama_config_parse(const char *name, const char *text, size_t bytes,
                       krs_llama_config *out, krs_error *err)
{
    krsi_json_file *file;
    KRS_TRY(krsi_json_parse(name, text, bytes, &file, err));
    return read_and_close(file, out, err);
}
