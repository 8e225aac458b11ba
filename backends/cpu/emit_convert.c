/* emit_convert.c -- the row CONVERT: any element type to any other.
 *
 * Halves go through f32. Their roundings are written in integers wherever the
 * instruction of the processor would flush subnormals (vcvtneps2bf16) or is
 * absent (f16 without F16C); both ways are nearest even and bit-exact.
 */
#include "emit.h"

typedef LLVMValueRef value;

static LLVMTypeRef
ints(krsi_emit *e, unsigned bits, value like)
{
    return krsi_emit_like(LLVMIntTypeInContext(e->context, bits),
                          LLVMTypeOf(like));
}

static LLVMTypeRef
floats(krsi_emit *e, value like)
{
    return krsi_emit_like(LLVMFloatTypeInContext(e->context), LLVMTypeOf(like));
}

static value
as_bits(krsi_emit *e, value f32)
{
    return LLVMBuildBitCast(e->builder, f32, ints(e, 32, f32), "");
}

static value
as_float(krsi_emit *e, value bits)
{
    return LLVMBuildBitCast(e->builder, bits, floats(e, bits), "");
}

static value
number(value like, uint64_t bits)
{
    return krsi_emit_int(LLVMTypeOf(like), bits);
}

/* (x + 2^(dropped-1) - 1 + the last kept bit) >> dropped: nearest even */
static value
round_bits(krsi_emit *e, value x, unsigned dropped)
{
    LLVMBuilderRef at = e->builder;
    value odd = LLVMBuildAnd(at, LLVMBuildLShr(at, x, number(x, dropped), ""),
                             number(x, 1), "");
    value below_half = number(x, ((uint64_t)1 << (dropped - 1)) - 1);
    value sum = LLVMBuildAdd(at, LLVMBuildAdd(at, x, below_half, ""), odd, "");
    return LLVMBuildLShr(at, sum, number(x, dropped), "");
}

static value
bf16_from_f32(krsi_emit *e, value f32)
{
    LLVMBuilderRef at = e->builder;
    value bits = as_bits(e, f32);
    value is_nan = LLVMBuildFCmp(at, LLVMRealUNO, f32, f32, "");
    value rounded = LLVMBuildSelect(at, is_nan, number(bits, 0x7fc0),
                                    round_bits(e, bits, 16), "");
    return LLVMBuildTrunc(at, rounded, ints(e, 16, f32), "");
}

static value
f32_from_bf16(krsi_emit *e, value half)
{
    value bits = LLVMBuildZExt(e->builder, half, ints(e, 32, half), "");
    return as_float(e, LLVMBuildShl(e->builder, bits, number(bits, 16), ""));
}

/* By size of |x|: NaN; 65520 and more: infinity; at least 2^-14: move the
 * exponent and round; less: x + 1/2 has the last place of an f16 subnormal,
 * so the addition rounds. */
static value
f16_in_steps(krsi_emit *e, value f32)
{
    LLVMBuilderRef at = e->builder;
    value bits = as_bits(e, f32);
    value sign = LLVMBuildAnd(at, LLVMBuildLShr(at, bits, number(bits, 16), ""),
                              number(bits, 0x8000), "");
    value size = LLVMBuildAnd(at, bits, number(bits, 0x7fffffff), "");
    value normal =
        round_bits(e, LLVMBuildSub(at, size, number(bits, 0x38000000), ""), 13);
    value shifted = LLVMBuildFAdd(at, as_float(e, size),
                                  krsi_emit_float(LLVMTypeOf(f32), 0.5), "");
    value small =
        LLVMBuildSub(at, as_bits(e, shifted), number(bits, 0x3f000000), "");
    value is_small =
        LLVMBuildICmp(at, LLVMIntULT, size, number(bits, 0x38800000), "");
    value is_large =
        LLVMBuildICmp(at, LLVMIntUGE, size, number(bits, 0x477ff000), "");
    value is_nan =
        LLVMBuildICmp(at, LLVMIntUGT, size, number(bits, 0x7f800000), "");
    value half = LLVMBuildSelect(at, is_small, small, normal, "");
    half = LLVMBuildSelect(at, is_large, number(bits, 0x7c00), half, "");
    half = LLVMBuildSelect(at, is_nan, number(bits, 0x7e00), half, "");
    return LLVMBuildTrunc(at, LLVMBuildOr(at, half, sign, ""), ints(e, 16, f32),
                          "");
}

static LLVMTypeRef
halves(krsi_emit *e, value like)
{
    return krsi_emit_like(LLVMHalfTypeInContext(e->context), LLVMTypeOf(like));
}

static value
f16_from_f32(krsi_emit *e, value f32)
{
    LLVMBuilderRef at = e->builder;
    if (!e->target->has_f16c)
        return f16_in_steps(e, f32);
    return LLVMBuildBitCast(at, LLVMBuildFPTrunc(at, f32, halves(e, f32), ""),
                            ints(e, 16, f32), "");
}

/* The bits as an f32 are the value times 2^-112; infinities and NaNs get
 * their exponent back. */
