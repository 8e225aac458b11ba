/* clc_scalar.c -- the rows of scalar.def in OpenCL C: a template each.
 *
 * Integers are added and multiplied as unsigned ones, so that they wrap;
 * divisors and shift counts are made harmless first, and the stated result is
 * chosen afterwards. `?:` on vectors chooses lane by lane where the condition
 * has elements of the same size, as comparisons do.
 */
#include "clc.h"

#include <string.h>

typedef struct row {
    const char *floats, *integers; /* NULL: not of such operands */
} row;

#define DIVISOR \
    "($b == ($t)(0) | ($a == ($t)($min) & $b == ($t)(-1)) ? ($t)(1) : $b)"
#define SHIFT(op)                \
    "as_$u($b) < ($u)($bits) ? " \
    "as_$t(as_$u($a) " op " as_$u($b)) : ($t)(0)"
#define LOW  "as_$t($b << ($i)(16)), as_$t($c << ($i)(16))"
#define HIGH "as_$t($b & ($i)(0xffff0000)), as_$t($c & ($i)(0xffff0000))"
#define BYTE_PRODUCT(down, up)                                        \
    " + as_$u(($b >> ($t)(" #down ") & ($t)(255)) * ($c << ($t)(" #up \
    ") >> ($t)(24)))"

#define ROW(NAME, floats, integers) [KRS_KS_##NAME] = {floats, integers},
/* clang-format off */
static const row rows[KRS_KS_COUNT] = {
    ROW(ADD, "$a + $b", "as_$t(as_$u($a) + as_$u($b))")
    ROW(SUB, "$a - $b", "as_$t(as_$u($a) - as_$u($b))")
    ROW(MUL, "$a * $b", "as_$t(as_$u($a) * as_$u($b))")
    ROW(DIV, "$a / $b", "$b == ($t)(0) ? ($t)(0) : $a / " DIVISOR)
    ROW(REM, NULL, "$b == ($t)(0) ? $a : $a % " DIVISOR)
    ROW(NEG, "-$a", "as_$t(($u)(0) - as_$u($a))")
    ROW(ABS, "fabs($a)", "as_$t(abs($a))")
    ROW(MAD, "MAD($a, $b, $c)", NULL)
    ROW(MIN, "($a < $b) | ($a != $a) ? $a : $b", "LEAST($a, $b)")
    ROW(MAX, "($a > $b) | ($a != $a) ? $a : $b", "MOST($a, $b)")
    ROW(SQRT, "sqrt($a)", NULL)
    ROW(FLOOR, "FLOOR($a)", NULL)
    ROW(ROUND, "ROUND($a)", NULL)
    ROW(COPYSIGN, "copysign($a, $b)", NULL)
    ROW(EQ, "$a == $b", "$a == $b")
    ROW(NE, "$a != $b", "$a != $b")
    ROW(LT, "$a < $b", "$a < $b")
    ROW(LE, "$a <= $b", "$a <= $b")
    ROW(GT, "$a > $b", "$a > $b")
    ROW(GE, "$a >= $b", "$a >= $b")
    ROW(AND, NULL, "$a & $b")
    ROW(OR, NULL, "$a | $b")
    ROW(XOR, NULL, "$a ^ $b")
    ROW(NOT, NULL, "~$a")
    ROW(SHL, NULL, SHIFT("<<"))
    ROW(SHR, NULL, SHIFT(">>"))
    ROW(SAR, NULL, "$a >> as_$t(LEAST(as_$u($b), ($u)($bits - 1)))")
    ROW(UMULH, NULL, "as_$t(mul_hi(as_$u($a), as_$u($b)))")
    ROW(DOT2_BF16, "MAD(" LOW ", MAD(" HIGH ", $a))", NULL)
    ROW(DOT4_I8, NULL, "as_$t(as_$u($a)" BYTE_PRODUCT(0, 24)
        BYTE_PRODUCT(8, 16) BYTE_PRODUCT(16, 8) BYTE_PRODUCT(24, 0) ")")
};
/* clang-format on */
#undef ROW

