/* tokenizer_json.c -- a tokenizer.json as a whole: its model, what stands
 * around it, added tokens, truncation and padding.
 *
 * In: the text of the file. Out: a tokenizer; or one sentence with the JSON
 * path.
 *
 * Added tokens get their ids as Hugging Face tokenizers give them: that of the
 * vocabulary, else the next one after it. An id that the file says and that
 * rule does not give is refused, where that library warns and goes on.
 */
#include "../load/json_file.h"
#include "tokenizer.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_PADDING = 1 << 20 }; /* tokens that a file may ask for */

static krs_status
check_id(const krsi_json *value, const krs_tokenizer *t,
         const krsi_added_token *token, uint32_t *next, krs_error *err)
{
    uint32_t known = krsi_vocabulary_find(&t->added.text, token->content,
                                          token->content_bytes);
    if (known == KRSI_NO_ID)
        known = krsi_vocabulary_find(&t->vocabulary, token->content,
                                     token->content_bytes);
    if (known == KRSI_NO_ID) {
        if (token->id != *next)
            return krsi_json_wrong(value, err,
                                   "the added token has id %u, the next one "
                                   "after the vocabulary is %u",
                                   token->id, *next);
        *next = token->id + 1;
        return KRS_OK;
    }
    if (known != token->id)
        return krsi_json_wrong(value, err,
                               "the added token has id %u here and %u in the "
                               "vocabulary",
                               token->id, known);
    return KRS_OK;
}

