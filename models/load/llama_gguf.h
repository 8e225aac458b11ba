/* llama_gguf.h -- LLaMA between GGUF and Hugging Face. */
#ifndef KRSI_LLAMA_GGUF_H
#define KRSI_LLAMA_GGUF_H

#include <krs/llama.h>

enum { KRSI_GGUF_KEY_BYTES = 64 };

/* What a GGUF file calls an architecture, at the begin of its keys too, and
 * whether it holds the rows of queries and keys turned into pairs. */
typedef struct krsi_gguf_dialect {
    krs_architecture architecture;
    const char *name;
    bool turned;
} krsi_gguf_dialect;

/* That of a model with these settings; NULL and why not, if GGUF has no keys
 * for them. A Mistral whose queries see all keys is a LLaMA. */
const krsi_gguf_dialect *krsi_gguf_dialect_of(const krs_llama_config *config,
                                              const char *model,
                                              krs_error *err);
/* krsi_gguf_key(text, dialect, "block_count") -- "llama.block_count" in text */
const char *krsi_gguf_key(char text[KRSI_GGUF_KEY_BYTES],
                          const krsi_gguf_dialect *dialect, const char *rest);

/* krsi_llama_from_gguf(w, config, err) -- the settings of an open GGUF file;
 * the tensors of w are then named and laid out as in Hugging Face folders.
 * Errors     FORMAT, UNSUPPORTED, MEMORY; w may be half renamed. */
krs_status krsi_llama_from_gguf(krs_weights *w, krs_llama_config *out,
                                krs_error *err);

/* krsi_llama_names_to_gguf(w, config, dialect, err) -- the other way round: tensors in
 * the names and layout of Hugging Face become those of GGUF. */
krs_status krsi_llama_names_to_gguf(krs_weights *w,
                                    const krs_llama_config *config,
                                    const krsi_gguf_dialect *dialect,
                                    krs_error *err);

#endif
