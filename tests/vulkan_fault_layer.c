/* vulkan_fault_layer.c -- a layer of Vulkan in which the n-th call that can
 * fail does so, once; a device that was lost stays lost. Or all calls of a name
 * fail, or devices have less than they have. It also counts what was made and
 * not destroyed.
 *
 * In: what shall be wrong, by driver_fault. Out: what failed, and how.
 * test_driver_fault.c opens this file to reach both; the loader opens it because
 * VK_INSTANCE_LAYERS names it.
 */
#include "driver_fault.h"

#include <string.h>
#include <vulkan/vk_layer.h>

#define NO_DEVICE VK_ERROR_OUT_OF_DEVICE_MEMORY
#define NO_HOST   VK_ERROR_OUT_OF_HOST_MEMORY
#define LOST      VK_ERROR_DEVICE_LOST

static struct driver_fault layer;

struct driver_fault *
driver_fault(void)
{
    return &layer;
}

static VkResult
outcome(const char *name, VkResult error)
{
    layer.calls++;
    if (layer.refuses && strcmp(layer.refuses, name) == 0)
        return (VkResult)layer.refusal;
    if (layer.is_lost && error == VK_ERROR_DEVICE_LOST)
        return error;
    if (layer.calls != layer.fail_at)
        return VK_SUCCESS;
    layer.is_lost = error == VK_ERROR_DEVICE_LOST;
    layer.name = name;
    layer.is_memory = error == NO_DEVICE || error == NO_HOST ||
                      error == VK_ERROR_OUT_OF_POOL_MEMORY ||
                      error == VK_ERROR_MEMORY_MAP_FAILED;
    return error;
}

/* Calls that make something: the info, what is made, how it fails. */
#define MAKERS(X)                                              \
    X(CreateBuffer, Buffer, NO_DEVICE)                         \
    X(AllocateMemory, Memory, NO_DEVICE)                       \
    X(CreateBufferView, BufferView, NO_HOST)                   \
    X(CreateDescriptorPool, DescriptorPool, NO_DEVICE)         \
    X(CreateDescriptorSetLayout, DescriptorSetLayout, NO_HOST) \
    X(CreatePipelineLayout, PipelineLayout, NO_HOST)           \
    X(CreateShaderModule, ShaderModule, NO_HOST)               \
    X(CreateQueryPool, QueryPool, NO_DEVICE)                   \
    X(CreateCommandPool, CommandPool, NO_HOST)                 \
    X(CreatePipelineCache, PipelineCache, NO_HOST)             \
    X(CreateFence, Fence, NO_HOST)
/* Their info and handle have names of the same kind, but for memory. */
#define VkMemoryCreateInfo VkMemoryAllocateInfo
#define VkMemory           VkDeviceMemory

