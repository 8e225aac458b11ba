/* generate.c -- kersey generate: continue a text with a model.
 *
 * In: a model folder or .gguf file and a prompt (prompt.c). Out, on stdout: the
 * prompt and what the model makes of it, as it comes; of a conversation the
 * answer alone; with --json one object with texts and ids at the end. On
 * stderr the speed.
 *
 * What is written is UTF-8: a character that is not whole yet is held back, and
 * bytes that make none become U+FFFD. The ids of the prompt go through the
 * same decoder first, so that the words after it are spaced as in one text.
 *
 * The text may be longer than the model's context: when the cache is full, its
 * newer half is read again. Temperature 0 takes the likeliest token each time.
 * With --beams the best text that a search finds is written when it is found;
 * it ends with the context.
 * Interrupted, it ends after the token at hand with EXIT_INTERRUPTED.
 */
#include "prompt.h"

#include <krs/generate.h>
#include <krs/model.h>
#include <krs/token.h>

#include <jansson.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_BEAMS = 1000 };

static volatile sig_atomic_t interrupted;

static void
interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Where the new ids go. */
struct stream {
    const krs_tokenizer *tokenizer;
    krs_token_stream *decoder;
    FILE *out; /* stdout, or what becomes a text of JSON */
    int64_t count;
    double first, last; /* times of the first and last token */
    krs_status status;
    krs_error *err;
};

static krs_status
write_text(struct stream *s, const char *text, size_t bytes)
{
    if (fwrite(text, 1, bytes, s->out) == bytes && fflush(s->out) == 0)
        return KRS_OK;
    return krs_fail(s->err, KRS_E_IO, "cannot write the text");
}

static krs_status
write_id(struct stream *s, int64_t id)
{
    const char *text;
    size_t bytes;
    /* the matrix of a model may have more rows than there are tokens */
    if (!krs_tokenizer_token(s->tokenizer, (uint32_t)id))
        return KRS_OK;
    KRS_TRY(
        krs_token_stream_push(s->decoder, (uint32_t)id, &text, &bytes, s->err));
    return bytes > 0 ? write_text(s, text, bytes) : KRS_OK;
}

static bool
take_token(void *user, int64_t row, int64_t id)
{
    struct stream *s = user;
    (void)row;
    s->last = seconds();
    if (s->count++ == 0)
        s->first = s->last;
    s->status = write_id(s, id);
    return s->status == KRS_OK && !interrupted;
}

/* A stream that has read the prompt. */
static krs_status
stream_open(const struct prompt *p, FILE *out, struct stream *s, krs_error *err)
{
    const char *text;
    size_t bytes;
    *s = (struct stream){.tokenizer = p->tokenizer, .out = out, .err = err};
    KRS_TRY(krs_token_stream_new(p->tokenizer, true, &s->decoder, err));
    for (int64_t i = 0; i < p->count; i++)
        KRS_TRY(krs_token_stream_push(s->decoder, (uint32_t)p->ids[i], &text,
                                      &bytes, err));
    return KRS_OK;
}

/* What is held back still. */
static krs_status
stream_end(struct stream *s)
{
    const char *text;
    size_t bytes;
    KRS_TRY(krs_token_stream_end(s->decoder, &text, &bytes, s->err));
    return bytes > 0 ? write_text(s, text, bytes) : KRS_OK;
}

/* A search draws nothing, so that what shapes the draw does not count. */
static size_t
read_rules(const struct flags *f, krs_logits_rule rules[4])
{
    size_t count = 0;
    if (f->repetition_penalty != 1.0)
        rules[count++] = (krs_logits_rule){KRS_LOGITS_REPETITION_PENALTY,
                                           f->repetition_penalty};
    if (f->beams > 1)
        return count;
    if (f->temperature != 0.0 && f->temperature != 1.0)
        rules[count++] =
            (krs_logits_rule){KRS_LOGITS_TEMPERATURE, f->temperature};
    if (f->top_k > 0)
        rules[count++] = (krs_logits_rule){KRS_LOGITS_TOP_K, (double)f->top_k};
    if (f->top_p != 1.0)
        rules[count++] = (krs_logits_rule){KRS_LOGITS_TOP_P, f->top_p};
    return count;
}

/* What the decoder of an encoder-decoder goes on from: the prompt, encoded. */
struct source {
    krs_encdec_memory memory;
    int64_t start; /* id */
};

/* The prompt, encoded for each beam. */
static krs_status
read_source(krs_store *store, const struct prompt *prompt,
            const krs_encdec_memory *memory, krs_error *err)
{
    size_t count = (size_t)prompt->count, rows = (size_t)memory->batch;
    int64_t *ids = calloc(rows * count + 1, sizeof *ids);
    if (!ids)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu rows of %zu ids",
                        rows, count);
    for (size_t i = 0; i < rows; i++)
        memcpy(ids + i * count, prompt->ids, count * sizeof *ids);
    krs_status status = krs_encdec_read(store, memory, ids, NULL, err);
    free(ids);
    return status;
}

