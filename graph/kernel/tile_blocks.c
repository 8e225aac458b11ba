/* tile_blocks.c -- columns of a block-quantised B to vectors, a block of 32
 * words at a time.
 *
 * In: as many columns as a vector has lanes, each with its blocks along k. Out:
 * the words of one block of each, lanes along the columns, f32. Bytes are turned
 * before they become numbers: of 16 bytes of each column, log2(lanes) rounds of
 * interleaving halves make vectors of one byte of all columns (the perfect
 * shuffle: Stone 1971), for a quarter of the shuffles that turning f32 takes;
 * scales and minima are vectors too.
 */
#include "tile.h"

enum { BYTES = 16 }; /* of a column, turned at a time */

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

/* Scales and minima, which each block begins with. */
static void
read_scales(krsi_tile *t, const krsi_kv *byte, krsi_tile_block *out)
{
    krsi_kb *kb = t->kb;
    int halves = out->header / 2;
    krsi_kv part[KRS_K_MAX_LANES], *to[] = {&out->scale, &out->least};
    uint8_t one[KRS_K_MAX_LANES];
    for (int j = 0; j < t->lanes; j++)
        part[j] = bytes_at(t, byte[j], 0, out->header);
    krsi_kv all = krsi_kb_bitcast(kb, KRS_F16, join(t, part, t->lanes));
    for (int h = 0; h < halves; h++) {
        for (int j = 0; j < t->lanes; j++)
            one[j] = (uint8_t)(j * halves + h);
        *to[h] = krsi_kb_convert(
            kb, KRS_F32, krsi_kb_shuffle(kb, all, KRSI_KV_NONE, t->lanes, one));
    }
}

/* Vectors of 16 bytes of each column become such of all columns. */
static void
turn_bytes(krsi_tile *t, krsi_kv *x)
{
    uint8_t low[BYTES], high[BYTES];
    krsi_kv y[BYTES];
    int half = t->lanes / 2;
    for (int i = 0; i < BYTES; i++) {
        low[i] = (uint8_t)(i / 2 + (i % 2 ? BYTES : 0));
        high[i] = (uint8_t)(low[i] + BYTES / 2);
    }
    for (int round = 1; round < t->lanes; round *= 2) {
        for (int i = 0; i < half; i++) {
            y[2 * i] = krsi_kb_shuffle(t->kb, x[i], x[i + half], BYTES, low);
            y[2 * i + 1] =
                krsi_kb_shuffle(t->kb, x[i], x[i + half], BYTES, high);
        }
        for (int i = 0; i < t->lanes; i++)
            x[i] = y[i];
    }
}

/* The same bytes of columns that come `ahead` columns later: memory sees too
 * many streams to do so by itself. */
static void
fetch(krsi_tile *t, const krsi_kv *byte, int64_t block_bytes, int ahead)
{
    krsi_kb *kb = t->kb;
    krsi_kv column =
        krsi_kb_mul(kb, krsi_kb_shr(kb, t->b.outer, krsi_kb_i64(kb, 5)),
                    krsi_kb_i64(kb, block_bytes * ahead));
    for (int j = 0; j < t->lanes; j++)
        krsi_kb_prefetch(kb,
                         (krsi_kmem){.buffer = t->b.buffer,
                                     .index = krsi_kb_add(kb, byte[j], column),
                                     .flags = KRS_K_INDIRECT});
}

void
krsi_tile_read_block(krsi_tile *t, krsi_kv n0, krsi_kv word, int ahead,
                     krsi_tile_block *out)
{
    krsi_kb *kb = t->kb;
    krsi_kv from[KRS_K_MAX_LANES];
    krsi_kv k = krsi_kb_add(kb, t->first, word);
    krsi_lower_block_layout(t->b.dtype, &out->header, &out->nibbles,
                            &out->block_bytes);
    krsi_tile_lines(t, n0, from);
    for (int j = 0; j < t->lanes; j++)
        from[j] = krsi_kb_mul(
            kb,
            krsi_kb_shr(kb, krsi_kb_add(kb, from[j], k), krsi_kb_i64(kb, 5)),
            krsi_kb_i64(kb, out->block_bytes));
    fetch(t, from, out->block_bytes, ahead);
    read_scales(t, from, out);
    for (int h = 0; h < (out->nibbles ? 1 : 2); h++) {
        for (int j = 0; j < t->lanes; j++)
            out->bytes[h][j] =
                bytes_at(t, from[j], out->header + h * BYTES, BYTES);
        turn_bytes(t, out->bytes[h]);
    }
}

krsi_kv
krsi_tile_block_word(krsi_tile *t, const krsi_tile_block *b, int word)
{
    krsi_kb *kb = t->kb;
    int half = word / BYTES, byte = word % BYTES, in_vector = BYTES / t->lanes;
    krsi_kv q = b->bytes[b->nibbles ? 0 : half][byte / in_vector];
    if (b->nibbles) { /* all bytes of a vector at once: it serves several */
        q = krsi_kb_bitcast(kb, KRS_I32, q);
        if (half)
            q = krsi_kb_shr(kb, q, krsi_kb_i32(kb, 4));
        q = krsi_kb_and(kb, q, krsi_kb_i32(kb, 0x0F0F0F0F));
        q = krsi_kb_bitcast(kb, KRS_U8, q);
    }
    q = krsi_kb_slice(kb, q, byte % in_vector * t->lanes, t->lanes);
    return krsi_lower_dequantise(kb, t->b.dtype, q, b->scale, b->least);
}
