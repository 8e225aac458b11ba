/* verify.c -- is a graph what ir.h promises?
 *
 * Checks every invariant of every node: operands before users, operand
 * counts, attributes well formed, type, shape and live lengths as the row's
 * rule gives them, one node for equal operations, one leaf for a name,
 * updates of states only, strings in range. Passes call it after they
 * changed something; a failure is a bug of ours, so the status is INTERNAL.
 *
 * The rules are asked again on a shallow copy of the graph, which takes the
 * error that a rule may record, and knows no names, so that a leaf does not
 * meet itself. Time n log n for the check of duplicates.
 */
#include "ir.h"

#include <stdlib.h>
#include <string.h>

static krs_status broken(const krs_graph *g, size_t id, krs_error *err,
                         const char *format, ...) KRS_PRINTF(4, 5);
static krs_status
broken(const krs_graph *g, size_t id, krs_error *err, const char *format, ...)
{
    krsi_string reason = {0};
    va_list args;
    va_start(args, format);
    krsi_string_vformat(&reason, format, args);
    va_end(args);
    const krsi_node *n = id <= g->nodes ? g->node[id] : NULL;
    krs_fail(err, KRS_E_INTERNAL, "verify: node %%%zu %s: %s", id,
             n && n->op < KRSI_OP_COUNT ? krsi_ops[n->op].name : "?",
             reason.failed ? "broken" : reason.text);
    krsi_string_free(&reason);
    return KRS_E_INTERNAL;
}

/* What can be read without trusting anything else of the node. */
static krs_status
verify_form(const krs_graph *g, size_t id, krs_error *err)
{
    const krsi_node *n = g->node[id];
    if (!n || n->op == KRSI_POISON || n->op >= KRSI_OP_COUNT)
        return broken(g, id, err, "operation %d is not a row", n ? n->op : -1);
    const krsi_op_info *info = &krsi_ops[n->op];
    if (n->dtype >= KRS_DTYPE_COUNT || n->rank > KRS_MAX_RANK)
        return broken(g, id, err, "type %d, rank %d", n->dtype, n->rank);
    if (n->count < info->min_count ||
        (info->max_count != 255 && n->count > info->max_count))
        return broken(g, id, err, "%u operands, the row says %d to %d",
                      n->count, info->min_count, info->max_count);
    for (uint32_t i = 0; i < n->count; i++)
        if (n->in[i] < 1 || n->in[i] >= id)
            return broken(g, id, err, "operand %u is %%%u, not before its user",
                          i, n->in[i]);
    if (!krsi_words_valid(g, (enum krsi_op)n->op, n->word, n->words))
        return broken(g, id, err, "attributes are not well formed");
    if (n->scope >= g->strings || n->file >= g->strings)
        return broken(g, id, err, "scope %u or file %u is not a string",
                      n->scope, n->file);
    if (n->more_places >= g->places && n->more_places)
        return broken(g, id, err, "place %u is not one", n->more_places);
    if (n->op == KRSI_UPDATE && g->node[n->in[0]]->op != KRSI_STATE)
        return broken(g, id, err, "it updates %%%u, which is not a state",
                      n->in[0]);
    if (n->hash != krsi_node_hash(n))
        return broken(g, id, err, "the hash is not that of the node");
    return KRS_OK;
}

/* The row's rule, asked again. copy: see above. operand: room. */
static krs_status
verify_type(const krs_graph *g, krs_graph *copy, const krsi_node **operand,
            size_t id, krs_error *err)
{
    const krsi_node *n = g->node[id];
    krs_place at = {g->string[n->file], (int)n->line};
    for (uint32_t i = 0; i < n->count; i++)
        operand[i] = g->node[n->in[i]];
    krsi_make make = {.graph = copy,
                      .at = at,
                      .op = (enum krsi_op)n->op,
                      .count = (int)n->count,
                      .in = operand,
                      .word = n->word};
    if (!krsi_infer(&make))
        return broken(g, id, err, "its rule refuses it: %s", copy->error.text);
    if (make.dtype != (krs_dtype)n->dtype)
        return broken(g, id, err, "type %s, the rule says %s",
                      krs_dtype_name((krs_dtype)n->dtype),
                      krs_dtype_name(make.dtype));
    if (make.shape.rank != n->rank)
        return broken(g, id, err, "rank %d, the rule says %d", n->rank,
                      (int)make.shape.rank);
    if (make.live_axes != n->live_axes || (n->live_axes && !n->live))
        return broken(g, id, err, "live axes 0x%02x, the rule says 0x%02x",
                      n->live_axes, make.live_axes);
    for (int axis = 0; axis < n->rank; axis++) {
        if (make.shape.dim[axis] != n->dim[axis])
            return broken(g, id, err,
                          "axis %d has size %lld, the rule says "
                          "%lld",
                          axis, (long long)n->dim[axis],
                          (long long)make.shape.dim[axis]);
        if (!(n->live_axes >> axis & 1))
            continue;
        int64_t low, high;
        if (!krs_index_equal(make.live[axis], n->live[axis]))
            return broken(g, id, err,
                          "axis %d has another live length than "
                          "the rule says",
                          axis);
        if (!krsi_index_bounds(g, n->live[axis], &low, &high) || low < 0 ||
            high > n->dim[axis])
            return broken(g, id, err,
                          "the live length of axis %d leaves the "
                          "axis",
                          axis);
    }
    return KRS_OK;
}

