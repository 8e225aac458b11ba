/* test_stored.c -- values of the types of weight files: each 8-bit code,
 * each conversion, one rounding. */
#include "graph/base/base.h"
#include "models/load/stored.h"
#include "suite.h"

#include <math.h>
#include <string.h>

static bool
same_double(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && !signbit(a) == !signbit(b));
}

START_TEST(the_list_gives_names_sizes_and_twins)
{
    krs_stored stored;
    krs_dtype dtype;
    for (int s = 0; s < KRS_STORED_COUNT; s++) {
        const char *name = krs_stored_name((krs_stored)s);
        krs_block format;
        size_t bytes = 0;
        if (krs_stored_block((krs_stored)s, &format)) {
            /* no name of a file's; its numbers are those of the block */
            stored = (krs_stored)s;
            ck_assert(!krsi_stored_parse(name, &stored));
            ck_assert_ptr_null(strstr(krsi_stored_names(), name));
            ck_assert_uint_gt(krs_stored_elements(stored), 1);
            ck_assert(krs_stored_converts(stored, KRS_BF16));
            ck_assert(!krs_stored_converts(stored, KRS_I8));
        } else {
            ck_assert(krsi_stored_parse(name, &stored));
            ck_assert_int_eq((int)stored, s);
            ck_assert_ptr_nonnull(strstr(krsi_stored_names(), name));
            ck_assert_uint_eq(krs_stored_elements(stored), 1);
        }
        if (krs_stored_dtype(stored, &dtype)) {
            ck_assert(krs_dtype_bytes(
                dtype, (int64_t)krs_stored_elements(stored), &bytes));
            ck_assert_uint_eq(bytes, krs_stored_bytes(stored));
            ck_assert(krs_stored_converts(stored, dtype));
        }
    }
    ck_assert(!krsi_stored_parse("f32", &stored));
    ck_assert(!krsi_stored_parse("", &stored));
    ck_assert_str_eq(krs_stored_name((krs_stored)99), "?");
    ck_assert_uint_eq(krs_stored_bytes((krs_stored)-1), 0);
    ck_assert(!krs_stored_converts(KRS_STORED_F32, KRS_I64));
    ck_assert(!krs_stored_converts(KRS_STORED_F32, KRS_Q8_0));
    ck_assert(!krs_stored_converts(KRS_STORED_C64, KRS_F32));
    ck_assert(krs_stored_converts(KRS_STORED_F8_E5M2, KRS_BF16));
    ck_assert(krs_stored_converts(KRS_STORED_U16, KRS_BOOL));
}
END_TEST

START_TEST(blocks_convert_like_the_f32_they_stand_for)
{
    /* q8_0 with scale 1: elements -16 to 15, the bytes of an i8 */
    uint8_t blocks[3 * 34];
    float wide[96];
    uint16_t half[96];
    double values[64];
    for (int b = 0; b < 3; b++) {
        blocks[b * 34] = 0;
        blocks[b * 34 + 1] = 0x3C;
        for (int j = 0; j < 32; j++)
            blocks[b * 34 + 2 + j] = (uint8_t)(j - 16 + b);
    }
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_Q8_0, blocks, KRS_F32, wide, 96), 96);
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_Q8_0, blocks, KRS_BF16, half, 96), 96);
    krsi_stored_doubles(KRS_STORED_Q8_0, blocks, 32, 64, values);
    for (int i = 0; i < 96; i++) {
        float want = (float)(i % 32 - 16 + i / 32);
        ck_assert(wide[i] == want);
        ck_assert(krsi_bf16_to_float(half[i]) == want);
        if (i >= 32)
            ck_assert(values[i - 32] == (double)want);
    }
    uint8_t same[3 * 34];
    krsi_stored_convert(KRS_STORED_Q8_0, blocks, KRS_Q8_0, same, 96);
    ck_assert_mem_eq(same, blocks, sizeof blocks);
}
END_TEST

