/* presets.c -- the one table of fresh models: sizes by name.
 *
 * All have tied embeddings. The small ones are for texts of bytes; llama-15m
 * and llama-110m have the sizes that benchmarks of other systems use.
 */
#include "presets.h"

#include "command.h"

#include <string.h>

static const struct {
    const char *name;
    int64_t layers, dim, heads, ffn, vocabulary;
} presets[] = {
    {"llama-tiny", 2,  64,  4,  176,  256  },
    {"llama-2m",   5,  192, 6,  512,  256  },
    {"llama-15m",  6,  288, 6,  768,  32000},
    {"llama-110m", 12, 768, 12, 2048, 32000},
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

bool
find_preset(const char *name, int64_t seq, krs_llama_config *out)
{
    for (int i = 0; i < PRESET_COUNT; i++) {
        if (strcmp(presets[i].name, name) != 0)
            continue;
        *out = krs_llama_defaults();
        out->vocab_size = presets[i].vocabulary;
        out->num_hidden_layers = presets[i].layers;
        out->hidden_size = presets[i].dim;
        out->num_attention_heads = presets[i].heads;
        out->num_key_value_heads = presets[i].heads;
        out->head_dim = presets[i].dim / presets[i].heads;
        out->intermediate_size = presets[i].ffn;
        out->max_position_embeddings = seq;
        out->tie_word_embeddings = true;
        out->bos_token_id = -1;
        out->pad_token_id = -1;
        out->eos_count = 0;
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
read_folder_config(const char *folder, krs_llama_config *out, krs_error *err)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/config.json", folder);
    if (length < 0 || (size_t)length >= sizeof path)
        return krs_fail(err, KRS_E_IO, "%.100s...: the path is too long",
                        folder);
    return krs_llama_config_read(path, out, err);
}
