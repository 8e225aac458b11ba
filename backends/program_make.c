/* program_make.c -- a graph becomes a program.
 *
 * In: outputs of a graph, a device; for more than a plan, a store. Out: a
 * program. It compiles a copy of the graph part that the outputs need
 * (graph/compile.c), has the device plan it, and then has it make code and
 * memory, binds the states to tensors of the store, and gives every output
 * memory of its own, but for updates that the device writes where the state
 * lies. Whatever fails, the store keeps what it had.
 */
#include "program_parts.h"

#include "../graph/opt/opt.h"

#include <stdlib.h>
#include <string.h>

size_t
krsi_node_bytes(const krsi_node *n)
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

const char *
krsi_leaf_name(const krs_graph *g, const krsi_node *n)
{
    return g->string[krsi_int(n, 0)];
}

krs_status
krsi_program_no_memory(const char *function, krs_error *err)
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
    KRS_TRY(krsi_need(outputs, "program_new", "outputs", err));
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
        return krsi_program_no_memory("program_new", err);
    for (size_t i = 0; i < g->leaves; i++) {
        const krsi_node *n = g->node[g->leaf[i]];
        if (n->op != KRSI_INPUT)
            continue;
        krsi_input *in = &p->input[p->inputs];
        in->name = strdup(krsi_leaf_name(g, n));
        if (!in->name)
            return krsi_program_no_memory("program_new", err);
        in->dtype = (krs_dtype)n->dtype;
        in->shape = krs_node_shape(krsi_handle(g, g->leaf[i]));
        in->bytes = krsi_node_bytes(n);
        p->inputs++;
    }
    return KRS_OK;
}

krsi_input *
krsi_program_input(const krs_program *p, const char *name)
{
    for (size_t i = 0; i < p->inputs; i++)
        if (strcmp(p->input[i].name, name) == 0)
            return &p->input[i];
    return NULL;
}

