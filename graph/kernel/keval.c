/* keval.c -- the kernel interpreter: slow, plain, trusted, bit-exact.
 *
 * In: a verified kernel, the facts of a target, buffers and arguments. Out:
 * the buffers as every backend of such a target must leave them. Opening
 * decodes the instructions once into steps (keval_decode.c); running them is
 * one switch. Every access is checked against the sizes of the buffers, and
 * those that items of a group share for races (keval_race.c).
 *
 * The items of a group run in turn, each from barrier to barrier. Scratch and
 * shared memory hold 0xFF bytes (NaN) when a launch begins.
 */
#include "keval.h"

#include "kb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static krs_status
no_memory(krs_error *err, const krs_kernel *kernel)
{
    return krs_fail(err, KRS_E_MEMORY, "kernel %s: no memory to interpret it",
                    kernel->name);
}

krs_status
krs_keval_open(const krs_kernel *kernel, const krs_kfacts *facts,
               krs_keval **out, krs_error *err)
{
    *out = NULL;
    KRS_TRY(krs_kernel_verify(kernel, err));
    if (!facts || facts->struct_size < sizeof *facts)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "kernel %s: the facts of the target are missing",
                        kernel->name);
    krs_keval *keval = calloc(1, sizeof *keval);
    if (!keval)
        return no_memory(err, kernel);
    keval->kernel = kernel;
    keval->items = 1;
    for (int i = 0; i < KRS_K_AXES; i++) {
        keval->group[i] = kernel->group[i];
        keval->items *= kernel->group[i];
    }
    size_t buffers = kernel->buffer_count + 1;
    keval->registers = calloc(kernel->inst_count, sizeof *keval->registers);
    keval->memory = calloc(buffers * keval->items, sizeof *keval->memory);
    keval->owned = calloc(buffers, sizeof *keval->owned);
    keval->owned_bytes = calloc(buffers, sizeof *keval->owned_bytes);
    keval->counters = calloc(keval->items, sizeof *keval->counters);
    keval->watched = calloc(buffers, sizeof *keval->watched);
    if (!keval->registers || !keval->memory || !keval->owned ||
        !keval->owned_bytes || !keval->counters || !keval->watched ||
        !krsi_keval_decode(keval, facts)) {
        krs_keval_close(keval);
        return no_memory(err, kernel);
    }
    *out = keval;
    return KRS_OK;
}

void
krs_keval_close(krs_keval *keval)
{
    if (!keval)
        return;
    for (uint32_t i = 0; keval->owned && i < keval->kernel->buffer_count; i++)
        free(keval->owned[i]);
    free(keval->owned);
    free(keval->owned_bytes);
    free(keval->memory);
    free(keval->counters);
    free(keval->watched);
    free(keval->races.touch);
    free(keval->leaves);
    free(keval->file);
    free(keval->registers);
    free(keval->ops);
    free(keval);
}

struct run {
    krs_keval *keval;
    const struct keval_memory *memory; /* of this item, which is: */
    int32_t item;
    int64_t at[KRS_K_AXES]; /* the group */
    krs_error *err;
};

static krs_status
fail_at(const struct run *run, const struct keval_op *op, krs_status status,
        const char *what)
{
    const krs_kernel *kernel = run->keval->kernel;
    const krs_kinst *inst = &kernel->insts[op->inst];
    return krs_fail(run->err, status,
                    "kernel %s: instruction %u (%s) of group (%lld, %lld, "
                    "%lld): %s",
                    kernel->name, op->inst, krs_kop_name((krs_kop)inst->op),
                    (long long)run->at[0], (long long)run->at[1],
                    (long long)run->at[2], what);
}

static krs_status
out_of_range(const struct run *run, const struct keval_op *op, int64_t element)
{
    const krs_kbuffer *buffer = &run->keval->kernel->buffers[op->slot];
    char text[300];
    snprintf(text, sizeof text, "element %lld of buffer %s, which has %lld",
             (long long)element, buffer->name,
             (long long)run->memory[op->slot].count);
    return fail_at(run, op, KRS_E_RANGE, text);
}

static krs_status
misaligned(const struct run *run, const struct keval_op *op, int64_t element)
{
    const krs_kbuffer *buffer = &run->keval->kernel->buffers[op->slot];
    char text[300];
    snprintf(text, sizeof text,
             "element %lld of buffer %s is not at a multiple of %d bytes",
             (long long)element, buffer->name, 1 << op->align_log2);
    return fail_at(run, op, KRS_E_RANGE, text);
}

