/* alone.c -- every node by itself, see alone.h.
 *
 * In: a graph, and what a device gave for its nodes. Out: a verdict for each.
 *
 * Method: a second graph has each node once more, on inputs that hold what the
 * device gave for its operands, and beside it, where it adds or multiplies
 * many, the magnitude that its roundings are of (tolerance.c). The interpreter
 * computes both in f64. An element passes only if it is the same bits or
 * |got - want| <= allowed holds, which a NaN never makes it.
 */
#include "alone.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct singles {
    const krs_graph *g;
    krs_graph *made;
    const krs_view *values;
    uint32_t *operand;       /* by id of g: input of made, live axes applied */
    uint32_t *alone, *bound; /* by id of g; 0: none */
    krs_node *outputs;
    size_t count;
};

bool
krsi_can_be_judged(const krs_graph *g, uint32_t id)
{
    const krsi_node *n = g->node[id];
    switch ((int)n->op) {
    case KRSI_INPUT:
    case KRSI_STATE:
    case KRSI_CONSTANT:
    case KRSI_UPDATE:
    case KRSI_SCAN: return false;
    default: return true;
    }
}

bool
krsi_has_bound(const krs_graph *g, uint32_t id)
{
    const krsi_node *n = g->node[id];
    return n->op != KRSI_RESULT ||
           !krsi_body_rounds(krsi_loop_of(g, g->node[n->in[0]]).body);
}

static uint32_t
operand_of(struct singles *s, uint32_t id)
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
add_alone(struct singles *s, const krsi_node *n, uint32_t *in)
{
    krsi_words words;
    for (uint32_t i = 0; i < n->count; i++) {
        const krsi_node *from = s->g->node[n->in[i]];
        in[i] = n->op == KRSI_RESULT ? add_alone(s, from, in + 1) /* its scan */
                                     : operand_of(s, n->in[i]);
    }
    if (!krsi_words_copy(s->g, n, s->made, &words))
        return 0;
    return krsi_add(s->made, KRS_HERE, (enum krsi_op)n->op, in, (int)n->count,
                    words.word, words.count)
        .id;
}

static krs_status
add_single(struct singles *s, uint32_t id, krs_error *err)
{
    const krsi_node *n = s->g->node[id];
    size_t room = n->count + 1;
    if (n->op == KRSI_RESULT)
        room += s->g->node[n->in[0]]->count;
    uint32_t *in = calloc(room, sizeof *in);
    krs_node *operand = calloc(room, sizeof *operand);
    if (in && operand) {
        s->alone[id] = add_alone(s, n, in);
        s->outputs[s->count++] = krsi_handle(s->made, s->alone[id]);
    }
    if (in && operand && n->count && krsi_roundings(s->g, n) > 0) {
        for (uint32_t i = 0; i < n->count; i++)
            operand[i] = krsi_handle(s->made, in[i]);
        krs_node bound =
            krsi_rounded(s->g, n, krsi_handle(s->made, s->alone[id]), operand);
        s->bound[id] = bound.id;
        s->outputs[s->count++] = bound;
    }
    bool ok = in && operand;
    free(in);
    free(operand);
    return ok ? krs_graph_check(s->made, err)
              : krs_fail(err, KRS_E_MEMORY, "check: out of memory");
}

/* How far element i may be off; below 0: there is no bound. */
static double
allowed_for(const krsi_node *n, double ulps, double chain,
            const krs_view *bound, int64_t i, double want)
{
    krs_dtype dtype = (krs_dtype)n->dtype;
    double allowed = 0;
    if (chain > 0) {
        double most = krsi_view_number(bound, i);
        if (!(most < (double)FLT_MAX / 2))
            return -1; /* a part of the sum may overflow */
        if (dtype == KRS_F16 && most > 65000)
            return -1;
        allowed = chain * 0x1p-24 * most + 0x1p-149;
    }
    if (ulps > 0) /* and half an ulp for the rounding of the reference */
        allowed += (ulps + 0.5) * krsi_ulp_of(dtype, want);
    if (chain > 0) /* both sides round to the type */
        allowed += krsi_ulp_of(dtype, want);
    return allowed;
}

/* 2^-10 of the largest finite element: against gross mistakes where there is
 * no bound */
static double
guard_of(const krs_view *want)
{
    double largest = 0;
    for (int64_t i = 0, n = krsi_view_elements(want); i < n; i++) {
        double x = fabs(krsi_view_number(want, i));
        if (x < INFINITY)
            largest = fmax(largest, x);
    }
    return 0x1p-10 * largest;
}

