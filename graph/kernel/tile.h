/* tile.h -- templates of matrix products: C = A B, batched.
 *
 * The numeric contract, for every template, tile, split and device:
 *
 *   for each chunk of 512 consecutive k, ascending:
 *       s = 0;  for k in the chunk, ascending:  s = mad(a[m,k], b[k,n], s)
 *       c = s for the first chunk, c + s for later ones
 *   C[m,n] = c, rounded once to the type of C
 *
 * f16, and bf16 meeting another type, are converted to f32 first. Two bf16
 * matrices are multiplied by pairs k, k + 1 of the chunk: s = dot2_bf16(s,
 * pair of a, pair of b), which is mad of the odd element, then of the even
 * one; a pair that K cuts in half ends with +0 and +0.
 *
 * Templates:
 *   blocked  B packed into panels as wide as the register tile
 *   direct   the same tiles, B read where it lies: small or narrow products
 *   stream   few rows of A: rows of B pass once, sums stay in scratch
 *   turned   few rows of A, columns of B contiguous: they pass once, turned
 *            in registers
 *   quantised few rows of A, columns of B contiguous, in blocks: they pass once,
 *            turned as bytes
 *   single   an item is one register tile, nothing is packed: for devices
 *            whose items are lanes of a processor
 *   group    the items of a group share words of A and B in shared memory: for
 *            devices whose groups have some
 *
 * Expressions in place of A or B are computed where elements are packed (or
 * loaded, by templates that do not pack); expressions of the product where
 * sums are stored, with a scratch for sums if K exceeds a chunk.
 *
 * An axis of N at most 8 long is exchanged for M first, so that lanes run
 * along the long axis. Sizes, strides, offsets and the split into items are
 * arguments; the class of a kernel is: types of A, B and C; template and tile;
 * how A is read (in place, rows packed, columns packed); which stride of A and
 * B is 1; whether rows of C are contiguous; whether K exceeds a
 * chunk; of pairs, whether K is even; the number of batch axes, 3 and
 * more kept apart.
 */
#ifndef KRSI_TILE_H
#define KRSI_TILE_H

#include "lower.h"

enum {
    KRSI_TILE_CHUNK = 512,  /* k; part of the numeric contract */
    KRSI_TILE_ROWS = 16,    /* most rows of a register tile */
    KRSI_TILE_THIN = 8,     /* rows of A that are few */
    KRSI_TILE_ALIGNED = 16, /* bytes: four f32, where all strides are such */
    KRSI_TILE_VECTORS = 4,  /* most vectors of one of its rows */
    KRSI_TILE_DWORDS = KRSI_BLOCK / 4, /* four words of a block each */
    KRSI_TILE_LINE = 16                /* words of a cache line */
};

typedef enum krsi_tile_template {
    KRSI_TILE_BLOCKED,
    KRSI_TILE_DIRECT,
    KRSI_TILE_STREAM,
    KRSI_TILE_TURNED,
    KRSI_TILE_QUANTISED,
    KRSI_TILE_SINGLE,
    KRSI_TILE_GROUP
} krsi_tile_template;

/* How the rows of A reach a register tile. */
typedef enum krsi_tile_reading {
    KRSI_TILE_IN_PLACE, /* f32, or whole pairs, contiguous along k */
    KRSI_TILE_ROWS_PACKED,
    KRSI_TILE_COLUMNS_PACKED
} krsi_tile_reading;

typedef struct krsi_tile krsi_tile;

/* the sums of a register tile, vectors along n */
typedef krsi_kv krsi_tile_registers[KRSI_TILE_ROWS][KRSI_TILE_VECTORS];

/* Where an element of a matrix is, or those of a vector from lane 0 on. */
typedef struct krsi_tile_point {
    krsi_kv outer, k; /* row of A, column of B; and along k */
    bool along_k;     /* which of the two the lanes go along */
    int lanes;
    krsi_kv mask; /* none: all lanes */
} krsi_tile_point;

