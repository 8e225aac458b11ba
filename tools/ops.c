/* ops.c -- kersey ops: the operations of the library, one a line.
 *
 * Out: name, number of operands, whether it is a primitive or a composite of
 * others, whether it has a gradient, the element types, the attributes and
 * the definition, as the op table has them (opinfo.h). With --json a list of
 * objects with the same fields. With --ulp the errors of mathematical
 * functions instead (ops_ulp.c).
 */
#include "ops.h"

#include <krs/opinfo.h>

/* "2", "1-3", "1+" */
static const char *
operand_text(const krs_op_info *op, char text[32])
{
    if (op->most_operands < 0)
        snprintf(text, 32, "%d+", op->least_operands);
    else if (op->least_operands == op->most_operands)
        snprintf(text, 32, "%d", op->least_operands);
    else
        snprintf(text, 32, "%d-%d", op->least_operands, op->most_operands);
    return text;
}

static int
print_json(void)
{
    json_t *list = json_array();
    krs_op_info op;
    for (int i = 0; krs_op_info_at(i, &op); i++)
        json_array_append_new(
            list, json_pack("{s:s, s:i, s:i, s:b, s:b, s:s, s:s, s:s}", "name",
                            op.name, "least_operands", op.least_operands,
                            "most_operands", op.most_operands, "composite",
                            op.composite, "differentiable", op.differentiable,
                            "types", op.types, "attributes", op.attributes,
                            "definition", op.definition));
    int failed = json_dumpf(list, stdout, JSON_INDENT(1));
    json_decref(list);
    printf("\n");
    return failed ? EXIT_FAILED : EXIT_OK;
}

int
command_ops(const struct command_line *line)
{
    krs_op_info op;
    char operands[32];
    if (line->flags.ulp)
        return print_ulps(line);
    for (int id = 0; id < FLAG_ID_COUNT; id++)
        if (line->flags.given[id] && id != FLAG_ID_json)
            return complain_usage("--%s is for --ulp", flag_rows[id].name);
    if (line->flags.json)
        return print_json();
    printf("%-18s %-4s %-9s %-8s %-6s  %-46s  %s\n", "name", "of", "kind",
           "gradient", "types", "definition", "attributes");
    for (int i = 0; krs_op_info_at(i, &op); i++)
        printf("%-18s %-4s %-9s %-8s %-6s  %-46s  %s\n", op.name,
               operand_text(&op, operands),
               op.composite ? "composite" : "primitive",
               op.differentiable ? "yes" : "no", op.types, op.definition,
               op.attributes);
    return EXIT_OK;
}
