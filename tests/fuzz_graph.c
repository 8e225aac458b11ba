/* fuzz_graph.c -- random valid graphs, see fuzz_graph.h.
 *
 * A graph grows from a few leaves by uses of the public builders, each of
 * which takes operands from what there is so far, or new leaves where shapes
 * have to fit. Builders refuse some uses (live lengths have their rules): such
 * an attempt is forgotten. All rows of ops.def come up, which the test counts.
 */
#include "fuzz_graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POOL = 160, MAX_ELEMENTS = 1536 };

typedef struct gen {
    uint64_t state;
    krs_graph *graph;
    krs_node pool[POOL];
    int count;
    int leaves, vars;
    bool lives; /* this graph has live lengths */
} gen;

uint64_t
fuzz_mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9E3779B97F4A7C15u + b * 0xD1B54A32D192ED03u + 1;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* in [0, n) */
static int
below(gen *g, int n)
{
    g->state = fuzz_mix(g->state, 1);
    return (int)(g->state % (uint64_t)n);
}

static bool
chance(gen *g, int percent)
{
    return below(g, 100) < percent;
}

/* ---- data ---- */

static uint64_t
hash_name(const char *name)
{
    uint64_t h = 17;
    for (; *name; name++)
        h = fuzz_mix(h, (unsigned char)*name);
    return h;
}

int64_t
fuzz_var(const fuzz_case *c, int setting, const char *name, int64_t low,
         int64_t high)
{
    uint64_t z = fuzz_mix(c->seed + (uint64_t)setting, hash_name(name));
    if (setting == 0 && z % 3 == 0)
        return high; /* so that a later run leaves traces of a longer one */
    return low + (int64_t)((z >> 8) % (uint64_t)(high - low + 1));
}

/* Mostly between -2 and 2; in one leaf of ten also large, tiny and special
 * numbers. */
static float
float_value(uint64_t series, int64_t i)
{
    static const float special[] = {
        0,   -0.0F,  1,     -1,    1e20F,  -1e20F, INFINITY,  -INFINITY,
        NAN, 1e-40F, 65519, 65520, 88.73F, -104,   0x1p-126F, 1e5F};
    uint64_t z = fuzz_mix(series, (uint64_t)i);
    if (series % 10 == 0 && z % 8 == 0)
        return special[(z >> 8) % (sizeof special / sizeof *special)];
    if (series % 10 == 1) /* many ties */
        return (float)((int64_t)(z >> 8) % 4) - 1;
    return (float)((double)(z >> 11) * 0x1p-53 * 4 - 2);
}

static int64_t
int_value(uint64_t series, int64_t i)
{
    uint64_t z = fuzz_mix(series, (uint64_t)i);
    if (series % 4 == 0 && z % 4 == 0)
        return (int64_t)fuzz_mix(z, 3); /* any bits */
    return (int64_t)(z % 13) - 4;
}

void
fuzz_data(const fuzz_case *c, const char *name, krs_dtype dtype, int64_t count,
          void *out)
{
    uint64_t series = fuzz_mix(c->seed, hash_name(name));
    for (size_t i = 0; i < c->fixed_count; i++)
        if (strcmp(c->fixed[i].name, name) == 0) {
            memcpy(out, c->fixed[i].data, c->fixed[i].bytes);
            return;
        }
    size_t bytes = 0;
    krs_dtype_bytes(dtype, 1, &bytes);
    for (int64_t i = 0; i < count; i++) {
        char *to = (char *)out + (size_t)i * bytes;
        if (krs_dtype_is_float(dtype)) {
            float f = float_value(series, i);
            krs_convert(dtype, to, KRS_F32, &f, 1, NULL);
        } else {
            int64_t v = int_value(series, i);
            v = dtype == KRS_BOOL ? v & 1 : v;
            krs_convert(dtype, to, KRS_I64, &v, 1, NULL);
        }
    }
}

/* ---- operands ---- */

static int64_t
elements_of(krs_shape s)
{
    int64_t n = 0;
    krs_shape_elements(s, &n);
    return n;
}

static void
keep(gen *g, krs_node x)
{
    if (krs_node_is_valid(x) && g->count < POOL &&
        elements_of(krs_node_shape(x)) <= MAX_ELEMENTS)
        g->pool[g->count++] = x;
}

