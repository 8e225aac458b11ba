/* program.c -- a graph made ready to run on a device.
 *
 * krs_program_new compiles a copy of the graph part that the outputs need
 * (graph/compile.c), binds its states to tensors of the store and hands the
 * graph to the device. Every output has memory of its own, but for updates
 * that the device writes where the state lies. A run binds the memories,
 * computes, and then, only if all went well, applies the other updates: a
 * state exchanges its memory for that of its new value. So updates see the
 * old values of each other, a failed run changes nothing, nothing is copied.
 */
#include "program.h"

#include <stdlib.h>
#include <string.h>

/* An input of the user's graph, needed here or not. */
typedef struct input {
    char *name;
    uint32_t id; /* in the compiled graph; 0: not needed */
    krs_dtype dtype;
    krs_shape shape;
    size_t bytes;
    krsi_memory *memory; /* NULL: never set */
} input;

typedef struct state {
    uint32_t id;
    krsi_tensor *tensor;
} state;

typedef struct update {
    size_t output;
    krsi_tensor *tensor;
    bool is_in_place; /* the device writes it there */
} update;

struct krs_program {
    krs_device *device;
    const krsi_device_kind *kind; /* of device */
    krs_graph *graph;             /* compiled: primitives only */
    void *prepared;
    uint32_t *output;     /* ids */
    krsi_memory **memory; /* of the outputs */
    size_t outputs;
    input *input;
    size_t inputs;
    state *state;
    size_t states;
    update *update;
    size_t updates;
    bool writes_states; /* in place */
    int64_t *var;
    bool *var_set, *var_needed;
    bool is_made; /* the observer knows it */
    bool has_run; /* outputs can be read */
    atomic_int cancelled;
};

static size_t
node_bytes(const krsi_node *n)
{
    krs_shape shape = {.rank = n->rank};
    int64_t elements = 0;
    size_t bytes = 0;
    for (int a = 0; a < n->rank; a++)
        shape.dim[a] = n->dim[a];
    krs_shape_elements(shape, &elements); /* fits: the node was accepted */
    krs_dtype_bytes((krs_dtype)n->dtype, elements, &bytes);
    return bytes;
}

static const char *
leaf_name(const krs_graph *g, const krsi_node *n)
{
    return g->string[krsi_int(n, 0)];
}

static krs_status
no_memory(const char *function, krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "%s: no memory", function);
}

/* ---- making one ---- */

static krs_status
check_outputs(const krs_node *outputs, size_t count, krs_error *err)
{
    if (count == 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "program_new: a program needs at least one output");
    for (size_t i = 0; i < count; i++) {
        if (!outputs[i].graph)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "program_new: output %zu is no node", i);
        KRS_TRY(krs_graph_check(outputs[i].graph, err));
        if (!krs_node_is_valid(outputs[i]))
            return krs_fail(err, KRS_E_GRAPH,
                            "program_new: output %zu is poisoned", i);
        if (outputs[i].graph != outputs[0].graph)
            return krs_fail(err, KRS_E_GRAPH,
                            "program_new: output %zu belongs to another graph "
                            "than output 0",
                            i);
    }
    return KRS_OK;
}

/* All inputs that the user's graph declares. */
static krs_status
list_inputs(krs_program *p, const krs_graph *g, krs_error *err)
{
    p->input = calloc(g->leaves + 1, sizeof *p->input);
    if (!p->input)
        return no_memory("program_new", err);
    for (size_t i = 0; i < g->leaves; i++) {
        const krsi_node *n = g->node[g->leaf[i]];
        if (n->op != KRSI_INPUT)
            continue;
        input *in = &p->input[p->inputs];
        in->name = strdup(leaf_name(g, n));
        if (!in->name)
            return no_memory("program_new", err);
        in->dtype = (krs_dtype)n->dtype;
        in->shape = krs_node_shape(krsi_handle(g, g->leaf[i]));
        in->bytes = node_bytes(n);
        p->inputs++;
    }
    return KRS_OK;
}

static input *
find_input(const krs_program *p, const char *name)
{
    for (size_t i = 0; i < p->inputs; i++)
        if (strcmp(p->input[i].name, name) == 0)
            return &p->input[i];
    return NULL;
}

