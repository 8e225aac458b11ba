/* program.h (internal) -- devices, stores and programs inside, and the seam
 * between a program and what computes it.
 *
 * A program owns an expanded copy of its graph, the data of its inputs and
 * the values of its variables; it knows nothing of how a graph is computed.
 * A device kind knows that and nothing of names, stores or updates.
 */
#ifndef KRSI_PROGRAM_H
#define KRSI_PROGRAM_H

#include "../graph/opt/opt.h"

#include <krs/program.h>

#include <stdatomic.h>

/* Memory of a device: what a tensor's data is to its kind. */
typedef struct krsi_memory krsi_memory;

/* One way to compute graphs. State is whatever open gave. */
typedef struct krsi_device_kind {
    /* takes composites that have a kernel family; else primitives only */
    bool has_families;
    krs_status (*open)(const char *name, const krs_device_options *options,
                       void **out_state, krs_error *err);
    void (*close)(void *state);
    void (*describe)(const void *state, krs_device_info *out);
    /* zeroed */
    krs_status (*alloc)(void *state, size_t bytes, krsi_memory **out,
                        krs_error *err);
    /* data of the user's as memory of the device: not copied, not freed */
    krs_status (*wrap)(void *state, void *data, size_t bytes, krsi_memory **out,
                       krs_error *err);
    void (*free)(void *state, krsi_memory *memory); /* NULL is fine */
    krs_status (*write)(void *state, krsi_memory *memory, const void *data,
                        size_t bytes, krs_error *err);
    krs_status (*read)(void *state, const krsi_memory *memory, void *data,
                       size_t bytes, krs_error *err);
    /* plan to compute roots of g, which outlives the result: it can be
     * printed, asked for memory and discarded */
    krs_status (*prepare)(void *state, const krs_graph *g,
                          const uint32_t *roots, size_t count, void **out,
                          krs_error *err);
    /* then: code and memory, so that it can be bound and run */
    krs_status (*equip)(void *prepared, krs_error *err);
    /* the same once more, equipped, that can run at the same time; plan and
     * code are shared. g, roots: as for prepare */
    krs_status (*clone)(void *state, const void *prepared, const krs_graph *g,
                        const uint32_t *roots, size_t count, void **out,
                        krs_error *err);
    /* what the kind itself allocates, and the peak; the rest is zero */
    krs_status (*memory)(const void *prepared, krs_memory_info *out,
                         krs_error *err);
    void (*discard)(void *prepared); /* NULL is fine */
    /* where an input or state lies, and where a root goes: its maximal shape,
     * zero beyond live lengths; borrowed until the next bind */
    void (*bind_leaf)(void *prepared, uint32_t id, krsi_memory *memory);
    void (*bind_root)(void *prepared, size_t root, krsi_memory *memory);
    /* the root is an update that is written where the state lies: it is not
     * bound */
    bool (*is_in_place)(const void *prepared, size_t root);
    /* compute the roots under var[number]; stop when *cancel is set and no
     * state has been written yet. After an error other than DEVICE none was. */
    krs_status (*run)(void *prepared, const int64_t *var,
                      const atomic_int *cancel, krs_error *err);
    /* stages after those of graphs; NAME for one that is not there */
    krs_status (*print)(void *prepared, const char *stage, char **out_text,
                        krs_error *err);
    void (*profile)(void *prepared, bool on);
    /* false past the last launch */
    bool (*launch)(const void *prepared, size_t i, krs_launch_info *out);
} krsi_device_kind;

struct krs_device {
    const krsi_device_kind *kind;
    void *state;
    char *name;                 /* as it was opened: "cpu:0" */
    char *stage;                /* last pass over graphs; NULL: all */
    krsi_composites composites; /* that its kind is given */
    void (*observe)(void *context, krs_program *program,
                    krs_program_event event); /* NULL: nobody */
    void *context;
};

/* ---- eval_device.c, kernel_device.c ---- */
extern const krsi_device_kind krsi_eval_device, krsi_kernel_device;

/* ---- store.c ---- */

/* A named tensor; the pointer is good as long as the store lives. */
typedef struct krsi_tensor {
    char *name;
    krs_dtype dtype;
    krs_shape shape;
    size_t bytes;
    krsi_memory *memory;
    void *bound; /* the user's data that memory wraps; NULL: our own */
} krsi_tensor;

/* NULL if absent */
krsi_tensor *krsi_store_tensor(const krs_store *store, const char *name);
krs_device *krsi_store_device(const krs_store *store);
/* "f32[2,3]" */
#define KRSI_TENSOR_TEXT 200
const char *krsi_tensor_text(char text[KRSI_TENSOR_TEXT], krs_dtype dtype,
                             krs_shape shape);
bool krsi_shape_equal(krs_shape a, krs_shape b);

#endif
