/* vulkan_device.c -- opening a device of Vulkan: the instance, what the device
 * must have and may have, its queue, its limits.
 *
 * In: an index among the devices of the loader. Out: a device with one queue
 * for compute and copies, and the facts that schedules are chosen from. The
 * loader is opened at run time, so that the module loads without it.
 *
 * Required: Vulkan 1.1, a compute queue, offsets of buffers in steps of 64 bytes
 * or less. Used where offered: 64-bit integers, 8- and 16-bit storage, and the
 * execution modes of VK_KHR_shader_float_controls. Effort NONE uses
 * nothing that is optional, and copies through staging memory everywhere.
 */
#define VOLK_IMPLEMENTATION
#include "../item_schedule.h"
#include "vulkan.h"

#include <dlfcn.h>
#include <krs/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_DEVICES = 16,
    PLACE_ALIGN = 64, /* bytes: where the planner puts buffers */
    GROUP_LANES = 64, /* items of a work-group on a processor of graphics */
    MAX_PARAMS = 64,
    STAGING_BYTES = 4 << 20,
    /* LP_MAX_TGSI_LOOP_ITERATIONS of Mesa: all loops of an invocation end after
     * so many turns */
    LLVMPIPE_TURNS = 65535,
    WRITER = 7 /* counts changes of what spirv_*.c write */
};

/* ---- errors ---- */

static const struct {
    VkResult result;
    const char *name;
    bool is_memory;
} results[] = {
    {VK_ERROR_OUT_OF_HOST_MEMORY,    "no host memory",            true },
    {VK_ERROR_OUT_OF_DEVICE_MEMORY,  "no device memory",          true },
    {VK_ERROR_OUT_OF_POOL_MEMORY,    "no memory in a pool",       true },
    {VK_ERROR_FRAGMENTED_POOL,       "no whole memory in a pool", true },
    {VK_ERROR_TOO_MANY_OBJECTS,      "too many objects",          true },
    {VK_ERROR_MEMORY_MAP_FAILED,     "memory cannot be mapped",   true },
    {VK_ERROR_DEVICE_LOST,           "the device is lost",        false},
    {VK_ERROR_INITIALIZATION_FAILED, "it cannot be initialised",  false},
    {VK_ERROR_INCOMPATIBLE_DRIVER,   "no driver is installed",    false},
    {VK_ERROR_EXTENSION_NOT_PRESENT, "an extension is absent",    false},
    {VK_ERROR_FEATURE_NOT_PRESENT,   "a feature is absent",       false},
    {VK_ERROR_INVALID_SHADER_NV,     "it is invalid",             false},
    {VK_ERROR_UNKNOWN,               "no reason given",           false}
};
enum { RESULTS = sizeof results / sizeof *results };

krs_status
krsi_vulkan_check(VkResult result, const char *what, krs_error *err)
{
    if (result >= VK_SUCCESS)
        return KRS_OK;
    for (size_t i = 0; i < RESULTS; i++)
        if (results[i].result == result)
            return krs_fail(err,
                            results[i].is_memory ? KRS_E_MEMORY : KRS_E_DEVICE,
                            "vulkan: %s: %s", what, results[i].name);
    return krs_fail(err, KRS_E_DEVICE, "vulkan: %s: error %d", what,
                    (int)result);
}

const char *
krsi_vulkan_result(VkResult result)
{
    for (size_t i = 0; i < RESULTS; i++)
        if (results[i].result == result)
            return results[i].name;
    return "an error without a name";
}

/* ---- the instance ---- */

/* The loader, which is never closed: drivers have threads of their own. */
static krs_status
open_loader(PFN_vkGetInstanceProcAddr *out, krs_error *err)
{
    static const char file[] = "libvulkan.so.1";
    void *loader = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = loader ? dlsym(loader, "vkGetInstanceProcAddr") : NULL;
    if (!symbol) {
        const char *reason = dlerror();
        return krs_fail(err, KRS_E_DEVICE,
                        "vulkan: no loader %s: %s (Debian: libvulkan1, and a "
                        "driver such as mesa-vulkan-drivers)",
                        file, reason ? reason : "no reason given");
    }
    memcpy(out, &symbol, sizeof symbol);
    dlclose(loader); /* one handle, however often devices are opened */
    return KRS_OK;
}

