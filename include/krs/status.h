/* status.h -- how Kersey says that something went wrong.
 *
 * Three kinds of error, three ways to meet them:
 *
 *   building a graph   builders never fail; a bad operand gives a poisoned
 *                      node and the graph keeps the first error (graph.h)
 *   doing something    files, devices, programs: a krs_status is returned
 *                      and, if the caller passed one, a krs_error is filled
 *   a bug of ours      KRS_E_INTERNAL in release, an assertion in debug
 *
 * The library never prints, exits or aborts. ERRORS.md beside this file shows
 * every status with an example.
 */
#ifndef KRS_STATUS_H
#define KRS_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* KRS_API marks what the shared library exports: all else is hidden. */
#if defined(__GNUC__)
#define KRS_API                 __attribute__((visibility("default")))
#define KRS_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define KRS_API
#define KRS_PRINTF(text, first)
#endif

/* The one list of statuses: name, short text. */
#define KRS_STATUS_LIST(X)                              \
    X(OK, "ok")                                         \
    X(E_ARGUMENT, "bad argument")                       \
    X(E_SHAPE, "shapes do not fit")                     \
    X(E_DTYPE, "wrong element type")                    \
    X(E_AXIS, "no such axis")                           \
    X(E_RANGE, "value out of range")                    \
    X(E_GRAPH, "operand of another graph, or poisoned") \
    X(E_NAME, "name unknown or already taken")          \
    X(E_MEMORY, "out of memory")                        \
    X(E_IO, "input or output failed")                   \
    X(E_FORMAT, "malformed file or text")               \
    X(E_UNSUPPORTED, "not supported")                   \
    X(E_DEVICE, "device failed or absent")              \
    X(E_CANCELLED, "cancelled")                         \
    X(E_CHECK, "a check fell short")                    \
    X(E_INTERNAL, "internal error, please report it")

typedef enum krs_status {
#define KRS_STATUS_ENUM(name, text) KRS_##name,
    KRS_STATUS_LIST(KRS_STATUS_ENUM)
#undef KRS_STATUS_ENUM
} krs_status;

#define KRS_ERROR_TEXT 1024 /* bytes, with the closing zero */

/* What went wrong, in one sentence. A plain value, owned by the caller. */
typedef struct krs_error {
    krs_status status;
    char text[KRS_ERROR_TEXT];
} krs_error;

/* krs_status_name(s) -- "E_SHAPE"; krs_status_text(s) -- "shapes do not fit".
 * Unknown values give "E_INTERNAL" and its text. Thread-safe. */
KRS_API const char *krs_status_name(krs_status status);
KRS_API const char *krs_status_text(krs_status status);

/* krs_fail(err, status, format, ...) -- fill err (NULL is fine) and return
 * status, so that a failing function ends in `return krs_fail(...)`. A text
 * that does not fit is cut at a whole UTF-8 character. errno is kept. */
KRS_API krs_status krs_fail(krs_error *err, krs_status status,
                            const char *format, ...) KRS_PRINTF(3, 4);

/* KRS_TRY(call) -- return the status of call unless it is KRS_OK. */
#define KRS_TRY(call)                       \
    do {                                    \
        krs_status krs_try_status = (call); \
        if (krs_try_status != KRS_OK)       \
            return krs_try_status;          \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
