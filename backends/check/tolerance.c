/* tolerance.c -- the one table of how far an operation may be from the f64
 * interpreter on the same operands, whose result is rounded to the type once.
 *
 * The rows, by operation; what is in none is exact:
 *
 *   exact      everything but the rows below: views, comparisons, integers,
 *              casts, and + - * / sqrt, whose f64 result rounds to the f32 one
 *              (Figueroa 1995: 53 >= 2 * 24 + 2)
 *   functions  the bound that the kernel language states for its polynomials,
 *              with or without fused products (KRSI_KMATH_LIST, kb.h), and
 *              half an ulp for the reference
 *   sums       sum, cumsum, matmul, index_add, scatter_add: each rounding on
 *              the longest chain of additions loses at most 2^-24 of the sum of
 *              magnitudes (Higham 2002, section 4.2), which the same operation
 *              on the magnitudes of the operands gives; prod and cumprod
 *              likewise, each product losing as much of itself
 *   attention  tolerance_attention.c
 *   zeros      the sign of a 0 that is the extremum of zeros of both signs, or
 *              the sign of -0, is not stated; that of every other 0 is
 *
 * By type: f16 and bf16 are storage, so what is computed in f32 may round to a
 * neighbour: one ulp of the type more for sums, the function's in ulps of it.
 * By backend: none. The kernel language states every bit, so a device that
 * needs more is wrong.
 */
#include "alone.h"

#include "../../graph/kernel/kb.h"

#include <math.h>
#include <string.h>

double
krsi_function_ulps(enum krsi_op op)
{
    static const struct {
        const char *name;
        double ulps;
    } functions[] = {
#define FUNCTION(NAME, name, arity, ulp, plain_ulp, text) \
    {#name, (plain_ulp) > (ulp) ? (plain_ulp) : (ulp)},
        KRSI_KMATH_LIST(FUNCTION)
#undef FUNCTION
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, krsi_ops[op].name) == 0)
            return functions[i].ulps;
    return 0;
}

double
krsi_roundings(const krs_graph *g, const krsi_node *n)
{
    const krsi_node *x = g->node[n->in[0]];
    const int64_t *axes;
    double terms = 1;
    if (!krs_dtype_is_float((krs_dtype)n->dtype))
        return 0;
    switch ((int)n->op) {
    case KRSI_SUM:
    case KRSI_PROD:
        for (int i = 0, count = krsi_ints(n, 0, &axes); i < count; i++)
            terms *= (double)x->dim[axes[i]];
        /* 64 lanes, then a tree of 6 */
        return n->op == KRSI_PROD ? terms : ceil(terms / 64) + 6;
    case KRSI_CUMSUM:
    case KRSI_CUMPROD: return (double)x->dim[krsi_int(n, 0)];
    case KRSI_MATMUL:
        return (double)x->dim[x->rank - (krsi_int(n, 0) ? 2 : 1)] + 1;
    case KRSI_INDEX_ADD:
    case KRSI_SCATTER_ADD: return (double)krsi_elements(g->node[n->in[1]]) + 1;
    default: return krsi_attention_roundings(g, n);
    }
}

bool
krsi_body_rounds(const krsi_body *body)
{
    const krs_graph *g = body->graph;
    for (size_t id = 1; id <= g->nodes; id++) {
        const krsi_node *n = g->node[id];
        switch ((int)n->op) {
        case KRSI_ADD:
        case KRSI_SUB:
        case KRSI_MUL:
        case KRSI_DIV:
        case KRSI_SQRT:
        case KRSI_CAST:
            if (krs_dtype_is_float((krs_dtype)n->dtype))
                return true;
            break;
        case KRSI_SCAN: return true;
        default:
            if (krsi_ops[n->op].composite ||
                krsi_function_ulps((enum krsi_op)n->op) > 0 ||
                (n->count && krsi_roundings(g, n) > 0))
                return true;
        }
    }
    return false;
}

bool
krsi_zeros_are_one(enum krsi_op op)
{
    switch ((int)op) {
    case KRSI_MAXIMUM:
    case KRSI_MINIMUM:
    case KRSI_AMAX:
    case KRSI_AMIN:
    case KRSI_SIGN:
    case KRSI_RESULT: return true; /* its scan's body may have one of these */
    default: return false;
    }
}

/* |y| of a product, or inf where a part of it, in whatever order, may leave
 * the normal numbers of f32 */
static krs_node
product_rounded(const krsi_node *n, krs_node x)
{
    krs_node one = krs_like(x, 1);
    krs_node part[3] = {x, krs_maximum(x, one), krs_minimum(x, one)};
    for (int i = 0; i < 3; i++)
        part[i] = krsi_add(x.graph, KRS_HERE, (enum krsi_op)n->op, &part[i].id,
                           1, n->word, n->words);
    krs_node inside = krs_and(krs_lt(part[1], krs_like(x, 0x1p127)),
                              krs_gt(part[2], krs_like(x, 0x1p-125)));
    return krs_where(inside, part[0], krs_like(x, (double)INFINITY));
}

/* floats, and the numbers of blocks */
static bool
has_magnitudes(krs_dtype dtype)
{
    return krs_dtype_is_float(dtype) ||
           krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK;
}

krs_node
krsi_rounded(const krs_graph *g, const krsi_node *n, krs_node alone,
             const krs_node *in)
{
    uint32_t size[3]; /* no row that adds has more operands */
    if (krsi_attention_roundings(g, n) > 0)
        return krsi_attention_rounded(n, alone, in);
    for (uint32_t i = 0; i < n->count && i < 3; i++)
        size[i] = has_magnitudes(krs_node_dtype(in[i]))
                      ? krs_abs(krs_cast(in[i], KRS_F32)).id
                      : in[i].id;
    if (n->op == KRSI_PROD || n->op == KRSI_CUMPROD)
        return product_rounded(n, krsi_handle(alone.graph, size[0]));
    return krsi_add(alone.graph, KRS_HERE, (enum krsi_op)n->op, size,
                    (int)n->count, n->word, n->words);
}
