/* fuzz_files.c -- libFuzzer targets for the readers of safetensors, GGUF, .npy
 * and .npz, and config.json.
 *
 *     tools/fuzz 600 gguf
 *
 * builds and runs one for 600 seconds. What a reader accepts must be sound:
 * tensors that are found by name, whose sizes agree, whose elements can be read
 * in any part, described and written again to the same tensors. A trap is a
 * finding. test_fuzz_files.c runs the inputs of tests/corpus.
 */
#include "fuzz_files.h"

#include <krs/gguf.h>
#include <krs/llama.h>
#include <krs/weights.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ELEMENTS = 600, TENSORS = 40 };

static void
require(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static bool
count_line(void *user, const char *line)
{
    require(strchr(line, '\n') == NULL);
    ++*(size_t *)user;
    return true;
}

/* A tensor whole or its first elements, and a part of these once more. */
static void
read_tensor(const krs_weights *w, size_t i)
{
    const krs_weight *t = krs_weights_at(w, i);
    float whole[ELEMENTS], part[ELEMENTS];
    int64_t n = t->count < ELEMENTS ? t->count : ELEMENTS;
    if (!krs_stored_converts(t->stored, KRS_F32) ||
        krs_weights_read_part(w, i, 0, n, KRS_F32, whole,
                              (size_t)n * sizeof *whole, NULL) != KRS_OK)
        return;
    int64_t first = n / 3, count = n / 2;
    require(krs_weights_read_part(w, i, first, count, KRS_F32, part,
                                  (size_t)count * sizeof *part,
                                  NULL) == KRS_OK);
    require(memcmp(part, whole + first, (size_t)count * sizeof *part) == 0);
}

static void
check_weights(const krs_weights *w)
{
    krs_describe_options options = {.struct_size = sizeof options,
                                    .format = KRS_DESCRIBE_JSON};
    size_t lines = 0, count = krs_weights_count(w);
    for (size_t i = 0; i < count && i < TENSORS; i++) {
        const krs_weight *t = krs_weights_at(w, i);
        int64_t elements = 1;
        require(krs_weights_find(w, t->name) == (int64_t)i);
        for (int a = 0; a < t->rank; a++)
            elements *= t->shape[a];
        require(elements == t->count);
        require((uint64_t)t->count / krs_stored_elements(t->stored) *
                    krs_stored_bytes(t->stored) ==
                t->bytes);
        read_tensor(w, i);
    }
    if (krs_weights_describe(w, &options, count_line, &lines, NULL) == KRS_OK)
        require(lines >= 7);
}

/* Written as safetensors it has the same tensors; what has other types or
 * cannot be read to its end is left out. */
static void
write_again(const krs_weights *w)
{
    char path[64];
    krs_convert_options options = {.struct_size = sizeof options,
                                   .format = KRS_WEIGHTS_SAFETENSORS};
    krs_weights *back;
    size_t lines = 0, differing;
    if (krs_weights_count(w) > TENSORS)
        return;
    snprintf(path, sizeof path, "/dev/shm/kersey-fuzz-%ld", (long)getpid());
    if (krs_weights_convert(w, path, &options, NULL) == KRS_OK &&
        krs_weights_gguf(w) == NULL) {
        require(krs_weights_open(path, &back, NULL) == KRS_OK);
        require(krs_weights_diff(w, back, count_line, &lines, &differing,
                                 NULL) == KRS_OK);
        require(differing == 0);
        krs_weights_close(back);
    }
    unlink(path);
}

static void
check_gguf(const char *path, const krs_weights *w)
{
    krs_gguf_tokenizer t;
    krs_llama_config config;
    krs_weights *llama;
    if (krs_gguf_read_tokenizer(krs_weights_gguf(w), &t, NULL) == KRS_OK) {
        require(t.token_count > 0 && t.model != NULL);
        for (size_t i = 0; i < t.token_count; i++)
            require(t.tokens[i].text[t.tokens[i].bytes] == 0);
    }
    if (krs_llama_weights(path, &config, &llama, NULL) == KRS_OK) {
        require(krs_llama_check(&config, NULL) == KRS_OK);
        check_weights(llama);
        krs_weights_close(llama);
    }
}

static void
fuzz_weights(const uint8_t *data, size_t bytes)
{
    char path[64];
    krs_weights *w;
    snprintf(path, sizeof path, "/dev/shm/kersey-fuzz-in-%ld", (long)getpid());
    FILE *file = fopen(path, "wb");
    require(file && fwrite(data, 1, bytes, file) == bytes);
    fclose(file);
    if (krs_weights_open(path, &w, NULL) == KRS_OK) {
        check_weights(w);
        write_again(w);
        if (krs_weights_gguf(w))
            check_gguf(path, w);
        krs_weights_close(w);
    }
    unlink(path);
}

static void
fuzz_config(const uint8_t *data, size_t bytes)
{
    krs_llama_config config;
    if (krs_llama_config_parse("config.json", (const char *)data, bytes,
                               &config, NULL) == KRS_OK)
        require(krs_llama_check(&config, NULL) == KRS_OK);
}

void
fuzz_file(enum fuzz_kind kind, const uint8_t *data, size_t bytes)
{
    switch (kind) {
    case FUZZ_SAFETENSORS:
    case FUZZ_GGUF:
    case FUZZ_NPY: fuzz_weights(data, bytes); break;
    case FUZZ_CONFIG: fuzz_config(data, bytes); break;
    case FUZZ_TOKENIZER: fuzz_tokenizer(data, bytes); break;
    case FUZZ_PIECES: fuzz_pieces(data, bytes); break;
    case FUZZ_TEXT: fuzz_text(data, bytes); break;
    case FUZZ_KINDS: break;
    }
}

#ifdef FUZZ_KIND
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_file(FUZZ_KIND, data, bytes);
    return 0;
}
#endif
