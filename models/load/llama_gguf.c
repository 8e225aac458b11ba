/* llama_gguf.c -- a LLaMA out of a GGUF file: settings, and tensors under the
 * names and in the layout of Hugging Face.
 *
 * In: an open GGUF file of an architecture of dialects[]. Out: a
 * krs_llama_config that krs_llama_check accepts, and the same krs_weights with
 * its entries renamed; or one sentence with file, offset and key.
 *
 * Converters to GGUF turn the rows of LLaMA's query and key matrices so that the
 * channels that rotate together lie side by side: of a head with D rows, row
 * i + s D/2 becomes row 2i + s. They are read back in the other order
 * (weights_read.c), so that one forward pass serves both.
 *
 * The rotary frequencies of LLaMA 3.1 lie in the file as a tensor of divisors,
 * not as the settings they come from. Low factor, high factor and context are
 * the same in all models that have it, and the divisor of the lowest frequency
 * is the factor; with these the divisors are computed, and compared with those
 * of the file (Grattafiori et al. 2024; llama3 in rope_scaling.c).
 */
#include "llama_gguf.h"
#include "gguf_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYERS 65536 /* more are no model */

/* ---- architectures ---- */

static const krsi_gguf_dialect dialects[] = {
    {KRS_ARCHITECTURE_LLAMA, "llama", true },
    {KRS_ARCHITECTURE_QWEN2, "qwen2", false},
};
enum { DIALECTS = sizeof dialects / sizeof *dialects };

const krsi_gguf_dialect *
krsi_gguf_dialect_of(const krs_llama_config *c, const char *model,
                     krs_error *err)
{
    if (c->sliding_window > 0) {
        krs_fail(err, KRS_E_UNSUPPORTED,
                 "%s: sliding_window is %" PRId64
                 "; GGUF has no setting for it in this architecture, with "
                 "null it is written",
                 model, c->sliding_window);
        return NULL;
    }
    for (size_t i = 0; i < DIALECTS; i++)
        if (dialects[i].architecture == c->architecture)
            return &dialects[i];
    return &dialects[0];
}

const char *
krsi_gguf_key(char text[KRSI_GGUF_KEY_BYTES], const krsi_gguf_dialect *dialect,
              const char *rest)
{
    snprintf(text, KRSI_GGUF_KEY_BYTES, "%s.%s", dialect->name, rest);
    return text;
}

/* ---- names ---- */

/* What a tensor is called in GGUF and in Hugging Face, without its ending
 * ".weight" or ".bias"; LAYER rows stand behind "blk.N." and
 * "model.layers.N.". The last column: heads whose rows are turned. */
#define NAME_LIST(X)                                       \
    X(MODEL, "token_embd", "model.embed_tokens", NONE)     \
    X(MODEL, "output_norm", "model.norm", NONE)            \
    X(MODEL, "output", "lm_head", NONE)                    \
    X(LAYER, "attn_norm", "input_layernorm", NONE)         \
    X(LAYER, "attn_q", "self_attn.q_proj", QUERY)          \
    X(LAYER, "attn_k", "self_attn.k_proj", KEY)            \
    X(LAYER, "attn_v", "self_attn.v_proj", NONE)           \
    X(LAYER, "attn_output", "self_attn.o_proj", NONE)      \
    X(LAYER, "ffn_norm", "post_attention_layernorm", NONE) \
    X(LAYER, "ffn_gate", "mlp.gate_proj", NONE)            \
    X(LAYER, "ffn_up", "mlp.up_proj", NONE)                \
    X(LAYER, "ffn_down", "mlp.down_proj", NONE)

enum place { PLACE_MODEL, PLACE_LAYER };
enum heads { HEADS_NONE, HEADS_QUERY, HEADS_KEY };

