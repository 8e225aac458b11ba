/* work_check.h -- what backends ask of work before they run any of it. */
#ifndef KRSI_WORK_CHECK_H
#define KRSI_WORK_CHECK_H

#include <krs/backend.h>
#include <stddef.h>

/* Who asks, and where its own structs have what is looked at. */
typedef struct krsi_work_asker {
    const char *name; /* begins every sentence */
    const krs_backend_limits *limits;
    size_t kernel_at; /* in struct krs_backend_code: const krs_kernel * */
    size_t bytes_at;  /* in struct krs_backend_memory: size_t */
} krsi_work_asker;
#define KRSI_WORK_PLACES                       \
    offsetof(struct krs_backend_code, kernel), \
        offsetof(struct krs_backend_memory, bytes)

/* Waves ascend to the launches; no grid has negative sizes, more groups along an
 * axis than the limits, or more in all than most_groups; every parameter has a
 * memory, a stretch inside of it, and begins where its buffer and the device say.
 * Errors: ARGUMENT (waves; no memory), RANGE (all others), naming the kernel, the
 * buffer and the numbers. */
krs_status krsi_work_check(const krsi_work_asker *asker,
                           const krs_backend_work *work, int64_t most_groups,
                           krs_error *err);

#endif
