/* lower_block.c -- elements of block-quantised tensors, as kernels read them.
 *
 * In: the number of an element of a tensor of 32 elements a block, or of
 * several by lane. Out: their values, f32, with the bits of graph/base/block.c:
 * a product and a sum. The product of an integer of a byte and an f16 has at
 * most 19 bits and is exact, so `mad` gives these bits too, fused or not. A
 * kernel binds such a tensor as its bytes, so that a backend sees integers that
 * are loaded, shifted and converted, and no format.
 *
 * Lanes that are elements in a row within half a block share its scale: one
 * load of it, one of their bytes. All others are gathered byte by byte.
 */
#include "lower.h"

#include <krs/block.h>

enum {
    BLOCK = KRSI_BLOCK,
    HALF = BLOCK / 2 /* a nibble's byte has the element half a block on, too */
};

/* What a block holds before its integers, and what these are. */
static const struct format {
    int header; /* bytes: the scale, then the minimum where there is one */
    bool nibbles;
    int32_t centre; /* of the nibbles that mean zero */
} formats[] = {
    [KRS_BLOCK_Q4_0] = {2, true,  8},
    [KRS_BLOCK_Q4_1] = {4, true,  0},
    [KRS_BLOCK_Q8_0] = {2, false, 0},
};

krs_dtype
krsi_lower_stored(krs_dtype dtype)
{
    return krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK ? KRS_U8 : dtype;
}

/* elements or blocks are counted, bytes are meant */
static krsi_kv
plus(krsi_kb *kb, krsi_kv a, int64_t b)
{
    return krsi_kb_add(kb, a, krsi_kb_i64(kb, b));
}

/* Bytes of the tensor: `lanes` in a row from `byte`, or one at each lane of it. */
static krsi_kv
bytes_at(krsi_kb *kb, const krsi_kmem *at, krsi_kv byte, int lanes,
         krsi_kv mask)
{
    krsi_kmem m = {.buffer = at->buffer,
                   .index = byte,
                   .lanes = lanes,
                   .mask = mask,
                   .flags = KRS_K_INDIRECT};
    if (krsi_kb_type(kb, byte).lanes > 1) {
        m.index = krsi_kb_i64(kb, 0);
        m.offsets = byte;
    }
    return krsi_kb_load(kb, m);
}

/* The f16 at a byte, or at each lane of it. */
static krsi_kv
half_at(krsi_kb *kb, const krsi_kmem *at, krsi_kv byte, krsi_kv mask)
{
    int lanes = krsi_kb_type(kb, byte).lanes;
    krsi_kv both;
    if (lanes == 1) {
        both = bytes_at(kb, at, byte, 2,
                        mask.ref ? krsi_kb_broadcast(kb, 2, mask) : mask);
        return krsi_kb_convert(kb, KRS_F32, krsi_kb_bitcast(kb, KRS_F16, both));
    }
    uint8_t even[KRS_K_MAX_LANES];
    for (int i = 0; i < lanes; i++)
        even[i] = (uint8_t)(2 * i);
    krsi_kv low = bytes_at(kb, at, byte, lanes, mask);
    krsi_kv high = bytes_at(kb, at, plus(kb, byte, 1), lanes, mask);
    both = krsi_kb_or(kb, krsi_kb_convert(kb, KRS_I32, low),
                      krsi_kb_shl(kb, krsi_kb_convert(kb, KRS_I32, high),
                                  krsi_kb_i32(kb, 8)));
    both = krsi_kb_shuffle(kb, krsi_kb_bitcast(kb, KRS_F16, both), KRSI_KV_NONE,
                           lanes, even);
    return krsi_kb_convert(kb, KRS_F32, both);
}

/* The integers of elements `inside` their block, whose bytes begin at `first`,
 * i32: of lanes that are a run the first is meant. */
