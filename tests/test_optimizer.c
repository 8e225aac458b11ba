/* test_optimizer.c -- schedules, bias correction, clipping and optimizers
 * against the golden data: on the graph interpreter, and a whole training run
 * on every device.
 */
#include "suite.h"

#include <krs/krs.h>
#include <krs/llama.h>
#include <krs/train.h>
#include <krs/weights.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN TESTS_DIR "/golden/train/"

/* One graph, one store, one program, all of which must succeed. */
typedef struct bench {
    krs_device *device;
    krs_store *store;
    krs_graph *graph;
    krs_program *program;
} bench;

static void
must(krs_status status, const krs_error *err)
{
    ck_assert_msg(status == KRS_OK, "%s: %s", krs_status_name(status),
                  err->text);
}

static bench
open_bench(const char *device)
{
    bench b = {0};
    krs_error err;
    krs_device_options options = {.struct_size = sizeof options,
                                  .modules = KERSEY_MODULE_DIR};
    must(krs_device_open_with(device, &options, &b.device, &err), &err);
    must(krs_store_new(b.device, &b.store, &err), &err);
    b.graph = krs_graph_new();
    ck_assert_ptr_nonnull(b.graph);
    return b;
}

static void
prepare(bench *b, const krs_node *outputs, size_t count)
{
    krs_error err;
    must(krs_graph_check(b->graph, &err), &err);
    must(krs_program_new(b->store, outputs, count, &b->program, &err), &err);
}

static void
close_bench(bench *b)
{
    krs_program_free(b->program);
    krs_graph_free(b->graph);
    krs_store_free(b->store);
    krs_device_close(b->device);
}

static void
run(bench *b)
{
    krs_error err;
    must(krs_program_run(b->program, &err), &err);
}

static double
scalar(const bench *b, size_t i)
{
    float value;
    krs_error err;
    must(krs_program_read(b->program, i, &value, sizeof value, &err), &err);
    return (double)value;
}

static void
set_step(bench *b, int64_t step)
{
    krs_error err;
    must(krs_program_set_input(b->program, "step", &step, sizeof step, &err),
         &err);
}

static bool
is_near(double got, double want, double rtol, double atol)
{
    return fabs(got - want) <= atol + rtol * fabs(want);
}

static json_t *
load(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s: %s", path, error.text);
    return root;
}

/* a member that must be there */
static json_t *
member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    ck_assert_msg(value != NULL, "no member %s", key);
    return value;
}

static double
number_or(const json_t *object, const char *key, double absent)
{
    json_t *value = json_object_get(object, key);
    return value ? json_number_value(value) : absent;
}

/* ---- schedules ---- */

static krs_schedule
golden_schedule(const json_t *run_json)
{
    const json_t *options = member(run_json, "options");
    const char *name = json_string_value(member(run_json, "schedule"));
    krs_schedule s = krs_schedule_default();
    s.warmup_offset = 0;
    s.warmup_steps = (int64_t)number_or(options, "warmup", 0);
    s.total_steps = (int64_t)number_or(options, "total", 0);
    s.stable_steps = (int64_t)number_or(options, "stable", 0);
    s.min_ratio = number_or(options, "min_ratio", number_or(options, "end", 0));
    s.power = number_or(options, "power", 1);
    s.model_size = number_or(options, "d_model", 512);
    if (!strcmp(name, "cosine_min"))
        name = "cosine";
    if (!strcmp(name, "wsd_linear"))
        name = "wsd";
    ck_assert_msg(krs_schedule_parse(name, &s.kind), "no schedule %s", name);
    return s;
}

START_TEST(every_golden_schedule_is_met_at_every_step)
{
    json_t *runs = load(GOLDEN "schedules.json");
    ck_assert_uint_eq(json_array_size(runs), 14);
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *row = json_array_get(runs, i);
        krs_schedule schedule = golden_schedule(row);
        bench b = open_bench("eval");
        krs_node step = krs_input(b.graph, "step", KRS_I64, KRS_SCALAR);
        krs_node factor = krs_schedule_factor(step, &schedule);
        prepare(&b, &factor, 1);
        const json_t *values = member(row, "values");
        const json_t *tol = member(row, "tol");
        for (size_t s = 0; s < json_array_size(values); s++) {
            set_step(&b, (int64_t)s);
            run(&b);
            double want = json_number_value(json_array_get(values, s));
            ck_assert_msg(
                is_near(scalar(&b, 0), want, number_or(tol, "rtol", 0),
                        number_or(tol, "atol", 0)),
                "%s, run %zu, step %zu: %.9g, not %.9g",
                krs_schedule_name(schedule.kind), i, s, scalar(&b, 0), want);
        }
        close_bench(&b);
    }
    json_decref(runs);
}
END_TEST

