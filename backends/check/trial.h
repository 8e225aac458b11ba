/* trial.h -- what a graph is tried on: data for its leaves, given or drawn.
 *
 * Everything that runs a graph of the user's to judge it (gradcheck.c,
 * check.c) takes its data from here, so that two devices get the same bytes.
 */
#ifndef KRSI_TRIAL_H
#define KRSI_TRIAL_H

#include "../program.h"

#include <krs/check.h>

/* An input or a state. */
typedef struct krsi_trial_leaf {
    const char *name; /* of the graph */
    uint32_t id;      /* in the graph */
    bool is_state;
    krs_view view; /* data is the trial's own */
} krsi_trial_leaf;

typedef struct krsi_trial {
    const krs_graph *graph;
    krsi_trial_leaf *leaf; /* that the roots need, ids ascending */
    size_t leaves;
    int64_t *var; /* by number */
} krsi_trial;

/* krsi_trial_check_outputs(outputs, count, err) -- ARGUMENT where there are none
 * or they are not of one graph, or that graph's own error. */
krs_status krsi_trial_check_outputs(const krs_node *outputs, size_t count,
                                    krs_error *err);

/* krsi_trial_make(g, roots, count, data, &trial, err) -- data for all that the
 * roots need, by the rules of krs_check_data; data NULL: all drawn. g outlives
 * it. Errors: NAME (a value, or a runtime integer, that the graph does not
 * have), SHAPE, DTYPE, RANGE (that do not fit); MEMORY. */
krs_status krsi_trial_make(const krs_graph *g, const uint32_t *roots,
                           size_t count, const krs_check_data *data,
                           krsi_trial *out, krs_error *err);
void krsi_trial_free(krsi_trial *trial);
/* NULL if there is none */
krsi_trial_leaf *krsi_trial_find(const krsi_trial *trial, const char *name);
/* krsi_trial_give(trial, program, store, err) -- inputs and runtime integers of
 * the program, which may have others too, and the states of its store. */
krs_status krsi_trial_give(const krsi_trial *trial, krs_program *program,
                           krs_store *store, krs_error *err);
/* one leaf of it alone */
krs_status krsi_trial_give_leaf(const krsi_trial_leaf *leaf,
                                krs_program *program, krs_store *store,
                                krs_error *err);

#endif
