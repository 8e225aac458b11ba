/* probe.c -- every node of a graph made an output and judged by itself.
 *
 * In: the graph of primitives, its data. Out: a row for each node, the first
 * that is wrong, the first output of the whole run that is not the same bits,
 * or, being a leaf, not what was given.
 *
 * A large graph is done in parts, so that the values of all nodes need not be
 * in memory: each part is a program of its own, whose outputs are its nodes and
 * their operands.
 */
#include "check_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_BYTES ((size_t)256 << 20)

bool
krsi_check_is_value(const krs_graph *g, uint32_t id)
{
    switch ((int)g->node[id]->op) {
    case KRSI_INPUT:
    case KRSI_STATE:
    case KRSI_CONSTANT:
    case KRSI_UPDATE:
    case KRSI_SCAN: return false;
    default: return true;
    }
}

static size_t
bytes_of(const krs_graph *g, uint32_t id)
{
    size_t bytes = 0;
    krs_dtype_bytes((krs_dtype)g->node[id]->dtype, krsi_elements(g->node[id]),
                    &bytes);
    return bytes;
}

/* A leaf's value is there from the start. */
static void
find_leaves(krsi_checking *c)
{
    for (size_t i = 0; i < c->trial.leaves; i++)
        c->value[c->trial.leaf[i].id] = c->trial.leaf[i].view;
    for (uint32_t id = 1; id <= c->g->nodes; id++) {
        const krsi_node *n = c->g->node[id];
        if (n->op == KRSI_CONSTANT)
            c->value[id] = (krs_view){
                (krs_dtype)n->dtype, krs_node_shape(krsi_handle(c->g, id)),
                c->g->blob[krsi_int(n, 2)].data, bytes_of(c->g, id)};
    }
}

/* the node whose operands are what n is computed from */
static const krsi_node *
computed_by(const krs_graph *g, const krsi_node *n)
{
    return n->op == KRSI_RESULT ? g->node[n->in[0]] : n;
}

/* the ids that a node needs as outputs: itself and its operands */
static size_t
want(const krsi_checking *c, uint32_t id, bool *wanted)
{
    const krsi_node *n = computed_by(c->g, c->g->node[id]);
    size_t bytes = 0;
    for (uint32_t k = 0; k <= n->count; k++) {
        uint32_t i = k < n->count ? n->in[k] : id;
        if (wanted[i] || !krsi_check_is_value(c->g, i))
            continue;
        wanted[i] = true;
        bytes += bytes_of(c->g, i);
    }
    return bytes;
}

/* ---- rows ---- */

static void
take_judged(void *user, const krsi_judged *v)
{
    krsi_checking *c = user;
    krs_check_row row = krsi_check_row_of(c->g, v->id);
    row.kind = KRS_CHECK_NODE;
    row.step = 1;
    row.number = v->id;
    row.difference = v->difference;
    row.failing = v->failing;
    row.worst = v->worst;
    row.got = v->got;
    row.want = v->want;
    row.allowed = v->allowed;
    row.ratio = v->ratio;
    c->result->nodes++;
    c->result->elements += v->difference.elements;
    c->result->failing_nodes += v->failing > 0;
    if (v->failing && !c->bad) {
        char type[KRSI_TYPE_TEXT], text[600];
        c->bad = v->id;
        snprintf(text, sizeof text,
                 "%s%s%s: element %lld of %s is %.9g where the f64 interpreter "
                 "has %.9g for the same operands (allowed %.3g; %lld of %lld "
                 "elements differ) (%s:%d)",
                 row.scope, *row.scope ? ": " : "", row.op, (long long)v->worst,
                 krsi_type_text(type, c->g->node[v->id]), v->got, v->want,
                 v->allowed, (long long)v->failing,
                 (long long)v->difference.elements, row.file, row.line);
        free(c->sentence);
        c->sentence = strdup(text);
    }
    krsi_check_tell(c, &row);
}

/* ---- a part ---- */

static krs_status
read_values(krsi_checking *c, krs_program *program, const uint32_t *roots,
            size_t count, krs_error *err)
{
    for (size_t i = 0; i < count; i++) {
        krs_view v = {.data = NULL};
        KRS_TRY(krs_program_output(program, i, &v.dtype, &v.shape, err));
        if (!krsi_view_room(&v))
            return krsi_check_memory(err);
        c->value[roots[i]] = v;
        c->owned[roots[i]] = true;
        KRS_TRY(krs_program_read(program, i, (void *)(uintptr_t)v.data, v.bytes,
                                 err));
    }
    return KRS_OK;
}

