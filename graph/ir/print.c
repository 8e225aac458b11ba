/* print.c -- a graph as text, one node a line.
 *
 *     var pos 0 511
 *     %1 = input f32[2,3] name="x"
 *     %2 = live f32[pos+1<=2,3] %1 axis=0 length=[pos+1]
 *     %3 = sum f32[1,3] %2 axes=[0] keep=true
 *     return %3
 *
 * A line is: number, operation, result type, operands, attributes in the
 * order of ops.def. It is written from the attribute specs alone, so a new
 * row prints (and parse.c reads it) with no line here. Three rules keep it
 * short: an attribute `dtype` or `shape` that says what the result type says
 * is left out, so is an empty list, and numbers are dense whatever part of
 * the graph is printed. Every number reads back to the same bits, except
 * that all NaNs are `nan`.
 *
 * The body of a scan stands in braces, in the same form: `body={` statements
 * `return ...` `}`; its numbers are its own, its variables those of the graph.
 *
 * Time is linear in the length of the text, for each level of scans in scans;
 * nothing else recurses.
 */
#include "ir.h"

#include <stdlib.h>
#include <string.h>

krs_status
krsi_part_select(const krs_graph *g, const char *what, const krs_node *outputs,
                 size_t count, krsi_part *out, krs_error *err)
{
    *out = (krsi_part){0};
    if (!g || (count && !outputs))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: %s is NULL; pass the graph and its outputs", what,
                        g ? "outputs" : "the graph");
    for (size_t i = 0; i < count; i++) {
        if (outputs[i].graph == g && outputs[i].id && outputs[i].id <= g->nodes)
            continue;
        if (outputs[i].graph == g && g->error.status != KRS_OK)
            return krs_fail(err, g->error.status, "%s", g->error.text);
        return krs_fail(err, KRS_E_GRAPH,
                        "%s: output %zu is not a node of this graph; "
                        "check krs_graph_error after building",
                        what, i);
    }
    out->number = calloc(g->nodes + 1, sizeof *out->number);
    out->var = calloc(g->vars + 1, sizeof *out->var);
    if (!out->number || !out->var) {
        krsi_part_free(out);
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory for %zu nodes",
                        what, g->nodes);
    }
    for (size_t i = 0; i < count; i++)
        out->number[outputs[i].id] = 1;
    for (size_t id = g->nodes; count && id > 0; id--)
        for (uint32_t i = 0; out->number[id] && i < g->node[id]->count; i++)
            out->number[g->node[id]->in[i]] = 1;
    for (size_t id = 1; id <= g->nodes; id++)
        if (!count || out->number[id]) {
            out->number[id] = ++out->count;
            krsi_mark_vars(g, g->node[id], out->var);
        }
    for (size_t i = 0; !count && i < g->vars; i++)
        out->var[i] = true;
    return KRS_OK;
}

void
krsi_part_free(krsi_part *part)
{
    free(part->number);
    free(part->var);
    *part = (krsi_part){0};
}

/* "..." with \" \\ \n \t and \xHH for other control characters. */
void
krsi_print_quoted(krsi_string *s, const char *text)
{
    krsi_string_add(s, "\"");
    while (*text) {
        size_t plain = 0;
        while ((unsigned char)text[plain] >= 0x20 && text[plain] != 0x7F &&
               text[plain] != '"' && text[plain] != '\\')
            plain++;
        krsi_string_add_bytes(s, text, plain);
        text += plain;
        if (!*text)
            break;
        switch (*text) {
        case '"': krsi_string_add(s, "\\\""); break;
        case '\\': krsi_string_add(s, "\\\\"); break;
        case '\n': krsi_string_add(s, "\\n"); break;
        case '\t': krsi_string_add(s, "\\t"); break;
        default: krsi_string_format(s, "\\x%02x", (unsigned char)*text);
        }
        text++;
    }
    krsi_string_add(s, "\"");
}

