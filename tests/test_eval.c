/* test_eval.c -- the graph interpreter: views, products, gathers, runtime integers,
 * random numbers, whole graphs. Maps and reductions are in test_eval_map.c.
 */
#include "evaluated.h"
#include "graph/ir/eval.h"
#include "graph/opt/opt.h"

#include <krs/ops.h>
#include <krs/random.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static void
expect_failure(krs_node out, krs_status status, const char *text)
{
    ck_assert_int_eq(evaluate(out), status);
    ck_assert_int_eq(r.err.status, status);
    /* the place is this file; the line may move */
    char want[KRS_ERROR_TEXT];
    size_t length =
        (size_t)snprintf(want, sizeof want, "%s (test_eval.c:", text);
    ck_assert_msg(strncmp(r.err.text, want, length) == 0, "got:  %s\nwant: %s",
                  r.err.text, want);
}

/* ---- views ---- */

START_TEST(permutations_of_rank_four_equal_plain_loops)
{
    static const int dim[4] = {2, 3, 1, 4};
    double x[24], want[24];
    begin();
    for (int i = 0; i < 24; i++)
        x[i] = i;
    krs_node in = give(KRS_F32, KRS_SHAPE(2, 3, 1, 4), x);
    int done = 0;
    for (int code = 0; code < 256; code++) {
        int p[4] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6};
        if ((1 << p[0] | 1 << p[1] | 1 << p[2] | 1 << p[3]) != 15)
            continue;
        int to = 0, at[4];
        for (at[p[0]] = 0; at[p[0]] < dim[p[0]]; at[p[0]]++)
            for (at[p[1]] = 0; at[p[1]] < dim[p[1]]; at[p[1]]++)
                for (at[p[2]] = 0; at[p[2]] < dim[p[2]]; at[p[2]]++)
                    for (at[p[3]] = 0; at[p[3]] < dim[p[3]]; at[p[3]]++)
                        want[to++] = x[(at[0] * 3 + at[1]) * 4 + at[3]];
        /* the sum before keeps the operand's memory from being the input */
        krs_node moved =
            krs_permute(krs_add(in, in), KRS_AXES(p[0], p[1], p[2], p[3]));
        for (int i = 0; i < 24; i++)
            want[i] *= 2;
        expect_floats(moved, 24, want);
        done++;
    }
    ck_assert_int_eq(done, 24);
}
END_TEST

START_TEST(slices_pads_and_joins_move_the_right_elements)
{
    begin();
    krs_node x = give(KRS_F32, KRS_SHAPE(2, 4), F(0, 1, 2, 3, 4, 5, 6, 7));
    expect_floats(krs_slice(x, 1, KRS_END, KRS_END, -2), 4, F(3, 1, 7, 5));
    expect_floats(krs_slice(x, 1, 1, 4, 2), 4, F(1, 3, 5, 7));
    expect_floats(krs_slice(x, 0, 1, 2, 1), 4, F(4, 5, 6, 7));
    expect_floats(krs_flip(x, 0), 8, F(4, 5, 6, 7, 0, 1, 2, 3));
    int64_t before[2] = {1, -1}, after[2] = {0, 1};
    expect_floats(krs_pad(x, before, after, 9), 12,
                  F(9, 9, 9, 9, 1, 2, 3, 9, 5, 6, 7, 9));
    krs_node parts[3] = {x, krs_slice(x, 1, 0, 1, 1), krs_neg(x)};
    expect_floats(
        krs_concat(parts, 3, 1), 18,
        F(0, 1, 2, 3, 0, 0, -1, -2, -3, 4, 5, 6, 7, 4, -4, -5, -6, -7));
    expect_floats(krs_concat(parts + 2, 1, 0), 8,
                  F(0, -1, -2, -3, -4, -5, -6, -7));
    krs_node pair[2] = {x, parts[2]};
    expect_floats(krs_slice(krs_stack(pair, 2, 2), 1, 3, 4, 1), 4,
                  F(3, -3, 7, -7));
    krs_index at[2] = {KRS_INDEX(1), KRS_INDEX(2)};
    krs_node v = give(KRS_F32, KRS_SHAPE(1, 2), F(-1, -2));
    expect_floats(krs_set_slice(x, v, at), 8, F(0, 1, 2, 3, 4, 5, -1, -2));
    expect_floats(
        krs_expand(krs_reshape(v, KRS_SHAPE(2, 1)), KRS_SHAPE(2, 2, 3)), 12,
        F(-1, -1, -1, -2, -2, -2, -1, -1, -1, -2, -2, -2));
    krs_node id = krs_iota(r.g, KRS_I32, KRS_SHAPE(2, 3, 2), 1);
    expect_ints(id, 12, I(0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2));
    expect_floats(krs_iota(r.g, KRS_F32, KRS_SHAPE(3), 0), 3, F(0, 1, 2));
    krs_node bytes = give(KRS_U8, KRS_SHAPE(2), I(1, 2));
    int64_t one = 1;
    expect_ints(krs_pad(bytes, &one, &one, 255), 4, I(255, 1, 2, 255));
}
END_TEST

