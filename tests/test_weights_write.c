/* test_weights_write.c -- writing safetensors: exact bytes, round trip,
 * refusals, and what happens when the disk fails.
 *
 * write, fsync and rename of the library are replaced at link time (--wrap),
 * so that any call of them can be made to fail; memory by fault_memory.h.
 */
#include <krs/weights.h>

#include "fault_memory.h"
#include "suite.h"
#include "temp_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static krs_error err;

/* The n-th call from now fails with `error` (0: none does). */
typedef struct fault {
    int countdown, error;
} fault;

static fault write_fault, fsync_fault, rename_fault;

static bool
strikes(fault *f)
{
    if (f->countdown == 0 || --f->countdown > 0)
        return false;
    errno = f->error;
    return true;
}

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
/* Writes at most 1000 bytes at a time, as a kernel may. */
ssize_t
__wrap_write(int fd, const void *data, size_t bytes)
{
    if (strikes(&write_fault))
        return -1;
    return __real_write(fd, data, bytes < 1000 ? bytes : 1000);
}

int
__wrap_fsync(int fd)
{
    return strikes(&fsync_fault) ? -1 : __real_fsync(fd);
}

int
__wrap_rename(const char *from, const char *to)
{
    return strikes(&rename_fault) ? -1 : __real_rename(from, to);
}

static const float matrix[] = {1, -2, 0.5F, 4, 5, 6}; /* [2,3] */
static const int64_t matrix_shape[] = {2, 3}, empty_shape[] = {0, 4};
static const uint8_t flags[] = {1, 0, 1}; /* [3] */
static const int64_t flags_shape[] = {3};
static const int64_t step = 42; /* [] */

static const krs_weight_source tensors[] = {
    {"w",     KRS_F32,  2, matrix_shape, matrix},
    {"flags", KRS_BOOL, 1, flags_shape,  flags },
    {"step",  KRS_I64,  0, NULL,         &step },
    {"none",  KRS_BF16, 2, empty_shape,  NULL  },
};
static const krs_weights_note notes[] = {
    {"format", "krs" },
    {"by",     "t\"t"}
};

#define COUNT 4

