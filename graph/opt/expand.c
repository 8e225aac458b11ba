/* expand.c -- replace composites by their definitions: all, or those that no
 * kernel family takes (ops.def, column cut).
 *
 * One round copies what the roots need into a new graph, in id order, so that
 * operands are there before their users; where a composite stands, its rule
 * (composite_*.c) builds the expansion instead. A definition may use other
 * composites (cross_entropy uses log_softmax), so rounds repeat until a graph
 * is free of them: as many rounds as definitions nest, each linear.
 *
 * Kept: places, scopes, names, data, and the numbers of variables.
 */
#include "opt.h"

#include <stdlib.h>
#include <string.h>

/* Definitions nest three deep at most; more is a rule that uses itself. */
enum { ROUNDS = 12 };

typedef struct copier {
    const krs_graph *from;
    krs_graph *to;
    uint32_t *id;     /* by id of from: of to; 0 where not needed */
    uint32_t *in;     /* operands of one node, as ids of to */
    krs_node *handle; /* and as handles */
    uint32_t scope;   /* string of from whose scope is open in to */
    krsi_composites composites;
} copier;

/* Does the definition take the place of a node of this row? */
static bool
expands(krsi_composites composites, const krsi_node *n)
{
    const krsi_op_info *row = &krsi_ops[n->op];
    switch (composites) {
    case KRSI_KEEP_COMPOSITES: return false;
    case KRSI_KEEP_FAMILIES: return row->composite && !row->has_family;
    case KRSI_KEEP_PRIMITIVES: return row->composite;
    }
    return false;
}

/* the same attributes with strings and data of the other graph */
static bool
translate(const copier *c, const krsi_node *n, krsi_words *out)
{
    enum krsi_op op = (enum krsi_op)n->op;
    const char *spec = krsi_ops[op].attributes;
    krsi_attr attr;
    out->count = 0;
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)); k++) {
        if (attr.kind == 'f') {
            krsi_put_float(out, krsi_float(n, k));
        } else if (attr.kind == 'I') {
            const int64_t *value;
            int count = krsi_ints(n, k, &value);
            krsi_put_ints(out, value, count);
        } else if (attr.kind == 'X') {
            krs_index value[KRS_MAX_RANK] = {KRS_INDEX(0)};
            int count = krsi_attr_index(op, n->word, k, 0, &value[0]);
            for (int i = 1; i < count; i++)
                value[i] = krsi_index(n, k, i);
            krsi_put_indices(out, value, count);
        } else if (attr.kind == 's' || attr.kind == 'D') {
            const krsi_blob *blob = &c->from->blob[krsi_int(n, k)];
            uint32_t id =
                attr.kind == 's'
                    ? krsi_intern(c->to, c->from->string[krsi_int(n, k)])
                    : krsi_blob_add(c->to, blob->data, blob->bytes);
            if (id == UINT32_MAX)
                return krsi_refuse_memory(c->to);
            krsi_put_int(out, id);
        } else {
            krsi_put_int(out, krsi_int(n, k));
        }
    }
    return true;
}

static void
enter_scope(copier *c, uint32_t scope)
{
    if (scope == c->scope)
        return;
    if (c->scope)
        krs_scope_pop(c->to);
    if (scope)
        krs_scope_push(c->to, "%s", c->from->string[scope]);
    c->scope = scope;
}

/* id in the new graph; 0 with the new graph's error set */
static uint32_t
copy_node(copier *c, uint32_t id)
{
    const krsi_node *n = c->from->node[id];
    krs_place at = {0};
    for (uint32_t k = 0; k < n->count; k++) {
        c->in[k] = c->id[n->in[k]];
        c->handle[k] = krsi_handle(c->to, c->in[k]);
    }
    krsi_node_place(c->from, id, 0, &at);
    enter_scope(c, n->scope);
    if (expands(c->composites, n)) {
        krsi_use use = {at, c->to, n, c->handle, (int)n->count};
        return krsi_expansions[n->op](&use).id;
    }
    krsi_words words;
    if (!translate(c, n, &words))
        return 0;
    return krsi_add(c->to, at, (enum krsi_op)n->op, c->in, (int)n->count,
                    words.word, words.count)
        .id;
}

static bool
copy_vars(const krs_graph *from, krs_graph *to)
{
    for (size_t i = 0; i < from->vars; i++) {
        const krsi_var *v = &from->var[i];
        krs_index made = krs_var(to, from->string[v->name], v->low, v->high);
        if (made.terms != 1 || made.var[0] != (int32_t)i)
            return false;
    }
    return true;
}

