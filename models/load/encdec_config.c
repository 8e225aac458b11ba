/* encdec_config.c -- config.json of the Transformer, Marian, BART or T5 to
 * krs_encdec_config and back.
 *
 * In: the settings as Hugging Face writes them. Out: a krs_encdec_config that
 * krs_encdec_check accepts, or one sentence with file, JSON path and values.
 * Absent keys have the defaults of the format. T5 has keys of its own, and one
 * for what the others have of encoder and decoder.
 */
#include "../encdec_pass.h"
#include "config_fields.h"

#define OF krs_encdec_config

/* The rows that Marian, BART and the Transformer have, with the defaults of
 * each. */
#define FIELDS_OF(vocabulary, places, width, layers, heads, ffn, activation, \
                  scale)                                                     \
    KRSI_SIZE(OF, vocab_size, vocabulary),                                   \
        KRSI_SIZE(OF, max_position_embeddings, places),                      \
        KRSI_SIZE(OF, d_model, width),                                       \
        KRSI_INT(OF, encoder_layers, 1, KRSI_LAYERS_MAX, layers),            \
        KRSI_INT(OF, decoder_layers, 1, KRSI_LAYERS_MAX, layers),            \
        KRSI_SIZE(OF, encoder_attention_heads, heads),                       \
        KRSI_SIZE(OF, decoder_attention_heads, heads),                       \
        KRSI_SIZE(OF, encoder_ffn_dim, ffn),                                 \
        KRSI_SIZE(OF, decoder_ffn_dim, ffn),                                 \
        KRSI_ACTIVATION(OF, activation_function, activation),                \
        KRSI_SWITCH(OF, scale_embedding, scale),                             \
        KRSI_SWITCH(OF, tie_word_embeddings, 1),                             \
        KRSI_POSITIVE_REAL(OF, init_std, 0.02)

static const char *const feed_forwards[] = {
#define NAME(NAME, name, activation, gated) name,
    KRS_FEED_FORWARD_LIST(NAME)
#undef NAME
};

static const krsi_field bart_fields[] = {
    FIELDS_OF(50265, 1024, 1024, 12, 16, 4096, GELU, 0)};
static const krsi_field marian_fields[] = {
    FIELDS_OF(58101, 1024, 1024, 12, 16, 4096, GELU, 0)};
static const krsi_field transformer_fields[] = {
    FIELDS_OF(37000, 1024, 512, 6, 8, 2048, RELU, 1),
    KRSI_SWITCH(OF, normalize_before, 0)};
static const krsi_field t5_fields[] = {
    KRSI_SIZE(OF, vocab_size, 32128),
    KRSI_SIZE(OF, d_model, 512),
    KRSI_SIZE(OF, d_kv, 64),
    KRSI_SIZE_AS("d_ff", OF, encoder_ffn_dim, 2048),
    KRSI_INT_AS("num_layers", OF, encoder_layers, 1, KRSI_LAYERS_MAX, 6),
    KRSI_INT_AS("num_decoder_layers", OF, decoder_layers, 1, KRSI_LAYERS_MAX,
                6),
    KRSI_SIZE_AS("num_heads", OF, encoder_attention_heads, 8),
    KRSI_INT(OF, relative_attention_num_buckets, 4, 65536, 32),
    KRSI_INT(OF, relative_attention_max_distance, 3, 1048576, 128),
    KRSI_NAME(OF, feed_forward_proj, feed_forwards, KRS_FEED_FORWARDS,
              KRS_FEED_FORWARD_RELU),
    KRSI_POSITIVE_REAL_AS("layer_norm_epsilon", OF, layer_norm_eps, 1e-6),
    KRSI_POSITIVE_REAL_AS("initializer_factor", OF, init_std, 1),
    KRSI_SWITCH(OF, tie_word_embeddings, 1),
    KRSI_SWITCH(OF, scale_decoder_outputs, 1),
};

/* The fields of an architecture, and the special ids of its defaults. */
static const struct dialect {
    const krsi_field *fields;
    size_t count;
    krs_special_ids ids;
} dialects[] = {
#define DIALECT(name) name##_fields, sizeof name##_fields / sizeof(krsi_field)
    {DIALECT(transformer), {0, 1, 0, {2}, 1}         },
    {DIALECT(marian),      {-1, 58100, 58100, {0}, 1}},
    {DIALECT(bart),        {0, 1, 2, {2}, 1}         },
    {DIALECT(t5),          {-1, 0, 0, {1}, 1}        },
#undef DIALECT
};

