/* trial.c -- data for the leaves of a graph, see trial.h.
 *
 * In: a graph, its roots, what the user gave. Out: bytes for every input and
 * state that the roots need, and a value for every runtime integer.
 *
 * What was not given is drawn by Philox from the seed and the name, so it does
 * not depend on what else the graph has. Floats are normal, matrices of states
 * scaled by their inner size as fresh parameters are. Integers must be valid
 * indices: a walk from the last node to the first finds for each of them the
 * smallest axis that it, or a view of it, indexes.
 */
#include "trial.h"

#include <krs/random.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* an integer that indexes nothing is below this */
enum { INTEGERS_BELOW = 8 };

/* ---- how large an index may be ---- */

/* the axis that operand i of n indexes, as its size; 0: it indexes none */
static int64_t
indexed_size(const krs_graph *g, const krsi_node *n, uint32_t i)
{
    const krsi_node *x = g->node[n->in[0]];
    switch ((int)n->op) {
    case KRSI_TAKE:
    case KRSI_GATHER:
    case KRSI_INDEX_ADD:
    case KRSI_SCATTER_ADD: return i == 1 ? x->dim[krsi_int(n, 0)] : 0;
    case KRSI_EMBEDDING: return i == 1 ? x->dim[0] : 0;
    case KRSI_CROSS_ENTROPY:
    case KRSI_NLL: return i == 1 && x->rank ? x->dim[x->rank - 1] : 0;
    case KRSI_LINEAR_CROSS_ENTROPY:
    case KRSI_LINEAR_CROSS_ENTROPY_GRAD:
        return i == 2 ? g->node[n->in[1]]->dim[0] : 0;
    default: return 0;
    }
}

/* does an index that goes in come out as one? */
static bool
passes_indices(const krsi_node *n)
{
    switch ((int)n->op) {
    case KRSI_RESHAPE:
    case KRSI_PERMUTE:
    case KRSI_EXPAND:
    case KRSI_SLICE:
    case KRSI_CONCAT:
    case KRSI_WINDOWS:
    case KRSI_LIVE:
    case KRSI_CAST:
    case KRSI_STOP_GRADIENT:
    case KRSI_RECOMPUTE:
    case KRSI_UPDATE: return true;
    default: return false;
    }
}

/* below[id]: what an integer node must stay below; 0: anything goes */
static void
find_bounds(const krs_graph *g, int64_t *below)
{
    for (size_t id = g->nodes; id >= 1; id--) {
        const krsi_node *n = g->node[id];
        for (uint32_t i = 0; i < n->count; i++) {
            int64_t size = indexed_size(g, n, i), *b = &below[n->in[i]];
            if (size == 0 && passes_indices(n))
                size = below[id];
            if (size > 0 && (*b == 0 || size < *b))
                *b = size;
        }
    }
}

/* ---- drawing ---- */

/* Any integers; scales and minima of either sign between 2^-6 and 2^-5. */
static void
draw_blocks(const krs_view *v, uint64_t seed, uint64_t hash)
{
    uint8_t *data = (void *)(uintptr_t)v->data;
    size_t block = 1, header = v->dtype == KRS_Q4_1 ? 4 : 2;
    krs_dtype_bytes(v->dtype, 32, &block);
    for (size_t i = 0; i < v->bytes; i++) {
        data[i] = (uint8_t)krs_random_u32(seed, hash >> 32, (uint32_t)hash, i);
        if (i % block < header && i % block % 2) /* high byte of an f16 */
            data[i] = (uint8_t)((data[i] & 0x87) | 0x24);
    }
}

static void
draw(const krsi_trial_leaf *leaf, int64_t below, uint64_t seed)
{
    const krs_view *v = &leaf->view;
    uint64_t hash = XXH3_64bits(leaf->name, strlen(leaf->name));
    uint32_t stream = (uint32_t)hash;
    int64_t count = 0;
    void *data = (void *)(uintptr_t)v->data;
    krs_shape_elements(v->shape, &count);
    if (krs_dtype_class_of(v->dtype) == KRS_CLASS_BLOCK) {
        draw_blocks(v, seed, hash);
        return;
    }
    if (krs_dtype_is_float(v->dtype)) {
        int rank = v->shape.rank;
        double inner = rank > 1 ? (double)v->shape.dim[rank - 1] : 1;
        double deviation = leaf->is_state && inner > 1 ? 1 / sqrt(inner) : 1;
        for (int64_t i = 0; i < count; i += 2) {
            float pair[2];
            krs_random_fill_normal(pair, 2, deviation, seed,
                                   (hash >> 32) + ((uint64_t)i << 24), stream);
            for (int64_t k = 0; k < 2 && i + k < count; k++)
                krsi_store_double(v->dtype, data, (size_t)(i + k),
                                  (double)pair[k]);
        }
        return;
    }
    uint32_t limit = v->dtype == KRS_BOOL ? 2
                     : below > 0          ? (uint32_t)below
                                          : INTEGERS_BELOW;
    for (int64_t i = 0; i < count; i++) {
        uint32_t word = krs_random_u32(seed, hash >> 32, stream, (uint64_t)i);
        krsi_store_int(v->dtype, data, (size_t)i, (int64_t)(word % limit));
    }
}

