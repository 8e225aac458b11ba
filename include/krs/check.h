/* check.h -- proof: tensors compared element by element, gradients against
 * slopes, devices against the interpreter.
 *
 *     krs_view got = {KRS_F32, KRS_SHAPE(2, 3), data, sizeof data};
 *     krs_tolerance tolerance = {.rtol = 1e-5, .atol = 1e-6};
 *     krs_comparison result;
 *     status = krs_compare(&got, &want, NULL, tolerance, &result, &err);
 *
 *     krs_gradcheck(device, loss, parameters, count, NULL, &err);
 *     krs_check(device, eval, outputs, count, NULL, NULL, &err);
 *
 * KRS_OK means that every element agrees, KRS_E_CHECK that one does not, and
 * err says which. No figure is averaged over a tensor, so that one wrong
 * element among millions is found; a NaN never slips through a comparison.
 */
#ifndef KRS_CHECK_H
#define KRS_CHECK_H

#include <krs/program.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A tensor in memory, row-major, borrowed. */
typedef struct krs_view {
    krs_dtype dtype; /* any but the block types */
    krs_shape shape;
    const void *data;
    size_t bytes; /* of data; must be what dtype and shape need */
} krs_view;

/* An element agrees if |got - want| <= atol + rtol * |want|. Both 0 asks for
 * the same bits (all NaNs are one). */
typedef struct krs_tolerance {
    double rtol;       /* >= 0, finite */
    double atol;       /* >= 0, finite */
    bool signed_zeros; /* a wanted 0 does not accept -0, nor -0 a 0 */
} krs_tolerance;

typedef struct krs_comparison {
    bool passed;
    int64_t counted;  /* elements compared */
    int64_t failing;  /* of them; 0 if type, shape or size differ */
    int64_t worst;    /* row-major index of the worst element; -1: none */
    double got, want; /* its values */
    double ratio;     /* its error / its tolerance: above 1 fails, infinite
                         where no tolerance can help */
} krs_comparison;

/* krs_compare(got, want, mask, tolerance, &result, err) -- compare all
 * elements that count.
 *
 *   got, want  must have the same type and shape; no elements at all is fine
 *   mask       NULL (all count), or bool whose shape is that of want without
 *              some of its last axes: where false, nothing below counts
 *   result     NULL is fine; filled unless the status is another error
 *
 * NaN is matched only by NaN, an infinity only by the same infinity. On
 * passing, `worst` is the element nearest to its tolerance.
 *
 * Errors     CHECK if they differ: type, shape, size of the data or elements.
 *            ARGUMENT for a tolerance that is negative or not finite, a want
 *            whose size is wrong, a mask of another shape or size, or one
 *            that leaves nothing of something. DTYPE for a block type.
 * Cost       one pass, no allocation. Thread-safe. */
KRS_API krs_status krs_compare(const krs_view *got, const krs_view *want,
                               const krs_view *mask, krs_tolerance tolerance,
                               krs_comparison *result, krs_error *err);

/* ---- what a graph is tried on ---- */

/* A value of an input or state, by its full name. Borrowed. */
typedef struct krs_check_value {
    const char *name;
    krs_view value;
} krs_check_value;

typedef struct krs_check_var {
    const char *name;
    int64_t value;
} krs_check_var;

/* Data of a graph's leaves. An input or state that is not among the values,
 * nor (a state) in the store, is drawn from the seed and its name: floats are
 * normal, of deviation 1, or for states of rank 2 and more 1 / sqrt(last
 * size); integers lie below the size of every axis that they index (take,
 * gather, the targets of losses, ...), or below 8; bools are either; tensors
 * of blocks are 0. A runtime integer that is not among the vars is at its
 * upper bound. */
typedef struct krs_check_data {
    size_t struct_size; /* sizeof (krs_check_data) */
    const krs_check_value *values;
    size_t value_count;
    const krs_check_var *vars;
    size_t var_count;
    const krs_store *store; /* NULL is fine; read, not written */
    uint64_t seed;
} krs_check_data;

/* ---- devices ---- */

/* Buckets of a histogram: the same bits; at most 1, 2, 4, 8, 16, 32, 64 units
 * in the last place; more; and what is not finite on one side. Of integers,
 * differences. */
enum { KRS_ULP_BUCKETS = 10 };

/* How one tensor differs from another. */
typedef struct krs_check_difference {
    int64_t elements;
    int64_t ulps[KRS_ULP_BUCKETS];
    double largest, largest_relative; /* infinite if the last bucket has any */
    double scale;                     /* the largest |want| that is finite */
    int64_t worst;    /* row-major index of the largest; -1: all the same */
    double got, want; /* there */
} krs_check_difference;

/* What is compared with what. */
typedef enum krs_check_kind {
    KRS_CHECK_OUTPUT,   /* an output on the device with that on `against` */
    KRS_CHECK_GRADIENT, /* likewise, of an input or state */
    KRS_CHECK_STATE,    /* likewise, after a step */
    KRS_CHECK_NODE /* a node on the device with the f64 interpreter's on the
                           operands that the device had */
} krs_check_kind;

