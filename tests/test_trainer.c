/* test_trainer.c -- runs, checkpoints, resume, cancellation and what happens
 * when a process is killed at any moment, with a model small enough that a
 * step takes a fraction of a millisecond.
 */
#include "fault_memory.h"
#include "suite.h"

#include <krs/krs.h>
#include <krs/nn.h>
#include <krs/train.h>

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VOCABULARY 11
#define CHANNELS   8
#define BATCH      3
#define TIME       5

static void
must(krs_status status, const krs_error *err)
{
    ck_assert_msg(status == KRS_OK, "%s: %s", krs_status_name(status),
                  err->text);
}

/* ---- a model and its data ---- */

/* The next token from this one alone: embedding, then a linear layer. */
static krs_node
bigram_loss(void *user, krs_graph *g, krs_node ids, krs_node targets)
{
    (void)user;
    (void)g;
    krs_node x = krs_nn_embedding(ids, "embedding", VOCABULARY, CHANNELS, -1);
    krs_node logits = krs_nn_linear(x, "head", VOCABULARY, KRS_WITH_BIAS);
    return krs_cross_entropy(logits, targets, KRS_NONE, NULL); /* scalar */
}

static krs_status
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
static void
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

static krs_status
next_batch(void *user, int64_t *ids, int64_t *targets, krs_error *err)
{
    (void)err;
    token_stream *s = user;
    fill_batch(s->seed, s->cursor++, ids, targets);
    return KRS_OK;
}

static krs_status
validation_batch(void *user, int64_t i, int64_t *ids, int64_t *targets,
                 krs_error *err)
{
    (void)err;
    token_stream *s = user;
    fill_batch(s->seed + 1, i, ids, targets);
    return KRS_OK;
}

static krs_status
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

static void
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

static session
open_session(uint64_t seed)
{
    session s = {.data.seed = seed};
    krs_error err;
    must(krs_device_open("eval", &s.device, &err), &err);
    must(krs_store_new(s.device, &s.store, &err), &err);
    initialise(s.store);
    return s;
}

static krs_trainer_options
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
static void
open_trainer(session *s, double learning_rate)
{
    krs_trainer_options options = options_of(&s->data, learning_rate);
    krs_error err;
    must(krs_trainer_new(s->store, &options, &s->trainer, &err), &err);
}

static void
close_session(session *s)
{
    krs_trainer_free(s->trainer);
    krs_store_free(s->store);
    krs_device_close(s->device);
}

/* ---- files ---- */

