/* samples_map.c -- uses of leaves, element-wise operations, reductions and
 * prefix sums; see samples.h. */
#include "samples_leaf.h"

#include <krs/array.h>

#include <math.h>

/* ---- leaves and effects ---- */

krs_node
sample_input(sample *s, int which)
{
    switch (which) {
    case 0: return leaf_real(s, S(2, 3), -1, 1);
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
        const krs_index lives[2] = {leaf_var(s, "length", 4, 3), KRS_INDEX(0)};
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
        krs_index twice = krs_index_times(leaf_var(s, "pos", 9, 5), -2);
        return krs_index_node(
            s->graph,
            krs_index_plus(krs_index_plus(twice, leaf_var(s, "length", 9, 4)),
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
    case 0: return krs_update(w, leaf_real(s, S(2, 3), -1, 1));
    default: return KRS_NONE;
    }
}

/* ---- element-wise, one operand ---- */

#define UNARY(name, make, low, high)                                         \
    krs_node sample_##name(sample *s, int which)                             \
    {                                                                        \
        switch (which) {                                                     \
        case 0: return krs_##name(make(s, S(2, 3), low, high));              \
        case 1: return krs_##name(make(s, S0, low, high));                   \
        case 2:                                                              \
            return krs_##name(leaf_live(s, make(s, S(3, 2), low, high), 0)); \
        case 3: return krs_##name(make(s, S(3, 0), low, high));              \
        default: return KRS_NONE;                                            \
        }                                                                    \
    }
UNARY(neg, leaf_real, -1, 1)
UNARY(abs, leaf_away, 0.3, 1.5)
UNARY(sign, leaf_away, 0.3, 1.5)
UNARY(exp, leaf_real, -1, 1)
UNARY(exp2, leaf_real, -1, 1)
UNARY(log, leaf_real, 0.3, 2)
UNARY(log2, leaf_real, 0.3, 2)
UNARY(sqrt, leaf_real, 0.3, 2)
UNARY(rsqrt, leaf_real, 0.3, 2)
UNARY(sin, leaf_real, -2, 2)
UNARY(cos, leaf_real, -2, 2)
UNARY(tanh, leaf_real, -1.5, 1.5)
UNARY(sigmoid, leaf_real, -2, 2)
UNARY(erf, leaf_real, -1.5, 1.5)
UNARY(erfc, leaf_real, -1.5, 1.5)
UNARY(floor, leaf_away, 0.2, 0.8)
UNARY(stop_gradient, leaf_real, -1, 1)
UNARY(relu, leaf_away, 0.3, 1.5)
UNARY(silu, leaf_real, -2, 2)
UNARY(gelu, leaf_real, -2, 2)
UNARY(gelu_tanh, leaf_real, -2, 2)
UNARY(log1p, leaf_real, -0.5, 1)
UNARY(expm1, leaf_real, -1, 1)
UNARY(softplus, leaf_real, -2, 2)

/* with numbers of our own: the builder takes a new one each time */
krs_node
sample_recompute(sample *s, int which)
{
    switch (which) {
    case 0: return krsi_recompute(KRS_HERE, leaf_real(s, S(2, 3), -1, 1), 7);
    case 1:
        return krsi_recompute(KRS_HERE,
                              leaf_live(s, leaf_real(s, S(3, 2), -1, 1), 0), 0);
    case 2: return krsi_recompute(KRS_HERE, INTS(s, KRS_I64, S0, 5), -1);
    default: return KRS_NONE;
    }
}

krs_node
sample_checkpoint(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 3), -1, 1), y = leaf_real(s, S(2, 3), -1, 1);
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
    case 3: return krs_checkpoint(krs_exp(leaf_live(s, x, 1)), &x, 1);
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
    krs_node x = leaf_spread(s, S(2, 4), 0.125);
    s->leaf[0].step = 0.125;
    s->leaf[0].differentiable = which < 2;
    switch (which) {
    case 0: return krs_cast(x, KRS_BF16);
    case 1: return krs_cast(x, KRS_F16);
    case 2: return krs_cast(x, KRS_I32);
    case 3: return krs_cast(leaf_live(s, x, 1), KRS_BOOL);
    case 4: return krs_cast(BOOLS(s, S(2)), KRS_F32);
    case 5:
        return krs_cast(krs_input(s->graph, "w", KRS_Q4_1, S(2, 64)), KRS_F32);
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
            a = leaf_live(s, make_a(s, S(3, 2), a0, a1), 0);          \
            b = make_b(s, S(2), b0, b1);                              \
            return krs_##name(a, b);                                  \
        case 3: a = make_a(s, S(2), a0, a1); return krs_##name(a, a); \
        default: return KRS_NONE;                                     \
        }                                                             \
    }
BINARY(add, leaf_real, -1, 1, leaf_real, -1, 1)
BINARY(sub, leaf_real, -1, 1, leaf_real, -1, 1)
BINARY(mul, leaf_real, -1, 1, leaf_real, -1, 1)
BINARY(div, leaf_real, -1, 1, leaf_away, 0.5, 2)
BINARY(pow, leaf_real, 0.5, 2, leaf_real, -1, 2)
BINARY(swiglu, leaf_real, -2, 2, leaf_real, -1, 1)

