/* build_scan.c -- scans (krs/scan.h): from nodes between begin and end to a
 * closed body.
 *
 * In: params, which stand for what comes from outside, and whatever the user
 * builds on them, in the graph itself, so that every builder and krs_grad work
 * in a body. Out, at the end: what depends on the params, copied into a graph
 * of its own (body.c), and a scan node. The nodes that were copied stay in the
 * graph, where nothing needs them any more.
 *
 * What the body reads and does not depend on the params becomes a constant, an
 * operand of the scan. Two exceptions keep kernels whole: scalars and counters
 * are copied, and so are plain views, whose operand becomes the constant.
 *
 * The copy is made in the order of first use, so that the same body built twice
 * is the same text, whatever else the graph holds.
 */
#include "ir.h"

#include <stdlib.h>
#include <string.h>

typedef struct pair {
    uint32_t param, outer; /* ids: in the body, and outside */
    uint32_t next;         /* of a carry; 0: not yet */
} pair;

typedef struct pairs {
    pair *at;
    size_t count, capacity;
} pairs;

struct krsi_open_scan {
    krs_place place;
    int64_t length;
    krs_scan_direction direction;
    uint32_t around;    /* number of the scan that was open before; 0: none */
    uint32_t iteration; /* param; 0: not asked for */
    uint32_t first;     /* nodes that were there before */
    pairs carry, x;
    uint32_t *kept;
    size_t kept_count, kept_capacity;
    bool is_open;
    uint32_t node; /* the scan, once it has ended; 0: refused */
};

void
krsi_open_scans_free(krs_graph *g)
{
    for (size_t i = 0; i < g->scans; i++) {
        free(g->scan[i]->carry.at);
        free(g->scan[i]->x.at);
        free(g->scan[i]->kept);
        free(g->scan[i]);
    }
    free(g->scan);
}

/* ---- begin ---- */

krs_scan
krs_scan_begin_at(krs_place at, krs_graph *g, int64_t length,
                  krs_scan_direction direction)
{
    krs_scan none = {g, 0};
    int depth = 0;
    if (!g || g->error.status != KRS_OK)
        return none;
    for (uint32_t n = g->open_scan; n; n = g->scan[n - 1]->around)
        depth++;
    if (length < 0 || depth == KRSI_BODY_DEPTH) {
        if (length < 0)
            krsi_refuse(g, at, "scan", KRS_E_RANGE, NULL,
                        "%lld iterations; there may be 0 or more",
                        (long long)length);
        else
            krsi_refuse(g, at, "scan", KRS_E_UNSUPPORTED,
                        "compute the inner ones outside",
                        "it stands inside %d others, the most there may be",
                        KRSI_BODY_DEPTH);
        return none;
    }
    krsi_open_scan *s = calloc(1, sizeof *s);
    if (!s || !krsi_reserve(&g->scan, &g->scan_capacity, g->scans + 1,
                            sizeof *g->scan)) {
        free(s);
        krsi_refuse_memory(g);
        return none;
    }
    *s = (krsi_open_scan){.place = at,
                          .length = length,
                          .direction = direction,
                          .around = g->open_scan,
                          .first = (uint32_t)g->nodes,
                          .is_open = true};
    g->scan[g->scans++] = s;
    g->open_scan = (uint32_t)g->scans;
    return (krs_scan){g, g->open_scan};
}

/* ---- params ---- */

static const char *const op_name = "scan";

static const char *
file_of(krs_place at)
{
    const char *slash = at.file ? strrchr(at.file, '/') : NULL;
    return slash ? slash + 1 : at.file ? at.file : "?";
}

/* the scan if it is the innermost open one; else NULL, recorded */
static krsi_open_scan *
open_one(krs_place at, krs_scan scan)
{
    krs_graph *g = scan.graph;
    if (!g || g->error.status != KRS_OK)
        return NULL;
    if (scan.number == 0 || scan.number > g->scans) {
        krsi_refuse(g, at, op_name, KRS_E_GRAPH, NULL,
                    "it was never begun in this graph");
        return NULL;
    }
    krsi_open_scan *s = g->scan[scan.number - 1];
    if (!s->is_open)
        krsi_refuse(g, at, op_name, KRS_E_GRAPH, NULL,
                    "it has ended; krs_scan_last and krs_scan_kept give its "
                    "results");
    else if (g->open_scan != scan.number)
        krsi_refuse(g, at, op_name, KRS_E_GRAPH, "end the inner one first",
                    "the scan begun inside it (%s:%d) is still open",
                    file_of(g->scan[g->open_scan - 1]->place),
                    g->scan[g->open_scan - 1]->place.line);
    return s->is_open && g->open_scan == scan.number ? s : NULL;
}

