/* architecture.h -- the architectures that the library has.
 *
 * One list: every reader of a config.json, every tool and `kersey verify` know
 * an architecture by its row.
 */
#ifndef KRS_ARCHITECTURE_H
#define KRS_ARCHITECTURE_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* NAME, "model_type" and class among "architectures" of a config.json, family:
 * the header that has its settings and forward pass. Of several rows with one
 * model_type the first is meant where a config.json names no class. */
#define KRS_ARCHITECTURE_LIST(X)                                         \
    X(LLAMA, "llama", "LlamaForCausalLM", LLAMA)                         \
    X(MISTRAL, "mistral", "MistralForCausalLM", LLAMA)                   \
    X(QWEN2, "qwen2", "Qwen2ForCausalLM", LLAMA)                         \
    X(GPT2, "gpt2", "GPT2LMHeadModel", GPT2)                             \
    X(BERT, "bert", "BertForPreTraining", BERT)                          \
    X(BERT_ENCODER, "bert", "BertModel", BERT)                           \
    X(ERNIE, "ernie", "ErnieForPreTraining", BERT)                       \
    X(ERNIE_ENCODER, "ernie", "ErnieModel", BERT)                        \
    X(TRANSFORMER, "transformer", "TransformerForConditionalGeneration", \
      ENCDEC)                                                            \
    X(MARIAN, "marian", "MarianMTModel", ENCDEC)                         \
    X(BART, "bart", "BartForConditionalGeneration", ENCDEC)              \
    X(T5, "t5", "T5ForConditionalGeneration", ENCDEC)

typedef enum krs_architecture {
#define KRS_ARCHITECTURE_ENUM(NAME, type, class, family) \
    KRS_ARCHITECTURE_##NAME,
    KRS_ARCHITECTURE_LIST(KRS_ARCHITECTURE_ENUM)
#undef KRS_ARCHITECTURE_ENUM
        KRS_ARCHITECTURES
} krs_architecture;

typedef enum krs_family {
    KRS_FAMILY_LLAMA, /* llama.h */
    KRS_FAMILY_GPT2,  /* gpt2.h */
    KRS_FAMILY_BERT,  /* bert.h */
    KRS_FAMILY_ENCDEC /* encdec.h */
} krs_family;

/* The ids that mean something to a model; -1: none. */
#define KRS_STOP_IDS 8
typedef struct krs_special_ids {
    int64_t bos_token_id;
    int64_t pad_token_id;
    int64_t decoder_start_token_id; /* of an encoder-decoder */
    int64_t eos_token_id[KRS_STOP_IDS];
    int eos_count;
} krs_special_ids;

/* krs_architecture_type(a) -- its model_type, krs_architecture_class(a) -- its
 * class; "?" outside the list. krs_architecture_family(a) -- of one in it. */
KRS_API const char *krs_architecture_type(krs_architecture architecture);
KRS_API const char *krs_architecture_class(krs_architecture architecture);
KRS_API krs_family krs_architecture_family(krs_architecture architecture);

#ifdef __cplusplus
}
#endif
#endif
