/* keval.h -- between the parts of the kernel interpreter.
 *
 * keval_decode.c turns a kernel into steps over a register file, keval.c runs
 * them, keval_race.c watches what items of a group share, keval_scalar.c holds
 * one function for each row of scalar.def and element type.
 */
#ifndef KRSI_KEVAL_H
#define KRSI_KEVAL_H

#include "kernel.h"

enum keval_code {
    KEVAL_PURE, /* fn does it all */
    KEVAL_LOAD,
    KEVAL_GATHER,
    KEVAL_STORE,
    KEVAL_SCATTER,
    KEVAL_ENTER, /* FOR: the index takes its first value */
    KEVAL_TEST,  /* skip the loop if it has no trip */
    KEVAL_AGAIN, /* END: step, and back to `jump` */
    KEVAL_BARRIER,
    KEVAL_STOP
};

/* One step. Operands are byte offsets into the registers of an item; dst may
 * be one of them exactly, never overlap one partly. */
struct keval_op {
    void (*fn)(char *registers, const struct keval_op *op);
    uint8_t code; /* enum keval_code */
    uint8_t lanes;
    uint8_t element_bytes;
    uint8_t align_log2;
    uint8_t offset_bytes; /* of an offset of GATHER, SCATTER */
    bool masked;
    bool is_bool;
    uint16_t slot;
    uint32_t dst, a, b, c, d;
    uint32_t jump;
    uint32_t inst;             /* for messages */
    const uint8_t *lane_table; /* SHUFFLE */
};

typedef void (*keval_fn)(char *registers, const struct keval_op *op);

/* Axis, argument and local leaves: where their value goes. */
struct keval_leaf {
    uint8_t op;
    uint16_t slot;
    uint32_t dst;
};

struct keval_memory {
    char *data;
    int64_t count; /* elements */
};

/* Elements that items of a group touched since the last barrier
 * (keval_race.c). */
enum { KEVAL_NOBODY = -1, KEVAL_SEVERAL = -2 };

struct keval_touch {
    uintptr_t at;
    uint64_t interval;      /* 0: none yet */
    int32_t writer, reader; /* items */
};

struct keval_races {
    struct keval_touch *touch; /* open addressing by address */
    size_t slots, used;        /* a power of two; in this interval */
    uint64_t interval;
};

enum keval_access {
    KEVAL_READS,
    KEVAL_WRITES,
    KEVAL_WRITES_THE_SAME /* bits that are there, where that is no race */
};
enum keval_meeting { KEVAL_FINE, KEVAL_RACE, KEVAL_NO_MEMORY };

struct krs_keval {
    const krs_kernel *kernel;
    struct keval_op *ops;
    size_t op_count, op_capacity;
    uint32_t *registers; /* byte offset of each value */
    size_t register_bytes;
    char *file; /* register files of all items of a group */
    struct keval_leaf *leaves;
    size_t leaf_count, leaf_capacity;
    uint32_t *counters; /* of each item, between barriers */
    struct keval_memory *memory;
    char **owned; /* scratch (of all items) and shared memory, by buffer */
    size_t *owned_bytes;
    bool *watched; /* by buffer: items of a group may race for it */
    struct keval_races races;
    size_t items;
    int64_t group[KRS_K_AXES];
};

/* keval_decode.c -- fill the steps, registers and leaves of a keval whose
 * kernel, items and arrays stand, and allocate its file; false without
 * memory. The facts choose how mad and dot2_bf16 round. */
bool krsi_keval_decode(krs_keval *keval, const krs_kfacts *facts);

/* keval_race.c -- which buffers of a launch are watched; all items are at a
 * barrier; an item touches an element: KEVAL_RACE with the item (or
 * KEVAL_SEVERAL) that was there before. */
void krsi_keval_watch(krs_keval *keval, const krs_klaunch *launch);
void krsi_keval_barrier(struct keval_races *races);
enum keval_meeting krsi_keval_touch(struct keval_races *races,
                                    const void *element, int32_t item,
                                    enum keval_access access,
                                    int32_t *out_other);

/* keval_scalar.c -- the function of a scalar instruction whose operands have
 * the type `from` and whose result has the type `to`; never NULL for what the
 * verifier accepts. */
keval_fn krsi_keval_scalar(krs_kscalar op, krs_dtype from, krs_dtype to,
                           const krs_kfacts *facts);
keval_fn krsi_keval_broadcast(int element_bytes);
keval_fn krsi_keval_shuffle(int element_bytes);
keval_fn krsi_keval_copy(void); /* element_bytes * lanes from a to dst */

#endif
