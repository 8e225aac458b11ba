/* gradcheck.c -- gradients against slopes (check.h).
 *
 * In: a loss, parameters, data. Out: for each parameter the element or
 * direction whose gradient is farthest from the slope of the loss.
 *
 * Method: the graph is copied, so that the user's stays as it is. To the copy
 * come the gradients, in a program of the device that runs once, and the output
 * loss - reference, in a program of eval, which computes in f64; the reference
 * is an input that holds the loss at the point itself. So what the program
 * gives is the small difference, not two large numbers of which one is to be
 * made, and nothing cancels. check.h has the formula and the tolerances.
 *
 * An element passes only if |gradient - slope| <= tolerance holds, which a NaN
 * never makes it.
 */
#include "trial.h"

#include <krs/ops.h>
#include <krs/random.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = 16, TRIES = 3 };

struct job {
    krs_graph *graph; /* the copy */
    uint32_t *root;   /* the loss, then the parameters */
    size_t count;     /* parameters */
    krs_node reference, change;
    krsi_trial trial;
    krs_device *eval;
    krs_store *store;     /* of eval */
    krs_program *program; /* gives change */
    float **gradient;
    float *data;       /* of the parameter that is moved */
    float *at;         /* the point it is moved from */
    double *towards;   /* a direction */
    double loss, base; /* the device's value; loss - reference there */
    double step;
    krs_tolerance tolerance;
    const krs_gradcheck_options *options;
    krs_gradcheck_result worst; /* of all parameters */
};

static krs_status
no_memory(krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "gradcheck: out of memory");
}

/* ---- what is asked ---- */

static krs_status
check_leaf(krs_node loss, krs_node x, krs_error *err)
{
    if (!krs_node_is_valid(x) || x.graph != loss.graph)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "gradcheck: a parameter is no node of the loss's "
                        "graph");
    if (*krs_node_name(x) == 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "gradcheck: a %s is no parameter; those are inputs "
                        "and states",
                        krs_node_op(x));
    if (krs_node_dtype(x) != KRS_F32)
        return krs_fail(err, KRS_E_DTYPE,
                        "gradcheck: '%s' is %s; only f32 can be moved by "
                        "small steps",
                        krs_node_name(x), krs_dtype_name(krs_node_dtype(x)));
    return KRS_OK;
}

static krs_status
check_arguments(krs_node loss, const krs_node *parameters, size_t count,
                const krs_gradcheck_options *o, krs_error *err)
{
    char text[KRSI_TENSOR_TEXT];
    if (o->struct_size != sizeof *o)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "gradcheck: options of %zu bytes where %zu are known; "
                        "set struct_size to sizeof the struct",
                        o->struct_size, sizeof *o);
    if (!(o->step >= 0 && o->step < INFINITY && o->tolerance.atol >= 0 &&
          o->tolerance.atol < INFINITY && o->tolerance.rtol >= 0 &&
          o->tolerance.rtol < INFINITY) ||
        o->elements < -1)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "gradcheck: step %g, atol %g, rtol %g, elements %lld: "
                        "must be finite and not negative",
                        o->step, o->tolerance.atol, o->tolerance.rtol,
                        (long long)o->elements);
    if (count > 0)
        KRS_TRY(krsi_need(parameters, "gradcheck", "parameters", err));
    if (loss.graph)
        KRS_TRY(krs_graph_check(loss.graph, err));
    if (!krs_node_is_valid(loss) || count == 0)
        return krs_fail(err, KRS_E_ARGUMENT, "gradcheck: %s",
                        count ? "the loss is no node"
                              : "there are no parameters to check");
    if (krs_node_dtype(loss) != KRS_F32)
        return krs_fail(err, KRS_E_DTYPE,
                        "gradcheck: the loss is %s; it must be f32",
                        krs_dtype_name(krs_node_dtype(loss)));
    if (krs_node_shape(loss).rank != 0)
        return krs_fail(err, KRS_E_SHAPE,
                        "gradcheck: the loss is %s; it must be a scalar",
                        krsi_tensor_text(text, KRS_F32, krs_node_shape(loss)));
    for (size_t i = 0; i < count; i++)
        KRS_TRY(check_leaf(loss, parameters[i], err));
    return KRS_OK;
}

/* ---- the graph and its programs ---- */

static krs_status
copy_graph(struct job *j, krs_node loss, const krs_node *parameters,
           krs_error *err)
{
    j->root = calloc(j->count + 1, sizeof *j->root);
    if (!j->root)
        return no_memory(err);
    j->root[0] = loss.id;
    for (size_t i = 0; i < j->count; i++)
        j->root[i + 1] = parameters[i].id;
    KRS_TRY(
        krsi_copy(loss.graph, j->root, j->count + 1, &j->graph, j->root, err));
    KRS_TRY(krsi_trial_make(j->graph, j->root, j->count + 1, j->options->data,
                            &j->trial, err));
    krs_node f = krsi_handle(j->graph, j->root[0]);
    j->reference =
        krs_input(j->graph, "gradcheck.reference", KRS_F32, KRS_SCALAR);
    j->change = krs_sub(f, j->reference);
    return krs_graph_check(j->graph, err);
}

