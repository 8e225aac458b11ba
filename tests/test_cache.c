/* test_cache.c -- blobs on disk: found again, never believed when damaged,
 * foreign or writable by others; and building through the cache. */
#include "tests/fault_memory.h"
#include "tests/suite.h"
#include "tests/temp_folder.h"

#include "backends/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char warnings[4096];

static void
note(void *context, const char *text)
{
    (void)context;
    strncat(warnings, text, sizeof warnings - strlen(warnings) - 1);
    strncat(warnings, "\n", sizeof warnings - strlen(warnings) - 1);
}

static krsi_cache *
open_cache(uint64_t max_bytes)
{
    krsi_cache *cache;
    krs_error err;
    warnings[0] = 0;
    ck_assert_msg(krsi_cache_open(temp_folder(), max_bytes, note, NULL, &cache,
                                  &err) == KRS_OK,
                  "%s", err.text);
    return cache;
}

/* y[0] = number; different numbers are different kernels */
static krs_kernel *
make_kernel(int number)
{
    char text[200];
    krs_kernel *kernel;
    krs_error err;
    snprintf(text, sizeof text,
             "kernel store_%d\nbuffer @y i64 write\ngrid 1\n\n"
             "%%0:i64 = const 0\n%%v:i64 = const %d\nstore @y %%0 %%v\n",
             number, 1000 + number);
    ck_assert_msg(krs_kernel_parse(text, &kernel, &err) == KRS_OK, "%s\n%s",
                  err.text, text);
    return kernel;
}

/* The name of the only entry. */
static const char *
only_entry(void)
{
    static char name[128];
    DIR *dir = opendir(temp_folder());
    struct dirent *entry;
    int count = 0;
    while ((entry = readdir(dir)))
        if (strstr(entry->d_name, ".blob")) {
            snprintf(name, sizeof name, "%.100s", entry->d_name);
            count++;
        }
    closedir(dir);
    ck_assert_int_eq(count, 1);
    return name;
}

static void
store(krsi_cache *cache, const krs_kernel *kernel, const char *target,
      const char *text)
{
    char copy[64];
    strcpy(copy, text);
    krs_backend_blob blob = {copy, strlen(text)};
    krsi_cache_store(cache, kernel, target, &blob);
}

static void
expect_found(krsi_cache *cache, const krs_kernel *kernel, const char *target,
             const char *text)
{
    krs_backend_blob blob;
    ck_assert_msg(krsi_cache_find(cache, kernel, target, &blob), "%s",
                  warnings);
    ck_assert_uint_eq(blob.bytes, strlen(text));
    ck_assert(memcmp(blob.data, text, blob.bytes) == 0);
    free(blob.data);
}

static void
expect_missing(krsi_cache *cache, const krs_kernel *kernel, const char *target,
               const char *warning)
{
    krs_backend_blob blob;
    warnings[0] = 0;
    ck_assert(!krsi_cache_find(cache, kernel, target, &blob));
    ck_assert_ptr_null(blob.data);
    if (warning)
        ck_assert_msg(strstr(warnings, warning) != NULL, "'%s' is not in '%s'",
                      warning, warnings);
    else
        ck_assert_str_eq(warnings, "");
}

