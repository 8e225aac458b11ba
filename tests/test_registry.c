/* test_registry.c -- backends by name: built in, from modules, refused. */
#include "tests/suite.h"
#include "tests/temp_folder.h"

#include "backends/backend.h"

#include <string.h>

static void
expect_refusal(const char *name, const char *path, krs_status status,
               const char *text)
{
    krsi_registry_entry entry;
    krs_error err = {0};
    ck_assert_int_eq(krsi_registry_find(name, path, &entry, &err), status);
    ck_assert_ptr_null(entry.backend);
    ck_assert_ptr_null(entry.module);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' is not in '%s'", text,
                  err.text);
}

START_TEST(the_interpreter_is_always_there)
{
    krsi_registry_entry entry;
    krs_error err = {0};
    ck_assert_int_eq(krsi_registry_find("interp", "", &entry, &err), KRS_OK);
    ck_assert_str_eq(entry.backend->name, "interp");
    ck_assert_uint_eq(entry.backend->count(&err), 1);
    ck_assert_uint_eq(entry.index, 0);
    krsi_registry_release(&entry);
}
END_TEST

START_TEST(a_name_may_carry_the_number_of_a_device)
{
    krsi_registry_entry entry;
    krs_error err = {0};
    ck_assert_int_eq(krsi_registry_find("interp:12", "", &entry, &err), KRS_OK);
    ck_assert_uint_eq(entry.index, 12);
    krs_backend_options options = {.struct_size = sizeof options,
                                   .index = entry.index};
    krs_backend_device *device;
    ck_assert_int_eq(entry.backend->open(&options, &device, &err),
                     KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "no device 12"));
}
END_TEST

START_TEST(graphics_come_before_processors_then_the_drivers_order)
{
    static const krs_backend_kind kinds[] = {
        KRS_BACKEND_PROCESSOR, KRS_BACKEND_INTEGRATED, KRS_BACKEND_DISCRETE,
        KRS_BACKEND_OTHER,     KRS_BACKEND_DISCRETE,   KRS_BACKEND_PROCESSOR};
    static const uint32_t order[] = {2, 4, 1, 3, 0, 5};
    for (uint32_t i = 0; i < 6; i++)
        ck_assert_uint_eq(krs_backend_pick(kinds, 6, i), order[i]);
    ck_assert_uint_eq(krs_backend_pick(kinds, 1, 0), 0);
}
END_TEST

START_TEST(what_is_no_name_is_refused)
{
    const char *bad[] = {"",
                         ":",
                         "cpu:",
                         "cpu:x",
                         "../cpu",
                         "cpu:1:2",
                         "CPU",
                         "a b",
                         "cpu/",
                         "cpu:123456",
                         "a_name_that_is_much_longer_than_any"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refusal(bad[i], "/tmp", KRS_E_NAME, "is no name of a backend");
    expect_refusal(NULL, "/tmp", KRS_E_NAME, "is no name of a backend");
}
END_TEST

START_TEST(an_absent_module_is_named_with_the_folders_searched)
{
    expect_refusal("cpu", "/nowhere:/neither", KRS_E_DEVICE,
                   "backend cpu: libkersey-cpu.so is in none of the folders "
                   "/nowhere:/neither");
    expect_refusal("cpu", "", KRS_E_DEVICE, "libkersey-cpu.so");
}
END_TEST

START_TEST(a_file_that_is_no_module_is_refused)
{
    write_file("libkersey-text.so", "not a library", 13);
    expect_refusal("text", temp_folder(), KRS_E_DEVICE, "cannot be loaded");
}
END_TEST

START_TEST(a_library_that_exports_no_entry_is_refused)
{
    expect_refusal("empty", OTHER_MODULES_DIR, KRS_E_DEVICE,
                   "does not export krs_backend_entry");
}
END_TEST

START_TEST(a_module_of_another_abi_is_refused)
{
    expect_refusal("stale", OTHER_MODULES_DIR, KRS_E_DEVICE,
                   "was built for another version of the library");
}
END_TEST

START_TEST(a_module_that_lacks_functions_is_refused)
{
    expect_refusal("hollow", OTHER_MODULES_DIR, KRS_E_DEVICE, "incomplete");
}
END_TEST

START_TEST(the_first_folder_that_has_the_module_wins)
{
    write_file("libkersey-hollow.so", "not a library", 13);
    char path[512];
    snprintf(path, sizeof path, "/nowhere:%s:%s", temp_folder(),
             OTHER_MODULES_DIR);
    expect_refusal("hollow", path, KRS_E_DEVICE, "cannot be loaded");
    snprintf(path, sizeof path, "::%s:%s", OTHER_MODULES_DIR, temp_folder());
    expect_refusal("hollow", path, KRS_E_DEVICE, "incomplete");
}
END_TEST

START_TEST(modules_are_looked_for_beside_the_program)
{
    char *path = krsi_registry_path();
    ck_assert_ptr_nonnull(path);
    ck_assert_msg(strstr(path, "/tests") != NULL, "%s", path);
    ck_assert_msg(strstr(path, "lib/kersey") != NULL, "%s", path);
    free(path);
}
END_TEST

SUITE(the_interpreter_is_always_there, a_name_may_carry_the_number_of_a_device,
      graphics_come_before_processors_then_the_drivers_order,
      what_is_no_name_is_refused,
      an_absent_module_is_named_with_the_folders_searched,
      a_file_that_is_no_module_is_refused,
      a_library_that_exports_no_entry_is_refused,
      a_module_of_another_abi_is_refused,
      a_module_that_lacks_functions_is_refused,
      the_first_folder_that_has_the_module_wins,
      modules_are_looked_for_beside_the_program)
