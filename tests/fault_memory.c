/* fault_memory.c -- the allocation functions that a suite is linked with.
 *
 * In: calls of the library, and the number of the one that is to fail. Out:
 * that call gives nothing and ENOMEM, all others what the C library gives.
 * The linker's --wrap puts them in between: __wrap_f is called for f, and
 * __real_f is the f of the C library.
 */
#include "fault_memory.h"

#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_long countdown; /* to the call that fails; 0 and less: none */
static atomic_bool for_good;  /* those after it fail too */
static atomic_bool has_struck;
static atomic_long alive;

/* for modules too */
#define EXPORTED __attribute__((visibility("default")))

void *__real_malloc(size_t bytes);
EXPORTED void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
EXPORTED void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
EXPORTED void *__wrap_realloc(void *old, size_t bytes);
char *__real_strdup(const char *text);
EXPORTED char *__wrap_strdup(const char *text);
int __real_posix_memalign(void **out, size_t align, size_t bytes);
EXPORTED int __wrap_posix_memalign(void **out, size_t align, size_t bytes);
void __real_free(void *data);
EXPORTED void __wrap_free(void *data);

bool
memory_strikes(void)
{
    if (atomic_load(&countdown) <= 0)
        return false;
    long left = atomic_fetch_sub(&countdown, 1) - 1;
    if (left > 0 || (left < 0 && !atomic_load(&for_good)))
        return false;
    if (atomic_load(&for_good))
        atomic_store(&countdown, 1);
    atomic_store(&has_struck, true);
    errno = ENOMEM;
    return true;
}

static void *
counted(void *data, bool is_new)
{
    if (data && is_new)
        atomic_fetch_add(&alive, 1);
    return data;
}

void *
__wrap_malloc(size_t bytes)
{
    return counted(memory_strikes() ? NULL : __real_malloc(bytes), true);
}

void *
__wrap_calloc(size_t count, size_t bytes)
{
    return counted(memory_strikes() ? NULL : __real_calloc(count, bytes), true);
}

void *
__wrap_realloc(void *old, size_t bytes)
{
    bool is_new = old == NULL;
    return counted(memory_strikes() ? NULL : __real_realloc(old, bytes),
                   is_new);
}

char *
__wrap_strdup(const char *text)
{
    return counted(memory_strikes() ? NULL : __real_strdup(text), true);
}

int
__wrap_posix_memalign(void **out, size_t align, size_t bytes)
{
    if (memory_strikes())
        return ENOMEM;
    int failed = __real_posix_memalign(out, align, bytes);
    if (!failed)
        counted(*out, true);
    return failed;
}

void
__wrap_free(void *data)
{
    if (data)
        atomic_fetch_sub(&alive, 1);
    __real_free(data);
}

void
memory_fail_at(long n)
{
    atomic_store(&has_struck, false);
    atomic_store(&for_good, false);
    atomic_store(&countdown, n);
}

void
memory_fail_from(long n)
{
    memory_fail_at(0);
    atomic_store(&for_good, true);
    atomic_store(&countdown, n);
}

long
memory_left(void)
{
    return atomic_load(&countdown);
}

bool
memory_struck(void)
{
    atomic_store(&countdown, 0);
    return atomic_load(&has_struck);
}

long
memory_alive(void)
{
    return atomic_load(&alive);
}

void
memory_watch_json(void)
{
    json_set_alloc_funcs(__wrap_malloc, __wrap_free);
}

void
memory_leave_json(void)
{
    json_set_alloc_funcs(__real_malloc, __real_free);
}
