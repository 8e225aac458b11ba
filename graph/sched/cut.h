/* cut.h -- level 1: what a kernel computes, still as mathematics.
 *
 * In: a graph of primitives. Out: values (tensors that get memory), views of
 * them, and cuts in an order that respects their dependencies. A cut is an
 * iteration space, loads through affine views, an expression, and a store; it
 * knows nothing of vectors, tiles or threads. graph/kernel lowers it.
 *
 * View operations cost nothing: permute, expand, slice, live and most
 * reshapes only change the strides through which later cuts load.
 *
 * cut.c makes one cut or two a node: the oracle of fusion, which fuse.c does.
 */
#ifndef KRSI_CUT_H
#define KRSI_CUT_H

#include "../ir/ir.h"

enum {
    KRSI_CUT_AXES = KRS_MAX_RANK + 1, /* and the axis of a product's sum */
    /* of one cut, at most; rules make small cuts, fusion (fuse.c) large ones */
    KRSI_CUT_LOADS = 16,
    KRSI_CUT_EXPRS = 160,
    KRSI_CUT_OUTS = 6,
    KRSI_CUT_REDUCES = 8
};

#define KRSI_NO_VALUE UINT32_MAX

/* A tensor that gets memory, laid out row-major at its maximal shape. */
typedef enum krsi_storage_kind {
    KRSI_STORAGE_INPUT,     /* bound for each run */
    KRSI_STORAGE_STATE,     /* in the store */
    KRSI_STORAGE_CONSTANT,  /* written once */
    KRSI_STORAGE_TEMPORARY, /* made and used within a run */
    KRSI_STORAGE_OUTPUT,    /* bound for each run, written by it */
    KRSI_STORAGE_FUSED      /* part of a kernel: it has no memory */
} krsi_storage_kind;

typedef struct krsi_storage {
    krsi_storage_kind kind;
    krs_dtype dtype;
    size_t bytes;
    uint32_t node;   /* that made it */
    uint32_t output; /* of an output: which one */
    /* Of an output that is the new value of a state: the state. Of this
     * state: the output. Else KRSI_NO_VALUE. */
    uint32_t partner;
    krs_index moved; /* all loads and stores, by so many elements */
} krsi_storage;

/* Element [i..] is element offset + sum i_a stride_a of the value. */
typedef struct krsi_view {
    uint32_t value;
    int rank;
    krs_index offset;
    int64_t stride[KRSI_CUT_AXES];
    krs_index extent[KRSI_CUT_AXES]; /* at run time; at most max */
    int64_t max[KRSI_CUT_AXES];
} krsi_view;

/* One scalar of the expressions of a cut; operands are earlier entries. What
 * reduces holds at all points of a row. */
typedef enum krsi_expr_kind {
    KRSI_X_LOAD,     /* load number `load` */
    KRSI_X_CONST,    /* `number` */
    KRSI_X_POSITION, /* the index that the view of load number `load` gives:
                        nothing is read */
    KRSI_X_OP,       /* row `op` of ops.def on in[] */
    KRSI_X_RANDOM,   /* uniform number: in[0] seed, in[1] step, in[2] element,
                        `stream` */
    KRSI_X_REDUCE,   /* row `op` (sum, amax, amin, argmax) of in[0] along the
                        last axis */
    KRSI_X_PRODUCT   /* sum over the last axis of in[0] times in[1]: of a
                        matrix product, in the order that tile.h states */
} krsi_expr_kind;

typedef struct krsi_expr {
    krsi_expr_kind kind;
    krs_dtype dtype;
    enum krsi_op op;
    int in[3];
    int load;
    uint32_t stream;
    double number; /* of a const; integers below 2^53 */
} krsi_expr;

/* how many of in[] are used */
static inline int
krsi_expr_operands(const krsi_expr *e)
{
    switch (e->kind) {
    case KRSI_X_LOAD:
    case KRSI_X_CONST:
    case KRSI_X_POSITION: return 0;
    case KRSI_X_OP: return krsi_ops[e->op].max_count;
    case KRSI_X_RANDOM: return 3;
    case KRSI_X_REDUCE: return 1;
    case KRSI_X_PRODUCT: return 2;
    }
    return 0;
}

