/* post_read.c -- post-processors out of a tokenizer.json.
 *
 * In: the JSON of TemplateProcessing, BertProcessing, RobertaProcessing,
 * ByteLevel or a Sequence of them. Out: rules for finish.c: the three former
 * are templates of pieces, the last trims offsets. Every special token of a
 * template must be listed with its ids.
 */
#include "../load/json_file.h"
#include "tokenizer.h"

#include <jansson.h>
#include <string.h>

enum { DEEPEST = 16 };

static krs_status
read_special(const krsi_json *table, const char *name, krsi_post_piece *piece,
             krs_error *err)
{
    krsi_json token, ids, texts, item;
    size_t count, text_count;
    int64_t id;
    const char *text;
    KRS_TRY(krsi_json_object(table, name, &token, err));
    KRS_TRY(krsi_json_array(&token, "ids", &ids, &count, err));
    KRS_TRY(krsi_json_array(&token, "tokens", &texts, &text_count, err));
    if (count != text_count)
        return krsi_json_wrong(&token, err, "%zu ids and %zu tokens", count,
                               text_count);
    for (size_t i = 0; i < count; i++) {
        KRS_TRY(krsi_json_item(&ids, i, &item, err));
        KRS_TRY(krsi_json_as_int(&item, 0, UINT32_MAX - 1, &id, err));
        KRS_TRY(krsi_json_item(&texts, i, &item, err));
        KRS_TRY(krsi_json_as_string(&item, &text, err));
        KRS_TRY(krsi_post_piece_add(piece, (uint32_t)id, text, err));
    }
    return KRS_OK;
}

