/* verify.c -- a model folder with golden results, checked number by number
 * (verify.h).
 *
 * In: the folder. Out: a report for each golden tensor.
 *
 * One program computes everything: what krs_model_outputs gives, and the
 * gradient of the loss for every parameter. The continuations run through the
 * decoder (continuation.c), whose cache is thereby compared with a reference that
 * has none. What is compared, and how closely, golden.json says; nothing is left
 * out because it is missing there.
 */
#include "golden.h"

#include <krs/model.h>
#include <krs/ops.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES  256
#define MOST_INPUTS 16

/* An argument of the model. */
struct input {
    const char *name; /* "labels" */
    krs_view ids;     /* i64, as it is stored */
    bool *counts;     /* of attention_mask: it is 1; of labels: not -100 */
};

struct job {
    struct krsi_golden golden;
    krs_store *store;
    krs_model_config config;
    struct input inputs[MOST_INPUTS];
    size_t input_count;

    krs_graph *g;
    krs_model_output *results;
    size_t result_count;
    krs_node *outputs; /* the results, then the gradients */
    krs_node *parameters;
    size_t parameter_count;
    krs_program *program;
};

/* ---- inputs ---- */

static struct input *
find_input(struct job *j, const char *name)
{
    for (size_t i = 0; i < j->input_count; i++)
        if (strcmp(j->inputs[i].name, name) == 0)
            return &j->inputs[i];
    return NULL;
}

static krs_status
read_input(struct job *j, const char *name, const char *tensor, krs_error *err)
{
    struct input *in = &j->inputs[j->input_count];
    KRS_TRY(krsi_golden_read(&j->golden, tensor, KRS_I64, &in->ids, err));
    in->name = name;
    j->input_count++;
    bool is_mask = strcmp(name, "attention_mask") == 0;
    if (!is_mask && strcmp(name, "labels") != 0)
        return KRS_OK;
    const int64_t *ids = in->ids.data;
    size_t count = in->ids.bytes / sizeof *ids;
    in->counts = malloc(count + 1);
    if (in->counts == NULL)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a mask of %zu",
                        count);
    for (size_t i = 0; i < count; i++)
        in->counts[i] = is_mask ? ids[i] == 1 : ids[i] != -100;
    return KRS_OK;
}

static krs_status
read_inputs(struct job *j, krs_error *err)
{
    krsi_json list, value;
    void *cursor = NULL;
    const char *name, *tensor;
    KRS_TRY(krsi_json_object(&j->golden.root, "inputs", &list, err));
    while (krsi_json_each(&list, &cursor, &name, &value)) {
        if (j->input_count == MOST_INPUTS)
            return krsi_json_wrong(&list, err, "more than %d inputs",
                                   MOST_INPUTS);
        KRS_TRY(krsi_json_as_string(&value, &tensor, err));
        KRS_TRY(read_input(j, name, tensor, err));
    }
    return KRS_OK;
}

/* Sizes of [batch, time] of an input. */
static krs_status
input_sizes(struct job *j, const char *name, int64_t *batch, int64_t *time,
            krs_error *err)
{
    const struct input *in = find_input(j, name);
    if (in == NULL || in->ids.shape.rank != 2)
        return krs_fail(err, KRS_E_SHAPE,
                        "%s: the input %s is not there as [batch, time]",
                        krs_weights_path(j->golden.tensors), name);
    *batch = in->ids.shape.dim[0];
    *time = in->ids.shape.dim[1];
    return KRS_OK;
}

/* ---- forward and backward ---- */

static krs_status
add_gradients(struct job *j, krs_error *err)
{
    krs_node loss = KRS_NONE;
    KRS_TRY(krs_nn_trainable(j->g, &j->parameters, &j->parameter_count, err));
    j->outputs =
        calloc(j->result_count + j->parameter_count + 1, sizeof *j->outputs);
    if (j->outputs == NULL)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu outputs",
                        j->result_count + j->parameter_count);
    for (size_t i = 0; i < j->result_count; i++) {
        j->outputs[i] = j->results[i].node;
        if (strcmp(j->results[i].name, "loss") == 0)
            loss = j->results[i].node;
    }
    if (loss.graph == NULL)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: a model of class %s has no loss to verify",
                        j->golden.folder,
                        krs_architecture_class(j->config.architecture));
    krs_grad(loss, j->parameters, j->parameter_count,
             j->outputs + j->result_count);
    return krs_graph_check(j->g, err);
}

/* The graph, its outputs and the program. */
static krs_status
prepare(struct job *j, krs_error *err)
{
    krs_model_sizes sizes;
    const char *scored =
        find_input(j, "decoder_input_ids") ? "decoder_input_ids" : "input_ids";
    KRS_TRY(input_sizes(j, "input_ids", &sizes.batch, &sizes.source, err));
    KRS_TRY(input_sizes(j, scored, &sizes.batch, &sizes.time, err));
    j->g = krs_graph_new();
    if (j->g == NULL)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    KRS_TRY(krs_model_outputs(j->g, &j->config, &sizes, &j->results,
                              &j->result_count, err));
    KRS_TRY(add_gradients(j, err));
    return krs_program_new(j->store, j->outputs,
                           j->result_count + j->parameter_count, &j->program,
                           err);
}

static krs_status
run(struct job *j, krs_error *err)
{
    for (size_t i = 0; i < j->input_count; i++) {
        const struct input *in = &j->inputs[i];
        bool is_mask = strcmp(in->name, "attention_mask") == 0;
        size_t bytes = in->ids.bytes / (is_mask ? sizeof(int64_t) : 1);
        KRS_TRY(krs_program_set_input(
            j->program, in->name,
            is_mask ? (const void *)in->counts : in->ids.data, bytes, err));
    }
    return krs_program_run(j->program, err);
}

