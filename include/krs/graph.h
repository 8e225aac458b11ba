/* graph.h -- graphs, nodes, shapes, runtime integers, gradients.
 *
 *     krs_graph *g = krs_graph_new();
 *     krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(8, 3));
 *     krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(3, 1));
 *     krs_node loss = krs_mean(krs_square(krs_matmul(x, w)), KRS_ALL_AXES);
 *     krs_node dw;
 *     krs_grad(loss, &w, 1, &dw);
 *     krs_node step = krs_update(w, krs_sub(w, krs_scale(dw, 0.1)));
 *
 * A node is a value: copy it, store it, compare it. Nodes are immutable and
 * live as long as their graph; building the same operation twice on the same
 * operands gives the same node.
 *
 * Building never fails in the middle: a bad operand gives a poisoned node,
 * whatever is built on it is poisoned too, and the graph keeps the first
 * error, which names the operation, the scope, the shapes and the line of
 * C that asked for it. Check krs_graph_error once, at the end.
 *
 * A graph is for one thread at a time. Different graphs are independent.
 */
#ifndef KRS_GRAPH_H
#define KRS_GRAPH_H

#include <krs/dtype.h>

#ifdef __cplusplus
extern "C" {
#define KRS_VALUE(type) type
#else
#define KRS_VALUE(type) (type)
#endif

#define KRS_MAX_RANK 8

typedef struct krs_graph krs_graph;

typedef struct krs_node {
    krs_graph *graph; /* NULL: no node (KRS_NONE) */
    uint32_t id;      /* 0 with a graph: poisoned */
} krs_node;

/* "no operand", for optional ones */
#define KRS_NONE (KRS_VALUE(krs_node){NULL, 0})

/* Where in the user's source a node was asked for. */
typedef struct krs_place {
    const char *file;
    int line;
} krs_place;
#define KRS_HERE (KRS_VALUE(krs_place){__FILE__, __LINE__})

typedef struct krs_shape {
    int32_t rank;
    int64_t dim[KRS_MAX_RANK];
} krs_shape;

typedef struct krs_axes {
    int32_t count; /* -1: all axes */
    int32_t axis[KRS_MAX_RANK];
} krs_axes;

#define KRS_COUNT_(a, b, c, d, e, f, g, h, n, ...) n
#define KRS_COUNT(...) \
    KRS_COUNT_(__VA_ARGS__, 8, 7, 6, 5, 4, 3, 2, 1, too_many_dimensions)
/* KRS_SHAPE(2, 3): at most 8 sizes, 0 allowed; KRS_SCALAR: rank 0 */
#define KRS_SHAPE(...) \
    (KRS_VALUE(krs_shape){KRS_COUNT(__VA_ARGS__), {__VA_ARGS__}})
#define KRS_SCALAR (KRS_VALUE(krs_shape){0, {0}})
/* KRS_AXES(0, -1): negative ones count from the end */
#define KRS_AXES(...) \
    (KRS_VALUE(krs_axes){KRS_COUNT(__VA_ARGS__), {__VA_ARGS__}})
#define KRS_ALL_AXES (KRS_VALUE(krs_axes){-1, {0}})

/* A bounded runtime integer: base + sum of coefficient * variable. Plain
 * value; KRS_INDEX(5) is a constant. */
#define KRS_INDEX_TERMS 3
typedef struct krs_index {
    int64_t base;
    int32_t terms;
    int32_t var[KRS_INDEX_TERMS]; /* numbers of krs_var, ascending */
    int64_t coefficient[KRS_INDEX_TERMS];
} krs_index;
#define KRS_INDEX(value) (KRS_VALUE(krs_index){(value), 0, {0}, {0}})

/* krs_graph_new() -- an empty graph, or NULL when memory is out. All builders
 * take that NULL and give KRS_NONE, and krs_graph_error says what happened: one
 * check at the end is enough here too.
 * krs_graph_free(g) -- g and all of its nodes; NULL is fine. */
KRS_API krs_graph *krs_graph_new(void);
KRS_API void krs_graph_free(krs_graph *g);

/* krs_graph_error(g) -- the first error met while building, or NULL.
 * Borrowed from g. */
KRS_API const krs_error *krs_graph_error(const krs_graph *g);

/* krs_graph_check(g, err) -- the same as a status, copied into err. */
KRS_API krs_status krs_graph_check(const krs_graph *g, krs_error *err);

/* krs_graph_fail(g, at, status, format, ...) -- record an error that the
 * caller found (an unusable configuration, say) as if a builder had; gives
 * the poisoned node. The first error is kept. */
KRS_API krs_node krs_graph_fail(krs_graph *g, krs_place at, krs_status status,
                                const char *format, ...) KRS_PRINTF(4, 5);

/* krs_graph_size(g) -- nodes so far; ids are 1..size, operands have lower ids
 * than their users. */
KRS_API uint32_t krs_graph_size(const krs_graph *g);

/* krs_scope_push(g, "layers.%d", i) ... krs_scope_pop(g) -- a path, joined
 * with dots, that names states and appears in messages. */
KRS_API void krs_scope_push(krs_graph *g, const char *format, ...)
    KRS_PRINTF(2, 3);
KRS_API void krs_scope_pop(krs_graph *g);

/* ---- what a node is ---- */

/* false for KRS_NONE and for poison */
KRS_API bool krs_node_is_valid(krs_node x);
/* f32 and rank 0 for an invalid node */
KRS_API krs_dtype krs_node_dtype(krs_node x);
KRS_API krs_shape krs_node_shape(krs_node x);
/* "matmul"; "" for an invalid node */
KRS_API const char *krs_node_op(krs_node x);
/* full name of an input or state, else "" */
KRS_API const char *krs_node_name(krs_node x);
KRS_API int krs_node_operand_count(krs_node x);
KRS_API krs_node krs_node_operand(krs_node x, int i);
/* the node with that id, to walk a graph */
KRS_API krs_node krs_graph_node(krs_graph *g, uint32_t id);
/* product of the sizes of a shape; false if it does not fit in 63 bits */
KRS_API bool krs_shape_elements(krs_shape shape, int64_t *out);

/* ---- leaves ---- */

/* krs_input(g, name, dtype, shape) -- data given anew for each run.
 * The name (scope path included) is unique among inputs and states; asking
 * again with the same type and shape gives the same node.
 * Errors: NAME (taken with another type), SHAPE (a size below 0, or sizes whose
 * product, each 0 counted as 1, is 2^60 or more; so for every node). */
KRS_API krs_node krs_input_at(krs_place at, krs_graph *g, const char *name,
                              krs_dtype dtype, krs_shape shape);
#define krs_input(...) krs_input_at(KRS_HERE, __VA_ARGS__)

/* krs_state(g, name, dtype, shape) -- a tensor kept in a krs_store between
 * runs: a parameter, a moment, a KV cache. Means its value at the start of
 * the run. Names as for krs_input. */
KRS_API krs_node krs_state_at(krs_place at, krs_graph *g, const char *name,
                              krs_dtype dtype, krs_shape shape);
#define krs_state(...) krs_state_at(KRS_HERE, __VA_ARGS__)

/* krs_update(state, value) -- after the run the state holds value. An effect:
 * it takes part when the returned node is among the outputs of a program, at
 * most once a state and program. The returned node's value is `value`.
 * Errors: SHAPE, DTYPE if value differs from the state. No gradient. */
KRS_API krs_node krs_update_at(krs_place at, krs_node state, krs_node value);
#define krs_update(...) krs_update_at(KRS_HERE, __VA_ARGS__)

/* krs_constant(g, dtype, shape, data) -- data (row-major, copied). */
KRS_API krs_node krs_constant_at(krs_place at, krs_graph *g, krs_dtype dtype,
                                 krs_shape shape, const void *data);
#define krs_constant(...) krs_constant_at(KRS_HERE, __VA_ARGS__)

/* krs_scalar(g, dtype, value) -- a constant of rank 0;
 * krs_like(x, value) -- the same with the type and graph of x;
 * krs_full(g, dtype, shape, value) -- a shape full of it;
 * krs_zeros_like(x) -- x's type and shape (live lengths too).
 * Errors: RANGE for a value that an integer type has not, 0.5 or 300 of u8; so
 * for krs_scale and krs_offset (ops.h). Floats are rounded to their type. */
KRS_API krs_node krs_scalar_at(krs_place at, krs_graph *g, krs_dtype dtype,
                               double value);
KRS_API krs_node krs_like_at(krs_place at, krs_node x, double value);
KRS_API krs_node krs_full_at(krs_place at, krs_graph *g, krs_dtype dtype,
                             krs_shape shape, double value);
KRS_API krs_node krs_zeros_like_at(krs_place at, krs_node x);
#define krs_scalar(...)     krs_scalar_at(KRS_HERE, __VA_ARGS__)
#define krs_like(...)       krs_like_at(KRS_HERE, __VA_ARGS__)
#define krs_full(...)       krs_full_at(KRS_HERE, __VA_ARGS__)
#define krs_zeros_like(...) krs_zeros_like_at(KRS_HERE, __VA_ARGS__)

/* krs_iota(g, dtype, shape, axis) -- the position along an axis: element
 * [.., i, ..] is i. dtype i64, i32 or f32. */
KRS_API krs_node krs_iota_at(krs_place at, krs_graph *g, krs_dtype dtype,
                             krs_shape shape, int axis);
#define krs_iota(...) krs_iota_at(KRS_HERE, __VA_ARGS__)

/* ---- runtime integers ---- */

/* krs_var(g, name, low, high) -- an integer given at each run, checked to lie
 * in [low, high]. The same name gives the same variable.
 * Errors: NAME (other bounds before), RANGE (low > high). */
KRS_API krs_index krs_var_at(krs_place at, krs_graph *g, const char *name,
                             int64_t low, int64_t high);
#define krs_var(...) krs_var_at(KRS_HERE, __VA_ARGS__)
/* a + b; a * k. An overflow or more than KRS_INDEX_TERMS variables gives an
 * index that every builder refuses. */
KRS_API krs_index krs_index_plus(krs_index a, krs_index b);
KRS_API krs_index krs_index_times(krs_index a, int64_t k);
KRS_API bool krs_index_equal(krs_index a, krs_index b);

/* krs_index_node(g, i) -- its value as an i64 scalar node. */
KRS_API krs_node krs_index_node_at(krs_place at, krs_graph *g, krs_index i);
#define krs_index_node(...) krs_index_node_at(KRS_HERE, __VA_ARGS__)

/* krs_live(x, axis, length) -- x with only the first `length` elements along
 * axis existing at run time. Shapes stay maximal; reductions, products and
 * softmax over the axis see the live part only. An operation without a rule
 * for live axes refuses.
 * Errors: AXIS, RANGE if length can leave [0, size of the axis]. */
KRS_API krs_node krs_live_at(krs_place at, krs_node x, int axis,
                             krs_index length);
#define krs_live(...) krs_live_at(KRS_HERE, __VA_ARGS__)

/* ---- gradients ---- */

/* krs_grad(y, wrt, count, grads) -- grads[i] = d sum(y) / d wrt[i].
 *
 * Adds the adjoint computation to the graph with the public builders only, so
 * the result is a graph like any other and can be differentiated again.
 * grads[i] has the type and shape of wrt[i]; zeros where y does not depend
 * on it. y is a float of any shape (a cotangent c other than ones: use
 * krs_mul(y, c)).
 * Errors: GRAPH, DTYPE (y not a float). Cost: linear in the nodes between wrt
 * and y. Source: reverse mode, Linnainmaa 1970; Griewank & Walther 2008,
 * chapter 3. */
KRS_API krs_status krs_grad_at(krs_place at, krs_node y, const krs_node *wrt,
                               size_t count, krs_node *grads);
#define krs_grad(...) krs_grad_at(KRS_HERE, __VA_ARGS__)

/* krs_checkpoint(y, inputs, count) -- y; what it is made of is not kept.
 *
 *      h = krs_checkpoint(layer(h), &h, 1);
 *
 * A gradient that comes to the returned node computes what lies between the
 * inputs and y again, from the inputs, instead of keeping it from the forward
 * pass. What does not depend on an input (weights, masks, tables of angles) is
 * not computed again. Random numbers are: a dropout drops the same elements.
 *
 *   y       any type and shape
 *   inputs  count nodes, at least one, that are kept: for a layer, what comes in
 *   ->      as y
 *
 * With one a layer, memory for activations is that of the inputs of all layers
 * and of the inside of one. A checkpoint inside the part of another is part of
 * it. Without a gradient it changes nothing.
 *
 * Errors     ARGUMENT without an input; GRAPH (nodes of different graphs).
 * Gradient   y: g; every gradient is the same to the last bit as without. In
 *            the gradient of a gradient the values and their copies are summed
 *            apart, so that may differ by rounding.
 * Cost       one forward pass of the part, when a gradient passes; building is
 *            linear in the nodes built between the first input and y.
 * Source     Chen et al. 2016, section 3. */
KRS_API krs_node krs_checkpoint_at(krs_place at, krs_node y,
                                   const krs_node *inputs, size_t count);
#define krs_checkpoint(...) krs_checkpoint_at(KRS_HERE, __VA_ARGS__)

/* ---- text ---- */

typedef struct krs_print_options {
    size_t struct_size;     /* sizeof (krs_print_options) */
    int64_t constant_limit; /* elements of a constant to print; the rest is
                               "..." and does not parse; -1: all */
    bool places;            /* append "# scope file:line", which
                               krs_graph_parse reads back */
} krs_print_options;

/* krs_graph_print(g, outputs, count, options, &text, err) -- the part of g that
 * outputs need (the whole graph if count is 0), one node a line, and the
 * outputs. options NULL: all constants, no places. Free the text with free().
 * krs_graph_print_dot, krs_graph_print_json -- the same as a drawing for
 * graphviz, and as one JSON object.
 * krs_graph_parse(text, &g, outputs, capacity, &count, err) -- read it back.
 * The first `capacity` outputs are stored; count (NULL is fine) is how many
 * there are. Errors: FORMAT with line and column, and every error of a
 * builder. */
KRS_API krs_status krs_graph_print(const krs_graph *g, const krs_node *outputs,
                                   size_t count,
                                   const krs_print_options *options,
                                   char **out_text, krs_error *err);
KRS_API krs_status krs_graph_print_dot(const krs_graph *g,
                                       const krs_node *outputs, size_t count,
                                       const krs_print_options *options,
                                       char **out_text, krs_error *err);
KRS_API krs_status krs_graph_print_json(const krs_graph *g,
                                        const krs_node *outputs, size_t count,
                                        const krs_print_options *options,
                                        char **out_text, krs_error *err);
KRS_API krs_status krs_graph_parse(const char *text, krs_graph **out,
                                   krs_node *outputs, size_t capacity,
                                   size_t *out_count, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
