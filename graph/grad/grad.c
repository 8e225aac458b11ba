/* grad.c -- reverse-mode differentiation, as graph code.
 *
 * In:  a node y, nodes to differentiate by, one graph.
 * Out: cotangent nodes in the same graph, made with the public builders only,
 *      so the result can be printed, optimised and differentiated again.
 *
 * Method: the nodes between wrt and y are visited in descending id, which is
 * reverse topological order (ir.h); each hands its cotangent to its operands
 * by the vjp rule of its row; contributions to one node are added in that
 * order. Linear in the nodes visited, without recursion over the graph.
 *
 * A composite whose row says `expand` is differentiated through its expansion:
 * the same walk over the region between the composite's operands and the
 * expanded result. Such regions nest as deep as composites do (three), not as
 * deep as the graph.
 *
 * Where the walk meets a checkpoint, what lies before it is made again
 * (checkpoint.c), and from then on rules read the copies.
 */
#include "grad.h"

#include <stdlib.h>
#include <string.h>

#define PRIMITIVE(ID, name, min, max, attrs, types, shape, live, vjp, ...) \
    [KRSI_##ID] = krsi_vjp_##vjp,
/* In the table of rules, expand means two things: for the primitive of that
 * name its gradient, for a composite the walk through its expansion. */
#define COMPOSITE(ID, name, min, max, attrs, types, shape, live, vjp, ...) \
    [KRSI_##ID] = composite_vjp_##vjp,
#define composite_vjp_none                 krsi_vjp_none
#define composite_vjp_log1p                krsi_vjp_log1p
#define composite_vjp_expm1                krsi_vjp_expm1
#define composite_vjp_softplus             krsi_vjp_softplus
#define composite_vjp_softmax              krsi_vjp_softmax
#define composite_vjp_log_softmax          krsi_vjp_log_softmax
#define composite_vjp_logsumexp            krsi_vjp_logsumexp
#define composite_vjp_cross_entropy        krsi_vjp_cross_entropy
#define composite_vjp_linear_cross_entropy krsi_vjp_linear_cross_entropy
#define composite_vjp_attention            krsi_vjp_attention
#define composite_vjp_rope                 krsi_vjp_rope
#define composite_vjp_checkpoint           krsi_vjp_checkpoint
#define composite_vjp_expand               NULL
static krsi_vjp_rule *const rules[KRSI_OP_COUNT] = {
#include "../ir/ops.def"
};
#undef PRIMITIVE
#undef COMPOSITE

/* ---- the region between the operands and y ---- */

typedef struct region {
    krs_graph *graph;
    uint32_t *id; /* ascending once collected */
    size_t count, capacity;
    uint32_t *table; /* id -> slot + 1, open addressing */
    size_t table_capacity;
    krs_node *cotangent; /* one a slot; id 0: none yet */
    bool *depends;       /* on something in wrt */
    uint32_t *again;     /* by id: copy that rules read instead; 0: none. NULL
                            before the first checkpoint */
    /* what the differentiation is asked for; bounds: not beyond these */
    const krs_node *wrt, *bound;
    size_t wrts, bounds;
    krsi_result_cotangent *result; /* of scans that are to be visited */
    size_t results, result_capacity;
} region;

static void
region_free(region *r)
{
    free(r->id);
    free(r->table);
    free(r->cotangent);
    free(r->depends);
    free(r->again);
    free(r->result);
}

static size_t
probe(const region *r, uint32_t id)
{
    size_t mask = r->table_capacity - 1;
    size_t at = (size_t)id * UINT64_C(0x9E3779B97F4A7C15) >> 20;
    for (;; at++) {
        uint32_t slot = r->table[at &= mask];
        if (slot == 0 || r->id[slot - 1] == id)
            return at;
    }
}

static bool
rehash(region *r, size_t capacity)
{
    uint32_t *table = calloc(capacity, sizeof *table);
    if (!table)
        return false;
    free(r->table);
    r->table = table;
    r->table_capacity = capacity;
    for (size_t slot = 0; slot < r->count; slot++)
        r->table[probe(r, r->id[slot])] = (uint32_t)slot + 1;
    return true;
}

/* add an id unless it is there */
static bool
region_add(region *r, uint32_t id)
{
    if ((r->count + 1) * 2 > r->table_capacity &&
        !rehash(r, r->table_capacity ? r->table_capacity * 2 : 32))
        return false;
    size_t at = probe(r, id);
    if (r->table[at])
        return true;
    if (!krsi_reserve(&r->id, &r->capacity, r->count + 1, sizeof *r->id))
        return false;
    r->id[r->count++] = id;
    r->table[at] = (uint32_t)r->count;
    return true;
}

/* slot of an id, or -1 */
static int64_t
slot_of(const region *r, uint32_t id)
{
    return (int64_t)r->table[probe(r, id)] - 1;
}

static int
ascending(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static bool
is_one_of(uint32_t id, const krs_node *wrt, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (wrt[i].id == id)
            return true;
    return false;
}

static bool
is_bound(const region *r, uint32_t id)
{
    return is_one_of(id, r->bound, r->bounds);
}

/* Collect what the seeds' nodes are made of, but not beyond the bounds: the
 * operands of a composite bound its expansion, whatever they are made of. */
static bool
collect(region *r, const krsi_seed *seed, size_t seeds)
{
    bool ok = true;
    for (size_t i = 0; ok && i < seeds; i++)
        ok = region_add(r, seed[i].y.id);
    for (size_t next = 0; ok && next < r->count; next++) {
        if (is_bound(r, r->id[next]))
            continue;
        const krsi_node *n = r->graph->node[r->id[next]];
        for (uint32_t i = 0; ok && i < n->count; i++)
            ok = region_add(r, n->in[i]);
    }
    if (!ok)
        return false;
    qsort(r->id, r->count, sizeof *r->id, ascending);
    memset(r->table, 0, r->table_capacity * sizeof *r->table);
    for (size_t slot = 0; slot < r->count; slot++)
        r->table[probe(r, r->id[slot])] = (uint32_t)slot + 1;
    r->cotangent = calloc(r->count, sizeof *r->cotangent);
    r->depends = calloc(r->count, sizeof *r->depends);
    return r->cotangent && r->depends;
}

static void
mark_dependence(region *r)
{
    for (size_t i = 0; i < r->wrts; i++) {
        int64_t slot = slot_of(r, r->wrt[i].id);
        if (slot >= 0)
            r->depends[slot] = true;
    }
    for (size_t slot = 0; slot < r->count; slot++) {
        if (is_bound(r, r->id[slot]))
            continue; /* its operands are outside */
        const krsi_node *n = r->graph->node[r->id[slot]];
        for (uint32_t i = 0; i < n->count && !r->depends[slot]; i++) {
            int64_t from = slot_of(r, n->in[i]);
            r->depends[slot] = from >= 0 && r->depends[from];
        }
    }
}

/* ---- the walk ---- */

/* A composite without a rule of its own: through its expansion. */
void
krsi_vjp_through_expansion(krsi_vjp *v)
{
    krsi_use use = {v->at, v->graph, v->node, v->in, v->count};
    krs_node expanded = krsi_expansions[v->node->op](&use);
    krsi_seed seed = {expanded, v->g};
    size_t count = (size_t)v->count;
    if (krs_node_is_valid(expanded))
        krsi_differentiate(&seed, 1, v->in, count, v->in, count, v->out);
}

/* Results are numbered in their scan, which has no cotangent as a tensor: keep
 * this one's until the scan is visited, all of whose results come before. */
static bool
keep_result(region *r, size_t slot)
{
    const krsi_node *n = r->graph->node[r->id[slot]];
    if (!krsi_reserve(&r->result, &r->result_capacity, r->results + 1,
                      sizeof *r->result))
        return krsi_refuse_memory(r->graph);
    r->result[r->results++] = (krsi_result_cotangent){
        n->in[0], (uint32_t)krsi_int(n, 0), r->cotangent[slot]};
    r->cotangent[slot_of(r, n->in[0])] = r->cotangent[slot]; /* is visited */
    return true;
}

/* Make what lies before a checkpoint again, unless another one did. */
static bool
pass_checkpoint(region *r, uint32_t id)
{
    krs_graph *g = r->graph;
    uint32_t last = r->id[r->count - 1];
    if (!r->again && !(r->again = calloc((size_t)last + 1, sizeof *r->again)))
        return krsi_refuse_memory(g);
    return r->again[id] || krsi_checkpoint_copy(g, id, r->again);
}

/* Call the rule of one node and add what it gives to its operands. */
static bool
propagate(region *r, size_t slot)
{
    krs_graph *g = r->graph;
    const krsi_node *n = g->node[r->id[slot]];
    if (n->op == KRSI_RESULT)
        return keep_result(r, slot);
    if (n->op == KRSI_CHECKPOINT && !pass_checkpoint(r, r->id[slot]))
        return false;
    uint32_t y = r->id[slot]; /* what the rule reads, of y and operands */
    if (r->again && r->again[y] && n->op != KRSI_CHECKPOINT)
        y = r->again[y];
    krs_node few_in[8], few_out[8];
    bool few_need[8];
    size_t count = n->count;
    krs_node *in = few_in, *out = few_out;
    bool *need = few_need;
    void *many = NULL;
    if (count > 8) {
        if (!(many = malloc(count * (2 * sizeof *in + sizeof *need))))
            return krsi_refuse_memory(g);
        in = many;
        out = in + count;
        need = (bool *)(out + count);
    }
    for (size_t i = 0; i < count; i++) {
        int64_t from = slot_of(r, n->in[i]);
        in[i] = krsi_handle(g, g->node[y]->in[i]);
        need[i] = from >= 0 && r->depends[from];
        out[i] = KRS_NONE;
    }
    krs_place at = {g->string[n->file], (int)n->line};
    krsi_vjp v = {at,
                  g,
                  n,
                  krsi_handle(g, y),
                  in,
                  (int)count,
                  r->cotangent[slot],
                  need,
                  out,
                  r->id[slot],
                  r->result,
                  r->results};
    size_t scope = g->scopes; /* messages name the scope of the forward node */
    g->scope[g->scopes++] = n->scope;
    if (rules[n->op])
        rules[n->op](&v);
    else
        krsi_vjp_through_expansion(&v);
    bool ok = g->error.status == KRS_OK;
    for (size_t i = 0; ok && i < count; i++) {
        if (!need[i] || !out[i].graph)
            continue;
        krs_node *sum = &r->cotangent[slot_of(r, n->in[i])];
        *sum = sum->graph ? krs_add_at(at, *sum, out[i]) : out[i];
        ok = krs_node_is_valid(*sum);
    }
    g->scopes = scope;
    free(many);
    return ok;
}

bool
krsi_differentiate(const krsi_seed *seed, size_t seeds, const krs_node *wrt,
                   size_t count, const krs_node *bounds, size_t bound_count,
                   krs_node *out)
{
    krs_graph *g = seed[0].y.graph;
    region r = {.graph = g,
                .wrt = wrt,
                .wrts = count,
                .bound = bounds,
                .bounds = bound_count};
    /* room for the scope that propagate() pushes, at this level */
    if (!collect(&r, seed, seeds) ||
        !krsi_reserve(&g->scope, &g->scope_capacity, g->scopes + 1,
                      sizeof *g->scope)) {
        region_free(&r);
        return krsi_refuse_memory(g);
    }
    mark_dependence(&r);
    bool ok = true;
    for (size_t i = 0; ok && i < seeds; i++) {
        krs_node *sum = &r.cotangent[slot_of(&r, seed[i].y.id)];
        *sum = sum->graph ? krs_add(*sum, seed[i].g) : seed[i].g;
        ok = krs_node_is_valid(*sum);
    }
    for (size_t slot = r.count; ok && slot-- > 0;)
        if (r.depends[slot] && r.cotangent[slot].graph &&
            !is_bound(&r, r.id[slot]))
            ok = propagate(&r, slot);
    for (size_t i = 0; i < count; i++) {
        int64_t slot = slot_of(&r, wrt[i].id);
        bool is_first = bound_count == 0 || !is_one_of(wrt[i].id, wrt, i);
        out[i] = ok && slot >= 0 && is_first ? r.cotangent[slot] : KRS_NONE;
    }
    region_free(&r);
    return ok;
}

krs_status
krs_grad_at(krs_place at, krs_node y, const krs_node *wrt, size_t count,
            krs_node *grads)
{
    krs_graph *g = y.graph;
    if (count > 0 && (!wrt || !grads)) {
        if (g)
            krsi_refuse(g, at, "grad", KRS_E_ARGUMENT, NULL,
                        "wrt or grads is NULL where %zu nodes are needed",
                        count);
        return KRS_E_ARGUMENT;
    }
    for (size_t i = 0; i < count; i++)
        grads[i] = krsi_poison(g);
    if (!g)
        return KRS_E_GRAPH;
    if (g->error.status != KRS_OK)
        return g->error.status;
    if (!krs_node_is_valid(y) || !krs_dtype_is_float(krs_node_dtype(y))) {
        krsi_refuse(g, at, "grad", KRS_E_DTYPE, NULL,
                    "y is %s where a float is needed",
                    krs_node_is_valid(y) ? krs_dtype_name(krs_node_dtype(y))
                                         : "poisoned");
        return g->error.status;
    }
    for (size_t i = 0; i < count; i++)
        if (wrt[i].graph != g || !krs_node_is_valid(wrt[i]) ||
            !krs_dtype_is_float(krs_node_dtype(wrt[i]))) {
            krsi_refuse(g, at, "grad", KRS_E_GRAPH, NULL,
                        "wrt[%zu] is not a float node of y's graph", i);
            return g->error.status;
        }
    krs_node one = krsi_expand_like(at, krs_like_at(at, y, 1), y);
    krsi_seed seed = {y, one};
    if (krs_node_is_valid(one) &&
        krsi_differentiate(&seed, 1, wrt, count, NULL, 0, grads))
        for (size_t i = 0; i < count; i++)
            if (!grads[i].graph)
                grads[i] = krs_zeros_like_at(at, wrt[i]);
    if (g->error.status != KRS_OK)
        for (size_t i = 0; i < count; i++)
            grads[i] = krsi_poison(g);
    return g->error.status;
}