START_TEST(a_schedule_that_contradicts_itself_is_refused)
{
    const krs_schedule good = {.struct_size = sizeof good,
                               .kind = KRS_SCHEDULE_COSINE,
                               .warmup_steps = 5,
                               .total_steps = 20,
                               .power = 1};
    krs_schedule bad[8];
    for (size_t i = 0; i < 8; i++)
        bad[i] = good;
    bad[0].total_steps = 5;
    bad[1].min_ratio = 1.5;
    bad[2].warmup_steps = -1;
    bad[3].warmup_offset = 2;
    bad[4].kind = KRS_SCHEDULE_COUNT;
    bad[5].struct_size = 3;
    bad[6].min_ratio = NAN;
    bad[7].kind = KRS_SCHEDULE_NOAM;
    bad[7].warmup_steps = 0;
    for (size_t i = 0; i < 8; i++) {
        krs_graph *g = krs_graph_new();
        krs_node step = krs_input(g, "step", KRS_I64, KRS_SCALAR);
        ck_assert(krs_node_is_valid(krs_schedule_factor(step, &good)));
        ck_assert(!krs_node_is_valid(krs_schedule_factor(step, &bad[i])));
        ck_assert_int_eq(krs_graph_error(g)->status, KRS_E_RANGE);
        krs_graph_free(g);
    }
}
END_TEST

START_TEST(names_of_schedules_and_optimizers_read_back)
{
    for (int i = 0; i < KRS_SCHEDULE_COUNT; i++) {
        krs_schedule_kind kind;
        ck_assert(
            krs_schedule_parse(krs_schedule_name((krs_schedule_kind)i), &kind));
        ck_assert_int_eq((int)kind, i);
    }
    for (int i = 0; i < KRS_OPTIMIZER_COUNT; i++) {
        krs_optimizer_kind kind;
        ck_assert(krs_optimizer_parse(krs_optimizer_name((krs_optimizer_kind)i),
                                      &kind));
        ck_assert_int_eq((int)kind, i);
    }
    krs_schedule_kind none;
    ck_assert(!krs_schedule_parse("sawtooth", &none));
    ck_assert_str_eq(krs_optimizer_name(KRS_OPTIMIZER_COUNT), "?");
}
END_TEST

/* ---- bias correction and clipping ---- */

START_TEST(bias_correction_keeps_its_digits_at_every_step)
{
    const double betas[] = {0.5, 0.9, 0.95, 0.999, 0.9999};
    const int64_t steps[] = {0, 1, 2, 9, 99, 999, 9999, 999999, 16000000};
    bench b = open_bench("eval");
    krs_node step = krs_input(b.graph, "step", KRS_I64, KRS_SCALAR);
    krs_node outputs[5];
    for (size_t i = 0; i < 5; i++)
        outputs[i] = krs_bias_correction(step, betas[i]);
    prepare(&b, outputs, 5);
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        set_step(&b, steps[s]);
        run(&b);
        for (size_t i = 0; i < 5; i++) {
            double want = -expm1((double)(steps[s] + 1) * log(betas[i]));
            ck_assert_msg(is_near(scalar(&b, i), want, 4e-7, 0),
                          "beta %g, step %lld: %.9g, not %.9g", betas[i],
                          (long long)steps[s], scalar(&b, i), want);
        }
    }
    close_bench(&b);
}
END_TEST

START_TEST(gradients_are_clipped_by_their_common_norm_and_never_enlarged)
{
    bench b = open_bench("eval");
    const float x[] = {3, 0}, y[] = {0, 4, 0};
    krs_node parts[] = {krs_constant(b.graph, KRS_F32, KRS_SHAPE(2), x),
                        krs_constant(b.graph, KRS_F32, KRS_SHAPE(3, 1), y)};
    krs_node norm = krs_global_norm(parts, 2);
    krs_node outputs[] = {norm, krs_clip_factor(norm, 1),
                          krs_clip_factor(norm, 5.5),
                          krs_clip_factor(krs_zeros_like(norm), 1),
                          krs_clip_factor(krs_like(norm, NAN), 1)};
    prepare(&b, outputs, 5);
    run(&b);
    ck_assert(is_near(scalar(&b, 0), 5, 1e-7, 0));
    ck_assert(is_near(scalar(&b, 1), 1 / (5 + 1e-6), 2e-7, 0));
    ck_assert_double_eq(scalar(&b, 2), 1);
    ck_assert_double_eq(scalar(&b, 3), 1);
    ck_assert(isnan(scalar(&b, 4)));
    close_bench(&b);
}
END_TEST

