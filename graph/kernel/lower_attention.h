/* lower_attention.h -- what the kernels of the family attention share. Only
 * lower_attention*.c include it.
 *
 * The numeric contract, for every device, tile and split into items:
 *
 *   s[i,j] = scale * (mad over d, ascending, of q[i,d] k[j,d], from 0) + mask
 *   keys in blocks of KRSI_FLASH_KEYS, ascending from key 0:
 *       m' = max(m, largest s of the block);  w = e^(m - m')
 *       p[j] = e^(s[j] - m'), 0 for a key that does not count
 *       l = l w + (sum of p in 64 virtual lanes, joined as in kb.h)
 *       o = o w + (mad over j, ascending, of p[j] v[j], from 0)
 *   out = o / l,  lse = m + ln l
 *
 * (Milakov and Gimelshein 2018; Dao et al. 2022; where m' is -inf, e^s is
 * taken instead). A block without a key that counts changes nothing and is not
 * visited, so which rows an item has never shows, unless v is infinite or NaN
 * at a key that does not count.
 *
 * The gradient: queries in blocks of KRSI_FLASH_QUERIES and keys in blocks of
 * KRSI_FLASH_GRAD_KEYS, both ascending; p = e^(s - lse), ds = scale p (dp -
 * delta); each block's mad from 0 is added to dq (over keys), dk and dv (over
 * the heads of a group, then queries).
 *
 * The chains are no longer than a block, so an element's error is that of a
 * matrix product in chunks, and e^(s - m') differs from the two passes of
 * softmax by the rounding of the factors w: a few ULP in all. That is why the
 * expansion is matched by tolerance and not bit for bit.
 *
 * A row that no key counts for is NaN, as the softmax of nothing is. Its lse is
 * NaN, and so is all of dv then, since every p of that row is.
 */
#ifndef KRSI_LOWER_ATTENTION_H
#define KRSI_LOWER_ATTENTION_H

#include "tile.h"

enum {
    KRSI_FLASH_KEYS = 192, /* whole register tiles, 48 or 64 wide, and whole
                              rows of virtual lanes */
    KRSI_FLASH_GRAD_KEYS = 192,
    KRSI_FLASH_QUERIES = 96
};

/* A tensor [B, heads, rows, columns], or [B, heads, rows]. */
typedef struct krsi_flash_tensor {
    krsi_kbuf buffer;
    krs_dtype dtype;
    krsi_kv offset, stride[4];
    bool unit[4];   /* stride is 1 */
    bool repeat[4]; /* stride is 0 */
    bool in_fours;  /* where items are lanes: f32 whose rows begin at multiples
                       of four */
} krsi_flash_tensor;

/* A kernel of the family being made. */
typedef struct krsi_flash {
    krsi_lowering *l;
    krsi_kb *kb;
    const krsi_attention *at;
    int64_t max_B, max_K, max_G, max_T, max_S, max_D, max_E;
    krsi_kv G, T, S, D, E; /* heads of a group, queries, keys, sizes */
    krsi_kv scale, offset, window;
    krsi_kbuf row_lanes; /* where code is dear: virtual lanes of a row */
    krsi_flash_tensor q, k, v, mask;
    bool by_heads; /* one query: the rows are the heads of a group instead, and
                      G is 1 */
    /* of the item */
    krsi_kv b, head, key_head;
} krsi_flash;

/* ---- lower_attention_parts.c ---- */

/* a + b; an argument of the launch */
krsi_kv krsi_flash_plus(krsi_flash *f, krsi_kv a, int64_t b);
krsi_kv krsi_flash_number(krsi_flash *f, int64_t value);
/* A view of queries [B,H,T,..] as [B,K,G,..] where rows are heads. */
krsi_view krsi_flash_rows_of(const krsi_flash *f, const krsi_view *queries);
/* the body up to krsi_kb_end runs if low < high */
void krsi_flash_if_below(krsi_flash *f, krsi_kv low, krsi_kv high);
/* open the loop over the heads of the group, sets head; the number in it */
krsi_kv krsi_flash_open_heads(krsi_flash *f);

