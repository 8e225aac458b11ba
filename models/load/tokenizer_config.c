/* tokenizer_config.c -- tokenizer_config.json, special_tokens_map.json and
 * chat_template.jinja of a folder (pretrained.h).
 *
 * In: a folder. Out: the special tokens by their part, and what else a
 * tokenizer has to know; or one sentence with file, JSON path and value. Texts
 * are borrowed from the parsed files, which stay open with the config.
 *
 * A tokenizer_config.json with added_tokens_decoder is of a time when the map
 * was not read any more (transformers 4.34): the map counts only for what it
 * leaves out.
 */
#include "json_file.h"
#include "path.h"

#include <krs/pretrained.h>

#include <stdlib.h>
#include <string.h>

#define TEMPLATE_BYTES ((uint64_t)1 << 20)

struct krs_tokenizer_texts {
    krsi_json_file *files[2];
    const char **additional;
    char *template;     /* of chat_template.jinja, or NULL */
    bool map_is_behind; /* the config's tokens win */
};

static const char *const keys[KRS_SPECIALS] = {
#define ROW(NAME, key) key,
    KRS_SPECIAL_LIST(ROW)
#undef ROW
};

/* A text, or the "content" of an object. */
static krs_status
read_token(const krsi_json *value, const char **out, krs_error *err)
{
    if (krsi_json_is_object(value))
        return krsi_json_string(value, "content", out, err);
    return krsi_json_as_string(value, out, err);
}

static krs_status
read_specials(const krsi_json *root, krs_tokenizer_config *c, krs_error *err)
{
    for (int i = 0; i < KRS_SPECIALS; i++) {
        krsi_json value;
        const char *token;
        char other[80];
        if (!krsi_json_has(root, keys[i]))
            continue;
        KRS_TRY(krsi_json_member(root, keys[i], &value, err));
        KRS_TRY(read_token(&value, &token, err));
        if (c->special[i] && c->texts->map_is_behind)
            continue;
        if (c->special[i] && strcmp(c->special[i], token) != 0)
            return krsi_json_wrong(
                &value, err,
                "contradicts tokenizer_config.json, which "
                "has %s",
                krsi_json_quote(c->special[i], other, sizeof other));
        c->special[i] = token;
    }
    return KRS_OK;
}

/* The list of either file; that of the map counts where both have one. */
static krs_status
read_additional(const krsi_json *root, krs_tokenizer_config *c, krs_error *err)
{
    static const char key[] = "additional_special_tokens";
    krsi_json list, item;
    size_t count;
    if (!krsi_json_has(root, key))
        return KRS_OK;
    KRS_TRY(krsi_json_array(root, key, &list, &count, err));
    const char **texts = calloc(count + 1, sizeof *texts);
    if (!texts)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory for %zu tokens",
                        krsi_json_name(root->file), count);
    free(c->texts->additional);
    c->texts->additional = texts;
    c->additional = texts;
    c->additional_count = count;
    for (size_t i = 0; i < count; i++) {
        KRS_TRY(krsi_json_item(&list, i, &item, err));
        KRS_TRY(read_token(&item, &texts[i], err));
    }
    return KRS_OK;
}

static krs_status
read_answer(const krsi_json *root, const char *key, krs_answer *out,
            krs_error *err)
{
    bool yes;
    if (!krsi_json_has(root, key))
        return KRS_OK;
    KRS_TRY(krsi_json_bool(root, key, &yes, err));
    *out = yes ? KRS_YES : KRS_NO;
    return KRS_OK;
}

/* A template, or a list of {"name", "template"}. */
static krs_status
read_template(const krsi_json *root, krs_tokenizer_config *c, krs_error *err)
{
    krsi_json value, item;
    const char *name;
    if (!krsi_json_has(root, "chat_template"))
        return KRS_OK;
    KRS_TRY(krsi_json_member(root, "chat_template", &value, err));
    if (!krsi_json_is_array(&value))
        return krsi_json_as_string(&value, &c->chat_template, err);
    for (size_t i = 0; i < krsi_json_count(&value); i++) {
        KRS_TRY(krsi_json_item(&value, i, &item, err));
        KRS_TRY(krsi_json_string(&item, "name", &name, err));
        if (strcmp(name, "default") == 0)
            return krsi_json_string(&item, "template", &c->chat_template, err);
    }
    return KRS_OK;
}

