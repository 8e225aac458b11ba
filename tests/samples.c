/* samples.c -- one function a row of ops.def; see samples.h.
 *
 * Shapes are small (the gradient tests run every element twice), sizes differ
 * along the axes, so that a mistaken axis shows, and uses cover attributes,
 * broadcasting, live lengths and empty tensors where the row has a rule.
 */
#include "samples.h"

#include <krs/array.h>
#include <krs/conv.h>
#include <krs/loss.h>

#include <math.h>
#include <string.h>

static sample_rule *const rules[KRSI_OP_COUNT] = {
#define PRIMITIVE(ID, name, ...) [KRSI_##ID] = sample_##name,
#define COMPOSITE(ID, name, ...) [KRSI_##ID] = sample_##name,
#include "graph/ir/ops.def"
#undef PRIMITIVE
#undef COMPOSITE
};

bool
sample_build(enum krsi_op op, int which, sample *out)
{
    memset(out, 0, sizeof *out);
    out->graph = krs_graph_new();
    if (!out->graph)
        return false;
    out->use = rules[op](out, which);
    if (out->use.graph)
        return true;
    sample_free(out);
    return false;
}

krs_node
sample_again(enum krsi_op op, int which, sample *s)
{
    s->leaves = 0;
    return rules[op](s, which);
}

void
sample_free(sample *s)
{
    krs_graph_free(s->graph);
    s->graph = NULL;
}

double
sample_number(uint64_t series, uint64_t i)
{
    uint64_t z = series * 0x9E3779B97F4A7C15u + i * 0xD1B54A32D192ED03u + 1;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u; /* splitmix64, Steele 2014 */
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* ---- inputs ---- */

static sample_leaf *
new_leaf(sample *s, krs_dtype dtype, krs_shape shape)
{
    static const char *const names[SAMPLE_LEAVES] = {"x", "y", "z", "u",
                                                     "v", "w", "m"};
    sample_leaf *leaf = &s->leaf[s->leaves];
    leaf->node = krs_input(s->graph, names[s->leaves++], dtype, shape);
    leaf->step = 1e-5;
    krs_shape_elements(shape, &leaf->elements);
    return leaf;
}

/* floats, evenly at random in [low, high) */
static krs_node
real(sample *s, krs_shape shape, double low, double high)
{
    sample_leaf *leaf = new_leaf(s, KRS_F32, shape);
    leaf->differentiable = true;
    for (int64_t i = 0; i < leaf->elements; i++)
        leaf->value[i].f =
            low +
            (high - low) * sample_number((uint64_t)s->leaves, (uint64_t)i);
    return leaf->node;
}

/* floats of both signs, at least `low` away from 0 */
static krs_node
away(sample *s, krs_shape shape, double low, double high)
{
    krs_node x = real(s, shape, low, high);
    sample_leaf *leaf = &s->leaf[s->leaves - 1];
    for (int64_t i = 0; i < leaf->elements; i++)
        if (i % 2 == 0)
            leaf->value[i].f = -leaf->value[i].f;
    return x;
}

/* the floats -1, -1 + step, ... + shift in a mixed order; all differ */
static krs_node
spread(sample *s, krs_shape shape, double shift)
{
    krs_node x = real(s, shape, 0, 1);
    sample_leaf *leaf = &s->leaf[s->leaves - 1];
    int64_t n = leaf->elements;
    for (int64_t i = 0; i < n; i++)
        leaf->value[i].f =
            -1 + 2 * ((double)((i * 7 + 3) % n) + 0.5) / (double)n + shift;
    return x;
}

/* integers from a list, repeated as needed */
static krs_node
ints(sample *s, krs_dtype dtype, krs_shape shape, const int *value, int count)
{
    sample_leaf *leaf = new_leaf(s, dtype, shape);
    for (int64_t i = 0; i < leaf->elements; i++)
        leaf->value[i].i = value[i % count];
    return leaf->node;
}
#define INTS(s, dtype, shape, ...)              \
    ints(s, dtype, shape, (int[]){__VA_ARGS__}, \
         (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)))
#define BOOLS(s, shape) INTS(s, KRS_BOOL, shape, 1, 0, 0, 1, 1)

/* a runtime integer in [0, high], at value */
static krs_index
var(sample *s, const char *name, int64_t high, int64_t value)
{
    krs_index index = krs_var(s->graph, name, 0, high);
    s->var[index.var[0]] = value;
    return index;
}

/* x with all but the last element of an axis alive */
static krs_node
live(sample *s, krs_node x, int axis)
{
    int64_t size = krs_node_shape(x).dim[axis];
    return krs_live(x, axis, var(s, "length", size, size - 1));
}

#define S0      KRS_SCALAR
#define S(...)  KRS_SHAPE(__VA_ARGS__)
#define AX(...) KRS_AXES(__VA_ARGS__)

/* ---- leaves and effects ---- */

krs_node
sample_input(sample *s, int which)
{
    switch (which) {
    case 0: return real(s, S(2, 3), -1, 1);
    case 1: return INTS(s, KRS_I64, S0, 5);
    case 2:
        return krs_input(s->graph, "a \"quoted\"\tname\n", KRS_BF16, S(0, 3));
    case 3: return krs_input(s->graph, "w", KRS_Q4_0, S(2, 64));
    default: return KRS_NONE;
    }
}

krs_node
sample_state(sample *s, int which)
{
    switch (which) {
    case 0: return krs_state(s->graph, "layers.0.w", KRS_F32, S(2, 3));
    case 1: return krs_state(s->graph, "step", KRS_I64, S0);
    default: return KRS_NONE;
    }
}

krs_node
sample_constant(sample *s, int which)
{
    static const float floats[] = {0.1f, -2.5e-20f, INFINITY, -0.0f, NAN, 7};
    static const int64_t longs[] = {INT64_MIN, 0, INT64_MAX};
    static const uint16_t halves[] = {0x3F80, 0x0001, 0x7F80, 0x8000};
    static const uint8_t bools[] = {1, 0};
    uint8_t blocks[2 * 34];
    for (size_t i = 0; i < sizeof blocks; i++)
        blocks[i] = (uint8_t)(i * 37);
    switch (which) {
    case 0: return krs_constant(s->graph, KRS_F32, S(2, 3), floats);
    case 1: return krs_constant(s->graph, KRS_I64, S(3), longs);
    case 2: return krs_constant(s->graph, KRS_BF16, S(4, 1), halves);
    case 3: return krs_constant(s->graph, KRS_BOOL, S(2), bools);
    case 4: return krs_constant(s->graph, KRS_Q8_0, S(2, 32), blocks);
    case 5: return krs_constant(s->graph, KRS_F32, S(0, 3), NULL);
    case 6: return krs_constant(s->graph, KRS_F16, S0, halves);
    default: return KRS_NONE;
    }
}