/* Element a + offset of one lane; false on overflow. */
static bool
lane_element(const char *registers, const struct keval_op *op, int lane,
             int64_t *out)
{
    int64_t base, offset = lane;
    memcpy(&base, registers + op->a, sizeof base);
    if (op->offset_bytes == 8) {
        memcpy(&offset, registers + op->b + 8 * lane, sizeof offset);
    } else if (op->offset_bytes == 4) {
        int32_t narrow;
        memcpy(&narrow, registers + op->b + 4 * lane, sizeof narrow);
        offset = narrow;
    }
    return !__builtin_add_overflow(base, offset, out);
}

/* An element of a watched buffer is touched; value: what is written, or NULL. */
static krs_status
touch(const struct run *run, const struct keval_op *op, int64_t element,
      const char *value)
{
    krs_keval *keval = run->keval;
    const krs_kbuffer *buffer = &keval->kernel->buffers[op->slot];
    const char *at =
        run->memory[op->slot].data + (size_t)element * op->element_bytes;
    enum keval_access access = KEVAL_WRITES;
    int32_t other;
    char text[300];
    if (!value)
        access = KEVAL_READS;
    else if (buffer->space == KRS_K_PARAM &&
             memcmp(at, value, op->element_bytes) == 0)
        access = KEVAL_WRITES_THE_SAME;
    switch (krsi_keval_touch(&keval->races, at, run->item, access, &other)) {
    case KEVAL_FINE: return KRS_OK;
    case KEVAL_NO_MEMORY: return no_memory(run->err, keval->kernel);
    case KEVAL_RACE: break;
    }
    if (other == KEVAL_SEVERAL)
        snprintf(text, sizeof text, "item %d and several others",
                 (int)run->item);
    else
        snprintf(text, sizeof text, "items %d and %d", (int)other,
                 (int)run->item);
    size_t length = strlen(text);
    snprintf(text + length, sizeof text - length,
             " race for element %lld of buffer %s: one writes it, and there "
             "is no barrier between",
             (long long)element, buffer->name);
    return fail_at(run, op, KRS_E_FORMAT, text);
}

/* A lane at a time: masked, gathering, scattering. */
static krs_status
lanes_one_by_one(const struct run *run, char *registers,
                 const struct keval_op *op, bool writes)
{
    const struct keval_memory *memory = &run->memory[op->slot];
    size_t bytes = op->element_bytes;
    char *value = registers + (writes ? op->d : op->dst);
    for (int i = 0; i < op->lanes; i++) {
        int64_t element;
        if (op->masked && !registers[op->c + (uint32_t)i]) {
            if (!writes)
                memset(value + (size_t)i * bytes, 0, bytes);
            continue;
        }
        if (!lane_element(registers, op, i, &element) || element < 0 ||
            element >= memory->count)
            return out_of_range(run, op, element);
        if (run->keval->watched[op->slot])
            KRS_TRY(touch(run, op, element,
                          writes ? value + (size_t)i * bytes : NULL));
        char *at = memory->data + (size_t)element * bytes;
        if (writes)
            memcpy(at, value + (size_t)i * bytes, bytes);
        else
            memcpy(value + (size_t)i * bytes, at, bytes);
    }
    return KRS_OK;
}

static krs_status
lanes_in_a_row(const struct run *run, char *registers,
               const struct keval_op *op, bool writes, int64_t index)
{
    const struct keval_memory *memory = &run->memory[op->slot];
    size_t bytes = op->element_bytes;
    char *value = registers + (writes ? op->d : op->dst);
    if (index < 0 || index > memory->count - op->lanes)
        return out_of_range(
            run, op,
            index < 0 || index >= memory->count ? index : memory->count);
    for (int i = 0; run->keval->watched[op->slot] && i < op->lanes; i++)
        KRS_TRY(touch(run, op, index + i,
                      writes ? value + (size_t)i * bytes : NULL));
    char *at = memory->data + (size_t)index * bytes;
    memcpy(writes ? at : value, writes ? value : at, bytes * op->lanes);
    return KRS_OK;
}

