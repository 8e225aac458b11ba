/* compile.c -- the pipeline: every pass between the graph that the user
 * declared and the graph that a device runs, in order, in one table.
 *
 * Each stage takes the graph of the one before and gives a new one, so any
 * of them can be stopped at and printed, and the verifier looks at each in
 * debug builds.
 */
#include "opt/opt.h"

#include <stdlib.h>
#include <string.h>

/* What the roots need; composites by their definitions; constants folded, rules
 * applied, what nobody needs swept away. */
static const struct {
    const char *name;
    krsi_pass *run, *run_to_families;
} stages[] = {
    {"graph",  krsi_copy,     krsi_copy              },
    {"expand", krsi_expand,   krsi_expand_to_families},
    {"opt",    krsi_optimise, krsi_optimise          },
};

enum { STAGES = sizeof stages / sizeof *stages };

const char *
krsi_stage_name(size_t i)
{
    return i < STAGES ? stages[i].name : NULL;
}

static krs_status
last_of(const char *name, size_t *out, krs_error *err)
{
    krsi_string known = {0};
    *out = STAGES - 1;
    if (!name)
        return KRS_OK;
    for (size_t i = 0; i < STAGES; i++) {
        if (strcmp(stages[i].name, name) == 0) {
            *out = i;
            krsi_string_free(&known);
            return KRS_OK;
        }
        krsi_string_format(&known, "%s%s", i ? ", " : "", stages[i].name);
    }
    krs_status status = krs_fail(err, KRS_E_NAME, "no stage '%s'; there are %s",
                                 name, known.text ? known.text : "others");
    krsi_string_free(&known);
    return status;
}

/* Nothing that the roots need belongs to the body of a scan. */
static krs_status
check_outside(const krs_graph *g, const uint32_t *roots, size_t count,
              krs_error *err)
{
    uint32_t *need = calloc(g->nodes + 1, sizeof *need);
    krs_status status = KRS_OK;
    if (!need)
        return krs_fail(err, KRS_E_MEMORY, "compile: no memory for %zu nodes",
                        g->nodes);
    krsi_mark(g, roots, count, need);
    for (size_t id = 1; id <= g->nodes && status == KRS_OK; id++) {
        const krsi_node *n = g->node[id];
        if (need[id] && n->op == KRSI_PARAM)
            status = krs_fail(
                err, KRS_E_GRAPH,
                "%s%sscan: a value of its body is used outside of it (%s:%u); "
                "krs_scan_last and krs_scan_kept give what leaves it",
                g->string[n->scope], n->scope ? ": " : "", g->string[n->file],
                (unsigned)n->line);
    }
    free(need);
    return status;
}

krs_status
krsi_compile(const krs_graph *g, const uint32_t *roots, size_t count,
             const char *last_stage, krsi_composites composites,
             krs_graph **out, uint32_t *out_roots, krs_error *err)
{
    krs_graph *made = NULL;
    size_t last;
    KRS_TRY(check_outside(g, roots, count, err));
    KRS_TRY(last_of(last_stage, &last, err));
    /* every later pass copies too: the first is there to be printed */
    for (size_t i = last > 0; i <= last; i++) {
        krs_graph *next;
        krsi_pass *run = composites == KRSI_KEEP_FAMILIES
                             ? stages[i].run_to_families
                             : stages[i].run;
        krs_status status = run(made ? made : g, made ? out_roots : roots,
                                count, &next, out_roots, err);
        krs_graph_free(made);
        if (status != KRS_OK)
            return status;
        made = next;
#ifndef NDEBUG
        status = krsi_verify(made, err);
        if (status != KRS_OK) {
            krs_graph_free(made);
            return status;
        }
#endif
    }
    *out = made;
    return KRS_OK;
}
