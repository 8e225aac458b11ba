/* tile_pack.c -- how elements of A and B reach the register tiles.
 *
 * Along k everything counts in words: one f32, or a pair of bf16 where both
 * matrices are bf16. A panel of B is [chunk words][tile columns]; panels stand
 * a whole chunk apart. A is packed for the rows of one tile at a time: by rows
 * [rows][chunk words] where k is contiguous, else by columns [chunk
 * words][rows]; or by columns for a slab of tiles, each after the other. Where
 * rows of A^T lie a power of two apart, as they often do, those of a chunk are
 * more than the caches have places for: so lines are read once, whole and in a
 * row, not once for each tile that has a part of them.
 *
 * Rows beyond the end repeat the last row, so a tile needs no mask for its
 * rows: it computes and stores the last row several times, the same bits.
 * Columns beyond the end are never stored.
 */
#include "tile.h"

enum {
    ALIGN = 64,
    ROW_SLACK = 32,
    AHEAD = 4,     /* lines of a row of A */
    AHEAD_ROWS = 4 /* of B, while packing */
};

static krsi_kv
plus(krsi_tile *t, krsi_kv a, int64_t b)
{
    return krsi_kb_add(t->kb, a, krsi_kb_i64(t->kb, b));
}

static krsi_kv
times(krsi_tile *t, krsi_kv a, int64_t b)
{
    return krsi_kb_mul(t->kb, a, krsi_kb_i64(t->kb, b));
}

/* The element of k at which a word of the chunk begins. */
static krsi_kv
k_of(krsi_tile *t, krsi_kv word)
{
    return times(t, krsi_kb_add(t->kb, t->first, word), t->unit);
}

krsi_kv
krsi_tile_words(krsi_tile *t, krsi_kbuf buffer, krsi_kv index, int lanes,
                krsi_kv mask, size_t align_bytes)
{
    krsi_kv v = krsi_kb_load(t->kb, (krsi_kmem){.buffer = buffer,
                                                .index = index,
                                                .lanes = lanes * t->unit,
                                                .mask = mask,
                                                .align_bytes = align_bytes});
    return t->pairs ? krsi_kb_bitcast(t->kb, KRS_I32, v) : v;
}

krsi_kv
krsi_tile_read(krsi_tile *t, const krsi_tile_operand *x, krsi_kmem at,
               bool is_run)
{
    return x->in_blocks ? krsi_lower_block(t->kb, x->dtype, at, is_run)
                        : krsi_kb_load(t->kb, at);
}

/* `lanes` words in a row along k. */
static krsi_kv
words_along(krsi_tile *t, const krsi_tile_operand *x, krsi_kv index, int lanes,
            krsi_kv mask)
{
    if (!x->in_blocks)
        return krsi_tile_words(t, x->buffer, index, lanes, mask, 0);
    return krsi_tile_read(
        t, x,
        (krsi_kmem){
            .buffer = x->buffer, .index = index, .lanes = lanes, .mask = mask},
        true);
}

/* A loaded element as f32, after its expression. Pairs stay as they are. */
static krsi_kv
element(krsi_tile *t, const krsi_tile_operand *x, krsi_kv v, krsi_tile_point at)
{
    return t->pairs ? v : krsi_tile_element(t, x, v, at);
}

static void
store_words(krsi_tile *t, krsi_kbuf buffer, krsi_kv index, size_t align_bytes,
            krsi_kv words)
{
    krsi_kb_store(t->kb,
                  (krsi_kmem){.buffer = buffer,
                              .index = times(t, index, t->unit),
                              .align_bytes = align_bytes},
                  t->pairs ? krsi_kb_bitcast(t->kb, KRS_BF16, words) : words);
}

