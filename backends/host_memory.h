/* host_memory.h -- memories of the devices whose memory is the host's: eval,
 * interp, cpu.
 */
#ifndef KRSI_HOST_MEMORY_H
#define KRSI_HOST_MEMORY_H

#include <krs/backend.h>

/* Where every memory starts: a cache line, and any vector. */
enum { KRSI_HOST_ALIGN = 64 };

struct krs_backend_memory {
    unsigned char *data;
    size_t bytes;
    size_t taken_bytes; /* from the allocator; 0: data is the caller's */
};

/* `who` begins the messages. allocator NULL: posix_memalign. align is at least
 * KRSI_HOST_ALIGN. Errors: MEMORY. */
krs_status krsi_host_alloc(const char *who, const krs_allocator *allocator,
                           size_t align, size_t bytes, krs_backend_memory **out,
                           krs_error *err);
/* data of the caller's; ARGUMENT if it does not start at KRSI_HOST_ALIGN */
krs_status krsi_host_wrap(const char *who, void *data, size_t bytes,
                          krs_backend_memory **out, krs_error *err);
void krsi_host_free(const krs_allocator *allocator, krs_backend_memory *memory);

/* RANGE for a stretch beyond the end, named by `what` */
krs_status krsi_host_check(const char *who, const char *what,
                           const krs_backend_memory *memory, size_t offset,
                           size_t bytes, krs_error *err);
krs_status krsi_host_write(const char *who, krs_backend_memory *memory,
                           size_t offset, const void *data, size_t bytes,
                           krs_error *err);
krs_status krsi_host_read(const char *who, const krs_backend_memory *memory,
                          size_t offset, void *data, size_t bytes,
                          krs_error *err);

#endif
