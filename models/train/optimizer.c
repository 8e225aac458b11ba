/* optimizer.c -- clipping, optimizers and the whole training step, as graph
 * code on the public builders.
 *
 * In: a scalar loss and the states to train. Out: the outputs of one program,
 * of which the krs_update nodes change parameters, moments and the step
 * counter. Everything reads the values at the start of the run, so the order
 * of the outputs carries no meaning.
 *
 * Arithmetic is f32 whatever the parameter's type; a half-precision parameter
 * is rounded once, at its update. Each optimizer is one function; the row of
 * KRS_OPTIMIZER_LIST says how many moments it keeps.
 *
 * Not here: loss scaling, parameter groups, master weights of half types.
 */
#include <krs/ops.h>
#include <krs/train.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const optimizer_names[] = {
#define NAME_OF(NAME, name, moments) #name,
    KRS_OPTIMIZER_LIST(NAME_OF)
#undef NAME_OF
};

const char *
krs_optimizer_name(krs_optimizer_kind kind)
{
    return (unsigned)kind < KRS_OPTIMIZER_COUNT ? optimizer_names[kind] : "?";
}

bool
krs_optimizer_parse(const char *name, krs_optimizer_kind *out)
{
    for (int i = 0; name && i < KRS_OPTIMIZER_COUNT; i++)
        if (!strcmp(name, optimizer_names[i])) {
            *out = (krs_optimizer_kind)i;
            return true;
        }
    return false;
}

krs_optimizer
krs_optimizer_default(void)
{
    return (krs_optimizer){.struct_size = sizeof(krs_optimizer),
                           .kind = KRS_OPTIMIZER_ADAMW,
                           .learning_rate = 1e-3,
                           .beta1 = 0.9,
                           .beta2 = 0.95,
                           .eps = 1e-8,
                           .weight_decay = 0.1,
                           .decay_min_rank = 2,
                           .max_grad_norm = 1,
                           .schedule = krs_schedule_default()};
}

/* ---- gradients ---- */

static krs_node
f32_of(krs_place at, krs_node x)
{
    return krs_node_dtype(x) == KRS_F32 ? x : krs_cast_at(at, x, KRS_F32);
}

krs_node
krs_global_norm_at(krs_place at, const krs_node *x, size_t count)
{
    if (count == 0)
        return KRS_NONE;
    krs_node total = KRS_NONE; /* [] */
    for (size_t i = 0; i < count; i++) {
        krs_node square = krs_square_at(at, f32_of(at, x[i]));
        krs_node sum = krs_sum_at(at, square, KRS_ALL_AXES);
        total = i ? krs_add_at(at, total, sum) : sum;
    }
    return krs_sqrt_at(at, total);
}

krs_node
krs_clip_factor_at(krs_place at, krs_node norm, double max_norm)
{
    krs_node limit = krs_like_at(at, norm, max_norm);
    krs_node factor = krs_div_at(at, limit, krs_offset_at(at, norm, 1e-6));
    return krs_minimum_at(at, factor, krs_like_at(at, norm, 1));
}

/* ---- optimizers ---- */

krs_node
krs_bias_correction_at(krs_place at, krs_node step, double beta)
{
    if (!krs_node_is_valid(step))
        return step;
    if (!(beta >= 0 && beta < 1))
        return krs_graph_fail(step.graph, at, KRS_E_RANGE,
                              "bias_correction: beta = %g is outside [0, 1)",
                              beta);
    if (beta == 0)
        return krs_scalar_at(at, step.graph, KRS_F32, 1);
    int64_t one = 1;
    krs_node next = krs_add_at(
        at, step, krs_constant_at(at, step.graph, KRS_I64, KRS_SCALAR, &one));
    /* 1 - e^(-2x) = 2 tanh(x) / (1 + tanh(x)); its condition number in x is
     * 2x / (e^(2x) - 1) <= 1 */
    krs_node x =
        krs_scale_at(at, krs_cast_at(at, next, KRS_F32), -log(beta) / 2);
    krs_node th = krs_tanh_at(at, x);
    return krs_div_at(at, krs_scale_at(at, th, 2), krs_offset_at(at, th, 1));
}

/* What an optimizer sees of one parameter. Shapes are the parameter's, rate
 * and step are scalars. */
typedef struct rule {
    krs_place at;
    const krs_optimizer *o;
    krs_node p; /* f32 */
    krs_node g; /* f32 */
    krs_node rate;
    krs_node step;
    double decay; /* 0 where it does not apply */
    krs_node *updates;
    size_t count;
} rule;

/* The state "optimizer.<kind>.<parameter>", f32, zero at first */
static krs_node
moment(const rule *r, krs_node parameter, const char *kind)
{
    char name[512];
    const char *of = krs_node_name(parameter);
    if (strlen(of) + strlen(kind) + sizeof "optimizer.." > sizeof name)
        return krs_graph_fail(parameter.graph, r->at, KRS_E_NAME,
                              "optimizer: the name %.60s... is longer than "
                              "%zu bytes",
                              of, sizeof name - 20);
    strcpy(name, "optimizer.");
    strcat(name, kind);
    strcat(name, ".");
    strcat(name, of);
    return krs_state_at(r->at, parameter.graph, name, KRS_F32,
                        krs_node_shape(parameter));
}

