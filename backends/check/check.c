/* check.c -- does a device compute what a graph says? See check.h.
 *
 * In: outputs of a graph, data, a device and one that is trusted. Out: rows
 * for outputs, gradients, states and nodes; what is wrong first, the kernel
 * that did it, and a text that shows it again.
 *
 * The user's graph is copied; gradients and steps are added to the copy. Both
 * devices run the copy as it is, which is step 1 of the check; probe.c and
 * blame.c work on the same graph down to primitives.
 */
#include "check_parts.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_SIZE 1e-2

krs_status
krsi_check_memory(krs_error *err)
{
    return krs_fail(err, KRS_E_MEMORY, "check: out of memory");
}

krs_check_row
krsi_check_row_of(const krs_graph *g, uint32_t id)
{
    const krsi_node *n = g->node[id];
    return (krs_check_row){.name = "",
                           .op = krsi_ops[n->op].name,
                           .scope = g->string[n->scope],
                           .file = g->string[n->file],
                           .line = (int)n->line,
                           .dtype = (krs_dtype)n->dtype,
                           .shape = krs_node_shape(krsi_handle(g, id)),
                           .worst = -1};
}

void
krsi_check_tell(const krsi_checking *c, const krs_check_row *row)
{
    if (c->options->sink)
        c->options->sink(c->options->user, row);
}

/* ---- the graph ---- */

static krs_status
check_arguments(const krs_node *outputs, size_t count,
                const krs_check_options *o, const krs_check_result *result,
                krs_error *err)
{
    if (o->struct_size != sizeof *o ||
        (result && result->struct_size != sizeof *result))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "check: struct_size is %zu of options and %zu of the "
                        "result; set them to sizeof the structs",
                        o->struct_size, result ? result->struct_size : 0);
    KRS_TRY(krsi_need(outputs, "check", "outputs", err));
    KRS_TRY(krsi_trial_check_outputs(outputs, count, err));
    if (!(o->output_within >= 0 && o->output_within < INFINITY) ||
        !(o->gradient_within >= 0 && o->gradient_within < INFINITY))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "check: output_within %g and gradient_within %g are "
                        "to be 0 or more, and finite",
                        o->output_within, o->gradient_within);
    if (o->steps < 0)
        return krs_fail(err, KRS_E_ARGUMENT, "check: steps %lld is below 0",
                        (long long)o->steps);
    return KRS_OK;
}

static bool
is_update(krs_node x)
{
    return krsi_get(x)->op == KRSI_UPDATE;
}

/* The first float output as a scalar; KRS_NONE if there is none. */
static krs_node
scalar_of(const krsi_checking *c)
{
    for (size_t i = 0; i < c->users; i++) {
        krs_node y = c->output[i];
        if (is_update(y) || !krs_dtype_is_float(krs_node_dtype(y)))
            continue;
        krs_shape shape = krs_node_shape(y);
        y = krs_cast(y, KRS_F32);
        if (shape.rank == 0)
            return y;
        krs_node weights =
            krs_input(c->graph, "check.cotangent", KRS_F32, shape);
        return krs_sum(krs_mul(y, weights), KRS_ALL_AXES);
    }
    return KRS_NONE;
}

static krs_status
add_gradients(krsi_checking *c, krs_error *err)
{
    size_t count = 0;
    for (uint32_t id = 1; id <= c->graph->nodes; id++) {
        const krsi_node *n = c->graph->node[id];
        if ((n->op == KRSI_INPUT || n->op == KRSI_STATE) &&
            krs_dtype_is_float((krs_dtype)n->dtype))
            c->leaf[count++] = krsi_handle(c->graph, id);
    }
    krs_node y = scalar_of(c);
    if (!y.graph || count == 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "check: there are no gradients: no %s is a float",
                        y.graph ? "input or state" : "output");
    krs_grad(y, c->leaf, count, c->output + c->outputs);
    KRS_TRY(krs_graph_check(c->graph, err));
    c->gradients = count;
    c->outputs += count;
    return KRS_OK;
}

/* state - 1e-2 gradient, where nothing updates states yet */
static krs_status
add_steps(krsi_checking *c, krs_error *err)
{
    for (size_t i = 0; i < c->users; i++)
        if (is_update(c->output[i]))
            return KRS_OK;
    for (size_t i = 0; i < c->gradients; i++) {
        krs_node x = c->leaf[i], g = c->output[c->users + i];
        if (krsi_get(x)->op != KRSI_STATE || krs_node_dtype(x) != KRS_F32)
            continue;
        c->output[c->outputs++] =
            krs_update(x, krs_sub(x, krs_scale(g, STEP_SIZE)));
    }
    return krs_graph_check(c->graph, err);
}

