/* keval_scalar.c -- what each row of scalar.def does to arrays of lanes.
 *
 * In: registers and the offsets of operands. Out: the result's lanes. One
 * function a row and element type, made by macros from one formula; the file
 * is compiled without contraction, so a float formula means each rounding it
 * shows. Fused mad uses the instruction where the processor has it and the
 * exact function of the library elsewhere: the bits are the same.
 */
#include "keval.h"

#include "kb.h"

#include <math.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
/* Lanes are independent: dst is an operand exactly or not at all. */
#define LANEWISE _Pragma("GCC ivdep")
#else
#define LANEWISE
#endif

#define MAP1(NAME, OUT, IN, FORMULA)                             \
    static void NAME(char *registers, const struct keval_op *op) \
    {                                                            \
        OUT *d = (OUT *)(void *)(registers + op->dst);           \
        const IN *x = (const IN *)(void *)(registers + op->a);   \
        int lanes = op->lanes;                                   \
        LANEWISE for (int i = 0; i < lanes; i++)                 \
        {                                                        \
            IN a = x[i];                                         \
            d[i] = (OUT)(FORMULA);                               \
        }                                                        \
    }

#define MAP2(NAME, OUT, IN, FORMULA)                             \
    static void NAME(char *registers, const struct keval_op *op) \
    {                                                            \
        OUT *d = (OUT *)(void *)(registers + op->dst);           \
        const IN *x = (const IN *)(void *)(registers + op->a);   \
        const IN *y = (const IN *)(void *)(registers + op->b);   \
        int lanes = op->lanes;                                   \
        LANEWISE for (int i = 0; i < lanes; i++)                 \
        {                                                        \
            IN a = x[i], b = y[i];                               \
            d[i] = (OUT)(FORMULA);                               \
        }                                                        \
    }

#define MAP3(NAME, OUT, FIRST, REST, FORMULA)                        \
    static void NAME(char *registers, const struct keval_op *op)     \
    {                                                                \
        OUT *d = (OUT *)(void *)(registers + op->dst);               \
        const FIRST *x = (const FIRST *)(void *)(registers + op->a); \
        const REST *y = (const REST *)(void *)(registers + op->b);   \
        const REST *z = (const REST *)(void *)(registers + op->c);   \
        int lanes = op->lanes;                                       \
        LANEWISE for (int i = 0; i < lanes; i++)                     \
        {                                                            \
            FIRST a = x[i];                                          \
            REST b = y[i], c = z[i];                                 \
            d[i] = (OUT)(FORMULA);                                   \
        }                                                            \
    }

/* To the nearest integer, ties to even: 2^23 leaves no room for a fraction.
 * Written out, as library calls would keep the loops from being vectors. */
static inline float
rounded(float a)
{
    float x = fabsf(a);
    return x < 0x1p23f ? copysignf(x + 0x1p23f - 0x1p23f, a) : a;
}

static inline float
floored(float a)
{
    float r = rounded(a);
    return r > a ? r - 1 : r;
}

/* f32 */
MAP2(add_f32, float, float, a + b)
MAP2(sub_f32, float, float, a - b)
MAP2(mul_f32, float, float, a *b)
MAP2(div_f32, float, float, a / b)
MAP2(min_f32, float, float, ((a < b) | (a != a)) ? a : b)
MAP2(max_f32, float, float, ((a > b) | (a != a)) ? a : b)
MAP2(copysign_f32, float, float, copysignf(a, b))
MAP1(neg_f32, float, float, -a)
MAP1(abs_f32, float, float, fabsf(a))
MAP1(sqrt_f32, float, float, sqrtf(a))
MAP1(floor_f32, float, float, floored(a))
MAP1(round_f32, float, float, rounded(a))
MAP3(mad_twice, float, float, float, a *b + c)
MAP3(mad_exact, float, float, float, fmaf(a, b, c))

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2,fma")))
MAP3(mad_instruction, float, float, float, __builtin_fmaf(a, b, c))
#endif

    static keval_fn fused_mad(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2"))
        return mad_instruction;
#endif
    return mad_exact;
}

