/* opinfo.c -- the op table for callers (opinfo.h).
 *
 * In: krsi_ops, expanded from ops.def. Out: rows of plain data. Row 0 of
 * krsi_ops is the poisoned node, which is no operation and is left out.
 */
#include "ir.h"

#include <krs/opinfo.h>

int
krs_op_count(void)
{
    return KRSI_OP_COUNT - 1;
}

static const char *
types_text(krsi_types types)
{
    switch (types) {
    case KRSI_TYPES_FLOAT: return "float";
    case KRSI_TYPES_NUMBER: return "number";
    case KRSI_TYPES_COMPARE: return "any";
    case KRSI_TYPES_BITS: return "bits";
    case KRSI_TYPES_INT: return "int";
    case KRSI_TYPES_ANY: return "any";
    }
    return "?";
}

bool
krs_op_info_at(int i, krs_op_info *out)
{
    if (i < 0 || i >= krs_op_count())
        return false;
    const krsi_op_info *row = &krsi_ops[i + 1];
    *out = (krs_op_info){
        .name = row->name,
        .definition = row->text,
        .attributes = row->attributes,
        .types = types_text(row->types),
        .least_operands = row->min_count,
        .most_operands = row->max_count == 255 ? -1 : row->max_count,
        .composite = row->composite,
        .differentiable = row->differentiable,
    };
    return true;
}
