/* fuzz_judge.c -- what a random graph must satisfy; see fuzz_graph.h.
 *
 * Tolerances, for one primitive, or composite with a kernel family, computed from the same operands by the f64
 * interpreter, whose result is rounded to the type once:
 *
 *   exact      everything but the rows below: views, comparisons, integers,
 *              casts, and + - * / sqrt, whose f64 result rounds to the f32 one
 *              (Figueroa 1995: 53 >= 2 * 24 + 2)
 *   functions  the bound that the kernel language states for its polynomials
 *              (krsi_kmath, kb.h) and half an ulp for the reference
 *   sums       sum, cumsum, matmul, index_add, scatter_add: each rounding on
 *              the longest chain of additions loses at most 2^-24 of the sum of
 *              magnitudes (Higham 2002, section 4.2), which the same operation
 *              on the magnitudes of the operands gives; prod and cumprod
 *              likewise, each product losing as much of itself
 *   attention  fuzz_attention.c
 */
#include "fuzz_graph.h"

#include "graph/kernel/kb.h"
#include "graph/opt/opt.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- devices ---- */

bool
fuzz_open(const char *cache, const char *modules, fuzz_devices *out)
{
    krs_error err = {KRS_OK, ""};
    krs_device_options options = {.struct_size = sizeof options,
                                  .threads = 2,
                                  .modules = modules,
                                  .cache = cache};
    *out = (fuzz_devices){NULL, NULL, NULL, NULL, NULL};
    if (krs_device_open("eval", &out->eval, &err) != KRS_OK ||
        krs_device_open("interp", &out->interp, &err) != KRS_OK) {
        printf("%s\n", err.text);
        return false;
    }
    if (krs_device_open_with("cpu", &options, &out->cpu, &err) != KRS_OK)
        printf("cpu is absent: %s\n", err.text);
    options.stage = "expand";
    krs_device_open_with("interp", &options, &out->plain_interp, &err);
    if (out->cpu)
        krs_device_open_with("cpu", &options, &out->plain_cpu, &err);
    return out->plain_interp && !out->plain_cpu == !out->cpu;
}

