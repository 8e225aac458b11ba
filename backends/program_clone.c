/* program_clone.c -- a program once more, for another thread: graph, plan, code
 * and constants are those of the first and are freed with the last; inputs,
 * variables, outputs and temporaries are its own.
 */
#include "program_parts.h"

#include <stdlib.h>
#include <string.h>

static void *
copy(const void *from, size_t count, size_t size)
{
    void *to = calloc(count + 1, size);
    if (to && count)
        memcpy(to, from, count * size);
    return to;
}

static krs_status
copy_inputs(krs_program *p, const krs_program *from, krs_error *err)
{
    p->input = calloc(from->inputs + 1, sizeof *p->input);
    for (; p->input && p->inputs < from->inputs; p->inputs++) {
        krsi_input *in = &p->input[p->inputs];
        *in = from->input[p->inputs];
        in->memory = NULL;
        in->is_bound = false;
        in->name = strdup(in->name);
        if (!in->name)
            break;
    }
    return p->input && p->inputs == from->inputs
               ? KRS_OK
               : krsi_program_no_memory("program_clone", err);
}

static krs_status
copy_lists(krs_program *p, const krs_program *from, krs_error *err)
{
    size_t vars = from->graph->vars;
    KRS_TRY(copy_inputs(p, from, err));
    p->output = copy(from->output, from->outputs, sizeof *p->output);
    p->state = copy(from->state, from->states, sizeof *p->state);
    p->update = copy(from->update, from->updates, sizeof *p->update);
    p->var = calloc(vars + 1, sizeof *p->var);
    p->var_set = calloc(vars + 1, sizeof *p->var_set);
    p->var_needed = copy(from->var_needed, vars, sizeof *p->var_needed);
    if (!p->output || !p->state || !p->update || !p->var || !p->var_set ||
        !p->var_needed)
        return krsi_program_no_memory("program_clone", err);
    p->outputs = from->outputs;
    p->states = from->states;
    p->updates = from->updates;
    return KRS_OK;
}

/* Conflicts are found before any is added. */
static krs_status
add_states(const krs_program *p, krs_store *store, krs_error *err)
{
    const krs_graph *g = p->graph;
    for (size_t i = 0; i < p->states; i++)
        KRS_TRY(krsi_program_check_state(g, p->state[i].id, store, err));
    for (size_t i = 0; i < p->states; i++) {
        const krsi_node *n = g->node[p->state[i].id];
        KRS_TRY(krs_store_add(store, krsi_leaf_name(g, n), (krs_dtype)n->dtype,
                              krs_node_shape(krsi_handle(g, p->state[i].id)),
                              err));
    }
    return KRS_OK;
}

static krs_status
fill(krs_program *p, const krs_program *from, krs_store *store, krs_error *err)
{
    KRS_TRY(copy_lists(p, from, err));
    KRS_TRY(p->kind->clone(p->device->state, from->prepared, p->graph,
                           p->output, p->outputs, &p->prepared, err));
    KRS_TRY(add_states(p, store, err));
    krsi_program_find_states(p, store);
    return krsi_program_make_outputs(p, store, err);
}

krs_status
krs_program_clone(const krs_program *from, krs_store *store, krs_program **out,
                  krs_error *err)
{
    KRS_TRY(krsi_need(out, "program_clone", "out", err));
    *out = NULL;
    KRS_TRY(krsi_need(store, "program_clone", "the store", err));
    KRS_TRY(krsi_program_check_made(from, "program_clone", err));
    if (krsi_store_device(store) != from->device)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "program_clone: the store is of another device than "
                        "the program");
    krs_program *p = calloc(1, sizeof *p);
    if (!p)
        return krsi_program_no_memory("program_clone", err);
    atomic_init(&p->cancelled, 0);
    p->device = from->device;
    p->kind = from->kind;
    p->graph = from->graph;
    p->users = from->users;
    p->states_bytes = from->states_bytes;
    atomic_fetch_add(p->users, 1);
    krs_status status = fill(p, from, store, err);
    if (status != KRS_OK) {
        krs_program_free(p);
        return status;
    }
    p->is_made = true;
    *out = p;
    krsi_program_tell(p, KRS_PROGRAM_MADE);
    return KRS_OK;
}
