/* open.c -- a tokenizer by the name of its file or folder (token.h).
 *
 * In: a path. Out: the tokenizer of whatever format lies there. What the file
 * itself does not say (letters lowered, bos, eos, chat template) is taken from
 * a tokenizer_config.json beside it.
 */
#include "../load/file_read.h"
#include "../load/json_file.h"
#include "pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH = 4096 };

krs_status
krsi_read_whole(const char *path, char **out, size_t *bytes, krs_error *err)
{
    krsi_file file;
    KRS_TRY(krsi_file_open(path, KRSI_JSON_BYTES, &file, err));
    size_t count = (size_t)file.bytes;
    char *text = malloc(count + 1);
    krs_status status =
        text ? krsi_file_read(&file, 0, text, count, err)
             : krs_fail(err, KRS_E_MEMORY,
                        "%s: out of memory for its %zu bytes", path, count);
    krsi_file_close(&file);
    if (status != KRS_OK) {
        free(text);
        return status;
    }
    text[count] = 0;
    *out = text;
    *bytes = count;
    return KRS_OK;
}

static void
free_settings(krsi_settings *s)
{
    free(s->chat);
    free(s->bos);
    free(s->eos);
    s->chat = s->bos = s->eos = NULL;
}

static krs_status
read_switch(const krsi_json *root, const char *key, int *out, krs_error *err)
{
    bool value;
    if (!krsi_json_has(root, key))
        return KRS_OK;
    KRS_TRY(krsi_json_bool(root, key, &value, err));
    *out = value;
    return KRS_OK;
}

/* "token", or {"content": "token", ...}; to be freed */
static krs_status
read_token(const krsi_json *root, const char *key, char **out, krs_error *err)
{
    krsi_json value;
    const char *text;
    if (!krsi_json_has(root, key))
        return KRS_OK;
    KRS_TRY(krsi_json_member(root, key, &value, err));
    if (krsi_json_is_object(&value))
        KRS_TRY(krsi_json_string(&value, "content", &text, err));
    else
        KRS_TRY(krsi_json_as_string(&value, &text, err));
    *out = krsi_copy_text(text, strlen(text));
    return *out ? KRS_OK : krsi_no_memory(err, "a token");
}

static krs_status
read_settings(const krsi_json *root, krsi_settings *out, krs_error *err)
{
    const char *chat;
    krsi_json value;
    KRS_TRY(read_token(root, "bos_token", &out->bos, err));
    KRS_TRY(read_token(root, "eos_token", &out->eos, err));
    KRS_TRY(read_switch(root, "do_lower_case", &out->lower_case, err));
    KRS_TRY(read_switch(root, "add_bos_token", &out->adds_bos, err));
    KRS_TRY(read_switch(root, "add_eos_token", &out->adds_eos, err));
    if (!krsi_json_has(root, "chat_template"))
        return KRS_OK;
    KRS_TRY(krsi_json_member(root, "chat_template", &value, err));
    if (!krsi_json_is_string(&value))
        return KRS_OK; /* several, by name: none is the one */
    KRS_TRY(krsi_json_as_string(&value, &chat, err));
    out->chat = krsi_copy_text(chat, strlen(chat));
    return out->chat ? KRS_OK : krsi_no_memory(err, "a chat template");
}

static bool
exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

krs_status
krsi_settings_read(const char *folder, krsi_settings *out, krs_error *err)
{
    char path[PATH];
    krsi_json_file *file;
    *out = (krsi_settings){.lower_case = -1, .adds_bos = -1, .adds_eos = -1};
    int n = snprintf(path, sizeof path, "%stokenizer_config.json", folder);
    if (n < 0 || n >= PATH || !exists(path))
        return KRS_OK;
    KRS_TRY(krsi_json_open(path, &file, err));
    krsi_json root = krsi_json_root(file);
    krs_status status = read_settings(&root, out, err);
    krsi_json_close(file);
    if (status != KRS_OK)
        free_settings(out);
    return status;
}

/* What the settings say and the tokenizer does not yet. */
static void
take_settings(krs_tokenizer *t, krsi_settings *s)
{
    if (t->bos < 0 && s->bos)
        t->bos = krs_tokenizer_id(t, s->bos);
    if (t->eos < 0 && s->eos)
        t->eos = krs_tokenizer_id(t, s->eos);
    if (!t->chat) {
        t->chat = s->chat;
        s->chat = NULL;
    }
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

static bool
ends(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && !strcmp(path + n - m, suffix);
}

/* The folder of a path, with its slash; false if it is too long. */
static bool
folder_of(const char *path, char out[PATH])
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (n + 64 > PATH)
        return false;
    memcpy(out, path, n);
    out[n] = 0;
    return true;
}

static krs_status
open_pair(const char *folder, const char *path, krs_tokenizer **out,
          krs_error *err)
{
    char other[PATH];
    bool vocab = ends(path, "vocab.json");
    snprintf(other, sizeof other, "%.4000s%s", folder,
             vocab ? "merges.txt" : "vocab.json");
    return vocab ? krsi_read_vocab_merges(path, other, out, err)
                 : krsi_read_vocab_merges(other, path, out, err);
}

static krs_status
open_file(const char *path, krs_tokenizer **out, krs_error *err)
{
    char folder[PATH];
    krsi_settings settings;
    krs_status status;
    if (!folder_of(path, folder))
        return krs_fail(err, KRS_E_ARGUMENT, "%.60s...: the path is too long",
                        path);
    KRS_TRY(krsi_settings_read(folder, &settings, err));
    if (ends(path, "vocab.json") || ends(path, "merges.txt"))
        status = open_pair(folder, path, out, err);
    else if (ends(path, ".json"))
        status = read_json(path, out, err);
    else if (ends(path, ".model"))
        status = krsi_read_sentencepiece(path, &settings, out, err);
    else if (ends(path, ".gguf"))
        status = krsi_read_gguf(path, out, err);
    else if (ends(path, ".tiktoken"))
        status = krsi_read_tiktoken(path, out, err);
    else if (ends(path, ".txt"))
        status = krsi_read_vocab_txt(path, &settings, out, err);
    else
        status = krs_fail(err, KRS_E_UNSUPPORTED,
                          "%s: the name does not say which format it is: "
                          "tokenizer.json, .model, vocab.txt, vocab.json with "
                          "merges.txt, .gguf or .tiktoken",
                          path);
    if (status == KRS_OK)
        take_settings(*out, &settings);
    free_settings(&settings);
    return status;
}

krs_status
krs_tokenizer_open(const char *path, krs_tokenizer **out, krs_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model",
                                        "spiece.model", "vocab.json",
                                        "vocab.txt"};
    struct stat info;
    char inside[PATH];
    if (!path || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer: open: path and out must not be NULL");
    if (!strcmp(path, "bytes"))
        return krsi_bytes(out, err);
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return open_file(path, out, err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int n = snprintf(inside, sizeof inside, "%s/%s", path, names[i]);
        if (n > 0 && n < PATH && exists(inside))
            return open_file(inside, out, err);
    }
    return krs_fail(err, KRS_E_IO,
                    "%s: the folder has no tokenizer: no tokenizer.json, "
                    "tokenizer.model, spiece.model, vocab.json or vocab.txt",
                    path);
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
