/* test_compare.c -- the comparator finds every fault that was planted, and
 * finds none where there is none.
 *
 * Each planted fault starts from two equal tensors that pass, so that a
 * refusal is the fault's and not the setting's.
 */
#include "suite.h"

#include <krs/check.h>

#include <math.h>
#include <string.h>

enum { ROWS = 64, COLUMNS = 64, COUNT = ROWS * COLUMNS };

static const krs_tolerance CLOSE = {.rtol = 1e-5, .atol = 1e-6};
static const krs_tolerance EXACT = {0};

static float got_data[COUNT], want_data[COUNT];
static krs_view got, want;

/* two equal f32[64,64] */
static void
fill(void)
{
    for (int i = 0; i < COUNT; i++)
        got_data[i] = want_data[i] = (float)sin(0.37 * i + 0.1) * 3;
    got = (krs_view){KRS_F32, KRS_SHAPE(ROWS, COLUMNS), got_data,
                     sizeof got_data};
    want = (krs_view){KRS_F32, KRS_SHAPE(ROWS, COLUMNS), want_data,
                      sizeof want_data};
}

static krs_comparison
compare(krs_tolerance t, krs_status expected)
{
    krs_comparison r;
    krs_error err = {0};
    krs_status status = krs_compare(&got, &want, NULL, t, &r, &err);
    ck_assert_msg(status == expected, "%s: %s", krs_status_name(status),
                  err.text);
    ck_assert_int_eq(r.passed, expected == KRS_OK);
    if (expected != KRS_OK)
        ck_assert_uint_gt(strlen(err.text), 0);
    return r;
}

/* Clean tensors pass, then one element is set and must be found. */
static void
plant(int at, float got_value, float want_value)
{
    fill();
    compare(CLOSE, KRS_OK);
    got_data[at] = got_value;
    want_data[at] = want_value;
    krs_comparison r = compare(CLOSE, KRS_E_CHECK);
    ck_assert_int_eq(r.worst, at);
    ck_assert_int_eq(r.failing, 1);
    ck_assert_int_eq(r.counted, COUNT);
    ck_assert_double_gt(r.ratio, 1);
    compare(EXACT, KRS_E_CHECK);
}

START_TEST(one_element_off_among_4096_is_found)
{
    plant(COUNT - 1, 1.001F, 1.0F);
    plant(0, 1.001F, 1.0F);
    plant(2049, 0.0F, 3e-6F);
}
END_TEST

START_TEST(a_nan_for_a_number_is_found)
{
    plant(1234, NAN, 1.0F);
    plant(17, NAN, 0.0F);
    plant(17, NAN, INFINITY);
}
END_TEST

START_TEST(a_number_for_a_nan_is_found)
{
    plant(1234, 1.0F, NAN);
    plant(1234, INFINITY, NAN);
}
END_TEST

START_TEST(an_infinity_of_the_wrong_sign_is_found)
{
    plant(5, INFINITY, -INFINITY);
    plant(5, -INFINITY, INFINITY);
}
END_TEST

START_TEST(an_infinity_for_the_largest_number_and_back_is_found)
{
    plant(5, INFINITY, 3.4028235e38F);
    plant(5, 3.4028235e38F, INFINITY);
}
END_TEST

START_TEST(two_swapped_elements_are_found)
{
    fill();
    float kept = got_data[7];
    got_data[7] = got_data[8];
    got_data[8] = kept;
    krs_comparison r = compare(CLOSE, KRS_E_CHECK);
    ck_assert_int_eq(r.failing, 2);
}
END_TEST

START_TEST(a_transposed_shape_is_found)
{
    fill();
    got.shape = KRS_SHAPE(COLUMNS / 2, ROWS * 2);
    compare(CLOSE, KRS_E_CHECK);
    got.shape = KRS_SHAPE(COUNT);
    compare(CLOSE, KRS_E_CHECK);
    got.shape = KRS_SHAPE(ROWS, COLUMNS, 1);
    compare(CLOSE, KRS_E_CHECK);
    got.shape = KRS_SCALAR;
    compare(CLOSE, KRS_E_CHECK);
}
END_TEST

