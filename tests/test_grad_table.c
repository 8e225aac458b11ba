/* test_grad_table.c -- every differentiable row of ops.def against central
 * differences, on the interpreter in f64, first and second derivatives.
 *
 * With step h the quotient errs by h^2/6 f''' (1e-11) and by the rounding of
 * f over h (2e-16 / 1e-5 = 2e-11). Constants of a graph are f32, so a rule
 * and its function may disagree by 6e-8 relative. Values are of order 1; the
 * tolerance 1e-6 is relative to the largest element, and at least 1.
 */
#include "graph/ir/eval.h"
#include "graph/opt/opt.h"
#include "samples.h"
#include "suite.h"

#include <math.h>
#include <string.h>

#define TOLERANCE 1e-6
enum { ROOTS = 1 + SAMPLE_LEAVES, EXTRA = 2 + SAMPLE_LEAVES };

/* Inputs that a test adds to those of a sample: cotangents and directions. */
typedef struct extra {
    krs_node node;
    double value[SAMPLE_ELEMENTS];
} extra;

typedef struct rig {
    sample s;
    int op, which;
    extra extra[EXTRA];
    int extras;
    krs_graph *compiled;
    krsi_eval *eval;
    krs_node root[ROOTS];
    int roots;
    double value[ROOTS][SAMPLE_ELEMENTS];
} rig;

static const char *
name(const rig *r)
{
    return krsi_ops[r->op].name;
}

static void
assert_graph_ok(const rig *r)
{
    const krs_error *error = krs_graph_error(r->s.graph);
    ck_assert_msg(!error, "%s, sample %d: %s", name(r), r->which,
                  error ? error->text : "");
}

/* Numbers that bf16 holds exactly, so that a cast of them loses nothing. */
static double
eighths(uint64_t series, uint64_t i)
{
    double n = floor(16 * sample_number(series, i)) - 8;
    return (n >= 0 ? n + 1 : n) / 8;
}

/* an input of x's type and live lengths, full of such numbers */
static krs_node
extra_like(rig *r, krs_node x)
{
    static const char *const names[EXTRA] = {"c0", "c1", "c2", "c3", "c4",
                                             "c5", "c6", "c7", "c8"};
    extra *e = &r->extra[r->extras];
    const krsi_node *n = krsi_get(x);
    e->node =
        krs_input(r->s.graph, names[r->extras++], KRS_F32, krs_node_shape(x));
    for (uint64_t i = 0; i < SAMPLE_ELEMENTS; i++)
        e->value[i] = eighths(100 + (uint64_t)r->extras, i);
    krs_node y = e->node;
    for (int axis = 0; axis < n->rank; axis++)
        if (n->live_axes >> axis & 1)
            y = krs_live(y, axis, n->live[axis]);
    return y;
}

static krs_node
dot(krs_node x, krs_node y)
{
    return krs_sum(krs_mul(krs_cast(x, KRS_F32), y), KRS_ALL_AXES);
}

static void
prepare(rig *r, const krs_node *root, int count)
{
    uint32_t id[ROOTS];
    krs_error err;
    assert_graph_ok(r);
    for (int i = 0; i < count; i++) {
        r->root[i] = root[i];
        id[i] = root[i].id;
    }
    r->roots = count;
    krs_status status =
        krsi_compile(r->s.graph, id, (size_t)count, NULL, KRSI_KEEP_PRIMITIVES,
                     &r->compiled, id, &err);
    if (status == KRS_OK)
        status = krsi_eval_new(r->compiled, id, (size_t)count, &r->eval, &err);
    ck_assert_msg(status == KRS_OK, "%s, sample %d: %s", name(r), r->which,
                  err.text);
    for (uint32_t k = 1; k <= krs_graph_size(r->compiled); k++) {
        const char *leaf = krs_node_name(krs_graph_node(r->compiled, k));
        for (int i = 0; *leaf && i < r->s.leaves; i++)
            if (strcmp(krs_node_name(r->s.leaf[i].node), leaf) == 0)
                krsi_eval_bind(r->eval, k, r->s.leaf[i].value, KRSI_WIDE);
        for (int i = 0; *leaf && i < r->extras; i++)
            if (strcmp(krs_node_name(r->extra[i].node), leaf) == 0)
                krsi_eval_bind(r->eval, k, r->extra[i].value, KRSI_WIDE);
    }
}

