/* vjp_scan.c -- the gradient of a scan: a scan in the other direction.
 *
 * Iteration t computes (h', y_t) = f(c, h_t, x_t), where h' is the next carry,
 * or the last. With the cotangents G of h', g_t of y_t and k_t of the history
 * h_t, the reverse iteration is, d f being taken at (c, h_t, x_t),
 *
 *     (dc_t, dh_t, dx_t) = (G, g_t) d f
 *     G  <- dh_t + k_t              at the end: the cotangent of the first carry
 *     dc <- dc + dc_t               from 0
 *
 * and dx_t is kept. h_t comes from the history, a result that every scan has
 * (it costs memory only where f reads it); the rest of f is computed again. All
 * of it is built with the public builders, so it is differentiated like any
 * other scan. Source: Griewank & Walther 2008, section 3.2, with every state kept.
 */
#include "grad.h"

#include <stdlib.h>
#include <string.h>

typedef struct turning {
    krsi_vjp *v;
    krsi_loop loop;
    krs_scan scan;
    krs_node *given;  /* by result: its cotangent, or KRS_NONE */
    bool *reached;    /* by result of the body: its cotangent is not always 0 */
    krs_node *inside; /* by id of the body: in the graph */
    /* by operand of the scan, in their order */
    krs_node *from; /* what it is in an iteration */
    krs_node *sum;  /* carries that collect: of constants and of carries */
    krs_node *d;    /* cotangent in an iteration */
} turning;

static bool
is_float(krs_node x)
{
    return krs_dtype_is_float(krs_node_dtype(x));
}

static bool
alloc(turning *t)
{
    size_t operands = (size_t)t->v->count + 1;
    size_t results = t->loop.body->results + t->loop.carries + 1;
    t->given = calloc(results, sizeof *t->given);
    t->reached = calloc(results, sizeof *t->reached);
    t->inside = calloc(t->loop.body->graph->nodes + 1, sizeof *t->inside);
    t->from = calloc(operands, sizeof *t->from);
    t->sum = calloc(operands, sizeof *t->sum);
    t->d = calloc(operands, sizeof *t->d);
    return t->given && t->reached && t->inside && t->from && t->sum && t->d;
}

/* The cotangents there are, and which carries they flow to. */
static bool
find_given(turning *t)
{
    const krsi_vjp *v = t->v;
    const krsi_loop *l = &t->loop;
    bool *room = calloc(l->body->graph->nodes + 1, sizeof *room);
    if (!room)
        return krsi_refuse_memory(v->graph);
    for (size_t i = 0; i < v->results; i++)
        if (v->result[i].scan == v->scan)
            t->given[v->result[i].index] = v->result[i].g;
    for (uint32_t i = 0; i < l->body->results + l->carries; i++)
        if (t->given[i].graph)
            t->reached[i < l->body->results ? i : i - l->body->results] = true;
    krsi_loop_needs(l, t->reached, room);
    free(room);
    return true;
}

/* What the body gets in the iteration of the reverse scan. */
static void
make_params(turning *t)
{
    const krsi_vjp *v = t->v;
    const krsi_loop *l = &t->loop;
    for (uint32_t i = 0; i < (uint32_t)v->count; i++) {
        bool is_constant = i < l->constants;
        bool is_x = i >= l->constants + l->carries;
        krs_node x = v->in[i];
        if (is_constant) {
            t->from[i] = x;
        } else {
            if (!is_x)
                x = krsi_result(v->at, v->y,
                                l->body->results + i - l->constants);
            t->from[i] = krs_scan_x_at(v->at, t->scan, x);
        }
        if (is_x || !is_float(v->in[i]) ||
            (is_constant ? !v->need[i] : !t->reached[i - l->constants]))
            continue;
        krs_node first = is_constant ? KRS_NONE : t->given[i - l->constants];
        if (!first.graph)
            first = krs_zeros_like_at(v->at, v->in[i]);
        t->sum[i] = krs_scan_carry_at(v->at, t->scan, first);
    }
}

/* the param of the body, as a node of the graph */
static krs_node
param_of(turning *t, const krsi_node *n)
{
    uint32_t i = (uint32_t)krsi_int(n, 1);
    switch ((krsi_param_kind)krsi_int(n, 0)) {
    case KRSI_PARAM_ITERATION: return krs_scan_iteration_at(t->v->at, t->scan);
    case KRSI_PARAM_CONSTANT: return t->from[i];
    case KRSI_PARAM_CARRY: return t->from[t->loop.constants + i];
    case KRSI_PARAM_X: return t->from[t->loop.constants + t->loop.carries + i];
    }
    return KRS_NONE;
}