/* volk fills global pointers, with the same values each time. */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static krs_status
make_instance(VkInstance *out, krs_error *err)
{
    VkApplicationInfo program = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                 .pEngineName = "kersey",
                                 .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo info = {.sType =
                                     VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &program};
    PFN_vkGetInstanceProcAddr loader = NULL;
    *out = VK_NULL_HANDLE;
    KRS_TRY(open_loader(&loader, err));
    pthread_mutex_lock(&loading);
    volkInitializeCustom(loader);
    VkResult result = vkCreateInstance(&info, NULL, out);
    if (result == VK_SUCCESS)
        volkLoadInstanceOnly(*out);
    pthread_mutex_unlock(&loading);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        return krs_fail(err, KRS_E_DEVICE,
                        "vulkan: the loader knows no driver (Debian: "
                        "mesa-vulkan-drivers computes on the processors)");
    return krsi_vulkan_check(result, "the instance", err);
}

static krs_status
list_devices(VkInstance instance, VkPhysicalDevice devices[MAX_DEVICES],
             uint32_t *count, krs_error *err)
{
    *count = MAX_DEVICES;
    KRS_TRY(
        krsi_vulkan_check(vkEnumeratePhysicalDevices(instance, count, devices),
                          "the list of devices", err));
    return *count ? KRS_OK
                  : krs_fail(err, KRS_E_DEVICE,
                             "vulkan: drivers are installed, but none offers "
                             "a device");
}

static krs_backend_kind
kind_of(VkPhysicalDeviceType type)
{
    return type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU ? KRS_BACKEND_DISCRETE
           : type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU
               ? KRS_BACKEND_INTEGRATED
           : type == VK_PHYSICAL_DEVICE_TYPE_CPU ? KRS_BACKEND_PROCESSOR
                                                 : KRS_BACKEND_OTHER;
}

/* The device with this number, less than count. */
static VkPhysicalDevice
pick_device(const VkPhysicalDevice *devices, uint32_t count, uint32_t index)
{
    krs_backend_kind kinds[MAX_DEVICES];
    for (uint32_t i = 0; i < count; i++) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(devices[i], &properties);
        kinds[i] = kind_of(properties.deviceType);
    }
    return devices[krs_backend_pick(kinds, count, index)];
}

uint32_t
krsi_vulkan_count(krs_error *err)
{
    VkInstance instance;
    VkPhysicalDevice devices[MAX_DEVICES];
    uint32_t count;
    if (make_instance(&instance, err) != KRS_OK)
        return 0;
    if (list_devices(instance, devices, &count, err) != KRS_OK)
        count = 0;
    vkDestroyInstance(instance, NULL);
    return count;
}

/* ---- what the device has ---- */

typedef struct offer {
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceFloatControlsProperties floats;
    VkPhysicalDeviceDriverProperties driver;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceMaintenance3Properties sizes;
    VkPhysicalDevice8BitStorageFeatures bytes;
    VkPhysicalDevice16BitStorageFeatures shorts;
    VkPhysicalDeviceFeatures features;
    bool has_floats, has_driver, has_bytes; /* the extensions */
} offer;

static bool
has_extension(const VkExtensionProperties *list, uint32_t count,
              const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i].extensionName, name) == 0)
            return true;
    return false;
}

static krs_status
look(VkPhysicalDevice physical, offer *o, krs_error *err)
{
    uint32_t count = 0;
    VkExtensionProperties *list = NULL;
    VkResult result =
        vkEnumerateDeviceExtensionProperties(physical, NULL, &count, NULL);
    if (result == VK_SUCCESS && count > 0) {
        list = calloc(count, sizeof *list);
        if (!list)
            return krs_fail(err, KRS_E_MEMORY,
                            "vulkan: no memory for %u extensions", count);
        result =
            vkEnumerateDeviceExtensionProperties(physical, NULL, &count, list);
    }
    *o = (offer){.has_floats = has_extension(
                     list, count, VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME),
                 .has_driver = has_extension(
                     list, count, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME),
                 .has_bytes = has_extension(
                     list, count, VK_KHR_8BIT_STORAGE_EXTENSION_NAME)};
    free(list);
    KRS_TRY(krsi_vulkan_check(result, "extensions of the device", err));
    vkGetPhysicalDeviceProperties(physical, &o->properties);
    if (o->properties.apiVersion < VK_API_VERSION_1_1)
        return KRS_OK;
    o->sizes.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES;
    o->subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
    o->subgroup.pNext = &o->sizes;
    o->floats.sType =
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES;
    o->driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
    o->driver.pNext = &o->subgroup;
    o->floats.pNext = o->has_driver ? (void *)&o->driver : (void *)&o->subgroup;
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
        .pNext = o->has_floats ? (void *)&o->floats : o->floats.pNext};
    vkGetPhysicalDeviceProperties2(physical, &properties);
    o->bytes.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES;
    o->shorts.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES;
    o->shorts.pNext = o->has_bytes ? &o->bytes : NULL;
    VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .pNext = &o->shorts};
    vkGetPhysicalDeviceFeatures2(physical, &features);
    o->features = features.features;
    return KRS_OK;
}

