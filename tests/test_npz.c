/* test_npz.c -- arrays that NumPy wrote, stored and packed (golden/npz): every
 * type, any part of them, and what is said when they are damaged. What is
 * written is compared by files.bats and test_weights_convert.c.
 */
#include <krs/weights.h>

#include "suite.h"
#include "temp_folder.h"

#include <math.h>

#define STORED TESTS_DIR "/golden/npz/stored.npz"
#define PACKED TESTS_DIR "/golden/npz/packed.npz"

static krs_error err;

static krs_weights *
opened(const char *path)
{
    krs_weights *w = NULL;
    ck_assert_msg(krs_weights_open(path, &w, &err) == KRS_OK, "%s", err.text);
    return w;
}

static int64_t
first_int(const krs_weights *w, const char *name)
{
    int64_t value = 0;
    size_t i = (size_t)krs_weights_find(w, name);
    krs_status status =
        krs_weights_read_part(w, i, 0, 1, KRS_I64, &value, sizeof value, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return value;
}

START_TEST(arrays_of_every_type_are_read)
{
    static const struct {
        const char *name;
        krs_stored stored;
        int rank;
        int64_t shape[2];
    } arrays[] = {
        {"a",   KRS_STORED_F32,  2, {2, 3}  },
        {"b/c", KRS_STORED_BOOL, 0, {0}     },
        {"big", KRS_STORED_F16,  2, {60, 50}},
        {"d",   KRS_STORED_I16,  1, {5}     },
        {"e",   KRS_STORED_U8,   2, {0, 3}  },
        {"f",   KRS_STORED_C64,  1, {1}     },
        {"g",   KRS_STORED_I64,  1, {2}     },
        {"h",   KRS_STORED_U32,  1, {2}     },
        {"i",   KRS_STORED_I32,  1, {2}     },
        {"i8",  KRS_STORED_I8,   2, {1, 1}  },
        {"k",   KRS_STORED_U16,  1, {2}     },
        {"u",   KRS_STORED_U64,  1, {1}     },
        {"z",   KRS_STORED_F64,  1, {3000}  },
    };
    static const char *const paths[] = {STORED, PACKED};
    for (size_t p = 0; p < 2; p++) {
        krs_weights *w = opened(paths[p]);
        ck_assert_uint_eq(krs_weights_count(w), sizeof arrays / sizeof *arrays);
        for (size_t i = 0; i < krs_weights_count(w); i++) {
            const krs_weight *t = krs_weights_at(w, i);
            ck_assert_str_eq(t->name, arrays[i].name);
            ck_assert_int_eq(t->stored, arrays[i].stored);
            ck_assert_int_eq(t->rank, arrays[i].rank);
            for (int k = 0; k < t->rank; k++)
                ck_assert_int_eq(t->shape[k], arrays[i].shape[k]);
        }
        ck_assert_int_eq(first_int(w, "d"), -2);
        ck_assert_int_eq(first_int(w, "i8"), -7);
        ck_assert_int_eq(first_int(w, "b/c"), 1);
        ck_assert_int_eq(first_int(w, "g"), 3);
        float a[6];
        ck_assert_int_eq(krs_weights_read(w, 0, KRS_F32, a, sizeof a, &err), 0);
        for (int i = 0; i < 6; i++)
            ck_assert(a[i] == (float)i);
        int64_t wide;
        ck_assert_int_eq(krs_weights_read(w, 11, KRS_I64, &wide, 8, &err),
                         KRS_E_RANGE); /* 2^64 - 1 */
        krs_weights_close(w);
    }
}
END_TEST

START_TEST(any_part_of_a_packed_array_is_that_of_the_stored_one)
{
    krs_weights *s = opened(STORED), *p = opened(PACKED);
    size_t big = (size_t)krs_weights_find(s, "big");
    for (int64_t first = 0; first <= 3000; first += 377)
        for (int64_t count = 0; count <= 3000 - first; count += 491) {
            float x[3000], y[3000];
            size_t bytes = (size_t)count * sizeof *x;
            ck_assert_int_eq(krs_weights_read_part(s, big, first, count,
                                                   KRS_F32, x, bytes, &err),
                             0);
            ck_assert_int_eq(krs_weights_read_part(p, big, first, count,
                                                   KRS_F32, y, bytes, &err),
                             0);
            ck_assert_mem_eq(x, y, bytes);
        }
    krs_weight_stats a, b;
    ck_assert_int_eq(krs_weights_stats(s, big, &a, &err), 0);
    ck_assert_int_eq(krs_weights_stats(p, big, &b, &err), 0);
    ck_assert(a.mean == b.mean && a.std == b.std && a.max == b.max);
    ck_assert_int_eq(b.count, 3000);
    krs_weights_close(s);
    krs_weights_close(p);
}
END_TEST

/* The file with some bytes replaced. */
static void
damage(const char *path, size_t at, const void *bytes, size_t count)
{
    size_t size = 0;
    FILE *file = fopen(path, "rb");
    char *copy = malloc(65536);
    size = fread(copy, 1, 65536, file);
    fclose(file);
    memcpy(copy + at, bytes, count);
    write_file("x.npz", copy, size);
    free(copy);
}

START_TEST(packed_data_that_is_damaged_is_refused)
{
    /* "big" is packed in bytes 460 to 6110 of the file, met when it is opened
     * as it is short; "z" in a few bytes, met when it is read */
    for (size_t at = 700; at < 5700; at += 500) {
        krs_weights *w = NULL;
        damage(PACKED, at, "\xFF\xFE\xFD\xFC", 4);
        ck_assert_int_eq(krs_weights_open(temp_path("x.npz"), &w, &err),
                         KRS_E_FORMAT);
        ck_assert_msg(strstr(err.text, "x.npz: offset ") &&
                          strstr(err.text, "packed data is damaged"),
                      "%s", err.text);
    }
}
END_TEST

START_TEST(the_checksum_of_packed_data_is_compared)
{
    /* that of "z" in the directory: behind its name's entry begin */
    size_t size;
    FILE *file = fopen(PACKED, "rb");
    char *copy = malloc(65536);
    size = fread(copy, 1, 65536, file);
    fclose(file);
    size_t entry = 0;
    for (size_t at = 0; at + 52 < size; at++)
        if (memcmp(copy + at, "PK\1\2", 4) == 0 &&
            memcmp(copy + at + 46, "z.npy", 5) == 0)
            entry = at;
    free(copy);
    ck_assert_uint_gt(entry, 0);
    damage(PACKED, entry + 16, "\1\2\3\4", 4);
    krs_weights *w = opened(temp_path("x.npz"));
    size_t z = (size_t)krs_weights_find(w, "z");
    float values[3000];
    ck_assert_int_eq(
        krs_weights_read(w, z, KRS_F32, values, sizeof values, &err),
        KRS_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "its checksum is"));
    ck_assert_ptr_nonnull(strstr(err.text, "not 04030201"));
    krs_weights_close(w);
}
END_TEST

