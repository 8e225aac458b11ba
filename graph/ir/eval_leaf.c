/* eval_leaf.c -- nodes without computation: inputs, states, constants,
 * positions, runtime integers, random numbers, and the update effect.
 *
 * Bound f32 data becomes doubles here; data that has the interpreter's form
 * already is borrowed, so the caller's memory is never written.
 */
#include "eval.h"

#include <string.h>

/* the bound data of an input or state, of its maximal shape */
static krs_status
leaf(krsi_call *call, const char *hint)
{
    krsi_value *out = call->out;
    krs_dtype dtype = (krs_dtype)out->dtype;
    krsi_form form;
    const void *data = krsi_bound(call, &form);
    if (!data && out->elements > 0) {
        const char *name =
            krsi_call_graph(call)->string[krsi_int(call->node, 0)];
        return krs_fail(call->err, KRS_E_NAME, "%s '%s' has no value%s",
                        krsi_ops[call->node->op].name, name, hint);
    }
    if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK) {
        out->block = data;
        return KRS_OK;
    }
    bool as_is = dtype == KRS_F32 || dtype == KRS_I64;
    if (form == KRSI_WIDE && as_is && out->elements > 0) {
        out->block = data;
        return KRS_OK;
    }
    KRS_TRY(krsi_out_new(call));
    if (form == KRSI_NATIVE)
        krsi_from_native(dtype, out->e, data, out->elements);
    else if (out->elements > 0)
        memcpy(out->e, data, (size_t)out->elements * sizeof *out->e);
    if (form == KRSI_WIDE && dtype == KRS_BOOL)
        for (int64_t i = 0; i < out->elements; i++)
            out->i[i] = out->i[i] != 0;
    return KRS_OK;
}

krs_status
krsi_eval_input(krsi_call *call)
{
    return leaf(call, "; set it before the run");
}

krs_status
krsi_eval_state(krsi_call *call)
{
    return leaf(call, "");
}

krs_status
krsi_eval_constant(krsi_call *call)
{
    const krs_graph *g = krsi_call_graph(call);
    krsi_value *out = call->out;
    krs_dtype dtype = (krs_dtype)out->dtype;
    const void *data = g->blob[krsi_int(call->node, 2)].data;
    if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK) {
        out->block = data;
        return KRS_OK;
    }
    KRS_TRY(krsi_out_new(call));
    krsi_from_native(dtype, out->e, data, out->elements);
    return KRS_OK;
}

krs_status
krsi_eval_full(krsi_call *call)
{
    krs_dtype dtype = (krs_dtype)call->out->dtype;
    KRS_TRY(krsi_out_new(call));
    call->out->e[0] = krsi_element_of(dtype, krsi_float(call->node, 1));
    return KRS_OK;
}

krs_status
krsi_eval_iota(krsi_call *call)
{
    krsi_value *out = call->out;
    int axis = (int)krsi_int(call->node, 2);
    KRS_TRY(krsi_out_new(call));
    int64_t inner = 1, length = out->dim[axis];
    for (int a = axis + 1; a < out->rank; a++)
        inner *= out->dim[a];
    for (int64_t i = 0; i < out->elements; i++) {
        int64_t position = i / inner % length;
        if (krsi_is_float(out))
            out->f[i] = (double)position;
        else
            out->i[i] = position;
    }
    return KRS_OK;
}

krs_status
krsi_eval_index(krsi_call *call)
{
    KRS_TRY(krsi_out_new(call));
    call->out->i[0] = krsi_index_value(krsi_index(call->node, 0, 0), call->var);
    return KRS_OK;
}

/* Element p of the maximal shape is word p of the stream, in iteration t word
 * p + t * elements: a live length changes how many are drawn, never which. */
krs_status
krsi_eval_random_uniform(krsi_call *call)
{
    krsi_value *out = call->out;
    const krsi_node *n = call->node;
    uint64_t seed = (uint64_t)krsi_in(call, 0)->i[0];
    uint64_t step = (uint64_t)krsi_in(call, 1)->i[0];
    uint32_t stream = (uint32_t)krsi_int(n, 1);
    KRS_TRY(krsi_out_new(call));
    uint64_t block = UINT64_MAX, first = 0;
    if (n->count > 2)
        first = (uint64_t)krsi_in(call, 2)->i[0] * (uint64_t)krsi_elements(n);
    uint32_t words[4] = {0};
    int64_t at[KRS_MAX_RANK] = {0};
    for (int64_t i = 0; i < out->elements; i++) {
        uint64_t position = 0;
        for (int a = 0; a < n->rank; a++)
            position = position * (uint64_t)n->dim[a] + (uint64_t)at[a];
        position += first;
        if (position / 4 != block) {
            block = position / 4;
            krsi_random_words(seed, step, stream, block, words);
        }
        out->f[i] = (double)(words[position % 4] >> 8) * 0x1p-24;
        for (int a = n->rank - 1; a >= 0 && ++at[a] == out->dim[a]; a--)
            at[a] = 0;
    }
    return KRS_OK;
}

/* The effect is the program's: it stores the value after the run. */
krs_status
krsi_eval_update(krsi_call *call)
{
    return krsi_out_alias(call, 1);
}
