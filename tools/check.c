/* check.c -- kersey check: a graph or model against what it must be.
 *
 * In: a model or a graph in the text form; data for its leaves are the weights
 * of a folder, else drawn from --seed. Out with --grad, on stdout: a line for
 * every parameter with the element whose gradient is farthest from the slope
 * of the loss (krs_gradcheck), and the count. EXIT_SHORT if one falls short.
 *
 * The loss is the first output; one that is no scalar is summed with drawn
 * weights, since sums alone are often constant (softmax).
 */
#include "command.h"

#include "load_graph.h"

#include <stdlib.h>
#include <string.h>

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
    if (r->checked > 0) {
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
    KRS_TRY(krs_nn_parameters(l->graph, out, out_count, err));
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

static krs_status
check_gradients(const struct command_line *line, const struct loaded_graph *l,
                krs_device *device, const krs_store *weights,
                struct tally *tally, krs_error *err)
{
    krs_node *parameters = NULL;
    size_t count = 0;
    krs_check_data data = {.struct_size = sizeof data,
                           .store = weights,
                           .seed = (uint64_t)line->flags.seed};
    krs_gradcheck_options options = {
        .struct_size = sizeof options,
        .data = &data,
        .elements = line->flags.elements ? line->flags.elements : -1,
        .sink = take_gradient,
        .user = tally};
    krs_status status = find_parameters(l, &parameters, &count, err);
    if (status == KRS_OK)
        status = krs_gradcheck(device, scalar_loss(l), parameters, count,
                               &options, err);
    free(parameters);
    return status;
}

/* The weights of a model folder, on a device of their own. */
static krs_status
open_weights(const char *folder, krs_device **device, krs_store **store,
             krs_error *err)
{
    krs_llama_config config;
    KRS_TRY(krs_device_open("eval", device, err));
    KRS_TRY(krs_store_new(*device, store, err));
    return krs_llama_open(folder, *store, &config, err);
}

int
command_check(const struct command_line *line)
{
    const struct flags *f = &line->flags;
    if (!f->grad)
        return complain_usage("say what to check: --grad");
    krs_device *device, *host = NULL;
    krs_store *weights = NULL;
    struct loaded_graph l;
    struct tally tally = {0, 0};
    struct graph_sizes sizes = {f->given[FLAG_ID_batch] ? f->batch : 2,
                                f->given[FLAG_ID_seq] ? f->seq : 8, true};
    krs_error err;
    int code = open_device(line, &device);
    if (code != EXIT_OK)
        return code;
    krs_status status = load_graph(line->operands[0], &sizes, &l, &err);
    if (status == KRS_OK && l.count == 0)
        status = krs_fail(&err, KRS_E_ARGUMENT, "the graph has no output");
    if (status == KRS_OK && l.is_folder)
        status = open_weights(line->operands[0], &host, &weights, &err);
    if (status == KRS_OK)
        status = check_gradients(line, &l, device, weights, &tally, &err);
    if (status == KRS_OK || status == KRS_E_CHECK)
        printf("%zu passed, %zu failed\n", tally.passed, tally.failed);
    if (status != KRS_OK)
        code = complain(&err);
    free_graph(&l);
    krs_store_free(weights);
    krs_device_close(host);
    krs_device_close(device);
    return code;
}