static void
evaluate(rig *r)
{
    krs_error err;
    krs_status status = krsi_eval_run(r->eval, r->s.var, NULL, &err);
    ck_assert_msg(status == KRS_OK, "%s, sample %d: %s", name(r), r->which,
                  err.text);
    for (int i = 0; i < r->roots; i++)
        krsi_eval_read(r->eval, (size_t)i, r->value[i], KRSI_WIDE);
}

static void
unprepare(rig *r)
{
    krsi_eval_free(r->eval);
    krs_graph_free(r->compiled);
}

/* the leaves to differentiate by */
static int
differentiable(const rig *r, krs_node *wrt, int *leaf)
{
    int count = 0;
    for (int i = 0; i < r->s.leaves; i++)
        if (r->s.leaf[i].differentiable) {
            leaf[count] = i;
            wrt[count++] = r->s.leaf[i].node;
        }
    return count;
}

/* root[0] is a scalar, root[1..] its gradient by the leaves */
static void
assert_quotients_agree(rig *r, const int *leaf, int count, const char *what)
{
    double gradient[SAMPLE_LEAVES][SAMPLE_ELEMENTS];
    evaluate(r);
    for (int k = 0; k < count; k++)
        memcpy(gradient[k], r->value[1 + k], sizeof gradient[k]);
    for (int k = 0; k < count; k++) {
        sample_leaf *l = &r->s.leaf[leaf[k]];
        double scale = 1;
        for (int64_t i = 0; i < l->elements; i++)
            scale = fmax(scale, fabs(gradient[k][i]));
        for (int64_t i = 0; i < l->elements; i++) {
            double x = l->value[i].f;
            l->value[i].f = x + l->step;
            evaluate(r);
            double above = r->value[0][0];
            l->value[i].f = x - l->step;
            evaluate(r);
            double below = r->value[0][0];
            l->value[i].f = x;
            double quotient = (above - below) / (2 * l->step);
            ck_assert_msg(fabs(quotient - gradient[k][i]) <= TOLERANCE * scale,
                          "%s, sample %d, %s, operand %d, element %d: %.9g, "
                          "central difference %.9g",
                          name(r), r->which, what, leaf[k], (int)i,
                          gradient[k][i], quotient);
        }
    }
}

/* Every sample of every differentiable row that has a float result and
 * something to differentiate by. */
static bool
begin(rig *r, int op, int which)
{
    memset(r, 0, sizeof *r);
    r->op = op;
    r->which = which;
    return sample_build((enum krsi_op)op, which, &r->s);
}

static bool
is_checked(const rig *r)
{
    krs_node wrt[SAMPLE_LEAVES];
    int leaf[SAMPLE_LEAVES];
    for (uint32_t id = 1; id <= krs_graph_size(r->s.graph); id++)
        if (krsi_get(krs_graph_node(r->s.graph, id))->live_axes)
            return false; /* refused, on purpose: see the last test */
    return krs_dtype_is_float(krs_node_dtype(r->s.use)) &&
           differentiable(r, wrt, leaf) > 0;
}

static rig r; /* large; one a process */

START_TEST(gradients_agree_with_central_differences)
{
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++) {
        int checked = 0;
        if (!krsi_ops[op].differentiable)
            continue;
        for (int which = 0; begin(&r, op, which); which++, sample_free(&r.s)) {
            krs_node root[ROOTS], wrt[SAMPLE_LEAVES];
            int leaf[SAMPLE_LEAVES];
            int count = differentiable(&r, wrt, leaf);
            if (!is_checked(&r))
                continue;
            root[0] = dot(r.s.use, extra_like(&r, r.s.use));
            krs_grad(root[0], wrt, (size_t)count, root + 1);
            prepare(&r, root, 1 + count);
            assert_quotients_agree(&r, leaf, count, "gradient");
            unprepare(&r);
            checked++;
        }
        /* a scan is differentiated through its results */
        ck_assert_msg(checked > 0 || op == KRSI_LIVE || op == KRSI_SCAN,
                      "%s is differentiable, but no sample says "
                      "by what",
                      krsi_ops[op].name);
    }
}
END_TEST

