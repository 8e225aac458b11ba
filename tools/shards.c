/* shards.c -- token ids in numbered files, on their way out and in.
 *
 * In: documents and a tokenizer, or the first of the files. Out: the files
 * PREFIX-00000.bin, PREFIX-00001.bin ..., or their ids in windows. Ids are
 * uint16 where all of a vocabulary are, else int32; nothing in the files says
 * so, and nothing says how many files there are, so that one more than were
 * written is refused: it is of another run.
 */
#include "shards.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MB    100
#define NUMBER_BYTES  9 /* "00000.bin" */
#define MOST_DOCUMENT ((size_t)1 << 30)

krs_token_kind
shard_kind(int64_t vocabulary)
{
    return vocabulary <= UINT16_MAX + 1 ? KRS_TOKENS_U16 : KRS_TOKENS_I32;
}

static krs_status
refuse_more(const char *prefix, size_t files, krs_error *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s-%05zu.bin", prefix, files);
    if (access(path, F_OK) != 0)
        return KRS_OK;
    return krs_fail(err, KRS_E_NAME,
                    "%s: is there already, behind the %zu files that were "
                    "written, and would be read with them; remove it",
                    path, files);
}

krs_status
write_shards(const krs_tokenizer *t, const struct flags *f, krs_error *err)
{
    const krs_corpus_options documents = {.struct_size = sizeof documents,
                                          .most_document_bytes = MOST_DOCUMENT};
    krs_token_kind kind = shard_kind((int64_t)krs_tokenizer_size(t));
    int64_t mb = f->shard_mb > 0 ? f->shard_mb : DEFAULT_MB;
    size_t files, tokens;
    krs_shards *shards;
    if (__builtin_mul_overflow((size_t)mb, (size_t)1000000, &tokens))
        return krs_fail(err, KRS_E_ARGUMENT, "--shard-mb %lld is too much",
                        (long long)mb);
    tokens /= kind == KRS_TOKENS_U16 ? 2 : 4;
    KRS_TRY(krs_shards_open(f->shards, kind, tokens, &shards, err));
    krs_status status =
        krs_shards_encode(shards, &f->data, 1, t, &documents, err);
    krs_error last;
    krs_status closed = krs_shards_close(shards, &files, &last);
    KRS_TRY(status);
    if (closed != KRS_OK)
        return krs_fail(err, closed, "%s", last.text);
    talk("%zu files of %s", files, kind == KRS_TOKENS_U16 ? "uint16" : "int32");
    return refuse_more(f->shards, files, err);
}

bool
is_shard(const char *path)
{
    size_t bytes = strlen(path);
    return bytes > 4 && !strcmp(path + bytes - 4, ".bin");
}

/* How many files there are: 1, or the numbered ones. */
static size_t
count_files(const char *path, size_t stem)
{
    char next[PATH_BYTES];
    size_t count = 1;
    if (stem == 0 || strcmp(path + stem, "00000.bin") != 0)
        return 1;
    do
        snprintf(next, sizeof next, "%.*s%05zu.bin", (int)stem, path, count);
    while (access(next, F_OK) == 0 && ++count < 100000);
    return count;
}

krs_status
open_shards(const char *path, int64_t vocabulary,
            const krs_data_options *options, krs_data **out, krs_error *err)
{
    size_t bytes = strlen(path);
    size_t stem = bytes > NUMBER_BYTES ? bytes - NUMBER_BYTES : 0;
    if (bytes >= PATH_BYTES)
        return krs_fail(err, KRS_E_ARGUMENT, "--data: the path is too long");
    size_t count = count_files(path, stem);
    char *names = calloc(count, bytes + 1);
    const char **paths = calloc(count, sizeof *paths);
    krs_status status = KRS_OK;
    if (!names || !paths)
        status = krs_fail(err, KRS_E_MEMORY, "no memory for %zu paths", count);
    for (size_t i = 0; status == KRS_OK && i < count; i++) {
        char *name = names + i * (bytes + 1);
        if (count == 1)
            memcpy(name, path, bytes);
        else
            snprintf(name, bytes + 1, "%.*s%05zu.bin", (int)stem, path, i);
        paths[i] = name;
    }
    if (status == KRS_OK)
        status = krs_data_open(paths, count, shard_kind(vocabulary), options,
                               out, err);
    free(paths);
    free(names);
    return status;
}
