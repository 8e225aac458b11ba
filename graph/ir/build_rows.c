/* build_rows.c -- builders of products, gathers, norms, losses, attention.
 *
 * Attributes and options are brought to the words of the row, halves are
 * widened where sums are taken; whether shapes fit is the shape rules' part
 * (shape_rows.c), so that a graph read from text meets the same checks.
 */
#include "ir.h"

#include <math.h>
#include <stdlib.h>

/* ---- products ---- */

/* Leading axes of a product brought to one shape. A matrix on the right of a
 * batch takes all of the batch's rows at once instead of being repeated. */
krs_node
krsi_matmul(krs_place at, krs_node a, krs_node b, bool ta, bool tb)
{
    krsi_words words = {.count = 0};
    krs_node in[2] = {a, b};
    krs_graph *g = a.graph ? a.graph : b.graph;
    if (!krsi_operands_ok(at, KRSI_MATMUL, in, 2))
        return krsi_poison(g);
    krs_shape sa = krs_node_shape(a), sb = krs_node_shape(b);
    krsi_put_int(&words, ta);
    krsi_put_int(&words, tb);
    bool live = krsi_get(a)->live_axes != 0;
    krs_shape rows = KRS_SHAPE(0, 0), lead = sa;
    lead.rank--;
    if (sa.rank > 2 && sb.rank == 2 && !ta && !live &&
        sa.dim[sa.rank - 1] == sb.dim[tb ? 1 : 0] &&
        krs_shape_elements(lead, &rows.dim[0])) {
        rows.dim[1] = sa.dim[sa.rank - 1];
        in[0] = krs_reshape_at(at, a, rows);
        krs_node y = krsi_build(at, g, KRSI_MATMUL, in, 2, &words);
        sa.dim[sa.rank - 1] = sb.dim[tb ? 0 : 1];
        return krs_reshape_at(at, y, sa);
    }
    if (sa.rank < 2 || sb.rank < 2)
        return krsi_build(at, g, KRSI_MATMUL, in, 2, &words); /* refused */
    bool inner =
        sa.dim[sa.rank - (ta ? 2 : 1)] == sb.dim[sb.rank - (tb ? 1 : 2)];
    int rank = sa.rank > sb.rank ? sa.rank : sb.rank;
    krs_index length[KRS_MAX_RANK];
    uint8_t live_axes = 0;
    krs_shape batch = {rank, {0}};
    for (int i = 0; i < rank - 2; i++) {
        int ia = i - (rank - sa.rank), ib = i - (rank - sb.rank);
        int64_t da = ia < 0 ? 1 : sa.dim[ia], db = ib < 0 ? 1 : sb.dim[ib];
        batch.dim[i] = da == 1 ? db : da;
        for (int k = 0; k < 2; k++) {
            const krsi_node *n = krsi_get(k ? b : a);
            int from = k ? ib : ia;
            if (from >= 0 && n->live_axes >> from & 1) {
                length[i] = n->live[from];
                live_axes |= (uint8_t)(1u << i);
            }
        }
    }
    for (int k = 0; k < 2; k++) {
        krs_shape own = k ? sb : sa;
        const krsi_node *n = krsi_get(in[k]);
        uint8_t want = live_axes;
        batch.dim[rank - 2] = own.dim[own.rank - 2];
        batch.dim[rank - 1] = own.dim[own.rank - 1];
        for (int i = 0; i < 2; i++) { /* the matrix axes keep their own */
            int from = own.rank - 2 + i, to = rank - 2 + i;
            if (n->live_axes >> from & 1) {
                length[to] = n->live[from];
                want |= (uint8_t)(1u << to);
            }
        }
        bool fits = inner;
        for (int i = 0; fits && i < own.rank - 2; i++) {
            int64_t size = own.dim[i], to = batch.dim[rank - own.rank + i];
            fits = size == 1 || size == to;
        }
        if (fits) /* else krsi_add refuses with both shapes */
            in[k] = krsi_expand_to(at, in[k], batch, length, want);
    }
    return krsi_build(at, g, KRSI_MATMUL, in, 2, &words);
}

krs_node
krs_matmul_at(krs_place at, krs_node a, krs_node b)
{
    return krsi_matmul(at, a, b, false, false);
}

krs_node
krs_matmul_nt_at(krs_place at, krs_node a, krs_node b)
{
    return krsi_matmul(at, a, b, false, true);
}

krs_node
krs_matmul_tn_at(krs_place at, krs_node a, krs_node b)
{
    return krsi_matmul(at, a, b, true, false);
}

