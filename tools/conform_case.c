/* conform_case.c -- one golden case: build, run, compare.
 *
 * In: the description of a case, the tensors beside it, a device. Out: a
 * verdict with a sentence.
 *
 * Method: the inputs become graph inputs; the builder of the operation gives
 * the outputs; krs_grad of sum(output * cotangent) gives the gradients, and
 * krs_grad of sum(gradient * direction) the Hessian-vector products. All of
 * them are outputs of one program, so one run gives everything that is then
 * compared, each with its own tolerance. The first fault is reported.
 *
 * Every list is bounded by the constants below; a case that needs more is
 * refused, not cut.
 */
#include "conform.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_CHECKS = 40 };

/* A tensor of the file. */
struct stored_tensor {
    krs_view view;
    void *data; /* owned; view.data */
};

/* A result and what it must be. */
struct check {
    const char *what; /* "output", "gradient of" ... */
    const char *of;
    krs_node node;
    const char *tensor; /* name of the wanted one */
    krs_tolerance tolerance;
};

struct running {
    struct conform_case c;
    const krs_weights *tensors;
    json_t *description; /* borrowed */
    struct stored_tensor inputs[CASE_INPUTS];
    /* cotangents and directions, also inputs of the graph */
    int vector_count;
    const char *vector_names[CASE_INPUTS];
    struct stored_tensor vectors[CASE_INPUTS];
    int check_count;
    struct check checks[MOST_CHECKS];
    bool output_is_lost; /* its name is that of an input */
};

/* ---- reading the description ---- */

static krs_status
text_field(json_t *object, const char *key, const char **out, krs_error *err)
{
    *out = json_string_value(json_object_get(object, key));
    if (!*out)
        return krs_fail(err, KRS_E_FORMAT, "%s: expected a string", key);
    return KRS_OK;
}

static krs_status
read_tolerance(json_t *object, const char *what, krs_tolerance *out,
               krs_error *err)
{
    json_t *rtol = json_object_get(object, "rtol");
    json_t *atol = json_object_get(object, "atol");
    if (!json_is_number(rtol) || !json_is_number(atol))
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: expected a tolerance with rtol and atol", what);
    *out = (krs_tolerance){.rtol = json_number_value(rtol),
                           .atol = json_number_value(atol)};
    return KRS_OK;
}

/* A note that speaks of -0 asks for the signs of zeros. */
static bool
note_speaks_of_negative_zero(json_t *description)
{
    const char *note = json_string_value(json_object_get(description, "note"));
    for (const char *at = note; at && (at = strstr(at, "-0")); at += 2) {
        if (!at[2] || !strchr(".0123456789x", at[2]))
            return true;
    }
    return false;
}

static krs_status
load_tensor(const struct running *r, const char *name,
            struct stored_tensor *out, krs_error *err)
{
    char full[256];
    int length = snprintf(full, sizeof full, "%s/%s", r->c.name, name);
    int64_t i =
        length < (int)sizeof full ? krs_weights_find(r->tensors, full) : -1;
    if (i < 0)
        return krs_fail(err, KRS_E_NAME, "%s has no tensor \"%s\"",
                        krs_weights_path(r->tensors), full);
    const krs_weight *w = krs_weights_at(r->tensors, (size_t)i);
    krs_view view = {.shape.rank = w->rank, .bytes = (size_t)w->bytes};
    if (!krs_stored_dtype(w->stored, &view.dtype))
        return krs_fail(err, KRS_E_DTYPE, "%s: no element type is like %s",
                        full, krs_stored_name(w->stored));
    for (int axis = 0; axis < w->rank; axis++)
        view.shape.dim[axis] = w->shape[axis];
    void *data = malloc(view.bytes ? view.bytes : 1);
    if (!data)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory for %zu bytes", full,
                        view.bytes);
    krs_status status = krs_weights_read(r->tensors, (size_t)i, view.dtype,
                                         data, view.bytes, err);
    if (status != KRS_OK) {
        free(data);
        return status;
    }
    view.data = data;
    *out = (struct stored_tensor){view, data};
    return KRS_OK;
}

