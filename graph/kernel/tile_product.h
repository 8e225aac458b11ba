/* tile_product.h -- the product that a cut of the family contract is, between
 * tile_contract.c, which reads it and declares its kernel, and tile_choose.c,
 * which chooses how it is computed.
 */
#ifndef GRAPH_KERNEL_TILE_PRODUCT_H
#define GRAPH_KERNEL_TILE_PRODUCT_H

#include "tile.h"

/* The cut with batch axes folded and roles settled. */
typedef struct krsi_product {
    int batches, a, b;  /* a, b: loads of the cut */
    int a_axis, b_axis; /* of the cut: m, n unless exchanged */
    int a_side;         /* operand of the product expression that A is */
    krs_index extent[KRSI_CUT_AXES], m, n, k;
    int64_t batch_a[KRSI_CUT_AXES], batch_b[KRSI_CUT_AXES],
        batch_c[KRSI_CUT_AXES];
    int64_t batch_max[KRSI_CUT_AXES], max_m, max_n, max_k;
    int64_t a_m, a_k, b_n, b_k, c_m, c_n; /* strides */
    bool counts;                          /* one grid axis counts all batches */
} krsi_product;

typedef struct krsi_tile_split {
    int64_t rows, columns; /* of an item */
} krsi_tile_split;

static inline bool
krsi_is_constant(krs_index i)
{
    return i.terms == 0;
}

/* Is it multiplied as it is read? */
static inline bool
krsi_operand_is_plain(const krsi_tile_operand *x)
{
    return x->root == x->element;
}

/* Sums of chunks stay in registers, nothing is in scratch. */
static inline bool
krsi_tile_is_registers(const krsi_tile *t)
{
    return t->template == KRSI_TILE_SINGLE || t->template == KRSI_TILE_GROUP;
}

/* A template for at most KRSI_TILE_THIN rows of A. */
static inline bool
krsi_tile_is_thin(const krsi_tile *t)
{
    return t->template == KRSI_TILE_STREAM || t->template == KRSI_TILE_TURNED ||
           t->template == KRSI_TILE_QUANTISED;
}

/* tile_choose.c: template, tile and reading of A for a product whose operands
 * are set in t, and what of C an item computes. Batches may be counted by one
 * grid axis then. */
krsi_tile_split krsi_tile_decide(krsi_tile *t, krsi_product *p,
                                 const krsi_cut *cut, const krsi_facts *facts);
/* do all rows of a matrix along its contiguous axis begin at multiples of `of`
 * elements? stride: from row to row */
bool krsi_product_in_multiples(const krsi_product *p, const krsi_view *view,
                               const int64_t *batch, int64_t stride,
                               int64_t of);
/* batch axes that are loops of an item */
int krsi_product_loops(const krsi_product *p);

#endif