START_TEST(a_blob_is_found_by_its_kernel_and_target_only)
{
    krsi_cache *cache = open_cache(0);
    krs_kernel *one = make_kernel(1), *two = make_kernel(2);
    expect_missing(cache, one, "here", NULL);
    store(cache, one, "here", "code");
    expect_found(cache, one, "here", "code");
    expect_missing(cache, two, "here", NULL);
    expect_missing(cache, one, "there", NULL);
    store(cache, one, "here", "newer code");
    krsi_cache_close(cache);
    cache = open_cache(0);
    expect_found(cache, one, "here", "newer code");
    struct stat info;
    ck_assert_int_eq(stat(temp_path(only_entry()), &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0600);
    krs_kernel_free(one);
    krs_kernel_free(two);
    krsi_cache_close(cache);
}
END_TEST

START_TEST(no_changed_byte_and_no_shorter_file_is_believed)
{
    krsi_cache *cache = open_cache(0);
    krs_kernel *kernel = make_kernel(1);
    char name[128];
    size_t bytes;
    store(cache, kernel, "here", "some code");
    strcpy(name, only_entry());
    char *whole = read_file(name, &bytes);
    for (size_t i = 0; i < bytes; i++) {
        whole[i] ^= 0x10;
        write_file(name, whole, bytes);
        expect_missing(cache, kernel, "here", "is compiled again");
        whole[i] ^= 0x10;
        write_file(name, whole, i);
        expect_missing(cache, kernel, "here", "is truncated");
    }
    write_file(name, whole, bytes + 1);
    expect_missing(cache, kernel, "here", "too long");
    write_file(name, whole, bytes);
    expect_found(cache, kernel, "here", "some code");
    free(whole);
    krs_kernel_free(kernel);
    krsi_cache_close(cache);
}
END_TEST

START_TEST(an_entry_of_another_kernel_under_this_name_is_refused)
{
    krsi_cache *cache = open_cache(0);
    krs_kernel *one = make_kernel(1), *two = make_kernel(2);
    char name[128];
    size_t bytes;
    store(cache, one, "here", "code");
    strcpy(name, only_entry());
    ck_assert_int_eq(unlink(temp_path(name)), 0);
    store(cache, two, "here", "other");
    char *other = read_file(only_entry(), &bytes);
    write_file(name, other, bytes);
    expect_missing(cache, one, "here", "belongs to another kernel");
    free(other);
    krs_kernel_free(one);
    krs_kernel_free(two);
    krsi_cache_close(cache);
}
END_TEST

START_TEST(an_entry_that_others_can_write_or_own_is_refused)
{
    krsi_cache *cache = open_cache(0);
    krs_kernel *kernel = make_kernel(1);
    store(cache, kernel, "here", "code");
    const char *path = temp_path(only_entry());
    ck_assert_int_eq(chmod(path, 0606), 0);
    expect_missing(cache, kernel, "here", "can be written by others");
    ck_assert_int_eq(chmod(path, 0660), 0);
    expect_missing(cache, kernel, "here", "can be written by others");
    ck_assert_int_eq(chmod(path, 0600), 0);
    expect_found(cache, kernel, "here", "code");
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 12345, 12345), 0);
        expect_missing(cache, kernel, "here", "belongs to another user");
    } else {
        printf("1 check skipped: only root can give files away\n");
    }
    krs_kernel_free(kernel);
    krsi_cache_close(cache);
}
END_TEST

START_TEST(links_folders_and_pipes_in_place_of_an_entry_are_refused)
{
    krsi_cache *cache = open_cache(0);
    krs_kernel *kernel = make_kernel(1);
    store(cache, kernel, "here", "code");
    char path[256];
    strcpy(path, temp_path(only_entry()));
    ck_assert_int_eq(rename(path, temp_path("elsewhere")), 0);
    ck_assert_int_eq(symlink(temp_path("elsewhere"), path), 0);
    expect_missing(cache, kernel, "here", "cannot be opened");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    expect_missing(cache, kernel, "here", "is no plain file");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    expect_missing(cache, kernel, "here", "is no plain file");
    warnings[0] = 0;
    store(cache, kernel, "here", "code");
    ck_assert_ptr_nonnull(strstr(warnings, "cannot be stored"));
    krs_kernel_free(kernel);
    krsi_cache_close(cache);
}
END_TEST

static void
expect_no_cache(const char *folder, const char *text)
{
    krsi_cache *cache;
    krs_error err = {0};
    ck_assert_int_eq(krsi_cache_open(folder, 0, note, NULL, &cache, &err),
                     KRS_E_IO);
    ck_assert_ptr_null(cache);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
}

START_TEST(a_folder_that_others_can_write_is_refused)
{
    const char *path = temp_path("shared");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(chmod(path, 0777), 0);
    expect_no_cache(path, "others may write into the folder (mode 777)");
    expect_no_cache("", "empty");
    write_file("file", "x", 1);
    expect_no_cache(temp_path("file"), "no such folder");
    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(path, 0700), 0);
        ck_assert_int_eq(chown(path, 12345, 12345), 0);
        expect_no_cache(path, "belongs to user 12345");
    } else {
        printf("1 check skipped: only root can give folders away\n");
    }
}
END_TEST

START_TEST(a_new_folder_is_closed_to_others)
{
    char path[256];
    struct stat info;
    krsi_cache *cache;
    krs_error err;
    snprintf(path, sizeof path, "%s/new", temp_folder());
    umask(0);
    ck_assert_int_eq(krsi_cache_open(path, 0, NULL, NULL, &cache, &err),
                     KRS_OK);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0700);
    krsi_cache_close(cache);
}
END_TEST

/* The length of the text depends on the round, so a mixture of two writers
 * would have a wrong length or checksum. */
