/* fault_memory.h -- allocations that fail on demand, and are counted.
 *
 * A suite that krs_fault_suite() of tests/CMakeLists.txt names is linked so
 * that malloc, calloc, realloc, strdup, posix_memalign and free of the library
 * come to fault_memory.c first. Those of Check do too: assert nothing until
 * memory_struck() was called. Those of shared libraries do not; jansson's do
 * after memory_watch_json(), those of the module fault_cpu where the program
 * exports these functions.
 *
 *     memory_fail_at(n);
 *     status = f();
 *     if (!memory_struck()) break;   -- f makes fewer than n allocations
 *
 * Any thread may allocate; one thread at a time calls these functions.
 */
#ifndef TESTS_FAULT_MEMORY_H
#define TESTS_FAULT_MEMORY_H

#include <stdbool.h>

/* the n-th allocation from now fails, n from 1; or it and all after it */
void memory_fail_at(long n);
void memory_fail_from(long n);

/* how many more succeed before one fails; asked before memory_struck() */
long memory_left(void);

/* did one fail? From here on none does. */
bool memory_struck(void);

/* does this call fail? For other functions that a suite puts in between and
 * that count as allocations; errno is ENOMEM then. */
bool memory_strikes(void);

/* allocations that have not been freed */
long memory_alive(void);

/* jansson's allocations are among those that can fail, or no longer are */
void memory_watch_json(void);
void memory_leave_json(void);

#endif
