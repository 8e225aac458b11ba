/* tile_stream.c -- few rows of A times a large B that lies row by row: the
 * template stream.
 *
 * An item computes all rows of a strip of columns. It reads the strip of B
 * once, `DEPTH` rows at a time from left to right, as memory likes it; the
 * sums of the chunk stay in scratch, loaded and stored once for DEPTH
 * products. The elements of A stand packed, or in place, and are broadcast.
 */
#include "tile.h"

enum { DEPTH = 8, ALIGN = 64 };

static krsi_kmem
chunk_sum(krsi_tile *t, int r, krsi_kv column)
{
    krsi_kb *kb = t->kb;
    krsi_kv n = krsi_kb_sub(kb, column, t->n0);
    return (krsi_kmem){
        .buffer = t->b_pack,
        .lanes = t->lanes,
        .align_bytes = (size_t)t->lanes * 4,
        .index = krsi_kb_add(
            kb, krsi_kb_mul(kb, krsi_kb_i64(kb, r), t->sum_stride), n)};
}

/* `depth` words from `w` on, times all columns from n0 to stop in steps of
 * `vectors` vectors; those beyond n1 are masked if whole is false. */
static void
sweep_columns(krsi_tile *t, krsi_kv w, int depth, krsi_kv low, krsi_kv high,
              int vectors)
{
    krsi_kb *kb = t->kb;
    krsi_kv s[KRSI_TILE_ROWS][KRSI_TILE_VECTORS];
    krsi_kv zero = krsi_kb_i64(kb, 0);
    krsi_kv column = krsi_kb_for(kb, low, high,
                                 krsi_kb_i64(kb, (int64_t)vectors * t->lanes));
    krsi_kv at[KRSI_TILE_VECTORS];
    krsi_kv begun = krsi_kb_broadcast(kb, t->lanes, krsi_kb_gt(kb, w, zero));
    for (int v = 0; v < vectors; v++) {
        at[v] = krsi_kb_add(kb, column, krsi_kb_i64(kb, (int64_t)v * t->lanes));
        for (int r = 0; r < t->rows; r++) {
            krsi_kmem m = chunk_sum(t, r, at[v]);
            m.mask = begun;
            s[r][v] = krsi_kb_load(kb, m);
        }
    }
    for (int d = 0; d < depth; d++) {
        krsi_kv word = krsi_kb_add(kb, w, krsi_kb_i64(kb, d));
        krsi_kv b[KRSI_TILE_VECTORS];
        for (int v = 0; v < vectors && depth > 1 && t->rows > 1; v++)
            krsi_tile_prefetch_b(t, at[v],
                                 krsi_kb_add(kb, word, krsi_kb_i64(kb, DEPTH)));
        for (int v = 0; v < vectors; v++)
            b[v] = krsi_tile_across(t, &t->b, at[v], t->n1, word, t->lanes,
                                    vectors > 1);
        for (int r = 0; r < t->rows; r++) {
            krsi_kv a = krsi_tile_a(t, r, word);
            for (int v = 0; v < vectors; v++)
                s[r][v] = krsi_tile_mad(t, a, b[v], s[r][v]);
        }
    }
    for (int v = 0; v < vectors; v++)
        for (int r = 0; r < t->rows; r++)
            krsi_kb_store(kb, chunk_sum(t, r, at[v]), s[r][v]);
    krsi_kb_end(kb);
}

static void
sweep(krsi_tile *t, krsi_kv low, krsi_kv high, int depth)
{
    krsi_kb *kb = t->kb;
    int wide = t->vectors * t->lanes;
    krsi_kv w = krsi_kb_for(kb, low, high, krsi_kb_i64(kb, depth));
    krsi_kv width = krsi_kb_sub(kb, t->n1, t->n0);
    krsi_kv whole =
        krsi_kb_sub(kb, t->n1, krsi_kb_rem(kb, width, krsi_kb_i64(kb, wide)));
    sweep_columns(t, w, depth, t->n0, whole, t->vectors);
    sweep_columns(t, w, depth, whole, t->n1, 1);
    krsi_kb_end(kb);
}

/* The sums of a chunk into those of the item; K = 0 leaves none to add. */
static void
add_chunk(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    krsi_kv column = krsi_kb_for(kb, t->n0, t->n1, krsi_kb_i64(kb, t->lanes));
    krsi_kv later = krsi_kb_broadcast(kb, t->lanes, t->later);
    krsi_kv any = krsi_kb_broadcast(kb, t->lanes,
                                    krsi_kb_gt(kb, t->end, krsi_kb_i64(kb, 0)));
    for (int r = 0; r < t->rows; r++) {
        krsi_kmem from = chunk_sum(t, r, column), to = from;
        to.buffer = t->sums;
        to.mask = later;
        from.mask = any;
        krsi_kv c =
            krsi_kb_add(kb, krsi_tile_sums(t, to), krsi_kb_load(kb, from));
        to.mask = KRSI_KV_NONE;
        krsi_kb_store(kb, to, c);
    }
    krsi_kb_end(kb);
}

void
krsi_tile_stream(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    krsi_tile_chunks(t);
    krsi_tile_bounds(t);
    krsi_tile_ready_a(t, t->m0);
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv deep =
        krsi_kb_sub(kb, words, krsi_kb_rem(kb, words, krsi_kb_i64(kb, DEPTH)));
    sweep(t, krsi_kb_i64(kb, 0), deep, DEPTH);
    sweep(t, deep, words, 1);
    add_chunk(t);
    krsi_kb_end(kb);
    krsi_tile_store_sums(t);
}