krs_node
krs_linear_at(krs_place at, krs_node x, krs_node weight, krs_node bias)
{
    krs_node y = KRS_NONE;
    if (krs_node_shape(x).rank == 1) /* a vector is a matrix of one row */
        y = krs_squeeze_at(
            at, krs_matmul_nt_at(at, krs_unsqueeze_at(at, x, 0), weight), 0);
    else
        y = krs_matmul_nt_at(at, x, weight);
    return bias.graph ? krs_add_at(at, y, bias) : y;
}

/* ---- gathers ---- */

static krs_node
gather_like(krs_place at, enum krsi_op op, const krs_node *in, int count,
            int axis)
{
    krsi_words words = {.count = 0};
    krs_graph *g = in[0].graph ? in[0].graph : in[1].graph;
    if (!krsi_operands_ok(at, op, in, count))
        return krsi_poison(g);
    axis = krsi_axis(at, in[0], op, axis);
    if (axis < 0)
        return krsi_poison(g);
    krsi_put_int(&words, axis);
    return krsi_build(at, g, op, in, count, &words);
}

/* sums of halves are taken in f32 */
static krs_node
scatter_like(krs_place at, enum krsi_op op, krs_node x, krs_node index,
             krs_node src, int axis)
{
    krs_node in[3] = {x, index, src};
    krs_dtype dtype = krs_node_dtype(x);
    bool half = krs_dtype_class_of(dtype) == KRS_CLASS_HALF &&
                krs_node_dtype(src) == dtype && krsi_get(src);
    if (!half)
        return gather_like(at, op, in, 3, axis);
    in[0] = krs_cast_at(at, x, KRS_F32);
    in[2] = krs_cast_at(at, src, KRS_F32);
    return krs_cast_at(at, gather_like(at, op, in, 3, axis), dtype);
}

krs_node
krs_take_at(krs_place at, krs_node x, krs_node index, int axis)
{
    const krs_node in[2] = {x, index};
    return gather_like(at, KRSI_TAKE, in, 2, axis);
}

krs_node
krs_gather_at(krs_place at, krs_node x, krs_node index, int axis)
{
    const krs_node in[2] = {x, index};
    return gather_like(at, KRSI_GATHER, in, 2, axis);
}

krs_node
krs_index_add_at(krs_place at, krs_node x, krs_node index, krs_node src,
                 int axis)
{
    return scatter_like(at, KRSI_INDEX_ADD, x, index, src, axis);
}

krs_node
krs_scatter_at(krs_place at, krs_node x, krs_node index, krs_node src, int axis)
{
    const krs_node in[3] = {x, index, src};
    return gather_like(at, KRSI_SCATTER, in, 3, axis);
}

krs_node
krs_scatter_add_at(krs_place at, krs_node x, krs_node index, krs_node src,
                   int axis)
{
    return scatter_like(at, KRSI_SCATTER_ADD, x, index, src, axis);
}

krs_node
krs_embedding_at(krs_place at, krs_node weight, krs_node ids, int64_t padding)
{
    const krs_node in[2] = {weight, ids};
    krsi_words words = {.count = 0};
    krsi_put_int(&words, padding);
    return krsi_build(at, NULL, KRSI_EMBEDDING, in, 2, &words);
}

krs_node
krs_one_hot_at(krs_place at, krs_node ids, int64_t classes, krs_dtype dtype)
{
    krsi_words words = {.count = 0};
    krsi_put_int(&words, classes);
    krsi_put_int(&words, dtype);
    return krsi_build(at, NULL, KRSI_ONE_HOT, &ids, 1, &words);
}

/* ---- norms and losses ---- */

krs_node
krs_layer_norm_at(krs_place at, krs_node x, krs_node weight, krs_node bias,
                  double eps)
{
    const krs_node in[3] = {x, weight, bias};
    krsi_words words = {.count = 0};
    krsi_put_float(&words, eps);
    return krsi_build(at, NULL, KRSI_LAYER_NORM, in, bias.graph ? 3 : 2,
                      &words);
}

krs_node
krs_rms_norm_at(krs_place at, krs_node x, krs_node weight, double eps)
{
    const krs_node in[2] = {x, weight};
    krsi_words words = {.count = 0};
    krsi_put_float(&words, eps);
    return krsi_build(at, NULL, KRSI_RMS_NORM, in, 2, &words);
}

bool
krsi_options_ok(krs_place at, krs_node x, enum krsi_op op, size_t given,
                size_t known)
{
    if (given == known)
        return true;
    if (x.graph)
        krsi_refuse_use(x.graph, at, krsi_ops[op].name, &x, 1, KRS_E_ARGUMENT,
                        "set struct_size to sizeof the struct",
                        "options of %zu bytes where %zu are known", given,
                        known);
    return false;
}

