/* training_run.c -- the loop: step, evaluate, report, save, stop.
 *
 * In: a trainer and a plan. Out: metrics.jsonl and checkpoints in the run
 * folder, a report for each step.
 *
 * metrics.jsonl is strict JSON, one object a line, a number that is not finite
 * is null. It is opened at the length that the loaded checkpoint recorded, so
 * the lines of steps that a crash undid are not there twice; every line is
 * flushed to the system as it is written, and to the disk before a checkpoint.
 */
#include "trainer.h"

#include "../load/json_file.h"
#include "../load/path.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct run_state {
    krs_trainer *trainer;
    const krs_train_run *plan;
    FILE *metrics; /* NULL without a folder */
    char *metrics_path;
    int64_t saved_step; /* of the newest checkpoint; -1: none */
} run_state;

static krs_status
check_metrics(const krs_trainer *t, const char *folder, krs_error *err)
{
    if (t->step == 0 || krsi_checkpoint_is_home(t, folder))
        return KRS_OK;
    char *path;
    struct stat is;
    KRS_TRY(krsi_path(&path, err, "%s/metrics.jsonl", folder));
    krs_status status = KRS_OK;
    if (!stat(path, &is) && is.st_size > 0)
        status = krs_fail(err, KRS_E_NAME,
                          "%s: holds the metrics of another run; choose "
                          "another folder for this one, which is at step %lld",
                          path, (long long)t->step);
    free(path);
    return status;
}

/* A folder that holds later steps, or metrics of steps that this trainer did
 * not come from, belongs to another run: continuing would mix the two. */
static krs_status
check_folder(const krs_trainer *t, const char *folder, krs_error *err)
{
    int64_t newest;
    KRS_TRY(krsi_checkpoint_newest(folder, &newest, err));
    if (newest <= t->step)
        return check_metrics(t, folder, err);
    return krs_fail(err, KRS_E_NAME,
                    "%s: holds a checkpoint of step %lld, and this run is at "
                    "step %lld; resume that one, or choose another folder",
                    folder, (long long)newest, (long long)t->step);
}

/* Open metrics.jsonl and cut it at the length the checkpoint knew. */
static krs_status
open_metrics(run_state *run, krs_error *err)
{
    const char *folder = run->plan->folder;
    if (mkdir(folder, 0777) && errno != EEXIST)
        return krs_fail(err, KRS_E_IO, "%s: cannot be made: %s", folder,
                        strerror(errno));
    KRS_TRY(check_folder(run->trainer, folder, err));
    KRS_TRY(krsi_path(&run->metrics_path, err, "%s/metrics.jsonl", folder));
    int fd = open(run->metrics_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    struct stat is;
    bool ready = fd >= 0 && !fstat(fd, &is);
    if (ready && is.st_size > run->trainer->metrics_bytes)
        ready = !ftruncate(fd, (off_t)run->trainer->metrics_bytes);
    off_t end = ready ? lseek(fd, 0, SEEK_END) : -1;
    run->metrics = end >= 0 ? fdopen(fd, "w") : NULL;
    if (run->metrics) {
        run->trainer->metrics_bytes = (int64_t)end;
        return KRS_OK;
    }
    krs_status status =
        krs_fail(err, KRS_E_IO, "%s: cannot be opened for writing: %s",
                 run->metrics_path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

static json_t *
number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static krs_status
write_metrics(run_state *run, const krs_train_report *r, krs_error *err)
{
    if (!run->metrics)
        return KRS_OK;
    json_t *line = json_pack(
        "{s:I, s:o, s:o, s:o, s:I, s:o, s:o}", "step", (json_int_t)r->step,
        "loss", number(r->loss), "grad_norm", number(r->grad_norm), "lr",
        number(r->learning_rate), "tokens", (json_int_t)r->tokens, "tok_s",
        number(r->tokens_s), "seconds", number(r->seconds));
    bool made = line != NULL;
    if (made && r->evaluated)
        made = !json_object_set_new(line, "val_loss",
                                    number(r->validation_loss)) &&
               (r->bits_per_byte == 0 ||
                !json_object_set_new(line, "val_bits_per_byte",
                                     number(r->bits_per_byte)));
    char *text = made ? krsi_json_print(line, JSON_COMPACT, NULL) : NULL;
    json_decref(line);
    if (!text)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory for a line",
                        run->metrics_path);
    int length = fprintf(run->metrics, "%s\n", text);
    free(text);
    if (length < 0 || fflush(run->metrics))
        return krs_fail(err, KRS_E_IO, "%s: cannot be written: %s",
                        run->metrics_path, strerror(errno));
    run->trainer->metrics_bytes += length;
    return KRS_OK;
}

static krs_status
save(run_state *run, krs_error *err)
{
    krs_trainer *t = run->trainer;
    if (!run->plan->folder || run->saved_step == t->step)
        return KRS_OK;
    if (fsync(fileno(run->metrics)))
        return krs_fail(err, KRS_E_IO, "%s: cannot be flushed: %s",
                        run->metrics_path, strerror(errno));
    KRS_TRY(krs_trainer_save(t, run->plan->folder, run->plan->keep, err));
    run->saved_step = t->step;
    return KRS_OK;
}

static bool
is_due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

/* One turn of the loop. */
static krs_status
turn(run_state *run, krs_error *err)
{
    krs_trainer *t = run->trainer;
    const krs_train_run *plan = run->plan;
    krs_train_report report;
    KRS_TRY(krs_trainer_step(t, &report, err));
    bool last = t->step >= plan->steps;
    bool can_evaluate = t->options.batches.validation_count > 0;
    if (can_evaluate && (last || is_due(t->step, plan->evaluate_every))) {
        krs_status status =
            krs_trainer_evaluate(t, plan->evaluate_batches, &report, err);
        if (status != KRS_E_CANCELLED)
            KRS_TRY(status);
    }
    double tokens_a_step = (double)(t->options.batch * t->options.time);
    report.eta_s =
        (double)(plan->steps - t->step) * tokens_a_step / t->tokens_s;
    KRS_TRY(write_metrics(run, &report, err));
    if (plan->report)
        plan->report(plan->user, &report);
    if (last || t->stop || is_due(t->step, plan->save_every))
        KRS_TRY(save(run, err));
    return KRS_OK;
}

krs_status
krs_trainer_run(krs_trainer *t, const krs_train_run *plan, krs_error *err)
{
    if (plan->struct_size != sizeof *plan)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "training: struct_size is not the size of "
                        "krs_train_run");
    if (plan->keep < 1 || plan->steps < 0 || plan->evaluate_every < 0 ||
        plan->evaluate_batches < 0 || plan->save_every < 0)
        return krs_fail(err, KRS_E_RANGE,
                        "training: a negative number of steps, or fewer than "
                        "1 checkpoint to keep");
    run_state run = {.trainer = t, .plan = plan, .saved_step = -1};
    krs_status status = KRS_OK;
    if (plan->folder)
        status = open_metrics(&run, err);
    while (status == KRS_OK && t->step < plan->steps && !t->stop)
        status = turn(&run, err);
    if (status == KRS_OK && t->stop) {
        status = save(&run, err);
        if (status == KRS_OK)
            status = krs_fail(err, KRS_E_CANCELLED,
                              "training: stopped after step %lld of %lld",
                              (long long)t->step, (long long)plan->steps);
    }
    if (run.metrics && fclose(run.metrics) && status == KRS_OK)
        status = krs_fail(err, KRS_E_IO, "%s: cannot be written: %s",
                          run.metrics_path, strerror(errno));
    free(run.metrics_path);
    return status;
}