static krs_node
param(krs_place at, krs_scan scan, krsi_param_kind kind, size_t index,
      krs_dtype dtype, krs_shape shape)
{
    krsi_words words = {.count = 0};
    krsi_put_int(&words, kind);
    krsi_put_int(&words, (int64_t)index);
    krsi_put_int(&words, scan.number);
    krsi_put_int(&words, dtype);
    krsi_put_ints(&words, shape.dim, shape.rank);
    return krsi_build(at, scan.graph, KRSI_PARAM, NULL, 0, &words);
}

/* a node of this graph without live lengths, or NULL, recorded */
static const krsi_node *
usable(krs_place at, krs_graph *g, krs_node x)
{
    char text[KRSI_TYPE_TEXT];
    const krsi_node *n = krsi_get(x);
    if (x.graph != g || !n) {
        krsi_refuse(g, at, op_name, KRS_E_GRAPH, NULL,
                    x.graph == g ? "an operand is poisoned"
                    : x.graph    ? "an operand belongs to another graph"
                                 : "an operand is KRS_NONE");
        return NULL;
    }
    if (n->live_axes == 0)
        return n;
    krsi_refuse(g, at, op_name, KRS_E_UNSUPPORTED, NULL,
                "%s has a live length, which cannot pass into or out of a scan",
                krsi_type_text(text, n));
    return NULL;
}

static krs_node
add_pair(krs_graph *g, pairs *to, krs_node made, uint32_t outer)
{
    if (!krsi_get(made))
        return made;
    if (!krsi_reserve(&to->at, &to->capacity, to->count + 1, sizeof *to->at)) {
        krsi_refuse_memory(g);
        return krsi_poison(g);
    }
    to->at[to->count++] = (pair){made.id, outer, 0};
    return made;
}

krs_node
krs_scan_carry_at(krs_place at, krs_scan scan, krs_node initial)
{
    krs_graph *g = scan.graph;
    krsi_open_scan *s = open_one(at, scan);
    const krsi_node *n = s ? usable(at, g, initial) : NULL;
    if (!n)
        return krsi_poison(g);
    if (krs_dtype_class_of((krs_dtype)n->dtype) == KRS_CLASS_BLOCK) {
        krsi_refuse(g, at, op_name, KRS_E_UNSUPPORTED, NULL,
                    "a carry of type %s cannot change",
                    krs_dtype_name((krs_dtype)n->dtype));
        return krsi_poison(g);
    }
    krs_node made = param(at, scan, KRSI_PARAM_CARRY, s->carry.count,
                          (krs_dtype)n->dtype, krs_node_shape(initial));
    return add_pair(g, &s->carry, made, initial.id);
}

krs_node
krs_scan_x_at(krs_place at, krs_scan scan, krs_node xs)
{
    krs_graph *g = scan.graph;
    krsi_open_scan *s = open_one(at, scan);
    const krsi_node *n = s ? usable(at, g, xs) : NULL;
    char text[KRSI_TYPE_TEXT];
    if (!n)
        return krsi_poison(g);
    if (n->rank == 0 || n->dim[0] != s->length) {
        krsi_refuse(g, at, op_name, KRS_E_SHAPE,
                    "the first axis is that of the iterations",
                    "xs is %s where [%lld, ...] is needed",
                    krsi_type_text(text, n), (long long)s->length);
        return krsi_poison(g);
    }
    if (krs_dtype_class_of((krs_dtype)n->dtype) == KRS_CLASS_BLOCK) {
        krsi_refuse(g, at, op_name, KRS_E_UNSUPPORTED,
                    "use it in the body as it is, with krs_take",
                    "blocks of %s have no slices",
                    krs_dtype_name((krs_dtype)n->dtype));
        return krsi_poison(g);
    }
    krs_shape whole = krs_node_shape(xs), part = {.rank = n->rank - 1};
    memcpy(part.dim, whole.dim + 1, (size_t)part.rank * sizeof *part.dim);
    for (size_t i = 0; i < s->x.count; i++)
        if (s->x.at[i].outer == xs.id)
            return krsi_handle(g, s->x.at[i].param);
    krs_node made =
        param(at, scan, KRSI_PARAM_X, s->x.count, (krs_dtype)n->dtype, part);
    return add_pair(g, &s->x, made, xs.id);
}

