/* backend.h -- the library's side of the seam: finding backends, keeping
 * code.
 */
#ifndef KRSI_BACKEND_H
#define KRSI_BACKEND_H

#include <krs/backend.h>

/* registry.c -- backends by name. */
typedef struct krsi_registry_entry {
    const krs_backend *backend;
    uint32_t index; /* which device: the 1 of "vulkan:1" */
    void *module;   /* handle of the shared object; NULL if built in */
} krsi_registry_entry;

/* The backend that is called `name` ("interp", "cpu", "vulkan:1"), from the
 * library itself or from libkersey-NAME.so in one of the folders of
 * module_path (separated by colons; NULL: krsi_registry_path). The caller
 * releases the entry after closing its devices. Thread-safe.
 * Errors: NAME (not a name); DEVICE (no such module, not loadable, made for
 * another ABI), in one sentence. */
krs_status krsi_registry_find(const char *name, const char *module_path,
                              krsi_registry_entry *out, krs_error *err);
void krsi_registry_release(krsi_registry_entry *entry);
/* Where modules are looked for by default: beside the program, in the kersey
 * folder of the libraries it was installed with, beside the library, in the
 * kersey folder there. To free(); NULL: no memory. */
char *krsi_registry_path(void);

/* interp/interp.c -- the kernel interpreter behind the seam. */
extern const krs_backend krsi_interp_backend;

/* fault/fault.c -- for tests: one that runs nothing, one that wraps another and
 * fails where it is told to. */
extern const krs_backend krsi_null_backend, krsi_fault_backend;

/* cache.c -- blobs on disk. Any number of threads may use a handle to find and
 * store, any number of processes one folder. */
typedef struct krsi_cache krsi_cache;

/* Told what was wrong with an entry, or why none could be stored; by the thread
 * that asked. */
typedef void krsi_cache_warning(void *context, const char *text);

/* Make and check the folder (0700, the caller's own) and use at most
 * max_bytes of it (0: no bound; the oldest entries go). warning may be NULL.
 * Errors: IO (the folder cannot be made, or others may write into it). */
krs_status krsi_cache_open(const char *folder, uint64_t max_bytes,
                           krsi_cache_warning *warning, void *context,
                           krsi_cache **out, krs_error *err);
void krsi_cache_close(krsi_cache *cache);
/* True and a blob to free() if there is one for this kernel and target. */
bool krsi_cache_find(krsi_cache *cache, const krs_kernel *kernel,
                     const char *target, krs_backend_blob *out);
/* Failures are warnings: the program runs without a cache too. */
void krsi_cache_store(krsi_cache *cache, const krs_kernel *kernel,
                      const char *target, const krs_backend_blob *blob);
/* Tell whoever listens: the folder, then the text. */
void krsi_cache_warn(krsi_cache *cache, const char *format, ...)
    KRS_PRINTF(2, 3);

/* How far the building of a program is, which may take several calls. */
typedef struct krsi_build_watch {
    size_t done, total;                                     /* kernels */
    bool (*told)(void *context, size_t done, size_t total); /* false: stop */
    void *context;
} krsi_build_watch;

/* build.c -- code for kernels: equal ones once, from the cache (NULL: none)
 * or built and then stored, and loaded. codes[i] may be the same for equal
 * kernels; krsi_backend_drop_all drops each once. watch (NULL: nobody) is told
 * after every kernel, in this thread.
 * Errors: the backend's; MEMORY; CANCELLED (the watch said so). */
krs_status krsi_backend_build(const krs_backend *backend,
                              krs_backend_device *device, krsi_cache *cache,
                              const krs_kernel *const *kernels, size_t count,
                              krsi_build_watch *watch, krs_backend_code **codes,
                              krs_error *err);
void krsi_backend_drop_all(const krs_backend *backend,
                           krs_backend_device *device, krs_backend_code **codes,
                           size_t count);

#endif
