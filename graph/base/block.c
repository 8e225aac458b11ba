/* block.c -- block-quantised weights as numbers and back (block.h).
 *
 * In: blocks as they lie in GGUF files. Out: f32, or blocks. Invariant: every
 * product and sum is rounded once, in the order written here, which is that of
 * the format's reference: no contraction (the build forbids it).
 *
 * The formats with 32 elements hold d as f16, m as f16 where there is one, the
 * fifth bits of q where there are (bit j for element j), then the nibbles:
 * byte j has element j in its low half and element j + 16 in its high half.
 * The K formats hold 256 elements in groups of 16 or 32 with small integer
 * scales of their own. Each is said once, in its reader; a test compares all
 * with what the reference gave for random blocks.
 */
#include "base.h"

#include <krs/block.h>

#include <math.h>
#include <string.h>

enum { SMALL = 32, LARGE = KRS_BLOCK_ELEMENTS };

static float
half_at(const uint8_t *bytes)
{
    return krsi_f16_to_float((uint16_t)(bytes[0] | bytes[1] << 8));
}

static void
put_half(uint8_t *bytes, float value)
{
    uint16_t bits = krsi_f16_from_double((double)value);
    bytes[0] = (uint8_t)(bits & 255);
    bytes[1] = (uint8_t)(bits >> 8);
}

static int
nibble(const uint8_t *bytes, int j)
{
    return j < SMALL / 2 ? bytes[j] & 15 : bytes[j - SMALL / 2] >> 4;
}

static int
bit(const uint8_t *bytes, int j)
{
    return bytes[j / 8] >> (j % 8) & 1;
}

/* ---- 32 elements ---- */

static void
read_Q4_0(const uint8_t *b, float *x)
{
    float d = half_at(b);
    for (int j = 0; j < SMALL; j++)
        x[j] = d * (float)(nibble(b + 2, j) - 8);
}

static void
read_Q4_1(const uint8_t *b, float *x)
{
    float d = half_at(b), m = half_at(b + 2);
    for (int j = 0; j < SMALL; j++)
        x[j] = d * (float)nibble(b + 4, j) + m;
}

static void
read_Q5_0(const uint8_t *b, float *x)
{
    float d = half_at(b);
    for (int j = 0; j < SMALL; j++)
        x[j] = d * (float)((nibble(b + 6, j) | bit(b + 2, j) << 4) - 16);
}

static void
read_Q5_1(const uint8_t *b, float *x)
{
    float d = half_at(b), m = half_at(b + 2);
    for (int j = 0; j < SMALL; j++)
        x[j] = d * (float)(nibble(b + 8, j) | bit(b + 4, j) << 4) + m;
}

static void
read_Q8_0(const uint8_t *b, float *x)
{
    float d = half_at(b);
    for (int j = 0; j < SMALL; j++)
        x[j] = (float)(int8_t)b[2 + j] * d;
}

/* ---- 256 elements ---- */

/* Two bits of element e: byte e % 32 of its half holds four of them. */
static int
pair_of_bits(const uint8_t *bytes, int e)
{
    return bytes[e / 128 * 32 + e % 32] >> (e % 128 / 32 * 2) & 3;
}

/* scales and minima [16], two bits of q [64], d, m */
static void
read_Q2_K(const uint8_t *b, float *x)
{
    const uint8_t *bits = b + 16;
    float d = half_at(b + 80), m = half_at(b + 82);
    for (int e = 0; e < LARGE; e++) {
        float scale = d * (float)(b[e / 16] & 15);
        float least = m * (float)(b[e / 16] >> 4);
        x[e] = scale * (float)pair_of_bits(bits, e) - least;
    }
}

/* third bits of q [32], two bits of q [64], scales [12], d. Of scale k, the
 * low four bits lie in byte k % 8, the high two in byte 8 + k % 4. */
static void
read_Q3_K(const uint8_t *b, float *x)
{
    const uint8_t *bits = b + 32, *scales = b + 96;
    float d = half_at(b + 108);
    for (int e = 0; e < LARGE; e++) {
        int k = e / 16;
        int low = scales[k % 8] >> (k / 8 * 4) & 15;
        int high = scales[8 + k % 4] >> (k / 4 * 2) & 3;
        float scale = d * (float)((low | high << 4) - 32);
        int third = b[e % 32] >> (e / 32) & 1;
        x[e] = scale * (float)(pair_of_bits(bits, e) - (third ? 0 : 4));
    }
}

/* Scale and minimum of group g of 8, six bits each, in 12 bytes: four of
 * both in the low bits of bytes 0 to 7, the rest in bytes 8 to 11 with their
 * upper two bits in the upper two of bytes 0 to 7. */
static void
six_bits(const uint8_t *s, int g, float *scale, float *least)
{
    if (g < 4) {
        *scale = (float)(s[g] & 63);
        *least = (float)(s[g + 4] & 63);
    } else {
        *scale = (float)((s[g + 4] & 15) | (s[g - 4] >> 2 & 48));
        *least = (float)(s[g + 4] >> 4 | (s[g] >> 2 & 48));
    }
}

/* Four bits of element e: two groups of 32 share 32 bytes. */
static int
four_bits(const uint8_t *bytes, int e)
{
    return bytes[e / 64 * 32 + e % 32] >> (e % 64 / 32 * 4) & 15;
}

/* d, m, scales and minima [12], then q: fifth bits [32] if there are any,
 * nibbles [128] */
