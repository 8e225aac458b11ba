/* one_run.h -- a graph of inputs run once on a device, for tests that look at
 * numbers. What a builder refuses is in the graph's error.
 */
#ifndef TESTS_ONE_RUN_H
#define TESTS_ONE_RUN_H

#include <krs/program.h>

#include "tests/suite.h"

typedef struct one_input {
    const char *name;
    const void *data;
    size_t bytes;
} one_input;

/* the outputs one after the other into out[i], of bytes[i] each */
static inline void
one_run(krs_device *device, const krs_node *output, size_t count,
        const one_input *input, size_t inputs, void *const *out,
        const size_t *bytes)
{
    krs_store *store;
    krs_program *program;
    krs_error err = {KRS_OK, ""};
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    krs_program_new(store, output, count, &program, &err);
    ck_assert_msg(err.status == KRS_OK, "%s", err.text);
    for (size_t i = 0; i < inputs; i++)
        ck_assert_msg(krs_program_set_input(program, input[i].name,
                                            input[i].data, input[i].bytes,
                                            &err) == KRS_OK,
                      "%s", err.text);
    ck_assert_msg(krs_program_run(program, &err) == KRS_OK, "%s", err.text);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(krs_program_read(program, i, out[i], bytes[i], &err) ==
                          KRS_OK,
                      "%s", err.text);
    krs_program_free(program);
    krs_store_free(store);
}

#endif
