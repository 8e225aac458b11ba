/* load_graph.h -- a graph out of a file in the text form, or of a model. */
#ifndef KERSEY_LOAD_GRAPH_H
#define KERSEY_LOAD_GRAPH_H

#include <krs/model.h>

enum { MOST_GRAPH_OUTPUTS = 4096 };

struct loaded_graph {
    krs_graph *graph;
    krs_node *outputs; /* room for MOST_GRAPH_OUTPUTS, owned */
    size_t count;
    bool is_model, is_folder; /* not a text; with weights in its folder */
};

/* Of the input of a model. */
struct graph_sizes {
    int64_t batch, seq;
    bool wants_loss; /* the output is the loss, not the logits */
};

/* load_graph(path, sizes, graph, err) -- of a file in the text form of
 * krs_graph_print ("-": stdin), or the forward pass over ids of a model folder
 * or preset, without weights. free_graph after it, whatever it gave. Errors:
 * IO, FORMAT, those of the parser and of the model; RANGE for too many outputs
 * or too much text. */
krs_status load_graph(const char *path, const struct graph_sizes *sizes,
                      struct loaded_graph *out, krs_error *err);
void free_graph(struct loaded_graph *graph);
/* read_graph_text(path, &text, err) -- the file alone, to be freed */
krs_status read_graph_text(const char *path, char **out, krs_error *err);

#endif
