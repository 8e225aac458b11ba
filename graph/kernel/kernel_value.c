/* kernel_value.c -- the builder's values without effects.
 *
 * In: operands, scalars and vectors mixed. Out: a value of the type that
 * scalar.def states: scalars meeting vectors are broadcast, equal instructions
 * in scope are one (krsi_kb_pure), and integers of constants fold, which is
 * the little that index arithmetic of templates needs; floats never fold.
 */
#include "kernel_build.h"

#include <string.h>

static krsi_kv
position(krsi_kb *kb, krs_kop op, int axis)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    if (axis < 0 || axis >= KRS_K_AXES) {
        krsi_kb_fail(kb, KRS_E_AXIS, "%s %d: axes are 0 to 2", krs_kop_name(op),
                     axis);
        return KRSI_KV_NONE;
    }
    if (kb->kernel->axes < (uint32_t)axis + 1)
        kb->kernel->axes = (uint32_t)axis + 1;
    krs_kinst inst = {
        .op = (uint8_t)op, .slot = (uint16_t)axis, .type = {KRS_I64, 1}
    };
    return krsi_kb_pure(kb, &inst, true);
}

krsi_kv
krsi_kb_axis(krsi_kb *kb, int axis)
{
    return position(kb, KRS_K_AXIS, axis);
}

krsi_kv
krsi_kb_local(krsi_kb *kb, int axis)
{
    return position(kb, KRS_K_LOCAL, axis);
}

krsi_kv
krsi_kb_lanes(krsi_kb *kb, int lanes)
{
    krs_kinst inst = {
        .op = KRS_K_LANES, .type = {KRS_I32, (uint8_t)lanes}
    };
    return krsi_kb_pure(kb, &inst, true);
}

krsi_kv
krsi_kb_const(krsi_kb *kb, krs_ktype type, uint64_t bits)
{
    int bytes = krsi_kdtype_bytes(type.dtype);
    if (type.dtype == KRS_BOOL)
        bits = bits != 0;
    else if (bytes < 8)
        bits &= (UINT64_C(1) << 8 * bytes) - 1;
    if (type.dtype == KRS_F32 && (bits & 0x7FFFFFFF) > 0x7F800000)
        bits = 0x7FC00000;
    krs_kinst inst = {.op = KRS_K_CONST, .type = type, .u.bits = bits};
    return krsi_kb_pure(kb, &inst, true);
}

krsi_kv
krsi_kb_broadcast(krsi_kb *kb, int lanes, krsi_kv a)
{
    krs_kinst from = krsi_kb_inst(kb, a);
    if (krsi_kb_failed(kb) || from.type.lanes == lanes)
        return a;
    krs_ktype type = {from.type.dtype, (uint8_t)lanes};
    if (from.op == KRS_K_CONST && from.type.lanes == 1)
        return krsi_kb_const(kb, type, from.u.bits);
    if (from.type.lanes != 1) {
        krsi_kb_fail(kb, KRS_E_DTYPE, "broadcast of %d lanes to %d",
                     from.type.lanes, lanes);
        return KRSI_KV_NONE;
    }
    krs_kinst inst = {.op = KRS_K_BROADCAST, .type = type, .a = a.ref};
    return krsi_kb_pure(kb, &inst, false);
}

/* The value of an integer constant, in any number of lanes. */
static bool
int_constant(const krsi_kb *kb, krsi_kv value, int64_t *out)
{
    krs_kinst inst = krsi_kb_inst(kb, value);
    if (inst.op != KRS_K_CONST ||
        (inst.type.dtype != KRS_I32 && inst.type.dtype != KRS_I64))
        return false;
    *out = inst.type.dtype == KRS_I32 ? (int64_t)(int32_t)inst.u.bits
                                      : (int64_t)inst.u.bits;
    return true;
}

/* Integer add, sub, mul, min, max of constants, and the neutral elements.
 * True and *out, or false: nothing to fold. */
static bool
fold(krsi_kb *kb, krs_kscalar op, krsi_kv a, krsi_kv b, krsi_kv *out)
{
    int64_t x = 0, y = 0;
    bool left = int_constant(kb, a, &x), right = int_constant(kb, b, &y);
    if (!left && !right)
        return false;
    krs_ktype type = krsi_kb_type(kb, left ? a : b);
    uint64_t value;
    if (op == KRS_KS_ADD)
        value = (uint64_t)x + (uint64_t)y;
    else if (op == KRS_KS_SUB)
        value = (uint64_t)x - (uint64_t)y;
    else if (op == KRS_KS_MUL)
        value = (uint64_t)x * (uint64_t)y;
    else if (op == KRS_KS_MIN)
        value = (uint64_t)(x < y ? x : y);
    else if (op == KRS_KS_MAX)
        value = (uint64_t)(x > y ? x : y);
    else
        return false;
    if (left && right)
        *out = krsi_kb_const(kb, type, value);
    else if (right && y == 0 && (op == KRS_KS_ADD || op == KRS_KS_SUB))
        *out = a;
    else if (left && x == 0 && op == KRS_KS_ADD)
        *out = b;
    else if (op == KRS_KS_MUL && ((left && x == 0) || (right && y == 0)))
        *out = krsi_kb_const(kb, type, 0);
    else if (op == KRS_KS_MUL && right && y == 1)
        *out = a;
    else if (op == KRS_KS_MUL && left && x == 1)
        *out = b;
    else
        return false;
    return true;
}

