/* tile_blocked.c -- products by register tiles: the templates blocked and
 * direct.
 *
 * An item computes a rectangle of C. For each chunk of k it packs its columns
 * of B (they stay in the second-level cache), then goes down the rows, a tile
 * at a time: the rows of A of a tile stay in the first level while the tile
 * moves over all panels of B (Goto and van de Geijn 2008, with the loops over
 * m and n of one item in the other order, because a panel is wider than the
 * first level). The last vector of a tile is masked; the end of N, if
 * narrow, is done by tiles one vector wide.
 *
 * Small code has one kind of tile, whose columns beyond the end are computed
 * and not stored: panels are packed whole. A finished tile goes to scratch, and
 * loops take it from there to C, so that what is made of a vector of C stands
 * once in the kernel.
 */
#include "tile.h"

enum {
    PREFETCH_BYTES = 1024, /* ahead of the panel's vector in use */
    ALIGN = 64
};

static krsi_kv
plus(krsi_tile *t, krsi_kv a, int64_t b)
{
    return krsi_kb_add(t->kb, a, krsi_kb_i64(t->kb, b));
}

krsi_kv
krsi_tile_mad(krsi_tile *t, krsi_kv a, krsi_kv b, krsi_kv s)
{
    return t->pairs ? krsi_kb_dot2_bf16(t->kb, s, a, b)
                    : krsi_kb_mad(t->kb, a, b, s);
}

/* At least one, so that C becomes zero where K is. */
void
krsi_tile_chunks(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    krsi_kv one = krsi_kb_i64(kb, 1), zero = krsi_kb_i64(kb, 0);
    t->first = krsi_kb_for(kb, zero, krsi_kb_max(kb, t->words, one),
                           krsi_kb_i64(kb, t->chunk));
}

void
krsi_tile_bounds(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    t->end = krsi_kb_min(kb, plus(t, t->first, t->chunk), t->words);
    t->later = krsi_kb_gt(kb, t->first, krsi_kb_i64(kb, 0));
}

/* ---- one tile ---- */

/* A tile: its corner in C, the panel of B that holds its columns, and how many
 * vectors it has; the last one may go beyond n1. */
typedef struct place {
    krsi_kv row, column, panel;
    int vectors;
} place;

static krsi_kv
column_of(krsi_tile *t, const place *p, int v)
{
    return plus(t, p->column, (int64_t)v * t->lanes);
}

/* Vector v of B at word w of the chunk. */
static krsi_kv
b_vector(krsi_tile *t, const place *p, krsi_kv w, int v)
{
    krsi_kb *kb = t->kb;
    int width = t->vectors * t->lanes;
    if (t->template == KRSI_TILE_DIRECT)
        return krsi_tile_across(t, &t->b, column_of(t, p, v), t->n1, w,
                                t->lanes, v < p->vectors - 1);
    krsi_kv at = krsi_kb_add(kb, krsi_tile_panel(t, p->panel),
                             krsi_kb_sub(kb, column_of(t, p, v), p->panel));
    at = krsi_kb_add(kb, at, krsi_kb_mul(kb, w, krsi_kb_i64(kb, width)));
    at = krsi_kb_mul(kb, at, krsi_kb_i64(kb, t->unit));
    if (!t->small)
        krsi_kb_prefetch(
            kb,
            (krsi_kmem){.buffer = t->b_pack,
                        .index = plus(t, at, PREFETCH_BYTES / 4 * t->unit)});
    return krsi_tile_words(t, t->b_pack, at, t->lanes, KRSI_KV_NONE,
                           (size_t)t->lanes * 4);
}

typedef krsi_kv square[KRSI_TILE_ROWS][KRSI_TILE_VECTORS];

/* In a loop: the sums of a tile are carried by it, from s on. */
static void
carry_sums(krsi_tile *t, const place *p, square s, square carried)
{
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < p->vectors; v++)
            s[r][v] = carried[r][v] = krsi_kb_carry(t->kb, s[r][v]);
}

/* What they are in the next turn; the loop ends, and s is what they became. */
static void
end_sums(krsi_tile *t, const place *p, square carried, square s)
{
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < p->vectors; v++)
            krsi_kb_next(t->kb, carried[r][v], s[r][v]);
    krsi_kb_end(t->kb);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < p->vectors; v++)
            s[r][v] = krsi_kb_result(t->kb, carried[r][v]);
}

/* s plus the products of one word of A with vectors of B. */
static void
add_word(krsi_tile *t, const place *p, krsi_kv word, const krsi_kv *b, square s)
{
    for (int r = 0; r < t->rows; r++) {
        krsi_kv a = krsi_tile_a(t, r, word);
        for (int v = 0; v < p->vectors; v++)
            s[r][v] = krsi_tile_mad(t, a, b[v], s[r][v]);
    }
}

