/* body.c -- bodies of scans: small closed graphs that nodes share.
 *
 * A body is a graph without inputs, states and updates: what comes from outside
 * are its param nodes. It never changes once it is made, so graphs that are
 * copied share it, and bodies that compute the same are one: krsi_body_add
 * compares them by contents, which makes equal scans one node (node.c).
 *
 * A body may hold scans itself, KRSI_BODY_DEPTH deep at most; that bounds every
 * recursion over bodies. Counting the users is thread-safe, since graphs that
 * share a body may belong to different threads.
 */
#include "ir.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* A node by contents: strings, data and bodies, not their numbers. */
static uint64_t
hash_node(const krs_graph *g, const krsi_node *n, uint64_t seed)
{
    const char *spec = krsi_ops[n->op].attributes;
    krsi_attr attr;
    uint64_t hash =
        XXH3_64bits_withSeed(n->in, n->count * sizeof *n->in, seed + n->op);
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)) != NULL; k++) {
        int words;
        const int64_t *word = krsi_attr_words(n, k, &words);
        if (attr.kind == 's') {
            const char *text = g->string[*word];
            hash = XXH3_64bits_withSeed(text, strlen(text), hash);
        } else if (attr.kind == 'D') {
            hash ^= g->blob[*word].hash * UINT64_C(0x9E3779B97F4A7C15);
        } else if (attr.kind == 'G') {
            hash ^= g->body[*word]->hash * UINT64_C(0x9E3779B97F4A7C15);
        } else {
            hash =
                XXH3_64bits_withSeed(word, (size_t)words * sizeof *word, hash);
        }
    }
    return hash;
}

static bool
equal_attr(const krs_graph *g, const krs_graph *h, char kind, const int64_t *a,
           const int64_t *b, int words)
{
    if (kind == 's')
        return strcmp(g->string[*a], h->string[*b]) == 0;
    if (kind == 'D') {
        const krsi_blob *x = &g->blob[*a], *y = &h->blob[*b];
        return x->hash == y->hash && x->bytes == y->bytes &&
               (!x->bytes || memcmp(x->data, y->data, x->bytes) == 0);
    }
    if (kind == 'G')
        return krsi_body_equal(g->body[*a], h->body[*b]);
    return memcmp(a, b, (size_t)words * sizeof *a) == 0;
}

static bool
equal_nodes(const krs_graph *g, const krs_graph *h, const krsi_node *a,
            const krsi_node *b)
{
    if (a->op != b->op || a->count != b->count || a->words != b->words ||
        (a->count && memcmp(a->in, b->in, a->count * sizeof *a->in)))
        return false;
    const char *spec = krsi_ops[a->op].attributes;
    krsi_attr attr;
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)) != NULL; k++) {
        int words, other;
        const int64_t *x = krsi_attr_words(a, k, &words);
        const int64_t *y = krsi_attr_words(b, k, &other);
        if (words != other || !equal_attr(g, h, attr.kind, x, y, words))
            return false;
    }
    return true;
}

bool
krsi_body_equal(const krsi_body *a, const krsi_body *b)
{
    if (a == b)
        return true;
    if (a->hash != b->hash || a->results != b->results ||
        a->graph->nodes != b->graph->nodes)
        return false;
    for (uint32_t i = 0; i < a->results; i++)
        if (a->result[i] != b->result[i])
            return false;
    for (size_t id = 1; id <= a->graph->nodes; id++)
        if (!equal_nodes(a->graph, b->graph, a->graph->node[id],
                         b->graph->node[id]))
            return false;
    return true;
}

krsi_body *
krsi_body_new(krs_graph *graph, const uint32_t *result, uint32_t results)
{
    krsi_body *body = calloc(1, sizeof *body);
    uint32_t *copy = calloc(results ? results : 1, sizeof *copy);
    if (!body || !copy) {
        free(body);
        free(copy);
        krs_graph_free(graph);
        return NULL;
    }
    if (results)
        memcpy(copy, result, results * sizeof *copy);
    atomic_init(&body->users, 1);
    body->graph = graph;
    body->result = copy;
    body->results = results;
    body->depth = 1;
    for (size_t i = 0; i < graph->bodies; i++)
        if (body->depth <= graph->body[i]->depth)
            body->depth = graph->body[i]->depth + 1;
    body->hash = XXH3_64bits(copy, results * sizeof *copy);
    for (size_t id = 1; id <= graph->nodes; id++)
        body->hash = hash_node(graph, graph->node[id], body->hash);
    return body;
}

void
krsi_body_drop(krsi_body *body)
{
    if (!body || atomic_fetch_sub(&body->users, 1) > 1)
        return;
    krs_graph_free(body->graph); /* and so on, KRSI_BODY_DEPTH deep */
    free(body->result);
    free(body);
}

uint32_t
krsi_body_add(krs_graph *g, krsi_body *body)
{
    for (size_t i = 0; body && i < g->bodies; i++)
        if (krsi_body_equal(g->body[i], body)) {
            krsi_body_drop(body);
            return (uint32_t)i;
        }
    if (!body || !krsi_reserve(&g->body, &g->body_capacity, g->bodies + 1,
                               sizeof *g->body)) {
        krsi_body_drop(body);
        return UINT32_MAX;
    }
    g->body[g->bodies] = body;
    return (uint32_t)g->bodies++;
}

uint32_t
krsi_body_share(krs_graph *g, krsi_body *body)
{
    atomic_fetch_add(&body->users, 1);
    return krsi_body_add(g, body);
}

uint32_t
krsi_body_param(const krsi_body *body, krsi_param_kind kind, uint32_t index)
{
    const krs_graph *g = body->graph;
    for (uint32_t id = 1; id <= g->nodes; id++)
        if (g->node[id]->op == KRSI_PARAM &&
            krsi_int(g->node[id], 0) == (int64_t)kind &&
            krsi_int(g->node[id], 1) == (int64_t)index)
            return id;
    return 0;
}

krsi_loop
krsi_loop_of(const krs_graph *g, const krsi_node *n)
{
    krsi_loop l = {.body = g->body[krsi_int(n, 4)],
                   .length = krsi_int(n, 0),
                   .reverse = krsi_int(n, 1) != 0,
                   .constants = (uint32_t)krsi_int(n, 2),
                   .carries = (uint32_t)krsi_int(n, 3)};
    l.xs = n->count - l.constants - l.carries;
    l.ys = l.body->results - l.carries;
    return l;
}

void
krsi_loop_needs(const krsi_loop *l, bool *needed, bool *room)
{
    const krs_graph *g = l->body->graph;
    for (bool grew = true; grew;) {
        grew = false;
        memset(room, 0, (g->nodes + 1) * sizeof *room);
        for (uint32_t i = 0; i < l->body->results; i++)
            room[l->body->result[i]] |= needed[i];
        for (size_t id = g->nodes; id > 0; id--) {
            const krsi_node *n = g->node[id];
            for (uint32_t k = 0; room[id] && k < n->count; k++)
                room[n->in[k]] = true;
            if (!room[id] || n->op != KRSI_PARAM ||
                krsi_int(n, 0) != KRSI_PARAM_CARRY)
                continue;
            bool *carry = &needed[krsi_int(n, 1)];
            grew |= !*carry;
            *carry = true;
        }
    }
}
