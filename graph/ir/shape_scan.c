/* shape_scan.c -- types and shapes of scans: params, the scan, its results.
 *
 * The rule of the scan is where a body is checked, whoever made it: the
 * builder, a pass, or a text that is not trusted.
 */
#include "shape.h"

bool
krsi_shape_param(krsi_make *m)
{
    const int64_t *dim;
    int64_t kind = attr_int(m, 0), index = attr_int(m, 1);
    int64_t scan = attr_int(m, 2);
    m->dtype = (krs_dtype)attr_int(m, 3);
    m->shape.rank = krsi_attr_ints(m->op, m->word, 4, &dim);
    for (int a = 0; a < m->shape.rank; a++)
        m->shape.dim[a] = dim[a];
    if (index < 0 || index > UINT32_MAX || scan < 0 || scan > UINT32_MAX)
        return REFUSE(m, RANGE, NULL, "number %lld of scan %lld",
                      (long long)index, (long long)scan);
    if (kind == KRSI_PARAM_ITERATION &&
        (index != 0 || m->dtype != KRS_I64 || m->shape.rank != 0))
        return REFUSE(m, SHAPE, NULL, "the iteration is number 0, an i64[]");
    return true;
}

/* Is the param what the scan hands to its body? */
static bool
check_param(krsi_make *m, const krsi_loop *l, const krsi_node *p)
{
    char text[KRSI_TYPE_TEXT], outer[KRSI_TYPE_TEXT];
    int64_t kind = krsi_int(p, 0), i = krsi_int(p, 1);
    if (krsi_int(p, 2) != 0)
        return REFUSE(m, GRAPH, NULL, "its body has a param of another scan");
    if (kind == KRSI_PARAM_ITERATION)
        return true;
    uint32_t first = kind == KRSI_PARAM_CONSTANT ? 0
                     : kind == KRSI_PARAM_CARRY  ? l->constants
                                                 : l->constants + l->carries;
    uint32_t count = kind == KRSI_PARAM_CONSTANT ? l->constants
                     : kind == KRSI_PARAM_CARRY  ? l->carries
                                                 : l->xs;
    if (i >= (int64_t)count)
        return REFUSE(m, RANGE, NULL, "its body takes param %lld of %u",
                      (long long)i, (unsigned)count);
    const krsi_node *x = m->in[first + (uint32_t)i];
    int lead = kind == KRSI_PARAM_X;
    bool same = p->dtype == x->dtype && p->rank + lead == x->rank;
    for (int a = 0; same && a < p->rank; a++)
        same = p->dim[a] == x->dim[a + lead];
    return same || REFUSE(m, SHAPE, NULL, "its body takes %s, operand %u is %s",
                          krsi_type_text(text, p), first + (unsigned)i,
                          krsi_type_text(outer, x));
}

static bool
check_results(krsi_make *m, const krsi_loop *l)
{
    const krs_graph *body = l->body->graph;
    char text[KRSI_TYPE_TEXT], outer[KRSI_TYPE_TEXT];
    for (uint32_t i = 0; i < l->body->results; i++) {
        const krsi_node *r = body->node[l->body->result[i]];
        bool is_block =
            krs_dtype_class_of((krs_dtype)r->dtype) == KRS_CLASS_BLOCK;
        if (r->live_axes || is_block || r->rank == KRS_MAX_RANK)
            return REFUSE(m, UNSUPPORTED, NULL, "result %u of its body is %s",
                          (unsigned)i, krsi_type_text(text, r));
        if (i >= l->carries)
            continue;
        const krsi_node *x = m->in[l->constants + i];
        if (r->dtype != x->dtype || !same_sizes(r, x))
            return REFUSE(m, SHAPE, NULL, "carry %u is %s, its next value %s",
                          (unsigned)i, krsi_type_text(outer, x),
                          krsi_type_text(text, r));
    }
    return true;
}

bool
krsi_shape_scan(krsi_make *m)
{
    krsi_loop l = {.body = m->graph->body[attr_int(m, 4)],
                   .length = attr_int(m, 0)};
    int64_t constants = attr_int(m, 2), carries = attr_int(m, 3);
    char text[KRSI_TYPE_TEXT];
    if (l.length < 0 || constants < 0 || carries < 0 || constants > m->count ||
        carries > m->count - constants || carries > (int64_t)l.body->results ||
        l.body->results == 0)
        return REFUSE(m, RANGE, NULL,
                      "%lld iterations, %lld constants, %lld carries, %u "
                      "results for %d operands",
                      (long long)l.length, (long long)constants,
                      (long long)carries, (unsigned)l.body->results, m->count);
    if (l.body->depth > KRSI_BODY_DEPTH)
        return REFUSE(m, UNSUPPORTED, NULL, "scans stand %d deep in each other",
                      (int)l.body->depth);
    l.constants = (uint32_t)constants;
    l.carries = (uint32_t)carries;
    l.xs = (uint32_t)m->count - l.constants - l.carries;
    for (uint32_t i = l.constants + l.carries; i < (uint32_t)m->count; i++)
        if (m->in[i]->rank == 0 || m->in[i]->dim[0] != l.length)
            return REFUSE(m, SHAPE, "the first axis is that of the iterations",
                          "operand %u is %s where [%lld, ...] is needed",
                          (unsigned)i, krsi_type_text(text, m->in[i]),
                          (long long)l.length);
    const krs_graph *body = l.body->graph;
    for (size_t id = 1; id <= body->nodes; id++) {
        const krsi_node *n = body->node[id];
        if (n->op == KRSI_PARAM && !check_param(m, &l, n))
            return false;
        if (n->op == KRSI_INPUT || n->op == KRSI_STATE || n->op == KRSI_UPDATE)
            return REFUSE(m, UNSUPPORTED, "everything comes in through params",
                          "its body has a node of %s", krsi_ops[n->op].name);
    }
    /* its results are other nodes; itself it is nothing */
    m->dtype = KRS_BOOL;
    m->shape = KRS_SHAPE(0);
    return check_results(m, &l);
}

bool
krsi_shape_result(krsi_make *m)
{
    const krsi_node *scan = m->in[0];
    int64_t i = attr_int(m, 0);
    if (scan->op != KRSI_SCAN)
        return REFUSE(m, GRAPH, NULL, "operand 0 is %s where scan is needed",
                      krsi_ops[scan->op].name);
    krsi_loop l = krsi_loop_of(m->graph, scan);
    if (i < 0 || i >= (int64_t)l.body->results + l.carries)
        return REFUSE(m, RANGE, NULL, "result %lld of %u", (long long)i,
                      (unsigned)(l.body->results + l.carries));
    bool is_history = i >= (int64_t)l.body->results;
    uint32_t of = (uint32_t)i - (is_history ? l.body->results : 0);
    const krsi_node *r = l.body->graph->node[l.body->result[of]];
    int lead = i >= (int64_t)l.carries;
    m->dtype = (krs_dtype)r->dtype;
    m->shape.rank = r->rank + lead;
    m->shape.dim[0] = l.length;
    for (int a = 0; a < r->rank; a++)
        m->shape.dim[a + lead] = r->dim[a];
    return true;
}
