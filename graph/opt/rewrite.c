/* rewrite.c -- simplify a graph of primitives by the rules of rules.def.
 *
 * In: a graph and its roots. Out: a new graph of the same values.
 *
 * Method: nodes are copied in id order (copy.c), and rules are applied to each
 * just before it is made, again and again until none matches: a node of the
 * new graph is in normal form when its first user is looked at. Since rules
 * look at operands alone, never at users, one walk reaches the fixed point. A
 * site takes at most STEPS rules, and a rule looks at few nodes, so the time
 * is linear; a site that needs more (a long chain of blocks written beside
 * each other) stays as it is then, which is right too. Equal results are one
 * node by hash-consing. In the end what the roots need is copied once more:
 * the sweep.
 *
 * Source: folding on emission, as the fold engine of LuaJIT does (M. Pall),
 * and tinygrad's pattern matcher; rules are data above the functions that they
 * select.
 */
#include "rewrite.h"

#include "../ir/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEPS = 64,            /* rules applied to one site */
    DEPTH = 8,             /* nodes made for nodes made for rules */
    ALL_FOLD_BYTES = 65536 /* constants made in one graph */
};

/* ---- the table ---- */

#define ROOTS(...)                                                            \
    ROOTS_(__VA_ARGS__, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, \
           NONE, NONE, NONE)
#define ROOTS_(a, b, c, d, e, f, g, h, i, j, k, ...)                    \
    {                                                                   \
        KRSI_ROOT_##a, KRSI_ROOT_##b, KRSI_ROOT_##c, KRSI_ROOT_##d,     \
            KRSI_ROOT_##e, KRSI_ROOT_##f, KRSI_ROOT_##g, KRSI_ROOT_##h, \
            KRSI_ROOT_##i, KRSI_ROOT_##j, KRSI_ROOT_##k, KRSI_ROOT_NONE \
    }
#define RULE(name_, root_, matches_, becomes_, changes_, lowers_) \
    [KRSI_RULE_##name_] = {.name = #name_,                        \
                           .matches = matches_,                   \
                           .becomes = becomes_,                   \
                           .apply = krsi_rule_##name_,            \
                           .changes = KRSI_CHANGES_##changes_,    \
                           .lowers = KRSI_LOWERS_##lowers_,       \
                           .root = root_},
const krsi_rule krsi_rules[KRSI_RULES] = {
#include "rules.def"
};
#undef RULE

/* 1 for rows of ops.def whose cut is `map` */
#define SECOND_(a, b, ...) b
#define SECOND(...)        SECOND_(__VA_ARGS__)
#define IS_map             0, true
static const bool is_map[KRSI_OP_COUNT] = {
#define PRIMITIVE(ID, name, min, max, attrs, types, shape, live, vjp, cut, \
                  ...)                                                     \
    [KRSI_##ID] = SECOND(IS_##cut, false, ),
#define COMPOSITE(...)
#include "../ir/ops.def"
#undef PRIMITIVE
#undef COMPOSITE
};

static bool
has_root(const krsi_rule *rule, int op)
{
    for (int i = 0; rule->root[i]; i++)
        if (rule->root[i] == op || rule->root[i] == KRSI_ROOT_ANY ||
            (rule->root[i] == KRSI_ROOT_MAP && is_map[op]))
            return true;
    return false;
}

/* ---- one site ---- */

struct krsi_rewriter {
    krsi_rewrites *counts;
    size_t fold_bytes; /* made so far */
    int depth;
    uint32_t *in;          /* room for the operands of a site */
    const krsi_rule *last; /* applied, for messages */
    /* rules by operation: ends[op - 1] .. ends[op] of `order` */
    uint16_t ends[KRSI_OP_COUNT];
    uint8_t *order;
};

static uint32_t
broken(krsi_site *s, const char *what)
{
    krsi_refuse(s->g, s->at, krsi_ops[s->op].name, KRS_E_INTERNAL, NULL,
                "rule %s: %s", s->w->last ? s->w->last->name : "(none)", what);
    return 0;
}

/* the rules of the site's operation, the first that matches */
static krsi_verdict
apply_one(krsi_site *s)
{
    krsi_rewriter *w = s->w;
    for (size_t i = w->ends[s->op - 1]; i < w->ends[s->op]; i++) {
        const krsi_rule *rule = &krsi_rules[w->order[i]];
        krsi_verdict verdict = rule->apply(s);
        if (verdict == KRSI_STAYS)
            continue;
        w->counts->fired[w->order[i]]++;
        w->last = rule;
        return verdict;
    }
    return KRSI_STAYS;
}

