/* trainer.h -- the inside of krs_trainer, shared by the files that make up
 * the trainer: trainer.c (programs, steps), checkpoint.c (folders),
 * checkpoint_info.c (trainer.json), training_run.c (the loop and its metrics).
 */
#ifndef KRSI_TRAINER_H
#define KRSI_TRAINER_H

#include <krs/train.h>

#include <signal.h>
#include <sys/stat.h>

struct krs_trainer {
    krs_store *store; /* borrowed */
    krs_trainer_options options;
    krs_graph *graph;
    krs_node *states;       /* parameters, then moments; nodes of graph */
    size_t parameter_count; /* first in states */
    size_t state_count;
    krs_program *step_program; /* outputs as KRS_STEP_* */
    krs_program *loss_program; /* output 0: the loss */
    int64_t *ids, *targets;    /* [B, T] */
    int64_t step, tokens;
    int64_t metrics_bytes; /* length of metrics.jsonl */
    double tokens_s;
    /* the folder that holds the state after home_step, if there is one */
    bool has_home;
    int64_t home_step;
    struct stat home;
    volatile sig_atomic_t stop;
};

/* checkpoint.c: the highest step in a run folder, -1 for none; whether the
 * trainer's present state lies in that run folder */
krs_status krsi_checkpoint_newest(const char *run, int64_t *out_step,
                                  krs_error *err);
bool krsi_checkpoint_is_home(const krs_trainer *t, const char *run);

/* checkpoint_info.c */

#define KRSI_TRAINER_FILE     "trainer.json"
#define KRSI_CHECKPOINT_FILES 16 /* that it may list */

/* krsi_checkpoint_describe(info, folder, files, count, err) -- write
 * folder/trainer.json, which lists the files with their size and hash, and
 * flush it. */
krs_status krsi_checkpoint_describe(const krs_checkpoint_info *info,
                                    const char *folder,
                                    const char *const *files, size_t count,
                                    krs_error *err);

/* krsi_flush_path(path, err) -- fsync of a file or folder by its name. */
krs_status krsi_flush_path(const char *path, krs_error *err);

/* krsi_seconds() -- a clock that only rises */
double krsi_seconds(void);

#endif
