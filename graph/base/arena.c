/* arena.c -- blocks of doubling size in a list; nothing is freed alone. */
#include "base.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK_BYTES = 4096, LARGEST_BLOCK_BYTES = 1 << 20, ALIGN = 16 };

struct krsi_arena_block {
    struct krsi_arena_block *next;
    size_t capacity_bytes, used_bytes;
    _Alignas(ALIGN) char data[];
};

void *
krsi_arena_alloc(krsi_arena *arena, size_t bytes)
{
    struct krsi_arena_block *block = arena->blocks;
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (!block || block->capacity_bytes - block->used_bytes < bytes) {
        size_t capacity = block ? block->capacity_bytes * 2 : FIRST_BLOCK_BYTES;
        if (capacity > LARGEST_BLOCK_BYTES)
            capacity = LARGEST_BLOCK_BYTES;
        bool own = bytes > capacity / 4; /* a large piece gets its own block */
        struct krsi_arena_block *fresh = calloc(
            1, sizeof *fresh + (own && block ? bytes : capacity + bytes));
        if (!fresh)
            return NULL;
        fresh->capacity_bytes = own && block ? bytes : capacity + bytes;
        if (own && block) { /* behind the current block, which has room left */
            fresh->next = block->next;
            block->next = fresh;
        } else {
            fresh->next = block;
            arena->blocks = fresh;
        }
        block = fresh;
    }
    void *piece = block->data + block->used_bytes;
    block->used_bytes += bytes;
    arena->used_bytes += bytes;
    return piece;
}

void *
krsi_arena_array(krsi_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return krsi_arena_alloc(arena, bytes);
}

char *
krsi_arena_copy_string(krsi_arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = krsi_arena_alloc(arena, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void
krsi_arena_free(krsi_arena *arena)
{
    while (arena->blocks) {
        struct krsi_arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->used_bytes = 0;
}