/* One word behind a '$', and how long it is. */
static size_t
add_word(krsi_clc *c, uint32_t number, int part, const char *word)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    const uint32_t operands[] = {inst->a, inst->b, inst->c};
    int width = krsi_clc_width(inst->type);
    int bytes = krsi_clc_bytes(inst->type.dtype);
    if (!strncmp(word, "bits", 4) || !strncmp(word, "min", 3)) {
        bool is_min = *word == 'm';
        if (is_min)
            krsi_string_add(&c->out, bytes == 8 ? "LONG_MIN" : "INT_MIN");
        else
            krsi_string_format(&c->out, "%d", 8 * bytes);
        return is_min ? 3 : 4;
    }
    switch (*word) {
    case 'a':
    case 'b':
    case 'c':
        krsi_string_add(&c->out,
                        krsi_clc_value(c, operands[*word - 'a'], part).text);
        break;
    case 't':
        krsi_string_add(&c->out, krsi_clc_type(inst->type.dtype, width).text);
        break;
    case 'i':
    case 'u':
        krsi_string_add(&c->out,
                        krsi_clc_integer(bytes, *word == 'i', width).text);
        break;
    case 'r':
        krsi_string_add(&c->out, krsi_clc_value(c, number, part).text);
        break;
    case 'v': krsi_string_add(&c->out, width > 1 ? "TO" : "CAST"); break;
    case 'n':
        if (width > 1)
            krsi_string_format(&c->out, "%d", width);
        break;
    }
    return 1;
}

void
krsi_clc_expand(krsi_clc *c, uint32_t number, int part, const char *template)
{
    while (*template) {
        size_t plain = strcspn(template, "$");
        krsi_string_add_bytes(&c->out, template, plain);
        template += plain;
        if (*template == '$')
            template += 1 + add_word(c, number, part, template + 1);
    }
}

/* A comparison of scalars gives 0 or 1, of vectors of i64 a vector of them. */
static void
compare(krsi_clc *c, uint32_t number, int part, const char *template)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    bool is_long = c->kernel->insts[inst->a].type.dtype == KRS_I64;
    krsi_string_add(&c->out, inst->type.lanes == 1 ? "-(" : "");
    if (inst->type.lanes > 1 && is_long)
        krsi_clc_expand(c, number, part, "$v(int$n, ");
    krsi_clc_expand(c, number, part, template);
    krsi_string_add(&c->out, inst->type.lanes == 1 || is_long ? ")" : "");
}

/* The mask gets elements of the size of what is chosen. */
static void
choose(krsi_clc *c, uint32_t number, int part)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    bool converts =
        inst->type.lanes > 1 && krsi_clc_bytes(inst->type.dtype) != 4;
    krsi_clc_expand(c, number, part,
                    converts ? "$v($i, $a) ? $b : $c" : "$a ? $b : $c");
}

void
krsi_clc_scalar(krsi_clc *c, uint32_t number)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    krs_kscalar op = inst->scalar;
    krs_dtype from = c->kernel->insts[inst->a].type.dtype;
    const row *r = &rows[op];
    const char *template = from == KRS_F32 ? r->floats : r->integers;
    bool compares = op >= KRS_KS_EQ && op <= KRS_KS_GE;
    if (op == KRS_KS_CONVERT) {
        krsi_clc_convert(c, number);
        return;
    }
    if (op == KRS_KS_BITCAST) {
        krsi_clc_bitcast(c, number);
        return;
    }
    if (!template && op != KRS_KS_SELECT) {
        c->failure = krs_kscalar_name(op);
        return;
    }
    for (int p = 0; p < krsi_clc_parts(inst->type); p++) {
        krsi_clc_begin(c, number, p);
        if (op == KRS_KS_SELECT)
            choose(c, number, p);
        else if (compares)
            compare(c, number, p, template);
        else
            krsi_clc_expand(c, number, p, template);
        krsi_clc_end(c);
    }
}
