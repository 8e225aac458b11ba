/* order.c -- the order of the training windows, and the place in it.
 *
 * In: seed, epoch, number of windows n, position i. Out: the i-th window of
 * that epoch's random order, in constant memory and time: no list is kept, so
 * a resumed run needs nothing but the four numbers.
 *
 * Method: a balanced Feistel network over the smallest 2h bits that hold n
 * values. (L, R) -> (R, L xor F(R)) can be undone whatever F is, so it
 * permutes 0..4^h-1; F is a word of Philox at (seed, epoch, round, R). Values
 * of n and above are walked on until one is below n ("cycle walking": Black
 * and Rogaway 2002), which keeps it a permutation; as 4^h < 4n, four steps
 * are expected at most. Four rounds suffice for a pseudorandom permutation
 * of a large set (Luby and Rackoff 1988); eight are for the small ones.
 */
#include "order.h"

#include "../load/json_file.h"

#include <krs/data.h>
#include <krs/random.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 8
#define STREAM UINT32_C(0x64617461) /* "data": apart from dropout and weights */

int64_t
krsi_shuffled(int64_t seed, int64_t epoch, int64_t n, int64_t i)
{
    int half = 1;
    while (half < 31 && (n - 1) >> (2 * half) != 0)
        half++;
    uint64_t mask = (UINT64_C(1) << half) - 1, value = (uint64_t)i;
    do {
        uint64_t left = value >> half, right = value & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint64_t mixed =
                left ^ (krs_random_u32((uint64_t)seed, (uint64_t)epoch, STREAM,
                                       round << 32 | right) &
                        mask);
            left = right;
            right = mixed;
        }
        value = left << half | right;
    } while (value >= (uint64_t)n);
    return (int64_t)value;
}

const char *
krs_data_cursor_print(const krs_data_cursor *cursor,
                      char text[KRS_DATA_CURSOR_TEXT])
{
    snprintf(text, KRS_DATA_CURSOR_TEXT,
             "{\"seed\": %" PRId64 ", \"epoch\": %" PRId64
             ", \"position\": %" PRId64 ", \"windows\": %" PRId64
             ", \"window\": %" PRId64 "}",
             cursor->seed, cursor->epoch, cursor->position, cursor->windows,
             cursor->window);
    return text;
}

static krs_status
read_cursor(const krsi_json *root, krs_data_cursor *out, krs_error *err)
{
    krs_data_cursor c;
    KRS_TRY(krsi_json_int(root, "seed", INT64_MIN, INT64_MAX, &c.seed, err));
    KRS_TRY(krsi_json_int(root, "epoch", 0, INT64_MAX, &c.epoch, err));
    KRS_TRY(krsi_json_int(root, "windows", 1, INT64_MAX, &c.windows, err));
    KRS_TRY(
        krsi_json_int(root, "position", 0, c.windows - 1, &c.position, err));
    KRS_TRY(krsi_json_int(root, "window", 1, INT64_MAX, &c.window, err));
    *out = c;
    return KRS_OK;
}

krs_status
krs_data_cursor_parse(const char *text, krs_data_cursor *out, krs_error *err)
{
    krsi_json_file *file;
    if (!text || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data cursor: text and out must not be NULL");
    KRS_TRY(krsi_json_parse("data cursor", text, strlen(text), &file, err));
    krsi_json root = krsi_json_root(file);
    krs_status status = read_cursor(&root, out, err);
    krsi_json_close(file);
    return status;
}
