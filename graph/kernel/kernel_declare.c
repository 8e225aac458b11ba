/* kernel_declare.c -- what a kernel declares before its instructions.
 *
 * In: a kernel from anywhere, hostile ones included. Out: KRS_OK, or one
 * sentence: names are words and differ, every buffer has a space, an access,
 * an alignment and a size that fit each other, arguments are i64 or f32, the
 * group and the numbers of everything are within the limits of the language.
 * Instructions are kernel_verify.c's.
 */
#include "kb.h"

#include <ctype.h>
#include <string.h>

enum {
    MAX_NAMED = 256, /* buffers, and arguments */
    MAX_ITEMS = 1024,
    MAX_ALIGN_LOG2 = 12
};

#define MAX_INSTS (UINT32_C(1) << 24)

static bool
is_word(const char *name)
{
    if (!name || !*name || strlen(name) > 100)
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != '.')
            return false;
    return true;
}

static krs_status
check_buffer(const krs_kernel *kernel, uint32_t i, krs_error *err)
{
    const krs_kbuffer *buffer = &kernel->buffers[i];
    int64_t bytes;
    if (!is_word(buffer->name))
        return krs_fail(err, KRS_E_FORMAT,
                        "buffer %u has no name of letters and digits", i);
    for (uint32_t j = 0; j < i; j++)
        if (strcmp(buffer->name, kernel->buffers[j].name) == 0)
            return krs_fail(err, KRS_E_FORMAT, "two buffers are called %s",
                            buffer->name);
    if (!krsi_ktype_valid((krs_ktype){buffer->dtype, 1}))
        return krs_fail(err, KRS_E_FORMAT, "buffer %s: block types come as u8",
                        buffer->name);
    int element = krsi_kdtype_bytes(buffer->dtype);
    if (buffer->align_log2 > MAX_ALIGN_LOG2 ||
        1 << buffer->align_log2 < element)
        return krs_fail(
            err, KRS_E_FORMAT,
            "buffer %s: the alignment must be at least the element's "
            "and at most %d bytes",
            buffer->name, 1 << MAX_ALIGN_LOG2);
    if ((buffer->space == KRS_K_PARAM) != (i < kernel->param_count))
        return krs_fail(err, KRS_E_FORMAT, "buffer %s: parameters come first",
                        buffer->name);
    switch ((krs_kspace)buffer->space) {
    case KRS_K_PARAM:
        if (buffer->access < 1 || buffer->access > 3)
            return krs_fail(err, KRS_E_FORMAT,
                            "buffer %s is neither read nor written",
                            buffer->name);
        if (buffer->count != 0 || buffer->count_arg != -1)
            return krs_fail(err, KRS_E_FORMAT,
                            "buffer %s: a parameter has no count",
                            buffer->name);
        return KRS_OK;
    case KRS_K_SCRATCH:
    case KRS_K_SHARED: break;
    default:
        return krs_fail(err, KRS_E_FORMAT, "buffer %s: no such space",
                        buffer->name);
    }
    if (buffer->access != (KRS_K_READ | KRS_K_WRITE))
        return krs_fail(err, KRS_E_FORMAT, "buffer %s must be read and written",
                        buffer->name);
    if (buffer->count < 1 ||
        __builtin_mul_overflow(buffer->count, (int64_t)element, &bytes))
        return krs_fail(err, KRS_E_FORMAT, "buffer %s: %lld elements",
                        buffer->name, (long long)buffer->count);
    if (buffer->count_arg < -1 ||
        buffer->count_arg >= (int32_t)kernel->arg_count ||
        (buffer->count_arg >= 0 &&
         (buffer->space == KRS_K_SHARED ||
          kernel->args[buffer->count_arg].dtype != KRS_I64)))
        return krs_fail(err, KRS_E_FORMAT,
                        "buffer %s: only scratch has an argument in its size, "
                        "and that is i64",
                        buffer->name);
    return KRS_OK;
}

krs_status
krsi_kernel_verify_declared(const krs_kernel *kernel, krs_error *err)
{
    if (!is_word(kernel->name))
        return krs_fail(err, KRS_E_FORMAT,
                        "the name is not made of letters and digits");
    if (kernel->buffer_count > MAX_NAMED || kernel->arg_count > MAX_NAMED)
        return krs_fail(err, KRS_E_FORMAT,
                        "%u buffers and %u arguments; at most %d of each",
                        kernel->buffer_count, kernel->arg_count, MAX_NAMED);
    if (kernel->param_count > kernel->buffer_count)
        return krs_fail(err, KRS_E_FORMAT, "more parameters than buffers");
    for (uint32_t i = 0; i < kernel->arg_count; i++) {
        const krs_karg *arg = &kernel->args[i];
        if (!is_word(arg->name))
            return krs_fail(err, KRS_E_FORMAT, "argument %u has no name", i);
        if (arg->dtype != KRS_I64 && arg->dtype != KRS_F32)
            return krs_fail(err, KRS_E_FORMAT, "argument %s must be i64 or f32",
                            arg->name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(arg->name, kernel->args[j].name) == 0)
                return krs_fail(err, KRS_E_FORMAT,
                                "two arguments are called %s", arg->name);
    }
    for (uint32_t i = 0; i < kernel->buffer_count; i++)
        KRS_TRY(check_buffer(kernel, i, err));
    uint64_t items = 1;
    for (int i = 0; i < KRS_K_AXES; i++) {
        if (kernel->group[i] < 1 || kernel->group[i] > MAX_ITEMS)
            return krs_fail(err, KRS_E_FORMAT, "a group is 1 to %d items wide",
                            MAX_ITEMS);
        items *= kernel->group[i];
    }
    if (items > MAX_ITEMS)
        return krs_fail(err, KRS_E_FORMAT, "a group of %llu items; at most %d",
                        (unsigned long long)items, MAX_ITEMS);
    if (kernel->axes > KRS_K_AXES)
        return krs_fail(err, KRS_E_FORMAT, "%u grid axes; at most %d",
                        kernel->axes, KRS_K_AXES);
    if (kernel->inst_count < 1 || kernel->inst_count > MAX_INSTS)
        return krs_fail(err, KRS_E_FORMAT, "%u instructions; 1 to %u",
                        kernel->inst_count, (unsigned)MAX_INSTS);
    return KRS_OK;
}