static krsi_trial_leaf *
leaf_of(const struct job *j, size_t i)
{
    return krsi_trial_find(
        &j->trial, krs_node_name(krsi_handle(j->graph, j->root[i + 1])));
}

static int64_t
elements_of(const krsi_trial_leaf *leaf)
{
    int64_t count = 0;
    krs_shape_elements(leaf->view.shape, &count);
    return count;
}

/* The loss and all gradients at the point itself, by a program of the device
 * that runs once. */
static krs_status
run_gradients(struct job *j, krs_device *device, krs_error *err)
{
    size_t count = j->count;
    krs_node *nodes = calloc(2 * count + 1, sizeof *nodes);
    krs_node *out = nodes + count;
    krs_store *store = NULL;
    krs_program *program = NULL;
    float loss = 0;
    j->gradient = calloc(count, sizeof *j->gradient);
    if (!nodes || !j->gradient) {
        free(nodes);
        return no_memory(err);
    }
    for (size_t i = 0; i < count; i++)
        nodes[i] = krsi_handle(j->graph, j->root[i + 1]);
    out[0] = krsi_handle(j->graph, j->root[0]);
    krs_grad(out[0], nodes, count, out + 1);
    krs_status status = krs_graph_check(j->graph, err);
    if (status == KRS_OK)
        status = krs_store_new(device, &store, err);
    if (status == KRS_OK)
        status = krs_program_new(store, out, count + 1, &program, err);
    if (status == KRS_OK)
        status = krsi_trial_give(&j->trial, program, store, err);
    if (status == KRS_OK)
        status = krs_program_run(program, err);
    if (status == KRS_OK)
        status = krs_program_read(program, 0, &loss, sizeof loss, err);
    for (size_t i = 0; status == KRS_OK && i < count; i++) {
        size_t bytes = leaf_of(j, i)->view.bytes;
        j->gradient[i] = malloc(bytes + 1);
        status = j->gradient[i] ? krs_program_read(program, i + 1,
                                                   j->gradient[i], bytes, err)
                                : no_memory(err);
    }
    j->loss = (double)loss;
    krs_program_free(program);
    krs_store_free(store);
    free(nodes);
    return status;
}

/* loss - reference, with the leaf as it is now */
static krs_status
run_change(struct job *j, const krsi_trial_leaf *leaf, double *out,
           krs_error *err)
{
    float change;
    if (leaf)
        KRS_TRY(krsi_trial_give_leaf(leaf, j->program, j->store, err));
    KRS_TRY(krs_program_run(j->program, err));
    KRS_TRY(krs_program_read(j->program, 0, &change, sizeof change, err));
    *out = (double)change;
    return KRS_OK;
}

static krs_status
make_program(struct job *j, krs_error *err)
{
    float loss = (float)j->loss;
    KRS_TRY(krs_device_open("eval", &j->eval, err));
    KRS_TRY(krs_store_new(j->eval, &j->store, err));
    KRS_TRY(krs_program_new(j->store, &j->change, 1, &j->program, err));
    KRS_TRY(krsi_trial_give(&j->trial, j->program, j->store, err));
    KRS_TRY(krs_program_set_input(j->program, "gradcheck.reference", &loss,
                                  sizeof loss, err));
    return run_change(j, NULL, &j->base, err);
}

/* ---- slopes ---- */

/* Move the leaf by h: element i alone, or for i < 0 all of it along
 * j->towards. Gives the step that was made; of several, h. */
static double
move(struct job *j, krsi_trial_leaf *leaf, int64_t i, double h)
{
    float *data = (void *)(uintptr_t)leaf->view.data;
    if (i >= 0) {
        data[i] = (float)((double)j->at[i] + h);
        return (double)data[i] - (double)j->at[i];
    }
    for (int64_t k = 0, n = elements_of(leaf); k < n; k++)
        data[k] = (float)((double)j->at[k] + h * j->towards[k]);
    return h;
}

static void
move_back(struct job *j, krsi_trial_leaf *leaf)
{
    memcpy((void *)(uintptr_t)leaf->view.data, j->at, leaf->view.bytes);
}

/* How the loss changes over a step up and one down. */
struct change {
    double a, up, b, down; /* the steps, and the changes over them */
};

