/* rope.h -- rotary position embeddings for contexts longer than the training
 * had: the frequencies that config.json's rope settings mean.
 */
#ifndef KRS_ROPE_H
#define KRS_ROPE_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The one list of rope types: NAME, name in config.json. */
#define KRS_ROPE_TYPE_LIST(X) \
    X(DEFAULT, "default")     \
    X(LINEAR, "linear")       \
    X(LLAMA3, "llama3")       \
    X(YARN, "yarn")

typedef enum krs_rope_type {
#define KRS_ROPE_TYPE_ENUM(NAME, name) KRS_ROPE_TYPE_##NAME,
    KRS_ROPE_TYPE_LIST(KRS_ROPE_TYPE_ENUM)
#undef KRS_ROPE_TYPE_ENUM
} krs_rope_type;

/* Fields as config.json names them. Start from krs_rope_defaults. */
typedef struct krs_rope_scaling {
    krs_rope_type type;
    double rope_theta; /* base of the frequencies, > 1 */
    double factor;     /* linear, llama3, yarn: longer by, >= 1 */
    /* llama3, yarn: length of the training context */
    int64_t original_max_position_embeddings;
    double low_freq_factor, high_freq_factor; /* llama3: low < high */
    double beta_fast, beta_slow;              /* yarn: rotations, fast > slow */
    double mscale, mscale_all_dim;            /* yarn: 0: not given */
    double attention_factor; /* yarn: on both q and k; 0: from factor */
    bool truncate;           /* yarn: whole dimensions as bounds */
} krs_rope_scaling;

/* krs_rope_defaults() -- type default, theta 10000, factor 1, yarn's betas 32
 * and 1, truncate. */
KRS_API krs_rope_scaling krs_rope_defaults(void);

/* krs_rope_type_name(type) -- "llama3"; "?" outside the list. */
KRS_API const char *krs_rope_type_name(krs_rope_type type);

/* krs_rope_check(rope, err) -- the rules above; RANGE with a text that begins
 * with the field's name. */
KRS_API krs_status krs_rope_check(const krs_rope_scaling *rope, krs_error *err);

/* krs_rope_frequencies(rope, head_dim, frequencies, &attention_factor, err) --
 * radians a position for each pair of channels, highest first, in f64.
 *
 *   frequencies       room for head_dim / 2
 *   attention_factor  factor on the rotated q and k; 1 but for yarn
 *
 * Errors     RANGE if head_dim is odd or not positive; those of
 *            krs_rope_check.
 * Source     Su et al. 2021 (default); Chen et al. 2023, arXiv 2306.15595
 *            (linear); Grattafiori et al. 2024, arXiv 2407.21783 (llama3);
 *            Peng et al. 2023, arXiv 2309.00071 (yarn). */
KRS_API krs_status krs_rope_frequencies(const krs_rope_scaling *rope,
                                        int64_t head_dim, double *frequencies,
                                        double *out_attention_factor,
                                        krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
