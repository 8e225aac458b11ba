/* keval_decode.c -- a kernel into the steps of the kernel interpreter.
 *
 * In: a verified kernel and the facts of a target. Out: an array of steps with
 * operand offsets into a register file, and that file with the constants in
 * it: running neither searches nor allocates per step.
 *
 * Every value owns its lanes in the file. Leaves are not steps: constants are
 * written here, arguments once a launch, axis indices once a group. A carry's
 * next value is computed in the carry's own register where nothing reads the
 * old value afterwards, else copied; where a next value is itself another
 * carry, all go through registers of the NEXTs.
 */
#include "keval.h"

#include "kb.h"

#include <stdlib.h>
#include <string.h>

static size_t
value_bytes(krs_ktype type)
{
    return (size_t)krsi_kdtype_bytes(type.dtype) * type.lanes;
}

static struct keval_op *
emit(krs_keval *keval, uint32_t inst, enum keval_code code)
{
    if (!krsi_reserve(&keval->ops, &keval->op_capacity, keval->op_count + 1,
                      sizeof *keval->ops))
        return NULL;
    const krs_kinst *from = &keval->kernel->insts[inst];
    struct keval_op *op = &keval->ops[keval->op_count++];
    *op = (struct keval_op){.code = (uint8_t)code,
                            .lanes = from->type.lanes,
                            .element_bytes =
                                (uint8_t)krsi_kdtype_bytes(from->type.dtype),
                            .align_log2 = from->align_log2,
                            .masked = from->c != 0,
                            .is_bool = from->type.dtype == KRS_BOOL,
                            .slot = from->slot,
                            .dst = keval->registers[inst],
                            .a = keval->registers[from->a],
                            .b = keval->registers[from->b],
                            .c = keval->registers[from->c],
                            .d = keval->registers[from->d],
                            .inst = inst};
    return op;
}

static bool
emit_copy(krs_keval *keval, uint32_t inst, uint32_t dst, uint32_t from)
{
    struct keval_op *op = emit(keval, inst, KEVAL_PURE);
    if (!op)
        return false;
    op->fn = krsi_keval_copy();
    op->dst = dst;
    op->a = from;
    return true;
}

/* Give every value its register. A next value shares that of its carry if it
 * is computed in the body of the same loop by a lane-wise instruction and the
 * carry is not read later. Lane-wise: reading and writing one register in one
 * step is safe. */
static bool
place_values(krs_keval *keval)
{
    const krs_kernel *kernel = keval->kernel;
    uint32_t count = kernel->inst_count;
    uint32_t *last_use = calloc(count, sizeof *last_use);
    uint32_t *scope = calloc(count, sizeof *scope);
    uint32_t *parent = calloc(count, sizeof *parent);
    bool good = last_use && scope && parent;
    uint32_t now = 0;
    size_t bytes = 64; /* offset 0 stands for "no operand" */
    for (uint32_t i = 1; good && i < count; i++) {
        const krs_kinst *inst = &kernel->insts[i];
        const uint32_t refs[] = {inst->a, inst->b, inst->c, inst->d};
        scope[i] = now;
        if (inst->op == KRS_K_FOR) {
            parent[i] = now;
            now = i;
            scope[i] = i;
        } else if (inst->op == KRS_K_END) {
            now = parent[inst->a];
        }
        for (int k = 0; k < 4; k++)
            if (refs[k] && inst->op != KRS_K_END && inst->op != KRS_K_RESULT &&
                !(inst->op == KRS_K_NEXT && k == 0))
                last_use[refs[k]] = i;
        if (krs_kop_has_result((krs_kop)inst->op) || inst->op == KRS_K_NEXT) {
            keval->registers[i] = (uint32_t)bytes;
            bytes += (value_bytes(inst->type) + 15) / 16 * 16;
            good = bytes < UINT32_MAX / 2;
        }
    }
    for (uint32_t i = 1; good && i < count; i++) {
        const krs_kinst *inst = &kernel->insts[i];
        if (inst->op != KRS_K_NEXT)
            continue;
        uint32_t carry = inst->a, value = inst->b;
        const krs_kinst *from = &kernel->insts[value];
        bool lanewise = from->op == KRS_K_SCALAR &&
                        from->scalar != KRS_KS_CONVERT &&
                        from->scalar != KRS_KS_BITCAST &&
                        krs_kscalar_arity((krs_kscalar)from->scalar) > 0;
        bool compares =
            from->op == KRS_K_SCALAR && from->a &&
            !krsi_ktype_same(from->type, kernel->insts[from->a].type);
        if (lanewise && !compares && scope[value] == scope[carry] &&
            last_use[carry] <= value)
            keval->registers[value] = keval->registers[carry];
    }
    keval->register_bytes = (bytes + 63) / 64 * 64;
    free(last_use);
    free(scope);
    free(parent);
    return good;
}

static bool
decode_leaf(krs_keval *keval, uint32_t i)
{
    const krs_kinst *inst = &keval->kernel->insts[i];
    if (!krsi_reserve(&keval->leaves, &keval->leaf_capacity,
                      keval->leaf_count + 1, sizeof *keval->leaves))
        return false;
    keval->leaves[keval->leaf_count++] =
        (struct keval_leaf){inst->op, inst->slot, keval->registers[i]};
    return true;
}

