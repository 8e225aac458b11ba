/* test_kernel.c -- builder, text form, verifier and hash of the kernel
 * language.
 */
#include "graph/kernel/kb.h"
#include "suite.h"

#include <krs/random.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static krs_kernel *
finish(krsi_kb *kb)
{
    krs_error err;
    krs_kernel *kernel;
    if (krsi_kb_finish(kb, &kernel, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    return kernel;
}

static void
check_round_trip(const krs_kernel *kernel)
{
    krs_error err;
    krs_kernel *again;
    char *text = krs_kernel_print(kernel);
    ck_assert_ptr_nonnull(text);
    if (krs_kernel_parse(text, &again, &err) != KRS_OK)
        ck_abort_msg("%s\n%s", err.text, text);
    char *second = krs_kernel_print(again);
    ck_assert_str_eq(text, second);
    ck_assert(krs_kernel_equal(kernel, again));
    ck_assert_uint_eq(kernel->hash[0], again->hash[0]);
    ck_assert_uint_eq(kernel->hash[1], again->hash[1]);
    free(text);
    free(second);
    krs_kernel_free(again);
}

/* Every row of scalar.def on some types that fit, every instruction, flag,
 * buffer space and constant type. */
static krs_kernel *
everything(void)
{
    krsi_kb *kb = krsi_kb_new("everything");
    krsi_kbuf x = krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ, 64);
    krsi_kbuf y = krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 16);
    krsi_kbuf z =
        krsi_kb_param(kb, "z.0", KRS_F32, KRS_K_READ | KRS_K_WRITE, 0);
    krsi_kv n = krsi_kb_arg(kb, "n", KRS_I64);
    krsi_kv alpha = krsi_kb_arg(kb, "alpha", KRS_F32);
    krsi_kbuf s = krsi_kb_scratch(kb, "s", KRS_F32, 256, KRSI_KV_NONE, 64);
    krsi_kbuf t = krsi_kb_scratch(kb, "t", KRS_BF16, 2, n, 0);
    krsi_kbuf tile = krsi_kb_shared(kb, "tile", KRS_F32, 64, 16);
    krsi_kb_group(kb, 8, 4, 1);
    krsi_kv zero = krsi_kb_i64(kb, 0), four = krsi_kb_i64(kb, 4);
    krsi_kv at = krsi_kb_add(kb, krsi_kb_mul(kb, krsi_kb_axis(kb, 1), four),
                             krsi_kb_local(kb, 0));
    krsi_kb_barrier(kb);
    krsi_kv first = krsi_kb_broadcast(kb, 4, alpha);
    krsi_kv i = krsi_kb_for(kb, zero, n, four);
    krsi_kv sum = krsi_kb_carry(kb, first);
    krsi_kv mask = krsi_kb_below(kb, i, n, 4);
    krsi_kv v = krsi_kb_load(kb, (krsi_kmem){.buffer = x,
                                             .index = i,
                                             .mask = mask,
                                             .lanes = 4,
                                             .align_bytes = 16,
                                             .flags = KRS_K_TEXEL});
    krsi_kv g = krsi_kb_load(kb, (krsi_kmem){.buffer = z,
                                             .index = at,
                                             .offsets = krsi_kb_lanes(kb, 4),
                                             .lanes = 4,
                                             .flags = KRS_K_INDIRECT});
    krsi_kb_next(kb, sum, krsi_kb_mad(kb, v, g, sum));
    krsi_kb_end(kb);
    sum = krsi_kb_result(kb, sum);
    krsi_kb_prefetch(kb, (krsi_kmem){.buffer = x, .index = n});
    krsi_kb_store(kb,
                  (krsi_kmem){.buffer = y,
                              .index = zero,
                              .align_bytes = 16,
                              .flags = KRS_K_STREAM},
                  sum);
    krsi_kb_store(kb,
                  (krsi_kmem){.buffer = z,
                              .index = zero,
                              .offsets = krsi_kb_lanes(kb, 4)},
                  sum);
    krsi_kb_store(kb, (krsi_kmem){.buffer = s, .index = four}, sum);
    krsi_kb_store(kb, (krsi_kmem){.buffer = tile, .index = at}, alpha);
    krsi_kb_store(kb, (krsi_kmem){.buffer = t, .index = zero},
                  krsi_kb_convert(kb, KRS_BF16, alpha));
    static const uint8_t lanes[] = {7, 0, 3, 4, 1, 2, 5, 6};
    krsi_kb_shuffle(kb, sum, sum, 8, lanes);
    const krs_dtype types[] = {KRS_F32, KRS_I32, KRS_I64, KRS_BOOL};
    for (int op = 0; op < KRS_KS_COUNT; op++)
        for (int k = 0; k < 4; k++) {
            krs_ktype type = {(uint8_t)types[k], 8}, result;
            const krs_ktype operands[3] = {type, type, type};
            krsi_kv a = krsi_kb_const(kb, type, 1);
            if (!krsi_kscalar_type((krs_kscalar)op, operands, type, &result))
                krsi_kb_scalar(kb, (krs_kscalar)op,
                               krsi_kb_shuffle(kb, a, KRSI_KV_NONE, 8, lanes),
                               a, a);
        }
    krsi_kv word = krsi_kb_broadcast(kb, 4, krsi_kb_i32(kb, -7));
    krsi_kb_dot2_bf16(kb, sum, word, word);
    krsi_kb_select(kb, krsi_kb_lt(kb, sum, alpha), sum, alpha);
    for (int from = 0; from < KRS_DTYPE_COUNT; from++)
        for (int to = 0; to < KRS_DTYPE_COUNT; to++)
            if (krs_dtype_class_of((krs_dtype)from) != KRS_CLASS_BLOCK &&
                krs_dtype_class_of((krs_dtype)to) != KRS_CLASS_BLOCK)
                krsi_kb_convert(
                    kb, (krs_dtype)to,
                    krsi_kb_const(kb, (krs_ktype){(uint8_t)from, 2}, 1));
    krsi_kb_bitcast(kb, KRS_BF16, sum);
    return finish(kb);
}

