/* bert_config.c -- config.json of a BERT or ERNIE to krs_bert_config and back.
 *
 * In: the settings as Hugging Face writes them. Out: a krs_bert_config that
 * krs_bert_check accepts, or one sentence with file, JSON path and values.
 * Absent keys have the defaults of the format.
 */
#include "config_fields.h"

#include <krs/bert.h>

#define SIZE(member, absent) KRSI_SIZE(krs_bert_config, member, absent)

/* The last two are ERNIE's. */
static const krsi_field fields[] = {
    SIZE(vocab_size, 30522),
    SIZE(hidden_size, 768),
    KRSI_INT(krs_bert_config, num_hidden_layers, 1, KRSI_LAYERS_MAX, 12),
    SIZE(num_attention_heads, 12),
    SIZE(intermediate_size, 3072),
    KRSI_ACTIVATION(krs_bert_config, hidden_act, GELU),
    SIZE(max_position_embeddings, 512),
    SIZE(type_vocab_size, 2),
    KRSI_POSITIVE_REAL(krs_bert_config, layer_norm_eps, 1e-12),
    KRSI_POSITIVE_REAL(krs_bert_config, initializer_range, 0.02),
    KRSI_SWITCH(krs_bert_config, tie_word_embeddings, 1),
    KRSI_SWITCH(krs_bert_config, use_task_id, 0),
    SIZE(task_type_vocab_size, 3),
};
enum { FIELDS = sizeof fields / sizeof *fields, OF_ERNIE = 2 };

static bool
is_ernie(krs_architecture a)
{
    return a == KRS_ARCHITECTURE_ERNIE || a == KRS_ARCHITECTURE_ERNIE_ENCODER;
}

static size_t
field_count(krs_architecture a)
{
    return is_ernie(a) ? FIELDS : FIELDS - OF_ERNIE;
}

krs_bert_config
krs_bert_defaults(void)
{
    krs_bert_config c = {
        .architecture = KRS_ARCHITECTURE_BERT,
        .ids = {.bos_token_id = -1,
                .pad_token_id = 0,
                .decoder_start_token_id = -1}
    };
    krsi_fields_default(fields, FIELDS, &c);
    return c;
}

bool
krs_bert_has_heads(const krs_bert_config *c)
{
    return c->architecture == KRS_ARCHITECTURE_BERT ||
           c->architecture == KRS_ARCHITECTURE_ERNIE;
}

krs_status
krs_bert_check(const krs_bert_config *c, krs_error *err)
{
    KRS_TRY(krsi_fields_check(fields, FIELDS, c, err));
    if ((size_t)c->architecture >= KRS_ARCHITECTURES ||
        krs_architecture_family(c->architecture) != KRS_FAMILY_BERT)
        return krs_fail(err, KRS_E_RANGE, "model_type: \"%s\" is no BERT",
                        krs_architecture_type(c->architecture));
    if (c->hidden_size % c->num_attention_heads != 0)
        return krs_fail(err, KRS_E_RANGE,
                        "hidden_size: %lld is not a multiple of "
                        "num_attention_heads %lld",
                        (long long)c->hidden_size,
                        (long long)c->num_attention_heads);
    if (c->use_task_id && !is_ernie(c->architecture))
        return krs_fail(err, KRS_E_RANGE,
                        "use_task_id: nothing that \"%s\" has",
                        krs_architecture_type(c->architecture));
    return krsi_ids_check(&c->ids, c->vocab_size, err);
}

static krs_status
read_config(const krsi_json *root, void *out, krs_error *err)
{
    krs_bert_config c = krs_bert_defaults();
    krs_error inner;
    KRS_TRY(krsi_config_architecture(
        root, KRS_FAMILY_BERT, KRS_ARCHITECTURE_BERT, &c.architecture, err));
    KRS_TRY(krsi_config_word(root, "position_embedding_type", "absolute", err));
    KRS_TRY(krsi_config_never(root, "is_decoder",
                              "there is no causal attention in it", err));
    KRS_TRY(krsi_config_never(root, "add_cross_attention",
                              "there is nothing to attend to", err));
    if (is_ernie(c.architecture))
        c.type_vocab_size = 2;
    KRS_TRY(
        krsi_fields_read(root, fields, field_count(c.architecture), &c, err));
    KRS_TRY(krsi_ids_read(root, &c.ids, err));
    if (krs_bert_check(&c, &inner) != KRS_OK)
        return krs_fail(err, KRS_E_FORMAT, "%s: $.%s",
                        krsi_json_name(root->file), inner.text);
    *(krs_bert_config *)out = c;
    return KRS_OK;
}

krs_status
krs_bert_config_read(const char *path, krs_bert_config *out, krs_error *err)
{
    return krsi_config_read(path, read_config, out, err);
}

krs_status
krs_bert_config_write(const char *path, const krs_bert_config *c,
                      krs_error *err)
{
    KRS_TRY(krs_bert_check(c, err));
    return krsi_config_write(path, c->architecture, fields,
                             field_count(c->architecture), c, &c->ids, err);
}