START_TEST(every_e4m3_code_has_the_value_of_the_specification)
{
    /* OCP 8-bit floating point, table 2: largest 448, smallest normal 2^-6,
     * smallest subnormal 2^-9, NaN S.1111.111, no infinity */
    static const struct {
        uint8_t code;
        double value;
    } rows[] = {
        {0x00, 0             },
        {0x01, 0x1p-9        },
        {0x07, 0.875 * 0x1p-6},
        {0x08, 0x1p-6        },
        {0x38, 1             },
        {0x39, 1.125         },
        {0x40, 2             },
        {0x77, 240           },
        {0x78, 256           },
        {0x7E, 448           },
        {0x7F, NAN           },
        {0x80, -0.0          },
        {0xFE, -448          },
        {0xFF, NAN           },
        {0xB8, -1            }
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert(same_double(
            krsi_stored_double(KRS_STORED_F8_E4M3, &rows[i].code, 0),
            rows[i].value));
    uint8_t codes[256];
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)i;
    for (size_t i = 1; i < 0x7F; i++)
        ck_assert(krsi_stored_double(KRS_STORED_F8_E4M3, codes, i) >
                  krsi_stored_double(KRS_STORED_F8_E4M3, codes, i - 1));
    /* E5M2 is the upper byte of an f16 */
    for (int i = 0; i < 256; i++)
        ck_assert(same_double(
            krsi_stored_double(KRS_STORED_F8_E5M2, codes, (size_t)i),
            (double)krsi_f16_to_float((uint16_t)(i << 8))));
    /* E8M0: powers of two, no zero, no sign */
    for (int i = 0; i < 255; i++)
        ck_assert(krsi_stored_double(KRS_STORED_F8_E8M0, codes, (size_t)i) ==
                  pow(2, i - 127));
    ck_assert(isnan(krsi_stored_double(KRS_STORED_F8_E8M0, codes, 255)));
}
END_TEST

START_TEST(eight_bit_floats_convert_to_f32_exactly)
{
    uint8_t codes[600];
    float out[600];
    for (size_t i = 0; i < 600; i++)
        codes[i] = (uint8_t)i;
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_F8_E4M3, codes, KRS_F32, out, 600), 600);
    for (size_t i = 0; i < 600; i++)
        ck_assert(same_double(
            (double)out[i], krsi_stored_double(KRS_STORED_F8_E4M3, codes, i)));
}
END_TEST

/* xorshift64*, seed printed by its value here: 88172645463325252 */
static uint64_t
next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

START_TEST(f64_is_rounded_once_to_each_float_type)
{
    enum { N = 100000 };
    uint64_t state = UINT64_C(88172645463325252);
    double *values = malloc(N * sizeof *values);
    uint16_t *halves = malloc(N * sizeof *halves);
    float *singles = malloc(N * sizeof *singles);
    for (size_t i = 0; i < N; i++) {
        /* exponents around the ranges of f16 and bf16; mantissas that lie on
         * or a hair beside a tie */
        int exponent = i % 2 ? (int)(next(&state) % 60) - 30
                             : (int)(next(&state) % 300) - 150;
        uint64_t top = next(&state) % 4096 + 4096;
        double nudge = (double)((int)(next(&state) % 3) - 1) * 0x1p-36;
        values[i] = ldexp((double)top + nudge, exponent - 12);
        if (next(&state) % 2)
            values[i] = -values[i];
    }
    values[0] = NAN;
    values[1] = -INFINITY;
    values[2] = 1e308;
    values[3] = -0.0;
    values[4] = 4.9e-324;
    values[5] = 1 + 0x1p-8 + 0x1p-40; /* f32 would make it a tie of bf16 */
    krsi_stored_convert(KRS_STORED_F64, values, KRS_BF16, halves, N);
    for (size_t i = 0; i < N; i++)
        ck_assert_msg(same_double((double)krsi_bf16_to_float(halves[i]),
                                  (double)krsi_bf16_to_float(
                                      krsi_bf16_from_double(values[i]))),
                      "bf16 of %a", values[i]);
    ck_assert_uint_eq(halves[5], 0x3F81);
    krsi_stored_convert(KRS_STORED_F64, values, KRS_F16, halves, N);
    for (size_t i = 0; i < N; i++)
        ck_assert_msg(same_double((double)krsi_f16_to_float(halves[i]),
                                  (double)krsi_f16_to_float(
                                      krsi_f16_from_double(values[i]))),
                      "f16 of %a", values[i]);
    krsi_stored_convert(KRS_STORED_F64, values, KRS_F32, singles, N);
    for (size_t i = 0; i < N; i++)
        ck_assert(same_double((double)singles[i], (double)(float)values[i]));
    free(values);
    free(halves);
    free(singles);
}
END_TEST

