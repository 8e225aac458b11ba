/* opt.h -- passes: from a graph and roots to a new graph and its roots.
 *
 * A pass never changes the graph it is given. The new graph owns everything
 * (strings, data, places), keeps the numbers of the variables, and holds at
 * least what the roots need; out_roots has as many ids as roots (it may be the
 * array of roots itself).
 *
 * What a node computes stays the same to the last bit on every device; a rule
 * that may change more, the payload of a NaN, says so in rules.def. What is no
 * longer needed is no longer computed, so an index outside its axis there is
 * no longer reported.
 */
#ifndef KRSI_OPT_H
#define KRSI_OPT_H

#include "../ir/ir.h"

typedef krs_status krsi_pass(const krs_graph *g, const uint32_t *roots,
                             size_t count, krs_graph **out, uint32_t *out_roots,
                             krs_error *err);

/* ---- copy.c ---- */

/* need[id] = 1 for every node that the roots need; the rest is kept */
void krsi_mark(const krs_graph *g, const uint32_t *roots, size_t count,
               uint32_t *need);

/* A copy being made. */
typedef struct krsi_copier krsi_copier;
/* What becomes of node `id` of `from`, whose operands, as ids of `to`, are in
 * c->in, and whose scope is open: an id of `to`; 0 with to's error set. */
typedef uint32_t krsi_copy_rule(krsi_copier *c, uint32_t id);
struct krsi_copier {
    const krs_graph *from;
    krs_graph *to;
    uint32_t *id; /* by id of from: of to; 0 where not needed */
    uint32_t *in;
    size_t most_operands; /* of a node of from: room in `in` */
    uint32_t scope;       /* string of from whose scope is open in to */
    const char *pass;     /* its name, for messages */
    krsi_pass *bodies;    /* what happens to bodies of scans; NULL: nothing */
    krsi_copy_rule *rule;
    void *context; /* of the rule */
};
/* What the roots need, each node as the rule says. */
krs_status krsi_copy_by(krsi_copy_rule *rule, void *context, const char *pass,
                        krsi_pass *bodies, const krs_graph *g,
                        const uint32_t *roots, size_t count, krs_graph **out,
                        uint32_t *out_roots, krs_error *err);
/* the rule that changes nothing */
krsi_copy_rule krsi_copier_add;
/* a node's attributes, with strings and data of the other graph */
bool krsi_copier_words(const krsi_copier *c, const krsi_node *n,
                       krsi_words *out);
/* What the roots need, copied. */
krsi_pass krsi_copy;

/* ---- expand.c ---- */

/* Which nodes stay as they are. */
typedef enum krsi_composites {
    KRSI_KEEP_FAMILIES,  /* primitives, and composites with a kernel family */
    KRSI_KEEP_PRIMITIVES /* primitives only */
} krsi_composites;
/* Composites replaced by their definitions, until only primitives remain. */
krsi_pass krsi_expand;
/* The same, but composites that have a kernel family stay. */
krsi_pass krsi_expand_to_families;

/* ---- rewrite.c ---- */

/* Constants folded, nodes rewritten by the rules of rules.def, and what nobody
 * needs any more swept away. Once more would change nothing. */
krsi_pass krsi_optimise;

/* ---- compile.c: the pipeline ---- */

/* "graph", "expand", ...; NULL past the last */
const char *krsi_stage_name(size_t i);

/* Run the passes in order, up to the stage of that name (NULL: all), each
 * followed by the verifier in debug builds. Print a stage by printing what it
 * gives. The end is made of primitives (KRSI_KEEP_PRIMITIVES), or also of
 * composites with kernel families (KRSI_KEEP_FAMILIES).
 * Errors: NAME for an unknown stage; what a pass reports. */
krs_status krsi_compile(const krs_graph *g, const uint32_t *roots, size_t count,
                        const char *last_stage, krsi_composites composites,
                        krs_graph **out, uint32_t *out_roots, krs_error *err);

#endif
