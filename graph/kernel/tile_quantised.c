/* tile_quantised.c -- few rows of A times a B in blocks whose columns are
 * contiguous: the template quantised, for layers that keep their weights by
 * output, block-quantised.
 *
 * An item goes through its columns a tile at a time, all of k for each, so that
 * B passes once, in the order in which it lies; while a tile is multiplied the
 * columns of the next are fetched, as memory cannot follow so many at once. A
 * block of each column goes to scratch as turned bytes, by a loop over vectors;
 * another loop makes numbers of four words and multiplies them. Loops as small as
 * these keep the sums of a tile in registers; all in one, or numbers in scratch,
 * is a fifth slower. Rows of A that are not read in place are packed once, for
 * all chunks.
 */
#include "tile.h"

enum {
    PLACES = 4, /* words of a dword */
    ALIGN = 64
};

void
krsi_tile_declare_quantised(krsi_tile *t)
{
    int64_t width = (int64_t)t->vectors * t->lanes;
    t->dwords = krsi_kb_scratch(t->kb, "dwords", KRS_I32,
                                KRSI_TILE_DWORDS * width, KRSI_KV_NONE, ALIGN);
    t->scales = krsi_kb_scratch(t->kb, "scales", KRS_F32, (PLACES + 1) * width,
                                KRSI_KV_NONE, ALIGN);
}

/* Row `row` of such a scratch, at a column of the tile. */
static krsi_kmem
in_scratch(krsi_tile *t, krsi_kbuf buffer, krsi_kv row, krsi_kv column)
{
    krsi_kb *kb = t->kb;
    int64_t width = (int64_t)t->vectors * t->lanes;
    return (krsi_kmem){
        .buffer = buffer,
        .index = krsi_kb_add(kb, krsi_kb_mul(kb, row, krsi_kb_i64(kb, width)),
                             column),
        .lanes = t->lanes,
        .align_bytes = (size_t)t->lanes * sizeof(float)};
}

static bool
has_nibbles(const krsi_tile *t)
{
    return krsi_lower_block_layout(t->b.dtype).nibbles;
}

/* Blocks of a vector of columns to scratch: dwords; scales by place, of bytes
 * the last one alone; minima. */
static void
keep_blocks(krsi_tile *t, krsi_kv at, krsi_kv last, krsi_kv column)
{
    static const float over[PLACES] = {1, 0x1p-8F, 0x1p-16F, 0x1p-24F};
    krsi_kb *kb = t->kb;
    krsi_tile_blocks b;
    krsi_tile_read_blocks(t, at, last, &b);
    for (int i = 0; i < KRSI_TILE_DWORDS; i++)
        krsi_kb_store(kb, in_scratch(t, t->dwords, krsi_kb_i64(kb, i), column),
                      b.dword[i]);
    for (int i = has_nibbles(t) ? 0 : PLACES - 1; i < PLACES; i++)
        krsi_kb_store(kb, in_scratch(t, t->scales, krsi_kb_i64(kb, i), column),
                      krsi_kb_mul(kb, b.scale, krsi_kb_f32(kb, over[i])));
    if (b.least.ref)
        krsi_kb_store(kb,
                      in_scratch(t, t->scales, krsi_kb_i64(kb, PLACES), column),
                      b.least);
}

/* The sums of a tile: [rows][vectors] */
typedef krsi_kv sums[KRSI_TILE_ROWS][KRSI_TILE_VECTORS];

static void
carry(krsi_tile *t, int vectors, sums s, sums carried)
{
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < vectors; v++)
            s[r][v] = carried[r][v] = krsi_kb_carry(t->kb, s[r][v]);
}

static void
pass_on(krsi_tile *t, int vectors, sums carried, sums s)
{
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < vectors; v++)
            krsi_kb_next(t->kb, carried[r][v], s[r][v]);
    krsi_kb_end(t->kb);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < vectors; v++)
            s[r][v] = krsi_kb_result(t->kb, carried[r][v]);
}

/* s plus the products of the blocks in scratch, which have the words from `word`
 * of the chunk on. */
static void
multiply_kept(krsi_tile *t, int vectors, krsi_kv word, sums s)
{
    krsi_kb *kb = t->kb;
    sums carried;
    krsi_kv column[KRSI_TILE_VECTORS], dword[KRSI_TILE_VECTORS];
    krsi_kv d =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), krsi_kb_i64(kb, KRSI_TILE_DWORDS),
                    krsi_kb_i64(kb, 1));
    carry(t, vectors, s, carried);
    for (int v = 0; v < vectors; v++) {
        column[v] = krsi_kb_i64(kb, (int64_t)v * t->lanes);
        dword[v] = krsi_kb_load(kb, in_scratch(t, t->dwords, d, column[v]));
    }
    krsi_kv first =
        krsi_kb_add(kb, word, krsi_kb_mul(kb, d, krsi_kb_i64(kb, PLACES)));
    for (int p = 0; p < PLACES; p++) {
        krsi_kv a[KRSI_TILE_ROWS];
        for (int r = 0; r < t->rows; r++)
            a[r] =
                krsi_tile_a(t, r, krsi_kb_add(kb, first, krsi_kb_i64(kb, p)));
        for (int v = 0; v < vectors; v++) {
            krsi_kv least = KRSI_KV_NONE;
            krsi_kv scale = krsi_kb_load(
                kb, in_scratch(t, t->scales,
                               krsi_kb_i64(kb, has_nibbles(t) ? p : PLACES - 1),
                               column[v]));
            if (krsi_lower_block_layout(t->b.dtype).header > 2)
                least = krsi_kb_load(kb, in_scratch(t, t->scales,
                                                    krsi_kb_i64(kb, PLACES),
                                                    column[v]));
            krsi_kv x = krsi_tile_block_word(t, dword[v], p, scale, least);
            for (int r = 0; r < t->rows; r++)
                s[r][v] = krsi_tile_mad(t, a[r], x, s[r][v]);
        }
    }
    pass_on(t, vectors, carried, s);
}

