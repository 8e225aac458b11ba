/* fuzz_judge.c -- what a random graph must satisfy; see fuzz_graph.h. Each
 * primitive, and each composite with a kernel family, is judged alone as
 * backends/check/tolerance.c says.
 */
#include "fuzz_graph.h"

#include "backends/check/alone.h"
#include "graph/opt/opt.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- devices ---- */

/* Memory by effort, the other factors where all pairs come up: an orthogonal
 * array of strength 2 (Rao 1947) but for threads, found by trial. The first is
 * what users run. */
/* clang-format off */
const fuzz_way fuzz_ways[FUZZ_WAYS] = {
    {"opt",    false, 3, KRS_MEMORY_SHARED,   "normal", 2},
    {"opt",    true,  3, KRS_MEMORY_SHARED,   "none",   8},
    {"expand", false, 1, KRS_MEMORY_SHARED,   "most",   1},
    {"opt",    false, 1, KRS_MEMORY_SEPARATE, "normal", 2},
    {"expand", false, 3, KRS_MEMORY_SEPARATE, "none",   8},
    {"opt",    true,  1, KRS_MEMORY_SEPARATE, "most",   1},
    {"expand", true,  1, KRS_MEMORY_POISONED, "normal", 2},
    {"opt",    false, 1, KRS_MEMORY_POISONED, "none",   8},
    {"opt",    false, 3, KRS_MEMORY_POISONED, "most",   1},
};
/* clang-format on */

int
fuzz_way_of(bool on_cpu, uint64_t n)
{
    int shares = 0, way = 0;
    if (!on_cpu)
        return (int)(n % FUZZ_WAYS);
    for (int i = 0; i < FUZZ_WAYS; i++)
        shares += fuzz_ways[i].share;
    int turn = (int)(n * 7 % (uint64_t)shares); /* 7: no factor of the shares */
    for (; turn >= fuzz_ways[way].share; way++)
        turn -= fuzz_ways[way].share;
    return way;
}

static krs_status
open_way(const char *name, int i, krs_device_options options, krs_device **out,
         krs_error *err)
{
    options.stage = fuzz_ways[i].stage;
    options.unfused = fuzz_ways[i].unfused;
    options.threads = fuzz_ways[i].threads;
    options.memory = fuzz_ways[i].memory;
    options.effort = fuzz_ways[i].effort;
    return krs_device_open_with(name, &options, out, err);
}

bool
fuzz_open(const char *cache, const char *modules, const fuzz_only *only,
          fuzz_devices *out)
{
    krs_error err = {KRS_OK, ""};
    krs_device_options options = {
        .struct_size = sizeof options, .modules = modules, .cache = cache};
    *out = (fuzz_devices){.on_cpu = true};
    krs_status status = krs_device_open("eval", &out->eval, &err);
    if (status == KRS_OK)
        status = krs_device_open("interp", &out->interp, &err);
    if (status == KRS_OK && only) {
        krs_device_options judged = options;
        judged.cpu = only->cpu;
        judged.unfused = only->unfused;
        status = krs_device_open_with(only->backend, &judged, &out->only, &err);
    }
    for (int i = 0; i < FUZZ_WAYS && status == KRS_OK; i++)
        status = open_way("interp", i, options, &out->interp_way[i], &err);
    if (status != KRS_OK) {
        printf("%s\n", err.text);
        return false;
    }
    for (int i = 0; i < FUZZ_WAYS && !only; i++)
        if (open_way("cpu", i, options, &out->cpu_way[i], &err) != KRS_OK) {
            printf("cpu is absent: %s\n", err.text);
            return i == 0;
        }
    return true;
}

void
fuzz_close(fuzz_devices *d)
{
    krs_device_close(d->eval);
    krs_device_close(d->interp);
    krs_device_close(d->only);
    for (int i = 0; i < FUZZ_WAYS; i++) {
        krs_device_close(d->interp_way[i]);
        krs_device_close(d->cpu_way[i]);
    }
}

/* ---- what a run gave ---- */

typedef struct tensor {
    char name[24]; /* of a state; "" for an output */
    krs_dtype dtype;
    krs_shape shape;
    int64_t elements;
    size_t bytes;
    void *data;
} tensor;

typedef struct result {
    krs_error err; /* status KRS_OK: it ran */
    tensor *value; /* outputs, then states */
    size_t count, outputs;
} result;

static void
forget(result *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->value[i].data);
    free(r->value);
    memset(r, 0, sizeof *r);
}

