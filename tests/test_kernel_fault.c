/* test_kernel_fault.c -- kernels while memory is out: every allocation of
 * building, printing, parsing and interpreting fails once; each time there is
 * a status, nothing leaks (the sanitizer preset sees that) and nothing breaks.
 */
#include "fault_memory.h"
#include "graph/kernel/kb.h"
#include "suite.h"

#include <string.h>

/* x[i] = sum over k of sin(x[i])^k in scratch of n elements */
static krs_status
build(krs_kernel **out, krs_error *err)
{
    static const uint8_t swap[] = {1, 0, 3, 2};
    krsi_kb *kb = krsi_kb_new("fault");
    krsi_kbuf x = krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ | KRS_K_WRITE, 0);
    krsi_kv n = krsi_kb_arg(kb, "n", KRS_I64);
    krsi_kbuf s = krsi_kb_scratch(kb, "s", KRS_F32, 4, n, 0);
    krsi_kv zero = krsi_kb_i64(kb, 0), one = krsi_kb_i64(kb, 1);
    krsi_kv v =
        krsi_kb_load(kb, (krsi_kmem){.buffer = x, .index = zero, .lanes = 4});
    v = krsi_kmath_sin(kb, krsi_kb_shuffle(kb, v, KRSI_KV_NONE, 4, swap));
    krsi_kv k = krsi_kb_for(kb, zero, n, one);
    krsi_kv power = krsi_kb_carry(kb, v), sum = krsi_kb_carry(kb, v);
    krsi_kv next = krsi_kb_mul(kb, power, v);
    krsi_kb_store(kb,
                  (krsi_kmem){.buffer = s,
                              .index = krsi_kb_mul(kb, k, krsi_kb_i64(kb, 4))},
                  next);
    krsi_kb_next(kb, power, next);
    krsi_kb_next(kb, sum, krsi_kb_add(kb, sum, next));
    krsi_kb_end(kb);
    krsi_kb_store(kb, (krsi_kmem){.buffer = x, .index = zero},
                  krsi_kb_result(kb, sum));
    return krsi_kb_finish(kb, out, err);
}

static krs_status
all(krs_error *err)
{
    krs_kernel *kernel, *again = NULL;
    krs_keval *keval = NULL;
    krs_kfacts facts = {.struct_size = sizeof facts, .has_fma = true};
    float x[4] = {1, 2, 3, 4};
    void *buffers[] = {x};
    size_t bytes[] = {sizeof x};
    krs_kargument args[] = {{.i = 3}};
    krs_klaunch launch = {
        sizeof launch, {1, 1, 1},
          buffers, bytes, args
    };
    krs_status status = build(&kernel, err);
    if (status != KRS_OK)
        return status;
    char *text = krs_kernel_print(kernel);
    if (!text)
        status = KRS_E_MEMORY;
    if (status == KRS_OK)
        status = krs_kernel_parse(text, &again, err);
    if (status == KRS_OK)
        status = krs_keval_open(again, &facts, &keval, err);
    if (status == KRS_OK)
        status = krs_keval_run(keval, &launch, err);
    krs_keval_close(keval);
    krs_kernel_free(again);
    krs_kernel_free(kernel);
    free(text);
    return status;
}

START_TEST(every_failed_allocation_is_a_status)
{
    krs_error err;
    long n = 0;
    bool struck;
    do {
        memory_fail_at(++n);
        krs_status status = all(&err);
        struck = memory_struck();
        ck_assert_msg(status == (struck ? KRS_E_MEMORY : KRS_OK),
                      "allocation %ld: %s", n, krs_status_name(status));
    } while (struck);
    ck_assert_int_gt(n, 30);
}
END_TEST

SUITE(every_failed_allocation_is_a_status)
