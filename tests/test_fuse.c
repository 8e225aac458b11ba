/* test_fuse.c -- which cuts are merged, as text, and which are not.
 *
 * That merging keeps bits is shown by random graphs (test_fuzz_graph.c).
 */
#include "graph/opt/opt.h"
#include "graph/sched/cut.h"
#include "suite.h"

#include <stdlib.h>
#include <string.h>

/* The fused schedule of the outputs, composites expanded; drop both. */
typedef struct fused {
    krs_graph *graph;
    krsi_sched sched;
} fused;

static fused
fuse_within(uint32_t bindings, const krs_node *outputs, size_t count)
{
    fused f = {0};
    krs_error err = {KRS_OK, ""};
    uint32_t roots[8] = {0}, made[8];
    krs_node node[8];
    for (size_t i = 0; i < count; i++)
        roots[i] = outputs[i].id;
    ck_assert_msg(krsi_expand(outputs[0].graph, roots, count, &f.graph, made,
                              &err) == KRS_OK,
                  "%s", err.text);
    for (size_t i = 0; i < count; i++)
        node[i] = krsi_handle(f.graph, made[i]);
    ck_assert_int_eq(
        krsi_sched_make(&f.sched, f.graph, node, count, NULL, &err), KRS_OK);
    ck_assert_int_eq(krsi_sched_fuse(&f.sched, bindings, &err), KRS_OK);
    return f;
}

static fused
fuse(const krs_node *outputs, size_t count)
{
    return fuse_within(UINT32_MAX, outputs, count);
}

static void
drop(fused *f)
{
    krsi_sched_free(&f->sched);
    krs_graph_free(f->graph);
}

/* the cuts as text, without the list of values */
static void
assert_cuts(const krs_node *outputs, size_t count, const char *expected)
{
    fused f = fuse(outputs, count);
    char *text = krsi_sched_print(&f.sched);
    const char *cuts = text ? strstr(text, "\nwave ") : NULL;
    ck_assert_msg(cuts && strcmp(cuts, expected) == 0,
                  "expected\n%s\nbut it is\n%s", expected, text);
    free(text);
    drop(&f);
}

static size_t
count_cuts(const krs_node *outputs, size_t count)
{
    fused f = fuse(outputs, count);
    size_t cuts = f.sched.cut_count;
    drop(&f);
    return cuts;
}

/* ---- what is merged ---- */

START_TEST(a_softmax_is_one_cut)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 3, 5));
    krs_node y = krs_softmax(x, -1);
    assert_cuts(&y, 1,
                "\nwave 0: %9 div rows\n"
                "    for i < 6, j < 5\n"
                "    a = f32 v0[5*i + j]\n"
                "    v5[5*i + j] = div(exp(sub(a, (amax over j of a))), "
                "(sum over j of exp(sub(a, (amax over j of a)))))\n");
    krs_graph_free(g);
}
END_TEST

START_TEST(loss_and_gradient_of_cross_entropy_read_the_logits_once)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(64, 50));
    krs_node t = krs_input(g, "t", KRS_I64, KRS_SHAPE(64));
    krs_node loss = krs_cross_entropy(x, t, KRS_NONE, NULL);
    krs_node out[2] = {loss, KRS_NONE};
    ck_assert_int_eq(krs_grad(loss, &x, 1, &out[1]), KRS_OK);
    fused f = fuse(out, 2);
    int readers = 0;
    for (size_t i = 0; i < f.sched.cut_count; i++) {
        bool reads = false;
        for (int l = 0; l < f.sched.cuts[i]->loads; l++)
            reads |=
                f.sched.cuts[i]->load[l].view.value == f.sched.view[x.id].value;
        readers += reads;
    }
    ck_assert_int_eq(readers, 1);
    drop(&f);
    krs_graph_free(g);
}
END_TEST

START_TEST(maps_around_a_product_become_part_of_it)
{
    krs_graph *g = krs_graph_new();
    krs_node a = krs_input(g, "a", KRS_F32, KRS_SHAPE(70, 80));
    krs_node b = krs_input(g, "b", KRS_F32, KRS_SHAPE(80, 90));
    krs_node h = krs_input(g, "h", KRS_F32, KRS_SHAPE(70, 90));
    krs_node y = krs_add(krs_matmul(krs_exp(a), b), h);
    assert_cuts(&y, 1,
                "\nwave 0: %5 matmul contract\n"
                "    for i < 70, j < 90, k < 80\n"
                "    a = f32 v0[80*i + k]\n"
                "    b = f32 v1[j + 90*k]\n"
                "    c = f32 v2[90*i + j]\n"
                "    v5[90*i + j] = add((sum over k of exp(a) * b), c)\n");
    krs_graph_free(g);
}
END_TEST