/* A family for compute, best one that does nothing else. */
static bool
find_queue(krs_backend_device *d)
{
    enum { MAX_FAMILIES = 16 };
    VkQueueFamilyProperties family[MAX_FAMILIES];
    uint32_t count = MAX_FAMILIES;
    bool found = false;
    vkGetPhysicalDeviceQueueFamilyProperties(d->physical, &count, family);
    for (uint32_t i = 0; i < count; i++) {
        VkQueueFlags flags = family[i].queueFlags;
        if ((flags & VK_QUEUE_COMPUTE_BIT) &&
            (!found || !(flags & VK_QUEUE_GRAPHICS_BIT))) {
            d->family = i;
            found = true;
        }
    }
    return found;
}

static krs_status
refuse(const offer *o, const char *lack, krs_error *err)
{
    return krs_fail(err, KRS_E_UNSUPPORTED, "vulkan: %s lacks %s",
                    o->properties.deviceName, lack);
}

static krs_status
require(krs_backend_device *d, const offer *o, krs_error *err)
{
    const VkPhysicalDeviceLimits *limits = &o->properties.limits;
    if (o->properties.apiVersion < VK_API_VERSION_1_1)
        return refuse(o, "Vulkan 1.1", err);
    if (!find_queue(d))
        return refuse(o, "a queue for compute", err);
    if (limits->minStorageBufferOffsetAlignment > PLACE_ALIGN)
        return refuse(o, "offsets of buffers in steps of 64 bytes", err);
    return KRS_OK;
}

/* ---- memory ---- */

/* The first type with all flags; false if none has them. */
static bool
find_type(const VkPhysicalDeviceMemoryProperties *memory,
          VkMemoryPropertyFlags flags, uint32_t *out)
{
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++)
        if ((memory->memoryTypes[i].propertyFlags & flags) == flags) {
            *out = i;
            return true;
        }
    return false;
}

static krs_status
choose_memory(krs_backend_device *d, const offer *o, bool plain, krs_error *err)
{
    const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                       VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const VkMemoryPropertyFlags cached =
        host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(d->physical, &memory);
    if (!find_type(&memory, cached, &d->host_type) &&
        !find_type(&memory, host, &d->host_type))
        return refuse(o, "memory that the host can map", err);
    bool shares =
        o->properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ||
        o->properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    d->is_mapped =
        shares && !plain &&
        find_type(&memory, cached | VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                  &d->memory_type);
    if (!d->is_mapped &&
        !find_type(&memory, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                   &d->memory_type))
        return refuse(o, "memory of its own", err);
    uint32_t heap = memory.memoryTypes[d->memory_type].heapIndex;
    d->limits.memory_bytes = memory.memoryHeaps[heap].size;
    return KRS_OK;
}

/* ---- limits ---- */

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void
choose_target(krs_backend_device *d, const offer *o, bool plain)
{
    bool is_processor = o->properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    d->local = is_processor ? o->subgroup.subgroupSize : GROUP_LANES;
    d->target = (krsi_spv_target){
        .keeps_nans = o->floats.shaderSignedZeroInfNanPreserveFloat32,
        .rounds_even = o->floats.shaderRoundingModeRTEFloat32,
        .keeps_denormals = o->floats.shaderDenormPreserveFloat32,
        .has_bytes = !plain && o->bytes.storageBuffer8BitAccess,
        .has_shorts = !plain && o->shorts.storageBuffer16BitAccess,
        .has_wide = !plain && o->features.shaderInt64,
        .has_texels = !plain && is_processor,
        .keeps_loops = !plain && is_processor,
        .wide_quads = !plain && is_processor && o->features.shaderInt64};
}

/* Drivers of processors make code on the thread that asks: as many as there are
 * processors that the options allow. */
