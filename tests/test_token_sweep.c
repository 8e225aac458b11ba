/* test_token_sweep.c -- every Unicode scalar value, alone and between letters,
 * through every golden tokenizer: the ids of the originals.
 *
 * golden/tokenizers/sweep.bin has a CRC-32 for each block of 256 code points
 * and tokenizer: that of the CRC-32s of the code points, each of the ids of
 * both texts (golden/tokenizers/README.md). Code points that sweep_skew.txt
 * lists are left out: there the originals know another version of Unicode.
 *
 * KERSEY_SLOW=1 (sanitizers) ends after the first two planes.
 * KRS_TEST_SWEEP=FOLDER makes the two files anew from what sweep.py wrote into
 * that folder. */
#include "suite.h"

#include <krs/token.h>

#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { CODES = 0x110000, BLOCK = 256, BLOCKS = CODES / BLOCK, NAMES = 7 };

static const char *const names[NAMES][2] = {
    {"bert_wordpiece",    "bert_wordpiece/tokenizer.json"},
    {"bytelevel_bpe",     "bytelevel_bpe/tokenizer.json" },
    {"smollm_bpe",        "smollm_bpe/tokenizer.json"    },
    {"spm_bpe",           "spm_bpe/tokenizer.json"       },
    {"spm_unigram",       "spm_unigram/tokenizer.json"   },
    {"spm_bpe.model",     "spm_bpe/spm.model"            },
    {"spm_unigram.model", "spm_unigram/spm.model"        },
};

#define GOLDEN TESTS_DIR "/golden/tokenizers/"

static krs_error err;

static size_t
put(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char marks[] = {0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(marks[more] | code >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (code >> (6 * (more - i)) & 0x3F));
    return more + 1;
}

static uint32_t
add_ids(const krs_tokenizer *t, const char *text, size_t bytes, krs_encoding *e,
        uint32_t crc)
{
    krs_encode_options o = {.struct_size = sizeof o, .no_special = true};
    krs_status status = krs_tokenizer_encode(t, text, bytes, &o, e, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    uint32_t count = (uint32_t)e->count;
    crc = (uint32_t)crc32(crc, (const Bytef *)&count, sizeof count);
    return (uint32_t)crc32(crc, (const Bytef *)e->ids,
                           (uInt)(e->count * sizeof *e->ids));
}

/* The CRC of the ids of a code point; surrogates have 0. */
static uint32_t
sum_of(const krs_tokenizer *t, uint32_t code, krs_encoding *e)
{
    char text[8] = "a";
    if (code >= 0xD800 && code < 0xE000)
        return 0;
    size_t bytes = put(text + 1, code);
    uint32_t crc = add_ids(t, text + 1, bytes, e, 0);
    text[bytes + 1] = 'b';
    return add_ids(t, text, bytes + 2, e, crc);
}

static krs_tokenizer *
open_golden(int name)
{
    char path[512];
    krs_tokenizer *t = NULL;
    snprintf(path, sizeof path, GOLDEN "%s", names[name][1]);
    krs_status status = krs_tokenizer_open(path, &t, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return t;
}

/* One of the code points that differ: "name first last" a line. */
static bool skewed[NAMES][CODES];

static void
read_skew(void)
{
    char name[64];
    unsigned first, last;
    FILE *file = fopen(GOLDEN "sweep_skew.txt", "r");
    ck_assert_ptr_nonnull(file);
    while (fscanf(file, "%63s %x %x", name, &first, &last) == 3)
        for (int i = 0; i < NAMES; i++)
            for (unsigned c = first; !strcmp(names[i][0], name) && c <= last;
                 c++)
                skewed[i][c] = true;
    fclose(file);
}

static uint32_t
sum_of_block(const uint32_t *sums, const bool *skew)
{
    uint32_t crc = 0;
    for (int i = 0; i < BLOCK; i++)
        if (!skew[i])
            crc = (uint32_t)crc32(crc, (const Bytef *)&sums[i], sizeof *sums);
    return crc;
}

static uint32_t
last_code(void)
{
    return getenv("KERSEY_SLOW") ? 0x20000 : CODES;
}

static void
sweep(int name, uint32_t *sums)
{
    krs_tokenizer *t = open_golden(name);
    krs_encoding e = {0};
    for (uint32_t c = 0; c < last_code(); c++)
        sums[c] = sum_of(t, c, &e);
    krs_encoding_free(&e);
    krs_tokenizer_free(t);
}

static uint32_t sums[CODES];

START_TEST(every_character_gives_the_golden_ids)
{
    static uint32_t want[NAMES][BLOCKS];
    FILE *file = fopen(GOLDEN "sweep.bin", "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(want, sizeof want, 1, file), 1);
    fclose(file);
    read_skew();
    for (int i = 0; i < NAMES; i++) {
        sweep(i, sums);
        for (int b = 0; b < (int)last_code() / BLOCK; b++)
            ck_assert_msg(sum_of_block(sums + b * BLOCK,
                                       skewed[i] + b * BLOCK) == want[i][b],
                          "%s: U+%04X..U+%04X differ", names[i][0], b * BLOCK,
                          b * BLOCK + BLOCK - 1);
    }
}
END_TEST

/* At most this many characters may differ, or the list hides a fault. */
START_TEST(few_characters_are_left_out)
{
    static const size_t most[NAMES] = {10000, 10000, 10000, 0, 100, 0, 0};
    read_skew();
    for (int i = 0; i < NAMES; i++) {
        size_t count = 0;
        for (int c = 0; c < CODES; c++)
            count += skewed[i][c];
        ck_assert_msg(count <= most[i], "%s: %zu", names[i][0], count);
    }
}
END_TEST

/* sweep.bin and sweep_skew.txt out of what the originals gave */
START_TEST(the_golden_files_are_made)
{
    static uint32_t golden[CODES];
    FILE *bin = fopen(GOLDEN "sweep.bin", "wb");
    FILE *text = fopen(GOLDEN "sweep_skew.txt", "w");
    ck_assert(bin && text);
    for (int i = 0; i < NAMES; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s.bin", getenv("KRS_TEST_SWEEP"),
                 names[i][0]);
        FILE *file = fopen(path, "rb");
        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fread(golden, sizeof golden, 1, file), 1);
        fclose(file);
        sweep(i, sums);
        for (unsigned c = 0; c < CODES; c++) {
            unsigned last = c;
            if (!(skewed[i][c] = sums[c] != golden[c]))
                continue;
            while (last + 1 < CODES && sums[last + 1] != golden[last + 1])
                skewed[i][++last] = true;
            fprintf(text, "%s %X %X\n", names[i][0], c, last);
            c = last;
        }
        for (int b = 0; b < BLOCKS; b++) {
            uint32_t crc =
                sum_of_block(golden + b * BLOCK, skewed[i] + b * BLOCK);
            fwrite(&crc, sizeof crc, 1, bin);
        }
    }
    fclose(text);
    ck_assert_int_eq(fclose(bin), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create(__FILE__);
    TCase *all = tcase_create("all");
    if (getenv("KRS_TEST_SWEEP"))
        tcase_add_test(all, the_golden_files_are_made);
    tcase_add_test(all, every_character_gives_the_golden_ids);
    tcase_add_test(all, few_characters_are_left_out);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