void
krsi_mark(const krs_graph *g, const uint32_t *roots, size_t count,
          uint32_t *need)
{
    for (size_t i = 0; i < count; i++)
        need[roots[i]] = 1;
    for (size_t id = g->nodes; id > 0; id--)
        for (uint32_t k = 0; need[id] && k < g->node[id]->count; k++)
            need[g->node[id]->in[k]] = 1;
}

static krs_status
copy_round(copier *c, const uint32_t *roots, size_t count, uint32_t *out_roots,
           krs_error *err)
{
    const krs_graph *g = c->from;
    if (!copy_vars(g, c->to)) {
        KRS_TRY(krs_graph_check(c->to, err));
        return krs_fail(err, KRS_E_INTERNAL, "expand: variables renumbered");
    }
    krsi_mark(g, roots, count, c->id);
    for (uint32_t id = 1; id <= g->nodes; id++) {
        if (!c->id[id])
            continue;
        c->id[id] = copy_node(c, id);
        KRS_TRY(krs_graph_check(c->to, err));
        if (!c->id[id])
            return krs_fail(err, KRS_E_INTERNAL,
                            "expand: %s (node %u) became nothing",
                            krsi_ops[g->node[id]->op].name, (unsigned)id);
    }
    enter_scope(c, 0);
    for (size_t i = 0; i < count; i++)
        out_roots[i] = c->id[roots[i]];
    return KRS_OK;
}

static krs_status
round_of(const krs_graph *g, const uint32_t *roots, size_t count,
         krsi_composites composites, krs_graph **out, uint32_t *out_roots,
         krs_error *err)
{
    size_t operands = 1;
    for (size_t id = 1; id <= g->nodes; id++)
        if (g->node[id]->count > operands)
            operands = g->node[id]->count;
    copier c = {.from = g,
                .to = krs_graph_new(),
                .id = calloc(g->nodes + 1, sizeof *c.id),
                .in = calloc(operands, sizeof *c.in),
                .handle = calloc(operands, sizeof *c.handle),
                .composites = composites};
    krs_status status =
        c.to && c.id && c.in && c.handle
            ? copy_round(&c, roots, count, out_roots, err)
            : krs_fail(err, KRS_E_MEMORY, "expand: no memory for %zu nodes",
                       g->nodes);
    free(c.id);
    free(c.in);
    free(c.handle);
    if (status != KRS_OK) {
        krs_graph_free(c.to);
        return status;
    }
    *out = c.to;
    return KRS_OK;
}

krs_status
krsi_copy(const krs_graph *g, const uint32_t *roots, size_t count,
          krs_graph **out, uint32_t *out_roots, krs_error *err)
{
    return round_of(g, roots, count, KRSI_KEEP_COMPOSITES, out, out_roots, err);
}

static bool
is_expanded(const krs_graph *g, krsi_composites composites)
{
    for (size_t id = 1; id <= g->nodes; id++)
        if (expands(composites, g->node[id]))
            return false;
    return true;
}

static krs_status
expand_rounds(const krs_graph *g, const uint32_t *roots, size_t count,
              krsi_composites composites, krs_graph **out, uint32_t *out_roots,
              krs_error *err)
{
    krs_graph *last = NULL;
    for (int i = 0; i < ROUNDS; i++) {
        krs_graph *next;
        krs_status status = round_of(last ? last : g, last ? out_roots : roots,
                                     count, composites, &next, out_roots, err);
        krs_graph_free(last);
        if (status != KRS_OK)
            return status;
        last = next;
        if (is_expanded(last, composites)) {
            *out = last;
            return KRS_OK;
        }
    }
    krs_graph_free(last);
    return krs_fail(err, KRS_E_INTERNAL,
                    "expand: composites are left after %d rounds", ROUNDS);
}

krs_status
krsi_expand(const krs_graph *g, const uint32_t *roots, size_t count,
            krs_graph **out, uint32_t *out_roots, krs_error *err)
{
    return expand_rounds(g, roots, count, KRSI_KEEP_PRIMITIVES, out, out_roots,
                         err);
}

krs_status
krsi_expand_to_families(const krs_graph *g, const uint32_t *roots, size_t count,
                        krs_graph **out, uint32_t *out_roots, krs_error *err)
{
    return expand_rounds(g, roots, count, KRSI_KEEP_FAMILIES, out, out_roots,
                         err);
}
