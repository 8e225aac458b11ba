/* test_path.c -- names of files and folders, and whole files. */
#include "fault_memory.h"
#include "models/load/path.h"
#include "suite.h"
#include "temp_folder.h"

#include <stdlib.h>
#include <string.h>

static krs_error err;

START_TEST(a_path_is_as_long_as_its_parts)
{
    char name[5000], *path;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    ck_assert_int_eq(krsi_path(&path, &err, "%s/%s", "folder", name), KRS_OK);
    ck_assert_uint_eq(strlen(path), 7 + sizeof name - 1);
    ck_assert_mem_eq(path, "folder/xxx", 10);
    free(path);
}
END_TEST

START_TEST(the_folder_of_a_path_ends_at_its_last_slash)
{
    static const char *const rows[][2] = {
        {"model.gguf",   "."   },
        {"a/model.gguf", "a"   },
        {"/model.gguf",  "/"   },
        {"/a/b/model",   "/a/b"},
        {"a//model",     "a/"  },
        {"./model",      "."   },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder;
        ck_assert_int_eq(krsi_path_folder(rows[i][0], &folder, &err), KRS_OK);
        ck_assert_str_eq(folder, rows[i][1]);
        free(folder);
    }
}
END_TEST

START_TEST(a_whole_file_is_closed_by_a_zero)
{
    char *path, *data;
    size_t bytes;
    write_file("three", "a\0b", 3);
    ck_assert_int_eq(krsi_path(&path, &err, "%s/three", temp_folder()), KRS_OK);
    ck_assert(krsi_is_file(path) && !krsi_is_folder(path));
    ck_assert(krsi_is_folder(temp_folder()) && !krsi_is_file(temp_folder()));
    ck_assert_int_eq(krsi_file_whole(path, 3, &data, &bytes, &err), KRS_OK);
    ck_assert_uint_eq(bytes, 3);
    ck_assert_mem_eq(data, "a\0b", 4);
    free(data);
    ck_assert_int_eq(krsi_file_whole(path, 2, &data, &bytes, &err),
                     KRS_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "is 3 bytes long, at most 2"));
    free(path);
    ck_assert(!krsi_is_file("nowhere") && !krsi_is_folder("nowhere"));
}
END_TEST

/* All of the file, or KRS_E_MEMORY. */
static krs_status
read_it(void)
{
    char *folder = NULL, *path = NULL, *data = NULL;
    size_t bytes;
    krs_status status = krsi_path(&path, &err, "%s/three", temp_folder());
    if (status == KRS_OK)
        status = krsi_path_folder(path, &folder, &err);
    if (status == KRS_OK)
        status = krsi_file_whole(path, 3, &data, &bytes, &err);
    free(folder);
    free(path);
    free(data);
    return status;
}

START_TEST(memory_that_runs_out_is_reported)
{
    long n = 1;
    write_file("three", "abc", 3);
    long alive = memory_alive();
    for (;; n++) {
        memory_fail_at(n);
        krs_status status = read_it();
        if (!memory_struck())
            break;
        ck_assert_int_eq(status, KRS_E_MEMORY);
    }
    ck_assert_int_eq(n, 4); /* two paths and the bytes of the file */
    ck_assert_int_eq(memory_alive(), alive);
}
END_TEST

SUITE(a_path_is_as_long_as_its_parts,
      the_folder_of_a_path_ends_at_its_last_slash,
      a_whole_file_is_closed_by_a_zero, memory_that_runs_out_is_reported)