static krs_node
iteration(krs_place at, krs_graph *g, uint32_t number)
{
    krsi_open_scan *s = g->scan[number - 1];
    krs_node made = param(at, (krs_scan){g, number}, KRSI_PARAM_ITERATION, 0,
                          KRS_I64, KRS_SCALAR);
    s->iteration = made.id;
    return made;
}

krs_node
krs_scan_iteration_at(krs_place at, krs_scan scan)
{
    return open_one(at, scan) ? iteration(at, scan.graph, scan.number)
                              : krsi_poison(scan.graph);
}

krs_node
krsi_iteration(krs_place at, krs_graph *g)
{
    krs_node all = KRS_NONE;
    int64_t inner = 1; /* iterations of the scans inside */
    if (g->error.status != KRS_OK)
        return KRS_NONE;
    for (uint32_t n = g->open_scan; n; n = g->scan[n - 1]->around) {
        krs_node t = iteration(at, g, n);
        if (all.graph)
            t = krs_mul_at(at, t,
                           krs_constant_at(at, g, KRS_I64, KRS_SCALAR, &inner));
        all = all.graph ? krs_add_at(at, t, all) : t;
        inner *= g->scan[n - 1]->length; /* wraps where numbers do */
    }
    return all;
}

/* ---- what goes on and what comes out ---- */

/* the carry of that param, or NULL, recorded */
static pair *
carry_of(krs_place at, krs_graph *g, krsi_open_scan *s, krs_node carry)
{
    for (size_t i = 0; carry.graph == g && i < s->carry.count; i++)
        if (s->carry.at[i].param == carry.id)
            return &s->carry.at[i];
    krsi_refuse(g, at, op_name, KRS_E_GRAPH, NULL,
                "the node is not a carry of this scan; krs_scan_carry gives "
                "one");
    return NULL;
}

void
krs_scan_next_at(krs_place at, krs_scan scan, krs_node carry, krs_node value)
{
    krs_graph *g = scan.graph;
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    krsi_open_scan *s = open_one(at, scan);
    pair *of = s ? carry_of(at, g, s, carry) : NULL;
    const krsi_node *n = of ? usable(at, g, value) : NULL;
    if (!n)
        return;
    const krsi_node *was = krsi_get(carry);
    krs_shape shape = krs_node_shape(value), wanted = krs_node_shape(carry);
    bool same = n->rank == was->rank;
    for (int i = 0; same && i < n->rank; i++)
        same = shape.dim[i] == wanted.dim[i];
    if (of->next)
        krsi_refuse(g, at, op_name, KRS_E_ARGUMENT, NULL,
                    "carry %zu has its next value already",
                    (size_t)(of - s->carry.at));
    else if (n->dtype != was->dtype || !same)
        krsi_refuse(
            g, at, op_name, n->dtype != was->dtype ? KRS_E_DTYPE : KRS_E_SHAPE,
            n->dtype != was->dtype ? "types are never promoted; use krs_cast"
                                   : NULL,
            "carry %zu is %s, its next value %s", (size_t)(of - s->carry.at),
            krsi_type_text(a, was), krsi_type_text(b, n));
    else
        of->next = value.id;
}

void
krs_scan_keep_at(krs_place at, krs_scan scan, krs_node value)
{
    krs_graph *g = scan.graph;
    krsi_open_scan *s = open_one(at, scan);
    const krsi_node *n = s ? usable(at, g, value) : NULL;
    if (!n)
        return;
    if (n->rank == KRS_MAX_RANK ||
        krs_dtype_class_of((krs_dtype)n->dtype) == KRS_CLASS_BLOCK) {
        krsi_refuse(g, at, op_name, KRS_E_SHAPE, NULL,
                    "a value of rank %d and type %s has no place in a tensor "
                    "with one axis more",
                    n->rank, krs_dtype_name((krs_dtype)n->dtype));
        return;
    }
    for (size_t i = 0; i < s->kept_count; i++)
        if (s->kept[i] == value.id)
            return;
    if (!krsi_reserve(&s->kept, &s->kept_capacity, s->kept_count + 1,
                      sizeof *s->kept))
        krsi_refuse_memory(g);
    else
        s->kept[s->kept_count++] = value.id;
}