static krs_status
access_memory(const struct run *run, char *registers, const struct keval_op *op)
{
    const struct keval_memory *memory = &run->memory[op->slot];
    bool writes = op->code == KEVAL_STORE || op->code == KEVAL_SCATTER;
    size_t bytes = op->element_bytes;
    krs_status status = KRS_OK;
    int64_t index;
    memcpy(&index, registers + op->a, sizeof index);
    if (((uintptr_t)memory->data + (uintptr_t)index * bytes) &
        (((uintptr_t)1 << op->align_log2) - 1))
        return misaligned(run, op, index);
    if (op->masked || op->offset_bytes)
        status = lanes_one_by_one(run, registers, op, writes);
    else
        status = lanes_in_a_row(run, registers, op, writes, index);
    if (op->is_bool && !writes)
        for (int i = 0; i < op->lanes; i++)
            registers[op->dst + (uint32_t)i] =
                registers[op->dst + (uint32_t)i] != 0;
    return status;
}

static int64_t
word_at(const char *registers, uint32_t offset)
{
    int64_t value;
    memcpy(&value, registers + offset, sizeof value);
    return value;
}

/* Run one item from *counter to the next barrier or the end. */
static krs_status
run_item(const struct run *run, char *registers, uint32_t *counter)
{
    const struct keval_op *ops = run->keval->ops;
    uint32_t at = *counter;
    int64_t index;
    for (;;) {
        const struct keval_op *op = &ops[at++];
        switch ((enum keval_code)op->code) {
        case KEVAL_PURE: op->fn(registers, op); break;
        case KEVAL_LOAD:
        case KEVAL_GATHER:
        case KEVAL_STORE:
        case KEVAL_SCATTER: KRS_TRY(access_memory(run, registers, op)); break;
        case KEVAL_ENTER:
            if (word_at(registers, op->c) <= 0)
                return fail_at(run, op, KRS_E_RANGE,
                               "the step of the loop is not positive");
            memcpy(registers + op->dst, registers + op->a, sizeof index);
            break;
        case KEVAL_TEST:
            if (word_at(registers, op->dst) >= word_at(registers, op->b))
                at = op->jump;
            break;
        case KEVAL_AGAIN:
            if (!__builtin_add_overflow(word_at(registers, op->dst),
                                        word_at(registers, op->c), &index) &&
                index < word_at(registers, op->b)) {
                memcpy(registers + op->dst, &index, sizeof index);
                at = op->jump;
            }
            break;
        case KEVAL_BARRIER: *counter = at; return KRS_OK;
        case KEVAL_STOP: *counter = at - 1; return KRS_OK;
        }
    }
}

static void
set_leaves(const krs_keval *keval, char *registers, size_t item,
           const krs_klaunch *launch, const int64_t at[KRS_K_AXES],
           krs_kop kind)
{
    int64_t local[KRS_K_AXES];
    size_t rest = item;
    for (int i = 0; i < KRS_K_AXES; i++) {
        local[i] = (int64_t)(rest % (size_t)keval->group[i]);
        rest /= (size_t)keval->group[i];
    }
    for (size_t i = 0; i < keval->leaf_count; i++) {
        const struct keval_leaf *leaf = &keval->leaves[i];
        char *to = registers + leaf->dst;
        if (leaf->op != kind)
            continue;
        if (leaf->op == KRS_K_AXIS)
            memcpy(to, &at[leaf->slot], sizeof *at);
        else if (leaf->op == KRS_K_LOCAL)
            memcpy(to, &local[leaf->slot], sizeof *local);
        else if (keval->kernel->args[leaf->slot].dtype == KRS_I64)
            memcpy(to, &launch->args[leaf->slot].i, sizeof(int64_t));
        else
            memcpy(to, &launch->args[leaf->slot].f, sizeof(float));
    }
}

static krs_status
run_group(krs_keval *keval, const krs_klaunch *launch, struct run *run)
{
    size_t buffers = keval->kernel->buffer_count;
    size_t waiting;
    for (size_t item = 0; item < keval->items; item++) {
        keval->counters[item] = 0;
        set_leaves(keval, keval->file + item * keval->register_bytes, item,
                   launch, run->at, KRS_K_AXIS);
    }
    do {
        waiting = 0;
        krsi_keval_barrier(&keval->races);
        for (size_t item = 0; item < keval->items; item++) {
            run->memory = keval->memory + item * buffers;
            run->item = (int32_t)item;
            KRS_TRY(run_item(run, keval->file + item * keval->register_bytes,
                             &keval->counters[item]));
            if (keval->ops[keval->counters[item]].code != KEVAL_STOP)
                waiting++;
        }
    } while (waiting > 0);
    return KRS_OK;
}

