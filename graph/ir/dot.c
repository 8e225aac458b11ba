/* dot.c -- a graph as a drawing for graphviz, and as JSON for other programs.
 *
 * Both show the part that the outputs need, with the numbers and the
 * spellings of the text form (print.c); neither is read back. In the drawing
 * inputs are boxes, states are cylinders, outputs have a double border,
 * constants are small and nodes of one scope stand in one frame.
 *
 * JSON: {"vars":[{name,low,high}], "nodes":[{id, op, dtype, shape, live,
 * operands, attributes, scope, file, line}], "outputs":[id]}. Runtime
 * integers are strings ("pos+1"), so are nan and the infinities. The body of a
 * scan is such an object without vars.
 */
#include "ir.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DOT_ELEMENTS = 8 }; /* of a constant, in a label */

/* Everything that the two printers set up and give back alike. */
typedef struct drawing {
    const krs_graph *graph;
    krsi_part part;
    krsi_string text;
    int64_t constant_limit;
    bool places;
} drawing;

static krs_status
begin(drawing *d, const char *what, const krs_graph *g, const krs_node *outputs,
      size_t count, const krs_print_options *options, char **out_text,
      krs_error *err)
{
    *d = (drawing){.graph = g, .constant_limit = -1};
    if (!out_text)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: out_text is NULL; pass the address of a char *",
                        what);
    *out_text = NULL;
    if (options && options->struct_size < sizeof *options)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: struct_size %zu is too small; set it to sizeof "
                        "(krs_print_options)",
                        what, options->struct_size);
    if (options) {
        d->constant_limit = options->constant_limit;
        d->places = options->places;
    }
    return krsi_part_select(g, what, outputs, count, &d->part, err);
}

static krs_status
finish(drawing *d, const char *what, char **out_text, krs_error *err)
{
    krsi_part_free(&d->part);
    if (d->text.failed) {
        krsi_string_free(&d->text);
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory", what);
    }
    *out_text = d->text.text;
    return KRS_OK;
}

/* ---- graphviz ---- */

/* text inside "..." of dot: quotes and backslashes escaped */
static void
add_label(krsi_string *s, const krsi_string *label)
{
    for (size_t i = 0; i < label->length && !s->failed; i++) {
        char c = label->text[i];
        if (c == '"' || c == '\\')
            krsi_string_add_bytes(s, "\\", 1);
        krsi_string_add_bytes(s, c == '\n' ? "\\n" : &c, c == '\n' ? 2 : 1);
    }
    s->failed |= label->failed;
}

static void
dot_node(drawing *d, size_t id, bool output)
{
    const krs_graph *g = d->graph;
    const krsi_node *n = g->node[id];
    krsi_string label = {0};
    krsi_attr attr;
    bool leaf = n->op == KRSI_INPUT || n->op == KRSI_STATE;
    int64_t limit = d->constant_limit < 0 || d->constant_limit > DOT_ELEMENTS
                        ? DOT_ELEMENTS
                        : d->constant_limit;

    krsi_string_add(&label,
                    leaf ? g->string[krsi_int(n, 0)] : krsi_ops[n->op].name);
    krsi_string_add(&label, "\n");
    krsi_print_type(&label, g, n);
    const char *spec = krsi_ops[n->op].attributes;
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)) != NULL; k++) {
        if (krsi_attr_implied(n, &attr, k) || (leaf && k == 0))
            continue;
        krsi_string_format(&label, "\n%s=", attr.name);
        krsi_print_attr(&label, g, n, &attr, k, limit);
    }
    if (d->places && n->file)
        krsi_string_format(&label, "\n%s:%u", g->string[n->file], n->line);
    krsi_string_format(&d->text, "  n%u [label=\"", d->part.number[id]);
    add_label(&d->text, &label);
    krsi_string_free(&label);
    krsi_string_format(&d->text, "\",shape=%s%s];\n",
                       n->op == KRSI_INPUT      ? "box"
                       : n->op == KRSI_STATE    ? "cylinder"
                       : n->op == KRSI_CONSTANT ? "note"
                                                : "ellipse",
                       output ? ",peripheries=2" : "");
}

/* The nodes in runs of one scope, each run in a frame. */
static void
dot_nodes(drawing *d, const bool *output)
{
    const krs_graph *g = d->graph;
    uint32_t scope = 0, frames = 0;
    for (size_t id = 1; id <= g->nodes && !d->text.failed; id++) {
        if (!d->part.number[id])
            continue;
        if (g->node[id]->scope != scope) {
            krsi_string_add(&d->text, scope ? "  }\n" : "");
            scope = g->node[id]->scope;
            if (scope) {
                krsi_string title = {0};
                krsi_string_add(&title, g->string[scope]);
                krsi_string_format(
                    &d->text, "  subgraph cluster_%u {\n  label=\"", frames++);
                add_label(&d->text, &title);
                krsi_string_add(&d->text, "\";\n");
                krsi_string_free(&title);
            }
        }
        dot_node(d, id, output[id]);
    }
    krsi_string_add(&d->text, scope ? "  }\n" : "");
}