static krs_status
load_inputs(struct running *r, krs_error *err)
{
    json_t *list = json_object_get(r->description, "inputs"), *item;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > CASE_INPUTS)
        return krs_fail(err, KRS_E_FORMAT,
                        "inputs: expected a list of at most %d names",
                        CASE_INPUTS);
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(item);
        if (!name)
            return krs_fail(err, KRS_E_FORMAT, "inputs[%zu]: expected a string",
                            i);
        KRS_TRY(load_tensor(r, name, &r->inputs[i], err));
        r->c.input_names[i] = name;
        r->c.inputs[i] = krs_input(r->c.graph, name, r->inputs[i].view.dtype,
                                   r->inputs[i].view.shape);
        r->c.input_count++;
    }
    return KRS_OK;
}

/* ---- building ---- */

static krs_status
add_check(struct running *r, const char *what, const char *of, krs_node node,
          const char *tensor, json_t *tolerance, krs_error *err)
{
    krs_tolerance t;
    if (r->check_count == MOST_CHECKS)
        return krs_fail(err, KRS_E_FORMAT, "more than %d results to compare",
                        MOST_CHECKS);
    if (!tensor)
        return krs_fail(err, KRS_E_FORMAT, "%s %s: expected a tensor's name",
                        what, of);
    KRS_TRY(read_tolerance(tolerance, what, &t, err));
    r->checks[r->check_count++] = (struct check){what, of, node, tensor, t};
    return KRS_OK;
}

/* sum(x * v), v a tensor of the file. */
static krs_status
add_product(struct running *r, krs_node x, const char *vector, krs_node *sum,
            krs_error *err)
{
    if (!vector || r->vector_count == CASE_INPUTS)
        return krs_fail(err, KRS_E_FORMAT,
                        "expected at most %d cotangents, each with a name",
                        CASE_INPUTS);
    struct stored_tensor *v = &r->vectors[r->vector_count];
    KRS_TRY(load_tensor(r, vector, v, err));
    /* named by its place: "v.x" could be the name of an input */
    static const char *const names[CASE_INPUTS] = {"#0", "#1", "#2",  "#3",
                                                   "#4", "#5", "#6",  "#7",
                                                   "#8", "#9", "#10", "#11"};
    r->vector_names[r->vector_count] = names[r->vector_count];
    krs_node node = krs_input(r->c.graph, names[r->vector_count], v->view.dtype,
                              v->view.shape);
    r->vector_count++;
    krs_node product = krs_sum(krs_mul(x, node), KRS_ALL_AXES);
    *sum = krs_node_is_valid(*sum) ? krs_add(*sum, product) : product;
    return KRS_OK;
}

/* d of / d each input that `wanted` ({input: tensor}) names, as checks */
static krs_status
add_gradients(struct running *r, krs_node of, const char *what, json_t *wanted,
              json_t *tolerances, krs_node *grads, krs_error *err)
{
    krs_node wrt[CASE_INPUTS];
    size_t count = 0;
    const char *name;
    json_t *tensor;
    if (json_object_size(wanted) > CASE_INPUTS)
        return krs_fail(err, KRS_E_FORMAT, "more than %d gradients",
                        CASE_INPUTS);
    json_object_foreach(wanted, name, tensor) wrt[count++] =
        input_named(&r->c, name);
    krs_grad(of, wrt, count, grads);
    count = 0;
    json_object_foreach(wanted, name, tensor)
    {
        KRS_TRY(add_check(r, what, name, grads[count++],
                          json_string_value(tensor),
                          json_object_get(tolerances, name), err));
    }
    return KRS_OK;
}

static bool
is_input(const struct running *r, const char *name)
{
    for (int i = 0; i < r->c.input_count; i++) {
        if (!strcmp(r->c.input_names[i], name))
            return true;
    }
    return false;
}

