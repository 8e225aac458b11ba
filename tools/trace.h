/* trace.h -- --trace FILE: what ran when, for chrome://tracing and Perfetto. */
#ifndef KERSEY_TRACE_H
#define KERSEY_TRACE_H

#include <krs/program.h>

/* start_trace(path, options) -- begin the file and observe the programs of a
 * device that is to be opened, beside whoever does already; EXIT_OK, or
 * EXIT_FAILED after a complaint. The file is closed when the process ends. */
int start_trace(const char *path, krs_device_options *options);

#endif
