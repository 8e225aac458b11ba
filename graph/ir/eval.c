/* eval.c -- prepare a graph for the interpreter, and run it.
 *
 * Preparing: walk the ids downwards and mark what the roots need; each marked
 * node is a step, and the step's number is also the number of its value.
 * Walking upwards gives every value its last reader; the values that die
 * after a step are listed beside it (the roots never die). Constants are
 * computed here, once.
 *
 * Running: for each step set the run-time extents, call the rule of the row,
 * round the result to its type, and let go of what died. Memory comes from
 * free lists by size class that outlive the run, so a second run of a graph
 * without live axes asks the system for nothing.
 *
 * Everything is a loop over arrays; a chain of any length is fine.
 */
#include "eval.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE_CLASSES = 256 };
/* no number of a step: a value that outlives the run; a node without one */
#define FOREVER (UINT32_MAX - 1)
#define NO_STEP UINT32_MAX

typedef struct krsi_buffer {
    struct krsi_buffer *next; /* in a free list */
    uint32_t readers;
    uint32_t size_class;
    _Alignas(16) krsi_element data[];
} krsi_buffer;

typedef struct step {
    const krsi_node *node;
    uint32_t id;
    uint32_t first_operand; /* in eval->operand */
    uint32_t first_drop;    /* in eval->drop, up to the next step's */
    uint32_t last_reader;   /* of its value; FOREVER for roots and constants */
    bool constant;
    bool *asked;          /* of a scan: by result, somebody reads it */
    krsi_eval_body *body; /* of a scan */
} step;

typedef struct binding {
    const void *data;
    krsi_form form;
} binding;

struct krsi_eval {
    const krs_graph *graph;
    step *step; /* one more at the end, to close the lists */
    krsi_value *value;
    binding *bound;
    uint32_t steps;
    uint32_t *operand, *drop;
    uint32_t *step_of; /* by id */
    uint32_t *root;
    size_t roots;
    const atomic_int *cancel; /* of this run */
    krsi_buffer *free_list[SIZE_CLASSES];
};

static krsi_eval_rule *const rules[KRSI_OP_COUNT] = {
#define PRIMITIVE(ID, name, ...) [KRSI_##ID] = krsi_eval_##name,
#define COMPOSITE(...)
#include "ops.def"
#undef PRIMITIVE
#undef COMPOSITE
};

/* ---- memory ---- */

/* Classes hold 8, 10, 12, 14, 16, 20, 24, 28, 32, ... elements: at most a
 * quarter is wasted. */
static uint32_t
size_class(int64_t elements, int64_t *out_capacity)
{
    if (elements <= 8) {
        *out_capacity = 8;
        return 0;
    }
    uint64_t last = (uint64_t)elements - 1;
    uint32_t power = 63 - (uint32_t)__builtin_clzll(last);
    uint32_t quarter = (uint32_t)(last >> (power - 2) & 3);
    *out_capacity = (int64_t)(5 + quarter) << (power - 2);
    return (power - 3) * 4 + quarter + 1;
}

static void
free_lists_clear(krsi_eval *eval)
{
    for (int i = 0; i < SIZE_CLASSES; i++)
        while (eval->free_list[i]) {
            krsi_buffer *next = eval->free_list[i]->next;
            free(eval->free_list[i]);
            eval->free_list[i] = next;
        }
}

static krsi_buffer *
buffer_new(krsi_eval *eval, int64_t elements)
{
    int64_t capacity, bytes;
    if (elements > INT64_MAX / 32)
        return NULL;
    uint32_t class = size_class(elements, &capacity);
    krsi_buffer *buffer = eval->free_list[class];
    if (buffer) {
        eval->free_list[class] = buffer->next;
    } else {
        bytes = capacity * (int64_t)sizeof *buffer->data;
        size_t total = sizeof *buffer + (size_t)bytes;
        buffer = malloc(total);
        if (!buffer) { /* what other sizes hold in reserve may be enough */
            free_lists_clear(eval);
            buffer = malloc(total);
        }
        if (!buffer)
            return NULL;
        buffer->size_class = class;
    }
    buffer->next = NULL;
    buffer->readers = 1;
    return buffer;
}

static void
buffer_drop(krsi_eval *eval, krsi_buffer *buffer)
{
    if (--buffer->readers > 0)
        return;
    buffer->next = eval->free_list[buffer->size_class];
    eval->free_list[buffer->size_class] = buffer;
}

