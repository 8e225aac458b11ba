/* keval_run.h -- a kernel, built or written as text, in the kernel interpreter.
 *
 * In: a builder (kb.h) or a text, facts of the target. Out: the interpreter with
 * the kernel, which close_both() frees; of a text the status of its launch. And
 * floats of every kind, compared by their bits.
 */
#ifndef TESTS_KEVAL_RUN_H
#define TESTS_KEVAL_RUN_H

#include "graph/kernel/kb.h"
#include "suite.h"

#include <math.h>
#include <string.h>

static inline krs_keval *
open_built(krsi_kb *kb, bool fma, bool flushes, krs_kernel **kernel)
{
    krs_error err;
    krs_kfacts facts = {sizeof facts, fma, flushes};
    krs_keval *keval;
    if (krsi_kb_finish(kb, kernel, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    if (krs_keval_open(*kernel, &facts, &keval, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    return keval;
}

static inline void
close_both(krs_keval *keval, krs_kernel *kernel)
{
    krs_keval_close(keval);
    krs_kernel_free(kernel);
}

static const float floats[] = {0,
                               -0.0f,
                               1,
                               -1,
                               0.5f,
                               1.5f,
                               2.5f,
                               -2.5f,
                               3.4e38f,
                               -3.4e38f,
                               INFINITY,
                               -INFINITY,
                               NAN,
                               0x1p-149f,
                               -0x1p-149f,
                               0x1p-126f,
                               8388609,
                               -8388607.5f,
                               0.1f,
                               -1e-20f,
                               1e20f,
                               0x1.000002p0f,
                               2147483648.0f,
                               -2147483648.0f,
                               0.49999997f,
                               300,
                               -129,
                               255};
static const int64_t integers[] = {
    0,         1,         -1,    2,      -2,         7,         -7,
    31,        32,        33,    63,     64,         INT32_MAX, INT32_MIN,
    INT64_MAX, INT64_MIN, 65536, -65536, 0x12345678, 255};
enum {
    FLOATS = sizeof floats / sizeof *floats,
    INTEGERS = sizeof integers / sizeof *integers
};

static inline uint32_t
bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Text, its launch, and what comes of it. */
static inline krs_status
run_text(const char *text, int64_t groups, void *const *buffers,
         const size_t *bytes, const krs_kargument *args, krs_error *err)
{
    krs_kernel *kernel;
    krs_keval *keval;
    krs_kfacts facts = {.struct_size = sizeof facts, .has_fma = true};
    if (krs_kernel_parse(text, &kernel, err) != KRS_OK)
        ck_abort_msg("%s", err->text);
    ck_assert_int_eq(krs_keval_open(kernel, &facts, &keval, err), KRS_OK);
    krs_klaunch launch = {
        sizeof launch, {groups, 1, 1},
          buffers, bytes, args
    };
    krs_status status = krs_keval_run(keval, &launch, err);
    close_both(keval, kernel);
    return status;
}

#endif
