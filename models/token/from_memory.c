/* from_memory.c -- a tokenizer of a vocabulary in memory: what model files
 * carry inside (token.h, krs_vocabulary).
 *
 * In: tokens with types, scores or merges, and the name of the algorithm. Out:
 * a tokenizer. llama and t5 are vocabularies of sentencepiece (pieces.c), gpt2
 * is byte-level BPE whose expression `pre` names, bert is WordPiece.
 *
 * Names and their meaning: GGUF, as llama.cpp reads it.
 */
#include "pieces.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static krs_status
check(const krs_vocabulary *v, krs_error *err)
{
    const struct {
        const char *name;
        int64_t id;
    } ids[] = {
        {"bos",  v->bos },
        {"eos",  v->eos },
        {"unk",  v->unk },
        {"sep",  v->sep },
        {"pad",  v->pad },
        {"cls",  v->cls },
        {"mask", v->mask},
    };
    if (v->struct_size < sizeof *v || !v->tokens || v->count == 0 ||
        v->count >= KRSI_MOST_TOKENS || (v->merge_count && !v->merges) ||
        v->merge_count >= UINT32_MAX || (v->charsmap_bytes && !v->charsmap))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "vocabulary: %zu tokens with struct_size %zu; at least "
                        "one token, less than %u, and struct_size %zu are "
                        "needed",
                        v->count, v->struct_size, KRSI_MOST_TOKENS, sizeof *v);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id < -1 || ids[i].id >= (int64_t)v->count)
            return krs_fail(err, KRS_E_FORMAT,
                            "vocabulary: the %s token is %" PRId64
                            ", ids go up to %zu",
                            ids[i].name, ids[i].id, v->count - 1);
    return KRS_OK;
}

static int32_t
type_of(const krs_vocabulary *v, size_t i)
{
    return v->types ? v->types[i] : KRS_TOKEN_NORMAL;
}

/* Tokens that are found in the text: control ones, and the user's. */
static krs_status
add_found(krs_tokenizer *t, const krs_vocabulary *v, krs_error *err)
{
    for (size_t i = 0; i < v->count; i++) {
        int32_t type = type_of(v, i);
        krsi_added_token token = {.id = (uint32_t)i,
                                  .special = type == KRS_TOKEN_CONTROL};
        if (type != KRS_TOKEN_CONTROL && type != KRS_TOKEN_USER_DEFINED)
            continue;
        token.content = (char *)krsi_vocabulary_text(
            &t->vocabulary, (uint32_t)i, &token.content_bytes); /* copied */
        if (token.content_bytes > 0)
            KRS_TRY(krsi_added_add(&t->added, &token, err));
    }
    return KRS_OK;
}

static krs_status
add_tokens(krs_tokenizer *t, const krs_vocabulary *v,
           void (*name)(krsi_buffer *out, const char *text, size_t bytes),
           krs_error *err)
{
    krsi_buffer own = {0};
    krs_status status = KRS_OK;
    for (size_t i = 0; status == KRS_OK && i < v->count; i++) {
        own.count = 0;
        name(&own, v->tokens[i].text, v->tokens[i].bytes);
        if (own.failed) {
            status = krsi_no_memory(err, "a vocabulary");
            break;
        }
        size_t bad = krsi_utf8_check(own.bytes, own.count);
        if (bad < own.count || memchr(own.bytes, 0, own.count)) {
            status = krs_fail(err, KRS_E_FORMAT,
                              "vocabulary: token %zu is not UTF-8, or holds a "
                              "zero",
                              i);
            break;
        }
        switch (krsi_vocabulary_add(&t->vocabulary, own.bytes, own.count,
                                    (uint32_t)i)) {
        case KRSI_ADDED: break;
        case KRSI_TOKEN_TWICE:
        case KRSI_ID_TWICE:
            status = krs_fail(err, KRS_E_FORMAT,
                              "vocabulary: token %zu is there before", i);
            break;
        case KRSI_ADD_NO_MEMORY:
            status = krsi_no_memory(err, "a vocabulary");
            break;
        }
    }
    krsi_buffer_free(&own);
    return status;
}

