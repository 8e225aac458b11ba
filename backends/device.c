/* device.c -- the devices there are, by name.
 *
 * "eval" interprets graphs (eval_device.c); every other name is that of a
 * backend (kernel_device.c), which the registry finds or refuses.
 */
#include "program.h"

#include <stdlib.h>
#include <string.h>

/* Everything but the interpreter of graphs is a backend behind the seam. */
static const krsi_device_kind *
kind_of(const char *name)
{
    return strncmp(name, "eval", 4) == 0 && (!name[4] || name[4] == ':')
               ? &krsi_eval_device
               : &krsi_kernel_device;
}

static void
release(krs_device *device)
{
    if (!device)
        return;
    free(device->name);
    free(device->stage);
    free(device);
}

krs_status
krs_device_open_with(const char *name, const krs_device_options *options,
                     krs_device **out, krs_error *err)
{
    krs_device_options none = {.struct_size = sizeof none};
    KRS_TRY(krsi_need(out, "device_open", "out", err));
    *out = NULL;
    KRS_TRY(krsi_need(name, "device_open", "the name", err));
    if (options && options->struct_size != sizeof *options)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "device_open: options of %zu bytes where %zu are "
                        "known; set struct_size to sizeof the struct",
                        options->struct_size, sizeof *options);
    if (!options)
        options = &none;
    if (options->stage && strcmp(options->stage, "expand") != 0 &&
        strcmp(options->stage, "opt") != 0)
        return krs_fail(err, KRS_E_NAME,
                        "device_open: no graph runs at stage '%s'; there are "
                        "expand and opt",
                        options->stage);
    if ((unsigned)options->memory > KRS_MEMORY_POISONED)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "device_open: memory is %d, which is not one of "
                        "krs_memory_use",
                        (int)options->memory);
    if (options->allocator &&
        (!options->allocator->allocate || !options->allocator->release))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "device_open: the allocator lacks a function: it needs "
                        "allocate and release");
    krs_device *device = calloc(1, sizeof *device);
    if (!device || !(device->name = strdup(name)) ||
        (options->stage && !(device->stage = strdup(options->stage)))) {
        release(device);
        return krs_fail(err, KRS_E_MEMORY, "device_open: no memory for '%s'",
                        name);
    }
    device->kind = kind_of(name);
    krs_status status = device->kind->open(name, options, &device->state, err);
    if (status != KRS_OK) {
        release(device);
        return status;
    }
    device->composites = device->kind->has_families && !options->unfused
                             ? KRSI_KEEP_FAMILIES
                             : KRSI_KEEP_PRIMITIVES;
    device->observe = options->observe;
    device->context = options->context;
    *out = device;
    return KRS_OK;
}

krs_status
krs_device_open(const char *name, krs_device **out, krs_error *err)
{
    return krs_device_open_with(name, NULL, out, err);
}

void
krs_device_close(krs_device *device)
{
    if (!device)
        return;
    device->kind->close(device->state);
    release(device);
}

const char *
krs_device_name(const krs_device *device)
{
    return device ? device->name : "";
}

krs_status
krs_device_describe(const krs_device *device, krs_device_info *out,
                    krs_error *err)
{
    KRS_TRY(krsi_need(device, "device_describe", "the device", err));
    KRS_TRY(krsi_need(out, "device_describe", "out", err));
    if (out->struct_size != sizeof *out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "device_describe: info of %zu bytes where %zu are "
                        "known; set struct_size to sizeof the struct",
                        out->struct_size, sizeof *out);
    device->kind->describe(device->state, out);
    return KRS_OK;
}