static char *
scratch_folder(void)
{
    static char folder[64]; /* each test runs in a process of its own */
    strcpy(folder, "/tmp/kersey-trainer-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    return folder;
}

static void
remove_scratch(const char *folder)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static char *
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

static void
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

static void
same_files(const char *a, const char *b)
{
    for (size_t i = 0; i < 4; i++) {
        size_t a_bytes, b_bytes;
        char *x = contents(a, checkpoint_files[i], &a_bytes);
        char *y = contents(b, checkpoint_files[i], &b_bytes);
        ck_assert_msg(a_bytes == b_bytes && !memcmp(x, y, a_bytes),
                      "%s differs between %s and %s", checkpoint_files[i], a,
                      b);
        free(x);
        free(y);
    }
}

static char *
path_of(const char *folder, const char *name)
{
    char *path = malloc(256);
    snprintf(path, 256, "%s/%s", folder, name);
    return path;
}

/* ---- tests ---- */

static void
take_steps(session *s, int count, krs_train_report *report)
{
    krs_error err;
    for (int i = 0; i < count; i++)
        must(krs_trainer_step(s->trainer, report, &err), &err);
}

START_TEST(training_lowers_the_loss_of_text_it_has_not_seen)
{
    session s = open_session(1);
    open_trainer(&s, 0.03);
    krs_train_report before, after, report;
    krs_error err;
    must(krs_trainer_evaluate(s.trainer, 0, &before, &err), &err);
    take_steps(&s, 150, &report);
    must(krs_trainer_evaluate(s.trainer, 0, &after, &err), &err);
    ck_assert_double_lt(fabs(before.validation_loss - log(VOCABULARY)), 0.4);
    ck_assert_double_lt(after.validation_loss, before.validation_loss - 0.8);
    ck_assert(fabs(after.bits_per_byte - after.validation_loss / log(2)) <
              1e-12);
    ck_assert_int_eq(after.step, 150);
    ck_assert_int_eq(after.tokens, 150 * BATCH * TIME);
    ck_assert_int_eq(krs_trainer_parameters(s.trainer),
                     2 * VOCABULARY * CHANNELS + VOCABULARY);
    close_session(&s);
}
END_TEST

START_TEST(ten_steps_are_the_same_bytes_as_five_and_a_resume_of_five)
{
    char *folder = scratch_folder();
    char *whole = path_of(folder, "whole"), *halves = path_of(folder, "halves");
    krs_train_report report, resumed;
    krs_error err;
    session a = open_session(1);
    open_trainer(&a, 0.01);
    take_steps(&a, 10, &report);
    must(krs_trainer_save(a.trainer, whole, 1, &err), &err);
    session b = open_session(1);
    open_trainer(&b, 0.01);
    take_steps(&b, 5, &resumed);
    must(krs_trainer_save(b.trainer, halves, 1, &err), &err);
    close_session(&b);
    session c = open_session(1);
    open_trainer(&c, 0.01);
    char *latest;
    must(krs_checkpoint_latest(halves, &latest, &err), &err);
    must(krs_trainer_load(c.trainer, latest, &err), &err);
    ck_assert_int_eq(krs_trainer_steps(c.trainer), 5);
    take_steps(&c, 5, &resumed);
    must(krs_trainer_save(c.trainer, halves, 1, &err), &err);
    ck_assert_mem_eq(&report.loss, &resumed.loss, sizeof report.loss);
    char *first = path_of(whole, "checkpoint-00000010");
    char *second = path_of(halves, "checkpoint-00000010");
    same_files(first, second);
    ck_assert_int_ne(access(latest, F_OK), 0); /* keep = 1: the older is gone */
    free(latest);
    free(first);
    free(second);
    free(whole);
    free(halves);
    close_session(&a);
    close_session(&c);
    remove_scratch(folder);
}
END_TEST

START_TEST(a_checkpoint_of_the_same_step_is_replaced_whole)
{
    char *folder = scratch_folder();
    char *path = path_of(folder, "checkpoint-00000002");
    char *old = NULL;
    size_t old_bytes = 0;
    for (int i = 0; i < 2; i++) {
        session s = open_session(1);
        open_trainer(&s, i ? 0.02 : 0.01);
        krs_train_report report;
        krs_error err;
        take_steps(&s, 2, &report);
        must(krs_trainer_save(s.trainer, folder, 2, &err), &err);
        must(krs_trainer_save(s.trainer, folder, 2, &err), &err); /* home */
        close_session(&s);
        size_t bytes;
        char *now = contents(path, "model.safetensors", &bytes);
        ck_assert(!old || old_bytes != bytes || memcmp(now, old, bytes));
        free(old);
        old = now;
        old_bytes = bytes;
        krs_checkpoint_info info;
        must(krs_checkpoint_read(path, &info, &err), &err);
        ck_assert_double_eq(info.optimizer.learning_rate, i ? 0.02 : 0.01);
    }
    free(old);
    free(path);
    remove_scratch(folder);
}
END_TEST

static void
no_report(void *user, const krs_train_report *report)
{
    (void)user;
    (void)report;
}

static void
stop_at_seven(void *user, const krs_train_report *report)
{
    if (report->step == 7)
        krs_trainer_stop(user);
}

static krs_train_run
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

START_TEST(a_stopped_run_leaves_a_checkpoint_and_says_so)
{
    char *folder = scratch_folder();
    session s = open_session(1);
    open_trainer(&s, 0.01);
    krs_train_run plan = plan_of(folder, 20);
    plan.report = stop_at_seven;
    plan.user = s.trainer;
    krs_error err;
    ck_assert_int_eq(krs_trainer_run(s.trainer, &plan, &err), KRS_E_CANCELLED);
    ck_assert_ptr_nonnull(strstr(err.text, "step 7 of 20"));
    char *latest;
    krs_checkpoint_info info;
    must(krs_checkpoint_latest(folder, &latest, &err), &err);
    must(krs_checkpoint_read(latest, &info, &err), &err);
    ck_assert_int_eq(info.step, 7);
    ck_assert_int_eq(info.tokens, 7 * BATCH * TIME);
    ck_assert_int_eq(info.optimizer.kind, KRS_OPTIMIZER_ADAMW);
    ck_assert_double_eq(info.optimizer.learning_rate, 0.01);
    ck_assert_int_eq(info.optimizer.schedule.total_steps, 100000);
    ck_assert_uint_eq(info.fingerprint, 0xFEEDFACECAFEBEEF);
    free(latest);
    close_session(&s);
    remove_scratch(folder);
}
END_TEST

/* The steps in metrics.jsonl, which must be strict JSON line by line. */
static int
read_metrics(const char *folder, int64_t *steps, int *evaluations)
{
    size_t bytes;
    char *text = contents(folder, "metrics.jsonl", &bytes);
    text[bytes] = 0;
    ck_assert(bytes > 0 && text[bytes - 1] == '\n');
    int count = 0;
    *evaluations = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        json_error_t error;
        json_t *row = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        ck_assert_msg(row != NULL, "%s: %s", line, error.text);
        steps[count++] = json_integer_value(json_object_get(row, "step"));
        const char *const numbers[] = {"loss",   "grad_norm", "lr",
                                       "tokens", "tok_s",     "seconds"};
        for (size_t i = 0; i < 6; i++)
            ck_assert(json_is_number(json_object_get(row, numbers[i])));
        *evaluations += json_is_real(json_object_get(row, "val_loss")) &&
                        json_is_real(json_object_get(row, "val_bits_per_byte"));
        json_decref(row);
    }
    free(text);
    return count;
}

