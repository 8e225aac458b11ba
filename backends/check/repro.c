/* repro.c -- what failed, as one text: a graph, and the data it failed on.
 *
 * Data stand in comments that begin with "#:", which the parser of graphs
 * skips and krs_check_read reads:
 *
 *     #: "x" f32[2,3] 1 2 3 0.5 nan -0
 *     #: "pos" = 4
 *
 * Numbers are the shortest that read back as the same bits, but for the sign
 * and payload of a NaN. Nodes that are cut become inputs; their data are what
 * the device had.
 */
#include "check_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ELEMENTS ((int64_t)1 << 22)

/* ---- writing ---- */

struct cutting {
    const bool *is_cut; /* by id of g */
    uint32_t *made;     /* by id of g: the input that stands for it */
};

static uint32_t
copy_or_cut(krsi_copier *copier, uint32_t id)
{
    struct cutting *cut = copier->context;
    const krsi_node *n = copier->from->node[id];
    char name[16];
    if (!cut->is_cut[id])
        return krsi_copier_add(copier, id);
    snprintf(name, sizeof name, "v%u", id);
    krs_node x = krs_input(copier->to, name, (krs_dtype)n->dtype,
                           krs_node_shape(krsi_handle(copier->from, id)));
    cut->made[id] = x.id;
    for (int a = 0; a < n->rank; a++)
        if (n->live_axes >> a & 1)
            x = krs_live(x, a, n->live[a]);
    return x.id;
}

static bool
add_data(krsi_string *s, const char *name, const krs_view *v)
{
    krsi_string_add(s, "#: ");
    krsi_print_quoted(s, name);
    krsi_string_format(s, " %s[", krs_dtype_name(v->dtype));
    for (int a = 0; a < v->shape.rank; a++)
        krsi_string_format(s, a ? ",%lld" : "%lld", (long long)v->shape.dim[a]);
    krsi_string_add(s, "]");
    int64_t count = krsi_view_elements(v);
    if (krs_dtype_class_of(v->dtype) == KRS_CLASS_BLOCK ||
        count > MOST_ELEMENTS)
        return false;
    for (int64_t i = 0; i < count && !s->failed; i++) {
        krsi_string_add(s, " ");
        krsi_print_element(s, v->dtype, v->data, (size_t)i);
    }
    krsi_string_add(s, "\n");
    return true;
}

/* The view that is the data of a leaf of the made graph. */
static const krs_view *
data_of(const krsi_checking *c, const krs_graph *made,
        const uint32_t *stands_for, uint32_t leaf)
{
    const krsi_trial_leaf *given =
        krsi_trial_find(&c->trial, krs_node_name(krsi_handle(made, leaf)));
    for (uint32_t id = 1; id <= c->g->nodes; id++)
        if (stands_for[id] == leaf)
            return &c->value[id];
    return given ? &given->view : NULL;
}

/* Data of the leaves that the made graph needs; false if they are too many. */
static bool
add_all_data(krsi_string *s, const krsi_checking *c, const krs_graph *made,
             const uint32_t *need, const uint32_t *stands_for, bool *used)
{
    for (uint32_t id = 1; id <= made->nodes; id++)
        if (need[id])
            krsi_mark_vars(made, made->node[id], used);
    for (size_t i = 0; i < made->leaves; i++) {
        uint32_t id = made->leaf[i];
        const krs_view *v = need[id] ? data_of(c, made, stands_for, id) : NULL;
        if (v && !add_data(s, krs_node_name(krsi_handle(made, id)), v))
            return false;
    }
    for (size_t i = 0; i < made->vars; i++) {
        if (!used[i])
            continue;
        krsi_string_add(s, "#: ");
        krsi_print_quoted(s, made->string[made->var[i].name]);
        krsi_string_format(s, " = %lld\n", (long long)c->trial.var[i]);
    }
    return true;
}