/* b x + (1-b) y, and its krs_update in r */
static krs_node
running(rule *r, krs_node state, double b, krs_node y)
{
    krs_node next = krs_add_at(r->at, krs_scale_at(r->at, state, b),
                               krs_scale_at(r->at, y, 1 - b));
    r->updates[r->count++] = krs_update_at(r->at, state, next);
    return next;
}

/* p - rate x */
static krs_node
descended(const rule *r, krs_node p, krs_node x)
{
    return krs_sub_at(r->at, p, krs_mul_at(r->at, x, r->rate));
}

/* p (1 - rate d) */
static krs_node
decayed(const rule *r)
{
    if (r->decay == 0)
        return r->p;
    krs_node kept = krs_offset_at(
        r->at, krs_neg_at(r->at, krs_scale_at(r->at, r->rate, r->decay)), 1);
    return krs_mul_at(r->at, r->p, kept);
}

/* g + d p: decay as part of the gradient */
static void
couple_decay(rule *r)
{
    if (r->decay != 0)
        r->g = krs_add_at(r->at, r->g, krs_scale_at(r->at, r->p, r->decay));
}

static krs_node
sgd(rule *r, krs_node parameter)
{
    couple_decay(r);
    const krs_optimizer *o = r->o;
    if (o->momentum == 0)
        return descended(r, r->p, r->g);
    krs_node m = moment(r, parameter, "m");
    krs_node kept = krs_scale_at(r->at, m, o->momentum);
    krs_node mixed =
        krs_add_at(r->at, kept, krs_scale_at(r->at, r->g, 1 - o->dampening));
    int64_t zero = 0;
    krs_node first = krs_eq_at(
        r->at, r->step,
        krs_constant_at(r->at, r->step.graph, KRS_I64, KRS_SCALAR, &zero));
    krs_node next = krs_where_at(r->at, first, r->g, mixed);
    r->updates[r->count++] = krs_update_at(r->at, m, next);
    if (o->nesterov)
        next = krs_add_at(r->at, r->g, krs_scale_at(r->at, next, o->momentum));
    return descended(r, r->p, next);
}

/* Adam from p, which the caller has decayed or not */
static krs_node
adam(rule *r, krs_node parameter, krs_node p)
{
    const krs_optimizer *o = r->o;
    krs_node m = running(r, moment(r, parameter, "m"), o->beta1, r->g);
    krs_node v = running(r, moment(r, parameter, "v"), o->beta2,
                         krs_square_at(r->at, r->g));
    krs_node c1 = krs_bias_correction_at(r->at, r->step, o->beta1);
    krs_node c2 = krs_bias_correction_at(r->at, r->step, o->beta2);
    krs_node root = krs_sqrt_at(r->at, krs_div_at(r->at, v, c2));
    krs_node mean = krs_div_at(r->at, m, c1);
    return descended(
        r, p, krs_div_at(r->at, mean, krs_offset_at(r->at, root, o->eps)));
}

static krs_node
lion(rule *r, krs_node parameter)
{
    krs_node m = moment(r, parameter, "m");
    double b = r->o->beta1;
    krs_node mixed = krs_add_at(r->at, krs_scale_at(r->at, m, b),
                                krs_scale_at(r->at, r->g, 1 - b));
    krs_node next = descended(r, decayed(r), krs_sign_at(r->at, mixed));
    running(r, m, r->o->beta2, r->g);
    return next;
}

/* NULL, or what is wrong with the settings */
static const char *
fault_of(const krs_optimizer *o)
{
    if (o->struct_size != sizeof *o)
        return "struct_size is not the size of krs_optimizer; start from "
               "krs_optimizer_default()";
    if ((unsigned)o->kind >= KRS_OPTIMIZER_COUNT)
        return "kind is not one of the list";
    if (!(o->learning_rate >= 0 && o->learning_rate < 1e6))
        return "learning_rate is not a number of at least 0";
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        return "a beta is outside [0, 1)";
    if (!(o->eps >= 0 && o->eps < 1))
        return "eps is outside [0, 1)";
    if (!(o->momentum >= 0 && o->momentum < 1))
        return "momentum is outside [0, 1)";
    if (o->nesterov && (o->momentum == 0 || o->dampening != 0))
        return "nesterov needs a momentum and no dampening";
    if (!(o->weight_decay >= 0 && o->weight_decay < 1e6))
        return "weight_decay is not a number of at least 0";
    if (!(o->max_grad_norm >= 0))
        return "max_grad_norm is not a number of at least 0";
    return NULL;
}

