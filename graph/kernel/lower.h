/* lower.h -- from cuts to kernels and launches.
 *
 * In: a cut (level 1) and the facts of a device. Out: kernels of the kernel
 * language and launches that say what their arguments, buffers and grids are.
 * Sizes, strides, offsets and constants are arguments, so layers and shapes
 * share kernels.
 */
#ifndef KRSI_LOWER_H
#define KRSI_LOWER_H

#include "../sched/layout.h"
#include "kb.h"

/* Facts from which templates and their parameters are chosen. */
typedef struct krsi_facts {
    uint32_t lanes;     /* f32 in a vector register: 1, 4, 8, 16 */
    uint32_t registers; /* vector registers */
    uint32_t workers;
    uint32_t bindings; /* buffers of one launch, at most */
    uint64_t cache_bytes[3];
    uint64_t offset_align; /* bytes: where bindings begin; 0 and 1: anywhere */
    size_t tail_bytes;     /* left free behind every temporary */
    int64_t item_turns;    /* of an item's loops, at most; 0: no bound */
    uint32_t dtypes;       /* bit krs_dtype: of buffers; 0: all */
    bool has_dot2_bf16;
    bool
        items_are_lanes; /* of a processor: many run at once, each has little */
    uint32_t group_items;  /* that share memory, at most; 0: no groups, which
                              are for devices whose items are lanes */
    uint64_t shared_bytes; /* of a group */
    bool code_is_dear;     /* compiling is slow: loops for what is unrolled
                          elsewhere, of the same bits */
    bool fuses; /* cuts are merged; off is what that is compared with */
} krsi_facts;

/* An argument of a launch, known when the runtime integers are. */
typedef struct krsi_arg {
    bool is_float;
    float number;
    krs_index index;
} krsi_arg;

/* Groups along a grid axis: extent / per, rounded up. */
typedef struct krsi_grid {
    krs_index extent;
    int64_t per;
} krsi_grid;

#define KRSI_FAULTS (UINT32_MAX - 1) /* the value of the fault buffer */

typedef struct krsi_launch {
    size_t kernel;          /* number among the kernels of the plan */
    uint32_t node;          /* for names and times, as are: */
    const char *primitives; /* in the plan's arena */
    krsi_work work;
    int loop; /* of the plan, which runs here in place of a kernel; -1: none */
    int wave;
    int args, bindings;
    krsi_arg *arg;     /* in the plan's arena */
    uint32_t *binding; /* values; KRSI_FAULTS */
    krsi_grid grid[KRS_K_AXES];
} krsi_launch;

/* The body of loop i of the schedule: a plan of a graph of its own, run for
 * each iteration with what sched.loops[i] says. xs, ys and histories are bound
 * whole: the runtime integer after those of the graph says where to look. */
typedef struct krsi_plan_loop {
    struct krsi_plan *body;
    krs_graph *made; /* by the planner: the body's with params added, or NULL */
    uint32_t *param; /* by operand of the scan: id in that graph, or 0 */
    uint32_t *output;  /* by result of the body: its output, if asked for */
    uint32_t *history; /* by carry: the same */
} krsi_plan_loop;

/* Everything a program runs. */
typedef struct krsi_plan {
    krsi_sched sched;
    krsi_layout layout;   /* of the values of sched */
    krs_kernel **kernels; /* different ones only */
    size_t kernel_count, kernel_capacity;
    uint32_t *kernel_table; /* open addressing by hash: number + 1 */
    size_t table_capacity;  /* a power of two */
    krsi_launch *launches;  /* ascending waves */
    size_t launch_count, launch_capacity;
    krsi_plan_loop *loops; /* as sched.loops */
    size_t loop_count, loop_capacity;
    krsi_arena arena;
} krsi_plan;

/* plan.c -- schedule, lower and place what the outputs need (nodes of a graph
 * of primitives, which must outlive the plan).
 * Errors: UNSUPPORTED (a node that no family takes, named), MEMORY. */
krs_status krsi_plan_make(krsi_plan *plan, const krs_graph *g,
                          const krs_node *outputs, size_t count,
                          const krsi_facts *facts, krsi_sharing sharing,
                          krs_error *err);
