/* test_lower.c -- kernels of maps, gathers, scatters, random numbers and attention
 * against plain C, bit for bit.
 *
 * Sums have test_lower_rows.c, products test_tile_contract.c, functions
 * test_kernel_math.c.
 */
#include "graph/kernel/lower.h"
#include "graph/opt/opt.h"
#include "lowered.h"

#include <krs/random.h>
#include <krs/scan.h>

#include <math.h>
#include <string.h>

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

SUITE(small_integers_wrap_around,
      a_constant_of_two_to_the_63_is_the_largest_i64,
      equal_indices_add_up_in_their_order,
      an_index_outside_is_reported_and_reads_nothing,
      random_numbers_are_those_of_the_host, maps_read_every_kind_of_view,
      a_loop_in_a_loop_binds_nothing_between_the_steps_of_the_device,
      attention_has_the_same_bits_for_every_width_and_in_small_code)