/* ---- the body ---- */

typedef struct closing {
    krs_graph *g, *body;
    const krsi_open_scan *s;
    uint32_t number;
    bool *inside;    /* by id: depends on a param of the scan, or is one */
    bool *needed;    /* by id: a result is made of it */
    uint32_t *id;    /* by id of g: of body */
    uint32_t *chain; /* views to be copied, from the last to the first */
    uint32_t *operand;
    size_t chain_capacity, operand_capacity;
    pairs constants;
} closing;

static bool
is_own_param(const closing *c, const krsi_node *n)
{
    return n->op == KRSI_PARAM && krsi_int(n, 2) == (int64_t)c->number;
}

/* of a param among those of its kind: an x that nothing reads is left out */
static int64_t
number_of(const closing *c, const krsi_node *n)
{
    int64_t number = krsi_int(n, 1), read = 0;
    if (krsi_int(n, 0) != KRSI_PARAM_X)
        return number;
    for (int64_t i = 0; i < number; i++)
        read += c->needed[c->s->x.at[i].param];
    return read;
}

static void
mark(closing *c)
{
    const krs_graph *g = c->g;
    for (size_t id = c->s->first + 1; id <= g->nodes; id++) {
        const krsi_node *n = g->node[id];
        c->inside[id] = is_own_param(c, n);
        for (uint32_t i = 0; i < n->count && !c->inside[id]; i++)
            c->inside[id] = c->inside[n->in[i]];
    }
    for (size_t i = 0; i < c->s->carry.count; i++)
        c->needed[c->s->carry.at[i].next] = true;
    for (size_t i = 0; i < c->s->kept_count; i++)
        c->needed[c->s->kept[i]] = true;
    for (size_t id = g->nodes; id > c->s->first; id--)
        for (uint32_t i = 0; c->needed[id] && i < g->node[id]->count; i++)
            c->needed[g->node[id]->in[i]] = true;
}

/* The node in the body, its operands being there already; 0: refused. */
static uint32_t
copy_node(closing *c, uint32_t id)
{
    const krsi_node *n = c->g->node[id];
    krsi_words words;
    krs_place at = {c->g->string[n->file], (int)n->line};
    if (n->op == KRSI_UPDATE) {
        krsi_refuse(c->g, c->s->place, op_name, KRS_E_UNSUPPORTED,
                    "make the last value a carry and update after the scan",
                    "its body has an update (%s:%d)", at.file, at.line);
        return 0;
    }
    if (!krsi_words_copy(c->g, n, c->body, &words) ||
        !krsi_reserve(&c->operand, &c->operand_capacity, n->count + 1,
                      sizeof *c->operand)) {
        krsi_refuse_memory(c->g);
        return 0;
    }
    if (is_own_param(c, n)) {
        words.word[2] = 0; /* the body has one scan's params only */
        words.word[1] = number_of(c, n);
    }
    for (uint32_t i = 0; i < n->count; i++)
        c->operand[i] = c->id[n->in[i]];
    uint32_t scope = krsi_intern(c->body, c->g->string[n->scope]);
    if (scope == UINT32_MAX ||
        !krsi_reserve(&c->body->scope, &c->body->scope_capacity, 1,
                      sizeof *c->body->scope)) {
        krsi_refuse_memory(c->g);
        return 0;
    }
    c->body->scope[0] = scope;
    c->body->scopes = 1;
    c->id[id] = krsi_add(c->body, at, (enum krsi_op)n->op, c->operand,
                         (int)n->count, words.word, words.count)
                    .id;
    c->body->scopes = 0;
    return c->id[id];
}