static void
keep_name(krsi_buffer *out, const char *text, size_t bytes)
{
    krsi_buffer_add(out, text, bytes);
    if (bytes == 0)
        krsi_buffer_add_code(out, KRSI_REPLACEMENT); /* a hole */
}

/* ---- llama, t5 ---- */

static krsi_scored_piece
piece_at(const void *user, size_t i)
{
    const krs_vocabulary *v = user;
    return (krsi_scored_piece){v->tokens[i].text, v->tokens[i].bytes,
                               v->scores ? v->scores[i] : 0, type_of(v, i)};
}

static krs_status
fill_pieces(krs_tokenizer *t, const krs_vocabulary *v, krs_error *err)
{
    bool t5 = v->kind == KRS_VOCABULARY_T5;
    krsi_piece_text *p = &t->piece_text;
    krsi_pieces pieces = {.name = "vocabulary",
                          .kind = t5 ? KRSI_PIECES_UNIGRAM : KRSI_PIECES_BPE,
                          .count = v->count,
                          .piece = piece_at,
                          .user = v};
    if (!v->scores)
        return krs_fail(err, KRS_E_FORMAT,
                        "vocabulary: %s needs scores, and there are none",
                        t5 ? "t5" : "llama");
    for (size_t i = 0; i < v->count; i++)
        pieces.byte_fallback |= type_of(v, i) == KRS_TOKEN_BYTE;
    KRS_TRY(krsi_pieces_set(t, &pieces, err));
    p->on = true;
    p->escape = true;
    p->dummy_prefix = v->adds_space_prefix;
    p->remove_extra = v->removes_extra_whitespace;
    p->unk_surface = krsi_copy_text(" \xE2\x81\x87 ", 5);
    if (!p->unk_surface)
        return krsi_no_memory(err, "a piece");
    if (v->charsmap_bytes)
        KRS_TRY(krsi_charsmap_new("vocabulary", v->charsmap, v->charsmap_bytes,
                                  &p->charsmap, err));
    return add_found(t, v, err);
}

/* ---- gpt2 ---- */

/* What `pre` names: the expression, and whether digits stand alone before. */
static const struct {
    const char *name, *regex;
    bool digits, ignore_merges;
} splits[] = {
    {"gpt-2",            krsi_regex_gpt2,   false, false},
    {"phi-2",            krsi_regex_gpt2,   false, false},
    {"mpt",              krsi_regex_gpt2,   false, false},
    {"olmo",             krsi_regex_gpt2,   false, false},
    {"jais",             krsi_regex_gpt2,   false, false},
    {"starcoder",        krsi_regex_gpt2,   true,  false},
    {"refact",           krsi_regex_gpt2,   true,  false},
    {"command-r",        krsi_regex_gpt2,   true,  false},
    {"smollm",           krsi_regex_gpt2,   true,  false},
    {"codeshell",        krsi_regex_gpt2,   true,  false},
    {"llama-bpe",        krsi_regex_llama3, false, true },
    {"llama3",           krsi_regex_llama3, false, true },
    {"llama-v3",         krsi_regex_llama3, false, true },
    {"qwen2",            krsi_regex_qwen2,  false, false},
    {"deepseek-r1-qwen", krsi_regex_qwen2,  false, false},
    {"stablelm2",        krsi_regex_qwen2,  false, false},
};

static krs_status
add_split(krs_tokenizer *t, const char *pre, krs_error *err)
{
    size_t i = 0, count = sizeof splits / sizeof *splits;
    krsi_step *step;
    while (i < count && strcmp(splits[i].name, pre ? pre : "gpt-2") != 0)
        i++;
    if (i == count)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "vocabulary: how \"%.60s\" splits a text is not known; "
                        "use the tokenizer.json of the model",
                        pre);
    if (splits[i].digits) {
        KRS_TRY(krsi_steps_add(&t->pre, &step, err));
        step->kind = KRSI_PRE_DIGITS;
        step->individual = true;
    }
    if (splits[i].regex != krsi_regex_gpt2) {
        KRS_TRY(krsi_steps_add(&t->pre, &step, err));
        step->kind = KRSI_PRE_SPLIT;
        step->behavior = KRSI_ISOLATED;
        KRS_TRY(krsi_pattern_regex(splits[i].regex, strlen(splits[i].regex),
                                   &step->pattern, err));
    }
    KRS_TRY(krsi_steps_add(&t->pre, &step, err));
    step->kind = KRSI_PRE_BYTE_LEVEL;
    step->split = splits[i].regex == krsi_regex_gpt2;
    t->model.ignore_merges = splits[i].ignore_merges;
    return KRS_OK;
}

