/* check.c -- kersey check: a graph or model against what it must be.
 *
 * In: a model, a graph in the text form, or a repro that an earlier check
 * wrote. Data for its leaves are those of the repro, the weights of a folder,
 * else drawn from --seed. Two checks, with their results on stdout; EXIT_SHORT
 * if one falls short, EXIT_ABSENT for a backend that is not there:
 *
 *   --backends A,B   every node, output and, with --grad, gradient on these
 *                    backends against --against, for --steps steps (krs_check);
 *                    without --grad and --backends, on --backend
 *   --grad alone     a line for every parameter with the element whose gradient
 *                    is farthest from the slope of the loss (krs_gradcheck)
 *
 * The loss is the first output; one that is no scalar is summed with drawn
 * weights, since sums alone are often constant (softmax). Steps of a model are
 * those of AdamW.
 */
#include "command.h"

#include "check_report.h"
#include "load_graph.h"

#include <krs/train.h>

#include <errno.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct tally {
    size_t passed, failed;
};

static void
take_gradient(void *user, const krs_gradcheck_result *r)
{
    struct tally *tally = user;
    bool failed = r->failing > 0;
    tally->passed += !failed;
    tally->failed += failed;
    printf("%s  %s  %lld of %lld", failed ? "FAILED" : "passed", r->name,
           (long long)r->checked, (long long)r->elements + 2);
    if (r->kinks > 0)
        printf("; no derivative at %lld", (long long)r->kinks);
    if (r->checked > r->kinks) {
        printf("; worst %.3f of its tolerance ", r->ratio);
        if (r->worst >= 0)
            printf("at %lld", (long long)r->worst);
        else
            printf("along %s", r->worst == KRS_ALONG_GRADIENT ? "the gradient"
                                                              : "random signs");
        printf(": %.7g, slope %.7g", r->gradient, r->slope);
    }
    printf("\n");
}

/* The first output as a scalar. */
static krs_node
scalar_loss(const struct loaded_graph *l)
{
    krs_node y = l->outputs[0];
    if (krs_node_shape(y).rank == 0)
        return y;
    krs_node weights =
        krs_input(l->graph, "check.cotangent", KRS_F32, krs_node_shape(y));
    return krs_sum(krs_mul(krs_cast(y, KRS_F32), weights), KRS_ALL_AXES);
}

/* Float states; where there are none, float inputs. To be freed. */
static krs_status
find_parameters(const struct loaded_graph *l, krs_node **out, size_t *out_count,
                krs_error *err)
{
    KRS_TRY(krs_nn_trainable(l->graph, out, out_count, err));
    if (*out_count > 0)
        return KRS_OK;
    uint32_t size = krs_graph_size(l->graph);
    free(*out);
    *out = calloc(size + 1, sizeof **out);
    if (!*out)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %u nodes", size);
    for (uint32_t id = 1; id <= size; id++) {
        krs_node x = krs_graph_node(l->graph, id);
        if (!strcmp(krs_node_op(x), "input") &&
            krs_dtype_is_float(krs_node_dtype(x)))
            (*out)[(*out_count)++] = x;
    }
    return KRS_OK;
}

/* What was loaded, and the data for it. */
struct subject {
    struct loaded_graph l;
    krs_device *host;      /* eval, for the weights */
    krs_store *weights;    /* NULL: none */
    krs_check_data *repro; /* NULL: the text has no data */
    krs_check_data data;
};

static krs_status
check_gradients(const struct command_line *line, const struct subject *s,
                krs_device *device, struct tally *tally, krs_error *err)
{
    krs_node *parameters = NULL;
    size_t count = 0;
    krs_gradcheck_options options = {
        .struct_size = sizeof options,
        .data = &s->data,
        .elements = line->flags.elements ? line->flags.elements : -1,
        .sink = take_gradient,
        .user = tally};
    krs_status status = find_parameters(&s->l, &parameters, &count, err);
    if (status == KRS_OK)
        status = krs_gradcheck(device, scalar_loss(&s->l), parameters, count,
                               &options, err);
    free(parameters);
    return status;
}