START_TEST(the_bytes_are_those_of_the_format)
{
    static const char header[] =
        "{\"__metadata__\":{\"by\":\"t\\\"t\",\"format\":\"krs\"},"
        "\"step\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
        "\"none\":{\"dtype\":\"BF16\",\"shape\":[0,4],"
        "\"data_offsets\":[32,32]},"
        "\"flags\":{\"dtype\":\"BOOL\",\"shape\":[3],"
        "\"data_offsets\":[32,35]}}";
    size_t bytes, padded = (strlen(header) + 7) / 8 * 8;
    ck_assert_int_eq(
        krs_weights_write(temp_path("x"), tensors, COUNT, notes, 2, &err),
        KRS_OK);
    char *got = read_file("x", &bytes);
    uint64_t stated;
    memcpy(&stated, got, 8);
    ck_assert_uint_eq(stated, padded);
    ck_assert_uint_eq(bytes, 8 + padded + 35);
    ck_assert_int_eq(memcmp(got + 8, header, strlen(header)), 0);
    for (size_t i = 8 + strlen(header); i < 8 + padded; i++)
        ck_assert_int_eq(got[i], ' ');
    ck_assert_int_eq(memcmp(got + 8 + padded, &step, 8), 0);
    ck_assert_int_eq(memcmp(got + 16 + padded, matrix, 24), 0);
    ck_assert_int_eq(memcmp(got + 40 + padded, flags, 3), 0);
    free(got);
    ck_assert_int_eq(count_files(), 1);
    struct stat info;
    mode_t mask = umask(0);
    umask(mask);
    ck_assert_int_eq(stat(temp_path("x"), &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0666 & ~mask);
}
END_TEST

START_TEST(the_order_of_the_arguments_does_not_matter)
{
    krs_weight_source turned[COUNT];
    krs_weights_note turned_notes[] = {notes[1], notes[0]};
    size_t a_bytes, b_bytes;
    for (int i = 0; i < COUNT; i++)
        turned[i] = tensors[COUNT - 1 - i];
    ck_assert_int_eq(
        krs_weights_write(temp_path("a"), tensors, COUNT, notes, 2, &err), 0);
    ck_assert_int_eq(
        krs_weights_write(temp_path("b"), turned, COUNT, turned_notes, 2, &err),
        0);
    char *a = read_file("a", &a_bytes), *b = read_file("b", &b_bytes);
    ck_assert_uint_eq(a_bytes, b_bytes);
    ck_assert_int_eq(memcmp(a, b, a_bytes), 0);
    free(a);
    free(b);
}
END_TEST

START_TEST(what_was_written_is_read_back)
{
    krs_weights *w = NULL;
    float values[6];
    uint8_t bits[3];
    int64_t number = 0;
    ck_assert_int_eq(
        krs_weights_write(temp_path("x"), tensors, COUNT, notes, 2, &err), 0);
    ck_assert_int_eq(krs_weights_open(temp_path("x"), &w, &err), 0);
    ck_assert_uint_eq(krs_weights_count(w), COUNT);
    ck_assert_int_eq(krs_weights_read(w, (size_t)krs_weights_find(w, "w"),
                                      KRS_F32, values, 24, &err),
                     0);
    ck_assert_int_eq(memcmp(values, matrix, 24), 0);
    ck_assert_int_eq(krs_weights_read(w, (size_t)krs_weights_find(w, "flags"),
                                      KRS_BOOL, bits, 3, &err),
                     0);
    ck_assert_int_eq(memcmp(bits, flags, 3), 0);
    ck_assert_int_eq(krs_weights_read(w, (size_t)krs_weights_find(w, "step"),
                                      KRS_I64, &number, 8, &err),
                     0);
    ck_assert_int_eq(number, 42);
    ck_assert_str_eq(krs_weights_note_find(w, "by"), "t\"t");
    krs_weights_close(w);

    /* no tensors, no notes */
    ck_assert_int_eq(krs_weights_write(temp_path("x"), NULL, 0, NULL, 0, &err),
                     0);
    ck_assert_int_eq(krs_weights_open(temp_path("x"), &w, &err), 0);
    ck_assert_uint_eq(krs_weights_count(w), 0);
    krs_weights_close(w);
}
END_TEST

START_TEST(every_element_type_but_blocks_survives)
{
    unsigned char data[32] = {1, 0, 1, 1};
    for (int d = 0; d < KRS_DTYPE_COUNT; d++) {
        krs_dtype dtype = (krs_dtype)d;
        int64_t shape[] = {4};
        krs_weight_source t = {"t", dtype, 1, shape, data};
        krs_status status =
            krs_weights_write(temp_path("x"), &t, 1, NULL, 0, &err);
        if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK) {
            ck_assert_int_eq(status, KRS_E_DTYPE);
            continue;
        }
        krs_weights *w = NULL;
        unsigned char back[32];
        size_t bytes = 0;
        ck_assert_int_eq(status, KRS_OK);
        ck_assert(krs_dtype_bytes(dtype, 4, &bytes));
        ck_assert_int_eq(krs_weights_open(temp_path("x"), &w, &err), 0);
        ck_assert_int_eq(krs_weights_read(w, 0, dtype, back, bytes, &err), 0);
        ck_assert_int_eq(memcmp(back, data, bytes), 0);
        krs_weights_close(w);
    }
}
END_TEST

static void
assert_refused(const krs_weight_source *list, size_t count, krs_status status,
               const char *sentence)
{
    memset(&err, 0, sizeof err);
    ck_assert_int_eq(
        krs_weights_write(temp_path("x"), list, count, NULL, 0, &err), status);
    ck_assert_str_eq(err.text + strlen(temp_folder()) + 1, sentence);
    ck_assert_int_eq(count_files(), 0);
}

