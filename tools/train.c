/* train.c -- kersey train: train a LLaMA on a text.
 *
 * In: a preset or a model folder, a text file, settings. Out: a run folder
 * with metrics.jsonl and checkpoints; progress on stderr (progress.c); on
 * stdout the path of the last checkpoint, or with --json the metrics of every
 * step.
 *
 * Tokens are the ids of shards as they are; else those of --tokenizer, else of the tokenizer that lies in the
 * model's folder, else the bytes of the file. A fresh model gets the
 * tokenizer's vocabulary; every checkpoint holds its files, so that it is a
 * model folder of its own.
 *
 * --resume takes model and settings from a checkpoint; flags that are given
 * replace them. Ctrl-C finishes the step, writes a checkpoint and exits with
 * 130; a second one ends at once.
 */
#include "command.h"
#include "presets.h"
#include "progress.h"
#include "shards.h"

#include <krs/corpus.h>
#include <krs/model.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { STEPS = 1000 };    /* without --steps */
#define BYTE_VALUES   256 /* vocabulary of a model of bytes */
#define MOST_DOCUMENT ((size_t)1 << 30)

/* Everything that one training holds. */
struct training {
    const struct command_line *line;
    const struct flags *flags;
    krs_model_config config;
    krs_causal_model model;
    krs_trainer_options options;
    const char *weights; /* model folder to start from, NULL: fresh weights */
    char *resume;        /* checkpoint to continue, NULL: from the start */
    krs_tokenizer *tokenizer; /* NULL: the text is bytes */
    krs_tokenizer_files *tokenizer_files;
    krs_device *device;
    krs_store *store;
    krs_data *data;
    krs_train_text *text;
    krs_trainer *trainer;
};

static bool
given(const struct training *t, enum flag_id id)
{
    return t->flags->given[id];
}

static bool
has_file(const char *folder, const char *name)
{
    char path[4096];
    struct stat is;
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && (size_t)length < sizeof path && !stat(path, &is);
}

/* ---- the model ---- */

/* A flag replaces the preset's size. */
static void
override_llama(const struct training *t, krs_llama_config *c)
{
    const struct flags *f = t->flags;
    if (given(t, FLAG_ID_layers))
        c->num_hidden_layers = f->layers;
    if (given(t, FLAG_ID_dim))
        c->hidden_size = f->dim;
    if (given(t, FLAG_ID_heads))
        c->num_attention_heads = c->num_key_value_heads = f->heads;
    if (given(t, FLAG_ID_kv_heads))
        c->num_key_value_heads = f->kv_heads;
    if (given(t, FLAG_ID_ffn))
        c->intermediate_size = f->ffn;
    c->head_dim = c->num_attention_heads > 0
                      ? c->hidden_size / c->num_attention_heads
                      : 0;
}

static void
override_gpt2(const struct training *t, krs_gpt2_config *c)
{
    const struct flags *f = t->flags;
    if (given(t, FLAG_ID_layers))
        c->n_layer = f->layers;
    if (given(t, FLAG_ID_dim))
        c->n_embd = f->dim;
    if (given(t, FLAG_ID_heads))
        c->n_head = f->heads;
    if (given(t, FLAG_ID_dim) || given(t, FLAG_ID_ffn))
        c->n_inner = given(t, FLAG_ID_ffn) ? f->ffn : 0;
}

static void
override_sizes(const struct training *t, krs_model_config *c)
{
    if (c->architecture == KRS_ARCHITECTURE_GPT2)
        override_gpt2(t, &c->of.gpt2);
    else if (krs_architecture_family(c->architecture) == KRS_FAMILY_LLAMA)
        override_llama(t, &c->of.llama);
}

/* The tokenizer of that path; with `must_be` false, none if there is none. */
static krs_status
open_tokenizer(struct training *t, const char *path, bool must_be,
               krs_error *err)
{
    krs_status status = krs_tokenizer_open(path, &t->tokenizer, err);
    if (status == KRS_E_NAME && !must_be)
        return KRS_OK;
    KRS_TRY(status);
    return krs_tokenizer_files_open(path, &t->tokenizer_files, err);
}

