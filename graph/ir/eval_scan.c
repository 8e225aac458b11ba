/* eval_scan.c -- scans in the interpreter: the body, made ready once, is run
 * once an iteration.
 *
 * A scan's value is its results one after the other in one stretch of memory:
 * the last carries, the ys, the histories; result gives a part of it. What
 * nobody asks for is not computed, and has no room.
 */
#include "eval.h"

#include <stdlib.h>
#include <string.h>

struct krsi_eval_body {
    krsi_eval *eval;
    krsi_loop loop;
    bool *asked;     /* by result of the body: it is computed */
    bool *history;   /* by carry */
    uint32_t *root;  /* by result of the body: number of the root in eval */
    uint32_t *param; /* by operand of the scan: id in the body, or 0 */
    uint32_t iteration;
    int64_t *elements; /* by result of the body, of one iteration */
    int64_t *place;    /* by result of the scan: where it begins; -1: nowhere */
    int64_t total;
};

void
krsi_eval_body_free(krsi_eval_body *b)
{
    if (!b)
        return;
    krsi_eval_free(b->eval);
    free(b->asked);
    free(b->history);
    free(b->root);
    free(b->param);
    free(b->elements);
    free(b->place);
    free(b);
}

static int64_t
whole(const krsi_loop *l, int64_t elements, bool is_last_carry)
{
    return is_last_carry ? elements : elements * l->length;
}

/* Who gets room where. */
static void
lay_out(krsi_eval_body *b)
{
    const krsi_loop *l = &b->loop;
    uint32_t results = l->body->results;
    for (uint32_t i = 0; i < results + l->carries; i++) {
        uint32_t of = i < results ? i : i - results;
        bool has_room = i < results ? b->asked[i] : b->history[of];
        b->place[i] = has_room ? b->total : -1;
        if (has_room)
            b->total += whole(l, b->elements[of], i < l->carries);
    }
}

static krs_status
fill(krsi_eval_body *b, const bool *asked, uint32_t *root, krs_error *err)
{
    const krsi_loop *l = &b->loop;
    const krs_graph *g = l->body->graph;
    uint32_t results = l->body->results, roots = 0;
    bool *room = calloc(g->nodes + 1, sizeof *room);
    if (!room)
        return krs_fail(err, KRS_E_MEMORY, "eval: no memory for a scan");
    memcpy(b->asked, asked, results * sizeof *asked);
    for (uint32_t i = 0; i < l->carries; i++) {
        b->history[i] = asked[results + i];
        b->asked[i] |= b->history[i];
    }
    krsi_loop_needs(l, b->asked, room);
    free(room);
    for (uint32_t i = 0; i < results; i++) {
        b->elements[i] = krsi_elements(g->node[l->body->result[i]]);
        if (b->asked[i]) {
            b->root[i] = roots;
            root[roots++] = l->body->result[i];
        }
    }
    for (uint32_t i = 0; i < l->constants; i++)
        b->param[i] = krsi_body_param(l->body, KRSI_PARAM_CONSTANT, i);
    for (uint32_t i = 0; i < l->carries; i++)
        b->param[l->constants + i] =
            krsi_body_param(l->body, KRSI_PARAM_CARRY, i);
    for (uint32_t i = 0; i < l->xs; i++)
        b->param[l->constants + l->carries + i] =
            krsi_body_param(l->body, KRSI_PARAM_X, i);
    b->iteration = krsi_body_param(l->body, KRSI_PARAM_ITERATION, 0);
    lay_out(b);
    return krsi_eval_new(g, root, roots, &b->eval, err);
}

krs_status
krsi_eval_body_new(const krs_graph *g, const krsi_node *scan, const bool *asked,
                   krsi_eval_body **out, krs_error *err)
{
    krsi_eval_body *b = calloc(1, sizeof *b);
    *out = b;
    if (!b)
        return krs_fail(err, KRS_E_MEMORY, "eval: no memory for a scan");
    b->loop = krsi_loop_of(g, scan);
    size_t results = b->loop.body->results, carries = b->loop.carries;
    uint32_t *root = calloc(results, sizeof *root);
    b->asked = calloc(results, sizeof *b->asked);
    b->history = calloc(carries + 1, sizeof *b->history);
    b->root = calloc(results, sizeof *b->root);
    b->param = calloc(scan->count + 1, sizeof *b->param);
    b->elements = calloc(results, sizeof *b->elements);
    b->place = calloc(results + carries, sizeof *b->place);
    krs_status status =
        root && b->asked && b->history && b->root && b->param && b->elements &&
                b->place
            ? fill(b, asked, root, err)
            : krs_fail(err, KRS_E_MEMORY, "eval: no memory for a scan");
    free(root);
    return status;
}