/* One tensor compared. Borrowed during the call. */
typedef struct krs_check_row {
    krs_check_kind kind;
    int64_t step;     /* from 1; nodes: 1 */
    const char *name; /* of an input or state; "" for others */
    size_t number;    /* of an output, from 0; of a node: its id */
    const char *op, *scope, *file;
    int line;
    krs_dtype dtype;
    krs_shape shape;
    krs_check_difference difference;
    int64_t failing; /* elements that differ more than is allowed */
    int64_t worst;   /* of them, or the nearest to it; -1: none differs */
    double got, want, allowed, ratio; /* there */
} krs_check_row;

typedef enum krs_check_cause {
    KRS_CAUSE_NONE,     /* nothing is wrong */
    KRS_CAUSE_NODE,     /* a node is wrong, computed by a kernel of its own */
    KRS_CAUSE_FUSION,   /* a node is right alone, but not in a kernel that
                           computes more than one operation */
    KRS_CAUSE_TOLERANCE /* an output differs more than options.tolerance */
} krs_check_cause;

typedef struct krs_check_result {
    size_t struct_size; /* sizeof (krs_check_result) */
    int64_t nodes, failing_nodes;
    int64_t elements;                 /* of nodes */
    int64_t tensors, failing_tensors; /* outputs, gradients, states */
    krs_check_cause cause;
    /* of the first diverging node, or of the output */
    char op[32], scope[160], file[160];
    int line;
    char kernel[256]; /* its kernel: what it computes, and for what */
    char *repro;      /* to be freed: a text for krs_check_read, or NULL */
} krs_check_result;

typedef struct krs_check_options {
    size_t struct_size;         /* sizeof (krs_check_options) */
    const krs_check_data *data; /* NULL: all drawn from seed 0 */
    bool gradients;             /* also of every float input and state */
    /* runs of the outputs, updates taking effect, each from the states of
     * `against`; without updates among the outputs, 1e-2 times the gradient is
     * taken from every f32 state in each; 0: one run, nothing is updated that
     * the outputs do not */
    int64_t steps;
    /* of outputs, gradients and states from `against`, both 0: not judged; for
     * what roundings become over a graph has no bound */
    krs_tolerance tolerance;
    /* the same of outputs and of gradients, as a part of the largest element
     * that `against` has in the tensor, which comes on top; 0: nothing does */
    double output_within, gradient_within;
    bool repro; /* wanted, if something is wrong */
    void (*sink)(void *user, const krs_check_row *row); /* NULL: none */
    void *user;
} krs_check_options;

/* krs_check(device, against, outputs, count, options, &result, err) -- does a
 * device compute what a graph says?
 *
 *   1  Outputs, gradients and steps run on both devices. The differences are
 *      reported, and judged if there is a tolerance. Each step begins with the
 *      states that `against` has, so that differences do not add up.
 *   2  Every node of the graph of primitives is made an output of the device
 *      and judged by itself: eval, in f64, computes it from the operands that
 *      the device had. Most must be the same bits; functions, sums and
 *      attention have bounds (backends/check/tolerance.c). So the first node
 *      that is wrong is the one to look at, not where it shows.
 *   3  The outputs of 1 must be the same bits as in 2; one that is an input, a
 *      state or a constant, what was given.
 *   4  What is wrong is unfused by bisection: nodes before it become inputs,
 *      which no kernel can compute, as many as leave the fault there. So the
 *      kernel is named, and a node that is wrong by itself told from one that
 *      is so in the company of others.
 *
 *   device   under test; against, for 1: eval, or one that is trusted
 *   outputs  of one graph, which is left as it is; updates take effect in
 *            stores of the check's own
 *   options  NULL: all default
 *   result   NULL is fine; filled also with CHECK. Free result->repro.
 *
 * A gradient is that of the first float output; one that is no scalar is
 * summed with drawn weights. Results of a scan whose body rounds are compared
 * with 2^-10 of their largest element: a guard, not a bound. A repro is the
 * guilty node or kernel alone, with the data that it failed on.
 *
 * Errors     CHECK if something is wrong: err names it. ARGUMENT (no outputs,
 *            struct_size, not one graph); those of data, gradients, devices.
 * Cost       the graph 2 + steps times on each device, every node on eval;
 *            memory for all nodes, at most 256 MiB of them at a time.
 * One thread at a time. */
KRS_API krs_status krs_check(krs_device *device, krs_device *against,
                             const krs_node *outputs, size_t count,
                             const krs_check_options *options,
                             krs_check_result *result, krs_error *err);

