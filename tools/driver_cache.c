/* driver_cache.c -- a folder of the process's own for what an OpenCL driver
 * caches.
 *
 * PoCL keeps compiled kernels below the home folder, where another process
 * that writes at the same time, or a file cut short, makes it crash. What is
 * worth keeping is in the cache of this program. So the driver gets a temporary
 * folder; POCL_CACHE_DIR of the user's stands. PoCL is also told not to compile
 * a kernel once more for the size of its groups when it is first launched:
 * binaries hold what fits every size.
 */
#include "command.h"

#include <stdlib.h>

void
own_driver_cache(void)
{
    const char *folder;
    setenv("POCL_WORK_GROUP_SPECIALIZATION", "0", 0);
    if (!getenv("POCL_CACHE_DIR") && make_temporary(&folder, NULL) == KRS_OK)
        setenv("POCL_CACHE_DIR", folder, 1);
}
