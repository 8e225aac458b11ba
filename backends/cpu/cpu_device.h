/* cpu_device.h -- what the functions of the seam share. */
#ifndef KRSI_CPU_DEVICE_H
#define KRSI_CPU_DEVICE_H

#include "cpu.h"
#include "threads.h"

#include "../host_memory.h"
#include "../work_check.h"

struct krs_backend_code {
    const krs_kernel *kernel; /* borrowed until drop */
    krsi_cpu_linked *linked;
    krsi_cpu_function *function;
};

/* What one worker owns, grown before a submission starts. */
typedef struct krsi_cpu_worker {
    LLVMTargetMachineRef machine; /* for building; made at first use */
    void **buffers;               /* of the launch that runs */
    size_t buffer_room;
    unsigned char *scratch;
    size_t scratch_bytes;
} krsi_cpu_worker;

struct krs_backend_device {
    krsi_cpu_target target;
    krs_backend_limits limits;
    krsi_team *team;
    krsi_cpu_worker *workers; /* as many as the team has */
    uint32_t compilers;       /* of them, those that can compile */
    krsi_cpu_linker *linker;
    struct krsi_cpu_state *states; /* of the launches of a submission */
    size_t state_room;
    krs_allocator allocator; /* if it has functions */
    krs_status outcome;      /* what wait returns */
};

/* cpu_memory.c */
krs_status krsi_cpu_alloc(krs_backend_device *device, size_t bytes,
                          krs_backend_memory **out, krs_error *err);
void krsi_cpu_free(krs_backend_device *device, krs_backend_memory *memory);
krs_status krsi_cpu_wrap(krs_backend_device *device, void *data, size_t bytes,
                         krs_backend_memory **out, krs_error *err);
krs_status krsi_cpu_write(krs_backend_device *device,
                          krs_backend_memory *memory, size_t offset_bytes,
                          const void *data, size_t bytes, krs_error *err);
krs_status krsi_cpu_read(krs_backend_device *device,
                         const krs_backend_memory *memory, size_t offset_bytes,
                         void *data, size_t bytes, krs_error *err);

/* launch.c */
krs_status krsi_cpu_submit(krs_backend_device *device,
                           const krs_backend_work *work, krs_error *err);
krs_status krsi_cpu_wait(krs_backend_device *device, krs_error *err);
void krsi_cpu_worker_free(krsi_cpu_worker *worker);

#endif
