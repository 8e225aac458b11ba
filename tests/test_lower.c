/* test_lower.c -- kernels of the families map, reduce, prefix and scatter,
 * run by keval, against plain C in the stated order of sums: bit for bit, for
 * every vector width, lengths around it, and every way an operand can lie.
 *
 * Products have test_tile_contract.c, functions test_kernel_math.c.
 */
#include "graph/kernel/lower.h"
#include "graph/opt/opt.h"
#include "suite.h"

#include <krs/random.h>
#include <krs/scan.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LEAVES = 4, POISON_BYTE = 0xA5 };

/* f32 in a vector; those of a device whose items are lanes, too, which may
 * bound the turns of an item's loops */
static const struct {
    uint32_t lanes;
    bool are_items;
    int64_t turns;
    bool is_dear;         /* code is: small kernels */
    uint32_t group_items; /* that share memory; 0: no groups */
} widths[] = {
    {1,  false, 0,   false, 0  },
    {4,  false, 0,   false, 0  },
    {8,  false, 0,   false, 0  },
    {16, false, 0,   false, 0  },
    {4,  true,  0,   false, 0  },
    {4,  true,  600, false, 0  },
    {4,  true,  0,   false, 256},
    {4,  true,  600, false, 64 },
    {1,  false, 0,   true,  0  },
    {4,  false, 0,   true,  0  },
    {16, false, 0,   true,  0  }
};
static const int64_t lengths[] = {0, 1, 2, 63, 64, 65, 129};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Data of leaves, by the order in which they were made. */
typedef struct leaves {
    uint32_t id[MAX_LEAVES];
    const void *data[MAX_LEAVES];
    int count;
} leaves;

static void
give(leaves *l, krs_node x, const void *data)
{
    l->id[l->count] = x.id;
    l->data[l->count++] = data;
}

static void *
memory(size_t bytes)
{
    size_t room = (bytes + 64) / 64 * 64;
    void *p = aligned_alloc(64, room);
    ck_assert_ptr_nonnull(p);
    memset(p, POISON_BYTE, room);
    return p;
}

/* The buffers of all values: leaves filled, all others poisoned. */
static void **
buffers_of(const krsi_sched *s, const leaves *given)
{
    void **buffer = calloc(s->value_count + 1, sizeof *buffer);
    ck_assert_ptr_nonnull(buffer);
    for (size_t i = 0; i < s->value_count; i++) {
        const krsi_storage *v = &s->values[i];
        const krsi_node *n = s->graph->node[v->node];
        buffer[i] = memory(v->bytes);
        if (v->kind == KRSI_STORAGE_CONSTANT)
            memcpy(buffer[i], s->graph->blob[krsi_int(n, 2)].data, v->bytes);
        for (int k = 0; v->kind == KRSI_STORAGE_INPUT && k < given->count; k++)
            if (given->id[k] == v->node)
                memcpy(buffer[i], given->data[k], v->bytes);
    }
    return buffer;
}

static void
launch(const krsi_plan *plan, const krsi_launch *from, void **values,
       int64_t *fault)
{
    const krs_kernel *kernel = plan->kernels[from->kernel];
    krs_kfacts facts = {.struct_size = sizeof facts, .has_fma = true};
    krs_kargument args[KRSI_MAX_ARGS];
    void *buffers[KRSI_MAX_BINDINGS];
    size_t bytes[KRSI_MAX_BINDINGS];
    krs_klaunch run = {.struct_size = sizeof run,
                       .buffers = buffers,
                       .buffer_bytes = bytes,
                       .args = args};
    krs_error err;
    krs_keval *keval;
    for (int i = 0; i < from->bindings; i++) {
        uint32_t value = from->binding[i];
        bool faults = value == KRSI_FAULTS;
        buffers[i] = faults ? fault : values[value];
        bytes[i] = faults ? plan->sched.fault_count * sizeof *fault
                          : plan->sched.values[value].bytes;
    }
    for (int i = 0; i < from->args; i++)
        if (from->arg[i].is_float)
            args[i].f = from->arg[i].number;
        else
            args[i].i = from->arg[i].index.base;
    for (int a = 0; a < KRS_K_AXES; a++)
        run.grid[a] = (from->grid[a].extent.base + from->grid[a].per - 1) /
                      from->grid[a].per;
    ck_assert_msg(krs_keval_open(kernel, &facts, &keval, &err) == KRS_OK, "%s",
                  err.text);
    ck_assert_msg(krs_keval_run(keval, &run, &err) == KRS_OK, "%s", err.text);
    krs_keval_close(keval);
}