static const struct row {
    enum place place;
    const char *gguf, *huggingface;
    enum heads heads;
} rows[] = {
#define ROW(place, gguf, huggingface, heads) \
    {PLACE_##place, gguf, huggingface, HEADS_##heads},
    NAME_LIST(ROW)
#undef ROW
};

/* The two spellings. */
struct spelling {
    const char *layers; /* before the number of a layer */
    size_t offset;      /* in struct row */
};
static const struct spelling gguf_names = {"blk.", offsetof(struct row, gguf)};
static const struct spelling huggingface_names = {
    "model.layers.", offsetof(struct row, huggingface)};

static const char *
row_name(const struct row *row, const struct spelling *s)
{
    return *(const char *const *)((const char *)row + s->offset);
}

/* text past `start`; NULL if it does not begin so */
static const char *
past(const char *text, const char *start)
{
    size_t n = strlen(start);
    return strncmp(text, start, n) == 0 ? text + n : NULL;
}

/* "12." at the begin of *text, moved past it; -1 if there is none */
static long
layer_number(const char **text)
{
    char *end;
    if (**text < '0' || **text > '9')
        return -1;
    long n = strtol(*text, &end, 10);
    if (*end != '.' || n >= LAYERS)
        return -1;
    *text = end + 1;
    return n;
}

/* The row that a name is of; the layer, -1 for none, and ".weight" or ".bias".
 * NULL if there is none. */
static const struct row *
find_row(const char *name, const struct spelling *from, long *layer,
         const char **ending)
{
    const char *rest = past(name, from->layers);
    *layer = rest ? layer_number(&rest) : -1;
    if (*layer < 0)
        rest = name;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *end = past(rest, row_name(&rows[i], from));
        if (end && (rows[i].place == PLACE_LAYER) == (*layer >= 0) &&
            (strcmp(end, ".weight") == 0 || strcmp(end, ".bias") == 0)) {
            *ending = end;
            return &rows[i];
        }
    }
    return NULL;
}

/* Let the rows of a query or key matrix be read turned. */
static krs_status
turn_rows(krsi_entry *e, int64_t heads, int64_t head_dim, krsi_rows turn,
          krs_error *err)
{
    int64_t found = e->weight.rank < 1 ? 1 : e->weight.shape[0];
    if (found != heads * head_dim)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: tensor %s has %" PRId64 " rows, %" PRId64
                        " heads of %" PRId64 " need %" PRId64,
                        e->weight.file, e->weight.name, found, heads, head_dim,
                        heads * head_dim);
    if (turn == KRSI_ROWS_AS_STORED)
        return KRS_OK;
    /* turned back is as it was */
    e->rows = e->rows == KRSI_ROWS_AS_STORED ? turn : KRSI_ROWS_AS_STORED;
    e->head_rows = head_dim;
    return KRS_OK;
}

static krs_status
respell_one(krs_weights *w, krsi_entry *e, const krs_llama_config *c,
            const struct spelling *from, const struct spelling *to,
            krsi_rows turn, krs_error *err)
{
    const char *ending;
    long layer;
    char name[128];
    const struct row *row = find_row(e->weight.name, from, &layer, &ending);
    if (!row)
        return krs_fail(err, KRS_E_FORMAT, "%s: a LLaMA has no tensor %s",
                        e->weight.file,
                        krsi_json_quote(e->weight.name, name, sizeof name));
    if (layer >= 0)
        snprintf(name, sizeof name, "%s%ld.%s%s", to->layers, layer,
                 row_name(row, to), ending);
    else
        snprintf(name, sizeof name, "%s%s", row_name(row, to), ending);
    e->weight.name = krsi_weights_keep_name(w, name);
    if (!e->weight.name)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory for names",
                        w->path);
    switch (row->heads) {
    case HEADS_NONE: break;
    case HEADS_QUERY:
        return turn_rows(e, c->num_attention_heads, c->head_dim, turn, err);
    case HEADS_KEY:
        return turn_rows(e, c->num_key_value_heads, c->head_dim, turn, err);
    }
    return KRS_OK;
}

