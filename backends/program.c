/* program.c -- using a program: inputs, variables, runs, outputs; looking
 * inside it.
 *
 * A run binds the memories, has the device compute, and then, only if all went
 * well, applies the updates that the device has not written where the state
 * lies: a state exchanges its memory for that of its new value. So updates see
 * the old values of each other, a failed run changes nothing, nothing is
 * copied, unless the state lies in memory of the user's.
 */
#include "program_parts.h"

#include <stdlib.h>
#include <string.h>

krs_status
krsi_program_check_made(const krs_program *p, const char *function,
                        krs_error *err)
{
    KRS_TRY(krsi_need(p, function, "the program", err));
    if (!p->is_planned)
        return KRS_OK;
    return krs_fail(err, KRS_E_ARGUMENT,
                    "%s: the program has no code and no memory: it was made by "
                    "krs_program_plan; use krs_program_new",
                    function);
}

krs_status
krsi_program_find_input(krs_program *p, const char *function, const char *name,
                        size_t bytes, krsi_input **out, krs_error *err)
{
    char text[KRSI_TENSOR_TEXT];
    KRS_TRY(krsi_program_check_made(p, function, err));
    KRS_TRY(krsi_need(name, function, "the name", err));
    krsi_input *in = krsi_program_input(p, name);
    if (!in)
        return krs_fail(err, KRS_E_NAME, "%s: the graph has no input '%s'",
                        function, name);
    if (bytes != in->bytes)
        return krs_fail(err, KRS_E_RANGE, "%s: '%s' is %s, %zu bytes, not %zu",
                        function, name,
                        krsi_tensor_text(text, in->dtype, in->shape), in->bytes,
                        bytes);
    *out = in;
    return KRS_OK;
}

krs_status
krs_program_set_input(krs_program *p, const char *name, const void *data,
                      size_t bytes, krs_error *err)
{
    krsi_input *in = NULL;
    KRS_TRY(
        krsi_program_find_input(p, "program_set_input", name, bytes, &in, err));
    if (in->id == 0)
        return KRS_OK;
    if (bytes > 0 && !data)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "program_set_input: '%s': data is NULL", name);
    void *device = p->device->state;
    krsi_memory *memory = in->is_bound ? NULL : in->memory;
    krs_error reason;
    krs_status status =
        memory ? KRS_OK : p->kind->alloc(device, bytes, &memory, &reason);
    if (status != KRS_OK)
        return krs_fail(err, status, "program_set_input: '%s': %s", name,
                        reason.text);
    if (in->is_bound)
        p->kind->free(device, in->memory);
    in->memory = memory;
    in->is_bound = false;
    return p->kind->write(device, memory, data, bytes, err);
}

krs_status
krs_program_set_var(krs_program *p, const char *name, int64_t value,
                    krs_error *err)
{
    KRS_TRY(krsi_need(p, "program_set_var", "the program", err));
    KRS_TRY(krsi_need(name, "program_set_var", "the name", err));
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
        const krsi_input *in = &p->input[i];
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

static krs_status
apply_updates(krs_program *p, krs_error *err)
{
    for (size_t i = 0; i < p->updates; i++) {
        krsi_update *u = &p->update[i];
        krsi_memory *old = u->tensor->memory, *fresh = p->memory[u->output];
        if (u->is_in_place)
            continue;
        if (u->tensor->bound) {
            KRS_TRY(p->kind->read(p->device->state, fresh, u->tensor->bound,
                                  u->tensor->bytes, err));
            continue;
        }
        u->tensor->memory = fresh;
        p->memory[u->output] = old;
    }
    return KRS_OK;
}

krs_status
krs_program_run(krs_program *p, krs_error *err)
{
    KRS_TRY(krsi_program_check_made(p, "program_run", err));
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
    KRS_TRY(apply_updates(p, err));
    p->has_run = true;
    krsi_program_tell(p, KRS_PROGRAM_RAN);
    return KRS_OK;
}

static krs_status
check_output(const krs_program *p, const char *function, size_t i,
             krs_error *err)
{
    KRS_TRY(krsi_need(p, function, "the program", err));
    if (i < p->outputs)
        return KRS_OK;
    return krs_fail(err, KRS_E_RANGE,
                    "%s: output %zu of a program that has %zu", function, i,
                    p->outputs);
}

krs_status
krsi_program_check_output(const krs_program *p, const char *function, size_t i,
                          size_t bytes, krs_error *err)
{
    KRS_TRY(check_output(p, function, i, err));
    const krsi_node *n = p->graph->node[p->output[i]];
    size_t needed = krsi_node_bytes(n);
    char text[KRSI_TENSOR_TEXT];
    if (bytes == needed)
        return KRS_OK;
    return krs_fail(
        err, KRS_E_RANGE, "%s: output %zu is %s, %zu bytes, not %zu", function,
        i,
        krsi_tensor_text(text, (krs_dtype)n->dtype,
                         krs_node_shape(krsi_handle(p->graph, p->output[i]))),
        needed, bytes);
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
    KRS_TRY(krsi_program_check_output(p, "program_read", i, bytes, err));
    if (!p->has_run)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "program_read: output %zu has no value: no run has "
                        "succeeded since the program was made or last failed",
                        i);
    if (bytes > 0)
        KRS_TRY(krsi_need(data, "program_read", "data", err));
    return p->kind->read(p->device->state, output_memory(p, i), data, bytes,
                         err);
}

