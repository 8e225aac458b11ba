/* cut_make.h -- what the cut rules share. Only cut*.c include it.
 *
 * A rule reads its node and the views of the operands, makes cuts (krsi_maker_
 * cut, loads and expressions, krsi_maker_finish, in this order) and leaves the
 * view of its node in s->view. Once `failed` is set views may name values that
 * are not there: what makes cuts asks first.
 */
#ifndef KRSI_CUT_MAKE_H
#define KRSI_CUT_MAKE_H

#include "cut.h"

/* A schedule being made. */
typedef struct krsi_maker {
    krsi_sched *s;
    const krs_graph *g;
    const bool *needed; /* by node id: the outputs need it */
    int *ready;         /* by value: first wave that may read it */
    size_t ready_capacity;
    bool failed;      /* everything after is a no-op */
    uint32_t refused; /* node with too many runtime integers; 0: no memory */
    const krsi_loop_planner *planner;
    krs_status status; /* why a body was not planned, if not OK */
    krs_error *err;
    uint32_t *results; /* nodes of the row result that are needed */
    size_t result_count, result_capacity;
} krsi_maker;

static inline const krsi_node *
maker_node(const krsi_maker *m, uint32_t id)
{
    return m->g->node[id];
}

/* Would the value, moved by its own size, begin where no loop may bind it? */
static inline bool
maker_moves_badly(const krsi_maker *m, uint32_t value)
{
    uint64_t align = m->planner ? m->planner->align_bytes : 1;
    return align > 1 && m->s->values[value].bytes % align != 0;
}

/* ---- cut.c ---- */

/* a value shaped as a node */
uint32_t krsi_maker_value(krsi_maker *m, krsi_storage_kind kind, uint32_t id);
/* a new temporary for the node, and its whole view */
krsi_view krsi_maker_own(krsi_maker *m, uint32_t id);
/* bytes of a value shaped as a node */
size_t krsi_maker_bytes(const krsi_maker *m, uint32_t id);
/* the operand's view, with a value of its own: constants are written out */
krsi_view krsi_maker_loadable(krsi_maker *m, uint32_t id);
/* a constant scalar, or a reshape or expansion of one: it has no value */
bool krsi_maker_is_constant(const krsi_maker *m, uint32_t id);
/* A cut that stores its last expression into out, over out's extents, with
 * room for RULE_LOADS loads and RULE_EXPRS expressions; NULL after a failure. */
enum { RULE_LOADS = 4, RULE_EXPRS = 8 };
krsi_cut *krsi_maker_cut(krsi_maker *m, krsi_family family, uint32_t id,
                         const krsi_view *out);
/* choose the wave and simplify, now that loads and output are known */
void krsi_maker_finish(krsi_maker *m, krsi_cut *c);
/* a cut that copies node `from` into out */
void krsi_maker_copy(krsi_maker *m, uint32_t node, uint32_t from,
                     const krsi_view *out, bool after);
int krsi_maker_fault(krsi_maker *m, uint32_t id);
int krsi_cut_expr(krsi_cut *c, krsi_expr e);
int krsi_cut_load(krsi_cut *c, const krsi_view *v, krs_dtype dtype);
/* the index that the view gives, as a number */
int krsi_cut_position(krsi_cut *c, const krsi_view *v, krs_dtype dtype);
/* operand `id` as an expression: a constant, or a load through the view */
int krsi_cut_operand(krsi_maker *m, krsi_cut *c, uint32_t id,
                     const krsi_view *v);

/* ---- cut_map.c ---- */

/* a leaf that has data of its own */
void krsi_maker_leaf(krsi_maker *m, uint32_t id, krsi_storage_kind kind);
/* A leaf that a kernel fills with the numbers that an index makes of the
 * coordinates: offset + the coordinate along axis (-1: none). */
void krsi_maker_source(krsi_maker *m, uint32_t id, krs_index offset, int axis);

/* ---- cut_view.c ---- */

void krsi_maker_check(krsi_maker *m, krsi_check check);

/* starts of slice and set_slice nodes; runtime ones get a check */
void krsi_maker_starts(krsi_maker *m, uint32_t id, const int64_t *length,
                       const int64_t *step, krs_index start[KRS_MAX_RANK]);

/* ---- the rules, one for each word in the cut column of ops.def ---- */

typedef void krsi_cut_rule(krsi_maker *m, uint32_t id);
#define PRIMITIVE(ID, name, min, max, attrs, types, shape, live, vjp, cut, \
                  ...)                                                     \
    krsi_cut_rule krsi_cut_##cut;
#define COMPOSITE PRIMITIVE
#include "../ir/ops.def"
#undef PRIMITIVE
#undef COMPOSITE

#endif
