/* program_rig.h -- a graph, a store on the device eval, and a program of its nodes.
 */
#ifndef TESTS_PROGRAM_RIG_H
#define TESTS_PROGRAM_RIG_H

#include "suite.h"

#include <krs/ops.h>
#include <krs/program.h>

static krs_error err;
static krs_device *device;
static krs_store *store;
static krs_graph *g;

static inline void
begin(void)
{
    ck_assert_int_eq(krs_device_open("eval", &device, &err), KRS_OK);
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    g = krs_graph_new();
}

static inline void
end(void)
{
    krs_graph_free(g);
    krs_store_free(store);
    krs_device_close(device);
}

#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)
#define REFUSED(call, code, sentence)               \
    do {                                            \
        ck_assert_int_eq(call, KRS_E_##code);       \
        ck_assert_int_eq(err.status, KRS_E_##code); \
        ck_assert_str_eq(err.text, sentence);       \
    } while (0)

#endif