/* The body once more, on these params. */
static bool
compute_again(turning *t)
{
    krs_graph *g = t->v->graph;
    const krs_graph *body = t->loop.body->graph;
    uint32_t *in = NULL;
    size_t capacity = 0;
    bool ok = true;
    for (size_t id = 1; ok && id <= body->nodes; id++) {
        const krsi_node *n = body->node[id];
        if (n->op == KRSI_PARAM) {
            t->inside[id] = param_of(t, n);
            ok = krs_node_is_valid(t->inside[id]);
            continue;
        }
        krs_place at = {body->string[n->file], (int)n->line};
        krsi_words words;
        ok = krsi_reserve(&in, &capacity, n->count + 1, sizeof *in) &&
             krsi_words_copy(body, n, g, &words);
        for (uint32_t k = 0; ok && k < n->count; k++)
            in[k] = t->inside[n->in[k]].id;
        if (ok)
            t->inside[id] = krsi_add(g, at, (enum krsi_op)n->op, in,
                                     (int)n->count, words.word, words.count);
        ok = ok && krs_node_is_valid(t->inside[id]);
    }
    free(in);
    return ok ? g->error.status == KRS_OK : krsi_refuse_memory(g);
}

/* Cotangents of the params in this iteration into t->d. */
static bool
turn_body(turning *t)
{
    const krsi_vjp *v = t->v;
    const krsi_loop *l = &t->loop;
    size_t seeds = 0, wrts = 0, count = (size_t)v->count;
    krsi_seed *seed = calloc(l->body->results + 1, sizeof *seed);
    krs_node *wrt = calloc(count + 1, sizeof *wrt);
    krs_node *out = calloc(count + 1, sizeof *out);
    bool ok = seed && wrt && out ? true : krsi_refuse_memory(v->graph);
    for (uint32_t i = 0; ok && i < l->body->results; i++) {
        krs_node y = t->inside[l->body->result[i]], g = KRS_NONE;
        if (i < l->carries)
            g = t->sum[l->constants + i];
        else if (t->given[i].graph && is_float(y))
            g = krs_scan_x_at(v->at, t->scan, t->given[i]);
        if (g.graph)
            seed[seeds++] = (krsi_seed){y, g};
    }
    for (uint32_t i = 0; ok && i < count; i++)
        if (t->sum[i].graph || (i >= l->constants + l->carries && v->need[i] &&
                                is_float(v->in[i])))
            wrt[wrts++] = t->from[i];
    ok = ok && v->graph->error.status == KRS_OK &&
         (seeds == 0 ||
          krsi_differentiate(seed, seeds, wrt, wrts, t->from, count, out));
    for (uint32_t i = 0, k = 0; ok && i < count; i++)
        if (k < wrts && wrt[k].id == t->from[i].id)
            t->d[i] = out[k++];
    free(seed);
    free(wrt);
    free(out);
    return ok;
}

/* What goes on to the next iteration, and what is kept. */
static void
go_on(turning *t)
{
    const krsi_vjp *v = t->v;
    const krsi_loop *l = &t->loop;
    for (uint32_t i = 0; i < (uint32_t)v->count; i++) {
        krs_node d = t->d[i];
        bool is_constant = i < l->constants;
        if (!t->sum[i].graph) {
            if (d.graph)
                krs_scan_keep_at(v->at, t->scan, d);
            continue;
        }
        krs_node more = is_constant ? t->sum[i] : KRS_NONE;
        if (!is_constant && t->given[l->body->results + i - l->constants].graph)
            more = krs_scan_x_at(v->at, t->scan,
                                 t->given[l->body->results + i - l->constants]);
        krs_node next = !d.graph      ? more
                        : !more.graph ? d
                                      : krs_add_at(v->at, more, d);
        if (!next.graph)
            next = krs_zeros_like_at(v->at, v->in[i]);
        krs_scan_next_at(v->at, t->scan, t->sum[i], next);
    }
}

static void
take_results(turning *t)
{
    const krsi_vjp *v = t->v;
    for (uint32_t i = 0; i < (uint32_t)v->count; i++) {
        if (!v->need[i])
            continue;
        if (t->sum[i].graph)
            v->out[i] = krs_scan_last_at(v->at, t->scan, t->sum[i]);
        else if (t->d[i].graph)
            v->out[i] = krs_scan_kept_at(v->at, t->scan, t->d[i]);
    }
}

void
krsi_vjp_scan(krsi_vjp *v)
{
    turning t = {.v = v, .loop = krsi_loop_of(v->graph, v->node)};
    if (!alloc(&t)) {
        krsi_refuse_memory(v->graph);
    } else if (find_given(&t)) {
        t.scan = krs_scan_begin_at(v->at, v->graph, t.loop.length,
                                   t.loop.reverse ? KRS_SCAN_FORWARD
                                                  : KRS_SCAN_REVERSE);
        make_params(&t);
        bool has_result = false;
        if (v->graph->error.status == KRS_OK && compute_again(&t) &&
            turn_body(&t)) {
            go_on(&t);
            for (int i = 0; i < v->count; i++)
                has_result |= t.sum[i].graph || t.d[i].graph;
            if (!has_result) /* nothing depends on what is asked for */
                krs_scan_keep_at(v->at, t.scan,
                                 krs_scan_iteration_at(v->at, t.scan));
            if (krs_scan_end_at(v->at, t.scan) == KRS_OK)
                take_results(&t);
        }
    }
    free(t.given);
    free(t.reached);
    free(t.inside);
    free(t.from);
    free(t.sum);
    free(t.d);
}

/* The walk keeps it for the scan (grad.c). */
void
krsi_vjp_result(krsi_vjp *v)
{
    (void)v;
}
