/* test_bad_graph.c -- what builders say about bad input, word for word: the
 * scope, the operation, the shapes, the place in the user's source, a hint.
 *
 * The cases are rows of bad_graphs.def, one wrong expression each. Their place
 * is src/model.c, line 7, and their scope is net.layer3.
 */
#include "graph/ir/ir.h"
#include "suite.h"

#include <krs/array.h>
#include <krs/conv.h>
#include <krs/nn.h>
#include <krs/scan.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

START_TEST(a_message_names_the_line_that_asked)
{
    char expected[200];
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 3));
    int line = __LINE__ + 1;
    krs_node y = krs_reshape(x, KRS_SHAPE(4));
    ck_assert(!krs_node_is_valid(y));
    snprintf(expected, sizeof expected,
             "reshape: f32[2,3] has 6 elements, the new shape 4 "
             "(test_bad_graph.c:%d)",
             line);
    ck_assert_str_eq(krs_graph_error(g)->text, expected);
    krs_graph_free(g);
}
END_TEST

#undef KRS_HERE
#define KRS_HERE ((krs_place){"src/model.c", 7})

typedef struct rig {
    krs_graph *g, *other;
    krs_node x, w, m, v, h, i, b, empty, block, state, seed, q, k, foreign;
    krs_node wide, wide_ids;
    krs_index pos;
    krs_index starts[3];
    int64_t minus[2];
    krs_cross_entropy_options no_size, smooth;
} rig;

static void
begin(rig *r)
{
    memset(r, 0, sizeof *r);
    krs_graph *g = r->g = krs_graph_new();
    r->other = krs_graph_new();
    r->x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 16, 512));
    r->w = krs_input(g, "w", KRS_F32, KRS_SHAPE(500, 512));
    r->m = krs_input(g, "net.layer3.m", KRS_F32, KRS_SHAPE(2, 3));
    r->v = krs_input(g, "v", KRS_F32, KRS_SHAPE(4));
    r->h = krs_input(g, "h", KRS_BF16, KRS_SHAPE(3, 2));
    r->i = krs_input(g, "i", KRS_I64, KRS_SHAPE(3));
    r->b = krs_input(g, "b", KRS_BOOL, KRS_SHAPE(2, 3));
    r->empty = krs_input(g, "empty", KRS_F32, KRS_SHAPE(0, 3));
    r->block = krs_input(g, "block", KRS_Q8_0, KRS_SHAPE(4, 32));
    r->state = krs_state(g, "net.layer3.state", KRS_F32, KRS_SHAPE(2, 3));
    r->seed = krs_input(g, "seed", KRS_I64, KRS_SCALAR);
    r->q = krs_input(g, "q", KRS_F32, KRS_SHAPE(1, 3, 4, 8));
    r->k = krs_input(g, "k", KRS_F32, KRS_SHAPE(1, 2, 4, 8));
    r->wide = krs_input(g, "wide", KRS_F32, KRS_SHAPE(500, 8));
    r->wide_ids = krs_input(g, "wide_ids", KRS_I64, KRS_SHAPE(500));
    r->foreign = krs_input(r->other, "m", KRS_F32, KRS_SHAPE(2, 3));
    r->pos = krs_var(g, "pos", 0, 9);
    r->starts[1] = KRS_INDEX(1);
    r->minus[1] = -2;
    r->smooth.struct_size = sizeof r->smooth;
    r->smooth.label_smoothing = 1;
    krs_scope_push(g, "net");
    krs_scope_push(g, "layer%d", 3);
}

static void
end(rig *r)
{
    krs_graph_free(r->g);
    krs_graph_free(r->other);
}

static krs_node
concat(krs_node a, krs_node b)
{
    const krs_node part[2] = {a, b};
    return krs_concat(part, 2, 0);
}

/* a row of attention's gradient with S keys and a statistic of `rows` rows */
static krs_node
use_attention(rig *r, enum krsi_op op, int64_t S, int64_t rows)
{
    krs_node q = krs_input(r->g, "a", KRS_F32, KRS_SHAPE(1, 2, 3, 4));
    krs_node k = krs_input(r->g, "c", KRS_F32, KRS_SHAPE(1, 2, S, 4));
    krs_node lse = krs_input(r->g, "lse", KRS_F32, KRS_SHAPE(1, 2, rows));
    const krsi_node *n = krsi_get(krs_attention(q, k, k, KRS_NONE, NULL));
    const krs_node in[6] = {q, k, k, q, lse, q};
    if (!n)
        return krsi_poison(r->g); /* there was an error before */
    return op == KRSI_ATTENTION_LSE
               ? krsi_attention_lse(KRS_HERE, n, q, k, KRS_NONE)
               : krsi_attention_grad(KRS_HERE, n, in, KRS_NONE);
}

static krs_node
gradient(krs_node y, krs_node x)
{
    krs_node dx;
    krs_grad(y, &x, 1, &dx);
    return dx;
}

