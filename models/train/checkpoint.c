/* checkpoint.c -- checkpoint folders: written whole, found, loaded.
 *
 * In: a trainer and a run folder. Out: run/checkpoint-<step>, or a trainer
 * that continues from one.
 *
 * Invariant: a folder named checkpoint-<digits> is complete and on the disk.
 * It is made as ".partial-<step>", every file flushed, also those that the
 * model writes, then the folder, then renamed,
 * then the run folder flushed. Removal goes the other way round: first renamed
 * to ".partial-...", then emptied. Whatever a killed process left under a
 * ".partial-" name is removed by the next save.
 *
 * Not here: what trainer.json holds (checkpoint_info.c).
 */
#include "trainer.h"

#include "../load/path.h"

#include <krs/nn.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_PREFIX  "checkpoint-"
#define PARTIAL_PREFIX ".partial-"
#define MODEL_FILE     "model.safetensors"
#define MOMENTS_FILE   "optimizer.safetensors"

/* ---- folders ---- */

static krs_status
io_error(krs_error *err, const char *path, const char *what)
{
    return krs_fail(err, errno == ENOMEM ? KRS_E_MEMORY : KRS_E_IO,
                    "%s: %s: %s", path, what, strerror(errno));
}

/* Remove a folder of plain files; not being there is fine. */
static krs_status
remove_folder(const char *folder, krs_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? KRS_OK
                               : io_error(err, folder, "cannot be opened");
    struct dirent *entry;
    krs_status status = KRS_OK;
    while (status == KRS_OK && (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0))
            status = io_error(err, folder, "cannot be emptied");
    }
    closedir(dir);
    if (status == KRS_OK && rmdir(folder))
        status = io_error(err, folder, "cannot be removed");
    return status;
}

static krs_status
make_folder(const char *folder, krs_error *err)
{
    if (mkdir(folder, 0777) && errno != EEXIST)
        return io_error(err, folder, "cannot be made");
    struct stat is;
    if (stat(folder, &is))
        return io_error(err, folder, "cannot be examined");
    if (!S_ISDIR(is.st_mode))
        return krs_fail(err, KRS_E_IO, "%s: is not a folder", folder);
    return KRS_OK;
}

/* The step of "checkpoint-<digits>", or -1. */
static int64_t
step_of_name(const char *name)
{
    size_t prefix = strlen(FOLDER_PREFIX);
    if (strncmp(name, FOLDER_PREFIX, prefix))
        return -1;
    const char *digits = name + prefix;
    size_t length = strlen(digits);
    if (length < 8 || length > 18 || strspn(digits, "0123456789") != length)
        return -1;
    return strtoll(digits, NULL, 10);
}

static krs_status
folder_path(char **out, krs_error *err, const char *run, const char *prefix,
            int64_t step)
{
    return krsi_path(out, err, "%s/%s%08lld", run, prefix, (long long)step);
}

/* Take a checkpoint out of sight, then remove it. */
static krs_status
remove_checkpoint(const char *run, int64_t step, krs_error *err)
{
    char *path = NULL, *hidden = NULL;
    krs_status status = folder_path(&path, err, run, FOLDER_PREFIX, step);
    if (status == KRS_OK)
        status = folder_path(&hidden, err, run, PARTIAL_PREFIX "old-", step);
    if (status == KRS_OK)
        status = remove_folder(hidden, err);
    if (status == KRS_OK && rename(path, hidden) && errno != ENOENT)
        status = io_error(err, path, "cannot be renamed");
    if (status == KRS_OK)
        status = remove_folder(hidden, err);
    free(path);
    free(hidden);
    return status;
}

/* What a pass over the run folder looks for. */
typedef struct survey {
    int64_t newest; /* -1: none */
    int64_t oldest;
    int count;
} survey;

static krs_status
survey_run(const char *run, survey *out, krs_error *err)
{
    *out = (survey){.newest = -1, .oldest = -1};
    DIR *dir = opendir(run);
    if (!dir)
        return io_error(err, run, "cannot be opened");
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        int64_t step = step_of_name(entry->d_name);
        if (step < 0)
            continue;
        if (out->count == 0 || step < out->oldest)
            out->oldest = step;
        if (step > out->newest)
            out->newest = step;
        out->count++;
    }
    closedir(dir);
    return KRS_OK;
}

/* Remove what killed processes left. */
static krs_status
sweep_run(const char *run, krs_error *err)
{
    DIR *dir = opendir(run);
    if (!dir)
        return io_error(err, run, "cannot be opened");
    struct dirent *entry;
    krs_status status = KRS_OK;
    while (status == KRS_OK && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, PARTIAL_PREFIX, strlen(PARTIAL_PREFIX)))
            continue;
        char *path;
        status = krsi_path(&path, err, "%s/%s", run, entry->d_name);
        if (status != KRS_OK)
            break;
        status = remove_folder(path, err);
        free(path);
    }
    closedir(dir);
    return status;
}

