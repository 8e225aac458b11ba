/* kernel_build.c -- the builder: instructions appended, scopes tracked.
 *
 * In: calls of a template. Out: a verified kernel. Leaves (constants,
 * arguments, axes, lane numbers) collect in a list of their own that goes in
 * front, so a constant first used in a loop is not computed in the loop. A
 * reference is the position in its list plus one, with LEAF set for leaves;
 * finishing renumbers.
 *
 * Equal pure instructions are found by hash among those in scope: entries are
 * pushed in order and popped when their loop ends. Integer folding is the
 * little that index arithmetic of templates needs; floats never fold.
 *
 * One file, because every function here appends to the same two lists; what
 * needs no look inside is in kernel_compose.c.
 */
#include "kb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAF      UINT32_C(0x80000000)
#define MAX_INSTS (UINT32_C(1) << 24)

enum { BUCKETS = 1024, MAX_DEPTH = 64 };

struct entry {
    uint32_t ref, next; /* next entry of the bucket, plus one */
    uint32_t bucket;
};

struct table {
    struct entry *entries;
    size_t count, capacity;
    uint32_t heads[BUCKETS]; /* newest entry of the bucket, plus one */
};

struct inst_list {
    krs_kinst *items;
    size_t count, capacity;
};

struct carry {
    uint32_t ref, next, result;
};

struct scope {
    uint32_t loop;
    size_t first_carry; /* among the carries of the kernel */
    size_t entries;     /* of the pure table at entry */
};

struct krsi_kb {
    krs_kernel *kernel;
    krsi_arena *arena;
    krs_error err;
    bool failed;
    krs_kbuffer *buffers;
    size_t buffer_count, buffer_capacity;
    krs_karg *args;
    size_t arg_count, arg_capacity;
    struct inst_list leaves, body;
    struct table leaf_table, pure_table;
    struct carry *carries;
    size_t carry_count, carry_capacity;
    struct scope scopes[MAX_DEPTH];
    int depth;
};

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

static void
no_memory(krsi_kb *kb)
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

/* The instruction of a reference, or NOTHING for none. */
static krs_kinst
inst_of(const krsi_kb *kb, krsi_kv value)
{
    if (kb && value.ref & LEAF)
        return kb->leaves.items[(value.ref & ~LEAF) - 1];
    if (kb && value.ref)
        return kb->body.items[value.ref - 1];
    return (krs_kinst){0};
}

krs_ktype
krsi_kb_type(const krsi_kb *kb, krsi_kv value)
{
    return inst_of(kb, value).type;
}

static bool
append(krsi_kb *kb, struct inst_list *list, const krs_kinst *inst)
{
    if (list->count >= MAX_INSTS) {
        krsi_kb_fail(kb, KRS_E_RANGE, "more than %u instructions",
                     (unsigned)MAX_INSTS);
        return false;
    }
    if (!krsi_reserve(&list->items, &list->capacity, list->count + 1,
                      sizeof *list->items)) {
        no_memory(kb);
        return false;
    }
    list->items[list->count++] = *inst;
    return true;
}

static krsi_kv
append_body(krsi_kb *kb, const krs_kinst *inst)
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
    return (uint32_t)(h >> 40) % BUCKETS;
}

/* An instruction without effects: the equal one in scope, or a new one. */
static krsi_kv
pure(krsi_kb *kb, const krs_kinst *inst, bool leaf)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    struct table *table = leaf ? &kb->leaf_table : &kb->pure_table;
    uint32_t bucket = bucket_of(inst);
    for (uint32_t e = table->heads[bucket]; e; e = table->entries[e - 1].next) {
        krsi_kv value = {table->entries[e - 1].ref};
        krs_kinst other = inst_of(kb, value);
        if (same_inst(inst, &other))
            return value;
    }
    if (!krsi_reserve(&table->entries, &table->capacity, table->count + 1,
                      sizeof *table->entries)) {
        no_memory(kb);
        return KRSI_KV_NONE;
    }
    struct inst_list *list = leaf ? &kb->leaves : &kb->body;
    if (!append(kb, list, inst))
        return KRSI_KV_NONE;
    uint32_t ref = (uint32_t)list->count | (leaf ? LEAF : 0);
    table->entries[table->count++] =
        (struct entry){ref, table->heads[bucket], bucket};
    table->heads[bucket] = (uint32_t)table->count;
    return (krsi_kv){ref};
}

static uint8_t
log2_of(size_t bytes)
{
    uint8_t log = 0;
    while (log < 30 && (size_t)1 << log < bytes)
        log++;
    return log;
}