static void *
allocate(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        abort();
    return p;
}

static tensor
tensor_of(const char *name, krs_dtype dtype, krs_shape shape)
{
    tensor t = {.dtype = dtype, .shape = shape};
    snprintf(t.name, sizeof t.name, "%s", name);
    krs_shape_elements(shape, &t.elements);
    krs_dtype_bytes(dtype, t.elements, &t.bytes);
    t.data = allocate(t.bytes);
    return t;
}

/* Inputs of the program, or (again) the states of the store. */
static krs_status
give_data(const fuzz_case *c, const krs_graph *g, krs_program *program,
          krs_store *store, krs_error *err)
{
    krs_status status = KRS_OK;
    for (uint32_t id = 1; id <= g->nodes && status == KRS_OK; id++) {
        const krsi_node *n = g->node[id];
        krs_node x = krsi_handle(g, id);
        if (n->op != KRSI_INPUT && n->op != KRSI_STATE)
            continue;
        const char *name = krs_node_name(x);
        tensor t = tensor_of(name, (krs_dtype)n->dtype, krs_node_shape(x));
        fuzz_data(c, name, t.dtype, t.elements, t.data);
        if (n->op == KRSI_INPUT)
            status = krs_program_set_input(program, name, t.data, t.bytes, err);
        else if (krs_store_find(store, name, NULL, NULL, NULL) == KRS_OK)
            status = krs_store_write(store, name, t.data, t.bytes, err);
        free(t.data);
    }
    return status;
}

static krs_status
run_once(const fuzz_case *c, const krs_graph *g, krs_program *program,
         krs_store *store, int setting, krs_error *err)
{
    KRS_TRY(give_data(c, g, program, store, err));
    for (size_t i = 0; i < g->vars; i++) {
        const krsi_var *v = &g->var[i];
        const char *name = g->string[v->name];
        KRS_TRY(krs_program_set_var(
            program, name, fuzz_var(c, setting, name, v->low, v->high), err));
    }
    return krs_program_run(program, err);
}

/* Run under the settings from `first` on, keep the last one's values. */
static result
run(const fuzz_case *c, krs_device *device, const krs_graph *g,
    const krs_node *outputs, size_t count, int first)
{
    result r = {
        .err = {KRS_OK, ""},
          .outputs = count
    };
    krs_store *store = NULL;
    krs_program *program = NULL;
    krs_status status = krs_store_new(device, &store, &r.err);
    if (status == KRS_OK)
        status = krs_program_new(store, outputs, count, &program, &r.err);
    for (int s = first; status == KRS_OK && s < FUZZ_SETTINGS; s++)
        status = run_once(c, g, program, store, s, &r.err);
    size_t states = status == KRS_OK ? krs_store_count(store) : 0;
    r.value = allocate((count + states) * sizeof *r.value);
    for (size_t i = 0; status == KRS_OK && i < count + states; i++) {
        krs_dtype dtype;
        krs_shape shape;
        const char *name = "";
        if (i < count)
            krs_program_output(program, i, &dtype, &shape, NULL);
        else
            krs_store_entry(store, i - count, &name, &dtype, &shape, NULL);
        tensor *t = &r.value[r.count++];
        *t = tensor_of(name, dtype, shape);
        status = i < count
                     ? krs_program_read(program, i, t->data, t->bytes, &r.err)
                     : krs_store_read(store, name, t->data, t->bytes, &r.err);
    }
    r.err.status = status;
    krs_program_free(program);
    krs_store_free(store);
    return r;
}

/* ---- comparisons ---- */

static char *wrong(const char *format, ...) KRS_PRINTF(1, 2);
static char *
wrong(const char *format, ...)
{
    va_list args;
    char *text = allocate(1024);
    va_start(args, format);
    vsnprintf(text, 1024, format, args);
    va_end(args);
    return text;
}

/* blocks as their bytes */
static krs_view
view_of(const tensor *t)
{
    if (krs_dtype_class_of(t->dtype) == KRS_CLASS_BLOCK)
        return (krs_view){KRS_U8, KRS_SHAPE((int64_t)t->bytes), t->data,
                          t->bytes};
    return (krs_view){t->dtype, t->shape, t->data, t->bytes};
}

