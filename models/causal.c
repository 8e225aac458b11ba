/* causal.c -- what is common to decoder-only models (causal.h): checking a
 * call before a model sees it, and finding a model's parameters.
 *
 * After the checks a model may rely on: ids i64 [B,T]; a mask that is bool
 * [B,S], or none; labels or targets i64 [B,T], or neither; updates given with a
 * cache.
 */
#include <krs/causal.h>

static krs_node
refuse(krs_graph *g, krs_status status, const char *what)
{
    return krs_graph_fail(g, KRS_HERE, status, "causal_forward: %s", what);
}

static bool
is_matrix(krs_node x, krs_dtype dtype, int64_t rows, int64_t columns)
{
    krs_shape shape = krs_node_shape(x);
    return krs_node_is_valid(x) && krs_node_dtype(x) == dtype &&
           shape.rank == 2 && shape.dim[0] == rows && shape.dim[1] == columns;
}

krs_node
krs_causal_forward(krs_graph *g, const krs_causal_model *model,
                   const krs_causal_call *call, krs_causal_result *result)
{
    if (call->struct_size != sizeof *call ||
        result->struct_size != sizeof *result)
        return refuse(g, KRS_E_ARGUMENT, "struct_size of another version");
    *result = (krs_causal_result){.struct_size = sizeof *result};

    krs_node ids = call->ids;
    krs_shape shape = krs_node_shape(ids);
    if (!krs_node_is_valid(ids) || krs_node_dtype(ids) != KRS_I64 ||
        shape.rank != 2)
        return refuse(g, KRS_E_SHAPE, "ids must be i64 [B, T]");
    int64_t B = shape.dim[0], T = shape.dim[1];

    if (call->cache_length < 0 ||
        (call->cache_length > 0 && call->cache_length < T))
        return krs_graph_fail(g, KRS_HERE, KRS_E_SHAPE,
                              "causal_forward: a cache of %lld slots does not "
                              "hold %lld ids",
                              (long long)call->cache_length, (long long)T);
    if (call->cache_length > 0 && call->updates == NULL)
        return refuse(g, KRS_E_ARGUMENT, "a cache needs room for its updates");
    if (call->cache_length == 0 &&
        !krs_index_equal(call->position, KRS_INDEX(0)))
        return refuse(g, KRS_E_ARGUMENT, "a position needs a cache");

    int64_t S = call->cache_length > 0 ? call->cache_length : T;
    if (call->attention_mask.graph != NULL &&
        !is_matrix(call->attention_mask, KRS_BOOL, B, S))
        return krs_graph_fail(g, KRS_HERE, KRS_E_SHAPE,
                              "causal_forward: attention_mask must be bool "
                              "[%lld, %lld]",
                              (long long)B, (long long)S);
    bool has_loss = call->labels.graph != NULL || call->targets.graph != NULL;
    krs_node scored = call->labels.graph ? call->labels : call->targets;
    if (call->labels.graph != NULL && call->targets.graph != NULL)
        return refuse(g, KRS_E_ARGUMENT, "labels and targets are one too many");
    if (has_loss && !is_matrix(scored, KRS_I64, B, T))
        return krs_graph_fail(g, KRS_HERE, KRS_E_SHAPE,
                              "causal_forward: %s must be i64 [%lld, %lld] as "
                              "the ids",
                              call->labels.graph ? "labels" : "targets",
                              (long long)B, (long long)T);
    if (has_loss && call->logits_once)
        return refuse(g, KRS_E_ARGUMENT, "a loss is of all positions");

    krs_node logits = model->forward(g, model->config, call, result);
    result->logits = logits;
    return logits;
}

krs_status
krs_causal_parameters(const krs_causal_model *model, krs_graph **out_graph,
                      krs_node **out_parameters, size_t *out_count,
                      krs_error *err)
{
    krs_graph *g = krs_graph_new();
    if (g == NULL)
        return krs_fail(err, KRS_E_MEMORY, "parameters: no memory for a graph");
    krs_causal_call call = {
        .struct_size = sizeof call,
        .ids = krs_input(g, "ids", KRS_I64, KRS_SHAPE(1, 1)),
    };
    krs_causal_result result = {.struct_size = sizeof result};
    krs_causal_forward(g, model, &call, &result);
    krs_status status = krs_nn_parameters(g, out_parameters, out_count, err);
    if (status != KRS_OK) {
        krs_graph_free(g);
        return status;
    }
    *out_graph = g;
    return KRS_OK;
}