static void
print_var_name(krsi_string *s, const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t first = strspn(name, letters);
    size_t plain = first ? first + strspn(name + first, KRSI_WORD_BYTES) : 0;
    if (plain && !name[plain])
        krsi_string_add(s, name);
    else
        krsi_print_quoted(s, name);
}

void
krsi_print_index(krsi_string *s, const krs_graph *g, krs_index index)
{
    for (int t = 0; t < index.terms; t++) {
        int64_t c = index.coefficient[t];
        if (c == -1)
            krsi_string_add(s, "-");
        else if (c == 1)
            krsi_string_add(s, t ? "+" : "");
        else
            krsi_string_format(s, t ? "%+lld*" : "%lld*", (long long)c);
        print_var_name(s, g->string[g->var[index.var[t]].name]);
    }
    if (!index.terms || index.base)
        krsi_string_format(s, index.terms ? "%+lld" : "%lld",
                           (long long)index.base);
}

void
krsi_print_type(krsi_string *s, const krs_graph *g, const krsi_node *n)
{
    krsi_string_add(s, krs_dtype_name((krs_dtype)n->dtype));
    for (int axis = 0; axis < n->rank; axis++) {
        krsi_string_add(s, axis ? "," : "[");
        if (n->live_axes >> axis & 1) {
            krsi_print_index(s, g, n->live[axis]);
            krsi_string_add(s, "<=");
        }
        krsi_string_format(s, "%lld", (long long)n->dim[axis]);
    }
    krsi_string_add(s, n->rank ? "]" : "[]");
}

bool
krsi_attr_implied(const krsi_node *n, const krsi_attr *attr, int k)
{
    if (attr->kind == 'd' && strcmp(attr->name, "dtype") == 0)
        return krsi_int(n, k) == n->dtype;
    if (attr->kind == 'X') {
        krs_index first;
        return krsi_attr_index((enum krsi_op)n->op, n->word, k, 0, &first) == 0;
    }
    if (attr->kind != 'I')
        return false;
    const int64_t *value;
    int count = krsi_ints(n, k, &value);
    if (strcmp(attr->name, "shape") != 0)
        return count == 0;
    return count == n->rank &&
           (count == 0 ||
            memcmp(value, n->dim, (size_t)count * sizeof *value) == 0);
}

void
krsi_print_element(krsi_string *s, krs_dtype dtype, const void *data, size_t i)
{
    char text[KRSI_NUMBER_TEXT];
    switch (krs_dtype_class_of(dtype)) {
    case KRS_CLASS_FLOAT:
    case KRS_CLASS_HALF:
        krsi_string_add(
            s, krsi_print_float(text, (float)krsi_load_double(dtype, data, i)));
        break;
    case KRS_CLASS_INT:
    case KRS_CLASS_UINT:
        krsi_string_format(s, "%lld", (long long)krsi_load_int(dtype, data, i));
        break;
    case KRS_CLASS_BOOL:
        krsi_string_add(s, krsi_load_int(dtype, data, i) ? "true" : "false");
        break;
    case KRS_CLASS_BLOCK: break;
    }
}

int64_t
krsi_elements(const krsi_node *n)
{
    int64_t elements;
    krs_shape shape = {.rank = n->rank};
    memcpy(shape.dim, n->dim, n->rank * sizeof *n->dim);
    krs_shape_elements(shape, &elements); /* krsi_add saw that it fits */
    return elements;
}

static void
print_data(krsi_string *s, const krs_graph *g, const krsi_node *n, int k,
           int64_t limit)
{
    const krsi_blob *blob = &g->blob[krsi_int(n, k)];
    krs_dtype dtype = (krs_dtype)n->dtype;
    if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK) {
        const unsigned char *byte = blob->data;
        bool cut = limit >= 0 && (uint64_t)limit < blob->bytes;
        size_t shown = cut ? (size_t)limit : blob->bytes;
        krsi_string_add(s, "hex\"");
        for (size_t i = 0; i < shown && !s->failed; i++)
            krsi_string_format(s, "%02x", byte[i]);
        krsi_string_add(s, cut ? "...\"" : "\"");
        return;
    }
    int64_t elements = krsi_elements(n);
    bool cut = limit >= 0 && limit < elements;
    int64_t shown = cut ? limit : elements;
    krsi_string_add(s, "[");
    for (int64_t i = 0; i < shown && !s->failed; i++) {
        krsi_string_add(s, i ? ", " : "");
        krsi_print_element(s, dtype, blob->data, (size_t)i);
    }
    krsi_string_add(s, !cut ? "]" : shown ? ", ...]" : "...]");
}

