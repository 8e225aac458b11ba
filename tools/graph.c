/* graph.c -- kersey graph: a graph at a stage of its life, as text, dot, SVG
 * or JSON.
 *
 * In: a file in the text form of krs_graph_print ("-" for stdin), or a model
 * folder or preset, which gives the forward pass over ids [--batch, --seq]
 * with the logits as output, for gradients the loss. Stages:
 *
 *   graph   as it was read
 *   grad    with the gradients of the sum of the first output for every float
 *           input and state, which become the further outputs
 *   expand  a graph of primitives, as a program runs it without its optimiser
 *   opt, fusion, sched, kernel, launch, memory, llvm, asm
 *           what a program of it becomes on --backend (krs_program_print), as
 *           text; with --grad, of the graph with its gradients
 *
 * Dot is for graphviz; svg is what it draws of it.
 */
#include "command.h"

#include "graph_svg.h"
#include "load_graph.h"

#include <stdlib.h>
#include <string.h>

typedef krs_status print_graph(const krs_graph *g, const krs_node *outputs,
                               size_t count, const krs_print_options *options,
                               char **out_text, krs_error *err);

static const struct {
    const char *name;
    print_graph *print;
    bool draws; /* the text is drawn */
} formats[] = {
    {"text", krs_graph_print,      false},
    {"dot",  krs_graph_print_dot,  false},
    {"svg",  krs_graph_print_dot,  true },
    {"json", krs_graph_print_json, false},
};

static bool
wants_gradients(const struct flags *flags)
{
    return flags->grad || !strcmp(flags->stage, "grad");
}

/* Float inputs and states, in the order of the graph, after the outputs;
 * false if there are more than fit. */
static bool
find_leaves(const struct loaded_graph *l, krs_node *leaves, size_t *out_count)
{
    size_t count = 0;
    for (uint32_t id = 1; id <= krs_graph_size(l->graph); id++) {
        krs_node x = krs_graph_node(l->graph, id);
        const char *op = krs_node_op(x);
        if ((strcmp(op, "input") != 0 && strcmp(op, "state") != 0) ||
            !krs_dtype_is_float(krs_node_dtype(x)))
            continue;
        if (l->count + count == MOST_GRAPH_OUTPUTS)
            return false;
        leaves[count++] = x;
    }
    *out_count = count;
    return true;
}

static krs_status
differentiate(struct loaded_graph *l, krs_error *err)
{
    if (l->count == 0)
        return krs_fail(err, KRS_E_ARGUMENT, "the graph has no output");
    krs_node *leaves = malloc(MOST_GRAPH_OUTPUTS * sizeof *leaves);
    if (!leaves)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %d nodes",
                        MOST_GRAPH_OUTPUTS);
    size_t count;
    krs_status status = KRS_OK;
    if (find_leaves(l, leaves, &count)) {
        krs_grad(l->outputs[0], leaves, count, l->outputs + l->count);
        l->count += count;
        status = krs_graph_check(l->graph, err);
    } else {
        status =
            krs_fail(err, KRS_E_RANGE, "outputs and gradients are more than %d",
                     MOST_GRAPH_OUTPUTS);
    }
    free(leaves);
    return status;
}

static int
print_loaded(struct loaded_graph *l, print_graph *print, bool draws,
             krs_error *err)
{
    krs_print_options options = {.struct_size = sizeof options,
                                 .constant_limit =
                                     print == krs_graph_print ? -1 : 8};
    char *text;
    if (print(l->graph, l->outputs, l->count, &options, &text, err) != KRS_OK)
        return complain(err);
    krs_status status = draws ? print_svg(text, err) : KRS_OK;
    if (!draws)
        fputs(text, stdout);
    free(text);
    return status == KRS_OK ? EXIT_OK : complain(err);
}

/* What a program becomes on the device. */
static krs_status
print_program(const struct loaded_graph *l, krs_device *device,
              const char *stage, krs_error *err)
{
    krs_store *store;
    krs_program *program = NULL;
    char *text;
    KRS_TRY(krs_store_new(device, &store, err));
    krs_status status =
        krs_program_new(store, l->outputs, l->count, &program, err);
    if (status == KRS_OK)
        status = krs_program_print(program, stage, &text, err);
    if (status == KRS_OK) {
        fputs(text, stdout);
        free(text);
    }
    krs_program_free(program);
    krs_store_free(store);
    return status;
}

static krs_status
read_graph(const struct command_line *line, struct loaded_graph *out,
           krs_error *err)
{
    const struct flags *f = &line->flags;
    struct graph_sizes sizes = {f->batch, f->seq, wants_gradients(f)};
    KRS_TRY(load_graph(line->operands[0], &sizes, out, err));
    return wants_gradients(f) ? differentiate(out, err) : KRS_OK;
}

/* Before those of a program: these are printed without a device. */
static const char *const stages[] = {"graph",  "grad",  "expand", "opt",
                                     "fusion", "sched", "kernel", "launch",
                                     "memory", "llvm",  "asm"};
enum { OF_A_GRAPH = 2, STAGES = sizeof stages / sizeof *stages };

static const char *
stage_name(int i, const void *context)
{
    (void)context;
    return stages[i];
}

static bool
is_of_a_graph(const char *stage)
{
    return !strcmp(stage, stages[0]) || !strcmp(stage, stages[1]);
}

/* One of the list mistyped. Others are the device's to know: backends have
 * stages of their own. */
static bool
is_mistyped(const char *stage)
{
    for (int i = 0; i < STAGES; i++)
        if (!strcmp(stage, stages[i]))
            return false;
    return nearest(stage, STAGES, stage_name, NULL) >= 0;
}

int
command_graph(const struct command_line *line)
{
    const char *stage = line->flags.stage, *format = line->flags.format;
    bool in_program = !is_of_a_graph(stage);
    print_graph *print = NULL;
    bool draws = false;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (!strcmp(formats[i].name, format)) {
            print = formats[i].print;
            draws = formats[i].draws;
        }
    }
    if (!print)
        return complain_usage("--format %s: expected text, dot, svg or json",
                              format);
    if (is_mistyped(stage))
        return complain_usage(
            "--stage %s: expected graph or grad, or of a "
            "program expand, opt, fusion, sched, kernel, launch, "
            "memory, llvm or asm; did you mean %s?",
            stage, stages[nearest(stage, STAGES, stage_name, NULL)]);
    if (in_program && print != krs_graph_print)
        return complain_usage("--stage %s is printed as --format text only",
                              stage);
    krs_device *device = NULL;
    int code = in_program ? open_device(line, &device) : EXIT_OK;
    if (code != EXIT_OK)
        return code;
    struct loaded_graph l = {.graph = NULL};
    krs_error err;
    krs_status status = read_graph(line, &l, &err);
    if (status == KRS_OK && in_program)
        status = print_program(&l, device, stage, &err);
    if (status != KRS_OK)
        code = complain(&err);
    else if (!in_program)
        code = print_loaded(&l, print, draws, &err);
    free_graph(&l);
    krs_device_close(device);
    return code;
}