/* krs_check_fill(program, store, outputs, count, data, err) -- give a program
 * what a check of these outputs would run it on: its inputs, its runtime
 * integers, the states of its store; what data does not have is drawn by the
 * rules of krs_check_data, NULL: all.
 *
 *   outputs  of the graph that the program was made of
 *
 * Errors     ARGUMENT (no outputs, not one graph); those of data; MEMORY.
 * Cost       memory for a copy of what is given, which is freed again.
 * One thread at a time. */
KRS_API krs_status krs_check_fill(krs_program *program, krs_store *store,
                                  const krs_node *outputs, size_t count,
                                  const krs_check_data *data, krs_error *err);

/* krs_check_read(text, &data, err) -- the data that a repro carries, in lines
 * "#: name type values"; nothing for a graph without. Free it with
 * krs_check_data_free. Errors: FORMAT with line and column; MEMORY. */
KRS_API krs_status krs_check_read(const char *text, krs_check_data **out,
                                  krs_error *err);
KRS_API void krs_check_data_free(krs_check_data *data);

/* ---- gradients ---- */

/* "worst" of a gradient that disagrees along a direction */
enum { KRS_ALONG_GRADIENT = -1, KRS_ALONG_RANDOM = -2 };

/* The gradient of one parameter. Borrowed during the call. */
typedef struct krs_gradcheck_result {
    const char *name;
    int64_t elements;
    int64_t checked;        /* elements, and two directions */
    int64_t kinks;          /* of them: where there is no derivative */
    int64_t failing;        /* of them; with the kinks, if those are most */
    int64_t worst;          /* row-major index, or a direction as above */
    double gradient, slope; /* there: the graph's, the difference quotient */
    double largest;         /* element of the gradient */
    double tolerance;       /* of |gradient - slope| there */
    double ratio;           /* that over the tolerance: above 1 fails */
} krs_gradcheck_result;

typedef struct krs_gradcheck_options {
    size_t struct_size;         /* sizeof (krs_gradcheck_options) */
    const krs_check_data *data; /* NULL: all drawn from seed 0 */
    int64_t elements; /* of each parameter, spread evenly; 0: 16; -1: all */
    double step;      /* h; 0: 2^-7 */
    /* of |gradient - slope|: atol, and rtol times size (below); both 0: by
     * device, as below */
    krs_tolerance tolerance;
    void (*sink)(void *user,
                 const krs_gradcheck_result *result); /* NULL: none */
    void *user;
} krs_gradcheck_options;

/* krs_gradcheck(device, loss, parameters, count, options, err) -- the graph's
 * gradients of a loss against its slopes, which know no rule of any operation.
 *
 *      s(h) = (b^2 (f(x + a) - f(x)) - a^2 (f(x - b) - f(x))) / (a b (a + b))
 *      slope = (4 s(h) - s(2h)) / 3        errs by h^4 f^(5) / 7.5 or less
 *
 * with a and b, the steps up and down from an element x, about h, exactly as
 * f32 has them. Besides elements two directions are tried, which all of a
 * parameter takes part in: along its gradient, which shows a wrong factor, and
 * along random signs, which shows what single elements miss.
 *
 * The gradients are the device's; the loss at x and around it is computed by
 * eval, in f64 from the differences f(x + a) - f(x) on, whatever the device is:
 * the rounding of f32 would need steps that reach over every kink of a model
 * with relu.
 *
 *   device      eval judges the mathematics, another its kernels of gradients
 *               too (those of the loss: krs_check)
 *   loss        f32 scalar
 *   parameters  f32 inputs or states of its graph, which is left as it is
 *   options     NULL: all default
 *
 * Tolerance. The slope has 6 digits; 1e-6 + 1e-4 size remains for f^(5) and for
 * constants, which are f32, and on other devices than eval 1e-6 + 1e-3 size for
 * the rounding of gradients; size is the larger of the gradient's largest element
 * and |gradient| itself. What disagrees is tried again with h / 8 and h / 64, for
 * the loss may be strongly curved or have a kink (relu, max) between the points;
 * a wrong gradient agrees with no step.
 *
 * Kinks. Where the slopes to the right and to the left stay apart as the step
 * shrinks there is no derivative, and any gradient between the two is right (a
 * subgradient). These places are counted; where they are more than half of a
 * parameter's, too little is left to be judged, and the check fails.
 *
 * Errors     CHECK if one disagrees: err names the worst element of all; or
 *            if kinks are most.
 *            ARGUMENT (nothing to check; a parameter that is no leaf, or not
 *            of the loss's graph; a step or tolerance below 0), SHAPE (the loss
 *            is no scalar), DTYPE (not f32); those of krs_grad, of the data
 *            and of the device.
 * Cost       4 runs of the loss on eval an element and direction, and one with
 *            the gradient on the device.
 * Source     Richardson 1911; the steps: Press et al. 2007, section 5.7; f64,
 *            as in PyTorch's gradcheck; subgradients: Clarke 1983. */
KRS_API krs_status krs_gradcheck(krs_device *device, krs_node loss,
                                 const krs_node *parameters, size_t count,
                                 const krs_gradcheck_options *options,
                                 krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