START_TEST(headers_may_be_spelt_in_other_ways)
{
    static const char *const texts[] = {
        "{'shape': (2,), 'fortran_order': True, 'descr': '<i2'}",
        "{ 'descr':'<i2','fortran_order':False,'shape':( 2 , ) , }  \n",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 1)}",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (1, 2, 1,)}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (int version = 1; version <= 3; version++) {
            char file[256] = "\x93NUMPY";
            size_t n = strlen(texts[i]), begin = version == 1 ? 10 : 12;
            file[6] = (char)version;
            file[8] = (char)n;
            memcpy(file + begin, texts[i], n);
            memcpy(file + begin + n, "\x01\x00\xFE\xFF", 4);
            write_file("x.npy", file, begin + n + 4);
            krs_weights *w = opened(temp_path("x.npy"));
            int64_t values[2];
            ck_assert_str_eq(krs_weights_at(w, 0)->name, "x");
            ck_assert_int_eq(
                krs_weights_read(w, 0, KRS_I64, values, sizeof values, &err),
                0);
            ck_assert(values[0] == 1 && values[1] == -2);
            krs_weights_close(w);
        }
}
END_TEST

SUITE(arrays_of_every_type_are_read,
      any_part_of_a_packed_array_is_that_of_the_stored_one,
      packed_data_that_is_damaged_is_refused,
      the_checksum_of_packed_data_is_compared,
      headers_may_be_spelt_in_other_ways)