krs_status
krs_checkpoint_latest(const char *run, char **out_path, krs_error *err)
{
    survey found;
    if (run == NULL || out_path == NULL)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "checkpoint: the run or out_path is NULL");
    *out_path = NULL;
    KRS_TRY(survey_run(run, &found, err));
    if (found.newest < 0)
        return krs_fail(err, KRS_E_NAME,
                        "%s: there is no checkpoint in this folder", run);
    return folder_path(out_path, err, run, FOLDER_PREFIX, found.newest);
}

krs_status
krsi_checkpoint_newest(const char *run, int64_t *out_step, krs_error *err)
{
    survey found;
    KRS_TRY(survey_run(run, &found, err));
    *out_step = found.newest;
    return KRS_OK;
}

/* Remember which folder holds the trainer's present state. */
static void
note_home(krs_trainer *t, const char *folder)
{
    t->has_home = !stat(folder, &t->home);
    t->home_step = t->step;
}

/* Is the present state in that folder already? */
static bool
is_home(const krs_trainer *t, const char *folder)
{
    struct stat is;
    return t->has_home && t->home_step == t->step && !stat(folder, &is) &&
           is.st_dev == t->home.st_dev && is.st_ino == t->home.st_ino;
}

bool
krsi_checkpoint_is_home(const krs_trainer *t, const char *run)
{
    char *path;
    if (folder_path(&path, NULL, run, FOLDER_PREFIX, t->step) != KRS_OK)
        return false;
    bool home = is_home(t, path);
    free(path);
    return home;
}

/* ---- writing ---- */

static krs_status
write_states(const krs_trainer *t, const char *folder, const char *file,
             size_t first, size_t count, krs_error *err)
{
    char *path;
    KRS_TRY(krsi_path(&path, err, "%s/%s", folder, file));
    krs_status status =
        krs_nn_save(t->store, t->states + first, count, path, err);
    free(path);
    return status;
}

/* The names of all files of a folder, in their order. */
typedef struct file_names {
    char *names[KRSI_CHECKPOINT_FILES];
    size_t count;
} file_names;

static void
free_names(file_names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->names[i]);
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Free them even after an error. */
static krs_status
list_folder(const char *folder, file_names *out, krs_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return io_error(err, folder, "cannot be opened");
    struct dirent *entry;
    krs_status status = KRS_OK;
    while (status == KRS_OK && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        char *name =
            out->count < KRSI_CHECKPOINT_FILES ? strdup(entry->d_name) : NULL;
        if (name)
            out->names[out->count++] = name;
        else
            status = out->count < KRSI_CHECKPOINT_FILES
                         ? krs_fail(err, KRS_E_MEMORY, "no memory for a name")
                         : krs_fail(err, KRS_E_RANGE,
                                    "%s: a checkpoint has at most %d files",
                                    folder, KRSI_CHECKPOINT_FILES);
    }
    closedir(dir);
    qsort(out->names, out->count, sizeof *out->names, compare_names);
    return status;
}

/* The files that the model writes, flushed as all others are. */
static krs_status
write_model_files(const krs_trainer *t, const char *folder, krs_error *err)
{
    const krs_train_model *model = &t->options.model;
    return model->write_files ? model->write_files(model->user, folder, err)
                              : KRS_OK;
}

static krs_status
flush_files(const char *folder, const file_names *files, krs_error *err)
{
    for (size_t i = 0; i < files->count; i++) {
        char *path;
        KRS_TRY(krsi_path(&path, err, "%s/%s", folder, files->names[i]));
        krs_status status = krsi_flush_path(path, err);
        free(path);
        KRS_TRY(status);
    }
    return KRS_OK;
}

static krs_status
describe_folder(const krs_trainer *t, const char *folder, krs_error *err)
{
    krs_checkpoint_info info = {.step = t->step,
                                .tokens = t->tokens,
                                .batch = t->options.batch,
                                .time = t->options.time,
                                .seed = t->options.batches.seed,
                                .fingerprint = t->options.batches.fingerprint,
                                .metrics_bytes = t->metrics_bytes,
                                .optimizer = t->options.optimizer};
    file_names files = {.count = 0};
    krs_status status = list_folder(folder, &files, err);
    if (status == KRS_OK)
        status = flush_files(folder, &files, err);
    if (status == KRS_OK)
        status = krsi_checkpoint_describe(
            &info, folder, (const char *const *)files.names, files.count, err);
    free_names(&files);
    return status;
}

