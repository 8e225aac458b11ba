/* program_blocks.c -- states that a graph declares as f32 and the store holds
 * block-quantised.
 *
 * In: a graph and a store. Out: the graph with each such state declared as the
 * store has it, and read through a cast to f32; or none, if there is no such
 * state. Rewriting then lets products and gathers read the blocks themselves
 * (opt/rules_blocks.c), so that a model runs on quantised weights as it was
 * declared. These states cannot be updated: blocks are only read.
 */
#include "program_parts.h"

#include "../graph/opt/opt.h"

#include <stdlib.h>

krsi_tensor *
krsi_state_in_blocks(const krs_graph *g, uint32_t id, const krs_store *store)
{
    const krsi_node *n = g->node[id];
    if (!store || n->op != KRSI_STATE || n->dtype != KRS_F32)
        return NULL;
    krsi_tensor *tensor = krsi_store_tensor(store, krsi_leaf_name(g, n));
    bool has_blocks =
        tensor && krs_dtype_class_of(tensor->dtype) == KRS_CLASS_BLOCK &&
        krsi_shape_equal(tensor->shape, krs_node_shape(krsi_handle(g, id)));
    return has_blocks ? tensor : NULL;
}

/* A state of the store's type, and its numbers. */
static uint32_t
read_blocks(krsi_copier *c, uint32_t id, krs_dtype dtype)
{
    const krsi_node *n = c->from->node[id];
    krs_place at;
    krsi_words state, cast = {.count = 0};
    if (!krsi_copier_words(c, n, &state))
        return 0;
    state.word[1] = dtype; /* name, type, shape */
    krsi_put_int(&cast, KRS_F32);
    krsi_node_place(c->from, id, 0, &at);
    uint32_t blocks =
        krsi_add(c->to, at, KRSI_STATE, NULL, 0, state.word, state.count).id;
    return blocks ? krsi_add(c->to, at, KRSI_CAST, &blocks, 1, cast.word,
                             cast.count)
                        .id
                  : 0;
}

static uint32_t
copy_one(krsi_copier *c, uint32_t id)
{
    const krsi_node *n = c->from->node[id];
    const krs_store *store = c->context;
    krsi_tensor *tensor = krsi_state_in_blocks(c->from, id, store);
    if (tensor)
        return read_blocks(c, id, tensor->dtype);
    if (n->op == KRSI_UPDATE)
        tensor = krsi_state_in_blocks(c->from, n->in[0], store);
    if (!tensor)
        return krsi_copier_add(c, id);
    krs_place at = {0};
    krsi_node_place(c->from, id, 0, &at);
    return krs_graph_fail(
               c->to, at, KRS_E_DTYPE,
               "update: '%s' is %s in the store, and blocks are only "
               "read; load it as f32",
               tensor->name, krs_dtype_name(tensor->dtype))
        .id;
}

krs_status
krsi_program_read_blocks(const krs_graph *g, const uint32_t *need,
                         uint32_t *roots, size_t count, const krs_store *store,
                         krs_graph **out, krs_error *err)
{
    bool any = false;
    *out = NULL;
    for (size_t i = 0; i < g->leaves && !any; i++)
        any = need[g->leaf[i]] && krsi_state_in_blocks(g, g->leaf[i], store);
    return any ? krsi_copy_by(copy_one, (void *)(uintptr_t)store, "blocks",
                              NULL, g, roots, count, out, roots, err)
               : KRS_OK;
}
