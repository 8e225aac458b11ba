/* llama_gguf.h -- LLaMA between GGUF and Hugging Face. */
#ifndef KRSI_LLAMA_GGUF_H
#define KRSI_LLAMA_GGUF_H

#include <krs/llama.h>

/* krsi_llama_from_gguf(w, config, err) -- the settings of an open GGUF file;
 * the tensors of w are then named and laid out as in Hugging Face folders.
 * Errors     FORMAT, UNSUPPORTED, MEMORY; w may be half renamed. */
krs_status krsi_llama_from_gguf(krs_weights *w, krs_llama_config *out,
                                krs_error *err);

/* krsi_llama_names_to_gguf(w, config, err) -- the other way round: tensors in
 * the names and layout of Hugging Face become those of GGUF. */
krs_status krsi_llama_names_to_gguf(krs_weights *w,
                                    const krs_llama_config *config,
                                    krs_error *err);

#endif