static int64_t
random_size(gen *g)
{
    static const int64_t size[] = {1, 2,  3,  3,  4,  5,  6,  7, 8,
                                   9, 16, 17, 33, 63, 64, 65, 70};
    if (chance(g, 2))
        return 0;
    return size[below(g, chance(g, 70) ? 9 : 17)];
}

static krs_shape
random_shape(gen *g)
{
    krs_shape s = {below(g, 5), {0}};
    if (chance(g, 5))
        s.rank = 5 + below(g, 3);
    int64_t room = 400;
    for (int a = 0; a < s.rank; a++) {
        s.dim[a] = random_size(g);
        if (s.dim[a] > room)
            s.dim[a] = 1 + below(g, room < 3 ? (int)room : 3);
        if (s.dim[a] > 0)
            room /= s.dim[a];
    }
    return s;
}

static krs_dtype
random_dtype(gen *g)
{
    static const krs_dtype all[] = {KRS_F32, KRS_BF16, KRS_F16, KRS_I64,
                                    KRS_I32, KRS_I8,   KRS_U8,  KRS_BOOL};
    return chance(g, 50) ? KRS_F32 : all[below(g, 8)];
}

static krs_node
leaf(gen *g, krs_dtype dtype, krs_shape shape)
{
    char name[16];
    snprintf(name, sizeof name, "x%d", g->leaves++);
    return chance(g, 25) ? krs_state(g->graph, name, dtype, shape)
                         : krs_input(g->graph, name, dtype, shape);
}

typedef bool accepts(krs_dtype dtype);

static bool
any(krs_dtype d)
{
    (void)d;
    return true;
}

static bool
floats(krs_dtype d)
{
    return krs_dtype_is_float(d);
}

static bool
numbers(krs_dtype d)
{
    return d != KRS_BOOL;
}

static bool
indices(krs_dtype d)
{
    return d == KRS_I32 || d == KRS_I64;
}

static bool
bits(krs_dtype d)
{
    return !krs_dtype_is_float(d);
}

static bool
truths(krs_dtype d)
{
    return d == KRS_BOOL;
}

/* one of the nodes so far, recent ones more often; a new leaf if none fits */
static krs_node
pick(gen *g, accepts *fits, int rank)
{
    for (int tries = 0; tries < 30; tries++) {
        int back = below(g, g->count);
        int i = chance(g, 60) ? g->count - 1 - below(g, back + 1) : back;
        krs_node x = g->pool[i];
        if (fits(krs_node_dtype(x)) && krs_node_shape(x).rank >= rank)
            return x;
    }
    krs_shape s = random_shape(g);
    for (; s.rank >= 0 && s.rank < rank; s.rank++)
        s.dim[s.rank] = 1 + below(g, 4);
    krs_dtype d = random_dtype(g);
    while (!fits(d))
        d = random_dtype(g);
    krs_node x = leaf(g, d, s);
    keep(g, x);
    return x;
}

static bool
broadcasts(krs_shape a, krs_shape b)
{
    const int64_t *m_end = a.dim + a.rank, *n_end = b.dim + b.rank;
    for (int i = 1; i <= a.rank && i <= b.rank; i++) {
        int64_t m = m_end[-i], n = n_end[-i];
        if (m != n && m != 1 && n != 1)
            return false;
    }
    return true;
}

/* a node of x's type (or `dtype`) that broadcasts with x */
static krs_node
partner(gen *g, krs_node x, krs_dtype dtype)
{
    krs_shape s = krs_node_shape(x);
    for (int tries = chance(g, 50) ? 20 : 0; tries > 0; tries--) {
        krs_node y = g->pool[below(g, g->count)];
        if (krs_node_dtype(y) == dtype && broadcasts(s, krs_node_shape(y)))
            return y;
    }
    if (chance(g, 25) && dtype != KRS_BOOL)
        return krs_scalar(g->graph, dtype, (double)below(g, 5) * 0.5);
    int drop = s.rank && chance(g, 30) ? below(g, s.rank + 1) : 0;
    krs_shape to = {s.rank - drop, {0}};
    for (int a = 0; a < to.rank; a++)
        to.dim[a] = chance(g, 25) ? 1 : s.dim[a + drop];
    return leaf(g, dtype, to);
}