static uint32_t
count_loaders(const krs_backend_device *d)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t count = online > 0 ? (uint32_t)online : 1;
    uint32_t workers = d->as_opened.workers;
    if (d->identity.deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU)
        return 0;
    return workers && workers < count ? workers : count;
}

static void
fill_limits(krs_backend_device *d, const offer *o)
{
    const VkPhysicalDeviceLimits *from = &d->offers;
    const krsi_spv_target *t = &d->target;
    krs_backend_limits *to = &d->limits;
    to->struct_size = sizeof *to;
    snprintf(to->name, sizeof to->name, "%.63s", o->properties.deviceName);
    snprintf(to->target, sizeof to->target,
             "vulkan writer %d %s %u.%u.%u driver %x%s%s%s%s%s%s%s", WRITER,
             o->properties.deviceName,
             VK_API_VERSION_MAJOR(o->properties.apiVersion),
             VK_API_VERSION_MINOR(o->properties.apiVersion),
             VK_API_VERSION_PATCH(o->properties.apiVersion),
             o->properties.driverVersion, t->keeps_nans ? " nans" : "",
             t->rounds_even ? " rte" : "",
             t->keeps_denormals ? " denormals" : "",
             t->has_bytes ? " bytes" : "", t->has_shorts ? " shorts" : "",
             t->has_wide ? " wide" : "", t->has_texels ? " texels" : "");
    to->facts = (krs_kfacts){.struct_size = sizeof to->facts};
    to->dtypes = (1U << KRS_Q8_0) - 1;
    to->workers = d->local;
    to->vector_lanes = 4;
    to->registers = 8; /* tiles of little code: it is the driver's to compile */
    to->group_items = from->maxComputeWorkGroupInvocations;
    for (int i = 0; i < KRS_K_AXES; i++) {
        to->group[i] = from->maxComputeWorkGroupSize[i];
        to->grid[i] = UINT32_MAX;
    }
    /* one more for scratch */
    to->max_params =
        (uint32_t)least(least(from->maxPerStageDescriptorStorageBuffers,
                              from->maxDescriptorSetStorageBuffers) -
                            1,
                        MAX_PARAMS);
    to->has_texel = t->has_texels;
    to->tail_bytes = t->has_texels ? KRSI_TAIL_BYTES : 0;
    to->max_insts = 1U << 16;
    to->memory_align = PLACE_ALIGN;
    to->offset_align = from->minStorageBufferOffsetAlignment > KRSI_UNIT_BYTES
                           ? from->minStorageBufferOffsetAlignment
                           : KRSI_UNIT_BYTES;
    to->max_alloc_bytes = least(o->sizes.maxMemoryAllocationSize, INT64_MAX);
    to->max_bind_bytes = from->maxStorageBufferRange;
    to->scratch_bytes = from->maxStorageBufferRange;
    to->shared_bytes = from->maxComputeSharedMemorySize;
    to->loaders = count_loaders(d);
    to->has_groups = o->properties.deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU;
    if (o->driver.driverID == VK_DRIVER_ID_MESA_LLVMPIPE)
        to->item_turns = LLVMPIPE_TURNS;
}

/* ---- opening ---- */

static krs_status
make_device(krs_backend_device *d, offer *o, krs_error *err)
{
    const char *extensions[2];
    uint32_t count = 0;
    float priority = 1;
    if (o->has_floats)
        extensions[count++] = VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME;
    if (d->target.has_bytes)
        extensions[count++] = VK_KHR_8BIT_STORAGE_EXTENSION_NAME;
    o->bytes = (VkPhysicalDevice8BitStorageFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES,
        .storageBuffer8BitAccess = VK_TRUE};
    o->shorts = (VkPhysicalDevice16BitStorageFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
        .pNext = d->target.has_bytes ? &o->bytes : NULL,
        .storageBuffer16BitAccess = d->target.has_shorts};
    VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .pNext = &o->shorts,
        .features = {.shaderInt64 = d->target.has_wide}};
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = d->family,
        .queueCount = 1,
        .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &features,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = count,
                               .ppEnabledExtensionNames = extensions};
    KRS_TRY(
        krsi_vulkan_check(vkCreateDevice(d->physical, &info, NULL, &d->device),
                          o->properties.deviceName, err));
    volkLoadDeviceTable(&d->vk, d->device);
    d->vk.vkGetDeviceQueue(d->device, d->family, 0, &d->queue);
    return KRS_OK;
}

