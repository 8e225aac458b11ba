/* kernel_hash.c -- when two kernels are the same code.
 *
 * In: kernels. Out: 128 bits over everything but names, for caches and for
 * finding equal kernels. The bytes hashed are written field by field, so
 * padding and pointers take no part. Values are numbered in order of
 * definition already, so equal structure is equal bytes.
 */
#include "kernel.h"

#define XXH_STATIC_LINKING_ONLY /* the state lives on the stack */
#include <xxhash.h>

#include <string.h>

/* One instruction as fixed words; SHUFFLE indices follow separately. */
enum { INST_WORDS = 8 };

static void
flatten(const krs_kinst *inst, uint32_t words[INST_WORDS])
{
    bool wide = inst->op == KRS_K_CONST;
    words[0] = (uint32_t)inst->op | (uint32_t)inst->scalar << 8 |
               (uint32_t)inst->flags << 16 | (uint32_t)inst->align_log2 << 24;
    words[1] = (uint32_t)inst->type.dtype | (uint32_t)inst->type.lanes << 8 |
               (uint32_t)inst->slot << 16;
    words[2] = inst->a;
    words[3] = inst->b;
    words[4] = inst->c;
    words[5] = inst->d;
    words[6] = wide ? (uint32_t)inst->u.bits : 0;
    words[7] = wide ? (uint32_t)(inst->u.bits >> 32) : 0;
}

static void
flatten_buffer(const krs_kbuffer *buffer, int64_t words[6])
{
    words[0] = buffer->dtype;
    words[1] = buffer->space;
    words[2] = buffer->access;
    words[3] = buffer->align_log2;
    words[4] = buffer->count;
    words[5] = buffer->count_arg;
}

static void
flatten_header(const krs_kernel *kernel, uint32_t words[8])
{
    words[0] = kernel->buffer_count;
    words[1] = kernel->param_count;
    words[2] = kernel->arg_count;
    words[3] = kernel->axes;
    for (int i = 0; i < KRS_K_AXES; i++)
        words[4 + i] = kernel->group[i];
    words[7] = kernel->inst_count;
}

void
krs_kernel_hash(const krs_kernel *kernel, uint64_t out[2])
{
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    uint32_t header[8];
    flatten_header(kernel, header);
    XXH3_128bits_update(&state, header, sizeof header);
    for (uint32_t i = 0; i < kernel->buffer_count; i++) {
        int64_t words[6];
        flatten_buffer(&kernel->buffers[i], words);
        XXH3_128bits_update(&state, words, sizeof words);
    }
    for (uint32_t i = 0; i < kernel->arg_count; i++)
        XXH3_128bits_update(&state, &kernel->args[i].dtype, 1);
    for (uint32_t i = 0; i < kernel->inst_count; i++) {
        const krs_kinst *inst = &kernel->insts[i];
        uint32_t words[INST_WORDS];
        flatten(inst, words);
        XXH3_128bits_update(&state, words, sizeof words);
        if (inst->op == KRS_K_SHUFFLE)
            XXH3_128bits_update(&state, inst->u.lanes, inst->type.lanes);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    out[0] = hash.low64;
    out[1] = hash.high64;
}

bool
krs_kernel_equal(const krs_kernel *a, const krs_kernel *b)
{
    uint32_t left[INST_WORDS], right[INST_WORDS];
    flatten_header(a, left);
    flatten_header(b, right);
    if (memcmp(left, right, sizeof left) != 0)
        return false;
    for (uint32_t i = 0; i < a->buffer_count; i++) {
        int64_t of_a[6], of_b[6];
        flatten_buffer(&a->buffers[i], of_a);
        flatten_buffer(&b->buffers[i], of_b);
        if (memcmp(of_a, of_b, sizeof of_a) != 0)
            return false;
    }
    for (uint32_t i = 0; i < a->arg_count; i++)
        if (a->args[i].dtype != b->args[i].dtype)
            return false;
    for (uint32_t i = 0; i < a->inst_count; i++) {
        flatten(&a->insts[i], left);
        flatten(&b->insts[i], right);
        if (memcmp(left, right, sizeof left) != 0)
            return false;
        if (a->insts[i].op == KRS_K_SHUFFLE &&
            memcmp(a->insts[i].u.lanes, b->insts[i].u.lanes,
                   a->insts[i].type.lanes) != 0)
            return false;
    }
    return true;
}
