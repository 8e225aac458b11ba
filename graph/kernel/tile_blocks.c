/* tile_blocks.c -- columns of a block-quantised B to f32 in a pack, a block of
 * 32 words at a time.
 *
 * In: as many columns as a vector has lanes, each with its blocks along k. Out:
 * the words of one block of each, lanes along the columns. Four bytes at a
 * time are turned as they lie (squares of four by four dwords, in two rounds of
 * interleaving: Eklundh 1972), so that a dword of a lane holds integers of its
 * column alone. One of these is masked where it stands in its dword, and not
 * shifted down: times 256^p it is as exact in f32, and so is the scale over
 * 256^p, so their product is the same.
 */
#include "tile.h"

enum {
    BYTES = 16, /* of a column, turned at a time */
    DWORD = 4,
    SIDE = BYTES / DWORD,
    LINE = 64 /* bytes, fetched at a time */
};

static krsi_kv
bytes_at(krsi_tile *t, krsi_kv byte, int64_t plus, int count)
{
    krsi_kb *kb = t->kb;
    return krsi_kb_load(
        kb, (krsi_kmem){.buffer = t->b.buffer,
                        .index = krsi_kb_add(kb, byte, krsi_kb_i64(kb, plus)),
                        .lanes = count,
                        .flags = KRS_K_INDIRECT});
}

/* x[0], x[1], ... one after the other, a vector of all their lanes */
static krsi_kv
join(krsi_tile *t, krsi_kv *x, int count)
{
    uint8_t all[KRS_K_MAX_LANES];
    for (int i = 0; i < KRS_K_MAX_LANES; i++)
        all[i] = (uint8_t)i;
    for (int lanes = 2 * krsi_kb_type(t->kb, x[0]).lanes; count > 1;
         count /= 2, lanes *= 2)
        for (int i = 0; i < count / 2; i++)
            x[i] = krsi_kb_shuffle(t->kb, x[2 * i], x[2 * i + 1], lanes, all);
    return x[0];
}

/* Bytes of so many elements of B, which are whole blocks. */
static krsi_kv
bytes_of(krsi_tile *t, krsi_kv elements)
{
    krsi_kb *kb = t->kb;
    return krsi_kb_mul(
        kb, krsi_kb_shr(kb, elements, krsi_kb_i64(kb, 5)),
        krsi_kb_i64(kb, krsi_lower_block_layout(t->b.dtype).block_bytes));
}

krsi_kv
krsi_tile_block_at(krsi_tile *t, krsi_kv n, krsi_kv word)
{
    krsi_kb *kb = t->kb;
    krsi_kv k = krsi_kb_add(kb, t->first, word);
    krsi_kv at = krsi_kb_add(kb, t->b.offset, krsi_kb_mul(kb, n, t->b.outer));
    return bytes_of(t, krsi_kb_add(kb, at, k));
}

krsi_kv
krsi_tile_next_block(krsi_tile *t, krsi_kv at, int columns)
{
    return krsi_kb_add(t->kb, at,
                       krsi_kb_mul(t->kb, bytes_of(t, t->b.outer),
                                   krsi_kb_i64(t->kb, columns)));
}

/* Scales and minima, which each block begins with. */
static void
read_scales(krsi_tile *t, krsi_tile_blocks *b)
{
    krsi_kb *kb = t->kb;
    int halves = b->layout.header / 2;
    krsi_kv part[KRS_K_MAX_LANES], *to[] = {&b->scale, &b->least};
    uint8_t one[KRS_K_MAX_LANES];
    for (int j = 0; j < t->lanes; j++)
        part[j] = bytes_at(t, b->at[j], 0, b->layout.header);
    krsi_kv all = krsi_kb_bitcast(kb, KRS_F16, join(t, part, t->lanes));
    for (int h = 0; h < halves; h++) {
        for (int j = 0; j < t->lanes; j++)
            one[j] = (uint8_t)(j * halves + h);
        *to[h] = krsi_kb_convert(
            kb, KRS_F32, krsi_kb_shuffle(kb, all, KRSI_KV_NONE, t->lanes, one));
    }
}

/* Dwords i of each four lanes of a and b, one after the other: the first two of
 * them, or the last two; `run` dwords at a time. */
