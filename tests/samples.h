/* samples.h -- small uses of every operation, for the tests that loop over
 * ops.def.
 *
 * Each row of ops.def has sample_<name>, which builds its use number `which`
 * in s->graph through the public builders and gives the node, or KRS_NONE
 * past the last one. A row without it does not link. Inputs are recorded with
 * their values: deterministic, of moderate size, and away from kinks and ties,
 * so that central differences hold.
 */
#ifndef TESTS_SAMPLES_H
#define TESTS_SAMPLES_H

#include "graph/ir/ir.h"

enum { SAMPLE_LEAVES = 7, SAMPLE_ELEMENTS = 128, SAMPLE_VARS = 2 };

/* An input or state, and what it holds: a float as f, all others as i. */
typedef struct sample_leaf {
    krs_node node;
    int64_t elements;
    bool differentiable; /* the use has a gradient with respect to it */
    double step;         /* of central differences */
    union {
        double f;
        int64_t i;
    } value[SAMPLE_ELEMENTS];
} sample_leaf;

typedef struct sample {
    krs_graph *graph;
    krs_node use; /* a node of the row */
    sample_leaf leaf[SAMPLE_LEAVES];
    int leaves;
    int64_t var[SAMPLE_VARS]; /* values of the runtime integers */
} sample;

/* Build use number `which` of a row in a new graph; false if there is none.
 * Free with sample_free. */
bool sample_build(enum krsi_op op, int which, sample *out);
/* Build it once more in the same graph, with the same inputs. */
krs_node sample_again(enum krsi_op op, int which, sample *s);
void sample_free(sample *s);

typedef krs_node sample_rule(sample *s, int which);
#define PRIMITIVE(ID, name, ...) sample_rule sample_##name;
#define COMPOSITE(ID, name, ...) sample_rule sample_##name;
#include "graph/ir/ops.def"
#undef PRIMITIVE
#undef COMPOSITE

/* The i-th of a series of numbers in [0, 1). */
double sample_number(uint64_t series, uint64_t i);

#endif
