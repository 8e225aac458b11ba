/* test_philox.c -- the random function and the streams made of it. */
#include "graph/ir/ir.h"
#include "suite.h"

#include <krs/random.h>

#include <math.h>

/* The three known answers published with the generator (Random123,
 * kat_vectors, philox4x32 with 10 rounds). */
START_TEST(philox_gives_the_published_answers)
{
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } cases[] = {
        {{0, 0, 0, 0},
         {0, 0},
         {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        uint32_t out[4];
        krsi_philox(cases[c].counter, cases[c].key, out);
        for (int i = 0; i < 4; i++)
            ck_assert_uint_eq(out[i], cases[c].answer[i]);
    }
}
END_TEST

START_TEST(the_host_words_are_the_published_ones_in_order)
{
    static const uint32_t answer[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420,
                                       0x24126ea1};
    uint64_t block = UINT64_C(0x85a308d3243f6a88);
    uint64_t seed = UINT64_C(0x299f31d0a4093822);
    uint32_t words[4];
    krsi_random_words(seed, 0x13198a2e, 0x03707344, block, words);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(words[i], answer[i]);
    for (uint64_t i = 0; i < 12; i++) {
        krsi_random_words(5, 6, 7, i / 4, words);
        ck_assert_uint_eq(krs_random_u32(5, 6, 7, i), words[i % 4]);
    }
    /* steps count modulo 2^32 */
    ck_assert_uint_eq(krs_random_u32(5, UINT64_C(0x100000006), 7, 3),
                      krs_random_u32(5, 6, 7, 3));
}
END_TEST

START_TEST(uniform_values_are_multiples_of_two_to_minus_24_below_one)
{
    double sum = 0;
    for (uint64_t i = 0; i < 4096; i++) {
        float u = krs_random_uniform_value(1, 2, 3, i);
        ck_assert(u >= 0 && u < 1);
        ck_assert_float_eq(u * 0x1p24f, floorf(u * 0x1p24f));
        sum += (double)u;
    }
    /* standard error of the mean: sqrt(1/12/4096) = 0.0045 */
    ck_assert_double_eq_tol(sum / 4096, 0.5, 0.02);
}
END_TEST

START_TEST(normal_values_have_the_moments_and_do_not_depend_on_count)
{
    enum { N = 20000 };
    static float all[N], few[5];
    krs_random_fill_normal(all, N, 2.0, 11, 0, 4);
    krs_random_fill_normal(few, 5, 2.0, 11, 0, 4);
    for (int i = 0; i < 5; i++)
        ck_assert_float_eq(few[i], all[i]);
    double sum = 0, squares = 0, fourth = 0;
    for (int i = 0; i < N; i++) {
        double z = (double)all[i] / 2;
        sum += z;
        squares += z * z;
        fourth += z * z * z * z;
    }
    ck_assert_double_eq_tol(sum / N, 0, 0.03);
    ck_assert_double_eq_tol(squares / N, 1, 0.05);
    ck_assert_double_eq_tol(fourth / N, 3, 0.3);
    double u = ((double)krs_random_u32(11, 0, 4, 6) + 1) * 0x1p-32;
    double v = (double)krs_random_u32(11, 0, 4, 7) * 0x1p-32;
    double z = 2 * sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
    ck_assert_double_eq_tol((double)all[3], z, 1e-6);
}
END_TEST

/* One random node in the scope of that name; its stream. */
static int64_t
stream_in(krs_graph *g, const char *scope)
{
    krs_scope_push(g, "%s", scope);
    krs_node node =
        krs_random_uniform(krs_input(g, "seed", KRS_I64, KRS_SCALAR),
                           krs_input(g, "step", KRS_I64, KRS_SCALAR),
                           KRS_SHAPE(4), KRS_STREAM_AUTO);
    krs_scope_pop(g);
    const krsi_node *n = krsi_get(node);
    ck_assert_ptr_nonnull(n);
    return krsi_int(n, 1);
}

START_TEST(automatic_streams_count_in_their_own_scope)
{
    krs_graph *g = krs_graph_new(), *other = krs_graph_new();
    int64_t first = stream_in(g, "a"), second = stream_in(g, "a");
    int64_t elsewhere = stream_in(g, "b"), third = stream_in(g, "a");
    ck_assert(first != second && second != third && first != third);
    ck_assert(elsewhere != first && elsewhere != second && elsewhere != third);
    /* random numbers elsewhere, before or between, change nothing */
    for (int i = 0; i < 100; i++)
        stream_in(other, i % 2 ? "c" : "d");
    ck_assert_int_eq(stream_in(other, "a"), first);
    stream_in(other, "c");
    ck_assert_int_eq(stream_in(other, "b"), elsewhere);
    ck_assert_int_eq(stream_in(other, "a"), second);
    ck_assert_int_eq(stream_in(other, "a"), third);
    krs_graph_free(g);
    krs_graph_free(other);
}
END_TEST

SUITE(philox_gives_the_published_answers,
      the_host_words_are_the_published_ones_in_order,
      uniform_values_are_multiples_of_two_to_minus_24_below_one,
      normal_values_have_the_moments_and_do_not_depend_on_count,
      automatic_streams_count_in_their_own_scope)
