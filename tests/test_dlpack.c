/* test_dlpack.c -- tensors out and in again; what other libraries hand over:
 * strides, offsets, types; and what is refused.
 */
#include <krs/dlpack.h>

#include "suite.h"

#include <string.h>

static krs_error err;
static int released;

static void
release(void *context)
{
    released += *(int *)context;
}

START_TEST(what_goes_out_comes_in_again_and_is_released_once)
{
    static const krs_dtype dtypes[] = {KRS_F32, KRS_F16, KRS_BF16, KRS_I64,
                                       KRS_I32, KRS_I8,  KRS_U8,   KRS_BOOL};
    char data[48] = "0123456789";
    int one = 1;
    released = 0;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        krs_array a =
                      {
                          dtypes[i], 3, {1, 2, 3},
                            data
        },
                  b;
        DLManagedTensorVersioned *t = NULL;
        ck_assert_int_eq(krs_dlpack_export(&a, release, &one, &t, &err), 0);
        ck_assert_uint_eq(t->version.major, 1);
        ck_assert(t->flags & DLPACK_FLAG_BITMASK_READ_ONLY);
        ck_assert_int_eq(t->dl_tensor.device.device_type, kDLCPU);
        ck_assert_int_eq(t->dl_tensor.strides[0], 6);
        ck_assert_int_eq(t->dl_tensor.strides[1], 3);
        ck_assert_int_eq(krs_dlpack_view(t, &b, &err), 0);
        ck_assert_int_eq(b.dtype, a.dtype);
        ck_assert_int_eq(b.rank, 3);
        ck_assert_mem_eq(b.shape, a.shape, sizeof a.shape);
        ck_assert_ptr_eq(b.data, data);
        ck_assert_int_eq(released, (int)i);
        t->deleter(t);
        ck_assert_int_eq(released, (int)i + 1);
    }
    krs_array blocks = {KRS_Q4_0, 1, {32}, data};
    DLManagedTensorVersioned *t = NULL;
    ck_assert_int_eq(krs_dlpack_export(&blocks, release, &one, &t, &err),
                     KRS_E_DTYPE);
    krs_array negative = {KRS_F32, 1, {-1}, data};
    ck_assert_int_eq(krs_dlpack_export(&negative, release, &one, &t, &err),
                     KRS_E_SHAPE);
    ck_assert_int_eq(released, 8);
}
END_TEST

static DLManagedTensorVersioned
foreign(void *data, int32_t rank, int64_t *shape, int64_t *strides)
{
    return (DLManagedTensorVersioned){
        .version = {1,        7},
        .dl_tensor = {
                    data, {kDLCPU, 0}, rank, {kDLInt, 32, 1}, shape, strides, 0}
    };
}

START_TEST(any_strides_are_copied_and_only_dense_ones_viewed)
{
    int32_t data[12], out[12];
    int64_t shape[] = {3, 2}, turned[] = {1, 3}, back[] = {-2, 1};
    krs_array a;
    for (int i = 0; i < 12; i++)
        data[i] = i;
    DLManagedTensorVersioned t = foreign(data, 2, shape, NULL);
    ck_assert_int_eq(krs_dlpack_view(&t, &a, &err), 0);
    ck_assert_ptr_eq(a.data, data);
    t.dl_tensor.byte_offset = 8;
    ck_assert_int_eq(krs_dlpack_view(&t, &a, &err), 0);
    ck_assert_ptr_eq(a.data, data + 2);
    ck_assert_int_eq(krs_dlpack_copy(&t, &a, out, 24, &err), 0);
    ck_assert_int_eq(out[5], 7);

    t = foreign(data, 2, shape, turned); /* columns first */
    ck_assert_int_eq(krs_dlpack_view(&t, &a, &err), KRS_E_UNSUPPORTED);
    ck_assert_int_eq(krs_dlpack_copy(&t, &a, NULL, 0, &err), 0);
    ck_assert_int_eq(a.shape[0], 3);
    ck_assert_int_eq(krs_dlpack_copy(&t, &a, out, 24, &err), 0);
    ck_assert_mem_eq(out, ((int32_t[]){0, 3, 1, 4, 2, 5}), 24);
    ck_assert_ptr_eq(a.data, out);
    t = foreign(data + 4, 2, shape, back); /* rows backwards */
    ck_assert_int_eq(krs_dlpack_copy(&t, &a, out, 24, &err), 0);
    ck_assert_mem_eq(out, ((int32_t[]){4, 5, 2, 3, 0, 1}), 24);
    ck_assert_int_eq(krs_dlpack_copy(&t, &a, out, 20, &err), KRS_E_ARGUMENT);
    /* a row repeated; a size of 1 with any stride; a scalar; nothing */
    int64_t repeated[] = {0, 1}, row[] = {1, 4}, odd[] = {99, 1};
    t = foreign(data, 2, shape, repeated);
    ck_assert_int_eq(krs_dlpack_copy(&t, &a, out, 24, &err), 0);
    ck_assert_mem_eq(out, ((int32_t[]){0, 1, 0, 1, 0, 1}), 24);
    t = foreign(data, 2, row, odd);
    ck_assert_int_eq(krs_dlpack_view(&t, &a, &err), 0);
    t = foreign(data + 3, 0, NULL, NULL);
    ck_assert_int_eq(krs_dlpack_copy(&t, &a, out, 4, &err), 0);
    ck_assert_int_eq(out[0], 3);
    int64_t none[] = {0, 4};
    t = foreign(NULL, 2, none, NULL);
    ck_assert_int_eq(krs_dlpack_view(&t, &a, &err), 0);
    ck_assert_ptr_null(a.data);
}
END_TEST

START_TEST(what_is_not_understood_is_refused_with_its_number)
{
    int32_t data[4] = {0};
    int64_t shape[9] = {2, 2};
    krs_array a = {.rank = -7};
    DLManagedTensorVersioned good = foreign(data, 2, shape, NULL), t;
#define REFUSED(change, status, says)                              \
    t = good;                                                      \
    t.change;                                                      \
    ck_assert_int_eq(krs_dlpack_view(&t, &a, &err), status);       \
    ck_assert_msg(strstr(err.text, says) != NULL, "%s", err.text); \
    ck_assert_int_eq(a.rank, -7)
    REFUSED(version.major = 2, KRS_E_UNSUPPORTED, "version 2.7");
    REFUSED(dl_tensor.device.device_type = (DLDeviceType)2, KRS_E_UNSUPPORTED,
            "device of type 2");
    REFUSED(dl_tensor.ndim = 9, KRS_E_UNSUPPORTED, "9 dimensions");
    REFUSED(dl_tensor.ndim = -1, KRS_E_UNSUPPORTED, "-1 dimensions");
    REFUSED(dl_tensor.dtype.bits = 16, KRS_E_UNSUPPORTED, "16 bits");
    REFUSED(dl_tensor.dtype.code = 5, KRS_E_UNSUPPORTED, "code 5");
    REFUSED(dl_tensor.dtype.lanes = 4, KRS_E_UNSUPPORTED, "4 lanes");
    REFUSED(dl_tensor.data = NULL, KRS_E_ARGUMENT, "NULL");
    int64_t large[] = {INT64_MAX, 2}, negative[] = {2, -2};
    REFUSED(dl_tensor.shape = large, KRS_E_SHAPE, "too large");
    REFUSED(dl_tensor.shape = negative, KRS_E_SHAPE, "negative");
}
END_TEST

SUITE(what_goes_out_comes_in_again_and_is_released_once,
      any_strides_are_copied_and_only_dense_ones_viewed,
      what_is_not_understood_is_refused_with_its_number)