/* The model and the ids that it continues, *count of them: of an
 * encoder-decoder the start id, after the prompt has been encoded. */
static krs_status
find_model(krs_store *store, const krs_model_config *config, int64_t beams,
           const struct prompt *prompt, struct source *source,
           krs_causal_model *model, const int64_t **ids, int64_t *count,
           krs_error *err)
{
    *ids = prompt->ids;
    *count = prompt->count;
    if (krs_architecture_family(config->architecture) != KRS_FAMILY_ENCDEC)
        return krs_model_causal(config, model, err);
    source->memory =
        (krs_encdec_memory){&config->of.encdec, beams, prompt->count};
    source->start = krs_model_ids(config).decoder_start_token_id;
    if (source->start < 0)
        return krs_fail(err, KRS_E_FORMAT,
                        "the model does not say decoder_start_token_id");
    KRS_TRY(read_source(store, prompt, &source->memory, err));
    *model = krs_encdec_decoder(&source->memory);
    *ids = &source->start;
    *count = 1;
    return KRS_OK;
}

static krs_status
draw(const struct flags *f, krs_decoder *decoder, const struct prompt *prompt,
     const int64_t *first, int64_t length, struct stream *stream, int64_t *ids,
     int64_t *made, krs_error *err)
{
    krs_logits_rule rules[4];
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = f->tokens,
                                    .stop_ids = prompt->stop_ids,
                                    .stop_count = prompt->stop_count,
                                    .keep =
                                        (krs_decoder_capacity(decoder) + 1) / 2,
                                    .sample = f->temperature != 0.0,
                                    .rules = rules,
                                    .rule_count = read_rules(f, rules),
                                    .seed = (uint64_t)f->seed,
                                    .token = take_token,
                                    .user = stream};
    KRS_TRY(
        krs_generate(decoder, first, length, NULL, &options, ids, made, err));
    return stream->status;
}

static bool
take_step(void *user, int64_t made)
{
    struct stream *s = user;
    s->last = seconds();
    if (made == 1)
        s->first = s->last;
    s->count = made;
    return !interrupted;
}

/* The best text that beams find. */
static krs_status
search(const struct flags *f, krs_decoder *decoder, const struct prompt *prompt,
       const int64_t *first, int64_t length, struct stream *stream,
       int64_t *ids, int64_t *made, krs_error *err)
{
    krs_logits_rule rules[4];
    int64_t room = krs_decoder_capacity(decoder) - length, made_most;
    krs_beam_options options = {.struct_size = sizeof options,
                                .beams = f->beams,
                                .max_new_tokens =
                                    f->tokens < room ? f->tokens : room,
                                .stop_ids = prompt->stop_ids,
                                .stop_count = prompt->stop_count,
                                .pad_id = -1,
                                .length_penalty = f->length_penalty,
                                .rules = rules,
                                .rule_count = read_rules(f, rules),
                                .step = take_step,
                                .user = stream};
    size_t beams = (size_t)f->beams, most = (size_t)f->tokens;
    int64_t *all = calloc(beams * most + 1, sizeof *all);
    double *scores = calloc(beams, sizeof *scores);
    krs_status status = KRS_OK;
    if (!all || !scores)
        status = krs_fail(err, KRS_E_MEMORY,
                          "no memory for %zu beams of %zu tokens", beams, most);
    if (status == KRS_OK)
        status = krs_generate_beams(decoder, first, length, NULL, &options, all,
                                    scores, &made_most, err);
    *made = 0;
    while (status == KRS_OK && *made < made_most && all[*made] >= 0) {
        ids[*made] = all[*made];
        status = write_id(stream, ids[(*made)++]);
    }
    free(scores);
    free(all);
    return status;
}

/* ids has room for --tokens; *made of them are new. */
static krs_status
generate(const struct flags *f, krs_store *store,
         const krs_model_config *config, const struct prompt *prompt,
         struct stream *stream, int64_t *ids, int64_t *made, krs_error *err)
{
    struct source source;
    krs_causal_model model;
    const int64_t *first;
    int64_t length;
    KRS_TRY(find_model(store, config, f->beams, prompt, &source, &model, &first,
                       &length, err));
    int64_t context = model.max_position_embeddings;
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .batch = f->beams,
                                 .cache_length = length + f->tokens < context
                                                     ? length + f->tokens
                                                     : context,
                                 .reorders = f->beams > 1};
    /* of a longer prompt the model sees the end, with room for an answer where
     * that cannot be made */
    int64_t seen = f->beams > 1 ? context - 1 : context;
    int64_t skip = length > seen ? length - seen : 0;
    krs_decoder *decoder;
    KRS_TRY(krs_decoder_open(store, &model, &sizes, &decoder, err));
    krs_status status =
        (f->beams > 1 ? search : draw)(f, decoder, prompt, first + skip,
                                       length - skip, stream, ids, made, err);
    krs_decoder_close(decoder);
    KRS_TRY(status);
    return stream_end(stream);
}

