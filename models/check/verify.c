/* verify.c -- a model folder with golden results, checked number by number
 * (verify.h).
 *
 * In: the folder. Out: a report for each golden tensor.
 *
 * One program computes everything: hidden states, logits, loss and the
 * gradient of the loss for every parameter. The continuations run through the
 * decoder (prompt in chunks of 4, so that chunk borders and a filled-up last
 * chunk are met), whose cache is thereby compared with a reference that has
 * none. What is compared, and how closely, golden.json says; nothing is left
 * out because it is missing there.
 */
#include "../load/json_file.h"

#include <krs/generate.h>
#include <krs/model.h>
#include <krs/ops.h>
#include <krs/verify.h>
#include <krs/weights.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 256
#define CHUNK      4

struct job {
    const char *folder;
    krs_verify_sink sink;
    void *user;
    size_t passed, failed;

    krsi_json_file *json;
    krsi_json root;
    krs_weights *golden;
    krs_store *store;
    krs_model_config config;
    krs_causal_model model;

    int64_t B, T;
    int64_t *ids, *labels; /* [B,T] */
    int64_t *mask;         /* [B,T] */
    bool *counts;          /* [B,T]: mask is 1 */

    krs_graph *g;
    krs_node *outputs; /* hidden [L+1], logits, loss, gradients */
    krs_node *parameters;
    size_t parameter_count, output_count;
    krs_program *program;
};

/* ---- golden tensors ---- */

/* The tensor of that name in memory; free view->data. */
static krs_status
read_golden(const struct job *j, const char *name, krs_dtype dtype,
            krs_view *view, krs_error *err)
{
    int64_t i = krs_weights_find(j->golden, name);
    if (i < 0)
        return krs_fail(err, KRS_E_NAME, "%s: the tensor %s is missing",
                        krs_weights_path(j->golden), name);
    const krs_weight *w = krs_weights_at(j->golden, (size_t)i);
    krs_shape shape = {.rank = w->rank};
    for (int a = 0; a < w->rank; a++)
        shape.dim[a] = w->shape[a];
    size_t bytes;
    if (!krs_dtype_bytes(dtype, w->count, &bytes))
        return krs_fail(err, KRS_E_SHAPE, "%s: %s is too large",
                        krs_weights_path(j->golden), name);
    void *data = malloc(bytes + 1);
    if (data == NULL)
        return krs_fail(err, KRS_E_MEMORY, "%s: no memory for %s (%zu bytes)",
                        krs_weights_path(j->golden), name, bytes);
    krs_status status =
        krs_weights_read(j->golden, (size_t)i, dtype, data, bytes, err);
    if (status != KRS_OK) {
        free(data);
        return status;
    }
    *view = (krs_view){dtype, shape, data, bytes};
    return KRS_OK;
}

static void
free_view(krs_view *view)
{
    free((void *)(uintptr_t)view->data);
    view->data = NULL;
}

/* i64 [B,T] under the name that `arguments` gives for `key`. */
static krs_status
read_ids(const struct job *j, const krsi_json *arguments, const char *key,
         int64_t **out, int64_t *B, int64_t *T, krs_error *err)
{
    const char *name;
    krs_view view;
    KRS_TRY(krsi_json_string(arguments, key, &name, err));
    KRS_TRY(read_golden(j, name, KRS_I64, &view, err));
    *out = (int64_t *)(uintptr_t)view.data;
    if (view.shape.rank != 2 || (*B >= 0 && view.shape.dim[0] != *B) ||
        (*T >= 0 && view.shape.dim[1] != *T))
        return krs_fail(err, KRS_E_SHAPE,
                        "%s: %s is not [batch, time] of the size of the ids",
                        krs_weights_path(j->golden), name);
    *B = view.shape.dim[0];
    *T = view.shape.dim[1];
    return KRS_OK;
}

static krs_status
read_tolerance(const struct job *j, const char *table, const char *name,
               krs_tolerance *out, krs_error *err)
{
    krsi_json all, one;
    *out = (krs_tolerance){0};
    KRS_TRY(krsi_json_object(&j->root, table, &all, err));
    KRS_TRY(krsi_json_object(&all, name, &one, err));
    KRS_TRY(krsi_json_double(&one, "rtol", KRSI_NOT_NEGATIVE, &out->rtol, err));
    return krsi_json_double(&one, "atol", KRSI_NOT_NEGATIVE, &out->atol, err);
}

