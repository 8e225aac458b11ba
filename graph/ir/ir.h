/* ir.h -- the inside of a graph: nodes, attributes, the op table.
 *
 * Invariants kept by krsi_add, the only way to make a node:
 *   - operands have lower ids than the node, so id order is a topological
 *     order and no pass needs recursion;
 *   - a node was accepted by its row's type, shape and live rule;
 *   - no two nodes have the same operation, operands and attributes.
 */
#ifndef KRSI_IR_H
#define KRSI_IR_H

#include "../base/base.h"

#include <krs/graph.h>
#include <krs/loss.h>
#include <krs/ops.h>
#include <krs/scan.h>

#include <stdatomic.h>

enum krsi_op {
    KRSI_POISON,
#define PRIMITIVE(ID, ...) KRSI_##ID,
#define COMPOSITE(ID, ...) KRSI_##ID,
#include "ops.def"
#undef PRIMITIVE
#undef COMPOSITE
    KRSI_OP_COUNT
};

/* A node. Immutable; lives in the graph's arena, so pointers stay valid. */
typedef struct krsi_node {
    uint16_t op; /* enum krsi_op */
    uint8_t dtype;
    uint8_t rank;
    uint8_t live_axes;     /* bit a: axis a has a live length */
    uint16_t words;        /* length of word */
    uint32_t count;        /* operands */
    const uint32_t *in;    /* their ids */
    const int64_t *word;   /* attributes, encoded (attr.c) */
    const int64_t *dim;    /* sizes, maximal */
    const krs_index *live; /* one an axis; NULL if live_axes is 0 */
    uint64_t hash;
    uint32_t scope; /* string */
    uint32_t file;  /* string */
    uint32_t line;
    uint32_t more_places; /* further places that asked for the same node */
} krsi_node;

typedef struct krsi_var {
    uint32_t name; /* string */
    int64_t low, high;
} krsi_var;

typedef struct krsi_blob {
    const void *data;
    size_t bytes;
    uint64_t hash;
} krsi_blob;

typedef struct krsi_place_entry {
    uint32_t file, line, next;
} krsi_place_entry;

/* What a scan does again and again (body.c): a graph of its own, whose params
 * are what comes from outside. */
typedef struct krsi_body {
    atomic_uint users;
    krs_graph *graph; /* never changes; variables as those of its users */
    uint32_t *result; /* ids: the next carries, then the ys */
    uint32_t results;
    uint32_t depth; /* 1, or one more than that of a body inside */
    uint64_t hash;
} krsi_body;

/* One begun by krs_scan_begin, inside the graph (build_scan.c). */
typedef struct krsi_open_scan krsi_open_scan;

struct krs_graph {
    krsi_arena arena;
    krsi_node **node; /* [1 .. nodes] */
    size_t nodes, node_capacity;
    uint32_t *table; /* open addressing, ids; power of two */
    size_t table_capacity;
    const char **string; /* interned; [0] is "" */
    size_t strings, string_capacity;
    uint32_t *string_table;
    size_t string_table_capacity;
    krsi_blob *blob;
    size_t blobs, blob_capacity;
    uint32_t *blob_table; /* open addressing, number + 1 */
    size_t blob_table_capacity;
    krsi_var *var;
    size_t vars, var_capacity;
    krsi_place_entry *place; /* [0] unused */
    size_t places, place_capacity;
    uint32_t *scope; /* stack of strings: whole paths */
    size_t scopes, scope_capacity;
    uint32_t *leaf; /* inputs and states, by name: ids */
    size_t leaves, leaf_capacity;
    uint32_t *leaf_by_name; /* by string: id, 0: none */
    size_t leaf_names, leaf_name_capacity;
    uint32_t *stream_count; /* by string that is a scope's path: automatic
                               random streams it has had */
    size_t stream_counts, stream_capacity;
    krsi_body **body;
    size_t bodies, body_capacity;
    krsi_open_scan **scan; /* all that were begun; number n is scan[n - 1] */
    size_t scans, scan_capacity;
    uint32_t open_scan; /* number of the innermost that is open; 0: none */
    krs_error error;    /* status KRS_OK: none */
};

/* ---- info.c: the table ---- */

typedef enum krsi_types {
    KRSI_TYPES_FLOAT,
    KRSI_TYPES_NUMBER,
    KRSI_TYPES_COMPARE,
    KRSI_TYPES_BITS,
    KRSI_TYPES_INT,
    KRSI_TYPES_ANY
} krsi_types;

