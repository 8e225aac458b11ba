/* golden.h -- the golden results of a model folder: golden.json and
 * golden.safetensors (tests/golden/README.md), and the count of what agreed.
 */
#ifndef KRSI_GOLDEN_H
#define KRSI_GOLDEN_H

#include "../load/json_file.h"

#include <krs/model.h>
#include <krs/verify.h>
#include <krs/weights.h>

struct krsi_golden {
    const char *folder;
    krs_verify_sink sink;
    void *user;
    size_t passed, failed;
    krsi_json_file *json;
    krsi_json root;
    krs_weights *tensors;
};

/* krsi_golden_open(golden, err) -- both files of golden->folder.
 * krsi_golden_close(golden) -- also after a failed open. */
krs_status krsi_golden_open(struct krsi_golden *golden, krs_error *err);
void krsi_golden_close(struct krsi_golden *golden);

/* krsi_golden_read(golden, name, dtype, &view, err) -- a tensor in memory;
 * krsi_golden_free(&view). */
krs_status krsi_golden_read(const struct krsi_golden *golden, const char *name,
                            krs_dtype dtype, krs_view *view, krs_error *err);
void krsi_golden_free(krs_view *view);

/* krsi_golden_tolerance(golden, table, name, &tolerance, err) -- an entry of
 * "tol" or "grad_tol".
 * krsi_golden_tolerance_of(object, key, &tolerance, err) -- one that lies in a
 * JSON object under a key. */
krs_status krsi_golden_tolerance(const struct krsi_golden *golden,
                                 const char *table, const char *name,
                                 krs_tolerance *out, krs_error *err);
krs_status krsi_golden_tolerance_of(const krsi_json *object, const char *key,
                                    krs_tolerance *out, krs_error *err);

/* krsi_golden_compare(golden, kind, name, got, want, mask, tolerance, err) --
 * compare and report; what disagrees is counted, no error.
 * krsi_golden_absent(golden, kind, name, reason) -- report one that is not
 * there to compare. */
krs_status krsi_golden_compare(struct krsi_golden *golden, const char *kind,
                               const char *name, const krs_view *got,
                               const krs_view *want, const krs_view *mask,
                               krs_tolerance tolerance, krs_error *err);
void krsi_golden_absent(struct krsi_golden *golden, const char *kind,
                        const char *name, const char *reason);

/* ---- continuation.c ---- */

/* krsi_golden_continue(golden, store, config, err) -- the continuations of
 * golden.json, id for id, and the scores of beams. */
krs_status krsi_golden_continue(struct krsi_golden *golden, krs_store *store,
                                const krs_model_config *config, krs_error *err);

#endif
