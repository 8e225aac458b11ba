/* driver_fault.h -- what a test tells a driver that fails on demand, and is told
 * by it: vulkan_fault_layer.c and opencl_fault_loader.c stand between a backend
 * and the real one.
 */
#ifndef TESTS_DRIVER_FAULT_H
#define TESTS_DRIVER_FAULT_H

#include <stdbool.h>

/* What devices do not have. */
typedef enum driver_lack {
    LACKS_NOTHING,
    LACKS_DEVICES, /* there are none */
    LACKS_VULKAN_1_1,
    LACKS_COMPUTE, /* a queue for it */
    LACKS_FINE_OFFSETS,
    LACKS_MAPPING,
    LACKS_COMPILER,
    LACKS_FULL_PROFILE,
    LACKS_NANS,
    LACKS_PRESENCE /* the device is there, and not available */
} driver_lack;

struct driver_fault {
    int fail_at;         /* the call to fail, from 1 on; 0: none */
    const char *refuses; /* all calls of this name fail: with this code, */
    int refusal;
    const char *spoils; /* a program of a text with this is not one (OpenCL) */
    driver_lack lacks;
    int calls;        /* so far, of those that can fail */
    int live;         /* objects that were made and not destroyed */
    bool is_lost;     /* the device */
    const char *name; /* of the call that failed; NULL: none did */
    bool is_memory;   /* it said that memory was out */
};

__attribute__((visibility("default"))) struct driver_fault *driver_fault(void);

#endif