/* A state of the user's graph against what the store has. */
static krs_status
check_state(const krs_graph *g, uint32_t id, const krs_store *store,
            krs_error *err)
{
    const krsi_node *n = g->node[id];
    char have[KRSI_TENSOR_TEXT], want[KRSI_TENSOR_TEXT];
    krs_shape shape = krs_node_shape(krsi_handle(g, id));
    krsi_tensor *tensor = krsi_store_tensor(store, leaf_name(g, n));
    if (!tensor ||
        (tensor->dtype == n->dtype && krsi_shape_equal(tensor->shape, shape)))
        return KRS_OK;
    return krs_fail(err, KRS_E_NAME,
                    "program_new: state '%s' is %s in the store, %s in the "
                    "graph",
                    tensor->name,
                    krsi_tensor_text(have, tensor->dtype, tensor->shape),
                    krsi_tensor_text(want, (krs_dtype)n->dtype, shape));
}

/* All states that the outputs need in the user's graph come into the store,
 * also those that the compiled graph can do without. Conflicts are found
 * before any is added. */
static krs_status
add_states(const krs_graph *g, const uint32_t *need, krs_store *store,
           krs_error *err)
{
    for (size_t i = 0; i < g->leaves; i++) {
        uint32_t id = g->leaf[i];
        if (need[id] && g->node[id]->op == KRSI_STATE)
            KRS_TRY(check_state(g, id, store, err));
    }
    for (size_t i = 0; i < g->leaves; i++) {
        uint32_t id = g->leaf[i];
        const krsi_node *n = g->node[id];
        if (need[id] && n->op == KRSI_STATE)
            KRS_TRY(krs_store_add(store, leaf_name(g, n), (krs_dtype)n->dtype,
                                  krs_node_shape(krsi_handle(g, id)), err));
    }
    return KRS_OK;
}

/* Leaves of the compiled graph. */
static krs_status
bind_leaves(krs_program *p, krs_store *store, krs_error *err)
{
    const krs_graph *g = p->graph;
    p->state = calloc(g->leaves + 1, sizeof *p->state);
    if (!p->state)
        return no_memory("program_new", err);
    for (size_t i = 0; i < g->leaves; i++) {
        uint32_t id = g->leaf[i];
        const krsi_node *n = g->node[id];
        if (n->op == KRSI_INPUT) {
            find_input(p, leaf_name(g, n))->id = id;
            continue;
        }
        p->state[p->states++] = (state){
            .id = id, .tensor = krsi_store_tensor(store, leaf_name(g, n))};
    }
    return KRS_OK;
}

/* At most one update a state among the outputs of the user's graph: one that
 * changes nothing counts, whatever becomes of it. */
static krs_status
check_updates(const krs_node *outputs, size_t count, krs_error *err)
{
    const krs_graph *g = outputs[0].graph;
    /* by id of a state: the update that was seen */
    uint32_t *seen = calloc(g->nodes + 1, sizeof *seen);
    krs_status status = seen ? KRS_OK : no_memory("program_new", err);
    for (size_t i = 0; i < count && status == KRS_OK; i++) {
        const krsi_node *n = g->node[outputs[i].id];
        if (n->op != KRSI_UPDATE)
            continue;
        if (seen[n->in[0]] && seen[n->in[0]] != outputs[i].id)
            status = krs_fail(err, KRS_E_NAME,
                              "program_new: output %zu: state '%s' is updated "
                              "a second time, with another value",
                              i, leaf_name(g, g->node[n->in[0]]));
        seen[n->in[0]] = outputs[i].id;
    }
    free(seen);
    return status;
}

/* The updates among the outputs of the compiled graph, each once. */
static krs_status
list_updates(krs_program *p, krs_error *err)
{
    const krs_graph *g = p->graph;
    p->update = calloc(p->outputs, sizeof *p->update);
    bool *seen = calloc(g->nodes + 1, sizeof *seen);
    krs_status status =
        p->update && seen ? KRS_OK : no_memory("program_new", err);
    for (size_t i = 0; i < p->outputs && status == KRS_OK; i++) {
        if (g->node[p->output[i]]->op == KRSI_UPDATE && !seen[p->output[i]])
            p->update[p->updates++].output = i;
        seen[p->output[i]] = true;
    }
    free(seen);
    return status;
}