typedef enum krsi_live_rule {
    KRSI_LIVE_none,
    KRSI_LIVE_same,
    KRSI_LIVE_rule
} krsi_live_rule;

/* What a shape rule reads and writes. */
typedef struct krsi_make {
    krs_graph *graph;
    krs_place at;
    enum krsi_op op;
    int count;
    const krsi_node *const *in;
    const int64_t *word;
    /* result */
    krs_dtype dtype;
    krs_shape shape;
    krs_index live[KRS_MAX_RANK];
    uint8_t live_axes;
} krsi_make;

typedef struct krsi_op_info {
    const char *name;
    const char *attributes;
    const char *text;
    uint8_t min_count, max_count; /* 255: any number */
    bool composite;
    bool has_family;     /* a composite that the scheduler cuts as it is */
    bool differentiable; /* vjp is not none */
    krsi_types types;
    krsi_live_rule live;
    bool (*shape)(krsi_make *make); /* false: refused, error recorded */
} krsi_op_info;

extern const krsi_op_info krsi_ops[KRSI_OP_COUNT];
/* KRSI_POISON if there is none of that name */
enum krsi_op krsi_op_by_name(const char *name);

#define PRIMITIVE(ID, name, min, max, attrs, types, shape, ...) \
    bool krsi_shape_##shape(krsi_make *make);
#define COMPOSITE PRIMITIVE
#include "ops.def"
#undef PRIMITIVE
#undef COMPOSITE

/* ---- graph.c: graphs, strings, scopes, errors ---- */

/* id of an equal string; 0 is ""; UINT32_MAX when memory is out */
uint32_t krsi_intern(krs_graph *g, const char *text);
uint32_t krsi_blob_add(krs_graph *g, const void *data, size_t bytes);
/* the scope path now, a string */
uint32_t krsi_scope_now(const krs_graph *g);
/* "scope.name" interned */
uint32_t krsi_scoped_name(krs_graph *g, const char *name);
/* Record an error unless there is one; hint may be NULL. The text becomes
 * "scope: op: text (file:line); hint". Gives false, for rules. */
bool krsi_refuse(krs_graph *g, krs_place at, const char *op, krs_status status,
                 const char *hint, const char *format, ...) KRS_PRINTF(6, 7);
/* The same of a use of operands, which the text names all: those with a type
 * and shape that the reason does not say follow it, "reason: f32[2,3], i64[4]".
 * Handles that are no nodes are left out. */
bool krsi_refuse_use(krs_graph *g, krs_place at, const char *op,
                     const krs_node *in, int count, krs_status status,
                     const char *hint, const char *format, ...)
    KRS_PRINTF(8, 9);
/* The same of the operation that is being made; for shape rules. */
bool krsi_refuse_make(const krsi_make *make, krs_status status,
                      const char *hint, const char *format, ...)
    KRS_PRINTF(4, 5);
/* memory is out: recorded without allocating; gives false */
bool krsi_refuse_memory(krs_graph *g);
static inline krs_node
krsi_handle(const krs_graph *g, uint32_t id)
{
    krs_node x = {(krs_graph *)(uintptr_t)g, id};
    return x;
}
/* poison of g; KRS_NONE if g is NULL */
static inline krs_node
krsi_poison(const krs_graph *g)
{
    return krsi_handle(g, 0);
}
/* NULL for KRS_NONE and poison */
const krsi_node *krsi_get(krs_node x);
/* number of the variable of that name, or -1 */
int32_t krsi_var_by_name(const krs_graph *g, const char *name);

/* ---- node.c: krsi_add ---- */

/* Check and add, or find, a node. Operands are ids of g, in range. word is a
 * valid encoding (krsi_words_valid). Poison on refusal. */
krs_node krsi_add(krs_graph *g, krs_place at, enum krsi_op op,
                  const uint32_t *in, int count, const int64_t *word,
                  int words);
/* id of that node if it is there, else 0 */
uint32_t krsi_find(const krs_graph *g, enum krsi_op op, const uint32_t *in,
                   int count, const int64_t *word, int words);
/* Ask the row's rule for the type, shape and live lengths of the result;
 * false: refused, error recorded. krsi_add does this first. */
bool krsi_infer(krsi_make *make);
/* what n->hash must be */
uint64_t krsi_node_hash(const krsi_node *n);
/* give a node that was just made its scope and first place; false when memory is
 * out */
