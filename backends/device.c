/* device.c -- the devices there are, by name. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

static const krsi_device_kind *const kinds[] = {&krsi_eval_device};

enum { KINDS = sizeof kinds / sizeof *kinds };

krs_status
krs_device_open(const char *name, krs_device **out, krs_error *err)
{
    krsi_string known = {0};
    *out = NULL;
    for (size_t i = 0; name && i < KINDS; i++)
        if (strcmp(kinds[i]->name, name) == 0) {
            krs_device *device = calloc(1, sizeof *device);
            if (!device)
                return krs_fail(err, KRS_E_MEMORY,
                                "device_open: no memory for '%s'", name);
            device->kind = kinds[i];
            *out = device;
            return KRS_OK;
        }
    for (size_t i = 0; i < KINDS; i++)
        krsi_string_format(&known, "%s%s", i ? ", " : "", kinds[i]->name);
    krs_status status =
        krs_fail(err, KRS_E_DEVICE, "device_open: no device '%s'; there is: %s",
                 name ? name : "", known.text ? known.text : "");
    krsi_string_free(&known);
    return status;
}

void
krs_device_close(krs_device *device)
{
    free(device);
}

const char *
krs_device_name(const krs_device *device)
{
    return device->kind->name;
}