static krs_index
four_variables(krs_graph *g)
{
    krs_index sum = KRS_INDEX(0);
    for (int i = 0; i < 4; i++) {
        const char name[] = {(char)('a' + i), 0};
        sum = krs_index_plus(sum, krs_var(g, name, 0, 1));
    }
    return sum;
}

static krs_node
crossed(krs_graph *g)
{
    return krs_index_node(g, krs_var(g, "n", 5, 2));
}

#define BAD(name, status, expression, message) \
    static krs_node bad_##name(rig *r)         \
    {                                          \
        return expression;                     \
    }
#include "bad_graphs.def"
#undef BAD

static const struct bad {
    const char *name;
    krs_status status;
    krs_node (*build)(rig *r);
    const char *message;
} bad[] = {
#define BAD(name, status, expression, message) \
    {#name, KRS_##status, bad_##name, message},
#include "bad_graphs.def"
#undef BAD
};
enum { BAD_COUNT = sizeof bad / sizeof *bad };

START_TEST(each_bad_input_poisons_with_one_whole_sentence)
{
    for (int i = 0; i < BAD_COUNT; i++) {
        rig r;
        begin(&r);
        ck_assert_ptr_null(krs_graph_error(r.g));
        krs_node y = bad[i].build(&r);
        const krs_error *error = krs_graph_error(r.g);
        ck_assert_msg(error, "%s is accepted", bad[i].name);
        ck_assert_msg(!krs_node_is_valid(y), "%s gives a node", bad[i].name);
        ck_assert_msg(strcmp(error->text, bad[i].message) == 0,
                      "%s: \"%s\" instead of \"%s\"", bad[i].name, error->text,
                      bad[i].message);
        ck_assert_msg(error->status == bad[i].status, "%s: %s", bad[i].name,
                      krs_status_name(error->status));
        end(&r);
    }
}
END_TEST

/* Those that take any tensor, or are made by the library alone. */
static bool
refuses_nothing(const char *op)
{
    static const char *const ops[] = {"stop_gradient", "recompute", "scan",
                                      "result", "linear_cross_entropy_grad"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strcmp(ops[i], op))
            return true;
    return false;
}

START_TEST(every_operation_has_an_example_of_a_wrong_use)
{
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++) {
        char said[64];
        bool found = refuses_nothing(krsi_ops[op].name);
        snprintf(said, sizeof said, ": %s: ", krsi_ops[op].name);
        for (int i = 0; i < BAD_COUNT; i++)
            found |= strstr(bad[i].message, said) != NULL;
        ck_assert_msg(found || krsi_ops[op].max_count == 0,
                      "bad_graphs.def has no row for %s", krsi_ops[op].name);
    }
}
END_TEST

START_TEST(the_first_error_is_kept_and_poison_spreads_quietly)
{
    for (int i = 0; i < BAD_COUNT; i++) {
        rig r;
        begin(&r);
        krs_node y = bad[i].build(&r);
        char first[KRS_ERROR_TEXT];
        strcpy(first, krs_graph_error(r.g)->text);
        krs_node after = krs_add(krs_neg(y), r.m);
        ck_assert(!krs_node_is_valid(after));
        ck_assert_str_eq(krs_node_op(after), "");
        ck_assert_int_eq(krs_node_shape(after).rank, 0);
        bad[(i + 1) % BAD_COUNT].build(&r);
        ck_assert_str_eq(krs_graph_error(r.g)->text, first);
        krs_node dx;
        ck_assert_int_ne(krs_grad(after, &r.m, 1, &dx), KRS_OK);
        ck_assert(!krs_node_is_valid(dx));
        ck_assert(krs_node_is_valid(krs_neg(r.m))); /* good nodes go on */
        end(&r);
    }
}
END_TEST

START_TEST(a_refused_graph_is_still_sound)
{
    for (int i = 0; i < BAD_COUNT; i++) {
        rig r;
        krs_error err = {KRS_OK, ""};
        begin(&r);
        bad[i].build(&r);
        krs_status status = krsi_verify(r.g, &err);
        ck_assert_msg(status == KRS_OK, "%s: %s", bad[i].name, err.text);
        end(&r);
    }
}
END_TEST

/* Sizes of 0 and the like are legal. */
START_TEST(empty_tensors_and_other_corner_cases_are_accepted)
{
    rig r;
    begin(&r);
    const krs_node good[] = {
        krs_sum(r.empty, KRS_ALL_AXES),
        krs_mean(r.empty, KRS_AXES(0)),
        krs_cumsum(r.empty, 0),
        krs_amax(r.empty, KRS_AXES(1)),
        krs_matmul_nt(r.empty, r.empty),
        krs_matmul_tn(r.empty, r.empty),
        krs_softmax(r.empty, 1),
        krs_reshape(r.empty, KRS_SHAPE(3, 0, 7)),
        krs_take(r.m, krs_input(r.g, "p", KRS_I64, KRS_SHAPE(0)), 1),
        concat(r.empty, r.m),
        krs_slice(r.m, 1, 3, KRS_END, 1),
        krs_constant(r.g, KRS_F32, KRS_SHAPE(0), NULL),
        krs_input(r.g, "huge", KRS_F32, KRS_SHAPE(1LL << 29, 0, 1LL << 30)),
        krs_reshape(krs_sum(r.m, KRS_ALL_AXES),
                    KRS_SHAPE(1, 1, 1, 1, 1, 1, 1, 1)),
        krs_input(r.g, "m", KRS_F32, KRS_SHAPE(2, 3)),
    };
    const krs_error *error = krs_graph_error(r.g);
    ck_assert_msg(!error, "%s", error ? error->text : "");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert(krs_node_is_valid(good[i]));
    ck_assert_uint_eq(good[14].id, r.m.id);
    end(&r);
}
END_TEST