/* ---- what was given ---- */

static const krs_check_value *
find_value(const krs_check_data *data, const char *name)
{
    for (size_t i = 0; data && i < data->value_count; i++)
        if (strcmp(data->values[i].name, name) == 0)
            return &data->values[i];
    return NULL;
}

static krs_status
copy_value(const krs_check_value *value, krsi_trial_leaf *leaf, krs_error *err)
{
    char have[KRSI_TENSOR_TEXT], need[KRSI_TENSOR_TEXT];
    const krs_view *from = &value->value, *to = &leaf->view;
    if (from->dtype != to->dtype || !krsi_shape_equal(from->shape, to->shape))
        return krs_fail(
            err, from->dtype != to->dtype ? KRS_E_DTYPE : KRS_E_SHAPE,
            "check: '%s' is %s; the value given for it is %s", leaf->name,
            krsi_tensor_text(need, to->dtype, to->shape),
            krsi_tensor_text(have, from->dtype, from->shape));
    if (from->bytes != to->bytes)
        return krs_fail(err, KRS_E_RANGE,
                        "check: the value given for '%s' has %zu bytes, not "
                        "%zu",
                        leaf->name, from->bytes, to->bytes);
    if (from->bytes)
        memcpy((void *)(uintptr_t)to->data, from->data, from->bytes);
    return KRS_OK;
}

static krs_status
fill_leaf(krsi_trial_leaf *leaf, int64_t below, const krs_check_data *data,
          krs_error *err)
{
    const krs_check_value *value = find_value(data, leaf->name);
    if (value)
        return copy_value(value, leaf, err);
    void *to = (void *)(uintptr_t)leaf->view.data;
    if (leaf->is_state && data && data->store &&
        krs_store_find(data->store, leaf->name, NULL, NULL, NULL) == KRS_OK)
        return krs_store_read(data->store, leaf->name, to, leaf->view.bytes,
                              err);
    draw(leaf, below, data ? data->seed : 0);
    return KRS_OK;
}

static krs_status
add_leaf(krsi_trial *t, const krs_graph *g, uint32_t id, int64_t below,
         const krs_check_data *data, krs_error *err)
{
    const krsi_node *n = g->node[id];
    krsi_trial_leaf *leaf = &t->leaf[t->leaves];
    krs_node x = krsi_handle(g, id);
    size_t bytes = 0;
    krs_dtype_bytes((krs_dtype)n->dtype, krsi_elements(n), &bytes);
    void *room = calloc(1, bytes + 1);
    if (!room)
        return krs_fail(err, KRS_E_MEMORY, "check: no memory for '%s'",
                        krs_node_name(x));
    *leaf = (krsi_trial_leaf){
        krs_node_name(x),
        id,
        n->op == KRSI_STATE,
        {(krs_dtype)n->dtype, krs_node_shape(x), room, bytes}
    };
    t->leaves++;
    return fill_leaf(leaf, below, data, err);
}

static krs_status
fill_vars(krsi_trial *t, const krs_graph *g, const krs_check_data *data,
          krs_error *err)
{
    for (size_t i = 0; i < g->vars; i++)
        t->var[i] = g->var[i].high;
    for (size_t k = 0; data && k < data->var_count; k++) {
        const krs_check_var *given = &data->vars[k];
        size_t i = 0;
        while (i < g->vars &&
               strcmp(g->string[g->var[i].name], given->name) != 0)
            i++;
        if (i == g->vars)
            return krs_fail(err, KRS_E_NAME,
                            "check: the graph has no variable '%s'",
                            given->name);
        if (given->value < g->var[i].low || given->value > g->var[i].high)
            return krs_fail(
                err, KRS_E_RANGE, "check: '%s' = %lld is outside [%lld, %lld]",
                given->name, (long long)given->value, (long long)g->var[i].low,
                (long long)g->var[i].high);
        t->var[i] = given->value;
    }
    return KRS_OK;
}

/* A value of a leaf that the roots do not need is fine, one of a name that the
 * graph does not have is a mistake. */
static krs_status
check_names(const krs_graph *g, const krs_check_data *data, krs_error *err)
{
    for (size_t i = 0; data && i < data->value_count; i++) {
        const char *name = data->values[i].name;
        bool found = false;
        for (size_t k = 0; k < g->leaves && !found; k++)
            found =
                strcmp(krs_node_name(krsi_handle(g, g->leaf[k])), name) == 0;
        if (!found)
            return krs_fail(err, KRS_E_NAME,
                            "check: the graph has no input or state '%s'",
                            name);
    }
    return KRS_OK;
}

