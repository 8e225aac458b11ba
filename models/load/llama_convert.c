/* llama_convert.c -- a LLaMA in the format of Hugging Face as a GGUF file, and
 * back (krs_llama_convert in llama.h).
 *
 * In: a model folder or a GGUF file. Out: the other, or one of the same kind
 * with other types. The settings of a GGUF file are made of config.json here,
 * under the keys that llama_gguf.c reads; those that a GGUF file has already
 * go along unchanged. A rope type of llama3 is written as its divisors.
 *
 * A tokenizer that a GGUF file holds in its own keys becomes tokenizer.gguf in
 * a folder: those keys, and no tensor.
 */
#include "gguf_file.h"
#include "llama_gguf.h"
#include "path.h"
#include "tensor_out.h"

#include <krs/pretrained.h>

#include <stdlib.h>
#include <string.h>

enum { MOST_SETTINGS = 128, MOST_PAIRS = 1024 };
#define TOKENIZER_KEYS "tokenizer."

/* Settings on their way, with room for their values, and for the keys that
 * begin with the architecture. */
typedef struct settings {
    const krsi_gguf_dialect *dialect;
    krs_gguf_value list[MOST_SETTINGS];
    size_t count;
    char keys[MOST_SETTINGS][KRSI_GGUF_KEY_BYTES];
    union {
        uint32_t u;
        float f;
        uint8_t b;
        krs_gguf_text t;
    } values[MOST_SETTINGS];
} settings;

static krs_gguf_value *
add(settings *s, const char *key, krs_gguf_type type)
{
    krs_gguf_value *v = &s->list[s->count];
    *v = (krs_gguf_value){
        .key = key, .type = type, .count = 1, .data = &s->values[s->count]};
    s->count++;
    return v;
}

static void
add_int(settings *s, const char *key, int64_t value)
{
    s->values[s->count].u = (uint32_t)value;
    add(s, key, KRS_GGUF_U32);
}

/* the key of a setting of the model, behind the name of its architecture */
static const char *
model_key(settings *s, const char *rest)
{
    return krsi_gguf_key(s->keys[s->count], s->dialect, rest);
}

/* an id, where there is one */
static void
add_id(settings *s, const char *key, int64_t id)
{
    if (id >= 0)
        add_int(s, key, id);
}

static void
add_float(settings *s, const char *key, double value)
{
    s->values[s->count].f = (float)value;
    add(s, key, KRS_GGUF_F32);
}

static void
add_text(settings *s, const char *key, const char *text, size_t bytes)
{
    s->values[s->count].t = (krs_gguf_text){text, bytes};
    add(s, key, KRS_GGUF_TEXT);
}

/* general.file_type, of the type of most tensors */
static void
add_file_type(settings *s, const krs_stored *dtype)
{
    static const struct {
        krs_stored stored;
        uint32_t number;
    } types[] = {
        {KRS_STORED_F32,  0 },
        {KRS_STORED_F16,  1 },
        {KRS_STORED_Q4_0, 2 },
        {KRS_STORED_Q8_0, 7 },
        {KRS_STORED_BF16, 32},
    };
    for (size_t i = 0; dtype && i < sizeof types / sizeof *types; i++)
        if (types[i].stored == *dtype)
            add_int(s, "general.file_type", types[i].number);
}

