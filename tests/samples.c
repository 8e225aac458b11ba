/* samples.c -- samples by row, and their inputs; see samples.h and
 * samples_leaf.h. */
#include "samples_leaf.h"

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

krs_node
leaf_real(sample *s, krs_shape shape, double low, double high)
{
    sample_leaf *leaf = new_leaf(s, KRS_F32, shape);
    leaf->differentiable = true;
    for (int64_t i = 0; i < leaf->elements; i++)
        leaf->value[i].f =
            low +
            (high - low) * sample_number((uint64_t)s->leaves, (uint64_t)i);
    return leaf->node;
}

krs_node
leaf_away(sample *s, krs_shape shape, double low, double high)
{
    krs_node x = leaf_real(s, shape, low, high);
    sample_leaf *leaf = &s->leaf[s->leaves - 1];
    for (int64_t i = 0; i < leaf->elements; i++)
        if (i % 2 == 0)
            leaf->value[i].f = -leaf->value[i].f;
    return x;
}

krs_node
leaf_spread(sample *s, krs_shape shape, double shift)
{
    krs_node x = leaf_real(s, shape, 0, 1);
    sample_leaf *leaf = &s->leaf[s->leaves - 1];
    int64_t n = leaf->elements;
    for (int64_t i = 0; i < n; i++)
        leaf->value[i].f =
            -1 + 2 * ((double)((i * 7 + 3) % n) + 0.5) / (double)n + shift;
    return x;
}

krs_node
leaf_ints(sample *s, krs_dtype dtype, krs_shape shape, const int *value,
          int count)
{
    sample_leaf *leaf = new_leaf(s, dtype, shape);
    for (int64_t i = 0; i < leaf->elements; i++)
        leaf->value[i].i = value[i % count];
    return leaf->node;
}

krs_index
leaf_var(sample *s, const char *name, int64_t high, int64_t value)
{
    krs_index index = krs_var(s->graph, name, 0, high);
    s->var[index.var[0]] = value;
    return index;
}

krs_node
leaf_live(sample *s, krs_node x, int axis)
{
    int64_t size = krs_node_shape(x).dim[axis];
    return krs_live(x, axis, leaf_var(s, "length", size, size - 1));
}
