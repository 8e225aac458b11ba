/* spirv_pack.c -- lanes as they lie in memory, and back: the row BITCAST, and
 * loads and stores of whole words.
 *
 * In: lanes of any type. Out: 32-bit words, little endian, lane 0 first.
 */
#include "spirv_emit.h"

typedef uint32_t value;

static size_t
bytes_of(krs_dtype dtype)
{
    size_t bytes = 1;
    krs_dtype_bytes(dtype, 1, &bytes);
    return bytes;
}

/* A lane in the low bits of a word, all others zero. */
static value
low_bits(krsi_spv_emit *e, krs_dtype dtype, value lane)
{
    krsi_spv *m = e->m;
    if (dtype == KRS_F32)
        return krsi_spv_as_bits(e, lane);
    if (dtype == KRS_BOOL)
        return krsi_spv_convert(e, KRS_U8, KRS_BOOL, lane);
    if (dtype == KRS_I8)
        return krsi_spv_word_number(e, SpvOpBitwiseAnd, lane, 0xff);
    (void)m;
    return lane;
}

size_t
krsi_spv_to_words(krsi_spv_emit *e, krs_dtype dtype, const uint32_t *lanes,
                  size_t count, uint32_t *words)
{
    krsi_spv *m = e->m;
    size_t size = bytes_of(dtype), used = 0;
    if (dtype == KRS_I64) {
        uint32_t word = krsi_spv_uint(m, 32);
        uint32_t pair = krsi_spv_vector(m, word, 2);
        for (size_t i = 0; i < count; i++) {
            value both = e->target->has_wide
                             ? krsi_spv_value(m, SpvOpBitcast, pair, lanes[i])
                             : lanes[i];
            for (uint32_t half = 0; half < 2; half++)
                words[used++] =
                    krsi_spv_value(m, SpvOpCompositeExtract, word, both, half);
        }
        return used;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t bit = (uint32_t)(i * size % 4 * 8);
        value bits = low_bits(e, dtype, lanes[i]);
        if (bit)
            words[used - 1] = krsi_spv_word_op(
                e, SpvOpBitwiseOr, words[used - 1],
                krsi_spv_word_number(e, SpvOpShiftLeftLogical, bits, bit));
        else
            words[used++] = bits;
    }
    return used;
}

/* Bits of a word as a lane. */
static value
lane_of(krsi_spv_emit *e, krs_dtype dtype, value word, uint32_t bit,
        uint32_t bits)
{
    krsi_spv *m = e->m;
    if (dtype == KRS_F32)
        return krsi_spv_as_float(e, word);
    if (dtype == KRS_I32)
        return word;
    value lane = krsi_spv_value(
        m, dtype == KRS_I8 ? SpvOpBitFieldSExtract : SpvOpBitFieldUExtract,
        krsi_spv_uint(m, 32), word, krsi_spv_u32(m, bit),
        krsi_spv_u32(m, bits));
    return dtype == KRS_BOOL ? krsi_spv_convert(e, KRS_BOOL, KRS_U8, lane)
                             : lane;
}

void
krsi_spv_from_words(krsi_spv_emit *e, krs_dtype dtype, const uint32_t *words,
                    size_t count, uint32_t *lanes)
{
    krsi_spv *m = e->m;
    size_t size = bytes_of(dtype);
    for (size_t i = 0; i < count; i++) {
        if (dtype == KRS_I64) {
            uint32_t pair = krsi_spv_vector(m, krsi_spv_uint(m, 32), 2);
            value both = krsi_spv_value(m, SpvOpCompositeConstruct, pair,
                                        words[2 * i], words[2 * i + 1]);
            lanes[i] = e->target->has_wide
                           ? krsi_spv_value(m, SpvOpBitcast,
                                            krsi_spv_uint(m, 64), both)
                           : both;
        } else {
            lanes[i] =
                lane_of(e, dtype, words[i * size / 4],
                        (uint32_t)(i * size % 4 * 8), (uint32_t)size * 8);
        }
    }
}