static krs_index
variable(gen *g, int64_t low, int64_t high)
{
    char name[16];
    snprintf(name, sizeof name, "v%d", g->vars++);
    if (chance(g, 20) && high > low) /* an affine expression */
        return krs_index_plus(
            krs_index_times(krs_var(g->graph, name, -high, -low), -1),
            KRS_INDEX(0));
    return krs_var(g->graph, name, low, high);
}

/* valid indices into an axis of a size above 0 */
static krs_node
index_of(gen *g, krs_shape shape, bool any_shape, int64_t size)
{
    krs_node i = KRS_NONE;
    for (int tries = any_shape && chance(g, 50) ? 10 : 0; tries > 0; tries--) {
        i = g->pool[below(g, g->count)];
        if (indices(krs_node_dtype(i)))
            break;
        i = KRS_NONE;
    }
    if (!i.graph)
        i = leaf(g, chance(g, 50) ? KRS_I64 : KRS_I32, shape);
    return krs_clamp(i, 0, (double)(size - 1));
}

static krs_axes
some_axes(gen *g, int rank)
{
    krs_axes axes = {0, {0}};
    if (chance(g, 20))
        return KRS_ALL_AXES;
    for (int a = 0; a < rank; a++)
        if (chance(g, 45))
            axes.axis[axes.count++] = chance(g, 30) ? a - rank : a;
    return axes;
}

static krs_axes
random_order(gen *g, int rank)
{
    krs_axes axes = {rank, {0}};
    for (int a = 0; a < rank; a++)
        axes.axis[a] = a;
    for (int a = rank - 1; a > 0; a--) {
        int b = below(g, a + 1);
        int32_t t = axes.axis[a];
        axes.axis[a] = axes.axis[b];
        axes.axis[b] = t;
    }
    return axes;
}

/* an axis of x, or -1 if it has none */
static int
some_axis(gen *g, krs_node x)
{
    int rank = krs_node_shape(x).rank;
    return rank ? below(g, rank) : -1;
}

/* ---- element-wise ---- */

#define H KRS_HERE

static krs_node
use_unary(gen *g)
{
    typedef krs_node unary(krs_place at, krs_node x);
    static unary *const real[] = {
        krs_neg_at,  krs_abs_at,       krs_sign_at,    krs_exp_at,
        krs_log_at,  krs_sqrt_at,      krs_rsqrt_at,   krs_sin_at,
        krs_cos_at,  krs_tanh_at,      krs_sigmoid_at, krs_erf_at,
        krs_erfc_at, krs_floor_at,     krs_relu_at,    krs_silu_at,
        krs_gelu_at, krs_gelu_tanh_at, krs_square_at,  krs_stop_gradient_at};
    static unary *const whole[] = {krs_neg_at, krs_abs_at, krs_square_at};
    if (chance(g, 8))
        return krs_not(pick(g, truths, 0));
    krs_node x = pick(g, numbers, 0);
    if (krs_dtype_is_float(krs_node_dtype(x)))
        return real[below(g, 20)](H, x);
    return whole[below(g, 3)](H, x);
}

static krs_node
use_binary(gen *g)
{
    typedef krs_node binary(krs_place at, krs_node a, krs_node b);
    static binary *const real[] = {krs_add_at,     krs_sub_at, krs_mul_at,
                                   krs_div_at,     krs_add_at, krs_maximum_at,
                                   krs_minimum_at, krs_pow_at, krs_swiglu_at};
    static binary *const logic[] = {krs_and_at, krs_or_at, krs_xor_at};
    static binary *const compare[] = {krs_eq_at, krs_ne_at, krs_lt_at,
                                      krs_le_at, krs_gt_at, krs_ge_at};
    int kind = below(g, 10);
    krs_node a = pick(g, kind == 0 ? bits : kind < 3 ? any : numbers, 0);
    krs_dtype d = krs_node_dtype(a);
    krs_node b = partner(g, a, d);
    if (chance(g, 40)) {
        krs_node t = a;
        a = b;
        b = t;
    }
    if (kind == 0)
        return logic[below(g, 3)](H, a, b);
    if (kind < 3)
        return compare[below(g, 6)](H, a, b);
    return real[below(g, krs_dtype_is_float(d) ? 9 : 7)](H, a, b);
}

