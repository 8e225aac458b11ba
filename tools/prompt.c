/* prompt.c -- a text or a message as the ids that a model continues.
 *
 * In: the flags of kersey generate, the model's path and settings. Out: ids,
 * and those that end an answer: what config.json, generation_config.json, the
 * tokenizer and the chat format say, together.
 *
 * The tokenizer puts around the text what it does for every text, but an eos
 * behind it: a model that is to go on must not read that it is over. Around a
 * conversation nothing is put, for the template writes it all.
 */
#include "prompt.h"

#include <krs/generate.h>
#include <krs/pretrained.h>
#include <krs/token.h>

#include <stdlib.h>
#include <string.h>

static void
add_stop(struct prompt *p, int64_t id)
{
    if (id >= 0 && p->stop_count < MOST_STOP_IDS &&
        !krs_is_stop(p->stop_ids, p->stop_count, id))
        p->stop_ids[p->stop_count++] = id;
}

static krs_status
find_stops(const char *model, const krs_model_config *config, struct prompt *p,
           krs_error *err)
{
    krs_generation_config generation;
    KRS_TRY(krs_generation_config_open(model, &generation, err));
    const krs_special_ids ids = krs_model_ids(config);
    for (int i = 0; i < ids.eos_count; i++)
        add_stop(p, ids.eos_token_id[i]);
    for (int i = 0; i < generation.eos_count; i++)
        add_stop(p, generation.eos_token_id[i]);
    add_stop(p, krs_tokenizer_eos(p->tokenizer));
    return KRS_OK;
}

/* The prompt as what a user says. */
static krs_status
write_chat(const struct flags *f, struct prompt *p, krs_error *err)
{
    krs_chat chat;
    if (!f->template)
        KRS_TRY(krs_tokenizer_chat(p->tokenizer, &chat, err));
    else if (!krs_chat_parse(f->template, &chat))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "--template: there is no \"%s\"; chatml, llama2, "
                        "llama3 or alpaca",
                        f->template);
    const krs_chat_message said[] = {
        {"system", f->system},
        {"user",   f->prompt}
    };
    bool silent = f->system == NULL;
    const char *end = krs_chat_end(chat.kind);
    if (end)
        add_stop(p, krs_tokenizer_id(p->tokenizer, end));
    return krs_chat_write(&chat, p->tokenizer, said + silent, 2 - silent, true,
                          &p->text, &p->bytes, err);
}

static krs_status
copy_text(const char *text, struct prompt *p, krs_error *err)
{
    p->text = strdup(text);
    p->bytes = strlen(text);
    return p->text ? KRS_OK
                   : krs_fail(err, KRS_E_MEMORY,
                              "no memory for a prompt of %zu bytes", p->bytes);
}

/* The ids of an encoding, without an eos at its end. */
static krs_status
take_ids(const krs_encoding *e, int64_t vocabulary, struct prompt *p,
         krs_error *err)
{
    size_t count = e->count;
    int64_t eos = krs_tokenizer_eos(p->tokenizer);
    if (count > 0 && e->ids[count - 1] == eos &&
        (e->marks[count - 1] & KRS_TOKEN_IS_SPECIAL))
        count--;
    if (count == 0)
        return krs_fail(err, KRS_E_RANGE,
                        "the tokenizer makes no id of this prompt");
    p->ids = calloc(count, sizeof *p->ids);
    if (!p->ids)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu ids", count);
    for (size_t i = 0; i < count; i++) {
        p->ids[i] = e->ids[i];
        if (p->ids[i] >= vocabulary)
            return krs_fail(err, KRS_E_RANGE,
                            "id %lld at byte %u of the prompt is outside the "
                            "model's vocabulary of %lld; tokenizer and model "
                            "may not belong together",
                            (long long)p->ids[i], e->spans[i].begin,
                            (long long)vocabulary);
    }
    p->count = (int64_t)count;
    return KRS_OK;
}

static krs_status
encode(int64_t vocabulary, struct prompt *p, krs_error *err)
{
    static const krs_truncation whole = {.max_length = 0};
    const krs_encode_options options = {.struct_size = sizeof options,
                                        .no_special = p->chats,
                                        .truncation = &whole,
                                        .pad_to = -1};
    krs_encoding e = {0};
    krs_status status = krs_tokenizer_encode(p->tokenizer, p->text, p->bytes,
                                             &options, &e, err);
    if (status == KRS_OK)
        status = take_ids(&e, vocabulary, p, err);
    krs_encoding_free(&e);
    return status;
}

krs_status
prompt_open(const char *model, const struct flags *f,
            const krs_model_config *config, struct prompt *out, krs_error *err)
{
    *out = (struct prompt){.chats = f->chat || f->template || f->system};
    if (f->tokenizer)
        KRS_TRY(krs_tokenizer_open(f->tokenizer, &out->tokenizer, err));
    else
        KRS_TRY(krs_tokenizer_of_model(model, krs_model_vocabulary(config),
                                       &out->tokenizer, err));
    KRS_TRY(find_stops(model, config, out, err));
    if (out->chats)
        KRS_TRY(write_chat(f, out, err));
    else
        KRS_TRY(copy_text(f->prompt, out, err));
    return encode(krs_model_vocabulary(config), out, err);
}

void
prompt_close(struct prompt *p)
{
    free(p->ids);
    free(p->text);
    krs_tokenizer_free(p->tokenizer);
    *p = (struct prompt){0};
}
