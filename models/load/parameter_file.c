/* parameter_file.c -- the parameters of a model from and to a safetensors
 * file (nn.h). What is open already may be of any format.
 *
 * In: the states that a forward pass declared, and a file. The two must agree
 * exactly: a tensor missing, one too many or one of another shape is refused
 * before the store is touched, in one sentence that names the tensor.
 *
 * A checkpoint with a tied output matrix may hold it a second time under the
 * name of the output layer; that is a tensor too many here, because nothing
 * says that the two copies are equal.
 */
#include <krs/nn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHAPE_TEXT 128

/* "[4, 8]" */
static const char *
print_shape(char text[SHAPE_TEXT], int rank, const int64_t *dim)
{
    size_t used = 0;
    text[used++] = '[';
    for (int i = 0; i < rank; i++) {
        int length = snprintf(text + used, SHAPE_TEXT - used, "%s%lld",
                              i > 0 ? ", " : "", (long long)dim[i]);
        if (length < 0 || (size_t)length >= SHAPE_TEXT - used - 1)
            break;
        used += (size_t)length;
    }
    text[used++] = ']';
    text[used] = '\0';
    return text;
}

static bool
same_shape(const krs_weight *tensor, krs_shape shape)
{
    if (tensor->rank != shape.rank)
        return false;
    for (int i = 0; i < shape.rank; i++)
        if (tensor->shape[i] != shape.dim[i])
            return false;
    return true;
}

static krs_status
check_one(const krs_weights *file, krs_node parameter, krs_error *err)
{
    const char *name = krs_node_name(parameter);
    int64_t i = krs_weights_find(file, name);
    if (i < 0)
        return krs_fail(err, KRS_E_NAME,
                        "%s: the tensor %s is missing, which the model needs",
                        krs_weights_path(file), name);
    const krs_weight *tensor = krs_weights_at(file, (size_t)i);
    krs_shape shape = krs_node_shape(parameter);
    if (!same_shape(tensor, shape)) {
        char got[SHAPE_TEXT], want[SHAPE_TEXT];
        return krs_fail(err, KRS_E_SHAPE,
                        "%s: the tensor %s has the shape %s; the model's "
                        "settings make it %s",
                        tensor->file, name,
                        print_shape(got, tensor->rank, tensor->shape),
                        print_shape(want, shape.rank, shape.dim));
    }
    if (!krs_stored_converts(tensor->stored, krs_node_dtype(parameter)))
        return krs_fail(err, KRS_E_DTYPE,
                        "%s: the tensor %s is stored as %s, which is not read "
                        "as %s",
                        tensor->file, name, krs_stored_name(tensor->stored),
                        krs_dtype_name(krs_node_dtype(parameter)));
    return KRS_OK;
}

static bool
is_wanted(const char *name, const krs_node *parameters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(krs_node_name(parameters[i]), name) == 0)
            return true;
    return false;
}

/* No parameter: the places 0, 1, 2 .. of a model, which BERT's checkpoints had
 * beside their weights before version 4.31 of transformers. */
static bool
is_places(const krs_weight *tensor)
{
    static const char ending[] = "position_ids";
    size_t length = strlen(tensor->name);
    return tensor->stored == KRS_STORED_I64 && length >= sizeof ending - 1 &&
           strcmp(tensor->name + length - (sizeof ending - 1), ending) == 0;
}

/* Every parameter is in the file once (names there are unique), so equal
 * counts mean that nothing is left over. */
static krs_status
check_all(const krs_weights *file, const krs_node *parameters, size_t count,
          krs_error *err)
{
    for (size_t i = 0; i < count; i++)
        KRS_TRY(check_one(file, parameters[i], err));
    if (krs_weights_count(file) == count)
        return KRS_OK;
    for (size_t i = 0; i < krs_weights_count(file); i++) {
        const krs_weight *tensor = krs_weights_at(file, i);
        if (!is_places(tensor) && !is_wanted(tensor->name, parameters, count))
            return krs_fail(err, KRS_E_NAME,
                            "%s: the model has no use for the tensor %s; "
                            "config.json and weights do not belong together",
                            tensor->file, tensor->name);
    }
    return KRS_OK;
}

static krs_status
parameter_bytes(krs_node parameter, krs_dtype dtype, size_t *bytes,
                krs_error *err)
{
    int64_t count;
    if (!krs_shape_elements(krs_node_shape(parameter), &count) ||
        !krs_dtype_bytes(dtype, count, bytes))
        return krs_fail(err, KRS_E_SHAPE, "%s: more bytes than can be counted",
                        krs_node_name(parameter));
    return KRS_OK;
}

