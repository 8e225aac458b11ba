/* dlpack.c -- tensors in memory from and to other libraries (dlpack.h).
 *
 * In: an array, or a managed tensor of another library. Out: the other. A
 * tensor is believed to own the memory that it describes, as it must be; its
 * version, device, type, rank, sizes and strides are checked.
 */
#include <krs/dlpack.h>

#include <stdlib.h>
#include <string.h>

/* The one list of types: dtype, code, bits. */
static const struct {
    krs_dtype dtype;
    DLDataTypeCode code;
    uint8_t bits;
} types[] = {
    {KRS_F32,  kDLFloat,  32},
    {KRS_F16,  kDLFloat,  16},
    {KRS_BF16, kDLBfloat, 16},
    {KRS_I64,  kDLInt,    64},
    {KRS_I32,  kDLInt,    32},
    {KRS_I8,   kDLInt,    8 },
    {KRS_U8,   kDLUInt,   8 },
    {KRS_BOOL, kDLBool,   8 },
};
enum { TYPES = sizeof types / sizeof *types };

/* elements and bytes; false if they cannot be counted */
static bool
measure(const krs_array *a, int64_t *count, size_t *bytes)
{
    *count = 1;
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] < 0 ||
            __builtin_mul_overflow(*count, a->shape[i], count))
            return false;
    return krs_dtype_bytes(a->dtype, *count, bytes);
}

/* A tensor that is handed out, with what belongs to it. */
typedef struct export
{
    DLManagedTensorVersioned tensor;
    int64_t shape[KRS_ARRAY_RANK], strides[KRS_ARRAY_RANK];
    void (*release)(void *context);
    void *context;
}
export;

static void
delete_export(DLManagedTensorVersioned *tensor)
{
    export *e = tensor->manager_ctx;
    if (e->release)
        e->release(e->context);
    free(e);
}

krs_status
krs_dlpack_export(const krs_array *array, void (*release)(void *context),
                  void *context, DLManagedTensorVersioned **out, krs_error *err)
{
    int64_t count;
    size_t bytes;
    int t = 0;
    if (array == NULL || out == NULL)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "dlpack: export: the array or out is NULL");
    while (t < TYPES && types[t].dtype != array->dtype)
        t++;
    if (t == TYPES)
        return krs_fail(err, KRS_E_DTYPE,
                        "dlpack: export: %s is no type of its; dequantise it "
                        "first",
                        krs_dtype_name(array->dtype));
    if (array->rank < 0 || array->rank > KRS_ARRAY_RANK ||
        !measure(array, &count, &bytes) || (!array->data && bytes > 0))
        return krs_fail(err, KRS_E_SHAPE,
                        "dlpack: export: rank %d, sizes or data make no array",
                        array->rank);
    export *e = calloc(1, sizeof *e);
    if (!e)
        return krs_fail(err, KRS_E_MEMORY, "dlpack: export: out of memory");
    e->release = release;
    e->context = context;
    int64_t stride = 1;
    for (int i = array->rank - 1; i >= 0; i--) {
        e->shape[i] = array->shape[i];
        e->strides[i] = stride;
        stride *= array->shape[i] > 0 ? array->shape[i] : 1;
    }
    e->tensor = (DLManagedTensorVersioned){
        .version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION},
        .manager_ctx = e,
        .deleter = delete_export,
        .flags = DLPACK_FLAG_BITMASK_READ_ONLY,
        .dl_tensor = { .data = (void *)(uintptr_t)array->data,
                    .device = {kDLCPU, 0},
                    .ndim = array->rank,
                    .dtype = {(uint8_t)types[t].code, types[t].bits, 1},
                    .shape = e->shape,
                    .strides = e->strides},
    };
    *out = &e->tensor;
    return KRS_OK;
}