static krs_node
use_where(gen *g)
{
    krs_node a = pick(g, any, 0);
    krs_node c = partner(g, a, KRS_BOOL);
    krs_node b = partner(g, chance(g, 50) ? c : a, krs_node_dtype(a));
    return krs_where(c, a, b);
}

static krs_node
use_scalar(gen *g)
{
    krs_node x = pick(g, numbers, 0);
    switch (below(g, 4)) {
    case 0: return krs_clamp(x, -below(g, 3), chance(g, 30) ? INFINITY : 1.5);
    case 1: return krs_scale(x, below(g, 4) - 1.5);
    case 2: return krs_offset(x, below(g, 4) - 1);
    default: return krs_pow_scalar(pick(g, floats, 0), below(g, 5) * 0.5 - 1);
    }
}

static krs_node
use_cast(gen *g)
{
    return krs_cast(pick(g, any, 0), random_dtype(g));
}

/* ---- reductions and rows ---- */

static krs_node
use_reduce(gen *g)
{
    typedef krs_node reduction(krs_place at, krs_node x, krs_axes axes);
    static reduction *const all[] = {
        krs_sum_at,       krs_amax_at,          krs_amin_at, krs_sum_keep_at,
        krs_amax_keep_at, krs_amin_keep_at,     krs_mean_at, krs_logsumexp_at,
        krs_mean_keep_at, krs_logsumexp_keep_at};
    krs_node x = pick(g, numbers, 0);
    int axis = some_axis(g, x);
    if (axis >= 0 && chance(g, 15))
        return krs_argmax(x, axis);
    if (axis >= 0 && chance(g, 15))
        return krsi_cumsum(H, x, axis, chance(g, 50));
    bool is_float = krs_dtype_is_float(krs_node_dtype(x));
    return all[below(g, is_float ? 10 : 6)](
        H, x, some_axes(g, krs_node_shape(x).rank));
}

static krs_node
use_rows(gen *g)
{
    krs_node x = pick(g, floats, 1);
    krs_shape s = krs_node_shape(x);
    krs_dtype d = krs_node_dtype(x);
    int axis = some_axis(g, x), from = s.rank - 1 - (chance(g, 20) ? axis : 0);
    krs_shape tail = {s.rank - from, {0}};
    for (int a = from; a < s.rank; a++)
        tail.dim[a - from] = s.dim[a];
    switch (below(g, 5)) {
    case 0: return krs_softmax(x, axis);
    case 1: return krs_log_softmax(x, axis);
    case 2:
        return krs_layer_norm(x, leaf(g, d, tail),
                              chance(g, 50) ? leaf(g, d, tail) : KRS_NONE,
                              1e-3);
    case 3: return krs_rms_norm(x, leaf(g, d, tail), 1e-3);
    default: break;
    }
    krs_shape lead = s;
    krs_shape classes = KRS_SHAPE(s.dim[s.rank - 1]);
    lead.rank--;
    krs_cross_entropy_options o = {sizeof o, (krs_reduction)below(g, 3),
                                   chance(g, 50) ? -100 : 1,
                                   chance(g, 50) ? 0 : 0.25};
    if (classes.dim[0] == 0)
        return KRS_NONE;
    krs_node target = chance(g, 25) ? krs_abs(leaf(g, KRS_F32, s))
                                    : index_of(g, lead, false, classes.dim[0]);
    return krs_cross_entropy(
        x, target, chance(g, 40) ? leaf(g, KRS_F32, classes) : KRS_NONE, &o);
}

/* ---- views ---- */

static krs_node
use_reshape(gen *g)
{
    krs_node x = pick(g, any, 0);
    krs_shape from = krs_node_shape(x), s = {0, {0}};
    int64_t left = elements_of(from);
    if (chance(g, 20))
        return krs_unsqueeze(x, below(g, from.rank + 1));
    if (left == 0 || chance(g, 20)) { /* merge or split one axis */
        if (from.rank < 2)
            return KRS_NONE;
        int a = below(g, from.rank - 1);
        s = from;
        s.dim[a] *= s.dim[a + 1];
        memmove(s.dim + a + 1, s.dim + a + 2,
                (size_t)(s.rank - a - 2) * sizeof *s.dim);
        s.rank--;
        return krs_reshape(x, s);
    }
    while (s.rank < 6 && (left > 1 || chance(g, 20))) {
        int64_t by = 1 + below(g, left > 12 ? 12 : (int)left);
        while (left % by)
            by--;
        if (s.rank == 5)
            by = left;
        s.dim[s.rank++] = by;
        left /= by;
    }
    return left == 1 ? krs_reshape(x, s) : KRS_NONE;
}