static void
value_drop(krsi_eval *eval, krsi_value *value)
{
    if (value->buffer)
        buffer_drop(eval, value->buffer);
    value->buffer = NULL;
    value->block = NULL;
}

/* ---- what rules ask for ---- */

const krsi_value *
krsi_in(const krsi_call *call, uint32_t i)
{
    const krsi_eval *eval = call->eval;
    uint32_t first = eval->step[call->step].first_operand;
    return &eval->value[eval->operand[first + i]];
}

const krs_graph *
krsi_call_graph(const krsi_call *call)
{
    return call->eval->graph;
}

static krs_status
out_of_memory(const krsi_call *call, int64_t elements)
{
    return krsi_call_fail(call, KRS_E_MEMORY,
                          "no memory for %lld elements of 8 bytes",
                          (long long)elements);
}

krs_status
krsi_out_new(krsi_call *call)
{
    return krsi_out_room(call, call->out->elements);
}

krs_status
krsi_out_alias(krsi_call *call, uint32_t i)
{
    const krsi_value *in = krsi_in(call, i);
    krsi_value *out = call->out;
    if (in->elements < out->elements)
        return krsi_call_fail(
            call, KRS_E_INTERNAL, "%lld elements cannot become %lld",
            (long long)in->elements, (long long)out->elements);
    out->buffer = in->buffer;
    out->block = in->block;
    if (out->buffer)
        out->buffer->readers++;
    return KRS_OK;
}

krs_status
krsi_out_room(krsi_call *call, int64_t elements)
{
    krsi_value *out = call->out;
    out->buffer = buffer_new(call->eval, elements);
    if (!out->buffer)
        return out_of_memory(call, elements);
    out->e = out->buffer->data;
    return KRS_OK;
}

krs_status
krsi_out_part(krsi_call *call, uint32_t i, int64_t from)
{
    const krsi_value *in = krsi_in(call, i);
    krsi_value *out = call->out;
    out->buffer = in->buffer;
    out->e = in->e + from;
    out->buffer->readers++;
    return KRS_OK;
}

krsi_eval_body *
krsi_call_body(const krsi_call *call)
{
    const krsi_eval *eval = call->eval;
    const step *at = &eval->step[call->step];
    return at->node->op == KRSI_SCAN
               ? at->body
               : eval->step[eval->operand[at->first_operand]].body;
}

const atomic_int *
krsi_call_cancel(const krsi_call *call)
{
    return call->eval->cancel;
}

static bool
dies_here(const krsi_call *call, uint32_t i)
{
    const krsi_eval *eval = call->eval;
    uint32_t first = eval->step[call->step].first_operand;
    uint32_t from = eval->operand[first + i];
    const krsi_buffer *buffer = eval->value[from].buffer;
    return buffer && buffer->readers == 1 &&
           eval->step[from].last_reader == call->step;
}

krs_status
krsi_out_reuse(krsi_call *call)
{
    for (uint32_t i = 0; i < call->node->count; i++)
        if (dies_here(call, i) &&
            krsi_in(call, i)->elements == call->out->elements)
            return krsi_out_alias(call, i);
    return krsi_out_new(call);
}

krs_status
krsi_out_copy(krsi_call *call, uint32_t i)
{
    const krsi_value *in = krsi_in(call, i);
    uint32_t uses = 0; /* another operand may be the same value: it is read */
    for (uint32_t k = 0; k < call->node->count; k++)
        uses += krsi_in(call, k) == in;
    if (uses == 1 && dies_here(call, i))
        return krsi_out_alias(call, i);
    KRS_TRY(krsi_out_new(call));
    if (in->elements > 0)
        memcpy(call->out->e, in->e, (size_t)in->elements * sizeof *in->e);
    return KRS_OK;
}

krsi_element *
krsi_scratch(krsi_call *call, int64_t elements)
{
    krsi_buffer *buffer = buffer_new(call->eval, elements);
    if (!buffer) {
        out_of_memory(call, elements);
        return NULL;
    }
    return buffer->data;
}

void
krsi_scratch_free(krsi_call *call, krsi_element *scratch)
{
    char *start = (char *)scratch - offsetof(krsi_buffer, data);
    buffer_drop(call->eval, (krsi_buffer *)(void *)start);
}

const void *
krsi_bound(const krsi_call *call, krsi_form *out_form)
{
    *out_form = call->eval->bound[call->step].form;
    return call->eval->bound[call->step].data;
}

