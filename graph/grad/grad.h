/* grad.h -- what a vector-Jacobian rule sees.
 *
 * The rules, one for each word in the vjp column of ops.def, use the public
 * builders only: what they make is differentiated like any other part of the
 * graph. They see one node at a time and never a sum over its users.
 */
#ifndef KRSI_GRAD_H
#define KRSI_GRAD_H

#include "../ir/ir.h"

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
} krsi_vjp;
typedef void krsi_vjp_rule(krsi_vjp *v);

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
