/* lower_rows.h -- what the templates of the family rows share. Only
 * lower_rows*.c include it; lower_rows.c says what the templates are, and the
 * order of every sum.
 */
#ifndef KRSI_LOWER_ROWS_H
#define KRSI_LOWER_ROWS_H

#include "lower.h"

enum { KRSI_ROWS_KEPT = 4 }; /* expressions kept in scratch, at most */

typedef struct krsi_rows {
    krsi_lowering *l;
    int row; /* the last axis */
    int passes;
    int level[KRSI_CUT_EXPRS]; /* reductions below it, one inside the other */
    bool needed[KRSI_CUT_EXPRS];
    int kept[KRSI_ROWS_KEPT], keeps; /* expressions that stay in scratch */
    int kept_in[KRSI_ROWS_KEPT];     /* by the pass of this level */
    krsi_kbuf scratch[KRSI_ROWS_KEPT];
    krsi_kbuf partial[KRSI_CUT_REDUCES]; /* across: [64][strip] each */
    krs_dtype partial_type[KRSI_CUT_REDUCES];
    krsi_kv lane, begin; /* the virtual lane; first column */
    int strip;
    bool in_group; /* partial sums are in memory that items share */
    int at_once;   /* in turn: vectors of a row, or rows, that a turn takes */
    /* of the pass at hand */
    int pass, reduces, reduce[KRSI_CUT_REDUCES];
} krsi_rows;

/* the virtual lanes of each reduction of a pass, or some of them */
typedef krsi_kv krsi_rows_lanes[KRSI_ROW_LANES];

/* ---- lower_rows.c ---- */

krs_kscalar krsi_rows_scalar(enum krsi_op op);
/* what a lane without elements holds */
krsi_kv krsi_rows_identity(krsi_kb *kb, enum krsi_op op, krs_dtype type);
/* the type in which the operand of a reduction is counted, and the operand */
krs_dtype krsi_rows_type(const krsi_lowering *l, int expr);
krsi_kv krsi_rows_operand(krsi_lowering *l, int expr);
/* in all lanes */
krsi_kv krsi_rows_spread(krsi_lowering *l, krsi_kv v);
/* the value of a finished reduction, in the type of its expression */
void krsi_rows_settle(krsi_lowering *l, int expr, krsi_kv total);
/* What the pass computes at every point, before which all of lower levels is
 * known: the operands of its reductions; for pass 0, what is stored. */
void krsi_rows_open_pass(krsi_rows *r, int pass);
/* pass 0, and what it stores that is the same at all points; false: nothing is
 * stored at points */
bool krsi_rows_open_points(krsi_rows *r);
/* is out i stored at every point of a row, not once? */
bool krsi_rows_stores_points(const krsi_rows *r, int i);
/* scratch, or shared memory, for partial sums of the pass, where there is none
 * yet */
void krsi_rows_declare_partials(krsi_rows *r, int64_t count);
/* is the row so many points, as often as it takes? */
bool krsi_rows_are_whole(const krsi_rows *r, int64_t points);
/* the points of the row at `at`, vector v of those that a turn takes */
void krsi_rows_go_to(krsi_rows *r, krsi_kv at, int v);
/* reductions of the pass at the point where the coordinates are, the v-th of
 * the turn */
void krsi_rows_take_turn(krsi_rows *r, krsi_rows_lanes *carry,
                         krsi_rows_lanes *sum, int v);

/* ---- lower_rows_across.c ---- */

void krsi_rows_across(krsi_rows *r);

/* ---- lower_rows_lanes.c ---- */

/* How many times `elements` points of the row a turn takes, if `loops` loops go
 * along the row: as few as there may be turns. */
int krsi_rows_at_once(const krsi_rows *r, int elements, int loops);
/* the reductions of the pass, along the row, settled */
void krsi_rows_along_in_turn(krsi_rows *r);
/* all of the cut, across */
void krsi_rows_across_in_turn(krsi_rows *r);

/* ---- lower_rows_group.c ---- */

/* By groups of items; false, and nothing is written yet, where the device has
 * none, or too small ones. */
bool krsi_rows_group_along(krsi_rows *r);
bool krsi_rows_group_across(krsi_rows *r);

#endif