/* ---- optimizers on the golden least-squares problem ---- */

static size_t
fill(const json_t *value, float *out)
{
    if (!json_is_array(value)) {
        *out = (float)json_number_value(value);
        return 1;
    }
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(value); i++)
        count += fill(json_array_get(value, i), out + count);
    return count;
}

static void
compare(const bench *b, const char *name, const json_t *want_json, double rtol,
        double atol, const char *what, size_t step)
{
    float want[64], got[64];
    size_t count = fill(want_json, want);
    krs_error err;
    must(krs_store_read(b->store, name, got, count * sizeof *got, &err), &err);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(is_near((double)got[i], (double)want[i], rtol, atol),
                      "%s, step %zu: %s[%zu] is %.9g, not %.9g", what, step,
                      name, i, (double)got[i], (double)want[i]);
}

/* false for an optimizer or a variant that is not offered */
static bool
golden_optimizer(const json_t *row, krs_optimizer *o)
{
    const json_t *options = member(row, "options");
    *o = krs_optimizer_default();
    if (!krs_optimizer_parse(json_string_value(member(row, "optimizer")),
                             &o->kind) ||
        json_is_true(json_object_get(options, "amsgrad")))
        return false;
    o->learning_rate = number_or(options, "lr", 0);
    o->weight_decay = number_or(options, "weight_decay", 0);
    o->momentum = number_or(options, "momentum", 0);
    o->dampening = number_or(options, "dampening", 0);
    o->nesterov = json_is_true(json_object_get(options, "nesterov"));
    o->eps = number_or(options, "eps", 0);
    const json_t *betas = json_object_get(options, "betas");
    if (betas) {
        o->beta1 = json_number_value(json_array_get(betas, 0));
        o->beta2 = json_number_value(json_array_get(betas, 1));
    }
    o->decay_min_rank = 0;
    o->max_grad_norm = 0;
    o->schedule.kind = KRS_SCHEDULE_CONSTANT;
    return true;
}

static krs_node
constant_of(krs_graph *g, const json_t *value, krs_shape shape)
{
    float data[64];
    fill(value, data);
    return krs_constant(g, KRS_F32, shape, data);
}

static void
start_state(bench *b, const char *name, const json_t *value, krs_shape shape)
{
    float data[64];
    size_t count = fill(value, data);
    krs_error err;
    must(krs_store_add(b->store, name, KRS_F32, shape, &err), &err);
    must(krs_store_write(b->store, name, data, count * sizeof *data, &err),
         &err);
}

static void
follow_golden_run(const json_t *root, const json_t *row,
                  const krs_optimizer *optimizer)
{
    bench b = open_bench("eval");
    krs_node a = constant_of(b.graph, member(root, "A"), KRS_SHAPE(12, 5));
    krs_node y = constant_of(b.graph, member(root, "y"), KRS_SHAPE(12, 3));
    krs_node w = krs_state(b.graph, "W", KRS_F32, KRS_SHAPE(5, 3));
    krs_node bias = krs_state(b.graph, "b", KRS_F32, KRS_SHAPE(3));
    krs_node fit = krs_add(krs_matmul(a, w), bias); /* [12, 3] */
    krs_node loss = krs_mean(krs_square(krs_sub(fit, y)), KRS_ALL_AXES);
    krs_node parameters[] = {w, bias}, outputs[16];
    size_t count;
    ck_assert_int_eq(
        krs_train_step(loss, parameters, 2, optimizer, outputs, 16, &count),
        KRS_OK);
    start_state(&b, "W", member(root, "W0"), KRS_SHAPE(5, 3));
    start_state(&b, "b", member(root, "b0"), KRS_SHAPE(3));
    prepare(&b, outputs, count);
    const json_t *steps = member(row, "steps"), *tol = member(row, "tol");
    double rtol = number_or(tol, "rtol", 0), atol = number_or(tol, "atol", 0);
    const char *name = krs_optimizer_name(optimizer->kind);
    for (size_t s = 0; s < json_array_size(steps); s++) {
        const json_t *step = json_array_get(steps, s);
        run(&b);
        ck_assert(is_near(scalar(&b, KRS_STEP_LOSS),
                          number_or(step, "loss", NAN), rtol, atol));
        compare(&b, "W", member(step, "W"), rtol, atol, name, s);
        compare(&b, "b", member(step, "b"), rtol, atol, name, s);
    }
    close_bench(&b);
}

