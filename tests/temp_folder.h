/* temp_folder.h -- a folder of a test's own, removed when its process ends.
 *
 *     write_file("a.txt", "text", 4);
 *     open(temp_path("a.txt"), ...);
 *
 * Asked for by main, before Check forks, it is one for all tests: a cache of
 * kernels that several of them compile.
 */
#ifndef TESTS_TEMP_FOLDER_H
#define TESTS_TEMP_FOLDER_H

#include "suite.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char temp_folder_name[64];
static pid_t temp_folder_owner;

static inline void
temp_folder_remove(void)
{
    char path[512];
    struct dirent *entry;
    if (temp_folder_owner != getpid())
        return;
    DIR *dir = opendir(temp_folder_name);
    while (dir && (entry = readdir(dir))) {
        snprintf(path, sizeof path, "%s/%s", temp_folder_name, entry->d_name);
        if (unlink(path) != 0)
            rmdir(path);
    }
    if (dir)
        closedir(dir);
    rmdir(temp_folder_name);
}

static inline const char *
temp_folder(void)
{
    if (!temp_folder_name[0]) {
        strcpy(temp_folder_name, "/tmp/kersey-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(temp_folder_name));
        temp_folder_owner = getpid();
        atexit(temp_folder_remove);
    }
    return temp_folder_name;
}

/* valid until the fourth call after this one */
static inline const char *
temp_path(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof *paths, "%s/%s", temp_folder(), name);
    return path;
}

static inline void
write_file(const char *name, const void *bytes, size_t count)
{
    FILE *file = fopen(temp_path(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

/* the whole file, to be freed */
static inline char *
read_file(const char *name, size_t *out_bytes)
{
    FILE *file = fopen(temp_path(name), "rb");
    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *bytes = malloc((size_t)size + 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)size, file), (size_t)size);
    bytes[size] = 0;
    fclose(file);
    *out_bytes = (size_t)size;
    return bytes;
}

static inline int
count_files(void)
{
    int count = 0;
    struct dirent *entry;
    DIR *dir = opendir(temp_folder());
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

#endif
