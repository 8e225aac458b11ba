/* build_pattern.c -- builders that need no row of their own: what can be said
 * with positions, slices and broadcasting, in a line or two.
 */
#include "ir.h"

#include <krs/array.h>

#include <math.h>
#include <stdlib.h>

/* ---- triangles ---- */

/* x where column - row stays on one side of the diagonal, else 0 */
static krs_node
triangle(krs_place at, const char *name, krs_node x, int64_t diagonal,
         bool lower)
{
    krs_shape shape = krs_node_shape(x);
    if (!krsi_operands_ok(at, KRSI_WHERE, &x, 1))
        return krsi_poison(x.graph);
    if (shape.rank < 2) {
        char type[KRSI_TYPE_TEXT];
        krsi_refuse(x.graph, at, name, KRS_E_SHAPE, NULL,
                    "x %s where a matrix [.., M, N] is needed",
                    krsi_type_text(type, krsi_get(x)));
        return krsi_poison(x.graph);
    }
    krs_shape matrix =
        KRS_SHAPE(shape.dim[shape.rank - 2], shape.dim[shape.rank - 1]);
    krs_node row = krs_iota_at(at, x.graph, KRS_I64, matrix, 0);
    krs_node column = krs_iota_at(at, x.graph, KRS_I64, matrix, 1);
    krs_node limit =
        krs_constant_at(at, x.graph, KRS_I64, KRS_SCALAR, &diagonal);
    krs_node beyond = krs_sub_at(at, column, row);
    krs_node kept =
        lower ? krs_le_at(at, beyond, limit) : krs_ge_at(at, beyond, limit);
    return krs_where_at(at, kept, x, krs_like_at(at, x, 0));
}

krs_node
krs_tril_at(krs_place at, krs_node x, int64_t diagonal)
{
    return triangle(at, "tril", x, diagonal, true);
}

krs_node
krs_triu_at(krs_place at, krs_node x, int64_t diagonal)
{
    return triangle(at, "triu", x, diagonal, false);
}

krs_node
krs_eye_at(krs_place at, krs_graph *g, krs_dtype dtype, int64_t rows,
           int64_t columns)
{
    krs_shape matrix = KRS_SHAPE(rows, columns);
    krs_node hit = krs_eq_at(at, krs_iota_at(at, g, KRS_I64, matrix, 0),
                             krs_iota_at(at, g, KRS_I64, matrix, 1));
    return krs_cast_at(at, hit, dtype);
}

krs_node
krs_arange_at(krs_place at, krs_graph *g, krs_dtype dtype, int64_t count,
              double start, double step)
{
    krs_node i = krs_iota_at(at, g, dtype, KRS_SHAPE(count), 0);
    return krs_offset_at(at, krs_scale_at(at, i, step), start);
}

/* ---- order of elements, products of all pairs ---- */

krs_node
krs_roll_at(krs_place at, krs_node x, int axis, int64_t shift)
{
    axis = krsi_axis(at, x, KRSI_SLICE, axis);
    int64_t n = axis < 0 ? 0 : krs_node_shape(x).dim[axis];
    int64_t back = n ? shift % n : 0;
    if (axis < 0)
        return krsi_poison(x.graph);
    if (back == 0)
        return x;
    int64_t split = back > 0 ? n - back : -back; /* what comes first then */
    krs_node parts[2] = {krs_slice_at(at, x, axis, split, n, 1),
                         krs_slice_at(at, x, axis, 0, split, 1)};
    return krs_concat_at(at, parts, 2, axis);
}

krs_node
krs_outer_at(krs_place at, krs_node a, krs_node b)
{
    return krs_mul_at(at, krs_unsqueeze_at(at, a, -1),
                      krs_unsqueeze_at(at, b, -2));
}

/* ---- positions ---- */

/* Angles in 64-bit fixed point, as those of rope: exact to the last place of
 * f32 at any position. */
krs_node
krs_sinusoidal_positions_at(krs_place at, krs_node positions, int64_t width,
                            double base)
{
    enum { MOST = 1 << 15 };
    if (!krsi_operands_ok(at, KRSI_MUL, &positions, 1))
        return krsi_poison(positions.graph);
    if (width < 2 || width % 2 || width > MOST || !(base > 1)) {
        krsi_refuse_use(
            positions.graph, at, "sinusoidal_positions", &positions, 1,
            KRS_E_RANGE, NULL,
            "width %lld, base %g: the width is even and at most %d, "
            "the base above 1",
            (long long)width, base, MOST);
        return krsi_poison(positions.graph);
    }
    double *frequency = malloc((size_t)(width / 2) * sizeof *frequency);
    if (!frequency) {
        krsi_refuse_memory(positions.graph);
        return krsi_poison(positions.graph);
    }
    for (int64_t i = 0; i < width / 2; i++)
        frequency[i] = pow(base, -2.0 * (double)i / (double)width);
    krs_node angle = krs_rope_angles_at(at, positions, frequency,
                                        (int)(width / 2)); /* [.., W/2] */
    free(frequency);
    krs_node waves[2] = {krs_sin_at(at, angle), krs_cos_at(at, angle)};
    krs_shape shape = krs_node_shape(angle);
    if (shape.rank > 0)
        shape.dim[shape.rank - 1] = width;
    return krs_reshape_at(at, krs_stack_at(at, waves, 2, -1), shape);
}