#define MAKER(call, Object, error)                              \
    static PFN_vk##call next_##call;                            \
    static VKAPI_ATTR VkResult VKAPI_CALL fault_##call(         \
        VkDevice d, const Vk##Object##CreateInfo *info,         \
        const VkAllocationCallbacks *a, Vk##Object *out)        \
    {                                                           \
        VkResult r = outcome(#call, error);                     \
        r = r == VK_SUCCESS ? next_##call(d, info, a, out) : r; \
        layer.live += r == VK_SUCCESS;                          \
        return r;                                               \
    }
MAKERS(MAKER)

/* Calls that destroy what was made. */
#define ENDERS(X)                                      \
    X(DestroyBuffer, Buffer)                           \
    X(FreeMemory, Memory)                              \
    X(DestroyBufferView, BufferView)                   \
    X(DestroyDescriptorPool, DescriptorPool)           \
    X(DestroyDescriptorSetLayout, DescriptorSetLayout) \
    X(DestroyPipelineLayout, PipelineLayout)           \
    X(DestroyShaderModule, ShaderModule)               \
    X(DestroyQueryPool, QueryPool)                     \
    X(DestroyCommandPool, CommandPool)                 \
    X(DestroyPipelineCache, PipelineCache)             \
    X(DestroyFence, Fence)                             \
    X(DestroyPipeline, Pipeline)

#define ENDER(call, Object)                                            \
    static PFN_vk##call next_##call;                                   \
    static VKAPI_ATTR void VKAPI_CALL fault_##call(                    \
        VkDevice d, Vk##Object object, const VkAllocationCallbacks *a) \
    {                                                                  \
        layer.live -= object != VK_NULL_HANDLE;                        \
        next_##call(d, object, a);                                     \
    }
ENDERS(ENDER)

/* All others that can fail. */
#define OTHERS(X)                                                              \
    X(BindBufferMemory,                                                        \
      (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize at),             \
      (d, b, m, at), NO_DEVICE)                                                \
    X(MapMemory,                                                               \
      (VkDevice d, VkDeviceMemory m, VkDeviceSize at, VkDeviceSize n,          \
       VkMemoryMapFlags f, void **out),                                        \
      (d, m, at, n, f, out), VK_ERROR_MEMORY_MAP_FAILED)                       \
    X(AllocateDescriptorSets,                                                  \
      (VkDevice d, const VkDescriptorSetAllocateInfo *i,                       \
       VkDescriptorSet *out),                                                  \
      (d, i, out), VK_ERROR_OUT_OF_POOL_MEMORY)                                \
    X(AllocateCommandBuffers,                                                  \
      (VkDevice d, const VkCommandBufferAllocateInfo *i,                       \
       VkCommandBuffer *out),                                                  \
      (d, i, out), NO_HOST)                                                    \
    X(BeginCommandBuffer,                                                      \
      (VkCommandBuffer c, const VkCommandBufferBeginInfo *i), (c, i), NO_HOST) \
    X(EndCommandBuffer, (VkCommandBuffer c), (c), NO_DEVICE)                   \
    X(ResetFences, (VkDevice d, uint32_t n, const VkFence *f), (d, n, f),      \
      NO_DEVICE)                                                               \
    X(QueueSubmit, (VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f),  \
      (q, n, i, f), LOST)                                                      \
    X(WaitForFences,                                                           \
      (VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t ns),   \
      (d, n, f, all, ns), LOST)                                                \
    X(GetQueryPoolResults,                                                     \
      (VkDevice d, VkQueryPool q, uint32_t at, uint32_t n, size_t bytes,       \
       void *to, VkDeviceSize step, VkQueryResultFlags f),                     \
      (d, q, at, n, bytes, to, step, f), LOST)

/* What was submitted before a device is lost has ended when that is noticed. */
#define OTHER(call, parameters, passed, error)                    \
    static PFN_vk##call next_##call;                              \
    static VKAPI_ATTR VkResult VKAPI_CALL fault_##call parameters \
    {                                                             \
        VkResult r = outcome(#call, error);                       \
        bool waits = strcmp(#call, "WaitForFences") == 0;         \
        if (r != VK_SUCCESS && waits)                             \
            next_##call passed;                                   \
        return r == VK_SUCCESS ? next_##call passed : r;          \
    }
OTHERS(OTHER)

static PFN_vkCreateComputePipelines next_CreateComputePipelines;

static VKAPI_ATTR VkResult VKAPI_CALL
fault_CreateComputePipelines(VkDevice d, VkPipelineCache cache, uint32_t count,
                             const VkComputePipelineCreateInfo *info,
                             const VkAllocationCallbacks *a, VkPipeline *out)
{
    VkResult r = outcome("CreateComputePipelines", NO_DEVICE);
    for (uint32_t i = 0; i < count && r != VK_SUCCESS; i++)
        out[i] = VK_NULL_HANDLE; /* as the specification has it */
    if (r == VK_SUCCESS)
        r = next_CreateComputePipelines(d, cache, count, info, a, out);
    for (uint32_t i = 0; i < count; i++)
        layer.live += out[i] != VK_NULL_HANDLE;
    return r;
}

/* ---- being a layer ---- */

static PFN_vkGetInstanceProcAddr next_instance;
static PFN_vkGetDeviceProcAddr next_device;
static VkInstance instance;
static PFN_vkDestroyInstance next_DestroyInstance;
static PFN_vkEnumeratePhysicalDevices next_EnumeratePhysicalDevices;
static PFN_vkGetPhysicalDeviceProperties next_GetPhysicalDeviceProperties;
static PFN_vkGetPhysicalDeviceQueueFamilyProperties
    next_GetPhysicalDeviceQueueFamilyProperties;
static PFN_vkGetPhysicalDeviceMemoryProperties
    next_GetPhysicalDeviceMemoryProperties;
static PFN_vkDestroyDevice next_DestroyDevice;

static PFN_vkVoidFunction find(const char *name);

/* The structure of the chain that links to what comes below. Those of instances
 * and of devices begin with the same members. */
static void *
find_link(const void *chain, VkStructureType type)
{
    VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)chain;
    while (link &&
           (link->sType != type || link->function != VK_LAYER_LINK_INFO))
        link = (VkLayerInstanceCreateInfo *)link->pNext;
    return link;
}

static VKAPI_ATTR VkResult VKAPI_CALL
fault_CreateInstance(const VkInstanceCreateInfo *info,
                     const VkAllocationCallbacks *a, VkInstance *out)
{
    VkLayerInstanceCreateInfo *link =
        find_link(info->pNext, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
    if (!link)
        return VK_ERROR_INITIALIZATION_FAILED;
    next_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    PFN_vkCreateInstance create =
        (PFN_vkCreateInstance)next_instance(VK_NULL_HANDLE, "vkCreateInstance");
    VkResult r = outcome("CreateInstance", VK_ERROR_INITIALIZATION_FAILED);
    r = r == VK_SUCCESS ? create(info, a, out) : r;
    if (r == VK_SUCCESS) {
        instance = *out;
#define NEXT_OF_INSTANCE(call) \
    next_##call = (PFN_vk##call)next_instance(*out, "vk" #call);
        /* clang-format off */
        NEXT_OF_INSTANCE(DestroyInstance)
        NEXT_OF_INSTANCE(EnumeratePhysicalDevices)
        NEXT_OF_INSTANCE(GetPhysicalDeviceProperties)
        NEXT_OF_INSTANCE(GetPhysicalDeviceQueueFamilyProperties)
        NEXT_OF_INSTANCE(GetPhysicalDeviceMemoryProperties)
        /* clang-format on */
        layer.live++;
    }
    return r;
}

static VKAPI_ATTR void VKAPI_CALL
fault_DestroyInstance(VkInstance i, const VkAllocationCallbacks *a)
{
    layer.live -= i != VK_NULL_HANDLE;
    next_DestroyInstance(i, a);
}

/* ---- devices that have less ---- */

static VKAPI_ATTR VkResult VKAPI_CALL
fault_EnumeratePhysicalDevices(VkInstance i, uint32_t *count,
                               VkPhysicalDevice *out)
{
    VkResult r =
        outcome("EnumeratePhysicalDevices", VK_ERROR_INITIALIZATION_FAILED);
    if (r == VK_SUCCESS)
        r = next_EnumeratePhysicalDevices(i, count, out);
    if (layer.lacks == LACKS_DEVICES)
        *count = 0;
    return r;
}

static VKAPI_ATTR void VKAPI_CALL
fault_GetPhysicalDeviceProperties(VkPhysicalDevice d,
                                  VkPhysicalDeviceProperties *out)
{
    next_GetPhysicalDeviceProperties(d, out);
    if (layer.lacks == LACKS_VULKAN_1_1)
        out->apiVersion = VK_API_VERSION_1_0;
    if (layer.lacks == LACKS_FINE_OFFSETS)
        out->limits.minStorageBufferOffsetAlignment = 256;
}

static VKAPI_ATTR void VKAPI_CALL
fault_GetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice d,
                                             uint32_t *count,
                                             VkQueueFamilyProperties *out)
{
    next_GetPhysicalDeviceQueueFamilyProperties(d, count, out);
    for (uint32_t i = 0; out && i < *count; i++)
        if (layer.lacks == LACKS_COMPUTE)
            out[i].queueFlags &= ~(VkQueueFlags)VK_QUEUE_COMPUTE_BIT;
}

static VKAPI_ATTR void VKAPI_CALL
fault_GetPhysicalDeviceMemoryProperties(VkPhysicalDevice d,
                                        VkPhysicalDeviceMemoryProperties *out)
{
    next_GetPhysicalDeviceMemoryProperties(d, out);
    for (uint32_t i = 0; i < out->memoryTypeCount; i++)
        if (layer.lacks == LACKS_MAPPING)
            out->memoryTypes[i].propertyFlags &=
                ~(VkMemoryPropertyFlags)VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
}

/* ---- the device ---- */

static VKAPI_ATTR VkResult VKAPI_CALL
fault_CreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                   const VkAllocationCallbacks *a, VkDevice *out)
{
    VkLayerDeviceCreateInfo *link =
        find_link(info->pNext, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
    if (!link)
        return VK_ERROR_INITIALIZATION_FAILED;
    next_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    PFN_vkCreateDevice create =
        (PFN_vkCreateDevice)link->u.pLayerInfo->pfnNextGetInstanceProcAddr(
            instance, "vkCreateDevice");
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult r = outcome("CreateDevice", VK_ERROR_INITIALIZATION_FAILED);
    r = r == VK_SUCCESS ? create(physical, info, a, out) : r;
    if (r != VK_SUCCESS)
        return r;
    layer.live++;
#define NEXT(call, ...) \
    next_##call = (PFN_vk##call)next_device(*out, "vk" #call);
    /* clang-format off */
    MAKERS(NEXT)
    ENDERS(NEXT)
    OTHERS(NEXT)
    NEXT(CreateComputePipelines)
    NEXT(DestroyDevice)
    /* clang-format on */
    return r;
}

static VKAPI_ATTR void VKAPI_CALL
fault_DestroyDevice(VkDevice d, const VkAllocationCallbacks *a)
{
    layer.live -= d != VK_NULL_HANDLE;
    next_DestroyDevice(d, a);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
fault_GetDeviceProcAddr(VkDevice d, const char *name)
{
    PFN_vkVoidFunction f = find(name);
    return f ? f : next_device(d, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
fault_GetInstanceProcAddr(VkInstance i, const char *name)
{
    PFN_vkVoidFunction f = find(name);
    return f ? f : next_instance ? next_instance(i, name) : NULL;
}

static PFN_vkVoidFunction
find(const char *name)
{
    /* clang-format off */
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } own[] = {
#define OWN(call, ...) {"vk" #call, (PFN_vkVoidFunction)fault_##call},
        MAKERS(OWN)
        ENDERS(OWN)
        OTHERS(OWN)
        OWN(CreateComputePipelines)
        OWN(CreateInstance)
        OWN(DestroyInstance)
        OWN(EnumeratePhysicalDevices)
        OWN(GetPhysicalDeviceProperties)
        OWN(GetPhysicalDeviceQueueFamilyProperties)
        OWN(GetPhysicalDeviceMemoryProperties)
        OWN(CreateDevice)
        OWN(DestroyDevice)
        OWN(GetInstanceProcAddr)
        OWN(GetDeviceProcAddr)
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(own[i].name, name) == 0)
            return own[i].function;
    return NULL;
}

__attribute__((visibility("default"))) VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *out)
{
    enum { VERSION = 2 };
    out->loaderLayerInterfaceVersion = VERSION;
    out->pfnGetInstanceProcAddr = fault_GetInstanceProcAddr;
    out->pfnGetDeviceProcAddr = fault_GetDeviceProcAddr;
    out->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