START_TEST(arguments_that_make_no_file_are_refused)
{
    const int64_t negative[] = {-1},
                  huge[] = {INT64_C(1) << 32, INT64_C(1) << 32};
    krs_weight_source t[2] = {tensors[0], tensors[0]};
    assert_refused(t, 2, KRS_E_NAME, "x: write: tensor \"w\" is given twice");
    t[0].name = NULL;
    assert_refused(t, 1, KRS_E_NAME, "x: write: a tensor has no name");
    t[0].name = "__metadata__";
    assert_refused(t, 1, KRS_E_NAME,
                   "x: write: tensor \"__metadata__\": the format reserves "
                   "this name");
    t[0].name = "a\xFF";
    assert_refused(t, 1, KRS_E_NAME,
                   "x: write: tensor \"a\xFF\" is not valid UTF-8");
    t[0] = tensors[0];
    t[0].dtype = KRS_Q4_0;
    assert_refused(t, 1, KRS_E_DTYPE,
                   "x: write: tensor \"w\": block-quantised types have no "
                   "place in this format; dequantise it first");
    t[0] = tensors[0];
    t[0].rank = 9;
    assert_refused(t, 1, KRS_E_SHAPE,
                   "x: write: tensor \"w\": rank must be 0 to 8, with a "
                   "shape");
    t[0] = tensors[0];
    t[0].rank = 1;
    t[0].shape = negative;
    assert_refused(t, 1, KRS_E_SHAPE,
                   "x: write: tensor \"w\": a size is negative");
    t[0].rank = 2;
    t[0].shape = huge;
    assert_refused(t, 1, KRS_E_SHAPE,
                   "x: write: tensor \"w\": more than 2^63 bytes");
    t[0] = tensors[0];
    t[0].data = NULL;
    assert_refused(t, 1, KRS_E_ARGUMENT,
                   "x: write: tensor \"w\": data is NULL");
    krs_weights_note note = {"a", "\xFF"};
    ck_assert_int_eq(
        krs_weights_write(temp_path("x"), tensors, 1, &note, 1, &err),
        KRS_E_NAME);
    note = (krs_weights_note){"a", NULL};
    ck_assert_int_eq(
        krs_weights_write(temp_path("x"), tensors, 1, &note, 1, &err),
        KRS_E_ARGUMENT);
    krs_weights_note twice[] = {
        {"a", "1"},
        {"a", "2"}
    };
    ck_assert_int_eq(
        krs_weights_write(temp_path("x"), tensors, 1, twice, 2, &err),
        KRS_E_NAME);
    ck_assert_int_eq(
        krs_weights_write(temp_path("no/x"), tensors, 1, NULL, 0, &err),
        KRS_E_IO);
    ck_assert_ptr_nonnull(
        strstr(err.text, "cannot create a file beside it: No such"));
}
END_TEST

/* The old file, byte for byte, and nothing beside it. */
static void
assert_old_file(void)
{
    size_t bytes;
    char *got = read_file("x", &bytes);
    ck_assert_str_eq(got, "old");
    free(got);
    ck_assert_int_eq(count_files(), 1);
}

START_TEST(a_failing_disk_leaves_the_old_file)
{
    static char large[5000];
    const int64_t shape[] = {sizeof large};
    krs_weight_source t = {"t", KRS_U8, 1, shape, large};
    struct {
        fault *fault;
        int calls, error;
        const char *says;
    } rows[] = {
        {&write_fault,  6, ENOSPC,
         "cannot write: No space left on device; free some space"                },
        {&write_fault,  6, EIO,    "cannot write: Input/output error"            },
        {&fsync_fault,  1, EIO,    "cannot flush to the disk: Input/output error"},
        {&fsync_fault,  1, ENOSPC, "cannot flush to the disk: No space left"     },
        {&rename_fault, 1, EIO,    "cannot rename the new file to it: Input"     },
    };
    write_file("x", "old", 3);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int n = 1; n <= rows[r].calls; n++) {
            *rows[r].fault = (fault){n, rows[r].error};
            memset(&err, 0, sizeof err);
            ck_assert_int_eq(
                krs_weights_write(temp_path("x"), &t, 1, NULL, 0, &err),
                KRS_E_IO);
            ck_assert_int_eq(rows[r].fault->countdown, 0);
            ck_assert_msg(strstr(err.text, rows[r].says) != NULL, "%s",
                          err.text);
            assert_old_file();
        }
    /* an interrupted call is repeated */
    write_fault = (fault){2, EINTR};
    ck_assert_int_eq(krs_weights_write(temp_path("x"), &t, 1, NULL, 0, &err),
                     KRS_OK);
    krs_weights *w = NULL;
    ck_assert_int_eq(krs_weights_open(temp_path("x"), &w, &err), KRS_OK);
    krs_weights_close(w);
    /* the flush of the folder fails: reported, the new file is complete */
    fsync_fault = (fault){2, EIO};
    ck_assert_int_eq(krs_weights_write(temp_path("x"), &t, 1, NULL, 0, &err),
                     KRS_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot flush the folder"));
    ck_assert_int_eq(krs_weights_open(temp_path("x"), &w, &err), KRS_OK);
    krs_weights_close(w);
}
END_TEST

