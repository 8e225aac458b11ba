/* test_model_step.c -- a training step of each architecture as one program
 * (forward, backward, clipping, AdamW) from the weights of its golden folder,
 * on every device: the loss falls, and loss, norm of the gradient, every updated
 * parameter and every moment are the same on all as on eval.
 *
 * With KERSEY_SLOW (the sanitizers) one of each family.
 */
#include "every_device.h"

#include <krs/model.h>
#include <krs/train.h>
#include <krs/weights.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS TESTS_DIR "/golden/models/"

enum { STEPS = 3 };

/* AdamW divides by sqrt(v) + eps: with the usual 1e-8 a gradient that is zero but
 * for rounding moves its parameter by the whole rate, either way. */
#define SMOOTH 1e-4

#define TOLERANCE 2e-5 /* of losses, and of the largest element of a tensor */

static krs_error err;

static void
ok(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

/* Losses and gradient norms of the steps; then the tensors of the store. */
struct course {
    double loss[STEPS], norm[STEPS];
    size_t tensors;
    struct tensor {
        char *name;
        float *value;
        size_t count;
    } * tensor;
};

/* The arguments of the model, as golden.json maps them to tensors. */
struct golden {
    char folder[512];
    json_t *inputs;
    krs_weights *tensors;
};

static struct golden
open_golden(const char *name)
{
    struct golden g;
    char path[600];
    snprintf(g.folder, sizeof g.folder, MODELS "%s", name);
    snprintf(path, sizeof path, "%s/golden.json", g.folder);
    json_t *root = json_load_file(path, 0, NULL);
    ck_assert_ptr_nonnull(root);
    g.inputs = json_incref(json_object_get(root, "inputs"));
    json_decref(root);
    snprintf(path, sizeof path, "%s/golden.safetensors", g.folder);
    ok(krs_weights_open(path, &g.tensors, &err));
    return g;
}

static const krs_weight *
input_weight(const struct golden *g, const char *argument, size_t *index)
{
    const char *name = json_string_value(json_object_get(g->inputs, argument));
    int64_t i = name != NULL ? krs_weights_find(g->tensors, name) : -1;
    if (i < 0)
        return NULL;
    *index = (size_t)i;
    return krs_weights_at(g->tensors, (size_t)i);
}

static krs_model_sizes
sizes_of(const struct golden *g)
{
    size_t i;
    const krs_weight *ids = input_weight(g, "input_ids", &i);
    const krs_weight *scored = input_weight(g, "decoder_input_ids", &i);
    krs_model_sizes s = {ids->shape[0], ids->shape[1], ids->shape[1]};
    if (scored != NULL)
        s.time = scored->shape[1];
    return s;
}

static void
set_inputs(const struct golden *g, krs_program *step)
{
    const char *argument;
    json_t *value;
    json_object_foreach(g->inputs, argument, value)
    {
        size_t i;
        const krs_weight *w = input_weight(g, argument, &i);
        int64_t ids[256];
        bool mask[256];
        size_t count = (size_t)w->count, bytes = count * sizeof *ids;
        ck_assert_uint_le(count, 256);
        ok(krs_weights_read(g->tensors, i, KRS_I64, ids, bytes, &err));
        for (size_t k = 0; k < count; k++)
            mask[k] = ids[k] == 1;
        if (strcmp(argument, "attention_mask") == 0)
            ok(krs_program_set_input(step, argument, mask, count, &err));
        else
            ok(krs_program_set_input(step, argument, ids, bytes, &err));
    }
}

/* The step as a program; *out_loss stays in graph g. */
static krs_program *
prepare_step(const struct golden *golden, krs_store *store, krs_graph *g)
{
    krs_model_config config;
    krs_model_output *results;
    krs_node *parameters, *outputs, loss = KRS_NONE;
    krs_program *step;
    size_t result_count, count, output_count;
    krs_optimizer optimizer = krs_optimizer_default();
    krs_model_sizes sizes = sizes_of(golden);
    optimizer.learning_rate = 1e-3;
    optimizer.eps = SMOOTH;
    optimizer.schedule.kind = KRS_SCHEDULE_CONSTANT;
    ok(krs_model_open(golden->folder, store, &config, &err));
    ok(krs_model_outputs(g, &config, &sizes, &results, &result_count, &err));
    for (size_t i = 0; i < result_count; i++)
        if (strcmp(results[i].name, "loss") == 0)
            loss = results[i].node;
    free(results);
    ok(krs_nn_trainable(g, &parameters, &count, &err));
    size_t capacity =
        KRS_STEP_UPDATES + 1 + count * (1 + KRS_OPTIMIZER_MOMENTS_MAX);
    outputs = calloc(capacity, sizeof *outputs);
    krs_train_step(loss, parameters, count, &optimizer, outputs, capacity,
                   &output_count);
    ok(krs_graph_check(g, &err));
    ok(krs_program_new(store, outputs, output_count, &step, &err));
    free(outputs);
    free(parameters);
    return step;
}

/* Every float tensor of the store, parameters and moments. */
static void
read_tensors(const krs_store *store, struct course *course)
{
    size_t count = krs_store_count(store);
    course->tensor = calloc(count, sizeof *course->tensor);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        krs_dtype dtype;
        krs_shape shape;
        int64_t elements;
        ok(krs_store_entry(store, i, &name, &dtype, &shape, &err));
        if (dtype != KRS_F32)
            continue; /* the number of the step */
        ck_assert(krs_shape_elements(shape, &elements));
        struct tensor *t = &course->tensor[course->tensors++];
        t->name = strdup(name);
        t->count = (size_t)elements;
        t->value = malloc(t->count * sizeof *t->value);
        ok(krs_store_read(store, name, t->value, t->count * sizeof *t->value,
                          &err));
    }
}

