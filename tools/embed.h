/* embed.h -- an encoder opened with its tokenizer. */
#ifndef KERSEY_EMBED_H
#define KERSEY_EMBED_H

#include "command.h"

#include <krs/embed.h>
#include <krs/model.h>

struct encoder {
    krs_store *store;
    krs_model_config config;
    krs_tokenizer *tokenizer;
    krs_embed_options options;
    krs_embedder *embedder;
};

/* open_encoder(device, folder, flags, encoder, err) -- model, tokenizer (or
 * that of --tokenizer) and settings of a folder. close_encoder after it,
 * whatever it gave. */
krs_status open_encoder(krs_device *device, const char *folder,
                        const struct flags *flags, struct encoder *out,
                        krs_error *err);
void close_encoder(struct encoder *encoder);

#endif