/* Bind what does not change: constants as they lie. */
static void
bind_constants(krsi_call *call, krsi_eval_body *b)
{
    for (uint32_t i = 0; i < b->loop.constants; i++)
        if (b->param[i])
            krsi_eval_bind(b->eval, b->param[i], krsi_in(call, i)->block,
                           KRSI_WIDE);
}

static void
bind_iteration(krsi_call *call, krsi_eval_body *b, const int64_t *t)
{
    const krsi_loop *l = &b->loop;
    for (uint32_t i = l->constants + l->carries; i < call->node->count; i++) {
        const krsi_value *x = krsi_in(call, i);
        if (b->param[i])
            krsi_eval_bind(b->eval, b->param[i],
                           x->e + *t * (x->elements / l->length), KRSI_WIDE);
    }
    if (b->iteration)
        krsi_eval_bind(b->eval, b->iteration, t, KRSI_WIDE);
}

static void
copy(krsi_element *to, const krsi_element *from, int64_t count)
{
    if (count)
        memcpy(to, from, (size_t)count * sizeof *to);
}

/* One iteration: carries are read from `now` and written to `next`, since a
 * result may be a carry as it was. */
static krs_status
iterate(krsi_call *call, krsi_eval_body *b, int64_t t, krsi_element *now,
        krsi_element *next)
{
    const krsi_loop *l = &b->loop;
    krsi_element *out = call->out->e;
    uint32_t results = l->body->results;
    bind_iteration(call, b, &t);
    for (uint32_t i = 0; i < l->carries; i++) {
        uint32_t id = b->param[l->constants + i];
        if (b->history[i])
            copy(out + b->place[results + i] + t * b->elements[i], now,
                 b->elements[i]);
        if (id)
            krsi_eval_bind(b->eval, id, now, KRSI_WIDE);
        now += b->elements[i];
    }
    KRS_TRY(
        krsi_eval_run(b->eval, call->var, krsi_call_cancel(call), call->err));
    for (uint32_t i = 0; i < results; i++) {
        if (b->asked[i])
            copy(i < l->carries ? next : out + b->place[i] + t * b->elements[i],
                 krsi_eval_root(b->eval, b->root[i])->e, b->elements[i]);
        next += i < l->carries ? b->elements[i] : 0;
    }
    return KRS_OK;
}

/* carry: room for all carries, twice */
static krs_status
run(krsi_call *call, krsi_eval_body *b, krsi_element *carry, int64_t carries)
{
    const krsi_loop *l = &b->loop;
    krsi_element *now = carry, *next = carry + carries, *at = now;
    for (uint32_t i = 0; i < l->carries; at += b->elements[i], i++)
        copy(at, krsi_in(call, l->constants + i)->e, b->elements[i]);
    bind_constants(call, b);
    for (int64_t k = 0; k < l->length; k++) {
        int64_t t = l->reverse ? l->length - 1 - k : k;
        KRS_TRY(iterate(call, b, t, now, next));
        krsi_element *last = now;
        now = next;
        next = last;
    }
    for (uint32_t i = 0; i < l->carries; now += b->elements[i], i++)
        if (b->place[i] >= 0)
            copy(call->out->e + b->place[i], now, b->elements[i]);
    return KRS_OK;
}

krs_status
krsi_eval_scan(krsi_call *call)
{
    krsi_eval_body *b = krsi_call_body(call);
    int64_t carries = 0;
    for (uint32_t i = 0; i < b->loop.carries; i++)
        carries += b->elements[i];
    KRS_TRY(krsi_out_room(call, b->total));
    krsi_element *carry = krsi_scratch(call, 2 * carries);
    if (!carry)
        return KRS_E_MEMORY;
    krs_status status = run(call, b, carry, carries);
    krsi_scratch_free(call, carry);
    return status;
}

krs_status
krsi_eval_result(krsi_call *call)
{
    const krsi_eval_body *b = krsi_call_body(call);
    return krsi_out_part(call, 0, b->place[krsi_int(call->node, 0)]);
}

/* Bound by the scan, in the form of the interpreter. */
krs_status
krsi_eval_param(krsi_call *call)
{
    krsi_form form;
    const void *data = krsi_bound(call, &form);
    krsi_value *out = call->out;
    krs_dtype dtype = (krs_dtype)out->dtype;
    if (!data && out->elements > 0)
        return krsi_call_fail(call, KRS_E_GRAPH,
                              "a value of the body of a scan is used outside "
                              "of it");
    if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK || form == KRSI_WIDE) {
        out->block = data;
        return KRS_OK;
    }
    KRS_TRY(krsi_out_new(call));
    krsi_from_native(dtype, out->e, data, out->elements);
    return KRS_OK;
}
