/* gpt2_config.c -- config.json of a GPT-2 to krs_gpt2_config and back.
 *
 * In: the settings as Hugging Face writes them. Out: a krs_gpt2_config that
 * krs_gpt2_check accepts, or one sentence with file, JSON path and values.
 * Absent keys have the defaults of the format.
 */
#include "config_fields.h"

#include <krs/gpt2.h>

#define INT(member, least, most, absent) \
    KRSI_INT(krs_gpt2_config, member, least, most, absent)
#define SIZE(member, absent) KRSI_SIZE(krs_gpt2_config, member, absent)

static const krsi_field fields[] = {
    SIZE(vocab_size, 50257),
    SIZE(n_positions, 1024),
    SIZE(n_embd, 768),
    INT(n_layer, 1, KRSI_LAYERS_MAX, 12),
    SIZE(n_head, 12),
    INT(n_inner, 0, KRSI_SIZE_MAX, 0),
    KRSI_ACTIVATION(krs_gpt2_config, activation_function, GELU_NEW),
    KRSI_POSITIVE_REAL(krs_gpt2_config, layer_norm_epsilon, 1e-5),
    KRSI_POSITIVE_REAL(krs_gpt2_config, initializer_range, 0.02),
    KRSI_SWITCH(krs_gpt2_config, scale_attn_weights, 1),
    KRSI_SWITCH(krs_gpt2_config, scale_attn_by_inverse_layer_idx, 0),
    KRSI_SWITCH(krs_gpt2_config, tie_word_embeddings, 1),
};
#define FIELDS (sizeof fields / sizeof *fields)

krs_gpt2_config
krs_gpt2_defaults(void)
{
    krs_gpt2_config c = {
        .ids = {.bos_token_id = 50256,
                .pad_token_id = -1,
                .decoder_start_token_id = -1,
                .eos_token_id = {50256},
                .eos_count = 1}
    };
    krsi_fields_default(fields, FIELDS, &c);
    return c;
}

krs_status
krs_gpt2_check(const krs_gpt2_config *c, krs_error *err)
{
    KRS_TRY(krsi_fields_check(fields, FIELDS, c, err));
    if (c->n_embd % c->n_head != 0)
        return krs_fail(err, KRS_E_RANGE,
                        "n_embd: %lld is not a multiple of n_head %lld",
                        (long long)c->n_embd, (long long)c->n_head);
    if (c->n_embd > KRSI_SIZE_MAX / 4)
        return krs_fail(err, KRS_E_RANGE, "n_embd: %lld is not in [1, %d]",
                        (long long)c->n_embd, KRSI_SIZE_MAX / 4);
    return krsi_ids_check(&c->ids, c->vocab_size, err);
}

static krs_status
read_config(const krsi_json *root, void *out, krs_error *err)
{
    krs_gpt2_config c = krs_gpt2_defaults();
    krs_architecture architecture;
    krs_error inner;
    KRS_TRY(krsi_config_architecture(
        root, KRS_FAMILY_GPT2, KRS_ARCHITECTURE_GPT2, &architecture, err));
    KRS_TRY(krsi_config_never(root, "add_cross_attention",
                              "there is no encoder to attend to", err));
    KRS_TRY(krsi_fields_read(root, fields, FIELDS, &c, err));
    if (c.ids.bos_token_id >= c.vocab_size) { /* a small one has no default */
        c.ids.bos_token_id = -1;
        c.ids.eos_count = 0;
    }
    KRS_TRY(krsi_ids_read(root, &c.ids, err));
    if (krs_gpt2_check(&c, &inner) != KRS_OK)
        return krs_fail(err, KRS_E_FORMAT, "%s: $.%s",
                        krsi_json_name(root->file), inner.text);
    *(krs_gpt2_config *)out = c;
    return KRS_OK;
}

krs_status
krs_gpt2_config_read(const char *path, krs_gpt2_config *out, krs_error *err)
{
    return krsi_config_read(path, read_config, out, err);
}

krs_status
krs_gpt2_config_write(const char *path, const krs_gpt2_config *c,
                      krs_error *err)
{
    KRS_TRY(krs_gpt2_check(c, err));
    return krsi_config_write(path, KRS_ARCHITECTURE_GPT2, fields, FIELDS, c,
                             &c->ids, err);
}