/* Run the graph of primitives with vectors of a width; the output into `out`.
 * Gives what the first fault slot holds: INT64_MIN for none. */
static int64_t
run(krs_node y, size_t width, const leaves *given, void *out)
{
    krsi_plan plan;
    krsi_facts facts = {
        .lanes = widths[width].lanes,
        .items_are_lanes = widths[width].are_items,
        .item_turns = widths[width].turns,
        .group_items = widths[width].group_items,
        .shared_bytes = 16 << 10,
        .code_is_dear = widths[width].is_dear,
        .registers = 32,
        .workers = 1,
        .cache_bytes = {32 << 10, 1 << 20, 8 << 20}
    };
    krs_error err;
    ck_assert_msg(krsi_plan_make(&plan, y.graph, &y, 1, &facts, KRSI_SHARE,
                                 &err) == KRS_OK,
                  "%s", err.text);
    _Alignas(64) int64_t fault[8];
    for (size_t i = 0; i < COUNT(fault); i++)
        fault[i] = INT64_MIN;
    void **values = buffers_of(&plan.sched, given);
    for (size_t i = 0; i < plan.launch_count; i++)
        launch(&plan, &plan.launches[i], values, fault);
    uint32_t made = plan.sched.outputs[0];
    memcpy(out, values[made], plan.sched.values[made].bytes);
    for (size_t i = 0; i < plan.sched.value_count; i++)
        free(values[i]);
    free(values);
    krsi_plan_free(&plan);
    return fault[0];
}

/* The same bits for every width; NaN by class. */
static void
assert_floats(krs_node y, const leaves *given, const float *want, int64_t count,
              const char *what)
{
    float *got = memory((size_t)count * sizeof *got);
    for (size_t w = 0; w < COUNT(widths); w++) {
        run(y, w, given, got);
        for (int64_t i = 0; i < count; i++)
            if (memcmp(&got[i], &want[i], 4) != 0 &&
                !(isnan(got[i]) && isnan(want[i])))
                ck_abort_msg("%s, %u lanes: element %lld is %a, not %a", what,
                             widths[w].lanes, (long long)i, (double)got[i],
                             (double)want[i]);
    }
    free(got);
}

static void
assert_bytes(krs_node y, const leaves *given, const void *want, size_t bytes,
             const char *what)
{
    unsigned char *got = memory(bytes);
    for (size_t w = 0; w < COUNT(widths); w++) {
        run(y, w, given, got);
        for (size_t i = 0; i < bytes; i++)
            if (got[i] != ((const unsigned char *)want)[i])
                ck_abort_msg("%s, %u lanes: byte %zu is %u, not %u", what,
                             widths[w].lanes, i, got[i],
                             ((const unsigned char *)want)[i]);
    }
    free(got);
}

/* numbers whose sums depend on the order */
static float
uneven(int64_t i)
{
    return (float)((double)((i * 7919 + 13) % 1009) / 97.0 - 5.1) *
           (i % 5 == 0 ? 1e4F : 1);
}

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

enum { ROOM = 160 * 40 };