static krs_status
expand_graph(krsi_checking *c, krs_error *err)
{
    size_t room;
    for (size_t i = 0; i < c->outputs; i++)
        c->root[i] = c->output[i].id;
    KRS_TRY(krsi_expand_to_families(c->graph, c->root, c->outputs, &c->g,
                                    c->root, err));
    room = c->g->nodes + 1;
    c->value = calloc(room, sizeof *c->value);
    c->asked = calloc(room, sizeof *c->asked);
    c->owned = calloc(room, sizeof *c->owned);
    if (!c->value || !c->asked || !c->owned)
        return krsi_check_memory(err);
    KRS_TRY(krsi_trial_make(c->g, c->root, c->outputs, c->options->data,
                            &c->trial, err));
    for (size_t i = 0; i < c->outputs; i++)
        while (c->g->node[c->root[i]]->op == KRSI_UPDATE)
            c->root[i] = c->g->node[c->root[i]]->in[1];
    return KRS_OK;
}

static krs_status
make_graph(krsi_checking *c, const krs_node *outputs, size_t count,
           krs_error *err)
{
    const krs_graph *g = outputs[0].graph;
    size_t room = count + 2 * g->leaves + 2;
    bool steps = c->options->steps > 0;
    c->root = calloc(room, sizeof *c->root);
    c->output = calloc(room, sizeof *c->output);
    c->leaf = calloc(g->leaves + 2, sizeof *c->leaf);
    c->first = calloc(room, sizeof *c->first);
    if (!c->root || !c->output || !c->leaf || !c->first)
        return krsi_check_memory(err);
    for (size_t i = 0; i < count; i++)
        c->root[i] = outputs[i].id;
    KRS_TRY(krsi_copy(g, c->root, count, &c->graph, c->root, err));
    for (size_t i = 0; i < count; i++) {
        c->output[i] = krsi_handle(c->graph, c->root[i]);
        steps &= !is_update(c->output[i]);
    }
    c->users = c->outputs = count;
    if (c->options->gradients || steps)
        KRS_TRY(add_gradients(c, err));
    if (steps)
        KRS_TRY(add_steps(c, err));
    return expand_graph(c, err);
}

/* ---- the outputs on both devices ---- */

struct side {
    krs_device *device;
    krs_store *store;
    krs_program *program;
};

static krs_status
open_side(const krsi_checking *c, struct side *s, krs_error *err)
{
    KRS_TRY(krs_store_new(s->device, &s->store, err));
    KRS_TRY(krs_program_new(s->store, c->output, c->outputs, &s->program, err));
    return krsi_trial_give(&c->trial, s->program, s->store, err);
}

static krs_status
run_side(const struct side *s, krs_error *err)
{
    krs_error why;
    krs_status status = krs_program_run(s->program, &why);
    return status == KRS_OK ? KRS_OK
                            : krs_fail(err, status, "on %s: %s",
                                       krs_device_name(s->device), why.text);
}

static krs_status
read_output(const struct side *s, size_t i, krs_view *v, krs_error *err)
{
    KRS_TRY(krs_program_output(s->program, i, &v->dtype, &v->shape, err));
    if (!krsi_view_room(v))
        return krsi_check_memory(err);
    return krs_program_read(s->program, i, (void *)(uintptr_t)v->data, v->bytes,
                            err);
}

static krs_status
read_state(const struct side *s, size_t i, const char **name, krs_view *v,
           krs_error *err)
{
    KRS_TRY(krs_store_entry(s->store, i, name, &v->dtype, &v->shape, err));
    if (!krsi_view_room(v))
        return krsi_check_memory(err);
    return krs_store_read(s->store, *name, (void *)(uintptr_t)v->data, v->bytes,
                          err);
}

static double
within_of(const krs_check_options *o, krs_check_kind kind)
{
    return kind == KRS_CHECK_OUTPUT     ? o->output_within
           : kind == KRS_CHECK_GRADIENT ? o->gradient_within
                                        : 0;
}

static bool
is_judged(const krs_check_options *o, krs_check_kind kind)
{
    return o->tolerance.rtol > 0 || o->tolerance.atol > 0 ||
           within_of(o, kind) > 0;
}

