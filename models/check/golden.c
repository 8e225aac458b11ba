/* golden.c -- the golden results of a model folder (golden.h).
 *
 * In: the folder. Out: tensors and tolerances as they stand there, and a
 * report for each comparison.
 */
#include "golden.h"
#include "../load/path.h"

#include <stdlib.h>

krs_status
krsi_golden_open(struct krsi_golden *g, krs_error *err)
{
    char *path;
    KRS_TRY(krsi_path(&path, err, "%s/golden.json", g->folder));
    krs_status status = krsi_json_open(path, &g->json, err);
    free(path);
    KRS_TRY(status);
    g->root = krsi_json_root(g->json);
    KRS_TRY(krsi_path(&path, err, "%s/golden.safetensors", g->folder));
    status = krs_weights_open(path, &g->tensors, err);
    free(path);
    return status;
}

void
krsi_golden_close(struct krsi_golden *g)
{
    krs_weights_close(g->tensors);
    krsi_json_close(g->json);
}

krs_status
krsi_golden_read(const struct krsi_golden *g, const char *name, krs_dtype dtype,
                 krs_view *view, krs_error *err)
{
    const char *path = krs_weights_path(g->tensors);
    int64_t i = krs_weights_find(g->tensors, name);
    if (i < 0)
        return krs_fail(err, KRS_E_NAME, "%s: the tensor %s is missing", path,
                        name);
    const krs_weight *w = krs_weights_at(g->tensors, (size_t)i);
    krs_shape shape = {.rank = w->rank};
    for (int a = 0; a < w->rank; a++)
        shape.dim[a] = w->shape[a];
    size_t bytes;
    if (!krs_dtype_bytes(dtype, w->count, &bytes))
        return krs_fail(err, KRS_E_SHAPE, "%s: %s is too large", path, name);
    void *data = malloc(bytes + 1);
    if (data == NULL)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory for %s (%zu bytes)",
                        path, name, bytes);
    krs_status status =
        krs_weights_read(g->tensors, (size_t)i, dtype, data, bytes, err);
    if (status != KRS_OK) {
        free(data);
        return status;
    }
    *view = (krs_view){dtype, shape, data, bytes};
    return KRS_OK;
}

void
krsi_golden_free(krs_view *view)
{
    free((void *)(uintptr_t)view->data);
    view->data = NULL;
}

krs_status
krsi_golden_tolerance_of(const krsi_json *object, const char *key,
                         krs_tolerance *out, krs_error *err)
{
    krsi_json one;
    *out = (krs_tolerance){0};
    KRS_TRY(krsi_json_object(object, key, &one, err));
    KRS_TRY(krsi_json_double(&one, "rtol", KRSI_NOT_NEGATIVE, &out->rtol, err));
    return krsi_json_double(&one, "atol", KRSI_NOT_NEGATIVE, &out->atol, err);
}

krs_status
krsi_golden_tolerance(const struct krsi_golden *g, const char *table,
                      const char *name, krs_tolerance *out, krs_error *err)
{
    krsi_json all;
    *out = (krs_tolerance){0};
    KRS_TRY(krsi_json_object(&g->root, table, &all, err));
    return krsi_golden_tolerance_of(&all, name, out, err);
}

/* ---- reports ---- */

static void
report(struct krsi_golden *g, const krs_verify_check *check)
{
    if (check->reason == NULL)
        g->passed++;
    else
        g->failed++;
    if (g->sink != NULL)
        g->sink(g->user, check);
}

void
krsi_golden_absent(struct krsi_golden *g, const char *kind, const char *name,
                   const char *reason)
{
    krs_verify_check check = {
        .kind = kind, .name = name, .reason = reason, .comparison.worst = -1};
    report(g, &check);
}

krs_status
krsi_golden_compare(struct krsi_golden *g, const char *kind, const char *name,
                    const krs_view *got, const krs_view *want,
                    const krs_view *mask, krs_tolerance tolerance,
                    krs_error *err)
{
    krs_verify_check check = {
        .kind = kind, .name = name, .tolerance = tolerance};
    krs_error reason;
    krs_status status =
        krs_compare(got, want, mask, tolerance, &check.comparison, &reason);
    if (status != KRS_OK && status != KRS_E_CHECK)
        return krs_fail(err, status, "%s: %s", name, reason.text);
    if (status == KRS_E_CHECK)
        check.reason = reason.text;
    report(g, &check);
    return KRS_OK;
}