size_t
krs_optimizer_update_at(krs_place at, const krs_optimizer *optimizer,
                        krs_node parameter, krs_node gradient, krs_node rate,
                        krs_node step, krs_node *updates)
{
    if (!krs_node_is_valid(parameter))
        return 0;
    krs_graph *g = parameter.graph;
    const char *fault = fault_of(optimizer);
    if (!fault && strcmp(krs_node_op(parameter), "state"))
        fault = "the parameter is not a state";
    if (fault) {
        krs_graph_fail(g, at, KRS_E_RANGE, "optimizer: %s: %s",
                       krs_optimizer_name(optimizer->kind), fault);
        return 0;
    }
    bool decays = krs_node_shape(parameter).rank >= optimizer->decay_min_rank;
    rule r = {.at = at,
              .o = optimizer,
              .p = f32_of(at, parameter),
              .g = f32_of(at, gradient),
              .rate = rate,
              .step = step,
              .decay = decays ? optimizer->weight_decay : 0,
              .updates = updates,
              .count = 1};
    krs_node next = KRS_NONE;
    switch (optimizer->kind) {
    case KRS_OPTIMIZER_SGD: next = sgd(&r, parameter); break;
    case KRS_OPTIMIZER_ADAM:
        couple_decay(&r);
        next = adam(&r, parameter, r.p);
        break;
    case KRS_OPTIMIZER_ADAMW: next = adam(&r, parameter, decayed(&r)); break;
    case KRS_OPTIMIZER_LION: next = lion(&r, parameter); break;
    case KRS_OPTIMIZER_COUNT: return 0;
    }
    krs_dtype dtype = krs_node_dtype(parameter);
    if (dtype != KRS_F32)
        next = krs_cast_at(at, next, dtype);
    updates[0] = krs_update_at(at, parameter, next);
    return krs_graph_error(g) ? 0 : r.count;
}

/* ---- a whole step ---- */

/* The outputs, once the settings are known to be sound. */
static krs_status
build_step(krs_place at, krs_node loss, const krs_node *parameters,
           krs_node *gradients, size_t count, const krs_optimizer *optimizer,
           krs_node *outputs, size_t *out_count)
{
    krs_graph *g = loss.graph;
    KRS_TRY(krs_grad_at(at, loss, parameters, count, gradients));
    krs_node norm = krs_global_norm_at(at, gradients, count);
    if (optimizer->max_grad_norm > 0) {
        krs_node factor =
            krs_clip_factor_at(at, norm, optimizer->max_grad_norm);
        for (size_t i = 0; i < count; i++)
            gradients[i] = krs_mul_at(at, f32_of(at, gradients[i]), factor);
    }
    krs_node step = krs_state_at(at, g, "optimizer.step", KRS_I64, KRS_SCALAR);
    krs_node rate =
        krs_scale_at(at, krs_schedule_factor_at(at, step, &optimizer->schedule),
                     optimizer->learning_rate);
    int64_t one = 1;
    krs_node next =
        krs_add_at(at, step, krs_constant_at(at, g, KRS_I64, KRS_SCALAR, &one));
    outputs[KRS_STEP_LOSS] = f32_of(at, loss);
    outputs[KRS_STEP_GRAD_NORM] = norm;
    outputs[KRS_STEP_RATE] = rate;
    size_t filled = KRS_STEP_UPDATES;
    outputs[filled++] = krs_update_at(at, step, next);
    for (size_t i = 0; i < count; i++)
        filled +=
            krs_optimizer_update_at(at, optimizer, parameters[i], gradients[i],
                                    rate, step, outputs + filled);
    *out_count = filled;
    return krs_graph_check(g, NULL);
}

krs_status
krs_train_step_at(krs_place at, krs_node loss, const krs_node *parameters,
                  size_t count, const krs_optimizer *optimizer,
                  krs_node *outputs, size_t capacity, size_t *out_count)
{
    krs_graph *g = loss.graph;
    if (!g || !optimizer || !outputs || !out_count || (count && !parameters)) {
        krs_graph_fail(g, at, KRS_E_ARGUMENT,
                       "train_step: parameters, optimizer, outputs or "
                       "out_count is NULL");
        return g ? KRS_E_ARGUMENT : KRS_E_GRAPH;
    }
    *out_count = 0;
    KRS_TRY(krs_graph_check(g, NULL));
    const char *fault = fault_of(optimizer);
    krs_status status = KRS_E_RANGE;
    size_t room = capacity;
    if (!fault && krs_node_shape(loss).rank != 0) {
        fault = "the loss is not a scalar; take its mean";
        status = KRS_E_SHAPE;
    }
    if (!fault && count == 0)
        fault = "there are no parameters";
    if (!fault &&
        (room < KRS_STEP_UPDATES + 1 ||
         (room - KRS_STEP_UPDATES - 1) / (1 + KRS_OPTIMIZER_MOMENTS_MAX) <
             count))
        fault = "too little room for the outputs";
    if (fault) {
        krs_graph_fail(g, at, status, "train_step: %s (%zu parameters)", fault,
                       count);
        return status;
    }
    krs_node *gradients = calloc(count, sizeof *gradients);
    if (!gradients) {
        krs_graph_fail(g, at, KRS_E_MEMORY,
                       "train_step: no memory for %zu gradients", count);
        return KRS_E_MEMORY;
    }
    status = build_step(at, loss, parameters, gradients, count, optimizer,
                        outputs, out_count);
    free(gradients);
    return status;
}