static krs_node
use_expand(gen *g)
{
    krs_node x = pick(g, any, 0);
    krs_shape from = krs_node_shape(x), s = from;
    if (s.rank < KRS_MAX_RANK && chance(g, 50)) {
        s.dim[0] = 1 + below(g, 4);
        for (int a = 0; a < from.rank; a++)
            s.dim[a + 1] = from.dim[a];
        s.rank++;
    }
    int lead = s.rank - from.rank;
    for (int a = lead; a < s.rank; a++)
        if (s.dim[a] == 1)
            s.dim[a] = 1 + below(g, 4);
    return krs_expand(x, s);
}

static krs_node
use_slice(gen *g)
{
    krs_node x = pick(g, any, 1);
    int axis = some_axis(g, x);
    int64_t size = krs_node_shape(x).dim[axis];
    int span = (int)size + 1;
    if (size > 0 && chance(g, 30)) {
        int64_t length = 1 + below(g, (int)size);
        /* one in twenty may be asked not to fit */
        int64_t over = chance(g, 5) ? 1 : 0;
        return krs_narrow(x, axis, variable(g, 0, size - length + over),
                          length);
    }
    if (chance(g, 25))
        return krs_flip(x, axis);
    int64_t step = 1 + below(g, 3);
    if (chance(g, 50)) {
        int64_t start = below(g, span);
        return krs_slice(x, axis, start, start + 1 + below(g, span), step);
    }
    return krs_slice(x, axis, chance(g, 50) ? KRS_END : below(g, span),
                     chance(g, 50) ? KRS_END : below(g, span) / 2, -step);
}

static krs_node
use_set_slice(gen *g)
{
    krs_node x = pick(g, any, 0);
    krs_shape s = krs_node_shape(x), v = s;
    krs_index start[KRS_MAX_RANK];
    for (int a = 0; a < s.rank; a++) {
        v.dim[a] = s.dim[a] ? below(g, (int)s.dim[a] + 1) : 0;
        int64_t room = s.dim[a] - v.dim[a];
        start[a] = chance(g, 40) ? variable(g, 0, room)
                                 : KRS_INDEX(below(g, (int)room + 1));
    }
    return krs_set_slice(x, leaf(g, krs_node_dtype(x), v), start);
}

static krs_node
use_join(gen *g)
{
    krs_node x = pick(g, any, 0);
    krs_shape s = krs_node_shape(x);
    krs_dtype d = krs_node_dtype(x);
    int axis = some_axis(g, x);
    if (chance(g, 45) || axis < 0) {
        int64_t before[KRS_MAX_RANK], after[KRS_MAX_RANK];
        for (int a = 0; a < s.rank; a++) {
            before[a] = below(g, 4) - 1;
            after[a] = below(g, 4) - 1;
        }
        return krs_pad(x, before, after, d == KRS_BOOL ? 1 : below(g, 3));
    }
    krs_node part[4];
    int count = 1 + below(g, 4), at = below(g, count);
    for (int i = 0; i < count; i++) {
        krs_shape p = s;
        p.dim[axis] = below(g, 5);
        part[i] = i == at         ? x
                  : chance(g, 30) ? krs_flip(x, axis)
                  : chance(g, 20) ? krs_full(g->graph, d, p, 1)
                                  : leaf(g, d, p);
    }
    if (chance(g, 25)) {
        for (int i = 0; i < count; i++)
            part[i] = i % 2 ? x : krs_flip(x, axis);
        return krs_stack(part, count, below(g, s.rank + 1));
    }
    return krs_concat(part, count, axis);
}

