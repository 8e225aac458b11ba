/* fold.c -- compute what depends on constants alone when a graph is compiled.
 *
 * In: a site whose operands are constants. Out: its value as a constant.
 *
 * Devices differ: eval computes in f64 and rounds when a result is read,
 * kernels round to f32 at each node, and their functions are polynomials. So
 * only that is folded on which all agree to the bit:
 *
 *   views, gathers, concat ..    elements are moved
 *   element-wise rows that are not functions of floats (types FLOAT in
 *   ops.def: exp, sqrt, ..)      each float result, computed in f64, must be a
 *                                number of its type; then nothing was rounded,
 *                                in f32 neither (Figueroa 1995: 53 >= 2 * 24 +
 *                                2, so rounding twice is rounding once)
 *   other rows                   without floats: sums of integers
 *
 * The value comes from the interpreter (ir/eval.c) on a graph of this node
 * alone. A constant that is made has at most KRSI_FOLD_BYTES, and a graph gets
 * at most ALL_FOLD_BYTES (rewrite.c) of them; expansions of scalars stay
 * expansions (rules map_constants, view_constant).
 */
#include "rewrite.h"

#include "../ir/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What may be folded, by the words in the column `cut` of ops.def. */
typedef enum fold_kind { FOLD_NOT, FOLD_MOVES, FOLD_MAP, FOLD_INTS } fold_kind;
#define FOLD_OF_input     FOLD_NOT
#define FOLD_OF_state     FOLD_NOT
#define FOLD_OF_constant  FOLD_NOT
#define FOLD_OF_full      FOLD_NOT
#define FOLD_OF_iota      FOLD_NOT
#define FOLD_OF_index     FOLD_NOT
#define FOLD_OF_random    FOLD_NOT
#define FOLD_OF_update    FOLD_NOT
#define FOLD_OF_alias     FOLD_NOT
#define FOLD_OF_map       FOLD_MAP
#define FOLD_OF_reduce    FOLD_INTS
#define FOLD_OF_prefix    FOLD_INTS
#define FOLD_OF_scatter   FOLD_INTS
#define FOLD_OF_contract  FOLD_INTS
#define FOLD_OF_reshape   FOLD_MOVES
#define FOLD_OF_permute   FOLD_MOVES
#define FOLD_OF_expand    FOLD_MOVES
#define FOLD_OF_slice     FOLD_MOVES
#define FOLD_OF_windows   FOLD_MOVES
#define FOLD_OF_set_slice FOLD_MOVES
#define FOLD_OF_pad       FOLD_MOVES
#define FOLD_OF_concat    FOLD_MOVES
#define FOLD_OF_live      FOLD_NOT
#define FOLD_OF_gather    FOLD_MOVES
#define FOLD_OF_param     FOLD_NOT
#define FOLD_OF_scan      FOLD_NOT
#define FOLD_OF_result    FOLD_NOT
static const uint8_t kinds[KRSI_OP_COUNT] = {
#define PRIMITIVE(ID, name, min, max, attrs, types, shape, live, vjp, cut, \
                  ...)                                                     \
    [KRSI_##ID] = FOLD_OF_##cut,
#define COMPOSITE(...)
#include "../ir/ops.def"
#undef PRIMITIVE
#undef COMPOSITE
};

static bool
is_float(const krsi_node *n)
{
    return krs_dtype_is_float((krs_dtype)n->dtype);
}

/* bytes of a value; SIZE_MAX of what is not folded */
static size_t
bytes_of(const krsi_node *n)
{
    size_t bytes = 0;
    if (krs_dtype_class_of((krs_dtype)n->dtype) == KRS_CLASS_BLOCK ||
        n->live_axes ||
        !krs_dtype_bytes((krs_dtype)n->dtype, krsi_elements(n), &bytes))
        return SIZE_MAX;
    return bytes;
}

/* Constants all, small all, and one of them with data, or all scalars that give
 * a scalar. */
static bool
has_constants(const krsi_site *s)
{
    bool with_data = false, scalars = true;
    for (int i = 0; i < s->count; i++) {
        const krsi_node *n = krsi_operand(s, i);
        double c;
        if (n->op != KRSI_CONSTANT && !krsi_operand_number(s, i, &c))
            return false;
        if (bytes_of(n) > KRSI_FOLD_BYTES)
            return false;
        with_data |= n->op == KRSI_CONSTANT;
        scalars &= n->op == KRSI_FULL;
    }
    return s->count > 0 && (with_data || (scalars && s->type->rank == 0));
}

