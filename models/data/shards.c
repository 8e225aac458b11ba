/* shards.c -- token ids into files without a header (corpus.h).
 *
 * In: ids, any number at a time. Out: files of a fixed number of ids, the last
 * one shorter, each written when it is full, whole or not at all
 * (file_write.c). In memory is one shard.
 */
#include "../load/file_write.h"

#include <krs/corpus.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct krs_shards {
    char *path; /* room for prefix and number */
    size_t prefix_bytes;
    krs_token_kind kind;
    size_t tokens, used; /* of a shard */
    size_t files;
    unsigned char *bytes; /* [tokens * size] */
};

/* bytes of an id and the largest one; 0 for no kind */
static size_t
size_of(krs_token_kind kind, int64_t *most)
{
    switch (kind) {
    case KRS_TOKENS_BYTES: *most = UINT8_MAX; return 1;
    case KRS_TOKENS_U16: *most = UINT16_MAX; return 2;
    case KRS_TOKENS_I32: *most = INT32_MAX; return 4;
    }
    return 0;
}

krs_status
krs_shards_open(const char *prefix, krs_token_kind kind, size_t tokens,
                krs_shards **out, krs_error *err)
{
    int64_t most;
    size_t size = size_of(kind, &most), bytes;
    if (size == 0 || tokens == 0 ||
        __builtin_mul_overflow(tokens, size, &bytes))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: shards: %zu ids a file of kind %d make no files",
                        prefix, tokens, (int)kind);
    krs_shards *s = calloc(1, sizeof *s);
    size_t prefix_bytes = strlen(prefix);
    if (s) {
        s->path = malloc(prefix_bytes + 32);
        s->bytes = malloc(bytes);
    }
    if (!s || !s->path || !s->bytes) {
        if (s) {
            free(s->path);
            free(s->bytes);
        }
        free(s);
        return krs_fail(err, KRS_E_MEMORY,
                        "%s: out of memory for shards of %zu bytes", prefix,
                        bytes);
    }
    memcpy(s->path, prefix, prefix_bytes);
    s->prefix_bytes = prefix_bytes;
    s->kind = kind;
    s->tokens = tokens;
    *out = s;
    return KRS_OK;
}

static krs_status
write_shard(krs_shards *s, krs_error *err)
{
    int64_t most;
    snprintf(s->path + s->prefix_bytes, 32, "-%05zu.bin", s->files);
    KRS_TRY(krsi_file_write(s->path, s->bytes,
                            s->used * size_of(s->kind, &most), err));
    s->files++;
    s->used = 0;
    return KRS_OK;
}

krs_status
krs_shards_add(krs_shards *s, const int64_t *ids, size_t count, krs_error *err)
{
    int64_t most = 0;
    size_t size = size_of(s->kind, &most);
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] > most)
            return krs_fail(err, KRS_E_RANGE,
                            "%.*s: shards: id %zu is %lld, expected 0 to %lld",
                            (int)s->prefix_bytes, s->path, i, (long long)ids[i],
                            (long long)most);
    for (size_t i = 0; i < count; i++) {
        if (s->used == s->tokens)
            KRS_TRY(write_shard(s, err));
        memcpy(s->bytes + s->used++ * size, &ids[i], size);
    }
    return KRS_OK;
}

krs_status
krs_shards_close(krs_shards *s, size_t *out_files, krs_error *err)
{
    krs_status status = s->used > 0 ? write_shard(s, err) : KRS_OK;
    if (out_files)
        *out_files = s->files;
    free(s->path);
    free(s->bytes);
    free(s);
    return status;
}
