/* lower_rows_lanes.c -- reductions of the family rows where items are lanes of
 * a processor, which reach scratch slowly and for which code is dear.
 *
 * The virtual lanes are taken in turn, some at a time: a turn passes over the
 * row and holds the sums of its lanes in registers. Then lane j must meet lane
 * j + 32, 16, ... (lower_rows.c), that is, turns half of their number apart meet
 * first. So they are in loops of two trips each, the innermost of which goes
 * from a turn to that one: a loop keeps what its first trip made, and what the
 * second one makes meets it.
 *
 *   along    a turn is some vectors of the row, one after the other
 *   across   a turn is some rows of the operand, as far apart as there are
 *            turns, so that they meet at once; an item has a vector of columns
 */
#include "lower_rows.h"

enum {
    TURN = 16, /* points of a turn, about */
    DEPTH = 6  /* loops of two trips, at most */
};

typedef krsi_rows_lanes each_reduction[KRSI_CUT_REDUCES];

/* The loops that are open, from the outermost one. */
typedef struct halves {
    int loops, parts;                         /* vectors of a turn */
    each_reduction first[DEPTH], both[DEPTH]; /* what the trips made */
} halves;

int
krsi_rows_at_once(const krsi_rows *r, int elements, int loops)
{
    int64_t bound = r->l->facts->item_turns, all = r->l->cut->max[r->row];
    int at_once = elements < TURN ? TURN / elements : 1;
    while (bound && at_once * elements < KRSI_ROW_LANES &&
           all / elements / at_once > bound / (loops + 1))
        at_once *= 2;
    return at_once;
}

/* what lanes hold before the first element */
static krsi_kv
nothing(krsi_rows *r, int i)
{
    krsi_lowering *l = r->l;
    return krsi_rows_spread(
        l, krsi_rows_identity(l->kb, l->cut->expr[r->reduce[i]].op,
                              krsi_rows_type(l, r->reduce[i])));
}

static krsi_kv
join(krsi_rows *r, int i, krsi_kv a, krsi_kv b)
{
    krs_kscalar op = krsi_rows_scalar(r->l->cut->expr[r->reduce[i]].op);
    return krsi_kb_scalar(r->l->kb, op, a, b, KRSI_KV_NONE);
}

/* Open the loops over turns of so many lanes; -> the first lane of this one,
 * where those of turns are `apart`. */
static krsi_kv
open_turns(krsi_rows *r, int lanes, int apart, int parts, halves *h)
{
    krsi_kb *kb = r->l->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0), one = krsi_kb_i64(kb, 1), lane = zero;
    *h = (halves){.parts = parts};
    for (int turns = KRSI_ROW_LANES / lanes; turns > 1; turns /= 2) {
        krsi_kv trip = krsi_kb_for(kb, zero, krsi_kb_i64(kb, 2), one);
        for (int i = 0; i < r->reduces; i++)
            for (int v = 0; v < parts; v++) {
                h->first[h->loops][i][v] = krsi_kb_carry(kb, nothing(r, i));
                h->both[h->loops][i][v] = krsi_kb_carry(kb, nothing(r, i));
            }
        int64_t distance = (int64_t)apart << h->loops++;
        lane = krsi_kb_add(kb, lane,
                           krsi_kb_mul(kb, trip, krsi_kb_i64(kb, distance)));
    }
    return lane;
}

/* The sums of a turn become those of all turns. */
static void
close_turns(krsi_rows *r, halves *h, each_reduction sum)
{
    krsi_kb *kb = r->l->kb;
    while (h->loops-- > 0) {
        krsi_rows_lanes *first = h->first[h->loops], *both = h->both[h->loops];
        for (int i = 0; i < r->reduces; i++)
            for (int v = 0; v < h->parts; v++)
                krsi_kb_next(kb, first[i][v], sum[i][v]);
        for (int i = 0; i < r->reduces; i++)
            for (int v = 0; v < h->parts; v++)
                krsi_kb_next(kb, both[i][v],
                             join(r, i, first[i][v], sum[i][v]));
        krsi_kb_end(kb);
        for (int i = 0; i < r->reduces; i++)
            for (int v = 0; v < h->parts; v++)
                sum[i][v] = krsi_kb_result(kb, both[i][v]);
    }
}