START_TEST(transposed_elements_are_found)
{
    fill();
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++)
            got_data[j * ROWS + i] = want_data[i * COLUMNS + j];
    compare(CLOSE, KRS_E_CHECK);
}
END_TEST

START_TEST(a_missing_tail_is_found)
{
    fill();
    got.bytes -= sizeof *got_data;
    compare(CLOSE, KRS_E_CHECK);
    got.bytes = 0;
    compare(CLOSE, KRS_E_CHECK);
}
END_TEST

START_TEST(the_tolerance_ends_where_it_says)
{
    /* exact in binary: 0.5 + 0.25 * 4 = 1.5 */
    krs_tolerance t = {.rtol = 0.25, .atol = 0.5};
    fill();
    want_data[9] = -4;
    got_data[9] = -5.5F;
    krs_comparison r = compare(t, KRS_OK);
    ck_assert_int_eq(r.worst, 9);
    ck_assert_double_eq(r.ratio, 1);
    got_data[9] = nextafterf(-5.5F, -6);
    compare(t, KRS_E_CHECK);
    got_data[9] = nextafterf(-2.5F, 0);
    compare(t, KRS_E_CHECK);
}
END_TEST

START_TEST(the_relative_part_follows_what_is_wanted)
{
    /* 2 is within 0.6 of 4 relative to 4, 4 is not within 0.6 of 2 */
    krs_tolerance t = {.rtol = 0.6};
    fill();
    want_data[3] = 4;
    got_data[3] = 2;
    compare(t, KRS_OK);
    want_data[3] = 2;
    got_data[3] = 4;
    compare(t, KRS_E_CHECK);
}
END_TEST

START_TEST(a_result_of_zeros_is_found)
{
    fill();
    memset(got_data, 0, sizeof got_data);
    krs_comparison r = compare(CLOSE, KRS_E_CHECK);
    ck_assert_int_gt(r.failing, COUNT / 2);
}
END_TEST

START_TEST(a_result_of_nans_is_found)
{
    fill();
    for (int i = 0; i < COUNT; i++)
        got_data[i] = NAN;
    krs_comparison r = compare(CLOSE, KRS_E_CHECK);
    ck_assert_int_eq(r.failing, COUNT);
    ck_assert_double_eq(r.ratio, INFINITY);
}
END_TEST

START_TEST(another_element_type_is_found)
{
    fill();
    got.dtype = KRS_I32;
    compare(CLOSE, KRS_E_CHECK);
    int32_t ints[COUNT];
    for (int i = 0; i < COUNT; i++) {
        ints[i] = i;
        want_data[i] = (float)i;
    }
    got.data = ints;
    compare(CLOSE, KRS_E_CHECK);
}
END_TEST

START_TEST(rows_off_by_one_are_found)
{
    fill();
    memmove(got_data, got_data + COLUMNS,
            sizeof got_data - COLUMNS * sizeof *got_data);
    compare(CLOSE, KRS_E_CHECK);
}
END_TEST

START_TEST(a_repeated_row_is_found)
{
    fill();
    memcpy(got_data + COLUMNS, got_data, COLUMNS * sizeof *got_data);
    krs_comparison r = compare(CLOSE, KRS_E_CHECK);
    ck_assert_int_le(r.failing, COLUMNS);
    ck_assert_int_ge(r.worst, COLUMNS);
    ck_assert_int_lt(r.worst, 2 * COLUMNS);
}
END_TEST

START_TEST(a_flipped_sign_is_found)
{
    plant(100, -1.0F, 1.0F);
    plant(100, 1e-3F, -1e-3F);
}
END_TEST

START_TEST(one_bit_is_found_when_bits_are_asked_for)
{
    fill();
    compare(EXACT, KRS_OK);
    got_data[40] = nextafterf(want_data[40], 10);
    compare(CLOSE, KRS_OK);
    krs_comparison r = compare(EXACT, KRS_E_CHECK);
    ck_assert_int_eq(r.worst, 40);
}
END_TEST