static krs_status
respell(krs_weights *w, const krs_llama_config *c, const struct spelling *from,
        const struct spelling *to, krsi_rows turn, krs_error *err)
{
    for (size_t i = 0; i < w->count; i++)
        KRS_TRY(respell_one(w, &w->entries[i], c, from, to, turn, err));
    return krsi_weights_sort(w, err);
}

krs_status
krsi_llama_names_to_gguf(krs_weights *w, const krs_llama_config *config,
                         const krsi_gguf_dialect *dialect, krs_error *err)
{
    return respell(
        w, config, &huggingface_names, &gguf_names,
        dialect->turned ? KRSI_ROWS_HALVES_TO_PAIRS : KRSI_ROWS_AS_STORED, err);
}

/* ---- settings ---- */

/* A file that is read, and the key that was made last. */
typedef struct reader {
    const krs_gguf *gguf;
    const krsi_gguf_dialect *dialect;
    char key[KRSI_GGUF_KEY_BYTES];
} reader;

static const char *
key(reader *r, const char *rest)
{
    return krsi_gguf_key(r->key, r->dialect, rest);
}

static krs_status
read_int_or(reader *r, const char *rest, int64_t least, int64_t most,
            int64_t absent, int64_t *out, krs_error *err)
{
    return krs_gguf_int_or(r->gguf, key(r, rest), least, most, absent, out,
                           err);
}

/* The shortest decimal that is this f32: settings are written as f32, and
 * 1e-05 should come back as that. */
static double
shortest(double value)
{
    float wanted = (float)value;
    if (value == 0)
        return value;
    int exponent = (int)floor(log10(fabs(value)));
    for (int digits = 1; digits < 10; digits++) {
        int places = digits - 1 - exponent; /* of a power that is exact */
        double scale = pow(10, abs(places));
        double rounded = places < 0 ? round(value / scale) * scale
                                    : round(value * scale) / scale;
        if ((float)rounded == wanted)
            return rounded;
    }
    return value;
}

static krs_status
read_float(reader *r, const char *rest, double absent, double *out,
           krs_error *err)
{
    KRS_TRY(krs_gguf_double_or(r->gguf, key(r, rest), absent, out, err));
    *out = shortest(*out);
    return KRS_OK;
}

static krs_status
require_dialect(reader *r, krs_error *err)
{
    const char *name;
    char quoted[96];
    int64_t experts;
    KRS_TRY(
        krs_gguf_string_or(r->gguf, "general.architecture", NULL, &name, err));
    for (size_t i = 0; name && i < DIALECTS; i++)
        if (strcmp(name, dialects[i].name) == 0)
            r->dialect = &dialects[i];
    if (!r->dialect)
        return krs_fail(
            err, KRS_E_UNSUPPORTED,
            "%s: general.architecture is %s; \"llama\" and \"qwen2\" are read",
            r->gguf->path,
            name ? krsi_json_quote(name, quoted, sizeof quoted) : "missing");
    KRS_TRY(read_int_or(r, "expert_count", 0, INT32_MAX, 0, &experts, err));
    if (experts > 0)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: %s is %" PRId64
                        "; a mixture of experts is not read",
                        r->gguf->path, r->key, experts);
    return KRS_OK;
}

