/* driver_cache.c -- a folder of the process's own for what an OpenCL driver
 * caches.
 *
 * PoCL keeps compiled kernels below the home folder, where another process
 * that writes at the same time, or a file cut short, makes it crash. What is
 * worth keeping is in the cache of this program. So the driver gets a folder
 * of mode 0700 that lives as long as the process; POCL_CACHE_DIR of the user's
 * stands. PoCL is also told not to compile a kernel once more for the size of
 * its groups when it is first launched: binaries hold what fits every size.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#include "command.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>

static char folder[PATH_BYTES];

static int
remove_one(const char *path, const struct stat *facts, int kind,
           struct FTW *where)
{
    (void)facts;
    (void)kind;
    (void)where;
    return remove(path);
}

static void
remove_folder(void)
{
    enum { OPEN_FOLDERS = 16 };
    (void)nftw(folder, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}

void
own_driver_cache(void)
{
    const char *base = getenv("TMPDIR");
    setenv("POCL_WORK_GROUP_SPECIALIZATION", "0", 0);
    base = base && base[0] == '/' ? base : "/tmp";
    if (folder[0] || getenv("POCL_CACHE_DIR"))
        return;
    int length = snprintf(folder, sizeof folder, "%s/kersey-XXXXXX", base);
    if (length < 0 || (size_t)length >= sizeof folder || !mkdtemp(folder)) {
        folder[0] = 0;
        return;
    }
    if (atexit(remove_folder) != 0)
        remove_folder();
    else
        setenv("POCL_CACHE_DIR", folder, 1);
}
