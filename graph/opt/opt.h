/* opt.h -- passes: from a graph and roots to a new graph and its roots.
 *
 * A pass never changes the graph it is given. The new graph owns everything
 * (strings, data, places), keeps the numbers of the variables, and holds at
 * least what the roots need; out_roots has as many ids as roots.
 */
#ifndef KRSI_OPT_H
#define KRSI_OPT_H

#include "../ir/ir.h"

typedef krs_status krsi_pass(const krs_graph *g, const uint32_t *roots,
                             size_t count, krs_graph **out, uint32_t *out_roots,
                             krs_error *err);

/* ---- expand.c ---- */

/* Which nodes stay as they are. */
typedef enum krsi_composites {
    KRSI_KEEP_COMPOSITES, /* all */
    KRSI_KEEP_FAMILIES,   /* primitives, and composites with a kernel family */
    KRSI_KEEP_PRIMITIVES  /* primitives only */
} krsi_composites;

/* need[id] = 1 for every node that the roots need; the rest is kept */
void krsi_mark(const krs_graph *g, const uint32_t *roots, size_t count,
               uint32_t *need);
/* What the roots need, copied. */
krsi_pass krsi_copy;
/* Composites replaced by their definitions, until only primitives remain. */
krsi_pass krsi_expand;
/* The same, but composites that have a kernel family stay. */
krsi_pass krsi_expand_to_families;

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