krsi_kv
krsi_tile_across(krsi_tile *t, const krsi_tile_operand *x, krsi_kv outer,
                 krsi_kv end, krsi_kv word, int lanes, bool whole)
{
    krsi_kb *kb = t->kb;
    krsi_kv mask = whole ? KRSI_KV_NONE : krsi_kb_below(kb, outer, end, lanes);
    krsi_kv offsets = KRSI_KV_NONE, half[2];
    size_t align_bytes =
        x->aligned && x->along_outer && lanes % 4 == 0 ? KRSI_TILE_ALIGNED : 0;
    /* columns of B begin at multiples of a vector; rows of A where tiles do */
    bool is_run = x->along_outer && (x == &t->b || t->rows % lanes == 0);
    if (!x->along_outer && lanes > 1)
        offsets = krsi_kb_mul(
            kb, krsi_kb_convert(kb, KRS_I64, krsi_kb_lanes(kb, lanes)),
            x->outer);
    for (int i = 0; i < t->unit; i++) {
        krsi_kv k = plus(t, k_of(t, word), i), inside = mask;
        if (i > 0 && !t->even) {
            krsi_kv stop =
                krsi_kb_select(kb, krsi_kb_lt(kb, k, t->k), end, outer);
            inside = krsi_kb_below(kb, outer, stop, lanes);
        }
        krsi_kv at = krsi_kb_add(kb, x->offset,
                                 krsi_kb_add(kb, krsi_kb_mul(kb, k, x->inner),
                                             krsi_kb_mul(kb, outer, x->outer)));
        half[i] = element(
            t, x,
            krsi_tile_read(t, x,
                           (krsi_kmem){.buffer = x->buffer,
                                       .index = at,
                                       .offsets = offsets,
                                       .lanes = lanes,
                                       .mask = inside,
                                       .align_bytes = align_bytes},
                           is_run),
            (krsi_tile_point){
                .outer = outer, .k = k, .lanes = lanes, .mask = inside});
    }
    if (!t->pairs)
        return half[0];
    if (lanes == 1) /* there is no shuffle of scalars */
        for (int i = 0; i < 2; i++)
            half[i] = krsi_kb_broadcast(kb, 2, half[i]);
    uint8_t woven[KRS_K_MAX_LANES];
    int width = lanes == 1 ? 2 : lanes;
    for (int i = 0; i < 2 * lanes; i++)
        woven[i] = (uint8_t)(i / 2 + (i % 2 ? width : 0));
    return krsi_kb_bitcast(
        kb, KRS_I32, krsi_kb_shuffle(kb, half[0], half[1], 2 * lanes, woven));
}

/* ---- A ---- */

static int
row_stride(const krsi_tile *t)
{
    return t->chunk + ROW_SLACK;
}

/* Words from tile to tile of a slab, by their row: whole lines. */
static int
slab_row(const krsi_tile *t)
{
    int words = (t->chunk * t->wide + t->rows - 1) / t->rows;
    return (words + KRSI_TILE_LINE - 1) / KRSI_TILE_LINE * KRSI_TILE_LINE;
}

void
krsi_tile_declare_a(krsi_tile *t, const char *name)
{
    bool by_rows = t->reading == KRSI_TILE_ROWS_PACKED;
    int words = by_rows   ? t->rows * row_stride(t)
                : t->slab ? t->slab * slab_row(t)
                          : t->chunk * t->wide;
    if (t->a_length.ref) /* of all words, in place of those of a chunk */
        words = by_rows ? t->rows : t->wide;
    if (t->reading != KRSI_TILE_IN_PLACE)
        t->a_pack =
            krsi_kb_scratch(t->kb, name, t->pairs ? KRS_BF16 : KRS_F32,
                            (int64_t)words * t->unit, t->a_length, ALIGN);
}

/* From row to row of what is packed, in words. */
static krsi_kv
row_length(krsi_tile *t)
{
    return t->a_length.ref ? t->a_length : krsi_kb_i64(t->kb, row_stride(t));
}

/* Where word w of the chunk of row r of a tile is packed. */
static krsi_kv
packed(krsi_tile *t, krsi_kv r, krsi_kv w)
{
    krsi_kb *kb = t->kb;
    if (t->a_length.ref)
        w = krsi_kb_add(kb, t->first, w);
    if (t->reading == KRSI_TILE_COLUMNS_PACKED)
        return krsi_kb_add(kb, times(t, w, t->wide), r);
    return krsi_kb_add(kb, krsi_kb_mul(kb, r, row_length(t)), w);
}