static krs_status
read_config(const krsi_json *root, krs_tokenizer_config *c, krs_error *err)
{
    const struct {
        const char *key;
        krs_answer *out;
    } answers[] = {
        {"add_bos_token",                &c->add_bos_token               },
        {"add_eos_token",                &c->add_eos_token               },
        {"add_prefix_space",             &c->add_prefix_space            },
        {"do_lower_case",                &c->do_lower_case               },
        {"clean_up_tokenization_spaces", &c->clean_up_tokenization_spaces},
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        KRS_TRY(read_answer(root, answers[i].key, answers[i].out, err));
    KRS_TRY(krsi_json_string_or(root, "tokenizer_class", NULL,
                                &c->tokenizer_class, err));
    KRS_TRY(krsi_json_double_or(root, "model_max_length", KRSI_POSITIVE, 0,
                                &c->model_max_length, err));
    return read_template(root, c, err);
}

static krs_status
read_file(const char *folder, int which, krs_tokenizer_config *c,
          krs_error *err)
{
    static const char *const names[] = {"tokenizer_config.json",
                                        "special_tokens_map.json"};
    char *path;
    KRS_TRY(krsi_path(&path, err, "%s/%s", folder, names[which]));
    bool is_there = krsi_is_file(path);
    krs_status status =
        is_there ? krsi_json_open(path, &c->texts->files[which], err) : KRS_OK;
    free(path);
    KRS_TRY(status);
    if (!is_there)
        return KRS_OK;
    krsi_json root = krsi_json_root(c->texts->files[which]);
    if (!krsi_json_is_object(&root))
        return krsi_json_wrong(&root, err, "expected an object");
    KRS_TRY(read_specials(&root, c, err));
    KRS_TRY(read_additional(&root, c, err));
    if (which == 0)
        c->texts->map_is_behind = krsi_json_has(&root, "added_tokens_decoder");
    return which == 0 ? read_config(&root, c, err) : KRS_OK;
}

/* A template in a file of its own comes before one in the config. */
static krs_status
read_template_file(const char *folder, krs_tokenizer_config *c, krs_error *err)
{
    char *path;
    size_t bytes;
    KRS_TRY(krsi_path(&path, err, "%s/chat_template.jinja", folder));
    krs_status status = KRS_OK;
    if (krsi_is_file(path)) {
        status = krsi_file_whole(path, TEMPLATE_BYTES, &c->texts->template,
                                 &bytes, err);
        c->chat_template = c->texts->template;
        if (status == KRS_OK && (strlen(c->chat_template) != bytes ||
                                 !krsi_is_utf8(c->chat_template)))
            status = krs_fail(err, KRS_E_FORMAT,
                              "%s: is not a text in UTF-8 without NUL", path);
    }
    free(path);
    return status;
}

krs_status
krs_tokenizer_config_open(const char *folder, krs_tokenizer_config *out,
                          krs_error *err)
{
    krs_tokenizer_config c = {.texts = calloc(1, sizeof *c.texts)};
    if (!c.texts)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", folder);
    krs_status status = KRS_OK;
    for (int i = 0; status == KRS_OK && i < 2; i++)
        status = read_file(folder, i, &c, err);
    if (status == KRS_OK)
        status = read_template_file(folder, &c, err);
    if (status == KRS_OK)
        *out = c;
    else
        krs_tokenizer_config_close(&c);
    return status;
}

void
krs_tokenizer_config_close(krs_tokenizer_config *config)
{
    if (!config->texts)
        return;
    for (int i = 0; i < 2; i++)
        krsi_json_close(config->texts->files[i]);
    free(config->texts->additional);
    free(config->texts->template);
    free(config->texts);
    *config = (krs_tokenizer_config){0};
}