static krs_status
fill_gpt2(krs_tokenizer *t, const krs_vocabulary *v, krs_error *err)
{
    krsi_buffer whole = {0};
    krs_status status = KRS_OK;
    t->model.kind = KRSI_BPE;
    KRS_TRY(add_tokens(t, v, keep_name, err));
    if (!krsi_merges_room(&t->model.merges, v->merge_count))
        return krsi_no_memory(err, "merges");
    for (size_t i = 0; status == KRS_OK && i < v->merge_count; i++) {
        char where[64];
        snprintf(where, sizeof where, "vocabulary: merge %zu", i);
        status = krsi_merge_line(t, where, v->merges[i].text,
                                 v->merges[i].bytes, (uint32_t)i, &whole, err);
    }
    krsi_buffer_free(&whole);
    if (status != KRS_OK)
        return status;
    KRS_TRY(add_split(t, v->pre, err));
    KRS_TRY(add_found(t, v, err));
    return krsi_frame(t, "{\"decoder\":{\"type\":\"ByteLevel\"}}", err);
}

/* ---- bert ---- */

/* A word begins with U+2581, what continues one has nothing in front. */
static void
bert_name(krsi_buffer *out, const char *text, size_t bytes)
{
    if (bytes >= KRSI_META_BYTES &&
        !memcmp(text, KRSI_META_SPACE, KRSI_META_BYTES)) {
        krsi_buffer_add(out, text + KRSI_META_BYTES, bytes - KRSI_META_BYTES);
    } else if (bytes >= 2 && text[0] == '[' && text[bytes - 1] == ']') {
        krsi_buffer_add(out, text, bytes);
    } else {
        krsi_buffer_add(out, "##", 2);
        krsi_buffer_add(out, text, bytes);
    }
}

krs_status
krs_tokenizer_new(const krs_vocabulary *v, krs_tokenizer **out, krs_error *err)
{
    krs_tokenizer *t;
    krs_status status = KRS_E_UNSUPPORTED;
    if (!v || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "vocabulary: it and out must not be NULL");
    KRS_TRY(check(v, err));
    KRS_TRY(krsi_tokenizer_new(&t, err));
    switch (v->kind) {
    case KRS_VOCABULARY_LLAMA:
    case KRS_VOCABULARY_T5: status = fill_pieces(t, v, err); break;
    case KRS_VOCABULARY_GPT2: status = fill_gpt2(t, v, err); break;
    case KRS_VOCABULARY_BERT:
        status = add_tokens(t, v, bert_name, err);
        if (status == KRS_OK)
            status = krsi_bert_finish(t, true, err);
        break;
    default:
        krs_fail(err, status, "vocabulary: kind %d does not exist",
                 (int)v->kind);
    }
    t->bos = v->bos;
    t->eos = v->eos;
    t->pad = v->pad;
    t->adds_bos = v->adds_bos && v->kind != KRS_VOCABULARY_BERT;
    t->adds_eos = v->adds_eos && v->kind != KRS_VOCABULARY_BERT;
    if (status == KRS_OK)
        status = krsi_add_around(t, err);
    if (status == KRS_OK && v->chat_template) {
        t->chat = krsi_copy_text(v->chat_template, strlen(v->chat_template));
        if (!t->chat)
            status = krsi_no_memory(err, "a chat template");
    }
    if (status == KRS_OK)
        status = krsi_tokenizer_ready(t, err);
    if (status == KRS_OK)
        *out = t;
    else
        krs_tokenizer_free(t);
    return status;
}
