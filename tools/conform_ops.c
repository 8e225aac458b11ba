/* conform_ops.c -- how an operation of the golden cases is asked of Kersey: the
 * table of conform_ops.def, and what is element-wise, a view or an order.
 */
#include "conform_build.h"

#include <krs/array.h>

#include <math.h>
#include <string.h>

/* ---- element-wise ---- */

krs_node
build_pow(struct conform_case *c)
{
    if (has_attr(c, "exponent"))
        return krs_pow_scalar(input_at(c, 0), number_attr_or(c, "exponent", 0));
    return krs_pow(input_at(c, 0), input_at(c, 1));
}

krs_node
build_gelu(struct conform_case *c)
{
    const char *kind = text_attr_or(c, "approximate", "none");
    if (!strcmp(kind, "tanh"))
        return krs_gelu_tanh(input_at(c, 0));
    if (!strcmp(kind, "none"))
        return krs_gelu(input_at(c, 0));
    return refuse_attr(c, "approximate", "none or tanh");
}

krs_node
build_where(struct conform_case *c)
{
    return krs_where(input_at(c, 0), input_at(c, 1), input_at(c, 2));
}

krs_node
build_clamp(struct conform_case *c)
{
    double low = number_attr_or(c, "min", -INFINITY);
    return krs_clamp(input_at(c, 0), low, number_attr_or(c, "max", INFINITY));
}

krs_node
build_cast(struct conform_case *c)
{
    krs_dtype dtype;
    if (!krs_dtype_parse(text_attr_or(c, "to", ""), &dtype))
        return refuse_attr(c, "to", "an element type");
    return krs_cast(input_at(c, 0), dtype);
}

/* ---- views ---- */

static krs_shape
shape_attr(struct conform_case *c)
{
    int64_t sizes[KRS_MAX_RANK];
    krs_shape shape = KRS_SCALAR;
    shape.rank = ints_attr(c, "shape", sizes);
    if (shape.rank < 0)
        refuse_attr(c, "shape", "a list of sizes");
    for (int i = 0; i < shape.rank; i++)
        shape.dim[i] = sizes[i];
    return shape;
}

krs_node
build_reshape(struct conform_case *c)
{
    return krs_reshape(input_at(c, 0), shape_attr(c));
}

krs_node
build_expand(struct conform_case *c)
{
    return krs_expand(input_at(c, 0), shape_attr(c));
}

krs_node
build_permute(struct conform_case *c)
{
    return krs_permute(input_at(c, 0), axes_attr(c, "dims"));
}

krs_node
build_slice(struct conform_case *c)
{
    int64_t axes[KRS_MAX_RANK], starts[KRS_MAX_RANK], ends[KRS_MAX_RANK],
        steps[KRS_MAX_RANK];
    int count = ints_attr(c, "axes", axes);
    if (ints_attr(c, "starts", starts) != count ||
        ints_attr(c, "ends", ends) != count ||
        ints_attr(c, "steps", steps) != count)
        return refuse_attr(c, "axes", "as many axes as starts, ends, steps");
    krs_node y = input_at(c, 0);
    for (int i = 0; i < count; i++)
        y = krs_slice(y, (int)axes[i], starts[i], ends[i], steps[i]);
    return y;
}

krs_node
build_flip(struct conform_case *c)
{
    krs_axes axes = axes_attr(c, "dims");
    krs_node y = input_at(c, 0);
    for (int i = 0; i < axes.count; i++)
        y = krs_flip(y, axes.axis[i]);
    return y;
}

krs_node
build_pad(struct conform_case *c)
{
    krs_node x = input_at(c, 0);
    int64_t pairs[KRS_MAX_RANK], before[KRS_MAX_RANK] = {0},
                                 after[KRS_MAX_RANK] = {0};
    int count = ints_attr(c, "pads_last_axis_first", pairs);
    int rank = krs_node_shape(x).rank;
    if (count < 0 || count % 2 || count / 2 > rank)
        return refuse_attr(c, "pads_last_axis_first", "pairs, one an axis");
    for (int i = 0; i < count / 2; i++) {
        before[rank - 1 - i] = pairs[2 * i];
        after[rank - 1 - i] = pairs[2 * i + 1];
    }
    return krs_pad(x, before, after, number_attr_or(c, "value", 0));
}

krs_node
build_concat(struct conform_case *c)
{
    return krs_concat(c->inputs, c->input_count, axis_attr(c));
}

krs_node
build_stack(struct conform_case *c)
{
    return krs_stack(c->inputs, c->input_count, axis_attr(c));
}

krs_node
build_roll(struct conform_case *c)
{
    return krs_roll(input_at(c, 0), axis_attr(c), int_attr(c, "shifts"));
}

krs_node
build_tril(struct conform_case *c)
{
    return krs_tril(input_at(c, 0), int_attr_or(c, "diagonal", 0));
}

/* ---- order ---- */

krs_node
build_sort(struct conform_case *c)
{
    bool_attr_or(c, "stable", false); /* it always is */
    return krs_sort(input_at(c, 0), axis_attr(c),
                    bool_attr_or(c, "descending", false),
                    &c->extras[c->extra_count++]);
}

krs_node
build_topk(struct conform_case *c)
{
    if (!bool_attr_or(c, "sorted", true))
        return refuse_attr(c, "sorted", "true");
    return krs_topk(input_at(c, 0), int_attr(c, "k"), axis_attr(c),
                    bool_attr_or(c, "largest", true),
                    &c->extras[c->extra_count++]);
}

krs_node
build_graph(struct conform_case *c)
{
    conform_build *build = find_expression(text_attr_or(c, "graph", ""));
    if (!build)
        return refuse_attr(c, "graph", "an expression of conform_graphs.c");
    return build(c);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    krs_node (*unary)(krs_place at, krs_node x);
    krs_node (*binary)(krs_place at, krs_node a, krs_node b);
    conform_build *build;
} rows[] = {
/* clang-format off */
#define UNARY(op)     {#op, .unary = krs_##op##_at},
#define BINARY(op)    {#op, .binary = krs_##op##_at},
#define BUILD(op, fn) {#op, .build = fn},
/* clang-format on */
#include "conform_ops.def"
};

bool
conform_build_case(struct conform_case *c, const char *op, krs_node *out)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, op) != 0)
            continue;
        if (rows[i].unary)
            *out = rows[i].unary(KRS_HERE, input_at(c, 0));
        else if (rows[i].binary)
            *out = rows[i].binary(KRS_HERE, input_at(c, 0), input_at(c, 1));
        else
            *out = rows[i].build(c);
        return true;
    }
    return false;
}