static void
fill_uneven(float *x)
{
    for (int64_t i = 0; i < ROOM; i++)
        x[i] = uneven(i);
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

/* ---- integers ---- */

START_TEST(small_integers_wrap_around)
{
    enum { N = 65 };
    int8_t a[N], b[N], sum[N], product[N], running[N], quotient[N];
    uint8_t u[N], shifted[N], total = 0;
    int8_t whole = 0;
    for (int i = 0; i < N; i++) {
        a[i] = (int8_t)(i * 37 - 128);
        b[i] = (int8_t)(i % 2 ? -1 : 127 - i);
        u[i] = (uint8_t)(i * 91);
        sum[i] = (int8_t)(uint8_t)(a[i] + b[i]);
        product[i] = (int8_t)(uint8_t)(a[i] * b[i]);
        quotient[i] = (int8_t)(uint8_t)(b[i] ? a[i] / b[i] : 0);
        shifted[i] = (uint8_t)(u[i] + 200);
        whole = (int8_t)(uint8_t)(whole + a[i]);
        running[i] = whole;
        total = (uint8_t)(total + u[i]);
    }
    krs_graph *g = krs_graph_new();
    leaves given = {.count = 0};
    krs_node x = krs_input(g, "a", KRS_I8, KRS_SHAPE(N));
    krs_node y = krs_input(g, "b", KRS_I8, KRS_SHAPE(N));
    krs_node z = krs_input(g, "u", KRS_U8, KRS_SHAPE(N));
    give(&given, x, a);
    give(&given, y, b);
    give(&given, z, u);
    assert_bytes(krs_add(x, y), &given, sum, N, "i8 add");
    assert_bytes(krs_mul(x, y), &given, product, N, "i8 mul");
    assert_bytes(krs_div(x, y), &given, quotient, N, "i8 div, -128 / -1 too");
    assert_bytes(krs_cumsum(x, 0), &given, running, N, "i8 cumsum");
    assert_bytes(krs_sum(x, KRS_ALL_AXES), &given, &whole, 1, "i8 sum");
    assert_bytes(krs_offset(z, 200), &given, shifted, N, "u8 add");
    assert_bytes(krs_sum(z, KRS_ALL_AXES), &given, &total, 1, "u8 sum");
    krs_graph_free(g);
}
END_TEST

START_TEST(a_constant_of_two_to_the_63_is_the_largest_i64)
{
    int64_t most = INT64_MAX, got[4] = {0};
    krs_graph *g = krs_graph_new();
    leaves given = {.count = 0};
    krs_node x = krs_full(g, KRS_I64, KRS_SHAPE(1), 0x1p63);
    run(x, 4, &given, got);
    ck_assert_int_eq(got[0], most);
    krs_graph_free(g);
}
END_TEST

/* ---- gathers and scatters ---- */

/* columns so that a row of the vector axis is full, masked, and single */
START_TEST(equal_indices_add_up_in_their_order)
{
    static const int64_t widths_of_rows[] = {1, 3, 17, 65};
    const int64_t index[] = {2, 0, 2, 2, 1, 2, 0};
    static float x[ROOM], base[ROOM], want[ROOM];
    fill_uneven(x);
    for (size_t w = 0; w < COUNT(widths_of_rows); w++) {
        int64_t c = widths_of_rows[w];
        krs_graph *g = krs_graph_new();
        leaves given = {.count = 0};
        krs_node to = krs_input(g, "to", KRS_F32, KRS_SHAPE(4, c));
        krs_node at = krs_input(g, "at", KRS_I64, KRS_SHAPE(7));
        krs_node from = krs_input(g, "from", KRS_F32, KRS_SHAPE(7, c));
        for (int64_t i = 0; i < 4 * c; i++)
            want[i] = base[i] = uneven(i + 999);
        for (int i = 0; i < 7; i++)
            for (int64_t k = 0; k < c; k++)
                want[index[i] * c + k] += x[i * c + k];
        give(&given, to, base);
        give(&given, at, index);
        give(&given, from, x);
        assert_floats(krs_index_add(to, at, from, 0), &given, want, 4 * c,
                      "index_add");
        krs_graph_free(g);
    }
}
END_TEST

START_TEST(an_index_outside_is_reported_and_reads_nothing)
{
    const float x[] = {10, 11, 12};
    const int64_t index[] = {2, 3, 0, 1};
    float got[4];
    krs_graph *g = krs_graph_new();
    leaves given = {.count = 0};
    krs_node from = krs_input(g, "x", KRS_F32, KRS_SHAPE(3));
    krs_node at = krs_input(g, "i", KRS_I64, KRS_SHAPE(4));
    give(&given, from, x);
    give(&given, at, index);
    for (size_t w = 0; w < COUNT(widths); w++) {
        ck_assert_int_eq(run(krs_take(from, at, 0), w, &given, got), 3);
        ck_assert_float_eq(got[0], 12);
        ck_assert_float_eq(got[2], 10);
        ck_assert_float_eq(got[3], 11);
    }
    krs_graph_free(g);
}
END_TEST

/* ---- random numbers ---- */

START_TEST(random_numbers_are_those_of_the_host)
{
    const int64_t seed = 0x123456789abcdef, step = 77;
    for (size_t l = 0; l < COUNT(lengths); l++) {
        int64_t n = lengths[l];
        float want[129 * 3];
        krs_graph *g = krs_graph_new();
        leaves given = {.count = 0};
        krs_node s = krs_input(g, "seed", KRS_I64, KRS_SCALAR);
        krs_node t = krs_input(g, "step", KRS_I64, KRS_SCALAR);
        give(&given, s, &seed);
        give(&given, t, &step);
        for (int64_t i = 0; i < 3 * n; i++)
            want[i] = krs_random_uniform_value((uint64_t)seed, (uint64_t)step,
                                               5, (uint64_t)i);
        assert_floats(krs_random_uniform(s, t, KRS_SHAPE(3, n), 5), &given,
                      want, 3 * n, "random");
        krs_graph_free(g);
    }
}
END_TEST

/* ---- map ---- */

/* operands: whole, transposed, expanded along either axis, every third */
START_TEST(maps_read_every_kind_of_view)
{
    static float x[ROOM], want[ROOM];
    fill_uneven(x);
    for (size_t l = 0; l < COUNT(lengths); l++) {
        int64_t n = lengths[l], m = 3;
        krs_graph *g = krs_graph_new();
        leaves given = {.count = 0};
        krs_node a = krs_input(g, "a", KRS_F32, KRS_SHAPE(m, n));
        krs_node t = krs_input(g, "t", KRS_F32, KRS_SHAPE(n, m));
        krs_node row = krs_input(g, "row", KRS_F32, KRS_SHAPE(1, n));
        krs_node column = krs_input(g, "column", KRS_F32, KRS_SHAPE(m, 1));
        krs_node whole[] = {a, krs_permute(t, KRS_AXES(1, 0)), row, column};
        const int64_t stride[][2] = {
            {n, 1},
            {1, m},
            {0, 1},
            {1, 0},
        };
        give(&given, a, x);
        give(&given, t, x + 1000);
        give(&given, row, x + 2000);
        give(&given, column, x + 3000);
        for (int p = 0; p < 4; p++)
            for (int q = 0; q < 4; q++) {
                krs_node y = krs_sub(whole[p], whole[q]);
                if (krs_node_shape(y).dim[0] != m ||
                    krs_node_shape(y).dim[1] != n)
                    continue;
                for (int64_t i = 0; i < m; i++)
                    for (int64_t j = 0; j < n; j++)
                        want[i * n + j] =
                            x[1000 * p + i * stride[p][0] + j * stride[p][1]] -
                            x[1000 * q + i * stride[q][0] + j * stride[q][1]];
                assert_floats(y, &given, want, m * n, "sub");
            }
        krs_graph_free(g);
    }
}
END_TEST

/* A loop in the body of a loop is given nothing, and gives nothing, that moves
 * to where the device cannot bind. */
static size_t
count_moving(const krsi_plan *plan, uint64_t align, size_t *bad)
{
    size_t count = 0;
    const krsi_sched *s = &plan->sched;
    for (size_t i = 0; i < s->cut_count; i++) {
        const krsi_cut *c = s->cuts[i];
        if (c->family != KRSI_CUT_LOOP)
            continue;
        for (int k = 0; k < c->loads + c->outs; k++) {
            uint32_t v = k < c->loads ? c->load[k].view.value
                                      : c->out[k - c->loads].view.value;
            count += s->values[v].moved.terms > 0;
            *bad +=
                s->values[v].moved.terms > 0 && s->values[v].bytes % align != 0;
        }
    }
    for (size_t i = 0; i < plan->loop_count; i++)
        count += count_moving(plan->loops[i].body, align, bad);
    return count;
}

START_TEST(a_loop_in_a_loop_binds_nothing_between_the_steps_of_the_device)
{
    for (int wide = 0; wide < 2; wide++) {
        int64_t width = wide ? 16 : 3;
        krs_graph *g = krs_graph_new();
        krs_node xs = krs_input(g, "xs", KRS_F32, KRS_SHAPE(4, 2, width));
        krs_node h0 = krs_input(g, "h0", KRS_F32, KRS_SHAPE(width));
        krs_scan outer = krs_scan_begin(g, 4, KRS_SCAN_FORWARD);
        krs_node h = krs_scan_carry(outer, h0), x = krs_scan_x(outer, xs);
        krs_scan inner = krs_scan_begin(g, 2, KRS_SCAN_FORWARD);
        krs_node c = krs_scan_carry(inner, h), part = krs_scan_x(inner, x);
        krs_node next = krs_tanh(krs_add(c, part));
        krs_scan_next(inner, c, next);
        krs_scan_keep(inner, next);
        krs_scan_end(inner);
        krs_node kept = krs_scan_kept(inner, next);
        krs_scan_next(outer, h, krs_scan_last(inner, c));
        krs_scan_keep(outer, kept);
        krs_scan_end(outer);
        krs_node outputs[] = {krs_scan_kept(outer, kept),
                              krs_scan_last(outer, h)};
        size_t moving[2];
        for (int k = 0; k < 2; k++) {
            krsi_facts facts = {.lanes = 16,
                                .registers = 32,
                                .workers = 1,
                                .offset_align = k ? 64 : 1,
                                .fuses = true};
            krsi_plan plan;
            krs_error err;
            size_t bad = 0;
            ck_assert_msg(krsi_plan_make(&plan, g, outputs, 2, &facts,
                                         KRSI_SHARE, &err) == KRS_OK,
                          "%s", err.text);
            moving[k] = count_moving(&plan, facts.offset_align, &bad);
            ck_assert_uint_eq(bad, 0);
            krsi_plan_free(&plan);
        }
        /* xs and kept move; where they cannot, copies take their place */
        ck_assert_uint_ge(moving[0], 2);
        ck_assert_uint_eq(moving[1], wide ? moving[0] : 0);
        krs_graph_free(g);
    }
}
END_TEST

/* ---- attention ---- */

enum { HEADS = 2, QUERIES = 37, SIZE = 20, ELEMENTS = HEADS * QUERIES * SIZE };

/* 0: the result; else the gradient of q, k or v. */
static krs_node
attention_or_gradient(krs_node q, krs_node k, krs_node v, int which)
{
    krs_attention_options o = {.struct_size = sizeof o, .causal = true};
    krs_node y = krs_attention(q, k, v, KRS_NONE, &o), made;
    if (which == 0)
        return y;
    const krs_node of[] = {q, k, v};
    krs_node loss = krs_sum(krs_mul(y, y), KRS_ALL_AXES);
    ck_assert_int_eq(krs_grad(loss, &of[which - 1], 1, &made), KRS_OK);
    return made;
}

START_TEST(attention_has_the_same_bits_for_every_width_and_in_small_code)
{
    static float x[3][ELEMENTS], first[ELEMENTS], got[ELEMENTS];
    for (int i = 0; i < 3 * ELEMENTS; i++)
        x[i / ELEMENTS][i % ELEMENTS] = uneven(i) * 1e-4F;
    for (int which = 0; which < 4; which++) {
        krs_graph *g = krs_graph_new(), *made;
        krs_node in[3];
        static const char *const names[] = {"q", "k", "v"};
        for (int i = 0; i < 3; i++)
            in[i] = krs_input(g, names[i], KRS_F32,
                              KRS_SHAPE(1, HEADS, QUERIES, SIZE));
        krs_node y = attention_or_gradient(in[0], in[1], in[2], which);
        uint32_t roots[] = {y.id, in[0].id, in[1].id, in[2].id};
        krs_error err;
        ck_assert_int_eq(
            krsi_expand_to_families(g, roots, 4, &made, roots, &err), KRS_OK);
        leaves given = {.count = 0};
        for (int i = 0; i < 3; i++)
            give(&given, krsi_handle(made, roots[i + 1]), x[i]);
        for (size_t w = 0; w < COUNT(widths); w++) {
            if (widths[w].turns)
                continue; /* too few for attention */
            run(krsi_handle(made, roots[0]), w, &given, w ? got : first);
            ck_assert_msg(!w || !memcmp(got, first, sizeof got),
                          "out or gradient %d, width %zu: other bits", which,
                          w);
        }
        ck_assert(isfinite(first[ELEMENTS - 1]) && first[ELEMENTS - 1] != 0);
        krs_graph_free(made);
        krs_graph_free(g);
    }
}
END_TEST

SUITE(attention_has_the_same_bits_for_every_width_and_in_small_code,
      sums_take_64_lanes_and_a_tree_along_and_across_rows,
      long_sums_keep_the_order_within_the_turns_that_there_are,
      sums_within_a_loop_of_an_item_begin_anew,
      a_node_whose_loops_cannot_be_so_short_is_refused,
      a_node_of_a_type_that_the_device_lacks_is_refused,
      a_part_that_begins_at_multiples_of_four_is_read_in_fours,
      sums_of_strided_views_keep_the_order, several_axes_sum_as_one_merged_axis,
      extrema_pass_nan_on_and_see_every_element,
      argmax_names_the_first_of_ties_and_the_first_nan,
      running_sums_add_one_by_one_from_either_end, small_integers_wrap_around,
      a_constant_of_two_to_the_63_is_the_largest_i64,
      equal_indices_add_up_in_their_order,
      an_index_outside_is_reported_and_reads_nothing,
      random_numbers_are_those_of_the_host, maps_read_every_kind_of_view,
      a_loop_in_a_loop_binds_nothing_between_the_steps_of_the_device)
