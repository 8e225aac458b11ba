/* rewrite.h -- what a rule of rules.def sees. Only rewrite.c, fold.c and
 * rules_*.c include it.
 *
 * A site is a node that is about to be made: operation, operands (nodes of the
 * new graph, already in normal form), attributes, and the type that the result
 * has whatever becomes of it. A rule looks at the site and at what its operands
 * are made of, never at who uses it, and
 *
 *   returns KRSI_STAYS    it does not match; the site is as it was
 *   returns KRSI_IS       the result is the node s->node, of the same type
 *   returns KRSI_AGAIN    it changed the site, to which rules are applied anew
 *
 * Nodes that it needs besides are made by krsi_site_add, in normal form too.
 */
#ifndef KRSI_REWRITE_H
#define KRSI_REWRITE_H

#include "opt.h"

enum {
    KRSI_FEW_PARTS = 64,   /* of a concat that rules look through */
    KRSI_FOLD_BYTES = 1024 /* of a constant that is looked into, or made */
};

typedef struct krsi_rewriter krsi_rewriter;

typedef struct krsi_site {
    krsi_rewriter *w;
    krs_graph *g; /* the new graph */
    krs_place at;
    const krsi_node *type; /* element type, sizes, live lengths of the result */
    enum krsi_op op;
    int count;
    uint32_t *in;     /* room for KRSI_FEW_PARTS, or count if that is more */
    krsi_words words; /* attributes */
    uint32_t node;    /* of KRSI_IS */
} krsi_site;

typedef enum krsi_verdict { KRSI_STAYS, KRSI_IS, KRSI_AGAIN } krsi_verdict;
typedef krsi_verdict krsi_rule_fn(krsi_site *s);

/* ---- the table ---- */

/* what a rule may change of the result, besides nothing */
typedef enum krsi_changes {
    KRSI_CHANGES_NOTHING,
    KRSI_CHANGES_NAN /* sign and payload of a NaN */
} krsi_changes;

/* what gets smaller when a rule is applied (rules.def) */
typedef enum krsi_measure {
    KRSI_LOWERS_WORK,
    KRSI_LOWERS_NODES,
    KRSI_LOWERS_SIZE,
    KRSI_LOWERS_COST,
    KRSI_LOWERS_ORDER
} krsi_measure;

/* what a rule's root may be: an operation, any element-wise primitive (MAP),
 * any operation (ANY) */
enum krsi_root {
    KRSI_ROOT_NONE,
#define PRIMITIVE(ID, ...) KRSI_ROOT_##ID = KRSI_##ID,
#define COMPOSITE          PRIMITIVE
#include "../ir/ops.def"
#undef PRIMITIVE
#undef COMPOSITE
    KRSI_ROOT_MAP,
    KRSI_ROOT_ANY
};

enum { KRSI_RULE_ROOTS = 12 };
typedef struct krsi_rule {
    const char *name, *matches, *becomes;
    krsi_rule_fn *apply;
    krsi_changes changes;
    krsi_measure lowers;
    uint8_t root[KRSI_RULE_ROOTS]; /* 0 after the last */
} krsi_rule;

#define RULE(name, ...) KRSI_RULE_##name,
enum krsi_rule_id {
#include "rules.def"
    KRSI_RULES
};
#undef RULE
extern const krsi_rule krsi_rules[KRSI_RULES];

#define RULE(name, ...) krsi_rule_fn krsi_rule_##name;
#include "rules.def"
#undef RULE

/* What a pass did. */
typedef struct krsi_rewrites {
    size_t fired[KRSI_RULES];
    size_t exhausted; /* sites that were left at the bound of steps */
} krsi_rewrites;
/* krsi_optimise, counted */
krs_status krsi_rewrite(const krs_graph *g, const uint32_t *roots, size_t count,
                        krsi_rewrites *counts, krs_graph **out,
                        uint32_t *out_roots, krs_error *err);

/* ---- rewrite.c, for rules ---- */

/* a node in normal form; 0: refused or out of memory, which the pass reports */
uint32_t krsi_site_add(krsi_site *s, enum krsi_op op, const uint32_t *in,
                       int count, const krsi_words *words);
/* a scalar that fills the shape and live lengths of a node */
uint32_t krsi_site_full(krsi_site *s, krs_dtype dtype, const krsi_node *like,
                        double value);
/* x expanded to the shape and live lengths of a node */
uint32_t krsi_site_expand(krsi_site *s, uint32_t x, const krsi_node *like);
/* x reshaped to the sizes of a node */
uint32_t krsi_site_reshape(krsi_site *s, uint32_t x, const krsi_node *like);
/* may the pass make a constant of that many bytes? It counts them. */
bool krsi_site_room(krsi_site *s, size_t bytes);

/* is the node a constant scalar, or an expansion of one? */
bool krsi_number(const krs_graph *g, uint32_t id, double *out);
/* the same element type, sizes and live lengths? */
bool krsi_same_type(const krsi_node *a, const krsi_node *b);
/* the same sizes? */
bool krsi_same_dims(const krsi_node *a, const krsi_node *b);
/* a + b, a * b in an integer type, wrapped; false if an operand or the result
 * is above 2^53, so that a scalar cannot hold it */
bool krsi_whole_sum(krs_dtype dtype, double a, double b, double *out);
bool krsi_whole_product(krs_dtype dtype, double a, double b, double *out);

static inline const krsi_node *
krsi_operand(const krsi_site *s, int i)
{
    return s->g->node[s->in[i]];
}

static inline bool
krsi_operand_is(const krsi_site *s, int i, enum krsi_op op)
{
    return krsi_operand(s, i)->op == op;
}

/* operand i is a constant scalar of that value, zeros told apart by sign */
bool krsi_operand_number(const krsi_site *s, int i, double *out);
bool krsi_operand_equals(const krsi_site *s, int i, double value);

static inline bool
krsi_operand_is_float(const krsi_site *s, int i)
{
    return krs_dtype_is_float((krs_dtype)krsi_operand(s, i)->dtype);
}

static inline krsi_verdict
krsi_is(krsi_site *s, uint32_t node)
{
    s->node = node;
    return KRSI_IS;
}

/* the site becomes an operation without attributes, or whose attributes are
 * put next */
static inline krsi_verdict
krsi_becomes(krsi_site *s, enum krsi_op op, int count, uint32_t a, uint32_t b)
{
    const uint32_t in[2] = {a, b};
    s->op = op;
    s->count = count;
    s->words.count = 0;
    for (int i = 0; i < count; i++)
        s->in[i] = in[i];
    return KRSI_AGAIN;
}

/* ---- blocks of slice and set_slice, for rules_slice.c and others ---- */

typedef struct krsi_block {
    int rank;
    krs_index start[KRS_MAX_RANK];
    int64_t length[KRS_MAX_RANK], step[KRS_MAX_RANK];
} krsi_block;
/* the site becomes that slice of x */
krsi_verdict krsi_becomes_slice(krsi_site *s, uint32_t x,
                                const krsi_block *block);

#endif
