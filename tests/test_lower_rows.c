/* test_lower_rows.c -- sums, extrema and running sums by kernels keep the order
 * that lower_rows.h states: bit for bit, along and across rows, for every vector
 * width, lengths around it, and every way an operand can lie.
 */
#include "graph/kernel/lower.h"
#include "graph/opt/opt.h"
#include "lowered.h"

#include <math.h>
#include <string.h>

/* The stated order: element k into lane k mod 64, then the tree. */
static float
stated_sum(const float *x, int64_t step, int64_t count)
{
    float lane[64] = {0};
    for (int64_t k = 0; k < count; k++)
        lane[k % 64] += x[k * step];
    for (int half = 32; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

static float
stated_max(const float *x, int64_t step, int64_t count)
{
    float best = x[0];
    for (int64_t k = 1; k < count; k++)
        if (isnan(x[k * step]) || x[k * step] > best)
            best = isnan(best) ? best : x[k * step];
    return best;
}

/* ---- reduce ---- */

/* [5, n] along the last axis, [n, 19] along the first: contiguous rows, and
 * vectors across them */
START_TEST(sums_take_64_lanes_and_a_tree_along_and_across_rows)
{
    static float x[ROOM];
    fill_uneven(x);
    for (size_t l = 0; l < COUNT(lengths); l++) {
        int64_t n = lengths[l];
        for (int axis = 0; axis < 2; axis++) {
            krs_graph *g = krs_graph_new();
            leaves given = {.count = 0};
            krs_node in = krs_input(g, "x", KRS_F32,
                                    axis ? KRS_SHAPE(5, n) : KRS_SHAPE(n, 19));
            int64_t rows = axis ? 5 : 19;
            float want[19];
            for (int64_t r = 0; r < rows; r++)
                want[r] = axis ? stated_sum(x + r * n, 1, n)
                               : stated_sum(x + r, 19, n);
            give(&given, in, x);
            assert_floats(krs_sum(in, KRS_AXES(axis)), &given, want, rows,
                          axis ? "rows" : "columns");
            krs_graph_free(g);
        }
    }
}
END_TEST

/* More turns than a device may allow, unless a turn takes several vectors of a
 * row, or several rows. */
START_TEST(long_sums_keep_the_order_within_the_turns_that_there_are)
{
    static const int64_t sizes[] = {6016, 6211};
    static float x[3 * 6211];
    for (int64_t i = 0; i < (int64_t)COUNT(x); i++)
        x[i] = uneven(i);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        int64_t n = sizes[i];
        krs_graph *g = krs_graph_new();
        leaves given = {.count = 0};
        krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(3 * n));
        krs_node rows = krs_reshape(in, KRS_SHAPE(3, n));
        krs_node columns = krs_reshape(in, KRS_SHAPE(n, 3));
        float along[3], across[3];
        for (int r = 0; r < 3; r++) {
            along[r] = stated_sum(x + r * n, 1, n);
            across[r] = stated_sum(x + r, 3, n);
        }
        give(&given, in, x);
        assert_floats(krs_sum(rows, KRS_AXES(1)), &given, along, 3, "rows");
        assert_floats(krs_sum(columns, KRS_AXES(0)), &given, across, 3,
                      "columns");
        krs_graph_free(g);
    }
}
END_TEST

