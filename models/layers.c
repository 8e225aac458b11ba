/* layers.c -- operations with the parameters they own (nn.h).
 *
 * In: a node and a name. Out: the node computed, with the parameters declared
 * as states `scope.name.weight` and `scope.name.bias`, shaped as in Hugging
 * Face checkpoints (a linear weight is [outputs, inputs]).
 *
 * A layer takes the inner size from its operand. An operand that is no node,
 * or poisoned, declares nothing and is handed on: the graph has the error.
 */
#include <krs/nn.h>
#include <krs/ops.h>

/* Is there an operand, and a name? False with *poison set, if not. */
static bool
usable(krs_place at, krs_node x, const char *layer, const char *name,
       krs_node *poison)
{
    *poison = x;
    if (krs_node_is_valid(x) && (name == NULL || *name == 0))
        *poison = krs_graph_fail(x.graph, at, KRS_E_NAME,
                                 "%s: the layer has no name", layer);
    return krs_node_is_valid(*poison);
}

/* The size of x's last axis; false, with *poison set, if it has none. */
static bool
last_size(krs_place at, krs_node x, const char *layer, const char *name,
          int64_t *size, krs_node *poison)
{
    if (!usable(at, x, layer, name, poison))
        return false;
    krs_shape shape = krs_node_shape(x);
    if (shape.rank == 0) {
        *poison =
            krs_graph_fail(x.graph, at, KRS_E_SHAPE,
                           "%s %s: a scalar has no channels", layer, name);
        return false;
    }
    *size = shape.dim[shape.rank - 1];
    return true;
}

krs_node
krs_nn_embedding_at(krs_place at, krs_node ids, const char *name, int64_t vocab,
                    int64_t channels, int64_t padding)
{
    krs_node poison;
    if (!usable(at, ids, "embedding", name, &poison))
        return poison;
    krs_graph *g = ids.graph;
    krs_scope_push(g, "%s", name);
    krs_node weight = krs_state_at(at, g, "weight", KRS_F32,
                                   KRS_SHAPE(vocab, channels)); /* [V,C] */
    krs_node y = krs_embedding_at(at, weight, ids, padding);    /* [..,C] */
    krs_scope_pop(g);
    return y;
}

krs_node
krs_nn_linear_at(krs_place at, krs_node x, const char *name, int64_t outputs,
                 krs_bias bias)
{
    int64_t inputs;
    krs_node poison;
    if (!last_size(at, x, "linear", name, &inputs, &poison))
        return poison;
    krs_graph *g = x.graph;
    krs_scope_push(g, "%s", name);
    krs_node weight = krs_state_at(at, g, "weight", KRS_F32,
                                   KRS_SHAPE(outputs, inputs)); /* [O,I] */
    krs_node b = KRS_NONE;
    if (bias == KRS_WITH_BIAS)
        b = krs_state_at(at, g, "bias", KRS_F32, KRS_SHAPE(outputs)); /* [O] */
    krs_node y = krs_linear_at(at, x, weight, b); /* [..,O] */
    krs_scope_pop(g);
    return y;
}

krs_node
krs_nn_rms_norm_at(krs_place at, krs_node x, const char *name, double eps)
{
    int64_t channels;
    krs_node poison;
    if (!last_size(at, x, "rms_norm", name, &channels, &poison))
        return poison;
    krs_graph *g = x.graph;
    krs_scope_push(g, "%s", name);
    krs_node weight =
        krs_state_at(at, g, "weight", KRS_F32, KRS_SHAPE(channels)); /* [C] */
    krs_node y = krs_rms_norm_at(at, x, weight, eps); /* [..,C] */
    krs_scope_pop(g);
    return y;
}

krs_node
krs_nn_layer_norm_at(krs_place at, krs_node x, const char *name, double eps,
                     krs_bias bias)
{
    int64_t channels;
    krs_node poison;
    if (!last_size(at, x, "layer_norm", name, &channels, &poison))
        return poison;
    krs_graph *g = x.graph;
    krs_scope_push(g, "%s", name);
    krs_node weight =
        krs_state_at(at, g, "weight", KRS_F32, KRS_SHAPE(channels)); /* [C] */
    krs_node b = KRS_NONE;
    if (bias == KRS_WITH_BIAS)
        b = krs_state_at(at, g, "bias", KRS_F32, KRS_SHAPE(channels)); /* [C] */
    krs_node y = krs_layer_norm_at(at, x, weight, b, eps); /* [..,C] */
    krs_scope_pop(g);
    return y;
}

krs_node
krs_nn_activate_at(krs_place at, krs_node x, krs_activation activation)
{
    static krs_node (*const operation[])(krs_place, krs_node) = {
#define OPERATION(NAME, name, op) krs_##op##_at,
        KRS_ACTIVATION_LIST(OPERATION)
#undef OPERATION
    };
    if ((size_t)activation >= KRS_ACTIVATIONS)
        return krs_graph_fail(x.graph, at, KRS_E_ARGUMENT,
                              "activation: %d is none of the %d",
                              (int)activation, (int)KRS_ACTIVATIONS);
    return operation[activation](at, x);
}
