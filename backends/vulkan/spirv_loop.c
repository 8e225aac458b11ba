/* spirv_loop.c -- loops in the structured control flow of SPIR-V.
 *
 * FOR becomes a loop that is tested at its head; its index and its carries are
 * phis there, which are the RESULTs too. One that can have one trip only (its
 * step is larger than any size) becomes a branch; then the RESULTs are phis
 * behind it. Either way the result of a carry takes its place in `value`.
 */
#include "spirv_emit.h"

#define ONE_TRIP (INT64_C(1) << 62)

static bool
is_branch(const krsi_spv_emit *e, const krs_kinst *inst)
{
    const krs_kinst *step = &e->kernel->insts[inst->c];
    return step->op == KRS_K_CONST && (int64_t)step->u.bits >= ONE_TRIP;
}

void
krsi_spv_watch_loops(krsi_spv_emit *e)
{
    krsi_spv *m = e->m;
    uint32_t uint = krsi_spv_uint(m, 32);
    for (uint32_t i = 1; i < e->kernel->inst_count; i++) {
        const krs_kinst *inst = &e->kernel->insts[i];
        if (inst->op != KRS_K_FOR || is_branch(e, inst))
            continue;
        e->short_loops =
            krsi_spv_value(m, SpvOpVariable,
                           krsi_spv_pointer(m, SpvStorageClassFunction, uint),
                           SpvStorageClassFunction, krsi_spv_u32(m, 0));
        return;
    }
}

/* Behind a loop its index has reached the bound. */
static void
watch_end(krsi_spv_emit *e, const krsi_spv_loop *l)
{
    krsi_spv *m = e->m;
    uint32_t uint = krsi_spv_uint(m, 32);
    uint32_t bound = e->value[e->kernel->insts[l->inst].b][0];
    uint32_t goes_on = krsi_spv_wide_is_less(e, e->value[l->inst][0], bound);
    uint32_t is_short = krsi_spv_select(e, uint, goes_on, krsi_spv_u32(m, 1),
                                        krsi_spv_u32(m, 0));
    uint32_t before = krsi_spv_value(m, SpvOpLoad, uint, e->short_loops);
    krsi_spv_put(m, KRSI_SPV_BODY, SpvOpStore, e->short_loops,
                 krsi_spv_word_op(e, SpvOpBitwiseOr, before, is_short));
}

void
krsi_spv_report_loops(krsi_spv_emit *e)
{
    krsi_spv *m = e->m;
    uint32_t uint = krsi_spv_uint(m, 32), zero = krsi_spv_u32(m, 0);
    if (!e->short_loops)
        return;
    uint32_t flag =
        krsi_spv_block(m, SpvStorageClassStorageBuffer, uint, sizeof zero, 0);
    krsi_spv_bind(m, flag,
                  krsi_spv_add_binding(e, e->kernel->param_count + 1, 0));
    uint32_t report = krsi_spv_id(m), after = krsi_spv_id(m);
    uint32_t is_short = krsi_spv_compare(
        e, SpvOpINotEqual, krsi_spv_value(m, SpvOpLoad, uint, e->short_loops),
        zero);
    krsi_spv_put(m, KRSI_SPV_BODY, SpvOpSelectionMerge, after, 0);
    krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranchConditional, is_short, report,
                 after);
    krsi_spv_label(m, report);
    krsi_spv_put(
        m, KRSI_SPV_BODY, SpvOpStore,
        krsi_spv_value(m, SpvOpAccessChain,
                       krsi_spv_pointer(m, SpvStorageClassStorageBuffer, uint),
                       flag, zero, zero),
        krsi_spv_launch_word(e, KRSI_WORD_LAUNCH));
    krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranch, after);
    krsi_spv_label(m, after);
}

/* A phi whose second value comes later. */
static uint32_t
open_phi(krsi_spv_emit *e, uint32_t type, uint32_t first,
         const krsi_spv_loop *l)
{
    krsi_spv *m = e->m;
    enum { SECOND = 5 }; /* word of the instruction */
    e->phis[e->phi_count++] = m->section[KRSI_SPV_BODY].count + SECOND;
    return krsi_spv_value(m, SpvOpPhi, type, first, l->before, 0, l->again);
}

static void
open_carry(krsi_spv_emit *e, const krsi_spv_loop *l, uint32_t i)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    uint32_t type = krsi_spv_lane_type(e, inst->type.dtype);
    for (unsigned j = 0; j < inst->type.lanes; j++) {
        if (e->need[i] & KRSI_NEED_FULL)
            e->value[i][j] = open_phi(e, type, e->value[inst->a][j], l);
        if (e->need[i] & KRSI_NEED_LOW)
            e->low[i][j] =
                open_phi(e, krsi_spv_uint(e->m, 32), e->low[inst->a][j], l);
    }
}

/* In a branch a carry is its first value. */
static void
copy_carry(krsi_spv_emit *e, uint32_t i)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    for (unsigned j = 0; j < inst->type.lanes; j++) {
        e->value[i][j] = e->value[inst->a][j];
        e->low[i][j] = e->low[inst->a][j];
    }
}

