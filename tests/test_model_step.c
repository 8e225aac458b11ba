/* test_model_step.c -- a training step of each architecture as one program
 * (forward, backward, clipping, AdamW) from the weights of its golden folder,
 * on every device: the loss falls, and is the same on all as on eval.
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

static krs_error err;

static void
ok(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

/* Losses and gradient norms of the steps. */
struct course {
    double loss[STEPS], norm[STEPS];
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

static struct course
train(const struct golden *golden, krs_device *device)
{
    struct course course;
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
    krs_program_free(step);
    krs_graph_free(g);
    krs_store_free(store);
    return course;
}

static void
expect_near(const char *what, double got, double want)
{
    ck_assert_msg(fabs(got - want) <= 2e-5 * fabs(want), "%s: %.9g, eval %.9g",
                  what, got, want);
}

static void
expect_falling_and_equal(const char *model)
{
    struct golden golden = open_golden(model);
    struct course eval = {{0}, {0}};
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
        krs_device_close(device);
    }
    krs_weights_close(golden.tensors);
    json_decref(golden.inputs);
}

/* LLaMA with a window; test_trainer.c trains one without */
START_TEST(a_step_of_mistral_is_the_same_everywhere)
{
    expect_falling_and_equal("mistral");
}
END_TEST

START_TEST(a_step_of_gpt2_is_the_same_everywhere)
{
    expect_falling_and_equal("gpt2");
}
END_TEST

/* BERT with embeddings of tasks */
START_TEST(a_step_of_ernie_is_the_same_everywhere)
{
    expect_falling_and_equal("ernie");
}
END_TEST

/* a bias that is not trained */
START_TEST(a_step_of_bart_is_the_same_everywhere)
{
    expect_falling_and_equal("bart");
}
END_TEST

START_TEST(a_step_of_t5_is_the_same_everywhere)
{
    expect_falling_and_equal("t5_v1_1");
}
END_TEST

SUITE(a_step_of_mistral_is_the_same_everywhere,
      a_step_of_gpt2_is_the_same_everywhere,
      a_step_of_ernie_is_the_same_everywhere,
      a_step_of_bart_is_the_same_everywhere,
      a_step_of_t5_is_the_same_everywhere)
