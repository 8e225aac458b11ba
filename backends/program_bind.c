/* program_bind.c -- inputs and outputs of a program in memory of the user's:
 * the device wraps it, and the program binds that where its own memory was.
 */
#include "program_parts.h"

krs_status
krs_program_bind_input(krs_program *p, const char *name, const void *data,
                       size_t bytes, krs_error *err)
{
    krsi_input *in = NULL;
    krsi_memory *memory;
    krs_error reason;
    KRS_TRY(krsi_program_find_input(p, "program_bind_input", name, bytes, &in,
                                    err));
    if (in->id == 0)
        return KRS_OK;
    if (!data)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "program_bind_input: '%s': data is NULL", name);
    /* nothing ever writes to an input */
    krs_status status = p->kind->wrap(p->device->state, (void *)(uintptr_t)data,
                                      bytes, &memory, &reason);
    if (status != KRS_OK)
        return krs_fail(err, status, "program_bind_input: '%s': %s", name,
                        reason.text);
    p->kind->free(p->device->state, in->memory);
    in->memory = memory;
    in->is_bound = true;
    return KRS_OK;
}

krs_status
krs_program_bind_output(krs_program *p, size_t i, void *data, size_t bytes,
                        krs_error *err)
{
    krsi_memory *memory;
    krs_error reason;
    KRS_TRY(krsi_program_check_made(p, "program_bind_output", err));
    KRS_TRY(krsi_program_check_output(p, "program_bind_output", i, bytes, err));
    KRS_TRY(krsi_need(data, "program_bind_output", "data", err));
    const krsi_node *n = p->graph->node[p->output[i]];
    if (n->op == KRSI_UPDATE)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "program_bind_output: output %zu updates state '%s', "
                        "and lies where that does; bind the state "
                        "(krs_store_bind)",
                        i, krsi_leaf_name(p->graph, p->graph->node[n->in[0]]));
    krs_status status =
        p->kind->wrap(p->device->state, data, bytes, &memory, &reason);
    if (status != KRS_OK)
        return krs_fail(err, status, "program_bind_output: output %zu: %s", i,
                        reason.text);
    p->kind->free(p->device->state, p->memory[i]);
    p->memory[i] = memory;
    p->has_run = false;
    return KRS_OK;
}