static krs_status
add_outputs(struct running *r, krs_node y, krs_error *err)
{
    json_t *extras = json_object_get(r->description, "extra_outputs"), *item;
    json_t *extra_tol = json_object_get(r->description, "extra_tol");
    const char *output;
    size_t i;
    KRS_TRY(text_field(r->description, "output", &output, err));
    r->output_is_lost = is_input(r, output);
    if (!r->output_is_lost) {
        KRS_TRY(add_check(r, "output", output, y, output,
                          json_object_get(r->description, "tol"), err));
        r->checks[0].tolerance.signed_zeros =
            note_speaks_of_negative_zero(r->description);
    }
    if ((size_t)r->c.extra_count != json_array_size(extras))
        return krs_fail(err, KRS_E_FORMAT,
                        "the case has %zu further outputs, the builder %d",
                        json_array_size(extras), r->c.extra_count);
    json_array_foreach(extras, i, item)
    {
        const char *name = json_string_value(item);
        KRS_TRY(add_check(r, "output", name ? name : "?", r->c.extras[i], name,
                          json_object_get(extra_tol, name ? name : ""), err));
    }
    return KRS_OK;
}

static krs_status
add_op_gradients(struct running *r, krs_node y, krs_error *err)
{
    json_t *d = r->description;
    json_t *cotangent = json_object_get(d, "cotangent"), *item;
    json_t *extra_cotangents = json_object_get(d, "extra_cotangents");
    json_t *extras = json_object_get(d, "extra_outputs");
    size_t i;
    krs_node sum = KRS_NONE, grads[CASE_INPUTS] = {{0}};
    if (!cotangent || json_is_null(cotangent))
        return KRS_OK;
    KRS_TRY(add_product(r, y, json_string_value(cotangent), &sum, err));
    json_array_foreach(extras, i, item)
    {
        json_t *ct = json_object_get(extra_cotangents, json_string_value(item));
        if (ct)
            KRS_TRY(add_product(r, r->c.extras[i], json_string_value(ct), &sum,
                                err));
    }
    return add_gradients(r, sum, "gradient of", json_object_get(d, "grads"),
                         json_object_get(d, "grad_tol"), grads, err);
}

/* f, its gradient g, and the gradient of sum(g * v) */
static krs_status
build_second_order(struct running *r, conform_build *build, krs_error *err)
{
    json_t *d = r->description, *grads = json_object_get(d, "grads");
    json_t *vectors = json_object_get(d, "vectors"), *item;
    krs_node g[CASE_INPUTS] = {{0}}, h[CASE_INPUTS] = {{0}}, sum = KRS_NONE;
    size_t count = 0;
    const char *value, *name;
    KRS_TRY(text_field(d, "value", &value, err));
    krs_node f = build(&r->c);
    KRS_TRY(
        add_check(r, "value", value, f, value, json_object_get(d, "tol"), err));
    KRS_TRY(add_gradients(r, f, "gradient of", grads,
                          json_object_get(d, "grad_tol"), g, err));
    json_object_foreach(grads, name, item)
    {
        KRS_TRY(add_product(r, g[count++],
                            json_string_value(json_object_get(vectors, name)),
                            &sum, err));
    }
    return add_gradients(r, sum, "Hessian-vector product of",
                         json_object_get(d, "hvp"),
                         json_object_get(d, "hvp_tol"), h, err);
}

/* ---- running and judging ---- */

static krs_status
set_inputs(const struct running *r, krs_program *program, krs_error *err)
{
    for (int i = 0; i < r->c.input_count; i++)
        KRS_TRY(krs_program_set_input(program, r->c.input_names[i],
                                      r->inputs[i].data,
                                      r->inputs[i].view.bytes, err));
    for (int i = 0; i < r->vector_count; i++)
        KRS_TRY(krs_program_set_input(program, r->vector_names[i],
                                      r->vectors[i].data,
                                      r->vectors[i].view.bytes, err));
    return KRS_OK;
}

