/* open.c -- a tokenizer by the name of its file or folder (token.h).
 *
 * In: a path. Out: the tokenizer of whatever format lies there. What the file
 * itself does not say (letters lowered, bos, eos, chat template) is taken from
 * a tokenizer_config.json, special_tokens_map.json or chat_template.jinja
 * beside it.
 */
#include "../load/json_file.h"
#include "../load/path.h"
#include "pieces.h"

#include <stdlib.h>
#include <string.h>

/* What the settings say and the tokenizer does not yet. */
static krs_status
take_settings(krs_tokenizer *t, const krs_tokenizer_config *c, krs_error *err)
{
    const struct {
        int64_t *id;
        krs_special part;
    } ids[] = {
        {&t->bos, KRS_SPECIAL_BOS    },
        {&t->eos, KRS_SPECIAL_EOS    },
        {&t->pad, KRS_SPECIAL_PADDING},
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (*ids[i].id < 0 && c->special[ids[i].part])
            *ids[i].id = krs_tokenizer_id(t, c->special[ids[i].part]);
    return krsi_take_template(t, c->chat_template, err);
}

static krs_status
read_json(const char *path, krs_tokenizer **out, krs_error *err)
{
    krsi_json_file *file;
    KRS_TRY(krsi_json_open(path, &file, err));
    krs_status status = krsi_read_tokenizer(file, out, err);
    krsi_json_close(file);
    return status;
}

bool
krsi_path_ends(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && !strcmp(path + n - m, suffix);
}

static krs_status
open_pair(const char *folder, const char *path, krs_tokenizer **out,
          krs_error *err)
{
    char *other;
    bool vocab = krsi_path_ends(path, "vocab.json");
    KRS_TRY(krsi_path(&other, err, "%s/%s", folder,
                      vocab ? "merges.txt" : "vocab.json"));
    krs_status status = vocab ? krsi_read_vocab_merges(path, other, out, err)
                              : krsi_read_vocab_merges(other, path, out, err);
    free(other);
    return status;
}

static krs_status
open_by_name(const char *path, const char *folder,
             const krs_tokenizer_config *settings, krs_tokenizer **out,
             krs_error *err)
{
    if (krsi_path_ends(path, "vocab.json") ||
        krsi_path_ends(path, "merges.txt"))
        return open_pair(folder, path, out, err);
    if (krsi_path_ends(path, ".json"))
        return read_json(path, out, err);
    if (krsi_path_ends(path, ".model"))
        return krsi_read_sentencepiece(path, settings, out, err);
    if (krsi_path_ends(path, ".gguf"))
        return krsi_read_gguf(path, out, err);
    if (krsi_path_ends(path, ".tiktoken"))
        return krsi_read_tiktoken(path, out, err);
    if (krsi_path_ends(path, ".txt"))
        return krsi_read_vocab_txt(path, settings, out, err);
    if (!krsi_is_file(path))
        return krs_fail(err, KRS_E_IO, "%s: there is no such file or folder",
                        path);
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "%s: the name does not say which format it is: "
                    "tokenizer.json, .model, vocab.txt, vocab.json with "
                    "merges.txt, .gguf or .tiktoken",
                    path);
}

static krs_status
open_in_folder(const char *path, const char *folder, krs_tokenizer **out,
               krs_error *err)
{
    krs_tokenizer_config settings;
    krs_tokenizer *t;
    KRS_TRY(krs_tokenizer_config_open(folder, &settings, err));
    krs_status status = open_by_name(path, folder, &settings, &t, err);
    if (status == KRS_OK) {
        status = take_settings(t, &settings, err);
        if (status == KRS_OK)
            *out = t;
        else
            krs_tokenizer_free(t);
    }
    krs_tokenizer_config_close(&settings);
    return status;
}

static krs_status
open_file(const char *path, krs_tokenizer **out, krs_error *err)
{
    char *folder;
    KRS_TRY(krsi_path_folder(path, &folder, err));
    krs_status status = open_in_folder(path, folder, out, err);
    free(folder);
    return status;
}

/* The first of the known names that is in a folder; NULL if none is. Free it.
 */
static krs_status
find_known(const char *folder, char **out, krs_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model",
                                        "spiece.model",   "vocab.json",
                                        "vocab.txt",      "tokenizer.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        KRS_TRY(krsi_path(out, err, "%s/%s", folder, names[i]));
        if (krsi_is_file(*out))
            return KRS_OK;
        free(*out);
    }
    *out = NULL;
    return KRS_OK;
}

krs_status
krsi_tokenizer_find(const char *path, char **out, krs_error *err)
{
    if (!krsi_is_folder(path))
        return krsi_path(out, err, "%s", path);
    KRS_TRY(find_known(path, out, err));
    if (*out)
        return KRS_OK;
    return krs_fail(err, KRS_E_NAME,
                    "%s: the folder has no tokenizer: no tokenizer.json, "
                    "tokenizer.model, spiece.model, vocab.json, vocab.txt or "
                    "tokenizer.gguf",
                    path);
}

krs_status
krs_tokenizer_open(const char *path, krs_tokenizer **out, krs_error *err)
{
    if (!path || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer: open: path and out must not be NULL");
    if (!strcmp(path, "bytes"))
        return krsi_byte_tokenizer(out, err);
    char *file;
    KRS_TRY(krsi_tokenizer_find(path, &file, err));
    krs_status status = open_file(file, out, err);
    free(file);
    return status;
}

krs_status
krs_tokenizer_of_model(const char *model, int64_t vocabulary,
                       krs_tokenizer **out, krs_error *err)
{
    krs_error inner;
    krs_status status = krs_tokenizer_open(model, out, &inner);
    if (status == KRS_OK)
        return status;
    if (status != KRS_E_NAME)
        return krs_fail(err, status, "%s", inner.text);
    if (vocabulary <= 256)
        return krsi_byte_tokenizer(out, err);
    return krs_fail(err, status,
                    "%s; the model's vocabulary of %lld is more than bytes, so "
                    "a tokenizer must be named",
                    inner.text, (long long)vocabulary);
}

/* ---- what readers share ---- */

krs_status
krsi_frame(krs_tokenizer *t, const char *text, krs_error *err)
{
    krsi_json_file *file;
    KRS_TRY(krsi_json_parse("tokenizer frame", text, strlen(text), &file, err));
    krsi_json root = krsi_json_root(file);
    krs_status status = krsi_read_frame(&root, t, err);
    krsi_json_close(file);
    return status;
}

krs_status
krsi_add_special(krs_tokenizer *t, uint32_t id, krs_error *err)
{
    krsi_added_token token = {.id = id, .special = true};
    const char *text =
        krsi_vocabulary_text(&t->vocabulary, id, &token.content_bytes);
    token.content = (char *)text; /* copied */
    return krsi_added_add(&t->added, &token, err);
}

krs_status
krsi_take_template(krs_tokenizer *t, const char *template, krs_error *err)
{
    if (t->chat || !template)
        return KRS_OK;
    t->chat = krsi_copy_text(template, strlen(template));
    return t->chat ? KRS_OK : krsi_no_memory(err, "a chat template");
}
