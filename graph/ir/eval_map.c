/* eval_map.c -- element-wise operations of the interpreter.
 *
 * Operands have the shape of the result (the builders broadcast), so each is
 * one loop; it may write over an operand that dies here. Floats follow C and
 * IEEE 754 with the exceptions ops.h names; integers are computed modulo 2^64
 * as unsigned numbers and wrapped to their width by the caller (eval.c).
 */
#include "eval.h"

#include <math.h>

typedef krsi_element elem;

/* one operand: a float formula, or also an integer one */
#define FLOAT_LOOP_1(function, formula)                     \
    krs_status function(krsi_call *call)                    \
    {                                                       \
        KRS_TRY(krsi_out_reuse(call));                      \
        const elem *in = krsi_in(call, 0)->e;               \
        elem *out = call->out->e;                           \
        for (int64_t i = 0; i < call->out->elements; i++) { \
            double x = in[i].f;                             \
            out[i].f = (formula);                           \
        }                                                   \
        return KRS_OK;                                      \
    }
#define FLOAT_1(name, formula) FLOAT_LOOP_1(krsi_eval_##name, formula)
#define NUMBER_1(name, formula, integer)                    \
    static FLOAT_LOOP_1(name##_float, formula)              \
        krs_status krsi_eval_##name(krsi_call *call)        \
    {                                                       \
        if (krsi_is_float(call->out))                       \
            return name##_float(call);                      \
        KRS_TRY(krsi_out_reuse(call));                      \
        const elem *in = krsi_in(call, 0)->e;               \
        elem *out = call->out->e;                           \
        for (int64_t i = 0; i < call->out->elements; i++) { \
            uint64_t x = (uint64_t)in[i].i;                 \
            out[i].i = (int64_t)(integer);                  \
        }                                                   \
        return KRS_OK;                                      \
    }

NUMBER_1(neg, -x, 0 - x)
NUMBER_1(abs, fabs(x), x >> 63 ? 0 - x : x)
FLOAT_1(sign, isnan(x) ? x : (double)((x > 0) - (x < 0)))
FLOAT_1(exp, exp(x))
FLOAT_1(exp2, exp2(x))
FLOAT_1(log, log(x))
FLOAT_1(log2, log2(x))
FLOAT_1(sqrt, sqrt(x))
FLOAT_1(rsqrt, 1 / sqrt(x))
FLOAT_1(sin, sin(x))
FLOAT_1(cos, cos(x))
FLOAT_1(tanh, tanh(x))
FLOAT_1(sigmoid, 1 / (1 + exp(-x)))
FLOAT_1(erf, erf(x))
FLOAT_1(erfc, erfc(x))
FLOAT_1(floor, floor(x))

krs_status
krsi_eval_not(krsi_call *call)
{
    KRS_TRY(krsi_out_reuse(call));
    const elem *in = krsi_in(call, 0)->e;
    elem *out = call->out->e;
    bool logical = call->out->dtype == KRS_BOOL;
    for (int64_t i = 0; i < call->out->elements; i++)
        out[i].i = logical ? !in[i].i : ~in[i].i;
    return KRS_OK;
}

krs_status
krsi_eval_stop_gradient(krsi_call *call)
{
    return krsi_out_alias(call, 0);
}

krs_status
krsi_eval_recompute(krsi_call *call)
{
    return krsi_out_alias(call, 0);
}

/* Float to integer as krsi_store_double does; the rest is exact or wraps. */
krs_status
krsi_eval_cast(krsi_call *call)
{
    const krsi_value *in = krsi_in(call, 0);
    krsi_value *out = call->out;
    krs_dtype from = (krs_dtype)in->dtype, to = (krs_dtype)out->dtype;
    if (from == to)
        return krsi_out_alias(call, 0);
    if (krs_dtype_class_of(from) == KRS_CLASS_BLOCK) { /* to f32 */
        KRS_TRY(krsi_out_new(call));
        krsi_dequantise(from, out->f, in->block, 0, out->elements);
        return KRS_OK;
    }
    KRS_TRY(krsi_out_reuse(call));
    bool from_float = krs_dtype_is_float(from),
         to_float = krs_dtype_is_float(to);
    for (int64_t i = 0; i < out->elements; i++) {
        elem x = in->e[i];
        if (from_float && to_float) {
            out->f[i] = x.f;
        } else if (to_float) {
            out->f[i] = (double)x.i;
        } else if (from_float) {
            out->e[i] = krsi_element_of(to, x.f);
        } else {
            out->i[i] = krsi_wrap_int(to, x.i);
        }
    }
    return KRS_OK;
}

/* two operands of one type */
#define FLOAT_LOOP_2(function, formula)                     \
    krs_status function(krsi_call *call)                    \
    {                                                       \
        KRS_TRY(krsi_out_reuse(call));                      \
        const elem *left = krsi_in(call, 0)->e;             \
        const elem *right = krsi_in(call, 1)->e;            \
        elem *out = call->out->e;                           \
        for (int64_t i = 0; i < call->out->elements; i++) { \
            double a = left[i].f, b = right[i].f;           \
            out[i].f = (formula);                           \
        }                                                   \
        return KRS_OK;                                      \
    }
#define INT_LOOP_2(function, formula)                       \
    krs_status function(krsi_call *call)                    \
    {                                                       \
        KRS_TRY(krsi_out_reuse(call));                      \
        const elem *left = krsi_in(call, 0)->e;             \
        const elem *right = krsi_in(call, 1)->e;            \
        elem *out = call->out->e;                           \
        for (int64_t i = 0; i < call->out->elements; i++) { \
            uint64_t a = (uint64_t)left[i].i;               \
            uint64_t b = (uint64_t)right[i].i;              \
            out[i].i = (int64_t)(formula);                  \
        }                                                   \
        return KRS_OK;                                      \
    }
#define FLOAT_2(name, formula) FLOAT_LOOP_2(krsi_eval_##name, formula)
#define INT_2(name, formula)   INT_LOOP_2(krsi_eval_##name, formula)
#define NUMBER_2(name, formula, integer)                                  \
    static FLOAT_LOOP_2(name##_float, formula) static INT_LOOP_2(         \
        name##_int, integer) krs_status krsi_eval_##name(krsi_call *call) \
    {                                                                     \
        return krsi_is_float(krsi_in(call, 0)) ? name##_float(call)       \
                                               : name##_int(call);        \
    }

/* NaN wins, from either side */
static double
larger(double a, double b)
{
    return isnan(a) || a > b ? a : b;
}

static double
smaller(double a, double b)
{
    return isnan(a) || a < b ? a : b;
}

/* towards zero; by 0 gives 0; INT64_MIN / -1 wraps to itself */
static uint64_t
quotient(int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    return b == -1 ? 0 - (uint64_t)a : (uint64_t)(a / b);
}

NUMBER_2(add, a + b, a + b)
NUMBER_2(sub, a - b, a - b)
NUMBER_2(mul, a *b, a *b)
NUMBER_2(div, a / b, quotient((int64_t)a, (int64_t)b))
NUMBER_2(maximum, larger(a, b), (int64_t)a > (int64_t)b ? a : b)
NUMBER_2(minimum, smaller(a, b), (int64_t)a < (int64_t)b ? a : b)
FLOAT_2(pow, pow(a, b))
INT_2(and, a &b)
INT_2(or, a | b)
INT_2(xor, a ^ b)

/* of the width of the result's type */
static int64_t
width_of(const krsi_call *call)
{
    size_t bytes = 8;
    krs_dtype_bytes((krs_dtype)call->out->dtype, 1, &bytes);
    return 8 * (int64_t)bytes;
}

/* the sign of a; by 0 gives a; INT64_MIN by -1 gives 0 */
static uint64_t
remainder_of(int64_t a, int64_t b)
{
    return b == 0 ? (uint64_t)a : b == -1 ? 0 : (uint64_t)(a % b);
}

/* for b that is negative or not below the width, 0 */
static uint64_t
shifted_left(uint64_t a, int64_t b, int64_t width)
{
    return b < 0 || b >= width ? 0 : a << b;
}

/* the same, all sign; a shift of a negative number, without relying on how the
 * compiler shifts one */
static uint64_t
shifted_right(int64_t a, int64_t b, int64_t width)
{
    if (b < 0 || b >= width)
        b = 63;
    return a < 0 ? ~(~(uint64_t)a >> b) : (uint64_t)a >> b;
}

INT_2(rem, remainder_of((int64_t)a, (int64_t)b))
INT_2(shl, shifted_left(a, (int64_t)b, width_of(call)))
INT_2(shr, shifted_right((int64_t)a, (int64_t)b, width_of(call)))

/* comparisons: bool, in the memory of either kind of operand */
#define COMPARE(name, relation)                                        \
    krs_status krsi_eval_##name(krsi_call *call)                       \
    {                                                                  \
        KRS_TRY(krsi_out_reuse(call));                                 \
        const elem *a = krsi_in(call, 0)->e, *b = krsi_in(call, 1)->e; \
        elem *out = call->out->e;                                      \
        int64_t count = call->out->elements;                           \
        if (krsi_is_float(krsi_in(call, 0)))                           \
            for (int64_t i = 0; i < count; i++)                        \
                out[i].i = a[i].f relation b[i].f;                     \
        else                                                           \
            for (int64_t i = 0; i < count; i++)                        \
                out[i].i = a[i].i relation b[i].i;                     \
        return KRS_OK;                                                 \
    }

COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)

krs_status
krsi_eval_where(krsi_call *call)
{
    KRS_TRY(krsi_out_reuse(call));
    const elem *c = krsi_in(call, 0)->e;
    const elem *a = krsi_in(call, 1)->e, *b = krsi_in(call, 2)->e;
    elem *out = call->out->e;
    for (int64_t i = 0; i < call->out->elements; i++)
        out[i] = c[i].i ? a[i] : b[i];
    return KRS_OK;
}