static void
read_4_or_5(const uint8_t *b, const uint8_t *fifth, const uint8_t *nibbles,
            float *x)
{
    float d = half_at(b), m = half_at(b + 2), scale = 0, least = 0;
    for (int e = 0; e < LARGE; e++) {
        if (e % 32 == 0) {
            six_bits(b + 4, e / 32, &scale, &least);
            scale = d * scale;
            least = m * least;
        }
        int q = four_bits(nibbles, e);
        if (fifth)
            q |= (fifth[e % 32] >> (e / 32) & 1) << 4;
        x[e] = scale * (float)q - least;
    }
}

static void
read_Q4_K(const uint8_t *b, float *x)
{
    read_4_or_5(b, NULL, b + 16, x);
}

static void
read_Q5_K(const uint8_t *b, float *x)
{
    read_4_or_5(b, b + 16, b + 48, x);
}

/* four bits of q [128], two bits of q [64], signed scales [16], d */
static void
read_Q6_K(const uint8_t *b, float *x)
{
    const uint8_t *bits = b + 128, *scales = b + 192;
    float d = half_at(b + 208);
    for (int e = 0; e < LARGE; e++) {
        float scale = d * (float)(int8_t)scales[e / 16];
        int low = b[e / 128 * 64 + e % 64] >> (e % 128 / 64 * 4) & 15;
        x[e] = scale * (float)((low | pair_of_bits(bits, e) << 4) - 32);
    }
}

/* ---- writing ---- */

/* The first element of largest magnitude; NaN if one is not finite. */
static float
extreme(const float *x)
{
    float most = 0;
    for (int j = 0; j < SMALL; j++) {
        if (!isfinite(x[j]))
            return NAN;
        if (fabsf(x[j]) > fabsf(most))
            most = x[j];
    }
    return most;
}

/* 1 / d; 0 where d is so small that the quotient is not finite: all of the
 * block is 0 then, in f16 as in f32. */
static float
inverse(float d)
{
    float id = d == 0 ? 0 : 1 / d;
    return isfinite(id) ? id : 0;
}

static bool
write_Q8_0(const float *x, uint8_t *b)
{
    float d = fabsf(extreme(x)) / 127, id = inverse(d);
    if (!(d < 65520))
        return false;
    put_half(b, d);
    for (int j = 0; j < SMALL; j++)
        b[2 + j] = (uint8_t)(int8_t)roundf(x[j] * id);
    return true;
}

static bool
write_Q4_0(const float *x, uint8_t *b)
{
    float d = extreme(x) / -8, id = inverse(d);
    if (!(fabsf(d) < 65520))
        return false;
    put_half(b, d);
    for (int j = 0; j < SMALL; j++) {
        float shifted = x[j] * id + 8.5F;
        int q = shifted < 15 ? (int)shifted : 15;
        if (j < SMALL / 2)
            b[2 + j] = (uint8_t)q;
        else
            b[2 + j - SMALL / 2] |= (uint8_t)(q << 4);
    }
    return true;
}

/* What is only read has no writer. */
#define write_Q4_1 NULL
#define write_Q5_0 NULL
#define write_Q5_1 NULL
#define write_Q2_K NULL
#define write_Q3_K NULL
#define write_Q4_K NULL
#define write_Q5_K NULL
#define write_Q6_K NULL

static const struct format {
    const char *name;
    size_t elements, bytes;
    void (*read)(const uint8_t *block, float *out);
    bool (*write)(const float *values, uint8_t *out);
} formats[] = {
#define ROW(NAME, elements, bytes, kind) \
    {#NAME, elements, bytes, read_##NAME, write_##NAME},
    KRS_BLOCK_LIST(ROW)
#undef ROW
};

bool
krs_dtype_block(krs_dtype dtype, krs_block *out)
{
    switch (dtype) {
    case KRS_Q8_0: *out = KRS_BLOCK_Q8_0; return true;
    case KRS_Q4_0: *out = KRS_BLOCK_Q4_0; return true;
    case KRS_Q4_1: *out = KRS_BLOCK_Q4_1; return true;
    case KRS_F32:
    case KRS_BF16:
    case KRS_F16:
    case KRS_I64:
    case KRS_I32:
    case KRS_I8:
    case KRS_U8:
    case KRS_BOOL:
    case KRS_DTYPE_COUNT: break;
    }
    return false;
}

void
krs_block_read(krs_block format, const void *blocks, size_t count, float *out)
{
    const struct format *f = &formats[format];
    for (size_t i = 0; i < count; i++)
        f->read((const uint8_t *)blocks + i * f->bytes, out + i * f->elements);
}

bool
krs_block_writes(krs_block format)
{
    return (unsigned)format < KRS_BLOCK_COUNT && formats[format].write;
}

krs_status
krs_block_write(krs_block format, const float *values, size_t count, void *out,
                krs_error *err)
{
    if (!krs_block_writes(format))
        return krs_fail(
            err, KRS_E_DTYPE,
            "block: there is no writer of %s; Q8_0 and Q4_0 are "
            "written",
            (unsigned)format < KRS_BLOCK_COUNT ? formats[format].name : "?");
    const struct format *f = &formats[format];
    for (size_t i = 0; i < count; i++)
        if (!f->write(values + i * f->elements, (uint8_t *)out + i * f->bytes))
            return krs_fail(err, KRS_E_RANGE,
                            "block: %s: elements %zu to %zu hold one that is "
                            "not finite, or too large for a scale in f16",
                            f->name, i * f->elements,
                            (i + 1) * f->elements - 1);
    return KRS_OK;
}
