/* clc_convert.c -- the rows CONVERT and BITCAST.
 *
 * Halves go through f32, in integer steps: the functions vload_half and
 * vstore_half round as the driver likes, and are slow on processors. Nothing
 * out of range reaches a conversion to an integer, which would be undefined.
 */
#include "clc.h"

/* From operand $a to the f32 x, of the same lanes. */
static const char *
to_float(krs_dtype from)
{
    switch (from) {
    case KRS_F32: return "const float$n x = $a;";
    case KRS_BF16:
        return "const float$n x = as_float$n($v(uint$n, $a) << "
               "(uint$n)(16));";
    case KRS_F16:
        /* subnormals by their fraction; infinities and NaNs keep the largest
         * exponent */
        return "const uint$n h = $v(uint$n, $a), m = h & (uint$n)(0x7fff); "
               "const uint$n k = m >= (uint$n)(0x7c00) ? "
               "(uint$n)(0x70000000) : (uint$n)(0x38000000); "
               "const uint$n s = as_uint$n($v(float$n, m) * "
               "(float$n)(0x1p-24f)); "
               "const uint$n g = m < (uint$n)(0x400) ? s : (m << (uint$n)(13)) "
               "+ k; "
               "const float$n x = as_float$n(g | (h & (uint$n)(0x8000)) << "
               "(uint$n)(16));";
    case KRS_BOOL: return "const float$n x = $v(float$n, $a & (int$n)(1));";
    case KRS_I64:
    case KRS_I32:
    case KRS_I8:
    case KRS_U8: return "const float$n x = $v(float$n, $a);";
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
    return NULL;
}

#define NUMBER "const float$n z = x == x ? x : (float$n)(0.0f); "

/* From the f32 x to $r. */
static const char *
from_float(krs_dtype to, bool is_scalar)
{
    switch (to) {
    case KRS_F32: return "$r = x;";
    case KRS_BF16:
        return "const uint$n b = as_uint$n(x); "
               "const uint$n y = x == x ? (b + (uint$n)(0x7fff) + "
               "(b >> (uint$n)(16) & (uint$n)(1))) >> (uint$n)(16) : "
               "(uint$n)(0x7fc0); $r = $v(ushort$n, y);";
    case KRS_F16:
        /* by size of |x|: NaN; 65520 and more: infinity; at least 2^-14: move
         * the exponent and round; less: x + 1/2 has the last place of an f16
         * subnormal, so the addition rounds */
        return "const uint$n b = as_uint$n(x), m = b & (uint$n)(0x7fffffff); "
               "const uint$n e = m - (uint$n)(0x38000000); "
               "uint$n y = (e + (uint$n)(0xfff) + (e >> (uint$n)(13) & "
               "(uint$n)(1))) >> (uint$n)(13); "
               "y = m < (uint$n)(0x38800000) ? as_uint$n(as_float$n(m) + "
               "(float$n)(0.5f)) - (uint$n)(0x3f000000) : y; "
               "y = m >= (uint$n)(0x477ff000) ? (uint$n)(0x7c00) : y; "
               "y = m > (uint$n)(0x7f800000) ? (uint$n)(0x7e00) : y; "
               "$r = $v(ushort$n, y | (b >> (uint$n)(16) & "
               "(uint$n)(0x8000)));";
    case KRS_I64:
        return is_scalar ? NUMBER "$r = z >= 0x1p63f ? LONG_MAX : "
                                  "(long)(max(z, -0x1p63f));"
                         : NUMBER
                   "$r = $v(long$n, z >= (float$n)(0x1p63f)) ? "
                   "(long$n)(LONG_MAX) : $v(long$n, clamp(z, "
                   "(float$n)(-0x1p63f), (float$n)(0x1.fffffep62f)));";
    case KRS_I32:
        return NUMBER "$r = z >= (float$n)(0x1p31f) ? (int$n)(INT_MAX) : "
                      "$v(int$n, clamp(z, (float$n)(-0x1p31f), "
                      "(float$n)(0x1.fffffep30f)));";
    case KRS_I8:
        return NUMBER "$r = $v(char$n, $v(int$n, clamp(z, "
                      "(float$n)(-128.0f), (float$n)(127.0f))));";
    case KRS_U8:
        return NUMBER "$r = $v(uchar$n, $v(int$n, clamp(z, "
                      "(float$n)(0.0f), (float$n)(255.0f))));";
    case KRS_BOOL:
        return is_scalar ? "$r = -(x != 0.0f);" : "$r = x != (float$n)(0.0f);";
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
    return NULL;
}

/* Integers and bool among themselves: an expression. */
static const char *
between_integers(krs_dtype to, krs_dtype from, int lanes)
{
    if (to == KRS_BOOL && lanes == 1)
        return "-($a != 0)";
    if (to == KRS_BOOL)
        return from == KRS_I64   ? "$v(int$n, $a != (long$n)(0))"
               : from == KRS_I32 ? "$a != (int$n)(0)"
               : from == KRS_I8  ? "$v(int$n, $a != (char$n)(0))"
                                 : "$v(int$n, $a != (uchar$n)(0))";
    return from == KRS_BOOL ? "$v($t, $a & (int$n)(1))" : "$v($t, $a)";
}

void
krsi_clc_convert(krsi_clc *c, uint32_t number)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    krs_dtype to = inst->type.dtype,
              from = c->kernel->insts[inst->a].type.dtype;
    bool by_float = krs_dtype_is_float(to) || krs_dtype_is_float(from);
    for (int p = 0; p < krsi_clc_parts(inst->type); p++) {
        if (to == from || !by_float) {
            krsi_clc_begin(c, number, p);
            krsi_clc_expand(c, number, p,
                            to == from
                                ? "$a"
                                : between_integers(to, from, inst->type.lanes));
            krsi_clc_end(c);
            continue;
        }
        const char *first = to_float(from);
        const char *second = from_float(to, inst->type.lanes == 1);
        if (!first || !second) {
            c->failure = "convert";
            return;
        }
        krsi_string_format(&c->out, "%*s", 4 * c->depth, "");
        krsi_clc_expand(c, number, p, "$t $r; { ");
        krsi_clc_expand(c, number, p, first);
        krsi_string_add(&c->out, " ");
        krsi_clc_expand(c, number, p, second);
        krsi_string_add(&c->out, " }\n");
    }
}

/* Part p of the result, of `bytes` bytes, out of parts of the operand that
 * have as many, more or fewer. */
static void
add_bits(krsi_clc *c, uint32_t number, int part)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    krs_ktype to = inst->type, from = c->kernel->insts[inst->a].type;
    int to_lanes = krsi_clc_width(to), to_size = krsi_clc_bytes(to.dtype);
    int from_lanes = krsi_clc_width(from);
    int from_size = krsi_clc_bytes(from.dtype);
    int bytes = to_lanes * to_size, have = from_lanes * from_size;
    krsi_clc_name type = krsi_clc_type(to.dtype, to_lanes);
    if (bytes <= have) { /* some lanes of one part */
        int lanes = bytes / from_size, first = part * bytes / from_size;
        krsi_string_format(&c->out, "as_%s(", type.text);
        if (lanes == from_lanes)
            krsi_string_add(&c->out, krsi_clc_value(c, inst->a, part).text);
        else
            krsi_string_add(&c->out, krsi_clc_lane(c, inst->a, first).text);
        for (int i = 1; lanes < from_lanes && i < lanes; i++)
            krsi_string_format(&c->out, "%x",
                               (unsigned)(first + i) % KRSI_CLC_PART);
        krsi_string_add(&c->out, ")");
        return;
    }
    int pieces = bytes / have; /* whole parts */
    krsi_clc_name piece = krsi_clc_type(to.dtype, have / to_size);
    krsi_string_format(&c->out, "(%s)(", type.text);
    for (int i = 0; i < pieces; i++)
        krsi_string_format(&c->out, "%sas_%s(%s)", i ? ", " : "", piece.text,
                           krsi_clc_value(c, inst->a, part * pieces + i).text);
    krsi_string_add(&c->out, ")");
}

void
krsi_clc_bitcast(krsi_clc *c, uint32_t number)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    for (int p = 0; p < krsi_clc_parts(inst->type); p++) {
        krsi_clc_begin(c, number, p);
        add_bits(c, number, p);
        krsi_clc_end(c);
    }
}
