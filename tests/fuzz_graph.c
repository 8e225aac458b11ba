/* fuzz_graph.c -- random valid graphs, see fuzz_graph.h.
 *
 * A graph grows from a few leaves by uses of the public builders, each of
 * which takes operands from what there is so far, or new leaves where shapes
 * have to fit. Builders refuse some uses (live lengths have their rules): such
 * an attempt is forgotten. All rows of ops.def come up, which the test counts.
 */
#include "fuzz_gen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t
fuzz_mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9E3779B97F4A7C15u + b * 0xD1B54A32D192ED03u + 1;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* in [0, n) */
int
fuzz_below(fuzz_gen *g, int n)
{
    g->state = fuzz_mix(g->state, 1);
    return (int)(g->state % (uint64_t)n);
}

bool
fuzz_chance(fuzz_gen *g, int percent)
{
    return fuzz_below(g, 100) < percent;
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
    enum { PART = 64 };
    for (int64_t at = 0; at < count; at += PART) {
        float real[PART];
        int64_t whole[PART], n = count - at < PART ? count - at : PART;
        bool is_float = krs_dtype_is_float(dtype);
        for (int64_t i = 0; i < n; i++)
            if (is_float)
                real[i] = float_value(series, at + i);
            else
                whole[i] =
                    int_value(series, at + i) & (dtype == KRS_BOOL ? 1 : -1);
        krs_convert(dtype, (char *)out + (size_t)at * bytes,
                    is_float ? KRS_F32 : KRS_I64,
                    is_float ? (void *)real : (void *)whole, (size_t)n, NULL);
    }
}

/* ---- operands ---- */

int64_t
fuzz_elements_of(krs_shape s)
{
    int64_t n = 0;
    krs_shape_elements(s, &n);
    return n;
}

void
fuzz_keep(fuzz_gen *g, krs_node x)
{
    if (krs_node_is_valid(x) && g->count < FUZZ_POOL &&
        fuzz_elements_of(krs_node_shape(x)) <= g->room)
        g->pool[g->count++] = x;
}

int64_t
fuzz_random_size(fuzz_gen *g)
{
    static const int64_t size[] = {1, 2,  3,  3,  4,  5,  6,  7, 8,
                                   9, 16, 17, 33, 63, 64, 65, 70};
    static const int64_t large[] = {129, 513, 1025, 4097, 5000};
    if (fuzz_chance(g, 2))
        return 0;
    if (g->leaf_room > 1000 && fuzz_chance(g, 25))
        return large[fuzz_below(g, 5)];
    return size[fuzz_below(g, fuzz_chance(g, 70) ? 9 : 17)];
}

krs_shape
fuzz_random_shape(fuzz_gen *g)
{
    krs_shape s = {fuzz_below(g, 5), {0}};
    if (fuzz_chance(g, 5))
        s.rank = 5 + fuzz_below(g, 3);
    int64_t room = g->leaf_room;
    for (int a = 0; a < s.rank; a++) {
        s.dim[a] = fuzz_random_size(g);
        if (s.dim[a] > room)
            s.dim[a] = 1 + fuzz_below(g, room < 3 ? (int)room : 3);
        if (s.dim[a] > 0)
            room /= s.dim[a];
    }
    return s;
}

krs_dtype
fuzz_random_dtype(fuzz_gen *g)
{
    static const krs_dtype all[] = {KRS_F32, KRS_BF16, KRS_F16, KRS_I64,
                                    KRS_I32, KRS_I8,   KRS_U8,  KRS_BOOL};
    return fuzz_chance(g, 50) ? KRS_F32 : all[fuzz_below(g, 8)];
}

krs_node
fuzz_leaf(fuzz_gen *g, krs_dtype dtype, krs_shape shape)
{
    char name[16];
    snprintf(name, sizeof name, "x%d", g->leaves++);
    return fuzz_chance(g, 25) ? krs_state(g->graph, name, dtype, shape)
                              : krs_input(g->graph, name, dtype, shape);
}

bool
fuzz_any(krs_dtype d)
{
    (void)d;
    return true;
}

bool
fuzz_floats(krs_dtype d)
{
    return krs_dtype_is_float(d);
}

bool
fuzz_numbers(krs_dtype d)
{
    return d != KRS_BOOL;
}

bool
fuzz_indices(krs_dtype d)
{
    return d == KRS_I32 || d == KRS_I64;
}