krs_node
sample_full(sample *s, int which)
{
    switch (which) {
    case 0: return krs_scalar(s->graph, KRS_F32, 0.1);
    case 1: return krs_scalar(s->graph, KRS_I64, -7);
    case 2: return krs_scalar(s->graph, KRS_F32, (double)-INFINITY);
    case 3: return krs_scalar(s->graph, KRS_F32, -0.0);
    default: return KRS_NONE;
    }
}

krs_node
sample_iota(sample *s, int which)
{
    krsi_words words = {.count = 0};
    const int64_t dim[2] = {4, 2};
    switch (which) {
    case 0: return krs_iota(s->graph, KRS_I64, S(2, 3), -1);
    case 1: return krs_iota(s->graph, KRS_F32, S(2, 3), 0);
    case 2: { /* live lengths come from expansions only */
        const krs_index lives[2] = {var(s, "length", 4, 3), KRS_INDEX(0)};
        krsi_put_int(&words, KRS_I32);
        krsi_put_ints(&words, dim, 2);
        krsi_put_int(&words, 0);
        krsi_put_indices(&words, lives, 2);
        return krsi_build(KRS_HERE, s->graph, KRSI_IOTA, NULL, 0, &words);
    }
    default: return KRS_NONE;
    }
}

krs_node
sample_index(sample *s, int which)
{
    switch (which) {
    case 0: return krs_index_node(s->graph, KRS_INDEX(-3));
    case 1: {
        krs_index twice = krs_index_times(var(s, "pos", 9, 5), -2);
        return krs_index_node(
            s->graph,
            krs_index_plus(krs_index_plus(twice, var(s, "length", 9, 4)),
                           KRS_INDEX(1)));
    }
    default: return KRS_NONE;
    }
}

krs_node
sample_random_uniform(sample *s, int which)
{
    krs_node seed = INTS(s, KRS_I64, S0, 42), step = INTS(s, KRS_I64, S0, 7);
    switch (which) {
    case 0: return krs_random_uniform(seed, step, S(3, 4), 5);
    case 1: return krs_random_uniform(seed, step, S0, UINT32_MAX);
    default: return KRS_NONE;
    }
}

krs_node
sample_update(sample *s, int which)
{
    krs_node w = krs_state(s->graph, "w", KRS_F32, S(2, 3));
    switch (which) {
    case 0: return krs_update(w, real(s, S(2, 3), -1, 1));
    default: return KRS_NONE;
    }
}

/* ---- element-wise, one operand ---- */

#define UNARY(name, make, low, high)                                        \
    krs_node sample_##name(sample *s, int which)                            \
    {                                                                       \
        switch (which) {                                                    \
        case 0: return krs_##name(make(s, S(2, 3), low, high));             \
        case 1: return krs_##name(make(s, S0, low, high));                  \
        case 2: return krs_##name(live(s, make(s, S(3, 2), low, high), 0)); \
        case 3: return krs_##name(make(s, S(3, 0), low, high));             \
        default: return KRS_NONE;                                           \
        }                                                                   \
    }
UNARY(neg, real, -1, 1)
UNARY(abs, away, 0.3, 1.5)
UNARY(sign, away, 0.3, 1.5)
UNARY(exp, real, -1, 1)
UNARY(exp2, real, -1, 1)
UNARY(log, real, 0.3, 2)
UNARY(log2, real, 0.3, 2)
UNARY(sqrt, real, 0.3, 2)
UNARY(rsqrt, real, 0.3, 2)
UNARY(sin, real, -2, 2)
UNARY(cos, real, -2, 2)
UNARY(tanh, real, -1.5, 1.5)
UNARY(sigmoid, real, -2, 2)
UNARY(erf, real, -1.5, 1.5)
UNARY(erfc, real, -1.5, 1.5)
UNARY(floor, away, 0.2, 0.8)
UNARY(stop_gradient, real, -1, 1)
UNARY(relu, away, 0.3, 1.5)
UNARY(silu, real, -2, 2)
UNARY(gelu, real, -2, 2)
UNARY(gelu_tanh, real, -2, 2)
UNARY(log1p, real, -0.5, 1)
UNARY(expm1, real, -1, 1)
UNARY(softplus, real, -2, 2)

/* with numbers of our own: the builder takes a new one each time */
krs_node
sample_recompute(sample *s, int which)
{
    switch (which) {
    case 0: return krsi_recompute(KRS_HERE, real(s, S(2, 3), -1, 1), 7);
    case 1:
        return krsi_recompute(KRS_HERE, live(s, real(s, S(3, 2), -1, 1), 0), 0);
    case 2: return krsi_recompute(KRS_HERE, INTS(s, KRS_I64, S0, 5), -1);
    default: return KRS_NONE;
    }
}

krs_node
sample_checkpoint(sample *s, int which)
{
    krs_node x = real(s, S(2, 3), -1, 1), y = real(s, S(2, 3), -1, 1);
    krs_node inside = krs_tanh(krs_mul(x, y));
    krs_node out = krs_mul(krs_exp(inside), x), many[9];
    switch (which) {
    case 0: return krs_checkpoint(out, &x, 1);
    case 1: {
        const krs_node both[2] = {x, y};
        return krs_checkpoint(out, both, 2);
    }
    case 2: /* more operands than fit on a stack of eight */
        many[0] = x;
        for (int i = 1; i < 9; i++)
            many[i] = krs_sin(many[i - 1]);
        return krs_checkpoint(krs_mul(many[8], out), many, 9);
    case 3: return krs_checkpoint(krs_exp(live(s, x, 1)), &x, 1);
    case 4: return krs_checkpoint(x, &y, 1); /* nothing in between */
    default: return KRS_NONE;
    }
}

krs_node
sample_not(sample *s, int which)
{
    switch (which) {
    case 0: return krs_not(BOOLS(s, S(2, 3)));
    default: return KRS_NONE;
    }
}

