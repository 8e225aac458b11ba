/* fuse.h -- what the files of fusion share: one cut seen from another.
 *
 * host and guest are two cuts, one of which reads what the other writes; the
 * merged cut has the iteration space of the host.
 */
#ifndef KRSI_FUSE_H
#define KRSI_FUSE_H

#include "cut.h"

/* A cut with room for as much as a cut may have. */
typedef struct krsi_wide_cut {
    krsi_cut cut;
    krsi_load load[KRSI_CUT_LOADS];
    krsi_expr expr[KRSI_CUT_EXPRS];
    krsi_out out[KRSI_CUT_OUTS];
} krsi_wide_cut;

/* Coordinates of the guest by those of the host:
 * guest_g = offset[g] + sum_h step[g][h] host_h. */
typedef struct krsi_mapping {
    int64_t offset[KRSI_CUT_AXES];
    int64_t step[KRSI_CUT_AXES][KRSI_CUT_AXES];
} krsi_mapping;

/* ---- compose.c ---- */

void krsi_wide_copy(krsi_wide_cut *to, const krsi_cut *from);
/* Find the points of the guest whose elements of out number `out` a view of
 * the host's iteration space reads: load number `load`, whose axes are split
 * as needed (its other views follow). The last axis of a guest with rows, if
 * the out holds for all of it, is that of the host. False, with the host
 * changed but equal in meaning, where this is not affine. */
bool krsi_compose(krsi_wide_cut *host, int load, const krsi_cut *guest, int out,
                  krsi_mapping *m);
bool krsi_mapping_equal(const krsi_mapping *a, const krsi_mapping *b,
                        const krsi_cut *host, const krsi_cut *guest);
/* The mapping turned round: the host's coordinates by the guest's. False if
 * an axis of the host, the guest's last `rows` left out, is not one of the
 * guest. */
bool krsi_mapping_invert(const krsi_mapping *m, const krsi_cut *host,
                         const krsi_cut *guest, int rows, krsi_mapping *out);

/* What is to be merged. */
typedef struct krsi_merge {
    const krsi_cut *producer, *consumer;
    bool into_producer; /* the host is the producer, else the consumer */
    const krsi_mapping *mapping;
    /* by load of the consumer: out of the producer that takes its place, or
     * -1 */
    int replaced[KRSI_CUT_LOADS];
    bool carried[KRSI_CUT_OUTS]; /* outs of the producer that stay outs */
} krsi_merge;

/* One cut of the two; what no out needs is dropped. False beyond the limits of
 * a cut. */
bool krsi_merge_cuts(const krsi_merge *merge, krsi_wide_cut *out);

/* ---- fuse_rules.c: of a guest inlined into a host ---- */

/* How often the merged cut computes a point of the guest, all added up: once
 * for a vector axis along which it stays the same, and elements of a
 * product's operand once. */
int64_t krsi_fuse_evaluations(const krsi_cut *host, const krsi_cut *guest,
                              const krsi_mapping *m);
/* The guest's last axis is the host's, whole and alone. */
bool krsi_fuse_rows_agree(const krsi_cut *host, const krsi_cut *guest,
                          const krsi_mapping *m);
/* Few long rows leave workers idle. */
bool krsi_fuse_has_rows_enough(const krsi_cut *host);
/* The vector axis, if it moves the guest, moves its innermost axis. */
bool krsi_fuse_keeps_order(const krsi_cut *host, const krsi_cut *guest,
                           const krsi_mapping *m);
/* Does the host visit all points of the guest, once each? */
bool krsi_fuse_covers(const krsi_cut *host, const krsi_cut *guest,
                      const krsi_mapping *m);
/* What no template of rows does well: to pass over rows more than once, or
 * store along them, where the loads lie across; or beside an argmax. */
bool krsi_fuse_is_awkward(const krsi_cut *c);
bool krsi_fuse_has_argmax(const krsi_cut *c);
/* An element of an operand is computed where it is packed: once for each of
 * the few times that a row of A or a column of B is. */
bool krsi_fuse_fits_operand(const krsi_cut *host, const krsi_cut *guest,
                            int load, const krsi_mapping *m);

/* ---- fuse_cost.c ---- */

/* scalar operations that an element of an expression, of a whole cut costs;
 * transcendental ones count more */
int krsi_expr_cost(const krsi_expr *e);
int krsi_cut_cost(const krsi_cut *cut);
/* loads that are as large as the iteration space, or nearly */
int krsi_cut_large_loads(const krsi_cut *cut);
/* points of the iteration space, saturating; of the first `axes` axes */
int64_t krsi_cut_points(const krsi_cut *cut, int axes);

#endif