typedef struct krsi_tile_operand {
    krsi_kbuf buffer;
    krs_dtype dtype;
    krsi_kv offset;                /* of the batch at hand */
    krsi_kv outer;                 /* stride along m of A, n of B */
    krsi_kv inner;                 /* stride along k */
    bool along_outer, along_inner; /* stride 1; inner wins */
    bool in_blocks; /* block-quantised; with stride 1 rows begin with a block */
    bool aligned;   /* single: four elements in a row begin at KRSI_TILE_ALIGNED
                     wherever the row's first is a multiple of four */
    /* what is made of the element that is read, before it is packed or
     * multiplied: expression `root` of the cut, in which that element is
     * expression `element`. Equal: the element itself. */
    int root, element;
    int axis;        /* of the cut, along `outer` */
    bool in_scratch; /* single: no texel view shows it */
} krsi_tile_operand;

struct krsi_tile {
    krsi_kb *kb;
    krsi_tile_template template;
    krsi_tile_reading reading;
    int lanes, rows, vectors;
    int wide;   /* rows, rounded up to a power of two */
    bool small; /* little code, of the template blocked: each thing once, in a
                   loop; panels of B are packed to their end */
    bool pairs; /* words of two bf16 along k, else of one f32 */
    int unit;   /* elements of a word along k: 2 or 1 */
    int chunk;  /* words of a chunk */
    int slab;   /* rows of A that are packed at once, whole tiles, where by
                   columns; none: 0, those of a tile */
    krsi_kv m, n, k;
    krsi_kv words; /* along k */
    krsi_tile_operand a, b;
    krs_dtype out_dtype;
    krsi_kbuf out;
    krsi_kv out_offset, out_row, out_column; /* strides of C */
    bool out_contiguous;
    bool out_aligned;   /* as of an operand */
    bool out_is_padded; /* columns beyond the end may be stored, up to the end
                           of their panel */
    bool even;          /* K is, so that no pair is cut */
    int side; /* group: items along both its axes, and words of k at a time */
    /* single, group: the first column of the item, and how many are from one
     * of its vectors to the next */
    krsi_kv column;
    int apart;
    /* N is whole tiles; single: M and K are whole rows and fours; an item has
     * all rows of its columns; group: M and K are whole tiles and words of
     * a turn */
    bool whole_columns, whole_rows, whole_words, all_rows;
    bool whole_blocks; /* B, plain, has blocks along k, K is whole ones */
    bool one_chunk;    /* K is at most a chunk */
    bool has_sums;     /* in scratch: C cannot hold them between chunks */
    struct krsi_lowering *lowering;
    int product;   /* expression of the cut */
    bool finishes; /* outs are made of the product: those of the cut, by its
                      expressions; else C is stored as it is */
    krsi_kbuf a_pack, b_pack, sums;
    krsi_kv a_length; /* words of a row of A, packed for all chunks; none: for
                         one chunk */
    krsi_kbuf dwords, scales; /* quantised: blocks of the tile's columns */
    krsi_kbuf square;         /* small: a finished tile, [rows][its columns] */
    krsi_kv sum_stride;
    krsi_kv sum_start; /* of the rows from m0 on, in sums; none: 0 */
    bool adds;         /* there are always sums already, whatever the chunk */
    bool decays; /* sums so far are first multiplied by decay[row - decay_from]
                  */
    krsi_kbuf decay;
    krsi_kv decay_from;
    krsi_kv factor; /* on finished sums, as they are stored; none: 1 */
    /* of the item */
    krsi_kv m0, m1, n0, n1;
    /* of the chunk: words [first, end) of k, and are there sums already; the
     * words of the chunk below `low` are left out (none: 0) */
    krsi_kv first, end, later, low;
    krsi_kv a_at[KRSI_TILE_ROWS];   /* word 0 of the chunk, in elements */
    krsi_kv a_next[KRSI_TILE_ROWS]; /* of the tile below; read in place */
    int a_step;                     /* elements from word to word */
};

/* tile_pack.c */
/* words, from an index in elements; mask of elements */
krsi_kv krsi_tile_words(krsi_tile *t, krsi_kbuf buffer, krsi_kv index,
                        int lanes, krsi_kv mask, size_t align_bytes);
/* elements of A or B as f32 or what they are stored as; is_run: a vector along
 * the contiguous axis, from a multiple of its lanes on */
krsi_kv krsi_tile_read(krsi_tile *t, const krsi_tile_operand *x, krsi_kmem at,
                       bool is_run);
/* lanes words along m of A or n of B, from row or column `outer` up to `end`,
 * at `word` of k; zeros beyond. whole: none is beyond. */