/* Steps and values are multiples of 1/8, which bf16 and f16 hold exactly. */
krs_node
sample_cast(sample *s, int which)
{
    krs_node x = spread(s, S(2, 4), 0.125);
    s->leaf[0].step = 0.125;
    s->leaf[0].differentiable = which < 2;
    switch (which) {
    case 0: return krs_cast(x, KRS_BF16);
    case 1: return krs_cast(x, KRS_F16);
    case 2: return krs_cast(x, KRS_I32);
    case 3: return krs_cast(live(s, x, 1), KRS_BOOL);
    case 4: return krs_cast(BOOLS(s, S(2)), KRS_F32);
    default: return KRS_NONE;
    }
}

/* ---- element-wise, several operands ---- */

#define BINARY(name, make_a, a0, a1, make_b, b0, b1)                  \
    krs_node sample_##name(sample *s, int which)                      \
    {                                                                 \
        krs_node a, b;                                                \
        switch (which) {                                              \
        case 0:                                                       \
            a = make_a(s, S(2, 3), a0, a1);                           \
            b = make_b(s, S(2, 3), b0, b1);                           \
            return krs_##name(a, b);                                  \
        case 1: /* broadcast */                                       \
            a = make_a(s, S(2, 1, 3), a0, a1);                        \
            b = make_b(s, S(4, 1), b0, b1);                           \
            return krs_##name(a, b);                                  \
        case 2:                                                       \
            a = live(s, make_a(s, S(3, 2), a0, a1), 0);               \
            b = make_b(s, S(2), b0, b1);                              \
            return krs_##name(a, b);                                  \
        case 3: a = make_a(s, S(2), a0, a1); return krs_##name(a, a); \
        default: return KRS_NONE;                                     \
        }                                                             \
    }
BINARY(add, real, -1, 1, real, -1, 1)
BINARY(sub, real, -1, 1, real, -1, 1)
BINARY(mul, real, -1, 1, real, -1, 1)
BINARY(div, real, -1, 1, away, 0.5, 2)
BINARY(pow, real, 0.5, 2, real, -1, 2)
BINARY(swiglu, real, -2, 2, real, -1, 1)

#define LARGER(name)                                                     \
    krs_node sample_##name(sample *s, int which)                         \
    {                                                                    \
        krs_node a = spread(s, S(2, 3), 0), b;                           \
        switch (which) {                                                 \
        case 0: b = spread(s, S(2, 3), 0.1); return krs_##name(a, b);    \
        case 1: b = spread(s, S(2, 1, 3), 0.1); return krs_##name(a, b); \
        case 2:                                                          \
            b = INTS(s, KRS_I32, S(2, 3), 5, -3, 2);                     \
            return krs_##name(b, INTS(s, KRS_I32, S(3), 1, -9, 4));      \
        default: return KRS_NONE;                                        \
        }                                                                \
    }
LARGER(maximum)
LARGER(minimum)
LARGER(eq)
LARGER(ne)
LARGER(lt)
LARGER(le)
LARGER(gt)
LARGER(ge)

#define BITS(name)                                                           \
    krs_node sample_##name(sample *s, int which)                             \
    {                                                                        \
        krs_node a, b;                                                       \
        switch (which) {                                                     \
        case 0: a = BOOLS(s, S(2, 3)); return krs_##name(a, BOOLS(s, S(3))); \
        case 1:                                                              \
            a = INTS(s, KRS_U8, S(4), 0, 255, 12, 9);                        \
            b = INTS(s, KRS_U8, S(4), 10, 3, 255, 0);                        \
            return krs_##name(a, b);                                         \
        default: return KRS_NONE;                                            \
        }                                                                    \
    }
BITS(and)
BITS(or)
BITS(xor)

#define INTEGERS(name)                                                     \
    krs_node sample_##name(sample *s, int which)                           \
    {                                                                      \
        krs_node a, b;                                                     \
        switch (which) {                                                   \
        case 0:                                                            \
            a = INTS(s, KRS_I32, S(2, 3), 7, -7, 100, -1, 0, -2147483647); \
            return krs_##name(a, INTS(s, KRS_I32, S(3), 2, -1, 0));        \
        case 1:                                                            \
            a = INTS(s, KRS_U8, S(4), 0, 255, 12, 9);                      \
            b = INTS(s, KRS_U8, S(4), 10, 3, 255, 0);                      \
            return krs_##name(a, b);                                       \
        case 2:                                                            \
            a = INTS(s, KRS_I64, S(3), 1 << 30, -5, 77);                   \
            return krs_##name(a, INTS(s, KRS_I64, S(3), 3, 63, 64));       \
        default: return KRS_NONE;                                          \
        }                                                                  \
    }
INTEGERS(rem)
INTEGERS(shl)
INTEGERS(shr)

krs_node
sample_where(sample *s, int which)
{
    krs_node c = BOOLS(s, S(2, 3)), a = real(s, S(2, 3), -1, 1);
    switch (which) {
    case 0: return krs_where(c, a, real(s, S(2, 3), -1, 1));
    case 1: return krs_where(c, krs_scalar(s->graph, KRS_F32, 0.5), a);
    case 2: return krs_where(c, real(s, S0, -1, 1), real(s, S(4, 1, 1), -1, 1));
    default: return KRS_NONE;
    }
}

krs_node
sample_clamp(sample *s, int which)
{
    krs_node x = spread(s, S(2, 3), 0); /* 0.15 and more off the bounds */
    switch (which) {
    case 0: return krs_clamp(x, -0.65, 0.35);
    case 1: return krs_clamp(x, 0, (double)INFINITY);
    case 2: return krs_clamp(INTS(s, KRS_I64, S(3), -4, 0, 9), -1, 3);
    default: return KRS_NONE;
    }
}

krs_node
sample_dropout(sample *s, int which)
{
    krs_node x = real(s, S(3, 4), -1, 1);
    krs_node seed = INTS(s, KRS_I64, S0, 42), step = INTS(s, KRS_I64, S0, 3);
    switch (which) {
    case 0: return krs_dropout(x, 0.5, seed, step, 1);
    case 1: return krs_dropout(x, 0.1, seed, step, KRS_STREAM_AUTO);
    default: return KRS_NONE;
    }
}

/* ---- reductions and prefix sums ---- */

#define REDUCE(name, make, low, high)                       \
    krs_node sample_##name(sample *s, int which)            \
    {                                                       \
        krs_node x = make(s, S(2, 3, 4), low, high);        \
        switch (which) {                                    \
        case 0: return krs_##name(x, KRS_ALL_AXES);         \
        case 1: return krs_##name(x, AX(1));                \
        case 2: return krs_##name##_keep(x, AX(-1, 0));     \
        case 3: return krs_##name(live(s, x, 1), AX(1, 2)); \
        case 4: return krs_##name(live(s, x, 1), AX(0));    \
        default: return KRS_NONE;                           \
        }                                                   \
    }