bool krsi_node_is_from(krs_graph *g, uint32_t id, const char *scope,
                       krs_place at);
/* where a node was asked for: i-th place, false if there is none */
bool krsi_node_place(const krs_graph *g, uint32_t id, int i, krs_place *out);
/* "f32[2,3]" into the text, for messages; live axes as "<=3" */
#define KRSI_TYPE_TEXT 200
const char *krsi_type_text(char text[KRSI_TYPE_TEXT], const krsi_node *n);
/* the same of a type and a shape that no node has */
const char *krsi_shape_text(char text[KRSI_TYPE_TEXT], krs_dtype dtype,
                            krs_shape shape);

/* ---- attr.c: attributes as words ---- */

enum { KRSI_WORDS = 160, KRSI_INDEX_WORDS = 2 + 2 * KRS_INDEX_TERMS };
typedef struct krsi_words {
    int64_t word[KRSI_WORDS];
    int count;
} krsi_words;

void krsi_put_int(krsi_words *w, int64_t value); /* kinds i b s d D e */
void krsi_put_float(krsi_words *w, double value);
void krsi_put_ints(krsi_words *w, const int64_t *value, int count);
void krsi_put_indices(krsi_words *w, const krs_index *value, int count);

/* One attribute of a spec such as "axes:I keep:b". */
typedef struct krsi_attr {
    char name[20];
    char kind;         /* i f b I X s d D G e */
    const char *names; /* kind e: "none|sum|mean}" */
} krsi_attr;
/* next attribute of a spec into *out; the rest of the spec, NULL at the end */
const char *krsi_attr_next(const char *spec, krsi_attr *out);

/* k-th attribute of words encoded by the op's spec */
int64_t krsi_attr_int(enum krsi_op op, const int64_t *word, int k);
double krsi_attr_float(enum krsi_op op, const int64_t *word, int k);
/* count of a list; *out borrows its words (kind I) */
int krsi_attr_ints(enum krsi_op op, const int64_t *word, int k,
                   const int64_t **out);
/* count of a list of indices (kind X); the i-th into *out if i < count */
int krsi_attr_index(enum krsi_op op, const int64_t *word, int k, int i,
                    krs_index *out);
static inline int64_t
krsi_int(const krsi_node *n, int k)
{
    return krsi_attr_int((enum krsi_op)n->op, n->word, k);
}
static inline double
krsi_float(const krsi_node *n, int k)
{
    return krsi_attr_float((enum krsi_op)n->op, n->word, k);
}
static inline int
krsi_ints(const krsi_node *n, int k, const int64_t **out)
{
    return krsi_attr_ints((enum krsi_op)n->op, n->word, k, out);
}
static inline krs_index
krsi_index(const krsi_node *n, int k, int i)
{
    krs_index out = KRS_INDEX(0);
    krsi_attr_index((enum krsi_op)n->op, n->word, k, i, &out);
    return out;
}
/* the words of the k-th attribute */
const int64_t *krsi_attr_words(const krsi_node *n, int k, int *out_words);
/* the attributes of a node of `from`, with strings, data and bodies of `to`;
 * false: no memory, recorded in `to` */
bool krsi_words_copy(const krs_graph *from, const krsi_node *n, krs_graph *to,
                     krsi_words *out);
/* set used[v] for every variable that the node mentions, in bodies too */
void krsi_mark_vars(const krs_graph *g, const krsi_node *n, bool *used);
/* are the words a well-formed encoding for op: counts in bounds; strings,
 * blobs and variables of g? For the parser and the verifier. */
bool krsi_words_valid(const krs_graph *g, enum krsi_op op, const int64_t *word,
                      int words);

/* ---- body.c: bodies of scans ---- */

/* Scans inside scans, at most: every recursion over bodies is that deep. */
enum { KRSI_BODY_DEPTH = 4 };

typedef enum krsi_param_kind { /* as in the row of param */
                               KRSI_PARAM_ITERATION,
                               KRSI_PARAM_CONSTANT,
                               KRSI_PARAM_CARRY,
                               KRSI_PARAM_X
} krsi_param_kind;

/* Of a graph (takes), also when it fails: NULL, no memory. */
krsi_body *krsi_body_new(krs_graph *graph, const uint32_t *result,
                         uint32_t results);
void krsi_body_drop(krsi_body *body);
/* number of an equal body of g, else of this one (takes, also when memory is
 * out: UINT32_MAX); krsi_body_share leaves the caller its own hold */