krsi_kv krsi_tile_across(krsi_tile *t, const krsi_tile_operand *x,
                         krsi_kv outer, krsi_kv end, krsi_kv word, int lanes,
                         bool whole);
/* small: declare the scratch of finished tiles */
void krsi_tile_declare_square(krsi_tile *t, const char *name);
/* declare what packing A needs: scratch of that name */
void krsi_tile_declare_a(krsi_tile *t, const char *name);
/* make the rows from `row` on ready for the chunk; those beyond m1 repeat the
 * last one */
void krsi_tile_ready_a(krsi_tile *t, krsi_kv row);
/* the same of rows that are packed already, or read in place */
void krsi_tile_find_a(krsi_tile *t, krsi_kv row);
/* with a slab: pack its rows, and make those of one of its tiles ready */
void krsi_tile_pack_slab(krsi_tile *t, krsi_kv slab);
void krsi_tile_ready_in_slab(krsi_tile *t, krsi_kv slab, krsi_kv row);
/* a line of each row of the tile below, which is read in place */
void krsi_tile_prefetch_a(krsi_tile *t, krsi_kv word);
/* row r of these at word `word` of the chunk: a scalar */
krsi_kv krsi_tile_a(krsi_tile *t, int r, krsi_kv word);
/* where the panel that begins at `column` has its word 0, in words */
krsi_kv krsi_tile_panel(krsi_tile *t, krsi_kv column);
/* element [word, n] of B, whose rows are contiguous */
void krsi_tile_prefetch_b(krsi_tile *t, krsi_kv n, krsi_kv word);
/* pack the columns n0 .. n1 of B for the chunk */
void krsi_tile_pack_b(krsi_tile *t);

/* where the columns n0, n0 + 1, ... of B begin, where k is contiguous; those
 * beyond n1 repeat the last one */
void krsi_tile_lines(krsi_tile *t, krsi_kv n0, krsi_kv *from);
/* x[i] lane j becomes word `word` + i of column n0 + j; whole: all words are
 * inside K, else those beyond are zero */
void krsi_tile_square(krsi_tile *t, const krsi_kv *from, krsi_kv n0,
                      krsi_kv word, bool whole, krsi_kv *x);

/* tile_blocks.c -- B in blocks that begin where rows do (whole_blocks) */
/* byte at which the block of column n begins that has `word` of the chunk; and
 * that of the column so many further on */
krsi_kv krsi_tile_block_at(krsi_tile *t, krsi_kv n, krsi_kv word);
krsi_kv krsi_tile_next_block(krsi_tile *t, krsi_kv at, int columns);
/* A block of each column of a vector: scales, minima, and integers, four bytes of
 * a column a lane; of nibbles the low halves, then the high ones. */
typedef struct krsi_tile_blocks {
    krsi_block_layout layout;
    krsi_kv at[KRS_K_MAX_LANES];
    krsi_kv dword[KRSI_TILE_DWORDS], scale, least;
} krsi_tile_blocks;
/* the block at `at` and those of the columns after it; columns beyond that of the
 * block at `last` repeat it (none: there are none) */
void krsi_tile_read_blocks(krsi_tile *t, krsi_kv at, krsi_kv last,
                           krsi_tile_blocks *b);
/* byte `place` of a dword as f32; scale: over 256^place for nibbles, over 256^3
 * for bytes */
krsi_kv krsi_tile_block_word(krsi_tile *t, krsi_kv dword, int place,
                             krsi_kv scale, krsi_kv least);
/* the words of these blocks, f32, to b_pack from `to` on, a tile's width apart */
void krsi_tile_unpack(krsi_tile *t, krsi_kv at, krsi_kv last, krsi_kv to);
/* Fetch a part of `count` columns from n0 on: all of it in as many turns as a
 * chunk has blocks, of which this is that of `word`. */
void krsi_tile_fetch_blocks(krsi_tile *t, krsi_kv n0, krsi_kv word, int count);

/* tile_expr.c -- expressions of the cut around the product */
/* the element that was read at a point -> the element of the matrix, f32 */
krsi_kv krsi_tile_element(krsi_tile *t, const krsi_tile_operand *x,
                          krsi_kv read, krsi_tile_point at);
/* Before row r of a tile is stored: a row that is not there repeats the last
 * one, and outs may lie where they are made from (../sched/layout_step.c), so
 * that they must be made once. True: close it with krsi_kb_end. */