/* The log2 of an alignment, at least that of the element. */
static uint8_t
alignment(krsi_kb *kb, krs_dtype dtype, size_t align_bytes)
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
    buffer.align_log2 = alignment(kb, (krs_dtype)buffer.dtype, align_bytes);
    buffer.name = krsi_arena_copy_string(kb->arena, name);
    if (kb->buffer_count >= UINT16_MAX) {
        krsi_kb_fail(kb, KRS_E_RANGE, "more than %d buffers", UINT16_MAX);
        return (krsi_kbuf){0};
    }
    if (!buffer.name ||
        !krsi_reserve(&kb->buffers, &kb->buffer_capacity, kb->buffer_count + 1,
                      sizeof *kb->buffers)) {
        no_memory(kb);
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
    krs_kinst arg = inst_of(kb, times);
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
        no_memory(kb);
        return KRSI_KV_NONE;
    }
    kb->args[kb->arg_count] = (krs_karg){copy, (uint8_t)dtype};
    krs_kinst inst = {
        .op = KRS_K_ARG,
        .slot = (uint16_t)kb->arg_count++,
        .type = {(uint8_t)dtype, 1}
    };
    return pure(kb, &inst, true);
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

static krsi_kv
position(krsi_kb *kb, krs_kop op, int axis)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    if (axis < 0 || axis >= KRS_K_AXES) {
        krsi_kb_fail(kb, KRS_E_AXIS, "%s %d: axes are 0 to 2", krs_kop_name(op),
                     axis);
        return KRSI_KV_NONE;
    }
    if (kb->kernel->axes < (uint32_t)axis + 1)
        kb->kernel->axes = (uint32_t)axis + 1;
    krs_kinst inst = {
        .op = (uint8_t)op, .slot = (uint16_t)axis, .type = {KRS_I64, 1}
    };
    return pure(kb, &inst, true);
}

krsi_kv
krsi_kb_axis(krsi_kb *kb, int axis)
{
    return position(kb, KRS_K_AXIS, axis);
}

krsi_kv
krsi_kb_local(krsi_kb *kb, int axis)
{
    return position(kb, KRS_K_LOCAL, axis);
}

krsi_kv
krsi_kb_lanes(krsi_kb *kb, int lanes)
{
    krs_kinst inst = {
        .op = KRS_K_LANES, .type = {KRS_I32, (uint8_t)lanes}
    };
    return pure(kb, &inst, true);
}

krsi_kv
krsi_kb_const(krsi_kb *kb, krs_ktype type, uint64_t bits)
{
    int bytes = krsi_kdtype_bytes(type.dtype);
    if (type.dtype == KRS_BOOL)
        bits = bits != 0;
    else if (bytes < 8)
        bits &= (UINT64_C(1) << 8 * bytes) - 1;
    if (type.dtype == KRS_F32 && (bits & 0x7FFFFFFF) > 0x7F800000)
        bits = 0x7FC00000;
    krs_kinst inst = {.op = KRS_K_CONST, .type = type, .u.bits = bits};
    return pure(kb, &inst, true);
}

krsi_kv
krsi_kb_broadcast(krsi_kb *kb, int lanes, krsi_kv a)
{
    krs_kinst from = inst_of(kb, a);
    if (krsi_kb_failed(kb) || from.type.lanes == lanes)
        return a;
    krs_ktype type = {from.type.dtype, (uint8_t)lanes};
    if (from.op == KRS_K_CONST && from.type.lanes == 1)
        return krsi_kb_const(kb, type, from.u.bits);
    if (from.type.lanes != 1) {
        krsi_kb_fail(kb, KRS_E_DTYPE, "broadcast of %d lanes to %d",
                     from.type.lanes, lanes);
        return KRSI_KV_NONE;
    }
    krs_kinst inst = {.op = KRS_K_BROADCAST, .type = type, .a = a.ref};
    return pure(kb, &inst, false);
}

/* The value of an integer constant, in any number of lanes. */
static bool
int_constant(const krsi_kb *kb, krsi_kv value, int64_t *out)
{
    krs_kinst inst = inst_of(kb, value);
    if (inst.op != KRS_K_CONST ||
        (inst.type.dtype != KRS_I32 && inst.type.dtype != KRS_I64))
        return false;
    *out = inst.type.dtype == KRS_I32 ? (int64_t)(int32_t)inst.u.bits
                                      : (int64_t)inst.u.bits;
    return true;
}

/* Integer add, sub, mul, min, max of constants, and the neutral elements.
 * True and *out, or false: nothing to fold. */