/* The node that the site becomes; 0 with the graph's error set. */
static uint32_t
settle(krsi_site *s)
{
    krsi_verdict verdict = KRSI_AGAIN;
    uint32_t id;
    s->w->last = NULL;
    for (int step = 0; verdict == KRSI_AGAIN && step < STEPS; step++)
        verdict = apply_one(s);
    if (verdict == KRSI_AGAIN)
        s->w->counts->exhausted++;
    if (verdict == KRSI_IS)
        id = s->node;
    else
        id = krsi_add(s->g, s->at, s->op, s->in, s->count, s->words.word,
                      s->words.count)
                 .id;
    if (id && !krsi_same_type(s->g->node[id], s->type))
        return broken(s, "it changed the type of the result");
    return id;
}

/* ---- for rules ---- */

uint32_t
krsi_site_add(krsi_site *s, enum krsi_op op, const uint32_t *in, int count,
              const krsi_words *words)
{
    krsi_rewriter *w = s->w;
    uint32_t room[KRSI_FEW_PARTS];
    const krsi_node *operand[KRSI_FEW_PARTS];
    krsi_site inner = {.w = w,
                       .g = s->g,
                       .at = s->at,
                       .op = op,
                       .count = count,
                       .in = room,
                       .words = {.count = 0}};
    if (count > KRSI_FEW_PARTS || w->depth == DEPTH)
        return broken(s, "what it makes is too large or too deep");
    for (int i = 0; i < count; i++) {
        if (!in[i])
            return 0; /* refused before */
        room[i] = in[i];
        operand[i] = s->g->node[in[i]];
    }
    if (words)
        inner.words = *words;
    krsi_make make = {.graph = s->g,
                      .at = s->at,
                      .op = op,
                      .count = count,
                      .in = operand,
                      .word = inner.words.word};
    if (!krsi_infer(&make))
        return 0;
    krsi_node type = {.dtype = (uint8_t)make.dtype,
                      .rank = (uint8_t)make.shape.rank,
                      .live_axes = make.live_axes,
                      .dim = make.shape.dim,
                      .live = make.live};
    inner.type = &type;
    const krsi_rule *last = w->last;
    w->depth++;
    uint32_t id = settle(&inner);
    w->depth--;
    w->last = last;
    return id;
}

uint32_t
krsi_site_expand(krsi_site *s, uint32_t x, const krsi_node *like)
{
    krsi_words words = {.count = 0};
    krs_index live[KRS_MAX_RANK];
    if (!x || (krsi_same_dims(s->g->node[x], like) &&
               s->g->node[x]->live_axes == like->live_axes))
        return x;
    for (int a = 0; a < like->rank; a++)
        live[a] = like->live_axes >> a & 1 ? like->live[a] : KRS_INDEX(0);
    krsi_put_ints(&words, like->dim, like->rank);
    krsi_put_indices(&words, live, like->live_axes ? like->rank : 0);
    return krsi_site_add(s, KRSI_EXPAND, &x, 1, &words);
}

uint32_t
krsi_site_reshape(krsi_site *s, uint32_t x, const krsi_node *like)
{
    krsi_words words = {.count = 0};
    krsi_put_ints(&words, like->dim, like->rank);
    return krsi_site_add(s, KRSI_RESHAPE, &x, 1, &words);
}

uint32_t
krsi_site_full(krsi_site *s, krs_dtype dtype, const krsi_node *like,
               double value)
{
    return krsi_site_expand(s, krsi_scalar(s->at, s->g, dtype, value).id, like);
}

bool
krsi_site_room(krsi_site *s, size_t bytes)
{
    if (bytes > KRSI_FOLD_BYTES || s->w->fold_bytes + bytes > ALL_FOLD_BYTES)
        return false;
    s->w->fold_bytes += bytes;
    return true;
}

bool
krsi_number(const krs_graph *g, uint32_t id, double *out)
{
    const krsi_node *n = g->node[id];
    if (n->op == KRSI_EXPAND)
        n = g->node[n->in[0]];
    if (n->op != KRSI_FULL)
        return false;
    *out = krsi_float(n, 1);
    return true;
}