/* One row of two tensors; judged if there is a tolerance. */
static void
compare_tensors(krsi_checking *c, const krs_view *got, const krs_view *want,
                krs_check_row *row, krs_error *why)
{
    krs_tolerance t = c->options->tolerance;
    krs_comparison compared = {.worst = -1};
    krsi_differ(got, want, &row->difference);
    if (within_of(c->options, row->kind) > 0) /* of 0: zeros of either sign */
        t.atol +=
            DBL_MIN + row->difference.scale * within_of(c->options, row->kind);
    row->worst = row->difference.worst;
    row->got = row->difference.got;
    row->want = row->difference.want;
    c->result->tensors++;
    if (is_judged(c->options, row->kind)) {
        krs_error reason;
        if (krs_compare(got, want, NULL, t, &compared, &reason) != KRS_OK) {
            row->failing = compared.failing ? compared.failing : 1;
            row->worst = compared.worst;
            row->got = compared.got;
            row->want = compared.want;
            c->result->failing_tensors++;
            if (why->status == KRS_OK)
                krs_fail(why, KRS_E_CHECK, "%s%s of %s, step %lld: %s",
                         row->kind == KRS_CHECK_OUTPUT     ? "an output"
                         : row->kind == KRS_CHECK_GRADIENT ? "the gradient of "
                                                           : "state ",
                         row->name, krs_device_name(c->device),
                         (long long)row->step, reason.text);
        }
        row->ratio = compared.ratio;
        row->allowed = t.atol + t.rtol * fabs(row->want);
    }
    krsi_check_tell(c, row);
}

static krs_status
compare_outputs(krsi_checking *c, const struct side *ours,
                const struct side *theirs, int64_t step, krs_error *why,
                krs_error *err)
{
    krs_status status = KRS_OK;
    for (size_t i = 0; i < c->outputs && status == KRS_OK; i++) {
        krs_view got = {.data = NULL}, want = {.data = NULL};
        krs_check_row row = krsi_check_row_of(c->graph, c->output[i].id);
        row.step = step;
        row.number = i;
        if (i >= c->users && i - c->users < c->gradients) {
            row.kind = KRS_CHECK_GRADIENT;
            row.name = krs_node_name(c->leaf[i - c->users]);
        }
        status = read_output(ours, i, &got, err);
        if (status == KRS_OK)
            status = read_output(theirs, i, &want, err);
        if (status == KRS_OK && !is_update(c->output[i]))
            compare_tensors(c, &got, &want, &row, why);
        krsi_view_free(&want);
        if (step == 1)
            c->first[i] = got;
        else
            krsi_view_free(&got);
    }
    return status;
}

/* After a step: states compared, then those of `theirs` given to both. */
static krs_status
compare_states(krsi_checking *c, const struct side *ours,
               const struct side *theirs, int64_t step, krs_error *why,
               krs_error *err)
{
    krs_status status = KRS_OK;
    for (size_t i = 0; i < krs_store_count(theirs->store) && status == KRS_OK;
         i++) {
        krs_view got = {.data = NULL}, want = {.data = NULL};
        const char *name = "";
        krs_check_row row = {
            .kind = KRS_CHECK_STATE, .step = step, .op = "state", .worst = -1};
        status = read_state(theirs, i, &name, &want, err);
        if (status == KRS_OK)
            status = read_state(ours, i, &name, &got, err);
        row.name = name;
        row.scope = row.file = "";
        row.dtype = want.dtype;
        row.shape = want.shape;
        if (status == KRS_OK)
            compare_tensors(c, &got, &want, &row, why);
        if (status == KRS_OK)
            status =
                krs_store_write(ours->store, name, want.data, want.bytes, err);
        krsi_view_free(&want);
        krsi_view_free(&got);
    }
    return status;
}

static krs_status
run_steps(krsi_checking *c, const struct side *ours, const struct side *theirs,
          krs_error *why, krs_error *err)
{
    int64_t steps = c->options->steps > 0 ? c->options->steps : 1;
    bool updates = false;
    for (size_t i = 0; i < c->outputs; i++)
        updates |= is_update(c->output[i]);
    for (int64_t step = 1; step <= steps; step++) {
        KRS_TRY(run_side(theirs, err));
        KRS_TRY(run_side(ours, err));
        KRS_TRY(compare_outputs(c, ours, theirs, step, why, err));
        if (updates)
            KRS_TRY(compare_states(c, ours, theirs, step, why, err));
    }
    return KRS_OK;
}

/* why: CHECK if a tolerance was missed */
static krs_status
run_both(krsi_checking *c, krs_error *why, krs_error *err)
{
    struct side ours = {c->device, NULL, NULL},
                theirs = {c->against, NULL, NULL};
    krs_status status = open_side(c, &theirs, err);
    if (status == KRS_OK)
        status = open_side(c, &ours, err);
    if (status == KRS_OK)
        status = run_steps(c, &ours, &theirs, why, err);
    krs_program_free(ours.program);
    krs_program_free(theirs.program);
    krs_store_free(ours.store);
    krs_store_free(theirs.store);
    return status;
}

/* ---- what is wrong ---- */

static void
name_node(krsi_checking *c, uint32_t id, krs_check_cause cause)
{
    krs_check_row row = krsi_check_row_of(c->g, id);
    krs_check_result *r = c->result;
    r->cause = cause;
    r->line = row.line;
    snprintf(r->op, sizeof r->op, "%s", row.op);
    snprintf(r->scope, sizeof r->scope, "%s", row.scope);
    snprintf(r->file, sizeof r->file, "%s", row.file);
}