/* ---- reports ---- */

static void
report(struct job *j, const krs_verify_check *check)
{
    if (check->reason == NULL)
        j->passed++;
    else
        j->failed++;
    if (j->sink != NULL)
        j->sink(j->user, check);
}

static void
report_absent(struct job *j, const char *kind, const char *name,
              const char *reason)
{
    krs_verify_check check = {
        .kind = kind, .name = name, .reason = reason, .comparison.worst = -1};
    report(j, &check);
}

static krs_status
compare(struct job *j, const char *kind, const char *name, const krs_view *got,
        const krs_view *want, const krs_view *mask, krs_tolerance tolerance,
        krs_error *err)
{
    krs_verify_check check = {
        .kind = kind, .name = name, .tolerance = tolerance};
    krs_error reason;
    krs_status status =
        krs_compare(got, want, mask, tolerance, &check.comparison, &reason);
    if (status != KRS_OK && status != KRS_E_CHECK)
        return krs_fail(err, status, "%s: %s", name, reason.text);
    if (status == KRS_E_CHECK)
        check.reason = reason.text;
    report(j, &check);
    return KRS_OK;
}

/* Output i of the program against a golden tensor. */
static krs_status
compare_output(struct job *j, size_t i, const char *kind, const char *name,
               const krs_view *mask, krs_tolerance tolerance, krs_error *err)
{
    krs_view want, got = {.data = NULL};
    KRS_TRY(read_golden(j, name, KRS_F32, &want, err));
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
        status = compare(j, kind, name, &got, &want, mask, tolerance, err);
    free(data);
    free_view(&want);
    return status;
}

/* ---- forward and backward ---- */

static krs_status
read_inputs(struct job *j, krs_error *err)
{
    krsi_json inputs;
    j->B = j->T = -1;
    KRS_TRY(krsi_json_object(&j->root, "inputs", &inputs, err));
    KRS_TRY(read_ids(j, &inputs, "input_ids", &j->ids, &j->B, &j->T, err));
    KRS_TRY(read_ids(j, &inputs, "labels", &j->labels, &j->B, &j->T, err));
    KRS_TRY(
        read_ids(j, &inputs, "attention_mask", &j->mask, &j->B, &j->T, err));
    size_t count = (size_t)(j->B * j->T);
    j->counts = malloc(count + 1);
    if (j->counts == NULL)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a mask of %zu",
                        count);
    for (size_t i = 0; i < count; i++)
        j->counts[i] = j->mask[i] == 1;
    return KRS_OK;
}

/* The graph, its outputs and the program. */
static krs_status
prepare(struct job *j, krs_error *err)
{
    size_t hidden = (size_t)j->model.layers + 1;
    krs_shape shape = KRS_SHAPE(j->B, j->T);
    j->g = krs_graph_new();
    krs_node *states = calloc(hidden, sizeof *states);
    if (j->g == NULL || states == NULL) {
        free(states);
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    }
    krs_causal_call call = {
        .struct_size = sizeof call,
        .ids = krs_input(j->g, "input_ids", KRS_I64, shape),
        .labels = krs_input(j->g, "labels", KRS_I64, shape),
        .attention_mask = krs_input(j->g, "attention_mask", KRS_BOOL, shape),
        .hidden = states};
    krs_causal_result result = {.struct_size = sizeof result};
    krs_causal_forward(j->g, &j->model, &call, &result);
    krs_status status =
        krs_nn_parameters(j->g, &j->parameters, &j->parameter_count, err);
    j->output_count = hidden + 2 + j->parameter_count;
    if (status == KRS_OK) {
        j->outputs = calloc(j->output_count, sizeof *j->outputs);
        if (j->outputs == NULL)
            status = krs_fail(err, KRS_E_MEMORY, "no memory for %zu outputs",
                              j->output_count);
    }
    if (status == KRS_OK) {
        memcpy(j->outputs, states, hidden * sizeof *states);
        j->outputs[hidden] = result.logits;
        j->outputs[hidden + 1] = result.loss;
        krs_grad(result.loss, j->parameters, j->parameter_count,
                 j->outputs + hidden + 2);
        status = krs_graph_check(j->g, err);
    }
    free(states);
    KRS_TRY(status);
    return krs_program_new(j->store, j->outputs, j->output_count, &j->program,
                           err);
}

