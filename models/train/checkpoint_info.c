/* checkpoint_info.c -- trainer.json: what a checkpoint was, and that its files
 * are the ones that were written.
 *
 * In: a krs_checkpoint_info and the names of the files beside it. Out: strict
 * JSON with every setting, and for each file its size and XXH3-128 hash.
 * Reading checks format, version, every setting's type and range, then size
 * and hash of every file: a flipped bit in a weight is found here, where a
 * safetensors header alone would not show it.
 *
 * The settings of the optimizer are one table of fields, used both ways. 64-bit
 * unsigned values are hexadecimal strings, since JSON numbers are not exact.
 */
#include "trainer.h"

#include "../load/file_read.h"
#include "../load/file_write.h"
#include "../load/json_file.h"
#include "../load/path.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define FORMAT_NAME    "kersey-checkpoint"
#define FORMAT_VERSION 1
#define HASH_TEXT      33 /* 128 bits in hexadecimal */
#define QUOTED         64 /* bytes of a text in a message */

/* ---- flushing ---- */

krs_status
krsi_flush_path(const char *path, krs_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (!failed)
        return KRS_OK;
    return krs_fail(err, KRS_E_IO, "%s: cannot be flushed to the disk: %s",
                    path, strerror(error));
}

/* ---- hashes ---- */

static void
hash_text(const XXH3_state_t *state, char out[HASH_TEXT])
{
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    snprintf(out, HASH_TEXT, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

/* Size and hash of a file, read in pieces. */
static krs_status
hash_file(const char *path, uint64_t *out_bytes, char out[HASH_TEXT],
          krs_error *err)
{
    krsi_file file = {0};
    KRS_TRY(krsi_file_open(path, UINT64_MAX, &file, err));
    XXH3_state_t *state = XXH3_createState();
    unsigned char piece[16384];
    krs_status status = KRS_OK;
    if (!state)
        status = krs_fail(err, KRS_E_MEMORY, "%s: no memory to hash it", path);
    else
        XXH3_128bits_reset(state);
    for (uint64_t at = 0; status == KRS_OK && at < file.bytes;) {
        uint64_t left = file.bytes - at;
        size_t bytes = left < sizeof piece ? (size_t)left : sizeof piece;
        status = krsi_file_read(&file, at, piece, bytes, err);
        if (status == KRS_OK)
            XXH3_128bits_update(state, piece, bytes);
        at += bytes;
    }
    if (status == KRS_OK)
        hash_text(state, out);
    *out_bytes = file.bytes;
    XXH3_freeState(state);
    krsi_file_close(&file);
    return status;
}

/* ---- the optimizer's settings, one row a field ---- */

typedef enum field_kind { FIELD_INT, FIELD_INT64, FIELD_DOUBLE } field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset; /* in krs_optimizer */
} field;

#define FIELD(kind, name, member)                           \
    {                                                       \
        name, FIELD_##kind, offsetof(krs_optimizer, member) \
    }
static const field fields[] = {
    FIELD(DOUBLE, "learning_rate", learning_rate),
    FIELD(DOUBLE, "beta1", beta1),
    FIELD(DOUBLE, "beta2", beta2),
    FIELD(DOUBLE, "eps", eps),
    FIELD(DOUBLE, "momentum", momentum),
    FIELD(DOUBLE, "dampening", dampening),
    FIELD(DOUBLE, "weight_decay", weight_decay),
    FIELD(INT, "decay_min_rank", decay_min_rank),
    FIELD(DOUBLE, "max_grad_norm", max_grad_norm),
    FIELD(INT64, "warmup_steps", schedule.warmup_steps),
    FIELD(INT64, "warmup_offset", schedule.warmup_offset),
    FIELD(INT64, "total_steps", schedule.total_steps),
    FIELD(INT64, "stable_steps", schedule.stable_steps),
    FIELD(DOUBLE, "min_ratio", schedule.min_ratio),
    FIELD(DOUBLE, "power", schedule.power),
    FIELD(DOUBLE, "model_size", schedule.model_size),
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)

static json_t *
optimizer_to_json(const krs_optimizer *o)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:b}", "kind", krs_optimizer_name(o->kind), "schedule",
        krs_schedule_name(o->schedule.kind), "nesterov", o->nesterov);
    for (size_t i = 0; object && i < FIELD_COUNT; i++) {
        const char *at = (const char *)o + fields[i].offset;
        json_t *value = NULL;
        switch (fields[i].kind) {
        case FIELD_INT: value = json_integer(*(const int *)at); break;
        case FIELD_INT64: value = json_integer(*(const int64_t *)at); break;
        case FIELD_DOUBLE: value = json_real(*(const double *)at); break;
        }
        if (json_object_set_new(object, fields[i].name, value)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static krs_status
optimizer_from_json(const krsi_json *object, krs_optimizer *o, krs_error *err)
{
    *o = krs_optimizer_default();
    krsi_json member;
    const char *name;
    KRS_TRY(krsi_json_string(object, "kind", &name, err));
    KRS_TRY(krsi_json_member(object, "kind", &member, err));
    char quoted[QUOTED];
    if (!krs_optimizer_parse(name, &o->kind))
        return krsi_json_wrong(&member, err, "no optimizer is called %s",
                               krsi_json_quote(name, quoted, sizeof quoted));
    KRS_TRY(krsi_json_string(object, "schedule", &name, err));
    KRS_TRY(krsi_json_member(object, "schedule", &member, err));
    if (!krs_schedule_parse(name, &o->schedule.kind))
        return krsi_json_wrong(&member, err, "no schedule is called %s",
                               krsi_json_quote(name, quoted, sizeof quoted));
    KRS_TRY(krsi_json_bool(object, "nesterov", &o->nesterov, err));
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        char *at = (char *)o + fields[i].offset;
        const char *key = fields[i].name;
        int64_t value = 0;
        switch (fields[i].kind) {
        case FIELD_DOUBLE:
            KRS_TRY(krsi_json_double(object, key, KRSI_NOT_NEGATIVE,
                                     (double *)at, err));
            break;
        case FIELD_INT64:
            KRS_TRY(krsi_json_int(object, key, 0, INT64_MAX / 2, (int64_t *)at,
                                  err));
            break;
        case FIELD_INT:
            KRS_TRY(
                krsi_json_int(object, key, 0, KRS_MAX_RANK + 1, &value, err));
            *(int *)at = (int)value;
            break;
        }
    }
    return KRS_OK;
}

/* ---- writing ---- */

static json_t *
hexadecimal(uint64_t value)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)value);
    return json_string(text);
}

