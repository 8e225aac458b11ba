/* lower_expr.c -- element-wise rows of ops.def in the scalar operations of the
 * kernel language.
 *
 * Values have the type of their element, but i8 and u8 are counted in i32 and
 * wrapped after each operation. The table is expanded from ops.def: a row
 * whose cut is `map` needs emit_<name> here.
 */
#include "lower.h"

krs_dtype
krsi_lower_type(krs_dtype dtype)
{
    return dtype == KRS_I8 || dtype == KRS_U8             ? KRS_I32
           : krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK ? KRS_F32
                                                          : dtype;
}

krsi_kv
krsi_lower_wrap(krsi_kb *kb, krs_dtype dtype, krsi_kv value)
{
    if (krsi_lower_type(dtype) == dtype)
        return value;
    return krsi_kb_convert(kb, KRS_I32, krsi_kb_convert(kb, dtype, value));
}

/* a constant of value's type */
static krsi_kv
number(krsi_kb *kb, krsi_kv value, double x)
{
    krs_dtype type = (krs_dtype)krsi_kb_type(kb, value).dtype;
    if (type == KRS_F32)
        return krsi_kb_f32(kb, (float)x);
    return type == KRS_I64 ? krsi_kb_i64(kb, (int64_t)x)
                           : krsi_kb_i32(kb, (int32_t)x);
}

typedef krsi_kv emit_rule(krsi_kb *kb, const krsi_kv *in, krs_dtype to);

#define EMIT_1(name, call)                                                   \
    static krsi_kv emit_##name(krsi_kb *kb, const krsi_kv *in, krs_dtype to) \
    {                                                                        \
        (void)to;                                                            \
        return call(kb, in[0]);                                              \
    }
#define EMIT_2(name, call)                                                   \
    static krsi_kv emit_##name(krsi_kb *kb, const krsi_kv *in, krs_dtype to) \
    {                                                                        \
        (void)to;                                                            \
        return call(kb, in[0], in[1]);                                       \
    }
EMIT_1(neg, krsi_kb_neg)
EMIT_1(abs, krsi_kb_abs)
EMIT_1(exp, krsi_kmath_exp)
EMIT_1(exp2, krsi_kmath_exp2)
EMIT_1(log, krsi_kmath_log)
EMIT_1(log2, krsi_kmath_log2)
EMIT_1(sqrt, krsi_kb_sqrt)
EMIT_1(rsqrt, krsi_kmath_rsqrt)
EMIT_1(sin, krsi_kmath_sin)
EMIT_1(cos, krsi_kmath_cos)
EMIT_1(tanh, krsi_kmath_tanh)
EMIT_1(sigmoid, krsi_kmath_sigmoid)
EMIT_1(erf, krsi_kmath_erf)
EMIT_1(erfc, krsi_kmath_erfc)
EMIT_1(floor, krsi_kb_floor)
EMIT_1(not, krsi_kb_not)
EMIT_2(add, krsi_kb_add)
EMIT_2(sub, krsi_kb_sub)
EMIT_2(mul, krsi_kb_mul)
EMIT_2(div, krsi_kb_div)
EMIT_2(pow, krsi_kmath_pow)
EMIT_2(maximum, krsi_kb_max)
EMIT_2(minimum, krsi_kb_min)
EMIT_2(and, krsi_kb_and)
EMIT_2(or, krsi_kb_or)
EMIT_2(xor, krsi_kb_xor)
EMIT_2(rem, krsi_kb_rem)
EMIT_2(shl, krsi_kb_shl)
EMIT_2(shr, krsi_kb_sar)

/* comparisons of bools go through integers */
static krsi_kv
comparable(krsi_kb *kb, krsi_kv v)
{
    return krsi_kb_type(kb, v).dtype == KRS_BOOL
               ? krsi_kb_convert(kb, KRS_I32, v)
               : v;
}
#define EMIT_COMPARE(name)                                                   \
    static krsi_kv emit_##name(krsi_kb *kb, const krsi_kv *in, krs_dtype to) \
    {                                                                        \
        (void)to;                                                            \
        return krsi_kb_##name(kb, comparable(kb, in[0]),                     \
                              comparable(kb, in[1]));                        \
    }
EMIT_COMPARE(eq)
EMIT_COMPARE(ne)
EMIT_COMPARE(lt)
EMIT_COMPARE(le)
EMIT_COMPARE(gt)
EMIT_COMPARE(ge)

/* x itself where neither holds: a zero or a NaN */
static krsi_kv
emit_sign(krsi_kb *kb, const krsi_kv *in, krs_dtype to)
{
    (void)to;
    krsi_kv x = in[0], zero = number(kb, x, 0);
    krsi_kv below =
        krsi_kb_select(kb, krsi_kb_lt(kb, x, zero), number(kb, x, -1), x);
    return krsi_kb_select(kb, krsi_kb_gt(kb, x, zero), number(kb, x, 1), below);
}

static krsi_kv
emit_cast(krsi_kb *kb, const krsi_kv *in, krs_dtype to)
{
    return krsi_kb_type(kb, in[0]).dtype == to ? in[0]
                                               : krsi_kb_convert(kb, to, in[0]);
}