START_TEST(every_instruction_survives_the_round_trip)
{
    krs_kernel *kernel = everything();
    bool ops[KRS_K_COUNT] = {false}, rows[KRS_KS_COUNT] = {false};
    for (uint32_t i = 0; i < kernel->inst_count; i++) {
        ops[kernel->insts[i].op] = true;
        if (kernel->insts[i].op == KRS_K_SCALAR)
            rows[kernel->insts[i].scalar] = true;
    }
    for (int i = 0; i < KRS_K_COUNT; i++)
        ck_assert_msg(ops[i], "%s is missing", krs_kop_name((krs_kop)i));
    for (int i = 0; i < KRS_KS_COUNT; i++)
        ck_assert_msg(rows[i], "%s is missing",
                      krs_kscalar_name((krs_kscalar)i));
    check_round_trip(kernel);
    krs_kernel_free(kernel);
}
END_TEST

START_TEST(every_constant_survives_the_round_trip)
{
    static const uint64_t bits[] = {0,
                                    1,
                                    0x7F,
                                    0x80,
                                    0xFF,
                                    0x7C00,
                                    0x8001,
                                    0xFFFF,
                                    0x7F800000,
                                    0xFF800000,
                                    0x7FC00000,
                                    0x80000000,
                                    0x00000001,
                                    0x007FFFFF,
                                    0x3DCCCCCD,
                                    0x7F7FFFFF,
                                    UINT64_C(0x8000000000000000),
                                    UINT64_C(0x7FFFFFFFFFFFFFFF),
                                    UINT64_MAX};
    krsi_kb *kb = krsi_kb_new("constants");
    for (int t = 0; t < KRS_DTYPE_COUNT; t++)
        if (krs_dtype_class_of((krs_dtype)t) != KRS_CLASS_BLOCK)
            for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
                for (int lanes = 1; lanes <= 64; lanes *= 8)
                    krsi_kb_const(kb, (krs_ktype){(uint8_t)t, (uint8_t)lanes},
                                  bits[i]);
    krs_kernel *kernel = finish(kb);
    ck_assert_uint_gt(kernel->inst_count, 100);
    check_round_trip(kernel);
    krs_kernel_free(kernel);
}
END_TEST

