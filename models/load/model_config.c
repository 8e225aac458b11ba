/* model_config.c -- the settings of a model of any architecture, and where its
 * tensors lie (model.h).
 *
 * In: a config.json, whose model_type says which reader is asked; a folder or
 * a GGUF file. Out: settings that the reader has checked.
 */
#include "config_fields.h"
#include "path.h"

#include <krs/model.h>

#include <stdlib.h>

/* The first row with the model_type that a config.json names: that of LLaMA if
 * it names none. */
static krs_status
peek_architecture(const char *path, krs_architecture *out, krs_error *err)
{
    krsi_json_file *file;
    KRS_TRY(krsi_json_open(path, &file, err));
    krsi_json root = krsi_json_root(file);
    krs_status status =
        krsi_config_type(&root, NULL, KRS_ARCHITECTURE_LLAMA, out, err);
    krsi_json_close(file);
    return status;
}

krs_status
krs_model_config_read(const char *path, krs_model_config *out, krs_error *err)
{
    krs_architecture a;
    krs_model_config c;
    KRS_TRY(peek_architecture(path, &a, err));
    switch (krs_architecture_family(a)) {
    case KRS_FAMILY_LLAMA:
        KRS_TRY(krs_llama_config_read(path, &c.of.llama, err));
        c.architecture = c.of.llama.architecture;
        break;
    case KRS_FAMILY_GPT2:
        KRS_TRY(krs_gpt2_config_read(path, &c.of.gpt2, err));
        c.architecture = KRS_ARCHITECTURE_GPT2;
        break;
    case KRS_FAMILY_BERT:
        KRS_TRY(krs_bert_config_read(path, &c.of.bert, err));
        c.architecture = c.of.bert.architecture;
        break;
    case KRS_FAMILY_ENCDEC:
        KRS_TRY(krs_encdec_config_read(path, &c.of.encdec, err));
        c.architecture = c.of.encdec.architecture;
        break;
    }
    *out = c;
    return KRS_OK;
}

krs_status
krs_model_config_write(const char *path, const krs_model_config *c,
                       krs_error *err)
{
    switch (krs_architecture_family(c->architecture)) {
    case KRS_FAMILY_LLAMA:
        return krs_llama_config_write(path, &c->of.llama, err);
    case KRS_FAMILY_GPT2: return krs_gpt2_config_write(path, &c->of.gpt2, err);
    case KRS_FAMILY_BERT: return krs_bert_config_write(path, &c->of.bert, err);
    case KRS_FAMILY_ENCDEC:
        return krs_encdec_config_write(path, &c->of.encdec, err);
    }
    return KRS_OK;
}

krs_status
krs_model_check(const krs_model_config *c, krs_error *err)
{
    switch (krs_architecture_family(c->architecture)) {
    case KRS_FAMILY_LLAMA: return krs_llama_check(&c->of.llama, err);
    case KRS_FAMILY_GPT2: return krs_gpt2_check(&c->of.gpt2, err);
    case KRS_FAMILY_BERT: return krs_bert_check(&c->of.bert, err);
    case KRS_FAMILY_ENCDEC: return krs_encdec_check(&c->of.encdec, err);
    }
    return KRS_OK;
}

int64_t
krs_model_vocabulary(const krs_model_config *c)
{
    switch (krs_architecture_family(c->architecture)) {
    case KRS_FAMILY_LLAMA: return c->of.llama.vocab_size;
    case KRS_FAMILY_GPT2: return c->of.gpt2.vocab_size;
    case KRS_FAMILY_BERT: return c->of.bert.vocab_size;
    case KRS_FAMILY_ENCDEC: return c->of.encdec.vocab_size;
    }
    return 0;
}

krs_special_ids
krs_model_ids(const krs_model_config *c)
{
    krs_special_ids none = {-1, -1, -1, {0}, 0};
    switch (krs_architecture_family(c->architecture)) {
    case KRS_FAMILY_LLAMA: return krsi_llama_ids(&c->of.llama);
    case KRS_FAMILY_GPT2: return c->of.gpt2.ids;
    case KRS_FAMILY_BERT: return c->of.bert.ids;
    case KRS_FAMILY_ENCDEC: return c->of.encdec.ids;
    }
    return none;
}

krs_status
krs_model_weights(const char *model, krs_model_config *out,
                  krs_weights **out_weights, krs_error *err)
{
    krs_model_config c;
    char *path;
    if (krsi_is_file(model)) { /* a GGUF file */
        KRS_TRY(krs_llama_weights(model, &c.of.llama, out_weights, err));
        c.architecture = c.of.llama.architecture;
        *out = c;
        return KRS_OK;
    }
    KRS_TRY(krsi_path(&path, err, "%s/config.json", model));
    krs_status status = krs_model_config_read(path, &c, err);
    free(path);
    KRS_TRY(status);
    KRS_TRY(krs_weights_open(model, out_weights, err));
    *out = c;
    return KRS_OK;
}
