/* layout.h -- where values lie, decided before anything is allocated.
 *
 * In: steps, which are launches as this planner sees them (what they read,
 * what they write, which of it at the same element), and values with their
 * sizes. Out: an order and waves of the steps, a byte offset in one arena for
 * every temporary, and the updates that are done in the memory of their state.
 * It knows nothing of cuts, expressions or kernels; layout_step.c alone does.
 *
 * Two values share bytes only if
 *   - one is read for the last time in an earlier wave than the other is
 *     written first: the steps of a wave run at once; or
 *   - a step writes one where it reads the other for the last time, at the
 *     same element (krsi_read.same).
 *
 * A state is updated in place if nobody reads its old value later than, or
 * beside, whoever writes the new one. All such writes come in waves from
 * `commit` on, and all steps that may report a fault before: a run that fails
 * or is cancelled changes no state.
 */
#ifndef KRSI_LAYOUT_H
#define KRSI_LAYOUT_H

#include "cut.h"

enum { KRSI_PLACE_ALIGN = 64 }; /* bytes: a cache line, and any vector */

/* Bit i of `same`: the element that is read at a point, if any, lies where
 * write i stores the point, and no other point of the step reads it. */
typedef struct krsi_read {
    uint32_t value;
    uint32_t same;
} krsi_read;

typedef struct krsi_step {
    uint32_t node;
    uint32_t reads, writes; /* each value once */
    krsi_read *read;
    uint32_t *write;
    bool after;  /* earlier steps that write the same go first; later writers
                    of that value have `after` too */
    bool faults; /* may be the first to report an index outside its axis */
    bool copies; /* write 0 becomes read 0, all of it: nothing is left to do
                    where both lie in one place */
    bool gone;   /* that is so */
    int wave;
} krsi_step;

/* How memory is used; krs/program.h says it to users. */
typedef enum krsi_sharing {
    KRSI_SHARE,   /* as above */
    KRSI_SEPARATE /* every value has a place of its own, no state is updated in
                     place, waves as early as they can: the oracle */
} krsi_sharing;

#define KRSI_NO_STEP UINT32_MAX

typedef struct krsi_layout {
    size_t tail_bytes; /* behind each temporary, which others leave free */
    const krsi_storage *values; /* borrowed */
    size_t value_count;
    krsi_step *steps;
    size_t step_count;
    uint32_t *order; /* of steps; operands first, and what reads the old value
                        of a state before what updates it in place */
    int waves;
    int commit; /* first wave that writes a state; waves if none does */
    /* by value */
    uint32_t *home;     /* the value whose place it has: itself, a temporary
                           before it, a state */
    int *first, *last;  /* waves that use it; first -1: none does */
    size_t *offset;     /* of temporaries, bytes */
    size_t arena_bytes; /* of all temporaries */
    size_t live_bytes;  /* most that live in one wave: at least as much is
                           needed */
    int peak;           /* that wave */
    krsi_arena arena;   /* of steps and all arrays but what passes use */
} krsi_layout;

/* layout_step.c -- a step for each cut of the schedule that stores anything;
 * step_of, by cut, is the number of its step or KRSI_NO_STEP. */
bool krsi_layout_steps(krsi_layout *l, const krsi_sched *s, uint32_t *step_of);

/* layout_fault.c -- krsi_step.faults, called by the former */
bool krsi_layout_faults(krsi_layout *l, const krsi_sched *s,
                        const uint32_t *step_of);

/* layout.c -- everything from steps and values (fields up to step_count,
 * steps without wave and gone). false: no memory. krsi_layout_free takes a
 * zeroed one too. */
bool krsi_layout_make(krsi_layout *l, krsi_sharing sharing);
void krsi_layout_free(krsi_layout *l);
/* updated in place: the output lies where its state does */
bool krsi_layout_in_place(const krsi_layout *l, uint32_t value);

/* the passes of krsi_layout_make, in order; false: no memory */

/* layout_order.c -- order, home of the outputs that update in place */
bool krsi_layout_order(krsi_layout *l, krsi_sharing sharing);
/* layout_wave.c -- waves, commit */
bool krsi_layout_waves(krsi_layout *l, krsi_sharing sharing);

/* layout_pack.c -- offsets for places that are used from wave first to last;
 * what it needs in all. false: no memory, or more than SIZE_MAX / 2 bytes. */
typedef struct krsi_room {
    int first, last;
    size_t bytes; /* a multiple of KRSI_PLACE_ALIGN */
    size_t offset;
} krsi_room;
bool krsi_layout_pack(krsi_room *rooms, size_t count, size_t *out_bytes);

/* layout_verify.c -- check all of the above again, by another method.
 * INTERNAL with the values named, or MEMORY. */
krs_status krsi_layout_verify(const krsi_layout *l, krs_error *err);

#endif