#define LARGER(name)                                                          \
    krs_node sample_##name(sample *s, int which)                              \
    {                                                                         \
        krs_node a = leaf_spread(s, S(2, 3), 0), b;                           \
        switch (which) {                                                      \
        case 0: b = leaf_spread(s, S(2, 3), 0.1); return krs_##name(a, b);    \
        case 1: b = leaf_spread(s, S(2, 1, 3), 0.1); return krs_##name(a, b); \
        case 2:                                                               \
            b = INTS(s, KRS_I32, S(2, 3), 5, -3, 2);                          \
            return krs_##name(b, INTS(s, KRS_I32, S(3), 1, -9, 4));           \
        default: return KRS_NONE;                                             \
        }                                                                     \
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
    krs_node c = BOOLS(s, S(2, 3)), a = leaf_real(s, S(2, 3), -1, 1);
    switch (which) {
    case 0: return krs_where(c, a, leaf_real(s, S(2, 3), -1, 1));
    case 1: return krs_where(c, krs_scalar(s->graph, KRS_F32, 0.5), a);
    case 2:
        return krs_where(c, leaf_real(s, S0, -1, 1),
                         leaf_real(s, S(4, 1, 1), -1, 1));
    default: return KRS_NONE;
    }
}

krs_node
sample_clamp(sample *s, int which)
{
    krs_node x = leaf_spread(s, S(2, 3), 0); /* 0.15 and more off the bounds */
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
    krs_node x = leaf_real(s, S(3, 4), -1, 1);
    krs_node seed = INTS(s, KRS_I64, S0, 42), step = INTS(s, KRS_I64, S0, 3);
    switch (which) {
    case 0: return krs_dropout(x, 0.5, seed, step, 1);
    case 1: return krs_dropout(x, 0.1, seed, step, KRS_STREAM_AUTO);
    default: return KRS_NONE;
    }
}

/* ---- reductions and prefix sums ---- */

#define REDUCE(name, make, low, high)                            \
    krs_node sample_##name(sample *s, int which)                 \
    {                                                            \
        krs_node x = make(s, S(2, 3, 4), low, high);             \
        switch (which) {                                         \
        case 0: return krs_##name(x, KRS_ALL_AXES);              \
        case 1: return krs_##name(x, AX(1));                     \
        case 2: return krs_##name##_keep(x, AX(-1, 0));          \
        case 3: return krs_##name(leaf_live(s, x, 1), AX(1, 2)); \
        case 4: return krs_##name(leaf_live(s, x, 1), AX(0));    \
        default: return KRS_NONE;                                \
        }                                                        \
    }
#define spread2(s, shape, low, high) leaf_spread(s, shape, 0 * (low) * (high))
REDUCE(sum, leaf_real, -1, 1)
REDUCE(mean, leaf_real, -1, 1)
REDUCE(logsumexp, leaf_real, -2, 2)
REDUCE(amax, spread2, 0, 0)
REDUCE(amin, spread2, 0, 0)

krs_node
sample_argmax(sample *s, int which)
{
    krs_node x = leaf_spread(s, S(2, 5), 0);
    switch (which) {
    case 0: return krs_argmax(x, -1);
    case 1: return krs_argmax(INTS(s, KRS_I64, S(3, 2), 4, -1, 7, 7), 0);
    default: return KRS_NONE;
    }
}

krs_node
sample_argmin(sample *s, int which)
{
    krs_node x = leaf_spread(s, S(2, 5), 0);
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
    krs_node x = leaf_spread(s, S(2, 5), 0);
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
    krs_node x = leaf_away(s, S(2, 3, 4), 0.5, 1.5);
    switch (which) {
    case 0: return krs_prod(x, KRS_AXES(1));
    case 1: return krs_prod_keep(x, KRS_AXES(0, 2));
    case 2: return krs_prod(INTS(s, KRS_I32, S(3, 70), 4, -1, 7), KRS_AXES(1));
    case 3: /* one zero in a row, and two */
        return krs_prod(krs_where(BOOLS(s, S(3, 5)),
                                  leaf_real(s, S(3, 5), 1, 2),
                                  krs_like(leaf_real(s, S(3, 5), 1, 2), 0)),
                        KRS_AXES(-1));
    case 4: return krs_prod(leaf_real(s, S(2, 0), 0, 1), KRS_AXES(1));
    default: return KRS_NONE;
    }
}

krs_node
sample_variance(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 3, 4), 3, 5);
    switch (which) {
    case 0: return krs_variance(x, KRS_AXES(-1), 1);
    case 1: return krs_variance_keep(x, KRS_AXES(0, 1), 0);
    case 2: return krs_variance(leaf_live(s, x, 1), KRS_AXES(1), 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_cumprod(sample *s, int which)
{
    krs_node x = leaf_away(s, S(2, 4), 0.5, 1.5);
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
    krs_node x = leaf_real(s, S(2, 4), -1, 1);
    switch (which) {
    case 0: return krs_cumsum(x, 1);
    case 1: return krsi_cumsum(KRS_HERE, x, 0, true);
    case 2: return krs_cumsum(INTS(s, KRS_I32, S(3), 4, -1, 7), 0);
    default: return KRS_NONE;
    }
}
