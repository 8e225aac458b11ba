/* trainer.c -- the two programs of a training: a step, and the loss alone.
 *
 * In: a model that writes its loss, batches, optimizer settings, a store that
 * holds the parameters. Out: steps and evaluations with what they found.
 *
 * Both programs come from one graph and bind one store, so an evaluation sees
 * the weights of the last step. The step counter lives in the store
 * ("optimizer.step"); the copy here is for reports and is checked against it
 * by nobody but the tests. A step that fails leaves the store as it was
 * (program.h) and the cursor of the batches one further: the caller stops.
 *
 * Not here: files (checkpoint.c), the loop (training_run.c).
 */
#include "trainer.h"

#include <krs/causal.h>
#include <krs/nn.h>
#include <krs/ops.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double
krsi_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

krs_node
krs_train_causal_loss(void *user, krs_graph *g, krs_node ids, krs_node targets)
{
    krs_causal_call call = {
        .struct_size = sizeof call, .ids = ids, .targets = targets};
    krs_causal_result result = {.struct_size = sizeof result};
    krs_node logits = krs_causal_forward(g, user, &call, &result);
    return result.loss.graph ? result.loss : logits; /* poison */
}

static krs_status
check_options(const krs_trainer_options *o, krs_error *err)
{
    if (o->struct_size != sizeof *o ||
        o->model.struct_size != sizeof o->model ||
        o->batches.struct_size != sizeof o->batches)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "trainer: a struct_size in the options is not the "
                        "size of its structure");
    if (!o->model.loss || !o->batches.next)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "trainer: a model needs a loss function and the "
                        "batches a next function");
    if (o->batches.validation_count < 0 ||
        (o->batches.validation_count > 0 && !o->batches.validation))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "trainer: %lld validation batches, but no function "
                        "that gives one",
                        (long long)o->batches.validation_count);
    if (o->batch < 1 || o->time < 1)
        return krs_fail(err, KRS_E_RANGE,
                        "trainer: a batch of %lld x %lld tokens; both must be "
                        "at least 1",
                        (long long)o->batch, (long long)o->time);
    return KRS_OK;
}

/* Every parameter must have been put into the store: a zeroed weight trains to
 * nothing, silently. */
static krs_status
check_parameters(const krs_trainer *t, krs_error *err)
{
    for (size_t i = 0; i < t->parameter_count; i++) {
        const char *name = krs_node_name(t->states[i]);
        if (krs_store_find(t->store, name, NULL, NULL, NULL) != KRS_OK)
            return krs_fail(err, KRS_E_NAME,
                            "trainer: the parameter %s is not in the store; "
                            "initialise or load the model first",
                            name);
    }
    return KRS_OK;
}

/* loss, then the outputs of the step, as two programs */
static krs_status
make_programs(krs_trainer *t, krs_node loss, krs_error *err)
{
    size_t capacity = KRS_STEP_UPDATES + 1 +
                      t->parameter_count * (1 + KRS_OPTIMIZER_MOMENTS_MAX);
    krs_node *outputs = calloc(capacity, sizeof *outputs);
    if (!outputs)
        return krs_fail(err, KRS_E_MEMORY, "trainer: no memory for %zu outputs",
                        capacity);
    size_t count;
    krs_train_step(loss, t->states, t->parameter_count, &t->options.optimizer,
                   outputs, capacity, &count);
    krs_status status = krs_graph_check(t->graph, err);
    if (status == KRS_OK)
        status =
            krs_program_new(t->store, outputs, count, &t->step_program, err);
    if (status == KRS_OK)
        status = krs_program_new(t->store, &loss, 1, &t->loss_program, err);
    free(outputs);
    return status;
}

static krs_status
build(krs_trainer *t, krs_error *err)
{
    const krs_trainer_options *o = &t->options;
    size_t count, bytes;
    if (__builtin_mul_overflow((size_t)o->batch, (size_t)o->time, &count) ||
        __builtin_mul_overflow(count, sizeof *t->ids, &bytes) ||
        !(t->ids = malloc(bytes)) || !(t->targets = malloc(bytes)))
        return krs_fail(err, KRS_E_MEMORY,
                        "trainer: no memory for a batch of %lld x %lld tokens",
                        (long long)o->batch, (long long)o->time);
    t->graph = krs_graph_new();
    if (!t->graph)
        return krs_fail(err, KRS_E_MEMORY, "trainer: no memory for a graph");
    krs_shape shape = KRS_SHAPE(o->batch, o->time);
    krs_node ids = krs_input(t->graph, "ids", KRS_I64, shape);
    krs_node targets = krs_input(t->graph, "targets", KRS_I64, shape);
    krs_node loss = o->model.loss(o->model.user, t->graph, ids, targets);
    KRS_TRY(krs_graph_check(t->graph, err));
    KRS_TRY(krs_nn_trainable(t->graph, &t->states, &t->parameter_count, err));
    KRS_TRY(check_parameters(t, err));
    KRS_TRY(make_programs(t, loss, err));
    /* Now the moments are states of the graph as well. */
    free(t->states);
    t->states = NULL;
    return krs_nn_parameters(t->graph, &t->states, &t->state_count, err);
}