START_TEST(zeros_differ_in_sign_only_when_asked)
{
    krs_tolerance signs = CLOSE;
    signs.signed_zeros = true;
    for (int negative = 0; negative <= 1; negative++) {
        fill();
        got_data[0] = negative ? -0.0F : 0.0F;
        want_data[0] = negative ? 0.0F : -0.0F;
        compare(CLOSE, KRS_OK);
        compare(signs, KRS_E_CHECK);
        compare(EXACT, KRS_E_CHECK);
        want_data[0] = got_data[0];
        compare(signs, KRS_OK);
        compare(EXACT, KRS_OK);
    }
}
END_TEST

START_TEST(nan_and_infinities_match_their_own_kind)
{
    fill();
    got_data[1] = want_data[1] = NAN;
    got_data[2] = want_data[2] = INFINITY;
    got_data[3] = want_data[3] = -INFINITY;
    uint32_t other_nan = 0xFFC12345;
    memcpy(&got_data[1], &other_nan, sizeof other_nan);
    compare(CLOSE, KRS_OK);
    compare(EXACT, KRS_OK);
}
END_TEST

START_TEST(nothing_compares_equal_to_nothing)
{
    got = want = (krs_view){KRS_F32, KRS_SHAPE(3, 0, 5), NULL, 0};
    krs_comparison r = compare(EXACT, KRS_OK);
    ck_assert_int_eq(r.counted, 0);
    ck_assert_int_eq(r.worst, -1);
    got.shape = KRS_SHAPE(0, 3, 5);
    compare(EXACT, KRS_E_CHECK);
}
END_TEST

START_TEST(integers_are_compared_exactly)
{
    int64_t a[2] = {INT64_MAX, -7}, b[2] = {INT64_MAX, -7};
    got = (krs_view){KRS_I64, KRS_SHAPE(2), a, sizeof a};
    want = (krs_view){KRS_I64, KRS_SHAPE(2), b, sizeof b};
    compare(EXACT, KRS_OK);
    a[0]--; /* equal as doubles */
    krs_comparison r = compare(EXACT, KRS_E_CHECK);
    ck_assert_int_eq(r.worst, 0);
}
END_TEST

START_TEST(half_types_are_compared_by_value)
{
    uint16_t a[3] = {0x3F80, 0x7FC0, 0x4000}, b[3] = {0x3F80, 0xFFC1, 0x4001};
    got = (krs_view){KRS_BF16, KRS_SHAPE(3), a, sizeof a};
    want = (krs_view){KRS_BF16, KRS_SHAPE(3), b, sizeof b};
    krs_tolerance t = {.rtol = 0.01};
    compare(t, KRS_OK);
    krs_comparison r = compare(EXACT, KRS_E_CHECK);
    ck_assert_int_eq(r.worst, 2);
    ck_assert_int_eq(r.failing, 1);
}
END_TEST

START_TEST(a_mask_excuses_only_what_it_names)
{
    static uint8_t rows[ROWS];
    krs_view mask = {KRS_BOOL, KRS_SHAPE(ROWS), rows, sizeof rows};
    krs_comparison r;
    memset(rows, 1, sizeof rows);
    rows[5] = 0;
    fill();
    for (int j = 0; j < COLUMNS; j++)
        got_data[5 * COLUMNS + j] = NAN;
    ck_assert_int_eq(krs_compare(&got, &want, &mask, CLOSE, &r, NULL), KRS_OK);
    ck_assert_int_eq(r.counted, COUNT - COLUMNS);
    /* one row on either side must not be excused */
    for (int side = -1; side <= 1; side += 2) {
        int64_t at = 5 * COLUMNS + (side < 0 ? -1 : COLUMNS);
        float kept = got_data[at];
        got_data[at] = 9;
        ck_assert_int_eq(krs_compare(&got, &want, &mask, CLOSE, &r, NULL),
                         KRS_E_CHECK);
        ck_assert_int_eq(r.worst, at);
        got_data[at] = kept;
    }
    /* turned around it points at the fault */
    for (int i = 0; i < ROWS; i++)
        rows[i] = i == 5;
    ck_assert_int_eq(krs_compare(&got, &want, &mask, CLOSE, &r, NULL),
                     KRS_E_CHECK);
    ck_assert_int_eq(r.counted, COLUMNS);
}
END_TEST

