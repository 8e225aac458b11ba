/* presets.c -- the one table of fresh models: sizes by name.
 *
 * The small LLaMAs are for texts of bytes; llama-15m and llama-110m have the
 * sizes that benchmarks of other systems use, the rest those of their papers.
 * All have tied embeddings.
 */
#include "presets.h"

#include "command.h"

#include <string.h>

static const struct preset {
    const char *name;
    krs_architecture architecture;
    int64_t layers, dim, heads, ffn, vocabulary;
} presets[] = {
    {"llama-tiny",       KRS_ARCHITECTURE_LLAMA,       2,  64,  4,  176,  256  },
    {"llama-2m",         KRS_ARCHITECTURE_LLAMA,       5,  192, 6,  512,  256  },
    {"llama-15m",        KRS_ARCHITECTURE_LLAMA,       6,  288, 6,  768,  32000},
    {"llama-110m",       KRS_ARCHITECTURE_LLAMA,       12, 768, 12, 2048, 32000},
    {"gpt2",             KRS_ARCHITECTURE_GPT2,        12, 768, 12, 3072, 50257},
    {"bert-tiny",        KRS_ARCHITECTURE_BERT,        2,  128, 2,  512,  30522},
    {"bert-base",        KRS_ARCHITECTURE_BERT,        12, 768, 12, 3072, 30522},
    {"t5-small",         KRS_ARCHITECTURE_T5,          6,  512, 8,  2048, 32128},
    {"transformer-base", KRS_ARCHITECTURE_TRANSFORMER, 6,  512, 8,  2048, 37000},
};
enum { PRESET_COUNT = sizeof presets / sizeof *presets };

const char *
preset_name(int i)
{
    return i >= 0 && i < PRESET_COUNT ? presets[i].name : NULL;
}

static const char *
name_at(int i, const void *context)
{
    (void)context;
    return presets[i].name;
}

static krs_llama_config
llama_of(const struct preset *p, int64_t seq)
{
    krs_llama_config c = krs_llama_defaults();
    c.vocab_size = p->vocabulary;
    c.num_hidden_layers = p->layers;
    c.hidden_size = p->dim;
    c.num_attention_heads = c.num_key_value_heads = p->heads;
    c.head_dim = p->dim / p->heads;
    c.intermediate_size = p->ffn;
    c.max_position_embeddings = seq;
    c.tie_word_embeddings = true;
    c.bos_token_id = c.pad_token_id = -1;
    c.eos_count = 0;
    return c;
}

static krs_gpt2_config
gpt2_of(const struct preset *p, int64_t seq)
{
    krs_gpt2_config c = krs_gpt2_defaults();
    c.vocab_size = p->vocabulary;
    c.n_layer = p->layers;
    c.n_embd = p->dim;
    c.n_head = p->heads;
    c.n_inner = p->ffn;
    c.n_positions = seq;
    return c;
}

static krs_bert_config
bert_of(const struct preset *p, int64_t seq)
{
    krs_bert_config c = krs_bert_defaults();
    c.vocab_size = p->vocabulary;
    c.num_hidden_layers = p->layers;
    c.hidden_size = p->dim;
    c.num_attention_heads = p->heads;
    c.intermediate_size = p->ffn;
    c.max_position_embeddings = seq;
    return c;
}

static krs_encdec_config
encdec_of(const struct preset *p, int64_t seq)
{
    krs_encdec_config c = krs_encdec_defaults(p->architecture);
    c.vocab_size = p->vocabulary;
    c.encoder_layers = c.decoder_layers = p->layers;
    c.d_model = p->dim;
    c.encoder_attention_heads = c.decoder_attention_heads = p->heads;
    c.encoder_ffn_dim = c.decoder_ffn_dim = p->ffn;
    if (p->architecture != KRS_ARCHITECTURE_T5)
        c.max_position_embeddings = seq;
    return c;
}

bool
find_preset(const char *name, int64_t seq, krs_model_config *out)
{
    for (int i = 0; i < PRESET_COUNT; i++) {
        const struct preset *p = &presets[i];
        if (strcmp(p->name, name) != 0)
            continue;
        out->architecture = p->architecture;
        switch (krs_architecture_family(p->architecture)) {
        case KRS_FAMILY_LLAMA: out->of.llama = llama_of(p, seq); break;
        case KRS_FAMILY_GPT2: out->of.gpt2 = gpt2_of(p, seq); break;
        case KRS_FAMILY_BERT: out->of.bert = bert_of(p, seq); break;
        case KRS_FAMILY_ENCDEC: out->of.encdec = encdec_of(p, seq); break;
        }
        return true;
    }
    return false;
}

int
refuse_preset(const char *name, const char *what)
{
    int near = nearest(name, PRESET_COUNT, name_at, NULL);
    return complain_usage("\"%s\" is %s; %s %s?", name, what,
                          near >= 0 ? "did you mean" : "how about",
                          preset_name(near >= 0 ? near : 0));
}

krs_status
read_folder_config(const char *folder, krs_model_config *out, krs_error *err)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/config.json", folder);
    if (length < 0 || (size_t)length >= sizeof path)
        return krs_fail(err, KRS_E_IO, "%.100s...: the path is too long",
                        folder);
    return krs_model_config_read(path, out, err);
}
