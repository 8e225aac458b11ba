/* store.c -- named tensors that outlive programs, sorted by name.
 *
 * Each tensor is an allocation of its own, so programs keep pointers to it;
 * a program replaces its data by exchanging the memory (program.c), unless it
 * is the user's.
 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct krs_store {
    krs_device *device;
    krsi_tensor **tensor; /* by name */
    size_t count, capacity;
};

const char *
krsi_tensor_text(char text[KRSI_TENSOR_TEXT], krs_dtype dtype, krs_shape shape)
{
    int used = snprintf(text, KRSI_TENSOR_TEXT, "%s[", krs_dtype_name(dtype));
    for (int a = 0; a < shape.rank; a++)
        used += snprintf(text + used, (size_t)(KRSI_TENSOR_TEXT - used),
                         "%s%lld", a ? "," : "", (long long)shape.dim[a]);
    snprintf(text + used, (size_t)(KRSI_TENSOR_TEXT - used), "]");
    return text;
}

bool
krsi_shape_equal(krs_shape a, krs_shape b)
{
    bool equal = a.rank == b.rank;
    for (int i = 0; equal && i < a.rank; i++)
        equal = a.dim[i] == b.dim[i];
    return equal;
}

krs_status
krs_store_new(krs_device *device, krs_store **out, krs_error *err)
{
    KRS_TRY(krsi_need(out, "store_new", "out", err));
    *out = NULL;
    KRS_TRY(krsi_need(device, "store_new", "the device", err));
    *out = calloc(1, sizeof **out);
    if (!*out)
        return krs_fail(err, KRS_E_MEMORY, "store_new: no memory");
    (*out)->device = device;
    return KRS_OK;
}

static void
tensor_free(const krs_device *device, krsi_tensor *tensor)
{
    if (!tensor)
        return;
    device->kind->free(device->state, tensor->memory);
    free(tensor->name);
    free(tensor);
}

void
krs_store_free(krs_store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < store->count; i++)
        tensor_free(store->device, store->tensor[i]);
    free(store->tensor);
    free(store);
}

krs_device *
krsi_store_device(const krs_store *store)
{
    return store->device;
}