/* A step of AdamW for the loss; its states begin at zero. */
static krs_status
add_steps(struct subject *s, krs_error *err)
{
    krs_node *parameters;
    size_t count;
    krs_optimizer adamw = krs_optimizer_default();
    adamw.schedule.kind = KRS_SCHEDULE_CONSTANT;
    adamw.learning_rate = 1e-3;
    KRS_TRY(krs_nn_trainable(s->l.graph, &parameters, &count, err));
    uint32_t before = krs_graph_size(s->l.graph);
    krs_train_step(s->l.outputs[0], parameters, count, &adamw, s->l.outputs,
                   MOST_GRAPH_OUTPUTS, &s->l.count);
    free(parameters);
    KRS_TRY(krs_graph_check(s->l.graph, err));
    for (uint32_t id = before + 1; id <= krs_graph_size(s->l.graph); id++) {
        krs_node x = krs_graph_node(s->l.graph, id);
        if (!strcmp(krs_node_op(x), "state"))
            KRS_TRY(krs_store_add(s->weights, krs_node_name(x),
                                  krs_node_dtype(x), krs_node_shape(x), err));
    }
    return KRS_OK;
}

/* The data lines of a text. */
static krs_status
read_data(const char *path, struct subject *s, krs_error *err)
{
    char *text;
    krs_error why;
    KRS_TRY(read_graph_text(path, &text, err));
    krs_status status = krs_check_read(text, &s->repro, &why);
    free(text);
    return status == KRS_OK ? KRS_OK
                            : krs_fail(err, status, "%s: %s", path, why.text);
}

static krs_status
load_subject(const struct command_line *line, struct subject *s, krs_error *err)
{
    const struct flags *f = &line->flags;
    const char *path = line->operands[0];
    krs_model_config config;
    struct graph_sizes sizes = {f->given[FLAG_ID_batch] ? f->batch : 2,
                                f->given[FLAG_ID_seq] ? f->seq : 8, true};
    KRS_TRY(load_graph(path, &sizes, &s->l, err));
    if (s->l.count == 0)
        return krs_fail(err, KRS_E_ARGUMENT, "the graph has no output");
    KRS_TRY(krs_device_open("eval", &s->host, err));
    KRS_TRY(krs_store_new(s->host, &s->weights, err));
    if (s->l.is_folder)
        KRS_TRY(krs_model_open(path, s->weights, &config, err));
    if (!s->l.is_model && strcmp(path, "-") != 0)
        KRS_TRY(read_data(path, s, err));
    if (s->l.is_model && f->steps > 0)
        KRS_TRY(add_steps(s, err));
    if (s->repro)
        s->data = *s->repro;
    s->data.struct_size = sizeof s->data;
    s->data.store = s->weights;
    s->data.seed = (uint64_t)f->seed;
    return KRS_OK;
}

static void
free_subject(struct subject *s)
{
    krs_check_data_free(s->repro);
    free_graph(&s->l);
    krs_store_free(s->weights);
    krs_device_close(s->host);
}

/* ---- devices ---- */

/* repro into folder/NAME.krs, where ':' of the name becomes '-' */
static krs_status
write_repro(const char *folder, const char *name, const char *text,
            krs_error *err)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/%s.krs", folder, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return krs_fail(err, KRS_E_IO, "%.100s...: the path is too long",
                        folder);
    for (char *at = path + strlen(folder); *at; at++)
        *at = *at == ':' ? '-' : *at;
    FILE *out = fopen(path, "w");
    bool bad = !out || fputs(text, out) < 0;
    bad |= out && fclose(out) != 0;
    if (bad)
        return krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno));
    printf("  again: kersey check %s --backends %s\n", path, name);
    return KRS_OK;
}