/* A read. With `indirect` (an expr of integers, else -1) the address grows by
 * its value times indirect_stride; a value outside [0, indirect_bound) is
 * fault number `fault`, and reads nothing. A load without a value
 * (KRSI_NO_VALUE) is there for its index, which a POSITION takes. */
typedef struct krsi_load {
    krsi_view view; /* rank and extents of the iteration space */
    int indirect, fault;
    int64_t indirect_stride;
    krs_index indirect_bound;
} krsi_load;

/* A write of expr `root`. Where that holds for a whole row the stride of the
 * last axis is 0. With `indirect`, as for a load, the place moves. */
typedef struct krsi_out {
    krsi_view view; /* rank and extents of the iteration space */
    int root, indirect, fault;
    int64_t indirect_stride;
    krs_index indirect_bound;
} krsi_out;

typedef enum krsi_family {
    KRSI_CUT_MAP,     /* store exprs at every point */
    KRSI_CUT_ROWS,    /* the same, with reductions along the last axis */
    KRSI_CUT_PREFIX,  /* running sum along the last axis */
    KRSI_CUT_SCATTER, /* out += expr, one after the other along the last axis */
    KRSI_CUT_CONTRACT,  /* a product, axes b.. m n k, and what is made of it at
                          every point of b.. m n */
    KRSI_CUT_ATTENTION, /* scaled dot-product attention, or what its gradient
                           is made of: `attention` says which */
    KRSI_CUT_LOOP, /* a scan: a plan of its own, run again and again; it has
                      loads and outs for the values it touches, no axes and no
                      expressions */
    KRSI_CUT_FAMILIES
} krsi_family;

/* the last axes that have a meaning of their own: they are never merged with
 * others, or split */
static inline int
krsi_family_axes(krsi_family family)
{
    switch (family) {
    case KRSI_CUT_MAP:
    case KRSI_CUT_LOOP: return 0;
    case KRSI_CUT_ROWS:
    case KRSI_CUT_PREFIX:
    case KRSI_CUT_SCATTER: return 1;
    case KRSI_CUT_CONTRACT:
    case KRSI_CUT_ATTENTION:
    case KRSI_CUT_FAMILIES: return 3;
    }
    return 3;
}

/* A cut of the family attention. Its iteration space is [B, H, T], of the
 * gradient [B]; the views of loads and outs have axes of their own: q
 * [B,H,T,D], k [B,K,S,D], v [B,K,S,E], mask [B,H,T,S], lse [B,H,T], result and
 * cotangent [B,H,T,E]. It has no expressions but its loads. The gradient, with
 * a cotangent, has one out: what attention_grad is. */
typedef struct krsi_attention {
    int q, k, v, mask, result, lse, cotangent; /* numbers of loads; -1: none */
    int out, out_lse; /* forward: numbers of outs, -1: none */
    double scale;
    bool causal;
    krs_index offset;
    int64_t window;
} krsi_attention;

typedef struct krsi_cut {
    krsi_family family;
    uint32_t node;
    int rank; /* of the iteration space, outermost first */
    krs_index extent[KRSI_CUT_AXES];
    int64_t max[KRSI_CUT_AXES];
    bool reverse; /* prefix: from the end; and a product, not a sum */
    bool multiplies;
    bool after; /* must follow earlier cuts that write the value of out 0 */
    bool packs; /* a map that copies an operand for a product (pack.c) */
    int wave;
    int loop; /* of the family loop: number in the schedule */
    int loads, exprs, outs;
    krsi_load *load; /* these three in the arena of the schedule */
    krsi_expr *expr;
    krsi_out *out;
    const krsi_attention *attention; /* of that family */
} krsi_cut;

/* number of the expression that is the product of a contract */
static inline int
krsi_cut_product(const krsi_cut *cut)
{
    int e = 0;
    while (e < cut->exprs - 1 && cut->expr[e].kind != KRSI_X_PRODUCT)
        e++;
    return e;
}

/* A runtime slice start that must fit: 0 <= start + i * step < size for all
 * i < length. Checked before each run. A live length that must not be 0, since
 * its largest element is asked for, is a start one less. */
typedef struct krsi_check {
    krs_index start;
    int64_t length, step, size;
    uint32_t node;
    int axis;
    bool is_extremum;
} krsi_check;

