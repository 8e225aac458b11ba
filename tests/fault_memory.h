/* fault_memory.h -- allocations that fail on demand.
 *
 * A suite that includes this file is linked with --wrap=malloc,--wrap=calloc,
 * --wrap=realloc (see tests/CMakeLists.txt): calls out of the library come
 * here, and those of Check too: assert nothing until memory_struck() was
 * called. Those of jansson come here after memory_watch_json().
 *
 *     memory_fail_at(n);
 *     status = f();
 *     if (!memory_struck()) break;   -- f makes fewer than n allocations
 */
#ifndef TESTS_FAULT_MEMORY_H
#define TESTS_FAULT_MEMORY_H

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>

static int memory_countdown; /* 0: no call fails */
static bool memory_has_struck;

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static inline bool
memory_is_out(void)
{
    if (memory_countdown == 0 || --memory_countdown > 0)
        return false;
    memory_has_struck = true;
    errno = ENOMEM;
    return true;
}

void *
__wrap_malloc(size_t bytes)
{
    return memory_is_out() ? NULL : __real_malloc(bytes);
}

void *
__wrap_calloc(size_t count, size_t bytes)
{
    return memory_is_out() ? NULL : __real_calloc(count, bytes);
}

void *
__wrap_realloc(void *old, size_t bytes)
{
    return memory_is_out() ? NULL : __real_realloc(old, bytes);
}

/* the n-th allocation from now fails, n from 1 */
static inline void
memory_fail_at(int n)
{
    memory_countdown = n;
    memory_has_struck = false;
}

/* did one fail? From here on none does. */
static inline bool
memory_struck(void)
{
    memory_countdown = 0;
    return memory_has_struck;
}

static inline void
memory_watch_json(void)
{
    json_set_alloc_funcs(__wrap_malloc, free);
}

#endif