static krs_status
run(struct job *j, krs_error *err)
{
    size_t count = (size_t)(j->B * j->T), bytes = count * sizeof *j->ids;
    krs_program *p = j->program;
    KRS_TRY(krs_program_set_input(p, "input_ids", j->ids, bytes, err));
    KRS_TRY(krs_program_set_input(p, "labels", j->labels, bytes, err));
    KRS_TRY(krs_program_set_input(p, "attention_mask", j->counts,
                                  count * sizeof *j->counts, err));
    return krs_program_run(p, err);
}

static krs_status
compare_values(struct job *j, krs_error *err)
{
    size_t hidden = (size_t)j->model.layers + 1;
    krs_view mask = {KRS_BOOL, KRS_SHAPE(j->B, j->T), j->counts,
                     (size_t)(j->B * j->T)};
    krs_tolerance tolerance;
    for (size_t i = 0; i < hidden; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "hidden.%zu", i);
        KRS_TRY(read_tolerance(j, "tol", name, &tolerance, err));
        KRS_TRY(compare_output(j, i, "hidden", name, &mask, tolerance, err));
    }
    KRS_TRY(read_tolerance(j, "tol", "logits", &tolerance, err));
    KRS_TRY(
        compare_output(j, hidden, "logits", "logits", &mask, tolerance, err));
    KRS_TRY(read_tolerance(j, "tol", "loss", &tolerance, err));
    return compare_output(j, hidden + 1, "loss", "loss", NULL, tolerance, err);
}

static krs_status
compare_gradients(struct job *j, krs_error *err)
{
    size_t first = (size_t)j->model.layers + 3, found = 0;
    for (size_t i = 0; i < j->parameter_count; i++) {
        const char *parameter = krs_node_name(j->parameters[i]);
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "grad.%s", parameter);
        if (krs_weights_find(j->golden, name) < 0) {
            report_absent(j, "grad", name,
                          "golden.safetensors has no gradient of this "
                          "parameter");
            continue;
        }
        krs_tolerance tolerance;
        found++;
        KRS_TRY(read_tolerance(j, "grad_tol", parameter, &tolerance, err));
        KRS_TRY(
            compare_output(j, first + i, "grad", name, NULL, tolerance, err));
    }
    size_t golden = 0;
    for (size_t i = 0; i < krs_weights_count(j->golden); i++)
        golden += strncmp(krs_weights_at(j->golden, i)->name, "grad.", 5) == 0;
    if (golden != found)
        report_absent(j, "grad", "grad.*",
                      "golden.safetensors has gradients of parameters that "
                      "the model lacks");
    return KRS_OK;
}

/* ---- continuations ---- */

/* all [batch, width]: prompts and what follows them */
static krs_status
continue_prompts(struct job *j, const krsi_json *rule, const int64_t *prompt,
                 int64_t batch, int64_t length, int64_t most, int64_t *all,
                 int64_t *made, krs_error *err)
{
    int64_t stop = -1, pad = 0;
    KRS_TRY(
        krsi_json_int_or(rule, "eos_token_id", 0, INT32_MAX, -1, &stop, err));
    KRS_TRY(krsi_json_int_or(rule, "pad_token_id", 0, INT32_MAX, 0, &pad, err));
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .batch = batch,
                                 .cache_length = length + most,
                                 .chunk = CHUNK};
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = most,
                                    .stop_ids = &stop,
                                    .stop_count = 1,
                                    .pad_id = pad};
    krs_decoder *decoder;
    KRS_TRY(krs_decoder_open(j->store, &j->model, &sizes, &decoder, err));
    int64_t *new_ids = calloc((size_t)(batch * most) + 1, sizeof *new_ids);
    krs_status status =
        new_ids == NULL ? krs_fail(err, KRS_E_MEMORY, "no memory for %lld ids",
                                   (long long)(batch * most))
                        : krs_generate(decoder, prompt, length, NULL, &options,
                                       new_ids, made, err);
    krs_decoder_close(decoder);
    for (int64_t b = 0; status == KRS_OK && b < batch; b++) {
        int64_t *row = all + b * (length + *made);
        memcpy(row, prompt + b * length, (size_t)length * sizeof *row);
        memcpy(row + length, new_ids + b * most, (size_t)*made * sizeof *row);
    }
    free(new_ids);
    return status;
}

