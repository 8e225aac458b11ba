/* alone.h -- every node judged by itself: what a device gave for it, against
 * what the f64 interpreter makes of the operands that the device had.
 *
 * So there is no tolerance for a whole graph. Comparisons, roundings, indices
 * and all other decisions must be the same; a float may differ by what one
 * operation is allowed (tolerance.c).
 */
#ifndef KRSI_ALONE_H
#define KRSI_ALONE_H

#include "../program.h"

#include <krs/check.h>

/* ---- difference.c ---- */

/* element i as a number; integers beyond 2^53 lose their last bits */
double krsi_view_number(const krs_view *v, int64_t i);
/* the same bits, or both NaN */
bool krsi_view_same(const krs_view *a, const krs_view *b, int64_t i);
int64_t krsi_view_elements(const krs_view *v);
/* distance from x to the next number of a float type */
double krsi_ulp_of(krs_dtype dtype, double x);
/* of two tensors of one type and shape */
void krsi_differ(const krs_view *got, const krs_view *want,
                 krs_check_difference *out);
/* zeroed room for what v says, v->bytes filled in; false: no memory */
bool krsi_view_room(krs_view *v);
void krsi_view_free(krs_view *v);

/* ---- tolerance.c ---- */

/* ulps that a function may be off; 0 if the row is none */
double krsi_function_ulps(enum krsi_op op);
/* Roundings behind one element, for rows that add, or multiply many; else 0. Of
 * sums those of the longest chain; of products all, for each is of the whole. */
double krsi_roundings(const krs_graph *g, const krsi_node *n);
/* May 0 stand for -0, and -0 for 0? */
bool krsi_zeros_are_one(enum krsi_op op);
/* The magnitude of which each of these loses 2^-24 at most: a node like
 * `alone`, which is n's row on the operands in[] of another graph. */
krs_node krsi_rounded(const krs_graph *g, const krsi_node *n, krs_node alone,
                      const krs_node *in);
/* Does a body do what f64 and f32 do differently? If not, a scan is judged as
 * one exact operation; else what a rounding becomes over the iterations has no
 * bound. */
bool krsi_body_rounds(const krsi_body *body);

/* ---- tolerance_attention.c ---- */

double krsi_attention_roundings(const krs_graph *g, const krsi_node *n);
krs_node krsi_attention_rounded(const krsi_node *n, krs_node alone,
                                const krs_node *in);

/* ---- alone.c ---- */

typedef struct krsi_judged {
    uint32_t id;
    bool is_exact;   /* without any tolerance */
    int64_t failing; /* elements */
    int64_t worst;   /* the one farthest beyond or nearest to what is allowed */
    double got, want, allowed, ratio; /* there */
    krs_check_difference difference;
} krsi_judged;
typedef void krsi_judged_sink(void *user, const krsi_judged *judged);

/* Can a node be judged? Leaves hold what they were given, updates what their
 * value is, a scan has no value of its own. */
bool krsi_can_be_judged(const krs_graph *g, uint32_t id);

/* Is what it may be off bounded? Not for a result of a scan whose body rounds:
 * that is judged by a guard. */
bool krsi_has_bound(const krs_graph *g, uint32_t id);

/* krsi_judge_alone(eval, g, asked, values, var, sink, user, err) -- judge every
 * node of g (primitives, and composites with a kernel family) that is asked
 * for and can be. values[id]: of these and their operands (of a result, those
 * of its scan), maximal shapes. */
krs_status krsi_judge_alone(krs_device *eval, const krs_graph *g,
                            const bool *asked, const krs_view *values,
                            const int64_t *var, krsi_judged_sink *sink,
                            void *user, krs_error *err);

#endif