uint32_t krsi_body_add(krs_graph *g, krsi_body *body);
uint32_t krsi_body_share(krs_graph *g, krsi_body *body);
bool krsi_body_equal(const krsi_body *a, const krsi_body *b);
/* id in the body, 0 if it does not use it */
uint32_t krsi_body_param(const krsi_body *body, krsi_param_kind kind,
                         uint32_t index);

/* A scan node, read: operands are the constants, the first carries, the xs.
 * Results (row result) are the last carries, the ys, and the history of every
 * carry: its values before each iteration. */
typedef struct krsi_loop {
    const krsi_body *body;
    int64_t length;
    bool reverse;
    uint32_t constants, carries, xs, ys;
} krsi_loop;
krsi_loop krsi_loop_of(const krs_graph *g, const krsi_node *n);
/* Of the results of the body some are needed: mark the carries that these are
 * made of, in this iteration or a later one. room: one more than its nodes. */
void krsi_loop_needs(const krsi_loop *l, bool *needed, bool *room);

/* ---- build_scan.c ---- */

void krsi_open_scans_free(krs_graph *g);
/* i-th result of a scan node */
krs_node krsi_result(krs_place at, krs_node scan, uint32_t i);
/* iteration of all open scans as one number, i64: the innermost counts first;
 * KRS_NONE if none is open */
krs_node krsi_iteration(krs_place at, krs_graph *g);

/* ---- index.c ---- */

#define KRSI_INDEX_TEXT 200
/* "2*pos+1" */
const char *krsi_index_text(char text[KRSI_INDEX_TEXT], const krs_graph *g,
                            krs_index i);
/* smallest and largest value over the bounds of its variables; false on
 * overflow, an unknown variable, or an index spoilt by krs_index_plus */
bool krsi_index_bounds(const krs_graph *g, krs_index i, int64_t *low,
                       int64_t *high);
/* is it a multiple of `of` whatever its variables are? */
bool krsi_index_is_multiple(krs_index i, int64_t of);
/* value under var[number]; the caller checked bounds */
int64_t krsi_index_value(krs_index i, const int64_t *var);

/* ---- build.c: shared by the builders ---- */

/* Check the handles (none, poisoned, foreign), widen halves where the row
 * computes in f32, add, and round back. g may be NULL if there is an operand.
 * words NULL: none. */
krs_node krsi_build(krs_place at, krs_graph *g, enum krsi_op op,
                    const krs_node *in, int count, const krsi_words *words);
/* the same after bringing operands to one shape */
krs_node krsi_build_map(krs_place at, enum krsi_op op, const krs_node *in,
                        int count, const krsi_words *words);
/* Options of a size we know, or a refusal: callers built against a later
 * header would pass fields that are not understood here. */
bool krsi_options_ok(krs_place at, krs_node x, enum krsi_op op, size_t given,
                     size_t known);
/* all valid and of one graph; else records an error (or finds poison) and
 * gives false */
bool krsi_operands_ok(krs_place at, enum krsi_op op, const krs_node *in,
                      int count);
/* Bring operands to one shape by expand; false (error recorded) if they do
 * not broadcast. */
bool krsi_broadcast(krs_place at, enum krsi_op op, krs_node *in, int count);
/* composite_rows.c -- what definitions share, and gradients with them */
/* (x - mean) / sqrt(var + eps) over the axes */
krs_node krsi_normalized(krs_place at, krs_node x, krs_axes axes, double eps);
/* m = max x along the last axis (a constant to the gradient), e^(x - m), and
 * its sum; m and sum are [.., 1] */
typedef struct krsi_exponentials {
    krs_node max, exp, sum;
} krsi_exponentials;
krsi_exponentials krsi_shifted_exp(krs_place at, krs_node x);
/* composite_loss.c -- cross-entropy with targets that are ids, [..], and class
 * weights [V], or KRS_NONE */
typedef struct krsi_ce {
    krs_place at;
    krs_node target, weight;
    int64_t ignore;
    double smoothing;
} krsi_ce;
/* of a node of one of the rows */
krsi_ce krsi_ce_of(krs_place at, const krsi_node *n, const krs_node *in);
/* what a mean divides by: the weights of all targets that count */
krs_node krsi_ce_count(const krsi_ce *c);
/* cotangent of logits x [.., V], given those of the losses: [..] or a scalar */
krs_node krsi_ce_gradient(const krsi_ce *c, krs_node x, krs_node g);
/* attribute `of` of linear_cross_entropy_grad: what by */
enum { KRSI_CE_HIDDEN, KRSI_CE_WEIGHT };