static krs_status
make_outputs(krs_program *p, const krs_store *store, krs_error *err)
{
    const krs_graph *g = p->graph;
    p->memory = calloc(p->outputs, sizeof(krsi_memory *));
    if (!p->memory)
        return no_memory("program_new", err);
    for (size_t i = 0; i < p->outputs; i++) {
        size_t bytes = node_bytes(g->node[p->output[i]]);
        if (p->kind->is_in_place(p->prepared, i))
            continue;
        if (p->kind->alloc(p->device->state, bytes, &p->memory[i], NULL) !=
            KRS_OK)
            return krs_fail(err, KRS_E_MEMORY,
                            "program_new: output %zu: no memory for %zu bytes",
                            i, bytes);
    }
    for (size_t i = 0; i < p->updates; i++) {
        update *u = &p->update[i];
        const krsi_node *n = g->node[p->output[u->output]];
        u->tensor = krsi_store_tensor(store, leaf_name(g, g->node[n->in[0]]));
        u->is_in_place = p->kind->is_in_place(p->prepared, u->output);
        p->writes_states |= u->is_in_place;
    }
    return KRS_OK;
}

static void
need_index(krs_program *p, krs_index index)
{
    for (int t = 0; t < index.terms; t++)
        p->var_needed[index.var[t]] = true;
}

/* Which variables do the nodes mention, in attributes or live lengths? */
static void
need_vars_of(krs_program *p, const krsi_node *n)
{
    const char *spec = krsi_ops[n->op].attributes;
    krsi_attr attr;
    for (int a = 0; a < n->rank; a++)
        if (n->live_axes >> a & 1)
            need_index(p, n->live[a]);
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)); k++) {
        krs_index index = KRS_INDEX(0);
        if (attr.kind != 'X')
            continue;
        int count = krsi_attr_index((enum krsi_op)n->op, n->word, k, 0, &index);
        for (int i = 0; i < count; i++)
            need_index(p, krsi_index(n, k, i));
    }
}

static krs_status
list_vars(krs_program *p, krs_error *err)
{
    const krs_graph *g = p->graph;
    p->var = calloc(g->vars + 1, sizeof *p->var);
    p->var_set = calloc(g->vars + 1, sizeof *p->var_set);
    p->var_needed = calloc(g->vars + 1, sizeof *p->var_needed);
    uint32_t *need = calloc(g->nodes + 1, sizeof *need);
    if (!p->var || !p->var_set || !p->var_needed || !need) {
        free(need);
        return no_memory("program_new", err);
    }
    krsi_mark(g, p->output, p->outputs, need);
    for (size_t id = 1; id <= g->nodes; id++)
        if (need[id])
            need_vars_of(p, g->node[id]);
    free(need);
    return KRS_OK;
}

static krs_status
prepare(krs_program *p, const krs_graph *g, krs_error *err)
{
    KRS_TRY(krsi_compile(g, p->output, p->outputs, p->device->stage,
                         p->device->composites, &p->graph, p->output, err));
    KRS_TRY(list_inputs(p, g, err));
    KRS_TRY(list_updates(p, err));
    KRS_TRY(list_vars(p, err));
    return p->kind->prepare(p->device->state, p->graph, p->output, p->outputs,
                            &p->prepared, err);
}

static krs_status
build(krs_program *p, krs_store *store, const krs_node *outputs, size_t count,
      krs_error *err)
{
    const krs_graph *g = outputs[0].graph;
    p->device = krsi_store_device(store);
    p->kind = p->device->kind;
    p->output = calloc(count, sizeof *p->output);
    if (!p->output)
        return no_memory("program_new", err);
    p->outputs = count;
    for (size_t i = 0; i < count; i++)
        p->output[i] = outputs[i].id;
    KRS_TRY(check_updates(outputs, count, err));
    uint32_t *need = calloc(g->nodes + 1, sizeof *need);
    if (!need)
        return no_memory("program_new", err);
    krsi_mark(g, p->output, count, need);
    krs_status status = prepare(p, g, err);
    if (status == KRS_OK)
        status = add_states(g, need, store, err);
    free(need);
    KRS_TRY(status);
    KRS_TRY(bind_leaves(p, store, err));
    return make_outputs(p, store, err);
}

static void
tell(krs_program *p, krs_program_event event)
{
    if (p->device->observe)
        p->device->observe(p->device->context, p, event);
}