/* Whether one cut became part of another, and if not, why: NAME, text after
 * "%p and %c: ". */
#define KRSI_FUSION_LIST(X)                                                   \
    X(FUSED, "one kernel")                                                    \
    X(NO_MEMORY, "no memory")                                                 \
    X(NOT_EMPTY, "no: one of them has no elements")                           \
    X(NOT_FAMILY, "no: attention, scans, scatters and argmax take nobody in") \
    X(NOT_PIECES, "no: written in pieces, whose order matters")               \
    X(NOT_INDIRECT, "no: read where an index says")                           \
    X(NOT_PRODUCT, "no: a product can only take the reader in")               \
    X(NOT_MAP, "no: the reader is more than a map of it")                     \
    X(NOT_AFFINE, "no: the axes of one are not affine in those of the other") \
    X(NOT_SAME_ROWS, "no: other rows")                                        \
    X(NOT_PARALLEL, "no: too few rows for the workers")                       \
    X(NOT_OPERAND, "no: too dear for the packing of a product")               \
    X(NOT_REPEATED, "no: it would be computed more than once")                \
    X(NOT_ACROSS, "no: one lies across the other in memory")                  \
    X(NOT_OTHER_POINTS, "no: it is also read at other points")                \
    X(NOT_WANTED, "no: others want it, and it cannot be stored on the way")   \
    X(NOT_WAITING, "no: others would have to wait")                           \
    X(NOT_LIMITS, "no: too large for one kernel")                             \
    X(NOT_DEVICE, "no: more buffers than the device binds at once")

typedef enum krsi_fusion {
#define KRSI_FUSION_ENUM(NAME, text) KRSI_##NAME,
    KRSI_FUSION_LIST(KRSI_FUSION_ENUM)
#undef KRSI_FUSION_ENUM
} krsi_fusion;

typedef struct krsi_note {
    uint32_t producer, consumer; /* nodes */
    krsi_fusion what;
} krsi_note;

/* A scan with at least one iteration: which values its body reads and writes.
 * The arrays are in the arena of the schedule; KRSI_NO_VALUE: not needed.
 *
 * A carry that the body updates in place lies in `last` from the beginning,
 * where an earlier cut puts the first one. Else the body reads it in one place
 * and writes it in another, in turns: from `operand` in the first iteration,
 * then between `last` and `spare`, so that the last one ends in `last`. */
typedef struct krsi_sched_loop {
    uint32_t node;
    krsi_loop loop;
    bool *asked;    /* by result of the body: it is computed */
    bool *past;     /* by carry: its history is kept */
    bool *in_place; /* by carry */
    bool faults;    /* the body may report an index outside its axis */
    size_t workspace_bytes;
    uint32_t *operand;      /* by operand of the scan */
    uint32_t *last, *spare; /* by carry */
    uint32_t *kept;         /* by result of the body that is no carry */
    uint32_t *history;      /* by carry */
    uint32_t workspace;     /* the body's temporaries */
} krsi_sched_loop;

/* Who plans bodies: fills in_place (by carry, false before), faults and
 * workspace_bytes of a loop that knows its node, asked and past. If the graph is
 * itself a body, some of its values move from iteration to iteration
 * (krsi_sched_move); a loop in it binds no value that would not begin at
 * multiples of align_bytes, but a copy. */
typedef struct krsi_loop_planner {
    krs_status (*plan)(void *context, krsi_sched_loop *loop, krs_error *err);
    void *context;
    uint64_t align_bytes; /* 0 and 1: anywhere, or nothing moves */
} krsi_loop_planner;

typedef struct krsi_sched {
    const krs_graph *graph;
    krsi_storage *values;
    size_t value_count, value_capacity;
    krsi_view *view; /* by node id; value KRSI_NO_VALUE: none */
    krsi_cut **cuts;
    size_t cut_count, cut_capacity;
    krsi_check *checks;
    size_t check_count, check_capacity;
    uint32_t *faults; /* node of each fault */
    size_t fault_count, fault_capacity;
    krsi_note *notes; /* what fusion decided, in order */
    size_t note_count, note_capacity;
    krsi_sched_loop *loops;
    size_t loop_count, loop_capacity;
    uint32_t *outputs; /* value of each output, whole and contiguous */
    size_t output_count;
    int waves;
    krsi_arena arena;
} krsi_sched;