static char *
same_tensor(const char *what, size_t i, const tensor *a, const tensor *b,
            double slack)
{
    if (a->dtype != b->dtype || a->elements != b->elements)
        return wrong("%s: output %zu has another type", what, i);
    krs_view x = view_of(a), y = view_of(b);
    int64_t elements = x.dtype == a->dtype ? a->elements : (int64_t)a->bytes;
    for (int64_t k = 0; k < elements; k++) {
        double p = krsi_view_number(&x, k), q = krsi_view_number(&y, k);
        if (!krsi_view_same(&x, &y, k) && !(fabs(p - q) <= slack))
            return wrong("%s: output %zu %s, element %lld: %.9g, not %.9g",
                         what, i, a->name, (long long)k, q, p);
    }
    return NULL;
}

/* Messages agree but for the place in brackets at their end: of a graph that
 * was read, it is a line of the text. */
static bool
same_message(const char *a, const char *b)
{
    const char *a_place = strrchr(a, '('), *b_place = strrchr(b, '(');
    return a_place && b_place && a_place - a == b_place - b
               ? strncmp(a, b, (size_t)(a_place - a)) == 0
               : strcmp(a, b) == 0;
}

/* The same outputs and states, or the same failure. */
static char *
same_result(const char *what, const result *a, const result *b, double slack)
{
    char *text = NULL;
    if (a->err.status != b->err.status)
        return wrong("%s: %s%s, not %s%s", what, krs_status_name(b->err.status),
                     b->err.text, krs_status_name(a->err.status), a->err.text);
    if (a->err.status != KRS_OK && !same_message(a->err.text, b->err.text))
        return wrong("%s: '%s', not '%s'", what, b->err.text, a->err.text);
    if (a->count != b->count)
        return wrong("%s: %zu outputs and states, not %zu", what, b->count,
                     a->count);
    for (size_t i = 0; i < a->count && !text; i++)
        text = same_tensor(what, i, &a->value[i], &b->value[i], slack);
    return text;
}

/* A limit of kernels, which the graph interpreter does not have. */
static bool
is_unsupported(const result *r)
{
    return r->err.status == KRS_E_UNSUPPORTED &&
           strstr(r->err.text, "more than 3 runtime integers");
}

/* ---- one primitive at a time ---- */

/* a leaf holds what it was given */
static char *
judge_leaf(const fuzz_case *c, const krs_graph *g, uint32_t id,
           const tensor *got)
{
    const krsi_node *n = g->node[id];
    tensor given = tensor_of("", got->dtype, got->shape);
    if (n->op == KRSI_CONSTANT)
        memcpy(given.data, g->blob[krsi_int(n, 2)].data, given.bytes);
    else
        fuzz_data(c, krs_node_name(krsi_handle(g, id)), given.dtype,
                  given.elements, given.data);
    char *text = same_tensor("leaf", id, &given, got, -1);
    free(given.data);
    return text;
}

static bool
is_leaf(const krsi_node *n)
{
    return n->op == KRSI_INPUT || n->op == KRSI_STATE || n->op == KRSI_CONSTANT;
}

typedef struct judging {
    const krs_graph *g;
    fuzz_counts *counts;
    char *text; /* what is wrong with the first */
} judging;

static void
take_judged(void *user, const krsi_judged *v)
{
    judging *j = user;
    const krsi_node *n = j->g->node[v->id];
    char type[KRSI_TYPE_TEXT];
    j->counts->values += (size_t)v->difference.elements;
    if (v->is_exact)
        j->counts->exact += (size_t)v->difference.elements;
    if (v->failing && !j->text)
        j->text = wrong("%s: element %lld of %s is %.9g, not %.9g (allowed %g)",
                        krsi_ops[n->op].name, (long long)v->worst,
                        krsi_type_text(type, n), v->got, v->want, v->allowed);
}

/* values[id]: what the device gave for node id, or NULL */
static char *
judge_singles(const fuzz_case *c, krs_device *eval, const krs_graph *g,
              const tensor **values, fuzz_counts *counts)
{
    size_t room = g->nodes + 1;
    bool *asked = allocate(room * sizeof *asked);
    krs_view *views = allocate(room * sizeof *views);
    int64_t var[FUZZ_VARS] = {0};
    judging j = {.g = g, .counts = counts};
    for (uint32_t id = 1; id < room; id++) {
        const tensor *t = values[id];
        if (!t)
            continue;
        asked[id] = krsi_has_bound(g, id);
        views[id] = view_of(t);
        if (is_leaf(g->node[id]) && !j.text)
            j.text = judge_leaf(c, g, id, t);
    }
    for (size_t i = 0; i < g->vars && i < FUZZ_VARS; i++)
        var[i] = fuzz_var(c, FUZZ_SETTINGS - 1, g->string[g->var[i].name],
                          g->var[i].low, g->var[i].high);
    krs_error err = {KRS_OK, ""};
    if (!j.text && krsi_judge_alone(eval, g, asked, views, var, take_judged, &j,
                                    &err) != KRS_OK)
        j.text = wrong("primitives alone: %s", err.text);
    free(asked);
    free(views);
    return j.text;
}