/* Open the loop over the elements of the lanes of a turn, from `first` on. */
static krsi_kv
open_row(krsi_rows *r, krsi_kv first, int parts, each_reduction carry)
{
    krsi_lowering *l = r->l;
    krsi_kv at = krsi_kb_for(l->kb, first, l->extent[r->row],
                             krsi_kb_i64(l->kb, KRSI_ROW_LANES));
    for (int i = 0; i < r->reduces; i++)
        for (int v = 0; v < parts; v++)
            carry[i][v] = krsi_kb_carry(l->kb, nothing(r, i));
    return at;
}

static void
close_row(krsi_rows *r, int parts, each_reduction carry, each_reduction sum)
{
    krsi_kb *kb = r->l->kb;
    for (int i = 0; i < r->reduces; i++)
        for (int v = 0; v < parts; v++)
            krsi_kb_next(kb, carry[i][v], sum[i][v]);
    krsi_kb_end(kb);
    for (int i = 0; i < r->reduces; i++)
        for (int v = 0; v < parts; v++)
            sum[i][v] = krsi_kb_result(kb, carry[i][v]);
    r->l->mask = KRSI_KV_NONE;
    krsi_lower_move(r->l);
}

void
krsi_rows_along_in_turn(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    halves h;
    each_reduction carry, sum;
    int many = r->at_once, lanes = many * l->lanes;
    krsi_kv first = open_turns(r, lanes, lanes, many, &h);
    krsi_kv at = open_row(r, first, many, carry);
    for (int v = 0; v < many; v++) {
        krsi_rows_go_to(r, at, v);
        krsi_rows_take_turn(r, carry, sum, v);
    }
    close_row(r, many, carry, sum);
    close_turns(r, &h, sum);
    for (int i = 0; i < r->reduces; i++) {
        krs_kscalar op = krsi_rows_scalar(l->cut->expr[r->reduce[i]].op);
        krsi_rows_settle(
            l, r->reduce[i],
            krsi_kb_fold(l->kb, op, krsi_kb_join(l->kb, op, sum[i], many)));
    }
}

/* Row v of a turn at the point where the coordinates are; one beyond the end is
 * the last one, and its elements are nothing. */
static void
take_row(krsi_rows *r, krsi_kv k, each_reduction carry, each_reduction sum,
         int v)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    krsi_kv n = l->extent[r->row];
    bool is_inside = krsi_rows_are_whole(r, KRSI_ROW_LANES);
    l->coord[r->row] =
        is_inside ? k
                  : krsi_kb_min(kb, k, krsi_kb_sub(kb, n, krsi_kb_i64(kb, 1)));
    krsi_lower_move(l);
    for (int i = 0; i < r->reduces; i++) {
        krsi_kv x = krsi_rows_spread(l, krsi_rows_operand(l, r->reduce[i]));
        if (!is_inside)
            x = krsi_kb_select(kb, krsi_kb_lt(kb, k, n), x, nothing(r, i));
        sum[i][v] = join(r, i, carry[i][v], x);
    }
}

void
krsi_rows_across_in_turn(krsi_rows *r)
{
    krsi_lowering *l = r->l;
    krsi_kb *kb = l->kb;
    halves h;
    each_reduction carry, sum;
    int many = krsi_rows_at_once(r, 1, 1), column = r->row - 1;
    int apart = KRSI_ROW_LANES / many;
    krsi_rows_open_pass(r, 1);
    krsi_lower_points(l, r->row, l->lanes);
    l->in_fours = l->lanes % 4 == 0;
    l->vector_axis = column;
    krsi_kv columns =
        krsi_lower_has_whole_vectors(l, column)
            ? KRSI_KV_NONE
            : krsi_kb_below(kb, l->coord[column], l->end, l->lanes);
    krsi_kv first = open_turns(r, many, 1, 1, &h);
    krsi_kv at = open_row(r, first, many, carry);
    l->mask = columns;
    for (int v = 0; v < many; v++)
        take_row(r, krsi_kb_add(kb, at, krsi_kb_i64(kb, (int64_t)v * apart)),
                 carry, sum, v);
    close_row(r, many, carry, sum);
    for (int i = 0; i < r->reduces; i++)
        sum[i][0] = krsi_kb_join(
            kb, krsi_rows_scalar(l->cut->expr[r->reduce[i]].op), sum[i], many);
    close_turns(r, &h, sum);
    l->mask = columns;
    krsi_lower_move(l);
    for (int i = 0; i < r->reduces; i++)
        krsi_rows_settle(l, r->reduce[i], sum[i][0]);
    for (int i = 0; i < l->cut->outs; i++)
        krsi_lower_deliver(l, i);
    krsi_lower_end_points(l);
}
