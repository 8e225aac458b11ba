/* test_fuzz_files.c -- the inputs of tests/corpus once more: what the fuzzers
 * of fuzz_files.c found worth keeping, and the honest files they began with.
 */
#include "fuzz_files.h"
#include "suite.h"

#include <dirent.h>
#include <stdio.h>

static size_t
replay(enum fuzz_kind kind, const char *name)
{
    char path[1024], bytes[65536];
    size_t count = 0;
    snprintf(path, sizeof path, TESTS_DIR "/corpus/%s", name);
    DIR *folder = opendir(path);
    ck_assert_msg(folder != NULL, "%s", path);
    for (const struct dirent *e; (e = readdir(folder)); count++) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, TESTS_DIR "/corpus/%s/%s", name, e->d_name);
        FILE *file = fopen(path, "rb");
        ck_assert_msg(file != NULL, "%s", path);
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        fuzz_file(kind, (const uint8_t *)bytes, size);
    }
    closedir(folder);
    return count;
}

#define REPLAY(NAME, name)                                 \
    START_TEST(the_corpus_of_##name##_is_handled)          \
    {                                                      \
        ck_assert_uint_ge(replay(FUZZ_##NAME, #name), 10); \
    }                                                      \
    END_TEST
FUZZ_KIND_LIST(REPLAY)
#undef REPLAY

SUITE(the_corpus_of_safetensors_is_handled, the_corpus_of_gguf_is_handled,
      the_corpus_of_npy_is_handled, the_corpus_of_config_is_handled,
      the_corpus_of_tokenizer_is_handled, the_corpus_of_pieces_is_handled,
      the_corpus_of_text_is_handled)