START_TEST(the_builder_finds_equal_values_only_in_scope)
{
    krsi_kb *kb = krsi_kb_new("scopes");
    krsi_kv n = krsi_kb_arg(kb, "n", KRS_I64);
    krsi_kv m = krsi_kb_arg(kb, "m", KRS_I64);
    krsi_kv one = krsi_kb_i64(kb, 1), zero = krsi_kb_i64(kb, 0);
    krsi_kv outer = krsi_kb_add(kb, n, m);
    krsi_kb_for(kb, zero, n, one);
    ck_assert_uint_eq(krsi_kb_add(kb, n, m).ref, outer.ref);
    krsi_kv inner = krsi_kb_sub(kb, n, m);
    ck_assert_uint_eq(krsi_kb_sub(kb, n, m).ref, inner.ref);
    krsi_kv constant = krsi_kb_f32(kb, 3);
    krsi_kb_end(kb);
    ck_assert_uint_ne(krsi_kb_sub(kb, n, m).ref, inner.ref);
    ck_assert_uint_eq(krsi_kb_f32(kb, 3).ref, constant.ref);
    krs_kernel_free(finish(kb));
}
END_TEST

START_TEST(the_builder_folds_integers_and_never_floats)
{
    krsi_kb *kb = krsi_kb_new("folds");
    krsi_kv n = krsi_kb_arg(kb, "n", KRS_I64);
    krsi_kv x = krsi_kb_arg(kb, "x", KRS_F32);
    krsi_kv zero = krsi_kb_i64(kb, 0), one = krsi_kb_i64(kb, 1);
    ck_assert_uint_eq(krsi_kb_add(kb, n, zero).ref, n.ref);
    ck_assert_uint_eq(krsi_kb_add(kb, zero, n).ref, n.ref);
    ck_assert_uint_eq(krsi_kb_sub(kb, n, zero).ref, n.ref);
    ck_assert_uint_ne(krsi_kb_sub(kb, zero, n).ref, n.ref);
    ck_assert_uint_eq(krsi_kb_mul(kb, n, one).ref, n.ref);
    ck_assert_uint_eq(krsi_kb_mul(kb, n, zero).ref, zero.ref);
    ck_assert_uint_eq(
        krsi_kb_mul(kb, krsi_kb_i64(kb, 6), krsi_kb_i64(kb, 7)).ref,
        krsi_kb_i64(kb, 42).ref);
    ck_assert_uint_eq(
        krsi_kb_add(kb, krsi_kb_i32(kb, INT32_MAX), krsi_kb_i32(kb, 1)).ref,
        krsi_kb_i32(kb, INT32_MIN).ref);
    ck_assert_uint_eq(
        krsi_kb_max(kb, krsi_kb_i64(kb, -3), krsi_kb_i64(kb, 2)).ref,
        krsi_kb_i64(kb, 2).ref);
    ck_assert_uint_ne(krsi_kb_add(kb, x, krsi_kb_f32(kb, 0)).ref, x.ref);
    ck_assert_uint_ne(krsi_kb_mul(kb, x, krsi_kb_f32(kb, 1)).ref, x.ref);
    ck_assert(!krsi_kb_failed(kb));
    krs_kernel_free(finish(kb));
}
END_TEST

START_TEST(the_first_error_of_a_builder_sticks)
{
    krs_error err;
    krs_kernel *kernel;
    krsi_kb *kb = krsi_kb_new("sticky");
    krsi_kv n = krsi_kb_arg(kb, "n", KRS_I64);
    krsi_kv bad = krsi_kb_sqrt(kb, n);
    ck_assert_uint_eq(bad.ref, 0);
    ck_assert_uint_eq(krsi_kb_add(kb, n, n).ref, 0);
    krsi_kb_end(kb);
    krsi_kb_store(kb, (krsi_kmem){.index = n}, bad);
    ck_assert_int_eq(krsi_kb_finish(kb, &kernel, &err), KRS_E_DTYPE);
    ck_assert_str_eq(err.text, "kernel sticky: sqrt of i64: the operands must "
                               "be f32");
    ck_assert_ptr_null(kernel);
    /* NULL, as without memory, is a builder that has failed */
    ck_assert_uint_eq(krsi_kb_add(NULL, n, n).ref, 0);
    ck_assert_int_eq(krsi_kb_finish(NULL, &kernel, &err), KRS_E_MEMORY);
}
END_TEST