/* Output i of the program against the file. */
static krs_status
judge(const struct running *r, const krs_program *program, int i,
      krs_error *err)
{
    const struct check *check = &r->checks[i];
    struct stored_tensor want;
    krs_view got = {0};
    int64_t count;
    krs_error why;
    KRS_TRY(load_tensor(r, check->tensor, &want, err));
    krs_status status =
        krs_program_output(program, (size_t)i, &got.dtype, &got.shape, err);
    void *data = NULL;
    if (status == KRS_OK && (!krs_shape_elements(got.shape, &count) ||
                             !krs_dtype_bytes(got.dtype, count, &got.bytes)))
        status = krs_fail(err, KRS_E_INTERNAL, "an output has no size");
    if (status == KRS_OK && !(data = malloc(got.bytes ? got.bytes : 1)))
        status =
            krs_fail(err, KRS_E_MEMORY, "no memory for %zu bytes", got.bytes);
    if (status == KRS_OK)
        status = krs_program_read(program, (size_t)i, data, got.bytes, err);
    if (status == KRS_OK) {
        got.data = data;
        status =
            krs_compare(&got, &want.view, NULL, check->tolerance, NULL, &why);
        if (status != KRS_OK)
            krs_fail(err, status, "%s %s: %s", check->what, check->of,
                     why.text);
    }
    free(data);
    free(want.data);
    return status;
}

static krs_status
run_program(const struct running *r, krs_device *device, krs_error *err)
{
    krs_store *store = NULL;
    krs_program *program = NULL;
    krs_node outputs[MOST_CHECKS];
    for (int i = 0; i < r->check_count; i++)
        outputs[i] = r->checks[i].node;
    krs_status status = krs_store_new(device, &store, err);
    if (status == KRS_OK)
        status = krs_program_new(store, outputs, (size_t)r->check_count,
                                 &program, err);
    if (status == KRS_OK)
        status = set_inputs(r, program, err);
    if (status == KRS_OK)
        status = krs_program_run(program, err);
    for (int i = 0; status == KRS_OK && i < r->check_count; i++)
        status = judge(r, program, i, err);
    krs_program_free(program);
    krs_store_free(store);
    return status;
}

/* *out_skip is set instead of an error where Kersey lacks the operation. */
static krs_status
build(struct running *r, const char **out_skip, krs_error *err)
{
    json_t *function = json_object_get(r->description, "function");
    krs_node y;
    KRS_TRY(load_inputs(r, err));
    if (function) {
        const char *text = json_string_value(function);
        conform_build *expression = find_expression(text ? text : "");
        if (!expression) {
            *out_skip = "no expression of that text";
            return KRS_OK;
        }
        return build_second_order(r, expression, err);
    }
    const char *op;
    KRS_TRY(text_field(r->description, "op", &op, err));
    if (!conform_build_case(&r->c, op, &y)) {
        *out_skip = "no such operation in Kersey yet";
        return KRS_OK;
    }
    KRS_TRY(krs_graph_check(r->c.graph, err));
    const char *unread = unread_attr(&r->c);
    if (unread)
        return krs_fail(err, KRS_E_FORMAT, "attrs.%s is not understood",
                        unread);
    KRS_TRY(add_outputs(r, y, err));
    return add_op_gradients(r, y, err);
}

enum case_verdict
conform_run_case(krs_device *device, const krs_weights *tensors,
                 json_t *description, char text[KRS_ERROR_TEXT])
{
    struct running r = {.tensors = tensors, .description = description};
    const char *skip = NULL;
    krs_error err = {0};
    r.c.attrs = json_object_get(description, "attrs");
    krs_status status = text_field(description, "name", &r.c.name, &err);
    if (status == KRS_OK && !(r.c.graph = krs_graph_new()))
        status = krs_fail(&err, KRS_E_MEMORY, "no memory for a graph");
    if (status == KRS_OK)
        status = build(&r, &skip, &err);
    if (status == KRS_OK && !skip)
        status = krs_graph_check(r.c.graph, &err);
    if (status == KRS_OK && !skip)
        status = run_program(&r, device, &err);
    if (status == KRS_OK && r.output_is_lost)
        skip = "the output has the name of an input, so its values are not "
               "in the file (the gradients agree)";
    for (int i = 0; i < CASE_INPUTS; i++) {
        free(r.inputs[i].data);
        free(r.vectors[i].data);
    }
    krs_graph_free(r.c.graph);
    snprintf(text, KRS_ERROR_TEXT, "%s",
             status != KRS_OK ? err.text
             : skip           ? skip
                              : "");
    if (status != KRS_OK)
        return CASE_FAILED;
    return skip ? CASE_SKIPPED : CASE_PASSED;
}