/* All NEXTs of the loop that ends at `end`, as if at once. */
static bool
decode_nexts(krs_keval *keval, uint32_t end)
{
    const krs_kinst *insts = keval->kernel->insts;
    uint32_t first = end;
    bool crossed = false;
    while (insts[first - 1].op == KRS_K_NEXT)
        first--;
    for (uint32_t i = first; i < end; i++)
        for (uint32_t j = first; j < end; j++)
            crossed = crossed || (i != j && insts[i].b == insts[j].a);
    for (uint32_t i = first; i < end; i++) {
        uint32_t dst = keval->registers[insts[i].a];
        uint32_t from = keval->registers[insts[i].b];
        if (dst != from &&
            !emit_copy(keval, i, crossed ? keval->registers[i] : dst, from))
            return false;
    }
    for (uint32_t i = first; crossed && i < end; i++) {
        uint32_t dst = keval->registers[insts[i].a];
        if (dst != keval->registers[insts[i].b] &&
            !emit_copy(keval, i, dst, keval->registers[i]))
            return false;
    }
    return true;
}

static bool
decode_inst(krs_keval *keval, uint32_t i, const krs_kfacts *facts)
{
    static const uint8_t codes[] = {[KRS_K_LOAD] = KEVAL_LOAD,
                                    [KRS_K_GATHER] = KEVAL_GATHER,
                                    [KRS_K_STORE] = KEVAL_STORE,
                                    [KRS_K_SCATTER] = KEVAL_SCATTER};
    const krs_kinst *insts = keval->kernel->insts, *inst = &insts[i];
    struct keval_op *op;
    int bytes = krsi_kdtype_bytes(inst->type.dtype);
    bool last_head =
        i + 1 >= keval->kernel->inst_count || insts[i + 1].op != KRS_K_CARRY;
    switch ((krs_kop)inst->op) {
    case KRS_K_CONST:
        for (int k = 0; k < inst->type.lanes; k++)
            memcpy(keval->file + keval->registers[i] + k * bytes, &inst->u.bits,
                   (size_t)bytes);
        return true;
    case KRS_K_LANES:
        for (int32_t k = 0; k < inst->type.lanes; k++)
            memcpy(keval->file + keval->registers[i] + k * bytes, &k, sizeof k);
        return true;
    case KRS_K_ARG:
    case KRS_K_AXIS:
    case KRS_K_LOCAL: return decode_leaf(keval, i);
    case KRS_K_SCALAR:
        op = emit(keval, i, KEVAL_PURE);
        if (!op)
            return false;
        op->fn = krsi_keval_scalar((krs_kscalar)inst->scalar,
                                   (krs_dtype)insts[inst->a].type.dtype,
                                   (krs_dtype)inst->type.dtype, facts);
        return true;
    case KRS_K_BROADCAST:
        op = emit(keval, i, KEVAL_PURE);
        if (op)
            op->fn = krsi_keval_broadcast(bytes);
        return op != NULL;
    case KRS_K_SHUFFLE:
        op = emit(keval, i, KEVAL_PURE);
        if (!op)
            return false;
        op->fn = krsi_keval_shuffle(bytes);
        op->lane_table = inst->u.lanes;
        op->jump = insts[inst->a].type.lanes;
        return true;
    case KRS_K_LOAD:
    case KRS_K_GATHER:
    case KRS_K_STORE:
    case KRS_K_SCATTER:
        op = emit(keval, i, (enum keval_code)codes[inst->op]);
        if (op && inst->b)
            op->offset_bytes =
                (uint8_t)krsi_kdtype_bytes(insts[inst->b].type.dtype);
        return op != NULL;
    case KRS_K_FOR:
        return emit(keval, i, KEVAL_ENTER) &&
               (!last_head || emit(keval, i, KEVAL_TEST));
    case KRS_K_CARRY: {
        if (!emit_copy(keval, i, keval->registers[i],
                       keval->registers[inst->a]))
            return false;
        uint32_t loop = i;
        while (insts[loop].op != KRS_K_FOR)
            loop--;
        return !last_head || emit(keval, loop, KEVAL_TEST);
    }
    case KRS_K_END: {
        if (!decode_nexts(keval, i) || !emit(keval, inst->a, KEVAL_AGAIN))
            return false;
        size_t test = keval->op_count - 1;
        while (keval->ops[test].code != KEVAL_TEST ||
               keval->ops[test].inst != inst->a)
            test--;
        keval->ops[keval->op_count - 1].jump = (uint32_t)test + 1;
        keval->ops[test].jump = (uint32_t)keval->op_count;
        return true;
    }
    case KRS_K_RESULT:
        return emit_copy(keval, i, keval->registers[i],
                         keval->registers[inst->a]);
    case KRS_K_BARRIER: return emit(keval, i, KEVAL_BARRIER) != NULL;
    case KRS_K_PREFETCH:
    case KRS_K_NEXT:
    case KRS_K_NOTHING:
    case KRS_K_COUNT: break;
    }
    return true;
}

bool
krsi_keval_decode(krs_keval *keval, const krs_kfacts *facts)
{
    uint32_t count = keval->kernel->inst_count;
    size_t bytes;
    if (!place_values(keval) ||
        __builtin_mul_overflow(keval->register_bytes, keval->items, &bytes) ||
        posix_memalign((void **)&keval->file, 64, bytes) != 0)
        return false;
    memset(keval->file, 0, bytes);
    for (uint32_t i = 1; i < count; i++)
        if (!decode_inst(keval, i, facts))
            return false;
    if (!emit(keval, 0, KEVAL_STOP))
        return false;
    for (size_t i = 1; i < keval->items; i++)
        memcpy(keval->file + i * keval->register_bytes, keval->file,
               keval->register_bytes);
    return true;
}