krs_status
krs_trainer_new(krs_store *store, const krs_trainer_options *options,
                krs_trainer **out, krs_error *err)
{
    if (out == NULL || store == NULL || options == NULL)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "trainer: the store, options or out is NULL");
    *out = NULL;
    KRS_TRY(check_options(options, err));
    krs_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return krs_fail(err, KRS_E_MEMORY, "trainer: no memory");
    t->store = store;
    t->options = *options;
    krs_status status = build(t, err);
    if (status != KRS_OK) {
        krs_trainer_free(t);
        return status;
    }
    *out = t;
    return KRS_OK;
}

void
krs_trainer_free(krs_trainer *t)
{
    if (!t)
        return;
    krs_program_free(t->step_program);
    krs_program_free(t->loss_program);
    krs_graph_free(t->graph);
    free(t->states);
    free(t->ids);
    free(t->targets);
    free(t);
}

int64_t
krs_trainer_steps(const krs_trainer *t)
{
    return t->step;
}

int64_t
krs_trainer_parameters(const krs_trainer *t)
{
    int64_t total = 0;
    for (size_t i = 0; i < t->parameter_count; i++) {
        int64_t elements = 0;
        krs_shape_elements(krs_node_shape(t->states[i]), &elements);
        total += elements;
    }
    return total;
}

void
krs_trainer_stop(krs_trainer *t)
{
    t->stop = 1;
}

static krs_status
feed_and_run(krs_trainer *t, krs_program *program, krs_error *err)
{
    size_t bytes =
        (size_t)t->options.batch * (size_t)t->options.time * sizeof *t->ids;
    KRS_TRY(krs_program_set_input(program, "ids", t->ids, bytes, err));
    KRS_TRY(krs_program_set_input(program, "targets", t->targets, bytes, err));
    return krs_program_run(program, err);
}

static krs_status
read_scalar(krs_program *program, size_t i, double *out, krs_error *err)
{
    float value;
    KRS_TRY(krs_program_read(program, i, &value, sizeof value, err));
    *out = (double)value;
    return KRS_OK;
}

/* How many targets count. */
static int64_t
counted(const krs_trainer *t)
{
    int64_t total = 0;
    for (int64_t i = 0; i < t->options.batch * t->options.time; i++)
        total += t->targets[i] != -100;
    return total;
}

krs_status
krs_trainer_step(krs_trainer *t, krs_train_report *report, krs_error *err)
{
    double began = krsi_seconds();
    *report = (krs_train_report){.step = t->step + 1};
    const krs_train_batches *batches = &t->options.batches;
    KRS_TRY(batches->next(batches->user, t->ids, t->targets, err));
    krs_program *program = t->step_program;
    KRS_TRY(feed_and_run(t, program, err));
    KRS_TRY(read_scalar(program, KRS_STEP_LOSS, &report->loss, err));
    KRS_TRY(read_scalar(program, KRS_STEP_GRAD_NORM, &report->grad_norm, err));
    KRS_TRY(read_scalar(program, KRS_STEP_RATE, &report->learning_rate, err));
    t->step++;
    t->tokens += counted(t);
    report->tokens = t->tokens;
    report->seconds = krsi_seconds() - began;
    double rate = (double)(t->options.batch * t->options.time) /
                  fmax(report->seconds, 1e-9);
    t->tokens_s = t->tokens_s > 0 ? 0.9 * t->tokens_s + 0.1 * rate : rate;
    report->tokens_s = t->tokens_s;
    if (!isfinite(report->loss) || !isfinite(report->grad_norm))
        return krs_fail(err, KRS_E_RANGE,
                        "training: step %lld: the loss is %g and the gradient "
                        "norm %g; go back to the last checkpoint with a lower "
                        "learning rate or more warm-up",
                        (long long)t->step, report->loss, report->grad_norm);
    return KRS_OK;
}

krs_status
krs_trainer_evaluate(krs_trainer *t, int64_t most_batches,
                     krs_train_report *report, krs_error *err)
{
    const krs_train_batches *batches = &t->options.batches;
    int64_t all = batches->validation_count, count = all;
    if (most_batches > 0 && most_batches < all)
        count = most_batches;
    if (count == 0)
        return krs_fail(err, KRS_E_RANGE,
                        "training: there is no validation split to evaluate");
    double total = 0;
    int64_t tokens = 0;
    for (int64_t i = 0; i < count; i++) {
        double loss;
        if (t->stop)
            return krs_fail(err, KRS_E_CANCELLED,
                            "training: the evaluation was stopped");
        int64_t which = count == all ? i : all / count * i;
        KRS_TRY(
            batches->validation(batches->user, which, t->ids, t->targets, err));
        int64_t here = counted(t);
        if (here == 0)
            continue;
        KRS_TRY(feed_and_run(t, t->loss_program, err));
        KRS_TRY(read_scalar(t->loss_program, 0, &loss, err));
        total += loss * (double)here;
        tokens += here;
    }
    if (tokens == 0)
        return krs_fail(err, KRS_E_RANGE,
                        "training: no token of the validation split counts");
    report->step = t->step;
    report->tokens = t->tokens;
    report->evaluated = true;
    report->validation_loss = total / (double)tokens;
    report->bits_per_byte = 0;
    if (batches->bytes_per_token > 0)
        report->bits_per_byte =
            report->validation_loss / log(2.0) / batches->bytes_per_token;
    return KRS_OK;
}
