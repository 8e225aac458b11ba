/* lower_attention_lanes.h -- what forward and gradient of attention share where
 * items are lanes of a processor. Only lower_attention_lanes*.c include it.
 *
 * A strip is some rows, queries or keys, of one head: an item's part of the
 * result. Its scores with a block of the other side are in scratch.
 */
#ifndef KRSI_LOWER_ATTENTION_LANES_H
#define KRSI_LOWER_ATTENTION_LANES_H

#include "lower_attention.h"

enum {
    KRSI_STRIP_LANES = 4,  /* f32 that are read and stored at once */
    KRSI_STRIP_ROWS = 4,   /* of a strip, at most */
    KRSI_STRIP_VECTORS = 2 /* of a tile of scores */
};

/* as many rows as help where there are `most` */
int krsi_strip_rows(int64_t most);
/* vectors of a tile of sums that has so many columns, and what a row of them
 * takes in scratch */
int krsi_strip_vectors(int64_t columns);
int64_t krsi_strip_room(int64_t columns);
/* a register tile of so many rows and vectors, its operands still to come */
void krsi_strip_tile(krsi_flash *f, krsi_tile *t, int rows, int vectors);
/* [rows][stride] in scratch, as A: row r, word k is column k */
krsi_tile_operand krsi_strip_scratch(krsi_flash *f, krsi_kbuf buffer,
                                     int stride);
/* four elements of row `row` of scratch */
krsi_kmem krsi_strip_at(krsi_flash *f, krsi_kbuf buffer, krsi_kv row,
                        krsi_kv stride, krsi_kv column);
/* value in the elements low .. high, four at a time */
void krsi_strip_fill(krsi_flash *f, krsi_kbuf buffer, krsi_kv low, krsi_kv high,
                     float value);
/* a, or less: a multiple behind `from`, which is not above it */
krsi_kv krsi_strip_down(krsi_flash *f, krsi_kv a, krsi_kv from,
                        int64_t multiple);
/* where the words of t end: at `end`, or behind zeros that make them whole */
krsi_kv krsi_strip_words(krsi_flash *f, const krsi_tile *t, krsi_kv end,
                         krsi_kv from);

/* The four elements at, at + 1, ... of a row, zero beyond its end; they may go
 * beyond it by a row of virtual lanes. */
typedef krsi_kv krsi_strip_step(void *context, krsi_kv at);
/* Their sum up to `end` in the 64 virtual lanes and the tree of kb.h, by loops;
 * and of `count` elements, a few, without. */
krsi_kv krsi_strip_sum(krsi_flash *f, krsi_kv end, krsi_strip_step *step,
                       void *context);
krsi_kv krsi_strip_short_sum(krsi_flash *f, int64_t count,
                             krsi_strip_step *step, void *context);

/* A finished row in scratch: `count` elements, each `op` with a number. */
typedef struct krsi_strip_row {
    krsi_kbuf sums;
    krsi_kv number, stride, count;
    int64_t max_count;
    krs_kscalar op;
    krsi_kv with;
} krsi_strip_row;
/* open a loop over the rows of a tile (krsi_tile_single_row, in steps of 1) */
krsi_kv krsi_strip_open_rows(krsi_flash *f, const krsi_tile *t);
/* to row i of a head */
void krsi_strip_deliver(krsi_flash *f, const krsi_flash_tensor *to,
                        krsi_kv head, krsi_kv i, const krsi_strip_row *row);

static inline bool
krsi_strip_in_fours(krs_index i)
{
    return krsi_index_is_multiple(i, KRSI_STRIP_LANES);
}

/* ---- lower_attention_lanes.c ---- */
void krsi_lower_attention_lanes(krsi_lowering *l);
/* ---- lower_attention_lanes_grad.c ---- */
void krsi_lower_attention_lanes_grad(krsi_lowering *l);

#endif