static bool
fold(krsi_kb *kb, krs_kscalar op, krsi_kv a, krsi_kv b, krsi_kv *out)
{
    int64_t x = 0, y = 0;
    bool left = int_constant(kb, a, &x), right = int_constant(kb, b, &y);
    if (!left && !right)
        return false;
    krs_ktype type = krsi_kb_type(kb, left ? a : b);
    uint64_t value;
    if (op == KRS_KS_ADD)
        value = (uint64_t)x + (uint64_t)y;
    else if (op == KRS_KS_SUB)
        value = (uint64_t)x - (uint64_t)y;
    else if (op == KRS_KS_MUL)
        value = (uint64_t)x * (uint64_t)y;
    else if (op == KRS_KS_MIN)
        value = (uint64_t)(x < y ? x : y);
    else if (op == KRS_KS_MAX)
        value = (uint64_t)(x > y ? x : y);
    else
        return false;
    if (left && right)
        *out = krsi_kb_const(kb, type, value);
    else if (right && y == 0 && (op == KRS_KS_ADD || op == KRS_KS_SUB))
        *out = a;
    else if (left && x == 0 && op == KRS_KS_ADD)
        *out = b;
    else if (op == KRS_KS_MUL && ((left && x == 0) || (right && y == 0)))
        *out = krsi_kb_const(kb, type, 0);
    else if (op == KRS_KS_MUL && right && y == 1)
        *out = a;
    else if (op == KRS_KS_MUL && left && x == 1)
        *out = b;
    else
        return false;
    return true;
}

static krsi_kv
scalar_to(krsi_kb *kb, krs_kscalar op, krs_ktype wanted, const krsi_kv *from)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    krsi_kv v[3] = {from[0], from[1], from[2]};
    krs_ktype types[3], result;
    int arity = krs_kscalar_arity(op), lanes = 1;
    for (int i = 0; i < arity; i++)
        if (krsi_kb_type(kb, v[i]).lanes > lanes)
            lanes = krsi_kb_type(kb, v[i]).lanes;
    for (int i = 0; i < 3; i++) {
        if (i < arity && v[i].ref)
            v[i] = krsi_kb_broadcast(kb, lanes, v[i]);
        types[i] = krsi_kb_type(kb, v[i]);
    }
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    const char *why = krsi_kscalar_type(op, types, wanted, &result);
    if (why) {
        char text[3][KRSI_KTYPE_TEXT];
        krsi_kb_fail(kb, KRS_E_DTYPE, "%s of %s%s%s%s%s: %s",
                     krs_kscalar_name(op), krsi_ktype_print(text[0], types[0]),
                     arity > 1 ? ", " : "",
                     arity > 1 ? krsi_ktype_print(text[1], types[1]) : "",
                     arity > 2 ? ", " : "",
                     arity > 2 ? krsi_ktype_print(text[2], types[2]) : "", why);
        return KRSI_KV_NONE;
    }
    krsi_kv folded;
    if (arity == 2 && krsi_ktype_same(types[0], types[1]) &&
        fold(kb, op, v[0], v[1], &folded))
        return folded;
    krs_kinst inst = {.op = KRS_K_SCALAR,
                      .scalar = (uint8_t)op,
                      .type = result,
                      .a = v[0].ref,
                      .b = arity > 1 ? v[1].ref : 0,
                      .c = arity > 2 ? v[2].ref : 0};
    return pure(kb, &inst, false);
}

krsi_kv
krsi_kb_scalar(krsi_kb *kb, krs_kscalar op, krsi_kv a, krsi_kv b, krsi_kv c)
{
    const krsi_kv operands[3] = {a, b, c};
    return scalar_to(kb, op, krsi_kb_type(kb, a), operands);
}

krsi_kv
krsi_kb_convert(krsi_kb *kb, krs_dtype to, krsi_kv a)
{
    krs_ktype wanted = {(uint8_t)to, krsi_kb_type(kb, a).lanes};
    const krsi_kv operands[3] = {a, KRSI_KV_NONE, KRSI_KV_NONE};
    if (krsi_ktype_same(wanted, krsi_kb_type(kb, a)))
        return a;
    return scalar_to(kb, KRS_KS_CONVERT, wanted, operands);
}

krsi_kv
krsi_kb_bitcast(krsi_kb *kb, krs_dtype to, krsi_kv a)
{
    krs_ktype from = krsi_kb_type(kb, a);
    int bytes = krsi_kdtype_bytes((int)to);
    int total = krsi_kdtype_bytes(from.dtype) * from.lanes;
    krs_ktype wanted = {(uint8_t)to, (uint8_t)(bytes ? total / bytes : 0)};
    const krsi_kv operands[3] = {a, KRSI_KV_NONE, KRSI_KV_NONE};
    return scalar_to(kb, KRS_KS_BITCAST, wanted, operands);
}

