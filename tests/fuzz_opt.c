/* fuzz_opt.c -- a graph optimised against the same graph as it is defined; see
 * fuzz_graph.h.
 *
 * The interpreter runs both and keeps f64 between nodes, so a sum in another
 * order or a product that is rounded elsewhere shows in bits that f32 would
 * hide. No tolerance: the same doubles and integers, or both NaN.
 */
#include "fuzz_graph.h"

#include "graph/ir/eval.h"
#include "graph/opt/rewrite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *
wrong(const char *what, const char *text)
{
    size_t size = strlen(what) + strlen(text) + 3;
    char *made = malloc(size);
    if (!made)
        abort();
    snprintf(made, size, "%s: %s", what, text);
    return made;
}

static char *
print(const krs_graph *g, const uint32_t *roots, size_t count)
{
    krs_node output[FUZZ_OUTPUTS];
    krs_error err;
    char *text = NULL;
    for (size_t i = 0; i < count; i++)
        output[i] = krsi_handle(g, roots[i]);
    krs_graph_print(g, output, count, NULL, &text, &err);
    return text;
}

/* a run of one graph in the last setting; values are maximal shapes, wide */
typedef struct run {
    krs_status status;
    krs_error err;
    krsi_element *value[FUZZ_OUTPUTS];
    int64_t elements[FUZZ_OUTPUTS];
} run;

static void *
leaf_data(const fuzz_case *c, const krs_graph *g, uint32_t id)
{
    const krsi_node *n = g->node[id];
    int64_t count = krsi_elements(n);
    void *data = calloc((size_t)count + 1, 8);
    if (!data)
        abort();
    fuzz_data(c, krs_node_name(krsi_handle(g, id)), (krs_dtype)n->dtype, count,
              data);
    return data;
}

static run
run_graph(const fuzz_case *c, const krs_graph *g, const uint32_t *roots)
{
    run r = {
        .err = {KRS_OK, ""}
    };
    krsi_eval *eval = NULL;
    void **data = calloc(g->leaves + 1, sizeof(void *));
    int64_t *var = calloc(g->vars + 1, sizeof *var);
    if (!data || !var)
        abort();
    r.status = krsi_eval_new(g, roots, c->outputs, &eval, &r.err);
    for (size_t i = 0; i < g->leaves && r.status == KRS_OK; i++) {
        data[i] = leaf_data(c, g, g->leaf[i]);
        krsi_eval_bind(eval, g->leaf[i], data[i], KRSI_NATIVE);
    }
    for (size_t i = 0; i < g->vars; i++)
        var[i] = fuzz_var(c, FUZZ_SETTINGS - 1, g->string[g->var[i].name],
                          g->var[i].low, g->var[i].high);
    if (r.status == KRS_OK)
        r.status = krsi_eval_run(eval, var, NULL, &r.err);
    for (size_t i = 0; i < c->outputs && r.status == KRS_OK; i++) {
        r.elements[i] = krsi_elements(g->node[roots[i]]);
        r.value[i] = calloc((size_t)r.elements[i] + 1, sizeof *r.value[i]);
        if (!r.value[i])
            abort();
        krsi_eval_read(eval, i, r.value[i], KRSI_WIDE);
    }
    krsi_eval_free(eval);
    for (size_t i = 0; i < g->leaves; i++)
        free(data[i]);
    free(data);
    free(var);
    return r;
}

static void
forget(run *r)
{
    for (size_t i = 0; i < FUZZ_OUTPUTS; i++)
        free(r->value[i]);
}

static char *
compare(const fuzz_case *c, const krs_graph *g, const uint32_t *roots,
        const run *plain, const run *made)
{
    char text[160];
    if (plain->status != KRS_OK) /* what is not needed may fail no more */
        return NULL;
    if (made->status != KRS_OK)
        return wrong("optimised it does not run", made->err.text);
    for (size_t i = 0; i < c->outputs; i++) {
        bool is_float = krs_dtype_is_float((krs_dtype)g->node[roots[i]]->dtype);
        for (int64_t k = 0; k < plain->elements[i]; k++) {
            krsi_element a = plain->value[i][k], b = made->value[i][k];
            if (a.i == b.i || (is_float && isnan(a.f) && isnan(b.f)))
                continue;
            snprintf(text, sizeof text,
                     "output %zu, element %lld: %.17g (%lld), not %.17g (%lld)",
                     i, (long long)k, is_float ? b.f : 0, (long long)b.i,
                     is_float ? a.f : 0, (long long)a.i);
            return wrong("optimised", text);
        }
    }
    return NULL;
}

/* Nothing is left to do: a second pass gives the same text. */
static char *
is_settled(const fuzz_case *c, const krs_graph *g, const uint32_t *roots)
{
    uint32_t again_roots[FUZZ_OUTPUTS];
    krs_error err;
    krs_graph *again;
    char *bad = NULL;
    if (krsi_optimise(g, roots, c->outputs, &again, again_roots, &err) !=
        KRS_OK)
        return wrong("optimising twice", err.text);
    char *once = print(g, roots, c->outputs),
         *twice = print(again, again_roots, c->outputs);
    if (!once || !twice || strcmp(once, twice) != 0)
        bad = wrong("optimised again it differs", twice ? twice : "no text");
    free(once);
    free(twice);
    krs_graph_free(again);
    return bad;
}

char *
fuzz_judge_rewrites(const fuzz_case *c, krsi_rewrites *counts)
{
    uint32_t roots[FUZZ_OUTPUTS], plain_roots[FUZZ_OUTPUTS];
    krs_error err = {KRS_OK, ""};
    krs_graph *plain = NULL, *made = NULL;
    char *bad = NULL;
    for (size_t i = 0; i < c->outputs; i++)
        roots[i] = c->output[i].id;
    if (krsi_expand(c->graph, roots, c->outputs, &plain, plain_roots, &err) !=
            KRS_OK ||
        krsi_rewrite(plain, plain_roots, c->outputs, counts, &made, roots,
                     &err) != KRS_OK ||
        krsi_verify(made, &err) != KRS_OK)
        bad = wrong("opt", err.text);
    if (!bad)
        bad = is_settled(c, made, roots);
    if (!bad) {
        run a = run_graph(c, plain, plain_roots), b = run_graph(c, made, roots);
        bad = compare(c, made, roots, &a, &b);
        forget(&a);
        forget(&b);
    }
    krs_graph_free(plain);
    krs_graph_free(made);
    return bad;
}