/* Sizes and addresses of all buffers, for every item of a group. */
static krs_status
bind_buffers(krs_keval *keval, const krs_klaunch *launch, krs_error *err)
{
    const krs_kernel *kernel = keval->kernel;
    for (uint32_t i = 0; i < kernel->buffer_count; i++) {
        const krs_kbuffer *buffer = &kernel->buffers[i];
        size_t element = (size_t)krsi_kdtype_bytes(buffer->dtype);
        size_t align = (size_t)1 << buffer->align_log2;
        struct keval_memory memory = {NULL, buffer->count};
        size_t stride = 0;
        if (buffer->space == KRS_K_PARAM) {
            memory.data = launch->buffers[i];
            memory.count = (int64_t)(launch->buffer_bytes[i] / element);
            if ((uintptr_t)memory.data & (align - 1))
                return krs_fail(err, KRS_E_ARGUMENT,
                                "kernel %s: buffer %s is not at a multiple of "
                                "%zu bytes",
                                kernel->name, buffer->name, align);
        } else {
            size_t copies = buffer->space == KRS_K_SCRATCH ? keval->items : 1,
                   bytes;
            if (buffer->count_arg >= 0 &&
                (launch->args[buffer->count_arg].i < 0 ||
                 __builtin_mul_overflow(memory.count,
                                        launch->args[buffer->count_arg].i,
                                        &memory.count)))
                return krs_fail(err, KRS_E_RANGE,
                                "kernel %s: buffer %s: %lld times %lld "
                                "elements",
                                kernel->name, buffer->name,
                                (long long)buffer->count,
                                (long long)launch->args[buffer->count_arg].i);
            if (__builtin_mul_overflow((size_t)memory.count, element,
                                       &stride) ||
                __builtin_add_overflow(stride, (size_t)4095, &stride) ||
                __builtin_mul_overflow(stride &= ~(size_t)4095, copies, &bytes))
                return no_memory(err, kernel);
            if (keval->owned_bytes[i] < bytes) {
                void *fresh;
                if (posix_memalign(&fresh, 4096, bytes) != 0)
                    return no_memory(err, kernel);
                free(keval->owned[i]);
                keval->owned[i] = fresh;
                keval->owned_bytes[i] = bytes;
            }
            if (bytes)
                memset(keval->owned[i], 0xFF, bytes);
            memory.data = keval->owned[i];
        }
        for (size_t item = 0; item < keval->items; item++) {
            keval->memory[item * kernel->buffer_count + i] = memory;
            if (buffer->space == KRS_K_SCRATCH && memory.data)
                memory.data += stride;
        }
    }
    return KRS_OK;
}

krs_status
krs_keval_run(krs_keval *keval, const krs_klaunch *launch, krs_error *err)
{
    const krs_kernel *kernel = keval->kernel;
    if (!launch || launch->struct_size < sizeof *launch ||
        (kernel->param_count && (!launch->buffers || !launch->buffer_bytes)) ||
        (kernel->arg_count && !launch->args))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "kernel %s: the launch lacks buffers or arguments",
                        kernel->name);
    for (int i = 0; i < KRS_K_AXES; i++)
        if (launch->grid[i] < 0 ||
            (i >= (int)kernel->axes && launch->grid[i] != 1))
            return krs_fail(err, KRS_E_ARGUMENT,
                            "kernel %s: %lld groups along axis %d of a grid "
                            "of %u axes",
                            kernel->name, (long long)launch->grid[i], i,
                            kernel->axes);
    KRS_TRY(bind_buffers(keval, launch, err));
    krsi_keval_watch(keval, launch);
    struct run run = {.keval = keval, .err = err};
    for (size_t item = 0; item < keval->items; item++) {
        char *registers = keval->file + item * keval->register_bytes;
        set_leaves(keval, registers, item, launch, run.at, KRS_K_ARG);
        set_leaves(keval, registers, item, launch, run.at, KRS_K_LOCAL);
    }
    for (run.at[2] = 0; run.at[2] < launch->grid[2]; run.at[2]++)
        for (run.at[1] = 0; run.at[1] < launch->grid[1]; run.at[1]++)
            for (run.at[0] = 0; run.at[0] < launch->grid[0]; run.at[0]++)
                KRS_TRY(run_group(keval, launch, &run));
    return KRS_OK;
}