/* A fresh model for a tokenizer. */
static void
take_vocabulary(const struct training *t, krs_model_config *c)
{
    krs_special_ids ids = {krs_tokenizer_bos(t->tokenizer),
                           krs_tokenizer_pad(t->tokenizer),
                           -1,
                           {krs_tokenizer_eos(t->tokenizer)},
                           krs_tokenizer_eos(t->tokenizer) >= 0};
    int64_t size = (int64_t)krs_tokenizer_size(t->tokenizer);
    if (c->architecture == KRS_ARCHITECTURE_GPT2) {
        c->of.gpt2.vocab_size = size;
        c->of.gpt2.ids = ids;
        return;
    }
    c->of.llama.vocab_size = size;
    c->of.llama.bos_token_id = ids.bos_token_id;
    c->of.llama.pad_token_id = ids.pad_token_id;
    c->of.llama.eos_count = ids.eos_count;
    c->of.llama.eos_token_id[0] = ids.eos_token_id[0];
}

/* Channels, for the schedule that counts with them. */
static int64_t
width(const krs_model_config *c)
{
    return c->architecture == KRS_ARCHITECTURE_GPT2 ? c->of.gpt2.n_embd
                                                    : c->of.llama.hidden_size;
}

/* EXIT_OK, or the exit code after a complaint */
static int
choose_model(struct training *t)
{
    krs_error err;
    const char *name =
        t->line->operand_count ? t->line->operands[0] : preset_name(0);
    const char *tokenizer = t->flags->tokenizer;
    bool is_folder = has_file(name, "config.json");
    if ((tokenizer || is_folder) &&
        open_tokenizer(t, tokenizer ? tokenizer : name, tokenizer != NULL,
                       &err) != KRS_OK)
        return complain(&err);
    if (is_folder) {
        if (read_folder_config(name, &t->config, &err) != KRS_OK)
            return complain(&err);
        if (has_file(name, "model.safetensors"))
            t->weights = name;
    } else {
        if (!find_preset(name, t->flags->seq, &t->config))
            return refuse_preset(
                name, "neither a preset nor a folder with config.json");
        override_sizes(t, &t->config);
        if (t->tokenizer)
            take_vocabulary(t, &t->config);
    }
    if (krs_model_check(&t->config, &err) != KRS_OK ||
        krs_model_causal(&t->config, &t->model, &err) != KRS_OK)
        return complain_usage("%s", err.text);
    if (!t->tokenizer && krs_model_vocabulary(&t->config) < BYTE_VALUES)
        return complain_usage("%s: a vocabulary of %lld is too small for "
                              "bytes",
                              name,
                              (long long)krs_model_vocabulary(&t->config));
    return EXIT_OK;
}

/* ---- settings ---- */

static int
choose_names(const struct training *t, krs_optimizer *o)
{
    const struct flags *f = t->flags;
    if (given(t, FLAG_ID_optimizer) || !t->resume)
        if (!krs_optimizer_parse(f->optimizer, &o->kind))
            return complain_usage("--optimizer: there is no \"%s\"; sgd, adam, "
                                  "adamw or lion",
                                  f->optimizer);
    if (given(t, FLAG_ID_schedule) || !t->resume)
        if (!krs_schedule_parse(f->schedule, &o->schedule.kind))
            return complain_usage("--schedule: there is no \"%s\"; constant, "
                                  "linear, cosine, polynomial, wsd, "
                                  "wsd_cosine, noam or inverse_sqrt",
                                  f->schedule);
    return EXIT_OK;
}