void krsi_plan_free(krsi_plan *plan);

/* The two halves of krsi_plan_make: to cuts, and from there on. align_bytes:
 * as in krsi_loop_planner. */
krs_status krsi_plan_schedule(krsi_plan *plan, const krs_graph *g,
                              const krs_node *outputs, size_t count,
                              const krsi_facts *facts, krsi_sharing sharing,
                              uint64_t align_bytes, krs_error *err);
krs_status krsi_plan_finish(krsi_plan *plan, const krsi_facts *facts,
                            krsi_sharing sharing, krs_error *err);

/* plan_loop.c -- plan the body of a loop that the schedule of `plan` found. */
typedef struct krsi_planning {
    krsi_plan *plan;
    const krsi_facts *facts;
    krsi_sharing sharing;
} krsi_planning;
krs_status krsi_plan_loop_body(void *planning, krsi_sched_loop *loop,
                               krs_error *err);
void krsi_plan_loops_free(krsi_plan *plan);

/* ---- lower_*.c: one kernel and one launch for a cut ---- */

enum {
    KRSI_MAX_ARGS = 400,
    KRSI_MAX_BINDINGS = KRSI_CUT_LOADS + KRSI_CUT_OUTS + 1
};

/* What moves a place by an index that was read, as arguments. */
typedef struct krsi_lowered_index {
    krsi_kv stride, bound, fault_slot;
} krsi_lowered_index;

/* A kernel being made for a cut. */
typedef struct krsi_lowering {
    krsi_kb *kb;
    const krsi_cut *cut;
    const krsi_facts *facts;
    int lanes; /* of the vector axis */
    int args, bindings;
    krsi_arg arg[KRSI_MAX_ARGS];
    uint32_t binding[KRSI_MAX_BINDINGS];
    krsi_grid grid[KRS_K_AXES];
    krsi_kbuf load[KRSI_CUT_LOADS], out[KRSI_CUT_OUTS], faults;
    krsi_kv extent[KRSI_CUT_AXES];
    krsi_kv load_offset[KRSI_CUT_LOADS], out_offset[KRSI_CUT_OUTS];
    krsi_kv load_stride[KRSI_CUT_LOADS][KRSI_CUT_AXES];
    krsi_kv out_stride[KRSI_CUT_OUTS][KRSI_CUT_AXES];
    krsi_lowered_index load_index[KRSI_CUT_LOADS], out_index[KRSI_CUT_OUTS];
    krsi_kv constant[KRSI_CUT_EXPRS];
    unsigned varies[KRSI_CUT_EXPRS]; /* bit a: along axis a */
    int vector_axis;                 /* of the iteration space; -1: none */
    krsi_kv coord[KRSI_CUT_AXES];    /* i64; of the vector axis: its lane 0 */
    krsi_kv mask;                    /* of the vector axis; none: all lanes */
    bool in_fours; /* vectors begin at multiples of four of their axis */
    krsi_kv end;   /* of the points of the item */
    int loops;     /* open ones, for end_points */
    /* values of expressions: at this point; at all points of the loops that
     * are open inside the scope where they were computed */
    krsi_kv here[KRSI_CUT_EXPRS], fixed[KRSI_CUT_EXPRS];
} krsi_lowering;

/* declare buffers and arguments of the cut */
void krsi_lower_declare(krsi_lowering *l);
/* the same of one load, of one out, and of the constants */
void krsi_lower_declare_load(krsi_lowering *l, int load);
void krsi_lower_declare_out(krsi_lowering *l, int out);
void krsi_lower_declare_rest(krsi_lowering *l);
/* the element type of a load */
krs_dtype krsi_lower_load_type(const krsi_cut *cut, int load);
/* Open loops over the axes 0 .. axes-1; grid axes take the innermost three.
 * Along the last of these an item has `per` points, from coord[axes-1] to
 * l->end: the caller opens a loop over them, unless per is 1. */
