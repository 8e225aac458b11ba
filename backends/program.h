/* program.h (internal) -- devices, stores and programs inside, and the seam
 * between a program and what computes it.
 *
 * A program owns an expanded copy of its graph, the data of its inputs and
 * the values of its variables; it knows nothing of how a graph is computed.
 * A device kind knows that and nothing of names, stores or updates.
 */
#ifndef KRSI_PROGRAM_H
#define KRSI_PROGRAM_H

#include "../graph/ir/ir.h"

#include <krs/program.h>

#include <stdatomic.h>

/* One way to compute graphs of primitives. */
typedef struct krsi_device_kind {
    const char *name;
    /* ready to compute roots of g, which outlives the result */
    krs_status (*prepare)(const krs_graph *g, const uint32_t *roots,
                          size_t count, void **out, krs_error *err);
    void (*discard)(void *prepared); /* NULL is fine */
    /* the data of an input or state, borrowed until the next bind */
    void (*bind)(void *prepared, uint32_t id, const void *data);
    /* compute the roots under var[number]; stop when *cancel is set */
    krs_status (*run)(void *prepared, const int64_t *var,
                      const atomic_bool *cancel, krs_error *err);
    /* a root after a run: its maximal shape, zero beyond live lengths */
    void (*read)(const void *prepared, size_t root, void *data);
} krsi_device_kind;

struct krs_device {
    const krsi_device_kind *kind;
};

/* ---- eval_device.c ---- */
extern const krsi_device_kind krsi_eval_device;

/* ---- store.c ---- */

/* A named tensor; the pointer is good as long as the store lives. */
typedef struct krsi_tensor {
    char *name;
    krs_dtype dtype;
    krs_shape shape;
    size_t bytes;
    void *data;
} krsi_tensor;

/* NULL if absent */
krsi_tensor *krsi_store_tensor(const krs_store *store, const char *name);
const krsi_device_kind *krsi_store_kind(const krs_store *store);
/* "f32[2,3]" */
#define KRSI_TENSOR_TEXT 200
const char *krsi_tensor_text(char text[KRSI_TENSOR_TEXT], krs_dtype dtype,
                             krs_shape shape);
bool krsi_shape_equal(krs_shape a, krs_shape b);

#endif