krs_status
krs_graph_print_dot(const krs_graph *g, const krs_node *outputs, size_t count,
                    const krs_print_options *options, char **out_text,
                    krs_error *err)
{
    static const char what[] = "graph drawing";
    drawing d;
    KRS_TRY(begin(&d, what, g, outputs, count, options, out_text, err));
    bool *output = calloc(g->nodes + 1, sizeof *output);
    d.text.failed = !output;
    for (size_t i = 0; output && i < count; i++)
        output[outputs[i].id] = true;
    krsi_string_add(&d.text, "digraph graph_of_tensors {\n"
                             "  node [fontname=\"Helvetica\",fontsize=10];\n");
    if (output)
        dot_nodes(&d, output);
    for (size_t id = 1; id <= g->nodes && !d.text.failed; id++)
        for (uint32_t i = 0; d.part.number[id] && i < g->node[id]->count; i++)
            krsi_string_format(&d.text, "  n%u -> n%u;\n",
                               d.part.number[g->node[id]->in[i]],
                               d.part.number[id]);
    krsi_string_add(&d.text, "}\n");
    free(output);
    return finish(&d, what, out_text, err);
}

/* ---- JSON ---- */

static void
json_string(krsi_string *s, const char *text)
{
    krsi_string_add(s, "\"");
    for (; *text && !s->failed; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            krsi_string_add_bytes(s, "\\", 1);
        if (c < 0x20)
            krsi_string_format(s, "\\u%04x", c);
        else
            krsi_string_add_bytes(s, text, 1);
    }
    krsi_string_add(s, "\"");
}

static void
json_index(krsi_string *s, const krs_graph *g, krs_index index)
{
    krsi_string text = {0};
    krsi_print_index(&text, g, index);
    json_string(s, text.failed ? "" : text.text);
    s->failed |= text.failed;
    krsi_string_free(&text);
}

static void
json_double(krsi_string *s, double value)
{
    char text[KRSI_NUMBER_TEXT];
    krsi_string_format(s, isfinite(value) ? "%s" : "\"%s\"",
                       krsi_print_double(text, value));
}

/* elements, or the bytes of blocks in hex; null if there are too many */
static void
json_data(drawing *d, const krsi_node *n, int k)
{
    krsi_string *s = &d->text;
    const krsi_blob *blob = &d->graph->blob[krsi_int(n, k)];
    krs_dtype dtype = (krs_dtype)n->dtype;
    int64_t limit = d->constant_limit;
    if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK) {
        bool shown = limit < 0 || blob->bytes <= (uint64_t)limit;
        krsi_string_add(s, shown ? "\"" : "null");
        for (size_t i = 0; shown && i < blob->bytes && !s->failed; i++)
            krsi_string_format(s, "%02x",
                               ((const unsigned char *)blob->data)[i]);
        krsi_string_add(s, shown ? "\"" : "");
        return;
    }
    int64_t elements = krsi_elements(n);
    if (limit >= 0 && elements > limit) {
        krsi_string_add(s, "null");
        return;
    }
    krsi_string_add(s, "[");
    for (int64_t i = 0; i < elements && !s->failed; i++) {
        bool finite = !krs_dtype_is_float(dtype) ||
                      isfinite(krsi_load_double(dtype, blob->data, (size_t)i));
        krsi_string_add(s, i ? "," : "");
        krsi_string_add(s, finite ? "" : "\"");
        krsi_print_element(s, dtype, blob->data, (size_t)i);
        krsi_string_add(s, finite ? "" : "\"");
    }
    krsi_string_add(s, "]");
}

static void json_nodes(drawing *d);

/* {"nodes":[..],"outputs":[..]}, written at the end of d's text */
static void
json_body(drawing *d, const krsi_body *body)
{
    drawing inner = {.graph = body->graph,
                     .text = d->text,
                     .constant_limit = d->constant_limit};
    krs_node *outputs = calloc(body->results, sizeof *outputs);
    for (uint32_t i = 0; outputs && i < body->results; i++)
        outputs[i] = krsi_handle(body->graph, body->result[i]);
    if (!outputs ||
        krsi_part_select(body->graph, "graph as JSON", outputs, body->results,
                         &inner.part, NULL) != KRS_OK) {
        free(outputs);
        d->text.failed = true;
        return;
    }
    krsi_string_add(&inner.text, "{\"nodes\":[");
    json_nodes(&inner);
    krsi_string_add(&inner.text, "],\"outputs\":[");
    for (uint32_t i = 0; i < body->results; i++)
        krsi_string_format(&inner.text, i ? ",%u" : "%u",
                           inner.part.number[outputs[i].id]);
    krsi_string_add(&inner.text, "]}");
    krsi_part_free(&inner.part);
    free(outputs);
    d->text = inner.text;
}