static krsi_kv
interleave(krsi_tile *t, krsi_kv a, krsi_kv b, int run, bool last)
{
    uint8_t from[KRS_K_MAX_LANES];
    for (int j = 0; j < t->lanes; j++) {
        int i = j % SIDE, of_b = i / run % 2;
        int dword = i % run + i / (2 * run) * run + (last ? SIDE / 2 : 0);
        from[j] = (uint8_t)(j - i + dword + (of_b ? t->lanes : 0));
    }
    return krsi_kb_shuffle(t->kb, a, b, t->lanes, from);
}

/* 16 bytes of each column, from `plus` in its block on, become dwords: out[i]
 * is dword i of all columns. */
static void
turn_bytes(krsi_tile *t, const krsi_tile_blocks *b, int64_t plus,
           krsi_kv out[SIDE])
{
    krsi_kb *kb = t->kb;
    krsi_kv x[SIDE], y[SIDE];
    for (int i = 0; i < SIDE; i++) { /* columns i, i + 4, i + 8 ... */
        krsi_kv part[KRS_K_MAX_LANES];
        int count = 0;
        for (int j = i; j < t->lanes; j += SIDE)
            part[count++] = krsi_kb_bitcast(kb, KRS_I32,
                                            bytes_at(t, b->at[j], plus, BYTES));
        x[i] = join(t, part, count);
    }
    for (int i = 0; i < SIDE / 2; i++) {
        y[i] = interleave(t, x[2 * i], x[2 * i + 1], 1, false);
        y[i + SIDE / 2] = interleave(t, x[2 * i], x[2 * i + 1], 1, true);
    }
    for (int i = 0; i < SIDE / 2; i++) {
        out[2 * i] = interleave(t, y[2 * i], y[2 * i + 1], 2, false);
        out[2 * i + 1] = interleave(t, y[2 * i], y[2 * i + 1], 2, true);
    }
}

/* The integers that mask has in each dword, f32, to b_pack: four words apart, the
 * first at `to`. */
static void
store_place(krsi_tile *t, const krsi_tile_blocks *b, krsi_kv mask, krsi_kv unit,
            krsi_kv to)
{
    krsi_kb *kb = t->kb;
    int64_t apart = (int64_t)DWORD * t->vectors * t->lanes;
    for (int i = 0; i < KRSI_TILE_DWORDS; i++)
        krsi_kb_store(kb,
                      (krsi_kmem){.buffer = t->b_pack,
                                  .index = krsi_kb_add(
                                      kb, to, krsi_kb_i64(kb, i * apart)),
                                  .align_bytes = (size_t)t->lanes * 4},
                      krsi_lower_dequantise(kb, t->b.dtype,
                                            krsi_kb_and(kb, b->dword[i], mask),
                                            unit, b->scale, b->least));
}

/* A loop over the places of a dword, from the lowest one: the mask moves up, and
 * the scale down. */
static void
store_nibbles(krsi_tile *t, const krsi_tile_blocks *b, krsi_kv to)
{
    krsi_kb *kb = t->kb;
    int64_t width = (int64_t)t->vectors * t->lanes;
    krsi_tile_blocks now = *b;
    krsi_kv first = krsi_kb_broadcast(kb, t->lanes, krsi_kb_i32(kb, 1));
    krsi_kv row =
        krsi_kb_for(kb, to, krsi_kb_add(kb, to, krsi_kb_i64(kb, DWORD * width)),
                    krsi_kb_i64(kb, width));
    krsi_kv unit = krsi_kb_carry(kb, first);
    now.scale = krsi_kb_carry(kb, b->scale);
    krsi_kv mask =
        krsi_kb_sub(kb, krsi_kb_shl(kb, unit, krsi_kb_i32(kb, 4)), unit);
    store_place(t, &now, mask, unit, row);
    krsi_kb_next(kb, unit, krsi_kb_shl(kb, unit, krsi_kb_i32(kb, 8)));
    krsi_kb_next(kb, now.scale,
                 krsi_kb_mul(kb, now.scale, krsi_kb_f32(kb, 0x1p-8F)));
    krsi_kb_end(kb);
}

