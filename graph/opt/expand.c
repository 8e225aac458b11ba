/* expand.c -- replace composites by their definitions: all, or those that no
 * kernel family takes (ops.def, column cut).
 *
 * One round copies what the roots need (copy.c); where a composite stands, its
 * rule (composite_*.c) builds the expansion instead. A definition may use other
 * composites (cross_entropy uses log_softmax), so rounds repeat until a graph
 * is free of them: as many rounds as definitions nest, each linear.
 */
#include "opt.h"

#include <stdlib.h>

/* Definitions nest three deep at most; more is a rule that uses itself. */
enum { ROUNDS = 12 };

/* Does the definition take the place of a node of this row? */
static bool
expands(krsi_composites composites, const krsi_node *n)
{
    const krsi_op_info *row = &krsi_ops[n->op];
    switch (composites) {
    case KRSI_KEEP_FAMILIES: return row->composite && !row->has_family;
    case KRSI_KEEP_PRIMITIVES: return row->composite;
    }
    return false;
}

typedef struct expansion {
    krsi_composites composites;
    krs_node *operand; /* room for those of one node */
} expansion;

/* what a composite is made of */
static uint32_t
expand_node(krsi_copier *c, uint32_t id)
{
    const krsi_node *n = c->from->node[id];
    const expansion *e = c->context;
    krs_place at = {0};
    if (!expands(e->composites, n))
        return krsi_copier_add(c, id);
    for (uint32_t k = 0; k < n->count; k++)
        e->operand[k] = krsi_handle(c->to, c->in[k]);
    krsi_node_place(c->from, id, 0, &at);
    krsi_use use = {at, c->to, n, e->operand, (int)n->count};
    return krsi_expansions[n->op](&use).id;
}

/* room for the operands of any node that expands; 0: there is none */
static size_t
room_to_expand(const krs_graph *g, krsi_composites composites)
{
    size_t room = 0;
    for (size_t id = 1; id <= g->nodes; id++)
        if (expands(composites, g->node[id]) && g->node[id]->count >= room)
            room = g->node[id]->count + 1;
    return room;
}

/* neither it nor a body of its scans has anything to expand */
static bool
is_expanded(const krs_graph *g, krsi_composites composites)
{
    for (size_t id = 1; id <= g->nodes; id++)
        if (g->node[id]->op == KRSI_SCAN &&
            !is_expanded(krsi_loop_of(g, g->node[id]).body->graph, composites))
            return false;
    return room_to_expand(g, composites) == 0;
}

static krs_status
round_of(const krs_graph *g, const uint32_t *roots, size_t count,
         krsi_composites composites, krs_graph **out, uint32_t *out_roots,
         krs_error *err)
{
    size_t room = room_to_expand(g, composites);
    expansion e = {composites, calloc(room + 1, sizeof *e.operand)};
    if (!e.operand)
        return krs_fail(err, KRS_E_MEMORY, "expand: no memory for %zu nodes",
                        g->nodes);
    krsi_pass *bodies = composites == KRSI_KEEP_FAMILIES
                            ? krsi_expand_to_families
                            : krsi_expand;
    krs_status status = krsi_copy_by(expand_node, &e, "expand", bodies, g,
                                     roots, count, out, out_roots, err);
    free(e.operand);
    return status;
}

static krs_status
expand_rounds(const krs_graph *g, const uint32_t *roots, size_t count,
              krsi_composites composites, krs_graph **out, uint32_t *out_roots,
              krs_error *err)
{
    krs_graph *last = NULL;
    for (int i = 0; i < ROUNDS; i++) {
        krs_graph *next;
        krs_status status = round_of(last ? last : g, last ? out_roots : roots,
                                     count, composites, &next, out_roots, err);
        krs_graph_free(last);
        if (status != KRS_OK)
            return status;
        last = next;
        if (is_expanded(last, composites)) {
            *out = last;
            return KRS_OK;
        }
    }
    krs_graph_free(last);
    return krs_fail(err, KRS_E_INTERNAL,
                    "expand: composites are left after %d rounds", ROUNDS);
}

krs_status
krsi_expand(const krs_graph *g, const uint32_t *roots, size_t count,
            krs_graph **out, uint32_t *out_roots, krs_error *err)
{
    return expand_rounds(g, roots, count, KRSI_KEEP_PRIMITIVES, out, out_roots,
                         err);
}

krs_status
krsi_expand_to_families(const krs_graph *g, const uint32_t *roots, size_t count,
                        krs_graph **out, uint32_t *out_roots, krs_error *err)
{
    return expand_rounds(g, roots, count, KRSI_KEEP_FAMILIES, out, out_roots,
                         err);
}
