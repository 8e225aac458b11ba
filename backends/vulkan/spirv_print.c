/* spirv_print.c -- the words of a module as text, for people.
 *
 * In: words, from anywhere. Out: "%12 = FAdd %3 %10 %11": names from
 * spirv_ops.def; an opcode that is not there is a number. Lengths are checked:
 * what runs past the end is left out.
 */
#include "spirv_module.h"

#include "../../graph/base/base.h"

#include <string.h>

static const struct {
    SpvOp op;
    const char *name, *operands;
} rows[] = {
#define OP(name, operands) {SpvOp##name, #name, operands},
#include "spirv_ops.def"
#undef OP
};

static size_t
find(uint32_t op)
{
    size_t row = 0;
    while (row < sizeof rows / sizeof *rows && (uint32_t)rows[row].op != op)
        row++;
    return row;
}

static void
print_operands(krsi_string *out, const char *kinds, const uint32_t *words,
               size_t count)
{
    for (size_t i = 0; i < count; i++) {
        switch (*kinds) {
        case 'r': break; /* stands before the opcode */
        case 't':
        case 'i': krsi_string_format(out, " %%%u", (unsigned)words[i]); break;
        case 's':
            krsi_string_format(out, " \"%.*s\"",
                               (int)((count - i) * sizeof *words),
                               (const char *)(words + i));
            return;
        default: krsi_string_format(out, " %u", (unsigned)words[i]);
        }
        kinds += kinds[1] != 0;
    }
}

static void
print_instruction(krsi_string *out, const uint32_t *words, size_t count)
{
    uint32_t op = words[0] & SpvOpCodeMask;
    size_t row = find(op);
    if (row == sizeof rows / sizeof *rows) {
        krsi_string_format(out, "op %u", (unsigned)op);
        print_operands(out, "n", words + 1, count - 1);
    } else {
        const char *kinds = rows[row].operands, *result = strchr(kinds, 'r');
        size_t at = result ? (size_t)(result - kinds) + 1 : 0;
        if (at && at < count)
            krsi_string_format(out, "%%%u = ", (unsigned)words[at]);
        krsi_string_add(out, rows[row].name);
        print_operands(out, kinds, words + 1, count - 1);
    }
    krsi_string_add(out, "\n");
}

char *
krsi_spv_print(const uint32_t *words, size_t count)
{
    enum { HEADER = 5 };
    krsi_string out = {0};
    krsi_string_add(&out, "");
    for (size_t at = HEADER; at < count;) {
        size_t length = words[at] >> SpvWordCountShift;
        if (length == 0 || length > count - at)
            break;
        print_instruction(&out, words + at, length);
        at += length;
    }
    if (out.failed)
        krsi_string_free(&out);
    return out.text;
}
