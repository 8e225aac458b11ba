/* opencl_device.h -- what the files of the OpenCL backend share: the device,
 * its memories, loaded code.
 */
#ifndef KRSI_OPENCL_DEVICE_H
#define KRSI_OPENCL_DEVICE_H

#include "../work_check.h"
#include "clc.h"
#include "icd.h"

#include <pthread.h>

struct krs_backend_memory {
    cl_mem buffer; /* KRSI_CLC_SLACK bytes more on both sides */
    void *data;    /* of processors: where it lies, ours */
    size_t bytes;
};

/* A program that was made from a binary, while code of it is loaded; the last
 * one stays, for the code that is loaded next. */
typedef struct krsi_cl_program {
    struct krsi_cl_program *next;
    uint64_t build[2]; /* what its blobs name it by */
    cl_program program;
    size_t users;
} krsi_cl_program;

struct krs_backend_code {
    const krs_kernel *kernel; /* borrowed until drop */
    krsi_cl_program *program;
    cl_kernel function;
    krsi_clc_walk walk;
};

struct krs_backend_device {
    krsi_cl cl;
    cl_device_id id;
    bool is_part; /* id is a sub-device, to be released */
    cl_context context;
    cl_command_queue queue; /* in order, with times */
    krs_backend_limits limits;
    const char *options;  /* of clBuildProgram */
    pthread_mutex_t lock; /* of programs */
    krsi_cl_program *programs;
    /* of the submission: blocks of all launches, scratch, events */
    krs_backend_memory *block, *scratch;
    int64_t *words;
    size_t word_room;
    cl_event *events;
    size_t event_room, event_count;
    const krs_backend_work *work;
    krs_status outcome; /* what wait returns */
};

/* opencl_memory.c */
krs_status krsi_opencl_alloc(krs_backend_device *device, size_t bytes,
                             krs_backend_memory **out, krs_error *err);
void krsi_opencl_free(krs_backend_device *device, krs_backend_memory *memory);
krs_status krsi_opencl_wrap(krs_backend_device *device, void *data,
                            size_t bytes, krs_backend_memory **out,
                            krs_error *err);
krs_status krsi_opencl_write(krs_backend_device *device,
                             krs_backend_memory *memory, size_t offset,
                             const void *data, size_t bytes, krs_error *err);
krs_status krsi_opencl_read(krs_backend_device *device,
                            const krs_backend_memory *memory, size_t offset,
                            void *data, size_t bytes, krs_error *err);

/* opencl_build.c */
krs_status krsi_opencl_build(krs_backend_device *device,
                             const krs_kernel *const *kernels, size_t count,
                             krs_backend_blob *out_blobs, krs_error *err);
krs_status krsi_opencl_load(krs_backend_device *device,
                            const krs_kernel *kernel,
                            const krs_backend_blob *blob,
                            krs_backend_code **out, krs_error *err);
void krsi_opencl_drop(krs_backend_device *device, krs_backend_code *code);
krs_status krsi_opencl_listing(krs_backend_device *device,
                               const krs_kernel *kernel, const char *stage,
                               char **out_text, krs_error *err);
void krsi_opencl_forget(krs_backend_device *device); /* all programs */

/* opencl_launch.c */
krs_status krsi_opencl_submit(krs_backend_device *device,
                              const krs_backend_work *work, krs_error *err);
krs_status krsi_opencl_wait(krs_backend_device *device, krs_error *err);

/* opencl_open.c */
uint32_t krsi_opencl_count(krs_error *err);
krs_status krsi_opencl_open(const krs_backend_options *options,
                            krs_backend_device **out, krs_error *err);
void krsi_opencl_close(krs_backend_device *device);

#endif
