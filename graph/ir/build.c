/* build.c -- what all builders share: checking handles, broadcasting, casting
 * the storage types, and handing over to krsi_add.
 */
#include "ir.h"

#include <stdlib.h>

bool
krsi_operands_ok(krs_place at, enum krsi_op op, const krs_node *in, int count)
{
    krs_graph *g = NULL;
    for (int i = 0; i < count && !g; i++)
        g = in[i].graph;
    if (!g)
        return false;
    for (int i = 0; i < count; i++) {
        if (in[i].graph == g && in[i].id <= g->nodes) {
            if (in[i].id == 0) {
                /* poison: its cause is recorded already, unless a handle of
                 * id 0 was made by hand */
                krsi_refuse(g, at, krsi_ops[op].name, KRS_E_GRAPH, NULL,
                            "operand %d is poisoned", i);
                return false;
            }
            continue;
        }
        krs_graph *other = in[i].graph;
        if (!other)
            krsi_refuse(g, at, krsi_ops[op].name, KRS_E_GRAPH,
                        "only operands documented as optional may be KRS_NONE",
                        "operand %d is KRS_NONE", i);
        else if (other != g)
            krsi_refuse(g, at, krsi_ops[op].name, KRS_E_GRAPH, NULL,
                        "operand %d belongs to another graph", i);
        else
            krsi_refuse(g, at, krsi_ops[op].name, KRS_E_GRAPH, NULL,
                        "operand %d is not a node of the graph", i);
        return false;
    }
    return true;
}

static krs_node
add(krs_place at, krs_graph *g, enum krsi_op op, const krs_node *in, int count,
    const krsi_words *words)
{
    uint32_t few[8];
    uint32_t *id = few;
    if (count > 8 && !(id = malloc((size_t)count * sizeof *id))) {
        krsi_refuse_memory(g);
        return krsi_poison(g);
    }
    for (int i = 0; i < count; i++)
        id[i] = in[i].id;
    krs_node x = krsi_add(g, at, op, id, count, words ? words->word : NULL,
                          words ? words->count : 0);
    if (id != few)
        free(id);
    return x;
}

/* Rows of types FLOAT, NUMBER and COMPARE compute in f32. Operands that are all
 * of one half type are cast to f32 and the result, if a float, back. */
static bool
is_widened(enum krsi_op op, const krs_node *in, int count)
{
    krsi_types types = krsi_ops[op].types;
    if (count == 0 || count > 8 || types == KRSI_TYPES_ANY ||
        types == KRSI_TYPES_BITS || types == KRSI_TYPES_INT)
        return false;
    krs_dtype dtype = krs_node_dtype(in[0]);
    for (int i = 1; i < count; i++)
        if (krs_node_dtype(in[i]) != dtype)
            return false;
    return krs_dtype_class_of(dtype) == KRS_CLASS_HALF;
}

krs_node
krsi_build(krs_place at, krs_graph *g, enum krsi_op op, const krs_node *in,
           int count, const krsi_words *words)
{
    if (count > 0) {
        for (int i = 0; i < count && !g; i++)
            g = in[i].graph;
        if (!krsi_operands_ok(at, op, in, count))
            return krsi_poison(g);
    }
    if (!g)
        return KRS_NONE;
    if (!is_widened(op, in, count))
        return add(at, g, op, in, count, words);
    krs_dtype half = krs_node_dtype(in[0]);
    krs_node wide[8];
    for (int i = 0; i < count; i++)
        wide[i] = krs_cast_at(at, in[i], KRS_F32);
    krs_node y = krsi_build(at, g, op, wide, count, words);
    return krs_node_dtype(y) == KRS_F32 ? krs_cast_at(at, y, half) : y;
}

/* ---- broadcasting ---- */

static krs_node
expand_words(krs_place at, krs_node x, krs_shape shape, const krs_index *live,
             uint8_t live_axes)
{
    krsi_words words = {.count = 0};
    krs_index lives[KRS_MAX_RANK];
    for (int a = 0; a < shape.rank; a++)
        lives[a] = live_axes >> a & 1 ? live[a] : KRS_INDEX(0);
    krsi_put_ints(&words, shape.dim, shape.rank);
    krsi_put_indices(&words, lives, live_axes ? shape.rank : 0);
    return krsi_build(at, x.graph, KRSI_EXPAND, &x, 1, &words);
}

krs_node
krsi_expand_to(krs_place at, krs_node x, krs_shape shape, const krs_index *live,
               uint8_t live_axes)
{
    const krsi_node *n = krsi_get(x);
    if (!n)
        return krsi_poison(x.graph);
    bool same = n->rank == shape.rank;
    for (int a = 0; same && a < n->rank; a++)
        same = n->dim[a] == shape.dim[a];
    /* an axis of size 1 that becomes live needs its node */
    if (same && (n->live_axes & live_axes) == live_axes)
        return x;
    if (same) {
        uint8_t missing = (uint8_t)(live_axes & ~n->live_axes);
        for (int a = 0; a < n->rank; a++)
            if (missing >> a & 1 && n->dim[a] != 1)
                return x; /* krsi_add refuses: different live lengths */
    }
    return expand_words(at, x, shape, live, live_axes);
}

