/* test_rope_scaling.c -- rotary frequencies against numbers computed apart
 * (with 30 digits, from the formulas of the papers) and by hand.
 */
#include "suite.h"

#include <krs/rope.h>

#include <math.h>
#include <string.h>

static void
compute(const krs_rope_scaling *rope, int64_t head_dim, double *out,
        double *factor)
{
    krs_error err;
    krs_status status = krs_rope_frequencies(rope, head_dim, out, factor, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

/* frequencies of heads of 2 * count elements, and the factor of the scores */
static void
expect(const krs_rope_scaling *rope, const double *want, int count,
       double want_factor)
{
    double got[16], factor;
    compute(rope, 2 * count, got, &factor);
    for (int i = 0; i < count; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= 4e-15 * fabs(want[i]),
                      "frequency %d: %.17g, not %.17g", i, got[i], want[i]);
    ck_assert_double_eq_tol(factor, want_factor, 1e-15);
}

START_TEST(default_frequencies_are_powers_of_theta)
{
    const double want[] = {1, 0.10000000000000001, 0.01, 0.001};
    krs_rope_scaling rope = krs_rope_defaults();
    expect(&rope, want, 4, 1.0);
}
END_TEST

START_TEST(linear_divides_every_frequency)
{
    const double want[] = {0.25, 0.025000000000000001, 0.0025000000000000001,
                           0.00025000000000000001};
    krs_rope_scaling rope = krs_rope_defaults();
    rope.type = KRS_ROPE_TYPE_LINEAR;
    rope.factor = 4.0;
    expect(&rope, want, 4, 1.0);
}
END_TEST

START_TEST(llama3_keeps_short_waves_and_divides_long_ones)
{
    const double want[] = {1,
                           0.44036660267178046,
                           0.19392274474868576,
                           0.085397100285765609,
                           0.037606030930863933,
                           0.016560440080994446,
                           0.0072926647372171093,
                           0.0032114459947525909,
                           0.00052484616099295468,
                           7.7846552739324498e-05,
                           3.4281021959525912e-05,
                           1.509621717643313e-05,
                           6.6478698711812354e-06,
                           2.9274998701761677e-06,
                           1.2891731721515574e-06,
                           5.6770881007598369e-07};
    krs_rope_scaling rope = krs_rope_defaults();
    rope.type = KRS_ROPE_TYPE_LLAMA3;
    rope.rope_theta = 500000.0;
    rope.factor = 8.0;
    rope.low_freq_factor = 1.0;
    rope.high_freq_factor = 4.0;
    rope.original_max_position_embeddings = 8192;
    expect(&rope, want, 16, 1.0);
}
END_TEST

START_TEST(yarn_blends_by_rotations_over_the_context)
{
    const double want[] = {1,
                           0.56234132519034907,
                           0.31622776601683794,
                           0.17782794100389229,
                           0.10000000000000001,
                           0.056234132519034911,
                           0.027387583306815427,
                           0.013019545680642113,
                           0.0059821428571428569,
                           0.0026108704383837637,
                           0.0010446810127341967,
                           0.00034930488411478842,
                           6.2500000000000001e-05,
                           3.5146332824396819e-05,
                           1.9764235376052371e-05,
                           1.1114246312743267e-05};
    krs_rope_scaling rope = krs_rope_defaults();
    rope.type = KRS_ROPE_TYPE_YARN;
    rope.factor = 16.0;
    rope.original_max_position_embeddings = 4096;
    expect(&rope, want, 16, 1.2772588722239782);
}
END_TEST

START_TEST(yarn_without_truncation_uses_broken_bounds)
{
    const double want[] = {1,
                           0.22541800020287084,
                           0.050813274815461475,
                           0.006794959489732218,
                           0.00045648391922324016,
                           1.818833668168956e-05,
                           4.0999784818029804e-06,
                           9.242089502428302e-07};
    krs_rope_scaling rope = krs_rope_defaults();
    rope.type = KRS_ROPE_TYPE_YARN;
    rope.rope_theta = 150000.0;
    rope.factor = 32.0;
    rope.truncate = false;
    rope.original_max_position_embeddings = 4096;
    expect(&rope, want, 8, 1.3465735902799727);
}
END_TEST

START_TEST(yarn_takes_the_attention_factor_from_both_mscales)
{
    const double want[] = {1, 0.051249999999999997, 0.00025000000000000001,
                           2.5000000000000001e-05};
    krs_rope_scaling rope = krs_rope_defaults();
    rope.type = KRS_ROPE_TYPE_YARN;
    rope.factor = 40.0;
    rope.original_max_position_embeddings = 64;
    rope.mscale = 1.0;
    rope.mscale_all_dim = 0.5;
    expect(&rope, want, 4, 1.155721990196261);
}
END_TEST

START_TEST(yarn_keeps_an_attention_factor_that_is_given)
{
    krs_rope_scaling rope = krs_rope_defaults();
    rope.type = KRS_ROPE_TYPE_YARN;
    rope.factor = 4.0;
    rope.original_max_position_embeddings = 64;
    rope.attention_factor = 1.25;
    double got[4], factor;
    compute(&rope, 8, got, &factor);
    ck_assert_double_eq(factor, 1.25);
    rope.attention_factor = 0.0;
    rope.factor = 1.0;
    compute(&rope, 8, got, &factor);
    ck_assert_double_eq(factor, 1.0);
}
END_TEST

static void
expect_refusal(const krs_rope_scaling *rope, int64_t head_dim, const char *text)
{
    krs_error err = {0};
    double got[64], factor;
    ck_assert_int_eq(krs_rope_frequencies(rope, head_dim, got, &factor, &err),
                     KRS_E_RANGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "\"%s\" lacks \"%s\"",
                  err.text, text);
}

START_TEST(settings_that_mean_nothing_are_refused)
{
    krs_rope_scaling rope = krs_rope_defaults();
    expect_refusal(&rope, 7, "head_dim: 7");
    expect_refusal(&rope, 0, "head_dim: 0");
    rope.rope_theta = 1.0;
    expect_refusal(&rope, 8, "rope_theta: 1 is not");
    rope.rope_theta = NAN;
    expect_refusal(&rope, 8, "rope_theta: nan");
    rope = krs_rope_defaults();
    rope.type = KRS_ROPE_TYPE_LINEAR;
    rope.factor = 0.5;
    expect_refusal(&rope, 8, "factor: 0.5");
    rope.type = KRS_ROPE_TYPE_LLAMA3;
    rope.factor = 8.0;
    expect_refusal(&rope, 8, "original_max_position_embeddings: 0");
    rope.original_max_position_embeddings = 16;
    rope.low_freq_factor = 4.0;
    rope.high_freq_factor = 1.0;
    expect_refusal(&rope, 8, "high_freq_factor: 1 is not above");
    rope.type = KRS_ROPE_TYPE_YARN;
    rope.beta_slow = 32.0;
    expect_refusal(&rope, 8, "beta_fast: 32 is not above");
    rope.beta_slow = INFINITY;
    expect_refusal(&rope, 8, "beta_slow: inf");
    rope.type = (krs_rope_type)9;
    expect_refusal(&rope, 8, "rope_type: 9");
}
END_TEST

SUITE(default_frequencies_are_powers_of_theta, linear_divides_every_frequency,
      llama3_keeps_short_waves_and_divides_long_ones,
      yarn_blends_by_rotations_over_the_context,
      yarn_without_truncation_uses_broken_bounds,
      yarn_takes_the_attention_factor_from_both_mscales,
      yarn_keeps_an_attention_factor_that_is_given,
      settings_that_mean_nothing_are_refused)