START_TEST(memory_is_reused_only_when_nobody_reads_it_again)
{
    begin();
    krs_node x = FLOATS(2, 3, 4);
    krs_node a = krs_exp(x), b = krs_neg(a), c = krs_mul(a, a);
    krs_node view = krs_reshape(a, KRS_SHAPE(2, 1));
    krs_node d =
        krs_add(krs_add(b, c), krs_reshape(krs_sqrt(view), KRS_SHAPE(2)));
    double e3 = exp(3), e4 = exp(4);
    expect_floats(krs_add(d, a), 2, F(e3 * e3 + sqrt(e3), e4 * e4 + sqrt(e4)));
    /* a value scattered into itself is read as it was */
    krs_node y = krs_add(x, x), index = INTS(2, 1, 1);
    expect_floats(krs_index_add(y, index, y, 0), 2, F(6, 8 + 6 + 8));
    expect_floats(krs_scatter_add(y, index, y, 0), 2, F(6, 22));
    krs_index at = KRS_INDEX(0);
    expect_floats(krs_set_slice(y, y, &at), 2, F(6, 8));
    krs_node k = INTS(2, 5, 0);
    expect_floats(krs_cast(krs_add(k, k), KRS_F32), 2, F(10, 0));
}
END_TEST

/* ---- products ---- */

static double
fill(int i)
{
    return (i * 37 % 101 - 50) / 16.0;
}

START_TEST(products_in_all_four_orientations_equal_plain_loops)
{
    static const int sizes[][3] = {
        {1, 1,   1  },
        {3, 5,   7  },
        {4, 6,   4  },
        {2, 300, 131},
        {9, 259, 130}
    };
    static double a[90000], b[90000], want[90000];
    for (int i = 0; i < 90000; i++) {
        a[i] = fill(i);
        b[i] = fill(i + 13);
    }
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
        for (int form = 0; form < 4; form++) {
            bool ta = form & 1, tb = form & 2;
            begin();
            r.leaves = 0;
            krs_node x =
                give(KRS_F32, ta ? KRS_SHAPE(2, k, m) : KRS_SHAPE(2, m, k), a);
            krs_node y =
                give(KRS_F32, tb ? KRS_SHAPE(2, n, k) : KRS_SHAPE(2, k, n), b);
            for (int z = 0; z < 2; z++)
                for (int i = 0; i < m; i++)
                    for (int j = 0; j < n; j++) {
                        double sum = 0;
                        for (int t = 0; t < k; t++)
                            sum += a[z * m * k + (ta ? t * m + i : i * k + t)] *
                                   b[z * n * k + (tb ? j * k + t : t * n + j)];
                        want[(z * m + i) * n + j] = sum;
                    }
            expect_floats(krsi_matmul(KRS_HERE, x, y, ta, tb), 2 * m * n, want);
            krs_graph_free(r.g);
        }
    }
}
END_TEST

START_TEST(a_zero_times_nan_is_nan_and_halves_round_once)
{
    begin();
    krs_node a = give(KRS_F32, KRS_SHAPE(1, 2), F(0, 1));
    krs_node b = give(KRS_F32, KRS_SHAPE(2, 2), F(NAN, 3, 4, 5));
    expect_floats(krs_matmul(a, b), 2, F(NAN, 5));
    krs_node h = give(KRS_BF16, KRS_SHAPE(1, 2), F(1, 0.0078125));
    expect_floats(krs_matmul_nt(h, h), 1, F(1));
    krs_node w = give(KRS_F16, KRS_SHAPE(1, 2), F(1, 0.0078125));
    expect_floats(krs_matmul_nt(w, w), 1, F(1));
}
END_TEST

