/* fuzz_idioms.c -- random uses of several builders together, as people write
 * them: what an optimiser simplifies, what a gradient computes again, loops.
 */
#include "fuzz_gen.h"

#define H KRS_HERE

/* ---- what an optimiser simplifies ---- */

/* x and one of the constants that rules look for, on either side */
krs_node
fuzz_use_special_constant(fuzz_gen *g)
{
    typedef krs_node binary(krs_place at, krs_node a, krs_node b);
    static binary *const all[] = {krs_add_at, krs_sub_at,     krs_mul_at,
                                  krs_div_at, krs_maximum_at, krs_eq_at,
                                  krs_lt_at,  krs_mul_at,     krs_add_at};
    static const double special[] = {0, -0.0, 1, -1, 2, 4, 0.5, -8, 3, 1e38};
    binary *op = all[fuzz_below(g, 9)], *next = all[fuzz_below(g, 9)];
    krs_node x = fuzz_pick(g, fuzz_numbers, 0);
    krs_node c = krs_like(x, special[fuzz_below(g, 10)]);
    krs_node d = krs_like(x, special[fuzz_below(g, 10)]);
    krs_node y = fuzz_chance(g, 75) ? op(H, x, c) : op(H, c, x);
    if (krs_node_dtype(y) != krs_node_dtype(d))
        return krs_not(y);
    return fuzz_chance(g, 50) ? next(H, y, d) : y;
}

/* signs and choices of signs */
krs_node
fuzz_use_signs(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_numbers, 0);
    krs_node y = fuzz_partner(g, x, krs_node_dtype(x)), n = krs_neg(x);
    switch (fuzz_below(g, 8)) {
    case 0: return krs_add(y, n);
    case 1: return krs_sub(y, n);
    case 2: return krs_mul(n, krs_neg(y));
    case 3: return krs_div(n, krs_neg(y));
    case 4: return krs_abs(n);
    case 5: return krs_neg(krs_scale(x, -3));
    case 6: return krs_maximum(x, krs_maximum(x, y));
    default: return krs_minimum(krs_minimum(x, y), y);
    }
}

krs_node
fuzz_use_truths(fuzz_gen *g)
{
    krs_node c = fuzz_pick(g, fuzz_truths, 0);
    krs_node d = fuzz_partner(g, c, KRS_BOOL);
    krs_node x = fuzz_leaf(g, fuzz_random_dtype(g), krs_node_shape(c));
    krs_node y = fuzz_partner(g, x, krs_node_dtype(x));
    krs_node yes = krs_like(c, 1), no = krs_like(c, 0);
    switch (fuzz_below(g, 6)) {
    case 0: return krs_where(krs_not(c), x, y);
    case 1: return krs_where(c, krs_where(c, x, y), x);
    case 2: return krs_where(c, yes, no);
    case 3: return krs_or(krs_and(c, yes), no);
    case 4: return krs_not(krs_not(krs_xor(c, yes)));
    default: return krs_where(krs_and(d, no), x, y);
    }
}

/* a piece of what pieces were put together to */
krs_node
fuzz_use_pieces(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 1), y;
    krs_shape s = krs_node_shape(x);
    int axis = fuzz_some_axis(g, x);
    int64_t size = s.dim[axis], zero[KRS_MAX_RANK] = {0},
            some[KRS_MAX_RANK] = {0};
    some[axis] = fuzz_below(g, 4);
    krs_index start[KRS_MAX_RANK] = {{0}};
    krs_node part[3] = {krs_slice(x, axis, 0, size / 2, 1),
                        krs_slice(x, axis, size / 2, KRS_END, 1), x};
    switch (fuzz_below(g, 5)) {
    case 0: return krs_concat(part, 2, axis);
    case 1: y = krs_concat(part, 3, axis); break;
    case 2: y = krs_pad(krs_pad(x, some, zero, 1), zero, some, 1); break;
    case 3:
        start[axis] = KRS_INDEX(size / 2);
        y = krs_set_slice(krs_set_slice(x, part[1], start),
                          krs_slice(part[1], axis, 0, KRS_END, 1), start);
        break;
    default: y = krs_slice(x, axis, KRS_END, KRS_END, -1);
    }
    int64_t from = fuzz_below(g, (int)size + 1);
    return krs_slice(y, axis, from, from + 1 + fuzz_below(g, 4),
                     1 + fuzz_below(g, 2));
}

/* what is repeated, reduced again, or read at constant places */
krs_node
fuzz_use_repeated(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_numbers, 1);
    krs_shape s = krs_node_shape(x), more = s;
    int axis = fuzz_some_axis(g, x);
    const int64_t place[] = {2, 1, 0, 1};
    if (s.rank == KRS_MAX_RANK || krsi_get(x)->live_axes)
        return KRS_NONE;
    for (int a = 0; a < s.rank; a++)
        more.dim[a + 1] = s.dim[a];
    more.rank++;
    more.dim[0] = 1 + fuzz_below(g, 4);
    krs_node wide = krs_expand(x, more);
    switch (fuzz_below(g, 6)) {
    case 0: return krs_neg(krs_mul(wide, wide));
    case 1: return krs_sum(wide, KRS_AXES(0));
    case 2: return krs_amax_keep(wide, KRS_AXES(0));
    case 3: return krs_sum(krs_sum(wide, KRS_AXES(0)), KRS_AXES(axis));
    case 4: return krs_slice(wide, axis + 1, 0, 2, 1);
    default:
        if (s.dim[axis] < 3)
            return KRS_NONE;
        return krs_take(x,
                        krs_constant(g->graph, KRS_I64,
                                     KRS_SHAPE(1 + fuzz_below(g, 4)), place),
                        axis);
    }
}

