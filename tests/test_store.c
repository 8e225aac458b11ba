/* test_store.c -- devices and stores: which there are, what a store keeps and
 * refuses.
 */
#include "program_rig.h"

#include <krs/ops.h>
#include <krs/program.h>

#include <stdio.h>

START_TEST(an_unknown_device_is_named_with_those_there_are)
{
    krs_device_options options = {.struct_size = sizeof options,
                                  .modules = "/nowhere"};
    REFUSED(krs_device_open_with("gpu", &options, &device, &err), DEVICE,
            "device_open: no device 'gpu': backend gpu: libkersey-gpu.so is in "
            "none of the folders /nowhere; built in are eval and interp");
    ck_assert_ptr_null(device);
    REFUSED(krs_device_open("../x", &device, &err), DEVICE,
            "device_open: no device '../x': backend: '../x' is no name of a "
            "backend; those are as cpu or vulkan:1; built in are eval and "
            "interp");
    char sizes[KRS_ERROR_TEXT];
    snprintf(sizes, sizeof sizes,
             "device_open: options of 3 bytes where %zu are known; set "
             "struct_size to sizeof the struct",
             sizeof options);
    options.struct_size = 3;
    REFUSED(krs_device_open_with("eval", &options, &device, &err), ARGUMENT,
            sizes);
    options.struct_size = sizeof options;
    options.memory = (krs_memory_use)3;
    REFUSED(krs_device_open_with("eval", &options, &device, &err), ARGUMENT,
            "device_open: memory is 3, which is not one of krs_memory_use");
    OK(krs_device_open("interp", &device, &err));
    krs_device_close(device);
    OK(krs_device_open("eval", &device, &err));
    ck_assert_str_eq(krs_device_name(device), "eval");
    krs_device_close(device);
}
END_TEST

START_TEST(a_device_describes_itself)
{
    krs_device_info info = {.struct_size = sizeof info};
    const char *const names[] = {"eval", "interp"};
    for (int i = 0; i < 2; i++) {
        OK(krs_device_open(names[i], &device, &err));
        OK(krs_device_describe(device, &info, &err));
        ck_assert_uint_eq(info.threads, 1);
        ck_assert_int_eq(info.target[0] != 0, i);
        info.struct_size = 1;
        ck_assert_int_eq(krs_device_describe(device, &info, &err),
                         KRS_E_ARGUMENT);
        info.struct_size = sizeof info;
        krs_device_close(device);
    }
}
END_TEST

START_TEST(a_store_keeps_tensors_in_order_of_their_names)
{
    begin();
    const char *name;
    krs_dtype dtype;
    krs_shape shape;
    OK(krs_store_add(store, "b", KRS_F32, KRS_SHAPE(2, 3), &err));
    OK(krs_store_add(store, "c.x", KRS_I64, KRS_SCALAR, &err));
    OK(krs_store_add(store, "a", KRS_BF16, KRS_SHAPE(0), &err));
    OK(krs_store_add(store, "b", KRS_F32, KRS_SHAPE(2, 3), &err));
    ck_assert_uint_eq(krs_store_count(store), 3);
    static const char *const order[] = {"a", "b", "c.x"};
    for (size_t i = 0; i < 3; i++) {
        OK(krs_store_entry(store, i, &name, NULL, NULL, &err));
        ck_assert_str_eq(name, order[i]);
    }
    OK(krs_store_entry(store, 1, NULL, &dtype, &shape, &err));
    ck_assert(dtype == KRS_F32 && shape.rank == 2 && shape.dim[1] == 3);
    float six[6] = {9, 9, 9, 9, 9, 9};
    OK(krs_store_read(store, "b", six, sizeof six, &err));
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(six[i], 0);
    six[5] = 7;
    OK(krs_store_write(store, "b", six, sizeof six, &err));
    six[5] = 0;
    OK(krs_store_read(store, "b", six, sizeof six, &err));
    ck_assert_float_eq(six[5], 7);
    OK(krs_store_write(store, "a", NULL, 0, &err));
    end();
}
END_TEST

START_TEST(a_store_refuses_what_does_not_fit)
{
    begin();
    float six[6] = {0};
    krs_dtype dtype;
    OK(krs_store_add(store, "w", KRS_F32, KRS_SHAPE(2, 3), &err));
    REFUSED(krs_store_add(store, "w", KRS_F16, KRS_SHAPE(2, 3), &err), NAME,
            "store_add: 'w' is there as f32[2,3], not f16[2,3]");
    REFUSED(krs_store_add(store, "w", KRS_F32, KRS_SHAPE(3, 2), &err), NAME,
            "store_add: 'w' is there as f32[2,3], not f32[3,2]");
    REFUSED(krs_store_add(store, "x", KRS_F32, KRS_SHAPE(2, -3), &err), SHAPE,
            "store_add: 'x': f32[2,-3] has a negative size or more elements "
            "than fit in 63 bits");
    REFUSED(krs_store_add(store, "x", KRS_F32,
                          KRS_SHAPE(INT64_C(1) << 32, INT64_C(1) << 32), &err),
            SHAPE,
            "store_add: 'x': f32[4294967296,4294967296] has a negative size "
            "or more elements than fit in 63 bits");
    REFUSED(krs_store_add(store, "x", KRS_Q8_0, KRS_SHAPE(2, 17), &err), SHAPE,
            "store_add: 'x': q8_0[2,17] is not a whole number of blocks, or "
            "too large");
    REFUSED(krs_store_add(store, "x", (krs_dtype)99, KRS_SCALAR, &err), DTYPE,
            "store_add: 'x': no type 99");
    REFUSED(krs_store_add(store, "x", KRS_F32, (krs_shape){9, {0}}, &err),
            SHAPE, "store_add: 'x': rank 9 is outside 0..8");
    REFUSED(krs_store_find(store, "x", &dtype, NULL, &err), NAME,
            "store_find: no tensor 'x' among the 1 of the store");
    REFUSED(krs_store_read(store, "w", six, 20, &err), RANGE,
            "store_read: 'w' is f32[2,3], 24 bytes, not 20");
    REFUSED(krs_store_write(store, "w", six, 28, &err), RANGE,
            "store_write: 'w' is f32[2,3], 24 bytes, not 28");
    REFUSED(krs_store_entry(store, 1, NULL, NULL, NULL, &err), RANGE,
            "store_entry: tensor 1 of a store that has 1");
    ck_assert_int_eq(krs_store_read(store, "w", six, 20, NULL), KRS_E_RANGE);
    end();
}
END_TEST

SUITE(an_unknown_device_is_named_with_those_there_are,
      a_device_describes_itself, a_store_keeps_tensors_in_order_of_their_names,
      a_store_refuses_what_does_not_fit)