/* Every primitive as an output: the roots have the same bits as in `a`, and
 * each is right by itself. */
static char *
judge_primitives(const fuzz_case *c, krs_device *eval, krs_device *device,
                 const result *a, fuzz_counts *counts)
{
    uint32_t roots[FUZZ_OUTPUTS], expanded[FUZZ_OUTPUTS];
    krs_error err = {KRS_OK, ""};
    krs_graph *g;
    size_t count = 0;
    for (size_t i = 0; i < c->outputs; i++)
        roots[i] = c->output[i].id;
    if (krsi_expand_to_families(c->graph, roots, c->outputs, &g, expanded,
                                &err) != KRS_OK)
        return wrong("expand: %s", err.text);
    uint32_t *need = allocate((g->nodes + 1) * sizeof *need);
    krs_node *nodes = allocate((g->nodes + 1) * sizeof *nodes);
    const tensor **values = allocate((g->nodes + 1) * sizeof *values);
    krsi_mark(g, expanded, c->outputs, need);
    for (uint32_t id = 1; id <= g->nodes; id++)
        if (need[id])
            nodes[count++] = krsi_handle(g, id);
    result all = run(c, device, g, nodes, count, FUZZ_SETTINGS - 1);
    char *text = NULL;
    if (is_unsupported(&all)) { /* of a place that no output needs in memory */
        counts->unsupported++;
        count = 0;
    } else if (all.err.status != KRS_OK)
        text = wrong("every primitive: %s", all.err.text);
    for (size_t i = 0; i < count && !text; i++) {
        values[nodes[i].id] = &all.value[i];
        counts->op[g->node[nodes[i].id]->op]++;
    }
    for (size_t i = 0; i < c->outputs && count && !text; i++)
        text = same_tensor("every primitive", i, &a->value[i],
                           values[expanded[i]], -1);
    if (!text && count)
        text = judge_singles(c, eval, g, values, counts);
    forget(&all);
    free(need);
    free(nodes);
    free(values);
    krs_graph_free(g);
    return text;
}

/* The case read back from the text of its graph, which printed again is the
 * same; to be freed with its graph. */
static char *
read_back(const fuzz_case *c, fuzz_case *out)
{
    krs_error err = {KRS_OK, ""};
    char *text = NULL, *again = NULL, *bad = NULL;
    *out = *c;
    out->graph = NULL;
    if (krs_graph_print(c->graph, c->output, c->outputs, NULL, &text, &err) ||
        krs_graph_parse(text, &out->graph, out->output, FUZZ_OUTPUTS,
                        &out->outputs, &err) ||
        krs_graph_print(out->graph, out->output, out->outputs, NULL, &again,
                        &err))
        bad = wrong("text: %s", err.text);
    else if (strcmp(text, again) != 0)
        bad = wrong("text: printed again it differs:\n%.800s", again);
    free(text);
    free(again);
    return bad;
}

/* dot2_bf16 takes and gives subnormal numbers as zeros on processors that have
 * it (krs_kfacts), which the kernel interpreter does not. */
static double
slack_of(const krs_graph *g)
{
    for (uint32_t id = 1; id <= g->nodes; id++)
        if (g->node[id]->op == KRSI_MATMUL && g->node[id]->dtype == KRS_BF16)
            return (double)FLT_MIN;
    return -1;
}

/* The same on a device opened in another way. Without the optimiser more is
 * computed, so more may be refused. */
static char *
judge_way(const fuzz_case *c, krs_device *device, const char *name, int way,
          const result *a, double slack)
{
    const fuzz_way *w = &fuzz_ways[way];
    char *text = NULL, what[96];
    bool is_plain = !strcmp(w->stage, "expand");
    result p = run(c, device, c->graph, c->output, c->outputs, 0);
    bool refuses_more = is_plain && a->err.status == KRS_OK &&
                        (p.err.status == KRS_E_RANGE || is_unsupported(&p));
    bool both_refuse =
        is_plain && a->err.status != KRS_OK && p.err.status == a->err.status;
    snprintf(what, sizeof what,
             "%s, %s, %s, %u threads, memory %d, %s effort, from its text",
             name, w->stage, w->unfused ? "unfused" : "fused", w->threads,
             (int)w->memory, w->effort);
    if (!refuses_more && !both_refuse)
        text = same_result(what, a, &p, slack);
    forget(&p);
    return text;
}