static krs_status
add_rope(settings *s, const char *path, const krs_rope_scaling *r,
         krs_error *err)
{
    add_float(s, model_key(s, "rope.freq_base"), r->rope_theta);
    switch (r->type) {
    case KRS_ROPE_TYPE_DEFAULT:
    case KRS_ROPE_TYPE_LLAMA3: return KRS_OK;
    case KRS_ROPE_TYPE_LINEAR:
        add_text(s, model_key(s, "rope.scaling.type"), "linear", 6);
        add_float(s, model_key(s, "rope.scaling.factor"), r->factor);
        return KRS_OK;
    case KRS_ROPE_TYPE_YARN: break;
    }
    if (r->mscale != 0 || r->mscale_all_dim != 0 || r->attention_factor != 0 ||
        !r->truncate)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: write: GGUF has no settings for yarn with an "
                        "attention factor, mscale or without truncation",
                        path);
    add_text(s, model_key(s, "rope.scaling.type"), "yarn", 4);
    add_float(s, model_key(s, "rope.scaling.factor"), r->factor);
    add_int(s, model_key(s, "rope.scaling.original_context_length"),
            r->original_max_position_embeddings);
    add_float(s, model_key(s, "rope.scaling.yarn_beta_fast"), r->beta_fast);
    add_float(s, model_key(s, "rope.scaling.yarn_beta_slow"), r->beta_slow);
    return KRS_OK;
}

static krs_status
add_config(settings *s, const char *path, const krs_llama_config *c,
           krs_error *err)
{
    add_text(s, "general.architecture", s->dialect->name,
             strlen(s->dialect->name));
    add_int(s, model_key(s, "vocab_size"), c->vocab_size);
    add_int(s, model_key(s, "context_length"), c->max_position_embeddings);
    add_int(s, model_key(s, "embedding_length"), c->hidden_size);
    add_int(s, model_key(s, "block_count"), c->num_hidden_layers);
    add_int(s, model_key(s, "feed_forward_length"), c->intermediate_size);
    add_int(s, model_key(s, "attention.head_count"), c->num_attention_heads);
    add_int(s, model_key(s, "attention.head_count_kv"), c->num_key_value_heads);
    add_int(s, model_key(s, "attention.key_length"), c->head_dim);
    add_int(s, model_key(s, "attention.value_length"), c->head_dim);
    add_int(s, model_key(s, "rope.dimension_count"), c->head_dim);
    add_float(s, model_key(s, "attention.layer_norm_rms_epsilon"),
              c->rms_norm_eps);
    add_id(s, "tokenizer.ggml.bos_token_id", c->bos_token_id);
    add_id(s, "tokenizer.ggml.padding_token_id", c->pad_token_id);
    if (c->eos_count > 0)
        add_id(s, "tokenizer.ggml.eos_token_id", c->eos_token_id[0]);
    if (c->eos_count > 1)
        add_id(s, "tokenizer.ggml.eot_token_id", c->eos_token_id[1]);
    return add_rope(s, path, &c->rope, err);
}

/* What a folder says of its tokenizer, on its way into a GGUF file. */
typedef struct folder_tokenizer {
    char *json; /* tokenizer.json, NULL if there is none */
    size_t json_bytes;
    krs_gguf *gguf; /* tokenizer.gguf, likewise */
    krs_tokenizer_config config;
} folder_tokenizer;

static void
free_tokenizer(folder_tokenizer *t)
{
    free(t->json);
    krs_gguf_close(t->gguf);
    krs_tokenizer_config_close(&t->config);
}

/* Free it even after an error. */
static krs_status
read_tokenizer(const char *folder, folder_tokenizer *out, krs_error *err)
{
    char *path;
    KRS_TRY(krs_tokenizer_config_open(folder, &out->config, err));
    KRS_TRY(krsi_path(&path, err, "%s/tokenizer.json", folder));
    krs_status status = KRS_OK;
    if (krsi_is_file(path))
        status = krsi_file_whole(path, KRSI_JSON_BYTES, &out->json,
                                 &out->json_bytes, err);
    free(path);
    if (status != KRS_OK || out->json)
        return status;
    KRS_TRY(krsi_path(&path, err, "%s/tokenizer.gguf", folder));
    if (krsi_is_file(path))
        status = krs_gguf_open(path, &out->gguf, err);
    free(path);
    return status;
}

/* Is it one of the tokenizer that is not there yet? */
static bool
is_new_key(const settings *s, const char *key)
{
    bool is_new = strncmp(key, TOKENIZER_KEYS, strlen(TOKENIZER_KEYS)) == 0;
    for (size_t i = 0; is_new && i < s->count; i++)
        is_new = strcmp(s->list[i].key, key) != 0;
    return is_new;
}

