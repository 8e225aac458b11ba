/* load_graph.c -- a graph out of what the user named, see load_graph.h.
 *
 * In: a path, "-", or the name of a preset. Out: a graph with its outputs. A
 * text is at most 256 MB, so that a mistyped device file ends.
 */
#include "load_graph.h"

#include "presets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_BYTES ((size_t)256 << 20)

/* All of a stream as a string of the caller. */
static krs_status
read_all(FILE *in, const char *path, char **out, krs_error *err)
{
    char *text = NULL;
    size_t used = 0, room = 0;
    for (;;) {
        if (used + 1 >= room && room == MOST_BYTES) {
            free(text);
            return krs_fail(err, KRS_E_RANGE, "%s: more than %zu bytes of text",
                            path, MOST_BYTES);
        }
        if (used + 1 >= room) {
            room = room ? 2 * room : 65536;
            char *grown = realloc(text, room);
            if (!grown) {
                free(text);
                return krs_fail(err, KRS_E_MEMORY,
                                "%s: no memory for %zu bytes", path, room);
            }
            text = grown;
        }
        size_t n = fread(text + used, 1, room - used - 1, in);
        if (n == 0)
            break;
        used += n;
    }
    if (ferror(in)) {
        free(text);
        return krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno));
    }
    text[used] = 0;
    if (strlen(text) != used) {
        free(text);
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: not text: there is a NUL character", path);
    }
    *out = text;
    return KRS_OK;
}

krs_status
read_graph_text(const char *path, char **out, krs_error *err)
{
    if (!strcmp(path, "-"))
        return read_all(stdin, "stdin", out, err);
    FILE *in = fopen(path, "rb");
    if (!in)
        return krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno));
    krs_status status = read_all(in, path, out, err);
    fclose(in);
    return status;
}

static krs_status
load_text(const char *path, struct loaded_graph *out, krs_error *err)
{
    char *text;
    krs_error why;
    KRS_TRY(read_graph_text(path, &text, err));
    krs_status status = krs_graph_parse(text, &out->graph, out->outputs,
                                        MOST_GRAPH_OUTPUTS, &out->count, &why);
    free(text);
    if (status != KRS_OK)
        return krs_fail(err, status, "%s: %s", path, why.text);
    if (krs_graph_size(out->graph) == 0)
        return krs_fail(err, KRS_E_FORMAT, "%s: there is no graph in it", path);
    if (out->count > MOST_GRAPH_OUTPUTS)
        return krs_fail(err, KRS_E_RANGE, "%s: %zu outputs, at most %d", path,
                        out->count, MOST_GRAPH_OUTPUTS);
    return KRS_OK;
}

/* That of a model that is no decoder alone. Without the loss all that is no
 * hidden state: logits, pooled states. */
static krs_status
load_outputs(const krs_model_config *config, const struct graph_sizes *sizes,
             struct loaded_graph *out, krs_error *err)
{
    const krs_model_sizes s = {sizes->batch, sizes->seq, sizes->seq};
    krs_model_output *results;
    size_t count;
    KRS_TRY(krs_model_outputs(out->graph, config, &s, &results, &count, err));
    for (size_t i = 0; i < count; i++) {
        bool is_loss = strcmp(results[i].name, "loss") == 0;
        if (is_loss == sizes->wants_loss &&
            strstr(results[i].name, "hidden.") == NULL)
            out->outputs[out->count++] = results[i].node;
    }
    free(results);
    if (out->count > 0)
        return KRS_OK;
    return krs_fail(err, KRS_E_UNSUPPORTED, "a model of class %s has no loss",
                    krs_architecture_class(config->architecture));
}

/* The forward pass of a model; there are no weights. */
static krs_status
load_model(const krs_model_config *config, const struct graph_sizes *sizes,
           struct loaded_graph *out, krs_error *err)
{
    out->graph = krs_graph_new();
    if (!out->graph)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    krs_causal_model model;
    krs_error none;
    out->is_model = true;
    if (krs_model_causal(config, &model, &none) != KRS_OK)
        return load_outputs(config, sizes, out, err);
    krs_node ids = krs_input(out->graph, "ids", KRS_I64,
                             KRS_SHAPE(sizes->batch, sizes->seq));
    krs_causal_call call = {.struct_size = sizeof call, .ids = ids};
    krs_causal_result result = {.struct_size = sizeof result};
    if (sizes->wants_loss)
        call.labels = ids;
    krs_causal_forward(out->graph, &model, &call, &result);
    out->outputs[0] = sizes->wants_loss ? result.loss : result.logits;
    out->count = 1;
    return krs_graph_check(out->graph, err);
}

static krs_status
load(const char *path, const struct graph_sizes *sizes,
     struct loaded_graph *out, krs_error *err)
{
    struct stat is;
    krs_model_config config;
    bool is_there = !strcmp(path, "-") || stat(path, &is) == 0;
    bool is_absent = !is_there && errno == ENOENT;
    if (!is_there && find_preset(path, sizes->seq, &config))
        return load_model(&config, sizes, out, err);
    if (is_absent)
        return krs_fail(err, KRS_E_IO, "%s: No such file, folder or preset",
                        path);
    if (!is_there || !strcmp(path, "-") || !S_ISDIR(is.st_mode))
        return load_text(path, out, err);
    KRS_TRY(read_folder_config(path, &config, err));
    out->is_folder = true;
    return load_model(&config, sizes, out, err);
}

krs_status
load_graph(const char *path, const struct graph_sizes *sizes,
           struct loaded_graph *out, krs_error *err)
{
    *out = (struct loaded_graph){
        .outputs = malloc(MOST_GRAPH_OUTPUTS * sizeof *out->outputs)};
    if (!out->outputs)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %d nodes",
                        MOST_GRAPH_OUTPUTS);
    return load(path, sizes, out, err);
}

void
free_graph(struct loaded_graph *g)
{
    krs_graph_free(g->graph);
    free(g->outputs);
}
