/* build_leaf.c -- builders of leaves: inputs, states, constants, counters,
 * runtime integers, random numbers; and krs_update.
 */
#include "ir.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

static krs_node
named(krs_place at, krs_graph *g, enum krsi_op op, const char *name,
      krs_dtype dtype, krs_shape shape)
{
    krsi_words words = {.count = 0};
    if (!g)
        return KRS_NONE;
    uint32_t full_name = name && *name ? krsi_scoped_name(g, name) : 0;
    if (full_name == UINT32_MAX) {
        krsi_refuse_memory(g);
        return krsi_poison(g);
    }
    if ((size_t)dtype >= KRS_DTYPE_COUNT || shape.rank < 0 ||
        shape.rank > KRS_MAX_RANK) {
        krsi_refuse(g, at, krsi_ops[op].name, KRS_E_ARGUMENT, NULL,
                    "%s: element type %d, rank %d", name ? name : "",
                    (int)dtype, (int)shape.rank);
        return krsi_poison(g);
    }
    krsi_put_int(&words, full_name);
    krsi_put_int(&words, dtype);
    krsi_put_ints(&words, shape.dim, shape.rank);
    return krsi_build(at, g, op, NULL, 0, &words);
}

krs_node
krs_input_at(krs_place at, krs_graph *g, const char *name, krs_dtype dtype,
             krs_shape shape)
{
    return named(at, g, KRSI_INPUT, name, dtype, shape);
}

krs_node
krs_state_at(krs_place at, krs_graph *g, const char *name, krs_dtype dtype,
             krs_shape shape)
{
    return named(at, g, KRSI_STATE, name, dtype, shape);
}

krs_node
krs_update_at(krs_place at, krs_node state, krs_node value)
{
    const krs_node in[2] = {state, value};
    return krsi_build(at, NULL, KRSI_UPDATE, in, 2, NULL);
}

krs_node
krs_constant_at(krs_place at, krs_graph *g, krs_dtype dtype, krs_shape shape,
                const void *data)
{
    int64_t elements;
    size_t bytes;
    if (!g)
        return KRS_NONE;
    if (shape.rank < 0 || shape.rank > KRS_MAX_RANK ||
        !krs_shape_elements(shape, &elements) ||
        !krs_dtype_bytes(dtype, elements, &bytes) || (!data && bytes)) {
        krsi_refuse(g, at, "constant", KRS_E_SHAPE, NULL,
                    "no data, or a shape whose bytes cannot be counted");
        return krsi_poison(g);
    }
    uint32_t blob = krsi_blob_add(g, bytes ? data : "", bytes);
    if (blob == UINT32_MAX) {
        krsi_refuse_memory(g);
        return krsi_poison(g);
    }
    krsi_words words = {.count = 0};
    krsi_put_int(&words, dtype);
    krsi_put_ints(&words, shape.dim, shape.rank);
    krsi_put_int(&words, blob);
    return krsi_build(at, g, KRSI_CONSTANT, NULL, 0, &words);
}

/* Scalars are rounded to their type when they are built, so that every
 * backend starts from the same value and equal constants are one node. */
krs_node
krsi_scalar(krs_place at, krs_graph *g, krs_dtype dtype, double value)
{
    krsi_words words = {.count = 0};
    uint64_t element = 0;
    if (krs_dtype_class_of(dtype) != KRS_CLASS_BLOCK) {
        krsi_store_double(dtype, &element, 0, value);
        value = krsi_load_double(dtype, &element, 0);
    }
    if (isnan(value))
        value = (double)NAN; /* one NaN, whatever the payload was */
    krsi_put_int(&words, dtype);
    krsi_put_float(&words, value);
    return krsi_build(at, g, KRSI_FULL, NULL, 0, &words);
}

/* Is it a value of the integer type: whole, and within its bounds? */
static bool
is_integer(krs_dtype dtype, double value)
{
    uint64_t element = 0;
    krsi_store_double(dtype, &element, 0, value);
    return krsi_load_double(dtype, &element, 0) == value;
}

krs_node
krs_scalar_at(krs_place at, krs_graph *g, krs_dtype dtype, double value)
{
    if (g && krs_dtype_is_int(dtype) && !is_integer(dtype, value)) {
        krsi_refuse(g, at, "full", KRS_E_RANGE,
                    "cast the other operand to f32 where a fraction is meant",
                    "%g is no %s", value, krs_dtype_name(dtype));
        return krsi_poison(g);
    }
    return krsi_scalar(at, g, dtype, value);
}

krs_node
krs_like_at(krs_place at, krs_node x, double value)
{
    return krsi_get(x) ? krs_scalar_at(at, x.graph, krs_node_dtype(x), value)
                       : krsi_poison(x.graph);
}

