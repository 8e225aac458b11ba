/* kernel_build.c -- the kernel that a builder grows.
 *
 * In: declarations, and instructions that kernel_value.c and kernel_order.c
 * made of the calls of a template. Out: a verified kernel. Leaves (constants,
 * arguments, axes, lane numbers) collect in a list of their own that goes in
 * front, so a constant first used in a loop is not computed in the loop.
 *
 * Equal pure instructions are found by hash among those in scope: entries are
 * pushed in order and popped when their loop ends.
 */
#include "kernel_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INSTS (UINT32_C(1) << 24)

void
krsi_kb_fail(krsi_kb *kb, krs_status status, const char *format, ...)
{
    if (!kb || kb->failed)
        return;
    char text[KRS_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    krs_fail(&kb->err, status, "kernel %s: %s", kb->kernel->name, text);
    kb->failed = true;
}

void
krsi_kb_no_memory(krsi_kb *kb)
{
    krsi_kb_fail(kb, KRS_E_MEMORY, "no memory for another instruction");
}

bool
krsi_kb_failed(const krsi_kb *kb)
{
    return !kb || kb->failed;
}

krsi_kb *
krsi_kb_new(const char *name)
{
    krsi_kb *kb = calloc(1, sizeof *kb);
    if (!kb)
        return NULL;
    kb->kernel = krsi_kernel_new(&kb->arena);
    if (kb->kernel)
        kb->kernel->name = krsi_arena_copy_string(kb->arena, name);
    if (!kb->kernel || !kb->kernel->name) {
        krsi_kb_free(kb);
        return NULL;
    }
    for (int i = 0; i < KRS_K_AXES; i++)
        kb->kernel->group[i] = 1;
    return kb;
}

void
krsi_kb_free(krsi_kb *kb)
{
    if (!kb)
        return;
    krs_kernel_free(kb->kernel);
    free(kb->buffers);
    free(kb->args);
    free(kb->leaves.items);
    free(kb->body.items);
    free(kb->leaf_table.entries);
    free(kb->pure_table.entries);
    free(kb->carries);
    free(kb);
}

krs_kinst
krsi_kb_inst(const krsi_kb *kb, krsi_kv value)
{
    if (kb && value.ref & KB_LEAF)
        return kb->leaves.items[(value.ref & ~KB_LEAF) - 1];
    if (kb && value.ref)
        return kb->body.items[value.ref - 1];
    return (krs_kinst){0};
}

krs_ktype
krsi_kb_type(const krsi_kb *kb, krsi_kv value)
{
    return krsi_kb_inst(kb, value).type;
}

static bool
append(krsi_kb *kb, struct kb_inst_list *list, const krs_kinst *inst)
{
    if (list->count >= MAX_INSTS) {
        krsi_kb_fail(kb, KRS_E_RANGE, "more than %u instructions",
                     (unsigned)MAX_INSTS);
        return false;
    }
    if (!krsi_reserve(&list->items, &list->capacity, list->count + 1,
                      sizeof *list->items)) {
        krsi_kb_no_memory(kb);
        return false;
    }
    list->items[list->count++] = *inst;
    return true;
}

krsi_kv
krsi_kb_append(krsi_kb *kb, const krs_kinst *inst)
{
    if (krsi_kb_failed(kb) || !append(kb, &kb->body, inst))
        return KRSI_KV_NONE;
    return (krsi_kv){(uint32_t)kb->body.count};
}

static bool
same_inst(const krs_kinst *a, const krs_kinst *b)
{
    if (a->op != b->op || a->scalar != b->scalar || a->slot != b->slot ||
        !krsi_ktype_same(a->type, b->type) || a->a != b->a || a->b != b->b ||
        a->c != b->c || a->d != b->d)
        return false;
    if (a->op == KRS_K_CONST)
        return a->u.bits == b->u.bits;
    return a->op != KRS_K_SHUFFLE ||
           memcmp(a->u.lanes, b->u.lanes, a->type.lanes) == 0;
}

static uint32_t
bucket_of(const krs_kinst *inst)
{
    uint64_t h = (uint64_t)inst->op | (uint64_t)inst->scalar << 8 |
                 (uint64_t)inst->type.dtype << 16 |
                 (uint64_t)inst->type.lanes << 24 | (uint64_t)inst->slot << 32;
    const uint64_t parts[] = {inst->a, inst->b, inst->c,
                              inst->op == KRS_K_CONST ? inst->u.bits : 0};
    for (int i = 0; i < 4; i++)
        h = (h ^ parts[i]) * UINT64_C(0x9E3779B97F4A7C15) ^ h >> 29;
    return (uint32_t)(h >> 40) % KB_BUCKETS;
}

krsi_kv
krsi_kb_pure(krsi_kb *kb, const krs_kinst *inst, bool leaf)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    struct kb_table *table = leaf ? &kb->leaf_table : &kb->pure_table;
    uint32_t bucket = bucket_of(inst);
    for (uint32_t e = table->heads[bucket]; e; e = table->entries[e - 1].next) {
        krsi_kv value = {table->entries[e - 1].ref};
        krs_kinst other = krsi_kb_inst(kb, value);
        if (same_inst(inst, &other))
            return value;
    }
    if (!krsi_reserve(&table->entries, &table->capacity, table->count + 1,
                      sizeof *table->entries)) {
        krsi_kb_no_memory(kb);
        return KRSI_KV_NONE;
    }
    struct kb_inst_list *list = leaf ? &kb->leaves : &kb->body;
    if (!append(kb, list, inst))
        return KRSI_KV_NONE;
    uint32_t ref = (uint32_t)list->count | (leaf ? KB_LEAF : 0);
    table->entries[table->count++] =
        (struct kb_entry){ref, table->heads[bucket], bucket};
    table->heads[bucket] = (uint32_t)table->count;
    return (krsi_kv){ref};
}