krs_status
krs_program_new(krs_store *store, const krs_node *outputs, size_t count,
                krs_program **out, krs_error *err)
{
    *out = NULL;
    KRS_TRY(check_outputs(outputs, count, err));
    krs_program *p = calloc(1, sizeof *p);
    if (!p)
        return no_memory("program_new", err);
    atomic_init(&p->cancelled, 0);
    krs_status status = build(p, store, outputs, count, err);
    if (status != KRS_OK) {
        krs_program_free(p);
        return status;
    }
    *out = p;
    p->is_made = true;
    tell(p, KRS_PROGRAM_MADE);
    return KRS_OK;
}

void
krs_program_free(krs_program *p)
{
    if (!p)
        return;
    if (p->is_made)
        tell(p, KRS_PROGRAM_ENDS);
    if (p->prepared)
        p->kind->discard(p->prepared);
    for (size_t i = 0; i < p->inputs; i++) {
        free(p->input[i].name);
        p->kind->free(p->device->state, p->input[i].memory);
    }
    for (size_t i = 0; p->memory && i < p->outputs; i++)
        p->kind->free(p->device->state, p->memory[i]);
    free(p->memory);
    free(p->input);
    free(p->state);
    free(p->update);
    free(p->output);
    free(p->var);
    free(p->var_set);
    free(p->var_needed);
    krs_graph_free(p->graph);
    free(p);
}

/* ---- using it ---- */

krs_status
krs_program_set_input(krs_program *p, const char *name, const void *data,
                      size_t bytes, krs_error *err)
{
    input *in = find_input(p, name);
    char text[KRSI_TENSOR_TEXT];
    if (!in)
        return krs_fail(err, KRS_E_NAME,
                        "program_set_input: the graph has no input '%s'", name);
    if (bytes != in->bytes)
        return krs_fail(err, KRS_E_RANGE,
                        "program_set_input: '%s' is %s, %zu bytes, not %zu",
                        name, krsi_tensor_text(text, in->dtype, in->shape),
                        in->bytes, bytes);
    if (in->id == 0)
        return KRS_OK;
    void *device = p->device->state;
    if (!in->memory &&
        p->kind->alloc(device, bytes, &in->memory, NULL) != KRS_OK)
        return krs_fail(err, KRS_E_MEMORY,
                        "program_set_input: '%s': no memory for %zu bytes",
                        name, bytes);
    return p->kind->write(device, in->memory, data, bytes, err);
}

krs_status
krs_program_set_var(krs_program *p, const char *name, int64_t value,
                    krs_error *err)
{
    int32_t number = krsi_var_by_name(p->graph, name);
    if (number < 0)
        return krs_fail(err, KRS_E_NAME,
                        "program_set_var: the graph has no variable '%s'",
                        name);
    const krsi_var *v = &p->graph->var[number];
    if (value < v->low || value > v->high)
        return krs_fail(err, KRS_E_RANGE,
                        "program_set_var: '%s' = %lld is outside [%lld, %lld]",
                        name, (long long)value, (long long)v->low,
                        (long long)v->high);
    p->var[number] = value;
    p->var_set[number] = true;
    return KRS_OK;
}

static krs_status
check_ready(const krs_program *p, krs_error *err)
{
    char text[KRSI_TENSOR_TEXT];
    for (size_t i = 0; i < p->inputs; i++) {
        const input *in = &p->input[i];
        if (in->id && !in->memory)
            return krs_fail(
                err, KRS_E_NAME, "program_run: input '%s' (%s) was never set",
                in->name, krsi_tensor_text(text, in->dtype, in->shape));
    }
    for (size_t i = 0; i < p->graph->vars; i++) {
        const krsi_var *v = &p->graph->var[i];
        if (p->var_needed[i] && !p->var_set[i])
            return krs_fail(err, KRS_E_NAME,
                            "program_run: variable '%s' (%lld to %lld) was "
                            "never set",
                            p->graph->string[v->name], (long long)v->low,
                            (long long)v->high);
    }
    return KRS_OK;
}

static void
apply_updates(krs_program *p)
{
    for (size_t i = 0; i < p->updates; i++) {
        update *u = &p->update[i];
        krsi_memory *old = u->tensor->memory;
        if (u->is_in_place)
            continue;
        u->tensor->memory = p->memory[u->output];
        p->memory[u->output] = old;
    }
}

