/* train_text.c -- a small LLaMA learns a text, byte by byte: data, trainer with
 * reports and checkpoints, Ctrl-C that stops after a checkpoint, and a sample.
 *
 *     train_text TEXT FOLDER [STEPS [DEVICE]]
 */
#include "try.h"
#include <signal.h>
#include <string.h>

enum { B = 4, T = 32 };

static krs_trainer *trainer; /* for the signal handler */

static void
stop(int number)
{
    (void)number;
    krs_trainer_stop(trainer);
}

static void
report(void *user, const krs_train_report *r)
{
    (void)user;
    if (r->step % 10 == 0)
        fprintf(stderr, "step %lld  loss %.3f  %.0f s left\n",
                (long long)r->step, r->loss, r->eta_s);
    if (r->evaluated)
        printf("%.2f bits per byte\n", r->bits_per_byte);
}

/* What the trainer asks of a model; a checkpoint is a model folder with it. */
typedef struct small_model {
    krs_llama_config config;
    krs_causal_model causal;
} small_model;

static krs_node
loss(void *user, krs_graph *g, krs_node ids, krs_node targets)
{
    return krs_train_causal_loss(&((small_model *)user)->causal, g, ids,
                                 targets);
}

static krs_status
write_files(void *user, const char *folder, krs_error *why)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/config.json", folder);
    return krs_llama_config_write(path, &((small_model *)user)->config, why);
}

/* the likeliest bytes after a prompt */
static void
sample(krs_store *store, const krs_causal_model *model, const char *prompt)
{
    krs_decoder *decoder;
    int64_t ids[T], out[T], made;
    size_t length = strlen(prompt);
    for (size_t i = 0; i < length; i++)
        ids[i] = (unsigned char)prompt[i];
    const krs_generate_options options = {.struct_size = sizeof options,
                                          .max_new_tokens = T};
    TRY(krs_decoder_open(store, model, NULL, &decoder, &err));
    TRY(krs_generate(decoder, ids, (int64_t)length, NULL, &options, out, &made,
                     &err));
    printf("%s", prompt);
    for (int64_t i = 0; i < made; i++)
        putchar((int)out[i]);
    putchar('\n');
    krs_decoder_close(decoder);
}

int
main(int argc, char **argv)
{
    if (argc < 3)
        return fprintf(stderr,
                       "usage: train_text TEXT FOLDER [STEPS [DEVICE]]\n"),
               2;
    const char *text_path = argv[1];
    small_model model = {.config = krs_llama_defaults()};
    krs_llama_config *c = &model.config;
    c->vocab_size = 256; /* the bytes */
    c->hidden_size = 32, c->intermediate_size = 96, c->num_hidden_layers = 2;
    c->num_attention_heads = c->num_key_value_heads = 2, c->head_dim = 16;
    c->max_position_embeddings = 2 * T, c->tie_word_embeddings = true;
    c->bos_token_id = c->pad_token_id = -1, c->eos_count = 0;
    model.causal = krs_llama_model(c);

    krs_data *data;
    krs_train_text *text;
    krs_device *device;
    krs_store *store;
    const krs_data_options cut = {
        .struct_size = sizeof cut, .window = T, .validation = 0.1};
    TRY(krs_data_open(&text_path, 1, KRS_TOKENS_BYTES, &cut, &data, &err));
    TRY(krs_train_text_new(data, B, 1, &text, &err));
    TRY(krs_device_open(argc > 4 ? argv[4] : "cpu", &device, &err));
    TRY(krs_store_new(device, &store, &err));
    TRY(krs_llama_init(store, c, 1, &err));

    krs_train_run run = {.struct_size = sizeof run,
                         .folder = argv[2],
                         .keep = 1,
                         .steps = argc > 3 ? atoi(argv[3]) : 200,
                         .report = report};
    krs_trainer_options options = {
        .struct_size = sizeof options,
        .batch = B,
        .time = T,
        .model = {.struct_size = sizeof options.model,
                  .user = &model,
                  .loss = loss,
                  .write_files = write_files},
        .batches = krs_train_text_batches(text, 1),
        .optimizer = krs_optimizer_default()
    };
    options.optimizer.learning_rate = 0.01;
    options.optimizer.schedule.total_steps = run.steps;
    TRY(krs_trainer_new(store, &options, &trainer, &err));
    signal(SIGINT, stop);
    krs_status status = krs_trainer_run(trainer, &run, &err);
    if (status == KRS_E_CANCELLED)
        printf("stopped at step %lld\n", (long long)krs_trainer_steps(trainer));
    else
        TRY(status);
    sample(store, &model.causal, "And God ");
    krs_trainer_free(trainer), krs_train_text_free(text), krs_data_free(data);
    krs_store_free(store), krs_device_close(device);
    return status != KRS_OK;
}