krs_status
krsi_call_fail(const krsi_call *call, krs_status status, const char *format,
               ...)
{
    const krs_graph *g = call->eval->graph;
    const krsi_node *n = call->node;
    char text[KRS_ERROR_TEXT];
    krs_error inner;
    va_list args;
    va_start(args, format);
    krsi_string s = {0};
    krsi_string_vformat(&s, format, args);
    va_end(args);
    krs_fail(&inner, status, "%s", s.text ? s.text : "memory is out");
    memcpy(text, inner.text, sizeof text);
    krsi_string_free(&s);
    const char *scope = g->string[n->scope], *file = g->string[n->file];
    const char *name = krsi_ops[n->op].name;
    if (*file)
        return krs_fail(call->err, status, "%s%s%s: %s (%s:%u)", scope,
                        *scope ? ": " : "", name, text, file,
                        (unsigned)n->line);
    return krs_fail(call->err, status, "%s%s%s: %s", scope, *scope ? ": " : "",
                    name, text);
}

/* Bring a result to its type: once, here, for every operation. */
static void
settle(krsi_value *out)
{
    krs_dtype dtype = (krs_dtype)out->dtype;
    if (!out->buffer)
        return; /* constants and bound data are of their type already */
    if (dtype == KRS_F16 || dtype == KRS_BF16)
        for (int64_t i = 0; i < out->elements; i++)
            out->f[i] = krsi_round_float(dtype, out->f[i]);
    else if (dtype == KRS_I32 || dtype == KRS_I8 || dtype == KRS_U8)
        for (int64_t i = 0; i < out->elements; i++)
            out->i[i] = krsi_wrap_int(dtype, out->i[i]);
}

/* ---- preparing ---- */

static void
set_extents(krsi_value *value, const krsi_node *n, const int64_t *var)
{
    krs_shape shape = {.rank = n->rank};
    for (int a = 0; a < n->rank; a++) {
        bool live = n->live_axes >> a & 1;
        value->dim[a] = live ? krsi_index_value(n->live[a], var) : n->dim[a];
        shape.dim[a] = value->dim[a];
    }
    krs_shape_elements(shape, &value->elements); /* fits: krsi_add checked */
}

/* Fill eval->step_of with 0 for the ids that roots need, NO_STEP elsewhere;
 * count them and their operands. */
static krs_status
mark(krsi_eval *eval, const krs_graph *g, size_t *out_operands, krs_error *err)
{
    for (size_t id = 0; id <= g->nodes; id++)
        eval->step_of[id] = NO_STEP;
    for (size_t i = 0; i < eval->roots; i++)
        eval->step_of[eval->root[i]] = 0;
    *out_operands = 0;
    for (size_t id = g->nodes; id > 0; id--) {
        const krsi_node *n = g->node[id];
        if (eval->step_of[id] == NO_STEP)
            continue;
        if (krsi_ops[n->op].composite || !rules[n->op])
            return krs_fail(err, KRS_E_INTERNAL,
                            "eval: node %zu is a %s, which is not a primitive",
                            id, krsi_ops[n->op].name);
        eval->steps++;
        *out_operands += n->count;
        for (uint32_t k = 0; k < n->count; k++)
            eval->step_of[n->in[k]] = 0;
    }
    return KRS_OK;
}

/* Number the steps, and find each value's last reader. */
static void
number_steps(krsi_eval *eval, const krs_graph *g)
{
    uint32_t s = 0, operands = 0;
    for (uint32_t id = 1; id <= g->nodes; id++) {
        if (eval->step_of[id] == NO_STEP)
            continue;
        const krsi_node *n = g->node[id];
        eval->step_of[id] = s;
        eval->step[s] =
            (step){.node = n,
                   .id = id,
                   .first_operand = operands,
                   .constant = n->op == KRSI_CONSTANT || n->op == KRSI_FULL};
        eval->value[s].rank = n->rank;
        eval->value[s].dtype = n->dtype;
        for (uint32_t k = 0; k < n->count; k++) {
            uint32_t from = eval->step_of[n->in[k]];
            eval->operand[operands++] = from;
            eval->step[from].last_reader = s;
        }
        s++;
    }
    eval->step[s].first_operand = operands;
    for (uint32_t i = 0; i < s; i++)
        if (eval->step[i].constant)
            eval->step[i].last_reader = FOREVER;
    for (size_t i = 0; i < eval->roots; i++)
        eval->step[eval->step_of[eval->root[i]]].last_reader = FOREVER;
}