/* cut.c -- schedule what the outputs need (nodes of a graph of primitives).
 * planner: NULL where bodies of scans are not planned, only to be looked at.
 * Errors: UNSUPPORTED (an address of more than KRS_INDEX_TERMS runtime
 * integers), MEMORY. krsi_sched_free takes a zeroed or failed sched too. */
krs_status krsi_sched_make(krsi_sched *s, const krs_graph *g,
                           const krs_node *outputs, size_t count,
                           const krsi_loop_planner *planner, krs_error *err);
void krsi_sched_free(krsi_sched *s);

/* view.c -- algebra of views */
/* a new value's view: row-major, offset 0 */
krsi_view krsi_view_whole(uint32_t value, const krsi_node *n);
/* row-major from offset 0, without live axes; of the whole value if its bytes
 * are those of the view's shape */
bool krsi_view_is_whole(const krsi_view *v);
krsi_view krsi_view_permute(const krsi_view *v, const int64_t *axis);
krsi_view krsi_view_expand(const krsi_view *v, const krsi_node *to);
krsi_view krsi_view_slice(const krsi_view *v, const krs_index *start,
                          const int64_t *length, const int64_t *step);
/* false if the elements of the new shape are not affine in its positions */
bool krsi_view_reshape(const krsi_view *v, const krsi_node *to, krsi_view *out);
/* Drop axes of size 1 and merge neighbours that all views step through as
 * one, so that the iteration space is the common refinement. The axes of the
 * family are left alone. */
void krsi_cut_simplify(krsi_cut *cut);

/* Of the graph of a body: its output is what its param, a carry, becomes; so
 * the output may be written where the param lies. */
void krsi_sched_update(krsi_sched *s, uint32_t param, size_t output);

/* All loads and stores of a value move by an index of elements. */
void krsi_sched_move(krsi_sched *s, uint32_t value, krs_index by);

/* one of its places is moved by an index that is checked when it runs */
bool krsi_cut_may_fault(const krsi_cut *cut);

/* no point of the output is stored to, whatever the runtime integers are */
bool krsi_cut_is_empty(const krsi_cut *cut);

/* fuse_cost.c -- of rows: do more of the loads lie along the axis before the
 * last than along the last? */
bool krsi_cut_is_across(const krsi_cut *cut);

/* buffers that a kernel of it binds, that of the faults included */
uint32_t krsi_cut_bindings(const krsi_cut *cut);

/* fuse.c -- merge cuts where that saves memory traffic: fewer cuts, equal
 * results bit for bit, none that binds more than `bindings` buffers and did
 * not before. Values that no cut stores any more become FUSED.
 * Errors: MEMORY. */
krs_status krsi_sched_fuse(krsi_sched *s, uint32_t bindings, krs_error *err);

/* pack.c -- operands that products read badly as they lie are copied first, for
 * devices whose items are lanes of a processor. Errors: MEMORY. */
krs_status krsi_sched_pack(krsi_sched *s, krs_error *err);

/* what it is called: its node's operation, or what it does for one */
static inline const char *
krsi_cut_name(const krsi_sched *s, const krsi_cut *cut)
{
    return cut->packs ? "pack" : krsi_ops[s->graph->node[cut->node]->op].name;
}

/* cut_work.c -- what a cut does at its maximal sizes, for people */
typedef struct krsi_work {
    double operations; /* scalar ones; a transcendental function counts as the
                          10 to 60 that it takes */
    double bytes;      /* read and written, each element once */
} krsi_work;
krsi_work krsi_cut_work(const krsi_sched *s, const krsi_cut *cut);
/* the primitives that it computes, each once: "sub exp sum div" */
void krsi_cut_names(const krsi_sched *s, const krsi_cut *cut, krsi_string *out);

/* sched_print.c -- cuts as text, for `kersey graph --stage sched`. Free with
 * free(); NULL without memory. */
char *krsi_sched_print(const krsi_sched *s);
/* What fusion decided, a line each: which node's cut became part of which, and
 * what did not and why. */
char *krsi_sched_print_fusion(const krsi_sched *s);

#endif