/* s plus the products of the words low .. high. */
static void
multiply(krsi_tile *t, const place *p, krsi_kv low, krsi_kv high, square s)
{
    krsi_kb *kb = t->kb;
    krsi_kv b[KRSI_TILE_VECTORS];
    square carried;
    krsi_kv w = krsi_kb_for(kb, low, high, krsi_kb_i64(kb, 1));
    carry_sums(t, p, s, carried);
    for (int v = 0; v < p->vectors; v++)
        b[v] = b_vector(t, p, w, v);
    add_word(t, p, w, b, s);
    end_sums(t, p, carried, s);
}

/* The same, a cache line of A at a time, fetching that of the rows below. */
static void
multiply_ahead(krsi_tile *t, const place *p, krsi_kv words, square s)
{
    krsi_kb *kb = t->kb;
    square carried;
    krsi_kv line = krsi_kb_for(kb, krsi_kb_i64(kb, 0), words,
                               krsi_kb_i64(kb, KRSI_TILE_LINE));
    carry_sums(t, p, s, carried);
    krsi_tile_prefetch_a(t, line);
    krsi_kv past = plus(t, line, KRSI_TILE_LINE);
    multiply(t, p, line, krsi_kb_min(kb, past, words), s);
    end_sums(t, p, carried, s);
}

/* Vector of C at a row and column, unmasked. */
static krsi_kmem
out_place(krsi_tile *t, krsi_kv m, krsi_kv n)
{
    krsi_kb *kb = t->kb;
    krsi_kmem at = {.buffer = t->out, .lanes = t->lanes};
    at.index = krsi_kb_add(kb, t->out_offset,
                           krsi_kb_add(kb, krsi_kb_mul(kb, m, t->out_row),
                                       krsi_kb_mul(kb, n, t->out_column)));
    if (!t->out_contiguous && t->lanes > 1)
        at.offsets = krsi_kb_mul(
            kb, krsi_kb_convert(kb, KRS_I64, krsi_kb_lanes(kb, t->lanes)),
            t->out_column);
    return at;
}

static krsi_kmem
sum_place(krsi_tile *t, krsi_kv m, krsi_kv n)
{
    krsi_kb *kb = t->kb;
    m = krsi_kb_mul(kb, krsi_kb_sub(kb, m, t->m0), t->sum_stride);
    if (t->sum_start.ref)
        m = krsi_kb_add(kb, m, t->sum_start);
    return (krsi_kmem){.buffer = t->sums,
                       .lanes = t->lanes,
                       .index = krsi_kb_add(kb, m, krsi_kb_sub(kb, n, t->n0))};
}

static krsi_kv
decay_of(krsi_tile *t, krsi_kv m)
{
    return krsi_kb_load(
        t->kb, (krsi_kmem){.buffer = t->decay,
                           .index = krsi_kb_sub(t->kb, m, t->decay_from)});
}

krsi_kv
krsi_tile_sums(krsi_tile *t, krsi_kmem at)
{
    krsi_kb *kb = t->kb;
    krsi_kv none = krsi_kb_broadcast(kb, t->lanes, krsi_kb_f32(kb, -0.0F));
    return krsi_kb_select(kb, at.mask, krsi_kb_load(kb, at), none);
}

void
krsi_tile_store(krsi_tile *t, krsi_kv m, krsi_kv n, krsi_kv mask, krsi_kv v)
{
    if (t->finishes) {
        krsi_tile_finish(t, m, n, mask, v);
        return;
    }
    krsi_kmem to = out_place(t, m, n);
    to.mask = mask;
    to.align_bytes = t->out_aligned ? KRSI_TILE_ALIGNED : 0;
    if (t->factor.ref)
        v = krsi_kb_mul(t->kb, v, t->factor);
    krsi_kb_store(t->kb, to, krsi_kb_convert(t->kb, t->out_dtype, v));
}

bool
krsi_tile_open_row(krsi_tile *t, krsi_kv row, int r)
{
    bool may_repeat = t->finishes && r > 0;
    if (may_repeat)
        krsi_kb_if_below(t->kb, row, t->m1);
    return may_repeat;
}

/* What the chunks before this one left at row m, columns n on; is_masked: some
 * of them may be beyond the end. */
static krsi_kv
sums_before(krsi_tile *t, krsi_kv m, krsi_kv n, bool is_masked)
{
    krsi_kb *kb = t->kb;
    krsi_kmem at = t->has_sums ? sum_place(t, m, n) : out_place(t, m, n);
    if (is_masked)
        at.mask = krsi_kb_below(
            kb, n, t->adds ? t->n1 : krsi_kb_select(kb, t->later, t->n1, n),
            t->lanes);
    else if (!t->adds)
        at.mask = krsi_kb_broadcast(kb, t->lanes, t->later);
    krsi_kv before = t->adds ? krsi_kb_load(kb, at) : krsi_tile_sums(t, at);
    return t->decays ? krsi_kb_mul(kb, before, decay_of(t, m)) : before;
}

