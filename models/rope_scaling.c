/* rope_scaling.c -- the frequencies of rotary position embeddings (rope.h).
 *
 * In: the rope settings of config.json. Out: D/2 frequencies (radians a
 * position) and the factor on rotated q and k, all in f64 on the host.
 *
 *   default   f_i = theta^(-2i/D)                   Su et al. 2021
 *   linear    f_i / factor                          Chen et al. 2023
 *   llama3    long waves / factor, short ones kept, a linear blend between
 *   yarn      as llama3 by the count of rotations over the training context,
 *             and scores sharper by 0.1 ln(factor) + 1  Peng et al. 2023
 *
 * Types whose frequencies depend on the length of the text (dynamic, longrope)
 * are not here: a graph has one table of frequencies.
 */
#include <krs/rope.h>

#include <math.h>

static const double pi = 3.14159265358979323846;

krs_rope_scaling
krs_rope_defaults(void)
{
    return (krs_rope_scaling){.type = KRS_ROPE_TYPE_DEFAULT,
                              .rope_theta = 10000.0,
                              .factor = 1.0,
                              .beta_fast = 32.0,
                              .beta_slow = 1.0,
                              .truncate = true};
}

const char *
krs_rope_type_name(krs_rope_type type)
{
    switch (type) {
#define NAME_CASE(NAME, name) \
    case KRS_ROPE_TYPE_##NAME: return name;
        KRS_ROPE_TYPE_LIST(NAME_CASE)
#undef NAME_CASE
    }
    return "?";
}

/* Not (a > b), so that a NaN is refused too. */
static krs_status
above(const char *name, double value, double bound, krs_error *err)
{
    if (!(value > bound) || isinf(value))
        return krs_fail(err, KRS_E_RANGE,
                        "%s: %g is not a finite number above %g", name, value,
                        bound);
    return KRS_OK;
}

static krs_status
at_least(const char *name, double value, double bound, krs_error *err)
{
    if (!(value >= bound) || isinf(value))
        return krs_fail(err, KRS_E_RANGE,
                        "%s: %g is not a finite number of at least %g", name,
                        value, bound);
    return KRS_OK;
}

static krs_status
check_context(const krs_rope_scaling *rope, krs_error *err)
{
    if (rope->original_max_position_embeddings < 1)
        return krs_fail(err, KRS_E_RANGE,
                        "original_max_position_embeddings: %lld is not the "
                        "length of a context, which rope_type %s needs",
                        (long long)rope->original_max_position_embeddings,
                        krs_rope_type_name(rope->type));
    return KRS_OK;
}

static krs_status
check_llama3(const krs_rope_scaling *rope, krs_error *err)
{
    KRS_TRY(check_context(rope, err));
    KRS_TRY(above("low_freq_factor", rope->low_freq_factor, 0.0, err));
    KRS_TRY(above("high_freq_factor", rope->high_freq_factor, 0.0, err));
    if (!(rope->high_freq_factor > rope->low_freq_factor))
        return krs_fail(err, KRS_E_RANGE,
                        "high_freq_factor: %g is not above low_freq_factor %g",
                        rope->high_freq_factor, rope->low_freq_factor);
    return KRS_OK;
}

static krs_status
check_yarn(const krs_rope_scaling *rope, krs_error *err)
{
    KRS_TRY(check_context(rope, err));
    KRS_TRY(above("beta_slow", rope->beta_slow, 0.0, err));
    KRS_TRY(above("beta_fast", rope->beta_fast, 0.0, err));
    if (!(rope->beta_fast > rope->beta_slow))
        return krs_fail(err, KRS_E_RANGE,
                        "beta_fast: %g is not above beta_slow %g",
                        rope->beta_fast, rope->beta_slow);
    KRS_TRY(at_least("mscale", rope->mscale, 0.0, err));
    KRS_TRY(at_least("mscale_all_dim", rope->mscale_all_dim, 0.0, err));
    return at_least("attention_factor", rope->attention_factor, 0.0, err);
}

krs_status
krs_rope_check(const krs_rope_scaling *rope, krs_error *err)
{
    if (!rope)
        return krs_fail(err, KRS_E_ARGUMENT, "rope_scaling: it is NULL");
    KRS_TRY(above("rope_theta", rope->rope_theta, 1.0, err));
    switch (rope->type) {
    case KRS_ROPE_TYPE_DEFAULT: return KRS_OK;
    case KRS_ROPE_TYPE_LINEAR:
        return at_least("factor", rope->factor, 1.0, err);
    case KRS_ROPE_TYPE_LLAMA3:
        KRS_TRY(at_least("factor", rope->factor, 1.0, err));
        return check_llama3(rope, err);
    case KRS_ROPE_TYPE_YARN:
        KRS_TRY(at_least("factor", rope->factor, 1.0, err));
        return check_yarn(rope, err);
    }
    return krs_fail(err, KRS_E_RANGE, "rope_type: %d is not a type",
                    (int)rope->type);
}