/* ---- what a gradient computes again ---- */

krs_node
fuzz_use_checkpoint(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_any, 0);
    if (fuzz_chance(g, 25))
        return krs_recompute(x);
    krs_node y = g->pool[g->count - 1];
    const krs_node inputs[2] = {x, g->pool[fuzz_below(g, g->count)]};
    return krs_checkpoint(y, inputs, 1 + (size_t)fuzz_below(g, 2));
}

/* ---- loops ---- */

/* a projection and its loss in blocks, or one of its gradients */
krs_node
fuzz_use_linear_loss(fuzz_gen *g)
{
    krs_node x = fuzz_pick(g, fuzz_floats, 2);
    krs_shape s = krs_node_shape(x), lead = s;
    int64_t V = 1 + fuzz_below(g, 9);
    krs_cross_entropy_options o = {sizeof o, (krs_reduction)fuzz_below(g, 3),
                                   fuzz_chance(g, 50) ? -100 : 1,
                                   fuzz_chance(g, 50) ? 0 : 0.25};
    lead.rank--;
    if (krsi_get(x)->live_axes)
        return KRS_NONE;
    const krs_node in[4] = {
        x,
        fuzz_leaf(g, krs_node_dtype(x), KRS_SHAPE(V, s.dim[s.rank - 1])),
        fuzz_index_of(g, lead, false, V),
        fuzz_chance(g, 40) ? fuzz_leaf(g, KRS_F32, KRS_SHAPE(V)) : KRS_NONE,
    };
    krs_node y = krsi_linear_cross_entropy(H, in, &o, 1 + fuzz_below(g, 5));
    if (!krsi_get(y) || fuzz_chance(g, 60))
        return y;
    return krsi_linear_cross_entropy_grad(H, krsi_get(y), in, fuzz_below(g, 2));
}

/* of two values of one type and shape another */
static krs_node
next_value(fuzz_gen *g, krs_node a, krs_node b)
{
    krs_dtype d = krs_node_dtype(a);
    int axis = fuzz_some_axis(g, a);
    if (d == KRS_BOOL)
        return fuzz_chance(g, 50) ? krs_xor(a, b) : krs_and(a, krs_not(b));
    switch (fuzz_below(g, krs_dtype_is_float(d) ? 8 : 5)) {
    case 0: return krs_maximum(krs_neg(a), b);
    case 1: return krs_where(krs_lt(a, b), a, krs_minimum(b, krs_abs(a)));
    case 2: return b;
    case 3: return krs_add(a, b);
    case 4: return axis < 0 ? a : krs_flip(a, axis);
    case 5: return krs_tanh(krs_mul(a, b));
    case 6: return axis < 0 ? krs_sin(b) : krs_softmax(krs_sub(a, b), axis);
    default:
        return krs_add(
            a, krs_mean_keep(b, fuzz_some_axes(g, krs_node_shape(b).rank)));
    }
}

/* Two carries, slices of a tensor, a value from outside, the iteration; now and
 * then a scan in the scan. */
krs_node
fuzz_use_scan(fuzz_gen *g)
{
    krs_node first = fuzz_pick(g, fuzz_any, 0);
    krs_shape s = krs_node_shape(first), all = {s.rank + 1, {0}};
    krs_dtype d = krs_node_dtype(first);
    if (krsi_get(first)->live_axes || s.rank == KRS_MAX_RANK)
        return KRS_NONE;
    all.dim[0] = fuzz_below(g, 5);
    for (int a = 0; a < s.rank; a++)
        all.dim[a + 1] = s.dim[a];
    krs_node xs = fuzz_leaf(g, d, all), other = fuzz_leaf(g, d, s);
    krs_scan scan = krs_scan_begin(g->graph, all.dim[0],
                                   fuzz_chance(g, 50) ? KRS_SCAN_FORWARD
                                                      : KRS_SCAN_REVERSE);
    krs_node h = krs_scan_carry(scan, first), k = krs_scan_carry(scan, other);
    krs_node x = krs_scan_x(scan, xs);
    krs_node y = next_value(g, h, fuzz_chance(g, 50) ? x : k);
    if (fuzz_chance(g, 25)) {
        krs_scan inner = krs_scan_begin(g->graph, 2, KRS_SCAN_FORWARD);
        krs_node m = krs_scan_carry(inner, y);
        krs_scan_next(inner, m, next_value(g, m, x));
        krs_scan_end(inner);
        y = krs_scan_last(inner, m);
    }
    if (fuzz_chance(g, 25) && d != KRS_BOOL)
        y = krs_add(y, krs_cast(krs_scan_iteration(scan), d));
    krs_node z = next_value(g, y, fuzz_chance(g, 30) ? other : k);
    krs_scan_next(scan, h, fuzz_chance(g, 50) ? y : z);
    krs_scan_next(scan, k, fuzz_chance(g, 50) ? h : z);
    krs_scan_keep(scan, z);
    krs_scan_end(scan);
    fuzz_keep(g, krs_scan_last(scan, k));
    fuzz_keep(g, krs_scan_last(scan, h));
    return krs_scan_kept(scan, z);
}