static krsi_kv
integers_at(krsi_kb *kb, const struct format *f, const krsi_kmem *at,
            krsi_kv first, krsi_kv inside, int lanes)
{
    if (!f->nibbles) {
        krsi_kv byte =
            bytes_at(kb, at, krsi_kb_add(kb, first, inside), lanes, at->mask);
        return krsi_kb_convert(kb, KRS_I32, krsi_kb_bitcast(kb, KRS_I8, byte));
    }
    krsi_kv byte = krsi_kb_and(kb, inside, krsi_kb_i64(kb, HALF - 1));
    krsi_kv shift =
        krsi_kb_shr(/* 0, or 4 in the second half */
                    kb, krsi_kb_and(kb, inside, krsi_kb_i64(kb, HALF)),
                    krsi_kb_i64(kb, 2));
    krsi_kv q = krsi_kb_convert(
        kb, KRS_I32,
        bytes_at(kb, at, krsi_kb_add(kb, first, byte), lanes, at->mask));
    return krsi_kb_and(kb,
                       krsi_kb_shr(kb, q, krsi_kb_convert(kb, KRS_I32, shift)),
                       krsi_kb_i32(kb, 15));
}

static const struct format *
format_of(krs_dtype dtype)
{
    krs_block format = KRS_BLOCK_COUNT;
    krs_dtype_block(dtype, &format);
    return &formats[format];
}

krsi_block_layout
krsi_lower_block_layout(krs_dtype dtype)
{
    size_t bytes = 0;
    krs_dtype_bytes(dtype, BLOCK, &bytes);
    return (krsi_block_layout){format_of(dtype)->header,
                               format_of(dtype)->nibbles, (int64_t)bytes};
}

krsi_kv
krsi_lower_dequantise(krsi_kb *kb, krs_dtype dtype, krsi_kv stored,
                      krsi_kv unit, krsi_kv scale, krsi_kv least)
{
    const struct format *f = format_of(dtype);
    if (f->centre)
        stored = krsi_kb_sub(kb, stored,
                             krsi_kb_mul(kb, unit, krsi_kb_i32(kb, f->centre)));
    krsi_kv q = krsi_kb_convert(kb, KRS_F32, stored);
    return f->header > 2 ? krsi_kb_mad(kb, q, scale, least)
                         : krsi_kb_mul(kb, q, scale);
}

krsi_kv
krsi_lower_block(krsi_kb *kb, krs_dtype dtype, krsi_kmem at, bool is_run)
{
    const struct format *f = format_of(dtype);
    size_t block_bytes = 0;
    int lanes = at.lanes ? at.lanes : 1;
    krsi_kv index = at.index, mask = at.mask;
    krs_dtype_bytes(dtype, BLOCK, &block_bytes);
    is_run |= lanes == 1;
    if (!is_run && !at.offsets.ref)
        at.offsets = krsi_kb_convert(kb, KRS_I64, krsi_kb_lanes(kb, lanes));
    if (!is_run)
        index =
            krsi_kb_add(kb, index, krsi_kb_convert(kb, KRS_I64, at.offsets));
    else if (mask.ref && lanes > 1)
        mask = krsi_kb_slice(kb, mask, 0, 1); /* the first: any is on with it */
    krsi_kv first = krsi_kb_mul(kb, krsi_kb_shr(kb, index, krsi_kb_i64(kb, 5)),
                                krsi_kb_i64(kb, (int64_t)block_bytes));
    krsi_kv inside = krsi_kb_and(kb, index, krsi_kb_i64(kb, BLOCK - 1));
    krsi_kv scale = half_at(kb, &at, first, mask), least = KRSI_KV_NONE;
    if (f->header > 2)
        least = half_at(kb, &at, plus(kb, first, 2), mask);
    krsi_kv q =
        integers_at(kb, f, &at, plus(kb, first, f->header), inside, lanes);
    krsi_kv x =
        krsi_lower_dequantise(kb, dtype, q, krsi_kb_i32(kb, 1), scale, least);
    return at.mask.ref ? krsi_kb_select(
                             kb, at.mask, x,
                             krsi_kb_broadcast(kb, lanes, krsi_kb_f32(kb, 0)))
                       : x;
}