/* Something along a row, in the 64 virtual lanes and the tree of kb.h. */
typedef struct krsi_flash_row {
    /* what a vector of lanes becomes at elements `at`, at + 1, ... */
    krsi_kv (*step)(void *context, krsi_kv at, krsi_kv so_far);
    void *context;
    krs_kscalar join; /* of the lanes */
    float first;
    int lanes;
} krsi_flash_row;
/* before the first use, after all parameters */
void krsi_flash_declare_lanes(krsi_flash *f);
krsi_kv krsi_flash_along_row(krsi_flash *f, const krsi_flash_row *row,
                             krsi_kv low, krsi_kv high);

/* arguments and buffers that forward and gradient have in common */
void krsi_flash_begin(krsi_flash *f, krsi_lowering *l);
krsi_flash_tensor krsi_flash_load(krsi_lowering *l, const char *name, int load);
krsi_flash_tensor krsi_flash_place(krsi_lowering *l, krsi_kbuf buffer,
                                   krs_dtype dtype, const krsi_view *view);
krsi_flash_tensor krsi_flash_declare(krsi_lowering *l, const char *name,
                                     const krsi_view *view, krs_dtype dtype,
                                     int access);
/* A part of the flat gradient, [B, heads, rows, columns] from *start on, which
 * moves behind it. */
krsi_flash_tensor krsi_flash_part(krsi_flash *f, krsi_kbuf buffer,
                                  int64_t *start, int64_t heads, int64_t rows,
                                  int64_t columns);
/* element [b, head, 0, 0] */
krsi_kv krsi_flash_base(krsi_flash *f, const krsi_flash_tensor *x,
                        krsi_kv head);
/* A register tile for products with so many columns and rows; pairs off, one
 * chunk of `depth` words at most. */
void krsi_flash_tile(krsi_flash *f, krsi_tile *t, int64_t columns, int64_t rows,
                     int64_t depth);
/* rows [.., rows, columns] of x as A; as B of a product along its columns
 * (turned) or along its rows */
krsi_tile_operand krsi_flash_rows(const krsi_flash_tensor *x);
krsi_tile_operand krsi_flash_across(const krsi_flash_tensor *x);
/* the scores of q and k, stored to a scratch of so many columns */
void krsi_flash_score_tile(krsi_flash *f, krsi_tile *t, krsi_kbuf scores,
                           int columns);
/* A strip of scores, rows from `row` and keys from `first` up to n1 of the
 * tile, to place `to` of its scratch. */
void krsi_flash_score_strip(krsi_tile *t, krsi_kv row, krsi_kv first,
                            krsi_kv to);
/* panels of B in scratch, times `panels` (none: one) */
void krsi_flash_declare_b(krsi_flash *f, krsi_tile *t, const char *name,
                          int64_t columns);

/* Keys that query i may see, among [first, end): up to, and from. */
krsi_kv krsi_flash_last(krsi_flash *f, krsi_kv i, krsi_kv end);
krsi_kv krsi_flash_first(krsi_flash *f, krsi_kv i, krsi_kv first);
/* Of all queries, those that see one of the keys [k0, k1): from, and up to. */
void krsi_flash_bound_queries(krsi_flash *f, krsi_kv k0, krsi_kv k1,
                              krsi_kv *out_first, krsi_kv *out_end);
/* v: scores of query i and keys j, j + 1, ...; with the additive mask, and
 * *out_seen: those that count, below `last` and from `first` on. */
krsi_kv krsi_flash_masked(krsi_flash *f, krsi_kv v, krsi_kv i, krsi_kv j,
                          krsi_kv first, krsi_kv last, int lanes,
                          krsi_kv *out_seen);
/* of the mask for the queries i, i + 1, ... and key j */
krsi_kv krsi_flash_mask_down(krsi_flash *f, krsi_kv i, krsi_kv j, krsi_kv mask,
                             int lanes);

/* lse of query i from its largest score and its sum: m + ln l, NaN if no key
 * counts */
void krsi_flash_store_lse(krsi_flash *f, const krsi_flash_tensor *to, krsi_kv i,
                          krsi_kv m, krsi_kv sum);

/* ---- lower_attention_grad.c ---- */
void krsi_lower_attention_grad(krsi_lowering *l);

#endif