static void
json_attr(drawing *d, const krsi_node *n, const krsi_attr *attr, int k)
{
    krsi_string *s = &d->text;
    krs_index index;
    krsi_string_add(s, k ? "," : "");
    json_string(s, attr->name);
    krsi_string_add(s, ":");
    switch (attr->kind) {
    case 'f': json_double(s, krsi_float(n, k)); break;
    case 's': json_string(s, d->graph->string[krsi_int(n, k)]); break;
    case 'D': json_data(d, n, k); break;
    case 'G': json_body(d, d->graph->body[krsi_int(n, k)]); break;
    case 'X':
        krsi_string_add(s, "[");
        for (int i = 0, count = krsi_attr_index((enum krsi_op)n->op, n->word, k,
                                                0, &index);
             i < count; i++) {
            krsi_string_add(s, i ? "," : "");
            json_index(s, d->graph, krsi_index(n, k, i));
        }
        krsi_string_add(s, "]");
        break;
    case 'd':
    case 'e':
        krsi_string_add(s, "\"");
        krsi_print_attr(s, d->graph, n, attr, k, 0);
        krsi_string_add(s, "\"");
        break;
    default: krsi_print_attr(s, d->graph, n, attr, k, 0); break; /* i b I */
    }
}

static void
json_node(drawing *d, size_t id)
{
    const krs_graph *g = d->graph;
    const krsi_node *n = g->node[id];
    krsi_string *s = &d->text;
    krsi_attr attr;
    krsi_string_format(s,
                       "{\"id\":%u,\"op\":\"%s\",\"dtype\":\"%s\","
                       "\"shape\":[",
                       d->part.number[id], krsi_ops[n->op].name,
                       krs_dtype_name((krs_dtype)n->dtype));
    for (int axis = 0; axis < n->rank; axis++)
        krsi_string_format(s, axis ? ",%lld" : "%lld", (long long)n->dim[axis]);
    krsi_string_add(s, "],\"live\":[");
    for (int axis = 0; n->live_axes && axis < n->rank; axis++) {
        krsi_string_add(s, axis ? "," : "");
        if (n->live_axes >> axis & 1)
            json_index(s, g, n->live[axis]);
        else
            krsi_string_add(s, "null");
    }
    krsi_string_add(s, "],\"operands\":[");
    for (uint32_t i = 0; i < n->count; i++)
        krsi_string_format(s, i ? ",%u" : "%u", d->part.number[n->in[i]]);
    krsi_string_add(s, "],\"attributes\":{");
    const char *spec = krsi_ops[n->op].attributes;
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)) != NULL; k++)
        json_attr(d, n, &attr, k);
    krsi_string_add(s, "},\"scope\":");
    json_string(s, g->string[n->scope]);
    krsi_string_add(s, ",\"file\":");
    json_string(s, g->string[n->file]);
    krsi_string_format(s, ",\"line\":%u}", n->line);
}

static void
json_nodes(drawing *d)
{
    const char *between = "\n";
    for (size_t id = 1; id <= d->graph->nodes && !d->text.failed; id++)
        if (d->part.number[id]) {
            krsi_string_add(&d->text, between);
            json_node(d, id);
            between = ",\n";
        }
}

krs_status
krs_graph_print_json(const krs_graph *g, const krs_node *outputs, size_t count,
                     const krs_print_options *options, char **out_text,
                     krs_error *err)
{
    static const char what[] = "graph as JSON";
    drawing d;
    KRS_TRY(begin(&d, what, g, outputs, count, options, out_text, err));
    const char *between = "";
    krsi_string_add(&d.text, "{\"vars\":[");
    for (size_t i = 0; i < g->vars; i++)
        if (d.part.var[i]) {
            krsi_string_add(&d.text, between);
            krsi_string_add(&d.text, "{\"name\":");
            json_string(&d.text, g->string[g->var[i].name]);
            krsi_string_format(&d.text, ",\"low\":%lld,\"high\":%lld}",
                               (long long)g->var[i].low,
                               (long long)g->var[i].high);
            between = ",";
        }
    krsi_string_add(&d.text, "],\n\"nodes\":[");
    json_nodes(&d);
    krsi_string_add(&d.text, "],\n\"outputs\":[");
    for (size_t i = 0; i < count; i++)
        krsi_string_format(&d.text, i ? ",%u" : "%u",
                           d.part.number[outputs[i].id]);
    krsi_string_add(&d.text, "]}\n");
    return finish(&d, what, out_text, err);
}