static krs_status
read_sizes(reader *r, const krs_weights *w, krs_llama_config *c, krs_error *err)
{
    const struct {
        const char *key;
        int64_t *out;
    } sizes[] = {
        {"context_length",       &c->max_position_embeddings},
        {"embedding_length",     &c->hidden_size            },
        {"feed_forward_length",  &c->intermediate_size      },
        {"attention.head_count", &c->num_attention_heads    },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        KRS_TRY(krs_gguf_int(r->gguf, key(r, sizes[i].key), 1, INT32_MAX,
                             sizes[i].out, err));
    KRS_TRY(krs_gguf_int(r->gguf, key(r, "block_count"), 1, LAYERS,
                         &c->num_hidden_layers, err));
    KRS_TRY(read_int_or(r, "attention.head_count_kv", 1, INT32_MAX,
                        c->num_attention_heads, &c->num_key_value_heads, err));
    KRS_TRY(read_int_or(r, "attention.key_length", 1, INT32_MAX,
                        c->hidden_size / c->num_attention_heads, &c->head_dim,
                        err));
    int64_t i = krs_weights_find(w, "token_embd.weight");
    if (i < 0 || w->entries[i].weight.rank != 2)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: the matrix token_embd.weight is missing", w->path);
    c->vocab_size = w->entries[i].weight.shape[0];
    KRS_TRY(read_int_or(r, "vocab_size", 1, INT32_MAX, c->vocab_size,
                        &c->vocab_size, err));
    return read_float(r, "attention.layer_norm_rms_epsilon", c->rms_norm_eps,
                      &c->rms_norm_eps, err);
}

/* Whole heads turn, and values are as wide as keys. */
static krs_status
require_whole_heads(reader *r, const krs_llama_config *c, krs_error *err)
{
    static const char *const keys[] = {"rope.dimension_count",
                                       "attention.value_length"};
    int64_t size;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        KRS_TRY(read_int_or(r, keys[i], 1, INT32_MAX, c->head_dim, &size, err));
        if (size != c->head_dim)
            return krs_fail(err, KRS_E_UNSUPPORTED,
                            "%s: %s is %" PRId64 ", the heads have %" PRId64
                            " channels; other sizes are not read",
                            r->gguf->path, r->key, size, c->head_dim);
    }
    return KRS_OK;
}

static krs_status
read_rope(reader *r, krs_llama_config *c, krs_error *err)
{
    static const char *const names[] = {"none", "linear", "yarn"};
    static const krs_rope_type types[] = {
        KRS_ROPE_TYPE_DEFAULT, KRS_ROPE_TYPE_LINEAR, KRS_ROPE_TYPE_YARN};
    const char *name;
    size_t i = 0;
    KRS_TRY(require_whole_heads(r, c, err));
    KRS_TRY(read_float(r, "rope.freq_base", 10000, &c->rope.rope_theta, err));
    KRS_TRY(krs_gguf_string_or(r->gguf, key(r, "rope.scaling.type"), "none",
                               &name, err));
    while (i < 3 && strcmp(name, names[i]) != 0)
        i++;
    if (i == 3)
        return krsi_gguf_wrong(r->gguf, krs_gguf_find(r->gguf, r->key), err,
                               "expected none, linear or yarn");
    c->rope.type = types[i];
    if (c->rope.type == KRS_ROPE_TYPE_DEFAULT)
        return KRS_OK;
    KRS_TRY(read_float(r, "rope.scaling.factor", c->rope.factor,
                       &c->rope.factor, err));
    if (c->rope.type != KRS_ROPE_TYPE_YARN)
        return KRS_OK;
    KRS_TRY(read_float(r, "rope.scaling.yarn_beta_fast", c->rope.beta_fast,
                       &c->rope.beta_fast, err));
    KRS_TRY(read_float(r, "rope.scaling.yarn_beta_slow", c->rope.beta_slow,
                       &c->rope.beta_slow, err));
    return read_int_or(r, "rope.scaling.original_context_length", 1, INT32_MAX,
                       c->max_position_embeddings,
                       &c->rope.original_max_position_embeddings, err);
}

static krs_status
read_ids(const krs_gguf *g, krs_llama_config *c, krs_error *err)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id"};
    KRS_TRY(krs_gguf_int_or(g, "tokenizer.ggml.bos_token_id", 0, INT32_MAX, -1,
                            &c->bos_token_id, err));
    KRS_TRY(krs_gguf_int_or(g, "tokenizer.ggml.padding_token_id", 0, INT32_MAX,
                            -1, &c->pad_token_id, err));
    c->eos_count = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int64_t id;
        KRS_TRY(krs_gguf_int_or(g, ends[i], 0, INT32_MAX, -1, &id, err));
        if (id >= 0 && (c->eos_count == 0 || c->eos_token_id[0] != id))
            c->eos_token_id[c->eos_count++] = id;
    }
    return KRS_OK;
}