static krs_status
write_text(const krsi_checking *c, const krs_graph *made, const uint32_t *roots,
           size_t count, const uint32_t *stands_for, const char *sentence,
           char **out, krs_error *err)
{
    krsi_string s = {0};
    char *text = NULL;
    krs_node *nodes = calloc(count, sizeof *nodes);
    uint32_t *need = calloc(made->nodes + 1, sizeof *need);
    bool *used = calloc(made->vars + 1, sizeof *used);
    krs_status status = nodes && need && used ? KRS_OK : krsi_check_memory(err);
    for (size_t i = 0; nodes && i < count; i++)
        nodes[i] = krsi_handle(made, roots[i]);
    if (status == KRS_OK)
        status = krs_graph_print(made, nodes, count, NULL, &text, err);
    free(nodes);
    if (status != KRS_OK) {
        free(need);
        free(used);
        return status;
    }
    krsi_mark(made, roots, count, need);
    krsi_string_add(&s, "# on ");
    krsi_string_add(&s, krs_device_name(c->device));
    krsi_string_add(&s, ": ");
    for (const char *at = sentence; *at; at++)
        krsi_string_add_bytes(&s, (unsigned char)*at < 0x20 ? " " : at, 1);
    krsi_string_format(&s, "\n# again: kersey check FILE --backends %s\n",
                       krs_device_name(c->device));
    bool fits = add_all_data(&s, c, made, need, stands_for, used);
    krsi_string_add(&s, text);
    free(text);
    free(need);
    free(used);
    if (fits && !s.failed) {
        *out = s.text;
        return KRS_OK;
    }
    krsi_string_free(&s);
    return fits ? krsi_check_memory(err) : KRS_OK;
}

krs_status
krsi_check_cut(const krsi_checking *c, const uint32_t *roots, size_t count,
               const uint32_t *cut, size_t cuts, uint32_t *made,
               krs_graph **out, uint32_t *out_roots, krs_error *err)
{
    bool *is_cut = calloc(c->g->nodes + 1, sizeof *is_cut);
    struct cutting cutting = {is_cut, made};
    if (!is_cut)
        return krsi_check_memory(err);
    for (size_t i = 0; i < cuts; i++)
        is_cut[cut[i]] = true;
    krs_status status = krsi_copy_by(copy_or_cut, &cutting, "check", NULL, c->g,
                                     roots, count, out, out_roots, err);
    free(is_cut);
    return status;
}

krs_status
krsi_check_repro(const krsi_checking *c, const uint32_t *roots, size_t count,
                 const uint32_t *cut, size_t cuts, const char *sentence,
                 char **out, krs_error *err)
{
    uint32_t *made = calloc(c->g->nodes + 1, sizeof *made);
    uint32_t *copied = calloc(count, sizeof *copied);
    krs_graph *g = NULL;
    *out = NULL;
    krs_status status =
        made && copied
            ? krsi_check_cut(c, roots, count, cut, cuts, made, &g, copied, err)
            : krsi_check_memory(err);
    if (status == KRS_OK)
        status = write_text(c, g, copied, count, made, sentence, out, err);
    krs_graph_free(g);
    free(made);
    free(copied);
    return status;
}

/* ---- reading ---- */

/* All that was read; the public part first. */
struct reading {
    krs_check_data data;
    krs_check_value *value;
    krs_check_var *var;
    size_t value_capacity, var_capacity;
};

static krs_status
read_element(krsi_scan *s, krs_dtype dtype, void *data, size_t i)
{
    double number;
    int64_t integer;
    bool truth;
    if (krs_dtype_is_float(dtype)) {
        KRS_TRY(krsi_scan_float(s, &number));
        krsi_store_double(dtype, data, i, number);
    } else if (dtype == KRS_BOOL) {
        KRS_TRY(krsi_scan_bool(s, &truth));
        krsi_store_int(dtype, data, i, truth);
    } else {
        KRS_TRY(krsi_scan_int(s, "an element", &integer));
        krsi_store_int(dtype, data, i, integer);
    }
    return KRS_OK;
}

static krs_status
read_type(krsi_scan *s, krs_view *v)
{
    int64_t size;
    KRS_TRY(krsi_scan_dtype(s, &v->dtype));
    KRS_TRY(krsi_scan_expect(s, "[", "a type is written f32[2,3]"));
    while (!krsi_scan_accept(s, "]")) {
        if (v->shape.rank == KRS_MAX_RANK)
            return krsi_scan_fail(s, s->at, NULL, "more than %d sizes",
                                  KRS_MAX_RANK);
        if (v->shape.rank > 0)
            KRS_TRY(krsi_scan_expect(s, ",", NULL));
        KRS_TRY(krsi_scan_int(s, "a size", &size));
        v->shape.dim[v->shape.rank++] = size;
    }
    return KRS_OK;
}

