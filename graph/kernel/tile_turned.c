/* tile_turned.c -- few rows of A times a large B whose columns are contiguous:
 * the template turned, for layers that keep their weights by output.
 *
 * Lanes run along the columns, as the order of sums demands, so squares of
 * lanes by lanes are turned in registers and multiplied at once. An item goes
 * through its columns a vector at a time, all of k for each: so many streams
 * at once memory can follow. What a chunk leaves over after whole squares is
 * gathered.
 */
#include "tile.h"

enum { AHEAD = 128 }; /* words, of each column */

/* s plus the products of whole squares, words 0 .. deep of the chunk */
static void
multiply_squares(krsi_tile *t, const krsi_kv *from, krsi_kv column,
                 krsi_kv deep, krsi_kv *s)
{
    krsi_kb *kb = t->kb;
    krsi_kv x[KRS_K_MAX_LANES], next[KRSI_TILE_ROWS];
    krsi_kv w =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), deep, krsi_kb_i64(kb, t->lanes));
    for (int r = 0; r < t->rows; r++)
        next[r] = s[r] = krsi_kb_carry(kb, s[r]);
    krsi_kv ahead = krsi_kb_mul(
        kb,
        krsi_kb_add(kb, krsi_kb_add(kb, t->first, w), krsi_kb_i64(kb, AHEAD)),
        krsi_kb_i64(kb, t->unit));
    for (int j = 0; j < t->lanes && !t->b.in_blocks; j++)
        krsi_kb_prefetch(kb,
                         (krsi_kmem){.buffer = t->b.buffer,
                                     .index = krsi_kb_add(kb, from[j], ahead)});
    krsi_tile_square(t, from, column, w, true, x);
    for (int i = 0; i < t->lanes; i++) {
        krsi_kv word = krsi_kb_add(kb, w, krsi_kb_i64(kb, i));
        for (int r = 0; r < t->rows; r++)
            next[r] = krsi_tile_mad(t, krsi_tile_a(t, r, word), x[i], next[r]);
    }
    for (int r = 0; r < t->rows; r++)
        krsi_kb_next(kb, s[r], next[r]);
    krsi_kb_end(kb);
    for (int r = 0; r < t->rows; r++)
        s[r] = krsi_kb_result(kb, s[r]);
}

/* s plus the products of the words deep .. words */
static void
multiply_rest(krsi_tile *t, krsi_kv column, krsi_kv deep, krsi_kv words,
              krsi_kv *s)
{
    krsi_kb *kb = t->kb;
    krsi_kv w = krsi_kb_for(kb, deep, words, krsi_kb_i64(kb, 1));
    for (int r = 0; r < t->rows; r++)
        s[r] = krsi_kb_carry(kb, s[r]);
    krsi_kv x = krsi_tile_across(t, &t->b, column, t->n1, w, t->lanes, false);
    for (int r = 0; r < t->rows; r++)
        krsi_kb_next(kb, s[r], krsi_tile_mad(t, krsi_tile_a(t, r, w), x, s[r]));
    krsi_kb_end(kb);
    for (int r = 0; r < t->rows; r++)
        s[r] = krsi_kb_result(kb, s[r]);
}

void
krsi_tile_turned(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    krsi_kv from[KRS_K_MAX_LANES], s[KRSI_TILE_ROWS], c[KRSI_TILE_ROWS];
    krsi_kv zero = krsi_kb_broadcast(kb, t->lanes, krsi_kb_f32(kb, 0));
    krsi_kv none = krsi_kb_broadcast(kb, t->lanes, krsi_kb_f32(kb, -0.0F));
    krsi_kv last = krsi_kb_sub(kb, t->m1, krsi_kb_i64(kb, 1));
    krsi_kv column = krsi_kb_for(kb, t->n0, t->n1, krsi_kb_i64(kb, t->lanes));
    krsi_tile_lines(t, column, from);
    krsi_tile_chunks(t);
    for (int r = 0; r < t->rows; r++) {
        c[r] = krsi_kb_carry(kb, none);
        s[r] = zero;
    }
    krsi_tile_bounds(t);
    krsi_tile_ready_a(t, t->m0);
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv deep = krsi_kb_sub(
        kb, words, krsi_kb_rem(kb, words, krsi_kb_i64(kb, t->lanes)));
    multiply_squares(t, from, column, deep, s);
    multiply_rest(t, column, deep, words, s);
    for (int r = 0; r < t->rows; r++)
        krsi_kb_next(kb, c[r], krsi_kb_add(kb, c[r], s[r]));
    krsi_kb_end(kb);
    krsi_kv mask = krsi_kb_below(kb, column, t->n1, t->lanes);
    for (int r = 0; r < t->rows; r++)
        c[r] = krsi_kb_result(kb, c[r]);
    for (int r = 0; r < t->rows; r++) {
        krsi_kv row = krsi_kb_add(kb, t->m0, krsi_kb_i64(kb, r));
        bool is_open = krsi_tile_open_row(t, row, r);
        krsi_tile_store(t, krsi_kb_min(kb, row, last), column, mask, c[r]);
        if (is_open)
            krsi_kb_end(kb);
    }
    krsi_kb_end(kb);
}
