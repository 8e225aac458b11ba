/* kernel_print.c -- a kernel as text that kernel_parse.c reads back.
 *
 * In: a verified kernel. Out: declarations, then one instruction a line,
 * bodies of loops indented. Values are %number, buffers @name; every result
 * carries its type, every constant its exact value.
 */
#include "kb.h"

#include <inttypes.h>
#include <string.h>

static void
print_buffer(krsi_string *s, const krs_kernel *kernel,
             const krs_kbuffer *buffer)
{
    static const char *const access[] = {"none", "read", "write", "readwrite"};
    static const char *const spaces[] = {"buffer", "scratch", "shared"};
    krsi_string_format(s, "%s @%s %s", spaces[buffer->space], buffer->name,
                       krs_dtype_name((krs_dtype)buffer->dtype));
    if (buffer->space == KRS_K_PARAM)
        krsi_string_format(s, " %s", access[buffer->access]);
    else
        krsi_string_format(s, " %" PRId64, buffer->count);
    if (buffer->count_arg >= 0)
        krsi_string_format(s, " times %s",
                           kernel->args[buffer->count_arg].name);
    if (1 << buffer->align_log2 != krsi_kdtype_bytes(buffer->dtype))
        krsi_string_format(s, " align %d", 1 << buffer->align_log2);
    krsi_string_add(s, "\n");
}

static void
print_constant(krsi_string *s, const krs_kinst *inst)
{
    uint64_t bits = inst->u.bits;
    uint32_t word = (uint32_t)bits;
    float value;
    char text[KRSI_NUMBER_TEXT];
    switch ((krs_dtype)inst->type.dtype) {
    case KRS_F32:
        memcpy(&value, &word, sizeof value);
        krsi_string_add(s, krsi_print_double(text, (double)value));
        break;
    case KRS_I64: krsi_string_format(s, "%" PRId64, (int64_t)bits); break;
    case KRS_I32: krsi_string_format(s, "%" PRId32, (int32_t)word); break;
    case KRS_I8: krsi_string_format(s, "%d", (int8_t)word); break;
    case KRS_U8: krsi_string_format(s, "%d", (int)word); break;
    case KRS_BF16:
    case KRS_F16: krsi_string_format(s, "bits %d", (int)word); break;
    case KRS_BOOL: krsi_string_add(s, bits ? "true" : "false"); break;
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
}

static void
print_operands(krsi_string *s, const krs_kinst *inst)
{
    const uint32_t refs[] = {inst->a, inst->b, inst->c};
    for (int i = 0; i < 3; i++)
        if (refs[i])
            krsi_string_format(s, " %%%u", refs[i]);
}

static void
print_memory(krsi_string *s, const krs_kernel *kernel, const krs_kinst *inst)
{
    const krs_kbuffer *buffer = &kernel->buffers[inst->slot];
    krsi_string_format(s, " @%s %%%u", buffer->name, inst->a);
    if (inst->b)
        krsi_string_format(s, " %%%u", inst->b);
    if (inst->d)
        krsi_string_format(s, " %%%u", inst->d);
    if (inst->c)
        krsi_string_format(s, " mask %%%u", inst->c);
    if (1 << inst->align_log2 != krsi_kdtype_bytes(buffer->dtype))
        krsi_string_format(s, " align %d", 1 << inst->align_log2);
    if (inst->flags & KRS_K_TEXEL)
        krsi_string_add(s, " texel");
    if (inst->flags & KRS_K_STREAM)
        krsi_string_add(s, " stream");
    if (inst->flags & KRS_K_INDIRECT)
        krsi_string_add(s, " indirect");
}

static void
print_rest(krsi_string *s, const krs_kernel *kernel, const krs_kinst *inst)
{
    switch ((krs_kop)inst->op) {
    case KRS_K_CONST:
        krsi_string_add(s, " ");
        print_constant(s, inst);
        break;
    case KRS_K_ARG:
        krsi_string_format(s, " %s", kernel->args[inst->slot].name);
        break;
    case KRS_K_AXIS:
    case KRS_K_LOCAL: krsi_string_format(s, " %d", inst->slot); break;
    case KRS_K_LANES:
    case KRS_K_BARRIER: break;
    case KRS_K_SCALAR:
    case KRS_K_BROADCAST:
    case KRS_K_CARRY:
    case KRS_K_NEXT:
    case KRS_K_RESULT: print_operands(s, inst); break;
    case KRS_K_SHUFFLE:
        print_operands(s, inst);
        for (int i = 0; i < inst->type.lanes; i++)
            krsi_string_format(s, "%s%d", i ? " " : " [", inst->u.lanes[i]);
        krsi_string_add(s, "]");
        break;
    case KRS_K_LOAD:
    case KRS_K_GATHER:
    case KRS_K_STORE:
    case KRS_K_SCATTER:
    case KRS_K_PREFETCH: print_memory(s, kernel, inst); break;
    case KRS_K_FOR:
        krsi_string_format(s, " %%%u to %%%u step %%%u {", inst->a, inst->b,
                           inst->c);
        break;
    case KRS_K_END:
    case KRS_K_NOTHING:
    case KRS_K_COUNT: break;
    }
}

static void
print_inst(krsi_string *s, const krs_kernel *kernel, uint32_t i, int depth)
{
    const krs_kinst *inst = &kernel->insts[i];
    char type[KRSI_KTYPE_TEXT];
    for (int k = 0; k < depth; k++)
        krsi_string_add(s, "  ");
    if (inst->op == KRS_K_END) {
        krsi_string_add(s, "}\n");
        return;
    }
    if (krs_kop_has_result((krs_kop)inst->op))
        krsi_string_format(s, "%%%u:%s = ", i,
                           krsi_ktype_print(type, inst->type));
    krsi_string_add(s, inst->op == KRS_K_SCALAR
                           ? krs_kscalar_name((krs_kscalar)inst->scalar)
                           : krs_kop_name((krs_kop)inst->op));
    print_rest(s, kernel, inst);
    krsi_string_add(s, "\n");
}

char *
krs_kernel_print(const krs_kernel *kernel)
{
    krsi_string s = {0};
    krsi_string_format(&s, "kernel %s\n", kernel->name);
    for (uint32_t i = 0; i < kernel->arg_count; i++)
        krsi_string_format(&s, "arg %s %s\n", kernel->args[i].name,
                           krs_dtype_name((krs_dtype)kernel->args[i].dtype));
    for (uint32_t i = 0; i < kernel->buffer_count; i++)
        print_buffer(&s, kernel, &kernel->buffers[i]);
    if (kernel->axes)
        krsi_string_format(&s, "grid %u\n", kernel->axes);
    const uint32_t *group = kernel->group;
    if (group[0] != 1 || group[1] != 1 || group[2] != 1)
        krsi_string_format(&s, "group %u %u %u\n", group[0], group[1],
                           group[2]);
    int depth = 0;
    for (uint32_t i = 1; i < kernel->inst_count; i++) {
        if (kernel->insts[i].op == KRS_K_END)
            depth--;
        print_inst(&s, kernel, i, depth);
        if (kernel->insts[i].op == KRS_K_FOR)
            depth++;
    }
    if (s.failed) {
        krsi_string_free(&s);
        return NULL;
    }
    return s.text;
}