void
krsi_print_attr(krsi_string *s, const krs_graph *g, const krsi_node *n,
                const krsi_attr *attr, int k, int64_t constant_limit)
{
    char text[KRSI_NUMBER_TEXT];
    const int64_t *value;
    krs_index index;
    switch (attr->kind) {
    case 'i': krsi_string_format(s, "%lld", (long long)krsi_int(n, k)); break;
    case 'f': /* full rounds its value to its type (krs_scalar) */
        if (n->op == KRSI_FULL && krs_dtype_is_float((krs_dtype)n->dtype))
            krsi_print_float(text, (float)krsi_float(n, k));
        else
            krsi_print_double(text, krsi_float(n, k));
        krsi_string_add(s, text);
        break;
    case 'b': krsi_string_add(s, krsi_int(n, k) ? "true" : "false"); break;
    case 's': krsi_print_quoted(s, g->string[krsi_int(n, k)]); break;
    case 'd':
        krsi_string_add(s, krs_dtype_name((krs_dtype)krsi_int(n, k)));
        break;
    case 'D': print_data(s, g, n, k, constant_limit); break;
    case 'G': /* print_body has all of it */
        krsi_string_format(s, "{%zu nodes}",
                           g->body[krsi_int(n, k)]->graph->nodes);
        break;
    case 'I':
        krsi_string_add(s, "[");
        for (int i = 0, count = krsi_ints(n, k, &value); i < count; i++)
            krsi_string_format(s, i ? ",%lld" : "%lld", (long long)value[i]);
        krsi_string_add(s, "]");
        break;
    case 'X':
        krsi_string_add(s, "[");
        for (int i = 0, count = krsi_attr_index((enum krsi_op)n->op, n->word, k,
                                                0, &index);
             i < count; i++) {
            krsi_string_add(s, i ? ", " : "");
            krsi_print_index(s, g, krsi_index(n, k, i));
        }
        krsi_string_add(s, "]");
        break;
    case 'e': {
        const char *name = attr->names;
        for (int64_t i = krsi_int(n, k); i > 0; i--)
            name += strcspn(name, "|}") + 1;
        krsi_string_add_bytes(s, name, strcspn(name, "|}"));
        break;
    }
    }
}

/* "# scope file:line"; control characters would end the comment */
static void
print_place(krsi_string *s, const krs_graph *g, const krsi_node *n)
{
    size_t from = s->length;
    if (!n->file && !n->scope)
        return;
    krsi_string_add(s, " # ");
    krsi_string_add(s, g->string[n->scope]);
    if (n->file)
        krsi_string_format(s, "%s%s:%u", n->scope ? " " : "",
                           g->string[n->file], n->line);
    for (size_t i = from; !s->failed && i < s->length; i++)
        if ((unsigned char)s->text[i] < 0x20)
            s->text[i] = '?';
}

static krs_status print_nodes(krsi_string *s, const krs_graph *g,
                              const krs_node *outputs, size_t count,
                              const krs_print_options *options, bool vars,
                              krs_error *err);

