/* kernel_table.c -- names and facts of the two tables of the kernel language.
 *
 * In: scalar.def and KRS_KOP_LIST. Out: what printer, parser, verifier and
 * messages say about a row. Values outside the tables give "?" and zeros, so
 * that a damaged kernel can be described.
 */
#include "kernel.h"

enum { COMMUTES = 1, PLAIN = 0, VALUE = 1, NONE = 0 };

static const struct {
    const char *name, *text;
    uint8_t arity, commutes;
} scalars[] = {
#define SCALAR(NAME, name, arity, rule, flags, text) \
    {#name, text, arity, flags},
#include "scalar.def"
#undef SCALAR
};

static const struct {
    const char *name;
    bool has_result;
} ops[] = {
#define ROW(NAME, name, result, text) {#name, result},
    KRS_KOP_LIST(ROW)
#undef ROW
};

const char *
krs_kop_name(krs_kop op)
{
    return (unsigned)op < KRS_K_COUNT ? ops[op].name : "?";
}

bool
krs_kop_has_result(krs_kop op)
{
    return (unsigned)op < KRS_K_COUNT && ops[op].has_result;
}

const char *
krs_kscalar_name(krs_kscalar op)
{
    return (unsigned)op < KRS_KS_COUNT ? scalars[op].name : "?";
}

const char *
krs_kscalar_text(krs_kscalar op)
{
    return (unsigned)op < KRS_KS_COUNT ? scalars[op].text : "?";
}

int
krs_kscalar_arity(krs_kscalar op)
{
    return (unsigned)op < KRS_KS_COUNT ? scalars[op].arity : 0;
}

bool
krs_kscalar_commutes(krs_kscalar op)
{
    return (unsigned)op < KRS_KS_COUNT && scalars[op].commutes;
}

bool
krs_kscratch_bytes(const krs_kbuffer *buffer, const krs_kargument *args,
                   size_t *out)
{
    int64_t count = buffer->count;
    size_t bytes;
    if (buffer->count_arg >= 0 &&
        __builtin_mul_overflow(count, args[buffer->count_arg].i, &count))
        return false;
    if (!krs_dtype_bytes(buffer->dtype, count, &bytes) ||
        __builtin_add_overflow(bytes, KRS_K_SCRATCH_ALIGN - 1, &bytes))
        return false;
    *out = bytes / KRS_K_SCRATCH_ALIGN * KRS_K_SCRATCH_ALIGN;
    return true;
}
