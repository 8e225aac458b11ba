/* cache.c -- kersey cache: compiled kernels on disk.
 *
 * In: ls or clear, and the folder that KRS_CACHE names, else the default one.
 * Out, for ls: bytes and name of every entry, oldest use first, and the total;
 * for clear the total of what is gone. Entries are the plain files *.blob, and
 * tmp-* while they are written; nothing else in the folder is touched. A
 * program that runs meanwhile compiles again what it misses.
 */
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct entry {
    char name[256];
    long long bytes;
    struct timespec used;
};

struct listing {
    struct entry *entries;
    size_t count, room;
    long long bytes;
};

static int
compare_use(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec)
        return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
    return strcmp(x->name, y->name);
}

static bool
is_entry_name(const char *name)
{
    size_t length = strlen(name);
    return !strncmp(name, "tmp-", 4) ||
           (length > 5 && !strcmp(name + length - 5, ".blob"));
}

static krs_status
add_entry(struct listing *l, int folder, const char *name, krs_error *err)
{
    struct stat is;
    if (!is_entry_name(name) || strlen(name) >= sizeof l->entries->name ||
        fstatat(folder, name, &is, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(is.st_mode))
        return KRS_OK;
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        struct entry *grown = realloc(l->entries, room * sizeof *grown);
        if (!grown)
            return krs_fail(err, KRS_E_MEMORY, "no memory for %zu entries",
                            room);
        l->entries = grown;
        l->room = room;
    }
    struct entry *e = &l->entries[l->count++];
    strcpy(e->name, name);
    e->bytes = (long long)is.st_size;
    e->used = is.st_mtim;
    l->bytes += e->bytes;
    return KRS_OK;
}

static krs_status
list_entries(DIR *dir, struct listing *l, krs_error *err)
{
    struct dirent *at;
    while ((at = readdir(dir)))
        KRS_TRY(add_entry(l, dirfd(dir), at->d_name, err));
    if (l->count)
        qsort(l->entries, l->count, sizeof *l->entries, compare_use);
    return KRS_OK;
}

static krs_status
remove_entries(DIR *dir, const struct listing *l, const char *folder,
               krs_error *err)
{
    for (size_t i = 0; i < l->count; i++)
        if (unlinkat(dirfd(dir), l->entries[i].name, 0) != 0 && errno != ENOENT)
            return krs_fail(err, KRS_E_IO, "%s/%s: %s", folder,
                            l->entries[i].name, strerror(errno));
    return KRS_OK;
}

static int
print_listing(const struct listing *l, const char *folder, bool json,
              bool cleared)
{
    if (json) {
        json_t *all = json_pack("{s:s, s:I, s:I, s:b}", "folder", folder,
                                "entries", (json_int_t)l->count, "bytes",
                                (json_int_t)l->bytes, "cleared", cleared);
        int written = all ? json_dumpf(all, stdout, JSON_COMPACT) : -1;
        json_decref(all);
        printf("\n");
        return written == 0 ? EXIT_OK : EXIT_FAILED;
    }
    for (size_t i = 0; !cleared && i < l->count; i++)
        printf("%10lld  %s\n", l->entries[i].bytes, l->entries[i].name);
    printf("%s: %zu entries, %lld bytes%s\n", folder, l->count, l->bytes,
           cleared ? " removed" : "");
    return EXIT_OK;
}

int
command_cache(const struct command_line *line)
{
    const char *verb = line->operands[0], *folder = find_cache_folder();
    bool clear = !strcmp(verb, "clear");
    struct listing l = {.entries = NULL};
    krs_error err;
    if (!clear && strcmp(verb, "ls") != 0)
        return complain_usage("cache %s: expected ls or clear", verb);
    if (!folder)
        return complain_usage("there is no cache: KRS_CACHE is off, or "
                              "neither KRS_CACHE nor HOME is set");
    DIR *dir = opendir(folder);
    krs_status status = KRS_OK;
    if (dir)
        status = list_entries(dir, &l, &err);
    else if (errno != ENOENT) /* absent: nothing was ever kept */
        status = krs_fail(&err, KRS_E_IO, "%s: %s", folder, strerror(errno));
    if (status == KRS_OK && dir && clear)
        status = remove_entries(dir, &l, folder, &err);
    int code = status == KRS_OK
                   ? print_listing(&l, folder, line->flags.json, clear)
                   : complain(&err);
    if (dir)
        closedir(dir);
    free(l.entries);
    return code;
}
