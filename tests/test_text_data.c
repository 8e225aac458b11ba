/* test_text_data.c -- windows of text: split, order, cursor, refusals. */
#include <krs/data.h>

#include "fault_memory.h"
#include "models/data/order.h"
#include "suite.h"
#include "temp_folder.h"

#include <math.h>
#include <sys/stat.h>

static krs_error err;

enum { T = 8 };

static krs_data_options
options(double validation)
{
    return (krs_data_options){
        .struct_size = sizeof(krs_data_options),
        .window = T,
        .validation = validation,
    };
}

/* ids 0, 1, 2, ... so that a window says where it comes from */
static krs_data *
counting(int32_t count, double validation)
{
    krs_data *data = NULL;
    krs_data_options o = options(validation);
    int32_t *ids = malloc((size_t)count * sizeof *ids);
    for (int32_t i = 0; i < count; i++)
        ids[i] = i;
    krs_status status =
        krs_data_new(ids, (size_t)count, KRS_TOKENS_I32, &o, &data, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    free(ids);
    return data;
}

START_TEST(the_shuffled_order_is_a_permutation)
{
    enum { MOST = 300 };
    for (int64_t n = 1; n <= MOST; n++)
        for (int64_t epoch = 0; epoch < 3; epoch++) {
            bool seen[MOST] = {false};
            for (int64_t i = 0; i < n; i++) {
                int64_t k = krsi_shuffled(7, epoch, n, i);
                ck_assert(k >= 0 && k < n && !seen[k]);
                seen[k] = true;
            }
        }
    int64_t huge = INT64_C(1) << 40;
    for (int64_t i = 0; i < 1000; i++) {
        int64_t k = krsi_shuffled(7, 0, huge, i);
        ck_assert(k >= 0 && k < huge);
    }
}
END_TEST

START_TEST(the_shuffled_order_is_even_and_new_each_epoch)
{
    enum { N = 10, EPOCHS = 5000 };
    int counts[N][N] = {{0}};
    int repeats = 0;
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        for (int i = 0; i < N; i++) {
            int64_t k = krsi_shuffled(1, epoch, N, i);
            counts[i][k]++;
            repeats += k == krsi_shuffled(1, epoch + 1, N, i);
        }
    /* each cell is binomial: 500 expected, deviation 21.2; six of them */
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            ck_assert_int_le(abs(counts[i][k] - EPOCHS / N), 128);
    ck_assert_int_le(abs(repeats - EPOCHS), 500);
    int same_seed = 0;
    for (int i = 0; i < 1000; i++)
        same_seed +=
            krsi_shuffled(1, 0, 1000, i) == krsi_shuffled(2, 0, 1000, i);
    ck_assert_int_le(same_seed, 10);
}
END_TEST

START_TEST(an_epoch_draws_every_window_once)
{
    krs_data *data = counting(T * 50 + 3, 0);
    int64_t in[3 * T], out[3 * T], batches = 0;
    bool seen[50] = {false};
    ck_assert_int_eq(krs_data_tokens(data), T * 50 + 3);
    ck_assert_int_eq(krs_data_windows(data), 50);
    ck_assert_int_eq(krs_data_window(data), T);
    ck_assert_int_eq(krs_data_validation_windows(data), 0);
    ck_assert_int_eq(krs_data_validation_start(data), T * 50 + 3);
    krs_data_cursor at = krs_data_start(data, 5);
    /* 50 windows in batches of 3: the 17th goes over into the next epoch */
    while (at.epoch == 0) {
        int64_t before = at.position;
        ck_assert_int_eq(krs_data_next(data, &at, 3, in, out, &err), KRS_OK);
        for (int64_t b = 0; b < 3 && before + b < 50; b++) {
            int64_t first = in[b * T];
            ck_assert_int_eq(first % T, 0);
            ck_assert(!seen[first / T]);
            seen[first / T] = true;
            for (int64_t i = 0; i < T; i++) {
                ck_assert_int_eq(in[b * T + i], first + i);
                ck_assert_int_eq(out[b * T + i], first + i + 1);
            }
        }
        batches++;
    }
    ck_assert_int_eq(batches, 17);
    ck_assert_int_eq(at.epoch, 1);
    ck_assert_int_eq(at.position, 1);
    for (int i = 0; i < 50; i++)
        ck_assert(seen[i]);
    krs_data_free(data);
}
END_TEST

START_TEST(the_parts_share_no_token_and_cut_no_window)
{
    for (int32_t count = 200; count < 260; count++) {
        krs_data *data = counting(count, 0.1);
        int64_t in[T], out[T], last = 0;
        int64_t border = krs_data_validation_start(data);
        ck_assert_int_eq(border, krs_data_windows(data) * T + 1);
        ck_assert_int_ge(count - border, (int64_t)ceil(count * 0.1));
        ck_assert_int_lt(count - border, (int64_t)ceil(count * 0.1) + T);
        krs_data_cursor at = krs_data_start(data, 3);
        while (at.epoch == 0) {
            krs_data_next(data, &at, 1, in, out, &err);
            last = out[T - 1] > last ? out[T - 1] : last;
        }
        ck_assert_int_eq(last, border - 1);
        int64_t windows = krs_data_validation_windows(data);
        ck_assert_int_eq(windows, (count - border - 1) / T);
        for (int64_t i = 0; i < windows; i++) {
            ck_assert_int_eq(krs_data_validation(data, i, 1, in, out, &err),
                             KRS_OK);
            ck_assert_int_eq(in[0], border + i * T);
            ck_assert_int_eq(out[T - 1], border + i * T + T);
        }
        ck_assert_int_eq(krs_data_validation(data, windows, 1, in, out, &err),
                         KRS_E_RANGE);
        ck_assert_int_eq(
            krs_data_validation(data, 0, windows + 1, in, out, &err),
            KRS_E_RANGE);
        ck_assert_int_eq(krs_data_validation(data, -1, 1, in, out, &err),
                         KRS_E_RANGE);
        krs_data_free(data);
    }
}
END_TEST

START_TEST(a_cursor_saved_as_text_goes_on_with_the_same_windows)
{
    krs_data *data = counting(T * 37 + 1, 0);
    int64_t a[4 * T], a_labels[4 * T], b[4 * T], b_labels[4 * T];
    krs_data_cursor at = krs_data_start(data, -9), copy;
    char text[KRS_DATA_CURSOR_TEXT];
    for (int step = 0; step < 100; step++) {
        memset(&copy, 0xAA, sizeof copy);
        krs_data_cursor_print(&at, text);
        ck_assert_int_eq(krs_data_cursor_parse(text, &copy, &err), KRS_OK);
        ck_assert_mem_eq(&copy, &at, sizeof at);
        ck_assert_int_eq(krs_data_next(data, &at, 4, a, a_labels, &err), 0);
        ck_assert_int_eq(krs_data_next(data, &copy, 4, b, b_labels, &err), 0);
        ck_assert_mem_eq(a, b, sizeof a);
        ck_assert_mem_eq(a_labels, b_labels, sizeof a);
    }
    krs_data_cursor_print(&at, text);
    ck_assert_str_eq(text, "{\"seed\": -9, \"epoch\": 10, \"position\": 30, "
                           "\"windows\": 37, \"window\": 8}");
    krs_data_cursor widest = {INT64_MIN, INT64_MAX, INT64_MAX - 1, INT64_MAX,
                              INT64_MAX};
    krs_data_cursor_print(&widest, text);
    ck_assert_int_eq(krs_data_cursor_parse(text, &copy, &err), KRS_OK);
    ck_assert_mem_eq(&copy, &widest, sizeof copy);
    krs_data_free(data);
}
END_TEST

START_TEST(ranks_that_skip_draw_what_one_process_draws)
{
    krs_data *data = counting(T * 23 + 1, 0);
    int64_t whole[4 * T], part[2 * T], labels[4 * T];
    krs_data_cursor one = krs_data_start(data, 1), ranks[2] = {one, one};
    for (int step = 0; step < 30; step++) {
        ck_assert_int_eq(krs_data_next(data, &one, 4, whole, labels, &err), 0);
        for (int r = 0; r < 2; r++) {
            krs_data_skip(data, &ranks[r], 2 * r, &err);
            krs_data_next(data, &ranks[r], 2, part, labels, &err);
            krs_data_skip(data, &ranks[r], 2 * (1 - r), &err);
            ck_assert_mem_eq(part, whole + r * 2 * T, sizeof part);
            ck_assert_mem_eq(&ranks[r], &one, sizeof one);
        }
    }
    ck_assert_int_eq(krs_data_skip(data, &one, -1, &err), KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_data_skip(data, &one, INT64_MAX, &err),
                     KRS_E_ARGUMENT);
    krs_data_free(data);
}
END_TEST

START_TEST(cursors_of_other_data_are_refused_and_do_not_move)
{
    krs_data *data = counting(T * 20 + 1, 0), *other = counting(T * 21 + 1, 0);
    int64_t in[T], out[T];
    krs_data_cursor at = krs_data_start(other, 1), before = at;
    ck_assert_int_eq(krs_data_next(data, &at, 1, in, out, &err), KRS_E_RANGE);
    ck_assert_str_eq(err.text,
                     "data: the cursor belongs to 21 windows of 8 tokens, the "
                     "data has 20 of 8; resume with the text and window of "
                     "the first run");
    ck_assert_mem_eq(&at, &before, sizeof at);
    at = krs_data_start(data, 1);
    at.position = 20;
    ck_assert_int_eq(krs_data_next(data, &at, 1, in, out, &err), KRS_E_RANGE);
    ck_assert_str_eq(err.text,
                     "data: the cursor is at epoch 0, position 20 of 20");
    at.position = 0;
    at.epoch = -1;
    ck_assert_int_eq(krs_data_next(data, &at, 1, in, out, &err), KRS_E_RANGE);
    at = krs_data_start(data, 1);
    ck_assert_int_eq(krs_data_next(data, &at, 0, in, out, &err),
                     KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_data_next(data, &at, INT64_MAX, in, out, &err),
                     KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_data_next(data, &at, 1, NULL, out, &err),
                     KRS_E_ARGUMENT);
    krs_data_free(data);
    krs_data_free(other);
}
END_TEST

START_TEST(malformed_cursor_text_is_refused_with_its_path)
{
    krs_data_cursor c = {.epoch = 77};
    ck_assert_int_eq(krs_data_cursor_parse("{\"seed\":1}", &c, &err),
                     KRS_E_FORMAT);
    ck_assert_str_eq(err.text, "data cursor: $.epoch: is missing");
    ck_assert_int_eq(krs_data_cursor_parse("{\"seed\":1,\"epoch\":0,\"windows"
                                           "\":5,\"position\":5,\"window\":8}",
                                           &c, &err),
                     KRS_E_FORMAT);
    ck_assert_str_eq(err.text, "data cursor: $.position: expected a whole "
                               "number from 0 to 4, found 5");
    ck_assert_int_eq(krs_data_cursor_parse("", &c, &err), KRS_E_FORMAT);
    ck_assert_int_eq(krs_data_cursor_parse(NULL, &c, &err), KRS_E_ARGUMENT);
    ck_assert_int_eq(c.epoch, 77);
}
END_TEST

static krs_status
open_one(const char *name, krs_token_kind kind, const krs_data_options *o,
         krs_data **data)
{
    const char *paths[] = {temp_path(name)};
    memset(&err, 0, sizeof err);
    return krs_data_open(paths, 1, kind, o, data, &err);
}

START_TEST(files_of_each_kind_are_read_one_after_the_other)
{
    static const char text[] = "\xFFhello wo";
    static const uint16_t words[] = {9, 8, 7, 6, 5, 4, 3, 2, 65535};
    static const int32_t ids[] = {9, 8, 7, 6, 5, 4, 3, 2, INT32_MAX};
    int64_t in[T], out[T];
    krs_data_options o = options(0);
    krs_data *data = NULL;
    krs_data_cursor at;

    write_file("a", text, 4);
    write_file("b", text + 4, 5);
    const char *paths[] = {temp_path("a"), temp_path("b")};
    ck_assert_int_eq(krs_data_open(paths, 2, KRS_TOKENS_BYTES, &o, &data, &err),
                     KRS_OK);
    at = krs_data_start(data, 0);
    krs_data_next(data, &at, 1, in, out, &err);
    ck_assert_int_eq(in[0], 255);
    ck_assert_int_eq(in[4], 'l');
    ck_assert_int_eq(out[7], 'o');
    krs_data_free(data);

    write_file("c", words, sizeof words);
    ck_assert_int_eq(open_one("c", KRS_TOKENS_U16, &o, &data), KRS_OK);
    at = krs_data_start(data, 0);
    krs_data_next(data, &at, 1, in, out, &err);
    ck_assert_int_eq(in[0], 9);
    ck_assert_int_eq(out[7], 65535);
    krs_data_free(data);

    write_file("d", ids, sizeof ids);
    ck_assert_int_eq(open_one("d", KRS_TOKENS_I32, &o, &data), KRS_OK);
    at = krs_data_start(data, 0);
    krs_data_next(data, &at, 1, in, out, &err);
    ck_assert_int_eq(out[7], INT32_MAX);
    krs_data_free(data);
}
END_TEST

static void
assert_refused(const char *name, krs_token_kind kind, krs_data_options o,
               krs_status status, const char *sentence)
{
    krs_data *data = NULL;
    ck_assert_int_eq(open_one(name, kind, &o, &data), status);
    ck_assert_ptr_null(data);
    ck_assert_str_eq(err.text + strlen(temp_folder()) + 1, sentence);
}

START_TEST(files_that_give_no_window_are_refused)
{
    static const char text[] = "0123456789abcdefghij";
    static const int32_t ids[] = {1, 2, -3, 4, 5, 6, 7, 8, 9, 10};
    krs_data_options o = options(0);
    write_file("empty", "", 0);
    write_file("short", text, 8);
    write_file("text", text, 20);
    write_file("ids", ids, sizeof ids);
    assert_refused("empty", KRS_TOKENS_BYTES, o, KRS_E_FORMAT,
                   "empty: is empty, text is expected");
    assert_refused("short", KRS_TOKENS_BYTES, o, KRS_E_FORMAT,
                   "short: 8 tokens for training are fewer than one window of "
                   "9; use more text or a shorter window");
    assert_refused("text", KRS_TOKENS_BYTES, options(0.7), KRS_E_FORMAT,
                   "text: 6 tokens for training are fewer than one window of "
                   "9; use more text or a shorter window");
    assert_refused("text", KRS_TOKENS_BYTES, options(0.1), KRS_E_FORMAT,
                   "text: 3 tokens for validation are fewer than one window "
                   "of 9; use more text, a larger part or a shorter window");
    write_file("odd", text, 7);
    assert_refused("odd", KRS_TOKENS_U16, o, KRS_E_FORMAT,
                   "odd: is 7 bytes long, not a whole number of 2-byte ids");
    assert_refused("ids", KRS_TOKENS_I32, o, KRS_E_FORMAT,
                   "ids: token 2 is -3, ids are not negative; the file may be "
                   "of another kind");
    o.vocabulary = 100;
    assert_refused("text", KRS_TOKENS_BYTES, o, KRS_E_FORMAT,
                   "text: token 13 is 100, the vocabulary has 100 tokens; "
                   "tokenizer and model may not belong together");
    o = options(0);
    o.most_bytes = 19;
    assert_refused("text", KRS_TOKENS_BYTES, o, KRS_E_FORMAT,
                   "text: is 20 bytes long, at most 19 bytes are read");
    assert_refused("gone", KRS_TOKENS_BYTES, o, KRS_E_IO,
                   "gone: cannot open: No such file or directory");
    assert_refused("../", KRS_TOKENS_BYTES, o, KRS_E_IO,
                   "../: is a folder, expected a regular file");
    if (geteuid() != 0) {
        ck_assert_int_eq(chmod(temp_path("text"), 0), 0);
        assert_refused("text", KRS_TOKENS_BYTES, o, KRS_E_IO,
                       "text: cannot open: Permission denied");
    }
}
END_TEST

START_TEST(bad_options_are_refused)
{
    const uint8_t tokens[20] = {0};
    krs_data *data = NULL;
    krs_data_options o = options(0);
    static const double bad[] = {-0.1, 1, NAN, INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.validation = bad[i];
        ck_assert_int_eq(
            krs_data_new(tokens, 20, KRS_TOKENS_BYTES, &o, &data, &err),
            KRS_E_ARGUMENT);
    }
    o = options(0);
    static const int64_t windows[] = {0, -1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        o.window = windows[i];
        ck_assert_int_eq(
            krs_data_new(tokens, 20, KRS_TOKENS_BYTES, &o, &data, &err),
            KRS_E_ARGUMENT);
    }
    o = options(0);
    o.vocabulary = -1;
    ck_assert_int_eq(
        krs_data_new(tokens, 20, KRS_TOKENS_BYTES, &o, &data, &err),
        KRS_E_ARGUMENT);
    o = options(0);
    ck_assert_int_eq(
        krs_data_new(tokens, 20, (krs_token_kind)9, &o, &data, &err),
        KRS_E_ARGUMENT);
    ck_assert_int_eq(
        krs_data_new(tokens, SIZE_MAX / 2, KRS_TOKENS_I32, &o, &data, &err),
        KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_data_new(NULL, 1, KRS_TOKENS_I32, &o, &data, &err),
                     KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_data_open(NULL, 0, KRS_TOKENS_I32, &o, &data, &err),
                     KRS_E_ARGUMENT);
    o.struct_size = 0;
    ck_assert_int_eq(
        krs_data_new(tokens, 20, KRS_TOKENS_BYTES, &o, &data, &err),
        KRS_E_ARGUMENT);
    ck_assert_ptr_null(data);
    krs_data_free(NULL);
}
END_TEST

START_TEST(every_failed_allocation_is_reported)
{
    const uint8_t tokens[T + 1] = {0};
    krs_data_options o = options(0);
    krs_data *data = NULL;
    int opened = 1, made = 1;
    write_file("a", "0123456789", 10);
    for (;; opened++) {
        const char *paths[] = {temp_path("a"), temp_path("a")};
        memory_fail_at(opened);
        krs_status status =
            krs_data_open(paths, 2, KRS_TOKENS_BYTES, &o, &data, &err);
        if (!memory_struck())
            break;
        ck_assert_int_eq(status, KRS_E_MEMORY);
        ck_assert_ptr_null(data);
    }
    ck_assert_int_eq(krs_data_tokens(data), 20);
    ck_assert_int_eq(opened, 4);
    krs_data_free(data);
    data = NULL;
    for (;; made++) {
        memory_fail_at(made);
        krs_status status =
            krs_data_new(tokens, T + 1, KRS_TOKENS_BYTES, &o, &data, &err);
        if (!memory_struck())
            break;
        ck_assert_int_eq(status, KRS_E_MEMORY);
        ck_assert_ptr_null(data);
    }
    ck_assert_int_eq(made, 3);
    krs_data_free(data);
}
END_TEST

SUITE(the_shuffled_order_is_a_permutation,
      the_shuffled_order_is_even_and_new_each_epoch,
      an_epoch_draws_every_window_once,
      the_parts_share_no_token_and_cut_no_window,
      a_cursor_saved_as_text_goes_on_with_the_same_windows,
      ranks_that_skip_draw_what_one_process_draws,
      cursors_of_other_data_are_refused_and_do_not_move,
      malformed_cursor_text_is_refused_with_its_path,
      files_of_each_kind_are_read_one_after_the_other,
      files_that_give_no_window_are_refused, bad_options_are_refused,
      every_failed_allocation_is_reported)