static void
write_and_read(int who)
{
    krs_kernel *kernel = make_kernel(1);
    krsi_cache *cache = open_cache(0);
    for (int i = 0; i < 150; i++) {
        char text[64] = "";
        krs_backend_blob blob;
        memset(text, 'a' + who, (size_t)(1 + (i + who) % 50));
        store(cache, kernel, "here", text);
        if (!krsi_cache_find(cache, kernel, "here", &blob))
            _exit(1);
        const char *got = blob.data;
        for (size_t k = 0; k < blob.bytes; k++)
            if (got[k] != got[0])
                _exit(2);
        free(blob.data);
    }
    if (warnings[0])
        _exit(3);
    krs_kernel_free(kernel);
    krsi_cache_close(cache);
    _exit(0);
}

START_TEST(processes_that_write_at_once_leave_whole_entries)
{
    temp_folder();
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0)
            write_and_read(i);
    }
    for (int i = 0; i < 4; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(a_full_disk_is_a_warning_and_leaves_nothing)
{
    krsi_cache *cache = open_cache(0);
    krs_kernel *kernel = make_kernel(1);
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = before;
    none.rlim_cur = 10;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    store(cache, kernel, "here", "code");
    ck_assert_msg(strstr(warnings, "cannot be stored") != NULL, "'%s'",
                  warnings);
    warnings[0] = 0; /* a model has hundreds of kernels */
    store(cache, kernel, "there", "code");
    ck_assert_str_eq(warnings, "");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(count_files(), 0);
    expect_missing(cache, kernel, "here", NULL);
    krs_kernel_free(kernel);
    krsi_cache_close(cache);
}
END_TEST

START_TEST(the_least_recently_used_entries_leave_a_full_cache)
{
    enum { ENTRY_BYTES = 48 + 4 };
    krsi_cache *cache = open_cache(3 * ENTRY_BYTES);
    krs_kernel *kernels[4];
    for (int i = 0; i < 4; i++) {
        kernels[i] = make_kernel(i);
        if (i == 3) /* entry 0 is used again */
            expect_found(cache, kernels[0], "here", "code");
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        store(cache, kernels[i], "here", "code");
    }
    ck_assert_int_eq(count_files(), 3);
    expect_found(cache, kernels[0], "here", "code");
    expect_missing(cache, kernels[1], "here", NULL);
    expect_found(cache, kernels[2], "here", "code");
    expect_found(cache, kernels[3], "here", "code");
    for (int i = 0; i < 4; i++)
        krs_kernel_free(kernels[i]);
    krsi_cache_close(cache);
}
END_TEST

/* ---- building through the cache ---- */

static size_t kernels_built;

static krs_status
counting_build(krs_backend_device *device, const krs_kernel *const *kernels,
               size_t count, krs_backend_blob *blobs, krs_error *err)
{
    kernels_built += count;
    return krsi_interp_backend.build(device, kernels, count, blobs, err);
}

static size_t
count_built(krsi_cache *cache, const krs_kernel *const *kernels, size_t count)
{
    krs_backend backend = krsi_interp_backend;
    krs_backend_device *device;
    krs_backend_code *codes[8];
    krs_error err;
    backend.build = counting_build;
    kernels_built = 0;
    ck_assert_int_eq(backend.open(NULL, &device, &err), KRS_OK);
    ck_assert_msg(krsi_backend_build(&backend, device, cache, kernels, count,
                                     NULL, codes, &err) == KRS_OK,
                  "%s", err.text);
    for (size_t i = 0; i < count; i++)
        ck_assert_ptr_nonnull(codes[i]);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert((codes[i] == codes[k]) ==
                      krs_kernel_equal(kernels[i], kernels[k]));
    krsi_backend_drop_all(&backend, device, codes, count);
    backend.close(device);
    return kernels_built;
}

START_TEST(equal_kernels_are_built_once_and_cached_ones_never)
{
    krsi_cache *cache = open_cache(0);
    krs_kernel *kernels[5] = {make_kernel(1), make_kernel(2), make_kernel(1),
                              make_kernel(3), make_kernel(2)};
    const krs_kernel *list[5];
    memcpy(list, kernels, sizeof list);
    ck_assert_uint_eq(count_built(NULL, list, 5), 3);
    ck_assert_uint_eq(count_built(cache, list, 2), 2);
    ck_assert_uint_eq(count_built(cache, list, 5), 1);
    ck_assert_uint_eq(count_built(cache, list, 5), 0);
    ck_assert_str_eq(warnings, "");
    for (int i = 0; i < 5; i++)
        krs_kernel_free(kernels[i]);
    krsi_cache_close(cache);
}
END_TEST

/* The entry is not believed, with this warning; the new one is. */
static void
expect_built_again(krsi_cache *cache, const krs_kernel *kernel,
                   const char *warning)
{
    warnings[0] = 0;
    ck_assert_uint_eq(count_built(cache, &kernel, 1), 1);
    ck_assert_ptr_nonnull(strstr(warnings, warning));
    ck_assert_ptr_nonnull(strstr(warnings, "is compiled again"));
    warnings[0] = 0;
    ck_assert_uint_eq(count_built(cache, &kernel, 1), 0);
    ck_assert_str_eq(warnings, "");
}

START_TEST(damaged_foreign_and_writable_entries_are_built_again)
{
    krsi_cache *cache = open_cache(0);
    krs_kernel *kernel = make_kernel(1), *two = make_kernel(2);
    const krs_kernel *list[] = {kernel}, *other[] = {two};
    char name[128];
    size_t bytes;
    ck_assert_uint_eq(count_built(cache, other, 1), 1);
    char *foreign = read_file(only_entry(), &bytes);
    ck_assert_int_eq(unlink(temp_path(only_entry())), 0);
    ck_assert_uint_eq(count_built(cache, list, 1), 1);
    strcpy(name, only_entry());
    write_file(name, "rubbish", 7);
    expect_built_again(cache, kernel, "is truncated");
    write_file(name, foreign, bytes);
    expect_built_again(cache, kernel, "belongs to another kernel");
    ck_assert_int_eq(chmod(temp_path(name), 0666), 0);
    expect_built_again(cache, kernel, "can be written by others");
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(temp_path(name), 12345, 12345), 0);
        expect_built_again(cache, kernel, "belongs to another user");
    }
    free(foreign);
    krs_kernel_free(two);
    /* a whole entry whose code the backend refuses */
    store(cache, kernel, "interp", "no code of the kernel");
    ck_assert_uint_eq(count_built(cache, list, 1), 1);
    ck_assert_uint_eq(count_built(cache, list, 1), 0);
    krs_kernel_free(kernel);
    krsi_cache_close(cache);
}
END_TEST

