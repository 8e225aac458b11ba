/* spirv_need.c -- which instructions are needed, and of i64 which half.
 *
 * In: a kernel. Out: for each instruction KRSI_NEED_FULL, KRSI_NEED_LOW, both
 * or nothing. Stores, loop bounds and masks ask for whole values, addresses for
 * low words; what asks hands on to its operands. Backwards over the kernel,
 * again while a carry learns of something new.
 */
#include "spirv_emit.h"

#include <string.h>

bool
krsi_spv_is_low(const krs_kinst *inst)
{
    static const bool rows[KRS_KS_COUNT] = {
        [KRS_KS_ADD] = true, [KRS_KS_SUB] = true, [KRS_KS_MUL] = true,
        [KRS_KS_NEG] = true, [KRS_KS_AND] = true, [KRS_KS_OR] = true,
        [KRS_KS_XOR] = true, [KRS_KS_NOT] = true, [KRS_KS_SELECT] = true};
    return rows[inst->scalar];
}

/* What an instruction that is needed must get from its operands. */
static void
need_scalar(const krs_kernel *kernel, uint8_t *need, uint32_t i)
{
    const krs_kinst *inst = &kernel->insts[i];
    const krs_kinst *a = &kernel->insts[inst->a];
    bool is_wide = inst->type.dtype == KRS_I64;
    uint8_t of = KRSI_NEED_FULL;
    if (inst->scalar == KRS_KS_CONVERT) {
        /* to a narrower integer only the low word counts */
        if (a->type.dtype == KRS_I64 &&
            (inst->type.dtype == KRS_I32 || inst->type.dtype == KRS_I8 ||
             inst->type.dtype == KRS_U8))
            of = KRSI_NEED_LOW;
        else if (a->type.dtype == KRS_I64 && is_wide)
            of = need[i];
        need[inst->a] |= of;
        return;
    }
    if (is_wide && krsi_spv_is_low(inst))
        of = need[i];
    else if (is_wide)
        need[i] |= KRSI_NEED_FULL;
    need[inst->a] |= inst->scalar == KRS_KS_SELECT ? KRSI_NEED_FULL : of;
    need[inst->b] |= of;
    need[inst->c] |= of;
}

static uint8_t
index_need(const krs_kernel *kernel, uint32_t value)
{
    return kernel->insts[value].type.dtype == KRS_I64 ? KRSI_NEED_LOW
                                                      : KRSI_NEED_FULL;
}

static void
need_address(const krs_kernel *kernel, uint8_t *need, const krs_kinst *inst)
{
    need[inst->a] |= KRSI_NEED_LOW;
    need[inst->b] |= index_need(kernel, inst->b);
    need[inst->c] |= KRSI_NEED_FULL;
}

static void
pass_on(const krs_kernel *kernel, uint8_t *need, uint32_t i)
{
    const krs_kinst *inst = &kernel->insts[i];
    switch ((krs_kop)inst->op) {
    case KRS_K_STORE:
    case KRS_K_SCATTER:
        need[inst->d] |= KRSI_NEED_FULL;
        need_address(kernel, need, inst);
        return;
    case KRS_K_FOR:
        need[i] |= KRSI_NEED_FULL;
        need[inst->a] |= KRSI_NEED_FULL;
        need[inst->b] |= KRSI_NEED_FULL;
        need[inst->c] |= KRSI_NEED_FULL;
        return;
    case KRS_K_NEXT: need[inst->b] |= need[inst->a]; return;
    case KRS_K_LOAD:
    case KRS_K_GATHER:
        if (need[i])
            need_address(kernel, need, inst);
        return;
    case KRS_K_SCALAR:
        if (need[i])
            need_scalar(kernel, need, i);
        return;
    case KRS_K_BROADCAST:
    case KRS_K_SHUFFLE:
    case KRS_K_CARRY:
    case KRS_K_RESULT:
        need[inst->a] |= need[i];
        need[inst->b] |= need[i];
        return;
    case KRS_K_NOTHING:
    case KRS_K_CONST:
    case KRS_K_ARG:
    case KRS_K_AXIS:
    case KRS_K_LOCAL:
    case KRS_K_LANES:
    case KRS_K_PREFETCH:
    case KRS_K_END:
    case KRS_K_BARRIER:
    case KRS_K_COUNT: return;
    }
}

/* A carry whose next value does not give yet what the carry must. */
static bool
has_more(const krs_kernel *kernel, const uint8_t *need)
{
    for (uint32_t i = 1; i < kernel->inst_count; i++) {
        const krs_kinst *inst = &kernel->insts[i];
        if (inst->op == KRS_K_NEXT && (need[inst->a] & ~need[inst->b]))
            return true;
    }
    return false;
}

void
krsi_spv_find_needs(const krs_kernel *kernel, uint8_t *need)
{
    memset(need, 0, kernel->inst_count);
    do
        for (uint32_t i = kernel->inst_count; i-- > 1;)
            pass_on(kernel, need, i);
    while (has_more(kernel, need));
    need[0] = 0;
}