static json_t *
list_ids(const int64_t *ids, int64_t count)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

static krs_status
print_json(const struct prompt *p, const int64_t *ids, int64_t made,
           const char *text, size_t bytes, krs_error *err)
{
    bool ended =
        made > 0 && krs_is_stop(p->stop_ids, p->stop_count, ids[made - 1]);
    json_t *object =
        json_pack("{s:s%, s:o, s:o, s:s%, s:b}", "prompt", p->text, p->bytes,
                  "prompt_ids", list_ids(p->ids, p->count), "ids",
                  list_ids(ids, made), "text", text, bytes, "ended", ended);
    int written = object ? json_dumpf(object, stdout, JSON_COMPACT) : -1;
    json_decref(object);
    if (written == 0 && putchar('\n') >= 0)
        return KRS_OK;
    return krs_fail(err, KRS_E_IO, "cannot write the result as JSON");
}

/* Generate as text into `out`, told of on stderr. */
static krs_status
run_stream(const struct flags *f, krs_store *store,
           const krs_model_config *config, const struct prompt *prompt,
           FILE *out, int64_t *ids, int64_t *made, krs_error *err)
{
    struct stream stream;
    krs_status status = stream_open(prompt, out, &stream, err);
    if (status == KRS_OK)
        status = generate(f, store, config, prompt, &stream, ids, made, err);
    krs_token_stream_free(stream.decoder);
    if (status == KRS_OK && stream.last > stream.first)
        talk("%lld tokens, %.1f tokens/s", (long long)stream.count,
             (double)(stream.count - 1) / (stream.last - stream.first));
    return status;
}

static krs_status
run_json(const struct flags *f, krs_store *store,
         const krs_model_config *config, const struct prompt *prompt,
         int64_t *ids, krs_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    int64_t made = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return krs_fail(err, KRS_E_MEMORY, "no memory for the text");
    krs_status status =
        run_stream(f, store, config, prompt, out, ids, &made, err);
    if (fclose(out) != 0 && status == KRS_OK)
        status = krs_fail(err, KRS_E_MEMORY, "no memory for the text");
    if (status == KRS_OK)
        status = print_json(prompt, ids, made, text, bytes, err);
    free(text);
    return status;
}

static krs_status
run_text(const struct flags *f, krs_store *store,
         const krs_model_config *config, const struct prompt *prompt,
         int64_t *ids, krs_error *err)
{
    int64_t made;
    if (!prompt->chats)
        fwrite(prompt->text, 1, prompt->bytes, stdout);
    krs_status status =
        run_stream(f, store, config, prompt, stdout, ids, &made, err);
    putchar('\n');
    return status;
}

/* The prompt is looked at before the weights are read. */
static krs_status
open_prompt(const struct command_line *line, struct prompt *out, krs_error *err)
{
    const char *model = line->operands[0];
    krs_model_config config;
    krs_weights *weights;
    *out = (struct prompt){0};
    KRS_TRY(krs_model_weights(model, &config, &weights, err));
    krs_weights_close(weights);
    return prompt_open(model, &line->flags, &config, out, err);
}

static krs_status
run(const struct command_line *line, krs_store *store, krs_error *err)
{
    const struct flags *f = &line->flags;
    struct prompt prompt;
    krs_model_config config;
    int64_t *ids = calloc((size_t)f->tokens + 1, sizeof *ids);
    krs_status status =
        ids ? open_prompt(line, &prompt, err)
            : krs_fail(err, KRS_E_MEMORY, "no memory for %lld tokens",
                       (long long)f->tokens);
    if (status == KRS_OK)
        status = krs_model_open_as(line->operands[0], store,
                                   f->widen ? KRS_WIDENED : KRS_AS_STORED,
                                   &config, err);
    if (status == KRS_OK)
        status = (f->json ? run_json : run_text)(f, store, &config, &prompt,
                                                 ids, err);
    if (ids)
        prompt_close(&prompt);
    free(ids);
    return status;
}

int
command_generate(const struct command_line *line)
{
    krs_device *device;
    krs_store *store;
    krs_error err;
    if (line->flags.prompt == NULL || line->flags.prompt[0] == '\0')
        return complain_usage("a text to continue is needed: -p TEXT");
    if (line->flags.beams > MOST_BEAMS)
        return complain_usage("--beams %lld: there are 1 to %d",
                              (long long)line->flags.beams, MOST_BEAMS);
    int code = open_device(line, &device);
    if (code != EXIT_OK)
        return code;
    struct sigaction action = {.sa_handler = interrupt,
                               .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    krs_status status = krs_store_new(device, &store, &err);
    if (status == KRS_OK) {
        status = run(line, store, &err);
        krs_store_free(store);
    }
    krs_device_close(device);
    if (status != KRS_OK)
        return complain(&err);
    return interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}