/* Four axes around the row, which no view merges: one of them is a loop. */
START_TEST(sums_within_a_loop_of_an_item_begin_anew)
{
    enum { A = 3, B = 2, C = 3, D = 4, K = 10 };
    static float x[(A + 1) * (B + 1) * (C + 1) * (D + 1) * (K + 1)];
    for (int axis = 3; axis < 5; axis++) { /* across, along */
        int64_t d = axis == 3 ? K : D, k = axis == 3 ? D : K;
        const int64_t size[] = {A + 1, B + 1, C + 1, d + 1, k + 1};
        float want[A * B * C * D];
        int at = 0;
        for (size_t i = 0; i < COUNT(x); i++)
            x[i] = uneven((int64_t)i);
        for (int64_t i = 0; i < A * B * C * D; i++) {
            int64_t e = i % D, c = i / D % C, b = i / D / C % B,
                    a = i / D / C / B;
            int64_t place = ((a * size[1] + b) * size[2] + c) * size[3];
            want[at++] = axis == 3
                             ? stated_sum(x + place * size[4] + e, size[4], K)
                             : stated_sum(x + (place + e) * size[4], 1, K);
        }
        krs_graph *g = krs_graph_new();
        leaves given = {.count = 0};
        krs_node in =
            krs_input(g, "x", KRS_F32,
                      KRS_SHAPE(size[0], size[1], size[2], size[3], size[4]));
        krs_node y = in;
        for (int i = 0; i < 5; i++)
            y = krs_slice(y, i, 0, size[i] - 1, 1);
        give(&given, in, x);
        assert_floats(krs_sum(y, KRS_AXES(axis)), &given, want, at,
                      axis == 3 ? "across" : "along");
        krs_graph_free(g);
    }
}
END_TEST

START_TEST(a_node_whose_loops_cannot_be_so_short_is_refused)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(5000));
    krs_node y = krs_cumsum(x, 0);
    krsi_facts facts = {
        .lanes = 4, .items_are_lanes = true, .item_turns = 4999};
    krsi_plan plan;
    krs_error err;
    ck_assert_int_eq(krsi_plan_make(&plan, g, &y, 1, &facts, KRSI_SHARE, &err),
                     KRS_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "cumsum: cannot be lowered: its loops turn "
                                   "up to 5001 times in one item, and the "
                                   "device ends them after 4999") != NULL,
                  "%s", err.text);
    facts.item_turns = 5001;
    ck_assert_int_eq(krsi_plan_make(&plan, g, &y, 1, &facts, KRSI_SHARE, &err),
                     KRS_OK);
    krsi_plan_free(&plan);
    krs_graph_free(g);
}
END_TEST

START_TEST(a_node_of_a_type_that_the_device_lacks_is_refused)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F16, KRS_SHAPE(50));
    krs_node y = krs_exp(krs_cast(x, KRS_F32));
    krsi_facts facts = {.lanes = 4, .dtypes = 1U << KRS_F32 | 1U << KRS_I64};
    krsi_plan plan;
    krs_error err;
    ck_assert_int_eq(krsi_plan_make(&plan, g, &y, 1, &facts, KRSI_SHARE, &err),
                     KRS_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "cannot be lowered: the device has no f16, "
                                   "which buffer ") != NULL,
                  "%s", err.text);
    facts.dtypes |= 1U << KRS_F16;
    ck_assert_int_eq(krsi_plan_make(&plan, g, &y, 1, &facts, KRSI_SHARE, &err),
                     KRS_OK);
    krsi_plan_free(&plan);
    krs_graph_free(g);
}
END_TEST

/* loads of four elements that are promised to begin at multiples of four, and
 * those that are not, in the kernels of f(x) for a part of x that begins at row
 * or column base + coefficient * pos */
static void
count_fours(int64_t base, int64_t coefficient, int axis, bool multiplies,
            int *out_fours, int *out_others)
{
    enum { N = 64, HALF = 32 };
    krs_graph *g = krs_graph_new();
    krs_index start = krs_index_plus(
        krs_index_times(krs_var(g, "pos", 0, 7), coefficient), KRS_INDEX(base));
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(N, N));
    krs_node w = krs_input(g, "w", KRS_F32, KRS_SHAPE(HALF, N));
    krs_node part = krs_narrow(x, axis, start, HALF);
    part = krs_narrow(part, 1 - axis, KRS_INDEX(0), HALF);
    krs_node y = multiplies ? krs_matmul(part, w) : krs_exp(part);
    const krsi_facts facts = {.lanes = 4, .items_are_lanes = true};
    krsi_plan plan;
    krs_error err;
    ck_assert_int_eq(krsi_plan_make(&plan, g, &y, 1, &facts, KRSI_SHARE, &err),
                     KRS_OK);
    *out_fours = *out_others = 0;
    for (size_t k = 0; k < plan.kernel_count; k++)
        for (uint32_t i = 0; i < plan.kernels[k]->inst_count; i++) {
            const krs_kinst *load = &plan.kernels[k]->insts[i];
            if (load->op == KRS_K_LOAD && load->type.lanes == 4)
                ++*(load->align_log2 >= 4 ? out_fours : out_others);
        }
    krsi_plan_free(&plan);
    krs_graph_free(g);
}

