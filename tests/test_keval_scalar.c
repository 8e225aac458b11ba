/* test_keval_scalar.c -- every row of scalar.def in the kernel interpreter equals
 * an independent formula, for each type and any number of lanes.
 */
#include "graph/kernel/kb.h"
#include "keval_run.h"

#include <math.h>
#include <string.h>

enum { MOST = 4096 };

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

SUITE(every_row_equals_an_independent_formula, select_takes_any_type,
      conversions_equal_the_public_ones, bitcast_moves_bytes_and_regroups_lanes,
      dot_products_follow_their_stated_order)
