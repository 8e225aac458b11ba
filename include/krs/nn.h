/* nn.h -- layers: operations together with the parameters that they own.
 *
 *     krs_scope_push(g, "mlp");
 *     krs_node up = krs_nn_linear(x, "up_proj", 512, KRS_WITHOUT_BIAS);
 *     krs_scope_pop(g);              // uses the state "mlp.up_proj.weight"
 *
 * A layer declares its parameters as states under its name, inside the open
 * scopes, named and shaped as Hugging Face checkpoints have them. Using a
 * layer twice under one name shares its parameters. Parameters are f32.
 *
 * On an invalid operand a layer gives the same poison as the builders
 * (graph.h). A graph is for one thread at a time.
 */
#ifndef KRS_NN_H
#define KRS_NN_H

#include <krs/program.h>
#include <krs/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum krs_bias { KRS_WITHOUT_BIAS, KRS_WITH_BIAS } krs_bias;

/* krs_nn_embedding(ids, name, vocab, channels, padding) -- rows of name.weight
 *   ids  i64|i32 [..]      name.weight  f32 [vocab, channels]
 *   ->   f32 [.., channels]; `padding` as in krs_embedding, -1: none */
KRS_API krs_node krs_nn_embedding_at(krs_place at, krs_node ids,
                                     const char *name, int64_t vocab,
                                     int64_t channels, int64_t padding);
#define krs_nn_embedding(ids, name, vocab, channels, padding) \
    krs_nn_embedding_at(KRS_HERE, ids, name, vocab, channels, padding)

/* krs_nn_linear(x, name, outputs, bias) -- x name.weight^T + name.bias
 *   x  f32 [.., I]   name.weight  f32 [outputs, I]   name.bias  f32 [outputs]
 *   -> f32 [.., outputs]
 * Errors     SHAPE if x has rank 0. */
KRS_API krs_node krs_nn_linear_at(krs_place at, krs_node x, const char *name,
                                  int64_t outputs, krs_bias bias);
#define krs_nn_linear(x, name, outputs, bias) \
    krs_nn_linear_at(KRS_HERE, x, name, outputs, bias)

/* krs_nn_rms_norm(x, name, eps) -- krs_rms_norm over the last axis
 * krs_nn_layer_norm(x, name, eps, bias) -- krs_layer_norm over the last axis
 *   x  f32 [.., C]   name.weight  f32 [C]   name.bias  f32 [C]   -> as x
 * Errors     SHAPE if x has rank 0. */
KRS_API krs_node krs_nn_rms_norm_at(krs_place at, krs_node x, const char *name,
                                    double eps);
KRS_API krs_node krs_nn_layer_norm_at(krs_place at, krs_node x,
                                      const char *name, double eps,
                                      krs_bias bias);
#define krs_nn_rms_norm(x, name, eps) krs_nn_rms_norm_at(KRS_HERE, x, name, eps)
#define krs_nn_layer_norm(x, name, eps, bias) \
    krs_nn_layer_norm_at(KRS_HERE, x, name, eps, bias)

/* The activations that config.json files name: NAME, name, operation. */
#define KRS_ACTIVATION_LIST(X)                           \
    X(GELU, "gelu", gelu)                                \
    X(GELU_NEW, "gelu_new", gelu_tanh)                   \
    X(GELU_PYTORCH_TANH, "gelu_pytorch_tanh", gelu_tanh) \
    X(GELU_FAST, "gelu_fast", gelu_tanh)                 \
    X(RELU, "relu", relu)                                \
    X(SILU, "silu", silu)                                \
    X(SWISH, "swish", silu)                              \
    X(TANH, "tanh", tanh)

typedef enum krs_activation {
#define KRS_ACTIVATION_ENUM(NAME, name, op) KRS_ACTIVATION_##NAME,
    KRS_ACTIVATION_LIST(KRS_ACTIVATION_ENUM)
#undef KRS_ACTIVATION_ENUM
        KRS_ACTIVATIONS
} krs_activation;