static krs_node
use_view(gen *g)
{
    krs_node x;
    switch (below(g, 7)) {
    case 0: return use_reshape(g);
    case 1: return use_expand(g);
    case 2: return use_slice(g);
    case 3: return use_set_slice(g);
    case 4: return use_join(g);
    case 5: x = pick(g, any, 2); break;
    default: x = pick(g, any, 1); break;
    }
    return krs_permute(x, random_order(g, krs_node_shape(x).rank));
}

static krs_node
use_live(gen *g)
{
    krs_node x = pick(g, any, 1);
    int axis = some_axis(g, x);
    int64_t size = krs_node_shape(x).dim[axis];
    if (!g->lives || size == 0)
        return KRS_NONE;
    return krs_live(x, axis, variable(g, chance(g, 80) ? 1 : 0, size));
}

/* ---- products and gathers ---- */

static krs_node
use_matmul(gen *g)
{
    krs_node a = pick(g, floats, 2);
    krs_shape s = krs_node_shape(a), t = s;
    bool ta = chance(g, 33), tb = !ta && chance(g, 50);
    int64_t k = s.dim[s.rank - (ta ? 2 : 1)];
    int64_t n = random_size(g);
    int drop = chance(g, 40) ? s.rank - 2 : 0;
    t.rank -= drop;
    for (int i = 0; i < t.rank - 2; i++)
        t.dim[i] = chance(g, 30) ? 1 : s.dim[i + drop];
    t.dim[t.rank - (tb ? 1 : 2)] = k;
    t.dim[t.rank - (tb ? 2 : 1)] = n;
    krs_node b = KRS_NONE;
    for (int tries = 10; tries > 0 && !b.graph; tries--) {
        krs_node y = g->pool[below(g, g->count)];
        krs_shape u = krs_node_shape(y);
        if (krs_node_dtype(y) == krs_node_dtype(a) && u.rank == 2 &&
            u.dim[tb ? 1 : 0] == k)
            b = y;
    }
    if (!b.graph)
        b = leaf(g, krs_node_dtype(a), t);
    if (chance(g, 10) && tb && krs_node_shape(b).rank == 2)
        return krs_linear(a, b, KRS_NONE);
    return krsi_matmul(H, a, b, ta, tb);
}

static krs_node
use_gather(gen *g)
{
    krs_node x = pick(g, any, 1);
    krs_shape s = krs_node_shape(x), i = random_shape(g);
    krs_dtype d = krs_node_dtype(x);
    int axis = some_axis(g, x), kind = below(g, 6);
    int64_t size = s.dim[axis];
    if (size == 0)
        return KRS_NONE;
    if (kind < 2) { /* whole slices */
        i.rank = i.rank > 2 ? 2 : i.rank;
        krs_node at = index_of(g, i, true, size);
        i = krs_node_shape(at);
        if (kind == 0 || !numbers(d))
            return krs_take(x, at, axis);
        krs_shape src = {s.rank - 1 + i.rank, {0}};
        if (src.rank > KRS_MAX_RANK)
            return KRS_NONE;
        for (int a = 0, to = 0; a < s.rank; a++) {
            if (a != axis) {
                src.dim[to++] = s.dim[a];
                continue;
            }
            for (int k = 0; k < i.rank; k++)
                src.dim[to++] = i.dim[k];
        }
        if (elements_of(src) > MAX_ELEMENTS)
            return KRS_NONE;
        krs_node from = leaf(g, d, src);
        if (chance(g, 30) && src.rank > 1) { /* a permuted source */
            krs_axes axes = random_order(g, src.rank);
            krs_shape turned = src;
            for (int a = 0; a < src.rank; a++)
                turned.dim[axes.axis[a]] = src.dim[a];
            from = krs_permute(leaf(g, d, turned), axes);
        }
        return krs_index_add(x, at, from, axis);
    }
    if (kind < 4) {
        i = s;
        for (int a = 0; a < s.rank; a++)
            if (a == axis || chance(g, 20))
                i.dim[a] = a == axis  ? 1 + below(g, 6)
                           : s.dim[a] ? 1 + below(g, (int)s.dim[a])
                                      : 0;
        krs_node at = index_of(g, i, false, size);
        if (kind == 2 || !numbers(d))
            return krs_gather(x, at, axis);
        return krs_scatter_add(x, at, leaf(g, d, i), axis);
    }
    if (kind == 4)
        return krs_one_hot(index_of(g, i, true, 5), 1 + below(g, 6), d);
    if (s.rank != 2 || !krs_dtype_is_float(d))
        return KRS_NONE;
    return krs_embedding(x, index_of(g, i, true, s.dim[0]),
                         chance(g, 50) ? -1 : 0);
}