krs_node
krs_alibi_slopes_at(krs_place at, krs_graph *g, int64_t heads)
{
    enum { MOST = 4096 };
    float slope[MOST];
    if (heads < 1 || heads > MOST)
        return krs_graph_fail(g, at, KRS_E_RANGE,
                              "alibi_slopes: %lld heads, expected 1 to %d",
                              (long long)heads, MOST);
    int64_t power = 1;
    while (2 * power <= heads)
        power *= 2;
    for (int64_t h = 0; h < heads; h++) {
        /* beyond the power of two, every other slope of the next one */
        double turn = h < power
                          ? (double)(h + 1) / (double)power
                          : (double)(2 * (h - power) + 1) / (double)(2 * power);
        slope[h] = (float)exp2(-8 * turn);
    }
    return krs_constant_at(at, g, KRS_F32, KRS_SHAPE(heads), slope);
}

/* The bucket of each distance 0 .. max_distance, as one table to look it up. */
static void
fill_buckets(int64_t *bucket, int64_t buckets, int64_t max_distance)
{
    int64_t exact = buckets / 2, logs = buckets - exact;
    for (int64_t d = 0; d <= max_distance; d++) {
        double far = log((double)d / (double)exact) /
                     log((double)max_distance / (double)exact);
        int64_t step = d < exact ? 0 : (int64_t)(far * (double)logs + 1e-9);
        bucket[d] = d < exact                ? d
                    : exact + step < buckets ? exact + step
                                             : buckets - 1;
    }
}

krs_node
krs_relative_buckets_at(krs_place at, krs_node distance, int64_t buckets,
                        int64_t max_distance, krs_sides sides)
{
    enum { MOST = 1 << 20 };
    bool both = sides == KRS_BOTH_SIDES;
    int64_t own = both ? buckets / 2 : buckets; /* of a side */
    if (!krsi_operands_ok(at, KRSI_SUB, &distance, 1))
        return krsi_poison(distance.graph);
    if (own < 2 || (both && buckets % 2) || max_distance <= own / 2 ||
        max_distance > MOST) {
        krsi_refuse_use(
            distance.graph, at, "relative_buckets", &distance, 1, KRS_E_RANGE,
            NULL,
            "%lld buckets up to distance %lld: there are 2 of a side or "
            "more, an even number of both, and half of a side's is "
            "below the distance, which is at most %d",
            (long long)buckets, (long long)max_distance, MOST);
        return krsi_poison(distance.graph);
    }
    int64_t *bucket = malloc((size_t)(max_distance + 1) * sizeof *bucket);
    if (!bucket) {
        krsi_refuse_memory(distance.graph);
        return krsi_poison(distance.graph);
    }
    fill_buckets(bucket, own, max_distance);
    krs_node table = krs_constant_at(at, distance.graph, KRS_I64,
                                     KRS_SHAPE(max_distance + 1), bucket);
    free(bucket);
    krs_node zero = krs_like_at(at, distance, 0);
    krs_node far = both ? krs_abs_at(at, distance)
                        : krs_neg_at(at, krs_minimum_at(at, distance, zero));
    far = krs_minimum_at(at, far,
                         krs_like_at(at, distance, (double)max_distance));
    krs_node y = krs_take_at(at, table, far, 0);
    if (both)
        y = krs_where_at(at, krs_gt_at(at, distance, zero),
                         krs_offset_at(at, y, (double)own), y);
    return y;
}

krs_node
krs_prefix_mask_at(krs_place at, krs_node prefix, int64_t queries, int64_t keys)
{
    krs_shape shape = krs_node_shape(prefix);
    if (!krsi_operands_ok(at, KRSI_LT, &prefix, 1))
        return krsi_poison(prefix.graph);
    if (shape.rank != 1) {
        char type[KRSI_TYPE_TEXT];
        krsi_refuse(prefix.graph, at, "prefix_mask", KRS_E_SHAPE, NULL,
                    "prefix %s where a length a row [B] is needed",
                    krsi_type_text(type, krsi_get(prefix)));
        return krsi_poison(prefix.graph);
    }
    krs_dtype dtype = krs_node_dtype(prefix);
    krs_node query =
        krs_iota_at(at, prefix.graph, dtype, KRS_SHAPE(queries, 1), 0);
    krs_node key = krs_iota_at(at, prefix.graph, dtype, KRS_SHAPE(1, keys), 1);
    krs_node length =
        krs_reshape_at(at, prefix, KRS_SHAPE(shape.dim[0], 1, 1, 1));
    return krs_or_at(at, krs_le_at(at, key, query),
                     krs_lt_at(at, key, length)); /* [B,1,T,S] */
}

/* ---- attention by addition ---- */

krs_node
krs_additive_attention_at(krs_place at, krs_node query, krs_node keys,
                          krs_node values, krs_node wq, krs_node wk, krs_node v,
                          krs_node mask)
{
    krs_node q = krs_matmul_nt_at(at, query, wq); /* [B,T,A] */
    krs_node k = krs_matmul_nt_at(at, keys, wk);  /* [B,S,A] */
    krs_node h = krs_tanh_at(at, krs_add_at(at, krs_unsqueeze_at(at, q, 2),
                                            krs_unsqueeze_at(at, k, 1)));
    krs_node score =
        krs_sum_at(at, krs_mul_at(at, h, v), KRS_AXES(-1)); /* [B,T,S] */
    if (mask.graph && krs_node_dtype(mask) == KRS_BOOL)
        score = krs_where_at(at, mask, score,
                             krs_like_at(at, score, -(double)INFINITY));
    else if (mask.graph)
        score = krs_add_at(at, score, mask);
    return krs_matmul_at(at, krs_softmax_at(at, score, -1), values);
}