/* ---- comparing ---- */

/* Output i of the program against a golden tensor. */
static krs_status
compare_output(struct job *j, size_t i, const char *kind, const char *name,
               const krs_view *mask, krs_tolerance tolerance, krs_error *err)
{
    krs_view want, got = {.data = NULL};
    KRS_TRY(krsi_golden_read(&j->golden, name, KRS_F32, &want, err));
    krs_status status =
        krs_program_output(j->program, i, &got.dtype, &got.shape, err);
    int64_t count = 0;
    if (status == KRS_OK && (!krs_shape_elements(got.shape, &count) ||
                             !krs_dtype_bytes(got.dtype, count, &got.bytes)))
        status = krs_fail(err, KRS_E_SHAPE, "%s is too large", name);
    void *data = status == KRS_OK ? malloc(got.bytes + 1) : NULL;
    if (status == KRS_OK && data == NULL)
        status = krs_fail(err, KRS_E_MEMORY, "no memory for %s (%zu bytes)",
                          name, got.bytes);
    if (status == KRS_OK)
        status = krs_program_read(j->program, i, data, got.bytes, err);
    got.data = data;
    if (status == KRS_OK)
        status = krsi_golden_compare(&j->golden, kind, name, &got, &want, mask,
                                     tolerance, err);
    free(data);
    krsi_golden_free(&want);
    return status;
}

static const char *
kind_of(const char *name)
{
    if (strstr(name, "hidden.") != NULL)
        return "hidden";
    return strcmp(name, "loss") == 0 ? "loss" : "logits";
}

static krs_status
compare_results(struct job *j, krs_error *err)
{
    krsi_json list;
    size_t golden;
    KRS_TRY(krsi_json_array(&j->golden.root, "outputs", &list, &golden, err));
    for (size_t i = 0; i < j->result_count; i++) {
        const krs_model_output *r = &j->results[i];
        const char *name = r->name;
        krs_tolerance tolerance;
        krs_view mask = {.data = NULL};
        const struct input *in =
            r->counts != NULL ? find_input(j, r->counts) : NULL;
        if (in != NULL)
            mask = (krs_view){KRS_BOOL, in->ids.shape, in->counts,
                              in->ids.bytes / sizeof(int64_t)};
        KRS_TRY(
            krsi_golden_tolerance(&j->golden, "tol", name, &tolerance, err));
        KRS_TRY(compare_output(j, i, kind_of(name), name,
                               in != NULL ? &mask : NULL, tolerance, err));
    }
    if (golden != j->result_count) /* each of ours was found there */
        krsi_golden_absent(&j->golden, "logits", "*",
                           "golden.json has outputs that the model lacks");
    return KRS_OK;
}

static krs_status
compare_gradients(struct job *j, krs_error *err)
{
    struct krsi_golden *g = &j->golden;
    size_t found = 0;
    for (size_t i = 0; i < j->parameter_count; i++) {
        const char *parameter = krs_node_name(j->parameters[i]);
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "grad.%s", parameter);
        if (krs_weights_find(g->tensors, name) < 0) {
            krsi_golden_absent(g, "grad", name,
                               "golden.safetensors has no gradient of this "
                               "parameter");
            continue;
        }
        krs_tolerance tolerance;
        found++;
        KRS_TRY(
            krsi_golden_tolerance(g, "grad_tol", parameter, &tolerance, err));
        KRS_TRY(compare_output(j, j->result_count + i, "grad", name, NULL,
                               tolerance, err));
    }
    size_t golden = 0;
    for (size_t i = 0; i < krs_weights_count(g->tensors); i++)
        golden += strncmp(krs_weights_at(g->tensors, i)->name, "grad.", 5) == 0;
    if (golden != found)
        krsi_golden_absent(g, "grad", "grad.*",
                           "golden.safetensors has gradients of parameters "
                           "that the model lacks");
    return KRS_OK;
}

/* ---- the whole ---- */

static krs_status
check_all(struct job *j, krs_device *device, krs_error *err)
{
    const char *class;
    char quoted[80];
    KRS_TRY(krsi_golden_open(&j->golden, err));
    KRS_TRY(krsi_json_string(&j->golden.root, "class", &class, err));
    KRS_TRY(krs_store_new(device, &j->store, err));
    KRS_TRY(krs_model_open(j->golden.folder, j->store, &j->config, err));
    const char *own = krs_architecture_class(j->config.architecture);
    if (strcmp(class, own) != 0)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: $.class: expected \"%s\", as config.json has it, "
                        "found %s",
                        krsi_json_name(j->golden.json), own,
                        krsi_json_quote(class, quoted, sizeof quoted));
    KRS_TRY(read_inputs(j, err));
    KRS_TRY(prepare(j, err));
    KRS_TRY(run(j, err));
    KRS_TRY(compare_results(j, err));
    KRS_TRY(compare_gradients(j, err));
    return krsi_golden_continue(&j->golden, j->store, &j->config, err);
}

krs_status
krs_verify_folder(const char *folder, krs_device *device, krs_verify_sink sink,
                  void *user, size_t *out_passed, size_t *out_failed,
                  krs_error *err)
{
    struct job j = {
        .golden = {.folder = folder, .sink = sink, .user = user}
    };
    krs_status status = check_all(&j, device, err);
    krs_program_free(j.program);
    free(j.outputs);
    free(j.parameters);
    free(j.results);
    krs_graph_free(j.g);
    for (size_t i = 0; i < j.input_count; i++) {
        krsi_golden_free(&j.inputs[i].ids);
        free(j.inputs[i].counts);
    }
    krs_store_free(j.store);
    krsi_golden_close(&j.golden);
    *out_passed = j.golden.passed;
    *out_failed = j.golden.failed;
    return status;
}