/* The keys of tokenizer.gguf, borrowed. */
static krs_status
add_keys(settings *s, const krs_gguf *g, const char *path, krs_error *err)
{
    const krs_gguf_value *v;
    for (size_t i = 0; (v = krs_gguf_at(g, i)); i++) {
        if (!is_new_key(s, v->key))
            continue;
        if (s->count == MOST_SETTINGS)
            return krs_fail(err, KRS_E_UNSUPPORTED,
                            "%s: write: a tokenizer of more than %d settings",
                            path, MOST_SETTINGS);
        s->list[s->count++] = *v;
    }
    return KRS_OK;
}

static krs_status
add_tokenizer(settings *s, const folder_tokenizer *t, const char *path,
              krs_error *err)
{
    if (t->gguf)
        return add_keys(s, t->gguf, path, err);
    if (!t->json)
        return KRS_OK;
    add_text(s, "tokenizer.huggingface.json", t->json, t->json_bytes);
    if (t->config.chat_template)
        add_text(s, "tokenizer.chat_template", t->config.chat_template,
                 strlen(t->config.chat_template));
    return KRS_OK;
}

/* The divisors of the rope type llama3, as a tensor. */
static krs_status
add_divisors(krs_weights *w, const krs_llama_config *c, float *divisors,
             krs_error *err)
{
    double plain[MOST_PAIRS], scaled[MOST_PAIRS], unused;
    krs_rope_scaling unscaled = c->rope;
    int64_t pairs = c->head_dim / 2;
    krsi_entry *wider =
        realloc(w->entries, (w->count + 1) * sizeof *w->entries);
    if (!wider)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", w->path);
    w->entries = wider;
    if (pairs > MOST_PAIRS)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: heads of %lld channels are too wide for divisors",
                        w->path, (long long)c->head_dim);
    unscaled.type = KRS_ROPE_TYPE_DEFAULT;
    KRS_TRY(krs_rope_frequencies(&unscaled, c->head_dim, plain, &unused, err));
    KRS_TRY(krs_rope_frequencies(&c->rope, c->head_dim, scaled, &unused, err));
    for (int64_t k = 0; k < pairs; k++)
        divisors[k] = (float)(plain[k] / scaled[k]);
    wider[w->count++] = (krsi_entry){
        .weight = {.name = "rope_freqs.weight",
                   .file = w->path,
                   .stored = KRS_STORED_F32,
                   .rank = 1,
                   .shape = {pairs},
                   .count = pairs,
                   .bytes = (uint64_t)pairs * sizeof(float)},
        .memory = divisors
    };
    return krsi_weights_sort(w, err);
}

static krs_status
folder_to_gguf(const char *folder, const char *path, krs_convert_options *o,
               krs_error *err)
{
    krs_llama_config config;
    krs_weights *w;
    settings s = {.count = 0};
    folder_tokenizer tokenizer = {.json = NULL};
    float divisors[MOST_PAIRS];
    KRS_TRY(krs_llama_weights(folder, &config, &w, err));
    add_file_type(&s, o->dtype);
    s.dialect = krsi_gguf_dialect_of(&config, folder, err);
    krs_status status = s.dialect ? KRS_OK : KRS_E_UNSUPPORTED;
    if (status == KRS_OK)
        status = add_config(&s, path, &config, err);
    if (status == KRS_OK)
        status = read_tokenizer(folder, &tokenizer, err);
    if (status == KRS_OK)
        status = add_tokenizer(&s, &tokenizer, path, err);
    if (status == KRS_OK)
        status = krsi_llama_names_to_gguf(w, &config, s.dialect, err);
    if (status == KRS_OK && config.rope.type == KRS_ROPE_TYPE_LLAMA3)
        status = add_divisors(w, &config, divisors, err);
    o->settings = s.list;
    o->setting_count = s.count;
    if (status == KRS_OK)
        status = krs_weights_convert(w, path, o, err);
    free_tokenizer(&tokenizer);
    krs_weights_close(w);
    return status;
}