static krs_status
change_over(struct job *j, krsi_trial_leaf *leaf, int64_t i, double h,
            struct change *out, krs_error *err)
{
    out->a = move(j, leaf, i, h);
    KRS_TRY(run_change(j, leaf, &out->up, err));
    move_back(j, leaf);
    out->b = -move(j, leaf, i, -h);
    KRS_TRY(run_change(j, leaf, &out->down, err));
    move_back(j, leaf);
    out->up -= j->base;
    out->down -= j->base;
    return KRS_OK;
}

/* s(h) */
static double
slope_of(const struct change *c)
{
    double a = c->a, b = c->b;
    return (b * b * c->up - a * a * c->down) / (a * b * (a + b));
}

/* Is the gradient one of those between the slopes on both sides of a kink? A
 * kink is where they stay apart as the step shrinks: h f'' would follow it. */
static bool
is_at_kink(const struct change *last, const struct change *before,
           double gradient, double allowed)
{
    double right = last->up / last->a, left = -last->down / last->b;
    double apart = fabs(right - left),
           apart_before =
               fabs(before->up / before->a + before->down / before->b);
    return apart > allowed && apart > apart_before / 2 &&
           apart < apart_before * 2 &&
           gradient >= fmin(left, right) - allowed &&
           gradient <= fmax(left, right) + allowed;
}

/* One element or direction: r has the name and the tolerance. */
static krs_status
check_slope(struct job *j, krsi_trial_leaf *leaf, int64_t i, int64_t which,
            double gradient, krs_gradcheck_result *r, krs_error *err)
{
    double h = j->step, slope = NAN, ratio = INFINITY;
    double size = fmax(r->largest, isfinite(gradient) ? fabs(gradient) : 0);
    double allowed = j->tolerance.atol + j->tolerance.rtol * size;
    struct change near = {.a = 0}, far, before = near;
    for (int t = 0; t < TRIES && !(ratio <= 1); t++, h /= 8) {
        before = near;
        KRS_TRY(change_over(j, leaf, i, h, &near, err));
        KRS_TRY(change_over(j, leaf, i, 2 * h, &far, err));
        slope = (4 * slope_of(&near) - slope_of(&far)) / 3;
        if (t ==
            TRIES - 1) /* h^2 is small enough; a kink within 2 h no fault */
            slope = slope_of(&near);
        double distance = fabs(gradient - slope);
        if (distance <= allowed)
            ratio = distance > 0 ? distance / allowed : 0;
        else if (allowed > 0 && !isnan(distance))
            ratio = distance / allowed;
    }
    r->checked++;
    if (!(ratio <= 1) && is_at_kink(&near, &before, gradient, allowed)) {
        r->kinks++;
        return KRS_OK;
    }
    r->failing += !(ratio <= 1);
    if (r->checked - r->kinks == 1 || ratio > r->ratio) {
        r->worst = which;
        r->gradient = gradient;
        r->slope = slope;
        r->tolerance = allowed;
        r->ratio = ratio;
    }
    return KRS_OK;
}

/* Along `towards`, which is made a unit vector; nothing if it is none. */
static krs_status
check_direction(struct job *j, krsi_trial_leaf *leaf, const float *gradient,
                int64_t which, krs_gradcheck_result *r, krs_error *err)
{
    double square = 0, along = 0;
    for (int64_t k = 0; k < r->elements; k++)
        square += j->towards[k] * j->towards[k];
    if (square > 0 && square < INFINITY) {
        for (int64_t k = 0; k < r->elements; k++) {
            j->towards[k] /= sqrt(square);
            along += (double)gradient[k] * j->towards[k];
        }
        return check_slope(j, leaf, -1, which, along, r, err);
    }
    return KRS_OK;
}

static krs_status
check_directions(struct job *j, krsi_trial_leaf *leaf, const float *gradient,
                 krs_gradcheck_result *r, krs_error *err)
{
    for (int64_t k = 0; k < r->elements; k++)
        j->towards[k] = (double)gradient[k];
    KRS_TRY(check_direction(j, leaf, gradient, KRS_ALONG_GRADIENT, r, err));
    for (int64_t k = 0; k < r->elements; k++)
        j->towards[k] =
            krs_random_u32(1, 0, leaf->id, (uint64_t)k) & 1 ? 1 : -1;
    return check_direction(j, leaf, gradient, KRS_ALONG_RANDOM, r, err);
}

/* Elements spread evenly: one somewhere in each of equal parts. */
static krs_status
check_elements(struct job *j, krsi_trial_leaf *leaf, const float *gradient,
               krs_gradcheck_result *r, krs_error *err)
{
    int64_t asked = j->options->elements, n = r->elements;
    if (asked == 0)
        asked = ELEMENTS;
    if (asked < 0 || asked > n)
        asked = n;
    for (int64_t k = 0; k < asked; k++) {
        int64_t from = n / asked * k, part = n / asked;
        if (k == asked - 1)
            part = n - from;
        int64_t i =
            from + (int64_t)(krs_random_u32(0, 0, leaf->id, (uint64_t)k) %
                             (uint64_t)part);
        KRS_TRY(check_slope(j, leaf, i, i, (double)gradient[i], r, err));
    }
    return KRS_OK;
}

