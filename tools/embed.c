/* embed.c -- kersey embed: texts as vectors.
 *
 * In: the folder of an encoder, and texts: operands, or a file a line at a
 * time, or stdin. Out, on stdout: a vector a line; with --json one object a
 * text. Lines are taken in slices, so a file may be of any length.
 */
#include "embed.h"
#include "tokenize.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

enum { SLICE = 4096, MOST_TEXTS = 1000 }; /* operands of commands.def */

krs_status
open_encoder(krs_device *device, const char *folder, const struct flags *f,
             struct encoder *e, krs_error *err)
{
    *e = (struct encoder){.store = NULL};
    KRS_TRY(krs_store_new(device, &e->store, err));
    KRS_TRY(krs_model_open(folder, e->store, &e->config, err));
    if (krs_architecture_family(e->config.architecture) != KRS_FAMILY_BERT)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: model_type \"%s\" is no encoder; kersey embed "
                        "takes \"bert\" and \"ernie\"",
                        folder, krs_architecture_type(e->config.architecture));
    const krs_bert_config *bert = &e->config.of.bert;
    if (f->tokenizer)
        KRS_TRY(krs_tokenizer_open(f->tokenizer, &e->tokenizer, err));
    else
        KRS_TRY(krs_tokenizer_of_model(folder, bert->vocab_size, &e->tokenizer,
                                       err));
    KRS_TRY(krs_embed_settings(folder, bert, &e->options, err));
    if (f->given[FLAG_ID_batch])
        e->options.batch = f->batch;
    return krs_embedder_open(e->store, bert, &e->options, &e->embedder, err);
}

void
close_encoder(struct encoder *e)
{
    krs_embedder_close(e->embedder);
    krs_tokenizer_free(e->tokenizer);
    krs_store_free(e->store);
}

/* ---- output ---- */

static void
print_vector(const float *v, int64_t width)
{
    for (int64_t i = 0; i < width; i++)
        printf(i ? " %.9g" : "%.9g", (double)v[i]);
    putchar('\n');
}

static krs_status
print_json(krs_text text, size_t tokens, const float *v, int64_t width,
           krs_error *err)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < width; i++)
        json_array_append_new(list, json_real((double)v[i]));
    json_t *object =
        json_pack("{s:s%, s:I, s:o}", "text", text.text, text.bytes, "tokens",
                  (json_int_t)tokens, "embedding", list);
    int written = object ? json_dumpf(object, stdout,
                                      JSON_COMPACT | JSON_REAL_PRECISION(9))
                         : -1;
    json_decref(object);
    putchar('\n');
    return written == 0
               ? KRS_OK
               : krs_fail(err, KRS_E_IO, "cannot write a vector as JSON");
}

/* ---- texts ---- */

static krs_status
embed_encoded(struct encoder *e, const krs_text *texts, size_t count,
              krs_encoding *es, bool as_json, krs_error *err)
{
    int64_t width = krs_embedder_width(e->embedder);
    float *vectors = calloc(count * (size_t)width + 1, sizeof *vectors);
    if (vectors == NULL)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu vectors", count);
    krs_status status = krs_embedder_run(e->embedder, es, count, vectors, err);
    for (size_t i = 0; i < count && status == KRS_OK; i++) {
        const float *v = vectors + i * (size_t)width;
        if (as_json)
            status = print_json(texts[i], es[i].count, v, width, err);
        else
            print_vector(v, width);
    }
    free(vectors);
    return status;
}

static krs_status
embed_texts(struct encoder *e, const krs_text *texts, size_t count,
            bool as_json, krs_error *err)
{
    const krs_truncation cut = {.max_length = e->options.max_length};
    const krs_encode_options options = {
        .struct_size = sizeof options, .truncation = &cut, .pad_to = -1};
    krs_encoding *es = calloc(count + 1, sizeof *es);
    if (es == NULL)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu texts", count);
    krs_status status = krs_tokenizer_encode_batch(e->tokenizer, texts, NULL,
                                                   count, &options, es, err);
    if (status == KRS_OK)
        status = embed_encoded(e, texts, count, es, as_json, err);
    for (size_t i = 0; i < count; i++)
        krs_encoding_free(&es[i]);
    free(es);
    return status;
}

static krs_status
embed_lines(struct encoder *e, const char *path, bool as_json, krs_error *err)
{
    krs_text lines[SLICE];
    size_t bytes, at = 0;
    char *text;
    krs_status status = KRS_OK;
    KRS_TRY(read_text(path, &text, &bytes, err));
    while (at < bytes && status == KRS_OK) {
        size_t count = 0;
        while (count < SLICE && at < bytes) {
            const char *end = memchr(text + at, '\n', bytes - at);
            size_t own = end ? (size_t)(end - text) - at : bytes - at;
            lines[count++] = (krs_text){text + at, own};
            at += own + 1;
        }
        status = embed_texts(e, lines, count, as_json, err);
    }
    free(text);
    return status;
}

static krs_status
run(const struct command_line *line, struct encoder *e, krs_error *err)
{
    krs_text texts[MOST_TEXTS];
    size_t count = (size_t)line->operand_count - 1;
    const struct flags *f = &line->flags;
    if (count == 0)
        return embed_lines(e, f->data ? f->data : "-", f->json, err);
    for (size_t i = 0; i < count; i++)
        texts[i] =
            (krs_text){line->operands[i + 1], strlen(line->operands[i + 1])};
    return embed_texts(e, texts, count, f->json, err);
}

int
command_embed(const struct command_line *line)
{
    krs_device *device;
    struct encoder encoder;
    krs_error err;
    if (line->operand_count > 1 && line->flags.data)
        return complain_usage("of TEXT and --data one is possible");
    int code = open_device(line, &device);
    if (code != EXIT_OK)
        return code;
    krs_status status =
        open_encoder(device, line->operands[0], &line->flags, &encoder, &err);
    if (status == KRS_OK)
        status = run(line, &encoder, &err);
    close_encoder(&encoder);
    krs_device_close(device);
    return status == KRS_OK ? EXIT_OK : complain(&err);
}
