/* vulkan.h -- between the parts of the Vulkan backend.
 *
 * vulkan_device.c opens a device, vulkan_memory.c gives memory and moves
 * bytes, vulkan_code.c and vulkan_pipeline.c make code, vulkan_measure.c looks at work,
 * vulkan_record.c records it, vulkan_launch.c runs it, spirv_*.c translate
 * kernels.
 */
#ifndef KRSI_VULKAN_H
#define KRSI_VULKAN_H

#include "../work_check.h"
#include "spirv_emit.h"

#include <krs/backend.h>
#include <pthread.h>
#define VK_NO_PROTOTYPES
#include <volk.h>

/* A piece of device memory with one buffer over all of it. */
typedef struct krsi_vulkan_block {
    VkBuffer buffer;
    VkDeviceMemory memory;
    char *mapped; /* where the host sees it, or NULL */
    size_t bytes;
    krs_backend_memory *first; /* what lies in it, ascending */
    struct krsi_vulkan_block *next;
} krsi_vulkan_block;

struct krs_backend_memory {
    krsi_vulkan_block *block;
    size_t offset, bytes, room; /* room: what it takes of the block */
    uint64_t serial;            /* of this memory alone */
    krs_backend_memory *next;
};

struct krs_backend_code {
    const krs_kernel *kernel; /* borrowed until drop */
    uint64_t serial;          /* of this code alone */
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    krsi_spv_binding *binding; /* from 1 on in the shader */
    uint32_t binding_count;
    uint32_t words; /* of a launch */
};

/* A launch in numbers. */
typedef struct krsi_vulkan_shape {
    uint64_t items;         /* items, or groups; 0: nothing to do */
    uint64_t at_once;       /* that have room for scratch */
    uint64_t scratch_bytes; /* of one item or group */
    uint32_t word_bytes;
} krsi_vulkan_shape;

/* Work as command buffers, and what they need; empty: key_words is 0. */
typedef struct krsi_vulkan_recording {
    uint64_t *key;
    size_t key_words;
    uint64_t used; /* when: the larger the later */
    VkDescriptorPool sets;
    VkBufferView *views;
    uint32_t view_count;
    krsi_vulkan_block words; /* of launches, */
    size_t *words_at;        /* and where in it */
    VkQueryPool queries;
    VkCommandBuffer *commands; /* one a piece of the work */
    size_t *ends;              /* of pieces: launches up to there */
    size_t pieces;
    bool has_commands;
} krsi_vulkan_recording;

enum {
    KRSI_RECORDINGS = 8, /* kept */
    KRSI_FLAG_BYTES = 16,
    KRSI_TAIL_BYTES = 256 /* of views, behind what is bound (make_view) */
};

/* What submissions need. */
typedef struct krsi_vulkan_room {
    krsi_vulkan_recording recordings[KRSI_RECORDINGS];
    krsi_vulkan_block scratch; /* of items */
    uint64_t scratch_serial;
    krsi_vulkan_shape *shapes; /* of the work at hand, and its key */
    uint64_t *key;
    size_t shape_capacity, key_capacity, key_words;
} krsi_vulkan_room;

struct krs_backend_device {
    krs_backend_options as_opened;
    bool dispatches_nothing; /* launches are submitted without items */
    krs_backend_limits limits;
    krsi_spv_target target;
    uint32_t local; /* items of a work-group, of kernels without groups */
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    struct VolkDeviceTable vk;
    VkQueue queue;
    uint32_t family;
    VkPhysicalDeviceLimits offers;
    VkPhysicalDeviceProperties identity;
    uint32_t memory_type; /* of all memories */
    uint32_t host_type;   /* that the host writes and reads */
    bool is_mapped;       /* memories are the host's too */
    pthread_mutex_t lock; /* of blocks, and of the queue */
    krsi_vulkan_block *blocks;
    krsi_vulkan_block staging;
    VkCommandPool pool;
    VkCommandBuffer copy;
    VkFence fence, done;    /* of copies; of work */
    krsi_vulkan_block flag; /* a word: a launch whose loops ended early */
    krsi_vulkan_room room;
    uint64_t serials; /* given to memories, code and scratch so far */
    const krs_backend_work *work;     /* in flight, or NULL */
    krsi_vulkan_recording *recording; /* of it */
    size_t started;                   /* of its pieces */
};

/* vulkan_device.c -- the status of what a call returned: MEMORY or DEVICE, and
 * a sentence about what was tried */
krs_status krsi_vulkan_check(VkResult result, const char *what, krs_error *err);
const char *krsi_vulkan_result(VkResult result);
uint32_t krsi_vulkan_count(krs_error *err);
krs_status krsi_vulkan_open(const krs_backend_options *options,
                            krs_backend_device **out, krs_error *err);