void
krs_program_cancel(krs_program *p)
{
    if (p)
        atomic_store(&p->cancelled, 1);
}

/* ---- looking inside ---- */

krs_status
krs_program_print(const krs_program *p, const char *stage, char **out_text,
                  krs_error *err)
{
    krs_print_options options = {
        .struct_size = sizeof options, .constant_limit = 8, .places = true};
    KRS_TRY(krsi_need(out_text, "program_print", "out_text", err));
    *out_text = NULL;
    KRS_TRY(krsi_need(p, "program_print", "the program", err));
    KRS_TRY(krsi_need(stage, "program_print", "the stage", err));
    if (strcmp(stage, p->device->stage ? p->device->stage : "opt") != 0)
        return p->kind->print(p->prepared, stage, out_text, err);
    krs_node *outputs = calloc(p->outputs, sizeof *outputs);
    if (!outputs)
        return krsi_program_no_memory("program_print", err);
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
    if (p)
        p->kind->profile(p->prepared, on);
}

krs_status
krs_program_launch(const krs_program *p, size_t i, krs_launch_info *out,
                   krs_error *err)
{
    KRS_TRY(krsi_need(p, "program_launch", "the program", err));
    KRS_TRY(krsi_need(out, "program_launch", "out", err));
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

/* ---- memory ---- */

krs_status
krs_program_memory(const krs_program *p, krs_memory_info *out, krs_error *err)
{
    KRS_TRY(krsi_need(p, "program_memory", "the program", err));
    KRS_TRY(krsi_need(out, "program_memory", "out", err));
    const krs_graph *g = p->graph;
    if (out->struct_size != sizeof *out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "program_memory: info of %zu bytes where %zu are "
                        "known; set struct_size to sizeof the struct",
                        out->struct_size, sizeof *out);
    KRS_TRY(p->kind->memory(p->prepared, out, err));
    out->states_bytes = p->states_bytes;
    for (size_t i = 0; i < p->inputs; i++)
        out->inputs_bytes += p->input[i].id ? p->input[i].bytes : 0;
    for (size_t i = 0; i < p->outputs; i++)
        if (!p->kind->is_in_place(p->prepared, i))
            out->outputs_bytes += krsi_node_bytes(g->node[p->output[i]]);
    for (size_t i = 0; i < p->updates; i++)
        if (!p->kind->is_in_place(p->prepared, p->update[i].output))
            out->exchanged_bytes +=
                krsi_node_bytes(g->node[p->output[p->update[i].output]]);
    out->total_bytes = out->states_bytes + out->inputs_bytes +
                       out->outputs_bytes + out->constants_bytes +
                       out->temporaries_bytes + out->workspace_bytes;
    return KRS_OK;
}

krs_status
krs_program_require_in_place(const krs_program *p, krs_error *err)
{
    krs_device_info info = {.struct_size = sizeof info};
    KRS_TRY(krsi_need(p, "program_require_in_place", "the program", err));
    p->kind->describe(p->device->state, &info);
    for (size_t i = 0; i < p->updates && info.updates_in_place; i++) {
        const krs_graph *g = p->graph;
        const krsi_node *n = g->node[p->output[p->update[i].output]];
        if (p->kind->is_in_place(p->prepared, p->update[i].output))
            continue;
        return krs_fail(
            err, KRS_E_UNSUPPORTED,
            "program_require_in_place: the new value of state '%s' needs "
            "memory of its own, %zu bytes, because something uses the old "
            "value while it is made or after, or may still fail then (%s:%u)",
            krsi_leaf_name(g, g->node[n->in[0]]), krsi_node_bytes(n),
            g->string[n->file], (unsigned)n->line);
    }
    return KRS_OK;
}
