/* shape_map.c -- types and shapes of leaves and element-wise operations. */
#include "shape.h"

int
krsi_rule_axis(krsi_make *m, int k, int rank)
{
    int64_t axis = attr_int(m, k);
    if (axis >= 0 && axis < rank)
        return (int)axis;
    REFUSE(m, AXIS, NULL, "axis %lld of a tensor of rank %d", (long long)axis,
           rank);
    return -1;
}

/* result shape from the list attribute k */
static bool
shape_attribute(krsi_make *m, int k)
{
    const int64_t *dim;
    m->shape.rank = krsi_attr_ints(m->op, m->word, k, &dim);
    for (int a = 0; a < m->shape.rank; a++)
        m->shape.dim[a] = dim[a];
    return true;
}

bool
krsi_shape_typed(krsi_make *m)
{
    krs_graph *g = m->graph;
    int64_t name = attr_int(m, 0);
    char type[KRSI_TYPE_TEXT];
    if (name == 0)
        return REFUSE(m, NAME, NULL, "the name is empty");
    if ((size_t)name < g->leaf_names && g->leaf_by_name[name]) {
        const krsi_node *n = g->node[g->leaf_by_name[name]];
        return REFUSE(m, NAME, "names are unique among inputs and states",
                      "%s: already declared as %s %s", g->string[name],
                      krsi_ops[n->op].name, krsi_type_text(type, n));
    }
    m->dtype = (krs_dtype)attr_int(m, 1);
    return shape_attribute(m, 2);
}

bool
krsi_shape_constant(krsi_make *m)
{
    int64_t elements;
    size_t bytes;
    m->dtype = (krs_dtype)attr_int(m, 0);
    shape_attribute(m, 1);
    const krsi_blob *blob = &m->graph->blob[attr_int(m, 2)];
    if (!krs_shape_elements(m->shape, &elements) ||
        !krs_dtype_bytes(m->dtype, elements, &bytes) || bytes != blob->bytes)
        return REFUSE(m, SHAPE, NULL, "%zu bytes of data do not fill the shape",
                      blob->bytes);
    return true;
}

bool
krsi_shape_full(krsi_make *m)
{
    m->dtype = (krs_dtype)attr_int(m, 0);
    if (krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK)
        return REFUSE(m, DTYPE, NULL, "%s has no scalars",
                      krs_dtype_name(m->dtype));
    return true;
}

bool
krsi_shape_iota(krsi_make *m)
{
    m->dtype = (krs_dtype)attr_int(m, 0);
    shape_attribute(m, 1);
    if (m->dtype != KRS_F32 && m->dtype != KRS_I64 && m->dtype != KRS_I32)
        return REFUSE(m, DTYPE, NULL, "%s where i64, i32 or f32 is needed",
                      krs_dtype_name(m->dtype));
    if (krsi_rule_axis(m, 2, m->shape.rank) < 0)
        return false;
    krs_index live;
    int count = krsi_attr_index(m->op, m->word, 3, 0, &live);
    if (count != 0 && count != m->shape.rank)
        return REFUSE(m, SHAPE, NULL, "%d live lengths for rank %d", count,
                      (int)m->shape.rank);
    for (int a = 0; a < count; a++) {
        krsi_attr_index(m->op, m->word, 3, a, &live);
        if (live.terms > 0) {
            m->live[a] = live;
            m->live_axes |= (uint8_t)(1u << a);
        }
    }
    return true;
}

bool
krsi_shape_index(krsi_make *m)
{
    krs_index index;
    int64_t low, high;
    m->dtype = KRS_I64;
    int count = krsi_attr_index(m->op, m->word, 0, 0, &index);
    if (count != 1 || !krsi_index_bounds(m->graph, index, &low, &high))
        return REFUSE(m, RANGE, NULL,
                      "the runtime integer overflows or has more than %d "
                      "variables",
                      KRS_INDEX_TERMS);
    return true;
}

bool
krsi_shape_random(krsi_make *m)
{
    char type[KRSI_TYPE_TEXT];
    static const char *const names[] = {"seed", "step", "iteration"};
    for (int i = 0; i < m->count; i++)
        if (m->in[i]->dtype != KRS_I64 || m->in[i]->rank != 0)
            return REFUSE(m, SHAPE, NULL, "the %s is %s where i64[] is needed",
                          names[i], krsi_type_text(type, m->in[i]));
    m->dtype = KRS_F32;
    shape_attribute(m, 0);
    int64_t stream = attr_int(m, 1);
    if (stream < 0 || stream > UINT32_MAX)
        return REFUSE(m, RANGE, NULL, "stream %lld is outside 0..2^32-1",
                      (long long)stream);
    return true;
}