/* Blocks of 32 built by hand: scale 0.5 (f16 0x3800), minimum 2 (0x4000). */
START_TEST(block_weights_are_read_as_their_format_says)
{
    static uint8_t q8[2 * 34], q4[2 * 18], q41[2 * 20];
    static double x[32], w[3][2][32], want[3][2];
    for (int n = 0; n < 2; n++) {
        uint8_t *b8 = q8 + 34 * n, *b4 = q4 + 18 * n, *b41 = q41 + 20 * n;
        b8[1] = b4[1] = b41[1] = 0x38;
        b41[3] = 0x40;
        for (int i = 0; i < 32; i++) {
            int signed_byte = i * 8 - 128 + n, low = (i * 5 + n) % 16;
            x[i] = i - 10;
            b8[2 + i] = (uint8_t)signed_byte;
            uint8_t bits = (uint8_t)(i < 16 ? low : low << 4);
            b4[2 + i % 16] |= bits;
            b41[4 + i % 16] |= bits;
            w[0][n][i] = 0.5 * signed_byte;
            w[1][n][i] = 0.5 * (low - 8);
            w[2][n][i] = 0.5 * low + 2;
        }
        for (int f = 0; f < 3; f++)
            for (int i = 0; i < 32; i++)
                want[f][n] += w[f][n][i] * x[i];
    }
    static const krs_dtype type[3] = {KRS_Q8_0, KRS_Q4_0, KRS_Q4_1};
    const void *data[3] = {q8, q4, q41};
    begin();
    krs_node one = give(KRS_F32, KRS_SHAPE(1, 32), x);
    krs_node many = krs_expand(one, KRS_SHAPE(5, 32));
    krs_node index = INTS(2, 1, 0);
    for (int f = 0; f < 3; f++) {
        krs_node b = give(type[f], KRS_SHAPE(2, 32), data[f]);
        krs_node c = krs_constant(r.g, type[f], KRS_SHAPE(2, 32), data[f]);
        expect_floats(krs_matmul_nt(one, b), 2, want[f]);
        expect_floats(krs_matmul_nt(one, c), 2, want[f]);
        expect_floats(krs_slice(krs_matmul_nt(many, b), 0, 4, 5, 1), 2,
                      want[f]);
        expect_floats(krs_slice(krs_take(b, index, 0), 0, 0, 1, 1), 32,
                      w[f][1]);
    }
}
END_TEST

/* ---- gathers ---- */

