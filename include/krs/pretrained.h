/* pretrained.h -- the small files of a Hugging Face folder that go with a
 * model: how it is to generate, and which tokens are special.
 *
 *     krs_generation_config g;
 *     KRS_TRY(krs_generation_config_read("llama/generation_config.json", &g,
 *                                        err));
 *
 * config.json is read by the model that it is of (llama.h).
 */
#ifndef KRS_PRETRAINED_H
#define KRS_PRETRAINED_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KRS_GENERATION_STOP_IDS 8

/* Fields as generation_config.json names them; start values are those that an
 * absent key has there. Ids are -1 where there is none. */
typedef struct krs_generation_config {
    int64_t max_length;           /* prompt included; 20 */
    int64_t max_new_tokens;       /* 0: not given, max_length counts */
    bool do_sample;               /* false */
    double temperature;           /* 1 */
    int64_t top_k;                /* 50; 0: all */
    double top_p;                 /* 1 */
    double min_p;                 /* 0: not given */
    double typical_p;             /* 1 */
    double epsilon_cutoff;        /* 0 */
    double repetition_penalty;    /* 1 */
    double length_penalty;        /* 1 */
    int64_t no_repeat_ngram_size; /* 0 */
    int64_t num_beams;            /* 1 */
    int64_t num_return_sequences; /* 1 */
    int64_t bos_token_id, pad_token_id, decoder_start_token_id;
    int64_t eos_token_id[KRS_GENERATION_STOP_IDS];
    int eos_count;
} krs_generation_config;

KRS_API krs_generation_config krs_generation_defaults(void);

/* krs_generation_config_read(path, config, err) -- every value in its range;
 * other keys are not read.
 * krs_generation_config_parse -- the same of a text; name stands for the file.
 * krs_generation_config_open(model, config, err) -- that of a model folder; the
 * defaults where it has none, as a .gguf file.
 * Errors     IO, MEMORY; FORMAT with file and JSON path. */
KRS_API krs_status krs_generation_config_open(const char *model,
                                              krs_generation_config *out,
                                              krs_error *err);
KRS_API krs_status krs_generation_config_read(const char *path,
                                              krs_generation_config *out,
                                              krs_error *err);
KRS_API krs_status krs_generation_config_parse(const char *name,
                                               const char *text, size_t bytes,
                                               krs_generation_config *out,
                                               krs_error *err);

/* The parts that a special token may have: NAME, key. */
#define KRS_SPECIAL_LIST(X)    \
    X(BOS, "bos_token")        \
    X(EOS, "eos_token")        \
    X(UNKNOWN, "unk_token")    \
    X(SEPARATOR, "sep_token")  \
    X(PADDING, "pad_token")    \
    X(CLASSIFIER, "cls_token") \
    X(MASK, "mask_token")

typedef enum krs_special {
#define KRS_SPECIAL_ENUM(NAME, key) KRS_SPECIAL_##NAME,
    KRS_SPECIAL_LIST(KRS_SPECIAL_ENUM)
#undef KRS_SPECIAL_ENUM
        KRS_SPECIALS
} krs_special;

typedef enum krs_answer { KRS_UNSAID, KRS_NO, KRS_YES } krs_answer;

/* What tokenizer_config.json, special_tokens_map.json and chat_template.jinja
 * say; texts are NULL where they say nothing, and live as long as the config is
 * open. */
typedef struct krs_tokenizer_config {
    const char *special[KRS_SPECIALS];
    const char *const *additional; /* additional_special_tokens */
    size_t additional_count;
    const char *tokenizer_class; /* "BertTokenizer" */
    const char *chat_template;   /* Jinja; of several, the one named default */
    double model_max_length;     /* 0: not said; may be 1e30 */
    krs_answer add_bos_token, add_eos_token, add_prefix_space, do_lower_case,
        clean_up_tokenization_spaces;
    struct krs_tokenizer_texts *texts; /* owned */
} krs_tokenizer_config;

/* krs_tokenizer_config_open(folder, config, err) -- those files of a folder, of
 * which any may be missing. A token is a text or an object with "content".
 * Where both JSON files name a token they must agree, unless the first has
 * "added_tokens_decoder": then the first counts. A template in a file of its
 * own comes before one in tokenizer_config.json.
 * Errors     IO, MEMORY; FORMAT with file and JSON path.
 *
 * krs_tokenizer_config_close(config) -- a zeroed one is fine. */
KRS_API krs_status krs_tokenizer_config_open(const char *folder,
                                             krs_tokenizer_config *out,
                                             krs_error *err);
KRS_API void krs_tokenizer_config_close(krs_tokenizer_config *config);

#ifdef __cplusplus
}
#endif
#endif