/* Is output i of the whole run the same bits as its root? If not, and it is the
 * first, it is odd. */
static bool
is_odd(krsi_checking *c, size_t i)
{
    const krs_view *whole = &c->first[i], *v = &c->value[c->root[i]];
    if (!whole->data || !v->data || c->odd < i)
        return false;
    for (int64_t k = 0; k < krsi_view_elements(v); k++)
        if (!krsi_view_same(whole, v, k)) {
            krsi_view_free(&c->good);
            c->odd = i;
            return true;
        }
    return false;
}

/* Outputs of the whole run whose root is in this part. */
static void
compare_outputs(krsi_checking *c)
{
    for (size_t i = 0; i < c->outputs; i++) {
        uint32_t root = c->root[i];
        if (!c->owned[root] || !is_odd(c, i))
            continue;
        c->good = c->value[root]; /* taken over */
        c->owned[root] = false;
        c->value[root].data = NULL;
    }
}

/* An output that is a leaf holds what was given. */
static krs_status
compare_leaves(krsi_checking *c, krs_error *err)
{
    for (size_t i = 0; i < c->outputs; i++) {
        const krs_view *given = &c->value[c->root[i]];
        if (krsi_check_is_value(c->g, c->root[i]) || !is_odd(c, i))
            continue;
        c->good = (krs_view){given->dtype, given->shape, NULL, 0};
        if (!krsi_view_room(&c->good))
            return krsi_check_memory(err);
        memcpy((void *)(uintptr_t)c->good.data, given->data, given->bytes);
    }
    return KRS_OK;
}

static void
forget_part(krsi_checking *c)
{
    for (uint32_t id = 1; id <= c->g->nodes; id++) {
        if (c->owned[id])
            krsi_view_free(&c->value[id]);
        c->owned[id] = c->asked[id] = false;
    }
}

static krs_status
judge_part(krsi_checking *c, const bool *wanted, krs_error *err)
{
    size_t count = 0;
    krs_store *store = NULL;
    krs_program *program = NULL;
    uint32_t *roots = calloc(c->g->nodes + 1, sizeof *roots);
    if (!roots)
        return krsi_check_memory(err);
    for (uint32_t id = 1; id <= c->g->nodes; id++)
        if (wanted[id])
            roots[count++] = id;
    krs_status status = KRS_OK;
    if (count > 0)
        status = krsi_check_run(c->device, c->g, &c->trial, roots, count,
                                &store, &program, err);
    if (status == KRS_OK && count > 0)
        status = read_values(c, program, roots, count, err);
    krs_program_free(program);
    krs_store_free(store);
    free(roots);
    if (status == KRS_OK)
        status = krsi_judge_alone(c->eval, c->g, c->asked, c->value,
                                  c->trial.var, take_judged, c, err);
    if (status == KRS_OK && !c->bad)
        compare_outputs(c);
    /* the values of the guilty node's operands are for the repro */
    if (!c->bad || status != KRS_OK)
        forget_part(c);
    return status;
}

krs_status
krsi_check_probe(krsi_checking *c, krs_error *err)
{
    size_t room = c->g->nodes + 1, bytes = 0;
    uint32_t *need = calloc(room, sizeof *need);
    bool *wanted = calloc(room, sizeof *wanted);
    krs_status status = need && wanted ? KRS_OK : krsi_check_memory(err);
    if (status == KRS_OK) {
        find_leaves(c);
        status = compare_leaves(c, err);
        krsi_mark(c->g, c->root, c->outputs, need);
    }
    for (uint32_t id = 1; id <= c->g->nodes && status == KRS_OK; id++) {
        if (!need[id] || !krsi_check_is_value(c->g, id))
            continue;
        c->asked[id] = true;
        bytes += want(c, id, wanted);
        if (bytes < PART_BYTES)
            continue;
        status = judge_part(c, wanted, err);
        memset(wanted, 0, room * sizeof *wanted);
        bytes = 0;
        if (c->bad)
            break; /* what comes after is made of it */
    }
    if (status == KRS_OK && bytes > 0 && !c->bad)
        status = judge_part(c, wanted, err);
    free(need);
    free(wanted);
    return status;
}