START_TEST(optimizers_follow_the_golden_least_squares_runs)
{
    json_t *root = load(GOLDEN "optimizers.json");
    const json_t *runs = member(root, "runs");
    int followed = 0;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *row = json_array_get(runs, i);
        krs_optimizer optimizer;
        if (!golden_optimizer(row, &optimizer))
            continue;
        follow_golden_run(root, row, &optimizer);
        followed++;
    }
    ck_assert_int_eq(followed, 10); /* 5 sgd, 2 adam, 2 adamw, 1 lion */
    json_decref(root);
}
END_TEST

START_TEST(a_step_with_unsound_settings_is_refused)
{
    krs_optimizer bad[6];
    for (size_t i = 0; i < 6; i++) {
        bad[i] = krs_optimizer_default();
        bad[i].schedule.kind = KRS_SCHEDULE_CONSTANT;
    }
    bad[0].learning_rate = NAN;
    bad[1].beta2 = 1;
    bad[2].weight_decay = -1;
    bad[3].nesterov = true;
    bad[4].struct_size = 0;
    bad[5].schedule.warmup_steps = -3;
    for (size_t i = 0; i < 6; i++) {
        krs_graph *g = krs_graph_new();
        krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(3));
        krs_node loss = krs_sum(krs_square(w), KRS_ALL_AXES), outputs[8];
        size_t count;
        ck_assert_int_eq(
            krs_train_step(loss, &w, 1, &bad[i], outputs, 8, &count),
            KRS_E_RANGE);
        ck_assert_ptr_nonnull(krs_graph_error(g));
        krs_graph_free(g);
    }
    krs_graph *g = krs_graph_new();
    krs_optimizer good = krs_optimizer_default();
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(3)), outputs[8];
    size_t count;
    ck_assert_int_eq(
        krs_train_step(krs_square(w), &w, 1, &good, outputs, 8, &count),
        KRS_E_SHAPE);
    krs_graph_free(g);
    g = krs_graph_new();
    w = krs_state(g, "w", KRS_F32, KRS_SHAPE(3));
    ck_assert_int_eq(krs_train_step(krs_sum(w, KRS_ALL_AXES), &w, 1, &good,
                                    outputs, 6, &count),
                     KRS_E_RANGE);
    krs_graph_free(g);
}
END_TEST

/* ---- a LLaMA over twenty steps ---- */

#define LLAMA GOLDEN "adamw_llama"

static int64_t *
read_batches(krs_weights *golden, int64_t shape[3])
{
    int64_t i = krs_weights_find(golden, "batches");
    ck_assert_int_ge(i, 0);
    const krs_weight *w = krs_weights_at(golden, (size_t)i);
    ck_assert_int_eq(w->rank, 3);
    memcpy(shape, w->shape, 3 * sizeof *shape);
    int64_t *data = malloc((size_t)w->count * sizeof *data);
    krs_error err;
    must(krs_weights_read(golden, (size_t)i, KRS_I64, data,
                          (size_t)w->count * sizeof *data, &err),
         &err);
    return data;
}

static krs_optimizer
optimizer_of_golden(const json_t *hyper)
{
    krs_optimizer o = krs_optimizer_default();
    const json_t *betas = member(hyper, "betas");
    o.learning_rate = number_or(hyper, "peak_lr", NAN);
    o.beta1 = json_number_value(json_array_get(betas, 0));
    o.beta2 = json_number_value(json_array_get(betas, 1));
    o.eps = number_or(hyper, "eps", NAN);
    o.weight_decay = number_or(hyper, "weight_decay", NAN);
    o.max_grad_norm = number_or(hyper, "max_grad_norm", NAN);
    o.schedule.warmup_steps = (int64_t)number_or(hyper, "warmup_steps", -1);
    o.schedule.total_steps = (int64_t)number_or(hyper, "total_steps", -1);
    o.schedule.min_ratio = number_or(hyper, "min_lr_ratio", NAN);
    return o;
}

/* Every final.* tensor of the golden file is met by the store. */
static void
compare_final_weights(const bench *b, krs_weights *golden, double rtol,
                      double atol)
{
    size_t compared = 0;
    krs_error err;
    for (size_t i = 0; i < krs_weights_count(golden); i++) {
        const krs_weight *w = krs_weights_at(golden, i);
        if (strncmp(w->name, "final.", 6))
            continue;
        size_t count = (size_t)w->count, bytes = count * sizeof(float);
        float *want = malloc(bytes), *got = malloc(bytes);
        must(krs_weights_read(golden, i, KRS_F32, want, bytes, &err), &err);
        must(krs_store_read(b->store, w->name + 6, got, bytes, &err), &err);
        for (size_t j = 0; j < count; j++)
            ck_assert_msg(is_near((double)got[j], (double)want[j], rtol, atol),
                          "%s[%zu] is %.9g, not %.9g", w->name, j,
                          (double)got[j], (double)want[j]);
        free(want);
        free(got);
        compared++;
    }
    ck_assert_uint_eq(compared, 21); /* 2 layers of 9, embedding, norm, head */
}

