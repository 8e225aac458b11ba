/* evaluated.h -- a node in the graph interpreter, and what it must be.
 *
 * A rig is a graph with inputs whose data are given in the interpreter's own form
 * (doubles, int64), and the elements of one evaluated node, which are compared
 * with those wanted; or its failure, compared with a sentence.
 */
#ifndef TESTS_EVALUATED_H
#define TESTS_EVALUATED_H

#include "graph/ir/eval.h"
#include "graph/opt/opt.h"
#include "suite.h"

#include <krs/ops.h>

#include <math.h>
#include <string.h>

enum { LEAVES = 16, VARS = 4, RESULT = 70000 };

typedef struct rig {
    krs_graph *g;
    int leaves;
    char name[LEAVES][8];
    const void *data[LEAVES];
    int64_t var[VARS];
    krs_error err;
    union {
        krsi_element e[RESULT];
        double f[RESULT];
        int64_t i[RESULT];
    };
} rig;

static rig r; /* one a test: Check forks */

static inline void
begin(void)
{
    r.g = krs_graph_new();
    ck_assert_ptr_nonnull(r.g);
}

static inline krs_node
give(krs_dtype dtype, krs_shape shape, const void *wide)
{
    int i = r.leaves++;
    r.name[i][0] = 'i';
    r.name[i][1] = (char)('a' + i);
    r.data[i] = wide;
    return krs_input(r.g, r.name[i], dtype, shape);
}

#define F(...)         ((const double[]){__VA_ARGS__})
#define I(...)         ((const int64_t[]){__VA_ARGS__})
#define FLOATS(n, ...) give(KRS_F32, KRS_SHAPE(n), F(__VA_ARGS__))
#define INTS(n, ...)   give(KRS_I64, KRS_SHAPE(n), I(__VA_ARGS__))

static inline krs_status
evaluate(krs_node out)
{
    krs_graph *compiled;
    krsi_eval *eval;
    uint32_t root = out.id;
    ck_assert_msg(!krs_graph_error(r.g), "%s", krs_graph_error(r.g)->text);
    /* not optimised: the operations are asked for themselves */
    KRS_TRY(krsi_compile(r.g, &root, 1, "expand", KRSI_KEEP_PRIMITIVES,
                         &compiled, &root, &r.err));
    krs_status status = krsi_eval_new(compiled, &root, 1, &eval, &r.err);
    ck_assert_int_eq(status, KRS_OK);
    for (size_t k = 0; k < compiled->leaves; k++) {
        uint32_t id = compiled->leaf[k];
        const char *name = krs_node_name(krs_graph_node(compiled, id));
        for (int i = 0; i < r.leaves; i++)
            if (strcmp(r.name[i], name) == 0)
                krsi_eval_bind(eval, id, r.data[i], KRSI_WIDE);
    }
    for (int run = 0; run < 2 && status == KRS_OK; run++)
        status = krsi_eval_run(eval, r.var, NULL, &r.err);
    if (status == KRS_OK)
        krsi_eval_read(eval, 0, r.e, KRSI_WIDE);
    krsi_eval_free(eval);
    krs_graph_free(compiled);
    return status;
}

static inline void
expect_floats(krs_node out, int count, const double *want)
{
    krs_status status = evaluate(out);
    ck_assert_msg(status == KRS_OK, "%s", r.err.text);
    for (int i = 0; i < count; i++) {
        double tolerance = 1e-12 * (1 + fabs(want[i]));
        bool same = isnan(want[i]) ? isnan(r.f[i])
                                   : r.f[i] == want[i] ||
                                         fabs(r.f[i] - want[i]) < tolerance;
        ck_assert_msg(same, "element %d: %.17g, not %.17g", i, r.f[i], want[i]);
    }
}

static inline void
expect_ints(krs_node out, int count, const int64_t *want)
{
    krs_status status = evaluate(out);
    ck_assert_msg(status == KRS_OK, "%s", r.err.text);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(r.i[i], want[i]);
}

#endif