void
krsi_kb_leave(krsi_kb *kb, size_t entries)
{
    struct kb_table *table = &kb->pure_table;
    while (table->count > entries) {
        struct kb_entry *entry = &table->entries[--table->count];
        table->heads[entry->bucket] = entry->next;
    }
}

static uint8_t
log2_of(size_t bytes)
{
    uint8_t log = 0;
    while (log < 30 && (size_t)1 << log < bytes)
        log++;
    return log;
}

uint8_t
krsi_kb_alignment(krsi_kb *kb, krs_dtype dtype, size_t align_bytes)
{
    size_t element = (size_t)krsi_kdtype_bytes((int)dtype);
    if (align_bytes < element)
        align_bytes = element;
    if (align_bytes & (align_bytes - 1))
        krsi_kb_fail(kb, KRS_E_ARGUMENT,
                     "alignment of %zu bytes is not a power of two",
                     align_bytes);
    return log2_of(align_bytes);
}

static krsi_kbuf
add_buffer(krsi_kb *kb, const char *name, krs_kbuffer buffer,
           size_t align_bytes)
{
    if (krsi_kb_failed(kb))
        return (krsi_kbuf){0};
    buffer.align_log2 =
        krsi_kb_alignment(kb, (krs_dtype)buffer.dtype, align_bytes);
    buffer.name = krsi_arena_copy_string(kb->arena, name);
    if (kb->buffer_count >= UINT16_MAX) {
        krsi_kb_fail(kb, KRS_E_RANGE, "more than %d buffers", UINT16_MAX);
        return (krsi_kbuf){0};
    }
    if (!buffer.name ||
        !krsi_reserve(&kb->buffers, &kb->buffer_capacity, kb->buffer_count + 1,
                      sizeof *kb->buffers)) {
        krsi_kb_no_memory(kb);
        return (krsi_kbuf){0};
    }
    kb->buffers[kb->buffer_count++] = buffer;
    return (krsi_kbuf){(uint16_t)kb->buffer_count};
}

krsi_kbuf
krsi_kb_param(krsi_kb *kb, const char *name, krs_dtype dtype, int access,
              size_t align_bytes)
{
    return add_buffer(kb, name,
                      (krs_kbuffer){.dtype = (uint8_t)dtype,
                                    .space = KRS_K_PARAM,
                                    .access = (uint8_t)access,
                                    .count_arg = -1},
                      align_bytes);
}

krsi_kbuf
krsi_kb_scratch(krsi_kb *kb, const char *name, krs_dtype dtype, int64_t count,
                krsi_kv times, size_t align_bytes)
{
    krs_kinst arg = krsi_kb_inst(kb, times);
    if (times.ref && (arg.op != KRS_K_ARG || arg.type.dtype != KRS_I64))
        krsi_kb_fail(kb, KRS_E_ARGUMENT,
                     "scratch %s: its size is not an i64 argument", name);
    return add_buffer(kb, name,
                      (krs_kbuffer){.dtype = (uint8_t)dtype,
                                    .space = KRS_K_SCRATCH,
                                    .access = KRS_K_READ | KRS_K_WRITE,
                                    .count = count,
                                    .count_arg = times.ref ? arg.slot : -1},
                      align_bytes);
}