static void
train_golden_llama(const char *device)
{
    json_t *info = load(LLAMA "/golden.json");
    const json_t *steps = member(info, "steps"), *tol = member(info, "tol");
    const json_t *loss_tol = member(tol, "loss");
    const json_t *norm_tol = member(tol, "grad_norm");
    const json_t *final_tol = member(tol, "final");
    krs_error err;
    krs_weights *golden;
    must(krs_weights_open(LLAMA "/golden.safetensors", &golden, &err), &err);
    int64_t shape[3]; /* [steps, B, T] */
    int64_t *batches = read_batches(golden, shape);

    bench b = open_bench(device);
    krs_llama_config config;
    must(krs_llama_open(LLAMA, b.store, &config, &err), &err);
    krs_causal_model model = krs_llama_model(&config);
    krs_node ids =
        krs_input(b.graph, "ids", KRS_I64, KRS_SHAPE(shape[1], shape[2]));
    krs_causal_call call = {
        .struct_size = sizeof call, .ids = ids, .labels = ids};
    krs_causal_result result = {.struct_size = sizeof result};
    krs_causal_forward(b.graph, &model, &call, &result);
    krs_node *parameters, outputs[80];
    size_t parameter_count, count;
    must(krs_nn_parameters(b.graph, &parameters, &parameter_count, &err), &err);
    krs_optimizer optimizer =
        optimizer_of_golden(member(info, "hyper_parameters"));
    krs_train_step(result.loss, parameters, parameter_count, &optimizer,
                   outputs, 80, &count);
    prepare(&b, outputs, count);
    size_t batch_bytes = (size_t)(shape[1] * shape[2]) * sizeof *batches;
    ck_assert_uint_eq(json_array_size(steps), 20);
    for (size_t s = 0; s < 20; s++) {
        const json_t *step = json_array_get(steps, s);
        must(krs_program_set_input(b.program, "ids",
                                   batches + (int64_t)s * shape[1] * shape[2],
                                   batch_bytes, &err),
             &err);
        run(&b);
        double loss = scalar(&b, KRS_STEP_LOSS);
        double norm = scalar(&b, KRS_STEP_GRAD_NORM);
        double rate = scalar(&b, KRS_STEP_RATE);
        ck_assert_msg(is_near(loss, number_or(step, "loss", NAN),
                              number_or(loss_tol, "rtol", NAN),
                              number_or(loss_tol, "atol", NAN)),
                      "step %zu: loss %.9g, not %.9g", s, loss,
                      number_or(step, "loss", NAN));
        ck_assert_msg(is_near(norm,
                              number_or(step, "grad_norm_before_clip", NAN),
                              number_or(norm_tol, "rtol", NAN),
                              number_or(norm_tol, "atol", NAN)),
                      "step %zu: norm %.9g, not %.9g", s, norm,
                      number_or(step, "grad_norm_before_clip", NAN));
        ck_assert_msg(is_near(rate, number_or(step, "lr", NAN), 1e-6, 1e-9),
                      "step %zu: rate %.9g", s, rate);
    }
    compare_final_weights(&b, golden, number_or(final_tol, "rtol", NAN),
                          number_or(final_tol, "atol", NAN));
    free(parameters);
    free(batches);
    krs_weights_close(golden);
    json_decref(info);
    close_bench(&b);
}

START_TEST(adamw_trains_the_golden_llama_as_the_reference_did)
{
    train_golden_llama("eval");
}
END_TEST

START_TEST(the_kernels_train_the_golden_llama_as_the_reference_did)
{
    train_golden_llama("interp");
    if (access(KERSEY_MODULE_DIR "/libkersey-cpu.so", F_OK) == 0)
        train_golden_llama("cpu");
    else
        printf("cpu skipped: its module is not built\n");
}
END_TEST

SUITE(every_golden_schedule_is_met_at_every_step,
      a_schedule_that_contradicts_itself_is_refused,
      names_of_schedules_and_optimizers_read_back,
      bias_correction_keeps_its_digits_at_every_step,
      gradients_are_clipped_by_their_common_norm_and_never_enlarged,
      optimizers_follow_the_golden_least_squares_runs,
      a_step_with_unsound_settings_is_refused,
      adamw_trains_the_golden_llama_as_the_reference_did,
      the_kernels_train_the_golden_llama_as_the_reference_did)