/* the value nearest to `value` that the type has; krs_scalar refuses others */
krs_node krsi_scalar(krs_place at, krs_graph *g, krs_dtype dtype, double value);
/* x expanded to another node's shape and live lengths */
krs_node krsi_expand_like(krs_place at, krs_node x, krs_node like);
/* x expanded to a shape with these live lengths (bits of live_axes) */
krs_node krsi_expand_to(krs_place at, krs_node x, krs_shape shape,
                        const krs_index *live, uint8_t live_axes);
/* axis in [0, rank) or -1 with an error recorded */
int krsi_axis(krs_place at, krs_node x, enum krsi_op op, int axis);
/* how many elements the axes of x have in all, as a scalar of type dtype; at
 * run time if an axis is live */
krs_node krsi_axis_count(krs_place at, krs_node x, const int64_t *axes,
                         int count, krs_dtype dtype);
/* one start, length, step an axis; starts may be runtime */
krs_node krsi_slice(krs_place at, krs_node x, const krs_index *starts,
                    const int64_t *lengths, const int64_t *steps);
krs_node krsi_set_slice(krs_place at, krs_node x, krs_node v,
                        const krs_index *starts, const int64_t *steps);
krs_node krsi_matmul(krs_place at, krs_node a, krs_node b, bool ta, bool tb);
/* x under a number of the caller's */
krs_node krsi_recompute(krs_place at, krs_node x, int64_t k);
krs_node krsi_cumsum(krs_place at, krs_node x, int axis, bool reverse);
krs_node krsi_cumprod(krs_place at, krs_node x, int axis, bool reverse);
/* iteration: KRS_NONE, or an i64 scalar: the numbers are those of part
 * number `iteration` of a longer tensor */
krs_node krsi_random_uniform(krs_place at, krs_node seed, krs_node step,
                             krs_node iteration, krs_shape shape,
                             int64_t stream);
krs_node krsi_reduce(krs_place at, enum krsi_op op, krs_node x, krs_axes axes,
                     bool keep);
/* sum x (a cotangent) over the axes that were expanded from like's shape */
krs_node krsi_sum_to(krs_place at, krs_node x, krs_node like);

/* ---- build_rows.c: what the gradient of attention is made of ---- */

/* n is an attention node or has its attributes; `in` as the row of ops.def
 * says; mask KRS_NONE if there is none */
krs_node krsi_attention_lse(krs_place at, const krsi_node *n, krs_node q,
                            krs_node k, krs_node mask);
/* f32 [B*H*T*D + B*K*S*D + B*K*S*E] */
krs_node krsi_attention_grad(krs_place at, const krsi_node *n,
                             const krs_node in[6], krs_node mask);
/* krs_linear_cross_entropy makes at most so many logits at once: 16 MiB */
enum { KRSI_CE_LOGITS = (16 << 20) / 4 };
/* x, w, target, class weight or KRS_NONE; with blocks of so many rows */
krs_node krsi_linear_cross_entropy(krs_place at, const krs_node in[4],
                                   const krs_cross_entropy_options *options,
                                   int64_t block);
/* of such a node; of: KRSI_CE_HIDDEN or KRSI_CE_WEIGHT */
krs_node krsi_linear_cross_entropy_grad(krs_place at, const krsi_node *n,
                                        const krs_node *in, int of);

/* ---- composite_*.c: definitions of composites ---- */

/* One use of a composite row: the node (attributes), its operands, possibly
 * in another graph than the node's. */
typedef struct krsi_use {
    krs_place at;
    krs_graph *graph;
    const krsi_node *node;
    const krs_node *in;
    int count;
} krsi_use;
typedef krs_node krsi_expand_rule(const krsi_use *use);
/* NULL for a primitive */
extern krsi_expand_rule *const krsi_expansions[KRSI_OP_COUNT];

#define PRIMITIVE(...)
#define COMPOSITE(ID, name, ...) \
    krs_node krsi_expand_##name(const krsi_use *use);
#include "ops.def"
#undef PRIMITIVE
#undef COMPOSITE

/* ---- print.c: pieces of the text form, for dot.c too ---- */

/* what a plain name in the text form is made of, after its first letter */
#define KRSI_WORD_BYTES \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789."