START_TEST(what_is_read_twice_is_one_expression)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 3));
    krs_node c = krs_input(g, "c", KRS_BOOL, KRS_SHAPE(4, 3));
    krs_node w = krs_input(g, "w", KRS_F32, KRS_SHAPE(3, 65));
    krs_node a = krs_where(c, krs_minimum(x, x),
                           krs_full(g, KRS_F32, KRS_SHAPE(4, 3), 0));
    krs_node y = krs_matmul(a, w);
    assert_cuts(
        &y, 1,
        "\nwave 0: %8 matmul contract\n"
        "    for i < 4, j < 65, k < 3\n"
        "    a = f32 v0[3*i + k]\n"
        "    b = bool v1[3*i + k]\n"
        "    c = f32 v2[j + 65*k]\n"
        "    v5[65*i + j] = (sum over k of where(b, minimum(a, a), 0) * "
        "c)\n");
    krs_graph_free(g);
}
END_TEST

START_TEST(what_several_readers_want_is_stored_by_the_merged_cut)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(8, 9));
    krs_node e = krs_exp(krs_sin(x)); /* dear */
    krs_node out[2] = {e, krs_sum(e, KRS_AXES(1))};
    assert_cuts(out, 2,
                "\nwave 0: %4 sum rows\n"
                "    for i < 8, j < 9\n"
                "    a = f32 v0[9*i + j]\n"
                "    v3[i] = (sum over j of exp(sin(a)))\n"
                "    v2[9*i + j] = exp(sin(a))\n");
    krs_graph_free(g);
}
END_TEST

START_TEST(axes_are_split_where_views_need_it)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(6, 4));
    krs_node w = krs_input(g, "w", KRS_F32, KRS_SHAPE(3, 4));
    krs_node y = krs_reshape(krs_exp(x), KRS_SHAPE(2, 3, 4));
    krs_node z = krs_mul(y, w);
    assert_cuts(&z, 1,
                "\nwave 0: %6 mul map\n"
                "    for i < 2, j < 12\n"
                "    a = f32 v0[12*i + j]\n"
                "    b = f32 v1[j]\n"
                "    v3[12*i + j] = mul(exp(a), b)\n");
    krs_graph_free(g);
}
END_TEST

START_TEST(the_step_of_an_optimizer_is_one_cut)
{
    krs_graph *g = krs_graph_new();
    krs_shape shape = KRS_SHAPE(30, 40);
    krs_node p = krs_state(g, "p", KRS_F32, shape);
    krs_node m = krs_state(g, "m", KRS_F32, shape);
    krs_node v = krs_state(g, "v", KRS_F32, shape);
    krs_node d = krs_input(g, "d", KRS_F32, shape);
    krs_node m1 = krs_add(krs_scale(m, 0.9), krs_scale(d, 0.1));
    krs_node v1 = krs_add(krs_scale(v, 0.99), krs_scale(krs_square(d), 0.01));
    krs_node p1 = krs_sub(p, krs_div(m1, krs_offset(krs_sqrt(v1), 1e-8)));
    krs_node out[3] = {krs_update(p, p1), krs_update(m, m1), krs_update(v, v1)};
    ck_assert_uint_eq(count_cuts(out, 3), 1);
    krs_graph_free(g);
}
END_TEST

/* ---- what is not ---- */

START_TEST(independent_reductions_do_not_queue_up)
{
    krs_graph *g = krs_graph_new();
    krs_node sum = KRS_NONE;
    char name[] = "x0";
    for (int i = 0; i < 4; i++, name[1]++) {
        krs_node x = krs_input(g, name, KRS_F32, KRS_SHAPE(9 + i));
        krs_node s = krs_sum(krs_square(x), KRS_ALL_AXES);
        sum = i ? krs_add(sum, s) : s;
    }
    fused f = fuse(&sum, 1);
    int first = 0;
    for (size_t i = 0; i < f.sched.cut_count; i++)
        first += f.sched.cuts[i]->wave == 0;
    ck_assert_int_eq(first, 4);
    drop(&f);
    krs_graph_free(g);
}
END_TEST

START_TEST(rows_and_columns_stay_apart)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(64, 64));
    krs_node y = krs_softmax(x, -1);
    krs_node out[2] = {y, krs_sum(y, KRS_AXES(0))};
    ck_assert_uint_eq(count_cuts(out, 2), 2);
    krs_graph_free(g);
}
END_TEST