static krs_node
use_attention(gen *g)
{
    int64_t b = 1 + below(g, 2), k = 1 + below(g, 2), h = k * (1 + below(g, 2));
    int64_t t = 1 + below(g, 6), s = 1 + below(g, 9);
    int64_t d = 1 + below(g, 5), e = 1 + below(g, 4);
    krs_dtype type = chance(g, 75) ? KRS_F32 : KRS_BF16;
    krs_attention_options o = {sizeof o, chance(g, 50) ? 0 : 0.5, chance(g, 40),
                               KRS_INDEX(0), 0};
    krs_node q = leaf(g, type, KRS_SHAPE(b, h, t, d));
    krs_node keys = leaf(g, type, KRS_SHAPE(b, k, s, d));
    krs_node values = leaf(g, type, KRS_SHAPE(b, k, s, e)), mask = KRS_NONE;
    if (g->lives && s > 1 && chance(g, 40)) {
        krs_index length = variable(g, 1, s);
        keys = krs_live(keys, 2, length);
        values = krs_live(values, 2, length);
    } else if (chance(g, 40)) {
        mask = leaf(g, chance(g, 50) ? KRS_BOOL : KRS_F32, KRS_SHAPE(t, s));
    }
    if (o.causal && chance(g, 50))
        o.offset = variable(g, 0, s);
    if (o.causal && chance(g, 40))
        o.window = 1 + below(g, 4);
    return krs_attention(q, keys, values, mask, &o);
}

static krs_node
use_random(gen *g)
{
    krs_node seed = krs_input(g->graph, "seed", KRS_I64, KRS_SCALAR);
    krs_node step = krs_input(g->graph, "step", KRS_I64, KRS_SCALAR);
    if (chance(g, 40))
        return krs_random_uniform(seed, step, random_shape(g), below(g, 9));
    return krs_dropout(pick(g, floats, 0), 0.3, seed, step, KRS_STREAM_AUTO);
}

static krs_node
use_rope(gen *g)
{
    static const double frequency[] = {1, 0.3, 0.01, 2.5};
    krs_node x = pick(g, floats, 2);
    krs_shape s = krs_node_shape(x);
    int64_t d = s.dim[s.rank - 1];
    if (d < 2 || d > 8 || d % 2)
        return KRS_NONE;
    krs_node at = leaf(g, KRS_I64, KRS_SHAPE(s.dim[s.rank - 2]));
    krs_node angles = krs_rope_angles(at, frequency, (int)(d / 2));
    return krs_rope(x, angles,
                    chance(g, 50) ? KRS_ROPE_HALF : KRS_ROPE_INTERLEAVED,
                    chance(g, 50) ? 1 : 1.25);
}

static krs_node
use_leaf(gen *g)
{
    krs_shape s = random_shape(g);
    krs_dtype d = random_dtype(g);
    static const krs_dtype counted[] = {KRS_I64, KRS_I32, KRS_F32};
    switch (below(g, 5)) {
    case 0: return krs_full(g->graph, d, s, below(g, 2));
    case 1:
        return s.rank ? krs_iota(g->graph, counted[below(g, 3)], s,
                                 below(g, s.rank))
                      : KRS_NONE;
    case 2: return krs_index_node(g->graph, variable(g, -3, 9));
    case 3: {
        float data[2 * MAX_ELEMENTS];
        fuzz_case c = {.seed = g->state};
        if (elements_of(s) > 64)
            return KRS_NONE;
        fuzz_data(&c, "constant", d, elements_of(s), data);
        return krs_constant(g->graph, d, s, data);
    }
    default: return leaf(g, d, s);
    }
}

/* ---- a graph ---- */

typedef krs_node use(gen *g);

/* more of what schedulers find hard */
static use *const uses[] = {
    use_unary,  use_unary,     use_binary, use_binary, use_binary,
    use_where,  use_scalar,    use_cast,   use_reduce, use_reduce,
    use_reduce, use_rows,      use_view,   use_view,   use_view,
    use_view,   use_live,      use_matmul, use_matmul, use_gather,
    use_gather, use_attention, use_random, use_rope,   use_leaf};