/* What is wrong, and where, as a sentence. */
static void
describe(const krsi_checking *c, const krsi_blame *b, char *text, size_t size)
{
    const krs_check_result *r = c->result;
    const char *kernel = *r->kernel ? r->kernel : "no single kernel";
    if (c->bad && b->cause == KRS_CAUSE_NODE)
        snprintf(text, size, "%s: %s", c->sentence, kernel);
    else if (c->bad)
        snprintf(text, size,
                 "%s; computed alone it is right: %s does more than one "
                 "operation",
                 c->sentence, kernel);
    else
        snprintf(text, size, "output %zu, %s%s%s (%s:%d), %s: %s", c->odd,
                 r->scope, *r->scope ? ": " : "", r->op, r->file, r->line,
                 krsi_check_is_value(c->g, c->root[c->odd])
                     ? "has other bits in the program than as an output of its "
                       "own"
                     : "is not what was given",
                 kernel);
}

static krs_status
write_repro(krsi_checking *c, const krsi_blame *b, const char *sentence,
            krs_error *err)
{
    uint32_t *roots = calloc(b->count + 1, sizeof *roots);
    if (!roots)
        return krsi_check_memory(err);
    bool alone = b->cause == KRS_CAUSE_NODE || b->is_cut;
    size_t count = krsi_blame_roots(c, b, b->cuts, roots);
    krs_status status =
        alone ? krsi_check_repro(c, roots, count, b->node, b->cuts, sentence,
                                 &c->result->repro, err)
              : krsi_check_repro(c, c->root, c->outputs, NULL, 0, sentence,
                                 &c->result->repro, err);
    free(roots);
    return status;
}

static krs_status
report(krsi_checking *c, krs_error *err)
{
    krsi_blame blame;
    char sentence[KRS_ERROR_TEXT];
    krs_status status = krsi_check_blame(c, &blame, err);
    if (status == KRS_OK) {
        name_node(c, blame.target, blame.cause);
        describe(c, &blame, sentence, sizeof sentence);
        if (c->options->repro)
            status = write_repro(c, &blame, sentence, err);
    }
    free(blame.node);
    KRS_TRY(status);
    return krs_fail(err, KRS_E_CHECK, "check: on %s %s",
                    krs_device_name(c->device), sentence);
}

static krs_status
check_all(krsi_checking *c, const krs_node *outputs, size_t count,
          krs_error *err)
{
    krs_error why = {KRS_OK, ""};
    KRS_TRY(make_graph(c, outputs, count, err));
    KRS_TRY(krs_device_open("eval", &c->eval, err));
    KRS_TRY(run_both(c, &why, err));
    /* eval keeps f64 between nodes, and is what nodes are judged by */
    if (strncmp(krs_device_name(c->device), "eval", 4) != 0)
        KRS_TRY(krsi_check_probe(c, err));
    if (c->bad || c->odd != SIZE_MAX)
        return report(c, err);
    if (why.status == KRS_OK)
        return KRS_OK;
    c->result->cause = KRS_CAUSE_TOLERANCE;
    return krs_fail(err, KRS_E_CHECK, "check: %s", why.text);
}

static void
release(krsi_checking *c)
{
    for (size_t i = 0; c->first && i < c->outputs; i++)
        krsi_view_free(&c->first[i]);
    for (uint32_t id = 1; c->owned && id <= c->g->nodes; id++)
        if (c->owned[id])
            krsi_view_free(&c->value[id]);
    krsi_view_free(&c->good);
    free(c->first);
    free(c->value);
    free(c->asked);
    free(c->owned);
    free(c->root);
    free(c->output);
    free(c->leaf);
    free(c->sentence);
    krsi_trial_free(&c->trial);
    krs_graph_free(c->g);
    krs_graph_free(c->graph);
    krs_device_close(c->eval);
}

krs_status
krs_check(krs_device *device, krs_device *against, const krs_node *outputs,
          size_t count, const krs_check_options *options,
          krs_check_result *result, krs_error *err)
{
    const krs_check_options none = {.struct_size = sizeof none};
    krs_check_result unused = {.struct_size = sizeof unused};
    krsi_checking c = {.device = device,
                       .against = against,
                       .options = options ? options : &none,
                       .result = result ? result : &unused,
                       .odd = SIZE_MAX};
    KRS_TRY(krsi_need(device, "check", "the device", err));
    KRS_TRY(krsi_need(against, "check", "the device to compare with", err));
    KRS_TRY(check_arguments(outputs, count, c.options, result, err));
    *c.result = (krs_check_result){.struct_size = sizeof *c.result};
    krs_status status = check_all(&c, outputs, count, err);
    if (!result)
        free(unused.repro);
    release(&c);
    return status;
}
