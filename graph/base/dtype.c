/* dtype.c -- the table of element types, asked in different ways. */
#include "base.h"

#include <string.h>

static const struct dtype_row {
    const char *name;
    krs_dtype_class class;
    uint8_t block_elements, block_bytes;
} rows[] = {
#define ROW(NAME, name, class, elements, bytes) \
    {#name, KRS_CLASS_##class, elements, bytes},
    KRS_DTYPE_LIST(ROW)
#undef ROW
};

const char *
krs_dtype_name(krs_dtype dtype)
{
    return (size_t)dtype < KRS_DTYPE_COUNT ? rows[dtype].name : "?";
}

krs_dtype_class
krs_dtype_class_of(krs_dtype dtype)
{
    return (size_t)dtype < KRS_DTYPE_COUNT ? rows[dtype].class
                                           : KRS_CLASS_BLOCK;
}

bool
krs_dtype_is_float(krs_dtype dtype)
{
    krs_dtype_class class = krs_dtype_class_of(dtype);
    return class == KRS_CLASS_FLOAT || class == KRS_CLASS_HALF;
}

bool
krs_dtype_is_int(krs_dtype dtype)
{
    krs_dtype_class class = krs_dtype_class_of(dtype);
    return class == KRS_CLASS_INT || class == KRS_CLASS_UINT;
}

bool
krs_dtype_parse(const char *name, krs_dtype *out)
{
    for (int i = 0; i < KRS_DTYPE_COUNT; i++)
        if (strcmp(name, rows[i].name) == 0) {
            *out = (krs_dtype)i;
            return true;
        }
    return false;
}

bool
krs_dtype_bytes(krs_dtype dtype, int64_t count, size_t *out_bytes)
{
    if ((size_t)dtype >= KRS_DTYPE_COUNT || count < 0 ||
        count % rows[dtype].block_elements != 0)
        return false;
    return !__builtin_mul_overflow(count / rows[dtype].block_elements,
                                   (int64_t)rows[dtype].block_bytes, out_bytes);
}