static void
judge(const struct singles *s, uint32_t id, const krs_view *want,
      const krs_view *bound, krsi_judged *out)
{
    const krsi_node *n = s->g->node[id];
    const krs_view *got = &s->values[id];
    double ulps = krsi_function_ulps((enum krsi_op)n->op);
    double chain = s->bound[id] ? krsi_roundings(s->g, n) : 0;
    if (n->op == KRSI_CAST && s->g->node[n->in[0]]->dtype == KRS_I64)
        ulps = 0.5; /* i64 to f64 to f32 rounds twice */
    double guard = krsi_has_bound(s->g, id) ? 0 : guard_of(want);
    *out = (krsi_judged){.id = id,
                         .is_exact = ulps == 0 && chain == 0 && guard == 0,
                         .worst = -1};
    krsi_differ(got, want, &out->difference);
    if (out->difference.ulps[0] == out->difference.elements)
        return;
    for (int64_t i = 0; i < out->difference.elements; i++) {
        if (krsi_view_same(got, want, i))
            continue;
        double a = krsi_view_number(got, i), b = krsi_view_number(want, i);
        double ratio = INFINITY, allowed = 0;
        if (krs_dtype_is_float(got->dtype)) {
            allowed =
                guard > 0 ? guard : allowed_for(n, ulps, chain, bound, i, b);
            if (allowed < 0 ||
                (a == b && krsi_zeros_are_one((enum krsi_op)n->op)))
                continue;
            if (allowed > 0 && !isnan(a) && !isnan(b))
                ratio = fabs(a - b) / allowed;
        }
        out->failing += !(ratio <= 1);
        if (out->worst < 0 || ratio > out->ratio) {
            out->worst = i;
            out->got = a;
            out->want = b;
            out->allowed = allowed;
            out->ratio = ratio;
        }
    }
}

/* What the interpreter gives for the outputs, one after the other. */
static krs_status
read_and_judge(const struct singles *s, krs_program *program,
               krsi_judged_sink *sink, void *user, krs_error *err)
{
    size_t at = 0;
    krs_status status = KRS_OK;
    for (uint32_t id = 1; id <= s->g->nodes && status == KRS_OK; id++) {
        krs_view want = s->values[id], bound = {KRS_F32, want.shape, NULL, 0};
        if (!s->alone[id])
            continue;
        want.data = NULL;
        if (!krsi_view_room(&want) || !krsi_view_room(&bound))
            status = krs_fail(err, KRS_E_MEMORY, "check: out of memory");
        if (status == KRS_OK)
            status = krs_program_read(
                program, at++, (void *)(uintptr_t)want.data, want.bytes, err);
        if (status == KRS_OK && s->bound[id])
            status = krs_program_read(
                program, at++, (void *)(uintptr_t)bound.data, bound.bytes, err);
        if (status == KRS_OK) {
            krsi_judged judged;
            judge(s, id, &want, &bound, &judged);
            sink(user, &judged);
        }
        krsi_view_free(&want);
        krsi_view_free(&bound);
    }
    return status;
}

static krs_status
give_operands(const struct singles *s, krs_program *program, const int64_t *var,
              krs_error *err)
{
    for (uint32_t id = 1; id <= s->g->nodes; id++) {
        char name[16];
        snprintf(name, sizeof name, "v%u", id);
        if (s->operand[id])
            KRS_TRY(krs_program_set_input(program, name, s->values[id].data,
                                          s->values[id].bytes, err));
    }
    for (size_t i = 0; i < s->g->vars; i++)
        KRS_TRY(krs_program_set_var(program, s->g->string[s->g->var[i].name],
                                    var[i], err));
    return KRS_OK;
}

static krs_status
run_and_judge(const struct singles *s, krs_device *eval, const int64_t *var,
              krsi_judged_sink *sink, void *user, krs_error *err)
{
    krs_store *store = NULL;
    krs_program *program = NULL;
    krs_status status = krs_store_new(eval, &store, err);
    if (status == KRS_OK)
        status = krs_program_new(store, s->outputs, s->count, &program, err);
    if (status == KRS_OK)
        status = give_operands(s, program, var, err);
    if (status == KRS_OK)
        status = krs_program_run(program, err);
    if (status == KRS_OK)
        status = read_and_judge(s, program, sink, user, err);
    krs_program_free(program);
    krs_store_free(store);
    return status;
}

krs_status
krsi_judge_alone(krs_device *eval, const krs_graph *g, const bool *asked,
                 const krs_view *values, const int64_t *var,
                 krsi_judged_sink *sink, void *user, krs_error *err)
{
    size_t room = g->nodes + 1;
    struct singles s = {.g = g, .values = values, .made = krs_graph_new()};
    s.operand = calloc(3 * room, sizeof *s.operand);
    s.outputs = calloc(2 * room, sizeof *s.outputs);
    krs_status status =
        s.made && s.operand && s.outputs
            ? KRS_OK
            : krs_fail(err, KRS_E_MEMORY, "check: out of memory");
    if (status == KRS_OK) {
        s.alone = s.operand + room;
        s.bound = s.alone + room;
        for (size_t i = 0; i < g->vars; i++)
            krs_var(s.made, g->string[g->var[i].name], g->var[i].low,
                    g->var[i].high);
    }
    for (uint32_t id = 1; id < room && status == KRS_OK; id++)
        if (asked[id] && krsi_can_be_judged(g, id))
            status = add_single(&s, id, err);
    if (status == KRS_OK && s.count > 0)
        status = run_and_judge(&s, eval, var, sink, user, err);
    krs_graph_free(s.made);
    free(s.operand);
    free(s.outputs);
    return status;
}