START_TEST(a_part_that_begins_at_multiples_of_four_is_read_in_fours)
{
    /* of the part's first row or column: base + coefficient * pos */
    const struct {
        int64_t base, coefficient;
        int axis;
        bool in_fours;
    } cases[] = {
        {8, 0, 1, true },
        {6, 0, 1, false},
        {0, 1, 0, true },
        {0, 1, 1, false},
        {0, 4, 1, true },
        {0, 2, 1, false},
        {4, 4, 1, true },
        {2, 4, 1, false}
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int multiplies = 0; multiplies < 2; multiplies++) {
            int fours, others;
            count_fours(cases[i].base, cases[i].coefficient, cases[i].axis,
                        multiplies, &fours, &others);
            ck_assert_msg(
                cases[i].in_fours ? fours > 0 && others == 0 : others > 0,
                "case %zu, %d: %d and %d", i, multiplies, fours, others);
        }
}
END_TEST

/* every other row, backwards, every third element; an expanded axis */
START_TEST(sums_of_strided_views_keep_the_order)
{
    static float x[ROOM];
    fill_uneven(x);
    for (size_t l = 1; l < COUNT(lengths); l++) {
        int64_t n = lengths[l];
        krs_graph *g = krs_graph_new();
        leaves given = {.count = 0};
        krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(6, 3 * n));
        krs_node v =
            krs_slice(krs_slice(in, 0, KRS_END, KRS_END, -2), 1, 2, KRS_END, 3);
        krs_node back = krs_flip(in, 1);
        krs_node same =
            krs_expand(krs_reshape(krs_slice(in, 1, 0, 1, 1), KRS_SHAPE(6, 1)),
                       KRS_SHAPE(6, n));
        float want[6];
        give(&given, in, x);
        for (int64_t r = 0; r < 3; r++)
            want[r] = stated_sum(x + (5 - 2 * r) * 3 * n + 2, 3, n);
        assert_floats(krs_sum(v, KRS_AXES(1)), &given, want, 3, "strides");
        for (int64_t r = 0; r < 6; r++)
            want[r] = stated_sum(x + r * 3 * n + 3 * n - 1, -1, 3 * n);
        assert_floats(krs_sum(back, KRS_AXES(1)), &given, want, 6, "backwards");
        for (int64_t r = 0; r < 6; r++)
            want[r] = stated_sum(x + r * 3 * n, 0, n);
        assert_floats(krs_sum(same, KRS_AXES(1)), &given, want, 6, "expanded");
        krs_graph_free(g);
    }
}
END_TEST

/* axes 0 and 2 of [a, b, c] are one row of a c elements, in that order */
START_TEST(several_axes_sum_as_one_merged_axis)
{
    static float x[ROOM];
    fill_uneven(x);
    krs_graph *g = krs_graph_new();
    leaves given = {.count = 0};
    krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(13, 4, 11));
    float want[4], row[13 * 11], all = stated_sum(x, 1, 13 * 4 * 11);
    give(&given, in, x);
    for (int b = 0; b < 4; b++) {
        for (int a = 0; a < 13; a++)
            memcpy(row + a * 11, x + (a * 4 + b) * 11, 11 * sizeof *row);
        want[b] = stated_sum(row, 1, 13 * 11);
    }
    assert_floats(krs_sum(in, KRS_AXES(0, 2)), &given, want, 4, "0 and 2");
    assert_floats(krs_sum(in, KRS_ALL_AXES), &given, &all, 1, "all");
    krs_graph_free(g);
}
END_TEST

