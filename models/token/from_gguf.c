/* from_gguf.c -- the tokenizer that a GGUF file carries inside.
 *
 * In: the keys tokenizer.* of the file. Out: a tokenizer. A tokenizer.json that
 * stands whole in the file says more than the other keys, and is taken first.
 *
 * Where the file does not say so: llama puts its bos in front, t5 its eos
 * behind, as llama.cpp does.
 */
#include "pieces.h"

#include <krs/gguf.h>

#include <stdlib.h>
#include <string.h>

static krs_text *
copy_texts(const krs_gguf_text *texts, size_t count)
{
    krs_text *copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = (krs_text){texts[i].text, texts[i].bytes};
    return copy;
}

static krs_status
kind_of(const char *path, const char *model, krs_vocabulary_kind *out,
        krs_error *err)
{
    static const char *const names[] = {
        [KRS_VOCABULARY_LLAMA] = "llama",
        [KRS_VOCABULARY_GPT2] = "gpt2",
        [KRS_VOCABULARY_T5] = "t5",
        [KRS_VOCABULARY_BERT] = "bert",
    };
    for (int i = 0; model && i < 4; i++)
        if (!strcmp(names[i], model)) {
            *out = (krs_vocabulary_kind)i;
            return KRS_OK;
        }
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "%s: tokenizer.ggml.model is \"%.60s\"; llama, gpt2, t5 "
                    "and bert are known",
                    path, model ? model : "");
}

/* A whole tokenizer.json, with what stands in other keys. */
static krs_status
make_whole(const char *path, const krs_gguf_tokenizer *g, krs_tokenizer **out,
           krs_error *err)
{
    krs_tokenizer *t;
    KRS_TRY(krs_tokenizer_read(path, g->huggingface, strlen(g->huggingface), &t,
                               err));
    const struct {
        int64_t *id, value;
    } ids[] = {
        {&t->bos, g->bos    },
        {&t->eos, g->eos    },
        {&t->pad, g->padding},
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (*ids[i].id < 0 && ids[i].value >= 0 &&
            krs_tokenizer_token(t, (uint32_t)ids[i].value))
            *ids[i].id = ids[i].value;
    krs_status status = krsi_take_template(t, g->chat_template, err);
    if (status == KRS_OK)
        *out = t;
    else
        krs_tokenizer_free(t);
    return status;
}

static krs_status
make(const char *path, const krs_gguf_tokenizer *g, krs_tokenizer **out,
     krs_error *err)
{
    krs_vocabulary v = {.struct_size = sizeof v,
                        .pre = g->pre,
                        .count = g->token_count,
                        .scores = g->scores,
                        .types = g->types,
                        .merge_count = g->merge_count,
                        .bos = g->bos,
                        .eos = g->eos,
                        .unk = g->unknown,
                        .sep = g->separator,
                        .pad = g->padding,
                        .cls = g->classifier,
                        .mask = g->mask,
                        .adds_bos = g->add_bos,
                        .adds_eos = g->add_eos,
                        .adds_space_prefix = g->add_space_prefix,
                        .removes_extra_whitespace = g->remove_extra_whitespaces,
                        .charsmap = g->charsmap,
                        .charsmap_bytes = g->charsmap_bytes,
                        .chat_template = g->chat_template};
    if (g->huggingface)
        return make_whole(path, g, out, err);
    KRS_TRY(kind_of(path, g->model, &v.kind, err));
    if (!g->has_add_bos)
        v.adds_bos = v.kind == KRS_VOCABULARY_LLAMA;
    if (!g->has_add_eos)
        v.adds_eos = v.kind == KRS_VOCABULARY_T5;
    krs_text *tokens = copy_texts(g->tokens, g->token_count);
    krs_text *merges = copy_texts(g->merges, g->merge_count);
    v.tokens = tokens;
    v.merges = merges;
    krs_error inner;
    krs_status status = tokens && merges
                            ? krs_tokenizer_new(&v, out, &inner)
                            : krsi_no_memory(&inner, "a vocabulary");
    if (status != KRS_OK)
        krs_fail(err, status, "%s: %s", path, inner.text);
    free(tokens);
    free(merges);
    return status;
}

krs_status
krsi_read_gguf(const char *path, krs_tokenizer **out, krs_error *err)
{
    krs_gguf *file;
    krs_gguf_tokenizer g;
    KRS_TRY(krs_gguf_open(path, &file, err));
    krs_status status = krs_gguf_read_tokenizer(file, &g, err);
    if (status == KRS_OK)
        status = make(path, &g, out, err);
    krs_gguf_close(file);
    return status;
}