bool
krsi_operand_number(const krsi_site *s, int i, double *out)
{
    return krsi_number(s->g, s->in[i], out);
}

bool
krsi_operand_equals(const krsi_site *s, int i, double value)
{
    double c;
    return krsi_operand_number(s, i, &c) && c == value &&
           signbit(c) == signbit(value);
}

bool
krsi_same_dims(const krsi_node *a, const krsi_node *b)
{
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++)
        same = a->dim[i] == b->dim[i];
    return same;
}

bool
krsi_same_type(const krsi_node *a, const krsi_node *b)
{
    bool same = a->dtype == b->dtype && a->live_axes == b->live_axes &&
                krsi_same_dims(a, b);
    for (int i = 0; same && i < a->rank; i++)
        same =
            !(a->live_axes >> i & 1) || krs_index_equal(a->live[i], b->live[i]);
    return same;
}

static bool
is_whole(double x)
{
    return fabs(x) <= 0x1p53;
}

/* an integer of that type as a double, if a scalar can hold it */
static bool
whole(krs_dtype dtype, uint64_t bits, double *out)
{
    int64_t value = krsi_wrap_int(dtype, (int64_t)bits);
    *out = (double)value;
    return is_whole(*out);
}

bool
krsi_whole_sum(krs_dtype dtype, double a, double b, double *out)
{
    return is_whole(a) && is_whole(b) &&
           whole(dtype, (uint64_t)(int64_t)a + (uint64_t)(int64_t)b, out);
}

bool
krsi_whole_product(krs_dtype dtype, double a, double b, double *out)
{
    return is_whole(a) && is_whole(b) &&
           whole(dtype, (uint64_t)(int64_t)a * (uint64_t)(int64_t)b, out);
}

/* ---- the pass ---- */

static uint32_t
rewrite_node(krsi_copier *c, uint32_t id)
{
    krsi_rewriter *w = c->context;
    const krsi_node *n = c->from->node[id];
    krsi_site s = {.w = w,
                   .g = c->to,
                   .type = n,
                   .op = (enum krsi_op)n->op,
                   .count = (int)n->count,
                   .in = w->in};
    krsi_node_place(c->from, id, 0, &s.at);
    if (n->count)
        memcpy(w->in, c->in, n->count * sizeof *w->in);
    if (!krsi_copier_words(c, n, &s.words))
        return 0;
    return settle(&s);
}

/* rules by operation */
static bool
sort_rules(krsi_rewriter *w)
{
    size_t count = 0;
    for (int op = 0; op < KRSI_OP_COUNT; op++)
        for (int r = 0; r < KRSI_RULES; r++)
            count += has_root(&krsi_rules[r], op);
    w->order = malloc(count);
    if (!w->order)
        return false;
    count = 0;
    for (int op = 0; op < KRSI_OP_COUNT; op++) {
        for (int r = 0; r < KRSI_RULES; r++)
            if (has_root(&krsi_rules[r], op))
                w->order[count++] = (uint8_t)r;
        w->ends[op] = (uint16_t)count;
    }
    return true;
}

krs_status
krsi_rewrite(const krs_graph *g, const uint32_t *roots, size_t count,
             krsi_rewrites *counts, krs_graph **out, uint32_t *out_roots,
             krs_error *err)
{
    krsi_rewriter w = {.counts = counts};
    size_t operands = KRSI_FEW_PARTS;
    krs_graph *made;
    for (size_t id = 1; id <= g->nodes; id++)
        if (g->node[id]->count > operands)
            operands = g->node[id]->count;
    w.in = malloc(operands * sizeof *w.in);
    krs_status status =
        w.in && sort_rules(&w)
            ? krsi_copy_by(rewrite_node, &w, "opt", krsi_optimise, g, roots,
                           count, &made, out_roots, err)
            : krs_fail(err, KRS_E_MEMORY, "opt: no memory for %zu nodes",
                       g->nodes);
    free(w.in);
    free(w.order);
    KRS_TRY(status);
    status = krsi_copy(made, out_roots, count, out, out_roots, err);
    krs_graph_free(made);
    return status;
}

krs_status
krsi_optimise(const krs_graph *g, const uint32_t *roots, size_t count,
              krs_graph **out, uint32_t *out_roots, krs_error *err)
{
    krsi_rewrites counts = {.exhausted = 0};
    return krsi_rewrite(g, roots, count, &counts, out, out_roots, err);
}