START_TEST(sixteen_bit_floats_widen_exactly)
{
    uint16_t codes[256];
    float out[256];
    for (uint32_t base = 0; base < 65536; base += 256) {
        for (uint32_t i = 0; i < 256; i++)
            codes[i] = (uint16_t)(base + i);
        krsi_stored_convert(KRS_STORED_BF16, codes, KRS_F32, out, 256);
        for (int i = 0; i < 256; i++)
            ck_assert(same_double((double)out[i],
                                  (double)krsi_bf16_to_float(codes[i])));
        krsi_stored_convert(KRS_STORED_F16, codes, KRS_F32, out, 256);
        for (int i = 0; i < 256; i++)
            ck_assert(same_double((double)out[i],
                                  (double)krsi_f16_to_float(codes[i])));
    }
}
END_TEST

START_TEST(integers_keep_their_value_or_stop_the_conversion)
{
    int64_t wide[4];
    int32_t narrow[4] = {9, 9, 9, 9};
    uint8_t bits[4];
    float reals[4];
    const int16_t i16[] = {-32768, -1, 0, 32767};
    const uint16_t u16[] = {65535, 0, 1, 2};
    const uint32_t u32[] = {UINT32_MAX, 0, 1, 2};
    const uint64_t u64[] = {INT64_MAX, 5, (uint64_t)INT64_MAX + 1, 7};
    const int64_t i64[] = {INT32_MAX, INT32_MIN, (int64_t)INT32_MAX + 1, 0};
    const uint8_t flags[] = {0, 1, 2, 255};
    const int8_t i8[] = {-128, -1, 0, 127};

    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_I16, i16, KRS_I64, wide, 4), 4);
    ck_assert_int_eq(wide[0], -32768);
    ck_assert_int_eq(wide[3], 32767);
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_U16, u16, KRS_I32, narrow, 4), 4);
    ck_assert_int_eq(narrow[0], 65535);
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_U32, u32, KRS_I64, wide, 4), 4);
    ck_assert_int_eq(wide[0], UINT32_MAX);
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_U32, u32, KRS_I32, narrow, 4), 0);
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_U64, u64, KRS_I64, wide, 4), 2);
    ck_assert_int_eq(wide[0], INT64_MAX);
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_I64, i64, KRS_I32, narrow, 4), 2);
    ck_assert_int_eq(narrow[1], INT32_MIN);
    ck_assert_uint_eq(krsi_stored_convert(KRS_STORED_I8, i8, KRS_U8, bits, 4),
                      0);
    ck_assert_uint_eq(krsi_stored_convert(KRS_STORED_I8, i8, KRS_F32, reals, 4),
                      4);
    ck_assert(reals[0] == -128 && reals[3] == 127);
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_BOOL, flags, KRS_BOOL, bits, 4), 4);
    ck_assert_mem_eq(bits, ((uint8_t[]){0, 1, 1, 1}), 4);
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_I16, i16, KRS_BOOL, bits, 4), 4);
    ck_assert_mem_eq(bits, ((uint8_t[]){1, 1, 0, 1}), 4);
    ck_assert_uint_eq(
        krsi_stored_convert(KRS_STORED_BOOL, flags, KRS_F32, reals, 4), 4);
    ck_assert(reals[0] == 0 && reals[3] == 1);
}
END_TEST

SUITE(the_list_gives_names_sizes_and_twins,
      blocks_convert_like_the_f32_they_stand_for,
      every_e4m3_code_has_the_value_of_the_specification,
      eight_bit_floats_convert_to_f32_exactly,
      f64_is_rounded_once_to_each_float_type, sixteen_bit_floats_widen_exactly,
      integers_keep_their_value_or_stop_the_conversion)