/* The body of a scan, two blanks further to the right, in braces. */
static krs_status
print_body(krsi_string *s, const krsi_body *body,
           const krs_print_options *options, krs_error *err)
{
    krsi_string inner = {0};
    krs_node *outputs = calloc(body->results, sizeof *outputs);
    if (!outputs)
        return krs_fail(err, KRS_E_MEMORY, "graph print: out of memory");
    for (uint32_t i = 0; i < body->results; i++)
        outputs[i] = krsi_handle(body->graph, body->result[i]);
    krs_status status = print_nodes(&inner, body->graph, outputs, body->results,
                                    options, false, err);
    free(outputs);
    s->failed |= inner.failed;
    krsi_string_add(s, "{\n");
    for (const char *line = inner.text; !s->failed && line && *line;) {
        size_t length = strcspn(line, "\n") + 1;
        krsi_string_add(s, "  ");
        krsi_string_add_bytes(s, line, length);
        line += length;
    }
    krsi_string_add(s, "}");
    krsi_string_free(&inner);
    return status;
}

static krs_status
print_node(krsi_string *s, const krs_graph *g, const krsi_part *part,
           const krsi_node *n, const krs_print_options *options, krs_error *err)
{
    krsi_attr attr;
    krs_status status = KRS_OK;
    krsi_print_type(s, g, n);
    for (uint32_t i = 0; i < n->count; i++)
        krsi_string_format(s, " %%%u", part->number[n->in[i]]);
    const char *spec = krsi_ops[n->op].attributes;
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)) != NULL; k++) {
        if (krsi_attr_implied(n, &attr, k))
            continue;
        krsi_string_format(s, " %s=", attr.name);
        if (attr.kind == 'G')
            status = print_body(s, g->body[krsi_int(n, k)], options, err);
        else
            krsi_print_attr(s, g, n, &attr, k, options->constant_limit);
    }
    if (options->places)
        print_place(s, g, n);
    krsi_string_add(s, "\n");
    return status;
}

/* What some outputs need, with the variables they use; a body's are declared
 * outside. */
static krs_status
print_nodes(krsi_string *s, const krs_graph *g, const krs_node *outputs,
            size_t count, const krs_print_options *options, bool vars,
            krs_error *err)
{
    krsi_part part;
    krs_status status = KRS_OK;
    KRS_TRY(krsi_part_select(g, "graph print", outputs, count, &part, err));
    for (size_t i = 0; vars && i < g->vars; i++)
        if (part.var[i]) {
            krsi_string_add(s, "var ");
            print_var_name(s, g->string[g->var[i].name]);
            krsi_string_format(s, " %lld %lld\n", (long long)g->var[i].low,
                               (long long)g->var[i].high);
        }
    for (size_t id = 1; id <= g->nodes && !s->failed && status == KRS_OK;
         id++) {
        const krsi_node *n = g->node[id];
        if (!part.number[id])
            continue;
        krsi_string_format(s, "%%%u = %s ", part.number[id],
                           krsi_ops[n->op].name);
        status = print_node(s, g, &part, n, options, err);
    }
    krsi_string_add(s, count ? "return" : "");
    for (size_t i = 0; i < count; i++)
        krsi_string_format(s, " %%%u", part.number[outputs[i].id]);
    krsi_string_add(s, count ? "\n" : "");
    krsi_part_free(&part);
    return status;
}

krs_status
krs_graph_print(const krs_graph *g, const krs_node *outputs, size_t count,
                const krs_print_options *options, char **out_text,
                krs_error *err)
{
    krs_print_options chosen = {sizeof chosen, -1, false};
    krsi_string s = {0};

    if (!out_text)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "graph print: out_text is NULL; pass the address of a "
                        "char *");
    *out_text = NULL;
    if (options && options->struct_size < sizeof chosen)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "graph print: struct_size %zu is too small; set it to "
                        "sizeof (krs_print_options)",
                        options->struct_size);
    if (options)
        chosen = *options;
    krs_status status = print_nodes(&s, g, outputs, count, &chosen, true, err);
    if (status == KRS_OK && s.failed)
        status = krs_fail(err, KRS_E_MEMORY, "graph print: out of memory");
    if (status != KRS_OK) {
        krsi_string_free(&s);
        return status;
    }
    *out_text = s.text;
    return KRS_OK;
}