START_TEST(metrics_tell_every_step_once_even_after_a_crash_and_a_resume)
{
    char *folder = scratch_folder();
    session s = open_session(1);
    open_trainer(&s, 0.01);
    krs_train_run plan = plan_of(folder, 10);
    krs_error err;
    must(krs_trainer_run(s.trainer, &plan, &err), &err);
    close_session(&s);
    /* what a killed process would have written after its last checkpoint */
    size_t bytes;
    char *text = contents(folder, "metrics.jsonl", &bytes);
    memcpy(text + bytes, "{\"step\":11}\n{\"st", 16);
    rewrite(folder, "metrics.jsonl", text, bytes + 16);
    free(text);
    s = open_session(1);
    open_trainer(&s, 0.01);
    char *latest;
    must(krs_checkpoint_latest(folder, &latest, &err), &err);
    must(krs_trainer_load(s.trainer, latest, &err), &err);
    plan.steps = 14;
    must(krs_trainer_run(s.trainer, &plan, &err), &err);
    int64_t steps[32];
    int evaluations;
    ck_assert_int_eq(read_metrics(folder, steps, &evaluations), 14);
    for (int i = 0; i < 14; i++)
        ck_assert_int_eq(steps[i], i + 1);
    ck_assert_int_eq(evaluations, 5); /* 4, 8, 10, 12, 14 */
    free(latest);
    close_session(&s);
    remove_scratch(folder);
}
END_TEST

START_TEST(a_run_does_not_mix_with_the_later_steps_of_another)
{
    char *folder = scratch_folder();
    session s = open_session(1);
    open_trainer(&s, 0.01);
    krs_train_run plan = plan_of(folder, 5);
    krs_error err;
    must(krs_trainer_run(s.trainer, &plan, &err), &err);
    close_session(&s);
    s = open_session(1);
    open_trainer(&s, 0.01);
    ck_assert_int_eq(krs_trainer_run(s.trainer, &plan, &err), KRS_E_NAME);
    ck_assert_ptr_nonnull(strstr(err.text, "step 5"));
    krs_train_report report;
    take_steps(&s, 6, &report); /* past it, but not from it */
    size_t before, after;
    free(contents(folder, "metrics.jsonl", &before));
    ck_assert_int_eq(krs_trainer_run(s.trainer, &plan, &err), KRS_E_NAME);
    ck_assert_ptr_nonnull(strstr(err.text, "metrics.jsonl"));
    free(contents(folder, "metrics.jsonl", &after));
    ck_assert_uint_eq(before, after);
    close_session(&s);
    remove_scratch(folder);
}
END_TEST