/* Address of row r of the tile at `row` in A, at the chunk's beginning. */
static krsi_kv
row_address(krsi_tile *t, krsi_kv row, int r)
{
    krsi_kb *kb = t->kb;
    krsi_kv m = krsi_kb_min(kb, plus(t, row, r), plus(t, t->m1, -1));
    krsi_kv k = times(t, t->first, t->unit);
    return krsi_kb_add(kb, t->a.offset,
                       krsi_kb_add(kb, krsi_kb_mul(kb, m, t->a.outer),
                                   krsi_kb_mul(kb, k, t->a.inner)));
}

static void
pack_rows(krsi_tile *t, krsi_kv row)
{
    krsi_kb *kb = t->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0), from[KRSI_TILE_ROWS];
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    for (int r = 0; r < t->rows; r++)
        from[r] = row_address(t, row, r);
    krsi_kv w = krsi_kb_for(kb, zero, words, krsi_kb_i64(kb, t->lanes));
    krsi_kv k = k_of(t, w);
    krsi_kv mask = krsi_kb_below(kb, k, t->k, t->lanes * t->unit);
    for (int r = 0; r < t->rows; r++) {
        krsi_kv at = krsi_kb_add(kb, from[r], times(t, w, t->unit));
        krsi_kv v = words_along(t, &t->a, at, t->lanes, mask);
        krsi_kv last = plus(t, t->m1, -1);
        v = element(
            t, &t->a, v,
            (krsi_tile_point){.outer = krsi_kb_min(kb, plus(t, row, r), last),
                              .k = k,
                              .along_k = true,
                              .lanes = t->lanes,
                              .mask = mask});
        store_words(t, t->a_pack, packed(t, krsi_kb_i64(kb, r), w), 0, v);
    }
    krsi_kb_end(kb);
}

/* The same row by row, in little code. */
static void
pack_rows_in_turn(krsi_tile *t, krsi_kv row)
{
    krsi_kb *kb = t->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0), last = plus(t, t->m1, -1);
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv r =
        krsi_kb_for(kb, zero, krsi_kb_i64(kb, t->rows), krsi_kb_i64(kb, 1));
    krsi_kv m = krsi_kb_min(kb, krsi_kb_add(kb, row, r), last);
    krsi_kv from = row_address(t, m, 0);
    krsi_kv w = krsi_kb_for(kb, zero, words, krsi_kb_i64(kb, t->lanes));
    krsi_kv k = k_of(t, w);
    krsi_kv mask = krsi_kb_below(kb, k, t->k, t->lanes * t->unit);
    krsi_kv v = words_along(
        t, &t->a, krsi_kb_add(kb, from, times(t, w, t->unit)), t->lanes, mask);
    v = element(t, &t->a, v,
                (krsi_tile_point){.outer = m,
                                  .k = k,
                                  .along_k = true,
                                  .lanes = t->lanes,
                                  .mask = mask});
    store_words(t, t->a_pack, packed(t, r, w), 0, v);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

static void
pack_columns(krsi_tile *t, krsi_kv row)
{
    krsi_kb *kb = t->kb;
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kb_below(kb, row, t->m1, t->wide); /* the mask, before the loop */
    krsi_kv w = krsi_kb_for(kb, krsi_kb_i64(kb, 0), words, krsi_kb_i64(kb, 1));
    krsi_kv v = krsi_tile_across(t, &t->a, row, t->m1, w, t->wide, false);
    store_words(t, t->a_pack, packed(t, krsi_kb_i64(kb, 0), w), 0, v);
    krsi_kb_end(kb);
}

static krsi_kv
in_slab(krsi_tile *t, krsi_kv slab, krsi_kv row)
{
    return times(t, krsi_kb_sub(t->kb, row, slab), slab_row(t));
}

