/* pieces.h -- a vocabulary of sentencepiece, wherever it lies (pieces.c). */
#ifndef KRSI_PIECES_H
#define KRSI_PIECES_H

#include "tokenizer.h"

#include <krs/pretrained.h>

/* TrainerSpec.model_type of sentencepiece */
typedef enum krsi_pieces_kind {
    KRSI_PIECES_UNIGRAM = 1,
    KRSI_PIECES_BPE = 2,
    KRSI_PIECES_WORD = 3,
    KRSI_PIECES_CHAR = 4
} krsi_pieces_kind;

typedef struct krsi_scored_piece {
    const char *text;
    size_t bytes;
    float score;
    int32_t type; /* krs_token_type */
} krsi_scored_piece;

typedef struct krsi_pieces {
    const char *name; /* of the file, for messages */
    krsi_pieces_kind kind;
    bool byte_fallback;
    size_t count;
    krsi_scored_piece (*piece)(const void *user, size_t i);
    const void *user;
} krsi_pieces;

/* krsi_pieces_set(t, pieces, err) -- vocabulary and model of t. */
krs_status krsi_pieces_set(krs_tokenizer *t, const krsi_pieces *p,
                           krs_error *err);

/* krsi_add_around(t, err) -- bos in front and eos behind each text, as
 * t->adds_bos and t->adds_eos say. */
krs_status krsi_add_around(krs_tokenizer *t, krs_error *err);

/* ---- files: one reader a format ----
 *
 * settings: what the folder says beside a file that cannot. */

/* krsi_tokenizer_find(path, &file, err) -- the file that a path means: itself,
 * or the first of a folder that is a tokenizer; free it. NAME if there is none.
 */
krs_status krsi_tokenizer_find(const char *path, char **out, krs_error *err);
bool krsi_path_ends(const char *path, const char *suffix);

krs_status krsi_read_sentencepiece(const char *path,
                                   const krs_tokenizer_config *settings,
                                   krs_tokenizer **out, krs_error *err);
/* the same from memory; name for messages */
krs_status krsi_parse_sentencepiece(const char *name, const char *data,
                                    size_t bytes,
                                    const krs_tokenizer_config *settings,
                                    krs_tokenizer **out, krs_error *err);
krs_status krsi_read_vocab_txt(const char *path,
                               const krs_tokenizer_config *settings,
                               krs_tokenizer **out, krs_error *err);
krs_status krsi_read_vocab_merges(const char *vocab, const char *merges,
                                  krs_tokenizer **out, krs_error *err);
krs_status krsi_read_gguf(const char *path, krs_tokenizer **out,
                          krs_error *err);
krs_status krsi_read_tiktoken(const char *path, krs_tokenizer **out,
                              krs_error *err);

krs_status krsi_byte_tokenizer(krs_tokenizer **out, krs_error *err);
/* model and frame of BERT, once the vocabulary is whole */
krs_status krsi_bert_finish(krs_tokenizer *t, bool lower_case, krs_error *err);
/* "left right" of a list of merges; `where` begins the message */
krs_status krsi_merge_line(krs_tokenizer *t, const char *where,
                           const char *line, size_t bytes, uint32_t rank,
                           krsi_buffer *whole, krs_error *err);

/* krsi_take_template(t, template, err) -- the chat template, unless there is one
 * or it is NULL */
krs_status krsi_take_template(krs_tokenizer *t, const char *template,
                              krs_error *err);

/* the token as an added one, special, found as it is written */
krs_status krsi_add_special(krs_tokenizer *t, uint32_t id, krs_error *err);

#endif
