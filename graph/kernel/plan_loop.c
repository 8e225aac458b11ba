/* plan_loop.c -- the body of a scan as a plan of its own.
 *
 * In: a loop of a schedule, which knows what is asked of it. Out: the plan of
 * its body, and what the schedule has to know: which carries are updated in
 * place, and how much memory the body's temporaries need. They lie in one value
 * of the outer arena, so the outer planner shares their place with others.
 *
 * A carry is a state of the body's plan and its next value the update of it:
 * what decides whether it is done in place is what decides it for parameters
 * (../sched/layout.h). xs, ys and histories are whole tensors; their loads and
 * stores are moved by the iteration, a runtime integer, so they cost nothing.
 */
#include "lower.h"

#include "../opt/opt.h"

#include <stdlib.h>
#include <string.h>

static krs_status
no_memory(krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "out of memory while planning a scan");
}

void
krsi_plan_loops_free(krsi_plan *plan)
{
    for (size_t i = 0; i < plan->loop_count; i++) {
        krsi_plan_loop *l = &plan->loops[i];
        if (l->body)
            krsi_plan_free(l->body); /* and so on, KRSI_BODY_DEPTH deep */
        free(l->body);
        krs_graph_free(l->made);
    }
    free(plan->loops);
}

/* What the plan of a body is made of. */
typedef struct body_plan {
    const krsi_sched_loop *loop;
    krsi_plan_loop *made;
    const krs_graph *graph;
    uint32_t *result; /* ids in graph */
} body_plan;

/* Operands of the scan are constants, carries, xs. */
static krsi_param_kind
kind_of(const krsi_loop *l, uint32_t operand, uint32_t *index)
{
    bool is_constant = operand < l->constants;
    bool is_carry = !is_constant && operand < l->constants + l->carries;
    *index = operand - (is_constant ? 0
                        : is_carry  ? l->constants
                                    : l->constants + l->carries);
    return is_constant ? KRSI_PARAM_CONSTANT
           : is_carry  ? KRSI_PARAM_CARRY
                       : KRSI_PARAM_X;
}

static krs_status
add_param(krs_graph *g, const krsi_node *result, uint32_t carry, uint32_t *out,
          krs_error *err)
{
    krsi_words words = {.count = 0};
    krsi_put_int(&words, KRSI_PARAM_CARRY);
    krsi_put_int(&words, carry);
    krsi_put_int(&words, 0);
    krsi_put_int(&words, result->dtype);
    krsi_put_ints(&words, result->dim, result->rank);
    *out = krsi_add(g, (krs_place){"", 0}, KRSI_PARAM, NULL, 0, words.word,
                    words.count)
               .id;
    return krs_graph_check(g, err);
}

/* Find the params. Where the history of a carry is kept that the body does not
 * read, the param is added to a copy of its graph. */
static krs_status
find_params(body_plan *b, uint32_t operands, krs_error *err)
{
    const krsi_sched_loop *l = b->loop;
    const krsi_body *body = l->loop.body;
    bool lacks = false;
    memcpy(b->result, body->result, body->results * sizeof *b->result);
    for (uint32_t i = 0; i < l->loop.carries; i++)
        lacks |= l->past[i] && !krsi_body_param(body, KRSI_PARAM_CARRY, i);
    b->graph = body->graph;
    if (lacks) {
        KRS_TRY(krsi_copy(body->graph, body->result, body->results,
                          &b->made->made, b->result, err));
        b->graph = b->made->made;
    }
    const krsi_body now = {.graph = (krs_graph *)(uintptr_t)b->graph};
    for (uint32_t i = 0; i < operands; i++) {
        uint32_t index;
        krsi_param_kind kind = kind_of(&l->loop, i, &index);
        b->made->param[i] = krsi_body_param(&now, kind, index);
        if (lacks && kind == KRSI_PARAM_CARRY && !b->made->param[i])
            KRS_TRY(add_param(b->made->made, b->graph->node[b->result[index]],
                              index, &b->made->param[i], err));
    }
    return KRS_OK;
}

/* The outputs of the body's plan: what is asked of its results, then what is
 * asked of its carries as they were. */
static size_t
list_outputs(const body_plan *b, krs_node *outputs)
{
    const krsi_sched_loop *l = b->loop;
    size_t count = 0;
    for (uint32_t i = 0; i < l->loop.body->results; i++)
        if (l->asked[i]) {
            b->made->output[i] = (uint32_t)count;
            outputs[count++] = krsi_handle(b->graph, b->result[i]);
        }
    for (uint32_t i = 0; i < l->loop.carries; i++)
        if (l->past[i]) {
            b->made->history[i] = (uint32_t)count;
            outputs[count++] =
                krsi_handle(b->graph, b->made->param[l->loop.constants + i]);
        }
    return count;
}

