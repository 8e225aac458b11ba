/* program_parts.h -- what a program is made of, for program_make.c and
 * program_clone.c, which make it, program.c and program_bind.c, which use it.
 */
#ifndef KRSI_PROGRAM_PARTS_H
#define KRSI_PROGRAM_PARTS_H

#include "program.h"

/* An input of the user's graph, needed here or not. */
typedef struct krsi_input {
    char *name;
    uint32_t id; /* in the compiled graph; 0: not needed */
    krs_dtype dtype;
    krs_shape shape;
    size_t bytes;
    krsi_memory *memory; /* NULL: never set */
    bool is_bound;       /* memory is the user's */
} krsi_input;

typedef struct krsi_state {
    uint32_t id;
    krsi_tensor *tensor;
} krsi_state;

typedef struct krsi_update {
    size_t output;
    krsi_tensor *tensor;
    bool is_in_place; /* the device writes it there */
} krsi_update;

struct krs_program {
    krs_device *device;
    const krsi_device_kind *kind; /* of device */
    krs_graph *graph;             /* compiled; that of its clones too */
    atomic_size_t *users;         /* of graph */
    void *prepared;
    uint32_t *output;     /* ids */
    krsi_memory **memory; /* of the outputs */
    size_t outputs;
    krsi_input *input;
    size_t inputs;
    krsi_state *state;
    size_t states;
    krsi_update *update;
    size_t updates;
    bool writes_states;    /* in place */
    bool is_planned;       /* and nothing more: krs_program_plan */
    uint64_t states_bytes; /* of all that come into the store */
    int64_t *var;
    bool *var_set, *var_needed;
    bool is_made; /* the observer knows it */
    bool has_run; /* outputs can be read */
    atomic_int cancelled;
};

/* ---- program_make.c ---- */

size_t krsi_node_bytes(const krsi_node *n);
/* of an input or state */
const char *krsi_leaf_name(const krs_graph *g, const krsi_node *n);
/* NULL if the user's graph has none of that name */
krsi_input *krsi_program_input(const krs_program *p, const char *name);
/* states of the compiled graph against what the store has: NAME */
krs_status krsi_program_check_state(const krs_graph *g, uint32_t id,
                                    const krs_store *store, krs_error *err);
/* program_blocks.c -- the tensor of a state that the graph declares as f32 and
 * the store holds in blocks; NULL for others, and without a store */
krsi_tensor *krsi_state_in_blocks(const krs_graph *g, uint32_t id,
                                  const krs_store *store);
/* A copy in which these are read through casts, with its roots; *out NULL if
 * there are none among the nodes that are needed.
 * Errors: DTYPE (one of them is updated), MEMORY. */
krs_status krsi_program_read_blocks(const krs_graph *g, const uint32_t *need,
                                    uint32_t *roots, size_t count,
                                    const krs_store *store, krs_graph **out,
                                    krs_error *err);
/* memory for the outputs, tensors for the updates */
krs_status krsi_program_make_outputs(krs_program *p, const krs_store *store,
                                     krs_error *err);
/* the states of the compiled graph, which are in the store */
void krsi_program_find_states(krs_program *p, const krs_store *store);
krs_status krsi_program_no_memory(const char *function, krs_error *err);
void krsi_program_tell(krs_program *p, krs_program_event event);

/* ---- program.c ---- */

/* ARGUMENT for a program that is planned alone */
krs_status krsi_program_check_made(const krs_program *p, const char *function,
                                   krs_error *err);
/* the input of that name with its bytes: NAME, RANGE */
krs_status krsi_program_find_input(krs_program *p, const char *function,
                                   const char *name, size_t bytes,
                                   krsi_input **out, krs_error *err);
/* the bytes of output i: RANGE if there is none, or bytes differ */
krs_status krsi_program_check_output(const krs_program *p, const char *function,
                                     size_t i, size_t bytes, krs_error *err);

#endif