/* Integers: unsigned arithmetic wraps, signed is compared and shifted. */
#define INTEGER(W, U, S, BITS)                                        \
    MAP2(add_##W, U, U, a + b)                                        \
    MAP2(sub_##W, U, U, a - b)                                        \
    MAP2(mul_##W, U, U, a *b)                                         \
    MAP2(div_##W, U, S, b == 0 ? 0 : b == -1 ? (S)(0 - (U)a) : a / b) \
    MAP2(rem_##W, U, S, b == 0 ? a : b == -1 ? 0 : a % b)             \
    MAP1(neg_##W, U, U, 0 - a)                                        \
    MAP1(abs_##W, U, S, a < 0 ? 0 - (U)a : (U)a)                      \
    MAP2(min_##W, S, S, a < b ? a : b)                                \
    MAP2(max_##W, S, S, a > b ? a : b)                                \
    MAP2(and_##W, U, U, a &b)                                         \
    MAP2(or_##W, U, U, a | b)                                         \
    MAP2(xor_##W, U, U, a ^ b)                                        \
    MAP1(not_##W, U, U, ~a)                                           \
    MAP2(shl_##W, U, U, b < BITS ? a << b : 0)                        \
    MAP2(shr_##W, U, U, b < BITS ? a >> b : 0)                        \
    MAP2(sar_##W, S, S, a >> ((U)b < BITS ? b : BITS - 1))
INTEGER(i32, uint32_t, int32_t, 32)
INTEGER(i64, uint64_t, int64_t, 64)
MAP2(umulh_i32, uint32_t, uint32_t, (uint64_t)a *b >> 32)

#define COMPARISON(W, T)             \
    MAP2(eq_##W, uint8_t, T, a == b) \
    MAP2(ne_##W, uint8_t, T, a != b) \
    MAP2(lt_##W, uint8_t, T, a < b)  \
    MAP2(le_##W, uint8_t, T, a <= b) \
    MAP2(gt_##W, uint8_t, T, a > b)  \
    MAP2(ge_##W, uint8_t, T, a >= b)
COMPARISON(f32, float)
COMPARISON(i32, int32_t)
COMPARISON(i64, int64_t)

MAP2(and_bool, uint8_t, uint8_t, a &b)
MAP2(or_bool, uint8_t, uint8_t, a | b)
MAP2(xor_bool, uint8_t, uint8_t, a ^ b)
MAP1(not_bool, uint8_t, uint8_t, !a)

MAP3(select_1, uint8_t, uint8_t, uint8_t, a ? b : c)
MAP3(select_2, uint16_t, uint8_t, uint16_t, a ? b : c)
MAP3(select_4, uint32_t, uint8_t, uint32_t, a ? b : c)
MAP3(select_8, uint64_t, uint8_t, uint64_t, a ? b : c)

/* Conversions: frequent pairs directly, the others through base. */
MAP1(i32_to_f32, float, int32_t, (float)a)
MAP1(i64_to_f32, float, int64_t, (float)a)
MAP1(i32_to_i64, int64_t, int32_t, a)
MAP1(i64_to_i32, uint32_t, uint64_t, a)
MAP1(bf16_to_f32, float, uint16_t, krsi_bf16_to_float(a))
MAP1(f32_to_bf16, uint16_t, float, krsi_bf16_from_double((double)a))
/* exact far inside the range, saturating outside of it, NaN to 0 */
MAP1(f32_to_i32, int32_t, float,
     a >= 0x1p31f    ? INT32_MAX
     : a >= -0x1p31f ? (int32_t)a
     : a < 0         ? INT32_MIN
                     : 0)

static void
convert_lanes(char *registers, const struct keval_op *op, krs_dtype from,
              krs_dtype to)
{
    const void *x = registers + op->a;
    void *d = registers + op->dst;
    bool half = krs_dtype_class_of(to) == KRS_CLASS_HALF;
    for (size_t i = 0; i < op->lanes; i++)
        if (krs_dtype_is_float(from))
            krsi_store_double(to, d, i, krsi_load_double(from, x, i));
        else if (half)
            krsi_store_double(to, d, i,
                              (double)(float)krsi_load_int(from, x, i));
        else
            krsi_store_int(to, d, i, krsi_load_int(from, x, i));
}

#define PAIR(FROM, TO)                                           \
    static void convert_##FROM##_##TO(char *registers,           \
                                      const struct keval_op *op) \
    {                                                            \
        convert_lanes(registers, op, KRS_##FROM, KRS_##TO);      \
    }
#define PAIRS(FROM)  \
    PAIR(FROM, F32)  \
    PAIR(FROM, BF16) \
    PAIR(FROM, F16)  \
    PAIR(FROM, I64)  \
    PAIR(FROM, I32) PAIR(FROM, I8) PAIR(FROM, U8) PAIR(FROM, BOOL)
PAIRS(F32)
PAIRS(BF16)
PAIRS(F16)
PAIRS(I64)
PAIRS(I32)
PAIRS(I8)
PAIRS(U8)
PAIRS(BOOL)

#define ROW(FROM)                                                             \
    [KRS_##FROM] = {                                                          \
        [KRS_F32] = convert_##FROM##_F32, [KRS_BF16] = convert_##FROM##_BF16, \
        [KRS_F16] = convert_##FROM##_F16, [KRS_I64] = convert_##FROM##_I64,   \
        [KRS_I32] = convert_##FROM##_I32, [KRS_I8] = convert_##FROM##_I8,     \
        [KRS_U8] = convert_##FROM##_U8,   [KRS_BOOL] = convert_##FROM##_BOOL}

static keval_fn
conversion(krs_dtype from, krs_dtype to)
{
    static const keval_fn table[KRS_DTYPE_COUNT][KRS_DTYPE_COUNT] = {
        ROW(F32), ROW(BF16), ROW(F16), ROW(I64),
        ROW(I32), ROW(I8),   ROW(U8),  ROW(BOOL)};
    static const struct {
        uint8_t from, to;
        keval_fn fn;
    } direct[] = {
        {KRS_I32,  KRS_F32,  i32_to_f32 },
        {KRS_I64,  KRS_F32,  i64_to_f32 },
        {KRS_I32,  KRS_I64,  i32_to_i64 },
        {KRS_I64,  KRS_I32,  i64_to_i32 },
        {KRS_BF16, KRS_F32,  bf16_to_f32},
        {KRS_F32,  KRS_BF16, f32_to_bf16},
        {KRS_F32,  KRS_I32,  f32_to_i32 }
    };
    for (size_t i = 0; i < sizeof direct / sizeof *direct; i++)
        if (direct[i].from == from && direct[i].to == to)
            return direct[i].fn;
    return table[from][to];
}

static float
half_of_word(uint32_t word, bool high)
{
    return krsi_bf16_to_float((uint16_t)(high ? word >> 16 : word));
}

static float
flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static float
dot2_step(float b, float c, float a, bool fused)
{
    return fused ? fmaf(b, c, a) : b * c + a;
}

static float
dot2(float a, uint32_t b, uint32_t c, bool fused)
{
    a = dot2_step(half_of_word(b, true), half_of_word(c, true), a, fused);
    return dot2_step(half_of_word(b, false), half_of_word(c, false), a, fused);
}

static float
dot2_flushing(float a, uint32_t b, uint32_t c, bool fused)
{
    a = dot2_step(flushed(half_of_word(b, true)),
                  flushed(half_of_word(c, true)), flushed(a), fused);
    return flushed(dot2_step(flushed(half_of_word(b, false)),
                             flushed(half_of_word(c, false)), flushed(a),
                             fused));
}

MAP3(dot2_fused, float, float, uint32_t, dot2(a, b, c, true))
MAP3(dot2_twice, float, float, uint32_t, dot2(a, b, c, false))
MAP3(dot2_fused_flushing, float, float, uint32_t, dot2_flushing(a, b, c, true))
MAP3(dot2_twice_flushing, float, float, uint32_t, dot2_flushing(a, b, c, false))

static uint32_t
dot4(uint32_t a, uint32_t b, uint32_t c)
{
    for (int j = 0; j < 32; j += 8)
        a += (uint32_t)((int32_t)(b >> j & 255) * (int8_t)(c >> j));
    return a;
}

MAP3(dot4_i32, uint32_t, uint32_t, uint32_t, dot4(a, b, c))

static void
copy_lanes(char *registers, const struct keval_op *op)
{
    memcpy(registers + op->dst, registers + op->a,
           (size_t)op->lanes * op->element_bytes);
}

#define SPREAD(BYTES, T)                                                      \
    static void broadcast_##BYTES(char *registers, const struct keval_op *op) \
    {                                                                         \
        T *d = (T *)(void *)(registers + op->dst);                            \
        T value = *(const T *)(void *)(registers + op->a);                    \
        for (int i = 0; i < op->lanes; i++)                                   \
            d[i] = value;                                                     \
    }                                                                         \
    static void shuffle_##BYTES(char *registers, const struct keval_op *op)   \
    {                                                                         \
        T *d = (T *)(void *)(registers + op->dst);                            \
        const T *x = (const T *)(void *)(registers + op->a);                  \
        const T *y = (const T *)(void *)(registers + op->b);                  \
        int split = (int)op->jump; /* lanes of the first operand */           \
        for (int i = 0; i < op->lanes; i++) {                                 \
            int lane = op->lane_table[i];                                     \
            d[i] = lane < split ? x[lane] : y[lane - split];                  \
        }                                                                     \
    }
SPREAD(1, uint8_t)
SPREAD(2, uint16_t)
SPREAD(4, uint32_t)
SPREAD(8, uint64_t)

static keval_fn
by_bytes(int bytes, keval_fn one, keval_fn two, keval_fn four, keval_fn eight)
{
    return bytes == 1 ? one : bytes == 2 ? two : bytes == 4 ? four : eight;
}

keval_fn
krsi_keval_broadcast(int bytes)
{
    return by_bytes(bytes, broadcast_1, broadcast_2, broadcast_4, broadcast_8);
}

keval_fn
krsi_keval_shuffle(int bytes)
{
    return by_bytes(bytes, shuffle_1, shuffle_2, shuffle_4, shuffle_8);
}

keval_fn
krsi_keval_copy(void)
{
    return copy_lanes;
}

static keval_fn
by_number(krs_dtype type, keval_fn f32, keval_fn i32, keval_fn i64)
{
    return type == KRS_F32 ? f32 : type == KRS_I32 ? i32 : i64;
}

static keval_fn
by_bits(krs_dtype type, keval_fn boolean, keval_fn i32, keval_fn i64)
{
    return type == KRS_BOOL ? boolean : type == KRS_I32 ? i32 : i64;
}

#define NUMBER(name)   by_number(from, name##_f32, name##_i32, name##_i64)
#define INTEGERS(name) by_number(from, NULL, name##_i32, name##_i64)
#define BITWISE(name)  by_bits(from, name##_bool, name##_i32, name##_i64)

keval_fn
krsi_keval_scalar(krs_kscalar op, krs_dtype from, krs_dtype to,
                  const krs_kfacts *facts)
{
    switch (op) {
    case KRS_KS_ADD: return NUMBER(add);
    case KRS_KS_SUB: return NUMBER(sub);
    case KRS_KS_MUL: return NUMBER(mul);
    case KRS_KS_DIV: return NUMBER(div);
    case KRS_KS_REM: return INTEGERS(rem);
    case KRS_KS_NEG: return NUMBER(neg);
    case KRS_KS_ABS: return NUMBER(abs);
    case KRS_KS_MAD: return facts->has_fma ? fused_mad() : mad_twice;
    case KRS_KS_MIN: return NUMBER(min);
    case KRS_KS_MAX: return NUMBER(max);
    case KRS_KS_SQRT: return sqrt_f32;
    case KRS_KS_FLOOR: return floor_f32;
    case KRS_KS_ROUND: return round_f32;
    case KRS_KS_COPYSIGN: return copysign_f32;
    case KRS_KS_EQ: return NUMBER(eq);
    case KRS_KS_NE: return NUMBER(ne);
    case KRS_KS_LT: return NUMBER(lt);
    case KRS_KS_LE: return NUMBER(le);
    case KRS_KS_GT: return NUMBER(gt);
    case KRS_KS_GE: return NUMBER(ge);
    case KRS_KS_SELECT:
        return by_bytes(krsi_kdtype_bytes((int)to), select_1, select_2,
                        select_4, select_8);
    case KRS_KS_AND: return BITWISE(and);
    case KRS_KS_OR: return BITWISE(or);
    case KRS_KS_XOR: return BITWISE(xor);
    case KRS_KS_NOT: return BITWISE(not );
    case KRS_KS_SHL: return INTEGERS(shl);
    case KRS_KS_SHR: return INTEGERS(shr);
    case KRS_KS_SAR: return INTEGERS(sar);
    case KRS_KS_UMULH: return umulh_i32;
    case KRS_KS_CONVERT: return conversion(from, to);
    case KRS_KS_BITCAST: return copy_lanes;
    case KRS_KS_DOT2_BF16:
        if (facts->dot2_flushes)
            return facts->has_fma ? dot2_fused_flushing : dot2_twice_flushing;
        return facts->has_fma ? dot2_fused : dot2_twice;
    case KRS_KS_DOT4_I8: return dot4_i32;
    case KRS_KS_COUNT: break;
    }
    return NULL;
}
