/* grad.h -- what a vector-Jacobian rule sees.
 *
 * The rules, one for each word in the vjp column of ops.def, use the public
 * builders only: what they make is differentiated like any other part of the
 * graph. They see one node at a time and never a sum over its users.
 */
#ifndef KRSI_GRAD_H
#define KRSI_GRAD_H

#include "../ir/ir.h"

/* A cotangent of result number `index` of the scan with that id. */
typedef struct krsi_result_cotangent {
    uint32_t scan, index;
    krs_node g;
} krsi_result_cotangent;

/* One node y = f(in), its cotangent g = d loss / d y, and room for the
 * cotangents of its operands. A rule sets out[i] where need[i], with the type
 * and shape of in[i], or leaves KRS_NONE for zero. */
typedef struct krsi_vjp {
    krs_place at;
    krs_graph *graph;
    const krsi_node *node;
    krs_node y;
    const krs_node *in;
    int count;
    krs_node g;
    const bool *need;
    krs_node *out;
    /* for a scan: among them are all cotangents of its results, at most one
     * for each, under that id; g is not one of them */
    uint32_t scan;
    const krsi_result_cotangent *result;
    size_t results;
} krsi_vjp;
typedef void krsi_vjp_rule(krsi_vjp *v);

/* grad.c -- cotangents of wrt, given those of some nodes (a node may come
 * twice), as nodes of their graph; KRS_NONE for zero. What the bounds are made
 * of is left out of account, and with bounds a node that stands in wrt twice
 * gets its whole cotangent once. false: refused, error recorded. */
typedef struct krsi_seed {
    krs_node y, g;
} krsi_seed;
bool krsi_differentiate(const krsi_seed *seed, size_t seeds,
                        const krs_node *wrt, size_t count,
                        const krs_node *bounds, size_t bound_count,
                        krs_node *out);

/* grad.c -- the rule of a composite that has no other: through its expansion,
 * for a rule that does not always apply */
void krsi_vjp_through_expansion(krsi_vjp *v);

/* checkpoint.c -- make what lies between the inputs of checkpoint node `id` and
 * its value again: again[i] of a node i becomes its copy, by id up to `id`; 0:
 * there is none. One scope can be pushed. false: error recorded. */
bool krsi_checkpoint_copy(krs_graph *g, uint32_t id, uint32_t *again);

#define PRIMITIVE(ID, name, min, max, attrs, types, shape, live, vjp, ...) \
    void krsi_vjp_##vjp(krsi_vjp *v);
#define COMPOSITE PRIMITIVE
#include "../ir/ops.def"
#undef PRIMITIVE
#undef COMPOSITE

#endif