/* the options of a loss, or false, recorded */
static bool
read_loss_options(krs_place at, krs_node x, enum krsi_op op,
                  const krs_cross_entropy_options *options,
                  krs_cross_entropy_options *out)
{
    *out = (krs_cross_entropy_options){sizeof *out, KRS_REDUCE_MEAN, -100, 0};
    if (!options)
        return true;
    if (!krsi_options_ok(at, x, op, options->struct_size, sizeof *out))
        return false;
    *out = *options;
    if ((int)out->reduction >= 0 && out->reduction <= KRS_REDUCE_MEAN)
        return true;
    if (x.graph)
        krsi_refuse_use(x.graph, at, krsi_ops[op].name, &x, 1, KRS_E_ARGUMENT,
                        NULL, "reduction %d", (int)out->reduction);
    return false;
}

krs_node
krs_cross_entropy_at(krs_place at, krs_node logits, krs_node target,
                     krs_node weight, const krs_cross_entropy_options *options)
{
    krs_cross_entropy_options o;
    krsi_words words = {.count = 0};
    if (!read_loss_options(at, logits, KRSI_CROSS_ENTROPY, options, &o))
        return krsi_poison(logits.graph);
    if (krs_dtype_class_of(krs_node_dtype(logits)) == KRS_CLASS_HALF)
        logits = krs_cast_at(at, logits, KRS_F32);
    krsi_put_int(&words, o.reduction);
    krsi_put_int(&words, o.ignore_index);
    krsi_put_float(&words, o.label_smoothing);
    const krs_node in[3] = {logits, target, weight};
    return krsi_build(at, NULL, KRSI_CROSS_ENTROPY, in, weight.graph ? 3 : 2,
                      &words);
}

/* ---- a product and its loss ---- */

/* How many of the rows of x w^T to make at once: 0, all of them. Blocks are
 * equal where that makes at most twice as many as needed. */
static int64_t
rows_at_once(krs_node x, krs_node w, krs_node target)
{
    const krsi_node *a = krsi_get(x), *b = krsi_get(w), *t = krsi_get(target);
    int64_t T = 0, V = 0, logits;
    if (!a || !b || !t || b->rank != 2 || a->live_axes || b->live_axes ||
        t->live_axes || krs_dtype_is_float((krs_dtype)t->dtype) ||
        !krs_shape_elements(krs_node_shape(target), &T))
        return 0;
    V = b->dim[0];
    if (!__builtin_mul_overflow(T, V, &logits) && logits <= KRSI_CE_LOGITS)
        return 0;
    int64_t most = V < KRSI_CE_LOGITS ? KRSI_CE_LOGITS / V : 1;
    int64_t least = (T + most - 1) / most; /* blocks */
    /* rows that divide T, in at most twice as many blocks; no more turns than
     * half of `most`, however large T is */
    int64_t fewest = T / (2 * least + 1) + (T % (2 * least + 1) != 0);
    for (int64_t rows = T / least; rows >= fewest; rows--)
        if (T % rows == 0)
            return rows;
    return (T + least - 1) / least;
}

krs_node
krsi_linear_cross_entropy(krs_place at, const krs_node in[4],
                          const krs_cross_entropy_options *options,
                          int64_t block)
{
    krs_cross_entropy_options o;
    krsi_words words = {.count = 0};
    if (!read_loss_options(at, in[0], KRSI_LINEAR_CROSS_ENTROPY, options, &o))
        return krsi_poison(in[0].graph);
    krsi_put_int(&words, o.reduction);
    krsi_put_int(&words, o.ignore_index);
    krsi_put_float(&words, o.label_smoothing);
    krsi_put_int(&words, block);
    return krsi_build(at, NULL, KRSI_LINEAR_CROSS_ENTROPY, in,
                      in[3].graph ? 4 : 3, &words);
}

krs_node
krsi_linear_cross_entropy_grad(krs_place at, const krsi_node *n,
                               const krs_node *in, int of)
{
    krsi_words words = {.count = 0};
    krsi_put_int(&words, of);
    krsi_put_int(&words, krsi_int(n, 1));
    krsi_put_float(&words, krsi_float(n, 2));
    krsi_put_int(&words, krsi_int(n, 3));
    return krsi_build(at, NULL, KRSI_LINEAR_CROSS_ENTROPY_GRAD, in,
                      (int)n->count, &words);
}

krs_node
krs_linear_cross_entropy_at(krs_place at, krs_node x, krs_node weight,
                            krs_node target, krs_node class_weight,
                            const krs_cross_entropy_options *options)
{
    const krs_node in[4] = {x, weight, target, class_weight};
    int64_t block = rows_at_once(x, weight, target);
    if (block > 0)
        return krsi_linear_cross_entropy(at, in, options, block);
    return krs_cross_entropy_at(at, krs_linear_at(at, x, weight, KRS_NONE),
                                target, class_weight, options);
}