START_TEST(second_derivatives_agree_with_central_differences)
{
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++) {
        if (!krsi_ops[op].differentiable)
            continue;
        for (int which = 0; begin(&r, op, which); which++, sample_free(&r.s)) {
            krs_node root[ROOTS], wrt[SAMPLE_LEAVES], first[SAMPLE_LEAVES];
            int leaf[SAMPLE_LEAVES];
            int count = differentiable(&r, wrt, leaf);
            if (!is_checked(&r))
                continue;
            krs_node y = dot(r.s.use, extra_like(&r, r.s.use));
            krs_grad(y, wrt, (size_t)count, first);
            assert_graph_ok(&r);
            root[0] = dot(first[0], extra_like(&r, first[0]));
            for (int i = 1; i < count; i++)
                root[0] =
                    krs_add(root[0], dot(first[i], extra_like(&r, first[i])));
            krs_grad(root[0], wrt, (size_t)count, root + 1);
            prepare(&r, root, 1 + count);
            assert_quotients_agree(&r, leaf, count, "second derivative");
            unprepare(&r);
        }
    }
}
END_TEST

/* A rule of a composite is an optimisation of its expansion's gradient: the
 * same up to the rounding of f64. */
START_TEST(rules_of_composites_agree_with_their_expansions)
{
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++) {
        if (!krsi_ops[op].composite || !krsi_ops[op].differentiable)
            continue;
        for (int which = 0; begin(&r, op, which); which++, sample_free(&r.s)) {
            krs_node root[ROOTS], wrt[SAMPLE_LEAVES], in[32];
            double own[ROOTS][SAMPLE_ELEMENTS];
            int leaf[SAMPLE_LEAVES];
            int count = differentiable(&r, wrt, leaf);
            const krsi_node *n = krsi_get(r.s.use);
            krs_node cotangent = extra_like(&r, r.s.use);
            for (uint32_t i = 0; i < n->count; i++)
                in[i] = krs_graph_node(r.s.graph, n->in[i]);
            krsi_use use = {KRS_HERE, r.s.graph, n, in, (int)n->count};
            krs_node expansion = krsi_expansions[op](&use);
            if (!is_checked(&r))
                continue;
            for (int form = 0; form < 2; form++) {
                root[0] = dot(form ? expansion : r.s.use, cotangent);
                krs_grad(root[0], wrt, (size_t)count, root + 1);
                prepare(&r, root, 1 + count);
                evaluate(&r);
                unprepare(&r);
                if (!form)
                    memcpy(own, r.value, sizeof own);
            }
            for (int k = 0; k <= count; k++)
                for (int64_t i = 0;
                     i < (k ? r.s.leaf[leaf[k - 1]].elements : 1); i++)
                    ck_assert_msg(
                        fabs(own[k][i] - r.value[k][i]) <= 1e-12,
                        "%s, sample %d, root %d, element %d: %.17g, by the "
                        "expansion %.17g",
                        name(&r), which, k, (int)i, own[k][i], r.value[k][i]);
        }
    }
}
END_TEST