/* The part of a graph that some outputs need; everything for no outputs. */
typedef struct krsi_part {
    uint32_t *number; /* by id: 1, 2, ...; 0: not of the part */
    bool *var;        /* by variable: used */
    uint32_t count;
} krsi_part;
/* what: "graph print", for messages */
krs_status krsi_part_select(const krs_graph *g, const char *what,
                            const krs_node *outputs, size_t count,
                            krsi_part *out, krs_error *err);
void krsi_part_free(krsi_part *part);

/* product of the maximal sizes */
int64_t krsi_elements(const krsi_node *n);
void krsi_print_quoted(krsi_string *s, const char *text);
void krsi_print_index(krsi_string *s, const krs_graph *g, krs_index index);
/* f32[2,pos+1<=512] */
void krsi_print_type(krsi_string *s, const krs_graph *g, const krsi_node *n);
/* does the result type say what the k-th attribute says, or is it an empty
 * list? Then it is left out. */
bool krsi_attr_implied(const krsi_node *n, const krsi_attr *attr, int k);
/* the value alone */
void krsi_print_attr(krsi_string *s, const krs_graph *g, const krsi_node *n,
                     const krsi_attr *attr, int k, int64_t constant_limit);
/* element i, of any type but block types */
void krsi_print_element(krsi_string *s, krs_dtype dtype, const void *data,
                        size_t i);

/* ---- scan.c: words of the text form, for parse.c and parse_attr.c ---- */

typedef struct krsi_scan {
    const char *text, *at;
    int line;            /* of at */
    const char *comment; /* the last one that was passed; NULL: none */
    krs_graph *graph;    /* whose variables runtime integers name */
    krs_error *err;
    krsi_string word;    /* the last name read */
    unsigned char *data; /* of the last constant read; for free() */
    size_t data_capacity;
    int depth; /* of the body that is read; 0: none */
} krsi_scan;

/* Record "graph text, line 1, column 2: reason; hint" for the byte at `where`;
 * gives FORMAT. hint may be NULL. */
krs_status krsi_scan_fail(krsi_scan *s, const char *where, const char *hint,
                          const char *format, ...) KRS_PRINTF(4, 5);
krs_status krsi_scan_memory(krsi_scan *s);
/* the same for the graph's own error */
krs_status krsi_scan_refused(krsi_scan *s, const char *where);
/* what stands here, for messages */
#define KRSI_HERE_TEXT 40
const char *krsi_scan_here(const krsi_scan *s, char text[KRSI_HERE_TEXT]);

/* past blanks and a comment, up to the end of the line */
void krsi_scan_blanks(krsi_scan *s);
bool krsi_scan_line_end(krsi_scan *s);
bool krsi_scan_accept(krsi_scan *s, const char *token);
krs_status krsi_scan_expect(krsi_scan *s, const char *token, const char *hint);
/* into s->word: a plain name, "" if there is none; "..." unescaped; either,
 * at least a byte. what: "the name of a node", for messages */
krs_status krsi_scan_word(krsi_scan *s);
krs_status krsi_scan_quoted(krsi_scan *s);
krs_status krsi_scan_name(krsi_scan *s, const char *what);
krs_status krsi_scan_int(krsi_scan *s, const char *what, int64_t *out);
krs_status krsi_scan_float(krsi_scan *s, double *out);
krs_status krsi_scan_bool(krsi_scan *s, bool *out);
krs_status krsi_scan_dtype(krsi_scan *s, krs_dtype *out);
/* 2*pos+1, its bounds checked */
krs_status krsi_scan_index(krsi_scan *s, krs_index *out);
/* 0..15 for a lower-case hex digit, else -1 */
int krsi_scan_hex(char c);

/* ---- parse.c, for parse_attr.c ---- */

/* { statements } into words: a body of the graph */
krs_status krsi_parse_body(krsi_scan *s, krsi_words *words);

/* ---- parse_attr.c, for parse.c ---- */

/* The type of a node as written. */
typedef struct krsi_written_type {
    krs_dtype dtype;
    krs_shape shape;
    krs_index live[KRS_MAX_RANK];
    uint8_t live_axes;
} krsi_written_type;

/* all attributes of a row, to the end of the line */
krs_status krsi_parse_attributes(krsi_scan *s, enum krsi_op op,
                                 const krsi_written_type *type,
                                 krsi_words *words);

/* ---- verify.c ---- */

/* Check every invariant of every node; INTERNAL with the node named. */
krs_status krsi_verify(const krs_graph *g, krs_error *err);

#endif