void
fuzz_close(fuzz_devices *d)
{
    krs_device_close(d->eval);
    krs_device_close(d->interp);
    krs_device_close(d->plain_interp);
    krs_device_close(d->cpu);
    krs_device_close(d->plain_cpu);
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

/* element i as a number; integers up to 2^63 lose their last bits, so they are
 * compared as bytes */
static double
number_at(const tensor *t, int64_t i)
{
    size_t bytes = t->bytes / (size_t)t->elements;
    const char *at = (const char *)t->data + (size_t)i * bytes;
    if (krs_dtype_is_float(t->dtype)) {
        float f;
        krs_convert(KRS_F32, &f, t->dtype, at, 1, NULL);
        return (double)f;
    }
    int64_t v;
    krs_convert(KRS_I64, &v, t->dtype, at, 1, NULL);
    return (double)v;
}

/* Floats: the same bits, or both NaN. */
static bool
same_element(const tensor *a, const tensor *b, int64_t i)
{
    size_t bytes = a->bytes / (size_t)a->elements, at = (size_t)i * bytes;
    if (memcmp((char *)a->data + at, (char *)b->data + at, bytes) == 0)
        return true;
    return krs_dtype_is_float(a->dtype) && isnan(number_at(a, i)) &&
           isnan(number_at(b, i));
}

static char *
same_tensor(const char *what, size_t i, const tensor *a, const tensor *b,
            double slack)
{
    if (a->dtype != b->dtype || a->elements != b->elements)
        return wrong("%s: output %zu has another type", what, i);
    for (int64_t k = 0; k < a->elements; k++)
        if (!same_element(a, b, k) &&
            !(fabs(number_at(a, k) - number_at(b, k)) <= slack))
            return wrong("%s: output %zu %s, element %lld: %.9g, not %.9g",
                         what, i, a->name, (long long)k, number_at(b, k),
                         number_at(a, k));
    return NULL;
}

/* The same outputs and states, or the same failure. */
static char *
same_result(const char *what, const result *a, const result *b, double slack)
{
    char *text = NULL;
    if (a->err.status != b->err.status)
        return wrong("%s: %s%s, not %s%s", what, krs_status_name(b->err.status),
                     b->err.text, krs_status_name(a->err.status), a->err.text);
    if (a->err.status != KRS_OK && strcmp(a->err.text, b->err.text) != 0)
        return wrong("%s: '%s', not '%s'", what, b->err.text, a->err.text);
    if (a->count != b->count)
        return wrong("%s: %zu outputs and states, not %zu", what, b->count,
                     a->count);
    for (size_t i = 0; i < a->count && !text; i++)
        text = same_tensor(what, i, &a->value[i], &b->value[i], slack);
    return text;
}

/* ---- one primitive at a time ---- */

/* ulps that a function may be off, 0 if it is none */
static double
function_bound(enum krsi_op op)
{
    static const struct {
        const char *name;
        double ulps;
    } functions[] = {
#define FUNCTION(NAME, name, arity, ulp, plain_ulp, text) \
    {#name, (plain_ulp) > (ulp) ? (plain_ulp) : (ulp)},
        KRSI_KMATH_LIST(FUNCTION)
#undef FUNCTION
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, krsi_ops[op].name) == 0)
            return functions[i].ulps;
    return 0;
}

/* Roundings behind one element, for rows that add, or multiply many; else 0. Of
 * sums those of the longest chain; of products all, for each is of the whole. */
static double
roundings(const krs_graph *g, const krsi_node *n)
{
    const krsi_node *x = g->node[n->in[0]];
    const int64_t *axes;
    double terms = 1;
    if (!krs_dtype_is_float((krs_dtype)n->dtype))
        return 0;
    switch ((int)n->op) {
    case KRSI_SUM:
    case KRSI_PROD:
        for (int i = 0, count = krsi_ints(n, 0, &axes); i < count; i++)
            terms *= (double)x->dim[axes[i]];
        /* 64 lanes, then a tree of 6 */
        return n->op == KRSI_PROD ? terms : ceil(terms / 64) + 6;
    case KRSI_CUMSUM:
    case KRSI_CUMPROD: return (double)x->dim[krsi_int(n, 0)];
    case KRSI_MATMUL:
        return (double)x->dim[x->rank - (krsi_int(n, 0) ? 2 : 1)] + 1;
    case KRSI_INDEX_ADD:
    case KRSI_SCATTER_ADD: return (double)krsi_elements(g->node[n->in[1]]) + 1;
    default: return fuzz_attention_chain(g, n);
    }
}

/* Does a body do what f64 and f32 do differently? If not, a scan is judged as
 * one exact primitive; else by comparing devices alone, for what a rounding
 * becomes over the iterations has no bound. */
static bool
rounds(const krsi_body *body)
{
    const krs_graph *g = body->graph;
    for (size_t id = 1; id <= g->nodes; id++) {
        const krsi_node *n = g->node[id];
        switch ((int)n->op) {
        case KRSI_ADD:
        case KRSI_SUB:
        case KRSI_MUL:
        case KRSI_DIV:
        case KRSI_SQRT:
        case KRSI_CAST:
            if (krs_dtype_is_float((krs_dtype)n->dtype))
                return true;
            break;
        case KRSI_SCAN: return true;
        default:
            if (krsi_ops[n->op].composite ||
                function_bound((enum krsi_op)n->op) > 0 ||
                (n->count && roundings(g, n) > 0))
                return true;
        }
    }
    return false;
}

/* The graph of single primitives: each has operands of its own, which are
 * inputs that hold what the device computed. */
typedef struct singles {
    const krs_graph *g;
    krs_graph *made;
    uint32_t *operand;        /* by id of g: input of made, live axes applied */
    uint32_t *single, *bound; /* by id of g; 0: none */
} singles;

static uint32_t
operand_of(singles *s, uint32_t id)
{
    char name[16];
    const krsi_node *n = s->g->node[id];
    if (s->operand[id])
        return s->operand[id];
    snprintf(name, sizeof name, "v%u", id);
    krs_node x = krs_input(s->made, name, (krs_dtype)n->dtype,
                           krs_node_shape(krsi_handle(s->g, id)));
    for (int a = 0; a < n->rank; a++)
        if (n->live_axes >> a & 1)
            x = krs_live(x, a, n->live[a]);
    return s->operand[id] = x.id;
}

/* the node on inputs of its own; in: room for their ids, and a scan's */
static uint32_t
alone(singles *s, const krsi_node *n, uint32_t *in)
{
    krsi_words words;
    for (uint32_t i = 0; i < n->count; i++) {
        const krsi_node *from = s->g->node[n->in[i]];
        in[i] = n->op == KRSI_RESULT ? alone(s, from, in + 1) /* its scan */
                                     : operand_of(s, n->in[i]);
    }
    if (!krsi_words_copy(s->g, n, s->made, &words))
        abort();
    return krsi_add(s->made, KRS_HERE, (enum krsi_op)n->op, in, (int)n->count,
                    words.word, words.count)
        .id;
}

/* |y| of a product, or inf where a part of it, in whatever order, may leave
 * the normal numbers of f32 */
static krs_node
product_bound(singles *s, const krsi_node *n, krs_node x)
{
    krs_node one = krs_like(x, 1);
    krs_node part[3] = {x, krs_maximum(x, one), krs_minimum(x, one)};
    for (int i = 0; i < 3; i++)
        part[i] = krsi_add(s->made, KRS_HERE, (enum krsi_op)n->op, &part[i].id,
                           1, n->word, n->words);
    krs_node inside = krs_and(krs_lt(part[1], krs_like(x, 0x1p127)),
                              krs_gt(part[2], krs_like(x, 0x1p-125)));
    return krs_where(inside, part[0], krs_like(x, (double)INFINITY));
}

static void
add_single(singles *s, uint32_t id)
{
    const krsi_node *n = s->g->node[id];
    size_t room = n->count + 1;
    if (n->op == KRSI_RESULT)
        room += s->g->node[n->in[0]]->count;
    uint32_t *in = allocate(room * sizeof *in);
    s->single[id] = alone(s, n, in);
    if (fuzz_attention_chain(s->g, n) > 0) {
        krs_node operand[7];
        for (uint32_t i = 0; i < n->count; i++)
            operand[i] = krsi_handle(s->made, in[i]);
        s->bound[id] = fuzz_attention_bound(
                           n, krsi_handle(s->made, s->single[id]), operand)
                           .id;
    } else if (n->count && roundings(s->g, n) > 0) {
        for (uint32_t i = 0; i < n->count; i++) {
            krs_node x = krsi_handle(s->made, in[i]);
            if (krs_dtype_is_float(krs_node_dtype(x)))
                in[i] = krs_abs(krs_cast(x, KRS_F32)).id;
        }
        bool product = n->op == KRSI_PROD || n->op == KRSI_CUMPROD;
        krs_node bound = product
                             ? product_bound(s, n, krsi_handle(s->made, in[0]))
                             : krsi_add(s->made, KRS_HERE, (enum krsi_op)n->op,
                                        in, (int)n->count, n->word, n->words);
        s->bound[id] = bound.id;
    }
    free(in);
}

/* distance from x to the next number of the type */
static double
ulp_of(krs_dtype dtype, double x)
{
    int digits = dtype == KRS_F32 ? 24 : dtype == KRS_F16 ? 11 : 8;
    int lowest = dtype == KRS_F16 ? -24 : dtype == KRS_F32 ? -149 : -133;
    int exponent;
    frexp(x, &exponent);
    int e = exponent - digits;
    return ldexp(1, e < lowest ? lowest : e);
}

/* NULL, or what is wrong with node id: `got` on the device, `want` alone. */
static char *
judge_node(const krs_graph *g, uint32_t id, const tensor *got,
           const tensor *want, const tensor *bound, fuzz_counts *counts)
{
    const krsi_node *n = g->node[id];
    enum krsi_op op = (enum krsi_op)n->op;
    double ulps = function_bound(op), chain = bound ? roundings(g, n) : 0;
    if (op == KRSI_CAST && g->node[n->in[0]]->dtype == KRS_I64)
        ulps = 0.5; /* i64 to f64 to f32 rounds twice */
    counts->values += (size_t)got->elements;
    if (ulps == 0 && chain == 0)
        counts->exact += (size_t)got->elements;
    for (int64_t i = 0; i < got->elements; i++) {
        if (same_element(got, want, i))
            continue;
        double a = number_at(got, i), b = number_at(want, i), allowed = 0;
        if (a == b && krs_dtype_is_float(got->dtype))
            continue; /* zeros of either sign */
        if (chain > 0) {
            double most = number_at(bound, i);
            if (!(most < (double)FLT_MAX / 2))
                continue; /* a part of the sum may overflow */
            allowed = chain * 0x1p-24 * most + 0x1p-149;
            if (got->dtype == KRS_F16 && most > 65000)
                continue;
        }
        if (ulps > 0) /* and half an ulp for the rounding of the reference */
            allowed += (ulps + 0.5) * ulp_of(got->dtype, b);
        if (chain > 0) /* both sides round to the type */
            allowed += ulp_of(got->dtype, b);
        if (fabs(a - b) <= allowed)
            continue;
        char type[KRSI_TYPE_TEXT];
        return wrong("%s: element %lld of %s is %.9g, not %.9g (allowed %g)",
                     krsi_ops[op].name, (long long)i, krsi_type_text(type, n),
                     a, b, allowed);
    }
    return NULL;
}

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

/* values[id]: what the device gave for node id, or NULL */
static char *
judge_singles(const fuzz_case *c, krs_device *eval, const krs_graph *g,
              const tensor **values, fuzz_counts *counts)
{
    char *text = NULL;
    size_t room = g->nodes + 1, count = 0;
    singles s = {.g = g, .made = krs_graph_new()};
    s.operand = allocate(3 * room * sizeof *s.operand);
    s.single = s.operand + room;
    s.bound = s.single + room;
    krs_node *outputs = allocate(2 * room * sizeof *outputs);
    for (size_t i = 0; i < g->vars; i++)
        krs_var(s.made, g->string[g->var[i].name], g->var[i].low,
                g->var[i].high);
    for (uint32_t id = 1; id < room && !text; id++) {
        const krsi_node *n = g->node[id];
        if (!values[id] || n->op == KRSI_UPDATE || n->op == KRSI_SCAN ||
            (n->op == KRSI_RESULT &&
             rounds(krsi_loop_of(g, g->node[n->in[0]]).body)))
            continue;
        if (is_leaf(g->node[id])) {
            text = judge_leaf(c, g, id, values[id]);
            continue;
        }
        add_single(&s, id);
        outputs[count++] = krsi_handle(s.made, s.single[id]);
        if (s.bound[id])
            outputs[count++] = krsi_handle(s.made, s.bound[id]);
    }
    krs_error err = {KRS_OK, ""};
    krs_store *store = NULL;
    krs_program *program = NULL;
    krs_status status = krs_store_new(eval, &store, &err);
    if (status == KRS_OK && count)
        status = krs_program_new(store, outputs, count, &program, &err);
    for (uint32_t id = 1; id < room && program && status == KRS_OK; id++) {
        char name[16];
        snprintf(name, sizeof name, "v%u", id);
        if (s.operand[id])
            status = krs_program_set_input(program, name, values[id]->data,
                                           values[id]->bytes, &err);
    }
    for (size_t i = 0; i < g->vars && program && status == KRS_OK; i++) {
        const krsi_var *v = &g->var[i];
        const char *name = g->string[v->name];
        status = krs_program_set_var(
            program, name,
            fuzz_var(c, FUZZ_SETTINGS - 1, name, v->low, v->high), &err);
    }
    if (program && status == KRS_OK)
        status = krs_program_run(program, &err);
    if (status != KRS_OK && !text)
        text = wrong("primitives alone: %s", err.text);
    size_t at = 0;
    for (uint32_t id = 1; id < room && program && !text; id++) {
        if (!s.single[id])
            continue;
        const tensor *got = values[id];
        tensor want = tensor_of("", got->dtype, got->shape), bound = {0};
        krs_program_read(program, at++, want.data, want.bytes, &err);
        if (s.bound[id]) {
            bound = tensor_of("", KRS_F32, got->shape);
            krs_program_read(program, at++, bound.data, bound.bytes, &err);
        }
        text =
            judge_node(g, id, got, &want, s.bound[id] ? &bound : NULL, counts);
        free(want.data);
        free(bound.data);
    }
    krs_program_free(program);
    krs_store_free(store);
    krs_graph_free(s.made);
    free(s.operand);
    free(outputs);
    return text;
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
    char *text = all.err.status == KRS_OK
                     ? NULL
                     : wrong("every primitive: %s", all.err.text);
    for (size_t i = 0; i < count && !text; i++) {
        values[nodes[i].id] = &all.value[i];
        counts->op[g->node[nodes[i].id]->op]++;
    }
    for (size_t i = 0; i < c->outputs && !text; i++)
        text = same_tensor("every primitive", i, &a->value[i],
                           values[expanded[i]], -1);
    if (!text)
        text = judge_singles(c, eval, g, values, counts);
    forget(&all);
    free(need);
    free(nodes);
    free(values);
    krs_graph_free(g);
    return text;
}

/* The text of the graph reads back to the same text and the same results. */
static char *
judge_text(const fuzz_case *c, krs_device *device, const result *a)
{
    krs_error err = {KRS_OK, ""};
    char *text = NULL, *again = NULL, *bad = NULL;
    krs_graph *g = NULL;
    krs_node output[FUZZ_OUTPUTS];
    size_t count = 0;
    if (krs_graph_print(c->graph, c->output, c->outputs, NULL, &text, &err) ||
        krs_graph_parse(text, &g, output, FUZZ_OUTPUTS, &count, &err) ||
        krs_graph_print(g, output, count, NULL, &again, &err))
        bad = wrong("text: %s", err.text);
    else if (strcmp(text, again) != 0)
        bad = wrong("text: printed again it differs:\n%.800s", again);
    if (!bad && a->err.status == KRS_OK) {
        result b = run(c, device, g, output, count, FUZZ_SETTINGS - 1);
        bad = same_result("text", a, &b, -1);
        forget(&b);
    }
    krs_graph_free(g);
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

/* A limit of kernels, which the graph interpreter does not have. */
static bool
is_unsupported(const result *r)
{
    return r->err.status == KRS_E_UNSUPPORTED &&
           strstr(r->err.text, "more than 3 runtime integers");
}

/* Optimised, `a`, against plain: what is no longer needed may fail no more. */
static char *
judge_plain(const fuzz_case *c, krs_device *plain, const result *a)
{
    char *text = NULL;
    result p = run(c, plain, c->graph, c->output, c->outputs, 0);
    if ((p.err.status != KRS_E_RANGE && !is_unsupported(&p)) ||
        a->err.status != KRS_OK)
        text = p.err.status == a->err.status && a->err.status != KRS_OK
                   ? NULL
                   : same_result("plain", a, &p, -1);
    forget(&p);
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
    result e = run(c, d->eval, c->graph, c->output, c->outputs, 0);
    result a = run(c, d->interp, c->graph, c->output, c->outputs, 0);
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
        text = judge_text(c, d->interp, &a);
    if (!text)
        text = fuzz_judge_rewrites(c, &counts->rewrites);
    if (!text)
        text = judge_plain(c, d->plain_interp, &a);
    if (!text && a.err.status == KRS_OK)
        text = judge_primitives(c, d->eval, d->interp, &a, counts);
    if (!text && d->cpu) {
        result b = run(c, d->cpu, c->graph, c->output, c->outputs, 0);
        text = same_result("cpu", &a, &b, slack_of(c->graph));
        if (!text)
            text = judge_plain(c, d->plain_cpu, &b);
        forget(&b);
        counts->on_cpu++;
    }
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