/* The sums of a chunk go to C, or are added to those of earlier chunks. All
 * loads come before all stores: rows may be the same one. */
static void
deliver(krsi_tile *t, const place *p, square s)
{
    krsi_kb *kb = t->kb;
    krsi_kv m[KRSI_TILE_ROWS];
    bool whole = t->has_sums || t->out_is_padded || t->whole_columns;
    int masked = whole ? p->vectors : p->vectors - 1;
    for (int r = 0; r < t->rows; r++)
        m[r] = krsi_kb_min(kb, plus(t, p->row, r), plus(t, t->m1, -1));
    for (int r = 0; r < t->rows && !t->one_chunk; r++)
        for (int v = 0; v < p->vectors; v++) {
            s[r][v] = krsi_kb_add(
                kb, sums_before(t, m[r], column_of(t, p, v), v == masked),
                s[r][v]);
        }
    for (int r = 0; r < t->rows; r++) {
        bool is_open =
            !t->has_sums && krsi_tile_open_row(t, plus(t, p->row, r), r);
        for (int v = 0; v < p->vectors; v++) {
            krsi_kv n = column_of(t, p, v), mask = KRSI_KV_NONE;
            if (v == masked)
                mask = krsi_kb_below(kb, n, t->n1, t->lanes);
            if (t->has_sums)
                krsi_kb_store(kb, sum_place(t, m[r], n), s[r][v]);
            else
                krsi_tile_store(t, m[r], n, mask, s[r][v]);
        }
        if (is_open)
            krsi_kb_end(kb);
    }
}

void
krsi_tile_declare_square(krsi_tile *t, const char *name)
{
    int64_t count = (int64_t)t->rows * t->vectors * t->lanes;
    t->square =
        krsi_kb_scratch(t->kb, name, KRS_F32, count, KRSI_KV_NONE, ALIGN);
}

/* A vector of the tile in scratch, and where it belongs in C. */
typedef struct turn {
    krsi_kv m, n, mask;
    krsi_kmem at;
} turn;

/* Loops over the rows and vectors of a tile that are in C; two ends. */
static turn
open_turns(krsi_tile *t, const place *p)
{
    krsi_kb *kb = t->kb;
    int width = t->vectors * t->lanes;
    turn x = {
        .at = {.buffer = t->square,
               .lanes = t->lanes,
               .align_bytes = (size_t)t->lanes * 4}
    };
    krsi_kv rows = krsi_kb_min(kb, krsi_kb_sub(kb, t->m1, p->row),
                               krsi_kb_i64(kb, t->rows));
    krsi_kv stop = krsi_kb_min(kb, plus(t, p->panel, width), t->n1);
    krsi_kv r = krsi_kb_for(kb, krsi_kb_i64(kb, 0), rows, krsi_kb_i64(kb, 1));
    x.m = krsi_kb_add(kb, p->row, r);
    x.n = krsi_kb_for(kb, p->panel, stop, krsi_kb_i64(kb, t->lanes));
    x.at.index = krsi_kb_add(kb, krsi_kb_mul(kb, r, krsi_kb_i64(kb, width)),
                             krsi_kb_sub(kb, x.n, p->panel));
    if (!t->whole_columns && !t->has_sums)
        x.mask = krsi_kb_below(kb, x.n, t->n1, t->lanes);
    return x;
}

/* What earlier chunks left is added in a branch, not by masks: those would be
 * kept in registers, of which the loop over k needs all. */
static void
add_before(krsi_tile *t, const place *p)
{
    krsi_kb *kb = t->kb;
    if (!t->adds)
        krsi_kb_if_below(t->kb, krsi_kb_i64(kb, 0), t->first);
    turn x = open_turns(t, p);
    krsi_kmem from =
        t->has_sums ? sum_place(t, x.m, x.n) : out_place(t, x.m, x.n);
    from.mask = x.mask;
    krsi_kv before = krsi_kb_load(kb, from);
    if (t->decays)
        before = krsi_kb_mul(kb, before, decay_of(t, x.m));
    krsi_kb_store(kb, x.at, krsi_kb_add(kb, before, krsi_kb_load(kb, x.at)));
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    if (!t->adds)
        krsi_kb_end(kb);
}