static krs_status
check_parameter(struct job *j, size_t i, krs_error *err)
{
    krsi_trial_leaf *leaf = leaf_of(j, i);
    const float *gradient = j->gradient[i];
    krs_gradcheck_result r = {.name = leaf->name,
                              .elements = elements_of(leaf)};
    size_t room = (size_t)r.elements + 1;
    j->at = malloc(room * sizeof *j->at);
    j->towards = malloc(room * sizeof *j->towards);
    if (!j->at || !j->towards)
        return no_memory(err);
    memcpy(j->at, leaf->view.data, leaf->view.bytes);
    for (int64_t k = 0; k < r.elements; k++)
        if (isfinite(gradient[k]))
            r.largest = fmax(r.largest, fabs((double)gradient[k]));
    KRS_TRY(check_elements(j, leaf, gradient, &r, err));
    KRS_TRY(check_directions(j, leaf, gradient, &r, err));
    if (r.kinks > r.checked / 2) {
        r.failing += r.kinks;
        r.ratio = INFINITY;
    }
    /* the next parameter moves alone */
    KRS_TRY(krsi_trial_give_leaf(leaf, j->program, j->store, err));
    free(j->at);
    free(j->towards);
    j->at = NULL;
    j->towards = NULL;
    if (j->options->sink)
        j->options->sink(j->options->user, &r);
    if (!j->worst.name || r.ratio > j->worst.ratio)
        j->worst = r;
    return KRS_OK;
}

/* What check.h says of tolerances. */
static void
choose_tolerance(struct job *j, krs_device *device)
{
    const krs_gradcheck_options *o = j->options;
    bool is_wide = strncmp(krs_device_name(device), "eval", 4) == 0;
    j->step = o->step > 0 ? o->step : 0x1p-7;
    j->tolerance = o->tolerance;
    if (o->tolerance.rtol > 0 || o->tolerance.atol > 0)
        return;
    j->tolerance = (krs_tolerance){.rtol = is_wide ? 1e-4 : 1e-3, .atol = 1e-6};
}

static krs_status
report(const struct job *j, krs_error *err)
{
    const krs_gradcheck_result *r = &j->worst;
    char where[40];
    if (r->failing == 0)
        return KRS_OK;
    if (r->kinks > r->checked / 2)
        return krs_fail(err, KRS_E_CHECK,
                        "gradcheck: '%s': at %lld of %lld places that were "
                        "tried the loss has a kink, where no slope says what "
                        "the gradient is; give other data",
                        r->name, (long long)r->kinks, (long long)r->checked);
    if (r->worst >= 0)
        snprintf(where, sizeof where, "at element %lld", (long long)r->worst);
    else
        snprintf(where, sizeof where, "along %s",
                 r->worst == KRS_ALONG_GRADIENT ? "the gradient"
                                                : "random signs");
    return krs_fail(err, KRS_E_CHECK,
                    "gradcheck: '%s': %s the gradient is %.7g, the slope of "
                    "the loss %.7g, %.3g times the tolerance %.2g; %lld of "
                    "%lld that were tried disagree",
                    r->name, where, r->gradient, r->slope, r->ratio,
                    r->tolerance, (long long)r->failing, (long long)r->checked);
}

static krs_status
check_all(struct job *j, krs_device *device, krs_node loss,
          const krs_node *parameters, krs_error *err)
{
    KRS_TRY(check_arguments(loss, parameters, j->count, j->options, err));
    KRS_TRY(copy_graph(j, loss, parameters, err));
    KRS_TRY(run_gradients(j, device, err));
    KRS_TRY(make_program(j, err));
    choose_tolerance(j, device);
    for (size_t i = 0; i < j->count; i++)
        KRS_TRY(check_parameter(j, i, err));
    return report(j, err);
}

krs_status
krs_gradcheck(krs_device *device, krs_node loss, const krs_node *parameters,
              size_t count, const krs_gradcheck_options *options,
              krs_error *err)
{
    const krs_gradcheck_options none = {.struct_size = sizeof none};
    KRS_TRY(krsi_need(device, "gradcheck", "the device", err));
    struct job j = {.count = count, .options = options ? options : &none};
    krs_status status = check_all(&j, device, loss, parameters, err);
    for (size_t i = 0; j.gradient && i < count; i++)
        free(j.gradient[i]);
    free(j.gradient);
    free(j.at);
    free(j.towards);
    krs_program_free(j.program);
    krs_store_free(j.store);
    krs_device_close(j.eval);
    krsi_trial_free(&j.trial);
    krs_graph_free(j.graph);
    free(j.root);
    return status;
}
