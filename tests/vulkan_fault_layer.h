/* vulkan_fault_layer.h -- what a test tells the layer, and is told by it. */
#ifndef TESTS_VULKAN_FAULT_LAYER_H
#define TESTS_VULKAN_FAULT_LAYER_H

#include <stdbool.h>
#include <vulkan/vulkan_core.h>

struct fault_layer {
    int fail_at;      /* the call to fail, from 1 on; 0: none */
    int calls;        /* so far, of those that can fail */
    int live;         /* objects that were made and not destroyed */
    bool is_lost;     /* the device */
    const char *name; /* of the call that failed, and how; NULL: none did */
    VkResult result;
};

__attribute__((visibility("default"))) struct fault_layer *fault_layer(void);

#endif
