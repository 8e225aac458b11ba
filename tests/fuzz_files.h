/* fuzz_files.h -- one input of a fuzzer of file readers. */
#ifndef TESTS_FUZZ_FILES_H
#define TESTS_FUZZ_FILES_H

#include <stddef.h>
#include <stdint.h>

/* The readers, and the folder of each in tests/corpus. */
#define FUZZ_KIND_LIST(X)       \
    X(SAFETENSORS, safetensors) \
    X(GGUF, gguf)               \
    X(NPY, npy)                 \
    X(CONFIG, config)           \
    X(TOKENIZER, tokenizer)     \
    X(PIECES, pieces)           \
    X(TEXT, text)

enum fuzz_kind {
#define FUZZ_ENUM(NAME, name) FUZZ_##NAME,
    FUZZ_KIND_LIST(FUZZ_ENUM)
#undef FUZZ_ENUM
        FUZZ_KINDS
};

/* Opens the bytes as a file; what is accepted must be sound, or it traps. */
void fuzz_file(enum fuzz_kind kind, const uint8_t *data, size_t bytes);

/* fuzz_text.c: those that are about tokenizers */
void fuzz_tokenizer(const uint8_t *data, size_t bytes);
void fuzz_pieces(const uint8_t *data, size_t bytes);
void fuzz_text(const uint8_t *data, size_t bytes);

#endif