krs_node
krs_full_at(krs_place at, krs_graph *g, krs_dtype dtype, krs_shape shape,
            double value)
{
    return krs_expand_at(at, krs_scalar_at(at, g, dtype, value), shape);
}

krs_node
krs_zeros_like_at(krs_place at, krs_node x)
{
    return krsi_expand_like(at, krs_like_at(at, x, 0), x);
}

krs_node
krs_iota_at(krs_place at, krs_graph *g, krs_dtype dtype, krs_shape shape,
            int axis)
{
    krsi_words words = {.count = 0};
    if (axis < 0)
        axis += shape.rank;
    if (shape.rank < 0 || shape.rank > KRS_MAX_RANK) {
        krsi_refuse(g, at, "iota", KRS_E_SHAPE, NULL, "rank %d",
                    (int)shape.rank);
        return krsi_poison(g);
    }
    krsi_put_int(&words, dtype);
    krsi_put_ints(&words, shape.dim, shape.rank);
    krsi_put_int(&words, axis);
    krsi_put_indices(&words, NULL, 0);
    return krsi_build(at, g, KRSI_IOTA, NULL, 0, &words);
}

krs_node
krs_index_node_at(krs_place at, krs_graph *g, krs_index i)
{
    krsi_words words = {.count = 0};
    if (g && (i.terms < 0 || i.terms > KRS_INDEX_TERMS)) {
        krsi_refuse(g, at, "index", KRS_E_RANGE, NULL,
                    "the runtime integer overflows or has more than %d "
                    "variables",
                    KRS_INDEX_TERMS);
        return krsi_poison(g);
    }
    krsi_put_indices(&words, &i, 1);
    return krsi_build(at, g, KRSI_INDEX, NULL, 0, &words);
}

/* The default stream: a hash of the scope path and of how many random
 * operations it has had, so edits elsewhere change nothing. */
static int64_t
automatic_stream(krs_graph *g)
{
    uint32_t scope = krsi_scope_now(g);
    if (!krsi_reserve(&g->stream_count, &g->stream_capacity, (size_t)scope + 1,
                      sizeof *g->stream_count)) {
        krsi_refuse_memory(g);
        return 0;
    }
    while (g->stream_counts <= scope)
        g->stream_count[g->stream_counts++] = 0;
    uint32_t ordinal = g->stream_count[scope]++;
    const char *path = g->string[scope];
    return (int64_t)(XXH3_64bits_withSeed(path, strlen(path), ordinal) >> 32);
}

krs_node
krsi_random_uniform(krs_place at, krs_node seed, krs_node step,
                    krs_node iteration, krs_shape shape, int64_t stream)
{
    const krs_node in[3] = {seed, step, iteration};
    krsi_words words = {.count = 0};
    if (shape.rank < 0 || shape.rank > KRS_MAX_RANK)
        shape.rank = KRS_MAX_RANK;
    krsi_put_ints(&words, shape.dim, shape.rank);
    krsi_put_int(&words, stream);
    return krsi_build(at, NULL, KRSI_RANDOM_UNIFORM, in,
                      iteration.graph ? 3 : 2, &words);
}

krs_node
krs_random_uniform_at(krs_place at, krs_node seed, krs_node step,
                      krs_shape shape, int64_t stream)
{
    if (stream == KRS_STREAM_AUTO && seed.graph)
        stream = automatic_stream(seed.graph);
    krs_node iteration = seed.graph ? krsi_iteration(at, seed.graph) : KRS_NONE;
    return krsi_random_uniform(at, seed, step, iteration, shape, stream);
}

krs_node
krs_dropout_at(krs_place at, krs_node x, double p, krs_node seed, krs_node step,
               int64_t stream)
{
    krsi_words words = {.count = 0};
    if (p == 0 && krsi_get(x))
        return x;
    krs_dtype dtype = krs_node_dtype(x);
    if (krs_dtype_class_of(dtype) == KRS_CLASS_HALF)
        return krs_cast_at(at,
                           krs_dropout_at(at, krs_cast_at(at, x, KRS_F32), p,
                                          seed, step, stream),
                           dtype);
    if (stream == KRS_STREAM_AUTO && x.graph)
        stream = automatic_stream(x.graph);
    krsi_put_float(&words, p);
    krsi_put_int(&words, stream);
    krs_node iteration = x.graph ? krsi_iteration(at, x.graph) : KRS_NONE;
    const krs_node in[4] = {x, seed, step, iteration};
    return krsi_build(at, NULL, KRSI_DROPOUT, in, iteration.graph ? 4 : 3,
                      &words);
}
