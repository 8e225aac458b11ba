/* memory.h -- memory that is the caller's: who gives a device what it needs.
 */
#ifndef KRS_MEMORY_H
#define KRS_MEMORY_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a device takes memory for tensors, inputs, outputs, constants and
 * temporaries: all that grows with a model. Objects, graphs and the scratch of
 * workers come from malloc. Both functions may be called by several threads
 * at once, and must not call Kersey. */
typedef struct krs_allocator {
    /* bytes > 0, a multiple of align, a power of two; contents undefined.
     * NULL: there is no more, which is reported as MEMORY. */
    void *(*allocate)(void *context, size_t bytes, size_t align);
    /* what allocate gave, with the same bytes */
    void (*release)(void *context, void *data, size_t bytes);
    void *context; /* passed on */
} krs_allocator;

#ifdef __cplusplus
}
#endif
#endif
