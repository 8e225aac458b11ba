/* copy.c -- from a graph to a new one, node by node: what passes share.
 *
 * In: a graph, the roots, and what is to become of each node. Out: a new graph
 * with what the roots need, visited in id order, so that operands are there
 * before their users; no recursion, and linear but for what the rule does.
 *
 * Kept: places, scopes, names, data, and the numbers of variables.
 */
#include "opt.h"

#include <stdlib.h>

/* ---- one node ---- */

bool
krsi_copier_words(const krsi_copier *c, const krsi_node *n, krsi_words *out)
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

uint32_t
krsi_copier_add(krsi_copier *c, uint32_t id)
{
    const krsi_node *n = c->from->node[id];
    krs_place at;
    krsi_words words;
    uint32_t made = 0;
    if (!krsi_copier_words(c, n, &words))
        return 0;
    /* once for each place: an equal node keeps a further one */
    for (int i = 0; krsi_node_place(c->from, id, i, &at); i++)
        made = krsi_add(c->to, at, (enum krsi_op)n->op, c->in, (int)n->count,
                        words.word, words.count)
                   .id;
    return made;
}

static void
enter_scope(krsi_copier *c, uint32_t scope)
{
    if (scope == c->scope)
        return;
    if (c->scope)
        krs_scope_pop(c->to);
    if (scope)
        krs_scope_push(c->to, "%s", c->from->string[scope]);
    c->scope = scope;
}

/* ---- a graph ---- */

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
copy_all(krsi_copier *c, const uint32_t *roots, size_t count,
         uint32_t *out_roots, krs_error *err)
{
    const krs_graph *g = c->from;
    if (!copy_vars(g, c->to)) {
        KRS_TRY(krs_graph_check(c->to, err));
        return krs_fail(err, KRS_E_INTERNAL, "%s: variables renumbered",
                        c->pass);
    }
    krsi_mark(g, roots, count, c->id);
    for (uint32_t id = 1; id <= g->nodes; id++) {
        const krsi_node *n = g->node[id];
        if (!c->id[id])
            continue;
        for (uint32_t k = 0; k < n->count; k++)
            c->in[k] = c->id[n->in[k]];
        enter_scope(c, n->scope);
        c->id[id] = c->rule(c, id);
        KRS_TRY(krs_graph_check(c->to, err));
        if (!c->id[id])
            return krs_fail(err, KRS_E_INTERNAL,
                            "%s: %s (node %u) became nothing", c->pass,
                            krsi_ops[n->op].name, (unsigned)id);
    }
    enter_scope(c, 0);
    for (size_t i = 0; i < count; i++)
        out_roots[i] = c->id[roots[i]];
    return KRS_OK;
}

krs_status
krsi_copy_by(krsi_copy_rule *rule, void *context, const char *pass,
             const krs_graph *g, const uint32_t *roots, size_t count,
             krs_graph **out, uint32_t *out_roots, krs_error *err)
{
    size_t operands = 1;
    for (size_t id = 1; id <= g->nodes; id++)
        if (g->node[id]->count > operands)
            operands = g->node[id]->count;
    krsi_copier c = {.from = g,
                     .to = krs_graph_new(),
                     .id = calloc(g->nodes + 1, sizeof *c.id),
                     .in = calloc(operands, sizeof *c.in),
                     .most_operands = operands,
                     .pass = pass,
                     .rule = rule,
                     .context = context};
    krs_status status =
        c.to && c.id && c.in
            ? copy_all(&c, roots, count, out_roots, err)
            : krs_fail(err, KRS_E_MEMORY, "%s: no memory for %zu nodes", pass,
                       g->nodes);
    free(c.id);
    free(c.in);
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
    return krsi_copy_by(krsi_copier_add, NULL, "copy", g, roots, count, out,
                        out_roots, err);
}