void krsi_lower_points(krsi_lowering *l, int axes, int64_t per);
void krsi_lower_end_points(krsi_lowering *l);
bool krsi_lower_has_whole_vectors(const krsi_lowering *l, int axis);
/* The body of a loop along the vector axis from low to high, low a multiple of
 * its lanes: first the whole vectors, then the masked rest; where code is dear
 * one body for all. context is passed on. */
typedef void krsi_lower_body(krsi_lowering *l, void *context);
void krsi_lower_vectors(krsi_lowering *l, krsi_kv low, krsi_kv high,
                        krsi_lower_body *body, void *context);
/* forget what was computed at the last point: coordinates or mask changed */
void krsi_lower_move(krsi_lowering *l);
/* Compute now what the roots need of that which varies along none of the axes
 * in the set (bit a: axis a); it stays known while their loops go on. */
void krsi_lower_fix(krsi_lowering *l, unsigned axes, const bool *needed);
/* needed[e]: expression e is part of one of the roots */
void krsi_lower_needed(const krsi_cut *cut, const int *roots, int count,
                       bool *needed);
/* value of an expression at the point; scalar if it does not vary along the
 * vector axis */
krsi_kv krsi_lower_expr(krsi_lowering *l, int expr);
/* Address of out i at the point, and store of a value there, narrowed to the
 * type of its expression. `moved` is added to the address: none, a scalar or
 * lanes. */
krsi_kmem krsi_lower_out(krsi_lowering *l, int i, krsi_kv moved);
void krsi_lower_store(krsi_lowering *l, int i, krsi_kmem at, krsi_kv value);
/* the root of out i, stored at the point */
void krsi_lower_deliver(krsi_lowering *l, int i);
/* what an index that was loaded moves a place by, checked: false lanes are
 * reported as its fault; *inside is its mask and the point's */
krsi_kv krsi_lower_index(krsi_lowering *l, const krsi_lowered_index *by,
                         krsi_kv index, krsi_kv *inside);

/* lower_block.c -- block-quantised elements; KRSI_BLOCK of them a block */
enum { KRSI_BLOCK = 32 };
/* the element type of the buffer that holds a tensor: bytes of one of blocks */
krs_dtype krsi_lower_stored(krs_dtype dtype);
/* `at`: as for a load, of elements of a tensor of that type. is_run: its lanes
 * are elements in a row, within half a block. f32; masked lanes are zero. */
krsi_kv krsi_lower_block(krsi_kb *kb, krs_dtype dtype, krsi_kmem at,
                         bool is_run);
/* What a block holds: bytes before its integers, whether these are nibbles, and
 * bytes in all. */
typedef struct krsi_block_layout {
    int header;
    bool nibbles;
    int64_t block_bytes;
} krsi_block_layout;
krsi_block_layout krsi_lower_block_layout(krs_dtype dtype);
/* f32 of integers of a block, i32, as they are stored (bytes with their sign)
 * times a power of two `unit`, i32; of its scale over that, and (q4_1) its
 * minimum */
krsi_kv krsi_lower_dequantise(krsi_kb *kb, krs_dtype dtype, krsi_kv stored,
                              krsi_kv unit, krsi_kv scale, krsi_kv least);

/* lower_expr.c */
/* the type values of a dtype have in expressions: i8 and u8 count in i32,
 * blocks are f32 */
krs_dtype krsi_lower_type(krs_dtype dtype);
/* back into the range of the dtype, for i8 and u8 */
krsi_kv krsi_lower_wrap(krsi_kb *kb, krs_dtype dtype, krsi_kv value);
krsi_kv krsi_lower_op(krsi_kb *kb, enum krsi_op op, krs_dtype from,
                      krs_dtype to, const krsi_kv *in);
krsi_kv krsi_lower_random(krsi_kb *kb, krsi_kv seed, krsi_kv step,
                          krsi_kv stream, krsi_kv element);

/* the families */
typedef void krsi_lower_rule(krsi_lowering *l);
krsi_lower_rule krsi_lower_map, krsi_lower_rows, krsi_lower_prefix,
    krsi_lower_scatter, krsi_lower_contract, krsi_lower_attention;

#endif