static bool
has_runtime_integer(const krsi_site *s)
{
    const char *spec = krsi_ops[s->op].attributes;
    krsi_attr attr;
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)); k++) {
        krs_index index = KRS_INDEX(0);
        if (attr.kind != 'X')
            continue;
        int count = krsi_attr_index(s->op, s->words.word, k, 0, &index);
        for (int i = 0; i < count; i++) {
            krsi_attr_index(s->op, s->words.word, k, i, &index);
            if (index.terms)
                return true;
        }
    }
    return false;
}

static bool
is_foldable(const krsi_site *s)
{
    bool floats = is_float(s->type);
    for (int i = 0; i < s->count; i++)
        floats |= is_float(krsi_operand(s, i));
    switch ((fold_kind)kinds[s->op]) {
    case FOLD_NOT: return false;
    case FOLD_MOVES: return true;
    case FOLD_MAP: return krsi_ops[s->op].types != KRSI_TYPES_FLOAT;
    case FOLD_INTS: return !floats;
    }
    return false;
}

/* ---- the value ---- */

/* the site alone, in a graph of its own */
static krs_node
alone(const krsi_site *s, krs_graph *g)
{
    uint32_t in[KRSI_FEW_PARTS];
    for (int i = 0; i < s->count; i++) {
        const krsi_node *n = krsi_operand(s, i);
        krs_dtype dtype = (krs_dtype)n->dtype;
        krs_shape shape = krs_node_shape(krsi_handle(s->g, s->in[i]));
        double c;
        krs_node x = krsi_operand_number(s, i, &c)
                         ? krs_full_at(s->at, g, dtype, shape, c)
                         : krs_constant_at(s->at, g, dtype, shape,
                                           s->g->blob[krsi_int(n, 2)].data);
        in[i] = x.id;
        if (!x.id)
            return x;
    }
    return krsi_add(g, s->at, s->op, in, s->count, s->words.word,
                    s->words.count);
}

/* are the doubles numbers of the type, so that nothing was rounded? */
static bool
is_exact(krs_dtype dtype, const void *native, const double *wide, size_t count)
{
    for (size_t i = 0; krs_dtype_is_float(dtype) && i < count; i++) {
        double rounded = krsi_load_double(dtype, native, i);
        if (rounded != wide[i] && !(isnan(rounded) && isnan(wide[i])))
            return false;
    }
    return true;
}

/* native: as a tensor of the type; false if it is not to be folded, or cannot
 * be (an index outside its axis is said at the run; or memory is out) */
static bool
evaluate(const krsi_site *s, void *native)
{
    krsi_element wide[KRSI_FOLD_BYTES];
    krs_error err;
    krsi_eval *eval = NULL;
    krs_graph *g = krs_graph_new();
    krs_node y = g ? alone(s, g) : KRS_NONE;
    bool good = krs_node_is_valid(y) &&
                krsi_eval_new(g, &y.id, 1, &eval, &err) == KRS_OK &&
                krsi_eval_run(eval, NULL, NULL, &err) == KRS_OK;
    if (good) {
        krsi_eval_read(eval, 0, native, KRSI_NATIVE);
        krsi_eval_read(eval, 0, wide, KRSI_WIDE);
        good = is_exact((krs_dtype)s->type->dtype, native, &wide->f,
                        (size_t)krsi_elements(s->type));
    }
    krsi_eval_free(eval);
    krs_graph_free(g);
    return good;
}

krsi_verdict
krsi_rule_fold(krsi_site *s)
{
    _Alignas(8) char native[KRSI_FOLD_BYTES];
    size_t bytes = bytes_of(s->type);
    if (s->count > KRSI_FEW_PARTS || !is_foldable(s) || !has_constants(s) ||
        bytes > KRSI_FOLD_BYTES || has_runtime_integer(s) ||
        !evaluate(s, native))
        return KRSI_STAYS;
    krs_dtype dtype = (krs_dtype)s->type->dtype;
    if (s->type->rank == 0) { /* a scalar, which costs no memory */
        double value = krsi_load_double(dtype, native, 0);
        if (krs_dtype_is_float(dtype) || fabs(value) <= 0x1p53)
            return krsi_is(s, krsi_scalar(s->at, s->g, dtype, value).id);
    }
    if (!krsi_site_room(s, bytes))
        return KRSI_STAYS;
    krs_shape shape = {.rank = s->type->rank};
    for (int a = 0; a < shape.rank; a++)
        shape.dim[a] = s->type->dim[a];
    return krsi_is(s, krs_constant_at(s->at, s->g, dtype, shape, native).id);
}