static const struct dialect *
dialect_of(krs_architecture a)
{
    return &dialects[a == KRS_ARCHITECTURE_T5       ? 3
                     : a == KRS_ARCHITECTURE_BART   ? 2
                     : a == KRS_ARCHITECTURE_MARIAN ? 1
                                                    : 0];
}

krs_activation
krsi_feed_forward_kind(krs_feed_forward f)
{
    static const krs_activation kinds[] = {
#define KIND(NAME, name, activation, gated) KRS_ACTIVATION_##activation,
        KRS_FEED_FORWARD_LIST(KIND)
#undef KIND
    };
    return kinds[f];
}

bool
krsi_feed_forward_gated(krs_feed_forward f)
{
    static const bool is_gated[] = {
#define GATED(NAME, name, activation, gated) gated,
        KRS_FEED_FORWARD_LIST(GATED)
#undef GATED
    };
    return is_gated[f];
}

/* What T5 says once. */
static void
copy_to_decoder(krs_encdec_config *c)
{
    c->decoder_attention_heads = c->encoder_attention_heads;
    c->decoder_ffn_dim = c->encoder_ffn_dim;
}

krs_encdec_config
krs_encdec_defaults(krs_architecture architecture)
{
    const struct dialect *d = dialect_of(architecture);
    krs_encdec_config c = {
        .architecture = architecture, .layer_norm_eps = 1e-5, .ids = d->ids};
    krsi_fields_default(d->fields, d->count, &c);
    if (architecture == KRS_ARCHITECTURE_T5)
        copy_to_decoder(&c);
    return c;
}

/* ---- what must hold ---- */

static krs_status
check_t5(const krs_encdec_config *c, krs_error *err)
{
    int64_t buckets = c->relative_attention_num_buckets;
    if (buckets % 2 != 0 || c->relative_attention_max_distance <= buckets / 2)
        return krs_fail(err, KRS_E_RANGE,
                        "relative_attention_num_buckets: %lld up to distance "
                        "%lld (relative_attention_max_distance); the number is "
                        "even, half of it below the distance",
                        (long long)buckets,
                        (long long)c->relative_attention_max_distance);
    if (c->decoder_attention_heads != c->encoder_attention_heads ||
        c->decoder_ffn_dim != c->encoder_ffn_dim)
        return krs_fail(err, KRS_E_RANGE,
                        "num_heads: the decoder has as many heads and as wide "
                        "layers as the encoder");
    if (c->encoder_attention_heads > KRSI_SIZE_MAX / c->d_kv)
        return krs_fail(err, KRS_E_RANGE, "num_heads: %lld of %lld (d_kv)",
                        (long long)c->encoder_attention_heads,
                        (long long)c->d_kv);
    return KRS_OK;
}

static krs_status
check_others(const krs_encdec_config *c, krs_error *err)
{
    const struct {
        const char *name;
        int64_t heads;
    } sides[] = {
        {"encoder_attention_heads", c->encoder_attention_heads},
        {"decoder_attention_heads", c->decoder_attention_heads}
    };
    for (int i = 0; i < 2; i++)
        if (c->d_model % sides[i].heads != 0)
            return krs_fail(err, KRS_E_RANGE,
                            "d_model: %lld is not a multiple of %s %lld",
                            (long long)c->d_model, sides[i].name,
                            (long long)sides[i].heads);
    if (c->d_model % 2 != 0 && c->architecture != KRS_ARCHITECTURE_BART)
        return krs_fail(err, KRS_E_RANGE,
                        "d_model: %lld is odd; sines and cosines come in pairs",
                        (long long)c->d_model);
    if (!c->tie_word_embeddings &&
        c->architecture != KRS_ARCHITECTURE_TRANSFORMER)
        return krs_fail(err, KRS_E_RANGE,
                        "tie_word_embeddings: false is nothing that \"%s\" has",
                        krs_architecture_type(c->architecture));
    if (c->normalize_before && c->architecture != KRS_ARCHITECTURE_TRANSFORMER)
        return krs_fail(err, KRS_E_RANGE,
                        "normalize_before: true is nothing that \"%s\" has",
                        krs_architecture_type(c->architecture));
    if (c->d_kv != 0 || c->scale_decoder_outputs)
        return krs_fail(err, KRS_E_RANGE,
                        "d_kv: %lld, scale_decoder_outputs: %d are T5's",
                        (long long)c->d_kv, c->scale_decoder_outputs);
    return KRS_OK;
}