START_TEST(extrema_pass_nan_on_and_see_every_element)
{
    static float x[ROOM];
    for (size_t l = 1; l < COUNT(lengths); l++) {
        int64_t n = lengths[l];
        fill_uneven(x);
        x[n + n / 2] = NAN;      /* row 1 */
        x[2 * n + n - 1] = 1e9F; /* row 2, last */
        for (int64_t k = 0; k < n; k++)
            x[3 * n + k] = -INFINITY; /* row 3 */
        krs_graph *g = krs_graph_new();
        leaves given = {.count = 0};
        krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, n));
        float want[4], least[4];
        give(&given, in, x);
        for (int64_t r = 0; r < 4; r++) {
            want[r] = stated_max(x + r * n, 1, n);
            least[r] = -want[r];
        }
        assert_floats(krs_amax(in, KRS_AXES(1)), &given, want, 4, "amax");
        assert_floats(krs_amin(krs_neg(in), KRS_AXES(1)), &given, least, 4,
                      "amin");
        assert_floats(krs_amax(krs_transpose(in, 0, 1), KRS_AXES(0)), &given,
                      want, 4, "amax across");
        krs_graph_free(g);
    }
}
END_TEST

START_TEST(argmax_names_the_first_of_ties_and_the_first_nan)
{
    const float x[5][6] = {
        {1,         3,         3,         2,         3,         0        },
        {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY},
        {5,         NAN,       9,         NAN,       1,         2        },
        {0.0F,      -0.0F,     0.0F,      -1,        -1,        -1       },
        {-1,        -2,        -3,        -4,        -5,        INFINITY },
    };
    const int64_t want[5] = {1, 0, 1, 0, 5};
    float turned[6][5];
    krs_graph *g = krs_graph_new();
    leaves given = {.count = 0};
    krs_node a = krs_input(g, "a", KRS_F32, KRS_SHAPE(5, 6));
    krs_node b = krs_input(g, "b", KRS_F32, KRS_SHAPE(6, 5));
    for (int r = 0; r < 5; r++)
        for (int k = 0; k < 6; k++)
            turned[k][r] = x[r][k];
    give(&given, a, x);
    give(&given, b, turned);
    assert_bytes(krs_argmax(a, 1), &given, want, sizeof want, "rows");
    assert_bytes(krs_argmax(b, 0), &given, want, sizeof want, "columns");
    krs_graph_free(g);
}
END_TEST

/* ---- prefix ---- */

START_TEST(running_sums_add_one_by_one_from_either_end)
{
    static float x[ROOM], want[ROOM];
    fill_uneven(x);
    for (size_t l = 0; l < COUNT(lengths); l++)
        for (int reverse = 0; reverse < 2; reverse++)
            for (int axis = 0; axis < 2; axis++) {
                int64_t n = lengths[l], rows = 7;
                krs_graph *g = krs_graph_new();
                leaves given = {.count = 0};
                krs_node in =
                    krs_input(g, "x", KRS_F32,
                              axis ? KRS_SHAPE(rows, n) : KRS_SHAPE(n, rows));
                give(&given, in, x);
                for (int64_t r = 0; r < rows; r++) {
                    float sum = 0;
                    for (int64_t k = 0; k < n; k++) {
                        int64_t at = reverse ? n - 1 - k : k;
                        at = axis ? r * n + at : at * rows + r;
                        want[at] = sum += x[at];
                    }
                }
                assert_floats(krsi_cumsum(KRS_HERE, in, axis, reverse), &given,
                              want, n * rows, "cumsum");
                krs_graph_free(g);
            }
}
END_TEST

SUITE(sums_take_64_lanes_and_a_tree_along_and_across_rows,
      long_sums_keep_the_order_within_the_turns_that_there_are,
      sums_within_a_loop_of_an_item_begin_anew,
      a_node_whose_loops_cannot_be_so_short_is_refused,
      a_node_of_a_type_that_the_device_lacks_is_refused,
      a_part_that_begins_at_multiples_of_four_is_read_in_fours,
      sums_of_strided_views_keep_the_order, several_axes_sum_as_one_merged_axis,
      extrema_pass_nan_on_and_see_every_element,
      argmax_names_the_first_of_ties_and_the_first_nan,
      running_sums_add_one_by_one_from_either_end)