void
krsi_tile_pack_slab(krsi_tile *t, krsi_kv slab)
{
    krsi_kb *kb = t->kb;
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv stop = krsi_kb_min(kb, plus(t, slab, t->slab), t->m1);
    krsi_kv w = krsi_kb_for(kb, krsi_kb_i64(kb, 0), words, krsi_kb_i64(kb, 1));
    krsi_kv row = krsi_kb_for(kb, slab, stop, krsi_kb_i64(kb, t->rows));
    krsi_kv v = krsi_tile_across(t, &t->a, row, t->m1, w, t->wide, false);
    store_words(t, t->a_pack,
                krsi_kb_add(kb, in_slab(t, slab, row), times(t, w, t->wide)), 0,
                v);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

void
krsi_tile_prefetch_a(krsi_tile *t, krsi_kv word)
{
    krsi_kb *kb = t->kb;
    for (int r = 0; r < t->rows; r++)
        krsi_kb_prefetch(
            kb, (krsi_kmem){.buffer = t->a.buffer,
                            .index = krsi_kb_add(kb, t->a_next[r],
                                                 times(t, word, t->unit))});
}

/* The first lines of the rows of the next tile; the hardware sees the rest
 * coming. */
static void
prefetch_rows(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv w = krsi_kb_for(
        kb, krsi_kb_i64(kb, 0),
        krsi_kb_min(kb, words, krsi_kb_i64(kb, AHEAD * KRSI_TILE_LINE)),
        krsi_kb_i64(kb, KRSI_TILE_LINE));
    krsi_tile_prefetch_a(t, w);
    krsi_kb_end(kb);
}

void
krsi_tile_find_a(krsi_tile *t, krsi_kv row)
{
    krsi_kb *kb = t->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0);
    t->a_step =
        t->reading == KRSI_TILE_COLUMNS_PACKED ? t->wide * t->unit : t->unit;
    krsi_kv last = plus(t, krsi_kb_sub(kb, t->m1, row), -1);
    for (int r = 0; r < t->rows; r++) {
        krsi_kv now = krsi_kb_i64(kb, r);
        switch (t->reading) {
        case KRSI_TILE_IN_PLACE:
            t->a_at[r] = row_address(t, row, r);
            t->a_next[r] = row_address(t, plus(t, row, t->rows), r);
            break;
        case KRSI_TILE_ROWS_PACKED:
            t->a_at[r] = times(t, packed(t, now, zero), t->unit);
            break;
        case KRSI_TILE_COLUMNS_PACKED:
            t->a_at[r] =
                times(t, packed(t, krsi_kb_min(kb, now, last), zero), t->unit);
            break;
        }
    }
}

void
krsi_tile_ready_in_slab(krsi_tile *t, krsi_kv slab, krsi_kv row)
{
    krsi_kv at = times(t, in_slab(t, slab, row), t->unit);
    krsi_tile_find_a(t, row);
    for (int r = 0; r < t->rows; r++)
        t->a_at[r] = krsi_kb_add(t->kb, at, t->a_at[r]);
}

void
krsi_tile_ready_a(krsi_tile *t, krsi_kv row)
{
    krsi_tile_find_a(t, row);
    if (t->reading == KRSI_TILE_IN_PLACE && t->template == KRSI_TILE_BLOCKED &&
        !t->small)
        prefetch_rows(t);
    if (t->reading == KRSI_TILE_ROWS_PACKED && t->small)
        pack_rows_in_turn(t, row);
    else if (t->reading == KRSI_TILE_ROWS_PACKED)
        pack_rows(t, row);
    if (t->reading == KRSI_TILE_COLUMNS_PACKED)
        pack_columns(t, row);
}

krsi_kv
krsi_tile_a(krsi_tile *t, int r, krsi_kv word)
{
    krsi_kv at = krsi_kb_add(t->kb, t->a_at[r], times(t, word, t->a_step));
    krsi_kbuf from = t->reading == KRSI_TILE_IN_PLACE ? t->a.buffer : t->a_pack;
    return krsi_tile_words(t, from, at, 1, KRSI_KV_NONE, 0);
}

/* ---- B ---- */

krsi_kv
krsi_tile_panel(krsi_tile *t, krsi_kv column)
{
    return times(t, krsi_kb_sub(t->kb, column, t->n0), t->chunk);
}