krs_node
krsi_expand_like(krs_place at, krs_node x, krs_node like)
{
    const krsi_node *n = krsi_get(like);
    return n ? krsi_expand_to(at, x, krs_node_shape(like), n->live,
                              n->live_axes)
             : krsi_poison(x.graph);
}

bool
krsi_broadcast(krs_place at, enum krsi_op op, krs_node *in, int count)
{
    krs_graph *g = in[0].graph;
    krs_shape shape = KRS_SCALAR;
    krs_index live[KRS_MAX_RANK];
    uint8_t live_axes = 0;
    int giver[KRS_MAX_RANK] = {0}; /* operand that gave the size of an axis */
    char a_text[KRSI_TYPE_TEXT], b_text[KRSI_TYPE_TEXT];
    for (int i = 0; i < count; i++)
        if (krsi_get(in[i])->rank > shape.rank)
            shape.rank = krsi_get(in[i])->rank;
    for (int a = 0; a < shape.rank; a++) {
        shape.dim[a] = 1;
        for (int i = 0; i < count; i++) {
            const krsi_node *n = krsi_get(in[i]);
            int from = a - (shape.rank - n->rank);
            if (from < 0)
                continue;
            int64_t size = n->dim[from];
            if (size != 1 && shape.dim[a] != 1 && size != shape.dim[a])
                return krsi_refuse_use(
                    g, at, krsi_ops[op].name, in, count, KRS_E_SHAPE,
                    "sizes must be equal or 1, counted from "
                    "the last axis",
                    "shapes do not broadcast: %s and %s",
                    krsi_type_text(a_text, krsi_get(in[giver[a]])),
                    krsi_type_text(b_text, n));
            if (shape.dim[a] == 1) {
                shape.dim[a] = size;
                giver[a] = i;
            }
            if (n->live_axes >> from & 1 && !(live_axes >> a & 1)) {
                live[a] = n->live[from];
                live_axes |= (uint8_t)(1u << a);
            }
        }
    }
    for (int i = 0; i < count; i++) {
        in[i] = krsi_expand_to(at, in[i], shape, live, live_axes);
        if (!krsi_get(in[i]))
            return false;
    }
    return true;
}

krs_node
krsi_build_map(krs_place at, enum krsi_op op, const krs_node *in, int count,
               const krsi_words *words)
{
    krs_node operand[4];
    krs_graph *g = NULL;
    for (int i = 0; i < count; i++) {
        operand[i] = in[i];
        g = g ? g : in[i].graph;
    }
    if (!krsi_operands_ok(at, op, operand, count) ||
        !krsi_broadcast(at, op, operand, count))
        return krsi_poison(g);
    return krsi_build(at, g, op, operand, count, words);
}

int
krsi_axis(krs_place at, krs_node x, enum krsi_op op, int axis)
{
    int rank = krs_node_shape(x).rank;
    int positive = axis < 0 ? axis + rank : axis;
    if (positive >= 0 && positive < rank)
        return positive;
    char text[KRSI_TYPE_TEXT];
    if (krsi_get(x))
        krsi_refuse(x.graph, at, krsi_ops[op].name, KRS_E_AXIS, NULL,
                    "axis %d of %s, which has rank %d", axis,
                    krsi_type_text(text, krsi_get(x)), rank);
    return -1;
}

krs_node
krsi_axis_count(krs_place at, krs_node x, const int64_t *axes, int count,
                krs_dtype dtype)
{
    const krsi_node *n = krsi_get(x);
    if (!n)
        return krsi_poison(x.graph);
    double fixed = 1;
    krs_node product = KRS_NONE;
    for (int i = 0; i < count; i++) {
        int a = (int)axes[i];
        if (!(n->live_axes >> a & 1)) {
            fixed *= (double)n->dim[a];
            continue;
        }
        krs_node length =
            krs_cast_at(at, krs_index_node_at(at, x.graph, n->live[a]), dtype);
        product = product.graph ? krs_mul_at(at, product, length) : length;
    }
    krs_node scale = krs_scalar_at(at, x.graph, dtype, fixed);
    return product.graph ? krs_mul_at(at, product, scale) : scale;
}

krs_node
krsi_sum_to(krs_place at, krs_node x, krs_node like)
{
    const krsi_node *from = krsi_get(x), *to = krsi_get(like);
    if (!from || !to)
        return krsi_poison(x.graph);
    krs_axes axes = {0, {0}};
    int lead = from->rank - to->rank;
    for (int a = 0; a < from->rank; a++) {
        bool grown =
            a < lead || to->dim[a - lead] != from->dim[a] ||
            ((from->live_axes >> a & 1) && !(to->live_axes >> (a - lead) & 1));
        if (grown)
            axes.axis[axes.count++] = a;
    }
    if (axes.count == 0)
        return x;
    krs_node sum = krsi_reduce(at, KRSI_SUM, x, axes, true);
    return lead ? krs_reshape_at(at, sum, krs_node_shape(like)) : sum;
}
