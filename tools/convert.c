/* convert.c -- kersey convert: a model in another format, or with other types.
 *
 * In: a file or folder, and --out: a name whose ending says the format, or a
 * folder, which gets safetensors. A LLaMA or Qwen2 between GGUF and a folder
 * changes names and layout too (krs_llama_convert in llama.h); anything else is
 * written as it is named. Out: files whose bytes depend on the input alone.
 */
#include "command.h"

#include <krs/gguf.h>
#include <krs/llama.h>
#include <krs/weights.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static bool
is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool
is_of_llama_family(const char *type)
{
    for (int a = 0; a < KRS_ARCHITECTURES; a++)
        if (krs_architecture_family((krs_architecture)a) == KRS_FAMILY_LLAMA &&
            strcmp(type, krs_architecture_type((krs_architecture)a)) == 0)
            return true;
    return false;
}

/* Is it of the family of LLaMA, between GGUF and the format of Hugging Face? */
static bool
is_llama(const char *model, const krs_weights *w, bool to_gguf)
{
    char path[PATH_BYTES];
    const krs_gguf *g = krs_weights_gguf(w);
    const char *name = NULL;
    struct stat info;
    if (g)
        return !to_gguf &&
               krs_gguf_string_or(g, "general.architecture", NULL, &name,
                                  NULL) == KRS_OK &&
               name && is_of_llama_family(name);
    snprintf(path, sizeof path, "%s/config.json", model);
    return is_folder(model) && stat(path, &info) == 0;
}

static krs_status
convert(const struct command_line *line, krs_convert_options *options,
        krs_error *err)
{
    const char *model = line->operands[0], *out = line->flags.out;
    krs_weights *w;
    bool to_folder = is_folder(out);
    KRS_TRY(krs_weights_open(model, &w, err));
    krs_status status;
    if ((to_folder || options->format == KRS_WEIGHTS_GGUF) &&
        is_llama(model, w, !to_folder))
        status = krs_llama_convert(model, out, options, err);
    else
        status = krs_weights_convert(w, out, options, err);
    krs_weights_close(w);
    return status;
}

int
command_convert(const struct command_line *line)
{
    const struct flags *f = &line->flags;
    krs_convert_options options = {.struct_size = sizeof options};
    krs_stored dtype;
    krs_error err;
    if (!f->given[FLAG_ID_out])
        return complain_usage("where to? -o FILE or -o FOLDER/");
    if (f->given[FLAG_ID_dtype]) {
        if (!krs_stored_parse(f->dtype, &dtype))
            return complain_usage("--dtype \"%s\" is no type; f32, f16, bf16, "
                                  "q8_0 and q4_0 are some",
                                  f->dtype);
        options.dtype = &dtype;
    }
    options.shard_bytes = (uint64_t)f->shard_mb * 1000000;
    bool named = krs_weights_format_of(f->out, &options.format);
    if (!named && f->out[strlen(f->out) - 1] == '/' &&
        mkdir(f->out, 0777) != 0 && errno != EEXIST) {
        krs_fail(&err, KRS_E_IO, "%s: cannot make the folder: %s", f->out,
                 strerror(errno));
        return complain(&err);
    }
    if (!named && !is_folder(f->out))
        return complain_usage("\"%s\" names no format: .safetensors, .gguf, "
                              ".npz, .npy, or a folder with '/' at its end",
                              f->out);
    if (!named)
        options.format = KRS_WEIGHTS_SAFETENSORS;
    if (convert(line, &options, &err) != KRS_OK)
        return complain(&err);
    return EXIT_OK;
}