static void
add_output(fuzz_case *c, krs_node x)
{
    if (krs_node_is_valid(x) && c->outputs < FUZZ_OUTPUTS)
        c->output[c->outputs++] = x;
}

/* Updates of states by nodes of their shape, and two states exchanged. */
static bool
add_updates(gen *g, fuzz_case *c)
{
    bool any_update = false;
    krs_node a = krs_state(g->graph, "left", KRS_F32, KRS_SHAPE(3, 2));
    krs_node b = krs_state(g->graph, "right", KRS_F32, KRS_SHAPE(3, 2));
    if (chance(g, 20)) {
        add_output(c, krs_update(a, b));
        add_output(c, krs_update(b, chance(g, 50) ? a : krs_add(a, b)));
        any_update = true;
    }
    for (int i = 0; i < g->count && c->outputs < 6; i++) {
        krs_node x = g->pool[i];
        const krsi_node *n = krsi_get(x);
        char name[16];
        if (n->live_axes || !chance(g, 4))
            continue;
        snprintf(name, sizeof name, "s%d", i);
        krs_node s =
            krs_state(g->graph, name, (krs_dtype)n->dtype, krs_node_shape(x));
        if (chance(g, 30) && n->rank) {
            krs_index start[KRS_MAX_RANK] = {{0}};
            x = krs_set_slice(s, x, start);
        }
        add_output(c, krs_update(s, x));
        any_update = true;
    }
    return any_update;
}

static bool
add_gradient(gen *g, fuzz_case *c)
{
    krs_node wrt[3], grad[3];
    size_t count = 0;
    krs_node y = KRS_NONE;
    for (int tries = 0; tries < 20; tries++) {
        krs_node x = g->pool[g->count - 1 - below(g, (g->count + 1) / 2)];
        if (krs_node_dtype(x) == KRS_F32 && krsi_get(x)->count)
            y = x;
    }
    for (uint32_t id = krs_graph_size(g->graph); id > 0 && count < 3; id--) {
        krs_node x = krs_graph_node(g->graph, id);
        if (*krs_node_name(x) && krs_dtype_is_float(krs_node_dtype(x)) &&
            chance(g, 40))
            wrt[count++] = x;
    }
    if (!y.graph || !count || krs_grad(y, wrt, count, grad) != KRS_OK)
        return false;
    for (size_t i = 0; i < count; i++)
        add_output(c, grad[i]);
    return true;
}

static void
forget_refusal(gen *g)
{
    g->graph->error = (krs_error){KRS_OK, ""};
}

void
fuzz_build(uint64_t seed, fuzz_case *out, fuzz_counts *counts)
{
    gen g = {.state = fuzz_mix(seed, 7), .graph = krs_graph_new()};
    memset(out, 0, sizeof *out);
    out->seed = seed;
    out->graph = g.graph;
    g.lives = chance(&g, 40);
    for (int i = 1 + below(&g, 3); i > 0; i--)
        keep(&g,
             leaf(&g, i == 1 ? KRS_F32 : random_dtype(&g), random_shape(&g)));
    int nodes = 5 + below(&g, 36);
    for (int tries = 0; tries < 3 * nodes && g.count < nodes; tries++) {
        krs_node x = uses[below(&g, (int)(sizeof uses / sizeof *uses))](&g);
        counts->asked++;
        counts->refused += x.graph && !x.id;
        forget_refusal(&g);
        keep(&g, x);
    }
    add_output(out, g.pool[g.count - 1]);
    for (int i = below(&g, 4); i > 0; i--)
        add_output(out, g.pool[below(&g, g.count)]);
    if (chance(&g, 25))
        counts->with_updates += add_updates(&g, out);
    if (seed % 2)
        counts->with_gradient += add_gradient(&g, out);
    forget_refusal(&g);
    counts->cases++;
}

void
fuzz_free(fuzz_case *c)
{
    for (size_t i = 0; i < c->fixed_count; i++)
        free(c->fixed[i].data);
    free(c->fixed);
    krs_graph_free(c->graph);
    memset(c, 0, sizeof *c);
}
