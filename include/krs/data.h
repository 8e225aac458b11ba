/* data.h -- text as training batches for a language model.
 *
 *     const char *paths[] = {"bible.txt"};
 *     krs_data_options o = {sizeof o, .window = 128, .validation = 0.03};
 *     KRS_TRY(krs_data_open(paths, 1, KRS_TOKENS_BYTES, &o, &data, err));
 *     krs_data_cursor at = krs_data_start(data, seed);
 *     for (int step = 0; step < steps; step++)
 *         status = krs_data_next(data, &at, 16, inputs, labels, err);
 *
 * The tokens are one long row. Its first part is for training, its last for
 * validation; the parts share no token. A part is cut into windows of T + 1
 * tokens that begin every T tokens: T inputs, and as labels the same tokens
 * one place on, so each token of a part but the first is a label once. Fewer
 * than T tokens at the end of a part are left over.
 *
 * Training windows are drawn in an order that is shuffled anew for every
 * epoch and is a function of (seed, epoch) alone; the place in it is a plain
 * krs_data_cursor that a checkpoint keeps. Several processes draw different
 * windows by krs_data_skip.
 */
#ifndef KRS_DATA_H
#define KRS_DATA_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How tokens lie in a file or in memory. */
typedef enum krs_token_kind {
    KRS_TOKENS_BYTES, /* each byte is a token: any text, 256 tokens */
    KRS_TOKENS_U16,   /* uint16, little-endian, no header */
    KRS_TOKENS_I32    /* int32, little-endian, no header */
} krs_token_kind;

typedef struct krs_data_options {
    size_t struct_size;
    int64_t window;      /* T, at least 1 */
    double validation;   /* part of all tokens, 0 <= x < 1; 0: none */
    int64_t vocabulary;  /* ids must be below; 0: not checked */
    uint64_t most_bytes; /* of one file; 0: 4 GiB */
} krs_data_options;

/* Immutable after open; any number of threads may read. */
typedef struct krs_data krs_data;

/* krs_data_open(paths, count, kind, options, &data, err) -- read the files
 * whole, one after the other in the order given.
 *
 * Errors     IO, MEMORY; FORMAT for an empty file, half an id, an id below 0
 *            or not below the vocabulary, or too few tokens for one window
 *            of each part; ARGUMENT for bad options.
 * Cost       one read; the tokens stay in memory at their size in the file.
 */
KRS_API krs_status krs_data_open(const char *const *paths, size_t count,
                                 krs_token_kind kind,
                                 const krs_data_options *options,
                                 krs_data **out, krs_error *err);

/* krs_data_new(tokens, count, kind, options, &data, err) -- from memory: the
 * output of a tokenizer. The tokens are copied. Errors as above. */
KRS_API krs_status krs_data_new(const void *tokens, size_t count,
                                krs_token_kind kind,
                                const krs_data_options *options, krs_data **out,
                                krs_error *err);
KRS_API void krs_data_free(krs_data *data); /* NULL is fine */

KRS_API int64_t krs_data_tokens(const krs_data *data);
KRS_API int64_t krs_data_window(const krs_data *data); /* T */
/* number of windows for training and for validation */
KRS_API int64_t krs_data_windows(const krs_data *data);
KRS_API int64_t krs_data_validation_windows(const krs_data *data);
/* first token of the validation part; the number of tokens if there is none */
KRS_API int64_t krs_data_validation_start(const krs_data *data);

/* A place in the training data. A plain value: copy it, save it. */
typedef struct krs_data_cursor {
    int64_t seed;
    int64_t epoch;    /* from 0 */
    int64_t position; /* windows drawn in this epoch, below windows */
    int64_t windows;  /* of the data it belongs to, so that a cursor of */
    int64_t window;   /* other data is noticed */
} krs_data_cursor;

/* krs_data_start(data, seed) -- the first window of epoch 0. */
KRS_API krs_data_cursor krs_data_start(const krs_data *data, int64_t seed);

/* krs_data_next(data, &cursor, batch, inputs, labels, err) -- draw `batch`
 * windows and move on; goes over into the next epoch where one ends.
 *
 *   inputs, labels   [B, T] int64 each
 *
 * Errors     ARGUMENT; RANGE for a cursor that is not of this data. The
 *            cursor moves on success only. */
KRS_API krs_status krs_data_next(const krs_data *data, krs_data_cursor *cursor,
                                 int64_t batch, int64_t *inputs,
                                 int64_t *labels, krs_error *err);

/* krs_data_skip(data, &cursor, windows, err) -- move on without drawing.
 * Rank r of R draws B windows of each step by skip r*B, next B, skip
 * (R-1-r)*B. */
KRS_API krs_status krs_data_skip(const krs_data *data, krs_data_cursor *cursor,
                                 int64_t windows, krs_error *err);

/* krs_data_validation(data, first, batch, inputs, labels, err) -- windows
 * [first, first + batch) of the validation part, in the order of the text.
 * RANGE past its end. */
KRS_API krs_status krs_data_validation(const krs_data *data, int64_t first,
                                       int64_t batch, int64_t *inputs,
                                       int64_t *labels, krs_error *err);

/* krs_data_cursor_print(cursor, text) -- as one line of JSON; returns text.
 * krs_data_cursor_parse gives back the same cursor, or FORMAT. */
#define KRS_DATA_CURSOR_TEXT 192
KRS_API const char *krs_data_cursor_print(const krs_data_cursor *cursor,
                                          char text[KRS_DATA_CURSOR_TEXT]);
KRS_API krs_status krs_data_cursor_parse(const char *text, krs_data_cursor *out,
                                         krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
