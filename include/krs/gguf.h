/* gguf.h -- what a GGUF file says besides its tensors: settings, vocabulary,
 * chat template.
 *
 *     krs_gguf *g;
 *     KRS_TRY(krs_gguf_open("model.gguf", &g, err));
 *     krs_gguf_tokenizer t;
 *     status = krs_gguf_read_tokenizer(g, &t, err);
 *     for (size_t i = 0; i < t.token_count; i++)
 *         printf("%s\n", t.tokens[i].text);
 *     krs_gguf_close(g);
 *
 * The tensors are read through weights.h (krs_weights_open takes the file);
 * krs_llama_open takes a whole model. Versions 2 and 3, little-endian.
 *
 * Everything the header says is checked when it is opened; a refusal names
 * file and offset. What is handed out is borrowed and lives until the file is
 * closed.
 */
#ifndef KRS_GGUF_H
#define KRS_GGUF_H

#include <krs/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The types of values, in the order of their numbers in the file: NAME, name,
 * bytes of one (0: not of one size), kind. */
#define KRS_GGUF_TYPE_LIST(X) \
    X(U8, uint8, 1, UINT)     \
    X(I8, int8, 1, INT)       \
    X(U16, uint16, 2, UINT)   \
    X(I16, int16, 2, INT)     \
    X(U32, uint32, 4, UINT)   \
    X(I32, int32, 4, INT)     \
    X(F32, float32, 4, FLOAT) \
    X(BOOL, bool, 1, BOOL)    \
    X(TEXT, string, 0, TEXT)  \
    X(ARRAY, array, 0, ARRAY) \
    X(U64, uint64, 8, UINT)   \
    X(I64, int64, 8, INT)     \
    X(F64, float64, 8, FLOAT)

typedef enum krs_gguf_type {
#define KRS_GGUF_ENUM(NAME, name, bytes, kind) KRS_GGUF_##NAME,
    KRS_GGUF_TYPE_LIST(KRS_GGUF_ENUM)
#undef KRS_GGUF_ENUM
        KRS_GGUF_TYPE_COUNT
} krs_gguf_type;

KRS_API const char *krs_gguf_type_name(krs_gguf_type type); /* "uint32" */

/* A text of the file. Keys and names of tensors are UTF-8 without NUL; other
 * texts are any bytes. All have a NUL behind them. */
typedef struct krs_gguf_text {
    const char *text;
    size_t bytes; /* without the NUL behind it */
} krs_gguf_text;

/* A setting: one value, or an array of values of one type. */
typedef struct krs_gguf_value {
    const char *key;
    krs_gguf_type type; /* of the value or the items; never ARRAY */
    bool is_array;
    size_t count;     /* items; 1 if it is no array */
    const void *data; /* krs_gguf_text, bool or numbers [count], aligned */
    uint64_t at;      /* offset of the value in the file */
} krs_gguf_value;

/* Immutable after open; any number of threads may read. */
typedef struct krs_gguf krs_gguf;

/* krs_gguf_open(path, &g, err) -- read the header.
 * Errors     IO, MEMORY; FORMAT with file and offset; UNSUPPORTED for another
 *            version or byte order.
 * Cost       one pass over the header; memory of at most sixteen times its
 *            bytes. */
KRS_API krs_status krs_gguf_open(const char *path, krs_gguf **out,
                                 krs_error *err);
KRS_API void krs_gguf_close(krs_gguf *g); /* NULL is fine */

/* krs_weights_gguf(w) -- the header of an open GGUF file, borrowed from w;
 * NULL if w is of another format. */
KRS_API const krs_gguf *krs_weights_gguf(const krs_weights *w);

KRS_API const char *krs_gguf_path(const krs_gguf *g);
KRS_API uint32_t krs_gguf_version(const krs_gguf *g);

/* Settings in the order of their keys; NULL past the end, or if there is no
 * such key. */
KRS_API const krs_gguf_value *krs_gguf_at(const krs_gguf *g, size_t i);
KRS_API const krs_gguf_value *krs_gguf_find(const krs_gguf *g, const char *key);

/* ---- settings of a known type ----
 *
 * The plain forms fail with FORMAT if the key is absent, all of them if it has
 * another type or is out of range; the _or forms give `absent` for a key that
 * is not there. Any integer type is an integer, any float type a float. */
KRS_API krs_status krs_gguf_int(const krs_gguf *g, const char *key,
                                int64_t least, int64_t most, int64_t *out,
                                krs_error *err);
KRS_API krs_status krs_gguf_int_or(const krs_gguf *g, const char *key,
                                   int64_t least, int64_t most, int64_t absent,
                                   int64_t *out, krs_error *err);
KRS_API krs_status krs_gguf_double_or(const krs_gguf *g, const char *key,
                                      double absent, double *out,
                                      krs_error *err);
KRS_API krs_status krs_gguf_bool_or(const krs_gguf *g, const char *key,
                                    bool absent, bool *out, krs_error *err);
/* texts without NUL inside */
KRS_API krs_status krs_gguf_string_or(const krs_gguf *g, const char *key,
                                      const char *absent, const char **out,
                                      krs_error *err);

/* krs_gguf_array(g, key, type, &items, &count, err) -- an array of exactly
 * that type; NULL and 0 for a key that is not there. */
KRS_API krs_status krs_gguf_array(const krs_gguf *g, const char *key,
                                  krs_gguf_type type, const void **out,
                                  size_t *out_count, krs_error *err);

/* ---- the tokenizer ---- */

/* The keys tokenizer.*; what is not there is NULL, 0, or -1 for an id. */
typedef struct krs_gguf_tokenizer {
    const char *model; /* "gpt2", "llama", "bert", "t5", ...; NULL, and no
                          tokens, may be where there is a tokenizer.json */
    const char *pre;   /* how text is split first: "llama-bpe", "smollm" */
    const krs_gguf_text *tokens; /* [token_count] */
    size_t token_count;
    const float *scores;  /* [token_count] */
    const int32_t *types; /* [token_count]: 1 normal, 2 unknown, 3 control,
                             4 user defined, 5 unused, 6 byte */
    const krs_gguf_text *merges; /* [merge_count] "left right" */
    size_t merge_count;
    const uint8_t *charsmap; /* [charsmap_bytes], of sentencepiece */
    size_t charsmap_bytes;
    int64_t bos, eos, unknown, separator, padding, classifier, mask;
    bool add_bos, add_eos;         /* false if absent */
    bool add_space_prefix;         /* true if absent */
    bool remove_extra_whitespaces; /* false if absent */
    bool has_add_bos, has_add_eos; /* the keys are there */
    const char *chat_template;     /* Jinja */
    const char *huggingface;       /* tokenizer.json, whole */
} krs_gguf_tokenizer;

/* krs_gguf_read_tokenizer(g, &t, err) -- the tokenizer that the file holds.
 * Errors     NAME if there is none; FORMAT if it is half of one, if scores or
 *            types are not as many as the tokens, or an id is not the place of
 *            a token. */
KRS_API krs_status krs_gguf_read_tokenizer(const krs_gguf *g,
                                           krs_gguf_tokenizer *out,
                                           krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
