/* array.c -- growth of a plain array, with the one overflow check. */
#include "base.h"

#include <stdlib.h>
#include <string.h>

bool
krsi_reserve(void *data_pointer, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity)
        return true;
    size_t target = *capacity > SIZE_MAX / 2 ? need : *capacity * 2;
    if (target < need)
        target = need;
    if (target < 8)
        target = 8;
    size_t bytes;
    if (__builtin_mul_overflow(target, size, &bytes))
        return false;
    void *data;
    memcpy(&data, data_pointer, sizeof data); /* T ** as void *: no aliasing */
    data = realloc(data, bytes);
    if (!data)
        return false;
    memcpy(data_pointer, &data, sizeof data);
    *capacity = target;
    return true;
}
