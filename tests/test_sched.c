/* test_sched.c -- schedules as text, and what they promise: views cost
 * nothing, waves are independent, what cannot be affine is copied.
 */
#include "graph/opt/opt.h"
#include "graph/sched/cut.h"
#include "suite.h"

#include <krs/program.h>

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
    ck_assert_msg(krsi_sched_make(&s.sched, s.graph, node, count, NULL, &err) ==
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
                "wave 0: %2 amax rows\n"
                "    for i < 6, j < 5\n"
                "    a = f32 v0[5*i + j]\n"
                "    v1[i] = (amax over j of a)\n"
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
                "wave 3: %7 sum rows\n"
                "    for i < 6, j < 5\n"
                "    a = f32 v3[5*i + j]\n"
                "    v4[i] = (sum over j of a)\n"
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
                "    v2[2*i + j] = (sum over k of a * b)\n"
                "\n"
                "wave 1: %4 exp map\n"
                "    for i < 8\n"
                "    a = f32 v2[i]\n"
                "    v3[i] = exp(a)\n"
                "\n"
                "wave 2: %5 sum rows\n"
                "    for i < 8\n"
                "    a = f32 v3[i]\n"
                "    v4[0] = (sum over i of a)\n"
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
                "    v6[2*i + j] = (sum over k of a * b)\n");
    krs_graph_free(g);
}
END_TEST

/* ---- what schedules promise ---- */

START_TEST(views_and_constants_make_no_cut)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 6));
    krs_node v = krs_flip(
        krs_reshape(krs_permute(x, KRS_AXES(1, 0)), KRS_SHAPE(2, 3, 4)), 1);
    krs_node y = krs_mul(v, krs_full(g, KRS_F32, KRS_SHAPE(3, 4), 0.5));
    assert_text(&y, 1,
                "v0 input f32[4,6] \"x\"\n"
                "v1 output f32[2,3,4]\n"
                "\n"
                "wave 0: %8 mul map\n"
                "    for i < 2, j < 3, k < 4\n"
                "    a = f32 v0[2 + 3*i - j + 6*k]\n"
                "    v1[12*i + 4*j + k] = mul(a, 0.5)\n");
    krs_graph_free(g);
}
END_TEST

START_TEST(a_reshape_that_is_not_affine_copies_once)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 6));
    krs_node y =
        krs_neg(krs_reshape(krs_permute(x, KRS_AXES(1, 0)), KRS_SHAPE(24)));
    assert_text(&y, 1,
                "v0 input f32[4,6] \"x\"\n"
                "v1 temporary f32[6,4]\n"
                "v2 output f32[24]\n"
                "\n"
                "wave 0: %2 permute map\n"
                "    for i < 6, j < 4\n"
                "    a = f32 v0[i + 6*j]\n"
                "    v1[4*i + j] = a\n"
                "\n"
                "wave 1: %4 neg map\n"
                "    for i < 24\n"
                "    a = f32 v1[i]\n"
                "    v2[i] = neg(a)\n");
    krs_graph_free(g);
}
END_TEST

/* cuts of a wave neither read nor share with each other what one writes,
 * except disjoint pieces of one value */
static void
assert_waves(const krsi_sched *s)
{
    for (size_t i = 0; i < s->cut_count; i++)
        for (size_t k = 0; k < s->cut_count; k++) {
            const krsi_cut *w = s->cuts[i], *r = s->cuts[k];
            for (int l = 0; l < r->loads; l++)
                ck_assert(r->load[l].view.value != w->out[0].view.value ||
                          r->wave > w->wave);
            if (k > i && w->out[0].view.value == r->out[0].view.value &&
                r->after)
                ck_assert_int_gt(r->wave, w->wave);
        }
}

START_TEST(cuts_of_a_wave_are_independent)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 6));
    krs_node s = krs_state(g, "s", KRS_F32, KRS_SHAPE(6, 6));
    krs_node i = krs_input(g, "i", KRS_I64, KRS_SHAPE(4));
    const int64_t one[] = {1, 1};
    const krs_index start[] = {KRS_INDEX(2), KRS_INDEX(0)};
    krs_node parts[] = {krs_softmax(x, 1), krs_exp(x)};
    krs_node out[] = {krs_concat(parts, 2, 0), krs_pad(parts[0], one, one, 2),
                      krs_update(s, krs_set_slice(s, x, start)),
                      krs_index_add(s, i, krs_matmul(x, s), 0)};
    scheduled made = schedule(out, 4);
    assert_waves(&made.sched);
    ck_assert_int_gt(made.sched.waves, 3);
    drop(&made);
    krs_graph_free(g);
}
END_TEST

/* Outputs are whole values of their own: parts, repeats and leaves are
 * copied, and a state updated with another is no alias of it. */
START_TEST(every_output_has_a_value_of_its_own)
{
    krs_graph *g = krs_graph_new();
    krs_node s = krs_state(g, "s", KRS_F32, KRS_SHAPE(4));
    krs_node t = krs_state(g, "t", KRS_F32, KRS_SHAPE(4));
    krs_node e = krs_exp(s);
    krs_node out[] = {e,
                      krs_slice(e, 0, 0, 2, 1),
                      krs_reshape(e, KRS_SHAPE(2, 2)),
                      s,
                      krs_update(s, t),
                      krs_update(t, s),
                      krs_full(g, KRS_F32, KRS_SHAPE(3), 1)};
    size_t count = sizeof out / sizeof *out;
    scheduled made = schedule(out, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t value = made.sched.outputs[i];
        size_t bytes;
        int64_t elements;
        krs_shape_elements(krs_node_shape(out[i]), &elements);
        krs_dtype_bytes(KRS_F32, elements, &bytes);
        ck_assert_int_eq(made.sched.values[value].kind, KRSI_STORAGE_OUTPUT);
        ck_assert_uint_eq(made.sched.values[value].bytes, bytes);
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_ne(value, made.sched.outputs[k]);
    }
    drop(&made);
    krs_graph_free(g);
}
END_TEST

