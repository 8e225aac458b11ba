/* conform.h -- a golden case on its way from JSON to a verdict.
 *
 * conform.c goes through the cases, conform_case.c runs one and judges it,
 * conform_ops.c, conform_rows.c, conform_blocks.c and conform_graphs.c know how
 * an operation or an expression of a case is asked of Kersey. The cases name
 * attributes as torch and ONNX do; a function translates them, and nothing
 * else. Only public builders are used, and an operation that the library does
 * not offer has no row. To add one, add a row to conform_ops.def.
 *
 * Attributes are read through the *_attr functions: a wrong kind becomes the
 * first error of the graph, and an attribute that nobody read fails the case,
 * so that no case passes by being understood in part.
 */
#ifndef KERSEY_CONFORM_H
#define KERSEY_CONFORM_H

#include "command.h"

#include <jansson.h>
#include <krs/weights.h>

enum { CASE_INPUTS = 12, CASE_EXTRAS = 4 };

struct conform_case {
    const char *name;
    krs_graph *graph;
    json_t *attrs;       /* object, borrowed */
    uint64_t attrs_read; /* bit i: the i-th was read */
    int input_count;
    const char *input_names[CASE_INPUTS];
    krs_node inputs[CASE_INPUTS]; /* in the order of the case */
    int extra_count;
    krs_node extras[CASE_EXTRAS]; /* further outputs, set by the builder */
};

/* The node of the primary output; a poisoned one after an error. */
typedef krs_node conform_build(struct conform_case *c);

/* conform_case.c */

enum case_verdict { CASE_PASSED, CASE_FAILED, CASE_SKIPPED };

/* conform_run_case(device, tensors, description, text) -- one element of
 * cases.json (it has "op") or second_order.json (it has "function"); text
 * says why it failed or was skipped, and is empty for a pass. */
enum case_verdict conform_run_case(krs_device *device,
                                   const krs_weights *tensors,
                                   json_t *description,
                                   char text[KRS_ERROR_TEXT]);

/* conform_attributes.c; the *_or forms give `absent` for null or nothing. */
bool has_attr(struct conform_case *c, const char *key);
int64_t int_attr(struct conform_case *c, const char *key);
int64_t int_attr_or(struct conform_case *c, const char *key, int64_t absent);
double number_attr_or(struct conform_case *c, const char *key, double absent);
bool bool_attr_or(struct conform_case *c, const char *key, bool absent);
const char *text_attr_or(struct conform_case *c, const char *key,
                         const char *absent);
/* up to KRS_MAX_RANK integers, null among them as KRS_END; -1 for null or
 * nothing */
int ints_attr(struct conform_case *c, const char *key,
              int64_t out[KRS_MAX_RANK]);
/* axes, all of them for null or nothing; the attribute "axis" */
krs_axes axes_attr(struct conform_case *c, const char *key);
int axis_attr(struct conform_case *c);
/* input i, or KRS_NONE */
krs_node input_at(const struct conform_case *c, int i);
/* the input of that name; an error if there is none */
krs_node input_named(struct conform_case *c, const char *name);
/* the first attribute that was not read, or NULL */
const char *unread_attr(const struct conform_case *c);
/* "attrs.<key>: ..." as the graph's error; gives the poisoned node */
krs_node refuse_attr(struct conform_case *c, const char *key,
                     const char *expected);

/* conform_ops.c */

/* conform_build_case(c, op, &y) -- false if Kersey has no such operation. */
bool conform_build_case(struct conform_case *c, const char *op, krs_node *out);

/* conform_graphs.c */

/* the builder of an expression, as it is written in the case, or NULL */
conform_build *find_expression(const char *text);

#endif