void krsi_vulkan_close(krs_backend_device *device);

/* vulkan_memory.c */
krs_status krsi_vulkan_new_block(krs_backend_device *device, size_t bytes,
                                 uint32_t type, bool mapped,
                                 krsi_vulkan_block *out, krs_error *err);
void krsi_vulkan_free_block(krs_backend_device *device,
                            krsi_vulkan_block *block);
krs_status krsi_vulkan_alloc(krs_backend_device *device, size_t bytes,
                             krs_backend_memory **out, krs_error *err);
void krsi_vulkan_free(krs_backend_device *device, krs_backend_memory *memory);
krs_status krsi_vulkan_write(krs_backend_device *device,
                             krs_backend_memory *memory, size_t offset,
                             const void *data, size_t bytes, krs_error *err);
krs_status krsi_vulkan_read(krs_backend_device *device,
                            const krs_backend_memory *memory, size_t offset,
                            void *data, size_t bytes, krs_error *err);

/* A module that becomes a pipeline. */
typedef struct krsi_vulkan_module {
    const krs_kernel *kernel;
    krsi_spv_binding *binding;
    uint32_t bindings;
    const uint32_t *words;
    size_t count;
    const char *cache; /* what the driver kept of it, or NULL */
    size_t cache_bytes;
} krsi_vulkan_module;

/* vulkan_pipeline.c -- layouts and pipeline of code that has its bindings; what
 * the driver keeps of it, to free() even after a failure, unless out_kept is
 * NULL */
krs_status krsi_vulkan_make_code(krs_backend_device *device,
                                 const krsi_vulkan_module *module,
                                 krs_backend_code *code,
                                 krs_backend_blob *out_kept, krs_error *err);
void krsi_vulkan_unmake_code(krs_backend_device *device,
                             krs_backend_code *code);
/* bytes that this driver kept of a pipeline of this device */
bool krsi_vulkan_is_kept(const krs_backend_device *device, const char *data,
                         size_t bytes);

/* vulkan_code.c -- one kernel to a blob, and the code that came of it, unless
 * out_code is NULL; all of them */
krs_status krsi_vulkan_build_one(krs_backend_device *device,
                                 const krs_kernel *kernel,
                                 krs_backend_blob *out,
                                 krs_backend_code **out_code, krs_error *err);
krs_status krsi_vulkan_build(krs_backend_device *device,
                             const krs_kernel *const *kernels, size_t count,
                             krs_backend_blob *out_blobs, krs_error *err);
krs_status krsi_vulkan_load(krs_backend_device *device,
                            const krs_kernel *kernel,
                            const krs_backend_blob *blob,
                            krs_backend_code **out, krs_error *err);
void krsi_vulkan_drop(krs_backend_device *device, krs_backend_code *code);
krs_status krsi_vulkan_listing(krs_backend_device *device,
                               const krs_kernel *kernel, const char *stage,
                               char **out_text, krs_error *err);

/* vulkan_warm.c -- build kernels and let the driver compile them now, if it
 * would when they first run: blobs, all empty, of those that came out well */
void krsi_vulkan_warm(krs_backend_device *device,
                      const krs_kernel *const *kernels, size_t count,
                      krs_backend_blob *blobs);

/* vulkan_measure.c */
uint32_t krsi_vulkan_group_items(const krs_kernel *kernel);
size_t krsi_vulkan_round_up(size_t bytes, size_t to);
/* the shapes of all launches, and the largest scratch of one; then their key */
krs_status krsi_vulkan_measure(krs_backend_device *device,
                               const krs_backend_work *work,
                               uint64_t *out_scratch_bytes, krs_error *err);
krs_status krsi_vulkan_make_key(krs_backend_device *device,
                                const krs_backend_work *work, krs_error *err);

/* vulkan_record.c -- the kind of a binding, too */
VkDescriptorType krsi_vulkan_kind(const krsi_spv_binding *binding);
/* the recording of the work, with its arguments in place; the lock is held */
krs_status krsi_vulkan_record(krs_backend_device *device,
                              const krs_backend_work *work,
                              krsi_vulkan_recording **out, krs_error *err);
void krsi_vulkan_drop_recording(krs_backend_device *device,
                                krsi_vulkan_recording *recording);

/* vulkan_launch.c */
krs_status krsi_vulkan_submit(krs_backend_device *device,
                              const krs_backend_work *work, krs_error *err);
krs_status krsi_vulkan_wait(krs_backend_device *device, krs_error *err);

#endif