krs_status
krsi_program_check_state(const krs_graph *g, uint32_t id,
                         const krs_store *store, krs_error *err)
{
    const krsi_node *n = g->node[id];
    char have[KRSI_TENSOR_TEXT], want[KRSI_TENSOR_TEXT];
    krs_shape shape = krs_node_shape(krsi_handle(g, id));
    krsi_tensor *tensor = krsi_store_tensor(store, krsi_leaf_name(g, n));
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
 * also those that the compiled graph can do without; those that it holds in
 * blocks are there. Conflicts are found before any is added. */
static krs_status
add_states(const krs_graph *g, const uint32_t *need, krs_store *store,
           krs_error *err)
{
    for (size_t i = 0; i < g->leaves; i++) {
        uint32_t id = g->leaf[i];
        if (need[id] && g->node[id]->op == KRSI_STATE &&
            !krsi_state_in_blocks(g, id, store))
            KRS_TRY(krsi_program_check_state(g, id, store, err));
    }
    for (size_t i = 0; i < g->leaves; i++) {
        uint32_t id = g->leaf[i];
        const krsi_node *n = g->node[id];
        if (need[id] && n->op == KRSI_STATE &&
            !krsi_state_in_blocks(g, id, store))
            KRS_TRY(krs_store_add(store, krsi_leaf_name(g, n),
                                  (krs_dtype)n->dtype,
                                  krs_node_shape(krsi_handle(g, id)), err));
    }
    return KRS_OK;
}

/* Leaves of the compiled graph. */
static krs_status
list_leaves(krs_program *p, krs_error *err)
{
    const krs_graph *g = p->graph;
    p->state = calloc(g->leaves + 1, sizeof *p->state);
    if (!p->state)
        return krsi_program_no_memory("program_new", err);
    for (size_t i = 0; i < g->leaves; i++) {
        const krsi_node *n = g->node[g->leaf[i]];
        if (n->op == KRSI_INPUT)
            krsi_program_input(p, krsi_leaf_name(g, n))->id = g->leaf[i];
        else
            p->state[p->states++].id = g->leaf[i];
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
    krs_status status =
        seen ? KRS_OK : krsi_program_no_memory("program_new", err);
    for (size_t i = 0; i < count && status == KRS_OK; i++) {
        const krsi_node *n = g->node[outputs[i].id];
        if (n->op != KRSI_UPDATE)
            continue;
        if (seen[n->in[0]] && seen[n->in[0]] != outputs[i].id)
            status = krs_fail(err, KRS_E_NAME,
                              "program_new: output %zu: state '%s' is updated "
                              "a second time, with another value",
                              i, krsi_leaf_name(g, g->node[n->in[0]]));
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
        p->update && seen ? KRS_OK : krsi_program_no_memory("program_new", err);
    for (size_t i = 0; i < p->outputs && status == KRS_OK; i++) {
        if (g->node[p->output[i]]->op == KRSI_UPDATE && !seen[p->output[i]])
            p->update[p->updates++].output = i;
        seen[p->output[i]] = true;
    }
    free(seen);
    return status;
}

krs_status
krsi_program_make_outputs(krs_program *p, const krs_store *store,
                          krs_error *err)
{
    const krs_graph *g = p->graph;
    p->memory = calloc(p->outputs, sizeof(krsi_memory *));
    if (!p->memory)
        return krsi_program_no_memory("program_new", err);
    for (size_t i = 0; i < p->outputs; i++) {
        size_t bytes = krsi_node_bytes(g->node[p->output[i]]);
        if (p->kind->is_in_place(p->prepared, i))
            continue;
        krs_error reason;
        krs_status status =
            p->kind->alloc(p->device->state, bytes, &p->memory[i], &reason);
        if (status != KRS_OK)
            return krs_fail(err, status, "program_new: output %zu: %s", i,
                            reason.text);
    }
    for (size_t i = 0; i < p->updates; i++) {
        krsi_update *u = &p->update[i];
        const krsi_node *n = g->node[p->output[u->output]];
        u->tensor =
            krsi_store_tensor(store, krsi_leaf_name(g, g->node[n->in[0]]));
        u->is_in_place = p->kind->is_in_place(p->prepared, u->output);
        p->writes_states |= u->is_in_place;
    }
    return KRS_OK;
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
        return krsi_program_no_memory("program_new", err);
    }
    krsi_mark(g, p->output, p->outputs, need);
    for (size_t id = 1; id <= g->nodes; id++)
        if (need[id])
            krsi_mark_vars(g, g->node[id], p->var_needed);
    free(need);
    return KRS_OK;
}

static uint64_t
count_states(const krs_graph *g, const uint32_t *need, const krs_store *store)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->leaves; i++) {
        uint32_t id = g->leaf[i];
        krsi_tensor *blocks = krsi_state_in_blocks(g, id, store);
        if (need[id] && g->node[id]->op == KRSI_STATE)
            sum += blocks ? blocks->bytes : krsi_node_bytes(g->node[id]);
    }
    return sum;
}

/* The graph that runs, its states as the store holds them. */
static krs_status
compile(krs_program *p, const krs_store *store, const krs_graph *g,
        const uint32_t *need, krs_error *err)
{
    krs_graph *read;
    KRS_TRY(krsi_program_read_blocks(g, need, p->output, p->outputs, store,
                                     &read, err));
    krs_status status =
        krsi_compile(read ? read : g, p->output, p->outputs, p->device->stage,
                     p->device->composites, &p->graph, p->output, err);
    krs_graph_free(read);
    return status;
}

/* All that is known without memory of the device; `need`, by node of the
 * user's graph: the outputs do. */