/* load must fail with FORMAT or IO and name the file */
static void
refuses(const char *folder, const char *file)
{
    session s = open_session(1);
    open_trainer(&s, 0.01);
    krs_error err = {0};
    krs_status status = krs_trainer_load(s.trainer, folder, &err);
    ck_assert_msg(status == KRS_E_FORMAT || status == KRS_E_IO,
                  "%s damaged, but loading gives %s", file,
                  krs_status_name(status));
    ck_assert_msg(strstr(err.text, file) != NULL, "%s", err.text);
    ck_assert_ptr_null(strchr(err.text, '\n'));
    close_session(&s);
}

START_TEST(a_checkpoint_with_any_damaged_file_is_refused)
{
    char *folder = scratch_folder();
    session s = open_session(1);
    open_trainer(&s, 0.01);
    krs_train_report report;
    krs_error err;
    take_steps(&s, 2, &report);
    must(krs_trainer_save(s.trainer, folder, 1, &err), &err);
    close_session(&s);
    char *path = path_of(folder, "checkpoint-00000002");
    for (size_t i = 0; i < 3; i++) {
        const char *file = checkpoint_files[i];
        size_t bytes;
        char *data = contents(path, file, &bytes);
        data[bytes - 1] ^= 4; /* one bit of the last weight */
        rewrite(path, file, data, bytes);
        refuses(path, file);
        data[bytes - 1] ^= 4;
        rewrite(path, file, data, bytes - 1); /* cut short */
        refuses(path, file);
        char *whole = path_of(path, file);
        ck_assert_int_eq(remove(whole), 0);
        refuses(path, file);
        rewrite(path, file, data, bytes);
        free(whole);
        free(data);
    }
    size_t bytes;
    char *data = contents(path, "trainer.json", &bytes);
    const char *const foreign[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"format\":\"other\",\"version\":1}",
        "{\"format\":\"kersey-checkpoint\",\"version\":2}"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        rewrite(path, "trainer.json", foreign[i], strlen(foreign[i]));
        refuses(path, "trainer.json");
    }
    rewrite(path, "trainer.json", data, bytes / 2);
    refuses(path, "trainer.json");
    rewrite(path, "trainer.json", data, bytes);
    free(data);
    s = open_session(1); /* mended: it loads again */
    open_trainer(&s, 0.01);
    must(krs_trainer_load(s.trainer, path, &err), &err);
    close_session(&s);
    free(path);
    remove_scratch(folder);
}
END_TEST

START_TEST(a_checkpoint_of_other_data_or_order_is_refused)
{
    char *folder = scratch_folder();
    session s = open_session(1);
    open_trainer(&s, 0.01);
    krs_error err;
    must(krs_trainer_save(s.trainer, folder, 1, &err), &err);
    close_session(&s);
    char *path = path_of(folder, "checkpoint-00000000");
    s = open_session(2);
    open_trainer(&s, 0.01);
    ck_assert_int_eq(krs_trainer_load(s.trainer, path, &err), KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "seed"));
    close_session(&s);
    char *nothing = path_of(folder, "nothing");
    char *latest;
    ck_assert_int_eq(krs_checkpoint_latest(nothing, &latest, &err), KRS_E_IO);
    free(nothing);
    free(path);
    remove_scratch(folder);
}
END_TEST