static json_t *
info_to_json(const krs_checkpoint_info *info)
{
    return json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:o}",
                     "format", FORMAT_NAME, "version", FORMAT_VERSION, "step",
                     (json_int_t)info->step, "tokens", (json_int_t)info->tokens,
                     "batch", (json_int_t)info->batch, "time",
                     (json_int_t)info->time, "seed", hexadecimal(info->seed),
                     "fingerprint", hexadecimal(info->fingerprint),
                     "metrics_bytes", (json_int_t)info->metrics_bytes,
                     "optimizer", optimizer_to_json(&info->optimizer));
}

static krs_status
list_files(json_t *list, const char *folder, const char *const *files,
           size_t count, krs_error *err)
{
    for (size_t i = 0; i < count; i++) {
        char *path, hash[HASH_TEXT];
        uint64_t bytes;
        KRS_TRY(krsi_path(&path, err, "%s/%s", folder, files[i]));
        krs_status status = hash_file(path, &bytes, hash, err);
        free(path);
        KRS_TRY(status);
        json_t *row = json_pack("{s:I, s:s}", "bytes", (json_int_t)bytes,
                                "xxh3_128", hash);
        if (json_object_set_new(list, files[i], row))
            return krs_fail(err, KRS_E_MEMORY, "%s: no memory to describe it",
                            folder);
    }
    return KRS_OK;
}

static krs_status
write_json(const json_t *root, const char *path, krs_error *err)
{
    size_t bytes;
    char *text = krsi_json_print(root, JSON_INDENT(2), &bytes);
    if (!text)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory for its text", path);
    krs_status status = krsi_file_write(path, text, bytes, err);
    free(text);
    return status;
}

krs_status
krsi_checkpoint_describe(const krs_checkpoint_info *info, const char *folder,
                         const char *const *files, size_t count, krs_error *err)
{
    json_t *root = info_to_json(info);
    json_t *list = json_object();
    char *path = NULL;
    krs_status status = KRS_OK;
    if (!root || !list)
        status =
            krs_fail(err, KRS_E_MEMORY, "%s: no memory to describe it", folder);
    if (status == KRS_OK)
        status = list_files(list, folder, files, count, err);
    if (status == KRS_OK && json_object_set(root, "files", list))
        status =
            krs_fail(err, KRS_E_MEMORY, "%s: no memory to describe it", folder);
    if (status == KRS_OK)
        status = krsi_path(&path, err, "%s/%s", folder, KRSI_TRAINER_FILE);
    if (status == KRS_OK)
        status = write_json(root, path, err);
    free(path);
    json_decref(list);
    json_decref(root);
    return status;
}

/* ---- reading ---- */

static krs_status
read_hexadecimal(const krsi_json *object, const char *key, uint64_t *out,
                 krs_error *err)
{
    const char *text;
    char quoted[QUOTED];
    krsi_json member;
    KRS_TRY(krsi_json_string(object, key, &text, err));
    KRS_TRY(krsi_json_member(object, key, &member, err));
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return krsi_json_wrong(
            &member, err, "expected 16 lower-case hexadecimal digits, found %s",
            krsi_json_quote(text, quoted, sizeof quoted));
    *out = strtoull(text, NULL, 16);
    return KRS_OK;
}