bool krsi_tile_open_row(krsi_tile *t, krsi_kv row, int r);
/* the outs made of a vector of finished sums at row m, columns n on */
void krsi_tile_finish(krsi_tile *t, krsi_kv m, krsi_kv n, krsi_kv mask,
                      krsi_kv sums);

/* tile_contract.c */
/* pieces of a size, the last one perhaps smaller; the larger of two sizes */
static inline int64_t
krsi_tile_parts(int64_t whole, int64_t part)
{
    return whole / part + (whole % part != 0);
}
static inline int64_t
krsi_tile_most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
/* arguments and buffers of a launch, one more each */
krsi_kv krsi_tile_integer(krsi_lowering *l, krs_index value);
krsi_kv krsi_tile_float(krsi_lowering *l, double value);
krsi_kbuf krsi_tile_buffer(krsi_lowering *l, const char *name, uint32_t value,
                           krs_dtype dtype, int access);
/* the element type of a load */
krs_dtype krsi_tile_load_type(const krsi_cut *cut, int load);

/* tile_choose.c */
/* the register tile of the device; of several, the one that wastes least of a
 * row that has so many columns (0: the first) */
void krsi_tile_choose(krsi_tile *t, const krsi_facts *facts, int64_t columns);
/* how rows of A, whose type and strides are known, are read */
void krsi_tile_choose_reading(krsi_tile *t);

/* tile_blocked.c, tile_stream.c, tile_turned.c, tile_quantised.c, tile_single.c,
 * tile_group.c -- one item */
void krsi_tile_blocked(krsi_tile *t);
/* the tiles of the rows at `row`, for one chunk; A is ready, B is packed */
void krsi_tile_strip(krsi_tile *t, krsi_kv row);
void krsi_tile_stream(krsi_tile *t);
void krsi_tile_turned(krsi_tile *t);
void krsi_tile_quantised(krsi_tile *t);
void krsi_tile_declare_quantised(krsi_tile *t);
void krsi_tile_single(krsi_tile *t);
void krsi_tile_group(krsi_tile *t);
/* products of the words first .. end, at the rows from `row` and the columns
 * from n0 on, from 0 */
void krsi_tile_single_sums(krsi_tile *t, krsi_kv row, krsi_tile_registers s);
/* Vectors of row `row` + r of these, in a loop over rows `step` apart: selects,
 * where rows in turn would each have code of their own. A power of two of rows,
 * and a step that divides it. */
void krsi_tile_single_row(krsi_tile *t, krsi_kv row, int step, int r,
                          krsi_tile_registers s, krsi_kv *out);
/* the same of words in shared memory, by items of a group: all of its rows and
 * columns */
void krsi_tile_group_sums(krsi_tile *t, krsi_tile_registers s);
/* shared memory of such a group, which has so many rows and columns of C: in
 * bytes, and in the kernel */
int64_t krsi_tile_group_bytes(int side, int rows, int columns);
void krsi_tile_declare_group(krsi_tile *t);
/* All registers through a loop that was just opened: each is a carry in it; then
 * s is what they are in the next trip, the loop ends, and s its results. */
void krsi_tile_carry(krsi_tile *t, krsi_tile_registers s,
                     krsi_tile_registers carried);
void krsi_tile_pass_on(krsi_tile *t, krsi_tile_registers carried,
                       krsi_tile_registers s);
/* single, group: the registers of an item, whose first row is that, over all
 * chunks and into C */
void krsi_tile_registers_of(krsi_tile *t, krsi_kv row);
/* open the loop over chunks; close it with krsi_kb_end. Carries come before
 * krsi_tile_bounds, which is called in it. */
void krsi_tile_chunks(krsi_tile *t);
void krsi_tile_bounds(krsi_tile *t);
/* s = mad or dot2 */
krsi_kv krsi_tile_mad(krsi_tile *t, krsi_kv a, krsi_kv b, krsi_kv s);
/* the sums so far at a place, -0 if there are none; mask as for a load */
krsi_kv krsi_tile_sums(krsi_tile *t, krsi_kmem at);
/* a vector of finished sums to C */
void krsi_tile_store(krsi_tile *t, krsi_kv m, krsi_kv n, krsi_kv mask,
                     krsi_kv v);
/* sums to C, where they are not there already */
void krsi_tile_store_sums(krsi_tile *t);

#endif