static bool
add_constant(closing *c, uint32_t id)
{
    const krsi_node *n = c->g->node[id];
    krs_node outer = krsi_handle(c->g, id);
    if (n->op == KRSI_PARAM && !c->g->scan[krsi_int(n, 2) - 1]->is_open)
        return krsi_refuse(
            c->g, c->s->place, op_name, KRS_E_GRAPH,
            "krs_scan_last and krs_scan_kept give what leaves it",
            "it uses a value of the body of a scan that has "
            "ended");
    if (!usable(c->s->place, c->g, outer))
        return false;
    krs_node made =
        param((krs_place){c->g->string[n->file], (int)n->line},
              (krs_scan){c->body, 0}, KRSI_PARAM_CONSTANT, c->constants.count,
              (krs_dtype)n->dtype, krs_node_shape(outer));
    c->id[id] = add_pair(c->body, &c->constants, made, id).id;
    return c->id[id] != 0;
}

/* Views that cost nothing in a kernel and need no check. */
static bool
is_plain_view(const krsi_node *n)
{
    return n->live_axes == 0 &&
           (n->op == KRSI_EXPAND || n->op == KRSI_RESHAPE ||
            n->op == KRSI_PERMUTE || n->op == KRSI_STOP_GRADIENT);
}

/* An operand from outside into the body. */
static bool
take_in(closing *c, uint32_t id)
{
    size_t length = 0;
    while (!c->id[id] && is_plain_view(c->g->node[id]) &&
           !c->g->node[c->g->node[id]->in[0]]->live_axes) {
        if (!krsi_reserve(&c->chain, &c->chain_capacity, length + 1,
                          sizeof *c->chain))
            return krsi_refuse_memory(c->g);
        c->chain[length++] = id;
        id = c->g->node[id]->in[0];
    }
    const krsi_node *n = c->g->node[id];
    if (!c->id[id] &&
        !(n->op == KRSI_FULL || (n->op == KRSI_IOTA && !n->live_axes)
              ? copy_node(c, id) != 0
              : add_constant(c, id)))
        return false;
    while (length > 0)
        if (!copy_node(c, c->chain[--length]))
            return false;
    return true;
}

static bool
fill_body(closing *c)
{
    const krs_graph *g = c->g;
    for (size_t i = 0; i < g->vars; i++)
        krs_var(c->body, g->string[g->var[i].name], g->var[i].low,
                g->var[i].high);
    for (uint32_t id = c->s->first + 1; id <= g->nodes; id++) {
        const krsi_node *n = g->node[id];
        if (!c->inside[id] || !c->needed[id])
            continue;
        for (uint32_t i = 0; i < n->count; i++)
            if (!c->id[n->in[i]] && !take_in(c, n->in[i]))
                return false;
        if (!copy_node(c, id))
            return false;
    }
    return true;
}

static bool
list_results(closing *c, uint32_t *result)
{
    size_t carries = c->s->carry.count;
    for (size_t i = 0; i < carries + c->s->kept_count; i++) {
        uint32_t id =
            i < carries ? c->s->carry.at[i].next : c->s->kept[i - carries];
        if (!c->id[id] && !take_in(c, id))
            return false;
        result[i] = c->id[id];
    }
    return true;
}

/* the scan node of what was collected; 0: refused */
static uint32_t
add_scan(closing *c, krs_place at, uint32_t body)
{
    const krsi_open_scan *s = c->s;
    krsi_words words = {.count = 0};
    size_t count = 0;
    if (!krsi_reserve(&c->operand, &c->operand_capacity,
                      c->constants.count + s->carry.count + s->x.count + 1,
                      sizeof *c->operand)) {
        krsi_refuse_memory(c->g);
        return 0;
    }
    for (size_t i = 0; i < c->constants.count; i++)
        c->operand[count++] = c->constants.at[i].outer;
    for (size_t i = 0; i < s->carry.count; i++)
        c->operand[count++] = s->carry.at[i].outer;
    for (size_t i = 0; i < s->x.count; i++)
        if (c->needed[s->x.at[i].param])
            c->operand[count++] = s->x.at[i].outer;
    krsi_put_int(&words, s->length);
    krsi_put_int(&words, s->direction == KRS_SCAN_REVERSE);
    krsi_put_int(&words, (int64_t)c->constants.count);
    krsi_put_int(&words, (int64_t)s->carry.count);
    krsi_put_int(&words, body);
    return krsi_add(c->g, at, KRSI_SCAN, c->operand, (int)count, words.word,
                    words.count)
        .id;
}