START_TEST(a_loss_that_is_not_finite_ends_the_run)
{
    session s = open_session(1);
    open_trainer(&s, 1e5);
    krs_train_report report;
    krs_error err;
    krs_status status = KRS_OK;
    float spoilt[VOCABULARY];
    for (size_t i = 0; i < VOCABULARY; i++)
        spoilt[i] = INFINITY;
    must(krs_store_write(s.store, "head.bias", spoilt, sizeof spoilt, &err),
         &err);
    status = krs_trainer_step(s.trainer, &report, &err);
    ck_assert_int_eq(status, KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "step 1"));
    close_session(&s);
}
END_TEST

START_TEST(a_parameter_that_nobody_initialised_is_refused)
{
    session s = {.data.seed = 1};
    krs_error err;
    must(krs_device_open("eval", &s.device, &err), &err);
    must(krs_store_new(s.device, &s.store, &err), &err);
    krs_trainer_options options = {
        .struct_size = sizeof options,
        .model = {.struct_size = sizeof options.model, .loss = bigram_loss},
        .batches = { .struct_size = sizeof options.batches,
                  .user = &s.data,
                  .next = next_batch},
        .optimizer = krs_optimizer_default(),
        .batch = BATCH,
        .time = TIME
    };
    options.optimizer.schedule.kind = KRS_SCHEDULE_CONSTANT;
    ck_assert_int_eq(krs_trainer_new(s.store, &options, &s.trainer, &err),
                     KRS_E_NAME);
    ck_assert_ptr_nonnull(strstr(err.text, "embedding.weight"));
    close_session(&s);
}
END_TEST

/* A disk that is full, as far as a process can have one of its own. */
static void
limit_files(rlim_t bytes)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(a_disk_that_is_full_leaves_the_previous_checkpoint)
{
    char *folder = scratch_folder();
    signal(SIGXFSZ, SIG_IGN);
    session s = open_session(1);
    open_trainer(&s, 0.01);
    krs_train_report report;
    krs_error err;
    must(krs_trainer_save(s.trainer, folder, 1, &err), &err);
    take_steps(&s, 1, &report);
    const rlim_t room[] = {0, 100, 1000, 2000}; /* bytes of a file */
    for (size_t i = 0; i < 4; i++) {
        limit_files(room[i]);
        krs_status status = krs_trainer_save(s.trainer, folder, 1, &err);
        limit_files(RLIM_INFINITY);
        ck_assert_int_eq(status, KRS_E_IO);
        ck_assert_ptr_nonnull(strstr(err.text, "partial-"));
        char *latest;
        krs_checkpoint_info info;
        must(krs_checkpoint_latest(folder, &latest, &err), &err);
        must(krs_checkpoint_read(latest, &info, &err), &err);
        ck_assert_int_eq(info.step, 0);
        free(latest);
    }
    must(krs_trainer_save(s.trainer, folder, 1, &err), &err);
    close_session(&s);
    remove_scratch(folder);
}
END_TEST

/* Every kind of thing that a trainer does, once. jansson is left out while it
 * reads: it takes a key that it could not allocate for one that is not there,
 * and the loader says so. */
static krs_status
do_everything(session *s, const krs_trainer_options *options,
              const char *folder, krs_error *err)
{
    memory_watch_json();
    KRS_TRY(krs_trainer_new(s->store, options, &s->trainer, err));
    krs_train_run plan = plan_of(folder, 2);
    KRS_TRY(krs_trainer_run(s->trainer, &plan, err));
    memory_leave_json();
    char *latest;
    KRS_TRY(krs_checkpoint_latest(folder, &latest, err));
    krs_status status = krs_trainer_load(s->trainer, latest, err);
    free(latest);
    return status;
}

