/* vulkan_pipeline.c -- modules to pipelines.
 *
 * In: a module and, perhaps, what the driver kept of its pipeline when it was
 * made first. Out: layouts and a pipeline; what the driver keeps, if asked. Bytes of
 * another device or driver, or that are too short to say so, are refused and not
 * shown to the driver (vulkan_code.c asks krsi_vulkan_is_kept).
 */
#include "vulkan.h"

#include <krs/status.h>
#include <stdlib.h>
#include <string.h>

static VkResult
make_layout(krs_backend_device *d, krs_backend_code *code)
{
    VkDescriptorSetLayoutBinding *binding =
        calloc((size_t)code->binding_count + 1, sizeof *binding);
    if (!binding)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    for (uint32_t i = 0; i <= code->binding_count; i++)
        binding[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = i == 0 ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC
                                     : krsi_vulkan_kind(&code->binding[i - 1]),
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = code->binding_count + 1,
        .pBindings = binding};
    VkResult result = d->vk.vkCreateDescriptorSetLayout(d->device, &set, NULL,
                                                        &code->set_layout);
    free(binding);
    if (result != VK_SUCCESS)
        return result;
    VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                .size = KRSI_PUSH_WORDS * sizeof(uint32_t)};
    VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &code->set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push};
    return d->vk.vkCreatePipelineLayout(d->device, &info, NULL, &code->layout);
}

static VkResult
make_pipeline(krs_backend_device *d, krs_backend_code *code,
              const uint32_t *words, size_t bytes, VkPipelineCache cache)
{
    VkShaderModule module;
    const VkSpecializationMapEntry local = {.constantID = KRSI_SPECIAL_LOCAL,
                                            .size = sizeof d->local};
    const VkSpecializationInfo special = {.mapEntryCount = 1,
                                          .pMapEntries = &local,
                                          .dataSize = sizeof d->local,
                                          .pData = &d->local};
    VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = bytes,
        .pCode = words};
    VkResult result =
        d->vk.vkCreateShaderModule(d->device, &info, NULL, &module);
    if (result != VK_SUCCESS)
        return result;
    VkComputePipelineCreateInfo pipeline = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &special},
        .layout = code->layout
    };
    result = d->vk.vkCreateComputePipelines(d->device, cache, 1, &pipeline,
                                            NULL, &code->pipeline);
    d->vk.vkDestroyShaderModule(d->device, module, NULL);
    return result;
}

/* ---- what drivers keep ---- */

/* VkPipelineCacheHeaderVersionOne, which drivers must check themselves, and
 * some did not. */
bool
krsi_vulkan_is_kept(const krs_backend_device *d, const char *data, size_t bytes)
{
    enum { VENDOR = 8, DEVICE = 12, UUID = 16, HEADER = 32 };
    uint32_t words[2], vendor, device;
    if (bytes < HEADER)
        return false;
    memcpy(words, data, sizeof words);
    memcpy(&vendor, data + VENDOR, sizeof vendor);
    memcpy(&device, data + DEVICE, sizeof device);
    return words[0] >= HEADER && words[0] <= bytes &&
           words[1] == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           vendor == d->identity.vendorID && device == d->identity.deviceID &&
           memcmp(data + UUID, d->identity.pipelineCacheUUID, VK_UUID_SIZE) ==
               0;
}

static VkResult
make_cache(krs_backend_device *d, const krsi_vulkan_module *module,
           VkPipelineCache *out)
{
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = module->cache_bytes,
        .pInitialData = module->cache};
    return d->vk.vkCreatePipelineCache(d->device, &info, NULL, out);
}

void
krsi_vulkan_unmake_code(krs_backend_device *d, krs_backend_code *code)
{
    d->vk.vkDestroyPipeline(d->device, code->pipeline, NULL);
    d->vk.vkDestroyPipelineLayout(d->device, code->layout, NULL);
    d->vk.vkDestroyDescriptorSetLayout(d->device, code->set_layout, NULL);
}

static VkResult
make_all(krs_backend_device *d, const krsi_vulkan_module *module,
         krs_backend_code *code, VkPipelineCache *out_cache)
{
    *out_cache = VK_NULL_HANDLE;
    VkResult result = make_cache(d, module, out_cache);
    if (result == VK_SUCCESS)
        result = make_layout(d, code);
    if (result == VK_SUCCESS)
        result =
            make_pipeline(d, code, module->words,
                          module->count * sizeof *module->words, *out_cache);
    return result;
}

/* A driver that takes no module of ours is wrong, or we are. */
static krs_status
judge(const krs_backend_device *d, const krsi_vulkan_module *module,
      VkResult result, krs_error *err)
{
    krs_status status = krsi_vulkan_check(result, module->kernel->name, err);
    if (status != KRS_E_DEVICE || result == VK_ERROR_DEVICE_LOST)
        return status;
    return krs_fail(err, KRS_E_INTERNAL,
                    "vulkan: %s: %s refuses the shader of %zu words (%s); "
                    "kersey graph --stage spirv shows it",
                    module->kernel->name, d->limits.name, module->count,
                    krsi_vulkan_result(result));
}

static VkResult
read_cache(krs_backend_device *d, VkPipelineCache cache, krs_backend_blob *out)
{
    VkResult result =
        d->vk.vkGetPipelineCacheData(d->device, cache, &out->bytes, NULL);
    if (result != VK_SUCCESS)
        return result;
    out->data = malloc(out->bytes + 1);
    return out->data ? d->vk.vkGetPipelineCacheData(d->device, cache,
                                                    &out->bytes, out->data)
                     : VK_ERROR_OUT_OF_HOST_MEMORY;
}

krs_status
krsi_vulkan_make_code(krs_backend_device *d, const krsi_vulkan_module *module,
                      krs_backend_code *code, krs_backend_blob *out_kept,
                      krs_error *err)
{
    VkPipelineCache cache;
    VkResult result = make_all(d, module, code, &cache);
    if (result == VK_SUCCESS && out_kept)
        result = read_cache(d, cache, out_kept);
    d->vk.vkDestroyPipelineCache(d->device, cache, NULL);
    return judge(d, module, result, err);
}