bool
fuzz_bits(krs_dtype d)
{
    return !krs_dtype_is_float(d);
}

bool
fuzz_truths(krs_dtype d)
{
    return d == KRS_BOOL;
}

/* one of the nodes so far, recent ones more often; a new leaf if none fits */
krs_node
fuzz_pick(fuzz_gen *g, fuzz_accepts *fits, int rank)
{
    for (int tries = 0; tries < 30; tries++) {
        int back = fuzz_below(g, g->count);
        int i =
            fuzz_chance(g, 60) ? g->count - 1 - fuzz_below(g, back + 1) : back;
        krs_node x = g->pool[i];
        if (fits(krs_node_dtype(x)) && krs_node_shape(x).rank >= rank)
            return x;
    }
    krs_shape s = fuzz_random_shape(g);
    for (; s.rank >= 0 && s.rank < rank; s.rank++)
        s.dim[s.rank] = 1 + fuzz_below(g, 4);
    krs_dtype d = fuzz_random_dtype(g);
    while (!fits(d))
        d = fuzz_random_dtype(g);
    krs_node x = fuzz_leaf(g, d, s);
    fuzz_keep(g, x);
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
krs_node
fuzz_partner(fuzz_gen *g, krs_node x, krs_dtype dtype)
{
    krs_shape s = krs_node_shape(x);
    for (int tries = fuzz_chance(g, 50) ? 20 : 0; tries > 0; tries--) {
        krs_node y = g->pool[fuzz_below(g, g->count)];
        if (krs_node_dtype(y) == dtype && broadcasts(s, krs_node_shape(y)))
            return y;
    }
    if (fuzz_chance(g, 25) && dtype != KRS_BOOL)
        return krs_scalar(g->graph, dtype, (double)fuzz_below(g, 5) * 0.5);
    int drop = s.rank && fuzz_chance(g, 30) ? fuzz_below(g, s.rank + 1) : 0;
    krs_shape to = {s.rank - drop, {0}};
    for (int a = 0; a < to.rank; a++)
        to.dim[a] = fuzz_chance(g, 25) ? 1 : s.dim[a + drop];
    return fuzz_leaf(g, dtype, to);
}

krs_index
fuzz_variable(fuzz_gen *g, int64_t low, int64_t high)
{
    char name[16];
    snprintf(name, sizeof name, "v%d", g->vars++);
    if (fuzz_chance(g, 20) && high > low) /* an affine expression */
        return krs_index_plus(
            krs_index_times(krs_var(g->graph, name, -high, -low), -1),
            KRS_INDEX(0));
    return krs_var(g->graph, name, low, high);
}

/* valid indices into an axis of a size above 0 */
krs_node
fuzz_index_of(fuzz_gen *g, krs_shape shape, bool any_shape, int64_t size)
{
    krs_node i = KRS_NONE;
    for (int tries = any_shape && fuzz_chance(g, 50) ? 10 : 0; tries > 0;
         tries--) {
        i = g->pool[fuzz_below(g, g->count)];
        if (fuzz_indices(krs_node_dtype(i)))
            break;
        i = KRS_NONE;
    }
    if (!i.graph)
        i = fuzz_leaf(g, fuzz_chance(g, 50) ? KRS_I64 : KRS_I32, shape);
    return krs_clamp(i, 0, (double)(size - 1));
}

krs_axes
fuzz_some_axes(fuzz_gen *g, int rank)
{
    krs_axes axes = {0, {0}};
    if (fuzz_chance(g, 20))
        return KRS_ALL_AXES;
    for (int a = 0; a < rank; a++)
        if (fuzz_chance(g, 45))
            axes.axis[axes.count++] = fuzz_chance(g, 30) ? a - rank : a;
    return axes;
}

krs_axes
fuzz_random_order(fuzz_gen *g, int rank)
{
    krs_axes axes = {rank, {0}};
    for (int a = 0; a < rank; a++)
        axes.axis[a] = a;
    for (int a = rank - 1; a > 0; a--) {
        int b = fuzz_below(g, a + 1);
        int32_t t = axes.axis[a];
        axes.axis[a] = axes.axis[b];
        axes.axis[b] = t;
    }
    return axes;
}

/* an axis of x, or -1 if it has none */
int
fuzz_some_axis(fuzz_gen *g, krs_node x)
{
    int rank = krs_node_shape(x).rank;
    return rank ? fuzz_below(g, rank) : -1;
}

/* ---- a graph ---- */

static void
add_output(fuzz_case *c, krs_node x)
{
    if (krs_node_is_valid(x) && c->outputs < FUZZ_OUTPUTS)
        c->output[c->outputs++] = x;
}

/* Updates of states by nodes of their shape, and two states exchanged. */
static bool
add_updates(fuzz_gen *g, fuzz_case *c)
{
    bool any_update = false;
    krs_node a = krs_state(g->graph, "left", KRS_F32, KRS_SHAPE(3, 2));
    krs_node b = krs_state(g->graph, "right", KRS_F32, KRS_SHAPE(3, 2));
    if (fuzz_chance(g, 20)) {
        add_output(c, krs_update(a, b));
        add_output(c, krs_update(b, fuzz_chance(g, 50) ? a : krs_add(a, b)));
        any_update = true;
    }
    for (int i = 0; i < g->count && c->outputs < 6; i++) {
        krs_node x = g->pool[i];
        const krsi_node *n = krsi_get(x);
        char name[16];
        if (n->live_axes || !fuzz_chance(g, 4))
            continue;
        snprintf(name, sizeof name, "s%d", i);
        krs_node s =
            krs_state(g->graph, name, (krs_dtype)n->dtype, krs_node_shape(x));
        if (fuzz_chance(g, 30) && n->rank) {
            krs_index start[KRS_MAX_RANK] = {{0}};
            x = krs_set_slice(s, x, start);
        }
        add_output(c, krs_update(s, x));
        any_update = true;
    }
    return any_update;
}

static bool
add_gradient(fuzz_gen *g, fuzz_case *c)
{
    krs_node wrt[3], grad[3];
    size_t count = 0;
    krs_node y = KRS_NONE;
    for (int tries = 0; tries < 20; tries++) {
        krs_node x = g->pool[g->count - 1 - fuzz_below(g, (g->count + 1) / 2)];
        if (krs_node_dtype(x) == KRS_F32 && krsi_get(x)->count)
            y = x;
    }
    for (uint32_t id = krs_graph_size(g->graph); id > 0 && count < 3; id--) {
        krs_node x = krs_graph_node(g->graph, id);
        if (*krs_node_name(x) && krs_dtype_is_float(krs_node_dtype(x)) &&
            fuzz_chance(g, 40))
            wrt[count++] = x;
    }
    if (!y.graph || !count || krs_grad(y, wrt, count, grad) != KRS_OK)
        return false;
    for (size_t i = 0; i < count; i++)
        add_output(c, grad[i]);
    return true;
}

static void
forget_refusal(fuzz_gen *g)
{
    g->graph->error = (krs_error){KRS_OK, ""};
    g->graph->open_scan = 0; /* what a refused scan had begun stays behind */
}

void
fuzz_build(uint64_t seed, int most, fuzz_case *out, fuzz_counts *counts)
{
    fuzz_gen g = {.state = fuzz_mix(seed, 7), .graph = krs_graph_new()};
    memset(out, 0, sizeof *out);
    out->seed = seed;
    out->graph = g.graph;
    g.lives = fuzz_chance(&g, 40);
    bool large = seed % 31 == 0;
    g.leaf_room = large ? 9000 : 400;
    g.room = large ? 20000 : 1536;
    for (int i = 1 + fuzz_below(&g, 3); i > 0; i--)
        fuzz_keep(&g, fuzz_leaf(&g, i == 1 ? KRS_F32 : fuzz_random_dtype(&g),
                                fuzz_random_shape(&g)));
    /* most faults need few nodes, and a small graph costs little */
    int nodes =
        fuzz_chance(&g, 70) ? 3 + fuzz_below(&g, 10) : 10 + fuzz_below(&g, 31);
    if (most && nodes > g.count + most)
        nodes = g.count + most;
    for (int tries = 0; tries < 3 * nodes && g.count < nodes; tries++) {
        krs_node x = fuzz_use(&g);
        counts->asked++;
        counts->refused += x.graph && !x.id;
        forget_refusal(&g);
        fuzz_keep(&g, x);
    }
    add_output(out, g.pool[g.count - 1]);
    for (int i = fuzz_below(&g, 4); i > 0; i--)
        add_output(out, g.pool[fuzz_below(&g, g.count)]);
    if (fuzz_chance(&g, 25))
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
