/* memory.c -- arrays and texts that grow, for the tokenizers.
 *
 * In: what is to be appended. Out: room for it, or a failure that sticks until
 * the end of the call, where it becomes KRS_E_MEMORY. No size overflows: a
 * capacity is computed with checks before anything is asked for.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

bool
krsi_room(void *data, size_t *capacity, size_t need, size_t size)
{
    size_t wanted, bytes;
    if (need <= *capacity)
        return true;
    if (__builtin_add_overflow(*capacity, *capacity / 2, &wanted) ||
        wanted < need)
        wanted = need;
    if (wanted < 16)
        wanted = 16;
    if (__builtin_mul_overflow(wanted, size, &bytes))
        return false;
    void *old, *grown;
    memcpy(&old, data, sizeof old);
    grown = realloc(old, bytes);
    if (!grown)
        return false;
    memcpy(data, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}

void
krsi_buffer_add(krsi_buffer *b, const char *bytes, size_t count)
{
    size_t need;
    if (b->failed || count == 0)
        return;
    if (__builtin_add_overflow(b->count, count, &need) ||
        !krsi_room(&b->bytes, &b->capacity, need, 1)) {
        b->failed = true;
        return;
    }
    memcpy(b->bytes + b->count, bytes, count);
    b->count = need;
}

void
krsi_buffer_add_code(krsi_buffer *b, uint32_t code)
{
    char bytes[4];
    krsi_buffer_add(b, bytes, krsi_utf8_put(bytes, code));
}

void
krsi_buffer_free(krsi_buffer *b)
{
    free(b->bytes);
    *b = (krsi_buffer){0};
}

char *
krsi_copy_text(const char *bytes, size_t count)
{
    char *copy = malloc(count + 1);
    if (!copy)
        return NULL;
    if (count)
        memcpy(copy, bytes, count);
    copy[count] = 0;
    return copy;
}

krs_status
krsi_no_memory(krs_error *err, const char *what)
{
    return krs_fail(err, KRS_E_MEMORY, "tokenizer: out of memory for %s", what);
}
