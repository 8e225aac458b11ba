/* generate.c -- kersey generate: continue a text with a model.
 *
 * In: a model folder and a prompt. Out, on stdout: the prompt and what the
 * model makes of it, token by token as it comes; on stderr the speed.
 *
 * A vocabulary of at most 256 ids is bytes. The text may be longer than the
 * model's context: when the cache is full, its newer half is read again.
 * Temperature 0 takes the likeliest token each time. Interrupted, it ends
 * after the token at hand with EXIT_INTERRUPTED.
 */
#include "command.h"

#include <krs/generate.h>
#include <krs/llama.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

struct stream {
    int64_t count;
    double first, last; /* times of the first and last token */
};

static bool
print_token(void *user, int64_t row, int64_t id)
{
    struct stream *s = user;
    (void)row;
    s->last = seconds();
    if (s->count++ == 0)
        s->first = s->last;
    fputc((int)id, stdout);
    return fflush(stdout) == 0 && !interrupted;
}

/* Bytes as ids; free them. */
static krs_status
encode(const char *text, size_t length, int64_t vocab, int64_t **out,
       krs_error *err)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] >= vocab)
            return krs_fail(err, KRS_E_RANGE,
                            "byte %d at place %zu of the prompt is outside the "
                            "model's vocabulary of %lld",
                            (unsigned char)text[i], i, (long long)vocab);
    int64_t *ids = calloc(length + 1, sizeof *ids);
    if (ids == NULL)
        return krs_fail(err, KRS_E_MEMORY,
                        "no memory for a prompt of %zu bytes", length);
    for (size_t i = 0; i < length; i++)
        ids[i] = (unsigned char)text[i];
    *out = ids;
    return KRS_OK;
}

static size_t
read_rules(const struct flags *f, krs_logits_rule rules[4])
{
    size_t count = 0;
    if (f->repetition_penalty != 1.0)
        rules[count++] = (krs_logits_rule){KRS_LOGITS_REPETITION_PENALTY,
                                           f->repetition_penalty};
    if (f->temperature != 0.0 && f->temperature != 1.0)
        rules[count++] =
            (krs_logits_rule){KRS_LOGITS_TEMPERATURE, f->temperature};
    if (f->top_k > 0)
        rules[count++] = (krs_logits_rule){KRS_LOGITS_TOP_K, (double)f->top_k};
    if (f->top_p != 1.0)
        rules[count++] = (krs_logits_rule){KRS_LOGITS_TOP_P, f->top_p};
    return count;
}

static krs_status
generate(const struct flags *f, krs_store *store,
         const krs_llama_config *config, const int64_t *prompt, int64_t length,
         struct stream *stream, krs_error *err)
{
    krs_causal_model model = krs_llama_model(config);
    krs_logits_rule rules[4];
    int64_t context = config->max_position_embeddings, made;
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .cache_length = length + f->tokens < context
                                                     ? length + f->tokens
                                                     : context};
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = f->tokens,
                                    .stop_ids = config->eos_token_id,
                                    .stop_count = (size_t)config->eos_count,
                                    .keep = (sizes.cache_length + 1) / 2,
                                    .sample = f->temperature != 0.0,
                                    .rules = rules,
                                    .rule_count = read_rules(f, rules),
                                    .seed = (uint64_t)f->seed,
                                    .token = print_token,
                                    .user = stream};
    /* of a longer prompt the model sees the end */
    int64_t skip = length > context ? length - context : 0;
    krs_decoder *decoder;
    KRS_TRY(krs_decoder_open(store, &model, &sizes, &decoder, err));
    int64_t *ids = calloc((size_t)f->tokens + 1, sizeof *ids);
    krs_status status =
        ids == NULL ? krs_fail(err, KRS_E_MEMORY, "no memory for %lld tokens",
                               (long long)f->tokens)
                    : krs_generate(decoder, prompt + skip, length - skip, NULL,
                                   &options, ids, &made, err);
    free(ids);
    krs_decoder_close(decoder);
    return status;
}

static krs_status
run(const struct command_line *line, krs_store *store, krs_error *err)
{
    const char *folder = line->operands[0], *text = line->flags.prompt;
    size_t length = strlen(text);
    krs_llama_config config;
    int64_t *prompt = NULL;
    KRS_TRY(krs_llama_open(folder, store, &config, err));
    if (config.vocab_size > 256)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s has a vocabulary of %lld; without a tokenizer only "
                        "bytes (at most 256) can be written",
                        folder, (long long)config.vocab_size);
    KRS_TRY(encode(text, length, config.vocab_size, &prompt, err));
    struct stream stream = {0};
    fputs(text, stdout);
    krs_status status = generate(&line->flags, store, &config, prompt,
                                 (int64_t)length, &stream, err);
    free(prompt);
    fputc('\n', stdout);
    if (status == KRS_OK && stream.last > stream.first)
        talk("%lld tokens, %.1f tokens/s", (long long)stream.count,
             (double)(stream.count - 1) / (stream.last - stream.first));
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