static krs_status
read_info(const krsi_json *root, krs_checkpoint_info *info, krs_error *err)
{
    krsi_json optimizer;
    KRS_TRY(krsi_json_int(root, "step", 0, INT64_MAX / 2, &info->step, err));
    KRS_TRY(
        krsi_json_int(root, "tokens", 0, INT64_MAX / 2, &info->tokens, err));
    KRS_TRY(krsi_json_int(root, "batch", 1, INT32_MAX, &info->batch, err));
    KRS_TRY(krsi_json_int(root, "time", 1, INT32_MAX, &info->time, err));
    KRS_TRY(read_hexadecimal(root, "seed", &info->seed, err));
    KRS_TRY(read_hexadecimal(root, "fingerprint", &info->fingerprint, err));
    KRS_TRY(krsi_json_int(root, "metrics_bytes", 0, INT64_MAX / 2,
                          &info->metrics_bytes, err));
    KRS_TRY(krsi_json_object(root, "optimizer", &optimizer, err));
    return optimizer_from_json(&optimizer, &info->optimizer, err);
}

/* One row of "files": the file is there, as long and as it was. */
static krs_status
check_file(const char *folder, const char *name, const krsi_json *row,
           krs_error *err)
{
    int64_t want_bytes;
    const char *want_hash;
    if (strchr(name, '/') || name[0] == '.')
        return krsi_json_wrong(row, err,
                               "the name of a checkpoint's file has no folder, "
                               "and no dot in front");
    KRS_TRY(krsi_json_int(row, "bytes", 0, INT64_MAX, &want_bytes, err));
    KRS_TRY(krsi_json_string(row, "xxh3_128", &want_hash, err));
    char *path, hash[HASH_TEXT] = "";
    uint64_t bytes;
    KRS_TRY(krsi_path(&path, err, "%s/%s", folder, name));
    krs_status status = hash_file(path, &bytes, hash, err);
    if (status == KRS_OK && bytes != (uint64_t)want_bytes)
        status = krs_fail(err, KRS_E_FORMAT,
                          "%s: the checkpoint is damaged: %llu bytes, where "
                          "%s says %lld",
                          path, (unsigned long long)bytes, KRSI_TRAINER_FILE,
                          (long long)want_bytes);
    else if (status == KRS_OK && strcmp(hash, want_hash))
        status = krs_fail(err, KRS_E_FORMAT,
                          "%s: the checkpoint is damaged: the content has the "
                          "hash %s, where %s says %.40s",
                          path, hash, KRSI_TRAINER_FILE, want_hash);
    free(path);
    return status;
}

static krs_status
check_files(const char *folder, const krsi_json *root, krs_error *err)
{
    krsi_json files, row;
    KRS_TRY(krsi_json_object(root, "files", &files, err));
    if (krsi_json_count(&files) < 2 ||
        krsi_json_count(&files) > KRSI_CHECKPOINT_FILES)
        return krsi_json_wrong(&files, err, "expected 2 to %d files, found %zu",
                               KRSI_CHECKPOINT_FILES, krsi_json_count(&files));
    void *cursor = NULL;
    const char *name;
    while (krsi_json_each(&files, &cursor, &name, &row))
        KRS_TRY(check_file(folder, name, &row, err));
    return KRS_OK;
}

static krs_status
read_all(const char *folder, const krsi_json *root, krs_checkpoint_info *out,
         krs_error *err)
{
    const char *format;
    char quoted[QUOTED];
    int64_t version;
    krsi_json member;
    KRS_TRY(krsi_json_string(root, "format", &format, err));
    KRS_TRY(krsi_json_member(root, "format", &member, err));
    if (strcmp(format, FORMAT_NAME))
        return krsi_json_wrong(&member, err,
                               "expected \"" FORMAT_NAME "\", found %s; this "
                               "may not be a checkpoint",
                               krsi_json_quote(format, quoted, sizeof quoted));
    KRS_TRY(krsi_json_int(root, "version", 0, INT32_MAX, &version, err));
    KRS_TRY(krsi_json_member(root, "version", &member, err));
    if (version != FORMAT_VERSION)
        return krsi_json_wrong(&member, err,
                               "expected %d, found %lld; it may be of a newer "
                               "Kersey",
                               FORMAT_VERSION, (long long)version);
    KRS_TRY(read_info(root, out, err));
    return check_files(folder, root, err);
}

krs_status
krs_checkpoint_read(const char *folder, krs_checkpoint_info *out,
                    krs_error *err)
{
    char *path;
    krsi_json_file *file;
    if (folder == NULL || out == NULL)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "checkpoint: the folder or out is NULL");
    *out = (krs_checkpoint_info){0};
    KRS_TRY(krsi_path(&path, err, "%s/%s", folder, KRSI_TRAINER_FILE));
    krs_status status = krsi_json_open(path, &file, err);
    free(path);
    KRS_TRY(status);
    krsi_json root = krsi_json_root(file);
    status = read_all(folder, &root, out, err);
    krsi_json_close(file);
    return status;
}