START_TEST(names_take_no_part_in_the_hash_and_all_else_does)
{
    static const char *const texts[] = {
        "kernel a\narg n i64\nbuffer @x f32 read\ngrid 1\n%i:i64 = axis 0\n"
        "%c:f32 = const 1\n",
        "kernel a\narg n i64\nbuffer @x f32 readwrite\ngrid 1\n"
        "%i:i64 = axis 0\n%c:f32 = const 1\n",
        "kernel a\narg n f32\nbuffer @x f32 read\ngrid 1\n%i:i64 = axis 0\n"
        "%c:f32 = const 1\n",
        "kernel a\narg n i64\nbuffer @x f32 read\ngrid 2\n%i:i64 = axis 0\n"
        "%c:f32 = const 1\n",
        "kernel a\narg n i64\nbuffer @x f32 read\ngrid 1\ngroup 2 1 1\n"
        "%i:i64 = axis 0\n%c:f32 = const 1\n",
        "kernel a\narg n i64\nbuffer @x f32 read align 8\ngrid 1\n"
        "%i:i64 = axis 0\n%c:f32 = const 1\n",
        "kernel a\narg n i64\nbuffer @x f32 read\ngrid 1\n%i:i64 = axis 0\n"
        "%c:f32 = const 2\n",
        "kernel a\narg n i64\nbuffer @x f32 read\ngrid 1\n%i:i64 = axis 0\n"
        "%c:f32x2 = const 1\n",
        "kernel a\narg n i64\nbuffer @x f32 read\ngrid 1\n%i:i64 = local 0\n"
        "%c:f32 = const 1\n"};
    enum { N = sizeof texts / sizeof *texts };
    krs_kernel *kernels[N + 1];
    krs_error err;
    for (int i = 0; i < N; i++)
        if (krs_kernel_parse(texts[i], &kernels[i], &err) != KRS_OK)
            ck_abort_msg("%s", err.text);
    ck_assert_int_eq(
        krs_kernel_parse("kernel b\narg k i64\nbuffer @y f32 read\n"
                         "grid 1 # comment\n\n %1:i64 = axis 0\n"
                         "%2:f32 = const 1.0",
                         &kernels[N], &err),
        KRS_OK);
    ck_assert(krs_kernel_equal(kernels[0], kernels[N]));
    ck_assert_uint_eq(kernels[0]->hash[0], kernels[N]->hash[0]);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < i; j++) {
            ck_assert(!krs_kernel_equal(kernels[i], kernels[j]));
            ck_assert_uint_ne(kernels[i]->hash[0], kernels[j]->hash[0]);
        }
    for (int i = 0; i <= N; i++)
        krs_kernel_free(kernels[i]);
}
END_TEST

/* In turn: what follows the head below, and what the sentence must say. The
 * head has eleven lines, so the text begins at line 12. */
static const char head[] = "kernel k\narg n i64\narg f f32\n"
                           "buffer @x f32 read align 16\nbuffer @y f32 write\n"
                           "scratch @s f32 8\ngrid 1\ngroup 4 1 1\n"
                           "%n:i64 = arg n\n%0:i64 = const 0\n%f:f32 = arg f\n";