START_TEST(memory_that_runs_out_anywhere_is_a_status_and_nothing_is_lost)
{
    char *folder = scratch_folder();
    session first = open_session(1);
    open_trainer(&first, 0.01);
    krs_error err;
    must(krs_trainer_save(first.trainer, folder, 9, &err), &err);
    close_session(&first);
    int failures = 0, n = 1;
    for (;; n++) {
        session s = open_session(1);
        krs_trainer_options options = options_of(&s.data, 0.01);
        memory_fail_at(n);
        krs_status status = do_everything(&s, &options, folder, &err);
        bool struck = memory_struck();
        close_session(&s);
        if (!struck) {
            must(status, &err);
            break;
        }
        /* the interpreter tries a buffer twice, and then goes on */
        ck_assert_msg(status == KRS_E_MEMORY || status == KRS_OK,
                      "allocation %d: %s: %s", n, krs_status_name(status),
                      err.text);
        failures += status == KRS_E_MEMORY;
        char *latest;
        krs_checkpoint_info info;
        must(krs_checkpoint_latest(folder, &latest, &err), &err);
        must(krs_checkpoint_read(latest, &info, &err), &err);
        if (info.step > 0) { /* saved, and then failed: start over */
            char *whole = path_of(folder, "checkpoint-00000002");
            remove_scratch(whole);
            free(whole);
        }
        free(latest);
    }
    ck_assert_int_gt(failures, 100);
    remove_scratch(folder);
}
END_TEST

/* In the child: resume what is there, train on, saving after every step. */
static void
train_until_killed(const char *folder)
{
    session s = open_session(1);
    open_trainer(&s, 0.01);
    char *latest;
    krs_error err;
    if (krs_checkpoint_latest(folder, &latest, &err) == KRS_OK &&
        krs_trainer_load(s.trainer, latest, &err) != KRS_OK)
        _exit(9);
    krs_train_run plan = plan_of(folder, 1000000);
    plan.save_every = 1;
    plan.keep = 1;
    krs_trainer_run(s.trainer, &plan, &err);
    _exit(8); /* only a kill ends it */
}

static void
sleep_ms(uint32_t ms)
{
    struct timespec pause = {.tv_sec = 0, .tv_nsec = 1000000L * (long)ms};
    nanosleep(&pause, NULL);
}

/* KRS_TEST_KILLS=200 for a long run */
static uint32_t
kills(void)
{
    const char *text = getenv("KRS_TEST_KILLS");
    return text ? (uint32_t)strtoul(text, NULL, 10) : 20;
}

START_TEST(a_kill_at_any_moment_leaves_a_checkpoint_that_loads)
{
    char *folder = scratch_folder();
    int64_t last_step = -1;
    for (uint32_t i = 0; i < kills(); i++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0)
            train_until_killed(folder);
        /* until it has something, then at a moment of chance */
        char *latest = NULL;
        krs_error err;
        for (int tries = 0; tries < 6000; tries++) {
            krs_checkpoint_info info = {.step = -1};
            free(latest);
            latest = NULL;
            if (krs_checkpoint_latest(folder, &latest, &err) == KRS_OK &&
                krs_checkpoint_read(latest, &info, NULL) == KRS_OK &&
                info.step > last_step)
                break;
            sleep_ms(5);
        }
        free(latest);
        sleep_ms(krs_random_u32(3, 0, 0, i) % 40);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status));
        session s = open_session(1);
        open_trainer(&s, 0.01);
        must(krs_checkpoint_latest(folder, &latest, &err), &err);
        must(krs_trainer_load(s.trainer, latest, &err), &err);
        ck_assert_int_gt(krs_trainer_steps(s.trainer), last_step);
        last_step = krs_trainer_steps(s.trainer);
        free(latest);
        close_session(&s);
    }
    remove_scratch(folder);
}
END_TEST

SUITE(training_lowers_the_loss_of_text_it_has_not_seen,
      ten_steps_are_the_same_bytes_as_five_and_a_resume_of_five,
      a_checkpoint_of_the_same_step_is_replaced_whole,
      a_stopped_run_leaves_a_checkpoint_and_says_so,
      metrics_tell_every_step_once_even_after_a_crash_and_a_resume,
      a_run_does_not_mix_with_the_later_steps_of_another,
      a_checkpoint_with_any_damaged_file_is_refused,
      a_checkpoint_of_other_data_or_order_is_refused,
      a_loss_that_is_not_finite_ends_the_run,
      a_parameter_that_nobody_initialised_is_refused,
      a_disk_that_is_full_leaves_the_previous_checkpoint,
      memory_that_runs_out_anywhere_is_a_status_and_nothing_is_lost,
      a_kill_at_any_moment_leaves_a_checkpoint_that_loads)
