/* tail_kernel.c -- the kernel of tail_kernel.h, by the builder. */
#include "tail_kernel.h"

#include "suite.h"

#define ENTRY_1(name)                                  {#name, krsi_kmath_##name, NULL},
#define ENTRY_2(name)                                  {#name, NULL, krsi_kmath_##name},
#define ENTRY(NAME, name, arity, ulp, plain_ulp, text) ENTRY_##arity(name)
const tail_function tail_functions[] = {KRSI_KMATH_LIST(ENTRY)};
const size_t tail_function_count =
    sizeof tail_functions / sizeof *tail_functions;

krs_kernel *
tail_kernel(const tail_function *f, int width, bool masked)
{
    krs_kernel *kernel;
    krs_error err;
    krsi_kb *kb = krsi_kb_new(f->name);
    krsi_kbuf x = krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ, 0);
    krsi_kbuf z = krsi_kb_param(kb, "z", KRS_F32, KRS_K_READ, 0);
    krsi_kbuf y = krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 0);
    krsi_kv first = krsi_kb_arg(kb, "first", KRS_I64);
    krsi_kv n = krsi_kb_arg(kb, "n", KRS_I64);
    krsi_kv step = krsi_kb_i64(kb, width), one = krsi_kb_i64(kb, 1);
    krsi_kv body = krsi_kb_sub(kb, n, krsi_kb_rem(kb, n, step));
    for (int tail = 0; tail < 2; tail++) {
        bool alone = tail && !masked;
        krsi_kv i = krsi_kb_for(kb, tail ? body : krsi_kb_i64(kb, 0),
                                tail ? n : body, alone ? one : step);
        krsi_kmem at = {.buffer = x,
                        .index = krsi_kb_add(kb, first, i),
                        .lanes = alone ? 1 : width};
        if (tail && masked)
            at.mask = krsi_kb_below(kb, i, n, width);
        krsi_kv a = krsi_kb_load(kb, at);
        at.buffer = z;
        krsi_kv b = krsi_kb_load(kb, at);
        at.buffer = y;
        krsi_kb_store(kb, at, f->one ? f->one(kb, a) : f->two(kb, a, b));
        krsi_kb_end(kb);
    }
    ck_assert_msg(krsi_kb_finish(kb, &kernel, &err) == KRS_OK, "%s", err.text);
    return kernel;
}