/* List the values that die after each step, by a counting sort. */
static void
list_drops(krsi_eval *eval)
{
    for (uint32_t s = 0; s < eval->steps; s++)
        if (eval->step[s].last_reader < eval->steps)
            eval->step[eval->step[s].last_reader].first_drop++;
    uint32_t total = 0;
    for (uint32_t s = 0; s <= eval->steps; s++) {
        total += eval->step[s].first_drop;
        eval->step[s].first_drop = total;
    }
    for (uint32_t s = eval->steps; s-- > 0;)
        if (eval->step[s].last_reader < eval->steps)
            eval->drop[--eval->step[eval->step[s].last_reader].first_drop] = s;
}

static krs_status
run_step(krsi_eval *eval, uint32_t s, const int64_t *var, krs_error *err)
{
    const step *at = &eval->step[s];
    krsi_call call = {.eval = eval,
                      .node = at->node,
                      .var = var,
                      .step = s,
                      .out = &eval->value[s],
                      .err = err};
    if (at->node->live_axes)
        set_extents(call.out, at->node, var);
    KRS_TRY(rules[at->node->op](&call));
    settle(call.out);
    return KRS_OK;
}

/* The bodies of scans, with the results that a step reads. */
static krs_status
prepare_bodies(krsi_eval *eval, const krs_graph *g, krs_error *err)
{
    for (uint32_t s = 0; s < eval->steps; s++) {
        step *at = &eval->step[s];
        if (at->node->op == KRSI_SCAN) {
            krsi_loop l = krsi_loop_of(g, at->node);
            at->asked = calloc((size_t)l.body->results + l.carries, 1);
            if (!at->asked)
                return krs_fail(err, KRS_E_MEMORY,
                                "eval: no memory for a scan");
        } else if (at->node->op == KRSI_RESULT) {
            step *scan = &eval->step[eval->operand[at->first_operand]];
            scan->asked[krsi_int(at->node, 0)] = true;
        }
    }
    for (uint32_t s = 0; s < eval->steps; s++) {
        step *at = &eval->step[s];
        if (at->asked)
            KRS_TRY(krsi_eval_body_new(g, at->node, at->asked, &at->body, err));
    }
    return KRS_OK;
}

static krs_status
prepare(krsi_eval *eval, const krs_graph *g, krs_error *err)
{
    size_t operands;
    eval->step_of = malloc((g->nodes + 1) * sizeof *eval->step_of);
    if (!eval->step_of)
        return krs_fail(err, KRS_E_MEMORY, "eval: no memory for %zu nodes",
                        g->nodes);
    KRS_TRY(mark(eval, g, &operands, err));
    eval->step = calloc((size_t)eval->steps + 1, sizeof *eval->step);
    eval->value = calloc((size_t)eval->steps + 1, sizeof *eval->value);
    eval->bound = calloc((size_t)eval->steps + 1, sizeof *eval->bound);
    eval->drop = malloc(((size_t)eval->steps + 1) * sizeof *eval->drop);
    eval->operand = malloc((operands + 1) * sizeof *eval->operand);
    if (!eval->step || !eval->value || !eval->bound || !eval->drop ||
        !eval->operand)
        return krs_fail(err, KRS_E_MEMORY, "eval: no memory for %u steps",
                        (unsigned)eval->steps);
    number_steps(eval, g);
    list_drops(eval);
    KRS_TRY(prepare_bodies(eval, g, err));
    for (uint32_t s = 0; s < eval->steps; s++) {
        if (!eval->step[s].node->live_axes)
            set_extents(&eval->value[s], eval->step[s].node, NULL);
        if (eval->step[s].constant)
            KRS_TRY(run_step(eval, s, NULL, err));
    }
    return KRS_OK;
}

krs_status
krsi_eval_new(const krs_graph *g, const uint32_t *roots, size_t count,
              krsi_eval **out, krs_error *err)
{
    *out = NULL;
    for (size_t i = 0; i < count; i++)
        if (roots[i] == 0 || roots[i] > g->nodes)
            return krs_fail(err, KRS_E_INTERNAL,
                            "eval: root %zu is no node of the graph", i);
    krsi_eval *eval = calloc(1, sizeof *eval);
    uint32_t *root = calloc(count + 1, sizeof *root);
    if (!eval || !root) {
        free(eval);
        free(root);
        return krs_fail(err, KRS_E_MEMORY, "eval: no memory for %zu roots",
                        count);
    }
    if (count > 0)
        memcpy(root, roots, count * sizeof *root);
    eval->graph = g;
    eval->root = root;
    eval->roots = count;
    krs_status status = prepare(eval, g, err);
    if (status != KRS_OK) {
        krsi_eval_free(eval);
        return status;
    }
    *out = eval;
    return KRS_OK;
}

