/* debug.h -- what KRS_DEBUG shows. */
#ifndef KERSEY_DEBUG_H
#define KERSEY_DEBUG_H

#include <krs/program.h>

/* start_debug(options) -- read KRS_DEBUG and observe the programs of a device
 * that is to be opened; EXIT_OK, or EXIT_USAGE after a complaint. */
int start_debug(krs_device_options *options);

/* debug_device(device, options) -- a line on a device that was opened */
void debug_device(krs_device *device, const krs_device_options *options);

#endif