/* One frequency, after Grattafiori et al. 2024 (the released code has the
 * formula). A wave of length 2 pi / f fits L f / (2 pi) times into the context
 * of L; the blend is linear in that count:
 *
 *      b = (L f / (2 pi) - low) / (high - low), cut to [0, 1]
 *      f' = (1 - b) f / factor + b f */
static double
llama3_frequency(const krs_rope_scaling *rope, double f)
{
    double waves =
        (double)rope->original_max_position_embeddings * f / (2.0 * pi);
    double blend = (waves - rope->low_freq_factor) /
                   (rope->high_freq_factor - rope->low_freq_factor);
    blend = fmin(fmax(blend, 0.0), 1.0);
    return (1.0 - blend) * f / rope->factor + blend * f;
}

/* The channel pair whose wave turns `rotations` times over the context:
 * theta^(-2i/D) L = 2 pi rotations, solved for i (Peng et al. 2023, 3.2). */
static double
pair_of_rotations(const krs_rope_scaling *rope, int64_t head_dim,
                  double rotations)
{
    double length = (double)rope->original_max_position_embeddings;
    return (double)head_dim * log(length / (rotations * 2.0 * pi)) /
           (2.0 * log(rope->rope_theta));
}

/* Between the pairs of beta_fast and beta_slow rotations the frequencies go
 * over from kept to divided (Peng et al. 2023, section 3.2, "NTK-by-parts").
 * The bounds are cut to [0, D-1], and an empty range is 0.001 wide. */
static void
yarn_frequencies(const krs_rope_scaling *rope, int64_t head_dim,
                 double *frequencies)
{
    double low = pair_of_rotations(rope, head_dim, rope->beta_fast);
    double high = pair_of_rotations(rope, head_dim, rope->beta_slow);
    if (rope->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0.0);
    high = fmin(high, (double)head_dim - 1.0);
    if (low == high)
        high += 0.001;
    for (int64_t i = 0; i < head_dim / 2; i++) {
        double ramp = fmin(fmax(((double)i - low) / (high - low), 0.0), 1.0);
        double f = frequencies[i];
        frequencies[i] = f / rope->factor * ramp + f * (1.0 - ramp);
    }
}

/* 0.1 m ln(s) + 1 (Peng et al. 2023, section 3.4); 1 where nothing is scaled */
static double
yarn_mscale(double factor, double m)
{
    return factor <= 1.0 ? 1.0 : 0.1 * m * log(factor) + 1.0;
}

static double
yarn_attention_factor(const krs_rope_scaling *rope)
{
    if (rope->attention_factor > 0.0)
        return rope->attention_factor;
    if (rope->mscale > 0.0 && rope->mscale_all_dim > 0.0)
        return yarn_mscale(rope->factor, rope->mscale) /
               yarn_mscale(rope->factor, rope->mscale_all_dim);
    return yarn_mscale(rope->factor, 1.0);
}

krs_status
krs_rope_frequencies(const krs_rope_scaling *rope, int64_t head_dim,
                     double *frequencies, double *out_attention_factor,
                     krs_error *err)
{
    KRS_TRY(krs_rope_check(rope, err));
    if (!frequencies || !out_attention_factor)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "rope_frequencies: the frequencies or "
                        "out_attention_factor is NULL");
    if (head_dim < 2 || head_dim % 2 != 0)
        return krs_fail(err, KRS_E_RANGE,
                        "head_dim: %lld is not a positive even number, which "
                        "rotary embeddings need",
                        (long long)head_dim);
    for (int64_t i = 0; i < head_dim / 2; i++)
        frequencies[i] =
            pow(rope->rope_theta, -2.0 * (double)i / (double)head_dim);
    *out_attention_factor = 1.0;
    switch (rope->type) {
    case KRS_ROPE_TYPE_DEFAULT: break;
    case KRS_ROPE_TYPE_LINEAR:
        for (int64_t i = 0; i < head_dim / 2; i++)
            frequencies[i] /= rope->factor;
        break;
    case KRS_ROPE_TYPE_LLAMA3:
        for (int64_t i = 0; i < head_dim / 2; i++)
            frequencies[i] = llama3_frequency(rope, frequencies[i]);
        break;
    case KRS_ROPE_TYPE_YARN:
        yarn_frequencies(rope, head_dim, frequencies);
        *out_attention_factor = yarn_attention_factor(rope);
        break;
    }
    return KRS_OK;
}
