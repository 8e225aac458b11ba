/* test_keval.c -- the kernel interpreter: every row of scalar.def against an
 * independent formula, memory, loops, groups, and equal bits for vector body
 * and scalar tail.
 */
#include "graph/kernel/kb.h"
#include "suite.h"
#include "tail_kernel.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 4096 };

static krs_keval *
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

static void
close_both(krs_keval *keval, krs_kernel *kernel)
{
    krs_keval_close(keval);
    krs_kernel_free(kernel);
}

/* out[i] = op(x[i], y[i], z[i]) for `count` elements, `lanes` at a time; count
 * is a multiple of lanes. */
static void
run_scalar(krs_kscalar op, krs_dtype from, krs_dtype rest, krs_dtype to,
           int lanes, bool fma, bool flushes, void *const arrays[4], int count)
{
    static const char *const names[] = {"x", "y", "z"};
    krsi_kb *kb = krsi_kb_new("row");
    krs_kernel *kernel;
    krs_error err;
    krsi_kbuf buffers[4];
    krsi_kv v[3];
    for (int k = 0; k < 3; k++)
        buffers[k] =
            krsi_kb_param(kb, names[k], k ? rest : from, KRS_K_READ, 0);
    buffers[3] = krsi_kb_param(kb, "out", to, KRS_K_WRITE, 0);
    krsi_kv i = krsi_kb_mul(kb, krsi_kb_axis(kb, 0), krsi_kb_i64(kb, lanes));
    for (int k = 0; k < 3; k++)
        v[k] = krsi_kb_load(
            kb, (krsi_kmem){.buffer = buffers[k], .index = i, .lanes = lanes});
    krsi_kv result = op == KRS_KS_CONVERT ? krsi_kb_convert(kb, to, v[0])
                     : op == KRS_KS_BITCAST
                         ? krsi_kb_bitcast(kb, to, v[0])
                         : krsi_kb_scalar(kb, op, v[0], v[1], v[2]);
    krsi_kb_store(kb, (krsi_kmem){.buffer = buffers[3], .index = i}, result);
    krs_keval *keval = open_built(kb, fma, flushes, &kernel);
    const krs_dtype types[] = {from, rest, rest, to};
    size_t bytes[4];
    for (int k = 0; k < 4; k++)
        bytes[k] = (size_t)(count * krsi_kdtype_bytes((int)types[k]));
    krs_klaunch launch = {
        sizeof launch, {count / lanes, 1, 1},
          arrays, bytes, NULL
    };
    if (krs_keval_run(keval, &launch, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    close_both(keval, kernel);
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

static uint32_t
bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static bool
same_float(float a, float b)
{
    return (isnan(a) && isnan(b)) || bits_of(a) == bits_of(b);
}

/* All of binary32's basic operations are correctly rounded by way of double:
 * 53 >= 2 * 24 + 2 bits (Figueroa 1995). */
static float
float_row(krs_kscalar op, float a, float b, float c, bool fma)
{
    double x = (double)a, y = (double)b;
    switch (op) {
    case KRS_KS_ADD: return (float)(x + y);
    case KRS_KS_SUB: return (float)(x - y);
    case KRS_KS_MUL: return (float)(x * y);
    case KRS_KS_DIV: return (float)(x / y);
    case KRS_KS_NEG: return copysignf(a, signbit(a) ? 1.0f : -1.0f);
    case KRS_KS_ABS: return copysignf(a, 1);
    case KRS_KS_MAD:
        return fma ? fmaf(a, b, c)
                   : (float)((double)(float)(x * y) + (double)c);
    case KRS_KS_MIN: return isnan(a) ? a : isless(a, b) ? a : b;
    case KRS_KS_MAX: return isnan(a) ? a : isgreater(a, b) ? a : b;
    case KRS_KS_SQRT: return (float)sqrt(x);
    case KRS_KS_FLOOR: return (float)floor(x);
    case KRS_KS_ROUND: return (float)nearbyint(x);
    case KRS_KS_COPYSIGN: return signbit(b) ? -fabsf(a) : fabsf(a);
    case KRS_KS_EQ: return (float)!(islessgreater(a, b) || isunordered(a, b));
    case KRS_KS_NE: return (float)(islessgreater(a, b) || isunordered(a, b));
    case KRS_KS_LT: return (float)isless(a, b);
    case KRS_KS_LE: return (float)islessequal(a, b);
    case KRS_KS_GT: return (float)isgreater(a, b);
    case KRS_KS_GE: return (float)isgreaterequal(a, b);
    case KRS_KS_REM:
    case KRS_KS_SELECT:
    case KRS_KS_AND:
    case KRS_KS_OR:
    case KRS_KS_XOR:
    case KRS_KS_NOT:
    case KRS_KS_SHL:
    case KRS_KS_SHR:
    case KRS_KS_SAR:
    case KRS_KS_UMULH:
    case KRS_KS_CONVERT:
    case KRS_KS_BITCAST:
    case KRS_KS_DOT2_BF16:
    case KRS_KS_DOT4_I8:
    case KRS_KS_COUNT: break;
    }
    ck_abort_msg("no float row %s", krs_kscalar_name(op));
}

/* Two's complement to `bits`, as a signed number. */
static int64_t
wrapped(uint64_t value, int bits)
{
    if (bits == 64)
        return (int64_t)value;
    value &= UINT64_C(0xFFFFFFFF);
    return value >> 31 ? (int64_t)value - (INT64_C(1) << 32) : (int64_t)value;
}

static int64_t
int_row(krs_kscalar op, int64_t a, int64_t b, int bits)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    uint64_t low = bits == 64 ? x : x & UINT64_C(0xFFFFFFFF);
    bool lost = b < 0 || b >= bits;
    bool flips = b == -1; /* the only quotient that can overflow */
    switch (op) {
    case KRS_KS_ADD: return wrapped(x + y, bits);
    case KRS_KS_SUB: return wrapped(x - y, bits);
    case KRS_KS_MUL: return wrapped(x * y, bits);
    case KRS_KS_DIV: return b == 0 ? 0 : flips ? wrapped(~x + 1, bits) : a / b;
    case KRS_KS_REM: return b == 0 ? a : flips ? 0 : a - a / b * b;
    case KRS_KS_NEG: return wrapped(~x + 1, bits);
    case KRS_KS_ABS: return wrapped(a < 0 ? ~x + 1 : x, bits);
    case KRS_KS_MIN: return a < b ? a : b;
    case KRS_KS_MAX: return a < b ? b : a;
    case KRS_KS_EQ: return (x ^ y) == 0;
    case KRS_KS_NE: return (x ^ y) != 0;
    case KRS_KS_LT: return a < b;
    case KRS_KS_LE: return !(b < a);
    case KRS_KS_GT: return b < a;
    case KRS_KS_GE: return !(a < b);
    case KRS_KS_AND: return a & b;
    case KRS_KS_OR: return a | b;
    case KRS_KS_XOR: return a ^ b;
    case KRS_KS_NOT: return -1 - a;
    case KRS_KS_SHL: return lost ? 0 : wrapped(x * (UINT64_C(1) << b), bits);
    case KRS_KS_SHR: return lost ? 0 : wrapped(low / (UINT64_C(1) << b), bits);
    case KRS_KS_SAR:
        for (int i = 0; i < (lost ? bits : (int)b); i++)
            a = (a - (a & 1)) / 2;
        return a;
    case KRS_KS_UMULH:
        return wrapped((x & UINT32_MAX) * (y & UINT32_MAX) >> 32, 32);
    case KRS_KS_MAD:
    case KRS_KS_SQRT:
    case KRS_KS_FLOOR:
    case KRS_KS_ROUND:
    case KRS_KS_COPYSIGN:
    case KRS_KS_SELECT:
    case KRS_KS_CONVERT:
    case KRS_KS_BITCAST:
    case KRS_KS_DOT2_BF16:
    case KRS_KS_DOT4_I8:
    case KRS_KS_COUNT: break;
    }
    ck_abort_msg("no integer row %s", krs_kscalar_name(op));
}

/* Does the row take operands of that type? */
static bool
takes(krs_kscalar op, krs_dtype dtype, krs_dtype *to)
{
    krs_ktype type = {(uint8_t)dtype, 1}, result;
    const krs_ktype types[3] = {type, type, type};
    if (krsi_kscalar_type(op, types, type, &result))
        return false;
    *to = (krs_dtype)result.dtype;
    return true;
}

static bool
is_special(krs_kscalar op)
{
    return op == KRS_KS_SELECT || op == KRS_KS_CONVERT ||
           op == KRS_KS_BITCAST || op == KRS_KS_DOT2_BF16 ||
           op == KRS_KS_DOT4_I8;
}

static void
check_float_row(krs_kscalar op, int lanes, bool fma, krs_dtype to)
{
    static float x[MOST], y[MOST], z[MOST], out[MOST];
    int count = FLOATS * FLOATS / 16 * 16;
    for (int i = 0; i < count; i++) {
        x[i] = floats[i % FLOATS];
        y[i] = floats[i / FLOATS];
        z[i] = floats[(i * 5 + 3) % FLOATS];
    }
    void *const arrays[] = {x, y, z, out};
    run_scalar(op, KRS_F32, KRS_F32, to, lanes, fma, false, arrays, count);
    const uint8_t *truth = (const uint8_t *)out;
    for (int i = 0; i < count; i++) {
        float want = float_row(op, x[i], y[i], z[i], fma);
        float got = to == KRS_BOOL ? (float)truth[i] : out[i];
        if (!same_float(want, got))
            ck_abort_msg("%s(%a, %a, %a) is %a, must be %a",
                         krs_kscalar_name(op), (double)x[i], (double)y[i],
                         (double)z[i], (double)got, (double)want);
    }
}

static void
check_int_row(krs_kscalar op, krs_dtype dtype, int lanes, krs_dtype to)
{
    static int64_t x[MOST], y[MOST], out[MOST];
    int bits = dtype == KRS_I64 ? 64 : 32, count = INTEGERS * INTEGERS;
    for (int i = 0; i < count; i++) {
        krsi_store_int(dtype, x, (size_t)i, integers[i % INTEGERS]);
        krsi_store_int(dtype, y, (size_t)i, integers[i / INTEGERS]);
    }
    void *const arrays[] = {x, y, y, out};
    run_scalar(op, dtype, dtype, to, lanes, true, false, arrays, count);
    for (size_t i = 0; i < (size_t)count; i++) {
        int64_t a = krsi_load_int(dtype, x, i), b = krsi_load_int(dtype, y, i);
        int64_t want = int_row(op, a, b, bits);
        int64_t got = krsi_load_int(to, out, i);
        if (want != got)
            ck_abort_msg("%s.i%d(%lld, %lld) is %lld, must be %lld",
                         krs_kscalar_name(op), bits, (long long)a, (long long)b,
                         (long long)got, (long long)want);
    }
}

static void
check_bool_row(krs_kscalar op, int lanes)
{
    uint8_t x[16] = {0, 1, 0, 1}, y[16] = {0, 0, 1, 1}, out[16];
    void *const arrays[] = {x, y, y, out};
    run_scalar(op, KRS_BOOL, KRS_BOOL, KRS_BOOL, lanes, true, false, arrays,
               16);
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(out[i], int_row(op, x[i], y[i], 32) & 1);
}

START_TEST(every_row_equals_an_independent_formula)
{
    int checked = 0;
    krs_dtype to;
    for (int op = 0; op < KRS_KS_COUNT; op++) {
        krs_kscalar row = (krs_kscalar)op;
        if (is_special(row))
            continue;
        int before = checked;
        for (int lanes = 1; lanes <= 16; lanes *= 4) {
            if (takes(row, KRS_F32, &to) && ++checked) {
                check_float_row(row, lanes, true, to);
                check_float_row(row, lanes, false, to);
            }
            if (takes(row, KRS_I32, &to) && ++checked)
                check_int_row(row, KRS_I32, lanes, to);
            if (takes(row, KRS_I64, &to) && ++checked)
                check_int_row(row, KRS_I64, lanes, to);
            if (takes(row, KRS_BOOL, &to) && ++checked)
                check_bool_row(row, lanes);
        }
        ck_assert_msg(checked > before, "%s was not checked",
                      krs_kscalar_name(row));
    }
}
END_TEST

START_TEST(select_takes_any_type)
{
    for (int t = 0; t < KRS_DTYPE_COUNT; t++) {
        if (krs_dtype_class_of((krs_dtype)t) == KRS_CLASS_BLOCK)
            continue;
        uint8_t mask[16], y[128], z[128], out[128];
        int bytes = krsi_kdtype_bytes(t);
        for (int i = 0; i < 128; i++) {
            y[i] = t == KRS_BOOL ? i & 1 : (uint8_t)i;
            z[i] = t == KRS_BOOL ? !(i & 1) : (uint8_t)(128 + i);
        }
        for (int i = 0; i < 16; i++)
            mask[i] = i % 3 == 0;
        void *buffers[] = {mask, y, z, out};
        size_t sizes[] = {16, 128, 128, 128};
        krsi_kb *kb = krsi_kb_new("choose");
        krsi_kbuf b[4];
        krsi_kv v[3];
        static const char *const names[] = {"m", "y", "z", "out"};
        for (int k = 0; k < 4; k++)
            b[k] = krsi_kb_param(kb, names[k], k ? (krs_dtype)t : KRS_BOOL,
                                 k < 3 ? KRS_K_READ : KRS_K_WRITE, 0);
        krsi_kv zero = krsi_kb_i64(kb, 0);
        for (int k = 0; k < 3; k++)
            v[k] = krsi_kb_load(
                kb, (krsi_kmem){.buffer = b[k], .index = zero, .lanes = 16});
        krsi_kb_store(kb, (krsi_kmem){.buffer = b[3], .index = zero},
                      krsi_kb_select(kb, v[0], v[1], v[2]));
        krs_kernel *kernel;
        krs_error err;
        krs_keval *keval = open_built(kb, true, false, &kernel);
        krs_klaunch launch = {
            sizeof launch, {1, 1, 1},
              buffers, sizes, NULL
        };
        ck_assert_int_eq(krs_keval_run(keval, &launch, &err), KRS_OK);
        for (int i = 0; i < 16 * bytes; i++)
            ck_assert_int_eq(out[i], mask[i / bytes] ? y[i] : z[i]);
        close_both(keval, kernel);
    }
}
END_TEST

/* From every type to every other, against krs_convert. */
START_TEST(conversions_equal_the_public_ones)
{
    static char x[MOST * 8], middle[MOST * 8], want[MOST * 8], out[MOST * 8];
    enum { COUNT = 48 };
    for (int f = 0; f < KRS_DTYPE_COUNT; f++)
        for (int t = 0; t < KRS_DTYPE_COUNT; t++) {
            krs_dtype from = (krs_dtype)f, to = (krs_dtype)t;
            if (krs_dtype_class_of(from) == KRS_CLASS_BLOCK ||
                krs_dtype_class_of(to) == KRS_CLASS_BLOCK || f == t)
                continue;
            for (size_t i = 0; i < COUNT; i++)
                if (i < FLOATS)
                    krsi_store_double(from, x, i, (double)floats[i]);
                else
                    krsi_store_int(from, x, i, integers[i - FLOATS]);
            bool through = krs_dtype_class_of(to) == KRS_CLASS_HALF ||
                           krs_dtype_class_of(from) == KRS_CLASS_HALF;
            krs_dtype way = through ? KRS_F32 : from;
            ck_assert_int_eq(krs_convert(way, middle, from, x, COUNT, NULL),
                             KRS_OK);
            ck_assert_int_eq(krs_convert(to, want, way, middle, COUNT, NULL),
                             KRS_OK);
            void *const arrays[] = {x, x, x, out};
            for (int lanes = 1; lanes <= 16; lanes *= 16)
                run_scalar(KRS_KS_CONVERT, from, from, to, lanes, true, false,
                           arrays, COUNT);
            for (size_t i = 0; i < COUNT; i++) {
                double a = krsi_load_double(to, want, i);
                double b = krsi_load_double(to, out, i);
                if (!(a == b || (isnan(a) && isnan(b))))
                    ck_abort_msg("%s to %s: element %zu is %a, must be %a",
                                 krs_dtype_name(from), krs_dtype_name(to), i, b,
                                 a);
            }
        }
}
END_TEST

START_TEST(bitcast_moves_bytes_and_regroups_lanes)
{
    float x[16], out[16];
    uint16_t halves[32];
    for (int i = 0; i < 16; i++)
        x[i] = (float)i + 0.25f;
    void *const words[] = {x, x, x, out};
    run_scalar(KRS_KS_BITCAST, KRS_F32, KRS_F32, KRS_I32, 16, true, false,
               words, 16);
    ck_assert_int_eq(memcmp(x, out, sizeof x), 0);
    krsi_kb *kb = krsi_kb_new("regroup");
    krsi_kbuf a = krsi_kb_param(kb, "a", KRS_F32, KRS_K_READ, 0);
    krsi_kbuf b = krsi_kb_param(kb, "b", KRS_BF16, KRS_K_WRITE, 0);
    krsi_kv zero = krsi_kb_i64(kb, 0);
    krsi_kv v =
        krsi_kb_load(kb, (krsi_kmem){.buffer = a, .index = zero, .lanes = 16});
    v = krsi_kb_bitcast(kb, KRS_BF16, v);
    ck_assert_int_eq(krsi_kb_type(kb, v).lanes, 32);
    krsi_kb_store(kb, (krsi_kmem){.buffer = b, .index = zero}, v);
    krs_kernel *kernel;
    krs_error err;
    krs_keval *keval = open_built(kb, true, false, &kernel);
    void *buffers[] = {x, halves};
    size_t sizes[] = {sizeof x, sizeof halves};
    krs_klaunch launch = {
        sizeof launch, {1, 1, 1},
          buffers, sizes, NULL
    };
    ck_assert_int_eq(krs_keval_run(keval, &launch, &err), KRS_OK);
    for (int i = 0; i < 32; i++)
        ck_assert_uint_eq(halves[i],
                          bits_of(x[i / 2]) >> (i & 1 ? 16 : 0) & 0xFFFF);
    close_both(keval, kernel);
}
END_TEST

static float
to_zero(float x, bool flushes)
{
    return flushes && fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x;
}

START_TEST(dot_products_follow_their_stated_order)
{
    static const uint16_t halves[] = {0x3F80, 0xBF81, 0x0001, 0x8040, 0x7F7F,
                                      0x0000, 0x4049, 0xC2C8, 0x0080, 0x1F00};
    enum { H = 10, N = 64 };
    float a[N], out[N];
    uint32_t b[N], c[N];
    int32_t sums[N], result[N];
    for (uint32_t i = 0; i < N; i++) {
        a[i] = floats[i % FLOATS];
        b[i] = halves[i % H] | (uint32_t)halves[(i / 3 + 4) % H] << 16;
        c[i] = halves[(i * 7 + 1) % H] | (uint32_t)halves[(i / 5) % H] << 16;
        sums[i] = (int32_t)(i * 1000000007u);
    }
    void *const arrays[] = {a, b, c, out};
    for (int mode = 0; mode < 4; mode++) {
        bool fma = mode & 1, flush = mode & 2;
        /* y and z are i32 */
        run_scalar(KRS_KS_DOT2_BF16, KRS_F32, KRS_I32, KRS_F32, 16, fma, flush,
                   arrays, N);
        for (int i = 0; i < N; i++) {
            float want = to_zero(a[i], flush);
            for (int half = 1; half >= 0; half--) {
                float x = krsi_bf16_to_float((uint16_t)(b[i] >> 16 * half));
                float y = krsi_bf16_to_float((uint16_t)(c[i] >> 16 * half));
                x = to_zero(x, flush);
                y = to_zero(y, flush);
                want = fma ? fmaf(x, y, want)
                           : (float)((double)(float)((double)x * (double)y) +
                                     (double)want);
                want = to_zero(want, flush);
            }
            ck_assert_msg(same_float(want, out[i]), "mode %d, %d: %a, not %a",
                          mode, i, (double)out[i], (double)want);
        }
    }
    void *const bytes[] = {sums, b, c, result};
    run_scalar(KRS_KS_DOT4_I8, KRS_I32, KRS_I32, KRS_I32, 16, true, false,
               bytes, N);
    for (int i = 0; i < N; i++) {
        int64_t want = sums[i];
        const uint8_t *p = (const uint8_t *)&b[i];
        const int8_t *q = (const int8_t *)&c[i];
        for (int j = 0; j < 4; j++)
            want += p[j] * q[j];
        ck_assert_int_eq(result[i], wrapped((uint64_t)want, 32));
    }
}
END_TEST

/* Text, its launch, and what comes of it. */
static krs_status
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

START_TEST(carries_change_all_at_once)
{
    static const char text[] = "kernel fibonacci\n"
                               "arg n i64\n"
                               "buffer @out i64 write\n"
                               "%n:i64 = arg n\n"
                               "%0:i64 = const 0\n"
                               "%1:i64 = const 1\n"
                               "%i:i64 = for %0 to %n step %1 {\n"
                               "  %a:i64 = carry %0\n"
                               "  %b:i64 = carry %1\n"
                               "  %c:i64 = add %a %b\n"
                               "  next %a %b\n"
                               "  next %b %c\n"
                               "}\n"
                               "%f:i64 = result %a\n"
                               "%g:i64 = result %b\n"
                               "store @out %0 %f\n"
                               "store @out %1 %g\n";
    krs_error err;
    for (int64_t n = 0; n <= 10; n++) {
        int64_t out[2], a = 0, b = 1;
        void *buffers[] = {out};
        size_t bytes[] = {sizeof out};
        krs_kargument args[] = {{.i = n}};
        ck_assert_int_eq(run_text(text, 1, buffers, bytes, args, &err), KRS_OK);
        for (int64_t i = 0; i < n; i++) {
            int64_t c = a + b;
            a = b;
            b = c;
        }
        ck_assert_int_eq(out[0], a);
        ck_assert_int_eq(out[1], b);
    }
}
END_TEST

/* Each item writes its square to the tile, and reads that of the item on the
 * other side after the barrier; the scratch word of an item survives it. */
START_TEST(items_of_a_group_meet_at_barriers)
{
    static const char text[] = "kernel mirror\n"
                               "buffer @out i64 write\n"
                               "scratch @own i64 1\n"
                               "shared @tile i64 6\n"
                               "grid 2\n"
                               "group 3 2 1\n"
                               "%0:i64 = const 0\n"
                               "%1:i64 = const 1\n"
                               "%2:i64 = const 2\n"
                               "%3:i64 = const 3\n"
                               "%5:i64 = const 5\n"
                               "%6:i64 = const 6\n"
                               "%x:i64 = local 0\n"
                               "%y:i64 = local 1\n"
                               "%g:i64 = axis 0\n"
                               "%y3:i64 = mul %y %3\n"
                               "%item:i64 = add %y3 %x\n"
                               "%k:i64 = for %0 to %2 step %1 {\n"
                               "  barrier\n"
                               "  %square:i64 = mul %item %item\n"
                               "  %kk:i64 = add %square %k\n"
                               "  store @tile %item %kk\n"
                               "  store @own %0 %item\n"
                               "  barrier\n"
                               "  %other:i64 = sub %5 %item\n"
                               "  %seen:i64 = load @tile %other\n"
                               "  %mine:i64 = load @own %0\n"
                               "  %at0:i64 = mul %g %6\n"
                               "  %at:i64 = add %at0 %mine\n"
                               "  store @out %at %seen indirect\n"
                               "}\n";
    krs_error err;
    int64_t out[12];
    void *buffers[] = {out};
    size_t bytes[] = {sizeof out};
    if (run_text(text, 2, buffers, bytes, NULL, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(out[i], (5 - i % 6) * (5 - i % 6) + 1);
}
END_TEST

/* Four items, each with its number in %x; the place of the one beside it. */
#define NEIGHBOURS                \
    "kernel race\n"               \
    "buffer @in i64 read\n"       \
    "buffer @out i64 readwrite\n" \
    "shared @tile i64 5\n"        \
    "grid 1\n"                    \
    "group 4 1 1\n"               \
    "%0:i64 = const 0\n"          \
    "%1:i64 = const 1\n"          \
    "%3:i64 = const 3\n"          \
    "%x:i64 = local 0\n"          \
    "%next:i64 = add %x %1\n"     \
    "%near:i64 = min %next %3\n"  \
    "%first:bool = lt %x %1\n"

/* What items do, and the sentence, or NULL where there is no race. */
static const char *const meetings[][2] = {
    {"store @tile %x %x\nbarrier\n%v:i64 = load @tile %next\n", NULL                                             },
    {"store @tile %x %x\n%v:i64 = load @tile %x\n",             NULL                                             },
    {"%v:i64 = load @tile %0\n",                                NULL                                             },
    {"store @tile %x %x mask %first\n",                         NULL                                             },
    {"store @out %0 %1\n",                                      NULL                                             }, /* the same bits, as of a fault */
    {"%v:i64 = load @in %x\nstore @out %x %v\n",                NULL                                             },
    {"%v:i64 = load @in %near\nbarrier\nstore @out %x %v\n",    NULL                                             },
    {"store @tile %x %x\n%v:i64 = load @tile %near\n",
     "items 0 and 1 race for element 1 of buffer tile"                                                           },
    {"%v:i64 = load @tile %near\nstore @tile %x %x\n",
     "kernel race: instruction 9 (store) of group (0, 0, 0): items 0 and 1 "
     "race for element 1 of buffer tile: one writes it, and there is no "
     "barrier between"                                                                                           },
    {"store @tile %0 %1\n",                                     "items 0 and 1 race for element 0 of buffer tile"},
    {"%v:i64 = load @tile %3\nstore @tile %x %x\n",
     "item 3 and several others race for element 3 of buffer tile"                                               },
    {"store @out %0 %x\n",                                      "items 0 and 1 race for element 0 of buffer out" },
    {"%v:i64 = load @out %near\nstore @out %x %v\n",
     "items 0 and 1 race for element 1 of buffer out"                                                            },
    {"%v:i64 = load @in %near\nstore @out %x %v\n",
     "items 0 and 1 race for element 1 of buffer out"                                                            },
};

/* In and out are one memory. */
START_TEST(items_of_a_group_that_race_are_named)
{
    for (size_t i = 0; i < sizeof meetings / sizeof *meetings; i++) {
        char text[1000];
        int64_t memory[4] = {0};
        void *buffers[] = {memory, memory};
        size_t bytes[] = {sizeof memory, sizeof memory};
        krs_error err;
        snprintf(text, sizeof text, "%s%s", NEIGHBOURS, meetings[i][0]);
        krs_status status = run_text(text, 1, buffers, bytes, NULL, &err);
        if (!meetings[i][1]) {
            ck_assert_msg(status == KRS_OK, "%s%s", meetings[i][0], err.text);
            continue;
        }
        ck_assert_msg(status == KRS_E_FORMAT, "%s", meetings[i][0]);
        ck_assert_msg(strstr(err.text, meetings[i][1]) != NULL, "%s%s",
                      meetings[i][0], err.text);
    }
}
END_TEST

/* More elements than the table begins with; the next group begins anew. */
START_TEST(a_race_is_found_among_many_elements)
{
    static const char text[] = "kernel many\n"
                               "arg shift i64\n"
                               "shared @tile i64 9001\n"
                               "grid 1\n"
                               "group 2 1 1\n"
                               "%shift:i64 = arg shift\n"
                               "%0:i64 = const 0\n"
                               "%1:i64 = const 1\n"
                               "%4500:i64 = const 4500\n"
                               "%x:i64 = local 0\n"
                               "%y:i64 = mul %x %4500\n"
                               "%back:i64 = mul %x %shift\n"
                               "%from:i64 = sub %y %back\n"
                               "%i:i64 = for %0 to %4500 step %1 {\n"
                               "  %at:i64 = add %from %i\n"
                               "  store @tile %at %i\n"
                               "}\n";
    krs_error err;
    krs_kargument args[] = {{.i = 0}};
    ck_assert_msg(run_text(text, 3, NULL, NULL, args, &err) == KRS_OK, "%s",
                  err.text);
    args[0].i = 1;
    ck_assert_int_eq(run_text(text, 1, NULL, NULL, args, &err), KRS_E_FORMAT);
    ck_assert_msg(strstr(err.text, "element 4499 of buffer tile") != NULL, "%s",
                  err.text);
}
END_TEST

START_TEST(masks_keep_lanes_away_from_memory)
{
    static const char text[] = "kernel masked\n"
                               "arg n i64\n"
                               "buffer @x f32 read\n"
                               "buffer @y f32 write\n"
                               "%n:i64 = arg n\n"
                               "%0:i64 = const 0\n"
                               "%two:i64x8 = const 2\n"
                               "%l:i32x8 = lanes\n"
                               "%w:i64x8 = convert %l\n"
                               "%even:i64x8 = mul %w %two\n"
                               "%nv:i64x8 = broadcast %n\n"
                               "%in:boolx8 = lt %even %nv\n"
                               "%v:f32x8 = gather @x %0 %even mask %in\n"
                               "scatter @y %0 %l %v mask %in\n"
                               "store @y %n %v mask %in\n";
    float x[5] = {1, 2, 3, 4, 5}, y[16];
    for (int i = 0; i < 16; i++)
        y[i] = -1;
    void *buffers[] = {x, y};
    size_t bytes[] = {sizeof x, sizeof y};
    krs_kargument args[] = {{.i = 5}};
    krs_error err;
    if (run_text(text, 1, buffers, bytes, args, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    const float want[16] = {1,  3,  5,  -1, -1, 1,  3,  5,
                            -1, -1, -1, -1, -1, -1, -1, -1};
    for (int i = 0; i < 16; i++)
        ck_assert_float_eq(y[i], want[i]);
}
END_TEST

START_TEST(an_access_out_of_range_is_a_sentence)
{
    /* in turn: the access, and what the sentence must say; "" is no error */
    static const char *const cases[] = {
        "%v:f32x4 = load @x %i\n",
        "element 10 of buffer x, which has 10",
        "%v:f32 = load @x %i\n",
        "",
        "%j:i64 = add %i %i\n%v:f32 = load @x %j\n",
        "element 16 of buffer x",
        "%j:i64 = neg %i\nstore @x %j %f\n",
        "element -8 of buffer x",
        "%j:i64 = const 9223372036854775807\n%v:f32x4 = load @x %j\n",
        "element 9223372036854775807",
        "%o:i64x2 = const 9223372036854775807\n"
        "%v:f32x2 = gather @x %i %o\n",
        "of buffer x",
        "%z:i64 = sub %i %i\n%k:i64 = for %z to %i step %z {\n}\n",
        "step",
        "%v:f32 = load @s %i\n",
        "element 8 of buffer s, which has 8",
        "%v:f32x2 = load @a %one align 8\n",
        "multiple of 8",
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c += 2) {
        char text[512];
        _Alignas(8) float x[10] = {0};
        void *buffers[] = {x, x};
        size_t bytes[] = {sizeof x, sizeof x};
        krs_kargument args[] = {{.i = 8}};
        krs_error err = {KRS_OK, ""};
        snprintf(text, sizeof text,
                 "kernel range\narg i i64\nbuffer @x f32 readwrite\n"
                 "buffer @a f32 read align 8\n"
                 "scratch @s f32 1 times i\n%%i:i64 = arg i\n"
                 "%%one:i64 = const 1\n%%f:f32 = const 1\n%s",
                 cases[c]);
        krs_status status = run_text(text, 1, buffers, bytes, args, &err);
        ck_assert_msg(status == (*cases[c + 1] ? KRS_E_RANGE : KRS_OK),
                      "%s: %s %s", cases[c], krs_status_name(status), err.text);
        ck_assert_msg(strstr(err.text, cases[c + 1]), "%s: %s", cases[c],
                      err.text);
    }
}
END_TEST

START_TEST(a_bad_launch_is_a_sentence)
{
    krs_error err;
    krs_kernel *kernel;
    krsi_kb *kb = krsi_kb_new("launch");
    krsi_kbuf y = krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 64);
    krsi_kb_store(kb, (krsi_kmem){.buffer = y, .index = krsi_kb_axis(kb, 0)},
                  krsi_kb_arg(kb, "value", KRS_F32));
    krs_keval *keval = open_built(kb, true, false, &kernel);
    _Alignas(64) float out[32] = {0};
    void *buffers[] = {out};
    size_t bytes[] = {sizeof out};
    krs_kargument args[] = {{.f = 2}};
    krs_klaunch good = {
        sizeof good, {4, 1, 1},
          buffers, bytes, args
    };
    ck_assert_int_eq(krs_keval_run(keval, &good, &err), KRS_OK);
    ck_assert_float_eq(out[3], 2);
    ck_assert_float_eq(out[4], 0);
    krs_klaunch bad = good;
    bad.grid[1] = 2;
    ck_assert_int_eq(krs_keval_run(keval, &bad, &err), KRS_E_ARGUMENT);
    bad = good;
    bad.grid[0] = -1;
    ck_assert_int_eq(krs_keval_run(keval, &bad, &err), KRS_E_ARGUMENT);
    bad = good;
    bad.args = NULL;
    ck_assert_int_eq(krs_keval_run(keval, &bad, &err), KRS_E_ARGUMENT);
    buffers[0] = out + 1;
    ck_assert_int_eq(krs_keval_run(keval, &good, &err), KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "buffer y"));
    close_both(keval, kernel);
}
END_TEST

/* The kernel opened for a target that fuses. */
static krs_keval *
open_tail(const tail_function *f, int width, bool masked, krs_kernel **kernel)
{
    krs_kfacts facts = {.struct_size = sizeof facts, .has_fma = true};
    krs_keval *keval;
    krs_error err;
    *kernel = tail_kernel(f, width, masked);
    ck_assert_msg(krs_keval_open(*kernel, &facts, &keval, &err) == KRS_OK, "%s",
                  err.text);
    return keval;
}

START_TEST(vector_body_and_tail_give_the_same_bits)
{
    enum { ROOM = 96 };
    float x[ROOM], z[ROOM], want[ROOM], got[ROOM];
    for (int i = 0; i < ROOM; i++) {
        x[i] = (float)(i - 40) * 0.377f;
        z[i] = (float)(i % 7 - 3) * 0.5f;
    }
    void *to_want[] = {x, z, want}, *to_got[] = {x, z, got};
    size_t bytes[] = {sizeof x, sizeof z, sizeof x};
    krs_error err;
    for (size_t f = 0; f < tail_function_count; f++) {
        const tail_function *function = &tail_functions[f];
        krs_kernel *kernel[3];
        krs_keval *keval[3] = {open_tail(function, 1, false, &kernel[0]),
                               open_tail(function, 16, false, &kernel[1]),
                               open_tail(function, 16, true, &kernel[2])};
        krs_kargument all[] = {{.i = 0}, {.i = ROOM}};
        krs_klaunch whole = {
            sizeof whole, {1, 1, 1},
              to_want, bytes, all
        };
        ck_assert_int_eq(krs_keval_run(keval[0], &whole, &err), KRS_OK);
        for (int64_t offset = 0; offset < 16; offset++)
            for (int64_t n = 1; n <= 65; n++) {
                krs_kargument args[] = {{.i = offset}, {.i = n}};
                krs_klaunch part = {
                    sizeof part, {1, 1, 1},
                      to_got, bytes, args
                };
                for (int k = 1; k < 3; k++) {
                    memset(got, 0x55, sizeof got);
                    ck_assert_int_eq(krs_keval_run(keval[k], &part, &err),
                                     KRS_OK);
                    for (int64_t i = 0; i < ROOM; i++) {
                        bool in = i >= offset && i < offset + n;
                        uint32_t bits = in ? bits_of(want[i]) : 0x55555555;
                        if (bits_of(got[i]) != bits &&
                            !(in && isnan(want[i]) && isnan(got[i])))
                            ck_abort_msg("%s: length %d, offset %d, element "
                                         "%d: %a, not %a",
                                         function->name, (int)n, (int)offset,
                                         (int)i, (double)got[i],
                                         (double)want[i]);
                    }
                }
            }
        for (int k = 0; k < 3; k++)
            close_both(keval[k], kernel[k]);
    }
}
END_TEST

/* The sum of a row in every vector width, and in plain C. */
START_TEST(a_row_sum_does_not_depend_on_the_vector_width)
{
    enum { MOST_ROW = 300 };
    float x[MOST_ROW], out;
    for (int i = 0; i < MOST_ROW; i++)
        x[i] = floats[i % 8 + 2] * (float)(i * i % 101) + 0.1f;
    for (int n = 1; n < MOST_ROW; n += 13) {
        float lanes[64] = {0};
        for (int i = 0; i < n; i++)
            lanes[i % 64] += x[i];
        for (int apart = 32; apart >= 1; apart /= 2)
            for (int i = 0; i < apart; i++)
                lanes[i] += lanes[i + apart];
        for (int width = 1; width <= 64; width *= 2) {
            int parts = KRSI_ROW_LANES / width;
            krsi_kv sum[KRSI_ROW_LANES];
            krsi_kb *kb = krsi_kb_new("row_sum");
            krsi_kmem at = {.buffer =
                                krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ, 0),
                            .lanes = width};
            krsi_kmem to = {.buffer =
                                krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 0),
                            .index = krsi_kb_i64(kb, 0)};
            krsi_kv length = krsi_kb_arg(kb, "n", KRS_I64);
            krsi_kv i = krsi_kb_for(kb, krsi_kb_i64(kb, 0), length,
                                    krsi_kb_i64(kb, KRSI_ROW_LANES));
            for (int p = 0; p < parts; p++)
                sum[p] = krsi_kb_carry(
                    kb, krsi_kb_broadcast(kb, width, krsi_kb_f32(kb, 0)));
            for (int p = 0; p < parts; p++) {
                at.index = krsi_kb_add(kb, i, krsi_kb_i64(kb, p * width));
                at.mask = krsi_kb_below(kb, at.index, length, width);
                krsi_kb_next(kb, sum[p],
                             krsi_kb_add(kb, sum[p], krsi_kb_load(kb, at)));
            }
            krsi_kb_end(kb);
            for (int p = 0; p < parts; p++)
                sum[p] = krsi_kb_result(kb, sum[p]);
            krsi_kb_store(kb, to, krsi_kb_row_tree(kb, KRS_KS_ADD, sum, width));
            krs_kernel *kernel;
            krs_error err;
            krs_keval *keval = open_built(kb, true, false, &kernel);
            void *buffers[] = {x, &out};
            size_t bytes[] = {(size_t)n * 4, 4};
            krs_kargument args[] = {{.i = n}};
            krs_klaunch launch = {
                sizeof launch, {1, 1, 1},
                  buffers, bytes, args
            };
            ck_assert_int_eq(krs_keval_run(keval, &launch, &err), KRS_OK);
            ck_assert_msg(bits_of(out) == bits_of(lanes[0]),
                          "%d elements, width %d: %a, not %a", n, width,
                          (double)out, (double)lanes[0]);
            close_both(keval, kernel);
        }
    }
}
END_TEST

SUITE(every_row_equals_an_independent_formula, select_takes_any_type,
      conversions_equal_the_public_ones, bitcast_moves_bytes_and_regroups_lanes,
      dot_products_follow_their_stated_order, carries_change_all_at_once,
      items_of_a_group_meet_at_barriers, items_of_a_group_that_race_are_named,
      a_race_is_found_among_many_elements, masks_keep_lanes_away_from_memory,
      an_access_out_of_range_is_a_sentence, a_bad_launch_is_a_sentence,
      vector_body_and_tail_give_the_same_bits,
      a_row_sum_does_not_depend_on_the_vector_width)
