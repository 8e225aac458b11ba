/* test_base.c -- arena, arrays, strings, element conversion, number text. */
#include "graph/base/base.h"
#include "suite.h"

#include <float.h>
#include <math.h>
#include <string.h>

START_TEST(arena_pieces_are_aligned_zeroed_and_apart)
{
    krsi_arena arena = {0};
    for (size_t bytes = 0; bytes < 3000; bytes += 7) {
        char *piece = krsi_arena_alloc(&arena, bytes);
        ck_assert_ptr_nonnull(piece);
        ck_assert_uint_eq((uintptr_t)piece % 16, 0);
        for (size_t i = 0; i < bytes; i++)
            ck_assert_int_eq(piece[i], 0);
        memset(piece, 0x5A, bytes);
    }
    ck_assert_ptr_null(krsi_arena_array(&arena, SIZE_MAX / 2, 4));
    ck_assert_ptr_null(krsi_arena_alloc(&arena, SIZE_MAX - 3));
    krsi_arena_free(&arena);
}
END_TEST

START_TEST(reserve_doubles_and_refuses_overflow)
{
    int *data = NULL;
    size_t capacity = 0;
    ck_assert(krsi_reserve(&data, &capacity, 1, sizeof *data));
    ck_assert_uint_ge(capacity, 1);
    size_t before = capacity;
    ck_assert(krsi_reserve(&data, &capacity, before + 1, sizeof *data));
    ck_assert_uint_ge(capacity, 2 * before);
    before = capacity;
    ck_assert(!krsi_reserve(&data, &capacity, SIZE_MAX / 2, sizeof *data));
    ck_assert_uint_eq(capacity, before);
    free(data);
}
END_TEST

START_TEST(strings_grow_and_format)
{
    krsi_string s = {0};
    for (int i = 0; i < 1000; i++)
        krsi_string_format(&s, "%d,", i);
    krsi_string_add(&s, "end");
    ck_assert(!s.failed);
    ck_assert_uint_eq(s.length, strlen(s.text));
    ck_assert_str_eq(s.text + s.length - 7, "999,end");
    krsi_string_free(&s);
}
END_TEST

START_TEST(every_16_bit_float_survives_the_round_trip)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float b = krsi_bf16_to_float((uint16_t)bits);
        float h = krsi_f16_to_float((uint16_t)bits);
        if (isnan(b))
            ck_assert(isnan(krsi_bf16_to_float(krsi_bf16_from_double(b))));
        else
            ck_assert_uint_eq(krsi_bf16_from_double(b), bits);
        if (isnan(h))
            ck_assert(isnan(krsi_f16_to_float(krsi_f16_from_double(h))));
        else
            ck_assert_uint_eq(krsi_f16_from_double(h), bits);
    }
}
END_TEST

START_TEST(rounding_is_to_nearest_even_between_all_neighbours)
{
    for (uint16_t bits = 0; bits < 0x7BFF; bits++) { /* finite f16 pairs */
        double low = krsi_f16_to_float(bits);
        double high = krsi_f16_to_float((uint16_t)(bits + 1));
        double middle = (low + high) / 2;
        uint16_t even = bits & 1 ? (uint16_t)(bits + 1) : bits;
        ck_assert_uint_eq(krsi_f16_from_double(middle), even);
        ck_assert_uint_eq(krsi_f16_from_double(nextafter(middle, 0)), bits);
        ck_assert_uint_eq(krsi_f16_from_double(nextafter(middle, 1e9)),
                          bits + 1);
        ck_assert_uint_eq(krsi_f16_from_double(-middle), even | 0x8000);
    }
    ck_assert_uint_eq(krsi_f16_from_double(65519), 0x7BFF);
    ck_assert_uint_eq(krsi_f16_from_double(65520), 0x7C00);
    ck_assert_uint_eq(krsi_bf16_from_double(DBL_MAX), 0x7F80);
    ck_assert_uint_eq(krsi_bf16_from_double(-1e-320), 0x8000);
    ck_assert_uint_eq(krsi_bf16_from_double(1.00390625), 0x3F80); /* tie */
    ck_assert_uint_eq(krsi_bf16_from_double(1.01171875), 0x3F82); /* tie */
}
END_TEST

