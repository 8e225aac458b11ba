/* parity.h -- one kernel on two machines: a backend's module and the
 * interpreter.
 *
 * PARITY_SUITE is SUITE for suites that need the module: without it the suite
 * is skipped, with its reason, by exit code 77. The backend is cpu, or the
 * first argument of the program.
 */
#ifndef TESTS_PARITY_H
#define TESTS_PARITY_H

#include "backends/backend.h"
#include "tests/suite.h"

typedef struct parity_device {
    krsi_registry_entry entry;
    krs_backend_device *device;
    const krs_backend_limits *limits;
} parity_device;

/* What a parameter holds before the launch. */
typedef struct parity_buffer {
    const void *data;
    size_t bytes;
} parity_buffer;

extern const char *parity_backend; /* "cpu" unless an argument says another */
bool parity_is_cpu(void);
/* another backend, whose compiler is slow, without the argument "all": a part of
 * the cases. "plain": by effort NONE. */
bool parity_is_quick(void);
bool parity_is_plain(void);
/* KERSEY_SLOW, the sanitizers: fewer kernels of each kind, bits are the release's */
bool parity_is_slow(void);

/* false: this processor is below the level, there is no such backend, or it
 * has no levels and efforts: only cpu has */
bool parity_try_open(const char *name, const char *cpu,
                     krs_backend_effort effort, uint32_t workers,
                     parity_device *out, krs_error *err);
void parity_close(parity_device *d);

typedef struct parity_launch {
    const krs_kernel *kernel;
    int64_t grid[KRS_K_AXES];
    const krs_kargument *args;
    const parity_buffer *buffers; /* param_count */
    /* dot2_bf16 where it flushes: at exactly the smallest normal number the
     * processor decides whether a sum that rounds up to it was tiny */
    bool may_miss_smallest;
} parity_launch;

/* Submit one launch and wait for it; span NULL: nobody asks for its time. */
krs_status parity_launch_one(const krs_backend *backend,
                             krs_backend_device *device,
                             const krs_backend_launch *launch,
                             krs_backend_span *span, krs_error *err);

/* Run on the interpreter with the facts of the device: param_count buffers of
 * results, to free() with parity_free_results. */
void **parity_expect(const parity_device *d, const parity_launch *launch);
void parity_free_results(const parity_launch *launch, void **results);

/* Run on the device and compare every parameter bit for bit (any NaN equals
 * any NaN); bytes before and behind each buffer must not change. The first
 * difference fails the test with `where`. */
void parity_compare(const parity_device *d, const parity_launch *launch,
                    krs_backend_code *code, void **expected, const char *where);

/* Fixed sequence of numbers from a seed. */
uint64_t parity_random(uint64_t *state);

int parity_main(int argc, char **argv, const char *file,
                const TTest *const *tests, size_t count);

/* PARITY_SUITE after a call that holds for all tests, before Check forks */
#define PARITY_SUITE_AFTER(call, ...)                     \
    int main(int argc, char **argv)                       \
    {                                                     \
        const TTest *tests[] = {__VA_ARGS__};             \
        call;                                             \
        return parity_main(argc, argv, __FILE__, tests,   \
                           sizeof tests / sizeof *tests); \
    }
#define PARITY_SUITE(...) PARITY_SUITE_AFTER((void)0, __VA_ARGS__)

#endif
