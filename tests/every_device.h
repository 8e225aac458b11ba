/* every_device.h -- a test on every device there is: eval, interp and, where
 * its module was built (KERSEY_MODULE_DIR), cpu.
 *
 *     for (int i = 0; i < EVERY_DEVICE; i++) {
 *         krs_device *device = open_every(i, NULL);
 */
#ifndef TESTS_EVERY_DEVICE_H
#define TESTS_EVERY_DEVICE_H

#include <krs/program.h>

#include "tests/suite.h"

static const char *const every_device[] = {"eval", "interp",
#ifdef KERSEY_MODULE_DIR
                                           "cpu"
#endif
};
enum { EVERY_DEVICE = sizeof every_device / sizeof *every_device };

/* options may be NULL; modules and, but for 0, threads are set here */
static inline krs_device *
open_every(int i, const krs_device_options *options)
{
    krs_device_options o = {.struct_size = sizeof o};
    krs_device *device;
    krs_error err;
    if (options)
        o = *options;
#ifdef KERSEY_MODULE_DIR
    o.modules = KERSEY_MODULE_DIR;
#endif
    if (!o.threads)
        o.threads = 2;
    krs_status status =
        krs_device_open_with(every_device[i], &o, &device, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return device;
}

#endif