void
krsi_spv_begin_loop(krsi_spv_emit *e, uint32_t i)
{
    krsi_spv *m = e->m;
    const krs_kinst *inst = &e->kernel->insts[i];
    krsi_spv_loop *l = &e->loops[e->depth++];
    uint32_t body = krsi_spv_id(m), head = krsi_spv_id(m);
    *l = (krsi_spv_loop){.inst = i,
                         .is_branch = is_branch(e, inst),
                         .before = m->block,
                         .head = head,
                         .again = krsi_spv_id(m),
                         .after = krsi_spv_id(m),
                         .first_phi = e->phi_count};
    while (e->kernel->insts[i + 1 + l->carries].op == KRS_K_CARRY)
        l->carries++;
    if (l->is_branch) {
        e->value[i][0] = e->value[inst->a][0];
        for (uint32_t c = i + 1; c <= i + l->carries; c++)
            copy_carry(e, c);
    } else {
        krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranch, head);
        krsi_spv_label(m, head);
        e->value[i][0] =
            open_phi(e, krsi_spv_wide_type(e), e->value[inst->a][0], l);
        for (uint32_t c = i + 1; c <= i + l->carries; c++)
            open_carry(e, l, c);
    }
    if (e->need[i] & KRSI_NEED_LOW)
        e->low[i][0] = krsi_spv_low_of(e, e->value[i][0]);
    uint32_t goes_on =
        krsi_spv_wide_is_less(e, e->value[i][0], e->value[inst->b][0]);
    if (l->is_branch)
        krsi_spv_put(m, KRSI_SPV_BODY, SpvOpSelectionMerge, l->after, 0);
    else
        krsi_spv_put(m, KRSI_SPV_BODY, SpvOpLoopMerge, l->after, l->again,
                     e->target->keeps_loops ? SpvLoopControlDontUnrollMask : 0);
    krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranchConditional, goes_on, body,
                 l->after);
    krsi_spv_label(m, body);
}

static void
close_phi(krsi_spv_emit *e, size_t *phi, uint32_t value)
{
    krsi_spv_patch(e->m, KRSI_SPV_BODY, e->phis[(*phi)++], value);
}

/* Second values of the phis of a loop, in the order in which they were opened. */
static void
close_loop(krsi_spv_emit *e, const krsi_spv_loop *l)
{
    krsi_spv *m = e->m;
    const krs_kinst *inst = &e->kernel->insts[l->inst];
    size_t phi = l->first_phi;
    krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranch, l->again);
    krsi_spv_label(m, l->again);
    close_phi(e, &phi,
              krsi_spv_wide_add(e, e->value[l->inst][0], e->value[inst->c][0]));
    for (uint32_t c = l->inst + 1; c <= l->inst + l->carries; c++) {
        uint32_t next = e->next[c] ? e->next[c] : c;
        for (unsigned j = 0; j < e->kernel->insts[c].type.lanes; j++) {
            if (e->need[c] & KRSI_NEED_FULL)
                close_phi(e, &phi, e->value[next][j]);
            if (e->need[c] & KRSI_NEED_LOW)
                close_phi(e, &phi, e->low[next][j]);
        }
    }
    krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranch, l->head);
    krsi_spv_label(m, l->after);
    watch_end(e, l);
    e->phi_count = l->first_phi;
}

/* One value from before a branch, one from its end. */
static void
join(krsi_spv_emit *e, const krsi_spv_loop *l, uint32_t last, uint32_t type,
     uint32_t before, uint32_t behind)
{
    e->phis[e->phi_count++] = before == behind
                                  ? before
                                  : krsi_spv_value(e->m, SpvOpPhi, type, before,
                                                   l->before, behind, last);
}

/* All carries change at once: their results are kept until all are joined. */
static void
close_branch(krsi_spv_emit *e, const krsi_spv_loop *l)
{
    krsi_spv *m = e->m;
    uint32_t last = m->block;
    size_t at = l->first_phi;
    krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranch, l->after);
    krsi_spv_label(m, l->after);
    for (uint32_t c = l->inst + 1; c <= l->inst + l->carries; c++) {
        const krs_kinst *inst = &e->kernel->insts[c];
        uint32_t next = e->next[c] ? e->next[c] : c;
        uint32_t type = krsi_spv_lane_type(e, inst->type.dtype);
        for (unsigned j = 0; j < inst->type.lanes; j++) {
            if (e->need[c] & KRSI_NEED_FULL)
                join(e, l, last, type, e->value[inst->a][j], e->value[next][j]);
            if (e->need[c] & KRSI_NEED_LOW)
                join(e, l, last, krsi_spv_uint(m, 32), e->low[inst->a][j],
                     e->low[next][j]);
        }
    }
    for (uint32_t c = l->inst + 1; c <= l->inst + l->carries; c++)
        for (unsigned j = 0; j < e->kernel->insts[c].type.lanes; j++) {
            if (e->need[c] & KRSI_NEED_FULL)
                e->value[c][j] = (uint32_t)e->phis[at++];
            if (e->need[c] & KRSI_NEED_LOW)
                e->low[c][j] = (uint32_t)e->phis[at++];
        }
    e->phi_count = l->first_phi;
}

void
krsi_spv_end_loop(krsi_spv_emit *e)
{
    krsi_spv_loop *l = &e->loops[--e->depth];
    if (l->is_branch)
        close_branch(e, l);
    else
        close_loop(e, l);
}