/* position of the name, or where it belongs */
static size_t
position(const krs_store *store, const char *name, bool *out_found)
{
    size_t low = 0, high = store->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(store->tensor[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *out_found =
        low < store->count && strcmp(store->tensor[low]->name, name) == 0;
    return low;
}

krsi_tensor *
krsi_store_tensor(const krs_store *store, const char *name)
{
    bool found;
    size_t at = position(store, name, &found);
    return found ? store->tensor[at] : NULL;
}

static krs_status
check_type(const char *function, const char *name, krs_dtype dtype,
           krs_shape shape, size_t *out_bytes, krs_error *err)
{
    int64_t elements;
    if (!name || !*name)
        return krs_fail(err, KRS_E_NAME, "%s: the name is empty", function);
    if ((size_t)dtype >= KRS_DTYPE_COUNT)
        return krs_fail(err, KRS_E_DTYPE, "%s: '%s': no type %d", function,
                        name, (int)dtype);
    if (shape.rank < 0 || shape.rank > KRS_MAX_RANK)
        return krs_fail(err, KRS_E_SHAPE, "%s: '%s': rank %d is outside 0..%d",
                        function, name, (int)shape.rank, KRS_MAX_RANK);
    char text[KRSI_TENSOR_TEXT];
    krsi_tensor_text(text, dtype, shape);
    if (!krs_shape_elements(shape, &elements))
        return krs_fail(err, KRS_E_SHAPE,
                        "%s: '%s': %s has a negative size or more "
                        "elements than fit in 63 bits",
                        function, name, text);
    if (!krs_dtype_bytes(dtype, elements, out_bytes))
        return krs_fail(err, KRS_E_SHAPE,
                        "%s: '%s': %s is not a whole number of blocks, "
                        "or too large",
                        function, name, text);
    return KRS_OK;
}

/* Into its place; MEMORY, and it is freed, if there is no room. */
static krs_status
insert(krs_store *store, size_t at, krsi_tensor *tensor, krs_error *err)
{
    if (!krsi_reserve(&store->tensor, &store->capacity, store->count + 1,
                      sizeof(krsi_tensor *))) {
        krs_fail(err, KRS_E_MEMORY, "store_add: '%s': no memory for %zu bytes",
                 tensor->name, tensor->bytes);
        tensor_free(store->device, tensor);
        return KRS_E_MEMORY;
    }
    memmove(store->tensor + at + 1, store->tensor + at,
            (store->count - at) * sizeof(krsi_tensor *));
    store->tensor[at] = tensor;
    store->count++;
    return KRS_OK;
}

/* A new tensor, in data if that is not NULL. */
static krs_status
make_tensor(const krs_device *device, const char *name, krsi_tensor of,
            krsi_tensor **out, krs_error *err)
{
    krsi_tensor *tensor = malloc(sizeof *tensor);
    krs_error reason;
    krs_status status =
        krs_fail(&reason, KRS_E_MEMORY, "no memory for %zu bytes", of.bytes);
    if (tensor) {
        *tensor = of;
        tensor->name = strdup(name);
    }
    if (tensor && tensor->name)
        status = of.bound
                     ? device->kind->wrap(device->state, of.bound, of.bytes,
                                          &tensor->memory, &reason)
                     : device->kind->alloc(device->state, of.bytes,
                                           &tensor->memory, &reason);
    if (status == KRS_OK) {
        *out = tensor;
        return KRS_OK;
    }
    if (tensor)
        tensor_free(device, tensor);
    return krs_fail(err, status, "%s: '%s': %s",
                    of.bound ? "store_bind" : "store_add", name, reason.text);
}

krs_status
krs_store_add(krs_store *store, const char *name, krs_dtype dtype,
              krs_shape shape, krs_error *err)
{
    char have[KRSI_TENSOR_TEXT], want[KRSI_TENSOR_TEXT];
    krsi_tensor *tensor, of = {.dtype = dtype, .shape = shape};
    bool found;
    KRS_TRY(krsi_need(store, "store_add", "the store", err));
    KRS_TRY(check_type("store_add", name, dtype, shape, &of.bytes, err));
    size_t at = position(store, name, &found);
    if (found) {
        const krsi_tensor *old = store->tensor[at];
        if (old->dtype == dtype && krsi_shape_equal(old->shape, shape))
            return KRS_OK;
        return krs_fail(err, KRS_E_NAME,
                        "store_add: '%s' is there as %s, not %s", name,
                        krsi_tensor_text(have, old->dtype, old->shape),
                        krsi_tensor_text(want, dtype, shape));
    }
    KRS_TRY(make_tensor(store->device, name, of, &tensor, err));
    return insert(store, at, tensor, err);
}

krs_status
krs_store_bind(krs_store *store, const char *name, krs_dtype dtype,
               krs_shape shape, void *data, size_t bytes, krs_error *err)
{
    char text[KRSI_TENSOR_TEXT];
    krsi_tensor *tensor, of = {.dtype = dtype, .shape = shape, .bound = data};
    bool found;
    KRS_TRY(krsi_need(store, "store_bind", "the store", err));
    KRS_TRY(check_type("store_bind", name, dtype, shape, &of.bytes, err));
    if (!data)
        return krs_fail(err, KRS_E_ARGUMENT, "store_bind: '%s': data is NULL",
                        name);
    if (bytes != of.bytes)
        return krs_fail(err, KRS_E_RANGE,
                        "store_bind: '%s' is %s, %zu bytes, not %zu", name,
                        krsi_tensor_text(text, dtype, shape), of.bytes, bytes);
    size_t at = position(store, name, &found);
    if (found)
        return krs_fail(err, KRS_E_NAME,
                        "store_bind: '%s' is there already: bind it before a "
                        "program adds it",
                        name);
    KRS_TRY(make_tensor(store->device, name, of, &tensor, err));
    return insert(store, at, tensor, err);
}

size_t
krs_store_count(const krs_store *store)
{
    return store ? store->count : 0;
}

static void
describe(const krsi_tensor *tensor, krs_dtype *out_dtype, krs_shape *out_shape)
{
    if (out_dtype)
        *out_dtype = tensor->dtype;
    if (out_shape)
        *out_shape = tensor->shape;
}

krs_status
krs_store_entry(const krs_store *store, size_t i, const char **out_name,
                krs_dtype *out_dtype, krs_shape *out_shape, krs_error *err)
{
    KRS_TRY(krsi_need(store, "store_entry", "the store", err));
    if (i >= store->count)
        return krs_fail(err, KRS_E_RANGE,
                        "store_entry: tensor %zu of a store that has %zu", i,
                        store->count);
    if (out_name)
        *out_name = store->tensor[i]->name;
    describe(store->tensor[i], out_dtype, out_shape);
    return KRS_OK;
}

/* the tensor, or NAME in the name of the function */
static krs_status
look_up(const krs_store *store, const char *function, const char *name,
        krsi_tensor **out, krs_error *err)
{
    KRS_TRY(krsi_need(store, function, "the store", err));
    KRS_TRY(krsi_need(name, function, "the name", err));
    *out = krsi_store_tensor(store, name);
    if (*out)
        return KRS_OK;
    return krs_fail(err, KRS_E_NAME,
                    "%s: no tensor '%s' among the %zu of the store", function,
                    name, store->count);
}

krs_status
krs_store_find(const krs_store *store, const char *name, krs_dtype *out_dtype,
               krs_shape *out_shape, krs_error *err)
{
    krsi_tensor *tensor;
    KRS_TRY(look_up(store, "store_find", name, &tensor, err));
    describe(tensor, out_dtype, out_shape);
    return KRS_OK;
}

static krs_status
check_bytes(const krsi_tensor *tensor, const char *function, size_t bytes,
            krs_error *err)
{
    char text[KRSI_TENSOR_TEXT];
    if (bytes == tensor->bytes)
        return KRS_OK;
    return krs_fail(err, KRS_E_RANGE, "%s: '%s' is %s, %zu bytes, not %zu",
                    function, tensor->name,
                    krsi_tensor_text(text, tensor->dtype, tensor->shape),
                    tensor->bytes, bytes);
}

krs_status
krs_store_write(krs_store *store, const char *name, const void *data,
                size_t bytes, krs_error *err)
{
    krsi_tensor *tensor;
    KRS_TRY(look_up(store, "store_write", name, &tensor, err));
    KRS_TRY(check_bytes(tensor, "store_write", bytes, err));
    if (bytes > 0)
        KRS_TRY(krsi_need(data, "store_write", "data", err));
    const krs_device *device = store->device;
    return device->kind->write(device->state, tensor->memory, data, bytes, err);
}

krs_status
krs_store_read(const krs_store *store, const char *name, void *data,
               size_t bytes, krs_error *err)
{
    krsi_tensor *tensor;
    KRS_TRY(look_up(store, "store_read", name, &tensor, err));
    KRS_TRY(check_bytes(tensor, "store_read", bytes, err));
    if (bytes > 0)
        KRS_TRY(krsi_need(data, "store_read", "data", err));
    const krs_device *device = store->device;
    return device->kind->read(device->state, tensor->memory, data, bytes, err);
}