static krs_status
read_value(krsi_scan *s, struct reading *r, char *name)
{
    krs_view v = {.data = NULL};
    const char *start = s->at;
    int64_t count = 0;
    KRS_TRY(read_type(s, &v));
    if (!krs_shape_elements(v.shape, &count) || count < 0 ||
        count > MOST_ELEMENTS || krs_dtype_class_of(v.dtype) == KRS_CLASS_BLOCK)
        return krsi_scan_fail(s, start, NULL,
                              "a value has at most %lld elements, of no block "
                              "type",
                              (long long)MOST_ELEMENTS);
    if (!krsi_reserve(&r->value, &r->value_capacity, r->data.value_count + 1,
                      sizeof *r->value) ||
        !krsi_view_room(&v))
        return krsi_scan_memory(s);
    r->value[r->data.value_count++] = (krs_check_value){name, v};
    for (int64_t i = 0; i < count; i++) {
        krsi_scan_blanks(s);
        KRS_TRY(read_element(s, v.dtype, (void *)(uintptr_t)v.data, (size_t)i));
    }
    return KRS_OK;
}

/* What stands after "#:". */
static krs_status
read_line(krsi_scan *s, struct reading *r)
{
    int64_t integer;
    krsi_scan_blanks(s);
    KRS_TRY(krsi_scan_name(s, "the name of an input, state or variable"));
    char *name = strdup(s->word.text);
    if (!name)
        return krsi_scan_memory(s);
    krsi_scan_blanks(s);
    if (!krsi_scan_accept(s, "=")) {
        size_t before = r->data.value_count;
        krs_status status = read_value(s, r, name);
        if (r->data.value_count == before)
            free(name);
        return status;
    }
    krsi_scan_blanks(s);
    krs_status status = krsi_scan_int(s, "an integer", &integer);
    if (status == KRS_OK &&
        !krsi_reserve(&r->var, &r->var_capacity, r->data.var_count + 1,
                      sizeof *r->var))
        status = krsi_scan_memory(s);
    if (status != KRS_OK) {
        free(name);
        return status;
    }
    r->var[r->data.var_count++] = (krs_check_var){name, integer};
    return KRS_OK;
}

static krs_status
read_lines(krsi_scan *s, struct reading *r)
{
    while (*s->at) {
        if (strncmp(s->at, "#:", 2) == 0) {
            s->at += 2;
            KRS_TRY(read_line(s, r));
            if (!krsi_scan_line_end(s))
                return krsi_scan_fail(s, s->at, NULL,
                                      "there is more than the value");
        }
        s->at += strcspn(s->at, "\n");
        if (*s->at) {
            s->at++;
            s->line++;
        }
    }
    return KRS_OK;
}

krs_status
krs_check_read(const char *text, krs_check_data **out, krs_error *err)
{
    *out = NULL;
    struct reading *r = calloc(1, sizeof *r);
    krsi_scan s = {.text = text,
                   .at = text,
                   .line = 1,
                   .graph = krs_graph_new(),
                   .err = err};
    krs_status status =
        r && s.graph ? read_lines(&s, r) : krsi_check_memory(err);
    krs_graph_free(s.graph);
    free(s.data);
    krsi_string_free(&s.word);
    if (r) {
        r->data.struct_size = sizeof r->data;
        r->data.values = r->value;
        r->data.vars = r->var;
    }
    if (status != KRS_OK)
        krs_check_data_free(r ? &r->data : NULL);
    else
        *out = &r->data;
    return status;
}

void
krs_check_data_free(krs_check_data *data)
{
    struct reading *r = (struct reading *)data;
    if (!r)
        return;
    for (size_t i = 0; i < data->value_count; i++) {
        free((char *)(uintptr_t)r->value[i].name);
        krsi_view_free(&r->value[i].value);
    }
    for (size_t i = 0; i < data->var_count; i++)
        free((char *)(uintptr_t)r->var[i].name);
    free(r->value);
    free(r->var);
    free(r);
}