START_TEST(floats_become_integers_towards_zero_and_saturate)
{
    const float in[] = {1.9f, -1.9f, 3e9f, -3e9f, NAN, INFINITY, 300, -1};
    const int32_t i32[] = {1, -1, INT32_MAX, INT32_MIN, 0, INT32_MAX, 300, -1};
    const uint8_t u8[] = {1, 0, 255, 0, 0, 255, 255, 0};
    int32_t a[8];
    uint8_t b[8];
    int64_t c[8];
    ck_assert_int_eq(krs_convert(KRS_I32, a, KRS_F32, in, 8, NULL), KRS_OK);
    ck_assert_int_eq(krs_convert(KRS_U8, b, KRS_F32, in, 8, NULL), KRS_OK);
    ck_assert_int_eq(krs_convert(KRS_I64, c, KRS_F32, in, 8, NULL), KRS_OK);
    ck_assert_mem_eq(a, i32, sizeof a);
    ck_assert_mem_eq(b, u8, sizeof b);
    ck_assert_int_eq(c[5], INT64_MAX);
    const int32_t wide[] = {257, -1, 128};
    int8_t narrow[3];
    ck_assert_int_eq(krs_convert(KRS_I8, narrow, KRS_I32, wide, 3, NULL),
                     KRS_OK);
    ck_assert_int_eq(narrow[0], 1);
    ck_assert_int_eq(narrow[1], -1);
    ck_assert_int_eq(narrow[2], -128);
}
END_TEST

START_TEST(block_types_have_sizes_but_no_elementwise_conversion)
{
    size_t bytes;
    ck_assert(krs_dtype_bytes(KRS_Q8_0, 64, &bytes));
    ck_assert_uint_eq(bytes, 68);
    ck_assert(!krs_dtype_bytes(KRS_Q8_0, 33, &bytes));
    ck_assert(!krs_dtype_bytes(KRS_I64, INT64_MAX / 2, &bytes) ||
              bytes > INT64_MAX);
    ck_assert(!krs_dtype_bytes(KRS_F32, -1, &bytes));
    krs_error err;
    ck_assert_int_eq(krs_convert(KRS_F32, NULL, KRS_Q4_0, NULL, 0, &err),
                     KRS_E_DTYPE);
    ck_assert_ptr_nonnull(strstr(err.text, "q4_0"));
}
END_TEST

START_TEST(numbers_read_back_exactly)
{
    const double values[] = {0,      -0.0,    0.1,     1e-5,     1e300, 5e-324,
                             1. / 3, DBL_MAX, 1234567, INFINITY, -2.5};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[KRSI_NUMBER_TEXT];
        const char *end;
        double back;
        ck_assert(
            krsi_parse_double(krsi_print_double(text, values[i]), &end, &back));
        ck_assert_int_eq(*end, 0);
        ck_assert_mem_eq(&back, &values[i], sizeof back);
    }
}
END_TEST

START_TEST(an_f32_is_written_with_the_digits_that_an_f32_needs)
{
    char text[KRSI_NUMBER_TEXT];
    const char *end;
    double back;
    ck_assert_str_eq(krsi_print_float(text, 0.1f), "0.1");
    ck_assert_str_eq(krsi_print_float(text, -INFINITY), "-inf");
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t bits = i * 4294967u;
        float value;
        memcpy(&value, &bits, sizeof value);
        if (isnan(value))
            continue;
        ck_assert(
            krsi_parse_double(krsi_print_float(text, value), &end, &back));
        float single = (float)back;
        ck_assert_mem_eq(&single, &value, sizeof value);
    }
}
END_TEST

START_TEST(long_error_texts_are_cut_at_a_whole_character)
{
    krs_error err;
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text);
    memcpy(long_text + KRS_ERROR_TEXT - 2, "\xC3\xA9", 2);
    long_text[1999] = 0;
    ck_assert_int_eq(krs_fail(&err, KRS_E_IO, "%s", long_text), KRS_E_IO);
    ck_assert_uint_eq(strlen(err.text), KRS_ERROR_TEXT - 2);
    ck_assert_str_eq(krs_status_name(err.status), "E_IO");
}
END_TEST

SUITE(arena_pieces_are_aligned_zeroed_and_apart,
      reserve_doubles_and_refuses_overflow, strings_grow_and_format,
      every_16_bit_float_survives_the_round_trip,
      rounding_is_to_nearest_even_between_all_neighbours,
      floats_become_integers_towards_zero_and_saturate,
      block_types_have_sizes_but_no_elementwise_conversion,
      numbers_read_back_exactly,
      an_f32_is_written_with_the_digits_that_an_f32_needs,
      long_error_texts_are_cut_at_a_whole_character)