/* The same from the highest place, where the sign is: bytes move up to it. */
static void
store_bytes(krsi_tile *t, const krsi_tile_blocks *b, krsi_kv to)
{
    krsi_kb *kb = t->kb;
    int64_t width = (int64_t)t->vectors * t->lanes;
    krsi_tile_blocks now = *b;
    now.scale = krsi_kb_mul(kb, b->scale, krsi_kb_f32(kb, 0x1p-24F));
    krsi_kv i =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), krsi_kb_i64(kb, DWORD * width),
                    krsi_kb_i64(kb, width));
    for (int d = 0; d < KRSI_TILE_DWORDS; d++)
        now.dword[d] = krsi_kb_carry(kb, b->dword[d]);
    krsi_kv last = krsi_kb_add(kb, to, krsi_kb_i64(kb, (DWORD - 1) * width));
    store_place(t, &now, krsi_kb_i32(kb, (int32_t)0xFF000000), KRSI_KV_NONE,
                krsi_kb_sub(kb, last, i));
    for (int d = 0; d < KRSI_TILE_DWORDS; d++)
        krsi_kb_next(kb, now.dword[d],
                     krsi_kb_shl(kb, now.dword[d], krsi_kb_i32(kb, 8)));
    krsi_kb_end(kb);
}

void
krsi_tile_read_blocks(krsi_tile *t, krsi_kv at, krsi_kv last,
                      krsi_tile_blocks *b)
{
    krsi_kb *kb = t->kb;
    *b = (krsi_tile_blocks){.layout = krsi_lower_block_layout(t->b.dtype)};
    for (int j = 0; j < t->lanes; j++) {
        b->at[j] = at;
        at = krsi_tile_next_block(t, at, 1);
        if (last.ref)
            at = krsi_kb_min(kb, at, last);
    }
    read_scales(t, b);
    turn_bytes(t, b, b->layout.header, b->dword);
    if (!b->layout.nibbles)
        turn_bytes(t, b, b->layout.header + BYTES, b->dword + SIDE);
    for (int i = 0; i < SIDE && b->layout.nibbles; i++)
        b->dword[SIDE + i] = krsi_kb_shr(kb, b->dword[i], krsi_kb_i32(kb, 4));
}

krsi_kv
krsi_tile_block_word(krsi_tile *t, krsi_kv dword, int place, krsi_kv scale,
                     krsi_kv least)
{
    krsi_kb *kb = t->kb;
    bool nibbles = krsi_lower_block_layout(t->b.dtype).nibbles;
    if (!nibbles && place < DWORD - 1)
        dword =
            krsi_kb_shl(kb, dword, krsi_kb_i32(kb, 8 * (DWORD - 1 - place)));
    uint32_t mask = nibbles ? 15U << 8 * place : 0xFF000000;
    return krsi_lower_dequantise(
        kb, t->b.dtype, krsi_kb_and(kb, dword, krsi_kb_i32(kb, (int32_t)mask)),
        krsi_kb_i32(kb, 1 << 8 * place), scale, least);
}

void
krsi_tile_unpack(krsi_tile *t, krsi_kv at, krsi_kv last, krsi_kv to)
{
    krsi_tile_blocks b;
    krsi_tile_read_blocks(t, at, last, &b);
    if (b.layout.nibbles)
        store_nibbles(t, &b, to);
    else
        store_bytes(t, &b, to);
}

void
krsi_tile_fetch_blocks(krsi_tile *t, krsi_kv n0, krsi_kv word, int count)
{
    enum { BLOCKS = KRSI_TILE_CHUNK / KRSI_BLOCK };
    krsi_kb *kb = t->kb;
    int columns = count > BLOCKS ? count / BLOCKS : 1;
    int64_t bytes =
        krsi_lower_block_layout(t->b.dtype).block_bytes * BLOCKS + LINE - 1;
    krsi_kv turn = krsi_kb_shr(kb, word, krsi_kb_i64(kb, 5));
    krsi_kv n =
        krsi_kb_add(kb, n0, krsi_kb_mul(kb, turn, krsi_kb_i64(kb, columns)));
    krsi_kv at = krsi_tile_block_at(t, n, krsi_kb_i64(kb, 0));
    for (int c = 0; c < columns; c++) {
        for (int64_t line = 0; line < bytes; line += LINE)
            krsi_kb_prefetch(kb, (krsi_kmem){.buffer = t->b.buffer,
                                             .index = krsi_kb_add(
                                                 kb, at, krsi_kb_i64(kb, line)),
                                             .flags = KRS_K_INDIRECT});
        at = krsi_tile_next_block(t, at, 1);
    }
}