static void
copy_across(krsi_tile *t, krsi_kv column, krsi_kv w, bool whole)
{
    int width = t->vectors * t->lanes;
    for (int v = 0; v < t->vectors; v++) {
        krsi_kv n = plus(t, column, (int64_t)v * t->lanes);
        krsi_kv x = krsi_tile_across(t, &t->b, n, t->n1, w, t->lanes, whole);
        krsi_kv to = plus(t, krsi_tile_panel(t, column), (int64_t)v * t->lanes);
        krsi_kv at = krsi_kb_add(t->kb, to, times(t, w, width));
        store_words(t, t->b_pack, at, (size_t)t->lanes * 4, x);
    }
}

void
krsi_tile_prefetch_b(krsi_tile *t, krsi_kv n, krsi_kv word)
{
    krsi_kb *kb = t->kb;
    krsi_kv row = krsi_kb_mul(kb, k_of(t, word), t->b.inner);
    if (t->b.in_blocks)
        return;
    krsi_kb_prefetch(
        kb, (krsi_kmem){.buffer = t->b.buffer,
                        .index = krsi_kb_add(kb, t->b.offset,
                                             krsi_kb_add(kb, n, row))});
}

/* Row by row of B, so that each row is read as it lies. */
static void
pack_across(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    int width = t->vectors * t->lanes;
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv w = krsi_kb_for(kb, krsi_kb_i64(kb, 0), words, krsi_kb_i64(kb, 1));
    krsi_kv column = krsi_kb_for(kb, t->n0, t->n1, krsi_kb_i64(kb, width));
    krsi_kv past = plus(t, column, width);
    for (int v = 0; v < t->vectors && t->b.along_outer; v++)
        krsi_tile_prefetch_b(t, plus(t, column, (int64_t)v * t->lanes),
                             plus(t, w, AHEAD_ROWS));
    krsi_kb_if_below(t->kb, plus(t, past, -1), t->n1);
    copy_across(t, column, w, true);
    krsi_kb_end(kb);
    krsi_kb_if_below(t->kb, t->n1, past);
    copy_across(t, column, w, false);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

/* The same vector by vector, in little code; zeros beyond n1. */
static void
pack_in_turn(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    int width = t->vectors * t->lanes;
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv w = krsi_kb_for(kb, krsi_kb_i64(kb, 0), words, krsi_kb_i64(kb, 1));
    krsi_kv panel = krsi_kb_for(kb, t->n0, t->n1, krsi_kb_i64(kb, width));
    krsi_kv line = krsi_kb_add(kb, krsi_tile_panel(t, panel),
                               krsi_kb_sub(kb, times(t, w, width), panel));
    krsi_kv n = krsi_kb_for(kb, panel, plus(t, panel, width),
                            krsi_kb_i64(kb, t->lanes));
    krsi_kv x =
        krsi_tile_across(t, &t->b, n, t->n1, w, t->lanes, t->whole_columns);
    store_words(t, t->b_pack, krsi_kb_add(kb, line, n), (size_t)t->lanes * 4,
                x);
    for (int i = 0; i < 3; i++)
        krsi_kb_end(kb);
}

/* x[i] lane j becomes x[j] lane i, in log2(lanes) rounds: round s exchanges
 * the blocks of s by s beside the diagonal (Eklundh 1972). */
static void
transpose(krsi_tile *t, krsi_kv *x)
{
    for (int s = 1; s < t->lanes; s *= 2) {
        uint8_t low[KRS_K_MAX_LANES], high[KRS_K_MAX_LANES];
        for (int j = 0; j < t->lanes; j++) {
            low[j] = (uint8_t)(j & s ? t->lanes + j - s : j);
            high[j] = (uint8_t)(j & s ? t->lanes + j : j + s);
        }
        for (int i = 0; i < t->lanes; i++) {
            if (i & s)
                continue;
            krsi_kv a = x[i], b = x[i + s];
            x[i] = krsi_kb_shuffle(t->kb, a, b, t->lanes, low);
            x[i + s] = krsi_kb_shuffle(t->kb, a, b, t->lanes, high);
        }
    }
}

void
krsi_tile_lines(krsi_tile *t, krsi_kv n0, krsi_kv *from)
{
    krsi_kb *kb = t->kb;
    krsi_kv last = plus(t, t->n1, -1);
    for (int j = 0; j < t->lanes; j++) {
        krsi_kv n = krsi_kb_min(kb, plus(t, n0, j), last);
        from[j] = krsi_kb_add(kb, t->b.offset, krsi_kb_mul(kb, n, t->b.outer));
    }
}

void
krsi_tile_square(krsi_tile *t, const krsi_kv *from, krsi_kv n0, krsi_kv word,
                 bool whole, krsi_kv *x)
{
    krsi_kb *kb = t->kb;
    krsi_kv k = k_of(t, word), mask = KRSI_KV_NONE;
    if (!whole)
        mask = krsi_kb_below(kb, k, t->k, t->lanes * t->unit);
    for (int j = 0; j < t->lanes; j++) {
        x[j] =
            words_along(t, &t->b, krsi_kb_add(kb, from[j], k), t->lanes, mask);
        krsi_kv n = krsi_kb_min(kb, plus(t, n0, j), plus(t, t->n1, -1));
        x[j] = element(t, &t->b, x[j],
                       (krsi_tile_point){.outer = n,
                                         .k = k,
                                         .along_k = true,
                                         .lanes = t->lanes,
                                         .mask = mask});
    }
    transpose(t, x);
}

/* The vector at n0 of a panel, block by block. */
static void
unpack_blocks(krsi_tile *t, krsi_kv panel, krsi_kv n0)
{
    krsi_kb *kb = t->kb;
    int width = t->vectors * t->lanes;
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv to =
        krsi_kb_add(kb, krsi_tile_panel(t, panel), krsi_kb_sub(kb, n0, panel));
    krsi_kv w =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), words, krsi_kb_i64(kb, KRSI_BLOCK));
    krsi_tile_fetch_blocks(t, plus(t, n0, t->lanes), w, t->lanes);
    krsi_tile_unpack(t, krsi_tile_block_at(t, n0, w),
                     krsi_tile_block_at(t, plus(t, t->n1, -1), w),
                     krsi_kb_add(kb, to, times(t, w, width)));
    krsi_kb_end(kb);
}