krs_status
krs_program_run(krs_program *p, krs_error *err)
{
    KRS_TRY(check_ready(p, err));
    p->has_run = false;
    for (size_t i = 0; i < p->inputs; i++)
        if (p->input[i].id)
            p->kind->bind_leaf(p->prepared, p->input[i].id, p->input[i].memory);
    for (size_t i = 0; i < p->states; i++)
        p->kind->bind_leaf(p->prepared, p->state[i].id,
                           p->state[i].tensor->memory);
    for (size_t i = 0; i < p->outputs; i++)
        if (p->memory[i])
            p->kind->bind_root(p->prepared, i, p->memory[i]);
    krs_status status = p->kind->run(p->prepared, p->var, &p->cancelled, err);
    if (status == KRS_OK && p->writes_states) {
        /* it is too late to stop this run: a request waits for the next */
    } else if (atomic_exchange(&p->cancelled, 0) && status == KRS_OK) {
        status = krs_fail(err, KRS_E_CANCELLED,
                          "program_run: cancelled before its updates");
    }
    KRS_TRY(status);
    apply_updates(p);
    p->has_run = true;
    tell(p, KRS_PROGRAM_RAN);
    return KRS_OK;
}

static krs_status
check_output(const krs_program *p, const char *function, size_t i,
             krs_error *err)
{
    if (i < p->outputs)
        return KRS_OK;
    return krs_fail(err, KRS_E_RANGE,
                    "%s: output %zu of a program that has %zu", function, i,
                    p->outputs);
}

krs_status
krs_program_output(const krs_program *p, size_t i, krs_dtype *out_dtype,
                   krs_shape *out_shape, krs_error *err)
{
    KRS_TRY(check_output(p, "program_output", i, err));
    krs_node x = krsi_handle(p->graph, p->output[i]);
    if (out_dtype)
        *out_dtype = krs_node_dtype(x);
    if (out_shape)
        *out_shape = krs_node_shape(x);
    return KRS_OK;
}

/* where the value of an output is: an update gave its memory to the state */
static const krsi_memory *
output_memory(const krs_program *p, size_t i)
{
    for (size_t u = 0; u < p->updates; u++)
        if (p->update[u].output == i)
            return p->update[u].tensor->memory;
    return p->memory[i];
}

krs_status
krs_program_read(const krs_program *p, size_t i, void *data, size_t bytes,
                 krs_error *err)
{
    KRS_TRY(check_output(p, "program_read", i, err));
    const krsi_node *n = p->graph->node[p->output[i]];
    char text[KRSI_TENSOR_TEXT];
    size_t needed = node_bytes(n);
    if (bytes != needed)
        return krs_fail(err, KRS_E_RANGE,
                        "program_read: output %zu is %s, %zu bytes, not %zu", i,
                        krsi_tensor_text(text, (krs_dtype)n->dtype,
                                         krs_node_shape(krsi_handle(
                                             p->graph, p->output[i]))),
                        needed, bytes);
    if (!p->has_run)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "program_read: output %zu has no value: no run has "
                        "succeeded since the program was made or last failed",
                        i);
    return p->kind->read(p->device->state, output_memory(p, i), data, bytes,
                         err);
}

void
krs_program_cancel(krs_program *p)
{
    atomic_store(&p->cancelled, 1);
}

/* ---- looking inside ---- */

krs_status
krs_program_print(const krs_program *p, const char *stage, char **out_text,
                  krs_error *err)
{
    krs_print_options options = {
        .struct_size = sizeof options, .constant_limit = 8, .places = true};
    *out_text = NULL;
    if (strcmp(stage, p->device->stage ? p->device->stage : "opt") != 0)
        return p->kind->print(p->prepared, stage, out_text, err);
    krs_node *outputs = calloc(p->outputs, sizeof *outputs);
    if (!outputs)
        return no_memory("program_print", err);
    for (size_t i = 0; i < p->outputs; i++)
        outputs[i] = krsi_handle(p->graph, p->output[i]);
    krs_status status =
        krs_graph_print(p->graph, outputs, p->outputs, &options, out_text, err);
    free(outputs);
    return status;
}

void
krs_program_profile(krs_program *p, bool on)
{
    p->kind->profile(p->prepared, on);
}

krs_status
krs_program_launch(const krs_program *p, size_t i, krs_launch_info *out,
                   krs_error *err)
{
    if (out->struct_size != sizeof *out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "program_launch: info of %zu bytes where %zu are "
                        "known; set struct_size to sizeof the struct",
                        out->struct_size, sizeof *out);
    if (p->kind->launch(p->prepared, i, out))
        return KRS_OK;
    return krs_fail(err, KRS_E_RANGE, "program_launch: there is no launch %zu",
                    i);
}