/* the axes that have a live length inside another are reduced one by one */
START_TEST(sums_over_several_axes_see_live_lengths_inside)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(3, 4, 5));
    krs_node live = krs_live(x, 2, krs_var(g, "n", 0, 5));
    krs_node y = krs_sum(live, KRS_AXES(1, 2));
    assert_text(&y, 1,
                "v0 input f32[3,4,5] \"x\"\n"
                "v1 temporary f32[3,4,<=5]\n"
                "v2 output f32[3]\n"
                "\n"
                "wave 0: %3 sum rows\n"
                "    for i < 12, j < n <= 5\n"
                "    a = f32 v0[5*i + j]\n"
                "    v1[i] = (sum over j of a)\n"
                "\n"
                "wave 1: %3 sum rows\n"
                "    for i < 3, j < 4\n"
                "    a = f32 v1[4*i + j]\n"
                "    v2[i] = (sum over j of a)\n");
    krs_graph_free(g);
}
END_TEST

START_TEST(addresses_of_too_many_runtime_integers_are_refused)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 4, 4, 4));
    for (int a = 0; a < 4; a++) {
        const char *const name[] = {"i", "j", "k", "l"};
        x = krs_narrow(x, a, krs_var(g, name[a], 0, 2), 2);
    }
    krs_node y = krs_neg(x);
    krsi_sched s;
    krs_error err;
    ck_assert_int_eq(krsi_sched_make(&s, g, &y, 1, NULL, &err),
                     KRS_E_UNSUPPORTED);
    const char *want = "neg: the place in memory depends on more than 3 "
                       "runtime integers (";
    ck_assert_msg(strncmp(err.text, want, strlen(want)) == 0, "%s", err.text);
    krs_graph_free(g);
}
END_TEST

/* ---- faults at a run, on the kernel interpreter ---- */

/* Run y and an update of a state under n = `value`; expect RANGE with the text
 * up to the place, and the state as it was. */
static void
assert_refused_run(krs_node y, int64_t value, const char *want)
{
    const float before[2] = {3, 4};
    const float x[12] = {0};
    const int64_t index[2] = {1, 9};
    float after[2];
    krs_error err = {KRS_OK, ""};
    krs_device *device;
    krs_store *store;
    krs_program *program;
    krs_node s = krs_state(y.graph, "s", KRS_F32, KRS_SHAPE(2));
    krs_node out[] = {y, krs_update(s, krs_neg(s))};
    ck_assert_int_eq(krs_device_open("interp", &device, &err), KRS_OK);
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    ck_assert_msg(krs_program_new(store, out, 2, &program, &err) == KRS_OK,
                  "%s", err.text);
    krs_store_write(store, "s", before, sizeof before, NULL);
    krs_program_set_input(program, "x", x, sizeof x, NULL);
    krs_program_set_input(program, "i", index, sizeof index, NULL);
    krs_program_set_var(program, "n", value, NULL);
    ck_assert_int_eq(krs_program_run(program, &err), KRS_E_RANGE);
    ck_assert_msg(strncmp(err.text, want, strlen(want)) == 0, "%s", err.text);
    krs_store_read(store, "s", after, sizeof after, NULL);
    ck_assert_mem_eq(after, before, sizeof before);
    krs_program_free(program);
    krs_store_free(store);
    krs_device_close(device);
}

START_TEST(what_does_not_fit_at_a_run_is_refused_and_changes_nothing)
{
    krs_graph *g = krs_graph_new();
    krs_index n = krs_var(g, "n", 0, 4);
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(3, 4));
    krs_node i = krs_input(g, "i", KRS_I64, KRS_SHAPE(2));
    assert_refused_run(krs_narrow(x, 1, n, 3), 2,
                       "slice: axis 1: 3 elements from 2 by step 1 do not fit "
                       "in size 4 (");
    krs_node full =
        krs_expand(krs_full(g, KRS_F32, KRS_SHAPE(1, 1), 1), KRS_SHAPE(3, 4));
    assert_refused_run(krs_narrow(full, 0, n, 2), 2,
                       "slice: axis 0: 2 elements from 2 by step 1 do not fit "
                       "in size 3 (");
    assert_refused_run(krs_amax(krs_live(x, 1, n), KRS_AXES(0, 1)), 0,
                       "amax: no elements are live at this run, and nothing "
                       "has no extremum (");
    assert_refused_run(krs_take(x, i, 1), 0,
                       "take: index 9 is outside axis 1 of size 4 (");
    assert_refused_run(krs_take(krs_live(x, 1, n), i, 1), 2,
                       "take: index 9 is outside axis 1 of size 2 (");
    assert_refused_run(krs_index_add(x, i, krs_slice(x, 1, 0, 2, 1), 1), 0,
                       "index_add: index 9 is outside axis 1 of size 4 (");
    krs_graph_free(g);
}
END_TEST

SUITE(softmax_prints_as_rows_of_cuts,
      a_product_and_its_gradient_print_as_contractions,
      views_and_constants_make_no_cut, a_reshape_that_is_not_affine_copies_once,
      cuts_of_a_wave_are_independent, every_output_has_a_value_of_its_own,
      sums_over_several_axes_see_live_lengths_inside,
      addresses_of_too_many_runtime_integers_are_refused,
      what_does_not_fit_at_a_run_is_refused_and_changes_nothing)