START_TEST(takes_and_gathers_equal_their_definitions)
{
    begin();
    krs_node x = give(KRS_F32, KRS_SHAPE(2, 3, 2),
                      F(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    krs_node index = give(KRS_I64, KRS_SHAPE(2, 2), I(2, 0, 0, 1));
    expect_floats(krs_take(x, index, 1), 16,
                  F(4, 5, 0, 1, 0, 1, 2, 3, 10, 11, 6, 7, 6, 7, 8, 9));
    krs_node src =
        give(KRS_F32, KRS_SHAPE(2, 2, 2, 2),
             F(1, 2, 3, 4, 5, 6, 7, 8, 10, 20, 30, 40, 50, 60, 70, 80));
    expect_floats(krs_index_add(x, index, src, 1), 12,
                  F(0 + 3 + 5, 1 + 4 + 6, 2 + 7, 3 + 8, 4 + 1, 5 + 2,
                    6 + 30 + 50, 7 + 40 + 60, 8 + 70, 9 + 80, 10 + 10,
                    11 + 20));
    krs_node m = give(KRS_F32, KRS_SHAPE(3, 2), F(0, 1, 2, 3, 4, 5));
    krs_node at = give(KRS_I32, KRS_SHAPE(2, 2), I(2, 0, 1, 1));
    expect_floats(krs_gather(m, at, 0), 4, F(4, 1, 2, 3));
    krs_node along = give(KRS_I32, KRS_SHAPE(2, 3), I(1, 1, 0, 0, 0, 1));
    expect_floats(krs_gather(m, along, 1), 6, F(1, 1, 0, 2, 2, 3));
    krs_node add = give(KRS_F32, KRS_SHAPE(2, 3), F(1, 2, 4, 8, 16, 32));
    expect_floats(krs_scatter_add(m, along, add, 1), 6,
                  F(0 + 4, 1 + 3, 2 + 24, 3 + 32, 4, 5));
    krs_node whole = give(KRS_I64, KRS_SHAPE(2, 1), I(INT64_MAX, 0));
    krs_node zero = give(KRS_I64, KRS_SHAPE(1), I(0));
    krs_node more = give(KRS_I64, KRS_SHAPE(1, 1), I(1));
    expect_ints(krs_index_add(whole, zero, more, 0), 2, I(INT64_MIN, 0));
    krs_node scalar = give(KRS_I64, KRS_SCALAR, I(1));
    expect_floats(krs_take(m, scalar, 0), 2, F(2, 3));
}
END_TEST

START_TEST(an_index_outside_is_named_with_its_place)
{
    begin();
    krs_node y = give(KRS_F32, KRS_SHAPE(3, 2), F(0, 1, 2, 3, 4, 5));
    krs_node bad = give(KRS_I64, KRS_SHAPE(2, 2), I(0, 2, 1, 3));
    krs_node low = give(KRS_I64, KRS_SHAPE(2, 2), I(0, 2, -1, 0));
    krs_scope_push(r.g, "encoder.layer%d", 3);
    /* where there is nothing to move no index is followed */
    krs_node none = give(KRS_F32, KRS_SHAPE(2, 0), F(0));
    expect_floats(krs_take(none, bad, 0), 0, F(0));
    krs_node take = krs_take(y, bad, 0);
    krs_node gather = krs_gather(y, low, 0);
    krs_scope_pop(r.g);
    expect_failure(take, KRS_E_RANGE,
                   "encoder.layer3: take: index 3 at position [1,1] is outside "
                   "axis 0 of size 3");
    expect_failure(gather, KRS_E_RANGE,
                   "encoder.layer3: gather: index -1 at position [1,0] is "
                   "outside axis 0 of size 3");
    expect_failure(krs_index_add(y, give(KRS_I64, KRS_SHAPE(1), I(7)),
                                 give(KRS_F32, KRS_SHAPE(3, 1), F(1, 1, 1)), 1),
                   KRS_E_RANGE,
                   "index_add: index 7 at position [0] is outside axis 1 of "
                   "size 2");
    expect_failure(
        krs_scatter_add(y, bad, give(KRS_F32, KRS_SHAPE(2, 2), F(1, 1, 1, 1)),
                        0),
        KRS_E_RANGE,
        "scatter_add: index 3 at position [1,1] is outside axis 0 "
        "of size 3");
}
END_TEST

/* ---- runtime integers ---- */

START_TEST(runtime_starts_move_and_are_checked)
{
    begin();
    krs_index pos = krs_var(r.g, "pos", 0, 9);
    krs_node x = FLOATS(5, 0, 1, 2, 3, 4);
    krs_node two = krs_narrow(x, 0, pos, 2);
    krs_node set = krs_set_slice(x, FLOATS(2, -1, -2), &pos);
    r.var[0] = 3;
    expect_floats(two, 2, F(3, 4));
    expect_floats(set, 5, F(0, 1, 2, -1, -2));
    expect_ints(krs_index_node(r.g, krs_index_plus(krs_index_times(pos, 4),
                                                   KRS_INDEX(-2))),
                1, I(10));
    r.var[0] = 4;
    expect_failure(two, KRS_E_RANGE,
                   "slice: start 4 (pos) of axis 0: 2 elements by step 1 do "
                   "not fit in size 5");
    expect_failure(set, KRS_E_RANGE,
                   "set_slice: start 4 (pos) of axis 0: 2 elements by step 1 "
                   "do not fit in size 5");
}
END_TEST

START_TEST(only_the_live_part_takes_part)
{
    begin();
    krs_index n = krs_var(r.g, "n", 0, 3);
    krs_node x = give(KRS_F32, KRS_SHAPE(2, 3), F(1, 2, 100, 3, 4, 100));
    krs_node part = krs_live(x, 1, n);
    krs_node rows = krs_live(krs_transpose(x, 0, 1), 0, n); /* [3,2] */
    r.var[0] = 2;
    expect_floats(part, 6, F(1, 2, 0, 3, 4, 0));
    expect_floats(rows, 6, F(1, 3, 2, 4, 0, 0));
    expect_floats(krs_sum(part, KRS_AXES(1)), 2, F(3, 7));
    expect_floats(krs_mean(part, KRS_AXES(1)), 2, F(1.5, 3.5));
    expect_floats(krs_sum(part, KRS_AXES(0)), 3, F(4, 6, 0));
    expect_floats(krs_amax(part, KRS_ALL_AXES), 1, F(4));
    expect_ints(krs_argmax(part, 1), 2, I(1, 1));
    expect_floats(krs_cumsum(part, 1), 6, F(1, 3, 0, 3, 7, 0));
    expect_floats(krs_exp(part), 6, F(exp(1), exp(2), 0, exp(3), exp(4), 0));
    expect_floats(krs_matmul(part, rows), 4, F(5, 11, 11, 25));
    expect_floats(krs_matmul_tn(part, part), 9,
                  F(10, 14, 0, 14, 20, 0, 0, 0, 0));
    expect_floats(krs_permute(part, KRS_AXES(1, 0)), 6, F(1, 3, 2, 4, 0, 0));
    double e = exp(1), p = 1 / (1 + e);
    expect_floats(krs_softmax(part, 1), 6, F(p, 1 - p, 0, p, 1 - p, 0));
    expect_floats(krs_reshape(part, KRS_SHAPE(2, 1, 3)), 6,
                  F(1, 2, 0, 3, 4, 0));
    expect_ints(krs_eq(part, part), 6, I(1, 1, 0, 1, 1, 0));
    expect_floats(krs_zeros_like(part), 6, F(0, 0, 0, 0, 0, 0));
    krs_node index = INTS(1, 1);
    expect_floats(krs_take(rows, index, 0), 2, F(2, 4));
    krs_node single = krs_live(krs_slice(x, 1, 0, 1, 1), 1,
                               krs_var(r.g, "one", 1, 1)); /* [2,<=1] */
    r.var[1] = 1;
    expect_floats(krs_softmax(single, 1), 2, F(1, 1));
    r.var[0] = 1;
    expect_failure(krs_take(rows, index, 0), KRS_E_RANGE,
                   "take: index 1 at position [0] is outside axis 0 of size 1");
    r.var[0] = 0;
    expect_floats(krs_sum(part, KRS_AXES(1)), 2, F(0, 0));
    expect_floats(krs_matmul(part, rows), 4, F(0, 0, 0, 0));
    expect_failure(krs_amax(part, KRS_AXES(1)), KRS_E_RANGE,
                   "amax: no elements are live at this run, and nothing has "
                   "no extremum");
}
END_TEST

/* ---- random numbers ---- */

START_TEST(random_elements_are_those_of_the_host)
{
    begin();
    krs_node seed = give(KRS_I64, KRS_SCALAR, I(INT64_C(-77)));
    krs_node step = give(KRS_I64, KRS_SCALAR, I(12));
    krs_node u = krs_random_uniform(seed, step, KRS_SHAPE(3, 7), 5);
    double want[21];
    for (uint64_t i = 0; i < 21; i++)
        want[i] =
            (double)krs_random_uniform_value((uint64_t)INT64_C(-77), 12, 5, i);
    expect_floats(u, 21, want);
    krs_index n = krs_var(r.g, "n", 0, 7);
    r.var[0] = 2;
    expect_floats(krs_sum(krs_live(u, 1, n), KRS_AXES(1)), 3,
                  F(want[0] + want[1], want[7] + want[8], want[14] + want[15]));
}
END_TEST

/* ---- the whole ---- */

START_TEST(a_chain_of_100000_nodes_runs)
{
    begin();
    krs_node x = FLOATS(2, 0, 1), y = x;
    for (int i = 0; i < 50000; i++)
        y = krs_add(krs_neg(y), x);
    ck_assert_uint_gt(krs_graph_size(r.g), 100000);
    expect_floats(y, 2, F(0, 1));
}
END_TEST

START_TEST(a_leaf_without_data_and_a_composite_are_named)
{
    begin();
    krsi_eval *eval;
    krs_node x = krs_input(r.g, "x", KRS_F32, KRS_SHAPE(2));
    krs_node s = krs_softmax(x, 0);
    ck_assert_int_eq(krsi_eval_new(r.g, &s.id, 1, &eval, &r.err),
                     KRS_E_INTERNAL);
    ck_assert_str_eq(r.err.text,
                     "eval: node 2 is a softmax, which is not a primitive");
    ck_assert_int_eq(krsi_eval_new(r.g, &x.id, 1, &eval, &r.err), KRS_OK);
    ck_assert_int_eq(krsi_eval_run(eval, NULL, NULL, &r.err), KRS_E_NAME);
    ck_assert_str_eq(r.err.text,
                     "input 'x' has no value; set it before the run");
    atomic_int cancel = 1;
    ck_assert_int_eq(krsi_eval_run(eval, NULL, &cancel, &r.err),
                     KRS_E_CANCELLED);
    ck_assert_str_eq(r.err.text, "the run was cancelled at step 0 of 1");
    krsi_eval_free(eval);
}
END_TEST

START_TEST(expansion_keeps_scopes_places_and_variables)
{
    begin();
    krs_index a = krs_var(r.g, "a", 0, 4), b = krs_var(r.g, "b", 1, 2);
    krs_node x = krs_input(r.g, "x", KRS_F32, KRS_SHAPE(4, 8));
    krs_scope_push(r.g, "head");
    krs_node w = krs_state(r.g, "w", KRS_F32, KRS_SHAPE(8));
    krs_node y = krs_cross_entropy(krs_layer_norm(x, w, KRS_NONE, 1e-5),
                                   krs_argmax(x, 1), KRS_NONE, NULL);
    krs_scope_pop(r.g);
    krs_node z = krs_narrow(x, 0, krs_index_plus(a, b), 1);
    uint32_t roots[2] = {y.id, z.id};
    size_t before = krs_graph_size(r.g);
    krs_graph *out;
    ck_assert_int_eq(krsi_compile(r.g, roots, 2, "expand", KRSI_KEEP_PRIMITIVES,
                                  &out, roots, &r.err),
                     KRS_OK);
    ck_assert_uint_eq(krs_graph_size(r.g), before);
    krs_graph_free(r.g);
    ck_assert_uint_eq(out->vars, 2);
    ck_assert_str_eq(out->string[out->var[1].name], "b");
    ck_assert_uint_eq(out->leaves, 2);
    ck_assert_str_eq(krs_node_name(krs_graph_node(out, out->leaf[1])),
                     "head.w");
    ck_assert_str_eq(out->string[out->node[roots[0]]->scope], "head");
    ck_assert_str_eq(out->string[out->node[roots[0]]->file], "test_eval.c");
    for (size_t id = 1; id <= out->nodes; id++)
        ck_assert(!krsi_ops[out->node[id]->op].composite);
    krs_graph *none;
    ck_assert_int_eq(krsi_compile(out, roots, 2, "sched", KRSI_KEEP_PRIMITIVES,
                                  &none, roots, &r.err),
                     KRS_E_NAME);
    ck_assert_str_eq(r.err.text,
                     "no stage 'sched'; there are graph, expand, opt");
    ck_assert_str_eq(krsi_stage_name(1), "expand");
    ck_assert_ptr_null(krsi_stage_name(3));
    krs_graph_free(out);
}
END_TEST

SUITE(permutations_of_rank_four_equal_plain_loops,
      slices_pads_and_joins_move_the_right_elements,
      memory_is_reused_only_when_nobody_reads_it_again,
      products_in_all_four_orientations_equal_plain_loops,
      a_zero_times_nan_is_nan_and_halves_round_once,
      block_weights_are_read_as_their_format_says,
      takes_and_gathers_equal_their_definitions,
      an_index_outside_is_named_with_its_place,
      runtime_starts_move_and_are_checked, only_the_live_part_takes_part,
      random_elements_are_those_of_the_host, a_chain_of_100000_nodes_runs,
      a_leaf_without_data_and_a_composite_are_named,
      expansion_keeps_scopes_places_and_variables)
