/* kernel_build.h -- between the parts of the builder.
 *
 * kernel_build.c keeps the kernel that grows: its declarations, two lists of
 * instructions, and the table that finds equal ones. kernel_value.c makes
 * values without effects, kernel_order.c what stands in an order: memory and
 * loops. A reference is the position in its list plus one, with KB_LEAF set
 * for leaves; finishing renumbers. Errors stick (kb.h): every function takes
 * a kb that has failed and does nothing.
 */
#ifndef KRSI_KERNEL_BUILD_H
#define KRSI_KERNEL_BUILD_H

#include "kb.h"

#define KB_LEAF UINT32_C(0x80000000)

enum { KB_BUCKETS = 1024, KB_MAX_DEPTH = 64 };

struct kb_entry {
    uint32_t ref, next; /* next entry of the bucket, plus one */
    uint32_t bucket;
};

struct kb_table {
    struct kb_entry *entries;
    size_t count, capacity;
    uint32_t heads[KB_BUCKETS]; /* newest entry of the bucket, plus one */
};

struct kb_inst_list {
    krs_kinst *items;
    size_t count, capacity;
};

struct kb_carry {
    uint32_t ref, next, result;
};

struct kb_scope {
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
    struct kb_inst_list leaves, body;
    struct kb_table leaf_table, pure_table;
    struct kb_carry *carries;
    size_t carry_count, carry_capacity;
    struct kb_scope scopes[KB_MAX_DEPTH];
    int depth;
};

/* Report that memory is out. */
void krsi_kb_no_memory(krsi_kb *kb);
/* The instruction of a reference, or NOTHING for none. */
krs_kinst krsi_kb_inst(const krsi_kb *kb, krsi_kv value);
/* One more instruction of the body. */
krsi_kv krsi_kb_append(krsi_kb *kb, const krs_kinst *inst);
/* An instruction without effects: the equal one in scope, or a new one, in
 * front for a leaf. */
krsi_kv krsi_kb_pure(krsi_kb *kb, const krs_kinst *inst, bool leaf);
/* A scope ends: only the first `entries` pure instructions are found still. */
void krsi_kb_leave(krsi_kb *kb, size_t entries);
/* The log2 of an alignment, at least that of the element. */
uint8_t krsi_kb_alignment(krsi_kb *kb, krs_dtype dtype, size_t align_bytes);

#endif
