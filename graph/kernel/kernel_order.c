/* kernel_order.c -- the builder's instructions that stand in an order.
 *
 * In: addresses, values and loop bounds. Out: loads, stores, prefetches and
 * barriers appended where they are called, and loops with their carries: NEXTs,
 * END and RESULTs are written when a loop ends, and what was computed inside
 * is out of scope from there on. Nothing is merged or moved.
 */
#include "kernel_build.h"

/* Fill what loads, stores and prefetches share; false after an error. */
static bool
address(krsi_kb *kb, krs_kop op, const krsi_kmem *at, krs_kinst *inst)
{
    if (krsi_kb_failed(kb))
        return false;
    if (at->buffer.ref == 0 || at->buffer.ref > kb->buffer_count) {
        krsi_kb_fail(kb, KRS_E_ARGUMENT, "%s without a buffer",
                     krs_kop_name(op));
        return false;
    }
    const krs_kbuffer *buffer = &kb->buffers[at->buffer.ref - 1];
    int lanes = at->lanes ? at->lanes : 1;
    *inst = (krs_kinst){
        .op = (uint8_t)op,
        .flags = (uint8_t)at->flags,
        .align_log2 =
            krsi_kb_alignment(kb, (krs_dtype)buffer->dtype, at->align_bytes),
        .type = {buffer->dtype, (uint8_t)lanes},
        .slot = (uint16_t)(at->buffer.ref - 1),
        .a = at->index.ref,
        .b = at->offsets.ref,
        .c = at->mask.ref
    };
    return !kb->failed;
}

krsi_kv
krsi_kb_load(krsi_kb *kb, krsi_kmem at)
{
    krs_kinst inst;
    if (!address(kb, at.offsets.ref ? KRS_K_GATHER : KRS_K_LOAD, &at, &inst))
        return KRSI_KV_NONE;
    return krsi_kb_append(kb, &inst);
}

void
krsi_kb_store(krsi_kb *kb, krsi_kmem at, krsi_kv value)
{
    krs_kinst inst;
    at.lanes = krsi_kb_type(kb, value).lanes;
    if (!address(kb, at.offsets.ref ? KRS_K_SCATTER : KRS_K_STORE, &at, &inst))
        return;
    inst.type = krsi_kb_type(kb, value);
    inst.d = value.ref;
    krsi_kb_append(kb, &inst);
}

void
krsi_kb_prefetch(krsi_kb *kb, krsi_kmem at)
{
    krs_kinst inst;
    at.offsets = at.mask = KRSI_KV_NONE;
    if (address(kb, KRS_K_PREFETCH, &at, &inst))
        krsi_kb_append(kb, &inst);
}

void
krsi_kb_barrier(krsi_kb *kb)
{
    krs_kinst inst = {.op = KRS_K_BARRIER};
    krsi_kb_append(kb, &inst);
}

krsi_kv
krsi_kb_for(krsi_kb *kb, krsi_kv low, krsi_kv high, krsi_kv step)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    if (kb->depth >= KB_MAX_DEPTH) {
        krsi_kb_fail(kb, KRS_E_RANGE, "loops nested deeper than %d",
                     KB_MAX_DEPTH);
        return KRSI_KV_NONE;
    }
    krs_kinst inst = {
        .op = KRS_K_FOR,
        .type = {KRS_I64, 1},
        .a = low.ref,
        .b = high.ref,
        .c = step.ref
    };
    krsi_kv loop = krsi_kb_append(kb, &inst);
    kb->scopes[kb->depth++] =
        (struct kb_scope){loop.ref, kb->carry_count, kb->pure_table.count};
    return loop;
}

static struct kb_carry *
find_carry(krsi_kb *kb, krsi_kv value)
{
    for (size_t i = kb->carry_count; i-- > 0;)
        if (kb->carries[i].ref == value.ref && value.ref)
            return &kb->carries[i];
    krsi_kb_fail(kb, KRS_E_ARGUMENT, "the value is not a carry of a loop");
    return NULL;
}

krsi_kv
krsi_kb_carry(krsi_kb *kb, krsi_kv first)
{
    krs_kinst inst = {
        .op = KRS_K_CARRY, .type = krsi_kb_type(kb, first), .a = first.ref};
    krsi_kv value = krsi_kb_append(kb, &inst);
    if (!value.ref)
        return value;
    if (!krsi_reserve(&kb->carries, &kb->carry_capacity, kb->carry_count + 1,
                      sizeof *kb->carries)) {
        krsi_kb_no_memory(kb);
        return KRSI_KV_NONE;
    }
    kb->carries[kb->carry_count++] = (struct kb_carry){value.ref, value.ref, 0};
    return value;
}

void
krsi_kb_next(krsi_kb *kb, krsi_kv carry, krsi_kv value)
{
    struct kb_carry *found = krsi_kb_failed(kb) ? NULL : find_carry(kb, carry);
    if (found)
        found->next = value.ref;
}

/* Close the innermost loop: its NEXTs, END, and a RESULT for each carry.
 * What was computed inside is out of scope from here on. */
void
krsi_kb_end(krsi_kb *kb)
{
    if (krsi_kb_failed(kb))
        return;
    if (kb->depth == 0) {
        krsi_kb_fail(kb, KRS_E_ARGUMENT, "end without a loop");
        return;
    }
    struct kb_scope scope = kb->scopes[--kb->depth];
    size_t first = scope.first_carry, last = kb->carry_count;
    while (first < last && kb->carries[first].ref < scope.loop)
        first++;
    for (size_t i = first; i < last; i++)
        if (!kb->carries[i].result) {
            krs_kinst next = {.op = KRS_K_NEXT,
                              .type =
                                  kb->body.items[kb->carries[i].ref - 1].type,
                              .a = kb->carries[i].ref,
                              .b = kb->carries[i].next};
            krsi_kb_append(kb, &next);
        }
    krs_kinst end = {.op = KRS_K_END, .a = scope.loop};
    krsi_kb_append(kb, &end);
    for (size_t i = first; i < last && !kb->failed; i++)
        if (!kb->carries[i].result) {
            krs_kinst result = {.op = KRS_K_RESULT,
                                .type =
                                    kb->body.items[kb->carries[i].ref - 1].type,
                                .a = kb->carries[i].ref};
            kb->carries[i].result = krsi_kb_append(kb, &result).ref;
        }
    krsi_kb_leave(kb, scope.entries);
}

krsi_kv
krsi_kb_result(krsi_kb *kb, krsi_kv carry)
{
    struct kb_carry *found = krsi_kb_failed(kb) ? NULL : find_carry(kb, carry);
    if (!found)
        return KRSI_KV_NONE;
    if (!found->result)
        krsi_kb_fail(kb, KRS_E_ARGUMENT, "result of a loop that has not ended");
    return (krsi_kv){found->result};
}
