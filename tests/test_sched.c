/* test_sched.c -- schedules as text, and what they promise: views cost
 * nothing, waves are independent, what cannot be affine is copied.
 */
#include "graph/opt/opt.h"
#include "graph/sched/cut.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>

/* The schedule of the outputs, composites expanded; free both. */
typedef struct scheduled {
    krs_graph *graph;
    krsi_sched sched;
    char *text;
} scheduled;

static scheduled
schedule(const krs_node *outputs, size_t count)
{
    scheduled s = {0};
    krs_error err = {KRS_OK, ""};
    uint32_t roots[8] = {0}, made[8];
    krs_node node[8];
    for (size_t i = 0; i < count; i++)
        roots[i] = outputs[i].id;
    ck_assert_msg(krsi_expand(outputs[0].graph, roots, count, &s.graph, made,
                              &err) == KRS_OK,
                  "%s", err.text);
    for (size_t i = 0; i < count; i++)
        node[i] = krsi_handle(s.graph, made[i]);
    ck_assert_msg(krsi_sched_make(&s.sched, s.graph, node, count, &err) ==
                      KRS_OK,
                  "%s", err.text);
    s.text = krsi_sched_print(&s.sched);
    ck_assert_ptr_nonnull(s.text);
    return s;
}

static void
drop(scheduled *s)
{
    free(s->text);
    krsi_sched_free(&s->sched);
    krs_graph_free(s->graph);
}

static void
assert_text(const krs_node *outputs, size_t count, const char *expected)
{
    scheduled s = schedule(outputs, count);
    ck_assert_msg(strcmp(s.text, expected) == 0, "expected\n%s\nbut it is\n%s",
                  expected, s.text);
    drop(&s);
}

START_TEST(softmax_prints_as_rows_of_cuts)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 3, 5));
    krs_node y = krs_softmax(x, -1);
    assert_text(&y, 1,
                "v0 input f32[2,3,5] \"x\"\n"
                "v1 temporary f32[2,3,1]\n"
                "v2 temporary f32[2,3,5]\n"
                "v3 temporary f32[2,3,5]\n"
                "v4 temporary f32[2,3,1]\n"
                "v5 output f32[2,3,5]\n"
                "\n"
                "wave 0: %2 amax reduce\n"
                "    for i < 6, j < 5\n"
                "    a = f32 v0[5*i + j]\n"
                "    v1[i] = amax over j of a\n"
                "\n"
                "wave 1: %5 sub map\n"
                "    for i < 6, j < 5\n"
                "    a = f32 v0[5*i + j]\n"
                "    b = f32 v1[i]\n"
                "    v2[5*i + j] = sub(a, b)\n"
                "\n"
                "wave 2: %6 exp map\n"
                "    for i < 30\n"
                "    a = f32 v2[i]\n"
                "    v3[i] = exp(a)\n"
                "\n"
                "wave 3: %7 sum reduce\n"
                "    for i < 6, j < 5\n"
                "    a = f32 v3[5*i + j]\n"
                "    v4[i] = sum over j of a\n"
                "\n"
                "wave 4: %9 div map\n"
                "    for i < 6, j < 5\n"
                "    a = f32 v3[5*i + j]\n"
                "    b = f32 v4[i]\n"
                "    v5[5*i + j] = div(a, b)\n");
    krs_graph_free(g);
}
END_TEST

START_TEST(a_product_and_its_gradient_print_as_contractions)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 3));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(3, 2));
    krs_node y = krs_sum(krs_exp(krs_matmul(x, w)), KRS_ALL_AXES);
    krs_node out[2] = {y, KRS_NONE};
    ck_assert_int_eq(krs_grad(y, &w, 1, &out[1]), KRS_OK);
    assert_text(out, 2,
                "v0 input f32[4,3] \"x\"\n"
                "v1 state f32[3,2] \"w\"\n"
                "v2 temporary f32[4,2]\n"
                "v3 temporary f32[4,2]\n"
                "v4 output f32[]\n"
                "v5 temporary f32[4,2]\n"
                "v6 output f32[3,2]\n"
                "\n"
                "wave 0: %3 matmul contract\n"
                "    for i < 4, j < 2, k < 3\n"
                "    a = f32 v0[3*i + k]\n"
                "    b = f32 v1[j + 2*k]\n"
                "    v2[2*i + j] = sum over k of a * b\n"
                "\n"
                "wave 1: %4 exp map\n"
                "    for i < 8\n"
                "    a = f32 v2[i]\n"
                "    v3[i] = exp(a)\n"
                "\n"
                "wave 2: %5 sum reduce\n"
                "    for i < 8\n"
                "    a = f32 v3[i]\n"
                "    v4[0] = sum over i of a\n"
                "\n"
                "wave 2: %9 mul map\n"
                "    for i < 8\n"
                "    a = f32 v3[i]\n"
                "    v5[i] = mul(1, a)\n"
                "\n"
                "wave 3: %10 matmul contract\n"
                "    for i < 3, j < 2, k < 4\n"
                "    a = f32 v0[i + 3*k]\n"
                "    b = f32 v5[j + 2*k]\n"
                "    v6[2*i + j] = sum over k of a * b\n");
    krs_graph_free(g);
}
END_TEST

SUITE(softmax_prints_as_rows_of_cuts,
      a_product_and_its_gradient_print_as_contractions)
