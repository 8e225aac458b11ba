/* check_parts.h -- what a check of a device is made of: check.c runs the graph
 * on both devices, probe.c judges its nodes, blame.c finds the kernel, repro.c
 * writes what failed.
 */
#ifndef KRSI_CHECK_PARTS_H
#define KRSI_CHECK_PARTS_H

#include "alone.h"
#include "trial.h"

typedef struct krsi_checking {
    krs_device *device, *against, *eval;
    const krs_check_options *options;
    krs_check_result *result;
    krs_graph *graph; /* a copy of the user's, with gradients and steps */
    krs_node *output;
    size_t outputs, users; /* all; those of the user */
    krs_node *leaf;        /* whose gradients are outputs users .. */
    size_t gradients;
    /* the same down to primitives and composites with a kernel family */
    krs_graph *g;
    uint32_t *root;   /* what output i computes: of an update its value */
    krsi_trial trial; /* data, for g */
    krs_view *first;  /* what the device gave for output i in the first run */
    krs_view *value;  /* by id of g: what it gave as an output of its own */
    bool *asked, *owned; /* by id: judged in this part; value is ours */
    uint32_t bad;        /* the first node that is wrong by itself; 0: none */
    size_t odd;          /* an output that is not what its root is; SIZE_MAX */
    krs_view good;       /* what it is as an output of its own */
    char *sentence;      /* what is wrong with it, for the repro */
} krsi_checking;

/* a row for a node of the graph */
krs_check_row krsi_check_row_of(const krs_graph *g, uint32_t id);
void krsi_check_tell(const krsi_checking *c, const krs_check_row *row);
krs_status krsi_check_memory(krs_error *err);

/* ---- probe.c ---- */

/* Every node judged, in parts of at most so many bytes; sets bad and odd. */
krs_status krsi_check_probe(krsi_checking *c, krs_error *err);
/* is it computed, so that it can be an output of its own? */
bool krsi_check_is_value(const krs_graph *g, uint32_t id);

/* ---- blame.c ---- */

/* How little is needed for a target to be wrong. */
typedef struct krsi_blame {
    uint32_t target;
    uint32_t *node; /* before it, in order; to be freed */
    size_t count;
    krs_check_cause cause; /* NODE: with all of them cut; else FUSION */
    bool is_cut;           /* FUSION: with the first `cuts` of them cut, */
    size_t cuts;
    uint32_t cure; /* and no more with this one too */
} krsi_blame;

/* For c->bad, else c->odd; names the kernel in the result. free(blame->node),
 * whatever it gave. */
krs_status krsi_check_blame(krsi_checking *c, krsi_blame *out, krs_error *err);
/* outputs of a try with so many cut: the target, and for c->bad the nodes that
 * are not; their count */
size_t krsi_blame_roots(const krsi_checking *c, const krsi_blame *b,
                        size_t cuts, uint32_t *roots);
/* A program of roots of g on a device, run on the trial's data. */
krs_status krsi_check_run(krs_device *device, const krs_graph *g,
                          const krsi_trial *trial, const uint32_t *roots,
                          size_t count, krs_store **store, krs_program **out,
                          krs_error *err);

/* ---- repro.c ---- */

/* Roots on inputs that stand for the cut nodes; made[id] (zeroed by the caller)
 * is that of node id. */
krs_status krsi_check_cut(const krsi_checking *c, const uint32_t *roots,
                          size_t count, const uint32_t *cut, size_t cuts,
                          uint32_t *made, krs_graph **out, uint32_t *out_roots,
                          krs_error *err);
/* The same as text with data. *out is NULL if it would be too large. */
krs_status krsi_check_repro(const krsi_checking *c, const uint32_t *roots,
                            size_t count, const uint32_t *cut, size_t cuts,
                            const char *sentence, char **out, krs_error *err);

#endif