krs_status
krs_encdec_check(const krs_encdec_config *c, krs_error *err)
{
    if ((size_t)c->architecture >= KRS_ARCHITECTURES ||
        krs_architecture_family(c->architecture) != KRS_FAMILY_ENCDEC)
        return krs_fail(err, KRS_E_RANGE,
                        "model_type: \"%s\" is no encoder-decoder",
                        krs_architecture_type(c->architecture));
    const struct dialect *d = dialect_of(c->architecture);
    KRS_TRY(krsi_fields_check(d->fields, d->count, c, err));
    KRS_TRY(c->architecture == KRS_ARCHITECTURE_T5 ? check_t5(c, err)
                                                   : check_others(c, err));
    return krsi_ids_check(&c->ids, c->vocab_size, err);
}

/* ---- files ---- */

/* What older configurations could say and no forward pass here follows. */
static krs_status
refuse_others(const krsi_json *root, const krs_encdec_config *c, krs_error *err)
{
    bool shared;
    int64_t vocabulary;
    KRS_TRY(krsi_config_never(root, "is_decoder", "the encoder is part of it",
                              err));
    if (c->architecture == KRS_ARCHITECTURE_T5)
        return KRS_OK;
    KRS_TRY(krsi_config_never(root, "add_final_layer_norm",
                              "norms stand behind the layers", err));
    if (c->architecture != KRS_ARCHITECTURE_TRANSFORMER)
        KRS_TRY(krsi_config_never(root, "normalize_before",
                                  "norms stand behind the layers", err));
    KRS_TRY(krsi_json_bool_or(root, "share_encoder_decoder_embeddings", true,
                              &shared, err));
    KRS_TRY(krsi_json_int_or(root, "decoder_vocab_size", 1, KRSI_SIZE_MAX,
                             c->vocab_size, &vocabulary, err));
    if (!shared || vocabulary != c->vocab_size)
        return krs_fail(
            err, KRS_E_UNSUPPORTED,
            "%s: $.share_encoder_decoder_embeddings: one table of "
            "%lld rows serves both sides; found %lld of the decoder",
            krsi_json_name(root->file), (long long)c->vocab_size,
            (long long)vocabulary);
    return KRS_OK;
}

/* Absent keys that take the value of others. */
static void
finish_t5(const krsi_json *root, krs_encdec_config *c)
{
    copy_to_decoder(c);
    if (!krsi_json_has(root, "num_decoder_layers"))
        c->decoder_layers = c->encoder_layers;
    if (!krsi_json_has(root, "scale_decoder_outputs"))
        c->scale_decoder_outputs = c->tie_word_embeddings;
}

static krs_status
read_config(const krsi_json *root, void *out, krs_error *err)
{
    krs_architecture architecture;
    krs_error inner;
    KRS_TRY(krsi_config_architecture(root, KRS_FAMILY_ENCDEC,
                                     KRS_ARCHITECTURE_TRANSFORMER,
                                     &architecture, err));
    krs_encdec_config c = krs_encdec_defaults(architecture);
    const struct dialect *d = dialect_of(architecture);
    KRS_TRY(krsi_fields_read(root, d->fields, d->count, &c, err));
    if (architecture == KRS_ARCHITECTURE_T5)
        finish_t5(root, &c);
    KRS_TRY(refuse_others(root, &c, err));
    KRS_TRY(krsi_ids_read(root, &c.ids, err));
    if (krs_encdec_check(&c, &inner) != KRS_OK)
        return krs_fail(err, KRS_E_FORMAT, "%s: $.%s",
                        krsi_json_name(root->file), inner.text);
    *(krs_encdec_config *)out = c;
    return KRS_OK;
}

krs_status
krs_encdec_config_read(const char *path, krs_encdec_config *out, krs_error *err)
{
    return krsi_config_read(path, read_config, out, err);
}

krs_status
krs_encdec_config_write(const char *path, const krs_encdec_config *c,
                        krs_error *err)
{
    KRS_TRY(krs_encdec_check(c, err));
    const struct dialect *d = dialect_of(c->architecture);
    return krsi_config_write(path, c->architecture, d->fields, d->count, c,
                             &c->ids, err);
}
