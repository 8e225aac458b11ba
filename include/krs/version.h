/* version.h -- which Kersey this is. The build reads the numbers from here.
 *
 * Before 1.0 an interface may change with the second number: the name of the
 * shared library carries the first two, and so does what find_package takes
 * for compatible.
 */
#ifndef KRS_VERSION_H
#define KRS_VERSION_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KRS_VERSION        "0.1.0"
#define KRS_VERSION_NUMBER 100 /* 10000 major + 100 minor + patch */

/* krs_version() -- KRS_VERSION of the library that is linked, which a program
 * may compare with that of the headers it was compiled with. Thread-safe. */
KRS_API const char *krs_version(void);

#ifdef __cplusplus
}
#endif
#endif
