/* kernel_device.h -- what the files of the device of kernels share:
 * kernel_device.c has the machine and its memory, kernel_ready.c makes a
 * program ready, kernel_memory.c counts its bytes, kernel_run.c runs it,
 * kernel_poison.c does so that stale reads show, kernel_listing.c shows it.
 */
#ifndef KRSI_KERNEL_DEVICE_H
#define KRSI_KERNEL_DEVICE_H

#include "program.h"

#include "../graph/kernel/lower.h"
#include "backend.h"

#include <pthread.h>

/* A device of a backend. */
typedef struct krsi_machine {
    krsi_registry_entry entry;
    const krs_backend *backend; /* of entry */
    krs_backend_device *device;
    const krs_backend_limits *limits;
    krsi_cache *cache; /* NULL: none */
    bool fuses;        /* cuts are merged */
    krsi_sharing sharing;
    bool poisons; /* KRS_MEMORY_POISONED */
    /* krs_device_options */
    bool (*compiling)(void *context, size_t done, size_t total);
    void *context;
    _Atomic uint64_t bytes, most_bytes; /* allocated */
    /* held from submit to wait: one submission of a device is in flight */
    pthread_mutex_t running;
} krsi_machine;

struct krsi_memory {
    krs_backend_memory *memory;
    size_t bytes;
    size_t counted_bytes; /* 0: wrapped */
};

/* Launches that are submitted at once, and the loop that follows them. */
typedef struct krsi_stretch {
    size_t launch, launches; /* the first, and how many */
    size_t wave_end, waves;  /* in wave_ends, which count from `launch` */
    int loop;                /* of the plan; -1: none */
    int last_wave;
    bool commits; /* states are written from here on */
} krsi_stretch;

/* Of a launch in a loop: all iterations. */
typedef struct krsi_total {
    uint64_t begin_ns, time_ns;
} krsi_total;

/* A program made ready, or the body of one of its loops. What stands before
 * `users` is shared by it and its clones, and constant once it is equipped. */
typedef struct krsi_ready {
    krsi_machine *m;
    bool is_body;        /* the arena is another's */
    int64_t times;       /* it runs in a run of the program */
    size_t first_kernel; /* of its kernels among all, which begin with those of
                            the program */
    krsi_plan plan;
    krs_backend_code **code; /* one a kernel */
    krs_backend_memory *constants;
    size_t *constant_offset; /* by value */
    size_t constants_bytes;
    bool *root_is_live; /* must be zeroed before a run */
    atomic_size_t *users;
    krs_backend_memory *arena, *faults;
    size_t arena_offset;
    krs_backend_binding *leaf; /* by node id */
    krs_backend_binding *root;
    struct krsi_ready **body; /* by loop of the plan */
    int64_t *var;             /* of a body: the variables, the iteration */
    krs_backend_launch *launches;
    krs_backend_binding *bindings;
    krs_kargument *args;
    size_t *wave_ends;
    krsi_stretch *stretch;
    size_t stretches;
    int64_t *fault;
    krs_backend_span *spans; /* NULL: not profiled */
    krsi_total *totals;      /* of a body that is profiled */
    /* with poison: stretches of the arena, by the last wave that uses them */
    krsi_room *dead;
    size_t dead_count;
} krsi_ready;

/* What a fault slot holds when there is none. */
#define KRSI_NO_FAULT INT64_MIN

/* kernel_device.c -- memory of the backend, counted; NULL can be freed */
krs_status krsi_machine_alloc(krsi_machine *m, size_t bytes,
                              krs_backend_memory **out, krs_error *err);
void krsi_machine_free(krsi_machine *m, krs_backend_memory *memory,
                       size_t bytes);
/* every byte of a stretch */
krs_status krsi_machine_fill(krsi_machine *m, krs_backend_memory *memory,
                             size_t offset, size_t bytes, unsigned char with,
                             krs_error *err);

/* kernel_ready.c */
krs_status krsi_ready_prepare(void *state, const krs_graph *g,
                              const uint32_t *roots, size_t count, void **out,
                              krs_error *err);
krs_status krsi_ready_equip(void *prepared, krs_error *err);
krs_status krsi_ready_clone(void *state, const void *prepared,
                            const krs_graph *g, const uint32_t *roots,
                            size_t count, void **out, krs_error *err);
void krsi_ready_discard(void *prepared);
size_t krsi_ready_fault_bytes(const krsi_ready *r);

/* kernel_memory.c */
krs_status krsi_ready_memory(const void *prepared, krs_memory_info *out,
                             krs_error *err);

/* kernel_run.c */
/* where a value lies now */
krs_backend_binding krsi_ready_binding(const krsi_ready *r, uint32_t value);
/* everything once, without looking for faults */
krs_status krsi_ready_go(krsi_ready *r, const int64_t *var,
                         const atomic_int *cancel, krs_error *err);
krs_status krsi_ready_run(void *prepared, const int64_t *var,
                          const atomic_int *cancel, krs_error *err);

/* kernel_loop.c -- all iterations; forget the times of earlier ones */
void krsi_loop_forget_times(krsi_ready *r);
krs_status krsi_loop_run(krsi_ready *r, int loop, const int64_t *var,
                         const atomic_int *cancel, krs_error *err);

/* kernel_poison.c -- poison all of the arena before a run; then, after a wave,
 * what nobody uses later */
krs_status krsi_poison_prepare(krsi_ready *r, krs_error *err);
krs_status krsi_poison_all(krsi_ready *r, krs_error *err);
krs_status krsi_poison_after(krsi_ready *r, int wave, krs_error *err);

/* kernel_listing.c */
krs_status krsi_ready_print(void *prepared, const char *stage, char **out_text,
                            krs_error *err);
void krsi_ready_profile(void *prepared, bool on);
bool krsi_ready_launch(const void *prepared, size_t i, krs_launch_info *out);

#endif