#define spread2(s, shape, low, high) spread(s, shape, 0 * (low) * (high))
REDUCE(sum, real, -1, 1)
REDUCE(mean, real, -1, 1)
REDUCE(logsumexp, real, -2, 2)
REDUCE(amax, spread2, 0, 0)
REDUCE(amin, spread2, 0, 0)

krs_node
sample_argmax(sample *s, int which)
{
    krs_node x = spread(s, S(2, 5), 0);
    switch (which) {
    case 0: return krs_argmax(x, -1);
    case 1: return krs_argmax(INTS(s, KRS_I64, S(3, 2), 4, -1, 7, 7), 0);
    default: return KRS_NONE;
    }
}

krs_node
sample_argmin(sample *s, int which)
{
    krs_node x = spread(s, S(2, 5), 0);
    switch (which) {
    case 0: return krs_argmin(x, -1);
    case 1: return krs_argmin(INTS(s, KRS_I64, S(3, 2), 4, -1, 7, -1), 0);
    case 2: return krs_argmin(INTS(s, KRS_U8, S(5), 4, 250, 0, 7), 0);
    default: return KRS_NONE;
    }
}

krs_node
sample_argsort(sample *s, int which)
{
    krs_node x = spread(s, S(2, 5), 0);
    switch (which) {
    case 0: return krs_argsort(x, -1, false);
    case 1: return krs_argsort(x, 0, true);
    case 2: return krs_argsort(INTS(s, KRS_U8, S(7), 4, 250, 0, 4), 0, true);
    default: return KRS_NONE;
    }
}

krs_node
sample_prod(sample *s, int which)
{
    krs_node x = away(s, S(2, 3, 4), 0.5, 1.5);
    switch (which) {
    case 0: return krs_prod(x, KRS_AXES(1));
    case 1: return krs_prod_keep(x, KRS_AXES(0, 2));
    case 2: return krs_prod(INTS(s, KRS_I32, S(3, 70), 4, -1, 7), KRS_AXES(1));
    case 3: /* one zero in a row, and two */
        return krs_prod(krs_where(BOOLS(s, S(3, 5)), real(s, S(3, 5), 1, 2),
                                  krs_like(real(s, S(3, 5), 1, 2), 0)),
                        KRS_AXES(-1));
    case 4: return krs_prod(real(s, S(2, 0), 0, 1), KRS_AXES(1));
    default: return KRS_NONE;
    }
}