static krs_status
fill_all(krsi_trial *t, const krs_graph *g, const uint32_t *roots, size_t count,
         uint32_t *need, int64_t *below, const krs_check_data *data,
         krs_error *err)
{
    KRS_TRY(check_names(g, data, err));
    KRS_TRY(fill_vars(t, g, data, err));
    krsi_mark(g, roots, count, need);
    find_bounds(g, below);
    for (uint32_t id = 1; id <= g->nodes; id++) {
        enum krsi_op op = (enum krsi_op)g->node[id]->op;
        if (need[id] && (op == KRSI_INPUT || op == KRSI_STATE))
            KRS_TRY(add_leaf(t, g, id, below[id], data, err));
    }
    return KRS_OK;
}

krs_status
krsi_trial_make(const krs_graph *g, const uint32_t *roots, size_t count,
                const krs_check_data *data, krsi_trial *out, krs_error *err)
{
    *out = (krsi_trial){.graph = g};
    if (data && data->struct_size != sizeof *data)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "check: data of %zu bytes where %zu are known; set "
                        "struct_size to sizeof the struct",
                        data->struct_size, sizeof *data);
    uint32_t *need = calloc(g->nodes + 1, sizeof *need);
    int64_t *below = calloc(g->nodes + 1, sizeof *below);
    out->leaf = calloc(g->leaves + 1, sizeof *out->leaf);
    out->var = calloc(g->vars + 1, sizeof *out->var);
    krs_status status =
        need && below && out->leaf && out->var
            ? fill_all(out, g, roots, count, need, below, data, err)
            : krs_fail(err, KRS_E_MEMORY, "check: no memory for the data");
    free(need);
    free(below);
    if (status != KRS_OK)
        krsi_trial_free(out);
    return status;
}

void
krsi_trial_free(krsi_trial *t)
{
    for (size_t i = 0; i < t->leaves; i++)
        free((void *)(uintptr_t)t->leaf[i].view.data);
    free(t->leaf);
    free(t->var);
    *t = (krsi_trial){0};
}

krsi_trial_leaf *
krsi_trial_find(const krsi_trial *t, const char *name)
{
    for (size_t i = 0; i < t->leaves; i++)
        if (strcmp(t->leaf[i].name, name) == 0)
            return &t->leaf[i];
    return NULL;
}

krs_status
krsi_trial_give_leaf(const krsi_trial_leaf *leaf, krs_program *program,
                     krs_store *store, krs_error *err)
{
    const krs_view *v = &leaf->view;
    if (!leaf->is_state)
        return krs_program_set_input(program, leaf->name, v->data, v->bytes,
                                     err);
    if (krs_store_find(store, leaf->name, NULL, NULL, NULL) != KRS_OK)
        return KRS_OK; /* of no use to this program */
    return krs_store_write(store, leaf->name, v->data, v->bytes, err);
}

krs_status
krsi_trial_give(const krsi_trial *t, krs_program *program, krs_store *store,
                krs_error *err)
{
    for (size_t i = 0; i < t->leaves; i++)
        KRS_TRY(krsi_trial_give_leaf(&t->leaf[i], program, store, err));
    for (size_t i = 0; i < t->graph->vars; i++)
        KRS_TRY(krs_program_set_var(
            program, t->graph->string[t->graph->var[i].name], t->var[i], err));
    return KRS_OK;
}

krs_status
krsi_trial_check_outputs(const krs_node *outputs, size_t count, krs_error *err)
{
    if (count == 0)
        return krs_fail(err, KRS_E_ARGUMENT, "check: there are no outputs");
    if (outputs[0].graph)
        KRS_TRY(krs_graph_check(outputs[0].graph, err));
    for (size_t i = 0; i < count; i++)
        if (!krs_node_is_valid(outputs[i]) ||
            outputs[i].graph != outputs[0].graph)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "check: output %zu is no node of one graph with "
                            "the others",
                            i);
    return KRS_OK;
}

krs_status
krs_check_fill(krs_program *program, krs_store *store, const krs_node *outputs,
               size_t count, const krs_check_data *data, krs_error *err)
{
    krsi_trial trial;
    KRS_TRY(krsi_need(program, "check_fill", "the program", err));
    KRS_TRY(krsi_need(store, "check_fill", "the store", err));
    KRS_TRY(krsi_need(outputs, "check_fill", "outputs", err));
    KRS_TRY(krsi_trial_check_outputs(outputs, count, err));
    uint32_t *roots = calloc(count, sizeof *roots);
    if (!roots)
        return krs_fail(err, KRS_E_MEMORY, "check: no memory for the data");
    for (size_t i = 0; i < count; i++)
        roots[i] = outputs[i].id;
    krs_status status =
        krsi_trial_make(outputs[0].graph, roots, count, data, &trial, err);
    free(roots);
    if (status != KRS_OK)
        return status;
    status = krsi_trial_give(&trial, program, store, err);
    krsi_trial_free(&trial);
    return status;
}