static krs_status
check_kind(const DLManagedTensorVersioned *tensor, krs_error *err)
{
    const DLTensor *t = &tensor->dl_tensor;
    if (tensor->version.major != DLPACK_MAJOR_VERSION)
        return krs_fail(
            err, KRS_E_UNSUPPORTED, "dlpack: version %u.%u; version %d is read",
            tensor->version.major, tensor->version.minor, DLPACK_MAJOR_VERSION);
    if (t->device.device_type != kDLCPU)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "dlpack: the tensor lies on a device of type %d; copy "
                        "it to the host (type 1) first",
                        (int)t->device.device_type);
    if (t->ndim < 0 || t->ndim > KRS_ARRAY_RANK)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "dlpack: %d dimensions; at most %d are supported",
                        t->ndim, KRS_ARRAY_RANK);
    return KRS_OK;
}

/* Type and sizes; data is where element 0 lies. */
static krs_status
describe(const DLManagedTensorVersioned *tensor, krs_array *out, int64_t *count,
         size_t *bytes, krs_error *err)
{
    const DLTensor *t = &tensor->dl_tensor;
    KRS_TRY(check_kind(tensor, err));
    int k = 0;
    while (k < TYPES && (types[k].code != t->dtype.code ||
                         types[k].bits != t->dtype.bits || t->dtype.lanes != 1))
        k++;
    if (k == TYPES)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "dlpack: elements of code %d with %d bits and %d lanes "
                        "are not read",
                        t->dtype.code, t->dtype.bits, t->dtype.lanes);
    *out = (krs_array){.dtype = types[k].dtype, .rank = t->ndim};
    for (int i = 0; i < t->ndim; i++)
        out->shape[i] = t->shape[i];
    if (!measure(out, count, bytes))
        return krs_fail(err, KRS_E_SHAPE,
                        "dlpack: a size is negative, or they are too large");
    if (!t->data && *bytes > 0)
        return krs_fail(err, KRS_E_ARGUMENT, "dlpack: the data is NULL");
    if (t->data)
        out->data = (const char *)t->data + t->byte_offset;
    return KRS_OK;
}

/* Row-major without gaps? Sizes of 1 may have any stride. */
static bool
is_dense(const DLTensor *t, int64_t count)
{
    int64_t stride = 1;
    if (!t->strides || count == 0)
        return true;
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && t->strides[i] != stride)
            return false;
        stride *= t->shape[i];
    }
    return true;
}

krs_status
krs_dlpack_view(const DLManagedTensorVersioned *tensor, krs_array *out,
                krs_error *err)
{
    int64_t count;
    size_t bytes;
    krs_array array;
    if (tensor == NULL || out == NULL)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "dlpack: view: the tensor or out is NULL");
    KRS_TRY(describe(tensor, &array, &count, &bytes, err));
    if (!is_dense(&tensor->dl_tensor, count))
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "dlpack: the tensor does not lie row-major without "
                        "gaps; krs_dlpack_copy takes it");
    *out = array;
    return KRS_OK;
}

/* Element after element, the innermost dimension in a loop. */
static void
gather(const DLTensor *t, const krs_array *a, int64_t count, char *out)
{
    int64_t index[KRS_ARRAY_RANK] = {0};
    size_t size = 0;
    krs_dtype_bytes(a->dtype, 1, &size);
    const char *at = a->data;
    for (int64_t done = 0; done < count; done++) {
        memcpy(out + (size_t)done * size, at, size);
        for (int i = a->rank - 1; i >= 0; i--) {
            int64_t step = t->strides[i] * (int64_t)size;
            at += step;
            if (++index[i] < a->shape[i])
                break;
            at -= step * a->shape[i];
            index[i] = 0;
        }
    }
}

krs_status
krs_dlpack_copy(const DLManagedTensorVersioned *tensor, krs_array *out_array,
                void *out, size_t bytes, krs_error *err)
{
    int64_t count;
    size_t need;
    krs_array array;
    if (tensor == NULL || out_array == NULL)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "dlpack: copy: the tensor or out_array is NULL");
    KRS_TRY(describe(tensor, &array, &count, &need, err));
    if (out && bytes != need)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "dlpack: copy: the tensor has %zu bytes, the buffer "
                        "%zu",
                        need, bytes);
    if (out && is_dense(&tensor->dl_tensor, count) && need > 0)
        memcpy(out, array.data, need);
    else if (out)
        gather(&tensor->dl_tensor, &array, count, out);
    array.data = out;
    *out_array = array;
    return KRS_OK;
}