/* ---- attention and positions ---- */

krs_node
krs_attention_at(krs_place at, krs_node q, krs_node k, krs_node v,
                 krs_node mask, const krs_attention_options *options)
{
    krs_attention_options o = {sizeof o, 0, false, KRS_INDEX(0), 0};
    krsi_words words = {.count = 0};
    if (options &&
        !krsi_options_ok(at, q, KRSI_ATTENTION, options->struct_size, sizeof o))
        return krsi_poison(q.graph);
    if (options)
        o = *options;
    krs_shape shape = krs_node_shape(q);
    if (o.scale == 0 && shape.rank == 4 && shape.dim[3] > 0)
        o.scale = 1 / sqrt((double)shape.dim[3]);
    if (o.offset.terms < 0 && q.graph) {
        krsi_refuse_use(q.graph, at, "attention", &q, 1, KRS_E_RANGE, NULL,
                        "the offset overflows or has more than %d variables",
                        KRS_INDEX_TERMS);
        return krsi_poison(q.graph);
    }
    krsi_put_float(&words, o.scale);
    krsi_put_int(&words, o.causal);
    krsi_put_indices(&words, &o.offset, 1);
    krsi_put_int(&words, o.window);
    const krs_node in[4] = {q, k, v, mask};
    return krsi_build(at, NULL, KRSI_ATTENTION, in, mask.graph ? 4 : 3, &words);
}

krs_node
krsi_attention_lse(krs_place at, const krsi_node *n, krs_node q, krs_node k,
                   krs_node mask)
{
    const uint32_t in[3] = {q.id, k.id, mask.id};
    return krsi_add(q.graph, at, KRSI_ATTENTION_LSE, in, mask.graph ? 3 : 2,
                    n->word, n->words);
}

krs_node
krsi_attention_grad(krs_place at, const krsi_node *n, const krs_node in[6],
                    krs_node mask)
{
    uint32_t id[7];
    for (int i = 0; i < 6; i++)
        id[i] = in[i].id;
    id[6] = mask.id;
    return krsi_add(in[0].graph, at, KRSI_ATTENTION_GRAD, id,
                    mask.graph ? 7 : 6, n->word, n->words);
}

krs_node
krs_rope_at(krs_place at, krs_node x, krs_node angles, krs_rope_layout layout,
            double scale)
{
    krsi_words words = {.count = 0};
    krs_dtype dtype = krs_node_dtype(x);
    if (krs_dtype_class_of(dtype) == KRS_CLASS_HALF)
        return krs_cast_at(
            at,
            krs_rope_at(at, krs_cast_at(at, x, KRS_F32), angles, layout, scale),
            dtype);
    krsi_put_int(&words, layout);
    krsi_put_float(&words, scale);
    const krs_node in[2] = {x, angles};
    return krsi_build(at, NULL, KRSI_ROPE, in, 2, &words);
}

/* A frequency is kept as a fraction of a turn in 64-bit fixed point, so that
 * position * frequency modulo one turn is a wrapping integer product. */
krs_node
krs_rope_angles_at(krs_place at, krs_node positions, const double *frequencies,
                   int count)
{
    static const double pi = 3.141592653589793238462643383279502884;
    if (!krsi_operands_ok(at, KRSI_MUL, &positions, 1))
        return krsi_poison(positions.graph);
    krs_graph *g = positions.graph;
    if (count < 1) {
        krsi_refuse_use(g, at, "rope_angles", &positions, 1, KRS_E_ARGUMENT,
                        NULL, "%d frequencies", count);
        return krsi_poison(g);
    }
    int64_t *turn = malloc((size_t)count * sizeof *turn);
    if (!turn) {
        krsi_refuse_memory(g);
        return krsi_poison(g);
    }
    for (int i = 0; i < count; i++) {
        double fraction = frequencies[i] / (2 * pi);
        if (!(fabs(fraction) < 0.5)) {
            krsi_refuse_use(g, at, "rope_angles", &positions, 1, KRS_E_RANGE,
                            NULL, "frequency %d is %g, outside (-pi, pi)", i,
                            frequencies[i]);
            free(turn);
            return krsi_poison(g);
        }
        turn[i] = (int64_t)llround(ldexp(fraction, 63)) * 2;
    }
    krs_node table = krs_constant_at(at, g, KRS_I64, KRS_SHAPE(count), turn);
    free(turn);
    if (krs_node_dtype(positions) == KRS_I32)
        positions = krs_cast_at(at, positions, KRS_I64);
    krs_node product = krs_mul_at(
        at, krs_unsqueeze_at(at, positions, krs_node_shape(positions).rank),
        table);
    return krs_scale_at(at, krs_cast_at(at, product, KRS_F32),
                        ldexp(2 * pi, -64));
}