/* A fresh run takes every flag, given or not; a resumed one those given. */
static int
choose_settings(struct training *t)
{
    const struct flags *f = t->flags;
    krs_optimizer *o = &t->options.optimizer;
    krs_schedule *s = &o->schedule;
    bool fresh = !t->resume;
#define TAKE(place, flag)                      \
    do {                                       \
        if (fresh || given(t, FLAG_ID_##flag)) \
            place = f->flag;                   \
    } while (0)
    TAKE(o->learning_rate, lr);
    TAKE(o->beta1, beta1);
    TAKE(o->beta2, beta2);
    TAKE(o->weight_decay, weight_decay);
    TAKE(o->max_grad_norm, clip);
    TAKE(s->min_ratio, min_lr);
    TAKE(s->total_steps, steps);
    TAKE(t->options.batch, batch);
    TAKE(t->options.time, seq);
#undef TAKE
    if (given(t, FLAG_ID_warmup))
        s->warmup_steps = f->warmup;
    else if (fresh)
        s->warmup_steps = f->steps / 10 < 50 ? f->steps / 10 : 50;
    s->model_size = (double)width(&t->config); /* noam */
    if (s->total_steps <= s->warmup_steps)
        return complain_usage("--steps %lld leaves nothing after --warmup %lld",
                              (long long)s->total_steps,
                              (long long)s->warmup_steps);
    if (!(f->validation >= 0 && f->validation < 1))
        return complain_usage("--validation must lie in [0, 1)");
    return choose_names(t, o);
}

/* The checkpoint that --resume means: itself, or the latest of a run. */
static int
find_checkpoint(struct training *t)
{
    krs_error err;
    const char *folder = t->flags->resume;
    krs_checkpoint_info info;
    if (has_file(folder, "trainer.json"))
        t->resume = strdup(folder);
    else if (krs_checkpoint_latest(folder, &t->resume, &err) != KRS_OK)
        return complain(&err);
    if (!t->resume)
        return EXIT_FAILED;
    if (krs_checkpoint_read(t->resume, &info, &err) != KRS_OK)
        return complain(&err);
    t->options.optimizer = info.optimizer;
    t->options.batch = info.batch;
    t->options.time = info.time;
    t->options.batches.seed = info.seed;
    char path[4096];
    snprintf(path, sizeof path, "%s/config.json", t->resume);
    if (krs_model_config_read(path, &t->config, &err) != KRS_OK ||
        open_tokenizer(t, t->resume, false, &err) != KRS_OK)
        return complain(&err);
    return EXIT_OK;
}

static int
choose(struct training *t)
{
    if (!t->flags->data)
        return complain_usage("--data FILE is missing: the text to train on");
    t->options = (krs_trainer_options){
        .struct_size = sizeof t->options,
        .model.struct_size = sizeof t->options.model,
        .batches.struct_size = sizeof t->options.batches,
        .optimizer = krs_optimizer_default(),
    };
    if (t->flags->resume && t->line->operand_count)
        return complain_usage("--resume takes the model from the checkpoint; "
                              "leave out \"%s\"",
                              t->line->operands[0]);
    if (t->flags->resume && t->flags->tokenizer)
        return complain_usage("--resume takes the tokenizer from the "
                              "checkpoint; leave out --tokenizer");
    int code = t->flags->resume ? find_checkpoint(t) : choose_model(t);
    return code == EXIT_OK ? choose_settings(t) : code;
}

/* ---- opening and running ---- */

/* What makes a checkpoint a model folder. */
static krs_status
write_files(void *user, const char *folder, krs_error *err)
{
    const struct training *t = user;
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/config.json", folder);
    if (length < 0 || (size_t)length >= sizeof path)
        return krs_fail(err, KRS_E_IO, "%.100s...: the path is too long",
                        folder);
    KRS_TRY(krs_model_config_write(path, &t->config, err));
    return t->tokenizer_files
               ? krs_tokenizer_files_write(t->tokenizer_files, folder, err)
               : KRS_OK;
}

static krs_node
find_loss(void *user, krs_graph *g, krs_node ids, krs_node targets)
{
    struct training *t = user;
    return krs_train_causal_loss(&t->model, g, ids, targets);
}

static krs_status
open_text(struct training *t, krs_error *err)
{
    const krs_data_options options = {.struct_size = sizeof options,
                                      .window = t->options.time,
                                      .validation = t->flags->validation,
                                      .vocabulary =
                                          krs_model_vocabulary(&t->config)};
    uint64_t seed = t->options.batches.seed;
    if (!t->resume || given(t, FLAG_ID_seed))
        seed = (uint64_t)t->flags->seed;
    const krs_corpus_options documents = {.struct_size = sizeof documents,
                                          .most_document_bytes = MOST_DOCUMENT};
    double bytes_per_token = 1;
    if (is_shard(t->flags->data)) {
        int64_t size = t->tokenizer ? (int64_t)krs_tokenizer_size(t->tokenizer)
                                    : krs_model_vocabulary(&t->config);
        KRS_TRY(open_shards(t->flags->data, size, &options, &t->data, err));
        bytes_per_token = 0;
    } else if (t->tokenizer)
        KRS_TRY(krs_data_encode(&t->flags->data, 1, t->tokenizer, &documents,
                                &options, &t->data, &bytes_per_token, err));
    else
        KRS_TRY(krs_data_open(&t->flags->data, 1, KRS_TOKENS_BYTES, &options,
                              &t->data, err));
    KRS_TRY(krs_train_text_new(t->data, t->options.batch, seed, &t->text, err));
    t->options.batches = krs_train_text_batches(t->text, bytes_per_token);
    return KRS_OK;
}

static krs_status
open_model(struct training *t, krs_error *err)
{
    KRS_TRY(krs_store_new(t->device, &t->store, err));
    uint64_t seed = t->options.batches.seed;
    if (t->weights)
        KRS_TRY(krs_model_open(t->weights, t->store, &t->config, err));
    else /* a checkpoint's weights replace these */
        KRS_TRY(krs_model_init(t->store, &t->config, seed, err));
    KRS_TRY(krs_model_causal(&t->config, &t->model, err));
    t->options.model.user = t;
    t->options.model.loss = find_loss;
    t->options.model.write_files = write_files;
    KRS_TRY(krs_trainer_new(t->store, &t->options, &t->trainer, err));
    return t->resume ? krs_trainer_load(t->trainer, t->resume, err) : KRS_OK;
}

static void
introduce(const struct training *t, const char *out)
{
    int64_t all = krs_data_tokens(t->data);
    bool bytes = !t->tokenizer && !is_shard(t->flags->data);
    const char *unit = bytes ? "bytes" : "tokens";
    talk("%lld parameters; %lld %s of text, of which %lld to validate; "
         "steps of %lld x %lld %s on %s",
         (long long)krs_trainer_parameters(t->trainer), (long long)all, unit,
         (long long)(all - krs_data_validation_start(t->data)),
         (long long)t->options.batch, (long long)t->options.time, unit,
         krs_device_name(t->device));
    if (t->resume)
        talk("continuing after step %lld from %s; results in %s",
             (long long)krs_trainer_steps(t->trainer), t->resume, out);
    else
        talk("results in %s", out);
}

static krs_trainer *running; /* for the signal handler alone */

static void
stop_running(int signal_number)
{
    (void)signal_number;
    krs_trainer_stop(running);
}

static void
catch_signals(krs_trainer *trainer)
{
    struct sigaction action = {.sa_handler = stop_running,
                               .sa_flags = (int)SA_RESETHAND};
    running = trainer;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* The folder of the run: --out, else where the checkpoint lies. */
static char *
run_folder(const struct training *t)
{
    if (!t->resume || given(t, FLAG_ID_out))
        return strdup(t->flags->out ? t->flags->out : "run");
    const char *slash = strrchr(t->resume, '/');
    return slash ? strndup(t->resume, (size_t)(slash - t->resume))
                 : strdup(".");
}

static int
run(struct training *t, const char *out)
{
    krs_error err;
    struct progress progress = progress_start(
        t->options.optimizer.schedule.total_steps, t->flags->json);
    const krs_train_run plan = {.struct_size = sizeof plan,
                                .folder = out,
                                .steps = progress.steps,
                                .evaluate_every = t->flags->eval_every,
                                .evaluate_batches = t->flags->eval_batches,
                                .save_every = t->flags->save_every,
                                .keep = (int)t->flags->keep,
                                .report = progress_report,
                                .user = &progress};
    introduce(t, out);
    catch_signals(t->trainer);
    krs_status status = krs_trainer_run(t->trainer, &plan, &err);
    progress_end(&progress);
    if (status != KRS_OK && status != KRS_E_CANCELLED)
        return complain(&err);
    char *checkpoint;
    if (status == KRS_E_CANCELLED)
        complain(&err);
    krs_error lookup;
    if (krs_checkpoint_latest(out, &checkpoint, &lookup) != KRS_OK)
        return complain(&lookup);
    if (status == KRS_E_CANCELLED)
        talk("saved %s; continue with --resume %s", checkpoint, out);
    else if (!t->flags->json)
        printf("%s\n", checkpoint);
    free(checkpoint);
    return status == KRS_OK ? EXIT_OK : EXIT_INTERRUPTED;
}

static int
train(struct training *t)
{
    int code = choose(t);
    if (code == EXIT_OK)
        code = open_device(t->line, &t->device);
    if (code != EXIT_OK)
        return code;
    krs_error err;
    if (open_text(t, &err) != KRS_OK || open_model(t, &err) != KRS_OK)
        return complain(&err);
    char *out = run_folder(t);
    if (!out) {
        krs_fail(&err, KRS_E_MEMORY, "no memory for a path");
        return complain(&err);
    }
    code = run(t, out);
    free(out);
    return code;
}

int
command_train(const struct command_line *line)
{
    struct flags flags = line->flags;
    struct training t = {.line = line, .flags = &flags};
    if (!flags.given[FLAG_ID_steps])
        flags.steps = STEPS;
    int code = train(&t);
    krs_trainer_free(t.trainer);
    krs_train_text_free(t.text);
    krs_data_free(t.data);
    krs_tokenizer_files_close(t.tokenizer_files);
    krs_tokenizer_free(t.tokenizer);
    krs_store_free(t.store);
    krs_device_close(t.device);
    free(t.resume);
    return code;
}
