/* checkpoint.c -- the forward pass between a checkpoint and its inputs once
 * more, for the gradient to read instead of the values that it was.
 *
 * In: a checkpoint node. Out: by id, the node that stands for what lies between
 * its inputs and its value: the same operations on recompute(x) for each input
 * x. What does not depend on an input (weights, tables, masks) is not made
 * again. The gradient (grad.c) then hands the same cotangents on in the same
 * order as without the checkpoint, so that no bit of it changes; only the
 * values that its rules read are others, equal ones.
 *
 * A node that got a copy from a checkpoint around this one, or from one that it
 * shares with this, keeps it. Linear in the nodes with numbers between the
 * first input and the value, without recursion.
 *
 * Source: Chen et al. 2016, "Training deep nets with sublinear memory cost";
 * Griewank & Walther 2008, chapter 12.
 */
#include "grad.h"

#include <stdlib.h>

enum { NEEDED = 1, DEPENDS = 2, IS_INPUT = 4 };

/* Nodes least .. y; mark and bound are theirs. */
typedef struct between {
    krs_graph *graph;
    const krsi_node *checkpoint;
    uint32_t least, y;
    uint8_t *mark;   /* by id - least */
    uint32_t *bound; /* by operand of the checkpoint: recompute of it */
    uint32_t *in;    /* operands of a copy */
    size_t in_capacity;
} between;

/* 0 for what lies before all inputs */
static uint8_t
mark_of(const between *b, uint32_t id)
{
    return id < b->least ? 0 : b->mark[id - b->least];
}

static void
mark_nodes(between *b)
{
    const krs_graph *g = b->graph;
    b->mark[b->y - b->least] = NEEDED;
    for (uint32_t i = 1; i < b->checkpoint->count; i++)
        if (b->checkpoint->in[i] <= b->y)
            b->mark[b->checkpoint->in[i] - b->least] |= IS_INPUT;
    for (uint32_t id = b->y; id > b->least; id--) {
        const krsi_node *n = g->node[id];
        if (mark_of(b, id) != NEEDED) /* an input's operands are not */
            continue;
        for (uint32_t i = 0; i < n->count; i++)
            if (n->in[i] >= b->least)
                b->mark[n->in[i] - b->least] |= NEEDED;
    }
    for (uint32_t id = b->least; id <= b->y; id++) {
        const krsi_node *n = g->node[id];
        bool depends = mark_of(b, id) & IS_INPUT;
        for (uint32_t i = 0; i < n->count && !depends; i++)
            depends = mark_of(b, n->in[i]) & DEPENDS;
        if (depends)
            b->mark[id - b->least] |= DEPENDS;
    }
}

/* what a copy reads in the place of a node; 0: memory is out */
static uint32_t
stand_in(between *b, uint32_t id, const uint32_t *again)
{
    uint8_t mark = mark_of(b, id);
    if (!(mark & IS_INPUT))
        return mark == (NEEDED | DEPENDS) ? again[id] : id;
    uint32_t i = 1;
    while (b->checkpoint->in[i] != id)
        i++;
    if (!b->bound[i]) {
        krs_place at = {b->graph->string[b->checkpoint->file],
                        (int)b->checkpoint->line};
        b->bound[i] = krs_recompute_at(at, krsi_handle(b->graph, id)).id;
    }
    return b->bound[i];
}

static bool
copy_node(between *b, uint32_t id, uint32_t *again)
{
    krs_graph *g = b->graph;
    const krsi_node *n = g->node[id];
    krs_place at = {g->string[n->file], (int)n->line};
    if (!krsi_reserve(&b->in, &b->in_capacity, n->count, sizeof *b->in))
        return krsi_refuse_memory(g);
    for (uint32_t i = 0; i < n->count; i++)
        if (!(b->in[i] = stand_in(b, n->in[i], again)))
            return false;
    if (n->op == KRSI_CHECKPOINT) { /* inside another one: its value */
        again[id] = b->in[0];
        return true;
    }
    again[id] = krsi_add(g, at, (enum krsi_op)n->op, b->in, (int)n->count,
                         n->word, n->words)
                    .id;
    return again[id] != 0;
}

static bool
copy_nodes(between *b, uint32_t *again)
{
    krs_graph *g = b->graph;
    bool ok = true;
    for (uint32_t id = b->least; ok && id <= b->y; id++) {
        if (mark_of(b, id) != (NEEDED | DEPENDS) || again[id])
            continue;
        size_t scopes =
            g->scopes; /* there is room: differentiate() saw to it */
        g->scope[g->scopes++] = g->node[id]->scope;
        ok = copy_node(b, id, again);
        g->scopes = scopes;
    }
    return ok;
}

bool
krsi_checkpoint_copy(krs_graph *g, uint32_t id, uint32_t *again)
{
    between b = {
        .graph = g, .checkpoint = g->node[id], .y = g->node[id]->in[0]};
    b.least = b.y;
    for (uint32_t i = 1; i < b.checkpoint->count; i++)
        if (b.checkpoint->in[i] < b.least)
            b.least = b.checkpoint->in[i];
    b.mark = calloc((size_t)(b.y - b.least) + 1, sizeof *b.mark);
    b.bound = calloc(b.checkpoint->count, sizeof *b.bound);
    bool ok = b.mark && b.bound;
    if (ok) {
        mark_nodes(&b);
        ok = copy_nodes(&b, again);
    } else {
        krsi_refuse_memory(g);
    }
    free(b.mark);
    free(b.bound);
    free(b.in);
    return ok;
}
