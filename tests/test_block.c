/* test_block.c -- block-quantised weights: every format against what the
 * Python package gguf gave for random blocks (golden/gguf), bit for bit.
 */
#include <krs/block.h>
#include <krs/weights.h>

#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static krs_error err;

static const struct {
    const char *name;
    size_t elements, bytes;
} formats[] = {
#define ROW(NAME, elements, bytes, kind) {#NAME, elements, bytes},
    KRS_BLOCK_LIST(ROW)
#undef ROW
};

static krs_weights *
golden(void)
{
    krs_weights *w = NULL;
    ck_assert_msg(krs_weights_open(TESTS_DIR "/golden/gguf/blocks.safetensors",
                                   &w, &err) == KRS_OK,
                  "%s", err.text);
    return w;
}

/* the tensor <format>.<what>, to be freed */
static void *
load(const krs_weights *w, const char *format, const char *what,
     krs_dtype dtype, size_t *count)
{
    char name[40];
    size_t bytes;
    snprintf(name, sizeof name, "%s.%s", format, what);
    int64_t i = krs_weights_find(w, name);
    ck_assert_msg(i >= 0, "%s", name);
    *count = (size_t)krs_weights_at(w, (size_t)i)->count;
    ck_assert(krs_dtype_bytes(dtype, (int64_t)*count, &bytes));
    void *data = malloc(bytes);
    ck_assert_msg(krs_weights_read(w, (size_t)i, dtype, data, bytes, &err) ==
                      KRS_OK,
                  "%s", err.text);
    return data;
}

START_TEST(every_format_reads_as_the_reference_does)
{
    krs_weights *w = golden();
    for (int f = 0; f < KRS_BLOCK_COUNT; f++) {
        size_t bytes, count;
        uint8_t *blocks = load(w, formats[f].name, "blocks", KRS_U8, &bytes);
        float *values = load(w, formats[f].name, "values", KRS_F32, &count);
        size_t n = bytes / formats[f].bytes;
        ck_assert_uint_eq(n * formats[f].bytes, bytes);
        ck_assert_uint_eq(n * formats[f].elements, count);
        ck_assert_uint_ge(n, 6);
        float *got = malloc(count * sizeof *got);
        /* at an odd address, as in a file */
        uint8_t *odd = malloc(bytes + 1);
        memcpy(odd + 1, blocks, bytes);
        krs_block_read((krs_block)f, odd + 1, n, got);
        for (size_t i = 0; i < count; i++)
            ck_assert_msg(memcmp(&got[i], &values[i], 4) == 0,
                          "%s: element %zu is %a, not %a", formats[f].name, i,
                          (double)got[i], (double)values[i]);
        free(odd);
        free(got);
        free(blocks);
        free(values);
    }
    krs_weights_close(w);
}
END_TEST

START_TEST(what_is_written_has_the_bytes_of_the_reference)
{
    static const krs_block written[] = {KRS_BLOCK_Q8_0, KRS_BLOCK_Q4_0};
    krs_weights *w = golden();
    size_t count, bytes;
    float *values = load(w, "write", "values", KRS_F32, &count);
    for (size_t k = 0; k < 2; k++) {
        const char *name = formats[written[k]].name;
        uint8_t *want = load(w, "write", name, KRS_U8, &bytes);
        uint8_t *got = malloc(bytes);
        ck_assert_uint_eq(count / 32 * formats[written[k]].bytes, bytes);
        ck_assert_int_eq(
            krs_block_write(written[k], values, count / 32, got, &err), 0);
        for (size_t i = 0; i < bytes; i++)
            ck_assert_msg(got[i] == want[i], "%s: byte %zu of block %zu", name,
                          i % formats[written[k]].bytes,
                          i / formats[written[k]].bytes);
        free(want);
        free(got);
    }
    free(values);
    krs_weights_close(w);
}
END_TEST

START_TEST(only_two_formats_are_written)
{
    float values[KRS_BLOCK_ELEMENTS] = {0};
    uint8_t out[256];
    for (int f = 0; f < KRS_BLOCK_COUNT; f++) {
        bool writes = f == KRS_BLOCK_Q8_0 || f == KRS_BLOCK_Q4_0;
        ck_assert(krs_block_writes((krs_block)f) == writes);
        ck_assert_int_eq(krs_block_write((krs_block)f, values, 1, out, &err),
                         writes ? KRS_OK : KRS_E_DTYPE);
    }
    krs_block_write(KRS_BLOCK_Q4_1, values, 1, out, &err);
    ck_assert_str_eq(err.text, "block: there is no writer of Q4_1; Q8_0 and "
                               "Q4_0 are written");
    ck_assert(!krs_block_writes(KRS_BLOCK_COUNT));
}
END_TEST

START_TEST(what_no_scale_holds_is_refused)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e30F, -9e6F};
    static const krs_block written[] = {KRS_BLOCK_Q8_0, KRS_BLOCK_Q4_0};
    uint8_t out[2 * 34];
    for (size_t k = 0; k < 10; k++) {
        float values[64] = {1, 2, 3};
        values[40] = bad[k / 2];
        ck_assert_int_eq(krs_block_write(written[k % 2], values, 2, out, &err),
                         KRS_E_RANGE);
        ck_assert_ptr_nonnull(strstr(err.text, "elements 32 to 63"));
    }
    /* the smallest f32 has a scale of 0 and an inverse that is infinite */
    float tiny[32] = {1e-45F, -1e-45F}, back[32];
    for (size_t k = 0; k < 2; k++) {
        ck_assert_int_eq(krs_block_write(written[k], tiny, 1, out, &err), 0);
        krs_block_read(written[k], out, 1, back);
        ck_assert(back[0] == 0 && back[1] == 0);
    }
}
END_TEST

START_TEST(element_types_with_blocks_have_the_sizes_of_their_format)
{
    int found = 0;
    for (int t = 0; t < KRS_DTYPE_COUNT; t++) {
        krs_block format;
        size_t bytes = 0;
        bool is_block = krs_dtype_class_of((krs_dtype)t) == KRS_CLASS_BLOCK;
        ck_assert(krs_dtype_block((krs_dtype)t, &format) == is_block);
        if (!is_block)
            continue;
        found++;
        ck_assert(krs_dtype_bytes((krs_dtype)t,
                                  (int64_t)formats[format].elements, &bytes));
        ck_assert_uint_eq(bytes, formats[format].bytes);
    }
    ck_assert_int_ge(found, 3);
}
END_TEST

SUITE(every_format_reads_as_the_reference_does,
      what_is_written_has_the_bytes_of_the_reference,
      only_two_formats_are_written, what_no_scale_holds_is_refused,
      element_types_with_blocks_have_the_sizes_of_their_format)