void
krsi_eval_free(krsi_eval *eval)
{
    if (!eval)
        return;
    if (eval->value)
        for (uint32_t s = 0; s < eval->steps; s++)
            value_drop(eval, &eval->value[s]);
    free_lists_clear(eval);
    for (uint32_t s = 0; eval->step && s < eval->steps; s++) {
        free(eval->step[s].asked);
        krsi_eval_body_free(eval->step[s].body);
    }
    free(eval->step);
    free(eval->value);
    free(eval->bound);
    free(eval->drop);
    free(eval->operand);
    free(eval->step_of);
    free(eval->root);
    free(eval);
}

/* ---- running ---- */

void
krsi_eval_bind(krsi_eval *eval, uint32_t id, const void *data, krsi_form form)
{
    if (id > eval->graph->nodes || eval->step_of[id] == NO_STEP)
        return;
    eval->bound[eval->step_of[id]] = (binding){data, form};
}

static void
drop_all(krsi_eval *eval)
{
    for (uint32_t s = 0; s < eval->steps; s++)
        if (!eval->step[s].constant)
            value_drop(eval, &eval->value[s]);
}

krs_status
krsi_eval_run(krsi_eval *eval, const int64_t *var, const atomic_int *cancel,
              krs_error *err)
{
    eval->cancel = cancel;
    drop_all(eval); /* the roots of the run before */
    for (uint32_t s = 0; s < eval->steps; s++) {
        krs_status status = KRS_OK;
        if (eval->step[s].constant)
            continue;
        if (cancel && atomic_load(cancel))
            status = krs_fail(err, KRS_E_CANCELLED,
                              "the run was cancelled at step %u of %u",
                              (unsigned)s, (unsigned)eval->steps);
        if (status == KRS_OK)
            status = run_step(eval, s, var, err);
        if (status != KRS_OK) {
            drop_all(eval);
            return status;
        }
        uint32_t end = eval->step[s + 1].first_drop;
        for (uint32_t d = eval->step[s].first_drop; d < end; d++)
            value_drop(eval, &eval->value[eval->drop[d]]);
    }
    return KRS_OK;
}

const krsi_value *
krsi_eval_root(const krsi_eval *eval, size_t i)
{
    return &eval->value[eval->step_of[eval->root[i]]];
}

static void
store(krs_dtype dtype, krsi_form form, char *dst, const krsi_element *src,
      int64_t count)
{
    if (form == KRSI_NATIVE)
        krsi_to_native(dtype, dst, src, count);
    else
        memcpy(dst, src, (size_t)count * sizeof *src);
}

void
krsi_eval_read(const krsi_eval *eval, size_t i, void *data, krsi_form form)
{
    uint32_t s = eval->step_of[eval->root[i]];
    const krsi_node *n = eval->step[s].node;
    const krsi_value *value = &eval->value[s];
    krs_dtype dtype = (krs_dtype)n->dtype;
    krs_shape shape = {.rank = n->rank};
    int64_t elements;
    size_t bytes = 0;
    for (int a = 0; a < n->rank; a++)
        shape.dim[a] = n->dim[a];
    krs_shape_elements(shape, &elements);
    if (elements == 0)
        return;
    krs_dtype_bytes(dtype, elements, &bytes);
    if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK) {
        memcpy(data, value->block, bytes);
        return;
    }
    if (value->elements == elements) {
        store(dtype, form, data, value->e, elements);
        return;
    }
    size_t size =
        form == KRSI_WIDE ? sizeof(krsi_element) : bytes / (size_t)elements;
    memset(data, 0, (size_t)elements * size);
    /* row by row of the last axis; at[] counts the rows at run time */
    int64_t at[KRS_MAX_RANK] = {0}, row = value->dim[n->rank - 1];
    for (int64_t from = 0; from < value->elements; from += row) {
        int64_t to = 0;
        for (int a = 0; a < n->rank; a++)
            to = to * n->dim[a] + at[a];
        store(dtype, form, (char *)data + (size_t)to * size, value->e + from,
              row);
        for (int a = n->rank - 2; a >= 0 && ++at[a] == value->dim[a]; a--)
            at[a] = 0;
    }
}