static krs_status
read_template(const krsi_json *value, const char *key, const krsi_json *table,
              krsi_template *out, krs_error *err)
{
    static const char *const names[] = {"A", "B"};
    krsi_json list, item, inner;
    size_t count, sequence, seen[2] = {0, 0}, which = strcmp(key, "pair") == 0;
    int64_t type_id;
    const char *name;
    KRS_TRY(krsi_json_array(value, key, &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        krsi_post_piece *piece;
        KRS_TRY(krsi_json_item(&list, i, &item, err));
        KRS_TRY(krsi_template_add(out, &piece, err));
        bool special = krsi_json_has(&item, "SpecialToken");
        KRS_TRY(krsi_json_object(&item, special ? "SpecialToken" : "Sequence",
                                 &inner, err));
        KRS_TRY(krsi_json_int(&inner, "type_id", 0, UINT32_MAX, &type_id, err));
        piece->type_id = (uint32_t)type_id;
        if (special) {
            KRS_TRY(krsi_json_string(&inner, "id", &name, err));
            KRS_TRY(read_special(table, name, piece, err));
            continue;
        }
        KRS_TRY(krsi_json_choice(&inner, "id", names, 2, &sequence, err));
        piece->sequence = (int)sequence;
        if (sequence > which || seen[sequence]++)
            return krsi_json_wrong(&inner, err,
                                   "sequence %s is not there, or stands in the "
                                   "template twice",
                                   names[sequence]);
    }
    return KRS_OK;
}

static krs_status
read_templates(const krsi_json *value, krsi_posts *posts, krs_error *err)
{
    krsi_json table;
    krsi_post *post;
    KRS_TRY(krsi_json_object(value, "special_tokens", &table, err));
    KRS_TRY(krsi_posts_add(posts, &post, err));
    post->kind = KRSI_POST_TEMPLATE;
    KRS_TRY(read_template(value, "single", &table, &post->single, err));
    return read_template(value, "pair", &table, &post->pair, err);
}

/* ["[SEP]", 102] as a piece of a template */
static krs_status
add_token(const krsi_json *value, const char *key, uint32_t type_id,
          krsi_template *out, krs_error *err)
{
    krsi_json pair, item;
    size_t count;
    const char *text;
    int64_t id;
    krsi_post_piece *piece;
    KRS_TRY(krsi_json_array(value, key, &pair, &count, err));
    if (count != 2)
        return krsi_json_wrong(&pair, err, "a token and its id are expected");
    KRS_TRY(krsi_json_item(&pair, 0, &item, err));
    KRS_TRY(krsi_json_as_string(&item, &text, err));
    KRS_TRY(krsi_json_item(&pair, 1, &item, err));
    KRS_TRY(krsi_json_as_int(&item, 0, UINT32_MAX - 1, &id, err));
    KRS_TRY(krsi_template_add(out, &piece, err));
    piece->type_id = type_id;
    return krsi_post_piece_add(piece, (uint32_t)id, text, err);
}

static krs_status
add_sequence(int sequence, uint32_t type_id, krsi_template *out, krs_error *err)
{
    krsi_post_piece *piece;
    KRS_TRY(krsi_template_add(out, &piece, err));
    piece->sequence = sequence;
    piece->type_id = type_id;
    return KRS_OK;
}

/* cls A sep, and cls A sep B sep; RoBERTa has two sep between, and one type */
static krs_status
read_bert(const krsi_json *value, bool roberta, krsi_posts *posts,
          krs_error *err)
{
    krsi_post *post;
    uint32_t second = roberta ? 0 : 1;
    if (roberta) {
        bool trims, prefix;
        KRS_TRY(krsi_json_bool(value, "trim_offsets", &trims, err));
        KRS_TRY(krsi_json_bool(value, "add_prefix_space", &prefix, err));
        if (trims) {
            KRS_TRY(krsi_posts_add(posts, &post, err));
            post->kind = KRSI_POST_TRIM;
            post->prefix_space = prefix;
        }
    }
    KRS_TRY(krsi_posts_add(posts, &post, err));
    post->kind = KRSI_POST_TEMPLATE;
    for (int pair = 0; pair < 2; pair++) {
        krsi_template *out = pair ? &post->pair : &post->single;
        KRS_TRY(add_token(value, "cls", 0, out, err));
        KRS_TRY(add_sequence(0, 0, out, err));
        KRS_TRY(add_token(value, "sep", 0, out, err));
        if (!pair)
            continue;
        if (roberta)
            KRS_TRY(add_token(value, "sep", 0, out, err));
        KRS_TRY(add_sequence(1, second, out, err));
        KRS_TRY(add_token(value, "sep", second, out, err));
    }
    return KRS_OK;
}

static krs_status
read_trim(const krsi_json *value, krsi_posts *posts, krs_error *err)
{
    bool prefix, trims;
    krsi_post *post;
    KRS_TRY(krsi_json_bool(value, "add_prefix_space", &prefix, err));
    KRS_TRY(krsi_json_bool(value, "trim_offsets", &trims, err));
    if (!trims)
        return KRS_OK;
    KRS_TRY(krsi_posts_add(posts, &post, err));
    post->kind = KRSI_POST_TRIM;
    post->prefix_space = prefix;
    return KRS_OK;
}

static krs_status
read_post(const krsi_json *value, int depth, krsi_posts *posts, krs_error *err)
{
    enum { TEMPLATE, BERT, ROBERTA, BYTE_LEVEL, SEQUENCE, KINDS };
    static const char *const names[] = {"TemplateProcessing", "BertProcessing",
                                        "RobertaProcessing", "ByteLevel",
                                        "Sequence"};
    size_t kind, count;
    krsi_json list, item;
    KRS_TRY(krsi_json_choice(value, "type", names, KINDS, &kind, err));
    switch (kind) {
    case TEMPLATE: return read_templates(value, posts, err);
    case BERT: return read_bert(value, false, posts, err);
    case ROBERTA: return read_bert(value, true, posts, err);
    case BYTE_LEVEL: return read_trim(value, posts, err);
    default: break;
    }
    if (depth == DEEPEST)
        return krsi_json_wrong(
            value, err, "sequences inside sequences, deeper than %d", DEEPEST);
    KRS_TRY(krsi_json_array(value, "processors", &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        KRS_TRY(krsi_json_item(&list, i, &item, err));
        KRS_TRY(read_post(&item, depth + 1, posts, err));
    }
    return KRS_OK;
}

krs_status
krsi_read_post(const krsi_json *value, krsi_posts *posts, krs_error *err)
{
    size_t templates = 0;
    KRS_TRY(read_post(value, 0, posts, err));
    for (size_t i = 0; i < posts->count; i++)
        templates += posts->items[i].kind == KRSI_POST_TEMPLATE;
    if (templates > 1)
        return krsi_json_wrong(value, err,
                               "%zu processors put special tokens around the "
                               "text, one can",
                               templates);
    return KRS_OK;
}
