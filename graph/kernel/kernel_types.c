/* kernel_types.c -- which types fit together, and the memory of a kernel.
 *
 * In: a row of scalar.def and the types of its operands. Out: the type of the
 * result, or a reason for people. Builder, parser and verifier ask here, so
 * there is one reading of the rule column.
 */
#include "kb.h"

#include <stdio.h>
#include <stdlib.h>

enum rule {
    RULE_F32,
    RULE_NUMBER,
    RULE_INT,
    RULE_WORD,
    RULE_BITS,
    RULE_COMPARE,
    RULE_SELECT,
    RULE_CONVERT,
    RULE_BITCAST,
    RULE_DOT2
};

static const uint8_t rules[] = {
#define SCALAR(NAME, name, arity, rule, flags, text) RULE_##rule,
#include "scalar.def"
#undef SCALAR
};

bool
krsi_ktype_same(krs_ktype a, krs_ktype b)
{
    return a.dtype == b.dtype && a.lanes == b.lanes;
}

bool
krsi_ktype_valid(krs_ktype type)
{
    return type.dtype < KRS_DTYPE_COUNT &&
           krs_dtype_class_of((krs_dtype)type.dtype) != KRS_CLASS_BLOCK &&
           type.lanes >= 1 && type.lanes <= KRS_K_MAX_LANES &&
           (type.lanes & (type.lanes - 1)) == 0;
}

int
krsi_kdtype_bytes(int dtype)
{
    size_t bytes = 0;
    if (!krs_dtype_bytes((krs_dtype)dtype, 1, &bytes))
        return 0;
    return (int)bytes;
}

const char *
krsi_ktype_print(char text[KRSI_KTYPE_TEXT], krs_ktype type)
{
    const char *name = krs_dtype_name((krs_dtype)type.dtype);
    if (type.lanes == 1)
        snprintf(text, KRSI_KTYPE_TEXT, "%s", name);
    else
        snprintf(text, KRSI_KTYPE_TEXT, "%sx%d", name, type.lanes);
    return text;
}

static bool
is_int(krs_ktype t)
{
    return t.dtype == KRS_I32 || t.dtype == KRS_I64;
}

static bool
is_number(krs_ktype t)
{
    return t.dtype == KRS_F32 || is_int(t);
}

/* All operands alike and accepted: the common type, else the reason. */
static const char *
alike(const krs_ktype *t, int arity, bool (*accepts)(krs_ktype),
      const char *wanted, krs_ktype *out)
{
    for (int i = 0; i < arity; i++) {
        if (!accepts(t[i]))
            return wanted;
        if (!krsi_ktype_same(t[i], t[0]))
            return "the operands must have one type";
    }
    *out = t[0];
    return NULL;
}

static bool
is_f32(krs_ktype t)
{
    return t.dtype == KRS_F32;
}

static bool
is_word(krs_ktype t)
{
    return t.dtype == KRS_I32;
}

static bool
is_bits(krs_ktype t)
{
    return t.dtype == KRS_BOOL || is_int(t);
}

const char *
krsi_kscalar_type(krs_kscalar op, const krs_ktype t[3], krs_ktype wanted,
                  krs_ktype *out)
{
    static const char numbers[] = "the operands must be f32, i32 or i64";
    int arity = krs_kscalar_arity(op);
    const char *why = NULL;
    for (int i = 0; i < arity; i++)
        if (!krsi_ktype_valid(t[i]))
            return "an operand is missing or has no value";
    switch ((enum rule)rules[op]) {
    case RULE_F32:
        return alike(t, arity, is_f32, "the operands must be f32", out);
    case RULE_NUMBER: return alike(t, arity, is_number, numbers, out);
    case RULE_INT:
        return alike(t, arity, is_int, "the operands must be i32 or i64", out);
    case RULE_WORD:
        return alike(t, arity, is_word, "the operands must be i32", out);
    case RULE_BITS:
        return alike(t, arity, is_bits, "the operands must be bool, i32 or i64",
                     out);
    case RULE_COMPARE:
        why = alike(t, arity, is_number, numbers, out);
        out->dtype = KRS_BOOL;
        return why;
    case RULE_SELECT:
        if (t[0].dtype != KRS_BOOL || t[0].lanes != t[1].lanes)
            return "the condition must be bool with the lanes of the values";
        if (!krsi_ktype_same(t[1], t[2]))
            return "the two values must have one type";
        *out = t[1];
        return NULL;
    case RULE_CONVERT:
        if (!krsi_ktype_valid(wanted) || wanted.lanes != t[0].lanes)
            return "the result must have the lanes of the operand";
        *out = wanted;
        return NULL;
    case RULE_BITCAST:
        if (!krsi_ktype_valid(wanted) || wanted.dtype == KRS_BOOL ||
            t[0].dtype == KRS_BOOL ||
            krsi_kdtype_bytes(wanted.dtype) * wanted.lanes !=
                krsi_kdtype_bytes(t[0].dtype) * t[0].lanes)
            return "operand and result must have equally many bytes, and no "
                   "bool";
        *out = wanted;
        return NULL;
    case RULE_DOT2:
        if (t[0].dtype != KRS_F32 || t[1].dtype != KRS_I32 ||
            t[2].dtype != KRS_I32 || t[0].lanes != t[1].lanes ||
            t[0].lanes != t[2].lanes)
            return "the operands must be f32, i32, i32 with equal lanes";
        *out = t[0];
        return NULL;
    }
    return "no such operation";
}

/* A kernel and the arena that holds all its parts. */
struct owned_kernel {
    krs_kernel kernel; /* first, so that the pointers are equal */
    krsi_arena arena;
};

krs_kernel *
krsi_kernel_new(krsi_arena **out_arena)
{
    struct owned_kernel *owned = calloc(1, sizeof *owned);
    if (!owned)
        return NULL;
    *out_arena = &owned->arena;
    return &owned->kernel;
}

void
krs_kernel_free(krs_kernel *kernel)
{
    if (!kernel)
        return;
    struct owned_kernel *owned = (struct owned_kernel *)kernel;
    krsi_arena_free(&owned->arena);
    free(owned);
}