/* A text of a GGUF file as a file of a folder, if it has it. */
static krs_status
write_text(const krs_gguf *g, const char *key, const char *folder,
           const char *name, krs_error *err)
{
    const char *text;
    char *path;
    KRS_TRY(krs_gguf_string_or(g, key, NULL, &text, err));
    if (!text)
        return KRS_OK;
    KRS_TRY(krsi_path(&path, err, "%s/%s", folder, name));
    krs_status status = krsi_file_write(path, text, strlen(text), err);
    free(path);
    return status;
}

static int
by_key(const void *a, const void *b)
{
    return strcmp(((const krs_gguf_value *)a)->key,
                  ((const krs_gguf_value *)b)->key);
}

/* The keys of the tokenizer alone, as tokenizer.gguf. */
static krs_status
write_keys(const krs_gguf *g, const char *folder, krs_error *err)
{
    settings s = {.count = 0};
    char *path;
    KRS_TRY(krsi_path(&path, err, "%s/tokenizer.gguf", folder));
    krs_status status = add_keys(&s, g, path, err);
    qsort(s.list, s.count, sizeof *s.list, by_key);
    if (status == KRS_OK)
        status = krsi_gguf_write(path, NULL, 0, s.list, s.count, err);
    free(path);
    return status;
}

static krs_status
write_tokenizer(const krs_gguf *g, const char *folder, krs_error *err)
{
    if (!krs_gguf_find(g, "tokenizer.huggingface.json"))
        return krs_gguf_find(g, "tokenizer.ggml.model")
                   ? write_keys(g, folder, err)
                   : KRS_OK;
    KRS_TRY(write_text(g, "tokenizer.huggingface.json", folder,
                       "tokenizer.json", err));
    return write_text(g, "tokenizer.chat_template", folder,
                      "chat_template.jinja", err);
}

static krs_status
to_folder(const char *model, const char *folder, krs_convert_options *o,
          krs_error *err)
{
    krs_llama_config config;
    krs_weights *w;
    KRS_TRY(krs_llama_weights(model, &config, &w, err));
    char *path;
    krs_status status = krsi_path(&path, err, "%s/config.json", folder);
    if (status == KRS_OK)
        status = krs_weights_convert(w, folder, o, err);
    if (status == KRS_OK)
        status = krs_llama_config_write(path, &config, err);
    if (status == KRS_OK && krs_weights_gguf(w))
        status = write_tokenizer(krs_weights_gguf(w), folder, err);
    free(path);
    krs_weights_close(w);
    return status;
}

static krs_status
gguf_to_gguf(const char *model, const char *path, krs_convert_options *o,
             krs_error *err)
{
    krs_weights *w;
    settings s = {.count = 0};
    add_file_type(&s, o->dtype);
    o->settings = s.list;
    o->setting_count = s.count;
    KRS_TRY(krs_weights_open(model, &w, err));
    krs_status status = krs_weights_convert(w, path, o, err);
    krs_weights_close(w);
    return status;
}

krs_status
krs_llama_convert(const char *model, const char *path,
                  const krs_convert_options *options, krs_error *err)
{
    krs_convert_options o = {.struct_size = sizeof o};
    krs_weights_format format;
    if (options) {
        o.dtype = options->dtype;
        o.shard_bytes = options->shard_bytes;
    }
    bool from_folder = krsi_is_folder(model);
    o.format = KRS_WEIGHTS_GGUF;
    if (krs_weights_format_of(path, &format) && format == KRS_WEIGHTS_GGUF)
        return from_folder ? folder_to_gguf(model, path, &o, err)
                           : gguf_to_gguf(model, path, &o, err);
    o.format = KRS_WEIGHTS_SAFETENSORS;
    if (!krsi_is_folder(path))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: is neither a folder that exists nor a name that "
                        "ends in .gguf",
                        path);
    return to_folder(model, path, &o, err);
}
