/* bigram.h -- a trainer of a model so small that a step takes a fraction of a
 * millisecond, its batches, and the files of its checkpoints.
 *
 * The model says the next token from this one alone. Batches are a function of a
 * seed and a cursor, so that a run resumed can be compared with one that was
 * not interrupted, byte for byte.
 */
#ifndef TESTS_BIGRAM_H
#define TESTS_BIGRAM_H

#include "suite.h"

#include <krs/krs.h>
#include <krs/nn.h>
#include <krs/train.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define VOCABULARY 11
#define CHANNELS   8
#define BATCH      3
#define TIME       5

static inline void
must(krs_status status, const krs_error *err)
{
    ck_assert_msg(status == KRS_OK, "%s: %s", krs_status_name(status),
                  err->text);
}

/* The next token from this one alone: embedding, then a linear layer. */
static inline krs_node
bigram_loss(void *user, krs_graph *g, krs_node ids, krs_node targets)
{
    (void)user;
    (void)g;
    krs_node x = krs_nn_embedding(ids, "embedding", VOCABULARY, CHANNELS, -1);
    krs_node logits = krs_nn_linear(x, "head", VOCABULARY, KRS_WITH_BIAS);
    return krs_cross_entropy(logits, targets, KRS_NONE, NULL); /* scalar */
}

static inline krs_status
bigram_config(void *user, const char *folder, krs_error *err)
{
    char path[512];
    (void)user;
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *stream = fopen(path, "w");
    if (!stream || fputs("{}\n", stream) < 0 || fclose(stream))
        return krs_fail(err, KRS_E_IO, "%s: cannot be written", path);
    return KRS_OK;
}

/* Batch i of the stream that a seed names: each token follows its
 * predecessor by a rule, now and then by chance. */
static inline void
fill_batch(uint64_t seed, int64_t i, int64_t *ids, int64_t *targets)
{
    for (uint64_t b = 0; b < BATCH; b++) {
        uint32_t token = krs_random_u32(seed, (uint64_t)i, 0, b) % VOCABULARY;
        for (uint64_t t = 0; t < TIME; t++) {
            uint64_t at = b * TIME + t;
            uint32_t chance = krs_random_u32(seed, (uint64_t)i, 1, at);
            ids[at] = token;
            token = (chance % 8 ? token * 3 + 1 : chance >> 8) % VOCABULARY;
            targets[at] = token;
        }
    }
}

typedef struct token_stream {
    uint64_t seed;
    int64_t cursor;
} token_stream;

static inline krs_status
next_batch(void *user, int64_t *ids, int64_t *targets, krs_error *err)
{
    (void)err;
    token_stream *s = user;
    fill_batch(s->seed, s->cursor++, ids, targets);
    return KRS_OK;
}

static inline krs_status
validation_batch(void *user, int64_t i, int64_t *ids, int64_t *targets,
                 krs_error *err)
{
    (void)err;
    token_stream *s = user;
    fill_batch(s->seed + 1, i, ids, targets);
    return KRS_OK;
}

static inline krs_status
seek_batch(void *user, int64_t cursor, krs_error *err)
{
    (void)err;
    token_stream *s = user;
    s->cursor = cursor;
    return KRS_OK;
}

/* Everything that a process holds to train. */
typedef struct session {
    krs_device *device;
    krs_store *store;
    token_stream data;
    krs_trainer *trainer;
} session;

static inline void
initialise(krs_store *store)
{
    const krs_init_rule rules[] = {
        {"*weight", KRS_INIT_NORMAL, 0.3},
        {"*",       KRS_INIT_ZEROS,  0  }
    };
    krs_graph *g = krs_graph_new();
    krs_node ids = krs_input(g, "ids", KRS_I64, KRS_SHAPE(BATCH, TIME));
    bigram_loss(NULL, g, ids, ids);
    krs_node *parameters;
    size_t count;
    krs_error err;
    must(krs_nn_parameters(g, &parameters, &count, &err), &err);
    must(krs_nn_init(store, parameters, count, rules, 2, 7, &err), &err);
    free(parameters);
    krs_graph_free(g);
}

static inline session
open_session(uint64_t seed)
{
    session s = {.data.seed = seed};
    krs_error err;
    must(krs_device_open("eval", &s.device, &err), &err);
    must(krs_store_new(s.device, &s.store, &err), &err);
    initialise(s.store);
    return s;
}

static inline krs_trainer_options
options_of(token_stream *data, double learning_rate)
{
    krs_trainer_options options = {
        .struct_size = sizeof options,
        .model = {.struct_size = sizeof options.model,
                  .loss = bigram_loss,
                  .write_files = bigram_config     },
        .batches = { .struct_size = sizeof options.batches,
                  .user = data,
                  .next = next_batch,
                  .validation = validation_batch,
                  .seek = seek_batch,
                  .validation_count = 2,
                  .bytes_per_token = 1,
                  .seed = data->seed,
                  .fingerprint = 0xFEEDFACECAFEBEEF},
        .optimizer = krs_optimizer_default(),
        .batch = BATCH,
        .time = TIME
    };
    options.optimizer.learning_rate = learning_rate;
    options.optimizer.schedule.warmup_steps = 2;
    options.optimizer.schedule.total_steps = 100000;
    return options;
}

/* The address of the data must last, so the trainer is made in place. */
static inline void
open_trainer(session *s, double learning_rate)
{
    krs_trainer_options options = options_of(&s->data, learning_rate);
    krs_error err;
    must(krs_trainer_new(s->store, &options, &s->trainer, &err), &err);
}

static inline void
close_session(session *s)
{
    krs_trainer_free(s->trainer);
    krs_store_free(s->store);
    krs_device_close(s->device);
}

static inline char *
scratch_folder(void)
{
    static char folder[64]; /* each test runs in a process of its own */
    strcpy(folder, "/tmp/kersey-trainer-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    return folder;
}

static inline void
remove_scratch(const char *folder)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static inline char *
contents(const char *folder, const char *file, size_t *out_bytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *stream = fopen(path, "rb");
    ck_assert_msg(stream != NULL, "%s is not there", path);
    char *data = malloc(1 << 20);
    *out_bytes = fread(data, 1, 1 << 20, stream);
    fclose(stream);
    return data;
}

static inline void
rewrite(const char *folder, const char *file, const char *data, size_t bytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *stream = fopen(path, "wb");
    ck_assert_ptr_nonnull(stream);
    ck_assert_uint_eq(fwrite(data, 1, bytes, stream), bytes);
    ck_assert_int_eq(fclose(stream), 0);
}

static const char *const checkpoint_files[] = {"model.safetensors",
                                               "optimizer.safetensors",
                                               "config.json", "trainer.json"};

static inline char *
path_of(const char *folder, const char *name)
{
    char *path = malloc(256);
    snprintf(path, 256, "%s/%s", folder, name);
    return path;
}

static inline void
take_steps(session *s, int count, krs_train_report *report)
{
    krs_error err;
    for (int i = 0; i < count; i++)
        must(krs_trainer_step(s->trainer, report, &err), &err);
}

static inline void
no_report(void *user, const krs_train_report *report)
{
    (void)user;
    (void)report;
}

static inline krs_train_run
plan_of(const char *folder, int64_t steps)
{
    return (krs_train_run){.struct_size = sizeof(krs_train_run),
                           .folder = folder,
                           .steps = steps,
                           .evaluate_every = 4,
                           .save_every = 5,
                           .keep = 2,
                           .report = no_report};
}

#endif