static krs_status
make_queue_objects(krs_backend_device *d, krs_error *err)
{
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = d->family};
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    KRS_TRY(krsi_vulkan_check(
        d->vk.vkCreateCommandPool(d->device, &pool, NULL, &d->pool),
        "the command pool", err));
    KRS_TRY(krsi_vulkan_check(
        d->vk.vkCreateFence(d->device, &fence, NULL, &d->fence), "a fence",
        err));
    KRS_TRY(krsi_vulkan_check(
        d->vk.vkCreateFence(d->device, &fence, NULL, &d->done), "a fence",
        err));
    KRS_TRY(krsi_vulkan_new_block(d, KRSI_FLAG_BYTES, d->host_type, true,
                                  &d->flag, err));
    if (d->is_mapped)
        return KRS_OK;
    VkCommandBufferAllocateInfo copy = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = d->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1};
    KRS_TRY(krsi_vulkan_check(
        d->vk.vkAllocateCommandBuffers(d->device, &copy, &d->copy),
        "a command buffer", err));
    return krsi_vulkan_new_block(d, STAGING_BYTES, d->host_type, true,
                                 &d->staging, err);
}

static krs_status
open_physical(krs_backend_device *d, const krs_backend_options *options,
              krs_error *err)
{
    VkPhysicalDevice devices[MAX_DEVICES];
    offer o;
    uint32_t index = options ? options->index : 0, count;
    bool plain = options && options->effort == KRS_EFFORT_NONE;
    KRS_TRY(make_instance(&d->instance, err));
    KRS_TRY(list_devices(d->instance, devices, &count, err));
    if (index >= count)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "vulkan: no device %u; there are 0 to %u", index,
                        count - 1);
    d->physical = pick_device(devices, count, index);
    KRS_TRY(look(d->physical, &o, err));
    KRS_TRY(require(d, &o, err));
    KRS_TRY(choose_memory(d, &o, plain, err));
    d->offers = o.properties.limits;
    d->identity = o.properties;
    choose_target(d, &o, plain);
    fill_limits(d, &o);
    KRS_TRY(make_device(d, &o, err));
    return make_queue_objects(d, err);
}

krs_status
krsi_vulkan_open(const krs_backend_options *options, krs_backend_device **out,
                 krs_error *err)
{
    krsi_item_schedule schedule;
    *out = NULL;
    if (options && options->allocator)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "vulkan: memory is the device's, not an allocator's");
    KRS_TRY(krsi_item_schedule_of("vulkan", "the driver compiles", options,
                                  &schedule, err));
    krs_backend_device *d = calloc(1, sizeof *d);
    if (!d)
        return krs_fail(err, KRS_E_MEMORY, "vulkan: no memory for a device");
    pthread_mutex_init(&d->lock, NULL);
    if (options)
        d->as_opened = (krs_backend_options){.index = options->index,
                                             .workers = options->workers,
                                             .effort = options->effort};
    d->as_opened.struct_size = sizeof d->as_opened;
    krs_status status = open_physical(d, options, err);
    if (status != KRS_OK) {
        krsi_vulkan_close(d);
        return status;
    }
    krsi_item_schedule_set(schedule, &d->limits);
    *out = d;
    return KRS_OK;
}

static void
free_room(krs_backend_device *d)
{
    for (int i = 0; i < KRSI_RECORDINGS; i++)
        krsi_vulkan_drop_recording(d, &d->room.recordings[i]);
    krsi_vulkan_free_block(d, &d->room.scratch);
    free(d->room.shapes);
    free(d->room.key);
}

void
krsi_vulkan_close(krs_backend_device *d)
{
    if (!d)
        return;
    if (d->device) {
        d->vk.vkDeviceWaitIdle(d->device);
        free_room(d);
        krsi_vulkan_free_block(d, &d->flag);
        krsi_vulkan_free_block(d, &d->staging);
        d->vk.vkDestroyFence(d->device, d->done, NULL);
        d->vk.vkDestroyFence(d->device, d->fence, NULL);
        d->vk.vkDestroyCommandPool(d->device, d->pool, NULL);
        d->vk.vkDestroyDevice(d->device, NULL);
    }
    if (d->instance)
        vkDestroyInstance(d->instance, NULL);
    pthread_mutex_destroy(&d->lock);
    free(d);
}
