/* test_trainer.c -- runs, checkpoints, resume, cancellation, metrics. What is left
 * when something fails is in test_trainer_damage.c.
 */
#include "bigram.h"

#include <krs/krs.h>
#include <krs/train.h>

#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- files ---- */

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

/* ---- tests ---- */

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
stop_at_seven(void *user, const krs_train_report *report)
{
    if (report->step == 7)
        krs_trainer_stop(user);
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

SUITE(training_lowers_the_loss_of_text_it_has_not_seen,
      ten_steps_are_the_same_bytes_as_five_and_a_resume_of_five,
      a_checkpoint_of_the_same_step_is_replaced_whole,
      a_stopped_run_leaves_a_checkpoint_and_says_so,
      metrics_tell_every_step_once_even_after_a_crash_and_a_resume,
      a_run_does_not_mix_with_the_later_steps_of_another,
      a_loss_that_is_not_finite_ends_the_run,
      a_parameter_that_nobody_initialised_is_refused)
