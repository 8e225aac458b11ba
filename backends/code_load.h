/* code_load.h -- kernels on their way to code (build.c). */
#ifndef KRSI_CODE_LOAD_H
#define KRSI_CODE_LOAD_H

#include <krs/backend.h>

typedef struct krsi_code_part {
    const krs_kernel *kernel;
    krs_backend_blob blob;
    krs_backend_code *code;
    krs_status status; /* of its load */
    krs_error reason;  /* where that is not OK */
} krsi_code_part;

/* Load the parts that have a blob and no code yet. */
void krsi_code_load(const krs_backend *backend, krs_backend_device *device,
                    krsi_code_part *parts, size_t count);

#endif
