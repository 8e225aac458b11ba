/* cache.c -- code blobs on disk.
 *
 * In: blobs and what they are for. Out: the same blobs in a later process.
 *
 * The name of an entry is 128 bits over the kernel's hash, the target (which
 * names processor, features and compiler), the version of the library and the
 * ABI number; nothing that was made for another machine can be found. The
 * file is a header, which repeats the key, and the bytes with a checksum; it
 * is written under a temporary name and renamed, so that readers see a whole
 * entry or none, however many processes write.
 *
 * Code is run, so the folder must be the caller's own and closed to others,
 * and an entry is believed only if it is a plain file of the caller that
 * nobody else can write. Anything else is ignored with a warning and made
 * anew; a failing disk makes the cache useless, not the program.
 */
#define _DEFAULT_SOURCE
#include "backend.h"

#include "../graph/base/base.h"

#include <krs/version.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

enum {
    NAME_BYTES = 64,
    MAX_BLOB_BYTES = 256 << 20,
    STALE_SECONDS = 3600 /* a temporary file older than this is forgotten */
};

static const char magic[8] = {'K', 'R', 'S', 'B', 'L', 'O', 'B', '1'};

typedef struct entry_header {
    char magic[8];
    uint64_t key[2];
    uint64_t bytes;
    uint64_t checksum[2]; /* of the bytes */
} entry_header;

struct krsi_cache {
    int folder;
    uint64_t max_bytes;
    krsi_cache_warning *warning;
    void *context;
    atomic_uint stored;  /* for temporary names */
    atomic_bool is_told; /* that nothing can be stored, until something was */
    char *name;          /* of the folder, for texts */
};

void
krsi_cache_warn(krsi_cache *cache, const char *format, ...)
{
    krsi_string text = {0};
    va_list args;
    if (!cache->warning)
        return;
    va_start(args, format);
    krsi_string_format(&text, "cache %s: ", cache->name);
    krsi_string_vformat(&text, format, args);
    va_end(args);
    if (!text.failed)
        cache->warning(cache->context, text.text);
    krsi_string_free(&text);
}

/* mkdir -p; what exists already is fine here and judged afterwards. */
static void
make_folders(char *path)
{
    for (char *at = path + 1; *at; at++)
        if (*at == '/') {
            *at = 0;
            mkdir(path, 0700);
            *at = '/';
        }
    mkdir(path, 0700);
}

static krs_status
open_folder(krsi_cache *cache, krs_error *err)
{
    struct stat info;
    make_folders(cache->name);
    cache->folder = open(cache->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cache->folder < 0 || fstat(cache->folder, &info) != 0)
        return krs_fail(err, KRS_E_IO,
                        "cache %s: no such folder can be used: %s", cache->name,
                        strerror(errno));
    if (info.st_uid != geteuid())
        return krs_fail(err, KRS_E_IO,
                        "cache %s: the folder belongs to user %lu, and code "
                        "from it would be run; choose another one",
                        cache->name, (unsigned long)info.st_uid);
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return krs_fail(err, KRS_E_IO,
                        "cache %s: others may write into the folder (mode "
                        "%03o), and code from it would be run; chmod 700 it",
                        cache->name, (unsigned)info.st_mode & 0777);
    return KRS_OK;
}

/* ---- size bound ---- */

typedef struct listed {
    char name[NAME_BYTES];
    struct timespec used;
    uint64_t bytes;
} listed;

