/* test_trainer_damage.c -- checkpoints that are damaged or of another run are
 * refused, and one that loads is left when the disk is full, memory runs out or
 * the process is killed at any moment.
 */
#include "bigram.h"
#include "fault_memory.h"

#include <krs/krs.h>
#include <krs/train.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

SUITE(a_checkpoint_with_any_damaged_file_is_refused,
      a_checkpoint_of_other_data_or_order_is_refused,
      a_disk_that_is_full_leaves_the_previous_checkpoint,
      memory_that_runs_out_anywhere_is_a_status_and_nothing_is_lost,
      a_kill_at_any_moment_leaves_a_checkpoint_that_loads)