static krs_status
wrong_divisors(const krs_weights *w, krs_error *err)
{
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "%s: tensor rope_freqs.weight does not hold the divisors "
                    "of the rope type llama3; other divisors are not read",
                    w->path);
}

/* Settings of which the divisors are those of the file; the tensor at place i
 * is taken from the list. */
static krs_status
read_divisors(krs_weights *w, size_t i, krs_llama_config *c, krs_error *err)
{
    enum { MOST = 1024 };
    float divisors[MOST];
    double plain[MOST], scaled[MOST], unused;
    const krs_weight *t = &w->entries[i].weight;
    size_t count = (size_t)(c->head_dim / 2);
    if (t->count != c->head_dim / 2 || count > MOST ||
        c->rope.type != KRS_ROPE_TYPE_DEFAULT)
        return wrong_divisors(w, err);
    KRS_TRY(krs_weights_read(w, i, KRS_F32, divisors, count * sizeof *divisors,
                             err));
    krs_rope_scaling rope = c->rope;
    rope.type = KRS_ROPE_TYPE_LLAMA3;
    rope.factor = shortest((double)divisors[count - 1]);
    rope.low_freq_factor = 1;
    rope.high_freq_factor = 4;
    rope.original_max_position_embeddings = 8192;
    if (krs_rope_check(&rope, NULL) != KRS_OK)
        return wrong_divisors(w, err);
    KRS_TRY(krs_rope_frequencies(&c->rope, c->head_dim, plain, &unused, err));
    KRS_TRY(krs_rope_frequencies(&rope, c->head_dim, scaled, &unused, err));
    for (size_t k = 0; k < count; k++)
        if (!(fabs(plain[k] / scaled[k] - (double)divisors[k]) <=
              1e-5 * (double)divisors[k]))
            return wrong_divisors(w, err);
    c->rope = rope;
    memmove(&w->entries[i], &w->entries[i + 1],
            (w->count - i - 1) * sizeof *w->entries);
    w->count--;
    return KRS_OK;
}

krs_status
krsi_llama_from_gguf(krs_weights *w, krs_llama_config *out, krs_error *err)
{
    reader r = {.gguf = krs_weights_gguf(w)};
    krs_llama_config c = krs_llama_defaults();
    krs_error inner;
    KRS_TRY(require_dialect(&r, err));
    c.architecture = r.dialect->architecture;
    KRS_TRY(read_sizes(&r, w, &c, err));
    KRS_TRY(read_rope(&r, &c, err));
    KRS_TRY(read_ids(r.gguf, &c, err));
    c.tie_word_embeddings = krs_weights_find(w, "output.weight") < 0;
    c.attention_bias = krs_weights_find(w, "blk.0.attn_q.bias") >= 0;
    c.attention_output_bias =
        krs_weights_find(w, "blk.0.attn_output.bias") >= 0;
    c.mlp_bias = krs_weights_find(w, "blk.0.ffn_up.bias") >= 0;
    if (krs_llama_check(&c, &inner) != KRS_OK)
        return krs_fail(err, KRS_E_FORMAT, "%s: the settings make no LLaMA: %s",
                        w->path, inner.text);
    int64_t divisors = krs_weights_find(w, "rope_freqs.weight");
    if (divisors >= 0)
        KRS_TRY(read_divisors(w, (size_t)divisors, &c, err));
    KRS_TRY(respell(w, &c, &gguf_names, &huggingface_names,
                    r.dialect->turned ? KRSI_ROWS_PAIRS_TO_HALVES
                                      : KRSI_ROWS_AS_STORED,
                    err));
    *out = c;
    return KRS_OK;
}