/* krs_activation_name(a) -- "gelu_new"; "?" outside the list.
 * krs_activation_parse(name, &a) -- false if there is none of that name.
 * krs_nn_activate(x, a) -- the operation on each element of x. Errors:
 * ARGUMENT outside the list. */
KRS_API const char *krs_activation_name(krs_activation activation);
KRS_API bool krs_activation_parse(const char *name, krs_activation *out);
KRS_API krs_node krs_nn_activate_at(krs_place at, krs_node x,
                                    krs_activation activation);
#define krs_nn_activate(x, activation) \
    krs_nn_activate_at(KRS_HERE, x, activation)

/* ---- the parameters of a model ---- */

/* krs_nn_parameters(g, &parameters, &count, err) -- every float state declared
 * in g so far, in the order of declaration: call it when the model is built
 * and before an optimizer or a cache adds states of its own. The array is the
 * caller's: free() it. NULL if there are none.
 * Errors     MEMORY; the first error of the graph. */
KRS_API krs_status krs_nn_parameters(krs_graph *g, krs_node **out_parameters,
                                     size_t *out_count, krs_error *err);

/* krs_nn_trainable(g, &parameters, &count, err) -- those of them that training
 * changes: not the frozen ones, which only krs_stop_gradient reads. */
KRS_API krs_status krs_nn_trainable(krs_graph *g, krs_node **out_parameters,
                                    size_t *out_count, krs_error *err);

typedef enum krs_init {
    KRS_INIT_ZEROS,
    KRS_INIT_ONES,
    KRS_INIT_NORMAL /* mean 0, deviation `value` */
} krs_init;

/* How to fill the parameters whose name matches a pattern of fnmatch(3). */
typedef struct krs_init_rule {
    const char *pattern; /* "*norm.weight"; '*' matches dots too */
    krs_init init;
    double value;
} krs_init_rule;

/* krs_nn_init(store, parameters, count, rules, rule_count, seed, err) -- fill
 * each parameter in the store (made if absent) by the first rule that matches
 * its name.
 *
 * What a parameter gets depends on its name, its size and the seed alone (the
 * random stream is a hash of the name), so that a layer more or less changes
 * nothing elsewhere.
 *
 * Errors     NAME if no rule matches; ARGUMENT (a parameter that is no float
 *            state, a rule without a pattern or of no krs_init), RANGE (a
 *            deviation below 0 or not finite); MEMORY; those of krs_store_add. */
KRS_API krs_status krs_nn_init(krs_store *store, const krs_node *parameters,
                               size_t count, const krs_init_rule *rules,
                               size_t rule_count, uint64_t seed,
                               krs_error *err);

/* How quantised weights come into a store. */
typedef enum krs_weights_form {
    KRS_WIDENED,  /* their numbers, in the type of the parameter */
    KRS_AS_STORED /* their blocks, where an element type is of that format */
} krs_weights_form;

/* krs_nn_load(store, parameters, count, path, err) -- fill the parameters from
 * a safetensors file, converted to their type. The file must hold exactly
 * these tensors, with these shapes (and perhaps position_ids, which are no
 * parameter); the store is changed only if it does.
 * Errors     IO, FORMAT; NAME (a tensor missing, or one too many); SHAPE;
 *            DTYPE (not a float); MEMORY.
 * krs_nn_load_weights(store, parameters, count, weights, form, err) -- the same
 * from a file that is open. With KRS_AS_STORED matrices that lie in it as q8_0,
 * q4_0 or q4_1 come into the store as they are: programs made after that read
 * their blocks, and cannot update them (krs_program_new).
 *
 * krs_nn_save(store, parameters, count, path, err) -- write them as a
 * safetensors file. Errors: IO, NAME (not in the store), MEMORY. */
KRS_API krs_status krs_nn_load(krs_store *store, const krs_node *parameters,
                               size_t count, const char *path, krs_error *err);
KRS_API krs_status krs_nn_load_weights(krs_store *store,
                                       const krs_node *parameters, size_t count,
                                       const krs_weights *weights,
                                       krs_weights_form form, krs_error *err);
KRS_API krs_status krs_nn_save(const krs_store *store,
                               const krs_node *parameters, size_t count,
                               const char *path, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