static int
older_first(const void *a, const void *b)
{
    const struct timespec *x = &((const listed *)a)->used;
    const struct timespec *y = &((const listed *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* All entries with their total; temporary files left by dead processes are
 * removed on the way. */
static listed *
list_entries(krsi_cache *cache, size_t *out_count, uint64_t *out_bytes)
{
    listed *all = NULL;
    size_t room = 0, count = 0;
    int copy = openat(cache->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    struct stat info;
    *out_bytes = 0;
    if (!dir && copy >= 0)
        close(copy);
    while (dir && (entry = readdir(dir))) {
        const char *name = entry->d_name;
        if (strlen(name) >= NAME_BYTES ||
            fstatat(cache->folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(info.st_mode))
            continue;
        if (strncmp(name, "tmp-", 4) == 0 &&
            info.st_mtime < time(NULL) - STALE_SECONDS)
            unlinkat(cache->folder, name, 0);
        if (!strstr(name, ".blob") ||
            !krsi_reserve(&all, &room, count + 1, sizeof *all))
            continue;
        all[count] =
            (listed){.used = info.st_mtim, .bytes = (uint64_t)info.st_size};
        strcpy(all[count++].name, name);
        *out_bytes += (uint64_t)info.st_size;
    }
    if (dir)
        closedir(dir);
    *out_count = count;
    return all;
}

static void
trim(krsi_cache *cache)
{
    size_t count;
    uint64_t bytes;
    if (!cache->max_bytes)
        return;
    listed *all = list_entries(cache, &count, &bytes);
    if (all && bytes > cache->max_bytes)
        qsort(all, count, sizeof *all, older_first);
    for (size_t i = 0; i < count && bytes > cache->max_bytes; i++) {
        unlinkat(cache->folder, all[i].name, 0);
        bytes -= all[i].bytes;
    }
    free(all);
}

krs_status
krsi_cache_open(const char *folder, uint64_t max_bytes,
                krsi_cache_warning *warning, void *context, krsi_cache **out,
                krs_error *err)
{
    krsi_cache *cache = calloc(1, sizeof *cache);
    *out = NULL;
    if (cache)
        cache->name = strdup(folder);
    if (!cache || !cache->name) {
        free(cache);
        return krs_fail(err, KRS_E_MEMORY, "cache %s: no memory", folder);
    }
    cache->folder = -1;
    cache->max_bytes = max_bytes;
    cache->warning = warning;
    cache->context = context;
    krs_status status = *folder ? open_folder(cache, err)
                                : krs_fail(err, KRS_E_IO,
                                           "cache: the name of the folder is "
                                           "empty");
    if (status != KRS_OK) {
        krsi_cache_close(cache);
        return status;
    }
    trim(cache);
    *out = cache;
    return KRS_OK;
}

void
krsi_cache_close(krsi_cache *cache)
{
    if (!cache)
        return;
    if (cache->folder >= 0)
        close(cache->folder);
    free(cache->name);
    free(cache);
}

/* ---- entries ---- */

static void
make_key(const krs_kernel *kernel, const char *target, uint64_t key[2])
{
    uint64_t numbers[7] = {0, 0, krs_backend_abi()};
    krs_kernel_hash(kernel, numbers);
    XXH128_hash_t hash = XXH3_128bits(target, strlen(target));
    numbers[3] = hash.low64;
    numbers[4] = hash.high64;
    hash = XXH3_128bits(KRS_VERSION, sizeof KRS_VERSION);
    numbers[5] = hash.low64;
    numbers[6] = hash.high64;
    hash = XXH3_128bits(numbers, sizeof numbers);
    key[0] = hash.low64;
    key[1] = hash.high64;
}

static void
name_entry(const uint64_t key[2], char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%016" PRIx64 "%016" PRIx64 ".blob", key[1],
             key[0]);
}

static void
set_checksum(entry_header *header, const void *data, size_t bytes)
{
    XXH128_hash_t hash = XXH3_128bits(data, bytes);
    header->checksum[0] = hash.low64;
    header->checksum[1] = hash.high64;
}

static bool
read_all(int file, void *data, size_t bytes)
{
    unsigned char *at = data;
    while (bytes > 0) {
        ssize_t got = read(file, at, bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool
write_all(int file, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    while (bytes > 0) {
        ssize_t done = write(file, at, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        bytes -= (size_t)done;
    }
    return true;
}

/* Why an open file is not believed, or NULL with its header read. */
static const char *
distrust(int file, const uint64_t key[2], entry_header *header)
{
    struct stat info;
    if (fstat(file, &info) != 0)
        return "cannot be examined";
    if (!S_ISREG(info.st_mode))
        return "is no plain file";
    if (info.st_uid != geteuid())
        return "belongs to another user";
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return "can be written by others";
    if (!read_all(file, header, sizeof *header))
        return "is truncated";
    if (memcmp(header->magic, magic, sizeof magic) != 0)
        return "has not the form of an entry";
    if (memcmp(header->key, key, sizeof header->key) != 0)
        return "belongs to another kernel or target";
    if (header->bytes > MAX_BLOB_BYTES ||
        (uint64_t)info.st_size != sizeof *header + header->bytes)
        return "is truncated or too long";
    return NULL;
}

static const char *
read_entry(krsi_cache *cache, int file, const uint64_t key[2],
           krs_backend_blob *out)
{
    entry_header header, computed;
    const char *fault = distrust(file, key, &header);
    if (fault)
        return fault;
    size_t bytes = (size_t)header.bytes;
    void *data = malloc(bytes ? bytes : 1);
    if (!data)
        return "does not fit into memory";
    if (read_all(file, data, bytes)) {
        set_checksum(&computed, data, bytes);
        if (memcmp(computed.checksum, header.checksum,
                   sizeof header.checksum) == 0) {
            if (cache->max_bytes)
                futimens(file, NULL); /* used now: not among the oldest */
            *out = (krs_backend_blob){data, bytes};
            return NULL;
        }
    }
    free(data);
    return "is damaged";
}

bool
krsi_cache_find(krsi_cache *cache, const krs_kernel *kernel, const char *target,
                krs_backend_blob *out)
{
    uint64_t key[2];
    char name[NAME_BYTES];
    const char *fault;
    *out = (krs_backend_blob){0};
    make_key(kernel, target, key);
    name_entry(key, name);
    int file = openat(cache->folder, name,
                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 && errno == ENOENT)
        return false;
    if (file < 0) {
        fault = "cannot be opened";
    } else {
        fault = read_entry(cache, file, key, out);
        close(file);
    }
    if (fault)
        krsi_cache_warn(cache, "%s %s; the kernel %s is compiled again", name,
                        fault, kernel->name);
    return !fault;
}

static bool
write_entry(krsi_cache *cache, const char *name, const entry_header *header,
            const krs_backend_blob *blob)
{
    int file =
        openat(cache->folder, name,
               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return false;
    bool good = write_all(file, header, sizeof *header) &&
                write_all(file, blob->data, blob->bytes);
    return close(file) == 0 && good;
}

void
krsi_cache_store(krsi_cache *cache, const krs_kernel *kernel,
                 const char *target, const krs_backend_blob *blob)
{
    entry_header header = {.bytes = blob->bytes};
    char name[NAME_BYTES], temporary[NAME_BYTES];
    if (blob->bytes > MAX_BLOB_BYTES)
        return;
    memcpy(header.magic, magic, sizeof magic);
    make_key(kernel, target, header.key);
    set_checksum(&header, blob->data, blob->bytes);
    name_entry(header.key, name);
    snprintf(temporary, sizeof temporary, "tmp-%ld-%d-%u-%08" PRIx32,
             (long)getpid(), cache->folder, atomic_fetch_add(&cache->stored, 1),
             (uint32_t)header.key[0]);
    unlinkat(cache->folder, temporary, 0); /* of a dead process of our number */
    if (!write_entry(cache, temporary, &header, blob) ||
        renameat(cache->folder, temporary, cache->folder, name) != 0) {
        const char *reason = strerror(errno);
        if (!atomic_exchange(&cache->is_told, true))
            krsi_cache_warn(cache,
                            "the kernel %s cannot be stored: %s; of others "
                            "that cannot be either nothing is said",
                            kernel->name, reason);
        unlinkat(cache->folder, temporary, 0);
        return;
    }
    atomic_store(&cache->is_told, false);
    trim(cache);
}
