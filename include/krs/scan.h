/* scan.h -- recurrences: the same operations again and again, over time.
 *
 *     krs_scan scan = krs_scan_begin(g, T, KRS_SCAN_FORWARD);
 *     krs_node h = krs_scan_carry(scan, h0);           // [B,H]
 *     krs_node x = krs_scan_x(scan, xs);               // [B,D] of xs [T,B,D]
 *     krs_node next = krs_tanh(krs_add(krs_matmul(x, wx), krs_matmul(h, wh)));
 *     krs_scan_next(scan, h, next);
 *     krs_scan_keep(scan, next);
 *     krs_scan_end(scan);
 *     krs_node last = krs_scan_last(scan, h);          // [B,H]
 *     krs_node all = krs_scan_kept(scan, next);        // [T,B,H]
 *
 * What is built between begin and end on what krs_scan_carry, krs_scan_x and
 * krs_scan_iteration give is the body. It may use any other node of the graph
 * (wx, wh above), which means the same in every iteration; what depends on
 * such nodes alone is computed once. Scans may stand inside scans, four deep.
 *
 *      (carry, y[t]) = body(carry, x[t], everything else)
 *      for t = 0, 1, .. T-1, or T-1, .. 1, 0 for KRS_SCAN_REVERSE
 *
 * Random operations in the body draw other numbers in each iteration: those of
 * part t of one tensor [T, ...]. A krs_update inside a body is refused, and so
 * are live lengths of what goes in and comes out.
 *
 * Gradient   of everything that goes in, of any order: by a scan in the other
 *            direction, which computes the body again from the carries before
 *            each iteration. These are kept ([T, ...] of each carry); nothing
 *            else is.
 * Cost       T times the body. It is compiled once.
 * Source     Griewank & Walther 2008, chapter 12, on keeping states; the
 *            operator as in Bird 1984 ("scan").
 */
#ifndef KRS_SCAN_H
#define KRS_SCAN_H

#include <krs/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A scan of a graph, from krs_scan_begin on. A plain value. */
typedef struct krs_scan {
    krs_graph *graph;
    uint32_t number; /* 0: none, krs_scan_begin was refused */
} krs_scan;

typedef enum krs_scan_direction {
    KRS_SCAN_FORWARD, /* t = 0, 1, ... */
    KRS_SCAN_REVERSE  /* t = length-1, length-2, ... */
} krs_scan_direction;

/* krs_scan_begin(g, length, direction) -- open a scan of that many iterations;
 * 0 is fine: the carries stay as they are.
 * Errors: RANGE (length below 0), UNSUPPORTED (a fifth inside four). */
KRS_API krs_scan krs_scan_begin_at(krs_place at, krs_graph *g, int64_t length,
                                   krs_scan_direction direction);
#define krs_scan_begin(...) krs_scan_begin_at(KRS_HERE, __VA_ARGS__)

/* krs_scan_carry(scan, initial) -- a value that goes from each iteration to the
 * next: in the first it is `initial`, then what krs_scan_next said.
 * krs_scan_x(scan, xs) -- xs[t], of xs [length, ...].
 * krs_scan_iteration(scan) -- t as an i64 scalar.
 * All give nodes that mean something in the body only.
 * Errors: GRAPH (the scan is not the innermost that is open), SHAPE (xs without
 * an axis of that length), UNSUPPORTED (a live length, a carry of blocks). */
KRS_API krs_node krs_scan_carry_at(krs_place at, krs_scan scan,
                                   krs_node initial);
KRS_API krs_node krs_scan_x_at(krs_place at, krs_scan scan, krs_node xs);
KRS_API krs_node krs_scan_iteration_at(krs_place at, krs_scan scan);
#define krs_scan_carry(...)     krs_scan_carry_at(KRS_HERE, __VA_ARGS__)
#define krs_scan_x(...)         krs_scan_x_at(KRS_HERE, __VA_ARGS__)
#define krs_scan_iteration(...) krs_scan_iteration_at(KRS_HERE, __VA_ARGS__)

/* krs_scan_next(scan, carry, value) -- the carry is `value`, of its type and
 * shape, in the next iteration; once for each carry.
 * krs_scan_keep(scan, value) -- keep the value of each iteration.
 * Errors: GRAPH (not a carry of this scan; the scan is not open), ARGUMENT (the
 * carry has its next value already), DTYPE and SHAPE (of another type). */
KRS_API void krs_scan_next_at(krs_place at, krs_scan scan, krs_node carry,
                              krs_node value);
KRS_API void krs_scan_keep_at(krs_place at, krs_scan scan, krs_node value);
#define krs_scan_next(...) krs_scan_next_at(KRS_HERE, __VA_ARGS__)
#define krs_scan_keep(...) krs_scan_keep_at(KRS_HERE, __VA_ARGS__)

/* krs_scan_end(scan) -- close it. Gives the status of the graph.
 * Errors: ARGUMENT (a carry without a next value; neither carries nor kept
 * values), GRAPH (not the innermost open scan; a value of another scan's body),
 * UNSUPPORTED (an update inside). */
KRS_API krs_status krs_scan_end_at(krs_place at, krs_scan scan);
#define krs_scan_end(...) krs_scan_end_at(KRS_HERE, __VA_ARGS__)

/* krs_scan_last(scan, carry) -- the carry after the last iteration.
 * krs_scan_kept(scan, value) -- the kept values, [length, ...]; that of
 * iteration t is [t, ...] in both directions.
 * Errors: GRAPH (before krs_scan_end; not a carry; not kept). */
KRS_API krs_node krs_scan_last_at(krs_place at, krs_scan scan, krs_node carry);
KRS_API krs_node krs_scan_kept_at(krs_place at, krs_scan scan, krs_node value);
#define krs_scan_last(...) krs_scan_last_at(KRS_HERE, __VA_ARGS__)
#define krs_scan_kept(...) krs_scan_kept_at(KRS_HERE, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