/* Without fusion a composite with a kernel family is computed by its
 * definition, so its bits are others: the next way of the same effort, which
 * fuses, takes its place. */
static int
choose_way(const fuzz_case *c, int way)
{
    for (uint32_t id = 1; fuzz_ways[way].unfused && id <= c->graph->nodes; id++)
        if (krsi_ops[c->graph->node[id]->op].has_family)
            way = (way + 3) % FUZZ_WAYS;
    return way;
}

/* On a backend whose bits may be its own (no fused mad, say): it refuses at the
 * run what eval refuses, and each primitive is right by itself, in the program
 * as it is and in one that gives them all. */
static char *
judge_only(const fuzz_case *c, const fuzz_devices *d, fuzz_counts *counts)
{
    char *text = NULL;
    result e = run(c, d->eval, c->graph, c->output, c->outputs, 0);
    result a = run(c, d->only, c->graph, c->output, c->outputs, 0);
    counts->unsupported += a.err.status == KRS_E_UNSUPPORTED;
    counts->refused_runs += e.err.status == KRS_E_RANGE;
    if (a.err.status == KRS_E_UNSUPPORTED)
        text = NULL; /* a limit of the device, counted */
    else if (a.err.status != e.err.status)
        text =
            wrong("eval: %s; %s: %s", e.err.status ? e.err.text : "runs",
                  krs_device_name(d->only), a.err.status ? a.err.text : "runs");
    else if (a.err.status == KRS_OK)
        text = judge_primitives(c, d->eval, d->only, &a, counts);
    forget(&e);
    forget(&a);
    return text;
}

char *
fuzz_judge(const fuzz_case *c, const fuzz_devices *d, fuzz_counts *counts)
{
    krs_error err = {KRS_OK, ""};
    if (krs_graph_error(c->graph))
        return wrong("building: %s", krs_graph_error(c->graph)->text);
    if (krsi_verify(c->graph, &err) != KRS_OK)
        return wrong("%s", err.text);
    for (uint32_t id = 1; id <= c->graph->nodes; id++)
        if (krsi_ops[c->graph->node[id]->op].composite)
            counts->op[c->graph->node[id]->op]++;
    if (d->only)
        return judge_only(c, d, counts);
    int way = choose_way(c, d->way);
    result e = run(c, d->eval, c->graph, c->output, c->outputs, 0);
    result a = run(c, d->interp, c->graph, c->output, c->outputs, 0);
    fuzz_case again = {.graph = NULL};
    char *text = NULL;
    if (is_unsupported(&a)) {
        counts->unsupported++;
        forget(&e);
        forget(&a);
        return NULL;
    }
    if (e.err.status != a.err.status)
        text = wrong("eval: %s; interp: %s", e.err.status ? e.err.text : "runs",
                     a.err.status ? a.err.text : "runs");
    else if (e.err.status != KRS_OK && e.err.status != KRS_E_RANGE)
        text = wrong("%s", e.err.text);
    counts->refused_runs += e.err.status == KRS_E_RANGE;
    if (!text)
        text = read_back(c, &again);
    if (!text)
        text = fuzz_judge_rewrites(c, &counts->rewrites);
    if (!text)
        text = judge_way(&again, d->interp_way[way], "interp", way, &a, -1);
    if (!text && a.err.status == KRS_OK)
        text = judge_primitives(c, d->eval, d->interp, &a, counts);
    if (!text && d->on_cpu && d->cpu_way[way]) {
        text = judge_way(&again, d->cpu_way[way], "cpu", way, &a,
                         slack_of(c->graph));
        counts->on_cpu++;
    }
    krs_graph_free(again.graph);
    forget(&e);
    forget(&a);
    return text;
}

bool
fuzz_value(const fuzz_case *c, krs_device *device, krs_node x, void **out,
           size_t *out_bytes)
{
    result r = run(c, device, c->graph, &x, 1, FUZZ_SETTINGS - 1);
    bool good = r.err.status == KRS_OK;
    if (good) {
        *out = r.value[0].data;
        *out_bytes = r.value[0].bytes;
        r.value[0].data = NULL;
    }
    forget(&r);
    return good;
}
