/* dlpack.h -- tensors in memory from and to other libraries, without a copy:
 * DLPack 1.x, the versioned struct.
 *
 *     const float x[] = {1, 2, 3, 4};
 *     krs_array a = {KRS_F32, 2, {2, 2}, x};
 *     DLManagedTensorVersioned *t;
 *     KRS_TRY(krs_dlpack_export(&a, NULL, NULL, &t, err));
 *     ... hand t over; its owner calls t->deleter(t) ...
 *
 * The structs are those of github.com/dmlc/dlpack, dlpack.h; where that is
 * included first it is used.
 */
#ifndef KRS_DLPACK_H
#define KRS_DLPACK_H

#include <krs/dtype.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef DLPACK_DLPACK_H_
#define DLPACK_DLPACK_H_
#define DLPACK_MAJOR_VERSION          1
#define DLPACK_MINOR_VERSION          0
#define DLPACK_FLAG_BITMASK_READ_ONLY (UINT64_C(1) << 0)
#define DLPACK_FLAG_BITMASK_IS_COPIED (UINT64_C(1) << 1)

typedef struct {
    uint32_t major, minor;
} DLPackVersion;

typedef enum { kDLCPU = 1 } DLDeviceType; /* the one that is met here */

typedef struct {
    DLDeviceType device_type;
    int32_t device_id;
} DLDevice;

typedef enum {
    kDLInt = 0U,
    kDLUInt = 1U,
    kDLFloat = 2U,
    kDLBfloat = 4U,
    kDLBool = 6U
} DLDataTypeCode;

typedef struct {
    uint8_t code, bits;
    uint16_t lanes;
} DLDataType;

typedef struct {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape;
    int64_t *strides; /* in elements; NULL: row-major without gaps */
    uint64_t byte_offset;
} DLTensor;

typedef struct DLManagedTensorVersioned {
    DLPackVersion version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *self);
    uint64_t flags;
    DLTensor dl_tensor;
} DLManagedTensorVersioned;
#endif

#define KRS_ARRAY_RANK 8

/* A tensor in memory, row-major without gaps, borrowed. */
typedef struct krs_array {
    krs_dtype dtype;
    int rank;
    int64_t shape[KRS_ARRAY_RANK];
    const void *data;
} krs_array;

/* krs_dlpack_export(array, release, context, &tensor, err) -- the array for
 * another library. release(context) is called, if it is not NULL, when that
 * calls the deleter; until then the data must stay. The tensor says that it is
 * read-only.
 * Errors     DTYPE for a block type; SHAPE; MEMORY. Nothing is released then. */
KRS_API krs_status krs_dlpack_export(const krs_array *array,
                                     void (*release)(void *context),
                                     void *context,
                                     DLManagedTensorVersioned **out,
                                     krs_error *err);

/* krs_dlpack_view(tensor, &array, err) -- the data of another library's tensor
 * where it lies; valid until its deleter is called, which stays the caller's
 * to do. The tensor must lie in the memory of the host, row-major without gaps.
 *
 * krs_dlpack_copy(tensor, &array, out, bytes, err) -- the same of any strides,
 * copied to out: exactly the bytes of the array. out NULL with bytes 0 only
 * asks for type and shape.
 *
 * Errors     UNSUPPORTED: another major version, device, type, several lanes,
 *            more than 8 dimensions; and in a view, other strides. SHAPE,
 *            ARGUMENT. */
KRS_API krs_status krs_dlpack_view(const DLManagedTensorVersioned *tensor,
                                   krs_array *out, krs_error *err);
KRS_API krs_status krs_dlpack_copy(const DLManagedTensorVersioned *tensor,
                                   krs_array *out_array, void *out,
                                   size_t bytes, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