START_TEST(a_left_over_temporary_file_is_not_in_the_way)
{
    char name[64];
    snprintf(name, sizeof name, "x.new-%ld-0", (long)getpid());
    write_file(name, "left", 4);
    ck_assert_int_eq(
        krs_weights_write(temp_path("x"), tensors, COUNT, NULL, 0, &err), 0);
    size_t bytes;
    char *got = read_file(name, &bytes);
    ck_assert_str_eq(got, "left");
    free(got);
    ck_assert_int_eq(count_files(), 2);
}
END_TEST

START_TEST(every_failed_allocation_is_reported_when_writing)
{
    int n = 1, survived = 0;
    size_t want_bytes, got_bytes;
    ck_assert_int_eq(
        krs_weights_write(temp_path("x"), tensors, COUNT, notes, 2, &err), 0);
    char *want = read_file("x", &want_bytes);
    memory_watch_json();
    for (;; n++) {
        const char *path = temp_path("x");
        write_file("x", "old", 3);
        memory_fail_at(n);
        krs_status status =
            krs_weights_write(path, tensors, COUNT, notes, 2, &err);
        bool struck = memory_struck();
        if (struck && status != KRS_OK) {
            ck_assert_int_eq(status, KRS_E_MEMORY);
            assert_old_file();
            continue;
        }
        /* jansson does without some allocations: the file must be right */
        ck_assert_int_eq(status, KRS_OK);
        char *got = read_file("x", &got_bytes);
        ck_assert_msg(got_bytes == want_bytes, "%d: %s", n, got + 8);
        ck_assert_mem_eq(got, want, want_bytes);
        free(got);
        if (!struck)
            break;
        survived++;
    }
    free(want);
    ck_assert_int_ge(n, 60);
    ck_assert_int_le(survived, n / 10);
}
END_TEST

/* A model of two shards in the temporary folder. */
static void
write_shards(void)
{
    krs_weight_source second = {"z", KRS_U8, 1, flags_shape, flags};
    static const char index[] =
        "{\"weight_map\":{\"w\":\"a.safetensors\",\"flags\":\"a.safetensors\","
        "\"step\":\"a.safetensors\",\"none\":\"a.safetensors\","
        "\"z\":\"b.safetensors\"}}";
    ck_assert_int_eq(krs_weights_write(temp_path("a.safetensors"), tensors,
                                       COUNT, notes, 2, &err),
                     0);
    ck_assert_int_eq(krs_weights_write(temp_path("b.safetensors"), &second, 1,
                                       notes, 2, &err),
                     0);
    write_file("model.safetensors.index.json", index, strlen(index));
}

/* Fail each allocation of opening the shards; the number of them. */
static int
fail_each_open(void)
{
    for (int n = 1;; n++) {
        const char *path = temp_folder();
        krs_weights *w = NULL;
        memset(&err, 0, sizeof err);
        memory_fail_at(n);
        krs_status status = krs_weights_open(path, &w, &err);
        bool struck = memory_struck();
        if (struck && status != KRS_OK) {
            ck_assert_ptr_null(w);
            /* where jansson cannot tell the two apart it says FORMAT */
            ck_assert(status == KRS_E_MEMORY || status == KRS_E_FORMAT);
            ck_assert_uint_gt(strlen(err.text), 20);
            continue;
        }
        ck_assert_int_eq(status, KRS_OK);
        ck_assert_uint_eq(krs_weights_count(w), 5);
        ck_assert_str_eq(krs_weights_note_find(w, "by"), "t\"t");
        krs_weights_close(w);
        if (!struck)
            return n - 1;
    }
}

START_TEST(every_failed_allocation_is_reported_when_reading)
{
    write_shards();
    int ours = fail_each_open();
    ck_assert_int_ge(ours, 15);
    memory_watch_json();
    ck_assert_int_ge(fail_each_open(), ours + 100);
}
END_TEST

SUITE(the_bytes_are_those_of_the_format,
      the_order_of_the_arguments_does_not_matter, what_was_written_is_read_back,
      every_element_type_but_blocks_survives,
      arguments_that_make_no_file_are_refused,
      a_failing_disk_leaves_the_old_file,
      a_left_over_temporary_file_is_not_in_the_way,
      every_failed_allocation_is_reported_when_writing,
      every_failed_allocation_is_reported_when_reading)