krsi_kv
krsi_kb_shuffle(krsi_kb *kb, krsi_kv a, krsi_kv b, int lanes,
                const uint8_t *indices)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    if (lanes < 1 || lanes > KRS_K_MAX_LANES) {
        krsi_kb_fail(kb, KRS_E_RANGE, "shuffle to %d lanes", lanes);
        return KRSI_KV_NONE;
    }
    uint8_t *copy = krsi_arena_alloc(kb->arena, (size_t)lanes);
    if (!copy) {
        no_memory(kb);
        return KRSI_KV_NONE;
    }
    memcpy(copy, indices, (size_t)lanes);
    krs_kinst inst = {
        .op = KRS_K_SHUFFLE,
        .type = {krsi_kb_type(kb, a).dtype, (uint8_t)lanes},
        .a = a.ref,
        .b = b.ref,
        .u.lanes = copy
    };
    return pure(kb, &inst, false);
}

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
        .align_log2 = alignment(kb, (krs_dtype)buffer->dtype, at->align_bytes),
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
    return append_body(kb, &inst);
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
    append_body(kb, &inst);
}

void
krsi_kb_prefetch(krsi_kb *kb, krsi_kmem at)
{
    krs_kinst inst;
    at.offsets = at.mask = KRSI_KV_NONE;
    if (address(kb, KRS_K_PREFETCH, &at, &inst))
        append_body(kb, &inst);
}

void
krsi_kb_barrier(krsi_kb *kb)
{
    krs_kinst inst = {.op = KRS_K_BARRIER};
    append_body(kb, &inst);
}

krsi_kv
krsi_kb_for(krsi_kb *kb, krsi_kv low, krsi_kv high, krsi_kv step)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    if (kb->depth >= MAX_DEPTH) {
        krsi_kb_fail(kb, KRS_E_RANGE, "loops nested deeper than %d", MAX_DEPTH);
        return KRSI_KV_NONE;
    }
    krs_kinst inst = {
        .op = KRS_K_FOR,
        .type = {KRS_I64, 1},
        .a = low.ref,
        .b = high.ref,
        .c = step.ref
    };
    krsi_kv loop = append_body(kb, &inst);
    kb->scopes[kb->depth++] =
        (struct scope){loop.ref, kb->carry_count, kb->pure_table.count};
    return loop;
}

static struct carry *
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
    krsi_kv value = append_body(kb, &inst);
    if (!value.ref)
        return value;
    if (!krsi_reserve(&kb->carries, &kb->carry_capacity, kb->carry_count + 1,
                      sizeof *kb->carries)) {
        no_memory(kb);
        return KRSI_KV_NONE;
    }
    kb->carries[kb->carry_count++] = (struct carry){value.ref, value.ref, 0};
    return value;
}

void
krsi_kb_next(krsi_kb *kb, krsi_kv carry, krsi_kv value)
{
    struct carry *found = krsi_kb_failed(kb) ? NULL : find_carry(kb, carry);
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
    struct scope scope = kb->scopes[--kb->depth];
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
            append_body(kb, &next);
        }
    krs_kinst end = {.op = KRS_K_END, .a = scope.loop};
    append_body(kb, &end);
    for (size_t i = first; i < last && !kb->failed; i++)
        if (!kb->carries[i].result) {
            krs_kinst result = {.op = KRS_K_RESULT,
                                .type =
                                    kb->body.items[kb->carries[i].ref - 1].type,
                                .a = kb->carries[i].ref};
            kb->carries[i].result = append_body(kb, &result).ref;
        }
    struct table *table = &kb->pure_table;
    while (table->count > scope.entries) {
        struct entry *entry = &table->entries[--table->count];
        table->heads[entry->bucket] = entry->next;
    }
}

krsi_kv
krsi_kb_result(krsi_kb *kb, krsi_kv carry)
{
    struct carry *found = krsi_kb_failed(kb) ? NULL : find_carry(kb, carry);
    if (!found)
        return KRSI_KV_NONE;
    if (!found->result)
        krsi_kb_fail(kb, KRS_E_ARGUMENT, "result of a loop that has not ended");
    return (krsi_kv){found->result};
}

static void
renumber(uint32_t *ref, uint32_t leaves)
{
    if (*ref & LEAF)
        *ref &= ~LEAF;
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