krsi_kbuf
krsi_kb_shared(krsi_kb *kb, const char *name, krs_dtype dtype, int64_t count,
               size_t align_bytes)
{
    return add_buffer(kb, name,
                      (krs_kbuffer){.dtype = (uint8_t)dtype,
                                    .space = KRS_K_SHARED,
                                    .access = KRS_K_READ | KRS_K_WRITE,
                                    .count = count,
                                    .count_arg = -1},
                      align_bytes);
}

krsi_kv
krsi_kb_arg(krsi_kb *kb, const char *name, krs_dtype dtype)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    char *copy = krsi_arena_copy_string(kb->arena, name);
    if (kb->arg_count >= UINT16_MAX) {
        krsi_kb_fail(kb, KRS_E_RANGE, "more than %d arguments", UINT16_MAX);
        return KRSI_KV_NONE;
    }
    if (!copy || !krsi_reserve(&kb->args, &kb->arg_capacity, kb->arg_count + 1,
                               sizeof *kb->args)) {
        krsi_kb_no_memory(kb);
        return KRSI_KV_NONE;
    }
    kb->args[kb->arg_count] = (krs_karg){copy, (uint8_t)dtype};
    krs_kinst inst = {
        .op = KRS_K_ARG,
        .slot = (uint16_t)kb->arg_count++,
        .type = {(uint8_t)dtype, 1}
    };
    return krsi_kb_pure(kb, &inst, true);
}

void
krsi_kb_group(krsi_kb *kb, uint32_t x, uint32_t y, uint32_t z)
{
    if (krsi_kb_failed(kb))
        return;
    kb->kernel->group[0] = x;
    kb->kernel->group[1] = y;
    kb->kernel->group[2] = z;
}

static void
renumber(uint32_t *ref, uint32_t leaves)
{
    if (*ref & KB_LEAF)
        *ref &= ~KB_LEAF;
    else if (*ref)
        *ref += leaves;
}

/* Move everything into the arena of the kernel, leaves first. */
static krs_status
assemble(krsi_kb *kb)
{
    krs_kernel *kernel = kb->kernel;
    size_t count = 1 + kb->leaves.count + kb->body.count;
    krs_kinst *insts = krsi_arena_array(kb->arena, count, sizeof *insts);
    krs_kbuffer *buffers =
        krsi_arena_array(kb->arena, kb->buffer_count, sizeof *buffers);
    krs_karg *args = krsi_arena_array(kb->arena, kb->arg_count, sizeof *args);
    if (!insts || !buffers || !args)
        return krs_fail(&kb->err, KRS_E_MEMORY,
                        "kernel %s: no memory for %zu instructions",
                        kernel->name, count);
    uint32_t leaves = (uint32_t)kb->leaves.count;
    if (leaves)
        memcpy(insts + 1, kb->leaves.items, leaves * sizeof *insts);
    if (kb->body.count)
        memcpy(insts + 1 + leaves, kb->body.items,
               kb->body.count * sizeof *insts);
    for (size_t i = 1; i < count; i++) {
        renumber(&insts[i].a, leaves);
        renumber(&insts[i].b, leaves);
        renumber(&insts[i].c, leaves);
        renumber(&insts[i].d, leaves);
    }
    for (size_t i = 0; i < kb->buffer_count; i++) {
        buffers[i] = kb->buffers[i];
        if (buffers[i].space == KRS_K_PARAM)
            kernel->param_count++;
    }
    if (kb->arg_count)
        memcpy(args, kb->args, kb->arg_count * sizeof *args);
    kernel->buffers = buffers;
    kernel->buffer_count = (uint32_t)kb->buffer_count;
    kernel->args = args;
    kernel->arg_count = (uint32_t)kb->arg_count;
    kernel->insts = insts;
    kernel->inst_count = (uint32_t)count;
    KRS_TRY(krs_kernel_verify(kernel, &kb->err));
    krs_kernel_hash(kernel, kernel->hash);
    return KRS_OK;
}

krs_status
krsi_kb_finish(krsi_kb *kb, krs_kernel **out, krs_error *err)
{
    *out = NULL;
    if (!kb)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a kernel builder");
    if (kb->depth > 0)
        krsi_kb_fail(kb, KRS_E_ARGUMENT, "%d loops have no end", kb->depth);
    krs_status status = kb->failed ? kb->err.status : assemble(kb);
    if (status == KRS_OK) {
        *out = kb->kernel;
        kb->kernel = NULL;
    } else {
        krs_fail(err, status, "%s", kb->err.text);
    }
    krsi_kb_free(kb);
    return status;
}