START_TEST(a_long_row_alone_does_not_take_in_dear_work)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(1000, 1000));
    krs_node y = krs_sum(krs_sin(krs_exp(x)), KRS_ALL_AXES);
    ck_assert_uint_eq(count_cuts(&y, 1), 2);
    krs_graph_free(g);
}
END_TEST

START_TEST(what_would_be_computed_again_and_again_is_not_taken_in)
{
    krs_graph *g = krs_graph_new();
    krs_node angle = krs_input(g, "angle", KRS_F32, KRS_SHAPE(1, 48));
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(512, 48));
    krs_node y = krs_mul(x, krs_cos(angle));
    ck_assert_uint_eq(count_cuts(&y, 1), 2);
    krs_node z = krs_mul(x, krs_scale(angle, 2)); /* cheap */
    ck_assert_uint_eq(count_cuts(&z, 1), 1);
    krs_graph_free(g);
}
END_TEST

START_TEST(pieces_of_one_value_keep_their_order)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_state(g, "x", KRS_F32, KRS_SHAPE(16));
    krs_node v = krs_input(g, "v", KRS_F32, KRS_SHAPE(16));
    krs_node e = krs_exp(krs_sin(v));
    krs_index start = KRS_INDEX(0);
    krs_node out[2] = {krs_update(x, krs_set_slice(x, e, &start)),
                       krs_sum(e, KRS_ALL_AXES)};
    fused f = fuse(out, 2);
    int copy = -1, piece = -1;
    for (size_t i = 0; i < f.sched.cut_count; i++) {
        const krsi_cut *c = f.sched.cuts[i];
        if (c->out[0].view.value != f.sched.outputs[0])
            continue;
        if (c->after)
            piece = c->wave;
        else
            copy = c->wave;
    }
    ck_assert_int_ge(copy, 0);
    ck_assert_int_gt(piece, copy);
    drop(&f);
    krs_graph_free(g);
}
END_TEST

START_TEST(cuts_of_a_fused_wave_are_independent)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(64, 32));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(32));
    krs_node y = krs_softmax(krs_layer_norm(x, w, KRS_NONE, 1e-5), -1);
    krs_node loss = krs_mean(krs_square(y), KRS_ALL_AXES);
    krs_node wrt[2] = {x, w}, out[3] = {loss};
    ck_assert_int_eq(krs_grad(loss, wrt, 2, out + 1), KRS_OK);
    fused f = fuse(out, 3);
    for (size_t i = 0; i < f.sched.cut_count; i++)
        for (size_t k = 0; k < f.sched.cut_count; k++) {
            const krsi_cut *p = f.sched.cuts[i], *c = f.sched.cuts[k];
            for (int o = 0; o < p->outs; o++)
                for (int l = 0; l < c->loads; l++)
                    ck_assert(c->load[l].view.value != p->out[o].view.value ||
                              c->wave > p->wave);
        }
    drop(&f);
    krs_graph_free(g);
}
END_TEST

START_TEST(a_kernel_binds_no_more_buffers_than_the_device)
{
    krs_graph *g = krs_graph_new();
    krs_node sum = krs_input(g, "a", KRS_F32, KRS_SHAPE(512));
    for (char name[] = "b"; name[0] <= 'f'; name[0]++)
        sum = krs_add(sum, krs_input(g, name, KRS_F32, KRS_SHAPE(512)));
    static const size_t cuts[] = {5, 3, 2, 2, 1, 1}; /* by 3 to 8 buffers */
    for (uint32_t bindings = 3; bindings <= 8; bindings++) {
        fused f = fuse_within(bindings, &sum, 1);
        ck_assert_uint_eq(f.sched.cut_count, cuts[bindings - 3]);
        for (size_t i = 0; i < f.sched.cut_count; i++)
            ck_assert_uint_le(krsi_cut_bindings(f.sched.cuts[i]), bindings);
        drop(&f);
    }
    krs_graph_free(g);
}
END_TEST

SUITE(a_softmax_is_one_cut,
      loss_and_gradient_of_cross_entropy_read_the_logits_once,
      maps_around_a_product_become_part_of_it,
      what_is_read_twice_is_one_expression,
      what_several_readers_want_is_stored_by_the_merged_cut,
      axes_are_split_where_views_need_it, the_step_of_an_optimizer_is_one_cut,
      independent_reductions_do_not_queue_up, rows_and_columns_stay_apart,
      a_long_row_alone_does_not_take_in_dear_work,
      what_would_be_computed_again_and_again_is_not_taken_in,
      pieces_of_one_value_keep_their_order,
      cuts_of_a_fused_wave_are_independent,
      a_kernel_binds_no_more_buffers_than_the_device)