START_TEST(rows_without_a_gradient_are_those_on_this_list)
{
    static const enum krsi_op none[] = {
        KRSI_INPUT,
        KRSI_STATE,
        KRSI_CONSTANT,
        KRSI_FULL,
        KRSI_IOTA,
        KRSI_INDEX,
        KRSI_RANDOM_UNIFORM,
        KRSI_UPDATE,
        KRSI_PARAM,
        KRSI_SIGN,
        KRSI_FLOOR,
        KRSI_NOT,
        KRSI_STOP_GRADIENT,
        KRSI_AND,
        KRSI_OR,
        KRSI_XOR,
        KRSI_REM,
        KRSI_SHL,
        KRSI_SHR,
        KRSI_EQ,
        KRSI_NE,
        KRSI_LT,
        KRSI_LE,
        KRSI_GT,
        KRSI_GE,
        KRSI_ARGMAX,
        KRSI_ARGMIN,
        KRSI_ARGSORT,
        KRSI_ONE_HOT,
    };
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++) {
        bool listed = false;
        for (size_t i = 0; i < sizeof none / sizeof *none; i++)
            listed |= none[i] == (enum krsi_op)op;
        ck_assert_msg(krsi_ops[op].differentiable == !listed,
                      "%s %s a gradient", krsi_ops[op].name,
                      listed ? "now has" : "lost");
    }
}
END_TEST

/* What passes through rows without a gradient is zero, not an error. */
START_TEST(nothing_flows_through_rows_without_a_gradient)
{
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++) {
        if (krsi_ops[op].differentiable || op == KRSI_UPDATE ||
            op == KRSI_PARAM)
            continue;
        for (int which = 0; begin(&r, op, which); which++, sample_free(&r.s)) {
            krs_node root[ROOTS], wrt[SAMPLE_LEAVES];
            int leaf[SAMPLE_LEAVES];
            int count = differentiable(&r, wrt, leaf);
            if (!is_checked(&r) || r.s.use.id == wrt[0].id)
                continue;
            root[0] = dot(r.s.use, extra_like(&r, r.s.use));
            krs_grad(root[0], wrt, (size_t)count, root + 1);
            prepare(&r, root, 1 + count);
            evaluate(&r);
            unprepare(&r);
            for (int k = 0; k < count; k++)
                for (int64_t i = 0; i < r.s.leaf[leaf[k]].elements; i++)
                    ck_assert_msg(r.value[1 + k][i] == 0, "%s, sample %d: %g",
                                  name(&r), which, r.value[1 + k][i]);
        }
    }
}
END_TEST

/* The padding row of an embedding is the one gradient that is not the
 * derivative (ops.h). */
START_TEST(the_padding_row_of_an_embedding_gets_no_gradient)
{
    memset(&r, 0, sizeof r);
    r.op = KRSI_EMBEDDING;
    ck_assert(sample_build(KRSI_EMBEDDING, 0, &r.s));
    krs_node w = r.s.leaf[0].node, ids = r.s.leaf[1].node, root[2];
    root[0] = krs_sum(krs_embedding(w, ids, 2), KRS_ALL_AXES);
    krs_grad(root[0], &w, 1, root + 1);
    prepare(&r, root, 2);
    evaluate(&r);
    for (int row = 0; row < 4; row++) /* ids 2 0 2 2 */
        for (int i = 0; i < 3; i++)
            ck_assert_double_eq(r.value[1][row * 3 + i], row == 0);
    unprepare(&r);
    sample_free(&r.s);
}
END_TEST

START_TEST(a_live_length_has_no_gradient_and_says_so)
{
    memset(&r, 0, sizeof r);
    ck_assert(sample_build(KRSI_LIVE, 0, &r.s));
    krs_node x = r.s.leaf[0].node, dx;
    krs_error err;
    krs_status status = krs_grad(krs_sum(r.s.use, KRS_ALL_AXES), &x, 1, &dx);
    ck_assert_int_eq(status, KRS_E_UNSUPPORTED);
    ck_assert_int_eq(krs_graph_check(r.s.graph, &err), KRS_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "differentiate a graph without"));
    ck_assert(!krs_node_is_valid(dx));
    sample_free(&r.s);
}
END_TEST

SUITE(gradients_agree_with_central_differences,
      second_derivatives_agree_with_central_differences,
      rules_of_composites_agree_with_their_expansions,
      rows_without_a_gradient_are_those_on_this_list,
      nothing_flows_through_rows_without_a_gradient,
      the_padding_row_of_an_embedding_gets_no_gradient,
      a_live_length_has_no_gradient_and_says_so)