START_TEST(a_mask_that_fits_wrongly_is_refused)
{
    static uint8_t data[COUNT];
    memset(data, 1, sizeof data);
    krs_shape row = KRS_SHAPE(ROWS), shorter = KRS_SHAPE(ROWS - 1);
    krs_shape flat = KRS_SHAPE(COUNT), deeper = KRS_SHAPE(ROWS, COLUMNS, 1);
    krs_view bad[] = {
        {KRS_BOOL, shorter, data, ROWS - 1},
        {KRS_BOOL, row,     data, ROWS - 1},
        {KRS_U8,   row,     data, ROWS    },
        {KRS_BOOL, flat,    data, COUNT   },
        {KRS_BOOL, deeper,  data, COUNT   },
    };
    fill();
    krs_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        krs_comparison r;
        ck_assert_int_eq(krs_compare(&got, &want, &bad[i], CLOSE, &r, &err),
                         KRS_E_ARGUMENT);
        ck_assert(!r.passed);
    }
    /* a mask of nothing would let everything pass */
    krs_view none = {KRS_BOOL, KRS_SHAPE(ROWS), data, ROWS};
    memset(data, 0, sizeof data);
    krs_comparison r;
    ck_assert_int_eq(krs_compare(&got, &want, &none, CLOSE, &r, &err),
                     KRS_E_ARGUMENT);
    ck_assert(!r.passed);
}
END_TEST

START_TEST(a_tolerance_that_is_no_number_is_refused)
{
    krs_tolerance bad[] = {{.rtol = NAN},
                           {.atol = NAN},
                           {.atol = INFINITY},
                           {.rtol = INFINITY},
                           {.atol = -1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fill();
        compare(bad[i], KRS_E_ARGUMENT);
    }
}
END_TEST

START_TEST(block_types_and_wrong_sizes_are_refused)
{
    fill();
    want.bytes--;
    compare(CLOSE, KRS_E_ARGUMENT);
    fill();
    want.dtype = got.dtype = KRS_Q8_0;
    compare(CLOSE, KRS_E_DTYPE);
}
END_TEST

START_TEST(the_message_names_the_worst_element)
{
    fill();
    got_data[3 * COLUMNS + 2] = 1.5F;
    want_data[3 * COLUMNS + 2] = 1.0F;
    krs_error err;
    krs_tolerance t = {.atol = 0.25};
    ck_assert_int_eq(krs_compare(&got, &want, NULL, t, NULL, &err),
                     KRS_E_CHECK);
    ck_assert_str_eq(err.text,
                     "1 of 4096 elements differ; worst at [3,2]: got 1.5, "
                     "want 1, 2 times the tolerance");
}
END_TEST

SUITE(one_element_off_among_4096_is_found, a_nan_for_a_number_is_found,
      a_number_for_a_nan_is_found, an_infinity_of_the_wrong_sign_is_found,
      an_infinity_for_the_largest_number_and_back_is_found,
      two_swapped_elements_are_found, a_transposed_shape_is_found,
      transposed_elements_are_found, a_missing_tail_is_found,
      the_tolerance_ends_where_it_says,
      the_relative_part_follows_what_is_wanted, a_result_of_zeros_is_found,
      a_result_of_nans_is_found, another_element_type_is_found,
      rows_off_by_one_are_found, a_repeated_row_is_found,
      a_flipped_sign_is_found, one_bit_is_found_when_bits_are_asked_for,
      zeros_differ_in_sign_only_when_asked,
      nan_and_infinities_match_their_own_kind,
      nothing_compares_equal_to_nothing, integers_are_compared_exactly,
      half_types_are_compared_by_value, a_mask_excuses_only_what_it_names,
      a_mask_that_fits_wrongly_is_refused,
      a_tolerance_that_is_no_number_is_refused,
      block_types_and_wrong_sizes_are_refused,
      the_message_names_the_worst_element)
