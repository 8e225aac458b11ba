/* temporary.c -- folders that live as long as the process.
 *
 * Each is made with mode 0700 below TMPDIR, where that is an absolute path, or
 * /tmp, and removed with all that lies in it when the process ends.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#include "command.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

enum { FOLDERS = 4, OPEN_FOLDERS = 16 };

static char folder[FOLDERS][PATH_BYTES];
static size_t count;

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
remove_folders(void)
{
    while (count > 0)
        (void)nftw(folder[--count], remove_one, OPEN_FOLDERS,
                   FTW_DEPTH | FTW_PHYS);
}

krs_status
make_temporary(const char **path, krs_error *err)
{
    const char *base = getenv("TMPDIR");
    base = base && base[0] == '/' ? base : "/tmp";
    if (count == FOLDERS)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "no more than %d temporary folders", (int)FOLDERS);
    char *name = folder[count];
    int length = snprintf(name, PATH_BYTES, "%s/kersey-XXXXXX", base);
    if (length < 0 || length >= PATH_BYTES || !mkdtemp(name))
        return krs_fail(err, KRS_E_IO, "no temporary folder in %.200s: %s",
                        base, strerror(errno));
    if (count++ == 0 && atexit(remove_folders) != 0) {
        remove_folders();
        return krs_fail(err, KRS_E_MEMORY, "no memory to end %s by", name);
    }
    *path = name;
    return KRS_OK;
}