START_TEST(callers_add_their_own_errors)
{
    rig r;
    begin(&r);
    krs_node y = krs_graph_fail(r.g, KRS_HERE, KRS_E_ARGUMENT,
                                "%d heads do not divide %d channels", 3, 8);
    ck_assert(!krs_node_is_valid(y));
    ck_assert_str_eq(krs_graph_error(r.g)->text,
                     "net.layer3: 3 heads do not divide 8 channels "
                     "(model.c:7)");
    krs_error err;
    ck_assert_int_eq(krs_graph_check(r.g, &err), KRS_E_ARGUMENT);
    end(&r);
}
END_TEST

/* What is built on a graph that krs_graph_new had no memory for. */
START_TEST(every_builder_takes_the_graph_that_could_not_be_made)
{
    krs_graph *g = NULL;
    const float data[] = {1, 2};
    krs_scope_push(g, "net");
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2));
    krs_index i = krs_var(g, "i", 0, 1);
    krs_scan scan = krs_scan_begin(g, 2, KRS_SCAN_FORWARD);
    krs_scan_next(scan, krs_scan_carry(scan, x), x);
    krs_node y[] = {
        x,
        krs_state(g, "w", KRS_F32, KRS_SHAPE(2)),
        krs_constant(g, KRS_F32, KRS_SHAPE(2), data),
        krs_scalar(g, KRS_F32, 1),
        krs_full(g, KRS_I32, KRS_SHAPE(2), 0.5),
        krs_iota(g, KRS_I64, KRS_SHAPE(2), 0),
        krs_eye(g, KRS_F32, 2, 2),
        krs_arange(g, KRS_I64, 0, 3, 1),
        krs_index_node(g, i),
        krs_narrow(x, 0, i, 1),
        krs_scan_last(scan, x),
        krs_nn_linear(x, "l", 2, KRS_WITH_BIAS),
        krs_mean(krs_square(krs_add(x, x)), KRS_ALL_AXES),
        krs_graph_node(g, 1),
        krs_graph_fail(g, KRS_HERE, KRS_E_SHAPE, "no"),
    };
    ck_assert_int_ne(krs_scan_end(scan), KRS_OK);
    krs_scope_pop(g);
    for (size_t n = 0; n < sizeof y / sizeof *y; n++)
        ck_assert_msg(!krs_node_is_valid(y[n]) && !y[n].graph, "node %zu", n);
    ck_assert_uint_eq(krs_graph_size(g), 0);

    krs_error err;
    krs_node d;
    ck_assert_int_eq(krs_grad(y[12], &x, 1, &d), KRS_E_GRAPH);
    ck_assert_int_eq(krs_graph_check(g, &err), KRS_E_MEMORY);
    ck_assert_str_eq(err.text, krs_graph_error(g)->text);
    ck_assert_ptr_nonnull(strstr(err.text, "krs_graph_new had no memory"));
}
END_TEST

START_TEST(a_gradient_without_room_for_it_is_refused)
{
    rig r;
    krs_node d;
    begin(&r);
    ck_assert_int_eq(krs_grad(r.m, NULL, 1, &d), KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_grad(r.m, &r.m, 1, NULL), KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(krs_graph_error(r.g)->text, "grads is NULL"));
    ck_assert_int_eq(krs_grad(r.m, NULL, 0, NULL), KRS_E_ARGUMENT);
    end(&r);
}
END_TEST

START_TEST(a_scope_without_a_name_is_refused)
{
    rig r;
    begin(&r);
    const char *volatile none = NULL;
    krs_scope_push(r.g, none);
    krs_scope_pop(r.g);
    ck_assert_int_eq(krs_graph_error(r.g)->status, KRS_E_NAME);
    end(&r);
}
END_TEST

SUITE(a_message_names_the_line_that_asked,
      each_bad_input_poisons_with_one_whole_sentence,
      every_operation_has_an_example_of_a_wrong_use,
      the_first_error_is_kept_and_poison_spreads_quietly,
      a_refused_graph_is_still_sound,
      empty_tensors_and_other_corner_cases_are_accepted,
      callers_add_their_own_errors,
      every_builder_takes_the_graph_that_could_not_be_made,
      a_gradient_without_room_for_it_is_refused,
      a_scope_without_a_name_is_refused)
