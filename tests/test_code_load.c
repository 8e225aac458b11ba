/* test_code_load.c -- blobs to code, by one thread and by several. */
#include "../backends/code_load.h"
#include "suite.h"

#include <krs/status.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { PARTS = 200, LATE = 7 };

/* A device that counts its loads, and refuses the blob of each LATEth kernel. */
struct krs_backend_device {
    krs_backend_limits limits;
    int loads[PARTS]; /* of each kernel */
    pthread_t caller;
    int elsewhere; /* loads by other threads */
};

struct krs_backend_code {
    const krs_kernel *kernel;
};

static krs_kernel kernels[PARTS];
static krs_backend_code codes[PARTS];

static const krs_backend_limits *
limits(const krs_backend_device *d)
{
    return &d->limits;
}

static krs_status
load(krs_backend_device *d, const krs_kernel *kernel,
     const krs_backend_blob *blob, krs_backend_code **out, krs_error *err)
{
    size_t i = (size_t)(kernel - kernels);
    __atomic_fetch_add(&d->loads[i], 1, __ATOMIC_RELAXED);
    if (!pthread_equal(pthread_self(), d->caller))
        __atomic_fetch_add(&d->elsewhere, 1, __ATOMIC_RELAXED);
    *out = NULL;
    if (i % LATE == LATE - 1)
        return krs_fail(err, KRS_E_FORMAT, "kernel %zu of %zu bytes", i,
                        blob->bytes);
    codes[i].kernel = kernel;
    *out = &codes[i];
    return KRS_OK;
}

START_TEST(each_part_with_a_blob_and_no_code_is_loaded_once)
{
    static const uint32_t loaders[] = {0, 1, 2, 3, 64};
    static const krs_backend backend = {.limits = limits, .load = load};
    static char data[1];
    for (size_t l = 0; l < sizeof loaders / sizeof *loaders; l++) {
        static krsi_code_part parts[PARTS];
        krs_backend_device device = {.limits.loaders = loaders[l],
                                     .caller = pthread_self()};
        krs_backend_code there;
        memset(parts, 0, sizeof parts);
        for (size_t i = 0; i < PARTS; i++) {
            parts[i].kernel = &kernels[i];
            if (i % 3 != 0)
                parts[i].blob = (krs_backend_blob){data, i};
            if (i % 5 == 0)
                parts[i].code = &there;
        }
        krsi_code_load(&backend, &device, parts, PARTS);
        for (size_t i = 0; i < PARTS; i++) {
            bool is_wanted = i % 3 != 0 && i % 5 != 0;
            bool is_refused = is_wanted && i % LATE == LATE - 1;
            ck_assert_int_eq(device.loads[i], is_wanted);
            ck_assert_int_eq(parts[i].status,
                             is_refused ? KRS_E_FORMAT : KRS_OK);
            ck_assert_ptr_eq(parts[i].code, i % 5 == 0 ? &there
                                            : is_wanted && !is_refused
                                                ? &codes[i]
                                                : NULL);
            if (is_refused) {
                char text[64];
                snprintf(text, sizeof text, "kernel %zu of %zu bytes", i, i);
                ck_assert_str_eq(parts[i].reason.text, text);
            }
        }
        if (loaders[l] < 2)
            ck_assert_int_eq(device.elsewhere, 0);
        krsi_code_load(&backend, &device, parts, 0);
    }
}
END_TEST

SUITE(each_part_with_a_blob_and_no_code_is_loaded_once)