/* The files of a checkpoint into an empty folder, all flushed. */
static krs_status
fill_folder(const krs_trainer *t, const char *folder, krs_error *err)
{
    KRS_TRY(write_states(t, folder, MODEL_FILE, 0, t->parameter_count, err));
    KRS_TRY(write_states(t, folder, MOMENTS_FILE, t->parameter_count,
                         t->state_count - t->parameter_count, err));
    KRS_TRY(write_model_files(t, folder, err));
    KRS_TRY(describe_folder(t, folder, err));
    return krsi_flush_path(folder, err);
}

/* Write under the partial name and give it its own. */
static krs_status
write_checkpoint(krs_trainer *t, const char *run, const char *path,
                 krs_error *err)
{
    char *partial;
    KRS_TRY(folder_path(&partial, err, run, PARTIAL_PREFIX, t->step));
    krs_status status = KRS_OK;
    if (mkdir(partial, 0777))
        status = io_error(err, partial, "cannot be made");
    if (status == KRS_OK)
        status = fill_folder(t, partial, err);
    if (status == KRS_OK)
        status = remove_checkpoint(run, t->step, err);
    if (status == KRS_OK && rename(partial, path))
        status = io_error(err, path, "cannot be given its name");
    if (status == KRS_OK)
        status = krsi_flush_path(run, err);
    if (status == KRS_OK)
        note_home(t, path);
    else
        remove_folder(partial, NULL); /* the first error is the one to tell */
    free(partial);
    return status;
}

krs_status
krs_trainer_save(krs_trainer *t, const char *run, int keep, krs_error *err)
{
    if (keep < 1)
        return krs_fail(err, KRS_E_RANGE,
                        "%s: cannot keep %d checkpoints; at least 1", run,
                        keep);
    KRS_TRY(make_folder(run, err));
    KRS_TRY(sweep_run(run, err));
    char *path;
    KRS_TRY(folder_path(&path, err, run, FOLDER_PREFIX, t->step));
    krs_status status = KRS_OK;
    if (!is_home(t, path))
        status = write_checkpoint(t, run, path, err);
    free(path);
    KRS_TRY(status);
    survey found;
    KRS_TRY(survey_run(run, &found, err));
    while (found.count > keep && found.oldest != t->step) {
        KRS_TRY(remove_checkpoint(run, found.oldest, err));
        KRS_TRY(survey_run(run, &found, err));
    }
    return KRS_OK;
}

/* ---- loading ---- */

static krs_status
check_match(const krs_trainer *t, const char *folder,
            const krs_checkpoint_info *info, krs_error *err)
{
    const krs_trainer_options *o = &t->options;
    if (info->optimizer.kind != o->optimizer.kind)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: was trained with %s and cannot go on with %s",
                        folder, krs_optimizer_name(info->optimizer.kind),
                        krs_optimizer_name(o->optimizer.kind));
    if (info->batch != o->batch || info->time != o->time)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: was trained with batches of %lld x %lld tokens, "
                        "not %lld x %lld",
                        folder, (long long)info->batch, (long long)info->time,
                        (long long)o->batch, (long long)o->time);
    if (info->seed != o->batches.seed)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: was trained with the seed %llu, not %llu", folder,
                        (unsigned long long)info->seed,
                        (unsigned long long)o->batches.seed);
    if (info->fingerprint != o->batches.fingerprint)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: was trained on other data (fingerprint %016llx, "
                        "here %016llx)",
                        folder, (unsigned long long)info->fingerprint,
                        (unsigned long long)o->batches.fingerprint);
    return KRS_OK;
}

static krs_status
read_states(krs_trainer *t, const char *folder, const char *file, size_t first,
            size_t count, krs_error *err)
{
    char *path;
    KRS_TRY(krsi_path(&path, err, "%s/%s", folder, file));
    krs_status status =
        krs_nn_load(t->store, t->states + first, count, path, err);
    free(path);
    return status;
}

krs_status
krs_trainer_load(krs_trainer *t, const char *folder, krs_error *err)
{
    krs_checkpoint_info info;
    KRS_TRY(krs_checkpoint_read(folder, &info, err));
    KRS_TRY(check_match(t, folder, &info, err));
    const krs_train_batches *batches = &t->options.batches;
    if (!batches->seek)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: these batches cannot be continued", folder);
    KRS_TRY(read_states(t, folder, MODEL_FILE, 0, t->parameter_count, err));
    KRS_TRY(read_states(t, folder, MOMENTS_FILE, t->parameter_count,
                        t->state_count - t->parameter_count, err));
    KRS_TRY(krs_store_write(t->store, "optimizer.step", &info.step,
                            sizeof info.step, err));
    KRS_TRY(batches->seek(batches->user, info.step, err));
    t->step = info.step;
    t->tokens = info.tokens;
    t->metrics_bytes = info.metrics_bytes;
    t->tokens_s = 0;
    note_home(t, folder);
    return KRS_OK;
}