/* The vector at n0 of a panel: squares of lanes by lanes, turned, while the
 * lines of the next vector are fetched. */
static void
turn(krsi_tile *t, krsi_kv panel, krsi_kv n0)
{
    krsi_kb *kb = t->kb;
    int width = t->vectors * t->lanes;
    krsi_kv from[KRS_K_MAX_LANES], next[KRS_K_MAX_LANES], x[KRS_K_MAX_LANES];
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_tile_lines(t, n0, from);
    for (int j = 0; j < t->lanes; j++)
        next[j] = krsi_kb_add(kb, from[j], times(t, t->b.outer, t->lanes));
    krsi_kv to =
        krsi_kb_add(kb, krsi_tile_panel(t, panel), krsi_kb_sub(kb, n0, panel));
    krsi_kv w =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), words, krsi_kb_i64(kb, t->lanes));
    for (int j = 0; j < t->lanes && !t->small && !t->b.in_blocks; j++)
        krsi_kb_prefetch(
            kb, (krsi_kmem){.buffer = t->b.buffer,
                            .index = krsi_kb_add(kb, next[j], k_of(t, w))});
    krsi_tile_square(t, from, n0, w, false, x);
    for (int i = 0; i < t->lanes; i++)
        store_words(t, t->b_pack,
                    krsi_kb_add(kb, to, times(t, plus(t, w, i), width)),
                    (size_t)t->lanes * 4, x[i]);
    krsi_kb_end(kb);
}

static void
pack_turned(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    int width = t->vectors * t->lanes;
    krsi_kv panel = krsi_kb_for(kb, t->n0, t->n1, krsi_kb_i64(kb, width));
    krsi_kv past = plus(t, panel, width);
    krsi_kv n =
        krsi_kb_for(kb, panel, t->small ? past : krsi_kb_min(kb, past, t->n1),
                    krsi_kb_i64(kb, t->lanes));
    if (t->whole_blocks)
        unpack_blocks(t, panel, n);
    else
        turn(t, panel, n);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

void
krsi_tile_pack_b(krsi_tile *t)
{
    if (t->b.along_inner && t->lanes > 1)
        pack_turned(t);
    else if (t->small)
        pack_in_turn(t);
    else
        pack_across(t);
}
