/* vulkan_backend.c -- the table of the Vulkan backend. */
#include "vulkan.h"

#include <krs/status.h>

static const krs_backend_limits *
limits(const krs_backend_device *device)
{
    return &device->limits;
}

static krs_status
wrap(krs_backend_device *device, void *data, size_t bytes,
     krs_backend_memory **out, krs_error *err)
{
    (void)device;
    (void)data;
    *out = NULL;
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "vulkan: %zu bytes of the caller's: the device works in "
                    "memory of its own, so have them copied",
                    bytes);
}

__attribute__((visibility("default")))
krs_backend_entry_function krs_backend_entry;

const krs_backend *
krs_backend_entry(void)
{
    static const krs_backend table = {.abi = krs_backend_abi,
                                      .name = "vulkan",
                                      .count = krsi_vulkan_count,
                                      .open = krsi_vulkan_open,
                                      .close = krsi_vulkan_close,
                                      .limits = limits,
                                      .alloc = krsi_vulkan_alloc,
                                      .free = krsi_vulkan_free,
                                      .wrap = wrap,
                                      .write = krsi_vulkan_write,
                                      .read = krsi_vulkan_read,
                                      .build = krsi_vulkan_build,
                                      .load = krsi_vulkan_load,
                                      .drop = krsi_vulkan_drop,
                                      .submit = krsi_vulkan_submit,
                                      .wait = krsi_vulkan_wait,
                                      .listing = krsi_vulkan_listing};
    return &table;
}