static void
free_course(struct course *course)
{
    for (size_t i = 0; i < course->tensors; i++) {
        free(course->tensor[i].name);
        free(course->tensor[i].value);
    }
    free(course->tensor);
}

/* What counts as zero of a gradient whose norm is 1, or of its square: that by
 * a bias of keys is zero but for rounding, as softmax does not see the bias. */
static double
least_of(const char *name)
{
    const double zero = 1e-4;
    static const char second[] = "optimizer.v.";
    return strncmp(name, second, strlen(second)) == 0 ? zero * zero : zero;
}

/* Each element, against the largest of its tensor. */
static void
expect_equal_tensors(const char *what, const struct course *got,
                     const struct course *want)
{
    ck_assert_uint_eq(got->tensors, want->tensors);
    ck_assert_uint_gt(want->tensors, 0);
    for (size_t i = 0; i < want->tensors; i++) {
        const struct tensor *a = &got->tensor[i], *b = &want->tensor[i];
        double largest = least_of(b->name);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_uint_eq(a->count, b->count);
        for (size_t k = 0; k < b->count; k++)
            largest = fmax(largest, fabs((double)b->value[k]));
        for (size_t k = 0; k < b->count; k++) {
            double off = fabs((double)a->value[k] - (double)b->value[k]);
            ck_assert_msg(off <= TOLERANCE * largest,
                          "%s: %s[%zu] is %.9g, on eval %.9g", what, a->name, k,
                          (double)a->value[k], (double)b->value[k]);
        }
    }
}

static struct course
train(const struct golden *golden, krs_device *device)
{
    struct course course = {{0}, {0}, 0, NULL};
    krs_store *store;
    krs_graph *g = krs_graph_new();
    ok(krs_store_new(device, &store, &err));
    krs_program *step = prepare_step(golden, store, g);
    set_inputs(golden, step);
    for (int i = 0; i < STEPS; i++) {
        float loss, norm;
        ok(krs_program_run(step, &err));
        ok(krs_program_read(step, KRS_STEP_LOSS, &loss, sizeof loss, &err));
        ok(krs_program_read(step, KRS_STEP_GRAD_NORM, &norm, sizeof norm,
                            &err));
        course.loss[i] = (double)loss;
        course.norm[i] = (double)norm;
    }
    read_tensors(store, &course);
    krs_program_free(step);
    krs_graph_free(g);
    krs_store_free(store);
    return course;
}

static void
expect_near(const char *what, double got, double want)
{
    ck_assert_msg(fabs(got - want) <= TOLERANCE * fabs(want),
                  "%s: %.9g, eval %.9g", what, got, want);
}

static void
expect_falling_and_equal(const char *model)
{
    struct golden golden = open_golden(model);
    struct course eval = {{0}, {0}, 0, NULL};
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        struct course course = train(&golden, device);
        if (d == 0)
            eval = course;
        for (int i = 0; i < STEPS; i++) {
            expect_near(every_device[d], course.loss[i], eval.loss[i]);
            expect_near(every_device[d], course.norm[i], eval.norm[i]);
            ck_assert_msg(i == 0 || course.loss[i] < course.loss[i - 1],
                          "%s on %s: step %d has the loss %g after %g", model,
                          every_device[d], i, course.loss[i],
                          course.loss[i > 0 ? i - 1 : 0]);
        }
        ck_assert(course.norm[0] > 0);
        expect_equal_tensors(every_device[d], &course, &eval);
        if (d > 0)
            free_course(&course);
        krs_device_close(device);
    }
    free_course(&eval);
    krs_weights_close(golden.tensors);
    json_decref(golden.inputs);
}

/* A row: the golden folder; whether slow builds have it; what it has that no
 * other has. */
#define STEP_LIST(X)                                                  \
    X(llama_gqa, false) /* shared keys and values */                  \
    X(mistral, true)    /* a window */                                \
    X(qwen2, false)     /* biases of q, k and v */                    \
    X(gpt2, true)       /* tied output, learned positions */          \
    X(bert, false)      /* masked words and next sentence */          \
    X(ernie, true)      /* embeddings of tasks */                     \
    X(bart, true)       /* a bias that is not trained */              \
    X(marian, false)    /* sinusoids, post-norm */                    \
    X(t5, false)        /* relative buckets, ReLU, tied and scaled */ \
    X(t5_v1_1, true)    /* gated GELU, an output of its own */

#define STEP(model, slow)                                  \
    START_TEST(a_step_of_##model##_is_the_same_everywhere) \
    {                                                      \
        if ((slow) || !getenv("KERSEY_SLOW"))              \
            expect_falling_and_equal(#model);              \
        else                                               \
            printf("1 test skipped: " #model ", slow\n");  \
    }                                                      \
    END_TEST
STEP_LIST(STEP)

SUITE(a_step_of_llama_gqa_is_the_same_everywhere,
      a_step_of_mistral_is_the_same_everywhere,
      a_step_of_qwen2_is_the_same_everywhere,
      a_step_of_gpt2_is_the_same_everywhere,
      a_step_of_bert_is_the_same_everywhere,
      a_step_of_ernie_is_the_same_everywhere,
      a_step_of_bart_is_the_same_everywhere,
      a_step_of_marian_is_the_same_everywhere,
      a_step_of_t5_is_the_same_everywhere,
      a_step_of_t5_v1_1_is_the_same_everywhere)