/* The same by way of scratch, row by row and vector by vector. */
static void
deliver_in_turn(krsi_tile *t, const place *p, square s)
{
    krsi_kb *kb = t->kb;
    int width = t->vectors * t->lanes;
    krsi_kmem to = {.buffer = t->square, .align_bytes = (size_t)t->lanes * 4};
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++) {
            to.index = krsi_kb_i64(kb, (int64_t)r * width + v * t->lanes);
            krsi_kb_store(kb, to, s[r][v]);
        }
    if (!t->one_chunk)
        add_before(t, p);
    turn x = open_turns(t, p);
    krsi_kv v = krsi_kb_load(kb, x.at);
    if (t->has_sums)
        krsi_kb_store(kb, sum_place(t, x.m, x.n), v);
    else
        krsi_tile_store(t, x.m, x.n, x.mask, v);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

static void
compute(krsi_tile *t, place p)
{
    krsi_kb *kb = t->kb;
    krsi_kv zero = krsi_kb_broadcast(kb, t->lanes, krsi_kb_f32(kb, 0));
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    square s;
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < p.vectors; v++)
            s[r][v] = zero;
    if (t->template == KRSI_TILE_DIRECT) /* the mask, before the loop */
        krsi_kb_below(kb, column_of(t, &p, p.vectors - 1), t->n1, t->lanes);
    if (t->template == KRSI_TILE_DIRECT && p.vectors > 1 &&
        t->reading == KRSI_TILE_IN_PLACE)
        multiply_ahead(t, &p, words, s);
    else
        multiply(t, &p, t->low.ref ? t->low : krsi_kb_i64(kb, 0), words, s);
    if (t->square.ref)
        deliver_in_turn(t, &p, s);
    else
        deliver(t, &p, s);
}

/* ---- one item ---- */

/* All columns of a panel, or those there are: a whole tile if that wastes
 * less than a vector, or code is small; else vector by vector. */
static void
compute_panel(krsi_tile *t, krsi_kv row, krsi_kv panel)
{
    krsi_kb *kb = t->kb;
    krsi_kv last = plus(t, panel, (int64_t)(t->vectors - 1) * t->lanes);
    if (t->small) {
        compute(t, (place){row, panel, panel, t->vectors});
        return;
    }
    krsi_kb_if_below(t->kb, last, t->n1);
    compute(t, (place){row, panel, panel, t->vectors});
    krsi_kb_end(kb);
    if (t->vectors == 1)
        return;
    krsi_kv few = krsi_kb_le(kb, t->n1, last);
    krsi_kv column = krsi_kb_for(
        kb, panel, krsi_kb_select(kb, few, t->n1, krsi_kb_i64(kb, INT64_MIN)),
        krsi_kb_i64(kb, t->lanes));
    compute(t, (place){row, column, panel, 1});
    krsi_kb_end(kb);
}

void
krsi_tile_strip(krsi_tile *t, krsi_kv row)
{
    krsi_kb *kb = t->kb;
    krsi_kv column = krsi_kb_for(
        kb, t->n0, t->n1, krsi_kb_i64(kb, (int64_t)t->vectors * t->lanes));
    compute_panel(t, row, column);
    krsi_kb_end(kb);
}

void
krsi_tile_blocked(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    krsi_tile_chunks(t);
    krsi_tile_bounds(t);
    if (t->template == KRSI_TILE_BLOCKED)
        krsi_tile_pack_b(t);
    krsi_kv rows = krsi_kb_i64(kb, t->rows);
    if (t->slab) {
        krsi_kv height = krsi_kb_i64(kb, t->slab);
        krsi_kv slab = krsi_kb_for(kb, t->m0, t->m1, height);
        krsi_tile_pack_slab(t, slab);
        krsi_kv stop = krsi_kb_min(kb, krsi_kb_add(kb, slab, height), t->m1);
        krsi_kv row = krsi_kb_for(kb, slab, stop, rows);
        krsi_tile_ready_in_slab(t, slab, row);
        krsi_tile_strip(t, row);
        krsi_kb_end(kb);
    } else {
        krsi_kv row = krsi_kb_for(kb, t->m0, t->m1, rows);
        krsi_tile_ready_a(t, row);
        krsi_tile_strip(t, row);
    }
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    krsi_tile_store_sums(t);
}

/* ---- sums to C ---- */

void
krsi_tile_store_sums(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    if (!t->has_sums)
        return;
    krsi_kv row = krsi_kb_for(kb, t->m0, t->m1, krsi_kb_i64(kb, 1));
    krsi_kv column = krsi_kb_for(kb, t->n0, t->n1, krsi_kb_i64(kb, t->lanes));
    krsi_kv v = krsi_kb_load(kb, sum_place(t, row, column));
    krsi_tile_store(t, row, column, krsi_kb_below(kb, column, t->n1, t->lanes),
                    v);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}
