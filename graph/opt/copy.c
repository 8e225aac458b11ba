/* copy.c -- from a graph to a new one, node by node: what passes share.
 *
 * In: a graph, the roots, and what is to become of each node. Out: a new graph
 * with what the roots need, visited in id order, so that operands are there
 * before their users; no recursion, and linear but for what the rule does. A
 * pass that changes nodes is applied to the bodies of scans too, as deep as
 * these nest.
 *
 * Kept: places, scopes, names, data, and the numbers of variables.
 */
#include "opt.h"

#include <stdlib.h>
#include <string.h>

/* ---- one node ---- */

/* The words of a scan, its body being what the pass makes of it. */
static bool
change_body(const krsi_copier *c, const krsi_node *n, krsi_words *out)
{
    const krsi_body *body = krsi_loop_of(c->from, n).body;
    krs_error err;
    krs_graph *made;
    uint32_t *result = calloc(body->results, sizeof *result);
    if (!result)
        return krsi_refuse_memory(c->to);
    krs_status status = c->bodies(body->graph, body->result, body->results,
                                  &made, result, &err);
    uint32_t number = UINT32_MAX;
    if (status == KRS_OK)
        number =
            krsi_body_add(c->to, krsi_body_new(made, result, body->results));
    free(result);
    if (status != KRS_OK && status != KRS_E_MEMORY)
        krs_graph_fail(c->to, KRS_HERE, status, "%s", err.text);
    else if (number == UINT32_MAX)
        krsi_refuse_memory(c->to);
    memcpy(out->word, n->word, n->words * sizeof *n->word);
    out->count = n->words;
    out->word[out->count - 1] = number; /* the body is the last attribute */
    return number != UINT32_MAX;
}

bool
krsi_copier_words(const krsi_copier *c, const krsi_node *n, krsi_words *out)
{
    return n->op == KRSI_SCAN && c->bodies
               ? change_body(c, n, out)
               : krsi_words_copy(c->from, n, c->to, out);
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
             krsi_pass *bodies, const krs_graph *g, const uint32_t *roots,
             size_t count, krs_graph **out, uint32_t *out_roots, krs_error *err)
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
                     .bodies = bodies,
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
    return krsi_copy_by(krsi_copier_add, NULL, "copy", NULL, g, roots, count,
                        out, out_roots, err);
}
