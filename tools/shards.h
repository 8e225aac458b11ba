/* shards.h -- files of token ids: made by kersey tokenize, read by train. */
#ifndef KERSEY_SHARDS_H
#define KERSEY_SHARDS_H

#include "command.h"

#include <krs/corpus.h>

/* shard_kind(vocabulary) -- how ids of a vocabulary of that size lie in shards */
krs_token_kind shard_kind(int64_t vocabulary);

/* write_shards(t, flags, err) -- the documents of --data as --shards. */
krs_status write_shards(const krs_tokenizer *t, const struct flags *f,
                        krs_error *err);

/* is_shard(path) -- "x.bin"
 * open_shards(path, vocabulary, options, &data, err) -- the file, and if it is
 * "x-00000.bin" those that follow it without a gap. */
bool is_shard(const char *path);
krs_status open_shards(const char *path, int64_t vocabulary,
                       const krs_data_options *options, krs_data **out,
                       krs_error *err);

#endif