static krs_status
read_added(const krsi_json *root, krs_tokenizer *t, krs_error *err)
{
    krsi_json list, item;
    size_t count;
    uint32_t next = (uint32_t)t->vocabulary.count;
    if (!krsi_json_has(root, "added_tokens"))
        return KRS_OK;
    KRS_TRY(krsi_json_array(root, "added_tokens", &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        krsi_added_token token = {0};
        const char *content;
        int64_t id;
        KRS_TRY(krsi_json_item(&list, i, &item, err));
        KRS_TRY(krsi_json_string(&item, "content", &content, err));
        KRS_TRY(krsi_json_int(&item, "id", 0, KRSI_MOST_TOKENS, &id, err));
        KRS_TRY(krsi_json_bool(&item, "single_word", &token.single_word, err));
        KRS_TRY(krsi_json_bool(&item, "lstrip", &token.lstrip, err));
        KRS_TRY(krsi_json_bool(&item, "rstrip", &token.rstrip, err));
        KRS_TRY(krsi_json_bool(&item, "normalized", &token.normalized, err));
        KRS_TRY(krsi_json_bool(&item, "special", &token.special, err));
        token.content = (char *)content; /* copied below */
        token.content_bytes = strlen(content);
        token.id = (uint32_t)id;
        if (token.content_bytes == 0)
            continue;
        KRS_TRY(check_id(&item, t, &token, &next, err));
        KRS_TRY(krsi_added_add(&t->added, &token, err));
    }
    return KRS_OK;
}

static krs_status
read_truncation(const krsi_json *root, krs_tokenizer *t, krs_error *err)
{
    static const char *const directions[] = {"Right", "Left"};
    static const char *const strategies[] = {
        [KRS_TRUNCATE_LONGEST_FIRST] = "LongestFirst",
        [KRS_TRUNCATE_ONLY_FIRST] = "OnlyFirst",
        [KRS_TRUNCATE_ONLY_SECOND] = "OnlySecond",
    };
    krsi_json it;
    size_t direction = 0, strategy;
    krs_truncation *tr = &t->truncation;
    if (!krsi_json_has(root, "truncation"))
        return KRS_OK;
    KRS_TRY(krsi_json_object(root, "truncation", &it, err));
    KRS_TRY(
        krsi_json_int(&it, "max_length", 1, INT32_MAX, &tr->max_length, err));
    KRS_TRY(krsi_json_int(&it, "stride", 0, INT32_MAX, &tr->stride, err));
    KRS_TRY(krsi_json_choice(&it, "strategy", strategies, 3, &strategy, err));
    if (krsi_json_has(&it, "direction"))
        KRS_TRY(
            krsi_json_choice(&it, "direction", directions, 2, &direction, err));
    tr->strategy = (krs_truncate)strategy;
    tr->left = direction == 1;
    return KRS_OK;
}

static krs_status
read_padding(const krsi_json *root, krs_tokenizer *t, krs_error *err)
{
    static const char *const directions[] = {"Right", "Left"};
    krsi_json it, strategy;
    size_t direction;
    int64_t id, type_id;
    const char *token;
    krsi_padding *p = &t->padding;
    if (!krsi_json_has(root, "padding"))
        return KRS_OK;
    KRS_TRY(krsi_json_object(root, "padding", &it, err));
    KRS_TRY(krsi_json_member(&it, "strategy", &strategy, err));
    if (krsi_json_is_object(&strategy)) {
        KRS_TRY(krsi_json_int(&strategy, "Fixed", 0, LONGEST_PADDING,
                              &p->length, err));
    } else {
        static const char *const longest[] = {"BatchLongest"};
        size_t i;
        KRS_TRY(krsi_json_choice(&it, "strategy", longest, 1, &i, err));
    }
    KRS_TRY(krsi_json_choice(&it, "direction", directions, 2, &direction, err));
    KRS_TRY(krsi_json_int_or(&it, "pad_to_multiple_of", 0, LONGEST_PADDING, 0,
                             &p->multiple, err));
    KRS_TRY(krsi_json_int(&it, "pad_id", 0, UINT32_MAX - 1, &id, err));
    KRS_TRY(krsi_json_int(&it, "pad_type_id", 0, UINT32_MAX, &type_id, err));
    KRS_TRY(krsi_json_string(&it, "pad_token", &token, err));
    p->on = true;
    p->left = direction == 1;
    p->id = (uint32_t)id;
    p->type_id = (uint32_t)type_id;
    p->token = krsi_copy_text(token, strlen(token));
    t->pad = id;
    return p->token ? KRS_OK : krsi_no_memory(err, "padding");
}

krs_status
krsi_read_frame(const krsi_json *root, krs_tokenizer *t, krs_error *err)
{
    krsi_json part;
    if (krsi_json_has(root, "normalizer")) {
        KRS_TRY(krsi_json_object(root, "normalizer", &part, err));
        KRS_TRY(krsi_read_normalizer(&part, &t->normalizer, err));
    }
    if (krsi_json_has(root, "pre_tokenizer")) {
        KRS_TRY(krsi_json_object(root, "pre_tokenizer", &part, err));
        KRS_TRY(krsi_read_pre(&part, &t->pre, err));
    }
    if (krsi_json_has(root, "post_processor")) {
        KRS_TRY(krsi_json_object(root, "post_processor", &part, err));
        KRS_TRY(krsi_read_post(&part, &t->post, err));
    }
    if (krsi_json_has(root, "decoder")) {
        KRS_TRY(krsi_json_object(root, "decoder", &part, err));
        KRS_TRY(krsi_read_decoder(&part, &t->decoder, err));
        t->decodes = true;
    }
    return KRS_OK;
}

static krs_status
read_all(const krsi_json *root, krs_tokenizer *t, krs_error *err)
{
    static const char *const versions[] = {"1.0"};
    krsi_json part;
    size_t i;
    if (krsi_json_has(root, "version"))
        KRS_TRY(krsi_json_choice(root, "version", versions, 1, &i, err));
    KRS_TRY(krsi_json_object(root, "model", &part, err));
    KRS_TRY(krsi_read_model(&part, t, err));
    KRS_TRY(krsi_read_frame(root, t, err));
    KRS_TRY(read_added(root, t, err));
    KRS_TRY(read_truncation(root, t, err));
    return read_padding(root, t, err);
}

krs_status
krsi_read_tokenizer(const krsi_json_file *file, krs_tokenizer **out,
                    krs_error *err)
{
    krs_tokenizer *t;
    KRS_TRY(krsi_tokenizer_new(&t, err));
    krsi_json root = krsi_json_root(file);
    krs_status status = read_all(&root, t, err);
    if (status == KRS_OK)
        status = krsi_tokenizer_ready(t, err);
    if (status == KRS_OK)
        *out = t;
    else
        krs_tokenizer_free(t);
    return status;
}

krs_status
krs_tokenizer_read(const char *name, const char *text, size_t bytes,
                   krs_tokenizer **out, krs_error *err)
{
    krsi_json_file *file;
    if (!name || !text || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer: read: name, text and out must not be NULL");
    KRS_TRY(krsi_json_parse(name, text, bytes, &file, err));
    krs_status status = krsi_read_tokenizer(file, out, err);
    krsi_json_close(file);
    return status;
}