static value
f32_in_steps(krsi_emit *e, value half)
{
    LLVMBuilderRef at = e->builder;
    value bits = LLVMBuildZExt(at, half, ints(e, 32, half), "");
    value sign =
        LLVMBuildShl(at, LLVMBuildAnd(at, bits, number(bits, 0x8000), ""),
                     number(bits, 16), "");
    value moved =
        LLVMBuildShl(at, LLVMBuildAnd(at, bits, number(bits, 0x7fff), ""),
                     number(bits, 13), "");
    value scaled = as_bits(
        e, LLVMBuildFMul(at, as_float(e, moved),
                         krsi_emit_float(floats(e, half), 0x1p112), ""));
    value special =
        LLVMBuildICmp(at, LLVMIntUGE, moved, number(bits, 0x0f800000), "");
    value chosen = LLVMBuildSelect(
        at, special, LLVMBuildOr(at, moved, number(bits, 0x7f800000), ""),
        scaled, "");
    return as_float(e, LLVMBuildOr(at, chosen, sign, ""));
}

static value
f32_from_f16(krsi_emit *e, value half)
{
    LLVMBuilderRef at = e->builder;
    if (!e->target->has_f16c)
        return f32_in_steps(e, half);
    return LLVMBuildFPExt(at, LLVMBuildBitCast(at, half, halves(e, half), ""),
                          floats(e, half), "");
}

static bool
is_unsigned(krs_dtype dtype)
{
    return dtype == KRS_U8 || dtype == KRS_BOOL;
}

static value
f32_from(krsi_emit *e, krs_dtype from, value a)
{
    if (from == KRS_F32)
        return a;
    if (from == KRS_BF16)
        return f32_from_bf16(e, a);
    if (from == KRS_F16)
        return f32_from_f16(e, a);
    return is_unsigned(from) ? LLVMBuildUIToFP(e->builder, a, floats(e, a), "")
                             : LLVMBuildSIToFP(e->builder, a, floats(e, a), "");
}

/* Towards zero, saturating, NaN gives 0. The intrinsic for that is taken apart
 * into scalars for vectors, so the operand is brought into range first: `top`
 * is the largest f32 below 2^(bits-1) or 2^bits, and what is above it gets
 * the largest integer. Nothing out of range reaches the conversion, which
 * would be poison. */
static value
int_from_f32(krsi_emit *e, krs_dtype to, value f32)
{
    LLVMBuilderRef at = e->builder;
    LLVMTypeRef floats_type = LLVMTypeOf(f32);
    LLVMTypeRef type = krsi_emit_like(krsi_emit_element(e, to), floats_type);
    size_t bytes = 1;
    krs_dtype_bytes(to, 1, &bytes);
    bool plain = is_unsigned(to);
    unsigned bits = (unsigned)bytes * 8 - (plain ? 0 : 1);
    double limit = (double)(UINT64_C(1) << (bits - 1)) * 2;
    double top = bits > 24 ? limit - limit * 0x1p-24 : limit - 1;
    value low = krsi_emit_float(floats_type, plain ? 0 : -limit);
    value high = krsi_emit_float(floats_type, top);
    value is_nan = LLVMBuildFCmp(at, LLVMRealUNO, f32, f32, "");
    value is_low = LLVMBuildFCmp(at, LLVMRealOLT, f32, low, "");
    value is_high = LLVMBuildFCmp(at, LLVMRealOGT, f32, high, "");
    value x = LLVMBuildSelect(at, is_nan, LLVMConstNull(floats_type), f32, "");
    x = LLVMBuildSelect(at, is_low, low, x, "");
    x = LLVMBuildSelect(at, is_high, high, x, "");
    value i = plain ? LLVMBuildFPToUI(at, x, type, "")
                    : LLVMBuildFPToSI(at, x, type, "");
    value largest = number(i, UINT64_MAX >> (64 - bits));
    return LLVMBuildSelect(at, is_high, largest, i, "");
}

static value
int_from_int(krsi_emit *e, krs_dtype to, krs_dtype from, value a)
{
    LLVMTypeRef type = krsi_emit_like(krsi_emit_element(e, to), LLVMTypeOf(a));
    size_t wide = 0, narrow = 0;
    krs_dtype_bytes(to, 1, &wide);
    krs_dtype_bytes(from, 1, &narrow);
    if (from == KRS_BOOL || wide > narrow)
        return is_unsigned(from) ? LLVMBuildZExt(e->builder, a, type, "")
                                 : LLVMBuildSExt(e->builder, a, type, "");
    return wide < narrow ? LLVMBuildTrunc(e->builder, a, type, "") : a;
}

LLVMValueRef
krsi_emit_convert(krsi_emit *e, krs_dtype to, krs_dtype from, LLVMValueRef a)
{
    if (to == from)
        return a;
    bool from_float = krs_dtype_is_float(from);
    if (to == KRS_BOOL && from_float) {
        value f32 = f32_from(e, from, a);
        return LLVMBuildFCmp(e->builder, LLVMRealUNE, f32,
                             LLVMConstNull(LLVMTypeOf(f32)), "");
    }
    if (to == KRS_BOOL)
        return LLVMBuildICmp(e->builder, LLVMIntNE, a,
                             LLVMConstNull(LLVMTypeOf(a)), "");
    if (to == KRS_BF16)
        return bf16_from_f32(e, f32_from(e, from, a));
    if (to == KRS_F16)
        return f16_from_f32(e, f32_from(e, from, a));
    if (to == KRS_F32)
        return f32_from(e, from, a);
    return from_float ? int_from_f32(e, to, f32_from(e, from, a))
                      : int_from_int(e, to, from, a);
}
