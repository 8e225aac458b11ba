/* fuzz_gen.h -- between the parts of the generator of random graphs: fuzz_graph.c
 * finds operands and puts graphs together, fuzz_uses.c, fuzz_products.c and
 * fuzz_idioms.c use the builders.
 */
#ifndef TESTS_FUZZ_GEN_H
#define TESTS_FUZZ_GEN_H

#include "fuzz_graph.h"

enum { FUZZ_POOL = 160 };

typedef struct fuzz_gen {
    uint64_t state;
    krs_graph *graph;
    krs_node pool[FUZZ_POOL];
    int count;
    int leaves, vars;
    bool lives; /* this graph has live lengths */
    /* elements of a new leaf, and of any node: in one graph of thirty enough
     * for several items of a kernel and several pieces of a long sum */
    int64_t leaf_room, room;
} fuzz_gen;

/* ---- fuzz_graph.c: dice and operands ---- */

typedef bool fuzz_accepts(krs_dtype dtype);
fuzz_accepts fuzz_any, fuzz_floats, fuzz_numbers, fuzz_indices, fuzz_bits,
    fuzz_truths;

/* in [0, n) */
int fuzz_below(fuzz_gen *g, int n);
bool fuzz_chance(fuzz_gen *g, int percent);
int64_t fuzz_elements_of(krs_shape s);
/* among the nodes to choose from, if it is valid and not too large */
void fuzz_keep(fuzz_gen *g, krs_node x);
int64_t fuzz_random_size(fuzz_gen *g);
krs_shape fuzz_random_shape(fuzz_gen *g);
krs_dtype fuzz_random_dtype(fuzz_gen *g);
/* a new input or state */
krs_node fuzz_leaf(fuzz_gen *g, krs_dtype dtype, krs_shape shape);
/* one of the nodes so far of at least that rank, recent ones more often; a new
 * leaf if none fits */
krs_node fuzz_pick(fuzz_gen *g, fuzz_accepts *fits, int rank);
/* a node of a type that broadcasts with x */
krs_node fuzz_partner(fuzz_gen *g, krs_node x, krs_dtype dtype);
/* a new runtime integer, or an expression of one, in [low, high] */
krs_index fuzz_variable(fuzz_gen *g, int64_t low, int64_t high);
/* valid indices into an axis of a size above 0 */
krs_node fuzz_index_of(fuzz_gen *g, krs_shape shape, bool any_shape,
                       int64_t size);
krs_axes fuzz_some_axes(fuzz_gen *g, int rank);
krs_axes fuzz_random_order(fuzz_gen *g, int rank);
/* an axis of x, or -1 if it has none */
int fuzz_some_axis(fuzz_gen *g, krs_node x);

/* ---- fuzz_uses.c ---- */

/* A use of some builder; KRS_NONE if nothing came to mind, poison if the
 * builder refused. */
typedef krs_node fuzz_user(fuzz_gen *g);
fuzz_user fuzz_use; /* any of them */

/* ---- fuzz_products.c ---- */

fuzz_user fuzz_use_conv, fuzz_use_matmul, fuzz_use_gather, fuzz_use_attention,
    fuzz_use_random, fuzz_use_rope, fuzz_use_leaf;

/* ---- fuzz_idioms.c ---- */

fuzz_user fuzz_use_special_constant, fuzz_use_signs, fuzz_use_truths,
    fuzz_use_pieces, fuzz_use_repeated, fuzz_use_checkpoint,
    fuzz_use_linear_loss, fuzz_use_scan;

#endif