/* ---- one node for equal operations, one leaf for a name ---- */

static int
by_hash(const void *a, const void *b)
{
    const krsi_node *x = *(const krsi_node *const *)a;
    const krsi_node *y = *(const krsi_node *const *)b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static int
by_name(const void *a, const void *b)
{
    const krsi_node *x = *(const krsi_node *const *)a;
    const krsi_node *y = *(const krsi_node *const *)b;
    int64_t i = krsi_int(x, 0), k = krsi_int(y, 0);
    return i < k ? -1 : i > k;
}

static bool
equal_nodes(const krsi_node *a, const krsi_node *b)
{
    return a->op == b->op && a->count == b->count && a->words == b->words &&
           (!a->count || !memcmp(a->in, b->in, a->count * sizeof *a->in)) &&
           (!a->words || !memcmp(a->word, b->word, a->words * sizeof *a->word));
}

/* A body is a graph too, and its results are nodes of it. */
static krs_status
verify_body(const krsi_body *body, krs_error *err)
{
    for (uint32_t i = 0; i < body->results; i++)
        if (body->result[i] < 1 || body->result[i] > body->graph->nodes)
            return krs_fail(err, KRS_E_INTERNAL,
                            "verify: result %u of a body is %%%u of %zu nodes",
                            (unsigned)i, (unsigned)body->result[i],
                            body->graph->nodes);
    return krsi_verify(body->graph, err); /* KRSI_BODY_DEPTH deep at most */
}

/* node: room for all of them */
static krs_status
verify_unique(const krs_graph *g, const krsi_node **node, krs_error *err)
{
    size_t leaves = 0;
    for (size_t id = 1; id <= g->nodes; id++)
        node[id - 1] = g->node[id];
    qsort(node, g->nodes, sizeof *node, by_hash);
    for (size_t i = 0; i < g->nodes; i++)
        for (size_t k = i + 1; k < g->nodes && node[k]->hash == node[i]->hash;
             k++)
            if (equal_nodes(node[i], node[k]))
                return krs_fail(err, KRS_E_INTERNAL,
                                "verify: two nodes are the same %s",
                                krsi_ops[node[i]->op].name);
    for (size_t id = 1; id <= g->nodes; id++)
        if (g->node[id]->op == KRSI_INPUT || g->node[id]->op == KRSI_STATE)
            node[leaves++] = g->node[id];
    qsort(node, leaves, sizeof *node, by_name);
    for (size_t i = 1; i < leaves; i++)
        if (krsi_int(node[i - 1], 0) == krsi_int(node[i], 0))
            return krs_fail(err, KRS_E_INTERNAL,
                            "verify: two leaves are called \"%s\"",
                            g->string[krsi_int(node[i], 0)]);
    if (leaves != g->leaves)
        return krs_fail(err, KRS_E_INTERNAL,
                        "verify: %zu leaves, the list of names has %zu", leaves,
                        g->leaves);
    return KRS_OK;
}

/* Every node is found in the table from its hash, and nothing else is there. */
static krs_status
verify_table(const krs_graph *g, krs_error *err)
{
    size_t used = 0;
    for (size_t i = 0; i < g->table_capacity; i++) {
        used += g->table[i] != 0;
        if (g->table[i] > g->nodes)
            return krs_fail(err, KRS_E_INTERNAL,
                            "verify: the table holds %%%u of %zu nodes",
                            g->table[i], g->nodes);
    }
    if (used != g->nodes)
        return krs_fail(err, KRS_E_INTERNAL,
                        "verify: the table holds %zu of %zu nodes", used,
                        g->nodes);
    for (size_t id = 1; id <= g->nodes; id++) {
        size_t slot = g->node[id]->hash;
        while (g->table[slot &= g->table_capacity - 1] != id) {
            if (!g->table[slot])
                return broken(g, id, err, "the table does not find it");
            slot++;
        }
    }
    return KRS_OK;
}

static krs_status
verify_all(const krs_graph *g, const krsi_node **room, krs_error *err)
{
    krs_graph copy = *g;
    copy.error = (krs_error){KRS_OK, ""};
    copy.leaf_names = 0;
    for (size_t id = 1; id <= g->nodes; id++)
        KRS_TRY(verify_form(g, id, err));
    for (size_t id = 1; id <= g->nodes; id++)
        KRS_TRY(verify_type(g, &copy, room, id, err));
    KRS_TRY(verify_table(g, err));
    for (size_t i = 0; i < g->bodies; i++)
        KRS_TRY(verify_body(g->body[i], err));
    return verify_unique(g, room, err);
}

krs_status
krsi_verify(const krs_graph *g, krs_error *err)
{
    size_t most = g->nodes; /* a concat may name one node many times */
    for (size_t id = 1; id <= g->nodes; id++)
        if (g->node[id] && g->node[id]->count > most)
            most = g->node[id]->count;
    const krsi_node **room = calloc(most + 1, sizeof *room);
    if (!room)
        return krs_fail(err, KRS_E_MEMORY, "verify: out of memory");
    krs_status status = verify_all(g, room, err);
    free(room);
    return status;
}