static krsi_kv
scalar_to(krsi_kb *kb, krs_kscalar op, krs_ktype wanted, const krsi_kv *from)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    krsi_kv v[3] = {from[0], from[1], from[2]};
    krs_ktype types[3], result;
    int arity = krs_kscalar_arity(op), lanes = 1;
    for (int i = 0; i < arity; i++)
        if (krsi_kb_type(kb, v[i]).lanes > lanes)
            lanes = krsi_kb_type(kb, v[i]).lanes;
    for (int i = 0; i < 3; i++) {
        if (i < arity && v[i].ref)
            v[i] = krsi_kb_broadcast(kb, lanes, v[i]);
        types[i] = krsi_kb_type(kb, v[i]);
    }
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    const char *why = krsi_kscalar_type(op, types, wanted, &result);
    if (why) {
        char text[3][KRSI_KTYPE_TEXT];
        krsi_kb_fail(kb, KRS_E_DTYPE, "%s of %s%s%s%s%s: %s",
                     krs_kscalar_name(op), krsi_ktype_print(text[0], types[0]),
                     arity > 1 ? ", " : "",
                     arity > 1 ? krsi_ktype_print(text[1], types[1]) : "",
                     arity > 2 ? ", " : "",
                     arity > 2 ? krsi_ktype_print(text[2], types[2]) : "", why);
        return KRSI_KV_NONE;
    }
    krsi_kv folded;
    if (arity == 2 && krsi_ktype_same(types[0], types[1]) &&
        fold(kb, op, v[0], v[1], &folded))
        return folded;
    krs_kinst inst = {.op = KRS_K_SCALAR,
                      .scalar = (uint8_t)op,
                      .type = result,
                      .a = v[0].ref,
                      .b = arity > 1 ? v[1].ref : 0,
                      .c = arity > 2 ? v[2].ref : 0};
    return krsi_kb_pure(kb, &inst, false);
}

krsi_kv
krsi_kb_scalar(krsi_kb *kb, krs_kscalar op, krsi_kv a, krsi_kv b, krsi_kv c)
{
    const krsi_kv operands[3] = {a, b, c};
    return scalar_to(kb, op, krsi_kb_type(kb, a), operands);
}

krsi_kv
krsi_kb_convert(krsi_kb *kb, krs_dtype to, krsi_kv a)
{
    krs_ktype wanted = {(uint8_t)to, krsi_kb_type(kb, a).lanes};
    const krsi_kv operands[3] = {a, KRSI_KV_NONE, KRSI_KV_NONE};
    if (krsi_ktype_same(wanted, krsi_kb_type(kb, a)))
        return a;
    return scalar_to(kb, KRS_KS_CONVERT, wanted, operands);
}

krsi_kv
krsi_kb_bitcast(krsi_kb *kb, krs_dtype to, krsi_kv a)
{
    krs_ktype from = krsi_kb_type(kb, a);
    int bytes = krsi_kdtype_bytes((int)to);
    int total = krsi_kdtype_bytes(from.dtype) * from.lanes;
    krs_ktype wanted = {(uint8_t)to, (uint8_t)(bytes ? total / bytes : 0)};
    const krsi_kv operands[3] = {a, KRSI_KV_NONE, KRSI_KV_NONE};
    return scalar_to(kb, KRS_KS_BITCAST, wanted, operands);
}

krsi_kv
krsi_kb_shuffle(krsi_kb *kb, krsi_kv a, krsi_kv b, int lanes,
                const uint8_t *indices)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    if (lanes < 1 || lanes > KRS_K_MAX_LANES) {
        krsi_kb_fail(kb, KRS_E_RANGE, "shuffle to %d lanes", lanes);
        return KRSI_KV_NONE;
    }
    uint8_t *copy = krsi_arena_alloc(kb->arena, (size_t)lanes);
    if (!copy) {
        krsi_kb_no_memory(kb);
        return KRSI_KV_NONE;
    }
    memcpy(copy, indices, (size_t)lanes);
    krs_kinst inst = {
        .op = KRS_K_SHUFFLE,
        .type = {krsi_kb_type(kb, a).dtype, (uint8_t)lanes},
        .a = a.ref,
        .b = b.ref,
        .u.lanes = copy
    };
    return krsi_kb_pure(kb, &inst, false);
}