krs_node
sample_variance(sample *s, int which)
{
    krs_node x = real(s, S(2, 3, 4), 3, 5);
    switch (which) {
    case 0: return krs_variance(x, KRS_AXES(-1), 1);
    case 1: return krs_variance_keep(x, KRS_AXES(0, 1), 0);
    case 2: return krs_variance(live(s, x, 1), KRS_AXES(1), 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_cumprod(sample *s, int which)
{
    krs_node x = away(s, S(2, 4), 0.5, 1.5);
    switch (which) {
    case 0: return krs_cumprod(x, 1);
    case 1: return krsi_cumprod(KRS_HERE, x, 0, true);
    case 2: return krs_cumprod(INTS(s, KRS_I32, S(3), 4, -1, 7), 0);
    case 3: /* zeros among them */
        return krs_cumprod(krs_mul(x, krs_cast(BOOLS(s, S(2, 4)), KRS_F32)), 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_cumsum(sample *s, int which)
{
    krs_node x = real(s, S(2, 4), -1, 1);
    switch (which) {
    case 0: return krs_cumsum(x, 1);
    case 1: return krsi_cumsum(KRS_HERE, x, 0, true);
    case 2: return krs_cumsum(INTS(s, KRS_I32, S(3), 4, -1, 7), 0);
    default: return KRS_NONE;
    }
}

/* ---- views ---- */

krs_node
sample_reshape(sample *s, int which)
{
    krs_node x = real(s, S(2, 6), -1, 1);
    switch (which) {
    case 0: return krs_reshape(x, S(3, -1));
    case 1: return krs_reshape(x, S(1, 2, 3, 2));
    case 2: return krs_reshape(live(s, x, 0), S(2, 3, 2));
    case 3: return krs_reshape(real(s, S(1, 1), -1, 1), S0);
    case 4: return krs_reshape(real(s, S(0, 3), -1, 1), S(7, 0));
    default: return KRS_NONE;
    }
}

krs_node
sample_permute(sample *s, int which)
{
    krs_node x = real(s, S(2, 3, 4), -1, 1);
    switch (which) {
    case 0: return krs_permute(x, AX(2, 0, 1));
    case 1: return krs_permute(live(s, x, 1), AX(1, 0, 2));
    default: return KRS_NONE;
    }
}

krs_node
sample_expand(sample *s, int which)
{
    krs_node x = real(s, S(2, 1), -1, 1);
    switch (which) {
    case 0: return krs_expand(x, S(3, 2, 4));
    case 1: return krs_expand(x, S(-1, 3));
    case 2:
        return krsi_expand_like(KRS_HERE, x,
                                live(s, real(s, S(2, 3), -1, 1), 1));
    case 3: return krs_expand(x, S(2, 0));
    default: return KRS_NONE;
    }
}

krs_node
sample_slice(sample *s, int which)
{
    krs_node x = real(s, S(3, 5), -1, 1);
    switch (which) {
    case 0: return krs_slice(x, 1, 1, 4, 2);
    case 1: return krs_slice(x, -1, -1, KRS_END, -2);
    case 2: return krs_narrow(x, 1, var(s, "length", 3, 2), 2);
    case 3: return krs_slice(x, 0, 2, 2, 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_windows(sample *s, int which)
{
    krs_node x = real(s, S(3, 7), -1, 1);
    switch (which) {
    case 0: return krs_windows(x, 1, 3, 2, 1);
    case 1: return krs_windows(x, 0, 2, 1, 2);
    case 2: return krs_windows(krs_windows(x, 1, 2, 1, 3), 0, 2, 1, 1);
    case 3: return krs_windows(real(s, S(2, 40), -1, 1), 1, 17, 3, 1);
    case 4: return krs_windows(x, 1, 8, 1, 1); /* there is none */
    default: return KRS_NONE;
    }
}

krs_node
sample_conv(sample *s, int which)
{
    krs_conv_options o = {.struct_size = sizeof o};
    switch (which) {
    case 0:
        return krs_conv1d(real(s, S(2, 3, 5), -1, 1),
                          real(s, S(4, 3, 2), -1, 1), real(s, S(4), -1, 1),
                          NULL);
    case 1:
        o.stride[0] = 2;
        o.padding[0] = o.padding[1] = 1;
        o.dilation[1] = 2;
        o.groups = 2;
        return krs_conv2d(real(s, S(1, 4, 3, 4), -1, 1),
                          real(s, S(2, 2, 2, 2), -1, 1), KRS_NONE, &o);
    default: return KRS_NONE;
    }
}

krs_node
sample_max_pool(sample *s, int which)
{
    krs_pool_options o = {
        .struct_size = sizeof o, .kernel = {2, 3}
    };
    switch (which) {
    case 0:
        o.stride[1] = 1;
        o.padding[1] = 1;
        return krs_max_pool2d(spread(s, S(1, 2, 4, 5), 0), &o);
    case 1: return krs_max_pool1d(spread(s, S(2, 1, 6), 0), &o);
    default: return KRS_NONE;
    }
}

krs_node
sample_avg_pool(sample *s, int which)
{
    krs_pool_options o = {
        .struct_size = sizeof o, .kernel = {2, 3}
    };
    switch (which) {
    case 0:
        o.padding[0] = 1;
        return krs_avg_pool2d(real(s, S(1, 2, 4, 5), -1, 1), &o);
    case 1: return krs_avg_pool1d(real(s, S(2, 1, 6), -1, 1), &o);
    default: return KRS_NONE;
    }
}

krs_node
sample_set_slice(sample *s, int which)
{
    krs_node x = real(s, S(3, 5), -1, 1);
    switch (which) {
    case 0: {
        const krs_index starts[2] = {KRS_INDEX(1), KRS_INDEX(2)};
        return krs_set_slice(x, real(s, S(2, 3), -1, 1), starts);
    }
    case 1: {
        const krs_index starts[2] = {KRS_INDEX(0), var(s, "pos", 3, 2)};
        return krs_set_slice(x, real(s, S(3, 2), -1, 1), starts);
    }
    default: return KRS_NONE;
    }
}

krs_node
sample_pad(sample *s, int which)
{
    static const int64_t none[] = {0, 0}, one[] = {1, 0}, two[] = {3, 2};
    krs_node x = real(s, S(2, 3), -1, 1);
    switch (which) {
    case 0: return krs_pad(x, one, two, 0);
    case 1: return krs_pad(x, none, one, 7.5);
    default: return KRS_NONE;
    }
}

krs_node
sample_concat(sample *s, int which)
{
    krs_node part[12];
    switch (which) {
    case 0:
        part[0] = real(s, S(2, 3), -1, 1);
        part[1] = real(s, S(2, 1), -1, 1);
        part[2] = part[0];
        return krs_concat(part, 3, 1);
    case 1:
        part[0] = INTS(s, KRS_I64, S(1), 4);
        part[1] = INTS(s, KRS_I64, S(0), 4);
        return krs_concat(part, 2, 0);
    case 2: /* more operands than fit on a stack of eight */
        part[0] = real(s, S(1, 2), -1, 1);
        for (int i = 1; i < 12; i++)
            part[i] = krs_neg(part[i - 1]);
        return krs_concat(part, 12, 0);
    default: return KRS_NONE;
    }
}

krs_node
sample_live(sample *s, int which)
{
    krs_node x = real(s, S(3, 4), -1, 1);
    switch (which) {
    case 0: return live(s, x, 0);
    case 1:
        return krs_live(live(s, x, 0), 1,
                        krs_index_plus(var(s, "pos", 3, 1), KRS_INDEX(1)));
    default: return KRS_NONE;
    }
}

/* ---- products and gathers ---- */

krs_node
sample_matmul(sample *s, int which)
{
    switch (which) {
    case 0: {
        krs_node a = real(s, S(2, 3), -1, 1);
        return krs_matmul(a, real(s, S(3, 4), -1, 1));
    }
    case 1: {
        krs_node a = real(s, S(2, 3), -1, 1);
        return krs_matmul_nt(a, real(s, S(4, 3), -1, 1));
    }
    case 2: {
        krs_node a = real(s, S(3, 2), -1, 1);
        return krs_matmul_tn(a, real(s, S(3, 4), -1, 1));
    }
    case 3: { /* batches broadcast */
        krs_node a = real(s, S(2, 1, 2, 3), -1, 1);
        return krs_matmul(a, real(s, S(3, 3, 2), -1, 1));
    }
    case 4: { /* both transposed, live inner axis */
        krs_node a = live(s, real(s, S(3, 2), -1, 1), 0);
        krs_node b = live(s, real(s, S(4, 3), -1, 1), 1);
        return krsi_matmul(KRS_HERE, a, b, true, true);
    }
    case 5: {
        krs_node a = real(s, S(2, 0), -1, 1);
        return krs_matmul(a, real(s, S(0, 3), -1, 1));
    }
    case 6: /* block-quantised weights */
        return krs_matmul_nt(krs_input(s->graph, "a", KRS_F32, S(2, 32)),
                             krs_input(s->graph, "b", KRS_Q8_0, S(3, 32)));
    default: return KRS_NONE;
    }
}

krs_node
sample_take(sample *s, int which)
{
    krs_node x = real(s, S(3, 4), -1, 1);
    switch (which) {
    case 0: return krs_take(x, INTS(s, KRS_I64, S(2, 2), 2, 0, 2, 1), 0);
    case 1: return krs_take(x, INTS(s, KRS_I32, S0, 3), -1);
    case 2:
        s->leaf[0].differentiable = false;
        return krs_take(krs_input(s->graph, "w", KRS_Q4_1, S(4, 32)),
                        INTS(s, KRS_I64, S(2), 1, 3), 0);
    default: return KRS_NONE;
    }
}

krs_node
sample_index_add(sample *s, int which)
{
    krs_node x = real(s, S(3, 4), -1, 1);
    switch (which) {
    case 0: {
        krs_node i = INTS(s, KRS_I64, S(3), 2, 0, 2);
        return krs_index_add(x, i, real(s, S(3, 4), -1, 1), 0);
    }
    case 1: {
        krs_node i = INTS(s, KRS_I32, S(2, 1), 1, 1);
        return krs_index_add(x, i, real(s, S(3, 2, 1), -1, 1), 1);
    }
    default: return KRS_NONE;
    }
}

krs_node
sample_gather(sample *s, int which)
{
    krs_node x = real(s, S(3, 4), -1, 1);
    switch (which) {
    case 0: return krs_gather(x, INTS(s, KRS_I64, S(2, 4), 2, 0, 2, 1), 0);
    case 1: return krs_gather(x, INTS(s, KRS_I64, S(3, 1), 3, 0), 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_scatter_add(sample *s, int which)
{
    krs_node x = real(s, S(3, 4), -1, 1);
    krs_node i = INTS(s, KRS_I64, S(2, 4), 2, 0, 2, 1, 2);
    switch (which) {
    case 0: return krs_scatter_add(x, i, real(s, S(2, 4), -1, 1), 0);
    case 1: return krs_scatter_add(x, i, real(s, S(2, 4), -1, 1), 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_scatter(sample *s, int which)
{
    krs_node x = real(s, S(3, 4), -1, 1);
    krs_node i = INTS(s, KRS_I64, S(2, 4), 2, 0, 2, 1, 2);
    switch (which) {
    case 0: return krs_scatter(x, i, real(s, S(2, 4), -1, 1), 0);
    case 1: return krs_scatter(x, i, real(s, S(2, 4), -1, 1), 1);
    case 2: return krs_scatter(BOOLS(s, S(3, 4)), i, BOOLS(s, S(2, 4)), -1);
    default: return KRS_NONE;
    }
}

krs_node
sample_embedding(sample *s, int which)
{
    krs_node w = real(s, S(4, 3), -1, 1);
    switch (which) {
    case 0: return krs_embedding(w, INTS(s, KRS_I64, S(2, 2), 2, 0, 2), -1);
    case 1: return krs_embedding(w, INTS(s, KRS_I32, S(3), 3, 0, 2), 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_one_hot(sample *s, int which)
{
    switch (which) {
    case 0: return krs_one_hot(INTS(s, KRS_I64, S(3), 2, 0, 9), 4, KRS_F32);
    case 1: return krs_one_hot(INTS(s, KRS_I32, S0, 1), 3, KRS_BOOL);
    default: return KRS_NONE;
    }
}

/* ---- rows ---- */

#define SOFTMAX(name)                                \
    krs_node sample_##name(sample *s, int which)     \
    {                                                \
        krs_node x = real(s, S(2, 3, 2), -2, 2);     \
        switch (which) {                             \
        case 0: return krs_##name(x, -1);            \
        case 1: return krs_##name(x, 1);             \
        case 2: return krs_##name(live(s, x, 1), 1); \
        default: return KRS_NONE;                    \
        }                                            \
    }
SOFTMAX(softmax)
SOFTMAX(log_softmax)

krs_node
sample_layer_norm(sample *s, int which)
{
    krs_node x = real(s, S(2, 2, 3), -1, 1);
    switch (which) {
    case 0: {
        krs_node w = real(s, S(3), 0.5, 1.5);
        return krs_layer_norm(x, w, real(s, S(3), -1, 1), 1e-2);
    }
    case 1:
        return krs_layer_norm(x, real(s, S(2, 3), 0.5, 1.5), KRS_NONE, 1e-2);
    default: return KRS_NONE;
    }
}

krs_node
sample_rms_norm(sample *s, int which)
{
    krs_node x = real(s, S(2, 2, 3), -1, 1);
    switch (which) {
    case 0: return krs_rms_norm(x, real(s, S(3), 0.5, 1.5), 1e-2);
    case 1: return krs_rms_norm(live(s, x, 1), real(s, S(3), 0.5, 1.5), 1e-2);
    default: return KRS_NONE;
    }
}

krs_node
sample_nll(sample *s, int which)
{
    krs_node logp = real(s, S(3, 4), -2, 0);
    krs_node t = INTS(s, KRS_I64, S(3), 2, -100, 0);
    switch (which) {
    case 0: return krs_nll(logp, t, KRS_NONE, -100, KRS_REDUCE_MEAN);
    case 1:
        return krs_nll(logp, t, real(s, S(4), 0.5, 1.5), -100, KRS_REDUCE_SUM);
    case 2: return krs_nll(logp, t, KRS_NONE, -100, KRS_REDUCE_NONE);
    default: return KRS_NONE;
    }
}

krs_node
sample_mse(sample *s, int which)
{
    krs_node x = real(s, S(3, 4), -2, 2), t = real(s, S(3, 4), -2, 2);
    return which < 3 ? krs_mse(x, t, (krs_reduction)which) : KRS_NONE;
}

krs_node
sample_smooth_l1(sample *s, int which)
{
    krs_node x = away(s, S(3, 4), 0.4, 1), t = away(s, S(3, 4), 2, 3);
    switch (which) {
    case 0: return krs_smooth_l1(x, t, 1.2, KRS_REDUCE_MEAN);
    case 1: return krs_smooth_l1(x, t, 5, KRS_REDUCE_NONE);
    case 2: return krs_smooth_l1(x, t, 0, KRS_REDUCE_SUM);
    default: return KRS_NONE;
    }
}

krs_node
sample_bce_with_logits(sample *s, int which)
{
    krs_node x = real(s, S(3, 4), -2, 2), t = real(s, S(3, 4), 0, 1);
    switch (which) {
    case 0: return krs_bce_with_logits(x, t, KRS_NONE, KRS_REDUCE_MEAN);
    case 1:
        return krs_bce_with_logits(x, t, real(s, S(3, 4), 0.5, 1.5),
                                   KRS_REDUCE_NONE);
    default: return KRS_NONE;
    }
}

krs_node
sample_kl_div(sample *s, int which)
{
    krs_node q = real(s, S(3, 4), -2, 0), t = real(s, S(3, 4), 0.1, 1);
    switch (which) {
    case 0: return krs_kl_div(q, t, false, KRS_REDUCE_BATCHMEAN);
    case 1: return krs_kl_div(q, t, true, KRS_REDUCE_SUM);
    case 2: return krs_kl_div(q, t, false, KRS_REDUCE_NONE);
    default: return KRS_NONE;
    }
}

krs_node
sample_group_norm(sample *s, int which)
{
    krs_node x = real(s, S(2, 6, 3), -1, 1), w = real(s, S(6), 0.5, 1.5);
    switch (which) {
    case 0: return krs_group_norm(x, 3, w, real(s, S(6), -1, 1), 1e-2);
    case 1: return krs_group_norm(x, 1, w, KRS_NONE, 1e-2);
    default: return KRS_NONE;
    }
}

krs_node
sample_batch_norm(sample *s, int which)
{
    krs_node x = real(s, S(3, 2, 2), -1, 1), w = real(s, S(2), 0.5, 1.5);
    krs_node b = real(s, S(2), -1, 1), mean = real(s, S(2), -1, 1);
    krs_node variance = real(s, S(2), 0.5, 1.5), news[2];
    switch (which) {
    case 0: return krs_batch_norm(x, w, b, mean, variance, 1e-2);
    case 1:
        return krs_batch_norm_train(x, w, b, mean, variance, 0.1, 1e-2, news,
                                    news + 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_l2_normalize(sample *s, int which)
{
    krs_node x = real(s, S(2, 3, 2), -1, 1);
    switch (which) {
    case 0: return krs_l2_normalize(x, -1, 1e-12);
    case 1: return krs_l2_normalize(x, 1, 4); /* all are shorter */
    case 2: return krs_l2_normalize(live(s, x, 1), 1, 1e-12);
    default: return KRS_NONE;
    }
}

krs_node
sample_cosine_similarity(sample *s, int which)
{
    krs_node a = real(s, S(2, 3, 2), -1, 1), b = real(s, S(2, 3, 2), -1, 1);
    switch (which) {
    case 0: return krs_cosine_similarity(a, b, 1, 1e-8);
    case 1: return krs_cosine_similarity(a, b, -1, 0.5);
    default: return KRS_NONE;
    }
}

krs_node
sample_cross_entropy(sample *s, int which)
{
    krs_cross_entropy_options o = {sizeof o, KRS_REDUCE_MEAN, -100, 0};
    krs_node x = real(s, S(3, 4), -2, 2);
    krs_node t = INTS(s, KRS_I64, S(3), 2, -100, 0);
    switch (which) {
    case 0: return krs_cross_entropy(x, t, KRS_NONE, NULL);
    case 1:
        o.reduction = KRS_REDUCE_SUM;
        o.label_smoothing = 0.1;
        return krs_cross_entropy(x, t, real(s, S(4), 0.5, 1.5), &o);
    case 2:
        o.label_smoothing = 0.2;
        return krs_cross_entropy(x, t, real(s, S(4), 0.5, 1.5), &o);
    case 3: /* probabilities */
        o.reduction = KRS_REDUCE_NONE;
        return krs_cross_entropy(x, real(s, S(3, 4), 0.1, 0.4), KRS_NONE, &o);
    case 4: {
        krs_node q = real(s, S(3, 4), 0.1, 0.4);
        return krs_cross_entropy(x, q, real(s, S(4), 0.5, 1.5), NULL);
    }
    default: return KRS_NONE;
    }
}

/* five rows in blocks of two, and one in a block that is larger than all; a
 * leading axis; all options */
krs_node
sample_linear_cross_entropy(sample *s, int which)
{
    krs_cross_entropy_options o = {sizeof o, KRS_REDUCE_MEAN, -100, 0};
    krs_node in[4] = {real(s, S(5, 2), -1, 1), real(s, S(4, 2), -1, 1),
                      INTS(s, KRS_I64, S(5), 2, -100, 0, 3, 1), KRS_NONE};
    switch (which) {
    case 0: return krsi_linear_cross_entropy(KRS_HERE, in, NULL, 2);
    case 1:
        o.reduction = KRS_REDUCE_SUM;
        o.label_smoothing = 0.1;
        in[3] = real(s, S(4), 0.5, 1.5);
        return krsi_linear_cross_entropy(KRS_HERE, in, &o, 2);
    case 2:
        o.reduction = KRS_REDUCE_NONE;
        o.ignore_index = 0;
        in[0] = real(s, S(2, 2, 2), -1, 1);
        in[2] = INTS(s, KRS_I32, S(2, 2), 3, 1, 0, 2);
        return krsi_linear_cross_entropy(KRS_HERE, in, &o, 2);
    case 3: return krsi_linear_cross_entropy(KRS_HERE, in, NULL, 8);
    default: return KRS_NONE;
    }
}

krs_node
sample_linear_cross_entropy_grad(sample *s, int which)
{
    krs_node y = sample_linear_cross_entropy(s, which / 2);
    const krsi_node *n = krsi_get(y);
    krs_node in[4];
    if (!n)
        return KRS_NONE;
    for (int i = 0; i < (int)n->count; i++)
        in[i] = krs_node_operand(y, i);
    return krsi_linear_cross_entropy_grad(KRS_HERE, n, in, which % 2);
}

/* ---- attention ---- */

krs_node
sample_attention(sample *s, int which)
{
    krs_attention_options o = {sizeof o, 0, false, KRS_INDEX(0), 0};
    bool grouped = which == 1;
    krs_index one;
    krs_node q = real(s, S(1, 2, 3, 2), -1, 1);
    krs_node k = real(s, grouped ? S(1, 1, 4, 2) : S(1, 2, 4, 2), -1, 1);
    krs_node v = real(s, grouped ? S(1, 1, 4, 3) : S(1, 2, 4, 3), -1, 1);
    switch (which) {
    case 0: return krs_attention(q, k, v, KRS_NONE, NULL);
    case 1:
        o.causal = true;
        o.offset = var(s, "length", 1, 1);
        return krs_attention(q, k, v, KRS_NONE, &o);
    case 2:
        o.scale = 0.3;
        return krs_attention(q, k, v, real(s, S(3, 4), -1, 1), &o);
    case 3: {
        krs_node mask = INTS(s, KRS_BOOL, S(1, 1, 1, 4), 1, 0, 1, 1);
        return krs_attention(q, k, v, mask, NULL);
    }
    case 4:
        o.causal = true;
        o.window = 2;
        o.offset = KRS_INDEX(1);
        return krs_attention(q, live(s, k, 2), live(s, v, 2), KRS_NONE, &o);
    case 5: /* one key at most, heads in groups */
    case 6: /* and one query */
        one = var(s, "length", 1, 1);
        q = which == 5 ? q : krs_live(real(s, S(1, 2, 1, 2), -1, 1), 2, one);
        k = krs_live(real(s, S(1, 1, 1, 2), -1, 1), 2, one);
        v = krs_live(real(s, S(1, 1, 1, 3), -1, 1), 2, one);
        return krs_attention(q, k, v, KRS_NONE, &o);
    default: return KRS_NONE;
    }
}

/* a node whose attributes the rows below share */
static const krsi_node *
attributes_of(krs_node q, krs_node k, krs_node v, int which)
{
    krs_attention_options o = {sizeof o, 0.4, which > 0, KRS_INDEX(1), 0};
    return krsi_get(krs_attention(q, k, v, KRS_NONE, &o));
}

krs_node
sample_attention_lse(sample *s, int which)
{
    krs_node q = real(s, S(1, 2, 3, 2), -1, 1);
    krs_node k = real(s, which == 1 ? S(1, 1, 4, 2) : S(1, 2, 4, 2), -1, 1);
    const krsi_node *n = attributes_of(q, k, k, which);
    switch (which) {
    case 0: return krsi_attention_lse(KRS_HERE, n, q, k, KRS_NONE);
    case 1:
        return krsi_attention_lse(KRS_HERE, n, q, k, real(s, S(3, 4), -1, 1));
    case 2: {
        krs_node mask = INTS(s, KRS_BOOL, S(1, 1, 1, 4), 1, 0, 1, 1);
        return krsi_attention_lse(KRS_HERE, n, q, k, mask);
    }
    case 3:
        k = live(s, k, 2);
        return krsi_attention_lse(KRS_HERE, n, q, k, KRS_NONE);
    default: return KRS_NONE;
    }
}

krs_node
sample_attention_grad(sample *s, int which)
{
    int64_t K = which == 1 ? 1 : 2;
    krs_node q = real(s, S(1, 2, 3, 2), -1, 1);
    krs_node k = real(s, S(1, K, 4, 2), -1, 1);
    krs_node v = real(s, S(1, K, 4, 3), -1, 1);
    krs_node out = real(s, S(1, 2, 3, 3), -1, 1);
    krs_node lse = real(s, S(1, 2, 3), 1, 2);
    krs_node g = real(s, S(1, 2, 3, 3), -1, 1);
    const krsi_node *n = attributes_of(q, k, v, which);
    const krs_node in[6] = {q, k, v, out, lse, g};
    krs_node mask = which == 2 ? real(s, S(3, 4), -1, 1) : KRS_NONE;
    return which < 3 ? krsi_attention_grad(KRS_HERE, n, in, mask) : KRS_NONE;
}

krs_node
sample_rope(sample *s, int which)
{
    krs_node x = real(s, S(2, 3, 4), -1, 1);
    krs_node angle = real(s, S(3, 2), -2, 2);
    switch (which) {
    case 0: return krs_rope(x, angle, KRS_ROPE_INTERLEAVED, 1);
    case 1: return krs_rope(x, angle, KRS_ROPE_HALF, 1.25);
    default: return KRS_NONE;
    }
}

/* ---- loops ---- */

/* Sample `which` of a scan, ended; *out_result is one of its results. */
static krs_scan
scan_of(sample *s, int which, krs_node *out_result)
{
    bool reverse = which == 1;
    krs_scan scan = krs_scan_begin(
        s->graph, 3, reverse ? KRS_SCAN_REVERSE : KRS_SCAN_FORWARD);
    krs_node h0 = real(s, S(2), -1, 1), w = real(s, S(2, 2), -1, 1);
    krs_node xs = real(s, S(3, 2), -1, 1);
    krs_node h = krs_scan_carry(scan, h0), x = krs_scan_x(scan, xs);
    krs_node row = krs_unsqueeze(h, 0);
    krs_node mixed = krs_reshape(krs_matmul(row, w), S(2));
    krs_node next = krs_tanh(krs_add(mixed, x));
    krs_node y = krs_mul(next, h);
    if (which == 2) { /* two carries that cross, and the iteration */
        krs_node t = krs_cast(krs_scan_iteration(scan), KRS_F32);
        krs_node c = krs_scan_carry(scan, real(s, S(2), -1, 1));
        krs_scan_next(scan, c, krs_mul(h, krs_add(t, krs_like(t, 0.5))));
        next = krs_add(c, next);
    }
    krs_scan_next(scan, h, next);
    krs_scan_keep(scan, y);
    krs_scan_end(scan);
    *out_result = which == 0 ? krs_scan_last(scan, h) : krs_scan_kept(scan, y);
    return scan;
}

/* Reverse over time, and a scan inside a scan. */
static krs_node
nested_scan(sample *s)
{
    krs_scan outer = krs_scan_begin(s->graph, 2, KRS_SCAN_FORWARD);
    krs_node w = real(s, S(2), -1, 1), xs = real(s, S(2, 3, 2), -1, 1);
    krs_node h = krs_scan_carry(outer, real(s, S(2), -1, 1));
    krs_node x = krs_scan_x(outer, xs);
    krs_scan inner = krs_scan_begin(s->graph, 3, KRS_SCAN_REVERSE);
    krs_node k = krs_scan_carry(inner, h);
    krs_node y = krs_tanh(krs_add(krs_mul(k, w), krs_scan_x(inner, x)));
    krs_scan_next(inner, k, y);
    krs_scan_end(inner);
    krs_node last = krs_scan_last(inner, k);
    krs_scan_next(outer, h, krs_add(last, krs_mul(h, w)));
    krs_scan_end(outer);
    return krs_scan_last(outer, h);
}

krs_node
sample_param(sample *s, int which)
{
    if (which > 2)
        return KRS_NONE;
    krs_scan scan = krs_scan_begin(s->graph, 3, KRS_SCAN_FORWARD);
    return which == 0   ? krs_scan_iteration(scan)
           : which == 1 ? krs_scan_carry(scan, real(s, S(2), -1, 1))
                        : krs_scan_x(scan, real(s, S(3, 2), -1, 1));
}

krs_node
sample_scan(sample *s, int which)
{
    krs_node result;
    if (which > 2)
        return KRS_NONE;
    scan_of(s, which, &result);
    return krs_node_operand(result, 0);
}

krs_node
sample_result(sample *s, int which)
{
    krs_node result;
    switch (which) {
    case 0:
    case 1:
    case 2: scan_of(s, which, &result); return result;
    case 3: return nested_scan(s);
    case 4: { /* no iterations */
        krs_scan scan = krs_scan_begin(s->graph, 0, KRS_SCAN_FORWARD);
        krs_node h = krs_scan_carry(scan, real(s, S(2), -1, 1));
        krs_scan_next(scan, h, krs_square(h));
        krs_scan_end(scan);
        return krs_scan_last(scan, h);
    }
    case 5: { /* a history, which only gradients ask for otherwise */
        krs_node last;
        scan_of(s, 0, &last);
        return krsi_result(KRS_HERE, krs_node_operand(last, 0), 2);
    }
    default: return KRS_NONE;
    }
}