static const char *const faults[] = {
    "%a:f32 = add %f %n",
    "line 12, column 1: the operands",
    "%a:i64 = sqrt %n",
    "must be f32",
    "%a:i64 = add %f %f",
    "result is i64, must be f32",
    "%a:f32x4 = add %f %f",
    "result is f32x4, must be f32",
    "%a:f32 = add %f %b",
    "line 12, column 17: `%b` is not",
    "%a:f32 = add %f",
    "column 16: found the end",
    "%a:f32 = add %f %f %f",
    "after the end",
    "%a:f32 = frob %f",
    "`frob`, which is no instruction",
    "%f:f32 = neg %f",
    "column 1: the value is defined",
    "%a:f33 = neg %f",
    "none of a value",
    "%a:f32x3 = broadcast %f",
    "a power of two",
    "%a:q4_0 = broadcast %f",
    "none of a value",
    "%a:i32 = const 2147483648",
    "integer from -2147483648",
    "%a:i64 = const 9223372036854775808",
    "expected an integer",
    "%a:f32 = const 1e39",
    "expected an f32",
    "%a:u8 = const -1",
    "integer from 0 to 255",
    "%a:bool = const 1",
    "true or false",
    "%a:i64 = axis 1",
    "axis 1 of a grid of 1",
    "%a:f32 = arg m",
    "no argument declared",
    "%a:i64 = arg f",
    "not that of argument f",
    "%a:f32 = load @q %0",
    "no buffer declared",
    "%a:f32 = load @y %0",
    "not declared for reading",
    "store @x %0 %f",
    "not declared for writing",
    "%a:i64 = load @x %0",
    "buffer x holds f32",
    "%a:f32 = load @x %f",
    "index is f32, must be i64",
    "%a:f32x4 = load @x %0 mask %f",
    "mask is f32, must be boolx4",
    "%a:f32 = load @x %0 align 32",
    "alignment of 32 bytes",
    "%a:f32 = load @x %0 align 6",
    "power of two",
    "%a:f32 = load @s %0 texel",
    "read-only parameter",
    "%a:f32 = load @x %0 stream",
    "a flag that it cannot have",
    "%8:i64 = const 8\n%a:f32 = load @s %8",
    "line 13, column 1: elements 8 to",
    "%5:i64 = const 5\n%a:f32x4 = load @s %5",
    "elements 5 to 8 of s",
    "%5:i64 = const -1\n%a:f32 = load @s %5",
    "elements -1 to -1 of s",
    "%i:i64 = axis 0\n%j:i64 = mul %i %i\n%a:f32 = load @x %j",
    "line 14, column 1: the index into x is not affine",
    "%v:f32 = load @s %0\n%j:i64 = convert %v\n%a:f32 = load @x %j",
    "not affine",
    "%a:f32x4 = gather @x %0 %0",
    "offset is i64, must be i64x4",
    "%a:f32 = shuffle %f [1]",
    "lane 1 of 1",
    "%a:f32x2 = shuffle %f %n [0 1]",
    "second operand is i64",
    "%a:i64 = shuffle %f [0]",
    "element type changes",
    "%a:f32x2 = shuffle %f [0 0 0]",
    "expected `]`",
    "%b:f32x4 = broadcast %f\n%a:f32x8 = broadcast %b",
    "not a scalar",
    "%i:i64 = for %0 to %n step %0 {\n}",
    "step is 0, must be positive",
    "%i:f32 = for %0 to %n step %n {\n}",
    "loop index is one i64",
    "%i:i64 = for %0 to %f step %n {\n}",
    "upper bound is f32",
    "%i:i64 = for %0 to %n step %n {",
    "loop of line 12 has no end",
    "}",
    "no loop to end",
    "%c:f32 = carry %f",
    "right after their for",
    "%i:i64 = for %0 to %n step %n {\n%c:f32 = carry %f\n}",
    "line 14, column 1: 1 of 1 carries have no next",
    "%i:i64 = for %0 to %n step %n {\n%c:f32 = carry %f\nnext %c %n\n}",
    "the next value is i64, must be f32",
    "%i:i64 = for %0 to %n step %n {\n%c:f32 = carry %f\n%d:f32 = carry %f\n"
    "next %d %f\nnext %c %f\n}",
    "in their order",
    "%i:i64 = for %0 to %n step %n {\n%c:i64 = carry %i\nnext %c %i\n}",
    "comes from inside",
    "%i:i64 = for %0 to %n step %n {\n%c:f32 = carry %f\nnext %c %f\n"
    "%a:f32 = neg %f\n}",
    "only next and end",
    "%i:i64 = for %0 to %n step %n {\n%a:f32 = neg %f\n}\n%b:f32 = neg %a",
    "line 15, column 1: operand 1 is used outside of its loop",
    "%i:i64 = for %0 to %n step %n {\n%c:f32 = carry %f\nnext %c %f\n}\n"
    "%b:f32 = neg %f\n%a:f32 = result %c",
    "right after the end",
    "%i:i64 = for %0 to %n step %n {\n%c:f32 = carry %f\nnext %c %f\n}\n"
    "%b:f32 = neg %c",
    "outside of its loop",
    "%l:i64 = local 0\n%1:i64 = const 1\n%i:i64 = for %0 to %l step %1 {\n"
    "barrier\n}",
    "can differ between the items",
    "%a:f32x2 = convert %f",
    "lanes of the operand",
    "%a:bool = bitcast %f",
    "equally many bytes",
    "%a:f32 = select %f %f %f",
    "condition must be bool",
    "neg %f",
    "has a result",
    "%a:f32 = barrier",
    "has no result",
    "buffer @x f32 read",
    "two buffers are called x",
    "buffer @b q8_0 read",
    "block types come as u8",
    "buffer @b f32 read",
    "parameters come first",
    "scratch @b f32 0",
    "integer from 1",
    "scratch @b f32 4611686018427387904",
    "buffer b: 4611686018427387904",
    "arg g i32",
    "must be i64 or f32",
    "scratch @b f32 4 times f",
    "and that is i64",
    "group 1024 2 1",
    "a group of 2048 items",
    "grid 4",
    "integer from 1 to 3",
    "%a:f32 = \x01",
    "found `?`",
};