static krs_status
compare_greedy(struct job *j, const krsi_json *rule, krs_error *err)
{
    krsi_json inputs;
    const char *name;
    int64_t most, B = -1, T = -1, made = 0, *prompt = NULL, *all;
    krs_view want;
    KRS_TRY(krsi_json_string(rule, "ids", &name, err));
    KRS_TRY(krsi_json_int(rule, "max_new_tokens", 1, 1 << 20, &most, err));
    KRS_TRY(krsi_json_object(rule, "inputs", &inputs, err));
    krs_status status = read_ids(j, &inputs, "input_ids", &prompt, &B, &T, err);
    if (status == KRS_OK)
        status = read_golden(j, name, KRS_I64, &want, err);
    if (status != KRS_OK) {
        free(prompt);
        return status;
    }
    all = calloc((size_t)(B * (T + most)) + 1, sizeof *all);
    status = all == NULL ? krs_fail(err, KRS_E_MEMORY, "no memory for %lld ids",
                                    (long long)(B * (T + most)))
                         : continue_prompts(j, rule, prompt, B, T, most, all,
                                            &made, err);
    if (status == KRS_OK) {
        krs_view got = {KRS_I64, KRS_SHAPE(B, T + made), all,
                        (size_t)(B * (T + made)) * sizeof *all};
        status = compare(j, "greedy", name, &got, &want, NULL,
                         (krs_tolerance){0}, err);
    }
    free(all);
    free_view(&want);
    free(prompt);
    return status;
}

static krs_status
compare_generation(struct job *j, krs_error *err)
{
    static const char *const kinds[] = {"greedy"};
    krsi_json list, rule;
    size_t count, kind;
    if (!krsi_json_has(&j->root, "generation"))
        return KRS_OK;
    KRS_TRY(krsi_json_array(&j->root, "generation", &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        KRS_TRY(krsi_json_item(&list, i, &rule, err));
        KRS_TRY(krsi_json_choice(&rule, "kind", kinds, 1, &kind, err));
        KRS_TRY(compare_greedy(j, &rule, err));
    }
    return KRS_OK;
}

/* ---- the whole ---- */

static krs_status
path_in(const struct job *j, const char *file, char *out, size_t size,
        krs_error *err)
{
    int length = snprintf(out, size, "%s/%s", j->folder, file);
    if (length < 0 || (size_t)length >= size)
        return krs_fail(err, KRS_E_IO, "%s: the path is too long", j->folder);
    return KRS_OK;
}

static krs_status
open_all(struct job *j, krs_device *device, krs_error *err)
{
    char path[4096], quoted[80];
    const char *class;
    KRS_TRY(path_in(j, "golden.json", path, sizeof path, err));
    KRS_TRY(krsi_json_open(path, &j->json, err));
    j->root = krsi_json_root(j->json);
    KRS_TRY(krsi_json_string(&j->root, "class", &class, err));
    KRS_TRY(path_in(j, "golden.safetensors", path, sizeof path, err));
    KRS_TRY(krs_weights_open(path, &j->golden, err));
    KRS_TRY(krs_store_new(device, &j->store, err));
    KRS_TRY(krs_model_open(j->folder, j->store, &j->config, err));
    const char *own = krs_architecture_class(j->config.architecture);
    if (strcmp(class, own) != 0)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: $.class: expected \"%s\", as config.json has it, "
                        "found %s",
                        krsi_json_name(j->json), own,
                        krsi_json_quote(class, quoted, sizeof quoted));
    return krs_model_causal(&j->config, &j->model, err);
}

static krs_status
check_all(struct job *j, krs_device *device, krs_error *err)
{
    KRS_TRY(open_all(j, device, err));
    KRS_TRY(read_inputs(j, err));
    KRS_TRY(prepare(j, err));
    KRS_TRY(run(j, err));
    KRS_TRY(compare_values(j, err));
    KRS_TRY(compare_gradients(j, err));
    return compare_generation(j, err);
}

krs_status
krs_verify_folder(const char *folder, krs_device *device, krs_verify_sink sink,
                  void *user, size_t *out_passed, size_t *out_failed,
                  krs_error *err)
{
    struct job j = {.folder = folder, .sink = sink, .user = user};
    krs_status status = check_all(&j, device, err);
    krs_program_free(j.program);
    free(j.outputs);
    free(j.parameters);
    krs_graph_free(j.g);
    free(j.counts);
    free(j.mask);
    free(j.labels);
    free(j.ids);
    krs_store_free(j.store);
    krs_weights_close(j.golden);
    krsi_json_close(j.json);
    *out_passed = j.passed;
    *out_failed = j.failed;
    return status;
}