/* The type that a parameter has in the store. */
static krs_dtype
type_in_store(const krs_weight *tensor, krs_node parameter,
              krs_weights_form form)
{
    krs_dtype stored, dtype = krs_node_dtype(parameter);
    bool keeps = form == KRS_AS_STORED && dtype == KRS_F32 &&
                 tensor->rank >= 2 &&
                 krs_stored_dtype(tensor->stored, &stored) &&
                 krs_dtype_class_of(stored) == KRS_CLASS_BLOCK;
    return keeps ? stored : dtype;
}

static krs_status
load_one(krs_store *store, const krs_weights *file, krs_node parameter,
         krs_weights_form form, krs_error *err)
{
    const char *name = krs_node_name(parameter);
    size_t i = (size_t)krs_weights_find(file, name);
    krs_dtype dtype = type_in_store(krs_weights_at(file, i), parameter, form);
    size_t bytes;
    KRS_TRY(parameter_bytes(parameter, dtype, &bytes, err));
    KRS_TRY(krs_store_add(store, name, dtype, krs_node_shape(parameter), err));
    void *data = malloc(bytes + 1);
    if (data == NULL)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory for %s (%zu bytes)",
                        krs_weights_path(file), name, bytes);
    krs_status status = krs_weights_read(file, i, dtype, data, bytes, err);
    if (status == KRS_OK)
        status = krs_store_write(store, name, data, bytes, err);
    free(data);
    return status;
}

static krs_status
check_list(const char *function, const krs_store *store,
           const krs_node *parameters, size_t count, krs_error *err)
{
    if (store != NULL && (parameters != NULL || count == 0))
        return KRS_OK;
    return krs_fail(err, KRS_E_ARGUMENT, "%s: the %s NULL", function,
                    store ? "parameters are" : "store is");
}

krs_status
krs_nn_load_weights(krs_store *store, const krs_node *parameters, size_t count,
                    const krs_weights *file, krs_weights_form form,
                    krs_error *err)
{
    KRS_TRY(check_all(file, parameters, count, err));
    for (size_t i = 0; i < count; i++)
        KRS_TRY(load_one(store, file, parameters[i], form, err));
    return KRS_OK;
}

krs_status
krs_nn_load(krs_store *store, const krs_node *parameters, size_t count,
            const char *path, krs_error *err)
{
    krs_weights *file;
    KRS_TRY(check_list("load", store, parameters, count, err));
    KRS_TRY(krs_weights_open(path, &file, err));
    krs_status status =
        krs_nn_load_weights(store, parameters, count, file, KRS_WIDENED, err);
    krs_weights_close(file);
    return status;
}

/* ---- saving ---- */

/* One tensor out of the store; source->data is to be freed. */
static krs_status
fetch_one(const krs_store *store, krs_node parameter, krs_weight_source *source,
          int64_t shape[KRS_MAX_RANK], krs_error *err)
{
    size_t bytes;
    KRS_TRY(parameter_bytes(parameter, krs_node_dtype(parameter), &bytes, err));
    const char *name = krs_node_name(parameter);
    void *data = malloc(bytes + 1);
    if (data == NULL)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory to save %zu bytes",
                        name, bytes);
    krs_status status = krs_store_read(store, name, data, bytes, err);
    if (status != KRS_OK) {
        free(data);
        return status;
    }
    krs_shape s = krs_node_shape(parameter);
    for (int i = 0; i < s.rank; i++)
        shape[i] = s.dim[i];
    *source = (krs_weight_source){.name = name,
                                  .dtype = krs_node_dtype(parameter),
                                  .rank = s.rank,
                                  .shape = shape,
                                  .data = data};
    return KRS_OK;
}

krs_status
krs_nn_save(const krs_store *store, const krs_node *parameters, size_t count,
            const char *path, krs_error *err)
{
    /* as the Hugging Face libraries expect it */
    const krs_weights_note note = {"format", "pt"};
    KRS_TRY(check_list("save", store, parameters, count, err));
    krs_weight_source *sources = calloc(count + 1, sizeof *sources);
    int64_t(*shapes)[KRS_MAX_RANK] = calloc(count + 1, sizeof *shapes);
    krs_status status = KRS_OK;
    if (sources == NULL || shapes == NULL)
        status = krs_fail(err, KRS_E_MEMORY,
                          "%s: no memory to list %zu tensors", path, count);
    for (size_t i = 0; i < count && status == KRS_OK; i++)
        status = fetch_one(store, parameters[i], &sources[i], shapes[i], err);
    if (status == KRS_OK)
        status = krs_weights_write(path, sources, count, &note, 1, err);
    for (size_t i = 0; sources != NULL && i < count; i++)
        free((void *)(uintptr_t)sources[i].data);
    free(shapes);
    free(sources);
    return status;
}