static uint32_t
close_scan(closing *c, krs_place at)
{
    size_t nodes = c->g->nodes + 1;
    size_t results = c->s->carry.count + c->s->kept_count;
    uint32_t *result = calloc(results, sizeof *result), node = 0;
    c->body = krs_graph_new();
    c->inside = calloc(nodes, sizeof *c->inside);
    c->needed = calloc(nodes, sizeof *c->needed);
    c->id = calloc(nodes, sizeof *c->id);
    if (!result || !c->body || !c->inside || !c->needed || !c->id)
        krsi_refuse_memory(c->g);
    else
        mark(c);
    bool ok =
        c->g->error.status == KRS_OK && fill_body(c) && list_results(c, result);
    if (c->body && c->body->error.status != KRS_OK &&
        c->g->error.status == KRS_OK)
        c->g->error = c->body->error;
    if (ok) {
        uint32_t body = krsi_body_add(
            c->g, krsi_body_new(c->body, result, (uint32_t)results));
        c->body = NULL;
        if (body == UINT32_MAX)
            krsi_refuse_memory(c->g);
        else
            node = add_scan(c, at, body);
    }
    krs_graph_free(c->body);
    free(result);
    free(c->inside);
    free(c->needed);
    free(c->id);
    free(c->chain);
    free(c->operand);
    free(c->constants.at);
    return node;
}

krs_status
krs_scan_end_at(krs_place at, krs_scan scan)
{
    krs_graph *g = scan.graph;
    if (!g)
        return KRS_E_GRAPH;
    krsi_open_scan *s = open_one(at, scan);
    if (!s)
        return g->error.status;
    for (size_t i = 0; i < s->carry.count; i++)
        if (!s->carry.at[i].next)
            krsi_refuse(g, at, op_name, KRS_E_ARGUMENT,
                        "say it with krs_scan_next",
                        "carry %zu has no next value", i);
    if (s->carry.count + s->kept_count == 0)
        krsi_refuse(g, at, op_name, KRS_E_ARGUMENT,
                    "krs_scan_carry and krs_scan_keep make one",
                    "it has no result");
    closing c = {.g = g, .s = s, .number = scan.number};
    if (g->error.status == KRS_OK)
        s->node = close_scan(&c, at);
    s->is_open = false;
    g->open_scan = s->around;
    return g->error.status;
}

/* ---- results ---- */

krs_node
krsi_result(krs_place at, krs_node scan, uint32_t i)
{
    krsi_words words = {.count = 0};
    krsi_put_int(&words, i);
    return krsi_build(at, scan.graph, KRSI_RESULT, &scan, 1, &words);
}

/* the scan if it has ended well; else NULL, recorded */
static krsi_open_scan *
ended_one(krs_place at, krs_scan scan)
{
    krs_graph *g = scan.graph;
    if (!g || g->error.status != KRS_OK)
        return NULL;
    if (scan.number == 0 || scan.number > g->scans ||
        g->scan[scan.number - 1]->is_open) {
        krsi_refuse(g, at, op_name, KRS_E_GRAPH, "call krs_scan_end before",
                    "it has no results yet");
        return NULL;
    }
    return g->scan[scan.number - 1];
}

krs_node
krs_scan_last_at(krs_place at, krs_scan scan, krs_node carry)
{
    krs_graph *g = scan.graph;
    krsi_open_scan *s = ended_one(at, scan);
    pair *of = s ? carry_of(at, g, s, carry) : NULL;
    return of ? krsi_result(at, krsi_handle(g, s->node),
                            (uint32_t)(of - s->carry.at))
              : krsi_poison(g);
}

krs_node
krs_scan_kept_at(krs_place at, krs_scan scan, krs_node value)
{
    krs_graph *g = scan.graph;
    krsi_open_scan *s = ended_one(at, scan);
    for (size_t i = 0; s && value.graph == g && i < s->kept_count; i++)
        if (s->kept[i] == value.id)
            return krsi_result(at, krsi_handle(g, s->node),
                               (uint32_t)(s->carry.count + i));
    if (s)
        krsi_refuse(g, at, op_name, KRS_E_GRAPH,
                    "call krs_scan_keep before krs_scan_end",
                    "the node is not kept by this scan");
    return krsi_poison(g);
}