static krsi_kv
emit_where(krsi_kb *kb, const krsi_kv *in, krs_dtype to)
{
    (void)to;
    return krsi_kb_select(kb, in[0], in[1], in[2]);
}

/* rows of other cuts are not element-wise */
#define EMIT_map(ID, name) [KRSI_##ID] = emit_##name,
#define EMIT_input(ID, name)
#define EMIT_state(ID, name)
#define EMIT_constant(ID, name)
#define EMIT_full(ID, name)
#define EMIT_iota(ID, name)
#define EMIT_index(ID, name)
#define EMIT_random(ID, name)
#define EMIT_update(ID, name)
#define EMIT_alias(ID, name)
#define EMIT_reduce(ID, name)
#define EMIT_prefix(ID, name)
#define EMIT_reshape(ID, name)
#define EMIT_permute(ID, name)
#define EMIT_expand(ID, name)
#define EMIT_slice(ID, name)
#define EMIT_set_slice(ID, name)
#define EMIT_pad(ID, name)
#define EMIT_concat(ID, name)
#define EMIT_live(ID, name)
#define EMIT_windows(ID, name)
#define EMIT_contract(ID, name)
#define EMIT_gather(ID, name)
#define EMIT_scatter(ID, name)
#define EMIT_param(ID, name)
#define EMIT_scan(ID, name)
#define EMIT_result(ID, name)
#define PRIMITIVE(ID, name, min, max, attrs, types, shape, live, vjp, cut, \
                  ...)                                                     \
    EMIT_##cut(ID, name)
#define COMPOSITE(...)
static emit_rule *const rules[KRSI_OP_COUNT] = {
#include "../ir/ops.def"
};
#undef PRIMITIVE
#undef COMPOSITE

krsi_kv
krsi_lower_op(krsi_kb *kb, enum krsi_op op, krs_dtype from, krs_dtype to,
              const krsi_kv *in)
{
    if (!rules[op]) {
        krsi_kb_fail(kb, KRS_E_INTERNAL, "%s is not element-wise",
                     krsi_ops[op].name);
        return KRSI_KV_NONE;
    }
    krsi_kv y = rules[op](kb, in, to);
    if (op == KRSI_CAST) /* the exact type, then counted in i32 */
        return krsi_lower_type(to) == to ? y : krsi_kb_convert(kb, KRS_I32, y);
    return to == from ? krsi_lower_wrap(kb, to, y) : y;
}

/* ---- Philox4x32-10 (random.h) ---- */

static krsi_kv
low_word(krsi_kb *kb, krsi_kv v)
{
    return krsi_kb_convert(kb, KRS_I32, v);
}

static krsi_kv
high_word(krsi_kb *kb, krsi_kv v)
{
    krsi_kv by = krsi_kb_i64(kb, 32);
    return krsi_kb_convert(kb, KRS_I32, krsi_kb_shr(kb, v, by));
}

krsi_kv
krsi_lower_random(krsi_kb *kb, krsi_kv seed, krsi_kv step, krsi_kv stream,
                  krsi_kv element)
{
    krsi_kv block = krsi_kb_shr(kb, element, krsi_kb_i64(kb, 2));
    krsi_kv c[4] = {low_word(kb, block), high_word(kb, block),
                    low_word(kb, step), low_word(kb, stream)};
    krsi_kv key[2] = {low_word(kb, seed), high_word(kb, seed)};
    krsi_kv m0 = krsi_kb_i32(kb, (int32_t)0xD2511F53);
    krsi_kv m1 = krsi_kb_i32(kb, (int32_t)0xCD9E8D57);
    krsi_kv w0 = krsi_kb_i32(kb, (int32_t)0x9E3779B9);
    krsi_kv w1 = krsi_kb_i32(kb, (int32_t)0xBB67AE85);
    for (int round = 0; round < 10; round++) {
        krsi_kv high0 = krsi_kb_umulh(kb, c[0], m0);
        krsi_kv high1 = krsi_kb_umulh(kb, c[2], m1);
        krsi_kv low0 = krsi_kb_mul(kb, c[0], m0);
        krsi_kv low1 = krsi_kb_mul(kb, c[2], m1);
        c[0] = krsi_kb_xor(kb, krsi_kb_xor(kb, high1, c[1]), key[0]);
        c[1] = low1;
        c[2] = krsi_kb_xor(kb, krsi_kb_xor(kb, high0, c[3]), key[1]);
        c[3] = low0;
        key[0] = krsi_kb_add(kb, key[0], w0);
        key[1] = krsi_kb_add(kb, key[1], w1);
    }
    krsi_kv three = krsi_kb_i64(kb, 3);
    krsi_kv which = low_word(kb, krsi_kb_and(kb, element, three));
    krsi_kv word = c[3];
    for (int i = 2; i >= 0; i--)
        word = krsi_kb_select(kb, krsi_kb_eq(kb, which, krsi_kb_i32(kb, i)),
                              c[i], word);
    krsi_kv top = krsi_kb_shr(kb, word, krsi_kb_i32(kb, 8));
    return krsi_kb_mul(kb, krsi_kb_convert(kb, KRS_F32, top),
                       krsi_kb_f32(kb, 0x1p-24f));
}