/* s plus the products of the chunk. */
static void
multiply(krsi_tile *t, krsi_kv n, int vectors, sums s)
{
    krsi_kb *kb = t->kb;
    sums carried;
    krsi_kv zero = krsi_kb_i64(kb, 0), one = krsi_kb_i64(kb, 1);
    krsi_kv step =
        krsi_kb_i64(kb, krsi_lower_block_layout(t->b.dtype).block_bytes);
    int64_t width = (int64_t)vectors * t->lanes;
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv first = krsi_tile_block_at(t, n, zero), last = KRSI_KV_NONE;
    if (vectors == 1)
        last = krsi_tile_block_at(t, krsi_kb_sub(kb, t->n1, one), zero);
    krsi_kv w = krsi_kb_for(kb, zero, words, krsi_kb_i64(kb, KRSI_BLOCK));
    carry(t, vectors, s, carried);
    krsi_kv at = krsi_kb_carry(kb, first);
    krsi_tile_fetch_blocks(t, krsi_kb_add(kb, n, krsi_kb_i64(kb, width)), w,
                           (int)width);
    if (last.ref) {
        krsi_kv end = krsi_kb_add(kb, last, krsi_kb_sub(kb, at, first));
        keep_blocks(t, at, end, zero);
    } else {
        krsi_kv column = krsi_kb_for(kb, zero, krsi_kb_i64(kb, width),
                                     krsi_kb_i64(kb, t->lanes));
        krsi_kv now = krsi_kb_carry(kb, at);
        keep_blocks(t, now, KRSI_KV_NONE, column);
        krsi_kb_next(kb, now, krsi_tile_next_block(t, now, t->lanes));
        krsi_kb_end(kb);
    }
    krsi_kb_next(kb, at, krsi_kb_add(kb, at, step));
    multiply_kept(t, vectors, w, s);
    pass_on(t, vectors, carried, s);
}

/* The columns from n on: those of a tile, all of which there are, or a vector,
 * of which some may be beyond the end. */
static void
compute(krsi_tile *t, krsi_kv n, int vectors)
{
    krsi_kb *kb = t->kb;
    krsi_kv zero = krsi_kb_broadcast(kb, t->lanes, krsi_kb_f32(kb, 0));
    krsi_kv none = krsi_kb_broadcast(kb, t->lanes, krsi_kb_f32(kb, -0.0F));
    krsi_kv last = krsi_kb_sub(kb, t->m1, krsi_kb_i64(kb, 1));
    krsi_kv mask = KRSI_KV_NONE;
    sums s, c, carried;
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < vectors; v++) {
            s[r][v] = zero;
            c[r][v] = none;
        }
    krsi_tile_chunks(t);
    carry(t, vectors, c, carried);
    krsi_tile_bounds(t);
    krsi_tile_find_a(t, t->m0);
    multiply(t, n, vectors, s);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < vectors; v++)
            c[r][v] = krsi_kb_add(kb, c[r][v], s[r][v]);
    pass_on(t, vectors, carried, c);
    if (vectors == 1)
        mask = krsi_kb_below(kb, n, t->n1, t->lanes);
    for (int r = 0; r < t->rows; r++) {
        krsi_kv row = krsi_kb_add(kb, t->m0, krsi_kb_i64(kb, r));
        bool is_open = krsi_tile_open_row(t, row, r);
        for (int v = 0; v < vectors; v++)
            krsi_tile_store(
                t, krsi_kb_min(kb, row, last),
                krsi_kb_add(kb, n, krsi_kb_i64(kb, (int64_t)v * t->lanes)),
                mask, c[r][v]);
        if (is_open)
            krsi_kb_end(kb);
    }
}

void
krsi_tile_quantised(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    int64_t width = (int64_t)t->vectors * t->lanes;
    if (t->reading != KRSI_TILE_IN_PLACE) {
        krsi_tile_chunks(t);
        krsi_tile_bounds(t);
        krsi_tile_ready_a(t, t->m0);
        krsi_kb_end(kb);
    }
    krsi_kv n = krsi_kb_for(kb, t->n0, t->n1, krsi_kb_i64(kb, width));
    if (t->vectors == 1) {
        compute(t, n, 1);
        krsi_kb_end(kb);
        return;
    }
    krsi_kv past = krsi_kb_add(kb, n, krsi_kb_i64(kb, width));
    krsi_kb_if_below(kb, krsi_kb_sub(kb, past, krsi_kb_i64(kb, 1)), t->n1);
    compute(t, n, t->vectors);
    krsi_kb_end(kb);
    krsi_kv few = krsi_kb_lt(kb, t->n1, past);
    krsi_kv one = krsi_kb_for(
        kb, n, krsi_kb_select(kb, few, t->n1, krsi_kb_i64(kb, INT64_MIN)),
        krsi_kb_i64(kb, t->lanes));
    compute(t, one, 1);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}