bool
krsi_shape_update(krsi_make *m)
{
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    const krsi_node *state = m->in[0], *value = m->in[1];
    if (state->op != KRSI_STATE)
        return REFUSE(m, GRAPH, "only a krs_state can be updated",
                      "operand 0 is the result of %s",
                      krsi_ops[state->op].name);
    if (state->dtype != value->dtype || !same_sizes(state, value) ||
        value->live_axes)
        return REFUSE(m, SHAPE, NULL, "%s is %s, its new value %s",
                      m->graph->string[krsi_int(state, 0)],
                      krsi_type_text(a, state), krsi_type_text(b, value));
    result_like(m, 1);
    return true;
}

bool
krsi_shape_same(krsi_make *m)
{
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    for (int i = 1; i < m->count; i++)
        if (!same_sizes(m->in[0], m->in[i]))
            return REFUSE(m, SHAPE, NULL, "shapes differ: %s and %s",
                          krsi_type_text(a, m->in[0]),
                          krsi_type_text(b, m->in[i]));
    result_like(m, 0);
    return true;
}

bool
krsi_shape_first(krsi_make *m)
{
    result_like(m, 0);
    return true;
}

bool
krsi_shape_axis_same(krsi_make *m)
{
    result_like(m, 0);
    return krsi_rule_axis(m, 0, m->shape.rank) >= 0;
}

bool
krsi_shape_compare(krsi_make *m)
{
    bool ok = krsi_shape_same(m);
    m->dtype = KRS_BOOL;
    return ok;
}

bool
krsi_shape_cast(krsi_make *m)
{
    krs_dtype to = (krs_dtype)attr_int(m, 0);
    result_like(m, 0);
    bool from_blocks = krs_dtype_class_of(m->dtype) == KRS_CLASS_BLOCK;
    if (krs_dtype_class_of(to) == KRS_CLASS_BLOCK ||
        (from_blocks && to != KRS_F32))
        return REFUSE(m, DTYPE, NULL,
                      "%s to %s: block-quantised types are cast to f32 alone",
                      krs_dtype_name(m->dtype), krs_dtype_name(to));
    m->dtype = to;
    return true;
}

bool
krsi_shape_where(krsi_make *m)
{
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    if (m->in[0]->dtype != KRS_BOOL)
        return REFUSE(m, DTYPE, NULL,
                      "the condition is %s where bool is "
                      "needed",
                      krsi_type_text(a, m->in[0]));
    if (m->in[1]->dtype != m->in[2]->dtype)
        return REFUSE(m, DTYPE, "types are never promoted; use krs_cast",
                      "element types differ: %s and %s",
                      krsi_type_text(a, m->in[1]), krsi_type_text(b, m->in[2]));
    bool ok = krsi_shape_same(m);
    m->dtype = (krs_dtype)m->in[1]->dtype;
    return ok;
}

bool
krsi_shape_dropout(krsi_make *m)
{
    char type[KRSI_TYPE_TEXT];
    double p = krsi_attr_float(m->op, m->word, 0);
    int64_t stream = attr_int(m, 1);
    result_like(m, 0);
    if (m->dtype != KRS_F32)
        return REFUSE(m, DTYPE, NULL, "operand 0 is %s where a float is needed",
                      krsi_type_text(type, m->in[0]));
    if (!(p >= 0 && p < 1))
        return REFUSE(m, RANGE, NULL, "probability %g is outside [0, 1)", p);
    if (stream < 0 || stream > UINT32_MAX)
        return REFUSE(m, RANGE, NULL, "stream %lld is outside 0..2^32-1",
                      (long long)stream);
    for (int i = 1; i < 3; i++)
        if (m->in[i]->dtype != KRS_I64 || m->in[i]->rank != 0)
            return REFUSE(m, SHAPE, NULL, "the %s is %s where i64[] is needed",
                          i == 2 ? "step" : "seed",
                          krsi_type_text(type, m->in[i]));
    return true;
}
