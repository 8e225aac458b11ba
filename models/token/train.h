/* train.h -- what the trainers of tokenizers share (train.c). */
#ifndef KRSI_TOKEN_TRAIN_H
#define KRSI_TOKEN_TRAIN_H

#include "tokenizer.h"

/* Different words, in the order in which they were met, with their counts. */
typedef struct krsi_counted {
    krsi_vocabulary words; /* id = place */
    uint64_t *counts;
    size_t capacity;
} krsi_counted;

/* What is trained: a vocabulary in the order of ids, and merges or scores. */
typedef struct krsi_trained {
    krsi_vocabulary vocabulary;
    uint32_t (*merges)[2]; /* left, right */
    size_t merge_count, merge_capacity;
    double *scores; /* by id; NULL but for unigram */
    size_t score_capacity;
} krsi_trained;

/* How words become symbols. */
typedef struct krsi_training {
    const krs_tokenizer_training *options;
    const char *const *special;  /* closed by NULL */
    const char *prefix, *suffix; /* "" if there is none */
    bool all_bytes;              /* the byte alphabet is there in any case */
} krsi_training;

krs_status krsi_train_merges(const krsi_training *training,
                             const krsi_counted *words, krsi_trained *out,
                             krs_error *err);
/* the words themselves, the frequent ones first, then by their bytes */
krs_status krsi_train_words(const krsi_training *training,
                            const krsi_counted *words, krsi_trained *out,
                            krs_error *err);
krs_status krsi_train_unigram(const krsi_training *training,
                              const krsi_counted *words, krsi_trained *out,
                              krs_error *err);

/* the special tokens as the first of out's vocabulary */
krs_status krsi_train_special(const krsi_training *training, krsi_trained *out,
                              krs_error *err);
/* append a token with the next id; *id is that, or its own if it was there */
krs_status krsi_train_token(krsi_trained *out, const char *text, size_t bytes,
                            uint32_t *id, krs_error *err);

#endif
