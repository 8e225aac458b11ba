/* embed.h -- texts as vectors, by an encoder and pooling over its places
 * (Reimers & Gurevych 2019, arXiv 1908.10084).
 *
 *     krs_embed_options options;
 *     krs_embedder *e;
 *     KRS_TRY(krs_model_open("minilm", store, &config, err));
 *     KRS_TRY(krs_embed_settings("minilm", &config.of.bert, &options, err));
 *     KRS_TRY(krs_embedder_open(store, &config.of.bert, &options, &e, err));
 *     // encodings of a tokenizer (token.h), cut to options.max_length
 *     status = krs_embedder_run(e, encodings, 12, vectors, err);
 *     krs_embedder_close(e);
 */
#ifndef KRS_EMBED_H
#define KRS_EMBED_H

#include <krs/bert.h>
#include <krs/token.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What becomes of the last hidden states h [T, C] of a text: NAME, key in the
 * pooling settings of a folder.
 *
 *   mean   sum of h over the tokens, by their number
 *   first  h of the first token
 *   max    the largest of each channel over the tokens */
#define KRS_POOLING_LIST(X)             \
    X(MEAN, "pooling_mode_mean_tokens") \
    X(FIRST, "pooling_mode_cls_token")  \
    X(MAX, "pooling_mode_max_tokens")

typedef enum krs_pooling {
#define KRS_POOLING_ENUM(NAME, key) KRS_POOLING_##NAME,
    KRS_POOLING_LIST(KRS_POOLING_ENUM)
#undef KRS_POOLING_ENUM
        KRS_POOLINGS
} krs_pooling;

typedef struct krs_embed_options {
    size_t struct_size; /* sizeof (krs_embed_options) */
    krs_pooling pooling;
    bool normalize;     /* vectors of length 1 */
    int64_t max_length; /* tokens of a text; 0: max_position_embeddings */
    int64_t batch;      /* most texts at once; 0: 32 */
} krs_embed_options;

/* krs_embed_settings(folder, config, options, err) -- those that a folder of
 * sentence-transformers says (modules.json and the files that it names);
 * without it mean, normalized, as long as the model has places.
 * Errors     IO, MEMORY, FORMAT with JSON path; UNSUPPORTED for another
 *            pooling, or a module that changes the vectors. */
KRS_API krs_status krs_embed_settings(const char *folder,
                                      const krs_bert_config *config,
                                      krs_embed_options *out, krs_error *err);

/* One thread at a time. */
typedef struct krs_embedder krs_embedder;

/* krs_embedder_open(store, config, options, &e, err) -- the store must hold the
 * parameters and outlive the embedder; config too. Programs are compiled when a
 * batch first needs them, one for each of a few sizes.
 * Errors     ARGUMENT, RANGE (a length of more places than the model has, a
 *            batch below 0 or over 2^16), MEMORY.
 * krs_embedder_close(e) -- NULL is fine. */
KRS_API krs_status krs_embedder_open(krs_store *store,
                                     const krs_bert_config *config,
                                     const krs_embed_options *options,
                                     krs_embedder **out, krs_error *err);
KRS_API void krs_embedder_close(krs_embedder *e);

/* krs_embedder_width(e) -- channels C of a vector.
 * krs_embedder_run(e, texts, count, vectors, err) -- vectors f32 [count, C], in
 * the order of the texts; padding among their tokens does not count.
 * Errors     RANGE for a text of no or too many tokens, or an id that the model
 *            does not have; MEMORY; those of compiling and running. */
KRS_API int64_t krs_embedder_width(const krs_embedder *e);
KRS_API krs_status krs_embedder_run(krs_embedder *e, const krs_encoding *texts,
                                    size_t count, float *vectors,
                                    krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