/* One backend; the exit code. */
static int
check_device(const struct command_line *line, const struct subject *s,
             const char *name, struct check_report *report)
{
    const struct flags *f = &line->flags;
    struct command_line one = *line;
    krs_device *device, *against = NULL;
    krs_check_result found = {.struct_size = sizeof found};
    krs_check_options options = {.struct_size = sizeof options,
                                 .data = &s->data,
                                 .gradients = f->grad,
                                 .steps = f->steps,
                                 .output_within = f->within,
                                 .gradient_within = f->grad_within,
                                 .repro = f->emit_repro != NULL,
                                 .sink = report_row,
                                 .user = report};
    krs_error err, io;
    one.flags.backend = name;
    one.flags.given[FLAG_ID_backend] = true;
    int code = open_device(&one, &device);
    if (code != EXIT_OK)
        return code;
    one.flags.backend = f->against;
    one.flags.given[FLAG_ID_cpu] = false; /* what is judged has it */
    code = open_device(&one, &against);
    if (code != EXIT_OK) {
        krs_device_close(device);
        return code;
    }
    report_device(report, name, f->against);
    report->is_judged[KRS_CHECK_OUTPUT] = f->within > 0;
    report->is_judged[KRS_CHECK_GRADIENT] = f->grad_within > 0;
    report->is_judged[KRS_CHECK_NODE] = true;
    krs_status status = krs_check(device, against, s->l.outputs, s->l.count,
                                  &options, &found, &err);
    report_found(report, status == KRS_OK ? "" : err.text);
    if (found.repro && write_repro(f->emit_repro, name, found.repro, &io))
        code = complain(&io);
    if (status != KRS_OK)
        code = complain(&err);
    free(found.repro);
    krs_device_close(against);
    krs_device_close(device);
    return code;
}

/* Every name of a list "a,b"; the worst exit code: a failure, then short, then
 * absent. */
static int
check_devices(const struct command_line *line, const struct subject *s,
              const char *list)
{
    struct check_report report;
    krs_error err;
    int worst = EXIT_OK;
    if (report_begin(line->flags.report, &report, &err) != KRS_OK)
        return complain(&err);
    while (*list && worst != EXIT_FAILED) {
        char name[64];
        size_t length = strcspn(list, ",");
        snprintf(name, sizeof name, "%.*s", (int)length, list);
        list += length + (list[length] == ',');
        int code = check_device(line, s, name, &report);
        if (code != EXIT_OK && (worst == EXIT_OK || code != EXIT_ABSENT))
            worst = code;
    }
    if (report_end(&report, line->flags.report, &err) != KRS_OK)
        return complain(&err);
    return worst;
}

/* Is every part of a list "a,b" a name? */
static bool
is_list(const char *list)
{
    size_t length = strlen(list);
    return length > 0 && list[0] != ',' && list[length - 1] != ',' &&
           !strstr(list, ",,");
}

static int
check_slopes(const struct command_line *line, const struct subject *s)
{
    krs_device *device;
    struct tally tally = {0, 0};
    krs_error err;
    int code = open_device(line, &device);
    if (code != EXIT_OK)
        return code;
    krs_status status = check_gradients(line, s, device, &tally, &err);
    if (status == KRS_OK || status == KRS_E_CHECK)
        printf("%zu passed, %zu failed\n", tally.passed, tally.failed);
    if (status != KRS_OK)
        code = complain(&err);
    krs_device_close(device);
    return code;
}

int
command_check(const struct command_line *line)
{
    const struct flags *f = &line->flags;
    struct subject s = {.repro = NULL};
    krs_error err;
    if (f->backends && f->given[FLAG_ID_backend])
        return complain_usage("--backend and --backends: one of them");
    if (f->backends && !is_list(f->backends))
        return complain_usage("--backends wants names as in cpu,vulkan, not "
                              "\"%s\"",
                              f->backends);
    if (f->emit_repro && mkdir(f->emit_repro, 0777) != 0 && errno != EEXIST)
        return complain_usage("--emit-repro %s: %s", f->emit_repro,
                              strerror(errno));
    krs_status status = load_subject(line, &s, &err);
    int code =
        status != KRS_OK ? complain(&err)
        : f->grad && !f->backends
            ? check_slopes(line, &s)
            : check_devices(line, &s, f->backends ? f->backends : f->backend);
    free_subject(&s);
    return code;
}