/* The value moves by so many elements an iteration. */
static void
move(krsi_sched *s, uint32_t value, const krsi_node *n)
{
    krs_index by = {0, 1, {(int32_t)s->graph->vars}, {krsi_elements(n)}};
    if (krsi_elements(n) > 0)
        krsi_sched_move(s, value, by);
}

static void
move_all(const body_plan *b, krsi_sched *s, uint32_t operands)
{
    const krsi_sched_loop *l = b->loop;
    for (uint32_t i = l->loop.constants + l->loop.carries; i < operands; i++) {
        uint32_t id = b->made->param[i];
        if (id && s->view[id].value != KRSI_NO_VALUE &&
            s->values[s->view[id].value].node == id)
            move(s, s->view[id].value, b->graph->node[id]);
    }
    for (uint32_t i = 0; i < l->loop.body->results; i++) {
        const krsi_node *n = b->graph->node[b->result[i]];
        if (i >= l->loop.carries && l->asked[i])
            move(s, s->outputs[b->made->output[i]], n);
        if (i < l->loop.carries && l->past[i])
            move(s, s->outputs[b->made->history[i]], n);
    }
}

/* which of the values are there at all: the body may not need a param */
static bool
is_scheduled(const krsi_sched *s, uint32_t id)
{
    for (size_t v = 0; id && v < s->value_count; v++)
        if (s->values[v].node == id && s->values[v].kind <= KRSI_STORAGE_STATE)
            return true;
    return false;
}

static krs_status
plan_body(body_plan *b, krsi_sched_loop *l, const krsi_planning *p,
          uint32_t operands, krs_error *err)
{
    krsi_plan *plan = b->made->body;
    krsi_sched *s = &plan->sched;
    size_t results = l->loop.body->results, carries = l->loop.carries;
    krs_node *outputs = calloc(results + carries, sizeof *outputs);
    if (!outputs)
        return no_memory(err);
    size_t count = list_outputs(b, outputs);
    krs_status status =
        krsi_plan_schedule(plan, b->graph, outputs, count, p->facts, p->sharing,
                           p->facts->offset_align, err);
    free(outputs);
    KRS_TRY(status);
    for (uint32_t i = 0; i < operands; i++)
        if (!is_scheduled(s, b->made->param[i]))
            b->made->param[i] = 0;
    move_all(b, s, operands);
    for (uint32_t i = 0; i < carries; i++)
        if (l->asked[i] && b->made->param[l->loop.constants + i])
            krsi_sched_update(s, b->made->param[l->loop.constants + i],
                              b->made->output[i]);
    KRS_TRY(krsi_plan_finish(plan, p->facts, p->sharing, err));
    for (uint32_t i = 0; i < carries; i++)
        l->in_place[i] =
            l->asked[i] &&
            krsi_layout_in_place(&plan->layout, s->outputs[b->made->output[i]]);
    l->workspace_bytes = plan->layout.arena_bytes;
    l->faults = s->fault_count > 0;
    for (size_t i = 0; i < s->loop_count; i++)
        l->faults |= s->loops[i].faults;
    return KRS_OK;
}

krs_status
krsi_plan_loop_body(void *planning, krsi_sched_loop *l, krs_error *err)
{
    const krsi_planning *p = planning;
    krsi_plan *plan = p->plan;
    size_t results = l->loop.body->results, carries = l->loop.carries;
    uint32_t operands = l->loop.constants + l->loop.carries + l->loop.xs;
    if (!krsi_reserve(&plan->loops, &plan->loop_capacity, plan->loop_count + 1,
                      sizeof *plan->loops))
        return no_memory(err);
    krsi_plan_loop *made = &plan->loops[plan->loop_count++];
    *made = (krsi_plan_loop){
        .body = calloc(1, sizeof *made->body),
        .param =
            krsi_arena_array(&plan->arena, operands + 1, sizeof *made->param),
        .output = krsi_arena_array(&plan->arena, results, sizeof *made->output),
        .history =
            krsi_arena_array(&plan->arena, carries + 1, sizeof *made->history)};
    body_plan b = {
        .loop = l, .made = made, .result = calloc(results, sizeof *b.result)};
    krs_status status =
        made->body && made->param && made->output && made->history && b.result
            ? find_params(&b, operands, err)
            : no_memory(err);
    if (status == KRS_OK)
        status = plan_body(&b, l, p, operands, err);
    free(b.result);
    return status;
}
