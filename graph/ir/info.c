/* info.c -- ops.def as a table of facts, and names back to rows. */
#include "ir.h"

#include <string.h>

#define SECOND_(a, b, ...) b
#define SECOND(...)        SECOND_(__VA_ARGS__)
/* true unless the word is `none`, and unless it is `expand` */
#define DIFFERENTIABLE(vjp) SECOND(NONE_##vjp, true, )
#define NONE_none           0, false
#define HAS_FAMILY(cut)     SECOND(EXPAND_##cut, true, )
#define EXPAND_expand       0, false

#define INFO(ID, name_, min, max, attrs, types_, shape_, live_, vjp, cut, \
             text_, is_composite)                                         \
    [KRSI_##ID] = {.name = #name_,                                        \
                   .attributes = attrs,                                   \
                   .text = text_,                                         \
                   .min_count = min,                                      \
                   .max_count = max,                                      \
                   .composite = is_composite,                             \
                   .has_family = is_composite && HAS_FAMILY(cut),         \
                   .differentiable = DIFFERENTIABLE(vjp),                 \
                   .types = KRSI_TYPES_##types_,                          \
                   .live = KRSI_LIVE_##live_,                             \
                   .shape = krsi_shape_##shape_},

#define PRIMITIVE(...) INFO(__VA_ARGS__, false)
#define COMPOSITE(...) INFO(__VA_ARGS__, true)
const krsi_op_info krsi_ops[KRSI_OP_COUNT] = {
    [KRSI_POISON] = {.name = "poison", .attributes = "", .text = "no value"},
#include "ops.def"
};
#undef PRIMITIVE
#undef COMPOSITE

enum krsi_op
krsi_op_by_name(const char *name)
{
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++)
        if (strcmp(krsi_ops[op].name, name) == 0)
            return (enum krsi_op)op;
    return KRSI_POISON;
}