static krs_status
plan(krs_program *p, const krs_store *store, const krs_node *outputs,
     size_t count, uint32_t *need, krs_error *err)
{
    const krs_graph *g = outputs[0].graph;
    p->output = calloc(count, sizeof *p->output);
    if (!p->output)
        return krsi_program_no_memory("program_new", err);
    p->outputs = count;
    for (size_t i = 0; i < count; i++)
        p->output[i] = outputs[i].id;
    KRS_TRY(check_updates(outputs, count, err));
    krsi_mark(g, p->output, count, need);
    p->states_bytes = count_states(g, need, store);
    KRS_TRY(compile(p, store, g, need, err));
    KRS_TRY(list_inputs(p, g, err));
    KRS_TRY(list_leaves(p, err));
    KRS_TRY(list_updates(p, err));
    KRS_TRY(list_vars(p, err));
    return p->kind->prepare(p->device->state, p->graph, p->output, p->outputs,
                            &p->prepared, err);
}

void
krsi_program_find_states(krs_program *p, const krs_store *store)
{
    for (size_t i = 0; i < p->states; i++)
        p->state[i].tensor = krsi_store_tensor(
            store, krsi_leaf_name(p->graph, p->graph->node[p->state[i].id]));
}

/* Code, memory, and the tensors of the store. */
static krs_status
equip(krs_program *p, krs_store *store, const krs_graph *g,
      const uint32_t *need, krs_error *err)
{
    KRS_TRY(p->kind->equip(p->prepared, err));
    KRS_TRY(add_states(g, need, store, err));
    krsi_program_find_states(p, store);
    return krsi_program_make_outputs(p, store, err);
}

void
krsi_program_tell(krs_program *p, krs_program_event event)
{
    if (p->device->observe)
        p->device->observe(p->device->context, p, event);
}

/* store NULL: planned alone */
static krs_status
make_program(krs_device *device, krs_store *store, const krs_node *outputs,
             size_t count, krs_program **out, krs_error *err)
{
    *out = NULL;
    KRS_TRY(check_outputs(outputs, count, err));
    const krs_graph *g = outputs[0].graph;
    krs_program *p = calloc(1, sizeof *p);
    uint32_t *need = calloc(g->nodes + 1, sizeof *need);
    atomic_size_t *users = malloc(sizeof *users);
    if (!p || !need || !users) {
        free(p);
        free(need);
        free(users);
        return krsi_program_no_memory("program_new", err);
    }
    atomic_init(users, 1);
    p->users = users;
    atomic_init(&p->cancelled, 0);
    p->device = device;
    p->kind = device->kind;
    p->is_planned = !store;
    krs_status status = plan(p, store, outputs, count, need, err);
    if (status == KRS_OK && store)
        status = equip(p, store, g, need, err);
    free(need);
    if (status == KRS_OK)
        *out = p;
    else
        krs_program_free(p);
    return status;
}

krs_status
krs_program_new(krs_store *store, const krs_node *outputs, size_t count,
                krs_program **out, krs_error *err)
{
    KRS_TRY(krsi_need(out, "program_new", "out", err));
    *out = NULL;
    KRS_TRY(krsi_need(store, "program_new", "the store", err));
    KRS_TRY(make_program(krsi_store_device(store), store, outputs, count, out,
                         err));
    (*out)->is_made = true;
    krsi_program_tell(*out, KRS_PROGRAM_MADE);
    return KRS_OK;
}

krs_status
krs_program_plan(krs_device *device, const krs_node *outputs, size_t count,
                 krs_program **out, krs_error *err)
{
    KRS_TRY(krsi_need(out, "program_plan", "out", err));
    *out = NULL;
    KRS_TRY(krsi_need(device, "program_plan", "the device", err));
    return make_program(device, NULL, outputs, count, out, err);
}

void
krs_program_free(krs_program *p)
{
    if (!p)
        return;
    if (p->is_made)
        krsi_program_tell(p, KRS_PROGRAM_ENDS);
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
    if (!p->users || atomic_fetch_sub(p->users, 1) == 1) {
        krs_graph_free(p->graph);
        free(p->users);
    }
    free(p);
}