static void
temp_folder_empty(void)
{
    DIR *dir = opendir(temp_folder());
    struct dirent *entry;
    while ((entry = readdir(dir)))
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

/* Open a cache, build two kernels with it, all with the n-th allocation
 * failing; true if none was left to fail. */
static bool
survives(long n, const krs_kernel *const *kernels, bool *out_worked)
{
    krsi_cache *cache = NULL;
    krs_backend_device *device = NULL;
    krs_backend_code *codes[2] = {NULL, NULL};
    krs_error err = {0};
    krs_status status;
    memory_fail_at(n);
    status = krsi_cache_open(temp_folder(), 1 << 20, note, NULL, &cache, &err);
    if (status == KRS_OK)
        status = krsi_interp_backend.open(NULL, &device, &err);
    if (status == KRS_OK)
        status = krsi_backend_build(&krsi_interp_backend, device, cache,
                                    kernels, 2, NULL, codes, &err);
    bool struck = memory_struck();
    ck_assert_msg(status == KRS_OK || (struck && status == KRS_E_MEMORY &&
                                       strstr(err.text, "memory")),
                  "allocation %ld: %s", n, err.text);
    ck_assert((status == KRS_OK) == (codes[0] && codes[1]));
    if (status == KRS_OK)
        krsi_backend_drop_all(&krsi_interp_backend, device, codes, 2);
    krsi_interp_backend.close(device);
    krsi_cache_close(cache);
    *out_worked = status == KRS_OK;
    return !struck;
}

START_TEST(every_failing_allocation_is_reported_or_harmless)
{
    krs_kernel *kernels[] = {make_kernel(1), make_kernel(2)};
    const krs_kernel *list[] = {kernels[0], kernels[1]};
    bool worked = false;
    /* with an empty cache, then with a full one */
    for (int filled = 0; filled < 2; filled++) {
        long n = 1;
        for (; n < 1000; n++) {
            if (!filled)
                temp_folder_empty();
            if (survives(n, list, &worked))
                break;
        }
        ck_assert(worked && n > 5 && n < 1000);
    }
    krs_kernel_free(kernels[0]);
    krs_kernel_free(kernels[1]);
}
END_TEST

SUITE(a_blob_is_found_by_its_kernel_and_target_only,
      no_changed_byte_and_no_shorter_file_is_believed,
      an_entry_of_another_kernel_under_this_name_is_refused,
      an_entry_that_others_can_write_or_own_is_refused,
      links_folders_and_pipes_in_place_of_an_entry_are_refused,
      a_folder_that_others_can_write_is_refused,
      a_new_folder_is_closed_to_others,
      processes_that_write_at_once_leave_whole_entries,
      a_full_disk_is_a_warning_and_leaves_nothing,
      the_least_recently_used_entries_leave_a_full_cache,
      equal_kernels_are_built_once_and_cached_ones_never,
      damaged_foreign_and_writable_entries_are_built_again,
      every_failing_allocation_is_reported_or_harmless)