START_TEST(faults_are_one_sentence_with_a_place)
{
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i += 2) {
        char text[1024];
        krs_kernel *kernel;
        krs_error err = {KRS_OK, ""};
        snprintf(text, sizeof text, "%s%s\n", head, faults[i]);
        krs_status status = krs_kernel_parse(text, &kernel, &err);
        ck_assert_msg(status == KRS_E_FORMAT, "%s is accepted", faults[i]);
        ck_assert_msg(strstr(err.text, faults[i + 1]), "%s: %s", faults[i],
                      err.text);
        ck_assert_msg(!strchr(err.text, '\n'), "%s", err.text);
    }
    krs_kernel *kernel;
    krs_error err;
    ck_assert_int_eq(krs_kernel_parse("", &kernel, &err), KRS_E_FORMAT);
    ck_assert_int_eq(krs_kernel_parse("colonel k", &kernel, &err),
                     KRS_E_FORMAT);
    ck_assert_int_eq(krs_kernel_parse(head, &kernel, &err), KRS_OK);
    krs_kernel_free(kernel);
}
END_TEST

/* Damage of every kind in the instructions of a valid kernel: an answer, and
 * where it is yes, a kernel that prints and reads back. */
START_TEST(the_verifier_answers_for_any_damage)
{
    krs_kernel *kernel = everything();
    krs_kinst *insts = malloc(kernel->inst_count * sizeof *insts);
    krs_kernel damaged = *kernel;
    int refused = 0;
    damaged.insts = insts;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t r[4];
        memcpy(insts, kernel->insts, kernel->inst_count * sizeof *insts);
        for (int k = 0; k < 4; k++)
            r[k] = krs_random_u32(7, 0, (uint32_t)k, round);
        krs_kinst *inst = &insts[r[0] % kernel->inst_count];
        uint8_t *lane = inst->op == KRS_K_SHUFFLE ? NULL : (uint8_t *)inst;
        size_t bytes = offsetof(krs_kinst, u);
        if (lane)
            lane[r[1] % bytes] = (uint8_t)(r[3] & 1 ? r[2] : r[2] % 24);
        else
            inst->a = r[2] % kernel->inst_count;
        if (inst->op == KRS_K_SHUFFLE && lane)
            continue; /* it would need lane numbers */
        krs_error err;
        if (krs_kernel_verify(&damaged, &err) != KRS_OK) {
            refused++;
            ck_assert_ptr_nonnull(strstr(err.text, "kernel everything: "));
            continue;
        }
        krs_kernel_hash(&damaged, damaged.hash);
        check_round_trip(&damaged);
    }
    ck_assert_int_gt(refused, 1000);
    free(insts);
    krs_kernel_free(kernel);
}
END_TEST

START_TEST(hostile_text_is_refused_without_harm)
{
    krs_kernel *kernel = everything();
    char *text = krs_kernel_print(kernel);
    size_t length = strlen(text);
    char *copy = malloc(length + 1);
    krs_error err;
    krs_kernel_free(kernel);
    for (uint32_t round = 0; round < 4000; round++) {
        memcpy(copy, text, length + 1);
        for (uint32_t k = 0; k < 1 + round % 3; k++) {
            uint32_t at = krs_random_u32(9, 0, k, round) % (uint32_t)length;
            uint32_t how = krs_random_u32(9, 0, 10 + k, round);
            if (round % 4 == 0)
                copy[at] = 0;
            else if (round % 4 == 1)
                copy[at] = (char)(how & 255);
            else
                copy[at] = "%@{}[]=: \n09x#-"[how % 15];
        }
        if (krs_kernel_parse(copy, &kernel, &err) == KRS_OK)
            krs_kernel_free(kernel);
        else
            ck_assert_ptr_nonnull(strstr(err.text, "kernel text: "));
    }
    free(copy);
    free(text);
}
END_TEST

SUITE(every_instruction_survives_the_round_trip,
      every_constant_survives_the_round_trip,
      the_builder_finds_equal_values_only_in_scope,
      the_builder_folds_integers_and_never_floats,
      the_first_error_of_a_builder_sticks,
      names_take_no_part_in_the_hash_and_all_else_does,
      faults_are_one_sentence_with_a_place, the_verifier_answers_for_any_damage,
      hostile_text_is_refused_without_harm)
